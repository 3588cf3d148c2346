//! What an estimate rests on, in words, and whose figures it uses.

use super::{Answer, Compare, Ground, Making, Part, Place, Question};
use crate::data::{self, Embodied, Source};
use crate::output::{factor, intensity};
use crate::sensor::Kind;
use crate::sensor::model::formula::DRAM_PER_GIB;

/// All that an answer assumes, each in a sentence or two.
#[must_use]
pub fn assumptions(answer: &Answer) -> Vec<String> {
    let Question {
        load,
        place,
        bought,
        compare,
    } = &answer.question;
    let mut all = vec![power(answer)];
    all.extend(load.parts.iter().filter_map(open));
    if load.memory_gb > 0.0 {
        all.push(format!(
            "Memory draws {DRAM_PER_GIB} W/GB, used or not (Cloud Carbon Footprint)."
        ));
    }
    all.push(pue(place));
    all.push(grid(place));
    all.extend(making(answer));
    if let Some(contract) = bought.contract {
        all.push(format!(
            "Market-based: {} % of the electricity by contract at {} g/kWh, the rest at the grid's; the total is \
             location-based.",
            factor(contract.share * 100.0),
            intensity(contract.intensity)
        ));
    }
    if let Some(offset) = bought.offset {
        all.push(format!(
            "Offsets of {} % are told beside the emissions and deducted from none.",
            factor(offset * 100.0)
        ));
    }
    all.extend(elsewhere(answer, compare));
    once(all)
}

fn power(answer: &Answer) -> String {
    let load = &answer.question.load;
    let used = match load.utilization {
        Some(used) => format!("{} % of its rated power", factor(used * 100.0)),
        None => "all of its rated power (no utilisation was given; most jobs draw less)".into(),
    };
    let mut left_out = Vec::new();
    if !load.parts.iter().any(|part| part.is_processor) {
        left_out.push("processors");
    }
    if load.memory_gb == 0.0 {
        left_out.push("memory");
    }
    left_out.push("disks");
    format!(
        "Each device draws {used}, all the time. Not counted: {}, network and fans.",
        left_out.join(", ")
    )
}

/// What a name was taken for that leaves its form open.
fn open(part: &Part) -> Option<String> {
    let (typed, also) = part.open.as_ref()?;
    let also: Vec<String> = also
        .iter()
        .map(|other| format!("{} ({} W)", other.name, other.rated.0))
        .collect();
    Some(format!(
        "{typed} is taken for {} ({} W); it may also be {}.",
        part.name,
        part.rated.0,
        also.join(", ")
    ))
}

fn pue(place: &Place) -> String {
    match &place.ground {
        Ground::Given => format!("PUE {}, as given.", factor(place.pue)),
        Ground::Published(source) => {
            let title = source.title.trim_end_matches('.');
            format!("PUE {}: {title} ({}).", factor(place.pue), source.vintage)
        }
        Ground::Unknown => {
            "PUE 1, for none was given or is published: cooling and losses of the building are left out."
                .to_owned()
        }
    }
}

fn grid(place: &Place) -> String {
    let grams = intensity(place.intensity);
    let (Some(source), Some(year)) = (&place.source, place.year) else {
        return format!("Intensity {grams} g/kWh, as given.");
    };
    format!(
        "Intensity {grams} g/kWh: mean of {year} in {}, {}; single hours differ ({}).",
        place.zone,
        scope(&place.scope),
        publisher(source)
    )
}

fn scope(scope: &str) -> &str {
    match scope {
        "lifecycle" => "lifecycle (with fuel supply and building of plants)",
        "direct" => "direct (what leaves the stacks)",
        other => other,
    }
}

fn making(answer: &Answer) -> Vec<String> {
    let load = &answer.question.load;
    let of_parts = load.parts.iter().map(|part| match &part.made {
        Some(made) => embodied(&part.name, "", made, load.making),
        None => format!("Embodied of {}: unknown, and left out.", part.name),
    });
    let memory = (load.memory_gb > 0.0).then(|| data::embodied(Kind::Dram, ""));
    let memory = memory.flatten();
    of_parts
        .chain(memory.map(|made| embodied("memory", "/GB", &made, load.making)))
        .collect()
}

fn embodied(name: &str, per: &str, made: &Embodied, making: Making) -> String {
    let share = match making {
        Making::Lifetime => format!("over {} years", factor(made.lifetime_years)),
        Making::Years(years) => format!("over {} years, as given", factor(years)),
        Making::Share(share) => format!("of which {} %, as given", factor(share * 100.0)),
    };
    let whose = match made.model.strip_prefix("any ") {
        Some(kind) if per.is_empty() => format!(" (as any {})", kind.to_uppercase()),
        _ => String::new(),
    };
    format!(
        "Embodied of {name}{whose}: {} kg{per}, of {} to {} that are published, {share} ({}).",
        factor(made.kilograms),
        factor(made.low),
        factor(made.high),
        publisher(&made.source)
    )
}

fn elsewhere(answer: &Answer, compare: &Compare) -> Option<String> {
    let rows = &answer.elsewhere;
    rows.first()?;
    let place = &answer.question.place;
    let pue = match (&place.ground, compare) {
        (Ground::Given, _) => "the PUE that was given",
        (_, Compare::Provider(_)) => "each region's published PUE, or 1 without one",
        _ => "this place's PUE",
    };
    let scopes = |scope| rows.iter().any(|row| row.place.scope == scope);
    let mixed = if scopes("lifecycle") && scopes("direct") {
        " Direct intensities leave fuel supply out: they look better than lifecycle ones by some tens of g/kWh."
    } else {
        ""
    };
    Some(format!(
        "Elsewhere: the same energy, {pue}, yearly means.{mixed}"
    ))
}

/// The part of a title that says who published it.
fn publisher(source: &Source) -> &str {
    let title = &source.title;
    title
        .split_once(": ")
        .map_or(title, |(publisher, _)| publisher)
}

/// Who published what it took to make the hardware.
#[must_use]
pub fn makers(answer: &Answer) -> Vec<Source> {
    let load = &answer.question.load;
    let memory = (load.memory_gb > 0.0).then(|| data::embodied(Kind::Dram, ""));
    let parts = load.parts.iter().filter_map(|part| part.made.clone());
    let made = parts.chain(memory.flatten()).map(|made| made.source);
    once(made)
}

/// Whose figures the answer uses, each once.
#[must_use]
pub fn sources(answer: &Answer) -> Vec<Source> {
    let Question { load, place, .. } = &answer.question;
    let pue = match &place.ground {
        Ground::Published(source) => Some(source.clone()),
        Ground::Given | Ground::Unknown => None,
    };
    let rated = load.parts.iter().filter_map(|part| part.source.clone());
    let place = place.source.clone().into_iter().chain(pue);
    once(place.chain(rated).chain(makers(answer)))
}

/// Each of them once, in their order.
fn once<T: PartialEq>(all: impl IntoIterator<Item = T>) -> Vec<T> {
    all.into_iter().fold(Vec::new(), |mut once, one| {
        if !once.contains(&one) {
            once.push(one);
        }
        once
    })
}
