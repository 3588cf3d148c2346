//! The last points of an account, so that devices and meters can be compared at one moment although
//! they are read at different ones.

use crate::clock::Moment;
use crate::units::Joules;
use std::collections::VecDeque;
use std::time::Duration;

/// Points kept: a minute at the default pace, and a bound on memory at any.
const POINTS: usize = 64;

#[derive(Clone, Debug)]
pub(super) struct History(VecDeque<(Duration, Joules)>);

impl History {
    pub(super) fn starting(at: Moment, joules: Joules) -> Self {
        Self(VecDeque::from([(at.boot, joules)]))
    }

    pub(super) fn push(&mut self, at: Moment, joules: Joules) {
        if self.0.len() == POINTS {
            self.0.pop_front();
        }
        self.0.push_back((at.boot, joules));
    }

    /// Linear between points, flat after the last one, and before the one that it began with; `None` for
    /// what is forgotten.
    pub(super) fn at(&self, when: Duration) -> Option<Joules> {
        let after = self.0.partition_point(|(at, _)| *at <= when);
        if after == 0 {
            let first = self.0.front().filter(|_| self.0.len() < POINTS);
            return first.map(|(_, joules)| *joules);
        }
        let (from, low) = *self.0.get(after - 1)?;
        let Some(&(to, high)) = self.0.get(after) else {
            return Some(low);
        };
        let share = (when - from).as_secs_f64() / (to - from).as_secs_f64();
        Some(low + (high - low).times(share))
    }
}
