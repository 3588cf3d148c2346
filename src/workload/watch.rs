//! Looks who is here and who does what, at its own pace and in a thread of its own, and joins what control groups,
//! managers and accelerators tell into one [`Census`].

use super::census::{Census, Occupancies};
use super::config::Workloads;
use super::gpu::{Gpus, Observer};
use super::kubernetes::{self, PodBook, PodResources};
use super::machine::Reader;
use super::names::Directory;
use super::occupancy::{self, Inventory, Tenure};
use super::processes::Processes;
use super::runs::{Families, Id, Roster};
use super::slurm::Jobs;
use super::{Health, Hold, Owner, ProcessUse, Seen, cgroup, occupancy::Held};
use crate::clock::{self, Moment};
use crate::sensor::{Cause, Fault};
use crate::snapshot::Snapshot;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;
use tokio::sync::watch::Receiver;
use tracing::warn;

/// So often the kubelet is asked who holds accelerators where nobody came or went.
const POLL: Duration = Duration::from_secs(10);

/// So many times as long as it takes from one to the next, what was found on accelerators stands while nothing newer
/// is told.
const STALE: u32 = 4;

/// Everything that the looking needs to know.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The configuration.
    pub config: Workloads,
    /// The machine's name.
    pub host: String,
    /// `/sys`, or what stands for it.
    pub sys: PathBuf,
    /// `/proc`, or what stands for it.
    pub proc: PathBuf,
    /// NVIDIA's library, where it may be used.
    pub nvml: Option<PathBuf>,
    /// Whether AMD's GPUs are read.
    pub amd: bool,
}

/// The thread. Dropping it ends it after the look that it is in.
#[derive(Debug)]
pub struct Lookout {
    stop: Arc<AtomicBool>,
    thread: Thread,
}

impl Lookout {
    /// Starts to look. `deliver` takes a census, and says whether anybody wants more; `devices` shows what the
    /// engine knows of them; the runs of `roster` are followed.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn start(
        plan: Plan,
        roster: Roster,
        devices: Receiver<Arc<Snapshot>>,
        deliver: impl Fn(Census) -> bool + Send + 'static,
    ) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        let every = plan.config.interval();
        let look = move || {
            let every_look = plan.config.gpu_interval.duration();
            let nvidia = plan.nvml.as_ref();
            let nvidia = nvidia.and_then(|nvml| Observer::start(nvml, &plan.sys, every_look));
            let amd = plan.amd.then(|| Observer::start_amd(&plan.sys, every_look));
            let observers = nvidia.into_iter().chain(amd.flatten());
            let gpus = observers.map(|observer| -> Ask {
                Box::new(move || (observer.latest(), observer.health()))
            });
            let gpus = gpus.collect();
            let mut looker = Looker::new(&plan, gpus, roster, clock::now().boot);
            let mut next = clock::now().awake;
            while !flag.load(Ordering::Relaxed) {
                let now = clock::now().awake;
                if now < next {
                    thread::park_timeout(next - now);
                    continue;
                }
                next = (next + every).max(now);
                let inventory = Inventory::of(&devices.borrow());
                if !deliver(looker.look(clock::now(), &inventory)) {
                    return;
                }
            }
        };
        let thread = thread::Builder::new()
            .name("workloads".into())
            .spawn(look)?;
        Ok(Self {
            stop,
            thread: thread.thread().clone(),
        })
    }
}

impl Drop for Lookout {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.unpark();
    }
}

/// Gives what was last found of who uses GPUs, and how whoever looks is.
pub type Ask = Box<dyn FnMut() -> (Option<Arc<Gpus>>, Health)>;

/// All that looks, and what it found before.
pub struct Looker {
    config: Workloads,
    mount: PathBuf,
    proc: PathBuf,
    tree: Option<cgroup::Tree>,
    machine: Reader,
    jobs: Jobs,
    processes: Processes,
    families: Families,
    pods: Option<kubernetes::Names>,
    resources: Option<PodResources>,
    gpus: Vec<Ask>,
    /// Whose the processes on accelerators were at the last look.
    users: BTreeMap<u32, Option<Owner>>,
    directory: Directory,
    tenure: Tenure,
    last: Duration,
    /// When the kubelet was last asked, what it said, and what was wrong.
    polled: Option<Duration>,
    held: Vec<Hold>,
    /// Until when it is told who was on accelerators.
    occupied: Duration,
}

impl Looker {
    /// Begins to look at `now` (time since boot).
    #[must_use]
    pub fn new(plan: &Plan, gpus: Vec<Ask>, roster: Roster, now: Duration) -> Self {
        let config = plan.config.clone();
        let kubernetes = config.kubernetes();
        let mount = plan.sys.join("fs/cgroup");
        let labels = config.label_names();
        Self {
            tree: cgroup::Tree::open(&mount),
            machine: Reader::new(&plan.proc),
            jobs: Jobs::new(&plan.proc, &config.slurm),
            processes: Processes::new(&plan.proc, &config.processes),
            pods: kubernetes::start(&kubernetes, &plan.host, &labels)
                .inspect_err(|error| warn!("no thread to ask for the names of pods: {error}"))
                .ok(),
            resources: PodResources::new(&kubernetes, &plan.host)
                .inspect_err(|error| warn!("no way to ask the kubelet: {error}"))
                .ok()
                .flatten(),
            gpus,
            users: BTreeMap::new(),
            families: Families::new(&plan.proc, roster),
            directory: Directory::new(&config),
            tenure: Tenure::default(),
            last: now,
            polled: None,
            held: Vec::new(),
            occupied: now,
            proc: plan.proc.clone(),
            mount,
            config,
        }
    }

    /// Looks once.
    pub fn look(&mut self, now: Moment, inventory: &Inventory) -> Census {
        let at = now.boot;
        let mut health = Vec::new();
        let (mut seen, changed) = self.groups(at, &mut health);
        let machine = self.machine.look();
        health.push(Health {
            source: "proc",
            faults: machine.as_ref().err().cloned().into_iter().collect(),
        });
        self.follow(at, &mut seen);
        let runs = self.families.look(at);
        let book = self.pods.as_ref().map(kubernetes::Names::book);
        let told = self.pods.as_ref().map(kubernetes::Names::health);
        // Where nobody is to be asked for names there is nothing to say.
        health.extend(told.filter(|told| told.source != "kubernetes" || !told.faults.is_empty()));
        self.directory.turn_to(book.as_ref());
        self.poll(at, changed, inventory, &mut health);
        seen.retain(|seen| self.directory.admits(seen));
        let holds = self.holds(book.as_deref());
        self.tenure.take(&holds, &seen, at);
        let gpus = self.occupancies(at, inventory, &mut health);
        let holding = self.tenure.holding();
        let owners: BTreeSet<&Owner> = seen
            .iter()
            .map(|seen| &seen.owner)
            .chain(&holding)
            .collect();
        let names = self.directory.names(owners, &self.jobs, at);
        Census {
            from: std::mem::replace(&mut self.last, at),
            at: now,
            machine: machine.ok(),
            seen,
            holding,
            names,
            runs,
            gpus,
            health,
        }
    }

    /// What the control groups tell, and whether anybody came or went.
    fn groups(&mut self, at: Duration, health: &mut Vec<Health>) -> (Vec<Seen>, bool) {
        if self.tree.is_none() {
            self.tree = cgroup::Tree::open(&self.mount);
        }
        let Some(tree) = &mut self.tree else {
            let fault = Fault {
                place: self.mount.display().to_string(),
                cause: Cause::Io(std::io::ErrorKind::NotFound.into()),
                mend: "mount the host's /sys with its control groups and give it by --path.sysfs: without them nobody \
                       knows who runs here"
                    .into(),
            };
            health.push(Health {
                source: "cgroup",
                faults: vec![fault],
            });
            return (Vec::new(), false);
        };
        let look = tree.look(at);
        for (owner, place) in look.came {
            if let Owner::Job(job) = &owner {
                self.jobs.came(job, place);
            }
        }
        for seen in look.seen.iter().filter(|seen| seen.until.is_some()) {
            if let Owner::Job(job) = &seen.owner {
                self.jobs.went(job);
            }
        }
        health.push(Health {
            source: "cgroup",
            faults: look.faults,
        });
        if self.jobs.any() {
            health.push(Health {
                source: "slurm",
                faults: self.jobs.look(),
            });
        }
        (look.seen, look.changed)
    }

    /// Takes what processes of configured patterns did out of the groups that they are in.
    fn follow(&mut self, at: Duration, seen: &mut Vec<Seen>) {
        let found = self.processes.look(at);
        for (owner, cpu, memory) in found.within {
            if let Some(group) = seen.iter_mut().find(|seen| seen.owner == owner) {
                group.cpu = group.cpu.saturating_sub(cpu);
                group.memory = group.memory.saturating_sub(memory);
            }
        }
        seen.extend(found.seen);
    }

    /// Asks the kubelet who holds accelerators, where that is due and there are any.
    fn poll(
        &mut self,
        at: Duration,
        changed: bool,
        inventory: &Inventory,
        health: &mut Vec<Health>,
    ) {
        let due = changed
            || self
                .polled
                .is_none_or(|polled| at.saturating_sub(polled) >= POLL);
        let Some(resources) = self.resources.as_mut().filter(|_| !inventory.is_empty()) else {
            return;
        };
        if due {
            self.polled = Some(at);
            // Who held one holds it still, as far as anybody knows.
            if let Ok(held) = resources.list() {
                self.held = held;
            }
        }
        let mut faults = resources.health().faults;
        let socket = &self.config.kubernetes.pod_resources;
        let is_missing = self.directory.has_pods() && !socket.exists();
        if faults.is_empty() && is_missing {
            faults.push(Fault {
                place: socket.display().to_string(),
                cause: Cause::Io(std::io::ErrorKind::NotFound.into()),
                mend: "mount the directory of the kubelet's pod-resources socket, or give its path in \
                       workloads.kubernetes.pod_resources: until then nobody knows which pod holds which GPU"
                    .into(),
            });
        }
        if socket.exists() || !faults.is_empty() {
            health.push(Health {
                source: "pod-resources",
                faults,
            });
        }
    }

    /// Everybody who holds an accelerator, by the owner that control groups know, where that can be told.
    fn holds(&self, book: Option<&PodBook>) -> Vec<Hold> {
        let known = |hold: &Hold| match &hold.owner {
            Owner::Named {
                namespace,
                pod,
                container,
            } => {
                let owner = book.and_then(|book| book.owner_of(namespace, pod, container));
                Hold {
                    owner: owner.unwrap_or_else(|| hold.owner.clone()),
                    ..hold.clone()
                }
            }
            _ => hold.clone(),
        };
        // Older kubelets go on telling of the devices of a pod that has ended.
        let is_over = |hold: &&Hold| book.is_some_and(|book| book.is_over(&hold.owner));
        let jobs = self.jobs.holds();
        let wanted = jobs
            .into_iter()
            .filter(|hold| self.directory.wants(&hold.owner));
        self.held
            .iter()
            .filter(|hold| !is_over(hold))
            .map(known)
            .chain(wanted)
            .collect()
    }

    fn occupancies(
        &mut self,
        at: Duration,
        inventory: &Inventory,
        health: &mut Vec<Health>,
    ) -> Option<Occupancies> {
        let stale = self.config.gpu_interval.duration() * STALE;
        let fresh: Vec<Arc<Gpus>> = self
            .gpus
            .iter_mut()
            .filter_map(|ask| {
                let (latest, state) = ask();
                health.push(state);
                latest.filter(|gpus| at.saturating_sub(gpus.at) < stale)
            })
            .collect();
        let until = match fresh.iter().map(|gpus| gpus.at).min() {
            Some(told) if told > self.occupied => told,
            Some(_) => return None,
            None if !self.gpus.is_empty() && at.saturating_sub(self.occupied) < stale => {
                return None;
            }
            None => at,
        };
        let from = std::mem::replace(&mut self.occupied, until);
        let gpus = Gpus::together(&fresh);
        self.users = self.users(&gpus);
        let runners = self.runners(&gpus);
        let holds: Vec<Held> = self.tenure.within(from);
        let devices = occupancy::devices(&holds, &gpus, &self.users, inventory);
        self.tenure.forget(until);
        Some(Occupancies {
            from,
            at: until,
            runs: occupancy::runs(&gpus, &self.users, &runners, &devices),
            devices,
        })
    }

    /// The run that each process on an accelerator belongs to; of one that has ended, the one that it did.
    fn runners(&self, gpus: &Gpus) -> BTreeMap<u32, Id> {
        let run = |used: &ProcessUse| {
            let ended = (Arc::clone(&used.device), used.pid);
            self.families
                .run_of(used.pid, gpus.unlisted.contains(&ended))
        };
        let uses = gpus.uses.iter();
        uses.filter_map(|used| Some((used.pid, run(used)?)))
            .collect()
    }

    /// Whose each process on an accelerator is; `None`: the machine's. One that has ended is whose it was, for
    /// another may have its number by now.
    fn users(&mut self, gpus: &Gpus) -> BTreeMap<u32, Option<Owner>> {
        let mut users = BTreeMap::new();
        for used in &gpus.uses {
            let is_unlisted = gpus
                .unlisted
                .contains(&(Arc::clone(&used.device), used.pid));
            let before = self.users.get(&used.pid).filter(|_| is_unlisted);
            users.entry(used.pid).or_insert_with(|| {
                before.cloned().unwrap_or_else(|| {
                    let owner = self.processes.owner_of(used.pid);
                    let owner = owner.or_else(|| cgroup::owner_of(&self.proc, used.pid));
                    owner.filter(|owner| self.directory.wants(owner))
                })
            });
        }
        users
    }
}

/// Whether there is anything to look at.
#[must_use]
pub fn is_possible(sys: &Path, config: &Workloads) -> bool {
    let mount = sys.join("fs/cgroup");
    cgroup::Tree::open(&mount).is_some() || config.kubernetes.pod_resources.exists()
}
