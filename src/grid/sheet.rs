//! What a relay tells of one zone and signal: the JSON of `/v1/intensity`, made and read here.

use super::choose::Link;
use super::forecast::Origin as By;
use super::provider::{Answer, Origin};
use super::series::{Nature, Point, Scope, Signal, before};
use super::zone::{Outlook, Zone};
use crate::units::GramsPerKwh;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How much of the past is told.
const PAST: Duration = Duration::from_secs(24 * 3600);

const HOUR: Duration = Duration::from_secs(3600);

/// One zone and signal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sheet {
    /// The zone's code.
    pub zone: String,
    /// What the values answer.
    pub signal: Signal,
    /// What they count.
    pub scope: Scope,
    /// Who told them first.
    pub provider: String,
    /// How what is in force was had: `live`, `cached`, `forecast` or `static`.
    pub tier: String,
    /// What is in force.
    pub current: Line,
    /// How long after the end of a value the next one may be missing in the ordinary course of things.
    pub lag_seconds: u64,
    /// Whether the values are means of a month or a year.
    pub coarse: bool,
    /// Who says what will be: `provider`, or `seasonal` (as the days before).
    pub forecast_by: String,
    /// Which provider told what will be, or the days before that it is made of; not always `provider`.
    #[serde(default)]
    pub forecast_provider: String,
    /// What was, oldest first.
    pub history: Vec<Line>,
    /// What will be, next first.
    pub forecast: Vec<Line>,
}

/// One value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// From when it is valid, ...
    pub from: Timestamp,
    /// ... until when.
    pub until: Timestamp,
    /// g CO2e/kWh.
    pub grams_per_kwh: f64,
    /// How it was had.
    pub nature: Nature,
}

impl From<&Point> for Line {
    fn from(point: &Point) -> Self {
        Self {
            from: point.from,
            until: point.until,
            grams_per_kwh: point.intensity.0,
            nature: point.nature,
        }
    }
}

impl From<&Line> for Point {
    fn from(line: &Line) -> Self {
        Self {
            from: line.from,
            until: line.until,
            intensity: GramsPerKwh(line.grams_per_kwh),
            nature: line.nature,
        }
    }
}

impl Sheet {
    /// What is known of a zone, by what was last chosen there.
    #[must_use]
    pub fn of(name: &str, zone: &Zone, signal: Signal, now: Timestamp) -> Option<Self> {
        let choice = zone.in_force(signal)?;
        let Link {
            forecaster,
            series,
            lag,
            coarse,
            ..
        } = zone.chosen(signal)?;
        let recent = before(now, PAST);
        let past = series
            .past()
            .filter(|point| point.until > recent || point.from == choice.point.from);
        let (by, whose, ahead) = match zone.outlook(now).filter(|_| signal == Signal::Average) {
            Some(Outlook { provider, forecast }) => {
                let hours = forecast.known().map(|(from, grams, is_seasonal)| {
                    let nature = if is_seasonal {
                        Nature::Seasonal
                    } else {
                        Nature::Forecast
                    };
                    Line::from(&Point::lasting(from, HOUR, grams.0, nature))
                });
                (forecast.origin, provider, hours.collect())
            }
            None => {
                let ahead = series.ahead().map(Line::from).collect();
                (By::Provider, forecaster.to_owned(), ahead)
            }
        };
        Some(Self {
            zone: name.to_owned(),
            signal,
            scope: choice.scope?,
            provider: choice.provider.clone(),
            tier: choice.tier.label().to_owned(),
            current: Line::from(&choice.point),
            lag_seconds: lag.as_secs(),
            coarse,
            forecast_by: by.label().to_owned(),
            forecast_provider: whose,
            history: past.map(Line::from).collect(),
            forecast: ahead,
        })
    }

    /// What it says, for who asked a relay.
    #[must_use]
    pub fn answer(&self) -> Answer {
        // Hours that do not say so themselves, of a relay that says it of all at once.
        let is_guess = |line: &Line| line.nature == Nature::Seasonal;
        let all_guessed =
            self.forecast_by == By::Seasonal.label() && !self.forecast.iter().any(is_guess);
        let ahead = self.forecast.iter().map(|line| Line {
            nature: if all_guessed {
                Nature::Seasonal
            } else {
                line.nature
            },
            ..*line
        });
        let all = self.history.iter().copied().chain(ahead);
        let other = &self.forecast_provider;
        let is_other = !other.is_empty() && *other != self.provider;
        Answer {
            scope: self.scope,
            points: all.map(|line| Point::from(&line)).collect(),
            of: Some(Origin {
                provider: self.provider.clone(),
                lag: Duration::from_secs(self.lag_seconds),
                coarse: self.coarse,
                forecaster: is_other.then(|| other.clone()),
            }),
        }
    }
}

#[cfg(test)]
mod tests;
