//! Pictures of a report: bars and a line, drawn as SVG.

use super::super::time::{DAY, HOUR};
use super::super::{Hour, Report};
use crate::output::{factor, three_digits};
use crate::units::{Grams, Joules};
use jiff::Timestamp;
use maud::{Markup, html};
use std::fmt::Write;

/// The picture, in its own units.
const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 170.0;
/// Left of it stand the numbers, below it the dates.
const LEFT: f64 = 46.0;
const BELOW: f64 = 20.0;
const ABOVE: f64 = 8.0;
/// Bars that can be told apart.
const MOST: usize = 100;

/// A chart with its heading.
pub struct Chart {
    /// What it shows, with its unit.
    pub title: String,
    /// The chart.
    pub picture: Markup,
    /// What has to be known of it.
    pub note: Option<String>,
}

/// What a bar is of.
struct Bucket {
    from: i64,
    joules: Joules,
    grams: Option<Grams>,
}

/// Hours, days or weeks: whatever gives bars that can be told apart.
fn buckets(report: &Report) -> (i64, &'static str, Vec<Bucket>) {
    let hours = report.hours.len();
    let (size, word) = match hours {
        _ if hours <= MOST => (HOUR, "hour"),
        _ if hours / 24 <= MOST => (DAY, "day"),
        _ => (7 * DAY, "week"),
    };
    // Days begin at midnight UTC; weeks with the time itself.
    let first = match size {
        DAY => report.span.from.div_euclid(DAY) * DAY,
        _ => report.span.from,
    };
    let mut all: Vec<Bucket> = Vec::new();
    for hour in &report.hours {
        let from = first + (hour.second - first).div_euclid(size) * size;
        let add = |bucket: &mut Bucket, hour: &Hour| {
            bucket.joules += hour.energy_joules;
            if let Some(grams) = hour.co2e_grams {
                bucket.grams = Some(bucket.grams.unwrap_or_default() + grams);
            }
        };
        match all.last_mut() {
            Some(bucket) if bucket.from == from => add(bucket, hour),
            _ => {
                let mut bucket = Bucket {
                    from,
                    joules: Joules::ZERO,
                    grams: None,
                };
                add(&mut bucket, hour);
                all.push(bucket);
            }
        }
    }
    (size, word, all)
}

/// The time of a chart, and where in it a moment stands.
struct Axis {
    from: i64,
    to: i64,
}

impl Axis {
    #[allow(clippy::cast_precision_loss)]
    fn at(&self, second: i64) -> f64 {
        let share = (second - self.from) as f64 / (self.to - self.from).max(1) as f64;
        LEFT + share * (WIDTH - LEFT)
    }

    /// About eight dates, at midnights, or hours of the day where it is short.
    fn marks(&self) -> Vec<(f64, String)> {
        let length = self.to - self.from;
        let sizes = [
            HOUR,
            3 * HOUR,
            6 * HOUR,
            12 * HOUR,
            DAY,
            2 * DAY,
            5 * DAY,
            7 * DAY,
            14 * DAY,
            30 * DAY,
            91 * DAY,
            365 * DAY,
            1461 * DAY,
        ];
        let size = sizes
            .into_iter()
            .find(|size| length / size <= 9)
            .unwrap_or(length.max(1));
        let first = (self.from + size - 1).div_euclid(size) * size;
        let format = match size {
            ..DAY => "%-d %b %H:%M",
            _ if size < 30 * DAY => "%-d %b",
            _ => "%b %Y",
        };
        let marks = (0..)
            .map(|number| first + number * size)
            .take_while(|second| *second < self.to);
        let marks = marks.map(|second| {
            let moment = Timestamp::from_second(second).unwrap_or_default();
            (self.at(second), moment.strftime(format).to_string())
        });
        // A word at the right end would be cut.
        marks.filter(|(x, _)| *x < WIDTH - 40.0).collect()
    }
}

/// The next of 1, 2, 5, 10, 20, ... that is not below, so that the scale has round numbers.
fn round_up(value: f64) -> f64 {
    let size = 10_f64.powf(value.max(1e-12).log10().floor());
    let steps = [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    let step = steps
        .into_iter()
        .find(|step| size * step >= value * 0.999_999);
    size * step.unwrap_or(10.0)
}

fn height(share: f64) -> f64 {
    ABOVE + (1.0 - share) * (HEIGHT - ABOVE)
}

/// A frame with a scale from 0 to `most`, and what stands in it.
fn frame(axis: &Axis, most: f64, inside: &Markup, said: &str) -> Markup {
    html! {
        svg viewBox=(format!("0 0 {WIDTH} {}", HEIGHT + BELOW)) role="img" aria-label=(said) {
            @for share in [0.0, 0.5, 1.0] {
                line.rule x1=(LEFT) x2=(WIDTH) y1=(height(share)) y2=(height(share)) {}
                text x=(LEFT - 6.0) y=(height(share) + 4.0) text-anchor="end" { (factor(most * share)) }
            }
            (inside)
            @for (x, name) in axis.marks() {
                line.rule x1=(x) x2=(x) y1=(HEIGHT) y2=(HEIGHT + 5.0) {}
                text x=(x + 3.0) y=(HEIGHT + 15.0) { (name) }
            }
        }
    }
}

/// The time that both charts show: whole bars.
fn axis(size: i64, buckets: &[Bucket], report: &Report) -> Axis {
    Axis {
        from: buckets
            .first()
            .map_or(report.span.from, |bucket| bucket.from),
        to: buckets
            .last()
            .map_or(report.span.to, |bucket| bucket.from + size),
    }
}

/// CO2e of each hour, day or week; energy where there are no grams.
#[must_use]
pub fn bars(report: &Report) -> Chart {
    let (size, word, buckets) = buckets(report);
    let has_grams = report.total.co2e_grams.is_some();
    let value = |bucket: &Bucket| match has_grams {
        true => bucket.grams.unwrap_or_default().0,
        false => bucket.joules.kwh() * 1000.0,
    };
    let largest = buckets.iter().map(value).fold(0.0, f64::max);
    let (by, unit) = match (has_grams, largest) {
        (true, 1e6..) => (1e6, "t"),
        (true, 1e3..) => (1e3, "kg"),
        (true, _) => (1.0, "g"),
        (false, 1e6..) => (1e6, "MWh"),
        (false, 1e3..) => (1e3, "kWh"),
        (false, _) => (1.0, "Wh"),
    };
    let most = round_up(largest / by);
    let axis = axis(size, &buckets, report);
    let mut path = String::new();
    for bucket in &buckets {
        let (left, right) = (axis.at(bucket.from), axis.at(bucket.from + size));
        let gap = ((right - left) * 0.12).min(3.0);
        let top = height(value(bucket) / by / most);
        // Writing to a string cannot fail.
        let _ = write!(
            path,
            "M{:.1} {HEIGHT}V{top:.1}H{:.1}V{HEIGHT}z",
            left + gap,
            right - gap
        );
    }
    let what = if has_grams { "CO₂e" } else { "Energy" };
    let class = if has_grams { "grams" } else { "energy" };
    let said = format!(
        "{what} of each {word}: at most {} {unit}",
        three_digits(largest / by)
    );
    let is_part = axis.from < report.span.from || axis.to > report.span.to;
    Chart {
        note: is_part.then(|| format!("The first or the last {word} is a part of one.")),
        title: format!("{what} of each {word}, {unit}"),
        picture: frame(
            &axis,
            most,
            &html! { path class=(class) d=(path) {} },
            &said,
        ),
    }
}

/// The intensity that each hour met, as steps; nothing where it is not known.
#[must_use]
pub fn intensity(report: &Report) -> Option<Markup> {
    let known = || {
        report
            .hours
            .iter()
            .filter_map(|hour| Some((hour.second, hour.intensity_grams_per_kwh?.0)))
    };
    let largest = known().map(|(_, grams)| grams).fold(0.0, f64::max);
    known().next()?;
    let (size, _, buckets) = buckets(report);
    let axis = axis(size, &buckets, report);
    let most = round_up(largest);
    let mut path = String::new();
    let mut end = None;
    for (second, grams) in known() {
        let y = height(grams / most);
        let pen = if end == Some(second) { 'L' } else { 'M' };
        let _ = write!(
            path,
            "{pen}{:.1} {y:.1}H{:.1}",
            axis.at(second),
            axis.at(second + HOUR)
        );
        end = Some(second + HOUR);
    }
    let lowest = known().map(|(_, grams)| grams).fold(f64::MAX, f64::min);
    let said = format!(
        "Intensity met: from {} to {} g/kWh",
        three_digits(lowest),
        three_digits(largest)
    );
    Some(frame(&axis, most, &html! { path.line d=(path) {} }, &said))
}

/// A bar of a share, 0 to 1.
#[must_use]
pub fn bar(share: f64, class: &str) -> Markup {
    let wide = format!("{:.1}", share.clamp(0.0, 1.0) * 100.0);
    html! {
        svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true" {
            rect class=(class) width=(wide) height="10" {}
        }
    }
}

/// A whole in two parts.
#[must_use]
pub fn split(share: f64) -> Markup {
    let wide = share.clamp(0.0, 1.0) * 100.0;
    html! {
        svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true" {
            rect.good width=(format!("{wide:.1}")) height="10" {}
            rect.part x=(format!("{wide:.1}")) width=(format!("{:.1}", 100.0 - wide)) height="10" {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_ends_at_a_round_number() {
        assert_eq!(
            [0.7, 1.0, 1.2, 34.0, 99.0, 101.0].map(round_up),
            [0.8, 1.0, 1.5, 40.0, 100.0, 150.0]
        );
    }

    #[test]
    fn a_time_has_a_handful_of_dates() {
        for hours in [1, 5, 24, 72, 720, 8760, 87_660] {
            let axis = Axis {
                from: 1_793_210_400 - hours * HOUR,
                to: 1_793_210_400,
            };
            let marks = axis.marks();
            assert!(marks.len() <= 10, "{hours}: {}", marks.len());
            assert!(hours < 5 || marks.len() >= 3, "{hours}: {}", marks.len());
            assert!(marks.is_sorted_by(|a, b| a.0 < b.0));
        }
    }
}
