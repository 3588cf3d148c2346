//! Against replicas of a kubelet and of an API server.

use super::replica;
use super::*;
use crate::sensor::Presence;
use crate::workload::{Identity, Manager, Owner};
use std::sync::Arc;
use std::time::{Duration, Instant};

mod book;
mod config;
mod devices;
mod node;
mod pod_resources;
mod server;
mod stream;

/// Longer than anything here takes, also on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(30);

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A directory for sockets and files, and a configuration that finds nothing outside of it.
struct Bench {
    folder: tempfile::TempDir,
    config: Config,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = Config {
            enabled: Wanted::Auto,
            node: Some(node("node-a")),
            pod_resources: folder.path().join("resources.sock"),
            pods_api: folder.path().join("pods.sock"),
            api_server: ApiServer::Off,
            service_account: folder.path().join("account"),
            kubeconfig: None,
        };
        Self { folder, config }
    }

    fn asking(server: &replica::server::Server) -> Self {
        let mut bench = Self::new();
        bench.config.api_server = ApiServer::At(server.url().try_into().unwrap());
        bench
    }

    fn names(&self) -> Names {
        let labels: Vec<Arc<str>> = ["team", "phase"].map(Arc::from).to_vec();
        start(&self.config, "machine", &labels).unwrap()
    }
}

fn node(name: &str) -> NodeName {
    name.to_owned().try_into().unwrap()
}

fn owner(uid: &str, digit: char) -> Owner {
    Owner::Pod {
        uid: uid.into(),
        container: replica::pods::id(digit).into(),
    }
}

fn named(namespace: &str, pod: &str, container: &str) -> Owner {
    Owner::Named {
        namespace: namespace.into(),
        pod: pod.into(),
        container: container.into(),
    }
}

fn identity(namespace: &str, name: &str, container: &str) -> Identity {
    Identity {
        manager: Manager::Pod,
        namespace: namespace.into(),
        name: name.into(),
        container: container.into(),
    }
}

/// What an owner is called in the book, as soon as it is in there.
fn called(names: &Names, owner: &Owner) -> Identity {
    until("the pod is known", || names.book().identity(owner)).0
}

fn find<'a>(findings: &'a [crate::sensor::Finding], subject: &str) -> &'a crate::sensor::Finding {
    let found = findings.iter().find(|finding| finding.subject == subject);
    found.unwrap_or_else(|| panic!("nothing of {subject} in {findings:?}"))
}
