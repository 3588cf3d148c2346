//! Jobs of Slurm: what they are called and which GPUs they hold, from the environment that Slurm gives their
//! processes, or from the files that a prolog writes.
//!
//! GPUs are held by the job, not by its processes: a job that holds one and does nothing on it has it all the same.

use super::{About, DeviceName, Hold, Identity, Manager, Owner};
use crate::file;
use crate::sensor::{Cause, Fault};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// `workloads.slurm`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// A directory in which Slurm's prolog writes who has which GPU: files named after GPUs' numbers, a job's number in
    /// each line (as for dcgm-exporter). Unset: by the jobs' environment, which takes the right to trace processes.
    pub mapping_directory: Option<PathBuf>,
}

/// Largest environment that is read, in bytes; the kernel allows some MiB for environment and arguments.
const LARGEST: u64 = 2 << 20;

/// Processes of a job that are tried for its environment.
const TRIES: usize = 8;

/// Looks after which a job without an answer is asked again.
const AGAIN: u32 = 5;

/// Numbers of GPUs that are believed.
const MOST: u32 = 256;

/// A job, as far as it is known.
#[derive(Debug)]
struct Job {
    place: PathBuf,
    known: Option<Known>,
    looks: u32,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Known {
    number: String,
    user: String,
    account: String,
    name: String,
    cpus: Option<f64>,
    gpus: Vec<DeviceName>,
}

/// The jobs of this node.
#[derive(Debug)]
pub struct Jobs {
    proc: PathBuf,
    mapping: Option<PathBuf>,
    jobs: BTreeMap<Arc<str>, Job>,
}

impl Jobs {
    /// None yet.
    #[must_use]
    pub fn new(proc: &Path, config: &Config) -> Self {
        Self {
            proc: proc.to_owned(),
            mapping: config.mapping_directory.clone(),
            jobs: BTreeMap::new(),
        }
    }

    /// A job has begun, in this control group.
    pub fn came(&mut self, job: &Arc<str>, place: PathBuf) {
        let job = self.jobs.entry(Arc::clone(job));
        job.or_insert(Job {
            place,
            known: None,
            looks: 0,
        });
    }

    /// A job has ended.
    pub fn went(&mut self, job: &str) {
        self.jobs.remove(job);
    }

    /// Whether there are any.
    #[must_use]
    pub fn any(&self) -> bool {
        !self.jobs.is_empty()
    }

    /// Looks at those who are not known yet. A fault where none of a job's processes can be asked.
    pub fn look(&mut self) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (id, job) in &mut self.jobs {
            if job.known.is_some() {
                continue;
            }
            job.looks += 1;
            if job.looks % AGAIN != 1 {
                continue;
            }
            match ask(&self.proc, &job.place) {
                Ok(known) => job.known = known,
                Err(error) => faults.push(Fault {
                    place: format!("job {id}"),
                    cause: Cause::Io(error),
                    mend: "let gramwatt read the jobs' environment (root with CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH, \
                           the host's /proc), or let the prolog write who has which GPU and give its directory in \
                           workloads.slurm.mapping_directory: until then GPUs of the job are nobody's, and its user \
                           is not known"
                        .into(),
                }),
            }
        }
        faults
    }

    /// What a job is called.
    #[must_use]
    pub fn identity(&self, job: &str) -> Option<(Identity, About)> {
        let known = self.jobs.get(job)?.known.as_ref();
        let is_number = job.bytes().all(|byte| byte.is_ascii_digit());
        // A number is a name by itself; an id of the newer kind is not what people know.
        if known.is_none() && !is_number {
            return None;
        }
        let known = known.cloned().unwrap_or_default();
        let identity = Identity {
            manager: Manager::Slurm,
            namespace: known.account.as_str().into(),
            name: if known.number.is_empty() {
                job.into()
            } else {
                known.number.as_str().into()
            },
            container: "".into(),
        };
        let about = About {
            uid: if is_number {
                String::new()
            } else {
                job.to_owned()
            },
            owner_kind: if known.name.is_empty() {
                String::new()
            } else {
                "Job".into()
            },
            owner: known.name,
            user: known.user,
            labels: Vec::new(),
            cpus: known.cpus,
        };
        Some((identity, about))
    }

    /// Whether the account is still to be learnt, so that a name now would be another later.
    #[must_use]
    pub fn is_waiting(&self, job: &str) -> bool {
        self.jobs
            .get(job)
            .is_some_and(|job| job.known.is_none() && job.looks < 2)
    }

    /// Which GPUs are held.
    #[must_use]
    pub fn holds(&self) -> Vec<Hold> {
        let hold = |job: &Arc<str>, device| Hold {
            owner: Owner::Job(Arc::clone(job)),
            device,
            since: None,
            until: None,
        };
        if let Some(directory) = &self.mapping {
            let mapped = mapped(directory);
            let of = |number: &str| {
                self.jobs.iter().find(|(id, job)| {
                    &***id == number
                        || job
                            .known
                            .as_ref()
                            .is_some_and(|known| known.number == number)
                })
            };
            let holds = mapped
                .iter()
                .filter_map(|(device, job)| Some(hold(of(job)?.0, device.clone())));
            return holds.collect();
        }
        let known = self
            .jobs
            .iter()
            .filter_map(|(id, job)| Some((id, job.known.as_ref()?)));
        known
            .flat_map(|(id, known)| known.gpus.iter().map(move |gpu| hold(id, gpu.clone())))
            .collect()
    }
}

/// What one of a job's processes says of it; nothing where it has none yet.
fn ask(proc: &Path, place: &Path) -> std::io::Result<Option<Known>> {
    let mut pids = Vec::new();
    processes(place, 4, &mut pids);
    let mut refused = None;
    for pid in pids.into_iter().take(TRIES) {
        match file::read(&proc.join(pid.to_string()).join("environ"), LARGEST) {
            Ok(environment) => {
                if let Some(known) = known(&environment) {
                    return Ok(Some(known));
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => refused = Some(error),
        }
    }
    refused.map_or(Ok(None), Err)
}

/// Processes in a control group and those below it.
fn processes(place: &Path, depth: u32, pids: &mut Vec<u32>) {
    let listed = file::read(&place.join("cgroup.procs"), 64 << 10).unwrap_or_default();
    let listed = String::from_utf8_lossy(&listed);
    pids.extend(listed.lines().filter_map(|line| line.parse::<u32>().ok()));
    if depth == 0 || pids.len() >= TRIES {
        return;
    }
    let Ok(entries) = fs::read_dir(place) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            processes(&entry.path(), depth - 1, pids);
        }
    }
}

/// What an environment says of the job; nothing where it is not a job's.
fn known(environment: &[u8]) -> Option<Known> {
    let text = String::from_utf8_lossy(environment);
    let variables: BTreeMap<&str, &str> = text
        .split('\0')
        .filter_map(|line| line.split_once('='))
        .collect();
    let of = |name: &str| {
        variables
            .get(name)
            .copied()
            .filter(|value| !value.is_empty())
    };
    let word = |name: &str| of(name).unwrap_or("").chars().take(128).collect::<String>();
    let number = of("SLURM_JOB_ID")?;
    // CUDA's variable counts within the job, unless it names GPUs by their UUIDs.
    let gpus = of("SLURM_JOB_GPUS")
        .or_else(|| of("SLURM_STEP_GPUS"))
        .map(numbers);
    let visible = || {
        let visible = of("CUDA_VISIBLE_DEVICES").unwrap_or("").split(',');
        let is_uuid = |name: &&str| name.starts_with("GPU-") || name.starts_with("MIG-");
        visible
            .filter(is_uuid)
            .map(|uuid| DeviceName::Uuid(uuid.into()))
            .collect()
    };
    Some(Known {
        number: number.chars().take(32).collect(),
        user: word("SLURM_JOB_USER"),
        account: word("SLURM_JOB_ACCOUNT"),
        name: word("SLURM_JOB_NAME"),
        cpus: of("SLURM_CPUS_ON_NODE").and_then(|cpus| cpus.parse().ok()),
        gpus: gpus.filter(|gpus| !gpus.is_empty()).unwrap_or_else(visible),
    })
}

/// `0-3,5`
fn numbers(text: &str) -> Vec<DeviceName> {
    let mut numbers = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.trim().parse::<u32>(), last.trim().parse::<u32>()) {
            numbers.extend((first..=last.min(MOST)).map(DeviceName::Index));
        }
    }
    numbers
}

/// Who has which GPU by the prolog's files.
fn mapped(directory: &Path) -> Vec<(DeviceName, String)> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for entry in entries.flatten().take(MOST as usize) {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let device = match name.parse() {
            Ok(number) => DeviceName::Index(number),
            Err(_) if name.starts_with("GPU-") || name.starts_with("MIG-") => {
                DeviceName::Uuid((*name).into())
            }
            Err(_) => continue,
        };
        let jobs = file::read(&entry.path(), 4096).unwrap_or_default();
        let jobs = String::from_utf8_lossy(&jobs);
        found.extend(
            jobs.split_whitespace()
                .map(|job| (device.clone(), job.to_owned())),
        );
    }
    found
}

/// So long a job that has just come is left without a name, for its account to be learnt.
pub const PATIENCE: Duration = Duration::from_secs(6);

#[cfg(test)]
mod tests {
    use super::*;

    fn gpus(numbers: &[u32]) -> Vec<DeviceName> {
        numbers
            .iter()
            .map(|number| DeviceName::Index(*number))
            .collect()
    }

    #[test]
    fn the_environment_tells_who_and_what() {
        let text = b"PATH=/bin\0SLURM_JOB_ID=42\0SLURM_JOB_USER=ada\0SLURM_JOB_ACCOUNT=vision\0\
                     SLURM_JOB_NAME=train\0SLURM_JOB_GPUS=0-2,5\0SLURM_STEP_GPUS=0\0CUDA_VISIBLE_DEVICES=0,1\0\
                     SLURM_CPUS_ON_NODE=16\0";
        let known = known(text).unwrap();
        assert_eq!(
            (&*known.number, &*known.user, &*known.account),
            ("42", "ada", "vision")
        );
        assert_eq!((known.gpus, known.cpus), (gpus(&[0, 1, 2, 5]), Some(16.0)));
        assert_eq!(super::known(b"PATH=/bin\0"), None);
        let local = super::known(b"SLURM_JOB_ID=1\0CUDA_VISIBLE_DEVICES=0,1\0").unwrap();
        assert_eq!(local.gpus, [], "numbers within the job");
        let named = super::known(b"SLURM_JOB_ID=1\0CUDA_VISIBLE_DEVICES=GPU-a,GPU-b\0").unwrap();
        assert_eq!(named.gpus.len(), 2);
        assert_eq!(numbers("7-3,x,0-4000000000").len(), MOST as usize + 1);
    }

    #[test]
    fn a_job_is_asked_through_its_processes_and_holds_until_it_ends() {
        let root = tempfile::tempdir().unwrap();
        let (proc, group) = (root.path().join("proc"), root.path().join("job_7"));
        fs::create_dir_all(group.join("step_0/user/task_0")).unwrap();
        fs::create_dir_all(proc.join("99")).unwrap();
        let mut jobs = Jobs::new(&proc, &Config::default());
        jobs.came(&"7".into(), group.clone());
        assert!(jobs.look().is_empty(), "no process yet is no fault");
        assert!(jobs.is_waiting("7"));
        fs::write(group.join("step_0/user/task_0/cgroup.procs"), "99\n").unwrap();
        fs::write(
            proc.join("99/environ"),
            "SLURM_JOB_ID=7\0SLURM_JOB_GPUS=3\0SLURM_JOB_ACCOUNT=a\0",
        )
        .unwrap();
        for _ in 0..AGAIN {
            assert!(jobs.look().is_empty());
        }
        let (identity, _) = jobs.identity("7").unwrap();
        assert_eq!((&*identity.namespace, &*identity.name), ("a", "7"));
        assert_eq!(jobs.holds()[0].device, DeviceName::Index(3));
        jobs.went("7");
        assert!(jobs.holds().is_empty());
    }

    #[test]
    fn the_prologs_files_tell_who_has_what() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("0"), "7\n").unwrap();
        fs::write(root.path().join("1"), "7\n8\n").unwrap();
        fs::write(root.path().join("notes"), "7\n").unwrap();
        let config = Config {
            mapping_directory: Some(root.path().to_owned()),
        };
        let mut jobs = Jobs::new(root.path(), &config);
        jobs.came(&"7".into(), root.path().join("none"));
        jobs.came(&"8".into(), root.path().join("none"));
        let mut holds: Vec<String> = jobs
            .holds()
            .iter()
            .map(|hold| format!("{:?} {:?}", hold.owner, hold.device))
            .collect();
        holds.sort();
        assert_eq!(
            holds,
            [
                "Job(\"7\") Index(0)",
                "Job(\"7\") Index(1)",
                "Job(\"8\") Index(1)"
            ]
        );
    }
}
