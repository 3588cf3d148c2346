//! All that measures, whoever is told of it: sensors, engine, books on disk.

use super::AppError;
use super::begin::{ask, observe, start, visit};
use crate::clock;
use crate::config::Config;
use crate::engine::{Batch, Engine};
use crate::grid::conditions::Conditions;
use crate::grid::facility::{self, Facts};
use crate::grid::schedule::Doors;
use crate::grid::service::{self, Running};
use crate::process;
use crate::run::book::{Refusal, Request, Shown};
use crate::run::server;
use crate::sampler::Samplers;
use crate::setup::{Setup, Watch};
use crate::snapshot::Snapshot;
use crate::state::Store;
use crate::workload::census::Census;
use crate::workload::runs::Roster;
use crate::workload::watch::Lookout;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tracing::{Span, error, info};

/// What the engine's thread is told.
pub(super) enum Order {
    Batch(Batch),
    /// What the grid is like, from the service of so many reloads ago.
    Conditions(u64, Box<Conditions>),
    /// What holds of the site, from those who were asked since so many reloads ago.
    Facts(u64, Box<Facts>),
    /// Who is here and did what, from those who look since so many reloads ago.
    Census(u64, Box<Census>),
    /// Something that is asked of the book of runs, and where the answer goes.
    Run(Request, oneshot::Sender<Result<Shown, Refusal>>),
    Reload(Box<Setup>),
    Stop,
}

/// Longest time that sensors are given at the end to take leave of what they ask.
const LEAVE: Duration = Duration::from_secs(2);

/// Orders that wait for the engine; samplers wait beyond that.
const QUEUE: usize = 64;

/// What measures, in threads of its own.
#[derive(Debug)]
pub struct Station {
    orders: SyncSender<Order>,
    latest: watch::Receiver<Arc<Snapshot>>,
    roster: Roster,
    keeper: JoinHandle<()>,
}

impl Station {
    /// Begins to measure; the books are kept in `store`, where there is one.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn start(
        config: &Config,
        mut setup: Setup,
        store: Option<Store>,
    ) -> Result<Self, AppError> {
        let (orders, inbox) = sync_channel(QUEUE);
        let (publish, latest) = watch::channel(Arc::new(Snapshot::default()));
        let samplers = start(&mut setup, &orders)?;
        let books = store.as_ref().map(|_| config.books_directory());
        let engine = open_books(&mut setup, store.as_ref(), books.as_deref());
        let doors = Doors::default();
        let grid = ask(&mut setup, 0, books.as_deref(), &doors, &orders)?;
        let facility = visit(&mut setup, 0, &doors, &orders)?;
        let roster = engine.roster();
        let workloads = observe(&mut setup, 0, &roster, &latest, &orders)?;
        let keeper = Keeper {
            lasting: store
                .is_none()
                .then(|| setup.settings.notes.last().cloned())
                .flatten(),
            engine,
            samplers,
            grid,
            facility,
            workloads,
            latest: latest.clone(),
            doors,
            reloads: 0,
            books,
            store,
            failing: false,
            publish,
            process: process::Watch::default(),
            every: config.sensors.interval.duration(),
        };
        let (to_samplers, span) = (orders.clone(), Span::current());
        let keeper = thread::Builder::new()
            .name("engine".into())
            .spawn(move || span.in_scope(|| keeper.run(&inbox, &to_samplers)))?;
        Ok(Self {
            orders,
            latest,
            roster,
            keeper,
        })
    }

    /// The latest moment of the node, always.
    #[must_use]
    pub fn latest(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.latest.clone()
    }

    /// What the socket of runs is served with, below a mount of procfs.
    #[must_use]
    pub fn site(&self, proc: &Path) -> server::Site {
        let orders = self.orders.clone();
        server::Site {
            proc: proc.to_owned(),
            latest: self.latest(),
            ask: Arc::new(move |request| {
                let (answer, answered) = oneshot::channel();
                orders.try_send(Order::Run(request, answer)).ok()?;
                Some(answered)
            }),
            roster: self.roster.clone(),
        }
    }

    /// Goes on with a new configuration.
    pub(super) fn reload(&self, setup: Setup) -> Result<(), String> {
        let order = Order::Reload(Box::new(setup));
        let sent = self.orders.try_send(order);
        sent.map_err(|_| "the engine is busy".to_owned())
    }

    /// Closes the books; false where they were closed before, and the last may not be on disk.
    #[must_use]
    pub fn end(self) -> bool {
        let told = self.orders.send(Order::Stop).is_ok();
        self.keeper.join().is_ok() && told
    }
}

/// The books of an earlier process of this boot, or new ones.
fn open_books(setup: &mut Setup, store: Option<&Store>, books: Option<&Path>) -> Engine {
    let mut kept = store.and_then(|store| {
        store.load().unwrap_or_else(|error| {
            error!("{error}: the books begin anew, counters restart at 0");
            None
        })
    });
    match &kept {
        Some(state) => info!(since = %state.since.wall, "the books go on where they ended"),
        None => info!("the books begin"),
    }
    let now = clock::now();
    let last = kept.as_ref().and_then(|state| state.pue);
    let pue = setup
        .facility
        .as_mut()
        .and_then(|plan| plan.go_on(last, now));
    if let Some(pue) = pue {
        setup.settings.factor.pue = pue.ratio;
        setup.settings.pue = pue;
    }
    let mut service = setup.watch.as_ref().zip(books).map(|(watch, books)| {
        let Watch { place, providers } = watch;
        service::remembered(place, providers, books)
    });
    if let Some(state) = &mut kept
        && let Some(end) = state.ended(now)
    {
        info!(until = %end, "the last factor ended before the start: energy since then meets what was known of that time");
        let meanwhile = service
            .as_mut()
            .map(|service| service.meanwhile(0, end, now.wall));
        let usual = setup.settings.factor.intensity;
        state.follow(&meanwhile.unwrap_or_default(), usual, now);
    }
    let mut engine = Engine::new(setup.settings.clone(), &setup.seats, kept, now);
    // What is remembered holds before anybody has answered, and so for the first readings.
    if let Some((conditions, _)) = service.and_then(|mut service| service.conditions(0, now.wall)) {
        engine.meet(conditions, now);
    }
    engine
}

/// The engine's thread: books batches as they come, and closes the books at every tick. What a
/// snapshot shows is on disk before it is published.
struct Keeper {
    engine: Engine,
    /// A note that no reload takes away: the books are not kept.
    lasting: Option<Arc<str>>,
    samplers: Samplers,
    /// The intensity service, where anybody is asked.
    grid: Option<Running>,
    /// Those who ask what holds of the site, where anybody is asked.
    facility: Option<facility::Running>,
    /// Who looks who uses the machine, where anybody does.
    workloads: Option<Lookout>,
    latest: watch::Receiver<Arc<Snapshot>>,
    /// Until when they leave servers alone: a reload does not change that.
    doors: Doors,
    reloads: u64,
    /// Where the books are kept.
    books: Option<PathBuf>,
    store: Option<Store>,
    failing: bool,
    publish: watch::Sender<Arc<Snapshot>>,
    process: process::Watch,
    every: Duration,
}

impl Keeper {
    fn run(mut self, inbox: &Receiver<Order>, orders: &SyncSender<Order>) {
        let every = self.every;
        // A quarter of an interval behind the sensors, which all start on one beat.
        let mut next = clock::now().awake + every / 4;
        loop {
            let now = clock::now().awake;
            if now >= next {
                self.tick();
                next = now.max(next + every);
            }
            match inbox.recv_timeout(next.saturating_sub(now)) {
                Ok(Order::Batch(batch)) => self.engine.apply(&batch),
                // What a service that was retired still has to say is no longer asked for.
                Ok(Order::Conditions(of, _) | Order::Facts(of, _) | Order::Census(of, _))
                    if of != self.reloads => {}
                Ok(Order::Census(_, census)) => self.engine.count(*census),
                Ok(Order::Run(request, answer)) => {
                    let done = self.told(request);
                    // Who asked may have gone.
                    let _ = answer.send(done);
                }
                Ok(Order::Facts(_, facts)) => self.engine.house(*facts, clock::now()),
                Ok(Order::Conditions(_, conditions)) => self.engine.meet(*conditions, clock::now()),
                Ok(Order::Reload(setup)) => self.reload(*setup, orders),
                Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
        self.tick();
        self.samplers.end(LEAVE);
    }

    /// Does what is asked of the book of runs. One that begins or ends is kept and shown at once, with as much else as
    /// was shown before; how far it is can wait for the next tick.
    fn told(&mut self, request: Request) -> Result<Shown, Refusal> {
        let now = clock::now();
        let is_progress = matches!(request, Request::Progress(..));
        let id = self.engine.take(request, now)?;
        if !is_progress {
            self.keep();
            self.publish
                .send_modify(|latest| Arc::make_mut(latest).runs = self.engine.runs(now));
        }
        let run = self.engine.run(&id, now);
        run.ok_or_else(|| Refusal::Unknown(id.to_string()))
    }

    fn tick(&mut self) {
        let now = clock::now();
        let mut snapshot = self.engine.tick(now);
        snapshot.process = self.process.look(now);
        self.keep();
        self.publish.send_replace(Arc::new(snapshot));
    }

    fn keep(&mut self) {
        if let Some(store) = &mut self.store {
            match store.save(&self.engine.state()) {
                Ok(()) => self.failing = false,
                Err(error) if self.failing => drop(error),
                Err(error) => {
                    self.failing = true;
                    error!(
                        "cannot keep the books: {error}: a restart now would repeat or lose energy"
                    );
                }
            }
        }
    }

    fn reload(&mut self, mut setup: Setup, orders: &SyncSender<Order>) {
        setup.settings.notes.extend(self.lasting.clone());
        let number = self.reloads + 1;
        let grid = match ask(
            &mut setup,
            number,
            self.books.as_deref(),
            &self.doors,
            orders,
        ) {
            Ok(grid) => grid,
            Err(error) => {
                return error!("the old configuration goes on: no thread for the new one: {error}");
            }
        };
        let facility = match visit(&mut setup, number, &self.doors, orders) {
            Ok(facility) => facility,
            Err(error) => {
                return error!("the old configuration goes on: no thread for the new one: {error}");
            }
        };
        let workloads = match observe(
            &mut setup,
            number,
            &self.engine.roster(),
            &self.latest,
            orders,
        ) {
            Ok(workloads) => workloads,
            Err(error) => {
                return error!("the old configuration goes on: no thread for the new one: {error}");
            }
        };
        match start(&mut setup, orders) {
            Ok(samplers) => self.samplers = samplers,
            Err(error) => {
                return error!("the old sensors go on: no thread for the new ones: {error}");
            }
        }
        if let (Some(old), Some(new)) = (&self.facility, &facility)
            && old.sources == new.sources
        {
            self.engine.carry(&mut setup.settings);
        }
        self.engine
            .reconfigure(setup.settings, &setup.seats, clock::now());
        self.grid = grid;
        self.facility = facility;
        self.workloads = workloads;
        self.reloads = number;
    }
}
