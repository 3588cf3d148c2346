//! What a run will have taken at its end, by how far it is: a pure function of what was told.
//!
//! Progress comes when it comes: late, repeated, in jumps, and back where a run restarts from a checkpoint. What
//! was spent is spent, and only units that were done in a known time say how long the others take
//! (see `trend`). Grams are the joules that remain, spread over the time that remains, at the intensity forecast
//! for those hours; not the mean of the past, as Carbontracker has it.

use super::outlook::Outlook;
use super::trend::{self, Ahead, Part};
use crate::units::{Grams, GramsPerKwh, Joules};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Stretches that are kept; beyond, neighbours are put together two by two.
const MOST: usize = 256;

/// An advance below this share of the total is none.
const LEAST: f64 = 1e-9;

/// What is told first is thought to count from the start of the run up to this share of the total, or one unit;
/// beyond, it is as likely that of a checkpoint that the run started from.
const FROM_START: f64 = 0.1;

/// What is told at less than this share of the time it should have taken came with what was told before it, as
/// programs write out many lines at once.
const TOGETHER: f64 = 0.01;

/// Work that went so many times as fast as before was skipped and not done.
const SKIPPED: f64 = 10.0;

/// Time ahead is bounded: about three centuries in seconds.
const FARTHEST: f64 = 1e10;

/// Standard deviation of a forecast of intensity, as a share of it: the mean error of the best forecasts is about that
/// (9.6 % over 13 grids, as good as the state of the art: abstract of "CarbonX", arXiv, 2025).
const FORECAST: f64 = 0.1;

/// Normal quantile of a two-sided interval of 90 %.
const Z: f64 = 1.644_853_6;

/// How far the work was, and what it had taken by then.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// Since the run began.
    pub at: Duration,
    /// Units done, also in parts: from 0 on.
    pub done: f64,
    /// Used since the run began.
    pub joules: Joules,
}

/// What a run has taken so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Now {
    /// The time of day, for the hours ahead.
    pub wall: Timestamp,
    /// Since the run began.
    pub elapsed: Duration,
    /// Used since the run began.
    pub joules: Joules,
    /// Emitted since the run began, PUE included; `None` where no intensity is known.
    pub grams: Option<Grams>,
}

/// A figure with the interval that holds the truth nine times out of ten. `low` <= `expected` <= `high`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Range<T> {
    /// The best guess.
    pub expected: T,
    /// Below this is the truth of one run in twenty.
    pub low: T,
    /// Above this is the truth of one run in twenty.
    pub high: T,
}

impl<T: Copy> Range<T> {
    fn exactly(value: T) -> Self {
        Self {
            expected: value,
            low: value,
            high: value,
        }
    }

    /// The same of another quantity.
    pub fn map<U>(self, change: impl Fn(T) -> U) -> Range<U> {
        Range {
            expected: change(self.expected),
            low: change(self.low),
            high: change(self.high),
        }
    }
}

/// What the whole run will have taken at its end; never less than it has taken so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// Seconds from its start to its end.
    pub seconds: Range<f64>,
    /// Energy of the whole run.
    pub joules: Range<Joules>,
    /// Emissions of the whole run, PUE included; `None` where no intensity is known.
    pub grams: Option<Range<Grams>>,
}

/// What a stretch of work took.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Stretch {
    units: f64,
    seconds: f64,
    joules: f64,
}

impl Stretch {
    fn add(&mut self, other: Self) {
        self.units += other.units;
        self.seconds += other.seconds;
        self.joules += other.joules;
    }

    fn time(self) -> Part {
        Part {
            units: self.units,
            cost: self.seconds,
        }
    }

    fn energy(self) -> Part {
        Part {
            units: self.units,
            cost: self.joules,
        }
    }
}

/// How far the work is, and how it went: bounded, however often it is told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    total: Option<f64>,
    last: Option<Mark>,
    /// From the start of the run on.
    first: Option<Stretch>,
    stretches: Vec<Stretch>,
    /// Stretches shorter than this many units are not kept apart.
    grain: f64,
}

impl Progress {
    /// Takes a mark in; `total` units are all there is, and the newest total holds. What cannot be true (not
    /// finite, negative, of no total, before the mark before it) is passed over.
    pub fn tell(&mut self, mark: Mark, total: f64) {
        let is_sound = (1e-9..=1e15).contains(&total)
            && (0.0..=1e15).contains(&mark.done)
            && (0.0..=1e18).contains(&mark.joules.0)
            && self.last.is_none_or(|last| last.at <= mark.at);
        if !is_sound {
            return;
        }
        self.total = Some(total);
        let before = self.last.unwrap_or(Mark {
            at: Duration::ZERO,
            done: 0.0,
            joules: Joules::ZERO,
        });
        let units = mark.done - before.done;
        // Said again: what has passed since belongs to the unit that is being worked on.
        if self.last.is_some() && units.abs() < LEAST * total {
            return;
        }
        let is_first = self.last.is_none();
        self.last = Some(mark);
        let stretch = Stretch {
            units,
            seconds: (mark.at - before.at).as_secs_f64(),
            joules: (mark.joules - before.joules).max(Joules::ZERO).0,
        };
        if is_first {
            let unit: f64 = if total > 1.0 { 1.0 } else { 0.0 };
            let is_from_start = mark.done <= unit.max(FROM_START * total);
            let counts = is_from_start && units >= LEAST * total;
            self.first = counts.then_some(stretch);
        } else if units > 0.0 {
            self.take(stretch);
        }
    }

    fn take(&mut self, stretch: Stretch) {
        let usual = trend::median(self.stretches.iter().map(|past| past.seconds / past.units))
            .or_else(|| self.first.map(|first| first.seconds / first.units));
        let unit = self.unit().unwrap_or(stretch.units);
        let share = stretch.seconds / (usual.unwrap_or(0.0) * stretch.units);
        if stretch.units > 3.0 * unit && share * SKIPPED < 1.0 {
            return;
        }
        let newest = self.stretches.last_mut().or(self.first.as_mut());
        match newest {
            Some(newest) if share < TOGETHER || newest.units < self.grain => newest.add(stretch),
            _ => self.stretches.push(stretch),
        }
        if self.stretches.len() > MOST {
            let pairs = self.stretches.chunks(2).map(|pair| {
                let mut sum = pair[0];
                pair.iter().skip(1).for_each(|other| sum.add(*other));
                sum
            });
            self.stretches = pairs.collect();
            self.grain = self.unit().unwrap_or(0.0);
        }
    }

    /// The units that are usually done from one mark to the next.
    fn unit(&self) -> Option<f64> {
        let usual = trend::median(self.stretches.iter().map(|stretch| stretch.units));
        usual.or(self.first.map(|first| first.units))
    }

    /// The share that is done, from 0 to 1; `None` before anything was told.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        Some((self.last?.done / self.total?).clamp(0.0, 1.0))
    }

    /// What the run will have taken. `None` before the first unit is done, and where nobody can tell how long that
    /// took; exactly what was taken once all is done. The interval does not hold what nobody could foresee, nor the
    /// error of a factor that has no forecast.
    #[must_use]
    pub fn predict(&self, now: &Now, outlook: &Outlook) -> Option<Prediction> {
        let (last, total) = (self.last?, self.total?);
        let units = total - last.done;
        let used = Prediction {
            seconds: Range::exactly(now.elapsed.as_secs_f64()),
            joules: Range::exactly(now.joules),
            grams: now.grams.map(Range::exactly),
        };
        if units < LEAST * total {
            return Some(used);
        }
        let part = (self.unit()? / units).min(1.0);
        let ahead = |of: fn(Stretch) -> Part, since: f64| {
            let parts: Vec<Part> = self.stretches.iter().copied().map(of).collect();
            let ahead = trend::ahead(self.first.map(of), &parts, units)?;
            Some(left(ahead, part, since.max(0.0)))
        };
        let since = now.elapsed.saturating_sub(last.at).as_secs_f64();
        let seconds = ahead(Stretch::time, since)?.map(|left| left.min(FARTHEST));
        let joules = ahead(Stretch::energy, now.joules.0 - last.joules.0)?.map(Joules);
        let grams = now
            .grams
            .zip(ahead_grams(now.wall, seconds, joules, outlook));
        Some(Prediction {
            seconds: seconds.map(|left| used.seconds.expected + left),
            joules: joules.map(|left| now.joules + left),
            grams: grams.map(|(used, ahead)| ahead.map(|left| used + left)),
        })
    }
}

/// What is left of work of which `part`, that of one unit, has been going on at a cost of `since`. A unit that
/// takes longer than it should will end soon, or take as long again.
fn left(ahead: Ahead, part: f64, since: f64) -> Range<f64> {
    let left = |cost: f64| cost * (1.0 - part) + (cost * part - since).max(0.0);
    let overdue = (since - ahead.expected * part).max(0.0);
    Range {
        expected: left(ahead.expected),
        low: left(ahead.low),
        high: left(ahead.high) + overdue,
    }
}

/// The grams of the energy left, if it is spread evenly over the time left, however long that is.
fn ahead_grams(
    wall: Timestamp,
    seconds: Range<f64>,
    joules: Range<Joules>,
    outlook: &Outlook,
) -> Option<Range<Grams>> {
    let mean = |seconds: f64| outlook.mean(wall, Duration::from_secs_f64(seconds));
    let expected = mean(seconds.expected)?;
    let (short, long) = (mean(seconds.low)?, mean(seconds.high)?);
    let grams = expected.of(joules.expected);
    let unsure = if outlook.is_forecast() {
        grams.times(FORECAST * Z).0
    } else {
        0.0
    };
    // Three errors that have little to do with each other: of the energy, of the hours it is used in, of the forecast.
    let reach = |energy: Joules, factor: GramsPerKwh| {
        let (of_energy, of_hours) = (expected.of(energy), factor.of(joules.expected));
        let apart = |other: Grams| (other - grams).0;
        Grams(apart(of_energy).hypot(apart(of_hours)).hypot(unsure))
    };
    let low = reach(joules.low, expected.min(short).min(long));
    let high = reach(joules.high, expected.max(short).max(long));
    Some(Range {
        expected: grams,
        low: (grams - low).max(Grams::ZERO),
        high: grams + high,
    })
}

#[cfg(test)]
mod tests;
