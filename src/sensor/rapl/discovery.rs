//! What `doctor` says of RAPL.

use super::scan::{Scan, Site};
use super::{Config, Rapl, explain};
use crate::sensor::cpuinfo::{self, CpuInfo};
use crate::sensor::{Cause, Discovery, Fault, Finding, Presence, Roots, sysfs};
use std::io;

/// As much of a file in `/proc` as holds what is asked of it: on x86 a processor has about 1.5 kB.
const HEAD_BYTES: usize = 8192;

/// Looks at the machine.
pub fn discover(roots: &Roots, _config: &Config) -> Discovery {
    let head = |file: &str| sysfs::head(&roots.proc.join(file), HEAD_BYTES);
    let site = Site {
        directory: roots.sys.join("class/powercap"),
        processor: CpuInfo::parse(&head("cpuinfo")),
        memory: cpuinfo::memory(&head("meminfo")),
    };
    match site.scan(&Scan::default()) {
        Err(fault) if fault.reason() == "vanished" => only(absent(&site, "is not there")),
        Err(fault) => only(unreadable("powercap", &explain(fault))),
        Ok(scan) if scan.is_empty() => only(absent(&site, "shows no energy counters")),
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
    for zone in &mut scan.zones {
        let subject = zone.source.part.to_string();
        findings.push(match zone.energy.read_u64() {
            Ok(_) => Finding {
                subject,
                state: Presence::Found,
                detail: zone.energy.path().display().to_string(),
                mend: String::new(),
            },
            Err(fault) => {
                failing += 1;
                unreadable(&subject, &explain(fault))
            }
        });
    }
    findings.extend(scan.left_out.drain(..).map(|left| Finding {
        subject: left.subject,
        state: Presence::Found,
        detail: format!("not published: {}", left.why),
        mend: String::new(),
    }));
    findings.extend(scan.odd.drain(..).map(|fault| unreadable("a zone", &fault)));
    let faults: Vec<(String, Fault)> = scan
        .unnamed
        .iter_mut()
        .filter_map(|(address, name)| Some((address.to_string(), name.read_text().err()?)))
        .collect();
    failing += faults.len();
    if scan.zones.is_empty() && faults.iter().all(|(_, fault)| fault.reason() == "vanished") {
        findings.push(masked(&site));
    } else {
        let told = |(address, fault): (String, Fault)| unreadable(&address, &explain(fault));
        findings.extend(faults.into_iter().map(told));
    }
    let rapl = Rapl {
        site,
        scan,
        reads: 0,
        failing,
        shaken: false,
    };
    Discovery {
        sensors: vec![Box::new(rapl)],
        findings,
    }
}

impl Scan {
    fn is_empty(&self) -> bool {
        self.zones.is_empty() && self.unnamed.is_empty()
    }
}

fn absent(site: &Site, seen: &str) -> Finding {
    let (why, mend) = match (site.processor.hypervisor, site.processor.may_have_rapl()) {
        (true, _) => (
            "this is a virtual machine, and hypervisors show no energy counters to their guests",
            "",
        ),
        (false, false) => ("only processors of Intel, AMD and Hygon have RAPL", ""),
        (false, true) => (
            "the driver is not loaded, or the processor is older than Sandy Bridge (Intel) or Zen (AMD)",
            "modprobe intel_rapl_msr (it serves AMD too, since Linux 5.8); in a container mount the \
             host's /sys at /host/sys (--path.sysfs=/host/sys)",
        ),
    };
    Finding {
        subject: "powercap".to_owned(),
        state: Presence::Absent,
        detail: format!("{} {seen}: {why}", site.directory.display()),
        mend: mend.to_owned(),
    }
}

/// Zones are listed and lead nowhere: container runtimes lay an empty directory over
/// `/sys/devices/virtual/powercap` (GHSA-jq35-85cj-fj4p).
fn masked(site: &Site) -> Finding {
    Finding {
        subject: "powercap".to_owned(),
        state: Presence::Unreadable,
        detail: format!(
            "the zones in {} lead nowhere: the container runtime masks them",
            site.directory.display()
        ),
        mend: "mount the host's /sys at /host/sys and run as uid 0 with --path.sysfs=/host/sys".to_owned(),
    }
}

fn unreadable(subject: &str, fault: &Fault) -> Finding {
    let kind = match &fault.cause {
        Cause::Io(error) if error.kind() == io::ErrorKind::PermissionDenied => "no permission: ",
        _ => "",
    };
    Finding {
        subject: subject.to_owned(),
        state: Presence::Unreadable,
        detail: format!("{kind}{fault}"),
        mend: fault.mend.clone(),
    }
}
