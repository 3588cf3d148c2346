use super::super::api::Reach;
use super::*;

fn parsed(text: &str) -> Result<Config, String> {
    serde_yaml::from_str(text).map_err(|error| error.to_string())
}

#[test]
fn switches_and_addresses_are_read_and_written() {
    let config = parsed("{api_server: 'https://10.0.0.1:6443', node: n1}").unwrap();
    assert_eq!(config.enabled, Wanted::Auto);
    assert_eq!(parsed("{}").unwrap(), Config::default());
    assert_eq!(
        parsed("{api_server: off}").unwrap().api_server,
        ApiServer::Off
    );
    assert_eq!(
        parsed("{api_server: false}").unwrap().api_server,
        ApiServer::Off
    );
    let written = serde_yaml::to_string(&config).unwrap();
    assert_eq!(parsed(&written).unwrap(), config);
}

#[test]
fn what_cannot_be_meant_is_refused_with_what_to_write() {
    for (text, says) in [
        // That is said by workloads.source.
        ("{enabled: true}", "unknown field"),
        (
            "{api_server: kube}",
            "write auto, off, or https://host:6443",
        ),
        (
            "{api_server: 'https://user:hunter2@host'}",
            "write auto, off",
        ),
        ("{api_server: true}", "auto, off"),
        ("{pod_resource: /x}", "pod_resources"),
        ("{node: a b}", "kubectl get nodes"),
    ] {
        let error = parsed(text).unwrap_err();
        assert!(
            error.contains(says) && !error.contains("hunter2"),
            "{text}: {error}"
        );
    }
}

#[test]
fn a_node_is_called_as_configured_or_as_the_machine() {
    let config = Config {
        node: Some(node("Node-A")),
        ..Config::default()
    };
    let node = config.node("machine");
    assert_eq!((node.name.as_str(), node.is_guess), ("node-a", false));
    // The environment of a test may have NODE_NAME.
    if std::env::var_os("NODE_NAME").is_none() {
        let node = Config::default().node("Machine.example");
        assert_eq!(
            (node.name.as_str(), node.is_guess),
            ("machine.example", true)
        );
    }
    for name in [
        "",
        "a b",
        "a,spec.nodeName!=b",
        "a=b",
        "..",
        "a/b",
        &"a".repeat(254),
    ] {
        assert!(NodeName::try_from(name.to_owned()).is_err(), "{name}");
        if std::env::var_os("NODE_NAME").is_none() {
            assert!(!Config::default().node(name).is_name(), "{name}");
        }
    }
}

#[test]
fn the_clusters_own_server_is_found_where_there_is_a_service_account() {
    let bench = Bench::new();
    let mut config = Config {
        api_server: ApiServer::Auto,
        ..bench.config.clone()
    };
    let cluster = |host: &'static str| {
        move |name: &str| match name {
            "KUBERNETES_SERVICE_HOST" => Some(host.to_owned()),
            "KUBERNETES_SERVICE_PORT" => Some("443".to_owned()),
            "KUBECONFIG" => Some("/nowhere/kubeconfig".to_owned()),
            _ => None,
        }
    };
    let nothing = |_: &str| None;
    let kubeconfig = Some(Reach::Kubeconfig("/nowhere/kubeconfig".into()));
    assert_eq!(Reach::with(&config, nothing), None);
    assert_eq!(Reach::with(&config, cluster("10.0.0.1")), kubeconfig);
    std::fs::create_dir(&config.service_account).unwrap();
    let at = |url: &str| Some(Reach::Url(url.to_owned(), config.service_account.clone()));
    assert_eq!(
        Reach::with(&config, cluster("10.0.0.1")),
        at("https://10.0.0.1:443")
    );
    assert_eq!(
        Reach::with(&config, cluster("fd00::1")),
        at("https://[fd00::1]:443")
    );
    assert_eq!(
        Reach::with(&config, nothing),
        at("https://kubernetes.default.svc")
    );
    config.kubeconfig = Some("/nowhere/kubeconfig".into());
    assert_eq!(Reach::with(&config, cluster("10.0.0.1")), kubeconfig);
    config.api_server = ApiServer::Off;
    assert_eq!(Reach::with(&config, cluster("10.0.0.1")), None);
}
