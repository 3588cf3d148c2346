//! `workloads.kubernetes`.

use crate::grid::provider::own::Url;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// `workloads.kubernetes`: who has which accelerator is told by the kubelet's pod-resources socket; what
/// pods are called, by the kubelet's Pods API where it has one, else by the API server.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether pods are asked for at all, by `workloads.source`.
    #[serde(skip)]
    pub enabled: Wanted,
    /// The node's name in Kubernetes. Unset: the variable `NODE_NAME` of the environment, which a chart
    /// sets from `spec.nodeName`; without it the machine's name in small letters.
    pub node: Option<NodeName>,
    /// The kubelet's socket that tells which container has which device. In a container, mount its
    /// directory and not the socket, which is made anew with every start of the kubelet.
    pub pod_resources: PathBuf,
    /// The kubelet's socket that tells of the pods themselves (Kubernetes 1.36 and newer, where it is
    /// switched on). The directory is to be mounted, as above.
    pub pods_api: PathBuf,
    /// The API server, which is asked for this node's pods where the kubelet tells none: `auto` (the
    /// cluster's own, where there is a service account; else that of `kubeconfig`), `off`, or a URL.
    pub api_server: ApiServer,
    /// Directory of the service account: `token`, which is read again when it changes, and `ca.crt`.
    pub service_account: PathBuf,
    /// A kubeconfig, for a program that runs outside of a pod; its current context is used. Unset: the
    /// environment's `KUBECONFIG`.
    pub kubeconfig: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: Wanted::Auto,
            node: None,
            pod_resources: "/var/lib/kubelet/pod-resources/kubelet.sock".into(),
            pods_api: "/var/lib/kubelet/pods-api/pods-api.sock".into(),
            api_server: ApiServer::Auto,
            service_account: "/var/run/secrets/kubernetes.io/serviceaccount".into(),
            kubeconfig: None,
        }
    }
}

/// Where the Pods API's socket was in its first versions.
pub(super) const PODS_API_ALPHA: &str = "/var/lib/kubelet/pods/kubelet.sock";

/// Variable of the environment that holds the node's name.
pub(super) const NODE_NAME: &str = "NODE_NAME";

/// Whether something is at a path, or may be: who cannot look is to be told so, and not that nothing is there.
pub(super) fn is_there(path: &Path) -> bool {
    !matches!(path.try_exists(), Ok(false))
}

/// A node's name that a person wrote.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct NodeName(String);

impl TryFrom<String> for NodeName {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        if is_name(&text.to_lowercase()) {
            return Ok(Self(text));
        }
        Err(format!(
            "{text:?} is no name of a node: write it as kubectl get nodes does"
        ))
    }
}

impl From<NodeName> for String {
    fn from(name: NodeName) -> Self {
        name.0
    }
}

/// Whether a text can be a node's name (RFC 1123's subdomains), so that it can be no more of a query.
fn is_name(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
    (1..=253).contains(&text.len()) && text.chars().all(is_part) && text.starts_with(|c| c != '.')
}

/// What the node is called in Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The name; empty where nobody knows.
    pub name: String,
    /// Where it is from, for people.
    pub from: &'static str,
    /// Whether it is only the machine's name, which need not be the node's.
    pub is_guess: bool,
}

impl Config {
    /// What the node is called, on a machine of this name.
    #[must_use]
    pub fn node(&self, host: &str) -> Node {
        let told = std::env::var(NODE_NAME).unwrap_or_default();
        let (name, from, is_guess) = match (&self.node, told.trim()) {
            (Some(name), _) => (name.0.as_str(), "workloads.kubernetes.node", false),
            (None, "") => (host, "the machine's name", true),
            (None, name) => (name, NODE_NAME, false),
        };
        Node {
            // Names of nodes are in small letters (RFC 1123), and the kubelet makes a machine's so.
            name: name.trim().to_lowercase(),
            from,
            is_guess,
        }
    }

    /// Where the Pods API's socket is: where it is configured, or where its first versions had it.
    pub(super) fn pods_socket(&self) -> Option<PathBuf> {
        let usual = self.pods_api == Self::default().pods_api;
        let alpha = usual.then(|| PathBuf::from(PODS_API_ALPHA));
        let all = [Some(self.pods_api.clone()), alpha];
        all.into_iter().flatten().find(|path| is_there(path))
    }
}

impl Node {
    /// Whether it can be a node's name.
    #[must_use]
    pub fn is_name(&self) -> bool {
        is_name(&self.name)
    }
}

/// Whether pods are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    /// Where a socket or a service account is found.
    #[default]
    Auto,
    /// It is a fault where none is.
    Yes,
    /// Not at all.
    No,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged)]
enum Word {
    Switch(bool),
    Text(String),
}

/// Which API server is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "Word", into = "String")]
#[schemars(with = "String")]
pub enum ApiServer {
    /// The cluster's own, or that of a kubeconfig.
    #[default]
    Auto,
    /// None.
    Off,
    /// The one at this address.
    At(Url),
}

impl TryFrom<Word> for ApiServer {
    type Error = String;
    fn try_from(word: Word) -> Result<Self, String> {
        match word {
            // `off` is a switch to some who read YAML.
            Word::Switch(false) => Ok(Self::Off),
            Word::Switch(true) => Err("true is none of auto, off, or a URL".to_owned()),
            Word::Text(text) if text == "auto" => Ok(Self::Auto),
            Word::Text(text) if text == "off" => Ok(Self::Off),
            Word::Text(text) => Url::try_from(text)
                .map(Self::At)
                .map_err(|reason| format!("{reason}; write auto, off, or https://host:6443")),
        }
    }
}

impl From<ApiServer> for String {
    fn from(server: ApiServer) -> Self {
        match server {
            ApiServer::Auto => "auto".to_owned(),
            ApiServer::Off => "off".to_owned(),
            ApiServer::At(url) => url.into(),
        }
    }
}
