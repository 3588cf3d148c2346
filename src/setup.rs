//! What a configuration makes of a machine: the sensors that are there, and all that the engine needs
//! to know before the first reading.

use crate::config::Config;
use crate::engine::{Seat, Settings};
use crate::grid;
use crate::sensor::{FAMILIES, Family, Finding, Roots, Sensor};
use std::sync::Arc;
use std::time::Duration;

/// A machine, ready to be measured.
pub struct Setup {
    /// What the configuration decides for the engine.
    pub settings: Settings,
    /// The sensors, as the engine knows them.
    pub seats: Vec<Seat>,
    /// How often sensors are read that ask for nothing else.
    pub interval: Duration,
    /// The sensors themselves, with the pace of each.
    pub sensors: Vec<(Box<dyn Sensor>, Duration)>,
    /// What every family found; `None` for one that is switched off.
    pub findings: Vec<(&'static Family, Option<Vec<Finding>>)>,
}

impl Setup {
    /// Looks at the machine as `config` tells.
    ///
    /// # Errors
    /// An unknown zone or cloud region.
    pub fn new(config: &Config) -> Result<Self, String> {
        let place = grid::place(config)?;
        let mut setup = Self {
            settings: Settings {
                notes: notes(config, &place),
                factor: place.factor,
                grid: place.grid.map(Arc::new),
                pue: place.pue,
                meter: (&config.node.meter).into(),
                making: config.embodied.clone(),
                host: host(config),
                demo: config.demo,
            },
            seats: Vec::new(),
            interval: config.sensors.interval.duration(),
            sensors: Vec::new(),
            findings: Vec::new(),
        };
        let roots = Roots {
            sys: config.path.sysfs.clone(),
            proc: config.path.procfs.clone(),
            node: host(config),
        };
        for (rank, family) in FAMILIES.iter().enumerate() {
            setup.discover(rank, family, &roots, config);
        }
        Ok(setup)
    }

    fn discover(&mut self, rank: usize, family: &'static Family, roots: &Roots, config: &Config) {
        let mut sensors = config.sensors.clone();
        let demo = family.name == "demo";
        if demo != config.demo || !(demo || (family.switch)(&mut sensors).is_on()) {
            self.findings.push((family, None));
            return;
        }
        let found = (family.discover)(roots, &sensors);
        self.findings.push((family, Some(found.findings)));
        for sensor in found.sensors {
            let interval = sensor.pace(config.sensors.interval.duration());
            self.seats.push(Seat {
                name: sensor.name().into(),
                rank,
                interval,
            });
            self.sensors.push((sensor, interval));
        }
    }
}

/// The machine's name: the operator's, or the kernel's.
fn host(config: &Config) -> Arc<str> {
    if let Some(name) = &config.node.name {
        return name.as_str().into();
    }
    let name = std::fs::read_to_string(config.path.procfs.join("sys/kernel/hostname"));
    name.unwrap_or_default().trim().into()
}

/// What the operator should know of this configuration, in words.
fn notes(config: &Config, place: &grid::Place) -> Vec<Arc<str>> {
    let mut notes: Vec<Arc<str>> = Vec::new();
    if config.demo {
        notes.push(
            "Everything here is synthetic (--demo): no sensor of this machine is read.".into(),
        );
    }
    match &place.grid {
        None => notes.push(
            "No grid zone is set, so there are no CO2e figures: set grid.zone (such as DE or US-CA), \
             grid.cloud or grid.intensity."
                .into(),
        ),
        Some(grid) if grid.tier == "static" && grid.provider == "bundled" => notes.push(
            format!(
                "CO2e rests on a yearly average ({} {}), not on the intensity of the moment.",
                grid.zone, grid.vintage
            )
            .into(),
        ),
        Some(_) => {}
    }
    if place.pue.origin == "not set" {
        notes.push(
            "PUE not set: 1 is used, as if the facility had no cooling and no losses; set node.pue."
                .into(),
        );
    }
    notes
}
