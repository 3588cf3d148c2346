//! The few files of a control group that are read, held open.

use crate::sensor::Cause;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

/// A file held open and read again from its beginning.
#[derive(Debug)]
pub(super) struct Held(File);

impl Held {
    fn open(path: &Path) -> io::Result<Self> {
        File::open(path).map(Self)
    }

    /// What it says now, no more than 2 KiB.
    fn read<T>(&self, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, Cause> {
        let mut buffer = [0; 2048];
        let length = self.0.read_at(&mut buffer, 0)?;
        let text = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default());
        parse(&text).ok_or_else(|| Cause::Parse(text.chars().take(80).collect()))
    }
}

/// The CPU time of a group.
#[derive(Debug)]
pub(super) enum CpuFile {
    /// `cpu.stat` of version 2: `usage_usec N` (kernel, cgroup-v2.rst).
    Stat(Held),
    /// `cpuacct.usage` of version 1, in ns (kernel, cgroup-v1/cpuacct.rst).
    Usage(Held),
}

impl CpuFile {
    pub fn open(directory: &Path) -> io::Result<Self> {
        match Held::open(&directory.join("cpu.stat")) {
            // Version 1 has a `cpu.stat` too, without the time, where `cpu` and `cpuacct` are one hierarchy.
            Ok(file) if file.read(usage).is_ok() => Ok(Self::Stat(file)),
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Held::open(&directory.join("cpuacct.usage")).map(Self::Usage),
        }
    }

    pub fn read(&self) -> Result<Duration, Cause> {
        match self {
            Self::Stat(file) => file.read(usage).map(Duration::from_micros),
            Self::Usage(file) => file.read(number).map(Duration::from_nanos),
        }
    }
}

/// The memory of a group, page cache included.
#[derive(Debug)]
pub(super) struct MemoryFile(Held);

impl MemoryFile {
    pub fn open(directory: &Path) -> io::Result<Self> {
        match Held::open(&directory.join("memory.current")) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Held::open(&directory.join("memory.usage_in_bytes")).map(Self)
            }
            held => held.map(Self),
        }
    }

    /// In bytes.
    pub fn read(&self) -> Result<u64, Cause> {
        self.0.read(number)
    }
}

fn usage(text: &str) -> Option<u64> {
    let mut lines = text.lines();
    let usage = lines.find_map(|line| line.strip_prefix("usage_usec "))?;
    usage.trim().parse().ok()
}

fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}
