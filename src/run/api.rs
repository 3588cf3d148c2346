//! What is said over the socket: small JSON texts, the same for whoever serves and whoever asks.

use super::predict::Prediction;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `POST /v1/runs`: a run begins.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Begin {
    /// What it is called: 1 to 128 characters, none of control.
    pub name: String,
    /// The head of its processes, as whoever asks numbers them: itself, or one that it descends from and that is the
    /// same user's. Unset: whoever asks.
    #[serde(default)]
    pub pid: Option<u32>,
    /// Whether what the head does itself is not the run's.
    #[serde(default)]
    pub children_alone: bool,
    /// The most that it should emit, in grams.
    #[serde(default)]
    pub budget_grams: Option<f64>,
}

/// `POST /v1/runs/ID/progress`: how far it is.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Done {
    /// Units of work done, at least 0.
    pub done: f64,
    /// Units of work in all, above 0.
    pub total: f64,
}

/// `POST /v1/runs/ID/end`: it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Over {
    /// 0 where all went well.
    pub exit_code: i32,
}

/// How a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It goes on.
    Running,
    /// It has ended with exit code 0.
    Succeeded,
    /// It has ended with another.
    Failed,
    /// Its head was gone and nobody had said how it ended.
    Lost,
}

impl State {
    /// The value of the `state` label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Lost => "lost",
        }
    }
}

/// `GET /v1/runs/ID`, and the answer to all that is posted: a run as it is.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Run {
    /// What it is known by.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// Whose it is, by name where the machine's list of users has it, else by number.
    pub user: String,
    /// How it is.
    pub state: State,
    /// When it began (RFC 3339).
    pub began: String,
    /// When it ended.
    pub ended: Option<String>,
    /// How long it has gone on, or went on.
    pub seconds: f64,
    /// Whether all of its energy is divided, so that its figures stay as they are, but for what a slow meter of the whole
    /// machine adds where the configuration divides that.
    pub settled: bool,
    /// Its processes.
    pub processes: usize,
    /// Power now; nothing while nobody knows.
    pub watts: Option<f64>,
    /// Energy since it began.
    pub joules: f64,
    /// Operational emissions, location-based; nothing where no grid is set.
    pub grams: Option<f64>,
    /// The three by kind of device.
    pub kinds: BTreeMap<String, Used>,
    /// How far it is.
    pub progress: Option<Done>,
    /// What it will come to.
    pub prediction: Option<Prediction>,
    /// What was predicted first.
    pub first_prediction: Option<Prediction>,
    /// The most that it should emit, in grams.
    pub budget_grams: Option<f64>,
}

/// What was used of one kind of device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Used {
    /// Power now.
    pub watts: Option<f64>,
    /// Energy.
    pub joules: f64,
    /// Operational emissions, location-based.
    pub grams: Option<f64>,
}

/// `GET /v1/node`: what a run's figures rest on.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Node {
    /// The machine.
    pub host: String,
    /// The moment that all of this is of, in seconds since the machine started.
    pub at_seconds: f64,
    /// Whether it has been measured yet.
    pub ready: bool,
    /// Whether it sees the processes of whoever asks: from inside a container it may not.
    pub sees_you: bool,
    /// How the joules of each kind of device are had: `counter`, `integrated`, `modelled`, or several of them.
    pub methods: BTreeMap<String, String>,
    /// Its power.
    pub watts: Option<f64>,
    /// Its energy since its books began.
    pub joules: Option<f64>,
    /// Its share of its making since then.
    pub embodied_grams: Option<f64>,
    /// Facility power / IT power.
    pub pue: f64,
    /// Who says so.
    pub pue_origin: String,
    /// The grid; nothing where none is set.
    pub grid: Option<Grid>,
    /// The hours ahead, as far as they are known.
    pub forecast: Vec<Hour>,
    /// What whoever runs the machine should know.
    pub notes: Vec<String>,
}

/// What its electricity emits.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Grid {
    /// Where.
    pub zone: String,
    /// g CO2e/kWh.
    pub intensity: f64,
    /// Who says so.
    pub provider: String,
    /// `live`, `cached`, `forecast` or `static`.
    pub tier: String,
    /// The year of a bundled figure.
    pub vintage: String,
}

/// An hour ahead.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Hour {
    /// When it begins (RFC 3339).
    pub start: String,
    /// g CO2e/kWh.
    pub intensity: f64,
}

/// What is said where something cannot be done.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Refused {
    /// Why, and what to do.
    pub error: String,
}
