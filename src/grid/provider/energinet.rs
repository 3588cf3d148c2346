//! Energinet, the operator of Denmark's grid: its two price areas, with a forecast.
//!
//! Source: Energi Data Service, data sets `CO2Emis` and `CO2EmisProg`, of 2026. Values are of what is
//! consumed, imports included, and of what leaves the stacks (heat of the same plants by the 125 % method),
//! in g/kWh, each five minutes. `start` and `end` are Danish time unless asked otherwise, and stamps say no
//! zone: `timezone=UTC` and `Minutes5UTC` keep both out of the night in which an hour comes twice.

use super::{Answer, Garbage, Manners, Provider, Request, What, read};
use crate::grid::series::{Nature, Scope, Signal, before};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[cfg(test)]
mod tests;

/// `type: energinet`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the API is.
    #[serde(default = "base")]
    pub base_url: String,
}

fn base() -> String {
    "https://api.energidataservice.dk".to_owned()
}

pub(super) struct Energinet(Config);

/// Makes the provider.
pub(super) fn open(config: &Config) -> Result<Energinet, String> {
    Ok(Energinet(config.clone()))
}

fn area(zone: &str) -> Result<&'static str, String> {
    match zone.to_ascii_uppercase().as_str() {
        "DK-DK1" => Ok("DK1"),
        "DK-DK2" => Ok("DK2"),
        _ => Err(format!(
            "energinet knows DK-DK1 (west of the Great Belt) and DK-DK2 (east), and not {zone:?}"
        )),
    }
}

const STEP: Duration = Duration::from_secs(300);

const HOUR: Duration = Duration::from_secs(3600);

impl Provider for Energinet {
    fn name(&self) -> &'static str {
        "energinet"
    }

    fn signal(&self) -> Signal {
        Signal::Average
    }

    /// 40 requests in ten seconds, or five minutes of none. New values come every quarter of an hour or so.
    fn manners(&self) -> Manners {
        Manners {
            apart: Duration::from_secs(1),
            lag: Duration::from_secs(2400),
            coarse: false,
        }
    }

    fn requests(&self, zone: &str, now: Timestamp) -> Result<Vec<Request>, String> {
        let area = area(zone)?;
        let base = self.0.base_url.trim_end_matches('/');
        let filter = read::escaped(&format!("{{\"PriceArea\":[\"{area}\"]}}"));
        let ask = |what, set: &str, back: u32, rest: &str, every: u64| {
            let from = before(read::rounded(now, HOUR), back * HOUR).strftime("%Y-%m-%dT%H:%M");
            let url = format!("{base}/dataset/{set}?start={from}&timezone=UTC&filter={filter}&{rest}");
            Request::open(what, url, Duration::from_secs(every))
        };
        // Without a limit there are 100 rows.
        Ok(vec![
            ask(What::Latest, "CO2Emis", 3, "sort=Minutes5UTC%20desc&limit=48", 300),
            ask(What::Forecast, "CO2EmisProg", 0, "sort=Minutes5UTC%20asc&limit=600", 1800),
            ask(What::History, "CO2Emis", 8 * 24, "sort=Minutes5UTC%20desc&limit=2400", 12 * 3600),
        ])
    }

    fn read(&self, what: What, zone: &str, body: &[u8], _now: Timestamp) -> Result<Answer, Garbage> {
        let area = area(zone).map_err(|why| Garbage::Form(why.into()))?;
        let told: Told<'_> = read::json(body)?;
        let asked = match what {
            What::Forecast => "CO2EmisProg",
            What::Latest | What::History => "CO2Emis",
        };
        let Some(records) = told.records else {
            return Err(match told.message.or(told.detail) {
                Some(why) => Garbage::Refused(read::short(&why)),
                None => Garbage::Form("it has neither records nor a message".into()),
            });
        };
        if told.dataset.is_some_and(|set| !set.eq_ignore_ascii_case(asked)) {
            return Err(Garbage::Form("it is another data set".into()));
        }
        let nature = match what {
            What::Forecast => Nature::Forecast,
            What::Latest | What::History => Nature::Measured,
        };
        let mut values = Vec::new();
        for record in records {
            if record.area != area {
                let other = read::short(&record.area);
                return Err(Garbage::Form(format!("it is about the area {other:?}").into()));
            }
            let Some(told) = record.emission else { continue };
            let number = told.value();
            let grams = number.ok_or_else(|| Garbage::Form("an emission is no number".into()))?;
            values.push((read::moment(&record.from)?, grams, nature));
        }
        let points = read::steps(values, STEP);
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
struct Told<'a> {
    dataset: Option<String>,
    #[serde(borrow)]
    records: Option<Vec<Record<'a>>>,
    message: Option<String>,
    detail: Option<String>,
}

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(rename = "Minutes5UTC")]
    from: String,
    #[serde(rename = "PriceArea")]
    area: String,
    #[serde(rename = "CO2Emission", borrow)]
    emission: Option<read::Number<'a>>,
}
