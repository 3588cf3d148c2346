//! The rules that Prometheus loads: promtool reads them, tries every alert, and nothing is left out.

use crate::tools::{done, root, tool};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn rules() -> PathBuf {
    root().join("deploy/rules")
}

/// The YAML files of a folder, by name.
fn files(folder: &Path) -> Vec<PathBuf> {
    let all = fs::read_dir(folder)
        .unwrap()
        .map(|each| each.unwrap().path());
    let mut files: Vec<PathBuf> = all
        .filter(|path| path.extension().is_some_and(|ext| ext == "yaml"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no rules in {}", folder.display());
    files
}

fn promtool(verb: &str, files: &[PathBuf]) {
    done(
        Command::new(tool("promtool"))
            .args([verb, "rules"])
            .args(files),
    );
}

/// What follows `key` on any line of the files.
fn named(files: &[PathBuf], key: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(file).unwrap();
        let lines = text.lines();
        names.extend(
            lines.filter_map(|line| Some(line.trim().strip_prefix(key)?.trim().to_owned())),
        );
    }
    names
}

#[test]
fn promtool_reads_the_rules() {
    promtool("check", &files(&rules()));
}

#[test]
fn every_alert_waits_fires_ends_and_is_silent_without_data() {
    promtool("test", &files(&rules().join("tests")));
}

#[test]
fn no_alert_is_without_a_test() {
    let alerts = named(&files(&rules()), "- alert:");
    let fired = named(&files(&rules().join("tests")), "- alertname:");
    assert!(alerts.len() > 20, "{alerts:?}");
    assert_eq!(alerts, fired);
}

#[test]
fn no_alert_is_without_a_section_of_the_runbook() {
    let alerts = named(&files(&rules()), "- alert:");
    let book = rules().join("../../docs/runbook.md");
    assert_eq!(alerts, named(&[book], "## "));
}
