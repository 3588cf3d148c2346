//! What a mass of CO2e is as much as, in things that people know.

use super::table::{self, Source};
use crate::units::Grams;
use serde::Deserialize;

const TABLE: &str = include_str!("equivalents.csv");

/// A thing that people know, and what one of it emits or takes up.
#[derive(Clone, Debug, PartialEq)]
pub struct Equivalent {
    /// The short name, for programs: `car-km-us`.
    pub id: String,
    /// What there are several of: `kilometres by car (US)`.
    pub name: String,
    /// What there is one of: `kilometre by car (US)`.
    pub one: String,
    /// What one of it emits, or takes up; positive, below a thousand tonnes.
    pub grams: Grams,
    /// What exactly is meant, in words.
    pub meaning: String,
    /// Who says so.
    pub source: Source,
}

impl Equivalent {
    /// How many of it are as much as `grams`.
    #[must_use]
    pub fn count(&self, grams: Grams) -> f64 {
        grams.0 / self.grams.0
    }
}

#[derive(Deserialize)]
struct Row {
    id: String,
    name: String,
    one: String,
    kilograms: f64,
    meaning: String,
    source: String,
}

/// All of them, in the order in which they are shown.
#[must_use]
pub fn equivalents() -> Vec<Equivalent> {
    let sources = table::sources();
    table::rows::<Row>(TABLE)
        .filter_map(|row| {
            Some(Equivalent {
                source: table::source(&sources, &row.source)?,
                grams: Grams(row.kilograms * 1000.0),
                id: row.id,
                name: row.name,
                one: row.one,
                meaning: row.meaning,
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
        assert_eq!(equivalents().len(), rows.len(), "an unknown source");
        let mut seen = HashSet::new();
        for row in rows {
            assert!((1e-3..1e6).contains(&row.kilograms), "{}", row.id);
            for text in [&row.name, &row.one, &row.meaning] {
                assert!(!text.is_empty(), "{}", row.id);
            }
            assert!(seen.insert(row.id.clone()), "{} twice", row.id);
        }
    }

    #[test]
    fn published_figures_come_out() {
        let all = equivalents();
        let count = |id: &str, kilograms: f64| {
            let one = all.iter().find(|one| one.id == id).unwrap();
            one.count(Grams(kilograms * 1000.0))
        };
        // EPA: 3.93e-4 t a mile, and a mile is 1.609344 km.
        assert!((count("car-km-us", 0.393) - 1.609_344).abs() < 1e-3);
        // Strubell et al. have the Transformer with architecture search, 626,155 lb, as five cars.
        assert!((count("car-lifetime", 626_155.0 * 0.453_592_37) - 4.97).abs() < 0.01);
    }
}
