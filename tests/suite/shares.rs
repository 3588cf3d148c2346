//! Invariant 1 over random days: workloads, `idle`, `system`, `unattributed` and what is unlisted are the
//! devices, in joules and in grams, whoever starts, ends, shares, moves, is not told of, or falls silent.

use gramwatt::attribution::{Idle, Policy};
use gramwatt::carbon::Factor;
use gramwatt::clock::Moment;
use gramwatt::embodied::Making;
use gramwatt::engine::{Batch, Engine, Seat, Settings};
use gramwatt::node::Choice;
use gramwatt::sensor::{About, Kind, MeterClass, Part, Reading, Readings, Scope, Source, Value};
use gramwatt::snapshot::{Pue, Snapshot};
use gramwatt::units::{GramsPerKwh, Watts};
use gramwatt::workload::census::{Census, Holder, Occupancies};
use gramwatt::workload::{self, Identity, Machine, Manager, Owner, Seen};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const GPUS: [&str; 3] = ["GPU-0", "GPU-1", "GPU-2"];
const CPUS: f64 = 16.0;

/// What happens in a second, or before it.
#[derive(Clone, Debug)]
enum Event {
    /// Everybody is read.
    Beat {
        seed: u64,
    },
    /// Nobody looks who is here.
    Blind {
        seconds: u8,
        seed: u64,
    },
    /// No sensor answers.
    Dark {
        seconds: u8,
    },
    Start {
        pod: u8,
    },
    End {
        pod: u8,
    },
    /// A pod takes or leaves an accelerator.
    Hold {
        pod: u8,
        gpu: u8,
    },
    Release {
        gpu: u8,
    },
    /// Whether processes' utilisation is told.
    Told {
        gpu: u8,
        told: bool,
    },
    Factor {
        grams: Option<u16>,
    },
    Restart {
        seconds: u8,
    },
    Off,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        40 => any::<u64>().prop_map(|seed| Event::Beat { seed }),
        2 => (1..50_u8, any::<u64>()).prop_map(|(seconds, seed)| Event::Blind { seconds, seed }),
        2 => (1..20_u8).prop_map(|seconds| Event::Dark { seconds }),
        8 => (0..40_u8).prop_map(|pod| Event::Start { pod }),
        6 => (0..40_u8).prop_map(|pod| Event::End { pod }),
        6 => (0..40_u8, 0..3_u8).prop_map(|(pod, gpu)| Event::Hold { pod, gpu }),
        3 => (0..3_u8).prop_map(|gpu| Event::Release { gpu }),
        2 => (0..3_u8, any::<bool>()).prop_map(|(gpu, told)| Event::Told { gpu, told }),
        2 => proptest::option::of(0..1200_u16).prop_map(|grams| Event::Factor { grams }),
        2 => (0..90_u8).prop_map(|seconds| Event::Restart { seconds }),
        1 => Just(Event::Off),
    ]
}

fn policy() -> impl Strategy<Value = Policy> {
    let idle = prop_oneof![
        Just(Idle::Separate),
        Just(Idle::Proportional),
        Just(Idle::ByRequest)
    ];
    (
        idle,
        any::<bool>(),
        1..12_usize,
        0..40_u64,
        1..40_u64,
        any::<bool>(),
    )
        .prop_map(
            |(idle, divide_other, max, linger, introduce, rests)| Policy {
                idle,
                divide_other,
                rests: match rests {
                    true => BTreeMap::from([("gpu".into(), 50.0), ("package-0".into(), 40.0)]),
                    false => BTreeMap::new(),
                },
                idle_below: 0.05,
                max,
                linger: Duration::from_secs(linger),
                introduce: Duration::from_secs(introduce),
                labels: Arc::default(),
                label_names: Arc::default(),
            },
        )
}

/// SplitMix64, so that one number decides a whole second.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

struct World {
    engine: Engine,
    policy: Policy,
    grams: Option<u16>,
    now: Duration,
    /// Joules of each device.
    used: BTreeMap<&'static str, f64>,
    live: BTreeMap<u8, Duration>,
    holds: BTreeMap<u8, Vec<(u8, Duration)>>,
    told: [bool; 3],
    looked: Duration,
    looked_gpus: Duration,
    /// Every counter of the last page.
    last: BTreeMap<String, f64>,
}

const DEVICES: [(&str, Kind); 6] = [
    ("package-0", Kind::Cpu),
    ("package-1", Kind::Cpu),
    ("dram-0", Kind::Dram),
    (GPUS[0], Kind::Gpu),
    (GPUS[1], Kind::Gpu),
    (GPUS[2], Kind::Gpu),
];

fn settings(policy: Option<Policy>, grams: Option<u16>) -> Settings {
    Settings {
        workloads: policy,
        factor: Factor {
            intensity: grams.map(|grams| GramsPerKwh(f64::from(grams))),
            market: None,
            pue: 1.2,
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

fn seats() -> Vec<Seat> {
    vec![Seat {
        name: "all".into(),
        rank: 0,
        interval: Duration::from_secs(1),
    }]
}

fn moment(boot: Duration) -> Moment {
    let wall: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    Moment {
        awake: boot,
        boot,
        wall: wall + boot,
    }
}

fn owner(pod: u8) -> Owner {
    Owner::Pod {
        uid: format!("uid-{pod}").into(),
        container: "c".into(),
    }
}

impl World {
    fn new(policy: Policy) -> Self {
        let now = Duration::from_secs(1000);
        let engine = Engine::new(
            settings(Some(policy.clone()), Some(300)),
            &seats(),
            None,
            moment(now),
        );
        Self {
            engine,
            policy,
            grams: Some(300),
            now,
            used: BTreeMap::new(),
            live: BTreeMap::new(),
            holds: BTreeMap::new(),
            told: [true; 3],
            looked: now,
            looked_gpus: now,
            last: BTreeMap::new(),
        }
    }

    fn read(&mut self, dice: &mut Dice, heard: bool) {
        self.now += Duration::from_millis(1000);
        let mut good = Vec::new();
        let mut reading = |part: Part, joules: f64, utilization: Option<f64>| {
            let source = Arc::new(Source {
                part,
                about: About::default(),
                ceiling: Watts(5000.0),
                holds: &[],
            });
            let value = Value::Counter {
                raw: (joules * 1e6) as u64,
                unit: 1e-6,
                wraps_at: None,
            };
            good.push(Reading {
                utilization,
                ..Reading::new(&source, value)
            });
        };
        let mut all = 0.0;
        for (id, kind) in DEVICES {
            let joules = self.used.entry(id).or_default();
            *joules += dice.roll() * 400.0;
            all += *joules;
            let utilization = (kind == Kind::Gpu).then(|| dice.roll());
            reading(
                Part::Device {
                    id: id.into(),
                    kind,
                },
                *joules,
                utilization,
            );
        }
        let meter = Part::Meter {
            id: "acpi-0".into(),
            scope: Scope::Node(MeterClass::Acpi),
        };
        let beyond = self.used.entry("beyond").or_default();
        *beyond += 100.0 * dice.roll();
        reading(meter, all + *beyond, None);
        if heard {
            self.engine.apply(&Batch {
                sensor: "all".into(),
                at: moment(self.now),
                took: Duration::ZERO,
                readings: Readings {
                    good,
                    bad: Vec::new(),
                },
            });
        }
    }

    fn look(&mut self, dice: &mut Dice) {
        let at = self.now + Duration::from_millis(100);
        let time = (at - self.looked).as_secs_f64();
        let seen = self.live.iter().map(|(pod, since)| Seen {
            owner: owner(*pod),
            cpu: Duration::from_secs_f64(dice.roll() * time),
            memory: (dice.roll() * 1e9) as u64,
            since: Some(*since),
            until: None,
        });
        let seen: Vec<Seen> = seen.collect();
        let busy = seen
            .iter()
            .map(|seen| seen.cpu)
            .sum::<Duration>()
            .mul_f64(0.8 + 0.4 * dice.roll());
        let gpus = (dice.roll() < 0.3).then(|| {
            let holders = |gpu: u8| {
                let holds = self.holds.get(&gpu).into_iter().flatten();
                holds.map(move |(pod, since)| Holder {
                    owner: (*pod != 13).then(|| owner(*pod)),
                    slices: (gpu == 2).then_some((2, 7)),
                    busy: None,
                    since: Some(*since),
                    until: None,
                })
            };
            let mut devices = BTreeMap::new();
            for gpu in 0..3_u8 {
                let mut holders: Vec<Holder> = holders(gpu).collect();
                for holder in &mut holders {
                    holder.busy = self.told[usize::from(gpu)].then(|| dice.roll());
                }
                devices.insert(GPUS[usize::from(gpu)].into(), holders);
            }
            let from = std::mem::replace(&mut self.looked_gpus, at);
            Occupancies {
                from,
                at,
                devices,
                runs: Vec::new(),
            }
        });
        // Some are told the name of late, and some never.
        let names = self.live.iter().filter(|(pod, since)| {
            **pod % 7 != 3 && self.now - **since > Duration::from_secs(u64::from(**pod % 4))
        });
        let names = names.map(|(pod, _)| {
            let identity = Identity {
                manager: Manager::Pod,
                namespace: "lab".into(),
                // Two pods of one name.
                name: format!("pod-{}", pod / 2).into(),
                container: "main".into(),
            };
            let about = workload::About {
                cpus: Some(f64::from(pod % 3)),
                ..workload::About::default()
            };
            (owner(*pod), Arc::new(identity), Arc::new(about))
        });
        let census = Census {
            from: std::mem::replace(&mut self.looked, at),
            at: moment(at),
            machine: (dice.roll() < 0.95).then(|| Machine {
                cpus: CPUS as u32,
                busy,
                idle: Duration::from_secs_f64(CPUS * time).saturating_sub(busy),
                memory_used: (dice.roll() * 2e10) as u64,
                memory_total: 64 << 30,
            }),
            holding: self
                .holds
                .values()
                .flatten()
                .map(|(pod, _)| owner(*pod))
                .collect(),
            names: names.collect(),
            seen,
            runs: Vec::new(),
            gpus,
            health: Vec::new(),
        };
        self.engine.count(census);
    }

    fn happen(&mut self, event: &Event) {
        let now = self.now;
        match *event {
            Event::Beat { seed } => {
                let mut dice = Dice(seed);
                self.read(&mut dice, true);
                self.look(&mut dice);
            }
            Event::Blind { seconds, seed } => {
                let mut dice = Dice(seed);
                for _ in 0..seconds {
                    self.read(&mut dice, true);
                    self.check();
                }
            }
            Event::Dark { seconds } => {
                let mut dice = Dice(u64::from(seconds));
                for _ in 0..seconds {
                    self.read(&mut dice, false);
                    self.look(&mut dice);
                    self.check();
                }
            }
            Event::Start { pod } => {
                self.live.entry(pod).or_insert(now);
            }
            Event::End { pod } => {
                self.live.remove(&pod);
                for holds in self.holds.values_mut() {
                    holds.retain(|(holder, _)| *holder != pod);
                }
            }
            Event::Hold { pod, gpu } => {
                if self.live.contains_key(&pod) {
                    let holds = self.holds.entry(gpu).or_default();
                    holds.retain(|(holder, _)| *holder != pod);
                    holds.push((pod, now));
                }
            }
            Event::Release { gpu } => drop(self.holds.remove(&gpu)),
            Event::Told { gpu, told } => self.told[usize::from(gpu)] = told,
            Event::Factor { grams } => {
                self.grams = grams;
                self.configure(true);
            }
            Event::Restart { seconds } => {
                self.check();
                let text = serde_json::to_string(&self.engine.state()).unwrap();
                let state = serde_json::from_str(&text).unwrap();
                self.now += Duration::from_secs(u64::from(seconds));
                let settings = settings(Some(self.policy.clone()), self.grams);
                self.engine = Engine::new(settings, &seats(), Some(state), moment(self.now));
                self.looked = self.now;
                self.looked_gpus = self.now;
            }
            Event::Off => {
                // Nobody divides for a while.
                self.configure(false);
                let mut dice = Dice(1);
                for _ in 0..5 {
                    self.read(&mut dice, true);
                }
                self.last.clear();
                self.configure(true);
            }
        }
    }

    fn configure(&mut self, on: bool) {
        let policy = on.then(|| self.policy.clone());
        self.engine
            .reconfigure(settings(policy, self.grams), &seats(), moment(self.now));
    }

    /// Closes the books, and looks whether they are.
    fn check(&mut self) {
        let page = self
            .engine
            .tick(moment(self.now + Duration::from_millis(250)));
        let workloads = page.workloads.as_ref().unwrap();
        for kind in [Kind::Cpu, Kind::Dram, Kind::Gpu, Kind::Other] {
            let devices = page.devices.iter().filter(|device| device.kind == kind);
            let joules: f64 = devices.clone().map(|device| device.joules.0).sum();
            let grams: f64 = devices
                .filter_map(|device| device.grams)
                .map(|grams| grams.0)
                .sum();
            let uses = workloads.list.iter().flat_map(|workload| &workload.uses);
            let uses = uses.filter(|used| used.kind == kind);
            let unlisted = workloads
                .unlisted
                .iter()
                .filter(|unlisted| unlisted.kind == kind);
            let known: f64 = uses.clone().map(|used| used.joules.0).sum::<f64>()
                + unlisted
                    .clone()
                    .map(|unlisted| unlisted.joules.0)
                    .sum::<f64>();
            let emitted: f64 = uses
                .clone()
                .filter_map(|used| used.grams)
                .map(|g| g.0)
                .sum::<f64>()
                + unlisted
                    .clone()
                    .filter_map(|unlisted| unlisted.grams)
                    .map(|g| g.0)
                    .sum::<f64>();
            assert!(
                near(joules, known),
                "{kind:?}: {joules} J of devices, {known} J of workloads"
            );
            assert!(
                near(grams, emitted),
                "{kind:?}: {grams} g of devices, {emitted} g of workloads"
            );
            for used in uses {
                assert!(used.joules.0 >= 0.0 && used.grams.is_none_or(|grams| grams.0 >= 0.0));
                assert!(
                    used.watts.is_none_or(|watts| (0.0..1e4).contains(&watts.0)),
                    "{used:?}"
                );
                let reserved = used.reserved.map_or(0.0, |joules| joules.0);
                assert!(reserved <= used.joules.0 + 1e-6, "{used:?}");
            }
            for unlisted in unlisted {
                assert!(unlisted.joules.0 >= 0.0);
            }
        }
        assert!(
            workloads.residual.0.abs() < 1e-3,
            "{}",
            workloads.residual.0
        );
        let most = self.policy.max + 4;
        assert!(
            workloads.list.len() <= most,
            "{} workloads",
            workloads.list.len()
        );
        self.compare(&page);
    }

    /// A counter that is there and was there does not fall, or begins anew at 0.
    fn compare(&mut self, page: &Snapshot) {
        let mut counters = BTreeMap::new();
        for workload in &page.workloads.as_ref().unwrap().list {
            for used in &workload.uses {
                let key = format!("{} {} {:?}", workload.manager, workload.name, used.kind);
                counters.insert(format!("{key} J"), used.joules.0);
                counters.insert(format!("{key} g"), used.grams.map_or(0.0, |grams| grams.0));
                counters.insert(
                    format!("{key} r"),
                    used.reserved.map_or(0.0, |joules| joules.0),
                );
            }
        }
        for (key, value) in &counters {
            if let Some(before) = self.last.get(key) {
                // A page that was closed and opened anew begins at 0, and is shown so.
                let goes_on = value >= before || *value == 0.0;
                assert!(goes_on, "{key} fell from {before} to {value}");
            }
        }
        self.last = counters;
    }
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(1.0) + 1e-6
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]
    #[test]
    fn workloads_are_the_devices_whatever_happens(
        policy in policy(),
        events in proptest::collection::vec(event(), 1..120),
    ) {
        let mut world = World::new(policy);
        for event in &events {
            world.happen(event);
            world.check();
        }
        // In the end everything is somebody's.
        let mut dice = Dice(7);
        for _ in 0..50 {
            world.read(&mut dice, true);
            world.look(&mut dice);
            world.check();
        }
    }
}
