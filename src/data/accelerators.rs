//! What accelerators are rated at, and the memory that they have.

use super::table::{self, Source};
use crate::units::Watts;
use serde::Deserialize;

const TABLE: &str = include_str!("accelerators.csv");

/// An accelerator.
#[derive(Clone, Debug, PartialEq)]
pub struct Accelerator {
    /// Its marketing name, with its maker's.
    pub name: String,
    /// The most that its maker says the board draws, positive and below 3 kW. What is in force on a machine may
    /// be less: a driver's power limit.
    pub rated: Watts,
    /// Its memory in GB, as its maker counts them.
    pub memory_gb: f64,
    /// Words of its other names that its siblings do not have: `sxm5 hbm3`.
    pub also: String,
    /// Who says what it draws.
    pub source: Source,
}

#[derive(Deserialize)]
struct Row {
    name: String,
    rated_watts: f64,
    memory_gb: f64,
    also: String,
    source: String,
}

/// All of them.
#[must_use]
pub fn accelerators() -> Vec<Accelerator> {
    let sources = table::sources();
    table::rows::<Row>(TABLE)
        .filter_map(|row| {
            Some(Accelerator {
                source: table::source(&sources, &row.source)?,
                rated: Watts(row.rated_watts),
                memory_gb: row.memory_gb,
                also: row.also,
                name: row.name,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::table::tests::all;
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_row_is_in_range_sourced_and_unique() {
        let rows = all::<Row>(TABLE);
        assert_eq!(accelerators().len(), rows.len(), "an unknown source");
        let mut seen = HashSet::new();
        for row in rows {
            assert!((1.0..3000.0).contains(&row.rated_watts), "{}", row.name);
            assert!((1.0..1000.0).contains(&row.memory_gb), "{}", row.name);
            assert!(seen.insert(row.name.to_lowercase()), "{} twice", row.name);
        }
    }
}
