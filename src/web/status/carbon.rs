//! What the grams rest on: intensity with its provenance, PUE, and what else the books say of them.

use super::format::{self, factor, grams, joules, or_unknown, percent, text_or_unknown};
use crate::clock::Moment;
use crate::snapshot::{Grid, Node, Pue, Snapshot};
use maud::{Markup, html};

/// Intensity, PUE and the books' own account.
#[must_use]
pub fn section(snapshot: &Snapshot) -> Markup {
    html! {
        section aria-labelledby="carbon" {
            h2 #carbon { "Carbon" }
            dl.facts {
                @match &snapshot.grid {
                    Some(grid) => (intensity(grid, snapshot.at)),
                    None => {
                        dt { "Intensity" }
                        dd {
                            span.unknown { "unknown" } ": no grid zone is set. Set " code { "grid.zone" }
                            " (such as DE or US-CA), " code { "grid.cloud" } " or " code { "grid.intensity" }
                            " in the configuration, or start with " code { "--grid.zone" } "."
                        }
                    }
                }
                @if let Some(marginal) = &snapshot.marginal { (next_kwh(marginal, snapshot.at)) }
                (pue(&snapshot.pue))
                (books(&snapshot.node, snapshot.grid.is_some()))
            }
        }
    }
}

fn intensity(grid: &Grid, at: Option<Moment>) -> Markup {
    let cloud = [grid.cloud_provider.as_str(), &grid.cloud_region].join(" ");
    // What a provider tells has a moment, and no edition.
    let is_published = grid.tier == "static";
    html! {
        dt { "Zone" }
        dd { strong { (grid.zone) } @if !grid.name.is_empty() { " " (grid.name) } }
        @if !cloud.trim().is_empty() { dt { "Cloud" } dd { (cloud) } }
        @if !grid.why.is_empty() { dt { "Known by" } dd { (grid.why) } }
        dt { "Intensity" }
        dd { (amount(grid)) }
        dt { "Provider" }
        dd { (text_or_unknown(&grid.provider)) ", " (grid.tier) " (" (tier(grid.tier)) ")" }
        dt { "Estimated" }
        dd { @if grid.estimated { "yes, by the provider's own account" } @else { "no" } }
        @if is_published {
            dt { "Vintage" }
            dd { (text_or_unknown(&grid.vintage)) }
        }
        dt { "Valid for" }
        dd { (valid(grid, at)) }
        @if is_published {
            dt { "Source" }
            dd { (text_or_unknown(&grid.source)) }
        }
        @if let Some(market) = grid.market {
            dt { "Contract" }
            dd { (factor(market.0)) "\u{a0}g\u{a0}CO₂e/kWh, market-based" }
        }
    }
}

/// How much, and what that counts.
fn amount(grid: &Grid) -> Markup {
    html! {
        strong { (factor(grid.intensity.0)) "\u{a0}g\u{a0}CO₂e/kWh" }
        ", " (grid.signal)
        @if !grid.scope.is_empty() { ", " (grid.scope) }
    }
}

/// The moment that a value is for, and how long ago that is.
pub fn valid(grid: &Grid, at: Option<Moment>) -> Markup {
    let moment = grid.valid.and_then(format::unix);
    html! {
        @match moment {
            None => (text_or_unknown("")),
            Some(moment) => {
                time datetime=(moment.strftime("%Y-%m-%dT%H:%MZ")) { (moment.strftime("%Y-%m-%d %H:%M UTC")) }
                @if let Some(age) = format::ago(at, moment) { " (" (age) ")" }
            }
        }
    }
}

/// The marginal intensity: what it is, and what it is not for.
fn next_kwh(grid: &Grid, at: Option<Moment>) -> Markup {
    html! {
        dt { "Marginal" }
        dd {
            (amount(grid)) ", by " (text_or_unknown(&grid.provider)) ", " (grid.tier)
            @if grid.estimated { ", estimated" }
            ", for " (valid(grid, at)) ". "
            strong { "For decisions: grams use the average." }
        }
    }
}

/// What a tier means, for people.
pub fn tier(tier: &str) -> &'static str {
    match tier {
        "live" => "the intensity of the moment",
        "cached" => "the last that was had",
        "forecast" => "foretold for this moment",
        _ => "a fixed number, not the intensity of the moment",
    }
}

fn pue(pue: &Pue) -> Markup {
    html! {
        dt { "PUE" }
        dd {
            @match pue.origin {
                "not set" => {
                    strong { "PUE not set" }
                    ": 1 is used, as if the facility had neither cooling nor losses. Set "
                    code { "node.pue" } " to facility power / IT power."
                }
                "cloud" => { strong { (factor(pue.ratio)) } ", the cloud region's" }
                "live" => { strong { (factor(pue.ratio)) } ", live: the facility's own" }
                "cached" => { strong { (factor(pue.ratio)) } ", cached: the last that the facility told" }
                _ => { strong { (factor(pue.ratio)) } ", from the configuration" }
            }
        }
    }
}

fn books(node: &Node, zoned: bool) -> Markup {
    let estimated = node
        .estimated
        .zip(node.grams)
        .filter(|(_, all)| all.0 > 0.0);
    html! {
        @if let Some((part, all)) = estimated {
            dt { "So far" }
            dd { (percent(part.0 / all.0)) " of the CO₂e booked with a factor that was not live" }
        }
        @if zoned && let Some(market) = node.market {
            dt { "Market-based" }
            dd { (or_unknown(grams(market))) }
        }
        dt { "Embodied" }
        dd {
            (or_unknown(node.embodied.and_then(grams)))
            @if node.embodied.is_some() { " CO₂e: the devices' manufacture, spread over their lives; not in the total above" }
        }
        @if node.joules.is_some() {
            dt { "Books" }
            dd { "node less devices: " (or_unknown(joules(residual(node)))) }
        }
    }
}

/// Rounding of sums of floats is not worth a digit.
fn residual(node: &Node) -> crate::units::Joules {
    let size = node.residual.0.abs();
    crate::units::Joules(if size < 1e-3 { 0.0 } else { size })
}
