//! `gramwatt once`: measure for a while, print, and end.

use crate::clock;
use crate::engine::Engine;
use crate::sampler;
use crate::setup::Setup;
use crate::snapshot::Snapshot;
use serde_json::{Value, json};
use std::fmt::Write;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// What tells a mean since the last read (the model's load) needs a read to start from: one is made and
/// thrown away, this long before the first that counts.
const WARM_UP: Duration = Duration::from_millis(100);

/// Measures for `time`: reads every sensor at the start, at its own pace, and at the end.
#[must_use]
pub fn measure(mut setup: Setup, time: Duration) -> Arc<Snapshot> {
    for (sensor, _) in &mut setup.sensors {
        drop(sensor.read());
    }
    thread::sleep(WARM_UP);
    let mut engine = Engine::new(setup.settings, &setup.seats, None, clock::now());
    let pace = setup
        .seats
        .iter()
        .map(|seat| seat.interval)
        .min()
        .unwrap_or(time);
    let end = clock::now().awake + time;
    loop {
        for (sensor, _) in &mut setup.sensors {
            let name = sensor.name().into();
            engine.apply(&sampler::read(sensor.as_mut(), &name));
        }
        let now = clock::now();
        let snapshot = engine.tick(now);
        let left = end.saturating_sub(now.awake);
        if left.is_zero() {
            return Arc::new(snapshot);
        }
        thread::sleep(left.min(pace));
    }
}

/// For people.
#[must_use]
pub fn table(snapshot: &Snapshot) -> String {
    let mut out = String::new();
    let number =
        |value: Option<f64>| value.map_or_else(|| "-".into(), |value| format!("{value:.3}"));
    let head = ("device", "kind", "watts", "joules", "g CO2e", "method");
    let (device, kind, watts, joules, grams, method) = head;
    let _ = writeln!(
        out,
        "{device:<28} {kind:<6} {watts:>10} {joules:>12} {grams:>10}  {method}"
    );
    for d in &snapshot.devices {
        let _ = writeln!(
            out,
            "{:<28} {:<6} {:>10} {:>12.3} {:>10}  {}",
            d.id,
            d.kind.label(),
            number(d.watts.map(|w| w.0)),
            d.joules.0,
            number(d.grams.map(|g| g.0)),
            d.method.label()
        );
    }
    let node = &snapshot.node;
    let _ = writeln!(
        out,
        "{:<28} {:<6} {:>10} {:>12} {:>10}  {}",
        "node",
        "",
        number(node.watts.map(|w| w.0)),
        number(node.joules.map(|j| j.0)),
        number(node.grams.map(|g| g.0)),
        node.meter.map_or("sum of devices", |meter| meter.label())
    );
    for note in &snapshot.notes {
        let _ = writeln!(out, "note: {note}");
    }
    for sensor in &snapshot.sensors {
        for fault in sensor.faults.iter() {
            let _ = writeln!(
                out,
                "fault: {}: {}: {}",
                fault.place, fault.message, fault.mend
            );
        }
    }
    out
}

/// For programs. Unknown values are null.
#[must_use]
pub fn json(snapshot: &Snapshot) -> String {
    let devices: Vec<Value> = snapshot
        .devices
        .iter()
        .map(|d| {
            json!({
                "device": d.id, "kind": d.kind.label(), "sensor": d.sensor, "method": d.method.label(),
                "power_watts": d.watts.map(|w| w.0), "energy_joules": d.joules.0,
                "co2e_grams": d.grams.map(|g| g.0),
            })
        })
        .collect();
    let node = &snapshot.node;
    let grid = snapshot.grid.as_ref().map(|g| {
        json!({
            "zone": g.zone, "grams_per_kwh": g.intensity.0, "provider": g.provider, "tier": g.tier,
            "vintage": g.vintage,
        })
    });
    let page = json!({
        "at": snapshot.at.map(|at| at.wall.to_string()),
        "demo": snapshot.demo,
        "node": {
            "meter": node.meter.map_or("devices", |meter| meter.label()),
            "power_watts": node.watts.map(|w| w.0), "energy_joules": node.joules.map(|j| j.0),
            "modelled_energy_joules": node.modelled.0, "co2e_grams": node.grams.map(|g| g.0),
        },
        "devices": devices,
        "grid": grid,
        "pue": snapshot.pue.ratio,
        "notes": snapshot.notes,
    });
    format!("{page:#}\n")
}
