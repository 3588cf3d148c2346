//! What all tables share: rows of a CSV text, and the sources that they name by id.

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Where a row comes from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Source {
    /// The short name that rows use.
    pub id: String,
    /// Who published what, and what was done to it.
    pub title: String,
    /// SPDX identifier where there is one.
    pub licence: String,
    /// The edition or year of the data, and the package that carried it.
    pub vintage: String,
    /// Where the publisher has it.
    pub url: String,
}

pub(super) const SOURCES: &str = include_str!("sources.csv");

/// The rows of a bundled table. The tests prove that every one parses, so none is lost here.
pub(super) fn rows<T: DeserializeOwned>(text: &str) -> impl Iterator<Item = T> {
    csv::Reader::from_reader(text.as_bytes())
        .into_deserialize()
        .filter_map(Result::ok)
}

/// All sources, to look several ids up without parsing again.
pub(super) fn sources() -> Vec<Source> {
    rows(SOURCES).collect()
}

/// The source with this id among `sources`.
pub(super) fn source(sources: &[Source], id: &str) -> Option<Source> {
    sources.iter().find(|source| source.id == id).cloned()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::collections::HashSet;

    /// Every row of a table, or a panic that names the first bad one.
    pub(in crate::data) fn all<T: DeserializeOwned>(text: &str) -> Vec<T> {
        csv::Reader::from_reader(text.as_bytes())
            .into_deserialize()
            .map(|row| row.unwrap())
            .collect()
    }

    #[test]
    fn every_source_is_complete_and_named_once() {
        let mut seen = HashSet::new();
        for source in all::<Source>(SOURCES) {
            for field in [&source.id, &source.title, &source.licence, &source.vintage] {
                assert!(!field.is_empty(), "{source:?}");
            }
            assert!(source.url.starts_with("https://"), "{source:?}");
            assert!(seen.insert(source.id.clone()), "{} twice", source.id);
        }
    }

    #[test]
    fn every_source_is_in_the_notice() {
        let notice = include_str!("../../NOTICE");
        for source in sources() {
            assert!(
                notice.contains(&source.url),
                "NOTICE lacks {} ({})",
                source.url,
                source.id
            );
        }
    }
}
