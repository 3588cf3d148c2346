//! `sensors.ipmi`.

use crate::sensor::Switch;
use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeSet;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::time::Duration;

/// RMCP's port.
const PORT: u16 = 623;

/// `sensors.ipmi`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether the family is used.
    pub enabled: bool,
    /// Device of this machine's BMC. Unset: the first that the kernel lists, and none where `lan` names
    /// BMCs, so that one BMC is not counted twice.
    #[serde(deserialize_with = "absolute")]
    pub device: Option<PathBuf>,
    /// How often a BMC is asked, 5s to 10m.
    pub interval: Every,
    /// How long an answer is waited for, 1s to 1m. A read over LAN, which opens a session where it has none,
    /// ends after three times as long.
    pub timeout: Patience,
    /// BMCs that are asked over the network. Together they are this node: their powers are added up.
    pub lan: Listed,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            device: None,
            interval: Every(Duration::from_secs(10)),
            timeout: Patience(Duration::from_secs(5)),
            lan: Listed::default(),
        }
    }
}

impl Switch for Config {
    fn is_on(&self) -> bool {
        self.enabled
    }
    fn turn(&mut self, on: bool) {
        self.enabled = on;
    }
}

fn absolute<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    let path = Option::<PathBuf>::deserialize(deserializer)?;
    match path {
        Some(path) if !path.is_absolute() => Err(serde::de::Error::custom(format!(
            "{:?} is no device: write its whole path, such as /dev/ipmi0",
            path.display().to_string()
        ))),
        path => Ok(path),
    }
}

/// `sensors.ipmi.lan`: each BMC once.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "Vec<Entry>", into = "Vec<Entry>")]
#[schemars(with = "Vec<Entry>")]
pub struct Listed(pub(super) Vec<Entry>);

impl TryFrom<Vec<Entry>> for Listed {
    type Error = String;
    fn try_from(entries: Vec<Entry>) -> Result<Self, String> {
        let mut seen = BTreeSet::new();
        for Entry { host, .. } in &entries {
            // Names of hosts are the same in either case (RFC 4343).
            if !seen.insert(split(&host.0.to_ascii_lowercase())) {
                return Err(format!(
                    "{:?} is there twice: its power would be counted twice",
                    host.0
                ));
            }
        }
        Ok(Self(entries))
    }
}

impl From<Listed> for Vec<Entry> {
    fn from(listed: Listed) -> Self {
        listed.0
    }
}

/// One entry of `sensors.ipmi.lan`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Host and port, 623 where it has none; `{node}` is the node's name: `bmc-{node}`, `10.1.2.3`,
    /// `[2001:db8::7]:623`.
    pub host: Host,
    /// YAML file with the keys `username` and `password`, read again when a session is opened.
    pub credentials_file: PathBuf,
    /// Privilege of the session: `user`, which is enough to read power, `operator` or `administrator`.
    #[serde(default)]
    pub privilege: Privilege,
    /// The only cipher suite to be used, 17 or 3. Unset: 17, and 3 where the BMC does not know that.
    #[serde(default)]
    pub cipher_suite: Option<CipherSuite>,
    /// File with the BMC's key (K_G), where it has one: up to 20 characters, or 0x and 40 hexadecimal
    /// digits.
    #[serde(default)]
    pub kg_file: Option<PathBuf>,
}

/// The highest privilege that a session may use (IPMI v2.0, 6.8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Privilege {
    /// May read.
    #[default]
    User,
    /// May act.
    Operator,
    /// May configure.
    Administrator,
}

impl Privilege {
    /// Its number on the wire.
    pub(super) fn level(self) -> u8 {
        match self {
            Self::User => 2,
            Self::Operator => 3,
            Self::Administrator => 4,
        }
    }
}

/// A cipher suite by its number (IPMI v2.0, table 22-20).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "u8", into = "u8")]
#[schemars(with = "u8")]
pub enum CipherSuite {
    /// 3: RAKP-HMAC-SHA1, HMAC-SHA1-96, AES-CBC-128.
    Three,
    /// 17: RAKP-HMAC-SHA256, HMAC-SHA256-128, AES-CBC-128.
    Seventeen,
}

impl TryFrom<u8> for CipherSuite {
    type Error = String;
    fn try_from(number: u8) -> Result<Self, String> {
        match number {
            3 => Ok(Self::Three),
            17 => Ok(Self::Seventeen),
            _ => Err(format!(
                "cipher suite {number} is not spoken: 17 or 3, which prove who asks and encrypt"
            )),
        }
    }
}

impl From<CipherSuite> for u8 {
    fn from(suite: CipherSuite) -> Self {
        match suite {
            CipherSuite::Three => 3,
            CipherSuite::Seventeen => 17,
        }
    }
}

/// Host and port, as a person writes them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Host(String);

impl Host {
    /// As it is written.
    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Host {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        // A node's name is a host's name.
        match split(&text.replace("{node}", "node")) {
            Some(_) => Ok(Self(text)),
            None => Err(format!(
                "{text:?} is no host: a name or an address, with or without a port, such as bmc-{{node}}, \
                 10.1.2.3:623 or [2001:db8::7]"
            )),
        }
    }
}

impl From<Host> for String {
    fn from(host: Host) -> Self {
        host.0
    }
}

/// Host and port of a text such as `bmc:623`, `10.1.2.3` or `[::1]:623`.
pub(super) fn split(text: &str) -> Option<(String, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            host.parse::<Ipv6Addr>().ok()?;
            (host, after.strip_prefix(':').or(Some("").filter(|_| after.is_empty()))?)
        }
        None if text.parse::<Ipv6Addr>().is_ok() => (text, ""),
        None => {
            let (host, port) = text.split_once(':').unwrap_or((text, ""));
            if text.ends_with(':') || !is_name(host) {
                return None;
            }
            (host, port)
        }
    };
    let port = if port.is_empty() { Some(PORT) } else { port.parse().ok() };
    Some((host.to_owned(), port.filter(|port| *port != 0)?))
}

fn is_name(host: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || "-._{}".contains(c);
    !host.is_empty() && host.len() <= 253 && host.chars().all(known)
}

/// The time that `text` says, where it lies between the two.
fn span(text: &str, shortest: u64, longest: u64) -> Option<Duration> {
    let span = text.parse::<SignedDuration>().ok()?;
    let span = Duration::try_from(span).ok()?;
    let bounds = Duration::from_secs(shortest)..=Duration::from_secs(longest);
    bounds.contains(&span).then_some(span)
}

fn shown(span: Duration) -> String {
    format!("{:#}", SignedDuration::try_from(span).unwrap_or_default())
}

/// Time between two reads, 5 seconds to 10 minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Every(Duration);

impl Every {
    /// As a duration.
    pub(super) fn duration(self) -> Duration {
        self.0
    }
}

impl TryFrom<String> for Every {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let found = span(&text, 5, 600).map(Self);
        found.ok_or_else(|| {
            format!("{text:?} is no interval for a BMC: 5s to 10m, such as 10s; more often wears it out")
        })
    }
}

impl From<Every> for String {
    fn from(every: Every) -> Self {
        shown(every.0)
    }
}

/// Time that an answer may take, 1 second to 1 minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Patience(Duration);

impl Patience {
    /// As a duration.
    pub(super) fn duration(self) -> Duration {
        self.0
    }
}

impl TryFrom<String> for Patience {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let found = span(&text, 1, 60).map(Self);
        found.ok_or_else(|| format!("{text:?} is no time-out for a BMC: 1s to 1m, such as 5s"))
    }
}

impl From<Patience> for String {
    fn from(patience: Patience) -> Self {
        shown(patience.0)
    }
}
