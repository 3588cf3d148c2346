//! Open Electricity (once OpenNEM): the regions of Australia's two markets.
//!
//! Source: its API's documentation and the server's public source, v4 of 2026. For each interval and kind
//! of plants it tells the energy that was sent out (MWh in the interval) and the emissions of that energy
//! (tonnes in the interval, by each facility's scope 1 factor); so intensity is of generation and direct. Its
//! data are for non-commercial use (CC BY-NC 4.0).

use super::mix::Generation;
use super::{Answer, Auth, Garbage, Manners, Provider, Request, What, read};
use crate::grid::series::{Scope, Signal, before};
use jiff::Timestamp;
use jiff::tz::Offset;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

#[cfg(test)]
mod tests;

/// `type: open-electricity`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A file with the API's key.
    pub token_file: PathBuf,
    /// Where the API is.
    #[serde(default = "base")]
    pub base_url: String,
}

fn base() -> String {
    "https://api.openelectricity.org.au".to_owned()
}

pub(super) struct OpenElectricity(Config);

/// Makes the provider.
pub(super) fn open(config: &Config) -> Result<OpenElectricity, String> {
    Ok(OpenElectricity(config.clone()))
}

/// A market, and its region. The Capital Territory is in the region of New South Wales.
fn region(zone: &str) -> Result<(&'static str, &'static str), String> {
    Ok(match zone.to_ascii_uppercase().as_str() {
        "AU-NSW" | "AU-ACT" => ("NEM", "NSW1"),
        "AU-QLD" => ("NEM", "QLD1"),
        "AU-SA" => ("NEM", "SA1"),
        "AU-TAS" => ("NEM", "TAS1"),
        "AU-VIC" => ("NEM", "VIC1"),
        "AU-WA" => ("WEM", "WEM"),
        _ => {
            return Err(format!(
                "open-electricity knows AU-NSW, AU-ACT, AU-QLD, AU-SA, AU-TAS, AU-VIC and AU-WA, and not \
                 {zone:?}"
            ));
        }
    })
}

const HOUR: Duration = Duration::from_secs(3600);

impl Provider for OpenElectricity {
    fn name(&self) -> &'static str {
        "open-electricity"
    }

    fn signal(&self) -> Signal {
        Signal::Average
    }

    /// Two requests a second, and 500 a day on the free plan: every ten minutes is a third of that. The
    /// eastern market is there ten minutes late; the western a day, so that it is never live.
    fn manners(&self) -> Manners {
        Manners {
            apart: Duration::from_secs(2),
            lag: Duration::from_secs(2400),
            coarse: false,
        }
    }

    fn secret(&self) -> Option<&PathBuf> {
        Some(&self.0.token_file)
    }

    fn requests(&self, zone: &str, now: Timestamp) -> Result<Vec<Request>, String> {
        let (market, region) = region(zone)?;
        let is_west = market == "WEM";
        // Market time all year: there is no daylight saving. The API refuses times with an offset.
        let time = Offset::constant(if is_west { 8 } else { 10 });
        let base = self.0.base_url.trim_end_matches('/');
        let ask = |what, interval, back: u32, every: u64| {
            let from = before(read::rounded(now, HOUR), back * HOUR);
            let from = time.to_datetime(from).strftime("%Y-%m-%dT%H:%M:%S");
            let from = read::escaped(&from.to_string());
            let url = format!(
                "{base}/v4/data/network/{market}?metrics=energy&metrics=emissions&interval={interval}\
                 &network_region={region}&primary_grouping=network_region\
                 &secondary_grouping=fueltech&date_start={from}"
            );
            Request {
                auth: Auth::Header("authorization", "Bearer "),
                ..Request::open(what, url, Duration::from_secs(every))
            }
        };
        let latest = if is_west {
            ask(What::Latest, "5m", 60, 3600)
        } else {
            ask(What::Latest, "5m", 30, 600)
        };
        Ok(vec![latest, ask(What::History, "1h", 8 * 24, 12 * 3600)])
    }

    fn read(&self, _: What, zone: &str, body: &[u8], now: Timestamp) -> Result<Answer, Garbage> {
        let (market, region) = region(zone).map_err(|error| Garbage::Form(error.into()))?;
        let told: Told = read::json(body)?;
        if told.success == Some(false) || told.data.is_none() {
            return Err(match told.error.or(told.detail) {
                Some(error) => Garbage::Refused(reason(&error)),
                None => Garbage::Form("it has neither data nor an error".into()),
            });
        }
        let all = told.data.unwrap_or_default();
        let energy = sum(&all, "energy", "MWh", (market, region))?;
        let emissions = sum(&all, "emissions", "t", (market, region))?;
        let intervals = all.iter().map(|series| series.interval.as_str());
        let step = match intervals.collect::<Vec<_>>().as_slice() {
            ["5m", rest @ ..] if rest.iter().all(|other| *other == "5m") => 300,
            ["1h", rest @ ..] if rest.iter().all(|other| *other == "1h") => 3600,
            [] => return Err(Garbage::Empty),
            _ => return Err(Garbage::Form("its interval is neither 5m nor 1h".into())),
        };
        let mut generation = Generation::default();
        let mut partial = Vec::new();
        for ((from, plants), megawatt_hours) in &energy {
            let tonnes = match emissions.get(&(*from, plants)) {
                Some(tonnes) => *tonnes,
                None if *megawatt_hours <= 0.0 => 0.0,
                None => {
                    partial.push(*from);
                    continue;
                }
            };
            // At the newest interval emissions may be 0 that are not known yet.
            if plants.starts_with("coal") && *megawatt_hours > 0.0 && tonnes <= 0.0 {
                partial.push(*from);
                continue;
            }
            // Tonnes in a MWh are thousands of grams in a kWh.
            let grams = if *megawatt_hours > 0.0 {
                tonnes * 1000.0 / megawatt_hours
            } else {
                0.0
            };
            let is_solar = plants.starts_with("solar");
            generation.add_known(*from, plants, (*megawatt_hours, grams), is_solar);
        }
        for from in partial {
            generation.drop_step(from);
        }
        Ok(Answer {
            scope: Scope::Direct,
            points: generation.points(Duration::from_secs(step), now)?,
            of: None,
        })
    }
}

type Amounts<'a> = BTreeMap<(Timestamp, &'a str), f64>;

/// What each kind of plants did in each interval, but for storage, which gives back what it took.
fn sum<'a>(
    all: &'a [Series],
    metric: &str,
    unit: &str,
    (market, region): (&str, &str),
) -> Result<Amounts<'a>, Garbage> {
    let mut amounts = Amounts::new();
    for series in all.iter().filter(|series| series.metric == metric) {
        if series.unit != unit {
            return Err(Garbage::Unit(read::short(&series.unit)));
        }
        if series.network_code != market {
            let other = read::short(&series.network_code);
            return Err(Garbage::Form(
                format!("it is about the market {other:?}").into(),
            ));
        }
        for result in &series.results {
            if result
                .columns
                .region
                .as_deref()
                .is_some_and(|told| told != region)
            {
                return Err(Garbage::Form("it is about another region".into()));
            }
            let Some(plants) = result.columns.fueltech.as_deref() else {
                return Err(Garbage::Form("a series does not say its fueltech".into()));
            };
            let is_storage = plants.starts_with("battery") || plants == "pumps";
            let is_flow = plants == "imports" || plants == "exports";
            if is_storage || is_flow {
                continue;
            }
            for (at, amount) in &result.data {
                let Some(amount) = amount else { continue };
                let at = read::moment(at)?;
                amounts.insert((at, plants), *amount);
            }
        }
    }
    Ok(amounts)
}

fn reason(error: &serde_json::Value) -> String {
    read::short(error.as_str().unwrap_or("an error without a message"))
}

#[derive(Deserialize)]
struct Told {
    success: Option<bool>,
    error: Option<serde_json::Value>,
    detail: Option<serde_json::Value>,
    data: Option<Vec<Series>>,
}

#[derive(Deserialize)]
struct Series {
    network_code: String,
    metric: String,
    unit: String,
    interval: String,
    results: Vec<Plants>,
}

#[derive(Deserialize)]
struct Plants {
    columns: Columns,
    data: Vec<(String, Option<f64>)>,
}

#[derive(Deserialize)]
struct Columns {
    region: Option<String>,
    fueltech: Option<String>,
}
