//! `node.pue`: a number, or somebody who tells it while the program runs.

use crate::grid::provider::json::{Headers, Pointer};
use crate::grid::provider::own::{Step, TokenAs, Url};
use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;

/// Facility power / IT power.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "f64")]
#[schemars(with = "f64")]
pub struct Pue(f64);

impl Pue {
    /// The ratio, 1 to 10.
    #[must_use]
    pub fn ratio(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Pue {
    type Error = String;
    fn try_from(ratio: f64) -> Result<Self, String> {
        if (1.0..=10.0).contains(&ratio) {
            return Ok(Self(ratio));
        }
        Err(format!(
            "{ratio} is no PUE: it is facility power / IT power, at least 1 (a facility uses what its \
             machines use, and more), at most 10"
        ))
    }
}

/// `node.pue`.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(with = "LivePue")]
pub enum PueOf {
    /// A number.
    Fixed(Pue),
    /// Whoever tells it.
    Live(LivePue),
}

impl PueOf {
    /// The number, where it is one.
    #[must_use]
    pub fn fixed(&self) -> Option<Pue> {
        match self {
            Self::Fixed(pue) => Some(*pue),
            Self::Live(_) => None,
        }
    }

    /// Who tells it, where it is no number.
    #[must_use]
    pub fn live(&self) -> Option<&LivePue> {
        match self {
            Self::Fixed(_) => None,
            Self::Live(live) => Some(live),
        }
    }
}

/// Who tells the PUE of the moment.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(tag = "type")]
pub enum LivePue {
    /// A PromQL query on an existing server.
    #[serde(rename = "prometheus")]
    Prometheus(PrometheusPue),
    /// Any URL that answers JSON.
    #[serde(rename = "json")]
    Json(JsonPue),
    /// A file that the site writes itself.
    #[serde(rename = "file")]
    File(FilePue),
}

fn five_minutes() -> Step {
    Step::minutes(5)
}

/// `node.pue`, `type: prometheus`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PrometheusPue {
    /// The server, with its prefix where it has one.
    pub url: Url,
    /// The query: a scalar, or a vector of exactly one sample.
    pub query: String,
    /// A file with a token, where one is needed; sent as `Authorization: Bearer`.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// How often there is a new value.
    #[serde(default = "five_minutes")]
    pub step: Step,
}

/// `node.pue`, `type: json`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JsonPue {
    /// What to ask.
    pub url: Url,
    /// Further headers, none of them secret.
    #[serde(default)]
    pub headers: Headers,
    /// A file with a token, where one is needed.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// How the token is sent.
    #[serde(default)]
    pub token_as: TokenAs,
    /// Where the value is, as a JSON pointer (RFC 6901), such as `/facility/pue`.
    pub pointer: Pointer,
    /// How often there is a new value.
    #[serde(default = "five_minutes")]
    pub step: Step,
}

/// `node.pue`, `type: file`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FilePue {
    /// The file, absolute: a number, or JSON where `pointer` is given. It is read every minute, and holds
    /// for as long as it is there.
    pub path: PathBuf,
    /// Where the value is, as a JSON pointer (RFC 6901). Unset: the file is the number.
    #[serde(default)]
    pub pointer: Option<Pointer>,
}

impl<'de> Deserialize<'de> for PueOf {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Written)
    }
}

struct Written;

impl<'de> Visitor<'de> for Written {
    type Value = PueOf;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number such as 1.3, or `{type: prometheus, url: ..., query: ...}`")
    }

    fn visit_f64<E: Error>(self, ratio: f64) -> Result<PueOf, E> {
        Pue::try_from(ratio).map(PueOf::Fixed).map_err(E::custom)
    }

    #[allow(clippy::cast_precision_loss)]
    fn visit_i64<E: Error>(self, ratio: i64) -> Result<PueOf, E> {
        self.visit_f64(ratio as f64)
    }

    #[allow(clippy::cast_precision_loss)]
    fn visit_u64<E: Error>(self, ratio: u64) -> Result<PueOf, E> {
        self.visit_f64(ratio as f64)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<PueOf, A::Error> {
        LivePue::deserialize(MapAccessDeserializer::new(map)).map(PueOf::Live)
    }
}
