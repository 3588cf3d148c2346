//! Accounts over a restart.

use super::{Account, History, Last, Method, Reader};
use crate::clock::Moment;
use crate::sensor::{About, Part, Source};
use crate::units::{Joules, Watts};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// An account as it is kept over a restart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    part: Part,
    sensor: Arc<str>,
    method: Method,
    joules: Joules,
    last: Last,
    whole_since: Duration,
}

impl Saved {
    pub(super) fn of(part: &Part, account: &Account) -> Self {
        Self {
            part: part.clone(),
            sensor: Arc::clone(&account.reader.name),
            method: account.method,
            joules: account.joules,
            last: account.last,
            whole_since: account.whole_since,
        }
    }

    /// The part that it is about.
    pub(super) fn part(&self) -> &Part {
        &self.part
    }

    /// Up to when its energy is booked.
    pub(crate) fn at(&self) -> Moment {
        self.last.at()
    }

    /// The account as it goes on: silent until its part is read again.
    pub(super) fn account(self, now: Moment) -> Account {
        let at = self.last.at();
        Account {
            source: Arc::new(Source {
                part: self.part,
                about: About::default(),
                ceiling: Watts::ZERO,
                holds: &[],
            }),
            reader: Reader {
                name: self.sensor,
                rank: usize::MAX,
                patience: Duration::ZERO,
            },
            method: self.method,
            joules: self.joules,
            watts: None,
            utilization: None,
            power_limit: None,
            seen: at,
            last: self.last,
            suspect: None,
            whole_since: self.whole_since,
            awaited: Some(now),
            history: History::starting(at, self.joules),
        }
    }
}
