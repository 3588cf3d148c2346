//! All wiring: sensors, engine, books on disk and HTTP. The program and the tests enter here.

mod begin;

use self::begin::{ask, observe, start, visit};
use crate::clock;
use crate::config::{Config, ConfigError};
use crate::engine::{Batch, Engine};
use crate::grid::conditions::Conditions;
use crate::grid::facility::{self, Facts};
use crate::grid::schedule::Doors;
use crate::grid::service::{self, Running};
use crate::ledger::Method;
use crate::process;
use crate::sampler::Samplers;
use crate::setup::{Setup, Watch};
use crate::snapshot::{Device, Snapshot};
use crate::state::{StateError, Store};
use crate::web::{self, Site};
use crate::workload::census::Census;
use crate::workload::watch::Lookout;
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{Instrument, Span, error, info, info_span, warn};

/// Why the program cannot start, or go on.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The configuration names something that is not there.
    #[error("{0}")]
    Config(String),
    /// The books are kept by another process, or cannot be kept where the operator said.
    #[error(transparent)]
    State(#[from] StateError),
    /// The operating system gave no thread or socket.
    #[error("{0}")]
    System(#[from] io::Error),
}

/// What the engine's thread is told.
enum Order {
    Batch(Batch),
    /// What the grid is like, from the service of so many reloads ago.
    Conditions(u64, Box<Conditions>),
    /// What holds of the site, from those who were asked since so many reloads ago.
    Facts(u64, Box<Facts>),
    /// Who is here and did what, from those who look since so many reloads ago.
    Census(u64, Box<Census>),
    Reload(Box<Setup>),
    Stop,
}

/// Longest time that a reload may look at the configuration and the machine.
const LONGEST_LOOK: Duration = Duration::from_secs(20);

/// Longest time that sensors are given at the end to take leave of what they ask.
const LEAVE: Duration = Duration::from_secs(2);

/// Orders that wait for the engine; samplers wait beyond that.
const QUEUE: usize = 64;

/// Measures and serves until `shutdown`. `reread` gives the configuration anew on a reload.
///
/// # Errors
/// Before anything is served: a bad zone, books that another process keeps, a bad web configuration.
pub async fn run(
    config: Config,
    reread: impl Fn() -> Result<Config, ConfigError> + Send + Sync + 'static,
    listeners: Vec<TcpListener>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), AppError> {
    // Every log line of a synthetic node says that it is one.
    let span = match config.demo {
        true => info_span!("demo", synthetic = true),
        false => Span::none(),
    };
    measure_and_serve(config, reread, listeners, shutdown)
        .instrument(span)
        .await
}

async fn measure_and_serve(
    config: Config,
    reread: impl Fn() -> Result<Config, ConfigError> + Send + Sync + 'static,
    listeners: Vec<TcpListener>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), AppError> {
    info!(version = env!("CARGO_PKG_VERSION"), "gramwatt starts");
    let mut setup = Setup::new(&config).map_err(AppError::Config)?;
    let store = open_store(&config, &mut setup)?;
    let (orders, inbox) = sync_channel(QUEUE);
    let (publish, latest) = watch::channel(Arc::new(Snapshot::default()));
    let samplers = start(&mut setup, &orders)?;
    let books = store.as_ref().map(|_| config.books_directory());
    let engine = open_books(&mut setup, store.as_ref(), books.as_deref());
    let doors = Doors::default();
    let grid = ask(&mut setup, 0, books.as_deref(), &doors, &orders)?;
    let facility = visit(&mut setup, 0, &doors, &orders)?;
    let workloads = observe(&mut setup, 0, &latest, &orders)?;
    let keeper = Keeper {
        lasting: store
            .is_none()
            .then(|| setup.settings.notes.last().cloned())
            .flatten(),
        engine,
        samplers,
        grid,
        facility,
        workloads,
        latest: latest.clone(),
        doors,
        reloads: 0,
        books,
        store,
        failing: false,
        publish,
        process: process::Watch::default(),
        every: config.sensors.interval.duration(),
    };
    let (to_samplers, span) = (orders.clone(), Span::current());
    let keeper = thread::Builder::new()
        .name("engine".into())
        .spawn(move || span.in_scope(|| keeper.run(&inbox, &to_samplers)))?;
    let (ask, asked) = mpsc::channel(4);
    let settings = web::Settings::from(&config.web);
    let site = Site {
        settings,
        latest: latest.clone(),
        almanac: None,
        reload: ask,
    };
    let served = tokio::select! {
        served = web::serve(listeners, site, shutdown) => served,
        () = reload(asked, Arc::new(reread), config, &orders) => Ok(()),
        () = announce(latest) => Ok(()),
    };
    info!("ending: the books are closed and kept");
    let told = orders.send(Order::Stop).is_ok();
    let ended = tokio::task::spawn_blocking(move || keeper.join()).await;
    if !told || !matches!(ended, Ok(Ok(()))) {
        error!("the engine had already ended: its last books may not be on disk");
    }
    Ok(served?)
}

/// The books of an earlier process of this boot, or new ones.
fn open_books(setup: &mut Setup, store: Option<&Store>, books: Option<&Path>) -> Engine {
    let mut kept = store.and_then(|store| {
        store.load().unwrap_or_else(|error| {
            error!("{error}: the books begin anew, counters restart at 0");
            None
        })
    });
    match &kept {
        Some(state) => info!(since = %state.since.wall, "the books go on where they ended"),
        None => info!("the books begin"),
    }
    let now = clock::now();
    let last = kept.as_ref().and_then(|state| state.pue);
    let pue = setup
        .facility
        .as_mut()
        .and_then(|plan| plan.go_on(last, now));
    if let Some(pue) = pue {
        setup.settings.factor.pue = pue.ratio;
        setup.settings.pue = pue;
    }
    let mut service = setup.watch.as_ref().zip(books).map(|(watch, books)| {
        let Watch { place, providers } = watch;
        service::remembered(place, providers, books)
    });
    if let Some(state) = &mut kept
        && let Some(end) = state.ended(now)
    {
        info!(until = %end, "the last factor ended before the start: energy since then meets what was known of that time");
        let meanwhile = service
            .as_mut()
            .map(|service| service.meanwhile(0, end, now.wall));
        let usual = setup.settings.factor.intensity;
        state.follow(&meanwhile.unwrap_or_default(), usual, now);
    }
    let mut engine = Engine::new(setup.settings.clone(), &setup.seats, kept, now);
    // What is remembered holds before anybody has answered, and so for the first readings.
    if let Some((conditions, _)) = service.and_then(|mut service| service.conditions(0, now.wall)) {
        engine.meet(conditions, now);
    }
    engine
}

/// Opens the place where the books are kept. A place that the operator named must work; the default
/// one may be missing, and the page then says what that costs.
fn open_store(config: &Config, setup: &mut Setup) -> Result<Option<Store>, StateError> {
    let given = config.state.directory.is_some();
    match Store::open(&config.books_directory(), &config.path.procfs) {
        Ok(store) => Ok(Some(store)),
        Err(error @ (StateError::Unwritable { .. } | StateError::NoBoot { .. })) if !given => {
            setup.settings.notes.push(error.to_string().into());
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The engine's thread: books batches as they come, and closes the books at every tick. What a
/// snapshot shows is on disk before it is published.
struct Keeper {
    engine: Engine,
    /// A note that no reload takes away: the books are not kept.
    lasting: Option<Arc<str>>,
    samplers: Samplers,
    /// The intensity service, where anybody is asked.
    grid: Option<Running>,
    /// Those who ask what holds of the site, where anybody is asked.
    facility: Option<facility::Running>,
    /// Who looks who uses the machine, where anybody does.
    workloads: Option<Lookout>,
    latest: watch::Receiver<Arc<Snapshot>>,
    /// Until when they leave servers alone: a reload does not change that.
    doors: Doors,
    reloads: u64,
    /// Where the books are kept.
    books: Option<PathBuf>,
    store: Option<Store>,
    failing: bool,
    publish: watch::Sender<Arc<Snapshot>>,
    process: process::Watch,
    every: Duration,
}

impl Keeper {
    fn run(mut self, inbox: &Receiver<Order>, orders: &SyncSender<Order>) {
        let every = self.every;
        // A quarter of an interval behind the sensors, which all start on one beat.
        let mut next = clock::now().awake + every / 4;
        loop {
            let now = clock::now().awake;
            if now >= next {
                self.tick();
                next = now.max(next + every);
            }
            match inbox.recv_timeout(next.saturating_sub(now)) {
                Ok(Order::Batch(batch)) => self.engine.apply(&batch),
                // What a service that was retired still has to say is no longer asked for.
                Ok(Order::Conditions(of, _) | Order::Facts(of, _) | Order::Census(of, _))
                    if of != self.reloads => {}
                Ok(Order::Census(_, census)) => self.engine.count(*census),
                Ok(Order::Facts(_, facts)) => self.engine.house(*facts, clock::now()),
                Ok(Order::Conditions(_, conditions)) => self.engine.meet(*conditions, clock::now()),
                Ok(Order::Reload(setup)) => self.reload(*setup, orders),
                Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
        self.tick();
        self.samplers.end(LEAVE);
    }

    fn tick(&mut self) {
        let now = clock::now();
        let mut snapshot = self.engine.tick(now);
        snapshot.process = self.process.look(now);
        if let Some(store) = &mut self.store {
            match store.save(&self.engine.state()) {
                Ok(()) => self.failing = false,
                Err(error) if self.failing => drop(error),
                Err(error) => {
                    self.failing = true;
                    error!(
                        "cannot keep the books: {error}: a restart now would repeat or lose energy"
                    );
                }
            }
        }
        self.publish.send_replace(Arc::new(snapshot));
    }

    fn reload(&mut self, mut setup: Setup, orders: &SyncSender<Order>) {
        setup.settings.notes.extend(self.lasting.clone());
        let number = self.reloads + 1;
        let grid = match ask(
            &mut setup,
            number,
            self.books.as_deref(),
            &self.doors,
            orders,
        ) {
            Ok(grid) => grid,
            Err(error) => {
                return error!("the old configuration goes on: no thread for the new one: {error}");
            }
        };
        let facility = match visit(&mut setup, number, &self.doors, orders) {
            Ok(facility) => facility,
            Err(error) => {
                return error!("the old configuration goes on: no thread for the new one: {error}");
            }
        };
        let workloads = match observe(&mut setup, number, &self.latest, orders) {
            Ok(workloads) => workloads,
            Err(error) => {
                return error!("the old configuration goes on: no thread for the new one: {error}");
            }
        };
        match start(&mut setup, orders) {
            Ok(samplers) => self.samplers = samplers,
            Err(error) => {
                return error!("the old sensors go on: no thread for the new ones: {error}");
            }
        }
        if let (Some(old), Some(new)) = (&self.facility, &facility)
            && old.sources == new.sources
        {
            self.engine.carry(&mut setup.settings);
        }
        self.engine
            .reconfigure(setup.settings, &setup.seats, clock::now());
        self.grid = grid;
        self.facility = facility;
        self.workloads = workloads;
        self.reloads = number;
    }
}

/// Answers reloads, by signal or by request: the new configuration is looked at whole before the
/// engine hears of it, and a bad one changes nothing.
async fn reload(
    mut asked: mpsc::Receiver<oneshot::Sender<Result<(), String>>>,
    reread: Arc<impl Fn() -> Result<Config, ConfigError> + Send + Sync + 'static>,
    mut running: Config,
    orders: &SyncSender<Order>,
) {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut hangup) = signal(SignalKind::hangup()) else {
        error!("SIGHUP cannot be caught: reload with POST /-/reload");
        return std::future::pending().await;
    };
    loop {
        let answer = tokio::select! {
            _ = hangup.recv() => None,
            Some(answer) = asked.recv() => Some(answer),
        };
        let outcome = renewed(&reread, &running).await;
        let outcome = outcome.and_then(|(config, setup)| {
            orders
                .try_send(Order::Reload(Box::new(setup)))
                .map_err(|_| "the engine is busy".to_owned())?;
            running = config;
            Ok(())
        });
        match &outcome {
            Ok(()) => info!("configuration reloaded"),
            Err(reason) => error!("the running configuration stays in force: {reason}"),
        }
        if let Some(answer) = answer {
            // Who asked may have hung up.
            let _ = answer.send(outcome);
        }
    }
}

async fn renewed(
    reread: &Arc<impl Fn() -> Result<Config, ConfigError> + Send + Sync + 'static>,
    running: &Config,
) -> Result<(Config, Setup), String> {
    let (reread, running) = (Arc::clone(reread), running.clone());
    // A file system or a driver that does not answer must hold up neither scrapes nor the end.
    let looked = tokio::task::spawn_blocking(move || {
        let config = reread().map_err(|error| error.to_string())?;
        let config = continued(config, &running)?;
        let setup = Setup::new(&config)?;
        Ok((config, setup))
    });
    let looked = tokio::time::timeout(LONGEST_LOOK, looked).await;
    let looked = looked.map_err(|_| {
        format!("neither the configuration nor the sensors answered within {LONGEST_LOOK:?}")
    })?;
    looked.map_err(|error| error.to_string())?
}

/// A new configuration, with what only a restart can change left as it runs.
fn continued(config: Config, running: &Config) -> Result<Config, String> {
    if config.demo != running.demo {
        return Err("demo: a synthetic node has books of its own: restart to change it".into());
    }
    let fixed = [
        ("web", config.web != running.web),
        ("log", config.log != running.log),
        ("state", config.state != running.state),
        ("path", config.path != running.path),
        (
            "sensors.interval",
            config.sensors.interval != running.sensors.interval,
        ),
    ];
    for (key, _) in fixed.iter().filter(|(_, changed)| *changed) {
        warn!("{key} has changed: that takes effect with the next restart");
    }
    let mut config = Config {
        web: running.web.clone(),
        log: running.log.clone(),
        state: running.state.clone(),
        path: running.path.clone(),
        ..config
    };
    config.sensors.interval = running.sensors.interval;
    Ok(config)
}

/// Tells systemd, once, that the first figures are there; and the log what they rest on, whenever a
/// device appears or its joules are had in another way.
async fn announce(mut latest: watch::Receiver<Arc<Snapshot>>) {
    if latest.wait_for(|snapshot| snapshot.ready).await.is_err() {
        return std::future::pending().await;
    }
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        warn!("systemd cannot be told that the service is ready: {error}");
    }
    let mut told = BTreeMap::new();
    let mut notes: Vec<Arc<str>> = Vec::new();
    loop {
        let snapshot = Arc::clone(&latest.borrow_and_update());
        if notes != snapshot.notes {
            let new = snapshot.notes.iter().filter(|note| !notes.contains(note));
            new.for_each(|note| warn!("{note}"));
            notes.clone_from(&snapshot.notes);
        }
        for device in &snapshot.devices {
            if told.get(&device.id) != Some(&device.method) {
                told.insert(Arc::clone(&device.id), device.method);
                tell(device, snapshot.demo);
            }
        }
        if latest.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

fn tell(device: &Device, demo: bool) {
    let (id, sensor, method) = (&device.id, &device.sensor, device.method.label());
    match device.method {
        Method::Modelled => warn!(
            device = %id, %sensor, method,
            "modelled, not measured: no sensor of this device can be read; see `gramwatt doctor`"
        ),
        _ if demo => info!(device = %id, %sensor, method, "simulated"),
        _ => info!(device = %id, %sensor, method, "measured"),
    }
}
