//! Runs: single commands whose whole family of processes is followed, wherever in the control groups it is.
//!
//! A family is a process and all that descend from it. Its CPU time is what those that live have used, with what
//! the kernel has added to each from children that ended and were waited for (`cutime`, `cstime`:
//! proc_pid_stat(5)). A process whose parent ignores its end (`SIGCHLD` set to be ignored), or that left the family, takes
//! what it used since the last look with it, and what others use before the second look after it.

use super::stat::{is_gone, read, stat};
use crate::file;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
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

impl Head {
    /// The process itself.
    #[must_use]
    pub fn born(&self) -> Born {
        (self.pid, self.started)
    }
}

/// The families to follow, and how far each is counted: who takes runs in writes here, who looks reads. It outlives a
/// change of whoever looks.
#[derive(Clone, Debug, Default)]
pub struct Roster(Arc<Mutex<BTreeMap<Id, Followed>>>);

#[derive(Clone, Debug)]
struct Followed {
    head: Head,
    /// CPU time of the family that has been told; `None` before the first look, where nothing was told of before.
    counted: Option<Duration>,
    /// Whether the last look found less than was counted.
    dipped: bool,
    /// Memory at the last look.
    memory: u64,
    /// Whether the run is over, with the CPU time that the family had used by then; `None` where that is not known.
    over: Option<Option<Duration>>,
}

impl Roster {
    /// Follows a family from now on.
    pub fn add(&self, id: Id, head: Head) {
        let followed = Followed {
            counted: head.before,
            head,
            dipped: false,
            memory: 0,
            over: None,
        };
        self.lock().insert(id, followed);
    }

    /// A run is over, and its family had used so much CPU time by then: what it did until then is told at the next look,
    /// and no more.
    pub fn end(&self, id: &str, used: Option<Duration>) {
        if let Some(followed) = self.lock().get_mut(id) {
            followed.over.get_or_insert(used);
        }
    }

    /// Leaves a family off.
    pub fn remove(&self, id: &str) {
        self.lock().remove(id);
    }

    /// The head of a family that is followed.
    #[must_use]
    pub fn head(&self, id: &str) -> Option<Head> {
        self.lock().get(id).map(|followed| followed.head.clone())
    }

    fn all(&self) -> BTreeMap<Id, Followed> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Id, Followed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A family in the time since the last look.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// Which.
    pub id: Id,
    /// CPU time used since the last look, and until the run's end.
    pub cpu: Duration,
    /// Memory held now, or at its last look, in bytes: of all processes, where what several share counts for each.
    pub memory: u64,
    /// Processes that live, without a head that is not counted.
    pub processes: usize,
    /// Whether its head is there still.
    pub alive: bool,
}

/// So long it is remembered which run a process belonged to that has ended: longer than accelerators are not asked about.
const REMEMBERED: Duration = Duration::from_secs(60);

/// The families that are followed.
#[derive(Debug)]
pub struct Families {
    proc: PathBuf,
    roster: Roster,
    /// The run of each process, and when it was seen in it last (time since boot).
    members: BTreeMap<u32, (Id, Duration)>,
    last: Duration,
}

impl Families {
    /// Those of a roster, below a mount of procfs.
    #[must_use]
    pub fn new(proc: &Path, roster: Roster) -> Self {
        Self {
            proc: proc.to_owned(),
            roster,
            members: BTreeMap::new(),
            last: Duration::ZERO,
        }
    }

    /// Looks at all of them at `now` (time since boot).
    pub fn look(&mut self, now: Duration) -> Vec<Seen> {
        self.last = now;
        let mut all = Vec::new();
        for (id, followed) in self.roster.all() {
            let found = look(&self.proc, &followed.head);
            if let Ok(Some(found)) = &found {
                let pids = found.pids.iter();
                self.members
                    .extend(pids.map(|pid| (*pid, (Arc::clone(&id), now))));
            }
            // What cannot be read now may be there still: the next look tells of both.
            if let Ok(found) = found {
                all.extend(self.count(id, found));
            }
        }
        self.members
            .retain(|_, (_, seen)| now.saturating_sub(*seen) < REMEMBERED);
        all
    }

    /// What a family has done since the last look; nothing of one that is no longer followed.
    fn count(&self, id: Id, found: Option<Found>) -> Option<Seen> {
        let mut roster = self.roster.lock();
        let followed = roster.get_mut(&id)?;
        let mut seen = Seen {
            id: Arc::clone(&id),
            cpu: Duration::ZERO,
            memory: found.as_ref().map_or(followed.memory, |found| found.memory),
            processes: found.as_ref().map_or(0, |found| found.pids.len()),
            alive: found.is_some(),
        };
        followed.memory = seen.memory;
        if let Some(used) = followed.over {
            let used = used.or(found.map(|found| found.cpu));
            let counted = followed.counted.or(used).unwrap_or_default();
            seen.cpu = used.unwrap_or_default().saturating_sub(counted);
            roster.remove(&id);
        } else if let Some(found) = found {
            seen.cpu = followed.advance(found.cpu);
        }
        Some(seen)
    }

    /// The run that a process belongs to; of one that `ended`, the one that it belonged to.
    #[must_use]
    pub fn run_of(&self, pid: u32, ended: bool) -> Option<Id> {
        let (id, seen) = self.members.get(&pid)?;
        (ended || *seen == self.last).then(|| Arc::clone(id))
    }
}

impl Followed {
    /// Counts on to what was found, and says how much that is. Less than before is found for a moment where a process has
    /// ended and was not waited for yet, and for good where it never will be.
    fn advance(&mut self, found: Duration) -> Duration {
        let counted = self.counted.unwrap_or(found);
        let is_less = found < counted;
        if !is_less || self.dipped {
            self.counted = Some(found);
            self.dipped = false;
        } else {
            self.counted = Some(counted);
            self.dipped = true;
        }
        found.saturating_sub(counted)
    }
}

/// CPU time that a family has used by now; `None` where its head is gone.
#[must_use]
pub fn used(proc: &Path, head: &Head) -> Option<Duration> {
    look(proc, head).ok().flatten().map(|found| found.cpu)
}

/// Whether the kernel tells of the children of processes (`CONFIG_PROC_CHILDREN`).
#[must_use]
pub fn tells_children(proc: &Path, pid: u32) -> bool {
    let task = proc.join(format!("{pid}/task/{pid}/children"));
    file::read(&task, LARGEST).is_ok()
}

struct Found {
    cpu: Duration,
    memory: u64,
    pids: BTreeSet<u32>,
}

/// A family as it is now; `None` where its head is gone.
///
/// # Errors
/// Where that cannot be told now.
fn look(proc: &Path, head: &Head) -> io::Result<Option<Found>> {
    let own = match read(proc, head.pid) {
        Ok(own) if own.started == head.started && !own.ended => own,
        Ok(_) => return Ok(None),
        Err(error) if is_gone(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
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
    Ok(Some(found))
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

/// A process as it is known outside of its namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Who {
    /// The number that it has in the innermost namespace that it is in.
    pub number: u32,
    /// Whose it is, ...
    pub real: u32,
    /// ... and with whose rights it acts.
    pub effective: u32,
}

/// `NSpid` and `Uid` in `/proc/PID/status` (proc_pid_status(5)).
#[must_use]
pub fn who(proc: &Path, pid: u32) -> Option<Who> {
    let text = file::read(&proc.join(pid.to_string()).join("status"), LARGEST).ok()?;
    let text = String::from_utf8_lossy(&text);
    let numbers = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        let words = line.split_ascii_whitespace();
        Some(words.map_while(|word| word.parse().ok()).collect())
    };
    let users: Vec<u32> = numbers("Uid:")?;
    let inner = numbers("NSpid:").and_then(|numbers| numbers.last().copied());
    Some(Who {
        number: inner.unwrap_or(pid),
        real: *users.first()?,
        effective: *users.get(1)?,
    })
}

/// A process by its number and when it began, in ticks since boot: another may get its number later.
pub type Born = (u32, u64);

/// The processes that a process descends from, itself first.
#[must_use]
pub fn ancestors(proc: &Path, pid: u32) -> Vec<Born> {
    let mut all: Vec<Born> = Vec::new();
    let mut next = pid;
    // A process that ends while it is looked at gives its place to others: no circle is walked for ever.
    while next != 0 && all.iter().all(|(pid, _)| *pid != next) {
        let Some(found) = stat(proc, next) else {
            break;
        };
        all.push((next, found.started));
        next = found.parent;
    }
    all
}

/// The process that `asker`, who is this user's, calls `wanted`: itself, or one that it descends from and that is the
/// same user's, in its rights too.
#[must_use]
pub fn ancestor(proc: &Path, asker: u32, user: u32, wanted: u32) -> Option<Born> {
    let is_it = |who: Who| (who.number, who.real, who.effective) == (wanted, user, user);
    ancestors(proc, asker)
        .into_iter()
        .find(|(pid, _)| who(proc, *pid).is_some_and(is_it))
}

#[cfg(test)]
mod tests;
