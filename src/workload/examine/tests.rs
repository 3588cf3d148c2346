use super::*;
use crate::workload::ProcessUse;
use crate::workload::config::Workloads;
use std::fs;
use tempfile::TempDir;

fn plan(root: &TempDir) -> Plan {
    let mut config: Workloads = serde_yaml::from_str("{source: [slurm]}").unwrap();
    config.containers.docker = root.path().join("docker");
    config.containers.podman = root.path().join("podman");
    Plan {
        config,
        host: "node".to_owned(),
        sys: root.path().join("sys"),
        proc: root.path().join("proc"),
        nvml: None,
        amd: false,
    }
}

fn write(root: &TempDir, path: &str, text: &str) {
    let path = root.path().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn of<'a>(all: &'a [Finding], subject: &str) -> Vec<&'a Finding> {
    all.iter()
        .filter(|finding| finding.subject == subject)
        .collect()
}

#[test]
fn a_machine_that_tells_nothing_is_told_what_is_lost() {
    let root = TempDir::new().unwrap();
    let all = examine(&plan(&root));
    let groups = of(&all, "cgroup");
    assert_eq!(groups[0].state, Presence::Absent);
    assert!(groups[0].detail.contains("the system's") && groups[0].mend.contains("--path.sysfs"));
    assert!(of(&all, "proc").is_empty(), "of no use without them");
    assert!(of(&all, "docker").is_empty());
}

#[test]
fn jobs_units_and_engines_are_counted() {
    let root = TempDir::new().unwrap();
    let group = |path: &str| {
        for (file, text) in [("cpu.stat", "usage_usec 5\n"), ("memory.current", "1\n")] {
            write(&root, &format!("sys/fs/cgroup/{path}/{file}"), text);
        }
    };
    write(&root, "sys/fs/cgroup/cgroup.procs", "");
    group("system.slice/nginx.service");
    group("system.slice/slurmstepd.scope/job_7");
    write(
        &root,
        "sys/fs/cgroup/system.slice/slurmstepd.scope/job_7/cgroup.procs",
        "9\n",
    );
    write(
        &root,
        "proc/9/environ",
        "SLURM_JOB_ID=7\0SLURM_JOB_GPUS=0,1\0",
    );
    write(&root, "proc/stat", "cpu  1 0 0 9 0\n");
    write(
        &root,
        "proc/meminfo",
        "MemTotal: 10 kB\nMemAvailable: 5 kB\n",
    );
    fs::create_dir(root.path().join("docker")).unwrap();
    let all = examine(&plan(&root));
    assert!(
        all.iter().all(|finding| finding.state == Presence::Found),
        "{all:?}"
    );
    assert!(of(&all, "cgroup")[0].detail.ends_with("1 jobs, 1 units"));
    assert!(of(&all, "slurm")[0].detail.contains("2 GPUs"), "{all:?}");
    assert_eq!(of(&all, "docker").len(), 1);
}

#[test]
fn processes_of_another_machine_are_not_taken_for_this_ones() {
    let root = TempDir::new().unwrap();
    fs::create_dir_all(root.path().join("proc/10")).unwrap();
    let used = |pid| ProcessUse {
        device: "GPU-0".into(),
        pid,
        instance: None,
        busy: None,
    };
    let mut gpus = Gpus {
        uses: vec![used(10)],
        ..Gpus::default()
    };
    let proc = root.path().join("proc");
    assert_eq!(told("x", &gpus, &proc).state, Presence::Found);
    gpus.uses.push(used(11));
    let found = told("x", &gpus, &proc);
    assert_eq!(found.state, Presence::Unreadable);
    assert!(found.mend.contains("hostPID") && found.detail.contains("1 are not in"));
}
