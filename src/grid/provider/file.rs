//! A file that the site writes itself: CSV with a line of names, or a JSON list of objects, of
//!
//! - `from`: a moment such as `2026-01-05T12:00Z`; without a zone it is UTC;
//! - `until`, optional: without it a value holds until the next, for at most `step`;
//! - `intensity`, in the configured unit, or `grams_per_kwh`; empty or null where it is not known;
//! - `nature`, optional: `measured`, `estimated` or `forecast`; without it what begins in the future is a
//!   forecast.

use super::own::{Step, Unit};
use super::{Answer, Garbage, Manners, Provider, Request, What, read};
use crate::grid::series::{Nature, Point, Scope, Signal, after};
use crate::units::GramsPerKwh;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

#[cfg(test)]
mod tests;

/// `type: file`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The file, absolute; `{zone}` in it is replaced by the zone, and is needed where there are several
    /// (or `zones`).
    pub path: PathBuf,
    /// What `intensity` is in. A column `grams_per_kwh` needs `g/kWh`.
    pub unit: Unit,
    /// How long a value is for at most that does not say until when.
    #[serde(default)]
    pub step: Step,
    /// What the values count.
    pub factors: Scope,
    /// What the values answer.
    #[serde(default)]
    pub signal: Signal,
}

pub(super) struct File(Config);

/// Makes the provider.
pub(super) fn open(config: &Config) -> Result<File, String> {
    if !config.path.is_absolute() || config.path.to_str().is_none() {
        return Err(format!(
            "file: {:?} is no absolute path in UTF-8: begin it with a slash",
            config.path
        ));
    }
    Ok(File(config.clone()))
}

/// The file is read every minute, and what begins before the next time must be known to have begun then: a
/// value holds from its beginning, and not from when the file is next read.
const SOON: Duration = Duration::from_secs(120);

/// Most rows: a year of quarters, more than are kept.
const MOST: usize = 40_000;

impl Provider for File {
    fn name(&self) -> &'static str {
        "file"
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

    fn tie(&self) -> Option<&'static str> {
        let is_tied = !self.0.path.to_string_lossy().contains("{zone}");
        is_tied.then_some("write {zone} into path, where the name of the zone stands")
    }

    /// A row that was taken out of the file was wrong.
    fn is_whole(&self) -> bool {
        true
    }

    fn requests(&self, zone: &str, _now: Timestamp) -> Result<Vec<Request>, String> {
        let path = self.0.path.to_str().unwrap_or_default();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        if path.contains("{zone}") && !zone.chars().all(is_plain) {
            return Err(format!("{zone:?} cannot be part of a file's name"));
        }
        let url = format!("file://{}", path.replace("{zone}", zone));
        Ok(vec![Request::open(
            What::Latest,
            url,
            Duration::from_secs(60),
        )])
    }

    fn read(&self, _: What, _: &str, body: &[u8], now: Timestamp) -> Result<Answer, Garbage> {
        let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
        let rows = match first {
            None => return Err(Garbage::Empty),
            Some(b'[') => read::json(body)?,
            Some(b'{' | b'<') => {
                return Err(Garbage::Form(
                    "neither CSV with names nor a JSON list of objects".into(),
                ));
            }
            Some(_) => table(body)?,
        };
        let (mut points, mut open) = (Vec::new(), Vec::new());
        for (place, row) in rows.iter().enumerate() {
            if place >= MOST {
                return Err(Garbage::Form(
                    format!("it has more than {MOST} rows").into(),
                ));
            }
            let Some(grams) = self.grams(row)? else {
                continue;
            };
            let from = read::moment(&row.from)?;
            let nature = row.nature.unwrap_or(if from > after(now, SOON) {
                Nature::Forecast
            } else {
                Nature::Measured
            });
            match &row.until {
                None => open.push((from, grams, nature)),
                Some(until) => points.push(Point {
                    from,
                    until: read::moment(until)?,
                    intensity: GramsPerKwh(grams),
                    nature,
                }),
            }
        }
        points.extend(read::steps(open, self.0.step.duration()));
        if points.is_empty() {
            return Err(Garbage::Empty);
        }
        Ok(Answer {
            scope: self.0.factors,
            points,
            of: None,
        })
    }
}

impl File {
    fn grams(&self, row: &Row) -> Result<Option<f64>, Garbage> {
        match (row.intensity, row.grams_per_kwh) {
            (Some(_), Some(_)) => Err(Garbage::Form(
                "it has both intensity and grams_per_kwh: leave one out".into(),
            )),
            (None, Some(_)) if self.0.unit != Unit::GramsPerKwh => Err(Garbage::Unit(
                "grams_per_kwh, while unit is another".to_owned(),
            )),
            (intensity, grams) => Ok(intensity.or(grams).map(|number| self.0.unit.grams(number))),
        }
    }
}

fn table(body: &[u8]) -> Result<Vec<Row>, Garbage> {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .comment(Some(b'#'))
        .from_reader(body);
    let headers = reader.headers().map_err(|error| no_row(&error))?;
    let has = |name: &str| headers.iter().any(|header| header == name);
    if !has("from") || !(has("intensity") || has("grams_per_kwh")) {
        let error = "its first line must name the columns: from, intensity or grams_per_kwh, and if \
                     wanted until and nature";
        return Err(Garbage::Form(error.into()));
    }
    let rows = reader.into_deserialize().take(MOST + 1);
    rows.map(|row| row.map_err(|error| no_row(&error)))
        .collect()
}

fn no_row(error: &csv::Error) -> Garbage {
    Garbage::Form(match error.position() {
        Some(position) => format!("line {} of the CSV", position.line()).into(),
        None => "it is no CSV in UTF-8".into(),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    from: String,
    until: Option<String>,
    intensity: Option<f64>,
    grams_per_kwh: Option<f64>,
    nature: Option<Nature>,
}
