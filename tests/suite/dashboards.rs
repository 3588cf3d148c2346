//! The dashboards as files: made from their source, valid for Grafana, linked to each other, and about series that there are.

use crate::tools::{done, mend, root, tool};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

fn files() -> Vec<PathBuf> {
    let all = fs::read_dir(root().join("grafana")).unwrap();
    let paths = all.map(|each| each.unwrap().path());
    let mut files: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|ext| ext == "json"))
        .collect();
    files.sort();
    files
}

/// All dashboards.
pub fn boards() -> Vec<Value> {
    let read = |path: &PathBuf| serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    files().iter().map(read).collect()
}

/// The panels of a dashboard that show something.
pub fn panels(board: &Value) -> impl Iterator<Item = &Value> {
    let panels = board["panels"].as_array().unwrap().iter();
    panels.filter(|panel| panel["type"] != "row" && panel["type"] != "text")
}

/// The queries of a panel.
pub fn targets(panel: &Value) -> impl Iterator<Item = &Value> {
    panel["targets"].as_array().unwrap().iter()
}

/// Text under a key.
pub fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// Every expression of a dashboard, with where it is.
fn expressions(board: &Value) -> Vec<(String, &str)> {
    let uid = text(board, "uid");
    let shown = panels(board).flat_map(|panel| {
        let place = format!("{uid}: {}", text(panel, "title"));
        targets(panel).map(move |target| (place.clone(), text(target, "expr")))
    });
    let notes = board["annotations"]["list"].as_array().unwrap().iter();
    let notes = notes.map(|note| (format!("{uid}: {}", text(note, "name")), text(note, "expr")));
    shown.chain(notes).collect()
}

/// Expressions of all alerts and recording rules.
pub fn rules(key: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for file in ["gramwatt-recording.yaml", "gramwatt-alerts.yaml"] {
        let text = fs::read_to_string(root().join("deploy/rules").join(file)).unwrap();
        let yaml: Value = serde_yaml::from_str(&text).unwrap();
        for group in yaml["groups"].as_array().unwrap() {
            for rule in group["rules"].as_array().unwrap() {
                if let Some(name) = rule[key].as_str() {
                    all.push((name.to_owned(), rule["expr"].as_str().unwrap().to_owned()));
                }
            }
        }
    }
    all
}

#[test]
fn dashboards_are_what_their_source_makes() {
    done(
        Command::new(tool("python3"))
            .args(["-B", "grafana/source/build.py", "--check"])
            .current_dir(root()),
    );
}

/// Runs a script of tests/schemas beside the packages that it needs.
pub fn schemas(script: &str, files: &[PathBuf]) -> String {
    let run = root().join("target/tools/schemas").join(script);
    fs::copy(root().join("tests/schemas").join(script), &run)
        .unwrap_or_else(|error| mend(&run, &error));
    done(Command::new("node").arg(&run).args(files))
}

#[test]
fn grafanas_own_types_accept_them() {
    let said = schemas("dashboards.mjs", &files());
    assert!(said.starts_with("7 dashboards, "), "{said}");
}

#[test]
fn every_dashboard_can_be_found_again_and_leads_to_the_others() {
    let boards = boards();
    let uids: BTreeSet<&str> = boards.iter().map(|board| text(board, "uid")).collect();
    let wanted = ["grid", "lab", "node", "runs", "trust", "whatif", "workload"];
    let wanted: BTreeSet<String> = wanted.iter().map(|uid| format!("gramwatt-{uid}")).collect();
    assert!(uids.iter().copied().eq(wanted.iter().map(String::as_str)));
    for (board, file) in boards.iter().zip(files()) {
        let uid = text(board, "uid");
        assert_eq!(file.file_stem().unwrap().to_str(), Some(uid));
        assert!(board["id"].is_null() && board["editable"] == false, "{uid}");
        assert_eq!(board["tags"][0], "gramwatt", "{uid}");
        assert_eq!(board["links"][0]["tags"][0], "gramwatt", "{uid}");
        assert!(
            board["links"][0]["keepTime"] == true && board["links"][0]["includeVars"] == true,
            "{uid}"
        );
        assert_eq!(
            board["templating"]["list"][0]["type"], "datasource",
            "{uid}"
        );
    }
}

#[test]
fn a_variable_means_the_same_wherever_a_link_carries_it() {
    let mut known: Vec<(String, Value)> = Vec::new();
    for board in boards() {
        for variable in board["templating"]["list"].as_array().unwrap() {
            let name = text(variable, "name").to_owned();
            match known.iter().find(|(other, _)| *other == name) {
                Some((_, other)) => assert!(variable == other, "{name}: {variable} {other}"),
                None => known.push((name, variable.clone())),
            }
        }
    }
    assert!(known.len() > 10, "{known:?}");
}

#[test]
fn a_column_that_alone_finds_something_keeps_its_name() {
    let boards = boards();
    let tables = boards.iter().flat_map(panels);
    let tables = tables.filter(|panel| panel["type"] == "table" && targets(panel).count() > 1);
    let mut seen = 0;
    for panel in tables {
        let organize = &panel["transformations"][1]["options"];
        assert!(
            organize["indexByName"]["Value"].is_number()
                && organize["includeByName"]["Value"] == true
                && organize["renameByName"]["Value"].is_string(),
            "{}",
            text(panel, "title")
        );
        seen += 1;
    }
    assert!(seen > 5, "{seen}");
}

/// The uid and the variables of every link to a dashboard in a text.
fn links(text: &str) -> Vec<(String, Vec<String>)> {
    let ends = |c: char| !(c.is_ascii_alphanumeric() || c == '-');
    text.split("/d/")
        .skip(1)
        .map(|rest| {
            let end = rest.find(ends).unwrap_or(rest.len());
            let address = rest.split(['"', ' ', '\n']).next().unwrap_or_default();
            let vars = address.split("var-").skip(1);
            let vars = vars.map(|var| var.split('=').next().unwrap().to_owned());
            (rest[..end].to_owned(), vars.collect())
        })
        .collect()
}

#[test]
fn links_lead_to_dashboards_and_variables_that_there_are() {
    let boards = boards();
    let alerts = fs::read_to_string(root().join("deploy/rules/gramwatt-alerts.yaml")).unwrap();
    let mut found = links(&alerts);
    assert_eq!(found.len(), rules("alert").len(), "each alert has one");
    found.extend(boards.iter().flat_map(|board| links(&board.to_string())));
    assert!(found.len() > 25, "{found:?}");
    for (uid, variables) in found {
        let board = boards.iter().find(|board| text(board, "uid") == uid);
        let board = board.unwrap_or_else(|| panic!("no dashboard {uid}"));
        let known = board["templating"]["list"].as_array().unwrap();
        for variable in variables {
            assert!(
                known.iter().any(|one| one["name"] == variable.as_str()),
                "{uid} has no variable {variable}"
            );
        }
    }
}

#[test]
fn every_panel_says_what_it_shows_in_which_unit_and_why_it_may_be_empty() {
    for board in boards() {
        for panel in panels(&board) {
            let place = format!("{}: {}", text(&board, "uid"), text(panel, "title"));
            assert!(text(panel, "description").len() > 20, "{place}");
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{place}");
            let defaults = &panel["fieldConfig"]["defaults"];
            assert!(!text(defaults, "unit").is_empty(), "{place}: no unit");
            assert!(text(defaults, "noValue").len() > 10, "{place}: no reason");
            for target in targets(panel) {
                assert_eq!(target["datasource"]["uid"], "${datasource}", "{place}");
            }
            // Grafana's own palettes tell series apart by red and green.
            if panel["type"] == "timeseries" {
                let overrides = panel["fieldConfig"]["overrides"].to_string();
                assert!(overrides.contains("fixedColor"), "{place}: no safe colours");
            }
        }
        for variable in board["templating"]["list"].as_array().unwrap() {
            assert!(!text(variable, "description").is_empty(), "{variable}");
        }
    }
}

#[test]
fn rates_fit_the_scrape_and_the_picture() {
    for (place, expr) in boards().iter().flat_map(expressions) {
        for function in ["rate(", "changes("] {
            for rest in expr.split(function).skip(1) {
                let range = rest.split('[').nth(1).unwrap_or_default();
                assert!(
                    range.starts_with("$__rate_interval"),
                    "{place}: {function} {expr}"
                );
            }
        }
        for rest in expr.split("increase(").skip(1) {
            let range = rest.split('[').nth(1).unwrap_or_default();
            assert!(range.starts_with("$__range"), "{place}: {expr}");
        }
    }
}

/// The names of series in an expression: those that a page, a rule or Prometheus could have.
fn series(expr: &str) -> BTreeSet<&str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    // What stands in quotes is a value.
    let code = expr.split('"').step_by(2);
    code.flat_map(|code| code.split(|c| !is_name(c)))
        .filter(|name| {
            let ours = ["gramwatt_", "process_", "scrape_", "kube_"];
            name.contains(':') || ours.iter().any(|prefix| name.starts_with(prefix))
        })
        .collect()
}

#[test]
fn every_series_that_is_asked_for_exists() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let rows = readme.lines().filter_map(|line| line.strip_prefix("| `"));
    let mut known: BTreeSet<String> = rows
        .filter_map(|row| Some(row.split_once('`')?.0.to_owned()))
        .collect();
    known.extend(rules("record").into_iter().map(|(name, _)| name));
    // Of Prometheus itself, of kube-state-metrics, and of budgets.example.yaml.
    known.extend(
        [
            "scrape_duration_seconds",
            "scrape_samples_scraped",
            "kube_pod_status_phase",
            "lab:gramwatt_co2e_budget_grams:month",
            "team:gramwatt_co2e_budget_grams:month",
        ]
        .map(str::to_owned),
    );
    let boards = boards();
    let shown = boards.iter().flat_map(expressions);
    let mut asked: Vec<(String, String)> = shown
        .map(|(place, expr)| (place, expr.to_owned()))
        .collect();
    asked.extend(rules("record"));
    asked.extend(rules("alert"));
    assert!(asked.len() > 200, "{}", asked.len());
    for (place, expr) in &asked {
        for name in series(expr) {
            assert!(known.contains(name), "{place}: no series {name}");
        }
    }
}

#[test]
fn the_lab_tells_what_an_exporter_tells() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let files = ["history.py", "runs.py"];
    let source = files.map(|file| fs::read_to_string(root().join("tests/lab").join(file)).unwrap());
    let source = source.concat();
    let mut names = 0;
    for name in series(&source.replace('"', " ")) {
        if name.starts_with("gramwatt_") && !name.ends_with('_') {
            assert!(readme.contains(&format!("| `{name}`")), "{name}");
            names += 1;
        }
    }
    assert!(names > 45, "{names}");
}
