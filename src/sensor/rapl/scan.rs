//! A look at the whole powercap tree: which zones there are, and what each can measure.

use super::zone::{self, Address, Role};
use crate::sensor::cpuinfo::CpuInfo;
use crate::sensor::sysfs::{self, Attribute};
use crate::sensor::{About, Fault, Kind, Part, Source};
use crate::units::Watts;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

/// Constraints that a zone can have (`MAX_CONSTRAINTS_PER_ZONE` in drivers/powercap/powercap_sys.c).
const MAX_CONSTRAINTS: usize = 10;

/// Where zones are, and in what processor.
pub(super) struct Site {
    /// `class/powercap`.
    pub(super) directory: PathBuf,
    pub(super) processor: CpuInfo,
    /// Bytes of memory of the whole machine.
    pub(super) memory: Option<u64>,
}

/// A zone that is read.
pub(super) struct Zone {
    pub(super) address: Address,
    pub(super) source: Arc<Source>,
    pub(super) energy: Attribute,
    /// The count at which the counter is 0 again; `None` where the kernel does not say.
    pub(super) range: Option<u64>,
    /// The limit on its power over seconds, where there is one.
    pub(super) limit: Option<Watts>,
    /// What it draws at the highest of its limits.
    pub(super) full: Watts,
}

/// A zone that is there and not read, and why.
pub(super) struct LeftOut {
    pub(super) subject: String,
    pub(super) why: String,
}

/// What a look at the tree shows.
#[derive(Default)]
pub(super) struct Scan {
    pub(super) zones: Vec<Zone>,
    /// What each zone was called when it was last there.
    names: BTreeMap<Address, String>,
    /// Zones whose name cannot be read.
    pub(super) unnamed: Vec<(Address, Attribute)>,
    pub(super) left_out: Vec<LeftOut>,
    /// Dies whose counter is that of another die.
    pub(super) mirrors: BTreeSet<Part>,
    /// What could not be listed: entries whose names are not even text, or the directory itself.
    pub(super) odd: Vec<Fault>,
}

impl Site {
    /// Looks at all zones. What was known `before` helps where it cannot be told now: a zone inside one
    /// that is gone stays what it was, and a die that was a mirror stays one until both counters say
    /// otherwise.
    ///
    /// # Errors
    /// Where the directory cannot be listed.
    pub(super) fn scan(&self, before: &Scan) -> Result<Scan, Fault> {
        let listing = sysfs::list(&self.directory)?;
        let mut scan = Scan {
            odd: listing.bad,
            ..Scan::default()
        };
        let mut here = Vec::new();
        scan.names.clone_from(&before.names);
        for address in listing.names.iter().filter_map(|name| Address::parse(name)) {
            let mut name = self.attribute(&address, "name");
            match name.read_text() {
                Ok(name) => {
                    scan.names.insert(address.clone(), name);
                    here.push(address);
                }
                Err(_) => scan.unnamed.push((address, name)),
            }
        }
        here.sort_unstable();
        for address in &here {
            let name = scan.names.get(address).map_or("", String::as_str);
            let parent = address.parent().and_then(|up| scan.names.get(&up));
            match zone::role(name, parent.map(String::as_str), self.processor.is_zen()) {
                Role::Read(part) => scan.add(self.zone(address, part)),
                Role::LeaveOut { subject, why } => scan.left_out.push(LeftOut {
                    subject,
                    why: format!("{}: {why}", self.directory.join(address.to_string()).display()),
                }),
            }
        }
        scan.leave_mirrors(&before.mirrors);
        scan.share(self.memory);
        Ok(scan)
    }

    fn attribute(&self, address: &Address, name: &str) -> Attribute {
        Attribute::new(self.directory.join(address.to_string()).join(name))
    }

    fn zone(&self, address: &Address, part: Part) -> Zone {
        let read = |name: &str| self.attribute(address, name).read_u64().ok();
        let plausible = zone::plausible(&part);
        let limit = |name: &str| read(name).and_then(|microwatts| plausible.limit(microwatts));
        let highest = (0..MAX_CONSTRAINTS)
            .flat_map(|n| ["max_power_uw", "power_limit_uw"].map(|kind| format!("constraint_{n}_{kind}")))
            .filter_map(|name| limit(&name))
            .reduce(Watts::max);
        Zone {
            address: address.clone(),
            energy: self.attribute(address, "energy_uj"),
            range: read("max_energy_range_uj").filter(|range| *range > 0),
            // The long-term limit is the first (`rapl_init_domains`, intel_rapl_common.c).
            limit: limit("constraint_0_power_limit_uw"),
            full: plausible.full(highest),
            source: Arc::new(Source {
                about: self.about(&part, address),
                ceiling: plausible.ceiling(highest),
                part, holds: &[] }),
        }
    }

    /// The processor's maker is not the maker of the memory beside it.
    fn about(&self, part: &Part, address: &Address) -> About {
        let mut about = About {
            driver: address.driver().to_owned(),
            ..About::default()
        };
        if matches!(part, Part::Device { kind: Kind::Cpu, .. }) {
            self.processor.vendor.clone_into(&mut about.vendor);
            self.processor.model.clone_into(&mut about.model);
        }
        about
    }
}

impl Scan {
    /// Gives each memory zone its share of the machine's memory, which boards spread evenly.
    fn share(&mut self, memory: Option<u64>) {
        for zone in &mut self.zones {
            let kin = self.names.iter().filter(|(address, _)| address.is_kin(&zone.address));
            let count = kin.filter(|(_, name)| *name == "dram").count();
            let share = memory.and_then(|bytes| bytes.checked_div(u64::try_from(count).ok()?));
            let source = Arc::get_mut(&mut zone.source);
            if let Some(source) = source.filter(|source| {
                matches!(source.part, Part::Device { kind: Kind::Dram, .. })
            }) {
                source.about.memory_bytes = share;
            }
        }
    }

    /// Adds a zone, unless a more trusted one measures the same part.
    fn add(&mut self, zone: Zone) {
        match self.zones.iter().find(|known| known.source.part == zone.source.part) {
            Some(known) => self.left_out.push(LeftOut {
                subject: format!("{} copy", zone.source.part),
                why: format!("{} repeats {}", zone.address, known.address),
            }),
            None => self.zones.push(zone),
        }
    }

    /// Takes out dies that repeat the counter of an earlier die of their package, as those of Zen 1 and
    /// Zen 2 do.
    fn leave_mirrors(&mut self, before: &BTreeSet<Part>) {
        let mut kept: Vec<Zone> = Vec::with_capacity(self.zones.len());
        for mut zone in self.zones.drain(..) {
            let part = zone.source.part.clone();
            let mut different = false;
            let twin = kept.iter_mut().find_map(|other| {
                let same = other.mirrors(&mut zone)?;
                different |= !same;
                same.then(|| other.source.part.to_string())
            });
            let why = match twin {
                Some(twin) => format!(
                    "its counter is that of {twin}: both count the whole package, which is booked once"
                ),
                None if before.contains(&part) && !different => {
                    "its counter was that of another die, which cannot be read now".to_owned()
                }
                None => {
                    kept.push(zone);
                    continue;
                }
            };
            self.left_out.push(LeftOut {
                subject: part.to_string(),
                why,
            });
            self.mirrors.insert(part);
        }
        self.zones = kept;
    }

    /// Goes on with what was known before: the same identities and open files, and zones that are gone,
    /// or nameless for the moment, as they were, so that they fail in sight until they are back.
    pub(super) fn keep(&mut self, before: &mut Self) {
        for old in before.zones.drain(..) {
            let is_taken = self.zones.iter().any(|new| new.address == old.address);
            let known = self
                .zones
                .iter_mut()
                .find(|new| new.source.part == old.source.part);
            match known {
                Some(new) if new.address.is_kin(&old.address) => new.go_on(old),
                // The copy of a counter may be a little off, so that a change of driver would be seen
                // as a step of energy.
                Some(new) => *new = old,
                None if is_taken || self.mirrors.contains(&old.source.part) => {}
                None => {
                    self.unnamed.retain(|(address, _)| *address != old.address);
                    self.zones.push(old);
                }
            }
        }
    }
}

impl Zone {
    fn go_on(&mut self, old: Self) {
        if *self.source == *old.source {
            self.source = old.source;
        }
        if self.energy.path() == old.energy.path() {
            self.energy = old.energy;
        }
        self.range = self.range.or(old.range);
    }

    /// Whether another zone repeats this one's counter; `None` where the two are not dies of one package
    /// or one of them cannot be read.
    fn mirrors(&mut self, other: &mut Self) -> Option<bool> {
        let package = zone::package_of_die(&self.source.part)?;
        if zone::package_of_die(&other.source.part)? != package {
            return None;
        }
        let before = self.energy.read_u64().ok()?;
        let second = other.energy.read_u64().ok()?;
        let after = self.energy.read_u64().ok()?;
        Some(self.range == other.range && zone::is_mirror(before, second, after, self.range))
    }
}
