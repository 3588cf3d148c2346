//! `workloads`: who is looked for, and how the joules of the machine are divided among them.

use super::{containers, kubernetes, processes, slurm, systemd};
use crate::attribution::{Idle, Policy};
use crate::config::{Interval, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// `workloads`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Workloads {
    /// Who is looked for: `auto` (pods, jobs and containers; units of systemd where there is none of these),
    /// `none` (joules are not divided), or a list of `kubernetes`, `slurm`, `containers`, `systemd`.
    pub source: Source,
    /// Labels of pods that are shown on `gramwatt_workload_info`, as `label_NAME`.
    pub labels: Vec<LabelName>,
    /// What is done with the power that processors and memory draw at rest: `separate` (the workload `idle`),
    /// `proportional` (like what is drawn beyond it), or `by-request` (by the CPUs that were asked for).
    pub idle: IdlePolicy,
    /// What is done with what only the node's meter sees (fans, losses, disks): `system`, or `dynamic` (like what
    /// the devices draw beyond rest).
    pub other: OtherPolicy,
    /// Power at rest in W by device (`package-0`) or kind (`cpu`, `dram`, `gpu`). Unset: the least that was seen
    /// over ten seconds of little load.
    pub idle_power: BTreeMap<String, IdleWatts>,
    /// An accelerator that is less busy than this, 0 to 1, counts as held and idle.
    pub gpu_idle_below: Ratio,
    /// Most workloads with series of their own, live and lingering. Those beyond are `other`.
    pub max: Max,
    /// How long a workload stays on the page after its end: longer than the scrape interval, 0s to 1h.
    pub linger: Span,
    /// How long a new workload is shown with 0, so that `increase()` sees where it began: no shorter than the
    /// scrape interval, 0s to 1h.
    pub introduce: Span,
    /// How often it is looked who is here.
    pub interval: Interval,
    /// How often it is asked which processes use NVIDIA's GPUs, which takes the driver's locks for longer than its
    /// power does.
    pub gpu_interval: Interval,
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

impl Default for Workloads {
    fn default() -> Self {
        Self {
            source: Source::default(),
            labels: Vec::new(),
            idle: IdlePolicy::default(),
            other: OtherPolicy::default(),
            idle_power: BTreeMap::new(),
            gpu_idle_below: Ratio(0.05),
            max: Max(500),
            linger: Span::seconds(120),
            introduce: Span::seconds(30),
            interval: Interval::default(),
            gpu_interval: Interval::of(Duration::from_secs(5)),
            kubernetes: kubernetes::Config::default(),
            slurm: slurm::Config::default(),
            containers: containers::Config::default(),
            systemd: systemd::Config::default(),
            processes: Vec::new(),
        }
    }
}

impl Workloads {
    /// How joules are divided.
    #[must_use]
    pub fn policy(&self) -> Policy {
        let rests = self.idle_power.iter();
        Policy {
            idle: match self.idle {
                IdlePolicy::Separate => Idle::Separate,
                IdlePolicy::Proportional => Idle::Proportional,
                IdlePolicy::ByRequest => Idle::ByRequest,
            },
            divide_other: self.other == OtherPolicy::Dynamic,
            rests: rests
                .map(|(device, watts)| (device.clone(), watts.0))
                .collect(),
            idle_below: self.gpu_idle_below.0,
            max: usize::from(self.max.0),
            linger: self.linger.duration(),
            introduce: self.introduce.duration(),
            labels: self.label_names(),
            label_names: self
                .labels
                .iter()
                .map(|label| label.shown().into())
                .collect(),
        }
    }

    /// Looks for labels that would be shown under one name.
    ///
    /// # Errors
    /// Which.
    pub fn check(&self) -> Result<(), String> {
        for (i, label) in self.labels.iter().enumerate() {
            let same = |other: &&LabelName| other.shown() == label.shown();
            if let Some(other) = self.labels.iter().take(i).find(same) {
                let (a, b, shown) = (&other.0, &label.0, label.shown());
                return Err(format!(
                    "workloads.labels: {a} and {b} would both be shown as {shown}: leave one out"
                ));
            }
        }
        Ok(())
    }

    /// The labels of pods that are shown.
    #[must_use]
    pub fn label_names(&self) -> Arc<[Arc<str>]> {
        self.labels
            .iter()
            .map(|label| label.0.as_str().into())
            .collect()
    }

    /// How often it is looked who is here.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.interval.duration()
    }

    /// Whether this manager's workloads are looked for: `None` leaves it to what is found.
    #[must_use]
    pub fn wants(&self, manager: ManagerName) -> Option<bool> {
        match &self.source {
            Source::Word(Word::Auto) => None,
            Source::Word(Word::None) => Some(false),
            Source::List(list) => Some(list.contains(&manager)),
        }
    }

    /// How Kubernetes is asked, with whether it is.
    #[must_use]
    pub fn kubernetes(&self) -> kubernetes::Config {
        let enabled = match self.wants(ManagerName::Kubernetes) {
            None => kubernetes::Wanted::Auto,
            Some(true) => kubernetes::Wanted::Yes,
            Some(false) => kubernetes::Wanted::No,
        };
        kubernetes::Config {
            enabled,
            ..self.kubernetes.clone()
        }
    }

    /// Whether anything is looked for at all.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.source != Source::Word(Word::None)
    }
}

/// `workloads.source`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "`auto`, `none`, or a list of `kubernetes`, `slurm`, `containers`, `systemd`"
)]
pub enum Source {
    /// One word for all.
    Word(Word),
    /// These.
    List(Vec<ManagerName>),
}

impl Default for Source {
    fn default() -> Self {
        Self::Word(Word::Auto)
    }
}

/// All or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Word {
    /// Whoever is found.
    Auto,
    /// Nobody.
    None,
}

/// Who may manage workloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ManagerName {
    /// The kubelet.
    Kubernetes,
    /// Slurm.
    Slurm,
    /// Docker and podman.
    Containers,
    /// systemd.
    Systemd,
}

/// `workloads.idle`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum IdlePolicy {
    /// It is nobody's.
    #[default]
    Separate,
    /// Like what is drawn beyond it.
    Proportional,
    /// By the CPUs that were asked for.
    ByRequest,
}

/// `workloads.other`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OtherPolicy {
    /// It is the system's.
    #[default]
    System,
    /// Like what the devices draw beyond rest.
    Dynamic,
}

/// A share, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "f64")]
#[schemars(with = "f64")]
pub struct Ratio(f64);

impl TryFrom<f64> for Ratio {
    type Error = String;
    fn try_from(ratio: f64) -> Result<Self, String> {
        let ok = (0.0..=1.0).contains(&ratio);
        ok.then_some(Self(ratio))
            .ok_or_else(|| format!("{ratio} is no share: 0 to 1, such as 0.05"))
    }
}

/// Power of a device at rest, in W.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "f64")]
#[schemars(with = "f64")]
pub struct IdleWatts(f64);

impl TryFrom<f64> for IdleWatts {
    type Error = String;
    fn try_from(watts: f64) -> Result<Self, String> {
        let ok = (0.0..=10_000.0).contains(&watts);
        ok.then_some(Self(watts))
            .ok_or_else(|| format!("{watts} is no power at rest in W: 0 to 10000"))
    }
}

/// A number of workloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "u16")]
#[schemars(with = "u16")]
pub struct Max(u16);

impl TryFrom<u16> for Max {
    type Error = String;
    fn try_from(max: u16) -> Result<Self, String> {
        let ok = (1..=10_000).contains(&max);
        ok.then_some(Self(max))
            .ok_or_else(|| format!("{max} is no limit of workloads: 1 to 10000"))
    }
}

/// The name of a label of Kubernetes, such as `team` or `app.kubernetes.io/name`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub struct LabelName(String);

impl LabelName {
    /// The name that Prometheus takes.
    #[must_use]
    pub fn shown(&self) -> String {
        let fine = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        format!("label_{}", self.0.chars().map(fine).collect::<String>())
    }
}

impl TryFrom<String> for LabelName {
    type Error = String;
    fn try_from(name: String) -> Result<Self, String> {
        let is_fine = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        let ok = !name.is_empty() && name.len() <= 317 && name.chars().all(is_fine);
        if ok {
            return Ok(Self(name));
        }
        Err(format!(
            "{name:?} is no name of a label, such as team or app.kubernetes.io/name"
        ))
    }
}
