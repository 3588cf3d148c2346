//! The book of runs: what is known of each beyond its joules. A part of the engine, which alone changes it.

mod asked;
mod burst;

pub use self::asked::{Beginning, Refusal, Request};
use self::burst::Bursts;
use super::api::{Done, State};
use super::marks::Marks;
use super::outlook::Outlook;
use super::predict::{Mark, Now, Prediction, Progress};
use crate::attribution::{Attribution, RunUse};
use crate::clock::Moment;
use crate::units::{Grams, Joules, Watts};
use crate::workload::runs::{Born, Head, Id, Roster, Seen};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A run is predicted anew after so small a part of the time that it has gone on, and at the latest after so long: in a
/// long one little changes from one second to the next.
const SELDOM: u32 = 100;
const LATEST: Duration = Duration::from_secs(60);

/// What may be had of runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Most runs that are kept, those that have ended included.
    pub max: usize,
    /// Of them, most of one user that go on, or are not divided to their end yet.
    pub max_of_user: usize,
    /// How long one stays after its end.
    pub linger: Duration,
    /// How long a new one is shown with 0, so that a scrape sees where it began.
    pub introduce: Duration,
}

/// One run.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry {
    name: Arc<str>,
    user: u32,
    user_name: Arc<str>,
    head: Head,
    #[serde(default)]
    above: Vec<Born>,
    budget: Option<Grams>,
    began: Moment,
    ended: Option<Moment>,
    state: State,
    settled: bool,
    /// When its processes were looked at for the last time, after its end (time since boot): the energy of the time until
    /// then is divided by what was seen.
    #[serde(default)]
    looked: Option<Duration>,
    #[serde(default)]
    processes: usize,
    progress: Progress,
    marks: Marks,
    told: Option<Done>,
    first: Option<Prediction>,
    #[serde(skip)]
    prediction: Option<Prediction>,
    /// When it was predicted (time since boot).
    #[serde(skip)]
    predicted: Duration,
}

/// What must be kept over a restart.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Saved(Vec<(Id, Entry)>);

/// The book.
#[derive(Debug)]
pub struct Book {
    limits: Limits,
    roster: Roster,
    entries: BTreeMap<Id, Entry>,
    bursts: Bursts,
}

/// A run as it is shown.
#[derive(Clone, Debug)]
pub struct Shown {
    /// What it is known by.
    pub id: Id,
    /// What it is called.
    pub name: Arc<str>,
    /// Whose it is.
    pub user: Arc<str>,
    /// How it is.
    pub state: State,
    /// When it began.
    pub began: Moment,
    /// When it ended.
    pub ended: Option<Moment>,
    /// How long it has gone on.
    pub elapsed: Duration,
    /// Whether its figures stay as they are.
    pub settled: bool,
    /// What was first booked after this (time since boot) is shown with 0 still.
    pub introduced: Duration,
    /// Its processes.
    pub processes: usize,
    /// What it has used.
    pub uses: Vec<RunUse>,
    /// How far it has told that it is.
    pub told: Option<Done>,
    /// The same as a ratio, 0 to 1.
    pub ratio: Option<f64>,
    /// What it will come to.
    pub prediction: Option<Prediction>,
    /// What was predicted first.
    pub first: Option<Prediction>,
    /// The most that it should emit.
    pub budget: Option<Grams>,
}

impl Shown {
    /// Energy of all kinds.
    #[must_use]
    pub fn joules(&self) -> Joules {
        self.uses.iter().map(|used| used.joules).sum()
    }
    /// Emissions of all kinds; `None` where no factor was known.
    #[must_use]
    pub fn grams(&self) -> Option<Grams> {
        let grams = self.uses.iter().filter_map(|used| used.grams);
        grams.reduce(|a, b| a + b)
    }
    /// Power of all kinds; `None` while nobody knows, and after its end.
    #[must_use]
    pub fn watts(&self) -> Option<Watts> {
        let watts = self.uses.iter().filter_map(|used| used.watts);
        watts.reduce(|a, b| a + b)
    }
}

/// What a run has used by `now`: what is divided until `known`, and the power of that time since then.
fn used(uses: &[RunUse], known: Duration, now: Moment) -> Joules {
    let since = now.boot.saturating_sub(known);
    let used = |used: &RunUse| used.joules + used.watts.unwrap_or_default().during(since);
    uses.iter().map(used).sum()
}

impl Entry {
    fn elapsed(&self, now: Moment) -> Duration {
        let end = self.ended.unwrap_or(now);
        end.boot.saturating_sub(self.began.boot)
    }

    fn tell(&mut self, done: Done, now: Moment) {
        self.marks.tell(self.elapsed(now), done);
        self.told = Some(done);
    }

    /// Predicts anew, by what is divided until `known`.
    fn predict(&mut self, uses: &[RunUse], known: Duration, outlook: &Outlook, now: Moment) {
        let divided: Joules = uses.iter().map(|used| used.joules).sum();
        let until = known.saturating_sub(self.began.boot);
        for (at, done, joules) in self.marks.know(until, divided) {
            let mark = Mark {
                at,
                done: done.done,
                joules,
            };
            self.progress.tell(mark, done.total);
        }
        if divided.0 <= 0.0 {
            return;
        }
        let joules = used(uses, known, now);
        let grams = uses.iter().filter_map(|used| used.grams);
        // What is not divided yet emits what electricity emits now.
        let since = outlook.mean(now.wall, Duration::ZERO);
        let since = since.map(|factor| factor.of(joules - divided));
        let so_far = Now {
            wall: now.wall,
            elapsed: self.elapsed(now),
            joules,
            grams: grams
                .reduce(|a, b| a + b)
                .map(|grams| grams + since.unwrap_or_default()),
        };
        let seldom = (so_far.elapsed / SELDOM).min(LATEST);
        if now.boot < self.predicted + seldom {
            return;
        }
        self.predicted = now.boot;
        self.prediction = self.progress.predict(&so_far, outlook);
        self.first = self.first.or(self.prediction);
    }
}

impl Book {
    /// Goes on with what was kept; the heads of those that still run are followed again.
    #[must_use]
    pub fn new(limits: Limits, kept: Saved) -> Self {
        let Saved(entries) = kept;
        let roster = Roster::default();
        let running = entries.iter().filter(|(_, entry)| !entry.settled);
        for (id, entry) in running {
            let head = Head {
                before: None,
                ..entry.head.clone()
            };
            roster.add(Arc::clone(id), head);
        }
        Self {
            limits,
            roster,
            entries: entries.into_iter().collect(),
            bursts: Bursts::default(),
        }
    }

    /// What must be kept.
    #[must_use]
    pub fn save(&self) -> Saved {
        let entries = self.entries.iter();
        Saved(
            entries
                .map(|(id, entry)| (Arc::clone(id), entry.clone()))
                .collect(),
        )
    }

    /// The heads of those that are followed.
    #[must_use]
    pub fn roster(&self) -> Roster {
        self.roster.clone()
    }

    /// Takes new limits.
    pub fn limit(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Does what is asked.
    ///
    /// # Errors
    /// Why it is not done.
    pub fn take(
        &mut self,
        request: Request,
        attribution: &mut Attribution,
        now: Moment,
    ) -> Result<Id, Refusal> {
        match request {
            Request::Begin(beginning) => self.begin(*beginning, attribution, now),
            Request::Progress(id, user, done) => {
                self.own(&id, user)?.tell(done, now);
                Ok(id)
            }
            Request::End {
                id,
                user,
                exit_code,
                used,
            } => {
                let entry = self.own(&id, user)?;
                entry.state = match exit_code {
                    0 => State::Succeeded,
                    _ => State::Failed,
                };
                entry.ended = Some(now);
                self.roster.end(&id, used);
                attribution.end_run(&id, now.boot);
                Ok(id)
            }
        }
    }

    /// A run that goes on, and is this user's or asked of by root.
    fn own(&mut self, id: &Id, user: u32) -> Result<&mut Entry, Refusal> {
        let entry = self.entries.get_mut(id);
        let entry = entry.ok_or_else(|| Refusal::Unknown(id.to_string()))?;
        if user != 0 && entry.user != user {
            return Err(Refusal::Foreign(id.to_string()));
        }
        if entry.ended.is_some() {
            return Err(Refusal::Ended(id.to_string()));
        }
        Ok(entry)
    }

    fn begin(
        &mut self,
        beginning: Beginning,
        attribution: &mut Attribution,
        now: Moment,
    ) -> Result<Id, Refusal> {
        let Beginning {
            id,
            name,
            user: (user, user_name),
            head,
            ancestors,
            budget,
        } = beginning;
        let running = || self.entries.values().filter(|entry| entry.ended.is_none());
        if let Some(outer) = running().find(|entry| ancestors.contains(&entry.head.born())) {
            return Err(Refusal::Inside(outer.name.to_string()));
        }
        if let Some(inner) = running().find(|entry| entry.above.contains(&head.born())) {
            return Err(Refusal::Around(inner.name.to_string()));
        }
        let unsettled = self.entries.values().filter(|entry| !entry.settled);
        let of_user = unsettled.filter(|entry| entry.user == user).count();
        if of_user >= self.limits.max_of_user {
            return Err(Refusal::TooMany(of_user));
        }
        if self.entries.len() >= self.limits.max && !self.make_room(attribution) {
            return Err(Refusal::TooMany(self.entries.len()));
        }
        if user != 0 && !self.bursts.take(user, now.boot) {
            return Err(Refusal::TooFast);
        }
        self.roster.add(Arc::clone(&id), head.clone());
        attribution.open_run(Arc::clone(&id), now.boot);
        let entry = Entry {
            name: name.into(),
            user,
            user_name: user_name.into(),
            head,
            above: ancestors,
            budget,
            began: now,
            ended: None,
            state: State::Running,
            settled: false,
            looked: None,
            processes: 0,
            progress: Progress::default(),
            marks: Marks::default(),
            told: None,
            first: None,
            prediction: None,
            predicted: Duration::ZERO,
        };
        self.entries.insert(Arc::clone(&id), entry);
        Ok(id)
    }

    /// Forgets the run that has ended first, of the user of whom most are kept: nobody drives out the runs of others.
    /// False where all go on.
    fn make_room(&mut self, attribution: &mut Attribution) -> bool {
        let mut kept: BTreeMap<u32, usize> = BTreeMap::new();
        for entry in self.entries.values() {
            *kept.entry(entry.user).or_default() += 1;
        }
        let settled = self.entries.iter().filter(|(_, entry)| entry.settled);
        let first = settled.min_by_key(|(_, entry)| {
            let kept = kept.get(&entry.user).copied();
            (Reverse(kept), entry.ended.map(|ended| ended.boot))
        });
        let Some(id) = first.map(|(id, _)| Arc::clone(id)) else {
            return false;
        };
        self.forget(&id, attribution);
        true
    }

    fn forget(&mut self, id: &Id, attribution: &mut Attribution) {
        self.entries.remove(id);
        self.roster.remove(id);
        attribution.close_run(id);
    }

    /// Takes what was seen of the families of processes.
    pub fn see(&mut self, seen: &[Seen], attribution: &mut Attribution, at: Moment) {
        for seen in seen {
            let Some(entry) = self.entries.get_mut(&seen.id) else {
                continue;
            };
            entry.processes = seen.processes;
            if !seen.alive && entry.ended.is_none() {
                entry.state = State::Lost;
                entry.ended = Some(at);
                self.roster.remove(&seen.id);
                attribution.end_run(&seen.id, at.boot);
            }
            if entry.ended.is_some() {
                entry.looked.get_or_insert(at.boot);
            }
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Predicts anew, and lets go of what has ended long enough ago.
    pub fn tend(&mut self, attribution: &mut Attribution, outlook: &Outlook, now: Moment) {
        let known = attribution.runs_known(now.boot);
        let mut over = Vec::new();
        for (id, entry) in &mut self.entries {
            match entry.ended {
                None => {
                    let uses = attribution.run_uses(id, now.boot);
                    entry.predict(&uses, known.unwrap_or(now.boot), outlook, now);
                }
                Some(ended) => {
                    let is_old =
                        now.boot.saturating_sub(ended.boot) >= crate::attribution::PATIENCE;
                    let is_divided = entry.looked.is_some_and(|looked| known >= Some(looked));
                    if !entry.settled && (is_old || is_divided) {
                        entry.settled = true;
                    }
                    let shown = entry.began.boot + self.limits.introduce;
                    if now.boot >= ended.boot.max(shown) + self.limits.linger {
                        over.push(Arc::clone(id));
                    }
                }
            }
        }
        for id in over {
            self.forget(&id, attribution);
        }
    }

    /// All runs as they are; or the one that is asked for.
    #[must_use]
    pub fn show(&self, attribution: &Attribution, only: Option<&Id>, now: Moment) -> Vec<Shown> {
        let is_asked = |id: &Id| only.is_none_or(|only| only == id);
        let shown = |(id, entry): (&Id, &Entry)| {
            let mut uses = attribution.run_uses(id, now.boot);
            if entry.ended.is_some() {
                uses.iter_mut().for_each(|used| used.watts = None);
            }
            Shown {
                id: Arc::clone(id),
                name: Arc::clone(&entry.name),
                user: Arc::clone(&entry.user_name),
                state: entry.state,
                began: entry.began,
                ended: entry.ended,
                elapsed: entry.elapsed(now),
                settled: entry.settled,
                introduced: now.boot.saturating_sub(self.limits.introduce),
                processes: entry.processes,
                uses,
                told: entry.told,
                ratio: entry.told.map(|told| (told.done / told.total).min(1.0)),
                prediction: entry.prediction.filter(|_| entry.ended.is_none()),
                first: entry.first,
                budget: entry.budget,
            }
        };
        let asked = self.entries.iter().filter(|(id, _)| is_asked(id));
        asked.map(shown).collect()
    }
}
