//! The table of metric families: name, type, labels, meaning and where the values come from. The page
//! and the README's table are both made from it.

use crate::sensor::{About, MeterClass};
use crate::snapshot::{Device, Snapshot};
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabel, EncodeLabelSet, LabelSetEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;
use std::fmt;

/// One metric family.
pub(super) struct Family {
    base: &'static str,
    unit: Option<&'static str>,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    pub help: &'static str,
    samples: fn(&Snapshot, Emit<'_>),
}

/// Takes label values, in the order of the family's labels, and a value.
type Emit<'a> = &'a mut dyn FnMut(&[&str], f64);

/// The types that a page of ours has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Gauge,
    Counter,
    Info,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Info => "info",
        }
    }
}

impl Family {
    /// The name that a query uses.
    pub fn name(&self) -> String {
        let unit = self
            .unit
            .map_or_else(String::new, |unit| format!("_{unit}"));
        let suffix = match self.kind {
            Kind::Gauge => "",
            Kind::Counter => "_total",
            Kind::Info => "_info",
        };
        format!("{}{unit}{suffix}", self.base)
    }

    pub fn encode(
        &self,
        snapshot: &Snapshot,
        encoder: &mut DescriptorEncoder<'_>,
    ) -> Result<(), fmt::Error> {
        let mut any = false;
        (self.samples)(snapshot, &mut |_, _| any = true);
        if !any {
            return Ok(());
        }
        let unit = self.unit.map(|unit| Unit::Other(unit.to_owned()));
        let kind = match self.kind {
            Kind::Gauge => MetricType::Gauge,
            Kind::Counter => MetricType::Counter,
            Kind::Info => MetricType::Info,
        };
        let mut metric = encoder.encode_descriptor(self.base, self.help, unit.as_ref(), kind)?;
        let mut result = Ok(());
        (self.samples)(snapshot, &mut |values, value| {
            let labels = Labels {
                names: self.labels,
                values,
            };
            result = result.and_then(|()| match self.kind {
                Kind::Info => metric.encode_info(&labels),
                Kind::Gauge => metric.encode_family(&labels)?.encode_gauge(&value),
                Kind::Counter => metric
                    .encode_family(&labels)?
                    .encode_counter::<NoLabelSet, _, u64>(&value, None),
            });
        });
        result
    }
}

/// Names and values side by side. An empty value is the same as no label, and is left out.
#[derive(Debug)]
struct Labels<'a> {
    names: &'a [&'a str],
    values: &'a [&'a str],
}

impl EncodeLabelSet for Labels<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), fmt::Error> {
        let pairs = self
            .names
            .iter()
            .zip(self.values)
            .filter(|(_, value)| !value.is_empty());
        let mut pairs = pairs;
        pairs.try_for_each(|(name, value)| (*name, *value).encode(encoder.encode_label()))
    }
}

/// A value for every device that has one.
fn devices(snapshot: &Snapshot, emit: Emit<'_>, value: fn(&Device) -> Option<f64>) {
    for device in &snapshot.devices {
        if let Some(value) = value(device) {
            emit(&[&device.id, device.kind.label()], value);
        }
    }
}

/// A value without labels, where it is known.
fn single(emit: Emit<'_>, value: Option<f64>) {
    if let Some(value) = value {
        emit(&[], value);
    }
}

const DEVICE: &[&str] = &["device", "kind"];
const SENSOR: &[&str] = &["sensor"];
const NONE: &[&str] = &[];

const fn family(
    base: &'static str,
    unit: Option<&'static str>,
    kind: Kind,
    labels: &'static [&'static str],
    help: &'static str,
    samples: fn(&Snapshot, Emit<'_>),
) -> Family {
    Family {
        base,
        unit,
        kind,
        labels,
        help,
        samples,
    }
}

/// Every family, in the order of the page.
pub(super) const ALL: &[Family] = &[
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
        "The part of the node's energy that no sensor measured.",
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
            "grid_zone",
            "provider",
            "cloud_region",
            "pue",
            "demo",
        ],
        "What the node's total rests on: the meter in force (devices: their sum), where the node \
         stands, who set the PUE, and whether the hardware is synthetic.",
        |s, emit| {
            let grid = s.grid.as_deref();
            emit(
                &[
                    s.node.meter.map_or("devices", MeterClass::label),
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
    family(
        "gramwatt_sensor_up",
        None,
        Kind::Gauge,
        SENSOR,
        "Whether the sensor answered within three intervals and gave something.",
        |s, emit| {
            s.sensors
                .iter()
                .for_each(|h| emit(&[&h.name], f64::from(u8::from(h.up))))
        },
    ),
    family(
        "gramwatt_sensor_read",
        Some("seconds"),
        Kind::Gauge,
        SENSOR,
        "How long the last read took.",
        |s, emit| {
            for h in &s.sensors {
                if let Some(took) = h.took {
                    emit(&[&h.name], took.as_secs_f64());
                }
            }
        },
    ),
    family(
        "gramwatt_sensor_last_sample_timestamp",
        Some("seconds"),
        Kind::Gauge,
        SENSOR,
        "When the sensor last answered.",
        |s, emit| {
            for h in &s.sensors {
                if let Some(last) = h.last {
                    emit(&[&h.name], last.wall.as_duration().as_secs_f64());
                }
            }
        },
    ),
    family(
        "gramwatt_sensor_errors",
        None,
        Kind::Counter,
        &["sensor", "reason"],
        "Readings that failed or were refused.",
        |s, emit| {
            for h in &s.sensors {
                h.errors
                    .iter()
                    .for_each(|(why, count)| emit(&[&h.name, why], counted(*count)));
            }
        },
    ),
    family(
        "gramwatt_sensor_wraps",
        None,
        Kind::Counter,
        SENSOR,
        "Counter wraps that were corrected.",
        |s, emit| {
            s.sensors
                .iter()
                .for_each(|h| emit(&[&h.name], counted(h.wraps)))
        },
    ),
    family(
        "gramwatt_sensor_gaps",
        None,
        Kind::Counter,
        SENSOR,
        "Intervals whose energy is not known and was not booked.",
        |s, emit| {
            s.sensors
                .iter()
                .for_each(|h| emit(&[&h.name], counted(h.gaps)))
        },
    ),
    family(
        "gramwatt_ledger_residual",
        Some("joules"),
        Kind::Gauge,
        NONE,
        "The node's energy minus the sum of its devices: 0 but for rounding.",
        |s, emit| single(emit, s.node.joules.map(|_| s.node.residual.0)),
    ),
    family(
        "gramwatt_build",
        None,
        Kind::Info,
        &["version", "target"],
        "The program that made this page.",
        |_, emit| emit(&[env!("CARGO_PKG_VERSION"), TARGET], 1.0),
    ),
    family(
        "process_cpu",
        Some("seconds"),
        Kind::Counter,
        NONE,
        "CPU time that the exporter has used.",
        |s, emit| single(emit, s.process.map(|p| p.cpu_seconds)),
    ),
    family(
        "process_resident_memory",
        Some("bytes"),
        Kind::Gauge,
        NONE,
        "Resident memory of the exporter.",
        |s, emit| single(emit, s.process.map(|p| counted(p.resident_bytes))),
    ),
    family(
        "process_virtual_memory",
        Some("bytes"),
        Kind::Gauge,
        NONE,
        "Virtual memory of the exporter.",
        |s, emit| single(emit, s.process.map(|p| counted(p.virtual_bytes))),
    ),
    family(
        "process_open_fds",
        None,
        Kind::Gauge,
        NONE,
        "Open file descriptors of the exporter.",
        |s, emit| single(emit, s.process.map(|p| counted(p.open_fds))),
    ),
    family(
        "process_max_fds",
        None,
        Kind::Gauge,
        NONE,
        "Limit of open file descriptors.",
        |s, emit| single(emit, s.process.map(|p| counted(p.max_fds))),
    ),
    family(
        "process_start_time",
        Some("seconds"),
        Kind::Gauge,
        NONE,
        "When the exporter started, in unix time.",
        |s, emit| single(emit, s.process.map(|p| p.start_seconds)),
    ),
];

const TARGET: &str = std::env::consts::ARCH;

/// Counts as Prometheus has them; exact up to 2^53.
#[allow(clippy::cast_precision_loss)]
fn counted(count: u64) -> f64 {
    count as f64
}
