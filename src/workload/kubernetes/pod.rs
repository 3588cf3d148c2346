//! A pod, as far as it matters to the books.

use crate::workload::About;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Most bytes of a label's value; Kubernetes allows 63, but names that it makes of them may be longer.
const LONGEST: usize = 128;

/// A pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pod {
    /// Its UID.
    pub uid: Arc<str>,
    /// Of a static pod's mirror: the hash of its file, which its control groups are named after.
    pub hash: Option<Arc<str>>,
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// The kind of its owner; empty where it has none.
    pub owner_kind: String,
    /// The owner's name.
    pub owner: String,
    /// The wanted labels that it has.
    pub labels: Vec<(Arc<str>, Arc<str>)>,
    /// Its containers, those for its start and for debugging included.
    pub containers: Vec<Container>,
}

/// A container.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Container {
    /// Its name.
    pub name: Arc<str>,
    /// Its id of 64 hexadecimal digits; empty before it has one.
    pub id: Arc<str>,
    /// CPUs that it asked for.
    pub cpus: Option<f64>,
}

/// What is told of a pod, whoever tells it.
#[derive(Clone, Debug, Default)]
pub(super) struct Told<'a> {
    pub uid: &'a str,
    pub namespace: &'a str,
    pub name: &'a str,
    pub labels: BTreeMap<&'a str, &'a str>,
    /// The annotation `kubernetes.io/config.mirror`.
    pub mirror: Option<&'a str>,
    /// Kind and name of the owner that controls it.
    pub owner: Option<(&'a str, &'a str)>,
    /// Names of containers and the CPUs that they ask for.
    pub asked: Vec<(&'a str, Option<&'a str>)>,
    /// Names of containers and their ids, `containerd://<id>`.
    pub started: Vec<(&'a str, &'a str)>,
}

impl Pod {
    pub(super) fn of(told: &Told<'_>, wanted: &[Arc<str>]) -> Self {
        let (owner_kind, owner) = owner(told);
        let labels = wanted.iter().filter_map(|name| {
            let value = told.labels.get(&**name)?;
            Some((Arc::clone(name), cut(value).into()))
        });
        let container = |(name, id): &(&str, &str)| {
            let asked = told.asked.iter().find(|(other, _)| other == name);
            Container {
                name: cut(name).into(),
                id: id.rsplit("://").next().unwrap_or("").into(),
                cpus: asked.and_then(|(_, cpus)| quantity((*cpus)?)),
            }
        };
        Self {
            uid: told.uid.into(),
            hash: told.mirror.map(Into::into),
            namespace: cut(told.namespace).into(),
            name: cut(told.name).into(),
            owner_kind,
            owner,
            labels: labels.collect(),
            containers: told.started.iter().map(container).collect(),
        }
    }

    /// What is known of one of its containers, or of the pod.
    pub(super) fn about(&self, container: Option<&Container>) -> About {
        About {
            uid: self.uid.to_string(),
            owner_kind: self.owner_kind.clone(),
            owner: self.owner.clone(),
            user: String::new(),
            labels: self.labels.clone(),
            cpus: container.and_then(|container| container.cpus),
        }
    }
}

/// Who made it. A Deployment makes its pods through a ReplicaSet, which it names after itself and the hash of the
/// template, which is a label of the pod's too.
fn owner(told: &Told<'_>) -> (String, String) {
    let Some((kind, name)) = told.owner else {
        return Default::default();
    };
    if kind == "ReplicaSet"
        && let Some(hash) = told.labels.get("pod-template-hash")
        && let Some(deployment) = name
            .strip_suffix(hash)
            .and_then(|name| name.strip_suffix('-'))
    {
        return ("Deployment".into(), cut(deployment).into());
    }
    (cut(kind).into(), cut(name).into())
}

/// A text of no more than so many bytes, cut between characters.
fn cut(text: &str) -> &str {
    let end = (0..=LONGEST.min(text.len()))
        .rev()
        .find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

/// A quantity of Kubernetes, such as `500m`, `2` or `1.5` (resource.Quantity).
pub(super) fn quantity(text: &str) -> Option<f64> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.'));
    let (number, suffix) = text.split_at(end.unwrap_or(text.len()));
    let scale = match suffix {
        "" => 1.0,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        _ => return None,
    };
    let number: f64 = number.parse().ok()?;
    Some(number * scale).filter(|cpus| cpus.is_finite() && *cpus <= 1e6)
}
