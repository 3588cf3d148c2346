//! What the pods of this node are called: an immutable value, a new one for each change.

use super::pod::{Phase, Pod, Run};
use crate::workload::{About, Identity, Manager, Owner};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// How long a pod is remembered after it is gone: what it used is found out a little later.
const REMEMBERED: Duration = Duration::from_secs(600);
/// Most pods that are known at once. A kubelet's own limit is 110 where nobody has raised it.
const MOST_PODS: usize = 4096;
/// Most pods that are remembered after they are gone.
const MOST_GONE: usize = 1024;

/// Pods by what their control groups are called, and by name.
#[derive(Clone, Debug, Default)]
pub struct PodBook {
    pods: HashMap<Arc<str>, Entry>,
    /// The newest pod of each namespace and name.
    names: HashMap<(Arc<str>, Arc<str>), Arc<str>>,
    is_filled: bool,
}

#[derive(Clone, Debug)]
struct Entry {
    pod: Arc<Pod>,
    /// When it was found to be gone, in time since boot.
    gone: Option<Duration>,
}

impl PodBook {
    /// Whether somebody has told all pods of this node at least once.
    #[must_use]
    pub fn is_filled(&self) -> bool {
        self.is_filled
    }

    /// How many pods there are now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pods
            .values()
            .filter(|entry| entry.gone.is_none())
            .count()
    }

    /// Whether there is none now.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A pod by what its control group is called, also some time after its end.
    #[must_use]
    pub fn pod(&self, key: &str) -> Option<&Arc<Pod>> {
        Some(&self.pods.get(key)?.pod)
    }

    /// What a pod's container is called. A container that the pod does not tell of (yet) is called like
    /// what is in the pod and in none of its containers: by the pod alone. `None` for a pod that nobody
    /// has told of, and for what is no pod; who is known by name alone has that name.
    #[must_use]
    pub fn identity(&self, owner: &Owner) -> Option<(Identity, About)> {
        match owner {
            Owner::Pod { uid, container } => {
                let pod = self.pod(uid)?;
                let found = pod.run(container).map(|(found, _)| found);
                let (name, cpus) = match found {
                    Some(found) => (Arc::clone(&found.name), found.cpus),
                    None => ("".into(), pod.about.cpus),
                };
                Some(told(pod, name, cpus))
            }
            Owner::Named {
                namespace,
                pod,
                container,
            } => {
                if let Some(known) = self.named(namespace, pod) {
                    let cpus = known.container(container).and_then(|found| found.cpus);
                    return Some(told(known, Arc::clone(container), cpus));
                }
                let identity = Identity {
                    manager: Manager::Pod,
                    namespace: Arc::clone(namespace),
                    name: Arc::clone(pod),
                    container: Arc::clone(container),
                };
                Some((identity, About::default()))
            }
            _ => None,
        }
    }

    /// Whose control group a container is that is known by name: that which runs, or else ran last.
    /// `None` where it has not been started, or nobody has told of it.
    #[must_use]
    pub fn owner_of(&self, namespace: &str, pod: &str, container: &str) -> Option<Owner> {
        let pod = self.named(namespace, pod)?;
        let runs = &pod.container(container)?.runs;
        let run = runs
            .iter()
            .find(|run| run.is_running)
            .or_else(|| runs.first())?;
        Some(Owner::Pod {
            uid: Arc::clone(&pod.key),
            container: Arc::clone(&run.id),
        })
    }

    /// When a container of a pod was started, and when it ended.
    #[must_use]
    pub fn run(&self, owner: &Owner) -> Option<&Run> {
        let Owner::Pod { uid, container } = owner else {
            return None;
        };
        self.pod(uid)?.run(container).map(|(_, run)| run)
    }

    /// Whether a pod tells of a container by this id.
    #[must_use]
    pub fn knows(&self, key: &str, container: &str) -> bool {
        self.pod(key)
            .is_some_and(|pod| pod.run(container).is_some())
    }

    /// Whether a pod is gone, and only remembered.
    #[must_use]
    pub fn is_gone(&self, owner: &Owner) -> bool {
        self.entry(owner).is_some_and(|entry| entry.gone.is_some())
    }

    /// Whether a pod has ended, and holds nothing any more: older kubelets go on telling of the devices of a
    /// pod that has run to its end, which another pod may have by then. Of a pod that nobody has told of,
    /// `false`.
    #[must_use]
    pub fn is_over(&self, owner: &Owner) -> bool {
        let is_over = |phase| matches!(phase, Phase::Succeeded | Phase::Failed);
        // Not where it is gone: a kubelet that starts knows none of its pods for a moment.
        self.entry(owner)
            .is_some_and(|entry| is_over(entry.pod.phase))
    }

    fn entry(&self, owner: &Owner) -> Option<&Entry> {
        match owner {
            Owner::Pod { uid, .. } => self.pods.get(uid),
            Owner::Named { namespace, pod, .. } => {
                let name = (Arc::clone(namespace), Arc::clone(pod));
                self.pods.get(self.names.get(&name)?)
            }
            _ => None,
        }
    }

    fn named(&self, namespace: &str, pod: &str) -> Option<&Arc<Pod>> {
        let name = (Arc::from(namespace), Arc::from(pod));
        self.pod(self.names.get(&name)?)
    }

    /// All pods of the node: what is not among them is gone.
    pub(super) fn fill(&mut self, pods: Vec<Pod>, now: Duration) {
        self.is_filled = true;
        let told: std::collections::HashSet<Arc<str>> =
            pods.iter().map(|pod| Arc::clone(&pod.key)).collect();
        for (key, entry) in &mut self.pods {
            if !told.contains(key) {
                entry.gone.get_or_insert(now);
            }
        }
        for pod in pods {
            self.put(pod);
        }
        self.sweep(now);
    }

    /// A pod that is new, or has changed.
    pub(super) fn update(&mut self, pod: Pod, now: Duration) {
        self.put(pod);
        self.sweep(now);
    }

    /// A pod that is gone; the kubelet tells no more of it than its names.
    pub(super) fn remove(&mut self, pod: Pod, now: Duration) {
        let key = Arc::clone(&pod.key);
        if !(pod.containers.is_empty() && self.pods.contains_key(&key)) {
            self.put(pod);
        }
        if let Some(entry) = self.pods.get_mut(&key) {
            entry.gone.get_or_insert(now);
        }
        self.sweep(now);
    }

    fn put(&mut self, mut pod: Pod) {
        let older = self.pods.get(&pod.key);
        if older.is_none() && self.pods.len() >= MOST_PODS + MOST_GONE {
            return;
        }
        if let Some(older) = older {
            pod.remember(&older.pod);
        }
        let name = (Arc::clone(&pod.namespace), Arc::clone(&pod.name));
        self.names.insert(name, Arc::clone(&pod.key));
        let entry = Entry {
            gone: None,
            pod: Arc::new(pod),
        };
        self.pods.insert(Arc::clone(&entry.pod.key), entry);
    }

    /// Forgets what is gone for long, and of too many the longest gone.
    fn sweep(&mut self, now: Duration) {
        let mut gone: Vec<Duration> = self.pods.values().filter_map(|entry| entry.gone).collect();
        gone.sort_unstable();
        let too_many = gone
            .len()
            .checked_sub(MOST_GONE + 1)
            .and_then(|last| gone.get(last));
        let oldest = now.saturating_sub(REMEMBERED);
        let before = self.pods.len();
        self.pods.retain(|_, entry| {
            entry
                .gone
                .is_none_or(|gone| gone >= oldest && too_many.is_none_or(|last| gone > *last))
        });
        if self.pods.len() != before {
            let pods = &self.pods;
            self.names.retain(|_, key| pods.contains_key(key));
        }
    }
}

fn told(pod: &Pod, container: Arc<str>, cpus: Option<f64>) -> (Identity, About) {
    let identity = Identity {
        manager: Manager::Pod,
        namespace: Arc::clone(&pod.namespace),
        name: Arc::clone(&pod.name),
        container,
    };
    let about = About {
        cpus,
        ..pod.about.clone()
    };
    (identity, about)
}
