//! A pod, as far as it says who used the machine.

use super::wire;
use crate::workload::About;
use jiff::Timestamp;
use prost::Message;
use std::collections::HashMap;
use std::sync::Arc;

/// Longest value of a label, in bytes: twice what Kubernetes allows.
pub const LONGEST_VALUE: usize = 128;
/// Longest name of a pod, a namespace or a container, in bytes (RFC 1123's subdomains).
pub const LONGEST_NAME: usize = 253;
/// Most labels that are shown of a pod; of more that are configured the first are.
pub const MOST_LABELS: usize = 16;
/// Most containers of a pod that are looked at.
const MOST_CONTAINERS: usize = 256;
/// Most starts of a container that are remembered.
const MOST_RUNS: usize = 8;

/// Where a pod is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Accepted, and not all of its containers have been started.
    Pending,
    /// At least one container runs or is about to.
    Running,
    /// All containers ended well.
    Succeeded,
    /// All containers ended, and not all well.
    Failed,
    /// Nobody says.
    #[default]
    Unknown,
}

/// A pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pod {
    /// What its control group is called by: the UID, or of a static pod the hash of its file.
    pub key: Arc<str>,
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// Where it is in its life.
    pub phase: Phase,
    /// Its containers, those that prepare it and those that were added for a look inside too.
    pub containers: Vec<Container>,
    /// What else is known; its CPUs are those of all that runs at a time.
    pub about: About,
}

/// A container of a pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Container {
    /// Its name.
    pub name: Arc<str>,
    /// CPUs that it asked for.
    pub cpus: Option<f64>,
    /// Its starts, the newest first.
    pub runs: Vec<Run>,
}

/// One start of a container.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Its id: 64 hex digits.
    pub id: Arc<str>,
    /// When it was started, by the kubelet's clock.
    pub started: Option<Timestamp>,
    /// When it ended; `None` while it runs, or where nobody tells.
    pub finished: Option<Timestamp>,
    /// Whether it runs, as far as is known.
    pub is_running: bool,
}

impl Pod {
    /// Reads a pod as the kubelet sends it: `v1.Pod` in protobuf. `labels` are those that are wanted.
    #[must_use]
    pub fn from_protobuf(bytes: &[u8], labels: &[Arc<str>]) -> Option<Self> {
        Self::of(wire::Pod::decode(bytes).ok()?, labels)
    }

    /// Reads a pod as the API server sends it: `v1.Pod` in JSON.
    #[must_use]
    pub fn from_json(bytes: &[u8], labels: &[Arc<str>]) -> Option<Self> {
        Self::of(serde_json::from_slice(bytes).ok()?, labels)
    }

    /// `None` for what has no name or no UID.
    pub(super) fn of(pod: wire::Pod, labels: &[Arc<str>]) -> Option<Self> {
        let metadata = pod.metadata?;
        let (spec, status) = (pod.spec.unwrap_or_default(), pod.status.unwrap_or_default());
        if metadata.uid.is_empty() || metadata.name.is_empty() || metadata.uid.len() > LONGEST_VALUE
        {
            return None;
        }
        // The API server gives a static pod's mirror a UID of its own; control groups have the hash.
        let hash = ["kubernetes.io/config.mirror", "kubernetes.io/config.hash"];
        let hash = hash.iter().find_map(|name| metadata.annotations.get(*name));
        let hash = hash.filter(|hash| (1..=LONGEST_VALUE).contains(&hash.len()));
        let (owner_kind, owner) = owner(&metadata);
        let about = About {
            uid: metadata.uid.clone(),
            owner_kind,
            owner,
            user: String::new(),
            labels: chosen(&metadata.labels, labels),
            cpus: all_cpus(&spec),
        };
        Some(Self {
            key: hash.unwrap_or(&metadata.uid).as_str().into(),
            namespace: clip(&metadata.namespace, LONGEST_NAME).into(),
            name: clip(&metadata.name, LONGEST_NAME).into(),
            phase: match status.phase.as_str() {
                "Pending" => Phase::Pending,
                "Running" => Phase::Running,
                "Succeeded" => Phase::Succeeded,
                "Failed" => Phase::Failed,
                _ => Phase::Unknown,
            },
            containers: containers(&spec, &status),
            about,
        })
    }

    /// A container by the name.
    #[must_use]
    pub fn container(&self, name: &str) -> Option<&Container> {
        self.containers
            .iter()
            .find(|container| &*container.name == name)
    }

    /// A container, and which start of it, by the id.
    #[must_use]
    pub fn run(&self, id: &str) -> Option<(&Container, &Run)> {
        let mut all = self.containers.iter();
        all.find_map(|container| {
            let run = container.runs.iter().find(|run| &*run.id == id)?;
            Some((container, run))
        })
    }

    /// Takes over the starts that an older state of this pod knew, and its labels where this one is told
    /// without them.
    pub(super) fn remember(&mut self, older: &Self) {
        for before in &older.containers {
            let Some(now) = self
                .containers
                .iter_mut()
                .find(|now| now.name == before.name)
            else {
                if self.containers.len() < MOST_CONTAINERS {
                    self.containers.push(before.clone());
                }
                continue;
            };
            let lost = before
                .runs
                .iter()
                .filter(|run| now.runs.iter().all(|known| known.id != run.id));
            let lost: Vec<Run> = lost.cloned().collect();
            // An id that is no longer told of is not the one that runs.
            let ended = !now.runs.is_empty();
            now.runs.extend(lost.into_iter().map(|run| Run {
                is_running: run.is_running && !ended,
                ..run
            }));
            now.runs.truncate(MOST_RUNS);
        }
    }
}

/// Cuts a text at a character's end, so that it is at most so many bytes long.
#[must_use]
pub fn clip(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len()))
        .rev()
        .find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

fn chosen(all: &HashMap<String, String>, wanted: &[Arc<str>]) -> Vec<(Arc<str>, Arc<str>)> {
    let wanted = wanted.iter().take(MOST_LABELS);
    let found = wanted.filter_map(|name| {
        let value = all.get(&**name)?;
        Some((Arc::clone(name), clip(value, LONGEST_VALUE).into()))
    });
    found.collect()
}

/// The kind and name of what made a pod. A ReplicaSet stands for the Deployment (or the Rollout of Argo)
/// whose name it has, with the hash of the pod's template that is in the pod's label too.
fn owner(metadata: &wire::Metadata) -> (String, String) {
    let mut references = metadata.owner_references.iter();
    let Some(owner) = references.find(|owner| owner.controller == Some(true)) else {
        return Default::default();
    };
    let made_by = [
        ("pod-template-hash", "Deployment"),
        ("rollouts-pod-template-hash", "Rollout"),
    ];
    if owner.kind == "ReplicaSet" {
        for (label, kind) in made_by {
            let hash = metadata.labels.get(label).filter(|hash| !hash.is_empty());
            let name =
                hash.and_then(|hash| owner.name.strip_suffix(hash.as_str())?.strip_suffix('-'));
            if let Some(name) = name.filter(|name| !name.is_empty()) {
                return (kind.to_owned(), clip(name, LONGEST_NAME).to_owned());
            }
        }
    }
    (
        clip(&owner.kind, LONGEST_VALUE).to_owned(),
        clip(&owner.name, LONGEST_NAME).to_owned(),
    )
}

fn containers(spec: &wire::Spec, status: &wire::Status) -> Vec<Container> {
    let specs = spec.containers.iter().chain(&spec.init_containers);
    let specs: HashMap<&str, &wire::Container> =
        specs.map(|spec| (spec.name.as_str(), spec)).collect();
    let all = status.container_statuses.iter();
    let all = all.chain(&status.init_container_statuses);
    let all = all.chain(&status.ephemeral_container_statuses);
    let all = all.take(MOST_CONTAINERS).map(|status| Container {
        name: clip(&status.name, LONGEST_NAME).into(),
        cpus: specs
            .get(status.name.as_str())
            .and_then(|spec| cpus(spec.resources.as_ref())),
        runs: runs(status),
    });
    all.collect()
}

/// The start of now, and the one before.
fn runs(status: &wire::ContainerStatus) -> Vec<Run> {
    let time = |time: Option<wire::Time>| {
        let time = time.filter(|time| time.seconds > 0)?;
        Timestamp::new(time.seconds, time.nanos).ok()
    };
    let run = |id: &str, state: Option<&wire::State>| {
        let id = plain_id(id)?;
        let running = state.and_then(|state| state.running.as_ref());
        let ended = state.and_then(|state| state.terminated.as_ref());
        Some(Run {
            id: id.into(),
            started: time(match (running, ended) {
                (Some(running), _) => running.started_at,
                (None, ended) => ended.and_then(|ended| ended.started_at),
            }),
            finished: time(ended.and_then(|ended| ended.finished_at)),
            is_running: running.is_some(),
        })
    };
    let last = status.last_state.as_ref();
    let last_id = last
        .and_then(|last| last.terminated.as_ref())
        .map(|ended| ended.container_id.as_str());
    let now = run(&status.container_id, status.state.as_ref());
    let before = last_id.and_then(|id| run(id, last));
    // While a container waits for its next start, both are the same.
    let is_same = now.as_ref().map(|run| &run.id) == before.as_ref().map(|run| &run.id);
    match (now, before) {
        (Some(_), Some(before)) if is_same => vec![before],
        (now, before) => now.into_iter().chain(before).collect(),
    }
}

/// `containerd://` and the like cut off: 64 hex digits, or nothing.
fn plain_id(id: &str) -> Option<&str> {
    let id = id.rsplit("//").next().unwrap_or_default();
    let is_id = id.len() == 64 && id.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
    is_id.then_some(id)
}

/// CPUs that a pod asks for: its own request, or else that of all containers that run at a time (those
/// that prepare the pod are gone by then, but for sidecars, whose restart policy is `Always`).
fn all_cpus(spec: &wire::Spec) -> Option<f64> {
    if let Some(cpus) = cpus(spec.resources.as_ref()) {
        return Some(cpus);
    }
    let is_sidecar =
        |container: &&wire::Container| container.restart_policy.as_deref() == Some("Always");
    let sidecars = spec.init_containers.iter().filter(is_sidecar);
    let all = spec.containers.iter().chain(sidecars);
    let asked: Vec<f64> = all
        .filter_map(|container| cpus(container.resources.as_ref()))
        .collect();
    (!asked.is_empty()).then(|| asked.iter().sum())
}

fn cpus(resources: Option<&wire::Resources>) -> Option<f64> {
    quantity(&resources?.requests.get("cpu")?.text)
}

/// A number as Kubernetes writes it: `500m`, `2`, `1.5`, `1e3`, `2k`. `None` for what is no quantity of CPUs
/// that a machine can have.
///
/// Source: `k8s.io/apimachinery/pkg/api/resource`, "Quantity".
fn quantity(text: &str) -> Option<f64> {
    let scales = [
        ("n", 1e-9),
        ("u", 1e-6),
        ("m", 1e-3),
        ("k", 1e3),
        ("Ki", 1024.0),
    ];
    let scaled = scales
        .iter()
        .find_map(|(suffix, scale)| Some((text.strip_suffix(suffix)?, scale)));
    let (digits, scale) = scaled.unwrap_or((text, &1.0));
    // Rust reads "inf" and "NaN" as numbers too.
    let is_number = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.' || c == '+');
    let number = is_number.then(|| digits.parse::<f64>().ok()).flatten()?;
    let cpus = number * scale;
    (0.0..=65536.0).contains(&cpus).then_some(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_numbers_of_cpus() {
        for (text, cpus) in [
            ("2", Some(2.0)),
            ("500m", Some(0.5)),
            ("1.5", Some(1.5)),
            ("1e1", Some(10.0)),
            ("250000u", Some(0.25)),
            ("1k", Some(1000.0)),
            ("", None),
            ("m", None),
            ("-1", None),
            ("inf", None),
            ("NaN", None),
            ("1e9", None),
        ] {
            assert_eq!(quantity(text), cpus, "{text}");
        }
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(clip("abc", 5), "abc");
        assert_eq!(clip("abc", 2), "ab");
        assert_eq!(clip("aä", 2), "a");
        assert_eq!(clip("ä", 1), "");
    }
}
