//! `sensors.redfish`: what a person writes of a BMC, and what of it cannot be.

use crate::sensor::Roots;
use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

/// One BMC, as it is written. `Bmc` is one that can be.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Where the BMC answers, such as `https://bmc-{node}.example` or `https://10.0.0.7:8443`: `https` alone, for
    /// the password crosses the network. `{node}` stands for the node's name, here and in the files.
    pub url: String,
    /// A YAML file with the keys `username` and `password`, read again when it changes. An account that may only
    /// read (`ReadOnly`) suffices.
    pub credentials_file: PathBuf,
    /// A PEM file with the authorities that may have signed the BMC's certificate, and no others; or with that
    /// certificate itself. Unset: those that the machine trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Take any certificate: whoever is on the way can read the password and change the figures.
    #[serde(default)]
    pub insecure_skip_verify: bool,
    /// Chassis whose power together is this node's, by the last part of their path, such as `[Self]`. Unset: the
    /// outermost that tell power and hold one computer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chassis: Vec<String>,
    /// How often it is read, 1s to 10m; 10s where nothing is given.
    #[serde(default)]
    pub interval: Span<1_000, 600_000, 10_000>,
    /// How long one request may take, 100ms to 30s; 5s where nothing is given.
    #[serde(default)]
    pub timeout: Span<100, 30_000, 5_000>,
    /// `session` (the default; `basic` where the BMC knows no sessions) or `basic`, which sends the password with
    /// every request.
    #[serde(default)]
    pub auth: Auth,
}

/// A BMC that can be asked.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "Entry", into = "Entry")]
#[schemars(with = "Entry")]
pub struct Bmc(Entry);

/// How it is proved who asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Auth {
    /// A token for the password, given back at the end.
    #[default]
    Session,
    /// The password, with every request.
    Basic,
}

/// A time between two bounds, with one that is usual, all in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Span<const LEAST: u64, const MOST: u64, const USUAL: u64>(Duration);

impl<const LEAST: u64, const MOST: u64, const USUAL: u64> Default for Span<LEAST, MOST, USUAL> {
    fn default() -> Self {
        Self(Duration::from_millis(USUAL))
    }
}

impl<const LEAST: u64, const MOST: u64, const USUAL: u64> Span<LEAST, MOST, USUAL> {
    /// As a duration.
    #[must_use]
    pub fn duration(self) -> Duration {
        self.0
    }
}

impl<const LEAST: u64, const MOST: u64, const USUAL: u64> TryFrom<String>
    for Span<LEAST, MOST, USUAL>
{
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let bounds = Duration::from_millis(LEAST)..=Duration::from_millis(MOST);
        let span = text.parse::<SignedDuration>().ok();
        let span = span.and_then(|span| Duration::try_from(span).ok());
        let shown = |span: &Duration| String::from(Self(*span));
        span.filter(|span| bounds.contains(span))
            .map(Self)
            .ok_or_else(|| {
                format!(
                    "{text:?} is no time between {} and {}, such as {}",
                    shown(bounds.start()),
                    shown(bounds.end()),
                    String::from(Self::default())
                )
            })
    }
}

impl<const LEAST: u64, const MOST: u64, const USUAL: u64> From<Span<LEAST, MOST, USUAL>>
    for String
{
    fn from(span: Span<LEAST, MOST, USUAL>) -> Self {
        format!("{:#}", SignedDuration::try_from(span.0).unwrap_or_default())
    }
}

impl From<Bmc> for Entry {
    fn from(bmc: Bmc) -> Self {
        bmc.0
    }
}

/// Most chassis that one entry may name.
const MOST_CHASSIS: usize = 16;

impl TryFrom<Entry> for Bmc {
    type Error = String;
    fn try_from(entry: Entry) -> Result<Self, String> {
        // Any name will do for the check.
        origin(&entry.url.replace("{node}", "n")).map_err(|wrong| format!("url: {wrong}"))?;
        if entry.insecure_skip_verify && entry.ca_file.is_some() {
            return Err(
                "give ca_file or insecure_skip_verify: true, not both: the one says whom to trust, the other \
                 that anybody is"
                    .to_owned(),
            );
        }
        if entry.credentials_file.as_os_str().is_empty() {
            return Err(
                "credentials_file: give the path of a file with username and password".to_owned(),
            );
        }
        if entry.chassis.len() > MOST_CHASSIS {
            return Err(format!("chassis: no node has more than {MOST_CHASSIS}"));
        }
        let mut seen = BTreeSet::new();
        for id in &entry.chassis {
            if id.is_empty() || id.contains('/') {
                return Err(format!(
                    "chassis: {id:?} is no chassis: give the last part of its path, such as Self for \
                     /redfish/v1/Chassis/Self"
                ));
            }
            if !seen.insert(id) {
                return Err(format!(
                    "chassis: {id} is given twice, and would be booked twice"
                ));
            }
        }
        Ok(Self(entry))
    }
}

/// Where a BMC is, once its text names the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// `https://host:port`, without the port where it is the usual one.
    pub url: String,
    /// The host alone, for names.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Bmc {
    pub(super) fn entry(&self) -> &Entry {
        &self.0
    }

    /// Where it is for this node.
    pub(super) fn origin(&self, roots: &Roots) -> Result<Origin, String> {
        origin(&roots.named(&self.0.url))
    }

    /// A path, with the node's name in it.
    pub(super) fn path(roots: &Roots, path: &std::path::Path) -> PathBuf {
        roots.named(&path.to_string_lossy()).into()
    }
}

/// Takes a URL apart. What it says does not repeat the URL, which may hold a password.
fn origin(url: &str) -> Result<Origin, String> {
    const SUCH: &str = "such as https://bmc-{node}.example or https://10.0.0.7:8443";
    let Some(rest) = url.strip_prefix("https://") else {
        return Err(format!(
            "must begin with https://, {SUCH}: over http the password could be read by all"
        ));
    };
    if rest.contains('@') {
        return Err("must hold no user or password: they belong into credentials_file".to_owned());
    }
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains(['/', '?', '#']) {
        return Err(format!("ends with the host and its port, {SUCH}"));
    }
    let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => {
            let good = address.parse::<std::net::Ipv6Addr>().is_ok();
            (good.then_some(address), port.strip_prefix(':').or_else(|| port.is_empty().then_some("443")))
        }
        None => {
            let (host, port) = rest.rsplit_once(':').unwrap_or((rest, "443"));
            let fits = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
            let good = (1..=253).contains(&host.len()) && host.chars().all(fits);
            (good.then_some(host), Some(port))
        }
    };
    let host = host.ok_or_else(|| {
        format!("has no host that can be: a name, an address, or an IPv6 address in brackets, {SUCH}")
    })?;
    let port: Option<u16> = port.and_then(|port| port.parse().ok());
    let port = port
        .filter(|port| *port > 0)
        .ok_or("has a port that is none: 1 to 65535")?;
    let shown = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let url = match port {
        443 => format!("https://{shown}"),
        _ => format!("https://{shown}:{port}"),
    };
    Ok(Origin { url, host: host.to_owned(), port })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn parse(more: &str) -> Result<Config, String> {
        Config::parse(&format!(
            "sensors: {{redfish: [{{url: 'https://bmc-{{node}}.example', credentials_file: /c, {more}}}]}}"
        ))
    }

    #[test]
    fn what_is_not_written_is_usual() {
        let config = parse("").unwrap();
        let entry = config.sensors.redfish.0[0].entry();
        assert_eq!(entry.interval.duration(), Duration::from_secs(10));
        assert_eq!(entry.timeout.duration(), Duration::from_secs(5));
        assert_eq!(entry.auth, Auth::Session);
        assert!(Config::parse("").unwrap().sensors.redfish.0.is_empty());
        parse("interval: 10m, timeout: 30s, auth: basic, chassis: [Self]").unwrap();
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_to_write() {
        for (more, told) in [
            ("interval: 500ms", "between 1s and 10m, such as 10s"),
            ("interval: 11m", "between 1s and 10m"),
            ("timeout: 1m", "between 100ms and 30s"),
            ("auth: digest", "`session`"),
            ("chassis: [Self, Self]", "twice"),
            ("chassis: [/redfish/v1/Chassis/Self]", "last part"),
            ("ca_file: /a, insecure_skip_verify: true", "not both"),
            ("user: root", "unknown key"),
        ] {
            let message = parse(more).unwrap_err();
            assert!(message.contains(told), "{more}: {message}");
            assert!(message.contains("redfish"), "{more}: {message}");
        }
    }

    #[test]
    fn a_url_is_https_and_a_host() {
        for (url, host, port) in [
            ("https://bmc.example", "bmc.example", 443),
            ("https://bmc.example/", "bmc.example", 443),
            ("https://10.0.0.7:8443", "10.0.0.7", 8443),
            ("https://[fe80::1]:8443/", "fe80::1", 8443),
            ("https://[fe80::1]", "fe80::1", 443),
        ] {
            let found = origin(url).unwrap();
            assert_eq!((found.host.as_str(), found.port), (host, port), "{url}");
        }
        for (url, told) in [
            ("http://bmc.example", "https://"),
            ("bmc.example", "https://"),
            ("https://root:hunter2@bmc.example", "credentials_file"),
            ("https://bmc.example/redfish/v1", "ends with the host"),
            ("https://", "host"),
            ("https://bmc .example", "host"),
            ("https://fe80::1", "host"),
            ("https://bmc.example:0", "port"),
            ("https://bmc.example:99999", "port"),
            ("https://[fe80::1]x", "port"),
        ] {
            let message = origin(url).unwrap_err();
            assert!(message.contains(told), "{url}: {message}");
            assert!(!message.contains("hunter2"), "{message}");
        }
    }
}
