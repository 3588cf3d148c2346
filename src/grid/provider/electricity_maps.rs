//! Electricity Maps: flow-traced intensity of consumption, for most of the world.
//!
//! Source: the API's documentation, v3 and v4, of 2026. Without a zone it would look up where the caller
//! is; a zone is always sent, and that look-up is forbidden besides.

use super::{Answer, Auth, Garbage, Manners, Provider, Request, What, read};
use crate::grid::series::{Nature, Point, Scope, Signal};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// `type: electricity-maps`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A file with the API's token.
    pub token_file: PathBuf,
    /// Where the API is.
    #[serde(default = "base")]
    pub base_url: String,
    /// Version of the API.
    #[serde(default)]
    pub version: Version,
    /// What its values count.
    #[serde(default = "lifecycle")]
    pub factors: Scope,
    /// Whether forecasts are asked for too; not every account has them.
    #[serde(default)]
    pub forecast: bool,
}

/// Version of the API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Version {
    /// The one before.
    V3,
    /// Current since 2026.
    #[default]
    V4,
}

fn base() -> String {
    "https://api.electricitymaps.com".to_owned()
}

fn lifecycle() -> Scope {
    Scope::Lifecycle
}

pub(super) struct ElectricityMaps(Config);

/// Makes the provider.
pub(super) fn open(config: &Config) -> Result<ElectricityMaps, String> {
    Ok(ElectricityMaps(config.clone()))
}

impl Provider for ElectricityMaps {
    fn name(&self) -> &'static str {
        "electricity-maps"
    }

    fn signal(&self) -> Signal {
        Signal::Average
    }

    /// 150 requests a minute at most; an hour's value is there within the hour, and now and then an hour
    /// late.
    fn manners(&self) -> Manners {
        Manners {
            apart: Duration::from_secs(1),
            lag: Duration::from_secs(3600),
            coarse: false,
        }
    }

    fn secret(&self) -> Option<&PathBuf> {
        Some(&self.0.token_file)
    }

    fn requests(&self, zone: &str, _now: Timestamp) -> Result<Vec<Request>, String> {
        let ask = |what: What, path: &str, every| {
            let version = match self.0.version {
                Version::V3 => "v3",
                Version::V4 => "v4",
            };
            let (base, factors) = (self.0.base_url.trim_end_matches('/'), self.0.factors.label());
            let url = format!(
                "{base}/{version}/carbon-intensity/{path}?zone={}&emissionFactorType={factors}\
                 &shouldUseFallbackCallerLookup=false",
                read::escaped(zone)
            );
            Request {
                auth: Auth::Header("auth-token", ""),
                ..Request::open(what, url, Duration::from_secs(every))
            }
        };
        let mut all = vec![
            ask(What::Latest, "latest", 300),
            ask(What::History, "history", 6 * 3600),
        ];
        if self.0.forecast {
            // Without it there is a day.
            let mut two_days = ask(What::Forecast, "forecast", 3600);
            two_days.url.push_str("&horizonHours=48");
            all.push(two_days);
        }
        Ok(all)
    }

    fn read(&self, what: What, zone: &str, body: &[u8], _now: Timestamp) -> Result<Answer, Garbage> {
        let answer: Told = read::json(body)?;
        if !answer.zone.eq_ignore_ascii_case(zone) {
            let other = read::short(&answer.zone);
            return Err(Garbage::Form(format!("it is about zone {other:?}").into()));
        }
        let common = answer.own.granularity.clone();
        let values = match what {
            What::Latest => vec![answer.own],
            What::Forecast => answer.forecast,
            What::History => answer.history,
        };
        let factors = self.0.factors;
        let mut points = Vec::new();
        for value in values {
            let (Some(grams), Some(from)) = (value.intensity, value.datetime.as_deref()) else {
                continue;
            };
            if value.method.as_deref() == Some(SANDBOX) {
                let why = "the token is a sandbox's, whose values are made up: give one of a real account";
                return Err(Garbage::Refused(why.to_owned()));
            }
            if value.factors.is_some_and(|counted| counted != factors) {
                return Err(Garbage::Form("its emissionFactorType is not the one asked for".into()));
            }
            let nature = match (what, value.is_estimated) {
                (What::Forecast, _) => Nature::Forecast,
                (_, Some(true)) => Nature::Estimated,
                (_, _) => Nature::Measured,
            };
            let granularity = value.granularity.as_ref().or(common.as_ref());
            let time = match granularity.map(String::as_str) {
                Some("5_minutes") => 300,
                Some("15_minutes") => 900,
                _ => 3600,
            };
            let time = Duration::from_secs(time);
            points.push(Point::lasting(read::moment(from)?, time, grams, nature));
        }
        if points.is_empty() {
            return Err(Garbage::Empty);
        }
        Ok(Answer {
            scope: factors,
            points,
            of: None,
        })
    }
}

/// The `estimationMethod` of what is answered to a token for trying the API out.
const SANDBOX: &str = "SANDBOX_MODE_DATA";

/// Any of the three answers.
#[derive(Deserialize)]
struct Told {
    zone: String,
    #[serde(flatten)]
    own: Value,
    #[serde(default)]
    forecast: Vec<Value>,
    #[serde(default)]
    history: Vec<Value>,
}

#[derive(Deserialize)]
struct Value {
    #[serde(rename = "carbonIntensity")]
    intensity: Option<f64>,
    datetime: Option<String>,
    #[serde(rename = "isEstimated")]
    is_estimated: Option<bool>,
    #[serde(rename = "estimationMethod")]
    method: Option<String>,
    #[serde(rename = "emissionFactorType")]
    factors: Option<Scope>,
    #[serde(rename = "temporalGranularity")]
    granularity: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider(version: &str) -> ElectricityMaps {
        let config = format!("{{token_file: /t, version: {version}, forecast: true}}");
        open(&serde_yaml::from_str(&config).unwrap()).unwrap()
    }

    fn told(what: What, body: &str) -> Result<Vec<(String, f64, Nature)>, Garbage> {
        let now = "2025-10-17T11:30:00Z".parse().unwrap();
        let answer = provider("v4").read(what, "AT", body.as_bytes(), now)?;
        assert_eq!(answer.scope, Scope::Lifecycle);
        let point = |p: &Point| (format!("{}..{}", p.from, p.until), p.intensity.0, p.nature);
        Ok(answer.points.iter().map(point).collect())
    }

    #[test]
    fn what_is_asked_names_the_zone_and_forbids_to_guess_one() {
        let now = Timestamp::UNIX_EPOCH;
        let all = provider("v3").requests("US-CAL CISO", now).unwrap();
        assert_eq!(all.len(), 3);
        for request in &all {
            assert!(request.url.starts_with("https://api.electricitymaps.com/v3/carbon-intensity/"));
            assert!(request.url.contains("zone=US-CAL%20CISO&"), "{}", request.url);
            assert!(request.url.contains("&shouldUseFallbackCallerLookup=false"));
            assert_eq!(request.url.ends_with("&horizonHours=48"), request.what == What::Forecast);
            assert_eq!(request.auth, Auth::Header("auth-token", ""));
        }
    }

    #[test]
    fn the_latest_value_with_its_flag() {
        let body = r#"{"zone":"AT","carbonIntensity":245,"datetime":"2025-10-17T11:00:00.000Z",
            "updatedAt":"2025-10-17T10:39:53.914Z","emissionFactorType":"lifecycle","isEstimated":true,
            "estimationMethod":"TIME_SLICER_AVERAGE","temporalGranularity":"hourly"}"#;
        let span = "2025-10-17T11:00:00Z..2025-10-17T12:00:00Z".to_owned();
        assert_eq!(told(What::Latest, body).unwrap(), [(span, 245.0, Nature::Estimated)]);
        let five = body.replace("hourly", "5_minutes").replace("true", "false");
        let span = "2025-10-17T11:00:00Z..2025-10-17T11:05:00Z".to_owned();
        assert_eq!(told(What::Latest, &five).unwrap(), [(span, 245.0, Nature::Measured)]);
        let none = body.replace("245", "null");
        assert_eq!(told(What::Latest, &none), Err(Garbage::Empty));
        let direct = body.replace("lifecycle", "direct");
        assert!(told(What::Latest, &direct).is_err());
        let sandbox = body.replace("TIME_SLICER_AVERAGE", "SANDBOX_MODE_DATA");
        let error = told(What::Latest, &sandbox).unwrap_err().to_string();
        assert!(error.contains("made up") && error.contains("real account"), "{error}");
        let other = body.replace("\"AT\"", "\"DE\"");
        assert!(told(What::Latest, &other).unwrap_err().to_string().contains("DE"));
    }

    #[test]
    fn forecast_and_history() {
        let body = r#"{"zone":"AT","forecast":[
            {"carbonIntensity":326,"datetime":"2025-10-17T12:00:00.000Z"},
            {"carbonIntensity":null,"datetime":"2025-10-17T13:00:00.000Z"}],
            "updatedAt":"2025-10-17T11:25:24.685Z"}"#;
        let span = "2025-10-17T12:00:00Z..2025-10-17T13:00:00Z".to_owned();
        assert_eq!(told(What::Forecast, body).unwrap(), [(span.clone(), 326.0, Nature::Forecast)]);
        let history = body.replace("forecast", "history");
        assert_eq!(told(What::History, &history).unwrap(), [(span, 326.0, Nature::Measured)]);
    }
}
