//! What `doctor` says of Kubernetes.

use super::api::{Api, Reach};
use super::config::{Config, Node, Wanted, is_there};
use super::desk::{Desk, Shared};
use super::names::{self, Source};
use super::resources::PodResources;
use super::socket::Socket;
use super::{stream, watch};
use crate::sensor::{Fault, Finding, Presence};
use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::time::timeout;

/// The longest that one source is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// Looks once at everything that tells of pods, on a machine of this name: what is there, what is missing
/// and what is lost without it. Not to be asked from within an async runtime.
#[must_use]
pub fn look(config: &Config, host: &str) -> Vec<Finding> {
    if config.enabled == Wanted::No {
        return Vec::new();
    }
    let node = config.node(host);
    let sources = names::sources(config, &node);
    let kubelet = is_there(&config.pod_resources);
    let server = Reach::of(config);
    if config.enabled == Wanted::Auto && !kubelet && sources.is_empty() && server.is_none() {
        let detail = format!(
            "no kubelet's socket at {}, and no service account: pods are not looked for",
            config.pod_resources.display()
        );
        return vec![finding("kubernetes", Presence::Absent, detail, "")];
    }
    let mut all = vec![of_node(&node), of_devices(config, host, kubelet)];
    if sources.is_empty() {
        all.push(bad("pods", &names::nobody(config, &node)));
    }
    for source in sources {
        all.push(of_source(source, &node));
    }
    all
}

fn finding(subject: &str, state: Presence, detail: String, mend: &str) -> Finding {
    Finding {
        subject: subject.to_owned(),
        state,
        detail,
        mend: mend.to_owned(),
    }
}

fn bad(subject: &str, fault: &Fault) -> Finding {
    finding(
        subject,
        Presence::Unreadable,
        fault.to_string(),
        &fault.mend,
    )
}

fn of_node(node: &Node) -> Finding {
    if !node.is_name() {
        let detail = format!("{:?} (from {}) is no name of a node", node.name, node.from);
        let mend = "set NODE_NAME from spec.nodeName (valueFrom.fieldRef), or workloads.kubernetes.node; without \
                    it the API server is not asked";
        return finding("node", Presence::Unreadable, detail, mend);
    }
    finding(
        "node",
        Presence::Found,
        format!("{} (from {})", node.name, node.from),
        "",
    )
}

fn of_devices(config: &Config, host: &str, is_there: bool) -> Finding {
    const SUBJECT: &str = "pod-resources";
    let path = config.pod_resources.display();
    if !is_there {
        let folder = config
            .pod_resources
            .parent()
            .unwrap_or(Path::new("/"))
            .display();
        let detail =
            format!("no socket at {path}: GPUs are not given to the pods that reserve them");
        let mend = format!(
            "mount the host's directory {folder} (not the socket), read-only, at the same place"
        );
        return finding(SUBJECT, Presence::Absent, detail, &mend);
    }
    let mut asked = match PodResources::new(config, host) {
        Ok(Some(asked)) => asked,
        Ok(None) => return finding(SUBJECT, Presence::Absent, "switched off".to_owned(), ""),
        Err(error) => return finding(SUBJECT, Presence::Unreadable, error.to_string(), ""),
    };
    match asked.list() {
        Ok(held) => {
            if let Some(fault) = asked.health().faults.first() {
                return bad(SUBJECT, fault);
            }
            let owners: HashSet<_> = held.iter().map(|hold| &hold.owner).collect();
            let devices: HashSet<_> = held.iter().map(|hold| &hold.device).collect();
            let detail = format!(
                "{path}: {} containers have {} accelerators",
                owners.len(),
                devices.len()
            );
            finding(SUBJECT, Presence::Found, detail, "")
        }
        Err(fault) => bad(SUBJECT, &fault),
    }
}

fn of_source(source: Source, node: &Node) -> Finding {
    let subject = match &source {
        Source::Kubelet(_) => "pods-api",
        Source::Server(_) => "api-server",
    };
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return finding(subject, Presence::Unreadable, error.to_string(), ""),
    };
    let shared = Shared::default();
    let mut desk = Desk::new(shared.clone(), Vec::new());
    let asked = runtime.block_on(async {
        let (place, asked) = match &source {
            Source::Kubelet(path) => {
                let ask = async {
                    let mut socket = Socket::connect(path).await?;
                    stream::list(&mut socket, path, &mut desk).await
                };
                (path.display().to_string(), timeout(PATIENCE, ask).await)
            }
            Source::Server(reach) => {
                let api = Api::open(reach).await?;
                let place = api.place().to_owned();
                let ask = async {
                    let listed = watch::list(&api, &node.name, Some("0"), &mut desk).await;
                    listed
                        .map(drop)
                        .map_err(|trouble| trouble.fault(api.place()))
                };
                (place, timeout(PATIENCE, ask).await)
            }
        };
        match asked {
            Ok(told) => told.map(|()| place),
            Err(_) => Err(super::trouble::late(place)),
        }
    });
    runtime.shutdown_background();
    let pods = shared.known().book.len();
    match asked {
        Ok(_) if pods == 0 && subject == "api-server" && node.is_guess => {
            match names::lonely(node) {
                Some(fault) => bad(subject, &fault),
                None => finding(subject, Presence::Found, "no pods".to_owned(), ""),
            }
        }
        Ok(place) => finding(
            subject,
            Presence::Found,
            format!("{place}: {pods} pods on this node"),
            "",
        ),
        Err(fault) => {
            let mend = format!("{}; without it pods have no names", fault.mend);
            finding(subject, Presence::Unreadable, fault.to_string(), &mend)
        }
    }
}
