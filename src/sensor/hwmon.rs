//! Power and energy sensors of the kernel's hwmon, each known by its chip and its device's path.
//!
//! `hwmonN` is numbered in the order in which drivers load, so that it identifies nothing. What a sensor
//! measures is told by the chip's name and the sensor's label through a table ([`rules`]); one that the
//! table does not know becomes a meter of unknown scope, which is shown and never summed.
//!
//! Left out: the `in_powerN_input` of iio, where Jetson boards before JetPack 5 show their rails.

mod channel;
mod discovery;
mod rules;
mod scan;

pub use discovery::discover;

use super::{Cause, Fault, Reading, Readings, Sensor, Enabled};
use scan::{Active, Scan, Site};
use std::io;

/// One line for `doctor` and the reference.
pub const SUMMARY: &str =
    "Power and energy sensors of hwmon: AMD and Grace sockets, Intel GPUs, Jetson rails, ACPI meters";

/// `sensors.hwmon`.
pub type Config = Enabled;

/// Reads between two looks at all chips, for those that are new.
const READS_PER_SCAN: u32 = 30;

/// All sensors of the machine.
struct Hwmon {
    site: Site,
    scan: Scan,
    /// Reads since the last scan.
    reads: u32,
    /// Sensors that could not be read last time.
    failing: usize,
    /// Whether a sensor that could be read has failed since the last scan.
    shaken: bool,
}

impl Sensor for Hwmon {
    fn name(&self) -> &'static str {
        "hwmon"
    }

    fn read(&mut self) -> Readings {
        let mut readings = Readings::default();
        if self.shaken || self.reads >= READS_PER_SCAN {
            self.rescan();
        }
        self.reads += 1;
        // At every read, or they would seem to be mended between two looks.
        readings.bad.extend_from_slice(&self.scan.odd);
        for active in &mut self.scan.active {
            match active.read() {
                Ok(Some(reading)) => readings.good.push(reading),
                Ok(None) => {}
                Err(fault) => readings.bad.push(explain(fault)),
            }
        }
        for text in &mut self.scan.mute {
            match text.read_text() {
                Ok(_) => self.shaken = true,
                Err(fault) => readings.bad.push(explain(fault)),
            }
        }
        let failing = readings.bad.len();
        self.shaken |= failing > self.failing;
        self.failing = failing;
        readings
    }
}

impl Hwmon {
    fn rescan(&mut self) {
        self.reads = 0;
        self.shaken = false;
        match self.site.scan(&mut self.scan) {
            Ok(scan) => self.scan = scan,
            Err(fault) => self.scan.odd = vec![explain(fault)],
        }
    }
}

impl Active {
    /// Reads the sensor; `None` while its device sleeps, as reading would wake it.
    fn read(&mut self) -> Result<Option<Reading>, Fault> {
        let status = self.sleep.as_mut().map(|sleep| sleep.read_text());
        if matches!(status, Some(Ok(status)) if status == "suspended") {
            return Ok(None);
        }
        let value = self.input.read()?;
        Ok(Some(Reading {
            power_limit: self.limit,
            ..Reading::new(&self.source, value)
        }))
    }
}

/// Adds what a person can do about it.
fn explain(fault: Fault) -> Fault {
    let mend = match &fault.cause {
        Cause::Io(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            "run as root, or grant CAP_DAC_READ_SEARCH; in a container run as uid 0 and mount the host's \
             /sys at /host/sys (--path.sysfs=/host/sys)"
        }
        Cause::Io(error) if error.kind() == io::ErrorKind::NotFound => {
            "the sensor vanished: load the driver of its chip again, or restart gramwatt to forget it"
        }
        Cause::Io(_) => {
            "the chip did not answer: see dmesg for its driver; an ACPI meter may need \
             acpi_power_meter.force_cap_on=y on the kernel's command line"
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
