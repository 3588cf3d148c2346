//! What relays, their files and those who ask them hand over: a sheet, `intensity.json`, a query. None ends
//! the program, and whatever is in force by it can be. The first byte says which of them the rest is.
#![no_main]

use gramwatt::config::Config;
use gramwatt::grid::almanac::{Almanac, Missing};
use gramwatt::grid::series::{MOST, Series, Signal};
use gramwatt::grid::service::Service;
use gramwatt::grid::sheet::Sheet;
use gramwatt::grid::store;
use gramwatt::relay::Plan;
use libfuzzer_sys::fuzz_target;

const CONFIG: &str =
    "grid: {zones: [DE], providers: [{type: electricity-maps, token_file: /t, forecast: true},
    {type: relay, url: 'http://a'}, {type: relay, url: 'http://a', signal: marginal}]}";

const SHEET: &[u8] = include_bytes!("../seeds/intensity/sheet");

thread_local! {
    static PLAN: Plan = Plan::new(&Config::parse(CONFIG).unwrap(), &[]).unwrap();
    static ALMANAC: Almanac = {
        let mut almanac = Almanac::default();
        almanac.put("DE", Signal::Average, Some(&serde_json::from_slice(&SHEET[1..]).unwrap()));
        almanac
    };
}

fuzz_target!(|input: &[u8]| {
    let Some((first, rest)) = input.split_first() else {
        return;
    };
    match first % 4 {
        0 => sheet(rest),
        1 => file(rest),
        _ => query(rest),
    }
});

fn sheet(body: &[u8]) {
    let Ok(sheet) = serde_json::from_slice::<Sheet>(body) else {
        return;
    };
    let again: Sheet = serde_json::from_slice(&serde_json::to_vec(&sheet).unwrap()).unwrap();
    assert_eq!(again, sheet);
    let answer = sheet.answer();
    let mut series = Series::default();
    series.take(
        answer.scope,
        &answer.points,
        "2026-01-05T12:30:00Z".parse().unwrap(),
    );
    let mut kept = series.past().chain(series.ahead());
    assert!(kept.all(|point| (0.0..=MOST).contains(&point.intensity.0)));
}

fn file(body: &[u8]) {
    let Ok(kept) = store::read(body) else {
        return;
    };
    PLAN.with(|plan| {
        let mut service = Service::new(plan.places.clone(), &plan.providers, kept);
        for now in [
            "2026-01-05T12:30:00Z",
            "2026-01-05T15:30:00Z",
            "1900-01-01T00:00:00Z",
        ] {
            let now = now.parse().unwrap();
            let (conditions, _) = service.conditions(0, now).unwrap();
            let grids = conditions.grid.into_iter().chain(conditions.marginal);
            for grid in grids {
                assert!((0.0..=MOST).contains(&grid.intensity.0));
                assert!(grid.provider.len() <= 64);
            }
            for signal in [Signal::Average, Signal::Marginal] {
                drop(service.sheet(0, signal, now));
            }
        }
        let told: std::collections::BTreeMap<_, _> = service.told().collect();
        serde_json::to_vec(&told).unwrap();
    });
}

fn query(query: &[u8]) {
    let query = String::from_utf8_lossy(query);
    ALMANAC.with(|almanac| match almanac.find(&query) {
        Ok(found) => assert!(found.body.len() > 2),
        Err(Missing::Asked(words) | Missing::Known(words)) => {
            assert!(words.len() < 200, "{words}");
        }
    });
}
