//! The command line: what it can say, and how its flags change the configuration.

pub mod estimate;
pub mod report;
mod run;

use crate::config::{Config, ConfigError, Format, Intensity, Interval, Level, Meter, Pue, PueOf};
use crate::sensor::FAMILIES;
use clap::{
    Arg, ArgAction, ArgMatches, Args, Command, CommandFactory, FromArgMatches, Parser, Subcommand,
    ValueEnum,
};
use std::path::PathBuf;

/// Publishes this machine's watts, joules and grams of CO2e for Prometheus.
///
/// Without a command it serves /metrics. A flag stands for the configuration key of the same name
/// (--grid.zone is zone under grid:) and goes before it. The keys of grid.cloud, grid.market, embodied
/// and sensors.model have no flags.
#[derive(Debug, Parser)]
#[command(name = "gramwatt", version, subcommand_negates_reqs = true)]
pub struct Cli {
    #[command(flatten)]
    flags: Flags,
    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<Verb>,
    /// Families switched on or off by flag.
    #[arg(skip)]
    switches: Vec<(String, bool)>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Measure for a while, print, and end.
    Once {
        /// How long to measure, in seconds.
        #[arg(long, default_value_t = 1.0, value_name = "N", value_parser = seconds)]
        seconds: f64,
        /// How to print.
        #[arg(long, value_enum, default_value_t = Output::Table)]
        format: Output,
    },
    /// Tell what can and cannot be measured here, and how to mend it. Ends with 1 if anything is amiss.
    Doctor,
    /// Read a configuration file and say whether it is right.
    CheckConfig {
        /// The file.
        file: PathBuf,
    },
    /// Ask the providers of grid intensity once for a whole cluster, and tell all nodes (a relay).
    Grid {
        /// Zones to serve, such as DE or US-CA [default: grid.zones, or else grid.zone].
        zones: Vec<String>,
        /// Ask every provider once, print what each answers, and end; with 1 where one fails.
        #[arg(long)]
        once: bool,
    },
    /// Ask a running Gramwatt as a scrape would, and say whether it tells watts. Ends with 1 if it does not.
    Probe {
        /// Where its metrics are.
        #[arg(default_value = "http://127.0.0.1:10061/metrics")]
        url: String,
        /// How long it may take until it does, in seconds: a node that has just started has no watts yet.
        #[arg(long, value_name = "N", value_parser = seconds)]
        wait: Option<f64>,
    },
    /// Measure one command: what it uses and emits, what it will come to, and when it would be cleaner.
    Run(run::RunArgs),
    /// Estimate what a load would cost at a place, and elsewhere, from bundled figures; nothing is measured.
    Estimate(Box<estimate::Estimate>),
    /// Report what a time has cost, from the history in a Prometheus.
    Report(Box<report::Report>),
    /// Search the bundled zones and cloud regions.
    Zones {
        /// Part of a code or name; all where it is left out.
        text: Option<String>,
    },
    /// Print the configuration reference.
    ConfigReference,
    /// Print the table of metrics.
    Metrics,
}

/// How `once` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// For Prometheus.
    Openmetrics,
    /// For programs.
    Json,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Configuration")]
struct Flags {
    /// YAML configuration file; see `gramwatt config-reference`.
    #[arg(long = "config.file", value_name = "FILE", global = true)]
    config_file: Option<PathBuf>,
    /// Address to listen on; repeat for several [default: :10061].
    #[arg(long = "web.listen-address", value_name = "ADDRESS", global = true)]
    listen_address: Vec<String>,
    /// Path of the metrics [default: /metrics].
    #[arg(long = "web.telemetry-path", value_name = "PATH", global = true)]
    telemetry_path: Option<String>,
    /// TLS and basic auth, in the format of Prometheus' exporter-toolkit.
    #[arg(long = "web.config.file", value_name = "FILE", global = true)]
    web_config: Option<PathBuf>,
    /// Scrapes answered at once; more get 503; 0 sets no bound [default: 40].
    #[arg(long = "web.max-requests", value_name = "N", global = true)]
    max_requests: Option<usize>,
    /// Take the listening sockets from systemd.
    #[arg(long = "web.systemd-socket", global = true)]
    systemd_socket: bool,
    /// Where sysfs is mounted [default: /sys].
    #[arg(long = "path.sysfs", value_name = "DIR", global = true)]
    sysfs: Option<PathBuf>,
    /// Where procfs is mounted [default: /proc].
    #[arg(long = "path.procfs", value_name = "DIR", global = true)]
    procfs: Option<PathBuf>,
    /// Where the books are kept over a restart, on a tmpfs [default: /run/gramwatt].
    #[arg(long = "state.directory", value_name = "DIR", global = true)]
    state: Option<PathBuf>,
    /// Zone whose yearly average intensity is used, such as DE or US-CA.
    #[arg(long = "grid.zone", value_name = "ZONE", global = true)]
    zone: Option<String>,
    /// Average intensity of the grid, in g CO2e/kWh.
    #[arg(long = "grid.intensity", value_name = "GRAMS", value_parser = checked::<Intensity>, global = true)]
    intensity: Option<Intensity>,
    /// Name of the machine on its status page [default: what the kernel calls it].
    #[arg(long = "node.name", value_name = "NAME", global = true)]
    node_name: Option<String>,
    /// Facility power / IT power, at least 1.
    #[arg(long = "node.pue", value_name = "RATIO", value_parser = checked::<Pue>, global = true)]
    pue: Option<Pue>,
    /// Meter that sets the node's total: auto, none, pdu, psu, bmc, cray, acpi, board or psys, or several
    /// in the order in which they are trusted (acpi,bmc) [default: auto].
    #[arg(long = "node.meter", value_name = "METER", value_parser = word::<Meter>, global = true)]
    meter: Option<Meter>,
    /// How often sensors are read, 100ms to 1m [default: 1s].
    #[arg(long = "sensors.interval", value_name = "TIME", value_parser = interval, global = true)]
    interval: Option<Interval>,
    /// The NVIDIA driver's library, a name or a path [default: libnvidia-ml.so.1].
    #[arg(long = "sensor.nvml.library", value_name = "SO", global = true)]
    nvml_library: Option<PathBuf>,
    /// Serve a synthetic two-socket, eight-GPU node instead of this machine.
    #[arg(long, global = true)]
    demo: bool,
    /// Least grave log lines: error, warn, info, debug or trace [default: info].
    #[arg(long = "log.level", value_name = "LEVEL", value_parser = word::<Level>, global = true)]
    log_level: Option<Level>,
    /// logfmt or json [default: logfmt].
    #[arg(long = "log.format", value_name = "FORMAT", value_parser = word::<Format>, global = true)]
    log_format: Option<Format>,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    if (0.1..=86400.0).contains(&seconds) {
        return Ok(seconds);
    }
    Err("0.1 to 86400".into())
}

fn checked<T: TryFrom<f64, Error = String>>(text: &str) -> Result<T, String> {
    let number: f64 = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    T::try_from(number)
}

fn interval(text: &str) -> Result<Interval, String> {
    Interval::try_from(text.to_owned())
}

/// A word as the YAML has it.
fn word<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    use serde::de::IntoDeserializer;
    let word: serde::de::value::StrDeserializer<'_, serde_json::Error> = text.into_deserializer();
    T::deserialize(word).map_err(|error| error.to_string())
}

impl Cli {
    /// The command line as clap knows it, with a pair of switches for every family of sensors.
    #[must_use]
    pub fn command() -> Command {
        let switch = |name: String, help: String| {
            Arg::new(name.clone())
                .long(name)
                .help(help)
                .help_heading("Sensors")
                .action(ArgAction::SetTrue)
                .global(true)
        };
        FAMILIES.iter().filter(|family| family.name != "demo").fold(
            <Self as CommandFactory>::command(),
            |command, family| {
                let on = format!("sensor.{}", family.name);
                let off = format!("no-sensor.{}", family.name);
                command
                    .arg(
                        switch(
                            on.clone(),
                            format!("Use {}: {}", family.name, family.summary),
                        )
                        .overrides_with(off.clone()),
                    )
                    .arg(switch(off, format!("Do not use {}", family.name)).overrides_with(on))
            },
        )
    }

    /// Reads a command line.
    ///
    /// # Errors
    /// What clap says of a bad one; also for `--help` and `--version`.
    pub fn read(args: impl IntoIterator<Item = std::ffi::OsString>) -> Result<Self, clap::Error> {
        let matches = Self::command().try_get_matches_from(args)?;
        let mut cli = Self::from_arg_matches(&matches)?;
        cli.switches = switches(&matches);
        Ok(cli)
    }

    /// The configuration: the file's, changed by the flags.
    ///
    /// # Errors
    /// As [`Config::read`] and [`Config::check`].
    pub fn config(&self) -> Result<Config, ConfigError> {
        let Some(path) = &self.flags.config_file else {
            return self.changed(Config::default()).check();
        };
        let file = Config::read(path)?;
        self.changed(file.clone()).check().map_err(|error| {
            // What the flags bring about is not the file's fault.
            let alone = file.check().err().map(|error| error.to_string());
            match alone {
                Some(alone) if alone == error.to_string() => error.of(path),
                _ => error,
            }
        })
    }

    fn changed(&self, mut config: Config) -> Config {
        self.flags.change(&mut config);
        for (name, on) in &self.switches {
            for family in FAMILIES.iter().filter(|family| family.name == name) {
                (family.switch)(&mut config.sensors).turn(*on);
            }
        }
        config
    }
}

fn switches(matches: &ArgMatches) -> Vec<(String, bool)> {
    let said = |prefix: &str, name: &str| {
        matches
            .try_get_one::<bool>(&format!("{prefix}{name}"))
            .ok()
            .flatten()
            == Some(&true)
    };
    let mut switches = Vec::new();
    for family in FAMILIES {
        if said("sensor.", family.name) {
            switches.push((family.name.to_owned(), true));
        }
        if said("no-sensor.", family.name) {
            switches.push((family.name.to_owned(), false));
        }
    }
    switches
}

/// Puts a flag's value, where it was given, in the place of a key's.
fn put<T: Clone>(flag: &Option<T>, key: &mut T) {
    if let Some(value) = flag {
        *key = value.clone();
    }
}

impl Flags {
    fn change(&self, config: &mut Config) {
        if !self.listen_address.is_empty() {
            config.web.listen_address.clone_from(&self.listen_address);
        }
        put(&self.telemetry_path, &mut config.web.telemetry_path);
        put(&self.max_requests, &mut config.web.max_requests);
        put(&self.sysfs, &mut config.path.sysfs);
        put(&self.procfs, &mut config.path.procfs);
        put(&self.meter, &mut config.node.meter);
        put(&self.interval, &mut config.sensors.interval);
        put(&self.nvml_library, &mut config.sensors.nvml.library);
        put(&self.log_level, &mut config.log.level);
        put(&self.log_format, &mut config.log.format);
        put(
            &self.web_config.clone().map(Some),
            &mut config.web.config_file,
        );
        put(&self.state.clone().map(Some), &mut config.state.directory);
        put(&self.node_name.clone().map(Some), &mut config.node.name);
        if let Some(pue) = self.pue {
            config.node.pue = Some(PueOf::Fixed(pue));
            config.node.pue_fallback = None;
        }
        if self.zone.is_some() {
            config.grid.zone.clone_from(&self.zone);
            config.grid.cloud = None;
            config.grid.zone_map = None;
            config.grid.intensity = None;
        }
        put(&self.intensity.map(Some), &mut config.grid.intensity);
        config.web.systemd_socket |= self.systemd_socket;
        config.demo |= self.demo;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(args: &[&str]) -> Config {
        let args = ["gramwatt"].iter().chain(args).map(Into::into);
        Cli::read(args).unwrap().config().unwrap()
    }

    #[test]
    fn clap_finds_nothing_wrong() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_mean_what_keys_mean() {
        let flags = config(&[
            "--grid.zone=FR",
            "--node.pue=1.2",
            "--node.meter=psys",
            "--sensors.interval=2s",
            "--no-sensor.rapl",
            "--web.listen-address=[::1]:0",
            "--log.format=json",
        ]);
        let keys = Config::parse(
            "grid: {zone: FR}\nnode: {pue: 1.2, meter: psys}\nlog: {format: json}\n\
             sensors: {interval: 2s, rapl: {enabled: false}}\nweb: {listen_address: ['[::1]:0']}\n",
        );
        assert_eq!(flags, keys.unwrap());
    }

    #[test]
    fn the_zone_of_a_flag_goes_before_all_that_the_file_says_of_the_grid() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("gramwatt.yml");
        let file = format!("--config.file={}", path.display());
        for text in [
            "grid: {intensity: 380, market: {intensity: 1}}",
            "grid: {cloud: {provider: aws, region: eu-central-1}, market: {intensity: 1}}",
        ] {
            std::fs::write(&path, text).unwrap();
            let grid = config(&[&file, "--grid.zone=FR"]).grid;
            assert_eq!(grid.zone.as_deref(), Some("FR"));
            assert_eq!((grid.cloud, grid.intensity), (None, None), "{text}");
            assert!(grid.market.is_some());
            let grid = config(&[&file, "--grid.zone=FR", "--grid.intensity=50"]).grid;
            assert_eq!(grid.intensity, Intensity::try_from(50.0).ok());
        }
    }

    #[test]
    fn the_later_switch_wins() {
        assert!(
            config(&["--no-sensor.rapl", "--sensor.rapl"])
                .sensors
                .rapl
                .enabled
        );
        assert!(
            !config(&["--sensor.rapl", "--no-sensor.rapl"])
                .sensors
                .rapl
                .enabled
        );
    }

    #[test]
    fn bad_values_are_refused_with_a_reason() {
        for (arg, reason) in [
            ("--node.pue=0.5", "at least 1"),
            ("--grid.intensity=-1", "0 to 2000"),
            ("--node.meter=wall", "expected one of"),
            ("--log.level=loud", "expected one of"),
            ("--sensors.interval=1h", "100ms to 1m"),
        ] {
            let error = Cli::read(["gramwatt", arg].map(Into::into))
                .unwrap_err()
                .to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
