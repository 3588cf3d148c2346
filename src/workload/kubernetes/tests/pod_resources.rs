use super::*;
use crate::workload::{DeviceName, Hold};
use replica::kubelet::{Holder, Kubelet, Manner};
use replica::server::Server;
use serde_json::json;
use tonic::Code;

const A: &str = "GPU-00000000-0000-4000-8000-00000000000a";
const B: &str = "GPU-00000000-0000-4000-8000-00000000000b";

fn holder(pod: &'static str, devices: replica::kubelet::Devices) -> Holder {
    Holder {
        who: ("ml", pod, "main"),
        devices,
        claims: Vec::new(),
    }
}

fn held(pod: &str, device: DeviceName) -> Hold {
    Hold {
        owner: named("ml", pod, "main"),
        device,
        since: None,
        until: None,
    }
}

fn uuid(text: &str) -> DeviceName {
    DeviceName::Uuid(text.into())
}

fn asking(bench: &Bench) -> PodResources {
    PodResources::new(&bench.config, "machine")
        .unwrap()
        .unwrap()
}

#[test]
fn every_holder_of_a_shared_device_is_listed() {
    let bench = Bench::new();
    let kubelet = Kubelet::start(&bench.config.pod_resources);
    let shares = [
        "GPU-00000000-0000-4000-8000-00000000000b::0",
        "GPU-00000000-0000-4000-8000-00000000000b::1",
    ];
    kubelet.hold(vec![
        holder(
            "one",
            vec![("nvidia.com/gpu", vec![A]), ("rdma/hca", vec!["mlx5_0"])],
        ),
        holder("two", vec![("nvidia.com/gpu.shared", shares.to_vec())]),
        holder(
            "three",
            vec![(
                "nvidia.com/gpu.shared",
                vec!["GPU-00000000-0000-4000-8000-00000000000b::2"],
            )],
        ),
        holder("none", vec![("cpu", vec!["1"])]),
    ]);
    let mut asked = asking(&bench);
    let all = vec![
        held("one", uuid(A)),
        held("two", uuid(B)),
        held("three", uuid(B)),
    ];
    assert_eq!(asked.list().unwrap(), all);
    assert!(asked.health().faults.is_empty());
}

#[test]
fn where_there_is_no_kubelet_nobody_is_missed() {
    let mut bench = Bench::new();
    assert!(asking(&bench).list().unwrap().is_empty());
    bench.config.enabled = Wanted::Yes;
    let fault = asking(&bench).list().unwrap_err();
    assert_eq!(fault.reason(), "vanished");
    assert!(
        fault
            .mend
            .contains(&bench.folder.path().display().to_string()),
        "{}",
        fault.mend
    );
    bench.config.enabled = Wanted::No;
    assert!(
        PodResources::new(&bench.config, "machine")
            .unwrap()
            .is_none()
    );
}

#[test]
fn a_restarted_kubelet_is_found_again_and_missed_meanwhile() {
    let bench = Bench::new();
    let kubelet = Kubelet::start(&bench.config.pod_resources);
    kubelet.hold(vec![holder("one", vec![("nvidia.com/gpu", vec![A])])]);
    let mut asked = asking(&bench);
    assert_eq!(asked.list().unwrap().len(), 1);
    let kubelet = kubelet.restart();
    assert_eq!(asked.list().unwrap().len(), 1);
    drop(kubelet);
    // Not "nobody holds anything".
    assert_eq!(asked.list().unwrap_err().reason(), "vanished");
    assert_eq!(asked.health().faults.len(), 1);
    let kubelet = Kubelet::start(&bench.config.pod_resources);
    assert!(asked.list().unwrap().is_empty());
    drop(kubelet);
}

#[test]
fn one_that_is_asked_too_often_may_be_silent_for_a_while() {
    let bench = Bench::new();
    let kubelet = Kubelet::start(&bench.config.pod_resources);
    kubelet.behave(Manner::Fails(Code::ResourceExhausted));
    let mut asked = asking(&bench);
    assert!(asked.list().unwrap_err().mend.contains("too often"));
    kubelet.behave(Manner::Well);
    kubelet.hold(vec![holder("one", vec![("nvidia.com/gpu", vec![A])])]);
    assert_eq!(asked.list().unwrap().len(), 1);
    kubelet.behave(Manner::Fails(Code::ResourceExhausted));
    assert_eq!(asked.list().unwrap().len(), 1);
    assert!(asked.health().faults.is_empty());
}

#[test]
fn what_fails_is_told_with_its_mend() {
    let bench = Bench::new();
    let kubelet = Kubelet::start(&bench.config.pod_resources);
    let mut asked = asking(&bench);
    for (code, reason, mend) in [
        (Code::PermissionDenied, "permission", "root"),
        (Code::Unimplemented, "device", "1.20"),
        (Code::Internal, "device", "kubelet's log"),
    ] {
        kubelet.behave(Manner::Fails(code));
        let fault = asked.list().unwrap_err();
        assert_eq!(fault.reason(), reason, "{fault}");
        assert!(fault.mend.contains(mend), "{}", fault.mend);
    }
    let begun = Instant::now();
    kubelet.behave(Manner::Hangs);
    assert_eq!(asked.list().unwrap_err().reason(), "timeout");
    assert!(begun.elapsed() < Duration::from_secs(15));
    kubelet.behave(Manner::Well);
    assert!(asked.list().is_ok());
}

#[test]
fn an_answer_that_is_too_large_is_refused() {
    let bench = Bench::new();
    let kubelet = Kubelet::start(&bench.config.pod_resources);
    let long: &'static str = Box::leak("x".repeat(17 << 20).into_boxed_str());
    kubelet.hold(vec![holder("one", vec![("nvidia.com/gpu", vec![long])])]);
    let fault = asking(&bench).list().unwrap_err();
    assert!(
        fault.to_string().contains("16 MiB") || fault.reason() == "timeout",
        "{fault}"
    );
}

fn claimed(device: &'static str, cdi: Vec<&'static str>) -> Holder {
    Holder {
        who: ("ml", "one", "main"),
        devices: Vec::new(),
        claims: vec![("gpu.nvidia.com", "node-a", device, cdi)],
    }
}

#[test]
fn claimed_devices_are_looked_up_in_the_slices() {
    let server = Server::start();
    let device = |name: &str, uuid: &str| {
        json!({"name": name, "attributes": {
        "type": {"string": "gpu"}, "uuid": {"string": uuid}, "cudaComputeCapability": {"version": "9.0.0"}}})
    };
    let slice = json!({"spec": {"driver": "gpu.nvidia.com", "nodeName": "node-a", "pool": {"name": "node-a",
        "generation": 1}, "devices": [device("gpu-0", A), device("gpu-1", B)]}});
    server.list("/apis/resource.k8s.io/v1beta2/resourceslices", vec![slice]);
    let bench = Bench::asking(&server);
    let kubelet = Kubelet::start(&bench.config.pod_resources);
    let mut asked = asking(&bench);
    kubelet.hold(vec![claimed(
        "gpu-1",
        vec!["k8s.gpu.nvidia.com/claim=5e-gpu-1"],
    )]);
    assert_eq!(asked.list().unwrap(), vec![held("one", uuid(B))]);
    let slices = |server: &Server| {
        server
            .asked()
            .iter()
            .filter(|path| path.contains("slices"))
            .count()
    };
    let before = slices(&server);
    assert_eq!(asked.list().unwrap(), vec![held("one", uuid(B))]);
    assert_eq!(slices(&server), before, "what is known is not asked again");
    // Another driver's devices are no business of ours, and unknown ones are told of.
    kubelet.hold(vec![claimed("gpu-7", Vec::new())]);
    assert!(asked.list().unwrap().is_empty());
    assert!(asked.health().faults[0].place.contains("node-a/gpu-7"));
}

#[test]
fn claimed_devices_of_which_nobody_may_ask_are_a_fault() {
    let bench = Bench::new();
    let kubelet = Kubelet::start(&bench.config.pod_resources);
    let mut asked = asking(&bench);
    kubelet.hold(vec![claimed("gpu-1", Vec::new())]);
    assert!(asked.list().unwrap().is_empty());
    assert!(asked.health().faults[0].mend.contains("resourceslices"));
    let name: &'static str = Box::leak(format!("nvidia.com/gpu={A}").into_boxed_str());
    kubelet.hold(vec![claimed("gpu-1", vec![name])]);
    assert_eq!(asked.list().unwrap(), vec![held("one", uuid(A))]);
    assert!(asked.health().faults.is_empty());

    let server = Server::start();
    server.refuse("resourceslices", 403, "");
    let bench = Bench::asking(&server);
    let kubelet = Kubelet::start(&bench.config.pod_resources);
    kubelet.hold(vec![claimed("gpu-1", Vec::new())]);
    let mut asked = asking(&bench);
    assert!(asked.list().unwrap().is_empty());
    let fault = &asked.health().faults[0];
    assert_eq!(fault.reason(), "permission");
    assert!(fault.mend.contains("resourceslices"), "{}", fault.mend);
}
