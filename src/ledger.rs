//! The ledger: readings become monotonic joules.
//!
//! Every part has one account. A counter is booked by its differences, corrected for its wrap; power is
//! integrated by the trapezoid rule over the time the machine was awake. A step that cannot be true
//! (backwards, or faster than the part can draw) is not booked at once: it stays a suspicion until the
//! next reading says whether it was a glitch, of which nothing remains, or the counter's new life.

mod counter;
mod history;
mod saved;
mod seats;

use crate::clock::Moment;
use crate::sensor::{Kind, Part, Reading, Source, Value};
use crate::units::{Joules, Watts};
use counter::{Baseline, Dial, Step};
use history::History;
pub use saved::Saved;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How joules were had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Differences of an energy counter.
    Counter,
    /// Measured power x time.
    Integrated,
    /// Power that no sensor measured x time.
    Modelled,
}

impl Method {
    /// The value of the `method` label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Integrated => "integrated",
            Self::Modelled => "modelled",
        }
    }

    fn of(value: Value) -> Self {
        match value {
            Value::Counter { .. } => Self::Counter,
            Value::Power(_) => Self::Integrated,
            Value::Modelled(_) => Self::Modelled,
        }
    }
}

/// Who reads, for the ledger: a sensor with its place in the order of trust and its pace.
#[derive(Clone, Debug)]
pub struct Reader {
    /// The sensor's name.
    pub name: Arc<str>,
    /// Its family's place in the order of trust; 0 is the most trusted.
    pub rank: usize,
    /// Longest silence over which power is still integrated and watts are still shown.
    pub patience: Duration,
}

/// Energy that one reading added to one account.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Whose.
    pub part: Part,
    /// How much; never negative.
    pub joules: Joules,
    /// From when, ...
    pub from: Moment,
    /// ... until when it was used.
    pub to: Moment,
    /// How it was had.
    pub method: Method,
}

/// What happened to a reading, besides being booked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event {
    /// Nothing out of the ordinary.
    Booked,
    /// The counter went round, and the books with it.
    Wrapped,
    /// Time passed of which the energy is not known.
    Gap,
    /// The step cannot be true and was refused.
    Refused,
    /// A more trusted sensor reads this part.
    Ignored,
}

/// A part's place in the books.
#[derive(Clone, Debug)]
pub struct Account {
    /// What it is.
    pub source: Arc<Source>,
    /// Who reads it.
    pub reader: Reader,
    /// How its joules are had.
    pub method: Method,
    /// All energy booked since boot.
    pub joules: Joules,
    /// Mean power over the last interval; `None` before there is one.
    pub watts: Option<Watts>,
    /// Share of the device that was busy, 0 to 1.
    pub utilization: Option<f64>,
    /// Power limit in force.
    pub power_limit: Option<Watts>,
    /// The last reading, believed or not: an older one comes too late.
    seen: Moment,
    last: Last,
    suspect: Option<Baseline>,
    /// Since when (time since boot) no energy has been missed.
    whole_since: Duration,
    /// Of books that go on after a restart, and have not been read since: when they were opened.
    awaited: Option<Moment>,
    history: History,
}

/// What one reading did to an account.
struct Booking {
    joules: Joules,
    from: Moment,
    event: Event,
}

/// The reading that the next one is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Last {
    Counter(Baseline),
    Power { watts: Watts, at: Moment },
}

impl Last {
    fn of(value: Value, at: Moment) -> Self {
        match value {
            Value::Counter { raw, .. } => Self::Counter(Baseline { raw, at }),
            Value::Power(watts) | Value::Modelled(watts) => Self::Power { watts, at },
        }
    }
    fn at(&self) -> Moment {
        match self {
            Self::Counter(baseline) => baseline.at,
            Self::Power { at, .. } => *at,
        }
    }
}

impl Account {
    fn open(reader: &Reader, reading: &Reading, at: Moment) -> Self {
        Self {
            source: Arc::clone(&reading.source),
            reader: reader.clone(),
            method: Method::of(reading.value),
            joules: Joules::ZERO,
            watts: instant(reading.value),
            utilization: reading.utilization,
            power_limit: reading.power_limit,
            seen: at,
            last: Last::of(reading.value, at),
            suspect: None,
            whole_since: at.boot,
            awaited: None,
            history: History::starting(at, Joules::ZERO),
        }
    }

    /// Until when its joules are known: the last reading that was believed.
    #[must_use]
    pub fn known_until(&self) -> Moment {
        self.last.at()
    }

    /// Since when (time since boot) its joules have missed nothing.
    #[must_use]
    pub fn whole_since(&self) -> Duration {
        self.whole_since
    }

    /// Whether it comes from before a restart and has not been read since.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        self.awaited.is_some()
    }

    /// Whether its sensor still speaks, and is believed: the last such reading (or the restart that
    /// it is awaited after) is no longer ago than the reader's patience.
    #[must_use]
    pub fn is_live(&self, now: Moment) -> bool {
        let heard = self.last.at().awake;
        let heard = self.awaited.map_or(heard, |since| since.awake.max(heard));
        now.awake.saturating_sub(heard) <= self.reader.patience
    }

    /// Its power as it is shown at `now`: gone once its sensor has been silent for too long.
    #[must_use]
    pub fn watts_at(&self, now: Moment) -> Option<Watts> {
        self.watts.filter(|_| self.is_live(now))
    }

    /// Whether a reader of this rank must leave the part to the sensor that has it. The one that had it
    /// before a restart is given its time to come back.
    fn is_kept_from(&self, rank: usize, now: Moment) -> bool {
        rank >= self.reader.rank && (self.is_live(now) || !self.is_awaited())
    }

    /// Its joules at an earlier moment, linear between readings; `None` where that is too long ago.
    #[must_use]
    pub fn joules_at(&self, boot: Duration) -> Option<Joules> {
        self.history.at(boot)
    }

    /// Books the energy of one more reading.
    fn book(&mut self, reading: &Reading, at: Moment) -> Booking {
        let booking = match (self.last, reading.value) {
            // Not believed: the power before it holds, until the next reading or for good.
            (last, _) if !reading.is_plausible() => Booking {
                joules: Joules::ZERO,
                from: last.at(),
                event: Event::Refused,
            },
            (
                Last::Counter(baseline),
                Value::Counter {
                    raw,
                    unit,
                    wraps_at,
                },
            ) => {
                let dial = Dial {
                    unit,
                    wraps_at,
                    ceiling: self.source.ceiling,
                };
                self.count(baseline, Baseline { raw, at }, dial)
            }
            (Last::Power { watts, at: from }, Value::Power(now)) => {
                self.integrate((watts, from), (now, at))
            }
            (Last::Power { at: from, .. }, Value::Modelled(mean)) => {
                self.integrate((mean, from), (mean, at))
            }
            // The sensor found, or lost, a counter: a new beginning, not energy.
            (last, value) => {
                self.last = Last::of(value, at);
                self.suspect = None;
                self.whole_since = at.boot;
                Booking {
                    joules: Joules::ZERO,
                    from: last.at(),
                    event: Event::Gap,
                }
            }
        };
        self.seen = at;
        self.awaited = None;
        self.joules += booking.joules;
        if self.last.at() == at {
            self.history.push(at, self.joules);
        }
        booking
    }

    fn count(&mut self, base: Baseline, now: Baseline, dial: Dial) -> Booking {
        let (from, step) = match (dial.step(base, now), self.suspect) {
            (Step::Impossible(_), Some(suspect)) => (suspect.at, dial.step(suspect, now)),
            (step, _) => (base.at, step),
        };
        let (joules, event) = match step {
            Step::Used(joules) => (joules, Event::Booked),
            Step::Wrapped(joules) => (joules, Event::Wrapped),
            Step::Unknown => {
                self.whole_since = now.at.boot;
                (Joules::ZERO, Event::Gap)
            }
            Step::Impossible(event) => {
                self.suspect = Some(now);
                return Booking {
                    joules: Joules::ZERO,
                    from,
                    event,
                };
            }
        };
        if from != base.at {
            // What was between is not known: the books stood still until the counter's new life began.
            self.whole_since = from.boot;
            self.history.push(from, self.joules);
        }
        self.suspect = None;
        self.last = Last::Counter(now);
        Booking {
            joules,
            from,
            event,
        }
    }

    fn integrate(&mut self, before: (Watts, Moment), now: (Watts, Moment)) -> Booking {
        let time = now.1.awake.saturating_sub(before.1.awake);
        let (joules, event) = if time > self.reader.patience {
            self.whole_since = now.1.boot;
            (Joules::ZERO, Event::Gap)
        } else {
            ((before.0 + now.0).times(0.5).during(time), Event::Booked)
        };
        self.last = Last::Power {
            watts: now.0,
            at: now.1,
        };
        Booking {
            joules,
            from: before.1,
            event,
        }
    }

    /// A more trusted sensor reads this part from now on: the joules go on, the baseline is new.
    fn take_over(&mut self, reader: &Reader, reading: &Reading, at: Moment) {
        let joules = self.joules;
        *self = Self::open(reader, reading, at);
        self.joules = joules;
        self.history = History::starting(at, joules);
    }
}

impl Account {
    /// Sets the watts that a booking shows, and says what it adds to the books.
    fn tell(&mut self, booking: &Booking, reading: &Reading, at: Moment) -> Option<Entry> {
        let booked = matches!(booking.event, Event::Booked | Event::Wrapped);
        self.watts = if booked {
            booking
                .joules
                .over(at.awake.saturating_sub(booking.from.awake))
        } else {
            instant(reading.value).filter(|_| booking.event != Event::Refused)
        };
        booked.then(|| Entry {
            part: reading.source.part.clone(),
            joules: booking.joules,
            from: booking.from,
            to: at,
            method: self.method,
        })
    }
}

/// The power that one reading tells by itself. What is modelled is a mean since the read before, so that
/// a reading that opens an interval tells of none that is booked.
fn instant(value: Value) -> Option<Watts> {
    match value {
        Value::Counter { .. } | Value::Modelled(_) => None,
        Value::Power(watts) => Some(watts),
    }
}

/// All accounts of the node.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    accounts: BTreeMap<Part, Account>,
    /// Readers that have not answered yet without a fault.
    unheard: Vec<Reader>,
}

impl Ledger {
    /// Goes on, from `now`, with the books of an earlier process of the same boot.
    #[must_use]
    pub fn restore(saved: Vec<Saved>, now: Moment) -> Self {
        let accounts = saved
            .into_iter()
            .map(|s| (s.part().clone(), s.account(now)))
            .collect();
        Self {
            accounts,
            unheard: Vec::new(),
        }
    }

    /// What must be kept for [`Ledger::restore`].
    pub fn save(&self) -> impl Iterator<Item = Saved> {
        self.accounts
            .iter()
            .map(|(part, account)| Saved::of(part, account))
    }

    /// Whether the part is this reader's to book: no more trusted one has it, under this name or
    /// another.
    #[must_use]
    pub fn listens_to(&self, reader: &Reader, part: &Part, at: Moment) -> bool {
        let kept = self.accounts.get(part).is_some_and(|account| {
            account.reader.name != reader.name && account.is_kept_from(reader.rank, at)
        });
        !kept && !self.is_read_better(reader, part, at)
    }

    /// Books one reading. The entry is there where energy was booked, if only 0.
    pub fn record(
        &mut self,
        reader: &Reader,
        reading: &Reading,
        at: Moment,
    ) -> (Option<Entry>, Event) {
        let part = &reading.source.part;
        if !self.listens_to(reader, part, at) {
            return (None, Event::Ignored);
        }
        let Some(account) = self.accounts.get_mut(part) else {
            if !reading.is_plausible() {
                return (None, Event::Refused);
            }
            self.accounts
                .insert(part.clone(), Account::open(reader, reading, at));
            return (None, Event::Booked);
        };
        if at.boot <= account.seen.boot {
            return (None, Event::Ignored);
        }
        if account.reader.name != reader.name {
            if !reading.is_plausible() {
                return (None, Event::Refused);
            }
            account.take_over(reader, reading, at);
            return (None, Event::Booked);
        }
        account.source = Arc::clone(&reading.source);
        account.reader = reader.clone();
        account.utilization = reading.utilization;
        account.power_limit = reading.power_limit;
        account.method = Method::of(reading.value);
        let booking = account.book(reading, at);
        (account.tell(&booking, reading, at), booking.event)
    }

    /// Whether a more trusted sensor reads the same hardware under another name, or with something else; or one
    /// of the same family did so first.
    fn is_read_better(&self, reader: &Reader, part: &Part, at: Moment) -> bool {
        let kind = part.kind();
        let is_before = |other: &Reader| {
            other.rank < reader.rank || (other.rank == reader.rank && other.name != reader.name)
        };
        self.accounts.iter().any(|(other, account)| {
            is_before(&account.reader)
                && account.is_kept_from(reader.rank, at)
                && other != part
                && (other.overlaps(part) || kind.is_some_and(|k| account.source.holds.contains(&k)))
        })
    }

    /// Every account, in a stable order.
    pub fn accounts(&self) -> impl Iterator<Item = (&Part, &Account)> {
        self.accounts.iter()
    }

    /// The accounts of devices.
    pub fn devices(&self) -> impl Iterator<Item = (&Arc<str>, Kind, &Account)> {
        self.accounts
            .iter()
            .filter_map(|(part, account)| match part {
                Part::Device { id, kind } => Some((id, *kind, account)),
                _ => None,
            })
    }

    /// The account of one part.
    #[must_use]
    pub fn account(&self, part: &Part) -> Option<&Account> {
        self.accounts.get(part)
    }
}

#[cfg(test)]
mod tests;
