//! What the providers have in common that a site points at something of its own: a file, a URL, a query.

use super::Garbage;
use super::read;
use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What a number is in. There is no default: pounds taken for grams would look like a clean grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum Unit {
    /// Grams for each kWh.
    #[serde(rename = "g/kWh")]
    GramsPerKwh,
    /// Kilograms for each kWh.
    #[serde(rename = "kg/kWh")]
    KilogramsPerKwh,
    /// Kilograms for each MWh, which is the same number as in g/kWh.
    #[serde(rename = "kg/MWh")]
    KilogramsPerMwh,
    /// Metric tonnes for each MWh.
    #[serde(rename = "t/MWh")]
    TonnesPerMwh,
    /// Pounds for each MWh.
    #[serde(rename = "lb/MWh")]
    PoundsPerMwh,
}

impl Unit {
    /// A number in this unit, in g/kWh.
    #[must_use]
    pub fn grams(self, number: f64) -> f64 {
        number
            * match self {
                Self::GramsPerKwh | Self::KilogramsPerMwh => 1.0,
                Self::KilogramsPerKwh | Self::TonnesPerMwh => 1000.0,
                Self::PoundsPerMwh => read::POUNDS_PER_MWH,
            }
    }
}

/// An address that begins with `http://` or `https://`, and holds no name and password.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Url(String);

impl Url {
    /// One that is documented.
    pub(crate) fn known(url: &'static str) -> Self {
        Self(url.to_owned())
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// With `{zone}` replaced by the zone.
    #[must_use]
    pub fn of_zone(&self, zone: &str) -> String {
        self.0.replace("{zone}", &read::escaped(zone))
    }
}

impl TryFrom<String> for Url {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let rest = text
            .strip_prefix("https://")
            .or_else(|| text.strip_prefix("http://"))
            .ok_or_else(|| format!("{text:?} does not begin with http:// or https://"))?;
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if host.contains('@') {
            // Not shown: it may be a password.
            return Err("a URL holds no name and password here: write token_file".to_owned());
        }
        if host.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(format!(
                "{text:?} is no URL: a host is missing, or there is a space in it"
            ));
        }
        Ok(Self(text))
    }
}

impl From<Url> for String {
    fn from(url: Url) -> Self {
        url.0
    }
}

/// A time such as `5m`, `1h` or `24h`: 1 minute to 31 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Step(Duration);

impl Default for Step {
    fn default() -> Self {
        Self(Duration::from_secs(3600))
    }
}

impl Step {
    /// So many minutes.
    #[must_use]
    pub const fn minutes(minutes: u32) -> Self {
        Self(Duration::from_secs(60 * minutes as u64))
    }

    /// As a duration.
    #[must_use]
    pub fn duration(self) -> Duration {
        self.0
    }

    /// How often to ask for what has this step: as often as there is something new, at most once a
    /// minute, at least once in five.
    #[must_use]
    pub fn every(self) -> Duration {
        self.0
            .clamp(Duration::from_secs(60), Duration::from_secs(300))
    }
}

impl TryFrom<String> for Step {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let (shortest, longest) = (Duration::from_secs(60), Duration::from_secs(31 * 86400));
        text.parse::<SignedDuration>()
            .ok()
            .and_then(|span| Duration::try_from(span).ok())
            .filter(|span| (shortest..=longest).contains(span))
            .map(Self)
            .ok_or_else(|| format!("{text:?} is no step: 1m to 744h, such as 5m or 1h"))
    }
}

impl From<Step> for String {
    fn from(step: Step) -> Self {
        format!("{:#}", SignedDuration::try_from(step.0).unwrap_or_default())
    }
}

/// How a token is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TokenAs {
    /// `Authorization: Bearer TOKEN`.
    #[default]
    Bearer,
    /// `Authorization: Token TOKEN`.
    Token,
    /// `X-Api-Key: TOKEN`.
    XApiKey,
    /// `X-Auth-Token: TOKEN`.
    XAuthToken,
    /// `Auth-Token: TOKEN`.
    AuthToken,
}

impl TokenAs {
    /// The header and what stands before the token.
    #[must_use]
    pub fn header(self) -> (&'static str, &'static str) {
        match self {
            Self::Bearer => ("authorization", "Bearer "),
            Self::Token => ("authorization", "Token "),
            Self::XApiKey => ("x-api-key", ""),
            Self::XAuthToken => ("x-auth-token", ""),
            Self::AuthToken => ("auth-token", ""),
        }
    }
}

/// A number that a JSON value is or that it is written as.
///
/// # Errors
/// Where it is neither, or not finite.
pub fn number(value: &serde_json::Value) -> Result<f64, Garbage> {
    let number = match value {
        serde_json::Value::Number(number) => number.as_f64(),
        serde_json::Value::String(text) => text.trim().parse().ok(),
        serde_json::Value::Null => return Err(Garbage::Empty),
        _ => None,
    };
    number
        .filter(|number: &f64| number.is_finite())
        .ok_or_else(|| Garbage::Form("the value is no number".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_by_their_names() {
        for (name, grams) in [
            ("g/kWh", 2.0),
            ("kg/MWh", 2.0),
            ("kg/kWh", 2000.0),
            ("t/MWh", 2000.0),
            ("lb/MWh", 0.907_184_74),
        ] {
            let unit: Unit = serde_yaml::from_str(name).unwrap();
            assert_eq!(unit.grams(2.0), grams, "{name}");
        }
        assert!(serde_yaml::from_str::<Unit>("percent").is_err());
    }

    #[test]
    fn a_url_without_secrets() {
        let url = Url::try_from("https://host/a?zone={zone}".to_owned()).unwrap();
        assert_eq!(url.of_zone("A B"), "https://host/a?zone=A%20B");
        for text in [
            "host/a",
            "ftp://host",
            "https:///a",
            "http://a b",
            "",
            "file:///etc",
        ] {
            assert!(Url::try_from(text.to_owned()).is_err(), "{text}");
        }
        let error = Url::try_from("https://me:hunter2@host/".to_owned()).unwrap_err();
        assert!(!error.contains("hunter2") && error.contains("token_file"));
        assert!(Url::try_from("https://host/?to=me@host".to_owned()).is_ok());
    }

    #[test]
    fn steps_have_limits() {
        let step = |text: &str| Step::try_from(text.to_owned());
        assert_eq!(step("15m").unwrap().duration(), Duration::from_secs(900));
        assert_eq!(String::from(step("15m").unwrap()), "15m");
        assert_eq!(step("24h").unwrap().every(), Duration::from_secs(300));
        for text in ["", "0s", "30s", "-1h", "745h", "hour"] {
            assert!(step(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_and_texts() {
        let number = |text: &str| number(&serde_json::from_str(text).unwrap());
        assert_eq!(number("12.5"), Ok(12.5));
        assert_eq!(number("\" 12.5 \""), Ok(12.5));
        assert_eq!(number("null"), Err(Garbage::Empty));
        for text in ["\"NaN\"", "\"inf\"", "\"high\"", "[1]", "{}", "true"] {
            assert!(matches!(number(text), Err(Garbage::Form(_))), "{text}");
        }
    }
}
