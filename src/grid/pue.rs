//! The PUE of the moment: asked for as intensities are, with the same requests, secrets and manners.

use super::provider::own::{self, Unit};
use super::provider::{
    Answer, Entry, Garbage, Manners, Provider, Request, What, json, prometheus, read,
};
use super::series::{Nature, Point, Scope, Signal};
use crate::clock::Moment;
use crate::config::{FilePue, LivePue, Pue};
use jiff::Timestamp;
use std::path::PathBuf;
use std::time::Duration;

/// The value of the `provider` label.
const NAME: &str = "pue";

/// How often a file is read.
const MINUTE: Duration = Duration::from_secs(60);

/// Who tells it. A [`Provider`] whose points hold a ratio in place of grams.
struct Teller(Kind);

enum Kind {
    /// Another provider, by whose means it is asked for.
    By(Box<dyn Provider>),
    File(FilePue),
}

/// Whoever tells the PUE, and how often.
///
/// # Errors
/// Values that contradict one another.
pub fn open(live: &LivePue) -> Result<(Box<dyn Provider>, Duration), String> {
    // A ratio has no unit: the number is as it is written.
    let (unit, factors, signal) = (Unit::GramsPerKwh, Scope::Direct, Signal::Average);
    let (kind, every) = match live.clone() {
        LivePue::Prometheus(of) => {
            let entry = Entry::Prometheus(prometheus::Config {
                url: of.url,
                query: of.query,
                token_file: of.token_file,
                unit,
                step: of.step,
                factors,
                signal,
            });
            (Kind::By(opened(&entry)?), of.step.every())
        }
        LivePue::Json(of) => {
            let entry = Entry::Json(json::Config {
                url: of.url,
                headers: of.headers,
                token_file: of.token_file,
                token_as: of.token_as,
                pointer: of.pointer,
                unit,
                time_pointer: None,
                step: of.step,
                factors,
                signal,
            });
            (Kind::By(opened(&entry)?), of.step.every())
        }
        LivePue::File(of) => {
            if !of.path.is_absolute() || of.path.to_str().is_none() {
                return Err(format!(
                    "node.pue: {} is no absolute path in UTF-8: begin it with a slash",
                    of.path.display()
                ));
            }
            (Kind::File(of), MINUTE)
        }
    };
    Ok((Box::new(Teller(kind)), every))
}

fn opened(entry: &Entry) -> Result<Box<dyn Provider>, String> {
    entry.open().map_err(|reason| format!("node.pue: {reason}"))
}

impl Provider for Teller {
    fn name(&self) -> &'static str {
        NAME
    }

    fn signal(&self) -> Signal {
        Signal::Average
    }

    fn manners(&self) -> Manners {
        Manners {
            apart: Duration::from_secs(1),
            lag: MINUTE,
            coarse: false,
        }
    }

    fn secret(&self) -> Option<&PathBuf> {
        match &self.0 {
            Kind::By(other) => other.secret(),
            Kind::File(_) => None,
        }
    }

    fn requests(&self, zone: &str, now: Timestamp) -> Result<Vec<Request>, String> {
        match &self.0 {
            Kind::By(other) => other.requests(zone, now),
            Kind::File(file) => {
                let url = format!("file://{}", file.path.display());
                Ok(vec![Request::open(What::Latest, url, MINUTE)])
            }
        }
    }

    fn read(&self, what: What, zone: &str, body: &[u8], now: Timestamp) -> Result<Answer, Garbage> {
        let ratio = match &self.0 {
            Kind::By(other) => ratio(&other.read(what, zone, body, now)?).ok_or(Garbage::Empty)?,
            Kind::File(file) => written(file, body)?,
        };
        Pue::try_from(ratio).map_err(Garbage::Absurd)?;
        Ok(Answer {
            scope: Scope::Direct,
            points: vec![Point::lasting(now, MINUTE, ratio, Nature::Measured)],
            of: None,
        })
    }
}

/// The ratio that an answer holds.
fn ratio(answer: &Answer) -> Option<f64> {
    answer.points.first().map(|point| point.intensity.0)
}

fn written(file: &FilePue, body: &[u8]) -> Result<f64, Garbage> {
    if let Some(pointer) = &file.pointer {
        let told: serde_json::Value = read::json(body)?;
        return own::number(pointer.of(&told)?);
    }
    let text = std::str::from_utf8(body).unwrap_or_default().trim();
    let number = text.parse().ok().filter(|number: &f64| number.is_finite());
    number.ok_or_else(|| Garbage::Form("the file is not a number".into()))
}

/// What was told last.
#[derive(Clone, Debug)]
pub struct Told {
    every: Duration,
    max_age: Duration,
    last: Option<(f64, Duration)>,
}

impl Told {
    /// Nothing so far, of whoever tells every so often; the last holds for `max_age` at most.
    #[must_use]
    pub fn nothing(every: Duration, max_age: Duration) -> Self {
        Self {
            every,
            max_age,
            last: None,
        }
    }

    /// The same, of which this was told at that time since boot, by an earlier process; what no PUE can be is not
    /// taken.
    #[must_use]
    pub fn before(self, last: Option<(f64, Duration)>) -> Self {
        let is_ratio = |(ratio, _): &(f64, Duration)| Pue::try_from(*ratio).is_ok();
        Self {
            last: last.filter(is_ratio),
            ..self
        }
    }

    /// Takes an answer; `None` where nothing is new.
    pub fn hear(&mut self, answer: Option<&Answer>, now: Moment) {
        let before = self.last.map(|(ratio, _)| ratio);
        if let Some(told) = answer.and_then(ratio).or(before) {
            self.last = Some((told, now.boot));
        }
    }

    /// The ratio that holds, and whether it is `live` or `cached`; `None` where nobody knows any more.
    #[must_use]
    pub fn at(&self, now: Moment) -> Option<(f64, &'static str)> {
        let (ratio, at) = self.last?;
        let age = now.boot.saturating_sub(at);
        // One answer may be missed, and a request takes its time.
        if age <= 2 * self.every + MINUTE {
            return Some((ratio, "live"));
        }
        (age <= self.max_age).then_some((ratio, "cached"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn teller(text: &str) -> Box<dyn Provider> {
        open(&serde_yaml::from_str(text).unwrap()).unwrap().0
    }

    fn told(teller: &dyn Provider, body: &str) -> Result<f64, Garbage> {
        let now = Timestamp::from_second(1_780_000_000).unwrap();
        let answer = teller.read(What::Latest, "DE", body.as_bytes(), now)?;
        Ok(ratio(&answer).unwrap())
    }

    #[test]
    fn ratios_of_every_form() {
        let number = teller("{type: file, path: /f}");
        assert_eq!(told(&*number, " 1.25\n"), Ok(1.25));
        let file = teller("{type: file, path: /f, pointer: /pue}");
        assert_eq!(told(&*file, "{\"pue\": \"1.4\"}"), Ok(1.4));
        let json = teller("{type: json, url: 'http://h/', pointer: /a/0}");
        assert_eq!(told(&*json, "{\"a\": [1.5]}"), Ok(1.5));
        let query = teller("{type: prometheus, url: 'http://h/', query: pue}");
        let sample = "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[{\"metric\":{},\
                      \"value\":[1780000000,\"1.6\"]}]}}";
        assert_eq!(told(&*query, sample), Ok(1.6));
        assert!(
            query.requests("DE", Timestamp::UNIX_EPOCH).unwrap()[0]
                .url
                .ends_with("?query=pue")
        );
        for body in ["0.99", "0", "-1", "10.1", "130", "1e9"] {
            assert!(
                matches!(told(&*number, body), Err(Garbage::Absurd(_))),
                "{body}"
            );
        }
        for body in ["", "NaN", "inf", "one", "1.2 1.3", "<html>"] {
            assert!(told(&*number, body).is_err(), "{body}");
        }
        let relative = serde_yaml::from_str("{type: file, path: f}").unwrap();
        assert!(open(&relative).err().unwrap().contains("slash"));
    }

    #[test]
    fn the_last_one_holds_for_a_while() {
        let start = clock::now();
        let later = |minutes: u64| start.later(Duration::from_secs(60 * minutes));
        let teller = teller("{type: file, path: /f}");
        let answer = teller.read(What::Latest, "", b"1.5", start.wall).unwrap();
        let mut told = Told::nothing(MINUTE, Duration::from_secs(3600));
        assert_eq!(told.at(start), None);
        told.hear(None, start);
        assert_eq!(told.at(start), None);
        told.hear(Some(&answer), start);
        assert_eq!(told.at(later(3)), Some((1.5, "live")));
        assert_eq!(told.at(later(4)), Some((1.5, "cached")));
        assert_eq!(told.at(later(60)), Some((1.5, "cached")));
        assert_eq!(told.at(later(61)), None);
        // Nothing new is news.
        told.hear(None, later(30));
        assert_eq!(told.at(later(33)), Some((1.5, "live")));
    }

    #[test]
    fn what_an_earlier_process_was_told_holds_as_long_as_if_this_one_had_been() {
        let boot = |secs| Moment {
            boot: Duration::from_secs(secs),
            ..clock::now()
        };
        let told = |last, secs| {
            let told = Told::nothing(MINUTE, 60 * MINUTE).before(last);
            told.at(boot(secs))
        };
        let last = Some((1.4, Duration::from_secs(1000)));
        assert_eq!(told(last, 1100), Some((1.4, "live")));
        assert_eq!(told(last, 4000), Some((1.4, "cached")));
        assert_eq!(told(last, 4601), None);
        for odd in [0.5, f64::NAN, 1e9] {
            assert_eq!(told(Some((odd, Duration::ZERO)), 1), None, "{odd}");
        }
    }
}
