//! Attribution: who used the joules. Every device's energy waits until it is known who did what while it
//! was used, and is then divided to the last joule among workloads, `idle`, `system` and `unattributed`.
//!
//! So that nothing is counted twice and nothing is lost, for each device and kind at every moment
//! *workloads + idle + system + unattributed + what still waits + what has left the page = device*.
//! What waits is at most as old as [`PATIENCE`]; then it is `unattributed`.

mod accounts;
mod divide;
mod page;
mod pending;
mod report;

mod rest;
mod runs;
mod split;
mod windows;

use crate::sensor::Kind;
use crate::units::{Grams, Joules};
use crate::workload::census::{Census, Occupancies};
use crate::workload::runs::Id;
use crate::workload::{Health, Seen};
use accounts::{Accounts, Flow};
use pending::{Chunk, Pending};
use rest::Rests;
use runs::{Gathered, Runs};
pub use runs::{RunBook, RunUse};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use windows::{Occupied, RunHold, RunShare, Window, Windows};

/// Longest time that energy waits for somebody to say who used it.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What is done with the power that processors and memory draw at rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Idle {
    /// It is nobody's: the workload `idle`.
    #[default]
    Separate,
    /// It is divided like what was drawn beyond it.
    Proportional,
    /// It is divided by the CPUs that were asked for; the rest of it is `idle`.
    ByRequest,
}

/// What the configuration decides.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// What is done with power at rest.
    pub idle: Idle,
    /// Whether what only the meter sees is divided like the devices' power beyond rest; else it is the
    /// system's.
    pub divide_other: bool,
    /// Power at rest of devices, by device id or kind, where it is not to be measured (W).
    pub rests: BTreeMap<String, f64>,
    /// An accelerator that is less busy than this is reserved and idle, 0 to 1.
    pub idle_below: f64,
    /// Most workloads with series of their own.
    pub max: usize,
    /// How long a workload stays on the page after its end.
    pub linger: Duration,
    /// How long a new one is shown with 0, so that a scrape sees where it began.
    pub introduce: Duration,
    /// Names of the labels that a workload's info shows, as Kubernetes has them.
    pub labels: Arc<[Arc<str>]>,
    /// The names that they are shown under.
    pub label_names: Arc<[Arc<str>]>,
}

/// To whom a share goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum To {
    /// Nobody: the device at rest.
    Idle,
    /// The machine itself.
    System,
    /// Nobody knows.
    Unattributed,
    /// Somebody, by number.
    Tenant(u32),
}

/// What must be kept over a restart.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Saved {
    accounts: accounts::Saved,
    rests: Rests,
    #[serde(default)]
    runs: Vec<(Id, RunBook)>,
}

/// How long it is remembered who did what: as long as the ledger's accounts remember, because a meter that is
/// read once a minute tells of a minute ago.
const KEPT: Duration = Duration::from_secs(240);

/// The division of the books among workloads.
#[derive(Debug)]
pub struct Attribution {
    policy: Policy,
    windows: Windows,
    pending: BTreeMap<Arc<str>, Pending>,
    rests: Rests,
    accounts: Accounts,
    runs: Runs,
    flows: BTreeMap<Arc<str>, Flow>,
    health: Vec<Health>,
    /// Whether anybody has said who is here since this process began.
    heard: bool,
}

impl Attribution {
    /// Begins, or goes on with what was kept, at `now` (time since boot). `devices` are the books as they stand:
    /// what of them is in nobody's account (what waited before a restart, what was used while nobody divided)
    /// is unattributed.
    #[must_use]
    pub fn new(
        policy: Policy,
        kept: Option<Saved>,
        devices: impl Iterator<Item = (Kind, Joules, Option<Grams>)>,
        now: Duration,
    ) -> Self {
        let kept = kept.unwrap_or_default();
        let mut accounts = Accounts::restore(kept.accounts, now);
        accounts.level(devices);
        Self {
            windows: Windows::default(),
            pending: BTreeMap::new(),
            rests: kept.rests,
            accounts,
            runs: Runs::restore(kept.runs),
            flows: BTreeMap::new(),
            health: Vec::new(),
            heard: false,
            policy,
        }
    }

    /// What must be kept so that a later process goes on.
    #[must_use]
    pub fn save(&self) -> Saved {
        Saved {
            accounts: self.accounts.save(),
            rests: self.rests.clone(),
            runs: self.runs.save(),
        }
    }

    /// Keeps books of a run from now on, which began at `since` (time since boot).
    pub fn open_run(&mut self, id: Id, since: Duration) {
        self.runs.open(id, since);
    }

    /// A run has ended: what was used before is still booked to it.
    pub fn end_run(&mut self, id: &str, until: Duration) {
        self.runs.end(id, until);
    }

    /// Forgets a run.
    pub fn close_run(&mut self, id: &str) {
        self.runs.close(id);
    }

    /// What a run has used by now, as far as that is divided.
    #[must_use]
    pub fn run_uses(&self, id: &str, now: Duration) -> Vec<RunUse> {
        self.runs.uses(id, now)
    }

    /// Until when it is known what runs used (time since boot).
    #[must_use]
    pub fn runs_known(&self, now: Duration) -> Option<Duration> {
        self.runs.known(now)
    }

    /// Takes a new policy from now on.
    pub fn choose(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// Takes energy that a device used, to be divided when it is known who did what then.
    pub fn book(
        &mut self,
        device: &Arc<str>,
        kind: Kind,
        energy: (Joules, Option<Grams>),
        (from, to): (Duration, Duration),
        utilization: Option<f64>,
    ) {
        let pending = self.pending.entry(Arc::clone(device));
        let pending = pending.or_insert_with(|| Pending::new(kind));
        pending.push(Chunk {
            from: from.min(to),
            to,
            joules: energy.0,
            grams: energy.1,
            utilization,
        });
    }

    /// Takes who was here and who did what.
    pub fn take(&mut self, census: Census) {
        let at = census.at.boot;
        self.heard = true;
        let seen: Vec<(To, &Seen)> = census
            .seen
            .iter()
            .map(|seen| (self.accounts.tenant(&seen.owner, seen.since, at), seen))
            .collect();
        if let Some(occupancies) = &census.gpus {
            let occupied = self.occupied(occupancies, at);
            self.windows.push_occupied(occupied);
        }
        for owner in &census.holding {
            self.accounts.tenant(owner, None, at);
        }
        let kinds = self.kinds();
        for (owner, identity, about) in &census.names {
            self.accounts
                .name(owner, identity, about, &kinds, &self.policy, at);
        }
        self.accounts.seen_all(at);
        for (to, seen) in &seen {
            if let (To::Tenant(number), Some(until)) = (to, seen.until) {
                self.accounts.end(*number, until);
            }
        }
        let window = self.window(&census, &seen);
        self.windows.push(window);
        self.health = census.health;
    }

    fn occupied(&mut self, occupancies: &Occupancies, at: Duration) -> Occupied {
        let mut devices = BTreeMap::new();
        for (device, holders) in &occupancies.devices {
            let holders = holders.iter().map(|holder| {
                let to = match &holder.owner {
                    Some(owner) if holder.until.is_none() => {
                        self.accounts.tenant(owner, holder.since, at)
                    }
                    Some(owner) => self.accounts.tenant_of_late(owner, holder.since, at),
                    None => To::System,
                };
                (to, holder.clone())
            });
            devices.insert(Arc::clone(device), holders.collect());
        }
        let runs = occupancies.runs.iter().map(|hold| RunHold {
            id: Arc::clone(&hold.run),
            device: Arc::clone(&hold.device),
            to: match &hold.owner {
                Some(owner) => self.accounts.tenant_of_late(owner, None, at),
                None => To::System,
            },
            part: hold.part,
        });
        Occupied {
            from: occupancies.from,
            to: occupancies.at,
            runs: runs.collect(),
            devices,
        }
    }

    /// The shares of one stretch of time.
    fn window(&self, census: &Census, seen: &[(To, &Seen)]) -> Window {
        let mut window = Window {
            from: census.from,
            to: census.at.boot,
            ..Window::default()
        };
        let Some(machine) = census.machine else {
            return window;
        };
        let (busy, idle) = (machine.busy.as_secs_f64(), machine.idle.as_secs_f64());
        window.busy = (busy + idle > 0.0).then(|| busy / (busy + idle));
        #[allow(clippy::cast_precision_loss)]
        let (used, all) = (machine.memory_used as f64, f64::from(machine.cpus));
        let of = |some: f64, all: f64| if all > 0.0 { some / all } else { 0.0 };
        for (to, seen) in seen {
            #[allow(clippy::cast_precision_loss)]
            let held = seen.memory as f64;
            let (cpu, memory) = (of(seen.cpu.as_secs_f64(), busy), of(held, used));
            if cpu > 0.0 {
                window.cpu.push((*to, cpu));
            }
            if cpu > 0.0 || memory > 0.0 {
                window.memory.push((*to, (cpu + memory) / 2.0));
            }
            if let Some(cpus) = self.accounts.cpus(*to).filter(|_| seen.until.is_none()) {
                window.requests.push((*to, of(cpus, all)));
            }
        }
        let time = (window.from, window.to);
        window.runs.extend(census.runs.iter().map(|seen| {
            #[allow(clippy::cast_precision_loss)]
            let (cpu, memory) = (
                of(seen.cpu.as_secs_f64(), busy),
                of(seen.memory as f64, used),
            );
            RunShare {
                id: Arc::clone(&seen.id),
                cpu,
                // One that began or ended meanwhile held it for a part of the time.
                memory: (cpu + memory * self.runs.within(&seen.id, time)) / 2.0,
            }
        }));
        window
    }

    /// Kinds of device that there are.
    fn kinds(&self) -> Vec<Kind> {
        let mut kinds: Vec<Kind> = self.pending.values().map(|pending| pending.kind).collect();
        // Who holds no accelerator has no such series, and `other` may be the system's.
        kinds.retain(|kind| match kind {
            Kind::Gpu => false,
            Kind::Other => self.policy.divide_other,
            _ => true,
        });
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }

    /// Divides all energy of which it is known who used it, and what has waited for too long.
    pub fn settle(&mut self, now: Duration) {
        let processors = self.windows.known_processors().unwrap_or_default();
        let accelerators = self.windows.known_accelerators().unwrap_or_default();
        let devices: Vec<(Arc<str>, Kind)> = self
            .pending
            .iter()
            .map(|(device, pending)| (Arc::clone(device), pending.kind))
            .collect();
        // `other` goes by what the devices did, so it comes last.
        let (other, devices): (Vec<_>, Vec<_>) = devices
            .into_iter()
            .partition(|(_, kind)| *kind == Kind::Other);
        for (device, kind) in devices.into_iter().chain(other) {
            let known = match kind {
                Kind::Gpu => accelerators,
                Kind::Other if self.policy.divide_other => processors.min(accelerators),
                Kind::Other => now,
                _ => processors,
            };
            let until = known.max(now.saturating_sub(PATIENCE));
            let Some(pending) = self.pending.get_mut(&device) else {
                continue;
            };
            let chunks = pending.take(until);
            self.divide_all(&device, kind, chunks, now);
        }
        self.windows.forget(now);
        let kinds = self.kinds();
        self.accounts.tend(&kinds, &self.policy, now);
    }

    fn divide_all(&mut self, device: &Arc<str>, kind: Kind, chunks: Vec<Chunk>, now: Duration) {
        let mut flow: BTreeMap<To, Joules> = BTreeMap::new();
        let mut of_runs = Gathered::new();
        let (mut time, mut until) = (Duration::ZERO, Duration::ZERO);
        for chunk in chunks {
            time += chunk.time();
            until = until.max(chunk.to);
            for piece in self.divided(device, kind, chunk) {
                self.share_out(kind, &piece, &mut flow, now);
                self.runs
                    .book(kind, &piece.chunk, &piece.runs, &mut of_runs, now);
            }
        }
        if until.is_zero() {
            return;
        }
        self.runs.note(device, kind, (until, time), of_runs);
        let watts = flow
            .into_iter()
            .filter_map(|(to, joules)| Some((to, joules.over(time)?)));
        let flow = Flow {
            kind,
            until,
            watts: watts.collect(),
        };
        self.flows.insert(Arc::clone(device), flow);
    }
}
