//! Processes of a configured pattern, on plain machines. All processes are listed only where there are patterns; each
//! is looked at once, and those that fit are followed.

use super::stat::{Stat, parse};
use super::systemd::fits;
use super::{About, Identity, Manager, Owner, Seen, cgroup};
use crate::file;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// An entry of `workloads.processes`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pattern {
    /// What the workload is called.
    pub name: String,
    /// The command line with its arguments, `*` for any text, such as `python* train.py*`.
    pub command: String,
}

/// Most processes that are followed.
const MOST: usize = 10_000;

/// A process that is followed.
#[derive(Debug)]
struct Process {
    pattern: Arc<str>,
    stat: File,
    started: u64,
    used: Duration,
    since: Option<Duration>,
    /// Who else it would belong to.
    owner: Option<Owner>,
}

/// The patterns, and the processes that fit.
#[derive(Debug)]
pub struct Processes {
    proc: PathBuf,
    patterns: Vec<(Arc<str>, String)>,
    known: BTreeSet<u32>,
    followed: BTreeMap<u32, Process>,
    first: bool,
}

/// What was found of one pattern, and what of it is somebody else's already.
#[derive(Debug, Default)]
pub struct Found {
    /// By pattern.
    pub seen: Vec<Seen>,
    /// CPU time and memory that are in the groups of others.
    pub within: Vec<(Owner, Duration, u64)>,
}

impl Processes {
    /// Those that fit the patterns; none yet.
    #[must_use]
    pub fn new(proc: &Path, patterns: &[Pattern]) -> Self {
        Self {
            proc: proc.to_owned(),
            patterns: patterns
                .iter()
                .map(|pattern| (pattern.name.as_str().into(), pattern.command.clone()))
                .collect(),
            known: BTreeSet::new(),
            followed: BTreeMap::new(),
            first: true,
        }
    }

    /// The pattern that a process fits, if it is followed.
    #[must_use]
    pub fn owner_of(&self, pid: u32) -> Option<Owner> {
        let process = self.followed.get(&pid)?;
        Some(Owner::Process(Arc::clone(&process.pattern)))
    }

    /// Looks at new processes, and at what those that are followed did.
    pub fn look(&mut self, now: Duration) -> Found {
        if self.patterns.is_empty() {
            return Found::default();
        }
        self.list(now);
        let mut sums: BTreeMap<Arc<str>, Seen> = BTreeMap::new();
        let mut found = Found::default();
        self.followed.retain(|_, process| {
            let Some(stat) = stat(&process.stat).filter(|stat| stat.started == process.started)
            else {
                return false;
            };
            let before = std::mem::replace(&mut process.used, stat.used);
            let cpu = stat.used.saturating_sub(before);
            let sum = sums
                .entry(Arc::clone(&process.pattern))
                .or_insert_with(|| Seen {
                    owner: Owner::Process(Arc::clone(&process.pattern)),
                    cpu: Duration::ZERO,
                    memory: 0,
                    since: process.since,
                    until: None,
                });
            sum.cpu += cpu;
            sum.memory = sum.memory.saturating_add(stat.memory);
            if let Some(owner) = &process.owner {
                found.within.push((owner.clone(), cpu, stat.memory));
            }
            true
        });
        found.seen = sums.into_values().collect();
        self.first = false;
        found
    }

    fn list(&mut self, now: Duration) {
        let Ok(entries) = fs::read_dir(&self.proc) else {
            return;
        };
        let pids: BTreeSet<u32> = entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .collect();
        let new: Vec<u32> = pids.difference(&self.known).copied().collect();
        self.known = pids;
        for pid in new {
            if self.followed.len() < MOST
                && let Some(process) = self.follow(pid, now)
            {
                self.followed.insert(pid, process);
            }
        }
    }

    fn follow(&self, pid: u32, now: Duration) -> Option<Process> {
        let directory = self.proc.join(pid.to_string());
        let line = file::read(&directory.join("cmdline"), 64 << 10).ok()?;
        let line = String::from_utf8_lossy(&line)
            .trim_end_matches('\0')
            .replace('\0', " ");
        let (pattern, _) = self
            .patterns
            .iter()
            .find(|(_, command)| fits(command, &line))?;
        let file = File::open(directory.join("stat")).ok()?;
        let found = stat(&file)?;
        Some(Process {
            pattern: Arc::clone(pattern),
            stat: file,
            started: found.started,
            used: if self.first {
                found.used
            } else {
                Duration::ZERO
            },
            since: (!self.first).then_some(now),
            owner: cgroup::owner_of(&self.proc, pid),
        })
    }
}

/// What a pattern is called.
#[must_use]
pub fn identity(name: &Arc<str>) -> (Identity, About) {
    let identity = Identity {
        manager: Manager::Process,
        namespace: "".into(),
        name: Arc::clone(name),
        container: "".into(),
    };
    (identity, About::default())
}

/// What a process did, by its file that is held open.
fn stat(file: &File) -> Option<Stat> {
    let mut buffer = [0; 1024];
    let length = file.read_at(&mut buffer, 0).ok()?;
    parse(&String::from_utf8_lossy(buffer.get(..length)?))
}
