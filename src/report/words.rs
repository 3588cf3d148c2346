//! What outputs for people say in words: numbers with their units, the totals, what runs were together.

use super::runs::{Run, Runs, State};
use super::{Equivalent, Report, Sci};
use crate::output::{factor, grams, intensity, three_digits, watt_hours};
use crate::units::{Grams, Joules};

/// What is not known.
pub const UNKNOWN: &str = "-";

/// A share: whole percents, and tenths below ten.
#[must_use]
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    match percent.abs() {
        size if size < 0.05 => "0 %".to_owned(),
        size if size < 9.95 => format!("{percent:.1} %"),
        _ => format!("{percent:.0} %"),
    }
}

/// A change with its sign.
#[must_use]
pub fn change(share: f64) -> String {
    match share {
        9.0.. => format!("x {:.0}", share + 1.0),
        _ => format!("{:+.0} %", share * 100.0),
    }
}

/// Energy in the unit that fits.
#[must_use]
pub fn energy(joules: Joules) -> String {
    watt_hours(joules).map_or(UNKNOWN.to_owned(), |figure| figure.to_string())
}

/// Mass in the unit that fits; words where it is not known.
#[must_use]
pub fn mass(mass: Option<Grams>) -> String {
    let figure = mass.and_then(grams);
    figure.map_or("unknown".to_owned(), |figure| figure.to_string())
}

/// The totals, in words.
#[must_use]
pub fn facts(report: &Report) -> Vec<(String, String)> {
    let total = &report.total;
    let mut facts: Vec<(String, String)> = Vec::new();
    let mut put = |name: &str, value: String| facts.push((name.to_owned(), value));
    let building = match total.facility_energy_joules.zip(total.pue) {
        Some((facility, pue)) => format!(
            "; {} with the building (PUE {})",
            energy(facility),
            factor(pue)
        ),
        None => "; the building's part is not known (no PUE)".to_owned(),
    };
    put(
        "Energy",
        format!("{} of IT equipment{building}", energy(total.energy_joules)),
    );
    let kinds = kinds(report);
    if !kinds.is_empty() {
        put("Energy by kind", kinds);
    }
    let met = total
        .intensity_grams_per_kwh
        .map(|met| format!(", at {} g/kWh met", intensity(met)));
    let met = met.unwrap_or_default();
    let location = match total.co2e_grams {
        Some(_) => format!("{} by location{met}", mass(total.co2e_grams)),
        None => "unknown: no node knows its grid zone".to_owned(),
    };
    put("CO2e", location);
    if total.market_co2e_grams.is_some() {
        put(
            "CO2e by contract",
            format!(
                "{} by market, of the same energy",
                mass(total.market_co2e_grams)
            ),
        );
    }
    if total.embodied_co2e_grams.is_some() {
        put(
            "CO2e of the making",
            format!(
                "{} embodied, by use of the hardware's life",
                mass(total.embodied_co2e_grams)
            ),
        );
    }
    if let Some(modelled) = total.modelled_share() {
        put(
            "Measured",
            format!(
                "{} of the energy; {} modelled",
                percent(1.0 - modelled),
                percent(modelled)
            ),
        );
    }
    if let Some(estimated) = total.estimated_share() {
        put(
            "Live",
            format!(
                "{} of the CO2e; {} by cached, forecast or yearly factors",
                percent(1.0 - estimated),
                percent(estimated)
            ),
        );
    }
    facts
}

fn kinds(report: &Report) -> String {
    let all: Joules = report.energy_joules_by_kind.values().copied().sum();
    let mut kinds: Vec<(&String, &Joules)> = report.energy_joules_by_kind.iter().collect();
    kinds.sort_by(|a, b| b.1.0.total_cmp(&a.1.0));
    let kinds = kinds.into_iter().filter(|(_, joules)| joules.0 > 0.0);
    let shares = kinds.map(|(kind, joules)| format!("{kind} {}", percent(joules.0 / all.0)));
    shares.collect::<Vec<String>>().join(", ")
}

/// What the runs were together.
#[must_use]
pub fn about_runs(all: &Runs) -> Vec<String> {
    if all.runs.is_empty() {
        return Vec::new();
    }
    let count = |state| all.runs.iter().filter(|run| run.state == state).count();
    let states = [
        State::Succeeded,
        State::Failed,
        State::Running,
        State::Lost,
        State::Vanished,
    ];
    let states = states
        .into_iter()
        .map(|state| (state, count(state)))
        .filter(|(_, count)| *count > 0);
    let states: Vec<String> = states
        .map(|(state, count)| format!("{count} {}", state.name()))
        .collect();
    let joules: Joules = all.runs.iter().map(|run| run.energy_joules).sum();
    let grams: Vec<Grams> = all.runs.iter().filter_map(|run| run.co2e_grams).collect();
    let grams = (!grams.is_empty()).then(|| grams.into_iter().sum());
    let mut said = vec![
        format!(
            "{} runs: {}. Together {}, {} CO2e.",
            all.runs.len(),
            states.join(", "),
            energy(joules),
            mass(grams)
        ),
        format!(
            "Failed runs had {} of the energy{}.",
            percent(all.failed_energy_share),
            all.failed_co2e_share.map_or(String::new(), |share| format!(
                " and {} of the CO2e",
                percent(share)
            ))
        ),
    ];
    let mut errors: Vec<f64> = all
        .runs
        .iter()
        .filter_map(Run::prediction_error)
        .map(f64::abs)
        .collect();
    if !errors.is_empty() {
        errors.sort_by(f64::total_cmp);
        let middle = errors[errors.len() / 2];
        said.push(format!(
            "The first prediction of the energy was off by {} in the middle of {} runs that ended well.",
            percent(middle),
            errors.len()
        ));
    }
    said
}

/// Hours and minutes, or seconds.
#[must_use]
pub fn duration(seconds: f64) -> String {
    // A run has fewer seconds than fit.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let seconds = seconds.round() as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", (seconds + 30) / 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// `35,300 kilometres by car (US)`.
fn equivalent(one: &Equivalent) -> String {
    format!("{} {}", count(one.count), one.name)
}

/// What all are as much as, each for itself; one line where none is a hundredth of one.
#[must_use]
pub fn equivalents(all: &[Equivalent]) -> Vec<String> {
    if all.iter().any(is_something) {
        return all.iter().map(equivalent).collect();
    }
    let names: Vec<&str> = all.iter().map(|one| one.name.as_str()).collect();
    match names.is_empty() {
        true => Vec::new(),
        false => vec![format!("less than 0.01 of each: {}", names.join(", "))],
    }
}

/// Whether it is told as more than `<0.01`.
#[must_use]
pub fn is_something(one: &Equivalent) -> bool {
    one.count >= 0.005
}

/// A number of things, with its thousands apart.
#[must_use]
pub fn count(number: f64) -> String {
    if number < 999.5 {
        let is_whole = number.fract() == 0.0;
        return if is_whole {
            format!("{number}")
        } else {
            three_digits(number)
        };
    }
    // Three digits mean something.
    let size = 10_f64.powf(number.log10().floor() - 2.0);
    let digits = format!("{:.0}", (number / size).round() * size);
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// The score, with what it is made of.
#[must_use]
pub fn sci(sci: &Sci) -> String {
    let score = grams(Grams(sci.sci_grams));
    let score = score.map_or(UNKNOWN.to_owned(), |figure| figure.to_string());
    let made = match sci.embodied_grams {
        Some(made) => format!("M {}", mass(Some(made))),
        None => "M, which is not known, so that this is a lower bound".to_owned(),
    };
    format!(
        "{score} CO2e for each {}, of {} made: (E x I {} + {made}) / R",
        sci.functional_unit,
        count(sci.functional_units),
        mass(Some(sci.operational_grams))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_people_read_them() {
        assert_eq!(
            [0.5, 3.0, 35_312.0, 1_234_567.0].map(count),
            ["0.50", "3", "35,300", "1,230,000"]
        );
        let much = |count: f64| Equivalent {
            id: String::new(),
            name: format!("times {count}"),
            count,
            meaning: String::new(),
            source: String::new(),
        };
        assert_eq!(
            equivalents(&[much(0.001), much(0.5)]),
            ["<0.01 times 0.001", "0.50 times 0.5"]
        );
        assert_eq!(
            equivalents(&[much(0.001), much(0.002)]),
            ["less than 0.01 of each: times 0.001, times 0.002"]
        );
        assert_eq!(equivalents(&[]), [""; 0]);
        assert_eq!([0.0, 0.031, 0.5].map(percent), ["0 %", "3.1 %", "50 %"]);
        assert_eq!([-0.5, 0.2, 24.0].map(change), ["-50 %", "+20 %", "x 25"]);
        assert_eq!(
            [5.0, 600.0, 7300.0].map(duration),
            ["5 s", "10 min", "2 h 01 min"]
        );
    }
}
