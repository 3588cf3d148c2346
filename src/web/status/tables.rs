//! Devices, sensors, meters and domains, each as a table.

use super::format;
use super::format::{brief, count, or_unknown, percent, span, watt_hours, watts};
use crate::clock::Moment;
use crate::ledger::Method;
use crate::sensor::{Kind, Scope};
use crate::snapshot::{Device, Domain, Meter, SensorHealth, Snapshot};
use crate::units::{Grams, Joules, Watts};
use maud::{Markup, html};
use std::collections::BTreeMap;

/// The devices by kind, what each kind comes to, and the node below.
#[must_use]
pub fn devices(snapshot: &Snapshot) -> Markup {
    let mut kinds: BTreeMap<Kind, Vec<&Device>> = BTreeMap::new();
    for device in &snapshot.devices {
        kinds.entry(device.kind).or_default().push(device);
    }
    let modelled = snapshot
        .devices
        .iter()
        .any(|d| d.method == Method::Modelled);
    let node = &snapshot.node;
    html! {
        section aria-labelledby="devices" {
            h2 #devices { "Devices" }
            @if kinds.is_empty() {
                p { "No device has been read yet." }
            } @else {
                (composition(&kinds))
                // The roles hold where the style lays rows out as a grid, on narrow screens.
                table.devices role="table" {
                    caption { "No two devices overlap: they add up to the node." }
                    thead role="rowgroup" {
                        tr role="row" {
                            th scope="col" role="columnheader" { "Device" }
                            th.n scope="col" role="columnheader" { "Power now" }
                            th.n scope="col" role="columnheader" { "Energy" }
                            th.n scope="col" role="columnheader" { "CO₂e" }
                        }
                    }
                    @for (kind, devices) in &kinds {
                        tbody role="rowgroup" {
                            @if devices.len() > 1 { (kind_row(*kind, devices)) }
                            @for device in devices { (device_row(device, devices.len() == 1)) }
                        }
                    }
                    tfoot role="rowgroup" {
                        tr role="row" {
                            th scope="row" role="rowheader" { "Node" }
                            td.n role="cell" { (or_unknown(node.watts.and_then(watts))) }
                            td.n role="cell" { (or_unknown(node.joules.and_then(watt_hours))) }
                            td.n role="cell" { (or_unknown(node.grams.and_then(format::grams))) }
                        }
                    }
                }
                @if modelled {
                    p.soft {
                        "What is modelled has no sensor that can be read: its watts are computed from \
                         rated power and load. " code { "gramwatt doctor" } " tells what it would take to \
                         measure it."
                    }
                }
            }
        }
    }
}

/// Who draws how much of the node's power, as a bar and in words.
fn composition(kinds: &BTreeMap<Kind, Vec<&Device>>) -> Markup {
    let drawn: Vec<(Kind, Watts)> = kinds
        .iter()
        .filter_map(|(kind, devices)| Some((*kind, power(devices)?)))
        .collect();
    let total: Watts = drawn.iter().map(|(_, watts)| *watts).sum();
    html! {
        @if total > Watts::ZERO && drawn.len() > 1 {
            div.bar aria-hidden="true" {
                @for (kind, watts) in &drawn {
                    i class=(kind.label()) style=(format!("flex-grow:{:.3}", watts.0 / total.0 * 100.0)) {}
                }
            }
            ul.legend {
                @for (kind, watts) in &drawn {
                    li {
                        i class=(kind.label()) aria-hidden="true" {}
                        (name(*kind)) " " (percent(watts.0 / total.0))
                    }
                }
            }
        }
    }
}

fn power(devices: &[&Device]) -> Option<Watts> {
    let known: Vec<Watts> = devices.iter().filter_map(|device| device.watts).collect();
    (!known.is_empty()).then(|| known.into_iter().sum())
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Gpu => "GPU",
        Kind::Cpu => "CPU",
        Kind::Dram => "Memory",
        Kind::Soc => "SoC",
        Kind::Other => "Other",
    }
}

fn kind_row(kind: Kind, devices: &[&Device]) -> Markup {
    let many = devices.len();
    let silent = devices.iter().filter(|d| d.watts.is_none()).count();
    let joules: Joules = devices.iter().map(|device| device.joules).sum();
    let grams: Option<Grams> = devices.iter().map(|device| device.grams).sum();
    let title = match kind {
        Kind::Gpu => format!("{many} GPUs"),
        Kind::Cpu => format!("{many} CPU packages"),
        Kind::Dram => format!("{many} memory domains"),
        Kind::Soc => format!("{many} SoC rails"),
        Kind::Other => format!("{many} others"),
    };
    html! {
        tr.kind role="row" {
            th scope="rowgroup" role="rowheader" { (title) }
            td.n role="cell" {
                (or_unknown(power(devices).and_then(watts)))
                @if silent > 0 && silent < many { small { "without " (count(silent, "device")) " unknown" } }
            }
            td.n role="cell" { (or_unknown(watt_hours(joules))) }
            td.n role="cell" { (or_unknown(grams.and_then(format::grams))) }
        }
    }
}

fn device_row(device: &Device, alone: bool) -> Markup {
    let load = [
        device
            .power_limit
            .and_then(watts)
            .map(|w| format!("of\u{a0}{}\u{a0}{}", w.number, w.unit)),
        device
            .utilization
            .map(|share| format!("{}\u{a0}busy", percent(share))),
    ];
    let load: Vec<String> = load.into_iter().flatten().collect();
    html! {
        tr role="row" {
            th scope="row" role="rowheader" {
                span.id { (device.id) }
                @if alone && device.kind != Kind::Other { " " span.tag { (name(device.kind)) } }
                @if device.method == Method::Modelled { " " strong.modelled { "modelled, not measured" } }
                small { (detail(device)) }
            }
            td.n role="cell" {
                (or_unknown(device.watts.and_then(watts)))
                @if !load.is_empty() { small { (load.join(", ")) } }
            }
            td.n role="cell" { (or_unknown(watt_hours(device.joules))) }
            td.n role="cell" { (or_unknown(device.grams.and_then(format::grams))) }
        }
    }
}

/// What it is and how its joules are had.
fn detail(device: &Device) -> Markup {
    let how = match device.method {
        Method::Counter => "counter",
        Method::Integrated => "integrated (power × time)",
        Method::Modelled => "modelled",
    };
    let about = device.source.as_ref().map(|source| &source.about);
    let model = about.map_or("", |a| {
        if a.model.is_empty() {
            &a.vendor
        } else {
            &a.model
        }
    });
    let slot = about.map_or("", |about| about.pci_bus_id.as_str());
    html! {
        @if device.kind == Kind::Other {
            "what the meter sees beyond the devices: fans, disks, boards, losses · "
        }
        @if !model.is_empty() { (model) " · " }
        @if !slot.is_empty() { (slot) " · " }
        "method " (how)
        @if !device.sensor.is_empty() { " · sensor " (device.sensor) }
    }
}

/// Each sensor's health.
#[must_use]
pub fn sensors(snapshot: &Snapshot) -> Markup {
    html! {
        section aria-labelledby="sensors" {
            h2 #sensors { "Sensors" }
            @if snapshot.sensors.is_empty() {
                p {
                    @if snapshot.ready { "None was found; " } @else { "None has answered yet; " }
                    code { "gramwatt doctor" } " tells what was looked for."
                }
            } @else {
                table {
                    thead {
                        tr {
                            th scope="col" { "Sensor" }
                            th scope="col" { "State" }
                            th scope="col" { "Last answer" }
                            th scope="col" { "Since start" }
                        }
                    }
                    tbody {
                        @for sensor in &snapshot.sensors { (sensor_row(sensor, snapshot.at)) }
                    }
                }
            }
        }
    }
}

fn sensor_row(sensor: &SensorHealth, at: Option<Moment>) -> Markup {
    let faults = sensor.faults.len();
    let age = at
        .zip(sensor.last)
        .map(|(at, last)| at.awake.saturating_sub(last.awake));
    let mut counts: Vec<String> = sensor
        .errors
        .iter()
        .filter(|(_, number)| *number > 0)
        .map(|(reason, number)| format!("{reason} errors {number}"))
        .collect();
    for (what, number) in [("wraps", sensor.wraps), ("gaps", sensor.gaps)] {
        if number > 0 {
            counts.push(format!("{what} {number}"));
        }
    }
    html! {
        tr {
            th scope="row" { span.id { (sensor.name) } }
            td {
                @if sensor.up && faults == 0 { span.well { "✓ well" } }
                @else {
                    span.wrong { @if sensor.up { "! in part" } @else { "✗ nothing" } }
                    @if faults > 0 { small { a href="#mend" { (count(faults, "fault")) } } }
                }
            }
            td {
                @match age {
                    None => "never",
                    Some(age) if age.as_secs() < 1 => "just now",
                    Some(age) => { (span(age)) " ago" },
                }
                @if let Some(took) = sensor.took.and_then(brief) { small { "took " (took) } }
            }
            td { @if counts.is_empty() { "no errors" } @else { (counts.join(", ")) } }
        }
    }
}

/// What overlaps devices or lies within them.
#[must_use]
pub fn overlapping(snapshot: &Snapshot) -> Markup {
    html! {
        @if !snapshot.meters.is_empty() || !snapshot.domains.is_empty() {
            section aria-labelledby="overlapping" {
                h2 #overlapping { "Meters and domains" }
                p.soft { "These overlap the devices above and are not summed with them." }
                @if !snapshot.meters.is_empty() { (meters(snapshot)) }
                @if !snapshot.domains.is_empty() { (domains(&snapshot.domains)) }
            }
        }
    }
}

fn meters(snapshot: &Snapshot) -> Markup {
    html! {
        table {
            caption { "Meters, as they read" }
            thead {
                tr {
                    th scope="col" { "Meter" }
                    th scope="col" { "Covers" }
                    th.n scope="col" { "Power now" }
                    th.n scope="col" { "Energy" }
                }
            }
            tbody {
                @for meter in &snapshot.meters { (meter_row(meter)) }
            }
        }
    }
}

fn meter_row(meter: &Meter) -> Markup {
    let covers = match meter.scope {
        Scope::Node(_) => "the node",
        Scope::Module => "a module",
        Scope::Rail => "a supply rail",
        Scope::Group => "all devices of a kind",
        Scope::Unknown => "unknown",
    };
    html! {
        tr {
            th scope="row" {
                span.id { (meter.id) }
                @if meter.in_force { " " strong.tag { "in force" } }
                small { "sensor " (meter.sensor) }
            }
            td { (covers) }
            td.n { (or_unknown(meter.watts.and_then(watts))) }
            td.n { (or_unknown(watt_hours(meter.joules))) }
        }
    }
}

fn domains(domains: &[Domain]) -> Markup {
    html! {
        table {
            caption { "Domains, parts of a device" }
            thead {
                tr {
                    th scope="col" { "Domain" }
                    th scope="col" { "Inside" }
                    th.n scope="col" { "Energy" }
                }
            }
            tbody {
                @for domain in domains {
                    tr {
                        th scope="row" { span.id { (domain.domain) } }
                        td { span.id { (domain.device) } }
                        td.n { (or_unknown(watt_hours(domain.joules))) }
                    }
                }
            }
        }
    }
}
