//! One step of an energy counter: what it means, and whether it can be true.

use super::Event;
use crate::clock::Moment;
use crate::units::{Joules, Watts};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A counter as it was read at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Baseline {
    pub raw: u64,
    pub at: Moment,
}

/// What a step of a counter means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Step {
    /// The energy used between two readings.
    Used(Joules),
    /// The same, round the counter's end.
    Wrapped(Joules),
    /// So much time passed that the counter may have gone round more than once.
    Unknown,
    /// Backwards with no wrap to explain it, or more than the part can draw.
    Impossible(Event),
}

/// A counter's scale.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dial {
    /// Joules for each count.
    pub unit: f64,
    /// The largest value, after which it goes on from 0.
    pub wraps_at: Option<u64>,
    /// The most that the part can draw.
    pub ceiling: Watts,
}

/// Counters tick between two readings, not at them: a step may hold the energy of this much more time.
const TICK: Duration = Duration::from_secs(1);

impl Dial {
    pub(super) fn step(&self, from: Baseline, to: Baseline) -> Step {
        let elapsed = to.at.boot.saturating_sub(from.at.boot) + TICK;
        let most = self.ceiling.during(elapsed);
        if self
            .wraps_at
            .is_some_and(|range| most >= self.joules(range))
        {
            return Step::Unknown;
        }
        if to.raw >= from.raw {
            let joules = self.joules(to.raw - from.raw);
            return if joules <= most {
                Step::Used(joules)
            } else {
                Step::Impossible(Event::Refused)
            };
        }
        let round = self
            .wraps_at
            .and_then(|range| range.checked_sub(from.raw))
            .and_then(|left| left.checked_add(to.raw))
            .map(|counts| self.joules(counts));
        match round {
            Some(joules) if joules <= most => Step::Wrapped(joules),
            _ => Step::Impossible(Event::Gap),
        }
    }

    /// Counts to joules. Differences stay far below 2^53, where `f64` is exact.
    #[allow(clippy::cast_precision_loss)]
    fn joules(&self, counts: u64) -> Joules {
        Joules(counts as f64 * self.unit)
    }
}
