//! The points of an account of late, so that devices and meters can be compared at one moment although
//! they are read at different ones, some of them seldom.

use crate::clock::Moment;
use crate::units::Joules;
use std::collections::VecDeque;
use std::time::Duration;

/// Points kept as they came.
const RECENT: usize = 32;

/// Points kept of the time before, ...
const OLD: usize = 32;

/// ... and the least time between two of them: they reach back 4 minutes at any pace, longer than the
/// patience with a device that is read once a minute.
const APART: Duration = Duration::from_secs(8);

type Point = (Duration, Joules);

#[derive(Clone, Debug)]
pub(super) struct History {
    old: VecDeque<Point>,
    recent: VecDeque<Point>,
    /// Whether it has forgotten how it began.
    cut: bool,
}

impl History {
    pub(super) fn starting(at: Moment, joules: Joules) -> Self {
        Self {
            old: VecDeque::new(),
            recent: VecDeque::from([(at.boot, joules)]),
            cut: false,
        }
    }

    pub(super) fn push(&mut self, at: Moment, joules: Joules) {
        if self.recent.len() == RECENT
            && let Some(point) = self.recent.pop_front()
            && self
                .old
                .back()
                .is_none_or(|(last, _)| point.0 >= *last + APART)
        {
            if self.old.len() == OLD {
                self.old.pop_front();
                self.cut = true;
            }
            self.old.push_back(point);
        }
        self.recent.push_back((at.boot, joules));
    }

    /// Linear between points, flat after the last one, and before the one that it began with; `None` for
    /// what is forgotten.
    pub(super) fn at(&self, when: Duration) -> Option<Joules> {
        let is_before = |(at, _): &Point| *at <= when;
        let old = self.old.partition_point(is_before);
        let recent = self.recent.partition_point(is_before);
        let before = recent
            .checked_sub(1)
            .and_then(|place| self.recent.get(place));
        let before = before.or_else(|| self.old.get(old.checked_sub(1)?));
        let after = self.old.get(old).or_else(|| self.recent.get(recent));
        match (before, after) {
            (Some(&(from, low)), Some(&(to, high))) => {
                let share = (when - from).as_secs_f64() / (to - from).as_secs_f64();
                Some(low + (high - low).times(share))
            }
            (Some(&(_, last)), None) => Some(last),
            (None, first) => first.filter(|_| !self.cut).map(|(_, joules)| *joules),
        }
    }
}
