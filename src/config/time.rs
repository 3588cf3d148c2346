//! Times as a person writes them.

use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A time such as `2h`, up to two days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct MaxAge(Duration);

impl Default for MaxAge {
    fn default() -> Self {
        Self(Duration::from_secs(2 * 3600))
    }
}

impl MaxAge {
    /// As a duration.
    #[must_use]
    pub fn duration(self) -> Duration {
        self.0
    }
}

impl TryFrom<String> for MaxAge {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let longest = Duration::from_secs(48 * 3600);
        let age = span(&text).filter(|age| *age <= longest);
        age.map(Self)
            .ok_or_else(|| format!("{text:?} is no age: 0s to 48h, such as 2h"))
    }
}

impl From<MaxAge> for String {
    fn from(age: MaxAge) -> Self {
        format!("{:#}", SignedDuration::try_from(age.0).unwrap_or_default())
    }
}

/// A time as a person writes it, such as `90s` or `2h 30m`.
fn span(text: &str) -> Option<Duration> {
    let span: SignedDuration = text.parse().ok()?;
    Duration::try_from(span).ok()
}

/// A time such as `500ms`, `1s` or `1m`, 100 ms to 1 minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Interval(Duration);

impl Default for Interval {
    fn default() -> Self {
        Self(Duration::from_secs(1))
    }
}

impl Interval {
    /// A time that must be within the bounds.
    #[must_use]
    pub(crate) const fn of(time: Duration) -> Self {
        Self(time)
    }

    /// As a duration.
    #[must_use]
    pub fn duration(self) -> Duration {
        self.0
    }
}

impl TryFrom<String> for Interval {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let shortest = Duration::from_millis(100);
        let longest = Duration::from_secs(60);
        span(&text)
            .filter(|span| (shortest..=longest).contains(span))
            .map(Self)
            .ok_or_else(|| format!("{text:?} is no interval: 100ms to 1m, such as 500ms or 1s"))
    }
}

impl From<Interval> for String {
    fn from(span: Interval) -> Self {
        format!("{:#}", SignedDuration::try_from(span.0).unwrap_or_default())
    }
}

/// A time such as `30s` or `2m`, up to an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Span(Duration);

impl Span {
    /// So many seconds, which must be no more than 3600.
    #[must_use]
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// As a duration.
    #[must_use]
    pub fn duration(self) -> Duration {
        self.0
    }
}

impl TryFrom<String> for Span {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let longest = Duration::from_secs(3600);
        let time = span(&text).filter(|time| *time <= longest);
        time.map(Self)
            .ok_or_else(|| format!("{text:?} is no time: 0s to 1h, such as 30s or 2m"))
    }
}

impl From<Span> for String {
    fn from(time: Span) -> Self {
        format!("{:#}", SignedDuration::try_from(time.0).unwrap_or_default())
    }
}
