//! Progress that is told before it is known what had been used by then: energy is divided a second or two late.

use super::api::Done;
use crate::units::Joules;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::time::Duration;

/// Most of each that are kept; beyond, the oldest are forgotten.
const MOST: usize = 64;

/// A moment since the run began, and what is told of it.
type At<T> = (Duration, T);

/// What waits, and what is known.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Marks {
    told: VecDeque<At<Done>>,
    /// What had been used by when, rising.
    used: VecDeque<At<Joules>>,
}

impl Marks {
    /// Takes progress.
    pub fn tell(&mut self, at: Duration, done: Done) {
        push(&mut self.told, (at, done));
    }

    /// Takes what had been used by then, and gives the progress of which it is known now what had been used.
    pub fn know(&mut self, until: Duration, joules: Joules) -> Vec<(Duration, Done, Joules)> {
        if self.used.back().is_none_or(|(last, _)| *last < until) {
            push(&mut self.used, (until, joules));
        }
        let mut all = Vec::new();
        while let Some((at, done)) = self.told.front().copied().filter(|(at, _)| *at <= until) {
            self.told.pop_front();
            all.push((at, done, self.by(at)));
        }
        all
    }

    /// What had been used by a moment: evenly between those that are known, from nothing at the beginning on.
    fn by(&self, at: Duration) -> Joules {
        let after = self.used.iter().find(|(until, _)| *until >= at);
        let before = self.used.iter().rev().find(|(until, _)| *until < at);
        let (from, least) = before.copied().unwrap_or_default();
        let Some((to, most)) = after.copied() else {
            return least;
        };
        let time = to.saturating_sub(from).as_secs_f64();
        let part = if time > 0.0 {
            at.saturating_sub(from).as_secs_f64() / time
        } else {
            1.0
        };
        least + (most - least).max(Joules::ZERO).times(part.clamp(0.0, 1.0))
    }
}

fn push<T>(all: &mut VecDeque<At<T>>, one: At<T>) {
    if all.len() >= MOST {
        all.pop_front();
    }
    all.push_back(one);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn progress_waits_until_it_is_known_what_had_been_used() {
        let mut marks = Marks::default();
        let done = |done| Done { done, total: 10.0 };
        marks.tell(secs(1.0), done(1.0));
        assert_eq!(marks.know(secs(0.5), Joules(10.0)), []);
        marks.tell(secs(2.0), done(2.0));
        let known = marks.know(secs(1.5), Joules(40.0));
        assert_eq!(known, [(secs(1.0), done(1.0), Joules(25.0))]);
        let known = marks.know(secs(4.0), Joules(90.0));
        assert_eq!(known, [(secs(2.0), done(2.0), Joules(50.0))]);
        // At once, where it is known already.
        marks.tell(secs(3.0), done(3.0));
        assert_eq!(marks.know(secs(4.0), Joules(90.0))[0].2, Joules(70.0));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut marks = Marks::default();
        for second in 0..1000 {
            let done = Done {
                done: f64::from(second),
                total: 1e3,
            };
            marks.tell(secs(f64::from(second)), done);
        }
        assert_eq!(marks.told.len(), MOST);
        let known = marks.know(secs(2000.0), Joules(2000.0));
        assert_eq!((known.len(), known[63].2), (MOST, Joules(999.0)));
    }
}
