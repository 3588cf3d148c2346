use super::*;
use crate::units::GramsPerKwh;
use proptest::prelude::*;

const WALL: &str = "2026-01-05T12:00:00Z";

fn mark(at: f64, done: f64, joules: f64) -> Mark {
    Mark {
        at: Duration::from_secs_f64(at),
        done,
        joules: Joules(joules),
    }
}

fn now(elapsed: f64, joules: f64) -> Now {
    Now {
        wall: WALL.parse().unwrap(),
        elapsed: Duration::from_secs_f64(elapsed),
        joules: Joules(joules),
        grams: Some(Grams(joules / 3600.0)),
    }
}

/// A gram for each watt-hour.
fn outlook() -> Outlook {
    Outlook::new(WALL.parse().unwrap(), Some(GramsPerKwh(1000.0)), None, 1.0)
}

/// Of marks at 10 W, of so many units.
fn told(marks: &[(f64, f64)], total: f64) -> Progress {
    let mut progress = Progress::default();
    for (at, done) in marks {
        progress.tell(mark(*at, *done, at * 10.0), total);
    }
    progress
}

fn predict(progress: &Progress, at: f64) -> Option<Prediction> {
    progress.predict(&now(at, at * 10.0), &outlook())
}

fn seconds(progress: &Progress, at: f64) -> Range<f64> {
    predict(progress, at).unwrap().seconds
}

#[track_caller]
fn near(value: f64, expected: f64) {
    assert!(
        (value - expected).abs() < 1e-6 * expected.abs().max(1.0),
        "{value}, not {expected}"
    );
}

#[test]
fn the_first_unit_gives_a_first_guess_and_a_wide_interval() {
    assert_eq!(predict(&Progress::default(), 5.0), None);
    let progress = told(&[(10.0, 1.0)], 10.0);
    assert_eq!(progress.ratio(), Some(0.1));
    let first = predict(&progress, 10.0).unwrap();
    near(first.seconds.expected, 100.0);
    near(first.joules.expected.0, 1000.0);
    near(first.grams.unwrap().expected.0, 1000.0 / 3600.0);
    assert!(first.seconds.low < 40.0 && first.seconds.high > 150.0);
}

#[test]
fn what_began_elsewhere_is_no_pace() {
    let resumed = told(&[(5.0, 60.0)], 100.0);
    assert_eq!((predict(&resumed, 5.0), resumed.ratio()), (None, Some(0.6)));
    let resumed = told(&[(5.0, 60.0), (15.0, 61.0)], 100.0);
    near(seconds(&resumed, 15.0).expected, 405.0);
    let loaded = told(&[(50.0, 0.0), (60.0, 1.0)], 10.0);
    near(seconds(&loaded, 60.0).expected, 150.0);
}

#[test]
fn a_warm_up_is_spent_and_does_not_come_again() {
    let marks: Vec<_> = (1..=5)
        .map(|unit| (f64::from(unit) * 10.0 + 20.0, f64::from(unit)))
        .collect();
    near(seconds(&told(&marks, 20.0), 70.0).expected, 220.0);
    // Four units of compilation.
    let at = |unit: i32| f64::from(unit) * 10.0 + f64::from(unit.min(4)) * 15.0;
    let marks: Vec<_> = (1..=12).map(|unit| (at(unit), f64::from(unit))).collect();
    near(seconds(&told(&marks, 100.0), 180.0).expected, 1060.0);
}

#[test]
fn a_clear_trend_is_followed() {
    let at = |unit: i32| 10.0 * f64::from(unit) + 0.1 * f64::from(unit * unit);
    let marks: Vec<_> = (1..=30).map(|unit| (at(unit), f64::from(unit))).collect();
    let range = seconds(&told(&marks, 100.0), at(30));
    assert!((range.expected / at(100) - 1.0).abs() < 0.02, "{range:?}");
}

#[test]
fn a_stall_moves_the_end_and_is_never_in_the_past() {
    let marks: Vec<_> = (1..=5)
        .map(|unit| (f64::from(unit) * 10.0, f64::from(unit)))
        .collect();
    let mut progress = told(&marks, 10.0);
    near(seconds(&progress, 58.0).expected, 100.0);
    near(seconds(&progress, 90.0).expected, 130.0);
    let before = seconds(&progress, 130.0);
    let after = seconds(&progress, 160.0);
    near(after.expected - before.expected, 30.0);
    assert!(after.high - after.expected > before.high - before.expected);
    // It goes on, and nobody expects a second stall.
    progress.tell(mark(170.0, 6.0, 1700.0), 10.0);
    near(seconds(&progress, 170.0).expected, 210.0);
}

#[test]
fn a_restart_spends_again_and_keeps_the_pace() {
    let marks = [
        (10.0, 1.0),
        (20.0, 2.0),
        (30.0, 3.0),
        (40.0, 4.0),
        (47.0, 2.0),
    ];
    let progress = told(&marks, 10.0);
    assert_eq!(progress.ratio(), Some(0.2));
    near(seconds(&progress, 47.0).expected, 127.0);
}

#[test]
fn work_that_is_skipped_and_lines_that_come_together_are_not_fast_work() {
    let skipped = told(
        &[(10.0, 1.0), (20.0, 2.0), (20.5, 52.0), (30.5, 53.0)],
        100.0,
    );
    near(seconds(&skipped, 30.5).expected, 30.5 + 470.0);
    let mut together = Vec::new();
    for lump in 1..=4 {
        together
            .extend((1..=5).map(|line| (f64::from(lump) * 50.0, f64::from(lump * 5 - 5 + line))));
    }
    near(seconds(&told(&together, 100.0), 200.0).expected, 1000.0);
}

#[test]
fn the_end_is_what_was_used() {
    for done in [10.0, 12.0] {
        let progress = told(&[(10.0, 1.0), (80.0, done)], 10.0);
        let end = predict(&progress, 85.0).unwrap();
        assert_eq!(end.seconds, Range::exactly(85.0));
        assert_eq!(end.joules, Range::exactly(Joules(850.0)));
        assert_eq!(progress.ratio(), Some(1.0));
    }
    let more = told(&[(10.0, 1.0), (20.0, 2.0)], 10.0);
    let mut grown = more.clone();
    grown.tell(mark(30.0, 3.0, 300.0), 20.0);
    near(seconds(&more, 20.0).expected, 100.0);
    near(seconds(&grown, 30.0).expected, 200.0);
}

#[test]
fn grams_wait_for_a_factor() {
    let progress = told(&[(10.0, 1.0)], 10.0);
    let unknown = Outlook::new(WALL.parse().unwrap(), None, None, 1.0);
    let prediction = progress.predict(&now(10.0, 100.0), &unknown).unwrap();
    assert_eq!(prediction.grams, None);
}

#[test]
fn twenty_thousand_marks_are_few_and_say_the_same() {
    let mut progress = Progress::default();
    for unit in 1..=20_000 {
        progress.tell(
            mark(f64::from(unit) * 0.1, f64::from(unit), f64::from(unit)),
            1e6,
        );
    }
    assert!(progress.stretches.len() <= MOST);
    near(seconds(&progress, 2000.0).expected, 1e5);
}

fn figure() -> impl Strategy<Value = f64> {
    prop_oneof![
        0.0..20.0_f64,
        (0_u32..20).prop_map(f64::from),
        prop_oneof![
            Just(0.0),
            Just(1e-300),
            Just(1e-12),
            Just(1e300),
            Just(f64::NAN),
            Just(-1.0),
            Just(f64::INFINITY)
        ],
    ]
}

proptest! {
    #[test]
    fn whatever_is_told_the_figures_are_sound(
        steps in proptest::collection::vec((0.0..100.0_f64, figure(), figure(), figure()), 1..60),
        later in prop_oneof![0.0..1e3_f64, Just(1e9)],
    ) {
        let mut progress = Progress::default();
        let (mut at, mut joules) = (0.0, 0.0);
        for (time, done, total, used) in steps {
            at += time;
            joules += if used.is_finite() { used.clamp(0.0, 1e12) } else { 0.0 };
            progress.tell(mark(at, done, joules), total);
            let at = at + later;
            let now = Now { joules: Joules(joules), ..now(at, joules) };
            if let Some(prediction) = progress.predict(&now, &outlook()) {
                let grams = prediction.grams.unwrap();
                for (range, least) in [
                    (prediction.seconds, now.elapsed.as_secs_f64()),
                    (prediction.joules.map(|joules| joules.0), joules),
                    (grams.map(|grams| grams.0), now.grams.unwrap().0),
                ] {
                    prop_assert!(range.high.is_finite(), "{range:?}");
                    prop_assert!(least <= range.low && range.low <= range.expected && range.expected <= range.high, "{least} {range:?}");
                }
            }
            prop_assert!(progress.ratio().is_none_or(|ratio| (0.0..=1.0).contains(&ratio)));
        }
    }
}
