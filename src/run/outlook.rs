//! What electricity emits in the hours ahead of a run, and when it would emit less.

use crate::grid::forecast::Forecast;
use crate::grid::series::after;
use crate::units::GramsPerKwh;
use jiff::{RoundMode, Timestamp, TimestampRound, Unit};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);
const HOUR_SECONDS: f64 = 3600.0;
const DAY_HOURS: usize = 24;

/// Days of a forecast that are looked at.
const MOST_DAYS: u32 = 30;

/// Means that differ by less than this share are the same.
const SAME: f64 = 1e-6;

/// A mean is taken over this much at the most; what is longer is taken to be like it. By then every day is like
/// the last that is known.
const FARTHEST: Duration = Duration::from_secs(100 * 86400);

/// Intensity x PUE of the hours ahead, in grams for each kWh of the machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Outlook {
    /// Where the first of them begins: at the full hour.
    start: Timestamp,
    hours: Vec<Option<GramsPerKwh>>,
    is_forecast: bool,
}

/// When to start a piece of work.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Greener {
    /// The best start: now, or a full hour; the earliest of equals.
    pub start: Timestamp,
    /// Mean intensity x PUE of the work if it starts then.
    pub mean: GramsPerKwh,
    /// And if it starts now: never less than `mean`.
    pub mean_now: GramsPerKwh,
}

impl Outlook {
    /// What is known at `at`: the factor in force, which holds for the hour of `at`, and a forecast for those
    /// after it. `pue` is facility power / IT power, from 1 on.
    #[must_use]
    pub fn new(
        at: Timestamp,
        now: Option<GramsPerKwh>,
        forecast: Option<&Forecast>,
        pue: f64,
    ) -> Self {
        let floor = TimestampRound::new()
            .smallest(Unit::Hour)
            .mode(RoundMode::Floor);
        let start = at.round(floor).unwrap_or(at);
        let told = forecast.map_or(0, |forecast| forecast.hours.len());
        let end = forecast.map_or(start, |forecast| {
            after(forecast.start, HOUR * u32::try_from(told).unwrap_or(0))
        });
        let told = |from: Timestamp| {
            let forecast = forecast?;
            let offset = from.duration_since(forecast.start).as_hours();
            *forecast.hours.get(usize::try_from(offset).ok()?)?
        };
        let froms = (0..MOST_DAYS * 24).map(|hour| after(start, HOUR * hour));
        let mut hours: Vec<_> = froms.take_while(|from| *from < end).map(told).collect();
        let is_forecast = hours.iter().skip(1).any(Option::is_some);
        match hours.first_mut() {
            Some(first) => *first = now.or(*first),
            None => hours.push(now),
        }
        let hours = hours.into_iter().map(|hour| Some(hour?.times(pue)));
        Self {
            start,
            hours: hours.collect(),
            is_forecast,
        }
    }

    /// Whether anybody has told of hours to come: if not, the factor in force stands for all.
    #[must_use]
    pub fn is_forecast(&self) -> bool {
        self.is_forecast
    }

    /// Mean intensity x PUE over `length` from `from` on; at `from` if `length` is zero. An hour that nobody
    /// told of is like the same hour of the last day that was, else like the last before it. `None` where nothing
    /// is known at all.
    #[must_use]
    pub fn mean(&self, from: Timestamp, length: Duration) -> Option<GramsPerKwh> {
        self.mean_of(from, length, |hour| self.likely(hour))
    }

    /// The best start, from `now` to `within` later, of work that takes `length`, and what it gains. `None` where
    /// the forecast does not cover work that starts now.
    #[must_use]
    pub fn greener(&self, now: Timestamp, length: Duration, within: Duration) -> Option<Greener> {
        let known = |hour: usize| self.hours.get(hour).copied().flatten();
        let mean = |start| self.mean_of(start, length, known);
        let mean_now = mean(now)?;
        let hours = (0..u32::try_from(self.hours.len()).unwrap_or(0))
            .map(|hour| after(self.start, HOUR * hour));
        let latest = after(now, within);
        let later = hours.filter(|start| (now..=latest).contains(start));
        let starts = std::iter::once(now).chain(later);
        let best = starts.filter_map(|start| Some((start, mean(start)?)));
        let (start, mean) = best.reduce(|best, other| {
            // What rounding makes of the same factors is no gain.
            let is_less = other.1.0 < best.1.0 * (1.0 - SAME);
            if is_less { other } else { best }
        })?;
        Some(Greener {
            start,
            mean,
            mean_now,
        })
    }

    /// Mean of the hours by `factor`, each with the time that is spent in it.
    fn mean_of(
        &self,
        from: Timestamp,
        length: Duration,
        factor: impl Fn(usize) -> Option<GramsPerKwh>,
    ) -> Option<GramsPerKwh> {
        let mut at = from.duration_since(self.start).as_secs_f64().max(0.0);
        let length = length.min(FARTHEST).as_secs_f64();
        let end = at + length;
        if length <= 0.0 {
            return factor(hour_of(at));
        }
        let mut sum = 0.0;
        while at < end {
            let hour = hour_of(at);
            #[allow(clippy::cast_precision_loss)]
            let until = ((hour + 1) as f64 * HOUR_SECONDS).min(end);
            sum += factor(hour)?.0 * (until - at);
            at = until;
        }
        Some(GramsPerKwh(sum / length))
    }

    fn likely(&self, hour: usize) -> Option<GramsPerKwh> {
        let end = self.hours.len();
        let days = (hour + 1).saturating_sub(end).div_ceil(DAY_HOURS);
        let same = hour.checked_sub(days * DAY_HOURS);
        let same_of_days = std::iter::successors(same, |hour| hour.checked_sub(DAY_HOURS));
        let known = |hour: usize| self.hours.get(hour).copied().flatten();
        let last_before = || (0..=hour.min(end.saturating_sub(1))).rev().find_map(known);
        same_of_days
            .into_iter()
            .find_map(known)
            .or_else(last_before)
    }
}

/// The place of the hour in which `seconds` after the start are.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn hour_of(seconds: f64) -> usize {
    (seconds / HOUR_SECONDS).floor() as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::forecast::Origin;

    fn at(text: &str) -> Timestamp {
        format!("2026-01-{text}:00Z").parse().unwrap()
    }

    fn minutes(minutes: u64) -> Duration {
        Duration::from_secs(60 * minutes)
    }

    /// From the fifth at noon on.
    fn forecast(hours: &[f64]) -> Forecast {
        let known = |grams: &f64| (*grams > 0.0).then_some(GramsPerKwh(*grams));
        let hours = hours.iter().map(known).collect();
        Forecast::new(at("05T12:00"), hours, Origin::Provider)
    }

    fn rounded(grams: Option<GramsPerKwh>) -> Option<f64> {
        grams.map(|grams| (grams.0 * 100.0).round() / 100.0)
    }

    #[test]
    fn the_factor_now_holds_for_its_hour_and_then_the_forecast_with_the_pue() {
        let forecast = forecast(&[100.0, 200.0, 300.0, 400.0]);
        let outlook = Outlook::new(
            at("05T13:20"),
            Some(GramsPerKwh(250.0)),
            Some(&forecast),
            1.5,
        );
        let mean = |from, length| rounded(outlook.mean(at(from), minutes(length)));
        assert_eq!(mean("05T13:20", 0), Some(375.0));
        assert_eq!(mean("05T13:30", 60), Some((375.0 + 450.0) / 2.0));
        assert_eq!(mean("05T14:00", 120), Some(525.0));
        assert!(outlook.is_forecast());
        let unknown = Outlook::new(at("05T13:20"), None, Some(&forecast), 1.0);
        assert_eq!(
            rounded(unknown.mean(at("05T13:20"), minutes(0))),
            Some(200.0)
        );
    }

    #[test]
    fn where_all_hours_are_the_same_it_starts_now_whatever_second_it_is() {
        let forecast = forecast(&[100.0; 30]);
        for second in 0..3600 {
            let now = after(at("05T12:00"), Duration::from_secs(second));
            let outlook = Outlook::new(now, Some(GramsPerKwh(100.0)), Some(&forecast), 1.3);
            let best = outlook.greener(now, minutes(60), minutes(720));
            assert_eq!(best.map(|best| best.start), Some(now));
        }
    }

    #[test]
    fn beyond_what_is_known_the_same_hour_of_the_last_day_counts_else_the_last() {
        let mut hours: Vec<f64> = (0..30).map(|hour| 100.0 + f64::from(hour)).collect();
        let day = Outlook::new(at("05T12:00"), None, Some(&forecast(&hours)), 1.0);
        let mean = |outlook: &Outlook, from| rounded(outlook.mean(at(from), minutes(30)));
        assert_eq!(mean(&day, "06T17:00"), Some(129.0), "known");
        assert_eq!(mean(&day, "06T18:00"), Some(106.0), "same hour of today");
        assert_eq!(mean(&day, "08T13:00"), Some(125.0), "of tomorrow");
        hours.truncate(3);
        hours[1] = 0.0;
        let few = Outlook::new(at("05T12:00"), None, Some(&forecast(&hours)), 1.0);
        assert_eq!(
            mean(&few, "05T13:00"),
            Some(100.0),
            "the last before a hole"
        );
        assert_eq!(mean(&few, "05T20:00"), Some(102.0));
        assert_eq!(mean(&few, "06T12:00"), Some(100.0), "same hour of today");
        let fixed = Outlook::new(at("05T12:30"), Some(GramsPerKwh(7.0)), None, 2.0);
        assert_eq!(
            rounded(fixed.mean(at("05T12:40"), FARTHEST * 9)),
            Some(14.0)
        );
        assert!(!fixed.is_forecast());
        let nothing = Outlook::new(at("05T12:30"), None, None, 1.0);
        assert_eq!(nothing.mean(at("05T12:30"), minutes(10)), None);
    }

    #[test]
    fn a_forecast_of_the_past_leaves_the_factor_now() {
        let outlook = Outlook::new(
            at("07T12:30"),
            Some(GramsPerKwh(7.0)),
            Some(&forecast(&[1.0, 2.0])),
            1.0,
        );
        assert_eq!(rounded(outlook.mean(at("07T12:30"), HOUR * 5)), Some(7.0));
        assert!(!outlook.is_forecast());
    }

    #[test]
    fn the_greenest_start_is_found_within_reach_and_cover() {
        let hours = [400.0, 300.0, 200.0, 100.0, 100.0, 300.0];
        let forecast = forecast(&hours);
        let now = at("05T12:30");
        let outlook = Outlook::new(now, Some(GramsPerKwh(400.0)), Some(&forecast), 1.0);
        let best = outlook.greener(now, minutes(120), HOUR * 12).unwrap();
        assert_eq!(best.start, at("05T15:00"));
        assert_eq!((best.mean.0, best.mean_now.0), (100.0, 300.0));
        let near = outlook.greener(now, minutes(120), HOUR).unwrap();
        assert_eq!((near.start, near.mean.0), (at("05T13:00"), 250.0));
        let none = outlook.greener(now, minutes(120), minutes(0)).unwrap();
        assert_eq!((none.start, none.mean), (now, none.mean_now));
        // Of equals the earliest; what ends after the last hour is not known.
        let long = outlook.greener(now, HOUR * 4, HOUR * 12).unwrap();
        assert_eq!((long.start, long.mean.0), (at("05T13:00"), 175.0));
        assert_eq!(outlook.greener(now, HOUR * 6, HOUR * 12), None);
        let fixed = Outlook::new(now, Some(GramsPerKwh(7.0)), None, 1.0);
        assert_eq!(fixed.greener(now, HOUR * 6, HOUR * 12), None);
    }
}
