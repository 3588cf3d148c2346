//! Accelerators and processors by the names that people type and drivers write.

use super::accelerators::{self, Accelerator};
use super::cpus::{self, RatedPower};
use super::embodied::{Embodied, embodied};
use super::nearest::{best, likeness};
use super::table::{self, Source};
use crate::sensor::Kind;
use crate::units::Watts;
use std::collections::BTreeMap;

/// An accelerator board or a processor package.
#[derive(Clone, Debug, PartialEq)]
pub struct Hardware {
    /// Its name as its table has it.
    pub name: String,
    /// [`Kind::Gpu`] for any accelerator, [`Kind::Cpu`] for a processor.
    pub kind: Kind,
    /// What its maker rates it at, in watts of one.
    pub rated: Watts,
    /// An accelerator's memory in GB.
    pub memory_gb: Option<f64>,
    /// What it took to make one.
    pub made: Option<Embodied>,
    /// Who says what it draws.
    pub source: Source,
}

/// What a name was taken for.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The one that it was taken for.
    pub hardware: Hardware,
    /// Others of the same model that the name fits as well: `h100` is PCIe and NVL too.
    pub also: Vec<Hardware>,
}

/// Why a name was taken for nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum NotFound {
    /// No name is like it; these are nearest.
    Unknown(Vec<Hardware>),
    /// It fits these, which are different models.
    Ambiguous(Vec<Hardware>),
}

/// How many names are offered to who typed another.
const OFFERED: usize = 5;

/// Words that do not tell boards apart.
const NOISE: [&str; 22] = [
    "nvidia",
    "amd",
    "intel",
    "habana",
    "google",
    "tesla",
    "geforce",
    "radeon",
    "instinct",
    "generation",
    "tensor",
    "core",
    "gpu",
    "graphics",
    "card",
    "board",
    "accelerator",
    "cloud",
    "oam",
    "mcm",
    "ac",
    "mba",
];

/// The hardware that a name means: `h100`, `a100 80gb`, `NVIDIA A100-SXM4-80GB`, `MI300X`, `epyc 7763`.
///
/// Every word must be in the name, with or without the spaces between (`rtx3090`); makers' names may be left
/// out. The name with fewest other words wins. Where those are forms of one model (`h100`) it is the first of the
/// table; where they are different models (`rtx`) nobody is guessed at. Accelerators go before processors.
///
/// # Errors
/// The nearest names, or those that fit it.
pub fn find_hardware(name: &str) -> Result<Found, NotFound> {
    let boards = accelerators::accelerators();
    let fit = tightest(boards.iter().filter_map(|board| {
        let missing = missing(&words(name), &words(&board.name), &other_words(board))?;
        Some((missing, board))
    }));
    if let Some((first, others)) = fit.split_first() {
        let model = model(&first.name);
        let found = of_board(first);
        let also: Vec<Hardware> = others.iter().map(|board| of_board(board)).collect();
        if others.iter().all(|other| self::model(&other.name) == model) {
            return Ok(Found {
                hardware: found,
                also,
            });
        }
        return Err(NotFound::Ambiguous([vec![found], also].concat()));
    }
    processor(name).unwrap_or_else(|| Err(NotFound::Unknown(nearest(name))))
}

/// The processor that a name means; `None` where it fits none.
fn processor(name: &str) -> Option<Result<Found, NotFound>> {
    if let Some(exact) = cpus::rated_power(name) {
        return Some(Ok(alone(of_processor(exact))));
    }
    let wanted = cpus::key(name);
    // Without a number it is a maker's or a family's name, unless one processor alone is called so: Grace.
    let is_numbered = wanted.contains(|c: char| c.is_ascii_digit());
    if words(name).is_empty() {
        return None;
    }
    let sources = table::sources();
    // Several spellings of one model are one.
    let mut models = BTreeMap::new();
    for row in cpus::holding(&wanted) {
        models.entry(cpus::key(&row.name)).or_insert(row);
    }
    let fit = tightest(models.into_iter().filter_map(|(key, row)| {
        let known: Vec<&str> = key.split(' ').collect();
        let fits = wanted.split(' ').all(|word| known.contains(&word));
        let power = cpus::with_source(row, &sources)?;
        fits.then_some((known.len(), power))
    }));
    let mut fit = fit.into_iter().map(of_processor);
    let first = fit.next()?;
    let others: Vec<Hardware> = fit.collect();
    if others.is_empty() {
        return Some(Ok(alone(first)));
    }
    if !is_numbered {
        return None;
    }
    Some(Err(NotFound::Ambiguous([vec![first], others].concat())))
}

fn alone(hardware: Hardware) -> Found {
    Found {
        hardware,
        also: Vec::new(),
    }
}

/// Those with the least number, in their order.
fn tightest<T>(candidates: impl Iterator<Item = (usize, T)>) -> Vec<T> {
    let candidates: Vec<(usize, T)> = candidates.collect();
    let least = candidates.iter().map(|(number, _)| *number).min();
    let fit = candidates.into_iter();
    fit.filter(|(number, _)| Some(*number) == least)
        .map(|(_, item)| item)
        .collect()
}

/// How many words of a name were not typed; `None` where a typed word is not in it.
fn missing(typed: &[String], name: &[String], other: &[String]) -> Option<usize> {
    if typed.is_empty() {
        return None;
    }
    let mut told = vec![false; name.len()];
    for word in typed {
        if let Some(range) = run(word, name) {
            told[range].fill(true);
        } else if !other.contains(word) {
            return None;
        }
    }
    Some(told.iter().filter(|told| !**told).count())
}

/// The words of a name that `word` is, written without spaces.
fn run(word: &str, name: &[String]) -> Option<std::ops::Range<usize>> {
    (0..name.len()).find_map(|from| {
        let to = (from + 1..=name.len()).find(|to| name[from..*to].concat() == *word)?;
        Some(from..to)
    })
}

/// The words of a name that tell boards apart.
fn words(name: &str) -> Vec<String> {
    name.split(|c: char| !c.is_alphanumeric())
        .map(str::to_lowercase)
        .filter(|word| !word.is_empty() && !NOISE.contains(&word.as_str()))
        .collect()
}

/// What a board's other names have more: words of them, and its memory.
fn other_words(board: &Accelerator) -> Vec<String> {
    let memory = format!("{}gb", board.memory_gb);
    words(&board.also).into_iter().chain([memory]).collect()
}

/// A name without the words that tell forms of one model apart.
fn model(name: &str) -> Vec<String> {
    let is_form = |word: &String| {
        word.starts_with("sxm")
            || ["pcie", "nvl"].contains(&word.as_str())
            || word
                .strip_suffix("gb")
                .is_some_and(|number| number.bytes().all(|b| b.is_ascii_digit()))
    };
    let words = words(name).into_iter();
    words.filter(|word| !is_form(word)).collect()
}

/// The names most like one that is none, accelerators and processors alike.
fn nearest(name: &str) -> Vec<Hardware> {
    let typed = words(name).join(" ");
    let boards = accelerators::accelerators();
    let boards = boards
        .iter()
        .map(|board| (words(&board.name).join(" "), Near::Board(board)));
    let processors = cpus::listed().map(|row| {
        let known = row.name.trim_start_matches("AMD ");
        let known = known.trim_start_matches("Intel ").to_owned();
        (known, Near::Processor(row))
    });
    let near = best(boards.chain(processors).collect(), OFFERED, |(known, _)| {
        likeness(&typed, known)
    });
    let sources = table::sources();
    near.into_iter()
        .filter_map(|(_, near)| match near {
            Near::Board(board) => Some(of_board(board)),
            Near::Processor(row) => Some(of_processor(cpus::with_source(row, &sources)?)),
        })
        .collect()
}

/// A row of one of the two tables.
enum Near<'a> {
    Board(&'a Accelerator),
    Processor(cpus::Row),
}

fn of_board(board: &Accelerator) -> Hardware {
    Hardware {
        made: embodied(Kind::Gpu, &board.name),
        name: board.name.clone(),
        kind: Kind::Gpu,
        rated: board.rated,
        memory_gb: Some(board.memory_gb),
        source: board.source.clone(),
    }
}

fn of_processor(power: RatedPower) -> Hardware {
    Hardware {
        made: embodied(Kind::Cpu, &power.model),
        name: power.model,
        kind: Kind::Cpu,
        rated: power.watts,
        memory_gb: None,
        source: power.source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str) -> Found {
        find_hardware(name).unwrap_or_else(|error| panic!("{name}: {error:?}"))
    }

    fn names(hardware: &[Hardware]) -> Vec<&str> {
        hardware.iter().map(|one| one.name.as_str()).collect()
    }

    #[test]
    fn names_as_people_type_them_and_drivers_write_them_resolve() {
        for (typed, name, watts) in [
            ("h100", "NVIDIA H100 SXM", 700.0),
            ("H100 PCIe", "NVIDIA H100 PCIe", 350.0),
            ("h100sxm", "NVIDIA H100 SXM", 700.0),
            ("NVIDIA H100 80GB HBM3", "NVIDIA H100 SXM", 700.0),
            ("a100 80gb", "NVIDIA A100 SXM 80GB", 400.0),
            ("NVIDIA A100-SXM4-40GB", "NVIDIA A100 SXM 40GB", 400.0),
            ("NVIDIA A100 80GB PCIe", "NVIDIA A100 PCIe 80GB", 300.0),
            ("NVIDIA A100-PCIE-40GB", "NVIDIA A100 PCIe 40GB", 250.0),
            ("Tesla V100-SXM2-32GB", "NVIDIA V100 SXM2 32GB", 300.0),
            ("Tesla V100-PCIE-16GB", "NVIDIA V100 PCIe 16GB", 250.0),
            ("Tesla P100-PCIE-16GB", "NVIDIA P100 PCIe", 250.0),
            ("NVIDIA B300 SXM6 AC", "NVIDIA B300 SXM", 1100.0),
            ("NVIDIA GH200 480GB", "NVIDIA GH200", 1000.0),
            ("Tesla T4", "NVIDIA T4", 70.0),
            ("Tesla K80", "NVIDIA K80 dual-GPU board", 300.0),
            ("l40s", "NVIDIA L40S", 350.0),
            ("rtx3090", "NVIDIA GeForce RTX 3090", 350.0),
            ("3080", "NVIDIA GeForce RTX 3080", 320.0),
            ("2080ti", "NVIDIA GeForce RTX 2080 Ti", 250.0),
            ("RTX 6000 Ada Generation", "NVIDIA RTX 6000 Ada", 300.0),
            ("titan rtx", "NVIDIA TITAN RTX", 280.0),
            ("MI300X", "AMD Instinct MI300X", 750.0),
            ("AMD Instinct MI300X OAM", "AMD Instinct MI300X", 750.0),
            (
                "AMD INSTINCT MI250 (MCM) OAM AC MBA",
                "AMD Instinct MI250",
                560.0,
            ),
            ("TPUv4", "Google TPU v4", 192.0),
            ("gaudi2", "Intel Gaudi 2", 600.0),
            ("epyc 7763", "AMD EPYC 7763", 280.0),
            ("7763", "AMD EPYC 7763", 280.0),
            ("AMD EPYC 7763 64-Core Processor", "AMD EPYC 7763", 280.0),
            ("xeon 6148", "Intel Xeon Gold 6148", 150.0),
            ("i9-13900k", "Intel Core i9-13900K", 125.0),
            ("grace", "NVIDIA Grace", 250.0),
            ("Grace CPU", "NVIDIA Grace", 250.0),
        ] {
            let hardware = found(typed).hardware;
            assert_eq!(
                (hardware.name.as_str(), hardware.rated),
                (name, Watts(watts)),
                "{typed}"
            );
        }
    }

    #[test]
    fn a_name_that_leaves_the_form_open_says_what_else_it_may_be() {
        let h100 = found("h100");
        assert_eq!(names(&h100.also), ["NVIDIA H100 PCIe", "NVIDIA H100 NVL"]);
        assert_eq!(names(&found("h200").also), [""; 0]);
    }

    #[test]
    fn every_accelerator_resolves_by_its_own_name_to_watts_memory_and_making() {
        for board in accelerators::accelerators() {
            let Found { hardware, also } = found(&board.name);
            assert_eq!((&hardware.name, hardware.rated), (&board.name, board.rated));
            assert_eq!(hardware.memory_gb, Some(board.memory_gb));
            assert!(also.is_empty(), "{}: {also:?}", board.name);
            let made = hardware.made.unwrap();
            assert!(0.0 < made.low && made.low <= made.kilograms && made.kilograms <= made.high);
            assert!(!made.source.url.is_empty() && !hardware.source.url.is_empty());
        }
    }

    #[test]
    fn every_processor_resolves_by_its_own_name() {
        // Each look-up reads the whole table: a sample shows it.
        for row in cpus::listed().step_by(97) {
            let key = &cpus::key(&row.name);
            let found = processor(key).unwrap().unwrap();
            assert_eq!(&cpus::key(&found.hardware.name), key);
        }
    }

    #[test]
    fn an_unknown_name_gets_the_nearest_and_a_family_is_not_guessed_at() {
        let unknown = |name: &str| match find_hardware(name) {
            Err(NotFound::Unknown(near)) => near,
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!(unknown("h1000").len(), OFFERED);
        assert!(names(&unknown("mi300")).contains(&"AMD Instinct MI300X"));
        assert!(
            names(&unknown("EPYC 7764"))
                .iter()
                .any(|name| name.contains("EPYC 776"))
        );
        for nothing in ["", "nvidia", "xeon gold", "H100 PCIe 40GB", "no such thing"] {
            unknown(nothing);
        }
        for family in ["rtx", "titan", "tpu", "e5-2683"] {
            let Err(NotFound::Ambiguous(fit)) = find_hardware(family) else {
                panic!("{family}");
            };
            assert!(fit.len() > 1, "{family}");
        }
    }
}
