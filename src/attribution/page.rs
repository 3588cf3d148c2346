//! A workload's page in the books, who books on it, and what has no page of its own.

use super::Policy;
use crate::sensor::Kind;
use crate::units::{Grams, Joules};
use crate::workload::{About, Identity, Manager, Owner};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// What was used of one kind of device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Amount {
    pub joules: Joules,
    pub grams: Option<Grams>,
    /// The part of it that was held and not used; `None` where that was never told.
    pub reserved: Option<Joules>,
    /// When it was opened (time since boot).
    pub opened: Duration,
}

impl Amount {
    pub fn opened(at: Duration) -> Self {
        Self {
            opened: at,
            ..Self::default()
        }
    }
    pub fn add(&mut self, more: &Self) {
        self.joules += more.joules;
        if let Some(grams) = more.grams {
            self.grams = Some(self.grams.unwrap_or(Grams::ZERO) + grams);
        }
        if let Some(joules) = more.reserved {
            self.reserved = Some(self.reserved.unwrap_or(Joules::ZERO) + joules);
        }
    }
}

/// Amounts by kind of device.
pub(super) type Amounts = BTreeMap<Kind, Amount>;

pub(super) fn add(amounts: &mut Amounts, kind: Kind, more: &Amount) {
    let amount = amounts.entry(kind);
    amount.or_insert(Amount::opened(more.opened)).add(more);
}

/// The books of one identity.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Page {
    pub about: Arc<About>,
    pub amounts: Amounts,
    /// How its share of accelerators was last had.
    #[serde(skip)]
    pub means: Option<&'static str>,
    /// When the last of its tenants ended (time since boot).
    pub ended: Option<Duration>,
}

impl Page {
    pub fn joules(&self) -> Joules {
        self.amounts.values().map(|amount| amount.joules).sum()
    }
    /// Until when it stays: its beginning must have been shown before its end.
    pub fn stays(&self, policy: &Policy) -> Option<Duration> {
        let opened = self.amounts.values().map(|amount| amount.opened).max();
        let shown = opened.unwrap_or_default() + policy.introduce;
        self.ended.map(|ended| ended.max(shown) + policy.linger)
    }
}

/// Something that runs, or has just ended.
#[derive(Debug)]
pub(super) struct Tenant {
    pub owner: Owner,
    /// What it is called, once that is known.
    pub name: Option<Arc<Identity>>,
    pub about: Arc<About>,
    pub seen: Duration,
    pub since: Duration,
    pub ended: Option<Duration>,
    /// What it used before it had a name.
    pub waiting: Amounts,
    /// What went to `other` since there was no room for a page of its own.
    pub merged: Option<Joules>,
}

/// What has no identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Common {
    /// Devices at rest.
    Idle,
    /// The machine itself.
    System,
    /// Nobody knows who.
    Unattributed,
    /// Workloads beyond the limit.
    Other,
}

impl Common {
    /// The value of the labels `workload_type` and `workload`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::System => "system",
            Self::Unattributed => "unattributed",
            Self::Other => "other",
        }
    }
}

/// What somebody is called of whom nobody told the name.
pub(super) fn called(owner: &Owner) -> Identity {
    let short = |id: &Arc<str>| -> Arc<str> { id.get(..12).unwrap_or(id).into() };
    let (manager, namespace, name, container) = match owner {
        Owner::Pod { uid, container } => {
            (Manager::Pod, "".into(), Arc::clone(uid), short(container))
        }
        Owner::Named {
            namespace,
            pod,
            container,
        } => (
            Manager::Pod,
            Arc::clone(namespace),
            Arc::clone(pod),
            Arc::clone(container),
        ),
        Owner::Job(job) => (Manager::Slurm, "".into(), Arc::clone(job), "".into()),
        Owner::Container(id) => (Manager::Container, "".into(), short(id), "".into()),
        Owner::Unit(unit) => (Manager::Systemd, "".into(), Arc::clone(unit), "".into()),
        Owner::Process(name) => (Manager::Process, "".into(), Arc::clone(name), "".into()),
    };
    Identity {
        manager,
        namespace,
        name,
        container,
    }
}
