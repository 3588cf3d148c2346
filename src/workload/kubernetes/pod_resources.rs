//! The kubelet's pod-resources service, version 1 (stable since Kubernetes 1.28): which container holds which device.

use super::wire::{ClaimResource, ContainerResources, Empty, ListPodResources};
use super::{fault, grpc};
use crate::sensor::Fault;
use crate::workload::{DeviceName, Hold, Owner};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::runtime::Runtime;
use tonic::codegen::http::uri::PathAndQuery;
use tonic_prost::ProstCodec;

/// Longest time for an answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Most holds on a node that are believed.
const MOST: usize = 10_000;

/// The driver of dynamic resource allocation whose devices are NVIDIA's GPUs.
const DRA: &str = "gpu.nvidia.com";

/// The service, asked when it is due.
#[derive(Debug)]
pub struct PodResources {
    socket: PathBuf,
    runtime: Runtime,
}

impl PodResources {
    /// The service behind a socket.
    ///
    /// # Errors
    /// Where the system gives no means to ask.
    pub fn new(socket: &Path) -> Result<Self, Fault> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.map_err(|error| fault("pod-resources", error.to_string(), ""))?;
        Ok(Self {
            socket: socket.to_owned(),
            runtime,
        })
    }

    /// Who holds which accelerator now.
    ///
    /// # Errors
    /// Where the kubelet does not answer within two seconds.
    pub fn list(&mut self) -> Result<Vec<Hold>, Fault> {
        let asked = async { tokio::time::timeout(PATIENCE, ask(&self.socket)).await };
        let answer = self.runtime.block_on(asked);
        let answer = answer.unwrap_or_else(|_| {
            let what = format!("the kubelet does not answer within {PATIENCE:?}");
            let place = self.socket.display().to_string();
            Err(fault(
                &place,
                what,
                "look at the kubelet's log; it is asked again",
            ))
        })?;
        Ok(holds(answer))
    }
}

async fn ask(socket: &Path) -> Result<ListPodResources, Fault> {
    let channel = grpc::connect(socket).await?;
    let mut client = tonic::client::Grpc::new(channel).max_decoding_message_size(grpc::LARGEST);
    let ready = client.ready().await;
    ready.map_err(|error| fault(&socket.display().to_string(), error.to_string(), ""))?;
    let codec: ProstCodec<Empty, ListPodResources> = ProstCodec::default();
    let path = PathAndQuery::from_static("/v1.PodResourcesLister/List");
    let answer = client
        .unary(tonic::Request::new(Empty {}), path, codec)
        .await;
    answer
        .map(tonic::Response::into_inner)
        .map_err(|status| grpc::answered(socket, &status))
}

/// The accelerators among all that containers hold.
fn holds(answer: ListPodResources) -> Vec<Hold> {
    let mut holds = Vec::new();
    for pod in answer.pod_resources {
        for container in pod.containers {
            let owner = Owner::Named {
                namespace: pod.namespace.as_str().into(),
                pod: pod.name.as_str().into(),
                container: container.name.as_str().into(),
            };
            let mut devices = devices(&container);
            devices.sort();
            // A container with several shares of one GPU holds it once.
            devices.dedup();
            holds.extend(devices.into_iter().map(|device| Hold {
                owner: owner.clone(),
                device,
                since: None,
                until: None,
            }));
        }
    }
    holds.truncate(MOST);
    holds
}

fn devices(container: &ContainerResources) -> Vec<DeviceName> {
    let plugins = container.devices.iter().flat_map(|devices| {
        let ids = devices.device_ids.iter();
        ids.filter_map(|id| device(&devices.resource_name, id))
    });
    let claims = container
        .dynamic_resources
        .iter()
        .flat_map(|resource| &resource.claim_resources);
    plugins.chain(claims.filter_map(claimed)).collect()
}

/// The accelerator that a device plugin means by a resource and an id; `None` for what is none.
///
/// NVIDIA's plugin gives UUIDs, with `::N` for shares of one (time-slicing, MPS); that of GKE gives `nvidiaN`, with
/// `/giN` for an instance and `/vgpuN` for a share; that of AMD gives places on the PCI bus.
#[must_use]
pub fn device(resource: &str, id: &str) -> Option<DeviceName> {
    let (vendor, _) = resource.split_once('/')?;
    let id = id.split("::").next().unwrap_or(id);
    match vendor {
        "nvidia.com" => nvidia(id),
        "amd.com" => pci(id).map(DeviceName::Pci),
        "gpu.intel.com" => None,
        _ => None,
    }
}

fn nvidia(id: &str) -> Option<DeviceName> {
    if is_uuid(id) {
        return Some(DeviceName::Uuid(id.into()));
    }
    let mut parts = id.split('/');
    let minor = parts.next()?.strip_prefix("nvidia")?.parse().ok()?;
    let instance = parts.next().and_then(|part| part.strip_prefix("gi"));
    Some(match instance.map(str::parse) {
        Some(Ok(gpu_instance)) => DeviceName::Instance {
            minor,
            gpu_instance,
        },
        Some(Err(_)) => return None,
        None => DeviceName::Minor(minor),
    })
}

fn is_uuid(id: &str) -> bool {
    let rest = id.strip_prefix("GPU-").or_else(|| id.strip_prefix("MIG-"));
    let is_fine = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '/';
    rest.is_some_and(|rest| !rest.is_empty() && id.len() <= 96 && rest.chars().all(is_fine))
}

/// `0000:3b:00.0`
fn pci(id: &str) -> Option<std::sync::Arc<str>> {
    let lengths: Vec<usize> = id.split([':', '.']).map(str::len).collect();
    let is_hex = id
        .split([':', '.'])
        .all(|part| part.bytes().all(|byte| byte.is_ascii_hexdigit()));
    (lengths == [4, 2, 2, 1] && is_hex).then(|| id.to_ascii_lowercase().into())
}

/// The accelerator of a claim of dynamic resource allocation. Its own name means something only to the driver
/// (`gpu-0`); the CDI device that the runtime is told may carry the UUID, or else the driver's number.
fn claimed(claim: &ClaimResource) -> Option<DeviceName> {
    if claim.driver_name != DRA {
        return None;
    }
    let by_uuid = claim.cdi_devices.iter().find_map(|device| {
        let name = device.name.rsplit(['=', '/']).next()?;
        let from = name.find("GPU-").or_else(|| name.find("MIG-"))?;
        let uuid = name.get(from..)?;
        is_uuid(uuid).then(|| DeviceName::Uuid(uuid.into()))
    });
    let by_number = || {
        let number = claim.device_name.strip_prefix("gpu-")?;
        number.parse().ok().map(DeviceName::Minor)
    };
    by_uuid.or_else(by_number)
}
