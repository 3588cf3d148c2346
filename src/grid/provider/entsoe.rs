//! ENTSO-E's transparency platform: what the bidding zones of Europe generate, by type of plant.
//!
//! Source: the platform's Web API guide (document A75 of process A16, "Actual Generation per Production
//! Type", article 16.1.B&C). It tells no grams: intensity is the mix times [`super::mix`]'s factors, of
//! generation, without imports. Its forecasts are of wind and sun alone (A69) or of no type at all (A71),
//! which is no intensity; so there are none here.

use super::mix::{Fuel, Generation};
use super::{Answer, Auth, Garbage, Manners, Provider, Request, What, read};
use crate::grid::series::{Scope, Signal, after, before};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

mod areas;
mod document;
#[cfg(test)]
mod tests;

/// `type: entsoe`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A file with the security token.
    pub token_file: PathBuf,
    /// Where the API is.
    #[serde(default = "base")]
    pub base_url: String,
    /// Its code of the area, where it is not known from the zone; where there are several, with `zones`.
    #[serde(default)]
    pub eic: Option<areas::Eic>,
}

fn base() -> String {
    "https://web-api.tp.entsoe.eu".to_owned()
}

pub(super) struct Entsoe(Config);

/// Makes the provider.
pub(super) fn open(config: &Config) -> Result<Entsoe, String> {
    Ok(Entsoe(config.clone()))
}

const HOUR: Duration = Duration::from_secs(3600);

/// A day, so that a night can be compared with the one before, and the usual delay.
const LATEST: Duration = Duration::from_secs(36 * 3600);

const HISTORY: Duration = Duration::from_secs(8 * 86400);

impl Entsoe {
    fn area(&self, zone: &str) -> Result<&str, String> {
        let own = self.0.eic.as_ref().map(areas::Eic::as_str);
        own.or_else(|| areas::of_zone(zone)).ok_or_else(|| {
            format!(
                "entsoe knows no zone {zone:?}; it has {}; for others set eic to the area's code",
                areas::zones()
            )
        })
    }
}

impl Provider for Entsoe {
    fn name(&self) -> &'static str {
        "entsoe"
    }

    fn signal(&self) -> Signal {
        Signal::Average
    }

    /// 400 requests a minute, else ten minutes of none. Operators have an hour to publish, and many take
    /// more.
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
            .eic
            .is_some()
            .then_some("leave eic out where the area is known from the zone")
    }

    fn requests(&self, zone: &str, now: Timestamp) -> Result<Vec<Request>, String> {
        let area = read::escaped(self.area(zone)?);
        let base = self.0.base_url.trim_end_matches('/');
        // Always in UTC, whatever the zone's own time is.
        let now = read::rounded(now, HOUR);
        let until = after(now, HOUR).strftime("%Y%m%d%H%M");
        let ask = |what, back, every| {
            let from = before(now, back).strftime("%Y%m%d%H%M");
            let url = format!(
                "{base}/api?documentType=A75&processType=A16&in_Domain={area}&periodStart={from}\
                 &periodEnd={until}"
            );
            Request {
                auth: Auth::Query("securityToken"),
                ..Request::open(what, url, Duration::from_secs(every))
            }
        };
        Ok(vec![
            ask(What::Latest, LATEST, 900),
            ask(What::History, HISTORY, 6 * 3600),
        ])
    }

    fn read(&self, _: What, zone: &str, body: &[u8], now: Timestamp) -> Result<Answer, Garbage> {
        let area = self
            .area(zone)
            .map_err(|error| Garbage::Form(error.into()))?;
        let series = document::read(body)?;
        let mut generation = Generation::default();
        let mut kept = Vec::new();
        for series in &series {
            // What is taken out (pumps, batteries being charged) is no generation.
            if series.is_consumption {
                continue;
            }
            if series.area != area {
                let other = read::short(&series.area);
                return Err(Garbage::Form(format!("it is about area {other:?}").into()));
            }
            if let Some(fuel) = fuel(&series.plants) {
                kept.push((series, fuel));
            }
        }
        // Series of quarters and of hours stand side by side: all in the finest steps.
        let steps = kept
            .iter()
            .flat_map(|(series, _)| &series.pieces)
            .map(|piece| piece.step);
        let step = steps.min().ok_or(Garbage::Empty)?;
        let mut count = 0_usize;
        for (series, fuel) in kept {
            for piece in &series.pieces {
                let mut from = piece.from;
                while from < piece.until {
                    count += 1;
                    if count > document::MOST {
                        return Err(Garbage::Form("it has too many values".into()));
                    }
                    generation.add(from, &series.plants, fuel, piece.megawatts);
                    from = after(from, step);
                }
            }
        }
        Ok(Answer {
            scope: Scope::Lifecycle,
            points: generation.points(step, now)?,
            of: None,
        })
    }
}

/// What a type of plants burns (code list `PsrType`). Storage is left out (B10, B25), and so is what
/// generates nothing (B21 to B24: lines, substations). Oil shale (B07) burns like lignite. Marine (B13)
/// counts as hydro: 17 and 24 g/kWh in the same table of IPCC. Waste (B17) and other renewables (B15) as
/// biomass, as others do it; half of municipal waste is fossil, so that is a lower bound.
fn fuel(plants: &str) -> Option<Fuel> {
    Some(match plants {
        "B01" | "B15" | "B17" => Fuel::Biomass,
        "B02" | "B05" | "B07" | "B08" => Fuel::Coal,
        "B03" | "B04" => Fuel::Gas,
        "B06" => Fuel::Oil,
        "B09" => Fuel::Geothermal,
        "B11" | "B12" | "B13" => Fuel::Hydro,
        "B14" => Fuel::Nuclear,
        "B16" => Fuel::Solar,
        "B18" | "B19" => Fuel::Wind,
        "B10" | "B21" | "B22" | "B23" | "B24" | "B25" | "A05" => return None,
        _ => Fuel::Unknown,
    })
}
