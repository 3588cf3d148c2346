//! `sensors.command`: which programs, how often, and for how long.

use crate::sensor::Listed;
use crate::units::Watts;
use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// `sensors.command`: the programs, none of which is run where there are none.
pub type Config = Listed<Program>;

/// One program.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "Entry")]
#[schemars(with = "Entry")]
pub struct Program(Entry);

/// One program, as it is written.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// The sensor is called `command-` and this: 1 to 32 small letters, digits and `-`; unique.
    name: String,
    /// The program, by its whole path. It is run without a shell, with the rights of gramwatt.
    program: PathBuf,
    /// Its arguments, each as it stands; `{node}` is the node's name. They are no place for a secret: any
    /// user of the machine can read them while it runs.
    #[serde(default)]
    arguments: Vec<String>,
    /// What the third column of its output is where no header says it: `watts` (the default) or `joules`,
    /// a counter that only rises.
    #[serde(default)]
    unit: Unit,
    /// How often it is run, 1s to 10m; 10s by default.
    #[serde(default)]
    interval: Interval,
    /// After how long it is killed, 100ms and more, less than `interval`; 5s by default, or half of
    /// `interval` where that is less.
    #[serde(default)]
    timeout: Option<Timeout>,
    /// Variables that it is given besides `PATH` and `LANG`, as all others are taken away; `{node}` is the
    /// node's name. No place for a secret: name a file.
    #[serde(default)]
    environment: BTreeMap<String, String>,
    /// The most that one of its devices can draw, in watts, 1 to 100000; 3000 by default. More is refused
    /// as a fault.
    #[serde(default)]
    ceiling_watts: Ceiling,
}

/// What a program's numbers are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Power, to be integrated.
    #[default]
    Watts,
    /// A counter of energy.
    Joules,
}

/// Longest time-out where none is given.
const TIMEOUT: Duration = Duration::from_secs(5);

impl Program {
    /// The sensor's name.
    pub(super) fn sensor(&self) -> String {
        format!("command-{}", self.0.name)
    }
    pub(super) fn program(&self) -> &Path {
        &self.0.program
    }
    pub(super) fn arguments(&self) -> &[String] {
        &self.0.arguments
    }
    pub(super) fn environment(&self) -> &BTreeMap<String, String> {
        &self.0.environment
    }
    pub(super) fn unit(&self) -> Unit {
        self.0.unit
    }
    pub(super) fn interval(&self) -> Duration {
        self.0.interval.0
    }
    pub(super) fn timeout(&self) -> Duration {
        match self.0.timeout {
            Some(timeout) => timeout.0,
            None => TIMEOUT.min(self.interval() / 2),
        }
    }
    pub(super) fn ceiling(&self) -> Watts {
        Watts(self.0.ceiling_watts.0)
    }
}

/// Longest name: it is a label's value, and the name of a thread.
const LONGEST_NAME: usize = 32;

/// Most arguments, and most variables.
const MOST_WORDS: usize = 256;

impl TryFrom<Entry> for Program {
    type Error = String;

    fn try_from(entry: Entry) -> Result<Self, String> {
        let name = &entry.name;
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if !(1..=LONGEST_NAME).contains(&name.len()) || !name.chars().all(fits) {
            return Err(format!(
                "{name:?} is no name: 1 to {LONGEST_NAME} small letters, digits and -, such as gaudi"
            ));
        }
        let path = &entry.program;
        if !path.is_absolute() {
            return Err(format!(
                "{name}: program {}: give the whole path, such as /usr/local/bin/{name}: it is run without a \
                 shell, and looked for nowhere",
                path.display()
            ));
        }
        let program = path.to_string_lossy();
        let variables = entry.environment.iter().flat_map(|(key, value)| [key, value]);
        let words = entry.arguments.iter().chain(variables).map(String::as_str);
        if words.chain([&*program]).any(|word| word.contains('\0')) {
            return Err(format!("{name}: a NUL character can be in no word of a command"));
        }
        let most = entry.arguments.len().max(entry.environment.len());
        if most > MOST_WORDS {
            return Err(format!("{name}: more than {MOST_WORDS} words: write a script that has them"));
        }
        let is_wrong = |key: &&String| key.is_empty() || key.contains('=');
        if let Some(key) = entry.environment.keys().find(is_wrong) {
            return Err(format!("{name}: environment: {key:?} is no name of a variable"));
        }
        if let Some(timeout) = entry.timeout
            && timeout.0 >= entry.interval.0
        {
            return Err(format!(
                "{name}: timeout {} must be less than interval {}: give less to the one or more to the other",
                text(timeout.0),
                text(entry.interval.0)
            ));
        }
        Ok(Self(entry))
    }
}

/// Reads the list of programs, each of which must have a name of its own.
///
/// # Errors
/// Where an entry is wrong, or a name is there twice.
pub fn named_once<'de, D: Deserializer<'de>>(from: D) -> Result<Config, D::Error> {
    let list = Config::deserialize(from)?;
    let mut names = BTreeSet::new();
    match list.0.iter().find(|program| !names.insert(&program.0.name)) {
        Some(program) => Err(serde::de::Error::custom(format!(
            "command: two programs are named {}: give each a name of its own",
            program.0.name
        ))),
        None => Ok(list),
    }
}

/// How often, 1 second to 10 minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
struct Interval(Duration);

impl Default for Interval {
    fn default() -> Self {
        Self(Duration::from_secs(10))
    }
}

impl TryFrom<String> for Interval {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        span(&text, Duration::from_secs(1), Duration::from_secs(600))
            .map(Self)
            .ok_or_else(|| format!("{text:?} is no interval of a program: 1s to 10m, such as 10s"))
    }
}

impl From<Interval> for String {
    fn from(interval: Interval) -> Self {
        text(interval.0)
    }
}

/// How long, 100 milliseconds to 10 minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
struct Timeout(Duration);

impl TryFrom<String> for Timeout {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        span(&text, Duration::from_millis(100), Duration::from_secs(600))
            .map(Self)
            .ok_or_else(|| format!("{text:?} is no time-out: 100ms and more, such as 5s"))
    }
}

impl From<Timeout> for String {
    fn from(timeout: Timeout) -> Self {
        text(timeout.0)
    }
}

/// The most that a device can draw, in watts.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "f64")]
#[schemars(with = "f64")]
struct Ceiling(f64);

impl Default for Ceiling {
    fn default() -> Self {
        Self(3000.0)
    }
}

impl TryFrom<f64> for Ceiling {
    type Error = String;
    fn try_from(watts: f64) -> Result<Self, String> {
        if (1.0..=100_000.0).contains(&watts) {
            return Ok(Self(watts));
        }
        Err(format!("{watts} is no ceiling in watts: 1 to 100000, such as 3000"))
    }
}

fn span(text: &str, shortest: Duration, longest: Duration) -> Option<Duration> {
    let span: SignedDuration = text.parse().ok()?;
    let span = Duration::try_from(span).ok()?;
    (shortest..=longest).contains(&span).then_some(span)
}

fn text(span: Duration) -> String {
    format!("{:#}", SignedDuration::try_from(span).unwrap_or_default())
}
