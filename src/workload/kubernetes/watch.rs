//! The pods of one node by the API server: a list, and then a watch of what changes.
//!
//! Source: Kubernetes, "Kubernetes API Concepts" (efficient detection of changes, watch bookmarks, 410 Gone
//! responses, retrieving large result sets in chunks).

use super::api::{Api, Lines, Trouble};
use super::desk::Desk;
use super::pod::Pod;
use super::trouble;
use super::wire;
use kube::core::Request;
use kube::core::params::{ListParams, WatchParams};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

const PODS: &str = "/api/v1/pods";
/// What a role must allow.
pub(super) const RULE: &str =
    "get, list and watch of pods (apiGroups: [\"\"], resources: [pods], verbs: [get, list, watch])";
/// How long a watch is asked for, in seconds; the server ends it then. The library allows less than 295.
const WATCH: u32 = 290;
/// The longest silence of a watch: longer than it was asked for.
const SILENCE: Duration = Duration::from_secs(310);
/// Pods on a page of a list.
const PAGE: u32 = 250;
/// Most pages of a list.
const PAGES: usize = 32;
/// The least time between two watches, where the server ends each at once.
const PAUSE: Duration = Duration::from_secs(1);

/// Follows the pods of a node until something goes wrong; what goes wrong in between (an expired watch, a
/// server that is restarted) is mended by going on or listing again.
pub(super) async fn follow(api: &Api, node: &str, desk: &mut Desk) -> Trouble {
    // From the server's cache, as kubelets list: it costs etcd nothing.
    let mut from = Some("0");
    loop {
        let version = match list(api, node, from, desk).await {
            Ok(version) => version,
            // In pages, where it is too large for one piece.
            Err(Trouble::Gone | Trouble::Large(_)) if from.is_some() => {
                from = None;
                continue;
            }
            Err(trouble) => return trouble,
        };
        match go_on(api, node, version, desk).await {
            Trouble::Gone => {
                from = None;
                sleep(PAUSE).await;
            }
            trouble => return trouble,
        }
    }
}

/// All pods of the node now; gives the version that a watch goes on from.
pub(super) async fn list(
    api: &Api,
    node: &str,
    from: Option<&str>,
    desk: &mut Desk,
) -> Result<String, Trouble> {
    let params = ListParams::default().fields(&format!("spec.nodeName={node}"));
    let params = match from {
        // A cache answers in one piece.
        Some(version) => params.at(version),
        None => params.limit(PAGE),
    };
    let mut page = params.clone();
    let mut pods = Vec::new();
    for _ in 0..PAGES {
        let request = Request::new(PODS)
            .list(&page)
            .map_err(|error| api.not_understood(&error.to_string()))?;
        let answer: wire::List<wire::Pod> = api.ask(request, RULE).await?;
        let read = answer
            .items
            .into_iter()
            .flatten()
            .filter_map(|pod| Pod::of(pod, desk.labels()));
        pods.extend(read);
        match answer.metadata.next.filter(|next| !next.is_empty()) {
            Some(next) => page = params.clone().continue_token(&next),
            None => {
                desk.fill(pods);
                return Ok(answer.metadata.resource_version);
            }
        }
    }
    Err(api.not_understood("a list of pods without an end"))
}

/// Watches from a version on, again and again.
async fn go_on(api: &Api, node: &str, mut version: String, desk: &mut Desk) -> Trouble {
    let params = WatchParams::default()
        .fields(&format!("spec.nodeName={node}"))
        .timeout(WATCH);
    loop {
        let begun = Instant::now();
        let request = match Request::new(PODS).watch(&params, &version) {
            Ok(request) => request,
            Err(error) => return api.not_understood(&error.to_string()),
        };
        let mut lines = match api.lines(request, RULE).await {
            Ok(lines) => lines,
            Err(trouble) => return trouble,
        };
        desk.well();
        if let Err(trouble) = hear(api, &mut lines, &mut version, desk).await {
            return trouble;
        }
        if begun.elapsed() < PAUSE {
            sleep(PAUSE).await;
        }
    }
}

/// Takes in events until the watch ends.
async fn hear(
    api: &Api,
    lines: &mut Lines,
    version: &mut String,
    desk: &mut Desk,
) -> Result<(), Trouble> {
    loop {
        let line = timeout(SILENCE, lines.next()).await;
        let line = line.map_err(|_| Trouble::Fault(trouble::late(api.place()), None))?;
        let Some(line) = line.map_err(|reason| api.not_understood(&reason))? else {
            return Ok(());
        };
        let odd = |error: serde_json::Error| api.not_understood(&error.to_string());
        let kind: wire::Kind = serde_json::from_slice(&line).map_err(odd)?;
        if kind.kind == "ERROR" {
            let told: wire::Event<wire::Refusal> = serde_json::from_slice(&line).map_err(odd)?;
            let wire::Refusal {
                message,
                reason,
                code,
            } = told.object;
            // `Expired` is what the reason says of 410.
            if code == Some(410) || reason.as_deref() == Some("Expired") {
                return Err(Trouble::Gone);
            }
            return Err(api.not_understood(&message.or(reason).unwrap_or_default()));
        }
        let event: wire::Event<wire::Pod> = serde_json::from_slice(&line).map_err(odd)?;
        if let Some(told) = event
            .object
            .metadata
            .as_ref()
            .map(|metadata| &metadata.resource_version)
            && !told.is_empty()
        {
            version.clone_from(told);
        }
        let pod = Pod::of(event.object, desk.labels());
        match (kind.kind.as_str(), pod) {
            ("ADDED" | "MODIFIED", Some(pod)) => desk.update(pod),
            ("DELETED", Some(pod)) => desk.remove(pod),
            // A bookmark, or something that is to come.
            _ => {}
        }
    }
}
