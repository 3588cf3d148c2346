//! All wiring: sensors, engine, books on disk and HTTP. The program and the tests enter here.

mod begin;
mod station;

pub use self::station::Station;
use crate::config::{Config, ConfigError};
use crate::ledger::Method;
use crate::run::server;
use crate::setup::Setup;
use crate::snapshot::{Device, Snapshot};
use crate::state::{StateError, Store};
use crate::web::listen::Sockets;
use crate::web::{self, Site};
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
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

/// Longest time that a reload may look at the configuration and the machine.
const LONGEST_LOOK: Duration = Duration::from_secs(20);

/// Measures and serves until `shutdown`. `reread` gives the configuration anew on a reload.
///
/// # Errors
/// Before anything is served: a bad zone, books that another process keeps, a bad web configuration.
pub async fn run(
    config: Config,
    reread: impl Fn() -> Result<Config, ConfigError> + Send + Sync + 'static,
    sockets: Sockets,
    shutdown: impl Future<Output = ()>,
) -> Result<(), AppError> {
    // Every log line of a synthetic node says that it is one.
    let span = match config.demo {
        true => info_span!("demo", synthetic = true),
        false => Span::none(),
    };
    measure_and_serve(config, reread, sockets, shutdown)
        .instrument(span)
        .await
}

async fn measure_and_serve(
    config: Config,
    reread: impl Fn() -> Result<Config, ConfigError> + Send + Sync + 'static,
    sockets: Sockets,
    shutdown: impl Future<Output = ()>,
) -> Result<(), AppError> {
    info!(version = env!("CARGO_PKG_VERSION"), "gramwatt starts");
    let mut setup = Setup::new(&config).map_err(AppError::Config)?;
    let store = open_store(&config, &mut setup)?;
    let station = Station::start(&config, setup, store)?;
    let latest = station.latest();
    let (ask, asked) = mpsc::channel(4);
    let settings = web::Settings::from(&config.web);
    let site = Site {
        settings,
        latest: latest.clone(),
        almanac: None,
        reload: ask,
    };
    let served = tokio::select! {
        served = web::serve(sockets.web, site, shutdown) => served,
        () = tell_runs(&config, sockets.runs, &station) => Ok(()),
        () = reload(asked, Arc::new(reread), config.clone(), &station) => Ok(()),
        () = announce(latest) => Ok(()),
    };
    info!("ending: the books are closed and kept");
    let ended = tokio::task::spawn_blocking(move || station.end()).await;
    if !matches!(ended, Ok(true)) {
        error!("the engine had already ended: its last books may not be on disk");
    }
    Ok(served?)
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

/// Takes runs in at the local socket, for ever: systemd's, or one that is opened here. Without one all else goes on.
async fn tell_runs(config: &Config, passed: Option<UnixListener>, station: &Station) {
    if let Some(path) = config.run_socket() {
        let site = station.site(&config.path.procfs);
        let served = match passed.map_or_else(|| server::open(&path), Ok) {
            Ok(listener) => server::serve(listener, site).await,
            Err(error) => Err(error),
        };
        if let Err(error) = served {
            let path = path.display();
            warn!(
                "no socket for runs at {path}: {error}: gramwatt run then measures by itself; set runs.socket to \
                 another place, or runs.enabled to false"
            );
        }
    } else if let Some(listener) = passed
        && let Err(error) = server::refuse(listener).await
    {
        warn!("nobody can be turned away from systemd's socket of runs: {error}");
    }
    std::future::pending().await
}

/// Answers reloads, by signal or by request: the new configuration is looked at whole before the
/// engine hears of it, and a bad one changes nothing.
async fn reload(
    mut asked: mpsc::Receiver<oneshot::Sender<Result<(), String>>>,
    reread: Arc<impl Fn() -> Result<Config, ConfigError> + Send + Sync + 'static>,
    mut running: Config,
    station: &Station,
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
            station.reload(setup)?;
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
