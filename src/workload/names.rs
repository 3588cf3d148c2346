//! Who is a workload, and what each is called.

use super::config::{ManagerName, Workloads};
use super::kubernetes::PodBook;
use super::slurm::Jobs;
use super::{About, Identity, Manager, Owner, Seen, containers, processes, systemd};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// So long a name is looked for of somebody who has ended without one.
const LATE: Duration = Duration::from_secs(10);

/// What a container that its pod does not tell of (that which holds the pod's network) may use before it is shown.
const SANDBOX: Duration = Duration::from_millis(100);

/// A name as it is told.
type Name = (Arc<Identity>, Arc<About>);

/// The names of all who are here.
#[derive(Debug)]
pub struct Directory {
    config: Workloads,
    labels: Arc<[Arc<str>]>,
    book: Option<Arc<PodBook>>,
    names: BTreeMap<Owner, Name>,
    /// Those without a name, and when they were last seen (time since boot).
    nameless: BTreeMap<Owner, Duration>,
    /// CPU time of containers that their pods do not tell of.
    unknown: BTreeMap<Owner, Duration>,
    /// Whether pods or jobs were seen: then units are the system's, if nothing else was said.
    managed: bool,
    has_pods: bool,
}

impl Directory {
    /// Nobody yet.
    #[must_use]
    pub fn new(config: &Workloads) -> Self {
        Self {
            labels: config.label_names(),
            config: config.clone(),
            book: None,
            names: BTreeMap::new(),
            nameless: BTreeMap::new(),
            unknown: BTreeMap::new(),
            managed: false,
            has_pods: false,
        }
    }

    /// Takes what is known of pods now.
    pub fn turn_to(&mut self, book: Option<&Arc<PodBook>>) {
        let is_same = match (&self.book, book) {
            (Some(old), Some(new)) => Arc::ptr_eq(old, new),
            (None, None) => true,
            _ => false,
        };
        if !is_same {
            self.names
                .retain(|owner, _| !matches!(owner, Owner::Pod { .. } | Owner::Named { .. }));
            self.book = book.cloned();
        }
    }

    /// Whether any pod was seen.
    #[must_use]
    pub fn has_pods(&self) -> bool {
        self.has_pods
    }

    /// Whether workloads of this owner's manager are looked for.
    #[must_use]
    pub fn wants(&self, owner: &Owner) -> bool {
        let wanted = |manager| self.config.wants(manager).unwrap_or(true);
        match owner {
            Owner::Pod { .. } | Owner::Named { .. } => wanted(ManagerName::Kubernetes),
            Owner::Job(_) => wanted(ManagerName::Slurm),
            Owner::Container(_) => wanted(ManagerName::Containers),
            Owner::Unit(unit) => {
                let wanted = self
                    .config
                    .wants(ManagerName::Systemd)
                    .unwrap_or(!self.managed);
                wanted && self.config.systemd.wants(unit)
            }
            Owner::Process(_) => true,
        }
    }

    /// Whether somebody who was seen is a workload with something to show.
    pub fn admits(&mut self, seen: &Seen) -> bool {
        self.has_pods |= matches!(seen.owner, Owner::Pod { .. });
        self.managed |= matches!(seen.owner, Owner::Pod { .. } | Owner::Job(_));
        if !self.wants(&seen.owner) {
            return false;
        }
        let Owner::Pod { uid, container } = &seen.owner else {
            return true;
        };
        let told = |book: &Arc<PodBook>| {
            book.pod(uid).is_some_and(|pod| !pod.containers.is_empty())
                && !book.knows(uid, container)
        };
        if !self.book.as_ref().is_some_and(told) {
            self.unknown.remove(&seen.owner);
            return true;
        }
        if seen.until.is_some() {
            let used = self.unknown.remove(&seen.owner);
            return used.is_some_and(|used| used >= SANDBOX);
        }
        let used = self.unknown.entry(seen.owner.clone()).or_default();
        *used += seen.cpu;
        *used >= SANDBOX
    }

    /// The names of these, and of those who have ended of late without one.
    pub fn names(
        &mut self,
        owners: BTreeSet<&Owner>,
        jobs: &Jobs,
        at: Duration,
    ) -> Vec<(Owner, Arc<Identity>, Arc<About>)> {
        let mut told = Vec::with_capacity(owners.len());
        for owner in &owners {
            match self.name(owner, jobs) {
                Some((identity, about)) => told.push(((*owner).clone(), identity, about)),
                None => drop(self.nameless.insert((*owner).clone(), at)),
            }
        }
        self.nameless
            .retain(|_, seen| at.saturating_sub(*seen) < LATE);
        let late: Vec<Owner> = self
            .nameless
            .keys()
            .filter(|owner| !owners.contains(owner))
            .cloned()
            .collect();
        for owner in late {
            if let Some((identity, about)) = self.name(&owner, jobs) {
                self.nameless.remove(&owner);
                told.push((owner, identity, about));
            }
        }
        // Names of those who are gone are not kept.
        self.names.retain(|owner, _| owners.contains(owner));
        told
    }

    fn name(&mut self, owner: &Owner, jobs: &Jobs) -> Option<Name> {
        if let Some(known) = self.names.get(owner) {
            return Some(known.clone());
        }
        let (identity, about) = match owner {
            Owner::Pod { .. } => self.book.as_ref()?.identity(owner)?,
            Owner::Named {
                namespace,
                pod,
                container,
            } => {
                let known = self.book.as_ref().and_then(|book| book.identity(owner));
                known.unwrap_or_else(|| {
                    let identity = Identity {
                        manager: Manager::Pod,
                        namespace: Arc::clone(namespace),
                        name: Arc::clone(pod),
                        container: Arc::clone(container),
                    };
                    (identity, About::default())
                })
            }
            Owner::Job(job) if jobs.is_waiting(job) => return None,
            Owner::Job(job) => {
                let (identity, about) = jobs.identity(job)?;
                // Not kept before the job is known: it gets another name then.
                if about == About::default() {
                    return Some((Arc::new(identity), Arc::new(about)));
                }
                (identity, about)
            }
            Owner::Container(id) => containers::identity(&self.config.containers, id, &self.labels),
            Owner::Unit(unit) => systemd::identity(unit),
            Owner::Process(name) => processes::identity(name),
        };
        let name = (Arc::new(identity), Arc::new(about));
        self.names.insert(owner.clone(), name.clone());
        Some(name)
    }
}
