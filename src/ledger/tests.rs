mod steps;
mod trust;

use super::*;
use crate::sensor::About;

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
    assert_eq!(joules(9.9), Some(0.0), "nothing before its beginning");
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
    let joules_at = |second: f64| {
        let time = Duration::from_secs_f64(second);
        meter.account().joules_at(time).map(|joules| joules.0)
    };
    assert_eq!(joules_at(700.0), None);
    for second in [760.0, 765.5, 966.9, 967.5, 998.2, 999.0] {
        let joules = joules_at(second).unwrap();
        assert!((joules - second * 1e-6).abs() < 1e-9, "{second}: {joules}");
    }
}

#[test]
fn history_at_a_quick_pace_reaches_back_as_far() {
    let mut meter = Meter::new();
    for tenth in 0..10_000_u64 {
        meter.read(tenth as f64 * 0.1, counter(tenth, None));
    }
    let at = |second| meter.account().joules_at(Duration::from_secs(second));
    assert_eq!(at(700), None);
    assert!((at(820).unwrap().0 - 8.2e-3).abs() < 1e-6);
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
