//! What providers have told, kept in a file, so that a restart begins with it.

use super::zone::Told;
use crate::file;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tracing::warn;

/// Largest file that is read: 64 MiB, 20 zones with all that is kept of ten providers each.
const LARGEST: u64 = 64 << 20;

/// The format that this program writes; another one is not read.
const VERSION: u32 = 3;

/// The file. It is replaced by a rename, so that a reader finds the old one or the new one, whole.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    failing: bool,
}

#[derive(Serialize)]
struct Written<'a> {
    version: u32,
    zones: BTreeMap<&'a str, &'a Told>,
}

#[derive(Deserialize)]
struct Kept {
    version: u32,
    zones: BTreeMap<String, Told>,
}

/// What a file holds of each zone that can be; nothing where it is another version's.
///
/// # Errors
/// Where it is none of ours.
pub fn read(bytes: &[u8]) -> Result<BTreeMap<String, Told>, serde_json::Error> {
    let kept: Kept = serde_json::from_slice(bytes)?;
    if kept.version != VERSION {
        return Ok(BTreeMap::new());
    }
    let zones = kept.zones.into_iter();
    Ok(zones.map(|(zone, told)| (zone, told.checked())).collect())
}

impl Store {
    /// The file in a directory.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        Self {
            path: directory.join("intensity.json"),
            failing: false,
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was kept of each zone; nothing where there is no file that can be understood.
    #[must_use]
    pub fn load(&self) -> BTreeMap<String, Told> {
        let bytes = match file::read(&self.path, LARGEST) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return BTreeMap::new(),
            Err(error) => {
                warn!(
                    "{}: {error}: what providers told before is not known",
                    self.path.display()
                );
                return BTreeMap::new();
            }
        };
        read(&bytes).unwrap_or_else(|error| {
            warn!(
                "{}: {error}: what providers told before is not known",
                self.path.display()
            );
            BTreeMap::new()
        })
    }

    /// Keeps what there is; says once where that fails. Gives the time for which nothing should be kept then.
    pub fn save<'a>(&mut self, zones: impl Iterator<Item = (&'a str, &'a Told)>) -> Duration {
        let written = Written {
            version: VERSION,
            zones: zones.collect(),
        };
        match self.write(&written) {
            Ok(size) => {
                self.failing = false;
                return pause(size);
            }
            Err(error) => {
                if !self.failing {
                    warn!(
                        "{}: {error}: a restart will not know what providers told",
                        self.path.display()
                    );
                }
                self.failing = true;
            }
        }
        Duration::ZERO
    }

    fn write(&self, written: &Written<'_>) -> io::Result<usize> {
        let draft = self.path.with_extension("json.new");
        let bytes = serde_json::to_vec(written)?;
        fs::write(&draft, &bytes)?;
        fs::rename(&draft, &self.path)?;
        Ok(bytes.len())
    }
}

/// A file of this size is written as often as there is something to keep, ...
const SMALL: usize = 256 << 10;

/// ... and a larger one so that its disk writes so many bytes a second and no more.
const PACE: u64 = 100_000;

fn pause(size: usize) -> Duration {
    let size = if size < SMALL { 0 } else { size };
    Duration::from_secs(u64::try_from(size).unwrap_or(u64::MAX) / PACE)
}
