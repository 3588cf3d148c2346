//! An API server, as far as pods, nodes and resource slices go: HTTP/1.1, lists in pages, watches in chunks,
//! bookmarks, versions that are forgotten (410 Gone, as a status and as an event), watches that end, and
//! connections that break within an event.

use super::pods::Pod;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;

#[derive(Default)]
struct State {
    version: u64,
    /// Versions below are forgotten.
    oldest: u64,
    pods: BTreeMap<String, (Pod, u64)>,
    /// Version, and the event's line.
    events: Vec<(u64, String)>,
    nodes: BTreeMap<String, Value>,
    /// Path of a list, and its items.
    lists: BTreeMap<String, Vec<Value>>,
    /// Part of a path, and how it is answered in place of what is asked.
    refused: Vec<(String, u16, String)>,
    token: Option<String>,
    page: usize,
    asked: Vec<String>,
    /// Raised to end the watches of before: how they end.
    round: u64,
    ending: Ending,
}

/// How a watch ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ending {
    /// As one whose time is over.
    #[default]
    Well,
    /// In the middle of an event.
    Cut,
    /// With an event that says 410.
    Gone,
}

/// A replica of an API server.
#[derive(Clone)]
pub struct Server {
    pub address: SocketAddr,
    state: Arc<(Mutex<State>, Condvar)>,
}

impl Server {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            state: Arc::default(),
        };
        server.state().version = 100;
        let served = server.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let served = served.clone();
                thread::spawn(move || served.serve(stream));
            }
        });
        server
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.0.lock().unwrap()
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.state());
        self.state.1.notify_all();
        changed
    }

    /// Adds or changes a pod.
    pub fn put(&self, pod: &Pod) {
        self.change(|state| {
            state.version += 1;
            let version = state.version;
            let known = state
                .pods
                .insert(pod.uid.clone(), (pod.clone(), version))
                .is_some();
            state.event(if known { "MODIFIED" } else { "ADDED" }, pod.json(version));
        });
    }

    pub fn remove(&self, pod: &Pod) {
        self.change(|state| {
            state.version += 1;
            state.pods.remove(&pod.uid);
            let version = state.version;
            state.event("DELETED", pod.json(version));
        });
    }

    /// Other things of the cluster change, and a bookmark tells how far it is.
    pub fn bookmark(&self) {
        self.change(|state| {
            state.version += 50;
            let metadata =
                json!({"resourceVersion": state.version.to_string(), "creationTimestamp": null});
            let bare = json!({"kind": "Pod", "apiVersion": "v1", "metadata": metadata,
                "spec": {"containers": null}, "status": {}});
            state.event("BOOKMARK", bare);
        });
    }

    /// Forgets all versions before this one.
    pub fn compact(&self) {
        self.change(|state| {
            state.version += 1;
            state.oldest = state.version;
            state.events.clear();
        });
    }

    /// Removes a pod without an event that anybody will see.
    pub fn lose(&self, pod: &Pod) {
        self.change(|state| state.pods.remove(&pod.uid));
    }

    /// Ends all watches.
    pub fn end(&self, ending: Ending) {
        self.change(|state| {
            state.round += 1;
            state.ending = ending;
        });
    }

    /// Answers paths with this part with a status, and headers if any.
    pub fn refuse(&self, part: &str, status: u16, headers: &str) {
        self.change(|state| {
            state
                .refused
                .push((part.to_owned(), status, headers.to_owned()))
        });
    }

    pub fn refuse_no_more(&self) {
        self.change(|state| state.refused.clear());
    }

    /// Only who has this token is answered.
    pub fn want_token(&self, token: &str) {
        self.change(|state| state.token = Some(token.to_owned()));
    }

    /// At most so many pods on a page, whatever is asked for.
    pub fn paged(&self, page: usize) {
        self.change(|state| state.page = page);
    }

    pub fn node(&self, name: &str, labels: Value, provider_id: &str) {
        let node = json!({"kind": "Node", "apiVersion": "v1", "metadata": {"name": name, "labels": labels},
            "spec": {"providerID": provider_id}});
        self.change(|state| state.nodes.insert(name.to_owned(), node));
    }

    /// What a list of something else has.
    pub fn list(&self, path: &str, items: Vec<Value>) {
        self.change(|state| state.lists.insert(path.to_owned(), items));
    }

    /// Methods and targets of all requests so far.
    pub fn asked(&self) -> Vec<String> {
        self.state().asked.clone()
    }

    fn serve(&self, stream: TcpStream) {
        let mut to = stream.try_clone().unwrap();
        let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
        loop {
            let head: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
            let Some(first) = head.first() else {
                return;
            };
            let target = first.split(' ').nth(1).unwrap_or_default().to_owned();
            let (path, query) = target.split_once('?').unwrap_or((&target, ""));
            let query: BTreeMap<&str, &str> = query
                .split('&')
                .filter_map(|pair| pair.split_once('='))
                .collect();
            // Together: a watch that a test has seen begin is one that it can end.
            let (refused, round) = {
                let mut state = self.state();
                state.asked.push(target.clone());
                (state.refusal(&target, &head), state.round)
            };
            if let Some((status, headers)) = refused {
                let reason = if status == 410 { "Expired" } else { "Failure" };
                let body = json!({"kind": "Status", "status": "Failure", "code": status, "reason": reason,
                    "message": format!("pods is forbidden: User \"system:serviceaccount:m:g\" cannot {path}")});
                page(&mut to, status, &headers, &body);
            } else if query.get("watch") == Some(&"true") {
                self.watch(
                    &mut to,
                    round,
                    query.get("resourceVersion").copied().unwrap_or("0"),
                );
                return;
            } else {
                let (status, body) = self.state().answer(path, &query);
                page(&mut to, status, "", &body);
            }
        }
    }

    fn watch(&self, to: &mut TcpStream, begun: u64, from: &str) {
        let mut from: u64 = from.parse().unwrap();
        let oldest = self.state().oldest;
        if from < oldest && from != 0 {
            let body = json!({"kind": "Status", "code": 410, "reason": "Expired"});
            return page(to, 410, "", &body);
        }
        let _ = write!(
            to,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\n"
        );
        loop {
            let (fresh, ending) = {
                let state = self.state();
                let idle = |state: &mut State| {
                    state.round == begun && !state.events.iter().any(|(version, _)| *version > from)
                };
                let state = self.state.1.wait_while(state, idle).unwrap();
                let fresh = state.events.iter().filter(|(version, _)| *version > from);
                let fresh: Vec<(u64, String)> = fresh.cloned().collect();
                (fresh, (state.round != begun).then_some(state.ending))
            };
            for (version, line) in fresh {
                from = version;
                // In two pieces, as a network may deliver it.
                let (a, b) = line.split_at(line.len() / 2);
                if chunk(to, a).and_then(|()| chunk(to, b)).is_err() {
                    return;
                }
            }
            match ending {
                None => {}
                Some(Ending::Well) => {
                    let _ = to.write_all(b"0\r\n\r\n");
                    return;
                }
                Some(Ending::Cut) => {
                    let _ = chunk(to, "{\"type\":\"DELETED\",\"object\":{\"metadata\":{");
                    return;
                }
                Some(Ending::Gone) => {
                    let gone = json!({"type": "ERROR", "object": {"kind": "Status", "status": "Failure",
                        "message": "too old resource version", "reason": "Expired", "code": 410}});
                    let _ = chunk(to, &format!("{gone}\n"));
                    let _ = to.write_all(b"0\r\n\r\n");
                    return;
                }
            }
        }
    }
}

impl State {
    fn event(&mut self, kind: &str, object: Value) {
        let line = format!("{}\n", json!({"type": kind, "object": object}));
        self.events.push((self.version, line));
    }

    fn refusal(&self, target: &str, head: &[String]) -> Option<(u16, String)> {
        if let Some(token) = &self.token {
            let wanted = format!("authorization: bearer {token}").to_lowercase();
            if !head.iter().any(|line| line.to_lowercase() == wanted) {
                return Some((401, String::new()));
            }
        }
        let refused = self
            .refused
            .iter()
            .find(|(part, ..)| target.contains(part.as_str()));
        refused.map(|(_, status, headers)| (*status, headers.clone()))
    }

    fn answer(&self, path: &str, query: &BTreeMap<&str, &str>) -> (u16, Value) {
        if let Some(name) = path.strip_prefix("/api/v1/nodes/") {
            return match self.nodes.get(name) {
                Some(node) => (200, node.clone()),
                None => (
                    404,
                    json!({"kind": "Status", "code": 404, "reason": "NotFound"}),
                ),
            };
        }
        if let Some(items) = self.lists.get(path) {
            return (
                200,
                json!({"kind": "List", "metadata": {"resourceVersion": "1"}, "items": items}),
            );
        }
        if path != "/api/v1/pods" {
            return (
                404,
                json!({"kind": "Status", "code": 404, "reason": "NotFound"}),
            );
        }
        // Only this node has pods.
        let is_here = query.get("fieldSelector") == Some(&"spec.nodeName%3Dnode-a");
        let all: Vec<Value> = self
            .pods
            .values()
            .filter(|_| is_here)
            .map(|(pod, version)| pod.json(*version))
            .collect();
        let from: usize = query
            .get("continue")
            .map_or(0, |from| from.parse().unwrap());
        // Without a limit all comes at once.
        let limit = query
            .get("limit")
            .map_or(usize::MAX / 2, |limit| limit.parse().unwrap());
        let page = if self.page == 0 {
            limit
        } else {
            limit.min(self.page)
        };
        let page = if query.contains_key("limit") {
            page
        } else {
            usize::MAX / 2
        };
        let next = (from + page < all.len()).then(|| (from + page).to_string());
        let items: Vec<Value> = all.into_iter().skip(from).take(page).collect();
        let items = if items.is_empty() {
            Value::Null
        } else {
            items.into()
        };
        let metadata = json!({"resourceVersion": self.version.to_string(), "continue": next});
        (
            200,
            json!({"kind": "PodList", "apiVersion": "v1", "metadata": metadata, "items": items}),
        )
    }
}

fn page(to: &mut TcpStream, status: u16, headers: &str, body: &Value) {
    let body = body.to_string();
    let _ = write!(
        to,
        "HTTP/1.1 {status} x\r\n{headers}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
}

fn chunk(to: &mut TcpStream, text: &str) -> std::io::Result<()> {
    write!(to, "{:x}\r\n{text}\r\n", text.len())?;
    to.flush()
}
