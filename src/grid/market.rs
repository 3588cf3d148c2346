//! What the site's contracts give, hour by hour, from a file that the site writes. What it does not tell is
//! not known: no hour stands in for another.

use super::provider::{Answer, Entry, Garbage, Manners, Provider, Request, What, file};
use super::series::{Point, Scope, Signal, after};
use crate::config::Market;
use crate::units::GramsPerKwh;
use jiff::Timestamp;
use std::time::Duration;

/// The value of the `provider` label.
const NAME: &str = "market";

/// Values kept: a year of quarters.
const MOST: usize = 40_000;

/// The provider `file`, by another name, so that the two are told apart.
struct Teller(Box<dyn Provider>);

/// Whoever tells what the contracts give; `None` where a number or nothing is configured.
///
/// # Errors
/// A path that cannot be one.
pub fn open(market: &Market) -> Result<Option<Box<dyn Provider>>, String> {
    let Some(path) = &market.file else {
        return Ok(None);
    };
    let entry = Entry::File(file::Config {
        path: path.clone(),
        unit: market.unit,
        step: market.step,
        factors: Scope::Direct,
        signal: Signal::Average,
    });
    let provider = entry
        .open()
        .map_err(|reason| format!("grid.market: {reason}"))?;
    Ok(Some(Box::new(Teller(provider))))
}

impl Provider for Teller {
    fn name(&self) -> &'static str {
        NAME
    }

    fn signal(&self) -> Signal {
        self.0.signal()
    }

    fn manners(&self) -> Manners {
        self.0.manners()
    }

    fn requests(&self, zone: &str, now: Timestamp) -> Result<Vec<Request>, String> {
        self.0.requests(zone, now)
    }

    fn read(&self, what: What, zone: &str, body: &[u8], now: Timestamp) -> Result<Answer, Garbage> {
        self.0.read(what, zone, body, now)
    }
}

/// The hours that the file has.
#[derive(Clone, Debug, Default)]
pub struct Hours(Vec<Point>);

impl Hours {
    /// Takes what the file says now, whole; says how many values were refused because they cannot be.
    pub fn hear(&mut self, answer: &Answer) -> usize {
        let mut points = answer.points.clone();
        points.retain(Point::is_believable);
        let refused = answer.points.len() - points.len();
        points.sort_by_key(|point| point.from);
        points.truncate(MOST);
        self.0 = points;
        refused
    }

    /// What holds at a moment: the value that began last of those that are for it.
    #[must_use]
    pub fn at(&self, now: Timestamp) -> Option<GramsPerKwh> {
        let mut points = self.0.iter().rev();
        let found = points.find(|point| point.covers(now));
        found.map(|point| point.intensity)
    }

    /// The first moment after this one at which something else may hold, a day on at the latest.
    #[must_use]
    pub fn next(&self, now: Timestamp) -> Timestamp {
        let ends = self.0.iter().flat_map(|point| [point.from, point.until]);
        let next = ends.filter(|end| *end > now).min();
        let latest = after(now, Duration::from_secs(86400));
        next.map_or(latest, |next| next.min(latest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hours_that_are_told_are_known() {
        let market: Market = serde_yaml::from_str("{file: /f}").unwrap();
        let teller = open(&market).unwrap().unwrap();
        let at = |text: &str| -> Timestamp { format!("2026-01-05T{text}:00Z").parse().unwrap() };
        let csv = "from,until,grams_per_kwh\n2026-01-05T12:00Z,2026-01-05T13:00Z,5\n\
                   2026-01-05T13:00Z,2026-01-05T14:00Z,\n2026-01-05T14:00Z,2026-01-05T15:00Z,7\n\
                   2026-01-05T15:00Z,2026-01-05T16:00Z,-7\n2026-01-05T14:30Z,2026-01-05T14:45Z,0\n";
        let answer = teller
            .read(What::Latest, "", csv.as_bytes(), at("12:00"))
            .unwrap();
        let mut hours = Hours::default();
        assert_eq!(hours.at(at("12:00")), None);
        assert_eq!(hours.hear(&answer), 1);
        for (moment, grams, next) in [
            ("11:59", None, "12:00"),
            ("12:00", Some(5.0), "13:00"),
            ("12:59", Some(5.0), "13:00"),
            ("13:00", None, "14:00"),
            ("14:00", Some(7.0), "14:30"),
            ("14:30", Some(0.0), "14:45"),
            ("14:45", Some(7.0), "15:00"),
            ("15:00", None, "15:00"),
        ] {
            assert_eq!(hours.at(at(moment)), grams.map(GramsPerKwh), "{moment}");
            if moment != next {
                assert_eq!(hours.next(at(moment)), at(next), "{moment}");
            }
        }
        assert_eq!(
            hours.next(at("15:00")),
            after(at("15:00"), Duration::from_secs(86400))
        );
    }
}
