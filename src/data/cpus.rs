//! Rated power of processors.

use super::table::{self, Source};
use crate::units::Watts;
use serde::Deserialize;

const TABLE: &str = include_str!("cpus.csv");

/// What a processor's maker rates it at (thermal design power or base power), for one package.
#[derive(Clone, Debug, PartialEq)]
pub struct RatedPower {
    /// The model as the table has it.
    pub model: String,
    /// Watts of one package, positive.
    pub watts: Watts,
    /// Who published it.
    pub source: Source,
}

/// A row of the table.
#[derive(Deserialize)]
pub(super) struct Row {
    /// The model.
    pub(super) name: String,
    tdp_watts: f64,
    source: String,
}

/// The rated power of a processor, by the `model name` of `/proc/cpuinfo` or the maker's own name.
///
/// The whole model must match, apart from trademarks, clock, core count, generation and graphics:
/// neighbours in a maker's list differ twofold, so a near miss is `None` and never a guess. So are the
/// made-up names of virtual machines (`AMD EPYC Processor`) and of Arm kernels (`ARMv8 Neoverse-V2`),
/// which tell the core and not the processor.
#[must_use]
pub fn rated_power(cpu_model_name: &str) -> Option<RatedPower> {
    let wanted = key(cpu_model_name);
    if wanted.is_empty() {
        return None;
    }
    let row = holding(&wanted).find(|row| key(&row.name) == wanted)?;
    with_source(row, &table::sources())
}

/// The rows whose names hold all words of a key, in whatever order: all whose key has them, and some more.
pub(super) fn holding(wanted: &str) -> impl Iterator<Item = Row> {
    listed().filter(move |row| {
        let name = row.name.to_lowercase();
        wanted.split(' ').all(|word| name.contains(word))
    })
}

/// All rows.
pub(super) fn listed() -> impl Iterator<Item = Row> {
    table::rows::<Row>(TABLE)
}

/// What a row tells; `None` where it names an unknown source.
pub(super) fn with_source(row: Row, sources: &[Source]) -> Option<RatedPower> {
    Some(RatedPower {
        source: table::source(sources, &row.source)?,
        model: row.name,
        watts: Watts(row.tdp_watts),
    })
}

/// From here on a name tells of clock or graphics and no longer of the model.
const TAILS: [&str; 5] = ["@", " with ", " w/ ", ",", " radeon "];
const MARKS: [&str; 5] = ["(r)", "(tm)", "(c)", "®", "™"];
const NOISE: [&str; 6] = ["intel", "amd", "genuine", "cpu", "processor", "apu"];
const COUNTS: [&str; 6] = ["dual", "triple", "quad", "six", "eight", "twelve"];

/// What is left of a name when all that does not tell models apart is gone: `epyc 7763`.
pub(super) fn key(name: &str) -> String {
    let mut name = name.to_lowercase();
    for tail in TAILS {
        if let Some(at) = name.find(tail) {
            name.truncate(at);
        }
    }
    for mark in MARKS {
        name = name.replace(mark, " ");
    }
    let mut words: Vec<&str> = Vec::new();
    for word in name.split(|c: char| !(c.is_ascii_alphanumeric() || c == '+')) {
        match (word, words.last().copied()) {
            ("core" | "cores", Some(before)) if is_count(before) => {
                words.pop();
            }
            ("gen", Some(before)) if is_ordinal(before) => {
                words.pop();
            }
            _ if word.is_empty() || NOISE.contains(&word) => {}
            _ => words.push(word),
        }
    }
    // The first generation of Xeon E5 calls itself "E5-2680 0".
    if words.len() > 1 && words.last() == Some(&"0") {
        words.pop();
    }
    words.join(" ")
}

fn is_count(word: &str) -> bool {
    COUNTS.contains(&word) || word.bytes().all(|b| b.is_ascii_digit())
}

fn is_ordinal(word: &str) -> bool {
    ["st", "nd", "rd", "th"].iter().any(|suffix| {
        word.strip_suffix(suffix)
            .is_some_and(|number| number.bytes().all(|b| b.is_ascii_digit()))
    })
}

#[cfg(test)]
mod tests {
    use super::super::table::tests::all;
    use super::super::table::{source, sources};
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_row_is_in_range_sourced_and_unique() {
        let sources = sources();
        let mut seen = HashSet::new();
        let rows = all::<Row>(TABLE);
        assert!(rows.len() > 4900, "{} rows", rows.len());
        for row in rows {
            assert!(
                row.tdp_watts > 0.0 && row.tdp_watts <= 600.0,
                "{}",
                row.name
            );
            assert!(source(&sources, &row.source).is_some(), "{}", row.name);
            assert!(!key(&row.name).is_empty(), "{}", row.name);
            assert!(seen.insert(row.name.clone()), "{} twice", row.name);
        }
    }

    #[test]
    fn the_table_stays_small() {
        assert!(TABLE.len() < 200_000, "{} bytes", TABLE.len());
    }

    #[test]
    fn names_as_the_kernel_writes_them_resolve() {
        for (name, watts) in [
            ("Intel(R) Xeon(R) Platinum 8380 CPU @ 2.30GHz", 270.0),
            ("Intel(R) Xeon(R) Platinum 8480+", 350.0),
            ("Intel(R) Xeon(R) Gold 6338 CPU @ 2.00GHz", 205.0),
            ("INTEL(R) XEON(R) PLATINUM 8592+", 350.0),
            ("Intel(R) Xeon(R) 6980P", 500.0),
            ("Intel(R) Xeon(R) CPU E5-2680 v4 @ 2.40GHz", 120.0),
            ("Intel(R) Xeon(R) CPU E5-2680 0 @ 2.70GHz", 130.0),
            ("Intel(R) Xeon(R) CPU           X5570  @ 2.93GHz", 95.0),
            ("Intel(R) Xeon(R) w9-3495X", 350.0),
            ("13th Gen Intel(R) Core(TM) i7-13700K", 125.0),
            ("Intel(R) Core(TM) i9-14900K", 125.0),
            ("Intel(R) Core(TM)2 Duo CPU     E8400  @ 3.00GHz", 65.0),
            ("AMD EPYC 7763 64-Core Processor", 280.0),
            ("AMD EPYC 9654 96-Core Processor", 360.0),
            ("AMD EPYC 9755 128-Core Processor", 500.0),
            ("AMD Ryzen 9 7950X 16-Core Processor", 170.0),
            ("AMD Ryzen 7 5800U with Radeon Graphics", 15.0),
            ("AMD Ryzen Threadripper PRO 5995WX 64-Cores", 280.0),
            ("AMD FX(tm)-8350 Eight-Core Processor", 125.0),
            ("NVIDIA Grace", 250.0),
        ] {
            assert_eq!(
                rated_power(name).map(|r| r.watts),
                Some(Watts(watts)),
                "{name}"
            );
        }
        let epyc = rated_power("AMD EPYC 7763 64-Core Processor").unwrap();
        assert_eq!(
            (epyc.model.as_str(), epyc.source.licence.as_str()),
            ("AMD EPYC 7763", "MIT")
        );
    }

    #[test]
    fn an_unknown_processor_is_none_and_never_a_guess() {
        for name in [
            "",
            "Genuine Intel(R) CPU",
            "Intel(R) Xeon(R) CPU @ 2.20GHz",
            "Intel Xeon Processor (Skylake, IBRS)",
            "AMD EPYC Processor",
            "AMD EPYC 7999 64-Core Processor",
            "QEMU Virtual CPU version 2.5+",
            "ARMv8 Processor rev 1 (v8l)",
            "ARMv8 Neoverse-V2",
            "16-Core Processor",
        ] {
            assert_eq!(rated_power(name), None, "{name}");
        }
    }
}
