use super::*;
use crate::carbon::Emissions;
use crate::snapshot::Grid;
use crate::units::Joules;
use std::sync::Arc;
use std::time::Duration;

const HOUR: f64 = 3600.0;

fn at(hours: f64) -> Moment {
    let wall: Timestamp = "2026-01-05T00:00:00Z".parse().unwrap();
    let time = Duration::from_secs_f64(hours * HOUR);
    Moment {
        awake: time,
        boot: time,
        wall: wall + time,
    }
}

fn live(grams: f64) -> Factor {
    Factor {
        intensity: Some(GramsPerKwh(grams)),
        market: Some(GramsPerKwh(10.0)),
        pue: 1.5,
        live: true,
    }
}

fn conditions(hours: f64, grams: f64, tier: &'static str) -> Conditions {
    let zone = crate::grid::of_zone(&crate::data::zone("DE").unwrap());
    Conditions {
        since: Some(at(hours).wall),
        grid: Some(Arc::new(Grid {
            intensity: GramsPerKwh(grams),
            tier,
            ..zone
        })),
        ..Conditions::default()
    }
}

/// Books whose last factor, a live one of 400 g/kWh, ends at two.
fn kept() -> State {
    State {
        term: Some(Term {
            tier: "live".to_owned(),
            until: at(2.0).wall,
        }),
        ..State::fresh(live(400.0), at(0.0))
    }
}

/// Of 1 kWh, used evenly between two hours.
fn emissions(state: &State, from: f64, to: f64) -> Emissions {
    state.timeline.emissions(Joules(3.6e6), at(from), at(to))
}

fn near(emissions: &Emissions, location: f64, estimated: f64) {
    let found = [emissions.location, emissions.estimated].map(|grams| grams.unwrap().0);
    let is_near = |(found, told): (f64, f64)| (found - told).abs() < 1e-9 * told.abs().max(1.0);
    let all = [(found[0], location), (found[1], estimated)];
    assert!(all.into_iter().all(is_near), "{found:?}");
}

#[test]
fn a_live_factor_is_not_live_after_its_end() {
    let mut state = kept();
    state.follow(&[], Some(GramsPerKwh(100.0)), at(10.0));
    near(&emissions(&state, 0.0, 2.0), 600.0, 0.0);
    near(&emissions(&state, 2.0, 10.0), 150.0, 150.0);
    near(&emissions(&state, 0.0, 10.0), 240.0, 120.0);
    let market = emissions(&state, 0.0, 10.0).market.unwrap().0;
    assert!((market - 15.0).abs() < 1e-9, "contracts and PUE go on");
}

#[test]
fn what_was_known_of_the_time_goes_before_the_average() {
    let mut state = kept();
    let known = [
        conditions(2.0, 400.0, "cached"),
        conditions(4.0, 200.0, "forecast"),
        conditions(6.0, 100.0, "static"),
    ];
    state.follow(&known, Some(GramsPerKwh(999.0)), at(10.0));
    let all = (400.0 * 4.0 + 200.0 * 2.0 + 100.0 * 4.0) * 0.15;
    near(&emissions(&state, 0.0, 10.0), all, all - 400.0 * 2.0 * 0.15);
    // Once it is told, it is told: who opens the books adds nothing.
    state.follow(&[], Some(GramsPerKwh(999.0)), at(10.0));
    near(&emissions(&state, 9.0, 10.0), 150.0, 150.0);
}

#[test]
fn a_short_downtime_changes_nothing() {
    let mut state = kept();
    assert_eq!(state.ended(at(1.9)), None);
    state.follow(&[], Some(GramsPerKwh(100.0)), at(1.9));
    near(&emissions(&state, 1.0, 1.9), 600.0, 0.0);
    let mut fixed = State::fresh(
        Factor {
            live: false,
            ..live(400.0)
        },
        at(0.0),
    );
    fixed.follow(&[], Some(GramsPerKwh(100.0)), at(50.0));
    near(&emissions(&fixed, 1.0, 50.0), 600.0, 600.0);
}

#[test]
fn without_a_zone_there_are_no_grams_of_the_rest() {
    let mut state = kept();
    state.follow(&[], None, at(4.0));
    near(&emissions(&state, 0.0, 4.0), 300.0, 0.0);
    assert_eq!(emissions(&state, 3.0, 4.0).location, None);
}

#[test]
fn a_file_of_before_says_no_end_and_nothing_is_live_after_its_last_reading() {
    let text = serde_json::to_string(&kept()).unwrap();
    let mut old: serde_json::Value = serde_json::from_str(&text).unwrap();
    old.as_object_mut().unwrap().remove("term").unwrap();
    let account = serde_json::json!([{
        "part": {"device": {"id": "package-0", "kind": "cpu"}}, "sensor": "rapl", "method": "counter",
        "joules": 1.0, "last": {"counter": {"raw": 1, "at": at(1.0)}}, "whole_since": at(0.0).boot,
    }]);
    old["accounts"] = account;
    let mut state: State = serde_json::from_value(old).unwrap();
    state.follow(&[], Some(GramsPerKwh(100.0)), at(9.0));
    near(&emissions(&state, 0.0, 1.0), 600.0, 0.0);
    near(&emissions(&state, 1.0, 9.0), 150.0, 150.0);
}
