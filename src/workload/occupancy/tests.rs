use super::*;
use crate::workload::gpu::Sight;

fn job(name: &str) -> Owner {
    Owner::Job(name.into())
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn hold(owner: &str, uuid: &str) -> Hold {
    Hold {
        owner: job(owner),
        device: DeviceName::Uuid(uuid.into()),
        since: None,
        until: None,
    }
}

fn seen(owner: &str, since: u64, until: Option<u64>) -> Seen {
    Seen {
        owner: job(owner),
        cpu: Duration::ZERO,
        memory: 0,
        since: Some(secs(since)),
        until: until.map(secs),
    }
}

fn times(tenure: &Tenure) -> Vec<String> {
    let all = tenure.within(Duration::ZERO).into_iter();
    all.map(|held| format!("{:?} {:?} {:?}", held.owner, held.since, held.until))
        .collect()
}

#[test]
fn a_gpu_changes_hands_when_jobs_end_and_begin_and_not_when_it_is_looked() {
    let mut tenure = Tenure::default();
    tenure.take(&[hold("a", "GPU-0")], &[], secs(10));
    assert_eq!(
        times(&tenure),
        ["Job(\"a\") None None"],
        "who was here before"
    );
    tenure.take(
        &[hold("b", "GPU-0")],
        &[seen("a", 1, Some(13)), seen("b", 14, None)],
        secs(20),
    );
    assert_eq!(
        times(&tenure),
        ["Job(\"a\") None Some(13s)", "Job(\"b\") Some(14s) None"]
    );
    // Nobody tells when: half-way.
    tenure.take(&[hold("c", "GPU-0")], &[], secs(30));
    assert_eq!(tenure.holding(), [job("c")]);
    assert_eq!(
        times(&tenure)[1..],
        [
            "Job(\"b\") Some(14s) Some(25s)",
            "Job(\"c\") Some(25s) None"
        ]
    );
    tenure.forget(secs(26));
    assert_eq!(times(&tenure), ["Job(\"c\") Some(25s) None"]);
}

fn gpus(uses: &[(u32, Option<&str>, Option<f64>)], instances: Vec<Instance>) -> Gpus {
    let is_told = uses.iter().all(|(.., busy)| busy.is_some());
    let sight = if is_told {
        Sight::Full
    } else {
        Sight::Processes
    };
    Gpus {
        cards: vec![Card {
            uuid: "GPU-0".into(),
            index: 0,
            minor: Some(0),
            pci: "".into(),
            divided: !instances.is_empty(),
            instances,
            sight,
        }],
        uses: uses
            .iter()
            .map(|(pid, instance, busy)| ProcessUse {
                device: "GPU-0".into(),
                pid: *pid,
                instance: instance.map(Into::into),
                busy: *busy,
            })
            .collect(),
        ..Gpus::default()
    }
}

#[test]
fn holders_are_as_busy_as_their_processes_and_others_do_not_count() {
    let gpus = gpus(
        &[
            (1, None, Some(0.5)),
            (2, None, Some(0.2)),
            (3, None, Some(0.1)),
        ],
        vec![],
    );
    let users = BTreeMap::from([(1, Some(job("a"))), (2, Some(job("a"))), (3, None)]);
    let holds = [hold("a", "GPU-0"), hold("b", "GPU-0")];
    let found = devices(&holds, &gpus, &users, &Inventory::default());
    let busy: Vec<Option<f64>> = found["GPU-0"].iter().map(|holder| holder.busy).collect();
    assert_eq!(busy, [Some(0.7), Some(0.0)]);
}

#[test]
fn where_nobody_holds_it_those_on_it_have_it() {
    let gpus = gpus(&[(1, None, Some(0.5)), (3, None, Some(0.1))], vec![]);
    let users = BTreeMap::from([(1, Some(job("a"))), (3, None)]);
    let found = devices(&[], &gpus, &users, &Inventory::default());
    let of: Vec<(Option<Owner>, Option<f64>)> = found["GPU-0"]
        .iter()
        .map(|holder| (holder.owner.clone(), holder.busy))
        .collect();
    assert_eq!(of, [(None, Some(0.1)), (Some(job("a")), Some(0.5))]);
}

#[test]
fn a_run_has_the_part_of_its_owners_that_its_processes_did() {
    let users = BTreeMap::from([(1, Some(job("a"))), (2, Some(job("a"))), (3, None)]);
    let runners = BTreeMap::from([(1, "r".into()), (3, "s".into())]);
    let parts = |busy: [Option<f64>; 3]| -> Vec<(Option<Owner>, f64)> {
        let uses = [(1, None, busy[0]), (2, None, busy[1]), (3, None, busy[2])];
        let gpus = gpus(&uses, vec![]);
        let devices = devices(&[], &gpus, &users, &Inventory::default());
        let found = runs(&gpus, &users, &runners, &devices);
        found
            .into_iter()
            .map(|hold| (hold.owner, hold.part))
            .collect()
    };
    let told = parts([Some(0.6), Some(0.2), Some(0.1)]);
    assert_eq!(told, [(None, 1.0), (Some(job("a")), 0.6 / 0.8)]);
    assert_eq!(parts([None; 3]), [(None, 1.0), (Some(job("a")), 0.5)]);
    assert_eq!(parts([Some(0.0); 3])[1].1, 0.5, "nobody did anything");
}

#[test]
fn instances_weigh_by_slices_and_nobody_tells_their_work() {
    let instance = |uuid: &str, slices| Instance {
        uuid: uuid.into(),
        gpu_instance: slices,
        compute_instance: 0,
        slices,
        of: 7,
    };
    let gpus = gpus(
        &[(1, Some("MIG-a"), None)],
        vec![instance("MIG-a", 3), instance("MIG-b", 2)],
    );
    let users = BTreeMap::from([(1, Some(job("a")))]);
    let found = devices(
        &[hold("a", "MIG-a"), hold("b", "MIG-b")],
        &gpus,
        &users,
        &Inventory::default(),
    );
    let of: Vec<_> = found["GPU-0"]
        .iter()
        .map(|holder| (holder.slices, holder.busy))
        .collect();
    assert_eq!(of, [(Some((3, 7)), None), (Some((2, 7)), None)]);
}

#[test]
fn gpus_that_nvml_does_not_know_are_found_by_what_sensors_know() {
    let known = |id: &str, uuid: &str, pci: &str| Known {
        id: id.into(),
        uuid: uuid.into(),
        pci: pci.into(),
    };
    let inventory = Inventory(vec![
        known("a", "x", "0000:01:00.0"),
        known("b", "", "0000:02:00.0"),
    ]);
    let found = |name| inventory.resolve(&name).map(|id| id.to_string());
    assert_eq!(
        found(DeviceName::Pci("0000:02:00.0".into())).as_deref(),
        Some("b")
    );
    assert_eq!(found(DeviceName::Uuid("x".into())).as_deref(), Some("a"));
    assert_eq!(found(DeviceName::Index(1)).as_deref(), Some("b"));
    assert_eq!(found(DeviceName::Index(2)), None);
}
