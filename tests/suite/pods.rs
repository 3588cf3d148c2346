//! Pods from end to end: the shipped program on a machine of control groups, with a kubelet's sockets, an API server and
//! NVIDIA's library played by replicas that speak their protocols.

use crate::kubernetes::kubelet::{Devices, Holder, Kubelet};
use crate::kubernetes::pods::Pod;
use crate::kubernetes::server::{Ending, Server};
use crate::program::{Program, Series, until};
use crate::prometheus::{Prometheus, sample};
use serde_json::json;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

/// A node with two GPUs that draw 300 W and 60 W.
struct Node(TempDir);

fn pod(number: u32, name: &str) -> Pod {
    let digit = char::from_digit(number, 16).unwrap();
    Pod {
        labels: vec![("team", "vision"), ("pod-template-hash", "5d4f")],
        owner: Some(("ReplicaSet", "serve-5d4f")),
        ..Pod::running(number, "lab", name, "main", digit)
    }
}

fn holds(pod: &'static str, resource: &'static str, ids: Vec<&'static str>) -> Holder {
    let devices: Devices = vec![(resource, ids), ("rdma/hca", vec!["GPU-9"])];
    Holder {
        who: ("lab", pod, "main"),
        devices,
        claims: Vec::new(),
    }
}

/// The id of its container.
fn runs(pod: &Pod) -> String {
    pod.containers[0].id.replace("containerd://", "")
}

impl Node {
    fn new() -> Self {
        let node = Self(TempDir::new().unwrap());
        fs::create_dir_all(node.at("sys/fs/cgroup/kubepods.slice")).unwrap();
        fs::create_dir_all(node.at("proc/sys/kernel/random")).unwrap();
        fs::write(node.at("sys/fs/cgroup/cgroup.procs"), "").unwrap();
        fs::write(node.at("proc/sys/kernel/random/boot_id"), "a-boot\n").unwrap();
        fs::write(node.at("proc/stat"), "cpu  100 0 0 900 0\ncpu0 1\n").unwrap();
        fs::write(
            node.at("proc/meminfo"),
            "MemTotal: 1000 kB\nMemAvailable: 500 kB\n",
        )
        .unwrap();
        let gpu = |index: u32, watts: f64, sm: u32| {
            json!({
                "uuid": format!("GPU-{index}"), "name": "NVIDIA H100 80GB HBM3", "architecture": 9,
                "pci": format!("00000000:{:02X}:00.0", 0x10 + index), "utilization": sm,
                "waveform": [{"seconds": 1e9, "shape": {"constant": watts}}],
            })
        };
        let scenario = json!({"gpus": [gpu(0, 300.0, 90), gpu(1, 60.0, 0)]});
        fs::copy(crate::nvml::standin(), node.at("nvml.so")).unwrap();
        fs::write(node.at("nvml.so.json"), scenario.to_string()).unwrap();
        node
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn group(&self, pod: &Pod) -> PathBuf {
        let slice = format!("kubepods-pod{}.slice", pod.uid.replace('-', "_"));
        self.at(&format!("sys/fs/cgroup/kubepods.slice/{slice}"))
    }

    /// The kubelet makes a pod's control groups.
    fn run(&self, pod: &Pod) {
        let slice = self.group(pod);
        let scope = slice.join(format!("cri-containerd-{}.scope", runs(pod)));
        // Made elsewhere and moved, so that nobody sees a group without its files.
        let draft = self.at(&format!("draft-{}", pod.name));
        fs::create_dir_all(draft.join(scope.file_name().unwrap())).unwrap();
        for group in [draft.clone(), draft.join(scope.file_name().unwrap())] {
            fs::write(group.join("cpu.stat"), "usage_usec 0\n").unwrap();
            fs::write(group.join("memory.current"), "1000\n").unwrap();
        }
        fs::rename(draft, slice).unwrap();
    }

    fn end(&self, pod: &Pod) {
        let gone = self.at(&format!("gone-{}", pod.name));
        fs::rename(self.group(pod), &gone).unwrap();
        fs::remove_dir_all(gone).unwrap();
    }

    fn socket(&self, name: &str) -> PathBuf {
        let folder = self.at(&format!("kubelet/{name}"));
        fs::create_dir_all(&folder).unwrap();
        folder.join("kubelet.sock")
    }

    fn start(&self, api_server: &str, more: &str) -> Program {
        let text = format!(
            "grid: {{intensity: 360}}\n\
             sensors: {{nvml: {{library: '{}'}}, model: {{enabled: false}}}}\n\
             workloads:\n  labels: [team]\n  interval: 200ms\n  gpu_interval: 500ms\n{more}\n  kubernetes:\n    node: node-a\n    \
             pod_resources: '{}'\n    pods_api: '{}'\n    api_server: '{api_server}'\n    service_account: /nonexistent\n",
            self.at("nvml.so").display(),
            self.socket("pod-resources").display(),
            self.socket("pods-api").display(),
        );
        fs::write(self.at("gramwatt.yml"), text).unwrap();
        Program::start([
            format!("--config.file={}", self.at("gramwatt.yml").display()),
            format!("--path.sysfs={}", self.at("sys").display()),
            format!("--path.procfs={}", self.at("proc").display()),
            format!("--state.directory={}", self.at("state").display()),
        ])
    }
}

fn series(name: &str, pod: &str, kind: &str) -> String {
    let kind = if kind.is_empty() {
        String::new()
    } else {
        format!(",kind=\"{kind}\"")
    };
    format!(
        "{name}{{workload_type=\"pod\",workload_namespace=\"lab\",workload=\"{pod}\",workload_container=\"main\"{kind}}}"
    )
}

const WATTS: &str = "gramwatt_workload_power_watts";
const JOULES: &str = "gramwatt_workload_energy_joules_total";

fn watts(page: &Series, pod: &str) -> Option<f64> {
    page.find(&series(WATTS, pod, "gpu"))
}

fn draws(program: &Program, pod: &str, expected: f64) {
    until(&format!("{pod} is seen to draw {expected} W"), || {
        let drawn = watts(&program.metrics(), pod)?;
        ((drawn - expected).abs() < 1.0).then_some(())
    });
}

/// Workloads and what is unlisted are the devices.
fn closed(page: &Series) {
    let sum = |prefix: &str| -> f64 {
        page.starting(prefix)
            .filter(|(name, _)| name.contains("kind=\"gpu\""))
            .map(|(_, value)| value)
            .sum()
    };
    let devices = sum("gramwatt_device_energy_joules_total");
    let workloads = sum(JOULES) + sum("gramwatt_workload_unlisted_joules");
    assert!(
        devices > 0.0 && (devices - workloads).abs() < 1e-6 * devices,
        "{devices} J, {workloads} J"
    );
}

#[test]
fn gpus_are_billed_to_pods_by_their_names_through_whatever_the_api_server_does() {
    let node = Node::new();
    let (a, b, c) = (pod(1, "serve-a"), pod(2, "train-b"), pod(3, "late-c"));
    let kubelet = Kubelet::start(&node.socket("pod-resources"));
    let api = Server::start();
    node.run(&a);
    api.put(&a);
    kubelet.hold(vec![
        holds("serve-a", "nvidia.com/gpu", vec!["GPU-0::0"]),
        holds("serve-a", "rdma/hca", vec!["GPU-9"]),
    ]);
    let program = node.start(&api.url(), "  introduce: 0s");
    draws(&program, "serve-a", 300.0);
    let info = program.get("/metrics").body;
    let info = info
        .lines()
        .find(|line| line.starts_with("gramwatt_workload_info") && line.contains("serve-a"));
    let info = info.unwrap();
    for label in [
        "owner_kind=\"Deployment\"",
        "owner=\"serve\"",
        "label_team=\"vision\"",
        "gpu_split=\"whole\"",
        &format!("uid=\"{}\"", a.uid),
    ] {
        assert!(info.contains(label), "{label} is not in {info}");
    }
    // Another pod comes, is told of by an event, and takes the other GPU.
    node.run(&b);
    api.bookmark();
    api.put(&b);
    kubelet.hold(vec![
        holds("serve-a", "nvidia.com/gpu", vec!["GPU-0"]),
        holds("train-b", "nvidia.com/gpu", vec!["GPU-1"]),
    ]);
    draws(&program, "train-b", 60.0);
    until("what is held and not used is told", || {
        let page = program.metrics();
        let reserved = page.find(&series(
            "gramwatt_workload_reserved_idle_joules_total",
            "train-b",
            "gpu",
        ))?;
        let all = page.find(&series(JOULES, "train-b", "gpu"))?;
        (reserved > 0.0 && (reserved - all).abs() < 1e-6 * all).then_some(())
    });
    // The version has expired: everything is listed anew.
    let lists = |api: &Server| {
        let asked = api.asked();
        asked
            .iter()
            .filter(|target| !target.contains("watch="))
            .count()
    };
    let before = lists(&api);
    node.run(&c);
    api.end(Ending::Gone);
    api.put(&c);
    until("the pods are listed anew", || {
        (lists(&api) > before).then_some(())
    });
    kubelet.hold(vec![
        holds("serve-a", "nvidia.com/gpu", vec!["GPU-0"]),
        holds("train-b", "nvidia.com/gpu", vec!["GPU-1::0"]),
        holds("late-c", "nvidia.com/gpu", vec!["GPU-1::1"]),
    ]);
    // Nobody tells who of the two does what: half each.
    draws(&program, "late-c", 30.0);
    draws(&program, "train-b", 30.0);
    // A connection that breaks in the middle of a line, and a pod that ends.
    api.end(Ending::Cut);
    api.remove(&c);
    node.end(&c);
    kubelet.hold(vec![
        holds("serve-a", "nvidia.com/gpu", vec!["GPU-0"]),
        holds("train-b", "nvidia.com/gpu", vec!["GPU-1"]),
    ]);
    draws(&program, "train-b", 60.0);
    let page = program.metrics();
    assert!(
        page.find(&series(JOULES, "late-c", "gpu")).is_some(),
        "it lingers"
    );
    closed(&page);
    assert_eq!(
        page.get("gramwatt_workload_source_up{source=\"api-server\"}"),
        1.0
    );
}

#[test]
fn who_may_not_ask_for_pods_is_told_what_to_add() {
    let node = Node::new();
    let a = pod(1, "serve-a");
    let kubelet = Kubelet::start(&node.socket("pod-resources"));
    kubelet.hold(vec![holds("serve-a", "nvidia.com/gpu", vec!["GPU-0"])]);
    node.run(&a);
    let api = Server::start();
    api.refuse("/pods", 403, "");
    let program = node.start(&api.url(), "  introduce: 0s");
    // The kubelet knows the holder's name all the same.
    draws(&program, "serve-a", 300.0);
    until("the refusal is told", || {
        let up = program
            .metrics()
            .find("gramwatt_workload_source_up{source=\"api-server\"}")?;
        (up == 0.0).then_some(())
    });
    let status = program.get("/").body;
    assert!(
        status.contains("ClusterRole") && status.contains("403"),
        "{status}"
    );
    closed(&program.metrics());
}

#[test]
fn the_kubelets_own_api_gives_names_without_an_api_server() {
    let node = Node::new();
    let (a, b) = (pod(1, "serve-a"), pod(2, "train-b"));
    let kubelet = Kubelet::start(&node.socket("pod-resources"));
    let pods = Kubelet::start(&node.socket("pods-api"));
    pods.put(&a);
    node.run(&a);
    kubelet.hold(vec![holds(
        "serve-a",
        "nvidia.com/mig-3g.40gb",
        vec!["GPU-0"],
    )]);
    let program = node.start("off", "  introduce: 0s");
    draws(&program, "serve-a", 300.0);
    node.run(&b);
    pods.put(&b);
    kubelet.hold(vec![holds("train-b", "nvidia.com/gpu", vec!["nvidia0"])]);
    draws(&program, "train-b", 300.0);
    assert_eq!(
        program
            .metrics()
            .get("gramwatt_workload_source_up{source=\"pods-api\"}"),
        1.0
    );
    closed(&program.metrics());
}

#[test]
fn a_prometheus_sees_all_of_a_pod_that_lives_two_seconds() {
    let node = Node::new();
    let short = pod(5, "short");
    let kubelet = Kubelet::start(&node.socket("pod-resources"));
    let pods = Kubelet::start(&node.socket("pods-api"));
    kubelet.hold(vec![]);
    let program = node.start("off", "  introduce: 3s\n  linger: 4s");
    let server = Prometheus::start(0, program.address);
    until("the GPUs' energy is scraped", || {
        let scraped = server.one("gramwatt_node_energy_joules_total");
        (scraped.len() > 2).then_some(())
    });
    node.run(&short);
    pods.put(&short);
    kubelet.hold(vec![holds("short", "nvidia.com/gpu", vec!["GPU-0"])]);
    let began = std::time::Instant::now();
    until("it has lived two seconds", || {
        (began.elapsed().as_millis() >= 2000).then_some(())
    });
    node.end(&short);
    kubelet.hold(vec![]);
    let lived = began.elapsed().as_secs_f64();
    let metric = format!("{JOULES}{{workload=\"short\"}}");
    // It is shown with 0 first, then with all that it used, and then it leaves.
    until("it has come and gone", || {
        let scraped = server.one(&metric);
        let gone = program
            .metrics()
            .find(&series(JOULES, "short", "gpu"))
            .is_none();
        (scraped.len() >= 3 && gone).then_some(())
    });
    let samples = server.one(&metric);
    let (first, last) = (
        *samples.values().next().unwrap(),
        *samples.values().next_back().unwrap(),
    );
    assert_eq!(first, 0.0, "{samples:?}");
    let used = 300.0 * lived;
    assert!(
        (last / used - 1.0).abs() < 0.3,
        "{last} J booked of about {used} J: {samples:?}"
    );
    let (from, to) = (
        *samples.keys().next().unwrap(),
        *samples.keys().next_back().unwrap(),
    );
    let range = format!("increase({JOULES}{{workload=\"short\"}}[{}ms])", to - from);
    let result = server.query(&range, Some(to)).unwrap();
    let (_, increase) = sample(&result[0]["value"]);
    assert!(
        (increase - last).abs() < 1e-6 * last,
        "{increase} J of {last} J"
    );
    closed(&program.metrics());
}
