//! What the next hours will be like, and when in them it is cleanest.
//!
//! A provider's own forecast is used where it has one. Where it has none for an hour, that hour is taken
//! to be like the same hour of the days before: the mean of up to seven. A daily pattern is the least that
//! a forecast must beat (Maji et al., CarbonCast, BuildSys 2022, has it as its baseline).

use super::series::{Nature, Series, after, before};
use crate::units::GramsPerKwh;
use jiff::{Timestamp, Unit};
use std::cell::Cell;
use std::time::Duration;

/// Hours that are looked ahead.
pub const HOURS: usize = 48;

/// Lengths of jobs, in hours, for which the best start is told.
pub const JOBS: [usize; 4] = [1, 4, 8, 24];

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86400);

/// Of a forecast that is asked for once an hour or so, this many hours at the end may not be told yet.
const AWAITED: usize = 2;

/// Days that a seasonal forecast looks back.
const DAYS: u32 = 7;

/// Who says what will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A provider.
    Provider,
    /// The days before, at least in part.
    Seasonal,
}

impl Origin {
    /// The value of the `forecast` label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Seasonal => "seasonal",
        }
    }
}

/// The hours ahead.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecast {
    /// Where the first hour begins: at the full hour.
    pub start: Timestamp,
    /// The mean of each hour; `None` where nobody can tell.
    pub hours: Vec<Option<GramsPerKwh>>,
    /// Who says so.
    pub origin: Origin,
    /// Which of them are by the days before; all the rest is by `origin`.
    seasonal: Vec<bool>,
    /// Found once, for every page is made of them.
    windows: Vec<Window>,
}

/// The best time for a job.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// The job's length in hours.
    pub hours: usize,
    /// When to start it.
    pub start: Timestamp,
    /// The mean intensity while it runs.
    pub mean: GramsPerKwh,
}

/// Looks ahead from the hour of `now`, by what one provider has told; `None` where it tells nothing of any
/// hour.
#[must_use]
pub fn ahead(series: &Series, now: Timestamp) -> Option<Forecast> {
    let start = now
        .round(
            jiff::TimestampRound::new()
                .smallest(Unit::Hour)
                .mode(jiff::RoundMode::Floor),
        )
        .ok()?;
    let at = |place: usize| after(start, HOUR * u32::try_from(place).unwrap_or(0));
    let own: Vec<_> = (0..HOURS).map(|place| told(series, at(place))).collect();
    let end = own
        .iter()
        .rposition(Option::is_some)
        .map_or(0, |last| last + 1);
    let hours = own.into_iter().enumerate().map(|(place, own)| {
        let is_awaited = place >= end && end + AWAITED >= HOURS;
        match own {
            Some((told, is_seasonal)) => (Some(told), is_seasonal),
            None if is_awaited => (None, false),
            None => (seasonal(series, at(place)), true),
        }
    });
    let (hours, seasonal): (Vec<Option<GramsPerKwh>>, Vec<bool>) = hours.unzip();
    let is_seasonal = |(hour, seasonal): (&Option<GramsPerKwh>, &bool)| hour.is_some() && *seasonal;
    let origin = if hours.iter().zip(&seasonal).any(is_seasonal) {
        Origin::Seasonal
    } else {
        Origin::Provider
    };
    let is_told = hours.iter().any(Option::is_some);
    is_told.then(|| Forecast {
        seasonal,
        ..Forecast::new(start, hours, origin)
    })
}

/// The mean of an hour by what was told of it, and whether any of that is by the days before.
fn told(series: &Series, hour: Timestamp) -> Option<(GramsPerKwh, bool)> {
    let is_seasonal = Cell::new(false);
    let told = |at| {
        let point = series.expected(at).or_else(|| series.observed(at))?;
        is_seasonal.set(is_seasonal.get() || point.nature == Nature::Seasonal);
        Some(point.intensity)
    };
    let mean = Series::mean(hour, told)?;
    Some((mean, is_seasonal.get()))
}

/// The mean of the same hour of the days before.
fn seasonal(series: &Series, hour: Timestamp) -> Option<GramsPerKwh> {
    let observed = |at| series.observed(at).map(|point| point.intensity);
    // Two days ahead, yesterday's same hour is three days before.
    let days = (1..=DAYS + 2).map(|day| before(hour, DAY * day));
    let known: Vec<GramsPerKwh> = days
        .filter_map(|hour| Series::mean(hour, observed))
        .take(usize::try_from(DAYS).unwrap_or(0))
        .collect();
    if known.is_empty() {
        return None;
    }
    #[allow(clippy::cast_precision_loss)]
    let share = 1.0 / known.len() as f64;
    Some(known.into_iter().sum::<GramsPerKwh>().times(share))
}

impl Forecast {
    /// Hours from a full one on, all by one.
    #[must_use]
    pub fn new(start: Timestamp, hours: Vec<Option<GramsPerKwh>>, origin: Origin) -> Self {
        let mut forecast = Self {
            start,
            seasonal: vec![origin == Origin::Seasonal; hours.len()],
            hours,
            origin,
            windows: Vec::new(),
        };
        let windows = JOBS.into_iter().filter_map(|hours| forecast.window(hours));
        forecast.windows = windows.collect();
        forecast
    }

    /// What is known of each hour: its beginning, its mean, and whether that is by the days before.
    pub fn known(&self) -> impl Iterator<Item = (Timestamp, GramsPerKwh, bool)> {
        let hours = (0..).zip(self.hours.iter().zip(&self.seasonal));
        hours.filter_map(|(hour, (grams, seasonal))| {
            Some((after(self.start, HOUR * hour), (*grams)?, *seasonal))
        })
    }

    /// The best start for jobs of each of [`JOBS`] hours, at a full hour and within what is known; the
    /// earliest of equals. A job that does not fit is left out.
    #[must_use]
    pub fn windows(&self) -> &[Window] {
        &self.windows
    }

    fn window(&self, hours: usize) -> Option<Window> {
        #[allow(clippy::cast_precision_loss)]
        let share = 1.0 / hours as f64;
        let means = self
            .hours
            .windows(hours)
            .enumerate()
            .filter_map(|(first, window)| {
                let sum: Option<GramsPerKwh> = window.iter().copied().sum();
                let start = after(self.start, HOUR * u32::try_from(first).ok()?);
                Some(Window {
                    hours,
                    start,
                    mean: sum?.times(share),
                })
            });
        means.min_by(|a, b| a.mean.0.total_cmp(&b.mean.0))
    }
}

#[cfg(test)]
mod tests {
    use super::super::series::{Point, Scope};
    use super::*;

    fn at(text: &str) -> Timestamp {
        format!("2026-01-{text}:00Z").parse().unwrap()
    }

    fn hours(from: &str, grams: &[f64], nature: Nature) -> Vec<Point> {
        let from = at(from);
        let point = |(hour, grams): (usize, &f64)| {
            let from = after(from, HOUR * u32::try_from(hour).unwrap());
            Point::lasting(from, HOUR, *grams, nature)
        };
        grams.iter().enumerate().map(point).collect()
    }

    #[test]
    fn a_providers_forecast_is_taken_and_its_best_hours_found() {
        let grams: Vec<f64> = (0..60)
            .map(|hour| f64::from((hour + 12) % 24 * 10))
            .collect();
        let mut series = Series::default();
        series.take(
            Scope::Direct,
            &hours("05T12:00", &grams, Nature::Forecast),
            at("05T12:20"),
        );
        let forecast = ahead(&series, at("05T12:20")).unwrap();
        assert_eq!(forecast.origin, Origin::Provider);
        assert_eq!(forecast.start, at("05T12:00"));
        assert_eq!(forecast.hours.len(), HOURS);
        assert_eq!(forecast.hours[1].unwrap().0.round(), 130.0);
        let windows = forecast.windows();
        assert_eq!(windows.len(), 4);
        assert_eq!(
            (windows[0].start, windows[0].mean.0.round()),
            (at("06T00:00"), 0.0)
        );
        assert_eq!(
            (windows[1].start, windows[1].mean.0.round()),
            (at("06T00:00"), 15.0)
        );
        assert_eq!((windows[3].hours, windows[3].mean.0.round()), (24, 115.0));
    }

    #[test]
    fn without_one_an_hour_is_like_those_of_the_days_before() {
        let mut series = Series::default();
        for (day, add) in [("03", 0.0), ("04", 20.0)] {
            let grams: Vec<f64> = (0..24).map(|hour| f64::from(hour) * 10.0 + add).collect();
            let points = hours(&format!("{day}T00:00"), &grams, Nature::Measured);
            series.take(Scope::Direct, &points, at("05T00:00"));
        }
        let forecast = ahead(&series, at("05T06:10")).unwrap();
        assert_eq!(forecast.origin, Origin::Seasonal);
        assert_eq!(forecast.hours[0].unwrap().0.round(), 70.0, "6 o'clock");
        let tomorrow = forecast.hours[47].unwrap().0.round();
        assert_eq!(tomorrow, 60.0, "5 o'clock in two days");
    }

    #[test]
    fn a_forecast_of_two_days_is_one_until_the_next_is_asked_for() {
        let mut series = Series::default();
        let past = hours("04T00:00", &[300.0; 36], Nature::Measured);
        series.take(Scope::Direct, &past, at("05T12:00"));
        let days = hours("05T12:00", &[200.0; 48], Nature::Forecast);
        series.take(Scope::Direct, &days, at("05T12:05"));
        let forecast = ahead(&series, at("05T13:10")).unwrap();
        assert_eq!(forecast.origin, Origin::Provider);
        assert_eq!(forecast.hours.iter().flatten().count(), 47);
        // One of a day is none of two.
        let forecast = ahead(&series, at("06T13:10")).unwrap();
        assert_eq!(forecast.origin, Origin::Seasonal);
        assert_eq!(forecast.hours.iter().flatten().count(), 48);
    }

    #[test]
    fn hours_that_nobody_can_tell_are_in_no_window() {
        let mut series = Series::default();
        let points = hours("05T12:00", &[300.0, 200.0, 250.0], Nature::Forecast);
        series.take(Scope::Direct, &points, at("05T12:00"));
        let forecast = ahead(&series, at("05T12:00")).unwrap();
        assert_eq!(forecast.hours.iter().flatten().count(), 3);
        assert_eq!(forecast.origin, Origin::Provider, "nothing was guessed");
        let windows = forecast.windows();
        assert_eq!(windows.len(), 1);
        assert_eq!(windows[0].start, at("05T13:00"));
        assert_eq!(ahead(&Series::default(), at("05T12:00")), None);
    }
}
