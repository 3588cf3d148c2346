//! The intensity service: hears what providers say, keeps it, and says what is in force. It never waits for
//! a provider: each has a thread of its own ([`super::fetch`]).

use super::choose::{Choice, Tier};
use super::conditions::Conditions;
use super::fetch::{Asker, Failure, Fetchers, News, REASONS, REFUSED};
use super::provider::Provider;
use super::schedule::Doors;
use super::series::{Point, Signal, after};
use super::sheet::Sheet;
use super::store::Store;
use super::zone::{Source, Told, Zone};
use crate::clock;
use crate::http::{Client, Settings, Trust};
use crate::snapshot::{Grid, ProviderHealth, Trouble};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;
use tracing::{info, warn};

/// The longest that a request to a provider may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What is in force is looked at this often even where nothing should change it.
const AT_LEAST: Duration = Duration::from_secs(60);

/// Forecasts of a time gone by are told in at most so many steps: the books keep no more changes.
const FORECASTS: u32 = 40;

/// Nothing is in force for less.
const BRIEF: Duration = Duration::from_secs(1);

/// News that wait to be heard.
const QUEUE: usize = 64;

/// A zone that is served, with what is known of it without asking anybody.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its name, its bundled average, and where in a cloud it is.
    pub bundled: Grid,
    /// How long what was observed may stand in.
    pub max_age: Duration,
}

/// How one provider answers.
#[derive(Clone, Debug)]
pub(super) struct Health {
    name: &'static str,
    requests: u64,
    failures: BTreeMap<&'static str, u64>,
    /// What is wrong with each zone's requests.
    troubles: BTreeMap<(usize, usize), Trouble>,
    heard: bool,
}

/// The books of all zones. Knows no clock and no network.
#[derive(Debug)]
pub struct Service {
    places: Vec<Place>,
    zones: Vec<Zone>,
    health: Vec<Health>,
    spared: BTreeSet<(usize, usize)>,
}

/// Which provider need not know which zone, as their places in the lists: one that knows others of these
/// zones, where another provider of its signal knows this one.
pub(crate) fn spared(
    providers: &[Box<dyn Provider>],
    zones: &[String],
) -> BTreeSet<(usize, usize)> {
    let knows = |of: &dyn Provider, zone: &str| of.requests(zone, Timestamp::UNIX_EPOCH).is_ok();
    let mut spared = BTreeSet::new();
    for (place, of) in providers.iter().enumerate() {
        let is_of_use = zones.iter().any(|zone| knows(&**of, zone));
        for (number, zone) in zones.iter().enumerate().filter(|_| is_of_use) {
            let mut others = providers
                .iter()
                .filter(|other| other.signal() == of.signal());
            if !knows(&**of, zone) && others.any(|other| knows(&**other, zone)) {
                spared.insert((place, number));
            }
        }
    }
    spared
}

impl Service {
    /// A service of zones that these providers are asked about, with what was kept of each.
    #[must_use]
    pub fn new(
        places: Vec<Place>,
        providers: &[Box<dyn Provider>],
        mut kept: BTreeMap<String, Told>,
    ) -> Self {
        let chain: Vec<Source> = providers
            .iter()
            .map(|provider| Source {
                provider: provider.name().to_owned(),
                signal: provider.signal(),
                manners: provider.manners(),
                is_whole: provider.is_whole(),
                terms: provider.terms().to_owned(),
            })
            .collect();
        let zones = places.iter().map(|place| {
            let told = kept.remove(&place.bundled.zone).unwrap_or_default();
            Zone::new(chain.clone(), place.max_age, told)
        });
        let health = providers
            .iter()
            .map(|provider| Health::new(provider.name()));
        let names: Vec<String> = places
            .iter()
            .map(|place| place.bundled.zone.clone())
            .collect();
        Self {
            zones: zones.collect(),
            health: health.collect(),
            spared: spared(providers, &names),
            places,
        }
    }

    /// Takes what a provider said, or why it did not; logs what is wrong anew, and what is well again.
    pub fn hear(&mut self, news: &News, now: Timestamp) {
        let (Some(zone), Some(health)) = (
            self.zones.get_mut(news.zone),
            self.health.get_mut(news.provider),
        ) else {
            return;
        };
        if let Err(failure) = &news.answer
            && failure.reason == "config"
            && self.spared.contains(&(news.provider, news.zone))
        {
            return info!(provider = health.name, "not asked: {}", failure.message);
        }
        let heard = news.answer.as_ref().map(|answer| {
            let answer = answer.as_ref();
            answer.map_or(0, |answer| zone.hear(news.provider, answer, now))
        });
        health.hear((news.zone, news.number), heard, "no intensity");
    }

    /// What holds in a zone at `now`, and when to look again.
    #[must_use]
    pub fn conditions(&mut self, zone: usize, now: Timestamp) -> Option<(Conditions, Timestamp)> {
        let providers = self.shown();
        let (place, books) = (self.places.get(zone)?, self.zones.get_mut(zone)?);
        let average = books.choose(Signal::Average, now);
        let marginal = books.choose(Signal::Marginal, now);
        let ends = average.iter().chain(&marginal).map(|choice| choice.until);
        let until = ends.fold(books.next(now), Timestamp::min);
        let grid = match &average {
            Some(choice) => told(place, choice, Signal::Average),
            None => place.bundled.clone(),
        };
        let conditions = Conditions {
            since: None,
            until: (until < Timestamp::MAX).then_some(until),
            grid: Some(Arc::new(grid)),
            marginal: marginal.map(|choice| Arc::new(told(place, &choice, Signal::Marginal))),
            outlook: books.outlook(now).map(Arc::new),
            providers,
        };
        Some((conditions, until))
    }

    /// What was in force in a zone from one moment until another, by the tiers and by what was told before:
    /// each with its beginning, as if nobody had answered meanwhile.
    #[must_use]
    pub fn meanwhile(&mut self, zone: usize, from: Timestamp, to: Timestamp) -> Vec<Conditions> {
        let both = self.places.get(zone).zip(self.zones.get_mut(zone));
        let Some((place, books)) = both else {
            return Vec::new();
        };
        let whole = Duration::try_from(from.duration_until(to)).unwrap_or_default();
        let mut all: Vec<Conditions> = Vec::new();
        let mut at = from;
        while at < to {
            let choice = books.choose(Signal::Average, at);
            let until = choice
                .as_ref()
                .map_or(books.next(at), |choice| choice.until);
            let (grid, least) = match &choice {
                Some(choice) if choice.tier == Tier::Forecast => {
                    (told(place, choice, Signal::Average), whole / FORECASTS)
                }
                Some(choice) => (told(place, choice, Signal::Average), Duration::ZERO),
                None => (place.bundled.clone(), Duration::ZERO),
            };
            let last = all.last().and_then(|last| last.grid.as_ref());
            let is_same =
                |last: &Arc<Grid>| (last.tier, last.intensity) == (grid.tier, grid.intensity);
            if !last.is_some_and(is_same) {
                all.push(Conditions {
                    since: Some(at),
                    until: Some(until),
                    grid: Some(Arc::new(grid)),
                    ..Conditions::default()
                });
            }
            at = until.max(after(at, least.max(BRIEF)));
        }
        all
    }

    /// How the providers answer: those of one type as one.
    fn shown(&self) -> Arc<[ProviderHealth]> {
        let mut all: Vec<ProviderHealth> = Vec::with_capacity(self.health.len());
        for health in self.health.iter().map(Health::shown) {
            match all.iter_mut().find(|other| other.name == health.name) {
                Some(other) => join(other, health),
                None => all.push(health),
            }
        }
        all.into()
    }

    /// What a relay tells of a zone: what [`Service::conditions`] found last; `None` where nobody has told
    /// anything of use.
    #[must_use]
    pub fn sheet(&self, zone: usize, signal: Signal, now: Timestamp) -> Option<Sheet> {
        Sheet::of(
            &self.places.get(zone)?.bundled.zone,
            self.zones.get(zone)?,
            signal,
            now,
        )
    }

    /// What must be kept for [`Service::new`].
    pub fn told(&self) -> impl Iterator<Item = (&str, &Told)> {
        let names = self.places.iter().map(|place| place.bundled.zone.as_str());
        names.zip(self.zones.iter().map(Zone::told))
    }
}

impl Health {
    /// Of one that nobody has asked yet.
    pub(super) fn new(name: &'static str) -> Self {
        Self {
            name,
            requests: 0,
            failures: REASONS.map(|reason| (reason, 0)).into(),
            troubles: BTreeMap::new(),
            heard: false,
        }
    }

    /// Takes how many values of an answer were refused, or why there is none, which means `lack`.
    pub(super) fn hear(&mut self, of: (usize, usize), heard: Result<usize, &Failure>, lack: &str) {
        self.requests += u64::from(!matches!(heard, Err(failure) if failure.reason == "config"));
        let provider = self.name;
        match heard {
            Ok(refused) => {
                *self.failures.entry(REFUSED).or_default() += refused as u64;
                self.heard = true;
                if self.troubles.remove(&of).is_some() {
                    info!(provider, "answers again");
                }
                if refused > 0 {
                    warn!(
                        provider,
                        refused, "values that no grid can have were refused"
                    );
                }
            }
            Err(failure) => {
                *self.failures.entry(failure.reason).or_default() += 1;
                let trouble = trouble(failure);
                if self.troubles.insert(of, trouble.clone()).as_ref() != Some(&trouble) {
                    let Trouble {
                        place,
                        message,
                        mend,
                    } = trouble;
                    warn!(provider, place, error = message, mend, "{lack}");
                }
            }
        }
    }

    pub(super) fn shown(&self) -> ProviderHealth {
        ProviderHealth {
            name: self.name.to_owned(),
            up: self.heard && self.troubles.is_empty(),
            requests: self.requests,
            failures: REASONS
                .map(|reason| (reason, self.failures.get(reason).copied().unwrap_or(0)))
                .to_vec(),
            trouble: self.troubles.values().next().cloned(),
        }
    }
}

fn join(health: &mut ProviderHealth, more: ProviderHealth) {
    health.up &= more.up;
    health.requests += more.requests;
    for ((_, count), (_, others)) in health.failures.iter_mut().zip(&more.failures) {
        *count += others;
    }
    health.trouble = health.trouble.take().or(more.trouble);
}

fn trouble(failure: &Failure) -> Trouble {
    Trouble {
        place: failure.place.clone(),
        message: failure.message.clone(),
        mend: failure.mend.clone(),
    }
}

/// The year or the month that a mean is of; empty for what is of a moment.
fn vintage(choice: &Choice) -> String {
    if choice.tier != Tier::Static {
        return String::new();
    }
    let Point { from, until, .. } = choice.point;
    // Of no year are there fewer days, and of no month are there more.
    let is_year = from.duration_until(until) > SignedDuration::from_hours(360 * 24);
    from.strftime(if is_year { "%Y" } else { "%Y-%m" })
        .to_string()
}

/// A choice as the page shows it.
fn told(place: &Place, choice: &Choice, signal: Signal) -> Grid {
    let from = choice.point.from;
    let vintage = vintage(choice);
    let of = if vintage.is_empty() {
        from.to_string()
    } else {
        vintage.clone()
    };
    Grid {
        intensity: choice.intensity(),
        signal: signal.label(),
        scope: choice.scope.map_or("", |scope| scope.label()).to_owned(),
        provider: choice.provider.clone(),
        tier: choice.tier.label(),
        estimated: choice.is_estimated(),
        vintage,
        source: format!("{}, for {of}", choice.provider),
        valid: Some(from.as_duration().as_secs_f64()),
        ..place.bundled.clone()
    }
}

/// A running service. Dropping it ends it.
#[derive(Debug)]
pub struct Running(#[allow(dead_code)] Fetchers);

/// Starts a service: a thread for each provider, and one that hears them all and tells what it then knows.
/// `tell` is given the zone that there is news of (`None`: look at all), and since when that holds (`None`:
/// now); it says when to look again at the latest, or that nobody wants to know any more.
///
/// # Errors
/// Where the system gives no thread.
pub fn start(
    places: Vec<Place>,
    providers: Vec<Box<dyn Provider>>,
    store: Option<&Path>,
    doors: &Doors,
    tell: impl FnMut(&mut Service, Option<usize>, Moments) -> Option<Timestamp> + Send + 'static,
) -> io::Result<Running> {
    let store = store.map(Store::new);
    let kept = store.as_ref().map(Store::load).unwrap_or_default();
    let zones: Vec<String> = places
        .iter()
        .map(|place| place.bundled.zone.clone())
        .collect();
    let service = Service::new(places, &providers, kept);
    let (news, inbox) = sync_channel(QUEUE);
    let askers = providers
        .into_iter()
        .map(|provider| asker(provider, &zones));
    let askers: io::Result<Vec<Asker>> = askers.collect();
    let fetchers = Fetchers::start(askers?, doors, &hand_over(news))?;
    thread::Builder::new()
        .name("grid".to_owned())
        .spawn(move || keep(service, store, &inbox, tell))?;
    Ok(Running(fetchers))
}

/// What is known of a place before anybody is asked, by what was kept in a directory.
#[must_use]
pub fn remembered(place: &Place, providers: &[Box<dyn Provider>], store: &Path) -> Service {
    Service::new(vec![place.clone()], providers, Store::new(store).load())
}

/// When what is told was found, and since when it holds.
#[derive(Clone, Copy, Debug)]
pub struct Moments {
    /// Now.
    pub now: Timestamp,
    /// Since when it holds, where that is not now.
    pub since: Option<Timestamp>,
}

pub(super) fn hand_over(news: SyncSender<News>) -> impl Fn(News) -> bool + Clone + Send + 'static {
    move |new| news.send(new).is_ok()
}

/// What asks a provider about zones.
///
/// # Errors
/// Where no client can be made.
pub fn asker(provider: Box<dyn Provider>, zones: &[String]) -> io::Result<Asker> {
    let settings = Settings {
        trust: Trust::System,
        timeout: TIMEOUT,
        proxy: true,
    };
    let client = Client::new(&settings).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(Asker::new(provider, zones.to_vec(), client))
}

fn keep(
    mut service: Service,
    mut store: Option<Store>,
    inbox: &Receiver<News>,
    mut tell: impl FnMut(&mut Service, Option<usize>, Moments) -> Option<Timestamp>,
) {
    let (mut zone, mut since) = (None, None);
    let (mut unsaved, mut due) = (false, Duration::ZERO);
    loop {
        if let Some(store) = store
            .as_mut()
            .filter(|_| unsaved && clock::now().awake >= due)
        {
            due = store.save(service.told()) + clock::now().awake;
            unsaved = false;
        }
        let now = clock::now().wall;
        let Some(until) = tell(&mut service, zone, Moments { now, since }) else {
            return;
        };
        let until = until.min(after(now, AT_LEAST));
        let wait = Duration::try_from(now.duration_until(until)).unwrap_or_default();
        match inbox.recv_timeout(wait.min(AT_LEAST)) {
            Ok(news) => {
                service.hear(&news, clock::now().wall);
                // What is heard holds from when it is heard.
                (zone, since) = (Some(news.zone), None);
                unsaved |= matches!(news.answer, Ok(Some(_)));
            }
            Err(RecvTimeoutError::Timeout) => (zone, since) = (None, Some(until)),
            // What is unsaved is left: after a reload another one keeps the file.
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

#[cfg(test)]
mod tests;
