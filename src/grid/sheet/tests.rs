use super::super::choose::Tier;
use super::super::provider::Manners;
use super::super::series::after;
use super::super::zone::{Source, Told};
use super::*;

fn noon() -> Timestamp {
    "2026-01-05T12:00:00Z".parse().unwrap()
}

fn zone(providers: &[&str]) -> Zone {
    let source = |name: &&str| Source {
        provider: (*name).to_owned(),
        signal: Signal::Average,
        manners: Manners {
            apart: Duration::from_secs(1),
            lag: HOUR,
            coarse: false,
        },
        is_whole: false,
        terms: String::new(),
    };
    let chain = providers.iter().map(source).collect();
    Zone::new(chain, 2 * HOUR, Told::default())
}

fn answer(from: Timestamp, grams: &[f64], nature: Nature) -> Answer {
    let point =
        |(hour, grams): (u32, &f64)| Point::lasting(after(from, HOUR * hour), HOUR, *grams, nature);
    Answer {
        scope: Scope::Lifecycle,
        points: (0..).zip(grams).map(point).collect(),
        of: None,
    }
}

/// A relay's zone, of which `a` has told what was, up to noon.
fn relay() -> Zone {
    let mut relay = zone(&["a", "b"]);
    let start = before(noon(), 47 * HOUR);
    relay.hear(0, &answer(start, &[300.0; 48], Nature::Measured), noon());
    relay
}

/// What a node knows that asked a relay once, at noon, by the text of its answer.
fn node(relay: &mut Zone, change: impl Fn(String) -> String) -> Zone {
    relay.choose(Signal::Average, noon());
    let sheet = Sheet::of("DE", relay, Signal::Average, noon()).unwrap();
    let text = change(serde_json::to_string(&sheet).unwrap());
    let sheet: Sheet = serde_json::from_str(&text).unwrap();
    let mut node = zone(&["relay"]);
    assert_eq!(node.hear(0, &sheet.answer(), noon()), 0);
    node
}

/// Tier and provider of what is in force so many hours after noon.
fn in_force(node: &mut Zone, hours: u32) -> Option<(Tier, String)> {
    let choice = node.choose(Signal::Average, after(noon(), HOUR * hours));
    choice.map(|choice| (choice.tier, choice.provider))
}

#[test]
fn the_days_before_are_shown_as_such_and_never_in_force() {
    let same = |text: String| text;
    // A relay that says it of all at once.
    let at_once = |text: String| text.replace("\"seasonal\"}", "\"forecast\"}");
    for change in [same, at_once] {
        let mut node = node(&mut relay(), change);
        let outlook = node.outlook(noon()).unwrap();
        assert_eq!(
            (&*outlook.provider, outlook.forecast.origin),
            ("a", By::Seasonal)
        );
        assert_eq!(outlook.forecast.known().count(), 48);
        assert_eq!(in_force(&mut node, 1), Some((Tier::Live, "a".to_owned())));
        assert_eq!(in_force(&mut node, 2), Some((Tier::Cached, "a".to_owned())));
        assert_eq!(in_force(&mut node, 4), None);
        // Nor does a relay in between make a forecast of it.
        let again = Sheet::of("DE", &node, Signal::Average, noon());
        assert!(again.is_none_or(|sheet| sheet.forecast_by == "seasonal"));
    }
}

#[test]
fn of_hours_by_both_only_those_of_the_provider_are_in_force() {
    let mut relay = relay();
    let hours = answer(noon(), &[200.0; 5], Nature::Forecast);
    relay.hear(0, &hours, noon());
    let mut node = node(&mut relay, |text| text);
    assert_eq!(
        in_force(&mut node, 4),
        Some((Tier::Forecast, "a".to_owned()))
    );
    assert_eq!(in_force(&mut node, 5), None);
    let outlook = node.outlook(noon()).unwrap().forecast;
    assert_eq!(outlook.origin, By::Seasonal, "in part");
    let seasonal: Vec<bool> = outlook.known().map(|(.., seasonal)| seasonal).collect();
    assert_eq!(seasonal[..6], [false, false, false, false, false, true]);
}

#[test]
fn a_forecast_of_another_provider_goes_by_its_own_name() {
    let mut relay = relay();
    relay.hear(1, &answer(noon(), &[200.0; 60], Nature::Forecast), noon());
    let mut node = node(&mut relay, |text| {
        let told = ["\"provider\":\"a\"", "\"forecast_provider\":\"b\""];
        assert!(told.iter().all(|told| text.contains(told)), "{text}");
        text
    });
    let outlook = node.outlook(noon()).unwrap();
    assert_eq!(
        (&*outlook.provider, outlook.forecast.origin),
        ("b", By::Provider)
    );
    assert_eq!(in_force(&mut node, 1), Some((Tier::Live, "a".to_owned())));
    assert_eq!(
        in_force(&mut node, 4),
        Some((Tier::Forecast, "b".to_owned()))
    );
    let later = after(noon(), 4 * HOUR);
    let sheet = Sheet::of("DE", &node, Signal::Average, later).unwrap();
    assert_eq!((&*sheet.provider, &*sheet.forecast_provider), ("b", "b"));
    // Where the relay turns to the forecast of `a`, nothing of `b` goes by that name.
    let own = Answer {
        of: Some(Origin {
            provider: "a".to_owned(),
            lag: HOUR,
            coarse: false,
            forecaster: None,
        }),
        ..answer(noon(), &[100.0; 3], Nature::Forecast)
    };
    node.hear(0, &own, noon());
    assert_eq!(in_force(&mut node, 4), None);
}
