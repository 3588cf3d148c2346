//! `sensors.pdu`: what a person writes of a PDU, and what of it cannot be.

use super::model::{Measure, OUTLET};
use crate::config::Interval;
use async_snmp::Oid;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

/// One PDU, as it is written. `Pdu` is one that can be.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Name or address of the PDU, such as `pdu-a.example` or `10.0.0.5:1161`; the port is 161 where none is
    /// given. `{node}` stands for the node's name.
    pub host: String,
    /// `apc` (rPDU2: AP8000, AP9000, APDU), `raritan` (PX2, PX3 and newer), or `generic`, where `oids` tells
    /// what to read.
    pub model: Model,
    /// Version of SNMP: `2c` (the default; the community crosses the network in the clear) or `3`.
    #[serde(default)]
    pub version: Version,
    /// For `2c`: a file whose only line is the community that may read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub community_file: Option<PathBuf>,
    /// For `3`: a YAML file with the keys `username`, `auth_password` and, where `privacy` is not `none`,
    /// `privacy_password`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_file: Option<PathBuf>,
    /// For `3`, how the user proves who asks: `md5`, `sha` (the default), `sha224`, `sha256`, `sha384` or
    /// `sha512`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentication: Option<Authentication>,
    /// For `3`, how what is said is hidden: `aes` (AES-128, the default), `des` or `none`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub privacy: Option<Privacy>,
    /// Outlets that feed this node, such as `[3, 4]`; or, for a configuration that many nodes share, the
    /// outlets of each node by its name, such as `{node-a: [3], node-b: [4, 5]}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outlets: Option<Outlets>,
    /// Instead of `outlets`: everything that the PDU feeds is this node.
    #[serde(default)]
    pub whole: bool,
    /// For `generic`: one OID for power, one for an energy register, or both.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub oids: Vec<Measure>,
    /// How often it is read, 1s to 1m; 10s where nothing is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
    /// How long an answer is waited for, 100ms to 30s; 2s where nothing is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Interval>,
    /// How often a request that was not answered is sent again, 0 to 5; once where nothing is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
}

/// A PDU that can be asked.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "Entry", into = "Entry")]
#[schemars(with = "Entry")]
pub struct Pdu(Entry);

impl From<Pdu> for Entry {
    fn from(pdu: Pdu) -> Self {
        pdu.0
    }
}

impl Pdu {
    pub(super) fn entry(&self) -> &Entry {
        &self.0
    }

    pub(super) fn interval(&self) -> Duration {
        self.0
            .interval
            .map_or(Duration::from_secs(10), Interval::duration)
    }

    pub(super) fn timeout(&self) -> Duration {
        self.0
            .timeout
            .map_or(Duration::from_secs(2), Interval::duration)
    }

    pub(super) fn retries(&self) -> u32 {
        self.0.retries.unwrap_or(1)
    }
}

/// `model`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Model {
    /// APC's rPDU2 tables.
    Apc,
    /// Raritan's PDU2-MIB.
    Raritan,
    /// What `oids` tells.
    Generic,
}

/// `version`, which YAML reads as a text or as a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "serde_yaml::Value")]
#[schemars(with = "String")]
pub enum Version {
    /// Communities.
    #[default]
    #[serde(rename = "2c")]
    Two,
    /// Users.
    #[serde(rename = "3")]
    Three,
}

impl TryFrom<serde_yaml::Value> for Version {
    type Error = String;
    fn try_from(value: serde_yaml::Value) -> Result<Self, String> {
        match (value.as_str(), value.as_u64()) {
            (Some("2c"), _) => Ok(Self::Two),
            (Some("3"), _) | (_, Some(3)) => Ok(Self::Three),
            _ => Err("version: give 2c or 3: no other version of SNMP is spoken here".to_owned()),
        }
    }
}

/// `authentication` (RFC 3414, RFC 7860).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Authentication {
    /// HMAC-MD5-96.
    Md5,
    /// HMAC-SHA-96.
    #[default]
    Sha,
    /// HMAC-128-SHA-224.
    Sha224,
    /// HMAC-192-SHA-256.
    Sha256,
    /// HMAC-256-SHA-384.
    Sha384,
    /// HMAC-384-SHA-512.
    Sha512,
}

/// `privacy` (RFC 3414, RFC 3826).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Privacy {
    /// Signed, and readable by all.
    None,
    /// DES-CBC.
    Des,
    /// AES-128-CFB.
    #[default]
    Aes,
}

/// `outlets`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged, try_from = "serde_yaml::Value")]
#[schemars(with = "Vec<u32>")]
pub enum Outlets {
    /// Those of this node.
    Here(Vec<u32>),
    /// Those of each node.
    Of(BTreeMap<String, Vec<u32>>),
}

/// Largest number of an outlet, far above that of any rack.
const LAST_OUTLET: u32 = 9999;

/// Most outlets of one node on one PDU, so that one read has a bound.
const MOST_OUTLETS: usize = 32;

impl TryFrom<serde_yaml::Value> for Outlets {
    type Error = String;
    fn try_from(value: serde_yaml::Value) -> Result<Self, String> {
        let wrong = "outlets: give numbers from 1, such as [3, 4], or those of each node, such as \
                     {node-a: [3], node-b: [4, 5]}";
        let outlets = match value {
            list @ serde_yaml::Value::Sequence(_) => serde_yaml::from_value(list).map(Self::Here),
            map @ serde_yaml::Value::Mapping(_) => serde_yaml::from_value(map).map(Self::Of),
            _ => return Err(wrong.to_owned()),
        };
        let outlets = outlets.map_err(|_| wrong.to_owned())?;
        outlets.check()?;
        Ok(outlets)
    }
}

impl Outlets {
    fn check(&self) -> Result<(), String> {
        let lists: Vec<&Vec<u32>> = match self {
            Self::Here(list) => vec![list],
            Self::Of(map) => map.values().collect(),
        };
        let mut seen = BTreeSet::new();
        if lists.is_empty() {
            return Err("outlets: name at least one node".to_owned());
        }
        for list in lists {
            if list.is_empty() || list.len() > MOST_OUTLETS {
                return Err(format!(
                    "outlets: a node has 1 to {MOST_OUTLETS} of them; leave out a node that the PDU does \
                     not feed"
                ));
            }
            for outlet in list {
                if !(1..=LAST_OUTLET).contains(outlet) {
                    return Err(format!(
                        "outlets: there is no outlet {outlet}: they are numbered from 1"
                    ));
                }
                if !seen.insert(*outlet) {
                    return Err(format!(
                        "outlets: {outlet} is given twice, and would be booked twice"
                    ));
                }
            }
        }
        Ok(())
    }

    /// Those of a node; empty where it has none.
    pub(super) fn of(&self, node: &str) -> &[u32] {
        match self {
            Self::Here(list) => list,
            Self::Of(map) => map.get(node).map_or(&[], Vec::as_slice),
        }
    }
}

impl TryFrom<Entry> for Pdu {
    type Error = String;
    fn try_from(entry: Entry) -> Result<Self, String> {
        let host = &entry.host;
        let told = |wrong: String| format!("pdu {host}: {wrong}");
        if address(host).is_none() {
            return Err(format!(
                "pdu: {host:?} is no host: give a name or an address, such as pdu-a.example or \
                 10.0.0.5:1161, and an IPv6 address with a port as [fe80::1]:161"
            ));
        }
        secrets(&entry).map_err(told)?;
        feeds(&entry).map_err(told)?;
        times(&entry).map_err(told)?;
        Ok(Self(entry))
    }
}

fn must(holds: bool, wrong: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(wrong.to_owned()) }
}

fn secrets(entry: &Entry) -> Result<(), String> {
    if entry.version == Version::Three {
        must(
            entry.community_file.is_none(),
            "version 3 has users and no community: give credentials_file instead of community_file",
        )?;
        return must(
            entry.credentials_file.is_some(),
            "version 3 needs a credentials_file with the keys username, auth_password and privacy_password",
        );
    }
    must(
        entry.credentials_file.is_none()
            && entry.authentication.is_none()
            && entry.privacy.is_none(),
        "credentials_file, authentication and privacy are of version 3: add version: 3, or give \
         community_file instead",
    )?;
    must(
        entry.community_file.is_some(),
        "version 2c needs a community_file, whose only line is the community that may read",
    )
}

fn feeds(entry: &Entry) -> Result<(), String> {
    match (&entry.outlets, entry.whole) {
        (Some(_), true) => {
            return Err("give outlets or whole: true, not both".to_owned());
        }
        (None, false) => {
            return Err(
                "give the outlets that feed this node, such as outlets: [3, 4]; where all that the PDU \
                 feeds is this node, say so by whole: true"
                    .to_owned(),
            );
        }
        _ => {}
    }
    must(
        !(entry.whole && entry.model == Model::Raritan),
        "a Raritan PDU may have several inlets: list the outlets, or read its inlet with model: generic",
    )?;
    if entry.model != Model::Generic {
        return must(
            entry.oids.is_empty(),
            "oids are for model: generic; the others know theirs",
        );
    }
    must(
        !entry.oids.is_empty(),
        "model: generic needs oids, such as oids: [{oid: \"1.3.6.1.4.1.99.7.{outlet}\", unit: W, scale: 0.1}]",
    )?;
    for measure in &entry.oids {
        let template = measure.oid.contains(OUTLET);
        must(
            template != entry.whole,
            "each of oids holds {outlet} where the outlet's number belongs, and none does with whole: true",
        )?;
    }
    let (power, energy): (Vec<_>, Vec<_>) = entry.oids.iter().partition(|m| m.unit.is_power());
    must(
        power.len() <= 1 && energy.len() <= 1,
        "give at most one OID in W and one in J, Wh or kWh: they are two views of the same outlet",
    )?;
    must(
        !power.is_empty() || energy.iter().all(|measure| measure.is_fine()),
        "that energy register counts in steps of more than 1 Wh, too coarse to be booked: give the OID of \
         the power as well",
    )
}

fn times(entry: &Entry) -> Result<(), String> {
    let interval = entry.interval.map(Interval::duration);
    let timeout = entry.timeout.map(Interval::duration);
    must(
        interval.is_none_or(|interval| interval >= Duration::from_secs(1)),
        "interval: 1s to 1m: PDUs measure no more often than each second, and their processors are small",
    )?;
    must(
        timeout.is_none_or(|timeout| timeout <= Duration::from_secs(30)),
        "timeout: 100ms to 30s",
    )?;
    must(
        entry.retries.is_none_or(|retries| retries <= 5),
        "retries: 0 to 5",
    )
}

/// Whether a text can be an OID once an outlet's number stands in it.
pub(super) fn oid(text: &str, outlet: u32) -> Option<Oid> {
    let text = text.replace(OUTLET, &outlet.to_string());
    let oid = Oid::parse(text.trim_start_matches('.')).ok()?;
    oid.validate_for_wire().ok()?;
    (oid.len() >= 3).then_some(oid)
}

/// Host and port; `None` for what is neither name nor address. The port that SNMP has at IANA is 161.
pub(super) fn address(text: &str) -> Option<(&str, u16)> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        host.parse::<std::net::Ipv6Addr>().ok()?;
        match port {
            "" => (host, "161"),
            _ => (host, port.strip_prefix(':')?),
        }
    } else if text.parse::<std::net::Ipv6Addr>().is_ok() {
        (text, "161")
    } else {
        text.split_once(':').unwrap_or((text, "161"))
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || ".-_:{}".contains(c);
    let named = (1..=253).contains(&host.len()) && host.chars().all(fits);
    let port = port.parse().ok().filter(|port| *port > 0)?;
    named.then_some((host, port))
}
