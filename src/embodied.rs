//! What it took to make a device: the operator's number, or a bundled one for its model.

use crate::carbon;
use crate::data;
use crate::sensor::Kind;
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
    pub fn rate(&self, id: &str, kind: Kind, model: &str) -> Option<GramsPerSecond> {
        if !self.enabled {
            return None;
        }
        let bundled = data::embodied(kind, model);
        let own = self.kilograms.get(id).map(|kilograms| kilograms.0);
        let kilograms = own.or(bundled.as_ref().map(|row| row.kilograms))?;
        let years = self.lifetime_years.map(|years| years.0);
        let years = years
            .or(bundled.map(|row| row.lifetime_years))
            .unwrap_or(USUAL_LIFETIME_YEARS);
        Some(carbon::amortised(kilograms, years))
    }
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
        let rate = making.rate("package-0", Kind::Cpu, "nobody knows").unwrap();
        assert!((rate.0 * 5.0 * 365.25 * 86400.0 - 50_000.0).abs() < 1e-6);
        assert_eq!(
            Making {
                enabled: false,
                ..making
            }
            .rate("package-0", Kind::Cpu, ""),
            None
        );
    }
}
