//! From the driver's records to how busy each process kept a GPU.
//!
//! nvml.h says of `nvmlDeviceGetProcessUtilization` only that it gives records with a time stamp later than
//! one that is passed to it. What drivers give, as printed by those who use it (NVIDIA/go-nvml#51,
//! Syllo/nvtop#91 and #110, XuehaiPan/nvitop#85), is one record for each process that did anything: its mean
//! since that time stamp, with a time stamp of its own, which may be seconds from another's. Some drivers
//! give garbage above 100 % for zombies. Should one give a record for every sample instead, the mean of a
//! process is the sum of its records over the samples of the window: as many as the process with most of them
//! has, or as fit into the window at the pace of the records, whichever is more.
//!
//! The processes of a GPU cannot keep it busy for more than all of the time. Where the means add up to more
//! (each of a time of its own), all are scaled down.

use std::collections::BTreeMap;
use std::time::Duration;

/// How far beyond the time that has gone by a time stamp is believed, in µs.
const LEEWAY: u64 = 60_000_000;

/// Looks without any record, after which the driver is asked for all that it has: if its clock was set back,
/// it would otherwise have nothing to tell until the time stamp is reached again.
const SILENT: u32 = 12;

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// The process.
    pub pid: u32,
    /// Time stamp in µs, on a clock of the driver's.
    pub at: u64,
    /// Percent of the multiprocessors' time.
    pub percent: u32,
}

/// Until when the records of one GPU are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Window {
    seen: u64,
    primed: bool,
    silent: u32,
}

impl Window {
    /// What to pass to the driver: the latest time stamp seen, or 0 for all records.
    #[must_use]
    pub fn since(&self) -> u64 {
        if self.silent >= SILENT { 0 } else { self.seen }
    }

    /// Takes in the records that the driver gave for [`since`](Self::since), `elapsed` after the look before:
    /// how busy each process was, 0 to 1, as a mean since then. A process that is not in it did nothing.
    ///
    /// `None` where nothing can be said: of the time before the first look, and after the driver's clock was
    /// set.
    pub fn take(&mut self, records: &[Record], elapsed: Duration) -> Option<BTreeMap<u32, f64>> {
        let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        let sound = |record: &&Record| record.pid != 0 && record.percent <= 100;
        let mut new: Vec<Record> = records.iter().filter(sound).copied().collect();
        let newest = new.iter().map(|record| record.at).max();
        let was_set_back =
            self.since() < self.seen && newest.is_some_and(|newest| newest < self.seen);
        if !self.primed || was_set_back {
            self.restart(newest);
            return None;
        }
        new.retain(|record| record.at > self.seen);
        if new.is_empty() {
            self.silent = self.silent.saturating_add(1);
            return Some(BTreeMap::new());
        }
        // The first stamp of all has nothing to be measured by.
        if self.seen > 0 {
            let limit = self
                .seen
                .saturating_add(micros.saturating_mul(2))
                .saturating_add(LEEWAY);
            new.retain(|record| record.at <= limit);
        }
        let Some(last) = new.iter().map(|record| record.at).max() else {
            // All of them are from another time: the clock was set forward.
            self.restart(newest);
            return None;
        };
        self.seen = last;
        self.silent = 0;
        Some(means(&new, micros))
    }

    fn restart(&mut self, newest: Option<u64>) {
        *self = Self {
            seen: newest.unwrap_or(0),
            primed: true,
            silent: 0,
        };
    }
}

/// The means of records of a window that lasted so many µs.
fn means(records: &[Record], window: u64) -> BTreeMap<u32, f64> {
    let mut by_pid: BTreeMap<u32, Vec<Record>> = BTreeMap::new();
    for record in records {
        by_pid.entry(record.pid).or_default().push(*record);
    }
    let most = by_pid.values().map(Vec::len).max().unwrap_or(1);
    let samples = u64::try_from(most)
        .unwrap_or(u64::MAX)
        .max(fit(&by_pid, window));
    #[allow(clippy::cast_precision_loss)]
    let share = |records: &Vec<Record>| {
        let sum: f64 = records.iter().map(|record| f64::from(record.percent)).sum();
        sum / 100.0 / samples as f64
    };
    let mut means: BTreeMap<u32, f64> = by_pid
        .iter()
        .map(|(pid, records)| (*pid, share(records)))
        .collect();
    let sum: f64 = means.values().sum();
    if sum > 1.0 {
        means.values_mut().for_each(|mean| *mean /= sum);
    }
    means
}

/// How many samples fit into a window, by the median time between two records of a process; 0 where none has
/// two.
fn fit(by_pid: &BTreeMap<u32, Vec<Record>>, window: u64) -> u64 {
    let mut gaps = Vec::new();
    for records in by_pid.values() {
        let mut times: Vec<u64> = records.iter().map(|record| record.at).collect();
        times.sort_unstable();
        let pairs = times.iter().zip(times.iter().skip(1));
        gaps.extend(
            pairs
                .map(|(before, after)| after - before)
                .filter(|gap| *gap > 0),
        );
    }
    gaps.sort_unstable();
    let median = gaps.get(gaps.len() / 2);
    median.map_or(0, |median| window.saturating_add(median / 2) / median)
}
