//! Bundled figures of other places and other hardware, on a relay's page. Nothing of it is anybody's emission.

use super::{Emit, Family, Kind, family};
use crate::data::{Board, Site};
use crate::snapshot::Snapshot;

const REGION: &[&str] = &[
    "provider",
    "cloud_region",
    "name",
    "grid_zone",
    "scope",
    "source",
];

const BOARD: &[&str] = &["accelerator", "source"];

fn sites(snapshot: &Snapshot, emit: Emit<'_>, value: fn(&Site) -> Option<f64>) {
    for site in snapshot.reference.iter().flat_map(|all| &all.sites) {
        if let Some(value) = value(site) {
            emit(
                &[
                    &site.provider,
                    &site.region,
                    &site.name,
                    &site.zone,
                    &site.scope,
                    &site.source,
                ],
                value,
            );
        }
    }
}

fn boards(snapshot: &Snapshot, emit: Emit<'_>, value: fn(&Board) -> f64) {
    for board in snapshot.reference.iter().flat_map(|all| &all.boards) {
        emit(&[&board.name, &board.source], value(board));
    }
}

pub(super) const FAMILIES: &[Family] = &[
    family(
        "gramwatt_reference_zone_grams_per_kwh",
        None,
        Kind::Gauge,
        &["grid_zone", "name", "scope", "year", "source"],
        "Yearly mean intensity of a zone, as bundled. From a relay only.",
        |s, emit| {
            for zone in s.reference.iter().flat_map(|all| &all.zones) {
                let year = zone.year.to_string();
                emit(
                    &[&zone.zone, &zone.name, &zone.scope, &year, &zone.source.id],
                    zone.intensity.0,
                );
            }
        },
    ),
    family(
        "gramwatt_reference_cloud_grams_per_kwh",
        None,
        Kind::Gauge,
        REGION,
        "Intensity of a cloud region: what its provider publishes, else its zone's yearly mean. From a relay only.",
        |s, emit| sites(s, emit, |site| Some(site.intensity.0)),
    ),
    family(
        "gramwatt_reference_cloud_pue",
        Some("ratio"),
        Kind::Gauge,
        REGION,
        "Facility power / IT power of a cloud region, where its provider publishes it. From a relay only.",
        |s, emit| sites(s, emit, |site| site.pue),
    ),
    family(
        "gramwatt_reference_accelerator_rated_power",
        Some("watts"),
        Kind::Gauge,
        BOARD,
        "The most that an accelerator's maker says it draws. From a relay only.",
        |s, emit| boards(s, emit, |board| board.rated.0),
    ),
    family(
        "gramwatt_reference_accelerator_embodied_co2e",
        Some("grams"),
        Kind::Gauge,
        BOARD,
        "CO2e of making an accelerator: the figure that the embodied series use. From a relay only.",
        |s, emit| boards(s, emit, |board| board.embodied[0].0),
    ),
    family(
        "gramwatt_reference_accelerator_embodied_low_co2e",
        Some("grams"),
        Kind::Gauge,
        BOARD,
        "The lowest published figure of it. From a relay only.",
        |s, emit| boards(s, emit, |board| board.embodied[1].0),
    ),
    family(
        "gramwatt_reference_accelerator_embodied_high_co2e",
        Some("grams"),
        Kind::Gauge,
        BOARD,
        "The highest published figure of it. From a relay only.",
        |s, emit| boards(s, emit, |board| board.embodied[2].0),
    ),
];
