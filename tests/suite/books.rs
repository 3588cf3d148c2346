//! Invariants 1 and 2 over random machines and whatever may happen to them: the books close, nothing
//! falls, nothing is counted that was not used, and every joule meets the factor of its time.

use gramwatt::carbon::Factor;
use gramwatt::clock::Moment;
use gramwatt::embodied::Making;
use gramwatt::engine::{Batch, Engine, Seat, Settings};
use gramwatt::node::Choice;
use gramwatt::sensor::{About, Kind, MeterClass, Part, Reading, Readings, Scope, Source, Value};
use gramwatt::snapshot::{Pue, Snapshot};
use gramwatt::units::{GramsPerKwh, JOULES_PER_KWH, Watts};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Three intervals of a second.
const PATIENCE: Duration = Duration::from_secs(3);

/// How a part is read.
#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    /// Joules a count; seconds at full power until it wraps.
    Counter {
        unit: f64,
        wraps_after: Option<u32>,
    },
    Power,
    Modelled,
}

#[derive(Clone, Debug)]
struct Spec {
    how: How,
    ceiling: f64,
    /// A less trusted sensor reads it too.
    shadowed: bool,
    /// A part of it is read as a domain.
    domain: bool,
    /// A model gets no more than the meters leave, if there are any.
    limited: bool,
}

#[derive(Clone, Debug)]
struct MeterSpec {
    class: MeterClass,
    /// It is read seldom, by a family of its own.
    far: bool,
    counts: bool,
    /// What it reads is the machine times this: below 1 it reads too little.
    gain: f64,
}

/// What happens next.
#[derive(Clone, Debug)]
enum Event {
    Read {
        millis: u64,
        seed: u64,
    },
    Silence {
        millis: u64,
    },
    Suspend {
        millis: u64,
    },
    Restart {
        millis: u64,
    },
    Reboot,
    Factor {
        grams: Option<u16>,
        pue: u8,
        live: bool,
    },
    Reset {
        device: usize,
    },
    Repeat,
    Toggle {
        part: usize,
    },
}

fn spec() -> impl Strategy<Value = Spec> {
    let counter = (
        prop_oneof![Just(1e-6), Just(6.103_515_625e-5), Just(1e-3)],
        prop_oneof![Just(None), (6..90_u32).prop_map(Some)],
    );
    let how = prop_oneof![
        4 => counter.prop_map(|(unit, wraps_after)| How::Counter { unit, wraps_after }),
        2 => Just(How::Power),
        1 => Just(How::Modelled),
    ];
    (how, 10.0..900.0, any::<bool>(), any::<bool>()).prop_map(|(how, ceiling, shadowed, domain)| {
        Spec {
            how,
            ceiling,
            shadowed: shadowed && matches!(how, How::Counter { .. }),
            domain,
            limited: false,
        }
    })
}

fn meter() -> impl Strategy<Value = MeterSpec> {
    let class = prop_oneof![
        Just(MeterClass::Psu),
        Just(MeterClass::Acpi),
        Just(MeterClass::Bmc)
    ];
    let how = (any::<bool>(), any::<bool>());
    (class, how, 0.8..1.3).prop_map(|(class, (far, counts), gain)| MeterSpec {
        class,
        far,
        counts,
        gain,
    })
}

fn event() -> impl Strategy<Value = Event> {
    let factor = (proptest::option::of(0..1200_u16), 0..10_u8, any::<bool>());
    prop_oneof![
        30 => (100..2500_u64, any::<u64>()).prop_map(|(millis, seed)| Event::Read { millis, seed }),
        1 => (3000..200_000_u64).prop_map(|millis| Event::Silence { millis }),
        1 => (3000..2_000_000_u64).prop_map(|millis| Event::Suspend { millis }),
        2 => (10..60_000_u64).prop_map(|millis| Event::Restart { millis }),
        1 => Just(Event::Reboot),
        3 => factor.prop_map(|(grams, pue, live)| Event::Factor { grams, pue, live }),
        1 => any::<usize>().prop_map(|device| Event::Reset { device }),
        2 => Just(Event::Repeat),
        4 => any::<usize>().prop_map(|part| Event::Toggle { part }),
    ]
}

/// A small generator, so that one number decides a whole step.
struct Dice(u64);

impl Dice {
    /// SplitMix64.
    fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
    fn chance(&mut self, share: f64) -> bool {
        self.roll() < share
    }
}

/// The last reading that the books must have believed.
#[derive(Clone, Copy)]
struct Seen {
    counts: u64,
    watts: f64,
    at: Moment,
}

/// A device, what it truly used, and what the books must say of it.
struct Device {
    spec: Spec,
    source: Arc<Source>,
    present: bool,
    watts: f64,
    used: f64,
    /// Joules at which the counter stood at `start`.
    origin: f64,
    start: u64,
    seen: Option<Seen>,
    first: f64,
    latest: f64,
    strange: bool,
    joules: f64,
    grams: f64,
    /// Whether nothing was lost, so that the books must say exactly the above.
    exact: bool,
    /// Joules that a reset may be taken for.
    slack: f64,
}

impl Device {
    fn range(&self) -> Option<u64> {
        match self.spec.how {
            How::Counter { unit, wraps_after } => {
                wraps_after.map(|seconds| (f64::from(seconds) * self.spec.ceiling / unit) as u64)
            }
            _ => None,
        }
    }
    fn unit(&self) -> f64 {
        match self.spec.how {
            How::Counter { unit, .. } => unit,
            _ => 0.0,
        }
    }
    fn counts(&self) -> u64 {
        self.start + ((self.used - self.origin) / self.unit()) as u64
    }
    fn value(&self, counts: u64) -> Value {
        match self.spec.how {
            How::Counter { unit, .. } => Value::Counter {
                raw: self.range().map_or(counts, |range| counts % range),
                unit,
                wraps_at: self.range(),
            },
            How::Power => Value::Power(Watts(self.watts)),
            How::Modelled => Value::Modelled(Watts(self.watts)),
        }
    }
    fn forget(&mut self) {
        self.seen = None;
        self.strange = false;
        (self.joules, self.grams, self.slack) = (0.0, 0.0, 0.0);
        self.exact = !self.spec.shadowed && !self.spec.limited;
    }
}

/// Factors by time since boot: an independent, plain account of them.
#[derive(Default)]
struct Factors(Vec<(Duration, Factor)>);

impl Factors {
    fn grams(&self, joules: f64, from: Moment, to: Moment) -> f64 {
        let whole = (to.boot - from.boot).as_secs_f64();
        let mut grams = 0.0;
        for (index, (start, factor)) in self.0.iter().enumerate() {
            let end = self
                .0
                .get(index + 1)
                .map_or(to.boot, |next| next.0.min(to.boot));
            let start = if index == 0 {
                from.boot
            } else {
                (*start).max(from.boot)
            };
            let share = end.saturating_sub(start).as_secs_f64() / whole;
            let intensity = factor.intensity.map_or(0.0, |grams| grams.0);
            grams += joules * share / JOULES_PER_KWH * factor.pue * intensity;
        }
        grams
    }
}

struct World {
    devices: Vec<Device>,
    meters: Vec<(MeterSpec, Arc<Source>, bool)>,
    factors: Factors,
    engine: Engine,
    now: Moment,
    /// Every counter of the last page.
    last: BTreeMap<String, f64>,
    delivered: Vec<Batch>,
}

fn settings(factor: Factor) -> Settings {
    Settings {
        workloads: None,
        factor,
        grid: None,
        pue: Pue {
            ratio: factor.pue,
            origin: "config",
        },
        meter: Choice::auto(),
        making: serde_yaml::from_str::<Making>("kilograms: {d0: 20, d1: 150}").unwrap(),
        runs: gramwatt::run::book::Limits::default(),
        host: "".into(),
        demo: false,
        notes: Vec::new(),
    }
}

fn seats() -> Vec<Seat> {
    let pace = PATIENCE / 3;
    let seats = [
        ("rapl", pace),
        ("hwmon", pace),
        ("far", pace * 10),
        ("model", pace),
    ];
    let seat = |(rank, (name, interval)): (usize, (&str, Duration))| Seat {
        name: name.into(),
        rank,
        interval,
    };
    seats.into_iter().enumerate().map(seat).collect()
}

fn source(part: Part, ceiling: f64) -> Arc<Source> {
    Arc::new(Source {
        part,
        about: About::default(),
        ceiling: Watts(ceiling),
        holds: &[],
    })
}

fn batch(sensor: &str, at: Moment, good: Vec<Reading>) -> Batch {
    Batch {
        sensor: sensor.into(),
        at,
        took: Duration::ZERO,
        readings: Readings {
            good,
            bad: Vec::new(),
        },
    }
}

impl World {
    fn new(specs: Vec<Spec>, meters: Vec<MeterSpec>) -> Self {
        let now = Moment {
            awake: Duration::from_secs(1000),
            boot: Duration::from_secs(1000),
            wall: "2026-01-01T00:00:00Z".parse().unwrap(),
        };
        let metered = !meters.is_empty();
        let devices = specs.into_iter().enumerate().map(|(index, spec)| {
            let limited = metered && spec.how == How::Modelled;
            let spec = Spec { limited, ..spec };
            let part = Part::Device {
                id: format!("d{index}").into(),
                kind: Kind::Cpu,
            };
            Device {
                source: source(part, spec.ceiling),
                present: true,
                watts: 0.0,
                used: 0.0,
                origin: 0.0,
                start: 1 << 52,
                seen: None,
                first: 0.0,
                latest: 0.0,
                strange: false,
                joules: 0.0,
                grams: 0.0,
                exact: !spec.shadowed && !spec.limited,
                slack: 0.0,
                spec,
            }
        });
        let meters = meters.into_iter().enumerate().map(|(index, spec)| {
            let part = Part::Meter {
                id: format!("m{index}").into(),
                scope: Scope::Node(spec.class),
            };
            (spec, source(part, 1e5), true)
        });
        Self {
            devices: devices.collect(),
            meters: meters.collect(),
            factors: Factors(vec![(Duration::ZERO, Factor::UNKNOWN)]),
            engine: Engine::new(settings(Factor::UNKNOWN), &seats(), None, now),
            now,
            last: BTreeMap::new(),
            delivered: Vec::new(),
        }
    }

    fn pass(&mut self, time: Duration) {
        for device in &mut self.devices {
            device.used += device.watts * time.as_secs_f64();
        }
        self.now = self.now.later(time);
    }

    fn happen(&mut self, event: &Event) {
        let millis = Duration::from_millis;
        match event {
            Event::Read { millis: time, seed } => self.read(millis(*time), &mut Dice(*seed)),
            Event::Silence { millis: time } => {
                self.pass(millis(*time));
                self.tick();
            }
            Event::Suspend { millis: time } => {
                let awake = self.now.awake;
                self.pass(millis(*time));
                self.now.awake = awake;
                self.tick();
            }
            Event::Restart { millis: time } => {
                self.tick();
                let kept = serde_json::to_string(&self.engine.state()).unwrap();
                self.pass(millis(*time));
                let kept = serde_json::from_str(&kept).unwrap();
                let settings = settings(self.factor());
                self.engine = Engine::new(settings, &seats(), Some(kept), self.now);
                self.tick();
            }
            Event::Reboot => self.reboot(),
            Event::Factor { grams, pue, live } => {
                let factor = Factor {
                    intensity: grams.map(|grams| GramsPerKwh(f64::from(grams))),
                    market: grams.map(|_| GramsPerKwh(25.0)),
                    pue: 1.0 + f64::from(*pue) / 10.0,
                    live: *live,
                };
                self.factors.0.push((self.now.boot, factor));
                self.engine
                    .reconfigure(settings(factor), &seats(), self.now);
            }
            Event::Reset { device } => self.reset(*device),
            Event::Repeat => {
                for old in &self.delivered {
                    self.engine.apply(old);
                }
                self.tick();
            }
            Event::Toggle { part } => {
                let part = part % (self.devices.len() + self.meters.len());
                match self.devices.get_mut(part) {
                    Some(device) => device.present = !device.present,
                    None => {
                        let meter = &mut self.meters[part - self.devices.len()];
                        meter.2 = !meter.2;
                    }
                }
            }
        }
    }

    fn factor(&self) -> Factor {
        self.factors.0.last().unwrap().1
    }

    fn reboot(&mut self) {
        let factor = self.factor();
        self.now.boot = Duration::from_secs(5);
        self.now.awake = Duration::from_secs(5);
        self.factors = Factors(vec![(Duration::ZERO, factor)]);
        self.engine = Engine::new(settings(factor), &seats(), None, self.now);
        self.last.clear();
        self.delivered.clear();
        for device in &mut self.devices {
            device.forget();
            device.start = 17;
            device.origin = device.used;
        }
        self.tick();
    }

    fn reset(&mut self, device: usize) {
        let count = self.devices.len();
        let device = &mut self.devices[device % count];
        if let (How::Counter { unit, .. }, Some(range)) = (device.spec.how, device.range()) {
            // Just below its end a reset cannot be told from a wrap.
            device.slack += (range - device.counts() % range) as f64 * unit;
        }
        device.exact &= !matches!(device.spec.how, How::Counter { .. });
        (device.start, device.origin) = (0, device.used);
    }

    /// A step of time, and what the sensors read after it.
    fn read(&mut self, time: Duration, dice: &mut Dice) {
        for device in &mut self.devices {
            device.watts = device.spec.ceiling * dice.roll();
        }
        self.pass(time);
        let mut turns = ["rapl", "hwmon", "far", "model"];
        if dice.chance(0.5) {
            turns.reverse();
        }
        for sensor in turns {
            self.now = self.now.later(Duration::from_millis(1));
            if dice.chance(if sensor == "far" { 0.15 } else { 0.85 }) {
                let batch = self.turn(sensor, dice);
                self.engine.apply(&batch);
                if dice.chance(0.2) {
                    self.delivered.push(batch);
                }
            }
        }
        if dice.chance(0.8) {
            self.tick();
        }
    }

    fn turn(&mut self, sensor: &str, dice: &mut Dice) -> Batch {
        let mut good = Vec::new();
        let used: f64 = self.devices.iter().map(|d| d.used).sum();
        let watts: f64 = self.devices.iter().map(|d| d.watts).sum();
        let now = self.now;
        for (index, device) in self.devices.iter_mut().enumerate() {
            let own = match device.spec.how {
                How::Counter { .. } => "rapl",
                How::Power => "hwmon",
                How::Modelled => "model",
            };
            if sensor == "model" && device.spec.shadowed {
                let value = Value::Modelled(Watts(device.spec.ceiling * dice.roll()));
                good.push(Reading::new(&device.source, value));
            }
            if sensor != own || !device.present {
                continue;
            }
            let strange = dice.chance(0.04);
            let value = device.measure(strange, now, &self.factors);
            good.push(Reading::new(&device.source, value));
            if device.spec.domain {
                let domain = Part::Domain {
                    device: format!("d{index}").into(),
                    domain: "core".into(),
                };
                let domain = source(domain, device.spec.ceiling);
                good.push(Reading::new(&domain, device.value(device.start)));
            }
        }
        for (spec, source, present) in &self.meters {
            if sensor == if spec.far { "far" } else { "hwmon" } && *present {
                let value = if spec.counts {
                    Value::Counter {
                        raw: (used * spec.gain * 1e3) as u64,
                        unit: 1e-3,
                        wraps_at: None,
                    }
                } else {
                    Value::Power(Watts(watts * spec.gain))
                };
                good.push(Reading::new(source, value));
            }
        }
        batch(sensor, now, good)
    }

    fn tick(&mut self) {
        self.now = self.now.later(Duration::from_millis(1));
        let snapshot = self.engine.tick(self.now);
        closed(&snapshot);
        let counters = counters(&snapshot);
        for (name, before) in &self.last {
            let now = counters.get(name);
            // Grams of which none were ever booked are unknown again once their place is.
            if now.is_none() && *before == 0.0 && !name.ends_with("joules") {
                continue;
            }
            assert!(now.is_some(), "{name} is gone");
            assert!(now >= Some(before), "{name} fell from {before} to {now:?}");
        }
        self.last = counters;
        for device in &self.devices {
            let Part::Device { id, .. } = &device.source.part else {
                continue;
            };
            if let Some(shown) = snapshot.devices.iter().find(|shown| shown.id == *id) {
                device.check(shown.joules.0, shown.grams.map(|grams| grams.0));
            }
        }
    }
}

impl Device {
    /// What its sensor reads, and what the books must make of it.
    fn measure(&mut self, strange: bool, now: Moment, factors: &Factors) -> Value {
        match self.spec.how {
            How::Counter { .. } => self.count(strange, now, factors),
            How::Power | How::Modelled if strange => match self.spec.how {
                How::Power => Value::Power(Watts(f64::NAN)),
                _ => Value::Modelled(Watts(-1.0)),
            },
            How::Power | How::Modelled => {
                if let Some(seen) = self.seen {
                    let time = now.awake - seen.at.awake;
                    if time <= PATIENCE {
                        let mean = match self.spec.how {
                            How::Power => (seen.watts + self.watts) / 2.0,
                            _ => self.watts,
                        };
                        self.expect(mean * time.as_secs_f64(), seen.at, now, factors);
                    }
                }
                self.believe(0, now);
                self.value(0)
            }
        }
    }

    fn count(&mut self, strange: bool, now: Moment, factors: &Factors) -> Value {
        let counts = self.counts();
        self.latest = self.used;
        // A glitch far beyond anything that it can draw; only where a wrap cannot explain it.
        let strange = strange && self.range().is_none() && self.seen.is_some();
        if strange {
            // Two in a row are the counter's new life, for all that anybody can tell.
            self.exact &= !self.strange;
            self.strange = true;
            return self.value(counts + (1 << 50));
        }
        self.strange = false;
        if let Some(seen) = self.seen {
            let elapsed = (now.boot - seen.at.boot).as_secs_f64() + 1.0;
            let range = self
                .range()
                .map_or(f64::INFINITY, |range| range as f64 * self.unit());
            // So long a silence that it may have gone round unseen. Nearly so is not checked.
            self.exact &= self.spec.ceiling * elapsed < range * (1.0 - 1e-9);
            if self.exact {
                let joules = (counts - seen.counts) as f64 * self.unit();
                self.expect(joules, seen.at, now, factors);
            }
        }
        self.believe(counts, now);
        self.value(counts)
    }

    fn believe(&mut self, counts: u64, at: Moment) {
        if self.seen.is_none() {
            self.first = self.used;
        }
        self.seen = Some(Seen {
            counts,
            watts: self.watts,
            at,
        });
    }

    fn expect(&mut self, joules: f64, from: Moment, to: Moment, factors: &Factors) {
        self.joules += joules;
        self.grams += factors.grams(joules, from, to);
    }

    fn check(&self, joules: f64, grams: Option<f64>) {
        if self.seen.is_none() {
            return;
        }
        let tolerance = 1e-6 * self.joules.max(1.0) + 2.0 * self.unit();
        if self.exact {
            let (spec, want) = (&self.spec, self.joules);
            assert!(
                (joules - want).abs() <= tolerance,
                "{joules} J, not {want}: {spec:?}"
            );
            let (grams, want) = (grams.unwrap_or(0.0), self.grams);
            assert!(
                (grams - want).abs() <= 1e-6 * want.max(1e-3),
                "{grams} g, not {want}: {spec:?}"
            );
        }
        if matches!(self.spec.how, How::Counter { .. }) && !self.spec.shadowed {
            let most = self.latest - self.first + self.slack;
            assert!(
                joules <= most + tolerance,
                "{joules} J of {most}: {:?}",
                self.spec
            );
        }
    }
}

/// Every counter of a page by a name of its own.
fn counters(snapshot: &Snapshot) -> BTreeMap<String, f64> {
    let mut all = BTreeMap::new();
    let mut add = |name: String, value: Option<f64>| {
        if let Some(value) = value {
            assert!(value >= 0.0 && value.is_finite(), "{name} is {value}");
            assert!(
                all.insert(name.clone(), value).is_none(),
                "{name} is there twice"
            );
        }
    };
    for d in &snapshot.devices {
        add(format!("{} joules", d.id), Some(d.joules.0));
        add(format!("{} grams", d.id), d.grams.map(|g| g.0));
        add(format!("{} embodied", d.id), d.embodied.map(|g| g.0));
    }
    for d in &snapshot.domains {
        add(
            format!("{}/{} joules", d.device, d.domain),
            Some(d.joules.0),
        );
    }
    for m in &snapshot.meters {
        add(format!("{} joules", m.id), Some(m.joules.0));
    }
    let node = &snapshot.node;
    add("node joules".into(), node.joules.map(|j| j.0));
    add("node modelled".into(), node.joules.map(|_| node.modelled.0));
    add("node grams".into(), node.grams.map(|g| g.0));
    add("node estimated".into(), node.estimated.map(|g| g.0));
    add("node market".into(), node.market.map(|g| g.0));
    add("node embodied".into(), node.embodied.map(|g| g.0));
    all
}

/// The sums of a page.
fn closed(snapshot: &Snapshot) {
    let near = |what: &str, sum: f64, total: f64| {
        let tolerance = 1e-6 * total.abs().max(1e-6);
        assert!(
            (sum - total).abs() <= tolerance,
            "{what}: {sum}, not {total}"
        );
    };
    let (devices, node) = (&snapshot.devices, &snapshot.node);
    let in_force: Vec<_> = snapshot
        .meters
        .iter()
        .filter(|meter| meter.in_force)
        .collect();
    assert_eq!(node.meter.is_some(), !in_force.is_empty());
    for meter in &in_force {
        assert_eq!(Some(meter.scope), node.meter.map(Scope::Node));
        assert_eq!(
            meter.sensor, in_force[0].sensor,
            "the same thing counted twice"
        );
    }
    if let Some(joules) = node.joules {
        near("joules", devices.iter().map(|d| d.joules.0).sum(), joules.0);
        near("modelled", node.modelled.0.min(joules.0), node.modelled.0);
        assert!(
            node.residual.0.abs() <= 1e-6 * joules.0.max(1e-6),
            "{:?}",
            node.residual
        );
    }
    let grams: f64 = devices.iter().filter_map(|d| d.grams).map(|g| g.0).sum();
    near("grams", grams, node.grams.map_or(0.0, |g| g.0));
    let estimated = node.estimated.map_or(0.0, |g| g.0);
    near("estimated", estimated.min(grams), estimated);
    let watts: Vec<f64> = devices
        .iter()
        .filter_map(|d| d.watts)
        .map(|w| w.0)
        .collect();
    assert!(watts.iter().all(|watts| *watts >= 0.0), "{watts:?}");
    let unknown = watts.is_empty() || devices.iter().any(|d| d.watts.is_none());
    match node.watts {
        Some(total) => near("watts", watts.iter().sum(), total.0),
        None => assert!(unknown, "all devices have watts, and the node has none"),
    }
    let flows: f64 = devices.iter().filter_map(|d| d.flow).map(|f| f.0).sum();
    assert!(flows >= 0.0);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_books_hold_whatever_happens(
        specs in proptest::collection::vec(spec(), 1..6),
        meters in proptest::collection::vec(meter(), 0..5),
        events in proptest::collection::vec(event(), 1..120),
    ) {
        let mut world = World::new(specs, meters);
        world.tick();
        for event in &events {
            world.happen(event);
        }
        world.tick();
    }

}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    /// Devices that fall silent and report late, restarts, and batches in any order: where the counters
    /// lose nothing, the node ends at what its meter counted, to the joule.
    #[test]
    fn the_node_ends_at_what_its_meter_counted(
        shares in proptest::collection::vec((5.0..200.0_f64, any::<u64>()), 1..5),
        overhead in 150.0..300.0_f64,
        restarts in proptest::collection::vec(any::<bool>(), 40),
    ) {
        let mut world = Metered::new(shares.len());
        for (step, restart) in restarts.iter().enumerate() {
            world.step(&shares, overhead, |device, dice| {
                // Silent for a third of the steps, a few at a time.
                let phase = (shares[device].1 >> 8) % 5;
                (step as u64 + phase) % 9 > 2 && dice.chance(0.9)
            });
            if *restart && step % 7 == 0 {
                world.restart();
            }
        }
        // Time to pay what silent devices have brought in late.
        for _ in 0..100 {
            world.step(&shares, overhead, |_, _| true);
        }
        let (node, meter) = (world.joules(), world.meter);
        prop_assert!((node - meter).abs() <= 1e-6 * meter + 0.01, "{node} J, not {meter}");
    }
}

/// A machine with counters that lose nothing, and one meter.
struct Metered {
    engine: Engine,
    now: Moment,
    dice: Dice,
    used: Vec<f64>,
    meter: f64,
}

impl Metered {
    fn new(devices: usize) -> Self {
        let now = Moment {
            awake: Duration::from_secs(10),
            boot: Duration::from_secs(10),
            wall: "2026-01-01T00:00:00Z".parse().unwrap(),
        };
        let mut world = Self {
            engine: Engine::new(settings(Factor::UNKNOWN), &seats(), None, now),
            now,
            dice: Dice(devices as u64),
            used: vec![0.0; devices],
            meter: 0.0,
        };
        world.deliver("rapl", |_| true);
        world.deliver("hwmon", |_| true);
        world.engine.tick(world.now);
        world
    }

    fn step(
        &mut self,
        shares: &[(f64, u64)],
        overhead: f64,
        mut speaks: impl FnMut(usize, &mut Dice) -> bool,
    ) {
        for sensor in ["rapl", "hwmon"] {
            let time = 0.2 + 0.5 * self.dice.roll();
            self.now = self.now.later(Duration::from_secs_f64(time));
            for (used, (watts, _)) in self.used.iter_mut().zip(shares) {
                *used += watts * time;
                self.meter += watts * time;
            }
            self.meter += overhead * time;
            let mut dice = Dice(self.now.boot.as_nanos() as u64);
            self.deliver(sensor, |device| speaks(device, &mut dice));
        }
        closed(&self.engine.tick(self.now));
    }

    fn deliver(&mut self, sensor: &str, mut speaks: impl FnMut(usize) -> bool) {
        let count = |part, joules: f64| {
            let value = Value::Counter {
                raw: (joules * 1e6) as u64,
                unit: 1e-6,
                wraps_at: None,
            };
            Reading::new(&source(part, 1e4), value)
        };
        let good = if sensor == "rapl" {
            let parts = self
                .used
                .iter()
                .enumerate()
                .filter(|(device, _)| speaks(*device));
            let parts = parts.map(|(device, used)| {
                let id = format!("d{device}").into();
                count(
                    Part::Device {
                        id,
                        kind: Kind::Cpu,
                    },
                    *used,
                )
            });
            parts.collect()
        } else {
            let scope = Scope::Node(MeterClass::Acpi);
            let id = "m".into();
            vec![count(Part::Meter { id, scope }, self.meter)]
        };
        self.engine.apply(&batch(sensor, self.now, good));
    }

    fn restart(&mut self) {
        let kept = serde_json::to_string(&self.engine.state()).unwrap();
        let kept = serde_json::from_str(&kept).unwrap();
        self.engine = Engine::new(settings(Factor::UNKNOWN), &seats(), Some(kept), self.now);
        closed(&self.engine.tick(self.now));
    }

    fn joules(&mut self) -> f64 {
        self.deliver("rapl", |_| true);
        self.now = self.now.later(Duration::from_millis(1));
        self.deliver("hwmon", |_| true);
        self.deliver("rapl", |_| true);
        let snapshot = self.engine.tick(self.now);
        snapshot.node.joules.unwrap().0
    }
}
