//! Who used the devices.

use super::{Emit, Family, Kind, family};
use crate::snapshot::{Snapshot, Unlisted, Use, Workload, Workloads};

const WORKLOAD: &[&str] = &[
    "workload_type",
    "workload_namespace",
    "workload",
    "workload_container",
    "kind",
];

/// A value for every workload and kind of device that has one.
fn uses(snapshot: &Snapshot, emit: Emit<'_>, value: fn(&Use) -> Option<f64>) {
    for workload in snapshot.workloads.iter().flat_map(|all| &all.list) {
        for used in &workload.uses {
            if let Some(value) = value(used) {
                let [manager, namespace, name, container] = identity(workload);
                emit(
                    &[manager, namespace, name, container, used.kind.label()],
                    value,
                );
            }
        }
    }
}

fn identity(workload: &Workload) -> [&str; 4] {
    [
        workload.manager,
        &workload.namespace,
        &workload.name,
        &workload.container,
    ]
}

fn unlisted(snapshot: &Snapshot, emit: Emit<'_>, value: fn(&Unlisted) -> Option<f64>) {
    for unlisted in snapshot.workloads.iter().flat_map(|all| &all.unlisted) {
        if let Some(value) = value(unlisted) {
            emit(&[unlisted.kind.label(), unlisted.reason], value);
        }
    }
}

fn one(snapshot: &Snapshot, emit: Emit<'_>, value: fn(&Workloads) -> f64) {
    super::single(emit, snapshot.workloads.as_ref().map(value));
}

const INFO: Family = family(
    "gramwatt_workload",
    None,
    Kind::Info,
    &[
        "workload_type",
        "workload_namespace",
        "workload",
        "workload_container",
        "uid",
        "owner_kind",
        "owner",
        "user",
        "gpu_split",
    ],
    "What a workload is: the key to its team, project or phase by the configured labels (`label_*`), and how its \
     share of accelerators is had: whole (it holds them alone), utilization (by SM utilisation of its processes), \
     equal (nobody tells) or mig (by slices: an estimate).",
    |s, emit| {
        for workload in s.workloads.iter().flat_map(|all| &all.list) {
            let Some(about) = &workload.about else {
                continue;
            };
            let mut values = identity(workload).to_vec();
            values.extend([
                about.uid.as_str(),
                &about.owner_kind,
                &about.owner,
                &about.user,
                workload.gpu_split,
            ]);
            let names = s.workloads.iter().flat_map(|all| all.labels.iter());
            values.extend(names.map(|name| about.label(name)));
            emit(&values, 1.0);
        }
    },
);

pub(super) const FAMILIES: &[Family] = &[
    family(
        "gramwatt_workload_power",
        Some("watts"),
        Kind::Gauge,
        WORKLOAD,
        "Mean power over the last time that could be divided. With `idle`, `system`, `unattributed` and `other` \
         it is that of the devices.",
        |s, emit| uses(s, emit, |used| used.watts.map(|w| w.0)),
    ),
    family(
        "gramwatt_workload_energy",
        Some("joules"),
        Kind::Counter,
        WORKLOAD,
        "Energy used by a workload. With `idle` (devices at rest), `system` (the machine itself), `unattributed` \
         (nobody knows) and `other` (workloads beyond the limit) it is that of the devices.",
        |s, emit| uses(s, emit, |used| Some(used.joules.0)),
    ),
    family(
        "gramwatt_workload_co2e",
        Some("grams"),
        Kind::Counter,
        WORKLOAD,
        "Location-based operational CO2e of that energy, PUE included, at the grid intensity of the time of use.",
        |s, emit| uses(s, emit, |used| used.grams.map(|g| g.0)),
    ),
    family(
        "gramwatt_workload_reserved_idle",
        Some("joules"),
        Kind::Counter,
        WORKLOAD,
        "The part of a workload's energy that went into accelerators that it held and did not use.",
        |s, emit| uses(s, emit, |used| used.reserved.map(|j| j.0)),
    ),
    Family {
        more: |s| s.workloads.as_ref().map_or(&[], |all| &all.label_names),
        ..INFO
    },
    family(
        "gramwatt_workload_unlisted",
        Some("joules"),
        Kind::Gauge,
        &["kind", "reason"],
        "Device energy that no series of a workload shows: pending (too young to be divided, or of a workload that \
         is still shown with 0) or ended (of workloads that have left the page). With it the workloads' joules are \
         the devices'.",
        |s, emit| unlisted(s, emit, |unlisted| Some(unlisted.joules.0)),
    ),
    family(
        "gramwatt_workload_unlisted_co2e",
        Some("grams"),
        Kind::Gauge,
        &["kind", "reason"],
        "Location-based CO2e of that energy.",
        |s, emit| unlisted(s, emit, |unlisted| unlisted.grams.map(|g| g.0)),
    ),
    family(
        "gramwatt_workload_residual",
        Some("joules"),
        Kind::Gauge,
        super::NONE,
        "Energy of the devices less that of all workloads and what is unlisted: 0 but for rounding.",
        |s, emit| one(s, emit, |all| all.residual.0),
    ),
    family(
        "gramwatt_workload_merged",
        Some("workloads"),
        Kind::Gauge,
        super::NONE,
        "Workloads that are shown in `other`, because there are more than `workloads.max`.",
        #[allow(clippy::cast_precision_loss)]
        |s, emit| one(s, emit, |all| all.merged as f64),
    ),
    family(
        "gramwatt_workload_source_up",
        None,
        Kind::Gauge,
        &["source"],
        "Whether those who tell of workloads do.",
        |s, emit| {
            for source in s.workloads.iter().flat_map(|all| &all.sources) {
                emit(&[source.source], f64::from(u8::from(source.up)));
            }
        },
    ),
    family(
        "gramwatt_device_idle_power",
        Some("watts"),
        Kind::Gauge,
        &["device", "kind"],
        "What a device is taken to draw at rest: configured, or the least mean of ten seconds of little load.",
        |s, emit| {
            for (device, kind, watts) in s.workloads.iter().flat_map(|all| &all.rests) {
                emit(&[device, kind.label()], watts.0);
            }
        },
    ),
];
