//! Who may read a part: trust, lateness, restarts and sensors that are switched off.

use super::*;

#[test]
fn a_more_trusted_sensor_takes_over_and_a_less_trusted_one_does_not() {
    let (rapl, model) = (reader("rapl", 0), reader("model", 2));
    let part = source("package-0", 1000.0);
    let modelled = Reading::new(&part, Value::Modelled(Watts(100.0)));
    let counted = |joules: u64| Reading::new(&part, counter(joules * 1_000_000, None));
    let mut ledger = Ledger::default();
    ledger.record(&model, &modelled, at(0.0));
    ledger.record(&model, &modelled, at(1.0));
    let taken = ledger.record(&rapl, &counted(7_000), at(1.5));
    assert_eq!(
        taken,
        (None, Event::Booked),
        "the counter's first sight is not energy"
    );
    let ignored = ledger.record(&model, &modelled, at(2.0));
    assert_eq!(ignored, (None, Event::Ignored));
    let booked = ledger.record(&rapl, &counted(7_050), at(2.5)).0.unwrap();
    assert_eq!(booked.joules, Joules(50.0));
    // Nor does it where the trusted one has been silent for long: unknown is absent.
    let ignored = ledger.record(&model, &modelled, at(900.0));
    assert_eq!(ignored, (None, Event::Ignored));
    let equal = ledger.record(&reader("another", 0), &counted(9), at(901.0));
    assert_eq!(equal, (None, Event::Ignored));
    let account = ledger.account(&part.part).unwrap();
    assert!(near(account.joules.0, 150.0));
    assert_eq!(
        (&*account.reader.name, account.method),
        ("rapl", Method::Counter)
    );
}

#[test]
fn what_comes_too_late_is_left_out_even_from_a_more_trusted_sensor() {
    let mut meter = Meter::new();
    meter.read(1.0, counter(100_000_000, None));
    meter.read(2.0, counter(200_000_000, None));
    assert_eq!(
        meter.read(1.5, counter(150_000_000, None)),
        (None, Event::Ignored)
    );
    assert_eq!(
        meter.read(2.0, counter(200_000_000, None)),
        (None, Event::Ignored)
    );
    assert_eq!(meter.read(3.0, counter(300_000_000, None)).0, Some(100.0));
    let late = Reading::new(&meter.source, counter(0, None));
    let mut model = Meter::new();
    model.reader = reader("model", 2);
    model.read(1.0, Value::Modelled(Watts(10.0)));
    model.read(2.0, Value::Modelled(Watts(10.0)));
    let taken = model.ledger.record(&reader("rapl", 0), &late, at(1.5));
    assert_eq!(
        taken,
        (None, Event::Ignored),
        "1.5 s to 2 s are booked already"
    );
}

#[test]
fn the_same_hardware_under_two_names_is_booked_once() {
    let (rapl, model) = (reader("rapl", 0), reader("model", 2));
    let mut ledger = Ledger::default();
    let die = Reading::new(&source("package-0-die-1", 1000.0), counter(0, None));
    let whole = Reading::new(&source("package-0", 1000.0), Value::Modelled(Watts(10.0)));
    ledger.record(&rapl, &die, at(0.0));
    assert_eq!(
        ledger.record(&model, &whole, at(0.5)),
        (None, Event::Ignored)
    );
    let saved: Vec<Saved> = ledger.save().collect();
    let mut ledger = Ledger::restore(saved, at(5.0));
    ledger.seat(&[rapl, model.clone()]);
    let first = ledger.record(&model, &whole, at(5.1));
    assert_eq!(
        first,
        (None, Event::Ignored),
        "a restart does not change that"
    );
    assert_eq!(ledger.accounts().count(), 1);
}

#[test]
fn two_sensors_of_one_family_do_not_share_a_device() {
    let (a, b) = (reader("command-a", 2), reader("command-b", 2));
    let mut ledger = Ledger::default();
    let watts = Value::Power(Watts(10.0));
    let first = source("npu-0", 1000.0);
    let mut other = source("npu-0", 1000.0);
    Arc::make_mut(&mut other).part = Part::Device {
        id: "npu-0".into(),
        kind: Kind::Soc,
    };
    assert_ne!(first.part, other.part);
    ledger.record(&a, &Reading::new(&first, watts), at(0.0));
    let second = ledger.record(&b, &Reading::new(&other, watts), at(0.5));
    assert_eq!(second, (None, Event::Ignored));
    assert_eq!(ledger.accounts().count(), 1);
}

#[test]
fn a_counter_goes_on_after_a_restart_with_the_energy_of_the_gap_once() {
    let mut meter = Meter::new();
    meter.read(0.0, counter(100_000_000, Some(RAPL_RANGE)));
    meter.read(1.0, counter(200_000_000, Some(RAPL_RANGE)));
    meter.restart(61.0);
    assert!(near(meter.joules(), 100.0), "never below what was saved");
    assert_eq!(meter.account().watts, None);
    let (entry, event) = meter.read(61.5, counter(6_200_000_000, Some(RAPL_RANGE)));
    assert_eq!((entry, event), (Some(6_000.0), Event::Booked));
    meter.restart(62.0);
    meter.restart(63.0);
    meter.read(64.0, counter(6_300_000_000, Some(RAPL_RANGE)));
    assert!(near(meter.joules(), 6_200.0));
}

#[test]
fn a_counter_that_wrapped_or_may_have_wrapped_twice_during_a_restart() {
    let range = 100_000_000_000;
    let mut meter = Meter::new();
    meter.read(0.0, counter(99_900_000_000, Some(range)));
    meter.restart(10.0);
    let step = meter.read(11.0, counter(400_000_000, Some(range)));
    assert_eq!(step, (Some(500.0), Event::Wrapped));
    meter.restart(120.0);
    let step = meter.read(121.0, counter(500_000_000, Some(range)));
    assert_eq!(step, (None, Event::Gap), "110 s at 1000 W go round 100 kJ");
    assert!(near(meter.joules(), 500.0));
}

#[test]
fn power_over_a_restart_is_not_invented() {
    let mut meter = Meter::new();
    meter.read(0.0, Value::Power(Watts(100.0)));
    meter.read(1.0, Value::Power(Watts(100.0)));
    meter.restart(30.0);
    assert_eq!(
        meter.read(31.0, Value::Power(Watts(100.0))),
        (None, Event::Gap)
    );
    assert!(near(meter.joules(), 100.0));
}

#[test]
fn a_restart_gives_the_trusted_sensor_its_time_to_come_back() {
    let (rapl, model) = (reader("rapl", 0), reader("model", 2));
    let part = source("package-0", 1000.0);
    let modelled = Reading::new(&part, Value::Modelled(Watts(100.0)));
    let mut ledger = Ledger::default();
    let counted = |joules: u64| Reading::new(&part, counter(joules * 1_000_000, None));
    ledger.record(&rapl, &counted(50), at(0.0));
    let saved: Vec<Saved> = ledger.save().collect();

    let mut back = Ledger::restore(saved.clone(), at(10.0));
    back.seat(&[rapl.clone(), model.clone()]);
    assert_eq!(
        back.record(&model, &modelled, at(10.1)),
        (None, Event::Ignored)
    );
    let gap = back.record(&rapl, &counted(550), at(10.2)).0.unwrap();
    assert_eq!(gap.joules, Joules(500.0));

    let mut lost = Ledger::restore(saved.clone(), at(10.0));
    lost.seat(&[rapl, model.clone()]);
    assert_eq!(
        lost.record(&model, &modelled, at(12.9)),
        (None, Event::Ignored)
    );
    assert_eq!(
        lost.record(&model, &modelled, at(13.1)),
        (None, Event::Booked)
    );
    assert!(lost.record(&model, &modelled, at(14.1)).0.is_some());

    let mut gone = Ledger::restore(saved, at(10.0));
    gone.seat(std::slice::from_ref(&model));
    assert_eq!(
        gone.record(&model, &modelled, at(10.1)),
        (None, Event::Booked)
    );
}

#[test]
fn a_sensor_that_is_switched_off_leaves_its_parts_to_others() {
    let (rapl, model) = (reader("rapl", 0), reader("model", 2));
    let part = source("package-0", 1000.0);
    let modelled = Reading::new(&part, Value::Modelled(Watts(100.0)));
    let mut ledger = Ledger::default();
    ledger.record(&rapl, &Reading::new(&part, counter(0, None)), at(0.0));
    ledger.record(
        &rapl,
        &Reading::new(&part, counter(9_000_000, None)),
        at(1.0),
    );
    ledger.seat(std::slice::from_ref(&model));
    assert_eq!(
        ledger.record(&model, &modelled, at(2.0)),
        (None, Event::Booked)
    );
    let joules = ledger.record(&model, &modelled, at(3.0)).0.unwrap().joules;
    assert_eq!(joules, Joules(100.0));
    assert!(near(ledger.account(&part.part).unwrap().joules.0, 109.0));
}

#[test]
fn what_a_socket_holds_is_not_booked_again() {
    let mut ledger = Ledger::default();
    let (hwmon, model) = (reader("hwmon", 1), reader("model", 2));
    let dram = |id: &str| {
        let part = Part::Device {
            id: id.into(),
            kind: Kind::Dram,
        };
        let about = About::default();
        let (ceiling, holds) = (Watts(100.0), &[][..]);
        Arc::new(Source {
            part,
            about,
            ceiling,
            holds,
        })
    };
    let socket = Source {
        holds: &[Kind::Dram],
        ..(*source("package-0", 1000.0)).clone()
    };
    let measured = Reading::new(&Arc::new(socket), Value::Power(Watts(200.0)));
    let modelled = Reading::new(&dram("dram-0"), Value::Modelled(Watts(20.0)));
    assert_eq!(
        ledger.record(&model, &modelled, at(0.0)),
        (None, Event::Booked)
    );
    ledger.record(&hwmon, &measured, at(0.0));
    assert_eq!(
        ledger.record(&model, &modelled, at(1.0)),
        (None, Event::Ignored)
    );
    assert_eq!(
        ledger.account(&modelled.source.part).unwrap().joules,
        Joules::ZERO
    );
}
