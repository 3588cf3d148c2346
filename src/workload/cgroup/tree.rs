//! The tree of control groups: found once, looked at again and again at the cost of a few reads for each group that
//! somebody owns.

use super::files::{CpuFile, MemoryFile};
use super::owner;
use crate::sensor::{Cause, Fault};
use crate::workload::{Owner, Seen};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Most directories that are held open.
const MOST: usize = 10_000;

/// Faults that are told of one look.
const FAULTS: usize = 8;

/// So often every directory is listed anew, whatever its count of links says.
const LIST: Duration = Duration::from_secs(15);

/// So often memory is read, which changes slowly.
const MEMORY: Duration = Duration::from_secs(5);

/// Overhead of a pod below this CPU time in one look is what two reads differ by.
const JITTER: Duration = Duration::from_millis(5);

/// What one look found.
#[derive(Debug, Default)]
pub struct Look {
    /// Everybody, with what was used since the last look.
    pub seen: Vec<Seen>,
    /// Whether somebody came or went.
    pub changed: bool,
    /// Those who came, and their directories.
    pub came: Vec<(Owner, PathBuf)>,
    /// What could not be read.
    pub faults: Vec<Fault>,
}

/// Where the hierarchies are.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Roots {
    cpu: PathBuf,
    memory: Option<PathBuf>,
}

/// The tree.
#[derive(Debug)]
pub struct Tree {
    roots: Roots,
    top: Option<Node>,
    /// When it was last looked at (time since boot).
    last: Option<Duration>,
}

/// A directory.
#[derive(Debug)]
struct Node {
    directory: File,
    inode: u64,
    links: u64,
    listed: Duration,
    owner: Option<Owner>,
    cpu: Option<CpuFile>,
    used: Duration,
    memory: Option<MemoryFile>,
    held: u64,
    weighed: Option<Duration>,
    since: Option<Duration>,
    children: BTreeMap<String, Node>,
}

/// What was found in and below a directory.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    cpu: Duration,
    memory: u64,
}

impl Tree {
    /// The tree below a mount of control groups (`/sys/fs/cgroup`), version 2 or 1; `None` where there is none.
    #[must_use]
    pub fn open(mount: &Path) -> Option<Self> {
        let legacy = ["cpuacct", "cpu,cpuacct"].map(|name| mount.join(name));
        let legacy = legacy
            .into_iter()
            .find(|path| path.join("cpuacct.usage").is_file());
        let roots = match legacy {
            Some(cpu) => Roots {
                cpu,
                memory: Some(mount.join("memory")).filter(|path| path.is_dir()),
            },
            None if mount.join("cgroup.procs").is_file() => Roots {
                cpu: mount.to_owned(),
                memory: None,
            },
            None => return None,
        };
        Some(Self {
            roots,
            top: None,
            last: None,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.roots.cpu
    }

    /// Looks at everything. What is found at the first look begins there; what is found later began since.
    pub fn look(&mut self, now: Duration) -> Look {
        let mut visit = Visit {
            roots: &self.roots,
            now,
            middle: self
                .last
                .map_or(now, |last| last + now.saturating_sub(last) / 2),
            first: self.last.is_none(),
            count: 0,
            look: Look::default(),
        };
        if self.top.is_none() {
            match Node::open("", None, &visit) {
                Ok(node) => self.top = Some(node),
                Err(cause) => visit.fault(&self.roots.cpu, cause),
            }
        }
        if let Some(top) = &mut self.top {
            visit.node(top, "", None);
        }
        self.last = Some(now);
        visit.look
    }
}

/// One look at the tree.
struct Visit<'a> {
    roots: &'a Roots,
    now: Duration,
    /// When those ended who are gone: between the last look and this one.
    middle: Duration,
    first: bool,
    count: usize,
    look: Look,
}

impl Node {
    /// `above` is the owner of the nearest directory above that has one: what is below it without a name of its own
    /// is its.
    fn open(path: &str, above: Option<&Owner>, visit: &Visit<'_>) -> Result<Self, Cause> {
        let roots = visit.roots;
        let place = roots.cpu.join(path);
        let directory = File::open(&place)?;
        let inode = directory.metadata()?.ino();
        let owner = owner(path).filter(|owner| Some(owner) != above);
        let (mut cpu, mut memory) = (None, None);
        if owner.is_some() {
            cpu = Some(CpuFile::open(&place)?);
            let place = roots.memory.as_ref().map_or(place, |root| root.join(path));
            // A group may be without the controller.
            memory = MemoryFile::open(&place).ok();
        }
        let used = match &cpu {
            Some(cpu) if visit.first => cpu.read()?,
            _ => Duration::ZERO,
        };
        Ok(Self {
            directory,
            inode,
            links: 0,
            listed: Duration::ZERO,
            owner,
            cpu,
            used,
            memory,
            held: 0,
            weighed: None,
            since: (!visit.first).then_some(visit.middle),
            children: BTreeMap::new(),
        })
    }

    /// Whether others may be found below it: a job and a pod's container are one thing with all that is in them.
    fn is_deep(&self) -> bool {
        match &self.owner {
            Some(Owner::Pod { container, .. }) => container.is_empty(),
            Some(Owner::Job(_)) => false,
            _ => true,
        }
    }
}

impl Visit<'_> {
    /// Looks at a directory and what is below it. `None`: it is gone.
    fn node(&mut self, node: &mut Node, path: &str, above: Option<&Owner>) -> Option<Sum> {
        self.count += 1;
        let used = match &node.cpu {
            Some(cpu) => match cpu.read() {
                Ok(used) => Some(used),
                Err(cause) if is_gone(&cause) => return None,
                Err(cause) => {
                    self.fault(&self.roots.cpu.join(path), cause);
                    None
                }
            },
            None => None,
        };
        let owner = node.owner.clone();
        let below = match node.is_deep() {
            true => self.below(node, path, owner.as_ref().or(above)),
            false => Sum::default(),
        };
        let Some(owner) = owner else {
            return Some(below);
        };
        self.weigh(node);
        let delta = used.map_or(Duration::ZERO, |used| {
            let before = std::mem::replace(&mut node.used, used);
            used.saturating_sub(before)
        });
        let own = Sum {
            cpu: delta.saturating_sub(below.cpu),
            memory: node.held.saturating_sub(below.memory),
        };
        let is_overhead = matches!(&owner, Owner::Pod { container, .. } if container.is_empty());
        if !is_overhead || own.cpu > JITTER {
            self.look.seen.push(Seen {
                owner,
                cpu: own.cpu,
                memory: own.memory,
                since: node.since,
                until: None,
            });
        }
        Some(Sum {
            cpu: delta.max(below.cpu),
            memory: node.held.max(below.memory),
        })
    }

    fn weigh(&mut self, node: &mut Node) {
        let due = node
            .weighed
            .is_none_or(|last| self.now.saturating_sub(last) >= MEMORY);
        let Some(memory) = node.memory.as_ref().filter(|_| due) else {
            return;
        };
        // A group without its memory is one of which CPU time decides.
        if let Ok(held) = memory.read() {
            node.held = held;
        }
        node.weighed = Some(self.now);
    }

    fn below(&mut self, node: &mut Node, path: &str, above: Option<&Owner>) -> Sum {
        let links = node.directory.metadata().map_or(0, |found| found.nlink());
        let old = self.now.saturating_sub(node.listed) >= LIST || node.listed.is_zero();
        // The kernel counts a link for each child; a file system that counts none is listed always.
        if links != node.links || links < 2 || old {
            self.list(node, path, above);
            node.links = links;
        }
        let mut sum = Sum::default();
        let mut gone = Vec::new();
        for (name, child) in &mut node.children {
            let place = join(path, name);
            match self.node(child, &place, above) {
                Some(some) => {
                    sum.cpu += some.cpu;
                    sum.memory += some.memory;
                }
                None => gone.push(name.clone()),
            }
        }
        if !gone.is_empty() {
            for name in gone {
                if let Some(child) = node.children.remove(&name) {
                    self.end(&child);
                }
            }
            // One of the same name may be there already.
            node.links = 0;
        }
        sum
    }

    fn list(&mut self, node: &mut Node, path: &str, above: Option<&Owner>) {
        let place = self.roots.cpu.join(path);
        let entries = match fs::read_dir(&place) {
            Ok(entries) => entries,
            Err(error) => return self.fault(&place, error.into()),
        };
        node.listed = self.now.max(Duration::from_nanos(1));
        let mut found = BTreeMap::new();
        for entry in entries.flatten() {
            let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if let Some(name) = entry.file_name().to_str().filter(|_| is_directory) {
                found.insert(name.to_owned(), entry.ino());
            }
        }
        let is_here = |name: &str, child: &Node| found.get(name) == Some(&child.inode);
        let gone: Vec<String> = node
            .children
            .iter()
            .filter(|(name, child)| !is_here(name, child))
            .map(|(name, _)| name.clone())
            .collect();
        for name in gone {
            if let Some(child) = node.children.remove(&name) {
                self.end(&child);
            }
        }
        for name in found.into_keys() {
            if node.children.contains_key(&name) {
                continue;
            }
            if self.count + node.children.len() >= MOST {
                let why =
                    format!("more than {MOST} control groups: what is in the rest is the system's");
                return self.fault(&place, Cause::Device(why));
            }
            let place = join(path, &name);
            match Node::open(&place, above, self) {
                Ok(child) => {
                    if let Some(owner) = &child.owner {
                        self.look.changed = true;
                        self.look
                            .came
                            .push((owner.clone(), self.roots.cpu.join(&place)));
                    }
                    node.children.insert(name, child);
                }
                // It has gone in the meantime.
                Err(cause) if is_gone(&cause) => {}
                Err(cause) => self.fault(&self.roots.cpu.join(place), cause),
            }
        }
    }

    /// Tells that a group and all below it have ended.
    fn end(&mut self, node: &Node) {
        if let Some(owner) = &node.owner {
            self.look.changed = true;
            self.look.seen.push(Seen {
                owner: owner.clone(),
                cpu: Duration::ZERO,
                memory: 0,
                since: node.since,
                until: Some(self.middle),
            });
        }
        for child in node.children.values() {
            self.end(child);
        }
    }

    fn fault(&mut self, place: &Path, cause: Cause) {
        if self.look.faults.len() < FAULTS {
            self.look.faults.push(Fault {
                place: place.display().to_string(),
                cause,
                mend: "let gramwatt read the host's control groups: mount the host's /sys and give it by --path.sysfs"
                    .into(),
            });
        }
    }
}

/// The kernel says `ENODEV` of a file of a group that was removed.
fn is_gone(cause: &Cause) -> bool {
    let Cause::Io(error) = cause else {
        return false;
    };
    error.kind() == std::io::ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error())
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}/{name}")
    }
}
