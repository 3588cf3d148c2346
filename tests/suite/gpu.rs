//! Who uses the GPUs, through a library that speaks NVML's C interface and plays a scenario.

use crate::nvml::standin;
use gramwatt::clock;
use gramwatt::sensor::{Fault, Roots, Sensor, nvml};
use gramwatt::workload::gpu::{Eye, Gpus, Looker, Observer, Sight};
use gramwatt::workload::{DeviceName, ProcessUse};
use nvml_standin::scenario::Scenario;
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A machine that plays a scenario, with a clock that a test sets.
struct Machine {
    folder: TempDir,
}

impl Machine {
    fn new(mut scenario: Json) -> Self {
        let folder = TempDir::new().unwrap();
        fs::copy(standin(), folder.path().join("nvml.so")).unwrap();
        scenario["clock_file"] = "clock".into();
        scenario["init_log"] = "loads".into();
        fs::write(folder.path().join("nvml.so.json"), scenario.to_string()).unwrap();
        let machine = Self { folder };
        machine.set(0.0);
        machine
    }

    fn set(&self, t: f64) {
        let new = self.folder.path().join("clock.new");
        fs::write(&new, (t * 1000.0).to_string()).unwrap();
        fs::rename(new, self.folder.path().join("clock")).unwrap();
    }

    fn library(&self) -> PathBuf {
        self.folder.path().join("nvml.so")
    }

    fn sys(&self) -> PathBuf {
        self.folder.path().join("sys")
    }

    fn looker(&self) -> Looker {
        Looker::new(&self.library(), &self.sys())
    }

    fn look(&self, looker: &mut Looker, t: f64) -> (Gpus, Vec<Fault>) {
        self.set(t);
        looker.look(Duration::from_secs_f64(3600.0 + t))
    }

    /// Looks that are well.
    fn see(&self, looker: &mut Looker, t: f64) -> Gpus {
        let (gpus, faults) = self.look(looker, t);
        assert!(faults.is_empty(), "at {t}: {faults:?}");
        gpus
    }

    fn loads(&self) -> usize {
        let log = fs::read_to_string(self.folder.path().join("loads")).unwrap();
        log.lines().count()
    }

    fn sleep(&self, n: u32, status: &str) {
        let place = format!("bus/pci/devices/0000:{:02x}:00.0/power", 0x1a + n);
        let place = self.sys().join(place);
        fs::create_dir_all(&place).unwrap();
        fs::write(place.join("runtime_status"), status).unwrap();
    }
}

fn uuid(n: u32) -> String {
    format!("GPU-0000000{n}-aaaa-bbbb-cccc-dddddddddddd")
}

fn h100(n: u32, more: Json) -> Json {
    let mut gpu = json!({
        "uuid": uuid(n),
        "name": "NVIDIA H100 80GB HBM3",
        "pci": format!("00000000:{:02X}:00.0", 0x1a + n),
        "architecture": 9,
        "waveform": [{"seconds": 1, "shape": {"constant": 100}}],
    });
    for (key, value) in more.as_object().unwrap() {
        gpu[key] = value.clone();
    }
    gpu
}

/// Process, instance and percent, of one GPU.
fn uses(gpus: &Gpus, n: u32) -> Vec<(u32, Option<&str>, Option<f64>)> {
    let here = gpus.uses.iter().filter(|one| *one.device == *uuid(n));
    let percent = |one: &ProcessUse| one.busy.map(|busy| (busy * 1e4).round() / 1e2);
    here.map(|one| (one.pid, one.instance.as_deref(), percent(one)))
        .collect()
}

fn sights(gpus: &Gpus) -> Vec<Sight> {
    gpus.cards.iter().map(|card| card.sight).collect()
}

fn waits_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn each_process_has_its_mean_since_the_look_before() {
    for records in ["mean", "each"] {
        let processes = json!([
            {"pid": 10, "sm": 60},
            {"pid": 11, "sm": 20, "from": 7.5},
            {"pid": 12, "sm": 0, "kind": "graphics"},
            {"pid": 13, "sm": 10, "kind": "mps", "until": 11},
            {"pid": 14, "sm": 20, "from": 12, "until": 14},
            {"pid": 15, "sm": 30, "kind": "unlisted", "from": 20},
            // One that draws and computes is in two lists.
            {"pid": 12, "sm": 0},
        ]);
        let gpu = h100(0, json!({"processes": processes, "records": records}));
        let machine = Machine::new(json!({"gpus": [gpu, h100(1, json!({}))]}));
        let mut looker = machine.looker();
        let first = machine.see(&mut looker, 0.0);
        assert_eq!(sights(&first), [Sight::Processes; 2], "nothing before it");
        assert_eq!(first.from, first.at);
        assert_eq!(
            uses(&first, 0),
            [(10, None, None), (12, None, None), (13, None, None)]
        );
        let gpus = machine.see(&mut looker, 5.0);
        assert_eq!(sights(&gpus), [Sight::Full; 2]);
        assert_eq!(
            (gpus.from, gpus.at),
            (Duration::from_secs(3600), Duration::from_secs(3605))
        );
        let idle = (12, None, Some(0.0));
        assert_eq!(
            uses(&gpus, 0),
            [(10, None, Some(60.0)), idle, (13, None, Some(10.0))]
        );
        assert!(uses(&gpus, 1).is_empty());
        // In the second half another began.
        let gpus = machine.see(&mut looker, 10.0);
        assert_eq!(uses(&gpus, 0)[1].0, 11);
        let busy = uses(&gpus, 0)[1].2.unwrap();
        assert!((busy - 10.0).abs() < 1.5, "{records}: {busy}");
        // One was there for two seconds only, and is told of.
        let gpus = machine.see(&mut looker, 15.0);
        let short = uses(&gpus, 0).into_iter().find(|one| one.0 == 14).unwrap();
        assert_eq!(short.2, Some(8.0), "{records}");
        assert!(
            gpus.unlisted.iter().map(|(_, pid)| *pid).eq([13, 14]),
            "{records}"
        );
        machine.see(&mut looker, 20.0);
        let gpus = machine.see(&mut looker, 25.0);
        assert!(
            gpus.unlisted.iter().map(|(_, pid)| *pid).eq([15]),
            "{records}"
        );
        let all = [
            (10, None, Some(60.0)),
            (11, None, Some(20.0)),
            idle,
            (15, None, Some(30.0)),
        ];
        // More than all of the time is scaled down.
        let sum = 1.1;
        for (is, should) in uses(&gpus, 0).iter().zip(all) {
            let share = should.2.unwrap() / sum;
            assert!(
                is.0 == should.0 && (is.2.unwrap() - share).abs() < 0.01,
                "{records}: {is:?}"
            );
        }
    }
}

#[test]
fn zombies_are_dropped_and_gpus_that_do_not_tell_say_so() {
    let processes = json!([{"pid": 10, "sm": 60}, {"pid": 11, "sm": 4_294_967_295_u32}]);
    let silent = json!({"processes": processes, "process_utilization": false});
    let gpus = [h100(0, json!({"processes": processes})), h100(1, silent)];
    let machine = Machine::new(json!({"gpus": gpus}));
    let mut looker = machine.looker();
    machine.see(&mut looker, 0.0);
    let gpus = machine.see(&mut looker, 5.0);
    assert_eq!(
        uses(&gpus, 0),
        [(10, None, Some(60.0)), (11, None, Some(0.0))]
    );
    assert_eq!(uses(&gpus, 1), [(10, None, None), (11, None, None)]);
    assert_eq!(sights(&gpus), [Sight::Full, Sight::Processes]);
    assert!(gpus.cards[0].told() && !gpus.cards[1].told());
}

fn divided(n: u32, more: Json) -> Json {
    let instance = |id: u32, compute: u32, slices: u32| {
        json!({"uuid": format!("MIG-{n}-{id}-{compute}"), "gpu_instance": id, "compute_instance": compute,
               "slices": slices, "memory_mb": 9856})
    };
    let mut mig = vec![
        instance(1, 0, 3),
        instance(5, 0, 2),
        instance(9, 0, 2),
        instance(9, 1, 2),
    ];
    mig[1]["from"] = 20.into();
    mig[2]["compute_slices"] = 1.into();
    mig[3]["compute_slices"] = 1.into();
    let processes = json!([
        {"pid": 20, "sm": 50, "gpu_instance": 1},
        {"pid": 21, "sm": 50, "gpu_instance": 9, "compute_instance": 1},
        {"pid": 22, "sm": 50, "gpu_instance": 5, "from": 20},
    ]);
    let mut gpu = h100(n, json!({"mig": mig, "processes": processes, "minor": 4}));
    for (key, value) in more.as_object().unwrap() {
        gpu[key] = value.clone();
    }
    gpu
}

#[test]
fn a_gpu_in_parts_tells_its_instances_and_who_is_on_each() {
    // To the privileged it lists all, with the instance of each; others must ask the instances.
    for lists_all in [true, false] {
        let machine = Machine::new(json!({"gpus": [
            h100(0, json!({"mig_mode": false})),
            divided(1, json!({"mig_lists_all": lists_all})),
            h100(2, json!({"mig_mode": true})),
        ]}));
        let mut looker = machine.looker();
        machine.see(&mut looker, 0.0);
        let gpus = machine.see(&mut looker, 5.0);
        let divided: Vec<bool> = gpus.cards.iter().map(|card| card.divided).collect();
        assert_eq!(divided, [false, true, true]);
        assert_eq!(
            sights(&gpus),
            [Sight::Full, Sight::Processes, Sight::Processes]
        );
        assert!(gpus.cards[2].instances.is_empty());
        let slices = |gpus: &Gpus| -> Vec<(String, u32, u32)> {
            let all = gpus.cards[1].instances.iter();
            all.map(|one| (one.uuid.to_string(), one.slices, one.of))
                .collect()
        };
        let is = |uuid: &str, slices| (uuid.to_owned(), slices, 7);
        assert_eq!(
            slices(&gpus),
            [is("MIG-1-1-0", 3), is("MIG-1-9-0", 1), is("MIG-1-9-1", 1)]
        );
        let before = [(20, Some("MIG-1-1-0"), None), (21, Some("MIG-1-9-1"), None)];
        assert_eq!(uses(&gpus, 1), before, "lists all: {lists_all}");
        // Another instance is made, and used at once.
        let gpus = machine.see(&mut looker, 25.0);
        assert_eq!(slices(&gpus)[1], is("MIG-1-5-0", 2));
        assert_eq!(uses(&gpus, 1)[2], (22, Some("MIG-1-5-0"), None));
        let name = DeviceName::Instance {
            minor: 4,
            gpu_instance: 5,
        };
        let (whole, part) = gpus.resolve(&name).unwrap();
        assert_eq!((&*whole, part.as_deref()), (&*uuid(1), Some("MIG-1-5-0")));
        let (whole, part) = gpus
            .resolve(&DeviceName::Pci("0000:1b:00.0".into()))
            .unwrap();
        assert_eq!((&*whole, part), (&*uuid(1), None));
    }
}

#[test]
fn a_sleeping_gpu_is_not_asked() {
    // Whoever calls it while it sleeps is told so.
    let failures = json!({"failures": [{"from": 5, "until": 100, "code": 999}],
                          "processes": [{"pid": 10, "sm": 60}]});
    let gpus = [
        h100(0, failures),
        h100(1, json!({"processes": [{"pid": 11, "sm": 30}]})),
    ];
    let machine = Machine::new(json!({"gpus": gpus}));
    machine.sleep(0, "active\n");
    let mut looker = machine.looker();
    assert_eq!(machine.see(&mut looker, 0.0).uses.len(), 2);
    machine.sleep(0, "suspended\n");
    for n in 1..20 {
        let gpus = machine.see(&mut looker, f64::from(n) * 5.0);
        assert_eq!(sights(&gpus), [Sight::Asleep, Sight::Full]);
        assert_eq!(uses(&gpus, 1), [(11, None, Some(30.0))]);
        assert!(uses(&gpus, 0).is_empty());
        assert!(
            gpus.resolve(&DeviceName::Index(0)).is_some(),
            "it is still held by its name"
        );
    }
    machine.sleep(0, "active\n");
    let gpus = machine.see(&mut looker, 100.0);
    assert_eq!(sights(&gpus), [Sight::Full; 2]);
    assert_eq!(machine.loads(), 1);
}

#[test]
fn a_gpu_that_sleeps_while_another_is_lost_is_not_woken() {
    let lost = h100(1, json!({"absent": [[10, 1000]]}));
    let machine = Machine::new(json!({"gpus": [h100(0, json!({})), lost]}));
    let mut looker = machine.looker();
    machine.see(&mut looker, 0.0);
    machine.look(&mut looker, 10.0);
    let loads = machine.loads();
    machine.sleep(0, "suspended\n");
    let (gpus, faults) = machine.look(&mut looker, 15.0);
    assert_eq!(sights(&gpus), [Sight::Asleep, Sight::Lost]);
    assert!(faults[0].mend.contains("when no GPU sleeps"), "{faults:?}");
    assert_eq!(machine.loads(), loads);
    machine.sleep(0, "active\n");
    machine.look(&mut looker, 20.0);
    assert_eq!(machine.loads(), loads + 1);
}

#[test]
fn a_gpu_that_is_lost_costs_itself_and_comes_back() {
    let process = |pid: u32| json!([{"pid": pid, "sm": 60}]);
    for (more, reason) in [
        (json!({"absent": [[10.5, 40]]}), "vanished"),
        (
            json!({"failures": [{"from": 10.5, "until": 40, "code": 999}]}),
            "device",
        ),
        (
            json!({"failures": [{"from": 10.5, "until": 40, "code": 27}]}),
            "device",
        ),
    ] {
        let mut lost = h100(0, more);
        lost["processes"] = process(10);
        let machine =
            Machine::new(json!({"gpus": [lost, h100(1, json!({"processes": process(11)}))]}));
        let mut looker = machine.looker();
        for n in 0..=12 {
            let t = f64::from(n) * 5.0;
            let (gpus, faults) = machine.look(&mut looker, t);
            let other = gpus.card(&uuid(1)).unwrap();
            assert_eq!(uses(&gpus, 1).len(), 1, "at {t}");
            assert!(n == 0 || other.told(), "at {t}");
            let card = gpus.card(&uuid(0)).unwrap();
            if (10.5..40.0).contains(&t) {
                assert_eq!(card.sight, Sight::Lost, "at {t}");
                assert!(uses(&gpus, 0).is_empty());
                assert_eq!(faults.len(), 1, "{faults:?}");
                assert_eq!(faults[0].reason(), reason);
                assert!(faults[0].place.contains(&uuid(0)), "{}", faults[0].place);
            } else if !(10.0..=45.0).contains(&t) {
                assert!(faults.is_empty(), "at {t}: {faults:?}");
                assert_eq!(uses(&gpus, 0).len(), 1, "at {t}");
            }
        }
    }
}

#[test]
fn the_sensor_can_renew_the_library_while_processes_are_looked_at() {
    let gpu = h100(0, json!({"processes": [{"pid": 10, "sm": 60}]}));
    let machine = Machine::new(json!({"gpus": [gpu], "unloaded": [[40.5, 45]]}));
    let roots = Roots {
        sys: machine.sys(),
        proc: machine.folder.path().join("proc"),
        node: "".into(),
    };
    let config = nvml::Config {
        library: machine.library(),
        ..nvml::Config::default()
    };
    let mut sensor: Box<dyn Sensor> = nvml::discover(&roots, &config).sensors.remove(0);
    let mut looker = machine.looker();
    let mut back = (None, None);
    for t in 0..=120 {
        machine.set(f64::from(t));
        let is_read = !sensor.read().good.is_empty();
        if t > 44 && is_read {
            back.0 = back.0.or(Some(t));
        }
        if t % 5 == 0 {
            let (gpus, _) = machine.look(&mut looker, f64::from(t));
            if t > 44 && uses(&gpus, 0).len() == 1 {
                back.1 = back.1.or(Some(t));
            }
        }
    }
    assert!(back.0.is_some_and(|t| t <= 80), "the sensor: {back:?}");
    assert!(back.1.is_some_and(|t| t <= 85), "the processes: {back:?}");
}

#[test]
fn a_library_that_does_not_start_is_tried_again() {
    for code in [9, 18, 999] {
        let failures = json!([{"from": 0, "until": 40, "code": code}]);
        let gpu = h100(0, json!({"processes": [{"pid": 10, "sm": 60}]}));
        let machine = Machine::new(json!({"gpus": [gpu], "init_failures": failures}));
        let mut looker = machine.looker();
        for n in 0..8 {
            let (gpus, faults) = machine.look(&mut looker, f64::from(n) * 5.0);
            assert_eq!((gpus.cards.len(), faults.len()), (0, 1), "{code}");
            assert!(!faults[0].mend.is_empty());
        }
        let back =
            (8..40).find(|n| machine.look(&mut looker, f64::from(*n) * 5.0).0.uses.len() == 1);
        assert!(back.is_some_and(|n| n <= 20), "{code}: {back:?}");
        assert!(machine.loads() <= 5, "{code}: {} loads", machine.loads());
    }
}

#[test]
fn an_observer_looks_by_itself_until_it_is_dropped() {
    let gpu = h100(
        0,
        json!({"processes": [{"pid": 10, "sm": 60, "until": 60}]}),
    );
    let machine = Machine::new(json!({"gpus": [gpu]}));
    let every = Duration::from_millis(2);
    let observer = Observer::start(&machine.library(), &machine.sys(), every).unwrap();
    let first = waits_for("a look", || observer.latest());
    assert_eq!(first.cards.len(), 1);
    machine.set(5.0);
    let gpus = waits_for("a mean", || {
        observer
            .latest()
            .filter(|gpus| !gpus.uses.is_empty() && gpus.uses[0].busy.is_some())
    });
    assert_eq!(uses(&gpus, 0)[0].0, 10);
    assert!(gpus.from < gpus.at && gpus.at <= clock::now().boot);
    assert_eq!(observer.health().source, "nvidia-processes");
    assert!(observer.health().faults.is_empty());
    machine.set(100.0);
    waits_for("the end of the process", || {
        observer.latest().filter(|gpus| gpus.uses.is_empty())
    });
    // Its thread holds what it shares until it ends.
    let last = Arc::downgrade(&waits_for("a look", || observer.latest()));
    drop(observer);
    waits_for("the end of the thread", || {
        last.upgrade().is_none().then_some(())
    });
}

#[test]
fn without_a_library_there_is_no_observer_and_with_a_broken_one_there_is() {
    let folder = TempDir::new().unwrap();
    let library = folder.path().join("libnvidia-ml.so.1");
    let every = Duration::from_secs(5);
    let start = |library: &Path| Observer::start(library, folder.path(), every);
    assert!(start(&library).is_none());
    assert!(start(Path::new("libnvidia-ml-that-nobody-has.so.1")).is_none());
    fs::write(&library, "no library").unwrap();
    let observer = start(&library).unwrap();
    let fault = waits_for("a fault", || observer.health().faults.pop());
    assert!(fault.mend.contains("--sensor.nvml.library"), "{fault:?}");
    assert!(waits_for("a look", || observer.latest()).cards.is_empty());
    assert!(Observer::start_amd(folder.path(), every).is_none());
    fs::create_dir_all(folder.path().join("class/kfd/kfd/proc")).unwrap();
    fs::create_dir_all(folder.path().join("class/kfd/kfd/topology/nodes")).unwrap();
    let observer = Observer::start_amd(folder.path(), every).unwrap();
    assert!(waits_for("a look", || observer.latest()).cards.is_empty());
    assert!(observer.health().faults.is_empty());
}

#[test]
fn a_library_that_hangs_costs_its_thread_only() {
    let gpu = h100(0, json!({"processes": [{"pid": 10, "sm": 60}]}));
    let machine = Machine::new(json!({"gpus": [gpu], "hangs": [[0, 10], [20, 30]]}));
    let every = Duration::from_millis(2);
    let start = Instant::now();
    let observer = Observer::start(&machine.library(), &machine.sys(), every).unwrap();
    assert!(
        start.elapsed() < Duration::from_secs(20),
        "it is not waited for"
    );
    assert!(observer.latest().is_none());
    machine.set(10.0);
    let seen = waits_for("a look", || observer.latest());
    let last = Arc::downgrade(&seen);
    drop(seen);
    machine.set(20.0);
    drop(observer);
    machine.set(30.0);
    waits_for("the end of the thread", || {
        last.upgrade().is_none().then_some(())
    });
}

/// What the machine of the day is told to do, and who drew what.
fn day() -> (Json, Json) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/days/eight-gpus");
    let read =
        |name: &str| serde_json::from_str(&fs::read_to_string(folder.join(name)).unwrap()).unwrap();
    (read("nvml.json"), read("truth.json"))
}

fn list(value: &Json) -> &[Json] {
    value.as_array().unwrap()
}

fn number(value: &Json) -> f64 {
    value.as_f64().unwrap()
}

#[test]
fn the_truth_of_the_day_is_what_its_gpus_draw() {
    let (scenario, truth) = day();
    let played: Scenario = serde_json::from_value(scenario).unwrap();
    let mut joules: BTreeMap<&str, f64> = BTreeMap::new();
    for (gpu, told) in played.gpus.iter().zip(list(&truth["gpus"])) {
        let mut sum = number(&told["idle_watts"]) * 120.0;
        for span in list(&told["active"]) {
            let active = number(&span["watts"]) * (number(&span["until"]) - number(&span["from"]));
            sum += active;
            *joules.entry(span["who"].as_str().unwrap()).or_default() += active;
        }
        assert!((gpu.joules(120.0) - sum).abs() < 1e-6, "{}", gpu.uuid);
        assert!((number(&told["joules"]) - sum).abs() < 1e-6, "{}", gpu.uuid);
    }
    for (who, active) in truth["active_joules"].as_object().unwrap() {
        assert!(
            (joules[who.as_str()] - number(active)).abs() < 1e-6,
            "{who}"
        );
    }
}

#[test]
fn the_day_is_seen_as_it_was() {
    let (scenario, truth) = day();
    let played: Scenario = serde_json::from_value(scenario.clone()).unwrap();
    let machine = Machine::new(scenario);
    let mut looker = machine.looker();
    let mut seen = BTreeSet::new();
    // By GPU and process, the joules beyond idle by the shares of each window.
    let mut active: BTreeMap<(usize, u32), f64> = BTreeMap::new();
    for n in 0..=24 {
        let t = f64::from(n) * 5.0;
        let gpus = machine.see(&mut looker, t);
        seen.extend(gpus.uses.iter().map(|one| one.pid));
        for (number_of, gpu) in played.gpus.iter().enumerate().filter(|_| n > 0) {
            let idle = number(&truth["gpus"][number_of]["idle_watts"]) * 5.0;
            let joules = gpu.joules(t) - gpu.joules(t - 5.0) - idle;
            let here = || gpus.uses.iter().filter(|one| *one.device == *gpu.uuid);
            let sum: f64 = here().filter_map(|one| one.busy).sum();
            for one in here().filter(|_| sum > 0.0) {
                *active.entry((number_of, one.pid)).or_default() +=
                    joules * one.busy.unwrap() / sum;
            }
        }
        for told in list(&truth["gpus"]) {
            for hold in list(&told["holds"]) {
                let name = DeviceName::Uuid(hold["device"].as_str().unwrap().into());
                let (whole, part) = gpus.resolve(&name).unwrap();
                assert_eq!(*whole, *told["uuid"].as_str().unwrap());
                assert_eq!(
                    part.is_some(),
                    hold["device"].as_str().unwrap().starts_with("MIG-")
                );
            }
        }
    }
    for told in list(&truth["gpus"]) {
        for span in list(&told["active"]) {
            let pid = span["pid"].as_u64().unwrap() as u32;
            assert!(
                seen.contains(&pid),
                "{pid}, who was there for a moment only"
            );
        }
    }
    for (place, who, joules) in [
        ((0, 1000), "all alone", 45_110.0),
        ((4, 2000), "serve/chat", 28_000.0),
        ((4, 2001), "serve/embed", 9_600.0),
        ((7, 7000), "host", 5_400.0),
    ] {
        let is = active[&place];
        assert!(
            (is / joules - 1.0).abs() < 0.05,
            "{who}: {is}, should be {joules}"
        );
    }
}
