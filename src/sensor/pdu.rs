//! Outlets of power distribution units, asked by SNMP v2c and v3.
//!
//! An outlet is a meter of the whole node; two feeds of one node, on one PDU or on two, are summed by the node,
//! and say nothing while one of them is silent. Which outlets feed this node is configured, for no PDU knows.
//!
//! **Power or energy.** A register is booked where it counts in steps of at most 1 Wh, else power is
//! integrated (`model.rs` says why); the other of the two is shown beside as a meter of no scope. So Raritan's
//! Wh registers are booked, and APC's, which count 0.1 kWh, are shown.
//!
//! **SNMP** is the library async-snmp, which authenticates before it believes, pairs answers with questions
//! and tells an agent's reports apart. What it hears comes from a connected socket of ours (`wire.rs`).

mod config;
mod model;
mod replay;
mod session;
mod trouble;
mod wire;

pub use config::{Authentication, Entry, Model, Outlets, Pdu, Privacy, Version};
pub use model::{Measure, Unit};
pub use replay::{Replay, Who};

use super::{
    About, Discovery, Finding, Listed, MeterClass, Part, Presence, Reading, Readings, Roots, Scope,
    Sensor, Source, Value,
};
use model::{OUTLET_CEILING, PDU_CEILING, Question, STEP_CEILING, Told};
use session::{Manner, Session};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use trouble::Trouble;

/// One line for `doctor` and the reference.
pub const SUMMARY: &str = "outlets of power distribution units by SNMP (APC, Raritan, generic)";

/// `sensors.pdu`.
pub type Config = Listed<Pdu>;

/// Looks which of the PDUs feed this node. None is asked yet.
#[must_use]
pub fn discover(roots: &Roots, config: &Config) -> Discovery {
    let mut found = Discovery::default();
    let hosts = config.0.iter().map(|pdu| roots.named(&pdu.entry().host));
    let labels = labels(&hosts.collect::<Vec<_>>());
    for (pdu, label) in config.0.iter().zip(labels) {
        let manner = Manner::new(pdu, |text| roots.named(text));
        let name = match &label {
            Some(label) if config.0.len() > 1 => format!("pdu-{label}"),
            _ => "pdu".to_owned(),
        };
        let entry = pdu.entry();
        let outlets = entry.outlets.as_ref();
        let outlets = outlets.map_or(&[][..], |outlets| outlets.of(&roots.node));
        let (state, detail, mend) = match &label {
            None => (
                Presence::Unreadable,
                "cannot be read: it is no host, or is listed twice".to_owned(),
                "list each PDU once, with all of this node's outlets: a second entry is not read",
            ),
            Some(_) if outlets.is_empty() && !entry.whole => {
                let node = &roots.node;
                let detail =
                    format!("no outlet is given to a node named {node:?}: nothing is read from it");
                (Presence::Absent, detail, "")
            }
            Some(label) => {
                let detail = format!("{}, {}", told(entry, outlets), manner.told());
                let feeds = feeds(entry, &manner.host, label, outlets);
                found.sensors.push(Box::new(Strip {
                    name: name.clone(),
                    interval: pdu.interval(),
                    feeds,
                    is_whole: false,
                    session: Session::new(Manner::new(pdu, |text| roots.named(text))),
                }));
                (Presence::Unasked, detail, "")
            }
        };
        found.findings.push(Finding {
            subject: name,
            state,
            detail: format!("{}: {detail}", manner.host),
            mend: mend.to_owned(),
        });
    }
    found
}

/// What stands for each PDU in names: its host, with its port where hosts are alike. `None` for one that is
/// there already, and for a host that is none once the node's name stands in it.
fn labels(hosts: &[String]) -> Vec<Option<String>> {
    // Names of hosts are the same in either case (RFC 4343).
    let same = |name: &str| name.to_ascii_lowercase();
    let mut alike: BTreeMap<String, usize> = BTreeMap::new();
    for (name, _) in hosts.iter().filter_map(|host| config::address(host)) {
        *alike.entry(same(name)).or_default() += 1;
    }
    let mut seen = BTreeSet::new();
    let mut label = |address: Option<(&str, u16)>| {
        let (name, port) = address?;
        if !seen.insert((same(name), port)) {
            return None;
        }
        Some(match alike.get(&same(name)) {
            Some(1) => name.to_owned(),
            _ => format!("{name}:{port}"),
        })
    };
    hosts.iter().map(|host| label(config::address(host))).collect()
}

/// The outlets, for people.
fn told(entry: &Entry, outlets: &[u32]) -> String {
    let model = match entry.model {
        Model::Apc => "APC",
        Model::Raritan => "Raritan",
        Model::Generic => "generic",
    };
    match outlets {
        [] => format!("{model}, all that it feeds"),
        [one] => format!("{model}, outlet {one}"),
        many => {
            let numbers: Vec<String> = many.iter().map(ToString::to_string).collect();
            format!("{model}, outlets {}", numbers.join(", "))
        }
    }
}

/// One outlet of this node, or all of a PDU.
struct Feed {
    /// For faults.
    place: String,
    question: Question,
    /// What is booked.
    node: Arc<Source>,
    /// The same, shown and not booked, while another feed has never answered: one of two is not the node.
    alone: Arc<Source>,
    /// Power, where the register is booked.
    power: Arc<Source>,
    /// The register, where power is booked.
    register: Arc<Source>,
}

impl Feed {
    fn new(
        entry: &Entry,
        host: &str,
        label: &str,
        outlet: Option<&u32>,
        question: Question,
    ) -> Self {
        let (id, place, ceiling) = match outlet {
            Some(outlet) => (
                format!("pdu-{label}-{outlet}"),
                format!("{host} outlet {outlet}"),
                OUTLET_CEILING,
            ),
            None => (format!("pdu-{label}"), host.to_owned(), PDU_CEILING),
        };
        let vendor = match entry.model {
            Model::Apc => "APC",
            Model::Raritan => "Raritan",
            Model::Generic => "",
        };
        let source = |suffix: &str, scope, ceiling| {
            Arc::new(Source {
                part: Part::Meter {
                    id: format!("{id}{suffix}").into(),
                    scope,
                },
                about: About {
                    vendor: vendor.to_owned(),
                    ..About::default()
                },
                ceiling,
                holds: &[],
            })
        };
        Self {
            place,
            question,
            node: source("", Scope::Node(MeterClass::Pdu), ceiling),
            alone: source("", Scope::Unknown, ceiling),
            power: source("-power", Scope::Unknown, ceiling),
            register: source("-register", Scope::Unknown, STEP_CEILING),
        }
    }

    fn readings(&self, told: &Told, is_whole: bool) -> impl Iterator<Item = Reading> {
        let beside = told.beside.map(|value| {
            let source = match value {
                Value::Counter { .. } => &self.register,
                _ => &self.power,
            };
            Reading::new(source, value)
        });
        let own = if is_whole { &self.node } else { &self.alone };
        std::iter::once(Reading::new(own, told.booked)).chain(beside)
    }
}

/// What a node has on a PDU.
fn feeds(entry: &Entry, host: &str, label: &str, outlets: &[u32]) -> Vec<Feed> {
    let questions = model::questions(entry, outlets).into_iter().enumerate();
    let feed = |(n, question)| Feed::new(entry, host, label, outlets.get(n), question);
    questions.map(feed).collect()
}

/// Good and bad side by side; an answer for each feed, or none for any.
fn readings(
    host: &str,
    feeds: &[Feed],
    is_whole: &mut bool,
    answers: Result<Vec<Result<Told, Trouble>>, Trouble>,
) -> Readings {
    let mut readings = Readings::default();
    let answers = match answers {
        Ok(answers) => answers,
        Err(trouble) => {
            readings.bad.push(trouble.fault(host));
            return readings;
        }
    };
    *is_whole |= answers.iter().all(Result::is_ok);
    for (feed, answer) in feeds.iter().zip(answers) {
        match answer {
            Ok(told) => readings.good.extend(feed.readings(&told, *is_whole)),
            Err(trouble) => readings.bad.push(trouble.fault(&feed.place)),
        }
    }
    readings
}

/// A PDU, read on a thread of its own.
struct Strip {
    name: String,
    interval: Duration,
    feeds: Vec<Feed>,
    /// Whether all feeds have answered in one read.
    is_whole: bool,
    session: Session,
}

impl Sensor for Strip {
    fn name(&self) -> &str {
        &self.name
    }

    fn read(&mut self) -> Readings {
        let questions = self.feeds.iter().map(|feed| &feed.question);
        let answers = self.session.ask(&questions.collect::<Vec<_>>());
        let host = &self.session.manner.host;
        readings(host, &self.feeds, &mut self.is_whole, answers)
    }

    fn pace(&self, _wanted: Duration) -> Duration {
        self.interval
    }
}

#[cfg(test)]
mod tests;
