//! Which of all that is known is in force: the tiers.

use super::series::{Nature, Point, Scope, Series, after};
use crate::units::GramsPerKwh;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How an intensity was had, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// Observed, and the newest that there can be.
    Live,
    /// Observed, and not so old that it may not stand in.
    Cached,
    /// Forecast for this moment, some time before.
    Forecast,
    /// A mean of a year or of a month.
    Static,
}

impl Tier {
    /// The value of the `tier` label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Cached => "cached",
            Self::Forecast => "forecast",
            Self::Static => "static",
        }
    }
}

/// A provider in the order of the configuration, and what it has told.
#[derive(Clone, Copy, Debug)]
pub struct Link<'a> {
    /// The provider's name.
    pub provider: &'a str,
    /// Who told what is ahead: the same, but where a relay passes on what it has of several.
    pub forecaster: &'a str,
    /// What it has told of the zone.
    pub series: &'a Series,
    /// How long after the end of a point the next one may be missing in the ordinary course of things.
    pub lag: Duration,
    /// Whether its values are means of a month or a year, which no `live` may claim to be.
    pub coarse: bool,
}

/// What is in force, and until when that stands if nothing new is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// How it was had.
    pub tier: Tier,
    /// Who said so.
    pub provider: String,
    /// What it counts.
    pub scope: Option<Scope>,
    /// The value and the time that it is for.
    pub point: Point,
    /// When to choose again.
    pub until: Timestamp,
}

impl Choice {
    /// The intensity.
    #[must_use]
    pub fn intensity(&self) -> GramsPerKwh {
        self.point.intensity
    }
    /// What is to be known of it at the next choice.
    #[must_use]
    pub fn observed(&self) -> Observed {
        Observed {
            from: self.point.from,
            provider: self.provider.clone(),
        }
    }
    /// Whether the provider itself calls it an estimate.
    #[must_use]
    pub fn is_estimated(&self) -> bool {
        self.point.nature == Nature::Estimated
    }
}

/// What was observed and in force before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// When the time began that it is for.
    pub from: Timestamp,
    /// Who said so.
    pub provider: String,
}

/// Chooses: the first tier that any provider has, and of its providers the first in the chain. What was
/// observed is never given up for something observed that is for an earlier time (`before` is what was in
/// force), but for what a provider that stands before that one in the chain tells of now: a provider that
/// answers late after a start, or again after an outage, is in force as if it had always answered.
#[must_use]
pub fn choose(
    chain: &[Link<'_>],
    max_age: Duration,
    before: Option<&Observed>,
    now: Timestamp,
) -> Option<Choice> {
    let observed: Vec<Choice> = chain
        .iter()
        .filter_map(|link| observed(link, max_age, now))
        .collect();
    // What is for this very moment is for no earlier one, however long ago it began.
    let place = |provider: &str| chain.iter().position(|link| link.provider == provider);
    let is_newer = |choice: &&Choice| {
        let Some(before) = before else { return true };
        let is_better = choice.tier == Tier::Live
            && place(&choice.provider)
                .zip(place(&before.provider))
                .is_some_and(|(this, that)| this < that);
        is_better || choice.point.from >= before.from || choice.point.covers(now)
    };
    let best = |tier| {
        observed
            .iter()
            .filter(is_newer)
            .find(|choice| choice.tier == tier)
    };
    let any = |tier| observed.iter().find(|choice| choice.tier == tier);
    let chosen = best(Tier::Live)
        .or_else(|| best(Tier::Cached))
        .or_else(|| any(Tier::Live))
        .or_else(|| any(Tier::Cached));
    let forecast = || chain.iter().find_map(|link| forecast(link, now));
    let coarse = || chain.iter().find_map(|link| coarse(link, now));
    let mut choice = chosen.cloned().or_else(forecast).or_else(coarse)?;
    choice.until = choice.until.min(next(chain, now));
    Some(choice)
}

/// The next moment at which a point that is known already begins, and with it perhaps a better tier; the end
/// of all time where there is none.
#[must_use]
pub fn next(chain: &[Link<'_>], now: Timestamp) -> Timestamp {
    let begins = chain.iter().filter_map(|link| begins(link.series, now));
    begins.min().unwrap_or(Timestamp::MAX)
}

fn choice(link: &Link<'_>, tier: Tier, point: &Point, until: Timestamp) -> Choice {
    Choice {
        tier,
        provider: link.provider.to_owned(),
        scope: link.series.scope,
        point: *point,
        until,
    }
}

fn observed(link: &Link<'_>, max_age: Duration, now: Timestamp) -> Option<Choice> {
    let point = link.series.latest(now).filter(|_| !link.coarse)?;
    let fresh = after(point.until, link.lag);
    let old = after(point.until, max_age.max(link.lag));
    if now < fresh {
        return Some(choice(link, Tier::Live, point, fresh));
    }
    (now < old).then(|| choice(link, Tier::Cached, point, old))
}

fn forecast(link: &Link<'_>, now: Timestamp) -> Option<Choice> {
    let point = link.series.forecast(now)?;
    Some(Choice {
        provider: link.forecaster.to_owned(),
        ..choice(link, Tier::Forecast, point, point.until)
    })
}

fn coarse(link: &Link<'_>, now: Timestamp) -> Option<Choice> {
    let point = link.series.latest(now).filter(|_| link.coarse)?;
    Some(choice(link, Tier::Static, point, Timestamp::MAX))
}

/// The next moment at which a point of a series begins.
fn begins(series: &Series, now: Timestamp) -> Option<Timestamp> {
    let ahead = series.ahead().map(|point| point.from);
    let past = series.past().rev().map(|point| point.from);
    let past = past.take_while(|from| *from > now);
    ahead.filter(|from| *from > now).chain(past).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn at(text: &str) -> Timestamp {
        format!("2026-01-05T{text}:00Z").parse().unwrap()
    }

    fn series(points: &[(&str, f64, Nature)]) -> Series {
        let mut series = Series::default();
        let points: Vec<Point> = points
            .iter()
            .map(|(from, grams, nature)| Point::lasting(at(from), HOUR, *grams, *nature))
            .collect();
        series.take(Scope::Lifecycle, &points, at("12:00"));
        series
    }

    fn link<'a>(provider: &'a str, series: &'a Series) -> Link<'a> {
        Link {
            provider,
            forecaster: provider,
            series,
            lag: HOUR,
            coarse: false,
        }
    }

    /// Tier, provider and grams, and when to choose again.
    fn told(choice: Option<Choice>) -> String {
        choice.map_or_else(String::new, |c| {
            let until = c.until.strftime("%H:%M");
            format!(
                "{} {} {} {until}",
                c.tier.label(),
                c.provider,
                c.intensity().0
            )
        })
    }

    #[test]
    fn each_tier_gives_way_to_the_next_as_time_passes() {
        let a = series(&[
            ("12:00", 300.0, Nature::Measured),
            ("15:00", 250.0, Nature::Forecast),
            ("16:00", 260.0, Nature::Forecast),
            ("17:00", 270.0, Nature::Forecast),
        ]);
        let yearly = series(&[("00:00", 380.0, Nature::Measured)]);
        let mut year = link("static", &yearly);
        year.coarse = true;
        let chain = [link("a", &a), year];
        let max_age = 2 * HOUR + HOUR / 2;
        let tell = |now| told(choose(&chain, max_age, None, at(now)));
        assert_eq!(tell("12:30"), "live a 300 14:00");
        assert_eq!(tell("13:59"), "live a 300 14:00");
        assert_eq!(tell("14:00"), "cached a 300 15:00");
        assert_eq!(tell("15:29"), "cached a 300 15:30");
        assert_eq!(tell("15:30"), "forecast a 250 16:00");
        assert_eq!(tell("17:10"), "forecast a 270 18:00");
        assert!(tell("18:00").starts_with("static static 380"));
    }

    #[test]
    fn the_first_provider_of_the_best_tier_counts() {
        let old = series(&[("09:00", 100.0, Nature::Measured)]);
        let new = series(&[("12:00", 300.0, Nature::Estimated)]);
        let newer = series(&[("12:00", 310.0, Nature::Measured)]);
        let chain = [link("old", &old), link("new", &new), link("newer", &newer)];
        let choice = choose(&chain, 6 * HOUR, None, at("12:30")).unwrap();
        assert_eq!((choice.provider.as_str(), choice.tier), ("new", Tier::Live));
        assert!(choice.is_estimated());
    }

    fn before(choice: &Option<Choice>) -> Option<Observed> {
        choice.as_ref().map(Choice::observed)
    }

    #[test]
    fn time_never_goes_backwards_while_what_was_in_force_may_stand() {
        let fresh = series(&[("11:00", 300.0, Nature::Measured)]);
        let slow = series(&[("09:00", 100.0, Nature::Measured)]);
        let mut slow = link("slow", &slow);
        slow.lag = 6 * HOUR;
        let chain = [link("fresh", &fresh), slow];
        let first = choose(&chain, 4 * HOUR, None, at("12:30"));
        assert_eq!(told(first.clone()), "live fresh 300 13:00");
        // `slow` would be live and is for 9 o'clock.
        let second = choose(&chain, 4 * HOUR, before(&first).as_ref(), at("13:30"));
        assert_eq!(told(second.clone()), "cached fresh 300 16:00");
        let third = choose(&chain, HOUR, before(&second).as_ref(), at("15:00"));
        assert_eq!(told(third), "live slow 100 16:00");
    }

    #[test]
    fn a_value_for_now_is_of_no_earlier_time_however_long_it_is_for() {
        let hourly = series(&[("12:00", 300.0, Nature::Measured)]);
        let mut quarters = Series::default();
        let quarter = Point::lasting(at("12:30"), HOUR / 4, 100.0, Nature::Measured);
        quarters.take(Scope::Direct, &[quarter], at("12:31"));
        let second = [link("quarters", &quarters)];
        let first = choose(&second, 2 * HOUR, None, at("12:31"));
        assert_eq!(told(first.clone()), "live quarters 100 13:45");
        // The first answers later, or again: it is in force, or it would never be while the other one is well.
        let chain = [link("hourly", &hourly), link("quarters", &quarters)];
        let both = choose(&chain, 2 * HOUR, before(&first).as_ref(), at("12:32"));
        assert_eq!(told(both), "live hourly 300 14:00");
    }

    #[test]
    fn the_first_in_the_chain_is_in_force_however_late_it_answers() {
        let fresh = series(&[("11:00", 300.0, Nature::Measured)]);
        let trusted = series(&[("09:00", 100.0, Nature::Measured)]);
        let silent = Series::default();
        let mut first = link("trusted", &silent);
        first.lag = 6 * HOUR;
        // The second answers sooner after a start.
        let start = choose(&[first, link("fresh", &fresh)], 4 * HOUR, None, at("12:30"));
        assert_eq!(told(start.clone()), "live fresh 300 13:00");
        first.series = &trusted;
        let chain = [first, link("fresh", &fresh)];
        let then = choose(&chain, 4 * HOUR, before(&start).as_ref(), at("12:31"));
        assert_eq!(told(then), "live trusted 100 16:00");
        // What may only stand in is no reason to go back.
        first.lag = HOUR;
        let chain = [first, link("fresh", &fresh)];
        let then = choose(&chain, 4 * HOUR, before(&start).as_ref(), at("13:30"));
        assert_eq!(told(then), "cached fresh 300 16:00");
    }

    #[test]
    fn nothing_known_is_nothing() {
        let none = Series::default();
        assert_eq!(choose(&[link("a", &none)], HOUR, None, at("12:00")), None);
        assert_eq!(choose(&[], HOUR, None, at("12:00")), None);
    }
}
