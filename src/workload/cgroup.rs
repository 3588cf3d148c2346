//! Control groups: whose they are, and what was used in them.
//!
//! Whose a group is stands in its path, in the words of whoever made it: the kubelet (by its systemd or its
//! cgroupfs driver), Slurm, docker, podman, systemd. The deepest name that tells wins, so that a pod inside
//! a kind node is that pod's, and a job's steps are the job's.

mod files;
mod tree;

pub use tree::{Look, Tree};

use super::Owner;
use std::path::Path;
use std::sync::Arc;

/// Whose a control group is, by its path; `None` for what belongs to nobody in particular.
#[must_use]
pub fn owner(path: &str) -> Option<Owner> {
    let mut found = None;
    let mut pod: Option<Arc<str>> = None;
    let mut slurm = false;
    for part in path.split('/').filter(|part| !part.is_empty()) {
        // Where the drivers of kubelet and runtime differ: `kubepods-pod<UID>.slice:cri-containerd:<id>`.
        if let Some(uid) = pod_uid(part.split(':').next().unwrap_or(part)) {
            found = Some(Owner::Pod {
                uid: Arc::clone(&uid),
                container: "".into(),
            });
            pod = Some(uid);
        }
        if let Some(id) = container_id(part) {
            found = Some(match &pod {
                Some(uid) => Owner::Pod {
                    uid: Arc::clone(uid),
                    container: id.into(),
                },
                None => Owner::Container(id.into()),
            });
        } else if part == "slurm"
            || part.starts_with("slurm_")
            || part.ends_with("slurmstepd.scope")
        {
            slurm = true;
            found = None;
        } else if let Some(job) = job(part).filter(|_| slurm) {
            return Some(Owner::Job(job.into()));
        } else if part.ends_with(".service") && found.is_none() {
            found = Some(Owner::Unit(unescaped(part)));
        } else if part.ends_with(".slice") {
            // What is in a slice of a user's manager is that manager's still.
            continue;
        }
    }
    found
}

/// The pod that a group is named after: `pod<UID>`, `kubepods-burstable-pod<UID>.slice`, with the UID's hyphens or
/// with the underscores that systemd needs; of a static pod the 32 digits of its file's hash.
fn pod_uid(part: &str) -> Option<Arc<str>> {
    let name = part.strip_suffix(".slice").unwrap_or(part);
    let from = name
        .rfind("pod")
        .filter(|from| *from == 0 || (name.contains("kubepods") && name[..*from].ends_with('-')))?;
    let uid = &name[from + 3..];
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if uid.len() == 32 && is_hex(uid) {
        return Some(uid.into());
    }
    let uid = uid.replace('_', "-");
    let lengths: Vec<usize> = uid.split('-').map(str::len).collect();
    let is_uid = lengths == [8, 4, 4, 4, 12] && uid.split('-').all(is_hex);
    is_uid.then(|| uid.into())
}

/// The container that a group is named after: 64 hexadecimal digits, with the runtime's prefix and systemd's
/// suffix. The monitors that runtimes start beside a container (`crio-conmon-...`) are not it.
fn container_id(part: &str) -> Option<&str> {
    let name = part.strip_suffix(".scope").unwrap_or(part);
    let name = name.rsplit(':').next().unwrap_or(name);
    let id = match name.rsplit_once('-') {
        Some((prefix, id)) => {
            let known = ["cri-containerd", "containerd", "crio", "docker", "libpod"];
            known.contains(&prefix).then_some(id)?
        }
        None => name,
    };
    let is_id = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then_some(id)
}

/// The job that a group of Slurm's is named after: `job_<number>`, or from 26.05 on its SLUID (`s` and 13 digits
/// and capitals).
fn job(part: &str) -> Option<&str> {
    if let Some(number) = part.strip_prefix("job_") {
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        return is_number.then_some(number);
    }
    let rest = part.strip_prefix('s')?;
    let is_digit = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_uppercase();
    (rest.len() == 13 && rest.bytes().all(is_digit)).then_some(part)
}

/// A unit's name as systemd shows it: in paths a leading `_` guards names that the kernel has taken.
fn unescaped(part: &str) -> Arc<str> {
    match part.strip_prefix('_') {
        Some(rest) if rest.starts_with(['_', '.']) || rest.contains('.') && is_reserved(rest) => {
            rest.into()
        }
        _ => part.into(),
    }
}

/// Names that control-group files begin with (systemd, `cg_needs_escape`).
fn is_reserved(name: &str) -> bool {
    let known = [
        "cgroup.",
        "cpu.",
        "cpuacct.",
        "memory.",
        "devices.",
        "notify_on_release",
        "release_agent",
        "tasks",
    ];
    known.iter().any(|reserved| name.starts_with(reserved))
}

/// Whose process that is, by `/proc/PID/cgroup`.
#[must_use]
pub fn owner_of(proc: &Path, pid: u32) -> Option<Owner> {
    let text = crate::file::read(&proc.join(pid.to_string()).join("cgroup"), 64 << 10).ok()?;
    owner_in(&String::from_utf8_lossy(&text))
}

/// Whose a process is by the lines of its `cgroup` file, `hierarchy:controllers:path` (cgroups(7)). All hierarchies
/// are looked at, because in each another manager may have its say; the most telling wins.
#[must_use]
pub fn owner_in(text: &str) -> Option<Owner> {
    let paths = text.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    paths.filter_map(owner).max_by_key(|owner| match owner {
        Owner::Pod { container, .. } if container.is_empty() => 3,
        Owner::Pod { .. } => 4,
        Owner::Job(_) => 2,
        Owner::Container(_) => 1,
        _ => 0,
    })
}

#[cfg(test)]
mod tests;
