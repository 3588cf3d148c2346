//! demo

use super::{Discovery, Roots, Switch};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One line for `doctor` and the reference.
pub const SUMMARY: &str = "demo";

/// `sensors.demo`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether the family is used.
    pub enabled: bool,
}

impl Switch for Config {
    fn is_on(&self) -> bool {
        self.enabled
    }
    fn turn(&mut self, on: bool) {
        self.enabled = on;
    }
}

/// Looks at the machine.
pub fn discover(_roots: &Roots, _config: &Config) -> Discovery {
    Discovery::default()
}
