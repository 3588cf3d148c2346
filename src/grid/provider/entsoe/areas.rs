//! The areas of ENTSO-E by our zones.
//!
//! Source: the platform's area list (ENTSO-E, "Area List with Energy Identification Code (EIC)"), as two
//! independent clients carry it, entsoe-py 0.8.1 and Electricity Maps' parsers of 2023; only what both
//! have is here. Germany is its bidding zone, with Luxembourg. Great Britain has sent nothing since 2021.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const AREAS: [(&str, &str); 46] = [
    ("AL", "10YAL-KESH-----5"),
    ("AT", "10YAT-APG------L"),
    ("BA", "10YBA-JPCC-----D"),
    ("BE", "10YBE----------2"),
    ("BG", "10YCA-BULGARIA-R"),
    ("CH", "10YCH-SWISSGRIDZ"),
    ("CZ", "10YCZ-CEPS-----N"),
    ("DE", "10Y1001A1001A82H"),
    ("DK", "10Y1001A1001A65H"),
    ("DK-DK1", "10YDK-1--------W"),
    ("DK-DK2", "10YDK-2--------M"),
    ("EE", "10Y1001A1001A39I"),
    ("ES", "10YES-REE------0"),
    ("FI", "10YFI-1--------U"),
    ("FR", "10YFR-RTE------C"),
    ("GE", "10Y1001A1001B012"),
    ("GR", "10YGR-HTSO-----Y"),
    ("HR", "10YHR-HEP------M"),
    ("HU", "10YHU-MAVIR----U"),
    ("IE", "10YIE-1001A00010"),
    ("IT", "10YIT-GRTN-----B"),
    ("IT-NO", "10Y1001A1001A73I"),
    ("LT", "10YLT-1001A0008Q"),
    ("LU", "10YLU-CEGEDEL-NQ"),
    ("LV", "10YLV-1001A00074"),
    ("MD", "10Y1001A1001A990"),
    ("ME", "10YCS-CG-TSO---S"),
    ("MK", "10YMK-MEPSO----8"),
    ("NL", "10YNL----------L"),
    ("NO", "10YNO-0--------C"),
    ("NO-NO1", "10YNO-1--------2"),
    ("NO-NO2", "10YNO-2--------T"),
    ("NO-NO3", "10YNO-3--------J"),
    ("NO-NO4", "10YNO-4--------9"),
    ("NO-NO5", "10Y1001A1001A48H"),
    ("PL", "10YPL-AREA-----S"),
    ("PT", "10YPT-REN------W"),
    ("RO", "10YRO-TEL------P"),
    ("RS", "10YCS-SERBIATSOV"),
    ("SE", "10YSE-1--------K"),
    ("SE-SE1", "10Y1001A1001A44P"),
    ("SE-SE2", "10Y1001A1001A45N"),
    ("SE-SE3", "10Y1001A1001A46L"),
    ("SE-SE4", "10Y1001A1001A47J"),
    ("SI", "10YSI-ELES-----O"),
    ("SK", "10YSK-SEPS-----K"),
];

/// The area of a zone.
pub(super) fn of_zone(zone: &str) -> Option<&'static str> {
    let known = AREAS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(zone));
    known.map(|(_, eic)| *eic)
}

/// All zones, for people.
pub(super) fn zones() -> String {
    let names: Vec<&str> = AREAS.iter().map(|(zone, _)| *zone).collect();
    names.join(", ")
}

/// An energy identification code of 16 characters, the last of which proves the others.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Eic(String);

impl Eic {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Eic {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        if is_eic(&text) {
            return Ok(Self(text));
        }
        Err(format!(
            "{text:?} is no EIC: 16 characters such as 10Y1001A1001A82H, of which the last checks the rest"
        ))
    }
}

impl From<Eic> for String {
    fn from(eic: Eic) -> Self {
        eic.0
    }
}

/// Whether the check character is right: ENTSO-E, "The Energy Identification Coding Scheme", annex on the
/// check character. Digits count 0 to 9, letters 10 to 35, the hyphen 36; weights are 16 down to 2.
fn is_eic(text: &str) -> bool {
    let value = |c: char| match c {
        '0'..='9' | 'A'..='Z' => c.to_digit(36),
        '-' => Some(36),
        _ => None,
    };
    let Some(values) = text.chars().map(value).collect::<Option<Vec<u32>>>() else {
        return false;
    };
    let [first @ .., check] = values.as_slice() else {
        return false;
    };
    let sum: u32 = first
        .iter()
        .zip((2..=16).rev())
        .map(|(value, weight)| value * weight)
        .sum();
    first.len() == 15 && sum > 0 && *check == 36 - (sum - 1) % 37
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_checks_itself_and_every_zone_is_ours() {
        for (zone, eic) in AREAS {
            assert!(is_eic(eic), "{zone} {eic}");
            assert!(crate::data::zone(zone).is_some(), "{zone}");
        }
        assert!(AREAS.is_sorted(), "so that none is there twice");
    }

    #[test]
    fn a_slip_of_the_pen_is_seen() {
        assert!(is_eic("10YFI-1--------U"));
        for text in [
            "10YFI-1--------V",
            "10YFI-2--------U",
            "01YFI-1--------U",
            "10YFI-1-------U",
            "10yfi-1--------u",
            "",
            "-",
        ] {
            assert!(Eic::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
