//! Who used the devices, the largest first, as a table.

use super::format::{self, count, or_unknown, watt_hours, watts};
use crate::snapshot::{Snapshot, SourceHealth, Workload, Workloads};
use crate::units::{Grams, Joules, Watts};
use maud::{Markup, html};

/// Rows that are shown; the rest is in the metrics.
const MOST: usize = 12;

/// The workloads, and what is nobody's.
#[must_use]
pub fn section(snapshot: &Snapshot) -> Markup {
    let Some(all) = &snapshot.workloads else {
        return html! {};
    };
    let (mut named, common): (Vec<&Workload>, Vec<&Workload>) = all
        .list
        .iter()
        .partition(|workload| workload.about.is_some());
    named.sort_by(|a, b| {
        size(b)
            .0
            .total_cmp(&size(a).0)
            .then(joules(b).0.total_cmp(&joules(a).0))
    });
    let more = named.len().saturating_sub(MOST);
    html! {
        section aria-labelledby="workloads" {
            h2 #workloads { "Workloads" }
            table {
                caption { "Who used the devices. With what waits to be divided they add up to them." }
                thead {
                    tr {
                        th scope="col" { "Workload" }
                        th.n scope="col" { "Power now" }
                        th.n scope="col" { "Energy" }
                        th.n scope="col" { "CO₂e" }
                    }
                }
                tbody {
                    @for workload in named.iter().take(MOST) { (row(workload)) }
                    @for workload in common { (row(workload)) }
                }
            }
            @if named.is_empty() { p.soft { "Nobody was found yet who runs here." } }
            @if more > 0 { p.soft { (count(more, "smaller workload")) " more in the metrics." } }
            @if all.merged > 0 {
                p.soft {
                    (count(all.merged, "workload")) " beyond the limit in " code { "other" } ": raise "
                    code { "workloads.max" } " to see each."
                }
            }
            p.soft { (waits(all)) }
        }
    }
}

fn row(workload: &Workload) -> Markup {
    let grams: Option<Grams> = workload
        .uses
        .iter()
        .filter_map(|used| used.grams)
        .reduce(|a, b| a + b);
    html! {
        tr {
            th scope="row" {
                span.id { (workload.name) }
                small { (detail(workload)) }
            }
            td.n { (or_unknown(power(workload).and_then(watts))) }
            td.n { (or_unknown(watt_hours(joules(workload)))) }
            td.n { (or_unknown(grams.and_then(format::grams))) }
        }
    }
}

fn detail(workload: &Workload) -> Markup {
    let what = match workload.manager {
        "idle" => "devices at rest, which nobody asked for",
        "system" => "the machine itself: kernel, services, what belongs to no workload",
        "unattributed" => "nobody knows who: used while nobody looked",
        "other" => "workloads beyond the limit",
        manager => manager,
    };
    let place =
        [&*workload.namespace, &*workload.container].map(|part| (!part.is_empty()).then_some(part));
    let kinds: Vec<&str> = workload
        .uses
        .iter()
        .filter(|used| used.joules > Joules::ZERO)
        .map(|used| used.kind.label())
        .collect();
    html! {
        (what)
        @for part in place.into_iter().flatten() { " · " (part) }
        @if workload.about.is_some() && !kinds.is_empty() { " · " (kinds.join(", ")) }
        @if workload.gpu_split == "mig" { " · GPU by slices, an estimate" }
        @if workload.gpu_split == "equal" { " · GPU shared equally: nobody tells who used it" }
    }
}

fn power(workload: &Workload) -> Option<Watts> {
    workload
        .uses
        .iter()
        .filter_map(|used| used.watts)
        .reduce(|a, b| a + b)
}

fn size(workload: &Workload) -> Watts {
    power(workload).unwrap_or_default()
}

fn joules(workload: &Workload) -> Joules {
    workload.uses.iter().map(|used| used.joules).sum()
}

fn waits(all: &Workloads) -> Markup {
    let sum = |reason: &str| -> Joules {
        let some = all
            .unlisted
            .iter()
            .filter(|unlisted| unlisted.reason == reason);
        some.map(|unlisted| unlisted.joules).sum()
    };
    let (pending, ended) = (sum("pending"), sum("ended"));
    html! {
        @if let Some(figure) = watt_hours(pending) {
            (figure.number) " " (figure.unit) " too young to be shown"
            @if let Some(figure) = watt_hours(ended) {
                ", " (figure.number) " " (figure.unit) " of workloads that have left this page"
            }
            "."
        }
    }
}

/// Those who tell of workloads and cannot.
pub(super) fn ill(snapshot: &Snapshot) -> impl Iterator<Item = &SourceHealth> {
    let sources = snapshot.workloads.iter().flat_map(|all| &all.sources);
    sources.filter(|source| !source.up)
}
