//! What of a provider's configuration decides what its values are of. What it told under other terms, of
//! another region, in another unit, is not kept as its own.

use super::{Answer, Entry, Garbage, Manners, Provider, Request, Signal, What};
use jiff::Timestamp;
use serde_json::Value;
use std::path::PathBuf;

/// Keys that change nothing of that: who asks, and how; `signal` and `factors` are kept apart besides.
const OTHERS: [&str; 10] = [
    "type",
    "token_file",
    "token_as",
    "credentials_file",
    "base_url",
    "headers",
    "version",
    "forecast",
    "signal",
    "factors",
];

/// A provider, and its terms.
pub(super) struct Agreed<P> {
    provider: P,
    terms: String,
}

impl<P> Agreed<P> {
    pub(super) fn new(provider: P, entry: &Entry) -> Self {
        let terms = terms(entry);
        Self { provider, terms }
    }
}

/// Refuses a `base_url` that is no address of a server, which would be noticed at the first request only; a
/// file of the machine is none. It is not shown: it may hold a password.
pub(super) fn check(entry: &Entry) -> Result<(), String> {
    let keys = serde_json::to_value(entry).unwrap_or_default();
    let Some(url) = keys.get("base_url").and_then(Value::as_str) else {
        return Ok(());
    };
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"));
    let host = rest.and_then(|rest| rest.split(['/', '?', '#']).next()?.rsplit('@').next());
    let is_host = host.is_some_and(|host| !host.is_empty());
    if is_host && !url.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Ok(());
    }
    Err(
        "base_url is no address of a server: write https:// or http://, its name, and no space"
            .to_owned(),
    )
}

/// A mark of the terms; empty where there are none. It shows nothing of them: a URL may hold a secret.
fn terms(entry: &Entry) -> String {
    let Ok(Value::Object(mut keys)) = serde_json::to_value(entry) else {
        return String::new();
    };
    keys.retain(|key, value| {
        let is_empty = value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty);
        // Relays of one cluster tell the same.
        let is_relay = matches!(entry, Entry::Relay(_)) && key == "url";
        !is_empty && !is_relay && !OTHERS.contains(&key.as_str())
    });
    if keys.is_empty() {
        return String::new();
    }
    // FNV-1a of 64 bits, which is the same in every version of this program.
    let text = Value::Object(keys).to_string();
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

impl<P: Provider> Provider for Agreed<P> {
    fn name(&self) -> &'static str {
        self.provider.name()
    }
    fn signal(&self) -> Signal {
        self.provider.signal()
    }
    fn manners(&self) -> Manners {
        self.provider.manners()
    }
    fn secret(&self) -> Option<&PathBuf> {
        self.provider.secret()
    }
    fn tie(&self) -> Option<&'static str> {
        self.provider.tie()
    }
    fn serves(&self, zone: &str) -> bool {
        self.provider.serves(zone)
    }
    fn is_dated(&self) -> bool {
        self.provider.is_dated()
    }
    fn is_whole(&self) -> bool {
        self.provider.is_whole()
    }
    fn terms(&self) -> &str {
        &self.terms
    }
    fn requests(&self, zone: &str, now: Timestamp) -> Result<Vec<Request>, String> {
        self.provider.requests(zone, now)
    }
    fn read(&self, what: What, zone: &str, body: &[u8], now: Timestamp) -> Result<Answer, Garbage> {
        self.provider.read(what, zone, body, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(entry: &str) -> String {
        let entry: Entry = serde_yaml::from_str(entry).unwrap();
        entry.open().unwrap().terms().to_owned()
    }

    #[test]
    fn a_base_url_is_a_servers() {
        let open = |url: &str| {
            let text = format!("{{type: energy-charts, base_url: '{url}'}}");
            let entry: Entry = serde_yaml::from_str(&text).unwrap();
            entry.open().map(drop)
        };
        for url in [
            "api.a.info",
            "file:///etc",
            "https://",
            "http://me:hunter2@/a",
            "http://a b",
        ] {
            let why = open(url).unwrap_err();
            assert!(
                why.contains("base_url") && !why.contains("hunter2"),
                "{url}: {why}"
            );
        }
        for url in ["https://a", "http://me:hunter2@a:1/b/"] {
            assert_eq!(open(url), Ok(()), "{url}");
        }
    }

    #[test]
    fn what_changes_the_values_changes_the_terms_and_nothing_else_does() {
        for same in [
            [
                "{type: relay, url: 'http://a'}",
                "{type: relay, url: 'http://b', token_file: /t}",
            ],
            [
                "{type: energy-charts}",
                "{type: energy-charts, base_url: 'http://a'}",
            ],
            [
                "{type: electricity-maps, token_file: /t}",
                "{type: electricity-maps, token_file: /u, forecast: true, version: v3}",
            ],
            [
                "{type: ember, token_file: /t}",
                "{type: ember, token_file: /u, resolution: yearly}",
            ],
        ] {
            assert_eq!(of(same[0]), of(same[1]), "{same:?}");
        }
        assert_eq!(of("{type: energy-charts}"), "");
        for other in [
            [
                "{type: uk-carbon-intensity}",
                "{type: uk-carbon-intensity, region: 13}",
            ],
            [
                "{type: ember, token_file: /t}",
                "{type: ember, token_file: /t, resolution: monthly}",
            ],
            [
                "{type: file, path: /f, unit: g/kWh, factors: direct}",
                "{type: file, path: /f, unit: lb/MWh, factors: direct}",
            ],
            [
                "{type: prometheus, url: 'http://a', query: a, unit: g/kWh, factors: direct}",
                "{type: prometheus, url: 'http://a', query: b, unit: g/kWh, factors: direct}",
            ],
        ] {
            assert_ne!(of(other[0]), of(other[1]), "{other:?}");
        }
    }
}
