//! A replica of the kubelet's sockets (pod-resources v1, Pods API v1alpha1) and of the API server's watch of pods.

use crate::replica::Replica;
use prost::Message;
use serde_json::{Value as Json, json};
use std::collections::HashMap;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;
use tokio::net::UnixListener;
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::{NamedService, ServerStreamingService, UnaryService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

// Messages of our own making, so that a wrong number in the program shows.

#[derive(Clone, PartialEq, Message)]
pub struct Nothing {}

#[derive(Clone, PartialEq, Message)]
pub struct ListResponse {
    #[prost(message, repeated, tag = "1")]
    pub pod_resources: Vec<PodResources>,
}

#[derive(Clone, PartialEq, Message)]
pub struct PodResources {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub namespace: String,
    #[prost(message, repeated, tag = "3")]
    pub containers: Vec<Container>,
    #[prost(int64, repeated, tag = "4")]
    pub cpu_ids: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Container {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, repeated, tag = "2")]
    pub devices: Vec<Devices>,
    #[prost(int64, repeated, tag = "3")]
    pub cpu_ids: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Devices {
    #[prost(string, tag = "1")]
    pub resource_name: String,
    #[prost(string, repeated, tag = "2")]
    pub device_ids: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct PodsEvent {
    #[prost(int32, tag = "1")]
    pub kind: i32,
    #[prost(bytes = "vec", tag = "2")]
    pub pod: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Pod {
    #[prost(message, optional, tag = "1")]
    metadata: Option<Metadata>,
    #[prost(message, optional, tag = "3")]
    status: Option<PodStatus>,
}

#[derive(Clone, PartialEq, Message)]
struct Metadata {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    generate_name: String,
    #[prost(string, tag = "3")]
    namespace: String,
    #[prost(string, tag = "5")]
    uid: String,
    #[prost(map = "string, string", tag = "11")]
    labels: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
struct PodStatus {
    #[prost(string, tag = "1")]
    phase: String,
    #[prost(message, repeated, tag = "8")]
    containers: Vec<ContainerStatus>,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerStatus {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "6")]
    image: String,
    #[prost(string, tag = "8")]
    container_id: String,
}

/// Who holds what: namespace, pod, container, resource, device ids.
pub type Held = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    Vec<&'static str>,
);

/// A pod as the kubelet tells of it: namespace, name, UID, team, container and its id.
#[derive(Clone, Debug)]
pub struct PodSpec {
    pub namespace: &'static str,
    pub name: &'static str,
    pub uid: String,
    pub team: &'static str,
    pub container: &'static str,
    pub id: String,
}

impl PodSpec {
    pub fn message(&self) -> Vec<u8> {
        let pod = Pod {
            metadata: Some(Metadata {
                name: self.name.into(),
                generate_name: "x-".into(),
                namespace: self.namespace.into(),
                uid: self.uid.clone(),
                labels: HashMap::from([
                    ("team".into(), self.team.into()),
                    ("other".into(), "x".into()),
                ]),
            }),
            status: Some(PodStatus {
                phase: "Running".into(),
                containers: vec![ContainerStatus {
                    name: self.container.into(),
                    image: "docker.io/x".into(),
                    container_id: format!("containerd://{}", self.id),
                }],
            }),
        };
        pod.encode_to_vec()
    }

    /// As the API server has it.
    pub fn json(&self, version: u32) -> Json {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": self.name, "namespace": self.namespace, "uid": self.uid,
                "resourceVersion": version.to_string(),
                "labels": {"team": self.team, "pod-template-hash": "5d4f"},
                "ownerReferences": [{
                    "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "serve-5d4f", "uid": "r", "controller": true
                }],
            },
            "spec": {"nodeName": "n1", "containers": [{
                "name": self.container, "resources": {"requests": {"cpu": "500m"}}
            }]},
            "status": {"phase": "Running", "containerStatuses": [{
                "name": self.container, "image": "x", "imageID": "y", "ready": true, "restartCount": 0,
                "containerID": format!("containerd://{}", self.id)
            }]},
        })
    }
}

/// What the kubelet answers; a test changes it.
#[derive(Clone, Default)]
pub struct Kubelet {
    held: Arc<Mutex<Vec<Held>>>,
    /// Events so far: kind and pod.
    events: Arc<Mutex<Vec<(i32, Vec<u8>)>>>,
}

impl Kubelet {
    /// Serves on a socket, which is made with its directory.
    pub fn serve(socket: &Path) -> Self {
        let kubelet = Self::default();
        std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
        let _ = std::fs::remove_file(socket);
        let listener = std::os::unix::net::UnixListener::bind(socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        let served = kubelet.clone();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let incoming = UnixListenerStream::new(UnixListener::from_std(listener).unwrap());
                let server = tonic::transport::Server::builder();
                let mut server = server;
                let router = server
                    .add_service(Lister(served.clone()))
                    .add_service(Pods(served));
                router.serve_with_incoming(incoming).await.unwrap();
            });
        });
        kubelet
    }

    pub fn hold(&self, held: Vec<Held>) {
        *self.held.lock().unwrap() = held;
    }

    /// Tells of a pod: 1 added, 2 modified, 3 deleted, 4 that all have been told.
    pub fn tell(&self, kind: i32, pod: Option<&PodSpec>) {
        self.events
            .lock()
            .unwrap()
            .push((kind, pod.map(PodSpec::message).unwrap_or_default()));
    }
}

/// `v1.PodResourcesLister`
#[derive(Clone)]
struct Lister(Kubelet);

impl NamedService for Lister {
    const NAME: &'static str = "v1.PodResourcesLister";
}

impl UnaryService<Nothing> for Lister {
    type Response = ListResponse;
    type Future = Ready<Result<Response<ListResponse>, Status>>;
    fn call(&mut self, _: Request<Nothing>) -> Self::Future {
        let held = self.0.held.lock().unwrap();
        let pods = held
            .iter()
            .map(|(namespace, pod, container, resource, ids)| PodResources {
                name: (*pod).into(),
                namespace: (*namespace).into(),
                containers: vec![Container {
                    name: (*container).into(),
                    devices: vec![Devices {
                        resource_name: (*resource).into(),
                        device_ids: ids.iter().map(|id| (*id).into()).collect(),
                    }],
                    cpu_ids: vec![0, 1],
                }],
                cpu_ids: vec![7],
            });
        ready(Ok(Response::new(ListResponse {
            pod_resources: pods.collect(),
        })))
    }
}

impl Service<http::Request<Body>> for Lister {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }
    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        assert_eq!(request.uri().path(), "/v1.PodResourcesLister/List");
        let this = self.clone();
        Box::pin(async move {
            let codec: ProstCodec<ListResponse, Nothing> = ProstCodec::default();
            Ok(tonic::server::Grpc::new(codec).unary(this, request).await)
        })
    }
}

/// `v1alpha1.Pods`
#[derive(Clone)]
struct Pods(Kubelet);

impl NamedService for Pods {
    const NAME: &'static str = "v1alpha1.Pods";
}

impl ServerStreamingService<Nothing> for Pods {
    type Response = PodsEvent;
    type ResponseStream = ReceiverStream<Result<PodsEvent, Status>>;
    type Future = Ready<Result<Response<Self::ResponseStream>, Status>>;
    fn call(&mut self, _: Request<Nothing>) -> Self::Future {
        let (to, from) = tokio::sync::mpsc::channel(16);
        let events = Arc::clone(&self.0.events);
        tokio::spawn(async move {
            let mut told = 0;
            while !to.is_closed() {
                let next = events.lock().unwrap().get(told).cloned();
                match next {
                    Some((kind, pod)) => {
                        told += 1;
                        let _ = to.send(Ok(PodsEvent { kind, pod })).await;
                    }
                    None => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        });
        ready(Ok(Response::new(ReceiverStream::new(from))))
    }
}

impl Service<http::Request<Body>> for Pods {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }
    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        assert_eq!(request.uri().path(), "/v1alpha1.Pods/WatchPods");
        let this = self.clone();
        Box::pin(async move {
            let codec: ProstCodec<PodsEvent, Nothing> = ProstCodec::default();
            Ok(tonic::server::Grpc::new(codec)
                .server_streaming(this, request)
                .await)
        })
    }
}

/// What the API server does next on a watch.
#[derive(Clone, Debug)]
pub enum Line {
    /// An event: `ADDED`, `MODIFIED`, `DELETED`, `BOOKMARK`, `ERROR`, and its object.
    Event(&'static str, Json),
    /// The connection ends in the middle of a line.
    Break,
}

/// The API server's pods of this node.
#[derive(Clone)]
pub struct ApiServer {
    pub replica: Replica,
    state: Arc<Mutex<ApiState>>,
}

#[derive(Default)]
struct ApiState {
    pods: Vec<Json>,
    lines: Vec<Line>,
    denied: bool,
    lists: u32,
}

impl ApiServer {
    pub fn new() -> Self {
        let state: Arc<Mutex<ApiState>> = Arc::default();
        let told = Arc::clone(&state);
        let replica = Replica::mannered(move |head, to| {
            let state = Arc::clone(&told);
            let (head, mut to) = (head.to_owned(), to.try_clone().unwrap());
            // A watch lasts; others are answered meanwhile.
            thread::spawn(move || answer(&state, &head, &mut to));
        });
        Self { replica, state }
    }

    pub fn deny(&self, denied: bool) {
        self.state.lock().unwrap().denied = denied;
    }

    /// Pods that a list gives from now on.
    pub fn list(&self, pods: Vec<Json>) {
        self.state.lock().unwrap().pods = pods;
    }

    /// What a watch says next.
    pub fn say(&self, line: Line) {
        self.state.lock().unwrap().lines.push(line);
    }

    pub fn lists(&self) -> u32 {
        self.state.lock().unwrap().lists
    }
}

fn answer(state: &Mutex<ApiState>, head: &str, to: &mut TcpStream) {
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    assert!(
        target.contains("fieldSelector=spec.nodeName%3Dn1"),
        "{target}"
    );
    if state.lock().unwrap().denied {
        let body = json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403,
            "message": "pods is forbidden: User \"system:serviceaccount:x\" cannot list resource \"pods\""
        });
        return crate::replica::write(to, "403 Forbidden", body.to_string().as_bytes());
    }
    if !target.contains("watch=") {
        let mut state = state.lock().unwrap();
        state.lists += 1;
        let list = json!({
            "kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "100"}, "items": state.pods
        });
        let head = "200 OK\r\nContent-Type: application/json";
        return crate::replica::write(to, head, list.to_string().as_bytes());
    }
    let _ = write!(
        to,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    loop {
        let next = {
            let mut state = state.lock().unwrap();
            (!state.lines.is_empty()).then(|| state.lines.remove(0))
        };
        let chunk = match next {
            Some(Line::Event(kind, object)) => {
                format!("{}\n", json!({"type": kind, "object": object}))
            }
            Some(Line::Break) => {
                let _ = write!(to, "20\r\n{{\"type\":\"ADDED\",\"obj\r\n");
                return;
            }
            None => {
                thread::sleep(Duration::from_millis(5));
                continue;
            }
        };
        if write!(to, "{:x}\r\n{chunk}\r\n", chunk.len()).is_err() {
            return;
        }
    }
}
