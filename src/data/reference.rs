//! What a relay tells for comparison: the bundled figures of other places and other hardware.

use super::{Zone, accelerators, cloud_regions, embodied, zones};
use crate::sensor::Kind;
use crate::units::{Grams, GramsPerKwh, Watts};

/// The bundled tables, read once.
#[derive(Clone, Debug, PartialEq)]
pub struct Reference {
    /// Every zone.
    pub zones: Vec<Zone>,
    /// Every cloud region.
    pub sites: Vec<Site>,
    /// Every accelerator.
    pub boards: Vec<Board>,
}

/// A cloud region, with the figure that holds there.
#[derive(Clone, Debug, PartialEq)]
pub struct Site {
    /// `aws`, `gcp`, `azure`, ...
    pub provider: String,
    /// The provider's code of it.
    pub region: String,
    /// Where it is.
    pub name: String,
    /// The grid zone that it lies in.
    pub zone: String,
    /// What the provider publishes, else its zone's yearly mean.
    pub intensity: GramsPerKwh,
    /// Of that intensity: `lifecycle` or `direct`.
    pub scope: String,
    /// Facility power over IT power, where it is published.
    pub pue: Option<f64>,
    /// The id of who published the intensity.
    pub source: String,
}

/// An accelerator, with what it took to make it.
#[derive(Clone, Debug, PartialEq)]
pub struct Board {
    /// Its marketing name.
    pub name: String,
    /// The most that its maker says it draws.
    pub rated: Watts,
    /// What it took to make it: the figure in use, the lowest and the highest published.
    pub embodied: [Grams; 3],
    /// The id of who published the first of the three.
    pub source: String,
}

impl Reference {
    /// What is bundled.
    #[must_use]
    pub fn bundled() -> Self {
        let zones = zones();
        let sites = cloud_regions().into_iter().filter_map(|region| {
            let zone = zones.iter().find(|zone| zone.zone == region.zone)?;
            let (intensity, scope, source) = match region.intensity {
                Some(own) => (own, region.scope, region.source.id),
                None => (zone.intensity, zone.scope.clone(), zone.source.id.clone()),
            };
            Some(Site {
                provider: region.provider,
                region: region.region,
                name: region.name,
                zone: region.zone,
                intensity,
                scope,
                pue: region.pue,
                source,
            })
        });
        let boards = accelerators().into_iter().filter_map(|accelerator| {
            let made = embodied(Kind::Gpu, &accelerator.name)?;
            let grams = |kilograms: f64| Grams(kilograms * 1000.0);
            Some(Board {
                name: accelerator.name,
                rated: accelerator.rated,
                embodied: [made.kilograms, made.low, made.high].map(grams),
                source: made.source.id,
            })
        });
        Self {
            sites: sites.collect(),
            boards: boards.collect(),
            zones,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{accelerators, cloud_regions};

    #[test]
    fn nothing_bundled_is_left_out() {
        let all = Reference::bundled();
        assert_eq!(all.sites.len(), cloud_regions().len());
        assert_eq!(all.boards.len(), accelerators().len());
        assert!(all.zones.len() > 250);
    }

    #[test]
    fn a_region_has_its_own_figure_or_its_zones() {
        let all = Reference::bundled();
        let site = |provider: &str, region: &str| {
            let mut sites = all.sites.iter();
            sites
                .find(|site| site.provider == provider && site.region == region)
                .unwrap()
        };
        let madrid = site("gcp", "europe-southwest1");
        assert_eq!(
            (madrid.intensity.0, madrid.scope.as_str()),
            (89.04, "direct")
        );
        let frankfurt = site("aws", "eu-central-1");
        let germany = crate::data::zone("DE").unwrap();
        assert_eq!(frankfurt.intensity, germany.intensity);
        assert_eq!(
            (&frankfurt.scope, &frankfurt.source),
            (&germany.scope, &germany.source.id)
        );
    }
}
