//! What the whole machine did: `/proc/stat` and `/proc/meminfo` (proc(5)).

use super::Machine;
use crate::sensor::{Cause, Fault};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Most that is read of either: a line for each of 4096 processors.
const LARGEST: usize = 512 << 10;

/// Ticks a second in `/proc/stat`: `USER_HZ`, 100 on every architecture that Linux has now.
const TICKS: u32 = 100;

/// The two files, held open.
#[derive(Debug)]
pub struct Reader {
    places: [PathBuf; 2],
    files: [Option<File>; 2],
    buffer: Vec<u8>,
    last: Option<Times>,
}

/// CPU times since boot, in ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Times {
    busy: u64,
    idle: u64,
    cpus: u32,
}

impl Reader {
    /// Those below a mount of procfs.
    #[must_use]
    pub fn new(proc: &Path) -> Self {
        Self {
            places: [proc.join("stat"), proc.join("meminfo")],
            files: [None, None],
            buffer: Vec::new(),
            last: None,
        }
    }

    /// What was done since the last look; nothing at the first.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn look(&mut self) -> Result<Machine, Fault> {
        let times = self.read(0, times)?;
        let (used, total) = self.read(1, memory)?;
        let before = self.last.replace(times).unwrap_or(times);
        let tick = Duration::from_secs(1) / TICKS;
        let since = |now: u64, before: u64| {
            tick.saturating_mul(u32::try_from(now.saturating_sub(before)).unwrap_or(u32::MAX))
        };
        Ok(Machine {
            cpus: times.cpus,
            busy: since(times.busy, before.busy),
            idle: since(times.idle, before.idle),
            memory_used: used,
            memory_total: total,
        })
    }

    fn read<T>(&mut self, which: usize, parse: fn(&str) -> Option<T>) -> Result<T, Fault> {
        let (Some(place), Some(slot)) = (self.places.get(which), self.files.get_mut(which)) else {
            return Err(fault(Path::new(""), Cause::Parse(String::new())));
        };
        if slot.is_none() {
            *slot = Some(File::open(place).map_err(|error| fault(place, error.into()))?);
        }
        let mut length = 0;
        if let Some(file) = slot {
            self.buffer
                .resize(LARGEST.min(self.buffer.len().max(16 << 10)), 0);
            loop {
                let rest = self.buffer.get_mut(length..).unwrap_or_default();
                let read = file.read_at(rest, length as u64);
                let read = read.map_err(|error| fault(place, error.into()))?;
                length += read;
                if read == 0 || length >= LARGEST {
                    break;
                }
                if length == self.buffer.len() {
                    self.buffer.resize(LARGEST.min(self.buffer.len() * 2), 0);
                }
            }
        }
        let text = String::from_utf8_lossy(self.buffer.get(..length).unwrap_or_default());
        let head = || text.chars().take(80).collect();
        parse(&text).ok_or_else(|| fault(place, Cause::Parse(head())))
    }
}

fn fault(place: &Path, cause: Cause) -> Fault {
    Fault {
        place: place.display().to_string(),
        cause,
        mend: "give the host's /proc by --path.procfs: without it nobody knows who used processors and memory".into(),
    }
}

/// The first line of `stat`: `cpu user nice system idle iowait irq softirq steal guest guest_nice`. What guests used is
/// in `user` and `nice` already; what a hypervisor stole is neither used nor left.
fn times(text: &str) -> Option<Times> {
    let mut lines = text.lines();
    let first = lines.next()?.strip_prefix("cpu ")?;
    let fields: Option<Vec<u64>> = first
        .split_whitespace()
        .map(|field| field.parse().ok())
        .collect();
    let fields = fields?;
    let at = |place: usize| fields.get(place).copied().unwrap_or(0);
    if fields.len() < 4 {
        return None;
    }
    let is_cpu = |line: &&str| {
        line.strip_prefix("cpu")
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let cpus = lines.take_while(is_cpu).count();
    let sum = |places: &[usize]| {
        places
            .iter()
            .fold(0_u64, |sum, place| sum.saturating_add(at(*place)))
    };
    Some(Times {
        busy: sum(&[0, 1, 2, 5, 6]),
        idle: sum(&[3, 4]),
        cpus: u32::try_from(cpus).unwrap_or(u32::MAX),
    })
}

/// Memory used and all memory, in bytes.
fn memory(text: &str) -> Option<(u64, u64)> {
    let of = |key: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        kib.checked_mul(1024)
    };
    let total = of("MemTotal:")?;
    Some((total.saturating_sub(of("MemAvailable:")?), total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_are_counted_once_and_stolen_time_not_at_all() {
        let text = "cpu  100 20 30 400 50 6 7 800 90 9\ncpu0 1 2 3 4\ncpu1 1 2 3 4\nintr 1\ncpux\n";
        let times = times(text).unwrap();
        assert_eq!((times.busy, times.idle, times.cpus), (163, 450, 2));
        for bad in ["", "cpu", "cpu  1 2 3", "cpu  1 2 3 x", "cpu0 1 2 3 4"] {
            assert_eq!(super::times(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn memory_that_can_be_had_is_not_used() {
        let text = "MemTotal:       1000 kB\nMemFree:         100 kB\nMemAvailable:    400 kB\n";
        assert_eq!(memory(text), Some((600 * 1024, 1000 * 1024)));
        assert_eq!(memory("MemTotal: 1000 kB\n"), None);
        assert_eq!(
            memory("MemTotal: 1000 kB\nMemAvailable: 2000 kB\n"),
            Some((0, 1000 * 1024))
        );
    }

    #[test]
    fn each_look_tells_of_the_time_since_the_last() {
        let proc = tempfile::tempdir().unwrap();
        let write = |busy: u64, idle: u64| {
            std::fs::write(
                proc.path().join("stat"),
                format!("cpu  {busy} 0 0 {idle} 0\ncpu0 0\n"),
            )
            .unwrap();
            std::fs::write(
                proc.path().join("meminfo"),
                "MemTotal: 9 kB\nMemAvailable: 4 kB\n",
            )
            .unwrap();
        };
        write(1000, 5000);
        let mut reader = Reader::new(proc.path());
        assert_eq!(reader.look().unwrap().busy, Duration::ZERO);
        write(1100, 5050);
        let machine = reader.look().unwrap();
        assert_eq!(machine.busy, Duration::from_secs(1));
        assert_eq!(machine.idle, Duration::from_millis(500));
        // Waiting for disks may step back.
        write(1200, 5040);
        assert_eq!(reader.look().unwrap().idle, Duration::ZERO);
    }
}
