//! How good the prediction of a run is: replayed logs, beside Carbontracker's rule, in `docs/prediction.md`; and whether
//! its intervals hold what they promise, on random runs.

use crate::runs::{Log, Random, Recipe};
use crate::tools::root;
use gramwatt::grid::forecast::{Forecast, Origin};
use gramwatt::run::outlook::Outlook;
use gramwatt::run::predict::{Now, Prediction, Progress, Range};
use gramwatt::units::{Grams, GramsPerKwh, Joules};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::f64::consts::TAU;
use std::fmt::Write;
use std::fs;
use std::time::Duration;

const START: &str = "2026-01-05T09:30:00Z";
const PUE: f64 = 1.2;
const SHARES: [f64; 4] = [0.1, 0.25, 0.5, 0.9];

/// Random runs.
const RUNS: u32 = 400;

/// Seconds between two looks of Carbontracker at the intensity.
const LOOK: f64 = 900.0;

/// The day: 150 g/kWh in the small hours of the afternoon's sun, 450 in the evening, and a forecast that errs.
struct Grid {
    /// How far the truth is from the forecast, as a share, for each hour from [`START`] on.
    errors: Vec<f64>,
}

impl Grid {
    /// Errs by up to a tenth, in waves of 17 hours.
    fn wavy() -> Self {
        let error = |hour: u32| 0.1 * (f64::from(hour) * TAU / 17.0).sin();
        Self {
            errors: (0..600).map(error).collect(),
        }
    }

    /// Errs by a tenth, and for a while.
    fn random(random: &mut Random) -> Self {
        let mut error = 0.0;
        let errors = (0..600).map(|_| {
            error = 0.9 * error + 0.1 * 0.19_f64.sqrt() * random.normal();
            error
        });
        Self {
            errors: errors.collect(),
        }
    }

    fn forecast(hour: usize) -> f64 {
        let of_day = f64::from(u32::try_from(hour % 24).unwrap());
        300.0 + 150.0 * ((of_day + 9.0 - 20.0) * TAU / 24.0).cos()
    }

    /// What it was at a time since the start, which is half past.
    fn truth(&self, seconds: f64) -> f64 {
        let hour = hour(seconds);
        Self::forecast(hour) * (1.0 + self.errors[hour])
    }

    /// Grams of energy that was used evenly.
    fn grams(&self, from: f64, to: f64, joules: f64) -> f64 {
        let kwh_of_second = Joules(joules).kwh() / (to - from);
        let (mut at, mut grams) = (from, 0.0);
        while at < to {
            #[allow(clippy::cast_precision_loss)]
            let until = ((hour(at) + 1) as f64 * 3600.0 - 1800.0).min(to);
            grams += (until - at) * kwh_of_second * self.truth(at) * PUE;
            at = until;
        }
        grams
    }

    fn outlook(&self, seconds: f64) -> Outlook {
        let hours = (hour(seconds)..)
            .take(48)
            .map(|hour| Some(GramsPerKwh(Self::forecast(hour))));
        let at = wall(seconds);
        let start = at.round(
            jiff::TimestampRound::new()
                .smallest(jiff::Unit::Hour)
                .mode(jiff::RoundMode::Floor),
        );
        let forecast = Forecast::new(start.unwrap(), hours.collect(), Origin::Provider);
        Outlook::new(
            at,
            Some(GramsPerKwh(self.truth(seconds))),
            Some(&forecast),
            PUE,
        )
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn hour(seconds: f64) -> usize {
    // A whisker, so that what begins at a full hour is of that hour.
    ((seconds + 1800.0 + 1e-6) / 3600.0) as usize
}

fn wall(seconds: f64) -> Timestamp {
    START.parse::<Timestamp>().unwrap() + Duration::from_secs_f64(seconds)
}

/// Time, joules and grams.
type Figures = [f64; 3];

/// What a run had taken after each mark.
fn used(log: &Log, grid: &Grid) -> Vec<Figures> {
    let mut last = [0.0; 3];
    let marks = log.marks.iter().map(|mark| {
        let (at, joules) = (mark.at.as_secs_f64(), mark.joules.0);
        let grams = grid.grams(last[0], at, joules - last[1]);
        last = [at, joules, last[2] + grams];
        last
    });
    marks.collect()
}

/// What is predicted when so many marks have been told.
fn predict(log: &Log, grid: &Grid, used: &[Figures], told: usize) -> Prediction {
    let mut progress = Progress::default();
    for mark in &log.marks[..told] {
        progress.tell(*mark, log.total);
    }
    let [at, joules, grams] = used[told - 1];
    let now = Now {
        wall: wall(at),
        elapsed: Duration::from_secs_f64(at),
        joules: Joules(joules),
        grams: Some(Grams(grams)),
    };
    progress.predict(&now, &grid.outlook(at)).unwrap()
}

fn ranges(prediction: &Prediction) -> [Range<f64>; 3] {
    let plain = |expected, low, high| Range {
        expected,
        low,
        high,
    };
    let (joules, grams) = (prediction.joules, prediction.grams.unwrap());
    [
        prediction.seconds,
        plain(joules.expected.0, joules.low.0, joules.high.0),
        plain(grams.expected.0, grams.low.0, grams.high.0),
    ]
}

/// Carbontracker's rule: the mean of the epochs so far times all epochs, and the mean of the intensities that it saw and
/// will see, if all to come are like the newest.
fn linear(log: &Log, grid: &Grid, used: &[Figures], told: usize) -> Figures {
    let epochs = f64::from(u32::try_from(told).unwrap());
    let [at, joules, _] = used[told - 1];
    let (time, energy) = (at / epochs * log.total, joules / epochs * log.total);
    let looks = (0..)
        .map(|look| f64::from(look) * LOOK)
        .take_while(|look| *look <= at);
    let seen: Vec<f64> = looks.map(|look| grid.truth(look)).collect();
    let to_come = 1.0 + (time / LOOK).floor();
    let count = f64::from(u32::try_from(seen.len()).unwrap()) + to_come;
    let intensity = (seen.iter().sum::<f64>() + to_come * grid.truth(at)) / count;
    [time, energy, Joules(energy).kwh() * intensity * PUE]
}

/// The logs of `tests/fixtures/runs`.
fn recipes() -> [(&'static str, Recipe); 6] {
    let steady = Recipe::steady;
    [
        ("steady", steady()),
        (
            "warm-up",
            Recipe {
                warm_up: (2.0, 0.01),
                ..steady()
            },
        ),
        (
            "slowing",
            Recipe {
                slowing: 0.02,
                ..steady()
            },
        ),
        (
            "stalled",
            Recipe {
                stall: Some((20, 10.0)),
                ..steady()
            },
        ),
        (
            "restarted",
            Recipe {
                restart: Some((40, 25)),
                ..steady()
            },
        ),
        (
            "bursty",
            Recipe {
                bursts: (0.2, 2.0),
                ..steady()
            },
        ),
    ]
}

/// One line of the table.
struct Row {
    name: &'static str,
    share: f64,
    /// Errors as shares of the truth.
    ours: Figures,
    linear: Figures,
    /// Width of the intervals as shares of the truth.
    widths: Figures,
}

fn rows() -> Vec<Row> {
    let grid = Grid::wavy();
    let mut rows = Vec::new();
    for (name, _) in recipes() {
        let log = Log::read(name);
        let used = used(&log, &grid);
        let truth = *used.last().unwrap();
        for share in SHARES {
            let told = log.at(share);
            let ranges = ranges(&predict(&log, &grid, &used, told));
            let linear = linear(&log, &grid, &used, told);
            let of = |figure: &dyn Fn(usize) -> f64| [0, 1, 2].map(|at| figure(at) / truth[at]);
            rows.push(Row {
                name,
                share,
                ours: of(&|at| ranges[at].expected - truth[at]),
                linear: of(&|at| linear[at] - truth[at]),
                widths: of(&|at| ranges[at].high - ranges[at].low),
            });
        }
    }
    rows
}

/// A share in percent; never `-0.0`.
fn percent(share: f64) -> String {
    format!("{:+.1} %", (share * 1000.0).round() / 10.0 + 0.0)
}

fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| run | done | time | by the rule | energy | by the rule | CO2e | by the rule | widths |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for row in rows {
        let cells =
            (0..3).map(|at| format!("{} | {}", percent(row.ours[at]), percent(row.linear[at])));
        let cells: Vec<String> = cells.collect();
        let (name, done) = (row.name, row.share * 100.0);
        let widths = whole(row.widths, 1.0);
        writeln!(
            text,
            "| {name} | {done:.0} % | {} | {widths} % |",
            cells.join(" | ")
        )
        .unwrap();
    }
    text
}

/// Time, energy and grams in whole percent of `of`.
fn whole(figures: Figures, of: f64) -> String {
    figures
        .map(|figure| format!("{:.0}", figure / of * 100.0))
        .join(", ")
}

fn random_table(scores: &BTreeMap<(&str, usize), Score>) -> String {
    let mut text = String::from(
        "| runs | done | error: time, energy, CO2e | by the rule | in the interval | widths |\n\
         |---|--:|--:|--:|--:|--:|\n",
    );
    for ((kind, place), score) in scores {
        let cells = [score.ours, score.linear, score.held, score.widths];
        let cells = cells.map(|sums| whole(sums, score.runs) + " %").join(" | ");
        let (runs, done) = (score.runs, SHARES[*place] * 100.0);
        writeln!(text, "| {kind} ({runs}) | {done:.0} % | {cells} |").unwrap();
    }
    text
}

/// `text` with what is between the marks of the block `name` replaced.
fn with_block(text: &str, name: &str, content: &str) -> String {
    let begin = format!("<!-- generated: {name} -->\n");
    let (before, rest) = text.split_once(&begin).unwrap();
    let (_, after) = rest.split_once("<!-- /generated -->").unwrap();
    format!("{before}{begin}{content}<!-- /generated -->{after}")
}

#[test]
fn the_document_shows_how_good_the_prediction_is() {
    let is_update = std::env::var_os("UPDATE_DOCS").is_some();
    if is_update {
        for (seed, (name, recipe)) in (1..).zip(recipes()) {
            Log::cook(&mut Random(seed), &recipe).write(name);
        }
    }
    let path = root().join("docs/prediction.md");
    let old = fs::read_to_string(&path).unwrap();
    let new = with_block(&old, "logs", &table(&rows()));
    let new = with_block(&new, "random", &random_table(&scores()));
    if is_update {
        fs::write(&path, new).unwrap();
    } else {
        assert!(
            new == old,
            "docs/prediction.md is stale: run `make docs`\n{new}"
        );
    }
}

#[test]
fn steady_work_is_known_after_a_tenth_and_the_rule_is_not_better_after_a_quarter() {
    let rows = rows();
    for row in &rows {
        let (name, share) = (row.name, row.share);
        for at in 0..3 {
            let (ours, linear) = (row.ours[at].abs(), row.linear[at].abs());
            assert!(name != "steady" || ours < 0.05, "{name} {share}: {ours}");
            assert!(
                share < 0.2 || ours < linear + 0.01,
                "{name} {share} {at}: {ours}, by the rule {linear}"
            );
        }
    }
    for pair in rows.windows(2).filter(|pair| pair[0].name == pair[1].name) {
        for at in 0..3 {
            assert!(
                pair[1].widths[at] < pair[0].widths[at],
                "{} {at}: {:?}",
                pair[1].name,
                pair[1].widths
            );
        }
    }
}

/// How the predictions of random runs of one kind did, at one share of the work.
#[derive(Clone, Copy, Default)]
struct Score {
    runs: f64,
    /// Sums of the sizes of errors, as shares of the truth.
    ours: Figures,
    linear: Figures,
    /// In how many runs the interval held the truth.
    held: Figures,
    /// Sum of the widths of the intervals, as shares of the truth.
    widths: Figures,
}

/// Scores by kind and by share, with `all` kinds together.
fn scores() -> BTreeMap<(&'static str, usize), Score> {
    let mut random = Random(8);
    let mut scores: BTreeMap<(&str, usize), Score> = BTreeMap::new();
    for _ in 0..RUNS {
        let (kind, recipe) = Recipe::any(&mut random);
        let log = Log::cook(&mut random, &recipe);
        let grid = Grid::random(&mut random);
        let used = used(&log, &grid);
        let truth = *used.last().unwrap();
        for (place, share) in SHARES.into_iter().enumerate() {
            let told = log.at(share);
            let ranges = ranges(&predict(&log, &grid, &used, told));
            let linear = linear(&log, &grid, &used, told);
            for kind in [kind, "all"] {
                let score = scores.entry((kind, place)).or_default();
                score.runs += 1.0;
                for at in 0..3 {
                    let (range, truth) = (ranges[at], truth[at]);
                    score.ours[at] += (range.expected / truth - 1.0).abs();
                    score.linear[at] += (linear[at] / truth - 1.0).abs();
                    score.held[at] +=
                        f64::from(u8::from((range.low..=range.high).contains(&truth)));
                    score.widths[at] += (range.high - range.low) / truth;
                }
            }
        }
    }
    scores
}

#[test]
fn intervals_hold_the_truth_and_narrow() {
    let scores = scores();
    let all: Vec<Score> = (0..SHARES.len())
        .map(|place| scores[&("all", place)])
        .collect();
    for score in &all {
        assert!(
            score.held.iter().all(|held| *held >= 0.85 * score.runs),
            "{:?}",
            score.held
        );
    }
    for pair in all.windows(2) {
        assert!((0..3).all(|at| pair[1].widths[at] < pair[0].widths[at]));
    }
}
