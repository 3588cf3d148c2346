//! A PromQL query on a Prometheus, Thanos, Mimir or VictoriaMetrics that is there already.
//!
//! Source: Prometheus, "HTTP API", instant queries.

use super::own::{Step, TokenAs, Unit, Url, number};
use super::{Answer, Auth, Garbage, Manners, Provider, Request, What, read};
use crate::grid::series::{Nature, Point, Scope, Signal, after, before};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;

#[cfg(test)]
mod tests;

/// `type: prometheus`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The server, with its prefix where it has one.
    pub url: Url,
    /// The query: a scalar, or a vector of exactly one sample. `{zone}` in it is replaced by the zone,
    /// and is needed where there are several (or `zones`).
    pub query: String,
    /// A file with a token, where one is needed; sent as `Authorization: Bearer`.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// What the value is in.
    pub unit: Unit,
    /// How long a value is for, and so how often there is a new one.
    #[serde(default = "five_minutes")]
    pub step: Step,
    /// What the values count.
    pub factors: Scope,
    /// What the values answer.
    #[serde(default)]
    pub signal: Signal,
}

fn five_minutes() -> Step {
    Step::minutes(5)
}

pub(super) struct Prometheus(Config);

/// Makes the provider.
pub(super) fn open(config: &Config) -> Result<Prometheus, String> {
    if config.query.trim().is_empty() {
        return Err("prometheus: query is empty".to_owned());
    }
    Ok(Prometheus(config.clone()))
}

/// The server's clock and ours may differ by this, and a cache between may be as old.
const SKEW: Duration = Duration::from_secs(600);

impl Provider for Prometheus {
    fn name(&self) -> &'static str {
        "prometheus"
    }

    fn signal(&self) -> Signal {
        self.0.signal
    }

    fn manners(&self) -> Manners {
        Manners {
            apart: Duration::from_secs(1),
            lag: self.0.step.duration(),
            coarse: false,
        }
    }

    fn secret(&self) -> Option<&PathBuf> {
        self.0.token_file.as_ref()
    }

    fn tie(&self) -> Option<&'static str> {
        let is_tied = !self.0.query.contains("{zone}");
        is_tied.then_some("write {zone} into query, where the name of the zone stands")
    }

    fn requests(&self, zone: &str, _now: Timestamp) -> Result<Vec<Request>, String> {
        // As a label's value: no quote of it may end the query's string.
        let zone = zone.replace(
            |c: char| !(c.is_ascii_alphanumeric() || "-_".contains(c)),
            "_",
        );
        let query = read::escaped(&self.0.query.replace("{zone}", &zone));
        let url = format!(
            "{}/api/v1/query?query={query}",
            self.0.url.as_str().trim_end_matches('/')
        );
        let (header, before) = TokenAs::Bearer.header();
        Ok(vec![Request {
            auth: match self.0.token_file {
                Some(_) => Auth::Header(header, before),
                None => Auth::None,
            },
            ..Request::open(What::Latest, url, self.0.step.every())
        }])
    }

    fn read(&self, _: What, _: &str, body: &[u8], now: Timestamp) -> Result<Answer, Garbage> {
        let (at, value) = sample(body, now)?;
        let step = self.0.step.duration();
        let grams = self.0.unit.grams(value);
        let from = read::rounded(at, Duration::from_secs(60));
        Ok(Answer {
            scope: self.0.factors,
            points: vec![Point::lasting(from, step, grams, Nature::Measured)],
            of: None,
        })
    }
}

/// The one sample that an instant query answered, and the moment that it is for.
///
/// # Errors
/// Where there is none or more than one, where it is no number, or of another time.
pub fn sample(body: &[u8], now: Timestamp) -> Result<(Timestamp, f64), Garbage> {
    let told: Told = read::json(body)?;
    if told.status != "success" {
        let (kind, error) = (
            told.kind.unwrap_or_default(),
            told.error.unwrap_or_default(),
        );
        return Err(Garbage::Refused(read::short(&format!("{kind}: {error}"))));
    }
    let data = told
        .data
        .ok_or_else(|| Garbage::Form("it has no data".into()))?;
    let sample = match data.kind.as_str() {
        "scalar" => &data.result,
        "vector" => match data.result.as_array().map(Vec::as_slice) {
            Some([one]) => one.get("value").unwrap_or(&Value::Null),
            Some([]) => return Err(Garbage::Empty),
            Some(many) => {
                let error = format!(
                    "{} samples in place of one: sum or average them",
                    many.len()
                );
                return Err(Garbage::Form(error.into()));
            }
            None => return Err(Garbage::Form("its vector is none".into())),
        },
        other => {
            let error = format!(
                "a {:?} in place of a scalar or a vector of one",
                read::short(other)
            );
            return Err(Garbage::Form(error.into()));
        }
    };
    let Some([at, value]) = sample.as_array().map(Vec::as_slice) else {
        return Err(Garbage::Form("a sample is not a time and a value".into()));
    };
    let at = read::seconds(number(at)?)?;
    if at < before(now, SKEW) || at > after(now, SKEW) {
        return Err(Garbage::Form(
            format!("its sample is of {at}, which is not now").into(),
        ));
    }
    Ok((at, number(value)?))
}

#[derive(Deserialize)]
struct Told {
    status: String,
    #[serde(rename = "errorType")]
    kind: Option<String>,
    error: Option<String>,
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "resultType")]
    kind: String,
    result: Value,
}
