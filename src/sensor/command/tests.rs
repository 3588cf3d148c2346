use super::*;
use crate::clock::{self, Moment};
use crate::ledger::{Event, Ledger, Method, Reader};
use crate::sensor::{Fault, Kind, Part, Presence, Reading, Roots, Sensor, Value};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

/// A program of the test's, and where it can leave files.
struct Rig {
    folder: tempfile::TempDir,
    sensor: Box<dyn Sensor>,
}

fn roots() -> Roots {
    Roots {
        sys: "/nowhere".into(),
        proc: "/nowhere".into(),
        node: "node7".into(),
    }
}

fn config(yaml: &str) -> Result<Config, String> {
    let whole = format!("sensors: {{command: {yaml}}}\n");
    crate::config::Config::parse(&whole).map(|config| config.sensors.command)
}

fn discover_one(yaml: &str) -> (Box<dyn Sensor>, crate::sensor::Finding) {
    let mut found = discover(&roots(), &config(yaml).unwrap());
    assert_eq!((found.sensors.len(), found.findings.len()), (1, 1));
    (found.sensors.remove(0), found.findings.remove(0))
}

impl Rig {
    /// A shell script, given to the shell as a file: a file that another thread's child has open for
    /// writing, as all in a test have for a moment, cannot be run.
    fn new(script: &str, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("script"), script).unwrap();
        let yaml = format!(
            "[{{name: test, program: /bin/sh, arguments: [{0}/script, {0}]{more}}}]",
            folder.path().display()
        );
        let (sensor, finding) = discover_one(&yaml);
        assert_eq!(finding.state, Presence::Unasked);
        Self { folder, sensor }
    }

    fn read(&mut self) -> Readings {
        self.sensor.read()
    }

    /// The only fault there is.
    fn fault(&mut self) -> Fault {
        let mut readings = self.read();
        assert!(readings.good.is_empty(), "{:?}", readings.good);
        assert_eq!(readings.bad.len(), 1, "{:?}", readings.bad);
        let fault = readings.bad.remove(0);
        assert!(!fault.mend.is_empty());
        fault
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// The processes whose numbers the script has left in a file.
    fn processes(&self, file: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path(file)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

/// Whether a process runs. One that has died and that its new parent has not yet noticed does not.
fn runs(process: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

fn is_there(process: &str) -> bool {
    Path::new("/proc").join(process).exists()
}

/// What a page could be made of.
fn told(readings: &Readings) -> Vec<String> {
    let one = |reading: &Reading| format!("{} {}", reading.source.part, reading.value);
    readings.good.iter().map(one).collect()
}

fn read(printed: impl AsRef<[u8]>) -> Readings {
    output::read(printed.as_ref(), Unit::Watts, Watts(3000.0), "/bin/tool")
}

#[test]
fn watts_are_told_a_device_a_line() {
    let script = "echo '# Gaudi'\necho\necho 'gaudi-0,gpu,312.5'\nprintf 'gaudi-1 , GPU , 299 W\\r\\n'\n\
                  printf 'sram-0,dram,0'";
    let readings = Rig::new(script, "").read();
    assert!(readings.bad.is_empty(), "{:?}", readings.bad);
    let [first, _, memory] = &readings.good[..] else {
        panic!("{:?}", readings.good);
    };
    assert_eq!(first.source.part.kind(), Some(Kind::Gpu));
    assert_eq!(first.source.about.driver, "sh");
    assert_eq!(first.source.ceiling, Watts(3000.0));
    assert_eq!((first.utilization, first.power_limit), (None, None));
    assert_eq!(memory.source.part.kind(), Some(Kind::Dram));
    assert_eq!(told(&readings), ["gaudi-0 draws 312.5 W", "gaudi-1 draws 299.0 W", "sram-0 draws 0.0 W"]);
}

#[test]
fn joules_are_a_counter() {
    let readings = Rig::new("echo 'tpu-0,gpu,81403.125001'", ", unit: joules").read();
    let counter = |raw| Value::Counter {
        raw,
        unit: 1e-6,
        wraps_at: None,
    };
    assert_eq!(readings.good[0].value, counter(81_403_125_001));
    let largest = read("device,kind,joules\na,gpu,1e13\nb,gpu,1.0001e13\n");
    assert_eq!(largest.good[0].value, counter(10_000_000_000_000_000_000));
    assert_eq!((largest.good.len(), largest.bad.len()), (1, 1));
}

#[test]
fn it_is_run_alone_and_with_little() {
    let script = "env | sort > $1/env; cat > $1/stdin; pwd > $1/pwd; \
                  echo $$ > $1/pid; printf '%s\\n' \"$@\" > $1/arguments; echo a,gpu,1";
    let mut rig = Rig::new(script, ", environment: {LD_LIBRARY_PATH: /opt/lib, WHO: 'on {node}'}");
    let readings = rig.read();
    assert_eq!(told(&readings), ["a draws 1.0 W"], "{:?}", readings.bad);
    let text = |file| fs::read_to_string(rig.path(file)).unwrap();
    let env = text("env");
    let names: Vec<&str> = env.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    // The shell adds its own.
    let given: Vec<&str> =
        names.iter().copied().filter(|name| !["OLDPWD", "PWD", "SHLVL", "_"].contains(name)).collect();
    assert_eq!(given, ["LANG", "LD_LIBRARY_PATH", "PATH", "WHO"]);
    assert!(env.contains("WHO=on node7\n") && env.contains("LANG=C\n"));
    assert_eq!((text("stdin").as_str(), text("pwd").as_str()), ("", "/\n"));
    assert!(!is_there(text("pid").trim()), "a zombie is left");
}

#[test]
fn arguments_are_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("s"), "for a; do echo \"$a\"; done >&2; exit 1").unwrap();
    let yaml = format!(
        "[{{name: t, program: /bin/sh, arguments: [{}/s, '$HOME; rm -rf *', 'two  words', 'of {{node}}', '']}}]",
        folder.path().display()
    );
    let (mut sensor, finding) = discover_one(&yaml);
    assert_eq!(finding.detail, "/bin/sh", "arguments may be anything");
    let readings = sensor.read();
    let told = readings.bad[0].to_string();
    assert_eq!(told, "/bin/sh: ended with exit code 1: $HOME; rm -rf * two words of node7");
}

#[test]
fn what_a_failed_run_has_printed_is_not_booked() {
    let mut rig = Rig::new("echo a,gpu,1\nprintf 'no\\033[31m driver\\n\\n' >&2\nexit 3", "");
    let fault = rig.fault();
    assert_eq!(fault.to_string(), "/bin/sh: ended with exit code 3: no [31m driver");
    assert_eq!(fault.reason(), "device");
    let mut rig = Rig::new("echo a,gpu,1\nkill -SEGV $$", "");
    assert!(rig.fault().to_string().contains("was ended by signal 11"));
    // The end of what it said is what says why.
    let mut rig = Rig::new("yes 'all is well' | head -c 1000000 >&2; echo 'but not this' >&2; exit 1", "");
    let told = rig.fault().to_string();
    assert!(told.contains("code 1: …") && told.ends_with(" but not this") && told.len() < 300, "{told}");
}

#[test]
fn what_it_says_besides_is_no_matter_where_it_ends_well() {
    let mut rig = Rig::new("yes warning | head -c 1000000 >&2; echo a,gpu,1", "");
    assert_eq!(told(&rig.read()), ["a draws 1.0 W"]);
}

#[test]
fn one_that_prints_too_much_is_killed() {
    let mut rig = Rig::new("echo $$ > $1/pid; echo a,gpu,1; yes b,gpu,2 | head -c 100000000; touch $1/end", "");
    let fault = rig.fault();
    assert!(fault.to_string().contains("printed more than 64 KiB and was killed"), "{fault}");
    assert!(!rig.path("end").exists());
    assert!(!is_there(&rig.processes("pid")[0]));
}

#[test]
fn one_that_never_ends_is_killed_with_all_that_it_started() {
    let script = "sh -c 'echo $$ >> $0/pids; while :; do sleep 1000; done' $1 &\n\
                  echo $$ >> $1/pids; echo a,gpu,1; while :; do sleep 1000; done";
    let mut rig = Rig::new(script, ", interval: 2s, timeout: 300ms");
    // On a crowded machine the first may be killed before it has come so far.
    while rig.processes("pids").len() < 2 {
        let before = Instant::now();
        let fault = rig.fault();
        assert_eq!(fault.reason(), "timeout", "{fault}");
        assert!(fault.to_string().contains("did not end within 300ms"), "{fault}");
        assert!(before.elapsed() >= Duration::from_millis(300));
    }
    let processes = rig.processes("pids");
    let end = Instant::now() + Duration::from_secs(20);
    while processes.iter().any(|process| runs(process)) {
        assert!(Instant::now() < end, "{processes:?} run on");
        std::thread::yield_now();
    }
}

#[test]
fn one_that_closes_its_output_and_lingers_is_killed() {
    let mut rig = Rig::new("echo $$ > $1/pid; echo a,gpu,1; exec >&- 2>&-; sleep 1000", ", timeout: 500ms");
    assert_eq!(rig.fault().reason(), "timeout");
    for process in rig.processes("pid") {
        assert!(!is_there(&process));
    }
}

#[test]
fn what_it_leaves_behind_is_not_waited_for() {
    // One in its group, and one that has left it: both keep the pipe open.
    let script = "sleep 1000 &\necho $! > $1/pids\nsetsid sleep 1000 &\necho $! >> $1/pids\necho a,gpu,1";
    let mut rig = Rig::new(script, ", interval: 10m, timeout: 9m");
    let before = Instant::now();
    assert_eq!(told(&rig.read()), ["a draws 1.0 W"]);
    assert!(before.elapsed() < Duration::from_secs(60));
    let processes = rig.processes("pids");
    let end = Instant::now() + Duration::from_secs(20);
    while runs(&processes[0]) {
        assert!(Instant::now() < end, "{processes:?} run on");
        std::thread::yield_now();
    }
    let escaped = processes[1].parse().ok().and_then(rustix::process::Pid::from_raw).unwrap();
    let _ = rustix::process::kill_process(escaped, rustix::process::Signal::KILL);
}

#[test]
fn one_that_cannot_be_killed_is_not_started_again() {
    let order = Order {
        program: "/bin/sh".into(),
        arguments: vec!["-c".into(), "echo a,gpu,1".into()],
        environment: Vec::new(),
    };
    let mut run = Run::new(order, Duration::from_secs(5));
    // Not of a group of its own, so that the killing of that group does not reach it.
    let mut child = std::process::Command::new("/bin/cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let hold = child.stdin.take();
    run.hang(child);
    for _ in 0..3 {
        let fault = run.once().unwrap_err();
        assert_eq!(fault.reason(), "timeout");
        assert!(fault.to_string().contains("has not died"), "{fault}");
    }
    drop(hold);
    let end = Instant::now() + Duration::from_secs(20);
    let printed = loop {
        match run.once() {
            Ok(printed) => break printed,
            Err(fault) => assert!(Instant::now() < end, "{fault}"),
        }
    };
    assert_eq!(printed, b"a,gpu,1\n");
}

#[test]
fn what_cannot_be_started_says_why_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("tool");
    let yaml = format!("[{{name: t, program: {}}}]", program.display());
    let (mut sensor, finding) = discover_one(&yaml);
    assert_eq!((finding.subject.as_str(), finding.state), ("command-t", Presence::Unreadable));
    assert!(finding.mend.contains("install it at"), "{}", finding.mend);
    let readings = sensor.read();
    assert_eq!(readings.bad[0].reason(), "vanished");
    assert_eq!(readings.bad[0].place, program.display().to_string());
    assert!(readings.bad[0].mend.contains("install it at"));

    fs::write(&program, "#!/bin/sh\necho a,gpu,1\n").unwrap();
    let (_, finding) = discover_one(&yaml);
    assert_eq!(finding.state, Presence::Unreadable);
    let fault = &sensor.read().bad[0];
    assert_eq!(fault.reason(), "permission");
    assert!(fault.mend.contains("chmod +x"), "{}", fault.mend);

    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let (_, finding) = discover_one(&yaml);
    assert_eq!(finding.state, Presence::Unasked, "{finding:?}");
    // Another test's child may hold the file open for a moment, see `Rig::new`.
    let end = Instant::now() + Duration::from_secs(20);
    let readings = loop {
        let readings = sensor.read();
        if readings.bad.is_empty() || Instant::now() > end {
            break readings;
        }
    };
    assert_eq!(told(&readings), ["a draws 1.0 W"], "{:?}", readings.bad);

    let (mut sensor, finding) = discover_one("[{name: t, program: /tmp}]");
    assert_eq!(finding.state, Presence::Unreadable);
    assert_eq!(sensor.read().bad[0].reason(), "permission");
}

#[test]
fn a_configuration_that_cannot_work_is_refused_in_words() {
    for (yaml, words) in [
        ("[{name: a, program: tool}]", "give the whole path, such as /usr/local/bin/a"),
        ("[{name: a, program: ./tool}]", "give the whole path"),
        ("[{name: a, program: ''}]", "give the whole path"),
        ("[{name: '', program: /t}]", "is no name"),
        ("[{name: Gaudi, program: /t}]", "small letters"),
        ("[{name: a b, program: /t}]", "small letters"),
        (&format!("[{{name: {}, program: /t}}]", "a".repeat(33)), "is no name"),
        ("[{name: a, program: /t}, {name: b, program: /t}, {name: a, program: /u}]", "two programs are named a"),
        ("[{program: /t}]", "name"),
        ("[{name: a}]", "program"),
        ("[{name: a, program: /t, arg: [x]}]", "arg"),
        ("[{name: a, program: /t, unit: watt}]", "watt"),
        ("[{name: a, program: /t, interval: 500ms}]", "1s to 10m"),
        ("[{name: a, program: /t, interval: 11m}]", "1s to 10m"),
        ("[{name: a, program: /t, interval: often}]", "1s to 10m"),
        ("[{name: a, program: /t, timeout: 10s}]", "must be less than interval 10s"),
        ("[{name: a, program: /t, interval: 1s, timeout: 5s}]", "timeout 5s must be less than interval 1s"),
        ("[{name: a, program: /t, timeout: 0s}]", "100ms and more"),
        ("[{name: a, program: /t, ceiling_watts: 0}]", "ceiling"),
        ("[{name: a, program: /t, ceiling_watts: .nan}]", "ceiling"),
        ("[{name: a, program: /t, ceiling_watts: .inf}]", "ceiling"),
        ("[{name: a, program: /t, arguments: [\"a\\0b\"]}]", "NUL"),
        ("[{name: a, program: \"/t\\0\"}]", "NUL"),
        ("[{name: a, program: /t, environment: {'A=B': c}}]", "no name of a variable"),
        ("[{name: a, program: /t, environment: {A: \"\\0\"}}]", "NUL"),
        ("{name: a, program: /t}", "list"),
    ] {
        let told = config(yaml).unwrap_err();
        assert!(told.contains(words), "{yaml}: {told}");
        assert!(!told.contains("Entry"), "{yaml}: {told}");
    }
}

#[test]
fn what_is_not_written_is_as_documented() {
    let list = config("[{name: a, program: /t}, {name: b, program: /t, interval: 4s}]").unwrap();
    let [first, second] = &list.0[..] else {
        panic!("{list:?}");
    };
    assert_eq!((first.interval(), first.timeout()), (Duration::from_secs(10), Duration::from_secs(5)));
    assert_eq!((first.unit(), first.ceiling()), (Unit::Watts, Watts(3000.0)));
    assert_eq!(second.timeout(), Duration::from_secs(2));
    let (sensor, _) = discover_one("[{name: a, program: /bin/sh, interval: 1m}]");
    assert_eq!(sensor.name(), "command-a");
    assert_eq!(sensor.pace(Duration::from_secs(1)), Duration::from_secs(60));
    assert!(config("[]").unwrap().0.is_empty());
    assert!(discover(&roots(), &Config::default()).sensors.is_empty());
}

fn reader(name: &str, rank: usize) -> Reader {
    Reader {
        name: name.into(),
        rank,
        patience: Duration::from_secs(30),
    }
}

/// Books what a program printed at seconds after the start.
fn book(ledger: &mut Ledger, printed: &str, start: Moment, second: u64) -> Vec<Event> {
    let at = start.later(Duration::from_secs(second));
    let readings = read(printed);
    let booked = readings.good.iter().map(|reading| ledger.record(&reader("command-t", 3), reading, at).1);
    booked.collect()
}

#[test]
fn a_device_that_another_family_reads_is_left_to_it() {
    let start = clock::now();
    let mut ledger = Ledger::default();
    let package = &read("package-0,cpu,100").good[0];
    ledger.record(&reader("rapl", 0), package, start);
    // By the same name, as one of its dies, and for something else than it is.
    let printed = "package-0,cpu,50\npackage-1,cpu,40\n";
    assert_eq!(book(&mut ledger, printed, start, 1), [Event::Ignored, Event::Booked]);
    assert_eq!(book(&mut ledger, "package-0,gpu,50\n", start, 2), [Event::Ignored]);
    assert_eq!(book(&mut ledger, "package-0-die-1,cpu,50\n", start, 3), [Event::Ignored]);
    assert_eq!(ledger.devices().count(), 2);
}

#[test]
fn both_units_come_to_the_same_joules_and_a_counter_may_restart() {
    let start = clock::now();
    let device = |id: &str| Part::Device {
        id: id.into(),
        kind: Kind::Gpu,
    };
    let mut ledger = Ledger::default();
    for second in 0..=60 {
        book(&mut ledger, "device,kind,watts\na,gpu,312.5\n", start, second);
        // The tool's counter starts anew after half the time, and is seen a second later.
        let joules = if second < 30 { 1e6 + 312.5 * second as f64 } else { 312.5 * (second - 30) as f64 };
        book(&mut ledger, &format!("device,kind,joules\nb,gpu,{joules}\n"), start, second);
    }
    let (a, b) = (ledger.account(&device("a")).unwrap(), ledger.account(&device("b")).unwrap());
    assert_eq!((a.method, b.method), (Method::Integrated, Method::Counter));
    assert!((a.joules.0 - 312.5 * 60.0).abs() < 1e-6, "{}", a.joules.0);
    // What was used while it restarted nobody knows.
    assert!((b.joules.0 - 312.5 * 59.0).abs() < 1e-6, "{}", b.joules.0);
}
