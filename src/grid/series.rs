//! Intensities over time, as a provider tells them and as they are kept.

use super::provider::Origin;
use crate::units::GramsPerKwh;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// What an intensity answers: what a kWh emits that is used (average), or one that is used in addition
/// (marginal). They are never mixed; grams use the average.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Signal {
    /// All emissions of the zone over all its consumption or generation.
    #[default]
    Average,
    /// The emissions of the plants that answer to one more kWh.
    Marginal,
}

impl Signal {
    /// The value of the `signal` label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Average => "average",
            Self::Marginal => "marginal",
        }
    }
}

/// What an intensity counts.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// With fuel supply, and building and ending the plants.
    Lifecycle,
    /// What leaves the stacks.
    Direct,
}

impl Scope {
    /// The value of the `scope` label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Lifecycle => "lifecycle",
            Self::Direct => "direct",
        }
    }
}

/// How a provider came by a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Nature {
    /// From meters.
    Measured,
    /// By the provider's own estimate of what was.
    Estimated,
    /// Before its time.
    Forecast,
    /// As the days before were, which a relay made of them: nobody forecast it. It is shown, and never in
    /// force.
    Seasonal,
}

impl Nature {
    /// Whether it is of what was, and not of what will be.
    #[must_use]
    pub fn is_observed(self) -> bool {
        matches!(self, Self::Measured | Self::Estimated)
    }
}

/// The intensity of a span of time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// From when, ...
    pub from: Timestamp,
    /// ... until when: later than `from`.
    pub until: Timestamp,
    /// How much.
    pub intensity: GramsPerKwh,
    /// How it was had.
    pub nature: Nature,
}

impl Point {
    /// A point of so long from a moment on.
    #[must_use]
    pub fn lasting(from: Timestamp, time: Duration, grams: f64, nature: Nature) -> Self {
        Self {
            from,
            until: after(from, time),
            intensity: GramsPerKwh(grams),
            nature,
        }
    }

    /// Whether it is for this moment.
    #[must_use]
    pub fn covers(&self, at: Timestamp) -> bool {
        self.from <= at && at < self.until
    }

    /// Whether any grid can be so: 0 to [`MOST`] g/kWh over a span of at most a year and some days.
    #[must_use]
    pub fn is_believable(&self) -> bool {
        let span = self
            .from
            .until(self.until)
            .and_then(|span| span.total(jiff::Unit::Hour));
        let is_span = span.is_ok_and(|hours| hours > 0.0 && hours <= 9000.0);
        is_span && (0.0..=MOST).contains(&self.intensity.0)
    }
}

/// The most that is believed of a grid, in g/kWh: the oldest lignite plants emit about 1300 at the stack,
/// and in pounds for each MWh twice as many, so that a wrong unit shows.
pub const MOST: f64 = 2000.0;

/// The moment a time later; the end of all time where there is none.
#[must_use]
pub fn after(at: Timestamp, time: Duration) -> Timestamp {
    let time = SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX);
    at.checked_add(time).unwrap_or(Timestamp::MAX)
}

/// The moment a time earlier; the beginning of all time where there is none.
#[must_use]
pub fn before(at: Timestamp, time: Duration) -> Timestamp {
    let time = SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX);
    at.checked_sub(time).unwrap_or(Timestamp::MIN)
}

/// What one provider has told of a zone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// What its values count; `None` before the first.
    pub scope: Option<Scope>,
    /// Whose they are, where the provider only passes them on.
    #[serde(default)]
    pub of: Option<Origin>,
    /// What was, by its beginning.
    past: BTreeMap<Timestamp, Point>,
    /// What is to come.
    ahead: BTreeMap<Timestamp, Point>,
}

/// How far back what was is kept: a week of hours to forecast by, and a day.
const KEPT: Duration = Duration::from_secs(8 * 86400);

/// Points kept of each: eight days of five minutes, and a little.
const POINTS: usize = 2400;

/// What begins later than this from now has not been observed, whatever a provider says: clocks differ by
/// seconds, time zones by an hour.
const SKEW: Duration = Duration::from_secs(900);

/// How far ahead forecasts are kept.
const AHEAD: Duration = Duration::from_secs(80 * 3600);

impl Series {
    /// Takes what a provider tells; says how many points were refused because they cannot be.
    pub fn take(&mut self, scope: Scope, points: &[Point], now: Timestamp) -> usize {
        if self.scope != Some(scope) {
            // What counts something else is another series.
            *self = Self {
                scope: Some(scope),
                of: self.of.take(),
                ..Self::default()
            };
        }
        let mut refused = 0;
        for point in points {
            let observed = point.nature.is_observed();
            if !point.is_believable() || (observed && point.from > after(now, SKEW)) {
                refused += 1;
            } else if observed {
                self.past.insert(point.from, *point);
            } else if point.until > now && point.from < after(now, AHEAD) {
                self.ahead.insert(point.from, *point);
            }
        }
        self.forget(now);
        refused
    }

    /// Forgets what begins at a moment or later.
    pub fn retract(&mut self, from: Timestamp) {
        self.past.split_off(&from);
        self.ahead.split_off(&from);
    }

    /// Leaves out what cannot be.
    pub fn check(&mut self) {
        for points in [&mut self.past, &mut self.ahead] {
            points.retain(|from, point| *from == point.from && point.is_believable());
        }
        self.past.retain(|_, point| point.nature.is_observed());
        self.ahead.retain(|_, point| !point.nature.is_observed());
        self.bound();
        if self.of.as_ref().is_some_and(|of| !of.is_believable()) {
            *self = Self::default();
        }
    }

    /// Forgets all that is to come.
    pub fn expect_nothing(&mut self) {
        self.ahead.clear();
    }

    fn forget(&mut self, now: Timestamp) {
        let oldest = before(now, KEPT);
        // The last one is kept however old: a yearly mean begins long ago.
        let last = self.past.keys().next_back().copied();
        self.past
            .retain(|from, point| point.until > oldest || Some(*from) == last);
        self.ahead.retain(|_, point| point.until > now);
        self.bound();
    }

    fn bound(&mut self) {
        while self.past.len() > POINTS {
            self.past.pop_first();
        }
        while self.ahead.len() > POINTS {
            self.ahead.pop_last();
        }
    }

    /// The last value observed by `now`.
    #[must_use]
    pub fn latest(&self, now: Timestamp) -> Option<&Point> {
        self.past.range(..=now).next_back().map(|(_, point)| point)
    }

    /// Whether this point is one of its own.
    #[must_use]
    pub fn has(&self, point: &Point) -> bool {
        let all = [&self.past, &self.ahead];
        all.iter()
            .any(|points| points.get(&point.from) == Some(point))
    }

    /// What was forecast for a moment.
    #[must_use]
    pub fn forecast(&self, at: Timestamp) -> Option<&Point> {
        self.expected(at)
            .filter(|point| point.nature == Nature::Forecast)
    }

    /// What is to come by who told it, be it a forecast or as the days before.
    #[must_use]
    pub fn expected(&self, at: Timestamp) -> Option<&Point> {
        let (_, point) = self.ahead.range(..=at).next_back()?;
        Some(point).filter(|point| point.covers(at))
    }

    /// What was observed of a moment.
    #[must_use]
    pub fn observed(&self, at: Timestamp) -> Option<&Point> {
        self.latest(at).filter(|point| point.covers(at))
    }

    /// All points observed, oldest first.
    pub fn past(&self) -> impl DoubleEndedIterator<Item = &Point> {
        self.past.values()
    }

    /// All points forecast, next first.
    pub fn ahead(&self) -> impl DoubleEndedIterator<Item = &Point> {
        self.ahead.values()
    }

    /// The mean over an hour of what is known by `point_at`, looked at every five minutes: `None` where
    /// any of it is not known.
    #[must_use]
    pub fn mean(
        hour: Timestamp,
        point_at: impl Fn(Timestamp) -> Option<GramsPerKwh>,
    ) -> Option<GramsPerKwh> {
        let steps = (0..12).map(|step| after(hour, Duration::from_secs(step * 300)));
        let known: Option<GramsPerKwh> = steps.map(point_at).sum();
        known.map(|sum| sum.times(1.0 / 12.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        format!("2026-01-05T{text}Z").parse().unwrap()
    }

    fn hour(from: &str, grams: f64, nature: Nature) -> Point {
        Point::lasting(at(from), Duration::from_secs(3600), grams, nature)
    }

    #[test]
    fn the_last_value_wins_whatever_order_they_come_in() {
        let mut series = Series::default();
        let now = at("12:30:00");
        let points = [
            hour("12:00:00", 300.0, Nature::Estimated),
            hour("10:00:00", 100.0, Nature::Measured),
            hour("11:00:00", 200.0, Nature::Measured),
        ];
        assert_eq!(series.take(Scope::Lifecycle, &points, now), 0);
        assert_eq!(series.latest(now).unwrap().intensity, GramsPerKwh(300.0));
        // An old answer that comes late moves nothing backwards.
        let late = [hour("11:00:00", 210.0, Nature::Measured)];
        series.take(Scope::Lifecycle, &late, now);
        assert_eq!(series.latest(now).unwrap().intensity, GramsPerKwh(300.0));
        let then = series.observed(at("11:59:59")).unwrap();
        assert_eq!(then.intensity, GramsPerKwh(210.0), "a correction");
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let mut series = Series::default();
        let now = at("12:30:00");
        let backwards = Point {
            until: at("11:00:00"),
            ..hour("12:00:00", 1.0, Nature::Measured)
        };
        let points = [
            hour("12:00:00", -1.0, Nature::Measured),
            hour("12:00:00", 2000.1, Nature::Measured),
            hour("12:00:00", f64::NAN, Nature::Measured),
            hour("14:00:00", 100.0, Nature::Measured),
            backwards,
        ];
        assert_eq!(series.take(Scope::Direct, &points, now), 5);
        assert_eq!(series.latest(now), None);
        assert_eq!(series.past().count() + series.ahead().count(), 0);
    }

    #[test]
    fn a_forecast_is_kept_until_its_time_has_passed() {
        let mut series = Series::default();
        let points: Vec<Point> = (12..20)
            .map(|h| hour(&format!("{h}:00:00"), f64::from(h), Nature::Forecast))
            .collect();
        series.take(Scope::Lifecycle, &points, at("12:30:00"));
        assert_eq!(series.forecast(at("15:59:59")).unwrap().intensity.0, 15.0);
        assert_eq!(series.forecast(at("20:00:00")), None);
        series.take(Scope::Lifecycle, &[], at("16:00:00"));
        assert_eq!(series.ahead().count(), 4);
        assert_eq!(series.latest(at("16:00:00")), None, "it was never observed");
    }

    #[test]
    fn what_counts_something_else_is_another_series() {
        let mut series = Series::default();
        let now = at("12:30:00");
        let points = [hour("12:00:00", 300.0, Nature::Measured)];
        series.take(Scope::Lifecycle, &points, now);
        series.take(Scope::Direct, &[], now);
        assert_eq!(series.latest(now), None);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut series = Series::default();
        let start = at("00:00:00");
        for day in 0..30_u64 {
            let now = after(start, Duration::from_secs(86400 * (day + 1)));
            let points: Vec<Point> = (0..1440_u64)
                .map(|minute| {
                    let from = after(start, Duration::from_secs(86400 * day + 60 * minute));
                    Point::lasting(from, Duration::from_secs(60), 1.0, Nature::Measured)
                })
                .collect();
            series.take(Scope::Direct, &points, now);
            assert!(series.past().count() <= POINTS);
        }
    }

    #[test]
    fn the_mean_of_an_hour_needs_all_of_it() {
        let known = |at: Timestamp| (at < self::at("13:30:00")).then_some(GramsPerKwh(100.0));
        assert_eq!(
            Series::mean(at("12:00:00"), known).unwrap().0.round(),
            100.0
        );
        assert_eq!(Series::mean(at("13:00:00"), known), None);
    }
}
