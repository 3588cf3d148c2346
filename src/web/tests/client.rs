//! A server in this process and a client that hides nothing.

use crate::snapshot::Snapshot;
use crate::web::{Limits, Reload, Settings, Site, serve_within};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

/// Longer than any test takes, so that a hang fails.
pub const HANG: Duration = Duration::from_secs(20);

pub struct Server {
    pub address: SocketAddr,
    pub snapshots: watch::Sender<Arc<Snapshot>>,
    pub reloads: mpsc::Receiver<Reload>,
    stop: oneshot::Sender<()>,
    served: JoinHandle<std::io::Result<()>>,
}

pub struct Setup {
    pub limits: Limits,
    pub telemetry_path: &'static str,
    pub config_file: Option<PathBuf>,
    pub max_requests: usize,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            telemetry_path: "/metrics",
            config_file: None,
            max_requests: 40,
        }
    }
}

impl Setup {
    /// With that web configuration file.
    pub fn guarded(config_file: PathBuf) -> Self {
        Self {
            config_file: Some(config_file),
            ..Self::default()
        }
    }

    pub fn start(self) -> Server {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (snapshots, latest) = watch::channel(Arc::new(Snapshot::default()));
        let (reload, reloads) = mpsc::channel(1);
        let (stop, stopped) = oneshot::channel::<()>();
        let settings = Settings {
            telemetry_path: self.telemetry_path.to_owned(),
            config_file: self.config_file,
            max_requests: self.max_requests,
        };
        let site = Site {
            settings,
            almanac: None,
            latest,
            reload,
        };
        let shutdown = async move { drop(stopped.await) };
        let served = tokio::spawn(serve_within(self.limits, vec![listener], site, shutdown));
        Server {
            address,
            snapshots,
            reloads,
            stop,
            served,
        }
    }
}

impl Server {
    pub fn start() -> Self {
        Setup::default().start()
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Asks on a connection of its own.
    pub async fn ask(&self, request: &str) -> Response {
        ask(&mut self.connect().await, request).await
    }

    /// `GET path` with those header lines.
    pub async fn get(&self, path: &str, headers: &[&str]) -> Response {
        self.ask(&get(path, headers)).await
    }

    pub async fn stop(self) -> std::io::Result<()> {
        drop(self.stop);
        tokio::time::timeout(HANG, self.served)
            .await
            .unwrap()
            .unwrap()
    }
}

pub fn get(path: &str, headers: &[&str]) -> String {
    let headers: String = headers
        .iter()
        .map(|header| format!("{header}\r\n"))
        .collect();
    format!("GET {path} HTTP/1.1\r\nHost: test\r\n{headers}\r\n")
}

#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// Sends a request and reads its answer; a body as long as `Content-Length` says unless it is HEAD's.
pub async fn ask<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, request: &str) -> Response {
    stream.write_all(request.as_bytes()).await.unwrap();
    answer(stream, request.starts_with("HEAD "))
        .await
        .expect("an answer")
}

/// Reads one answer; none when the connection ends before.
pub async fn answer<S: AsyncRead + Unpin>(stream: &mut S, bodyless: bool) -> Option<Response> {
    tokio::time::timeout(HANG, async {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            bytes.push(stream.read_u8().await.ok()?);
        }
        let head = String::from_utf8(bytes).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut response = Response {
            status,
            head,
            body: Vec::new(),
        };
        if !bodyless {
            let length = response
                .header("content-length")
                .map_or(0, |text| text.parse().unwrap());
            response.body.resize(length, 0);
            stream.read_exact(&mut response.body).await.ok()?;
        }
        Some(response)
    })
    .await
    .expect("an answer in time")
}

/// Waits until the server has ended the connection, and returns what it still said.
pub async fn end<S: AsyncRead + Unpin>(stream: &mut S) -> Vec<u8> {
    let mut rest = Vec::new();
    let read = tokio::time::timeout(HANG, stream.read_to_end(&mut rest)).await;
    // A reset is an end too.
    let _ = read.expect("the server ends the connection");
    rest
}
