use super::*;
use crate::sensor::{About, Cause, Fault, Kind, Reading, Source, Value};
use crate::units::{Grams, GramsPerKwh, Joules, Watts};
use std::io::ErrorKind;

const MAKING: &str = "package-0: 126.2304"; // 1 mg a second over 4 years

fn at(seconds: f64) -> Moment {
    let time = Duration::from_secs_f64(seconds);
    let wall: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    Moment {
        awake: time,
        boot: time,
        wall: wall + time,
    }
}

fn factor(intensity: Option<f64>) -> Factor {
    Factor {
        intensity: intensity.map(GramsPerKwh),
        market: None,
        pue: 1.0,
        live: false,
    }
}

fn settings(intensity: Option<f64>) -> Settings {
    Settings {
        workloads: None,
        factor: factor(intensity),
        grid: None,
        pue: Pue::default(),
        meter: Choice::auto(),
        making: serde_yaml::from_str(&format!("kilograms: {{{MAKING}}}")).unwrap(),
        runs: crate::run::book::Limits::default(),
        host: "".into(),
        demo: false,
        notes: Vec::new(),
    }
}

fn seat(name: &str, rank: usize) -> Seat {
    Seat {
        name: name.into(),
        rank,
        interval: Duration::from_secs(1),
    }
}

fn seats() -> Vec<Seat> {
    vec![seat("rapl", 0), seat("hwmon", 1), seat("model", 2)]
}

fn part(id: &str) -> Part {
    Part::Device {
        id: id.into(),
        kind: Kind::Cpu,
    }
}

fn reading(part: Part, value: Value) -> Reading {
    let source = Source {
        part,
        about: About::default(),
        ceiling: Watts(10_000.0),
        holds: &[],
    };
    Reading::new(&Arc::new(source), value)
}

fn counted(id: &str, joules: f64) -> Reading {
    let value = Value::Counter {
        raw: (joules * 1e6).round() as u64,
        unit: 1e-6,
        wraps_at: None,
    };
    reading(part(id), value)
}

fn fault(place: &str) -> Fault {
    Fault {
        place: place.into(),
        cause: Cause::Io(ErrorKind::PermissionDenied.into()),
        mend: "run as root".into(),
    }
}

fn batch(sensor: &str, seconds: f64, good: Vec<Reading>, bad: Vec<Fault>) -> Batch {
    Batch {
        sensor: sensor.into(),
        at: at(seconds),
        took: Duration::from_millis(1),
        readings: Readings { good, bad },
    }
}

fn engine(intensity: Option<f64>) -> Engine {
    Engine::new(settings(intensity), &seats(), None, at(0.0))
}

/// 100 W of one package, read every second.
fn run(engine: &mut Engine, seconds: std::ops::Range<u32>) -> Snapshot {
    let mut last = None;
    for second in seconds.map(f64::from) {
        let good = vec![counted("package-0", 100.0 * second)];
        engine.apply(&batch("rapl", second, good, vec![]));
        last = Some(engine.tick(at(second)));
    }
    last.unwrap()
}

fn restart(engine: &Engine, intensity: Option<f64>, seats: &[Seat], now: f64) -> Engine {
    let text = serde_json::to_string(&engine.state()).unwrap();
    let state = serde_json::from_str(&text).unwrap();
    Engine::new(settings(intensity), seats, Some(state), at(now))
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * b.abs().max(1.0)
}

fn sensor<'a>(snapshot: &'a Snapshot, name: &str) -> &'a crate::snapshot::SensorHealth {
    snapshot.sensors.iter().find(|s| &*s.name == name).unwrap()
}

/// The reasons that have been counted.
fn errors(health: &crate::snapshot::SensorHealth) -> Vec<(&'static str, u64)> {
    let counted = health.errors.iter().filter(|(_, count)| *count > 0);
    counted.copied().collect()
}

#[test]
fn every_kind_of_error_is_counted_from_0() {
    let snapshot = engine(None).tick(at(0.0));
    let born = crate::sensor::REASONS.map(|reason| (reason, 0));
    for health in &snapshot.sensors {
        assert_eq!(health.errors, born, "{}", health.name);
    }
}

#[test]
fn books_begin_at_0_with_the_first_sight_of_a_thing() {
    let mut engine = engine(Some(400.0));
    let empty = engine.tick(at(0.0));
    assert_eq!(empty.node.joules, None);
    assert!(empty.devices.is_empty());
    let first = run(&mut engine, 1..2);
    assert_eq!(first.node.joules, Some(Joules::ZERO));
    assert_eq!(first.node.grams, Some(Grams::ZERO));
    let device = &first.devices[0];
    assert_eq!(device.joules, Joules::ZERO);
    assert_eq!(device.grams, Some(Grams::ZERO));
    assert_eq!(device.watts, None, "one reading of a counter is no power");
    assert_eq!(device.flow, None);
}

#[test]
fn a_reading_becomes_joules_watts_and_grams() {
    let snapshot = run(&mut engine(Some(360.0)), 0..37);
    let device = &snapshot.devices[0];
    assert!(near(device.joules.0, 3600.0));
    assert!(near(device.watts.unwrap().0, 100.0));
    assert!(near(device.grams.unwrap().0, 0.36));
    assert!(near(device.flow.unwrap().0, 0.01));
    assert_eq!(snapshot.node.joules, Some(device.joules));
    assert_eq!(snapshot.node.watts, device.watts);
    assert_eq!(snapshot.node.grams, device.grams);
    assert_eq!(snapshot.node.estimated, device.grams);
    assert!(near(device.embodied.unwrap().0, 0.036));
    assert_eq!(snapshot.node.embodied, device.embodied);
    assert_eq!(snapshot.node.residual, Joules::ZERO);
}

#[test]
fn without_a_place_there_are_joules_and_no_grams() {
    let snapshot = run(&mut engine(None), 0..10);
    assert!(near(snapshot.node.joules.unwrap().0, 900.0));
    let device = &snapshot.devices[0];
    assert_eq!((device.grams, device.flow), (None, None));
    assert_eq!((snapshot.node.grams, snapshot.node.estimated), (None, None));
}

#[test]
fn a_reload_changes_the_factor_from_then_on() {
    let mut engine = engine(None);
    run(&mut engine, 0..11);
    engine.reconfigure(settings(Some(3600.0)), &seats(), at(10.0));
    run(&mut engine, 11..21);
    engine.reconfigure(settings(Some(360.0)), &seats(), at(20.5));
    let snapshot = run(&mut engine, 21..22);
    let expected = 1000.0 / 1000.0 + 50.0 / 1000.0 + 50.0 / 10_000.0;
    assert!(
        near(snapshot.node.grams.unwrap().0, expected),
        "{:?}",
        snapshot.node.grams
    );
    engine.reconfigure(settings(None), &seats(), at(21.0));
    let snapshot = run(&mut engine, 22..30);
    assert!(
        near(snapshot.node.grams.unwrap().0, expected),
        "they stand still"
    );
    assert_eq!(snapshot.devices[0].flow, None);
}

#[test]
fn what_holds_of_the_site_holds_from_its_moment_on() {
    let mut engine = engine(Some(360.0));
    run(&mut engine, 0..11);
    let facts = |ratio: f64, market: Option<f64>, since: Option<f64>| Facts {
        since: since.map(|since| at(since).wall),
        pue: Pue {
            ratio,
            origin: "live",
        },
        market: market.map(GramsPerKwh),
        ..Facts::default()
    };
    // Told at 10 s, of what began at 10 s.
    engine.house(facts(2.0, Some(36.0), None), at(10.0));
    let told = run(&mut engine, 11..21);
    assert_eq!((told.pue.ratio, told.pue.origin), (2.0, "live"));
    // Told at 20.5 s, of what began at 20 s; a change of the grid leaves it as it is.
    engine.house(facts(1.5, None, Some(20.0)), at(20.5));
    let told = run(&mut engine, 21..31);
    // 100 W are 0.01 g a second at 360 g/kWh: 10 s each at a PUE of 1, 2 and 1.5.
    assert!(near(told.node.grams.unwrap().0, 0.1 + 0.2 + 0.15));
    // The hours without a contract are not known, and add nothing.
    assert!(near(told.node.market.unwrap().0, 0.02));
    let grid = Conditions {
        since: None,
        ..Conditions::default()
    };
    engine.meet(grid, at(30.0));
    let told = run(&mut engine, 31..41);
    assert_eq!(told.pue.ratio, 1.5);
    // New settings that ask the same go on with it.
    let mut fresh = settings(Some(360.0));
    engine.carry(&mut fresh);
    engine.reconfigure(fresh, &seats(), at(40.0));
    let told = run(&mut engine, 41..51);
    assert_eq!((told.pue.ratio, told.pue.origin), (1.5, "live"));
    assert!(near(told.node.grams.unwrap().0, 0.1 + 0.2 + 0.15 + 0.15));
}

#[test]
fn a_silent_sensor_loses_its_watts_and_freezes_its_joules() {
    let mut engine = engine(Some(400.0));
    run(&mut engine, 0..11);
    let patient = engine.tick(at(13.0));
    assert!(patient.devices[0].watts.is_some());
    assert!(sensor(&patient, "rapl").up);
    let lost = engine.tick(at(13.1));
    assert_eq!(lost.devices[0].watts, None);
    assert_eq!((lost.devices[0].flow, lost.node.watts), (None, None));
    assert!(near(lost.devices[0].joules.0, 1000.0));
    assert!(!sensor(&lost, "rapl").up);
    assert_eq!(sensor(&lost, "rapl").last, Some(at(10.0)));
    let back = run(&mut engine, 60..61);
    assert!(
        near(back.devices[0].joules.0, 6000.0),
        "a counter has missed nothing"
    );
    assert!(near(back.devices[0].watts.unwrap().0, 100.0));
    assert!(sensor(&back, "rapl").up);
}

#[test]
fn a_sensor_that_never_spoke_is_not_up_and_does_not_hold_up_the_rest() {
    let mut engine = engine(None);
    let early = run(&mut engine, 0..4);
    assert!(!early.ready);
    assert!(!sensor(&early, "hwmon").up);
    let late = run(&mut engine, 4..5);
    assert!(late.ready);
    assert!(sensor(&late, "rapl").up && !sensor(&late, "hwmon").up);
}

#[test]
fn one_fault_among_many_costs_that_one() {
    let mut engine = engine(None);
    for second in 0..10 {
        let second = f64::from(second);
        let mut good = vec![counted("package-0", 100.0 * second)];
        let mut bad = Vec::new();
        if second < 5.0 {
            good.push(counted("package-1", 50.0 * second));
        } else {
            bad.push(fault("intel-rapl:1/energy_uj"));
        }
        engine.apply(&batch("rapl", second, good, bad));
    }
    let snapshot = engine.tick(at(9.0));
    let health = sensor(&snapshot, "rapl");
    assert!(health.up);
    assert_eq!(errors(health), [("permission", 5)]);
    assert_eq!(health.faults.len(), 1);
    assert_eq!(health.faults[0].place, "intel-rapl:1/energy_uj");
    assert_eq!(health.faults[0].mend, "run as root");
    let [first, second] = &snapshot.devices[..] else {
        panic!("two packages")
    };
    assert!(first.watts.is_some() && near(first.joules.0, 900.0));
    assert!(second.watts.is_none() && near(second.joules.0, 200.0));
    engine.apply(&batch("rapl", 10.0, vec![], vec![fault("a"), fault("b")]));
    assert!(
        !sensor(&engine.tick(at(10.0)), "rapl").up,
        "all faults and nothing good"
    );
    engine.apply(&batch(
        "rapl",
        11.0,
        vec![counted("package-0", 1.1e3)],
        vec![],
    ));
    let mended = engine.tick(at(11.0));
    assert!(sensor(&mended, "rapl").up && sensor(&mended, "rapl").faults.is_empty());
}

#[test]
fn faults_shown_are_bounded_and_all_are_counted() {
    let mut engine = engine(None);
    let bad = (0..1000).map(|n| fault(&format!("zone {n}"))).collect();
    engine.apply(&batch("rapl", 0.0, vec![], bad));
    let snapshot = engine.tick(at(0.0));
    assert_eq!(errors(sensor(&snapshot, "rapl")), [("permission", 1000)]);
    assert_eq!(sensor(&snapshot, "rapl").faults.len(), 32);
}

#[test]
fn wraps_gaps_and_refusals_are_counted_by_sensor() {
    let mut engine = engine(None);
    let dial = |raw| {
        let value = Value::Counter {
            raw,
            unit: 1.0,
            wraps_at: Some(100_000),
        };
        vec![reading(part("package-0"), value)]
    };
    for (second, raw) in [(0.0, 99_990), (1.0, 10), (2.0, 50_000), (3.0, 20), (4.0, 5)] {
        engine.apply(&batch("rapl", second, dial(raw), vec![]));
    }
    let snapshot = engine.tick(at(4.0));
    let health = sensor(&snapshot, "rapl");
    assert_eq!((health.wraps, health.gaps), (1, 1));
    assert_eq!(errors(health), [("implausible", 1)]);
}

#[test]
fn modelled_joules_are_told_apart() {
    let mut engine = engine(None);
    for second in 0..11 {
        let second = f64::from(second);
        let model = vec![reading(part("dram-0"), Value::Modelled(Watts(20.0)))];
        engine.apply(&batch("model", second, model, vec![]));
        let good = vec![counted("package-0", 100.0 * second)];
        engine.apply(&batch("rapl", second, good, vec![]));
    }
    let snapshot = engine.tick(at(10.0));
    assert!(near(snapshot.node.joules.unwrap().0, 1200.0));
    assert!(near(snapshot.node.modelled.0, 200.0));
}

#[test]
fn domains_and_meters_are_shown_and_never_summed() {
    let mut engine = engine(None);
    for second in 0..11 {
        let second = f64::from(second);
        let value = |watts: f64| Value::Power(Watts(watts));
        let domain = Part::Domain {
            device: "package-0".into(),
            domain: "core".into(),
        };
        let rail = Part::Meter {
            id: "rail".into(),
            scope: Scope::Rail,
        };
        let good = vec![
            counted("package-0", 100.0 * second),
            reading(domain, value(60.0)),
            reading(rail, value(500.0)),
        ];
        engine.apply(&batch("rapl", second, good, vec![]));
    }
    let snapshot = engine.tick(at(10.0));
    assert!(near(snapshot.node.joules.unwrap().0, 1000.0));
    assert!(near(snapshot.domains[0].joules.0, 600.0));
    assert!(near(snapshot.meters[0].joules.0, 5000.0));
    assert_eq!(snapshot.devices.len(), 1);
    assert_eq!(snapshot.node.meter, None);
}

#[test]
fn the_meter_closes_the_books_of_the_node() {
    let mut engine = engine(Some(3600.0));
    let mut snapshot = engine.tick(at(0.0));
    for second in 0..11 {
        let second = f64::from(second);
        let wall = Part::Meter {
            id: "acpi-0".into(),
            scope: Scope::Node(MeterClass::Acpi),
        };
        let wall = vec![reading(wall, Value::Power(Watts(150.0)))];
        engine.apply(&batch("hwmon", second, wall, vec![]));
        let good = vec![counted("package-0", 100.0 * second)];
        engine.apply(&batch("rapl", second, good, vec![]));
        snapshot = engine.tick(at(second));
    }
    assert!(near(snapshot.node.joules.unwrap().0, 1500.0));
    assert!(near(snapshot.node.watts.unwrap().0, 150.0));
    assert!(near(snapshot.node.grams.unwrap().0, 1.5));
    assert_eq!(snapshot.node.meter, Some(MeterClass::Acpi));
    let other = &snapshot.devices[1];
    assert_eq!(
        (&*other.id, other.kind, &*other.sensor),
        ("other", Kind::Other, "hwmon")
    );
    assert_eq!(other.method, Method::Integrated);
    assert!(near(other.joules.0, 500.0) && near(other.grams.unwrap().0, 0.5));
}

#[test]
fn models_take_what_the_meter_leaves() {
    let mut engine = engine(None);
    let mut snapshot = engine.tick(at(0.0));
    for second in 0..101 {
        let now = f64::from(second);
        let psys = Part::Meter {
            id: "psys".into(),
            scope: Scope::Node(MeterClass::Psys),
        };
        let good = vec![
            counted("package-0", 6.0 * now),
            reading(
                psys,
                Value::Power(Watts(if second < 50 { 10.0 } else { 40.0 })),
            ),
        ];
        engine.apply(&batch("rapl", now, good, vec![]));
        let modelled = vec![
            reading(part("dram-0"), Value::Modelled(Watts(12.0))),
            // Measured by another: it takes nothing from what is left.
            reading(part("package-0"), Value::Modelled(Watts(500.0))),
        ];
        engine.apply(&batch("model", now, modelled, vec![]));
        snapshot = engine.tick(at(now));
        if second == 49 {
            assert!(
                near(snapshot.node.watts.unwrap().0, 10.0),
                "{:?}",
                snapshot.node.watts
            );
            let [memory, package, other] = &snapshot.devices[..] else {
                panic!("three devices")
            };
            assert!(near(memory.watts.unwrap().0, 4.0) && near(package.watts.unwrap().0, 6.0));
            assert!(near(other.watts.unwrap().0, 0.0));
        }
    }
    let metered = snapshot.meters[0].joules.0;
    assert!(
        (snapshot.node.joules.unwrap().0 - metered).abs() < 12.0,
        "but for the first second"
    );
    assert!(
        near(snapshot.devices[0].watts.unwrap().0, 12.0),
        "all of it, where there is room"
    );
    assert!(near(snapshot.node.watts.unwrap().0, 40.0));
}

#[test]
fn a_restart_goes_on_where_the_books_ended() {
    let mut before = engine(Some(3600.0));
    let last = run(&mut before, 0..11);
    let mut after = restart(&before, Some(3600.0), &seats(), 60.0);
    let first = after.tick(at(60.0));
    assert_eq!(first.node.joules, last.node.joules);
    assert_eq!(first.node.grams, last.node.grams);
    assert_eq!(first.devices[0].joules, last.devices[0].joules);
    assert_eq!(first.devices[0].embodied, last.devices[0].embodied);
    assert_eq!(first.devices[0].watts, None);
    assert_eq!(first.since, Some(at(0.0)));
    assert_eq!(first.node.residual, Joules::ZERO);
    let then = run(&mut after, 61..62);
    assert!(near(then.node.joules.unwrap().0, 6100.0));
    assert!(near(then.node.grams.unwrap().0, 6.1));
    assert!(
        near(then.devices[0].embodied.unwrap().0, 0.061),
        "its making goes on"
    );
}

#[test]
fn energy_of_a_restart_meets_the_factors_of_its_time() {
    let mut before = engine(Some(3600.0));
    run(&mut before, 0..11);
    let mut after = restart(&before, Some(360.0), &seats(), 60.0);
    let then = run(&mut after, 110..111);
    let expected = 6000.0 / 1000.0 + 5000.0 / 10_000.0;
    assert!(
        near(then.node.grams.unwrap().0, expected),
        "{:?}",
        then.node.grams
    );
}

#[test]
fn a_restart_with_a_sensor_off_leaves_its_devices_to_the_next() {
    let mut before = engine(None);
    run(&mut before, 0..11);
    let mut after = restart(&before, None, &[seat("model", 2)], 60.0);
    for second in 61..72 {
        let modelled = vec![reading(part("package-0"), Value::Modelled(Watts(90.0)))];
        after.apply(&batch("model", f64::from(second), modelled, vec![]));
    }
    let snapshot = after.tick(at(71.0));
    assert!(near(snapshot.node.joules.unwrap().0, 1900.0));
    assert!(near(snapshot.node.modelled.0, 900.0));
    assert_eq!(&*snapshot.devices[0].sensor, "model");
}

#[test]
fn making_is_booked_from_the_first_sight_on_and_not_while_it_is_off() {
    let mut engine = engine(None);
    engine.tick(at(50.0));
    let grams = |snapshot: Snapshot| snapshot.devices[0].embodied.unwrap().0;
    assert!(near(grams(run(&mut engine, 100..111)), 0.010));
    let mut off = settings(None);
    off.making.enabled = false;
    engine.reconfigure(off, &seats(), at(110.0));
    assert!(near(grams(run(&mut engine, 111..121)), 0.010));
    engine.reconfigure(settings(None), &seats(), at(120.0));
    assert!(near(grams(run(&mut engine, 121..131)), 0.020));
}

#[test]
fn a_sensor_that_was_retired_is_not_heard_any_more() {
    let mut engine = engine(None);
    run(&mut engine, 0..3);
    engine.reconfigure(settings(None), &[seat("model", 2)], at(2.5));
    let snapshot = run(&mut engine, 3..4);
    assert!(near(snapshot.node.joules.unwrap().0, 200.0));
    assert_eq!(snapshot.sensors.len(), 1);
}

#[test]
fn suspension_is_no_silence() {
    let mut engine = engine(Some(400.0));
    run(&mut engine, 0..11);
    let asleep = |seconds: f64| Moment {
        awake: Duration::from_secs_f64(seconds - 3600.0),
        ..at(seconds)
    };
    let woken = engine.tick(asleep(3611.0));
    assert!(sensor(&woken, "rapl").up);
    engine.apply(&Batch {
        at: asleep(3611.5),
        ..batch(
            "rapl",
            0.0,
            vec![counted("package-0", 1000.0 + 36.0)],
            vec![],
        )
    });
    let snapshot = engine.tick(asleep(3612.0));
    assert!(near(snapshot.node.joules.unwrap().0, 1036.0));
    assert!(
        near(snapshot.devices[0].watts.unwrap().0, 36.0 / 1.5),
        "of the time awake"
    );
    assert!(
        near(snapshot.devices[0].embodied.unwrap().0, 3.612),
        "age knows no sleep"
    );
}

fn psys(watts: f64) -> Reading {
    let part = Part::Meter {
        id: "psys".into(),
        scope: Scope::Node(MeterClass::Psys),
    };
    reading(part, Value::Power(Watts(watts)))
}

#[test]
fn the_nodes_power_is_what_the_meter_in_force_says() {
    let mut engine = engine(None);
    for second in 0..21 {
        let second = f64::from(second);
        let good = vec![counted("package-0", 100.0 * second)];
        engine.apply(&batch("rapl", second, good, vec![]));
        // The meter is read every other second, and what it reads changes.
        if second % 2.0 == 0.0 {
            let meter = vec![psys(150.0 + 10.0 * second)];
            engine.apply(&batch("hwmon", second, meter, vec![]));
        }
        let snapshot = engine.tick(at(second));
        let meter = snapshot.meters[0].watts.unwrap();
        let devices: Watts = snapshot.devices.iter().filter_map(|d| d.watts).sum();
        let node = snapshot.node.watts.unwrap();
        assert!(near(node.0, meter.0), "{node:?}, not {meter:?} at {second}");
        assert!(near(node.0, devices.0));
    }
    for second in [20.25, 20.5] {
        engine.apply(&batch("hwmon", second, vec![psys(40.0)], vec![]));
    }
    let below = engine.tick(at(20.5));
    assert!(
        near(below.node.watts.unwrap().0, 100.0),
        "the devices draw more"
    );
}

#[test]
fn what_is_modelled_has_no_watts_before_it_is_booked() {
    let mut engine = engine(None);
    let model = || vec![reading(part("package-0"), Value::Modelled(Watts(20.0)))];
    engine.apply(&batch("model", 1.0, model(), vec![]));
    let first = engine.tick(at(1.0));
    assert_eq!((first.devices[0].watts, first.node.watts), (None, None));
    engine.apply(&batch("model", 2.0, model(), vec![]));
    let second = engine.tick(at(2.0));
    assert_eq!(second.node.watts, Some(Watts(20.0)));
}

#[test]
fn a_lost_device_does_not_lower_the_nodes_power() {
    let mut engine = engine(None);
    let two = |second: f64| {
        vec![
            counted("package-0", 100.0 * second),
            counted("package-1", 50.0 * second),
        ]
    };
    for second in 0..5 {
        let second = f64::from(second);
        engine.apply(&batch("rapl", second, two(second), vec![]));
        let node = engine.tick(at(second)).node.watts;
        assert_eq!(node.is_some(), second > 0.0, "at {second}");
    }
    for second in 5..20 {
        let second = f64::from(second);
        let good = vec![counted("package-0", 100.0 * second)];
        engine.apply(&batch("rapl", second, good, vec![fault("zone 1")]));
    }
    let lost = engine.tick(at(19.0));
    assert!(lost.devices[0].watts.is_some());
    assert_eq!((lost.devices[1].watts, lost.node.watts), (None, None));
    engine.apply(&batch("rapl", 20.0, two(20.0), vec![]));
    assert!(near(engine.tick(at(20.0)).node.watts.unwrap().0, 150.0));
    // A well sensor that says nothing of a device says that it sleeps.
    for second in 21..30 {
        let second = f64::from(second);
        let good = vec![counted("package-0", 100.0 * second)];
        engine.apply(&batch("rapl", second, good, vec![]));
    }
    assert!(near(engine.tick(at(29.0)).node.watts.unwrap().0, 100.0));
}

#[test]
fn a_meter_that_is_asked_for_and_not_there_is_told_of() {
    let mut settings = settings(None);
    settings.meter = Choice(vec![MeterClass::Psys]);
    let mut engine = Engine::new(settings, &seats(), None, at(0.0));
    let early = run(&mut engine, 0..3);
    assert!(!early.ready && early.notes.is_empty());
    let late = run(&mut engine, 3..9);
    let note = "node.meter is psys, and there is no such meter: the node is the sum of its devices";
    assert_eq!(late.notes, [Arc::from(note)]);
    engine.apply(&batch("hwmon", 9.0, vec![psys(150.0)], vec![]));
    assert!(engine.tick(at(9.0)).notes.is_empty());
    assert!(run(&mut engine, 10..20).notes[0].contains("that meter is silent"));
}

/// An outlet's counter.
fn outlet(id: &str, watts: f64, seconds: f64) -> Reading {
    let part = Part::Meter {
        id: id.into(),
        scope: Scope::Node(MeterClass::Pdu),
    };
    Reading {
        source: Arc::new(Source {
            part,
            ..(*counted("", 0.0).source).clone()
        }),
        ..counted("", watts * seconds)
    }
}

#[test]
fn an_outlet_that_is_no_longer_configured_does_not_silence_the_others() {
    for is_restart in [false, true] {
        let seats = [seat("rapl", 0), seat("pdu", 6)];
        let mut engine = Engine::new(settings(None), &seats, None, at(0.0));
        for second in (0..20).map(f64::from) {
            let mut good = vec![outlet("pdu-a-3", 300.0, second)];
            // Another outlet from 10 s on, and one batch from before the reload comes late.
            if second <= 10.0 {
                good.push(outlet("pdu-a-4", 200.0, second));
            }
            engine.apply(&batch(
                "rapl",
                second,
                vec![counted("package-0", 100.0 * second)],
                vec![],
            ));
            engine.apply(&batch("pdu", second, good, vec![]));
            let node = engine.tick(at(second)).node;
            if second == 9.0 {
                assert!(near(node.watts.unwrap().0, 500.0));
                match is_restart {
                    true => engine = restart(&engine, None, &seats, 9.5),
                    false => engine.reconfigure(settings(None), &seats, at(9.5)),
                }
            }
        }
        let node = engine.tick(at(19.0)).node;
        assert_eq!(node.meter, Some(MeterClass::Pdu), "restart: {is_restart}");
        assert!(near(node.watts.unwrap().0, 300.0));
        // What was there is missed while it fails, and not once it is said to be gone.
        for second in (20..30).map(f64::from) {
            let good = vec![outlet("pdu-a-5", 100.0, second)];
            engine.apply(&batch("pdu", second, good, vec![fault("outlet 3")]));
            engine.tick(at(second));
        }
        assert_eq!(engine.tick(at(29.0)).node.meter, None);
    }
}

#[test]
fn one_of_two_feeds_is_no_node_even_where_the_other_has_never_answered() {
    let seats = [seat("rapl", 0), seat("pdu-a", 6), seat("pdu-b", 6)];
    let mut engine = Engine::new(settings(None), &seats, None, at(0.0));
    for second in (0..20).map(f64::from) {
        engine.apply(&batch(
            "rapl",
            second,
            vec![counted("package-0", 100.0 * second)],
            vec![],
        ));
        engine.apply(&batch(
            "pdu-a",
            second,
            vec![outlet("pdu-a-3", 300.0, second)],
            vec![],
        ));
        let other = match second {
            ..10.0 => batch("pdu-b", second, vec![], vec![fault("pdu-b")]),
            _ => batch(
                "pdu-b",
                second,
                vec![outlet("pdu-b-3", 300.0, second)],
                vec![],
            ),
        };
        engine.apply(&other);
        let meter = engine.tick(at(second)).node.meter;
        let whole = (second >= 10.0).then_some(MeterClass::Pdu);
        assert_eq!(meter, whole, "at {second}");
    }
    assert!(near(engine.tick(at(19.0)).node.watts.unwrap().0, 600.0));
    // One that answers, and has no outlet of this node, is not waited for.
    let mut engine = Engine::new(settings(None), &seats, None, at(20.0));
    for second in (20..23).map(f64::from) {
        engine.apply(&batch(
            "pdu-a",
            second,
            vec![outlet("pdu-a-3", 300.0, second)],
            vec![],
        ));
        engine.apply(&batch("pdu-b", second, vec![], vec![]));
    }
    assert_eq!(engine.tick(at(22.0)).node.meter, Some(MeterClass::Pdu));
}
