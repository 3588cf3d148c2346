//! The books as they stand, as a snapshot.

use super::Engine;
use super::books::OTHER;
use super::health::Health;
use crate::clock::Moment;
use crate::ledger::Account;
use crate::node::Force;
use crate::run::book::Shown;
use crate::sensor::{Kind, Part};
use crate::snapshot::{Device, Domain, Meter, Node, Snapshot};
use crate::units::{Grams, GramsPerKwh, Joules, Watts};
use crate::workload::runs::Id;
use std::sync::Arc;

impl Engine {
    pub(super) fn report(&mut self, now: Moment) -> Snapshot {
        let started = self.started;
        let ready = self
            .health
            .values()
            .all(|health| health.is_settled(started, now));
        let sensors = self
            .health
            .iter_mut()
            .map(|(name, health)| health.show(name, started, now))
            .collect();
        let devices = self.devices(now);
        let node = self.node_books(&devices, now);
        let mut notes = self.settings.notes.clone();
        notes.extend(self.note_on_meter(ready));
        Snapshot {
            at: Some(now),
            since: Some(self.since),
            ready,
            host: Arc::clone(&self.settings.host),
            demo: self.settings.demo,
            domains: self.domains(),
            meters: self.meters(now),
            node,
            workloads: self.attribution.as_ref().map(|attribution| {
                let books = devices.iter().map(|device| (device.kind, device.joules));
                attribution.report(books, now.boot)
            }),
            runs: self.runs(now),
            devices,
            sensors,
            grid: self.settings.grid.clone(),
            marginal: self.conditions.marginal.clone(),
            outlook: self.conditions.outlook.clone(),
            regions: Arc::default(),
            reference: None,
            providers: {
                let (grid, site) = (&self.conditions.providers, &self.facts.providers);
                grid.iter().chain(site.iter()).cloned().collect()
            },
            pue: self.settings.pue.clone(),
            process: None,
            notes,
        }
    }

    /// One run as it is at `now`; `None` where it is not known.
    #[must_use]
    pub fn run(&self, id: &Id, now: Moment) -> Option<Shown> {
        let attribution = self.attribution.as_ref()?;
        self.runs.show(attribution, Some(id), now).pop()
    }

    /// The runs as they are at `now`.
    #[must_use]
    pub fn runs(&self, now: Moment) -> Vec<Shown> {
        let attribution = self.attribution.as_ref();
        attribution.map_or_else(Vec::new, |attribution| {
            self.runs.show(attribution, None, now)
        })
    }

    fn devices(&self, now: Moment) -> Vec<Device> {
        let mut devices: Vec<Device> = self
            .ledger
            .devices()
            .map(|(id, kind, account)| {
                let live = account.is_live(now);
                Device {
                    source: Some(Arc::clone(&account.source)),
                    sensor: Arc::clone(&account.reader.name),
                    method: account.method,
                    watts: account.watts_at(now),
                    utilization: account.utilization.filter(|_| live),
                    power_limit: account.power_limit.filter(|_| live),
                    ..self.device(id, kind, account.joules)
                }
            })
            .collect();
        if let Some(joules) = self.node.other() {
            let sensor = self
                .meters_in_force()
                .next()
                .map(|meter| Arc::clone(&meter.reader.name));
            devices.push(Device {
                sensor: sensor.unwrap_or_else(|| "".into()),
                method: self.other_method(),
                watts: self.node.other_watts(&self.ledger, now),
                ..self.device(&OTHER.into(), Kind::Other, joules)
            });
        }
        for device in &mut devices {
            let factor = self.settings.factor;
            let now = factor
                .intensity
                .map(|grams| GramsPerKwh(grams.0 * factor.pue));
            device.flow = device.watts.zip(now).map(|(watts, now)| watts.at(now));
        }
        devices
    }

    /// A device with its books, and nothing of the moment.
    fn device(&self, id: &Arc<str>, kind: Kind, joules: Joules) -> Device {
        let page = self.books.devices.get(id);
        let known = self.settings.factor.intensity.map(|_| Grams::ZERO);
        Device {
            id: Arc::clone(id),
            kind,
            source: None,
            sensor: "".into(),
            method: crate::ledger::Method::Counter,
            watts: None,
            joules,
            grams: page.and_then(|page| page.emissions.location).or(known),
            flow: None,
            embodied: page.and_then(|page| page.embodied),
            utilization: None,
            power_limit: None,
        }
    }

    fn domains(&self) -> Vec<Domain> {
        let domain = |(part, account): (&Part, &Account)| match part {
            Part::Domain { device, domain } => Some(Domain {
                device: Arc::clone(device),
                domain: Arc::clone(domain),
                joules: account.joules,
            }),
            _ => None,
        };
        self.ledger.accounts().filter_map(domain).collect()
    }

    fn meters(&self, now: Moment) -> Vec<Meter> {
        let force = self.node.force();
        let meter = |(part, account): (&Part, &Account)| match part {
            Part::Meter { id, scope } => Some(Meter {
                id: Arc::clone(id),
                scope: *scope,
                sensor: Arc::clone(&account.reader.name),
                watts: account.watts_at(now),
                joules: account.joules,
                in_force: force.is_some_and(|force| force.includes(part, account)),
            }),
            _ => None,
        };
        self.ledger.accounts().filter_map(meter).collect()
    }

    /// Whether the watts that are known are those of the whole node: the meter in force tells its own,
    /// or no device lacks any that it should have. A lower sum would look like a machine that rests.
    fn is_power_known(&self, now: Moment) -> bool {
        if self.node.force().is_some() {
            return self.node.metered(&self.ledger, now).is_some();
        }
        let lacks =
            |account: &Account| account.watts_at(now).is_none() && self.is_missed(account, now);
        !self.ledger.devices().any(|(_, _, account)| lacks(account))
    }

    /// Whether a device without watts draws some all the same: it has just come, or its sensor is ill.
    /// A well sensor that leaves it out says that it sleeps, or that another one reads it now.
    fn is_missed(&self, account: &Account, now: Moment) -> bool {
        let ill = |health: &Health| health.is_ill(self.started, now);
        account.is_live(now) || self.health.get(&account.reader.name).is_some_and(ill)
    }

    fn node_books(&self, devices: &[Device], now: Moment) -> Node {
        let totals = &self.books.node;
        let sum: Joules = devices.iter().map(|device| device.joules).sum();
        let watts: Vec<Watts> = devices.iter().filter_map(|device| device.watts).collect();
        let whole = !watts.is_empty() && self.is_power_known(now);
        let seen = totals.joules.is_some();
        let known = self
            .settings
            .factor
            .intensity
            .filter(|_| seen)
            .map(|_| Grams::ZERO);
        let contract = self
            .settings
            .factor
            .market
            .filter(|_| seen)
            .map(|_| Grams::ZERO);
        let embodied: Vec<Grams> = devices
            .iter()
            .filter_map(|device| device.embodied)
            .collect();
        Node {
            meter: self.node.force().map(|force| force.class),
            meter_sensor: self.node.force().map_or("", Force::family),
            watts: whole.then(|| watts.into_iter().sum()),
            joules: totals.joules,
            modelled: totals.modelled,
            grams: totals.emissions.location.or(known),
            estimated: totals.emissions.estimated.or(known),
            market: totals.emissions.market.or(contract),
            embodied: (!embodied.is_empty()).then(|| embodied.into_iter().sum()),
            meter_short: self.node.short_windows(),
            residual: totals.joules.map_or(Joules::ZERO, |total| total - sum),
        }
    }
}
