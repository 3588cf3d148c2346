//! One sensor of a chip: what is known of it, and how it is read.

use crate::sensor::sysfs::{self, Attribute};
use crate::sensor::{Fault, Value};
use crate::units::Watts;
use std::fmt;
use std::path::{Path, PathBuf};

/// Joules or watts for each microjoule or microwatt (Documentation/hwmon/sysfs-interface.rst).
const MICRO: f64 = 1e-6;

/// A sensor's place on its chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Channel {
    /// `energyN_input`.
    Energy(u32),
    /// `powerN_average` or `powerN_input`.
    Power(u32),
    /// `inN_input` x `currN_input`.
    Rail(u32),
}

impl Channel {
    /// The channel that a file belongs to; `None` for a file that holds no energy or power.
    pub(super) fn of(file: &str) -> Option<Self> {
        let (channel, what) = file.split_once('_')?;
        let number = |start: &str| channel.strip_prefix(start)?.parse().ok();
        match what {
            "input" if channel.starts_with("energy") => number("energy").map(Self::Energy),
            "input" | "average" if channel.starts_with("power") => number("power").map(Self::Power),
            _ => None,
        }
    }

    /// Its number on the chip.
    pub(super) fn number(self) -> u32 {
        match self {
            Self::Energy(n) | Self::Power(n) | Self::Rail(n) => n,
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Energy(n) => write!(f, "energy{n}"),
            Self::Power(n) => write!(f, "power{n}"),
            Self::Rail(n) => write!(f, "in{n}"),
        }
    }
}

/// What a sensor is known by; the same after a renumbering of `hwmonN` and after a reboot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    /// The chip's name.
    pub chip: String,
    /// Path of its device, or a number where it has none.
    pub device: String,
    /// Which of its sensors.
    pub channel: Channel,
}

/// What is known of a sensor.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Facts {
    pub key: Key,
    /// Last part of its device's path; empty where it has none.
    pub tail: String,
    /// Its label or OEM information.
    pub text: Option<String>,
    /// The directory that holds its files.
    pub directory: PathBuf,
    /// The limit in force on its power.
    pub limit: Option<Watts>,
}

/// How a sensor is read.
#[derive(Debug)]
pub(super) enum Input {
    Energy(Attribute),
    Power(Attribute),
    Rail { volts: Attribute, amperes: Attribute },
}

impl Input {
    /// The files of a channel. A mean over the chip's interval is better than a moment.
    pub(super) fn new(directory: &Path, channel: Channel) -> Self {
        let file = |name: String| Attribute::new(directory.join(name));
        match channel {
            Channel::Energy(n) => Self::Energy(file(format!("energy{n}_input"))),
            Channel::Power(n) => {
                let mut average = file(format!("power{n}_average"));
                let moment = file(format!("power{n}_input"));
                let fails = average.read_i64().is_err();
                Self::Power(if fails && moment.path().exists() { moment } else { average })
            }
            Channel::Rail(n) => Self::Rail {
                volts: file(format!("in{n}_input")),
                amperes: file(format!("curr{n}_input")),
            },
        }
    }

    /// The first of its files.
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Energy(file) | Self::Power(file) | Self::Rail { volts: file, .. } => file.path(),
        }
    }

    /// Reads it.
    ///
    /// # Errors
    /// Where a file cannot be read or is no number, and where power is negative: no part that is read
    /// here gives any back.
    pub(super) fn read(&mut self) -> Result<Value, Fault> {
        match self {
            Self::Energy(counter) => Ok(Value::Counter {
                raw: counter.read_u64()?,
                unit: MICRO,
                wraps_at: None,
            }),
            Self::Power(power) => Ok(watts(positive(power)? * MICRO)),
            Self::Rail { volts, amperes } => {
                // mV x mA is µW.
                Ok(watts(positive(volts)? * positive(amperes)? * MICRO))
            }
        }
    }
}

fn watts(watts: f64) -> Value {
    Value::Power(Watts(watts))
}

/// Whole numbers up to 2^53 are exact, which is 9 GW.
#[allow(clippy::cast_precision_loss)]
fn positive(file: &mut Attribute) -> Result<f64, Fault> {
    let number = file.read_i64()?;
    if number < 0 {
        return Err(sysfs::unreadable(file.path(), number.to_string().as_bytes()));
    }
    Ok(number as f64)
}
