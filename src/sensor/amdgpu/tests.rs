use super::*;
use crate::sensor::{Discovery, Finding, Part, Presence, Roots, Scope, Value};
use crate::units::Watts;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

/// A machine made of files.
struct Machine {
    root: tempfile::TempDir,
}

const A: &str = "0000:03:00.0";
const B: &str = "0000:43:00.0";

impl Machine {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        Self { root }
    }
    fn sys(&self, path: &str) -> PathBuf {
        self.root.path().join("sys").join(path)
    }
    /// A file of a card.
    fn set(&self, card: &str, file: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.sys(&format!("devices/{card}/{file}"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }
    fn remove(&self, card: &str, file: &str) -> &Self {
        fs::remove_file(self.sys(&format!("devices/{card}/{file}"))).unwrap();
        self
    }
    fn bind(&self, card: &str) -> &Self {
        let driver = self.sys("bus/pci/drivers/amdgpu");
        fs::create_dir_all(&driver).unwrap();
        symlink(self.sys("devices").join(card), driver.join(card)).unwrap();
        self
    }
    /// The driver takes its files away with it.
    fn unbind(&self, card: &str) -> &Self {
        fs::remove_file(self.sys("bus/pci/drivers/amdgpu").join(card)).unwrap();
        let files = self.sys("devices").join(card);
        fs::remove_file(files.join("gpu_metrics")).unwrap();
        let _ = fs::remove_dir_all(files.join("hwmon"));
        self
    }
    /// A card of a device number with hwmon's mean power.
    fn card(&self, card: &str, device: &str, table: &[u8], microwatts: &str) -> &Self {
        self.set(card, "device", device).set(card, "gpu_metrics", table);
        self.set(card, AVERAGE, microwatts).bind(card)
    }
    fn discover(&self) -> Discovery {
        let roots = Roots {
            sys: self.sys(""),
            proc: self.root.path().join("proc"),
            node: "".into(),
        };
        discover(&roots, &Config::default())
    }
    fn sensor(&self) -> Box<dyn Sensor> {
        self.discover().sensors.remove(0)
    }
    fn finding(&self, subject: &str) -> Finding {
        let findings = self.discover().findings;
        let found = findings.iter().find(|finding| finding.subject == subject);
        found.unwrap_or_else(|| panic!("no {subject} in {findings:?}")).clone()
    }
    fn told(&self) -> Vec<String> {
        told(self.sensor().as_mut())
    }
}

const AVERAGE: &str = "hwmon/hwmon3/power1_average";
const INPUT: &str = "hwmon/hwmon3/power1_input";
const STATUS: &str = "power/runtime_status";

const MI100: &str = "0x738c\n";
const MI250X: &str = "0x7408\n";
const MI210: &str = "0x740f\n";
const MI300A: &str = "0x74a0\n";
const MI300X: &str = "0x74a1\n";
const RX7900: &str = "0x744c\n";

/// `gpu-1=5`, sorted, in counts or watts; faults as `!reason`.
fn told(sensor: &mut dyn Sensor) -> Vec<String> {
    let readings = sensor.read();
    let good = readings.good.iter().map(|reading| match reading.value {
        Value::Counter { raw, .. } => format!("{}={raw}", reading.source.part),
        Value::Power(watts) => format!("{}={}W", reading.source.part, watts.0),
        Value::Modelled(_) => panic!("amdgpu measures"),
    });
    let bad = readings.bad.iter().map(|fault| {
        assert!(!fault.mend.is_empty(), "{fault} has no mend");
        format!("!{}", fault.reason())
    });
    let mut told: Vec<String> = good.chain(bad).collect();
    told.sort();
    told
}

fn past_a_scan(sensor: &mut dyn Sensor) -> Vec<String> {
    (0..READS_PER_SCAN).for_each(|_| drop(sensor.read()));
    told(sensor)
}

/// A table of a size, all absent but for what is given: (offset, bytes).
fn table(content: u8, size: u16, fields: &[(usize, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![0xff; size.into()];
    bytes[..2].copy_from_slice(&size.to_ne_bytes());
    bytes[2..4].copy_from_slice(&[1, content]);
    for (at, field) in fields {
        bytes[*at..at + field.len()].copy_from_slice(field);
    }
    bytes
}

/// v1.3.
fn old(watts: u16, energy: u64) -> Vec<u8> {
    let (watts, energy) = (watts.to_ne_bytes(), energy.to_ne_bytes());
    table(3, 120, &[(16, &40_u16.to_ne_bytes()), (22, &watts), (24, &energy)])
}

/// v1.7.
fn new(watts: u16, energy: u64) -> Vec<u8> {
    let (watts, energy) = (watts.to_ne_bytes(), energy.to_ne_bytes());
    table(7, 2208, &[(12, &40_u16.to_ne_bytes()), (10, &watts), (24, &energy)])
}

fn apu(format: u8) -> Vec<u8> {
    let mut bytes = table(3, 152, &[]);
    bytes[2] = format;
    bytes
}

#[test]
fn an_mi300x_is_its_counter() {
    let machine = Machine::new();
    machine
        .set(A, "unique_id", "9F2BC1D03E4A7788\n")
        .set(A, "product_name", "AMD Instinct MI300X OAM\n")
        .set(A, "mem_info_vram_total", "206158430208\n")
        .set(A, INPUT, "700000000\n")
        .set(A, "hwmon/hwmon3/power1_cap", "750000000\n")
        .set(A, "device", MI300X)
        .set(A, "gpu_metrics", new(700, 65536))
        .bind(A);
    let good = machine.sensor().read().good;
    let value = Value::Counter {
        raw: 65536,
        unit: 1.0 / 65536.0,
        wraps_at: None,
    };
    assert_eq!(good[0].value, value);
    assert_eq!(good[0].utilization, Some(0.4));
    assert_eq!(good[0].power_limit, Some(Watts(750.0)));
    assert_eq!(good[0].source.part.to_string(), "gpu-9f2bc1d03e4a7788");
    let about = &good[0].source.about;
    assert_eq!((about.vendor.as_str(), about.model.as_str()), ("AMD", "AMD Instinct MI300X OAM"));
    assert_eq!((about.uuid.as_str(), about.pci_bus_id.as_str()), ("9f2bc1d03e4a7788", A));
    assert_eq!(about.memory_bytes, Some(192 << 30));
    assert_eq!(about.driver, "amdgpu");
    assert!(!about.is_piece);
    let finding = machine.finding("gpu-9f2bc1d03e4a7788");
    assert!(finding.detail.contains("energy counter of gpu_metrics v1.7"), "{}", finding.detail);
}

#[test]
fn a_radeon_is_integrated_whatever_its_accumulator_says() {
    for energy in [0, 12_345, u64::from(u32::MAX), u64::MAX] {
        let machine = Machine::new();
        machine.card(A, RX7900, &old(300, energy), "301500000\n");
        machine.set(A, "gpu_busy_percent", "97\n");
        let good = machine.sensor().read().good;
        assert_eq!(good[0].value, Value::Power(Watts(301.5)));
        assert_eq!(good[0].utilization, Some(0.97));
        assert_eq!(good[0].source.part.to_string(), "gpu-0000:03:00.0");
        assert!(machine.finding("gpu-0000:03:00.0").detail.contains("power, integrated"));
    }
}

#[test]
fn power_is_the_mean_or_the_moment_or_the_table_s() {
    let machine = Machine::new();
    machine.card(A, RX7900, &old(300, 0), "5000000\n").set(A, INPUT, "6000000\n");
    let mut sensor = machine.sensor();
    assert_eq!(told(sensor.as_mut()), ["gpu-0000:03:00.0=5W"]);
    machine.remove(A, AVERAGE);
    assert_eq!(told(sensor.as_mut()), ["gpu-0000:03:00.0=6W"]);
    machine.remove(A, INPUT);
    assert_eq!(told(sensor.as_mut()), ["gpu-0000:03:00.0=300W"]);
    machine.set(A, "gpu_metrics", old(u16::MAX, 0));
    assert_eq!(told(sensor.as_mut()), ["!device"]);
    machine.set(A, AVERAGE, "-5\n");
    assert_eq!(told(sensor.as_mut()), ["!parse"]);
    machine.set(A, AVERAGE, "7000000\n");
    assert_eq!(told(sensor.as_mut()), ["gpu-0000:03:00.0=7W"]);
    // A share over 100 % is none.
    machine.set(A, "gpu_busy_percent", "104\n");
    assert_eq!(sensor.read().good[0].utilization, None);
}

#[test]
fn an_apu_is_no_gpu_beside_its_package() {
    let machine = Machine::new();
    machine.card(A, "0x164e\n", &apu(2), "50000000\n");
    machine.card(B, "0x150e\n", &apu(3), "50000000\n");
    let Discovery { sensors, findings } = machine.discover();
    assert!(sensors.is_empty());
    assert_eq!(findings.len(), 2);
    assert!(findings.iter().all(|f| f.detail.contains("not published: an APU")));
    // An old driver has no table, and a voltage that only APUs have.
    let machine = Machine::new();
    machine.set(A, "hwmon/hwmon3/in1_label", "vddnb\n").set(A, AVERAGE, "9000000\n").bind(A);
    machine.card(B, RX7900, &old(300, 0), "301000000\n");
    assert_eq!(machine.told(), ["gpu-0000:43:00.0=301W"]);
}

#[test]
fn a_package_of_two_dies_is_booked_once() {
    let machine = Machine::new();
    machine.set(A, "unique_id", "a\n").set(A, "mem_info_vram_total", "68702699520\n");
    machine.card(A, MI250X, &old(400, 1 << 40), "400000000\n");
    machine.set(A, "gpu_busy_percent", "90\n");
    // Older drivers say 0, newer ones nothing.
    machine.set(B, "unique_id", "b\n").card(B, MI250X, &old(0, 0), "0\n");
    assert_eq!(machine.told(), [format!("gpu-a={}", 1_u64 << 40)]);
    let first = machine.sensor().read().good.remove(0);
    assert_eq!(first.utilization, None, "what one die does says nothing of the other");
    assert_eq!(first.source.about.memory_bytes, None);
    assert_eq!(first.source.about.model, "Instinct MI250X");
    assert!(machine.finding("gpu-a").detail.contains("both dies"));
    assert!(machine.finding("gpu-b").detail.contains("second die"));
    for silent in [old(u16::MAX, u64::MAX), old(0, u64::MAX)] {
        machine.set(B, "gpu_metrics", silent);
        assert_eq!(machine.told().len(), 1);
    }
    machine.remove(A, "gpu_metrics").remove(B, "gpu_metrics");
    assert_eq!(machine.told(), ["gpu-a=400W"], "by power too");
    machine.set(A, "gpu_metrics", old(400, u64::MAX)).set(B, "gpu_metrics", old(0, 0));
    assert_eq!(machine.told(), ["gpu-a=400W"]);
}

#[test]
fn an_mi210_is_alone() {
    let machine = Machine::new();
    machine.card(A, MI210, &old(200, 77), "200000000\n");
    assert_eq!(machine.told(), ["gpu-0000:03:00.0=77"]);
}

#[test]
fn a_counter_that_is_stuck_is_integrated() {
    let machine = Machine::new();
    machine.card(A, MI100, &old(250, 8_152_136), "251000000\n");
    let mut sensor = machine.sensor();
    let all: Vec<_> = (0..6).flat_map(|_| told(sensor.as_mut())).collect();
    let power = "gpu-0000:03:00.0=251W";
    assert_eq!(all[..3], ["gpu-0000:03:00.0=8152136", "!device", "!device"]);
    assert_eq!(all[3..], [power; 3]);
    machine.set(A, "gpu_metrics", old(250, 9_000_000));
    assert_eq!(past_a_scan(sensor.as_mut()), [power], "once broken, never trusted");
}

#[test]
fn a_counter_that_steps_back_is_integrated() {
    let machine = Machine::new();
    machine.card(A, MI100, &old(250, 2_000_000), "251000000\n");
    let mut sensor = machine.sensor();
    assert_eq!(told(sensor.as_mut()), ["gpu-0000:03:00.0=2000000"]);
    machine.set(A, "gpu_metrics", old(250, 1_900_000));
    assert_eq!(told(sensor.as_mut()), ["gpu-0000:03:00.0=251W"]);
    // A card that goes and comes back is the same card.
    machine.unbind(A);
    assert_eq!(told(sensor.as_mut()), ["!vanished"]);
    machine.set(A, "hwmon/hwmon1/power1_average", "4000000\n");
    machine.set(A, "gpu_metrics", old(250, 1_900_000)).bind(A);
    assert_eq!(told(sensor.as_mut()), ["gpu-0000:03:00.0=4W"]);
}

#[test]
fn a_socket_of_everything_is_a_meter() {
    let machine = Machine::new();
    machine.set(A, "unique_id", "1\n").card(A, MI300A, &new(500, 70), "500000000\n");
    let good = machine.sensor().read().good;
    let part = Part::Meter {
        id: "module-gpu-1".into(),
        scope: Scope::Module,
    };
    assert_eq!(good[0].source.part, part);
    assert!(machine.finding("meter module-gpu-1").detail.contains("not summed"));
}

#[test]
fn a_sleeping_card_is_not_woken() {
    let machine = Machine::new();
    machine.card(A, MI300X, &new(500, 70), "500000000\n").set(A, STATUS, "suspended\n");
    // Whoever reads this has woken it.
    let metrics = machine.sys(&format!("devices/{A}/gpu_metrics"));
    fs::remove_file(&metrics).unwrap();
    fs::create_dir(&metrics).unwrap();
    let Discovery { mut sensors, findings } = machine.discover();
    assert_eq!(findings[0].state, Presence::Found);
    assert!(findings[0].detail.contains("asleep"));
    assert!(told(sensors[0].as_mut()).is_empty());
    assert!(past_a_scan(sensors[0].as_mut()).is_empty());
    fs::remove_dir(&metrics).unwrap();
    machine.set(A, "gpu_metrics", new(500, 70)).set(A, STATUS, "active\n");
    assert_eq!(told(sensors[0].as_mut()), ["gpu-0000:03:00.0=70"]);
    // Its counter begins anew with each waking.
    machine.set(A, STATUS, "suspended\n").set(A, "gpu_metrics", new(0, 80));
    assert!(told(sensors[0].as_mut()).is_empty());
    machine.set(A, STATUS, "active\n").set(A, "gpu_metrics", new(500, 60));
    assert_eq!(told(sensors[0].as_mut()), ["gpu-0000:03:00.0=60"]);
}

#[test]
fn a_card_that_goes_costs_that_card_and_comes_back() {
    let machine = Machine::new();
    machine.set(A, "unique_id", "a\n").card(A, MI300X, &new(0, 70), "0\n");
    machine.set(B, "unique_id", "b\n").card(B, MI300X, &new(0, 80), "0\n");
    let mut sensor = machine.sensor();
    assert_eq!(told(sensor.as_mut()), ["gpu-a=70", "gpu-b=80"]);
    machine.unbind(A);
    assert_eq!(told(sensor.as_mut()), ["!vanished", "gpu-b=80"]);
    assert_eq!(past_a_scan(sensor.as_mut()), ["!vanished", "gpu-b=80"], "for as long as it lasts");
    machine.set(A, "gpu_metrics", new(0, 90)).bind(A);
    assert_eq!(told(sensor.as_mut()), ["gpu-a=90", "gpu-b=80"]);
    // Another in its place: the old one was taken out.
    machine.set(A, "unique_id", "c\n").set(A, "gpu_metrics", new(0, 5));
    assert_eq!(past_a_scan(sensor.as_mut()), ["gpu-b=80", "gpu-c=5"]);
    // A new one is found at the next look.
    machine.card("0000:83:00.0", MI300X, &new(0, 9), "0\n");
    assert_eq!(past_a_scan(sensor.as_mut()), ["gpu-0000:83:00.0=9", "gpu-b=80", "gpu-c=5"]);
    // The driver is unloaded.
    machine.unbind(A).unbind(B).unbind("0000:83:00.0");
    fs::remove_dir(machine.sys("bus/pci/drivers/amdgpu")).unwrap();
    assert_eq!(told(sensor.as_mut()), ["!vanished"; 3]);
    assert!(past_a_scan(sensor.as_mut()).iter().all(|told| told == "!vanished"));
    machine.set(B, "gpu_metrics", new(0, 80)).bind(B);
    assert_eq!(past_a_scan(sensor.as_mut()), ["!vanished", "!vanished", "gpu-b=80"]);
}

#[test]
fn a_broken_table_costs_its_card() {
    let good = new(0, 70);
    let mut long = new(0, 70);
    long.extend([0; 3000]);
    for bad in [&b""[..], b"\0", &good[..100], &good[..2207], &long, b"garbage\n"] {
        let machine = Machine::new();
        machine.set(A, "unique_id", "a\n").card(A, MI300X, bad, "0\n");
        machine.set(B, "unique_id", "b\n").card(B, MI300X, &new(0, 80), "0\n");
        let mut sensor = machine.sensor();
        assert_eq!(told(sensor.as_mut()), ["!parse", "gpu-b=80"]);
        assert_eq!(machine.finding("gpu-a").state, Presence::Unreadable);
        machine.set(A, "gpu_metrics", &good);
        assert_eq!(told(sensor.as_mut()), ["gpu-a=70", "gpu-b=80"]);
        machine.set(A, "gpu_metrics", bad);
        assert_eq!(told(sensor.as_mut()), ["!parse", "gpu-b=80"]);
        machine.set(A, "gpu_metrics", new(0, u64::MAX));
        assert_eq!(told(sensor.as_mut()), ["!device", "gpu-b=80"]);
    }
}

#[test]
fn an_unknown_layout_is_refused_and_power_serves() {
    let machine = Machine::new();
    machine.card(A, MI300X, &table(10, 500, &[]), "500000000\n");
    assert_eq!(machine.told(), ["gpu-0000:03:00.0=500W"]);
    assert!(machine.finding("gpu-0000:03:00.0").detail.contains("newer than this gramwatt"));
    machine.remove(A, AVERAGE);
    assert_eq!(machine.told(), ["!device"]);
    let fault = machine.finding("gpu-0000:03:00.0");
    assert!(fault.detail.contains("v1.10 of 500 bytes"), "{}", fault.detail);
    assert!(fault.mend.contains("upgrade gramwatt"));
    // Of a format that is not known, nobody knows whether it is an APU's.
    machine.set(A, AVERAGE, "500000000\n").set(A, "gpu_metrics", apu(4));
    assert_eq!(machine.told(), ["!device"]);
}

#[test]
fn a_card_without_a_table_is_integrated_and_one_without_anything_left_out() {
    let machine = Machine::new();
    machine.set(A, "device", "0x67df\n").set(A, AVERAGE, "31000000\n").bind(A);
    assert_eq!(machine.told(), ["gpu-0000:03:00.0=31W"]);
    machine.remove(A, AVERAGE);
    let Discovery { sensors, findings } = machine.discover();
    assert!(sensors.is_empty());
    assert!(findings[0].detail.contains("tells neither energy nor power"));
}

#[test]
fn a_virtual_function_beside_its_card_is_that_card() {
    let machine = Machine::new();
    machine.card(A, MI300X, &new(0, 70), "0\n").card(B, "0x74b5\n", &new(0, 70), "0\n");
    let physical = machine.sys("devices").join(A);
    symlink(physical, machine.sys("devices").join(B).join("physfn")).unwrap();
    assert_eq!(machine.told(), ["gpu-0000:03:00.0=70"]);
    let place = format!("{B} of {A}");
    assert!(machine.finding(&place).detail.contains("virtual function"));
    // In a guest there is no such card.
    machine.unbind(A);
    let good = machine.sensor().read().good;
    assert!(good[0].source.about.is_piece);
}

#[test]
fn names_are_stable_and_no_two_are_the_same() {
    let machine = Machine::new();
    for (card, energy) in [(A, 1), (B, 2)] {
        machine.set(card, "unique_id", "00aa\n").card(card, MI300X, &new(0, energy), "0\n");
    }
    assert_eq!(machine.told(), ["gpu-0000:43:00.0=2", "gpu-00aa=1"]);
    for odd in ["0\n", "", "not hexadecimal\n", "11112222333344445\n"] {
        let machine = Machine::new();
        machine.set(A, "unique_id", odd).card(A, MI300X, &new(0, 1), "0\n");
        let told = machine.told();
        assert!(told == ["gpu-0000:03:00.0=1"] || told == ["!parse"], "{odd:?} {told:?}");
    }
}

#[test]
fn a_card_whose_name_cannot_be_read_is_not_guessed() {
    let machine = Machine::new();
    machine.set(A, "unique_id", b"\xff\xfe").card(A, MI300X, &new(0, 1), "0\n");
    let mut sensor = machine.sensor();
    assert_eq!(told(sensor.as_mut()), ["!parse"]);
    assert_eq!(told(sensor.as_mut()), ["!parse"]);
    machine.set(A, "unique_id", "aa\n");
    assert_eq!(told(sensor.as_mut()), ["gpu-aa=1"]);
    machine.set(A, "unique_id", b"\xff\xfe");
    assert_eq!(past_a_scan(sensor.as_mut()), ["gpu-aa=1"], "once known, it is known");
}

#[test]
fn no_cards_are_no_error() {
    let machine = Machine::new();
    let Discovery { sensors, findings } = machine.discover();
    assert!(sensors.is_empty());
    assert_eq!((findings[0].state, findings[0].mend.as_str()), (Presence::Absent, ""));
    for class in ["0x038000\n", "0x120000\n", "0x030000\n"] {
        let bus = machine.sys("bus/pci/devices");
        fs::create_dir_all(bus.join(A)).unwrap();
        fs::write(bus.join(A).join("vendor"), "0x1002\n").unwrap();
        fs::write(bus.join(A).join("class"), class).unwrap();
        assert!(machine.discover().findings[0].mend.contains("modprobe amdgpu"));
    }
    fs::create_dir_all(machine.sys("bus/pci/drivers/amdgpu")).unwrap();
    fs::write(machine.sys("bus/pci/drivers/amdgpu/bind"), "").unwrap();
    assert_eq!(machine.discover().findings[0].state, Presence::Absent);
}

#[test]
fn each_refusal_of_the_system_has_its_reason_and_its_mend() {
    use rustix::io::Errno;
    for (errno, reason, mend) in [
        (Errno::ACCESS, "permission", "CAP_DAC_READ_SEARCH"),
        (Errno::PERM, "device", "ends by itself"),
        (Errno::NOENT, "vanished", "modprobe amdgpu"),
        (Errno::NODEV, "io", "modprobe amdgpu"),
        (Errno::BUSY, "io", "firmware did not answer"),
        (Errno::IO, "io", "firmware did not answer"),
        (Errno::INVAL, "io", "firmware did not answer"),
    ] {
        let error = io::Error::from_raw_os_error(errno.raw_os_error());
        let fault = explain(super::super::sysfs::failed("x".as_ref(), error));
        assert_eq!(fault.reason(), reason, "{errno}");
        assert!(fault.mend.contains(mend), "{errno}: {}", fault.mend);
    }
}

#[test]
fn a_file_without_permission_is_a_fault_until_it_is_given() {
    // Root reads whatever its mode; this thread shall not.
    for capability in [caps::Capability::CAP_DAC_OVERRIDE, caps::Capability::CAP_DAC_READ_SEARCH] {
        caps::drop(None, caps::CapSet::Effective, capability).unwrap();
    }
    let machine = Machine::new();
    machine.card(A, MI300X, &new(0, 70), "0\n");
    let path = machine.sys(&format!("devices/{A}/gpu_metrics"));
    let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    mode(0);
    let mut sensor = machine.sensor();
    assert_eq!(told(sensor.as_mut()), ["!permission"]);
    mode(0o400);
    assert_eq!(told(sensor.as_mut()), ["gpu-0000:03:00.0=70"]);
    mode(0);
    assert_eq!(told(sensor.as_mut()), ["!permission"]);
}
