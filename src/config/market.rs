//! `grid.market`: one number, or a file of hours.

use super::Intensity;
use crate::grid::provider::own::{Step, Unit};
use schemars::JsonSchema;
use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// `grid.market`.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Market {
    /// Contract factor in g CO2e/kWh, 0 to 2000; 0 for fully renewable contracts.
    pub intensity: Option<Intensity>,
    /// In place of `intensity`: an absolute path of a CSV or JSON file of hours, written as for the provider
    /// `file` (`from`, `intensity`, and if wanted `until`) and read every minute. An hour without a value
    /// has no market-based grams: they are not known.
    pub file: Option<PathBuf>,
    /// What the values of `file` are in.
    pub unit: Unit,
    /// How long a value of `file` is for at most that does not say until when.
    pub step: Step,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    intensity: Option<Intensity>,
    file: Option<PathBuf>,
    unit: Option<Unit>,
    step: Option<Step>,
}

impl<'de> Deserialize<'de> for Market {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Keys::deserialize(deserializer)?
            .try_into()
            .map_err(D::Error::custom)
    }
}

impl TryFrom<Keys> for Market {
    type Error = &'static str;
    fn try_from(keys: Keys) -> Result<Self, &'static str> {
        match (&keys.intensity, &keys.file) {
            (Some(_), Some(_)) => return Err("give intensity or file, not both"),
            (None, None) => return Err("give `intensity: 0`, or `file: /path`"),
            (Some(_), None) if keys.unit.is_some() || keys.step.is_some() => {
                return Err("unit and step are of use with file alone: intensity is in g CO2e/kWh");
            }
            _ => {}
        }
        if keys.file.as_ref().is_some_and(|file| !file.is_absolute()) {
            return Err("file is no absolute path: begin it with a slash");
        }
        Ok(Self {
            intensity: keys.intensity,
            file: keys.file,
            unit: keys.unit.unwrap_or(Unit::GramsPerKwh),
            step: keys.step.unwrap_or_default(),
        })
    }
}
