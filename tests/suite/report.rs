//! `gramwatt report` asks a real Prometheus: of the made-up lab, whose truth is known, and of small histories made by hand.

use crate::lab::{END, Truth, close};
use crate::program::{run, until};
use crate::prometheus::Prometheus;
use crate::replica::Replica;
use crate::tools::said;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;
use std::process::Output;

const HOUR: i64 = 3600;
/// 2026-01-05T00:00:00Z: the hand-made histories begin.
const START: i64 = 1_767_571_200;
/// The time of them that is reported on.
const FROM: &str = "--from=2026-01-05T00:00:00Z";
const TO: &str = "--to=2026-01-05T03:00:00Z";

fn report(url: &str, flags: &[&str]) -> Output {
    let mut all = vec!["report", "--prometheus", url];
    all.extend(flags);
    run(all)
}

/// What it prints, where all is well.
fn printed(server: &Prometheus, flags: &[&str]) -> String {
    let output = report(&server.url(), flags);
    assert!(output.status.success(), "{flags:?}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn json(server: &Prometheus, flags: &[&str]) -> Value {
    let flags: Vec<&str> = ["--format=json"].iter().chain(flags).copied().collect();
    serde_json::from_str(&printed(server, &flags)).unwrap()
}

/// It ends with 2, prints nothing, and says these words.
fn refused(url: &str, flags: &[&str], words: &[&str]) {
    let output = report(url, flags);
    let told = said(&output);
    assert_eq!(output.status.code(), Some(2), "{flags:?}: {told}");
    assert!(output.stdout.is_empty(), "{told}");
    for word in words {
        assert!(told.contains(word), "{flags:?}: {word:?} is not in {told}");
    }
}

/// A number somewhere in a report, by JSON pointer.
fn number(report: &Value, pointer: &str) -> f64 {
    let found = report.pointer(pointer).and_then(Value::as_f64);
    found.unwrap_or_else(|| panic!("no {pointer} in {report:#}"))
}

/// A column of the rows by their names.
fn column(report: &Value, column: &str) -> BTreeMap<String, f64> {
    let rows = report["rows"].as_array().unwrap();
    let mut sums = BTreeMap::new();
    for row in rows {
        if let Some(value) = row[column].as_f64() {
            *sums
                .entry(row["name"].as_str().unwrap().to_owned())
                .or_default() += value;
        }
    }
    sums
}

/// The lab of the tests, and what is true of it.
struct Lab<'a> {
    server: &'a Prometheus,
    truth: &'a Truth,
    /// All of its thirty days.
    time: [String; 2],
}

/// Called by the test that has the lab, which takes long to fill.
pub fn the_lab_is_reported_as_it_is(server: &Prometheus, truth: &Truth) {
    let moment = |second| jiff::Timestamp::from_second(second).unwrap();
    let lab = Lab {
        server,
        truth,
        time: [
            format!("--from={}", moment(END - 30 * 24 * HOUR)),
            format!("--to={}", moment(END)),
        ],
    };
    lab.totals_are_true();
    lab.teams_are_true();
    lab.nodes_are_true();
    lab.workloads_are_true();
    lab.runs_are_true();
    lab.a_part_of_it_is_true();
}

impl Lab<'_> {
    fn report(&self, flags: &[&str]) -> Value {
        let time = self.time.iter().map(String::as_str);
        let flags: Vec<&str> = time.chain(flags.iter().copied()).collect();
        json(self.server, &flags)
    }

    fn of(&self, what: &str, who: &str) -> f64 {
        self.truth[what][who]
    }

    fn all(&self, what: &str) -> f64 {
        self.truth[what].values().sum()
    }

    fn totals_are_true(&self) {
        let shown = self.report(&[]);
        let total = |what: &str| number(&shown, &format!("/total/{what}"));
        let grams = self.of("grams by lab", "");
        close(
            "reported joules",
            total("energy_joules"),
            self.of("joules by lab", ""),
        );
        close("reported grams", total("co2e_grams"), grams);
        close(
            "reported market",
            total("market_co2e_grams"),
            self.all("market by cluster"),
        );
        close(
            "reported embodied",
            total("embodied_co2e_grams"),
            self.all("embodied by cluster"),
        );
        let facility =
            self.of("joules by cluster", "fra") * 1.31 + self.of("joules by cluster", "sto") * 1.12;
        close(
            "reported facility",
            total("facility_energy_joules"),
            facility,
        );
        close(
            "intensity met",
            total("intensity_grams_per_kwh"),
            grams / (facility / 3.6e6),
        );
        let estimated = total("estimated_co2e_grams") / total("co2e_grams");
        assert!(
            (0.01..0.02).contains(&estimated),
            "0.4 of 30 days: {estimated}"
        );
        let basis = &shown["basis"];
        assert_eq!(
            (&basis["recorded_hours"], &basis["counter_hours"]),
            (&720.into(), &0.into())
        );
        // The relay and other exporters are no nodes.
        assert_eq!(basis["most_nodes"], 40);
        assert_eq!(shown["hours"].as_array().unwrap().len(), 720);
        for kind in ["gpu", "cpu", "dram", "other"] {
            let pointer = format!("/energy_joules_by_kind/{kind}");
            close(
                kind,
                number(&shown, &pointer),
                self.of("joules by kind", kind),
            );
        }
        let grids = basis["grids"].as_array().unwrap().iter();
        let zones: Vec<&str> = grids
            .map(|grid| grid["grid_zone"].as_str().unwrap())
            .collect();
        assert_eq!(zones, ["DE", "SE-SE3"]);
    }

    fn teams_are_true(&self) {
        let shown = self.report(&["--by=team"]);
        let grams = column(&shown, "co2e_grams");
        for team in ["language", "robotics", "vision"] {
            close(team, grams[team], self.of("grams by team", team));
        }
        for nobody in ["idle", "system", "unattributed"] {
            let truth = self.of("grams by workload_type", nobody);
            close(nobody, grams[&format!("({nobody})")], truth);
        }
        let held = column(&shown, "held_idle_joules");
        close(
            "held by robotics",
            held["robotics"],
            self.of("reserved idle by team", "robotics"),
        );
    }

    fn nodes_are_true(&self) {
        let nodes = self.report(&["--by=node"]);
        for (what, metric) in [
            ("joules by node", "energy_joules"),
            ("grams by node", "co2e_grams"),
        ] {
            let shown = column(&nodes, metric);
            assert_eq!(shown.len(), 40);
            for (node, truth) in &self.truth[what] {
                close(&format!("{metric} of {node}"), shown[node], *truth);
            }
        }
    }

    fn workloads_are_true(&self) {
        let shown = self.report(&["--by=workload"]);
        let mut grams: BTreeMap<&str, f64> = BTreeMap::new();
        for row in shown["rows"].as_array().unwrap() {
            let workload = row["labels"]["workload"].as_str().unwrap();
            *grams.entry(workload).or_default() += row["co2e_grams"].as_f64().unwrap();
        }
        // The increase of a short one is extrapolated from few samples: of large ones each is right, and all together.
        let (mut off, mut large) = (0.0, 0);
        for (workload, truth) in &self.truth["grams by workload"] {
            let shown = grams.get(workload.as_str()).copied().unwrap_or(0.0);
            off += (shown - truth).abs();
            if *truth > 1e5 {
                close(workload, shown, *truth);
                large += 1;
            }
        }
        let all = self.all("grams by workload");
        assert!(
            large > 5 && off / all < 0.005,
            "{large} workloads, {off} of {all}"
        );
    }

    fn runs_are_true(&self) {
        let shown = self.report(&["--by=run"]);
        let runs = shown["runs"]["runs"].as_array().unwrap();
        assert_eq!(runs.len(), self.truth["grams by run_id"].len());
        let mut states: BTreeMap<&str, f64> = BTreeMap::new();
        for run in runs {
            let id = run["run_id"].as_str().unwrap();
            for (what, metric) in [
                ("joules by run_id", "energy_joules"),
                ("grams by run_id", "co2e_grams"),
            ] {
                let error = run[metric].as_f64().unwrap() / self.of(what, id) - 1.0;
                assert!(error.abs() < 0.005, "{run}");
            }
            let state = run["state"].as_str().unwrap();
            *states.entry(state).or_default() += run["co2e_grams"].as_f64().unwrap();
        }
        for (state, truth) in &self.truth["grams by run_state"] {
            close(state, states[state.as_str()], *truth);
        }
        let share = self.of("grams by run_state", "failed") / self.all("grams by run_state");
        close(
            "failed share",
            number(&shown, "/runs/failed_co2e_share"),
            share,
        );
    }

    /// Of one cluster, of a day, and of a time that begins before there was anything.
    fn a_part_of_it_is_true(&self) {
        let url = self.server.url();
        let [from, to] = self.time.each_ref().map(String::as_str);
        let fra = self.report(&["--cluster=fra"]);
        close(
            "fra alone",
            number(&fra, "/total/energy_joules"),
            self.of("joules by cluster", "fra"),
        );
        assert_eq!(fra["clusters"], serde_json::json!(["fra"]));
        close("PUE of fra", number(&fra, "/total/pue"), 1.31);
        refused(
            &url,
            &[from, to, "--cluster=fr.*"],
            &["cluster \"fr.*\" tells nothing", "fra, sto"],
        );
        let day = json(self.server, &["--from=2026-10-10", "--to=2026-10-11"]);
        let hours = day["hours"].as_array().unwrap();
        assert_eq!(hours.len(), 24);
        let sum: f64 = hours
            .iter()
            .map(|hour| hour["co2e_grams"].as_f64().unwrap())
            .sum();
        close("a day's hours", sum, number(&day, "/total/co2e_grams"));
        let gap = "2026-09-28 12:00 UTC to 2026-09-28 18:00 UTC";
        refused(
            &url,
            &["--from=2026-09-28T12:00:00Z", to],
            &["in 6 of 726 hours", gap, "--allow-gaps"],
        );
    }
}

/// A history with time stamps, as OpenMetrics.
#[derive(Default)]
struct History(String);

impl History {
    /// A value every minute.
    fn each(&mut self, series: &str, times: Range<i64>, value: impl Fn(f64) -> f64) {
        for second in times.clone().step_by(60) {
            let age = f64::from(i32::try_from(second - times.start).unwrap());
            let _ = writeln!(self.0, "{series} {} {second}", value(age));
        }
    }

    fn counter(&mut self, series: &str, times: Range<i64>, a_second: f64) {
        self.each(series, times, |age| age * a_second);
    }

    fn gauge(&mut self, series: &str, times: Range<i64>, value: f64) {
        self.each(series, times, |_| value);
    }

    fn at(&mut self, series: &str, second: i64, value: f64) {
        let _ = writeln!(self.0, "{series} {value} {second}");
    }

    fn served(mut self) -> Prometheus {
        self.0 += "# EOF\n";
        let server = Prometheus::filled(&self.0);
        until("the server is ready", || server.query("1", None));
        server
    }
}

/// Two nodes: `a`, measured, PUE 1.5 at 200 g/kWh, 1000 W; `b`, modelled, PUE 1.2 at 400 g/kWh of a year, 500 W. A relay and
/// another exporter beside them.
fn nodes(history: &mut History, times: &Range<i64>) {
    for (node, watts, pue, intensity, market, modelled) in [
        ("a", 1000.0, 1.5, 200.0, true, 0.0),
        ("b", 500.0, 1.2, 400.0, false, 1.0),
    ] {
        let own = format!("cluster=\"east\",job=\"gramwatt\",instance=\"{node}\"");
        let grams = watts / 3.6e6 * pue * intensity;
        let mut count = |what: &str, rate: f64| {
            history.counter(
                &format!("gramwatt_node_{what}_total{{{own}}}"),
                times.clone(),
                rate,
            );
        };
        count("energy_joules", watts);
        count("co2e_grams", grams);
        count("modelled_energy_joules", watts * modelled);
        count("estimated_co2e_grams", grams * modelled);
        if market {
            count("market_co2e_grams", grams / 10.0);
            count("embodied_co2e_grams", 1.0 / 360.0);
        }
        history.gauge(&format!("gramwatt_pue_ratio{{{own}}}"), times.clone(), pue);
        let (uses, who): (&[(&str, &str, f64)], &str) = match node {
            "a" => (&[("pod", "vision", 600.0), ("idle", "", 400.0)], "vision"),
            _ => (&[("slurm", "", 500.0)], ""),
        };
        for (kind, namespace, watts) in uses {
            let name = if *kind == "idle" { "idle" } else { "train_50%" };
            let work = format!(
                "{own},workload_type=\"{kind}\",workload_namespace=\"{namespace}\",workload=\"{name}\""
            );
            let grams = watts / 3.6e6 * pue * intensity;
            history.counter(
                &format!("gramwatt_workload_energy_joules_total{{{work},kind=\"cpu\"}}"),
                times.clone(),
                *watts,
            );
            history.counter(
                &format!("gramwatt_workload_co2e_grams_total{{{work},kind=\"cpu\"}}"),
                times.clone(),
                grams,
            );
            if *kind != "idle" {
                history.gauge(
                    &format!("gramwatt_workload_info{{{work},label_team=\"{who}\"}}"),
                    times.clone(),
                    1.0,
                );
            }
        }
        history.gauge(
            &format!("gramwatt_grid_info{{{own},grid_zone=\"X_{node}\",signal=\"average\",provider=\"p&q\"}}"),
            times.clone(),
            1.0,
        );
    }
    let relay = "cluster=\"east\",job=\"gramwatt-grid\",instance=\"relay\"";
    history.gauge(
        &format!("gramwatt_pue_ratio{{{relay}}}"),
        times.clone(),
        1.0,
    );
    history.gauge(
        "process_resident_memory_bytes{cluster=\"east\",job=\"other\"}",
        times.clone(),
        9e9,
    );
}

fn near(what: &str, shown: f64, truth: f64) {
    assert!(
        (shown / truth - 1.0).abs() < 1e-6,
        "{what}: {shown}, truth {truth}"
    );
}

const KWH: f64 = 3.6e6;

#[test]
fn where_nothing_is_recorded_counters_are_asked() {
    let mut history = History::default();
    nodes(&mut history, &(START..START + 3 * HOUR + 60));
    let server = history.served();
    let teams = json(&server, &[FROM, TO, "--functional-unit=job", "--units=3"]);
    near("joules", number(&teams, "/total/energy_joules"), 4.5 * KWH);
    near(
        "facility",
        number(&teams, "/total/facility_energy_joules"),
        (3.0 * 1.5 + 1.5 * 1.2) * KWH,
    );
    near("PUE", number(&teams, "/total/pue"), 1.4);
    near("grams", number(&teams, "/total/co2e_grams"), 900.0 + 720.0);
    near(
        "met",
        number(&teams, "/total/intensity_grams_per_kwh"),
        1620.0 / 6.3,
    );
    near("market", number(&teams, "/total/market_co2e_grams"), 90.0);
    near(
        "with a contract",
        number(&teams, "/basis/market_energy_joules"),
        3.0 * KWH,
    );
    near(
        "embodied",
        number(&teams, "/total/embodied_co2e_grams"),
        30.0,
    );
    near(
        "modelled",
        number(&teams, "/total/modelled_energy_joules"),
        1.5 * KWH,
    );
    near(
        "not live",
        number(&teams, "/total/estimated_co2e_grams"),
        720.0,
    );
    // ((E x I) + M) / R
    near(
        "SCI",
        number(&teams, "/sci/sci_grams"),
        (1620.0 + 30.0) / 3.0,
    );
    let basis = &teams["basis"];
    assert_eq!(
        (&basis["recorded_hours"], &basis["counter_hours"]),
        (&0.into(), &3.into())
    );
    assert_eq!(
        (&basis["fewest_nodes"], &basis["most_nodes"]),
        (&2.into(), &2.into())
    );
    for hour in teams["hours"].as_array().unwrap() {
        near("an hour", hour["co2e_grams"].as_f64().unwrap(), 540.0);
    }
    let joules = column(&teams, "energy_joules");
    assert_eq!(
        joules.keys().collect::<Vec<_>>(),
        ["(idle)", "(none)", "vision"]
    );
    near("idle", joules["(idle)"], 1.2 * KWH);
    near("vision", joules["vision"], 1.8 * KWH);
    near(
        "a team's making",
        column(&teams, "embodied_co2e_grams")["vision"],
        30.0 * 1.8 / 4.5,
    );
    let nodes = json(&server, &[FROM, TO, "--by=node"]);
    near("a", column(&nodes, "co2e_grams")["a"], 900.0);
    near(
        "a's making",
        column(&nodes, "embodied_co2e_grams")["a"],
        30.0,
    );
    let work = json(&server, &[FROM, TO, "--by=workload"]);
    near(
        "a pod",
        column(&work, "co2e_grams")["vision/train_50%"],
        540.0,
    );
    // No hour need be whole where nothing is recorded.
    let part = json(
        &server,
        &["--from=2026-01-05T00:30:00Z", "--to=2026-01-05T02:10:00Z"],
    );
    near(
        "100 minutes",
        number(&part, "/total/energy_joules"),
        1500.0 * 6000.0,
    );
    assert_eq!(part["from"], "2026-01-05T00:30:00Z");
    every_form_is_read_back(&server);
    nothing_is_half_written(&server);
}

fn on_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<&str>>().join(" ")
}

fn every_form_is_read_back(server: &Prometheus) {
    let all = |format: &str, more: &[&str]| {
        let format = format!("--format={format}");
        let flags: Vec<&str> = [FROM, TO, &format, "--by=workload"]
            .iter()
            .chain(more)
            .copied()
            .collect();
        printed(server, &flags)
    };
    let text = on_one_line(&all("text", &[]));
    for words in [
        "4.50 kWh of IT equipment",
        "PUE 1.4",
        "1.62 kg by location, at 257 g/kWh met",
        "vision/train_50%",
        "67 % of the energy; 33 % modelled",
        "no recorded hours were found",
        "only the 67 % of the energy",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let markdown = all("markdown", &[]);
    assert!(markdown.contains("| vision/train\\_50% |"), "{markdown}");
    let widths = |line: &str| line.replace("\\|", "").matches('|').count();
    for table in markdown.split("\n\n").filter(|part| part.starts_with('|')) {
        let mut lines = table.lines().map(widths);
        let first = lines.next();
        assert!(lines.all(|width| Some(width) == first), "{table}");
    }
    for (table, rows, columns) in [("rows", 3, 13), ("hours", 3, 4), ("regions", 200, 10)] {
        let csv = all("csv", &[&format!("--table={table}")]);
        let mut reader = csv::Reader::from_reader(csv.as_bytes());
        let records: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        assert!(
            records.len() == rows || rows == 200 && records.len() > rows,
            "{csv}"
        );
        assert!(
            records.iter().all(|record| record.len() == columns),
            "{csv}"
        );
    }
    latex_is_closed(&all("latex", &["--functional-unit=50% of_it", "--units=2"]));
    html_is_closed_and_alone(&all("html", &["--functional-unit=<i>&", "--units=2"]));
}

/// Braces and environments are closed, and nothing that came from outside is a command.
fn latex_is_closed(text: &str) {
    let shown: String = text
        .lines()
        .filter(|line| !line.starts_with('%'))
        .fold(String::new(), |all, line| all + line + "\n");
    let mut depth = 0_i32;
    let mut before = ' ';
    for letter in shown.chars() {
        match letter {
            '{' if before != '\\' => depth += 1,
            '}' if before != '\\' => depth -= 1,
            '%' | '&' | '_' | '#' if before != '\\' => {
                assert!(
                    "&_".contains(letter) && " $".contains(before),
                    "{letter}: {shown}"
                )
            }
            _ => {}
        }
        assert!(depth >= 0, "{shown}");
        before = letter;
    }
    assert_eq!(depth, 0, "{shown}");
    for environment in ["table", "tabular"] {
        for verb in ["begin", "end"] {
            assert_eq!(
                shown.matches(&format!("\\{verb}{{{environment}}}")).count(),
                1,
                "{shown}"
            );
        }
    }
    assert_eq!(shown.matches('$').count() % 2, 0);
    assert!(
        shown.contains("vision/train\\_50\\%") && shown.contains("50\\% of\\_it"),
        "{shown}"
    );
    let cited: Vec<&str> = shown
        .split("\\cite{")
        .skip(1)
        .map(|rest| rest.split('}').next().unwrap())
        .collect();
    assert!(cited.len() >= 4, "{cited:?}");
    for key in cited {
        assert!(
            text.contains(&format!("{{{key},")),
            "no entry of {key}: {text}"
        );
    }
}

/// Every element is closed, and a browser loads nothing.
fn html_is_closed_and_alone(page: &str) {
    for load in [
        "http://",
        "https://",
        "//",
        "<script",
        "<link rel=\"stylesheet",
        "@import",
        "<img",
        "<iframe",
    ] {
        assert!(!page.contains(load), "{load}");
    }
    assert!(!page.contains("<i>&") && page.contains("&lt;i&gt;&amp;"));
    let mut open: Vec<&str> = Vec::new();
    for tag in page
        .split('<')
        .skip(1)
        .map(|rest| rest.split('>').next().unwrap())
    {
        let name = tag
            .split([' ', '/'])
            .find(|part| !part.is_empty())
            .unwrap_or_default();
        match tag.as_bytes()[0] {
            b'!' => {}
            b'/' => assert_eq!(open.pop(), Some(name), "{tag}"),
            _ if ["meta", "link", "br"].contains(&name) => {}
            _ => open.push(name),
        }
    }
    assert!(open.is_empty(), "{open:?}");
    assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
    assert!(
        page.matches("<svg").count() > 10 && !page.contains("NaN"),
        "charts"
    );
    for words in [
        "Energy and CO₂e",
        "1.62",
        "CO₂e of each hour",
        "Grid intensity met",
        "vision/train_50%",
        "The same load elsewhere",
    ] {
        assert!(page.contains(words), "{words}");
    }
}

fn nothing_is_half_written(server: &Prometheus) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.md");
    let output = format!("--output={}", file.display());
    assert_eq!(
        printed(server, &[FROM, TO, "--format=markdown", &output]),
        ""
    );
    let before = std::fs::read_to_string(&file).unwrap();
    assert!(before.starts_with("# Gramwatt report"));
    refused(
        &server.url(),
        &["--from=2020-01-01", "--to=2020-01-02", &output],
        &["has no Gramwatt"],
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), before);
    let elsewhere = folder.path().join("missing/report.md");
    let elsewhere = format!("--output={}", elsewhere.display());
    refused(
        &server.url(),
        &[FROM, TO, &elsewhere],
        &["missing/report.md"],
    );
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn recorded_hours_go_before_counters_and_none_is_counted_twice() {
    let mut history = History::default();
    nodes(&mut history, &(START..START + 3 * HOUR + 1200));
    // Two hours are recorded, 137 s late, with figures of their own.
    for hour in [1, 2] {
        let at = START + hour * HOUR + 137;
        for (metric, value) in [
            ("node_energy_joules", 10.0 * KWH),
            ("node_co2e_energy_joules", 10.0 * KWH),
            ("node_co2e_grams", 5000.0),
        ] {
            history.at(
                &format!("cluster:gramwatt_{metric}:increase1h{{cluster=\"east\"}}"),
                at,
                value,
            );
            let node = "cluster=\"east\",job=\"gramwatt\",instance=\"a\"";
            history.at(
                &format!("node:gramwatt_{metric}:increase1h{{{node}}}"),
                at,
                value,
            );
        }
        history.at(
            "cluster:gramwatt_pue_ratio:avg{cluster=\"east\"}",
            at - 1800,
            1.25,
        );
    }
    let server = history.served();
    let nodes = json(&server, &[FROM, TO, "--by=node"]);
    let basis = &nodes["basis"];
    assert_eq!(
        (&basis["recorded_hours"], &basis["counter_hours"]),
        (&2.into(), &1.into())
    );
    near("joules", number(&nodes, "/total/energy_joules"), 21.5 * KWH);
    near("grams", number(&nodes, "/total/co2e_grams"), 10_540.0);
    near(
        "facility",
        number(&nodes, "/total/facility_energy_joules"),
        (25.0 + 1.5 + 0.6) * KWH,
    );
    near("a", column(&nodes, "energy_joules")["a"], 21.0 * KWH);
    near("b", column(&nodes, "energy_joules")["b"], 0.5 * KWH);
    // Hours are whole then.
    let part = json(
        &server,
        &[
            "--from=2026-01-05T00:30:00Z",
            "--to=2026-01-05T01:10:00Z",
            "--by=node",
        ],
    );
    assert_eq!(
        (&part["from"], &part["to"]),
        (
            &"2026-01-05T00:00:00Z".into(),
            &"2026-01-05T02:00:00Z".into()
        )
    );
    near(
        "two hours",
        number(&part, "/total/energy_joules"),
        20.0 * KWH,
    );
    assert!(
        part["notes"]
            .to_string()
            .contains("Rounded outward to whole hours")
    );
}

#[test]
fn a_cluster_without_rules_is_not_left_out_in_silence() {
    let mut history = History::default();
    nodes(&mut history, &(START..START + 3 * HOUR + 60));
    for hour in [1, 2, 3] {
        let series = "cluster:gramwatt_node_energy_joules:increase1h{cluster=\"west\"}";
        history.at(series, START + hour * HOUR + 137, KWH);
    }
    let server = history.served();
    let words = [
        "cluster \"east\" has counters and no recorded hours",
        "--cluster",
    ];
    refused(&server.url(), &[FROM, TO], &words);
    let west = json(&server, &[FROM, TO, "--allow-gaps"]);
    near("west", number(&west, "/total/energy_joules"), 3.0 * KWH);
    assert_eq!(west["clusters"], serde_json::json!(["west"]));
    assert_eq!(west["basis"]["left_out"], serde_json::json!(["east"]));
    let east = json(&server, &[FROM, TO, "--cluster=east"]);
    near("east", number(&east, "/total/energy_joules"), 4.5 * KWH);
}

#[test]
fn the_hour_that_runs_is_of_counters() {
    let now = jiff::Timestamp::now().as_second();
    let hour = now / HOUR * HOUR;
    let mut history = History::default();
    nodes(&mut history, &(hour - 3 * HOUR..now));
    for end in [hour - HOUR, hour]
        .map(|end| end + 137)
        .into_iter()
        .filter(|at| *at < now)
    {
        for metric in ["node_energy_joules", "node_co2e_energy_joules"] {
            let series = format!("cluster:gramwatt_{metric}:increase1h{{cluster=\"east\"}}");
            history.at(&series, end, 1.5 * KWH);
            let node = "cluster=\"east\",job=\"gramwatt\",instance=\"a\"";
            history.at(
                &format!("node:gramwatt_{metric}:increase1h{{{node}}}"),
                end,
                1.5 * KWH,
            );
        }
    }
    let server = history.served();
    let shown = json(&server, &["--from=now-2h", "--to=now+1d", "--by=node"]);
    let joules = number(&shown, "/total/energy_joules");
    let seconds = f64::from(i32::try_from(now - (now - 2 * HOUR) / HOUR * HOUR).unwrap());
    // Recorded hours lie 137 s beside the full ones, and the last scrape a minute before now.
    assert!(
        (joules - 1500.0 * seconds).abs() < 1500.0 * 400.0,
        "{joules} in {seconds} s"
    );
    assert_eq!(shown["basis"]["missing_hours"], 0);
    // It ends now, but for the same, and says what is to come.
    let end: jiff::Timestamp = shown["to"].as_str().unwrap().parse().unwrap();
    assert!((now - 400..now + 600).contains(&end.as_second()), "{end}");
    let notes = shown["notes"].to_string();
    assert!(notes.contains("is still to come"), "{notes}");
    let rows: f64 = column(&shown, "energy_joules").values().sum();
    near("rows", rows, joules);
}

#[test]
fn an_hour_without_data_is_an_error_until_it_is_let_pass() {
    let mut history = History::default();
    nodes(&mut history, &(START..START + HOUR + 60));
    nodes(
        &mut history,
        &(START + 2 * HOUR + 120..START + 3 * HOUR + 60),
    );
    let server = history.served();
    refused(
        &server.url(),
        &[FROM, TO],
        &[
            "in 1 of 3 hours",
            "2026-01-05 01:00 UTC to 2026-01-05 02:00 UTC",
            "--allow-gaps",
        ],
    );
    let text = on_one_line(&printed(&server, &[FROM, TO, "--allow-gaps"]));
    assert!(
        text.contains("INCOMPLETE: of 3 hours 1 have no data"),
        "{text}"
    );
    let shown = json(&server, &[FROM, TO, "--allow-gaps"]);
    assert_eq!(shown["basis"]["missing_hours"], 1);
    near(
        "the rest",
        number(&shown, "/total/energy_joules"),
        2.95 * KWH,
    );
}

/// Runs on node `a` in the three hours, and what became of them.
fn runs(history: &mut History) {
    // Name, id, begin and end in minutes, watts, how it ended, when it began in truth.
    for (run, id, begin, end, watts, ended) in [
        ("train", "r1", 10, 70, 600.0, "succeeded"),
        ("train", "r2", 90, 120, 300.0, "failed"),
        ("eval", "r3", 150, 181, 100.0, "running"),
        ("gone", "r4", 0, 30, 50.0, "running"),
        // It had ended before the time, and is only still on the page.
        ("past", "r5", -30, -5, 900.0, "succeeded"),
    ] {
        let of = format!(
            "cluster=\"east\",job=\"gramwatt\",instance=\"a\",run=\"{run}\",run_id=\"{id}\""
        );
        let (begin, end) = (START + begin * 60, START + end * 60);
        let linger = if ended == "running" { end } else { end + 600 };
        let last = f64::from(i32::try_from(end - begin).unwrap());
        for (what, rate) in [
            ("energy_joules", watts),
            ("co2e_grams", watts / KWH * 300.0),
        ] {
            for (kind, part) in [("cpu", 0.25), ("gpu", 0.75)] {
                let series = format!("gramwatt_run_{what}_total{{{of},kind=\"{kind}\"}}");
                history.each(&series, begin..linger, |age| age.min(last) * rate * part);
            }
        }
        let real = if id == "r4" { begin - 7200 } else { begin };
        let second = |second: i64| f64::from(i32::try_from(second).unwrap());
        history.gauge(
            &format!("gramwatt_run_info{{{of},user=\"ada\"}}"),
            begin..linger,
            1.0,
        );
        history.gauge(
            &format!("gramwatt_run_start_timestamp_seconds{{{of}}}"),
            begin..linger,
            second(real),
        );
        history.gauge(
            &format!("gramwatt_run_state{{{of},state=\"running\"}}"),
            begin..end,
            1.0,
        );
        if ended != "running" {
            history.gauge(
                &format!("gramwatt_run_state{{{of},state=\"{ended}\"}}"),
                end..linger,
                1.0,
            );
            history.gauge(
                &format!("gramwatt_run_end_timestamp_seconds{{{of}}}"),
                end..linger,
                second(end),
            );
        }
        if id == "r1" {
            history.gauge(
                &format!("gramwatt_run_first_predicted_energy_joules{{{of}}}"),
                begin + 300..linger,
                0.66 * KWH,
            );
            history.gauge(
                &format!("gramwatt_run_budget_co2e_grams{{{of}}}"),
                begin..linger,
                200.0,
            );
        }
    }
}

#[test]
fn runs_are_whole_and_say_how_they_ended() {
    let mut history = History::default();
    nodes(&mut history, &(START..START + 3 * HOUR + 60));
    runs(&mut history);
    let server = history.served();
    let flags = [
        FROM,
        TO,
        "--by=run",
        "--functional-unit=epoch",
        "--units=100",
        "--units=r1=12",
    ];
    let shown = json(&server, &flags);
    let runs = shown["runs"]["runs"].as_array().unwrap();
    let of = |id: &str| runs.iter().find(|run| run["run_id"] == id).unwrap();
    let states: Vec<(&str, &str)> = runs
        .iter()
        .map(|run| {
            (
                run["run_id"].as_str().unwrap(),
                run["state"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        states,
        [
            ("r1", "succeeded"),
            ("r2", "failed"),
            ("r3", "running"),
            ("r4", "vanished")
        ]
    );
    near("r1", of("r1")["energy_joules"].as_f64().unwrap(), 0.6 * KWH);
    near(
        "r1's grams",
        of("r1")["co2e_grams"].as_f64().unwrap(),
        180.0,
    );
    assert_eq!(of("r1")["duration_seconds"], 3600.0);
    assert_eq!(of("r1")["user"], "ada");
    assert_eq!(of("r4").get("duration_seconds"), None);
    // The running one until now, of which 30 minutes are seen.
    assert_eq!(of("r3")["duration_seconds"], 1800.0);
    let making = 30.0 * 0.6 / 4.5;
    near(
        "SCI of r1",
        of("r1")["sci_grams"].as_f64().unwrap(),
        (180.0 + making) / 12.0,
    );
    near(
        "r2 is its own unit",
        of("r2")["sci_grams"].as_f64().unwrap(),
        45.0 + 30.0 * 0.15 / 4.5,
    );
    let all = 0.6 + 0.15 + 0.05 + 0.5 * 0.05 - 50.0 * 60.0 / KWH;
    near(
        "failed",
        number(&shown, "/runs/failed_energy_share"),
        0.15 / all,
    );
    assert_eq!(shown["runs"]["began_before"], 1);
    let text = on_one_line(&printed(&server, &flags));
    for words in [
        "4 runs: 1 succeeded, 1 failed, 1 running, 1 vanished",
        "+10 %",
        "Failed runs had",
        "off by 10 %",
        "1 began before",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    refused(
        &server.url(),
        &[FROM, TO, "--by=run", "--units=trian=30"],
        &["--units trian: no run", "nearest: train"],
    );
    let csv = printed(&server, &[FROM, TO, "--by=run", "--format=csv"]);
    assert_eq!(
        csv::Reader::from_reader(csv.as_bytes()).records().count(),
        4
    );
    html_is_closed(&printed(&server, &[FROM, TO, "--by=run", "--format=html"]));
}

#[test]
fn the_making_of_a_run_is_the_same_whatever_time_is_reported_on() {
    let mut history = History::default();
    let all = START..START + 4 * HOUR + 60;
    let own = "cluster=\"east\",job=\"gramwatt\",instance=\"a\"";
    // Two quiet hours, and two busy ones with the run.
    let busy = f64::from(2 * i32::try_from(HOUR).unwrap());
    let joules = |age: f64| age.min(busy) * 100.0 + (age - busy).max(0.0) * 1000.0;
    let series = format!("gramwatt_node_energy_joules_total{{{own}}}");
    history.each(&series, all.clone(), joules);
    let made = format!("gramwatt_node_embodied_co2e_grams_total{{{own}}}");
    history.counter(&made, all, 1.0 / 360.0);
    let begin = START + 2 * HOUR + 600;
    let end = begin + HOUR;
    let of = format!("{own},run=\"train\",run_id=\"r1\"");
    for (what, rate) in [("energy_joules", 500.0), ("co2e_grams", 0.05)] {
        let series = format!("gramwatt_run_{what}_total{{{of},kind=\"cpu\"}}");
        history.each(&series, begin..end + 600, |age| age.min(3600.0) * rate);
    }
    let second = |second: i64| f64::from(i32::try_from(second).unwrap());
    for (series, value) in [
        (format!("gramwatt_run_info{{{of},user=\"ada\"}}"), 1.0),
        (
            format!("gramwatt_run_start_timestamp_seconds{{{of}}}"),
            second(begin),
        ),
    ] {
        history.gauge(&series, begin..end + 600, value);
    }
    for (series, value) in [
        (
            format!("gramwatt_run_state{{{of},state=\"succeeded\"}}"),
            1.0,
        ),
        (
            format!("gramwatt_run_end_timestamp_seconds{{{of}}}"),
            second(end),
        ),
    ] {
        history.gauge(&series, end..end + 600, value);
    }
    let server = history.served();
    for from in [
        "--from=2026-01-05T00:00:00Z",
        "--from=2026-01-05T02:00:00Z",
        "--from=2026-01-05T02:30:00Z",
    ] {
        let shown = json(
            &server,
            &[
                from,
                "--to=2026-01-05T04:00:00Z",
                "--by=run",
                "--units=r1=10",
            ],
        );
        // Half of what the node used and of its making, 10 g an hour.
        let making = number(&shown, "/runs/runs/0/embodied_co2e_grams");
        near(from, making, 5.0);
        near(from, number(&shown, "/runs/runs/0/sci_grams"), 185.0 / 10.0);
        assert_eq!(shown["runs"]["runs"][0]["cluster"], "east");
    }
}

fn html_is_closed(page: &str) {
    assert!(
        page.contains("vanished") && page.ends_with("</html>"),
        "{page}"
    );
}

#[test]
fn a_report_that_cannot_be_made_says_why() {
    let replica = Replica::new(|_| {
        (
            "200 OK".to_owned(),
            b"<!doctype html><title>Sign in</title>".to_vec(),
        )
    });
    let url = replica.url();
    let time = [FROM, TO];
    refused(
        "http://127.0.0.1:1",
        &time,
        &["nothing listens there", "127.0.0.1:1"],
    );
    refused(&url, &time, &["HTML in place of JSON", &url]);
    replica.change(|_| ("401 Unauthorized".to_owned(), b"no".to_vec()));
    refused(&url, &time, &["HTTP status 401", "--token-file"]);
    replica.change(|_| ("404 Not Found".to_owned(), b"<html>".to_vec()));
    refused(&url, &time, &["a prefix missing"]);
    let error = br#"{"status":"error","errorType":"execution","error":"too many samples"}"#;
    replica.change(|_| ("422 Unprocessable Entity".to_owned(), error.to_vec()));
    refused(
        &url,
        &time,
        &["Prometheus says execution: too many samples"],
    );
    let empty = br#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;
    replica.change(|_| ("200 OK".to_owned(), empty.to_vec()));
    refused(
        &url,
        &time,
        &["has no Gramwatt", "--storage.tsdb.retention.time"],
    );

    let (from, by) = ("--from=2026-01-05", "--by=team");
    for (flags, words) in [
        (
            vec!["--from=2026-01-06", "--to=2026-01-05"],
            "is not before --to",
        ),
        (vec![from, "--to=2026-01-05"], "no time between"),
        (vec!["--from=now+1d"], "is not yet"),
        (
            vec!["--from=yesterday"],
            "--from: \"yesterday\" is no moment",
        ),
        (vec![from, "--to=2026-01-40"], "--to: \"2026-01-40\""),
        (vec!["--from=now-20y"], "is no moment"),
        (vec!["--from=2001-01-01"], "ten years"),
        (vec![], "--from <TIME>"),
        (
            vec![from, "--by=cheese"],
            "possible values: team, workload, node, run",
        ),
        (vec![from, "--format=pdf"], "possible values"),
        (vec![from, "--units=0"], "more than 0"),
        (vec![from, "--units=many"], "no number"),
        (vec![from, by, "--units=r1=3"], "add --by run"),
        (
            vec![from, "--by=run", "--units=r1=3", "--units=r1=4"],
            "--units r1=N is given twice",
        ),
        (vec![from, "--functional-unit=job"], "--units"),
        (
            vec![from, "--functional-unit= ", "--units=5"],
            "a functional unit has a name",
        ),
        (vec![from, "--compare=acme"], "there are"),
        (vec![from, "--top=0"], "--top"),
        (vec![from, "--token-file=/nowhere"], "/nowhere"),
        (vec![from, "--ca-file=/nowhere"], "/nowhere"),
    ] {
        refused(&url, &flags, &[words]);
    }
    refused("prometheus:9090", &time, &["http://"]);
    refused(
        "http://ada:hunter2@localhost",
        &time,
        &["--credentials-file"],
    );
}

#[test]
fn a_secret_is_sent_and_never_shown() {
    let replica = Replica::new(|_| ("403 Forbidden".to_owned(), b"hunter2".to_vec()));
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "hunter2\n").unwrap();
    let account = folder.path().join("account");
    std::fs::write(&account, "username: ada\npassword: hunter2\n").unwrap();
    for (flag, header) in [
        (
            format!("--token-file={}", token.display()),
            "Bearer hunter2",
        ),
        (
            format!("--credentials-file={}", account.display()),
            "Basic YWRhOmh1bnRlcjI=",
        ),
    ] {
        let output = report(&replica.url(), &[FROM, TO, &flag]);
        assert_eq!(output.status.code(), Some(2));
        assert!(!said(&output).contains("hunter2"), "{}", said(&output));
        let heads = replica.asked();
        assert!(heads.last().unwrap().contains(header), "{heads:?}");
    }
    // Behind a prefix, as Mimir is.
    let prefixed = format!("{}/prometheus/", replica.url());
    report(&prefixed, &[FROM, TO]);
    assert!(
        replica
            .asked()
            .last()
            .unwrap()
            .starts_with("GET /prometheus/api/v1/query?query=cluster%3Agramwatt")
    );
}
