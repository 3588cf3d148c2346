use super::*;
use replica::pods::{Pod, uid};
use replica::server::{Ending, Server};

fn pod(number: u32, digit: char) -> Pod {
    Pod::running(number, "ml", &format!("p{number}"), "main", digit)
}

fn lists(server: &Server) -> usize {
    let asked = server.asked();
    asked
        .iter()
        .filter(|target| target.contains("/pods") && !target.contains("watch=true"))
        .count()
}

fn watches(server: &Server) -> Vec<String> {
    server
        .asked()
        .into_iter()
        .filter(|target| target.contains("watch=true"))
        .collect()
}

#[test]
fn the_api_server_tells_of_this_nodes_pods_alone() {
    let server = Server::start();
    server.put(&pod(1, 'a'));
    let bench = Bench::asking(&server);
    let names = bench.names();
    assert_eq!(
        called(&names, &owner(&uid(1), 'a')),
        identity("ml", "p1", "main")
    );
    server.put(&pod(2, 'b'));
    called(&names, &owner(&uid(2), 'b'));
    server.remove(&pod(1, 'a'));
    until("p1 is gone", || {
        names.book().is_gone(&owner(&uid(1), 'a')).then_some(())
    });
    assert_eq!(names.health().source, "api-server");
    assert!(names.health().faults.is_empty());
    for target in server.asked() {
        assert!(
            target.contains("fieldSelector=spec.nodeName%3Dnode-a"),
            "{target}"
        );
    }
    assert!(
        server.asked()[0].contains("resourceVersion=0"),
        "{:?}",
        server.asked()
    );
    let watch = &watches(&server)[0];
    assert!(
        watch.contains("allowWatchBookmarks=true") && watch.contains("resourceVersion=101"),
        "{watch}"
    );
}

#[test]
fn a_watch_that_ends_goes_on_from_where_it_was() {
    let server = Server::start();
    server.put(&pod(1, 'a'));
    let bench = Bench::asking(&server);
    let names = bench.names();
    called(&names, &owner(&uid(1), 'a'));
    until("it watches", || watches(&server).first().cloned());
    for (number, ending) in [(2, Ending::Well), (3, Ending::Cut)] {
        // A bookmark: the next watch goes on from there, 50 versions later.
        server.bookmark();
        let before = watches(&server).len();
        server.end(ending);
        until("it watches again", || {
            (watches(&server).len() > before).then_some(())
        });
        server.put(&pod(number, 'b'));
        called(&names, &owner(&uid(number), 'b'));
    }
    assert_eq!(lists(&server), 1, "{:?}", server.asked());
    let from: Vec<bool> = ["=101", "=151", "=202"]
        .iter()
        .zip(watches(&server))
        .map(|(version, watch)| watch.contains(&format!("resourceVersion{version}")))
        .collect();
    assert_eq!(from, [true; 3], "{:?}", watches(&server));
    assert!(names.health().faults.is_empty());
    // The half of an event before the cut was none.
    assert_eq!(names.book().len(), 3);
}

#[test]
fn what_is_forgotten_is_listed_anew() {
    let server = Server::start();
    let (a, b) = (pod(1, 'a'), pod(2, 'b'));
    server.put(&a);
    server.put(&b);
    let bench = Bench::asking(&server);
    let names = bench.names();
    called(&names, &owner(&uid(2), 'b'));
    // Within the stream, and as the answer to a watch.
    server.lose(&a);
    server.compact();
    server.end(Ending::Gone);
    until("a is gone", || {
        names.book().is_gone(&owner(&uid(1), 'a')).then_some(())
    });
    until("it watches again", || {
        (watches(&server).len() > 1).then_some(())
    });
    server.lose(&b);
    server.compact();
    server.end(Ending::Well);
    until("b is gone", || {
        names.book().is_gone(&owner(&uid(2), 'b')).then_some(())
    });
    server.put(&pod(3, 'c'));
    called(&names, &owner(&uid(3), 'c'));
    until("all is well", || {
        names.health().faults.is_empty().then_some(())
    });
    // The cache is what was too old, so it is not asked again.
    let asked = server.asked();
    let again: Vec<&String> = asked
        .iter()
        .filter(|target| !target.contains("watch=true"))
        .skip(1)
        .collect();
    assert!(
        !again.is_empty()
            && again
                .iter()
                .all(|target| !target.contains("resourceVersion")),
        "{again:?}"
    );
}

#[test]
fn a_long_list_comes_in_pages() {
    let server = Server::start();
    server.paged(3);
    for number in 1..=8 {
        server.put(&pod(number, 'a'));
    }
    let bench = Bench::asking(&server);
    let names = bench.names();
    // From the cache in one piece, and without it in pages.
    until("all are known", || (names.book().len() == 8).then_some(()));
    assert_eq!(lists(&server), 1);
    server.lose(&pod(1, 'a'));
    server.compact();
    server.end(Ending::Gone);
    until("one is gone", || (names.book().len() == 7).then_some(()));
    assert_eq!(lists(&server), 4);
}

#[test]
fn who_may_not_is_told_which_rule_to_add() {
    let server = Server::start();
    server.put(&pod(1, 'a'));
    server.refuse("/pods", 403, "");
    let bench = Bench::asking(&server);
    let names = bench.names();
    let fault = until("a fault", || names.health().faults.first().cloned());
    assert_eq!(fault.reason(), "permission");
    assert!(
        fault
            .mend
            .contains("resources: [pods], verbs: [get, list, watch]"),
        "{}",
        fault.mend
    );
    assert!(
        fault.place.contains("system:serviceaccount"),
        "{}",
        fault.place
    );
    let findings = look(&bench.config, "machine");
    let found = find(&findings, "api-server");
    assert_eq!(found.state, Presence::Unreadable);
    assert!(
        found.mend.contains("verbs") && found.mend.contains("no names"),
        "{}",
        found.mend
    );
    server.refuse_no_more();
    called(&names, &owner(&uid(1), 'a'));
    until("all is well", || {
        names.health().faults.is_empty().then_some(())
    });
    assert!(
        find(&look(&bench.config, "machine"), "api-server")
            .detail
            .contains("1 pods")
    );
}

#[test]
fn a_server_in_trouble_is_asked_again_later() {
    let server = Server::start();
    server.put(&pod(1, 'a'));
    server.refuse("/pods", 503, "");
    let bench = Bench::asking(&server);
    let names = bench.names();
    until("it was asked twice", || (lists(&server) > 1).then_some(()));
    assert_eq!(names.health().faults.len(), 1);
    server.refuse_no_more();
    called(&names, &owner(&uid(1), 'a'));
    // What was known stays known while the server is away.
    server.refuse("/pods", 500, "");
    server.end(Ending::Cut);
    until("a fault", || names.health().faults.first().cloned());
    assert_eq!(
        called(&names, &owner(&uid(1), 'a')),
        identity("ml", "p1", "main")
    );
}

#[test]
fn a_token_is_shown_to_the_server_and_to_nobody_else() {
    let server = Server::start();
    server.put(&pod(1, 'a'));
    server.want_token("hunter2-new");
    let bench = Bench::asking(&server);
    let account = &bench.config.service_account;
    std::fs::create_dir(account).unwrap();
    std::fs::write(account.join("token"), "hunter2-old").unwrap();
    let names = bench.names();
    let fault = until("a fault", || names.health().faults.first().cloned());
    assert_eq!(fault.reason(), "permission");
    assert!(
        fault.mend.contains("automountServiceAccountToken"),
        "{}",
        fault.mend
    );
    assert!(!format!("{fault:?} {names:?}").contains("hunter2"));
    // Not in the clear over a network.
    let mut abroad = bench.config.clone();
    abroad.api_server = ApiServer::At("http://192.0.2.1:6443".to_owned().try_into().unwrap());
    let findings = look(&abroad, "machine");
    assert!(find(&findings, "api-server").mend.contains("https://"));
    // Rotated, as the kubelet does it.
    std::fs::write(account.join("token.new"), "hunter2-new").unwrap();
    std::fs::rename(account.join("token.new"), account.join("token")).unwrap();
    called(&names, &owner(&uid(1), 'a'));
}

#[test]
fn a_kubeconfig_leads_to_the_server_too() {
    let server = Server::start();
    server.put(&pod(1, 'a'));
    server.want_token("hunter2");
    let mut bench = Bench::new();
    let path = bench.folder.path().join("kubeconfig");
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
         contexts: [{{name: c, context: {{cluster: k, user: u}}}}]\n\
         clusters: [{{name: k, cluster: {{server: '{}'}}}}]\n\
         users: [{{name: u, user: {{token: hunter2}}}}]\n",
        server.url()
    );
    std::fs::write(&path, text).unwrap();
    bench.config.api_server = ApiServer::Auto;
    bench.config.kubeconfig = Some(path.clone());
    called(&bench.names(), &owner(&uid(1), 'a'));
    std::fs::write(&path, "token: hunter2: [").unwrap();
    let names = bench.names();
    let fault = until("a fault", || names.health().faults.first().cloned());
    assert!(!format!("{fault:?}").contains("hunter2"), "{fault:?}");
}

#[test]
fn a_node_without_pods_is_odd_where_its_name_is_a_guess() {
    let server = Server::start();
    let mut bench = Bench::asking(&server);
    let names = bench.names();
    until("it watches", || watches(&server).first().cloned());
    until("it is filled", || names.book().is_filled().then_some(()));
    assert!(names.health().faults.is_empty());
    if std::env::var_os("NODE_NAME").is_none() {
        bench.config.node = None;
        let names = bench.names();
        let fault = until("a fault", || names.health().faults.first().cloned());
        assert!(fault.mend.contains("NODE_NAME"), "{}", fault.mend);
        assert_eq!(
            find(&look(&bench.config, "machine"), "api-server").state,
            Presence::Unreadable
        );
    }
}

#[test]
fn a_certificate_must_be_of_the_clusters_authority() {
    let server = Server::start();
    server.put(&pod(1, 'a'));
    server.want_token("hunter2");
    let (tls, other) = (
        replica::tls::Front::of(server.address),
        replica::tls::Front::of(server.address),
    );
    let mut bench = Bench::new();
    bench.config.api_server = ApiServer::At(tls.url().try_into().unwrap());
    let account = &bench.config.service_account;
    std::fs::create_dir(account).unwrap();
    std::fs::write(account.join("token"), "hunter2").unwrap();
    std::fs::write(account.join("ca.crt"), &other.authority).unwrap();
    let names = bench.names();
    let fault = until("a fault", || names.health().faults.first().cloned());
    assert!(fault.mend.contains("ca.crt"), "{fault}: {}", fault.mend);
    assert_eq!(server.asked(), [""; 0]);
    std::fs::write(account.join("ca.crt"), &tls.authority).unwrap();
    assert_eq!(
        called(&names, &owner(&uid(1), 'a')),
        identity("ml", "p1", "main")
    );
}
