//! Where the node stands, as far as a configuration tells: a cloud, or a map for labs with several sites.

use super::Config;
use crate::grid::provider::own::Url;
use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// The word that leaves it to the cloud's metadata service.
const AUTO: &str = "auto";

/// `grid.cloud`.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Cloud {
    /// `aws`, `gcp`, `azure`, ...; or `auto` (also written `cloud: auto`): ask the instance metadata service
    /// of AWS, Google Cloud or Azure when starting, if the firmware says that the machine is one of theirs.
    pub provider: String,
    /// The provider's name of the region, such as `eu-central-1`; left out with `auto`.
    pub region: Option<String>,
    /// Where the metadata services are that `auto` asks.
    pub metadata: Metadata,
}

/// `grid.cloud.metadata`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Metadata {
    /// AWS' service (IMDSv2); `http://[fd00:ec2::254]` on a machine with IPv6 alone.
    pub aws: Url,
    /// Google Cloud's.
    pub gcp: Url,
    /// Azure's.
    pub azure: Url,
}

impl Default for Metadata {
    fn default() -> Self {
        Self {
            aws: Url::known("http://169.254.169.254"),
            gcp: Url::known("http://metadata.google.internal"),
            azure: Url::known("http://169.254.169.254"),
        }
    }
}

impl Cloud {
    /// Whether the cloud itself is asked.
    #[must_use]
    pub fn is_auto(&self) -> bool {
        self.provider == AUTO
    }

    /// A cloud whose region was told.
    #[must_use]
    pub fn told(provider: &str, region: &str) -> Self {
        Self {
            provider: provider.to_owned(),
            region: Some(region.to_owned()),
            metadata: Metadata::default(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    provider: String,
    region: Option<String>,
    metadata: Option<Metadata>,
}

impl TryFrom<Keys> for Cloud {
    type Error = &'static str;
    fn try_from(keys: Keys) -> Result<Self, &'static str> {
        match (keys.provider == AUTO, &keys.region, &keys.metadata) {
            (true, Some(_), _) => Err(
                "with provider auto the cloud tells the region: leave region out, or name the provider",
            ),
            (false, None, _) => {
                Err("region is missing: write `{provider: aws, region: eu-central-1}`, or `auto`")
            }
            (false, _, Some(_)) => Err("metadata is of use with provider auto alone: leave it out"),
            _ => Ok(Self {
                provider: keys.provider,
                region: keys.region,
                metadata: keys.metadata.unwrap_or_default(),
            }),
        }
    }
}

impl<'de> Deserialize<'de> for Cloud {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Written)
    }
}

struct Written;

impl<'de> Visitor<'de> for Written {
    type Value = Cloud;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`{provider: aws, region: eu-central-1}`, or `auto`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Cloud, E> {
        if text == AUTO {
            return Ok(Cloud {
                provider: AUTO.to_owned(),
                region: None,
                metadata: Metadata::default(),
            });
        }
        Err(E::custom(format!(
            "{text:?} alone is no cloud: write `{{provider: aws, region: eu-central-1}}`, or `auto`"
        )))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Cloud, A::Error> {
        let keys = Keys::deserialize(MapAccessDeserializer::new(map))?;
        keys.try_into().map_err(A::Error::custom)
    }
}

impl Config {
    /// The machine's name: the operator's, or the kernel's; empty where nobody tells.
    #[must_use]
    pub fn host(&self) -> Arc<str> {
        if let Some(name) = &self.node.name {
            return name.as_str().into();
        }
        let name = std::fs::read_to_string(self.path.procfs.join("sys/kernel/hostname"));
        name.unwrap_or_default().trim().into()
    }
}
