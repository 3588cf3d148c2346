//! The pods of this node by the kubelet: its Pods API, `v1alpha1`.
//!
//! Source: `k8s.io/kubelet/pkg/apis/pods/v1alpha1/api.proto` (KEP-4188).

use super::desk::Desk;
use super::pod::Pod;
use super::socket::Socket;
use super::trouble::{self, fault};
use crate::sensor::{Cause, Fault};
use std::path::Path;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

const WATCH: &str = "/v1alpha1.Pods/WatchPods";
const LIST: &str = "/v1alpha1.Pods/ListPods";
/// The longest that the kubelet may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often all pods are asked for. The kubelet drops events for who is slow to take them.
const AGAIN: Duration = Duration::from_secs(60);

#[derive(Clone, PartialEq, prost::Message)]
struct Question {}

#[derive(Clone, PartialEq, prost::Message)]
struct All {
    #[prost(bytes = "vec", repeated, tag = "1")]
    pods: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Event {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(bytes = "vec", tag = "2")]
    pod: Vec<u8>,
}

const ADDED: i32 = 1;
const MODIFIED: i32 = 2;
const DELETED: i32 = 3;

/// Follows the pods until something goes wrong.
pub(super) async fn follow(path: &Path, desk: &mut Desk) -> Fault {
    match hear(path, desk).await {
        Ok(()) => fault(
            path.display().to_string(),
            Cause::Device("the kubelet has ended its stream of pods".to_owned()),
            "nothing, where the kubelet was restarted: it is asked again",
        ),
        Err(fault) => fault,
    }
}

/// All pods now.
pub(super) async fn list(socket: &mut Socket, path: &Path, desk: &mut Desk) -> Result<(), Fault> {
    let place = || path.display().to_string();
    let all = timeout(PATIENCE, socket.ask::<_, All>(LIST, Question {})).await;
    let all = all
        .map_err(|_| trouble::late(place()))?
        .map_err(|status| trouble::status(path, &status))?;
    let pods = all
        .pods
        .iter()
        .filter_map(|pod| Pod::from_protobuf(pod, desk.labels()))
        .collect();
    desk.fill(pods);
    Ok(())
}

async fn hear(path: &Path, desk: &mut Desk) -> Result<(), Fault> {
    let place = || path.display().to_string();
    let mut socket = timeout(PATIENCE, Socket::connect(path))
        .await
        .map_err(|_| trouble::late(place()))??;
    // The watch first, so that no change falls between the two.
    let events = timeout(PATIENCE, socket.watch::<_, Event>(WATCH, Question {})).await;
    let events = events.map_err(|_| trouble::late(place()))?;
    let mut events = events.map_err(|status| trouble::status(path, &status))?;
    loop {
        list(&mut socket, path, desk).await?;
        desk.well();
        let again = Instant::now() + AGAIN;
        while let Ok(event) = timeout_at(again, events.message()).await {
            let Some(event) = event.map_err(|status| trouble::status(path, &status))? else {
                return Ok(());
            };
            let Some(pod) = Pod::from_protobuf(&event.pod, desk.labels()) else {
                continue;
            };
            match event.kind {
                ADDED | MODIFIED => desk.update(pod),
                DELETED => desk.remove(pod),
                // That all are told, or something that is to come.
                _ => {}
            }
        }
    }
}
