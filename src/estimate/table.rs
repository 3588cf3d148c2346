//! An estimate for people.

use super::{Answer, Compare, Elsewhere, Line, Question, Range, assumptions};
use crate::data;
use crate::output::{Figure, factor, grams, intensity, three_digits, watt_hours, watts};
use crate::units::Grams;
use std::fmt::Write;

/// Longest line of a text.
const WIDTH: usize = 100;

/// How many of the best and of the worst places are shown.
const FEW: usize = 4;

/// What a place's line has beside its code and its name.
const BESIDE: usize = 62;

/// How many equivalents are shown.
const EQUIVALENTS: usize = 4;

/// The answer as a table. Of the places that it is compared with the best and the worst few, or `all`.
#[must_use]
pub fn table(answer: &Answer, all: bool) -> String {
    let mut out = String::new();
    head(answer, &mut out);
    lines(answer, &mut out);
    result(answer, &mut out);
    elsewhere(answer, all, &mut out);
    out += "\nAssumptions\n";
    for assumption in assumptions(answer) {
        out += &wrapped(&assumption, "- ");
    }
    out
}

fn head(answer: &Answer, out: &mut String) {
    let load = &answer.question.load;
    let names: Vec<&str> = answer
        .estimate
        .lines
        .iter()
        .map(|line| line.name.as_str())
        .collect();
    let head = format!(
        "{}, {} h at {}",
        names.join(" + "),
        load.hours,
        answer.question.place.told()
    );
    *out += &wrapped(&head, "");
    out.push('\n');
}

/// Each part on a line, where there are several.
fn lines(answer: &Answer, out: &mut String) {
    let lines = &answer.estimate.lines;
    if lines.len() < 2 {
        return;
    }
    let width = lines.iter().map(|line| line.name.len()).max().unwrap_or(0);
    for Line {
        name,
        power,
        energy,
        embodied,
    } in lines
    {
        let making = embodied.map(|embodied| embodied.grams);
        let _ = writeln!(
            out,
            "{name:<width$}  {:>9}  {:>9}  embodied {:>9}",
            shown(watts(*power)),
            shown(watt_hours(*energy)),
            making.map_or_else(|| "unknown".into(), |making| shown(grams(making))),
        );
    }
    out.push('\n');
}

fn result(answer: &Answer, out: &mut String) {
    let Question { place, bought, .. } = &answer.question;
    let estimate = &answer.estimate;
    let mut row = |name: &str, value: String, how: String| {
        let _ = writeln!(
            out,
            "{}",
            format!("{name:<15}{value:>10}  {how}").trim_end()
        );
    };
    row(
        "Energy",
        shown(watt_hours(estimate.facility)),
        format!(
            "{} of the machines x PUE {}",
            shown(watt_hours(estimate.energy)),
            factor(place.pue)
        ),
    );
    row(
        "Operational",
        shown(grams(estimate.location)),
        format!(
            "x {} g CO2e/kWh, location-based",
            intensity(place.intensity)
        ),
    );
    if let (Some(market), Some(contract)) = (estimate.market, bought.contract) {
        row(
            "  market-based",
            shown(grams(market)),
            format!(
                "{} % at {} g/kWh by contract",
                factor(contract.share * 100.0),
                intensity(contract.intensity)
            ),
        );
    }
    if let (Some(offset), Some(share)) = (estimate.offset, bought.offset) {
        row(
            "  offsets",
            shown(grams(offset)),
            format!("{} %, not deducted", factor(share * 100.0)),
        );
    }
    match estimate.embodied {
        Some(range) => row(
            "Embodied",
            shown(grams(range.grams)),
            format!("share of the making of the hardware, {}", between(range)),
        ),
        None => row("Embodied", "unknown".into(), String::new()),
    }
    let range = match estimate.embodied {
        Some(_) => between(estimate.total),
        None => "without the making of the hardware".into(),
    };
    row("Total CO2e", shown(grams(estimate.total.grams)), range);
    row_of_equivalents(estimate.total.grams, out);
}

fn between(range: Range) -> String {
    format!(
        "{} to {}",
        shown(grams(range.low)),
        shown(grams(range.high))
    )
}

/// The total in things that people know: those of which there is at least a tenth.
fn row_of_equivalents(total: Grams, out: &mut String) {
    let told: Vec<String> = data::equivalents()
        .iter()
        .map(|one| (one.count(total), &one.name))
        .filter(|(count, _)| (0.1..1e6).contains(count))
        .take(EQUIVALENTS)
        .map(|(count, name)| format!("{} {name}", three_digits(count)))
        .collect();
    if !told.is_empty() {
        *out += &wrapped(&told.join(", "), "As much as     ");
    }
}

fn elsewhere(answer: &Answer, all: bool, out: &mut String) {
    let rows = &answer.elsewhere;
    let Some(own) = rows.iter().find(|row| row.here) else {
        return;
    };
    let whom = match (&answer.question.compare, &own.place.provider) {
        (Compare::Provider(provider), Some(own)) if own == provider => {
            format!("regions of {provider}")
        }
        (Compare::Provider(provider), _) => format!("regions of {provider} and this place"),
        (Compare::None | Compare::Zones, None) => "zones".to_owned(),
        (Compare::None | Compare::Zones, Some(_)) => "zones and this place".to_owned(),
    };
    let _ = writeln!(
        out,
        "\nThe same elsewhere, operational: number {} of {}, {whom}",
        own.rank,
        rows.len()
    );
    let is_shown =
        |row: &Elsewhere| all || row.here || row.rank <= FEW || row.rank + FEW > rows.len();
    let shown: Vec<&Elsewhere> = rows.iter().filter(|row| is_shown(row)).collect();
    let width = |text: fn(&Elsewhere) -> &str| {
        let widths = shown.iter().map(|row| text(row).chars().count());
        widths.max().unwrap_or(0)
    };
    let code = width(|row| &row.place.code);
    let room = WIDTH.saturating_sub(BESIDE + code);
    let name = width(|row| &row.place.name).min(room);
    let mut last = 0;
    for row in shown {
        if row.rank > last + 1 {
            let _ = writeln!(out, "{:>5}", "...");
        }
        last = row.rank;
        *out += &line_of(row, code, name, own);
    }
}

/// A place on a line, with its grams over those of this place.
fn line_of(row: &Elsewhere, code: usize, name: usize, own: &Elsewhere) -> String {
    let place = &row.place;
    let (here, there) = (own.estimate.location.0, row.estimate.location.0);
    let times = if row.here {
        "here".to_owned()
    } else if here > 0.0 {
        format!("x{}", three_digits(there / here))
    } else {
        String::new()
    };
    let line = format!(
        "{:>5}  {:<code$}  {:<name$}  {:>5} g/kWh {:<9}  PUE {:<5} {:>9}  {times}",
        row.rank,
        place.code,
        cut(&place.name, name),
        intensity(place.intensity),
        place.scope,
        factor(place.pue),
        shown(grams(row.estimate.location)),
    );
    format!("{}\n", line.trim_end())
}

fn shown(figure: Option<Figure>) -> String {
    figure.map_or_else(|| "unknown".into(), |figure| figure.to_string())
}

/// A name that may be too long: without what stands behind a comma or in parentheses then.
fn cut(name: &str, room: usize) -> String {
    if name.chars().count() <= room {
        return name.to_owned();
    }
    let end = name.find([',', '(']).unwrap_or(name.len());
    name[..end].trim_end().chars().take(room).collect()
}

/// A text on lines that are not too long, the first behind `lead`, the others as far in.
fn wrapped(text: &str, lead: &str) -> String {
    let indent = " ".repeat(lead.len());
    let mut lines = vec![lead.to_owned()];
    for word in text.split(' ') {
        let Some(line) = lines.last_mut() else { break };
        let empty = line.trim().is_empty() || line == lead;
        if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(format!("{indent}{word}"));
        } else {
            if !empty {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.join("\n") + "\n"
}
