//! Which BMCs there are to be asked. None is asked here.

use super::config::{self, Entry};
use super::device::Device;
use super::lan::Lan;
use super::{Bmc, Config};
use crate::sensor::{Discovery, Finding, Presence, Roots};
use std::fs;
use std::path::{Path, PathBuf};

/// RMCP's port, which a sensor's name leaves out.
const PORT: u16 = 623;

/// Looks at the machine and at the configuration.
pub fn discover(roots: &Roots, config: &Config) -> Discovery {
    let mut found = Discovery::default();
    match &config.device {
        Some(path) => device(path, config, true, &mut found),
        None if config.lan.0.is_empty() => match own(roots) {
            Ok(path) => device(&path, config, false, &mut found),
            Err(finding) => found.findings.push(finding),
        },
        None => {}
    }
    for entry in &config.lan.0 {
        lan(entry, roots, config, &mut found);
    }
    found
}

/// The device of this machine's first BMC: the kernel lists it in sysfs, so that a container that sees the
/// host's can tell what it was not given.
fn own(roots: &Roots) -> Result<PathBuf, Finding> {
    let listed = fs::read_dir(roots.sys.join("class/ipmi"));
    let names = listed.into_iter().flatten().flatten();
    let numbers = names.filter_map(|entry| {
        let name = entry.file_name();
        name.to_str()?.strip_prefix("ipmi")?.parse::<u32>().ok()
    });
    let Some(number) = numbers.min() else {
        return Err(none(roots));
    };
    let places = ["/dev/ipmi", "/dev/ipmi/", "/dev/ipmidev/"];
    let mut places = places.map(|place| PathBuf::from(format!("{place}{number}"))).into_iter();
    places.find(|path| path.exists()).ok_or_else(|| Finding {
        subject: "ipmi".to_owned(),
        state: Presence::Absent,
        detail: format!("the kernel lists ipmi{number}, and /dev/ipmi{number} is not here"),
        mend: format!(
            "in a container pass the device on (--device=/dev/ipmi{number}, or a privileged pod that mounts \
             it), or name the BMC in sensors.ipmi.lan"
        ),
    })
}

/// What is said where the kernel drives no BMC. Firmware announces one by ACPI or SMBIOS.
fn none(roots: &Roots) -> Finding {
    let announced = [
        "bus/acpi/devices/IPI0001:00",
        "bus/platform/devices/IPI0001:00",
        "bus/platform/devices/dmi-ipmi-si.0",
        "bus/platform/devices/dmi-ipmi-ssif.0",
    ];
    let announced = announced.iter().any(|path| roots.sys.join(path).exists());
    let mend = if announced {
        "the machine has a BMC: load its driver with modprobe -a ipmi_si ipmi_devintf"
    } else {
        ""
    };
    Finding {
        subject: "ipmi".to_owned(),
        state: Presence::Absent,
        detail: format!("{} is not there", roots.sys.join("class/ipmi").display()),
        mend: mend.to_owned(),
    }
}

fn device(path: &Path, config: &Config, is_named: bool, found: &mut Discovery) {
    let place = path.display().to_string();
    let mut device = Device::new(path, config.timeout.duration());
    found.findings.push(match device.open() {
        Ok(_) => unasked("ipmi", place.clone()),
        Err(trouble) => {
            let fault = trouble.fault(&place);
            Finding {
                subject: "ipmi".to_owned(),
                state: Presence::Unreadable,
                detail: fault.to_string(),
                mend: fault.mend,
            }
        }
    });
    let bmc = Bmc::new("ipmi", place, Box::new(device), config, is_named);
    found.sensors.push(Box::new(bmc));
}

fn lan(entry: &Entry, roots: &Roots, config: &Config, found: &mut Discovery) {
    let text = roots.named(entry.host.text());
    let Some((host, port)) = config::split(&text) else {
        found.findings.push(Finding {
            subject: "ipmi".to_owned(),
            state: Presence::Unreadable,
            detail: format!("{text:?} is no host"),
            mend: "the node's name is no host's: set node.name, or write sensors.ipmi.lan without {node}"
                .to_owned(),
        });
        return;
    };
    let name = match port {
        PORT => format!("ipmi-{host}"),
        port => format!("ipmi-{host}-{port}"),
    };
    let place = match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    };
    let file = entry.credentials_file.display();
    let detail = format!("{place} over LAN, with the credentials in {file}");
    found.findings.push(unasked(&name, detail));
    let link = Lan::new(host, port, entry.clone(), config.timeout.duration());
    let bmc = Bmc::new(&name, place, Box::new(link), config, true);
    found.sensors.push(Box::new(bmc));
}

fn unasked(subject: &str, detail: String) -> Finding {
    Finding {
        subject: subject.to_owned(),
        state: Presence::Unasked,
        detail,
        mend: String::new(),
    }
}
