//! Who computes on AMD GPUs, from what the kernel's compute driver (KFD) lists in sysfs: under
//! `class/kfd/kfd/proc` each process that has it open, what memory it has on each GPU (`vram_ID`), and how
//! many compute units its waves fill at the moment (`stats_ID/cu_occupancy`; kfd_process.c). The cost grows
//! with these processes only. What draws or decodes without ROCm is not in it.
//!
//! A process with no memory on a GPU does not use it (ROCm/legacy-rocm-build#4411). Compute units are told by
//! Instinct cards and their like (gfx9) alone; they are of the moment, so that they are looked at a few times
//! in each interval, and their mean is an estimate. No card that sleeps is asked.

use super::observer::Eye;
use super::{Card, Gpus, Sight};
use crate::sensor::amdgpu;
use crate::sensor::nvml::is_asleep;
use crate::sensor::sysfs::{self, Attribute};
use crate::sensor::{Fault, nvml};
use crate::workload::ProcessUse;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Most processes that are looked at.
const MOST_PROCESSES: usize = 4096;

/// Bytes of a node's properties that are read; it has about 1200.
const PROPERTIES: usize = 4096;

/// Looks at AMD GPUs; an [`Observer`](super::Observer) has one in its thread.
pub struct Kfd {
    sys: PathBuf,
    root: PathBuf,
    /// What was seen at the glances since the look before: by card and process.
    seen: BTreeMap<(usize, u32), Tally>,
    glances: u32,
    cards: Vec<Site>,
    faults: Vec<Fault>,
    before: Option<Duration>,
}

/// What a process was seen to have, over some glances.
#[derive(Default)]
struct Tally {
    units: u64,
    /// Whether it was not told once.
    untold: bool,
}

/// A card, which has a node for each of its partitions.
struct Site {
    card: Card,
    /// Ids of its nodes, as file names have them.
    nodes: Vec<u64>,
    /// Compute units of all of them.
    units: u64,
    sleep: Attribute,
}

impl Kfd {
    /// Will look in the folder where sysfs is.
    #[must_use]
    pub fn new(sys: &Path) -> Self {
        Self {
            sys: sys.to_owned(),
            root: sys.join("class/kfd/kfd"),
            seen: BTreeMap::new(),
            glances: 0,
            cards: Vec::new(),
            faults: Vec::new(),
            before: None,
        }
    }

    /// Lists the cards by their place on the bus. Those of before stay, as far as they are there.
    fn list(&mut self) {
        let nodes = self.root.join("topology/nodes");
        let names = match sysfs::list(&nodes) {
            Ok(listing) => listing.names,
            Err(fault) => {
                self.faults.push(fault);
                return;
            }
        };
        let mut found: BTreeMap<String, (Vec<u64>, u64)> = BTreeMap::new();
        for name in names {
            let id = sysfs::peek_u64(nodes.join(&name).join("gpu_id"));
            // Processors are nodes too, of id 0.
            let Some(id) = id.filter(|id| *id > 0) else {
                continue;
            };
            let node = sysfs::head(&nodes.join(&name).join("properties"), PROPERTIES);
            let Some((address, units)) = place(&node) else {
                continue;
            };
            let card = found.entry(address).or_default();
            card.0.push(id);
            card.1 = card.1.saturating_add(units);
        }
        let is_same = self.cards.len() == found.len()
            && self
                .cards
                .iter()
                .zip(&found)
                .all(|(site, (address, (nodes, _)))| {
                    *site.card.pci == **address && site.nodes == *nodes
                });
        if is_same {
            return;
        }
        self.seen.clear();
        self.glances = 0;
        self.cards = (0..)
            .zip(found)
            .filter_map(|(index, (address, (nodes, units)))| {
                Some(Site {
                    sleep: Attribute::new(nvml::status(&self.sys, &address)),
                    card: Card {
                        uuid: amdgpu::id(&self.sys, &address)?.into(),
                        index,
                        minor: None,
                        pci: address.into(),
                        divided: false,
                        instances: Vec::new(),
                        sight: Sight::Processes,
                    },
                    nodes,
                    units,
                })
            })
            .collect();
    }
}

impl Eye for Kfd {
    const GLANCES: u32 = 5;

    fn is_absent(&mut self) -> bool {
        !self.root.join("proc").is_dir()
    }

    fn glance(&mut self) {
        let all = self.root.join("proc");
        let processes = match sysfs::list(&all) {
            Ok(listing) => listing.names,
            Err(fault) => {
                self.faults.push(fault);
                return;
            }
        };
        self.glances = self.glances.saturating_add(1);
        let pids = processes.iter().filter_map(|name| name.parse::<u32>().ok());
        let pids: Vec<u32> = pids.take(MOST_PROCESSES).collect();
        for (number, site) in self.cards.iter_mut().enumerate() {
            if is_asleep(&mut site.sleep) {
                continue;
            }
            for pid in &pids {
                let process = all.join(pid.to_string());
                for node in &site.nodes {
                    let memory = sysfs::peek_u64(process.join(format!("vram_{node}")));
                    if memory.is_none_or(|bytes| bytes == 0) {
                        continue;
                    }
                    let tally = self.seen.entry((number, *pid)).or_default();
                    match sysfs::peek_u64(process.join(format!("stats_{node}/cu_occupancy"))) {
                        Some(units) => {
                            tally.units = tally.units.saturating_add(units.min(site.units))
                        }
                        // It may have ended just now.
                        None => tally.untold |= process.is_dir(),
                    }
                }
            }
        }
    }

    fn look(&mut self, at: Duration) -> (Gpus, Vec<Fault>) {
        self.list();
        self.glance();
        let seen = std::mem::take(&mut self.seen);
        let glances = std::mem::take(&mut self.glances);
        let mut uses = Vec::new();
        let mut unlisted = BTreeSet::new();
        let proc = self.root.join("proc");
        for (number, site) in self.cards.iter_mut().enumerate() {
            let here = || seen.iter().filter(move |((card, _), _)| *card == number);
            let is_told = site.units > 0 && here().all(|(_, tally)| !tally.untold);
            site.card.sight = match is_told {
                _ if is_asleep(&mut site.sleep) => Sight::Asleep,
                _ if glances == 0 => Sight::Lost,
                true => Sight::Full,
                false => Sight::Processes,
            };
            let is_gone = |pid: &u32| !proc.join(pid.to_string()).is_dir();
            let gone = here().map(|((_, pid), _)| *pid).filter(is_gone);
            unlisted.extend(gone.map(|pid| (Arc::clone(&site.card.uuid), pid)));
            let sum = here().fold(0_u64, |sum, (_, tally)| sum.saturating_add(tally.units));
            // Processes cannot fill more than all; what each fills is rounded up.
            let whole = site
                .units
                .saturating_mul(u64::from(glances))
                .max(sum)
                .max(1);
            #[allow(clippy::cast_precision_loss)]
            uses.extend(here().map(|((_, pid), tally)| ProcessUse {
                device: Arc::clone(&site.card.uuid),
                pid: *pid,
                instance: None,
                busy: is_told.then_some(tally.units as f64 / whole as f64),
            }));
        }
        let gpus = Gpus {
            from: self.before.replace(at).unwrap_or(at),
            at,
            cards: self.cards.iter().map(|site| site.card.clone()).collect(),
            uses,
            unlisted,
        };
        (gpus, std::mem::take(&mut self.faults))
    }
}

/// The address and the compute units that a node's properties tell (kfd_topology.c: `location_id` has bus,
/// device and function in its lowest 16 bits, and the partition in its highest).
fn place(properties: &str) -> Option<(String, u64)> {
    let value = |name: &str| {
        let mut lines = properties.lines().map(str::split_ascii_whitespace);
        let mut line = lines.find_map(|mut words| (words.next() == Some(name)).then_some(words))?;
        line.next()?.parse::<u64>().ok()
    };
    let location = value("location_id")?;
    let domain = value("domain").unwrap_or(0);
    let (bus, device, function) = (location >> 8 & 0xff, location >> 3 & 0x1f, location & 0x7);
    let units = value("simd_count")?
        .checked_div(value("simd_per_cu")?)
        .unwrap_or(0);
    let address = format!("{domain:04x}:{bus:02x}:{device:02x}.{function}");
    Some((address, units)).filter(|(_, units)| *units < 1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use tempfile::TempDir;

    const MI300X: &str = "cpu_cores_count 0\nsimd_count 1216\nmem_banks_count 1\nsimd_per_cu 4\nlocation_id 49408\ndomain 0\n";

    fn write(sys: &TempDir, path: &str, text: &str) {
        let path = sys.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Two cards, the second in two partitions.
    fn machine() -> TempDir {
        let sys = TempDir::new().unwrap();
        let node = |n: u32, id: u32, text: &str| {
            write(
                &sys,
                &format!("class/kfd/kfd/topology/nodes/{n}/gpu_id"),
                &format!("{id}\n"),
            );
            write(
                &sys,
                &format!("class/kfd/kfd/topology/nodes/{n}/properties"),
                text,
            );
        };
        node(
            0,
            0,
            "cpu_cores_count 64\nsimd_count 0\nsimd_per_cu 0\nlocation_id 0\n",
        );
        node(1, 111, MI300X);
        node(
            2,
            222,
            "simd_count 608\nsimd_per_cu 4\nlocation_id 50688\ndomain 0\n",
        );
        node(
            3,
            333,
            &format!(
                "simd_count 608\nsimd_per_cu 4\nlocation_id {}\n",
                50688 + (1 << 28)
            ),
        );
        write(
            &sys,
            "bus/pci/devices/0000:c1:00.0/unique_id",
            "61b9f7e04a2c8d35\n",
        );
        write(
            &sys,
            "bus/pci/devices/0000:c6:00.0/power/runtime_status",
            "active\n",
        );
        fs::create_dir_all(sys.path().join("class/kfd/kfd/proc")).unwrap();
        sys
    }

    fn process(sys: &TempDir, pid: u32, node: u32, memory: u64, units: Option<u32>) {
        write(
            sys,
            &format!("class/kfd/kfd/proc/{pid}/vram_{node}"),
            &format!("{memory}\n"),
        );
        if let Some(units) = units {
            write(
                sys,
                &format!("class/kfd/kfd/proc/{pid}/stats_{node}/cu_occupancy"),
                &format!("{units}\n"),
            );
        }
    }

    fn uses(gpus: &Gpus) -> Vec<(&str, u32, Option<f64>)> {
        gpus.uses
            .iter()
            .map(|one| (&*one.device, one.pid, one.busy))
            .collect()
    }

    const FIRST: &str = "gpu-61b9f7e04a2c8d35";
    const SECOND: &str = "gpu-0000:c6:00.0";

    #[test]
    fn processes_are_told_with_the_units_that_they_fill() {
        let sys = machine();
        let mut kfd = Kfd::new(sys.path());
        assert!(!kfd.is_absent());
        process(&sys, 10, 111, 4096, Some(152));
        process(&sys, 10, 222, 0, Some(0));
        process(&sys, 11, 222, 4096, Some(76));
        process(&sys, 11, 333, 4096, Some(152));
        process(&sys, 12, 333, 4096, Some(0));
        let (gpus, faults) = kfd.look(Duration::from_secs(100));
        assert!(faults.is_empty(), "{faults:?}");
        assert_eq!(
            uses(&gpus),
            [
                (FIRST, 10, Some(0.5)),
                (SECOND, 11, Some(0.75)),
                (SECOND, 12, Some(0.0))
            ]
        );
        let pci: Vec<&str> = gpus.cards.iter().map(|card| &*card.pci).collect();
        assert_eq!(pci, ["0000:c1:00.0", "0000:c6:00.0"]);
        assert!(gpus.cards.iter().all(|card| card.sight == Sight::Full));
        // A mean of the glances, the look's own among them; one that ended has its part.
        process(&sys, 10, 111, 4096, Some(304));
        kfd.glance();
        fs::remove_dir_all(sys.path().join("class/kfd/kfd/proc/10")).unwrap();
        let (gpus, _) = kfd.look(Duration::from_secs(105));
        assert_eq!(uses(&gpus)[0], (FIRST, 10, Some(0.5)));
        assert!(gpus.unlisted.iter().map(|(_, pid)| *pid).eq([10]));
        assert_eq!(
            (gpus.from, gpus.at),
            (Duration::from_secs(100), Duration::from_secs(105))
        );
        assert_eq!(kfd.look(Duration::from_secs(110)).0.uses.len(), 2);
    }

    #[test]
    fn a_card_that_does_not_tell_units_tells_who_is_there() {
        let sys = machine();
        let mut kfd = Kfd::new(sys.path());
        process(&sys, 10, 111, 4096, None);
        process(&sys, 11, 222, 4096, Some(304));
        process(&sys, 12, 222, 4096, Some(304));
        let (gpus, _) = kfd.look(Duration::ZERO);
        assert_eq!(
            uses(&gpus),
            [
                (FIRST, 10, None),
                (SECOND, 11, Some(0.5)),
                (SECOND, 12, Some(0.5))
            ]
        );
        assert_eq!((gpus.cards[0].told(), gpus.cards[1].told()), (false, true));
    }

    #[test]
    fn a_card_that_sleeps_is_not_asked_and_one_that_is_gone_is_gone() {
        let sys = machine();
        let mut kfd = Kfd::new(sys.path());
        process(&sys, 11, 222, 4096, Some(76));
        write(
            &sys,
            "bus/pci/devices/0000:c6:00.0/power/runtime_status",
            "suspended\n",
        );
        let (gpus, _) = kfd.look(Duration::ZERO);
        assert_eq!(gpus.cards[1].sight, Sight::Asleep);
        assert!(gpus.uses.is_empty());
        fs::remove_dir_all(sys.path().join("class/kfd/kfd/topology/nodes/1")).unwrap();
        let (gpus, _) = kfd.look(Duration::from_secs(5));
        assert_eq!(gpus.cards.len(), 1);
        fs::remove_dir_all(sys.path().join("class/kfd")).unwrap();
        let (gpus, faults) = kfd.look(Duration::from_secs(10));
        assert_eq!((gpus.cards[0].sight, faults.len()), (Sight::Asleep, 2));
        assert!(kfd.is_absent());
    }

    #[test]
    fn nonsense_of_a_node_is_no_card() {
        for nonsense in [
            "",
            "location_id",
            "location_id x\nsimd_count 4\nsimd_per_cu 4",
            "simd_count 4\nsimd_per_cu 4",
            "location_id 1\nsimd_count 99999999999\nsimd_per_cu 1",
        ] {
            assert_eq!(place(nonsense), None, "{nonsense}");
        }
        let none = place("location_id 49408\nsimd_count 4\nsimd_per_cu 0");
        assert_eq!(none, Some(("0000:c1:00.0".to_owned(), 0)));
        assert_eq!(place(MI300X), Some(("0000:c1:00.0".to_owned(), 304)));
    }
}
