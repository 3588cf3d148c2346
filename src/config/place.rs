//! Where the node stands, as far as a configuration tells: a cloud, or a map for labs with several sites.

use super::Config;
use crate::file;
use crate::grid::provider::own::Url;
use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// The word that leaves it to the cloud's metadata service.
const AUTO: &str = "auto";

/// `grid.cloud`.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Cloud {
    /// `aws`, `gcp`, `azure`, ...; or `auto` (also written `cloud: auto`): ask the instance metadata service
    /// of AWS, Google Cloud or Azure when starting, if the firmware says that the machine is one of theirs;
    /// where that tells nothing and `workloads.kubernetes.api_server` leads to an API server, the node's
    /// label `topology.kubernetes.io/region`, which needs the right to get nodes.
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

/// `grid.zone_map`: one configuration for machines at several sites. The label of a machine is what
/// `label_file` says, or else the variable `GRAMWATT_ZONE_LABEL`, or else the machine's name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ZoneMap {
    /// A file whose only line is the label, such as one that the machine's installer wrote. Unset: the
    /// environment's `GRAMWATT_ZONE_LABEL`, where a chart can put it; without that the machine's name.
    pub label_file: Option<PathBuf>,
    /// Zones by label: `{site-a: DE, site-b: FR}`. `*` stands for any text (`{gpu-*: DE, "*": FR}`); of
    /// several that fit the one with the most other characters is taken.
    pub map: BTreeMap<String, String>,
}

/// The variable of the environment that a label is taken from.
const LABEL: &str = "GRAMWATT_ZONE_LABEL";

/// Largest file of a label.
const LARGEST: u64 = 4096;

/// A machine's label, and where it is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The label.
    pub text: String,
    /// Where it is from, for people.
    pub from: String,
}

impl ZoneMap {
    /// The label of a machine of this name.
    ///
    /// # Errors
    /// Where a file is named and tells none.
    pub fn label(&self, host: &str) -> Result<Label, String> {
        if let Some(path) = &self.label_file {
            let from = path.display().to_string();
            let wrong = |why: &str| {
                format!(
                    "grid.zone_map.label_file: {from} {why}: write the machine's label to it, one line, or \
                     leave label_file out to go by {LABEL} or the machine's name"
                )
            };
            let bytes = file::read(path, LARGEST).map_err(|error| wrong(&format!("({error})")))?;
            let text = String::from_utf8(bytes).map_err(|_| wrong("is no text"))?;
            let text = text.trim();
            if text.is_empty() || text.contains(char::is_control) {
                return Err(wrong("is not one line of text"));
            }
            return Ok(Label {
                text: text.to_owned(),
                from,
            });
        }
        let told = std::env::var(LABEL).unwrap_or_default();
        Ok(match told.trim() {
            "" => Label {
                text: host.to_owned(),
                from: "the machine's name".to_owned(),
            },
            text => Label {
                text: text.to_owned(),
                from: LABEL.to_owned(),
            },
        })
    }

    /// The entry of the map for a label: its key, and the zone.
    ///
    /// # Errors
    /// Where none fits, with all that are known; or where several fit as well as one another.
    pub fn zone(&self, label: &Label) -> Result<(&str, &str), String> {
        let weight = |key: &str| key.chars().filter(|c| *c != '*').count();
        // A key that is the label itself has no star, and goes before one of as many characters.
        let rank = |key: &str| (key == label.text, weight(key));
        let fits = self.map.iter().filter(|(key, _)| fits(key, &label.text));
        let mut fits: Vec<(&str, &str)> = fits.map(|(key, zone)| (&**key, &**zone)).collect();
        fits.sort_by_key(|(key, _)| std::cmp::Reverse(rank(key)));
        match fits.as_slice() {
            [] => {
                let known: Vec<&str> = self.map.keys().take(20).map(String::as_str).collect();
                let more = if self.map.len() > 20 { ", ..." } else { "" };
                Err(format!(
                    "grid.zone_map: nothing there fits {:?} (from {}); it has: {}{more}",
                    label.text,
                    label.from,
                    known.join(", ")
                ))
            }
            [(first, zone), (second, other), ..]
                if rank(first) == rank(second) && zone != other =>
            {
                Err(format!(
                    "grid.zone_map: {first:?} ({zone}) and {second:?} ({other}) fit {:?} equally: write {:?} \
                     itself, or more of one of them",
                    label.text, label.text
                ))
            }
            [first, ..] => Ok(*first),
        }
    }
}

/// Whether a text is as a pattern says, in which `*` stands for any text.
fn fits(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(head) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let tail = parts.pop().unwrap_or_default();
    for part in parts {
        // The earliest place leaves the most for the rest.
        match text.split_once(part) {
            Some((_, after)) => text = after,
            None => return false,
        }
    }
    text.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, text, is) in [
            ("gpu-*", "gpu-01", true),
            ("gpu-*", "gpu-", true),
            ("gpu-*", "login", false),
            ("*", "", true),
            ("*.paris.*", "n1.paris.lab", true),
            ("*.paris.*", "n1.berlin.lab", false),
            ("a*b*b", "ab", false),
            ("a*b*b", "abb", true),
            ("a*a", "a", false),
            ("login1", "login1", true),
            ("login1", "login12", false),
            ("", "", true),
        ] {
            assert_eq!(fits(pattern, text), is, "{pattern} {text}");
        }
    }

    #[test]
    fn the_closest_entry_is_taken_and_a_tie_is_refused() {
        let map: ZoneMap = serde_yaml::from_str(
            "map: {'*': FR, 'gpu-*': DE, gpu-7: SE, '*-x': NO, 'b*': FI, '*c': FI}",
        )
        .unwrap();
        let zone = |text: &str| {
            map.zone(&Label {
                text: text.to_owned(),
                from: "a test".to_owned(),
            })
        };
        assert_eq!(zone("gpu-7"), Ok(("gpu-7", "SE")));
        assert_eq!(zone("gpu-8"), Ok(("gpu-*", "DE")));
        assert_eq!(zone("gpu-x"), Ok(("gpu-*", "DE")));
        assert_eq!(zone("login"), Ok(("*", "FR")));
        // Two that fit and agree.
        assert_eq!(zone("bc").map(|(_, zone)| zone), Ok("FI"));
        let tie: ZoneMap = serde_yaml::from_str("map: {'a*': FR, '*b': DE}").unwrap();
        let label = Label {
            text: "ab".to_owned(),
            from: String::new(),
        };
        assert!(tie.zone(&label).unwrap_err().contains("equally"));
    }
}
