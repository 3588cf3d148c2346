//! What it took to make a device: the operator's number, or a bundled one for its model.

use crate::carbon;
use crate::data;
use crate::sensor::{About, Kind};
use crate::units::GramsPerSecond;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `embodied`: the making of devices, amortised over their lives.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Making {
    /// Whether embodied carbon is booked.
    pub enabled: bool,
    /// Lifetime in years for every device, instead of the bundled ones.
    pub lifetime_years: Option<Lifetime>,
    /// Kilograms of CO2e by device id (`package-0: 25`), instead of the bundled ones.
    pub kilograms: BTreeMap<String, Kilograms>,
}

impl Default for Making {
    fn default() -> Self {
        Self {
            enabled: true,
            lifetime_years: None,
            kilograms: BTreeMap::new(),
        }
    }
}

/// Years of use, above 0 and at most 50.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "f64", into = "f64")]
#[schemars(with = "f64")]
pub struct Lifetime(f64);

impl TryFrom<f64> for Lifetime {
    type Error = String;
    fn try_from(years: f64) -> Result<Self, String> {
        if years > 0.0 && years <= 50.0 {
            return Ok(Self(years));
        }
        Err(format!(
            "{years} is no lifetime in years: above 0 and at most 50, usually 3 to 6"
        ))
    }
}

impl From<Lifetime> for f64 {
    fn from(years: Lifetime) -> Self {
        years.0
    }
}

/// Kilograms of CO2e, 0 to a million.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "f64", into = "f64")]
#[schemars(with = "f64")]
pub struct Kilograms(f64);

impl TryFrom<f64> for Kilograms {
    type Error = String;
    fn try_from(kilograms: f64) -> Result<Self, String> {
        if (0.0..=1e6).contains(&kilograms) {
            return Ok(Self(kilograms));
        }
        Err(format!(
            "{kilograms} is no mass in kilograms of CO2e: 0 to 1000000"
        ))
    }
}

impl From<Kilograms> for f64 {
    fn from(kilograms: Kilograms) -> Self {
        kilograms.0
    }
}

/// Life of a device whose own is not known: 4 years, as Cloud Carbon Footprint's methodology takes for
/// servers.
const USUAL_LIFETIME_YEARS: f64 = 4.0;

impl Making {
    /// What a device's making adds every second of its life; `None` where nobody knows.
    #[must_use]
    pub fn rate(&self, id: &str, kind: Kind, about: &About) -> Option<GramsPerSecond> {
        if !self.enabled {
            return None;
        }
        let bundled = data::embodied(kind, &about.model).filter(|_| !about.is_piece);
        let whole = bundled.as_ref().and_then(|row| match kind {
            Kind::Dram => Some(row.kilograms * gigabytes(about.memory_bytes?)),
            _ => Some(row.kilograms),
        });
        let own = self.kilograms.get(id).map(|kilograms| kilograms.0);
        let kilograms = own.or(whole)?;
        let years = self.lifetime_years.map(|years| years.0);
        let years = years
            .or(bundled.map(|row| row.lifetime_years))
            .unwrap_or(USUAL_LIFETIME_YEARS);
        Some(carbon::amortised(kilograms, years))
    }
}

/// Decimal gigabytes, in which the bundled table counts memory.
#[allow(clippy::cast_precision_loss)]
fn gigabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operators_numbers_win() {
        let making = Making {
            lifetime_years: Some(Lifetime(5.0)),
            kilograms: BTreeMap::from([("package-0".into(), Kilograms(50.0))]),
            ..Making::default()
        };
        let unknown = About::default();
        let rate = making.rate("package-0", Kind::Cpu, &unknown).unwrap();
        assert!((rate.0 * 5.0 * 365.25 * 86400.0 - 50_000.0).abs() < 1e-6);
        assert_eq!(
            Making {
                enabled: false,
                ..making
            }
            .rate("package-0", Kind::Cpu, &unknown),
            None
        );
    }

    #[test]
    fn memory_goes_by_its_size_and_is_unknown_without_one() {
        let sized = |bytes| {
            let about = About {
                memory_bytes: bytes,
                ..About::default()
            };
            Making::default().rate("dram-0", Kind::Dram, &about)
        };
        let (small, large) = (
            sized(Some(64_000_000_000)).unwrap(),
            sized(Some(128_000_000_000)).unwrap(),
        );
        assert!((large.0 / small.0 - 2.0).abs() < 1e-9);
        assert_eq!(sized(None), None);
    }

    #[test]
    fn a_piece_of_a_part_is_known_from_the_operator_alone() {
        let piece = About {
            is_piece: true,
            ..About::default()
        };
        let mut making = Making::default();
        assert!(
            making
                .rate("package-0", Kind::Cpu, &About::default())
                .is_some()
        );
        assert_eq!(making.rate("package-0", Kind::Cpu, &piece), None);
        making.kilograms = BTreeMap::from([("package-0".into(), Kilograms(5.0))]);
        assert!(making.rate("package-0", Kind::Cpu, &piece).is_some());
    }
}
