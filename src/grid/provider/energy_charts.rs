//! energy-charts.info of Fraunhofer ISE: countries of Europe, without a key.
//!
//! Source: the API's OpenAPI description of 2026. Values are of generation and life-cycle, about two hours
//! late; two requests a minute from one address are allowed.

use super::{Answer, Garbage, Manners, Provider, Request, What, read};
use crate::grid::series::{Nature, Scope, Signal};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// `type: energy-charts`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the API is.
    #[serde(default = "base")]
    pub base_url: String,
}

fn base() -> String {
    "https://api.energy-charts.info".to_owned()
}

pub(super) struct EnergyCharts(Config);

/// Makes the provider.
pub(super) fn open(config: &Config) -> Result<EnergyCharts, String> {
    Ok(EnergyCharts(config.clone()))
}

impl Provider for EnergyCharts {
    fn name(&self) -> &'static str {
        "energy-charts"
    }

    fn signal(&self) -> Signal {
        Signal::Average
    }

    fn manners(&self) -> Manners {
        Manners {
            apart: Duration::from_secs(31),
            lag: Duration::from_secs(3 * 3600),
            coarse: false,
        }
    }

    /// One answer holds the day so far and what is expected of the rest.
    fn requests(&self, zone: &str, _now: Timestamp) -> Result<Vec<Request>, String> {
        if zone.len() != 2 {
            return Err(format!(
                "energy-charts knows whole countries of Europe, such as DE, and not {zone:?}"
            ));
        }
        let base = self.0.base_url.trim_end_matches('/');
        let country = read::escaped(&zone.to_ascii_lowercase());
        let url = format!("{base}/co2eq?country={country}");
        Ok(vec![Request::open(What::Latest, url, Duration::from_secs(900))])
    }

    fn read(&self, _: What, _: &str, body: &[u8], _now: Timestamp) -> Result<Answer, Garbage> {
        let told: Told = read::json(body)?;
        let values = |grams: &[Option<f64>], nature| -> Vec<(Timestamp, f64, Nature)> {
            let both = told.unix_seconds.iter().zip(grams);
            let known = both.filter_map(|(at, grams)| Some((Timestamp::from_second(*at).ok()?, (*grams)?, nature)));
            known.collect()
        };
        let quarter = Duration::from_secs(900);
        let mut points = read::steps(values(&told.co2eq, Nature::Measured), quarter);
        points.extend(read::steps(values(&told.co2eq_forecast, Nature::Forecast), quarter));
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

/// Arrays side by side, with nulls.
#[derive(Deserialize)]
struct Told {
    unix_seconds: Vec<i64>,
    co2eq: Vec<Option<f64>>,
    #[serde(default)]
    co2eq_forecast: Vec<Option<f64>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider() -> EnergyCharts {
        open(&serde_yaml::from_str("{}").unwrap()).unwrap()
    }

    #[test]
    fn a_country_is_asked_for_and_nothing_smaller() {
        let all = provider().requests("DE", Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(all[0].url, "https://api.energy-charts.info/co2eq?country=de");
        assert!(provider().requests("US-CA", Timestamp::UNIX_EPOCH).is_err());
    }

    #[test]
    fn arrays_with_nulls_side_by_side() {
        let read = |body: &str| {
            let now = Timestamp::from_second(1_783_895_400).unwrap();
            provider().read(What::Latest, "DE", body.as_bytes(), now)
        };
        let answer = read(
            r#"{"unix_seconds":[1783893600,1783894500,1783895400],"co2eq":[491.5,null,null],
                "co2eq_forecast":[null,480,470.5],"deprecated":false}"#,
        );
        let told: Vec<(i64, i64, f64, Nature)> = answer
            .unwrap()
            .points
            .iter()
            .map(|p| (p.from.as_second(), p.until.as_second(), p.intensity.0, p.nature))
            .collect();
        assert_eq!(
            told,
            [
                (1_783_893_600, 1_783_894_500, 491.5, Nature::Measured),
                (1_783_894_500, 1_783_895_400, 480.0, Nature::Forecast),
                (1_783_895_400, 1_783_896_300, 470.5, Nature::Forecast),
            ]
        );
        let empty = r#"{"unix_seconds":[1],"co2eq":[null],"co2eq_forecast":[null]}"#;
        assert_eq!(read(empty), Err(Garbage::Empty));
        assert!(read("[]").is_err());
    }
}
