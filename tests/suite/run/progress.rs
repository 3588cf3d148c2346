//! How far a command is, and what is said of what it will come to.

use super::{Exporter, Over, QUICK, Started, over, python};
use crate::tools::{root, tool};
use jiff::{Timestamp, ToSpan, Unit};
use rustix::process::Signal;
use serde_json::{Value as Json, json};
use std::ffi::OsString;
use std::fs;
use std::process::{Command, Stdio};

/// An exporter whose grid has so much from now on, hour by hour, told by a file of the site's; and the first hour.
fn on_a_grid(hours: &[u32]) -> (Exporter, Timestamp) {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("grid.csv");
    let first = Timestamp::now()
        .round(
            jiff::TimestampRound::new()
                .smallest(Unit::Hour)
                .mode(jiff::RoundMode::Floor),
        )
        .unwrap();
    let mut text = String::from("from,until,intensity\n");
    for (place, grams) in hours.iter().enumerate() {
        let from = first + i64::try_from(place).unwrap().hours();
        text.push_str(&format!("{from},{},{grams}\n", from + 1.hours()));
    }
    fs::write(&path, text).unwrap();
    let config = format!(
        "{QUICK}grid:\n  zone: DE\n  providers:\n  - {{type: file, path: '{}', unit: g/kWh, factors: lifecycle}}\n",
        path.display()
    );
    let mut exporter = Exporter::with(&config);
    crate::program::until("the forecast is known", || {
        let (_, node) = exporter.ask("GET", "/v1/node", "");
        let known = node["forecast"].as_array().map(Vec::len);
        (node["grid"]["provider"] == "file" && known >= Some(hours.len() - 2)).then_some(())
    });
    exporter.more.push(folder);
    (exporter, first)
}

/// Works a little, says so, and waits for a line before it goes on.
const EPOCHS: &str = "
import sys, time
for epoch in range(1, 11):
    end = time.process_time() + 0.15
    while time.process_time() < end: pass
    print(f'epoch {epoch}/10', flush=True)
    if not sys.stdin.readline(): break
";

const EPOCH: &str = r"--progress=epoch (\d+)/(\d+)";

fn number(text: &Json) -> f64 {
    text.as_f64()
        .unwrap_or_else(|| panic!("{text} is no number"))
}

#[test]
fn progress_in_the_output_is_seen_and_its_prediction_is_kept() {
    use std::io::Write;
    let exporter = Exporter::start();
    let mut run = exporter.run(&["--name=train", EPOCH, "--budget=1t"], python(EPOCHS));
    let mut run = Started::new(run.stdin(Stdio::piped()));
    let mut input = run.child.0.stdin.take().unwrap();
    run.until_says("epoch 1/10\n");
    input.write_all(b"\n").unwrap();
    run.until_says("epoch 2/10\n");
    let told = exporter.until_run("train", |run| {
        run["progress"]["done"] == 2.0 && run["prediction"].is_object()
    });
    assert_eq!(
        (&told["progress"]["total"], &told["budget_grams"]),
        (&json!(10.0), &json!(1e6))
    );
    for name in ["seconds", "joules", "grams"] {
        let range = &told["prediction"][name];
        let [low, expected, high] = ["low", "expected", "high"].map(|end| number(&range[end]));
        assert!(0.0 <= low && low <= expected && expected <= high, "{range}");
    }
    assert!(number(&told["prediction"]["joules"]["expected"]) >= number(&told["joules"]));
    input.write_all(&[b'\n'; 9]).unwrap();
    let over = run.over();
    assert_eq!(over.code, 0, "{over:?}");
    let whole: String = (1..=10)
        .map(|epoch| format!("epoch {epoch}/10\n"))
        .collect();
    assert_eq!(over.text(), whole);
    let last = exporter.until_run("train", |run| run["settled"] == true);
    assert_eq!(last["progress"], json!({"done": 10.0, "total": 10.0}));
    assert!(last["first_prediction"].is_object());
    assert!(
        over.err.contains("  predicted   ") && over.err.contains("% of 1"),
        "{}",
        over.err
    );
    assert!(!over.err.contains("over budget"), "{}", over.err);
}

#[test]
fn a_progress_file_is_read_as_it_is_written() {
    let exporter = Exporter::start();
    let file = exporter.at("progress");
    let flag = format!("--progress-file={}", file.display());
    for (name, text, total, expected) in [
        ("ratio", "0.3", None, json!({"done": 0.3, "total": 1.0})),
        (
            "percent",
            "30%\n",
            None,
            json!({"done": 30.0, "total": 100.0}),
        ),
        (
            "pair",
            "3 / 10\n",
            None,
            json!({"done": 3.0, "total": 10.0}),
        ),
        (
            "count",
            "4\n",
            Some("--progress-total=8"),
            json!({"done": 4.0, "total": 8.0}),
        ),
    ] {
        // It is not there yet, and then half-written.
        let _ = fs::remove_file(&file);
        let name_flag = format!("--name={name}");
        let flags: Vec<&str> = [flag.as_str(), &name_flag]
            .into_iter()
            .chain(total)
            .collect();
        let mut run = exporter.run(&flags, super::shell("read line"));
        let mut run = Started::new(run.stdin(Stdio::piped()));
        exporter.until_run(name, |run| run["state"] == "running");
        fs::write(&file, "").unwrap();
        fs::write(&file, text).unwrap();
        let told = exporter.until_run(name, |run| run["progress"].is_object());
        assert_eq!(told["progress"], expected);
        drop(run.child.0.stdin.take());
        assert_eq!(run.over().code, 1);
    }
}

#[test]
fn a_budget_that_will_not_do_is_said_while_there_is_time() {
    use std::io::Write;
    let exporter = Exporter::start();
    // A picogram.
    let mut run = exporter.run(
        &["--name=dear", EPOCH, "--budget=0.000000000001g"],
        python(EPOCHS),
    );
    let mut run = Started::new(run.stdin(Stdio::piped()));
    let mut input = run.child.0.stdin.take().unwrap();
    run.until_says("epoch 1/10\n");
    run.until_says("gramwatt: over budget: ");
    input.write_all(b"\n").unwrap();
    run.until_says("epoch 2/10\n");
    drop(input);
    let over = run.over();
    assert_eq!(over.code, 0);
    assert_eq!(over.err.matches("over budget").count(), 1, "{}", over.err);
    assert!(over.err.contains("\n  budget      "), "{}", over.err);
}

/// Goes on until it is told to end, and says so.
const ENDLESS: &str = "
import signal, sys, time
ended = []
signal.signal(signal.SIGTERM, lambda *_: ended.append(1))
for epoch in range(1, 10**9):
    end = time.process_time() + 0.1
    while time.process_time() < end: pass
    print(f'epoch {epoch}/1000', flush=True)
    if ended:
        print('told to end', flush=True)
        sys.exit(9)
";

#[test]
fn it_stops_with_the_prediction_and_offers_a_greener_hour() {
    let hours: Vec<u32> = (0..30)
        .map(|hour| if hour == 5 { 50 } else { 500 })
        .collect();
    let (exporter, _) = on_a_grid(&hours);
    let report = exporter.at("report.json");
    let flags = [
        EPOCH,
        "--name=tried",
        "--stop-after-prediction",
        &format!("--report={}", report.display()),
    ];
    let over = over(&mut exporter.run(&flags, python(ENDLESS)));
    assert_eq!(over.code, 0, "{over:?}");
    assert!(over.text().ends_with("told to end\n"), "{over:?}");
    assert!(
        over.err.contains("gramwatt: predicted for all of it: "),
        "{}",
        over.err
    );
    assert!(
        over.err.contains("90 % less from ") && over.err.contains("--wait-for-greener=24h"),
        "{}",
        over.err
    );
    assert!(
        over.err
            .contains("gramwatt: tried was stopped with its prediction"),
        "{}",
        over.err
    );
    let page: Json = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
    assert_eq!(page["run"]["state"], "succeeded");
    assert!(page["run"]["first_prediction"]["grams"]["expected"].is_number());
    assert_eq!(page["node"]["grid"]["zone"], "DE");
    assert!(page["node"]["forecast"].as_array().unwrap().len() >= 29);
    let left: Vec<String> = fs::read_dir(exporter.folder.path())
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(
        left.iter().all(|name| !name.starts_with("report.json.")),
        "{left:?}"
    );
}

#[test]
fn a_start_is_held_until_the_cleanest_hour_or_a_signal() {
    let mut hours = [500; 30];
    hours[..2].fill(100);
    let (now_is_best, _) = on_a_grid(&hours);
    let run = over(&mut now_is_best.run(&["--wait-for-greener=12h"], ["echo", "begun"]));
    assert_eq!((run.code, run.text().as_str()), (0, "begun\n"), "{run:?}");
    assert!(!run.err.contains("holds the start"), "{}", run.err);
    hours[..2].fill(500);
    hours[7] = 100;
    let (later, first) = on_a_grid(&hours);
    let zone = jiff::tz::TimeZone::UTC;
    let mark = later.at("mark");
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let command = [OsString::from("touch"), mark.clone().into()];
        let mut run = later.run(&["--wait-for-greener=12h", "--duration=30m"], command);
        let mut run = Started::new(run.env("TZ", "UTC"));
        run.until_says("g/kWh instead of ");
        let said = run.err.text();
        let best = (first + 7.hours()).to_zoned_datetime(zone.clone());
        let best = best
            .strftime("%H:00: 100 g/kWh instead of 500 (80 % less)")
            .to_string();
        assert!(
            said.contains("gramwatt: holds the start until ") && said.contains(&best),
            "{said}: {best}"
        );
        assert!(!run.is_over());
        run.signal(signal);
        let over = run.over();
        assert_eq!(over.code, code, "{over:?}");
    }
    // Under nohup the end of a session is no reason; and an exporter that starts anew is waited for.
    let run = later.run(&["--wait-for-greener=12h"], ["touch"]);
    let mut nohup = Command::new("sh");
    nohup
        .args(["-c", "trap '' HUP; exec \"$0\" \"$@\""])
        .arg(run.get_program())
        .args(run.get_args());
    let mut run = Started::new(nohup.arg(&mark));
    run.until_says("g/kWh instead of ");
    run.signal(Signal::HUP);
    // Of two that wait the first by number is heard first.
    run.signal(Signal::INT);
    assert_eq!(run.over().code, 130);
    assert!(
        !mark.exists() && later.runs().is_empty(),
        "nothing has begun"
    );
    // What is known does not reach: it starts, and that is said.
    let run = over(&mut later.run(&["--wait-for-greener=12h", "--duration=48h"], ["true"]));
    assert_eq!(run.code, 0);
    assert!(
        run.err.contains("no forecast of the grid covers that work"),
        "{}",
        run.err
    );
}

/// The examples that the README shows, as they are.
fn example(exporter: &Exporter, program: Command, name: &str) -> Over {
    let words = std::iter::once(program.get_program()).chain(program.get_args());
    let words: Vec<OsString> = words.map(ToOwned::to_owned).collect();
    let run = over(&mut exporter.run(&["--quiet", &format!("--name={name}")], words));
    assert_eq!(run.code, 0, "{run:?}");
    let told = exporter.until_run(name, |run| run["settled"] == true);
    assert_eq!(told["progress"], json!({"done": 5.0, "total": 5.0}));
    run
}

#[test]
fn the_examples_tell_their_progress_and_run_without_us() {
    let exporter = Exporter::start();
    let mut python = Command::new(tool("python3"));
    python.arg(root().join("examples/run/progress.py"));
    assert_eq!(over(&mut python).text(), "", "nobody listens");
    let run = example(&exporter, python, "python");
    assert_eq!(run.text().lines().count(), 5, "{run:?}");
    assert!(run.text().starts_with("epoch 1 of 5: "), "{run:?}");
    let mut shell = Command::new("sh");
    shell.arg(root().join("examples/run/progress.sh"));
    assert_eq!(over(&mut shell).code, 0, "nobody listens");
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("SKIPPED: examples/run/progress.sh needs curl, which is not here");
        return;
    }
    let run = example(&exporter, shell, "shell");
    let last: Json = serde_json::from_str(run.text().lines().last().unwrap()).unwrap();
    assert_eq!(last["name"], "shell");
}
