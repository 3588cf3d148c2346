//! Whose a process is, by the file `cgroup` that the kernel shows of it: whatever is in there, an owner's names are
//! short parts of it.
#![no_main]

use gramwatt::workload::Owner;
use gramwatt::workload::cgroup::owner_in;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let bounded = |part: &str| assert!(!part.is_empty() && part.len() <= text.len(), "{part:?}");
    match owner_in(&text) {
        None => {}
        Some(Owner::Pod { uid, container }) => {
            bounded(&uid);
            assert!(
                container.is_empty() || container.len() == 64,
                "{container:?}"
            );
        }
        Some(Owner::Job(name) | Owner::Container(name) | Owner::Unit(name)) => bounded(&name),
        Some(other) => panic!("no path tells of {other:?}"),
    }
});
