//! The bundled average of the zone: what stands in wherever nobody has told anything of use.

use super::{Answer, Garbage, Manners, Provider, Request, What};
use crate::grid::series::Signal;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// `type: static`, which has no keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {}

/// Nobody is asked: [`crate::grid::of_zone`] has it.
pub(super) struct Bundled;

/// Makes the provider, which is of no use but to be named.
#[allow(clippy::unnecessary_wraps)]
pub(super) fn open(_: &Config) -> Result<Bundled, String> {
    Ok(Bundled)
}

impl Provider for Bundled {
    fn name(&self) -> &'static str {
        "bundled"
    }

    fn signal(&self) -> Signal {
        Signal::Average
    }

    fn manners(&self) -> Manners {
        Manners {
            apart: Duration::from_secs(1),
            lag: Duration::ZERO,
            coarse: true,
        }
    }

    fn requests(&self, _: &str, _: Timestamp) -> Result<Vec<Request>, String> {
        Ok(Vec::new())
    }

    fn read(&self, _: What, _: &str, _: &[u8], _: Timestamp) -> Result<Answer, Garbage> {
        Err(Garbage::Empty)
    }
}
