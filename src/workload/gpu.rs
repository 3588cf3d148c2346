//! Who uses accelerators: what a look at them found, and the thread that looks.

use super::{DeviceName, Health, ProcessUse};
use crate::clock;
use crate::sensor::Fault;
use crate::sensor::nvml::Users;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

/// Stack of the thread, in bytes: NVML's table of functions overflows a small one.
const STACK: usize = 4 << 20;

/// What one look found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gpus {
    /// From when (time since boot) the uses are a mean, ...
    pub from: Duration,
    /// ... until when.
    pub at: Duration,
    /// The GPUs.
    pub cards: Vec<Card>,
    /// Processes on them.
    pub uses: Vec<ProcessUse>,
}

/// A GPU.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Card {
    /// Its UUID, which is its device id.
    pub uuid: Arc<str>,
    /// NVML's number.
    pub index: u32,
    /// The driver's number, where it is told.
    pub minor: Option<u32>,
    /// Its place on the PCI bus, as sysfs writes it.
    pub pci: String,
    /// Its MIG instances.
    pub instances: Vec<Instance>,
}

/// A MIG instance.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// `MIG-...`.
    pub uuid: Arc<str>,
    /// The GPU instance's id.
    pub gpu_instance: Option<u32>,
    /// Slices that it has, ...
    pub slices: u32,
    /// ... of all of the GPU's.
    pub of: u32,
}

impl Gpus {
    /// The GPU of a name, and the instance on it where the name is of one.
    #[must_use]
    pub fn resolve(&self, name: &DeviceName) -> Option<(&Card, Option<&Instance>)> {
        let card = |is: &dyn Fn(&Card) -> bool| self.cards.iter().find(|card| is(card));
        match name {
            DeviceName::Uuid(uuid) => {
                let whole = card(&|card| card.uuid == *uuid).map(|card| (card, None));
                whole.or_else(|| {
                    let mut all = self.cards.iter().flat_map(|card| {
                        card.instances
                            .iter()
                            .map(move |instance| (card, Some(instance)))
                    });
                    all.find(|(_, instance)| instance.is_some_and(|found| found.uuid == *uuid))
                })
            }
            DeviceName::Index(index) => Some((card(&|card| card.index == *index)?, None)),
            DeviceName::Minor(minor) => Some((card(&|card| card.minor == Some(*minor))?, None)),
            DeviceName::Pci(pci) => Some((card(&|card| card.pci == **pci)?, None)),
            DeviceName::Instance {
                minor,
                gpu_instance,
            } => {
                let card = card(&|card| card.minor == Some(*minor))?;
                let mut instances = card.instances.iter();
                let found = instances.find(|i| i.gpu_instance == Some(*gpu_instance))?;
                Some((card, Some(found)))
            }
        }
    }
}

/// Looks from time to time, in a thread of its own. Dropping it ends the thread after the look that it is in.
#[derive(Debug)]
pub struct Observer {
    shared: Arc<Shared>,
    thread: Thread,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    latest: Mutex<(Option<Arc<Gpus>>, Option<Fault>)>,
}

impl Shared {
    fn latest(&self) -> MutexGuard<'_, (Option<Arc<Gpus>>, Option<Fault>)> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer {
    /// Starts to look every so often, where there is a library to ask. NVML takes 50 to 100 ms for what processes did
    /// (Kepler's MIG notes).
    #[must_use]
    pub fn start(library: &Path, sys: &Path, every: Duration) -> Option<Self> {
        let mut users = Users::open(library, sys)?;
        let shared = Arc::new(Shared::default());
        let mine = Arc::clone(&shared);
        let look = move || {
            while !mine.stop.load(Ordering::Relaxed) {
                let found = users.look(clock::now().boot);
                let mut latest = mine.latest();
                match found {
                    Ok(gpus) => *latest = (Some(Arc::new(gpus)), None),
                    // What was found before is no longer so.
                    Err(fault) => *latest = (None, Some(fault)),
                }
                drop(latest);
                thread::park_timeout(every);
            }
        };
        let thread = thread::Builder::new()
            .name("gpu users".into())
            .stack_size(STACK)
            .spawn(look);
        let thread = thread.ok()?.thread().clone();
        Some(Self { shared, thread })
    }

    /// What was found last; `None` before the first look, and while it fails.
    #[must_use]
    pub fn latest(&self) -> Option<Arc<Gpus>> {
        self.shared.latest().0.clone()
    }

    /// How it is.
    #[must_use]
    pub fn health(&self) -> Health {
        Health {
            source: "gpu-processes",
            faults: self.shared.latest().1.iter().cloned().collect(),
        }
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.thread.unpark();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_to_name_a_gpu_finds_it() {
        let instance = |uuid: &str, id| Instance {
            uuid: uuid.into(),
            gpu_instance: Some(id),
            slices: 3,
            of: 7,
        };
        let card = |index: u32, instances| Card {
            uuid: format!("GPU-{index}").into(),
            index,
            minor: Some(7 - index),
            pci: format!("0000:0{index}:00.0"),
            instances,
        };
        let gpus = Gpus {
            cards: vec![
                card(0, vec![]),
                card(1, vec![instance("MIG-a", 1), instance("MIG-b", 2)]),
            ],
            ..Gpus::default()
        };
        let found = |name: DeviceName| {
            let (card, instance) = gpus.resolve(&name)?;
            Some((card.index, instance.map(|i| i.uuid.to_string())))
        };
        let mig = |uuid: &str| Some(uuid.to_owned());
        assert_eq!(found(DeviceName::Uuid("GPU-1".into())), Some((1, None)));
        assert_eq!(
            found(DeviceName::Uuid("MIG-b".into())),
            Some((1, mig("MIG-b")))
        );
        assert_eq!(found(DeviceName::Index(0)), Some((0, None)));
        assert_eq!(found(DeviceName::Minor(7)), Some((0, None)));
        assert_eq!(
            found(DeviceName::Pci("0000:01:00.0".into())),
            Some((1, None))
        );
        let named = |minor, gpu_instance| DeviceName::Instance {
            minor,
            gpu_instance,
        };
        assert_eq!(found(named(6, 1)), Some((1, mig("MIG-a"))));
        for missing in [
            named(6, 9),
            named(7, 1),
            DeviceName::Index(5),
            DeviceName::Uuid("GPU-".into()),
        ] {
            assert_eq!(found(missing.clone()), None, "{missing:?}");
        }
    }
}
