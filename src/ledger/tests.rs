use super::Event::{Booked as B, Gap as G, Refused as R, Wrapped as W};
use super::*;

const RAPL_RANGE: u64 = 262_143_328_850;
const MICRO: f64 = 1e-6;

fn at(seconds: f64) -> Moment {
    let time = Duration::from_secs_f64(seconds);
    Moment {
        awake: time,
        boot: time,
        wall: "2026-01-01T00:00:00Z".parse().unwrap(),
    }
}

fn reader(name: &str, rank: usize) -> Reader {
    Reader {
        name: name.into(),
        rank,
        patience: Duration::from_secs(3),
    }
}

fn device(id: &str) -> Part {
    Part::Device {
        id: id.into(),
        kind: Kind::Cpu,
    }
}

fn source(id: &str, ceiling: f64) -> Arc<Source> {
    Arc::new(Source {
        part: device(id),
        about: About::default(),
        ceiling: Watts(ceiling),
        holds: &[],
    })
}

fn counter(raw: u64, wraps_at: Option<u64>) -> Value {
    Value::Counter {
        raw,
        unit: MICRO,
        wraps_at,
    }
}

/// One sensor's readings of one part that draws 1000 W at most.
struct Meter {
    ledger: Ledger,
    source: Arc<Source>,
    reader: Reader,
}

impl Meter {
    fn new() -> Self {
        Self {
            ledger: Ledger::default(),
            source: source("package-0", 1000.0),
            reader: reader("rapl", 0),
        }
    }
    fn read(&mut self, seconds: f64, value: Value) -> (Option<f64>, Event) {
        let reading = Reading::new(&self.source, value);
        let (entry, event) = self.ledger.record(&self.reader, &reading, at(seconds));
        (entry.map(|entry| entry.joules.0), event)
    }
    fn account(&self) -> &Account {
        self.ledger.account(&self.source.part).unwrap()
    }
    fn joules(&self) -> f64 {
        self.account().joules.0
    }
    fn restart(&mut self, now: f64) {
        let saved: Vec<Saved> = self.ledger.save().collect();
        let text = serde_json::to_string(&saved).unwrap();
        let saved = serde_json::from_str(&text).unwrap();
        self.ledger = Ledger::restore(saved, at(now));
        self.ledger.seat(std::slice::from_ref(&self.reader));
    }
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * b.abs().max(1.0)
}

/// What is read every second (in joules; `None`: nothing), and what must come of it.
struct Steps {
    what: &'static str,
    range: Option<f64>,
    reads: &'static [Option<f64>],
    joules: f64,
    events: &'static [Event],
}

const STEPS: &[Steps] = &[
    Steps {
        what: "the first sight of a counter is not energy",
        range: Some(262_143.0),
        reads: &[Some(90_000.0)],
        joules: 0.0,
        events: &[B],
    },
    Steps {
        what: "differences are",
        range: Some(262_143.0),
        reads: &[
            Some(90_000.0),
            Some(90_100.0),
            Some(90_100.0),
            Some(90_350.0),
        ],
        joules: 350.0,
        events: &[B, B, B, B],
    },
    Steps {
        what: "a wrap at the range",
        range: Some(262_143.0),
        reads: &[Some(262_043.0), Some(262_143.0), Some(100.0), Some(250.0)],
        joules: 350.0,
        events: &[B, B, W, B],
    },
    Steps {
        what: "a wrap exactly onto 0",
        range: Some(262_143.0),
        reads: &[Some(262_000.0), Some(0.0)],
        joules: 143.0,
        events: &[B, W],
    },
    Steps {
        what: "a real reset loses the interval of which nothing is known, and no more",
        range: Some(262_143.0),
        reads: &[
            Some(90_000.0),
            Some(90_100.0),
            Some(30.0),
            Some(130.0),
            Some(230.0),
        ],
        joules: 300.0,
        events: &[B, B, G, B, B],
    },
    Steps {
        what: "a counter without a wrap can be reset too",
        range: None,
        reads: &[Some(90_000.0), Some(10.0), Some(60.0)],
        joules: 50.0,
        events: &[B, G, B],
    },
    Steps {
        what: "a glitch up and back costs nothing",
        range: Some(262_143.0),
        reads: &[
            Some(500.0),
            Some(600.0),
            Some(90_000.0),
            Some(800.0),
            Some(900.0),
        ],
        joules: 400.0,
        events: &[B, B, R, B, B],
    },
    Steps {
        what: "a glitch down and back books nothing twice",
        range: Some(262_143.0),
        reads: &[
            Some(500.0),
            Some(90_000.0),
            Some(90_100.0),
            Some(7.0),
            Some(90_300.0),
        ],
        joules: 300.0,
        events: &[B, R, B, G, B],
    },
    Steps {
        what: "a jump that stays is the counter's new life",
        range: Some(262_143.0),
        reads: &[Some(500.0), Some(90_000.0), Some(90_100.0), Some(90_200.0)],
        joules: 200.0,
        events: &[B, R, B, B],
    },
    Steps {
        what: "two glitches in a row, both away from the truth and from one another",
        range: None,
        reads: &[
            Some(500.0),
            Some(90_000.0),
            Some(200_000.0),
            Some(700.0),
            Some(800.0),
        ],
        joules: 300.0,
        events: &[B, R, R, B, B],
    },
    Steps {
        what: "readings that are missed cost nothing while the counter cannot have wrapped",
        range: Some(262_143.0),
        reads: &[Some(500.0), None, None, None, None, None, Some(2_500.0)],
        joules: 2_000.0,
        events: &[B, B],
    },
    Steps {
        what: "so much silence that it may have wrapped is a gap, even where it looks like a step",
        range: Some(5_000.0),
        reads: &[
            Some(500.0),
            Some(600.0),
            None,
            None,
            None,
            None,
            None,
            Some(700.0),
            Some(800.0),
        ],
        joules: 200.0,
        events: &[B, B, G, B],
    },
    Steps {
        what: "the same where it looks like a wrap",
        range: Some(5_000.0),
        reads: &[
            Some(500.0),
            Some(600.0),
            None,
            None,
            None,
            None,
            None,
            Some(100.0),
            Some(200.0),
        ],
        joules: 200.0,
        events: &[B, B, G, B],
    },
    Steps {
        what: "a value above the range is refused",
        range: Some(5_000.0),
        reads: &[Some(4_900.0), Some(50_000.0), Some(4_950.0), Some(4_990.0)],
        joules: 90.0,
        events: &[B, R, B, B],
    },
];

#[test]
fn counter_steps() {
    for case in STEPS {
        let mut meter = Meter::new();
        let wraps_at = case.range.map(|joules| (joules / MICRO) as u64);
        let mut events = Vec::new();
        let mut before = 0.0;
        for (second, read) in case.reads.iter().enumerate() {
            let Some(joules) = read else { continue };
            let value = counter((joules / MICRO).round() as u64, wraps_at);
            let (entry, event) = meter.read(second as f64, value);
            events.push(event);
            assert!(meter.joules() >= before, "{}", case.what);
            assert!(
                near(meter.joules() - before, entry.unwrap_or(0.0)),
                "{}",
                case.what
            );
            before = meter.joules();
        }
        assert_eq!(events, case.events, "{}", case.what);
        assert!(
            near(meter.joules(), case.joules),
            "{}: {}",
            case.what,
            meter.joules()
        );
    }
}

#[test]
fn a_64_bit_counter_near_its_end() {
    let mut meter = Meter::new();
    let end = u64::MAX;
    meter.read(0.0, counter(end - 100_000_000, Some(end)));
    assert_eq!(meter.read(1.0, counter(end, Some(end))).1, Event::Booked);
    assert_eq!(
        meter.read(2.0, counter(50_000_000, Some(end))).1,
        Event::Wrapped
    );
    assert!(near(meter.joules(), 150.0), "{}", meter.joules());
    let mut endless = Meter::new();
    endless.read(0.0, counter(end - 100_000_000, None));
    endless.read(1.0, counter(end, None));
    assert_eq!(endless.read(2.0, counter(0, None)).1, Event::Gap);
    assert!(near(endless.joules(), 100.0));
}

#[test]
fn a_wrap_in_rapls_own_range_at_full_power() {
    let mut meter = Meter::new();
    meter.read(0.0, counter(RAPL_RANGE - 400_000_000, Some(RAPL_RANGE)));
    let (entry, event) = meter.read(1.0, counter(600_000_000, Some(RAPL_RANGE)));
    assert_eq!(event, Event::Wrapped);
    assert!(near(entry.unwrap(), 1000.0));
    assert!(near(meter.account().watts.unwrap().0, 1000.0));
}

#[test]
fn a_step_may_hold_one_more_second_than_its_interval() {
    let mut meter = Meter::new();
    meter.read(0.0, counter(0, None));
    assert_eq!(
        meter.read(0.5, counter(1_499_000_000, None)).1,
        Event::Booked
    );
    let mut meter = Meter::new();
    meter.read(0.0, counter(0, None));
    assert_eq!(
        meter.read(0.5, counter(1_501_000_000, None)).1,
        Event::Refused
    );
    assert_eq!(meter.account().watts, None);
}

#[test]
fn power_is_integrated_by_trapezoids() {
    let mut meter = Meter::new();
    for (second, watts) in [(0.0, 100.0), (1.0, 200.0), (3.0, 0.0), (3.5, 50.0)] {
        meter.read(second, Value::Power(Watts(watts)));
    }
    assert!(
        near(meter.joules(), 150.0 + 200.0 + 12.5),
        "{}",
        meter.joules()
    );
    assert!(near(meter.account().watts.unwrap().0, 25.0));
    assert_eq!(meter.account().method, Method::Integrated);
}

#[test]
fn power_over_a_silence_is_not_known() {
    let mut meter = Meter::new();
    meter.read(0.0, Value::Power(Watts(100.0)));
    assert_eq!(
        meter.read(3.0, Value::Power(Watts(100.0))),
        (Some(300.0), Event::Booked)
    );
    assert_eq!(
        meter.read(6.1, Value::Power(Watts(100.0))),
        (None, Event::Gap)
    );
    assert_eq!(meter.account().watts, Some(Watts(100.0)));
    assert_eq!(
        meter.read(7.1, Value::Power(Watts(100.0))),
        (Some(100.0), Event::Booked)
    );
}

#[test]
fn power_that_cannot_be_true_is_refused_wherever_it_comes() {
    for wrong in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 1000.1] {
        let wrong = Value::Power(Watts(wrong));
        let mut meter = Meter::new();
        assert_eq!(
            meter.read(0.0, wrong),
            (None, Event::Refused),
            "at first sight"
        );
        assert_eq!(meter.ledger.accounts().count(), 0);
        meter.read(1.0, Value::Power(Watts(100.0)));
        assert_eq!(meter.read(2.0, wrong), (None, Event::Refused));
        assert_eq!(meter.account().watts, None);
        assert_eq!(
            meter.read(3.0, Value::Power(Watts(100.0))),
            (Some(200.0), Event::Booked)
        );
        meter.read(4.0, counter(1, None));
        assert_eq!(
            meter.read(5.0, wrong),
            (None, Event::Refused),
            "where a counter was"
        );
        assert_eq!(
            meter.read(6.0, counter(50_000_001, None)),
            (Some(50.0), Event::Booked)
        );
        assert!(near(meter.joules(), 250.0));
    }
}

#[test]
fn a_sensor_that_is_never_believed_is_not_live() {
    let mut meter = Meter::new();
    meter.read(0.0, Value::Power(Watts(100.0)));
    for second in 1..6 {
        meter.read(f64::from(second), Value::Power(Watts(5000.0)));
    }
    assert!(meter.account().is_live(at(3.0)));
    assert!(!meter.account().is_live(at(5.0)));
}

#[test]
fn a_change_of_method_begins_anew_and_keeps_the_joules() {
    let mut meter = Meter::new();
    meter.read(0.0, counter(0, None));
    meter.read(1.0, counter(100_000_000, None));
    assert_eq!(
        meter.read(2.0, Value::Power(Watts(70.0))),
        (None, Event::Gap)
    );
    assert_eq!(meter.account().watts, Some(Watts(70.0)));
    assert_eq!(
        meter.read(3.0, Value::Power(Watts(90.0))),
        (Some(80.0), Event::Booked)
    );
    assert_eq!(meter.account().method, Method::Integrated);
    assert_eq!(
        meter.read(4.0, counter(500_000_000, None)),
        (None, Event::Gap)
    );
    assert_eq!(meter.account().watts, None);
    assert_eq!(
        meter.read(5.0, counter(560_000_000, None)),
        (Some(60.0), Event::Booked)
    );
    assert!(near(meter.joules(), 240.0));
    assert_eq!(meter.account().method, Method::Counter);
}

#[test]
fn a_suspicion_does_not_outlive_its_counter() {
    let mut meter = Meter::new();
    meter.read(0.0, counter(500_000_000, None));
    assert_eq!(meter.read(1.0, counter(0, None)).1, Event::Gap);
    meter.read(2.0, Value::Power(Watts(1.0)));
    for second in 3..1000 {
        meter.read(f64::from(second), Value::Power(Watts(1.0)));
    }
    let before = meter.joules();
    meter.read(1000.0, counter(900_000_000_000, None));
    // Backwards: of the old suspicion's age it would look like energy, and it is none.
    assert_eq!(
        meter.read(1001.0, counter(600_000_000_000, None)),
        (None, Event::Gap)
    );
    assert!(near(meter.joules(), before));
}

#[test]
fn measured_and_modelled_power_are_told_apart() {
    let mut meter = Meter::new();
    let read = |meter: &mut Meter, second, value| {
        let reading = Reading::new(&meter.source, value);
        let reader = meter.reader.clone();
        meter.ledger.record(&reader, &reading, at(second)).0
    };
    read(&mut meter, 0.0, Value::Modelled(Watts(10.0)));
    let modelled = read(&mut meter, 1.0, Value::Modelled(Watts(10.0))).unwrap();
    assert_eq!(modelled.method, Method::Modelled);
    assert_eq!((modelled.from, modelled.to), (at(0.0), at(1.0)));
    let measured = read(&mut meter, 2.0, Value::Power(Watts(10.0))).unwrap();
    assert_eq!(measured.method, Method::Integrated);
}

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
fn suspension_counts_for_counters_and_not_for_power() {
    let wake = |moment: Moment, awake: f64| Moment {
        awake: Duration::from_secs_f64(awake),
        ..moment
    };
    let reader = reader("rapl", 0);
    let (package, board) = (source("package-0", 1000.0), source("board", 1000.0));
    let mut ledger = Ledger::default();
    let power = Reading::new(&board, Value::Power(Watts(10.0)));
    ledger.record(&reader, &Reading::new(&package, counter(0, None)), at(0.0));
    ledger.record(&reader, &power, at(0.0));
    let later = wake(at(3601.0), 1.0);
    let slept = Reading::new(&package, counter(5_000_000_000, None));
    let counted = ledger.record(&reader, &slept, later);
    assert_eq!(
        counted.0.unwrap().joules,
        Joules(5_000.0),
        "plausible over an hour"
    );
    let integrated = ledger.record(&reader, &power, later);
    assert_eq!(
        integrated.0.unwrap().joules,
        Joules(10.0),
        "one second awake"
    );
    assert!(
        ledger
            .account(&board.part)
            .unwrap()
            .is_live(wake(at(9999.0), 3.0))
    );
}

#[test]
fn history_is_linear_between_readings() {
    let mut meter = Meter::new();
    meter.read(10.0, counter(0, None));
    meter.read(11.0, counter(100_000_000, None));
    meter.read(13.0, counter(100_000_000, None));
    meter.read(14.0, counter(500_000_000, None));
    let joules = |seconds| {
        let joules = meter.account().joules_at(Duration::from_secs_f64(seconds));
        joules.map(|joules| joules.0)
    };
    assert_eq!(joules(9.9), None);
    assert_eq!(joules(10.0), Some(0.0));
    assert_eq!(joules(10.25), Some(25.0));
    assert_eq!(joules(11.0), Some(100.0));
    assert_eq!(joules(12.0), Some(100.0));
    assert_eq!(joules(13.5), Some(300.0));
    assert_eq!(joules(14.0), Some(500.0));
    assert_eq!(joules(99.0), Some(500.0), "flat after the last");
}

#[test]
fn history_waits_for_a_doubtful_reading_to_be_cleared_up() {
    let mut meter = Meter::new();
    meter.read(0.0, counter(0, None));
    meter.read(1.0, counter(900_000_000_000, None));
    assert_eq!(meter.account().known_until(), at(0.0));
    meter.read(2.0, counter(200_000_000, None));
    assert_eq!(meter.account().known_until(), at(2.0));
    assert_eq!(meter.account().whole_since(), Duration::ZERO);
    assert_eq!(
        meter.account().joules_at(Duration::from_secs(1)),
        Some(Joules(100.0))
    );
}

#[test]
fn history_is_bounded() {
    let mut meter = Meter::new();
    for second in 0..1000_u64 {
        meter.read(second as f64, counter(second, None));
    }
    let account = meter.account();
    assert_eq!(account.joules_at(Duration::from_secs(900)), None);
    assert!(account.joules_at(Duration::from_secs(940)).is_some());
}

#[test]
fn it_is_known_since_when_nothing_was_missed() {
    let mut meter = Meter::new();
    let since = |meter: &Meter| meter.account().whole_since().as_secs_f64();
    meter.read(1.0, counter(100_000_000, None));
    meter.read(2.0, counter(200_000_000, None));
    assert_eq!(since(&meter), 1.0);
    meter.read(3.0, counter(5, None));
    assert_eq!(since(&meter), 1.0, "this may be a glitch");
    meter.read(4.0, counter(80_000_005, None));
    assert_eq!(since(&meter), 3.0, "it was a reset");
    meter.restart(5.0);
    assert_eq!(since(&meter), 3.0);
    meter.read(6.0, Value::Power(Watts(1.0)));
    assert_eq!(since(&meter), 6.0);
    meter.read(60.0, Value::Power(Watts(1.0)));
    assert_eq!(since(&meter), 60.0);
}

#[test]
fn joules_survive_the_state_file_to_the_last_bit() {
    for joules in [
        0.1 + 0.2,
        1e15 / 3.0,
        f64::MIN_POSITIVE,
        123_456_789.123_456_79,
    ] {
        let text = serde_json::to_string(&Joules(joules)).unwrap();
        let back: Joules = serde_json::from_str(&text).unwrap();
        assert_eq!(back.0.to_bits(), joules.to_bits());
    }
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
    assert_eq!(ledger.record(&model, &modelled, at(0.0)), (None, B));
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
