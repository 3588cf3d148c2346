//! The kinds of value that a web configuration holds: what each accepts, in words that mend.

use hyper::header::HeaderValue;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// A string that is not empty: an empty one would count as absent, which is seldom meant.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Filled(pub(super) String);

impl TryFrom<String> for Filled {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.is_empty() {
            Err("is empty; leave the key out instead")
        } else {
            Ok(Self(text))
        }
    }
}

/// What can stand in an HTTP header.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Value(pub(super) HeaderValue);

impl TryFrom<String> for Value {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        HeaderValue::from_str(text.trim())
            .map(Self)
            .map_err(|_| "has characters that cannot stand in an HTTP header")
    }
}

/// A map that no key enters twice.
pub(super) struct Unique<T>(pub(super) BTreeMap<String, T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Unique<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = Unique<T>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a map of names to bcrypt hashes")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Unique<T>, M::Error> {
                let mut entries = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<String, T>()? {
                    if key.is_empty() || key.contains(':') {
                        return Err(M::Error::custom(format!(
                            "{key:?} cannot be a user: basic authentication ends the name at a colon"
                        )));
                    }
                    if entries.contains_key(&key) {
                        return Err(M::Error::custom(format!("{key:?} is there twice")));
                    }
                    entries.insert(key, value);
                }
                Ok(Unique(entries))
            }
        }
        deserializer.deserialize_map(Entries(std::marker::PhantomData))
    }
}

/// A duration as Go writes it: `1s`, `1m30s`, `500ms`, `1.5h`, `0`.
pub(super) struct GoDuration(pub(super) Duration);

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = GoDuration;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a duration with its unit, such as `1s` or `500ms`")
            }
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<GoDuration, E> {
                match number {
                    0 => Ok(GoDuration(Duration::ZERO)),
                    _ => Err(E::invalid_value(
                        serde::de::Unexpected::Unsigned(number),
                        &self,
                    )),
                }
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<GoDuration, E> {
                duration(text)
                    .map(GoDuration)
                    .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(Text)
    }
}

pub(super) fn duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut seconds = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let unit = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest.get(..unit)?.parse().ok()?;
        rest = rest.get(unit..)?;
        let end = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        seconds += number
            * match rest.get(..end)? {
                "ns" => 1e-9,
                "us" | "µs" | "μs" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                _ => return None,
            };
        rest = rest.get(end..)?;
    }
    // Go holds durations as nanoseconds in 63 bits: 292 years. A day is long enough here.
    (!text.is_empty() && seconds <= 86_400.0).then(|| Duration::from_secs_f64(seconds))
}
