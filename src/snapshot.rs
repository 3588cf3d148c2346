//! The value that a page is made of: all that was true at one moment, and nothing that can change.

use crate::clock::Moment;
use crate::data::Reference;
use crate::grid::zone::Outlook;
use crate::ledger::Method;
use crate::run::book::Shown;
use crate::sensor::{Kind, MeterClass, Scope, Source};
use crate::units::{Grams, GramsPerKwh, GramsPerSecond, Joules, Watts};
use crate::workload::About;
use std::sync::Arc;
use std::time::Duration;

/// One moment of the node.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// When it was; `None` before the first sample.
    pub at: Option<Moment>,
    /// When these books began, on this node's clock.
    pub since: Option<Moment>,
    /// Whether every sensor has spoken once, or has had its time to.
    pub ready: bool,
    /// The machine's name, for people; empty where nobody knows.
    pub host: Arc<str>,
    /// Whether the hardware is synthetic.
    pub demo: bool,
    /// Devices, `other` included, in a stable order.
    pub devices: Vec<Device>,
    /// Parts of devices.
    pub domains: Vec<Domain>,
    /// Meters, as they read.
    pub meters: Vec<Meter>,
    /// The machine.
    pub node: Node,
    /// Who used the devices; `None` where that is not looked for.
    pub workloads: Option<Workloads>,
    /// Single commands that are measured: each lies within workloads, and none within another.
    pub runs: Vec<Shown>,
    /// Health of every sensor.
    pub sensors: Vec<SensorHealth>,
    /// Where the node stands and what its electricity emits; `None` where nobody said.
    pub grid: Option<Arc<Grid>>,
    /// What one more kWh there emits, where a provider tells; no gram is booked by it.
    pub marginal: Option<Arc<Grid>>,
    /// The hours ahead; `None` where nobody can tell.
    pub outlook: Option<Arc<Outlook>>,
    /// The zones that a relay serves; none on a node.
    pub regions: Arc<[Region]>,
    /// What a relay tells for comparison; `None` on a node.
    pub reference: Option<Arc<Reference>>,
    /// Health of each provider of intensity.
    pub providers: Arc<[ProviderHealth]>,
    /// Facility power / IT power in force, and who says so.
    pub pue: Pue,
    /// What the exporter itself uses, where the system tells.
    pub process: Option<Process>,
    /// What the operator should know, in plain words: no zone, books not kept over restarts, ...
    pub notes: Vec<Arc<str>>,
}

/// A device and its books.
#[derive(Clone, Debug)]
pub struct Device {
    /// The `device` label.
    pub id: Arc<str>,
    /// What it is.
    pub kind: Kind,
    /// What it is made of; `None` for `other`.
    pub source: Option<Arc<Source>>,
    /// Who reads it.
    pub sensor: Arc<str>,
    /// How its joules are had.
    pub method: Method,
    /// Mean power over the last interval; `None` while its sensor is silent.
    pub watts: Option<Watts>,
    /// Energy since boot.
    pub joules: Joules,
    /// Location-based emissions since boot.
    pub grams: Option<Grams>,
    /// Location-based emissions now.
    pub flow: Option<GramsPerSecond>,
    /// Its share of its own making, since boot.
    pub embodied: Option<Grams>,
    /// Share of the device that is busy.
    pub utilization: Option<f64>,
    /// Power limit in force.
    pub power_limit: Option<Watts>,
}

/// A part of a device.
#[derive(Clone, Debug)]
pub struct Domain {
    /// The device that it is inside of.
    pub device: Arc<str>,
    /// Its name.
    pub domain: Arc<str>,
    /// Energy since boot.
    pub joules: Joules,
}

/// An overlapping meter.
#[derive(Clone, Debug)]
pub struct Meter {
    /// The `meter` label.
    pub id: Arc<str>,
    /// What it covers.
    pub scope: Scope,
    /// Who reads it.
    pub sensor: Arc<str>,
    /// Mean power over the last interval; `None` while its sensor is silent.
    pub watts: Option<Watts>,
    /// Energy since boot.
    pub joules: Joules,
    /// Whether it is one of those that set the node's total.
    pub in_force: bool,
}

/// The machine's books.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// The class of meter that the total rests on; `None`: the sum of devices.
    pub meter: Option<MeterClass>,
    /// The family of sensors that reads it; empty where there is none.
    pub meter_sensor: &'static str,
    /// Power of devices and `other`; `None` while nothing is known.
    pub watts: Option<Watts>,
    /// Energy since boot; `None` before the first device.
    pub joules: Option<Joules>,
    /// The part of it that no sensor measured.
    pub modelled: Joules,
    /// Location-based emissions since boot.
    pub grams: Option<Grams>,
    /// The part of them booked with a factor that was not live.
    pub estimated: Option<Grams>,
    /// Market-based emissions since boot.
    pub market: Option<Grams>,
    /// The devices' making, amortised, since boot.
    pub embodied: Option<Grams>,
    /// Windows in which the meter saw less than the devices.
    pub meter_short: u64,
    /// The node's total minus the sum of its devices: 0 but for rounding.
    pub residual: Joules,
}

/// Who used the devices.
#[derive(Clone, Debug, Default)]
pub struct Workloads {
    /// Workloads with series, and `idle`, `system`, `unattributed` and `other`, in a stable order.
    pub list: Vec<Workload>,
    /// Device energy that no series of a workload shows, by kind.
    pub unlisted: Vec<Unlisted>,
    /// What devices are taken to draw at rest.
    pub rests: Vec<(Arc<str>, Kind, Watts)>,
    /// Workloads that are in `other`, because there are too many.
    pub merged: usize,
    /// Names of the configured labels, as Kubernetes has them, ...
    pub labels: Arc<[Arc<str>]>,
    /// ... and as the info series has them (`label_NAME`).
    pub label_names: Arc<[Arc<str>]>,
    /// How those are who tell of workloads.
    pub sources: Vec<SourceHealth>,
    /// Devices minus everything here: 0 but for rounding.
    pub residual: Joules,
}

/// A workload and its books.
#[derive(Clone, Debug)]
pub struct Workload {
    /// The `workload_type` label.
    pub manager: &'static str,
    /// The `workload_namespace` label.
    pub namespace: Arc<str>,
    /// The `workload` label.
    pub name: Arc<str>,
    /// The `workload_container` label.
    pub container: Arc<str>,
    /// What else is known; `None` for what is no workload.
    pub about: Option<Arc<About>>,
    /// How its share of accelerators is had: `whole`, `utilization`, `equal` or `mig`; empty where it has none.
    pub gpu_split: &'static str,
    /// Its books by kind of device.
    pub uses: Vec<Use>,
}

/// What a workload used of one kind of device.
#[derive(Clone, Copy, Debug)]
pub struct Use {
    /// Of what.
    pub kind: Kind,
    /// Mean power over the last time that could be divided; `None` while nobody knows.
    pub watts: Option<Watts>,
    /// Energy since it came.
    pub joules: Joules,
    /// Location-based emissions since it came.
    pub grams: Option<Grams>,
    /// The part of the energy that was held and not used; `None` where that was never told.
    pub reserved: Option<Joules>,
}

/// Device energy that no series of a workload shows.
#[derive(Clone, Copy, Debug)]
pub struct Unlisted {
    /// Of what.
    pub kind: Kind,
    /// Why: `pending` (too young to be divided or shown) or `ended` (of workloads that have left the page).
    pub reason: &'static str,
    /// How much.
    pub joules: Joules,
    /// With what emissions.
    pub grams: Option<Grams>,
}

/// How somebody is who tells of workloads.
#[derive(Clone, Debug)]
pub struct SourceHealth {
    /// Such as `cgroup` or `kubelet`.
    pub source: &'static str,
    /// Whether nothing is wrong.
    pub up: bool,
    /// What is wrong now, and the mend.
    pub faults: Arc<[Trouble]>,
}

/// A sensor's health.
#[derive(Clone, Debug)]
pub struct SensorHealth {
    /// The `sensor` label.
    pub name: Arc<str>,
    /// It answered in time and gave something.
    pub up: bool,
    /// When it last answered.
    pub last: Option<Moment>,
    /// How long the last read took.
    pub took: Option<Duration>,
    /// Failed readings by reason.
    pub errors: Vec<(&'static str, u64)>,
    /// Counter wraps corrected.
    pub wraps: u64,
    /// Intervals whose energy is not known.
    pub gaps: u64,
    /// What is wrong now, and the mend.
    pub faults: Arc<[Trouble]>,
}

/// Something a person can mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Where.
    pub place: String,
    /// What.
    pub message: String,
    /// The mend; empty where nobody knows.
    pub mend: String,
}

/// The intensity in force and where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    /// The zone's code, `custom` where only a number was given.
    pub zone: String,
    /// The zone's name for people; empty where unknown.
    pub name: String,
    /// The factor.
    pub intensity: GramsPerKwh,
    /// `average` or `marginal`.
    pub signal: &'static str,
    /// `lifecycle` or `direct`; empty where unknown.
    pub scope: String,
    /// Who says so.
    pub provider: String,
    /// `live`, `cached`, `forecast` or `static`.
    pub tier: &'static str,
    /// Whether the provider itself calls it an estimate.
    pub estimated: bool,
    /// The year or release of a bundled number.
    pub vintage: String,
    /// Where the number was published, for people.
    pub source: String,
    /// The moment that the factor is for, in unix seconds.
    pub valid: Option<f64>,
    /// The cloud provider, where one was named.
    pub cloud_provider: String,
    /// Its region.
    pub cloud_region: String,
    /// How the place is known, for people; empty where only a number was given.
    pub why: String,
    /// Contract factor for market-based accounting.
    pub market: Option<GramsPerKwh>,
}

/// A zone that a relay serves.
#[derive(Clone, Debug)]
pub struct Region {
    /// The average intensity in force.
    pub grid: Arc<Grid>,
    /// The marginal one.
    pub marginal: Option<Arc<Grid>>,
    /// The hours ahead.
    pub outlook: Option<Arc<Outlook>>,
}

impl Snapshot {
    /// The zones that it tells of: the node's own, or those of a relay.
    pub fn zones(&self) -> impl Iterator<Item = Region> {
        let own = self.grid.as_ref().map(|grid| Region {
            grid: Arc::clone(grid),
            marginal: self.marginal.clone(),
            outlook: self.outlook.clone(),
        });
        own.into_iter().chain(self.regions.iter().cloned())
    }
}

/// A provider of intensity, and how it answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProviderHealth {
    /// The `provider` label.
    pub name: String,
    /// Its last answer was of use.
    pub up: bool,
    /// Requests made of it.
    pub requests: u64,
    /// Those that failed, and values refused, by reason.
    pub failures: Vec<(&'static str, u64)>,
    /// What is wrong now, and the mend.
    pub trouble: Option<Trouble>,
}

/// Facility power / IT power.
#[derive(Clone, Debug, PartialEq)]
pub struct Pue {
    /// At least 1.
    pub ratio: f64,
    /// `live`, `cached`, `config`, `cloud` or `not set`.
    pub origin: &'static str,
}

impl Default for Pue {
    fn default() -> Self {
        Self {
            ratio: 1.0,
            origin: "not set",
        }
    }
}

/// What the exporter itself uses.
#[derive(Clone, Copy, Debug, Default)]
pub struct Process {
    /// CPU time since start.
    pub cpu_seconds: f64,
    /// Resident memory.
    pub resident_bytes: u64,
    /// Virtual memory.
    pub virtual_bytes: u64,
    /// Open file descriptors.
    pub open_fds: u64,
    /// Their limit.
    pub max_fds: u64,
    /// Start of the process in unix seconds.
    pub start_seconds: f64,
}
