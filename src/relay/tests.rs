use super::*;
use crate::grid::fetch::News;
use crate::grid::provider::Answer;
use crate::grid::series::{Nature, Point, Scope};
use std::collections::BTreeMap;
use std::time::Duration;

fn at(text: &str) -> Timestamp {
    format!("2026-01-05T{text}:00Z").parse().unwrap()
}

fn news(zone: usize, from: &str, grams: f64) -> News {
    let hour = Duration::from_secs(3600);
    News {
        provider: 0,
        zone,
        number: 0,
        answer: Ok(Some(Answer {
            scope: Scope::Lifecycle,
            points: vec![Point::lasting(at(from), hour, grams, Nature::Measured)],
            of: None,
        })),
    }
}

#[test]
fn a_zones_time_passes_while_there_is_ever_news_of_another() {
    let config = "grid: {zones: [DE, FR], max_age: 4h, providers: [{type: electricity-maps, token_file: /t}]}";
    let plan = Plan::new(&Config::parse(config).unwrap(), &[]).unwrap();
    let mut service = Service::new(plan.places, &plan.providers, BTreeMap::new());
    let (pages, latest) = watch::channel(Arc::new(Snapshot::default()));
    let (sheets, almanac) = watch::channel(Arc::new(Almanac::default()));
    let mut desk = Desk {
        regions: Vec::new(),
        reference: Arc::new(Reference::bundled()),
        ends: Vec::new(),
        almanac: Almanac::default(),
        process: process::Watch::default(),
        host: "".into(),
        pages,
        sheets,
    };
    let moments = |now: &str| Moments {
        now: at(now),
        since: None,
    };
    desk.tell(&mut service, None, moments("11:59")).unwrap();
    for (zone, grams) in [(0, 300.0), (1, 50.0)] {
        service.hear(&news(zone, "12:00", grams), at("12:00"));
        desk.tell(&mut service, Some(zone), moments("12:00"))
            .unwrap();
    }
    let tiers = || -> Vec<&str> {
        let page = latest.borrow();
        page.regions.iter().map(|region| region.grid.tier).collect()
    };
    assert_eq!(tiers(), ["live", "live"]);
    // From now on there is only news of FR, often.
    for (hour, tier) in [
        ("13:00", "live"),
        ("14:00", "cached"),
        ("15:00", "cached"),
        ("17:00", "static"),
    ] {
        service.hear(&news(1, hour, 60.0), at(hour));
        desk.tell(&mut service, Some(1), moments(hour)).unwrap();
        assert_eq!(tiers(), [tier, "live"], "{hour}");
    }
    assert!(
        almanac.borrow().find("zone=DE").is_err(),
        "nobody knows it any more"
    );
}
