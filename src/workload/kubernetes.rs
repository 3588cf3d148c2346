//! Kubernetes: who holds accelerators (the kubelet's pod-resources socket), and what pods are called (the kubelet's
//! Pods API where it has one, else a watch of this node's pods at the API server).

mod api_server;
mod book;
mod grpc;
mod pod;
mod pod_resources;
mod pods_api;
mod wire;

pub use book::PodBook;
pub use pod::{Container, Pod};
pub use pod_resources::{PodResources, device};

use super::Health;
use crate::sensor::{Cause, Fault};
use book::Shelf;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// `workloads.kubernetes`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What Kubernetes calls this node. Unset: `$NODE_NAME`, which the chart sets.
    pub node: Option<String>,
    /// The kubelet's socket of which container holds which device. Mount its directory, not the socket: the kubelet
    /// makes it anew.
    pub pod_resources: PathBuf,
    /// The kubelet's socket of its pods (Kubernetes 1.37; earlier behind a feature gate).
    pub pods_api: PathBuf,
    /// Who is asked for the names of pods where there is no such socket: `auto` (the API server, inside a cluster),
    /// `off`, or its URL.
    pub api_server: ApiServer,
    /// File of a token for an API server that is given by URL.
    pub token_file: Option<PathBuf>,
    /// Certificates (PEM) that an API server given by URL is believed by.
    pub ca_file: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            node: None,
            pod_resources: "/var/lib/kubelet/pod-resources/kubelet.sock".into(),
            pods_api: "/var/lib/kubelet/pods-api/pods-api.sock".into(),
            api_server: ApiServer::Auto,
            token_file: None,
            ca_file: None,
        }
    }
}

/// `workloads.kubernetes.api_server`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum ApiServer {
    /// The cluster's own, by the service account, where there is one.
    #[default]
    Auto,
    /// None.
    Off,
    /// This one.
    Url(String),
}

impl TryFrom<String> for ApiServer {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "auto" => Ok(Self::Auto),
            "off" => Ok(Self::Off),
            url if url.starts_with("https://") || url.starts_with("http://") => Ok(Self::Url(text)),
            _ => Err(format!(
                "{text:?} is no API server: auto, off, or a URL such as https://10.0.0.1:6443"
            )),
        }
    }
}

impl From<ApiServer> for String {
    fn from(server: ApiServer) -> Self {
        match server {
            ApiServer::Auto => "auto".into(),
            ApiServer::Off => "off".into(),
            ApiServer::Url(url) => url,
        }
    }
}

impl Config {
    /// What Kubernetes calls this node, where that is known.
    #[must_use]
    pub fn node_name(&self) -> Option<String> {
        let environment = || std::env::var("NODE_NAME").ok();
        self.node
            .clone()
            .or_else(environment)
            .filter(|name| !name.is_empty())
    }

    /// Who can be asked for the names of pods; an error where somebody should be and cannot.
    fn way(&self) -> Result<Option<Way>, Fault> {
        if self.pods_api.exists() {
            return Ok(Some(Way::PodsApi(self.pods_api.clone())));
        }
        let in_cluster = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
        let url = match &self.api_server {
            ApiServer::Off => return Ok(None),
            ApiServer::Auto if !in_cluster => return Ok(None),
            ApiServer::Auto => None,
            ApiServer::Url(url) => Some(url.clone()),
        };
        let Some(node) = self.node_name() else {
            return Err(Fault {
                place: "workloads.kubernetes.node".into(),
                cause: Cause::Device("nobody says what Kubernetes calls this node".into()),
                mend: "set the variable NODE_NAME from spec.nodeName, or workloads.kubernetes.node: pods of this \
                       node are asked for by it, and until then are called by their UID"
                    .into(),
            });
        };
        Ok(Some(Way::ApiServer(api_server::Target {
            url,
            node,
            token_file: self.token_file.clone(),
            ca_file: self.ca_file.clone(),
        })))
    }
}

/// Who is asked for the names of pods.
#[derive(Clone, Debug)]
enum Way {
    PodsApi(PathBuf),
    ApiServer(api_server::Target),
}

/// What pods are called, kept up to date by a thread of its own. Dropping it ends the thread.
#[derive(Debug)]
pub struct Names {
    source: &'static str,
    shelf: Arc<Shelf>,
    stop: Arc<AtomicBool>,
}

impl Names {
    /// Starts to ask whoever can be asked; `None` where nobody can. `labels` are those of pods that are wanted.
    #[must_use]
    pub fn start(config: &Config, labels: &Arc<[Arc<str>]>) -> Option<Self> {
        let (source, way) = match config.way() {
            Ok(None) => return None,
            Ok(Some(Way::PodsApi(path))) => ("pods-api", Ok(Way::PodsApi(path))),
            Ok(Some(way)) => ("api-server", Ok(way)),
            Err(fault) => ("api-server", Err(fault)),
        };
        let names = Self {
            source,
            shelf: Arc::new(Shelf::new(Arc::clone(labels))),
            stop: Arc::default(),
        };
        match way {
            Ok(way) => {
                let (shelf, stop) = (Arc::clone(&names.shelf), Arc::clone(&names.stop));
                let asks = move || ask(&way, &shelf, &stop);
                if let Err(error) = thread::Builder::new().name("pod names".into()).spawn(asks) {
                    names
                        .shelf
                        .fail(Some(fault("pod names", error.to_string(), "")));
                }
            }
            Err(fault) => names.shelf.fail(Some(fault)),
        }
        Some(names)
    }

    /// All pods that are known now.
    #[must_use]
    pub fn book(&self) -> Arc<PodBook> {
        self.shelf.book()
    }

    /// How it is.
    #[must_use]
    pub fn health(&self) -> Health {
        Health {
            source: self.source,
            faults: self.shelf.fault().into_iter().collect(),
        }
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// How often it is looked whether the asking is to end.
const HEED: Duration = Duration::from_millis(500);

/// Asks until it is told to stop; whoever is asked is asked again when the answer ends.
fn ask(way: &Way, shelf: &Shelf, stop: &AtomicBool) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return shelf.fail(Some(fault("pod names", error.to_string(), ""))),
    };
    runtime.block_on(async {
        let told = async {
            while !stop.load(Ordering::Relaxed) {
                tokio::time::sleep(HEED).await;
            }
        };
        let asking = async {
            match way {
                Way::PodsApi(path) => pods_api::follow(path, shelf).await,
                Way::ApiServer(target) => api_server::follow(target, shelf).await,
            }
        };
        tokio::select! {
            () = told => {}
            () = asking => {}
        }
    });
}

fn fault(place: &str, what: String, mend: &str) -> Fault {
    Fault {
        place: place.to_owned(),
        cause: Cause::Device(what),
        mend: mend.to_owned(),
    }
}

/// A value that threads share; a panic of one of them does not matter to it.
#[derive(Debug, Default)]
struct Shared<T>(Mutex<T>);

impl<T: Clone> Shared<T> {
    fn get(&self) -> T {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
    fn set(&self, value: T) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = value;
    }
}

#[cfg(test)]
mod tests;
