//! The kubelet's Pods API (KEP-4188, `v1alpha1`): this node's pods as the kubelet knows them, without the API server.

use super::book::{PodBook, Shelf};
use super::pod::{Pod, Told};
use super::wire::{self, Empty, SpecContainer, WatchPodsEvent};
use super::{fault, grpc};
use crate::sensor::Fault;
use prost::Message;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tonic::codegen::http::uri::PathAndQuery;
use tonic_prost::ProstCodec;

/// So long it is waited before the kubelet is asked again.
const AGAIN: Duration = Duration::from_secs(5);

/// Follows the kubelet's pods for ever.
pub(super) async fn follow(socket: &Path, shelf: &Shelf) {
    loop {
        let ended = watch(socket, shelf).await.err();
        let ended = ended.or_else(|| {
            let what = "the kubelet ended its answer".to_owned();
            Some(fault(
                &socket.display().to_string(),
                what,
                "it is asked again",
            ))
        });
        shelf.fail(ended);
        tokio::time::sleep(AGAIN).await;
    }
}

async fn watch(socket: &Path, shelf: &Shelf) -> Result<(), Fault> {
    let channel = grpc::connect(socket).await?;
    let mut client = tonic::client::Grpc::new(channel).max_decoding_message_size(grpc::LARGEST);
    let ready = client.ready().await;
    ready.map_err(|error| fault(&socket.display().to_string(), error.to_string(), ""))?;
    let codec: ProstCodec<Empty, WatchPodsEvent> = ProstCodec::default();
    let path = PathAndQuery::from_static("/v1alpha1.Pods/WatchPods");
    let answer = client
        .server_streaming(tonic::Request::new(Empty {}), path, codec)
        .await;
    let mut events = answer
        .map_err(|status| grpc::answered(socket, &status))?
        .into_inner();
    let mut book = PodBook::clone(&shelf.book());
    book.complete = false;
    let mut told: Vec<Arc<str>> = Vec::new();
    while let Some(event) = events
        .message()
        .await
        .map_err(|status| grpc::answered(socket, &status))?
    {
        if event.kind == 4 {
            book.keep(&told);
            shelf.fail(None);
        } else if let Some(pod) = decode(&event.pod, &shelf.labels) {
            if event.kind == 3 {
                book.lose(&pod.uid);
            } else {
                if !book.complete {
                    told.push(Arc::clone(&pod.uid));
                }
                book.add(pod);
            }
        }
        if book.complete {
            shelf.put(&book);
        }
    }
    Ok(())
}

/// A pod from its message; `None` for one that is none.
pub(super) fn decode(bytes: &[u8], wanted: &[Arc<str>]) -> Option<Pod> {
    let pod = wire::Pod::decode(bytes).ok()?;
    let metadata = pod.metadata?;
    let (spec, status) = (pod.spec.unwrap_or_default(), pod.status.unwrap_or_default());
    let owner = metadata
        .owner_references
        .iter()
        .find(|owner| owner.controller);
    let cpus = |container: &SpecContainer| {
        let requests = container
            .resources
            .as_ref()
            .map(|resources| &resources.requests);
        requests
            .and_then(|requests| requests.get("cpu"))
            .map(|cpus| cpus.string.clone())
    };
    let asked: Vec<(&str, Option<String>)> = spec
        .containers
        .iter()
        .chain(&spec.init_containers)
        .map(|container| (container.name.as_str(), cpus(container)))
        .collect();
    let started = status
        .containers
        .iter()
        .chain(&status.init_containers)
        .chain(&status.ephemeral_containers);
    let told = Told {
        uid: &metadata.uid,
        namespace: &metadata.namespace,
        name: &metadata.name,
        labels: metadata
            .labels
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect(),
        mirror: metadata
            .annotations
            .get("kubernetes.io/config.mirror")
            .map(String::as_str),
        owner: owner.map(|owner| (owner.kind.as_str(), owner.name.as_str())),
        asked: asked
            .iter()
            .map(|(name, cpus)| (*name, cpus.as_deref()))
            .collect(),
        started: started
            .map(|found| (found.name.as_str(), found.container_id.as_str()))
            .collect(),
    };
    (!told.uid.is_empty()).then(|| Pod::of(&told, wanted))
}
