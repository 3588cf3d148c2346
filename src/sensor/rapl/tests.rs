use super::*;
use crate::sensor::{Discovery, Finding, Kind, MeterClass, Part, Presence, Roots, Scope, sysfs};
use crate::units::Watts;
use caps::{CapSet, Capability};
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

const RANGE: u64 = 262_143_328_850;

/// A machine made of files.
struct Machine {
    root: tempfile::TempDir,
}

impl Machine {
    fn new(cpuinfo: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("sys/class/powercap")).unwrap();
        fs::create_dir_all(root.path().join("proc")).unwrap();
        fs::write(root.path().join("proc/cpuinfo"), cpuinfo).unwrap();
        Self { root }
    }
    fn intel() -> Self {
        Self::new("vendor_id\t: GenuineIntel\nmodel name\t: Xeon\nflags\t: fpu\n")
    }
    fn amd() -> Self {
        Self::new("vendor_id\t: AuthenticAMD\nmodel name\t: EPYC\nflags\t: fpu\n")
    }
    fn roots(&self) -> Roots {
        Roots {
            sys: self.root.path().join("sys"),
            proc: self.root.path().join("proc"),
            node: "".into(),
        }
    }
    fn path(&self, file: &str) -> PathBuf {
        self.root.path().join("sys/class/powercap").join(file)
    }
    fn write(&self, file: &str, content: impl AsRef<[u8]>) -> &Self {
        fs::create_dir_all(self.path(file).parent().unwrap()).unwrap();
        fs::write(self.path(file), content).unwrap();
        self
    }
    fn zone(&self, entry: &str, name: &str, energy: u64) -> &Self {
        self.write(&format!("{entry}/name"), format!("{name}\n"));
        self.write(&format!("{entry}/max_energy_range_uj"), format!("{RANGE}\n"));
        self.energy(entry, energy)
    }
    fn energy(&self, entry: &str, energy: u64) -> &Self {
        self.write(&format!("{entry}/energy_uj"), format!("{energy}\n"))
    }
    fn remove(&self, entry: &str) {
        fs::remove_dir_all(self.path(entry)).unwrap();
    }
    fn discover(&self) -> Discovery {
        discover(&self.roots(), &Config::default())
    }
    fn sensor(&self) -> Box<dyn Sensor> {
        self.discover().sensors.remove(0)
    }
    fn findings(&self, state: Presence) -> Vec<Finding> {
        let mut findings = self.discover().findings;
        findings.retain(|finding| finding.state == state);
        findings
    }
}

/// `package-0=5`, sorted; faults as `!reason`.
fn told(sensor: &mut dyn Sensor) -> Vec<String> {
    let readings = sensor.read();
    let mut told: Vec<String> = readings
        .good
        .iter()
        .map(|reading| match reading.value {
            Value::Counter { raw, .. } => format!("{}={raw}", reading.source.part),
            _ => panic!("RAPL counts"),
        })
        .collect();
    told.extend(readings.bad.iter().map(|fault| {
        assert!(!fault.mend.is_empty(), "{fault} has no mend");
        format!("!{}", fault.reason())
    }));
    told.sort();
    told
}

/// Reads on until the whole tree has been looked at again.
fn past_a_scan(sensor: &mut dyn Sensor) -> Vec<String> {
    (0..READS_PER_SCAN).for_each(|_| drop(sensor.read()));
    told(sensor)
}

#[test]
fn a_server_is_packages_and_memory() {
    let machine = Machine::intel();
    machine
        .zone("intel-rapl:0", "package-0", 10)
        .zone("intel-rapl:0:0", "dram", 20)
        .zone("intel-rapl:a", "package-1", 30)
        .zone("intel-rapl:a:0", "dram", 40)
        .write("intel-rapl:a/constraint_0_power_limit_uw", "270000000\n")
        .write("intel-rapl:a/constraint_0_max_power_uw", "351000000\n")
        .write("intel-rapl/enabled", "1\n");
    fs::write(machine.roots().proc.join("meminfo"), "MemTotal: 2097152 kB\n").unwrap();
    let mut sensor = machine.sensor();
    let good = sensor.read().good;
    let parts: Vec<_> = good.iter().map(|r| r.source.part.to_string()).collect();
    assert_eq!(parts, ["package-0", "dram-0", "package-1", "dram-1"]);
    let package = &good[2];
    assert_eq!(
        package.value,
        Value::Counter {
            raw: 30,
            unit: 1e-6,
            wraps_at: Some(RANGE)
        }
    );
    assert_eq!(package.power_limit, Some(Watts(270.0)));
    assert_eq!(package.source.ceiling, Watts(702.0));
    assert_eq!(package.source.about.vendor, "Intel");
    assert_eq!(package.source.about.model, "Xeon");
    assert_eq!(package.source.about.driver, "intel-rapl");
    assert_eq!(good[1].source.about.vendor, "");
    assert_eq!(good[1].source.about.memory_bytes, Some(1 << 30));
    // 262143 J last 175 s at 1500 W, which a part without limits is taken to draw.
    let pace = sensor.pace(Duration::from_secs(60));
    assert!((pace.as_secs_f64() - 43.69).abs() < 0.01, "{pace:?}");
}

#[test]
fn a_laptop_has_domains_a_meter_and_a_copy() {
    let machine = Machine::intel();
    machine
        .zone("intel-rapl-mmio:0", "package-0", 11)
        .zone("intel-rapl:0", "package-0", 10)
        .zone("intel-rapl:0:0", "core", 4)
        .zone("intel-rapl:0:1", "uncore", 2)
        .zone("intel-rapl:1", "psys", 30)
        .zone("intel-rapl:2", "flux-capacitor", 88);
    let readings = machine.sensor().read();
    let psys = Part::Meter {
        id: "psys".into(),
        scope: Scope::Node(MeterClass::Psys),
    };
    assert!(readings.good.iter().any(|r| r.source.part == psys));
    let odd = Part::Meter {
        id: "rapl-flux-capacitor".into(),
        scope: Scope::Unknown,
    };
    assert!(readings.good.iter().any(|r| r.source.part == odd));
    assert_eq!(
        told(machine.sensor().as_mut()),
        [
            "meter psys=30",
            "meter rapl-flux-capacitor=88",
            "package-0/core=4",
            "package-0/uncore=2",
            "package-0=10"
        ]
    );
}

#[test]
fn the_copy_is_used_where_it_is_all_there_is() {
    let machine = Machine::intel();
    machine.zone("intel-rapl-mmio:0", "package-0", 11);
    let mut sensor = machine.sensor();
    assert_eq!(told(sensor.as_mut()), ["package-0=11"]);
    // A counter of its own would look like a step of energy.
    machine.zone("intel-rapl:0", "package-0", 99);
    assert_eq!(past_a_scan(sensor.as_mut()), ["package-0=11"]);
}

#[test]
fn one_core_of_amd_is_not_shown() {
    let machine = Machine::amd();
    machine
        .zone("intel-rapl:0", "package-0", 10)
        .zone("intel-rapl:0:0", "core", 1);
    assert_eq!(told(machine.sensor().as_mut()), ["package-0=10"]);
    let found = machine.findings(Presence::Found);
    assert!(found.iter().any(|f| f.subject == "package-0 core" && f.detail.contains("one core")));
}

#[test]
fn mirrored_dies_are_booked_once() {
    let machine = Machine::amd();
    machine
        .zone("intel-rapl:0", "package-0-die-0", 5_000_000_000)
        .zone("intel-rapl:1", "package-0-die-1", 5_000_000_000)
        .zone("intel-rapl:2", "package-1-die-0", 5_000_000_000);
    let mut sensor = machine.sensor();
    let once = ["package-0-die-0=5000000000", "package-1-die-0=5000000000"];
    assert_eq!(told(sensor.as_mut()), once);
    let found = machine.findings(Presence::Found);
    assert!(found.iter().any(|f| f.subject == "package-0-die-1" && f.detail.contains("once")));
    // While its twin is away the mirror stays silent, so that its return is not energy booked twice.
    machine.remove("intel-rapl:0");
    assert_eq!(told(sensor.as_mut()), ["!vanished", "package-1-die-0=5000000000"]);
    assert_eq!(past_a_scan(sensor.as_mut()), ["!vanished", "package-1-die-0=5000000000"]);
    machine.zone("intel-rapl:0", "package-0-die-0", 5_000_000_001);
    assert_eq!(told(sensor.as_mut()).len(), 2);
}

#[test]
fn dies_with_counters_of_their_own_are_devices() {
    let machine = Machine::intel();
    machine
        .zone("intel-rapl:0", "package-0-die-0", 5_000_000_000)
        .zone("intel-rapl:1", "package-0-die-1", 5_100_000_000);
    assert_eq!(told(machine.sensor().as_mut()).len(), 2);
}

#[test]
fn dies_that_were_alike_by_chance_part_at_the_next_look() {
    let machine = Machine::intel();
    machine
        .zone("intel-rapl:0", "package-0-die-0", 0)
        .zone("intel-rapl:1", "package-0-die-1", 0);
    let mut sensor = machine.sensor();
    assert_eq!(told(sensor.as_mut()), ["package-0-die-0=0"]);
    machine.energy("intel-rapl:1", 9_000_000_000);
    assert_eq!(past_a_scan(sensor.as_mut()).len(), 2);
}

#[test]
fn a_broken_zone_costs_that_zone() {
    let long = "1".repeat(sysfs::MAX_BYTES + 1);
    for bad in [&b""[..], b"garbage", b"-5", b"\x00\x01\x02", b"\xff\xfe\xfd", long.as_bytes()] {
        let machine = Machine::intel();
        machine
            .zone("intel-rapl:0", "package-0", 10)
            .zone("intel-rapl:1", "package-1", 20)
            .write("intel-rapl:0/energy_uj", bad);
        let mut sensor = machine.sensor();
        assert_eq!(told(sensor.as_mut()), ["!parse", "package-1=20"]);
        assert_eq!(machine.findings(Presence::Unreadable).len(), 1);
        machine.energy("intel-rapl:0", 12);
        assert_eq!(told(sensor.as_mut()), ["package-0=12", "package-1=20"]);
    }
}

#[test]
fn a_zone_without_permission_costs_that_zone() {
    // The tests may run as root, whom no mode keeps out; capabilities are a thread's own.
    let powerless = std::thread::spawn(|| {
        for capability in [
            Capability::CAP_DAC_OVERRIDE,
            Capability::CAP_DAC_READ_SEARCH,
        ] {
            caps::drop(None, CapSet::Effective, capability).unwrap();
        }
        permission_comes_and_goes();
    });
    powerless.join().unwrap();
}

fn permission_comes_and_goes() {
    let machine = Machine::intel();
    machine
        .zone("intel-rapl:0", "package-0", 10)
        .zone("intel-rapl:1", "package-1", 20);
    let mut sensor = machine.sensor();
    assert_eq!(sensor.read().good.len(), 2);
    let energy = machine.path("intel-rapl:0/energy_uj");
    fs::set_permissions(&energy, fs::Permissions::from_mode(0o000)).unwrap();
    let readings = sensor.read();
    assert_eq!(readings.bad[0].reason(), "permission");
    assert!(readings.bad[0].mend.contains("CAP_DAC_READ_SEARCH"));
    assert!(readings.bad[0].mend.contains("/host/sys"));
    assert_eq!(readings.good.len(), 1);
    let unreadable = machine.findings(Presence::Unreadable);
    assert_eq!(unreadable[0].subject, "package-0");
    assert!(unreadable[0].mend.contains("run as root"));
    fs::set_permissions(&energy, fs::Permissions::from_mode(0o400)).unwrap();
    assert_eq!(told(sensor.as_mut()), ["package-0=10", "package-1=20"]);
}

#[test]
fn a_processor_that_does_not_answer_costs_its_zone() {
    let machine = Machine::intel();
    machine
        .zone("intel-rapl:0", "package-0", 10)
        .zone("intel-rapl:1", "package-1", 20);
    fs::remove_file(machine.path("intel-rapl:0/energy_uj")).unwrap();
    // Nothing is mapped at address 0, so that reading it is EIO.
    symlink("/proc/self/mem", machine.path("intel-rapl:0/energy_uj")).unwrap();
    let mut sensor = machine.sensor();
    let readings = sensor.read();
    assert_eq!(readings.bad[0].reason(), "io");
    assert!(readings.bad[0].mend.contains("online"));
    assert_eq!(told(sensor.as_mut()), ["!io", "package-1=20"]);
}

#[test]
fn a_zone_goes_and_comes_back_under_another_number() {
    let machine = Machine::intel();
    machine
        .zone("intel-rapl:0", "package-0", 10)
        .zone("intel-rapl:1", "package-1", 20);
    let mut sensor = machine.sensor();
    let before = Arc::clone(&sensor.read().good[1].source);
    machine.remove("intel-rapl:1");
    assert_eq!(told(sensor.as_mut()), ["!vanished", "package-0=10"]);
    assert_eq!(told(sensor.as_mut()), ["!vanished", "package-0=10"]);
    machine.zone("intel-rapl:2", "package-1", 21);
    assert_eq!(past_a_scan(sensor.as_mut()), ["package-0=10", "package-1=21"]);
    let after = &sensor.read().good[1].source;
    assert!(Arc::ptr_eq(&before, after), "the same source is shared over a scan");
}

#[test]
fn a_domain_stays_one_while_its_package_is_away() {
    let machine = Machine::intel();
    machine
        .zone("intel-rapl:0", "package-0", 10)
        .zone("intel-rapl:0:0", "core", 5)
        .zone("intel-rapl-mmio:0", "package-0", 11);
    let mut sensor = machine.sensor();
    machine.remove("intel-rapl:0");
    let without = ["!vanished", "package-0/core=5"];
    assert_eq!(told(sensor.as_mut()), without);
    assert_eq!(past_a_scan(sensor.as_mut()), without);
    machine.zone("intel-rapl:0", "package-0", 12);
    assert_eq!(told(sensor.as_mut()), ["package-0/core=5", "package-0=12"]);
}

#[test]
fn zones_that_swap_numbers_keep_their_identities() {
    let machine = Machine::intel();
    machine
        .zone("intel-rapl:0", "package-0", 10)
        .zone("intel-rapl:1", "package-1", 20);
    let mut sensor = machine.sensor();
    machine
        .zone("intel-rapl:0", "package-1", 21)
        .zone("intel-rapl:1", "package-0", 11);
    assert_eq!(past_a_scan(sensor.as_mut()), ["package-0=11", "package-1=21"]);
}

#[test]
fn a_zone_without_a_name_is_a_fault_until_it_has_one() {
    let machine = Machine::intel();
    machine
        .zone("intel-rapl:0", "package-0", 10)
        .zone("intel-rapl:1", "package-1", 20)
        .write("intel-rapl:1/name", "");
    let mut sensor = machine.sensor();
    assert_eq!(told(sensor.as_mut()), ["!parse", "package-0=10"]);
    machine.write("intel-rapl:1/name", "package-1\n");
    drop(sensor.read());
    assert_eq!(told(sensor.as_mut()), ["package-0=10", "package-1=20"]);
    // A name lost for a moment does not lose a zone that is known.
    machine.write("intel-rapl:1/name", "");
    assert_eq!(past_a_scan(sensor.as_mut()), ["package-0=10", "package-1=20"]);
}

#[test]
fn a_name_that_is_no_text_is_told_and_skipped() {
    let machine = Machine::intel();
    machine.zone("intel-rapl:0", "package-0", 10);
    let odd = OsString::from_vec(b"intel-rapl:\xff".to_vec());
    fs::create_dir(machine.path("").join(odd)).unwrap();
    assert_eq!(told(machine.sensor().as_mut()), ["package-0=10"]);
    assert_eq!(machine.findings(Presence::Unreadable).len(), 1);
}

#[test]
fn absence_has_its_reasons() {
    let one = |machine: &Machine| {
        let Discovery { sensors, mut findings } = machine.discover();
        assert_eq!((sensors.len(), findings.len()), (0, 1));
        findings.remove(0)
    };
    let machine = Machine::intel();
    assert_eq!(one(&machine).state, Presence::Absent);
    assert!(one(&machine).mend.contains("modprobe intel_rapl_msr"));
    fs::remove_dir(machine.path("")).unwrap();
    assert_eq!(one(&machine).state, Presence::Absent);
    let guest = Machine::new("vendor_id\t: GenuineIntel\nflags\t: fpu hypervisor\n");
    assert!(one(&guest).detail.contains("virtual machine"));
    assert_eq!(one(&guest).mend, "");
    assert!(one(&Machine::new("CPU implementer\t: 0x41\n")).detail.contains("only processors of Intel"));
}

#[test]
fn a_masked_tree_says_who_masks_it() {
    let machine = Machine::intel();
    symlink("../../devices/virtual/powercap/none", machine.path("intel-rapl:0")).unwrap();
    let unreadable = machine.findings(Presence::Unreadable);
    assert_eq!(unreadable.len(), 1);
    assert!(unreadable[0].detail.contains("masks"));
    assert!(unreadable[0].mend.contains("/host/sys"));
    assert_eq!(told(machine.sensor().as_mut()), ["!vanished"]);
}

#[test]
fn a_counter_of_unknown_range_has_no_wrap() {
    let machine = Machine::intel();
    machine
        .write("intel-rapl:0/name", "package-0")
        .energy("intel-rapl:0", 7);
    let mut sensor = machine.sensor();
    let reading = sensor.read().good.remove(0);
    assert!(matches!(reading.value, Value::Counter { wraps_at: None, .. }));
    assert!(matches!(reading.source.part, Part::Device { kind: Kind::Cpu, .. }));
    let minute = Duration::from_secs(60);
    assert_eq!(sensor.pace(minute), minute);
}
