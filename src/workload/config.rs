//! `workloads`: who is looked for, and how the joules of the machine are divided among them.

use super::{containers, kubernetes, processes, slurm, systemd};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `workloads`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Workloads {
    /// Pods of this node.
    pub kubernetes: kubernetes::Config,
    /// Jobs of Slurm.
    pub slurm: slurm::Config,
    /// Containers of docker and podman that no pod has.
    pub containers: containers::Config,
    /// Units of systemd.
    pub systemd: systemd::Config,
    /// Processes by pattern.
    pub processes: Vec<processes::Pattern>,
}
