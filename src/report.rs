//! `gramwatt report`: what a time has cost, from the history in a Prometheus.
//!
//! A [`Report`] is a value made of answers; each output is a pure function of it.

pub mod elsewhere;
pub mod hours;
mod making;
pub mod prometheus;
pub mod query;
pub mod rows;
pub mod runs;
pub mod time;
pub mod units;
mod blocks;
mod html;
mod latex;
mod make;
mod notes;
mod show;
mod tables;
mod words;

pub use make::make;
pub use show::{Format, Table, render};

use crate::units::{Grams, GramsPerKwh, Joules};
use elsewhere::{Elsewhere, OtherPue};
use hours::Sums;
use prometheus::Failure;
use query::What;
use rows::{By, Row};
use runs::Runs;
use serde::Serialize;
use std::collections::BTreeMap;
use time::Span;

/// What is to be reported on.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// From when to when, as it was asked for: what is to come may be in it.
    pub asked: Span,
    /// From when to when, at most until now.
    pub span: Span,
    /// The moment that it is made, in Unix seconds.
    pub now: i64,
    /// The clusters; all where none is named.
    pub clusters: Vec<String>,
    /// What the table has a row for each of.
    pub by: By,
    /// Whether hours that nobody told of are let pass.
    pub allow_gaps: bool,
    /// Cloud providers to compare with; all where none is named.
    pub compare: Vec<String>,
    /// What the software makes, for its carbon intensity.
    pub unit: Option<String>,
    /// How many of it were made in the time.
    pub units: Option<f64>,
    /// How many of it a run made, by its name or id.
    pub units_of_runs: Vec<(String, f64)>,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The server does not answer.
    #[error(transparent)]
    Server(#[from] Failure),
    /// There is nothing to report on, or a part of it is missing.
    #[error("{0}")]
    Data(String),
}

/// What a time has cost. What is not known is absent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The version that made it.
    pub gramwatt: &'static str,
    /// Its first second, RFC 3339.
    pub from: String,
    /// The second after its last.
    pub to: String,
    /// The same, in Unix seconds.
    #[serde(skip)]
    pub span: Span,
    /// The clusters that it is of; empty names for what has no label.
    pub clusters: Vec<String>,
    /// What it rests on.
    pub basis: Basis,
    /// All of it.
    pub total: Total,
    /// Each cluster.
    pub by_cluster: BTreeMap<String, Total>,
    /// Energy by kind of device: gpu, cpu, dram, other.
    pub energy_joules_by_kind: BTreeMap<String, Joules>,
    /// Hour by hour.
    pub hours: Vec<Hour>,
    /// What the table is by.
    pub by: By,
    /// Who used it, the largest first; empty where it is by run.
    pub rows: Vec<Row>,
    /// Runs, where it is by run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runs: Option<Runs>,
    /// What its operational CO2e is as much as.
    pub equivalents: Vec<Equivalent>,
    /// The same load in cloud regions, the least first.
    pub elsewhere: Vec<Elsewhere>,
    /// The same load with other PUEs.
    pub other_pues: Vec<OtherPue>,
    /// Software carbon intensity, where a functional unit is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sci: Option<Sci>,
    /// What has to be known to read it rightly.
    pub notes: Vec<String>,
}

/// What a report rests on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Basis {
    /// Hours as the rules recorded them.
    pub recorded_hours: usize,
    /// Hours of the counters themselves.
    pub counter_hours: usize,
    /// Hours that nobody told of.
    pub missing_hours: usize,
    /// Seconds of the other hours in which no node was heard, to a few minutes; of hours of counters alone.
    pub unheard_seconds: i64,
    /// Clusters that have counters and no recorded hours, as the others have, and so are not in here.
    pub left_out: Vec<String>,
    /// The fewest nodes in an hour.
    pub fewest_nodes: u64,
    /// The most nodes in an hour.
    pub most_nodes: u64,
    /// Energy of nodes that have a contract, for which grams by market are booked.
    pub market_energy_joules: Joules,
    /// Nodes whose hardware is made up (`--demo`), at the end of the time.
    pub synthetic_nodes: u64,
    /// Grid zones where the nodes stand, and who tells their intensity, at the end of the time.
    pub grids: Vec<Grid>,
}

/// A grid zone where nodes stand.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Grid {
    /// Which cluster.
    pub cluster: String,
    /// The zone.
    pub grid_zone: String,
    /// Who tells the intensity.
    pub provider: String,
}

/// Sums of a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Total {
    /// Energy of the IT equipment.
    pub energy_joules: Joules,
    /// With what the building used for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub facility_energy_joules: Option<Joules>,
    /// Facility energy over energy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pue: Option<f64>,
    /// Operational, by location.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub co2e_grams: Option<Grams>,
    /// Energy of nodes that know their grid zone, for which these grams are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub co2e_energy_joules: Option<Joules>,
    /// Operational, by contract, of nodes that have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub market_co2e_grams: Option<Grams>,
    /// Of the making.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embodied_co2e_grams: Option<Grams>,
    /// The intensity met: grams for each kWh of facility energy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intensity_grams_per_kwh: Option<GramsPerKwh>,
    /// No sensor measured it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modelled_energy_joules: Option<Joules>,
    /// By a factor that was not live.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimated_co2e_grams: Option<Grams>,
}

impl Total {
    fn of(sums: &Sums) -> Self {
        let joules = sums.joules();
        let grams = sums.grams(What::Grams);
        let share = |facility: Joules| facility.0 / joules.0;
        let met = grams.zip(sums.booked_facility().filter(|facility| facility.0 > 0.0));
        Self {
            energy_joules: joules,
            facility_energy_joules: sums.facility,
            pue: sums.facility.filter(|_| joules.0 > 0.0).map(share),
            co2e_grams: grams,
            co2e_energy_joules: sums.energy(What::Booked),
            market_co2e_grams: sums.grams(What::Market),
            embodied_co2e_grams: sums.grams(What::Embodied),
            intensity_grams_per_kwh: met
                .map(|(grams, facility)| GramsPerKwh(grams.0 / facility.kwh())),
            modelled_energy_joules: sums.energy(What::Modelled),
            estimated_co2e_grams: sums.grams(What::Estimated),
        }
    }

    /// The part of the energy that no sensor measured, 0 to 1.
    #[must_use]
    pub fn modelled_share(&self) -> Option<f64> {
        let modelled = self.modelled_energy_joules?;
        (self.energy_joules.0 > 0.0).then(|| modelled.0 / self.energy_joules.0)
    }

    /// The part of the grams that were booked with a factor that was not live, 0 to 1.
    #[must_use]
    pub fn estimated_share(&self) -> Option<f64> {
        let grams = self.co2e_grams.filter(|grams| grams.0 > 0.0)?;
        Some(self.estimated_co2e_grams?.0 / grams.0)
    }

    /// The part of the energy for which there are grams, 0 to 1.
    #[must_use]
    pub fn booked_share(&self) -> f64 {
        let booked = self.co2e_energy_joules.unwrap_or_default();
        if self.energy_joules.0 > 0.0 {
            (booked.0 / self.energy_joules.0).min(1.0)
        } else {
            0.0
        }
    }
}

/// An hour.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Hour {
    /// Its beginning, RFC 3339.
    pub from: String,
    /// Unix seconds of its beginning.
    #[serde(skip)]
    pub second: i64,
    /// Energy of the IT equipment.
    pub energy_joules: Joules,
    /// By location.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub co2e_grams: Option<Grams>,
    /// Grams for each kWh of facility energy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intensity_grams_per_kwh: Option<GramsPerKwh>,
}

/// What a mass is as much as.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Equivalent {
    /// The short name.
    pub id: String,
    /// What there are several of.
    pub name: String,
    /// How many.
    pub count: f64,
    /// What exactly is meant.
    pub meaning: String,
    /// Who says so.
    pub source: String,
}

/// Software carbon intensity, ISO/IEC 21031:2024: ((E x I) + M) / R.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sci {
    /// E: facility energy, in kWh.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub energy_kwh: Option<f64>,
    /// I: the intensity met.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intensity_grams_per_kwh: Option<GramsPerKwh>,
    /// E x I.
    pub operational_grams: Grams,
    /// M; absent where it is not known, and then the score is a lower bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embodied_grams: Option<Grams>,
    /// What R counts.
    pub functional_unit: String,
    /// R.
    pub functional_units: f64,
    /// Grams for each functional unit.
    pub sci_grams: f64,
}

/// A cluster's name, also where there is no label.
fn shown(cluster: &str) -> &str {
    if cluster.is_empty() {
        "(no cluster label)"
    } else {
        cluster
    }
}
