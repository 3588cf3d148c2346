//! A run in words: the line while it goes on, and what is said at its end.

use super::api::{Node, Run, State};
use super::child::Ended;
use super::predict::Prediction;
use crate::data::equivalents;
use crate::output;
use crate::units::{Grams, GramsPerKwh, Joules, Watts};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::fmt::Write;

/// Who measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// An exporter, at this socket.
    Exporter(String),
    /// This process.
    Itself,
}

/// A figure, or a dash where it is not known.
fn or_dash<T: ToString>(figure: Option<T>) -> String {
    figure.map_or_else(|| "-".to_owned(), |figure| figure.to_string())
}

fn watts(value: Option<f64>) -> String {
    or_dash(value.and_then(|value| output::watts(Watts(value))))
}

fn energy(joules: f64) -> String {
    or_dash(output::watt_hours(Joules(joules)))
}

fn mass(grams: f64) -> String {
    or_dash(output::grams(Grams(grams)))
}

/// A time such as `1 h 03 min`, `4 min 05 s` or `12.3 s`.
pub fn time(seconds: f64) -> String {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let whole = seconds.max(0.0).round().min(1e15) as u64;
    let (days, hours, minutes, rest) = (
        whole / 86400,
        whole / 3600 % 24,
        whole / 60 % 60,
        whole % 60,
    );
    match whole {
        0..60 => format!("{seconds:.1} s"),
        60..3600 => format!("{minutes} min {rest:02} s"),
        3600..86400 => format!("{hours} h {minutes:02} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// A time of day here; with the day where that is another one.
pub fn clock(at: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    let (at, now) = (
        at.to_zoned_datetime(zone.clone()),
        now.to_zoned_datetime(zone.clone()),
    );
    if at.date() == now.date() {
        at.strftime("%H:%M").to_string()
    } else {
        at.strftime("%a %d %b %H:%M").to_string()
    }
}

/// How far a prediction may be off, in percent of it.
fn doubt(told: &Prediction) -> f64 {
    let grams = told.grams.map(|range| range.map(|grams| grams.0));
    let range = grams.unwrap_or_else(|| told.joules.map(|joules| joules.0));
    let half = (range.high - range.low) / 2.0;
    100.0 * half / range.expected.max(f64::MIN_POSITIVE)
}

/// What a run will come to: `1.23 kWh, 430 g, ends 14:32 (within 8 %)`.
pub fn predicted(run: &Run, told: &Prediction, now: Timestamp, zone: &TimeZone) -> String {
    let mut out = energy(told.joules.expected.0);
    if let Some(grams) = &told.grams {
        let _ = write!(out, ", {}", mass(grams.expected.0));
    }
    let began: Option<Timestamp> = run.began.parse().ok();
    let whole = jiff::SignedDuration::try_from_secs_f64(told.seconds.expected).ok();
    let end = began
        .zip(whole)
        .and_then(|(began, whole)| began.checked_add(whole).ok());
    if let Some(end) = end {
        let _ = write!(out, ", ends {}", clock(end, now, zone));
    }
    let _ = write!(out, " (within {:.0} %)", doubt(told));
    out
}

/// The line while it goes on.
pub fn live(run: &Run, now: Timestamp, zone: &TimeZone) -> String {
    let mut out = format!("gramwatt: {}  {}", watts(run.watts), energy(run.joules));
    if let Some(grams) = run.grams {
        let _ = write!(out, "  {}", mass(grams));
    }
    let _ = write!(out, "  {}", time(run.seconds));
    if let Some(done) = &run.progress {
        let percent = 100.0 * done.done / done.total;
        let _ = write!(out, "  {}/{} ({percent:.0} %)", done.done, done.total);
    }
    if let Some(told) = &run.prediction {
        let _ = write!(out, "  in all {}", predicted(run, told, now, zone));
    }
    out
}

/// What is said at the end; `ended` is nothing of a run that we stopped because its total was predicted. The figures are
/// of its first `measured` seconds. `began` and `after` are the machine at its beginning and end.
pub fn report(
    run: &Run,
    ended: Option<Ended>,
    measured: f64,
    [began, after]: [&Node; 2],
    by: &By,
) -> String {
    let how = match ended {
        None => "was stopped with its prediction".to_owned(),
        Some(Ended::Code(0)) => "succeeded".to_owned(),
        Some(Ended::Code(code)) => format!("failed with code {code}"),
        Some(Ended::By(signal)) => format!("was ended by signal {signal}"),
    };
    let is_whole = measured >= run.seconds;
    let mut out = format!("gramwatt: {} {how} after {}\n", run.name, time(run.seconds));
    let mut line = |name: &str, text: String| {
        let _ = writeln!(out, "  {name:<11} {text}");
    };
    let whole = whole(run, began, after).filter(|_| is_whole);
    if run.joules > 0.0 {
        line(
            "energy",
            format!("{}{}", energy(run.joules), kinds(run, after)),
        );
        line("CO2e", emissions(run, after));
        if let Some(making) = whole.as_ref().and_then(|whole| whole.making) {
            line(
                "embodied",
                format!(
                    "{}, its share of the making of {}",
                    mass(making),
                    after.host
                ),
            );
        }
        let all = whole.map(|whole| {
            let all = energy(whole.joules);
            format!("; all of {} used {all} in that time", after.host)
        });
        let mean = watts(Some(run.joules / measured));
        line("mean power", mean + &all.unwrap_or_default());
    } else {
        line("energy", "too little to tell".to_owned());
    }
    if let Some(told) = &run.first_prediction {
        line("predicted", foretold(run, told, is_whole));
    }
    if let Some((budget, grams)) = run.budget_grams.zip(run.grams) {
        let percent = 100.0 * grams / budget;
        line("budget", format!("{percent:.0} % of {}", mass(budget)));
    }
    if let Some(alike) = run.grams.and_then(alike) {
        line("as much as", alike);
    }
    let by = match by {
        By::Exporter(path) => format!("by the exporter at {path}"),
        By::Itself => "by itself; what runs beside it counts as others'".to_owned(),
    };
    line("measured", by);
    if after
        .methods
        .values()
        .any(|method| method.contains("modelled"))
    {
        line(
            "note",
            "modelled is no measurement: `gramwatt doctor` says what this machine lacks".into(),
        );
    }
    if !is_whole {
        line(
            "note",
            format!(
                "nobody measured its end: figures are of the first {}",
                time(measured)
            ),
        );
    } else if !run.settled {
        line(
            "note",
            "the last seconds were not divided yet: figures may be low".into(),
        );
    }
    out
}

/// What all of the machine used while a run went on, and the run's share of its making in that time.
struct Whole {
    joules: f64,
    /// In grams, by the run's share of the energy.
    making: Option<f64>,
}

/// By the mean power between two moments close to the run's beginning and its end; `None` for a run that was shorter than
/// the time between two looks.
fn whole(run: &Run, began: &Node, after: &Node) -> Option<Whole> {
    let between = after.at_seconds - began.at_seconds;
    if between < 1.0 || run.seconds <= 0.0 {
        return None;
    }
    let in_time = |before: f64, after: f64| (after - before) / between * run.seconds;
    let joules = in_time(began.joules?, after.joules?);
    let making = began.embodied_grams.zip(after.embodied_grams);
    let making = making.map(|(before, after)| in_time(before, after) * run.joules / joules);
    (joules >= run.joules).then_some(Whole { joules, making })
}

/// What so many grams are as much as: the first thing of which it is more than a tenth.
fn alike(grams: f64) -> Option<String> {
    let known = ["car-km-us", "phone-charge"];
    let all = equivalents();
    let known = known
        .iter()
        .filter_map(|id| all.iter().find(|one| one.id == *id));
    let mut counted = known.map(|one| (one.count(Grams(grams)), one));
    let (count, one) = counted.find(|(count, _)| *count >= 0.1)?;
    Some(format!("{} {}", output::three_digits(count), one.name))
}

/// The energy of each kind of device, and how it was had.
fn kinds(run: &Run, node: &Node) -> String {
    let parts: Vec<String> = run
        .kinds
        .iter()
        .filter(|(_, used)| used.joules > 0.0)
        .map(|(kind, used)| {
            let method = node.methods.get(kind).map_or("", String::as_str);
            format!("{kind} {} ({method})", energy(used.joules))
        })
        .collect();
    if parts.is_empty() {
        return String::new();
    }
    format!(": {}", parts.join(", "))
}

fn emissions(run: &Run, node: &Node) -> String {
    let Some(grams) = run.grams else {
        return "not known: set grid.zone (--grid.zone=DE), grid.cloud or grid.intensity"
            .to_owned();
    };
    let mut out = mass(grams);
    let met = grams / (run.joules / crate::units::JOULES_PER_KWH) / node.pue;
    if met.is_finite() {
        let _ = write!(out, " at {} g/kWh", output::intensity(GramsPerKwh(met)));
    }
    if let Some(grid) = &node.grid {
        let vintage = match grid.vintage.as_str() {
            "" => String::new(),
            vintage => format!(" {vintage}"),
        };
        let _ = write!(
            out,
            " ({}, {}, {}{vintage})",
            grid.zone, grid.provider, grid.tier
        );
    }
    let origin = match node.pue_origin.as_str() {
        "not set" => " (not set)",
        _ => "",
    };
    let _ = write!(out, ", PUE {}{origin}", output::factor(node.pue));
    out
}

/// What was predicted first, and how far off that was of a run that was measured to its end.
fn foretold(run: &Run, told: &Prediction, is_whole: bool) -> String {
    let first = told.grams.map(|range| range.expected.0).zip(run.grams);
    let (text, first, came) = match first {
        Some((first, came)) => (mass(first), first, came),
        None => (
            energy(told.joules.expected.0),
            told.joules.expected.0,
            run.joules,
        ),
    };
    if !is_whole || came <= 0.0 || run.state != State::Succeeded {
        return format!("{text} at first");
    }
    let off = 100.0 * (first / came - 1.0);
    format!("{text} at first ({off:+.0} %)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_people_say_them() {
        let said = [12.34, 59.96, 245.0, 3780.0, 90_000.0].map(time);
        assert_eq!(
            said,
            [
                "12.3 s",
                "1 min 00 s",
                "4 min 05 s",
                "1 h 03 min",
                "1 d 1 h"
            ]
        );
    }
}
