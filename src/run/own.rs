//! The run's own exporter, where none runs here or none is to be asked: the same sensors, engine and socket, without
//! HTTP and without books on disk.

use super::server;
use crate::app::Station;
use crate::config::Config;
use crate::sensor::FAMILIES;
use crate::setup::{self, Setup};
use crate::snapshot::Snapshot;
use crate::workload::config::{ManagerName, Source};
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::sync::oneshot;

/// Longest that is waited until the first joules are divided.
const FIRST: Duration = Duration::from_secs(5);

/// So often GPUs are asked who uses them: a run may be short.
const LOOK: Duration = Duration::from_secs(1);

/// Sensors that are asked over a network or a slow bus, and tell of the whole machine alone, of which a run has no part: the
/// exporter that has them configured may ask them now.
const AFAR: [&str; 3] = ["redfish", "ipmi", "pdu"];

/// A station that is told of runs over a socket of its own.
#[derive(Debug)]
pub struct Own {
    directory: PathBuf,
    socket: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    server: Option<JoinHandle<()>>,
    station: Option<Station>,
}

impl Own {
    /// Begins to measure.
    ///
    /// # Errors
    /// What is wrong with the configuration, or what the system does not give.
    pub fn start(config: &Config) -> Result<Self, String> {
        if config.demo {
            return Err("--demo: nothing runs on a synthetic node: leave it out".to_owned());
        }
        let mut config = config.clone();
        // Nobody is asked for names of pods or jobs: the run has its own.
        config.workloads.source = Source::List(vec![ManagerName::Systemd]);
        config.workloads.gpu_interval = crate::config::Interval::of(LOOK);
        for family in FAMILIES.iter().filter(|family| AFAR.contains(&family.name)) {
            (family.switch)(&mut config.sensors).turn(false);
        }
        let mut setup = Setup::new(&config)?;
        setup.workloads = setup.workloads.or_else(|| setup::observation(&config));
        if let Some(plan) = &setup.workloads {
            setup.settings.workloads = Some(plan.config.policy());
        }
        let station = Station::start(&config, setup, None).map_err(|error| error.to_string())?;
        let directory = private().map_err(|error| format!("no place for a socket: {error}"))?;
        let socket = directory.join("runs.sock");
        let site = station.site(&config.path.procfs);
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let mut latest = station.latest();
        let path = socket.clone();
        let serve = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let Ok(runtime) = runtime else { return };
            runtime.block_on(async {
                let Ok(listener) = server::open(&path) else {
                    return;
                };
                let first = latest.wait_for(|snapshot| is_dividing(snapshot));
                let _ = tokio::time::timeout(FIRST, first).await;
                let _ = ready.send(());
                tokio::select! {
                    _ = server::serve(listener, site) => {}
                    _ = stopped => {}
                }
            });
        };
        let server = thread::Builder::new().name("runs".into()).spawn(serve);
        let own = Self {
            directory,
            socket,
            stop: Some(stop),
            server: Some(server.map_err(|error| error.to_string())?),
            station: Some(station),
        };
        is_ready
            .recv()
            .map_err(|_| format!("{}: no socket can be made there", own.socket.display()))?;
        Ok(own)
    }

    /// Where it is told of runs.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(server) = self.server.take() {
            // One that failed has ended too.
            let _ = server.join();
        }
        if let Some(station) = self.station.take() {
            let _ = station.end();
        }
        // What is left is in a directory for such things.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Whether it is known by now what was done with the joules: what a command does from then on is its own.
fn is_dividing(snapshot: &Snapshot) -> bool {
    let mut all = snapshot.workloads.iter().flat_map(|all| &all.list);
    snapshot.ready && all.any(|workload| ["idle", "system"].contains(&workload.manager))
}

/// A directory of our own that nobody else can look into.
fn private() -> io::Result<PathBuf> {
    let mut bytes = [0_u8; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    let directory =
        std::env::temp_dir().join(format!("gramwatt-{:016x}", u64::from_le_bytes(bytes)));
    fs::DirBuilder::new().mode(0o700).create(&directory)?;
    Ok(directory)
}
