//! The books kept over a restart, in a file that lives as long as the boot (`/run/gramwatt`).
//!
//! The file is written before the snapshot that shows its figures is published, so that a restored
//! counter is never below an exposed one. It is replaced by a rename, so that a reader (and a process
//! killed in the middle of writing) finds the old books or the new ones, whole.

use crate::attribution;
use crate::carbon::{Factor, Term, Timeline};
use crate::clock::Moment;
use crate::engine::Books;
use crate::ledger;
use crate::node;
use crate::run;
use rustix::fs::{Access, FlockOperation, access, flock};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

/// All that a later process needs to go on with the books.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct State {
    /// When the books were opened.
    pub since: Moment,
    /// The ledger's accounts.
    pub accounts: Vec<ledger::Saved>,
    /// The node's reconciliation.
    pub node: node::Saved,
    /// The factors of late: energy used while nobody looked meets the factor of its time.
    pub timeline: Timeline,
    /// How long the last of them stands; `None`: without end. Files of before this was kept lack it.
    #[serde(default)]
    pub term: Option<Term>,
    /// The PUE that was told last, and when (time since boot); `None` where nobody tells it.
    #[serde(default)]
    pub pue: Option<(f64, std::time::Duration)>,
    /// Grams and the node's sums.
    pub books: Books,
    /// How they were divided among workloads.
    #[serde(default)]
    pub workloads: Option<attribution::Saved>,
    /// The runs that were measured.
    #[serde(default)]
    pub runs: run::book::Saved,
}

impl State {
    /// Books that begin now.
    #[must_use]
    pub fn fresh(factor: Factor, now: Moment) -> Self {
        Self {
            since: now,
            accounts: Vec::new(),
            node: node::Saved::default(),
            timeline: Timeline::new(factor),
            term: None,
            pue: None,
            books: Books::default(),
            workloads: None,
            runs: run::book::Saved::default(),
        }
    }
}

/// The format that this program writes; another one is not read.
const VERSION: u32 = 1;

/// Largest state that is read: 64 MiB, far above any node's.
const LARGEST: u64 = 64 << 20;

#[derive(Serialize)]
struct Written<'a> {
    version: u32,
    boot: &'a str,
    #[serde(flatten)]
    state: &'a State,
}

#[derive(Deserialize)]
struct Stamp {
    version: u32,
    boot: String,
}

/// Why the books cannot be kept here.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another process keeps them.
    #[error(
        "{0}: another gramwatt keeps its books here: stop it, or give this one a --state.directory \
         of its own (two on one node count its energy twice)"
    )]
    Taken(PathBuf),
    /// The directory cannot be made or written.
    #[error(
        "{path}: {source}: the books cannot be kept there, and counters that are not kept start at 0 \
         after every restart; give a writable --state.directory on a tmpfs that lives as long as the boot"
    )]
    Unwritable {
        /// What could not be made.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Nobody tells which boot this is, so that the books of an earlier one could not be told apart.
    #[error(
        "path.procfs: {path}: {source}: the kernel tells there which boot this is; give the host's \
         /proc with --path.procfs"
    )]
    NoBoot {
        /// What could not be read.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The open state directory, held by this process alone.
#[derive(Debug)]
pub struct Store {
    file: PathBuf,
    draft: PathBuf,
    boot: String,
    buffer: Vec<u8>,
    _lock: File,
}

impl Store {
    /// Opens `directory` (made if need be) for the boot that `proc` tells of.
    ///
    /// # Errors
    /// Where the directory cannot be written, or another process holds it, or the boot is not known.
    pub fn open(directory: &Path, proc: &Path) -> Result<Self, StateError> {
        let unwritable = |path: &Path| {
            let path = path.to_owned();
            move |source| StateError::Unwritable { path, source }
        };
        fs::create_dir_all(directory).map_err(unwritable(directory))?;
        let path = directory.join("lock");
        let lock = File::create(&path).map_err(unwritable(&path))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| StateError::Taken(directory.to_owned()))?;
        let boot_id = proc.join("sys/kernel/random/boot_id");
        let boot = fs::read_to_string(&boot_id).map_err(|source| StateError::NoBoot {
            path: boot_id,
            source,
        })?;
        Ok(Self {
            file: directory.join("state.json"),
            draft: directory.join("state.json.new"),
            boot: boot.trim().to_owned(),
            buffer: Vec::new(),
            _lock: lock,
        })
    }

    /// Looks whether [`Store::open`] would do, and leaves everything as it is: nothing is made, and the
    /// lock of a running process is only tried.
    ///
    /// # Errors
    /// Those of [`Store::open`].
    pub fn look(directory: &Path, proc: &Path) -> Result<(), StateError> {
        let unwritable = |path: &Path, source: io::Error| StateError::Unwritable {
            path: path.to_owned(),
            source,
        };
        let path = directory.join("lock");
        if let Ok(lock) = File::open(&path) {
            // Shared, and let go of at once, so that it stands in nobody's way.
            match flock(&lock, FlockOperation::NonBlockingLockShared) {
                Ok(()) => drop(lock),
                Err(_) => return Err(StateError::Taken(directory.to_owned())),
            }
        }
        let is_there = |place: &&Path| match place.metadata() {
            Err(e) => e.kind() != ErrorKind::NotFound,
            Ok(_) => true,
        };
        let place = directory
            .ancestors()
            .map(|place| {
                if place.as_os_str().is_empty() {
                    Path::new(".")
                } else {
                    place
                }
            })
            .find(is_there)
            .unwrap_or(directory);
        let found = place.metadata();
        let found = found.map_err(|e| unwritable(place, e))?;
        if !found.is_dir() {
            return Err(unwritable(place, ErrorKind::NotADirectory.into()));
        }
        access(place, Access::WRITE_OK | Access::EXEC_OK)
            .map_err(|e| unwritable(place, e.into()))?;
        let boot_id = proc.join("sys/kernel/random/boot_id");
        fs::read_to_string(&boot_id).map_err(|e| unwritable(&boot_id, e))?;
        Ok(())
    }

    /// The books of an earlier process of this boot; `None` where there are none.
    ///
    /// # Errors
    /// Where there are some and they cannot be read: what failed, in words.
    pub fn load(&self) -> Result<Option<State>, String> {
        let fail = |what: &dyn std::fmt::Display| format!("{}: {what}", self.file.display());
        let file = match File::open(&self.file) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(fail(&e)),
        };
        let mut text = Vec::new();
        file.take(LARGEST)
            .read_to_end(&mut text)
            .map_err(|e| fail(&e))?;
        let stamp: Stamp = serde_json::from_slice(&text).map_err(|e| fail(&e))?;
        if stamp.boot != self.boot {
            return Ok(None);
        }
        if stamp.version != VERSION {
            return Err(fail(&format!("version {}, not {VERSION}", stamp.version)));
        }
        serde_json::from_slice(&text)
            .map(Some)
            .map_err(|e| fail(&e))
    }

    /// Replaces the books on disk.
    ///
    /// # Errors
    /// Of the file system; the old books are then still there.
    pub fn save(&mut self, state: &State) -> io::Result<()> {
        self.buffer.clear();
        let written = Written {
            version: VERSION,
            boot: &self.boot,
            state,
        };
        serde_json::to_writer(&mut self.buffer, &written)?;
        File::create(&self.draft)?.write_all(&self.buffer)?;
        fs::rename(&self.draft, &self.file)
    }
}

#[cfg(test)]
mod tests;
