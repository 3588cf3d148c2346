//! Who did what when: the censuses of late, as shares, kept as long as energy of their time may still
//! come in (a meter that is read once a minute tells of a minute ago).

use super::{KEPT, To};
use crate::workload::census::Holder;
use crate::workload::runs::Id;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// One stretch of time of processors and memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    pub from: Duration,
    pub to: Duration,
    /// How busy the processors were, 0 to 1; `None`: nobody knows, and what was used is unattributed.
    pub busy: Option<f64>,
    /// Shares of the CPU time that was used.
    pub cpu: Vec<(To, f64)>,
    /// Shares of CPU time and memory, for the memory's power.
    pub memory: Vec<(To, f64)>,
    /// Shares of all CPUs that were asked for.
    pub requests: Vec<(To, f64)>,
    /// Joules that each drew beyond rest on any device, for what only the meter sees.
    pub dynamic: BTreeMap<To, f64>,
    /// What runs did.
    pub runs: Vec<RunShare>,
    /// Of `dynamic`, what each run drew.
    pub run_dynamic: BTreeMap<Id, f64>,
}

/// A run's shares of what was done, like those of workloads.
#[derive(Clone, Debug)]
pub(super) struct RunShare {
    pub id: Id,
    pub cpu: f64,
    pub memory: f64,
}

/// A run's part of what somebody has of an accelerator.
#[derive(Clone, Debug)]
pub(super) struct RunHold {
    pub id: Id,
    pub device: Arc<str>,
    pub to: To,
    pub part: f64,
}

/// One stretch of time of the accelerators.
#[derive(Clone, Debug, Default)]
pub(super) struct Occupied {
    pub from: Duration,
    pub to: Duration,
    pub devices: BTreeMap<Arc<str>, Vec<(To, Holder)>>,
    pub runs: Vec<RunHold>,
}

/// The windows of late, oldest first and without overlap.
#[derive(Debug, Default)]
pub(super) struct Windows {
    pub processors: VecDeque<Window>,
    pub accelerators: VecDeque<Occupied>,
}

impl Windows {
    pub fn push(&mut self, window: Window) {
        let from = self
            .known_processors()
            .map_or(window.from, |known| known.max(window.from));
        if from < window.to {
            self.processors.push_back(Window { from, ..window });
        }
    }

    pub fn push_occupied(&mut self, occupied: Occupied) {
        let from = self
            .known_accelerators()
            .map_or(occupied.from, |known| known.max(occupied.from));
        if from < occupied.to {
            self.accelerators.push_back(Occupied { from, ..occupied });
        }
    }

    /// Until when it is known what processors did.
    pub fn known_processors(&self) -> Option<Duration> {
        self.processors.back().map(|window| window.to)
    }

    /// Until when it is known who held accelerators.
    pub fn known_accelerators(&self) -> Option<Duration> {
        self.accelerators.back().map(|occupied| occupied.to)
    }

    /// Forgets what no energy can be of any more.
    pub fn forget(&mut self, now: Duration) {
        let old = |to: Duration| now.saturating_sub(to) > KEPT;
        while self.processors.front().is_some_and(|window| old(window.to)) {
            self.processors.pop_front();
        }
        while self
            .accelerators
            .front()
            .is_some_and(|window| old(window.to))
        {
            self.accelerators.pop_front();
        }
    }

    /// Notes what somebody drew beyond rest on any device, in the windows of that time.
    pub fn note(
        &mut self,
        (from, to): (Duration, Duration),
        dynamic: &[(To, f64)],
        runs: &[(Id, f64)],
    ) {
        let whole = to.saturating_sub(from).as_secs_f64();
        if whole <= 0.0 || dynamic.is_empty() {
            return;
        }
        // Energy mostly comes in of the last windows.
        for window in self.processors.iter_mut().rev() {
            if window.to <= from {
                break;
            }
            let time = window
                .to
                .min(to)
                .saturating_sub(window.from.max(from))
                .as_secs_f64();
            if time > 0.0 {
                for (who, joules) in dynamic {
                    *window.dynamic.entry(*who).or_default() += joules * time / whole;
                }
                for (id, joules) in runs {
                    let sum = window.run_dynamic.entry(Arc::clone(id)).or_default();
                    *sum += joules * time / whole;
                }
            }
        }
    }
}
