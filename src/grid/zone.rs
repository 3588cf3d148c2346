//! All that is known of one zone: what each provider told of it, what is in force, and what is to come.

use super::choose::{self, Choice, Link, Observed, Tier, choose};
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
    /// Whether an answer is all that it has to tell from its first value on.
    pub is_whole: bool,
    /// The mark of what its configuration makes its values.
    pub terms: String,
}

/// A zone and its books.
#[derive(Clone, Debug)]
pub struct Zone {
    chain: Vec<Source>,
    max_age: Duration,
    /// Under which name what each of the chain told is kept.
    keys: Vec<String>,
    told: Told,
    in_force: BTreeMap<Signal, Choice>,
}

/// What each provider has told, as it is kept over a restart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Told {
    series: BTreeMap<String, Series>,
    /// What was observed and is in force: nothing earlier of the same or a later provider follows it while it
    /// may stand.
    #[serde(default)]
    newest: BTreeMap<Signal, Observed>,
}

impl Told {
    /// Leaves out what cannot be, of a file that anybody may have written.
    #[must_use]
    pub fn checked(mut self) -> Self {
        self.series.values_mut().for_each(Series::check);
        self
    }
}

/// One name for each provider of a chain: two of one type, signal and terms are numbered, and signals and
/// terms are never mixed.
fn keys(chain: &[Source]) -> Vec<String> {
    let mut keys: Vec<String> = Vec::with_capacity(chain.len());
    for source in chain {
        let name = match source.signal {
            Signal::Average => source.provider.clone(),
            Signal::Marginal => format!("{} {}", source.provider, source.signal.label()),
        };
        let name = match source.terms.as_str() {
            "" => name,
            terms => format!("{name} {terms}"),
        };
        let numbered = (2..).map(|number| format!("{name} {number}"));
        let mut names = std::iter::once(name.clone()).chain(numbered);
        keys.extend(names.find(|name| !keys.contains(name)));
    }
    keys
}

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
    pub fn new(chain: Vec<Source>, max_age: Duration, mut told: Told) -> Self {
        let keys = keys(&chain);
        // Nobody tells any more of what is under another name: it would be kept for ever.
        told.series.retain(|key, _| keys.contains(key));
        Self {
            keys,
            chain,
            max_age,
            told,
            in_force: BTreeMap::new(),
        }
    }

    /// Takes what a provider of the chain tells, by its place; says how many of its values cannot be.
    pub fn hear(&mut self, place: usize, answer: &Answer, now: Timestamp) -> usize {
        let Some(key) = self.keys.get(place) else {
            return 0;
        };
        let series = self.told.series.entry(key.clone()).or_default();
        let both = series.of.as_ref().zip(answer.of.as_ref());
        if both.is_some_and(|(before, of)| before.provider != of.provider) {
            // A relay that has turned to another provider: the values of the two are never mixed.
            *series = Series::default();
        }
        let by =
            |of: &Option<super::provider::Origin>| of.as_ref().and_then(|of| of.forecaster.clone());
        if by(&series.of) != by(&answer.of) {
            // What another one said of the hours ahead must not go by the name of this one.
            series.expect_nothing();
        }
        series.of.clone_from(&answer.of);
        if self.chain.get(place).is_some_and(|source| source.is_whole)
            && let Some(first) = answer.points.iter().map(|point| point.from).min()
        {
            series.retract(first);
        }
        let refused = series.take(answer.scope, &answer.points, now);
        // What is kept with it must know what it changes.
        self.choose(Signal::Average, now);
        self.choose(Signal::Marginal, now);
        refused
    }

    /// The provider that is in force for a signal, with what it has told.
    #[must_use]
    pub fn chosen(&self, signal: Signal) -> Option<Link<'_>> {
        let choice = self.in_force.get(&signal)?;
        let links = self.links(signal).into_iter();
        let is_by = |link: &Link<'_>| [link.provider, link.forecaster].contains(&&*choice.provider);
        let mut links = links.filter(is_by);
        let first = links.next()?;
        // Of two with one name it is the one with this value.
        let mut all = std::iter::once(first).chain(links);
        all.find(|link| link.series.has(&choice.point))
            .or(Some(first))
    }

    /// What must be kept for [`Zone::new`].
    #[must_use]
    pub fn told(&self) -> &Told {
        &self.told
    }

    /// What each provider of a signal has told, first the most trusted.
    fn links(&self, signal: Signal) -> Vec<Link<'_>> {
        let all = self.chain.iter().zip(&self.keys);
        let of_signal = all.filter(|(source, _)| source.signal == signal);
        let links = of_signal.filter_map(|(source, key)| {
            let series = self.told.series.get(key)?;
            let of = series.of.as_ref();
            let provider = of.map_or(&source.provider, |of| &of.provider);
            Some(Link {
                provider,
                forecaster: of.and_then(|of| of.forecaster.as_ref()).unwrap_or(provider),
                series,
                lag: of.map_or(source.manners.lag, |of| of.lag),
                coarse: of.map_or(source.manners.coarse, |of| of.coarse),
            })
        });
        links.collect()
    }

    /// What is in force at `now`; `None` where no provider has told anything of use.
    pub fn choose(&mut self, signal: Signal, now: Timestamp) -> Option<Choice> {
        let before = self.told.newest.get(&signal);
        let choice = choose(&self.links(signal), self.max_age, before, now);
        match choice.as_ref().filter(|choice| choice.tier <= Tier::Cached) {
            Some(choice) => self.told.newest.insert(signal, choice.observed()),
            None => self.told.newest.remove(&signal),
        };
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

    /// What the average intensity will be: by the first provider with a forecast of its own, else by the
    /// days before as the first that knows them tells them.
    #[must_use]
    pub fn outlook(&self, now: Timestamp) -> Option<Outlook> {
        let links = self.links(Signal::Average);
        // What counts something else is no forecast of what is in force.
        let scope = self
            .in_force
            .get(&Signal::Average)
            .and_then(|choice| choice.scope);
        let all: Vec<Outlook> = links
            .iter()
            .filter(|link| !link.coarse && (scope.is_none() || link.series.scope == scope))
            .filter_map(|link| {
                Some(Outlook {
                    provider: link.forecaster.to_owned(),
                    forecast: forecast::ahead(link.series, now)?,
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
            is_whole: false,
            terms: String::new(),
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
        zone.hear(0, &answer(noon(), &[800.0], Nature::Measured), noon());
        assert_eq!(zone.choose(Signal::Average, noon()), None);
        zone.hear(1, &answer(noon(), &[300.0], Nature::Measured), noon());
        let average = zone.choose(Signal::Average, noon()).unwrap();
        let marginal = zone.choose(Signal::Marginal, noon()).unwrap();
        assert_eq!(
            (average.intensity().0, marginal.intensity().0),
            (300.0, 800.0)
        );
    }

    #[test]
    fn a_row_that_is_taken_out_of_a_file_is_taken_back() {
        let mut chain = vec![source("file", Signal::Average)];
        chain[0].is_whole = true;
        let mut zone = Zone::new(chain, 2 * HOUR, Told::default());
        let hours = [8, 10].map(|hour| noon() - jiff::SignedDuration::from_hours(12 - hour));
        zone.hear(0, &answer(hours[0], &[250.0; 4], Nature::Measured), noon());
        // 11:00 was wrong, and so is nothing that was told of earlier hours.
        zone.hear(0, &answer(hours[1], &[300.0], Nature::Measured), noon());
        let choice = zone.choose(Signal::Average, noon()).unwrap();
        assert_eq!((choice.intensity().0, choice.point.from), (300.0, hours[1]));
        let link = zone.chosen(Signal::Average).unwrap();
        assert_eq!(link.series.past().count(), 3);
    }

    #[test]
    fn what_was_told_is_there_after_a_restart() {
        let chain = vec![source("a", Signal::Average)];
        let mut zone = Zone::new(chain.clone(), 4 * HOUR, Told::default());
        zone.hear(0, &answer(noon(), &[300.0], Nature::Measured), noon());
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
            0,
            &answer(yesterday, &[300.0; 24], Nature::Measured),
            noon(),
        );
        assert_eq!(zone.outlook(noon()).unwrap().provider, "a");
        zone.hear(1, &answer(noon(), &[200.0; 48], Nature::Forecast), noon());
        let outlook = zone.outlook(noon()).unwrap();
        assert_eq!(
            (outlook.provider.as_str(), outlook.forecast.origin),
            ("b", Origin::Provider)
        );
    }

    fn relayed(provider: &str, from: Timestamp, grams: &[f64]) -> Answer {
        Answer {
            of: Some(super::super::provider::Origin {
                provider: provider.to_owned(),
                lag: HOUR,
                coarse: false,
                forecaster: None,
            }),
            ..answer(from, grams, Nature::Measured)
        }
    }

    #[test]
    fn two_entries_of_one_type_keep_what_each_was_told() {
        let chain = vec![
            source("relay", Signal::Average),
            source("relay", Signal::Marginal),
            source("relay", Signal::Average),
        ];
        let mut zone = Zone::new(chain.clone(), 2 * HOUR, Told::default());
        for (place, grams) in [(0, 300.0), (1, 800.0), (2, 100.0)] {
            zone.hear(place, &answer(noon(), &[grams], Nature::Measured), noon());
        }
        let kept = serde_json::to_string(zone.told()).unwrap();
        let restarted = Zone::new(chain, 2 * HOUR, serde_json::from_str(&kept).unwrap());
        for mut zone in [zone, restarted] {
            let average = zone.choose(Signal::Average, noon()).unwrap();
            let marginal = zone.choose(Signal::Marginal, noon()).unwrap();
            let both = (average.intensity().0, marginal.intensity().0);
            assert_eq!(both, (300.0, 800.0));
            let chosen = zone.chosen(Signal::Average).unwrap();
            assert!(chosen.series.has(&average.point));
        }
    }

    #[test]
    fn a_relay_that_turns_to_another_provider_mixes_no_values() {
        let mut zone = Zone::new(
            vec![source("relay", Signal::Average)],
            2 * HOUR,
            Told::default(),
        );
        zone.hear(0, &relayed("a", noon(), &[300.0]), noon());
        let earlier = noon() - jiff::SignedDuration::from_hours(1);
        zone.hear(0, &relayed("b", earlier, &[100.0]), noon());
        let choice = zone.choose(Signal::Average, noon()).unwrap();
        assert_eq!(
            (choice.provider.as_str(), choice.intensity().0),
            ("b", 100.0)
        );
        assert_eq!(
            zone.chosen(Signal::Average).unwrap().series.past().count(),
            1
        );
    }

    #[test]
    fn a_restart_moves_no_time_backwards() {
        let mut chain = vec![
            source("fresh", Signal::Average),
            source("slow", Signal::Average),
        ];
        chain[1].manners.lag = 6 * HOUR;
        let mut zone = Zone::new(chain.clone(), 4 * HOUR, Told::default());
        zone.hear(0, &answer(noon(), &[300.0], Nature::Measured), noon());
        let earlier = noon() - jiff::SignedDuration::from_hours(2);
        zone.hear(1, &answer(earlier, &[100.0], Nature::Measured), noon());
        // `slow` would be live, and is for ten o'clock.
        let later = after(noon(), 3 * HOUR);
        let kept = serde_json::to_string(zone.told()).unwrap();
        let restarted = Zone::new(chain, 4 * HOUR, serde_json::from_str(&kept).unwrap());
        for mut zone in [zone, restarted] {
            let choice = zone.choose(Signal::Average, later).unwrap();
            assert_eq!(
                (choice.tier, choice.provider.as_str()),
                (Tier::Cached, "fresh")
            );
        }
    }

    #[test]
    fn what_counts_something_else_is_no_forecast_of_it() {
        let chain = vec![source("a", Signal::Average), source("b", Signal::Average)];
        let mut zone = Zone::new(chain, 4 * HOUR, Told::default());
        zone.hear(0, &answer(noon(), &[300.0], Nature::Measured), noon());
        let direct = Answer {
            scope: Scope::Direct,
            ..answer(noon(), &[200.0; 48], Nature::Forecast)
        };
        zone.hear(1, &direct, noon());
        assert_eq!(
            zone.outlook(noon()).map(|outlook| outlook.provider),
            Some("a".to_owned())
        );
    }

    #[test]
    fn a_file_that_says_what_cannot_be_is_not_believed() {
        let points = |grams: f64| answer(noon(), &[grams], Nature::Measured);
        let mut zone = Zone::new(
            vec![source("a", Signal::Average)],
            4 * HOUR,
            Told::default(),
        );
        zone.hear(0, &points(300.0), noon());
        let kept = serde_json::to_string(zone.told()).unwrap();
        for (was, is) in [
            ("300.0", "9e9"),
            ("300.0", "-1"),
            ("\"measured\"", "\"forecast\""),
        ] {
            assert!(kept.contains(was), "{kept}");
            let told: Told = serde_json::from_str(&kept.replace(was, is)).unwrap();
            let chain = vec![source("a", Signal::Average)];
            let mut zone = Zone::new(chain, 4 * HOUR, told.checked());
            assert_eq!(zone.choose(Signal::Average, noon()), None, "{is}");
        }
    }
}
