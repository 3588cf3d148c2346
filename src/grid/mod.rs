//! The grid: where the node stands and what its electricity emits.

pub mod almanac;
pub mod choose;
pub mod conditions;
pub mod fetch;
pub mod forecast;
pub mod provider;
pub mod schedule;
pub mod series;
pub mod service;
pub mod sheet;
pub mod store;
pub mod veil;
pub mod zone;

use crate::carbon::Factor;
use crate::config::{Cloud, Config};
use crate::data::{self, Zone};
use crate::snapshot::{Grid, Pue};
use provider::Provider;

/// What the configuration says of the node's place.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// The intensity and where it comes from; `None` where nobody said.
    pub grid: Option<Grid>,
    /// The PUE and where it comes from.
    pub pue: Pue,
    /// Both, as the books need them.
    pub factor: Factor,
}

/// Resolves zone, cloud region, intensity and PUE from the bundled tables.
///
/// # Errors
/// An unknown zone or region, with the nearest that are known.
pub fn place(config: &Config) -> Result<Place, String> {
    let wanted = &config.grid;
    let (named, cloud_pue) = match (&wanted.zone, &wanted.cloud) {
        (Some(code), _) => (Some(of_zone(&known_zone("grid.zone", code)?)), None),
        (None, Some(cloud)) => of_cloud(cloud).map(|(grid, pue)| (Some(grid), pue))?,
        (None, None) => (None, None),
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
        .map(|market| market.intensity.grams_per_kwh());
    if let Some(grid) = &mut grid {
        grid.market = market;
    }
    let pue = match (config.node.pue, cloud_pue) {
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
    Ok(Place { grid, pue, factor })
}

/// The providers that the configuration names.
///
/// # Errors
/// Values that contradict one another, with the entry's number.
pub fn providers(config: &Config) -> Result<Vec<Box<dyn Provider>>, String> {
    let entries = config.grid.providers.iter().enumerate();
    let opened = entries.map(|(number, entry)| {
        let opened = entry.open();
        opened.map_err(|reason| format!("grid.providers[{number}]: {reason}"))
    });
    opened.collect()
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

fn of_cloud(cloud: &Cloud) -> Result<(Grid, Option<f64>), String> {
    let region = data::cloud_region(&cloud.provider, &cloud.region).ok_or_else(|| {
        let near: Vec<String> = data::nearest_cloud_regions(&cloud.provider, &cloud.region, 3)
            .into_iter()
            .map(|near| format!("{} {} ({})", near.provider, near.region, near.name))
            .collect();
        format!(
            "grid.cloud: unknown region {:?} of provider {:?}; nearest: {}",
            cloud.region,
            cloud.provider,
            near.join(", ")
        )
    })?;
    let zone = of_zone(&known_zone("grid.cloud", &region.zone)?);
    let grid = match region.intensity {
        Some(intensity) => Grid {
            intensity,
            scope: region.scope,
            vintage: region.year.to_string(),
            source: region.source.title,
            valid: middle_of(region.year),
            ..zone
        },
        None => zone,
    };
    let grid = Grid {
        cloud_provider: region.provider,
        cloud_region: region.region,
        ..grid
    };
    Ok((grid, region.pue))
}

/// A yearly average is for the middle of its year.
fn middle_of(year: u16) -> Option<f64> {
    let date = jiff::civil::Date::new(i16::try_from(year).ok()?, 7, 2).ok()?;
    let midnight = jiff::tz::TimeZone::UTC
        .to_timestamp(date.at(0, 0, 0, 0))
        .ok()?;
    Some(midnight.as_duration().as_secs_f64())
}
