//! Ember: the mean intensity of a country's generation over a year or a month.
//!
//! Source: Ember's API, v1 of 2026, and its methodology: life-cycle factors. About 215 countries by year,
//! some 88 by month. It is no live signal, and never becomes one. The answer repeats the query, key
//! included, so nothing of it is quoted.

use super::{Answer, Auth, Garbage, Manners, Provider, Request, What, read};
use crate::grid::series::{Nature, Point, Scope, Signal};
use crate::units::GramsPerKwh;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

mod countries;
#[cfg(test)]
mod tests;

/// `type: ember`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A file with the API's key.
    pub token_file: PathBuf,
    /// Where the API is.
    #[serde(default = "base")]
    pub base_url: String,
    /// `yearly`, or `monthly` where Ember has it: newer, and with the season in it.
    #[serde(default)]
    pub resolution: Resolution,
    /// Ember's entities of zones that are no countries, such as `{DK-DK1: DNK}`.
    #[serde(default)]
    pub entities: BTreeMap<String, String>,
}

/// How long a mean is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Resolution {
    /// A year.
    #[default]
    Yearly,
    /// A month.
    Monthly,
}

fn base() -> String {
    "https://api.ember-energy.org".to_owned()
}

pub(super) struct Ember(Config);

/// Makes the provider.
pub(super) fn open(config: &Config) -> Result<Ember, String> {
    let is_code = |code: &str| code.len() == 3 && code.bytes().all(|b| b.is_ascii_uppercase());
    if let Some(slip) = config.entities.values().find(|code| !is_code(code)) {
        return Err(format!(
            "ember: {slip:?} is no code of a country of three capitals, such as DNK"
        ));
    }
    Ok(Ember(config.clone()))
}

const DAY: Duration = Duration::from_secs(86400);

impl Ember {
    fn entity(&self, zone: &str) -> Result<&str, String> {
        let own = read::named(&self.0.entities, zone);
        own.or_else(|| countries::three_letters(zone)).ok_or_else(|| {
            format!(
                "ember knows countries, such as DE, and not {zone:?}; for the mean of the country that it \
                 is in, set entities: {{{zone}: CODE}} to the country's code of three letters"
            )
        })
    }

    /// The span that a date names: `2024`, or `2024-05` with or without a day.
    fn span(&self, text: &str) -> Option<(Timestamp, Timestamp)> {
        let number = |part: &str| -> Option<i16> {
            let is_number = part.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| part.parse().ok()).flatten()
        };
        let parts: Option<Vec<i16>> = text.split('-').map(number).collect();
        let (from, length) = match (self.0.resolution, parts?.as_slice()) {
            (Resolution::Yearly, [year] | [year, 1] | [year, 1, 1]) => {
                (first(*year, 1)?, Span::new().years(1))
            }
            (Resolution::Monthly, [year, month] | [year, month, 1]) => {
                (first(*year, *month)?, Span::new().months(1))
            }
            _ => return None,
        };
        let to = from.checked_add(length).ok()?;
        let begin = |date: Date| TimeZone::UTC.to_timestamp(date.at(0, 0, 0, 0)).ok();
        Some((begin(from)?, begin(to)?))
    }
}

fn first(year: i16, month: i16) -> Option<Date> {
    Date::new(year, i8::try_from(month).ok()?, 1).ok()
}

impl Provider for Ember {
    fn name(&self) -> &'static str {
        "ember"
    }

    fn signal(&self) -> Signal {
        Signal::Average
    }

    /// A year's mean is there in the year after it, of some countries in the one after that; a month's within
    /// some months.
    fn manners(&self) -> Manners {
        Manners {
            apart: Duration::from_secs(2),
            lag: match self.0.resolution {
                Resolution::Yearly => 731 * DAY,
                Resolution::Monthly => 184 * DAY,
            },
            coarse: true,
        }
    }

    fn secret(&self) -> Option<&PathBuf> {
        Some(&self.0.token_file)
    }

    fn requests(&self, zone: &str, now: Timestamp) -> Result<Vec<Request>, String> {
        let entity = self.entity(zone)?;
        let base = self.0.base_url.trim_end_matches('/');
        let year = TimeZone::UTC.to_datetime(now).year();
        let (kind, from) = match self.0.resolution {
            Resolution::Yearly => ("yearly", format!("{}", year - 4)),
            Resolution::Monthly => ("monthly", format!("{}-01", year - 1)),
        };
        let url = format!("{base}/v1/carbon-intensity/{kind}?entity_code={entity}&start_date={from}");
        Ok(vec![Request {
            auth: Auth::Query("api_key"),
            ..Request::open(What::Latest, url, DAY)
        }])
    }

    /// A mean of what is not over is none yet.
    fn read(&self, _: What, zone: &str, body: &[u8], now: Timestamp) -> Result<Answer, Garbage> {
        let entity = self.entity(zone).map_err(|why| Garbage::Form(why.into()))?;
        let told: Told = read::json(body)?;
        let Some(data) = told.data else {
            return Err(Garbage::Refused(
                "no data, and a reason that may hold the key and is not shown".to_owned(),
            ));
        };
        let mut points = Vec::new();
        for row in data {
            if row.is_aggregate == Some(true) || row.entity.as_deref() != Some(entity) {
                return Err(Garbage::Form("it is about another entity".into()));
            }
            let Some(grams) = row.intensity else { continue };
            let span = self.span(&row.date);
            let (from, until) = span.ok_or_else(|| {
                Garbage::Form("a date is not of the resolution asked for".into())
            })?;
            if until <= now {
                points.push(Point {
                    from,
                    until,
                    intensity: GramsPerKwh(grams),
                    nature: Nature::Measured,
                });
            }
        }
        if points.is_empty() {
            return Err(Garbage::Empty);
        }
        Ok(Answer {
            scope: Scope::Lifecycle,
            points,
            of: None,
        })
    }
}

#[derive(Deserialize)]
struct Told {
    data: Option<Vec<Row>>,
}

#[derive(Deserialize)]
struct Row {
    #[serde(rename = "entity_code")]
    entity: Option<String>,
    #[serde(rename = "is_aggregate_entity")]
    is_aggregate: Option<bool>,
    date: String,
    #[serde(rename = "emissions_intensity_gco2_per_kwh")]
    intensity: Option<f64>,
}
