//! A synthetic two-socket, eight-GPU node for trying dashboards, switched on by `--demo` alone. It
//! measures nothing; all that it shows says so.

pub mod load;

use super::{
    About, Discovery, Finding, Kind, MeterClass, Part, Presence, Reading, Readings, Roots, Scope,
    Sensor, Source, Switch, Value,
};
use crate::clock;
use crate::units::Watts;
use load::{SWITCHED_ON, Unit, energy_between, utilization};
use std::sync::Arc;
use std::time::Duration;

/// One line for `doctor` and the reference.
pub const SUMMARY: &str =
    "A synthetic two-socket, eight-GPU node for trying dashboards; measures nothing";

/// Nothing: the synthetic node is `demo: true` or `--demo`, and no key of `sensors`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {}

impl Switch for Config {
    fn is_on(&self) -> bool {
        false
    }
    fn turn(&mut self, _on: bool) {}
}

/// Makes the synthetic node. It looks at no file.
pub fn discover(_roots: &Roots, _config: &Config) -> Discovery {
    Discovery {
        sensors: vec![Box::new(Demo::new())],
        findings: vec![Finding {
            subject: "synthetic node".into(),
            state: Presence::Found,
            detail: "2 packages, 2 memories, 8 GPUs and a wall meter, all synthetic: \
                     nothing of this is measured"
                .into(),
            mend: String::new(),
        }],
    }
}

/// Joules in a count of the counters: they count millijoules, as NVML does.
const MILLIJOULE: f64 = 1e-3;
/// The power limit of the synthetic GPUs.
const GPU_LIMIT: Watts = Watts(700.0);

struct Demo {
    /// The wall clock less the boot clock at the start. Time is the sum of this and the boot clock,
    /// so that a step of the wall clock is no step of the counters.
    booted_at: f64,
    parts: Vec<(Unit, Arc<Source>)>,
}

impl Demo {
    fn new() -> Self {
        let now = clock::now();
        let wall = now.wall.as_nanosecond() as f64 * 1e-9;
        Self {
            booted_at: wall - now.boot.as_secs_f64(),
            parts: Unit::DEVICES
                .into_iter()
                .chain([Unit::Wall])
                .map(|unit| (unit, Arc::new(source(unit))))
                .collect(),
        }
    }

    fn at(&self, boot: Duration) -> Readings {
        let at = self.booted_at + boot.as_secs_f64();
        Readings {
            good: self
                .parts
                .iter()
                .map(|(unit, source)| reading(*unit, source, at))
                .collect(),
            bad: Vec::new(),
        }
    }
}

impl Sensor for Demo {
    fn name(&self) -> &'static str {
        "demo"
    }
    fn read(&mut self) -> Readings {
        self.at(clock::now().boot)
    }
}

/// What the unit's counter shows at a moment in Unix seconds.
fn reading(unit: Unit, source: &Arc<Source>, at: f64) -> Reading {
    let joules = energy_between(SWITCHED_ON, at, unit).0;
    Reading {
        source: Arc::clone(source),
        value: Value::Counter {
            // A float becomes an integer by cutting, and a moment before the start becomes 0.
            raw: (joules / MILLIJOULE) as u64,
            unit: MILLIJOULE,
            wraps_at: None,
        },
        utilization: utilization(at, unit),
        power_limit: matches!(unit, Unit::Gpu(_)).then_some(GPU_LIMIT),
    }
}

fn source(unit: Unit) -> Source {
    let device = |id: String, kind| Part::Device {
        id: id.into(),
        kind,
    };
    let about = |model: &str| About {
        vendor: "synthetic".into(),
        model: model.into(),
        driver: "demo (synthetic)".into(),
        ..About::default()
    };
    let (part, about, ceiling) = match unit {
        Unit::Gpu(n) => {
            let uuid = format!("GPU-demo-0000-0000-0000-00000000000{n}");
            let about = About {
                uuid: uuid.clone(),
                pci_bus_id: format!("0000:{:02x}:00.0", 0x1b + 0x10 * n),
                ..about("NVIDIA H100 80GB HBM3 (synthetic)")
            };
            (device(uuid, Kind::Gpu), about, 2100.0)
        }
        Unit::Package(n) => (
            device(format!("package-{n}"), Kind::Cpu),
            about("Intel Xeon Platinum 8480+ (synthetic)"),
            1050.0,
        ),
        Unit::Dram(n) => (
            device(format!("dram-{n}"), Kind::Dram),
            About {
                memory_bytes: Some(1 << 40),
                ..about("1 TiB DDR5 (synthetic)")
            },
            150.0,
        ),
        Unit::Wall => (
            Part::Meter {
                id: "psu-demo".into(),
                scope: Scope::Node(MeterClass::Psu),
            },
            about("Power supply input (synthetic)"),
            30_000.0,
        ),
    };
    Source {
        part,
        about,
        ceiling: Watts(ceiling), holds: &[] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demo() -> Demo {
        Demo {
            booted_at: 1_795_392_000.0,
            ..Demo::new()
        }
    }

    fn raw(reading: &Reading) -> u64 {
        match reading.value {
            Value::Counter { raw, .. } => raw,
            ref other => panic!("{other:?} is no counter"),
        }
    }

    #[test]
    fn two_processes_read_the_same() {
        let at = Duration::from_millis(123_456_789);
        assert_eq!(demo().at(at).good, demo().at(at).good);
    }

    #[test]
    fn counters_never_step_back_and_never_spike() {
        let demo = demo();
        let mut last = demo.at(Duration::ZERO).good;
        for step in 1..4_000_u64 {
            // From a hundredth of a second to a quarter of an hour.
            let seconds = Duration::from_millis(10 * step + step * step / 400);
            let now = demo.at(seconds).good;
            let elapsed = (10 + (2 * step + 1) / 400) as f64 / 1e3;
            for (before, after) in last.iter().zip(&now) {
                assert!(raw(after) >= raw(before), "{}", after.source.part);
                let joules = (raw(after) - raw(before)) as f64 * MILLIJOULE;
                let most = after.source.ceiling.0 * (elapsed + 0.01);
                assert!(joules <= most, "{} {joules}", after.source.part);
            }
            last = now;
        }
    }

    #[test]
    fn the_node_is_complete_and_says_that_it_is_synthetic() {
        let readings = demo().at(Duration::from_secs(60));
        let count = |kind| {
            let is = |r: &&Reading| matches!(r.source.part, Part::Device { kind: k, .. } if k == kind);
            readings.good.iter().filter(is).count()
        };
        assert_eq!(
            (count(Kind::Gpu), count(Kind::Cpu), count(Kind::Dram)),
            (8, 2, 2)
        );
        assert_eq!(readings.good.len(), 13);
        let mut ids = std::collections::BTreeSet::new();
        for reading in &readings.good {
            let source = &reading.source;
            assert!(ids.insert(source.part.clone()), "{} twice", source.part);
            assert_eq!(source.about.vendor, "synthetic");
            assert!(source.about.model.contains("synthetic"));
            let gpu = matches!(
                source.part,
                Part::Device {
                    kind: Kind::Gpu,
                    ..
                }
            );
            assert_eq!(reading.utilization.is_some(), gpu);
            assert_eq!(reading.power_limit, gpu.then_some(Watts(700.0)));
        }
    }

    #[test]
    fn it_is_off_unless_asked_for() {
        assert!(!Config::default().is_on());
    }
}
