//! Who uses the GPUs: the processes on each, how busy they keep it, and into which MIG instances it is
//! divided. An [`Observer`] looks every few seconds, in a thread of its own, and gives what it saw last as a
//! value that never changes. NVIDIA's are asked through the driver's library, in an initialisation beside the
//! sensor's, of which the following is said; of AMD's the kernel lists who computes ([`Kfd`]).
//!
//! **What a driver tells.** `nvmlDeviceGetProcessUtilization` tells of the time since a time stamp of the
//! driver's that is passed back to it: see [`means`]. It knows no MIG, so that of processes on instances only
//! their presence is known. Process numbers are the host's, whatever container asks.
//!
//! **Sleep.** A GPU that is suspended is not asked, and nothing runs on it. While one is, the library is
//! neither loaded anew nor asked which GPUs there are, for either would wake it.
//!
//! **Recovery.** NVML counts its users, and its view of the machine is renewed only when the last of them has
//! shut it down. The sensor of power does so when a GPU is lost or the driver was reloaded; for it to come
//! true the observer must not hold the library then. So as long as anything is stale, it opens the library
//! for each look and closes it after.

pub mod means;
pub mod mig;

mod ask;
mod kfd;
mod look;
mod observer;

pub use kfd::Kfd;
pub use look::Looker;
pub use observer::{Eye, Observer};

use super::{DeviceName, ProcessUse};
use crate::sensor::nvml::bdf;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// What was seen at one look.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gpus {
    /// When the look before was (time since boot): the means in `uses` are of the time since. The same as
    /// `at` at the first look.
    pub from: Duration,
    /// When this look was (time since boot).
    pub at: Duration,
    /// All GPUs that are there or were.
    pub cards: Vec<Card>,
    /// The processes on them, by GPU and number; also those that ended since the look before, where the
    /// driver tells how busy they were.
    pub uses: Vec<ProcessUse>,
    /// Those in `uses`, by GPU and number, that the driver tells of and does not list: they have ended, so that
    /// another process may have their number now (compare when it began), or the driver never lists them.
    pub unlisted: BTreeSet<(Arc<str>, u32)>,
}

/// One physical GPU.
#[derive(Clone, Debug, PartialEq)]
pub struct Card {
    /// `GPU-...`, or of AMD's `gpu-...`: the id of the device that the sensor books.
    pub uuid: Arc<str>,
    /// NVML's number, by order on the PCI bus; of AMD's its number in that order.
    pub index: u32,
    /// `N` of `/dev/nvidiaN`, where the driver tells it; AMD's have none.
    pub minor: Option<u32>,
    /// Its place on the PCI bus, as sysfs writes it; empty where it is not told.
    pub pci: Arc<str>,
    /// Whether it is in MIG mode, divided or to be divided.
    pub divided: bool,
    /// Its MIG instances.
    pub instances: Vec<Instance>,
    /// What could be seen of it.
    pub sight: Sight,
}

/// A MIG instance, which is a compute instance in a GPU instance.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// `MIG-...`
    pub uuid: Arc<str>,
    /// The id of its GPU instance.
    pub gpu_instance: u32,
    /// The id of its compute instance in that.
    pub compute_instance: u32,
    /// Slices of the GPU's multiprocessors that it has, ...
    pub slices: u32,
    /// ... of so many (7 on A100 and newer, 4 on A30: NVIDIA's MIG user guide).
    pub of: u32,
}

/// How much could be seen of a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// The processes on it, and how busy each kept it.
    Full,
    /// The processes on it alone.
    Processes,
    /// Nothing was asked, for it sleeps: nobody uses it.
    Asleep,
    /// Nothing: it is lost, or it failed. Who uses it is not known.
    Lost,
}

impl Card {
    /// Whether it was told how busy its processes kept it: one that is not in the list then did nothing.
    #[must_use]
    pub fn told(&self) -> bool {
        matches!(self.sight, Sight::Full | Sight::Asleep)
    }
}

impl Gpus {
    /// What several saw, as one: until when all of them did.
    #[must_use]
    pub fn together(all: &[Arc<Self>]) -> Self {
        let mut together = Self {
            at: all.iter().map(|one| one.at).min().unwrap_or_default(),
            from: all.iter().map(|one| one.from).min().unwrap_or_default(),
            ..Self::default()
        };
        for one in all {
            together.cards.extend(one.cards.iter().cloned());
            together.uses.extend(one.uses.iter().cloned());
            together.unlisted.extend(one.unlisted.iter().cloned());
        }
        together
    }

    /// The GPU of this UUID.
    #[must_use]
    pub fn card(&self, uuid: &str) -> Option<&Card> {
        self.cards.iter().find(|card| *card.uuid == *uuid)
    }

    /// What those who hold accelerators mean by a name: the UUID of the whole GPU, and that of the instance
    /// where the name is an instance's. `None` where there is no such thing, or more than one.
    #[must_use]
    pub fn resolve(&self, name: &DeviceName) -> Option<(Arc<str>, Option<Arc<str>>)> {
        let whole = |is_it: &dyn Fn(&Card) -> bool| {
            let card = self.cards.iter().find(|card| is_it(card))?;
            Some((Arc::clone(&card.uuid), None))
        };
        match name {
            DeviceName::Uuid(uuid) => whole(&|card| card.uuid == *uuid)
                .or_else(|| self.instance(|card, one| is_called(card, one, uuid))),
            DeviceName::Index(index) => whole(&|card| card.index == *index),
            DeviceName::Minor(minor) => whole(&|card| card.minor == Some(*minor)),
            DeviceName::Pci(pci) => {
                let pci = bdf(pci);
                whole(&|card| !pci.is_empty() && *card.pci == *pci)
            }
            DeviceName::Instance {
                minor,
                gpu_instance,
            } => self.instance(|card, one| {
                card.minor == Some(*minor) && one.gpu_instance == *gpu_instance
            }),
        }
    }

    /// The one instance that is meant.
    fn instance(
        &self,
        is_it: impl Fn(&Card, &Instance) -> bool,
    ) -> Option<(Arc<str>, Option<Arc<str>>)> {
        let all = self
            .cards
            .iter()
            .flat_map(|card| card.instances.iter().map(move |one| (card, one)));
        let mut found = all.filter(|(card, one)| is_it(card, one));
        let (card, one) = found.next()?;
        found
            .next()
            .is_none()
            .then(|| (Arc::clone(&card.uuid), Some(Arc::clone(&one.uuid))))
    }
}

/// Whether an instance has this name: its UUID, or as drivers before R470 made it, `MIG-<GPU>/<GPU
/// instance>/<compute instance>`.
fn is_called(card: &Card, one: &Instance, name: &str) -> bool {
    if *one.uuid == *name {
        return true;
    }
    let old = name
        .strip_prefix("MIG-")
        .and_then(|name| name.strip_prefix(&*card.uuid));
    let ids = old.and_then(|old| old.strip_prefix('/')?.split_once('/'));
    ids.is_some_and(|(gpu, compute)| {
        gpu.parse() == Ok(one.gpu_instance) && compute.parse() == Ok(one.compute_instance)
    })
}

#[cfg(test)]
mod tests;
