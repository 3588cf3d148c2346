//! Sensors: one file per family of hardware, each turning what the kernel or a library shows into
//! [`Readings`].
//!
//! A new family is one file here, one line in [`families!`](self) below and one fixture machine.

use crate::config::Interval;
use crate::units::Watts;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub mod cpuinfo;
mod fault;
mod switch;
pub mod sysfs;

pub use fault::{Cause, Fault, IMPLAUSIBLE, REASONS};
pub use switch::{Enabled, Listed, Switch};

/// What a family is told of the machine: where the kernel's file systems are found (a container mounts
/// the host's elsewhere, a test gives a fixture tree), and what the machine is called.
#[derive(Clone, Debug)]
pub struct Roots {
    /// `/sys`, or what stands for it.
    pub sys: PathBuf,
    /// `/proc`, or what stands for it.
    pub proc: PathBuf,
    /// The node's name, so that many nodes can share one configuration; empty where nobody knows.
    pub node: Arc<str>,
}

impl Roots {
    /// A text of the configuration with the node's name for each `{node}`.
    #[must_use]
    pub fn named(&self, text: &str) -> String {
        text.replace("{node}", &self.node)
    }
}

/// What a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A graphics or machine-learning accelerator, memory included.
    Gpu,
    /// A processor package.
    Cpu,
    /// A memory domain.
    Dram,
    /// A rail that feeds several parts of a system on chip.
    Soc,
    /// What the wall meter sees beyond all devices: fans, disks, boards, conversion losses.
    Other,
}

impl Kind {
    /// The value of the `kind` label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Gpu => "gpu",
            Self::Cpu => "cpu",
            Self::Dram => "dram",
            Self::Soc => "soc",
            Self::Other => "other",
        }
    }
}

/// A kind of whole-node meter, in order of trust: the first that is there sets the node's total.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MeterClass {
    /// An outlet of a power distribution unit.
    Pdu,
    /// The input side of the power supplies.
    Psu,
    /// What the baseboard management controller says (Redfish, IPMI).
    Bmc,
    /// Cray's node meter.
    Cray,
    /// The ACPI power meter.
    Acpi,
    /// The input rail of a board.
    Board,
    /// RAPL's platform domain.
    Psys,
}

impl MeterClass {
    /// All classes, most trusted first.
    pub const ALL: [Self; 7] = [
        Self::Pdu,
        Self::Psu,
        Self::Bmc,
        Self::Cray,
        Self::Acpi,
        Self::Board,
        Self::Psys,
    ];
    /// The class's name in the configuration and on the page.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Pdu => "pdu",
            Self::Psu => "psu",
            Self::Bmc => "bmc",
            Self::Cray => "cray",
            Self::Acpi => "acpi",
            Self::Board => "board",
            Self::Psys => "psys",
        }
    }
}

/// What a meter covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// The whole node (or, where there are several meters of the class, its share of it).
    Node(MeterClass),
    /// A processor module with whatever is soldered to it.
    Module,
    /// One supply rail of a board.
    Rail,
    /// All devices of one kind together.
    Group,
    /// Nobody has told us.
    Unknown,
}

impl Scope {
    /// The value of the `scope` label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Node(_) => "node",
            Self::Module => "module",
            Self::Rail => "rail",
            Self::Group => "group",
            Self::Unknown => "unknown",
        }
    }
}

/// The thing a reading is about. Devices never overlap one another; domains lie inside a device;
/// meters overlap devices. The books key on it, so it must be stable across reboots and reorderings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// A part that draws power and overlaps no other device.
    Device {
        /// Such as `package-0`, `dram-0` or a GPU's UUID.
        id: Arc<str>,
        /// What it is.
        kind: Kind,
    },
    /// A part inside a device, shown and never summed with devices.
    Domain {
        /// The device that it is inside of.
        device: Arc<str>,
        /// Such as `core` or `uncore`.
        domain: Arc<str>,
    },
    /// A sensor that overlaps devices.
    Meter {
        /// Such as `psys` or `acpi-0`.
        id: Arc<str>,
        /// What it covers.
        scope: Scope,
    },
}

impl Part {
    /// Whether two devices are the same hardware under the names of two families: RAPL reads a package
    /// of several dies die by die (`package-0-die-1`), where a family that sees sockets reads
    /// `package-0`.
    ///
    /// A device's id is its own, whatever kind each family takes it for.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let (Self::Device { id: a, kind: k }, Self::Device { id: b, kind: l }) = (self, other)
        else {
            return self == other;
        };
        let is_die = |of: &str, id: &str| {
            id.strip_prefix(of)
                .is_some_and(|rest| rest.starts_with("-die-"))
        };
        a == b || (k == l && (is_die(a, b) || is_die(b, a)))
    }

    /// The kind of a device; `None` for what is no device.
    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        match self {
            Self::Device { kind, .. } => Some(*kind),
            _ => None,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device { id, .. } => write!(f, "{id}"),
            Self::Domain { device, domain } => write!(f, "{device}/{domain}"),
            Self::Meter { id, .. } => write!(f, "meter {id}"),
        }
    }
}

/// What a part is made of, for its `_info` series; empty where unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Manufacturer.
    pub vendor: String,
    /// Marketing name, looked up in the bundled tables.
    pub model: String,
    /// The hardware's own identity.
    pub uuid: String,
    /// `0000:3b:00.0` as sysfs writes it.
    pub pci_bus_id: String,
    /// Driver name and version.
    pub driver: String,
    /// Capacity of a memory device in bytes: what memory took to make goes by its size.
    pub memory_bytes: Option<u64>,
    /// A piece of a part, not a part as it is sold: a guest's share of a processor, a rail of a board.
    /// What the tables know of whole parts does not hold for it.
    pub is_piece: bool,
}

/// One thing that a sensor reads again and again. Shared, so that a reading costs no allocation.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// What it measures.
    pub part: Part,
    /// What that is made of.
    pub about: About,
    /// The most this part can plausibly draw. A counter step over it is refused and counted.
    pub ceiling: Watts,
    /// Kinds of device whose power is in this reading already, so that no less trusted family books
    /// them again: a Grace socket holds its memory, a board's rails hold its processor and memory.
    pub holds: &'static [Kind],
}

/// What was read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A cumulative energy counter.
    Counter {
        /// The counter as read.
        raw: u64,
        /// Joules for each count.
        unit: f64,
        /// The counter goes from this value back to 0; `None` for a counter that never wraps.
        wraps_at: Option<u64>,
    },
    /// Power that a sensor measured, to be integrated over time.
    Power(Watts),
    /// Power that no sensor measured: the mean since the last read.
    Modelled(Watts),
}

impl fmt::Display for Value {
    /// For people: what a counter reads, or the power.
    #[allow(clippy::cast_precision_loss)]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Counter { raw, unit, .. } => write!(f, "counts {:.0} J", *raw as f64 * unit),
            Self::Power(watts) => write!(f, "draws {:.1} W", watts.0),
            Self::Modelled(watts) => write!(f, "is taken to draw {:.1} W", watts.0),
        }
    }
}

/// One good reading.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// What it is about.
    pub source: Arc<Source>,
    /// What was read.
    pub value: Value,
    /// Share of the device that was busy, 0 to 1, where the device tells.
    pub utilization: Option<f64>,
    /// The power limit in force, where the device tells.
    pub power_limit: Option<Watts>,
}

impl Reading {
    /// A reading of nothing but energy or power.
    #[must_use]
    pub fn new(source: &Arc<Source>, value: Value) -> Self {
        Self {
            source: Arc::clone(source),
            value,
            utilization: None,
            power_limit: None,
        }
    }

    /// Whether it can be true by itself: power is a number, not negative, and within the part's
    /// ceiling. What a counter reads is judged by its steps.
    #[must_use]
    pub fn is_plausible(&self) -> bool {
        match self.value {
            Value::Counter { .. } => true,
            Value::Power(watts) | Value::Modelled(watts) => {
                (Watts::ZERO..=self.source.ceiling).contains(&watts)
            }
        }
    }
}

/// Good and bad side by side: one bad zone costs one zone.
#[derive(Debug, Default)]
pub struct Readings {
    /// What could be read.
    pub good: Vec<Reading>,
    /// What is there and could not be read.
    pub bad: Vec<Fault>,
}

/// A family's reader. It has a thread of its own, may block, and knows no clock.
pub trait Sensor: Send {
    /// The value of the `sensor` label; unique on the node.
    fn name(&self) -> &str;
    /// Reads everything once.
    fn read(&mut self) -> Readings;
    /// How often it is to be read, where `wanted` is what the configuration says for all: more often
    /// where a counter would wrap (a quarter of the shortest wrap at full power), less often where each
    /// read is dear to what it asks.
    fn pace(&self, wanted: Duration) -> Duration {
        wanted
    }
    /// Why the last read gave neither readings nor faults, where there is more to say than that there is
    /// nothing: `doctor` tells it.
    fn silence(&self) -> Option<&str> {
        None
    }
}

/// What `doctor` found out about one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked for: a zone, a chip, a library.
    pub subject: String,
    /// Whether it is there.
    pub state: Presence,
    /// What was seen, with paths.
    pub detail: String,
    /// The exact mend; empty where nothing needs mending.
    pub mend: String,
}

/// Whether a thing is there and can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// There, and read.
    Found,
    /// Not on this machine: no error.
    Absent,
    /// There, and cannot be read: an error with a mend.
    Unreadable,
    /// Named by the configuration, and far away: not asked before its sensor is read, so that the
    /// program's start waits for nobody. `doctor` asks.
    Unasked,
}

/// What a family finds on a machine.
#[derive(Default)]
pub struct Discovery {
    /// Readers for what is there, even where it cannot be read yet.
    pub sensors: Vec<Box<dyn Sensor>>,
    /// What `doctor` says of it.
    pub findings: Vec<Finding>,
}

/// Declares the families once: their modules, their part of the configuration, and the table that
/// discovery, `doctor` and the command line walk. The order is the order of trust: where two families
/// read one device, the earlier one books it.
macro_rules! families {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        $(pub mod $name;)+

        /// `sensors`: how often is read, and one key for each family.
        #[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
        #[serde(default, deny_unknown_fields)]
        pub struct Sensors {
            /// How often sensors are read, 100ms to 1m; a counter that wraps sooner is read more often.
            pub interval: Interval,
            $($(#[$doc])* pub $name: $name::Config,)+
        }

        /// A family of sensors, as the table below lists it.
        pub struct Family {
            /// `rapl` in `sensors.rapl` and `--no-sensor.rapl`.
            pub name: &'static str,
            /// One line of what it reads.
            pub summary: &'static str,
            /// Its switch.
            pub switch: fn(&mut Sensors) -> &mut dyn Switch,
            /// Looks at the machine.
            pub discover: fn(&Roots, &Sensors) -> Discovery,
        }

        /// Every family, most trusted first.
        pub const FAMILIES: &[Family] = &[
            $(Family {
                name: stringify!($name),
                summary: $name::SUMMARY,
                switch: |f| &mut f.$name,
                discover: |roots, f| $name::discover(roots, &f.$name),
            },)+
        ];
    };
}

families! {
    /// RAPL energy counters of CPU packages and memory, from powercap.
    rapl,
    /// NVIDIA GPUs, through the driver's library (NVML).
    nvml,
    /// AMD GPUs, from the amdgpu driver's files.
    amdgpu,
    /// Power and energy sensors of the kernel's hwmon, through a table of known chips.
    hwmon,
    /// Programs that print what devices draw that nothing else can read; off where none is named.
    #[serde(deserialize_with = "command::named_once")]
    command,
    /// BMCs of this node, asked through Redfish.
    redfish,
    /// The node's power as its BMC tells it, by IPMI DCMI.
    ipmi,
    /// Power distribution units: the outlets that feed this node, by SNMP.
    pdu,
    /// Counters of the node controller of an HPE Cray EX.
    cray,
    /// Power modelled from rated power and load where a package or its memory has no sensor.
    model,
    /// A synthetic two-socket, eight-GPU node, switched on by `--demo` alone.
    #[serde(skip)]
    demo,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_die_overlaps_its_package_and_nothing_else() {
        let device = |id: &str, kind| Part::Device {
            id: id.into(),
            kind,
        };
        let package = device("package-0", Kind::Cpu);
        for (b, overlap) in [
            (device("package-0", Kind::Cpu), true),
            (device("package-0-die-1", Kind::Cpu), true),
            (device("package-1", Kind::Cpu), false),
            (device("package-00-die-1", Kind::Cpu), false),
            (device("package-0-die-1", Kind::Dram), false),
            (device("package-0", Kind::Gpu), true),
        ] {
            assert_eq!(package.overlaps(&b), overlap, "{b}");
            assert_eq!(b.overlaps(&package), overlap, "{b}");
        }
    }
}
