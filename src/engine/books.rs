//! The books: what every device and the node have come to, in joules and in grams.

use crate::carbon::{Emissions, Timeline};
use crate::embodied::Making;
use crate::ledger::{Entry, Ledger, Method};
use crate::node::Rest;
use crate::sensor::{About, Kind, Part};
use crate::units::{Grams, GramsPerSecond, Joules};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The books of all devices and of the node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Books {
    /// A page for every device, `other` included, by device id.
    pub(super) devices: BTreeMap<Arc<str>, Page>,
    /// The node's own sums, added up entry by entry and compared with the devices' as a check.
    pub(super) node: Totals,
}

/// One device's grams. Its joules are in the ledger.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Page {
    pub emissions: Emissions,
    pub embodied: Option<Grams>,
    /// Until when (time since boot) its making has been booked.
    aged: Option<Duration>,
    /// What its making adds every second; from the configuration, so not kept.
    #[serde(skip)]
    making: Option<GramsPerSecond>,
    /// Models and sizes that the tables were asked for in vain: they are not asked again, for they are
    /// long, and readings come every second.
    #[serde(skip)]
    unknown: Vec<(String, Option<u64>)>,
}

/// The node's sums.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Totals {
    pub joules: Option<Joules>,
    pub modelled: Joules,
    pub emissions: Emissions,
}

/// The id of the device that stands for what only the meter sees.
pub(super) const OTHER: &str = "other";

impl Books {
    /// Sees to it that a device has a page, that its grams begin at 0, and that its making is booked
    /// from `at` on (time since boot).
    pub(super) fn open(
        &mut self,
        id: &Arc<str>,
        kind: Kind,
        about: &About,
        making: &Making,
        at: Duration,
    ) {
        self.node.joules.get_or_insert(Joules::ZERO);
        let page = self.devices.entry(Arc::clone(id)).or_default();
        let asked =
            |(model, bytes): &(String, _)| (model, bytes) == (&about.model, &about.memory_bytes);
        if page.making.is_some() || page.unknown.iter().any(asked) {
            return;
        }
        page.making = making.rate(id, kind, about);
        if page.making.is_some() {
            page.embodied.get_or_insert(Grams::ZERO);
            page.aged.get_or_insert(at);
        } else {
            page.unknown.push((about.model.clone(), about.memory_bytes));
        }
    }

    /// Books a device's entry, at the factors of its time.
    pub(super) fn book(&mut self, entry: &Entry, timeline: &Timeline) -> Emissions {
        let Part::Device { id, .. } = &entry.part else {
            return Emissions::default();
        };
        let emissions = timeline.emissions(entry.joules, entry.from, entry.to);
        self.devices
            .entry(Arc::clone(id))
            .or_default()
            .emissions
            .add(emissions);
        *self.node.joules.get_or_insert(Joules::ZERO) += entry.joules;
        if entry.method == Method::Modelled {
            self.node.modelled += entry.joules;
        }
        self.node.emissions.add(emissions);
        emissions
    }

    /// Books what the meter saw beyond the devices.
    pub(super) fn book_other(
        &mut self,
        rest: Rest,
        method: Method,
        timeline: &Timeline,
    ) -> Emissions {
        let part = Part::Device {
            id: OTHER.into(),
            kind: Kind::Other,
        };
        let Rest {
            joules, from, to, ..
        } = rest;
        self.book(
            &Entry {
                part,
                joules,
                from,
                to,
                method,
            },
            timeline,
        )
    }

    /// Books every device's making until `now` (time since boot).
    pub(super) fn age(&mut self, now: Duration) {
        for page in self.devices.values_mut() {
            if let (Some(rate), Some(aged), Some(embodied)) =
                (page.making, page.aged, &mut page.embodied)
            {
                *embodied += rate.during(now.saturating_sub(aged));
                page.aged = Some(aged.max(now));
            }
        }
    }

    /// Takes the making of every device from a new configuration. What a device is that has not been
    /// read since a restart is not known yet: it is priced, from where its books ended, when it is.
    pub(super) fn price(&mut self, making: &Making, ledger: &Ledger, at: Duration) {
        for page in self.devices.values_mut() {
            page.making = None;
            page.unknown.clear();
            page.aged = page.aged.filter(|_| making.enabled);
        }
        for (id, kind, account) in ledger.devices().filter(|(_, _, a)| !a.is_awaited()) {
            self.open(id, kind, &account.source.about, making, at);
        }
    }
}
