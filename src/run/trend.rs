//! What the rest of some work will take, by what its parts have taken.
//!
//! Of four views of the past the simplest that explains it is taken (least Bayesian information criterion: Schwarz,
//! "Estimating the dimension of a model", Annals of Statistics 6, 1978): each unit takes the same; each does since some
//! moment, as after a warm-up; or each takes a bit more, or less, than the one before. The last only where the
//! Mann-Kendall test finds a trend (Mann, Econometrica 13, 1945; Kendall, "Rank Correlation Methods", 1948); its slope is
//! the median of all slopes between two parts (Theil, 1950; Sen, Journal of the American Statistical Association 63, 1968).

/// A part of the work.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Part {
    /// How much of it: above 0.
    pub units: f64,
    /// What it took, in seconds or in joules: from 0 on.
    pub cost: f64,
}

/// What work will take. `low` <= `expected` <= `high`, all from 0 on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ahead {
    pub expected: f64,
    pub low: f64,
    pub high: f64,
}

/// The first part has the start of the program in it (loading, compilation, cold caches): it counts only while it is
/// like the others, to this share of their median.
const LIKE_OTHERS: f64 = 0.25;

/// Alone, it says this little: the rest may take a quarter of it, or twice as much.
const ALONE: (f64, f64) = (0.25, 2.0);

/// A part is odd where a unit of it took so many times the median, or less than one such part of it.
const ODD: f64 = 3.0;

/// Normal quantile of a two-sided interval of 90 %.
const Z: f64 = 1.644_853_6;

/// Before there are parts to judge by, a part is thought to be this far from the mean, as if by so many parts seen.
const PRIOR: (f64, f64) = (0.1, 2.0);

/// How much a unit may come to differ over the whole run, as a share of what it takes, before a trend is seen, and
/// how much it may where one is clear: standard deviations.
const DRIFT: (f64, f64) = (0.35, 1.0);

/// Differences below this share are none: clocks and sensors are not better.
const NOISE: f64 = 0.005;

/// Fewest parts on each side of a change.
const SIDE: usize = 3;

/// Where the statistic of Mann and Kendall is above this, chance alone has less than 1 % of it.
const CLEAR: f64 = 2.576;

/// A rising trend goes on no further than to so many times what a unit takes now. A falling one does not go on:
/// caches fill and compilers finish, and then it is over.
const FARTHEST: f64 = 3.0;

/// A part at its place in the work.
#[derive(Clone, Copy, Debug)]
struct Sample {
    /// The middle of the part, in units of work since the first.
    place: f64,
    units: f64,
    /// Cost of a unit.
    rate: f64,
}

/// What `units` more will take; `first` is the part from the start of the program on. `None` where nothing was done.
pub(super) fn ahead(first: Option<Part>, rest: &[Part], units: f64) -> Option<Ahead> {
    let Some(typical) = median(rest.iter().map(|part| part.cost / part.units)) else {
        let first = first?;
        let expected = first.cost / first.units * units;
        return Some(Ahead {
            expected,
            low: expected * ALONE.0,
            high: expected * ALONE.1,
        });
    };
    let first =
        first.filter(|part| (part.cost / part.units - typical).abs() <= LIKE_OTHERS * typical);
    let mut end = 0.0;
    let parts = first.iter().chain(rest);
    let samples = parts.map(|part| {
        end += part.units;
        Sample {
            place: end - part.units / 2.0,
            units: part.units,
            rate: part.cost / part.units,
        }
    });
    let mut samples: Vec<Sample> = samples.collect();
    let lapse = without_the_odd(&mut samples);
    Some(project(&samples, end, units, lapse))
}

/// Takes out what happened once: it is no habit. Returns how much more such a part took than it should have.
fn without_the_odd(samples: &mut Vec<Sample>) -> f64 {
    let Some(typical) = median(samples.iter().map(|sample| sample.rate)) else {
        return 0.0;
    };
    let mut lapse = 0.0;
    if samples.len() <= SIDE {
        return lapse;
    }
    let is_slow = |sample: &Sample| sample.rate > ODD * typical;
    let is_fast = |sample: &Sample| sample.rate * ODD < typical;
    if samples.iter().filter(|sample| is_slow(sample)).count() == 1 {
        let slow = samples.iter().find(|sample| is_slow(sample));
        lapse = slow.map_or(0.0, |slow| (slow.rate - typical) * slow.units);
        samples.retain(|sample| !is_slow(sample));
    }
    if samples.iter().filter(|sample| is_fast(sample)).count() == 1 {
        samples.retain(|sample| !is_fast(sample));
    }
    lapse
}

/// From `end` on, `units` more.
fn project(samples: &[Sample], end: f64, units: f64, lapse: f64) -> Ahead {
    let (kept, slope) = explain(samples);
    let fit = Fit::new(kept, slope.unwrap_or(0.0));
    #[allow(clippy::cast_precision_loss)]
    let count = kept.len() as f64;
    let parameters = if slope.is_some() { 2.0 } else { 1.0 };
    // The variance of one unit, by what was seen and what was thought before.
    let thought = (PRIOR.0 * fit.mean).powi(2) * fit.units / count;
    let freedom = (count - parameters).max(0.0) + PRIOR.1;
    let variance = (fit.squares + PRIOR.1 * thought) / freedom;
    // Drift: what is seen of the slope, and what is thought of slopes.
    let drift = if slope.is_some() { DRIFT.1 } else { DRIFT.0 };
    let prior = (drift * fit.mean / (fit.units + units)).powi(2);
    let seen = variance / fit.spread;
    let shrink = if prior > 0.0 {
        prior / (prior + seen)
    } else {
        0.0
    };
    let unsure = if seen.is_finite() {
        seen * shrink
    } else {
        prior
    };
    let slope = slope.unwrap_or(0.0) * shrink;

    let middle = end + units / 2.0 - fit.place;
    let now = (fit.mean + slope * (end - fit.place)).max(0.0);
    let rate = (fit.mean + slope * middle).clamp(now, now * FARTHEST);
    let expected = rate * units;
    let spread = variance * (units + units * units / fit.units) + (units * middle).powi(2) * unsure;
    let again = lapse * lapse * units / (end + units);
    let reach = student(freedom);
    Ahead {
        expected,
        low: (expected - reach * spread.sqrt()).max(0.0),
        high: expected + reach * (spread + again).sqrt(),
    }
}

/// The newest samples that one view explains, and their slope where they have a trend.
fn explain(samples: &[Sample]) -> (&[Sample], Option<f64>) {
    let mut from = 0;
    while samples.len() - from >= 2 * SIDE {
        let kept = &samples[from..];
        let level = Fit::new(kept, 0.0);
        let line =
            trend(kept).map(|slope| (slope, criterion(kept, Fit::new(kept, slope).squares, 2.0)));
        let mut best = criterion(kept, level.squares, 1.0);
        let mut slope = None;
        if let Some((rising, worth)) = line
            && worth < best
        {
            best = worth;
            slope = Some(rising);
        }
        match change(kept) {
            Some((at, squares))
                if criterion(kept, squares, 4.0) < best && is_new(samples, from + at) =>
            {
                from += at;
            }
            _ => return (kept, slope),
        }
    }
    (&samples[from..], None)
}

/// The place that cuts samples into two levels best, and what it leaves unexplained.
fn change(samples: &[Sample]) -> Option<(usize, f64)> {
    let cuts = SIDE..=samples.len().checked_sub(SIDE)?;
    let squares = |at: usize| {
        let (before, after) = samples.split_at(at);
        Fit::new(before, 0.0).squares + Fit::new(after, 0.0).squares
    };
    cuts.map(|at| (at, squares(at)))
        .min_by(|(_, a), (_, b)| a.total_cmp(b))
}

/// Whether the samples from `at` on are at a level that was never before: else they are a phase of what comes and
/// goes, and the mean of all is the better guess.
fn is_new(samples: &[Sample], at: usize) -> bool {
    let (before, after) = samples.split_at(at);
    let low = after
        .iter()
        .map(|sample| sample.rate)
        .fold(f64::MAX, f64::min);
    let high = after.iter().map(|sample| sample.rate).fold(0.0, f64::max);
    let within = |sample: &&Sample| (low..=high).contains(&sample.rate);
    before.iter().filter(within).count() * 10 <= before.len()
}

/// The slope, where there is a trend.
fn trend(samples: &[Sample]) -> Option<f64> {
    let pairs = (0..samples.len()).flat_map(|i| (0..i).map(move |j| (samples[j], samples[i])));
    let rises: f64 = pairs.clone().map(|(a, b)| sign(b.rate - a.rate)).sum();
    #[allow(clippy::cast_precision_loss)]
    let n = samples.len() as f64;
    let variance = n * (n - 1.0) * (2.0 * n + 5.0) / 18.0;
    if (rises.abs() - 1.0) / variance.sqrt() <= CLEAR {
        return None;
    }
    median(pairs.map(|(a, b)| (b.rate - a.rate) / (b.place - a.place)))
}

fn sign(difference: f64) -> f64 {
    if difference == 0.0 {
        0.0
    } else {
        difference.signum()
    }
}

/// Bayesian information criterion of a view with so many parameters that leaves `squares` unexplained.
fn criterion(samples: &[Sample], squares: f64, parameters: f64) -> f64 {
    #[allow(clippy::cast_precision_loss)]
    let n = samples.len() as f64;
    let units: f64 = samples.iter().map(|sample| sample.units).sum();
    let mean = samples
        .iter()
        .map(|sample| sample.rate * sample.units)
        .sum::<f64>()
        / units;
    let least = (NOISE * mean).powi(2) * units;
    n * (squares.max(least).max(f64::MIN_POSITIVE) / n).ln() + parameters * n.ln()
}

/// A line of a given slope through the mean of samples, each counted by its units.
struct Fit {
    units: f64,
    /// The mean place, and the mean rate there.
    place: f64,
    mean: f64,
    /// Squared differences from the line.
    squares: f64,
    /// Squared differences of the places from their mean.
    spread: f64,
}

impl Fit {
    fn new(samples: &[Sample], slope: f64) -> Self {
        let sum = |of: &dyn Fn(&Sample) -> f64| -> f64 {
            samples.iter().map(|sample| of(sample) * sample.units).sum()
        };
        let units = sum(&|_| 1.0);
        let place = sum(&|sample| sample.place) / units;
        let mean = sum(&|sample| sample.rate) / units;
        Self {
            units,
            place,
            mean,
            squares: sum(&|sample| (sample.rate - mean - slope * (sample.place - place)).powi(2)),
            spread: sum(&|sample| (sample.place - place).powi(2)),
        }
    }
}

/// The middle of values: the mean of both middle ones where their count is even.
pub(super) fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    let middle = values.len() / 2;
    if values.is_empty() {
        return None;
    }
    let is_even = values.len().is_multiple_of(2);
    let (below, upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    let upper = *upper;
    let lower = below.iter().copied().max_by(f64::total_cmp);
    Some(
        lower
            .filter(|_| is_even)
            .map_or(upper, |lower| f64::midpoint(lower, upper)),
    )
}

/// Quantile of Student's distribution for a two-sided interval of 90 %, by the series of Abramowitz and Stegun,
/// "Handbook of Mathematical Functions", 26.7.5: 1 % too low at 3 degrees of freedom, exact at many.
fn student(freedom: f64) -> f64 {
    let g1 = (Z.powi(3) + Z) / 4.0;
    let g2 = (5.0 * Z.powi(5) + 16.0 * Z.powi(3) + 3.0 * Z) / 96.0;
    let g3 = (3.0 * Z.powi(7) + 19.0 * Z.powi(5) + 17.0 * Z.powi(3) - 15.0 * Z) / 384.0;
    Z + g1 / freedom + g2 / freedom.powi(2) + g3 / freedom.powi(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What 100 more units take after single units that took so long.
    fn after(rates: &[f64]) -> Ahead {
        let parts = rates.iter().map(|rate| Part {
            units: 1.0,
            cost: *rate,
        });
        let parts: Vec<Part> = parts.collect();
        ahead(None, &parts, 100.0).unwrap()
    }

    #[track_caller]
    fn near(value: f64, expected: f64, tolerance: f64) {
        let is_near = (value - expected).abs() <= tolerance * expected;
        assert!(is_near, "{value}, not {expected}");
    }

    #[test]
    fn a_change_for_good_is_followed_and_a_phase_is_not() {
        let phase = |rate: f64| [rate, rate * 1.01, rate * 0.99].repeat(3);
        let changed = [phase(1.0), phase(2.0)].concat();
        near(after(&changed).expected, 200.0, 0.02);
        let came_and_went = [phase(1.0), phase(2.0), phase(1.0)].concat();
        near(after(&came_and_went).expected, 400.0 / 3.0, 0.02);
    }

    #[test]
    fn what_happened_once_is_no_habit_and_twice_is_one() {
        let mut rates = [1.0; 20];
        let steady = after(&rates);
        rates[9] = 11.0;
        let once = after(&rates);
        near(once.expected, 100.0, 1e-9);
        assert!(once.high > steady.high + 5.0, "it may come again");
        rates[15] = 11.0;
        near(after(&rates).expected, 200.0, 1e-9);
        rates[9] = 1.0;
        rates[15] = 0.01;
        near(after(&rates).expected, 100.0, 1e-9);
    }

    #[test]
    fn a_trend_is_clear_or_is_none() {
        let rising: Vec<f64> = (0..40).map(|unit| 1.0 + f64::from(unit) * 0.02).collect();
        near(after(&rising).expected, 279.0, 0.03);
        let falling: Vec<f64> = rising.iter().rev().copied().collect();
        near(after(&falling).expected, 100.0, 0.03);
        let endless: Vec<f64> = (0..40).map(|unit| 0.01 + f64::from(unit)).collect();
        assert!(after(&endless).expected <= 3.0 * 100.0 * 40.0);
        let restless: Vec<f64> = (0..40)
            .map(|unit| 1.0 + f64::from(unit * 7 % 5) * 0.1)
            .collect();
        near(after(&restless).expected, 120.0, 1e-9);
    }

    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (freedom, quantile) in [(3.0, 2.353), (5.0, 2.015), (10.0, 1.812), (100.0, 1.660)] {
            near(student(freedom), quantile, 0.01);
        }
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), Some(2.5));
        assert_eq!(median(std::iter::empty()), None);
    }
}
