//! A report as one page: nothing is loaded from elsewhere, it needs no script, and prints well.

mod chart;

use super::rows::Row;
use super::tables::{self, Grid};
use super::words::{energy, mass, percent};
use super::{Equivalent, Report, elsewhere, show, words};
use crate::output::{self, Figure, factor, intensity};
use crate::units::Grams;
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// The page's style, within the page.
const STYLE: &str = include_str!("style.css");
/// Columns beyond which a table is set smaller.
const DENSE: usize = 9;
/// Regions whose bars are shown.
const REGIONS: usize = 14;

/// The page.
#[must_use]
pub fn render(report: &Report, top: usize) -> String {
    let period = show::period(report);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width,initial-scale=1";
                meta name="color-scheme" content="light";
                link rel="icon" href="data:,";
                title { "Energy and CO₂e, " (period) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { "Energy and CO₂e" }
                    p { (period) }
                }
                main {
                    (warnings(report))
                    (big(report))
                    (course(report))
                    div.pair { (trust(report)) (kinds(report)) }
                    @if report.by_cluster.len() > 1 { (plain("By cluster", &tables::clusters(report))) }
                    (who(report, top))
                    @if let Some(sci) = &report.sci {
                        section { h2 { "Software carbon intensity (ISO/IEC 21031:2024)" } p { (subscripted(&words::sci(sci))) } }
                    }
                    (equivalents(report))
                    (regions(report))
                    section { h2 { "To read it rightly" } ul.notes { @for note in &report.notes { li { (subscripted(note)) } } } }
                }
                footer { p { "Gramwatt " (report.gramwatt) " from the history of a Prometheus" } }
            }
        }
    };
    page.into_string()
}

/// What must not be overlooked.
fn warnings(report: &Report) -> Markup {
    html! {
        @if report.basis.synthetic_nodes > 0 {
            p.warn { "Synthetic data: hardware of " (report.basis.synthetic_nodes) " nodes is made up" }
        }
        @if !report.basis.left_out.is_empty() {
            p.warn { "Not in here: cluster " (report.basis.left_out.join(", ")) }
        }
        @if report.basis.missing_hours > 0 {
            p.warn { (report.basis.missing_hours) " hours have no data: what was used in them is not in here" }
        }
        @if report.basis.unheard_seconds > 0 {
            p.warn { "In a part of the hours no node was heard: what was used then is not in here" }
        }
    }
}

fn figure(figure: Option<Figure>) -> Markup {
    html! {
        dd.figure {
            @match figure {
                Some(figure) => { (figure.number) "\u{a0}" small { (figure.unit) } },
                None => "unknown",
            }
        }
    }
}

fn big(report: &Report) -> Markup {
    let total = &report.total;
    html! {
        dl.big {
            div {
                dt { "CO₂e, by location" }
                (figure(total.co2e_grams.and_then(output::grams)))
                @if let Some(met) = total.intensity_grams_per_kwh { dd { (intensity(met)) " g/kWh met" } }
                @if total.co2e_grams.is_none() { dd { "no node knows its grid zone" } }
            }
            div {
                dt { "Energy" }
                (figure(output::watt_hours(total.energy_joules)))
                @match total.facility_energy_joules.zip(total.pue) {
                    Some((facility, pue)) => { dd { (energy(facility)) " with the building, PUE " (factor(pue)) } },
                    None => { dd { "of IT equipment; no PUE is known" } },
                }
            }
            @if total.market_co2e_grams.is_some() {
                div {
                    dt { "CO₂e, by contract" }
                    (figure(total.market_co2e_grams.and_then(output::grams)))
                    dd { "the same energy, by market" }
                }
            }
            @if total.embodied_co2e_grams.is_some() {
                div {
                    dt { "CO₂e of the making" }
                    (figure(total.embodied_co2e_grams.and_then(output::grams)))
                    dd { "embodied, by use of the hardware's life" }
                }
            }
        }
    }
}

fn course(report: &Report) -> Markup {
    let bars = chart::bars(report);
    html! {
        section {
            h2 { (bars.title) }
            (bars.picture)
            @if let Some(note) = bars.note { p.soft { (note) } }
            @if let Some(line) = chart::intensity(report) {
                h2 style="margin-top:1.1rem" { "Grid intensity met, g/kWh" }
                (line)
            }
        }
    }
}

/// A part of a whole as a bar.
fn share(name: &str, share: f64, good: &str, rest: &str) -> Markup {
    html! {
        span { (name) }
        div {
            (chart::split(share))
            span.soft { (percent(share)) " " (good) ", " (percent(1.0 - share)) " " (rest) }
        }
    }
}

fn trust(report: &Report) -> Markup {
    let total = &report.total;
    html! {
        section {
            h2 { "How sure it is" }
            div.share {
                @if let Some(modelled) = total.modelled_share() {
                    (share("Energy", 1.0 - modelled, "measured", "modelled"))
                }
                @if let Some(estimated) = total.estimated_share() {
                    (share("CO₂e", 1.0 - estimated, "by a live factor", "by cached, forecast or yearly factors"))
                }
            }
        }
    }
}

fn kinds(report: &Report) -> Markup {
    let all: f64 = report
        .energy_joules_by_kind
        .values()
        .map(|joules| joules.0)
        .sum();
    let mut kinds: Vec<(&String, f64)> = report
        .energy_joules_by_kind
        .iter()
        .map(|(kind, joules)| (kind, joules.0))
        .collect();
    kinds.retain(|(_, joules)| *joules > 0.0);
    kinds.sort_by(|a, b| b.1.total_cmp(&a.1));
    html! {
        @if !kinds.is_empty() {
            section {
                h2 { "Energy by kind of device" }
                table.kinds { tbody {
                    @for (kind, joules) in kinds {
                        tr {
                            th scope="row" { (kind) }
                            td.bar { (chart::bar(joules / all, "energy")) }
                            td.n { (percent(joules / all)) }
                        }
                    }
                } }
            }
        }
    }
}

/// CO2e as a page can show it.
fn subscripted(text: &str) -> String {
    text.replace("CO2e", "CO₂e")
}

/// A table as it is.
fn plain(title: &str, grid: &Grid) -> Markup {
    html! {
        section.wide { h2 { (title) } (rows(grid, &[], false)) }
    }
}

/// A table, with a bar of each row's share where there are any, and a last row that is a sum.
fn rows(grid: &Grid, bars: &[f64], has_sum: bool) -> Markup {
    let class = |column: usize| if column < grid.words { "name" } else { "n" };
    html! {
        @if !grid.rows.is_empty() {
            table class=[(grid.head.len() > DENSE).then_some("dense")] {
                thead { tr {
                    @for (column, name) in grid.head.iter().enumerate() {
                        th scope="col" class=(class(column)) { (subscripted(name)) }
                        @if column + 1 == grid.words && !bars.is_empty() { th {} }
                    }
                } }
                tbody {
                    @for (number, row) in grid.rows.iter().enumerate() {
                        tr class=[(has_sum && number + 1 == grid.rows.len()).then_some("sum")] {
                            @for (column, cell) in row.iter().enumerate() {
                                @if column == 0 { th.name scope="row" { (cell) } } @else { td class=(class(column)) { (cell) } }
                                @if column + 1 == grid.words && !bars.is_empty() {
                                    td.bar { @if let Some(share) = bars.get(number) { (chart::bar(*share, "grams")) } }
                                }
                            }
                        }
                    }
                }
            }
        }
        @if let Some(rest) = &grid.rest { p.soft { (rest) } }
    }
}

fn who(report: &Report, top: usize) -> Markup {
    html! {
        section.long.wide {
            h2 { (tables::who(report.by)) }
            @match &report.runs {
                Some(runs) => {
                    (rows(&tables::runs(runs, top), &[], false))
                    @for said in words::about_runs(runs) { p.soft { (subscripted(&said)) } }
                },
                None => {
                    (rows(&tables::rows(report, top), &bars(report, top), report.rows.len() > 1))
                },
            }
        }
    }
}

/// Of the largest: grams, or energy where there are none.
fn bars(report: &Report, top: usize) -> Vec<f64> {
    let of = |row: &Row| match report.total.co2e_grams {
        Some(_) => row.co2e_grams.unwrap_or_default().0,
        None => row.energy_joules.0,
    };
    let largest = report.rows.iter().map(of).fold(f64::MIN_POSITIVE, f64::max);
    report
        .rows
        .iter()
        .take(top)
        .map(|row| of(row) / largest)
        .collect()
}

fn equivalents(report: &Report) -> Markup {
    html! {
        @if !report.equivalents.is_empty() {
            section {
                h2 { "The CO₂e by location is as much as" }
                @if report.equivalents.iter().any(words::is_something) {
                    div.many {
                        @for one in &report.equivalents {
                            div { b { (words::count(one.count)) } (one.name) span { (one.meaning) " (" (publisher(one)) ")" } }
                        }
                    }
                } @else {
                    @for line in words::equivalents(&report.equivalents) { p { (line) } }
                }
            }
        }
    }
}

/// Who says so, without the work's title.
fn publisher(one: &Equivalent) -> &str {
    one.source.split([':', ',']).next().unwrap_or_default()
}

/// Regions from the least to the most, evenly drawn, with this place among them.
fn regions(report: &Report) -> Markup {
    let all = &report.elsewhere;
    let here = report
        .total
        .co2e_grams
        .filter(|_| report.total.booked_share() > 0.999);
    let steps = REGIONS.min(all.len()).max(2) - 1;
    let mut shown: Vec<(String, Grams, Option<f64>)> = Vec::new();
    for step in 0..=steps {
        if let Some(place) = all.get(step * all.len().saturating_sub(1) / steps) {
            let name = format!("{} {}, {}", place.provider, place.region, place.name);
            shown.push((name, place.co2e_grams, place.change));
        }
    }
    if let Some(here) = here {
        shown.push((
            format!(
                "here (number {} of {})",
                elsewhere::rank(all, here),
                all.len() + 1
            ),
            here,
            None,
        ));
        shown.sort_by(|a, b| a.1.0.total_cmp(&b.1.0));
    }
    let largest = shown
        .iter()
        .map(|one| one.1.0)
        .fold(f64::MIN_POSITIVE, f64::max);
    html! {
        @if !all.is_empty() {
            section.long {
                h2 { "The same load elsewhere" }
                table {
                    thead { tr { th scope="col" { "region" } th {} th.n scope="col" { "CO₂e" } th.n scope="col" { "against here" } } }
                    tbody {
                        @for (name, grams, change) in &shown {
                            @let is_here = name.starts_with("here (") && change.is_none();
                            tr {
                                th scope="row" { @if is_here { strong { (name) } } @else { (name) } }
                                td.bar { (chart::bar(grams.0 / largest, if is_here { "grams" } else { "good" })) }
                                td.n { (mass(Some(*grams))) }
                                td.n { @if let Some(change) = change { (words::change(*change)) } }
                            }
                        }
                    }
                    caption { "Evenly drawn from " (all.len()) " cloud regions, the cleanest to the dirtiest" }
                }
                @if !report.other_pues.is_empty() {
                    p.soft style="margin-top:.7rem" {
                        "Here, with another PUE: "
                        @for (number, one) in report.other_pues.iter().enumerate() {
                            @if number > 0 { ", " }
                            (factor(one.pue)) " → " (mass(Some(one.co2e_grams)))
                        }
                    }
                }
            }
        }
    }
}
