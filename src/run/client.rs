//! Asks whoever serves the socket: a request at a time, each over a connection of its own.

use super::api::{Begin, Done, Node, Over, Refused, Run};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;

/// Longest that an answer may take, unless another limit is set.
const LONGEST: Duration = Duration::from_secs(5);

/// So often it is tried to come in where all places to wait are taken.
const AGAIN: Duration = Duration::from_millis(50);

/// Largest answer.
const LARGEST: usize = 4 << 20;

/// Why there is no answer of use.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody is there.
    #[error("{path}: {source}")]
    Away {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is there and says no.
    #[error("{0}")]
    Refused(String),
    /// It is there and cannot: it has too much to do, or sees nobody.
    #[error("{0}")]
    Unable(String),
    /// What it says is not what it should be.
    #[error("{path}: {reason}")]
    Strange {
        /// The socket.
        path: PathBuf,
        /// What is strange.
        reason: String,
    },
}

/// Whoever asks.
#[derive(Debug)]
pub struct Client {
    path: PathBuf,
    runtime: Runtime,
    limit: Duration,
}

impl Client {
    /// Asks at this socket.
    ///
    /// # Errors
    /// Of the system.
    pub fn new(path: &Path) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(Self {
            path: path.to_owned(),
            runtime,
            limit: LONGEST,
        })
    }

    /// Waits no longer than this for each answer from now on.
    pub fn limit(&mut self, limit: Duration) {
        self.limit = limit;
    }

    /// The socket.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What a run's figures rest on.
    ///
    /// # Errors
    /// Where there is no answer of use.
    pub fn node(&self) -> Result<Node, Error> {
        self.call(Method::GET, "/v1/node", &())
    }

    /// A run begins.
    ///
    /// # Errors
    /// Where there is no answer of use, or it is refused.
    pub fn begin(&self, begin: &Begin) -> Result<Run, Error> {
        self.call(Method::POST, "/v1/runs", begin)
    }

    /// A run as it is.
    ///
    /// # Errors
    /// Where there is no answer of use.
    pub fn run(&self, id: &str) -> Result<Run, Error> {
        self.call(Method::GET, &format!("/v1/runs/{id}"), &())
    }

    /// A run is so far.
    ///
    /// # Errors
    /// Where there is no answer of use, or it is refused.
    pub fn progress(&self, id: &str, done: Done) -> Result<Run, Error> {
        self.call(Method::POST, &format!("/v1/runs/{id}/progress"), &done)
    }

    /// A run is over.
    ///
    /// # Errors
    /// Where there is no answer of use, or it is refused.
    pub fn end(&self, id: &str, exit_code: i32) -> Result<Run, Error> {
        let over = Over { exit_code };
        self.call(Method::POST, &format!("/v1/runs/{id}/end"), &over)
    }

    fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        place: &str,
        body: &impl Serialize,
    ) -> Result<T, Error> {
        let strange = |reason: String| Error::Strange {
            path: self.path.clone(),
            reason,
        };
        let text = match method {
            Method::GET => Vec::new(),
            _ => serde_json::to_vec(body).map_err(|error| strange(error.to_string()))?,
        };
        let asked = self.runtime.block_on(async {
            tokio::time::timeout(self.limit, self.ask(method, place, text)).await
        });
        let (status, text) = asked.map_err(|_| strange("no answer in time".into()))??;
        if !status.is_success() {
            let refused = serde_json::from_slice::<Refused>(&text);
            let is_able = ![
                StatusCode::TOO_MANY_REQUESTS,
                StatusCode::SERVICE_UNAVAILABLE,
            ]
            .contains(&status);
            return Err(match refused {
                Ok(Refused { error }) if is_able => Error::Refused(error),
                Ok(Refused { error }) => Error::Unable(error),
                Err(_) => strange("answers, and not as Gramwatt does".into()),
            });
        }
        serde_json::from_slice(&text).map_err(|error| strange(error.to_string()))
    }

    async fn ask(
        &self,
        method: Method,
        place: &str,
        text: Vec<u8>,
    ) -> Result<(StatusCode, Bytes), Error> {
        let strange = |error: hyper::Error| Error::Strange {
            path: self.path.clone(),
            reason: error.to_string(),
        };
        let stream = self.connect().await.map_err(|source| Error::Away {
            path: self.path.clone(),
            source,
        })?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(strange)?;
        let connection = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(place)
            .header(HOST, "localhost")
            .body(Full::new(Bytes::from(text)));
        let request = request.map_err(|error| Error::Strange {
            path: self.path.clone(),
            reason: error.to_string(),
        })?;
        let response = sender.send_request(request).await.map_err(strange)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LARGEST).collect().await;
        connection.abort();
        let body = body.map_err(|error| Error::Strange {
            path: self.path.clone(),
            reason: error.to_string(),
        })?;
        Ok((status, body.to_bytes()))
    }

    /// Where many come at once there may be no place to wait in (`EAGAIN`, connect(2)): then it is tried again.
    async fn connect(&self) -> io::Result<UnixStream> {
        loop {
            match UnixStream::connect(&self.path).await {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    tokio::time::sleep(AGAIN).await;
                }
                connected => return connected,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::{UnixListener, UnixStream};

    /// A listener with a place for one who waits, and the client.
    fn pair(folder: &tempfile::TempDir) -> (UnixListener, Client) {
        let path = folder.path().join("runs.sock");
        let listener = UnixListener::bind(&path).unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        (listener, Client::new(&path).unwrap())
    }

    fn answers(listener: &UnixListener, status: &str, body: &str) {
        let mut stream = listener.accept().unwrap().0;
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            asked.extend(byte);
        }
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
    }

    #[test]
    fn a_full_house_is_waited_for() {
        let folder = tempfile::TempDir::new().unwrap();
        let (listener, mut client) = pair(&folder);
        let before_us = UnixStream::connect(client.path()).unwrap();
        client.limit(Duration::from_millis(200));
        let said = client.run("a").unwrap_err().to_string();
        assert!(said.ends_with("no answer in time"), "{said}");
        // Whoever waited before us is gone, and there is a place again.
        drop(listener.accept().unwrap());
        drop(before_us);
        client.limit(LONGEST);
        std::thread::scope(|scope| {
            scope.spawn(|| answers(&listener, "404 Not Found", r#"{"error": "no run a"}"#));
            let said = client.run("a").unwrap_err();
            assert!(
                matches!(&said, Error::Refused(text) if text == "no run a"),
                "{said:?}"
            );
        });
    }

    #[test]
    fn busy_is_no_refusal() {
        let folder = tempfile::TempDir::new().unwrap();
        let (listener, client) = pair(&folder);
        std::thread::scope(|scope| {
            scope.spawn(|| answers(&listener, "503 Service Unavailable", r#"{"error": "busy"}"#));
            let said = client.run("a").unwrap_err();
            assert!(
                matches!(&said, Error::Unable(text) if text == "busy"),
                "{said:?}"
            );
        });
    }
}
