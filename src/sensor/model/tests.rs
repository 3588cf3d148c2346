use super::*;
use crate::ledger::{Event, Ledger, Reader};
use crate::sensor::{Kind, Part, Reading, Value};
use crate::units::Watts;
use std::fs;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// A fixture machine whose files a test writes.
struct Fixture {
    dir: TempDir,
    config: Config,
}

const VM: &str = "processor: 0\nvendor_id: AuthenticAMD\nmodel name: AMD EPYC\nphysical id: 0\n\
                  flags: fpu hypervisor\n\nprocessor: 1\nphysical id: 0\n";
const TWO_SOCKETS: &str = "processor: 0\nvendor_id: GenuineIntel\nmodel name: Unheard-of\n\
                           physical id: 0\nprocessor: 1\nphysical id: 1\n\
                           processor: 2\nphysical id: 0\nprocessor: 3\nphysical id: 1\n";

impl Fixture {
    fn new(cpuinfo: &str) -> Self {
        let fixture = Self {
            dir: tempfile::tempdir().unwrap(),
            config: Config::default(),
        };
        fixture.write("proc/cpuinfo", cpuinfo);
        fixture.write("proc/meminfo", "MemTotal: 8388608 kB\n");
        fixture
    }
    fn write(&self, path: &str, text: &str) {
        let path = self.dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    /// Writes `/proc/stat` with a user, an idle and a steal time for each CPU number.
    fn stat(&self, cpus: &[(u32, u64, u64, u64)]) {
        let line = |(n, user, idle, steal): &(u32, u64, u64, u64)| {
            format!("cpu{n} {user} 0 0 {idle} 0 0 0 {steal} 0 0\n")
        };
        let lines: String = cpus.iter().map(line).collect();
        self.write("proc/stat", &format!("cpu  1 2 3 4\n{lines}intr 1 2 3\n"));
    }
    fn discover(&self) -> (Box<dyn Sensor>, Vec<Finding>) {
        let roots = Roots {
            sys: self.dir.path().join("sys"),
            proc: self.dir.path().join("proc"),
            node: "".into(),
        };
        let mut found = discover(&roots, &self.config);
        (found.sensors.pop().unwrap(), found.findings)
    }
}

fn watts(readings: &[Reading]) -> Vec<(String, f64)> {
    readings
        .iter()
        .map(|r| match r.value {
            Value::Modelled(watts) => (r.source.part.to_string(), watts.0),
            ref other => panic!("{other:?} is not modelled"),
        })
        .collect()
}

fn check(sensor: &mut dyn Sensor, expected: &[(&str, f64)]) {
    let readings = sensor.read();
    assert!(readings.bad.is_empty(), "{:?}", readings.bad);
    let got = watts(&readings.good);
    let names = |of: &[(String, f64)]| of.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>();
    let expected: Vec<_> = expected.iter().map(|(i, w)| ((*i).to_owned(), *w)).collect();
    assert_eq!(names(&got), names(&expected));
    for ((id, got), (_, expected)) in got.iter().zip(&expected) {
        assert!((got - expected).abs() < 1e-3, "{id}: {got}, not {expected}");
    }
}

#[test]
fn a_virtual_machine_owns_its_cpus_alone() {
    let fixture = Fixture::new(VM);
    fixture.stat(&[(0, 0, 0, 0), (1, 0, 0, 0)]);
    let (mut sensor, findings) = fixture.discover();
    assert!(findings[0].detail.starts_with("would be modelled if no sensor reads it: "));
    assert!(findings[0].detail.contains("virtual machine, AMD EPYC"));
    assert!(findings[0].detail.contains("7 W rated"), "{}", findings[0].detail);
    assert!(findings[0].mend.starts_with("for a better model set sensors.model.cpu_watts"));
    assert!(findings[1].detail.contains("8.0 GiB x 0.392 W/GiB"));
    check(&mut *sensor, &[]);
    // Idle: 2 x 0.74 W. Memory: 8 x 0.392 W.
    fixture.stat(&[(0, 0, 100, 0), (1, 0, 100, 0)]);
    check(&mut *sensor, &[("package-0", 1.48), ("dram-0", 3.136)]);
    // Full load: 2 x 3.5 W.
    fixture.stat(&[(0, 100, 100, 0), (1, 100, 100, 0)]);
    check(&mut *sensor, &[("package-0", 7.0), ("dram-0", 3.136)]);
    // Half of the time, half of it stolen: 1.48 + 5.52 x (0.5 - 0.25^1.4).
    fixture.stat(&[(0, 125, 125, 50), (1, 125, 125, 50)]);
    check(&mut *sensor, &[("package-0", 3.447_396), ("dram-0", 3.136)]);
}

#[test]
fn each_package_has_its_own_load_and_half_the_memory() {
    let mut fixture = Fixture::new(TWO_SOCKETS);
    fixture.config.cpu_watts = Some(200.0);
    fixture.config.dram_watts_per_gib = Some(0.5);
    fixture.stat(&[(0, 0, 0, 0), (1, 0, 0, 0), (2, 0, 0, 0), (3, 0, 0, 0)]);
    let (mut sensor, findings) = fixture.discover();
    assert!(findings[0].detail.contains("200 W rated (sensors.model.cpu_watts)"));
    assert_eq!(findings[0].mend, "");
    check(&mut *sensor, &[]);
    fixture.stat(&[(0, 50, 50, 0), (1, 0, 99, 0), (2, 50, 50, 0), (3, 0, 99, 0)]);
    let readings = sensor.read();
    let expected = [
        ("package-0", 140.237_461),
        ("package-1", 42.285_714),
        ("dram-0", 2.0),
        ("dram-1", 2.0),
    ];
    for ((id, got), (name, watts)) in watts(&readings.good).iter().zip(expected) {
        assert_eq!(id, name);
        assert!((got - watts).abs() < 1e-3, "{id}: {got}");
    }
    let first = &readings.good[0];
    assert_eq!(first.utilization, Some(0.5));
    assert_eq!(first.source.about.vendor, "Intel");
    assert_eq!(first.source.about.model, "Unheard-of");
    assert_eq!(first.source.about.driver, "model");
    assert_eq!(first.source.ceiling, Watts(600.0));
    let dram = &readings.good[2].source.part;
    assert!(matches!(dram, Part::Device { kind: Kind::Dram, .. }));
}

#[test]
fn a_known_model_has_the_tables_rating() {
    let model = "processor: 0\nmodel name: AMD EPYC 7763 64-Core Processor\nphysical id: 0\n";
    let fixture = Fixture::new(model);
    fixture.stat(&[(0, 0, 0, 0)]);
    let (mut sensor, findings) = fixture.discover();
    assert!(findings[0].detail.contains("280 W rated (table row"), "{}", findings[0].detail);
    assert_eq!(findings[0].mend, "");
    check(&mut *sensor, &[]);
    fixture.stat(&[(0, 100, 0, 0)]);
    check(&mut *sensor, &[("package-0", 280.0), ("dram-0", 3.136)]);
    // One CPU of such a package, in a virtual machine.
    fixture.write("proc/cpuinfo", &format!("{model}flags: hypervisor\n"));
    let (_, findings) = fixture.discover();
    assert!(findings[0].detail.contains("3.5 W rated (3.5 W a logical CPU"));
    assert!(findings[0].detail.contains("table row"), "{}", findings[0].detail);
}

#[test]
fn a_file_that_was_replaced_is_opened_anew() {
    let fixture = Fixture::new(VM);
    fixture.stat(&[(0, 0, 0, 0)]);
    let (mut sensor, _) = fixture.discover();
    check(&mut *sensor, &[]);
    fs::remove_file(fixture.dir.path().join("proc/stat")).unwrap();
    fixture.stat(&[(0, 0, 100, 0)]);
    check(&mut *sensor, &[("package-0", 0.74), ("dram-0", 3.136)]);
}

#[test]
fn arm_sockets_come_from_sysfs() {
    let fixture = Fixture::new("processor: 0\nCPU implementer: 0x41\nCPU part: 0xd0c\n");
    for (cpu, package) in [(0, 36), (1, 3180)] {
        let path = format!("sys/devices/system/cpu/cpu{cpu}/topology/physical_package_id");
        fixture.write(&path, &format!("{package}\n"));
    }
    fixture.stat(&[(0, 0, 0, 0), (1, 0, 0, 0)]);
    let (mut sensor, findings) = fixture.discover();
    assert!(findings[0].detail.contains("bare metal, part 0xd0c"));
    check(&mut *sensor, &[]);
    fixture.stat(&[(0, 100, 0, 0), (1, 0, 100, 0)]);
    let expected = [
        ("package-0", 3.5),
        ("package-1", 0.74),
        ("dram-0", 1.568),
        ("dram-1", 1.568),
    ];
    check(&mut *sensor, &expected);
}

#[test]
fn a_xen_guest_is_virtual() {
    let fixture = Fixture::new("processor: 0\n");
    fixture.write("sys/hypervisor/type", "xen\n");
    fixture.stat(&[(0, 0, 0, 0)]);
    assert!(fixture.discover().1[0].detail.contains("virtual machine"));
}

/// A package that RAPL reads die by die is not booked again as modelled; its memory, which RAPL does
/// not read here, is.
#[test]
fn the_model_gives_way_to_the_dies_of_its_package() {
    let fixture = Fixture::new(VM);
    fixture.stat(&[(0, 0, 0, 0)]);
    let (mut sensor, _) = fixture.discover();
    sensor.read();
    fixture.stat(&[(0, 100, 0, 0)]);
    let modelled = sensor.read().good;
    let reader = |name: &str, rank| Reader {
        name: name.into(),
        rank,
        patience: Duration::from_secs(3),
    };
    let die = |id: &str| {
        let mut source = (*modelled[0].source).clone();
        source.part = Part::Device {
            id: id.into(),
            kind: Kind::Cpu,
        };
        Reading::new(&Arc::new(source), Value::Power(Watts(3.0)))
    };
    let now = crate::clock::now();
    // A stranger's package must not be taken for a die.
    for other in ["package-00-die-1", "package-1-die-0", "package-0"] {
        let mut ledger = Ledger::default();
        ledger.record(&reader("rapl", 0), &die(other), now);
        let (_, event) = ledger.record(&reader("model", 2), &modelled[0], now);
        assert_eq!(event == Event::Ignored, other == "package-0", "{other}");
    }
    let mut ledger = Ledger::default();
    ledger.record(&reader("rapl", 0), &die("package-0-die-1"), now);
    let mut events = modelled
        .iter()
        .map(|reading| ledger.record(&reader("model", 2), reading, now).1);
    assert_eq!(events.next(), Some(Event::Ignored));
    assert_eq!(events.next(), Some(Event::Booked));
    // RAPL that comes late silences the model too.
    let mut ledger = Ledger::default();
    let model = reader("model", 2);
    assert_eq!(ledger.record(&model, &modelled[0], now).1, Event::Booked);
    let later = now.later(Duration::from_secs(1));
    ledger.record(&reader("rapl", 0), &die("package-0-die-0"), later);
    let (entry, event) = ledger.record(&model, &modelled[0], later);
    assert_eq!((entry, event), (None, Event::Ignored));
}

#[test]
fn no_time_passed_is_unknown_and_not_idle() {
    let fixture = Fixture::new(VM);
    fixture.stat(&[(0, 5, 5, 0), (1, 5, 5, 0)]);
    let (mut sensor, _) = fixture.discover();
    check(&mut *sensor, &[]);
    check(&mut *sensor, &[("dram-0", 3.136)]);
}

#[test]
fn a_cpu_whose_ticks_step_back_costs_itself_alone() {
    let fixture = Fixture::new(VM);
    fixture.stat(&[(0, 500, 500, 0), (1, 500, 500, 0)]);
    let (mut sensor, _) = fixture.discover();
    check(&mut *sensor, &[]);
    fixture.stat(&[(0, 3, 3, 0), (1, 600, 500, 0)]);
    check(&mut *sensor, &[("package-0", 7.0), ("dram-0", 3.136)]);
    fixture.stat(&[(0, 3, 103, 0), (1, 600, 600, 0)]);
    check(&mut *sensor, &[("package-0", 1.48), ("dram-0", 3.136)]);
}

#[test]
fn cpus_come_and_go() {
    let fixture = Fixture::new(VM);
    fixture.stat(&[(0, 0, 0, 0), (1, 0, 0, 0)]);
    let (mut sensor, _) = fixture.discover();
    check(&mut *sensor, &[]);
    fixture.stat(&[(0, 100, 0, 0)]);
    check(&mut *sensor, &[("package-0", 3.5), ("dram-0", 3.136)]);
    fixture.stat(&[(0, 200, 0, 0), (1, 0, 9, 0), (2, 9, 0, 0)]);
    check(&mut *sensor, &[("package-0", 10.5), ("dram-0", 3.136)]);
}

#[test]
fn memory_that_grows_is_seen() {
    let fixture = Fixture::new(VM);
    fixture.stat(&[(0, 0, 0, 0)]);
    let (mut sensor, _) = fixture.discover();
    check(&mut *sensor, &[]);
    fixture.stat(&[(0, 0, 100, 0)]);
    fixture.write("proc/meminfo", "MemTotal: 16777216 kB\n");
    check(&mut *sensor, &[("package-0", 0.74), ("dram-0", 6.272)]);
}

#[test]
fn a_file_that_cannot_be_read_costs_its_own_part() {
    let fixture = Fixture::new(VM);
    fixture.stat(&[(0, 0, 0, 0)]);
    let (mut sensor, _) = fixture.discover();
    check(&mut *sensor, &[]);
    fixture.write("proc/stat", "\0\u{1}binary");
    let readings = sensor.read();
    assert_eq!(watts(&readings.good), vec![("dram-0".into(), 3.136)]);
    assert_eq!(readings.bad[0].reason(), "parse");
    fixture.write("proc/meminfo", "");
    fixture.stat(&[(0, 0, 100, 0)]);
    let readings = sensor.read();
    assert_eq!(watts(&readings.good), vec![("package-0".into(), 0.74)]);
    assert!(readings.bad[0].place.ends_with("meminfo"));
    fixture.write("proc/meminfo", "MemTotal: 8388608 kB\n");
    fixture.stat(&[(0, 100, 100, 0)]);
    check(&mut *sensor, &[("package-0", 3.5), ("dram-0", 3.136)]);
}

#[test]
fn no_proc_is_a_fault_with_a_mend() {
    let fixture = Fixture::new(VM);
    fs::remove_dir_all(fixture.dir.path().join("proc")).unwrap();
    let (mut sensor, findings) = fixture.discover();
    assert_eq!(findings.len(), 2);
    for finding in &findings {
        assert_eq!(finding.state, Presence::Unreadable);
        assert!(finding.mend.contains("--path.procfs"));
    }
    let readings = sensor.read();
    assert!(readings.good.is_empty());
    let stat = &readings.bad[1];
    assert!(stat.place.ends_with("proc/stat"));
    assert_eq!(stat.reason(), "vanished");
    // It mends itself when the mount comes.
    fixture.write("proc/meminfo", "MemTotal: 8388608 kB\n");
    fixture.stat(&[(0, 0, 0, 0)]);
    check(&mut *sensor, &[("dram-0", 3.136)]);
    fixture.stat(&[(0, 0, 100, 0)]);
    check(&mut *sensor, &[("package-0", 0.74), ("dram-0", 3.136)]);
}

#[test]
fn things_that_are_no_files_fail_and_do_not_hang() {
    let fixture = Fixture::new(VM);
    for name in ["stat", "cpuinfo"] {
        let path = fixture.dir.path().join("proc").join(name);
        let _ = fs::remove_file(&path);
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &path, fifo, Mode::RUSR, 0).unwrap();
    }
    fs::remove_file(fixture.dir.path().join("proc/meminfo")).unwrap();
    fs::create_dir(fixture.dir.path().join("proc/meminfo")).unwrap();
    let (mut sensor, findings) = fixture.discover();
    assert!(findings.iter().all(|f| f.state == Presence::Unreadable));
    let reasons: Vec<_> = sensor.read().bad.iter().map(Fault::reason).collect();
    assert_eq!(reasons, ["io", "io"]);
}

#[test]
fn configuration_is_checked_where_it_is_read() {
    let read = |text: &str| serde_yaml::from_str::<Config>(text);
    let config = read("cpu_watts: 165\ndram_watts_per_gib: 0.3\n").unwrap();
    assert_eq!(config.cpu_watts, Some(165.0));
    assert_eq!(config.dram_watts_per_gib, Some(0.3));
    assert_eq!(read("{}").unwrap(), Config::default());
    assert_eq!(read("cpu_watts: null").unwrap().cpu_watts, None);
    for bad in ["0", "-5", ".nan", ".inf", "2001"] {
        let error = read(&format!("cpu_watts: {bad}")).unwrap_err().to_string();
        assert!(error.contains("above 0 and at most 2000 watts"), "{error}");
    }
    let error = crate::config::Config::parse("sensors:\n  model:\n    cpu_watts: -5\n").unwrap_err();
    assert!(error.contains("line 3"), "{error}");
    assert!(read("dram_watts_per_gib: 21").is_err());
    assert!(read("watts: 5").is_err());
}

#[test]
fn this_machine_has_a_model_of_itself() {
    let roots = Roots {
        sys: "/sys".into(),
        proc: "/proc".into(),
        node: "".into(),
    };
    let mut found = discover(&roots, &Config::default());
    let states: Vec<_> = found.findings.iter().map(|f| f.state).collect();
    assert_eq!(states, [Presence::Found; 2], "{:?}", found.findings);
    let first = found.sensors[0].read();
    assert!(first.good.is_empty() && first.bad.is_empty(), "{first:?}");
}
