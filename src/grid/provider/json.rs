//! Any URL that answers JSON: a number at a place in it, in a unit that is configured.

use super::own::{Step, TokenAs, Unit, Url, number};
use super::{Answer, Auth, Garbage, Manners, Provider, Request, What, read};
use crate::grid::series::{Nature, Point, Scope, Signal};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

#[cfg(test)]
mod tests;

/// `type: json`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What to ask; `{zone}` in it is replaced by the zone, and is needed where there are several
    /// (or `zones`).
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
    /// Where the value is, as a JSON pointer (RFC 6901), such as `/data/0/intensity`.
    pub pointer: Pointer,
    /// What the value is in.
    pub unit: Unit,
    /// Where the beginning of the time is that the value is for: a text such as `2026-01-05T12:00Z`, or
    /// seconds or milliseconds since 1970. Without it the value is for the moment of the answer.
    #[serde(default)]
    pub time_pointer: Option<Pointer>,
    /// How long a value is for, and so how often there is a new one.
    #[serde(default)]
    pub step: Step,
    /// What the values count.
    pub factors: Scope,
    /// What the values answer.
    #[serde(default)]
    pub signal: Signal,
}

/// A JSON pointer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Pointer(String);

impl Pointer {
    /// What is at that place.
    ///
    /// # Errors
    /// Where there is nothing.
    pub fn of<'a>(&self, value: &'a Value) -> Result<&'a Value, Garbage> {
        value
            .pointer(&self.0)
            .ok_or_else(|| Garbage::Form(format!("there is nothing at {:?}", self.0).into()))
    }
}

impl TryFrom<String> for Pointer {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        if text.is_empty() || text.starts_with('/') {
            return Ok(Self(text));
        }
        Err(format!(
            "{text:?} is no JSON pointer: it begins with a slash, such as /data/0/intensity, or is empty \
             for the whole answer"
        ))
    }
}

impl From<Pointer> for String {
    fn from(pointer: Pointer) -> Self {
        pointer.0
    }
}

/// Headers by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(
    try_from = "BTreeMap<String, String>",
    into = "BTreeMap<String, String>"
)]
#[schemars(with = "BTreeMap<String, String>")]
pub struct Headers(BTreeMap<String, String>);

/// What a name of a header has in it whose value is a secret.
const SECRET: [&str; 6] = ["auth", "token", "key", "cookie", "secret", "password"];

impl TryFrom<BTreeMap<String, String>> for Headers {
    type Error = String;
    fn try_from(headers: BTreeMap<String, String>) -> Result<Self, String> {
        for (name, value) in &headers {
            let lower = name.to_ascii_lowercase();
            if SECRET.iter().any(|word| lower.contains(word)) {
                return Err(format!(
                    "header {name:?}: secrets come from files; write token_file, and token_as for how it \
                     is sent"
                ));
            }
            let is_name =
                |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            let is_named = !name.is_empty() && name.bytes().all(is_name);
            if !is_named || !value.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
                return Err(format!(
                    "{name:?} is no header, or its value holds more than plain ASCII"
                ));
            }
        }
        Ok(Self(headers))
    }
}

impl From<Headers> for BTreeMap<String, String> {
    fn from(headers: Headers) -> Self {
        headers.0
    }
}

pub(super) struct Json(Config);

/// Makes the provider.
pub(super) fn open(config: &Config) -> Result<Json, String> {
    Ok(Json(config.clone()))
}

impl Provider for Json {
    fn name(&self) -> &'static str {
        "json"
    }

    fn signal(&self) -> Signal {
        self.0.signal
    }

    fn manners(&self) -> Manners {
        Manners {
            apart: Duration::from_secs(1),
            lag: self.0.step.duration(),
            coarse: false,
        }
    }

    fn secret(&self) -> Option<&PathBuf> {
        self.0.token_file.as_ref()
    }

    fn tie(&self) -> Option<&'static str> {
        let is_tied = !self.0.url.as_str().contains("{zone}");
        is_tied.then_some("write {zone} into url, where the name of the zone stands")
    }

    fn is_dated(&self) -> bool {
        self.0.time_pointer.is_some()
    }

    fn requests(&self, zone: &str, _now: Timestamp) -> Result<Vec<Request>, String> {
        let url = self.0.url.of_zone(zone);
        let request = Request::open(What::Latest, url, self.0.step.every());
        let (header, before) = self.0.token_as.header();
        Ok(vec![Request {
            auth: match self.0.token_file {
                Some(_) => Auth::Header(header, before),
                None => Auth::None,
            },
            headers: self.0.headers.0.clone().into_iter().collect(),
            ..request
        }])
    }

    fn read(&self, _: What, _: &str, body: &[u8], now: Timestamp) -> Result<Answer, Garbage> {
        let told: Value = read::json(body)?;
        let grams = self.0.unit.grams(number(self.0.pointer.of(&told)?)?);
        let from = match &self.0.time_pointer {
            Some(pointer) => moment(pointer.of(&told)?)?,
            None => read::rounded(now, Duration::from_secs(60)),
        };
        let step = self.0.step.duration();
        Ok(Answer {
            scope: self.0.factors,
            points: vec![Point::lasting(from, step, grams, Nature::Measured)],
            of: None,
        })
    }
}

/// A moment as a text, or as seconds or milliseconds since 1970: in seconds, the year 5138 is far off.
fn moment(value: &Value) -> Result<Timestamp, Garbage> {
    if let Value::String(text) = value {
        return read::moment(text);
    }
    let seconds = number(value)?;
    let seconds = if seconds.abs() >= 1e11 {
        seconds / 1000.0
    } else {
        seconds
    };
    read::seconds(seconds)
}
