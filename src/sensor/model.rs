//! Power modelled from rated power and load, where a package or its memory has no sensor: virtual
//! machines, old boards, no permission. Nothing here is measured.
//!
//! The model reads every package and its memory all the time; the engine books a device from the most
//! trusted family that reads it, so the model counts where no other does. [`formula`] has the formula
//! and the sources of its constants.

pub mod formula;
mod machine;
pub mod stat;

pub use super::cpuinfo;

use super::{Cause, Discovery, Fault, Finding, Presence, Readings, Roots, Sensor, Switch};
use crate::data::rated_power;
use cpuinfo::CpuInfo;
use machine::{Facts, Machine, packages};
use rustix::fs::{Mode, OFlags};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::Error};
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// One line for `doctor` and the reference.
pub const SUMMARY: &str =
    "Power modelled from rated power and load, where a CPU package or its memory has no sensor";

/// `sensors.model`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether the family is used.
    pub enabled: bool,
    /// Rated power of each CPU package in watts, above 0 and up to 2000. Unset: the bundled table, or
    /// 3.5 W for each logical CPU where the table does not have the model.
    #[serde(deserialize_with = "cpu_watts")]
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 2000))]
    pub cpu_watts: Option<f64>,
    /// Power of memory in watts for each GiB, above 0 and up to 20. Unset: 0.392.
    #[serde(deserialize_with = "dram_watts_per_gib")]
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 20))]
    pub dram_watts_per_gib: Option<f64>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            cpu_watts: None,
            dram_watts_per_gib: None,
        }
    }
}

impl Switch for Config {
    fn is_on(&self) -> bool {
        self.enabled
    }
    fn turn(&mut self, on: bool) {
        self.enabled = on;
    }
}

fn cpu_watts<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    positive(from, "cpu_watts", "watts for each CPU package", 2000.0)
}

fn dram_watts_per_gib<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    positive(from, "dram_watts_per_gib", "watts for each GiB", 20.0)
}

fn positive<'de, D: Deserializer<'de>>(
    from: D,
    key: &str,
    unit: &str,
    most: f64,
) -> Result<Option<f64>, D::Error> {
    match Option::<f64>::deserialize(from)? {
        // A comparison with NaN is false, so that NaN is refused too.
        Some(value) if !(value > 0.0 && value <= most) => Err(D::Error::custom(format!(
            "{key} is {value}; it must be above 0 and at most {most} {unit}"
        ))),
        good => Ok(good),
    }
}

/// Looks at the machine.
pub fn discover(roots: &Roots, config: &Config) -> Discovery {
    let mut model = Model::new(roots.clone(), config.clone());
    let mut findings = Vec::new();
    let (memory, memory_fault) = model.memory();
    match model.stat.read() {
        Ok(text) => {
            let cpus = stat::cpus(text).map(|(number, _)| number).collect();
            model.machine = Machine::new(survey(roots, cpus, memory), config);
            findings.push(Finding {
                subject: "CPU packages".into(),
                state: Presence::Found,
                detail: model.machine.describe_cpus(),
                mend: if model.machine.guesses() {
                    "for a better model set sensors.model.cpu_watts to the rated power of a package".into()
                } else {
                    String::new()
                },
            });
        }
        Err(fault) => findings.push(unreadable("CPU packages", &fault)),
    }
    if let Some(fault) = memory_fault {
        findings.push(unreadable("memory", &fault));
    } else if let Some(detail) = model.machine.describe_dram(config) {
        findings.push(Finding {
            subject: "memory".into(),
            state: Presence::Found,
            detail,
            mend: String::new(),
        });
    }
    Discovery {
        sensors: vec![Box::new(model)],
        findings,
    }
}

fn unreadable(subject: &str, fault: &Fault) -> Finding {
    Finding {
        subject: subject.into(),
        state: Presence::Unreadable,
        detail: fault.to_string(),
        mend: fault.mend.clone(),
    }
}

struct Model {
    roots: Roots,
    config: Config,
    stat: Reread,
    meminfo: Reread,
    machine: Machine,
    /// Whether a reading went before. Without one there is no load, and to show the memory alone would
    /// show a node of a few watts.
    started: bool,
}

impl Model {
    fn new(roots: Roots, config: Config) -> Self {
        Self {
            stat: Reread::new(roots.proc.join("stat")),
            meminfo: Reread::new(roots.proc.join("meminfo")),
            roots,
            config,
            machine: Machine::default(),
            started: false,
        }
    }

    fn memory(&mut self) -> (Option<u64>, Option<Fault>) {
        let text = match self.meminfo.read() {
            Ok(text) => String::from_utf8_lossy(text),
            Err(fault) => return (None, Some(fault)),
        };
        match cpuinfo::memory(&text) {
            Some(bytes) => (Some(bytes), None),
            None => {
                let cause = garbled(&text);
                (None, Some(self.meminfo.fault(cause)))
            }
        }
    }

    /// Reads the ticks, and looks at the machine anew where its CPUs or its memory have changed.
    fn refresh(&mut self, memory: Option<u64>) -> Result<(), Fault> {
        let text = self.stat.read()?;
        let numbers = || stat::cpus(text).map(|(number, _)| number);
        if numbers().next().is_none() {
            let cause = garbled(&String::from_utf8_lossy(text));
            return Err(self.stat.fault(cause));
        }
        if !self.machine.has(numbers()) || self.machine.facts.memory != memory {
            let facts = survey(&self.roots, numbers().collect(), memory);
            let mut machine = Machine::new(facts, &self.config);
            machine.continue_from(&self.machine);
            self.machine = machine;
        }
        self.machine.record(stat::cpus(text).map(|(_, ticks)| ticks));
        Ok(())
    }
}

impl Sensor for Model {
    fn name(&self) -> &'static str {
        "model"
    }

    fn read(&mut self) -> Readings {
        let mut readings = Readings::default();
        let (memory, fault) = self.memory();
        readings.bad.extend(fault);
        let refreshed = self.refresh(memory);
        if std::mem::replace(&mut self.started, true) {
            if refreshed.is_ok() {
                readings.good.extend(self.machine.cpu_readings());
            }
            if memory.is_some() {
                readings.good.extend(self.machine.dram_readings());
            }
        }
        readings.bad.extend(refreshed.err());
        readings
    }
}

/// Reads what does not change from second to second. A file that is missing leaves its part unknown:
/// the model then falls back, and `doctor` says so.
fn survey(roots: &Roots, cpus: Vec<u32>, memory: Option<u64>) -> Facts {
    let text = short(&roots.proc.join("cpuinfo")).unwrap_or_default();
    let info = CpuInfo::parse(&text);
    let topology = |cpu: u32| {
        let path = format!("devices/system/cpu/cpu{cpu}/topology/physical_package_id");
        short(&roots.sys.join(path)).ok()?.trim().parse().ok()
    };
    Facts {
        packages: packages(&cpus, &info, topology),
        cpus,
        // ARM's cpuinfo does not tell; Xen does, in sysfs.
        virtual_: info.hypervisor || roots.sys.join("hypervisor/type").exists(),
        memory,
        row: rated_power(&info.model),
        info,
    }
}

/// The most that is read of any file; `/proc/cpuinfo` of 1024 CPUs has about 2 MB.
const LIMIT: usize = 8 << 20;

/// Opens without waiting: a pipe in the place of a file would else hold its reader for ever.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}

fn short(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    open(path)?
        .take(LIMIT as u64)
        .read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The start of what could not be understood.
fn garbled(text: &str) -> Cause {
    Cause::Parse(text.chars().take(60).collect())
}

/// A file that stays open and is read again and again from its start, into a buffer that is kept.
struct Reread {
    path: PathBuf,
    file: Option<File>,
    buffer: Vec<u8>,
}

impl Reread {
    fn new(path: PathBuf) -> Self {
        Self {
            path,
            file: None,
            buffer: Vec::new(),
        }
    }

    fn read(&mut self) -> Result<&[u8], Fault> {
        match self.fill() {
            Ok(filled) => Ok(self.buffer.get(..filled).unwrap_or_default()),
            Err(error) => {
                // To be opened anew: what stood there may have been replaced.
                self.file = None;
                Err(self.fault(error.into()))
            }
        }
    }

    fn fill(&mut self) -> io::Result<usize> {
        let file = match self.file.take().filter(is_current) {
            Some(file) => file,
            None => open(&self.path)?,
        };
        let file = self.file.insert(file);
        let mut filled = 0;
        loop {
            if filled == self.buffer.len() {
                if filled == LIMIT {
                    // Its last line may be cut.
                    let end = self.buffer.iter().rposition(|b| *b == b'\n');
                    return Ok(end.unwrap_or(0));
                }
                self.buffer.resize((2 * filled).clamp(16 << 10, LIMIT), 0);
            }
            let rest = self.buffer.get_mut(filled..).unwrap_or_default();
            match file.read_at(rest, filled as u64) {
                Ok(0) => return Ok(filled),
                Ok(read) => filled += read,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    fn fault(&self, cause: Cause) -> Fault {
        Fault {
            place: self.path.display().to_string(),
            cause,
            mend: "give the host's /proc with --path.procfs, readable by this user, \
                   or switch the model off with --no-sensor.model"
                .into(),
        }
    }
}

/// Whether a file still has a name: one that was replaced by another can be read for ever.
fn is_current(file: &File) -> bool {
    file.metadata().is_ok_and(|now| now.nlink() > 0)
}

#[cfg(test)]
mod tests;
