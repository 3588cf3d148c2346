//! All that is known of one zone: what each provider told of it, what is in force, and what is to come.

use super::choose::{self, Choice, Link, choose};
use super::forecast::{self, Forecast, Origin};
use super::provider::{Answer, Manners};
use super::series::{Series, Signal};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// A provider's place in the chain.
#[derive(Clone, Debug)]
pub struct Source {
    /// The provider's name.
    pub provider: String,
    /// What its values answer.
    pub signal: Signal,
    /// What it can know.
    pub manners: Manners,
}

/// A zone and its books.
#[derive(Clone, Debug)]
pub struct Zone {
    chain: Vec<Source>,
    max_age: Duration,
    told: Told,
    in_force: BTreeMap<Signal, Choice>,
}

/// What each provider has told, as it is kept over a restart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Told(BTreeMap<String, Series>);

/// The hours ahead, and who says so.
#[derive(Clone, Debug, PartialEq)]
pub struct Outlook {
    /// The provider, of the forecast or of the days that it rests on.
    pub provider: String,
    /// The hours.
    pub forecast: Forecast,
}

impl Zone {
    /// A zone that these providers are asked about, first the most trusted, with what was kept of it. What
    /// was observed stands in for `max_age`.
    #[must_use]
    pub fn new(chain: Vec<Source>, max_age: Duration, told: Told) -> Self {
        Self {
            chain,
            max_age,
            told,
            in_force: BTreeMap::new(),
        }
    }

    /// Takes what a provider tells; says how many of its values cannot be.
    pub fn hear(&mut self, provider: &str, answer: &Answer, now: Timestamp) -> usize {
        let series = self.told.0.entry(provider.to_owned()).or_default();
        series.of.clone_from(&answer.of);
        series.take(answer.scope, &answer.points, now)
    }

    /// What the provider that is in force for a signal has told.
    #[must_use]
    pub fn series(&self, signal: Signal) -> Option<&Series> {
        let choice = self.in_force.get(&signal)?;
        let mut links = self.links(signal).into_iter();
        links
            .find(|link| link.provider == choice.provider)
            .map(|link| link.series)
    }

    /// What must be kept for [`Zone::new`].
    #[must_use]
    pub fn told(&self) -> &Told {
        &self.told
    }

    /// What each provider of a signal has told, first the most trusted.
    fn links(&self, signal: Signal) -> Vec<Link<'_>> {
        let of_signal = self.chain.iter().filter(|source| source.signal == signal);
        let links = of_signal.filter_map(|source| {
            let series = self.told.0.get(&source.provider)?;
            let of = series.of.as_ref();
            Some(Link {
                provider: of.map_or(&source.provider, |of| &of.provider),
                series,
                lag: of.map_or(source.manners.lag, |of| of.lag),
                coarse: of.map_or(source.manners.coarse, |of| of.coarse),
            })
        });
        links.collect()
    }

    /// What is in force at `now`; `None` where no provider has told anything of use.
    pub fn choose(&mut self, signal: Signal, now: Timestamp) -> Option<Choice> {
        let before = self.in_force.get(&signal);
        let choice = choose(&self.links(signal), self.max_age, before, now);
        match &choice {
            Some(choice) => self.in_force.insert(signal, choice.clone()),
            None => self.in_force.remove(&signal),
        };
        choice
    }

    /// The next moment at which something else may be in force although nothing new is told.
    #[must_use]
    pub fn next(&self, now: Timestamp) -> Timestamp {
        let signals = [Signal::Average, Signal::Marginal].into_iter();
        let next = signals.map(|signal| choose::next(&self.links(signal), now));
        next.min().unwrap_or(Timestamp::MAX)
    }

    /// What was last chosen for a signal.
    #[must_use]
    pub fn in_force(&self, signal: Signal) -> Option<&Choice> {
        self.in_force.get(&signal)
    }

    /// The lag of a provider of what was told, and whether its values are coarse.
    #[must_use]
    pub fn manners(&self, provider: &str) -> (Duration, bool) {
        let links = [Signal::Average, Signal::Marginal].map(|signal| self.links(signal));
        let mut links = links.iter().flatten();
        let found = links.find(|link| link.provider == provider);
        found.map_or((Duration::ZERO, false), |link| (link.lag, link.coarse))
    }

    /// What the average intensity will be: by the first provider with a forecast of its own, else by the
    /// days before as the first that knows them tells them.
    #[must_use]
    pub fn outlook(&self, now: Timestamp) -> Option<Outlook> {
        let links = self.links(Signal::Average);
        let all: Vec<Outlook> = links
            .iter()
            .filter(|link| !link.coarse)
            .filter_map(|link| {
                let mut forecast = forecast::ahead(link.series, now)?;
                if link.series.of.as_ref().is_some_and(|of| of.seasonal) {
                    forecast.origin = Origin::Seasonal;
                }
                Some(Outlook {
                    provider: link.provider.to_owned(),
                    forecast,
                })
            })
            .collect();
        let told = all
            .iter()
            .find(|outlook| outlook.forecast.origin == Origin::Provider);
        told.or(all.first()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::super::choose::Tier;
    use super::super::series::{Nature, Point, Scope, after};
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn source(provider: &str, signal: Signal) -> Source {
        Source {
            provider: provider.to_owned(),
            signal,
            manners: Manners {
                apart: Duration::from_secs(1),
                lag: HOUR,
                coarse: false,
            },
        }
    }

    fn noon() -> Timestamp {
        "2026-01-05T12:00:00Z".parse().unwrap()
    }

    fn answer(from: Timestamp, grams: &[f64], nature: Nature) -> Answer {
        let point = |(hour, grams): (u32, &f64)| {
            Point::lasting(after(from, HOUR * hour), HOUR, *grams, nature)
        };
        Answer {
            scope: Scope::Lifecycle,
            points: (0..).zip(grams).map(point).collect(),
            of: None,
        }
    }

    #[test]
    fn signals_are_never_mixed() {
        let chain = vec![
            source("moer", Signal::Marginal),
            source("mean", Signal::Average),
        ];
        let mut zone = Zone::new(chain, 2 * HOUR, Told::default());
        zone.hear("moer", &answer(noon(), &[800.0], Nature::Measured), noon());
        assert_eq!(zone.choose(Signal::Average, noon()), None);
        zone.hear("mean", &answer(noon(), &[300.0], Nature::Measured), noon());
        let average = zone.choose(Signal::Average, noon()).unwrap();
        let marginal = zone.choose(Signal::Marginal, noon()).unwrap();
        assert_eq!(
            (average.intensity().0, marginal.intensity().0),
            (300.0, 800.0)
        );
    }

    #[test]
    fn what_was_told_is_there_after_a_restart() {
        let chain = vec![source("a", Signal::Average)];
        let mut zone = Zone::new(chain.clone(), 4 * HOUR, Told::default());
        zone.hear("a", &answer(noon(), &[300.0], Nature::Measured), noon());
        let kept = serde_json::to_string(zone.told()).unwrap();
        let mut zone = Zone::new(chain, 4 * HOUR, serde_json::from_str(&kept).unwrap());
        let later = after(noon(), 3 * HOUR);
        let choice = zone.choose(Signal::Average, later).unwrap();
        assert_eq!((choice.tier, choice.intensity().0), (Tier::Cached, 300.0));
        // A provider that is no longer configured is not listened to.
        let told = zone.told().clone();
        let mut other = Zone::new(vec![source("b", Signal::Average)], 4 * HOUR, told);
        assert_eq!(other.choose(Signal::Average, later), None);
    }

    #[test]
    fn a_forecast_of_a_less_trusted_provider_goes_before_a_guess() {
        let chain = vec![source("a", Signal::Average), source("b", Signal::Average)];
        let mut zone = Zone::new(chain, 4 * HOUR, Told::default());
        let yesterday = noon() - jiff::SignedDuration::from_hours(24);
        zone.hear(
            "a",
            &answer(yesterday, &[300.0; 24], Nature::Measured),
            noon(),
        );
        assert_eq!(zone.outlook(noon()).unwrap().provider, "a");
        zone.hear("b", &answer(noon(), &[200.0; 48], Nature::Forecast), noon());
        let outlook = zone.outlook(noon()).unwrap();
        assert_eq!(
            (outlook.provider.as_str(), outlook.forecast.origin),
            ("b", Origin::Provider)
        );
    }
}
