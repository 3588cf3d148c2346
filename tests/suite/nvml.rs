//! NVIDIA GPUs, through a library that speaks NVML's C interface and plays a scenario.

use gramwatt::clock::Moment;
use gramwatt::ledger::{Ledger, Method, Reader};
use gramwatt::sensor::{
    Finding, Kind, Part, Presence, Reading, Readings, Roots, Scope, Sensor, nvml,
};
use gramwatt::units::Watts;
use nvml_standin::abi;
use nvml_wrapper_sys::bindings as sys;
use serde_json::{Value as Json, json};
use std::fs;
use std::mem::offset_of;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// The stand-in, which cargo has built beside this test.
pub fn standin() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().join("libnvml_standin.so")
}

/// A machine with GPUs, and what reads it.
struct Rig {
    folder: TempDir,
    sensor: Option<Box<dyn Sensor>>,
    findings: Vec<Finding>,
    ledger: Ledger,
}

impl Rig {
    /// A machine that plays a scenario. It has a copy of the library: a library that is loaded twice from
    /// one file has one state.
    fn new(scenario: Json) -> Self {
        Self::with(scenario, |_| {})
    }

    fn with(mut scenario: Json, prepare: impl FnOnce(&Path)) -> Self {
        let folder = TempDir::new().unwrap();
        let library = folder.path().join("nvml.so");
        fs::copy(standin(), &library).unwrap();
        scenario["clock_file"] = "clock".into();
        fs::write(folder.path().join("nvml.so.json"), scenario.to_string()).unwrap();
        fs::write(folder.path().join("clock"), "0").unwrap();
        prepare(folder.path());
        let found = nvml::discover(&roots(folder.path()), &config(&library));
        Self {
            folder,
            sensor: found.sensors.into_iter().next(),
            findings: found.findings,
            ledger: Ledger::default(),
        }
    }

    /// Reads and books at a time in seconds.
    fn read(&mut self, t: f64) -> Readings {
        fs::write(self.folder.path().join("clock"), (t * 1000.0).to_string()).unwrap();
        let readings = self.sensor.as_mut().unwrap().read();
        let reader = Reader {
            name: "nvml".into(),
            rank: 1,
            patience: Duration::from_secs(3),
        };
        for reading in &readings.good {
            self.ledger.record(&reader, reading, moment(t));
        }
        readings
    }

    /// Reads once a second, up to and with the end; gives the last.
    fn run(&mut self, from: u32, until: u32) -> Readings {
        (from..=until)
            .map(|t| self.read(f64::from(t)))
            .last()
            .unwrap()
    }

    fn joules(&self, part: &Part) -> f64 {
        self.ledger.account(part).unwrap().joules.0
    }

    fn method(&self, part: &Part) -> Method {
        self.ledger.account(part).unwrap().method
    }

    fn finding(&self, subject: &str) -> &Finding {
        let mut findings = self.findings.iter();
        let found = findings.find(|finding| finding.subject.contains(subject));
        found.unwrap_or_else(|| panic!("{subject}: {:?}", self.findings))
    }
}

fn roots(folder: &Path) -> Roots {
    Roots {
        sys: folder.join("sys"),
        proc: folder.join("proc"),
        node: "".into(),
    }
}

fn config(library: &Path) -> nvml::Config {
    nvml::Config {
        library: library.to_owned(),
        ..nvml::Config::default()
    }
}

fn moment(t: f64) -> Moment {
    let start = Moment {
        awake: Duration::from_secs(3600),
        boot: Duration::from_secs(3600),
        wall: "2026-01-01T00:00:00Z".parse().unwrap(),
    };
    start.later(Duration::from_secs_f64(t))
}

const PASCAL: u32 = 4;
const TURING: u32 = 6;
const AMPERE: u32 = 7;
const HOPPER: u32 = 9;

fn constant(watts: f64) -> Json {
    json!([{"seconds": 1, "shape": {"constant": watts}}])
}

/// GPU number `n` of a model, drawing 100 W and n more.
fn gpu(n: u32, name: &str, architecture: u32, more: Json) -> Json {
    let mut gpu = json!({
        "uuid": uuid(n),
        "name": name,
        "pci": format!("00000000:{:02X}:00.0", 0x1a + n),
        "architecture": architecture,
        "waveform": constant(100.0 + f64::from(n)),
    });
    for (key, value) in more.as_object().unwrap() {
        gpu[key] = value.clone();
    }
    gpu
}

fn uuid(n: u32) -> String {
    format!("GPU-0000000{n}-aaaa-bbbb-cccc-dddddddddddd")
}

fn h100(n: u32, more: Json) -> Json {
    gpu(n, "NVIDIA H100 80GB HBM3", HOPPER, more)
}

fn device(n: u32) -> Part {
    Part::Device {
        id: uuid(n).into(),
        kind: Kind::Gpu,
    }
}

fn module(n: u32) -> Part {
    Part::Meter {
        id: format!("module-{}", uuid(n)).into(),
        scope: Scope::Module,
    }
}

fn memory(n: u32) -> Part {
    Part::Domain {
        device: uuid(n).into(),
        domain: "memory".into(),
    }
}

fn reading<'a>(readings: &'a Readings, part: &Part) -> Option<&'a Reading> {
    readings
        .good
        .iter()
        .find(|reading| reading.source.part == *part)
}

fn near(is: f64, should: f64, share: f64) {
    assert!(
        (is - should).abs() <= share * should,
        "{is}, should be {should}"
    );
}

#[test]
fn eight_h100_are_counted() {
    let more = json!({"tick_ms": 20, "limit_watts": 700, "utilization": 50, "memory_share": 0.25});
    let gpus: Vec<Json> = (0..8).map(|n| h100(n, more.clone())).collect();
    let mut rig = Rig::new(json!({"driver": "580.95.05", "gpus": gpus}));
    assert_eq!(rig.findings.len(), 9);
    assert!(
        rig.finding("library")
            .detail
            .contains("driver 580.95.05, 8 GPUs")
    );
    assert!(
        rig.finding(&uuid(7))
            .detail
            .ends_with("0000:21:00.0: energy counter")
    );
    let last = rig.run(0, 60);
    assert!(last.bad.is_empty(), "{:?}", last.bad);
    assert_eq!(last.good.len(), 16, "a GPU and its memory each");
    for n in 0..8 {
        let watts = 100.0 + f64::from(n);
        near(rig.joules(&device(n)), watts * 60.0, 1e-6);
        near(rig.joules(&memory(n)), watts * 15.0, 1e-6);
        assert_eq!(rig.method(&device(n)), Method::Counter);
        let reading = reading(&last, &device(n)).unwrap();
        assert_eq!(reading.utilization, Some(0.5));
        assert_eq!(reading.power_limit, Some(Watts(700.0)));
        let about = &reading.source.about;
        assert_eq!(about.vendor, "NVIDIA");
        assert_eq!(about.model, "NVIDIA H100 80GB HBM3");
        assert_eq!(about.uuid, uuid(n));
        assert_eq!(about.pci_bus_id, format!("0000:{:02x}:00.0", 0x1a + n));
        assert_eq!(about.driver, "nvidia 580.95.05");
    }
}

#[test]
fn mig_instances_are_listed_and_not_counted() {
    let mig: Vec<Json> = (0..7)
        .map(|i| {
            json!({"uuid": format!("MIG-{i}"), "gpu_instance": 7 + i, "compute_instance": 0,
                        "slices": 1, "memory_mb": 4864})
        })
        .collect();
    let name = "NVIDIA A100-SXM4-40GB";
    let gpus: Vec<Json> = (0..4)
        .map(|n| {
            let mig = if n < 2 { json!(mig) } else { json!([]) };
            gpu(n, name, AMPERE, json!({"mig": mig, "utilization": 80}))
        })
        .collect();
    let mut rig = Rig::new(json!({"gpus": gpus}));
    let listed = rig
        .findings
        .iter()
        .filter(|finding| finding.detail.starts_with("MIG instance of"));
    assert_eq!(listed.count(), 14);
    let last = rig.run(0, 30);
    assert_eq!(last.good.len(), 4, "{:?}", last.good);
    for n in 0..4 {
        near(rig.joules(&device(n)), 30.0 * (100.0 + f64::from(n)), 1e-6);
        let load = reading(&last, &device(n)).unwrap().utilization;
        assert_eq!(
            load,
            (n >= 2).then_some(0.8),
            "a GPU in parts tells no load"
        );
    }
}

#[test]
fn a_p100_is_integrated_beside_a_t4_that_is_counted() {
    let p100 = gpu(0, "Tesla P100-PCIE-16GB", PASCAL, json!({"counter": false}));
    let mut rig = Rig::new(json!({"gpus": [p100, gpu(1, "Tesla T4", TURING, json!({}))]}));
    assert!(rig.finding(&uuid(0)).detail.contains("power of the moment"));
    rig.run(0, 30);
    assert_eq!(rig.method(&device(0)), Method::Integrated);
    assert_eq!(rig.method(&device(1)), Method::Counter);
    near(rig.joules(&device(0)), 3000.0, 1e-6);
    near(rig.joules(&device(1)), 3030.0, 1e-6);
}

#[test]
fn the_counter_of_a_gh200_is_its_modules() {
    let grace = json!({"module_watts": 150, "counter_of_module": true, "fields": true});
    let gpus = [gpu(0, "NVIDIA GH200 480GB", HOPPER, grace)];
    let mut rig = Rig::new(json!({"gpus": gpus}));
    let last = rig.run(0, 60);
    assert_eq!(last.good.len(), 2);
    assert_eq!(rig.method(&device(0)), Method::Integrated);
    near(rig.joules(&device(0)), 6000.0, 1e-6);
    assert_eq!(rig.method(&module(0)), Method::Counter);
    near(rig.joules(&module(0)), 15_000.0, 1e-6);
    assert!(reading(&last, &device(0)).unwrap().source.holds.is_empty());
}

#[test]
fn a_gh200_without_a_scope_of_its_own_holds_its_processor() {
    let grace = json!({"module_watts": 150, "counter_of_module": true, "fields": false});
    let mut grace = gpu(0, "NVIDIA GH200 480GB", HOPPER, grace);
    grace["power"] = false.into();
    let mut rig = Rig::new(json!({"gpus": [grace]}));
    let last = rig.run(0, 10);
    near(rig.joules(&device(0)), 2500.0, 1e-6);
    let source = &reading(&last, &device(0)).unwrap().source;
    assert_eq!(source.holds, [Kind::Cpu, Kind::Dram]);
    assert!(rig.finding(&uuid(0)).detail.contains("whole module"));
}

#[test]
fn a_vgpu_without_a_counter_is_absent_and_never_0() {
    let more = json!({"counter": false, "power": false, "utilization": 30});
    let silent = gpu(0, "GRID A100-10C", AMPERE, more);
    let more = json!({"counter": false, "mean_ms": 1000});
    let mut rig = Rig::new(json!({"gpus": [silent, gpu(1, "NVIDIA A40-48Q", AMPERE, more)]}));
    assert!(
        rig.finding(&uuid(0))
            .detail
            .contains("neither energy nor power")
    );
    assert!(rig.finding(&uuid(1)).detail.contains("mean of a second"));
    let last = rig.run(0, 12);
    assert!(last.bad.is_empty(), "{:?}", last.bad);
    assert!(rig.ledger.account(&device(0)).is_none());
    near(rig.joules(&device(1)), 12.0 * 101.0, 1e-6);
}

#[test]
fn a_gpu_off_the_bus_costs_itself_and_comes_back() {
    let lost = h100(
        0,
        json!({"absent": [[10.5, 40]], "counter_resets_at": [40]}),
    );
    let mut rig = Rig::new(json!({"gpus": [lost, h100(1, json!({}))]}));
    let mut back = None;
    for t in 0..=100 {
        let readings = rig.read(f64::from(t));
        assert!(
            reading(&readings, &device(1)).is_some(),
            "the other goes on at {t}"
        );
        let is_here = reading(&readings, &device(0)).is_some();
        assert_eq!(
            readings.bad.len(),
            usize::from(!is_here),
            "at {t}: {:?}",
            readings.bad
        );
        for fault in &readings.bad {
            assert_eq!(fault.place, format!("{} at 0000:1a:00.0", uuid(0)));
            assert_eq!(fault.reason(), "vanished");
            assert!(fault.mend.contains("Xid 79"), "{}", fault.mend);
        }
        match t {
            0..=10 => assert!(is_here, "{t}"),
            11..40 => assert!(!is_here, "{t}"),
            _ => back = back.or(is_here.then_some(t)),
        }
    }
    let back = back.expect("it comes back");
    assert!((40..=75).contains(&back), "back at {back}");
    near(rig.joules(&device(1)), 10_100.0, 1e-6);
    // The restart of the counter is no energy; nor is the time that nobody saw.
    let seen = 10.0 + f64::from(100 - back);
    let joules = rig.joules(&device(0));
    assert!(
        (100.0 * (seen - 2.0)..=100.0 * seen + 0.1).contains(&joules),
        "{joules}, {seen} s"
    );
}

#[test]
fn a_driver_that_is_reloaded_restarts_the_counters() {
    let mut rig = Rig::new(json!({"gpus": [h100(0, json!({}))], "unloaded": [[40.5, 45]]}));
    let mut back = None;
    for t in 0..=100 {
        let readings = rig.read(f64::from(t));
        if t == 42 {
            assert!(readings.good.is_empty());
            assert!(
                readings.bad[0].mend.contains("modprobe nvidia"),
                "{:?}",
                readings.bad
            );
        }
        if t > 44 && !readings.good.is_empty() {
            back = back.or(Some(t));
            assert!(readings.bad.is_empty());
        }
    }
    let back = back.expect("it comes back");
    assert!(back <= 75, "{back}");
    let joules = rig.joules(&device(0));
    let seen = 40.0 + f64::from(100 - back);
    assert!(
        (100.0 * (seen - 2.0)..=100.0 * seen + 0.1).contains(&joules),
        "{joules}, {seen} s"
    );
}

#[test]
fn a_gpu_that_is_plugged_in_is_found() {
    let new = h100(1, json!({"absent": [[0, 20]]}));
    let mut rig = Rig::new(json!({"gpus": [h100(0, json!({})), new]}));
    let first = (0..=40).find(|t| reading(&rig.read(f64::from(*t)), &device(1)).is_some());
    let first = first.expect("it is found");
    assert!((20..=31).contains(&first), "{first}");
}

#[test]
fn a_sleeping_gpu_is_not_called() {
    let status = "sys/bus/pci/devices/0000:1a:00.0/power/runtime_status";
    // Whoever calls it while it sleeps is told so.
    let sleeper = h100(
        0,
        json!({"failures": [{"from": 5, "until": 30, "code": 999}]}),
    );
    let mut rig = Rig::with(json!({"gpus": [sleeper, h100(1, json!({}))]}), |folder| {
        let status = folder.join(status);
        fs::create_dir_all(status.parent().unwrap()).unwrap();
        fs::write(status, "active\n").unwrap();
    });
    assert_eq!(rig.run(0, 4).good.len(), 2);
    fs::write(rig.folder.path().join(status), "suspended\n").unwrap();
    for t in 5..30 {
        let readings = rig.read(f64::from(t));
        assert_eq!(readings.good.len(), 1);
        assert!(readings.bad.is_empty(), "{t}: {:?}", readings.bad);
    }
    fs::write(rig.folder.path().join(status), "active\n").unwrap();
    assert_eq!(rig.run(30, 35).good.len(), 2);
}

#[test]
fn each_failure_of_a_gpu_costs_that_gpu_and_says_what_to_do() {
    for (code, reason, mend) in [
        (4, "permission", "/dev/nvidiactl"),
        (15, "vanished", "Xid 79"),
        (16, "device", "--gpu-reset"),
        (18, "device", "restart gramwatt"),
        (27, "device", "dmesg"),
        (999, "device", "restart the container"),
    ] {
        let failures = json!({"failures": [{"from": 5, "until": 60, "code": code}]});
        let mut rig = Rig::new(json!({"gpus": [h100(0, json!({})), h100(1, failures)]}));
        for t in 0..=100 {
            let readings = rig.read(f64::from(t));
            assert!(reading(&readings, &device(0)).is_some(), "{code} at {t}");
            if (5..60).contains(&t) {
                let [fault] = readings.bad.as_slice() else {
                    panic!("{code} at {t}: {:?}", readings.bad)
                };
                assert_eq!(fault.reason(), reason, "{code} at {t}");
                assert!(fault.mend.contains(mend), "{code} at {t}: {}", fault.mend);
                assert!(
                    fault.place.contains(&uuid(1)),
                    "{code} at {t}: {}",
                    fault.place
                );
            }
        }
        near(rig.joules(&device(0)), 10_000.0, 1e-6);
        let mended = rig.read(101.0);
        assert_eq!(mended.good.len(), 2, "{code}: {:?}", mended.bad);
    }
}

#[test]
fn a_library_that_does_not_start_is_tried_again() {
    for (code, mend) in [
        (9, "modprobe nvidia"),
        (18, "restart gramwatt"),
        (999, "restart the container"),
    ] {
        let failures = json!([{"from": 0, "until": 20, "code": code}]);
        let mut rig = Rig::new(json!({"gpus": [h100(0, json!({}))], "init_failures": failures}));
        let finding = rig.finding("library");
        assert_eq!(finding.state, Presence::Unreadable);
        assert!(finding.mend.contains(mend), "{}", finding.mend);
        let early = rig.run(0, 19);
        assert!(
            early.good.is_empty() && early.bad[0].mend.contains(mend),
            "{early:?}"
        );
        assert_eq!(rig.run(20, 40).good.len(), 1);
    }
}

#[test]
fn a_gpu_that_stays_away_is_looked_for_ever_more_seldom() {
    let lost = h100(0, json!({"absent": [[10.5, 3000]]}));
    let mut rig = Rig::new(json!({"gpus": [lost, h100(1, json!({}))], "init_log": "loads"}));
    let loads = |rig: &Rig| {
        let log = fs::read_to_string(rig.folder.path().join("loads")).unwrap();
        log.lines().count()
    };
    rig.run(0, 10);
    assert_eq!(loads(&rig), 1);
    rig.run(11, 2000);
    // At once, after 30 reads, 60, 120, 240, 480, and then every 600.
    assert_eq!(loads(&rig), 1 + 6 + 1);
    let back = (2001..4000).find(|t| reading(&rig.read(f64::from(*t)), &device(0)).is_some());
    assert!((3000..=3601).contains(&back.unwrap()), "{back:?}");
}

#[test]
fn a_library_that_is_not_there_is_no_error_and_one_that_is_broken_is() {
    let folder = TempDir::new().unwrap();
    let library = folder.path().join("libnvidia-ml.so.1");
    let discover = || nvml::discover(&roots(folder.path()), &config(&library));
    let absent = discover();
    assert!(absent.sensors.is_empty());
    assert_eq!(absent.findings[0].state, Presence::Absent);
    assert_eq!(absent.findings[0].mend, "");
    // With a GPU on the bus somebody will want to know why.
    let gpu = folder.path().join("sys/bus/pci/devices/0000:1a:00.0");
    fs::create_dir_all(&gpu).unwrap();
    fs::write(gpu.join("vendor"), "0x10de\n").unwrap();
    fs::write(gpu.join("class"), "0x030200\n").unwrap();
    assert!(
        discover().findings[0]
            .mend
            .contains("NVIDIA_VISIBLE_DEVICES=all")
    );
    fs::write(&library, "no library").unwrap();
    let mut broken = discover();
    assert_eq!(broken.findings[0].state, Presence::Unreadable);
    let readings = broken.sensors[0].read();
    assert!(
        readings.bad[0].mend.contains("--sensor.nvml.library"),
        "{readings:?}"
    );
}

/// A waveform for the scenario, and its energy up to a time in closed form.
struct Wave {
    name: &'static str,
    segments: Json,
    joules: fn(f64) -> f64,
    /// Whether all of it lasts 2 s or longer.
    slow: bool,
}

/// Energy of a square wave: `high` for the first `on` seconds of each period.
fn square(t: f64, low: f64, high: f64, period: f64, on: f64) -> f64 {
    let periods = (t / period).floor();
    low * t + (high - low) * (periods * on + (t - periods * period).min(on))
}

fn waves() -> Vec<Wave> {
    let wave = |name, shape: Json, joules, slow| Wave {
        name,
        segments: json!([{"seconds": 600, "shape": shape}]),
        joules,
        slow,
    };
    let square_of = |low: f64, high: f64, period: f64, duty: f64| json!({"square": {"low": low, "high": high, "period": period, "duty": duty}});
    vec![
        wave("idle 62 W", json!({"constant": 62}), |t| 62.0 * t, true),
        wave(
            "square 70/650 W, 60 s",
            square_of(70.0, 650.0, 60.0, 0.5),
            |t| square(t, 70.0, 650.0, 60.0, 30.0),
            true,
        ),
        wave(
            "square 70/650 W, 7.3 s",
            square_of(70.0, 650.0, 7.3, 0.5),
            |t| square(t, 70.0, 650.0, 7.3, 3.65),
            true,
        ),
        wave(
            "square 70/650 W, 4 s",
            square_of(70.0, 650.0, 4.0, 0.5),
            |t| square(t, 70.0, 650.0, 4.0, 2.0),
            true,
        ),
        wave(
            "ramp 60 to 700 W, 600 s",
            json!({"ramp": {"from": 60, "to": 700}}),
            |t| 60.0 * t + 640.0 / 1200.0 * t * t,
            true,
        ),
        wave(
            "spikes 90/690 W, 0.1 of 1.5 s",
            square_of(90.0, 690.0, 1.5, 0.1 / 1.5),
            |t| square(t, 90.0, 690.0, 1.5, 0.1),
            false,
        ),
    ]
}

#[test]
fn joules_are_true() {
    println!(
        "{:32} {:>12} {:>9} {:>9} {:>9}",
        "waveform", "truth", "counter", "1 s mean", "moment"
    );
    for wave in waves() {
        let like = |n: u32, more: Json| {
            let mut gpu = h100(n, more);
            gpu["waveform"] = wave.segments.clone();
            gpu
        };
        let gpus = [
            like(0, json!({"lag_ms": 20, "tick_ms": 20})),
            like(1, json!({"counter": false, "mean_ms": 1000})),
            like(2, json!({"counter": false})),
        ];
        let mut rig = Rig::new(json!({"gpus": gpus}));
        // Read a little off the second each time, as threads are.
        let at = |n: u32| f64::from(n) + 0.4 + f64::from(n * 7919 % 11) * 1e-3;
        for n in 2..598 {
            rig.read(at(n));
        }
        let truth = (wave.joules)(at(597)) - (wave.joules)(at(2));
        let error = |n: u32| (rig.joules(&device(n)) / truth - 1.0) * 100.0;
        let [counter, mean, moment] = [0, 1, 2].map(error);
        println!(
            "{:32} {truth:>10.0} J {counter:>8.3}% {mean:>8.3}% {moment:>8.3}%",
            wave.name
        );
        assert!(counter.abs() < 0.1, "{}: counter {counter} %", wave.name);
        assert!(mean.abs() < 2.0, "{}: 1 s mean {mean} %", wave.name);
        assert!(
            !wave.slow || moment.abs() < 2.0,
            "{}: moment {moment} %",
            wave.name
        );
    }
}

#[test]
fn a_counter_that_lags_is_late_and_loses_nothing() {
    let mut late = h100(0, json!({"lag_ms": 700, "tick_ms": 100}));
    late["waveform"] = json!([
        {"seconds": 30, "shape": {"constant": 60}},
        {"seconds": 30, "shape": {"constant": 690}},
        {"seconds": 1, "shape": {"constant": 60}},
    ]);
    let mut rig = Rig::new(json!({"gpus": [late]}));
    rig.run(1, 40);
    let should = 60.0 * 29.0 + 690.0 * 10.0;
    let behind = should - rig.joules(&device(0));
    assert!(
        (400.0..=0.81 * 690.0).contains(&behind),
        "{behind} J behind"
    );
    rig.run(41, 70);
    near(
        rig.joules(&device(0)),
        60.0 * 29.0 + 690.0 * 30.0 + 60.0 * 10.0,
        1e-3,
    );
}

macro_rules! same_layout {
    ($ours:ty, $theirs:ty: $($our:ident = $their:ident),+) => {
        assert_eq!(size_of::<$ours>(), size_of::<$theirs>(), stringify!($theirs));
        $(assert_eq!(
            offset_of!($ours, $our), offset_of!($theirs, $their), concat!(stringify!($theirs), ".", stringify!($their))
        );)+
    };
}

#[test]
fn the_stand_in_has_the_layouts_of_nvml() {
    same_layout!(abi::PciInfo, sys::nvmlPciInfo_t: bus_id_legacy = busIdLegacy, domain = domain, bus = bus,
        device = device, pci_device_id = pciDeviceId, pci_sub_system_id = pciSubSystemId, bus_id = busId);
    same_layout!(abi::FieldValue, sys::nvmlFieldValue_t: field_id = fieldId, scope_id = scopeId,
        timestamp = timestamp, latency_usec = latencyUsec, value_type = valueType, nvml_return = nvmlReturn,
        value = value);
    same_layout!(abi::Sample, sys::nvmlSample_t: timestamp = timeStamp, value = sampleValue);
    same_layout!(abi::ProcessUtilization, sys::nvmlProcessUtilizationSample_t: pid = pid,
        timestamp = timeStamp, sm = smUtil, mem = memUtil, enc = encUtil, dec = decUtil);
    same_layout!(abi::ProcessInfo, sys::nvmlProcessInfo_t: pid = pid, used_memory = usedGpuMemory,
        gpu_instance = gpuInstanceId, compute_instance = computeInstanceId);
    same_layout!(abi::Memory, sys::nvmlMemory_v2_t: version = version, total = total, reserved = reserved,
        free = free, used = used);
    same_layout!(abi::Attributes, sys::nvmlDeviceAttributes_t: multiprocessors = multiprocessorCount,
        gpu_slices = gpuInstanceSliceCount, compute_slices = computeInstanceSliceCount,
        memory_mb = memorySizeMB);
    same_layout!(abi::Utilization, sys::nvmlUtilization_t: gpu = gpu, memory = memory);
    same_layout!(abi::ProcessesUtilization, sys::nvmlProcessesUtilizationInfo_v1_t: version = version,
        count = processSamplesCount, last_seen = lastSeenTimeStamp, items = procUtilArray);
    same_layout!(abi::ProcessesUtilizationItem, sys::nvmlProcessUtilizationInfo_v1_t: timestamp = timeStamp,
        pid = pid, sm = smUtil, mem = memUtil, enc = encUtil, dec = decUtil, jpg = jpgUtil, ofa = ofaUtil);
    assert_eq!(
        [
            size_of::<abi::PciInfo>(),
            size_of::<abi::FieldValue>(),
            size_of::<abi::Memory>()
        ],
        [68, 40, 40]
    );
}

/// What the program prints about a machine with the stand-in and no other sensor.
fn gramwatt(scenario: &Json, args: &[&str]) -> (String, Option<i32>) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("scenario.json");
    fs::write(&file, scenario.to_string()).unwrap();
    fs::create_dir(folder.path().join("sys")).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_gramwatt"))
        .args(args)
        .arg(format!("--sensor.nvml.library={}", standin().display()))
        .arg(format!(
            "--state.directory={}",
            folder.path().join("books").display()
        ))
        .arg(format!(
            "--path.sysfs={}",
            folder.path().join("sys").display()
        ))
        .args(["--no-sensor.model", "--grid.intensity=400"])
        .env(nvml_standin::VARIABLE, &file)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    (text, output.status.code())
}

#[test]
fn the_program_serves_what_the_library_tells() {
    let scenario = json!({"gpus": [h100(0, json!({"limit_watts": 700, "utilization": 40}))]});
    let (page, code) = gramwatt(
        &scenario,
        &[
            "once",
            "--seconds=1",
            "--sensors.interval=200ms",
            "--format=openmetrics",
        ],
    );
    assert_eq!(code, Some(0), "{page}");
    let labels = format!("{{device=\"{}\",kind=\"gpu\"}}", uuid(0));
    let value = |name: &str| -> f64 {
        let line = page
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name}{labels} ")));
        line.unwrap_or_else(|| panic!("{name}: {page}"))
            .parse()
            .unwrap()
    };
    near(value("gramwatt_device_power_watts"), 100.0, 0.2);
    assert!(value("gramwatt_device_energy_joules_total") > 10.0);
    near(value("gramwatt_device_utilization_ratio"), 0.4, 1e-9);
    near(value("gramwatt_device_power_limit_watts"), 700.0, 1e-9);
    assert!(page.contains("model=\"NVIDIA H100 80GB HBM3\""), "{page}");
    assert!(page.contains("pci_bus_id=\"0000:1a:00.0\""), "{page}");
    assert!(
        page.contains("sensor=\"nvml\",method=\"counter\""),
        "{page}"
    );
}

#[test]
fn the_doctor_tells_what_a_gpu_tells_and_what_to_do_about_one_that_does_not() {
    let well = json!({"gpus": [h100(0, json!({})), gpu(1, "Tesla P100-PCIE-16GB", PASCAL, json!({"counter": false}))]});
    let (text, _) = gramwatt(&well, &["doctor"]);
    assert!(
        text.contains(&format!(
            "found      {}: NVIDIA H100 80GB HBM3 at 0000:1a:00.0: energy counter",
            uuid(0)
        )),
        "{text}"
    );
    assert!(
        text.contains("Tesla P100-PCIE-16GB at 0000:1b:00.0: no energy counter"),
        "{text}"
    );
    let ill = json!({"gpus": [], "init_failures": [{"from": 0, "until": 1e9, "code": 18}]});
    let (text, code) = gramwatt(&ill, &["doctor"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("error 18"), "{text}");
    assert!(
        text.contains("mend: the driver was upgraded underneath: restart gramwatt"),
        "{text}"
    );
}
