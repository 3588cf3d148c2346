//! What `doctor` says of NVIDIA GPUs.

use super::card::{Card, Means};
use super::session::Session;
use super::{Config, Nvidia};
use crate::sensor::{Discovery, Fault, Finding, Presence, Roots, sysfs};
use nvml_wrapper::enums::device::DeviceArchitecture as Architecture;
use std::path::Path;

/// NVIDIA's vendor number on PCI (pci.ids).
const NVIDIA: &str = "0x10de";
/// Display and 3D controllers have PCI class 03 (pci.ids).
const DISPLAY: &str = "0x03";

/// Most MIG instances of a GPU: seven, by NVIDIA's MIG user guide, with room.
const MOST_INSTANCES: u32 = 16;

/// Products with the GA100 chip, which is the exception among Ampere's (NVIDIA's data sheets).
const GA100: [&str; 3] = ["A100", "A800", "A30"];

/// Looks at the machine.
pub fn discover(roots: &Roots, config: &Config) -> Discovery {
    let nvidia = Nvidia::new(&config.library, &roots.sys);
    let findings = match &nvidia.session {
        Ok(session) => found(session, &config.library),
        Err(trouble) if trouble.absent => {
            return Discovery {
                sensors: Vec::new(),
                findings: vec![absent(roots, &config.library)],
            };
        }
        Err(trouble) => vec![unreadable("library", trouble.fault())],
    };
    Discovery {
        sensors: vec![Box::new(nvidia)],
        findings,
    }
}

fn found(session: &Session, library: &Path) -> Vec<Finding> {
    let count = session.cards.len() + session.lost.len();
    let detail = format!(
        "{}, driver {}, {count} GPUs",
        library.display(),
        session.driver
    );
    let mut findings = vec![present("library", detail)];
    for card in &session.cards {
        findings.push(present(&card.known.uuid, describe(session, card)));
        findings.extend(instances(session, card));
    }
    findings.extend(
        session
            .lost
            .iter()
            .map(|(_, trouble)| unreadable(&trouble.place, trouble.fault())),
    );
    findings
}

fn describe(session: &Session, card: &Card) -> String {
    let how = match card.means {
        Means::Counter if !card.source.holds.is_empty() => {
            "energy counter, which covers the whole module, processor and memory included"
        }
        Means::Counter => "energy counter",
        Means::Usage => integrated(session, card),
        Means::Field(_) => {
            "power of the GPU's own scope, integrated; an energy counter of the whole module, where there \
             is one, is shown as its meter"
        }
        Means::Nothing => {
            "not published: tells neither energy nor power (a vGPU is measured on its host)"
        }
    };
    let about = &card.source.about;
    format!("{} at {}: {how}", about.model, about.pci_bus_id)
}

/// Which power it is that `nvmlDeviceGetPowerUsage` tells depends on the architecture (nvml.h).
fn integrated(session: &Session, card: &Card) -> &'static str {
    let gpu = session.library.gpu(card.place);
    let older = [
        Architecture::Kepler,
        Architecture::Maxwell,
        Architecture::Pascal,
        Architecture::Volta,
        Architecture::Turing,
    ];
    let mut words = card.source.about.model.split([' ', '-']);
    let is_ga100 = words.any(|word| GA100.contains(&word));
    match gpu.and_then(|gpu| gpu.architecture()) {
        Ok(architecture) if is_ga100 || older.contains(&architecture) => {
            "no energy counter: power of the moment, integrated; what is shorter than the interval is missed"
        }
        Ok(_) => "no energy counter: power as the mean of a second, integrated",
        Err(_) => "no energy counter: power, integrated",
    }
}

/// MIG instances are listed and not measured: each repeats its GPU.
fn instances(session: &Session, card: &Card) -> Vec<Finding> {
    let Ok(gpu) = session.library.gpu(card.place) else {
        return Vec::new();
    };
    let most = gpu.mig_device_count().unwrap_or(0).min(MOST_INSTANCES);
    let instances = (0..most).filter_map(|index| gpu.mig_device_by_index(index).ok());
    let names = instances.filter_map(|instance| instance.uuid().ok());
    names
        .map(|uuid| {
            let detail = format!(
                "MIG instance of {}: its energy is in that GPU's",
                card.known.uuid
            );
            present(&uuid, detail)
        })
        .collect()
}

fn present(subject: &str, detail: String) -> Finding {
    Finding {
        subject: subject.to_owned(),
        state: Presence::Found,
        detail,
        mend: String::new(),
    }
}

fn unreadable(subject: &str, fault: Fault) -> Finding {
    Finding {
        subject: subject.to_owned(),
        state: Presence::Unreadable,
        detail: fault.to_string(),
        mend: fault.mend,
    }
}

fn absent(roots: &Roots, library: &Path) -> Finding {
    let mend = if has_gpu(roots) {
        "there is an NVIDIA GPU on the PCI bus: install the driver's libnvidia-ml.so.1; in a container set \
         NVIDIA_VISIBLE_DEVICES=all and NVIDIA_DRIVER_CAPABILITIES=utility, or mount the library and give \
         its path by --sensor.nvml.library"
    } else {
        ""
    };
    Finding {
        subject: "library".to_owned(),
        state: Presence::Absent,
        detail: format!("{} is not there", library.display()),
        mend: mend.to_owned(),
    }
}

/// Whether the kernel sees a GPU of NVIDIA's.
fn has_gpu(roots: &Roots) -> bool {
    let bus = roots.sys.join("bus/pci/devices");
    let Ok(devices) = sysfs::list(&bus) else {
        return false;
    };
    devices.names.iter().any(|name| {
        let says = |file: &str| sysfs::head(&bus.join(name).join(file), 16);
        says("vendor").trim() == NVIDIA && says("class").starts_with(DISPLAY)
    })
}
