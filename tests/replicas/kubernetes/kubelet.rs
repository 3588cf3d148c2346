//! A kubelet's two sockets over real gRPC: pod-resources v1 and the Pods API v1alpha1, as their `api.proto`
//! says. A test changes what it knows while it runs, and how it behaves.

use super::pods::Pod;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};
use tonic::codegen::tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Code, Request, Response, Status};
use tonic_prost::ProstCodec;

/// Devices of a container: resource and ids.
pub type Devices = Vec<(&'static str, Vec<&'static str>)>;

/// A device by a claim: driver, pool, device, and names of the Container Device Interface.
pub type Claim = (&'static str, &'static str, &'static str, Vec<&'static str>);

/// What pod-resources tells of one container: namespace, pod, container.
#[derive(Clone, Debug)]
pub struct Holder {
    pub who: (&'static str, &'static str, &'static str),
    pub devices: Devices,
    pub claims: Vec<Claim>,
}

/// How questions are answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    #[default]
    Well,
    /// With this status.
    Fails(Code),
    /// Not at all.
    Hangs,
}

#[derive(Default)]
struct State {
    holders: Vec<Holder>,
    pods: BTreeMap<String, Pod>,
    watchers: Vec<mpsc::UnboundedSender<Result<Event, Status>>>,
    manner: Manner,
    asked: Vec<String>,
}

/// A kubelet's socket. Dropping it removes the socket and ends all connections.
pub struct Kubelet {
    state: Arc<Mutex<State>>,
    path: PathBuf,
    _stop: oneshot::Sender<()>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Kubelet {
    pub fn start(path: &Path) -> Self {
        Self::again(path, Arc::default())
    }

    fn again(path: &Path, state: Arc<Mutex<State>>) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let listener = {
            let _inside = runtime.enter();
            UnixListener::bind(path).unwrap()
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let served = Arc::clone(&state);
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = serve(listener, served) => {}
                    _ = stopped => {}
                }
            });
            runtime.shutdown_background();
        });
        Self {
            state,
            path: path.to_owned(),
            _stop: stop,
            thread: Some(thread),
        }
    }

    /// Ends it, and starts it anew with what it knew: a new socket.
    pub fn restart(mut self) -> Self {
        let (state, path) = (Arc::clone(&self.state), self.path.clone());
        self.end();
        state.lock().unwrap().watchers.clear();
        Self::again(&path, state)
    }

    fn end(&mut self) {
        let (stop, _) = oneshot::channel();
        drop(std::mem::replace(&mut self._stop, stop));
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
            let _ = std::fs::remove_file(&self.path);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn behave(&self, manner: Manner) {
        self.state().manner = manner;
    }

    pub fn hold(&self, holders: Vec<Holder>) {
        self.state().holders = holders;
    }

    pub fn put(&self, pod: &Pod) {
        let mut state = self.state();
        let is_new = state.pods.insert(pod.uid.clone(), pod.clone()).is_none();
        state.tell(if is_new { 1 } else { 2 }, pod.protobuf());
    }

    pub fn remove(&self, pod: &Pod) {
        let mut state = self.state();
        state.pods.remove(&pod.uid);
        state.tell(3, pod.names_alone());
    }

    /// Ends all watches with an error.
    pub fn cut(&self) {
        for watcher in self.state().watchers.drain(..) {
            let _ = watcher.send(Err(Status::unavailable("going down")));
        }
    }

    /// The methods that were called so far.
    pub fn asked(&self) -> Vec<String> {
        self.state().asked.clone()
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.end();
    }
}

impl State {
    fn tell(&mut self, kind: i32, pod: Vec<u8>) {
        let event = Event { kind, pod };
        self.watchers
            .retain(|watcher| watcher.send(Ok(event.clone())).is_ok());
    }

    fn resources(&self) -> Resources {
        let pods = self.holders.iter().map(|holder| {
            let (namespace, pod, container) = holder.who;
            let devices = holder
                .devices
                .iter()
                .map(|(resource, ids)| ContainerDevices {
                    resource: (*resource).to_owned(),
                    ids: ids.iter().map(|id| (*id).to_owned()).collect(),
                });
            let claims = holder
                .claims
                .iter()
                .map(|(driver, pool, device, cdi)| DynamicResource {
                    claim: "claim".to_owned(),
                    namespace: namespace.to_owned(),
                    resources: vec![ClaimResource {
                        cdi: cdi
                            .iter()
                            .map(|name| CdiDevice {
                                name: (*name).to_owned(),
                            })
                            .collect(),
                        driver: (*driver).to_owned(),
                        pool: (*pool).to_owned(),
                        device: (*device).to_owned(),
                    }],
                });
            PodResources {
                name: pod.to_owned(),
                namespace: namespace.to_owned(),
                containers: vec![ContainerResources {
                    name: container.to_owned(),
                    devices: devices.collect(),
                    cpus: vec![0, 1],
                    claims: claims.collect(),
                }],
            }
        });
        Resources {
            pods: pods.collect(),
        }
    }

    fn watch(&mut self) -> UnboundedReceiverStream<Result<Event, Status>> {
        let (sender, receiver) = mpsc::unbounded_channel();
        for pod in self.pods.values() {
            let _ = sender.send(Ok(Event {
                kind: 1,
                pod: pod.protobuf(),
            }));
        }
        let _ = sender.send(Ok(Event {
            kind: 4,
            pod: Vec::new(),
        }));
        self.watchers.push(sender);
        UnboundedReceiverStream::new(receiver)
    }
}

async fn serve(listener: UnixListener, state: Arc<Mutex<State>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        let service = service_fn(move |request| {
            let state = Arc::clone(&state);
            async move { Ok::<_, std::convert::Infallible>(answer(request, &state).await) }
        });
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(
    request: hyper::Request<hyper::body::Incoming>,
    state: &Arc<Mutex<State>>,
) -> hyper::Response<tonic::body::Body> {
    let method = request.uri().path().to_owned();
    let manner = {
        let mut state = state.lock().unwrap();
        state.asked.push(method.clone());
        state.manner
    };
    match manner {
        Manner::Well => {}
        Manner::Fails(code) => return Status::new(code, "as the test says").into_http(),
        Manner::Hangs => std::future::pending().await,
    }
    let state = Arc::clone(state);
    match method.as_str() {
        "/v1.PodResourcesLister/List" => {
            let service = tower::service_fn(move |_: Request<Empty>| {
                let answer = state.lock().unwrap().resources();
                async move { Ok::<_, Status>(Response::new(answer)) }
            });
            let mut grpc = tonic::server::Grpc::new(ProstCodec::<Resources, Empty>::default())
                .max_encoding_message_size(64 << 20);
            grpc.unary(service, request).await
        }
        "/v1alpha1.Pods/ListPods" => {
            let service = tower::service_fn(move |_: Request<Empty>| {
                let pods = state
                    .lock()
                    .unwrap()
                    .pods
                    .values()
                    .map(Pod::protobuf)
                    .collect();
                async move { Ok::<_, Status>(Response::new(Pods { pods })) }
            });
            tonic::server::Grpc::new(ProstCodec::<Pods, Empty>::default())
                .unary(service, request)
                .await
        }
        "/v1alpha1.Pods/WatchPods" => {
            let service = tower::service_fn(move |_: Request<Empty>| {
                let events = state.lock().unwrap().watch();
                async move { Ok::<_, Status>(Response::new(events)) }
            });
            tonic::server::Grpc::new(ProstCodec::<Event, Empty>::default())
                .server_streaming(service, request)
                .await
        }
        _ => Status::unimplemented("unknown method").into_http(),
    }
}

#[derive(Clone, PartialEq, Message)]
struct Empty {}

#[derive(Clone, PartialEq, Message)]
struct Resources {
    #[prost(message, repeated, tag = "1")]
    pods: Vec<PodResources>,
}

#[derive(Clone, PartialEq, Message)]
struct PodResources {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    namespace: String,
    #[prost(message, repeated, tag = "3")]
    containers: Vec<ContainerResources>,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerResources {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    devices: Vec<ContainerDevices>,
    #[prost(int64, repeated, tag = "3")]
    cpus: Vec<i64>,
    #[prost(message, repeated, tag = "5")]
    claims: Vec<DynamicResource>,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerDevices {
    #[prost(string, tag = "1")]
    resource: String,
    #[prost(string, repeated, tag = "2")]
    ids: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct DynamicResource {
    #[prost(string, tag = "2")]
    claim: String,
    #[prost(string, tag = "3")]
    namespace: String,
    #[prost(message, repeated, tag = "4")]
    resources: Vec<ClaimResource>,
}

#[derive(Clone, PartialEq, Message)]
struct ClaimResource {
    #[prost(message, repeated, tag = "1")]
    cdi: Vec<CdiDevice>,
    #[prost(string, tag = "2")]
    driver: String,
    #[prost(string, tag = "3")]
    pool: String,
    #[prost(string, tag = "4")]
    device: String,
}

#[derive(Clone, PartialEq, Message)]
struct CdiDevice {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct Pods {
    #[prost(bytes = "vec", repeated, tag = "1")]
    pods: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(bytes = "vec", tag = "2")]
    pod: Vec<u8>,
}
