//! Talking to a BMC: logging in and out, with few requests and no storms.
//!
//! A BMC has few places for sessions (6 to 16 are usual) and locks accounts after a few wrong passwords. So there is
//! one session, which is given back at the end, and a login that was refused is not tried again before
//! [`REFUSED`], then twice and four times as long, unless the file of credentials has changed.

use super::config::{Auth, Origin};
use super::resource::{Resource, is_path};
use super::trouble::Trouble;
use crate::http::{self, Reply, Settings, Trust};
use crate::secret::{self, Credentials};
use serde_json::json;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Largest answer, in bytes: the largest that were seen are a tenth of it.
const LARGEST: u64 = 1 << 20;

/// Longest time in which new requests are made, for one read. The last one may take its time-out longer.
const BUDGET: Duration = Duration::from_secs(60);

/// How long a BMC that refused a login is left alone: the usual lock-out of accounts is shorter (iDRAC: 1 to 10
/// minutes; AMI MegaRAC: 5), so that it ends.
const REFUSED: Duration = Duration::from_secs(5 * 60);

/// How long one that could not log anybody in is left alone.
const UNABLE: Duration = Duration::from_secs(60);

/// How often [`REFUSED`] is doubled at most: to 40 minutes.
const DOUBLINGS: u32 = 3;

/// Redirects that are followed within the BMC: some want a slash at the end, or none.
const HOPS: u32 = 3;

/// Longest token of a session, in bytes.
const LONGEST_TOKEN: usize = 4096;

/// The service's root, where Redfish begins (DSP0266, 6.2).
const ROOT: &str = "/redfish/v1/";

/// Where sessions are made, where the root does not tell us (DSP0266, 13.3.4).
const SESSIONS: &str = "/redfish/v1/SessionService/Sessions";

/// Where and how to ask.
pub struct Access {
    /// The BMC.
    pub origin: Origin,
    /// Who asks.
    pub credentials: PathBuf,
    /// Whose certificate is good.
    pub trust: Trust,
    /// How long one request may take.
    pub timeout: Duration,
    /// How it is proved who asks.
    pub auth: Auth,
    /// How often there is a read.
    pub interval: Duration,
}

/// Proof of who asks: a secret, so that it has no `Debug`.
enum Pass {
    /// None yet.
    None,
    /// A token, and the session that it belongs to.
    Session(String, Option<String>),
    /// A header.
    Basic(String),
}

/// A login that failed.
struct Failed {
    said: String,
    refused: bool,
    reads: u32,
}

/// The BMC, as it is asked.
pub struct Client {
    access: Access,
    http: Option<http::Client>,
    pass: Pass,
    /// Whether the pass was had in this read.
    fresh: bool,
    /// Whether the pass was good for something in this read.
    proven: bool,
    known: Option<Credentials>,
    failed: Option<Failed>,
    /// Logins refused one after the other.
    refusals: u32,
    /// When no more requests are made.
    until: Instant,
}

impl Client {
    pub fn new(access: Access) -> Self {
        Self {
            access,
            http: None,
            pass: Pass::None,
            fresh: false,
            proven: false,
            known: None,
            failed: None,
            refusals: 0,
            until: Instant::now(),
        }
    }

    /// Where the BMC is.
    pub fn url(&self) -> &str {
        &self.access.origin.url
    }

    /// Begins a read: new credentials are taken, and time starts to run.
    ///
    /// # Errors
    /// Where there are no credentials. A session that is open goes on without.
    pub fn begin(&mut self) -> Result<(), Trouble> {
        self.until = Instant::now() + BUDGET;
        self.fresh = false;
        self.proven = false;
        if let Some(failed) = &mut self.failed {
            failed.reads = failed.reads.saturating_sub(1);
        }
        let wanted = "the keys username and password";
        let found = secret::keys(&self.access.credentials, wanted).map_err(Trouble::Secret)?;
        if self.known.as_ref() != Some(&found) {
            self.sign_out();
            self.failed = None;
            self.refusals = 0;
            self.known = Some(found);
        }
        Ok(())
    }

    /// Whether somebody is logged in.
    pub fn is_in(&self) -> bool {
        !matches!(self.pass, Pass::None)
    }

    /// Asks for a resource, logging in where that is needed.
    ///
    /// # Errors
    /// Whatever can go wrong.
    pub fn get(&mut self, path: &str) -> Result<Resource, Trouble> {
        if matches!(self.pass, Pass::None) {
            self.sign_in()?;
        }
        let mut reply = self.ask("GET", path, b"")?;
        let is_out = |reply: &Reply| reply.status == 401;
        let is_session = matches!(self.pass, Pass::Session(..));
        if is_out(&reply) && is_session && !self.fresh && !self.proven {
            // The session has ended: once a read, a new one.
            self.sign_out();
            self.sign_in()?;
            reply = self.ask("GET", path, b"")?;
        }
        if is_out(&reply) && !self.proven {
            let said = said(&reply);
            self.sign_out();
            return Err(self.refused(format!("status 401{said}")));
        }
        if reply.status < 300 {
            self.proven = true;
            self.failed = None;
            self.refusals = 0;
        }
        resource(&reply)
    }

    fn sign_in(&mut self) -> Result<(), Trouble> {
        if let Some(failed) = &self.failed
            && failed.reads > 0
        {
            return Err(Trouble::Held {
                said: failed.said.clone(),
                reads: failed.reads,
                refused: failed.refused,
            });
        }
        let Some(known) = self.known.clone() else {
            return Err(Trouble::Untold("who it is that asks"));
        };
        self.fresh = true;
        let sessions = match self.access.auth {
            Auth::Basic => None,
            Auth::Session => self.sessions()?,
        };
        let Some(sessions) = sessions else {
            self.pass = Pass::Basic(http::basic(&known));
            return Ok(());
        };
        let login = json!({"UserName": known.username, "Password": known.password.reveal()});
        let reply = self.ask("POST", &sessions, login.to_string().as_bytes())?;
        match reply.status {
            200..=299 => self.enter(&reply),
            404 | 405 | 501 => {
                self.pass = Pass::Basic(http::basic(&known));
                Ok(())
            }
            // Some say 400 to a wrong password (iLO).
            status @ 400..=499 if !is_full(&reply) => {
                Err(self.refused(format!("status {status}{}", said(&reply))))
            }
            status => Err(self.unable(format!("status {status}{}", said(&reply)))),
        }
    }

    /// Where sessions are made; `None` where there are none.
    fn sessions(&mut self) -> Result<Option<String>, Trouble> {
        let reply = self.ask("GET", ROOT, b"")?;
        if matches!(reply.status, 401 | 403) {
            return Ok(Some(SESSIONS.to_owned()));
        }
        let root = resource(&reply)?;
        Ok(root.link("/Links/Sessions").map(str::to_owned))
    }

    /// Takes the token of a new session.
    fn enter(&mut self, reply: &Reply) -> Result<(), Trouble> {
        let token = reply.header("x-auth-token").unwrap_or_default();
        let fits = token.bytes().all(|b| (b' '..=b'~').contains(&b));
        if token.is_empty() || !fits || token.len() > LONGEST_TOKEN {
            return Err(self.unable("no X-Auth-Token in its answer".to_owned()));
        }
        let place = reply.header("location").and_then(below);
        let place = place.or_else(|| {
            let body = Resource::parse(&reply.body)?;
            let path = body.text("/@odata.id");
            is_path(path).then(|| path.to_owned())
        });
        self.pass = Pass::Session(token.to_owned(), place);
        self.failed = None;
        Ok(())
    }

    /// Gives the session back, as far as the BMC lets us.
    pub fn sign_out(&mut self) {
        if let Pass::Session(_, Some(place)) = &self.pass {
            let place = place.clone();
            self.until = Instant::now() + BUDGET;
            // It ends by itself after a while (30 minutes are usual) where this fails.
            drop(self.ask("DELETE", &place, b""));
        }
        self.pass = Pass::None;
    }

    fn refused(&mut self, said: String) -> Trouble {
        let time = REFUSED * 2_u32.pow(self.refusals.min(DOUBLINGS));
        self.refusals += 1;
        self.hold(&said, time, true);
        Trouble::Refused { said }
    }

    fn unable(&mut self, said: String) -> Trouble {
        self.hold(&said, UNABLE, false);
        Trouble::NoLogin { said }
    }

    fn hold(&mut self, said: &str, time: Duration, refused: bool) {
        let reads = time.as_secs_f64() / self.access.interval.as_secs_f64();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let reads = reads.ceil() as u32;
        self.failed = Some(Failed {
            said: said.to_owned(),
            refused,
            reads: reads.max(1),
        });
    }

    /// Makes a request, and follows redirects within the BMC.
    fn ask(&mut self, method: &str, path: &str, body: &[u8]) -> Result<Reply, Trouble> {
        let mut path = path.to_owned();
        for _ in 0..=HOPS {
            let reply = self.once_more(method, &path, body)?;
            let moved = match reply.status {
                307 | 308 => true,
                301..=303 => method == "GET",
                _ => false,
            };
            if !moved {
                return Ok(reply);
            }
            let target = reply.header("location").unwrap_or_default();
            path = self.within(target).ok_or(Trouble::Elsewhere)?;
        }
        Err(Trouble::Garbage("redirects without end".to_owned()))
    }

    /// The path of a redirect's target, where that is on the BMC.
    fn within(&self, target: &str) -> Option<String> {
        let rest = target.strip_prefix(&self.access.origin.url);
        let rest = rest.or_else(|| {
            let usual = format!("https://{}:443", self.access.origin.host);
            let rest = target.strip_prefix(&usual)?;
            (self.access.origin.port == 443).then_some(rest)
        });
        let path = rest.unwrap_or(target);
        is_path(path).then(|| path.to_owned())
    }

    /// Makes a request; once more where the connection had been kept too long for the BMC's taste.
    fn once_more(&mut self, method: &str, path: &str, body: &[u8]) -> Result<Reply, Trouble> {
        let first = self.send(method, path, body);
        let stale = [
            ErrorKind::UnexpectedEof,
            ErrorKind::ConnectionReset,
            ErrorKind::ConnectionAborted,
            ErrorKind::BrokenPipe,
        ];
        let reply = match first {
            Err(Trouble::Unanswered(http::Error::Io(error)))
                if stale.contains(&error.kind()) && method == "GET" =>
            {
                self.send(method, path, body)
            }
            other => other,
        };
        if matches!(reply, Err(Trouble::Unanswered(_))) {
            // A new one reads ca_file anew.
            self.http = None;
        }
        reply
    }

    fn send(&mut self, method: &str, path: &str, body: &[u8]) -> Result<Reply, Trouble> {
        if Instant::now() >= self.until {
            return Err(Trouble::Overdue);
        }
        let mut headers = vec![
            ("Accept".to_owned(), "application/json".to_owned()),
            ("OData-Version".to_owned(), "4.0".to_owned()),
        ];
        if !body.is_empty() {
            headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
        }
        match &self.pass {
            Pass::None => {}
            Pass::Session(token, _) => {
                headers.push(("X-Auth-Token".to_owned(), token.clone()));
            }
            Pass::Basic(header) => {
                headers.push(("Authorization".to_owned(), header.clone()));
            }
        }
        let url = format!("{}{path}", self.access.origin.url);
        let http = self.http()?;
        http.send(method, &url, &headers, body, LARGEST)
            .map_err(Trouble::Unanswered)
    }

    fn http(&mut self) -> Result<&http::Client, Trouble> {
        let client = match self.http.take() {
            Some(client) => client,
            None => http::Client::new(&Settings {
                trust: self.access.trust.clone(),
                timeout: self.access.timeout,
                // A BMC is in the rack: a proxy has no business with its password.
                proxy: false,
            })
            .map_err(Trouble::Unanswered)?,
        };
        Ok(self.http.insert(client))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.sign_out();
    }
}

/// A resource, from an answer.
fn resource(reply: &Reply) -> Result<Resource, Trouble> {
    match reply.status {
        200 | 203 => {}
        status => {
            let said = said(reply);
            return Err(Trouble::Status { status, said });
        }
    }
    Resource::parse(&reply.body).ok_or_else(|| {
        let text = String::from_utf8_lossy(&reply.body);
        Trouble::Garbage(text.chars().take(60).collect())
    })
}

/// What an answer says in Redfish's words (`Base.1.8.SessionLimitExceeded`), to stand after its status.
fn said(reply: &Reply) -> String {
    let body = Resource::parse(&reply.body);
    let message = body.as_ref().and_then(Resource::message).unwrap_or_default();
    let plain = |c: &char| c.is_ascii_alphanumeric() || ".-_".contains(*c);
    let message: String = message.chars().filter(plain).take(80).collect();
    match message.is_empty() {
        true => message,
        false => format!(", {message}"),
    }
}

/// Whether all sessions are taken (DSP8011, Base: `SessionLimitExceeded`).
fn is_full(reply: &Reply) -> bool {
    let body = Resource::parse(&reply.body);
    let message = body.as_ref().and_then(Resource::message);
    message.is_some_and(|message| message.ends_with("SessionLimitExceeded"))
}

/// The path of a place, whatever host it is said to be on: it is asked for on the BMC.
fn below(place: &str) -> Option<String> {
    let at = place.find("/redfish/")?;
    let path = place.get(at..)?;
    is_path(path).then(|| path.to_owned())
}
