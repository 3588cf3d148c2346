use super::*;
use crate::workload::DeviceName;

const GPU: &str = "GPU-5a1c2b3d-0f1e-4a5b-8c7d-9e8f7a6b5c4d";
const MIG: &str = "MIG-5a1c2b3d-0f1e-5a5b-8c7d-9e8f7a6b5c4d";

fn uuid(text: &str) -> Option<DeviceName> {
    Some(DeviceName::Uuid(text.into()))
}

#[test]
fn ids_of_device_plugins_are_understood() {
    let instance = |minor, gpu_instance| {
        Some(DeviceName::Instance {
            minor,
            gpu_instance,
        })
    };
    let pci = |place: &str| Some(DeviceName::Pci(place.into()));
    for (resource, id, is) in [
        ("nvidia.com/gpu", GPU, uuid(GPU)),
        ("nvidia.com/gpu", &format!("{GPU}::3"), uuid(GPU)),
        ("nvidia.com/gpu.shared", &format!("{GPU}::0"), uuid(GPU)),
        ("nvidia.com/gpu", &format!("{GPU}-7"), uuid(GPU)),
        ("nvidia.com/mig-1g.10gb", MIG, uuid(MIG)),
        (
            "nvidia.com/mig-1g.10gb.shared",
            &format!("{MIG}::7"),
            uuid(MIG),
        ),
        (
            "nvidia.com/gpu",
            "MIG-GPU-5a1c2b3d/1/0",
            uuid("MIG-GPU-5a1c2b3d/1/0"),
        ),
        ("nvidia.com/gpu", "nvidia0", Some(DeviceName::Minor(0))),
        (
            "nvidia.com/gpu",
            "nvidia12/vgpu1",
            Some(DeviceName::Minor(12)),
        ),
        ("nvidia.com/gpu", "nvidia0/gi3", instance(0, 3)),
        ("nvidia.com/gpu", "nvidia0/gi3/vgpu1", instance(0, 3)),
        ("amd.com/gpu", "0000:83:00.0", pci("0000:83:00.0")),
        ("amd.com/gpu", "00000000:C3:00.0", pci("0000:c3:00.0")),
        ("amd.com/gpu", "00010000:c3:00.0", pci("00010000:c3:00.0")),
    ] {
        assert_eq!(device(resource, id), is, "{resource} {id}");
    }
}

#[test]
fn what_is_no_accelerator_is_none() {
    for (resource, id) in [
        ("cpu", "1"),
        ("hugepages-1Gi", "3"),
        ("rdma/hca_shared", GPU),
        ("example.com/gpu", GPU),
        ("nvidia.com/hostdev", "0000:83:00.0"),
        ("nvidia.com/gpu", ""),
        ("nvidia.com/gpu", "GPU-"),
        ("nvidia.com/gpu", "GPU-a b"),
        ("nvidia.com/gpu", "nvidia"),
        ("nvidia.com/gpu", "nvidia+1"),
        ("nvidia.com/gpu", "nvidia0/"),
        ("nvidia.com/gpu", "nvidia0/gi"),
        ("nvidia.com/gpu", "nvidia0/gi3/vgpu1/x"),
        ("nvidia.com/gpu", "nvidia99999999999"),
        ("amd.com/gpu", GPU),
        ("amd.com/gpu", "0000:83:00"),
        ("amd.com/gpu", "0000.83.00.0"),
        ("amd.com/gpu", "amdgpu_xcp_30"),
    ] {
        assert_eq!(device(resource, id), None, "{resource} {id}");
    }
}

#[test]
fn names_of_the_container_device_interface_may_have_a_uuid() {
    assert_eq!(cdi(&format!("nvidia.com/gpu={GPU}")), uuid(GPU));
    assert_eq!(cdi(&format!("k8s.gpu.nvidia.com/device={MIG}")), uuid(MIG));
    for name in [
        "nvidia.com/gpu=0",
        "k8s.gpu.nvidia.com/claim=4d-gpu-0",
        "vendor.com/gpu=GPU-a",
        "",
    ] {
        assert_eq!(cdi(name), None, "{name}");
    }
}
