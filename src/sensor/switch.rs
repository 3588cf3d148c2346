//! The configuration of a family, as far as many share it: switched on and off, or a list.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A family's part of the configuration.
pub trait Switch {
    /// Whether the family is used.
    fn is_on(&self) -> bool;
    /// What `--sensor.NAME` and `--no-sensor.NAME` do.
    fn turn(&mut self, on: bool);
}

/// The configuration of a family that reads what a person names: one entry each, and the family is off
/// where there is none.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Listed<T>(pub Vec<T>);

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Switch for Listed<T> {
    fn is_on(&self) -> bool {
        !self.0.is_empty()
    }
    fn turn(&mut self, on: bool) {
        if !on {
            self.0.clear();
        }
    }
}

/// The configuration of a family that has nothing but its switch, and is on.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Enabled {
    /// Whether the family is used.
    pub enabled: bool,
}

impl Default for Enabled {
    fn default() -> Self {
        Self { enabled: true }
    }
}

impl Switch for Enabled {
    fn is_on(&self) -> bool {
        self.enabled
    }
    fn turn(&mut self, on: bool) {
        self.enabled = on;
    }
}
