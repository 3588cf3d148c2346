//! What another process sends to `gramwatt run` reaches the command.

use super::{Exporter, Started, python};
use crate::program::{gramwatt, until};
use rustix::process::Signal;
use std::fs;

/// Tells each signal by its number, and ends at the first other than SIGUSR1 and SIGHUP.
const HEARS: &str = "
import signal, sys
every = {signal.Signals(int(n)) for n in '1 2 3 10 12 15'.split()}
signal.pthread_sigmask(signal.SIG_BLOCK, every)
print('ready', flush=True)
while True:
    heard = signal.sigwait(every)
    print('heard', int(heard), flush=True)
    if heard not in (signal.SIGUSR1, signal.SIGHUP):
        sys.exit(40 + heard)
";

#[test]
fn signals_reach_the_command_and_the_exit_code_is_its() {
    let exporter = Exporter::start();
    let ends = [Signal::INT, Signal::QUIT, Signal::USR2, Signal::TERM];
    let begin = |end: Signal| {
        let name = format!("--name=run-{}", end.as_raw());
        Started::new(&mut exporter.run(&["--quiet", &name], python(HEARS)))
    };
    let runs: Vec<(Signal, Started)> = ends.into_iter().map(|end| (end, begin(end))).collect();
    for (end, mut run) in runs {
        run.until_says("ready\n");
        for (signal, number) in [(Signal::USR1, 10), (Signal::HUP, 1)] {
            run.signal(signal);
            run.until_says(&format!("heard {number}\n"));
        }
        run.signal(end);
        let (over, number) = (run.over(), end.as_raw());
        assert_eq!(over.code, 40 + number, "{over:?}");
        // Each once.
        let heard = format!("ready\nheard 10\nheard 1\nheard {number}\n");
        assert_eq!(over.text(), heard);
    }
}

/// A command that does nothing about a signal ends by it, and a shell would say so.
#[test]
fn a_command_that_a_signal_ends_is_told_by_128_and_the_number() {
    let exporter = Exporter::start();
    let idle = "import signal\nprint('ready', flush=True)\nwhile True: signal.pause()";
    for (end, code) in [(Signal::HUP, 129), (Signal::TERM, 143), (Signal::USR1, 138)] {
        let mut run = Started::new(&mut exporter.run(&["--name=ended"], python(idle)));
        run.until_says("ready\n");
        run.signal(end);
        let over = run.over();
        assert_eq!(over.code, code, "{over:?}");
        let said = format!("gramwatt: ended was ended by signal {} after ", code - 128);
        assert!(over.err.contains(&said), "{}", over.err);
    }
    // One that lives on in spite of it goes on being measured.
    let stubborn = "
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('ready', flush=True)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
signal.sigwait({signal.SIGUSR1})
print('went on', flush=True)
";
    let mut run = Started::new(&mut exporter.run(&["--name=stubborn"], python(stubborn)));
    run.until_says("ready\n");
    run.signal(Signal::TERM);
    exporter.until_run("stubborn", |run| run["state"] == "running");
    run.signal(Signal::USR1);
    let over = run.over();
    assert_eq!((over.code, over.text().as_str()), (0, "ready\nwent on\n"));
}

/// Nobody reads what it says, and it is stuck in saying it.
#[test]
fn an_unread_output_does_not_hold_up_signals() {
    let exporter = Exporter::start();
    let flood = "
import os, signal
signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
os.write(2, b'ready')
while True: os.write(1, b'1/2 done\\n' * 9999)
";
    let flags = ["--quiet", r"--progress=(\d+)/(\d+) done"];
    let mut run = exporter.run(&flags, python(flood));
    // Nobody reads its output until it has ended.
    let mut run = crate::program::Killed(run.spawn().unwrap());
    let err = super::Heard::of(run.0.stderr.take().unwrap());
    until("it floods its output", || {
        err.text().contains("ready").then_some(())
    });
    // Progress is known, so that there is a line to draw and more to tell.
    exporter.until_run("python3", |run| run["progress"]["done"] == 1.0);
    let pid = rustix::process::Pid::from_raw(run.0.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    // The first reaches the command, which is stuck in its output; the next ends our wait for a reader.
    let status = until("it ends", || {
        let ended = run.0.try_wait().unwrap();
        if ended.is_none() {
            rustix::process::kill_process(pid, Signal::TERM).unwrap();
        }
        ended
    });
    assert_eq!(status.code(), Some(7));
}

/// A signal that comes while it is prepared is for a command that is not there: it does not begin.
#[test]
fn a_signal_before_the_command_keeps_it_from_beginning() {
    let folder = tempfile::TempDir::new().unwrap();
    let mark = folder.path().join("mark");
    let mut run = gramwatt(["run", "--by=itself", "--", "touch"]);
    let run = Started::new(run.arg(&mark).env("TMPDIR", folder.path()));
    // It makes itself a place before it has measured anything.
    until("it prepares", || {
        let made = fs::read_dir(&folder).unwrap().next();
        made.map(|_| ())
    });
    run.signal(Signal::INT);
    let over = run.over();
    assert_eq!(over.code, 130, "{over:?}");
    assert!(!mark.exists() && over.err.is_empty(), "{over:?}");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
}
