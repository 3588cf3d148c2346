//! Runs: single commands whose whole family of processes is followed, wherever in the control groups it is.
//!
//! A family is a process and all that descend from it. Its CPU time is what those that live have used, with what
//! the kernel has added to each from children that ended and were waited for (`cutime`, `cstime`:
//! proc_pid_stat(5)). A process whose parent ignores its end (`SIGCHLD` set to be ignored) takes what it used since
//! the last look with it.

use super::stat::stat;
use crate::file;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Most processes of one family that are looked at.
const MOST: usize = 10_000;

/// Largest `status` or `children` file that is read.
const LARGEST: u64 = 256 << 10;

/// What a run is known by: short, and not given twice.
pub type Id = Arc<str>;

/// The head of a family of processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Its number, as the host has it.
    pub pid: u32,
    /// When it began, in ticks since boot: another process may get its number later.
    pub started: u64,
    /// Whether what it does itself is not counted, but only what its children do.
    pub children_alone: bool,
    /// CPU time that the family had used before the run; `None` where what was used before the next look does not
    /// count.
    pub before: Option<Duration>,
}

/// The heads to follow: who takes runs in writes here, who looks reads.
#[derive(Clone, Debug, Default)]
pub struct Roster(Arc<Mutex<BTreeMap<Id, Head>>>);

impl Roster {
    /// Follows a family from now on.
    pub fn add(&self, id: Id, head: Head) {
        self.lock().insert(id, head);
    }

    /// Leaves a family off.
    pub fn remove(&self, id: &str) {
        self.lock().remove(id);
    }

    /// All heads; what they had used before is said once.
    fn turn(&self) -> BTreeMap<Id, Head> {
        let mut heads = self.lock();
        let now = heads.clone();
        for head in heads.values_mut() {
            head.before = None;
        }
        now
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Id, Head>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A family in the time since the last look.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// Which.
    pub id: Id,
    /// CPU time used since the last look.
    pub cpu: Duration,
    /// Memory held now, in bytes: of all processes, where what several share counts for each.
    pub memory: u64,
    /// Processes that live, without a head that is not counted.
    pub processes: usize,
    /// Whether its head is there still.
    pub alive: bool,
}

/// What a family was found to be.
#[derive(Debug, Default)]
struct Family {
    cpu: Option<Duration>,
    pids: BTreeSet<u32>,
}

/// The families that are followed.
#[derive(Debug)]
pub struct Families {
    proc: PathBuf,
    roster: Roster,
    known: BTreeMap<Id, Family>,
}

impl Families {
    /// Those of a roster, below a mount of procfs.
    #[must_use]
    pub fn new(proc: &Path, roster: Roster) -> Self {
        Self {
            proc: proc.to_owned(),
            roster,
            known: BTreeMap::new(),
        }
    }

    /// Looks at all of them.
    pub fn look(&mut self) -> Vec<Seen> {
        let heads = self.roster.turn();
        self.known.retain(|id, _| heads.contains_key(id));
        let mut all = Vec::with_capacity(heads.len());
        for (id, head) in heads {
            let family = self.known.entry(Arc::clone(&id)).or_default();
            let Some(found) = look(&self.proc, &head) else {
                all.push(Seen {
                    id,
                    cpu: Duration::ZERO,
                    memory: 0,
                    processes: 0,
                    alive: false,
                });
                continue;
            };
            let before = family.cpu.or(head.before).unwrap_or(found.cpu);
            family.cpu = Some(found.cpu.max(before));
            family.pids = found.pids;
            all.push(Seen {
                id,
                cpu: found.cpu.saturating_sub(before),
                memory: found.memory,
                processes: family.pids.len(),
                alive: true,
            });
        }
        all
    }

    /// The run that a process belongs to, by the last look.
    #[must_use]
    pub fn run_of(&self, pid: u32) -> Option<Id> {
        let mut known = self.known.iter();
        let found = known.find(|(_, family)| family.pids.contains(&pid));
        found.map(|(id, _)| Arc::clone(id))
    }
}

/// CPU time that a family has used by now; `None` where its head is gone.
#[must_use]
pub fn used(proc: &Path, head: &Head) -> Option<Duration> {
    look(proc, head).map(|found| found.cpu)
}

struct Found {
    cpu: Duration,
    memory: u64,
    pids: BTreeSet<u32>,
}

/// A family as it is now; `None` where its head is gone.
fn look(proc: &Path, head: &Head) -> Option<Found> {
    let own = stat(proc, head.pid).filter(|own| own.started == head.started && !own.ended)?;
    let mut found = Found {
        cpu: own.of_children,
        memory: 0,
        pids: BTreeSet::new(),
    };
    if !head.children_alone {
        found.cpu += own.used;
        found.memory += own.memory;
        found.pids.insert(head.pid);
    }
    let mut waiting = children(proc, head.pid);
    while let Some(pid) = waiting.pop() {
        if found.pids.len() >= MOST || found.pids.contains(&pid) {
            continue;
        }
        // One that has just ended is in its parent's sum, or will be.
        let Some(stat) = stat(proc, pid) else {
            continue;
        };
        found.cpu += stat.used + stat.of_children;
        found.memory = found.memory.saturating_add(stat.memory);
        found.pids.insert(pid);
        waiting.extend(children(proc, pid));
    }
    Some(found)
}

/// The children of all threads of a process: `/proc/PID/task/TID/children` (proc_tid_children(5)).
fn children(proc: &Path, pid: u32) -> Vec<u32> {
    let Ok(tasks) = fs::read_dir(proc.join(pid.to_string()).join("task")) else {
        return Vec::new();
    };
    let mut all = Vec::new();
    for task in tasks.flatten() {
        if let Ok(text) = file::read(&task.path().join("children"), LARGEST) {
            let text = String::from_utf8_lossy(&text);
            all.extend(
                text.split_ascii_whitespace()
                    .filter_map(|pid| pid.parse::<u32>().ok()),
            );
        }
    }
    all
}

/// The number that a process has in the innermost namespace that it is in: the last of `NSpid` in
/// `/proc/PID/status` (proc_pid_status(5)); and whose it is (its real user).
#[must_use]
pub fn number_and_user(proc: &Path, pid: u32) -> Option<(u32, u32)> {
    let text = file::read(&proc.join(pid.to_string()).join("status"), LARGEST).ok()?;
    let text = String::from_utf8_lossy(&text);
    let words = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        Some(
            line.split_ascii_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>(),
        )
    };
    let user = words("Uid:")?.first()?.parse().ok()?;
    let inner = words("NSpid:").and_then(|numbers| numbers.last()?.parse().ok());
    Some((inner.unwrap_or(pid), user))
}

/// The processes that a process descends from, itself first.
#[must_use]
pub fn ancestors(proc: &Path, pid: u32) -> Vec<u32> {
    let mut all = vec![pid];
    let mut last = pid;
    while let Some(found) = stat(proc, last).filter(|found| found.parent != 0) {
        // A process that ends while it is looked at gives its place to others: no circle is walked for ever.
        if all.contains(&found.parent) {
            break;
        }
        last = found.parent;
        all.push(last);
    }
    all
}

/// The process that `asker` calls `wanted`: itself, or one that it descends from and that is the same user's.
#[must_use]
pub fn ancestor(proc: &Path, asker: u32, wanted: u32) -> Option<u32> {
    let (_, user) = number_and_user(proc, asker)?;
    ancestors(proc, asker)
        .into_iter()
        .find(|pid| number_and_user(proc, *pid) == Some((wanted, user)))
}

#[cfg(test)]
mod tests;
