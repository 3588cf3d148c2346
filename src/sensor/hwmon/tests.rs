use super::*;
use crate::sensor::{Discovery, Finding, Kind, MeterClass, Part, Presence, Roots, Scope, Value};
use crate::units::Watts;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::Arc;

/// A machine made of files.
struct Machine {
    root: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("sys/class/hwmon")).unwrap();
        fs::create_dir_all(root.path().join("proc")).unwrap();
        let cpuinfo = "vendor_id\t: AuthenticAMD\nmodel name\t: EPYC\n";
        fs::write(root.path().join("proc/cpuinfo"), cpuinfo).unwrap();
        Self { root }
    }
    fn sys(&self, path: &str) -> PathBuf {
        self.root.path().join("sys").join(path)
    }
    fn write(&self, path: &str, content: impl AsRef<[u8]>) -> &Self {
        fs::create_dir_all(self.sys(path).parent().unwrap()).unwrap();
        fs::write(self.sys(path), content).unwrap();
        self
    }
    /// A chip of a device, linked as the kernel links it, with its files.
    fn chip(&self, device: &str, number: u32, name: &str, files: &[(&str, &str)]) -> &Self {
        let real = format!("devices/{device}/hwmon/hwmon{number}");
        self.write(&format!("{real}/name"), format!("{name}\n"));
        let link = self.sys(&format!("{real}/device"));
        if !link.exists() {
            symlink(format!("../../../{}", device.rsplit('/').next().unwrap()), link).unwrap();
        }
        for (file, content) in files {
            self.write(&format!("{real}/{file}"), format!("{content}\n"));
        }
        let class = self.sys(&format!("class/hwmon/hwmon{number}"));
        if fs::symlink_metadata(&class).is_err() {
            symlink(format!("../../{real}"), class).unwrap();
        }
        self
    }
    /// Takes the chip away.
    fn unplug(&self, device: &str, number: u32) {
        fs::remove_file(self.sys(&format!("class/hwmon/hwmon{number}"))).unwrap();
        fs::remove_dir_all(self.sys(&format!("devices/{device}"))).unwrap();
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
    fn findings(&self, state: Presence) -> Vec<Finding> {
        let mut findings = self.discover().findings;
        findings.retain(|finding| finding.state == state);
        findings
    }
    fn told(&self) -> Vec<String> {
        told(self.sensor().as_mut())
    }
}

/// `package-0=5`, sorted, in counts or watts; faults as `!reason`.
fn told(sensor: &mut dyn Sensor) -> Vec<String> {
    let readings = sensor.read();
    let good = readings.good.iter().map(|reading| match reading.value {
        Value::Counter { raw, .. } => format!("{}={raw}", reading.source.part),
        Value::Power(watts) => format!("{}={}W", reading.source.part, watts.0),
        Value::Modelled(_) => panic!("hwmon measures"),
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

fn meter(id: &str, scope: Scope) -> Part {
    Part::Meter {
        id: id.into(),
        scope,
    }
}

const NODE: Scope = Scope::Node(MeterClass::Acpi);
const BOARD: Scope = Scope::Node(MeterClass::Board);

#[test]
fn amd_energy_is_its_sockets() {
    let machine = Machine::new();
    machine.chip(
        "platform/amd_energy.0",
        2,
        "amd_energy",
        &[
            ("energy1_label", "Ecore000"),
            ("energy1_input", "1"),
            ("energy2_label", "Esocket0"),
            ("energy2_input", "18446744073709551615"),
            ("energy3_label", "Esocket1"),
            ("energy3_input", "3"),
        ],
    );
    let good = machine.sensor().read().good;
    assert_eq!(good.len(), 2);
    let raw = u64::MAX;
    let value = Value::Counter {
        raw,
        unit: 1e-6,
        wraps_at: None,
    };
    assert_eq!(good[0].value, value);
    assert_eq!(good[0].source.about.model, "EPYC");
    assert_eq!(good[0].source.about.driver, "amd_energy");
    assert_eq!(machine.told()[1], "package-1=3");
    let found = machine.findings(Presence::Found);
    assert!(found.iter().any(|f| f.detail.contains("inside its socket")));
}

#[test]
fn intel_cards_are_known_by_their_address() {
    let machine = Machine::new();
    machine
        .chip(
            "pci0000:00/0000:00:01.0/0000:03:00.0",
            4,
            "i915",
            &[("energy1_input", "500"), ("power1_max", "150000000")],
        )
        .chip(
            "pci0000:00/0000:00:01.0/0000:03:00.0",
            5,
            "i915_gt0",
            &[("energy1_input", "400")],
        )
        .chip(
            "pci0000:40/0000:40:01.0/0000:43:00.0",
            6,
            "xe",
            &[
                ("energy1_label", "card"),
                ("energy1_input", "900"),
                ("energy2_label", "pkg"),
                ("energy2_input", "800"),
            ],
        );
    let told = [
        "gpu-0000:03:00.0=500",
        "gpu-0000:43:00.0/package=800",
        "gpu-0000:43:00.0=900",
    ];
    assert_eq!(machine.told(), told);
    let card = machine.sensor().read().good.remove(0);
    assert_eq!(card.power_limit, Some(Watts(150.0)));
    assert_eq!(card.source.about.pci_bus_id, "0000:03:00.0");
    assert_eq!(card.source.about.vendor, "Intel");
    assert!(matches!(card.source.part, Part::Device { kind: Kind::Gpu, .. }));
}

#[test]
fn a_sleeping_card_is_not_woken() {
    let machine = Machine::new();
    let card = "pci0000:00/0000:03:00.0";
    machine
        .chip(card, 4, "xe", &[("energy1_input", "500"), ("energy2_input", "400")])
        .write(&format!("devices/{card}/power/runtime_status"), "suspended\n");
    let mut sensor = machine.sensor();
    assert!(told(sensor.as_mut()).is_empty());
    machine.write(&format!("devices/{card}/power/runtime_status"), "active\n");
    let awake = ["gpu-0000:03:00.0/package=400", "gpu-0000:03:00.0=500"];
    assert_eq!(told(sensor.as_mut()), awake);
}

#[test]
fn amd_cards_are_left_to_their_own_family() {
    let machine = Machine::new();
    machine.chip("pci0000:00/0000:03:00.0", 0, "amdgpu", &[("power1_average", "9000000")]);
    let Discovery { sensors, findings } = machine.discover();
    assert!(sensors.is_empty());
    assert!(findings.iter().any(|f| f.detail.contains("the family amdgpu reads it")));
}

/// A Grace meter: its files are beside its device's, as its driver puts them.
fn grace(machine: &Machine, number: u32, text: &str, microwatts: &str) {
    let device = format!("LNXSYSTM:00/ACPI000D:{number:02}");
    machine.chip(&device, number, "power_meter", &[]);
    machine
        .write(&format!("devices/{device}/power1_oem_info"), format!("{text}\n"))
        .write(&format!("devices/{device}/power1_average"), format!("{microwatts}\n"));
}

#[test]
fn grace_holds_its_cpu_and_io() {
    let machine = Machine::new();
    grace(&machine, 1, "Module Power Socket 0", "500000000");
    grace(&machine, 2, "Grace Power Socket 0", "200000000");
    grace(&machine, 3, "CPU Power Socket 0", "150000000");
    grace(&machine, 4, "SysIO Power Socket 0", "20000000");
    // The second socket does not tell its sum.
    grace(&machine, 5, "CPU Power Socket 1", "140000000");
    grace(&machine, 6, "SysIO Power Socket 1", "19000000");
    grace(&machine, 7, "DRAM Power Socket 1", "9000000");
    assert_eq!(
        machine.told(),
        [
            "meter acpi-dram-power-socket-1=9W",
            "meter module-0=500W",
            "package-0/cpu=150W",
            "package-0/sysio=20W",
            "package-0=200W",
            "package-1=140W",
            "sysio-1=19W"
        ]
    );
    let good = machine.sensor().read().good;
    let scope = |id: &str| {
        let mut parts = good.iter().map(|reading| &reading.source.part);
        parts.find_map(|part| match part {
            Part::Meter { id: own, scope } if &**own == id => Some(*scope),
            _ => None,
        })
    };
    assert_eq!(scope("module-0"), Some(Scope::Module));
    assert_eq!(scope("acpi-dram-power-socket-1"), Some(Scope::Unknown));
    let sysio = good.iter().find(|r| r.source.part.to_string() == "sysio-1").unwrap();
    assert!(matches!(sysio.source.part, Part::Device { kind: Kind::Soc, .. }));
    assert_eq!(sysio.source.about.model, "Grace");
}

#[test]
fn an_acpi_meter_is_the_node() {
    let machine = Machine::new();
    grace(&machine, 1, "", "350000000");
    grace(&machine, 2, "Intel Node Manager", "360000000");
    let good = machine.sensor().read().good;
    assert_eq!(good[0].source.part, meter("acpi-0", NODE));
    assert_eq!(good[1].source.part, meter("acpi-1", NODE));
    assert_eq!(good[0].value, Value::Power(Watts(350.0)));
}

#[test]
fn jetson_rails_are_volts_times_amperes() {
    let machine = Machine::new();
    machine.write("firmware/devicetree/base/model", "NVIDIA Jetson AGX Orin\0");
    let rail = |n: u32, label: &'static str, mv: &'static str, ma: &'static str| {
        [
            (format!("in{n}_label"), label),
            (format!("in{n}_input"), mv),
            (format!("curr{n}_input"), ma),
        ]
    };
    let chip = |device: &str, number: u32, rails: &[[(String, &'static str); 3]]| {
        let files: Vec<(&str, &str)> =
            rails.iter().flatten().map(|(name, value)| (name.as_str(), *value)).collect();
        machine.chip(device, number, "ina3221", &files);
    };
    chip(
        "platform/c240000.i2c/i2c-1/1-0040",
        3,
        &[
            rail(1, "VDD_GPU_SOC", "20000", "500"),
            rail(2, "VDD_CPU_CV", "20000", "250"),
            rail(3, "VIN_SYS_5V0", "5000", "1000"),
            rail(7, "sum of shunt voltages", "1", "1"),
        ],
    );
    chip(
        "platform/c240000.i2c/i2c-1/1-0041",
        4,
        &[
            rail(1, "NC", "0", "0"),
            rail(2, "VDDQ_VDD2_1V8AO", "5000", "300"),
            rail(3, "VDD_3V3_WIFI", "3300", "100"),
        ],
    );
    chip(
        "platform/c240000.i2c/i2c-2/2-0040",
        5,
        &[rail(1, "VDD_IN", "5000", "4000"), rail(2, "VDD_SOC", "5000", "400")],
    );
    let good = machine.sensor().read().good;
    let parts: Vec<String> = good.iter().map(|r| format!("{:?}", r.source.part)).collect();
    let has = |part: Part| parts.contains(&format!("{part:?}"));
    for (id, kind) in [
        ("vdd_gpu_soc", Kind::Gpu),
        ("vdd_cpu_cv", Kind::Cpu),
        ("vin_sys_5v0", Kind::Soc),
        ("vdd_soc", Kind::Soc),
    ] {
        let id = id.into();
        assert!(has(Part::Device { id, kind }), "{kind:?} in {parts:?}");
    }
    assert!(has(meter("vdd_in", BOARD)));
    assert!(has(meter("vdd_3v3_wifi", Scope::Rail)));
    assert!(has(Part::Domain {
        device: "vin_sys_5v0".into(),
        domain: "vddq_vdd2_1v8ao".into()
    }));
    assert_eq!(parts.len(), 7);
    assert!(machine.told().contains(&"vdd_gpu_soc=10W".to_owned()));
    assert_eq!(good[0].source.about.model, "NVIDIA Jetson AGX Orin");
}

#[test]
fn a_rail_that_is_switched_off_is_not_there() {
    let machine = Machine::new();
    machine.chip(
        "i2c-1/1-0040",
        0,
        "ina3221",
        &[
            ("in1_label", "VDD_IN"),
            ("in1_input", "5000"),
            ("curr1_input", "1000"),
            ("in2_label", "VDD_SOC"),
            ("in2_input", "5000"),
            ("curr2_input", "1000"),
            ("in2_enable", "0"),
        ],
    );
    assert_eq!(machine.told(), ["meter vdd_in=5W"]);
}

#[test]
fn an_unknown_chip_is_a_meter_and_never_summed() {
    let machine = Machine::new();
    machine
        .chip(
            "pci0000:00/0000:01:00.0",
            7,
            "mystery",
            &[("power1_input", "2500000"), ("power2_label", "Rail A"), ("power2_input", "0")],
        )
        .chip("LNXSYSTM:00/PNP0C0A:00", 1, "BAT0", &[("power1_input", "11000000")])
        .chip("pci0000:00/0000:02:00.0", 2, "nvme", &[("temp1_input", "40000")]);
    let good = machine.sensor().read().good;
    assert_eq!(good.len(), 3);
    assert!(good.iter().all(|reading| matches!(
        reading.source.part,
        Part::Meter {
            scope: Scope::Unknown,
            ..
        }
    )));
    assert_eq!(
        machine.told(),
        [
            "meter BAT0-PNP0C0A:00-power1=11W",
            "meter mystery-0000:01:00.0-power1=2.5W",
            "meter mystery-0000:01:00.0-rail-a=0W"
        ]
    );
}

#[test]
fn the_mean_is_read_before_the_moment() {
    let machine = Machine::new();
    machine.chip(
        "platform/x",
        0,
        "x",
        &[("power1_average", "2000000"), ("power1_input", "3000000")],
    );
    let mut sensor = machine.sensor();
    assert_eq!(told(sensor.as_mut()), ["meter x-x-power1=2W"]);
    fs::remove_file(machine.sys("devices/platform/x/hwmon/hwmon0/power1_average")).unwrap();
    assert_eq!(told(sensor.as_mut()), ["!vanished"]);
    assert_eq!(told(sensor.as_mut()), ["meter x-x-power1=3W"]);
}

#[test]
fn identities_survive_a_renumbering() {
    let machine = Machine::new();
    let files = [("power1_input", "1000000")];
    machine
        .chip("platform/a", 0, "power_meter", &files)
        .chip("platform/b", 1, "power_meter", &[("power1_input", "2000000")]);
    let before = ["meter acpi-0=1W", "meter acpi-1=2W"];
    let mut sensor = machine.sensor();
    assert_eq!(told(sensor.as_mut()), before);
    let source = Arc::clone(&sensor.read().good[0].source);
    machine.unplug("platform/a", 0);
    machine.unplug("platform/b", 1);
    machine
        .chip("platform/a", 1, "power_meter", &files)
        .chip("platform/b", 0, "power_meter", &[("power1_input", "2000000")]);
    assert_eq!(told(sensor.as_mut()), ["!vanished", "!vanished"]);
    assert_eq!(told(sensor.as_mut()), before);
    assert!(Arc::ptr_eq(&source, &sensor.read().good[0].source));
    // A new process gives the same names.
    assert_eq!(machine.told(), before);
}

#[test]
fn a_meter_that_goes_does_not_rename_the_other() {
    let machine = Machine::new();
    machine
        .chip("platform/a", 0, "power_meter", &[("power1_input", "1000000")])
        .chip("platform/b", 1, "power_meter", &[("power1_input", "2000000")]);
    let mut sensor = machine.sensor();
    drop(sensor.read());
    machine.unplug("platform/a", 0);
    assert_eq!(past_a_scan(sensor.as_mut()), ["!vanished", "meter acpi-1=2W"]);
    machine.chip("platform/a", 5, "power_meter", &[("power1_input", "1000000")]);
    machine.chip("platform/0", 6, "power_meter", &[("power1_input", "3000000")]);
    let all = ["meter acpi-0=1W", "meter acpi-1=2W", "meter acpi-2=3W"];
    assert_eq!(past_a_scan(sensor.as_mut()), all);
}

#[test]
fn two_of_a_name_are_told_apart() {
    let machine = Machine::new();
    for (device, number) in [("i2c-1/1-0040", 3), ("i2c-1/1-0041", 2)] {
        let files = [("in1_label", "CPU"), ("in1_input", "5000"), ("curr1_input", "1000")];
        machine.chip(device, number, "ina3221", &files);
    }
    assert_eq!(machine.told(), ["cpu-1-0041=5W", "cpu=5W"]);
}

#[test]
fn a_broken_sensor_costs_that_sensor() {
    let long = "1".repeat(5000);
    for bad in [&b""[..], b"garbage", b"-5", b"\x00\x01", b"\xff\xfe", long.as_bytes()] {
        let machine = Machine::new();
        machine
            .chip("platform/a", 0, "power_meter", &[("power1_input", "1000000")])
            .chip("platform/b", 1, "power_meter", &[("power1_input", "2000000")])
            .write("devices/platform/a/hwmon/hwmon0/power1_input", bad);
        let mut sensor = machine.sensor();
        assert_eq!(told(sensor.as_mut()), ["!parse", "meter acpi-1=2W"]);
        assert_eq!(machine.findings(Presence::Unreadable).len(), 1);
        machine.write("devices/platform/a/hwmon/hwmon0/power1_input", "3000000\n");
        assert_eq!(told(sensor.as_mut()), ["meter acpi-0=3W", "meter acpi-1=2W"]);
    }
}

#[test]
fn a_sensor_whose_label_is_garbage_is_not_guessed() {
    let machine = Machine::new();
    grace(&machine, 1, "Module Power Socket 0", "500000000");
    grace(&machine, 2, "CPU Power Socket 0", "100000000");
    let label = "devices/LNXSYSTM:00/ACPI000D:01/power1_oem_info";
    machine.write(label, b"\xff\xfe");
    let mut sensor = machine.sensor();
    assert_eq!(told(sensor.as_mut()), ["!parse", "package-0=100W"]);
    machine.write(label, "Module Power Socket 0\n");
    drop(sensor.read());
    assert_eq!(told(sensor.as_mut()), ["meter module-0=500W", "package-0=100W"]);
    // Once known, it is known.
    machine.write(label, b"\xff\xfe");
    assert_eq!(past_a_scan(sensor.as_mut()), ["meter module-0=500W", "package-0=100W"]);
}

#[test]
fn a_chip_without_a_name_is_told() {
    let machine = Machine::new();
    machine
        .chip("platform/a", 0, "power_meter", &[("power1_input", "1000000")])
        .chip("platform/b", 1, "", &[("power1_input", "2000000")]);
    assert_eq!(machine.told(), ["!parse", "meter acpi-0=1W"]);
    let odd = OsString::from_vec(b"hwmon\xff".to_vec());
    fs::create_dir(machine.sys("class/hwmon").join(odd)).unwrap();
    assert_eq!(machine.findings(Presence::Unreadable).len(), 2);
}

#[test]
fn plain_directories_without_devices_serve() {
    let machine = Machine::new();
    for (number, text) in [(0, "CPU Power Socket 1"), (10, "CPU Power Socket 0")] {
        let chip = format!("class/hwmon/hwmon{number}");
        machine
            .write(&format!("{chip}/name"), "power_meter\n")
            .write(&format!("{chip}/device/power1_oem_info"), text)
            .write(&format!("{chip}/device/power1_average"), "1000000\n");
    }
    machine
        .write("class/hwmon/hwmon3/name", "mystery\n")
        .write("class/hwmon/hwmon3/power1_input", "5000000\n");
    let told = ["meter mystery-power1=5W", "package-0=1W", "package-1=1W"];
    assert_eq!(machine.told(), told);
}

#[test]
fn no_chips_are_no_error() {
    let machine = Machine::new();
    machine.chip("platform/coretemp.0", 0, "coretemp", &[("temp1_input", "40000")]);
    let Discovery { sensors, findings } = machine.discover();
    assert!(sensors.is_empty());
    assert_eq!(findings[0].state, Presence::Absent);
    assert!(findings[0].mend.contains("acpi_power_meter"));
    fs::remove_dir_all(machine.sys("class/hwmon")).unwrap();
    assert_eq!(machine.discover().findings[0].state, Presence::Absent);
}
