//! AMD GPUs, from the files of the amdgpu driver in sysfs alone.
//!
//! A card is a PCI device that the driver is bound to: one GPU, however many DRM nodes its partitions have,
//! and whether or not it drives a display. It is known by its `unique_id`, or else by its address.
//!
//! **Energy.** The accumulator in `gpu_metrics` is booked where it is known to count: on MI300 and newer
//! (v1.4 and later), MI200 and MI100. On Radeon cards it holds garbage, or since 2026 all ones (Linux commit
//! 68785c5e), so that their power is integrated: hwmon's mean, or else hwmon's moment, or else the socket
//! power of `gpu_metrics`. A counter that stands still while the card draws power, or steps back a little,
//! is not believed again before the program's next start.
//!
//! **What is no card of its own.** An APU's socket holds the processor, which RAPL books. The second die of
//! an MI250X tells nothing, as the first has the power of both. A virtual function beside its card is that
//! card. An MI300A is a socket of processors, GPU and memory: it is shown as a meter, and not summed.
//!
//! **Sleep.** Reading most of a card's files wakes it: none is read while the kernel says that it is
//! suspended.

mod card;
mod chips;
mod discovery;
pub mod metrics;
mod scan;
mod trust;

pub use discovery::discover;
pub(crate) use scan::id;

use super::{Cause, Fault, Readings, Sensor, Enabled};
use scan::{Scan, Site};
use std::io;

/// One line for `doctor` and the reference.
pub const SUMMARY: &str = "AMD GPUs through the amdgpu driver's files: gpu_metrics and hwmon";

/// `sensors.amdgpu`.
pub type Config = Enabled;

/// Reads between two looks at which cards there are, and at what changes seldom.
const READS_PER_SCAN: u32 = 30;

/// All AMD GPUs of the machine.
struct Amd {
    site: Site,
    scan: Scan,
    /// Reads since the last scan.
    reads: u32,
    /// Cards that could not be read last time.
    failing: usize,
    /// Whether something that could be read has failed since the last scan.
    shaken: bool,
}

impl Sensor for Amd {
    fn name(&self) -> &'static str {
        "amdgpu"
    }

    fn read(&mut self) -> Readings {
        let is_back = |card: &card::Card| card.facts.directory.exists();
        self.shaken |= self.scan.gone.iter().any(is_back) || !self.scan.odd.is_empty();
        if self.shaken || self.reads >= READS_PER_SCAN {
            self.rescan();
        }
        self.reads += 1;
        let mut readings = Readings::default();
        // At every read, or they would seem to be mended between two looks.
        readings.bad.extend_from_slice(&self.scan.odd);
        readings.bad.extend(self.scan.gone.iter().map(card::gone));
        for card in &mut self.scan.cards {
            match card.read() {
                Ok(reading) => readings.good.extend(reading),
                Err(fault) => readings.bad.push(explain(fault)),
            }
        }
        let failing = readings.bad.len();
        self.shaken |= failing > self.failing;
        self.failing = failing;
        readings
    }
}

impl Amd {
    fn rescan(&mut self) {
        self.reads = 0;
        self.shaken = false;
        if let Err(fault) = self.site.scan(&mut self.scan) {
            self.scan.odd = vec![explain(fault)];
        }
    }
}

/// Adds what a person can do about it.
fn explain(fault: Fault) -> Fault {
    let Cause::Io(error) = &fault.cause else {
        return fault;
    };
    let is = |errno: rustix::io::Errno| error.raw_os_error() == Some(errno.raw_os_error());
    let (cause, mend) = match error.kind() {
        // The file may be opened, and the driver says no.
        io::ErrorKind::PermissionDenied if is(rustix::io::Errno::PERM) => (
            Some(Cause::Device("the driver refuses: the card is being reset or suspended".to_owned())),
            "it ends by itself; if it lasts, see dmesg for amdgpu, and power-cycle the machine",
        ),
        io::ErrorKind::PermissionDenied => (
            None,
            "run as root, or grant CAP_DAC_READ_SEARCH; in a container run as uid 0 and mount the host's \
             /sys at /host/sys (--path.sysfs=/host/sys)",
        ),
        kind if kind == io::ErrorKind::NotFound || is(rustix::io::Errno::NODEV) => (
            None,
            "the card or its driver vanished: see dmesg for amdgpu, load the driver again (modprobe amdgpu); \
             where it was taken out on purpose, restart gramwatt to forget it",
        ),
        _ => (
            None,
            "the card's firmware did not answer: see dmesg for amdgpu and SMU; drain the node, then reset the \
             card (amd-smi reset --gpureset) or power-cycle the machine",
        ),
    };
    Fault {
        mend: mend.to_owned(),
        cause: cause.unwrap_or_else(|| fault.cause.clone()),
        ..fault
    }
}

#[cfg(test)]
mod tests;
