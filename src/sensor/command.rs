//! Programs that a person names, run for the devices that no file of the kernel's and no library tells of:
//! Gaudi by `hl-smi`, or whatever a vendor's tool knows.
//!
//! **What a program prints** is CSV, one device a line: `device,kind,watts`, or `device,kind,joules` where the
//! configuration says so; see [`output`]. Watts are integrated, joules are a counter since any beginning. A
//! program with nothing to tell prints nothing and ends well, so that one configuration fits nodes with and
//! without the hardware.
//!
//! **A run is believed whole or not at all.** One that does not end by itself and in time with exit code 0, or
//! that prints too much, may have been cut off anywhere: nothing of it is booked. In a run that is believed
//! each line stands for itself.
//!
//! **It is run without a shell**, with arguments as they are configured, an environment of its own, and nothing
//! on its standard input. It leads a process group, which is killed as a whole at the time-out, and of which
//! nothing is left when it has ended; see [`run`]. It has the rights of gramwatt, no more and no less.

mod config;
mod discovery;
pub mod output;
mod run;

pub use config::{Config, Program, Unit, named_once};
pub use discovery::discover;

use super::{Readings, Sensor};
use crate::units::Watts;
use run::{Order, Run};
use std::time::Duration;

/// One line for `doctor` and the reference.
pub const SUMMARY: &str = "Programs of your own that print device,kind,watts or joules: Gaudi, TPU, whatever a tool can tell";

/// One program, and the devices that it tells of.
struct Command {
    name: String,
    unit: Unit,
    ceiling: Watts,
    interval: Duration,
    run: Run,
}

impl Command {
    fn new(program: &Program, order: Order) -> Self {
        Self {
            name: program.sensor(),
            unit: program.unit(),
            ceiling: program.ceiling(),
            interval: program.interval(),
            run: Run::new(order, program.timeout()),
        }
    }
}

impl Sensor for Command {
    fn name(&self) -> &str {
        &self.name
    }

    fn read(&mut self) -> Readings {
        match self.run.once() {
            Ok(printed) => output::read(&printed, self.unit, self.ceiling, self.run.place()),
            Err(fault) => Readings {
                good: Vec::new(),
                bad: vec![fault],
            },
        }
    }

    /// Its own: a process is dearer than the reading of a file.
    fn pace(&self, _wanted: Duration) -> Duration {
        self.interval
    }
}

#[cfg(test)]
mod tests;
