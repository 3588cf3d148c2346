//! A million samples through the engine in this process: memory must be where it was after the first
//! hundred thousand.

use crate::Verdict;
use crate::process::resident_mib;
use gramwatt::clock::{self, Moment};
use gramwatt::config::Config;
use gramwatt::engine::{Batch, Engine, Seat};
use gramwatt::sensor::{About, Kind, MeterClass, Part, Reading, Readings, Scope, Source, Value};
use gramwatt::setup::Setup;
use gramwatt::units::Watts;
use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Devices of an eight-GPU, two-socket node, and its meter.
fn sources() -> Vec<Arc<Source>> {
    let device = |id: String, kind| Part::Device {
        id: id.into(),
        kind,
    };
    let gpus = (0..8).map(|n| device(format!("GPU-{n}"), Kind::Gpu));
    let packages = (0..2).map(|n| device(format!("package-{n}"), Kind::Cpu));
    let dram = (0..2).map(|n| device(format!("dram-{n}"), Kind::Dram));
    let meter = Part::Meter {
        id: "acpi-0".into(),
        scope: Scope::Node(MeterClass::Acpi),
    };
    let source = |part| {
        Arc::new(Source {
            part,
            about: About::default(),
            ceiling: Watts(10_000.0),
            holds: &[],
        })
    };
    gpus.chain(packages)
        .chain(dram)
        .chain([meter])
        .map(source)
        .collect()
}

fn batch(sources: &[Arc<Source>], step: u64, at: Moment) -> Batch {
    let value = |source: &Source| match source.part {
        Part::Meter { .. } => Value::Power(Watts(5000.0 + (step % 7) as f64)),
        _ => Value::Counter {
            raw: step * 300_000_000 % 262_143_328_850,
            unit: 1e-6,
            wraps_at: Some(262_143_328_850),
        },
    };
    let good = sources
        .iter()
        .map(|source| Reading::new(source, value(source)))
        .collect();
    Batch {
        sensor: "bench".into(),
        at,
        took: Duration::from_micros(50),
        readings: Readings {
            good,
            bad: Vec::new(),
        },
    }
}

pub fn flat_memory(verdict: &mut Verdict) -> Result<(), Box<dyn Error>> {
    let config = Config::parse("grid: {intensity: 400}")?;
    let settings = Setup::new(&config)?.settings;
    let second = Duration::from_secs(1);
    let seat = Seat {
        name: "bench".into(),
        rank: 0,
        interval: second,
    };
    let (sources, start) = (sources(), clock::now());
    let mut engine = Engine::new(settings, &[seat], None, start);
    let mut at = start;
    let mut run = |steps: std::ops::Range<u64>| {
        for step in steps {
            at = at.later(second);
            engine.apply(&batch(&sources, step, at));
            black_box(engine.tick(at));
        }
    };
    run(1..100_000);
    let (early, clock) = (resident_mib("self")?, Instant::now());
    run(100_000..1_000_000);
    let (late, each) = (
        resident_mib("self")?,
        clock.elapsed().as_secs_f64() / 900_000.0,
    );
    verdict.line(
        "memory after 100,000 and 1,000,000 samples of 13 sources",
        &format!("{early:.2} / {late:.2} MiB"),
        "flat, to 0.5 MiB",
        late - early <= 0.5,
    );
    println!(
        "{:<58} {:>22}",
        "one sample and snapshot of them",
        format!("{:.1} us", each * 1e6)
    );
    Ok(())
}
