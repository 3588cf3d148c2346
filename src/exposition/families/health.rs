//! Sensors, books and the exporter itself.

use super::{Family, Kind, NONE, counted, family, single};

const SENSOR: &[&str] = &["sensor"];

const TARGET: &str = std::env::consts::ARCH;

pub(super) const FAMILIES: &[Family] = &[
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
