//! What it took to make a part: cradle-to-gate CO2e.

use super::table::{self, Source};
use crate::sensor::Kind;
use serde::Deserialize;

const TABLE: &str = include_str!("embodied.csv");

/// The row that stands for every model of its kind.
const ANY: &str = "*";

/// The manufacturing footprint of one device, or for [`Kind::Dram`] of one gigabyte.
#[derive(Clone, Debug, PartialEq)]
pub struct Embodied {
    /// The model as the table has it; `any gpu`, `any cpu` or `any dram` where the figure is the
    /// kind's and not the model's.
    pub model: String,
    /// kg CO2e of one device; of one GB of memory for `dram`.
    pub kilograms: f64,
    /// The lowest published figure, in the same unit.
    pub low: f64,
    /// The highest published figure, in the same unit.
    pub high: f64,
    /// The years of use that the kilograms are spread over.
    pub lifetime_years: f64,
    /// Who published `kilograms`.
    pub source: Source,
}

#[derive(Deserialize)]
struct Row {
    kind: String,
    model: String,
    kilograms: f64,
    low: f64,
    high: f64,
    lifetime_years: f64,
    source: String,
}

/// The footprint of a device by its marketing name, as drivers give it (`NVIDIA H100 80GB HBM3`).
///
/// The row whose words are all in the name wins, the one with most words first; else the figure of the
/// kind. For [`Kind::Dram`] the figures are for each GB (10^9 bytes) and `model` is not looked at.
/// `None` for kinds that the table does not have.
#[must_use]
pub fn embodied(kind: Kind, model: &str) -> Option<Embodied> {
    let name = words(model);
    let row = table::rows::<Row>(TABLE)
        .filter(|row| row.kind == kind.label())
        .filter_map(|row| Some((matching_words(&row.model, &name)?, row)))
        .max_by_key(|(matching, _)| *matching)
        .map(|(_, row)| row)?;
    Some(Embodied {
        source: table::source(&table::sources(), &row.source)?,
        model: if row.model == ANY {
            format!("any {}", row.kind)
        } else {
            row.model
        },
        kilograms: row.kilograms,
        low: row.low,
        high: row.high,
        lifetime_years: row.lifetime_years,
    })
}

/// How many words of a row's model are in the name; `None` where one of them is not.
fn matching_words(pattern: &str, name: &[String]) -> Option<usize> {
    if pattern == ANY {
        return Some(0);
    }
    let pattern = words(pattern);
    pattern
        .iter()
        .all(|word| name.contains(word))
        .then_some(pattern.len())
}

fn words(name: &str) -> Vec<String> {
    name.split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
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
        for row in all::<Row>(TABLE) {
            let name = format!("{} {}", row.kind, row.model);
            assert!(
                ["gpu", "cpu", "dram"].contains(&row.kind.as_str()),
                "{name}"
            );
            assert!(0.0 < row.low && row.low <= row.kilograms, "{name}");
            assert!(row.kilograms <= row.high && row.high < 10_000.0, "{name}");
            assert!((1.0..=10.0).contains(&row.lifetime_years), "{name}");
            assert!(source(&sources, &row.source).is_some(), "{name}");
            assert!(seen.insert(name.to_lowercase()), "{name} twice");
        }
    }

    #[test]
    fn names_as_drivers_write_them_resolve() {
        for (name, model, kilograms) in [
            ("NVIDIA H100 80GB HBM3", "H100", 164.0),
            ("NVIDIA H100 PCIe", "H100 PCIe", 273.0),
            ("NVIDIA A100-SXM4-80GB", "A100 80GB", 318.0),
            ("NVIDIA A100-PCIE-40GB", "A100 40GB", 318.0),
            ("Tesla V100-SXM2-32GB", "V100 32GB", 290.0),
            ("Tesla T4", "T4", 131.0),
            ("NVIDIA L40S", "L40S", 277.0),
            ("NVIDIA B200", "B200", 284.0),
            ("AMD Instinct MI300X", "MI300X", 273.0),
            ("NVIDIA GeForce RTX 4090", "any gpu", 150.0),
        ] {
            let found = embodied(Kind::Gpu, name).unwrap();
            assert_eq!(
                (found.model.as_str(), found.kilograms),
                (model, kilograms),
                "{name}"
            );
        }
        let h100 = embodied(Kind::Gpu, "NVIDIA H100 80GB HBM3").unwrap();
        assert_eq!((h100.low, h100.high), (164.0, 575.0));
    }

    #[test]
    fn processors_and_memory_have_the_figure_of_their_kind() {
        let cpu = embodied(Kind::Cpu, "AMD EPYC 7763 64-Core Processor").unwrap();
        assert_eq!((cpu.model.as_str(), cpu.kilograms), ("any cpu", 100.0));
        let gigabyte = embodied(Kind::Dram, "").unwrap();
        assert!((gigabyte.kilograms - 533.0 / 384.0).abs() < 1e-3);
        assert_eq!(embodied(Kind::Other, "fan"), None);
    }
}
