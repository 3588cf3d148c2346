//! Gramwatt's own relay, which asks once for a whole cluster: `gramwatt grid`.

use super::{Answer, Auth, Garbage, Manners, Origin, Provider, Request, What, read};
use crate::grid::series::Signal;
use crate::grid::sheet::Sheet;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// `type: relay`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the relay is, such as `http://gramwatt-relay:10062`.
    pub url: String,
    /// Which intensity is asked for: `average` or `marginal`.
    #[serde(default)]
    pub signal: Signal,
    /// A file with the token that a proxy before the relay wants, as a bearer's.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
}

/// The relay.
pub(super) struct Relay(Config);

/// Makes the provider.
pub(super) fn open(config: &Config) -> Result<Relay, String> {
    if !(config.url.starts_with("http://") || config.url.starts_with("https://")) {
        return Err(format!("{:?} is no URL of a relay, such as http://gramwatt-relay:10062", config.url));
    }
    Ok(Relay(config.clone()))
}

impl Provider for Relay {
    fn name(&self) -> &'static str {
        "relay"
    }

    fn signal(&self) -> Signal {
        self.0.signal
    }

    /// The relay is ours, and answers what has not changed in a few bytes.
    fn manners(&self) -> Manners {
        Manners {
            apart: Duration::from_secs(1),
            lag: Duration::ZERO,
            coarse: false,
        }
    }

    fn secret(&self) -> Option<&PathBuf> {
        self.0.token_file.as_ref()
    }

    fn requests(&self, zone: &str, _now: Timestamp) -> Result<Vec<Request>, String> {
        let base = self.0.url.trim_end_matches('/');
        let (zone, signal) = (read::escaped(zone), self.0.signal.label());
        let url = format!("{base}/v1/intensity?zone={zone}&signal={signal}");
        Ok(vec![Request {
            auth: Auth::Header("Authorization", "Bearer "),
            ..Request::open(What::Latest, url, Duration::from_secs(60))
        }])
    }

    fn read(&self, _: What, zone: &str, body: &[u8], _now: Timestamp) -> Result<Answer, Garbage> {
        let sheet: Sheet = read::json(body)?;
        if !sheet.zone.eq_ignore_ascii_case(zone) || sheet.signal != self.0.signal {
            return Err(Garbage::Form("it is about another zone or signal".into()));
        }
        let answer = sheet.answer();
        if !answer.of.as_ref().is_some_and(Origin::is_believable) {
            return Err(Garbage::Form("it names no provider, or a lag without end".into()));
        }
        if answer.points.is_empty() {
            return Err(Garbage::Empty);
        }
        Ok(answer)
    }
}
