//! What `doctor` says of AMD GPUs.

use super::card::{Card, Means};
use super::chips::Nature;
use super::scan::{Scan, Site};
use super::{Amd, Config, explain};
use crate::sensor::{Discovery, Fault, Finding, Presence, Roots, sysfs};

/// AMD's vendor number on PCI, for GPUs (pci.ids).
const AMD: &str = "0x1002";
/// PCI classes of display controllers and of processing accelerators (pci.ids).
const CLASSES: [&str; 2] = ["0x03", "0x12"];

/// Looks at the machine.
pub fn discover(roots: &Roots, _config: &Config) -> Discovery {
    let site = Site {
        directory: roots.sys.join("bus/pci/drivers/amdgpu"),
        version: roots.sys.join("module/amdgpu/version"),
    };
    let mut scan = Scan::default();
    match site.scan(&mut scan) {
        Err(fault) if fault.reason() == "vanished" => only(absent(roots, &site, "is not there")),
        Err(fault) => only(unreadable("driver", &explain(fault))),
        Ok(()) if scan.cards.is_empty() && scan.odd.is_empty() => {
            only(absent(roots, &site, "lists no card"))
        }
        Ok(()) => found(site, scan),
    }
}

fn only(finding: Finding) -> Discovery {
    Discovery {
        sensors: Vec::new(),
        findings: vec![finding],
    }
}

fn found(site: Site, mut scan: Scan) -> Discovery {
    let mut failing = scan.odd.len();
    let mut findings = Vec::new();
    for card in &mut scan.cards {
        findings.push(match card.read() {
            Ok(_) => present(&card.source.part.to_string(), describe(card)),
            Err(fault) => {
                failing += 1;
                unreadable(&card.source.part.to_string(), &explain(fault))
            }
        });
        // The next read may come so soon that no counter has moved.
        card.trust.forget();
    }
    findings.extend(scan.odd.iter().map(|fault| unreadable("a card", fault)));
    let left_out = scan.left_out.iter();
    findings.extend(left_out.map(|(place, why)| present(place, format!("not published: {why}"))));
    let is_left_out = |card: &Card| matches!(card.means, Means::LeftOut(_));
    if scan.odd.is_empty() && scan.cards.iter().all(is_left_out) {
        return Discovery {
            sensors: Vec::new(),
            findings,
        };
    }
    let amd = Amd {
        site,
        scan,
        reads: 0,
        failing,
        shaken: false,
    };
    Discovery {
        sensors: vec![Box::new(amd)],
        findings,
    }
}

fn describe(card: &Card) -> String {
    let how = match card.means {
        Means::Counter(version) => format!("energy counter of gpu_metrics {version}"),
        Means::Power(why) => format!("power, integrated: {why}"),
        Means::LeftOut(why) => format!("not published: {why}"),
        Means::Unknown => "asleep, so that nobody knows yet how its energy is had".to_owned(),
    };
    let what = match card.facts.nature() {
        Nature::Half if !matches!(card.means, Means::LeftOut(_)) => ", of both dies of its package",
        Nature::Socket => ", of the whole socket, processor and memory included: shown as a meter, not summed",
        _ => "",
    };
    let about = &card.source.about;
    let model = if about.model.is_empty() { "a card" } else { about.model.as_str() };
    format!("{model} at {}: {how}{what}", about.pci_bus_id)
}

fn present(subject: &str, detail: String) -> Finding {
    Finding {
        subject: subject.to_owned(),
        state: Presence::Found,
        detail,
        mend: String::new(),
    }
}

fn unreadable(subject: &str, fault: &Fault) -> Finding {
    Finding {
        subject: subject.to_owned(),
        state: Presence::Unreadable,
        detail: fault.to_string(),
        mend: fault.mend.clone(),
    }
}

fn absent(roots: &Roots, site: &Site, seen: &str) -> Finding {
    let mend = if has_gpu(roots) {
        "there is an AMD GPU on the PCI bus: load its driver (modprobe amdgpu), see dmesg if that fails, and \
         restart gramwatt; where it is given to a guest, measure it there"
    } else {
        ""
    };
    Finding {
        subject: "cards".to_owned(),
        state: Presence::Absent,
        detail: format!("{} {seen}", site.directory.display()),
        mend: mend.to_owned(),
    }
}

/// Whether the kernel sees a GPU of AMD's.
fn has_gpu(roots: &Roots) -> bool {
    let bus = roots.sys.join("bus/pci/devices");
    let Ok(devices) = sysfs::list(&bus) else {
        return false;
    };
    devices.names.iter().any(|name| {
        let says = |file: &str| sysfs::head(&bus.join(name).join(file), 16);
        let class = says("class");
        says("vendor").trim() == AMD && CLASSES.iter().any(|of| class.starts_with(of))
    })
}
