//! What goes in and out of a command, and its exit code, are as without us.

use super::{Exporter, Started, over, python, shell};
use crate::program::{Killed, gramwatt, until};
use crate::tools::tool;
use std::fs;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::thread;

const PATTERN: &str = r"--progress=(\d+)/(\d+) done";

/// Every byte in every neighbourhood, and no end of a line for long stretches.
fn bytes(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(next).collect()
}

#[test]
fn streams_are_passed_byte_for_byte_through_slow_readers() {
    let exporter = Exporter::start();
    let sent = bytes(5 << 20);
    for flags in [&["--quiet"][..], &["--quiet", PATTERN]] {
        for (command, is_out) in [("cat", true), ("cat >&2", false)] {
            let mut run = exporter.run(flags, shell(command));
            let mut run = Killed(run.stdin(Stdio::piped()).spawn().unwrap());
            let mut input = run.0.stdin.take().unwrap();
            let to_send = sent.clone();
            let feeder = thread::spawn(move || input.write_all(&to_send));
            let (out, err) = (run.0.stdout.take().unwrap(), run.0.stderr.take().unwrap());
            let (mut full, mut empty): (Box<dyn Read>, Box<dyn Read>) = match is_out {
                true => (Box::new(out), Box::new(err)),
                false => (Box::new(err), Box::new(out)),
            };
            // Pipes are full all the while.
            let (mut got, mut piece) = (Vec::new(), [0; 1999]);
            loop {
                match full.read(&mut piece).unwrap() {
                    0 => break,
                    length => got.extend_from_slice(&piece[..length]),
                }
            }
            feeder.join().unwrap().unwrap();
            assert!(got == sent, "{flags:?} {command}: {} bytes", got.len());
            let mut rest = String::new();
            empty.read_to_string(&mut rest).unwrap();
            assert_eq!(rest, "");
            assert_eq!(run.0.wait().unwrap().code(), Some(0));
        }
    }
}

/// The command is over, its last bytes are in pipes, and nobody reads yet.
#[test]
fn the_last_bytes_wait_for_a_reader_and_a_signal_ends_the_wait() {
    let exporter = Exporter::start();
    let held = |name: &str| {
        let command = format!(
            "head -c 100000 /dev/zero; : > {}",
            exporter.at(name).display()
        );
        let mut run = exporter.run(&["--quiet", PATTERN], shell(&command));
        let run = Killed(run.stderr(Stdio::null()).spawn().unwrap());
        until("the command is over", || {
            exporter.at(name).exists().then_some(())
        });
        run
    };
    let mut left = held("left");
    let mut read = held("read");
    // Its output fills our pipe and more: it cannot end before somebody reads, unless it is told to.
    let end = rustix::process::Signal::TERM;
    let pid = rustix::process::Pid::from_raw(left.0.id().cast_signed()).unwrap();
    until("a signal ends it", || {
        rustix::process::kill_process(pid, end).unwrap();
        left.0.try_wait().unwrap()
    });
    assert!(read.0.try_wait().unwrap().is_none());
    let mut all = Vec::new();
    let mut out = read.0.stdout.take().unwrap();
    out.read_to_end(&mut all).unwrap();
    assert_eq!(all.len(), 100_000);
    assert_eq!(read.0.wait().unwrap().code(), Some(0));
}

#[test]
fn a_reader_that_leaves_ends_it_as_without_us() {
    let exporter = Exporter::start();
    for flags in [&["--quiet"][..], &["--quiet", PATTERN]] {
        let mut run = Killed(exporter.run(flags, ["yes"]).spawn().unwrap());
        let mut out = run.0.stdout.take().unwrap();
        let mut ten = [0; 10];
        out.read_exact(&mut ten).unwrap();
        assert_eq!(&ten, b"y\ny\ny\ny\ny\n");
        drop(out);
        let status = until("it ends", || run.0.try_wait().unwrap());
        // 128 + SIGPIPE, as a shell says it.
        assert_eq!(status.code(), Some(141), "{flags:?}");
    }
}

fn coded(exporter: &Exporter, flags: &[&str], command: &str) -> (i32, String) {
    let over = over(&mut exporter.run(flags, shell(command)));
    (over.code, over.err)
}

#[test]
fn exit_codes_are_the_commands_and_the_report_names_them() {
    let exporter = Exporter::start();
    for (command, code, said) in [
        (":", 0, "sh succeeded after "),
        ("exit 3", 3, "sh failed with code 3 after "),
        ("exit 255", 255, "sh failed with code 255 after "),
        ("kill -INT $$", 130, "sh was ended by signal 2 after "),
        ("kill -KILL $$", 137, "sh was ended by signal 9 after "),
        ("kill -TERM $$", 143, "sh was ended by signal 15 after "),
    ] {
        for flags in [&[][..], &[PATTERN]] {
            let (got, err) = coded(&exporter, flags, command);
            assert_eq!(got, code, "{command}: {err}");
            assert!(err.starts_with(&format!("gramwatt: {said}")), "{err}");
            for line in ["energy", "measured    by the exporter at "] {
                assert!(err.contains(&format!("\n  {line}")), "no {line} in {err}");
            }
            assert!(err.contains("modelled is no measurement"), "{err}");
        }
        assert_eq!(
            coded(&exporter, &["--quiet"], command),
            (code, String::new())
        );
    }
}

#[test]
fn what_cannot_be_begun_has_a_shells_codes_and_a_reason() {
    let exporter = Exporter::start();
    fs::write(exporter.at("text"), "no program\n").unwrap();
    let text = exporter.at("text").display().to_string();
    let folder = exporter.at("state").display().to_string();
    for (command, code, said) in [
        ("no-such-command", 127, "No such file or directory"),
        ("", 127, "No such file or directory"),
        (&text, 126, "Permission denied"),
        (&folder, 126, "Permission denied"),
    ] {
        let over = over(&mut exporter.run(&["--quiet"], [command]));
        assert_eq!(over.code, code, "{command:?}: {over:?}");
        assert!(
            over.err
                .starts_with(&format!("gramwatt: {command}: {said}")),
            "{over:?}"
        );
        assert_eq!(over.err.lines().count(), 1);
    }
    let states: Vec<_> = exporter
        .runs()
        .iter()
        .map(|run| run["state"].clone())
        .collect();
    assert_eq!(states, ["failed"; 4]);
}

const SIGNAL_SETS: [&str; 4] = ["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"];

/// The signals that a command begins with: what is blocked, and what is ignored.
fn sets(command: &mut Command) -> [u64; 2] {
    let over = over(command);
    assert_eq!(over.code, 0, "{over:?}");
    let text = over.text();
    let set = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        u64::from_str_radix(line.unwrap().trim(), 16).unwrap()
    };
    [set("SigBlk:"), set("SigIgn:")]
}

#[test]
fn no_signal_is_blocked_and_those_that_are_ignored_stay_ignored() {
    const HANGUP: u64 = 1;
    let exporter = Exporter::start();
    // Whoever runs the tests may ignore some.
    let [program, arguments @ ..] = SIGNAL_SETS;
    let [blocked, ignored] = sets(Command::new(program).args(arguments));
    assert_eq!(blocked, 0);
    for flags in [&["--quiet"][..], &["--quiet", PATTERN]] {
        let mut run = exporter.run(flags, SIGNAL_SETS);
        assert_eq!(sets(&mut run), [0, ignored]);
        let mut nohup = Command::new("sh");
        nohup
            .args(["-c", "trap '' HUP; exec \"$0\" \"$@\""])
            .arg(run.get_program())
            .args(run.get_args());
        assert_eq!(sets(&mut nohup), [0, ignored | HANGUP]);
    }
}

/// A caller that wants to hear nothing of its children leaves that to us.
#[test]
fn a_caller_that_ignores_its_children_is_told_the_exit_code_all_the_same() {
    let exporter = Exporter::start();
    let run = exporter.run(&["--quiet"], shell("exit 3"));
    let text = "import os, signal, sys\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\nos.execv(sys.argv[1], sys.argv[1:])";
    let mut heedless = Command::new(tool("python3"));
    heedless
        .args(["-ISc", text])
        .arg(run.get_program())
        .args(run.get_args());
    assert_eq!(over(&mut heedless).code, 3);
}

#[test]
fn many_short_children_are_one_run() {
    let exporter = Exporter::start();
    let command =
        "i=0; while [ $i -lt 300 ]; do $(command -v true) & i=$((i+1)); done; wait; echo $i";
    let over = over(&mut exporter.run(&["--name=forks"], shell(command)));
    assert_eq!((over.code, over.text().as_str()), (0, "300\n"), "{over:?}");
    let run = exporter.until_run("forks", |run| run["settled"] == true);
    assert_eq!(run["state"], "succeeded");
}

/// Leaves its parent and its session, tells its number, and waits for somebody to write into a FIFO.
const DAEMON: &str = "
import os, sys
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        draft = sys.argv[1] + '.new'
        with open(draft, 'w') as file:
            print(os.getpid(), file=file)
        os.rename(draft, sys.argv[1])
        open(sys.argv[2]).read()
        print('done', flush=True)
    os._exit(0)
os.wait()
";

fn parent(pid: &str) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    rest.split(' ').nth(1)?.parse().ok()
}

fn daemon(exporter: &Exporter, name: &str, flags: &[&str]) -> (Started, String) {
    let (pid, fifo) = (exporter.at(&format!("{name}.pid")), exporter.at(name));
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    let mut command = python(DAEMON);
    command.extend([pid.clone().into(), fifo.into()]);
    let name = format!("--name={name}");
    let flags: Vec<&str> = flags.iter().copied().chain([name.as_str()]).collect();
    let run = Started::new(&mut exporter.run(&flags, command));
    let pid = until("the daemon says who it is", || {
        fs::read_to_string(&pid).ok()
    });
    (run, pid)
}

#[test]
fn a_daemon_is_left_or_waited_for() {
    let exporter = Exporter::start();
    let (mut run, pid) = daemon(&exporter, "waited", &["--wait-for-all", "--quiet"]);
    let (left, other) = daemon(&exporter, "left", &["--quiet"]);
    // Without the flag it ends although the daemon holds its output open, and leaves it be.
    let status = {
        let mut left = left;
        until("it ends", || left.child.0.try_wait().unwrap())
    };
    assert_eq!(status.code(), Some(0));
    until("somebody else has it", || parent(&other).filter(|_| true));
    // With it the daemon is ours, and counts.
    until("it is a child of ours", || {
        (parent(&pid) == Some(run.pid())).then_some(())
    });
    exporter.until_run("waited", |run| run["processes"] == 1);
    assert!(!run.is_over());
    for name in ["waited", "left"] {
        fs::write(exporter.at(name), "go on").unwrap();
    }
    let over = run.over();
    assert_eq!((over.code, over.text().as_str()), (0, "done\n"));
    until("the other has ended by itself", || {
        parent(&other).is_none().then_some(())
    });
}

/// What talks on after the command's end does not hold us, and its pipe breaks when we have left.
#[test]
fn a_daemon_that_goes_on_talking_is_not_listened_to() {
    let exporter = Exporter::start();
    let talks = "
import os
if os.fork() == 0:
    os.setsid()
    while True: os.write(1, b'and so on\\n')
os._exit(6)
";
    let over = over(&mut exporter.run(&["--quiet", PATTERN], python(talks)));
    assert_eq!((over.code, over.err.as_str()), (6, ""));
    assert!(over.out.starts_with(b"and so on\n"));
}

#[test]
fn by_itself_it_measures_and_says_so() {
    let folder = tempfile::TempDir::new().unwrap();
    let report = folder.path().join("report.json");
    let flag = format!("--report={}", report.display());
    let burn = "import time\nend = time.process_time() + 1\nwhile time.process_time() < end: pass";
    // Nobody else can be asked.
    let mut run = gramwatt(["run", "--socket=/nonexistent/runs.sock"]);
    run.args(["--grid.zone=DE", "--name=burn", &flag, "--"]);
    let over = over(run.args(python(burn)).env("TMPDIR", folder.path()));
    assert_eq!(over.code, 0, "{over:?}");
    for said in [
        "gramwatt: burn succeeded after ",
        "\n  energy      ",
        "\n  CO2e        ",
        "\n  mean power  ",
        "PUE 1 (not set)",
        "measured    by itself",
        "(DE, bundled, static ",
    ] {
        assert!(over.err.contains(said), "no {said:?} in {}", over.err);
    }
    let page: serde_json::Value = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
    let number = |name: &str| page["run"][name].as_f64().unwrap();
    assert!(number("joules") > 0.0 && number("grams") > 0.0 && number("seconds") >= 1.0);
    let kinds = page["run"]["kinds"].as_object().unwrap();
    let sum: f64 = kinds
        .values()
        .map(|kind| kind["joules"].as_f64().unwrap())
        .sum();
    assert!((sum - number("joules")).abs() < 1e-9 * sum);
    assert!(number("joules") <= page["node"]["joules"].as_f64().unwrap());
    // Its own socket is gone with it.
    let left: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|file| file.unwrap().file_name())
        .collect();
    assert_eq!(left, ["report.json"]);
}
