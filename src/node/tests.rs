use super::*;
use crate::ledger::Reader;
use crate::sensor::{About, Kind, Reading, Source, Value};
use std::sync::Arc;

/// A machine whose parts are read by hand, at seconds since boot.
struct Bench {
    ledger: Ledger,
    node: Node,
}

fn at(seconds: f64) -> Moment {
    let time = Duration::from_secs_f64(seconds);
    Moment {
        awake: time,
        boot: time,
        wall: "2026-01-01T00:00:00Z".parse().unwrap(),
    }
}

fn device(id: &str) -> Part {
    Part::Device {
        id: id.into(),
        kind: Kind::Cpu,
    }
}

fn meter(id: &str, class: MeterClass) -> Part {
    Part::Meter {
        id: id.into(),
        scope: Scope::Node(class),
    }
}

/// The place of the sensor that reads a part by itself: devices and meters are read by two families.
fn rank(part: &Part) -> usize {
    usize::from(matches!(part, Part::Device { .. }))
}

fn class(node: &Node) -> Option<MeterClass> {
    node.force().map(|force| force.class)
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-6 * b.abs().max(1.0)
}

impl Bench {
    fn new(choice: Choice) -> Self {
        Self {
            ledger: Ledger::default(),
            node: Node::new(choice, Saved::default()),
        }
    }

    fn record(&mut self, part: Part, seconds: f64, value: Value) {
        let reader = Reader {
            name: part.to_string().into(),
            rank: rank(&part),
            patience: Duration::from_secs(3),
        };
        self.read(&reader, part, seconds, value);
    }

    fn read(&mut self, reader: &Reader, part: Part, seconds: f64, value: Value) {
        let source = Arc::new(Source {
            part,
            about: About::default(),
            ceiling: Watts(1e4),
            holds: &[],
        });
        let reading = Reading::new(&source, value);
        self.ledger.record(reader, &reading, at(seconds));
    }

    /// A counter that has come to so many joules.
    fn count(&mut self, part: Part, seconds: f64, joules: f64) {
        let raw = (joules * 1e6).round() as u64;
        let value = Value::Counter {
            raw,
            unit: 1e-6,
            wraps_at: None,
        };
        self.record(part, seconds, value);
    }

    fn tick(&mut self, seconds: f64) -> Option<Rest> {
        self.node.reconcile(&self.ledger, at(seconds))
    }

    fn other(&self) -> f64 {
        self.node.other().unwrap().0
    }

    /// At the moment that everything was last heard of.
    fn other_watts(&self) -> Option<Watts> {
        let last = self
            .ledger
            .accounts()
            .map(|(_, account)| account.known_until());
        let now = last.max_by_key(|at| at.boot).unwrap();
        self.node.other_watts(&self.ledger, now)
    }

    /// Device and meter at constant power for some seconds, both read every second.
    fn run(&mut self, seconds: std::ops::Range<u32>, device_watts: f64, meter_watts: f64) {
        for second in seconds {
            let second = f64::from(second);
            self.count(device("a"), second, device_watts * second);
            self.count(meter("m", MeterClass::Acpi), second, meter_watts * second);
            self.tick(second);
        }
    }

    fn restart(&mut self, seconds: f64) {
        let saved = serde_json::to_string(&self.ledger.save().collect::<Vec<_>>()).unwrap();
        self.ledger = Ledger::restore(serde_json::from_str(&saved).unwrap(), at(seconds));
        let readers: Vec<Reader> = self
            .ledger
            .accounts()
            .map(|(part, account)| Reader {
                rank: rank(part),
                patience: Duration::from_secs(3),
                ..account.reader.clone()
            })
            .collect();
        self.ledger.seat(&readers);
        let saved = serde_json::to_string(&self.node.save()).unwrap();
        self.node = Node::new(Choice::auto(), serde_json::from_str(&saved).unwrap());
    }
}

#[test]
fn without_a_meter_there_is_no_other() {
    let mut bench = Bench::new(Choice::auto());
    bench.count(device("a"), 0.0, 0.0);
    bench.count(
        Part::Meter {
            id: "rail".into(),
            scope: Scope::Rail,
        },
        0.0,
        0.0,
    );
    assert_eq!(bench.tick(0.0), None);
    assert_eq!((class(&bench.node), bench.node.other()), (None, None));
    let mut off = Bench::new(Choice(Vec::new()));
    off.run(0..10, 100.0, 150.0);
    assert_eq!((class(&off.node), off.node.other()), (None, None));
    let mut another = Bench::new(Choice(vec![MeterClass::Bmc]));
    another.run(0..10, 100.0, 150.0);
    assert_eq!((class(&another.node), another.node.other()), (None, None));
}

#[test]
fn other_is_what_the_meter_sees_beyond_the_devices() {
    let mut bench = Bench::new(Choice::auto());
    bench.run(0..11, 100.0, 150.0);
    assert!(near(bench.other(), 500.0), "{}", bench.other());
    assert!(near(bench.other_watts().unwrap().0, 50.0));
    assert_eq!(class(&bench.node), Some(MeterClass::Acpi));
    assert_eq!(bench.node.short_windows(), 0);
}

#[test]
fn a_meter_slower_and_one_faster_than_the_devices() {
    for (meter_every, device_every) in [(2.0, 0.25), (0.25, 2.0), (0.7, 1.1), (2.9, 0.3)] {
        let mut bench = Bench::new(Choice::auto());
        let (mut next_meter, mut next_device, mut now) = (0.0, 0.0, 0.0);
        while now < 100.0 {
            now = f64::min(next_meter, next_device);
            if now == next_meter {
                bench.count(meter("m", MeterClass::Acpi), now, 150.0 * now);
                next_meter += meter_every;
            } else {
                bench.count(device("a"), now, 100.0 * now);
                next_device += device_every;
            }
            let before = bench.node.other();
            if let Some(rest) = bench.tick(now) {
                let window = (rest.to.boot - rest.from.boot).as_secs_f64();
                assert!(near(rest.joules.0, 50.0 * window), "{rest:?}");
            }
            assert!(bench.node.other() >= before);
        }
        assert!(
            (4650.0..=5000.0).contains(&bench.other()),
            "{}",
            bench.other()
        );
    }
}

#[test]
fn all_meters_of_the_class_are_summed_and_the_most_trusted_class_counts() {
    let mut bench = Bench::new(Choice::auto());
    for second in 0..11 {
        let second = f64::from(second);
        bench.count(device("a"), second, 100.0 * second);
        bench.count(meter("psu-0", MeterClass::Psu), second, 80.0 * second);
        bench.count(meter("psu-1", MeterClass::Psu), second, 70.0 * second);
        bench.count(meter("acpi", MeterClass::Acpi), second, 900.0 * second);
        bench.tick(second);
    }
    assert_eq!(class(&bench.node), Some(MeterClass::Psu));
    assert!(near(bench.other(), 500.0), "{}", bench.other());
}

#[test]
fn two_families_that_read_one_class_are_not_summed() {
    let family = |name: &str, rank| Reader {
        name: name.into(),
        rank,
        patience: Duration::from_secs(3),
    };
    let (redfish, ipmi) = (family("redfish", 3), family("ipmi", 4));
    let bmc = |id| meter(id, MeterClass::Bmc);
    let mut bench = Bench::new(Choice::auto());
    for second in 0..31 {
        let second = f64::from(second);
        bench.count(device("a"), second, 100.0 * second);
        let watts = Value::Power(Watts(150.0));
        bench.read(&ipmi, bmc("dcmi"), second, watts);
        if second <= 10.0 {
            bench.read(&redfish, bmc("host"), second, watts);
        }
        bench.tick(second);
        let rank = bench.node.force().unwrap().rank;
        let is_kept = second <= 13.0;
        assert_eq!(rank, Some(if is_kept { 3 } else { 4 }), "{second}");
    }
    // What the one that fell silent still had to say is lost, and nothing is counted twice.
    let (least, most) = (50.0 * 25.0, 50.0 * 30.0);
    assert!((least..=most).contains(&bench.other()), "{}", bench.other());
}

#[test]
fn classes_are_asked_in_the_order_that_was_chosen() {
    let mut bench = Bench::new(Choice(vec![MeterClass::Acpi, MeterClass::Psu]));
    for second in 0..21 {
        let second = f64::from(second);
        bench.count(device("a"), second, 100.0 * second);
        bench.count(meter("pdu", MeterClass::Pdu), second, 400.0 * second);
        bench.count(meter("psu", MeterClass::Psu), second, 180.0 * second);
        if second <= 10.0 {
            bench.count(meter("acpi", MeterClass::Acpi), second, 150.0 * second);
        }
        bench.tick(second);
        let best = if second <= 13.0 {
            MeterClass::Acpi
        } else {
            MeterClass::Psu
        };
        assert_eq!(class(&bench.node), Some(best), "{second}");
    }
}

#[test]
fn a_meter_read_once_a_minute_is_reconciled_over_its_minute() {
    let slow = Reader {
        name: "ipmi".into(),
        rank: 4,
        patience: Duration::from_secs(180),
    };
    let mut bench = Bench::new(Choice::auto());
    // The device alternates 50 and 150 W every ten seconds; the meter sees 60 W more, and is read at odd
    // moments.
    let used = |second: f64| {
        let (whole, rest) = ((second / 20.0).floor(), second % 20.0);
        whole * 2000.0 + 50.0 * rest.min(10.0) + 150.0 * (rest - 10.0).max(0.0)
    };
    for tenth in 0..6000_u32 {
        let now = f64::from(tenth) * 0.1;
        if tenth % 10 == 0 {
            bench.count(device("a"), now, used(now));
        }
        if tenth % 600 == 7 {
            let joules = used(now) + 60.0 * now;
            let raw = (joules * 1e6).round() as u64;
            let value = Value::Counter {
                raw,
                unit: 1e-6,
                wraps_at: None,
            };
            bench.read(&slow, meter("bmc", MeterClass::Bmc), now, value);
        }
        if let Some(rest) = bench.tick(now) {
            let window = (rest.to.boot - rest.from.boot).as_secs_f64();
            assert!((rest.joules.0 - 60.0 * window).abs() < 50.0, "{rest:?}");
        }
    }
    assert!(
        (bench.other() - 60.0 * 540.0).abs() < 60.0,
        "{}",
        bench.other()
    );
    assert_eq!(bench.node.short_windows(), 0);
}

#[test]
fn a_device_read_once_a_minute_holds_up_the_comparison_and_not_for_good() {
    let slow = Reader {
        name: "command".into(),
        rank: 3,
        patience: Duration::from_secs(180),
    };
    let mut bench = Bench::new(Choice::auto());
    for tenth in 0..9000_u32 {
        let now = f64::from(tenth) * 0.1;
        bench.count(meter("m", MeterClass::Acpi), now, 150.0 * now);
        if tenth % 600 == 0 {
            let raw = (100.0 * now * 1e6) as u64;
            let value = Value::Counter {
                raw,
                unit: 1e-6,
                wraps_at: None,
            };
            bench.read(&slow, device("tpu"), now, value);
        }
        bench.tick(now);
    }
    assert!(near(bench.other(), 50.0 * 840.0), "{}", bench.other());
}

#[test]
fn half_of_a_class_is_no_total_so_that_the_next_class_counts() {
    let mut bench = Bench::new(Choice::auto());
    for second in 0..21 {
        let second = f64::from(second);
        bench.count(device("a"), second, 100.0 * second);
        bench.count(meter("psu-0", MeterClass::Psu), second, 80.0 * second);
        if second <= 10.0 {
            bench.count(meter("psu-1", MeterClass::Psu), second, 70.0 * second);
        }
        bench.count(meter("acpi", MeterClass::Acpi), second, 150.0 * second);
        bench.tick(second);
    }
    assert_eq!(class(&bench.node), Some(MeterClass::Acpi));
    let (least, most) = (50.0 * 16.0, 50.0 * 20.0);
    assert!((least..=most).contains(&bench.other()), "{}", bench.other());
}

#[test]
fn jitter_never_lets_other_fall_and_is_paid_back() {
    let mut bench = Bench::new(Choice::auto());
    let mut before = Joules::ZERO;
    for second in 0..101 {
        let now = f64::from(second);
        let jitter = [0.0, 70.0, -60.0, 90.0, -20.0][second as usize % 5];
        bench.count(device("a"), now, 100.0 * now + 100.0 + jitter);
        bench.count(meter("m", MeterClass::Acpi), now, 150.0 * now);
        bench.tick(now);
        assert!(bench.node.other().unwrap() >= before);
        before = bench.node.other().unwrap();
    }
    // At most one jitter's energy is still owed.
    assert!(
        (4910.0..=5100.0).contains(&bench.other()),
        "{}",
        bench.other()
    );
    assert_eq!(bench.node.short_windows(), 0);
}

#[test]
fn a_meter_below_the_devices_leaves_other_at_0_and_is_flagged() {
    let mut bench = Bench::new(Choice::auto());
    bench.run(0..500, 100.0, 90.0);
    assert_eq!(bench.other(), 0.0);
    assert_eq!(bench.other_watts(), Some(Watts::ZERO));
    assert_eq!(
        bench.node.short_windows(),
        0,
        "not before the debt is a minute's worth"
    );
    bench.run(500..1000, 100.0, 90.0);
    assert_eq!(bench.other(), 0.0);
    assert!(bench.node.short_windows() > 300);
}

#[test]
fn a_counting_meter_that_vanishes_and_returns_is_made_up_for() {
    let mut bench = Bench::new(Choice::auto());
    bench.run(0..11, 100.0, 150.0);
    for second in 11..61 {
        bench.count(device("a"), f64::from(second), 100.0 * f64::from(second));
        bench.tick(f64::from(second));
    }
    assert_eq!((class(&bench.node), bench.other_watts()), (None, None));
    assert!(near(bench.other(), 500.0), "other stands still");
    bench.run(61..101, 100.0, 150.0);
    assert!(near(bench.other(), 5000.0), "{}", bench.other());
}

#[test]
fn a_power_meter_that_vanishes_and_returns_begins_anew() {
    let mut bench = Bench::new(Choice::auto());
    for second in (0..11).chain(60..71) {
        let now = f64::from(second);
        bench.record(
            meter("m", MeterClass::Acpi),
            now,
            Value::Power(Watts(150.0)),
        );
        bench.count(device("a"), now, 100.0 * now);
        bench.tick(now);
        if second == 10 {
            for silent in 11..60 {
                bench.count(device("a"), f64::from(silent), 100.0 * f64::from(silent));
                bench.tick(f64::from(silent));
            }
        }
    }
    assert!(near(bench.other(), 1000.0), "{}", bench.other());
    assert!(
        near(bench.other_watts().unwrap().0, 50.0),
        "no debt was made"
    );
}

#[test]
fn the_reset_of_a_meter_makes_no_debt() {
    let mut bench = Bench::new(Choice::auto());
    for second in 0..21 {
        let now = f64::from(second);
        let base = if second < 10 { 0.0 } else { 150.0 * 9.5 };
        bench.count(device("a"), now, 100.0 * now);
        bench.count(meter("m", MeterClass::Acpi), now, 150.0 * now - base);
        bench.tick(now);
    }
    // 0..9 and 10..20: the reset was first seen at 10.
    assert!(near(bench.other(), 950.0), "{}", bench.other());
}

#[test]
fn a_silent_device_is_in_other_until_its_counter_reports() {
    let mut bench = Bench::new(Choice::auto());
    for second in 0..101 {
        let now = f64::from(second);
        bench.count(meter("m", MeterClass::Acpi), now, 150.0 * now);
        bench.count(device("b"), now, 30.0 * now);
        if !(20..80).contains(&second) {
            bench.count(device("a"), now, 100.0 * now);
        }
        let before = bench.node.other();
        bench.tick(now);
        assert!(bench.node.other() >= before);
        if second == 79 {
            // All but the patience that the node had with it.
            assert!(
                bench.other() > 79.0 * 20.0 + 50.0 * 100.0,
                "{}",
                bench.other()
            );
        }
    }
    // At 80 s the device reports 61 s at once, which `other` held: the node stands still until 20 W of
    // `other` have paid for it.
    let node = bench.other() + 130.0 * 100.0;
    assert!(node > 150.0 * 100.0, "not paid yet");
    for second in 101..500 {
        let now = f64::from(second);
        bench.count(meter("m", MeterClass::Acpi), now, 150.0 * now);
        bench.count(device("b"), now, 30.0 * now);
        bench.count(device("a"), now, 100.0 * now);
        bench.tick(now);
    }
    assert!(
        near(bench.other() + 130.0 * 499.0, 150.0 * 499.0),
        "no joule twice"
    );
    assert_eq!(bench.node.short_windows(), 0);
}

#[test]
fn a_debt_is_paid_even_where_the_meter_was_silent_meanwhile() {
    let mut bench = Bench::new(Choice::auto());
    for second in 0..500 {
        let now = f64::from(second);
        if !(90..120).contains(&second) {
            bench.record(
                meter("m", MeterClass::Acpi),
                now,
                Value::Power(Watts(150.0)),
            );
        }
        bench.count(device("b"), now, 30.0 * now);
        if !(20..80).contains(&second) {
            bench.count(device("a"), now, 100.0 * now);
        }
        bench.tick(now);
    }
    // 89 s to 120 s are the devices' alone.
    let metered = 150.0 * (499.0 - 31.0) + 130.0 * 31.0;
    assert!(
        near(bench.other() + 130.0 * 499.0, metered),
        "{}",
        bench.other()
    );
}

#[test]
fn a_device_that_appears_later_comes_out_of_other() {
    let mut bench = Bench::new(Choice::auto());
    for second in 0..51 {
        let now = f64::from(second);
        bench.count(meter("m", MeterClass::Acpi), now, 150.0 * now);
        bench.count(device("a"), now, 100.0 * now);
        if second >= 20 {
            bench.count(device("late"), now, 7_000.0 + 40.0 * now);
        }
        bench.tick(now);
    }
    let late = 40.0 * 30.0;
    assert!(near(bench.other() + late, 50.0 * 50.0), "{}", bench.other());
}

#[test]
fn a_doubtful_counter_of_a_device_is_waited_for_and_never_for_ever() {
    let mut bench = Bench::new(Choice::auto());
    for second in 0..31 {
        let now = f64::from(second);
        bench.count(meter("m", MeterClass::Acpi), now, 150.0 * now);
        bench.count(device("b"), now, 30.0 * now);
        let glitch = if second == 10 { 1e6 } else { 0.0 };
        // From 20 s on nothing that it says can be true.
        let nonsense = if second >= 20 { 1e6 * now } else { 0.0 };
        bench.count(device("a"), now, 100.0 * now + glitch + nonsense);
        bench.tick(now);
        if second == 11 {
            assert!(near(bench.other(), 20.0 * 11.0), "{}", bench.other());
            assert!(near(bench.other_watts().unwrap().0, 20.0));
        }
    }
    assert!(near(
        bench.other() + 30.0 * 30.0 + 100.0 * 19.0,
        150.0 * 30.0
    ));
}

#[test]
fn a_restart_books_the_gap_of_counting_meters_once() {
    let mut bench = Bench::new(Choice::auto());
    bench.run(0..11, 100.0, 150.0);
    bench.restart(60.0);
    assert_eq!(bench.tick(60.2), None);
    assert_eq!(
        class(&bench.node),
        Some(MeterClass::Acpi),
        "it is given its time"
    );
    assert!(near(bench.other(), 500.0), "never below what was saved");
    bench.count(device("a"), 60.5, 6050.0);
    assert_eq!(bench.tick(60.6), None, "the meter has not spoken yet");
    bench.count(meter("m", MeterClass::Acpi), 60.7, 150.0 * 60.7);
    bench.tick(60.8);
    bench.run(61..71, 100.0, 150.0);
    assert!(near(bench.other(), 3500.0), "{}", bench.other());
}

#[test]
fn a_restart_makes_no_debt_for_power_meters() {
    let mut bench = Bench::new(Choice::auto());
    for second in (0..11).chain(60..71) {
        let now = f64::from(second);
        if second == 60 {
            bench.restart(59.5);
        }
        bench.record(
            meter("m", MeterClass::Acpi),
            now,
            Value::Power(Watts(150.0)),
        );
        bench.count(device("a"), now, 100.0 * now);
        bench.tick(now);
    }
    assert!(near(bench.other(), 1000.0), "{}", bench.other());
}

#[test]
fn another_choice_begins_anew() {
    let mut bench = Bench::new(Choice::auto());
    bench.run(0..11, 100.0, 150.0);
    bench.node.choose(Choice(Vec::new()));
    bench.run(11..21, 100.0, 150.0);
    assert_eq!((class(&bench.node), bench.other_watts()), (None, None));
    bench.node.choose(Choice(vec![MeterClass::Acpi]));
    bench.run(21..31, 100.0, 150.0);
    assert!(near(bench.other(), 500.0 + 9.0 * 50.0), "{}", bench.other());
}
