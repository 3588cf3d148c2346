use super::*;
use crate::workload::Seen;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

const UID: &str = "8a7f1c2e-0b3d-4e5f-9a1b-2c3d4e5f6a7b";
const HASH: &str = "0123456789abcdef0123456789abcdef";

fn id(digit: char) -> String {
    digit.to_string().repeat(64)
}

fn pod(uid: &str, container: &str) -> Option<Owner> {
    Some(Owner::Pod {
        uid: uid.into(),
        container: container.into(),
    })
}

#[test]
fn each_runtime_and_driver_tells_whose_it_is() {
    let (a, slice) = (id('a'), UID.replace('-', "_"));
    let ours = pod(UID, &a);
    for (path, owner) in [
        // containerd, CRI-O and docker with systemd's driver
        (
            format!(
                "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{slice}.slice/cri-containerd-{a}.scope"
            ),
            ours.clone(),
        ),
        (
            format!("kubepods.slice/kubepods-pod{slice}.slice/crio-{a}.scope"),
            ours.clone(),
        ),
        (
            format!(
                "kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{slice}.slice/docker-{a}.scope"
            ),
            ours.clone(),
        ),
        (
            format!("kubepods.slice/kubepods-pod{slice}.slice/crio-{a}.scope/container"),
            ours.clone(),
        ),
        // with the cgroupfs driver
        (format!("kubepods/burstable/pod{UID}/{a}"), ours.clone()),
        (format!("kubepods/pod{UID}/crio-{a}"), ours.clone()),
        // where kubelet and runtime differ
        (
            format!(
                "system.slice/containerd.service/kubepods-burstable-pod{slice}.slice:cri-containerd:{a}"
            ),
            ours.clone(),
        ),
        // the monitor of CRI-O is the pod's and no container
        (
            format!("kubepods.slice/kubepods-pod{slice}.slice/crio-conmon-{a}.scope"),
            pod(UID, ""),
        ),
        (
            format!("kubepods.slice/kubepods-pod{slice}.slice"),
            pod(UID, ""),
        ),
        // a static pod
        (format!("kubepods/burstable/pod{HASH}/{a}"), pod(HASH, &a)),
        // a kind node is a container in which pods are
        (
            format!(
                "docker/{}/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{slice}.slice/cri-containerd-{a}.scope",
                id('d')
            ),
            ours.clone(),
        ),
        (
            format!("docker/{}/kubelet/kubepods/burstable/pod{UID}/{a}", id('d')),
            ours,
        ),
        (
            format!("docker/{}/init.scope", id('d')),
            Some(Owner::Container(id('d').into())),
        ),
        // plain containers
        (
            format!("system.slice/docker-{a}.scope"),
            Some(Owner::Container(a.as_str().into())),
        ),
        (
            format!("docker/{a}"),
            Some(Owner::Container(a.as_str().into())),
        ),
        (
            format!("machine.slice/libpod-{a}.scope/container"),
            Some(Owner::Container(a.as_str().into())),
        ),
        (
            format!("user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{a}.scope"),
            Some(Owner::Container(a.as_str().into())),
        ),
    ] {
        assert_eq!(super::owner(&path), owner, "{path}");
    }
}

#[test]
fn jobs_and_units_are_told_and_what_is_nobodys_is_nobodys() {
    for (path, owner) in [
        // Slurm
        (
            "system.slice/slurmstepd.scope/job_42/step_0/user/task_0".into(),
            Some(Owner::Job("42".into())),
        ),
        (
            "system.slice/node7_slurmstepd.scope/job_42".into(),
            Some(Owner::Job("42".into())),
        ),
        (
            "system.slice/slurmstepd.scope/sEKNKTV3WPV500/step_batch".into(),
            Some(Owner::Job("sEKNKTV3WPV500".into())),
        ),
        (
            "slurm/uid_1000/job_42/step_batch/task_0".into(),
            Some(Owner::Job("42".into())),
        ),
        (
            "slurm_node7/uid_1000/job_42".into(),
            Some(Owner::Job("42".into())),
        ),
        ("system.slice/slurmstepd.scope/system".into(), None),
        ("elsewhere/job_42".into(), None),
        // units
        (
            "system.slice/nginx.service".into(),
            Some(Owner::Unit("nginx.service".into())),
        ),
        (
            "system.slice/system-getty.slice/getty@tty1.service".into(),
            Some(Owner::Unit("getty@tty1.service".into())),
        ),
        (
            "user.slice/user-1000.slice/user@1000.service/app.slice/dbus.service".into(),
            Some(Owner::Unit("user@1000.service".into())),
        ),
        (
            "system.slice/_cpu.service".into(),
            Some(Owner::Unit("cpu.service".into())),
        ),
        // nobody's
        ("user.slice/user-0.slice/session-3.scope".into(), None),
        ("init.scope".into(), None),
        (String::new(), None),
        ("kubepods.slice/kubepods-burstable.slice".into(), None),
        (format!("podium{UID}"), None),
    ] {
        assert_eq!(super::owner(&path), owner, "{path}");
    }
}

#[test]
fn a_process_is_whose_its_most_telling_hierarchy_says() {
    let a = id('a');
    let unified = format!(
        "0::/kubepods.slice/kubepods-pod{}.slice/cri-containerd-{a}.scope\n",
        UID.replace('-', "_")
    );
    assert_eq!(owner_in(&unified), pod(UID, &a));
    let hybrid = format!(
        "12:cpuacct,cpu:/kubepods/pod{UID}/{a}\n1:name=systemd:/system.slice/containerd.service\n0::/system.slice/containerd.service\n"
    );
    assert_eq!(owner_in(&hybrid), pod(UID, &a));
    // Seen from another namespace of control groups.
    let relative = format!(
        "0::/../../kubepods-pod{}.slice/cri-containerd-{a}.scope\n",
        UID.replace('-', "_")
    );
    assert_eq!(owner_in(&relative), pod(UID, &a));
    assert_eq!(owner_in("garbage\n0::/\n"), None);
}

/// A tree of directories in which a test writes what the kernel would.
struct Mount(tempfile::TempDir);

impl Mount {
    fn unified() -> Self {
        let mount = Self(tempfile::tempdir().unwrap());
        fs::write(mount.at("cgroup.procs"), "").unwrap();
        mount
    }
    fn legacy() -> Self {
        let mount = Self(tempfile::tempdir().unwrap());
        for root in ["cpuacct", "memory"] {
            fs::create_dir(mount.at(root)).unwrap();
        }
        fs::write(mount.at("cpuacct/cpuacct.usage"), "0").unwrap();
        mount
    }
    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }
    fn is_legacy(&self) -> bool {
        self.at("cpuacct").exists()
    }
    /// CPU time in ms and memory of a group, which is made if need be.
    fn group(&self, path: &str, millis: u64, memory: u64) {
        if self.is_legacy() {
            for root in ["cpuacct", "memory"] {
                fs::create_dir_all(self.at(root).join(path)).unwrap();
            }
            // Where `cpu` is mounted there too, its file of that name says nothing of time.
            fs::write(
                self.at("cpuacct").join(path).join("cpu.stat"),
                "nr_periods 0\n",
            )
            .unwrap();
            fs::write(
                self.at("cpuacct").join(path).join("cpuacct.usage"),
                format!("{}\n", millis * 1_000_000),
            )
            .unwrap();
            fs::write(
                self.at("memory").join(path).join("memory.usage_in_bytes"),
                format!("{memory}\n"),
            )
            .unwrap();
        } else {
            fs::create_dir_all(self.at(path)).unwrap();
            fs::write(
                self.at(path).join("cpu.stat"),
                format!("usage_usec {}\nuser_usec 1\n", millis * 1000),
            )
            .unwrap();
            fs::write(self.at(path).join("memory.current"), format!("{memory}\n")).unwrap();
        }
    }
    fn remove(&self, path: &str) {
        let root = if self.is_legacy() {
            self.at("cpuacct")
        } else {
            self.at("")
        };
        fs::remove_dir_all(root.join(path)).unwrap();
    }
    fn tree(&self) -> Tree {
        Tree::open(self.0.path()).unwrap()
    }
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Who was seen, with CPU time in ms and memory, and when those ended who did.
fn seen(tree: &mut Tree, at: u64) -> Vec<(String, u128, u64, Option<u64>)> {
    let look = tree.look(secs(at));
    assert!(look.faults.is_empty(), "{:?}", look.faults);
    let short = |owner: &Owner| match owner {
        Owner::Pod { uid, container } => {
            format!("pod {} {}", &uid[..2], container.get(..1).unwrap_or(""))
        }
        Owner::Unit(unit) => unit.to_string(),
        other => format!("{other:?}"),
    };
    let line = |seen: &Seen| {
        let until = seen.until.map(|until| until.as_secs());
        (short(&seen.owner), seen.cpu.as_millis(), seen.memory, until)
    };
    look.seen.iter().map(line).collect()
}

#[test]
fn time_since_the_last_look_is_told_of_each() {
    for mount in [Mount::unified(), Mount::legacy()] {
        let slice = format!("kubepods/pod{UID}");
        let (a, b) = (
            format!("{slice}/{}", id('a')),
            format!("{slice}/{}", id('b')),
        );
        mount.group("kubepods", 9000, 0);
        mount.group(&slice, 5000, 300);
        mount.group(&a, 4000, 100);
        mount.group("system.slice/nginx.service", 700, 50);
        let mut tree = mount.tree();
        // What was used before is nobody's news.
        assert_eq!(
            seen(&mut tree, 10),
            [
                ("pod 8a a".into(), 0, 100, None),
                ("nginx.service".into(), 0, 50, None)
            ]
        );
        mount.group(&slice, 5900, 350);
        mount.group(&a, 4500, 120);
        // One that came since began at 0.
        mount.group(&b, 300, 30);
        mount.group("system.slice/nginx.service", 710, 50);
        assert_eq!(
            seen(&mut tree, 16),
            [
                ("pod 8a a".into(), 500, 120, None),
                ("pod 8a b".into(), 300, 30, None),
                // What is in the pod and in none of its containers.
                ("pod 8a ".into(), 100, 200, None),
                ("nginx.service".into(), 10, 50, None),
            ]
        );
        // One that ends leaves what it did since to its pod.
        mount.group(&slice, 6200, 350);
        mount.remove(&b);
        assert_eq!(
            seen(&mut tree, 20),
            [
                ("pod 8a b".into(), 0, 0, Some(18)),
                ("pod 8a a".into(), 0, 120, None),
                ("pod 8a ".into(), 300, 230, None),
                ("nginx.service".into(), 0, 50, None),
            ]
        );
    }
}

#[test]
fn a_group_of_an_old_name_inherits_nothing() {
    let mount = Mount::unified();
    mount.group("system.slice/a.service", 5000, 1);
    let mut tree = mount.tree();
    seen(&mut tree, 1);
    // Another directory of that name, in which less was used, and then more than before.
    mount.remove("system.slice/a.service");
    mount.group("system.slice/b.service", 0, 1);
    mount.group("system.slice/a.service", 6000, 1);
    let found = seen(&mut tree, 17);
    assert!(
        found.contains(&("a.service".into(), 0, 0, Some(9))),
        "{found:?}"
    );
    assert!(
        found.contains(&("a.service".into(), 6000, 1, None)),
        "{found:?}"
    );
    // A counter that falls is no time.
    mount.group("system.slice/a.service", 10, 1);
    assert!(seen(&mut tree, 18).contains(&("a.service".into(), 0, 1, None)));
}

#[test]
fn what_is_broken_costs_that_group() {
    let mount = Mount::unified();
    mount.group("system.slice/a.service", 1, 1);
    mount.group("system.slice/b.service", 1, 1);
    let mut tree = mount.tree();
    seen(&mut tree, 1);
    fs::write(mount.at("system.slice/a.service/cpu.stat"), "nonsense").unwrap();
    mount.group("system.slice/b.service", 21, 1);
    let look = tree.look(secs(2));
    assert_eq!(look.faults.len(), 1);
    assert!(
        look.faults[0].place.ends_with("a.service"),
        "{}",
        look.faults[0]
    );
    let b = look
        .seen
        .iter()
        .find(|seen| seen.owner == Owner::Unit("b.service".into()))
        .unwrap();
    assert_eq!(b.cpu.as_millis(), 20);
}

#[test]
fn no_control_groups_is_no_tree() {
    assert!(Tree::open(std::path::Path::new("/nonexistent")).is_none());
}

#[test]
fn what_has_no_name_of_its_own_is_its_parents_once() {
    let mount = Mount::unified();
    let node = format!("docker/{}", id('d'));
    let inner = format!("{node}/kubelet/kubepods/pod{UID}/{}", id('a'));
    mount.group("system.slice/a.service", 100, 1);
    mount.group("system.slice/a.service/worker", 60, 1);
    mount.group(&node, 500, 9);
    mount.group(&format!("{node}/init.scope"), 50, 1);
    mount.group(&format!("{node}/kubelet/kubepods/pod{UID}"), 300, 5);
    mount.group(&inner, 300, 5);
    let mut tree = mount.tree();
    seen(&mut tree, 1);
    mount.group("system.slice/a.service", 110, 1);
    mount.group(&node, 540, 9);
    mount.group(&format!("{node}/kubelet/kubepods/pod{UID}"), 330, 5);
    mount.group(&inner, 330, 5);
    let mut found = seen(&mut tree, 2);
    found.sort();
    // The pod in a kind node is not the node's container's.
    let container = format!("{:?}", Owner::Container(id('d').into()));
    assert_eq!(
        found,
        [
            (container, 10, 4, None),
            ("a.service".into(), 10, 1, None),
            ("pod 8a a".into(), 30, 5, None),
        ]
    );
}

/// A control group of the kernel's own with a process that works, which both end when this is dropped.
struct Real {
    group: PathBuf,
    child: std::process::Child,
}

impl Real {
    /// `None` where this user may make none.
    fn make(root: &std::path::Path, path: &str) -> Option<Self> {
        let group = root.join(path);
        if let Err(error) = fs::create_dir_all(&group) {
            eprintln!("NOT TRIED: {}: {error}", group.display());
            return None;
        }
        let mut command = std::process::Command::new("sh");
        let child = command.args(["-c", "while :; do :; done"]).spawn().unwrap();
        let real = Self { group, child };
        fs::write(real.group.join("cgroup.procs"), real.child.id().to_string()).unwrap();
        Some(real)
    }

    /// Its CPU time by the scheduler's own account.
    fn used(&self) -> Duration {
        let text = fs::read_to_string(format!("/proc/{}/schedstat", self.child.id())).unwrap();
        Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Those above it too, if nothing else is in them.
        for folder in self.group.ancestors().take(3) {
            let _ = fs::remove_dir(folder);
        }
    }
}

/// Where the tests' user may make control groups (root, and not in a container that has them read-only).
#[test]
fn the_kernels_own_groups_tell_what_a_real_process_used() {
    let Some(mut tree) = Tree::open(std::path::Path::new("/sys/fs/cgroup")) else {
        return eprintln!("NOT TRIED: there are no control groups");
    };
    let uid = format!("{:08x}-0000-4000-8000-00000000c0de", std::process::id());
    let path = format!("kubepods/pod{uid}/{}", id('e'));
    tree.look(Duration::ZERO);
    let Some(real) = Real::make(tree.root(), &path) else {
        return;
    };
    let before = real.used();
    let ours = pod(&uid, &id('e')).unwrap();
    let start = std::time::Instant::now();
    let (mut told, mut least) = (Duration::ZERO, Duration::ZERO);
    while told < Duration::from_millis(300) {
        assert!(start.elapsed() < Duration::from_secs(30), "{told:?}");
        std::thread::yield_now();
        least = real.used();
        let look = tree.look(start.elapsed() + Duration::from_secs(20));
        assert!(look.faults.is_empty(), "{:?}", look.faults);
        let seen = look.seen.iter().filter(|seen| seen.owner == ours);
        told += seen.map(|seen| seen.cpu).sum::<Duration>();
    }
    let most = real.used();
    // What it did before it was moved is not the group's. The kernel's two accounts differ by a tick or two.
    let ticks = Duration::from_millis(40);
    assert!(
        told <= most + ticks && told + before + ticks >= least,
        "{told:?} told of {least:?} to {most:?}, {before:?} of it before"
    );
    drop(real);
    let look = tree.look(start.elapsed() + Duration::from_secs(60));
    let gone = look.seen.iter().find(|seen| seen.owner == ours);
    assert!(gone.is_none_or(|seen| seen.until.is_some()));
}
