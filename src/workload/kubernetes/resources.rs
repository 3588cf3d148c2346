//! Which container has which accelerator: the kubelet's pod-resources API, v1 `List`.
//!
//! Source: `k8s.io/kubelet/pkg/apis/podresources/v1/api.proto`. The API tells no UID of a pod.

use super::claims::{Claim, Claims};
use super::config::{Config, Wanted, is_there};
use super::devices;
use super::socket::Socket;
use super::trouble;
use crate::clock;
use crate::sensor::Fault;
use crate::workload::{Health, Hold, Owner};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tonic::Code;

/// The longest that one look takes.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long an answer stands in where the kubelet asks to be left alone for now.
const STANDS_IN: Duration = Duration::from_secs(60);
/// Most devices that are looked at: more than any node has, shared a hundredfold.
const MOST: usize = 8192;

const LIST: &str = "/v1.PodResourcesLister/List";

#[derive(Clone, PartialEq, prost::Message)]
struct Question {}

#[derive(Clone, PartialEq, prost::Message)]
struct Answer {
    #[prost(message, repeated, tag = "1")]
    pods: Vec<Pod>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Pod {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    namespace: String,
    #[prost(message, repeated, tag = "3")]
    containers: Vec<Container>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Container {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    devices: Vec<Devices>,
    #[prost(message, repeated, tag = "5")]
    claims: Vec<Dynamic>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Devices {
    #[prost(string, tag = "1")]
    resource: String,
    #[prost(string, repeated, tag = "2")]
    ids: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Dynamic {
    #[prost(message, repeated, tag = "4")]
    resources: Vec<Claimed>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Claimed {
    #[prost(message, repeated, tag = "1")]
    cdi: Vec<Cdi>,
    #[prost(string, tag = "2")]
    driver: String,
    #[prost(string, tag = "3")]
    pool: String,
    #[prost(string, tag = "4")]
    device: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Cdi {
    #[prost(string, tag = "1")]
    name: String,
}

/// Asks the kubelet who has which accelerator. It has no thread of its own: who asks waits, two seconds at
/// the longest.
#[derive(Debug)]
pub struct PodResources {
    path: PathBuf,
    wanted: Wanted,
    runtime: Runtime,
    claims: Claims,
    /// The last answer, and when (time since boot); `None` before the first.
    last: Option<(Duration, Vec<Hold>)>,
    faults: Vec<Fault>,
}

impl PodResources {
    /// Prepares to ask on a machine of this name; nothing is asked yet. `None` where it is switched off.
    ///
    /// # Errors
    /// Where the system gives no runtime.
    pub fn new(config: &Config, host: &str) -> std::io::Result<Option<Self>> {
        if config.enabled == Wanted::No {
            return Ok(None);
        }
        Ok(Some(Self {
            path: config.pod_resources.clone(),
            wanted: config.enabled,
            runtime: Builder::new_current_thread().enable_all().build()?,
            claims: Claims::new(config, host),
            last: None,
            faults: Vec::new(),
        }))
    }

    /// Who has what now (not to be asked from within an async runtime): one entry for each container and device, so that a device that several share is
    /// in several. None where there has never been a kubelet's socket.
    ///
    /// # Errors
    /// Where the kubelet cannot be asked or does not answer: what it said before may hold still.
    pub fn list(&mut self) -> Result<Vec<Hold>, Fault> {
        self.faults.clear();
        let expected = self.last.is_some() || self.wanted == Wanted::Yes;
        if !expected && !is_there(&self.path) {
            return Ok(Vec::new());
        }
        let now = clock::now().boot;
        let (path, claims, faults) = (&self.path, &mut self.claims, &mut self.faults);
        let asked = self.runtime.block_on(async {
            let look = async {
                let mut socket = Socket::connect(path).await?;
                let answer = socket.ask::<_, Answer>(LIST, Question {}).await;
                Ok(answer.map(holds))
            };
            let (mut held, claimed) = match timeout(PATIENCE, look).await {
                Err(_) => return Err(trouble::late(path.display().to_string())),
                Ok(Err(fault)) => return Err(fault),
                Ok(Ok(Err(status))) if status.code() == Code::ResourceExhausted => return Ok(None),
                Ok(Ok(Err(status))) => return Err(trouble::status(path, &status)),
                Ok(Ok(Ok(both))) => both,
            };
            held.extend(claims.resolve(claimed, now, faults).await);
            Ok(Some(held))
        });
        let asked = asked.inspect_err(|fault| self.faults.push(fault.clone()))?;
        match (asked, &self.last) {
            (Some(held), _) => {
                self.last = Some((now, held.clone()));
                Ok(held)
            }
            (None, Some((at, held))) if now.saturating_sub(*at) <= STANDS_IN => Ok(held.clone()),
            (None, _) => {
                let status = tonic::Status::resource_exhausted("it asks to be left alone for now");
                let fault = trouble::status(&self.path, &status);
                self.faults.push(fault.clone());
                Err(fault)
            }
        }
    }

    /// How the last look went; what it could not understand of an answer is here too.
    #[must_use]
    pub fn health(&self) -> Health {
        Health {
            source: "pod-resources",
            faults: self.faults.clone(),
        }
    }
}

/// What device plugins gave, and what was claimed of drivers.
fn holds(answer: Answer) -> (Vec<Hold>, Vec<Claim>) {
    let (mut held, mut claimed) = (Vec::new(), Vec::new());
    for pod in answer.pods {
        let (namespace, name): (Arc<str>, Arc<str>) = (pod.namespace.into(), pod.name.into());
        for container in pod.containers {
            let owner = Owner::Named {
                namespace: Arc::clone(&namespace),
                pod: Arc::clone(&name),
                container: container.name.into(),
            };
            let first = held.len();
            for devices in &container.devices {
                for id in devices.ids.iter().take(MOST - held.len().min(MOST)) {
                    if let Some(device) = devices::device(&devices.resource, id) {
                        let hold = hold(&owner, device);
                        // Two shares of one GPU are one GPU.
                        if !held.iter().skip(first).any(|held| *held == hold) {
                            held.push(hold);
                        }
                    }
                }
            }
            for resource in container
                .claims
                .into_iter()
                .flat_map(|claim| claim.resources)
            {
                if claimed.len() < MOST {
                    claimed.push(Claim {
                        owner: owner.clone(),
                        cdi: resource.cdi.into_iter().map(|cdi| cdi.name).collect(),
                        driver: resource.driver,
                        pool: resource.pool,
                        device: resource.device,
                    });
                }
            }
        }
    }
    (held, claimed)
}

pub(super) fn hold(owner: &Owner, device: crate::workload::DeviceName) -> Hold {
    Hold {
        owner: owner.clone(),
        device,
        since: None,
        until: None,
    }
}
