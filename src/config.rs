//! The configuration: one value, read from YAML and flags, that is valid once it exists.

use crate::embodied::Making;
use crate::file;
use crate::grid::chain::Listing;
use crate::run::config::Runs;
use crate::sensor::Sensors;
use crate::units::GramsPerKwh;
use crate::web::listen;
use crate::workload::config::Workloads;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

pub(crate) mod explain;
mod market;
mod meter;
mod place;
mod pue;
mod reference;
mod time;

pub use market::Market;
pub use meter::Meter;
pub use place::{Cloud, Label, Metadata, ZoneMap};
pub use pue::{FilePue, JsonPue, LivePue, PrometheusPue, Pue, PueOf};
pub use reference::reference;
pub use time::{Interval, MaxAge, Span};

/// Everything the program can be told.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The machine.
    pub node: Node,
    /// Where it stands and what its electricity emits.
    pub grid: Grid,
    /// What it took to make the devices, amortised over their lives.
    pub embodied: Making,
    /// What is read, and how often.
    pub sensors: Sensors,
    /// Who used it: how joules and grams are divided among pods, jobs and services.
    pub workloads: Workloads,
    /// Single commands that are measured, and the local socket on which they are told.
    pub runs: Runs,
    /// Where the kernel's file systems are mounted.
    pub path: Paths,
    /// Where the books are kept over a restart.
    pub state: State,
    /// The HTTP server. Changes need a restart.
    pub web: Web,
    /// The log. Changes need a restart.
    pub log: Log,
    /// Serve a synthetic two-socket, eight-GPU node instead of this machine.
    pub demo: bool,
}

/// `node`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Node {
    /// Name of the machine on its status page. Unset: what the kernel calls it.
    pub name: Option<String>,
    /// Power usage effectiveness, facility power / IT power, 1 to 10; or who tells it while the program
    /// runs, by `type` and its keys: the last value holds for `grid.max_age`. Unset: that of the cloud
    /// region where one is given, else 1, and the page says "PUE not set".
    pub pue: Option<PueOf>,
    /// What holds where `pue` is told by somebody who does not answer. Unset: as where `pue` is unset.
    pub pue_fallback: Option<Pue>,
    /// Which meter sets the node's total: `auto` (the most trusted that speaks: pdu, psu, bmc, cray,
    /// acpi, board, psys), one of these classes, a list of them in another order (`[acpi, bmc]`), or
    /// `none` (the sum of devices).
    pub meter: Meter,
}

/// `grid`: with none of `intensity`, `zone`, `zone_map` and `cloud` there are no grams.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Grid {
    /// Zone whose bundled yearly average is used: a country (`DE`) or a part of one (`US-CA`, `SE-SE3`).
    pub zone: Option<String>,
    /// Cloud region, which gives the zone and the PUE: `{provider, region}`, or `auto`.
    pub cloud: Option<Cloud>,
    /// Zones of machines at several sites, by label or name, in place of `zone`.
    pub zone_map: Option<ZoneMap>,
    /// Average intensity in g CO2e/kWh, 0 to 2000; goes before `zone` and `cloud`.
    pub intensity: Option<Intensity>,
    /// What the site's contracts say, for market-based accounting: one `intensity`, or a `file` of hours.
    pub market: Option<Market>,
    /// Who is asked for the intensity of the moment, first the most trusted, each with its `type` and keys.
    /// Behind them all stands the bundled yearly average of the zone, whether `{type: static}` is written last
    /// or not. With none, nothing is asked of anybody, and that average is used.
    pub providers: Vec<Listing>,
    /// Zones that the relay (`gramwatt grid`) serves where its command line names none. Unset: `zone`.
    pub zones: Vec<String>,
    /// How long a value that was observed may stand in where no newer one is told, up to 48h.
    pub max_age: MaxAge,
}

/// Grams of CO2e for each kWh.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "f64")]
#[schemars(with = "f64")]
pub struct Intensity(f64);

impl Intensity {
    /// As a quantity.
    #[must_use]
    pub fn grams_per_kwh(self) -> GramsPerKwh {
        GramsPerKwh(self.0)
    }
}

impl TryFrom<f64> for Intensity {
    type Error = String;
    fn try_from(grams: f64) -> Result<Self, String> {
        if (0.0..=2000.0).contains(&grams) {
            return Ok(Self(grams));
        }
        Err(format!(
            "{grams} is no carbon intensity in g CO2e/kWh: 0 to 2000 (lb/MWh x 0.45359, kg/kWh x 1000)"
        ))
    }
}

/// `path`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Paths {
    /// Where sysfs is mounted.
    pub sysfs: PathBuf,
    /// Where procfs is mounted.
    pub procfs: PathBuf,
}

impl Default for Paths {
    fn default() -> Self {
        Self {
            sysfs: "/sys".into(),
            procfs: "/proc".into(),
        }
    }
}

/// `state`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct State {
    /// A directory on a tmpfs that lives as long as the boot. Unset: `$RUNTIME_DIRECTORY` under
    /// systemd, `/run/gramwatt` for root, else `$XDG_RUNTIME_DIR/gramwatt`.
    pub directory: Option<PathBuf>,
}

/// `web`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Web {
    /// Addresses to listen on, such as `:10061` or `[::1]:10061`.
    pub listen_address: Vec<String>,
    /// Path of the metrics.
    pub telemetry_path: String,
    /// TLS and basic auth, in the format of Prometheus' exporter-toolkit.
    pub config_file: Option<PathBuf>,
    /// Scrapes answered at once; more get 503. 0 sets no bound.
    pub max_requests: usize,
    /// Take the listening sockets from systemd instead of `listen_address`.
    pub systemd_socket: bool,
}

impl Default for Web {
    fn default() -> Self {
        Self {
            listen_address: vec![":10061".into()],
            telemetry_path: "/metrics".into(),
            config_file: None,
            max_requests: 40,
            systemd_socket: false,
        }
    }
}

/// `log`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// The least grave lines that are written.
    pub level: Level,
    /// How they look.
    pub format: Format,
}

/// `log.level`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// What cannot go on.
    Error,
    /// What a person should mend.
    Warn,
    /// What a person may want to know.
    #[default]
    Info,
    /// What helps to find a fault.
    Debug,
    /// Everything.
    Trace,
}

/// `log.format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// `key=value` pairs.
    #[default]
    Logfmt,
    /// One JSON object a line.
    Json,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {source}: a configuration is a readable file of YAML in UTF-8")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is too large to be a configuration.
    #[error("{0}: larger than 1 MiB, which no configuration is")]
    TooLarge(PathBuf),
    /// The file is not what it should be.
    #[error("{path}: {message}")]
    Wrong {
        /// Which file.
        path: PathBuf,
        /// Key, line, column, what is wrong and what may be meant.
        message: String,
    },
    /// Values that are right by themselves contradict one another.
    #[error("{0}")]
    Contradiction(String),
}

impl ConfigError {
    /// The error of a configuration that a file alone holds, with the file's name.
    #[must_use]
    pub fn of(self, path: &Path) -> Self {
        match self {
            Self::Contradiction(message) => Self::Wrong {
                path: path.to_owned(),
                message,
            },
            other => other,
        }
    }
}

/// Largest configuration that is read.
const LARGEST: u64 = 1 << 20;

impl Config {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// Where it cannot be read, or holds an unknown key or a bad value: path, line, column, and what
    /// may be meant.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let bytes = file::read(path, LARGEST).map_err(|error| match error.kind() {
            ErrorKind::FileTooLarge => ConfigError::TooLarge(path.to_owned()),
            _ => unreadable(error),
        })?;
        let text = String::from_utf8(bytes)
            .map_err(|_| unreadable(io::Error::new(ErrorKind::InvalidData, "is not UTF-8 text")))?;
        Self::parse(&text).map_err(|message| ConfigError::Wrong {
            path: path.to_owned(),
            message,
        })
    }

    /// Reads a configuration from YAML. An empty text is the default configuration.
    ///
    /// # Errors
    /// Key, line, column, what is wrong and what may be meant.
    pub fn parse(text: &str) -> Result<Self, String> {
        let empty = text.lines().all(|line| {
            let line = line.trim();
            line.is_empty() || line.starts_with('#') || line == "---"
        });
        if empty {
            return Ok(Self::default());
        }
        serde_yaml::from_str(text).map_err(|error| explain::explain(&error, text))
    }

    /// Where the books are kept: the directory given, or the usual one. A synthetic node has books of
    /// its own, so that it never shows up in a real one's.
    #[must_use]
    pub fn books_directory(&self) -> PathBuf {
        let directory = self.state.directory.clone();
        let directory = directory.unwrap_or_else(usual_directory);
        if self.demo {
            return directory.join("demo");
        }
        directory
    }

    /// The socket on which runs are told; `None` where there is to be none.
    #[must_use]
    pub fn run_socket(&self) -> Option<PathBuf> {
        let usual = || self.books_directory().join("runs.sock");
        let wanted = self.runs.enabled && !self.demo;
        wanted.then(|| self.runs.socket.clone().unwrap_or_else(usual))
    }

    /// Looks for values that contradict one another, malformed addresses, and mounts that are not there.
    ///
    /// # Errors
    /// The keys, and what to do.
    pub fn check(self) -> Result<Self, ConfigError> {
        let web = &self.web;
        let wrong = |message: String| Err(ConfigError::Contradiction(message));
        if !web.telemetry_path.starts_with('/') {
            return wrong(format!(
                "web.telemetry_path: {:?} must begin with /",
                web.telemetry_path
            ));
        }
        if web.telemetry_path.starts_with("/-/") {
            return wrong("web.telemetry_path: /-/ is kept for health and reload".into());
        }
        if web.listen_address.is_empty() && !web.systemd_socket {
            return wrong("web.listen_address: give at least one address, such as :10061".into());
        }
        for address in &web.listen_address {
            if let Err(reason) = listen::well_formed(address) {
                return wrong(format!(
                    "web.listen_address: cannot listen on {address}: {reason}"
                ));
            }
        }
        let mounts = [
            ("path.sysfs", &self.path.sysfs, Paths::default().sysfs),
            ("path.procfs", &self.path.procfs, Paths::default().procfs),
        ];
        for (key, path, usual) in mounts {
            // A machine may lack the usual one; one that was named must be there.
            if *path != usual && !path.is_dir() {
                return wrong(format!(
                    "{key}: there is no directory {}: give the one where the host's {} is mounted",
                    path.display(),
                    usual.display()
                ));
            }
        }
        if self.grid.zone.is_some() && self.grid.cloud.is_some() {
            return wrong("grid: give zone or cloud, not both: a cloud region has a zone".into());
        }
        let live = self.node.pue.as_ref().and_then(PueOf::live);
        if self.node.pue_fallback.is_some() && live.is_none() {
            return wrong("node.pue_fallback: it is for a pue that somebody tells: set pue".into());
        }
        self.workloads.check().map_err(ConfigError::Contradiction)?;
        let grid = &self.grid;
        if let Some(map) = &grid.zone_map {
            if grid.zone.is_some() || grid.cloud.is_some() {
                return wrong("grid: give zone_map, or zone or cloud, not both".into());
            }
            if map.map.is_empty() {
                return wrong(
                    "grid.zone_map: give map: {LABEL: ZONE}, such as {site-a: DE}".into(),
                );
            }
        }
        Ok(self)
    }
}

fn usual_directory() -> PathBuf {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    // systemd gives a list where the unit names several directories; the first is ours.
    if let Some(directories) = variable("RUNTIME_DIRECTORY") {
        let directories = directories.to_string_lossy();
        return directories.split(':').next().unwrap_or_default().into();
    }
    match variable("XDG_RUNTIME_DIR").filter(|_| !rustix::process::geteuid().is_root()) {
        Some(directory) => PathBuf::from(directory).join("gramwatt"),
        None => "/run/gramwatt".into(),
    }
}

#[cfg(test)]
mod tests;
