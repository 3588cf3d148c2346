//! What `doctor` says of who uses the machine: what tells it, what is missing, and what is lost without it.

use super::gpu::{self, Eye, Gpus, Kfd};
use super::slurm::Jobs;
use super::watch::Plan;
use super::{Owner, cgroup, kubernetes, machine};
use crate::clock;
use crate::sensor::{Fault, Finding, Presence};
use std::collections::BTreeMap;
use std::path::Path;

/// Looks once at everything that tells who uses the machine. Not to be asked from within an async runtime.
#[must_use]
pub fn examine(plan: &Plan) -> Vec<Finding> {
    let mut all = groups(plan);
    all.extend(engines(plan));
    if let Some(library) = &plan.nvml {
        all.extend(users(
            "nvidia-processes",
            gpu::Looker::new(library, &plan.sys),
            plan,
        ));
    }
    if plan.amd {
        all.extend(users("amd-processes", Kfd::new(&plan.sys), plan));
    }
    all.extend(kubernetes::look(&plan.config.kubernetes(), &plan.host));
    all
}

fn finding(subject: &str, state: Presence, detail: String, mend: &str) -> Finding {
    Finding {
        subject: subject.to_owned(),
        state,
        detail,
        mend: mend.to_owned(),
    }
}

fn amiss(subject: &str, fault: &Fault) -> Finding {
    finding(
        subject,
        Presence::Unreadable,
        fault.to_string(),
        &fault.mend,
    )
}

fn processors(plan: &Plan) -> Finding {
    match machine::Reader::new(&plan.proc).look() {
        Ok(_) => {
            let detail = format!("{}: time of all CPUs, and memory", plan.proc.display());
            finding("proc", Presence::Found, detail, "")
        }
        Err(fault) => amiss("proc", &fault),
    }
}

/// What control groups tell, and of jobs what their environment tells.
fn groups(plan: &Plan) -> Vec<Finding> {
    let mount = plan.sys.join("fs/cgroup");
    let Some(mut tree) = cgroup::Tree::open(&mount) else {
        let detail = format!(
            "no control groups at {}: all that CPUs and memory draw is the system's",
            mount.display()
        );
        let mend =
            "mount the host's /sys with its control groups, read-only, and give it by --path.sysfs";
        return vec![finding("cgroup", Presence::Absent, detail, mend)];
    };
    let look = tree.look(clock::now().boot);
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    let mut jobs = Jobs::new(&plan.proc, &plan.config.slurm);
    for seen in &look.seen {
        *kinds.entry(kind(&seen.owner)).or_default() += 1;
    }
    for (owner, place) in look.came {
        if let Owner::Job(job) = &owner {
            jobs.came(job, place);
        }
    }
    let found: Vec<String> = kinds
        .iter()
        .map(|(kind, count)| format!("{count} {kind}"))
        .collect();
    let found = match found.as_slice() {
        [] => "nobody".to_owned(),
        found => found.join(", "),
    };
    let detail = format!("{}: {found}", tree.root().display());
    let mut all = vec![
        finding("cgroup", Presence::Found, detail, ""),
        processors(plan),
    ];
    all.extend(look.faults.iter().map(|fault| amiss("cgroup", fault)));
    if jobs.any() {
        let faults = jobs.look();
        all.extend(faults.iter().map(|fault| amiss("slurm", fault)));
        if faults.is_empty() {
            let detail = format!("jobs hold {} GPUs by their own word", jobs.holds().len());
            all.push(finding("slurm", Presence::Found, detail, ""));
        }
    }
    all
}

fn kind(owner: &Owner) -> &'static str {
    match owner {
        Owner::Pod { .. } | Owner::Named { .. } => "containers of pods",
        Owner::Job(_) => "jobs",
        Owner::Container(_) => "containers",
        Owner::Unit(_) => "units",
        Owner::Process(_) => "processes",
    }
}

/// Whether the names that engines keep can be read, where there are engines.
fn engines(plan: &Plan) -> Vec<Finding> {
    let folders = &plan.config.containers;
    let all = [("docker", &folders.docker), ("podman", &folders.podman)];
    all.into_iter()
        .filter_map(|(engine, path)| match std::fs::read_dir(path) {
            Ok(_) => {
                let detail = format!("{}: names of containers", path.display());
                Some(finding(engine, Presence::Found, detail, ""))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => Some(finding(
                engine,
                Presence::Unreadable,
                format!("{}: {error}", path.display()),
                "let gramwatt read it (CAP_DAC_READ_SEARCH, or a read-only mount); until then containers are called by \
                 the first twelve digits of their id",
            )),
        })
        .collect()
}

/// Who is on the GPUs, and whether it can be told whose those processes are.
fn users(subject: &str, mut eye: impl Eye, plan: &Plan) -> Vec<Finding> {
    if eye.is_absent() {
        return Vec::new();
    }
    let (gpus, faults) = eye.look(clock::now().boot);
    let mut all: Vec<Finding> = faults.iter().map(|fault| amiss(subject, fault)).collect();
    if faults.is_empty() {
        all.push(told(subject, &gpus, &plan.proc));
    }
    all
}

fn told(subject: &str, gpus: &Gpus, proc: &Path) -> Finding {
    let is_known = |pid: u32| proc.join(pid.to_string()).exists();
    let unknown = gpus.uses.iter().filter(|used| !is_known(used.pid)).count();
    let detail = format!("{} processes on {} GPUs", gpus.uses.len(), gpus.cards.len());
    if unknown == 0 {
        return finding(subject, Presence::Found, detail, "");
    }
    let detail = format!(
        "{detail}, of which {unknown} are not in {}: a GPU that several share is then divided equally, and what \
         nobody holds is the system's",
        proc.display()
    );
    let mend =
        "give the host's /proc by --path.procfs (in a pod: mount it read-only, or set hostPID)";
    finding(subject, Presence::Unreadable, detail, mend)
}

#[cfg(test)]
mod tests;
