//! What `doctor` says of the node controller's counters.

use super::{Config, Cray, Scope, explain};
use crate::sensor::{Discovery, Fault, Finding, Part, Presence, Roots, sysfs};

/// Looks at the machine.
pub fn discover(roots: &Roots, _config: &Config) -> Discovery {
    let directory = roots.sys.join("cray/pm_counters");
    match sysfs::list(&directory) {
        Err(fault) if fault.reason() == "vanished" => {
            let detail = format!("{} is not there: no Cray EX", directory.display());
            return only(Presence::Absent, detail, String::new());
        }
        Err(fault) => {
            let fault = explain(fault);
            return only(Presence::Unreadable, fault.to_string(), fault.mend);
        }
        Ok(_) => {}
    }
    let mut cray = Cray::new(directory);
    let mut findings: Vec<Finding> = cray.odd.iter().map(|fault| unreadable("a file", fault)).collect();
    for counter in cray.counters.values_mut() {
        let subject = counter.source.part.to_string();
        let is_node = matches!(counter.source.part, Part::Meter { scope: Scope::Node(_), .. });
        findings.push(match counter.read() {
            Ok(_) => Finding {
                subject,
                state: Presence::Found,
                detail: format!(
                    "{}{}",
                    counter.file.path().display(),
                    if is_node { "" } else { ": a part of the node, shown and not summed" }
                ),
                mend: String::new(),
            },
            Err(fault) => unreadable(&subject, &explain(fault)),
        });
    }
    if cray.counters.is_empty() {
        let detail = format!("{} has no counter of power or energy", cray.directory.display());
        findings.push(finding(Presence::Absent, detail, String::new()));
        return Discovery {
            sensors: Vec::new(),
            findings,
        };
    }
    Discovery {
        sensors: vec![Box::new(cray)],
        findings,
    }
}

fn only(state: Presence, detail: String, mend: String) -> Discovery {
    Discovery {
        sensors: Vec::new(),
        findings: vec![finding(state, detail, mend)],
    }
}

fn finding(state: Presence, detail: String, mend: String) -> Finding {
    Finding {
        subject: "counters".to_owned(),
        state,
        detail,
        mend,
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
