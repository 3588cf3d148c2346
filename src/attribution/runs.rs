//! What runs used: a second reading of the same division. A run lies within workloads, which have all of the joules
//! already, so that nothing here is part of their sums; but each share is by the same formulae and of the same energy.

use super::page::{Amount, Amounts, add};
use super::pending::Chunk;
use super::split::{self, Share};
use super::windows::{Occupied, RunShare, Window};
use super::{Idle, PATIENCE};
use crate::sensor::Kind;
use crate::units::{Grams, Joules, Watts};
use crate::workload::runs::Id;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// What of one run is known.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct RunBook {
    amounts: Amounts,
    /// When it began (time since boot), and when it ended.
    since: Duration,
    until: Option<Duration>,
}

/// A run's figures of one kind of device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RunUse {
    /// Of what.
    pub kind: Kind,
    /// Energy since it began.
    pub joules: Joules,
    /// Location-based emissions since then; `None` where no factor was known.
    pub grams: Option<Grams>,
    /// Mean power over the last time that could be divided; `None` while nobody knows.
    pub watts: Option<Watts>,
    /// When its first was booked (time since boot).
    pub opened: Duration,
}

/// The books of all runs.
#[derive(Debug, Default)]
pub(super) struct Runs {
    books: BTreeMap<Id, RunBook>,
    flows: BTreeMap<Arc<str>, Flow>,
}

/// What the runs had of a device's power when it was last divided.
#[derive(Debug)]
struct Flow {
    kind: Kind,
    until: Duration,
    watts: Vec<(Id, Watts)>,
}

/// What runs had of one device's energy.
pub(super) type Gathered = BTreeMap<Id, Joules>;

impl Runs {
    /// Goes on with books of before.
    pub fn restore(books: Vec<(Id, RunBook)>) -> Self {
        Self {
            books: books.into_iter().collect(),
            flows: BTreeMap::new(),
        }
    }

    pub fn save(&self) -> Vec<(Id, RunBook)> {
        let books = self.books.iter();
        books
            .map(|(id, book)| (Arc::clone(id), book.clone()))
            .collect()
    }

    pub fn open(&mut self, id: Id, since: Duration) {
        let book = self.books.entry(id).or_default();
        book.since = since;
    }

    pub fn end(&mut self, id: &str, until: Duration) {
        if let Some(book) = self.books.get_mut(id) {
            book.until.get_or_insert(until);
        }
    }

    pub fn close(&mut self, id: &str) {
        self.books.remove(id);
    }

    /// Books what runs have of a piece of a device's energy.
    pub fn book(
        &mut self,
        kind: Kind,
        piece: &Chunk,
        parts: &[Part],
        sum: &mut Gathered,
        now: Duration,
    ) {
        for Part { id, part, .. } in parts {
            let Some(book) = self.books.get_mut(id) else {
                continue;
            };
            let part = part.clamp(0.0, 1.0);
            let amount = Amount {
                joules: piece.joules.times(part),
                grams: piece.grams.map(|grams| grams.times(part)),
                reserved: None,
                opened: now,
            };
            add(&mut book.amounts, kind, &amount);
            *sum.entry(Arc::clone(id)).or_default() += amount.joules;
        }
    }

    /// Notes how a device was divided until a moment, over a time.
    pub fn note(
        &mut self,
        device: &Arc<str>,
        kind: Kind,
        (until, time): (Duration, Duration),
        sum: Gathered,
    ) {
        let watts = sum.into_iter();
        let flow = Flow {
            kind,
            until,
            watts: watts
                .filter_map(|(id, joules)| Some((id, joules.over(time)?)))
                .collect(),
        };
        self.flows.insert(Arc::clone(device), flow);
    }

    /// A run's figures at `now`; none of a run that is not known.
    pub fn uses(&self, id: &str, now: Duration) -> Vec<RunUse> {
        let Some(book) = self.books.get(id) else {
            return Vec::new();
        };
        let mut watts: BTreeMap<Kind, Watts> = BTreeMap::new();
        let is_fresh = |flow: &&Flow| now.saturating_sub(flow.until) <= PATIENCE;
        for flow in self.flows.values().filter(is_fresh) {
            let own = flow.watts.iter().filter(|(of, _)| **of == *id);
            let sum: Watts = own.map(|(_, watts)| *watts).sum();
            *watts.entry(flow.kind).or_default() += sum;
        }
        let kinds = book.amounts.iter();
        kinds
            .map(|(kind, amount)| RunUse {
                kind: *kind,
                joules: amount.joules,
                grams: amount.grams,
                watts: watts.get(kind).copied(),
                opened: amount.opened,
            })
            .collect()
    }

    /// Until when all devices that are read often have been divided; what a slow meter adds to `other` may be later, and
    /// a device that has fallen silent is not waited for. `None` before anything was.
    pub fn known(&self, now: Duration) -> Option<Duration> {
        let flows = self.flows.values();
        let near = flows.filter(|flow| flow.kind != Kind::Other);
        let oldest = now.saturating_sub(PATIENCE);
        near.map(|flow| flow.until.max(oldest)).min()
    }

    /// What part of a time lies between a run's beginning and its end.
    pub fn within(&self, id: &str, (from, to): (Duration, Duration)) -> f64 {
        let Some(book) = self.books.get(id) else {
            return 0.0;
        };
        let until = book.until.unwrap_or(to).min(to);
        let time = until.saturating_sub(book.since.max(from));
        let all = to.saturating_sub(from).as_secs_f64();
        if all > 0.0 {
            time.as_secs_f64() / all
        } else {
            0.0
        }
    }
}

/// A run's part of a piece of energy, 0 to 1, and of it what was drawn beyond the device's rest.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Part {
    pub id: Id,
    pub part: f64,
    pub dynamic: f64,
}

/// The runs' parts of a processor's or memory's energy, of which `rest` is drawn by it idle.
pub(super) fn of_processor(window: &Window, kind: Kind, rest: f64, policy: Idle) -> Vec<Part> {
    let work = match kind {
        Kind::Dram => &window.memory,
        _ => &window.cpu,
    };
    let did = |run: &RunShare| match kind {
        Kind::Dram => run.memory,
        _ => run.cpu,
    };
    let all: f64 = work.iter().map(|(_, part)| part.max(0.0)).sum();
    // Where nobody else is known: several runs have no more than there is, either.
    let all = all.max(window.runs.iter().map(did).sum());
    let runs = window.runs.iter();
    runs.map(|run| {
        let (part, dynamic) = split::part_of_processor(rest, policy, did(run), all);
        Part {
            id: Arc::clone(&run.id),
            part,
            dynamic,
        }
    })
    .collect()
}

/// The runs' parts of an accelerator's energy: of what their processes' owner has, as much as is theirs.
pub(super) fn of_accelerator(
    runs: &Runs,
    window: &Occupied,
    device: &str,
    piece: &Chunk,
    shares: &[Share],
) -> Vec<Part> {
    let holds = window.runs.iter().filter(|hold| *hold.device == *device);
    holds
        .map(|hold| {
            let owner = || shares.iter().filter(|share| share.to == hold.to);
            let own = hold.part * runs.within(&hold.id, (piece.from, piece.to));
            Part {
                id: Arc::clone(&hold.id),
                part: own * owner().map(|share| share.part).sum::<f64>(),
                dynamic: own * owner().map(|share| share.dynamic).sum::<f64>(),
            }
        })
        .collect()
}

/// The runs' parts of what only the meter sees, by what each drew beyond rest on the devices.
pub(super) fn of_other(window: &Window) -> Vec<Part> {
    let all: f64 = window.dynamic.values().sum();
    if all <= 0.0 {
        return Vec::new();
    }
    let runs = window.run_dynamic.iter();
    runs.map(|(id, joules)| Part {
        id: Arc::clone(id),
        part: (joules / all).min(1.0),
        dynamic: 0.0,
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_device_that_has_fallen_silent_is_not_waited_for() {
        let mut runs = Runs::default();
        assert_eq!(runs.known(secs(100)), None);
        let mut note = |device: &str, kind, until| {
            runs.note(
                &device.into(),
                kind,
                (secs(until), secs(1)),
                Gathered::new(),
            );
        };
        note("package-0", Kind::Cpu, 99);
        note("GPU-0", Kind::Gpu, 95);
        note("other", Kind::Other, 40);
        assert_eq!(runs.known(secs(100)), Some(secs(95)));
        // The GPU falls off the bus.
        runs.note(
            &"package-0".into(),
            Kind::Cpu,
            (secs(999), secs(1)),
            Gathered::new(),
        );
        assert_eq!(runs.known(secs(1000)), Some(secs(1000) - PATIENCE));
    }

    #[test]
    fn several_runs_have_no_more_than_there_is_where_nobody_else_is_known() {
        let window = Window {
            runs: ["a", "b"]
                .map(|id| RunShare {
                    id: id.into(),
                    cpu: 0.9,
                    memory: 0.0,
                })
                .to_vec(),
            ..Window::default()
        };
        let parts = of_processor(&window, Kind::Cpu, 0.2, Idle::Separate);
        let sum: f64 = parts.iter().map(|part| part.part).sum();
        assert!((sum - 0.8).abs() < 1e-9, "{parts:?}");
    }

    #[test]
    fn a_time_is_a_runs_between_its_beginning_and_its_end() {
        let mut runs = Runs::default();
        runs.open("run".into(), secs(10));
        assert_eq!(runs.within("run", (secs(9), secs(11))), 0.5);
        runs.end("run", secs(20));
        assert_eq!(runs.within("run", (secs(19), secs(23))), 0.25);
        assert_eq!(runs.within("run", (secs(21), secs(22))), 0.0);
        assert_eq!(runs.within("other", (secs(11), secs(12))), 0.0);
    }
}
