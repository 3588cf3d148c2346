use super::*;
use replica::kubelet::{Kubelet, Manner};
use replica::pods::{Pod, uid};
use replica::server::Server;
use tonic::Code;

#[test]
fn the_kubelet_tells_of_pods_as_they_come_and_go() {
    let bench = Bench::new();
    let kubelet = Kubelet::start(&bench.config.pods_api);
    let a = Pod {
        labels: vec![("team", "vision")],
        ..Pod::running(1, "ml", "a", "main", 'a')
    };
    kubelet.put(&a);
    let names = bench.names();
    assert_eq!(
        called(&names, &owner(&uid(1), 'a')),
        identity("ml", "a", "main")
    );
    let about = names.book().identity(&owner(&uid(1), 'a')).unwrap().1;
    assert_eq!(about.labels, vec![("team".into(), "vision".into())]);
    assert_eq!(names.health().source, "pods-api");
    kubelet.put(&Pod::running(2, "ml", "b", "main", 'b'));
    called(&names, &owner(&uid(2), 'b'));
    kubelet.remove(&a);
    until("a is gone", || {
        names.book().is_gone(&owner(&uid(1), 'a')).then_some(())
    });
    assert_eq!(
        called(&names, &owner(&uid(1), 'a')),
        identity("ml", "a", "main")
    );
    assert!(names.health().faults.is_empty());
}

#[test]
fn a_kubelet_that_restarts_is_followed_again() {
    let bench = Bench::new();
    let kubelet = Kubelet::start(&bench.config.pods_api);
    let a = Pod::running(1, "ml", "a", "main", 'a');
    kubelet.put(&a);
    let names = bench.names();
    called(&names, &owner(&uid(1), 'a'));
    // What is missed meanwhile is told by the next list.
    let kubelet = kubelet.restart();
    kubelet.remove(&a);
    kubelet.put(&Pod::running(2, "ml", "b", "main", 'b'));
    called(&names, &owner(&uid(2), 'b'));
    until("a is gone", || {
        names.book().is_gone(&owner(&uid(1), 'a')).then_some(())
    });
    kubelet.cut();
    kubelet.put(&Pod::running(3, "ml", "c", "main", 'c'));
    called(&names, &owner(&uid(3), 'c'));
    until("all is well", || {
        names.health().faults.is_empty().then_some(())
    });
}

#[test]
fn where_the_kubelet_does_not_have_it_the_api_server_is_asked() {
    let server = Server::start();
    server.put(&Pod::running(1, "ml", "a", "main", 'a'));
    let bench = Bench::asking(&server);
    let kubelet = Kubelet::start(&bench.config.pods_api);
    kubelet.behave(Manner::Fails(Code::Unimplemented));
    let names = bench.names();
    called(&names, &owner(&uid(1), 'a'));
    // The names are in the book a moment before it is said where they come from.
    until("the API server is said to be asked", || {
        let health = names.health();
        (health.source == "api-server" && health.faults.is_empty()).then_some(())
    });
}

#[test]
fn what_is_wrong_with_the_socket_is_told() {
    let bench = Bench::new();
    let kubelet = Kubelet::start(&bench.config.pods_api);
    kubelet.behave(Manner::Fails(Code::FailedPrecondition));
    let names = bench.names();
    let fault = until("a fault", || names.health().faults.first().cloned());
    assert!(fault.to_string().contains("not ready"), "{fault}");
    kubelet.behave(Manner::Well);
    kubelet.put(&Pod::running(1, "ml", "a", "main", 'a'));
    called(&names, &owner(&uid(1), 'a'));
    until("all is well", || {
        names.health().faults.is_empty().then_some(())
    });
}

#[test]
fn nothing_is_asked_where_nothing_is_found_and_a_must_is_missed() {
    let mut bench = Bench::new();
    let names = bench.names();
    assert!(names.health().faults.is_empty() && !names.book().is_filled());
    bench.config.enabled = Wanted::Yes;
    let names = bench.names();
    let fault = until("a fault", || names.health().faults.first().cloned());
    assert!(
        fault.mend.contains("Pods API") && fault.mend.contains("list and watch"),
        "{}",
        fault.mend
    );
}

#[test]
fn the_thread_ends_with_what_it_was_made_for() {
    let bench = Bench::new();
    let kubelet = Kubelet::start(&bench.config.pods_api);
    kubelet.put(&Pod::running(1, "ml", "a", "main", 'a'));
    let names = bench.names();
    called(&names, &owner(&uid(1), 'a'));
    let left = names.watchers();
    drop(names);
    until("the thread is gone", || {
        (left.strong_count() == 0).then_some(())
    });
}

#[test]
fn the_doctor_says_what_is_there_and_what_is_lost() {
    let bench = Bench::new();
    let findings = look(&bench.config, "machine");
    assert_eq!(findings.len(), 1);
    assert_eq!(find(&findings, "kubernetes").state, Presence::Absent);

    let resources = Kubelet::start(&bench.config.pod_resources);
    let findings = look(&bench.config, "machine");
    assert_eq!(find(&findings, "pod-resources").state, Presence::Found);
    let names = find(&findings, "pods");
    assert_eq!(names.state, Presence::Unreadable);
    assert!(names.mend.contains("without either, pods have no names"));

    let pods = Kubelet::start(&bench.config.pods_api);
    pods.put(&Pod::running(1, "ml", "a", "main", 'a'));
    drop(resources);
    let findings = look(&bench.config, "machine");
    let lost = find(&findings, "pod-resources");
    assert_eq!(lost.state, Presence::Absent);
    assert!(lost.mend.contains("not the socket"), "{}", lost.mend);
    let found = find(&findings, "pods-api");
    assert_eq!(found.state, Presence::Found);
    assert!(found.detail.contains("1 pods"), "{}", found.detail);
    // A socket that nobody listens at.
    drop(pods);
    drop(std::os::unix::net::UnixListener::bind(&bench.config.pods_api).unwrap());
    let findings = look(&bench.config, "machine");
    assert_eq!(find(&findings, "pods-api").state, Presence::Unreadable);
}
