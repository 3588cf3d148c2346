//! An estimate for a paper: a table and a statement in LaTeX that need no package, and the BibTeX entries that
//! they cite.

use super::{Answer, Ground, Place, Question, Range, makers, sources};
use crate::data::Source;
use crate::output::{self, factor, grams, intensity, latex as escaped, watt_hours};
use crate::units::{Grams, Joules};
use std::fmt::Write;

/// The answer as a table and a statement. What they cite stands below, in comments.
#[must_use]
pub fn latex(answer: &Answer) -> String {
    let entries: Vec<String> = bibtex(answer)
        .lines()
        .map(|line| format!("% {line}").trim_end().to_owned())
        .collect();
    format!(
        "% gramwatt {} estimate: a table and a statement, which need no package.\n{}\n{}\n\n\
         % Entries for the .bib file, with \\usepackage{{url}} (gramwatt estimate --format bibtex prints them alone):\n{}\n",
        env!("CARGO_PKG_VERSION"),
        table(answer),
        statement(answer),
        entries.join("\n")
    )
}

fn table(answer: &Answer) -> String {
    let Question {
        load,
        place,
        bought,
        ..
    } = &answer.question;
    let estimate = &answer.estimate;
    let mut rows: Vec<(String, String)> = estimate
        .lines
        .iter()
        .map(|line| {
            let energy = energy(line.energy);
            (escaped(&line.name).replace(" x ", " $\\times$ "), energy)
        })
        .collect();
    let mut row = |name: &str, value: String| rows.push((name.to_owned(), value));
    row("Hours", load.hours.to_string());
    row("Place", escaped(&place.told()));
    row(
        "Grid intensity",
        format!(
            "{}\\,g/kWh{}",
            intensity(place.intensity),
            cites(&place.source)
        ),
    );
    row("PUE", factor(place.pue));
    row("Energy, building included", energy(estimate.facility));
    row(
        "Operational \\COe{}, location-based",
        mass(estimate.location),
    );
    if let Some(market) = estimate.market {
        row("Operational \\COe{}, market-based", mass(market));
    }
    if let (Some(offset), Some(_)) = (estimate.offset, bought.offset) {
        row("Offsets, not deducted", mass(offset));
    }
    row("Embodied \\COe{}", between(estimate.embodied));
    row("Total \\COe{}", between(estimate.total));
    let body = rows.iter().fold(String::new(), |mut body, (name, value)| {
        let _ = writeln!(body, "{name} & {value} \\\\");
        body
    });
    format!(
        "\\providecommand{{\\COe}}{{CO\\textsubscript{{2}}e}}\n\\begin{{table}}[ht]\n\\centering\n\
         \\begin{{tabular}}{{lr}}\n\\hline\n{body}\\hline\n\\end{{tabular}}\n\
         \\caption{{Estimated energy and emissions~\\cite{{gramwatt}}.}}\n\\end{{table}}\n"
    )
}

/// Ready to be put into a section on the environmental impact.
fn statement(answer: &Answer) -> String {
    let Question { load, place, .. } = &answer.question;
    let estimate = &answer.estimate;
    let names: Vec<String> = estimate
        .lines
        .iter()
        .map(|line| escaped(&line.name).replace(" x ", " $\\times$ "))
        .collect();
    let utilization = factor(load.utilization.unwrap_or(1.0) * 100.0);
    let market = estimate.market.map_or_else(String::new, |market| {
        format!(", or {} market-based", mass(market))
    });
    let rated = load.parts.iter().filter_map(|part| part.source.as_ref());
    let published = match &place.ground {
        Ground::Published(source) => Some(source),
        Ground::Given | Ground::Unknown => None,
    };
    format!(
        "The computation ran for {hours}\\,h on {names} at {place}. At {utilization}\\,\\% of the rated \
         power{raters} and a power usage effectiveness (PUE) of {pue}{publisher}, we estimate an energy use of {energy}. At a \
         grid intensity of \
         {grams}\\,g\\,\\COe{{}}/kWh{year}{source}, this is {location} of operational \\COe{{}} \
         (location-based{market}). The share of making the hardware adds {embodied}{makers}, \
         {total} in total. The estimate was made with Gramwatt~\\cite{{gramwatt}} from rated powers; nothing was measured.",
        hours = load.hours,
        names = names.join(" and "),
        place = escaped(&place.told()),
        raters = cites(rated),
        pue = factor(place.pue),
        publisher = cites(published),
        energy = energy(estimate.facility),
        grams = intensity(place.intensity),
        year = scope_and_year(place),
        source = cites(&place.source),
        location = mass(estimate.location),
        embodied = between(estimate.embodied),
        makers = cites(&makers(answer)),
        total = between(estimate.total),
    )
}

fn scope_and_year(place: &Place) -> String {
    place.year.map_or_else(String::new, |year| {
        format!(" ({}, mean of {year})", place.scope)
    })
}

/// `~\cite{gramwatt-ember}`; nothing for nobody.
fn cites<'a>(sources: impl IntoIterator<Item = &'a Source>) -> String {
    let mut keys: Vec<String> = sources.into_iter().map(key).collect();
    keys.sort();
    keys.dedup();
    if keys.is_empty() {
        return String::new();
    }
    format!("~\\cite{{{}}}", keys.join(","))
}

fn key(source: &Source) -> String {
    format!("gramwatt-{}", source.id)
}

fn energy(energy: Joules) -> String {
    watt_hours(energy).map_or_else(String::new, |figure| figure.latex())
}

fn mass(mass: Grams) -> String {
    grams(mass).map_or_else(String::new, |figure| figure.latex())
}

fn between(range: Range) -> String {
    if range.low == range.high {
        return mass(range.grams);
    }
    format!(
        "{} ({} to {})",
        mass(range.grams),
        mass(range.low),
        mass(range.high)
    )
}

/// The entries of all that the answer cites: Gramwatt, and whose figures it uses.
#[must_use]
pub fn bibtex(answer: &Answer) -> String {
    let own = format!(
        "@misc{{gramwatt,\n  title = {{{{Gramwatt}}: watts, joules and grams of {{CO2e}}}},\n  \
         note = {{Version {}, gramwatt estimate}},\n  \
         howpublished = {{\\url{{https://github.com/gramwatt/gramwatt}}}},\n}}\n",
        env!("CARGO_PKG_VERSION")
    );
    let entries = sources(answer).into_iter().map(|source| entry(&source));
    std::iter::once(own)
        .chain(entries)
        .collect::<Vec<String>>()
        .join("\n")
}

fn entry(source: &Source) -> String {
    let year =
        year(&source.vintage).map_or_else(String::new, |year| format!("  year = {{{year}}},\n"));
    format!(
        "@misc{{{},\n  title = {{{{{}}}}},\n  note = {{{}}},\n{year}  howpublished = {{\\url{{{}}}}},\n}}\n",
        key(source),
        output::latex(&source.title),
        output::latex(&source.vintage),
        source.url
    )
}

/// The first year in a vintage, such as 2024 in `2024 (carbontracker 2.4.7)`.
fn year(vintage: &str) -> Option<&str> {
    vintage
        .split(|c: char| !c.is_ascii_digit())
        .find(|number| number.len() == 4 && number.starts_with("20"))
}
