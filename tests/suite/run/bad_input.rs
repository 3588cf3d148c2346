//! What is asked for wrongly is said before anything begins.

use super::{over, shell};
use crate::program::gramwatt;
use std::fs;
use tempfile::TempDir;

/// Fails with code 2 and these words, and begins nothing.
fn refused(flags: &[&str], said: &[&str]) {
    let folder = TempDir::new().unwrap();
    let mark = folder.path().join("mark");
    let command = format!("touch {}", mark.display());
    let mut run = gramwatt(["run"]);
    run.args(flags).arg("--").args(shell(&command));
    let over = over(run.current_dir(&folder).env("TMPDIR", folder.path()));
    assert_eq!(over.code, 2, "{flags:?}: {over:?}");
    for said in said {
        assert!(
            over.err.contains(said),
            "{flags:?}: no {said:?} in {}",
            over.err
        );
    }
    assert!(over.out.is_empty() && !mark.exists(), "{flags:?}");
    let left = fs::read_dir(&folder).unwrap().count();
    assert_eq!(left, 0, "{flags:?} leaves something behind");
}

#[test]
fn a_command_is_needed() {
    for arguments in [&["run"][..], &["run", "--by=itself", "--"]] {
        let over = over(&mut gramwatt(arguments));
        assert_eq!(over.code, 2, "{over:?}");
        assert!(over.err.contains("<COMMAND>"), "{}", over.err);
    }
}

#[test]
fn flags_that_are_wrong_are_named_before_anything_begins() {
    refused(
        &["--progress=epoch (\\d+"],
        &["--progress: ", "epoch (\\d+"],
    );
    refused(
        &["--progress=epoch \\d+"],
        &["--progress: ", "has no group"],
    );
    refused(
        &["--progress=epoch (\\d+)"],
        &["--progress: ", "--progress-total"],
    );
    refused(&["--progress=(a)(b)(c)"], &["--progress: ", "3 groups"]);
    refused(
        &["--progress=(\\d+)%", "--progress-file=x"],
        &["--progress", "--progress-file"],
    );
    for total in ["0", "-1", "nan", "inf", "ten"] {
        refused(
            &[&format!("--progress-total={total}")],
            &["--progress-total", "above 0"],
        );
    }
    for mass in ["", "2", "2lb", "-1kg", "nankg"] {
        refused(
            &[&format!("--budget={mass}")],
            &["--budget", "a mass with its unit"],
        );
    }
    refused(&["--budget=kg"], &["--budget", "a number above 0"]);
    refused(&["--budget=0kg"], &["--budget", "a number above 0"]);
    for time in ["", "0s", "49h", "soon", "-1h"] {
        refused(
            &[&format!("--wait-for-greener={time}")],
            &["--wait-for-greener", "is no time"],
        );
    }
    refused(&["--duration=1h"], &["--wait-for-greener"]);
    refused(&["--by=nobody"], &["--by", "exporter", "itself"]);
    refused(&["--no-such-flag"], &["--no-such-flag"]);
}

#[test]
fn a_report_that_cannot_be_written_and_an_exporter_that_is_not_there_begin_nothing() {
    let missing = "/nonexistent/report.json";
    refused(
        &[&format!("--report={missing}")],
        &[
            "gramwatt: --report: /nonexistent: ",
            "No such file or directory",
        ],
    );
    refused(&["--report=/proc/version/report"], &["--report: "]);
    refused(&["--report=/tmp"], &["--report: /tmp: is a folder"]);
    refused(
        &["--by=exporter", "--socket=/nonexistent/runs.sock"],
        &[
            "no exporter answers",
            "/nonexistent/runs.sock",
            "--socket",
            "--by=itself",
        ],
    );
    refused(
        &["--by=exporter", "--state.directory=/nonexistent"],
        &["/nonexistent/runs.sock"],
    );
    refused(&["--by=itself", "--grid.zone=XX-NOWHERE"], &["XX-NOWHERE"]);
}

#[test]
fn a_name_that_is_none_is_refused_by_who_measures() {
    let exporter = super::Exporter::start();
    let mark = exporter.at("mark");
    let command = format!("touch {}", mark.display());
    for name in ["", " ", "a\nb", "a\u{7f}", &"n".repeat(129)] {
        let flag = format!("--name={name}");
        let over = over(&mut exporter.run(&[&flag], shell(&command)));
        assert_eq!(over.code, 2, "{name:?}: {over:?}");
        assert!(
            over.err.contains("name: 1 to 128 characters"),
            "{}",
            over.err
        );
    }
    assert!(!mark.exists() && exporter.runs().is_empty());
    let name = format!("--name={}", "é".repeat(128));
    assert_eq!(over(&mut exporter.run(&[&name], ["true"])).code, 0);
}
