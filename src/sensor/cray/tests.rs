use super::*;
use crate::clock;
use crate::ledger::{Event, Ledger, Reader};
use crate::sensor::{Discovery, Presence, Roots};
use caps::{CapSet, Capability};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

/// A node controller made of files.
struct Node {
    root: tempfile::TempDir,
}

impl Node {
    fn new() -> Self {
        let node = Self {
            root: tempfile::tempdir().unwrap(),
        };
        fs::create_dir_all(node.directory()).unwrap();
        node.write("freshness", "6411211\n");
        node
    }

    /// As an EX235a shows it: a socket and four accelerators, and much besides.
    fn blade() -> Self {
        let node = Self::new();
        node.fill();
        node
    }

    fn fill(&self) {
        for (part, watts) in [("", 1610), ("cpu_", 120), ("memory_", 71), ("accel0_", 310), ("accel3_", 305)] {
            self.count(&format!("{part}power"), watts, "W");
            self.count(&format!("{part}energy"), watts * 1_000_000, "J");
            self.count(&format!("{part}power_cap"), 0, "W");
        }
        self.write("cpu_temp", "45 C 1700061089722572 us\n");
        self.write("generation", "12\n");
        self.write("raw_scan_hz", "10\n");
        self.write("startup", "1699990000\n");
        self.write("version", "3\n");
    }

    fn directory(&self) -> std::path::PathBuf {
        self.root.path().join("cray/pm_counters")
    }

    fn write(&self, file: &str, text: &str) -> &Self {
        fs::write(self.directory().join(file), text).unwrap();
        self
    }

    fn count(&self, file: &str, number: u64, unit: &str) -> &Self {
        self.write(file, &format!("{number} {unit} 1700061089722572 us\n"))
    }

    fn scan(&self, freshness: u64) -> &Self {
        self.write("freshness", &format!("{freshness}\n"))
    }

    fn remove(&self, file: &str) -> &Self {
        fs::remove_file(self.directory().join(file)).unwrap();
        self
    }

    fn discover(&self) -> Discovery {
        let roots = Roots {
            sys: self.root.path().to_owned(),
            proc: "/nowhere".into(),
            node: "".into(),
        };
        discover(&roots, &Config::default())
    }

    fn sensor(&self) -> Box<dyn Sensor> {
        let mut found = self.discover();
        assert_eq!(found.sensors.len(), 1, "{:?}", found.findings);
        found.sensors.remove(0)
    }
}

fn told(readings: &Readings) -> Vec<String> {
    let one = |reading: &Reading| format!("{} {}", reading.source.part, reading.value);
    readings.good.iter().map(one).collect()
}

fn faults(readings: &Readings) -> Vec<String> {
    readings.bad.iter().map(ToString::to_string).collect()
}

#[test]
fn a_number_in_its_unit_and_nothing_else() {
    for (text, number) in [
        ("271 W 1663333436253454 us", Some(271)),
        ("271 W", Some(271)),
        ("0 W 0 us", Some(0)),
        ("18446744073709551615 W", Some(u64::MAX)),
        ("18446744073709551616 W", None),
        ("271 J 1663333436253454 us", None),
        ("271 mW 1663333436253454 us", None),
        ("271 kW", None),
        ("271 C 1663333436253454 us", None),
        ("271", None),
        ("W 271", None),
        ("-1 W 1663333436253454 us", None),
        ("+1 W 1663333436253454 us", None),
        ("27.1 W", None),
        ("0x1f W", None),
        ("nan W", None),
        ("271 W 1663333436253454", None),
        ("271 W 1663333436253454 ms", None),
        ("271 W us", None),
        ("271 W 1663333436253454 us 5", None),
        ("271 W x us", None),
        ("", None),
    ] {
        assert_eq!(parse(text, Unit::Watts), number, "{text:?}");
    }
    assert_eq!(parse("9813012 J 1663333436253454 us", Unit::Joules), Some(9_813_012));
}

#[test]
fn the_node_is_a_meter_and_its_parts_are_never_summed() {
    let node = Node::blade();
    let found = node.discover();
    assert_eq!(found.findings.len(), 5, "{:?}", found.findings);
    assert!(found.findings.iter().all(|finding| finding.state == Presence::Found));
    assert!(found.findings[0].detail.ends_with("pm_counters/energy"));
    assert!(found.findings[1].detail.contains("shown and not summed"));
    let readings = node.sensor().read();
    assert!(readings.bad.is_empty(), "{:?}", readings.bad);
    let scopes: Vec<(String, Scope)> = readings
        .good
        .iter()
        .map(|reading| match &reading.source.part {
            Part::Meter { id, scope } => (id.to_string(), *scope),
            part => panic!("{part} is no meter"),
        })
        .collect();
    let expected = [
        ("cray", Scope::Node(MeterClass::Cray)),
        ("cray-accel0", Scope::Module),
        ("cray-accel3", Scope::Module),
        ("cray-cpu", Scope::Group),
        ("cray-memory", Scope::Group),
    ];
    assert_eq!(scopes, expected.map(|(id, scope)| (id.to_owned(), scope)));
    assert_eq!(
        readings.good[0].value,
        Value::Counter {
            raw: 1_610_000_000,
            unit: 1.0,
            wraps_at: None
        }
    );
}

#[test]
fn other_names_are_told_apart() {
    for (file, expected) in [
        ("power", Some((Scope::Node(MeterClass::Cray), "cray"))),
        ("cpu0_power", Some((Scope::Module, "cray-cpu0"))),
        ("accel_power", Some((Scope::Module, "cray-accel"))),
        ("memory1_power", Some((Scope::Module, "cray-memory1"))),
        ("nic_power", Some((Scope::Unknown, "cray-nic"))),
        ("0_power", Some((Scope::Unknown, "cray-0"))),
        ("power_cap", None),
        ("accel0_power_cap", None),
        ("xpower", None),
        ("_power", None),
        ("CPU_power", None),
    ] {
        let node = Node::new();
        node.count(file, 100, "W");
        let found = node.discover();
        let Some((scope, id)) = expected else {
            assert!(found.sensors.is_empty(), "{file}");
            assert_eq!(found.findings[0].state, Presence::Absent);
            continue;
        };
        let readings = node.sensor().read();
        let part = Part::Meter {
            id: id.into(),
            scope,
        };
        assert_eq!(readings.good[0].source.part, part, "{file}");
        assert_eq!(readings.good[0].value, Value::Power(Watts(100.0)));
    }
}

#[test]
fn energy_goes_before_power_as_soon_as_it_is_there() {
    let node = Node::new();
    node.count("power", 500, "W").count("cpu_power", 100, "W");
    let mut sensor = node.sensor();
    assert_eq!(told(&sensor.read()), ["meter cray draws 500.0 W", "meter cray-cpu draws 100.0 W"]);
    node.count("energy", 7, "J");
    let mut last = Vec::new();
    for scan in 0..=u64::from(READS_PER_SCAN) {
        last = told(&node_read(&node, &mut sensor, scan));
    }
    assert_eq!(last, ["meter cray counts 7 J", "meter cray-cpu draws 100.0 W"]);
    node.remove("energy");
    for scan in 100..=100 + u64::from(READS_PER_SCAN) {
        let readings = node_read(&node, &mut sensor, scan);
        assert_eq!(readings.bad.len(), 1, "it does not go back in silence");
        assert_eq!(readings.bad[0].reason(), "vanished");
    }
}

fn node_read(node: &Node, sensor: &mut Box<dyn Sensor>, freshness: u64) -> Readings {
    node.scan(freshness);
    sensor.read()
}

#[test]
fn what_stands_still_is_not_told_and_then_a_fault() {
    let node = Node::blade();
    let mut sensor = node.sensor();
    assert_eq!(sensor.read().good.len(), 5);
    for still in 1..=3 * STALE_READS {
        let readings = sensor.read();
        assert!(readings.good.is_empty(), "{still}");
        assert_eq!(readings.bad.len(), usize::from(still >= STALE_READS), "{still}");
    }
    let fault = &sensor.read().bad[0];
    assert!(fault.place.ends_with("pm_counters/freshness"), "{fault}");
    assert_eq!(fault.reason(), "device");
    assert!(fault.mend.contains("node controller"));
    // Backwards is new, too: the controller has restarted.
    let readings = node_read(&node, &mut sensor, 3);
    assert_eq!((readings.good.len(), readings.bad.len()), (5, 0));
    assert!(sensor.read().bad.is_empty(), "and the count begins anew");
}

#[test]
fn without_freshness_all_is_read() {
    let node = Node::blade();
    node.remove("freshness");
    let mut sensor = node.sensor();
    for _ in 0..2 * STALE_READS {
        let readings = sensor.read();
        assert_eq!((readings.good.len(), readings.bad.len()), (5, 0));
    }
    node.write("freshness", "soon\n");
    let readings = sensor.read();
    assert_eq!(readings.good.len(), 5);
    assert_eq!(faults(&readings).len(), 1, "{:?}", readings.bad);
}

#[test]
fn a_broken_file_costs_its_meter() {
    let node = Node::blade();
    let mut sensor = node.sensor();
    for (scan, text) in ["", "12 J 17", "12 W 1700061089722572 us", "-12 J", "\0\0", "12 J\nx"].into_iter().enumerate() {
        node.write("memory_energy", text);
        let readings = node_read(&node, &mut sensor, scan as u64);
        assert_eq!(readings.good.len(), 4, "{text:?}");
        let fault = &readings.bad[0];
        assert_eq!((readings.bad.len(), fault.reason()), (1, "parse"), "{text:?}");
        assert!(fault.place.ends_with("memory_energy") && fault.mend.contains("NUMBER W or J"));
    }
    node.remove("memory_energy");
    let readings = node_read(&node, &mut sensor, 100);
    assert_eq!((readings.good.len(), readings.bad[0].reason()), (4, "vanished"));
    node.count("memory_energy", 8, "J");
    assert_eq!(node_read(&node, &mut sensor, 101).good.len(), 5);
}

#[test]
fn a_file_without_permission_costs_its_meter() {
    // Root reads whatever its mode; this thread shall not.
    for capability in [Capability::CAP_DAC_OVERRIDE, Capability::CAP_DAC_READ_SEARCH] {
        caps::drop(None, CapSet::Effective, capability).unwrap();
    }
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let node = Node::blade();
    mode(&node.directory().join("energy"), 0);
    let found = node.discover();
    assert_eq!(found.findings[0].state, Presence::Unreadable);
    assert!(found.findings[0].mend.contains("CAP_DAC_READ_SEARCH"));
    let readings = node.sensor().read();
    assert_eq!((readings.good.len(), readings.bad[0].reason()), (4, "permission"));
    mode(&node.directory(), 0);
    let found = node.discover();
    assert!(found.sensors.is_empty());
    assert_eq!(found.findings[0].state, Presence::Unreadable);
    mode(&node.directory(), 0o755);
}

#[test]
fn no_cray_is_no_fault() {
    let root = tempfile::tempdir().unwrap();
    let node = Node { root };
    let found = node.discover();
    assert!(found.sensors.is_empty());
    assert_eq!(found.findings[0].state, Presence::Absent);
    assert_eq!(found.findings[0].mend, "");
}

#[test]
fn what_vanishes_as_a_whole_is_a_fault_of_each_and_comes_back() {
    let node = Node::blade();
    let mut sensor = node.sensor();
    fs::remove_dir_all(node.directory()).unwrap();
    for _ in 0..2 * READS_PER_SCAN {
        let readings = sensor.read();
        assert_eq!((readings.good.len(), readings.bad.len()), (0, 5));
        assert!(readings.bad.iter().all(|fault| fault.reason() == "vanished"));
    }
    fs::create_dir(node.directory()).unwrap();
    node.scan(1).fill();
    assert_eq!(sensor.read().good.len(), 5);
}

#[test]
fn counters_are_bounded() {
    let node = Node::new();
    for n in 0..200 {
        node.count(&format!("accel{n}_power"), 1, "W");
    }
    node.count("power", 100, "W");
    let readings = node.sensor().read();
    assert_eq!(readings.good.len(), MOST_COUNTERS);
    assert_eq!(told(&readings)[0], "meter cray draws 100.0 W", "the node goes before its parts");
}

#[test]
fn a_controller_that_restarts_is_no_energy() {
    let node = Node::new();
    node.count("energy", 5_000_000, "J");
    let mut sensor = node.sensor();
    let (mut ledger, start) = (Ledger::default(), clock::now());
    let reader = Reader {
        name: "cray".into(),
        rank: 3,
        patience: Duration::from_secs(30),
    };
    let mut events = Vec::new();
    for (second, joules) in [(0, 5_000_000), (1, 5_001_000), (2, 40), (3, 1_040), (4, 2_040)] {
        node.count("energy", joules, "J");
        let readings = node_read(&node, &mut sensor, second + 1);
        let at = start.later(Duration::from_secs(second));
        events.push(ledger.record(&reader, &readings.good[0], at).1);
    }
    assert_eq!(events, [Event::Booked, Event::Booked, Event::Gap, Event::Booked, Event::Booked]);
    let (_, account) = ledger.accounts().next().unwrap();
    assert!((account.joules.0 - 3_000.0).abs() < 1e-9, "{}", account.joules.0);
}
