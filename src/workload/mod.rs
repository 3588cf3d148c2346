//! Workloads: who used the machine. What runs here is found in the kernel's control groups, named by
//! those who started it (a kubelet, Slurm, systemd, a container engine), and joined with who holds and
//! uses the accelerators. All of it comes together in a [`Census`], of which the engine divides joules.
//!
//! Everything here runs in threads of its own, may block, and never holds up a sensor or a scrape.

pub mod census;
pub mod cgroup;
pub mod config;
pub mod containers;
pub mod examine;
pub mod gpu;
pub mod kubernetes;
pub mod machine;
mod names;
pub mod occupancy;
pub mod processes;
pub mod runs;
pub mod slurm;
pub mod stat;
pub mod systemd;
pub mod watch;

use crate::sensor::Fault;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// Who manages a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Manager {
    /// A container of a Kubernetes pod.
    Pod,
    /// A Slurm job.
    Slurm,
    /// A container of docker, podman or containerd that no pod has.
    Container,
    /// A unit of systemd.
    Systemd,
    /// Processes of a configured pattern.
    Process,
}

impl Manager {
    /// The value of the `workload_type` label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Pod => "pod",
            Self::Slurm => "slurm",
            Self::Container => "container",
            Self::Systemd => "systemd",
            Self::Process => "process",
        }
    }
}

/// What a workload is called: together these are the labels of its series, so that a pod that is made
/// anew under its old name goes on with its counters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// Who manages it.
    pub manager: Manager,
    /// Kubernetes' namespace, Slurm's account; else empty.
    pub namespace: Arc<str>,
    /// The pod, the job's number, the unit, the container or the name of the pattern.
    pub name: Arc<str>,
    /// The container of a pod; else empty.
    pub container: Arc<str>,
}

/// What else is known of a workload, for its `_info` series; empty where unknown.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// The pod's UID, or Slurm's SLUID.
    pub uid: String,
    /// `Job`, `Deployment`, `PyTorchJob`, ...
    pub owner_kind: String,
    /// The owner's name.
    pub owner: String,
    /// Who submitted it.
    pub user: String,
    /// The configured labels that it has, in the order of the configuration: name and value.
    pub labels: Vec<(Arc<str>, Arc<str>)>,
    /// CPUs that it has asked for (1 is one logical CPU), where that is known.
    pub cpus: Option<f64>,
}

impl About {
    /// The value of a label; empty where it has none.
    #[must_use]
    pub fn label(&self, name: &str) -> &str {
        let mut labels = self.labels.iter();
        labels
            .find(|(other, _)| **other == *name)
            .map_or("", |(_, value)| value)
    }
}

/// What a control group belongs to, as its path tells; the key of a workload until it is named, and in
/// the books of the time before.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Owner {
    /// A container of a pod.
    Pod {
        /// The pod's UID, with hyphens; of a static pod the hash that its mirror pod is annotated with.
        uid: Arc<str>,
        /// The container's id (64 hex digits); empty for what is in the pod and in none of its containers.
        container: Arc<str>,
    },
    /// A container of a pod that is only known by name (of a GPU's holder).
    Named {
        /// Its namespace.
        namespace: Arc<str>,
        /// The pod.
        pod: Arc<str>,
        /// The container.
        container: Arc<str>,
    },
    /// A Slurm job by its number or SLUID.
    Job(Arc<str>),
    /// A container that no pod has, by its id.
    Container(Arc<str>),
    /// A unit of systemd.
    Unit(Arc<str>),
    /// Processes of the pattern of this name.
    Process(Arc<str>),
}

/// One workload in the time since the last look.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// Whose it is.
    pub owner: Owner,
    /// CPU time used since the last look (or since it began, where that is later).
    pub cpu: Duration,
    /// Memory held now, in bytes.
    pub memory: u64,
    /// When it began (time since boot), where that is known.
    pub since: Option<Duration>,
    /// When it was found to have ended (time since boot); `None` while it runs.
    pub until: Option<Duration>,
}

/// What all of the machine did in the time since the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Machine {
    /// Logical CPUs.
    pub cpus: u32,
    /// CPU time used by anything.
    pub busy: Duration,
    /// CPU time that was left, waiting for disks included.
    pub idle: Duration,
    /// Memory in use (`MemTotal` - `MemAvailable`), in bytes.
    pub memory_used: u64,
    /// All memory, in bytes.
    pub memory_total: u64,
}

/// How those who hold or use an accelerator call it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeviceName {
    /// By the UUID of a whole GPU (`GPU-...`), or of a MIG instance (`MIG-...`).
    Uuid(Arc<str>),
    /// By the driver's number (`/dev/nvidiaN`).
    Minor(u32),
    /// By NVML's number, in which Slurm counts too.
    Index(u32),
    /// An instance on the GPU of this minor number.
    Instance {
        /// The GPU's minor number.
        minor: u32,
        /// The GPU instance's id.
        gpu_instance: u32,
    },
    /// By its place on the PCI bus, as sysfs writes it.
    Pci(Arc<str>),
}

/// That somebody holds an accelerator, or a part of one, whether it is used or not.
#[derive(Clone, Debug, PartialEq)]
pub struct Hold {
    /// Who.
    pub owner: Owner,
    /// What.
    pub device: DeviceName,
    /// From when (time since boot); `None`: since before the last look, or nobody knows.
    pub since: Option<Duration>,
    /// Until when (time since boot); `None`: still.
    pub until: Option<Duration>,
}

/// How busy one process kept an accelerator, as a mean over the time since the last look at it.
#[derive(Clone, Debug, PartialEq)]
pub struct ProcessUse {
    /// UUID of the whole GPU.
    pub device: Arc<str>,
    /// The process, as the host numbers it.
    pub pid: u32,
    /// The MIG instance (`MIG-...`) that it runs on; `None` on a GPU that is not divided.
    pub instance: Option<Arc<str>>,
    /// Share of the streaming multiprocessors' time, 0 to 1; `None` where the driver does not tell.
    pub busy: Option<f64>,
}

/// Something that tells of workloads, and how it is.
#[derive(Debug, Default)]
pub struct Health {
    /// Such as `cgroup`, `kubelet`, `api-server` or `slurm`.
    pub source: &'static str,
    /// What is wrong now; empty where it is well.
    pub faults: Vec<Fault>,
}
