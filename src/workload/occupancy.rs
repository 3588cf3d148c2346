//! Who was on which accelerator: those who hold one, for as long as they do, and where nobody holds it those whose
//! processes are on it.

use super::census::{Holder, RunHold};
use super::gpu::{Card, Gpus, Instance};
use super::runs::Id;
use super::{DeviceName, Hold, Owner, ProcessUse, Seen};
use crate::sensor::Kind;
use crate::snapshot::Snapshot;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// The accelerators that sensors know: device id, UUID and place on the PCI bus, in the bus's order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inventory(Vec<Known>);

/// A device as sensors know it.
#[derive(Clone, Debug, PartialEq)]
struct Known {
    id: Arc<str>,
    uuid: String,
    pci: String,
}

impl Inventory {
    /// Those of a snapshot.
    #[must_use]
    pub fn of(snapshot: &Snapshot) -> Self {
        let devices = snapshot
            .devices
            .iter()
            .filter(|device| device.kind == Kind::Gpu);
        let mut all: Vec<Known> = devices
            .map(|device| {
                let about = device.source.as_ref().map(|source| &source.about);
                Known {
                    id: Arc::clone(&device.id),
                    uuid: about.map(|about| about.uuid.clone()).unwrap_or_default(),
                    pci: about
                        .map(|about| about.pci_bus_id.clone())
                        .unwrap_or_default(),
                }
            })
            .collect();
        all.sort_by(|a, b| a.pci.cmp(&b.pci));
        Self(all)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The device of a name; of a number the one at that place in the bus's order.
    fn resolve(&self, name: &DeviceName) -> Option<Arc<str>> {
        let Self(all) = self;
        let found = match name {
            DeviceName::Uuid(uuid) => all
                .iter()
                .find(|known| known.id == *uuid || *known.uuid == **uuid),
            DeviceName::Pci(pci) => all.iter().find(|known| *known.pci == **pci),
            DeviceName::Index(index) | DeviceName::Minor(index) => {
                all.get(usize::try_from(*index).ok()?)
            }
            DeviceName::Instance { .. } => None,
        };
        found.map(|known| Arc::clone(&known.id))
    }
}

/// A hold with its times.
pub type Held = Hold;

/// Who has held what since when.
#[derive(Debug, Default)]
pub struct Tenure {
    held: BTreeMap<(Owner, DeviceName), Held>,
    /// When it was last looked.
    last: Option<Duration>,
}

impl Tenure {
    /// Takes who holds what now. Whoever is new holds it since it began, if that was after the last look, or else since
    /// half-way; whoever is gone held it until its end, or until half-way.
    pub fn take(&mut self, holds: &[Hold], seen: &[Seen], at: Duration) {
        let middle = self.last.map(|last| last + at.saturating_sub(last) / 2);
        let times: BTreeMap<&Owner, &Seen> = seen.iter().map(|seen| (&seen.owner, seen)).collect();
        let now: BTreeSet<(Owner, DeviceName)> = holds
            .iter()
            .map(|hold| (hold.owner.clone(), hold.device.clone()))
            .collect();
        for (key, held) in &mut self.held {
            if held.until.is_none() && !now.contains(key) {
                let ended = times.get(&held.owner).and_then(|seen| seen.until);
                held.until = ended.or(middle).or(Some(at));
            }
        }
        for (owner, device) in now {
            let since = match times.get(&owner).map(|seen| seen.since) {
                // It is told of late that somebody has it who came before: it had it from the beginning.
                Some(Some(since)) => Some(since),
                _ => middle,
            };
            let fresh = Hold {
                owner: owner.clone(),
                device: device.clone(),
                since: since.filter(|_| middle.is_some()),
                until: None,
            };
            let entry = self
                .held
                .entry((owner, device))
                .or_insert_with(|| fresh.clone());
            if entry.until.is_some() {
                *entry = fresh;
            }
        }
        self.last = Some(at);
    }

    /// Everybody who holds one now.
    #[must_use]
    pub fn holding(&self) -> Vec<Owner> {
        let mut owners: Vec<Owner> = self
            .held
            .values()
            .filter(|held| held.until.is_none())
            .map(|held| held.owner.clone())
            .collect();
        owners.dedup();
        owners
    }

    /// Those who held one at any time since.
    #[must_use]
    pub fn within(&self, from: Duration) -> Vec<Held> {
        let held = self.held.values();
        held.filter(|held| held.until.is_none_or(|until| until > from))
            .cloned()
            .collect()
    }

    /// Forgets those who let go before.
    pub fn forget(&mut self, before: Duration) {
        self.held
            .retain(|_, held| held.until.is_none_or(|until| until > before));
    }
}

/// Who was on each device. `users` are the owners of the processes on them.
#[must_use]
pub fn devices(
    holds: &[Held],
    gpus: &Gpus,
    users: &BTreeMap<u32, Option<Owner>>,
    inventory: &Inventory,
) -> BTreeMap<Arc<str>, Vec<Holder>> {
    let mut devices: BTreeMap<Arc<str>, Vec<Holder>> = BTreeMap::new();
    for held in holds {
        if let Some((card, instance)) = part(gpus, &held.device) {
            let is_its = |pid: u32| {
                users
                    .get(&pid)
                    .is_some_and(|user| user.as_ref() == Some(&held.owner))
            };
            // Of one who is only known by name nobody tells which processes are its.
            let is_known = !matches!(held.owner, Owner::Named { .. });
            let busy = is_known
                .then(|| busy(gpus, card, instance, is_its))
                .flatten();
            let holder = holder(Some(held.owner.clone()), instance, busy);
            devices
                .entry(Arc::clone(&card.uuid))
                .or_default()
                .push(Holder {
                    since: held.since,
                    until: held.until,
                    ..holder
                });
        } else if let Some(device) = inventory.resolve(&held.device) {
            let holder = holder(Some(held.owner.clone()), None, None);
            devices.entry(device).or_default().push(Holder {
                since: held.since,
                until: held.until,
                ..holder
            });
        }
    }
    for card in &gpus.cards {
        if devices.contains_key(&card.uuid) {
            continue;
        }
        let here: Vec<&ProcessUse> = gpus
            .uses
            .iter()
            .filter(|used| used.device == card.uuid)
            .collect();
        let mut by: BTreeSet<(Option<Owner>, Option<Arc<str>>)> = BTreeSet::new();
        for used in here {
            by.insert((
                users.get(&used.pid).cloned().flatten(),
                used.instance.clone(),
            ));
        }
        let holders: Vec<Holder> = by
            .into_iter()
            .map(|(owner, uuid)| {
                let instance = card
                    .instances
                    .iter()
                    .find(|instance| Some(&instance.uuid) == uuid.as_ref());
                let busy = busy(gpus, card, instance, |pid| {
                    users.get(&pid).cloned().flatten() == owner
                });
                holder(owner, instance, busy)
            })
            .collect();
        if !holders.is_empty() {
            devices.insert(Arc::clone(&card.uuid), holders);
        }
    }
    devices
}

/// The runs whose processes are on accelerators, each with its part of what the processes' owner has there: by how
/// busy they kept it, or by their number where nobody tells or nobody did anything.
#[must_use]
pub fn runs(
    gpus: &Gpus,
    users: &BTreeMap<u32, Option<Owner>>,
    runners: &BTreeMap<u32, Id>,
    devices: &BTreeMap<Arc<str>, Vec<Holder>>,
) -> Vec<RunHold> {
    /// How busy each process kept it, with its run.
    type Processes<'a> = Vec<(Option<&'a Id>, f64)>;
    let mut groups: BTreeMap<(Arc<str>, Option<Owner>), Processes<'_>> = BTreeMap::new();
    for used in &gpus.uses {
        let owner = users.get(&used.pid).cloned().flatten();
        let holders = devices.get(&used.device).map_or(&[][..], Vec::as_slice);
        // A pod that is only known by name is that of the pod's processes, where it is alone.
        let owner = match (holders, &owner) {
            ([alone], Some(Owner::Pod { .. })) if is_named(alone) => alone.owner.clone(),
            _ => owner,
        };
        let group = groups.entry((Arc::clone(&used.device), owner));
        let busy = used.busy.unwrap_or(0.0).max(0.0);
        group.or_default().push((runners.get(&used.pid), busy));
    }
    let mut holds = Vec::new();
    for ((device, owner), processes) in groups {
        let sum: f64 = processes.iter().map(|(_, busy)| busy).sum();
        let weight = |busy: f64| if sum > 0.0 { busy } else { 1.0 };
        let all: f64 = processes.iter().map(|(_, busy)| weight(*busy)).sum();
        let mut parts: BTreeMap<&Id, f64> = BTreeMap::new();
        for (run, busy) in &processes {
            if let Some(run) = run {
                *parts.entry(run).or_default() += weight(*busy) / all;
            }
        }
        holds.extend(parts.into_iter().map(|(run, part)| RunHold {
            run: Arc::clone(run),
            device: Arc::clone(&device),
            owner: owner.clone(),
            part: part.min(1.0),
        }));
    }
    holds
}

fn is_named(holder: &Holder) -> bool {
    matches!(holder.owner, Some(Owner::Named { .. }))
}

/// The GPU of a name, and the instance on it where the name is of one.
fn part<'a>(gpus: &'a Gpus, name: &DeviceName) -> Option<(&'a Card, Option<&'a Instance>)> {
    let (uuid, instance) = gpus.resolve(name)?;
    let card = gpus.card(&uuid)?;
    let Some(instance) = instance else {
        return Some((card, None));
    };
    let mut instances = card.instances.iter();
    Some((card, Some(instances.find(|one| one.uuid == instance)?)))
}

fn holder(owner: Option<Owner>, instance: Option<&Instance>, busy: Option<f64>) -> Holder {
    Holder {
        owner,
        slices: instance.map(|instance| (instance.slices, instance.of)),
        busy,
        since: None,
        until: None,
    }
}

/// How busy somebody's processes kept a GPU, or an instance of it; `None` where that is not told.
fn busy(
    gpus: &Gpus,
    card: &Card,
    instance: Option<&Instance>,
    is_its: impl Fn(u32) -> bool,
) -> Option<f64> {
    if instance.is_some() || card.divided || !card.told() {
        return None;
    }
    let here = gpus.uses.iter().filter(|used| used.device == card.uuid);
    let of_each: Option<Vec<(u32, f64)>> = here.map(|used| Some((used.pid, used.busy?))).collect();
    let sum: f64 = of_each?
        .into_iter()
        .filter(|(pid, _)| is_its(*pid))
        .map(|(_, busy)| busy)
        .sum();
    Some(sum.min(1.0))
}

#[cfg(test)]
mod tests;
