//! `runs` in the configuration.

use super::book::Limits;
use crate::config::Span;
use crate::workload::config::Workloads;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// `runs`: single commands that are measured (`gramwatt run`), and the local socket on which they are told.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Runs {
    /// Whether there is a socket. It is open to every user of the machine.
    pub enabled: bool,
    /// The unix socket. Unset: `runs.sock` in the directory of the books.
    pub socket: Option<PathBuf>,
    /// Most runs that are kept, those that have ended included; a quarter of it for each user.
    pub max: Most,
    /// How long a run stays on the page after its end, 0s to 1h.
    pub linger: Span,
}

impl Default for Runs {
    fn default() -> Self {
        Self {
            enabled: true,
            socket: None,
            max: Most(100),
            linger: Span::seconds(600),
        }
    }
}

impl Runs {
    /// What may be had of runs, where workloads are shown as their configuration says.
    #[must_use]
    pub fn limits(&self, workloads: &Workloads) -> Limits {
        let Most(max) = self.max;
        Limits {
            max: usize::from(max),
            max_of_user: usize::from(max).div_ceil(4),
            linger: self.linger.duration(),
            introduce: workloads.introduce.duration(),
        }
    }
}

/// A number of runs, 1 to 1000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "u16", into = "u16")]
#[schemars(with = "u16")]
pub struct Most(u16);

impl TryFrom<u16> for Most {
    type Error = String;
    fn try_from(max: u16) -> Result<Self, String> {
        let ok = (1..=1000).contains(&max);
        ok.then_some(Self(max))
            .ok_or_else(|| format!("{max} is no limit of runs: 1 to 1000"))
    }
}

impl From<Most> for u16 {
    fn from(max: Most) -> Self {
        max.0
    }
}
