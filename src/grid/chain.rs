//! The providers that a configuration names, in their order, and which of its zones each is asked about.

use super::known_zone;
use super::provider::{Answer, Entry, Garbage, Manners, Provider, Request, What};
use super::series::Signal;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// One of `grid.providers`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct Listing {
    /// The zones that it is asked about, of any provider; of others it is not asked. Unset: all.
    #[serde(default)]
    pub zones: Vec<String>,
    /// Who it is.
    #[serde(flatten)]
    pub entry: Entry,
}

/// Opens what is listed by a configuration for these zones.
///
/// # Errors
/// Values that contradict one another or an entry that takes one zone's values for another's, with the
/// entry's number and what to write instead.
pub fn open(listed: &[Listing], zones: &[String]) -> Result<Vec<Box<dyn Provider>>, String> {
    let mut all: Vec<Box<dyn Provider>> = Vec::with_capacity(listed.len());
    for (number, listing) in listed.iter().enumerate() {
        let wrong = |reason: String| format!("grid.providers[{number}]: {reason}");
        if matches!(listing.entry, Entry::Static(_)) {
            let is_last = number + 1 == listed.len();
            if !is_last || !listing.zones.is_empty() {
                return Err(wrong(
                    "static is the bundled average, which stands in wherever all others have nothing: write \
                     {type: static} last and alone, or leave it out"
                        .to_owned(),
                ));
            }
            continue;
        }
        let provider = listing.entry.open().map_err(wrong)?;
        let key = format!("grid.providers[{number}].zones");
        let own = listing.zones.iter();
        let own = own.map(|code| known_zone(&key, code).map(|zone| zone.zone));
        let own: Vec<String> = own.collect::<Result<_, _>>()?;
        let is_limited = !own.is_empty();
        let provider: Box<dyn Provider> = match is_limited {
            true => Box::new(Limited {
                provider,
                zones: own,
            }),
            false => provider,
        };
        let mut asked: Vec<&str> = zones.iter().map(String::as_str).collect();
        asked.retain(|zone| provider.serves(zone));
        asked.sort_unstable();
        asked.dedup();
        if let (Some(tie), [first, _, ..]) = (provider.tie(), asked.as_slice()) {
            return Err(wrong(format!(
                "{}: {tie}, or limit the entry to its zone, such as zones: [{first}]; as it stands it would be \
                 taken for all of {}",
                provider.name(),
                asked.join(", ")
            )));
        }
        all.push(provider);
    }
    Ok(all)
}

/// A provider that is asked about some zones alone.
struct Limited {
    provider: Box<dyn Provider>,
    zones: Vec<String>,
}

impl Provider for Limited {
    fn name(&self) -> &'static str {
        self.provider.name()
    }

    fn signal(&self) -> Signal {
        self.provider.signal()
    }

    fn manners(&self) -> Manners {
        self.provider.manners()
    }

    fn secret(&self) -> Option<&PathBuf> {
        self.provider.secret()
    }

    fn tie(&self) -> Option<&'static str> {
        self.provider.tie()
    }

    fn serves(&self, zone: &str) -> bool {
        self.zones.iter().any(|own| own.eq_ignore_ascii_case(zone))
    }

    fn is_dated(&self) -> bool {
        self.provider.is_dated()
    }

    fn terms(&self) -> &str {
        self.provider.terms()
    }

    fn is_whole(&self) -> bool {
        self.provider.is_whole()
    }

    fn requests(&self, zone: &str, now: Timestamp) -> Result<Vec<Request>, String> {
        if self.serves(zone) {
            return self.provider.requests(zone, now);
        }
        Ok(Vec::new())
    }

    fn read(&self, what: What, zone: &str, body: &[u8], now: Timestamp) -> Result<Answer, Garbage> {
        self.provider.read(what, zone, body, now)
    }
}

#[cfg(test)]
mod tests;
