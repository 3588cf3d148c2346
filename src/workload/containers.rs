//! To be written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// To be written.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}
