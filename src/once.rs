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

/// Measures for `time`: reads every sensor at the start, at its own pace, and at the end. Those that are dear
/// to read, far away, are read just so often.
#[must_use]
pub fn measure(mut setup: Setup, time: Duration) -> Arc<Snapshot> {
    for (sensor, _) in setup
        .sensors
        .iter_mut()
        .filter(|(_, pace)| *pace <= setup.interval)
    {
        drop(sensor.read());
    }
    thread::sleep(WARM_UP);
    let start = clock::now();
    let mut engine = Engine::new(setup.settings, &setup.seats, None, start);
    let end = start.awake + time;
    let mut due = vec![start.awake; setup.sensors.len()];
    loop {
        let now = clock::now().awake;
        let last = now >= end;
        for ((sensor, pace), due) in setup.sensors.iter_mut().zip(&mut due) {
            if last || now >= *due {
                *due = now + *pace;
                let name = sensor.name().into();
                engine.apply(&sampler::read(sensor.as_mut(), &name));
            }
        }
        let now = clock::now();
        let snapshot = engine.tick(now);
        if last {
            return Arc::new(snapshot);
        }
        let next = due.iter().copied().min().unwrap_or(end).min(end);
        thread::sleep(next.saturating_sub(now.awake));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::engine::Seat;
    use crate::sensor::{Readings, Sensor};
    use std::sync::atomic::{AtomicUsize, Ordering};

    struct Counted(&'static str, Arc<AtomicUsize>);

    impl Sensor for Counted {
        fn name(&self) -> &str {
            self.0
        }
        fn read(&mut self) -> Readings {
            self.1.fetch_add(1, Ordering::Relaxed);
            Readings::default()
        }
    }

    #[test]
    fn what_is_dear_to_read_is_read_at_the_start_and_at_the_end_alone() {
        let mut config = Config::default();
        config.path.sysfs = "/nowhere".into();
        config.path.procfs = "/nowhere".into();
        config.sensors.nvml.library = "/nowhere".into();
        let mut setup = Setup::new(&config).unwrap();
        setup.interval = Duration::from_millis(20);
        (setup.seats, setup.sensors) = (Vec::new(), Vec::new());
        let counts = [("near", 20), ("far", 10_000)].map(|(name, pace)| {
            let (count, interval) = (Arc::default(), Duration::from_millis(pace));
            setup.seats.push(Seat {
                name: name.into(),
                rank: 0,
                interval,
            });
            let sensor = Counted(name, Arc::clone(&count));
            setup.sensors.push((Box::new(sensor), interval));
            count
        });
        drop(measure(setup, Duration::from_millis(200)));
        let [near, far] = counts.map(|count| count.load(Ordering::Relaxed));
        assert_eq!(far, 2);
        assert!(near > 3, "{near}");
    }
}
