//! What `doctor` says of hwmon.

use super::scan::{Scan, Site};
use super::{Config, Hwmon, explain};
use crate::sensor::cpuinfo::CpuInfo;
use crate::sensor::{Discovery, Fault, Finding, Presence, Roots, sysfs};

/// As much of `/proc/cpuinfo` as holds its first processor: on x86 about 1.5 kB.
const HEAD_BYTES: usize = 8192;

/// As much of the device tree's model as can be a name.
const BOARD_BYTES: usize = 128;

/// Looks at the machine.
pub fn discover(roots: &Roots, _config: &Config) -> Discovery {
    let board = sysfs::head(&roots.sys.join("firmware/devicetree/base/model"), BOARD_BYTES);
    let site = Site {
        directory: roots.sys.join("class/hwmon"),
        sys: roots.sys.canonicalize().unwrap_or_default(),
        processor: CpuInfo::parse(&sysfs::head(&roots.proc.join("cpuinfo"), HEAD_BYTES)),
        // Strings in the device tree end in NUL.
        board: board.trim_end_matches(['\0', '\n']).to_owned(),
    };
    match site.scan(&mut Scan::default()) {
        Err(fault) if fault.reason() == "vanished" => only(absent(&site, "is not there")),
        Err(fault) => only(unreadable("hwmon", &explain(fault))),
        Ok(scan) => found(site, scan),
    }
}

fn only(finding: Finding) -> Discovery {
    Discovery {
        sensors: Vec::new(),
        findings: vec![finding],
    }
}

fn found(site: Site, mut scan: Scan) -> Discovery {
    let mut findings = Vec::new();
    let mut failing = 0;
    for active in &mut scan.active {
        let subject = active.source.part.to_string();
        findings.push(match active.read() {
            Ok(reading) => Finding {
                subject,
                state: Presence::Found,
                detail: format!(
                    "{} {}{}",
                    active.source.about.driver,
                    active.input.path().display(),
                    if reading.is_none() { ", asleep" } else { "" }
                ),
                mend: String::new(),
            },
            Err(fault) => {
                failing += 1;
                unreadable(&subject, &explain(fault))
            }
        });
    }
    for text in &mut scan.mute {
        if let Err(fault) = text.read_text() {
            failing += 1;
            findings.push(unreadable("a sensor", &explain(fault)));
        }
    }
    findings.extend(scan.odd.drain(..).map(|fault| unreadable("a chip", &fault)));
    findings.extend(scan.left_out.drain(..).map(|(place, why)| Finding {
        subject: place.display().to_string(),
        state: Presence::Found,
        detail: format!("not published: {why}"),
        mend: String::new(),
    }));
    if scan.active.is_empty() && scan.mute.is_empty() {
        findings.push(absent(&site, "has no chip that measures power for us"));
        return Discovery {
            sensors: Vec::new(),
            findings,
        };
    }
    let hwmon = Hwmon {
        site,
        scan,
        reads: 0,
        failing,
        shaken: false,
    };
    Discovery {
        sensors: vec![Box::new(hwmon)],
        findings,
    }
}

fn absent(site: &Site, seen: &str) -> Finding {
    let mend = if site.processor.hypervisor {
        ""
    } else {
        "where the machine has one, load its driver: acpi_power_meter (servers, Grace), ina3221 (Jetson), \
         i915 or xe (Intel GPUs)"
    };
    Finding {
        subject: "chips".to_owned(),
        state: Presence::Absent,
        detail: format!("{} {seen}", site.directory.display()),
        mend: mend.to_owned(),
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
