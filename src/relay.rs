//! `gramwatt grid`: asks providers about zones once for a whole cluster, and tells it to all nodes.

use crate::app::AppError;
use crate::clock;
use crate::config::Config;
use crate::data::Reference;
use crate::grid;
use crate::grid::almanac::Almanac;
use crate::grid::conditions::Conditions;
use crate::grid::fetch::{Asker, Failure};
use crate::grid::provider::Provider;
use crate::grid::schedule::Doors;
use crate::grid::series::Signal;
use crate::grid::service::{self, Moments, Place, Service};
use crate::process;
use crate::snapshot::{Region, Snapshot};
use crate::state::Store;
use crate::web::{self, Site};
use jiff::Timestamp;
use std::fmt::Write;
use std::future::Future;
use std::net::TcpListener;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

/// What is asked of whom.
pub struct Plan {
    /// The zones.
    pub places: Vec<Place>,
    /// The providers, first the most trusted.
    pub providers: Vec<Box<dyn Provider>>,
}

impl Plan {
    /// What the configuration says, about these zones; about its own where none are named.
    ///
    /// # Errors
    /// No provider, no zone, or one that is not known.
    pub fn new(config: &Config, zones: &[String]) -> Result<Self, String> {
        let mut named: Vec<String> = if zones.is_empty() {
            config.grid.zones.clone()
        } else {
            zones.to_vec()
        };
        if named.is_empty() {
            let own = grid::place(config, grid::Look::Here)?
                .grid
                .filter(|grid| grid.zone != grid::CUSTOM);
            named.extend(own.map(|grid| grid.zone));
        }
        if named.is_empty() {
            return Err(
                "name the zones (gramwatt grid DE FR), or set grid.zones or grid.zone".to_owned(),
            );
        }
        let mut places: Vec<Place> = Vec::new();
        for name in named {
            let bundled = grid::of_zone(&grid::known_zone("grid.zones", &name)?);
            if places
                .iter()
                .all(|place| place.bundled.zone != bundled.zone)
            {
                let max_age = config.grid.max_age.duration();
                places.push(Place { bundled, max_age });
            }
        }
        let zones = places.iter().map(|place| place.bundled.zone.clone());
        let zones: Vec<String> = zones.collect();
        let mut providers = grid::chain::open(&config.grid.providers, &zones)?;
        providers.retain(|provider| zones.iter().any(|zone| provider.serves(zone)));
        if providers.is_empty() {
            return Err(
                "grid.providers: name at least one provider, such as {type: energy-charts}"
                    .to_owned(),
            );
        }
        Ok(Self { places, providers })
    }
}

/// Asks and tells until `shutdown`.
///
/// # Errors
/// Before anything is served: a cache that another process keeps, a bad web configuration.
pub async fn run(
    config: &Config,
    plan: Plan,
    listeners: Vec<TcpListener>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), AppError> {
    info!(
        version = env!("CARGO_PKG_VERSION"),
        zones = plan.places.len(),
        "the relay starts"
    );
    let directory = config.books_directory();
    let held = match Store::open(&directory, &config.path.procfs) {
        Ok(store) => Some(store),
        Err(error) if config.state.directory.is_some() => return Err(error.into()),
        Err(error) => {
            warn!("{error}");
            None
        }
    };
    let (pages, latest) = watch::channel(Arc::new(Snapshot::default()));
    let (sheets, almanac) = watch::channel(Arc::new(Almanac::default()));
    let mut desk = Desk {
        regions: Vec::new(),
        reference: Arc::new(Reference::bundled()),
        ends: Vec::new(),
        almanac: Almanac::default(),
        process: process::Watch::default(),
        host: config.node.name.as_deref().unwrap_or_default().into(),
        pages,
        sheets,
    };
    let kept = held.as_ref().map(|_| directory.as_path());
    let service = service::start(
        plan.places,
        plan.providers,
        kept,
        &Doors::default(),
        move |service, zone, at| desk.tell(service, zone, at),
    )?;
    // The first page is of what was kept: before it there are no zones, as if this were no relay. An error
    // is the service's end, and then there is no page to wait for.
    let _ = latest.clone().changed().await;
    let (ask, mut asked) = mpsc::channel::<web::Reload>(4);
    let site = Site {
        settings: web::Settings::from(&config.web),
        latest,
        almanac: Some(almanac),
        reload: ask,
    };
    let refuse = async {
        while let Some(answer) = asked.recv().await {
            // Who asked may have hung up.
            let _ = answer.send(Err(
                "a relay reads its configuration when it starts: restart it".to_owned(),
            ));
        }
    };
    let served = tokio::select! {
        served = web::serve(listeners, site, shutdown) => served,
        () = refuse => Ok(()),
    };
    info!("the relay ends");
    drop((service, held));
    Ok(served?)
}

/// Where what is known becomes pages.
struct Desk {
    regions: Vec<Region>,
    reference: Arc<Reference>,
    /// Until when each of them holds.
    ends: Vec<Timestamp>,
    almanac: Almanac,
    process: process::Watch,
    host: Arc<str>,
    pages: watch::Sender<Arc<Snapshot>>,
    sheets: watch::Sender<Arc<Almanac>>,
}

impl Desk {
    /// Brings a zone up to date, or all of them; says when to look again, or nothing where nobody reads any
    /// more.
    fn tell(
        &mut self,
        service: &mut Service,
        zone: Option<usize>,
        at: Moments,
    ) -> Option<Timestamp> {
        let mut until = Timestamp::MAX;
        let mut providers = Arc::default();
        for number in 0.. {
            let Some((conditions, end)) = service.conditions(number, at.now) else {
                break;
            };
            until = until.min(end);
            providers = Arc::clone(&conditions.providers);
            // While there is ever news of others, this one's time passes too.
            let is_over = self.ends.get(number).is_none_or(|end| *end <= at.now);
            match self.ends.get_mut(number) {
                Some(old) => *old = end,
                None => self.ends.push(end),
            }
            if is_over || zone.is_none_or(|zone| zone == number) {
                self.bring(service, number, conditions, at.now);
            }
        }
        let now = clock::now();
        let snapshot = Snapshot {
            at: Some(now),
            ready: true,
            host: Arc::clone(&self.host),
            regions: self.regions.as_slice().into(),
            reference: Some(Arc::clone(&self.reference)),
            providers,
            process: self.process.look(now),
            ..Snapshot::default()
        };
        self.sheets.send(Arc::new(self.almanac.clone())).ok()?;
        self.pages.send(Arc::new(snapshot)).ok()?;
        Some(until)
    }

    fn bring(&mut self, service: &Service, number: usize, conditions: Conditions, now: Timestamp) {
        let Some(grid) = conditions.grid else {
            return;
        };
        for signal in [Signal::Average, Signal::Marginal] {
            let sheet = service.sheet(number, signal, now);
            self.almanac.put(&grid.zone, signal, sheet.as_ref());
        }
        let region = Region {
            grid,
            marginal: conditions.marginal,
            outlook: conditions.outlook,
        };
        match self.regions.get_mut(number) {
            Some(old) => *old = region,
            None => self.regions.push(region),
        }
    }
}

/// Asks every provider about every zone once, and tells what each answers, as a table. Also says whether all
/// did.
///
/// # Errors
/// Where a client cannot be made.
pub fn once(plan: Plan) -> Result<(String, bool), String> {
    let zones: Vec<String> = plan
        .places
        .iter()
        .map(|place| place.bundled.zone.clone())
        .collect();
    let mut out = format!(
        "{:<20} {:<14} {:<9} {:>8}  answer\n",
        "provider", "zone", "what", "g/kWh"
    );
    let mut well = true;
    let spared = service::spared(&plan.providers, &zones);
    for (place, provider) in plan.providers.into_iter().enumerate() {
        let name = provider.name();
        let mut asker = service::asker(provider, &zones).map_err(|error| error.to_string())?;
        for (number, what, answer) in ask(&mut asker) {
            let zone = zones.get(number).map_or("", String::as_str);
            match answer {
                Ok(told) => {
                    let grams = told
                        .grams
                        .map_or_else(|| "-".to_owned(), |grams| format!("{grams:.1}"));
                    let _ = writeln!(
                        out,
                        "{name:<20} {zone:<14} {what:<9} {grams:>8}  {}",
                        told.words
                    );
                }
                Err(failure) if failure.reason == "config" && spared.contains(&(place, number)) => {
                    let _ = writeln!(
                        out,
                        "{name:<20} {zone:<14} {what:<9} {:>8}  not asked: {}",
                        "-", failure.message
                    );
                }
                Err(failure) => {
                    well = false;
                    let Failure {
                        place,
                        message,
                        mend,
                        ..
                    } = failure;
                    let _ = writeln!(
                        out,
                        "{name:<20} {zone:<14} {what:<9} {:>8}  {message} ({place})",
                        "FAILED"
                    );
                    if !mend.is_empty() {
                        let _ = writeln!(out, "{:<54}  mend: {mend}", "");
                    }
                }
            }
        }
    }
    Ok((out, well))
}

/// What one request came to, for people.
struct Told {
    grams: Option<f64>,
    words: String,
}

fn ask(asker: &mut Asker) -> Vec<(usize, &'static str, Result<Told, Failure>)> {
    let (plan, uncovered) = asker.plan(clock::now().wall);
    let mut all: Vec<_> = uncovered
        .into_iter()
        .map(|(zone, failure)| (zone, "", Err(failure)))
        .collect();
    for (zone, number, _) in plan {
        let now = clock::now().wall;
        let what = asker.what(zone, number, now);
        let answer = asker.ask(zone, number, now).map(|answer| {
            let Some(answer) = answer else {
                return Told {
                    grams: None,
                    words: "nothing new".to_owned(),
                };
            };
            let count = answer.points.len();
            let by_now = answer.points.iter().filter(|point| point.from <= now);
            let last = by_now.max_by_key(|point| point.from);
            let grams = last.map(|point| point.intensity.0);
            let valid = last.map_or_else(
                || "none yet".to_owned(),
                |point| format!("valid from {}", point.from),
            );
            Told {
                grams,
                words: format!("{}, {count} values, {valid}", answer.scope.label()),
            }
        });
        all.push((zone, what, answer));
    }
    all
}

#[cfg(test)]
mod tests;
