//! The web configuration file: its schema and what makes it valid, without reading any other file.
//!
//! Source of the schema: Prometheus exporter-toolkit, docs/web-configuration.md. What is accepted
//! here, `promtool check web-config` accepts too; where that tool accepts what cannot mean what its
//! author hoped (a client CA without verification, TLS settings without a certificate), this refuses.

mod names;
mod values;

pub use names::{Cipher, ClientAuth, Curve, Version};

use crate::config::explain::explain;
use hyper::header::{HeaderName, HeaderValue};
use names::{ContentTypeOptions, FrameOptions};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use values::{Filled, GoDuration, Unique, Value};

/// Highest accepted bcrypt cost: about ten seconds a check, beyond which a scrape times out.
const MAX_COST: u32 = 16;

/// Why a web configuration is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("web configuration {path}: {reason}", path = path.display())]
pub struct WebConfigError {
    path: PathBuf,
    reason: String,
}

impl WebConfigError {
    /// The file at `path` is refused because of `reason`.
    pub(super) fn new(path: &Path, reason: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            reason: reason.into(),
        }
    }
}

/// A valid web configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WebConfig {
    /// TLS; plain HTTP without it.
    pub tls: Option<Tls>,
    /// Whether HTTP/2 is offered over TLS.
    pub http2: bool,
    /// Headers added to every answer.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// bcrypt hashes by user; without any, everybody is let in.
    pub users: BTreeMap<String, Hash>,
    /// How often requests may come.
    pub rate: Option<Rate>,
    /// What is accepted and yet not done quite as written.
    pub warnings: Vec<String>,
}

/// `tls_server_config`.
#[derive(Clone, Debug, PartialEq)]
pub struct Tls {
    /// The server's certificate chain.
    pub cert: Material,
    /// Its private key.
    pub key: Material,
    /// What is asked of clients.
    pub client_auth: ClientAuth,
    /// The authorities that clients' certificates have to come from.
    pub client_ca: Option<Material>,
    /// Names of which a client's certificate has to bear one; any, if empty.
    pub client_allowed_sans: Vec<String>,
    /// Lowest version spoken.
    pub min_version: Version,
    /// Highest version spoken.
    pub max_version: Version,
    /// The TLS 1.2 suites spoken, in order; all, if empty.
    pub cipher_suites: Vec<Cipher>,
    /// Whether the server's order of suites counts, not the client's.
    pub prefer_server_cipher_suites: bool,
    /// The groups of the key exchange, in order; all, if empty.
    pub curve_preferences: Vec<Curve>,
}

/// PEM text, or the file that holds it.
#[derive(Clone, PartialEq)]
pub enum Material {
    /// The path of a file, joined to the configuration's directory.
    File(PathBuf),
    /// The text itself.
    Inline(String),
}

impl fmt::Debug for Material {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(formatter, "{}", path.display()),
            Self::Inline(_) => formatter.write_str("(inline)"),
        }
    }
}

/// A bcrypt hash.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Hash(String);

impl fmt::Debug for Hash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("(hash)")
    }
}

impl Hash {
    /// The hash's text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The binary logarithm of the number of rounds, 4 to 16.
    #[must_use]
    pub fn cost(&self) -> u32 {
        self.0
            .get(4..6)
            .and_then(|cost| cost.parse().ok())
            .unwrap_or(MAX_COST)
    }
}

impl TryFrom<String> for Hash {
    type Error = String;

    /// The hash itself stays out of the message: it is a secret.
    fn try_from(text: String) -> Result<Self, String> {
        let version = ["$2a$", "$2b$", "$2y$"]
            .iter()
            .any(|version| text.starts_with(version));
        let alphabet = |byte: u8| byte.is_ascii_alphanumeric() || b"./$".contains(&byte);
        if !version || text.len() != 60 || !text.bytes().all(alphabet) {
            return Err(
                "not a bcrypt hash; make one with: htpasswd -nBC 10 \"\" | tr -d ':\\n'".to_owned(),
            );
        }
        match text.parse::<bcrypt::HashParts>() {
            Ok(parts) if (4..=MAX_COST).contains(&parts.get_cost()) => Ok(Self(text)),
            Ok(parts) => Err(format!(
                "a bcrypt cost of {} is outside 4 to {MAX_COST}: 10 is usual",
                parts.get_cost()
            )),
            Err(_) => Err("a broken bcrypt hash".to_owned()),
        }
    }
}

/// `rate_limit`: a token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The time in which one more request is allowed.
    pub interval: Duration,
    /// How many may come at once, at least 1.
    pub burst: u32,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Root {
    tls_server_config: Option<TlsSection>,
    http_server_config: Option<HttpSection>,
    basic_auth_users: Option<Unique<Hash>>,
    rate_limit: Option<RateSection>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct TlsSection {
    cert: Option<Filled>,
    key: Option<Filled>,
    client_ca: Option<Filled>,
    cert_file: Option<Filled>,
    key_file: Option<Filled>,
    client_auth_type: Option<ClientAuth>,
    client_ca_file: Option<Filled>,
    client_allowed_sans: Option<Vec<Filled>>,
    min_version: Option<Version>,
    max_version: Option<Version>,
    cipher_suites: Option<Vec<Cipher>>,
    prefer_server_cipher_suites: Option<bool>,
    curve_preferences: Option<Vec<Curve>>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct HttpSection {
    http2: Option<bool>,
    headers: Option<Headers>,
}

/// The headers that may be set, and no others.
#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Headers {
    #[serde(rename = "Content-Security-Policy")]
    content_security_policy: Option<Value>,
    #[serde(rename = "X-Frame-Options")]
    x_frame_options: Option<FrameOptions>,
    #[serde(rename = "X-Content-Type-Options")]
    x_content_type_options: Option<ContentTypeOptions>,
    #[serde(rename = "X-XSS-Protection")]
    x_xss_protection: Option<Value>,
    #[serde(rename = "Strict-Transport-Security")]
    strict_transport_security: Option<Value>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct RateSection {
    interval: Option<GoDuration>,
    burst: Option<u32>,
}

/// The web configuration in `text`, which stands in the file `path`: the path is for messages, and
/// its directory is what relative paths within start from. No file is read.
///
/// # Errors
/// When the text is no YAML, has an unknown key, a wrong type or a value outside its range, or says
/// two things that exclude each other; with line and column where there is one place to blame.
pub fn parse(text: &str, path: &Path) -> Result<WebConfig, WebConfigError> {
    let refuse = |reason: String| WebConfigError::new(path, reason);
    let root: Option<Root> =
        serde_yaml::from_str(text).map_err(|error| refuse(explain(&error, text)))?;
    let root = root.unwrap_or_default();
    let mut warnings = Vec::new();
    let directory = path.parent().unwrap_or(Path::new(""));
    let tls = match root.tls_server_config {
        Some(section) if !section.is_empty() => {
            Some(section.validate(directory, &mut warnings).map_err(refuse)?)
        }
        _ => None,
    };
    let http = root.http_server_config.unwrap_or_default();
    let rate = root
        .rate_limit
        .unwrap_or_default()
        .validate()
        .map_err(refuse)?;
    let users = root
        .basic_auth_users
        .map(|users| users.0)
        .unwrap_or_default();
    if !users.is_empty() && tls.is_none() {
        warnings.push("basic authentication without TLS sends passwords in the clear".to_owned());
    }
    Ok(WebConfig {
        tls,
        http2: http.http2.unwrap_or(true),
        headers: http.headers.unwrap_or_default().list(),
        users,
        rate,
        warnings,
    })
}

impl TlsSection {
    fn is_empty(&self) -> bool {
        matches!(
            self,
            Self {
                cert: None,
                key: None,
                client_ca: None,
                cert_file: None,
                key_file: None,
                client_auth_type: None,
                client_ca_file: None,
                client_allowed_sans: None,
                min_version: None,
                max_version: None,
                cipher_suites: None,
                prefer_server_cipher_suites: None,
                curve_preferences: None,
            }
        )
    }

    fn validate(self, directory: &Path, warnings: &mut Vec<String>) -> Result<Tls, String> {
        let place = |name: &str, file: Option<Filled>, inline: Option<Filled>| match (file, inline)
        {
            (Some(Filled(file)), None) => Ok(Some(Material::File(directory.join(file)))),
            (None, Some(Filled(text))) => Ok(Some(Material::Inline(text))),
            (None, None) => Ok(None),
            (Some(_), Some(_)) => Err(format!(
                "tls_server_config: both {name} and {name}_file are given; give one of them"
            )),
        };
        let needed = |name: &str, material: Option<Material>| {
            material.ok_or_else(|| {
                format!("tls_server_config: {name}_file (or {name}) is missing, and TLS needs it")
            })
        };
        let (min_version, max_version) = versions(self.min_version, self.max_version, warnings)?;
        let tls = Tls {
            cert: needed("cert", place("cert", self.cert_file, self.cert)?)?,
            key: needed("key", place("key", self.key_file, self.key)?)?,
            client_auth: self.client_auth_type.unwrap_or(ClientAuth::NoClientCert),
            client_ca: place("client_ca", self.client_ca_file, self.client_ca)?,
            client_allowed_sans: sans(self.client_allowed_sans)?,
            min_version,
            max_version,
            cipher_suites: self.cipher_suites.unwrap_or_default(),
            prefer_server_cipher_suites: self.prefer_server_cipher_suites.unwrap_or(true),
            curve_preferences: self.curve_preferences.unwrap_or_default(),
        };
        tls.check_clients(warnings)?;
        Ok(tls)
    }
}

fn sans(listed: Option<Vec<Filled>>) -> Result<Vec<String>, String> {
    let listed = match listed {
        None => return Ok(Vec::new()),
        Some(listed) if listed.is_empty() => {
            return Err(
                "tls_server_config: client_allowed_sans is empty and would let nobody in; \
                        name someone or leave the key out"
                    .to_owned(),
            );
        }
        Some(listed) => listed,
    };
    // An address is compared as an address, however it is written.
    let canonical = |text: String| match text.parse::<IpAddr>() {
        Ok(address) => address.to_string(),
        Err(_) => text,
    };
    Ok(listed
        .into_iter()
        .map(|Filled(text)| canonical(text))
        .collect())
}

fn versions(
    min: Option<Version>,
    max: Option<Version>,
    warnings: &mut Vec<String>,
) -> Result<(Version, Version), String> {
    let (min, max) = (min.unwrap_or(Version::Tls12), max.unwrap_or(Version::Tls13));
    if min > max {
        return Err(format!(
            "tls_server_config: min_version {} is above max_version {}",
            min.name(),
            max.name()
        ));
    }
    if max < Version::Tls12 {
        return Err(format!(
            "tls_server_config: max_version {} leaves nothing to speak: TLS 1.0 and 1.1 are broken \
             and not offered; write TLS12 or TLS13",
            max.name()
        ));
    }
    if min < Version::Tls12 {
        warnings.push(format!(
            "min_version {} is taken as TLS12: older versions are broken and not offered",
            min.name()
        ));
    }
    Ok((min.max(Version::Tls12), max))
}

impl Tls {
    fn check_clients(&self, warnings: &mut Vec<String>) -> Result<(), String> {
        use ClientAuth as A;
        let kind = self.client_auth.name();
        let verified = match self.client_auth {
            A::VerifyClientCertIfGiven | A::RequireAndVerifyClientCert => true,
            A::NoClientCert
            | A::RequestClientCert
            | A::RequireAnyClientCert
            | A::RequireClientCert => false,
        };
        if self.client_auth == A::NoClientCert && self.client_ca.is_some() {
            return Err(
                "tls_server_config: client_ca_file is given and client_auth_type is not; for \
                        mTLS write client_auth_type: RequireAndVerifyClientCert"
                    .to_owned(),
            );
        }
        if self.client_auth == A::NoClientCert && !self.client_allowed_sans.is_empty() {
            return Err(
                "tls_server_config: client_allowed_sans does nothing without certificates; \
                        write client_auth_type: RequireAndVerifyClientCert"
                    .to_owned(),
            );
        }
        if verified && self.client_ca.is_none() {
            return Err(format!(
                "tls_server_config: client_auth_type {kind} needs client_ca_file: the authority that \
                 clients' certificates come from"
            ));
        }
        if !verified && self.client_auth != A::NoClientCert {
            warnings.push(format!(
                "client_auth_type {kind} does not check who signed a certificate: anybody gets in"
            ));
        }
        Ok(())
    }
}

impl Headers {
    fn list(self) -> Vec<(HeaderName, HeaderValue)> {
        use hyper::header::{
            CONTENT_SECURITY_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
            X_FRAME_OPTIONS, X_XSS_PROTECTION,
        };
        let frame = self
            .x_frame_options
            .map(|value| HeaderValue::from_static(value.name()));
        let sniff = self
            .x_content_type_options
            .map(|value| HeaderValue::from_static(value.name()));
        [
            (
                CONTENT_SECURITY_POLICY,
                self.content_security_policy.map(|value| value.0),
            ),
            (X_FRAME_OPTIONS, frame),
            (X_CONTENT_TYPE_OPTIONS, sniff),
            (X_XSS_PROTECTION, self.x_xss_protection.map(|value| value.0)),
            (
                STRICT_TRANSPORT_SECURITY,
                self.strict_transport_security.map(|value| value.0),
            ),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .filter(|(_, value)| !value.is_empty())
        .collect()
    }
}

impl RateSection {
    fn validate(self) -> Result<Option<Rate>, String> {
        let interval = self.interval.map_or(Duration::ZERO, |interval| interval.0);
        match self.burst {
            _ if interval.is_zero() => Ok(None),
            None | Some(0) => Err(
                "rate_limit: burst must be at least 1, or every request would be \
                                   refused"
                    .to_owned(),
            ),
            Some(burst) => Ok(Some(Rate { interval, burst })),
        }
    }
}

#[cfg(test)]
mod tests;
