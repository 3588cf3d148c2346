//! What is shown of the live intensity, on a node's page and on a relay's.

use super::*;
use crate::grid::forecast::{Forecast, HOURS, Origin};
use crate::grid::zone::Outlook;
use crate::snapshot::{ProviderHealth, Region};

/// 48 hours from 3 o'clock: 300, and 100 from the tenth to the thirteenth.
fn outlook(origin: Origin) -> Outlook {
    let grams = |hour| {
        if (10..14).contains(&hour) {
            100.0
        } else {
            300.0
        }
    };
    Outlook {
        provider: "oracle".into(),
        forecast: Forecast::new(
            "2026-01-02T03:00:00Z".parse().unwrap(),
            (0..HOURS)
                .map(|hour| Some(GramsPerKwh(grams(hour))))
                .collect(),
            origin,
        ),
    }
}

/// The same forecast of other hours.
fn of(outlook: &Outlook, hours: Vec<Option<GramsPerKwh>>) -> Forecast {
    Forecast::new(outlook.forecast.start, hours, outlook.forecast.origin)
}

/// An intensity of 3 o'clock, four minutes before the page.
fn live() -> Grid {
    Grid {
        provider: "oracle".into(),
        tier: "live",
        vintage: String::new(),
        valid: Some(1_767_322_800.0),
        ..super::grid()
    }
}

fn answers(name: &str) -> ProviderHealth {
    ProviderHealth {
        name: name.into(),
        up: true,
        requests: 41,
        failures: vec![("network", 3), ("limit", 0)],
        trouble: None,
    }
}

fn fails(name: &str, mend: &str) -> ProviderHealth {
    ProviderHealth {
        up: false,
        trouble: Some(trouble("https://api.example/v4", mend)),
        ..answers(name)
    }
}

fn asked() -> Snapshot {
    Snapshot {
        grid: Some(Arc::new(live())),
        outlook: Some(Arc::new(outlook(Origin::Provider))),
        providers: vec![answers("oracle")].into(),
        ..well()
    }
}

fn relay() -> Snapshot {
    let region = |zone: &str, grid: Grid| Region {
        grid: Arc::new(Grid {
            zone: zone.into(),
            ..grid
        }),
        marginal: None,
        outlook: None,
    };
    let mut first = region("DE", live());
    first.outlook = Some(Arc::new(outlook(Origin::Seasonal)));
    first.marginal = Some(Arc::new(Grid {
        intensity: GramsPerKwh(712.0),
        signal: "marginal",
        provider: "moer".into(),
        ..live()
    }));
    Snapshot {
        at: Some(at(100)),
        ready: true,
        regions: vec![first, region("FR", live())].into(),
        providers: vec![answers("oracle")].into(),
        ..Snapshot::default()
    }
}

fn shown(snapshot: &Snapshot) -> String {
    page(snapshot).replace('\u{a0}', " ")
}

#[test]
fn a_live_intensity_tells_its_age_and_no_edition() {
    let page = shown(&asked());
    assert!(page.contains("oracle, live (the intensity of the moment)"));
    assert!(page.contains("2026-01-02 03:00 UTC</time> (4 min 5 s ago)"));
    assert!(!page.contains("Vintage") && !page.contains("A yearbook"));
    assert_eq!(Verdict::of(&asked()).level, verdict::Level::Well);
}

#[test]
fn the_marginal_intensity_is_for_decisions() {
    assert!(!shown(&asked()).contains("Marginal"));
    let marginal = Grid {
        intensity: GramsPerKwh(712.0),
        signal: "marginal",
        ..live()
    };
    let page = shown(&Snapshot {
        marginal: Some(Arc::new(marginal)),
        ..asked()
    });
    let (_, told) = page.split_once("<dt>Marginal</dt>").unwrap();
    let (told, _) = told.split_once("</dd>").unwrap();
    assert!(told.contains("712 g CO₂e/kWh"), "{told}");
    assert!(
        told.contains("For decisions: grams use the average."),
        "{told}"
    );
}

#[test]
fn the_hours_ahead_are_bars_and_words() {
    let page = shown(&asked());
    assert!(page.contains("Forecast by <strong>oracle</strong>"));
    // The bars are hidden from who cannot see them, and the words and the table are there for all.
    let (_, bars) = page.split_once("<svg class=\"hours\"").unwrap();
    let (bars, _) = bars.split_once("</svg>").unwrap();
    assert!(bars.contains("aria-hidden=\"true\""));
    assert_eq!(bars.matches('z').count(), HOURS);
    let (_, best) = bars.split_once("class=\"best\"").unwrap();
    assert_eq!(best.matches("v-33h").count(), 4, "{best}");
    assert!(page.contains("48 hours known. Lowest: 100 g/kWh at "));
    assert!(page.contains("highest: 300 g/kWh at "));
    assert_eq!(
        page.matches("</th><td class=\"n\">100</td></tr>").count(),
        4
    );
    let seasonal = shown(&Snapshot {
        outlook: Some(Arc::new(outlook(Origin::Seasonal))),
        ..asked()
    });
    assert!(seasonal.contains("Seasonal: ") && seasonal.contains("Nobody forecast it."));
    assert!(!seasonal.contains("Forecast by"));
}

#[test]
fn the_best_windows_are_told_in_utc_and_against_now() {
    let page = shown(&asked());
    let row = "4 h <span class=\"key\" aria-hidden=\"true\"></span></th>\
               <td><time datetime=\"2026-01-02T13:00Z\">Fri 2 Jan 13:00 UTC</time>\
               <small>in 9 h 55 min</small></td><td class=\"n\">100</td><td class=\"n\">67 % less</td>";
    assert!(page.contains(row), "{page}");
    assert!(page.contains("8 h") && page.contains("24 h"));
    let mut flat = outlook(Origin::Provider);
    flat.forecast = of(&flat, vec![Some(GramsPerKwh(50.0)); 2]);
    let page = shown(&Snapshot {
        outlook: Some(Arc::new(flat)),
        ..asked()
    });
    // The hour that we are in began before the page.
    assert!(page.contains("<small>now</small>") && page.contains("the same"));
    assert!(!page.contains("4 h"), "no job that does not fit");
}

#[test]
fn hours_that_nobody_can_tell_are_gaps() {
    let mut outlook = outlook(Origin::Provider);
    outlook.forecast = of(&outlook, vec![None, Some(GramsPerKwh(0.0)), None]);
    let page = shown(&Snapshot {
        outlook: Some(Arc::new(outlook)),
        ..asked()
    });
    assert!(page.contains("1 hour known. Lowest: 0 g/kWh"));
    assert!(
        page.contains("d=\"M10 100v-1h8v1z\""),
        "an hour of nothing is a line"
    );
    let none = shown(&Snapshot {
        outlook: None,
        ..asked()
    });
    assert!(none.contains("no provider forecasts"));
    assert!(
        !shown(&well()).contains("The hours ahead"),
        "nobody is asked"
    );
}

#[test]
fn a_provider_tells_its_health() {
    let page = shown(&asked());
    let row = "oracle</span></th><td><span class=\"well\">✓ well</span></td>\
               <td class=\"n\">41</td><td>network 3</td>";
    assert!(page.contains(row), "{page}");
    let new = ProviderHealth {
        name: "oracle".into(),
        ..ProviderHealth::default()
    };
    let page = shown(&Snapshot {
        providers: vec![new].into(),
        ..asked()
    });
    assert!(page.contains("not heard yet") && page.contains("<td>none</td>"));
}

#[test]
fn a_provider_that_fails_is_wrong_and_has_a_mend() {
    let snapshot = Snapshot {
        providers: vec![fails("oracle", "check the token"), answers("other")].into(),
        ..asked()
    };
    let page = shown(&snapshot);
    assert!(page.contains("Needs mending: oracle, 1 of 2 providers of intensity, fails."));
    assert!(page.contains("href=\"#mend\"") && page.contains("id=\"mend\""));
    assert!(page.contains("https://api.example/v4") && page.contains("check the token"));
    let unknown = Snapshot {
        providers: vec![fails("oracle", ""), fails("other", "x")].into(),
        grid: Some(Arc::new(super::grid())),
        ..asked()
    };
    let page = shown(&unknown);
    assert!(page.contains("2 of 2 providers of intensity fail; a fixed number stands in for DE."));
    assert!(page.contains("No mend is known"));
}

#[test]
fn a_fixed_number_where_providers_are_asked_is_a_limit() {
    let mut snapshot = Snapshot {
        grid: Some(Arc::new(super::grid())),
        ..asked()
    };
    let verdict = Verdict::of(&snapshot);
    assert_eq!(verdict.level, verdict::Level::Limited);
    assert!(
        verdict
            .text
            .contains("no provider tells the intensity of the moment"),
        "{verdict:?}"
    );
    snapshot.providers = Arc::default();
    assert_eq!(
        Verdict::of(&snapshot).level,
        verdict::Level::Well,
        "nobody is asked"
    );
}

#[test]
fn a_relay_shows_zones_and_nothing_of_a_node() {
    let page = shown(&relay());
    for text in [
        "<title>Relay of 2 zones · Gramwatt relay</title>",
        "<h1>Gramwatt relay</h1>",
        "<strong>344</strong>",
        "712<small>moer, live</small>",
        "(4 min 5 s ago)",
        "seasonal, oracle. Best 4 h: ",
        "✓ well",
        "href=\"./metrics\"",
        "href=\"./v1/intensity?zone=DE\"",
        "Nothing is wrong: the provider answers, 2 zones served.",
    ] {
        assert!(page.contains(text), "no {text} in {page}");
    }
    let (_, page) = page.split_once("<body>").unwrap();
    for text in ["evice", "Power now", "ensor", "PUE", "grid.zone", "doctor"] {
        assert!(!page.contains(text), "{text}");
    }
}

#[test]
fn a_relay_says_what_is_wrong() {
    let mut snapshot = relay();
    let mut regions = snapshot.regions.to_vec();
    regions[1].grid = Arc::new(Grid {
        zone: "FR".into(),
        ..super::grid()
    });
    snapshot.regions = regions.into();
    let verdict = relay::verdict(&snapshot);
    assert_eq!(verdict.level, verdict::Level::Limited);
    assert!(verdict.text.contains("the intensity of FR,"), "{verdict:?}");
    snapshot.providers = vec![ProviderHealth::default()].into();
    assert_eq!(relay::verdict(&snapshot).level, verdict::Level::Starting);
    snapshot.providers = vec![fails("oracle", "check the token")].into();
    assert_eq!(relay::verdict(&snapshot).level, verdict::Level::Wrong);
    let page = shown(&snapshot);
    assert!(page.contains("id=\"mend\"") && page.contains("check the token"));
}

#[test]
fn hostile_text_of_a_provider_or_a_zone_stays_text() {
    let text = || HOSTILE.to_owned();
    let ill = ProviderHealth {
        name: text(),
        trouble: Some(Trouble {
            place: text(),
            message: text(),
            mend: text(),
        }),
        ..ProviderHealth::default()
    };
    let grid = Arc::new(Grid {
        zone: text(),
        name: text(),
        scope: text(),
        provider: text(),
        ..live()
    });
    let mut told = outlook(Origin::Provider);
    told.provider = text();
    let region = Region {
        grid: Arc::clone(&grid),
        marginal: Some(Arc::clone(&grid)),
        outlook: Some(Arc::new(told)),
    };
    let node = Snapshot {
        grid: Some(Arc::clone(&grid)),
        marginal: Some(grid),
        outlook: region.outlook.clone(),
        providers: vec![ill.clone()].into(),
        ..well()
    };
    let relay = Snapshot {
        regions: vec![region].into(),
        providers: vec![ill].into(),
        ..Snapshot::default()
    };
    for snapshot in [node, relay] {
        let page = page(&snapshot);
        assert!(page.matches("&lt;script&gt;alert(1)").count() >= 10);
        assert!(!page.contains("<script") && !page.contains("\" onload"));
        for bad in ["src=", "url(", "href=\"http", "://"] {
            assert!(!page.contains(bad), "{bad}");
        }
    }
}

#[test]
fn a_relay_of_many_zones_has_a_page_that_can_be_read() {
    let one = relay().regions[0].clone();
    let snapshot = Snapshot {
        regions: vec![one; 100].into(),
        ..relay()
    };
    let size = page(&snapshot).len();
    assert!(size < 300_000, "{size} bytes");
}
