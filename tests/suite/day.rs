//! A scripted day on eight GPUs, compressed: a training on four of them, two jobs that share one, a GPU divided in
//! instances, one that is held and not used, jobs of two seconds, one that crashes, and processes of the machine's own.
//! What each truly used is known. Sensors, Slurm's control groups and environments, NVML's processes, ledger and
//! attribution are the real ones; only the clock is the test's.

use crate::program::until;
use crate::prometheus::{Prometheus, sample};
use gramwatt::carbon::Factor;
use gramwatt::clock::Moment;
use gramwatt::embodied::Making;
use gramwatt::engine::{Batch, Engine, Seat, Settings};
use gramwatt::node::Choice;
use gramwatt::sensor::{Kind, Roots, Sensor, nvml};
use gramwatt::snapshot::{Pue, Snapshot, Use, Workload};
use gramwatt::units::GramsPerKwh;
use gramwatt::workload::Health;
use gramwatt::workload::config::Workloads;
use gramwatt::workload::gpu::{self, Eye, Gpus};
use gramwatt::workload::occupancy::Inventory;
use gramwatt::workload::runs::Roster;
use gramwatt::workload::watch::{Ask, Looker, Plan};
use serde_json::{Value as Json, json};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;

/// Watts of a GPU on which nothing runs.
const REST: f64 = 60.0;
const SECONDS: u32 = 260;
const GRAMS: f64 = 360.0;

/// A job: when it runs, and what its environment and processes are.
struct Job {
    number: u32,
    from: f64,
    until: f64,
    gpus: String,
    /// UUIDs of instances, where it holds some.
    visible: String,
}

fn job(number: u32, from: f64, until: f64, gpus: &str) -> Job {
    Job {
        number,
        from,
        until,
        gpus: gpus.into(),
        visible: String::new(),
    }
}

fn jobs() -> Vec<Job> {
    let mut jobs = vec![
        job(1, 30.4, 220.0, "0-3"),
        job(2, 40.0, 200.0, "4"),
        job(3, 40.0, 200.0, "4"),
        Job {
            visible: "MIG-a".into(),
            ..job(4, 50.0, 230.0, "")
        },
        Job {
            visible: "MIG-b".into(),
            ..job(5, 50.0, 230.0, "")
        },
        job(6, 60.0, 240.0, "6"),
        // It crashes.
        job(20, 170.7, 174.1, "7"),
    ];
    for short in 0..5_u32 {
        let from = 100.3 + f64::from(short) * 11.0;
        jobs.push(job(10 + short, from, from + 2.0, "7"));
    }
    jobs
}

fn segments(parts: &[(f64, f64)]) -> Json {
    parts
        .iter()
        .map(|(seconds, watts)| json!({"seconds": seconds, "shape": {"constant": watts}}))
        .collect()
}

fn process(job: &Job, sm: u32) -> Json {
    json!({"pid": 1000 + job.number, "sm": sm, "memory_mb": 1, "from": job.from, "until": job.until})
}

fn gpu(index: usize, waveform: Json, processes: Vec<Json>) -> Json {
    json!({
        "uuid": format!("GPU-{index}"), "name": "NVIDIA H100 80GB HBM3",
        "pci": format!("00000000:{:02X}:00.0", 0x10 + index), "architecture": 9,
        "waveform": waveform, "processes": processes, "utilization_of_processes": true,
    })
}

/// What the GPUs draw and who is on them.
fn scenario() -> Json {
    let jobs = jobs();
    let of = |number: u32| jobs.iter().find(|job| job.number == number).unwrap();
    let long = |job: &Job, watts: f64| {
        segments(&[(job.from, REST), (job.until - job.from, watts), (1e9, REST)])
    };
    let mut gpus: Vec<Json> = (0..4)
        .map(|index| gpu(index, long(of(1), 400.0), vec![process(of(1), 95)]))
        .collect();
    gpus.push(gpu(
        4,
        long(of(2), 300.0),
        vec![process(of(2), 70), process(of(3), 30)],
    ));
    let instance = |uuid: &str, id: u32, slices: u32| json!({"uuid": uuid, "gpu_instance": id, "compute_instance": 0, "slices": slices, "memory_mb": 1});
    let on = |job: &Job, id: u32| {
        let mut process = process(job, 50);
        process["gpu_instance"] = id.into();
        process
    };
    let mut divided = gpu(5, long(of(4), 200.0), vec![on(of(4), 1), on(of(5), 2)]);
    divided["mig"] = json!([
        instance("MIG-a", 1, 3),
        instance("MIG-b", 2, 2),
        instance("MIG-c", 3, 1)
    ]);
    gpus.push(divided);
    gpus.push(gpu(6, segments(&[(1e9, REST)]), vec![]));
    let mut waves = Vec::new();
    let mut at = 0.0;
    let mut shorts: Vec<&Job> = jobs.iter().filter(|job| job.gpus == "7").collect();
    shorts.sort_by(|a, b| a.from.total_cmp(&b.from));
    for job in &shorts {
        waves.push((job.from - at, REST));
        waves.push((job.until - job.from, 500.0));
        at = job.until;
    }
    // A process of the machine's own.
    waves.extend([(190.0 - at, REST), (30.0, 250.0), (1e9, REST)]);
    let mut processes: Vec<Json> = shorts.iter().map(|job| process(job, 80)).collect();
    processes.push(json!({"pid": 77, "sm": 40, "memory_mb": 1, "from": 190.0, "until": 220.0}));
    gpus.push(gpu(7, segments(&waves), processes));
    json!({"clock_file": "clock", "gpus": gpus})
}

/// The machine and all that looks at it.
struct Day {
    folder: TempDir,
    sensor: Box<dyn Sensor>,
    looker: Looker,
    engine: Engine,
    users: Rc<RefCell<gpu::Looker>>,
    latest: Arc<Mutex<Option<Arc<Gpus>>>>,
    busy: f64,
}

fn moment(t: f64) -> Moment {
    let start = Moment {
        awake: Duration::from_secs(3600),
        boot: Duration::from_secs(3600),
        wall: "2026-01-01T00:00:00Z".parse().unwrap(),
    };
    start.later(Duration::from_secs_f64(t))
}

fn config() -> Workloads {
    serde_yaml::from_str("{introduce: 15s, linger: 20s}").unwrap()
}

fn settings() -> Settings {
    Settings {
        workloads: Some(config().policy()),
        factor: Factor {
            intensity: Some(GramsPerKwh(GRAMS)),
            market: None,
            pue: 1.0,
            live: true,
        },
        grid: None,
        pue: Pue::default(),
        meter: Choice::auto(),
        making: Making::default(),
        runs: gramwatt::run::book::Limits::default(),
        host: "".into(),
        demo: false,
        notes: Vec::new(),
    }
}

impl Day {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let at = |path: &str| folder.path().join(path);
        let library = at("nvml.so");
        fs::copy(crate::nvml::standin(), &library).unwrap();
        fs::write(at("nvml.so.json"), scenario().to_string()).unwrap();
        fs::write(at("clock"), "0").unwrap();
        for directory in ["sys/fs/cgroup/system.slice/slurmstepd.scope", "proc/77"] {
            fs::create_dir_all(at(directory)).unwrap();
        }
        fs::write(at("sys/fs/cgroup/cgroup.procs"), "").unwrap();
        fs::write(at("proc/77/cgroup"), "0::/system.slice/display.service\n").unwrap();
        fs::write(
            at("proc/meminfo"),
            "MemTotal: 1000 kB\nMemAvailable: 500 kB\n",
        )
        .unwrap();
        let roots = Roots {
            sys: at("sys"),
            proc: at("proc"),
            node: "".into(),
        };
        let nvml = nvml::Config {
            library: library.clone(),
            ..nvml::Config::default()
        };
        let sensor = nvml::discover(&roots, &nvml)
            .sensors
            .into_iter()
            .next()
            .unwrap();
        let users = Rc::new(RefCell::new(gpu::Looker::new(&library, &roots.sys)));
        let latest: Arc<Mutex<Option<Arc<Gpus>>>> = Arc::default();
        let given = Arc::clone(&latest);
        let gpus: Ask = Box::new(move || (given.lock().unwrap().clone(), Health::default()));
        let plan = Plan {
            config: config(),
            host: "node".into(),
            sys: roots.sys.clone(),
            proc: roots.proc.clone(),
            nvml: None,
            amd: false,
        };
        let seat = Seat {
            name: "nvml".into(),
            rank: 1,
            interval: Duration::from_secs(1),
        };
        let day = Self {
            sensor,
            looker: Looker::new(&plan, vec![gpus], Roster::default(), moment(0.0).boot),
            engine: Engine::new(settings(), &[seat], None, moment(0.0)),
            users,
            latest,
            folder,
            busy: 0.0,
        };
        day.stat();
        day
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn stat(&self) {
        let ticks = (self.busy * 100.0) as u64;
        fs::write(
            self.at("proc/stat"),
            format!("cpu  {ticks} 0 0 {} 0\ncpu0 0\n", 100_000_000 - ticks),
        )
        .unwrap();
    }

    /// Jobs come and go as the script says.
    fn play(&mut self, from: f64, until: f64) {
        for job in jobs() {
            let group = format!(
                "sys/fs/cgroup/system.slice/slurmstepd.scope/job_{}",
                job.number
            );
            if (from..until).contains(&job.from) {
                self.begin(&job, &group);
            }
            if (from..until).contains(&job.until) {
                fs::remove_dir_all(self.at(&group)).unwrap();
            }
        }
    }

    fn begin(&self, job: &Job, group: &str) {
        let pid = 1000 + job.number;
        let task = self.at(&format!("{group}/step_0/user/task_0"));
        fs::create_dir_all(&task).unwrap();
        fs::write(task.join("cgroup.procs"), format!("{pid}\n")).unwrap();
        fs::write(self.at(group).join("cpu.stat"), "usage_usec 0\n").unwrap();
        fs::write(self.at(group).join("memory.current"), "1000\n").unwrap();
        let proc = self.at(&format!("proc/{pid}"));
        fs::create_dir_all(&proc).unwrap();
        let path = format!(
            "/system.slice/slurmstepd.scope/job_{}/step_0/user/task_0",
            job.number
        );
        fs::write(proc.join("cgroup"), format!("0::{path}\n")).unwrap();
        let environment = format!(
            "SLURM_JOB_ID={}\0SLURM_JOB_ACCOUNT=lab\0SLURM_JOB_USER=ada\0SLURM_JOB_GPUS={}\0CUDA_VISIBLE_DEVICES={}\0",
            job.number, job.gpus, job.visible
        );
        fs::write(proc.join("environ"), environment).unwrap();
    }

    /// One second, at its end.
    fn second(&mut self, t: f64) -> Snapshot {
        fs::write(self.at("clock"), (t * 1000.0).to_string()).unwrap();
        let at = moment(t);
        let batch = Batch {
            sensor: "nvml".into(),
            at,
            took: Duration::ZERO,
            readings: self.sensor.read(),
        };
        self.engine.apply(&batch);
        if (t as u64).is_multiple_of(5) {
            let mut users = self.users.borrow_mut();
            assert!(!users.is_absent());
            let (found, faults) = users.look(at.boot);
            assert!(faults.is_empty(), "{faults:?}");
            *self.latest.lock().unwrap() = Some(Arc::new(found));
        }
        let shown = self.engine.tick(at);
        let census = self.looker.look(at, &Inventory::of(&shown));
        self.engine.count(census);
        self.engine.tick(at.later(Duration::from_millis(250)))
    }
}

fn of<'a>(page: &'a Snapshot, name: &str) -> Option<&'a Workload> {
    page.workloads
        .as_ref()
        .unwrap()
        .list
        .iter()
        .find(|workload| &*workload.name == name)
}

fn gpu_use(workload: &Workload) -> Use {
    *workload
        .uses
        .iter()
        .find(|used| used.kind == Kind::Gpu)
        .unwrap()
}

/// The last figures of every workload, for those of jobs leave the page; how its GPU was divided, and for how
/// many seconds.
type Last = BTreeMap<String, (f64, f64, f64, BTreeMap<&'static str, u32>)>;

/// Joules as they were scraped: by workload, second and value.
type Scraped = BTreeMap<String, Vec<(u32, f64)>>;

fn play() -> (Last, Scraped, Snapshot) {
    let mut day = Day::new();
    let (mut last, mut scraped) = (Last::new(), Scraped::new());
    let mut page = day.second(0.0);
    for second in 1..=SECONDS {
        let t = f64::from(second);
        day.play(t - 1.0, t);
        page = day.second(t);
        for workload in &page.workloads.as_ref().unwrap().list {
            if let Some(used) = workload.uses.iter().find(|used| used.kind == Kind::Gpu) {
                let reserved = used.reserved.map_or(0.0, |joules| joules.0);
                let grams = used.grams.unwrap().0;
                if second % SCRAPE == 0 {
                    let name = workload.name.to_string();
                    let samples = scraped.entry(name).or_default();
                    samples.push((second, used.joules.0));
                }
                let figures = last.entry(workload.name.to_string()).or_default();
                (figures.0, figures.1, figures.2) = (used.joules.0, grams, reserved);
                *figures.3.entry(workload.gpu_split).or_default() += 1;
            }
        }
    }
    (last, scraped, page)
}

/// Seconds from scrape to scrape.
const SCRAPE: u32 = 5;

/// What a real Prometheus makes of the scrapes.
fn increases(scraped: &Scraped) -> BTreeMap<String, f64> {
    let start = moment(0.0).wall.as_second();
    let mut history = String::from("# TYPE joules counter\n");
    for (name, samples) in scraped {
        for (second, joules) in samples {
            let at = start + i64::from(*second);
            history += &format!("joules_total{{workload=\"{name}\"}} {joules} {at}\n");
        }
    }
    history += "# EOF\n";
    let server = Prometheus::filled(&history);
    let increase = |(name, samples): (&String, &Vec<(u32, f64)>)| {
        let (from, to) = (samples[0].0, samples[samples.len() - 1].0);
        let query = format!(
            "increase(joules_total{{workload=\"{name}\"}}[{}s])",
            to - from
        );
        let at = (start + i64::from(to)) * 1000;
        let result = until("Prometheus answers", || server.query(&query, Some(at)));
        let (_, value) = sample(&result[0]["value"]);
        (name.clone(), value)
    };
    scraped.iter().map(increase).collect()
}

#[test]
fn everybody_is_billed_what_they_used() {
    let (last, scraped, page) = play();
    let mut table = String::from("| job | true J | booked J | error |\n|---|---|---|---|\n");
    let mut check = |name: &str, truth: f64, within: f64| {
        let (joules, grams, ..) = last[name];
        let error = joules / truth - 1.0;
        table += &format!(
            "| {name} | {truth:.0} | {joules:.0} | {:+.2} % |\n",
            error * 100.0
        );
        assert!(
            error.abs() <= within,
            "{name}: {joules} J booked, {truth} J used\n{table}"
        );
        assert!(
            (grams - joules / 3.6e6 * GRAMS).abs() < 1e-6 * grams.max(1.0),
            "{name}"
        );
    };
    // Held alone: exactly what the GPU drew.
    check("1", 4.0 * 400.0 * 189.6, 0.001);
    check("6", REST * 180.0, 0.001);
    for short in 10..15 {
        check(&short.to_string(), 500.0 * 2.0, 0.1);
    }
    check("20", 500.0 * 3.4, 0.1);
    // Shared: half of the rest, and of what is beyond it what each did.
    check("2", 160.0 * (REST / 2.0 + 240.0 * 0.7), 0.05);
    check("3", 160.0 * (REST / 2.0 + 240.0 * 0.3), 0.05);
    // Divided: the rest by all slices, what is beyond it by those that are held.
    check("4", 180.0 * (REST * 3.0 / 7.0 + 140.0 * 3.0 / 5.0), 0.05);
    check("5", 180.0 * (REST * 2.0 / 7.0 + 140.0 * 2.0 / 5.0), 0.05);
    // Whoever nobody looks for is the machine itself: known by looks every five seconds.
    check("system", 30.0 * 250.0, 0.2);
    println!("{table}");
    // Prometheus says the same, though it scraped no more than every five seconds and short jobs came and went.
    let increases = increases(&scraped);
    for (name, (joules, ..)) in last
        .iter()
        .filter(|(name, _)| *name != "idle" && *name != "system")
    {
        let increase = increases[name];
        assert!(
            (increase - joules).abs() <= 1e-6 * joules,
            "{name}: {increase} J by increase(), {joules} J"
        );
    }
    assert_eq!(last["6"].2, last["6"].0, "all of it was held and not used");
    // The looks at their ends find their processes gone already.
    assert!(last["1"].2 < 0.02 * last["1"].0 && last["2"].2 < 0.04 * last["2"].0);
    // Their last seconds are divided equally, for then nobody knows any more how busy they were.
    let mostly = |name: &str| {
        last[name]
            .3
            .iter()
            .max_by_key(|(_, seconds)| **seconds)
            .unwrap()
    };
    assert_eq!(
        (*mostly("1").0, *mostly("2").0, *mostly("4").0),
        ("whole", "utilization", "mig")
    );
    assert!(*mostly("2").1 > 150, "{:?}", last["2"].3);
    // Nothing is lost, nothing is twice.
    let all = page.workloads.as_ref().unwrap();
    assert!(all.residual.0.abs() < 1e-3, "{}", all.residual.0);
    let idle = gpu_use(of(&page, "idle").unwrap()).joules.0;
    assert!(
        idle > 0.0 && of(&page, "1").is_none(),
        "it has left the page"
    );
}
