//! NVIDIA GPUs, through the driver's own library (NVML), which is loaded when the program runs and need not
//! be there.
//!
//! A GPU's energy counter is booked where it has one (Volta and newer). Otherwise its power is integrated:
//! the mean of a second on Ampere (but GA100) and newer, the power of the moment on older ones (nvml.h,
//! `nvmlDeviceGetPowerUsage`). What a GPU does not tell is absent, never 0.
//!
//! **GH200.** Its counter covers the whole module: GPU, memory and the Grace socket. The GPU is booked by the
//! power of its own scope, integrated, and the counter is shown as a meter of the module; where there is no
//! such scope, the counter is booked as a device that holds processor and memory.
//!
//! **MIG.** Power and energy of an instance repeat those of the whole GPU, so that only physical GPUs are
//! devices.
//!
//! **Sleep.** A call to a GPU wakes it: none is made while the kernel says that it is suspended. Which GPUs
//! there are is known by asking each once, at the start; while one sleeps no new ones are looked for.
//!
//! **Recovery.** NVML's view of the machine is that of its initialisation: after a GPU was lost, or the
//! driver reloaded, the library is shut down and loaded anew. A driver without persistence mode and without
//! another client then restarts its counters, which the ledger takes for the restart that it is.

mod card;
mod discovery;
mod ffi;
mod session;
mod trouble;

pub(crate) use card::{Known, bdf, is_asleep, maybe, status};
pub use discovery::discover;
pub(crate) use ffi::Library;
pub(crate) use trouble::Trouble;

use super::{Readings, Sensor, Switch};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use session::Session;
use std::path::{Path, PathBuf};

/// One line for `doctor` and the reference.
pub const SUMMARY: &str = "NVIDIA GPUs through the driver's library, libnvidia-ml.so.1 (NVML)";

/// `sensors.nvml`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether the family is used.
    pub enabled: bool,
    /// The driver's library: a name that the dynamic linker finds, or a path.
    pub library: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            library: "libnvidia-ml.so.1".into(),
        }
    }
}

impl Switch for Config {
    fn is_on(&self) -> bool {
        self.enabled
    }
    fn turn(&mut self, on: bool) {
        self.enabled = on;
    }
}

/// Reads between two looks at which GPUs there are, and at what changes seldom.
const READS_PER_LOOK: u32 = 10;

/// Reads between two attempts to load the library, or to load it anew while a GPU is lost: at first, ...
const SOON: u32 = 30;

/// ... and at most, after it was twice as many each time. A load takes the driver's locks, and what the
/// dynamic linker keeps of each it never gives back.
const LATE: u32 = 600;

/// All NVIDIA GPUs of the machine.
struct Nvidia {
    library: PathBuf,
    sys: PathBuf,
    session: Result<Session, Trouble>,
    /// Reads since the last look.
    looked: u32,
    /// Reads since the library was loaded, or could not be.
    loaded: u32,
    /// Reads until it is loaded anew if that did not help.
    patience: u32,
    /// GPUs for which the library is stale, last time.
    failing: usize,
}

impl Sensor for Nvidia {
    fn name(&self) -> &'static str {
        "nvml"
    }

    fn read(&mut self) -> Readings {
        self.refresh();
        self.looked = self.looked.saturating_add(1);
        self.loaded = self.loaded.saturating_add(1);
        let session = match &mut self.session {
            Ok(session) => session,
            Err(trouble) => {
                return Readings {
                    good: Vec::new(),
                    bad: vec![trouble.fault()],
                };
            }
        };
        let (readings, failing) = session.read();
        if failing > self.failing {
            // Something new: do not wait for the next turn.
            self.patience = SOON / 2;
            self.loaded = SOON;
        }
        self.failing = failing;
        readings
    }
}

impl Nvidia {
    fn new(library: &Path, sys: &Path) -> Self {
        Self {
            session: Session::open(library, sys, Vec::new()),
            library: library.to_owned(),
            sys: sys.to_owned(),
            looked: 0,
            loaded: 0,
            patience: SOON,
            failing: 0,
        }
    }

    /// Looks again at what is due.
    fn refresh(&mut self) {
        let is_due = self.loaded >= self.patience;
        let is_well = self.failing == 0;
        match &mut self.session {
            Ok(session) => {
                if session.is_asleep() {
                    return;
                }
                if is_well {
                    self.patience = SOON;
                }
                if is_well && self.looked >= READS_PER_LOOK {
                    self.looked = 0;
                    session.look();
                } else if !is_well && is_due {
                    self.reload();
                }
            }
            Err(_) if is_due => self.reload(),
            Err(_) => {}
        }
    }

    /// Loads the library anew. The GPUs that were known stay known, to fail in sight if they are gone.
    fn reload(&mut self) {
        self.looked = 0;
        self.loaded = 0;
        self.patience = self.patience.saturating_mul(2).min(LATE);
        let known = match &mut self.session {
            Ok(session) => session.known(),
            Err(trouble) => std::mem::take(&mut trouble.known),
        };
        // The old one must be shut down first: the library counts its users.
        self.session = Err(Trouble::default());
        self.session = Session::open(&self.library, &self.sys, known);
    }
}
