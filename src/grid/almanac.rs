//! What a relay tells of all its zones, ready to be sent.

use super::series::Signal;
use super::sheet::Sheet;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// All sheets, by zone in capitals and signal.
#[derive(Clone, Debug, Default)]
pub struct Almanac(BTreeMap<(String, Signal), Marked>);

/// A sheet as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marked {
    /// Its entity tag, in quotes (RFC 9110, 8.8.3): another one for other content.
    pub mark: String,
    /// Its text.
    pub body: Bytes,
}

/// Why there is no sheet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The question is none.
    Asked(String),
    /// Nothing is known of it.
    Known(String),
}

impl Almanac {
    /// Takes what is known of a zone and signal now.
    pub fn put(&mut self, zone: &str, signal: Signal, sheet: Option<&Sheet>) {
        let key = (zone.to_ascii_uppercase(), signal);
        let body = sheet.and_then(|sheet| serde_json::to_vec(sheet).ok());
        let Some(body) = body else {
            self.0.remove(&key);
            return;
        };
        let mut hasher = DefaultHasher::new();
        body.hash(&mut hasher);
        let mark = format!("\"{:016x}\"", hasher.finish());
        let body = body.into();
        self.0.insert(key, Marked { mark, body });
    }

    /// The sheet that a query such as `zone=DE&signal=marginal` asks for.
    ///
    /// # Errors
    /// Where the query asks for none, or nothing is known of it.
    pub fn find(&self, query: &str) -> Result<&Marked, Missing> {
        let (mut zone, mut signal) = (None, Signal::Average);
        for (key, value) in query.split('&').filter_map(|part| part.split_once('=')) {
            match (key, value) {
                ("zone", value) => zone = Some(value.to_ascii_uppercase()),
                ("signal", "average") => signal = Signal::Average,
                ("signal", "marginal") => signal = Signal::Marginal,
                ("signal", _) => {
                    return Err(Missing::Asked("signal is average or marginal".to_owned()));
                }
                _ => {}
            }
        }
        let Some(zone) = zone else {
            return Err(Missing::Asked(
                "give a zone: /v1/intensity?zone=DE".to_owned(),
            ));
        };
        self.0.get(&(zone, signal)).ok_or_else(|| {
            let of_signal = self.0.keys().filter(|(_, other)| *other == signal);
            let zones: Vec<&str> = of_signal.map(|(zone, _)| zone.as_str()).collect();
            let signal = signal.label();
            Missing::Known(format!(
                "no {signal} intensity of that zone is known here; known are: {}",
                zones.join(", ")
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_answered_or_told_what_is_wrong_with_it() {
        let mut almanac = Almanac::default();
        let sheet: Sheet = serde_json::from_str(
            r#"{"zone":"DE","signal":"average","scope":"lifecycle","provider":"a","tier":"live",
            "current":{"from":"2026-01-05T12:00:00Z","until":"2026-01-05T13:00:00Z","grams_per_kwh":300,
            "nature":"measured"},"lag_seconds":3600,"coarse":false,"forecast_by":"provider","history":[],
            "forecast":[]}"#,
        )
        .unwrap();
        almanac.put("de", Signal::Average, Some(&sheet));
        let found = almanac.find("zone=De").unwrap().clone();
        assert!(found.mark.starts_with('"') && found.mark.ends_with('"'));
        assert_eq!(serde_json::from_slice::<Sheet>(&found.body).unwrap(), sheet);
        almanac.put(
            "DE",
            Signal::Average,
            Some(&Sheet {
                tier: "cached".into(),
                ..sheet
            }),
        );
        assert_ne!(
            almanac.find("signal=average&zone=DE").unwrap().mark,
            found.mark
        );
        for (query, told) in [
            ("", "give a zone"),
            ("zone=DE&signal=both", "average or marginal"),
        ] {
            assert!(
                matches!(almanac.find(query), Err(Missing::Asked(text)) if text.contains(told))
            );
        }
        for query in ["zone=FR", "zone=DE&signal=marginal", "zone=%00"] {
            assert!(
                matches!(almanac.find(query), Err(Missing::Known(_))),
                "{query}"
            );
        }
        almanac.put("DE", Signal::Average, None);
        assert!(almanac.find("zone=DE").is_err());
    }
}
