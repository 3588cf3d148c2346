//! A relay's page: its zones, and how its providers answer. It has no devices, and shows none.

use super::format::{self, count, intensity, text_or_unknown};
use super::verdict::{Level, Verdict};
use super::{View, carbon, outlook, providers, relative};
use crate::clock::Moment;
use crate::grid::zone::Outlook;
use crate::snapshot::{Grid, Region, Snapshot};
use maud::{Markup, html};

/// The title of its window.
#[must_use]
pub fn title(snapshot: &Snapshot) -> String {
    let zones = count(snapshot.regions.len(), "zone");
    format!("Relay of {zones} · {}", super::name(snapshot))
}

/// All of it but its head and foot.
#[must_use]
pub fn body(snapshot: &Snapshot, view: View<'_>) -> Markup {
    html! {
        (verdict(snapshot).show())
        (mends(snapshot))
        (zones(snapshot))
        div.pair {
            (providers::section(snapshot))
            (asking(snapshot, view))
        }
    }
}

/// The answer to "is anything wrong?" of a relay.
#[must_use]
pub fn verdict(snapshot: &Snapshot) -> Verdict {
    let fixed: Vec<&str> = snapshot
        .regions
        .iter()
        .filter(|region| region.grid.tier == "static")
        .map(|region| region.grid.zone.as_str())
        .collect();
    let heard = snapshot
        .providers
        .iter()
        .any(|provider| provider.requests > 0);
    let all = count(snapshot.regions.len(), "zone");
    let places = match fixed.len() {
        1..=3 => fixed.join(", "),
        many => format!("{many} of {all}"),
    };
    let text =
        format!("no provider tells the intensity of {places}, where a fixed number stands in");
    let text = Some(text).filter(|_| !fixed.is_empty());
    let (level, text) = match (providers::failing(&snapshot.providers), text) {
        (Some(ill), fixed) => {
            let all: Vec<String> = [Some(ill), fixed].into_iter().flatten().collect();
            (Level::Wrong, format!("Needs mending: {}.", all.join("; ")))
        }
        (None, Some(_)) if !heard => (
            Level::Starting,
            "Starting: the providers have not answered yet.".to_owned(),
        ),
        (None, Some(fixed)) => (
            Level::Limited,
            format!("Every provider that was asked answers, but {fixed}."),
        ),
        (None, None) => {
            let answers = match snapshot.providers.len() {
                1 => "the provider answers".to_owned(),
                many => format!("{many} providers answer"),
            };
            (
                Level::Well,
                format!("Nothing is wrong: {answers}, {all} served."),
            )
        }
    };
    Verdict { level, text }
}

fn mends(snapshot: &Snapshot) -> Markup {
    html! {
        @if snapshot.providers.iter().any(|provider| provider.trouble.is_some()) {
            section #mend aria-labelledby="mend-title" {
                h2 #mend-title { "What to do" }
                ul.mend { (providers::mends(&snapshot.providers)) }
            }
        }
    }
}

fn zones(snapshot: &Snapshot) -> Markup {
    html! {
        section aria-labelledby="zones" {
            h2 #zones { "Zones" }
            table.zones role="table" {
                caption { "The intensity in force, in grams of CO₂e for each kWh, and the hours ahead: the best four in another \
                    colour." }
                thead role="rowgroup" {
                    tr role="row" {
                        th scope="col" role="columnheader" { "Zone" }
                        th.n scope="col" role="columnheader" { "Average" }
                        th.n scope="col" role="columnheader" { "Marginal" }
                        th scope="col" role="columnheader" { "Provider" }
                        th scope="col" role="columnheader" { "Outlook" }
                    }
                }
                tbody role="rowgroup" {
                    @for region in snapshot.regions.iter() { (zone(region, snapshot.at)) }
                }
            }
            p.soft { "Grams use the average. The marginal intensity, of one kWh more, is for decisions." }
        }
    }
}

fn zone(region: &Region, at: Option<Moment>) -> Markup {
    let grid = &region.grid;
    html! {
        tr role="row" {
            th scope="row" role="rowheader" {
                strong { (grid.zone) }
                @if !grid.name.is_empty() { small { (grid.name) } }
            }
            td.n role="cell" data-label="Average" {
                strong { (intensity(grid.intensity)) }
                @if !grid.scope.is_empty() { small { (grid.scope) } }
            }
            td.n role="cell" data-label="Marginal" {
                @match &region.marginal {
                    Some(marginal) => { (intensity(marginal.intensity)) small { (marginal.provider) ", " (marginal.tier) } },
                    None => span.unknown { "unknown" },
                }
            }
            td role="cell" data-label="Provider" { (source(grid, at)) }
            td role="cell" data-label="Outlook" { (ahead(region.outlook.as_deref())) }
        }
    }
}

/// Who says so, how it was had, and for when it is.
fn source(grid: &Grid, at: Option<Moment>) -> Markup {
    html! {
        (text_or_unknown(&grid.provider)) ", "
        @if grid.tier == "live" { span.well { "live" } } @else { span.limited { (grid.tier) } }
        @if grid.estimated { ", estimated" }
        small {
            @if grid.tier == "static" && !grid.vintage.is_empty() { (grid.vintage) ", " (carbon::tier(grid.tier)) }
            @else { "for " (carbon::valid(grid, at)) }
        }
    }
}

fn ahead(outlook: Option<&Outlook>) -> Markup {
    html! {
        @match outlook {
            None => span.unknown { "unknown" },
            Some(outlook) => {
                (outlook::picture(&outlook.forecast))
                small {
                    (outlook.forecast.origin.label()) ", " (outlook.provider)
                    @if let Some(best) = outlook.forecast.windows().iter().find(|w| w.hours == 4) {
                        ". Best 4\u{a0}h: " (format::minute(best.start)) ", " (intensity(best.mean)) "\u{a0}g/kWh"
                    }
                }
            }
        }
    }
}

/// How to ask it.
fn asking(snapshot: &Snapshot, view: View<'_>) -> Markup {
    let zone = snapshot
        .regions
        .first()
        .map_or("", |region| region.grid.zone.as_str());
    let plain = zone
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let example = format!("/v1/intensity?zone={zone}");
    html! {
        section aria-labelledby="asking" {
            h2 #asking { "Ask it" }
            ul {
                li { a href=(relative(view.telemetry_path)) { "Metrics" } ": all zones, for Prometheus" }
                li {
                    @if plain { a href=(relative(&example)) { (example) } } @else { code { (example) } }
                    ": what is, was and will be, as JSON; also with " code { "&signal=marginal" }
                }
                li {
                    "A node asks this relay with " code { "grid: {zone: " (zone) ", providers: [{type: relay, url: …}]}" }
                    ", and keeps what it was told where the relay is gone."
                }
            }
        }
    }
}
