//! What each run cost: commands that `gramwatt run` measured.
//!
//! A run's counters begin at 0 with it and never begin anew, so that the largest value seen is the run's total so far,
//! whenever it began.

use super::prometheus::{Failure, Server};
use super::query::{Scope, Source};
use super::time::Span;
use crate::units::{Grams, Joules};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// A run that ended is told of for ten minutes more; one that is not heard for longer has vanished.
const SILENCE: i64 = 900;

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It still runs.
    Running,
    /// It was not heard at the end, and nobody told that it ended.
    Vanished,
    /// The exporter lost it.
    Lost,
    /// It ended well.
    Succeeded,
    /// It ended otherwise.
    Failed,
}

impl State {
    /// `running`, ...
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Vanished => "vanished",
            Self::Lost => "lost",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }

    fn of(name: &str) -> Option<Self> {
        let all = [Self::Running, Self::Lost, Self::Succeeded, Self::Failed];
        all.into_iter().find(|state| state.name() == name)
    }
}

/// A run. What is not known is absent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Run {
    /// Its name, which several may have.
    pub run: String,
    /// Its own.
    pub run_id: String,
    /// Who started it.
    pub user: String,
    /// How it stands at the end of the time.
    pub state: State,
    /// Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_timestamp_seconds: Option<f64>,
    /// How long it took, or has taken until the end of the time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<f64>,
    /// All that it used, also before the time.
    pub energy_joules: Joules,
    /// By location.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub co2e_grams: Option<Grams>,
    /// Of the making, by share of energy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embodied_co2e_grams: Option<Grams>,
    /// What was predicted first of its total.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_predicted_energy_joules: Option<Joules>,
    /// What was predicted first of its total.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_predicted_co2e_grams: Option<Grams>,
    /// What was set for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget_co2e_grams: Option<Grams>,
    /// Functional units that it made, where the user says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub functional_units: Option<f64>,
    /// Software carbon intensity: grams for each functional unit, else for the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sci_grams: Option<f64>,
}

impl Run {
    /// The first prediction of its energy over what it was, less one; of a run that ended well.
    #[must_use]
    pub fn prediction_error(&self) -> Option<f64> {
        let predicted = self.first_predicted_energy_joules?;
        let is_known = self.state == State::Succeeded && self.energy_joules.0 > 0.0;
        is_known.then(|| predicted.0 / self.energy_joules.0 - 1.0)
    }

    /// Whether `name` means it: by name or by id.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.run == name || self.run_id == name
    }
}

/// All runs of a time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Runs {
    /// The runs, the largest first.
    pub runs: Vec<Run>,
    /// Of those that failed, over all runs', 0 to 1.
    pub failed_energy_share: f64,
    /// Of those that failed, over all runs', 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_co2e_share: Option<f64>,
    /// Runs that began before the time.
    pub began_before: usize,
}

/// A run's name and id.
type Key = (String, String);
/// Values by run.
type Values = BTreeMap<Key, f64>;

struct Asker<'a> {
    server: &'a mut Server,
    scope: &'a Scope,
    span: Span,
}

impl Asker<'_> {
    /// The largest value of each series in the time, summed over `kind` where there is such a label. Two that scrape
    /// one exporter tell the same.
    fn largest(&mut self, metric: &str) -> Result<Values, Failure> {
        let here = self.scope.with("");
        let mut largest: BTreeMap<(Key, String), f64> = BTreeMap::new();
        // As with recorded hours: there are few series, and they are short.
        for piece in self.span.pieces(Source::Recorded.piece()) {
            let query = format!(
                "max by (run, run_id, kind) (max_over_time(gramwatt_run_{metric}{here}[{}s]))",
                piece.seconds()
            );
            for series in self.server.instant(&query, piece.to)? {
                let key = (
                    series.label("run").to_owned(),
                    series.label("run_id").to_owned(),
                );
                let value = largest
                    .entry((key, series.label("kind").to_owned()))
                    .or_insert(f64::MIN);
                *value = value.max(series.last());
            }
        }
        let mut sums = Values::new();
        for ((key, _), value) in largest {
            *sums.entry(key).or_default() += value;
        }
        Ok(sums)
    }

    /// What each run was seen to be, by a label of an info series.
    fn labels(
        &mut self,
        metric: &str,
        label: &str,
    ) -> Result<BTreeMap<Key, BTreeSet<String>>, Failure> {
        let here = self.scope.with("");
        let mut seen: BTreeMap<Key, BTreeSet<String>> = BTreeMap::new();
        for piece in self.span.pieces(Source::Recorded.piece()) {
            let query = format!(
                "max by (run, run_id, {label}) (max_over_time(gramwatt_run_{metric}{here}[{}s])) > 0",
                piece.seconds()
            );
            for series in self.server.instant(&query, piece.to)? {
                let key = (
                    series.label("run").to_owned(),
                    series.label("run_id").to_owned(),
                );
                seen.entry(key)
                    .or_default()
                    .insert(series.label(label).to_owned());
            }
        }
        Ok(seen)
    }

    /// Runs that were heard at the end of the time.
    fn heard(&mut self) -> Result<BTreeSet<String>, Failure> {
        let here = self.scope.with("");
        let seconds = SILENCE.min(self.span.seconds());
        let query =
            format!("group by (run_id) (last_over_time(gramwatt_run_info{here}[{seconds}s]))");
        let answer = self.server.instant(&query, self.span.to)?;
        Ok(answer
            .iter()
            .map(|series| series.label("run_id").to_owned())
            .collect())
    }
}

/// Asks for the runs of a time.
///
/// # Errors
/// Where the server does not answer.
pub fn ask(server: &mut Server, scope: &Scope, span: Span) -> Result<Runs, Failure> {
    let mut asker = Asker {
        server,
        scope,
        span,
    };
    let joules = asker.largest("energy_joules_total")?;
    let grams = asker.largest("co2e_grams_total")?;
    let starts = asker.largest("start_timestamp_seconds")?;
    let ends = asker.largest("end_timestamp_seconds")?;
    let predicted = asker.largest("first_predicted_energy_joules")?;
    let predicted_grams = asker.largest("first_predicted_co2e_grams")?;
    let budgets = asker.largest("budget_co2e_grams")?;
    let users = asker.labels("info", "user")?;
    let states = asker.labels("state", "state")?;
    let heard = asker.heard()?;
    let mut runs: Vec<Run> = joules
        .into_iter()
        .map(|(key, joules)| {
            let start = starts.get(&key).copied();
            let state = state(states.get(&key), heard.contains(&key.1));
            let until = ends.get(&key).copied();
            #[allow(clippy::cast_precision_loss)]
            let until = until.or((state == State::Running).then_some(span.to as f64));
            let user = users.get(&key).and_then(BTreeSet::first);
            Run {
                user: user.cloned().unwrap_or_default(),
                state,
                start_timestamp_seconds: start,
                duration_seconds: until
                    .zip(start)
                    .map(|(until, start)| (until - start).max(0.0)),
                energy_joules: Joules(joules),
                co2e_grams: grams.get(&key).copied().map(Grams),
                embodied_co2e_grams: None,
                first_predicted_energy_joules: predicted.get(&key).copied().map(Joules),
                first_predicted_co2e_grams: predicted_grams.get(&key).copied().map(Grams),
                budget_co2e_grams: budgets.get(&key).copied().map(Grams),
                functional_units: None,
                sci_grams: None,
                run: key.0,
                run_id: key.1,
            }
        })
        .collect();
    runs.sort_by(|a, b| {
        let grams = |run: &Run| run.co2e_grams.unwrap_or_default().0;
        let by_energy = b.energy_joules.0.total_cmp(&a.energy_joules.0);
        grams(b).total_cmp(&grams(a)).then(by_energy)
    });
    Ok(summed(runs, span))
}

/// What has been told of its state; the last of them cannot be told from the others but by their order.
fn state(told: Option<&BTreeSet<String>>, is_heard: bool) -> State {
    let told = told
        .into_iter()
        .flatten()
        .filter_map(|name| State::of(name));
    match told.max().unwrap_or(State::Running) {
        State::Running if !is_heard => State::Vanished,
        state => state,
    }
}

fn summed(runs: Vec<Run>, span: Span) -> Runs {
    let is_failed = |run: &&Run| run.state == State::Failed;
    let joules: Joules = runs.iter().map(|run| run.energy_joules).sum();
    let lost: Joules = runs
        .iter()
        .filter(is_failed)
        .map(|run| run.energy_joules)
        .sum();
    let grams: Grams = runs.iter().filter_map(|run| run.co2e_grams).sum();
    let lost_grams: Grams = runs
        .iter()
        .filter(is_failed)
        .filter_map(|run| run.co2e_grams)
        .sum();
    #[allow(clippy::cast_precision_loss)]
    let is_old = |run: &&Run| {
        let start = run.start_timestamp_seconds;
        start.is_some_and(|start| start < span.from as f64)
    };
    Runs {
        failed_energy_share: if joules.0 > 0.0 {
            lost.0 / joules.0
        } else {
            0.0
        },
        failed_co2e_share: (grams.0 > 0.0).then(|| lost_grams.0 / grams.0),
        began_before: runs.iter().filter(is_old).count(),
        runs,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_run_goes_before_its_beginning() {
        let state = |told: &[&str], is_heard| {
            let told: BTreeSet<String> = told.iter().map(|name| (*name).to_owned()).collect();
            super::state(Some(&told), is_heard)
        };
        assert_eq!(state(&["running"], true), State::Running);
        assert_eq!(state(&["running"], false), State::Vanished);
        assert_eq!(state(&["running", "succeeded"], false), State::Succeeded);
        assert_eq!(state(&["failed", "running"], true), State::Failed);
        assert_eq!(
            state(&["running", "lost", "succeeded"], false),
            State::Succeeded
        );
        assert_eq!(super::state(None, false), State::Vanished);
    }
}
