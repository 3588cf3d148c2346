//! The machine.

use super::{Family, Kind, NONE, counted, family, single};
use crate::sensor::MeterClass;

pub(super) const FAMILIES: &[Family] = &[
    family(
        "gramwatt_node_power",
        Some("watts"),
        Kind::Gauge,
        NONE,
        "Power of the node: its devices and what its meter sees beyond them.",
        |s, emit| single(emit, s.node.watts.map(|w| w.0)),
    ),
    family(
        "gramwatt_node_energy",
        Some("joules"),
        Kind::Counter,
        NONE,
        "Energy of the node: its devices and what its meter sees beyond them.",
        |s, emit| single(emit, s.node.joules.map(|j| j.0)),
    ),
    family(
        "gramwatt_node_co2e",
        Some("grams"),
        Kind::Counter,
        NONE,
        "Location-based operational CO2e of the node, PUE included.",
        |s, emit| single(emit, s.node.grams.map(|g| g.0)),
    ),
    family(
        "gramwatt_node_market_co2e",
        Some("grams"),
        Kind::Counter,
        NONE,
        "Market-based operational CO2e of the node (GHG Protocol scope 2), PUE included.",
        |s, emit| single(emit, s.node.market.map(|g| g.0)),
    ),
    family(
        "gramwatt_node_embodied_co2e",
        Some("grams"),
        Kind::Counter,
        NONE,
        "CO2e of making the node's devices, amortised over their lives.",
        |s, emit| single(emit, s.node.embodied.map(|g| g.0)),
    ),
    family(
        "gramwatt_node_modelled_energy",
        Some("joules"),
        Kind::Counter,
        NONE,
        "The part of the node's energy that was booked to modelled devices; where a meter is in force, \
         what the model apportions of what the meter measured.",
        |s, emit| single(emit, s.node.joules.map(|_| s.node.modelled.0)),
    ),
    family(
        "gramwatt_node_estimated_co2e",
        Some("grams"),
        Kind::Counter,
        NONE,
        "The part of the node's CO2e that was booked with a factor that was not live.",
        |s, emit| single(emit, s.node.estimated.map(|g| g.0)),
    ),
    family(
        "gramwatt_node",
        None,
        Kind::Info,
        &[
            "meter",
            "meter_sensor",
            "grid_zone",
            "provider",
            "cloud_region",
            "pue",
            "demo",
        ],
        "What the node's total rests on: the meter in force (devices: their sum) and the sensors that read it, where the node \
         stands, who set the PUE, and whether the hardware is synthetic.",
        |s, emit| {
            let grid = s.grid.as_deref();
            emit(
                &[
                    s.node.meter.map_or("devices", MeterClass::label),
                    s.node.meter_sensor,
                    grid.map_or("", |g| &g.zone),
                    grid.map_or("", |g| &g.cloud_provider),
                    grid.map_or("", |g| &g.cloud_region),
                    s.pue.origin,
                    if s.demo { "true" } else { "false" },
                ],
                1.0,
            );
        },
    ),
    family(
        "gramwatt_node_meter_short_windows",
        None,
        Kind::Counter,
        NONE,
        "Windows in which the meter saw less than the sum of the devices, beyond any jitter.",
        |s, emit| single(emit, s.node.meter.map(|_| counted(s.node.meter_short))),
    ),
];
