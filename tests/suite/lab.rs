//! Thirty days of a lab of forty nodes in a real Prometheus: every rule and every panel has something to say, and it is true.

use crate::dashboards::{boards, panels, rules, targets, text};
use crate::prometheus::{Prometheus, sample};
use crate::tools::{done, root, tool};
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Command;
use tempfile::TempDir;

/// The last moment of the history: 2026-10-28T18:00:00Z, and when the dashboards are looked at.
pub const END: i64 = 1_793_210_400;
const NOW: i64 = END + 270;
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// The largest error that is let pass, of the truth.
const ERROR: f64 = 0.005;

/// What is true of the lab: by what, whose, how much.
pub type Truth = BTreeMap<String, BTreeMap<String, f64>>;

fn lab() -> (Prometheus, Truth) {
    let dir: TempDir = tempfile::tempdir().unwrap();
    let tools = tool("promtool");
    let tools = tools.parent().unwrap().to_string_lossy();
    let path = format!("{tools}:{}", std::env::var("PATH").unwrap());
    done(
        Command::new(tool("python3"))
            .arg("-B")
            .arg(root().join("tests/lab/fill.py"))
            .arg(END.to_string())
            .arg(dir.path())
            .env("PATH", path),
    );
    let truth = std::fs::read_to_string(dir.path().join("truth.json")).unwrap();
    let flags = ["--query.lookback-delta=20m"];
    (
        Prometheus::with(dir, "global: {}\n", &flags),
        serde_json::from_str(&truth).unwrap(),
    )
}

/// What Grafana puts in place of variables, as when a dashboard is opened: all of everything, else the default.
fn values(board: &Value) -> Vec<(String, String)> {
    let list = board["templating"]["list"].as_array().unwrap();
    let mut values: Vec<(String, String)> = list
        .iter()
        .map(|variable| {
            let all = variable["allValue"].as_str();
            let value = all.or(variable["current"]["value"].as_str());
            // Without either Grafana takes the first that it finds.
            let value = value.filter(|value| !value.is_empty()).unwrap_or(".+");
            let value = value.to_owned();
            (format!("${}", text(variable, "name")), value)
        })
        .collect();
    values.push(("$__rate_interval".into(), "1h".into()));
    values.push(("$__interval".into(), "1h".into()));
    // The longest first: one name may begin another.
    values.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    values
}

/// The seconds that a range such as `now-7d` or `now/M` has at [`NOW`].
fn seconds(from: &str) -> i64 {
    match from {
        "now/d" => 18 * HOUR + 270,
        "now/M" => 27 * DAY + 18 * HOUR + 270,
        // Since the first of January.
        "now/y" => 300 * DAY + 18 * HOUR + 270,
        "now-24h" => DAY,
        "now-7d" => 7 * DAY,
        other => panic!("{other}"),
    }
}

fn filled(expr: &str, values: &[(String, String)], range: i64) -> String {
    let expr = expr.replace("$__range", &format!("{range}s"));
    let put = |expr: String, (name, value): &(String, String)| expr.replace(name, value);
    values.iter().fold(expr, put)
}

/// The values of a query's answer: the last of each series.
fn last(series: &Value) -> f64 {
    let pair = match series["values"].as_array() {
        Some(all) => all.last().unwrap(),
        None => &series["value"],
    };
    sample(pair).1
}

struct Look<'a> {
    server: &'a Prometheus,
    board: Value,
}

impl<'a> Look<'a> {
    fn at(server: &'a Prometheus, uid: &str) -> Self {
        let mut boards = boards().into_iter();
        let board = boards.find(|board| text(board, "uid") == uid).unwrap();
        Self { server, board }
    }

    fn panel(&self, title: &str) -> &Value {
        let found = panels(&self.board).find(|panel| text(panel, "title") == title);
        found.unwrap_or_else(|| panic!("no panel {title}"))
    }

    fn ask(&self, panel: &Value, target: &Value, range: i64) -> Vec<Value> {
        let expr = filled(text(target, "expr"), &values(&self.board), range);
        let answer = if target["instant"] == true {
            self.server.query(&expr, Some(NOW * 1000))
        } else {
            self.server.query_range(&expr, NOW - range..NOW, HOUR)
        };
        answer.unwrap_or_else(|| panic!("{}: {expr}", text(panel, "title")))
    }

    /// What a panel shows of the whole thirty days, by a label.
    fn whole(&self, title: &str, number: usize, label: &str) -> BTreeMap<String, f64> {
        let panel = self.panel(title);
        let answer = self.ask(panel, &panel["targets"][number], 30 * DAY);
        let mut sums = BTreeMap::new();
        for one in answer {
            let name = one["metric"][label].as_str().unwrap_or_default().to_owned();
            *sums.entry(name).or_default() += last(&one);
        }
        sums
    }
}

pub fn close(what: &str, shown: f64, truth: f64) {
    let error = shown / truth - 1.0;
    println!(
        "{what}: {shown:.3}, truth {truth:.3}, {:+.3} %",
        error * 100.0
    );
    assert!(error.abs() < ERROR, "{what}");
}

fn every_panel_has_something_to_say(server: &Prometheus) {
    let mut queries = 0;
    for board in boards() {
        let look = Look { server, board };
        for panel in panels(&look.board) {
            let place = format!("{}: {}", text(&look.board, "uid"), text(panel, "title"));
            let from = match text(panel, "timeFrom") {
                "" => text(&look.board["time"], "from"),
                own => own,
            };
            let range = seconds(from);
            let mut said = Vec::new();
            for target in targets(panel) {
                let answer = look.ask(panel, target, range);
                said.push(answer.iter().filter(|one| last(one).is_finite()).count());
                queries += 1;
            }
            // Ranks beyond those that there are stay empty; columns do not.
            if panel["type"] == "table" {
                assert!(!said.contains(&0), "{place}: {said:?}");
            }
            assert!(said.iter().sum::<usize>() > 0, "{place}: empty");
        }
    }
    println!("{queries} queries");
    assert!(queries > 200);
}

fn every_rule_has_run(server: &Prometheus) {
    for (name, _) in rules("record") {
        let recorded = format!("count(last_over_time({name}[2d]))");
        let found = server.query(&recorded, Some(NOW * 1000)).unwrap();
        assert_eq!(found.len(), 1, "{name} recorded nothing");
    }
    for (name, expr) in rules("alert") {
        assert!(server.query(&expr, Some(NOW * 1000)).is_some(), "{name}");
    }
}

fn runs_are_whole_wherever_they_began(server: &Prometheus, truth: &Truth) {
    let runs = Look::at(server, "gramwatt-runs");
    let of = |what: &str, who: &str| truth[what][who];
    let all = |what: &str| truth[what].values().sum::<f64>();

    let dearest = runs.whole("Runs by CO₂e", 0, "run_id");
    let mut grams: Vec<f64> = truth["grams by run_id"].values().copied().collect();
    grams.sort_by(|a, b| b.total_cmp(a));
    assert_eq!(dearest.len(), 100);
    let shown = dearest.values().sum::<f64>() * 1e3;
    close("a hundred runs", shown, grams[..100].iter().sum());
    for (run, kilograms) in &dearest {
        close(run, kilograms * 1e3, of("grams by run_id", run));
    }
    // Of a day, also what they used before it.
    let panel = runs.panel("Runs by CO₂e");
    let today = runs.ask(panel, &panel["targets"][0], DAY);
    assert!((10..60).contains(&today.len()), "{}", today.len());
    for one in &today {
        let run = text(&one["metric"], "run_id");
        close(run, last(one) * 1e3, of("grams by run_id", run));
    }

    let names = runs.whole("Runs of one name", 0, "run");
    assert_eq!(names.len(), truth["grams by run"].len());
    for (name, kilograms) in &names {
        close(name, kilograms * 1e3, of("grams by run", name));
    }
    let ended = runs.whole("Runs ended", 0, "")[""];
    let going = runs.whole("Running now", 0, "")[""];
    assert_eq!(ended + going, truth["grams by run_id"].len() as f64);
    let counts = runs.whole("Runs of one name", 1, "run");
    assert_eq!(counts.values().sum::<f64>(), ended);
    let joules = runs.whole("Energy", 0, "")[""] * 3.6e6;
    close("joules of runs", joules, all("joules by run"));
    let workloads = of("joules by workload_type", "pod") + of("joules by workload_type", "slurm");
    assert!(joules < workloads, "a run is a part of its workload");

    for (title, what) in [("Energy failed", "joules"), ("CO₂e failed", "grams")] {
        let what = format!("{what} by run_state");
        let share = of(&what, "failed") / (all(&what) - of(&what, "running"));
        close(title, runs.whole(title, 0, "")[""], share);
    }
    let outcomes = runs.whole("CO₂e by outcome", 0, "state");
    assert_eq!(outcomes.len(), 4);
    for (outcome, kilograms) in &outcomes {
        let state = outcome.trim_start_matches("still ");
        close(outcome, kilograms * 1e3, of("grams by run_state", state));
    }

    // The bars are of the same runs, and the middle one is in the highest.
    let bars = |title: &str| runs.whole(title, 0, "off");
    let (joules, grams) = (
        bars("First prediction of energy"),
        bars("First prediction of CO₂e"),
    );
    let predicted = grams.values().sum::<f64>();
    assert!(predicted > 200.0 && predicted == joules.values().sum::<f64>());
    assert!(joules.values().all(|bar| *bar <= joules["0"]), "{joules:?}");
    assert_eq!(runs.whole("Predicted and actual", 0, "run_id").len(), 100);
    let over = runs.whole("Runs over budget", 0, "run_id");
    assert!(over.values().all(|of_it| *of_it > 1.0), "{over:?}");
    assert_eq!(runs.whole("Over budget", 0, "")[""], over.len() as f64);
}

#[test]
fn every_rule_and_panel_says_something_and_totals_are_the_truth() {
    let (server, truth) = lab();
    crate::program::until("the server is ready", || server.query("1", None));
    every_rule_has_run(&server);
    every_panel_has_something_to_say(&server);
    runs_are_whole_wherever_they_began(&server, &truth);
    crate::report::the_lab_is_reported_as_it_is(&server, &truth);

    let lab = Look::at(&server, "gramwatt-lab");
    let of = |what: &str, who: &str| truth[what][who];
    let grams = lab.whole("CO₂e, month", 0, "")[""] * 1e3;
    close("grams of the lab", grams, of("grams by lab", ""));
    let joules = lab.whole("Energy, month", 0, "")[""] * 3.6e6;
    close("joules of the lab", joules, of("joules by lab", ""));
    let teams = lab.whole("CO₂e by team", 0, "label_team");
    for team in ["language", "robotics", "vision"] {
        close(team, teams[team] * 1e3, of("grams by team", team));
    }
    for nobody in ["idle", "system", "unattributed"] {
        let shown = teams[&format!("({nobody})")] * 1e3;
        close(nobody, shown, of("grams by workload_type", nobody));
    }
    let phases = lab.whole("Training or inference", 0, "label_phase");
    for phase in ["training", "inference", "development"] {
        close(phase, phases[phase] * 1e3, of("grams by phase", phase));
    }
    let which = lab.whole("By location, by contract, by making", 0, "what");
    let both = |what: &str| truth[what].values().sum::<f64>();
    close(
        "by market",
        which["by market"] * 1e3,
        both("market by cluster"),
    );
    close(
        "embodied",
        which["embodied"] * 1e3,
        both("embodied by cluster"),
    );

    let work = Look::at(&server, "gramwatt-workload");
    let joules = work.whole("Energy", 0, "")[""] * 3.6e6;
    let somebodys = of("joules by workload_type", "pod") + of("joules by workload_type", "slurm");
    close("joules of workloads", joules, somebodys);
    let failed = work.whole("Cost of failures", 0, "")[""] * 1e3;
    close("grams of failures", failed, of("grams by failed", "true"));
    let idle = work.whole("Held and idle", 0, "")[""] * somebodys;
    close(
        "held and idle",
        idle,
        of("reserved idle by team", "robotics"),
    );

    let trust = Look::at(&server, "gramwatt-trust");
    let methods = trust.whole("Energy by method", 0, "method");
    let all = methods.values().sum::<f64>() * 3.6e6;
    close("joules by method", all, of("joules by lab", ""));

    // The relay is no node, and other exporters are none of ours.
    let closure = trust.whole("Closure error", 0, "")[""];
    assert!((closure - 2e-7).abs() < 1e-12, "{closure}");
    let memory = trust.whole("Memory of the exporter", 1, "")[""];
    close("memory of the largest", memory, 24e6);
    let node = Look::at(&server, "gramwatt-node");
    let pue = node.whole("PUE", 0, "")[""];
    close("mean PUE", pue, (24.0 * 1.31 + 16.0 * 1.12) / 40.0);

    // The same load on Sweden's grid: yearly mean x PUE x energy.
    let whatif = Look::at(&server, "gramwatt-whatif");
    let sweden = whatif.whole("In the zone $other_zone", 0, "")[""] * 1e3;
    let site = of("joules by cluster", "fra") * 1.31 + of("joules by cluster", "sto") * 1.12;
    let factor = gramwatt::data::zone("SE").unwrap().intensity.0;
    close("in Sweden", sweden, site / 3.6e6 * factor);
}
