//! What a configuration makes of a machine: the sensors that are there, and all that the engine needs
//! to know before the first reading.

use crate::config::{Config, PueOf};
use crate::data;
use crate::engine::{Seat, Settings};
use crate::grid::facility::Facts;
use crate::grid::provider::Provider;
use crate::grid::{self, Look, facility, market, pue, service};
use crate::relay::Plan;
use crate::sensor::{FAMILIES, Family, Finding, Roots, Sensor};
use crate::workload;
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
    /// Who is asked for the intensity of the moment; `None` where nobody is.
    pub watch: Option<Watch>,
    /// Who is asked for what holds of the site; `None` where nobody is.
    pub facility: Option<facility::Plan>,
    /// How it is looked who uses the machine; `None` where nobody looks.
    pub workloads: Option<workload::watch::Plan>,
    /// What every family found; `None` for one that is switched off.
    pub findings: Vec<(&'static Family, Option<Vec<Finding>>)>,
}

impl Setup {
    /// Looks at the machine as `config` tells.
    ///
    /// # Errors
    /// An unknown zone or cloud region, or a provider that cannot be asked.
    pub fn new(config: &Config) -> Result<Self, String> {
        Self::as_far_as(Look::Here, config)
    }

    /// Looks for what is wrong with a configuration, which may be for other machines.
    ///
    /// # Errors
    /// As [`Setup::new`].
    pub fn check(config: &Config) -> Result<(), String> {
        if !config.grid.zones.is_empty() && !config.grid.providers.is_empty() {
            Plan::new(config, &[])?;
        }
        Self::as_far_as(Look::Paper, config).map(drop)
    }

    fn as_far_as(look: Look, config: &Config) -> Result<Self, String> {
        let place = grid::place(config, look)?;
        let watch = watch(config, &place)?;
        let facility = facility(config, &place)?;
        let workloads = workloads(config, look);
        let mut setup = Self {
            settings: Settings {
                notes: notes(config, &place, watch.is_some()),
                factor: place.factor,
                grid: place.grid.map(Arc::new),
                pue: place.pue,
                meter: (&config.node.meter).into(),
                workloads: workloads.as_ref().map(|plan| plan.config.policy()),
                making: config.embodied.clone(),
                runs: config.runs.limits(&config.workloads),
                host: config.host(),
                demo: config.demo,
            },
            seats: Vec::new(),
            interval: config.sensors.interval.duration(),
            watch,
            facility,
            workloads,
            sensors: Vec::new(),
            findings: Vec::new(),
        };
        let roots = Roots {
            sys: config.path.sysfs.clone(),
            proc: config.path.procfs.clone(),
            node: config.host(),
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

/// How it is looked who uses the machine, where anybody can be found. A synthetic node has no workloads.
fn workloads(config: &Config, look: Look) -> Option<workload::watch::Plan> {
    let is_possible = workload::watch::is_possible(&config.path.sysfs, &config.workloads);
    observation(config).filter(|_| look == Look::Here && is_possible)
}

/// How it would be looked who uses the machine, wherever that is wanted.
pub(crate) fn observation(config: &Config) -> Option<workload::watch::Plan> {
    if config.demo || !config.workloads.is_on() {
        return None;
    }
    let nvml = &config.sensors.nvml;
    Some(workload::watch::Plan {
        config: config.workloads.clone(),
        host: config.host().to_string(),
        sys: config.path.sysfs.clone(),
        proc: config.path.procfs.clone(),
        nvml: nvml.enabled.then(|| nvml.library.clone()),
        amd: config.sensors.amdgpu.enabled,
    })
}

/// Who is asked for the intensity of which zone.
pub struct Watch {
    /// The zone.
    pub place: service::Place,
    /// The providers, first the most trusted.
    pub providers: Vec<Box<dyn Provider>>,
}

fn watch(config: &Config, place: &grid::Place) -> Result<Option<Watch>, String> {
    let mut zones: Vec<String> = place.grid.iter().map(|grid| grid.zone.clone()).collect();
    // One configuration for machines at several places must be right at each.
    let map = config.grid.zone_map.iter().flat_map(|map| map.map.values());
    zones.extend(
        map.filter_map(|code| data::zone(code))
            .map(|zone| zone.zone),
    );
    let mut providers = grid::chain::open(&config.grid.providers, &zones)?;
    if providers.is_empty() {
        return Ok(None);
    }
    let bundled = place.grid.clone().filter(|grid| grid.zone != grid::CUSTOM);
    if bundled.is_none() && !place.lost.is_empty() {
        return Ok(None);
    }
    let bundled = bundled.ok_or(
        "grid.providers: set grid.zone (such as DE or US-CA) or grid.cloud: providers are asked about a zone",
    )?;
    providers.retain(|provider| provider.serves(&bundled.zone));
    if providers.is_empty() {
        return Ok(None);
    }
    Ok(Some(Watch {
        place: service::Place {
            bundled,
            max_age: config.grid.max_age.duration(),
        },
        providers,
    }))
}

fn facility(config: &Config, place: &grid::Place) -> Result<Option<facility::Plan>, String> {
    let live = config.node.pue.as_ref().and_then(PueOf::live);
    let told = config.grid.market.as_ref();
    let opened = live.map(pue::open).transpose()?;
    let market = told.map(market::open).transpose()?.flatten();
    if opened.is_none() && market.is_none() {
        return Ok(None);
    }
    let max_age = config.grid.max_age.duration();
    let zone = place.grid.as_ref().map(|grid| grid.zone.clone());
    Ok(Some(facility::Plan {
        pue: opened.map(|(provider, every)| (provider, every, max_age)),
        last: None,
        market,
        sources: facility::Sources {
            pue: live.cloned(),
            market: told.cloned(),
        },
        usual: Facts {
            pue: place.pue.clone(),
            market: place.factor.market,
            ..Facts::default()
        },
        zone: zone.unwrap_or_default(),
    }))
}

/// What the operator should know of this configuration, in words.
fn notes(config: &Config, place: &grid::Place, is_watched: bool) -> Vec<Arc<str>> {
    let mut notes: Vec<Arc<str>> = Vec::new();
    if config.demo {
        notes.push(
            "Everything here is synthetic (--demo): no sensor of this machine is read.".into(),
        );
    }
    match &place.grid {
        _ if !place.lost.is_empty() => notes.push(place.lost.as_str().into()),
        None => notes.push(
            "No grid zone is set, so there are no CO2e figures: set grid.zone (such as DE or US-CA), \
             grid.cloud or grid.intensity."
                .into(),
        ),
        Some(grid) if grid.provider == "bundled" && !is_watched => notes.push(
            format!(
                "CO2e rests on a yearly average ({} {}), not on the intensity of the moment.",
                grid.zone, grid.vintage
            )
            .into(),
        ),
        Some(_) => {}
    }
    let is_told = config
        .node
        .pue
        .as_ref()
        .is_some_and(|pue| pue.live().is_some());
    if place.pue.origin == "not set" && !is_told {
        notes.push(
            "PUE not set: 1 is used, as if the facility had no cooling and no losses; set node.pue."
                .into(),
        );
    }
    notes
}
