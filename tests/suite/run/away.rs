//! An exporter that goes away while a command is under way: the report is of what was measured, and says so.

use super::{Exporter, Over, Started, shell};
use crate::program::until;
use rustix::process::Signal;
use serde_json::Value as Json;
use std::fs;
use std::path::Path;
use std::process::Stdio;

/// A command that goes on until it is told, and its number.
fn begun(exporter: &Exporter, name: &str) -> (Started, String) {
    let flags = [format!("--name={name}"), exporter.flag("report", "report")];
    let flags = flags.each_ref().map(String::as_str);
    let mut run = exporter.run(&flags, shell("echo $$; read line; exit 4"));
    let run = Started::new(run.stdin(Stdio::piped()));
    exporter.until_run(name, |run| run["processes"] == 1);
    let pid = until("it says its number", || {
        run.out.text().strip_suffix('\n').map(ToOwned::to_owned)
    });
    (run, pid)
}

/// Once the command is over, and waited for.
fn gone(pid: &str) {
    let place = format!("/proc/{pid}");
    until("the command is over", || {
        (!Path::new(&place).exists()).then_some(())
    });
}

/// The report is there, of the command's own end, and of less than its time.
fn is_of_a_part(exporter: &Exporter, over: &Over, code: i32, how: &str) {
    assert_eq!(over.code, code, "{over:?}");
    for said in [how, "nobody measured its end: figures are of the first "] {
        assert!(over.err.contains(said), "no {said:?} in {}", over.err);
    }
    let page = fs::read(exporter.at("report")).unwrap();
    let page: Json = serde_json::from_slice(&page).unwrap();
    assert_eq!(page["run"]["state"], "failed");
    assert_eq!(page["run"]["settled"], false);
    let whole = page["run"]["seconds"].as_f64().unwrap();
    let measured = page["measured_seconds"].as_f64().unwrap();
    assert!(measured < whole, "{measured} s of {whole} s");
}

#[test]
fn an_exporter_that_is_gone_leaves_a_report_of_what_it_measured() {
    let mut exporter = Exporter::start();
    let (mut run, pid) = begun(&exporter, "left");
    exporter.crash();
    run.until_says("gramwatt: not measured from here on: ");
    drop(run.child.0.stdin.take());
    gone(&pid);
    // It is not waited for any longer.
    run.signal(Signal::INT);
    is_of_a_part(&exporter, &run.over(), 4, "left failed with code 4 after ");
}

#[test]
fn an_exporter_that_hangs_holds_up_no_signal_and_no_report() {
    let exporter = Exporter::start();
    let (mut run, pid) = begun(&exporter, "held");
    exporter.program().signal(Signal::STOP);
    run.until_says("no answer in time");
    run.signal(Signal::TERM);
    gone(&pid);
    run.signal(Signal::TERM);
    is_of_a_part(
        &exporter,
        &run.over(),
        143,
        "held was ended by signal 15 after ",
    );
}

#[test]
fn an_exporter_that_has_lost_its_books_is_no_end_of_the_command() {
    let mut exporter = Exporter::start();
    let (mut run, _) = begun(&exporter, "unknown");
    exporter.crash();
    run.until_says("gramwatt: not measured from here on: ");
    fs::remove_dir_all(exporter.at("state")).unwrap();
    exporter.again();
    drop(run.child.0.stdin.take());
    let over = run.over();
    is_of_a_part(&exporter, &over, 4, "unknown failed with code 4 after ");
    assert!(!over.err.contains("measured again"), "{}", over.err);
}

#[test]
fn an_exporter_that_is_back_soon_after_the_end_has_all_of_it() {
    let mut exporter = Exporter::start();
    let (mut run, pid) = begun(&exporter, "back");
    exporter.crash();
    run.until_says("gramwatt: not measured from here on: ");
    drop(run.child.0.stdin.take());
    gone(&pid);
    exporter.again();
    let over = run.over();
    assert_eq!(over.code, 4, "{over:?}");
    for said in ["gramwatt: measured again", "back failed with code 4 after "] {
        assert!(over.err.contains(said), "no {said:?} in {}", over.err);
    }
    assert!(!over.err.contains("nobody measured"), "{}", over.err);
    exporter.until_run("back", |run| run["state"] == "failed");
}
