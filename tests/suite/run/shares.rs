//! What runs have is what their workloads have, as far as it is theirs: the engine with made-up families, devices and
//! days, whose truth is known.

use gramwatt::attribution::{Idle, Policy};
use gramwatt::carbon::Factor;
use gramwatt::clock::Moment;
use gramwatt::embodied::Making;
use gramwatt::engine::{Batch, Engine, Seat, Settings};
use gramwatt::node::Choice;
use gramwatt::run::api::State;
use gramwatt::run::book::{Beginning, Limits, Request, Shown};
use gramwatt::sensor::{About, Kind, MeterClass, Part, Reading, Readings, Scope, Source, Value};
use gramwatt::snapshot::{Pue, Snapshot};
use gramwatt::units::{GramsPerKwh, JOULES_PER_KWH, Watts};
use gramwatt::workload::census::{Census, Holder, Occupancies, RunHold};
use gramwatt::workload::runs::{self, Head};
use gramwatt::workload::{self, Identity, Machine, Manager, Owner, Seen};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const PUE: f64 = 1.2;
const CPUS: u32 = 16;
/// Watts at rest of the processor and of each accelerator.
const REST: f64 = 50.0;
const KINDS: [Kind; 4] = [Kind::Cpu, Kind::Dram, Kind::Gpu, Kind::Other];

/// What a second of the machine is.
#[derive(Clone, Debug, Default)]
struct Second {
    /// Joules of the processor, of the memory, of each accelerator, and beyond them.
    cpu: f64,
    dram: f64,
    gpus: [f64; 3],
    beyond: f64,
    /// CPU seconds and gibibytes of each pod, and of what is no pod's.
    pods: BTreeMap<u8, (f64, f64)>,
    others: f64,
    /// The pod, the CPU seconds and the gibibytes of each run.
    runs: BTreeMap<&'static str, (u8, f64, f64)>,
    /// Who is on an accelerator: pod, slices of seven where it is divided, how busy.
    holds: BTreeMap<usize, Vec<(u8, Option<u32>, f64)>>,
    /// The part of what a pod has of an accelerator that is a run's.
    parts: Vec<(&'static str, usize, u8, f64)>,
}

struct World {
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
            idle: idle.clone(),
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
    fn new(idle: Idle) -> Self {
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
    fn begin(&mut self, id: &str, pid: u32) {
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
            ancestors: vec![pid, 1],
            budget: None,
        };
        let request = Request::Begin(Box::new(beginning));
        self.engine.take(request, moment(self.at())).unwrap();
    }

    fn end(&mut self, id: &str) {
        let request = Request::End(id.into(), 1000, 0);
        self.engine.take(request, moment(self.at())).unwrap();
    }

    fn emits(&mut self, grams: f64) {
        self.grams = grams;
        let now = moment(self.at());
        self.engine
            .reconfigure(settings(grams, &self.idle), &seats(), now);
    }

    fn restart(&mut self) {
        let text = serde_json::to_string(&self.engine.state()).unwrap();
        let state = serde_json::from_str(&text).unwrap();
        let (settings, now) = (settings(self.grams, &self.idle), moment(self.at()));
        self.engine = Engine::new(settings, &seats(), Some(state), now);
    }

    fn passes(&mut self, second: &Second) -> Snapshot {
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
type Used = (f64, f64);

fn of_pod(page: &Snapshot, pod: u8, kind: Kind) -> Used {
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

fn run<'a>(page: &'a Snapshot, id: &str) -> &'a Shown {
    page.runs.iter().find(|run| *run.id == *id).unwrap()
}

fn of_run(page: &Snapshot, id: &str, kind: Kind) -> Used {
    let used = run(page, id).uses.iter().find(|used| used.kind == kind);
    used.map_or((0.0, 0.0), |used| {
        (used.joules.0, used.grams.map_or(0.0, |grams| grams.0))
    })
}

fn assert_part(page: &Snapshot, id: &str, pod: u8, kind: Kind, part: f64) {
    let (run, pod_has) = (of_run(page, id, kind), of_pod(page, pod, kind));
    assert!(pod_has.0 > 1.0, "pod {pod} has {} J of {kind:?}", pod_has.0);
    for (has, of) in [(run.0, pod_has.0), (run.1, pod_has.1)] {
        assert!(
            (has - part * of).abs() <= 1e-9 * of,
            "{id}: {has} of {of} of pod {pod} ({kind:?}), and not {part}"
        );
    }
}

/// Pod 1 is all of run a; half of pod 2 is run b; pod 3 is 30 % run c and 70 % run d. All accelerators are used: one
/// alone, one by two pods, one divided.
fn second(t: u32) -> Second {
    let wave = f64::from(t % 10);
    let pods = BTreeMap::from([
        (1, (2.0 + wave / 10.0, 4.0)),
        (2, (1.0, 2.0)),
        (3, (wave, 8.0)),
    ]);
    Second {
        cpu: REST + 10.0 * (4.0 + wave),
        dram: 12.0 + wave,
        gpus: [REST + 30.0 * wave, 250.0 - 10.0 * wave, 300.0],
        beyond: 40.0 + wave,
        others: 0.5,
        runs: BTreeMap::from([
            ("a", (1, pods[&1].0, 4.0)),
            ("b", (2, 0.5, 1.0)),
            ("c", (3, wave * 0.3, 2.4)),
            ("d", (3, wave * 0.7, 5.6)),
        ]),
        pods,
        holds: BTreeMap::from([
            (0, vec![(1, None, 0.9)]),
            (1, vec![(2, None, 0.3), (3, None, 0.6)]),
            (2, vec![(1, Some(3), 0.5), (3, Some(2), 1.0)]),
        ]),
        parts: vec![
            ("a", 0, 1, 1.0),
            ("a", 2, 1, 1.0),
            ("b", 1, 2, 0.5),
            ("c", 1, 3, 0.3),
            ("d", 1, 3, 0.7),
            ("c", 2, 3, 0.3),
            ("d", 2, 3, 0.7),
        ],
    }
}

#[test]
fn a_run_has_of_its_workload_as_much_as_is_its() {
    for idle in [Idle::Separate, Idle::Proportional] {
        let mut world = World::new(idle.clone());
        for (pid, id) in [(11, "a"), (12, "b"), (13, "c"), (14, "d")] {
            world.begin(id, pid);
        }
        let mut page = None;
        for t in 0..120 {
            if t == 60 {
                world.emits(700.0);
            }
            if t == 90 {
                world.restart();
            }
            page = Some(world.passes(&second(t)));
        }
        let page = page.unwrap();
        for kind in KINDS {
            assert_part(&page, "a", 1, kind, 1.0);
            assert_part(&page, "b", 2, kind, 0.5);
            assert_part(&page, "c", 3, kind, 0.3);
            assert_part(&page, "d", 3, kind, 0.7);
        }
        let grams: f64 = KINDS.iter().map(|kind| of_pod(&page, 1, *kind).1).sum();
        assert!((run(&page, "a").grams().unwrap().0 - grams).abs() < 1e-9 * grams);
    }
}

/// Two of sixteen CPUs for a hundred seconds, at 10 W for each CPU that works, among others that come and go; half of
/// it at 300 and half at 600 g/kWh.
#[test]
fn a_burner_of_known_time_costs_what_it_must() {
    let mut world = World::new(Idle::Separate);
    let mut page = None;
    for t in 0..160 {
        if t == 30 {
            world.begin("burn", 11);
        }
        if t == 80 {
            world.emits(600.0);
        }
        if t == 130 {
            world.end("burn");
        }
        let burns = if (30..130).contains(&t) { 2.0 } else { 0.0 };
        let others = f64::from(t * 7 % 12);
        let second = Second {
            cpu: REST + 10.0 * (burns + others),
            pods: BTreeMap::from([(1, (burns, 1.0))]),
            others,
            runs: BTreeMap::from([("burn", (1, burns, 1.0))]),
            ..Second::default()
        };
        page = Some(world.passes(&second));
    }
    let page = page.unwrap();
    let (joules, grams) = of_run(&page, "burn", Kind::Cpu);
    assert!((joules - 2000.0).abs() < 1e-3, "{joules} J");
    let expected = 450.0 * PUE * 2000.0 / JOULES_PER_KWH;
    assert!(
        (grams - expected).abs() < 1e-6 * expected,
        "{grams} g and not {expected} g"
    );
    let run = run(&page, "burn");
    assert_eq!(
        (run.state, run.settled, run.watts()),
        (State::Succeeded, true, None)
    );
    assert_eq!(run.elapsed, Duration::from_secs(100));
}

/// An accelerator is its holder's all the while; a run has it from its beginning to its end, to the moment.
#[test]
fn a_run_has_its_workloads_accelerator_from_its_beginning_to_its_end() {
    let mut world = World::new(Idle::Separate);
    let mut page = None;
    for t in 0..80 {
        if t == 20 {
            world.begin("train", 11);
        }
        if t == 60 {
            world.end("train");
        }
        let second = Second {
            gpus: [400.0, 0.0, 0.0],
            pods: BTreeMap::from([(1, (0.0, 1.0))]),
            holds: BTreeMap::from([(0, vec![(1, None, 0.9)])]),
            runs: BTreeMap::from([("train", (1, 0.0, 0.0))]),
            parts: vec![("train", 0, 1, 1.0)],
            ..Second::default()
        };
        page = Some(world.passes(&second));
    }
    let page = page.unwrap();
    let (of_pod, of_run) = (
        of_pod(&page, 1, Kind::Gpu).0,
        of_run(&page, "train", Kind::Gpu).0,
    );
    assert!((of_pod - 80.0 * 400.0).abs() < 1.0, "{of_pod} J");
    assert!((of_run - 40.0 * 400.0).abs() < 1.0, "{of_run} J");
}

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

const RUNS: [(&str, u8); 6] = [("a", 1), ("b", 1), ("c", 2), ("d", 2), ("e", 2), ("f", 3)];

/// A second of a random day: runs are parts of their pods, those that live.
fn random(dice: &mut Dice, live: &[(&'static str, u8)]) -> Second {
    let pods: BTreeMap<u8, (f64, f64)> = (1..=4)
        .map(|pod| (pod, (3.0 * dice.roll(), 8.0 * dice.roll())))
        .collect();
    // Parts of a pod that do not make more than all of it.
    let mut left = BTreeMap::new();
    let mut parts = |pod: u8, dice: &mut Dice| {
        let left: &mut f64 = left.entry(pod).or_insert(1.0);
        let part = if dice.roll() < 0.2 {
            *left
        } else {
            *left * dice.roll()
        };
        *left -= part;
        part
    };
    let shares: Vec<(&str, u8, f64)> = live
        .iter()
        .map(|(id, pod)| (*id, *pod, parts(*pod, dice)))
        .collect();
    let mut holds: BTreeMap<usize, Vec<(u8, Option<u32>, f64)>> = BTreeMap::new();
    for number in 0..3 {
        for pod in 1..=4 {
            if dice.roll() < 0.4 {
                let hold = (pod, (number == 2).then_some(1), dice.roll());
                holds.entry(number).or_default().push(hold);
            }
        }
    }
    let held = |number: usize, pod: u8| {
        holds
            .get(&number)
            .is_some_and(|all| all.iter().any(|hold| hold.0 == pod))
    };
    let on = (0..3).flat_map(|number| shares.iter().map(move |share| (number, share)));
    let on = on.filter(|(number, (_, pod, _))| held(*number, *pod));
    Second {
        cpu: 400.0 * dice.roll(),
        dram: 40.0 * dice.roll(),
        gpus: [0, 1, 2].map(|_| 500.0 * dice.roll()),
        beyond: 100.0 * dice.roll(),
        others: dice.roll(),
        runs: shares
            .iter()
            .map(|(id, pod, part)| (*id, (*pod, part * pods[pod].0, part * pods[pod].1)))
            .collect(),
        parts: on
            .map(|(number, (id, pod, part))| (*id, number, *pod, *part))
            .collect(),
        holds,
        pods,
    }
}

fn idle() -> impl Strategy<Value = Idle> {
    prop_oneof![
        Just(Idle::Separate),
        Just(Idle::Proportional),
        Just(Idle::ByRequest)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn runs_never_have_more_than_their_workloads(idle in idle(), seed: u64, length in 10..80_u32) {
        let (mut world, mut dice) = (World::new(idle), Dice(seed));
        let mut live: Vec<(&'static str, u8)> = Vec::new();
        let mut waiting = RUNS.to_vec();
        let mut before: BTreeMap<(String, Kind), Used> = BTreeMap::new();
        for _ in 0..length {
            if dice.roll() < 0.3 && let Some((id, pod)) = waiting.pop() {
                world.begin(id, 10 + u32::try_from(waiting.len()).unwrap());
                live.push((id, pod));
            }
            if dice.roll() < 0.1 && let Some((id, _)) = live.pop() {
                world.end(id);
            }
            if dice.roll() < 0.1 {
                let grams = 900.0 * dice.roll();
                world.emits(grams);
            }
            if dice.roll() < 0.05 {
                world.restart();
            }
            let second = random(&mut dice, &live);
            let page = world.passes(&second);
            for (pod, kind) in (1..=4).flat_map(|pod| KINDS.map(|kind| (pod, kind))) {
                let all = of_pod(&page, pod, kind);
                let shown = |id: &&str| page.runs.iter().any(|run| *run.id == **id);
                let its = RUNS.iter().filter(|run| run.1 == pod).map(|run| run.0).filter(shown);
                let sum = its.map(|id| of_run(&page, id, kind)).fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
                prop_assert!(sum.0 <= all.0 * (1.0 + 1e-9) + 1e-6, "{kind:?} of pod {pod}: {} J of {} J", sum.0, all.0);
                prop_assert!(sum.1 <= all.1 * (1.0 + 1e-9) + 1e-9, "{kind:?} of pod {pod}: {} g of {} g", sum.1, all.1);
            }
            for run in &page.runs {
                for used in &run.uses {
                    let now = (used.joules.0, used.grams.map_or(0.0, |grams| grams.0));
                    let last = before.insert((run.id.to_string(), used.kind), now).unwrap_or_default();
                    prop_assert!(now.0 >= last.0 && now.1 >= last.1, "{} fell from {last:?} to {now:?}", run.id);
                }
            }
        }
    }
}
