//! WattTime: what one more kWh emits (`co2_moer`), or the average (`co2_aoer`), of regions all over the world.
//!
//! Source: the documentation of its API, v3 of 2026, and its guide for those who come from v2. Values are of
//! what leaves the stacks, in pounds of CO2 for each MWh. The first point of a forecast is the moment's
//! value, at most five minutes old; `historical` tells the same moment better, some time later. The page
//! `signal-index` tells a percentile, which is no intensity, and is not asked for.

use super::{Answer, Auth, Garbage, Manners, Provider, Request, What, read};
use crate::grid::series::{Nature, Scope, Signal, after, before};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

#[cfg(test)]
mod tests;

/// `type: watttime`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A YAML file with the account's `username` and `password`.
    pub credentials_file: PathBuf,
    /// Where the API is.
    #[serde(default = "base")]
    pub base_url: String,
    /// Which of its signals: `co2_moer` (marginal, with a forecast) or `co2_aoer` (average, only of what was).
    #[serde(default)]
    pub signal: Kind,
    /// WattTime's regions of zones, such as `{US-CAL-CISO: CAISO_NORTH}`; needed where a zone is not
    /// one region of its own.
    #[serde(default)]
    pub regions: BTreeMap<String, String>,
}

/// A signal of WattTime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum Kind {
    /// Marginal operating emissions rate.
    #[default]
    #[serde(rename = "co2_moer")]
    Moer,
    /// Average operating emissions rate.
    #[serde(rename = "co2_aoer")]
    Aoer,
}

impl Kind {
    /// Its value of `signal_type`.
    fn code(self) -> &'static str {
        match self {
            Self::Moer => "co2_moer",
            Self::Aoer => "co2_aoer",
        }
    }
}

fn base() -> String {
    "https://api.watttime.org".to_owned()
}

pub(super) struct WattTime(Config);

/// Makes the provider.
pub(super) fn open(config: &Config) -> Result<WattTime, String> {
    let is_region = |name: &str| {
        let mut bytes = name.bytes();
        !name.is_empty() && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    if let Some(slip) = config.regions.values().find(|name| !is_region(name)) {
        return Err(format!(
            "watttime: {slip:?} is no region of WattTime, such as CAISO_NORTH"
        ));
    }
    Ok(WattTime(config.clone()))
}

/// Zones that are one region of `co2_moer` each, as the Green Software Foundation's table of cloud regions
/// (real-time-cloud, of 2025) pairs them, without its slips. Where it pairs a zone with several, as with
/// California, Texas, PJM and MISO, or several zones with one, the site must say which.
const REGIONS: [(&str, &str); 33] = [
    ("AE", "ARE"),
    ("AT", "AT"),
    ("AU-NSW", "NEM_NSW"),
    ("AU-VIC", "NEM_VIC"),
    ("BE", "BE"),
    ("BH", "BHR"),
    ("CA-QC", "HQ"),
    ("CH", "CH"),
    ("DE", "DE"),
    ("ES", "ES"),
    ("FI", "FI"),
    ("FR", "FR"),
    ("GB", "UK"),
    ("GR", "GR"),
    ("HK", "HKG"),
    ("ID", "IDN"),
    ("IE", "IE"),
    ("IL", "ISR"),
    ("JP-KN", "JP_KN"),
    ("JP-TK", "JP_TK"),
    ("KR", "KOR"),
    ("NL", "NL"),
    ("NZ", "NZL"),
    ("PL", "PL"),
    ("SA", "SAU"),
    ("SE", "SE"),
    ("SG", "SGP"),
    ("TW", "TWN"),
    ("US-NW-BPAT", "BPA"),
    ("US-NW-NEVP", "NEVP"),
    ("US-NW-PACE", "PACE"),
    ("US-SE-SOCO", "SOCO"),
    ("ZA", "ZAF"),
];

const PERIOD: Duration = Duration::from_secs(300);

const HOUR: Duration = Duration::from_secs(3600);

/// A token is good for 30 minutes.
const LASTS: Duration = Duration::from_secs(1800);

impl WattTime {
    fn region(&self, zone: &str) -> Result<&str, String> {
        if let Some(own) = read::named(&self.0.regions, zone) {
            return Ok(own);
        }
        // The regions of the average are others, of which no table is known but this one from the guide.
        let known: &[(&str, &str)] = match self.0.signal {
            Kind::Moer => &REGIONS,
            Kind::Aoer => &[("US-CAL-CISO", "CAISO")],
        };
        let found = known.iter().find(|(of, _)| of.eq_ignore_ascii_case(zone));
        found.map(|(_, region)| *region).ok_or_else(|| {
            format!(
                "watttime: which of its regions {zone} is in is not known for certain; set \
                 regions: {{{zone}: REGION}} (WattTime's /v3/region-from-loc tells the region of a place)"
            )
        })
    }
}

impl Provider for WattTime {
    /// The two signals are two series, and must not be kept as one.
    fn name(&self) -> &'static str {
        match self.0.signal {
            Kind::Moer => "watttime",
            Kind::Aoer => "watttime-aoer",
        }
    }

    fn signal(&self) -> Signal {
        match self.0.signal {
            Kind::Moer => Signal::Marginal,
            Kind::Aoer => Signal::Average,
        }
    }

    /// 3000 requests in five minutes. A marginal value comes with its moment; when an average does is not
    /// documented, and what is older than two hours does not pass for live.
    fn manners(&self) -> Manners {
        Manners {
            apart: Duration::from_secs(1),
            lag: match self.0.signal {
                Kind::Moer => 2 * PERIOD,
                Kind::Aoer => 2 * HOUR,
            },
            coarse: false,
        }
    }

    fn secret(&self) -> Option<&PathBuf> {
        Some(&self.0.credentials_file)
    }

    fn requests(&self, zone: &str, now: Timestamp) -> Result<Vec<Request>, String> {
        let base = self.0.base_url.trim_end_matches('/');
        let (region, signal) = (self.region(zone)?, self.0.signal.code());
        let ask = |what, path: &str, rest: &str, every: u64| Request {
            auth: Auth::Login {
                url: format!("{base}/login"),
                lasts: LASTS,
            },
            ..Request::open(
                what,
                format!("{base}/v3/{path}?region={region}&signal_type={signal}&{rest}"),
                Duration::from_secs(every),
            )
        };
        // Times must have a zone; at most 32 days.
        let was = |what, back: u32, every| {
            let to = after(read::rounded(now, HOUR), HOUR);
            let text = |at: Timestamp| {
                let text = at.strftime("%Y-%m-%dT%H:%M+00:00").to_string();
                read::escaped(&text)
            };
            let (from, to) = (text(before(to, back * HOUR)), text(to));
            let rest = format!("start={from}&end={to}&include_imputed_marker=true");
            ask(what, "historical", &rest, every)
        };
        Ok(match self.0.signal {
            Kind::Moer => vec![
                ask(What::Latest, "forecast", "horizon_hours=0", 300),
                ask(What::Forecast, "forecast", "horizon_hours=48", 1800),
                was(What::History, 8 * 24, 6 * 3600),
            ],
            Kind::Aoer => vec![
                was(What::Latest, 48, 900),
                was(What::History, 8 * 24, 12 * 3600),
            ],
        })
    }

    fn read(&self, what: What, zone: &str, body: &[u8], now: Timestamp) -> Result<Answer, Garbage> {
        let region = self.region(zone).map_err(|why| Garbage::Form(why.into()))?;
        let told: Told = read::json(body)?;
        let (Some(data), Some(meta)) = (told.data, told.meta) else {
            return Err(match told.message.or(told.error) {
                Some(why) => Garbage::Refused(read::short(&why)),
                None => Garbage::Form("it has neither data nor an error".into()),
            });
        };
        if meta.units != "lbs_co2_per_mwh" {
            return Err(Garbage::Unit(read::short(&meta.units)));
        }
        if meta.signal_type != self.0.signal.code() || meta.region != region {
            let (signal, region) = (read::short(&meta.signal_type), read::short(&meta.region));
            let other = format!("it is about signal {signal:?} of region {region:?}");
            return Err(Garbage::Form(other.into()));
        }
        let is_forecast = self.0.signal == Kind::Moer && what != What::History;
        let mut values = Vec::new();
        for point in data {
            let Some(pounds) = point.value else { continue };
            let nature = match (is_forecast, point.is_imputed) {
                (true, _) => Nature::Forecast,
                (_, Some(true)) => Nature::Estimated,
                (_, _) => Nature::Measured,
            };
            let from = read::moment(&point.point_time)?;
            values.push((from, pounds * read::POUNDS_PER_MWH, nature));
        }
        let period = meta.data_point_period_seconds.unwrap_or(300).clamp(60, 3600);
        let mut points = read::steps(values, Duration::from_secs(period));
        // A forecast begins with the five minutes that have begun or are about to.
        if let Some(first) = points.first_mut()
            && is_forecast
            && first.from <= after(now, PERIOD)
        {
            first.nature = Nature::Estimated;
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
    data: Option<Vec<Value>>,
    meta: Option<Meta>,
    error: Option<String>,
    message: Option<String>,
}

#[derive(Deserialize)]
struct Meta {
    region: String,
    signal_type: String,
    units: String,
    data_point_period_seconds: Option<u64>,
}

#[derive(Deserialize)]
struct Value {
    point_time: String,
    value: Option<f64>,
    #[serde(rename = "imputed_data_used")]
    is_imputed: Option<bool>,
}
