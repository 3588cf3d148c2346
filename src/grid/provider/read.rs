//! What the answers of many providers have in common.

use super::Garbage;
use crate::grid::series::{Nature, Point};
use jiff::{Timestamp, tz::TimeZone};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// Grams in a kWh for each pound in a MWh: 453.59237 g / 1000 kWh (exact, the international pound of 1959).
pub const POUNDS_PER_MWH: f64 = 0.453_592_37;

/// Reads JSON of a documented form.
///
/// # Errors
/// Where it is none, with the place and not the content.
pub fn json<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Garbage> {
    serde_json::from_slice(body).map_err(|error| {
        let what = match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
            None => return Garbage::Empty,
            Some(b'<') => {
                "HTML or XML in place of JSON: a proxy, a login page or a wrong base_url".to_owned()
            }
            _ => format!(
                "line {} column {} of the JSON",
                error.line(),
                error.column()
            ),
        };
        Garbage::Form(what.into())
    })
}

/// A moment such as `2026-01-05T12:00:00.000Z`, `2026-01-05T12:00+01:00` or `2026-01-05T12:00Z`; without
/// a zone it is UTC.
///
/// # Errors
/// Where it is none.
pub fn moment(text: &str) -> Result<Timestamp, Garbage> {
    let zoned = text.parse::<Timestamp>();
    zoned
        .or_else(|error| {
            let civil: jiff::civil::DateTime =
                text.trim_end_matches('Z').parse().map_err(|_| error)?;
            TimeZone::UTC.to_timestamp(civil)
        })
        .map_err(|_| Garbage::Form(format!("{:?} is no time", short(text)).into()))
}

/// A moment as seconds since 1970.
///
/// # Errors
/// Where there is no such moment.
pub fn seconds(seconds: f64) -> Result<Timestamp, Garbage> {
    let duration = jiff::SignedDuration::try_from_secs_f64(seconds);
    duration
        .and_then(Timestamp::from_duration)
        .map_err(|_| Garbage::Form("a number of seconds is no time".into()))
}

/// A moment rounded down to a multiple of a time, in UTC: so that the same is asked for a while.
#[must_use]
pub fn rounded(at: Timestamp, to: Duration) -> Timestamp {
    let to = i64::try_from(to.as_secs()).unwrap_or(i64::MAX).max(1);
    let second = at.as_second();
    Timestamp::from_second(second - second.rem_euclid(to)).unwrap_or(at)
}

/// A text as a value of a query, by RFC 3986: all but the unreserved characters escaped.
#[must_use]
pub fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// A provider's own name of a zone, from a map in the configuration; capitals do not matter.
#[must_use]
pub fn named<'a>(names: &'a BTreeMap<String, String>, zone: &str) -> Option<&'a str> {
    let mut names = names.iter();
    let found = names.find(|(of, _)| of.eq_ignore_ascii_case(zone));
    found.map(|(_, name)| name.as_str())
}

/// The beginning of a text that somebody else wrote.
#[must_use]
pub fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(120).collect()
}

/// A number, or one written as a text.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Number<'a> {
    /// `456.7`
    Plain(f64),
    /// `"456.7"`
    Text(&'a str),
}

impl Number<'_> {
    /// Its value; `None` for a text that is no number.
    #[must_use]
    pub fn value(self) -> Option<f64> {
        match self {
            Self::Plain(number) => Some(number),
            Self::Text(text) => text.trim().parse().ok(),
        }
    }
}

/// Points from moments and values, each until the next one, the last for as long as the one before it, or
/// for `usual` where it is alone or stands after a gap. Order and repeats do not matter.
#[must_use]
pub fn steps(mut values: Vec<(Timestamp, f64, Nature)>, usual: Duration) -> Vec<Point> {
    values.sort_by_key(|(from, ..)| *from);
    values.dedup_by_key(|(from, ..)| *from);
    let mut points: Vec<Point> = Vec::with_capacity(values.len());
    for (place, (from, grams, nature)) in values.iter().enumerate() {
        let next = values.get(place + 1).map(|(next, ..)| *next);
        let most = crate::grid::series::after(*from, usual);
        let mut point = Point::lasting(*from, usual, *grams, *nature);
        point.until = next.map_or(most, |next| next.min(most));
        points.push(point);
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_many_forms() {
        let noon: Timestamp = "2026-01-05T12:00:00Z".parse().unwrap();
        for text in [
            "2026-01-05T12:00:00.000Z",
            "2026-01-05T12:00Z",
            "2026-01-05T13:00+01:00",
            "2026-01-05T12:00:00+00:00",
            "2026-01-05T12:00:00",
            "2026-01-05 12:00:00",
            "2026-01-05T12",
        ] {
            assert_eq!(moment(text).unwrap(), noon, "{text}");
        }
        for text in ["", "noon", "2026-13-05T12:00Z", "12:00"] {
            assert!(moment(text).is_err(), "{text}");
        }
    }

    #[test]
    fn broken_json_is_told_without_its_content() {
        for (body, told) in [
            (&b"<html>hunter2"[..], "HTML"),
            (b"{\"a\": hunter2}", "line 1 column"),
            (b" ", "no value"),
        ] {
            let error = json::<serde_json::Value>(body).unwrap_err().to_string();
            assert!(
                error.contains(told) && !error.contains("hunter2"),
                "{error}"
            );
        }
    }

    #[test]
    fn values_last_until_the_next_one() {
        let at = |minute: i64| Timestamp::from_second(minute * 60).unwrap();
        let values = [30, 0, 15, 15, 120].map(|minute| (at(minute), 1.0, Nature::Measured));
        let points = steps(values.to_vec(), Duration::from_secs(1800));
        let told: Vec<(i64, i64)> = points
            .iter()
            .map(|p| (p.from.as_second() / 60, p.until.as_second() / 60))
            .collect();
        assert_eq!(told, [(0, 15), (15, 30), (30, 60), (120, 150)]);
    }
}
