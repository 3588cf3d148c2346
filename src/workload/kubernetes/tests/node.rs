use super::*;
use replica::server::Server;
use serde_json::json;

#[test]
fn a_node_tells_where_it_stands() {
    let server = Server::start();
    let labels = json!({"topology.kubernetes.io/region": "eu-central-1", "topology.kubernetes.io/zone": "eu-central-1a"});
    server.node("node-a", labels, "aws:///eu-central-1a/i-0abc");
    let mut bench = Bench::asking(&server);
    let told = labels_of_node(&bench.config, "machine").unwrap().unwrap();
    assert_eq!(
        (told.region.as_str(), told.zone.as_str()),
        ("eu-central-1", "eu-central-1a")
    );
    assert_eq!(told.provider_id, "aws:///eu-central-1a/i-0abc");
    server.refuse("/nodes", 403, "");
    let fault = labels_of_node(&bench.config, "machine")
        .unwrap()
        .unwrap_err();
    assert!(
        fault.mend.contains("resources: [nodes], verbs: [get]"),
        "{}",
        fault.mend
    );
    server.refuse_no_more();
    bench.config.node = Some(node("node-b"));
    assert!(labels_of_node(&bench.config, "machine").unwrap().is_err());
    if std::env::var_os("NODE_NAME").is_none() {
        bench.config.node = None;
        assert!(
            labels_of_node(&bench.config, "a/../../secrets")
                .unwrap()
                .is_err()
        );
    }
    let asked = server.asked().len();
    bench.config.api_server = ApiServer::Off;
    assert!(labels_of_node(&bench.config, "machine").is_none());
    bench.config.api_server = ApiServer::At(server.url().try_into().unwrap());
    bench.config.enabled = Wanted::No;
    assert!(labels_of_node(&bench.config, "machine").is_none());
    assert_eq!(server.asked().len(), asked);
}

#[test]
fn a_server_that_is_silent_is_waited_for_two_seconds() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut bench = Bench::new();
    let url = format!("http://{}", silent.local_addr().unwrap());
    bench.config.api_server = ApiServer::At(url.try_into().unwrap());
    let begun = Instant::now();
    let fault = labels_of_node(&bench.config, "machine")
        .unwrap()
        .unwrap_err();
    assert_eq!(fault.reason(), "timeout");
    assert!(begun.elapsed() < Duration::from_secs(15));
}
