//! What holds of the site and may change while the program runs, beside the grid: its PUE, and what its
//! contracts give. Asked for as
//! providers are, each with a thread of its own ([`super::fetch`]).

use super::fetch::{Fetchers, News};
use super::market::Hours;
use super::provider::Provider;
use super::pue::Told;
use super::schedule::Doors;
use super::service::{Health, asker, hand_over};
use crate::clock::{self, Moment};
use crate::config::{LivePue, Market};
use crate::snapshot::{ProviderHealth, Pue};
use crate::units::GramsPerKwh;
use jiff::Timestamp;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

/// What holds is looked at this often even where no answer comes.
const AT_LEAST: Duration = Duration::from_secs(10);

/// News that wait to be heard.
const QUEUE: usize = 16;

/// What holds of the site at a moment.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Since when, on the wall clock; `None`: since now.
    pub since: Option<Timestamp>,
    /// The PUE.
    pub pue: Pue,
    /// The intensity that the site's contracts give.
    pub market: Option<GramsPerKwh>,
    /// How those answer who tell it.
    pub providers: Arc<[ProviderHealth]>,
}

/// Who is asked, and what holds where they do not answer.
pub struct Plan {
    /// Who tells the PUE, how often, and how long the last holds.
    pub pue: Option<(Box<dyn Provider>, Duration, Duration)>,
    /// The PUE that an earlier process of this boot was told last, and when (time since boot).
    pub last: Option<(f64, Duration)>,
    /// Who tells what the contracts give, hour by hour.
    pub market: Option<Box<dyn Provider>>,
    /// What holds where nobody tells.
    pub usual: Facts,
    /// The zone, for what is asked by it.
    pub zone: String,
    /// As it was configured.
    pub sources: Sources,
}

impl Plan {
    /// Goes on with the PUE that an earlier process was told last, where it is asked for and that holds still.
    pub fn go_on(&mut self, last: Option<(f64, Duration)>, now: Moment) -> Option<Pue> {
        let (_, every, max_age) = self.pue.as_ref()?;
        self.last = last;
        let told = Told::nothing(*every, *max_age).before(last);
        told.at(now).map(|(ratio, origin)| Pue { ratio, origin })
    }
}

/// The books of the site. Knows no network.
struct Site {
    usual: Facts,
    pue: Option<(Told, Health)>,
    market: Option<(Hours, Health)>,
}

impl Site {
    /// Takes what somebody says; the PUE's comes first, where it is asked for.
    fn hear(&mut self, news: &News, now: Moment) {
        let is_first = news.provider == 0;
        if let Some((told, health)) = self.pue.as_mut().filter(|_| is_first) {
            if let Ok(answer) = &news.answer {
                told.hear(answer.as_ref(), now);
            }
            let heard = news.answer.as_ref().map(|_| 0);
            health.hear((0, 0), heard, "no PUE");
        } else if let Some((hours, health)) = &mut self.market {
            let heard = news.answer.as_ref().map(|answer| {
                let answer = answer.as_ref();
                answer.map_or(0, |answer| hours.hear(answer))
            });
            health.hear((0, 0), heard, "no market-based intensity");
        }
    }

    fn facts(&self, now: Moment) -> Facts {
        let live = self.pue.as_ref().and_then(|(told, _)| told.at(now));
        Facts {
            pue: live.map_or_else(
                || self.usual.pue.clone(),
                |(ratio, origin)| Pue { ratio, origin },
            ),
            market: match &self.market {
                Some((hours, _)) => hours.at(now.wall),
                None => self.usual.market,
            },
            providers: {
                let pue = self.pue.iter().map(|(_, health)| health.shown());
                let market = self.market.iter().map(|(_, health)| health.shown());
                pue.chain(market).collect()
            },
            since: None,
        }
    }
}

/// Those who ask. Dropping it ends them.
#[derive(Debug)]
pub struct Running {
    /// Who is asked.
    pub sources: Sources,
    _fetchers: Fetchers,
}

/// Who is asked, as it was configured.
#[derive(Clone, Debug, PartialEq)]
pub struct Sources {
    /// For the PUE.
    pub pue: Option<LivePue>,
    /// For what the contracts give.
    pub market: Option<Market>,
}

/// Starts to ask; `tell` is given what holds once there is news or has been time for it, and says whether anybody wants to know more.
///
/// # Errors
/// Where the system gives no thread.
pub fn start(
    plan: Plan,
    doors: &Doors,
    tell: impl FnMut(Facts) -> bool + Send + 'static,
) -> io::Result<Running> {
    let (news, inbox) = sync_channel(QUEUE);
    let mut askers = Vec::new();
    let pue = match plan.pue {
        Some((provider, every, max_age)) => {
            let health = Health::new(provider.name());
            askers.push(asker(provider, std::slice::from_ref(&plan.zone))?);
            Some((Told::nothing(every, max_age).before(plan.last), health))
        }
        None => None,
    };
    let market = match plan.market {
        Some(provider) => {
            let health = Health::new(provider.name());
            askers.push(asker(provider, std::slice::from_ref(&plan.zone))?);
            Some((Hours::default(), health))
        }
        None => None,
    };
    let site = Site {
        usual: plan.usual,
        pue,
        market,
    };
    let fetchers = Fetchers::start(askers, doors, &hand_over(news))?;
    thread::Builder::new()
        .name("facility".to_owned())
        .spawn(move || keep(site, &inbox, tell))?;
    Ok(Running {
        sources: plan.sources,
        _fetchers: fetchers,
    })
}

fn keep(mut site: Site, inbox: &Receiver<News>, mut tell: impl FnMut(Facts) -> bool) {
    loop {
        let now = clock::now().wall;
        let next = site.market.as_ref().map(|(hours, _)| hours.next(now));
        let wait = next.and_then(|next| Duration::try_from(now.duration_until(next)).ok());
        let wait = wait.map_or(AT_LEAST, |wait| wait.min(AT_LEAST));
        match inbox.recv_timeout(wait) {
            Ok(news) => site.hear(&news, clock::now()),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let now = clock::now();
        let facts = site.facts(now);
        // An hour begins when it begins, not when we look.
        let since = next.filter(|next| *next <= now.wall);
        if !tell(Facts { since, ..facts }) {
            return;
        }
    }
}
