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
    if let Some(embodied) = estimate.embodied {
        row("Embodied \\COe{}", between(embodied));
    }
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
         (location-based{market}). {embodied} The estimate was made with Gramwatt~\\cite{{gramwatt}} from rated powers; nothing was measured.",
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
        embodied = making(answer),
    )
}

/// What the making of the hardware adds, in a sentence.
fn making(answer: &Answer) -> String {
    let estimate = &answer.estimate;
    estimate.embodied.map_or_else(
        || "The making of the hardware is not included.".into(),
        |embodied| {
            format!(
                "The share of making the hardware adds {}{}, {} in total.",
                between(embodied),
                cites(&makers(answer)),
                between(estimate.total)
            )
        },
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
    let own = output::bibtex_of_gramwatt("estimate");
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

#[cfg(test)]
mod tests {
    use super::super::{Bought, Compare, Load, Making, Part, Place, answer};
    use super::*;
    use crate::data::{cloud_regions, zones};
    use std::collections::BTreeSet;

    fn answered(place: Place) -> Answer {
        let parts = ["8x a100 80gb", "2x epyc 7763"];
        answer(Question {
            load: Load {
                parts: parts
                    .iter()
                    .map(|name| Part::named(name, 1).unwrap())
                    .collect(),
                memory_gb: 1024.0,
                hours: 72.5,
                utilization: Some(0.7),
                making: Making::Lifetime,
            },
            place,
            bought: Bought::default(),
            compare: Compare::None,
        })
    }

    /// Depth of braces at the end, which never goes below the start's.
    fn depth(text: &str) -> i64 {
        let text = text.replace("\\{", "").replace("\\}", "");
        text.chars().fold(0, |depth, letter| {
            let depth = depth + i64::from(letter == '{') - i64::from(letter == '}');
            assert!(depth >= 0, "{text}");
            depth
        })
    }

    /// What the keys of `\cite{...}` or of entries are.
    fn keys(text: &str, begin: &str, end: char) -> BTreeSet<String> {
        let parts = text.split(begin).skip(1);
        let lists = parts.filter_map(|part| part.split_once(end));
        lists
            .flat_map(|(keys, _)| keys.split(',').map(str::to_owned))
            .collect()
    }

    #[test]
    fn every_place_can_be_typeset() {
        let mut places: Vec<Place> = zones()
            .iter()
            .map(|zone| Place::zone(&zone.zone, None).unwrap())
            .collect();
        let regions = cloud_regions();
        let regions = regions.iter().step_by(10);
        places.extend(regions.map(|region| {
            Place::cloud(&format!("{}/{}", region.provider, region.region), None).unwrap()
        }));
        let mut whole = answered(places[0].clone());
        for place in places {
            whole.question.place = place;
            let (table, statement) = (table(&whole), statement(&whole));
            let text = format!("{table}{statement}");
            assert_eq!(depth(&text), 0, "{text}");
            for special in ['#', '$', '%', '&', '_', '^', '~'] {
                let bare =
                    text.matches(special).count() - text.matches(&format!("\\{special}")).count();
                let meant = match special {
                    // A cell ends here; a formula; a space before a reference.
                    '&' => table.matches("\\\\\n").count(),
                    '$' => 2 * text.matches("$\\times$").count(),
                    '~' => text.matches("~\\cite").count(),
                    _ => 0,
                };
                assert_eq!(bare, meant, "{special} in {text}");
            }
        }
    }

    #[test]
    fn all_that_is_cited_has_an_entry_and_all_entries_are_cited() {
        let whole = answered(Place::cloud("aws/eu-central-1", None).unwrap());
        let (text, entries) = (latex(&whole), bibtex(&whole));
        let cited = keys(&text, "\\cite{", '}');
        assert_eq!(cited, keys(&entries, "@misc{", ','));
        assert!(cited.contains("gramwatt") && cited.contains("gramwatt-ember"));
        assert!(
            cited.contains("gramwatt-aws-pue") && cited.len() > 6,
            "{cited:?}"
        );
        for entry in entries.split("\n\n") {
            assert_eq!(depth(entry), 0, "{entry}");
        }
        for line in entries.lines() {
            assert!(text.contains(format!("% {line}").trim_end()), "{line}");
        }
        assert!(entries.contains("  year = {2024},"), "{entries}");
    }

    #[test]
    fn the_statement_says_what_was_estimated() {
        let text = latex(&answered(Place::zone("DE", Some(1.3)).unwrap()));
        for part in [
            "8 $\\times$ NVIDIA A100 SXM 80GB & ",
            "ran for 72.5\\,h on 8 $\\times$ NVIDIA A100 SXM 80GB and 2 $\\times$ AMD EPYC 7763 and 1024 GB of memory at \
             DE (Germany)",
            "At 70\\,\\% of the rated power",
            "344\\,g\\,\\COe{}/kWh (lifecycle, mean of 2024)~\\cite{gramwatt-ember}",
            "nothing was measured",
        ] {
            assert!(text.contains(part), "no {part:?} in {text}");
        }
    }
}
