//! What each run cost: commands that `gramwatt run` measured.
//!
//! A run's counters begin at 0 with it and never begin anew, so that the largest value seen is the run's total so far,
//! whenever it began.

use super::hours::{Stretch, of_sample};
use super::prometheus::{Failure, Series, Server};
use super::query::{Scope, Source};
use super::time::{HOUR, Span};
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
    /// Where it ran; empty without the label.
    pub cluster: String,
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
    /// From when to when it ran, as well as that is known; until the end of the time where its own is not.
    #[serde(skip)]
    pub time: Option<Span>,
    /// All that it used, also before the time.
    pub energy_joules: Joules,
    /// By location.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub co2e_grams: Option<Grams>,
    /// Of the making, by its share of the energy of its cluster while it ran.
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

/// What is told of runs, by the counters' names; each has a recorded hour, the largest of which is the whole too.
struct Asker<'a> {
    server: &'a mut Server,
    scope: &'a Scope,
    stretches: Vec<Stretch>,
}

impl Asker<'_> {
    /// The largest value of each run in the time; of counters the sum over `kind`. Two that scrape one exporter tell
    /// the same.
    fn largest(&mut self, metric: &str) -> Result<Values, Failure> {
        let here = self.scope.with("");
        let mut largest: BTreeMap<(Key, String), f64> = BTreeMap::new();
        for stretch in self.stretches.clone() {
            for piece in stretch.pieces() {
                let seconds = piece.seconds();
                let series = match stretch.source {
                    Source::Recorded => {
                        let name = metric.trim_end_matches("_total");
                        format!("run:gramwatt_run_{name}:last1h{here}")
                    }
                    Source::Counters => format!("gramwatt_run_{metric}{here}"),
                };
                let query =
                    format!("max by (run, run_id, kind) (max_over_time({series}[{seconds}s]))");
                for series in self.server.instant(&query, piece.to)? {
                    let of = (key(&series), series.label("kind").to_owned());
                    let value = largest.entry(of).or_insert(f64::MIN);
                    *value = value.max(series.last());
                }
            }
        }
        let mut sums: BTreeMap<Key, [f64; 2]> = BTreeMap::new();
        for ((key, kind), value) in largest {
            // Recorded hours have the sum over kinds.
            let both = sums.entry(key).or_default();
            both[usize::from(kind.is_empty())] += value;
        }
        let whole = |[kinds, all]: [f64; 2]| kinds.max(all);
        Ok(sums
            .into_iter()
            .map(|(key, both)| (key, whole(both)))
            .collect())
    }

    /// Who started each run, and what it was seen to be.
    fn about(&mut self) -> Result<BTreeMap<Key, About>, Failure> {
        let here = self.scope.with("");
        let mut seen: BTreeMap<Key, About> = BTreeMap::new();
        for stretch in self.stretches.clone() {
            for piece in stretch.pieces() {
                let seconds = piece.seconds();
                let series: &[&str] = match stretch.source {
                    Source::Recorded => &["run:gramwatt_run_info:last1h"],
                    Source::Counters => &["gramwatt_run_info", "gramwatt_run_state"],
                };
                for series in series {
                    let query = format!(
                        "max by (cluster, run, run_id, user, state) (max_over_time({series}{here}[{seconds}s])) > 0"
                    );
                    for series in self.server.instant(&query, piece.to)? {
                        let about = seen.entry(key(&series)).or_default();
                        if !series.label("cluster").is_empty() {
                            about.cluster = series.label("cluster").to_owned();
                        }
                        if !series.label("user").is_empty() {
                            about.user = series.label("user").to_owned();
                        }
                        about.states.extend(State::of(series.label("state")));
                    }
                }
            }
        }
        Ok(seen)
    }

    /// From when to when runs were, to the hour, as recorded hours tell: each has how long the run had taken until then.
    fn times(&mut self) -> Result<BTreeMap<Key, Span>, Failure> {
        let here = self.scope.with("");
        let mut times: BTreeMap<Key, (i64, i64)> = BTreeMap::new();
        for stretch in self.stretches.clone() {
            if stretch.source != Source::Recorded {
                continue;
            }
            for piece in stretch.pieces() {
                let seconds = piece.seconds();
                let query = format!("run:gramwatt_run_duration_seconds:last1h{here}[{seconds}s]");
                for series in self.server.instant(&query, piece.to)? {
                    for (at, took) in &series.samples {
                        #[allow(clippy::cast_possible_truncation)]
                        let took = took.max(0.0) as i64;
                        let begin = of_sample(*at) + HOUR - took;
                        let (first, longest) = times.entry(key(&series)).or_insert((begin, took));
                        *first = begin.min(*first);
                        *longest = took.max(*longest);
                    }
                }
            }
        }
        let spans = times.into_iter();
        Ok(spans
            .map(|(key, (from, took))| (key, lasting(from, from + took)))
            .collect())
    }

    /// Runs that had ended at a moment, and are still told of.
    fn ended(&mut self, at: i64) -> Result<BTreeSet<String>, Failure> {
        let ended = self.scope.with("state!=\"running\"");
        let query = format!("group by (run_id) (gramwatt_run_state{ended} == 1)");
        let answer = self.server.instant(&query, at)?;
        let ids = answer
            .iter()
            .map(|series| series.label("run_id").to_owned());
        Ok(ids.collect())
    }

    /// Runs that are told of at a moment, or were in the seconds before it.
    fn heard(&mut self, at: i64, seconds: i64) -> Result<BTreeSet<String>, Failure> {
        let here = self.scope.with("");
        let query =
            format!("group by (run_id) (last_over_time(gramwatt_run_info{here}[{seconds}s]))");
        let answer = self.server.instant(&query, at)?;
        let ids = answer
            .iter()
            .map(|series| series.label("run_id").to_owned());
        Ok(ids.collect())
    }
}

/// A time of at least a second.
fn lasting(from: i64, to: i64) -> Span {
    Span {
        from,
        to: to.max(from + 1),
    }
}

/// What is told of a run in labels.
#[derive(Default)]
struct About {
    cluster: String,
    user: String,
    states: BTreeSet<State>,
}

fn key(series: &Series) -> Key {
    (
        series.label("run").to_owned(),
        series.label("run_id").to_owned(),
    )
}

/// Where runs are told of: in recorded hours, if these have any runs, else in the series of the runs themselves.
fn sources(
    server: &mut Server,
    scope: &Scope,
    stretches: &[Stretch],
) -> Result<Vec<Stretch>, Failure> {
    let here = scope.with("");
    for stretch in stretches
        .iter()
        .filter(|stretch| stretch.source == Source::Recorded)
    {
        for piece in stretch.pieces() {
            let seconds = piece.seconds();
            let query =
                format!("count(last_over_time(run:gramwatt_run_info:last1h{here}[{seconds}s]))");
            if !server.instant(&query, piece.to)?.is_empty() {
                return Ok(stretches.to_vec());
            }
        }
    }
    let all = stretches.iter().map(|stretch| Stretch {
        source: Source::Counters,
        ..*stretch
    });
    Ok(all.collect())
}

/// Asks for the runs of a time.
///
/// # Errors
/// Where the server does not answer.
pub fn ask(
    server: &mut Server,
    scope: &Scope,
    span: Span,
    stretches: &[Stretch],
) -> Result<Runs, Failure> {
    let stretches = sources(server, scope, stretches)?;
    let mut asker = Asker {
        server,
        scope,
        stretches,
    };
    let joules = asker.largest("energy_joules_total")?;
    let grams = asker.largest("co2e_grams_total")?;
    let starts = asker.largest("start_timestamp_seconds")?;
    let ends = asker.largest("end_timestamp_seconds")?;
    // Recorded hours have this in place of the two.
    let durations = asker.largest("duration_seconds")?;
    let predicted = asker.largest("first_predicted_energy_joules")?;
    let predicted_grams = asker.largest("first_predicted_co2e_grams")?;
    let budgets = asker.largest("budget_co2e_grams")?;
    let times = asker.times()?;
    let about = asker.about()?;
    let heard = asker.heard(span.to, SILENCE.min(span.seconds()))?;
    let before = asker.heard(span.from, SILENCE)?;
    let earlier = asker.ended(span.from)?;
    let mut runs: Vec<Run> = Vec::new();
    // Who had ended before the time is a run of the time before.
    for (key, joules) in joules
        .into_iter()
        .filter(|((_, id), _)| !earlier.contains(id))
    {
        let told = about.get(&key);
        let state = state(told, heard.contains(&key.1));
        let start = starts.get(&key).copied();
        #[allow(clippy::cast_precision_loss)]
        let now = (state == State::Running).then_some(span.to as f64);
        let until = ends.get(&key).copied().or(now);
        let took = until.zip(start).map(|(until, start)| until - start);
        let recorded = durations
            .get(&key)
            .copied()
            .filter(|_| state != State::Vanished);
        // Of one that vanished the end is not known exactly, and by its counters not at all.
        #[allow(clippy::cast_possible_truncation)]
        let lasted = |until: i64| start.map(|start| lasting(start as i64, until));
        #[allow(clippy::cast_possible_truncation)]
        let exact = until.and_then(|until| lasted(until as i64));
        let recorded_time = times.get(&key).copied();
        let grams_of = |values: &Values| values.get(&key).copied().map(Grams);
        runs.push(Run {
            cluster: told.map(|about| about.cluster.clone()).unwrap_or_default(),
            user: told.map(|about| about.user.clone()).unwrap_or_default(),
            state,
            time: exact.or(recorded_time).or_else(|| lasted(span.to)),
            start_timestamp_seconds: start,
            duration_seconds: took.or(recorded).map(|seconds| seconds.max(0.0)),
            energy_joules: Joules(joules),
            co2e_grams: grams_of(&grams),
            embodied_co2e_grams: None,
            first_predicted_energy_joules: predicted.get(&key).copied().map(Joules),
            first_predicted_co2e_grams: grams_of(&predicted_grams),
            budget_co2e_grams: grams_of(&budgets),
            functional_units: None,
            sci_grams: None,
            run: key.0,
            run_id: key.1,
        });
    }
    runs.sort_by(|a, b| {
        let grams = |run: &Run| run.co2e_grams.unwrap_or_default().0;
        let by_energy = b.energy_joules.0.total_cmp(&a.energy_joules.0);
        grams(b).total_cmp(&grams(a)).then(by_energy)
    });
    Ok(summed(runs, &before))
}

/// What it was last. The order of what it was seen to be tells: from running it goes to an end.
fn state(about: Option<&About>, is_heard: bool) -> State {
    let told = about.and_then(|about| about.states.last());
    match told.copied().unwrap_or(State::Running) {
        State::Running if !is_heard => State::Vanished,
        state => state,
    }
}

fn summed(runs: Vec<Run>, before: &BTreeSet<String>) -> Runs {
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
    Runs {
        failed_energy_share: if joules.0 > 0.0 {
            lost.0 / joules.0
        } else {
            0.0
        },
        failed_co2e_share: (grams.0 > 0.0).then(|| lost_grams.0 / grams.0),
        began_before: runs
            .iter()
            .filter(|run| before.contains(&run.run_id))
            .count(),
        runs,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A run that ended well, of 1 kWh and 300 g.
    pub fn run(name: &str, id: &str) -> Run {
        Run {
            run: name.to_owned(),
            run_id: id.to_owned(),
            cluster: String::new(),
            user: "ada".to_owned(),
            state: State::Succeeded,
            start_timestamp_seconds: None,
            duration_seconds: Some(3600.0),
            time: None,
            energy_joules: Joules(3.6e6),
            co2e_grams: Some(Grams(300.0)),
            embodied_co2e_grams: None,
            first_predicted_energy_joules: None,
            first_predicted_co2e_grams: None,
            budget_co2e_grams: None,
            functional_units: None,
            sci_grams: None,
        }
    }

    #[test]
    fn the_end_of_a_run_goes_before_its_beginning() {
        let state = |told: &[&str], is_heard| {
            let about = About {
                cluster: String::new(),
                user: String::new(),
                states: told.iter().filter_map(|name| State::of(name)).collect(),
            };
            super::state(Some(&about), is_heard)
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
