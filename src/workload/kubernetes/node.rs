//! Where a node of Kubernetes stands, by its own labels.

use super::api::{Api, Reach};
use super::config::{Config, Wanted};
use super::trouble::{self, fault};
use super::wire;
use crate::sensor::{Cause, Fault};
use kube::core::Request;
use kube::core::params::GetParams;
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::time::timeout;

/// The longest that is waited: the program's start waits for it.
const PATIENCE: Duration = Duration::from_secs(2);
const RULE: &str = "get of nodes (apiGroups: [\"\"], resources: [nodes], verbs: [get])";
/// The label of a node's region (Kubernetes, "Well-Known Labels, Annotations and Taints").
const REGION: &str = "topology.kubernetes.io/region";
const ZONE: &str = "topology.kubernetes.io/zone";

/// What a node says of where it stands; empty where it does not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeLabels {
    /// The node's name.
    pub node: String,
    /// What its cloud calls it, such as `aws:///eu-central-1a/i-0abc`.
    pub provider_id: String,
    /// Its region.
    pub region: String,
    /// Its zone in that.
    pub zone: String,
}

/// Asks the API server for the labels of this machine's node; once, within two seconds. `None` where no API
/// server is to be asked.
#[must_use]
pub fn labels_of_node(config: &Config, host: &str) -> Option<Result<NodeLabels, Fault>> {
    if config.enabled == Wanted::No {
        return None;
    }
    let reach = Reach::of(config)?;
    let node = config.node(host);
    if !node.is_name() {
        return Some(Err(super::names::nobody(config, &node)));
    }
    // On a thread of its own: who asks may be in another runtime, which must not be blocked in.
    let asked = std::thread::scope(|scope| {
        let asks = scope.spawn(|| {
            let runtime = Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| fault("kubernetes", Cause::Io(error), ""))?;
            let asked =
                runtime.block_on(async { timeout(PATIENCE, ask(&reach, &node.name)).await });
            runtime.shutdown_background();
            asked.unwrap_or_else(|_| Err(trouble::late("the API server")))
        });
        asks.join()
    });
    let ended = || {
        Err(fault(
            "kubernetes",
            Cause::Device("asking ended early".to_owned()),
            "",
        ))
    };
    Some(asked.unwrap_or_else(|_| ended()))
}

async fn ask(reach: &Reach, name: &str) -> Result<NodeLabels, Fault> {
    let api = Api::open(reach).await?;
    let request = Request::new("/api/v1/nodes").get(name, &GetParams::default());
    let request =
        request.map_err(|error| api.not_understood(&error.to_string()).fault(api.place()))?;
    let asked = api.ask::<wire::Node>(request, RULE).await;
    let wire::Node { mut metadata, spec } = asked.map_err(|trouble| trouble.fault(api.place()))?;
    let mut label = |name: &str| metadata.labels.remove(name).unwrap_or_default();
    Ok(NodeLabels {
        node: name.to_owned(),
        provider_id: spec.provider_id.unwrap_or_default(),
        region: label(REGION),
        zone: label(ZONE),
    })
}
