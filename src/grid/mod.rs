//! The grid: where the node stands and what its electricity emits.

pub mod almanac;
pub mod chain;
pub mod choose;
pub mod conditions;
pub mod facility;
pub mod fetch;
pub mod forecast;
pub mod market;
pub mod metadata;
mod node_label;
pub mod provider;
pub mod pue;
pub mod schedule;
pub mod series;
pub mod service;
pub mod sheet;
pub mod store;
pub mod veil;
pub mod zone;

use crate::carbon::Factor;
use crate::config::{Cloud, Config, Intensity, Label, PueOf, ZoneMap};
use crate::data::{self, Zone};
use crate::snapshot::{Grid, Pue};

/// What the configuration says of the node's place.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// The intensity and where it comes from; `None` where nobody said.
    pub grid: Option<Grid>,
    /// The PUE and where it comes from.
    pub pue: Pue,
    /// Both, as the books need them.
    pub factor: Factor,
    /// Why nobody knows where the node stands, where that was looked for; empty elsewhere.
    pub lost: String,
}

/// How far is looked for the place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// As far as the configuration says.
    Here,
    /// At the configuration alone, which may be for other machines: the machine is not looked at, and
    /// nobody is asked.
    Paper,
}

/// Resolves zone, cloud region, intensity and PUE from the bundled tables.
///
/// # Errors
/// An unknown zone or region, with the nearest that are known.
pub fn place(config: &Config, look: Look) -> Result<Place, String> {
    let wanted = &config.grid;
    let mut lost = String::new();
    let (named, cloud_pue) = match (&wanted.zone, &wanted.cloud) {
        (Some(code), _) => {
            let zone = of_zone(&known_zone("grid.zone", code)?);
            (Some(because(zone, "grid.zone in the configuration")), None)
        }
        (None, Some(cloud)) if cloud.is_auto() => match automatic(config, cloud, look) {
            Ok((grid, pue)) => (Some(grid), pue),
            Err(reason) => {
                lost = reason;
                (None, None)
            }
        },
        (None, Some(cloud)) => {
            let region = cloud.region.as_deref().unwrap_or_default();
            let (grid, pue) = of_cloud(&cloud.provider, region)?;
            (Some(because(grid, "grid.cloud in the configuration")), pue)
        }
        (None, None) => match &wanted.zone_map {
            Some(map) => {
                let zone = mapped(config, map, look)?;
                if zone.is_none() {
                    lost = "grid.zone_map: this machine was not looked up".to_owned();
                }
                (zone, None)
            }
            None => (None, None),
        },
    };
    let mut grid = match wanted.intensity {
        Some(intensity) => Some(Grid {
            intensity: intensity.grams_per_kwh(),
            provider: "config".into(),
            source: "grid.intensity in the configuration".into(),
            scope: String::new(),
            vintage: String::new(),
            valid: None,
            ..named.unwrap_or_else(nowhere)
        }),
        None => named,
    };
    let market = wanted
        .market
        .as_ref()
        .and_then(|market| market.intensity)
        .map(Intensity::grams_per_kwh);
    if let Some(grid) = &mut grid {
        grid.market = market;
    }
    let node = &config.node;
    let given = match &node.pue {
        Some(PueOf::Fixed(pue)) => Some(*pue),
        Some(PueOf::Live(_)) => node.pue_fallback,
        None => None,
    };
    let pue = match (given, cloud_pue) {
        (Some(pue), _) => Pue {
            ratio: pue.ratio(),
            origin: "config",
        },
        (None, Some(ratio)) => Pue {
            ratio,
            origin: "cloud",
        },
        (None, None) => Pue::default(),
    };
    let intensity = grid.as_ref().map(|grid| grid.intensity);
    let factor = Factor {
        intensity,
        market,
        pue: pue.ratio,
        live: false,
    };
    Ok(Place {
        grid,
        pue,
        factor,
        lost,
    })
}

fn because(grid: Grid, why: impl Into<String>) -> Grid {
    Grid {
        why: why.into(),
        ..grid
    }
}

/// The zone of this machine among those of several sites. All of them are looked at, so that a slip does
/// not wait for the machine that it is about.
fn mapped(config: &Config, map: &ZoneMap, look: Look) -> Result<Option<Grid>, String> {
    for (label, code) in &map.map {
        known_zone(&format!("grid.zone_map.map.{label}"), code)?;
    }
    if look == Look::Paper {
        return Ok(None);
    }
    let label = map.label(&config.host())?;
    let (key, code) = map.zone(&label)?;
    let zone = of_zone(&known_zone("grid.zone_map", code)?);
    let Label { text, from } = &label;
    let why = format!("grid.zone_map in the configuration: {text} (from {from}) fits {key}");
    Ok(Some(because(zone, why)))
}

/// What the cloud itself says of the place, or else the Kubernetes node.
fn automatic(config: &Config, cloud: &Cloud, look: Look) -> Result<(Grid, Option<f64>), String> {
    if look == Look::Paper {
        return Err("grid.cloud is auto, and nobody was asked".to_owned());
    }
    let found = metadata::ask(&config.path.sysfs, &cloud.metadata);
    let found = found.or_else(|reason| match node_label::ask(config) {
        None => Err(reason),
        Some(told) => told.map_err(|other| format!("{reason}; {other}")),
    });
    let found = found.map_err(|reason| {
        format!(
            "grid.cloud is auto: {reason}. There are no CO2e figures: set grid.cloud: {{provider, region}} or \
             grid.zone, or reload to ask again"
        )
    })?;
    let (grid, pue) = of_cloud(found.provider, &found.region).map_err(|reason| {
        format!(
            "{reason}; {}. There are no CO2e figures: set grid.zone",
            found.why
        )
    })?;
    Ok((
        because(grid, format!("grid.cloud is auto: {}", found.why)),
        pue,
    ))
}

/// The zone of a place of which only the intensity is known.
pub const CUSTOM: &str = "custom";

/// A place of which only the intensity is known.
fn nowhere() -> Grid {
    Grid {
        zone: CUSTOM.into(),
        name: String::new(),
        intensity: crate::units::GramsPerKwh::ZERO,
        signal: "average",
        scope: String::new(),
        provider: String::new(),
        tier: "static",
        estimated: false,
        vintage: String::new(),
        source: String::new(),
        valid: None,
        cloud_provider: String::new(),
        cloud_region: String::new(),
        why: String::new(),
        market: None,
    }
}

pub(crate) fn known_zone(key: &str, code: &str) -> Result<Zone, String> {
    data::zone(code).ok_or_else(|| {
        let near: Vec<String> = data::nearest_zones(code, 3)
            .into_iter()
            .map(|zone| format!("{} ({})", zone.zone, zone.name))
            .collect();
        format!(
            "{key}: unknown zone {code:?}; nearest: {}; for a place that is not bundled set \
             grid.intensity in g CO2e/kWh",
            near.join(", ")
        )
    })
}

pub(crate) fn of_zone(zone: &Zone) -> Grid {
    Grid {
        zone: zone.zone.clone(),
        name: zone.name.clone(),
        intensity: zone.intensity,
        scope: zone.scope.clone(),
        provider: "bundled".into(),
        vintage: zone.year.to_string(),
        source: zone.source.title.clone(),
        valid: middle_of(zone.year),
        ..nowhere()
    }
}

fn of_cloud(provider: &str, region: &str) -> Result<(Grid, Option<f64>), String> {
    let known = data::cloud_region(provider, region).ok_or_else(|| {
        let near: Vec<String> = data::nearest_cloud_regions(provider, region, 3)
            .into_iter()
            .map(|near| format!("{} {} ({})", near.provider, near.region, near.name))
            .collect();
        format!(
            "grid.cloud: unknown region {region:?} of provider {provider:?}; nearest: {}",
            near.join(", ")
        )
    })?;
    let zone = of_zone(&known_zone("grid.cloud", &known.zone)?);
    let grid = match known.intensity {
        Some(intensity) => Grid {
            intensity,
            scope: known.scope,
            vintage: known.year.to_string(),
            source: known.source.title,
            valid: middle_of(known.year),
            ..zone
        },
        None => zone,
    };
    let grid = Grid {
        cloud_provider: known.provider,
        cloud_region: known.region,
        ..grid
    };
    Ok((grid, known.pue))
}

/// A yearly average is for the middle of its year.
fn middle_of(year: u16) -> Option<f64> {
    let date = jiff::civil::Date::new(i16::try_from(year).ok()?, 7, 2).ok()?;
    let midnight = jiff::tz::TimeZone::UTC
        .to_timestamp(date.at(0, 0, 0, 0))
        .ok()?;
    Some(midnight.as_duration().as_secs_f64())
}
