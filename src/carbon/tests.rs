use super::*;

fn at(seconds: f64) -> Moment {
    let time = Duration::from_secs_f64(seconds);
    Moment {
        awake: time,
        boot: time,
        wall: "2026-01-01T00:00:00Z".parse().unwrap(),
    }
}

fn factor(intensity: Option<f64>) -> Factor {
    Factor {
        intensity: intensity.map(GramsPerKwh),
        market: None,
        pue: 1.0,
        live: true,
    }
}

fn timeline(changes: &[(f64, Option<f64>)]) -> Timeline {
    let mut timeline = Timeline::new(factor(changes[0].1));
    for (from, intensity) in &changes[1..] {
        timeline.change(Duration::from_secs_f64(*from), factor(*intensity));
    }
    timeline
}

/// Grams of 1 kWh used evenly between two moments.
fn grams(timeline: &Timeline, from: f64, to: f64) -> Option<f64> {
    let emissions = timeline.emissions(Joules(3.6e6), at(from), at(to));
    emissions.location.map(|grams| grams.0)
}

#[test]
fn energy_meets_the_factors_of_its_time() {
    type Changes = &'static [(f64, Option<f64>)];
    let cases: &[(&str, Changes, f64, f64, Option<f64>)] = &[
        ("one factor", &[(0.0, Some(400.0))], 5.0, 6.0, Some(400.0)),
        (
            "before a change",
            &[(0.0, Some(400.0)), (10.0, Some(100.0))],
            5.0,
            10.0,
            Some(400.0),
        ),
        (
            "after it",
            &[(0.0, Some(400.0)), (10.0, Some(100.0))],
            10.0,
            12.0,
            Some(100.0),
        ),
        (
            "across it",
            &[(0.0, Some(400.0)), (10.0, Some(100.0))],
            8.0,
            12.0,
            Some(250.0),
        ),
        (
            "several changes in one interval",
            &[
                (0.0, Some(400.0)),
                (10.0, Some(100.0)),
                (11.0, Some(800.0)),
                (13.0, Some(0.0)),
            ],
            8.0,
            16.0,
            Some((2.0 * 400.0 + 100.0 + 2.0 * 800.0) / 8.0),
        ),
        (
            "an instant",
            &[(0.0, Some(400.0)), (10.0, Some(100.0))],
            9.0,
            9.0,
            Some(400.0),
        ),
        (
            "the instant of the change",
            &[(0.0, Some(400.0)), (10.0, Some(100.0))],
            10.0,
            10.0,
            Some(100.0),
        ),
        (
            "the time before the first factor",
            &[(50.0, Some(400.0))],
            5.0,
            6.0,
            Some(400.0),
        ),
        ("nobody knows", &[(0.0, None)], 5.0, 6.0, None),
        (
            "known for a quarter",
            &[(0.0, None), (9.0, Some(400.0))],
            6.0,
            10.0,
            Some(100.0),
        ),
        (
            "forgotten",
            &[(0.0, Some(400.0)), (9.0, None)],
            6.0,
            10.0,
            Some(300.0),
        ),
        (
            "an instant that nobody knows",
            &[(0.0, Some(400.0)), (9.0, None)],
            9.0,
            9.0,
            None,
        ),
    ];
    for (what, changes, from, to, expected) in cases {
        let got = grams(&timeline(changes), *from, *to);
        let same = match (got, expected) {
            (Some(got), Some(expected)) => (got - expected).abs() < 1e-9,
            (got, expected) => got == *expected,
        };
        assert!(same, "{what}: {got:?}, not {expected:?}");
    }
}

#[test]
fn pue_multiplies_location_and_market_and_what_is_not_live_is_estimated() {
    let factor = Factor {
        intensity: Some(GramsPerKwh(400.0)),
        market: Some(GramsPerKwh(50.0)),
        pue: 1.5,
        live: false,
    };
    let emissions = factor.of(Joules(7.2e6));
    assert_eq!(emissions.location, Some(Grams(1200.0)));
    assert_eq!(emissions.estimated, Some(Grams(1200.0)));
    assert_eq!(emissions.market, Some(Grams(150.0)));
    let live = Factor {
        live: true,
        market: None,
        ..factor
    };
    let emissions = live.of(Joules(7.2e6));
    assert_eq!(emissions.estimated, Some(Grams::ZERO));
    assert_eq!(emissions.market, None);
    assert_eq!(Factor::UNKNOWN.of(Joules(1.0)), Emissions::default());
}

#[test]
fn a_change_to_a_live_factor_ends_the_estimate_inside_an_interval() {
    let estimated = Factor {
        live: false,
        ..factor(Some(400.0))
    };
    let mut timeline = Timeline::new(estimated);
    timeline.change(Duration::from_secs(10), factor(Some(400.0)));
    let emissions = timeline.emissions(Joules(3.6e6), at(9.0), at(13.0));
    assert_eq!(emissions.location, Some(Grams(400.0)));
    assert_eq!(emissions.estimated, Some(Grams(100.0)));
}

#[test]
fn a_late_change_does_not_rewrite_what_is_booked() {
    let mut late = timeline(&[(0.0, Some(400.0)), (10.0, Some(100.0))]);
    late.change(Duration::from_secs(5), factor(Some(900.0)));
    assert_eq!(grams(&late, 6.0, 10.0), Some(400.0));
    assert_eq!(grams(&late, 10.0, 12.0), Some(900.0));
    assert_eq!(late.now(), factor(Some(900.0)));
}

#[test]
fn no_change_is_no_change_and_changes_are_bounded() {
    let mut timeline = timeline(&[(0.0, Some(0.0))]);
    for second in 1..1000_u32 {
        timeline.change(
            Duration::from_secs(second.into()),
            factor(Some(f64::from(second))),
        );
        timeline.change(
            Duration::from_secs(second.into()),
            factor(Some(f64::from(second))),
        );
    }
    assert_eq!(timeline.0.len(), CHANGES);
    assert_eq!(grams(&timeline, 990.0, 991.0), Some(990.0));
    assert_eq!(
        grams(&timeline, 1.0, 2.0),
        Some(936.0),
        "the oldest that is kept"
    );
}

#[test]
fn a_timeline_survives_the_state_file() {
    let before = timeline(&[(0.0, Some(0.1 + 0.2)), (10.5, None), (11.25, Some(123.456))]);
    let text = serde_json::to_string(&before).unwrap();
    let after: Timeline = serde_json::from_str(&text).unwrap();
    assert_eq!(before.0, after.0);
}

#[test]
fn what_is_known_is_added_and_what_is_not_is_not_forgotten() {
    let mut sum = Emissions::default();
    sum.add(Emissions::default());
    assert_eq!(sum, Emissions::default());
    sum.add(factor(Some(400.0)).of(Joules(3.6e6)));
    sum.add(Emissions::default());
    sum.add(factor(Some(100.0)).of(Joules(3.6e6)));
    assert_eq!(sum.location, Some(Grams(500.0)));
}

#[test]
fn a_device_is_paid_off_at_the_end_of_its_life() {
    let rate = amortised(150.0, 4.0);
    let life = Duration::from_secs(4 * 1461 * 86400 / 4);
    assert!((rate.during(life).0 - 150_000.0).abs() < 1e-6);
}
