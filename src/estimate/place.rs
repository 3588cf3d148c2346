//! Where a load runs: the intensity and PUE there, and the places to compare it with.

use crate::data::{self, CloudRegion, Source, Zone};
use crate::units::GramsPerKwh;

/// A place, with the figures that hold there.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// The cloud provider; `None` for a zone, and for a place of which only the intensity is known.
    pub provider: Option<String>,
    /// The provider's code of the region, or else the zone's code; empty for a place of which only the intensity
    /// is known.
    pub code: String,
    /// Where it is, in words.
    pub name: String,
    /// The grid zone's code; empty where only the intensity is known.
    pub zone: String,
    /// Intensity of the grid there.
    pub intensity: GramsPerKwh,
    /// Of that intensity: `lifecycle` or `direct`; empty where only the intensity is known.
    pub scope: String,
    /// The year that the intensity is the mean of.
    pub year: Option<u16>,
    /// Who published the intensity.
    pub source: Option<Source>,
    /// Facility power over IT power.
    pub pue: f64,
    /// Where the PUE comes from.
    pub ground: Ground,
}

/// Where a PUE comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Ground {
    /// It was given.
    Given,
    /// The provider publishes it.
    Published(Source),
    /// Nowhere: it counts as 1.
    Unknown,
}

/// What a load is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compare {
    /// Nothing.
    None,
    /// All zones.
    Zones,
    /// All regions of a provider.
    Provider(String),
}

impl Place {
    /// A bundled zone.
    ///
    /// # Errors
    /// That it is unknown, with the nearest.
    pub fn zone(code: &str, pue: Option<f64>) -> Result<Self, String> {
        let zone = data::zone(code).ok_or_else(|| {
            let near: Vec<String> = data::nearest_zones(code, 3)
                .into_iter()
                .map(|zone| format!("{} ({})", zone.zone, zone.name))
                .collect();
            format!(
                "--zone: unknown zone {code:?}; nearest: {}; `gramwatt zones` lists all, and for a place that is not \
                 among them give --intensity in g CO2e/kWh",
                near.join(", ")
            )
        })?;
        Ok(Self::of_zone(zone, pue))
    }

    /// A cloud region, as `aws/eu-central-1`.
    ///
    /// # Errors
    /// That it is unknown, with the nearest.
    pub fn cloud(text: &str, pue: Option<f64>) -> Result<Self, String> {
        let providers = data::cloud_providers();
        let (provider, region) = text.split_once('/').ok_or_else(|| {
            format!(
                "--cloud {text:?}: give PROVIDER/REGION, such as aws/eu-central-1, of a provider among {}; `gramwatt \
                 zones` lists all regions",
                providers.join(", ")
            )
        })?;
        let is_provider = |known: &String| known.eq_ignore_ascii_case(provider.trim());
        if !providers.iter().any(is_provider) {
            return Err(format!(
                "--cloud: unknown provider {provider:?}; there are {}; `gramwatt zones` lists their regions",
                providers.join(", ")
            ));
        }
        let known = data::cloud_region(provider, region);
        let place = known.and_then(|region| Self::of_region(region, &data::zones(), pue));
        place.ok_or_else(|| {
            let near: Vec<String> = data::nearest_cloud_regions(provider, region, 3)
                .into_iter()
                .map(|near| format!("{}/{} ({})", near.provider, near.region, near.name))
                .collect();
            format!(
                "--cloud: unknown region {region:?} of provider {provider:?}; nearest: {}; `gramwatt zones` lists all",
                near.join(", ")
            )
        })
    }

    /// A place of which only the intensity is known.
    #[must_use]
    pub fn given(intensity: GramsPerKwh, pue: Option<f64>) -> Self {
        Self {
            provider: None,
            code: String::new(),
            name: "a place of the given intensity".into(),
            zone: String::new(),
            intensity,
            scope: String::new(),
            year: None,
            source: None,
            pue: pue.unwrap_or(1.0),
            ground: given(pue),
        }
    }

    /// `aws/eu-central-1 (Frankfurt)`, `DE (Germany)`.
    #[must_use]
    pub fn told(&self) -> String {
        match &self.provider {
            Some(provider) => format!("{provider}/{} ({})", self.code, self.name),
            None if self.code.is_empty() => self.name.clone(),
            None => format!("{} ({})", self.code, self.name),
        }
    }

    /// The places to compare this one with, and this one itself; none for [`Compare::None`].
    ///
    /// A PUE that was given holds everywhere; else a region has its published one, and a zone this place's.
    #[must_use]
    pub fn others(&self, compare: &Compare) -> Vec<Self> {
        let pue = (self.ground == Ground::Given).then_some(self.pue);
        let mut others: Vec<Self> = match compare {
            Compare::None => return Vec::new(),
            // The world's mean is no place to go to.
            Compare::Zones => data::zones()
                .into_iter()
                .filter(|zone| zone.zone != "WORLD")
                .map(|zone| Self::of_zone(zone, pue.or(self.published())))
                .collect(),
            Compare::Provider(provider) => {
                let zones = data::zones();
                data::cloud_regions()
                    .into_iter()
                    .filter(|region| region.provider.eq_ignore_ascii_case(provider))
                    .filter_map(|region| Self::of_region(region, &zones, pue))
                    .collect()
            }
        };
        if !others.contains(self) {
            others.push(self.clone());
        }
        others
    }

    fn published(&self) -> Option<f64> {
        matches!(self.ground, Ground::Published(_)).then_some(self.pue)
    }

    fn of_zone(zone: Zone, pue: Option<f64>) -> Self {
        Self {
            provider: None,
            code: zone.zone.clone(),
            name: zone.name,
            zone: zone.zone,
            intensity: zone.intensity,
            scope: zone.scope,
            year: Some(zone.year),
            source: Some(zone.source),
            pue: pue.unwrap_or(1.0),
            ground: given(pue),
        }
    }

    /// A region with what its provider publishes of the intensity there, else its zone's mean.
    fn of_region(region: CloudRegion, zones: &[Zone], pue: Option<f64>) -> Option<Self> {
        let zone = zones.iter().find(|zone| zone.zone == region.zone)?;
        let (ground, ratio) = match (pue, region.pue, region.pue_source) {
            (None, Some(ratio), Some(source)) => (Ground::Published(source), ratio),
            _ => (given(pue), pue.unwrap_or(1.0)),
        };
        let base = Self::of_zone(zone.clone(), None);
        let base = match region.intensity {
            Some(intensity) => Self {
                intensity,
                scope: region.scope,
                year: Some(region.year),
                source: Some(region.source),
                ..base
            },
            None => base,
        };
        Some(Self {
            provider: Some(region.provider),
            code: region.region,
            name: region.name,
            pue: ratio,
            ground,
            ..base
        })
    }
}

fn given(pue: Option<f64>) -> Ground {
    match pue {
        Some(_) => Ground::Given,
        None => Ground::Unknown,
    }
}
