//! Asking providers: a thread for each, which may block; manners by the [`Schedule`]; secrets from files, read
//! at every request, so that a new one is used at once.

use super::provider::{Answer, Auth, Provider, Request};
use super::schedule::{Doors, Outcome, Schedule, Step, chance, server};
use super::veil::Veil;
use crate::clock;
use crate::http::{self, Client};
use crate::secret::{self, Credentials, Secret};
use jiff::Timestamp;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

mod failures;
use failures::{local, refused, unread, unsecret, unsent};

/// What the `reason` label of a failed request can say; [`REFUSED`] is of values that cannot be.
pub const REASONS: [&str; 8] = [
    "config", "secret", "denied", "limit", "network", "status", "answer", REFUSED,
];

/// The reason of values that were had and cannot be true.
pub const REFUSED: &str = "value";

/// Largest answer that is read: a week of an area's generation by plant type is 2 MB.
const LARGEST: u64 = 8 << 20;

/// A prefix of URLs that are files of the machine.
const FILE: &str = "file://";

/// Why a request gave nothing of use. No secret is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// One of [`REASONS`].
    pub reason: &'static str,
    /// Where: the address without its query's secrets, or the file.
    pub place: String,
    /// What went wrong.
    pub message: String,
    /// What a person can do about it; empty where nobody knows.
    pub mend: String,
    /// How long the provider wants to be left alone.
    pub wait: Option<Duration>,
}

/// One answer, or the want of one.
#[derive(Clone, Debug)]
pub struct News {
    /// The provider's place in the chain.
    pub provider: usize,
    /// Which zone it was asked about.
    pub zone: usize,
    /// Which of the zone's requests it was.
    pub number: usize,
    /// What it said; `None` where it says that nothing is new.
    pub answer: Result<Option<Answer>, Failure>,
}

/// A request of the plan: its zone, its number, and its pace.
pub type Planned = (usize, usize, Duration);

/// A provider that is asked about some zones.
pub struct Asker {
    provider: Box<dyn Provider>,
    zones: Vec<String>,
    client: Client,
    /// A token from a login, and until when it is good.
    token: Option<(Secret, Timestamp)>,
    /// What the last answer to a request was marked with, so that it is not sent again.
    marks: BTreeMap<(usize, usize), (String, String)>,
    /// The secrets of the request that is under way.
    veil: Veil,
}

/// The longest mark that is sent back.
const MARK: usize = 1024;

/// An answer as it came.
struct Told {
    body: Vec<u8>,
    mark: Option<String>,
}

impl Asker {
    /// A provider, the zones that it is asked about, and what carries the requests.
    #[must_use]
    pub fn new(provider: Box<dyn Provider>, zones: Vec<String>, client: Client) -> Self {
        Self {
            provider,
            zones,
            client,
            token: None,
            marks: BTreeMap::new(),
            veil: Veil::default(),
        }
    }

    /// What there is to ask: zone and number of each request, with its pace; and why some zones cannot be
    /// asked about.
    #[must_use]
    pub fn plan(&self, now: Timestamp) -> (Vec<Planned>, Vec<(usize, Failure)>) {
        let (mut plan, mut uncovered) = (Vec::new(), Vec::new());
        for (zone, name) in self.zones.iter().enumerate() {
            match self.provider.requests(name, now) {
                Ok(requests) => {
                    let requests = requests.iter().enumerate();
                    plan.extend(requests.map(|(number, request)| (zone, number, request.every)));
                }
                Err(message) => uncovered.push((zone, Failure {
                    reason: "config",
                    place: format!("{} for {name}", self.provider.name()),
                    message,
                    mend: "give the zone in the provider's own terms, or take the provider out of grid.providers"
                        .to_owned(),
                    wait: None,
                })),
            }
        }
        (plan, uncovered)
    }

    /// The server that is asked.
    fn server(&self, now: Timestamp) -> String {
        let mut known = self
            .zones
            .iter()
            .filter_map(|zone| self.provider.requests(zone, now).ok());
        let request = known.find_map(|requests| requests.into_iter().next());
        request.map_or_else(String::new, |request| server(&request.url).to_owned())
    }

    /// What a request of the plan is for.
    #[must_use]
    pub fn what(&self, zone: usize, number: usize, now: Timestamp) -> &'static str {
        let name = self.zones.get(zone).map_or("", String::as_str);
        let requests = self.provider.requests(name, now).unwrap_or_default();
        requests
            .get(number)
            .map_or("", |request| request.what.label())
    }

    /// Makes one request of the plan.
    ///
    /// # Errors
    /// What went wrong, in words for people.
    pub fn ask(
        &mut self,
        zone: usize,
        number: usize,
        now: Timestamp,
    ) -> Result<Option<Answer>, Failure> {
        let name = self.zones.get(zone).cloned().unwrap_or_default();
        let requests = self.provider.requests(&name, now).unwrap_or_default();
        let Some(request) = requests.into_iter().nth(number) else {
            return Ok(None);
        };
        self.veil = Veil::default();
        let shown = self.veil.address(&request.url);
        let told = self.told((zone, number), &name, &request, now);
        told.map_err(|failure| Failure {
            // An address that is not the request's is that of a login, or a file.
            place: if failure.place == request.url {
                shown
            } else {
                self.veil.address(&failure.place)
            },
            message: self.veil.text(&failure.message),
            mend: self.veil.text(&failure.mend),
            ..failure
        })
    }

    fn told(
        &mut self,
        place: (usize, usize),
        zone: &str,
        request: &Request,
        now: Timestamp,
    ) -> Result<Option<Answer>, Failure> {
        let Some(Told { body, mark }) = self.body(place, request, now)? else {
            return Ok(None);
        };
        let read = self.provider.read(request.what, zone, &body, now);
        // What could not be understood is sent again when it is asked for again.
        let is_kept = read.is_ok() && self.provider.is_dated();
        match mark.filter(|mark| is_kept && mark.len() <= MARK) {
            Some(mark) => self.marks.insert(place, (request.url.clone(), mark)),
            None => self.marks.remove(&place),
        };
        read.map(Some).map_err(|garbage| unread(request, &garbage))
    }

    fn body(
        &mut self,
        place: (usize, usize),
        request: &Request,
        now: Timestamp,
    ) -> Result<Option<Told>, Failure> {
        if let Some(path) = request.url.strip_prefix(FILE) {
            let body = local(Path::new(path))?;
            return Ok(Some(Told { body, mark: None }));
        }
        let is_held = matches!(&self.token, Some((_, until)) if now < *until);
        let (url, mut headers) = self.signed(request, now)?;
        let mark = self.marks.get(&place);
        let mark = mark.filter(|(of, _)| *of == request.url);
        let is_marked = mark.is_some();
        if let Some((_, mark)) = mark {
            headers.push(("If-None-Match".to_owned(), mark.clone()));
        }
        let reply = self
            .client
            .get(&url, &headers, LARGEST)
            .map_err(|error| unsent(request, &error))?;
        match reply.status {
            200 => Ok(Some(Told {
                mark: reply.header("etag").map(str::to_owned),
                body: self.veil.body(reply.body),
            })),
            304 if is_marked => Ok(None),
            // A token that ended before its time: a new one at once, and once.
            401 if self.token.take().is_some() && is_held => self.body(place, request, now),
            status => Err(refused(request, status, &reply)),
        }
    }

    /// The URL and the headers with the secret in its place.
    fn signed(
        &mut self,
        request: &Request,
        now: Timestamp,
    ) -> Result<(String, Vec<(String, String)>), Failure> {
        let mut headers = request.headers.clone();
        let mut url = request.url.clone();
        match &request.auth {
            Auth::None => {}
            Auth::Header(name, before) => {
                // A server of one's own may need none.
                if let Some(token) = self.secret(request)? {
                    headers.push(((*name).to_owned(), format!("{before}{}", token.reveal())));
                }
            }
            Auth::Query(key) => {
                if let Some(token) = self.secret(request)? {
                    let mark = if url.contains('?') { '&' } else { '?' };
                    let token = super::provider::read::escaped(token.reveal());
                    url = format!("{url}{mark}{key}={token}");
                }
            }
            Auth::Login { url: login, lasts } => {
                let token = self.login(request, login, *lasts, now)?;
                headers.push((
                    "Authorization".to_owned(),
                    format!("Bearer {}", token.reveal()),
                ));
            }
        }
        Ok((url, headers))
    }

    fn secret(&mut self, request: &Request) -> Result<Option<Secret>, Failure> {
        let Some(path) = self.provider.secret() else {
            return Ok(None);
        };
        let token = secret::line(path, "a file whose only line is the token");
        let token = token.map_err(|error| unsecret(request, &error))?;
        self.veil.hide(token.reveal());
        Ok(Some(token))
    }

    fn login(
        &mut self,
        request: &Request,
        login: &str,
        lasts: Duration,
        now: Timestamp,
    ) -> Result<Secret, Failure> {
        if let Some((token, until)) = &self.token
            && now < *until
        {
            self.veil.hide(token.reveal());
            return Ok(token.clone());
        }
        let Some(path) = self.provider.secret() else {
            return Err(Failure {
                reason: "secret",
                place: login.to_owned(),
                message: "no file of credentials is configured".to_owned(),
                mend: "give credentials_file".to_owned(),
                wait: None,
            });
        };
        let who: Credentials = secret::keys(path, "YAML with the keys username and password")
            .map_err(|error| unsecret(request, &error))?;
        let basic = http::basic(&who);
        self.veil.hide(who.password.reveal());
        self.veil.hide(basic.trim_start_matches("Basic "));
        let headers = [("Authorization".to_owned(), basic)];
        let at = Request::open(request.what, login.to_owned(), request.every);
        let reply = self
            .client
            .get(login, &headers, LARGEST)
            .map_err(|error| unsent(&at, &error))?;
        if reply.status != 200 {
            return Err(refused(&at, reply.status, &reply));
        }
        let given: Given =
            super::provider::read::json(&reply.body).map_err(|garbage| unread(&at, &garbage))?;
        self.veil.hide(given.token.reveal());
        // A little early, so that it does not end on the way.
        let until = super::series::after(now, lasts.mul_f64(0.9));
        self.token = Some((given.token.clone(), until));
        Ok(given.token)
    }
}

/// What a login gives.
#[derive(Deserialize)]
struct Given {
    token: Secret,
}

/// The threads that ask. Dropping it retires them: each ends after the request it is in.
#[derive(Debug)]
pub struct Fetchers {
    stop: Arc<AtomicBool>,
    threads: Vec<Thread>,
}

impl Fetchers {
    /// Starts a thread for each provider, which keeps to what `doors` says of its server. `deliver` takes news, and says whether anybody wants more.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn start(
        askers: Vec<Asker>,
        doors: &Doors,
        deliver: &(impl Fn(News) -> bool + Clone + Send + 'static),
    ) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for (place, asker) in askers.into_iter().enumerate() {
            let (stop, doors, deliver) = (Arc::clone(&stop), doors.clone(), deliver.clone());
            let thread = thread::Builder::new()
                .name(format!("grid-{}", asker.provider.name()))
                .spawn(move || fetch(place, asker, &stop, &doors, &deliver))?;
            threads.push(thread.thread().clone());
        }
        Ok(Self { stop, threads })
    }
}

impl Drop for Fetchers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in &self.threads {
            thread.unpark();
        }
    }
}

fn fetch(
    place: usize,
    mut asker: Asker,
    stop: &AtomicBool,
    doors: &Doors,
    deliver: &impl Fn(News) -> bool,
) {
    let start = clock::now();
    let (plan, uncovered) = asker.plan(start.wall);
    for (zone, failure) in uncovered {
        let news = News {
            provider: place,
            zone,
            number: 0,
            answer: Err(failure),
        };
        if !deliver(news) {
            return;
        }
    }
    let server = asker.server(start.wall);
    let apart = asker.provider.manners().apart;
    let mut schedule = Schedule::new(plan.iter().map(|(.., every)| *every), apart, start.awake);
    while !stop.load(Ordering::Relaxed) {
        let now = clock::now();
        let item = match doors.step(&server, &schedule, now.awake) {
            Step::Ask(item) => item,
            Step::Wait(until) => {
                thread::park_timeout(until.saturating_sub(now.awake));
                continue;
            }
        };
        let Some((zone, number, _)) = plan.get(item).copied() else {
            return;
        };
        let answer = asker.ask(zone, number, now.wall);
        let outcome = match &answer {
            Ok(_) => Outcome::Well,
            Err(failure) => Outcome::Badly(failure.wait),
        };
        schedule.went(item, outcome, clock::now().awake, chance());
        doors.went(&server, &schedule);
        // Who was retired meanwhile is listened to no more: another one keeps the file now.
        if stop.load(Ordering::Relaxed) {
            return;
        }
        if !deliver(News {
            provider: place,
            zone,
            number,
            answer,
        }) {
            return;
        }
    }
}
