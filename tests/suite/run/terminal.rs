//! `gramwatt run` on a terminal: the command has one as without us, and our line goes out of its way.

use super::{Exporter, over, python};
use crate::tools::{root, tool};
use serde_json::{Value as Json, json};
use std::fs;
use std::process::Command;

const PATTERN: &str = r"--progress=(\d+)/(\d+) done";

/// What a terminal was sent, and the exit code.
fn played(steps: &Json, command: &Command) -> (String, i64) {
    let mut driver = Command::new(tool("python3"));
    driver
        .arg("-IS")
        .arg(root().join("tests/suite/run/driver.py"))
        .arg(steps.to_string())
        .arg(command.get_program())
        .args(command.get_args());
    let over = over(&mut driver);
    assert_eq!(over.code, 0, "{}", over.err);
    let told: Json = serde_json::from_slice(&over.out).unwrap();
    let shown = told["shown"].as_str().unwrap().to_owned();
    (shown, told["code"].as_i64().unwrap())
}

/// The lines that are left on a terminal: what was wiped is gone.
fn lines(shown: &str) -> Vec<String> {
    let left = |line: &str| {
        let line = line.strip_suffix('\r').unwrap_or(line);
        let (_, last) = line.rsplit_once("\r\u{1b}[K").unwrap_or(("", line));
        last.to_owned()
    };
    shown.split('\n').map(left).collect()
}

/// What our line looks like.
fn drawn(shown: &str) -> usize {
    shown.matches("\r\u{1b}[K").count()
}

const LOOKS: &str = "
import os, sys
sizes = []
for fd in (1, 2):
    try: sizes.append('%dx%d' % tuple(os.get_terminal_size(fd)))
    except OSError: sizes.append('none')
print('tty', [os.isatty(fd) for fd in (0, 1, 2)], *sizes)
print('second', file=sys.stderr)
";

#[test]
fn the_command_has_a_terminal_of_the_same_size_and_its_lines_are_whole() {
    let exporter = Exporter::start();
    for flags in [&[][..], &["--quiet"], &[PATTERN], &["--quiet", PATTERN]] {
        let (shown, code) = played(&json!([]), &exporter.run(flags, python(LOOKS)));
        assert_eq!(code, 0, "{shown}");
        assert!(!shown.contains("\r\r"), "{flags:?}: {shown:?}");
        let lines = lines(&shown);
        let expected = ["tty [True, True, True] 121x33 121x33", "second"];
        assert_eq!(lines[..2], expected, "{flags:?}: {shown:?}");
        if flags.contains(&"--quiet") {
            assert_eq!(lines[2..], [""], "{shown:?}");
            assert_eq!(drawn(&shown), 0);
        } else {
            assert!(lines[2].starts_with("gramwatt: python3 succeeded after "));
        }
    }
}

/// Where only one of the streams is a terminal, that one is as it was.
#[test]
fn a_stream_that_goes_elsewhere_goes_there() {
    let exporter = Exporter::start();
    let file = exporter.at("elsewhere");
    for (redirect, mine, other) in [
        ("2>", "tty [True, True, False] 121x33 none", "second"),
        ("1>", "second", "tty [True, False, True] none 121x33"),
    ] {
        for flags in [&["--quiet"][..], &["--quiet", PATTERN]] {
            let run = exporter.run(flags, python(LOOKS));
            let mut shell = Command::new("sh");
            let text = format!("exec \"$0\" \"$@\" {redirect}{}", file.display());
            shell
                .args(["-c", &text])
                .arg(run.get_program())
                .args(run.get_args());
            let (shown, code) = played(&json!([]), &shell);
            assert_eq!(
                (shown, code),
                (format!("{mine}\r\n"), 0),
                "{redirect} {flags:?}"
            );
            assert_eq!(fs::read_to_string(&file).unwrap(), format!("{other}\n"));
        }
    }
}

const RESIZES: &str = "
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGWINCH})
print('ready', flush=True)
while tuple(os.get_terminal_size(1)) != (100, 40):
    signal.sigwait({signal.SIGWINCH})
print('%dx%d' % tuple(os.get_terminal_size(2)), flush=True)
";

#[test]
fn a_resize_reaches_the_command() {
    let exporter = Exporter::start();
    let steps = json!([
        ["expect", "ready"],
        ["resize", [40, 100]],
        ["expect", "100x40"]
    ]);
    for flags in [&["--quiet"][..], &[PATTERN]] {
        let (shown, code) = played(&steps, &exporter.run(flags, python(RESIZES)));
        assert_eq!(code, 0, "{shown}");
    }
}

/// Says a line whenever one is typed, the last in two pieces.
const TALKS: &str = "
import sys
print('one', flush=True)
input()
print('two 1/2 done', flush=True)
input()
sys.stdout.write('three ')
sys.stdout.flush()
input()
print('is whole')
";

#[test]
fn our_line_is_drawn_and_wiped_and_the_commands_lines_stay_whole() {
    let exporter = Exporter::start();
    let line = "\r\u{1b}[K";
    let steps = json!([
        ["expect", "one\r\n"],
        ["expect", line],
        ["expect", "W  "],
        ["type", "\n"],
        ["expect", "two 1/2 done\r\n"],
        ["expect", line],
        ["expect", "1/2 (50 %)"],
        ["type", "\n"],
        ["expect", "three "],
        ["type", "\n"],
        ["expect", "is whole\r\n"],
    ]);
    let run = exporter.run(&[PATTERN], python(TALKS));
    let (shown, code) = played(&steps, &run);
    assert_eq!(code, 0, "{shown}");
    assert!(!shown.contains("\r\r\n"), "{shown:?}");
    let lines = lines(&shown);
    assert_eq!(
        lines[..3],
        ["one", "two 1/2 done", "three is whole"],
        "{shown:?}"
    );
    assert!(
        lines[3].starts_with("gramwatt: python3 succeeded"),
        "{shown:?}"
    );
    // In 120 columns, so that it is one line.
    let longest = shown.split("\r\u{1b}[K").skip(1).map(|line| {
        let end = line.find(['\r', '\n']).unwrap_or(line.len());
        line[..end].chars().count()
    });
    assert!(longest.max().unwrap() <= 120, "{shown:?}");
}

/// Hears Ctrl-C, lets its parent pass a signal on, and looks whether there was a second Ctrl-C before that.
const ONCE: &str = "
import os, signal
every = {signal.SIGINT, signal.SIGUSR1}
signal.pthread_sigmask(signal.SIG_BLOCK, every)
print('ready', flush=True)
assert signal.sigwait({signal.SIGINT})
os.kill(os.getppid(), signal.SIGUSR1)
signal.sigwait({signal.SIGUSR1})
print('again' if signal.SIGINT in signal.sigpending() else 'once', flush=True)
os._exit(130)
";

#[test]
fn a_terminals_interrupt_reaches_the_command_once() {
    let exporter = Exporter::start();
    let steps = json!([["expect", "ready"], ["type", "\u{3}"]]);
    for flags in [&["--quiet"][..], &["--quiet", PATTERN]] {
        let (shown, code) = played(&steps, &exporter.run(flags, python(ONCE)));
        assert_eq!(
            (shown.as_str(), code),
            ("ready\r\nonce\r\n", 130),
            "{flags:?}"
        );
    }
    // One that does nothing about it ends, and we with it.
    let idle = "import signal\nsignal.signal(2, signal.SIG_DFL)\nprint('ready', flush=True)\nwhile True: signal.pause()";
    let (shown, code) = played(&steps, &exporter.run(&[], python(idle)));
    assert_eq!(code, 130);
    assert!(
        shown.contains("gramwatt: python3 was ended by signal 2 after "),
        "{shown}"
    );
}

const STOPS: &str = "
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCONT})
print('ready', flush=True)
signal.sigwait({signal.SIGCONT})
print('went on', flush=True)
raise SystemExit(5)
";

#[test]
fn a_shell_stops_it_and_lets_it_go_on() {
    let exporter = Exporter::start();
    let run = exporter.run(&["--quiet", PATTERN], python(STOPS));
    let words = run
        .get_args()
        .map(|word| word.to_string_lossy().replace('\'', "'\\''"));
    let words: Vec<String> = words.map(|word| format!("'{word}'")).collect();
    let script = exporter.at("script");
    let text = format!(
        "exec '{}' {}\n",
        run.get_program().to_string_lossy(),
        words.join(" ")
    );
    fs::write(&script, text).unwrap();
    let mut shell = Command::new("bash");
    shell.args(["--norc", "--noprofile", "-i"]);
    let steps = json!([
        ["type", format!("sh {}\n", script.display())],
        ["expect", "ready"],
        ["type", "\u{1a}"],
        ["expect", "Stopped"],
        ["type", "fg\n"],
        ["expect", "went on\r\n"],
        ["type", "echo code=$?\n"],
        ["expect", "code=5"],
        ["type", "exit 0\n"],
    ]);
    let (shown, code) = played(&steps, &shell);
    assert_eq!(code, 0, "{shown}");
}

const NAMES: &str = "
import os
for name in ('self/fd/1', 'self/fd/2', f'{os.getppid()}/fd/1'): print(os.readlink(f'/proc/{name}'))
";

#[test]
fn quiet_and_without_a_pattern_nothing_stands_between() {
    let exporter = Exporter::start();
    let (shown, code) = played(&json!([]), &exporter.run(&["--quiet"], python(NAMES)));
    let names: Vec<&str> = shown.lines().collect();
    assert_eq!((code, names.len()), (0, 3), "{shown}");
    assert!(names[0].starts_with("/dev/pts/"), "{shown}");
    assert!(names.iter().all(|name| *name == names[0]), "{shown}");
}
