//! The grid and the facility.

use super::{Family, Kind, NONE, family, single};

pub(super) const FAMILIES: &[Family] = &[
    family(
        "gramwatt_grid_carbon_intensity_grams_per_kwh",
        None,
        Kind::Gauge,
        &["grid_zone", "signal", "scope"],
        "Grid carbon intensity in force, in grams of CO2e for each kWh.",
        |s, emit| {
            if let Some(g) = &s.grid {
                emit(&[&g.zone, g.signal, &g.scope], g.intensity.0);
            }
        },
    ),
    family(
        "gramwatt_grid_carbon_intensity_valid_timestamp",
        Some("seconds"),
        Kind::Gauge,
        &["grid_zone", "signal"],
        "The moment that the intensity in force is for.",
        |s, emit| {
            if let Some((g, valid)) = s.grid.as_ref().and_then(|g| g.valid.map(|v| (g, v))) {
                emit(&[&g.zone, g.signal], valid);
            }
        },
    ),
    family(
        "gramwatt_grid",
        None,
        Kind::Info,
        &[
            "grid_zone",
            "signal",
            "provider",
            "tier",
            "estimated",
            "vintage",
        ],
        "Where the intensity in force comes from.",
        |s, emit| {
            if let Some(g) = &s.grid {
                let estimated = if g.estimated { "true" } else { "false" };
                emit(
                    &[
                        &g.zone,
                        g.signal,
                        &g.provider,
                        g.tier,
                        estimated,
                        &g.vintage,
                    ],
                    1.0,
                );
            }
        },
    ),
    family(
        "gramwatt_pue",
        Some("ratio"),
        Kind::Gauge,
        NONE,
        "Facility power / IT power in force; 1 where it is not set.",
        |s, emit| single(emit, s.at.map(|_| s.pue.ratio)),
    ),
];
