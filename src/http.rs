//! Requests to others: each has an end in time and in size, follows nobody elsewhere, and takes no
//! certificate that it was not told to.
//!
//! Errors are in words for people, and hold no URL: what a URL or a header shows of a secret stays out.

mod pinned;

use crate::clock;
use crate::file;
use crate::secret::Credentials;
use base64::Engine as _;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body, Proxy};

/// Whose certificates are good.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// Those that the machine trusts.
    #[default]
    System,
    /// Those of the authorities in this file of PEM, and of no others; and those that are in it themselves.
    Authorities(PathBuf),
    /// Anybody's, which lets anybody on the way read and change all that is said.
    Anybody,
}

/// How requests are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whose certificates are good.
    pub trust: Trust,
    /// The longest that a request may take, from the name's look-up to the answer's last byte.
    pub timeout: Duration,
    /// Whether the environment's proxy is used (`HTTPS_PROXY`, `NO_PROXY`): for what is far away, and not
    /// for what is in the rack.
    pub proxy: bool,
}

/// Makes requests, over connections that are kept.
#[derive(Clone, Debug)]
pub struct Client(Agent);

/// An answer, whatever its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// 100 to 999.
    pub status: u16,
    headers: Vec<(String, String)>,
    /// At most as long as was allowed.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file of authorities cannot be used.
    #[error("{path}: {reason}")]
    Authorities {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The address is none.
    #[error("{0}")]
    Address(String),
    /// The name is not known.
    #[error("its name cannot be resolved")]
    Name,
    /// The certificate, or TLS itself.
    #[error("TLS: {0}")]
    Tls(String),
    /// It took too long.
    #[error("no answer in time ({0})")]
    Late(String),
    /// The answer is larger than any that is of use.
    #[error("the answer is larger than {0} bytes")]
    Large(u64),
    /// The network said no.
    #[error("{0}")]
    Io(io::Error),
    /// Whatever it says is not HTTP.
    #[error("{0}")]
    Protocol(String),
}

impl Error {
    /// What a person can do about it.
    #[must_use]
    pub fn mend(&self) -> &'static str {
        match self {
            Self::Authorities { .. } => "give a readable file of certificates in PEM",
            Self::Address(_) => "give an absolute URL, such as https://host/path",
            Self::Name => "check the name, and the resolver of this machine or pod",
            Self::Tls(_) => {
                "give the certificate's authority as ca_file, and the name that it was made out to as the host; \
                 check its dates and this machine's clock"
            }
            Self::Late(_) => {
                "see whether it answers from here (curl), and what lies between: a firewall, a proxy"
            }
            Self::Large(_) => "check the URL: this is not what it should be",
            Self::Io(error) if error.kind() == ErrorKind::ConnectionRefused => {
                "nothing listens there: check host and port"
            }
            Self::Io(_) | Self::Protocol(_) => {
                "check host and port, and what lies between: a firewall, a proxy"
            }
        }
    }

    fn of(error: ureq::Error, most: u64) -> Self {
        use ureq::Error as U;
        match error {
            U::HostNotFound => Self::Name,
            U::Timeout(at) => Self::Late(at.to_string()),
            U::BodyExceedsLimit(_) => Self::Large(most),
            U::Rustls(error) => Self::Tls(error.to_string()),
            U::Tls(reason) => Self::Tls(reason.to_owned()),
            U::Io(error) => Self::io(error),
            U::BadUri(_) | U::RequireHttpsOnly(_) => {
                Self::Address("this is no URL to ask".to_owned())
            }
            U::Http(_) => {
                Self::Address("the URL or a header has characters that it may not have".to_owned())
            }
            U::ConnectionFailed => Self::Protocol("no connection".to_owned()),
            other => Self::Protocol(other.to_string()),
        }
    }

    /// What TLS has to say comes inside an error of the connection.
    fn io(error: io::Error) -> Self {
        let inner = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match inner {
            Some(tls) => Self::Tls(tls.to_string()),
            // The resolver's failures have no kind of their own.
            None if error.to_string().contains("lookup address") => Self::Name,
            None if error.kind() == ErrorKind::TimedOut => Self::Late("connection".to_owned()),
            None => Self::Io(error),
        }
    }
}

/// Largest file of authorities.
const LARGEST: u64 = 1 << 20;

/// Largest headers of an answer.
const HEADERS: usize = 64 << 10;

impl Client {
    /// A client.
    ///
    /// # Errors
    /// Where the file of authorities cannot be used.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::clone(&provider))
            .root_certs(RootCerts::PlatformVerifier)
            .disable_verification(settings.trust == Trust::Anybody);
        let proxy = settings.proxy.then(Proxy::try_from_env).flatten();
        let config = Agent::config_builder()
            .tls_config(tls.build())
            .proxy(proxy)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(settings.timeout))
            .max_response_header_size(HEADERS)
            .user_agent(concat!("gramwatt/", env!("CARGO_PKG_VERSION")))
            .build();
        let Trust::Authorities(path) = &settings.trust else {
            return Ok(Self(config.new_agent()));
        };
        let agent = pinned::agent(config, authorities(path)?, provider);
        agent.map(Self).map_err(|reason| Error::Authorities {
            path: path.to_owned(),
            reason,
        })
    }

    /// Asks for a URL. The body of the answer is at most `most` bytes long.
    ///
    /// # Errors
    /// Where there is no answer; one with a bad status is one.
    pub fn get(&self, url: &str, headers: &[(String, String)], most: u64) -> Result<Reply, Error> {
        self.send("GET", url, headers, b"", most)
    }

    /// Makes any request.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn send(
        &self,
        method: &str,
        url: &str,
        headers: &[(String, String)],
        body: &[u8],
        most: u64,
    ) -> Result<Reply, Error> {
        let mut request = ureq::http::Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let failed = |error| Error::of(error, most);
        let response = if body.is_empty() {
            let request = request.body(()).map_err(|error| failed(error.into()))?;
            self.0.run(request)
        } else {
            let request = request.body(body).map_err(|error| failed(error.into()))?;
            self.0.run(request)
        };
        let mut response = response.map_err(failed)?;
        let headers = response.headers().iter();
        let headers = headers.map(|(name, value)| {
            (
                name.to_string(),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            )
        });
        let headers = headers.collect();
        let status = response.status();
        let body = match read(response.body_mut(), most) {
            Ok(body) => body,
            // What is refused is refused, and when to come again is told, however the reason ends.
            Err(_) if status.is_client_error() || status.is_server_error() => Vec::new(),
            Err(error) => return Err(failed(error)),
        };
        Ok(Reply {
            status: status.as_u16(),
            headers,
            body,
        })
    }
}

fn read(body: &mut Body, most: u64) -> Result<Vec<u8>, ureq::Error> {
    body.with_config().limit(most).read_to_vec()
}

fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let failed = |reason: String| Error::Authorities {
        path: path.to_owned(),
        reason,
    };
    let pem = file::read(path, LARGEST).map_err(|error| failed(error.to_string()))?;
    let mut certificates = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| failed(format!("is no PEM: {error}")))?;
        certificates.push(certificate.into_owned());
    }
    if certificates.is_empty() {
        return Err(failed("holds no certificate".to_owned()));
    }
    Ok(certificates)
}

/// The value of an `Authorization` header for basic authentication (RFC 7617).
#[must_use]
pub fn basic(who: &Credentials) -> String {
    let both = format!("{}:{}", who.username, who.password.reveal());
    format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(both))
}

impl Reply {
    /// The first header of this name, whatever its case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(header, _)| header.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// How long it wants to be left alone, by `Retry-After`: seconds, or a date (RFC 9110, 10.2.3), which
    /// is compared with the server's own `Date`, and with this machine's clock where there is none.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let told = self.header("retry-after")?.trim();
        if let Ok(seconds) = told.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let date = |text: &str| -> Option<Timestamp> {
            Some(
                rfc2822::parse(&text.replace("GMT", "+0000"))
                    .ok()?
                    .timestamp(),
            )
        };
        let now = self.header("date").and_then(date);
        let now = now.unwrap_or_else(|| clock::now().wall);
        Duration::try_from(now.duration_until(date(told)?)).ok()
    }
}

#[cfg(test)]
mod tests;
