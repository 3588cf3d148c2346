//! RAPL: the energy counters of processor packages and their memory, from the kernel's powercap tree.
//!
//! Zones stand in `class/powercap` side by side, nested ones too (`intel-rapl:0:1` is inside
//! `intel-rapl:0`), and say themselves what they are. Levels overlap, so that only packages and memory
//! are devices; see [`zone`] for what each name means.
//!
//! A counter's `max_energy_range_uj` is taken as the count after which it is 0 again: energy over a wrap
//! is (range − before) + after. The kernel scales a 32-bit register, and gives as the range its largest
//! value, not its number of values (`get_max_energy_counter` in drivers/powercap/intel_rapl_common.c);
//! so a wrap is booked one tick of the register (15 to 61 µJ) too small, and never too large.

mod discovery;
mod scan;
mod zone;

pub use discovery::discover;

use super::{Cause, Fault, Reading, Readings, Sensor, Enabled, Value};
use crate::units::Joules;
use scan::{Scan, Site, Zone};
use std::io;
use std::time::Duration;

/// One line for `doctor` and the reference.
pub const SUMMARY: &str =
    "RAPL energy counters of CPU packages, memory and platform (Intel, AMD), from powercap";

/// `sensors.rapl`.
pub type Config = Enabled;

/// Joules for each count of `energy_uj` (Documentation/ABI/testing/sysfs-class-powercap).
const UNIT: f64 = 1e-6;

/// Reads between two looks at the whole tree, for zones and limits that are new.
const READS_PER_SCAN: u32 = 30;

/// All zones of the machine.
struct Rapl {
    site: Site,
    scan: Scan,
    /// Reads since the last scan.
    reads: u32,
    /// Zones that could not be read last time.
    failing: usize,
    /// Whether a zone that could be read has failed since the last scan.
    shaken: bool,
}

impl Sensor for Rapl {
    fn name(&self) -> &'static str {
        "rapl"
    }

    fn read(&mut self) -> Readings {
        let mut readings = Readings::default();
        if self.shaken || self.reads >= READS_PER_SCAN {
            self.rescan();
        }
        self.reads += 1;
        // At every read, or they would seem to be mended between two looks.
        readings.bad.extend_from_slice(&self.scan.odd);
        readings.good.reserve(self.scan.zones.len());
        for zone in &mut self.scan.zones {
            match zone.energy.read_u64() {
                Ok(raw) => readings.good.push(zone.reading(raw)),
                Err(fault) => readings.bad.push(explain(fault)),
            }
        }
        for (_, name) in &mut self.scan.unnamed {
            match name.read_text() {
                Ok(_) => self.shaken = true,
                Err(fault) => readings.bad.push(explain(fault)),
            }
        }
        let failing = readings.bad.len();
        self.shaken |= failing > self.failing;
        self.failing = failing;
        readings
    }

    fn pace(&self, wanted: Duration) -> Duration {
        let zones = self.scan.zones.iter().filter_map(Zone::pace);
        zones.min().map_or(wanted, |most| most.min(wanted))
    }
}

impl Rapl {
    fn rescan(&mut self) {
        self.reads = 0;
        self.shaken = false;
        match self.site.scan(&self.scan) {
            Ok(mut scan) => {
                scan.keep(&mut self.scan);
                self.scan = scan;
            }
            Err(fault) => self.scan.odd = vec![explain(fault)],
        }
    }
}

impl Zone {
    fn reading(&self, raw: u64) -> Reading {
        let value = Value::Counter {
            raw,
            unit: UNIT,
            wraps_at: self.range,
        };
        Reading {
            power_limit: self.limit,
            ..Reading::new(&self.source, value)
        }
    }

    /// A quarter of the time in which the counter goes round at the part's power limit.
    #[allow(clippy::cast_precision_loss)]
    fn pace(&self) -> Option<Duration> {
        let round = Joules(self.range? as f64 * UNIT);
        Duration::try_from_secs_f64(round.0 / self.full.0 / 4.0).ok()
    }
}

/// Adds what a person can do about it.
fn explain(fault: Fault) -> Fault {
    let mend = match &fault.cause {
        Cause::Io(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            "run as root, or grant CAP_DAC_READ_SEARCH (energy_uj is readable by root alone since \
             CVE-2020-8694); in a container run as uid 0 and mount the host's /sys at /host/sys \
             (--path.sysfs=/host/sys)"
        }
        Cause::Io(error) if error.kind() == io::ErrorKind::NotFound => {
            "the zone vanished: bring a CPU of its package back online (echo 1 > \
             /sys/devices/system/cpu/cpuN/online), or load the driver again (modprobe intel_rapl_msr); in \
             a container mount the host's /sys at /host/sys (--path.sysfs=/host/sys)"
        }
        Cause::Io(_) => {
            "the processor did not answer: bring a CPU of its package back online (echo 1 > \
             /sys/devices/system/cpu/cpuN/online); if all are, reload the driver (modprobe -r \
             intel_rapl_msr; modprobe intel_rapl_msr)"
        }
        Cause::Parse(_) | Cause::Device(_) => return fault,
    };
    Fault {
        mend: mend.to_owned(),
        ..fault
    }
}

#[cfg(test)]
mod tests;
