//! Devices, what is inside them, and what overlaps them.

use super::{Emit, Family, Kind, family};
use crate::sensor::About;
use crate::snapshot::{Device, Snapshot};

const DEVICE: &[&str] = &["device", "kind"];

/// A value for every device that has one.
fn devices(snapshot: &Snapshot, emit: Emit<'_>, value: fn(&Device) -> Option<f64>) {
    for device in &snapshot.devices {
        if let Some(value) = value(device) {
            emit(&[&device.id, device.kind.label()], value);
        }
    }
}

pub(super) const FAMILIES: &[Family] = &[
    family(
        "gramwatt_device_power",
        Some("watts"),
        Kind::Gauge,
        DEVICE,
        "Mean power over the last sample interval.",
        |s, emit| devices(s, emit, |d| d.watts.map(|w| w.0)),
    ),
    family(
        "gramwatt_device_energy",
        Some("joules"),
        Kind::Counter,
        DEVICE,
        "Energy used. Devices do not overlap: their sum is the node's energy.",
        |s, emit| devices(s, emit, |d| Some(d.joules.0)),
    ),
    family(
        "gramwatt_device_co2e",
        Some("grams"),
        Kind::Counter,
        DEVICE,
        "Location-based operational CO2e, PUE included, at the grid intensity of the time of use.",
        |s, emit| devices(s, emit, |d| d.grams.map(|g| g.0)),
    ),
    family(
        "gramwatt_device_co2e_grams_per_second",
        None,
        Kind::Gauge,
        DEVICE,
        "Power x PUE x grid intensity now.",
        |s, emit| devices(s, emit, |d| d.flow.map(|f| f.0)),
    ),
    family(
        "gramwatt_device_embodied_co2e",
        Some("grams"),
        Kind::Counter,
        DEVICE,
        "CO2e of making the device, amortised over its life.",
        |s, emit| devices(s, emit, |d| d.embodied.map(|g| g.0)),
    ),
    family(
        "gramwatt_device_utilization",
        Some("ratio"),
        Kind::Gauge,
        DEVICE,
        "Share of the device that is busy, where it tells.",
        |s, emit| devices(s, emit, |d| d.utilization),
    ),
    family(
        "gramwatt_device_power_limit",
        Some("watts"),
        Kind::Gauge,
        DEVICE,
        "Power limit in force, where the device tells.",
        |s, emit| devices(s, emit, |d| d.power_limit.map(|w| w.0)),
    ),
    family(
        "gramwatt_device",
        None,
        Kind::Info,
        &[
            "device",
            "kind",
            "vendor",
            "model",
            "uuid",
            "pci_bus_id",
            "driver",
            "sensor",
            "method",
        ],
        "What a device is, which sensor reads it, and how its joules are had: counter, integrated \
         (power x time) or modelled (no sensor).",
        |s, emit| {
            for d in &s.devices {
                let about = d.source.as_ref().map(|source| &source.about);
                let text = |of: fn(&About) -> &String| about.map_or("", |a| of(a).as_str());
                emit(
                    &[
                        &d.id,
                        d.kind.label(),
                        text(|a| &a.vendor),
                        text(|a| &a.model),
                        text(|a| &a.uuid),
                        text(|a| &a.pci_bus_id),
                        text(|a| &a.driver),
                        &d.sensor,
                        d.method.label(),
                    ],
                    1.0,
                );
            }
        },
    ),
    family(
        "gramwatt_domain_energy",
        Some("joules"),
        Kind::Counter,
        &["device", "domain"],
        "Energy of a part inside a device: never to be added to devices.",
        |s, emit| {
            s.domains
                .iter()
                .for_each(|d| emit(&[&d.device, &d.domain], d.joules.0))
        },
    ),
    family(
        "gramwatt_meter_power",
        Some("watts"),
        Kind::Gauge,
        &["meter", "scope"],
        "Mean power over the last interval of a meter that overlaps devices.",
        |s, emit| {
            for m in &s.meters {
                if let Some(watts) = m.watts {
                    emit(&[&m.id, m.scope.label()], watts.0);
                }
            }
        },
    ),
    family(
        "gramwatt_meter_energy",
        Some("joules"),
        Kind::Counter,
        &["meter", "scope"],
        "Energy seen by a meter that overlaps devices: never to be added to devices.",
        |s, emit| {
            s.meters
                .iter()
                .for_each(|m| emit(&[&m.id, m.scope.label()], m.joules.0))
        },
    ),
];
