//! The status page: what the node draws, whether anything is wrong, and what it all rests on; of a relay, what
//! it tells of its zones. HTML
//! without script, and nothing is loaded from elsewhere.

mod carbon;
mod format;
mod outlook;
mod providers;
mod relay;
mod runs;
mod tables;
mod verdict;
mod workloads;

use crate::ledger::Method;
use crate::sensor::MeterClass;
use crate::snapshot::{Process, Snapshot};
use crate::units::{GramsPerSecond, Watts};
use format::{Figure, brief, or_unknown, percent, span};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use std::time::Duration;
use verdict::Verdict;

/// The page's style, within the page.
const STYLE: &str = include_str!("status/style.css");
/// Seconds between reloads of a page that was asked to follow.
const REFRESH: u32 = 10;

/// What is not the node's and yet on the page.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Path of the metrics.
    pub telemetry_path: &'a str,
    /// Whether the page reloads itself. Only on request: it takes the place from a reader who goes
    /// through it line by line (WCAG 2.2, technique F41).
    pub live: bool,
}

/// The page of that snapshot.
#[must_use]
pub fn render(snapshot: &Snapshot, view: View<'_>) -> String {
    let is_relay = !snapshot.regions.is_empty();
    let power = snapshot.node.watts.and_then(format::watts);
    let title = match power {
        _ if is_relay => relay::title(snapshot),
        None => name(snapshot).to_owned(),
        Some(p) => format!("{} {} · {}", p.number, p.unit, name(snapshot)),
    };
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width,initial-scale=1";
                meta name="color-scheme" content="light dark";
                @if view.live { meta http-equiv="refresh" content=(REFRESH); }
                link rel="icon" href="data:,";
                title { @if snapshot.demo { "DEMO " } (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                @if snapshot.demo {
                    p.demo { strong { "Synthetic data:" } " nothing here is measured" }
                }
                (header(snapshot, view.live))
                main {
                    @if is_relay { (relay::body(snapshot, view)) } @else { (body(snapshot)) }
                }
                (footer(snapshot, view.telemetry_path))
            }
        }
    };
    page.into_string()
}

/// A node's own: what it draws, whether that is so, and what it rests on.
fn body(snapshot: &Snapshot) -> Markup {
    html! {
        (big_three(snapshot))
        (Verdict::of(snapshot).show())
        (verdict::mends(snapshot))
        (tables::devices(snapshot))
        (workloads::section(snapshot))
        (runs::section(snapshot))
        div.pair {
            div {
                (tables::sensors(snapshot))
                (tables::overlapping(snapshot))
                (outlook::section(snapshot))
            }
            div {
                (carbon::section(snapshot))
                (providers::section(snapshot))
            }
        }
        (notes(snapshot))
    }
}

/// What the page is about: the machine by its name, where it has one.
fn name(snapshot: &Snapshot) -> &str {
    match (&*snapshot.host, snapshot.regions.is_empty()) {
        ("", true) => "Gramwatt",
        ("", false) => "Gramwatt relay",
        (host, _) => host,
    }
}

fn header(snapshot: &Snapshot, live: bool) -> Markup {
    html! {
        header {
            h1 { (name(snapshot)) }
            p {
                @match snapshot.at {
                    Some(at) => { "Gramwatt at " (format::wall(at)) },
                    None => "No sample yet",
                }
                " · "
                @if live {
                    "reloads every " (REFRESH) " s, " a href="./" { "stop" }
                } @else {
                    a href="?live" { "follow live" }
                }
            }
        }
    }
}

/// Watts, energy and CO2e.
fn big_three(snapshot: &Snapshot) -> Markup {
    let node = &snapshot.node;
    let modelled = node
        .joules
        .filter(|all| all.0 > 0.0 && node.modelled.0 > 0.0)
        .map(|all| percent(node.modelled.0 / all.0));
    let flows: Option<GramsPerSecond> = snapshot
        .devices
        .iter()
        .filter(|device| device.watts.is_some())
        .map(|device| device.flow)
        .sum();
    let flow = flows.filter(|_| node.watts.is_some());
    html! {
        dl.big {
            div {
                dt { "Power now" }
                (big(node.watts.and_then(format::watts)))
                dd { (rests_on(node.meter, snapshot.devices.len())) }
                @if let Some(part) = modelled_power(snapshot) {
                    dd { strong { (part) " of it modelled, not measured" } }
                }
            }
            div {
                dt { "Energy" }
                (big(node.joules.and_then(format::watt_hours)))
                @if let Some(joules) = node.joules.and_then(format::joules) { dd { (joules) } }
                (since(snapshot))
                @if let Some(part) = modelled { dd { strong { (part) " of it modelled, not measured" } } }
            }
            div {
                dt { "CO₂e" }
                (big(node.grams.and_then(format::grams)))
                @if let Some(flow) = flow.and_then(format::grams_per_hour) { dd { (flow) " now" } }
                @match &snapshot.grid {
                    None => dd { strong { "No grid zone is set." } " " a href="#carbon" { "How to set it" } },
                    Some(grid) => dd { (grid.zone) ", " (format::factor(grid.intensity.0)) " g/kWh, " (grid.tier) },
                }
                @if snapshot.pue.origin == "not set" {
                    dd { "PUE not set" }
                } @else {
                    dd { "PUE " (format::factor(snapshot.pue.ratio)) " included" }
                }
            }
        }
    }
}

/// The share of the node's power that no sensor measures; none where a meter sees the whole.
fn modelled_power(snapshot: &Snapshot) -> Option<String> {
    let modelled: Watts = snapshot
        .devices
        .iter()
        .filter(|device| device.method == Method::Modelled)
        .filter_map(|device| device.watts)
        .sum();
    let all = snapshot.node.watts?;
    let counts = snapshot.node.meter.is_none() && modelled > Watts::ZERO;
    counts.then(|| percent(modelled.0 / all.0))
}

fn big(figure: Option<Figure>) -> Markup {
    html! {
        dd.figure {
            @match figure {
                Some(figure) => { (figure.number) "\u{a0}" span { (figure.unit) } },
                None => (or_unknown(None)),
            }
        }
    }
}

fn rests_on(meter: Option<MeterClass>, devices: usize) -> Markup {
    let name = meter.map(|class| match class {
        MeterClass::Pdu => "the power distribution unit's outlet (pdu)",
        MeterClass::Psu => "the power supplies' input (psu)",
        MeterClass::Bmc => "the baseboard management controller (bmc)",
        MeterClass::Cray => "Cray's node meter (cray)",
        MeterClass::Acpi => "the ACPI power meter (acpi)",
        MeterClass::Board => "the input rail of the board (board)",
        MeterClass::Psys => "RAPL's platform domain (psys)",
    });
    html! {
        @match name {
            Some(name) => { "Meter in force: " (name) },
            None if devices == 0 => "No device yet",
            None => { "Sum of " (format::count(devices, "device")) "; no wall meter in force" },
        }
    }
}

fn since(snapshot: &Snapshot) -> Markup {
    html! {
        @if let (Some(since), Some(at)) = (snapshot.since, snapshot.at) {
            dd { "since " (format::wall(since)) " (" (span(at.boot.saturating_sub(since.boot))) ")" }
        }
    }
}

fn notes(snapshot: &Snapshot) -> Markup {
    html! {
        @if !snapshot.notes.is_empty() {
            section aria-labelledby="notes" {
                h2 #notes { "Good to know" }
                ul { @for note in &snapshot.notes { li { (note) } } }
            }
        }
    }
}

/// Relative, so that a link holds behind a proxy that puts the page under a prefix.
fn relative(path: &str) -> String {
    format!("./{}", path.trim_start_matches('/'))
}

fn footer(snapshot: &Snapshot, telemetry_path: &str) -> Markup {
    let metrics = relative(telemetry_path);
    html! {
        footer {
            nav aria-label="Pages" {
                a href=(metrics) { "Metrics" } " "
                a href="./-/healthy" { "Healthy?" } " "
                a href="./-/ready" { "Ready?" }
            }
            p {
                "Gramwatt " (env!("CARGO_PKG_VERSION"))
                @if let Some(process) = snapshot.process { (own_use(process, snapshot)) }
            }
        }
    }
}

/// What the exporter itself costs.
fn own_use(process: Process, snapshot: &Snapshot) -> Markup {
    let cpu = Duration::try_from_secs_f64(process.cpu_seconds).ok();
    let alive = snapshot
        .at
        .map(|at| at.wall.as_duration().as_secs_f64() - process.start_seconds)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    html! {
        " · itself uses " (or_unknown(format::bytes(process.resident_bytes))) " of memory"
        @if let Some(cpu) = cpu.and_then(brief) { ", " (cpu) " of CPU" }
        @if let Some(alive) = alive { " in " (span(alive)) }
    }
}

#[cfg(test)]
mod tests;
