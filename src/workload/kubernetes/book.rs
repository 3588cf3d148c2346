//! All pods that are known, as a value, and the place where the newest is kept.

use super::pod::{Container, Pod};
use super::{Shared, fault};
use crate::sensor::Fault;
use crate::workload::{About, Identity, Manager, Owner};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Most pods of a node that are remembered, those that are gone included. Kubernetes advises 110.
const MOST: usize = 5_000;

/// Pods by UID.
#[derive(Clone, Debug, Default)]
pub struct PodBook {
    pods: BTreeMap<Arc<str>, Arc<Pod>>,
    /// By the hash that a static pod's control groups are named after.
    hashes: BTreeMap<Arc<str>, Arc<str>>,
    /// Those that are gone, oldest first: their last joules are still to be named.
    gone: Vec<Arc<str>>,
    /// Whether all that there are have been told.
    pub complete: bool,
}

impl PodBook {
    /// Adds a pod, or takes its newest form.
    pub(super) fn add(&mut self, pod: Pod) {
        if let Some(hash) = &pod.hash {
            self.hashes.insert(Arc::clone(hash), Arc::clone(&pod.uid));
        }
        self.gone.retain(|uid| *uid != pod.uid);
        self.pods.insert(Arc::clone(&pod.uid), Arc::new(pod));
        self.tidy();
    }

    /// Notes that a pod is gone; it is remembered for a while.
    pub(super) fn lose(&mut self, uid: &str) {
        if let Some((uid, _)) = self.pods.get_key_value(uid) {
            self.gone.push(Arc::clone(uid));
        }
        self.tidy();
    }

    /// Notes that all pods but these are gone.
    pub(super) fn keep(&mut self, uids: &[Arc<str>]) {
        let is_gone = |uid: &&Arc<str>| !uids.contains(uid) && !self.gone.contains(uid);
        let gone: Vec<Arc<str>> = self.pods.keys().filter(is_gone).cloned().collect();
        self.gone.extend(gone);
        self.complete = true;
        self.tidy();
    }

    fn tidy(&mut self) {
        // Those that are gone are forgotten when there are many, not by a clock.
        let many = self.gone.len().saturating_sub(MOST / 10);
        let over = self.pods.len().saturating_sub(MOST);
        for uid in self.gone.drain(..many.max(over).min(self.gone.len())) {
            if let Some(hash) = self.pods.remove(&uid).and_then(|pod| pod.hash.clone()) {
                self.hashes.remove(&hash);
            }
        }
    }

    /// The pod of a UID, or of the hash of a static one.
    #[must_use]
    pub fn pod(&self, uid: &str) -> Option<&Arc<Pod>> {
        let of_hash = || self.pods.get(self.hashes.get(uid)?);
        self.pods.get(uid).or_else(of_hash)
    }

    /// What somebody is called, and what is known of it.
    #[must_use]
    pub fn identity(&self, owner: &Owner) -> Option<(Identity, About)> {
        match owner {
            Owner::Pod { uid, container } => {
                let pod = self.pod(uid)?;
                let found = pod.containers.iter().find(|other| other.id == *container);
                Some((named(pod, found), pod.about(found)))
            }
            Owner::Named {
                namespace,
                pod,
                container,
            } => {
                let pod = self.named(namespace, pod)?;
                let found = pod.containers.iter().find(|other| other.name == *container);
                Some((named(pod, found), pod.about(found)))
            }
            _ => None,
        }
    }

    /// Whether a container is one that the pod is known to have.
    #[must_use]
    pub fn knows(&self, uid: &str, container: &str) -> bool {
        let pod = self.pod(uid);
        pod.is_some_and(|pod| pod.containers.iter().any(|other| &*other.id == container))
    }

    /// The owner of a container's control group, of which only names are told.
    #[must_use]
    pub fn owner_of(&self, namespace: &str, pod: &str, container: &str) -> Option<Owner> {
        let pod = self.named(namespace, pod)?;
        let found = pod
            .containers
            .iter()
            .find(|other| &*other.name == container)?;
        (!found.id.is_empty()).then(|| Owner::Pod {
            uid: pod.hash.clone().unwrap_or_else(|| Arc::clone(&pod.uid)),
            container: Arc::clone(&found.id),
        })
    }

    /// The pod of a name that is here; of two the one that is not gone.
    fn named(&self, namespace: &str, name: &str) -> Option<&Arc<Pod>> {
        let is_it = |pod: &&Arc<Pod>| *pod.namespace == *namespace && *pod.name == *name;
        self.pods
            .values()
            .filter(is_it)
            .max_by_key(|pod| !self.gone.contains(&pod.uid))
    }
}

fn named(pod: &Pod, container: Option<&Container>) -> Identity {
    Identity {
        manager: Manager::Pod,
        namespace: Arc::clone(&pod.namespace),
        name: Arc::clone(&pod.name),
        container: container.map_or_else(|| "".into(), |container| Arc::clone(&container.name)),
    }
}

/// Where the newest book is kept, and what is wrong with whoever writes it.
#[derive(Debug)]
pub(super) struct Shelf {
    pub labels: Arc<[Arc<str>]>,
    book: Shared<Arc<PodBook>>,
    fault: Shared<Option<Fault>>,
}

impl Shelf {
    pub fn new(labels: Arc<[Arc<str>]>) -> Self {
        let waiting = fault("pod names", "nobody has answered yet".into(), "");
        Self {
            labels,
            book: Shared::default(),
            fault: Shared(std::sync::Mutex::new(Some(waiting))),
        }
    }
    pub fn book(&self) -> Arc<PodBook> {
        self.book.get()
    }
    pub fn put(&self, book: &PodBook) {
        self.book.set(Arc::new(book.clone()));
    }
    pub fn fail(&self, fault: Option<Fault>) {
        self.fault.set(fault);
    }
    pub fn fault(&self) -> Option<Fault> {
        self.fault.get()
    }
}
