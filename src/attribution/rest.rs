//! What each device draws at rest: told by the configuration, or the least mean power over ten seconds
//! in which it had next to nothing to do.

use super::pending::Chunk;
use crate::units::{Joules, Watts};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A device less busy than this is at rest.
const LOW: f64 = 0.1;

/// Over so long the power at rest is a mean: a second of a counter that steps would be too low.
const LONG: Duration = Duration::from_secs(10);

/// By device.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Rests(BTreeMap<Arc<str>, Rest>);

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Rest {
    least: Option<Watts>,
    /// The stretch at rest that is still going on.
    #[serde(skip)]
    joules: Joules,
    #[serde(skip)]
    time: Duration,
}

impl Rests {
    /// Learns from energy that a device used while it was so busy (0 to 1; `None`: nobody knows).
    pub fn learn(&mut self, device: &Arc<str>, chunk: &Chunk, busy: Option<f64>) {
        let rest = self.0.entry(Arc::clone(device)).or_default();
        if busy.is_none_or(|busy| busy > LOW) {
            (rest.joules, rest.time) = Default::default();
            return;
        }
        rest.joules += chunk.joules;
        rest.time += chunk.time();
        if rest.time < LONG {
            return;
        }
        let watts = rest.joules.over(rest.time);
        (rest.joules, rest.time) = Default::default();
        rest.least = match (rest.least, watts) {
            (Some(least), Some(watts)) => Some(least.min(watts)),
            (least, watts) => least.or(watts),
        };
    }

    /// What a device draws at rest, where that was seen.
    pub fn of(&self, device: &str) -> Option<Watts> {
        self.0.get(device)?.least
    }
}
