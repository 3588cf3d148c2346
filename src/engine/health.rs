//! The health of one sensor, and the log lines about it: once when something breaks, once when it is
//! well again.

use super::Batch;
use super::lines::Lines;
use crate::clock::Moment;
use crate::ledger::{Event, Reader};
use crate::sensor::{Fault, IMPLAUSIBLE, REASONS};
use crate::snapshot::{SensorHealth, Trouble};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tracing::{info, warn};

/// Faults shown of one sensor; more are counted and not shown.
const MOST_FAULTS: usize = 32;

#[derive(Debug, Default)]
pub(super) struct Health {
    reader: Option<Reader>,
    last: Option<Moment>,
    took: Option<Duration>,
    gave: bool,
    silent: bool,
    errors: BTreeMap<&'static str, u64>,
    wraps: u64,
    gaps: u64,
    faults: Arc<[Trouble]>,
    lines: Lines,
}

impl Health {
    pub(super) fn seat(&mut self, reader: Reader) {
        self.reader = Some(reader);
    }

    /// Notes that the sensor answered, and says who it is.
    pub(super) fn answered(&mut self, batch: &Batch) -> Reader {
        let reader = self.reader.clone().unwrap_or_else(|| Reader {
            name: Arc::clone(&batch.sensor),
            rank: usize::MAX,
            patience: Duration::ZERO,
        });
        if self.silent {
            info!(sensor = %batch.sensor, "answers again");
            self.silent = false;
        }
        self.last = Some(batch.at);
        self.took = Some(batch.took);
        self.gave = batch.readings.bad.is_empty() || !batch.readings.good.is_empty();
        for fault in &batch.readings.bad {
            *self.errors.entry(fault.reason()).or_default() += 1;
        }
        self.compare(&batch.sensor, &batch.readings.bad, batch.at);
        reader
    }

    /// Keeps what is wrong now; logs what is wrong anew, or in need of another mend, and what is well,
    /// as far as that is not old news.
    fn compare(&mut self, sensor: &str, bad: &[Fault], at: Moment) {
        let trouble = |fault: &Fault| Trouble {
            place: fault.place.clone(),
            message: fault.cause.to_string(),
            mend: fault.mend.clone(),
        };
        let now: Vec<Trouble> = bad.iter().take(MOST_FAULTS).map(trouble).collect();
        let (broken, well) = self.lines.due(&now, at.awake);
        for trouble in broken {
            let Trouble {
                place,
                message,
                mend,
            } = trouble;
            warn!(sensor, place, error = message, mend, "cannot read");
        }
        for place in well {
            info!(sensor, place, "no longer failing");
        }
        if *now != *self.faults {
            self.faults = now.into();
        }
    }

    pub(super) fn count(&mut self, event: Event) {
        match event {
            Event::Booked | Event::Ignored => {}
            Event::Wrapped => self.wraps += 1,
            Event::Gap => self.gaps += 1,
            Event::Refused => *self.errors.entry(IMPLAUSIBLE).or_default() += 1,
        }
    }

    /// Whether it has spoken, or has had its time to.
    pub(super) fn is_settled(&self, started: Moment, now: Moment) -> bool {
        self.last.is_some() || now.awake.saturating_sub(started.awake) > self.patience()
    }

    fn patience(&self) -> Duration {
        self.reader
            .as_ref()
            .map_or(Duration::ZERO, |reader| reader.patience)
    }

    fn is_late(&self, started: Moment, now: Moment) -> bool {
        let heard = self.last.unwrap_or(started);
        now.awake.saturating_sub(heard.awake) > self.patience()
    }

    /// Whether some of what it reads may be missing: it is silent, or not all that it has can be read.
    pub(super) fn is_ill(&self, started: Moment, now: Moment) -> bool {
        self.last.is_none() || self.is_late(started, now) || !self.faults.is_empty()
    }

    /// How it is at `now`; logs when it falls silent.
    pub(super) fn show(&mut self, name: &Arc<str>, started: Moment, now: Moment) -> SensorHealth {
        let late = self.is_late(started, now);
        if late && !self.silent {
            self.silent = true;
            warn!(
                sensor = %name,
                "has not answered for {:?}: its watts are gone from the page and its joules stand \
                 still until it does; if it never does, restart gramwatt and look at the kernel log",
                self.patience()
            );
        }
        SensorHealth {
            name: Arc::clone(name),
            up: self.last.is_some() && !late && self.gave,
            last: self.last,
            took: self.took,
            errors: REASONS
                .map(|reason| (reason, self.errors.get(reason).copied().unwrap_or(0)))
                .to_vec(),
            wraps: self.wraps,
            gaps: self.gaps,
            faults: Arc::clone(&self.faults),
        }
    }
}
