//! Regions of cloud providers: the grid zone that each lies in, and what its provider publishes of it.

use super::nearest::{best, likeness};
use super::table::{self, Source};
use crate::units::GramsPerKwh;
use serde::Deserialize;

const TABLE: &str = include_str!("cloud_regions.csv");

/// A provider's region.
#[derive(Clone, Debug, PartialEq)]
pub struct CloudRegion {
    /// `aws`, `gcp`, `azure`, `ovh`, ...
    pub provider: String,
    /// The provider's own code, such as `eu-central-1`.
    pub region: String,
    /// Where it is.
    pub name: String,
    /// The grid zone that it lies in, always one that [`super::zone`] knows.
    pub zone: String,
    /// What the provider publishes; `None` where it publishes nothing and the zone's figure stands.
    pub intensity: Option<GramsPerKwh>,
    /// `lifecycle` or `direct` as in [`super::Zone`], of the provider's own intensity; empty without one.
    pub scope: String,
    /// Facility power over IT power, 1 to 2; `None` where the provider publishes nothing.
    pub pue: Option<f64>,
    /// The year of the intensity or else of the PUE or else of the mapping.
    pub year: u16,
    /// Who published the intensity, or matched the region to its zone.
    pub source: Source,
    /// Who published the PUE, and whether it is the region's own or the provider's fleet's.
    pub pue_source: Option<Source>,
}

#[derive(Deserialize)]
struct Row {
    provider: String,
    region: String,
    name: String,
    zone: String,
    grams_per_kwh: Option<f64>,
    scope: String,
    pue: Option<f64>,
    year: u16,
    source: String,
    pue_source: Option<String>,
}

/// The region with this code at this provider, whatever the case of either.
#[must_use]
pub fn cloud_region(provider: &str, region: &str) -> Option<CloudRegion> {
    let (provider, region) = (provider.trim(), region.trim());
    let row = table::rows::<Row>(TABLE).find(|row| {
        row.provider.eq_ignore_ascii_case(provider) && row.region.eq_ignore_ascii_case(region)
    })?;
    with_sources(row, &table::sources())
}

/// All regions, by provider.
#[must_use]
pub fn cloud_regions() -> Vec<CloudRegion> {
    let sources = table::sources();
    table::rows(TABLE)
        .filter_map(|row| with_sources(row, &sources))
        .collect()
}

/// The providers that the table knows, each once, by name.
#[must_use]
pub fn cloud_providers() -> Vec<String> {
    let mut all: Vec<String> = table::rows::<Row>(TABLE).map(|row| row.provider).collect();
    all.sort();
    all.dedup();
    all
}

/// The `how_many` regions most like what was typed, best first; of that provider alone where it is one
/// that the table knows.
#[must_use]
pub fn nearest_cloud_regions(provider: &str, region: &str, how_many: usize) -> Vec<CloudRegion> {
    let mut candidates = cloud_regions();
    let is_provider = |known: &CloudRegion| known.provider.eq_ignore_ascii_case(provider.trim());
    if candidates.iter().any(is_provider) {
        candidates.retain(is_provider);
    }
    best(candidates, how_many, |known| {
        let place = likeness(region, &known.region).max(likeness(region, &known.name));
        place + likeness(provider, &known.provider)
    })
}

fn with_sources(row: Row, sources: &[Source]) -> Option<CloudRegion> {
    Some(CloudRegion {
        source: table::source(sources, &row.source)?,
        pue_source: row.pue_source.and_then(|id| table::source(sources, &id)),
        provider: row.provider,
        region: row.region,
        name: row.name,
        zone: row.zone,
        intensity: row.grams_per_kwh.map(GramsPerKwh),
        scope: row.scope,
        pue: row.pue,
        year: row.year,
    })
}

#[cfg(test)]
mod tests {
    use super::super::table::tests::all;
    use super::super::zones;
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_row_is_in_range_sourced_unique_and_in_a_known_zone() {
        let zones: HashSet<String> = zones().into_iter().map(|zone| zone.zone).collect();
        let mut seen = HashSet::new();
        let rows = all::<Row>(TABLE);
        assert_eq!(cloud_regions().len(), rows.len(), "an unknown source");
        for row in cloud_regions() {
            let place = format!("{}/{}", row.provider, row.region);
            assert!(zones.contains(&row.zone), "{place}: zone {}", row.zone);
            assert!(
                row.intensity.is_none_or(|i| i.0 > 0.0 && i.0 < 1500.0),
                "{place}"
            );
            assert!(
                row.pue.is_none_or(|pue| (1.0..2.0).contains(&pue)),
                "{place}"
            );
            assert_eq!(row.pue.is_some(), row.pue_source.is_some(), "{place}");
            let scopes: &[&str] = match row.intensity {
                Some(_) => &["lifecycle", "direct"],
                None => &[""],
            };
            assert!(scopes.contains(&row.scope.as_str()), "{place}");
            assert!((2019..2100).contains(&row.year), "{place}");
            assert!(seen.insert(place.to_lowercase()), "{place} twice");
        }
    }

    #[test]
    fn regions_lie_where_they_are() {
        for (provider, region, zone) in [
            ("aws", "eu-central-1", "DE"),
            ("AWS", "US-East-1", "US-MIDA-PJM"),
            ("aws", "ap-northeast-1", "JP-TK"),
            ("azure", "northeurope", "IE"),
            ("azure", "westeurope", "NL"),
            ("azure", "swedencentral", "SE-SE3"),
            ("azure", "westus", "US-CAL-CISO"),
            ("gcp", "europe-west10", "DE"),
            ("ovh", "gra", "FR"),
        ] {
            assert_eq!(
                cloud_region(provider, region).unwrap().zone,
                zone,
                "{region}"
            );
        }
        let frankfurt = cloud_region("aws", "eu-central-1").unwrap();
        assert_eq!((frankfurt.pue, frankfurt.intensity), (Some(1.35), None));
        let iowa = cloud_region("gcp", "us-central1").unwrap();
        assert_eq!(iowa.intensity, Some(GramsPerKwh(412.72)));
        let beijing = cloud_region("aws", "cn-north-1").unwrap();
        assert_eq!((beijing.pue, beijing.pue_source), (None, None));
    }

    #[test]
    fn an_unknown_region_is_none_and_the_nearest_are_offered() {
        assert_eq!(cloud_region("aws", "eu-central-9"), None);
        assert_eq!(cloud_region("", ""), None);
        let near = nearest_cloud_regions("aws", "eu-centrl-1", 3);
        assert_eq!(near[0].region, "eu-central-1");
        assert!(near.iter().all(|region| region.provider == "aws"));
        assert_eq!(
            nearest_cloud_regions("azure", "west europe", 1)[0].region,
            "westeurope"
        );
        assert_eq!(
            nearest_cloud_regions("awz", "eu-west-1", 1)[0].provider,
            "aws"
        );
    }
}
