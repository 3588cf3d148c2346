//! What the same load would have meant elsewhere: its energy x PUE x yearly mean intensity of other places.

use crate::data::{Reference, Site};
use crate::units::{Grams, GramsPerKwh, Joules};
use serde::Serialize;

/// The same load in a place.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Elsewhere {
    /// The cloud's provider.
    pub provider: String,
    /// Its code of the region.
    pub region: String,
    /// Where that is.
    pub name: String,
    /// The grid zone.
    pub grid_zone: String,
    /// Yearly mean.
    pub grams_per_kwh: GramsPerKwh,
    /// `lifecycle` or `direct`.
    pub scope: String,
    /// Facility power over IT power.
    pub pue: f64,
    /// Whether the PUE is the region's own; else it is that of the load where it was.
    pub pue_is_published: bool,
    /// Operational CO2e of the load there.
    pub co2e_grams: Grams,
    /// Over what was met here, less one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<f64>,
}

/// The same load in the same place, with another PUE.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OtherPue {
    /// Facility power over IT power.
    pub pue: f64,
    /// Operational CO2e of the load.
    pub co2e_grams: Grams,
}

/// PUEs to compare with: from no overhead at all to where old machine rooms are.
const PUES: [f64; 5] = [1.0, 1.1, 1.2, 1.4, 1.6];

/// What is compared.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Energy of the IT equipment.
    pub joules: Joules,
    /// PUE where it ran.
    pub pue: Option<f64>,
    /// What it emitted, where all of its grams are known.
    pub grams: Option<Grams>,
}

/// The load in every cloud region of these providers, all where none is named, the least first.
#[must_use]
pub fn regions(load: Load, providers: &[String]) -> Vec<Elsewhere> {
    let is_asked = |site: &Site| providers.is_empty() || providers.contains(&site.provider);
    let sites = Reference::bundled().sites.into_iter().filter(is_asked);
    let mut all: Vec<Elsewhere> = sites
        .map(|site| {
            let pue = site.pue.or(load.pue).unwrap_or(1.0);
            let grams = site.intensity.of(load.joules.times(pue));
            Elsewhere {
                pue,
                pue_is_published: site.pue.is_some(),
                co2e_grams: grams,
                change: load
                    .grams
                    .filter(|here| here.0 > 0.0)
                    .map(|here| grams.0 / here.0 - 1.0),
                provider: site.provider,
                region: site.region,
                name: site.name,
                grid_zone: site.zone,
                grams_per_kwh: site.intensity,
                scope: site.scope,
            }
        })
        .collect();
    all.sort_by(|a, b| a.co2e_grams.0.total_cmp(&b.co2e_grams.0));
    all
}

/// The load where it was, with other PUEs; nothing where its own is not known.
#[must_use]
pub fn pues(load: Load) -> Vec<OtherPue> {
    let Some((own, grams)) = load.pue.zip(load.grams) else {
        return Vec::new();
    };
    let all = PUES.into_iter().map(|pue| OtherPue {
        pue,
        co2e_grams: grams.times(pue / own),
    });
    all.collect()
}

/// The place of `here` among `all`, counted from 1: how many emit less, and one.
#[must_use]
pub fn rank(all: &[Elsewhere], here: Grams) -> usize {
    1 + all
        .iter()
        .filter(|place| place.co2e_grams.0 < here.0)
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOAD: Load = Load {
        // 1000 kWh.
        joules: Joules(3.6e9),
        pue: Some(1.25),
        grams: Some(Grams(250_000.0)),
    };

    #[test]
    fn a_load_elsewhere_is_its_energy_times_pue_and_intensity_of_there() {
        let all = regions(LOAD, &[]);
        let iowa = all
            .iter()
            .find(|place| place.region == "us-central1")
            .unwrap();
        assert!(iowa.pue_is_published);
        let expected = 1000.0 * iowa.pue * 412.72;
        assert!((iowa.co2e_grams.0 - expected).abs() < 1e-6);
        assert!((iowa.change.unwrap() - (expected / 250_000.0 - 1.0)).abs() < 1e-9);
        // Where no PUE is published, the load's own.
        let beijing = all
            .iter()
            .find(|place| place.region == "cn-north-1")
            .unwrap();
        assert!(!beijing.pue_is_published && (beijing.pue - 1.25).abs() < 1e-12);
        assert!(all.is_sorted_by(|a, b| a.co2e_grams.0 <= b.co2e_grams.0));
        assert_eq!(rank(&all, Grams(0.0)), 1);
        assert_eq!(rank(&all, Grams(1e12)), all.len() + 1);
        let aws = regions(LOAD, &["aws".to_owned()]);
        assert!(aws.len() > 10 && aws.iter().all(|place| place.provider == "aws"));
    }

    #[test]
    fn another_pue_scales_what_was_emitted() {
        let all = pues(LOAD);
        assert_eq!(all[0].co2e_grams, Grams(200_000.0));
        let unknown = Load { pue: None, ..LOAD };
        assert!(pues(unknown).is_empty());
    }
}
