//! The engine: sole owner of what changes. Batches of readings and changes of the factor go in, a
//! snapshot comes out at every tick.

mod books;
mod gap;
mod health;
mod lines;
mod models;
mod report;

use crate::attribution::{Attribution, Policy};
use crate::carbon::{Factor, Term, Timeline};
use crate::clock::Moment;
use crate::embodied::Making;
use crate::grid::conditions::Conditions;
use crate::grid::facility::Facts;
use crate::ledger::{Account, Ledger, Method, Reader};
use crate::node::{Choice, Force, Node};
use crate::run;
use crate::run::book::{Refusal, Request};
use crate::run::outlook::Outlook;
use crate::sensor::{Kind, MeterClass, Part, Readings, Scope};
use crate::snapshot::{Grid, Pue, Snapshot};
use crate::state::State;
use crate::units::Joules;
use crate::workload::census::Census;
use crate::workload::runs::{Id, Roster};
pub use books::Books;
use health::Health;
use jiff::Timestamp;
use models::Share;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tracing::warn;

/// Sensors are given this many of their intervals before they count as silent.
pub const PATIENCE: u32 = 3;

/// A sensor as the engine knows it before it has spoken.
#[derive(Clone, Debug)]
pub struct Seat {
    /// The sensor's name.
    pub name: Arc<str>,
    /// Its family's place in the order of trust.
    pub rank: usize,
    /// How often it is read.
    pub interval: Duration,
}

impl Seat {
    fn reader(&self) -> Reader {
        Reader {
            name: Arc::clone(&self.name),
            rank: self.rank,
            patience: self.interval * PATIENCE,
        }
    }
}

/// One read of one sensor.
#[derive(Debug)]
pub struct Batch {
    /// Which sensor.
    pub sensor: Arc<str>,
    /// When the read ended.
    pub at: Moment,
    /// How long it took.
    pub took: Duration,
    /// What it gave.
    pub readings: Readings,
}

/// Everything that the configuration decides for the engine.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The factor in force from now on.
    pub factor: Factor,
    /// Where its intensity comes from.
    pub grid: Option<Arc<Grid>>,
    /// Where its PUE comes from.
    pub pue: Pue,
    /// Which meter may set the node's total.
    pub meter: Choice,
    /// What it took to make the devices.
    pub making: Making,
    /// How the joules are divided among workloads; `None` where nobody looks for any.
    pub workloads: Option<Policy>,
    /// What may be had of runs.
    pub runs: run::book::Limits,
    /// The machine's name, for people.
    pub host: Arc<str>,
    /// Whether the hardware is synthetic.
    pub demo: bool,
    /// What the operator should know.
    pub notes: Vec<Arc<str>>,
}

/// The books of a node and all that keeps them.
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
    since: Moment,
    started: Moment,
    ledger: Ledger,
    node: Node,
    timeline: Timeline,
    /// How long the factor in force stands if nothing new is told; `None`: without end.
    term: Option<Term>,
    /// The PUE that was told last, and when (time since boot).
    pue: Option<(f64, Duration)>,
    books: Books,
    attribution: Option<Attribution>,
    runs: run::book::Book,
    /// What was kept of the division before it was taken up.
    kept: Option<crate::attribution::Saved>,
    health: BTreeMap<Arc<str>, Health>,
    /// What the grid is like, beyond what is in the settings.
    conditions: Conditions,
    /// What holds of the site, beyond what is in the settings.
    facts: Facts,
    /// What was last said of the meter that was asked for, so that it is logged once.
    meter_note: Option<Arc<str>>,
}

impl Engine {
    /// Opens the books, or goes on with those of an earlier process of the same boot.
    #[must_use]
    pub fn new(settings: Settings, seats: &[Seat], kept: Option<State>, now: Moment) -> Self {
        let mut kept = kept.unwrap_or_else(|| State::fresh(settings.factor, now));
        kept.follow(&[], settings.factor.intensity, now);
        let mut engine = Self {
            since: kept.since,
            started: now,
            ledger: Ledger::restore(kept.accounts, now),
            node: Node::new(settings.meter.clone(), kept.node),
            timeline: kept.timeline,
            term: None,
            pue: kept.pue,
            books: kept.books,
            attribution: None,
            runs: run::book::Book::new(settings.runs.clone(), kept.runs),
            kept: kept.workloads,
            health: BTreeMap::new(),
            conditions: Conditions::default(),
            facts: Facts::default(),
            meter_note: None,
            settings: settings.clone(),
        };
        engine.reconfigure(settings, seats, now);
        engine
    }

    /// Takes a new configuration from `now` on; all books go on.
    pub fn reconfigure(&mut self, settings: Settings, seats: &[Seat], now: Moment) {
        self.timeline.change(now.boot, settings.factor);
        self.term = None;
        self.node.choose(settings.meter.clone());
        self.books.age(now.boot);
        self.books.price(&settings.making, &self.ledger, now.boot);
        let readers: Vec<Reader> = seats.iter().map(Seat::reader).collect();
        self.ledger.seat(&readers);
        let mut before = std::mem::take(&mut self.health);
        for reader in readers {
            let mut health = before.remove(&reader.name).unwrap_or_default();
            let name = Arc::clone(&reader.name);
            health.seat(reader);
            self.health.insert(name, health);
        }
        self.divide(settings.workloads.as_ref(), now);
        self.runs.limit(settings.runs.clone());
        self.settings = settings;
        self.conditions = Conditions::default();
        self.facts = Facts::default();
        self.started = now;
        self.meter_note = None;
    }

    /// Takes what the grid is like from `now` on, or from the moment a little before at which that began.
    pub fn meet(&mut self, conditions: Conditions, now: Moment) {
        let at = began(conditions.since, now);
        let factor = gap::met(&conditions, self.settings.factor);
        self.timeline.change(at, factor);
        self.term = gap::term(&conditions);
        self.settings.factor = factor;
        self.settings.grid.clone_from(&conditions.grid);
        self.conditions = conditions;
        self.show_contract();
    }

    /// Gives new settings what was last told of the site, where the same are asked again: it holds until
    /// they answer.
    pub fn carry(&self, settings: &mut Settings) {
        settings.factor.pue = self.settings.factor.pue;
        settings.factor.market = self.settings.factor.market;
        settings.pue.clone_from(&self.settings.pue);
    }

    /// Takes what holds of the site from `now` on, or from the moment a little before at which that began.
    pub fn house(&mut self, facts: Facts, now: Moment) {
        let factor = Factor {
            market: facts.market,
            pue: facts.pue.ratio,
            ..self.settings.factor
        };
        self.timeline.change(began(facts.since, now), factor);
        if facts.pue.origin == "live" {
            self.pue = Some((facts.pue.ratio, now.boot));
        }
        self.settings.factor = factor;
        self.settings.pue = facts.pue.clone();
        self.facts = facts;
        self.show_contract();
    }

    /// What the contracts give is shown with the grid, and may change without it.
    fn show_contract(&mut self) {
        let market = self.settings.factor.market;
        if let Some(grid) = &mut self.settings.grid
            && grid.market != market
        {
            Arc::make_mut(grid).market = market;
        }
    }

    /// Books one read of one sensor.
    pub fn apply(&mut self, batch: &Batch) {
        // A sensor that a new configuration has retired may still hand in its last batch.
        let Some(health) = self.health.get_mut(&batch.sensor) else {
            return;
        };
        let reader = health.answered(batch);
        let models = Share::of(
            &batch.readings.good,
            &reader,
            batch.at,
            &self.node,
            &self.ledger,
        );
        for reading in &batch.readings.good {
            let reading = &*models.cut(reading);
            let (entry, event) = self.ledger.record(&reader, reading, batch.at);
            health.count(event);
            let part = &reading.source.part;
            let Part::Device { id, kind } = part else {
                continue;
            };
            // What one sensor reads best another may know best: any may say what the device is.
            if self.ledger.account(part).is_some() {
                let (about, making) = (&reading.source.about, &self.settings.making);
                self.books.open(id, *kind, about, making, batch.at.boot);
            }
            if let Some(entry) = entry {
                let emissions = self.books.book(&entry, &self.timeline);
                if let Some(attribution) = &mut self.attribution {
                    let time = (entry.from.boot, entry.to.boot);
                    let energy = (entry.joules, emissions.location);
                    attribution.book(id, *kind, energy, time, reading.utilization);
                }
            }
        }
        if batch.readings.bad.is_empty() {
            self.ledger.heard_all(&reader, batch.at);
        }
    }

    /// Closes the books at `now` and shows them.
    pub fn tick(&mut self, now: Moment) -> Snapshot {
        let shorts = self.node.short_windows();
        if let Some(rest) = self.node.reconcile(&self.ledger, now) {
            let method = self.other_method();
            let emissions = self.books.book_other(rest, method, &self.timeline);
            if let Some(attribution) = &mut self.attribution {
                let time = (rest.from.boot, rest.to.boot);
                let energy = (rest.joules, emissions.location);
                attribution.book(&books::OTHER.into(), Kind::Other, energy, time, None);
            }
            if rest.short && shorts == 0 {
                warn!(
                    meter = self.node.force().map_or("", |force| force.class.label()),
                    sensor = self.node.force().map_or("", Force::family),
                    "the meter reads less than the sum of the devices: `other` stays as it is; \
                     check the meter's calibration, or set node.meter to another one or to none"
                );
            }
        }
        self.books.age(now.boot);
        if let Some(attribution) = &mut self.attribution {
            attribution.settle(now.boot);
            // Most nodes have no run most of the time.
            if !self.runs.is_empty() {
                let outlook = outlook(&self.settings, &self.conditions, now);
                self.runs.tend(attribution, &outlook, now);
            }
        }
        self.report(now)
    }

    /// Takes who was here and who did what.
    pub fn count(&mut self, census: Census) {
        if let Some(attribution) = &mut self.attribution {
            self.runs.see(&census.runs, attribution, census.at);
            attribution.take(census);
        }
    }

    /// The runs that are to be followed.
    #[must_use]
    pub fn roster(&self) -> Roster {
        self.runs.roster()
    }

    /// Does what is asked of the book of runs.
    ///
    /// # Errors
    /// Why it is not done.
    pub fn take(&mut self, request: Request, now: Moment) -> Result<Id, Refusal> {
        let attribution = self.attribution.as_mut().ok_or(Refusal::Blind)?;
        self.runs.take(request, attribution, now)
    }

    /// Takes up, goes on with, or leaves off dividing the joules among workloads.
    fn divide(&mut self, policy: Option<&Policy>, now: Moment) {
        let Some(policy) = policy else {
            if let Some(attribution) = self.attribution.take() {
                self.kept = Some(attribution.save());
            }
            return;
        };
        if let Some(attribution) = &mut self.attribution {
            return attribution.choose(policy.clone());
        }
        let kept = self.kept.take();
        let devices = self.device_books();
        let devices = devices.map(|(id, kind, joules)| {
            let page = self.books.devices.get(id);
            (kind, joules, page.and_then(|page| page.emissions.location))
        });
        let attribution = Attribution::new(policy.clone(), kept, devices, now.boot);
        self.attribution = Some(attribution);
    }

    /// Every device with its joules, `other` included.
    fn device_books(&self) -> impl Iterator<Item = (&str, Kind, Joules)> {
        let devices = self.ledger.devices();
        let devices = devices.map(|(id, kind, account)| (&**id, kind, account.joules));
        let other = self
            .node
            .other()
            .map(|joules| (books::OTHER, Kind::Other, joules));
        devices.chain(other)
    }

    /// What must be kept so that a later process goes on with these books.
    #[must_use]
    pub fn state(&self) -> State {
        State {
            since: self.since,
            accounts: self.ledger.save().collect(),
            node: self.node.save(),
            timeline: self.timeline.clone(),
            term: self.term.clone(),
            pue: self.pue,
            books: self.books.clone(),
            runs: self.runs.save(),
            workloads: match &self.attribution {
                Some(attribution) => Some(attribution.save()),
                None => self.kept.clone(),
            },
        }
    }

    /// What to say where the configuration asks for a meter that is not there, once all sensors have had
    /// their time.
    fn note_on_meter(&mut self, ready: bool) -> Option<Arc<str>> {
        let Choice(wanted) = &self.settings.meter;
        if !ready || self.node.force().is_some() || wanted.is_empty() || *wanted == MeterClass::ALL
        {
            return None;
        }
        let is_there = self.ledger.accounts().any(|(part, _)| match part {
            Part::Meter {
                scope: Scope::Node(class),
                ..
            } => wanted.contains(class),
            _ => false,
        });
        let what = if is_there {
            "that meter is silent"
        } else {
            "there is no such meter"
        };
        let wanted: Vec<&str> = wanted.iter().map(|class| class.label()).collect();
        let wanted = wanted.join(", ");
        let note: Arc<str> =
            format!("node.meter is {wanted}, and {what}: the node is the sum of its devices")
                .into();
        if self.meter_note.as_ref() != Some(&note) {
            warn!("{note}");
            self.meter_note = Some(Arc::clone(&note));
        }
        Some(note)
    }

    fn other_method(&self) -> Method {
        let meters = self.meters_in_force();
        if meters
            .map(|account| account.method)
            .all(|method| method == Method::Counter)
        {
            Method::Counter
        } else {
            Method::Integrated
        }
    }

    fn meters_in_force(&self) -> impl Iterator<Item = &Account> {
        let force = self.node.force().into_iter();
        force
            .flat_map(|force| force.accounts(&self.ledger))
            .map(|(_, account)| account)
    }
}

/// What electricity emits here in the hours ahead.
fn outlook(settings: &Settings, conditions: &Conditions, now: Moment) -> Outlook {
    let forecast = conditions.outlook.as_ref().map(|outlook| &outlook.forecast);
    let Factor { intensity, pue, .. } = settings.factor;
    Outlook::new(now.wall, intensity, forecast, pue)
}

/// When that began which is told now, since boot.
fn began(since: Option<Timestamp>, now: Moment) -> Duration {
    let ago = since.map(|since| since.duration_until(now.wall));
    let ago = ago.and_then(|ago| Duration::try_from(ago).ok());
    now.boot.saturating_sub(ago.unwrap_or_default())
}

#[cfg(test)]
mod tests;
