//! The engine with made-up families, devices and seconds, whose truth is known.

use gramwatt::attribution::{Idle, Policy};
use gramwatt::carbon::Factor;
use gramwatt::clock::Moment;
use gramwatt::embodied::Making;
use gramwatt::engine::{Batch, Engine, Seat, Settings};
use gramwatt::node::Choice;
use gramwatt::run::book::{Beginning, Limits, Request, Shown};
use gramwatt::sensor::{About, Kind, MeterClass, Part, Reading, Readings, Scope, Source, Value};
use gramwatt::snapshot::{Pue, Snapshot};
use gramwatt::units::{GramsPerKwh, Watts};
use gramwatt::workload::census::{Census, Holder, Occupancies, RunHold};
use gramwatt::workload::runs::{self, Head};
use gramwatt::workload::{self, Identity, Machine, Manager, Owner, Seen};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub const PUE: f64 = 1.2;
const CPUS: u32 = 16;
/// Watts at rest of the processor and of each accelerator.
pub const REST: f64 = 50.0;

/// What a second of the machine is.
#[derive(Clone, Debug, Default)]
pub struct Second {
    /// Joules of the processor, of the memory, of each accelerator, and beyond them.
    pub cpu: f64,
    pub dram: f64,
    pub gpus: [f64; 3],
    pub beyond: f64,
    /// CPU seconds and gibibytes of each pod, and of what is no pod's.
    pub pods: BTreeMap<u8, (f64, f64)>,
    pub others: f64,
    /// The pod, the CPU seconds and the gibibytes of each run.
    pub runs: BTreeMap<&'static str, (u8, f64, f64)>,
    /// Who is on an accelerator: pod, slices of seven where it is divided, how busy.
    pub holds: BTreeMap<usize, Vec<(u8, Option<u32>, f64)>>,
    /// The part of what a pod has of an accelerator that is a run's.
    pub parts: Vec<(&'static str, usize, u8, f64)>,
}

pub struct World {
    engine: Engine,
    grams: f64,
    idle: Idle,
    second: u32,
    used: BTreeMap<String, f64>,
}

fn owner(pod: u8) -> Owner {
    Owner::Pod {
        uid: format!("uid-{pod}").into(),
        container: "c".into(),
    }
}

fn moment(seconds: f64) -> Moment {
    let wall: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let boot = Duration::from_secs(1000) + Duration::from_secs_f64(seconds);
    Moment {
        awake: boot,
        boot,
        wall: wall + boot,
    }
}

fn settings(grams: f64, idle: &Idle) -> Settings {
    Settings {
        workloads: Some(Policy {
            idle: *idle,
            divide_other: true,
            rests: BTreeMap::from([
                ("cpu".into(), REST),
                ("gpu".into(), REST),
                ("dram".into(), 0.0),
            ]),
            idle_below: 0.05,
            max: 100,
            linger: Duration::from_secs(100_000),
            introduce: Duration::ZERO,
            labels: Arc::default(),
            label_names: Arc::default(),
        }),
        factor: Factor {
            intensity: Some(GramsPerKwh(grams)),
            market: None,
            pue: PUE,
            live: true,
        },
        grid: None,
        pue: Pue::default(),
        meter: Choice::auto(),
        making: Making::default(),
        runs: Limits {
            max: 100,
            max_of_user: 100,
            linger: Duration::from_secs(100_000),
            introduce: Duration::ZERO,
        },
        host: "".into(),
        demo: false,
        notes: Vec::new(),
    }
}

fn seats() -> Vec<Seat> {
    vec![Seat {
        name: "all".into(),
        rank: 0,
        interval: Duration::from_secs(1),
    }]
}

fn gpu(number: usize) -> Arc<str> {
    format!("GPU-{number}").into()
}

fn gibibytes(count: f64) -> u64 {
    (count * f64::from(1 << 30)) as u64
}

impl World {
    pub fn new(idle: Idle) -> Self {
        let engine = Engine::new(settings(300.0, &idle), &seats(), None, moment(0.0));
        let mut world = Self {
            engine,
            grams: 300.0,
            idle,
            second: 0,
            used: BTreeMap::new(),
        };
        // The counters' first readings are where energy begins.
        world.read(&Second::default());
        world.look(&Second::default());
        world
    }

    fn at(&self) -> f64 {
        f64::from(self.second)
    }

    /// A run begins now, a hair before what the second brings.
    pub fn begin(&mut self, id: &str, pid: u32) {
        let beginning = Beginning {
            id: id.into(),
            name: format!("run-{id}"),
            user: (1000, "ada".into()),
            head: Head {
                pid,
                started: 1,
                children_alone: false,
                before: None,
            },
            ancestors: vec![(pid, 1), (1, 1)],
            budget: None,
        };
        let request = Request::Begin(Box::new(beginning));
        self.engine.take(request, moment(self.at())).unwrap();
    }

    pub fn end(&mut self, id: &str) {
        let request = Request::End {
            id: id.into(),
            user: 1000,
            exit_code: 0,
            used: None,
        };
        self.engine.take(request, moment(self.at())).unwrap();
    }

    pub fn emits(&mut self, grams: f64) {
        self.grams = grams;
        let now = moment(self.at());
        self.engine
            .reconfigure(settings(grams, &self.idle), &seats(), now);
    }

    pub fn restart(&mut self) {
        let text = serde_json::to_string(&self.engine.state()).unwrap();
        let state = serde_json::from_str(&text).unwrap();
        let (settings, now) = (settings(self.grams, &self.idle), moment(self.at()));
        self.engine = Engine::new(settings, &seats(), Some(state), now);
    }

    pub fn passes(&mut self, second: &Second) -> Snapshot {
        self.second += 1;
        self.read(second);
        self.look(second);
        self.engine.tick(moment(self.at()))
    }

    fn read(&mut self, second: &Second) {
        let mut good = Vec::new();
        let mut counter = |part: Part, more: f64, utilization: Option<f64>| {
            let joules = self.used.entry(format!("{part:?}")).or_default();
            *joules += more;
            let source = Arc::new(Source {
                part,
                about: About::default(),
                ceiling: Watts(5000.0),
                holds: &[],
            });
            let value = Value::Counter {
                raw: (*joules * 1e6).round() as u64,
                unit: 1e-6,
                wraps_at: None,
            };
            good.push(Reading {
                utilization,
                ..Reading::new(&source, value)
            });
        };
        let device = |id: &str, kind| Part::Device {
            id: id.into(),
            kind,
        };
        counter(device("package-0", Kind::Cpu), second.cpu, None);
        counter(device("dram-0", Kind::Dram), second.dram, None);
        for (number, joules) in second.gpus.into_iter().enumerate() {
            let holds = second.holds.get(&number).into_iter().flatten();
            let busy = holds.map(|(_, _, busy)| busy).sum::<f64>().min(1.0);
            counter(device(&gpu(number), Kind::Gpu), joules, Some(busy));
        }
        let meter = Part::Meter {
            id: "acpi-0".into(),
            scope: Scope::Node(MeterClass::Acpi),
        };
        let all = second.cpu + second.dram + second.gpus.iter().sum::<f64>() + second.beyond;
        counter(meter, all, None);
        self.engine.apply(&Batch {
            sensor: "all".into(),
            at: moment(self.at()),
            took: Duration::ZERO,
            readings: Readings {
                good,
                bad: Vec::new(),
            },
        });
    }

    fn look(&mut self, second: &Second) {
        let (from, at) = (moment((self.at() - 1.0).max(0.0)).boot, moment(self.at()));
        let pods = second.pods.iter();
        let seen = pods.map(|(pod, (cpu, memory))| Seen {
            owner: owner(*pod),
            cpu: Duration::from_secs_f64(*cpu),
            memory: gibibytes(*memory),
            since: None,
            until: None,
        });
        let runs = second.runs.iter().map(|(id, (_, cpu, memory))| runs::Seen {
            id: (*id).into(),
            cpu: Duration::from_secs_f64(*cpu),
            memory: gibibytes(*memory),
            processes: 1,
            alive: true,
        });
        let holders = |holds: &Vec<(u8, Option<u32>, f64)>| -> Vec<Holder> {
            let all = holds.iter().map(|(pod, slices, busy)| Holder {
                owner: Some(owner(*pod)),
                slices: slices.map(|slices| (slices, 7)),
                busy: Some(*busy),
                since: None,
                until: None,
            });
            all.collect()
        };
        let held = second.holds.iter();
        let parts = second.parts.iter().map(|(run, number, pod, part)| RunHold {
            run: (*run).into(),
            device: gpu(*number),
            owner: Some(owner(*pod)),
            part: *part,
        });
        let gpus = Occupancies {
            from,
            at: at.boot,
            devices: held
                .map(|(number, holds)| (gpu(*number), holders(holds)))
                .collect(),
            runs: parts.collect(),
        };
        let used = second.pods.values();
        let (cpu, memory) = used.fold((second.others, 1.0), |sum, (cpu, memory)| {
            (sum.0 + cpu, sum.1 + memory)
        });
        let names = second.pods.keys().map(|pod| {
            let identity = Identity {
                manager: Manager::Pod,
                namespace: "lab".into(),
                name: format!("pod-{pod}").into(),
                container: "main".into(),
            };
            let about = workload::About {
                cpus: Some(2.0),
                ..workload::About::default()
            };
            (owner(*pod), Arc::new(identity), Arc::new(about))
        });
        self.engine.count(Census {
            from,
            at,
            machine: Some(Machine {
                cpus: CPUS,
                busy: Duration::from_secs_f64(cpu),
                idle: Duration::from_secs_f64(f64::from(CPUS) - cpu),
                memory_used: gibibytes(memory),
                memory_total: 64 << 30,
            }),
            holding: second
                .holds
                .values()
                .flatten()
                .map(|hold| owner(hold.0))
                .collect(),
            names: names.collect(),
            seen: seen.collect(),
            runs: runs.collect(),
            gpus: Some(gpus),
            health: Vec::new(),
        });
    }
}

/// Joules and grams of a kind.
pub type Used = (f64, f64);

pub fn of_pod(page: &Snapshot, pod: u8, kind: Kind) -> Used {
    let all = &page.workloads.as_ref().unwrap().list;
    let pod = all.iter().find(|one| *one.name == *format!("pod-{pod}"));
    let used = pod
        .into_iter()
        .flat_map(|pod| &pod.uses)
        .find(|used| used.kind == kind);
    used.map_or((0.0, 0.0), |used| {
        (used.joules.0, used.grams.map_or(0.0, |grams| grams.0))
    })
}

pub fn run<'a>(page: &'a Snapshot, id: &str) -> &'a Shown {
    page.runs.iter().find(|run| *run.id == *id).unwrap()
}

pub fn of_run(page: &Snapshot, id: &str, kind: Kind) -> Used {
    let used = run(page, id).uses.iter().find(|used| used.kind == kind);
    used.map_or((0.0, 0.0), |used| {
        (used.joules.0, used.grams.map_or(0.0, |grams| grams.0))
    })
}
