use super::*;
use crate::workload::About;
use replica::pods::{self, id, uid};

fn labels() -> Vec<Arc<str>> {
    ["team", "app.kubernetes.io/name"].map(Arc::from).to_vec()
}

/// A pod in which everything is.
fn full() -> pods::Pod {
    pods::Pod {
        labels: vec![
            ("team", "vision"),
            ("app.kubernetes.io/name", "resnet"),
            ("pod-template-hash", "5d4f8c7b9"),
            ("secret", "not shown"),
        ],
        owner: Some(("ReplicaSet", "resnet-5d4f8c7b9")),
        containers: vec![
            pods::Container {
                name: "main",
                id: format!("containerd://{}", id('a')),
                cpu: Some("1500m"),
                started: Some(1_700_000_100),
                before: Some((
                    format!("containerd://{}", id('b')),
                    1_700_000_000,
                    1_700_000_050,
                )),
                ..Default::default()
            },
            pods::Container {
                name: "waits",
                ..Default::default()
            },
        ],
        init: vec![
            pods::Container {
                name: "setup",
                id: format!("cri-o://{}", id('c')),
                cpu: Some("8"),
                started: Some(1_699_999_000),
                finished: Some(1_699_999_010),
                ..Default::default()
            },
            pods::Container {
                name: "mesh",
                cpu: Some("500m"),
                sidecar: true,
                ..Default::default()
            },
        ],
        ephemeral: vec![pods::Container {
            name: "debug",
            id: format!("docker://{}", id('d')),
            started: Some(1_700_000_200),
            ..Default::default()
        }],
        ..pods::Pod::running(1, "ml", "resnet-5d4f8c7b9-x2k4p", "main", 'a')
    }
}

fn both(pod: &pods::Pod) -> Pod {
    let json = Pod::from_json(pod.json(1).to_string().as_bytes(), &labels()).unwrap();
    let protobuf = Pod::from_protobuf(&pod.protobuf(), &labels()).unwrap();
    assert_eq!(json, protobuf);
    json
}

fn at(seconds: i64) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_second(seconds).ok()
}

#[test]
fn a_pod_is_the_same_in_json_and_in_protobuf() {
    let pod = both(&full());
    assert_eq!(&*pod.key, uid(1));
    assert_eq!(
        (&*pod.namespace, &*pod.name),
        ("ml", "resnet-5d4f8c7b9-x2k4p")
    );
    assert_eq!(pod.phase, Phase::Running);
    let about = About {
        uid: uid(1),
        owner_kind: "Deployment".to_owned(),
        owner: "resnet".to_owned(),
        user: String::new(),
        labels: vec![
            ("team".into(), "vision".into()),
            ("app.kubernetes.io/name".into(), "resnet".into()),
        ],
        // The sidecar runs beside the container, what prepared them does not.
        cpus: Some(2.0),
    };
    assert_eq!(pod.about, about);
    let run = |digit| {
        pod.run(&id(digit))
            .map(|(container, run)| (&*container.name, run.clone()))
            .unwrap()
    };
    let (name, now) = run('a');
    assert_eq!(
        (name, now.started, now.finished, now.is_running),
        ("main", at(1_700_000_100), None, true)
    );
    let (name, before) = run('b');
    assert_eq!(
        (name, before.finished, before.is_running),
        ("main", at(1_700_000_050), false)
    );
    let (name, setup) = run('c');
    assert_eq!(
        (name, setup.started, setup.finished),
        ("setup", at(1_699_999_000), at(1_699_999_010))
    );
    assert_eq!(run('d').0, "debug");
    assert_eq!(pod.container("main").unwrap().cpus, Some(1.5));
    assert!(pod.container("waits").unwrap().runs.is_empty());
}

#[test]
fn owners_are_whom_people_know() {
    let made = |owner, labels: Vec<(&'static str, &'static str)>| {
        let pod = both(&pods::Pod {
            owner,
            labels,
            ..full()
        });
        (pod.about.owner_kind, pod.about.owner)
    };
    let is = |kind: &str, name: &str| (kind.to_owned(), name.to_owned());
    assert_eq!(made(Some(("Job", "train-1")), vec![]), is("Job", "train-1"));
    assert_eq!(
        made(Some(("PyTorchJob", "bert")), vec![]),
        is("PyTorchJob", "bert")
    );
    assert_eq!(made(None, vec![]), is("", ""));
    // A ReplicaSet that no Deployment made.
    assert_eq!(
        made(Some(("ReplicaSet", "web-5d4f")), vec![]),
        is("ReplicaSet", "web-5d4f")
    );
    let other = vec![("pod-template-hash", "777")];
    assert_eq!(
        made(Some(("ReplicaSet", "web-5d4f")), other),
        is("ReplicaSet", "web-5d4f")
    );
    let argo = vec![("rollouts-pod-template-hash", "5d4f")];
    assert_eq!(
        made(Some(("ReplicaSet", "web-5d4f")), argo),
        is("Rollout", "web")
    );
}

#[test]
fn a_static_pod_goes_by_the_hash_of_its_file() {
    let hash = "a3c5e7091b2d4f60a3c5e7091b2d4f60";
    for annotation in ["kubernetes.io/config.mirror", "kubernetes.io/config.hash"] {
        let annotations = vec![(annotation, hash.to_owned())];
        let pod = both(&pods::Pod {
            annotations,
            ..full()
        });
        assert_eq!(&*pod.key, hash);
        assert_eq!(pod.about.uid, uid(1));
        let mut book = PodBook::default();
        book.fill(vec![pod], Duration::ZERO);
        assert_eq!(
            book.identity(&owner(hash, 'a')).unwrap().0,
            identity("ml", "resnet-5d4f8c7b9-x2k4p", "main")
        );
        assert_eq!(
            book.owner_of("ml", "resnet-5d4f8c7b9-x2k4p", "main"),
            Some(owner(hash, 'a'))
        );
    }
}

#[test]
fn containers_are_told_apart_and_what_is_in_none_is_the_pods() {
    let mut book = PodBook::default();
    assert!(!book.is_filled());
    book.fill(vec![both(&full())], Duration::ZERO);
    assert!(book.is_filled());
    let name = "resnet-5d4f8c7b9-x2k4p";
    let told = |owner: &Owner| book.identity(owner).unwrap();
    assert_eq!(told(&owner(&uid(1), 'a')).0, identity("ml", name, "main"));
    assert_eq!(told(&owner(&uid(1), 'a')).1.cpus, Some(1.5));
    assert_eq!(told(&owner(&uid(1), 'b')).0, identity("ml", name, "main"));
    assert_eq!(told(&owner(&uid(1), 'f')).0, identity("ml", name, ""));
    let pod = Owner::Pod {
        uid: uid(1).into(),
        container: "".into(),
    };
    assert_eq!(told(&pod).0, identity("ml", name, ""));
    assert_eq!(told(&pod).1.cpus, Some(2.0));
    assert!(book.knows(&uid(1), &id('a')) && !book.knows(&uid(1), &id('f')));
    assert!(book.identity(&owner(&uid(2), 'a')).is_none());
    assert!(book.identity(&Owner::Unit("x.service".into())).is_none());
    // Known by name alone: what is known of it, or the name.
    assert_eq!(told(&named("ml", name, "main")).1.owner, "resnet");
    assert_eq!(
        told(&named("ml", "other", "main")),
        (identity("ml", "other", "main"), About::default())
    );
    assert_eq!(book.owner_of("ml", name, "main"), Some(owner(&uid(1), 'a')));
    assert_eq!(book.owner_of("ml", name, "waits"), None);
    assert_eq!(book.owner_of("ml", "other", "main"), None);
    assert_eq!(
        book.run(&owner(&uid(1), 'c')).unwrap().finished,
        at(1_699_999_010)
    );
}

#[test]
fn a_pod_is_remembered_after_its_end_and_forgotten_in_time() {
    let second = Duration::from_secs;
    let pod = full();
    let bare = Pod::from_protobuf(&pod.names_alone(), &labels()).unwrap();
    let mut book = PodBook::default();
    book.update(both(&pod), second(1000));
    assert!(!book.is_gone(&named("ml", &pod.name, "main")));
    book.remove(bare.clone(), second(1100));
    assert!(book.is_empty() && book.is_gone(&named("ml", &pod.name, "main")));
    assert!(!book.is_over(&named("ml", &pod.name, "main")));
    // The names alone do not wipe out what was known.
    let known = book.identity(&owner(&uid(1), 'a')).unwrap();
    assert_eq!(
        (&*known.0.container, known.1.owner.as_str()),
        ("main", "resnet")
    );
    book.update(
        both(&pods::Pod::running(2, "ml", "b", "c", 'e')),
        second(1700),
    );
    assert!(book.identity(&owner(&uid(1), 'a')).is_some());
    book.update(
        both(&pods::Pod::running(2, "ml", "b", "c", 'e')),
        second(1701),
    );
    assert!(book.identity(&owner(&uid(1), 'a')).is_none());
    assert_eq!(book.owner_of("ml", &pod.name, "main"), None);
    // What a list does not have any more is gone too.
    book.fill(Vec::new(), second(1800));
    assert!(book.is_empty() && book.identity(&owner(&uid(2), 'e')).is_some());
    // A pod that is only told of once it is gone (a very short one) has a name too.
    book.remove(bare, second(1900));
    assert!(book.identity(&owner(&uid(1), 'a')).is_some());
}

#[test]
fn a_restarted_container_keeps_the_ids_of_before() {
    let mut book = PodBook::default();
    let mut pod = pods::Pod::running(1, "ml", "a", "main", 'a');
    book.update(both(&pod), Duration::ZERO);
    for digit in ['b', 'c'] {
        pod.containers[0].id = format!("containerd://{}", id(digit));
        book.update(both(&pod), Duration::ZERO);
    }
    for digit in ['a', 'b', 'c'] {
        assert_eq!(
            &*book.identity(&owner(&uid(1), digit)).unwrap().0.container,
            "main"
        );
        assert_eq!(
            book.run(&owner(&uid(1), digit)).unwrap().is_running,
            digit == 'c'
        );
    }
    assert_eq!(book.owner_of("ml", "a", "main"), Some(owner(&uid(1), 'c')));
    // A new pod of the old name.
    book.update(
        both(&pods::Pod::running(2, "ml", "a", "main", 'd')),
        Duration::ZERO,
    );
    assert_eq!(book.owner_of("ml", "a", "main"), Some(owner(&uid(2), 'd')));
}

#[test]
fn a_pod_that_ran_to_its_end_holds_nothing() {
    let mut book = PodBook::default();
    let pod = pods::Pod {
        phase: "Succeeded",
        ..full()
    };
    book.update(both(&pod), Duration::ZERO);
    assert!(book.is_over(&owner(&uid(1), 'a')) && book.is_over(&named("ml", &pod.name, "main")));
    assert!(!book.is_over(&named("ml", "unknown", "main")));
}

#[test]
fn books_are_bounded() {
    let mut book = PodBook::default();
    for number in 0..3000 {
        let pod = pods::Pod::running(number, "ml", &format!("p{number}"), "main", 'a');
        let pod = Pod::from_protobuf(&pod.protobuf(), &[]).unwrap();
        book.update(pod.clone(), Duration::from_millis(number.into()));
        book.remove(pod, Duration::from_millis(number.into()));
    }
    assert!(book.identity(&owner(&uid(2999), 'a')).is_some());
    assert!(book.identity(&owner(&uid(2999 - 1023), 'a')).is_some());
    assert!(book.identity(&owner(&uid(2999 - 1024), 'a')).is_none());
    let long = "ä".repeat(200);
    let long: &'static str = Box::leak(long.into_boxed_str());
    let pod = both(&pods::Pod {
        labels: vec![("team", long)],
        ..full()
    });
    assert_eq!(pod.about.labels[0].1.len(), LONGEST_VALUE);
}

#[test]
fn what_is_no_pod_is_none() {
    for bytes in [
        &b""[..],
        b"{}",
        b"null",
        b"[]",
        b"{\"metadata\":{\"name\":\"a\"}}",
        b"\xff\xff",
        b"{\"metadata\":7}",
    ] {
        assert!(Pod::from_json(bytes, &[]).is_none());
        assert!(Pod::from_protobuf(bytes, &[]).is_none());
    }
}
