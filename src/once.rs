//! `gramwatt once`: measure for a while, print, and end.

use crate::clock;
use crate::engine::{Batch, Engine};
use crate::sampler;
use crate::sensor::Sensor;
use crate::setup::Setup;
use crate::snapshot::Snapshot;
use serde_json::{Value, json};
use std::fmt::Write;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread;
use std::time::Duration;

/// What tells a mean since the last read (the model's load) needs a read to start from: one is made and
/// thrown away, this long before the first that counts.
const WARM_UP: Duration = Duration::from_millis(100);

/// How often is looked, after the end, for those that are still waited for.
const LAST_WAIT: Duration = Duration::from_millis(10);

/// Measures for `time`: reads every sensor at the start, at its own pace, and at the end. Those that are dear
/// to read, far away, are read just so often, each on a thread of its own: one that does not answer must
/// not make the others wait until nobody believes their readings. The end waits for them all.
#[must_use]
pub fn measure(setup: Setup, time: Duration) -> Arc<Snapshot> {
    let interval = setup.interval;
    let (mut near, mut far): (Vec<_>, Vec<_>) = setup
        .sensors
        .into_iter()
        .partition(|(_, pace)| *pace <= interval);
    for (sensor, _) in &mut near {
        drop(sensor.read());
    }
    thread::sleep(WARM_UP);
    let start = clock::now();
    let mut engine = Engine::new(setup.settings, &setup.seats, None, start);
    let end = start.awake + time;
    thread::scope(|scope| {
        let (send, batches) = channel();
        for (sensor, pace) in &mut far {
            let send = send.clone();
            scope.spawn(move || read_until(sensor.as_mut(), *pace, end, &send));
        }
        drop(send);
        let mut due = vec![start.awake; near.len()];
        loop {
            let all_told = drain(&mut engine, &batches);
            let now = clock::now().awake;
            let last = all_told && now >= end;
            for ((sensor, pace), due) in near.iter_mut().zip(&mut due) {
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
            let wait = if now.awake < end {
                end
            } else {
                now.awake + LAST_WAIT
            };
            let next = due.iter().copied().min().unwrap_or(wait).min(wait);
            thread::sleep(next.saturating_sub(now.awake));
        }
    })
}

/// Reads a sensor at its pace, and at `end` or later once more.
fn read_until(sensor: &mut dyn Sensor, pace: Duration, end: Duration, to: &Sender<Batch>) {
    let name = sensor.name().into();
    loop {
        let turn = clock::now().awake;
        if to.send(sampler::read(sensor, &name)).is_err() || turn >= end {
            return;
        }
        let next = (turn + pace).min(end);
        thread::sleep(next.saturating_sub(clock::now().awake));
    }
}

/// Books what has come from far away, and says whether no more will.
fn drain(engine: &mut Engine, batches: &Receiver<Batch>) -> bool {
    loop {
        match batches.try_recv() {
            Ok(batch) => engine.apply(&batch),
            Err(error) => return error == TryRecvError::Disconnected,
        }
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
    use crate::sensor::{About, Kind, Part, Reading, Readings, Sensor, Source, Value as Reads};
    use crate::units::Watts;
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

    fn bare() -> Setup {
        let mut config = Config::default();
        config.path.sysfs = "/nowhere".into();
        config.path.procfs = "/nowhere".into();
        config.sensors.nvml.library = "/nowhere".into();
        let mut setup = Setup::new(&config).unwrap();
        setup.interval = Duration::from_millis(20);
        (setup.seats, setup.sensors) = (Vec::new(), Vec::new());
        setup
    }

    fn add(setup: &mut Setup, pace: u64, sensor: impl Sensor + 'static) {
        let interval = Duration::from_millis(pace);
        setup.seats.push(Seat {
            name: sensor.name().into(),
            rank: setup.seats.len(),
            interval,
        });
        setup.sensors.push((Box::new(sensor), interval));
    }

    /// 100 W.
    struct Steady;

    impl Sensor for Steady {
        fn name(&self) -> &str {
            "steady"
        }
        fn read(&mut self) -> Readings {
            let source = Source {
                part: Part::Device {
                    id: "gpu".into(),
                    kind: Kind::Gpu,
                },
                about: About::default(),
                ceiling: Watts(1e3),
                holds: &[],
            };
            let reading = Reading::new(&Arc::new(source), Reads::Power(Watts(100.0)));
            Readings {
                good: vec![reading],
                bad: Vec::new(),
            }
        }
    }

    /// Does not answer before its time-out.
    struct Slow;

    impl Sensor for Slow {
        fn name(&self) -> &str {
            "slow"
        }
        fn read(&mut self) -> Readings {
            thread::sleep(Duration::from_millis(300));
            Readings::default()
        }
    }

    #[test]
    fn one_that_does_not_answer_costs_the_others_nothing() {
        let mut setup = bare();
        setup.interval = Duration::from_millis(50);
        add(&mut setup, 50, Steady);
        add(&mut setup, 10_000, Slow);
        let begin = clock::now();
        let snapshot = measure(setup, Duration::from_millis(100));
        let took = clock::now().awake - begin.awake;
        assert!(
            took >= Duration::from_millis(600),
            "the last read is waited for: {took:?}"
        );
        let device = &snapshot.devices[0];
        let watts = device.watts.map(|watts| watts.0);
        assert!(
            watts.is_some_and(|watts| (watts - 100.0).abs() < 1e-6),
            "{watts:?}"
        );
        assert!(device.joules.0 > 10.0, "{:?}", device.joules);
    }

    #[test]
    fn what_is_dear_to_read_is_read_at_the_start_and_at_the_end_alone() {
        let mut setup = bare();
        let counts = [("near", 20), ("far", 10_000)].map(|(name, pace)| {
            let count = Arc::default();
            add(&mut setup, pace, Counted(name, Arc::clone(&count)));
            count
        });
        drop(measure(setup, Duration::from_millis(200)));
        let [near, far] = counts.map(|count| count.load(Ordering::Relaxed));
        assert_eq!(far, 2);
        assert!(near > 3, "{near}");
    }
}
