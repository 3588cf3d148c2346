//! The node: devices and the best wall meter make one total.
//!
//! The node's energy is the sum of its devices and of `other`, what the meter sees beyond them.
//! Devices and meter are read at different moments, so their cumulative joules are compared at one
//! moment that both cover, linear between readings: a slow meter is reconciled over its own window.
//! `other` never falls. Where devices ran ahead of the meter for a while (jitter, late counters) that
//! debt is paid before `other` grows again; a debt that never ends is a meter that reads too little.

use crate::clock::Moment;
use crate::ledger::{Account, Ledger, Method, Reader};
use crate::sensor::{FAMILIES, MeterClass, Part, Scope};
use crate::units::{Joules, Watts};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Which meters may set the node's total, most trusted first: of these classes the first that speaks does.
/// With none, the node is the sum of its devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice(pub Vec<MeterClass>);

impl Choice {
    /// Any meter, in the usual order.
    #[must_use]
    pub fn auto() -> Self {
        Self(MeterClass::ALL.to_vec())
    }
}

/// The meters that set the node's total, and are summed: those of one class that one family reads. Two
/// families that read one class see the same thing twice (the board's controller, by Redfish and by IPMI).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Force {
    /// Their class.
    pub class: MeterClass,
    /// Their family's place in the order of trust; `None` for books that go on after a restart, until
    /// it is known again.
    rank: Option<usize>,
}

impl Force {
    /// Whether an account is one of them.
    #[must_use]
    pub fn includes(self, part: &Part, account: &Account) -> bool {
        let of_class =
            matches!(part, Part::Meter { scope: Scope::Node(of), .. } if *of == self.class);
        of_class && self.rank.is_none_or(|rank| rank == account.reader.rank)
    }

    /// The family that reads them; empty where that is not known yet.
    #[must_use]
    pub fn family(self) -> &'static str {
        let family = self.rank.and_then(|rank| FAMILIES.get(rank));
        family.map_or("", |family| family.name)
    }

    /// Their accounts.
    pub fn accounts(self, ledger: &Ledger) -> impl Iterator<Item = (&Part, &Account)> {
        let all = ledger.accounts();
        all.filter(move |(part, account)| self.includes(part, account))
    }
}

/// Longest debt of `other`, in time at the devices' mean power: jitter is paid back, a meter that
/// always reads less than the devices is not.
const LONGEST_DEBT: Duration = Duration::from_secs(60);

/// What the meters and the devices had come to at one moment.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Point {
    class: MeterClass,
    /// Which meters: other ones have come to something else.
    #[serde(default)]
    meters: Vec<Part>,
    at: Moment,
    meter: Joules,
    devices: Joules,
}

/// The node's reconciliation with its meter.
#[derive(Clone, Debug)]
pub struct Node {
    choice: Choice,
    force: Option<Force>,
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
            force: saved.class.map(|class| Force { class, rank: None }),
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
            class: self.force.map(|force| force.class),
            since: self.since.clone(),
            debt: self.debt,
            other: self.other,
        }
    }

    /// Another choice of meter, from a new configuration.
    pub fn choose(&mut self, choice: Choice) {
        self.choice = choice;
    }

    /// The meters that the total rests on; `None` where it is the sum of devices.
    #[must_use]
    pub fn force(&self) -> Option<Force> {
        self.force
    }

    /// Energy beyond the devices since boot; `None` where no meter has ever been in force.
    #[must_use]
    pub fn other(&self) -> Option<Joules> {
        self.other
    }

    /// What the meter in force reads; `None` where none is, or its power is not known.
    #[must_use]
    pub fn metered(&self, ledger: &Ledger, now: Moment) -> Option<Watts> {
        let meters = self.force?.accounts(ledger);
        meters.map(|(_, account)| account.watts_at(now)).sum()
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
        let admitted = &self.choice.0;
        self.since = self
            .since
            .take()
            .filter(|point| admitted.contains(&point.class));
        self.force = self.best(ledger, now);
        let force = self.force?;
        let other = *self.other.get_or_insert(Joules::ZERO);
        let point = point(ledger, force, now)?;
        let is_same = |before: &Point| before.class == force.class && before.meters == point.meters;
        let before = self.since.take().filter(is_same);
        if before
            .as_ref()
            .is_some_and(|before| point.at.boot <= before.at.boot)
        {
            self.since = before;
            return None;
        }
        self.since = Some(point.clone());
        // A meter that missed energy says nothing of that time. One that was only silent does.
        let whole = force
            .accounts(ledger)
            .map(|(_, meter)| meter.whole_since())
            .max()?;
        let before = match before? {
            before if whole <= before.at.boot => before,
            _ => known(
                ledger,
                force,
                point.at.earlier(point.at.boot.saturating_sub(whole)),
            )?,
        };
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

    /// The first class admitted of which a family's meters all speak, and the most trusted such family.
    /// Each of its sensors has one, or has answered that it has none: what one of two feeds reads is no node,
    /// even where the other has not answered yet.
    fn best(&self, ledger: &Ledger, now: Moment) -> Option<Force> {
        let ranks = |class: MeterClass| {
            let all = Force { class, rank: None };
            let mut ranks: Vec<usize> = all.accounts(ledger).map(|(_, a)| a.reader.rank).collect();
            ranks.sort_unstable();
            ranks.dedup();
            ranks.into_iter().map(move |rank| Force {
                class,
                rank: Some(rank),
            })
        };
        let has_one = |force: &Force, reader: &Reader| {
            let mut meters = force.accounts(ledger);
            meters.any(|(_, account)| account.reader.name == reader.name)
        };
        let speaks = |force: &Force| {
            let mut unheard = ledger.unheard().iter();
            force
                .accounts(ledger)
                .all(|(_, account)| account.is_live(now))
                && unheard.all(|reader| Some(reader.rank) != force.rank || has_one(force, reader))
        };
        self.choice.0.iter().copied().flat_map(ranks).find(speaks)
    }
}

/// The latest moment that all meters in force and every live device are known up to.
fn point(ledger: &Ledger, force: Force, now: Moment) -> Option<Point> {
    let meters = || force.accounts(ledger).map(|(_, account)| account);
    let devices = || ledger.devices().map(|(_, _, account)| account);
    let at = meters()
        .chain(devices().filter(|account| account.is_live(now)))
        .map(Account::known_until)
        .min_by_key(|at| at.boot)?;
    known(ledger, force, at)
}

/// What all meters in force and all devices had come to at a moment; `None` where that is forgotten.
fn known(ledger: &Ledger, force: Force, at: Moment) -> Option<Point> {
    let sum = |account: &Account| account.joules_at(at.boot);
    let meters = || force.accounts(ledger).map(|(_, account)| account);
    let devices = || ledger.devices().map(|(_, _, account)| account);
    Some(Point {
        class: force.class,
        meters: force
            .accounts(ledger)
            .map(|(part, _)| part.clone())
            .collect(),
        at,
        meter: meters().map(sum).sum::<Option<Joules>>()?,
        devices: devices().map(sum).sum::<Option<Joules>>()?,
    })
}

#[cfg(test)]
mod tests;
