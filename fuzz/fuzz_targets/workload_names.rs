//! What Kubernetes tells of pods and their devices: whatever it is, names are bounded, ids are ids, and CPUs
//! are numbers. The first byte tells which parser is meant.
#![no_main]

use gramwatt::workload::DeviceName;
use gramwatt::workload::kubernetes::{LONGEST_NAME, LONGEST_VALUE, MOST_LABELS, Pod, cdi, device};
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;

fuzz_target!(|data: &[u8]| {
    let Some((which, rest)) = data.split_first() else {
        return;
    };
    let labels: Vec<Arc<str>> = ["team", "project", ""].map(Arc::from).to_vec();
    let pod = match which % 3 {
        0 => {
            let text = String::from_utf8_lossy(rest);
            let (resource, id) = text.split_once('\n').unwrap_or((&text, ""));
            named(device(resource, id));
            named(cdi(id));
            None
        }
        1 => Pod::from_protobuf(rest, &labels),
        _ => Pod::from_json(rest, &labels),
    };
    if let Some(pod) = pod {
        described(&pod);
    }
});

fn named(device: Option<DeviceName>) {
    match device {
        Some(DeviceName::Uuid(uuid)) => {
            assert!(
                uuid.len() <= 80 && (uuid.starts_with("GPU-") || uuid.starts_with("MIG-")),
                "{uuid}"
            );
        }
        Some(DeviceName::Pci(place)) => {
            assert!(
                (12..=16).contains(&place.len()) && !place.contains(char::is_uppercase),
                "{place}"
            );
        }
        Some(DeviceName::Index(_)) => panic!("nobody tells NVML's number"),
        Some(DeviceName::Minor(_) | DeviceName::Instance { .. }) | None => {}
    }
}

fn described(pod: &Pod) {
    assert!(!pod.key.is_empty() && pod.key.len() <= LONGEST_VALUE);
    assert!(
        !pod.name.is_empty()
            && pod.name.len() <= LONGEST_NAME
            && pod.namespace.len() <= LONGEST_NAME
    );
    assert!(pod.about.owner.len() <= LONGEST_NAME && pod.about.owner_kind.len() <= LONGEST_VALUE);
    assert!(pod.about.labels.len() <= MOST_LABELS);
    assert!(
        pod.about
            .labels
            .iter()
            .all(|(_, value)| value.len() <= LONGEST_VALUE)
    );
    assert!(pod.containers.len() <= 256);
    let cpus = pod
        .containers
        .iter()
        .filter_map(|container| container.cpus)
        .chain(pod.about.cpus);
    assert!({ cpus }.all(|cpus| cpus.is_finite() && cpus >= 0.0));
    for run in pod.containers.iter().flat_map(|container| &container.runs) {
        assert!(run.id.len() == 64 && run.id.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let (found, same) = pod.run(&run.id).unwrap();
        assert!(found.name.len() <= LONGEST_NAME && same.id == run.id);
    }
}
