//! The node: devices and the best wall meter make one total.
//!
//! The node's energy is the sum of its devices and of `other`, what the meter sees beyond them.
//! Devices and meter are read at different moments, so their cumulative joules are compared at one
//! moment that both cover, linear between readings: a slow meter is reconciled over its own window.
//! `other` never falls. Where devices ran ahead of the meter for a while (jitter, late counters) that
//! debt is paid before `other` grows again; a debt that never ends is a meter that reads too little.

use crate::clock::Moment;
use crate::ledger::{Account, Ledger, Method};
use crate::sensor::{MeterClass, Part, Scope};
use crate::units::{Joules, Watts};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Which meter may set the node's total.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The most trusted one that speaks.
    Auto,
    /// None: the node is the sum of its devices.
    None,
    /// This class, and no other.
    Class(MeterClass),
}

/// Longest debt of `other`, in time at the devices' mean power: jitter is paid back, a meter that
/// always reads less than the devices is not.
const LONGEST_DEBT: Duration = Duration::from_secs(60);

/// What the meter and the devices had come to at one moment.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Point {
    class: MeterClass,
    at: Moment,
    meter: Joules,
    devices: Joules,
}

/// The node's reconciliation with its meter.
#[derive(Clone, Debug)]
pub struct Node {
    choice: Choice,
    class: Option<MeterClass>,
    since: Option<Point>,
    debt: Joules,
    other: Option<Joules>,
    short: u64,
}

/// A reconciliation as it is kept over a restart.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Saved {
    class: Option<MeterClass>,
    since: Option<Point>,
    debt: Joules,
    other: Option<Joules>,
}

/// Energy of `other` over a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rest {
    /// How much; never negative.
    pub joules: Joules,
    /// From when, ...
    pub from: Moment,
    /// ... until when.
    pub to: Moment,
    /// The meter saw less than the devices, by more than any jitter explains.
    pub short: bool,
}

impl Node {
    /// A node that nothing is known of yet.
    #[must_use]
    pub fn new(choice: Choice, saved: Saved) -> Self {
        Self {
            choice,
            class: saved.class,
            since: saved.since,
            debt: saved.debt,
            other: saved.other,
            short: 0,
        }
    }

    /// What must be kept for [`Node::new`].
    #[must_use]
    pub fn save(&self) -> Saved {
        Saved {
            class: self.class,
            since: self.since,
            debt: self.debt,
            other: self.other,
        }
    }

    /// Another choice of meter, from a new configuration.
    pub fn choose(&mut self, choice: Choice) {
        self.choice = choice;
    }

    /// The class of meter that the total rests on; `None` where it is the sum of devices.
    #[must_use]
    pub fn meter(&self) -> Option<MeterClass> {
        self.class
    }

    /// Energy beyond the devices since boot; `None` where no meter has ever been in force.
    #[must_use]
    pub fn other(&self) -> Option<Joules> {
        self.other
    }

    /// What the meter in force reads; `None` where none is, or its power is not known.
    #[must_use]
    pub fn metered(&self, ledger: &Ledger, now: Moment) -> Option<Watts> {
        meters(ledger, self.class?)
            .map(|account| account.watts_at(now))
            .sum()
    }

    /// Power beyond the devices: what the meter in force reads, less what they draw, both as they are
    /// shown at `now`, so that the node's power is the meter's. Not that of the last window of
    /// [`Node::reconcile`], which ends where the slowest of them was last read. `None` as
    /// [`Node::metered`].
    #[must_use]
    pub fn other_watts(&self, ledger: &Ledger, now: Moment) -> Option<Watts> {
        let meter = self.metered(ledger, now)?;
        let devices: Watts = ledger
            .devices()
            .filter_map(|(_, _, account)| account.watts_at(now))
            .sum();
        Some((meter - devices).max(Watts::ZERO))
    }

    /// Windows in which the meter saw less than the devices.
    #[must_use]
    pub fn short_windows(&self) -> u64 {
        self.short
    }

    /// What the meter in force leaves for parts that no sensor measures: its power, less that of the
    /// measured devices, less what is owed to it, spread over the longest debt. `None` where no meter
    /// is in force, or its power is not known.
    #[must_use]
    pub fn left_for_models(&self, ledger: &Ledger, now: Moment) -> Option<Watts> {
        let meter = self.metered(ledger, now)?;
        let measured: Watts = ledger
            .devices()
            .filter(|(_, _, account)| account.method != Method::Modelled)
            .filter_map(|(_, _, account)| account.watts_at(now))
            .sum();
        let owed = self.debt.over(LONGEST_DEBT).unwrap_or(Watts::ZERO);
        Some((meter - measured - owed).max(Watts::ZERO))
    }

    /// Compares meter and devices as far as both have been read.
    pub fn reconcile(&mut self, ledger: &Ledger, now: Moment) -> Option<Rest> {
        self.since = self.since.filter(|point| self.admits(point.class));
        let class = self.best(ledger, now);
        self.class = class;
        let class = class?;
        let other = *self.other.get_or_insert(Joules::ZERO);
        let point = Self::point(ledger, class, now)?;
        let before = self.since.filter(|before| before.class == class);
        if before.is_some_and(|before| point.at.boot <= before.at.boot) {
            return None;
        }
        self.since = Some(point);
        // A meter that missed energy says nothing of that time. One that was only silent does.
        let whole = |since: &Point| meters(ledger, class).all(|m| m.whole_since() <= since.at.boot);
        let before = before.filter(whole)?;
        let devices = point.devices - before.devices;
        let beyond = point.meter - before.meter - devices;
        let window = point.at.boot - before.at.boot;
        let balance = beyond - self.debt;
        // A debt once made is paid in full, to whichever meter (a silent device's energy was in `other`
        // and now comes from its own counter); only its growth is bounded.
        let usual = devices
            .over(window)
            .unwrap_or(Watts::ZERO)
            .during(LONGEST_DEBT);
        let most = usual.max(self.debt);
        let short = Joules::ZERO - balance > most;
        self.short += u64::from(short);
        self.debt = (Joules::ZERO - balance).max(Joules::ZERO).min(most);
        let joules = balance.max(Joules::ZERO);
        self.other = Some(other + joules);
        Some(Rest {
            joules,
            from: before.at,
            to: point.at,
            short,
        })
    }

    fn admits(&self, class: MeterClass) -> bool {
        match self.choice {
            Choice::Auto => true,
            Choice::None => false,
            Choice::Class(only) => class == only,
        }
    }

    fn best(&self, ledger: &Ledger, now: Moment) -> Option<MeterClass> {
        let speaks = |class: &MeterClass| {
            let mut meters = meters(ledger, *class).peekable();
            meters.peek().is_some() && meters.all(|account| account.is_live(now))
        };
        MeterClass::ALL
            .into_iter()
            .filter(|class| self.admits(*class))
            .find(speaks)
    }

    /// The latest moment that every meter of the class and every live device is known up to.
    fn point(ledger: &Ledger, class: MeterClass, now: Moment) -> Option<Point> {
        let live = ledger
            .devices()
            .map(|(_, _, account)| account)
            .filter(|a| a.is_live(now));
        let at = meters(ledger, class)
            .chain(live)
            .map(Account::known_until)
            .min_by_key(|at| at.boot)?;
        let meter = meters(ledger, class)
            .map(|a| a.joules_at(at.boot))
            .sum::<Option<Joules>>()?;
        let devices = ledger
            .devices()
            .map(|(_, _, a)| a.joules_at(at.boot))
            .sum::<Option<Joules>>()?;
        Some(Point {
            class,
            at,
            meter,
            devices,
        })
    }
}

fn meters(ledger: &Ledger, class: MeterClass) -> impl Iterator<Item = &Account> {
    ledger
        .accounts()
        .filter_map(move |(part, account)| match part {
            Part::Meter {
                scope: Scope::Node(of),
                ..
            } if *of == class => Some(account),
            _ => None,
        })
}

#[cfg(test)]
mod tests;
