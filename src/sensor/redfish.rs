//! Redfish: what a BMC says that its machine draws, over HTTPS.
//!
//! A chassis tells its power in `EnvironmentMetrics`, and older ones in `Power`, which DMTF deprecated in 2020.4. Where
//! all of its power supplies tell what they *take*, each is a meter of the class `psu`, which is trusted more than
//! what a BMC says of the whole (class `bmc`); what they *give* is 4 to 12 % less than what is paid for, and stands in
//! only where nothing else is told.
//!
//! **Power is integrated**, although there are energy registers: `EnergykWh` moves in steps of 3.6 MJ or a tenth of
//! that, and `EnergyJoules` is the same register in another unit on some. It is booked only where no power is told.
//!
//! **Requests.** One read is one request for each chassis, with its power supplies, where it has `Power`; one more where
//! it has `EnvironmentMetrics` too; and one for each power supply where those tell themselves. Which is which is found
//! out at the first read, after a fault, and every [`READS_PER_LOOK`] reads.
//!
//! **Time.** A read ends after 60 s and one time-out, whatever the BMC does; one that does not answer costs one time-out.

mod client;
mod config;
mod layout;
mod resource;
mod trouble;

pub use config::{Bmc, Entry, Span};

use super::{
    About, Discovery, Fault, Finding, Listed, MeterClass, Part, Presence, Reading, Readings, Roots,
    Scope, Sensor, Source, Value,
};
use crate::http::Trust;
use crate::units::Watts;
use client::{Access, Client};
use layout::{Chassis, Layout, Supplies, Total};
use resource::{Figure, MOST_WATTS, Resource, Told};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use trouble::Trouble;

/// One line for `doctor` and the reference.
pub const SUMMARY: &str = "BMCs through Redfish: power of chassis and power supplies, over HTTPS";

/// `sensors.redfish`: BMCs of this node. The power of each is added, so name none whose power is in another's.
pub type Config = Listed<Bmc>;

/// Reads between two looks at which chassis and power supplies there are.
pub const READS_PER_LOOK: u32 = 60;

/// Longest name of a meter's part.
const LONGEST_ID: usize = 64;

/// One sensor for each BMC. None is asked before its first read.
#[must_use]
pub fn discover(roots: &Roots, config: &Config) -> Discovery {
    let mut discovery = Discovery::default();
    let is_lone = config.0.len() == 1;
    for bmc in &config.0 {
        let entry = bmc.entry();
        let origin = match bmc.origin(roots) {
            Ok(origin) => origin,
            Err(wrong) => {
                discovery.findings.push(unusable(
                    format!("url {wrong}"),
                    "correct url, or set node.name to what {node} should stand for",
                ));
                continue;
            }
        };
        let names = [
            "redfish".to_owned(),
            format!("redfish-{}", origin.host),
            format!("redfish-{}-{}", origin.host, origin.port),
        ];
        let is_free = |name: &&String| discovery.sensors.iter().all(|s| s.name() != name.as_str());
        let name = names.iter().skip(usize::from(!is_lone)).find(is_free);
        let Some(name) = name.cloned() else {
            discovery.findings.push(unusable(
                format!("{} is named twice", origin.url),
                "take one of the two entries out: they would be booked twice",
            ));
            continue;
        };
        let trust = match (&entry.ca_file, entry.insecure_skip_verify) {
            (Some(path), _) => Trust::Authorities(Bmc::path(roots, path)),
            (None, true) => Trust::Anybody,
            (None, false) => Trust::System,
        };
        let detail = match trust {
            Trust::Anybody => format!(
                "{}, whoever that is: its certificate is not looked at (insecure_skip_verify)",
                origin.url
            ),
            _ => origin.url.clone(),
        };
        discovery.findings.push(Finding {
            subject: name.clone(),
            state: Presence::Unasked,
            detail,
            mend: String::new(),
        });
        let prefix = name.strip_prefix("redfish-").map(plain);
        discovery.sensors.push(Box::new(Redfish {
            prefix: prefix.map_or_else(String::new, |host| format!("{host}-")),
            name,
            named: entry.chassis.clone(),
            interval: entry.interval.duration(),
            client: Client::new(Access {
                origin,
                credentials: Bmc::path(roots, &entry.credentials_file),
                trust,
                timeout: entry.timeout.duration(),
                auth: entry.auth,
                interval: entry.interval.duration(),
            }),
            layout: None,
            reads: 0,
            failing: 0,
            shaken: false,
            sources: BTreeMap::new(),
        }));
    }
    discovery
}

fn unusable(detail: String, mend: &str) -> Finding {
    Finding {
        subject: "redfish".to_owned(),
        state: Presence::Unreadable,
        detail,
        mend: mend.to_owned(),
    }
}

/// One BMC.
struct Redfish {
    name: String,
    /// What begins the names of its meters, where there are other BMCs.
    prefix: String,
    named: Vec<String>,
    interval: Duration,
    client: Client,
    layout: Option<Layout>,
    /// Reads since the last look.
    reads: u32,
    /// What could not be read last time.
    failing: usize,
    /// Whether something that could be read has failed since the last look.
    shaken: bool,
    sources: BTreeMap<Part, Arc<Source>>,
}

/// What one chassis said in one read.
#[derive(Default)]
struct Sample {
    total: Option<Value>,
    /// Parts of it that the BMC tells beside.
    parts: Vec<(String, f64)>,
    supplies: Vec<Told>,
}

impl Sensor for Redfish {
    fn name(&self) -> &str {
        &self.name
    }

    fn read(&mut self) -> Readings {
        let mut readings = Readings::default();
        if let Err(trouble) = self.client.begin() {
            readings.bad.push(trouble.fault(self.client.url()));
            if !self.client.is_in() {
                return readings;
            }
        }
        if let Err(trouble) = self.measure(&mut readings) {
            // The rest need not be asked; what was read stands.
            readings.bad.push(trouble.fault(self.client.url()));
            return readings;
        }
        // What a look and a read have both met is one fault.
        let mut told = BTreeSet::new();
        readings.bad.retain(|fault| told.insert(fault.to_string()));
        let failing = readings.bad.len();
        self.shaken |= failing > self.failing;
        self.failing = failing;
        readings
    }

    fn pace(&self, _: Duration) -> Duration {
        self.interval
    }
}

impl Redfish {
    fn measure(&mut self, readings: &mut Readings) -> Result<(), Trouble> {
        let is_due = self.shaken || self.reads >= READS_PER_LOOK;
        if is_due || self.layout.is_none() {
            let old = self.layout.as_ref();
            let none = Layout::default();
            match layout::look(&mut self.client, &self.named, old.unwrap_or(&none)) {
                Ok(new) => {
                    self.layout = Some(new);
                    self.reads = 0;
                    self.shaken = false;
                }
                Err(trouble) if trouble.is_final() || old.is_none() => return Err(trouble),
                // What is known still holds.
                Err(trouble) => readings.bad.push(trouble.fault(self.client.url())),
            }
        }
        self.reads += 1;
        let Some(layout) = &self.layout else { return Ok(()) };
        // At every read, or they would seem to be mended between two looks.
        readings.bad.extend_from_slice(&layout.odd);
        let mut samples = Vec::new();
        let mut ended = Ok(());
        for chassis in &layout.chassis {
            let mut sample = Sample::default();
            ended = sample.read(&mut self.client, chassis, &mut readings.bad);
            samples.push(sample);
            if ended.is_err() {
                break;
            }
        }
        let Some(layout) = self.layout.take() else { return ended };
        self.publish(&layout, &samples, readings);
        self.layout = Some(layout);
        ended
    }

    /// Turns samples into readings. Only what together is the node is booked as such: where one of several chassis
    /// does not tell a side of its power, the others' are not the node's.
    fn publish(&mut self, layout: &Layout, samples: &[Sample], readings: &mut Readings) {
        let ours = || {
            let all = layout.chassis.iter().enumerate();
            all.filter(|(_, chassis)| chassis.is_ours)
        };
        let takes_all = ours().all(|(at, _)| {
            let sample = samples.get(at);
            sample.is_some_and(|s| layout::is_complete(&s.supplies, |told| &told.watts))
        });
        let tells_all = ours().all(|(at, chassis)| {
            let is_told = samples.get(at).is_some_and(|s| s.total.is_some());
            is_told || self.has_told(chassis)
        });
        let scope = |class: MeterClass, ours: bool, all: bool| match ours && all {
            true => Scope::Node(class),
            false => Scope::Unknown,
        };
        for (chassis, sample) in layout.chassis.iter().zip(samples) {
            let id = self.id(chassis);
            if let Some(value) = sample.total {
                let scope = scope(MeterClass::Bmc, chassis.is_ours, tells_all);
                let source = self.source(chassis, format!("bmc-{id}"), scope);
                readings.good.push(Reading::new(&source, value));
            }
            for (part, watts) in &sample.parts {
                let name = format!("bmc-{id}-{}", plain(part));
                let source = self.source(chassis, name, Scope::Unknown);
                readings.good.push(Reading::new(&source, Value::Power(Watts(*watts))));
            }
            let scope = scope(MeterClass::Psu, chassis.is_ours, takes_all);
            for supply in &sample.supplies {
                if let Some(watts) = supply.watts.good() {
                    let name = format!("psu-{id}-{}", plain(&supply.id));
                    let source = self.source(chassis, name, scope);
                    readings.good.push(Reading::new(&source, Value::Power(Watts(watts))));
                }
            }
        }
    }

    fn id(&self, chassis: &Chassis) -> String {
        format!("{}{}", self.prefix, plain(&chassis.id))
    }

    /// Whether a chassis has told its power since the program began.
    fn has_told(&self, chassis: &Chassis) -> bool {
        let told = Part::Meter {
            id: format!("bmc-{}", self.id(chassis)).into(),
            scope: Scope::Node(MeterClass::Bmc),
        };
        self.sources.contains_key(&told)
    }

    fn source(&mut self, chassis: &Chassis, id: String, scope: Scope) -> Arc<Source> {
        let part = Part::Meter { id: id.into(), scope };
        let new = || {
            Arc::new(Source {
                part: part.clone(),
                about: About {
                    vendor: chassis.vendor.clone(),
                    model: chassis.model.clone(),
                    driver: "redfish".to_owned(),
                    ..About::default()
                },
                ceiling: Watts(MOST_WATTS),
                holds: &[],
            })
        };
        Arc::clone(self.sources.entry(part.clone()).or_insert_with(new))
    }
}

impl Sample {
    /// Reads a chassis with one request for each resource.
    ///
    /// # Errors
    /// Where the BMC need not be asked for more.
    fn read(
        &mut self,
        client: &mut Client,
        chassis: &Chassis,
        bad: &mut Vec<Fault>,
    ) -> Result<(), Trouble> {
        let before = bad.len();
        if let Some(Total::Metrics(path) | Total::Energy(path)) = &chassis.total
            && let Some(metrics) = ask(client, path, bad)?
        {
            let is_energy = matches!(chassis.total, Some(Total::Energy(_)));
            match metrics_total(&metrics, is_energy) {
                Ok(total) => self.total = Some(total),
                Err(trouble) => bad.push(trouble.fault(&format!("{}{path}", client.url()))),
            }
        }
        let of_control = match &chassis.total {
            Some(Total::Control(path)) => Some(path),
            _ => None,
        };
        let of_supplies = match &chassis.supplies {
            Supplies::Power(path) => Some(path),
            _ => None,
        };
        if let Some(path) = of_control.or(of_supplies)
            && let Some(power) = ask(client, path, bad)?
        {
            self.power(&power, of_control.is_some(), of_supplies.is_some(), &mut |trouble| {
                bad.push(trouble.fault(&format!("{}{path}", client.url())));
            });
        }
        if let Supplies::Metrics(places) = &chassis.supplies {
            for (id, path) in places {
                if let Some(metrics) = ask(client, path, bad)? {
                    self.supplies.push(metrics.supply(id));
                }
            }
        }
        if chassis.total == Some(Total::Output) {
            self.output();
            if self.total.is_none() && bad.len() == before {
                let place = format!("{}{}", client.url(), chassis.path);
                bad.push(Trouble::Untold("OutputPowerWatts of all its power supplies").fault(&place));
            }
        } else if bad.len() == before
            && chassis.supplies != Supplies::None
            && !layout::is_complete(&self.supplies, |told| &told.watts)
        {
            let place = format!("{}{}", client.url(), chassis.path);
            bad.push(Trouble::Untold("InputPowerWatts of all its power supplies").fault(&place));
        }
        Ok(())
    }

    fn power(
        &mut self,
        power: &Resource,
        control: bool,
        supplies: bool,
        amiss: &mut dyn FnMut(Trouble),
    ) {
        if control {
            let mut controls = power.controls().into_iter();
            let property = "PowerControl[0].PowerConsumedWatts";
            let whole = controls.next().filter(|whole| whole.is_active);
            match watts(whole.map_or(Figure::Untold, |whole| whole.watts), property) {
                Ok(watts) => self.total = Some(Value::Power(watts)),
                Err(trouble) => amiss(trouble),
            }
            let active = controls.filter(|part| part.is_active);
            self.parts = active
                .filter_map(|part| Some((part.id, part.watts.good()?)))
                .collect();
        }
        if supplies {
            self.supplies = power.supplies();
        }
    }

    /// What the power supplies give, for what the chassis draws.
    fn output(&mut self) {
        if layout::is_complete(&self.supplies, |told| &told.output) {
            let active = self.supplies.iter().filter(|told| told.is_active);
            let watts = active.filter_map(|told| told.output.good()).sum();
            self.total = Some(Value::Power(Watts(watts)));
        }
    }
}

/// Asks for a resource whose trouble costs it alone.
fn ask(
    client: &mut Client,
    path: &str,
    bad: &mut Vec<Fault>,
) -> Result<Option<Resource>, Trouble> {
    match client.get(path) {
        Ok(resource) => Ok(Some(resource)),
        Err(trouble) if trouble.is_final() => Err(trouble),
        Err(trouble) => {
            bad.push(trouble.fault(&format!("{}{path}", client.url())));
            Ok(None)
        }
    }
}

/// What `EnvironmentMetrics` says of the whole.
fn metrics_total(metrics: &Resource, is_energy: bool) -> Result<Value, Trouble> {
    if !is_energy {
        let property = "PowerWatts.Reading";
        return watts(metrics.watts("/PowerWatts/Reading"), property).map(Value::Power);
    }
    let property = "EnergyJoules.Reading";
    match metrics.joules() {
        Figure::Good(joules) => Ok(Value::Counter {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            raw: joules as u64,
            unit: 1.0,
            wraps_at: None,
        }),
        Figure::Untold => Err(Trouble::Untold(property)),
        Figure::Odd(value) => Err(Trouble::Odd { property, value }),
    }
}

/// The power of a machine that runs.
fn watts(figure: Figure, property: &'static str) -> Result<Watts, Trouble> {
    match figure {
        Figure::Good(watts) if watts > 0.0 => Ok(Watts(watts)),
        Figure::Good(_) => Err(Trouble::Nothing(property)),
        Figure::Untold => Err(Trouble::Untold(property)),
        Figure::Odd(value) => Err(Trouble::Odd { property, value }),
    }
}

/// All watts that a body tells, whichever resource it is: what a BMC may send us, for the fuzzer.
#[must_use]
pub fn figures(body: &[u8]) -> Vec<Watts> {
    let Some(resource) = Resource::parse(body) else { return Vec::new() };
    let mut sample = Sample::default();
    sample.power(&resource, true, true, &mut drop);
    let whole = [sample.total, metrics_total(&resource, false).ok()];
    let whole = whole.into_iter().flatten().filter_map(|value| match value {
        Value::Power(watts) => Some(watts),
        _ => None,
    });
    sample.supplies.push(resource.supply("0"));
    let supplies = sample.supplies.iter();
    let sides = supplies.flat_map(|told| [told.watts.good(), told.output.good()]);
    let parts = sample.parts.iter().map(|(_, watts)| *watts);
    let others = sides.flatten().chain(parts).map(Watts);
    let found = whole.chain(others).collect();
    drop(metrics_total(&resource, true));
    found
}

/// A name as it can stand in a label: short, and without what needs quoting.
fn plain(name: &str) -> String {
    let fits = |c: char| match c.is_ascii_alphanumeric() || "._-:".contains(c) {
        true => c,
        false => '-',
    };
    name.chars().take(LONGEST_ID).map(fits).collect()
}

#[cfg(test)]
mod tests;
