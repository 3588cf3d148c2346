//! The Carbon Intensity API of Great Britain's system operator: the whole of Great Britain, or one of its
//! regions, with a forecast of two days.
//!
//! Source: the API's definitions of 2026 and the methodology of its factors, which are those of operation
//! only. Times are in UTC, in settlement periods of half an hour. `actual` is what was, by meters, and is
//! null until it is known; regions never have one.

use super::{Answer, Garbage, Manners, Provider, Request, What, read};
use crate::grid::series::{Nature, Point, Scope, Signal};
use crate::units::GramsPerKwh;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[cfg(test)]
mod tests;

/// `type: uk-carbon-intensity`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the API is.
    #[serde(default = "base")]
    pub base_url: String,
    /// A region in place of the whole: its number of 1 (North Scotland) to 17 (Wales), such as 13 for London.
    #[serde(default)]
    pub region: Option<Region>,
    /// The region of a postcode in place of the whole: its first half, such as `RG10`.
    #[serde(default)]
    pub postcode: Option<Postcode>,
}

fn base() -> String {
    "https://api.carbonintensity.org.uk".to_owned()
}

/// A number of 1 to 17.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "u8", into = "u8")]
#[schemars(with = "u8")]
pub struct Region(u8);

impl TryFrom<u8> for Region {
    type Error = String;
    fn try_from(number: u8) -> Result<Self, String> {
        if (1..=17).contains(&number) {
            return Ok(Self(number));
        }
        Err(format!("{number} is no region: 1 (North Scotland) to 17 (Wales)"))
    }
}

impl From<Region> for u8 {
    fn from(region: Region) -> Self {
        region.0
    }
}

/// The first half of a postcode, in capitals.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Postcode(String);

impl TryFrom<String> for Postcode {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let code = text.trim().to_ascii_uppercase();
        let is_code = code.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if is_code && (2..=4).contains(&code.len()) && code.starts_with(|c: char| c.is_alphabetic()) {
            return Ok(Self(code));
        }
        Err(format!(
            "{text:?} is not the first half of a postcode, such as RG10"
        ))
    }
}

impl From<Postcode> for String {
    fn from(code: Postcode) -> Self {
        code.0
    }
}

pub(super) struct UkCarbonIntensity(Config);

/// Makes the provider.
pub(super) fn open(config: &Config) -> Result<UkCarbonIntensity, String> {
    if config.region.is_some() && config.postcode.is_some() {
        return Err("uk-carbon-intensity: give region or postcode, and not both".to_owned());
    }
    Ok(UkCarbonIntensity(config.clone()))
}

/// A settlement period.
const HALF_HOUR: Duration = Duration::from_secs(1800);

impl UkCarbonIntensity {
    /// The end of the path that names the region; `None` for the whole.
    fn place(&self) -> Option<String> {
        match (self.0.region, &self.0.postcode) {
            (Some(region), _) => Some(format!("regionid/{}", region.0)),
            (None, Some(code)) => Some(format!("postcode/{}", code.0)),
            (None, None) => None,
        }
    }

    /// The half hours of an answer, where it is about what was asked.
    fn half_hours(&self, part: Part) -> Result<Vec<HalfHour>, Garbage> {
        if self.place().is_none() {
            let (Some(from), Some(to), Some(intensity)) = (part.from, part.to, part.intensity) else {
                return Err(Garbage::Form("it is not about the whole of Great Britain".into()));
            };
            let half_hour = HalfHour {
                from,
                to,
                intensity,
            };
            return Ok(vec![half_hour]);
        }
        let is_region = self.0.region.is_none_or(|asked| part.region == Some(asked.0));
        let told = part.postcode.as_deref();
        let is_code = |asked: &Postcode| told.is_none_or(|told| told.eq_ignore_ascii_case(&asked.0));
        let is_code = self.0.postcode.as_ref().is_none_or(is_code);
        match part.data {
            Some(all) if is_region && is_code => Ok(all),
            _ => Err(Garbage::Form("it is not about the region asked for".into())),
        }
    }
}

impl Provider for UkCarbonIntensity {
    fn name(&self) -> &'static str {
        "uk-carbon-intensity"
    }

    fn signal(&self) -> Signal {
        Signal::Average
    }

    /// No limit is published. The half hour that has begun is there at once.
    fn manners(&self) -> Manners {
        Manners {
            apart: Duration::from_secs(2),
            lag: HALF_HOUR,
            coarse: false,
        }
    }

    fn requests(&self, zone: &str, now: Timestamp) -> Result<Vec<Request>, String> {
        if !zone.eq_ignore_ascii_case("GB") {
            return Err(format!(
                "uk-carbon-intensity knows GB (Great Britain; region or postcode for a part of it), and not {zone:?}"
            ));
        }
        let base = self.0.base_url.trim_end_matches('/');
        let now = read::rounded(now, HALF_HOUR).strftime("%Y-%m-%dT%H:%MZ");
        let ask = |what, path: String, every| {
            Request::open(what, format!("{base}/{path}"), Duration::from_secs(every))
        };
        // A request without a time is about now, which a rounded one may miss at the edge.
        Ok(match self.place() {
            None => vec![
                ask(What::Latest, "intensity".to_owned(), 300),
                ask(What::Forecast, format!("intensity/{now}/fw48h"), 1800),
                ask(What::History, format!("intensity/{now}/pt24h"), 1800),
            ],
            Some(place) => vec![
                ask(What::Latest, format!("regional/{place}"), 300),
                ask(What::Forecast, format!("regional/intensity/{now}/fw48h/{place}"), 1800),
                ask(What::History, format!("regional/intensity/{now}/pt24h/{place}"), 6 * 3600),
            ],
        })
    }

    /// A half hour that has begun and has no actual value has the operator's own forecast of it, made minutes
    /// before: an estimate of what is. One that has not begun is a forecast.
    fn read(&self, _: What, _: &str, body: &[u8], now: Timestamp) -> Result<Answer, Garbage> {
        let told: Told = read::json(body)?;
        let parts = match (told.data, told.error) {
            (_, Some(error)) => return Err(Garbage::Refused(error.text())),
            (None, None) => return Err(Garbage::Form("it has neither data nor an error".into())),
            (Some(Parts::One(part)), None) => vec![*part],
            (Some(Parts::Many(parts)), None) => parts,
        };
        let mut points = Vec::new();
        for part in parts {
            for half_hour in self.half_hours(part)? {
                let (from, until) = (read::moment(&half_hour.from)?, read::moment(&half_hour.to)?);
                let told = &half_hour.intensity;
                let (grams, nature) = match (told.actual, told.forecast) {
                    (Some(actual), _) if from <= now => (actual, Nature::Measured),
                    (_, Some(forecast)) if from <= now => (forecast, Nature::Estimated),
                    (_, Some(forecast)) => (forecast, Nature::Forecast),
                    (_, None) => continue,
                };
                points.push(Point {
                    from,
                    until,
                    intensity: GramsPerKwh(grams),
                    nature,
                });
            }
        }
        if points.is_empty() {
            return Err(Garbage::Empty);
        }
        Ok(Answer {
            scope: Scope::Direct,
            points,
            of: None,
        })
    }
}

#[derive(Deserialize)]
struct Told {
    data: Option<Parts>,
    error: Option<Error>,
}

/// A list, but an object where a range of times of one region is asked for.
#[derive(Deserialize)]
#[serde(untagged)]
enum Parts {
    Many(Vec<Part>),
    One(Box<Part>),
}

/// A half hour of the whole, or a region with its half hours.
#[derive(Deserialize)]
struct Part {
    from: Option<String>,
    to: Option<String>,
    intensity: Option<Intensity>,
    #[serde(rename = "regionid")]
    region: Option<u8>,
    postcode: Option<String>,
    data: Option<Vec<HalfHour>>,
}

#[derive(Deserialize)]
struct HalfHour {
    from: String,
    to: String,
    intensity: Intensity,
}

#[derive(Deserialize)]
struct Intensity {
    forecast: Option<f64>,
    actual: Option<f64>,
}

#[derive(Deserialize)]
struct Error {
    code: Option<String>,
    message: Option<String>,
}

impl Error {
    fn text(self) -> String {
        let parts = [self.code, self.message].into_iter().flatten();
        read::short(&parts.collect::<Vec<_>>().join(": "))
    }
}
