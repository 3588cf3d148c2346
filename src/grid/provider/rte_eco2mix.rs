//! éCO2mix of RTE, the operator of France's grid, from the portal ODRÉ (Open Data Réseaux Énergies).
//!
//! Source: the data set `eco2mix-national-tr` and the portal's Explore API v2.1, of 2026. `taux_co2` is of
//! generation in continental France and of what leaves the stacks, in g/kWh, each quarter of an hour. Rows
//! of the rest of the day are there already, and empty.

use super::{Answer, Garbage, Manners, Provider, Request, What, read};
use crate::grid::series::{Nature, Scope, Signal, before};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[cfg(test)]
mod tests;

/// `type: rte-eco2mix`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the portal is.
    #[serde(default = "base")]
    pub base_url: String,
}

fn base() -> String {
    "https://odre.opendatasoft.com".to_owned()
}

pub(super) struct RteEco2mix(Config);

/// Makes the provider.
pub(super) fn open(config: &Config) -> Result<RteEco2mix, String> {
    Ok(RteEco2mix(config.clone()))
}

const QUARTER: Duration = Duration::from_secs(900);

const HISTORY: Duration = Duration::from_secs(8 * 86400);

impl Provider for RteEco2mix {
    fn name(&self) -> &'static str {
        "rte-eco2mix"
    }

    fn signal(&self) -> Signal {
        Signal::Average
    }

    /// 50 000 requests a month without a key: every ten minutes is a tenth of that.
    fn manners(&self) -> Manners {
        Manners {
            apart: Duration::from_secs(2),
            lag: Duration::from_secs(3600),
            coarse: false,
        }
    }

    /// Pages of records end at 100; the export does not.
    fn requests(&self, zone: &str, now: Timestamp) -> Result<Vec<Request>, String> {
        if !zone.eq_ignore_ascii_case("FR") {
            return Err(format!("rte-eco2mix knows FR and nothing else, and not {zone:?}"));
        }
        let base = self.0.base_url.trim_end_matches('/');
        let ask = |what, page: &str, rows: &str, rest: &str, every: u64| {
            let url = format!(
                "{base}/api/explore/v2.1/catalog/datasets/eco2mix-national-tr/{page}\
                 ?select=date_heure%2Cnature%2Cperimetre%2Ctaux_co2&where={}&timezone=UTC{rest}",
                read::escaped(rows)
            );
            Request::open(what, url, Duration::from_secs(every))
        };
        let day = before(now, HISTORY).strftime("%Y-%m-%d");
        let days = format!("taux_co2 is not null and date_heure >= date'{day}'");
        let last = "&order_by=date_heure%20desc&limit=8";
        Ok(vec![
            ask(What::Latest, "records", "taux_co2 is not null", last, 600),
            ask(What::History, "exports/json", &days, "", 12 * 3600),
        ])
    }

    fn read(&self, _: What, _: &str, body: &[u8], _now: Timestamp) -> Result<Answer, Garbage> {
        let told: Told<'_> = read::json(body)?;
        let rows = match told {
            Told::Export(rows) => rows,
            Told::Records { results } => results,
            Told::Error { message } => return Err(Garbage::Refused(read::short(&message))),
        };
        let mut values = Vec::new();
        for row in rows {
            if row.area.is_some_and(|area| area != "France") {
                return Err(Garbage::Form("it is not about France".into()));
            }
            // "ND" is not available.
            let rate = row.rate.and_then(read::Number::value);
            let (Some(from), Some(rate)) = (row.from, rate) else {
                continue;
            };
            // There is always some gas or waste that burns: 0 is a row that is not filled in.
            if rate != 0.0 {
                values.push((read::moment(&from)?, rate, Nature::Measured));
            }
        }
        let points = read::steps(values, QUARTER);
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

/// Records are a page, an export is a list.
#[derive(Deserialize)]
#[serde(untagged)]
enum Told<'a> {
    Export(#[serde(borrow)] Vec<Row<'a>>),
    Records {
        #[serde(borrow)]
        results: Vec<Row<'a>>,
    },
    Error {
        message: String,
    },
}

#[derive(Deserialize)]
struct Row<'a> {
    #[serde(rename = "date_heure")]
    from: Option<String>,
    #[serde(rename = "perimetre")]
    area: Option<String>,
    #[serde(rename = "taux_co2", borrow)]
    rate: Option<read::Number<'a>>,
}
