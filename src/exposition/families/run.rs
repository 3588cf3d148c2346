//! Single commands: what each used, how far it is, and what it will come to. They lie within workloads and never
//! within one another, hence names of their own.

use super::{Emit, Family, Kind, family};
use crate::attribution::RunUse;
use crate::run::book::Shown;
use crate::snapshot::Snapshot;
use jiff::Timestamp;

const RUN: &[&str] = &["run", "run_id"];
const BY_KIND: &[&str] = &["run", "run_id", "kind"];

fn each(snapshot: &Snapshot, emit: Emit<'_>, value: fn(&Shown) -> Option<f64>) {
    for run in &snapshot.runs {
        if let Some(value) = value(run) {
            emit(&[&run.name, &run.id], value);
        }
    }
}

fn uses(snapshot: &Snapshot, emit: Emit<'_>, value: fn(&Shown, &RunUse) -> Option<f64>) {
    for run in &snapshot.runs {
        for used in &run.uses {
            if let Some(value) = value(run, used) {
                emit(&[&run.name, &run.id, used.kind.label()], value);
            }
        }
    }
}

/// What is new is shown with 0, for a scrape to see where it began.
fn shown(run: &Shown, used: &RunUse, value: f64) -> f64 {
    if used.opened > run.introduced {
        0.0
    } else {
        value
    }
}

#[allow(clippy::cast_precision_loss)]
fn seconds(at: Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1000.0
}

pub(super) const FAMILIES: &[Family] = &[
    family(
        "gramwatt_run",
        None,
        Kind::Info,
        &["run", "run_id", "user"],
        "A command that is measured, or was until a while ago.",
        |s, emit| {
            for run in &s.runs {
                emit(&[&run.name, &run.id, &run.user], 1.0);
            }
        },
    ),
    family(
        "gramwatt_run_state",
        None,
        Kind::Gauge,
        &["run", "run_id", "state"],
        "1 for the state that the run is in: running, succeeded (exit code 0), failed (any other), lost (gone, and nobody \
         said how).",
        |s, emit| {
            for run in &s.runs {
                emit(&[&run.name, &run.id, run.state.label()], 1.0);
            }
        },
    ),
    family(
        "gramwatt_run_power",
        Some("watts"),
        Kind::Gauge,
        BY_KIND,
        "The run's share of the power of all devices of a kind.",
        |s, emit| uses(s, emit, |_, used| used.watts.map(|watts| watts.0)),
    ),
    family(
        "gramwatt_run_energy",
        Some("joules"),
        Kind::Counter,
        BY_KIND,
        "The run's share of the energy of all devices of a kind: a part of what its workload has.",
        |s, emit| uses(s, emit, |run, used| Some(shown(run, used, used.joules.0))),
    ),
    family(
        "gramwatt_run_co2e",
        Some("grams"),
        Kind::Counter,
        BY_KIND,
        "Location-based operational CO2e of that energy, PUE included.",
        |s, emit| {
            uses(s, emit, |run, used| {
                used.grams.map(|grams| shown(run, used, grams.0))
            });
        },
    ),
    family(
        "gramwatt_run_start_timestamp",
        Some("seconds"),
        Kind::Gauge,
        RUN,
        "When the run began.",
        |s, emit| each(s, emit, |run| Some(seconds(run.began.wall))),
    ),
    family(
        "gramwatt_run_end_timestamp",
        Some("seconds"),
        Kind::Gauge,
        RUN,
        "When the run ended.",
        |s, emit| each(s, emit, |run| run.ended.map(|ended| seconds(ended.wall))),
    ),
    family(
        "gramwatt_run_progress",
        Some("ratio"),
        Kind::Gauge,
        RUN,
        "How much of its work the run has told to be done, 0 to 1.",
        |s, emit| each(s, emit, |run| run.ratio),
    ),
    family(
        "gramwatt_run_predicted_energy",
        Some("joules"),
        Kind::Gauge,
        RUN,
        "Energy of the whole run, as expected now; gone when it ends.",
        |s, emit| {
            each(s, emit, |run| {
                run.prediction.map(|told| told.joules.expected.0)
            });
        },
    ),
    family(
        "gramwatt_run_predicted_co2e",
        Some("grams"),
        Kind::Gauge,
        RUN,
        "CO2e of the whole run, as expected now by the forecast of the hours ahead; gone when it ends.",
        |s, emit| {
            each(s, emit, |run| Some(run.prediction?.grams?.expected.0));
        },
    ),
    family(
        "gramwatt_run_predicted_end_timestamp",
        Some("seconds"),
        Kind::Gauge,
        RUN,
        "When the run is expected to end; gone when it does.",
        |s, emit| {
            each(s, emit, |run| {
                let told = run.prediction?.seconds.expected;
                Some(seconds(run.began.wall) + told)
            });
        },
    ),
    family(
        "gramwatt_run_first_predicted_energy",
        Some("joules"),
        Kind::Gauge,
        RUN,
        "Energy of the whole run as it was expected first.",
        |s, emit| {
            each(s, emit, |run| run.first.map(|told| told.joules.expected.0));
        },
    ),
    family(
        "gramwatt_run_first_predicted_co2e",
        Some("grams"),
        Kind::Gauge,
        RUN,
        "CO2e of the whole run as it was expected first.",
        |s, emit| each(s, emit, |run| Some(run.first?.grams?.expected.0)),
    ),
    family(
        "gramwatt_run_budget_co2e",
        Some("grams"),
        Kind::Gauge,
        RUN,
        "The most that the run should emit, where whoever began it said so.",
        |s, emit| each(s, emit, |run| run.budget.map(|grams| grams.0)),
    ),
];
