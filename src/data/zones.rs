//! Yearly mean carbon intensity of countries and of the grid zones inside them.

use super::nearest::{best, likeness};
use super::table::{self, Source};
use crate::units::GramsPerKwh;
use serde::Deserialize;

const TABLE: &str = include_str!("zones.csv");

/// Codes that people write for what the table lists under its ISO 3166 code.
const ALIASES: [(&str, &str); 2] = [("UK", "GB"), ("EL", "GR")];

/// A grid zone and its intensity over a year.
#[derive(Clone, Debug, PartialEq)]
pub struct Zone {
    /// ISO 3166-1 alpha-2 (`DE`), ISO 3166-2 (`US-CA`), Electricity Maps' name of a grid region
    /// (`US-MIDA-PJM`), or `WORLD`.
    pub zone: String,
    /// Its English name.
    pub name: String,
    /// The year's mean, positive and below 1500 g CO2e/kWh.
    pub intensity: GramsPerKwh,
    /// `lifecycle`, with fuel supply and building of plants, or `direct`, what leaves the stacks.
    pub scope: String,
    /// The year that the mean is for.
    pub year: u16,
    /// Who published it.
    pub source: Source,
}

#[derive(Deserialize)]
struct Row {
    zone: String,
    name: String,
    grams_per_kwh: f64,
    scope: String,
    year: u16,
    source: String,
}

/// The zone with this code, whatever its case; `UK` and `EL` are taken for `GB` and `GR`.
#[must_use]
pub fn zone(code: &str) -> Option<Zone> {
    let code = code.trim();
    let code = ALIASES
        .iter()
        .find(|(alias, _)| alias.eq_ignore_ascii_case(code))
        .map_or(code, |(_, code)| code);
    let row = table::rows::<Row>(TABLE).find(|row| row.zone.eq_ignore_ascii_case(code))?;
    with_source(row, &table::sources())
}

/// All zones, by code.
#[must_use]
pub fn zones() -> Vec<Zone> {
    let sources = table::sources();
    table::rows(TABLE)
        .filter_map(|row| with_source(row, &sources))
        .collect()
}

/// The `how_many` zones whose code or name is most like `text`, best first: what to offer to a person
/// who typed `Germny`.
#[must_use]
pub fn nearest_zones(text: &str, how_many: usize) -> Vec<Zone> {
    best(zones(), how_many, |zone| {
        likeness(text, &zone.zone).max(likeness(text, &zone.name))
    })
}

fn with_source(row: Row, sources: &[Source]) -> Option<Zone> {
    Some(Zone {
        source: table::source(sources, &row.source)?,
        zone: row.zone,
        name: row.name,
        intensity: GramsPerKwh(row.grams_per_kwh),
        scope: row.scope,
        year: row.year,
    })
}

#[cfg(test)]
mod tests {
    use super::super::table::tests::all;
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_row_is_in_range_sourced_and_unique() {
        let mut seen = HashSet::new();
        let rows = all::<Row>(TABLE);
        assert!(rows.len() > 340, "{} rows", rows.len());
        assert_eq!(zones().len(), rows.len(), "a row names an unknown source");
        for row in rows {
            let grams = row.grams_per_kwh;
            assert!(grams > 0.0 && grams < 1500.0, "{}: {grams}", row.zone);
            assert!(
                ["lifecycle", "direct"].contains(&row.scope.as_str()),
                "{}",
                row.zone
            );
            assert!((2000..2100).contains(&row.year), "{}", row.zone);
            assert!(!row.name.is_empty(), "{}", row.zone);
            assert!(seen.insert(row.zone.to_uppercase()), "{} twice", row.zone);
        }
    }

    #[test]
    fn countries_states_and_grid_regions_are_found_whatever_their_case() {
        for (code, grams) in [
            ("DE", 344.14),
            ("fr", 44.0),
            ("US-VT", 24.0),
            ("us-ca", 179.06),
            ("CA-QC", 27.38),
            ("SE-SE3", 27.0),
            ("NO-NO1", 26.0),
            ("CN-SC", 156.4),
            ("AU-NSW", 660.0),
            ("US-MIDA-PJM", 323.05),
            ("WORLD", 445.0),
        ] {
            let found = zone(code).unwrap();
            assert!((found.intensity.0 - grams).abs() < 1.0, "{found:?}");
        }
        assert_eq!(zone("DE").unwrap().name, "Germany");
        assert_eq!(zone("NA").unwrap().name, "Namibia");
        assert_eq!(zone("US-VT").unwrap().source.licence, "public domain");
        assert_eq!(zone("uk"), zone("GB"));
    }

    #[test]
    fn an_unknown_zone_is_none_and_the_nearest_are_offered() {
        assert_eq!(zone("Germny"), None);
        assert_eq!(zone(""), None);
        assert_eq!(nearest_zones("Germny", 3)[0].zone, "DE");
        assert_eq!(nearest_zones("sweeden", 3)[0].zone, "SE");
        assert_eq!(nearest_zones("US-PJM", 3)[0].zone, "US-MIDA-PJM");
        assert_eq!(nearest_zones("us-pjm", 3).len(), 3);
        assert!(
            nearest_zones("US-ERCO", 5)
                .iter()
                .any(|z| z.zone.starts_with("US"))
        );
        assert!(nearest_zones("DE", 0).is_empty());
    }
}
