//! A look at all chips: which sensors they have, and what is known of each.

use super::channel::{Channel, Facts, Input, Key};
use super::rules::{self, Maker, Outcome, RAILS};
use crate::sensor::cpuinfo::CpuInfo;
use crate::sensor::sysfs::{self, Attribute};
use crate::sensor::{About, Cause, Fault, Kind, Part, Source};
use crate::units::Watts;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where chips are, and in what machine.
pub(super) struct Site {
    /// `class/hwmon`.
    pub(super) directory: PathBuf,
    /// The root of sysfs, without symbolic links.
    pub(super) sys: PathBuf,
    pub(super) processor: CpuInfo,
    /// The board's name in the device tree; empty where there is none.
    pub(super) board: String,
}

/// A sensor that is read.
pub(super) struct Active {
    pub(super) key: Key,
    pub(super) source: Arc<Source>,
    pub(super) input: Input,
    pub(super) limit: Option<Watts>,
    /// Says whether its device sleeps.
    pub(super) sleep: Option<Attribute>,
}

/// What a look at the chips shows.
#[derive(Default)]
pub(super) struct Scan {
    pub(super) facts: Vec<Facts>,
    pub(super) active: Vec<Active>,
    /// Sensors that are not read, and why.
    pub(super) left_out: Vec<(PathBuf, &'static str)>,
    /// Names and labels that cannot be read, without which nobody knows what their sensors are.
    pub(super) mute: Vec<Attribute>,
    /// What could not be listed: entries whose names are not even text, or the directory itself.
    pub(super) odd: Vec<Fault>,
}

/// A chip as it was found.
struct Chip {
    name: String,
    /// Path of its device under sysfs; empty where it has none.
    device: String,
    directory: PathBuf,
}

impl Chip {
    /// The last part of its device's path; empty where it has none.
    fn tail(&self) -> &str {
        let tail = self.device.rsplit('/').next().unwrap_or_default();
        if tail.starts_with('#') { "" } else { tail }
    }
}

impl Site {
    /// Looks at all chips. Sensors that were known `before` stay known, under the same identity.
    ///
    /// # Errors
    /// Where the directory cannot be listed.
    pub(super) fn scan(&self, before: &mut Scan) -> Result<Scan, Fault> {
        let listing = sysfs::list(&self.directory)?;
        let mut scan = Scan {
            odd: listing.bad,
            ..Scan::default()
        };
        let mut numbers: Vec<u32> = listing
            .names
            .iter()
            .filter_map(|name| name.strip_prefix("hwmon")?.parse().ok())
            .collect();
        numbers.sort_unstable();
        let mut found = Vec::new();
        let mut nameless = BTreeMap::new();
        for number in numbers {
            let directory = self.directory.join(format!("hwmon{number}"));
            // The real path holds the device's, so that another chip of the same number has another.
            let directory = directory.canonicalize().unwrap_or(directory);
            let Some(mut chip) = self.chip(directory, &mut scan) else {
                continue;
            };
            if chip.device.is_empty() {
                let count = nameless.entry(chip.name.clone()).or_insert(0);
                chip.device = format!("#{count}");
                *count += 1;
            }
            found.extend(scan.sensors(&chip, &before.facts));
        }
        found.sort_by(|a, b| a.key.cmp(&b.key));
        scan.facts = merge(&before.facts, found);
        self.assign(&mut scan, before);
        Ok(scan)
    }

    fn chip(&self, directory: PathBuf, scan: &mut Scan) -> Option<Chip> {
        let mut name = Attribute::new(directory.join("name"));
        if !name.path().exists() {
            name = Attribute::new(directory.join("device/name"));
        }
        match name.read_text() {
            Ok(name) => Some(Chip {
                name,
                device: self.device(&directory),
                directory,
            }),
            Err(_) => {
                scan.mute.push(name);
                None
            }
        }
    }

    /// The path of a chip's device, which a renumbering leaves as it is.
    fn device(&self, directory: &Path) -> String {
        let stable = |path: PathBuf| {
            let path = path.canonicalize().ok()?;
            let path = path.strip_prefix(&self.sys).unwrap_or(&path);
            let text = path.to_string_lossy().into_owned();
            (!text.starts_with("class") && !text.ends_with("/virtual")).then_some(text)
        };
        // A chip without a device link is at `<device>/hwmon/hwmonN`.
        let real = directory.canonicalize().unwrap_or_default();
        let parent = real.parent().and_then(Path::parent).map(Path::to_owned);
        stable(directory.join("device"))
            .or_else(|| stable(parent?))
            .unwrap_or_default()
    }

    /// Says what each sensor is, and makes it ready to be read.
    fn assign(&self, scan: &mut Scan, before: &mut Scan) {
        let outcomes = rules::outcomes(&scan.facts);
        for (facts, outcome) in scan.facts.iter().zip(outcomes) {
            let (part, maker, holds) = match outcome {
                Outcome::Read(part, maker, holds) => (part, maker, holds),
                Outcome::LeaveOut(why) => {
                    let place = facts.directory.join(facts.key.channel.to_string());
                    scan.left_out.push((place, why));
                    continue;
                }
            };
            let input = Input::new(&facts.directory, facts.key.channel);
            let status = facts.directory.join("device/power/runtime_status");
            let is_gpu = match &part {
                Part::Device { kind, .. } => *kind == Kind::Gpu,
                Part::Domain { device, .. } => device.starts_with("gpu-"),
                Part::Meter { .. } => false,
            };
            let sleeps = is_gpu && status.exists();
            let source = Source {
                about: self.about(facts, maker),
                ceiling: ceiling(&part),
                part,
                holds,
            };
            let mut active = Active {
                key: facts.key.clone(),
                source: Arc::new(source),
                input,
                limit: facts.limit,
                sleep: sleeps.then(|| Attribute::new(status)),
            };
            let old = before.active.iter().position(|old| old.key == active.key);
            if let Some(old) = old.map(|place| before.active.swap_remove(place)) {
                active.go_on(old);
            }
            scan.active.push(active);
        }
    }

    fn about(&self, facts: &Facts, maker: Maker) -> About {
        let (vendor, model) = match maker {
            Maker::Unknown => ("", ""),
            Maker::Processor => (self.processor.vendor.as_str(), self.processor.model.as_str()),
            Maker::Known(vendor, model) => (vendor, model),
            Maker::Jetson => ("NVIDIA", self.board.as_str()),
        };
        let is_pci = sysfs::is_pci(&facts.tail);
        About {
            vendor: vendor.to_owned(),
            model: model.to_owned(),
            uuid: String::new(),
            pci_bus_id: if is_pci { facts.tail.clone() } else { String::new() },
            driver: facts.key.chip.clone(),
            memory_bytes: None,
            is_piece: maker == Maker::Jetson,
        }
    }
}

impl Active {
    fn go_on(&mut self, old: Self) {
        if *self.source == *old.source {
            self.source = old.source;
        }
        if self.input.path() == old.input.path() {
            self.input = old.input;
        }
    }
}

impl Scan {
    /// All sensors of a chip for energy and power.
    fn sensors(&mut self, chip: &Chip, before: &[Facts]) -> Vec<Facts> {
        let mut directory = chip.directory.clone();
        let mut channels = self.channels(&directory, &chip.name);
        if channels.is_empty() {
            // Old drivers put their files beside the device's.
            directory.push("device");
            channels = self.channels(&directory, &chip.name);
        }
        let facts = channels.into_iter().filter_map(|channel| {
            let key = Key {
                chip: chip.name.clone(),
                device: chip.device.clone(),
                channel,
            };
            let known = before.iter().find(|facts| facts.key == key);
            let text = match text(&chip.directory, &directory, channel) {
                Ok(text) => text,
                Err(attribute) => match known {
                    Some(known) => known.text.clone(),
                    None => {
                        self.mute.push(attribute);
                        return None;
                    }
                },
            };
            Some(Facts {
                key,
                tail: chip.tail().to_owned(),
                text,
                limit: limit(&directory, channel),
                directory: directory.clone(),
            })
        });
        facts.collect()
    }

    fn channels(&mut self, directory: &Path, chip: &str) -> Vec<Channel> {
        let Ok(mut listing) = sysfs::list(directory) else {
            return Vec::new();
        };
        self.odd.append(&mut listing.bad);
        let has = |name: String| listing.names.binary_search(&name).is_ok();
        let rails = RAILS.iter().filter(|(name, _, _)| *name == chip);
        let rails = rails
            .flat_map(|(_, first, last)| *first..=*last)
            .filter(|n| has(format!("in{n}_input")) && has(format!("curr{n}_input")))
            .filter(|n| sysfs::peek_u64(directory.join(format!("in{n}_enable"))) != Some(0));
        let mut channels: Vec<Channel> = rails.map(Channel::Rail).collect();
        channels.extend(listing.names.iter().filter_map(|name| Channel::of(name)));
        channels.sort_unstable();
        channels.dedup();
        channels
    }
}

/// A sensor's label, or else its OEM information; `None` where there is neither or they are empty.
fn text(chip: &Path, files: &Path, channel: Channel) -> Result<Option<String>, Attribute> {
    let oem = format!("power{}_oem_info", channel.number());
    let mut places = vec![files.join(format!("{channel}_label"))];
    if matches!(channel, Channel::Power(_)) {
        places.extend([files.join(&oem), chip.join("device").join(&oem)]);
    }
    for place in places {
        let mut attribute = Attribute::new(place);
        match attribute.read_text() {
            Ok(text) => return Ok(Some(text)),
            Err(fault) if fault.reason() == "vanished" => {}
            Err(Fault { cause: Cause::Parse(text), .. }) if text.is_empty() => {}
            Err(_) => return Err(attribute),
        }
    }
    Ok(None)
}

/// The limit in force: i915 and xe call theirs `max`, ACPI `cap`. 0 is none.
#[allow(clippy::cast_precision_loss)]
fn limit(directory: &Path, channel: Channel) -> Option<Watts> {
    let file = |kind: &str| directory.join(format!("power{}_{kind}", channel.number()));
    let microwatts = sysfs::peek_u64(file("max")).or_else(|| sysfs::peek_u64(file("cap")))?;
    let watts = microwatts as f64 * 1e-6;
    (1.0..=20_000.0).contains(&watts).then_some(Watts(watts))
}

/// What was known, brought up to date, and then what is new. What vanished stays, to fail in sight, unless
/// another chip is in its place.
fn merge(before: &[Facts], found: Vec<Facts>) -> Vec<Facts> {
    let (again, new): (Vec<Facts>, Vec<Facts>) = found
        .into_iter()
        .partition(|facts| before.iter().any(|old| old.key == facts.key));
    let is_taken = |place: &Path| {
        let mut all = again.iter().chain(&new);
        all.any(|facts| facts.directory == place)
    };
    let known = before.iter().filter_map(|old| {
        let now = again.iter().find(|facts| facts.key == old.key);
        let gone = || Some(old).filter(|old| !is_taken(&old.directory));
        now.or_else(gone).cloned()
    });
    let known: Vec<Facts> = known.collect();
    known.into_iter().chain(new).collect()
}

/// The most that is believed: a card of 600 W and a package of 500 W are the hungriest there are, with room
/// for peaks; a shelf of servers behind one meter stays below 100 kW.
fn ceiling(part: &Part) -> Watts {
    Watts(match part {
        Part::Device { kind: Kind::Gpu, .. } => 3000.0,
        Part::Device { .. } | Part::Domain { .. } => 1500.0,
        Part::Meter { .. } => 100_000.0,
    })
}
