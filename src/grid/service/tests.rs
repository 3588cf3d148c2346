use super::super::provider::{Answer, Entry};
use super::super::series::{Nature, Point, Scope, before};
use super::*;
use crate::data;
use crate::units::GramsPerKwh;

const HOUR: Duration = Duration::from_secs(3600);

fn place() -> Place {
    let zone = data::zone("DE").unwrap();
    Place {
        bundled: crate::grid::of_zone(&zone),
        max_age: 2 * HOUR,
    }
}

fn providers() -> Vec<Box<dyn Provider>> {
    let entries = "[{type: electricity-maps, token_file: /t}, {type: energy-charts}]";
    let entries: Vec<Entry> = serde_yaml::from_str(entries).unwrap();
    entries.iter().map(|entry| entry.open().unwrap()).collect()
}

fn at(text: &str) -> Timestamp {
    format!("2026-01-05T{text}:00Z").parse().unwrap()
}

fn news(provider: usize, points: &[(&str, f64, Nature)]) -> News {
    let point = |(from, grams, nature): &(&str, f64, Nature)| {
        Point::lasting(at(from), HOUR, *grams, *nature)
    };
    News {
        provider,
        zone: 0,
        number: 0,
        answer: Ok(Some(Answer {
            scope: Scope::Lifecycle,
            points: points.iter().map(point).collect(),
            of: None,
        })),
    }
}

fn failed(provider: usize) -> News {
    News {
        provider,
        zone: 0,
        number: 0,
        answer: Err(Failure {
            reason: "denied",
            place: "https://x".to_owned(),
            message: "HTTP status 401".to_owned(),
            mend: "check the token".to_owned(),
            wait: None,
        }),
    }
}

fn grid(service: &mut Service, now: &str) -> (String, &'static str, GramsPerKwh) {
    let (conditions, _) = service.conditions(0, at(now)).unwrap();
    let grid = conditions.grid.unwrap();
    (grid.provider.clone(), grid.tier, grid.intensity)
}

#[test]
fn an_outage_goes_through_all_tiers_and_back() {
    let mut service = Service::new(vec![place()], &providers(), BTreeMap::new());
    assert_eq!(
        grid(&mut service, "12:00").1,
        "static",
        "before anybody has answered"
    );
    let first = news(
        0,
        &[
            ("12:00", 300.0, Nature::Measured),
            ("16:00", 250.0, Nature::Forecast),
        ],
    );
    service.hear(&first, at("12:05"));
    let em = "electricity-maps".to_owned();
    assert_eq!(
        grid(&mut service, "12:05"),
        (em.clone(), "live", GramsPerKwh(300.0))
    );
    service.hear(&failed(0), at("14:00"));
    assert_eq!(
        grid(&mut service, "14:10"),
        (em.clone(), "cached", GramsPerKwh(300.0))
    );
    service.hear(&news(1, &[("13:00", 280.0, Nature::Measured)]), at("14:20"));
    assert_eq!(grid(&mut service, "14:20").0, "energy-charts");
    assert_eq!(grid(&mut service, "17:05").1, "static");
    assert_eq!(
        grid(&mut service, "16:30").1,
        "live",
        "three hours late is usual there"
    );
    service.hear(&news(0, &[("17:00", 310.0, Nature::Measured)]), at("17:10"));
    assert_eq!(
        grid(&mut service, "17:10"),
        (em, "live", GramsPerKwh(310.0))
    );
}

#[test]
fn a_forecast_of_before_stands_in() {
    let mut service = Service::new(vec![place()], &providers(), BTreeMap::new());
    let told = news(
        0,
        &[
            ("12:00", 300.0, Nature::Measured),
            ("16:00", 250.0, Nature::Forecast),
        ],
    );
    service.hear(&told, at("12:05"));
    assert_eq!(grid(&mut service, "16:10").1, "forecast");
    let (_, until) = service.conditions(0, at("15:59")).unwrap();
    assert_eq!(until, at("16:00"), "the moment at which it takes effect");
}

#[test]
fn health_is_told_with_every_reason_and_the_mend() {
    let mut service = Service::new(vec![place()], &providers(), BTreeMap::new());
    service.hear(&failed(0), at("12:00"));
    service.hear(
        &news(
            1,
            &[
                ("12:00", 280.0, Nature::Measured),
                ("11:00", -5.0, Nature::Measured),
            ],
        ),
        at("12:00"),
    );
    let (conditions, _) = service.conditions(0, at("12:00")).unwrap();
    let [a, b] = &*conditions.providers else {
        panic!()
    };
    assert!(!a.up && b.up);
    assert_eq!((a.requests, b.requests), (1, 1));
    let count = |health: &ProviderHealth, reason| {
        health
            .failures
            .iter()
            .find(|(r, _)| *r == reason)
            .unwrap()
            .1
    };
    assert_eq!(
        (count(a, "denied"), count(a, "value"), count(b, "value")),
        (1, 0, 1)
    );
    assert_eq!(a.trouble.as_ref().unwrap().mend, "check the token");
    service.hear(&news(0, &[("12:00", 1.0, Nature::Measured)]), at("12:00"));
    let (conditions, _) = service.conditions(0, at("12:00")).unwrap();
    assert!(conditions.providers[0].up && conditions.providers[0].trouble.is_none());
}

#[test]
fn what_was_told_outlives_the_process_and_a_broken_file_is_no_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::new(folder.path());
    assert!(store.load().is_empty());
    let mut service = Service::new(vec![place()], &providers(), store.load());
    service.hear(&news(0, &[("12:00", 300.0, Nature::Measured)]), at("12:05"));
    store.save(service.told());
    let mut service = Service::new(vec![place()], &providers(), store.load());
    assert_eq!(grid(&mut service, "12:30").2, GramsPerKwh(300.0));
    for broken in ["", "{", "{\"version\":7,\"zones\":{}}", "[]"] {
        std::fs::write(folder.path().join("intensity.json"), broken).unwrap();
        assert!(store.load().is_empty(), "{broken}");
    }
}

#[test]
fn what_is_wrong_with_one_request_is_told_until_that_one_is_well() {
    let mut service = Service::new(vec![place()], &providers(), BTreeMap::new());
    let forecast = |news: News| News { number: 1, ..news };
    let up = |service: &mut Service| {
        let (conditions, _) = service.conditions(0, at("12:00")).unwrap();
        conditions.providers[0].up
    };
    let well = || news(0, &[("12:00", 300.0, Nature::Measured)]);
    service.hear(&forecast(failed(0)), at("12:00"));
    service.hear(&well(), at("12:00"));
    assert!(!up(&mut service), "the forecast is still refused");
    service.hear(&forecast(well()), at("12:00"));
    assert!(up(&mut service));
}

#[test]
fn entries_of_one_type_are_one_provider_to_the_page() {
    let entries =
        "[{type: relay, url: 'http://a'}, {type: relay, url: 'http://a', signal: marginal}]";
    let entries: Vec<Entry> = serde_yaml::from_str(entries).unwrap();
    let providers: Vec<_> = entries.iter().map(|entry| entry.open().unwrap()).collect();
    let mut service = Service::new(vec![place()], &providers, BTreeMap::new());
    service.hear(&news(0, &[("12:00", 300.0, Nature::Measured)]), at("12:00"));
    service.hear(&failed(1), at("12:00"));
    let (conditions, _) = service.conditions(0, at("12:00")).unwrap();
    let [health] = &*conditions.providers else {
        panic!("{:?}", conditions.providers)
    };
    assert_eq!((health.requests, health.up), (2, false));
    assert!(health.failures.contains(&("denied", 1)));
}

#[test]
fn a_time_when_nobody_looked_goes_through_all_tiers() {
    let mut service = Service::new(vec![place()], &providers(), BTreeMap::new());
    let forecasts = [("17:00", 250.0), ("18:00", 240.0)];
    let mut told = news(0, &[("12:00", 300.0, Nature::Measured)]);
    let forecast = forecasts.map(|(from, grams)| (from, grams, Nature::Forecast));
    let Ok(Some(more)) = news(0, &forecast).answer else {
        panic!()
    };
    if let Ok(Some(answer)) = &mut told.answer {
        answer.points.extend(more.points);
    }
    service.hear(&told, at("12:05"));
    let told: Vec<String> = service
        .meanwhile(0, at("13:30"), at("23:00"))
        .iter()
        .map(|one| {
            let (grid, since) = (one.grid.as_ref().unwrap(), one.since.unwrap());
            let since = since.strftime("%H:%M");
            format!(
                "{since} {} {} {}",
                grid.tier, grid.provider, grid.intensity.0
            )
        })
        .collect();
    let average = place().bundled.intensity.0;
    assert_eq!(
        told,
        [
            "13:30 live electricity-maps 300",
            "14:00 cached electricity-maps 300",
            &format!("15:00 static bundled {average}"),
            "17:00 forecast electricity-maps 250",
            "18:00 forecast electricity-maps 240",
            &format!("19:00 static bundled {average}"),
        ]
    );
    assert!(service.meanwhile(0, at("13:30"), at("13:30")).is_empty());
    assert!(service.meanwhile(7, at("13:30"), at("14:30")).is_empty());
}

#[test]
fn a_long_time_of_fine_forecasts_is_told_in_as_many_steps_as_are_kept() {
    let mut service = Service::new(vec![place()], &providers(), BTreeMap::new());
    let minutes = |minutes: u64| after(at("12:00"), Duration::from_secs(60 * minutes));
    let five = Duration::from_secs(300);
    let points = (0..48 * 12).map(|step| {
        let grams = f64::from(u32::try_from(step).unwrap());
        Point::lasting(minutes(step * 5), five, grams, Nature::Forecast)
    });
    let answer = Answer {
        scope: Scope::Lifecycle,
        points: points.collect(),
        of: None,
    };
    let told = News {
        answer: Ok(Some(answer)),
        ..news(0, &[])
    };
    service.hear(&told, at("12:00"));
    let told = service.meanwhile(0, at("12:00"), minutes(60 * 60));
    assert!((30..=42).contains(&told.len()), "{}", told.len());
    assert_eq!(told.last().unwrap().grid.as_ref().unwrap().tier, "static");
}

#[test]
fn a_mean_of_a_year_or_a_month_tells_which_and_a_moment_does_not() {
    let entries = "[{type: ember, token_file: /t}, {type: energy-charts}]";
    let entries: Vec<Entry> = serde_yaml::from_str(entries).unwrap();
    let providers: Vec<_> = entries.iter().map(|entry| entry.open().unwrap()).collect();
    let grid = |from: &str, until: &str, provider: usize| {
        let mut service = Service::new(vec![place()], &providers, BTreeMap::new());
        let midnight = |day: &str| format!("{day}T00:00:00Z").parse().unwrap();
        let point = Point {
            from: midnight(from),
            until: midnight(until),
            intensity: GramsPerKwh(333.0),
            nature: Nature::Measured,
        };
        let answer = Answer {
            scope: Scope::Lifecycle,
            points: vec![point],
            of: None,
        };
        let told = News {
            answer: Ok(Some(answer)),
            ..news(provider, &[])
        };
        service.hear(&told, at("12:00"));
        let (conditions, _) = service.conditions(0, at("12:00")).unwrap();
        let grid = conditions.grid.unwrap();
        (grid.tier, grid.vintage.clone(), grid.source.clone())
    };
    let of = |vintage: &str| {
        (
            "static",
            vintage.to_owned(),
            format!("ember, for {vintage}"),
        )
    };
    assert_eq!(grid("2025-01-01", "2026-01-01", 0), of("2025"));
    assert_eq!(grid("2024-01-01", "2025-01-01", 0), of("2024"));
    assert_eq!(grid("2025-08-01", "2025-09-01", 0), of("2025-08"));
    assert_eq!(grid("2025-12-01", "2026-01-01", 0), of("2025-12"));
    assert_eq!(grid("2026-01-05", "2026-01-06", 1).1, "");
}

#[test]
fn a_provider_need_not_know_every_zone_of_a_relay_if_another_one_does() {
    let entries = "[{type: rte-eco2mix}, {type: energy-charts}]";
    let entries: Vec<Entry> = serde_yaml::from_str(entries).unwrap();
    let providers: Vec<_> = entries.iter().map(|entry| entry.open().unwrap()).collect();
    let unknown = |provider, zone| {
        let failed = failed(provider);
        let failure = failed.answer.unwrap_err();
        News {
            zone,
            answer: Err(Failure {
                reason: "config",
                ..failure
            }),
            ..failed
        }
    };
    let up = |zones: &[&str], unknown: News| {
        let places = zones.iter().map(|zone| Place {
            bundled: crate::grid::of_zone(&data::zone(zone).unwrap()),
            max_age: 2 * HOUR,
        });
        let mut service = Service::new(places.collect(), &providers, BTreeMap::new());
        let well = news(unknown.provider, &[("12:00", 300.0, Nature::Measured)]);
        service.hear(&unknown, at("12:00"));
        service.hear(&News { number: 7, ..well }, at("12:00"));
        let (conditions, _) = service.conditions(0, at("12:00")).unwrap();
        conditions.providers[unknown.provider].up
    };
    assert!(up(&["FR", "DE"], unknown(0, 1)));
    // Where it knows none of them, or nobody knows this one, something is to be mended.
    assert!(!up(&["DE"], unknown(0, 0)));
    assert!(!up(&["FR", "US-CAL-CISO"], unknown(0, 1)));
}

#[test]
fn what_was_told_under_other_terms_is_not_kept_as_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let provider = |resolution: &str| {
        let entry = format!("{{type: ember, token_file: /t, resolution: {resolution}}}");
        let entry: Entry = serde_yaml::from_str(&entry).unwrap();
        vec![entry.open().unwrap()]
    };
    let mean = |from: &str, days: u32, grams| {
        let from: Timestamp = from.parse().unwrap();
        let points = vec![Point::lasting(
            from,
            24 * HOUR * days,
            grams,
            Nature::Measured,
        )];
        let of = None;
        let scope = Scope::Lifecycle;
        News {
            provider: 0,
            zone: 0,
            number: 0,
            answer: Ok(Some(Answer { scope, points, of })),
        }
    };
    let mut service = Service::new(vec![place()], &provider("monthly"), BTreeMap::new());
    service.hear(&mean("2025-11-01T00:00:00Z", 30, 111.0), at("12:00"));
    assert_eq!(grid(&mut service, "12:00").2, GramsPerKwh(111.0));
    let mut store = Store::new(folder.path());
    store.save(service.told());
    // The month begins later than the year, and would be its last value for ever.
    let mut service = Service::new(vec![place()], &provider("yearly"), store.load());
    service.hear(&mean("2024-01-01T00:00:00Z", 366, 344.0), at("12:00"));
    assert_eq!(grid(&mut service, "12:00").2, GramsPerKwh(344.0));
}

#[test]
fn a_large_file_is_not_written_at_every_answer() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("intensity.json");
    let service = Service::new(vec![place()], &providers(), BTreeMap::new());
    let (give, inbox) = sync_channel(QUEUE);
    let now = clock::now().wall;
    let step = Duration::from_secs(300);
    for (count, grams) in [(2300, 300.0), (1, 777.0)] {
        let points = (0..count).map(|number| {
            Point::lasting(
                before(now, step * (number + 1)),
                step,
                grams,
                Nature::Measured,
            )
        });
        let answer = Answer {
            scope: Scope::Lifecycle,
            points: points.collect(),
            of: None,
        };
        let answer = Ok(Some(answer));
        give.send(News {
            answer,
            ..failed(0)
        })
        .unwrap();
    }
    drop(give);
    let mut kept = Vec::new();
    let store = Some(Store::new(folder.path()));
    keep(service, store, &inbox, |_, _, _| {
        kept.push(std::fs::read_to_string(&file).unwrap_or_default());
        Some(Timestamp::MAX)
    });
    assert!(
        kept[1].contains("300.0") && kept[1].len() > 256 << 10,
        "{}",
        kept[1].len()
    );
    assert_eq!(kept[1], kept[2], "the second answer waits");
}
