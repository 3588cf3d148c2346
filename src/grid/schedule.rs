//! When a provider is asked what: at the pace at which there is something new, never faster than it allows,
//! and ever more seldom while it fails. Knows no clock and no network.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The first wait after a failure; doubled with each further one, ...
const SOON: Duration = Duration::from_secs(30);

/// ... up to this.
const LATE: Duration = Duration::from_secs(3600);

/// The longest that a provider may tell us to wait.
const MOST: Duration = Duration::from_secs(24 * 3600);

/// How a request went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Answered, with something that could be used or with nothing new.
    Well,
    /// Failed; the provider may have said how long to leave it alone.
    Badly(Option<Duration>),
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make this request.
    Ask(usize),
    /// Nothing before then.
    Wait(Duration),
}

/// The requests of one provider.
#[derive(Debug)]
pub struct Schedule {
    items: Vec<Item>,
    /// Least time between two requests.
    apart: Duration,
    /// Nothing is asked before.
    closed_until: Duration,
}

#[derive(Debug)]
struct Item {
    every: Duration,
    due: Duration,
    failures: u32,
}

impl Schedule {
    /// Requests, each with the time in which there is something new. All are due at `now`, the first first.
    #[must_use]
    pub fn new(every: impl IntoIterator<Item = Duration>, apart: Duration, now: Duration) -> Self {
        let item = |every| Item {
            every,
            due: now,
            failures: 0,
        };
        Self {
            items: every.into_iter().map(item).collect(),
            apart,
            closed_until: now,
        }
    }

    /// What to do at `now`: the request that has been due for longest.
    #[must_use]
    pub fn step(&self, now: Duration) -> Step {
        let items = self.items.iter().enumerate();
        let Some((place, item)) = items.min_by_key(|(_, item)| item.due) else {
            return Step::Wait(now + LATE);
        };
        let at = item.due.max(self.closed_until);
        if at <= now {
            Step::Ask(place)
        } else {
            Step::Wait(at)
        }
    }

    /// Notes how a request went that ended at `now`. `chance`, 0 to 1, spreads the requests of many nodes.
    pub fn went(&mut self, place: usize, outcome: Outcome, now: Duration, chance: f64) {
        let apart = self.apart;
        self.closed_until = now + apart;
        let Some(item) = self.items.get_mut(place) else {
            return;
        };
        match outcome {
            Outcome::Well => {
                item.failures = 0;
                item.due = now + item.every.mul_f64(1.0 + 0.1 * chance);
            }
            Outcome::Badly(told) => {
                let doubled = SOON.saturating_mul(1 << item.failures.min(12));
                item.failures = item.failures.saturating_add(1);
                let wait = doubled.min(LATE).mul_f64(0.5 + 0.5 * chance);
                let told = told.map(|told| told.min(MOST));
                item.due = now + wait.max(told.unwrap_or_default());
                if let Some(told) = told {
                    // It is the provider that is closed, not one of its pages.
                    self.closed_until = now + told.max(apart);
                }
            }
        }
    }
}

/// Until when the servers are left alone, by their addresses: what is asked for anew after a reload, or twice
/// in one configuration, is asked of the same server, and its limits are still its limits.
#[derive(Clone, Debug, Default)]
pub struct Doors(Arc<Mutex<BTreeMap<String, Duration>>>);

/// The files of this machine need not be left alone.
const FILES: &str = "file://";

impl Doors {
    /// What to do at `now` by the schedule of a server; nobody else asks that server at the same time.
    #[must_use]
    pub fn step(&self, server: &str, schedule: &Schedule, now: Duration) -> Step {
        let step = schedule.step(now);
        let Step::Ask(_) = step else { return step };
        if server == FILES {
            return step;
        }
        let mut doors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match doors.get(server).filter(|until| **until > now) {
            Some(until) => Step::Wait(*until),
            None => {
                doors.insert(server.to_owned(), now + schedule.apart);
                step
            }
        }
    }

    /// Notes until when the schedule of a server asks it nothing.
    pub fn went(&self, server: &str, schedule: &Schedule) {
        let mut doors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let until = doors.entry(server.to_owned()).or_default();
        *until = schedule.closed_until.max(*until);
    }
}

/// The server of an address: all before the path.
#[must_use]
pub fn server(url: &str) -> &str {
    let host = url.find("://").map_or(0, |end| end + 3);
    let (_, rest) = url.split_at(host);
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    url.get(..host + end).unwrap_or(url)
}

/// A number from 0 to 1 that no other node has at the same time.
#[allow(clippy::cast_precision_loss)]
pub(super) fn chance() -> f64 {
    let random = RandomState::new().build_hasher().finish();
    (random >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// The times at which a provider is asked over a day, where `went` says how each request goes.
    fn asked(
        schedule: &mut Schedule,
        mut went: impl FnMut(usize, u64) -> Outcome,
    ) -> Vec<(u64, usize)> {
        let (mut now, mut asked) = (s(0), Vec::new());
        while now < s(86400) {
            match schedule.step(now) {
                Step::Ask(place) => {
                    asked.push((now.as_secs(), place));
                    let outcome = went(place, now.as_secs());
                    schedule.went(place, outcome, now, 0.5);
                }
                Step::Wait(until) => {
                    assert!(until > now);
                    now = until;
                }
            }
        }
        asked
    }

    #[test]
    fn two_a_minute_are_two_a_minute_whatever_is_due() {
        let every = (0..50).map(|_| s(60));
        let mut schedule = Schedule::new(every, s(31), s(0));
        let asked = asked(&mut schedule, |place, _| {
            if place % 3 == 0 {
                Outcome::Badly(None)
            } else {
                Outcome::Well
            }
        });
        assert!(asked.windows(2).all(|pair| pair[1].0 - pair[0].0 >= 31));
        // Nobody is forgotten for that.
        assert!((0..50).all(|place| asked.iter().filter(|(_, p)| *p == place).count() > 20));
    }

    #[test]
    fn each_is_asked_at_its_own_pace() {
        let mut schedule = Schedule::new([s(300), s(21600)], s(1), s(0));
        let asked = asked(&mut schedule, |_, _| Outcome::Well);
        let count = |place| asked.iter().filter(|(_, p)| *p == place).count();
        assert!((270..=288).contains(&count(0)), "{}", count(0));
        assert_eq!(count(1), 4);
    }

    #[test]
    fn a_failure_is_tried_again_ever_more_seldom_and_success_forgets_it() {
        let mut schedule = Schedule::new([s(300)], s(1), s(0));
        let asked = asked(&mut schedule, |_, now| {
            if now < 43200 {
                Outcome::Badly(None)
            } else {
                Outcome::Well
            }
        });
        let waits: Vec<u64> = asked.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        assert_eq!(&waits[..4], [22, 45, 90, 180]);
        assert!(waits.iter().all(|wait| *wait <= 2700));
        assert!(asked.iter().filter(|(at, _)| *at < 43200).count() < 30);
        assert_eq!(*waits.last().unwrap(), 315);
    }

    #[test]
    fn what_the_provider_says_of_waiting_closes_all_of_it() {
        let mut schedule = Schedule::new([s(60), s(60)], s(1), s(0));
        let told = Some(s(600));
        let asked = asked(&mut schedule, |_, now| {
            if now == 0 {
                Outcome::Badly(told)
            } else {
                Outcome::Well
            }
        });
        assert_eq!(asked[1].0, 600);
        // Nobody can close it for good.
        schedule.went(0, Outcome::Badly(Some(s(u64::MAX))), s(90000), 0.5);
        assert_eq!(schedule.step(s(90000)), Step::Wait(s(90000 + 86400)));
    }

    #[test]
    fn a_server_is_left_alone_whoever_asks() {
        let doors = Doors::default();
        let (here, there) = ("http://a", "http://b");
        let mut old = Schedule::new([s(900)], s(31), s(0));
        assert_eq!(doors.step(here, &old, s(0)), Step::Ask(0));
        // Another one while the answer is awaited, and one of another server.
        let new = Schedule::new([s(900)], s(31), s(5));
        assert_eq!(doors.step(here, &new, s(5)), Step::Wait(s(31)));
        assert_eq!(doors.step(there, &new, s(5)), Step::Ask(0));
        old.went(0, Outcome::Badly(Some(s(3600))), s(10), 0.5);
        doors.went(here, &old);
        let new = Schedule::new([s(900)], s(31), s(60));
        assert_eq!(doors.step(here, &new, s(60)), Step::Wait(s(3610)));
        assert_eq!(doors.step(here, &new, s(3610)), Step::Ask(0));
        assert_eq!(doors.step(FILES, &new, s(60)), Step::Ask(0));
        assert_eq!(doors.step(FILES, &new, s(60)), Step::Ask(0));
        for (url, of) in [
            ("https://a:1/b?c=http://d/", "https://a:1"),
            ("http://a?b", "http://a"),
            ("file:///a/b", FILES),
            ("", ""),
        ] {
            assert_eq!(server(url), of);
        }
    }

    #[test]
    fn nothing_to_ask_is_no_fault() {
        assert_eq!(
            Schedule::new([], s(1), s(5)).step(s(5)),
            Step::Wait(s(3605))
        );
    }
}
