//! A report in the form that was asked for.

use super::time::{DAY, HOUR, Span, told};
use super::{Report, blocks, html, latex};
use crate::output;

/// How a report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Plain text.
    Text,
    /// Markdown.
    Markdown,
    /// All of it, for programs.
    Json,
    /// One table of it.
    Csv(Table),
    /// A statement for a paper's appendix, a table, and the keys of what it cites.
    Latex,
    /// One page with charts.
    Html,
}

/// Which table CSV has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// Who used it: rows or runs.
    Rows,
    /// Hour by hour.
    Hours,
    /// The same load in cloud regions.
    Regions,
}

/// The report as text in that form, with at most `top` rows of a table where people read it.
#[must_use]
pub fn render(report: &Report, format: Format, top: usize) -> String {
    match format {
        Format::Text => blocks::text(report, top),
        Format::Markdown => blocks::markdown(report, top),
        Format::Json => {
            // Numbers and texts alone: nothing of it can fail.
            let mut json = serde_json::to_string_pretty(report).unwrap_or_default();
            json.push('\n');
            json
        }
        Format::Csv(table) => csv(report, table),
        Format::Latex => latex::render(report, top),
        Format::Html => html::render(report, top),
    }
}

/// `2026-10-01 00:00 UTC to 2026-11-01 00:00 UTC (31 days), clusters fra, sto`.
#[must_use]
pub fn period(report: &Report) -> String {
    let Span { from, to } = report.span;
    let seconds = to - from;
    let length = match seconds {
        _ if seconds % DAY == 0 && seconds > DAY => format!("{} days", seconds / DAY),
        _ if seconds % HOUR == 0 => format!("{} h", seconds / HOUR),
        _ => format!("{} h {} min", seconds / HOUR, seconds % HOUR / 60),
    };
    let names: Vec<&str> = report
        .clusters
        .iter()
        .map(|name| super::shown(name))
        .collect();
    let clusters = match report.clusters.as_slice() {
        [one] if one.is_empty() => String::new(),
        [_] => format!(", cluster {}", names.join(", ")),
        _ => format!(", clusters {}", names.join(", ")),
    };
    format!("{} to {} ({length}){clusters}", told(from), told(to))
}

/// An optional number as a cell: empty where it is not known.
fn cell(value: Option<f64>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn csv(report: &Report, table: Table) -> String {
    match (table, &report.runs) {
        (Table::Hours, _) => {
            let names = [
                "from",
                "energy_joules",
                "co2e_grams",
                "intensity_grams_per_kwh",
            ];
            let rows = report.hours.iter().map(|hour| {
                vec![
                    hour.from.clone(),
                    hour.energy_joules.0.to_string(),
                    cell(hour.co2e_grams.map(|grams| grams.0)),
                    cell(hour.intensity_grams_per_kwh.map(|met| met.0)),
                ]
            });
            output::csv(&names, rows)
        }
        (Table::Regions, _) => {
            let names = [
                "provider",
                "region",
                "name",
                "grid_zone",
                "grams_per_kwh",
                "scope",
                "pue",
                "pue_is_published",
                "co2e_grams",
                "change",
            ];
            let rows = report.elsewhere.iter().map(|place| {
                vec![
                    place.provider.clone(),
                    place.region.clone(),
                    place.name.clone(),
                    place.grid_zone.clone(),
                    place.grams_per_kwh.0.to_string(),
                    place.scope.clone(),
                    place.pue.to_string(),
                    place.pue_is_published.to_string(),
                    place.co2e_grams.0.to_string(),
                    cell(place.change),
                ]
            });
            output::csv(&names, rows)
        }
        (Table::Rows, Some(runs)) => runs_csv(runs),
        (Table::Rows, None) => rows_csv(report),
    }
}

fn rows_csv(report: &Report) -> String {
    let labels: Vec<&str> = match report.by.name() {
        "workload" => vec!["cluster", "workload_type", "workload_namespace", "workload"],
        "node" => vec!["cluster", "instance"],
        _ => Vec::new(),
    };
    let mut names = vec!["name"];
    names.extend(&labels);
    names.extend([
        "energy_joules",
        "energy_share",
        "co2e_grams",
        "market_co2e_grams",
        "embodied_co2e_grams",
        "modelled_energy_joules",
        "estimated_co2e_grams",
        "held_idle_joules",
    ]);
    let rows = report.rows.iter().map(|row| {
        let mut cells = vec![row.name.clone()];
        cells.extend(
            labels
                .iter()
                .map(|name| row.labels.get(*name).cloned().unwrap_or_default()),
        );
        cells.extend([
            row.energy_joules.0.to_string(),
            row.energy_share.to_string(),
            cell(row.co2e_grams.map(|grams| grams.0)),
            cell(row.market_co2e_grams.map(|grams| grams.0)),
            cell(row.embodied_co2e_grams.map(|grams| grams.0)),
            cell(row.modelled_energy_joules.map(|joules| joules.0)),
            cell(row.estimated_co2e_grams.map(|grams| grams.0)),
            cell(row.held_idle_joules.map(|joules| joules.0)),
        ]);
        cells
    });
    output::csv(&names, rows)
}

fn runs_csv(runs: &super::runs::Runs) -> String {
    let names = [
        "run",
        "run_id",
        "user",
        "state",
        "start_timestamp_seconds",
        "duration_seconds",
        "energy_joules",
        "co2e_grams",
        "embodied_co2e_grams",
        "first_predicted_energy_joules",
        "first_predicted_co2e_grams",
        "budget_co2e_grams",
        "functional_units",
        "sci_grams",
    ];
    let rows = runs.runs.iter().map(|run| {
        vec![
            run.run.clone(),
            run.run_id.clone(),
            run.user.clone(),
            run.state.name().to_owned(),
            cell(run.start_timestamp_seconds),
            cell(run.duration_seconds),
            run.energy_joules.0.to_string(),
            cell(run.co2e_grams.map(|grams| grams.0)),
            cell(run.embodied_co2e_grams.map(|grams| grams.0)),
            cell(run.first_predicted_energy_joules.map(|joules| joules.0)),
            cell(run.first_predicted_co2e_grams.map(|grams| grams.0)),
            cell(run.budget_co2e_grams.map(|grams| grams.0)),
            cell(run.functional_units),
            cell(run.sci_grams),
        ]
    });
    output::csv(&names, rows)
}
