//! "Is anything wrong?" in one sentence, and the list of what to mend.

use super::format::count;
use super::{providers, workloads};
use crate::ledger::Method;
use crate::sensor::Kind;
use crate::snapshot::{Device, SensorHealth, Snapshot, Trouble};
use maud::{Markup, html};

/// How it stands with the node's figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// There are no figures yet.
    Starting,
    /// Everything answers and is measured.
    Well,
    /// Everything answers; something is missing or modelled.
    Limited,
    /// Something cannot be read.
    Wrong,
}

/// The answer to "is anything wrong?".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How grave it is.
    pub level: Level,
    /// The sentence.
    pub text: String,
}

impl Verdict {
    /// What that snapshot amounts to.
    #[must_use]
    pub fn of(snapshot: &Snapshot) -> Self {
        let wrong = wrong(snapshot);
        let limits = limits(snapshot);
        let (level, text) = if starting(snapshot) {
            let text = "Starting: the first figures come with the second reading of every sensor.";
            (Level::Starting, text.to_owned())
        } else if !wrong.is_empty() {
            (
                Level::Wrong,
                format!("Needs mending: {}.", wrong.join("; ")),
            )
        } else if !limits.is_empty() {
            let text = format!("Everything answers, but {}.", limits.join("; "));
            (Level::Limited, text)
        } else {
            let sensors = match snapshot.sensors.len() {
                1 => "the sensor answers".to_owned(),
                many => format!("all {many} sensors answer"),
            };
            let devices = count(real(snapshot).count(), "device");
            let how = if snapshot.demo {
                "simulated"
            } else {
                "measured"
            };
            let text = format!("Nothing is wrong: {sensors}, {devices} {how}.");
            (Level::Well, text)
        };
        Self { level, text }
    }

    /// The sentence, with a sign that does not rest on colour.
    #[must_use]
    pub fn show(&self) -> Markup {
        let (class, sign) = match self.level {
            Level::Starting => ("limited", "…"),
            Level::Well => ("well", "✓"),
            Level::Limited => ("limited", "!"),
            Level::Wrong => ("wrong", "✗"),
        };
        html! {
            p.verdict.(class) {
                span.sign aria-hidden="true" { (sign) }
                " "
                strong { (self.text) }
                @if self.level == Level::Wrong { " " a href="#mend" { "What to do" } }
            }
        }
    }
}

/// Devices that a sensor reads, silent ones included; without `other`, which is a difference.
fn real(snapshot: &Snapshot) -> impl Iterator<Item = &Device> {
    let is_real = |device: &&Device| device.kind != Kind::Other;
    snapshot.devices.iter().filter(is_real)
}

/// Before the second reading no counter has power, and that is no fault.
fn starting(snapshot: &Snapshot) -> bool {
    let quiet = snapshot.node.watts.is_none() && !snapshot.devices.is_empty();
    let healthy = snapshot.sensors.iter().all(is_well);
    !snapshot.ready || (quiet && healthy)
}

fn is_well(sensor: &SensorHealth) -> bool {
    sensor.up && sensor.faults.is_empty()
}

fn wrong(snapshot: &Snapshot) -> Vec<String> {
    let mut wrong = Vec::new();
    let sensors = snapshot.sensors.len();
    let dead = snapshot.sensors.iter().filter(|sensor| !sensor.up).count();
    let partly = snapshot
        .sensors
        .iter()
        .filter(|s| s.up && !is_well(s))
        .count();
    let silent = real(snapshot)
        .filter(|device| device.watts.is_none())
        .count();
    if dead > 0 {
        let verb = if dead == 1 { "gives" } else { "give" };
        let sensors = count(sensors, "sensor");
        wrong.push(format!("{dead} of {sensors} {verb} nothing"));
    }
    if partly > 0 {
        let sensors = count(sensors, "sensor");
        wrong.push(format!("{partly} of {sensors} cannot read everything"));
    }
    if silent > 0 {
        let devices = count(real(snapshot).count(), "device");
        wrong.push(format!("the power of {silent} of {devices} is unknown"));
    }
    if snapshot.devices.is_empty() {
        wrong.push("no device can be read or modelled".into());
    }
    for source in workloads::ill(snapshot) {
        wrong.push(format!(
            "who used the devices is not wholly known: {} fails",
            source.source
        ));
    }
    if let Some(ill) = providers::failing(&snapshot.providers) {
        wrong.push(ill);
        let fixed = snapshot.grid.iter().filter(|grid| grid.tier == "static");
        wrong.extend(fixed.map(|grid| format!("a fixed number stands in for {}", grid.zone)));
    }
    wrong
}

fn limits(snapshot: &Snapshot) -> Vec<String> {
    let mut limits = Vec::new();
    let modelled = real(snapshot)
        .filter(|device| device.method == Method::Modelled)
        .count();
    if modelled > 0 {
        let verb = if modelled == 1 { "is" } else { "are" };
        let devices = count(real(snapshot).count(), "device");
        limits.push(format!(
            "{modelled} of {devices} {verb} modelled, not measured"
        ));
    }
    if snapshot.grid.is_none() {
        limits.push("CO₂e is unknown until a grid zone is set".into());
    }
    if let Some(grid) = &snapshot.grid {
        limits.extend(providers::stand_in(&snapshot.providers, grid));
    }
    let other = snapshot.devices.iter().any(|d| d.kind == Kind::Other);
    if other && snapshot.node.meter.is_none() {
        limits.push("the meter that set the total is no longer in force".into());
    }
    if snapshot.node.meter_short > 0 {
        limits.push("the meter in force has read less than the devices".into());
    }
    limits
}

/// Every fault with its mend; those that differ in nothing but their place stand together.
#[must_use]
pub fn mends(snapshot: &Snapshot) -> Markup {
    let ill: Vec<&SensorHealth> = snapshot.sensors.iter().filter(|s| !is_well(s)).collect();
    let lost = lost(snapshot);
    let none = snapshot.ready && snapshot.devices.is_empty();
    let short = snapshot.node.meter_short;
    let blind = workloads::ill(snapshot).next().is_some();
    let deaf = snapshot.providers.iter().any(|p| p.trouble.is_some());
    html! {
        @if !ill.is_empty() || !lost.is_empty() || none || short > 0 || deaf || blind {
            section #mend aria-labelledby="mend-title" {
                h2 #mend-title { "What to do" }
                ul.mend {
                    @for sensor in ill {
                        @for group in groups(&sensor.faults) { (cannot_read(&sensor.name, &group)) }
                        @if sensor.faults.is_empty() && snapshot.ready { (silent(&sensor.name)) }
                    }
                    @for source in workloads::ill(snapshot) {
                        @for group in groups(&source.faults) { (cannot_read(source.source, &group)) }
                    }
                    @for device in lost {
                        li {
                            p { strong { (device.sensor) } " answers, but not of " code { (device.id) } ": its \
                                power is unknown and its joules stand still." }
                            p.do { "If it was not taken out, look at the kernel log (" code { "dmesg" } ") and run "
                                code { "gramwatt doctor" } "." }
                        }
                    }
                    @if none {
                        li {
                            p { strong { "No device can be read or modelled here." } }
                            p.do { "Run " code { "gramwatt doctor" } " on this machine: it tells what was \
                                looked for, what was found, and how to mend it." }
                        }
                    }
                    @if short > 0 {
                        li {
                            p { strong { "The meter in force has read less than the devices" }
                                " (" (short) " times): it may not cover the whole node." }
                            p.do { "Choose another with " code { "node.meter" } ", or " code { "none" }
                                " for the sum of devices." }
                        }
                    }
                    (providers::mends(&snapshot.providers))
                }
            }
        }
    }
}

/// Silent devices of sensors that are well: nobody else tells of them.
fn lost(snapshot: &Snapshot) -> Vec<&Device> {
    if starting(snapshot) {
        return Vec::new();
    }
    let well = |name: &str| {
        snapshot
            .sensors
            .iter()
            .any(|s| *s.name == *name && is_well(s))
    };
    real(snapshot)
        .filter(|device| device.watts.is_none() && well(&device.sensor))
        .collect()
}

/// Faults with the same message and mend, in order of appearance.
fn groups(faults: &[Trouble]) -> Vec<Vec<&Trouble>> {
    let mut groups: Vec<Vec<&Trouble>> = Vec::new();
    for fault in faults {
        let same = |group: &&mut Vec<&Trouble>| {
            group
                .first()
                .is_some_and(|first| first.message == fault.message && first.mend == fault.mend)
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.push(fault),
            None => groups.push(vec![fault]),
        }
    }
    groups
}

fn cannot_read(sensor: &str, group: &[&Trouble]) -> Markup {
    html! {
        @if let Some(first) = group.first() {
            li {
                p {
                    strong { (sensor) } " cannot read "
                    @for (i, fault) in group.iter().enumerate() {
                        @if i > 0 { ", " }
                        code { (fault.place) }
                    }
                    ": " (first.message)
                }
                p.do {
                    @if first.mend.is_empty() {
                        "No mend is known; " code { "gramwatt doctor" } " tells what was seen."
                    } @else { (first.mend) }
                }
            }
        }
    }
}

fn silent(sensor: &str) -> Markup {
    html! {
        li {
            p { strong { (sensor) } " does not answer: the watts of its devices are unknown and their \
                joules stand still until it does." }
            p.do { "If it never does, restart gramwatt and look at the kernel log (" code { "dmesg" } ")." }
        }
    }
}
