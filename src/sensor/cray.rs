//! HPE Cray EX: the power-management counters that the node controller shows to its node, in
//! `/sys/cray/pm_counters`.
//!
//! Files are `NUMBER UNIT MICROSECONDS us`: `power` in watts and `energy` in joules since the controller's
//! start, of the node as a whole, accelerators included; `cpu_`, `memory_` and `accelN_` before these are parts
//! of it (Cray-HPE/docs-csm, User Access to Compute Node Power Data). The node is booked by its energy, or by
//! its power where there is no energy.
//!
//! **The parts are meters, never devices.** `cpu` is all sockets together, `memory` all memory, `accelN` a
//! module, which on some blades holds a processor, too; and each is what RAPL, the GPU's driver or the model
//! book device by device. So they are shown and never summed.
//!
//! **Freshness.** `freshness` counts the controller's scans, 10 in a second. While it stands still, all other
//! files repeat what they said: they are not read, since a counter that does not move would be told as 0 W.
//! A few such reads are a fault; the watts vanish, and the energy comes with the first scan that follows.
//!
//! **Restarts.** A controller that restarts (`startup` changes) counts from 0 again, which the ledger takes for
//! the restart that it is. `generation` changes with each power cap, and has nothing to do with energy.

mod discovery;
mod text;

pub use discovery::discover;
pub use text::{Unit, parse};

use super::sysfs::{self, Attribute};
use super::{
    About, Cause, Fault, MeterClass, Part, Reading, Readings, Scope, Sensor, Source, Enabled, Value,
};
use crate::units::Watts;
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

/// One line for `doctor` and the reference.
pub const SUMMARY: &str =
    "HPE Cray EX power counters of node, processors, memory and accelerators, from pm_counters";

/// `sensors.cray`.
pub type Config = Enabled;

/// Reads between two looks at the directory, for files that are new.
const READS_PER_SCAN: u32 = 30;

/// Reads in a row without a new scan of the controller that are a fault. A read may come sooner than the
/// next scan, but not so many in a row.
const STALE_READS: u32 = 5;

/// Most counters that are kept: a blade has some ten.
const MOST_COUNTERS: usize = 64;

/// The most that is believed of a node or a part of one. A blade's node draws up to some 5 kW.
const CEILING: Watts = Watts(20_000.0);

/// All counters of the node.
struct Cray {
    directory: PathBuf,
    /// By the part's name in the file's: empty for the node.
    counters: BTreeMap<String, Counter>,
    freshness: Freshness,
    /// What is wrong with the directory.
    odd: Vec<Fault>,
    /// Reads since the last scan.
    reads: u32,
}

/// One file, and what it measures.
#[derive(Debug)]
struct Counter {
    file: Attribute,
    unit: Unit,
    source: Arc<Source>,
}

/// Whether the controller scans.
#[derive(Debug)]
struct Freshness {
    file: Attribute,
    last: Option<u64>,
    /// Reads in a row in which it stood still.
    still: u32,
}

impl Sensor for Cray {
    fn name(&self) -> &'static str {
        "cray"
    }

    fn read(&mut self) -> Readings {
        if self.reads >= READS_PER_SCAN {
            self.scan();
        }
        self.reads += 1;
        let mut readings = Readings {
            good: Vec::with_capacity(self.counters.len()),
            // At every read, or they would seem to be mended between two looks.
            bad: self.odd.clone(),
        };
        match self.freshness.is_new() {
            Ok(true) => {}
            Ok(false) => {
                if self.freshness.still >= STALE_READS {
                    readings.bad.push(self.freshness.fault());
                }
                return readings;
            }
            // Some controllers may have none; what it would tell is then not known.
            Err(fault) if fault.reason() == "vanished" => {}
            Err(fault) => readings.bad.push(explain(fault)),
        }
        for counter in self.counters.values_mut() {
            match counter.read() {
                Ok(reading) => readings.good.push(reading),
                Err(fault) => readings.bad.push(explain(fault)),
            }
        }
        readings
    }
}

impl Cray {
    fn new(directory: PathBuf) -> Self {
        let freshness = Freshness {
            file: Attribute::new(directory.join("freshness")),
            last: None,
            still: 0,
        };
        let mut cray = Self {
            directory,
            counters: BTreeMap::new(),
            freshness,
            odd: Vec::new(),
            reads: 0,
        };
        cray.scan();
        cray
    }

    /// Looks for files. What was known stays, to fail in sight where it is gone; a part that had power alone
    /// and has got energy is read by that.
    fn scan(&mut self) {
        self.reads = 0;
        let listing = match sysfs::list(&self.directory) {
            Ok(listing) => listing,
            // Each of its files says so.
            Err(fault) if fault.reason() == "vanished" && !self.counters.is_empty() => return,
            Err(fault) => {
                self.odd = vec![explain(fault)];
                return;
            }
        };
        self.odd = listing.bad;
        let found: BTreeSet<(&str, Unit)> =
            listing.names.iter().filter_map(|name| text::split(name)).collect();
        for (part, unit) in found {
            let is_better = match self.counters.get(part) {
                Some(known) => known.unit < unit,
                None => self.counters.len() < MOST_COUNTERS,
            };
            if is_better {
                let counter = Counter::new(&self.directory, part, unit);
                self.counters.insert(part.to_owned(), counter);
            }
        }
    }
}

impl Counter {
    fn new(directory: &std::path::Path, part: &str, unit: Unit) -> Self {
        let id = if part.is_empty() {
            "cray".to_owned()
        } else {
            format!("cray-{part}")
        };
        let source = Source {
            part: Part::Meter {
                id: id.into(),
                scope: scope(part),
            },
            about: About {
                vendor: "HPE".to_owned(),
                driver: "pm_counters".to_owned(),
                ..About::default()
            },
            ceiling: CEILING,
            holds: &[],
        };
        Self {
            file: Attribute::new(directory.join(text::join(part, unit))),
            unit,
            source: Arc::new(source),
        }
    }

    fn read(&mut self) -> Result<Reading, Fault> {
        let text = self.file.read_text()?;
        let count = parse(&text, self.unit)
            .ok_or_else(|| sysfs::unreadable(self.file.path(), text.as_bytes()))?;
        let value = match self.unit {
            Unit::Joules => Value::Counter {
                raw: count,
                unit: 1.0,
                wraps_at: None,
            },
            Unit::Watts => Value::Power(watts(count)),
        };
        Ok(Reading::new(&self.source, value))
    }
}

/// Whole numbers up to 2^53 are exact, and what is above is not believed anyway.
#[allow(clippy::cast_precision_loss)]
fn watts(count: u64) -> Watts {
    Watts(count as f64)
}

/// What a part's counters cover. What nobody has told us of is shown all the same.
fn scope(part: &str) -> Scope {
    match part.trim_end_matches(|c: char| c.is_ascii_digit()) {
        "" if part.is_empty() => Scope::Node(MeterClass::Cray),
        "cpu" | "memory" if !part.ends_with(|c: char| c.is_ascii_digit()) => Scope::Group,
        "cpu" | "memory" | "accel" => Scope::Module,
        _ => Scope::Unknown,
    }
}

impl Freshness {
    /// Whether there was a scan since the last read.
    fn is_new(&mut self) -> Result<bool, Fault> {
        let now = self.file.read_text().and_then(|text| {
            let first = text.split_whitespace().next().and_then(|word| word.parse().ok());
            first.ok_or_else(|| sysfs::unreadable(self.file.path(), text.as_bytes()))
        });
        let now = now.inspect_err(|_| {
            self.last = None;
            self.still = 0;
        })?;
        let is_new = self.last != Some(now);
        self.last = Some(now);
        self.still = if is_new { 0 } else { self.still.saturating_add(1) };
        Ok(is_new)
    }

    fn fault(&self) -> Fault {
        Fault {
            place: self.file.path().display().to_string(),
            cause: Cause::Device(format!(
                "no new scan over {STALE_READS} reads and more: its counters stand still"
            )),
            mend: "the node controller does not scan: look at its state and log, and restart it if it hangs; \
                   nothing is lost when it goes on counting"
                .to_owned(),
        }
    }
}

/// Adds what a person can do about it.
fn explain(fault: Fault) -> Fault {
    let mend = match &fault.cause {
        Cause::Io(error) if error.kind() == ErrorKind::PermissionDenied => {
            "run as root, or grant CAP_DAC_READ_SEARCH; in a container run as uid 0 and mount the host's \
             /sys at /host/sys (--path.sysfs=/host/sys)"
        }
        Cause::Io(error) if error.kind() == ErrorKind::NotFound => {
            "the counter vanished: see whether the node controller is up and its kernel module is loaded, or \
             restart gramwatt to forget it"
        }
        Cause::Io(_) => "the node controller did not answer: see dmesg, and its own log",
        Cause::Parse(_) => {
            "it should read NUMBER W or J, as in 85 W 1700061089722572 us; report what it reads to who keeps \
             the system's software"
        }
        Cause::Device(_) => return fault,
    };
    Fault {
        mend: mend.to_owned(),
        ..fault
    }
}

#[cfg(test)]
mod tests;
