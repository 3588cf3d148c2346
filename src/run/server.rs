//! The local socket: HTTP/1.1 with JSON over a unix socket, for whoever runs something on this machine. Who asks is
//! known from the kernel (`SO_PEERCRED`, unix(7)), and not from what they say.

use super::api::{Begin, Done, Over, Refused};
use super::book::{Beginning, Refusal, Request};
use super::show;
use crate::snapshot::Snapshot;
use crate::units::Grams;
use crate::workload::runs::{self, Head, Id, Roster};
use crate::workload::stat::stat;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::convert::Infallible;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::{Semaphore, oneshot, watch};
use tracing::{debug, warn};

/// Connections that are answered at once; others wait.
const CONNECTIONS: usize = 64;

/// Longest that one may take from its beginning to its end.
const LONGEST: Duration = Duration::from_secs(10);

/// Largest text that is taken.
const LARGEST: usize = 8 << 10;

/// Largest head of a request.
const HEAD: usize = 8 << 10;

/// Longest name of a run, in characters.
pub const NAME: usize = 128;

/// Gives the engine a request, and says where its answer will come; `None` where the engine is busy.
pub type Ask = Arc<dyn Fn(Request) -> Option<oneshot::Receiver<Result<Id, Refusal>>> + Send + Sync>;

/// What the socket is served with.
#[derive(Clone)]
pub struct Site {
    /// Where procfs is mounted, with the numbers that the kernel gives here.
    pub proc: PathBuf,
    /// The latest moment of the node.
    pub latest: watch::Receiver<Arc<Snapshot>>,
    /// The families that are followed.
    pub roster: Roster,
    /// The engine.
    pub ask: Ask,
}

/// Whoever asks.
#[derive(Clone, Copy, Debug)]
struct Peer {
    pid: Option<u32>,
    user: u32,
}

/// An answer that is no success.
type Fault = (StatusCode, String);

/// Opens the socket for everybody on this machine. A socket that an earlier process left there is taken away.
///
/// # Errors
/// Where there is something else, or the place cannot be written.
pub fn open(path: &Path) -> io::Result<UnixListener> {
    match fs::symlink_metadata(path) {
        Ok(there) if there.file_type().is_socket() => fs::remove_file(path)?,
        Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "is no socket")),
        Err(_) => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o666))?;
    Ok(listener)
}

/// Serves for ever.
///
/// # Errors
/// Where the socket cannot be waited on.
pub async fn serve(listener: UnixListener, site: Site) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::UnixListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return Ok(());
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Most likely there is no file descriptor left: others may give some back.
                warn!("the socket of runs takes nobody: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let site = site.clone();
        tokio::spawn(async move {
            let talked = tokio::time::timeout(LONGEST, talk(stream, site)).await;
            if let Ok(Err(error)) = talked {
                debug!("a connection to the socket of runs ended: {error}");
            }
            drop(place);
        });
    }
}

async fn talk(
    stream: UnixStream,
    site: Site,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let who = stream.peer_cred()?;
    let peer = Peer {
        // 0 is what the kernel says of a process that is in none of our namespaces.
        pid: who
            .pid()
            .and_then(|pid| u32::try_from(pid).ok())
            .filter(|pid| *pid > 0),
        user: who.uid(),
    };
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let site = &site;
        async move {
            let answer = match answer(site, peer, request).await {
                Ok((status, text)) => (status, text),
                Err((status, error)) => (status, json(&Refused { error })),
            };
            Ok::<_, Infallible>(respond(answer))
        }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(LONGEST)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .await?;
    Ok(())
}

fn respond((status, text): (StatusCode, String)) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// A text that ends with a line's end, for whoever reads it on a terminal.
fn json(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string(value).unwrap_or_default();
    text.push('\n');
    text
}

async fn answer(
    site: &Site,
    peer: Peer,
    request: hyper::Request<Incoming>,
) -> Result<(StatusCode, String), Fault> {
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    match (&head.method, parts.as_slice()) {
        (&Method::GET, ["v1", "node"]) => {
            let sees = peer.pid.and_then(|pid| runs::number_and_user(&site.proc, pid));
            let node = show::node(&site.latest.borrow(), sees.is_some());
            Ok((StatusCode::OK, json(&node)))
        }
        (&Method::GET, ["v1", "runs"]) => {
            let latest = Arc::clone(&site.latest.borrow());
            let all: Vec<_> = latest.runs.iter().map(show::run).collect();
            Ok((StatusCode::OK, json(&all)))
        }
        (&Method::GET, ["v1", "runs", id]) => found(site, id, StatusCode::OK),
        (&Method::POST, ["v1", "runs"]) => {
            let begin: Begin = read(body).await?;
            let beginning = beginning(site, peer, begin)?;
            let id = put(site, Request::Begin(Box::new(beginning))).await?;
            found(site, &id, StatusCode::CREATED)
        }
        (&Method::POST, ["v1", "runs", id, "progress"]) => {
            let done: Done = read(body).await?;
            let id = put(site, Request::Progress((*id).into(), peer.user, checked(done)?)).await?;
            found(site, &id, StatusCode::OK)
        }
        (&Method::POST, ["v1", "runs", id, "end"]) => {
            let over: Over = read(body).await?;
            let head = site.roster.head(id);
            let end = Request::End {
                id: (*id).into(),
                user: peer.user,
                exit_code: over.exit_code,
                used: head.and_then(|head| runs::used(&site.proc, &head)),
            };
            let id = put(site, end).await?;
            found(site, &id, StatusCode::OK)
        }
        (_, ["v1", "node"] | ["v1", "runs", ..]) => Err((
            StatusCode::METHOD_NOT_ALLOWED,
            "GET /v1/node, /v1/runs, /v1/runs/ID; POST /v1/runs, /v1/runs/ID/progress, /v1/runs/ID/end"
                .into(),
        )),
        _ => Err((
            StatusCode::NOT_FOUND,
            "there are /v1/node, /v1/runs and /v1/runs/ID".into(),
        )),
    }
}

/// A run as the latest snapshot has it.
fn found(site: &Site, id: &str, status: StatusCode) -> Result<(StatusCode, String), Fault> {
    let latest = Arc::clone(&site.latest.borrow());
    let run = latest.runs.iter().find(|run| *run.id == *id);
    let run = run.ok_or_else(|| refused(&Refusal::Unknown(id.to_owned())))?;
    Ok((status, json(&show::run(run))))
}

/// Gives the engine a request and waits for its answer.
async fn put(site: &Site, request: Request) -> Result<Id, Fault> {
    let busy = || {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "the exporter is busy: try again".to_owned(),
        )
    };
    let answer = (site.ask)(request).ok_or_else(busy)?;
    answer
        .await
        .map_err(|_| busy())?
        .map_err(|why| refused(&why))
}

fn refused(why: &Refusal) -> Fault {
    let status = match why {
        Refusal::Unknown(_) => StatusCode::NOT_FOUND,
        Refusal::Foreign(_) => StatusCode::FORBIDDEN,
        Refusal::Ended(_) | Refusal::Inside(_) | Refusal::Around(_) => StatusCode::CONFLICT,
        Refusal::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
        Refusal::Blind => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, why.to_string())
}

/// A text of JSON, bounded in size.
async fn read<T: DeserializeOwned>(body: Incoming) -> Result<T, Fault> {
    let bytes = Limited::new(body, LARGEST).collect().await;
    let bytes = bytes
        .map_err(|error| {
            (
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("{error}: at most {LARGEST} bytes"),
            )
        })?
        .to_bytes();
    serde_json::from_slice(&bytes).map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))
}

fn checked(done: Done) -> Result<Done, Fault> {
    let is_right =
        done.done.is_finite() && done.done >= 0.0 && done.total.is_finite() && done.total > 0.0;
    is_right.then_some(done).ok_or_else(|| {
        (
            StatusCode::BAD_REQUEST,
            "done must be at least 0, and total above 0".to_owned(),
        )
    })
}

/// What is to begin, with its head as this machine numbers it.
fn beginning(site: &Site, peer: Peer, begin: Begin) -> Result<Beginning, Fault> {
    let wrong = |error: &str| (StatusCode::BAD_REQUEST, error.to_owned());
    let name = begin.name.trim();
    if name.is_empty() || name.chars().count() > NAME || name.chars().any(char::is_control) {
        return Err(wrong("name: 1 to 128 characters, none of control"));
    }
    if begin
        .budget_grams
        .is_some_and(|grams| !grams.is_finite() || grams <= 0.0)
    {
        return Err(wrong("budget_grams: a number above 0"));
    }
    let unseen = || {
        (
            StatusCode::UNPROCESSABLE_ENTITY,
            "the exporter cannot see your process: where it runs in a container, that needs the host's processes (hostPID, \
             --pid=host) and its /proc"
                .to_owned(),
        )
    };
    let asker = peer.pid.ok_or_else(unseen)?;
    let (own, _) = runs::number_and_user(&site.proc, asker).ok_or_else(unseen)?;
    let wanted = begin.pid.unwrap_or(own);
    let pid = runs::ancestor(&site.proc, asker, wanted).ok_or_else(|| {
        let error = format!(
            "pid {wanted}: is neither who asks ({own}) nor one of the same user's that it descends from"
        );
        (StatusCode::UNPROCESSABLE_ENTITY, error)
    })?;
    let mut head = Head {
        pid,
        started: stat(&site.proc, pid).ok_or_else(unseen)?.started,
        children_alone: begin.children_alone,
        before: None,
    };
    head.before = runs::used(&site.proc, &head);
    Ok(Beginning {
        id: id(),
        name: name.to_owned(),
        user: (peer.user, user_name(peer.user)),
        head,
        ancestors: runs::ancestors(&site.proc, pid),
        budget: begin.budget_grams.map(Grams),
    })
}

/// Eight letters and digits that nobody had before: 40 bits of the kernel's, of which ten thousand runs have two alike
/// once in twenty thousand times.
fn id() -> Id {
    let mut bytes = [0_u8; 8];
    // Without any the clock must do.
    if rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).is_err() {
        let now = crate::clock::now().boot.as_nanos().to_le_bytes();
        bytes
            .iter_mut()
            .zip(now)
            .for_each(|(byte, now)| *byte = now);
    }
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let letters = bytes
        .iter()
        .filter_map(|byte| LETTERS.get(usize::from(byte % 32)));
    letters
        .map(|letter| char::from(*letter))
        .collect::<String>()
        .into()
}

/// A user's name by the machine's own list (passwd(5)); the number where it has none.
fn user_name(user: u32) -> String {
    let list = crate::file::read(Path::new("/etc/passwd"), 1 << 20).unwrap_or_default();
    let list = String::from_utf8_lossy(&list);
    let number = user.to_string();
    let found = list.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then(|| name.to_owned())
    });
    found.unwrap_or(number)
}
