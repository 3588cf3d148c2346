//! What a step of a counter means.

use super::Event::{Booked as B, Gap as G, Refused as R, Wrapped as W};
use super::*;

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
