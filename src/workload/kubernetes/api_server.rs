//! A watch of this node's pods at the API server. Bookmarks, an expired version (410 Gone), disconnects and ever longer
//! pauses between attempts are the watcher's of the crate kube.

use super::book::{PodBook, Shelf};
use super::fault;
use super::pod::{Pod, Told};
use crate::sensor::Fault;
use futures_util::StreamExt;
use k8s_openapi::api::core::v1 as core;
use kube::config::AuthInfo;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// Who is asked for what.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// `None`: the cluster's own, by the service account.
    pub url: Option<String>,
    pub node: String,
    pub token_file: Option<PathBuf>,
    pub ca_file: Option<PathBuf>,
}

/// So long it is waited before a new connection is tried where there can be none.
const AGAIN: Duration = Duration::from_secs(10);

/// Pods in one page of the first answer.
const PAGE: u32 = 500;

/// Follows the node's pods for ever.
pub(super) async fn follow(target: &Target, shelf: &Shelf) {
    loop {
        match client(target).await {
            Ok(client) => watch(client, target, shelf).await,
            Err(fault) => shelf.fail(Some(fault)),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn client(target: &Target) -> Result<Client, Fault> {
    let failed = |what: String| {
        fault(
            &place(target),
            what,
            "mount the service account's token, or give token_file",
        )
    };
    let config = match &target.url {
        None => kube::Config::incluster().map_err(|error| failed(error.to_string()))?,
        Some(url) => {
            let url = url
                .parse()
                .map_err(|_| failed(format!("{url} is no URL")))?;
            let mut config = kube::Config::new(url);
            // The crate reads the file anew when the token in it has been replaced.
            config.auth_info = AuthInfo {
                token_file: target
                    .token_file
                    .as_ref()
                    .map(|path| path.display().to_string()),
                ..AuthInfo::default()
            };
            if let Some(path) = &target.ca_file {
                config.root_cert = Some(certificates(path).map_err(failed)?);
            }
            config
        }
    };
    Client::try_from(config).map_err(|error| failed(error.to_string()))
}

fn certificates(path: &std::path::Path) -> Result<Vec<Vec<u8>>, String> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    let text =
        crate::file::read(path, 1 << 20).map_err(|error| format!("{}: {error}", path.display()))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(found
        .into_iter()
        .map(|certificate| certificate.to_vec())
        .collect())
}

fn place(target: &Target) -> String {
    target
        .url
        .clone()
        .unwrap_or_else(|| "the cluster's API server".into())
}

async fn watch(client: Client, target: &Target, shelf: &Shelf) {
    let pods: Api<core::Pod> = Api::all(client);
    let wanted = watcher::Config::default()
        .fields(&format!("spec.nodeName={}", target.node))
        .page_size(PAGE);
    let mut events = pin!(watcher(pods, wanted).default_backoff());
    let mut book = PodBook::clone(&shelf.book());
    let mut told: Vec<Arc<str>> = Vec::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => told.clear(),
            Ok(Event::InitApply(pod)) => {
                if let Some(pod) = read(&pod, &shelf.labels) {
                    told.push(Arc::clone(&pod.uid));
                    book.add(pod);
                }
                continue;
            }
            Ok(Event::InitDone) => book.keep(&told),
            Ok(Event::Apply(pod)) => {
                if let Some(pod) = read(&pod, &shelf.labels) {
                    book.add(pod);
                }
            }
            Ok(Event::Delete(pod)) => book.lose(pod.metadata.uid.as_deref().unwrap_or_default()),
            Err(error) => {
                shelf.fail(Some(refused(target, &error)));
                continue;
            }
        }
        if book.complete {
            shelf.put(&book);
            shelf.fail(None);
        }
    }
}

fn refused(target: &Target, error: &watcher::Error) -> Fault {
    let what = error.to_string();
    let is_denied = [" 403", "Forbidden", "forbidden"]
        .iter()
        .any(|word| what.contains(word));
    let is_unknown = [" 401", "Unauthorized"]
        .iter()
        .any(|word| what.contains(word));
    let mend = if is_denied {
        "let the service account read pods: a ClusterRole with apiGroups [\"\"], resources [pods], verbs [get, list, \
         watch], bound to it; until then pods are called by their UID"
    } else if is_unknown {
        "the token is not accepted: mount the service account's, or give a good one"
    } else {
        "look whether the API server can be reached from this pod (NetworkPolicy); it is asked again"
    };
    fault(&place(target), what.chars().take(300).collect(), mend)
}

/// A pod as far as it matters.
fn read(pod: &core::Pod, wanted: &[Arc<str>]) -> Option<Pod> {
    let metadata = &pod.metadata;
    let (spec, status) = (pod.spec.as_ref(), pod.status.as_ref());
    let mut owners = metadata.owner_references.iter().flatten();
    let owner = owners.find(|owner| owner.controller == Some(true));
    let text = |map: &'_ Option<std::collections::BTreeMap<String, String>>, key: &str| {
        map.as_ref().and_then(|map| map.get(key)).cloned()
    };
    let mirror = text(&metadata.annotations, "kubernetes.io/config.mirror");
    let containers = spec.map(|spec| {
        spec.containers
            .iter()
            .chain(spec.init_containers.iter().flatten())
    });
    let asked = containers.into_iter().flatten().map(|container| {
        let requests = container
            .resources
            .as_ref()
            .and_then(|resources| resources.requests.as_ref());
        let cpus = requests.and_then(|requests| requests.get("cpu"));
        (container.name.as_str(), cpus.map(|cpus| cpus.0.as_str()))
    });
    let started = status.into_iter().flat_map(|status| {
        let all = [
            &status.container_statuses,
            &status.init_container_statuses,
            &status.ephemeral_container_statuses,
        ];
        all.into_iter().flatten().flatten()
    });
    let told = Told {
        uid: metadata.uid.as_deref()?,
        namespace: metadata.namespace.as_deref().unwrap_or(""),
        name: metadata.name.as_deref()?,
        labels: metadata
            .labels
            .iter()
            .flatten()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect(),
        mirror: mirror.as_deref(),
        owner: owner.map(|owner| (owner.kind.as_str(), owner.name.as_str())),
        asked: asked.collect(),
        started: started
            .map(|found| {
                (
                    found.name.as_str(),
                    found.container_id.as_deref().unwrap_or(""),
                )
            })
            .collect(),
    };
    Some(Pod::of(&told, wanted))
}
