//! Answers of every provider of intensity: none ends the program, what is believed can be, and what is
//! said of a bad one stays short. The first byte picks the provider and what was asked; the rest is the
//! answer. Seeds are the bodies in tests/replicas/grid behind their provider's byte.
#![no_main]

use gramwatt::grid::provider::{Entry, Provider, What};
use gramwatt::grid::series::{MOST, Series};
use libfuzzer_sys::fuzz_target;

/// Places for providers in the first byte, more than there are, so that seeds stay what they are.
const PLACES: usize = 32;

/// By their first byte: add at the end.
const PROVIDERS: [(&str, &str); 16] = [
    (
        r#"{"type":"electricity-maps","token_file":"/t","forecast":true}"#,
        "AT",
    ),
    (r#"{"type":"energy-charts"}"#, "DE"),
    (r#"{"type":"entsoe","token_file":"/t"}"#, "FI"),
    (r#"{"type":"eia","token_file":"/t"}"#, "US-CAL-CISO"),
    (r#"{"type":"open-electricity","token_file":"/t"}"#, "AU-NSW"),
    (
        r#"{"type":"file","path":"/a","unit":"g/kWh","factors":"direct"}"#,
        "DE",
    ),
    (
        r#"{"type":"json","url":"http://a/","pointer":"/data/0/intensity","time_pointer":"/data/0/time",
            "unit":"kg/kWh","factors":"direct"}"#,
        "DE",
    ),
    (
        r#"{"type":"prometheus","url":"http://a","query":"a","unit":"g/kWh","factors":"direct"}"#,
        "DE",
    ),
    (
        r#"{"type":"watttime","credentials_file":"/c","regions":{"US-CAL-CISO":"CAISO_NORTH"}}"#,
        "US-CAL-CISO",
    ),
    (r#"{"type":"uk-carbon-intensity"}"#, "GB"),
    (r#"{"type":"uk-carbon-intensity","postcode":"RG10"}"#, "GB"),
    (r#"{"type":"rte-eco2mix"}"#, "FR"),
    (r#"{"type":"energinet"}"#, "DK-DK1"),
    (r#"{"type":"ember","token_file":"/t"}"#, "DE"),
    (
        r#"{"type":"ember","token_file":"/t","resolution":"monthly"}"#,
        "DE",
    ),
    (r#"{"type":"relay","url":"http://a"}"#, "DE"),
];

/// The bodies in tests/replicas are of different times; each provider's is near its own.
const NOWS: [&str; 16] = [
    "2025-10-17T11:30:00Z",
    "2026-07-12T22:30:00Z",
    "2025-10-24T13:00:00Z",
    "2026-03-27T04:10:00Z",
    "2025-07-10T11:30:00Z",
    "2026-01-05T12:30:00Z",
    "2026-01-05T12:20:31Z",
    "2026-01-05T12:00:05Z",
    "2024-06-18T18:38:10Z",
    "2018-01-20T12:10:00Z",
    "2018-01-20T12:10:00Z",
    "2026-05-14T16:10:00Z",
    "2025-10-26T01:20:00Z",
    "2026-02-03T12:00:00Z",
    "2026-02-03T12:00:00Z",
    "2026-01-05T12:30:00Z",
];

thread_local! {
    static OPEN: Vec<Box<dyn Provider>> = PROVIDERS
        .iter()
        .map(|(entry, _)| serde_json::from_str::<Entry>(entry).unwrap().open().unwrap())
        .collect();
}

fuzz_target!(|input: &[u8]| {
    let Some((first, body)) = input.split_first() else {
        return;
    };
    let place = usize::from(*first) % PLACES;
    let what = [What::Latest, What::Forecast, What::History][usize::from(*first) / PLACES % 3];
    if place >= PROVIDERS.len() {
        return;
    }
    let now = NOWS[place].parse().unwrap();
    OPEN.with(
        |open| match open[place].read(what, PROVIDERS[place].1, body, now) {
            Err(garbage) => assert!(garbage.to_string().chars().count() < 4000),
            Ok(answer) => {
                let mut series = Series::default();
                let refused = series.take(answer.scope, &answer.points, now);
                assert!(refused <= answer.points.len());
                let mut kept = series.past().chain(series.ahead());
                assert!(kept.all(|point| (0.0..=MOST).contains(&point.intensity.0)));
            }
        },
    );
});
