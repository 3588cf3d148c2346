//! One process, as `/proc/PID/stat` tells of it.

use crate::file;
use std::io;
use std::path::Path;
use std::time::Duration;

/// Ticks a second: `USER_HZ`, 100 on every architecture that Linux has now.
const TICKS: u32 = 100;

/// Largest file that is read.
const LARGEST: u64 = 4 << 10;

/// What it tells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stat {
    /// Whether it has ended, and is only waited for.
    pub ended: bool,
    /// Its parent.
    pub parent: u32,
    /// CPU time of its own.
    pub used: Duration,
    /// CPU time of children that ended and were waited for.
    pub of_children: Duration,
    /// When it began, in ticks since boot.
    pub started: u64,
    /// Memory held, in bytes.
    pub memory: u64,
}

/// What a process is; `None` where there is none of this number, or that cannot be told.
#[must_use]
pub fn stat(proc: &Path, pid: u32) -> Option<Stat> {
    read(proc, pid).ok()
}

/// What a process is.
///
/// # Errors
/// Of the file system ([`is_gone`] says whether there is none of this number).
pub fn read(proc: &Path, pid: u32) -> io::Result<Stat> {
    let text = file::read(&proc.join(pid.to_string()).join("stat"), LARGEST)?;
    let stat = parse(&String::from_utf8_lossy(&text));
    stat.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Whether a process is gone: its files are, or it was while they were read (`ESRCH`).
#[must_use]
pub fn is_gone(error: &io::Error) -> bool {
    let gone = rustix::io::Errno::SRCH.raw_os_error();
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(gone)
}

/// proc_pid_stat(5): what follows the name in brackets, which may hold anything.
#[must_use]
pub fn parse(text: &str) -> Option<Stat> {
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    // The third field of the file is the first here.
    let at = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let ticks = |a: u64, b: u64| {
        let ticks = u32::try_from(a.saturating_add(b)).unwrap_or(u32::MAX);
        (Duration::from_secs(1) / TICKS).saturating_mul(ticks)
    };
    let page = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
    Some(Stat {
        ended: matches!(*fields.first()?, "Z" | "X"),
        parent: u32::try_from(at(4)?).ok()?,
        used: ticks(at(14)?, at(15)?),
        of_children: ticks(at(16)?, at(17)?),
        started: at(22)?,
        memory: at(24)?.saturating_mul(page),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_file_holds_is_no_process() {
        for text in [
            "",
            "1",
            "1 (x",
            "1 (x) S",
            "1 (x) S a b c",
            ")",
            "1 (x) S 1 2 3",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
