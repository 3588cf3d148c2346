//! The US Energy Information Administration: what each balancing authority generates in an hour, by fuel.
//!
//! Source: EIA's Open Data API v2, route `electricity/rto/fuel-type-data`, and the instructions of form
//! EIA-930. It tells no grams: intensity is the mix times [`super::mix`]'s factors, of generation,
//! without imports.

use super::mix::{Fuel, Generation};
use super::{Answer, Auth, Garbage, Manners, Provider, Request, What, read};
use crate::grid::series::{Scope, Signal, before};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

#[cfg(test)]
mod tests;

/// `type: eia`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A file with the API's key.
    pub token_file: PathBuf,
    /// Where the API is.
    #[serde(default = "base")]
    pub base_url: String,
    /// Its code of the balancing authority (such as `CISO`) or region (`CAL`, `US48`), where it is not the
    /// end of the zone's name; where there are several zones, with `zones`.
    #[serde(default)]
    pub respondent: Option<Respondent>,
}

fn base() -> String {
    "https://api.eia.gov".to_owned()
}

/// A code of two to four capitals and digits.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Respondent(String);

impl TryFrom<String> for Respondent {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        if is_code(&text) {
            return Ok(Self(text));
        }
        Err(format!(
            "{text:?} is no respondent of EIA: two to four capitals or digits, such as CISO"
        ))
    }
}

impl From<Respondent> for String {
    fn from(respondent: Respondent) -> Self {
        respondent.0
    }
}

fn is_code(text: &str) -> bool {
    (2..=4).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

pub(super) struct Eia(Config);

/// Makes the provider.
pub(super) fn open(config: &Config) -> Result<Eia, String> {
    Ok(Eia(config.clone()))
}

const HOUR: Duration = Duration::from_secs(3600);

/// A day, so that a night can be compared with the one before, and the authorities that report daily.
const LATEST: Duration = Duration::from_secs(60 * 3600);

const HISTORY: Duration = Duration::from_secs(8 * 86400);

/// More rows than this are cut off without a word.
const MOST: usize = 5000;

/// The parts of the country in the names of zones. A zone of three parts ends with the respondent's code.
const PARTS: [&str; 13] = [
    "CAL", "CAR", "CENT", "FLA", "MIDA", "MIDW", "NE", "NW", "NY", "SE", "SW", "TEN", "TEX",
];

impl Eia {
    fn respondent(&self, zone: &str) -> Result<String, String> {
        if let Some(own) = &self.0.respondent {
            return Ok(own.0.clone());
        }
        let upper = zone.to_ascii_uppercase();
        match upper.split('-').collect::<Vec<_>>().as_slice() {
            ["US", part, code] if PARTS.contains(part) && is_code(code) => Ok((*code).to_owned()),
            _ => Err(format!(
                "eia knows balancing authorities, such as US-CAL-CISO, US-TEX-ERCO, US-MIDA-PJM or \
                 US-NW-BPAT, and not {zone:?}; for others set respondent to EIA's code"
            )),
        }
    }
}

impl Provider for Eia {
    fn name(&self) -> &'static str {
        "eia"
    }

    fn signal(&self) -> Signal {
        Signal::Average
    }

    /// About 9000 requests an hour. Authorities report an hour after its end and EIA publishes within
    /// another; some report daily, and their values are seldom live.
    fn manners(&self) -> Manners {
        Manners {
            apart: Duration::from_secs(1),
            lag: 3 * HOUR,
            coarse: false,
        }
    }

    fn secret(&self) -> Option<&PathBuf> {
        Some(&self.0.token_file)
    }

    fn tie(&self) -> Option<&'static str> {
        self.0
            .respondent
            .is_some()
            .then_some("leave respondent out where it is the end of the zone's name")
    }

    fn requests(&self, zone: &str, now: Timestamp) -> Result<Vec<Request>, String> {
        let respondent = self.respondent(zone)?;
        let base = self.0.base_url.trim_end_matches('/');
        let ask = |what, back, every| {
            let from = before(read::rounded(now, HOUR), back).strftime("%Y-%m-%dT%H");
            let url = format!(
                "{base}/v2/electricity/rto/fuel-type-data/data/?frequency=hourly&data%5B0%5D=value\
                 &facets%5Brespondent%5D%5B%5D={respondent}&start={from}\
                 &sort%5B0%5D%5Bcolumn%5D=period&sort%5B0%5D%5Bdirection%5D=desc&length={MOST}"
            );
            Request {
                auth: Auth::Query("api_key"),
                ..Request::open(what, url, Duration::from_secs(every))
            }
        };
        Ok(vec![
            ask(What::Latest, LATEST, 900),
            ask(What::History, HISTORY, 12 * 3600),
        ])
    }

    fn read(&self, _: What, zone: &str, body: &[u8], now: Timestamp) -> Result<Answer, Garbage> {
        let respondent = self
            .respondent(zone)
            .map_err(|error| Garbage::Form(error.into()))?;
        let told: Told<'_> = read::json(body)?;
        if let Some(error) = told.error {
            return Err(Garbage::Refused(reason(&error)));
        }
        let Some(response) = told.response else {
            return Err(Garbage::Form("it has neither response nor error".into()));
        };
        if response
            .frequency
            .is_some_and(|frequency| frequency != "hourly")
        {
            return Err(Garbage::Form(
                "its values are not hourly, or not in UTC".into(),
            ));
        }
        let is_cut = response.data.len() >= MOST;
        let mut generation = Generation::default();
        let mut hours = BTreeSet::new();
        for row in response.data.iter().take(MOST) {
            if row.respondent != respondent {
                let other = read::short(&row.respondent);
                return Err(Garbage::Form(
                    format!("it is about respondent {other:?}").into(),
                ));
            }
            if !row.units.eq_ignore_ascii_case("megawatthours") {
                return Err(Garbage::Unit(read::short(&row.units)));
            }
            // A period is named by its end: form EIA-930 is of hours ending.
            let from = before(read::moment(&row.period)?, HOUR);
            hours.insert(from);
            let (Some(fuel), Some(value)) = (fuel(&row.fuel), row.value) else {
                continue;
            };
            let amount = value.value().filter(|amount| amount.is_finite());
            let amount = amount.ok_or_else(|| Garbage::Form("a value is no number".into()))?;
            generation.add(from, &row.fuel, fuel, amount);
        }
        if let Some(oldest) = hours.first().filter(|_| is_cut) {
            generation.drop_step(*oldest);
        }
        Ok(Answer {
            scope: Scope::Lifecycle,
            points: generation.points(HOUR, now)?,
            of: None,
        })
    }
}

/// What a code stands for. Storage is left out: batteries (BAT), pumped storage (PS), other (OES) and
/// unknown (UES). `SNB` and `WNB` are sun and wind with a battery of their own.
fn fuel(code: &str) -> Option<Fuel> {
    Some(match code {
        "COL" => Fuel::Coal,
        "NG" => Fuel::Gas,
        "OIL" => Fuel::Oil,
        "NUC" => Fuel::Nuclear,
        "WAT" => Fuel::Hydro,
        "SUN" | "SNB" => Fuel::Solar,
        "WND" | "WNB" => Fuel::Wind,
        "GEO" => Fuel::Geothermal,
        "BIO" => Fuel::Biomass,
        "BAT" | "PS" | "OES" | "UES" => return None,
        _ => Fuel::Unknown,
    })
}

/// What an error says: a text, or an object with `message`.
fn reason(error: &serde_json::Value) -> String {
    let text = error.as_str().or_else(|| error.get("message")?.as_str());
    read::short(text.unwrap_or("an error without a message"))
}

#[derive(Deserialize)]
struct Told<'a> {
    #[serde(borrow)]
    response: Option<Response<'a>>,
    error: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Response<'a> {
    frequency: Option<String>,
    #[serde(borrow)]
    data: Vec<Row<'a>>,
}

#[derive(Deserialize)]
struct Row<'a> {
    period: String,
    respondent: String,
    #[serde(rename = "fueltype")]
    fuel: String,
    #[serde(borrow)]
    value: Option<read::Number<'a>>,
    #[serde(rename = "value-units")]
    units: String,
}
