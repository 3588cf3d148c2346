//! A look at which cards there are.

use super::card::{Card, Facts, Means};
use super::chips::{self, Nature};
use crate::sensor::sysfs::{self, Attribute};
use crate::sensor::{About, Fault};
use std::path::{Path, PathBuf};

/// Longest name of a product that is shown, in characters.
const NAME: usize = 64;

/// Where the driver lists its cards.
pub(super) struct Site {
    /// `bus/pci/drivers/amdgpu`.
    pub(super) directory: PathBuf,
    /// `module/amdgpu/version`: the driver of ROCm has one, the kernel's own has none.
    pub(super) version: PathBuf,
}

/// What a look shows.
#[derive(Default)]
pub(super) struct Scan {
    pub(super) cards: Vec<Card>,
    /// Cards that were there, to fail in sight.
    pub(super) gone: Vec<Card>,
    /// What could not be listed, or not be named.
    pub(super) odd: Vec<Fault>,
    /// What is no card of its own, and why.
    pub(super) left_out: Vec<(String, &'static str)>,
}

impl Site {
    /// Looks again. Cards that were known stay known, by their identity.
    ///
    /// # Errors
    /// Where the driver's directory cannot be listed.
    pub(super) fn scan(&self, scan: &mut Scan) -> Result<(), Fault> {
        let listing = sysfs::list(&self.directory)?;
        let mut before = std::mem::take(&mut scan.cards);
        before.append(&mut scan.gone);
        scan.odd = listing.bad;
        scan.left_out.clear();
        let version = sysfs::peek(&self.version).map(|version| format!(" {}", tidy(&version)));
        let driver = format!("amdgpu{}", version.unwrap_or_default());
        for address in listing.names.iter().filter(|name| sysfs::is_pci(name)) {
            let directory = self.directory.join(address);
            if !directory.exists() {
                continue;
            }
            if let Some(parent) = parent(&directory).filter(|parent| listing.names.contains(parent)) {
                let place = format!("{address} of {parent}");
                scan.left_out.push((place, "a virtual function: its card is read"));
                continue;
            }
            match facts(address, directory, &driver) {
                Ok(facts) => scan.seat(facts, &mut before),
                // Once known, it is known.
                Err(fault) => match before.iter().position(|old| old.facts.address == *address) {
                    Some(old) => scan.cards.push(before.swap_remove(old)),
                    None => scan.odd.push(super::explain(fault)),
                },
            }
        }
        // Another card in its place says that it was taken out on purpose.
        before.retain(|old| !old.facts.directory.exists());
        scan.gone = before;
        Ok(())
    }
}

impl Scan {
    /// Goes on with a card, or begins with a new one.
    fn seat(&mut self, mut facts: Facts, before: &mut Vec<Card>) {
        // Two of a name would be one device in the books.
        if self.cards.iter().any(|card| card.facts.id == facts.id) {
            facts.id = format!("gpu-{}", facts.address);
        }
        let old = before.iter().position(|card| card.facts.id == facts.id);
        let mut card = match old.map(|old| before.swap_remove(old)) {
            Some(old) if old.facts == facts => old,
            Some(old) => {
                let mut card = Card::new(facts);
                card.trust.broken = old.trust.broken;
                if *card.source == *old.source {
                    card.source = old.source;
                }
                card
            }
            None => Card::new(facts),
        };
        if matches!(card.means, Means::LeftOut(_)) {
            card.means = Means::Unknown;
        }
        self.cards.push(card);
    }
}

/// The address of the card that this one is a virtual function of.
fn parent(directory: &Path) -> Option<String> {
    let parent = directory.join("physfn").canonicalize().ok()?;
    Some(parent.file_name()?.to_str()?.to_owned())
}

/// What can be known of a card without waking it.
fn facts(address: &str, directory: PathBuf, driver: &str) -> Result<Facts, Fault> {
    let unique = unique(&directory)?;
    let peek = |file: &str| sysfs::peek(directory.join(file));
    let chip = peek("device").and_then(|device| chips::find(&device));
    let nature = chip.map(|chip| chip.nature);
    let product = peek("product_name").map(|name| tidy(&name)).filter(|name| !name.is_empty());
    let model = product.or_else(|| chip.map(|chip| chip.model.to_owned()));
    let memory = sysfs::peek_u64(directory.join("mem_info_vram_total")).filter(|bytes| *bytes > 0);
    let hwmon = hwmon(&directory);
    let label = hwmon.as_ref().and_then(|hwmon| sysfs::peek(hwmon.join("in1_label")));
    Ok(Facts {
        id: name(unique.as_deref(), address),
        address: address.to_owned(),
        about: About {
            vendor: "AMD".to_owned(),
            model: model.unwrap_or_default(),
            uuid: unique.unwrap_or_default(),
            pci_bus_id: address.to_owned(),
            driver: driver.to_owned(),
            // The other die of the package has memory too.
            memory_bytes: memory.filter(|_| nature != Some(Nature::Half)),
            is_piece: nature == Some(Nature::Virtual),
        },
        has_northbridge: label.as_deref() == Some("vddnb"),
        directory,
        hwmon,
        chip,
    })
}

/// What a card at an address is called in the books, if it can be known.
pub(crate) fn id(sys: &Path, address: &str) -> Option<String> {
    let directory = sys.join("bus/pci/devices").join(address);
    Some(name(unique(&directory).ok()?.as_deref(), address))
}

fn name(unique: Option<&str>, address: &str) -> String {
    format!("gpu-{}", unique.unwrap_or(address))
}

fn unique(directory: &Path) -> Result<Option<String>, Fault> {
    match Attribute::new(directory.join("unique_id")).read_text() {
        Ok(text) => Ok(Some(text.to_lowercase()).filter(|text| is_unique(text))),
        Err(fault) if fault.reason() == "vanished" => Ok(None),
        // Under another name its joules would begin anew.
        Err(fault) => Err(fault),
    }
}

/// 64 bits in hexadecimal that are not all 0 (`unique_id` in amdgpu_pm.c).
fn is_unique(text: &str) -> bool {
    (1..=16).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_hexdigit())
        && text.bytes().any(|b| b != b'0')
}

/// The card's hwmon chip, of whatever number.
fn hwmon(directory: &Path) -> Option<PathBuf> {
    let all = directory.join("hwmon");
    let listing = sysfs::list(&all).ok()?;
    let mut chips = listing.names.iter().filter(|name| name.starts_with("hwmon"));
    chips.next().map(|name| all.join(name))
}

/// A text as part of a description: short, and on one line.
fn tidy(text: &str) -> String {
    let plain: String = text.chars().filter(|c| !c.is_control()).take(NAME).collect();
    plain.trim().to_owned()
}
