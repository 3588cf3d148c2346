//! The API server: who it is, what it answers, and why it will not.

use super::config::{ApiServer, Config};
use super::socket::chain;
use super::trouble::{self, fault};
use super::wire;
use crate::file;
use crate::secret;
use crate::sensor::{Cause, Fault};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::{Request, Response, StatusCode};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ConfigExt};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde::de::DeserializeOwned;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::timeout;
use tower::{BoxError, ServiceBuilder};

/// The longest that a question takes, from the name's look-up to the answer's last byte.
const PATIENCE: Duration = Duration::from_secs(15);
/// The longest that a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);
/// Largest page of a list: 250 pods are some 5 MB.
const LARGEST: usize = 16 << 20;
/// Longest event of a watch: an object is at most 1.5 MiB long in etcd.
const LONGEST: usize = 4 << 20;
/// Largest kubeconfig, and largest file of authorities.
const FILE: u64 = 1 << 20;

/// Where an API server is, and how it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// At an address, as the service account in a directory where there is one.
    Url(String, PathBuf),
    /// As a kubeconfig says.
    Kubeconfig(PathBuf),
}

impl Reach {
    /// The API server that a configuration leads to; `None` where none is to be asked.
    pub(super) fn of(config: &Config) -> Option<Self> {
        Self::with(config, |name| std::env::var(name).ok())
    }

    /// As [`Reach::of`], with an environment.
    pub(super) fn with(
        config: &Config,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Option<Self> {
        let variable = |name: &str| environment(name).filter(|value| !value.is_empty());
        let account = &config.service_account;
        match &config.api_server {
            ApiServer::Off => None,
            ApiServer::At(url) => Some(Self::Url(url.as_str().to_owned(), account.clone())),
            ApiServer::Auto if config.kubeconfig.is_none() && account.is_dir() => {
                // What every pod's environment has (Kubernetes, "Accessing the API from a Pod").
                let host = variable("KUBERNETES_SERVICE_HOST");
                let port = variable("KUBERNETES_SERVICE_PORT");
                let host = host.map(|host| {
                    if host.contains(':') {
                        format!("[{host}]")
                    } else {
                        host
                    }
                });
                let url = match (host, port) {
                    (Some(host), Some(port)) => format!("https://{host}:{port}"),
                    _ => "https://kubernetes.default.svc".to_owned(),
                };
                Some(Self::Url(url, account.clone()))
            }
            ApiServer::Auto => {
                let told = config.kubeconfig.clone();
                let told = told.or_else(|| variable("KUBECONFIG").map(PathBuf::from));
                told.map(Self::Kubeconfig)
            }
        }
    }
}

/// A connection to an API server.
pub(super) struct Api {
    client: kube::Client,
    place: String,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// What was to be gone on from is no longer known: list again (410).
    Gone,
    /// There is no such thing (404).
    Missing(Fault),
    /// The answer is larger than is read.
    Large(Fault),
    /// Anything else, and how long to wait with the next try where that is told.
    Fault(Fault, Option<Duration>),
}

impl Trouble {
    pub(super) fn fault(self, place: &str) -> Fault {
        match self {
            Self::Gone => fault(
                place,
                Cause::Device("410 Gone".to_owned()),
                "nothing: it is asked anew",
            ),
            Self::Missing(fault) | Self::Large(fault) | Self::Fault(fault, _) => fault,
        }
    }
}

impl Api {
    pub(super) async fn open(reach: &Reach) -> Result<Self, Fault> {
        let config = match reach {
            Reach::Url(url, account) => by_url(url, account)?,
            Reach::Kubeconfig(path) => by_file(path).await?,
        };
        let place = config.cluster_url.to_string();
        let place = place.trim_end_matches('/').to_owned();
        let client = client(config).map_err(|error| {
            let cause = Cause::Device(trouble::words(&chain(&error)));
            fault(
                &place,
                cause,
                "see whether token, certificate and key are what they should be",
            )
        })?;
        Ok(Self { client, place })
    }

    /// Where it is, for people.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// Asks, and reads the whole answer. `rule` is what a role must allow for that.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        request: Request<Vec<u8>>,
        rule: &str,
    ) -> Result<T, Trouble> {
        let ask = async {
            let response = self.send(request, rule).await?;
            let body = Limited::new(response.into_body(), LARGEST).collect().await;
            body.map(http_body_util::Collected::to_bytes)
                .map_err(|error| self.broken(&*error))
        };
        let body = timeout(PATIENCE, ask).await;
        let body = body.map_err(|_| Trouble::Fault(trouble::late(&self.place), None))??;
        serde_json::from_slice(&body).map_err(|error| self.odd(&error.to_string()))
    }

    /// Asks for a stream of lines.
    pub(super) async fn lines(
        &self,
        request: Request<Vec<u8>>,
        rule: &str,
    ) -> Result<Lines, Trouble> {
        let response = timeout(PATIENCE, self.send(request, rule)).await;
        let response = response.map_err(|_| Trouble::Fault(trouble::late(&self.place), None))??;
        Ok(Lines {
            body: response.into_body(),
            buffer: Vec::new(),
        })
    }

    async fn send(&self, request: Request<Vec<u8>>, rule: &str) -> Result<Response<Body>, Trouble> {
        let response = self.client.send(request.map(Body::from)).await;
        let response = response.map_err(|error| self.broken(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.refused(response, rule).await)
    }

    async fn refused(&self, response: Response<Body>, rule: &str) -> Trouble {
        let status = response.status();
        let header = response
            .headers()
            .get("retry-after")
            .and_then(|value| value.to_str().ok());
        let wait = header
            .and_then(|text| text.trim().parse().ok())
            .map(Duration::from_secs);
        let body = Limited::new(response.into_body(), 64 << 10).collect().await;
        let body = body
            .map(http_body_util::Collected::to_bytes)
            .unwrap_or_default();
        let told: wire::Refusal = serde_json::from_slice(&body).unwrap_or_default();
        let denied = || Cause::Io(io::ErrorKind::PermissionDenied.into());
        let said = trouble::words(&told.message.unwrap_or_default());
        let at =
            |cause, mend: String| fault(format!("{} ({status}: {said})", self.place), cause, mend);
        match status {
            StatusCode::GONE => Trouble::Gone,
            StatusCode::NOT_FOUND => Trouble::Missing(at(
                Cause::Device("there is no such thing".to_owned()),
                "see whether this is the API server, and of which version".to_owned(),
            )),
            StatusCode::FORBIDDEN => Trouble::Fault(
                at(
                    denied(),
                    format!("bind a ClusterRole to gramwatt's service account that allows {rule}"),
                ),
                wait,
            ),
            StatusCode::UNAUTHORIZED => Trouble::Fault(
                at(
                    denied(),
                    "give a token of this cluster: let the pod have a service account with \
                     automountServiceAccountToken, or renew the kubeconfig"
                        .to_owned(),
                ),
                wait,
            ),
            _ => Trouble::Fault(
                at(
                    Cause::Device(status.to_string()),
                    "see whether the API server is well; it is asked again".to_owned(),
                ),
                wait,
            ),
        }
    }

    /// What is no answer at all.
    fn broken(&self, error: &(dyn std::error::Error + 'static)) -> Trouble {
        if error.downcast_ref::<LengthLimitError>().is_some() {
            let cause = Cause::Parse("an answer that is larger than 16 MiB".to_owned());
            return Trouble::Large(fault(
                &self.place,
                cause,
                "see whether this is a Kubernetes API server",
            ));
        }
        let text = trouble::words(&chain(error));
        let mend = if text.contains("certificate") || text.contains("TLS") {
            "see whether ca.crt is this cluster's, and whether this machine's clock is right"
        } else if text.contains("lookup address") || text.contains("dns") {
            "see whether the name can be resolved here, or write api_server as https://ADDRESS:PORT"
        } else {
            "see whether it is reachable from here: NetworkPolicy, firewall, address"
        };
        Trouble::Fault(
            fault(&self.place, Cause::Io(io::Error::other(text)), mend),
            None,
        )
    }

    fn odd(&self, what: &str) -> Trouble {
        let cause = Cause::Parse(trouble::words(what));
        let mend = "see whether this is a Kubernetes API server";
        Trouble::Fault(fault(&self.place, cause, mend), None)
    }

    /// As [`Api::odd`], for what comes later in a stream.
    pub(super) fn not_understood(&self, what: &str) -> Trouble {
        self.odd(what)
    }
}

/// The lines of an answer that goes on.
pub(super) struct Lines {
    body: Body,
    buffer: Vec<u8>,
}

impl Lines {
    /// The next line; `None` where the answer ends, also where it breaks off: what is not whole is no
    /// event, and the next watch tells it again. An error for a line that is too long.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<u8>>, String> {
        let mut seen = 0;
        loop {
            let fresh = self.buffer.get(seen..).unwrap_or_default();
            if let Some(end) = fresh.iter().position(|byte| *byte == b'\n') {
                let rest = self.buffer.split_off(seen + end + 1);
                return Ok(Some(std::mem::replace(&mut self.buffer, rest)));
            }
            seen = self.buffer.len();
            if seen > LONGEST {
                return Err("an event that is longer than 4 MiB".to_owned());
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.buffer.extend_from_slice(data);
                    }
                }
                Some(Err(_)) | None => return Ok(None),
            }
        }
    }
}

fn by_url(url: &str, account: &Path) -> Result<kube::Config, Fault> {
    let address = url.parse().map_err(|_| {
        let cause = Cause::Parse(url.to_owned());
        fault(
            "workloads.kubernetes.api_server",
            cause,
            "write https://host:port",
        )
    })?;
    let mut config = kube::Config::new(address);
    let (token, authority) = (account.join("token"), account.join("ca.crt"));
    // A token on the way to somewhere else is anybody's.
    let host = config.cluster_url.host().unwrap_or_default();
    let stays_here = ["127.0.0.1", "localhost", "[::1]"].contains(&host);
    if token.exists() && !url.starts_with("https://") && !stays_here {
        let cause = Cause::Device("a token would be readable on the way".to_owned());
        return Err(fault(
            url,
            cause,
            "write workloads.kubernetes.api_server as https://",
        ));
    }
    // Looked at here for a good word about what is wrong; the client reads both again each minute.
    if token.exists() {
        secret::line(&token, "a token, one line").map_err(|error| {
            let mend = "let the pod have a service account's token that gramwatt's user can read";
            fault(
                token.display().to_string(),
                Cause::Device(error.to_string()),
                mend,
            )
        })?;
        config.auth_info.token_file = Some(token.display().to_string());
    }
    if authority.exists() {
        file::read(&authority, FILE).map_err(|error| {
            let mend = "let gramwatt's user read it";
            fault(authority.display().to_string(), Cause::Io(error), mend)
        })?;
        config.root_cert_file = Some(authority);
    }
    Ok(config)
}

async fn by_file(path: &Path) -> Result<kube::Config, Fault> {
    let place = || path.display().to_string();
    let mend =
        "give a readable kubeconfig with a current context as workloads.kubernetes.kubeconfig";
    let bytes = file::read(path, FILE).map_err(|error| fault(place(), Cause::Io(error), mend))?;
    let text = String::from_utf8_lossy(&bytes);
    // The parser's own words may quote a token.
    let malformed = || {
        fault(
            place(),
            Cause::Device("this is no kubeconfig".to_owned()),
            mend,
        )
    };
    let told = Kubeconfig::from_yaml(&text).map_err(|_| malformed())?;
    let config = kube::Config::from_custom_kubeconfig(told, &KubeConfigOptions::default()).await;
    let config = config.map_err(|_| malformed())?;
    if config.proxy_url.is_some() {
        let cause = Cause::Device("it asks for a proxy, which is not supported".to_owned());
        return Err(fault(
            place(),
            cause,
            "reach the API server directly, or from inside the cluster",
        ));
    }
    Ok(config)
}

/// Like the library's own client, but without its retries (here is a backoff of its own) and its log lines.
fn client(config: kube::Config) -> Result<kube::Client, kube::Error> {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_connect_timeout(Some(CONNECT));
    let connector = config.rustls_https_connector_with_connector(connector)?;
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(legacy::Client::builder(TokioExecutor::new()).build(connector));
    Ok(kube::Client::new(service, config.default_namespace))
}
