//! The local socket: HTTP/1.1 with JSON over a unix socket, for whoever runs something on this machine. Who asks is
//! known from the kernel (`SO_PEERCRED`, unix(7)), and not from what they say.

use super::api::{Begin, Done, Over, Refused};
use super::book::{Beginning, Refusal, Request, Shown};
use super::places::Places;
use super::show;
use crate::snapshot::Snapshot;
use crate::units::Grams;
use crate::workload::runs::{self, Head, Id, Roster};
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
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::{Semaphore, oneshot, watch};
use tracing::{debug, warn};

/// Connections that may wait to be accepted; the kernel bounds it by `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Longest that one may take from its beginning to its end, and until it has said what it wants.
const LONGEST: Duration = Duration::from_secs(10);
const LONGEST_HEAD: Duration = Duration::from_secs(2);

/// Requests that the engine has at once: it has other things to do.
const ASKED: usize = 16;

/// Largest text that is taken.
const LARGEST: usize = 8 << 10;

/// Largest head of a request.
const HEAD: usize = 8 << 10;

/// Longest name of a run, in characters.
pub const NAME: usize = 128;

/// Gives the engine a request, and says where its answer will come; `None` where the engine is busy.
pub type Ask =
    Arc<dyn Fn(Request) -> Option<oneshot::Receiver<Result<Shown, Refusal>>> + Send + Sync>;

/// What the socket is served with.
#[derive(Clone)]
pub struct Site {
    /// Where procfs is mounted, with the numbers that the kernel gives here.
    pub proc: PathBuf,
    /// The latest moment of the node.
    pub latest: watch::Receiver<Arc<Snapshot>>,
    /// The engine.
    pub ask: Ask,
    /// The families of processes that are followed.
    pub roster: Roster,
}

/// What all connections share.
#[derive(Clone)]
struct Desk {
    site: Site,
    asked: Arc<Semaphore>,
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
/// Where there is something else, or somebody who answers; where the place cannot be written, or others could put
/// something else there.
pub fn open(path: &Path) -> io::Result<UnixListener> {
    let directory = path.parent().filter(|parent| *parent != Path::new(""));
    let mode = fs::metadata(directory.unwrap_or(Path::new(".")))?.mode();
    if mode & OTHERS_WRITE != 0 && mode & STICKY == 0 {
        return Err(io::Error::other(
            "everybody may write in its directory, and could put something else in its place",
        ));
    }
    match fs::symlink_metadata(path) {
        Ok(there) if there.file_type().is_socket() => {
            if is_served(path)? {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            fs::remove_file(path)?;
        }
        Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "is no socket")),
        Err(_) => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o666))?;
    // Listening a second time only changes the backlog.
    rustix::net::listen(&listener, BACKLOG)?;
    Ok(listener)
}

/// Whether somebody listens on a socket, however many wait there.
fn is_served(path: &Path) -> io::Result<bool> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    match rustix::net::connect(&socket, &SocketAddrUnix::new(path)?) {
        Ok(()) | Err(rustix::io::Errno::AGAIN) => Ok(true),
        Err(_) => Ok(false),
    }
}

/// Bits of a directory's mode (inode(7)).
const OTHERS_WRITE: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// Turns everybody away at once, for a socket that systemd has opened and nobody wants.
///
/// # Errors
/// Where the socket cannot be waited on.
pub async fn refuse(listener: UnixListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::UnixListener::from_std(listener)?;
    loop {
        drop(accept(&listener).await);
    }
}

/// Whoever comes next.
async fn accept(listener: &tokio::net::UnixListener) -> UnixStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                // Most likely there is no file descriptor left: others may give some back.
                warn!("the socket of runs takes nobody: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Serves for ever.
///
/// # Errors
/// Where the socket cannot be waited on.
pub async fn serve(listener: UnixListener, site: Site) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::UnixListener::from_std(listener)?;
    let places = Arc::new(Places::default());
    let desk = Desk {
        site,
        asked: Arc::new(Semaphore::new(ASKED)),
    };
    loop {
        let stream = accept(&listener).await;
        // Whoever has no place is turned away at once, and may come again.
        let Ok(who) = stream.peer_cred() else {
            continue;
        };
        let Some(place) = places.take(who.uid()) else {
            continue;
        };
        let peer = Peer {
            // 0 is what the kernel says of a process that is in none of our namespaces.
            pid: who
                .pid()
                .and_then(|pid| u32::try_from(pid).ok())
                .filter(|pid| *pid > 0),
            user: who.uid(),
        };
        let desk = desk.clone();
        tokio::spawn(async move {
            let talked = async {
                let _turn = place.turn.acquire().await;
                talk(stream, peer, &desk).await
            };
            let talked = tokio::time::timeout(LONGEST, talked).await;
            if let Ok(Err(error)) = talked {
                debug!("a connection to the socket of runs ended: {error}");
            }
        });
    }
}

async fn talk(stream: UnixStream, peer: Peer, desk: &Desk) -> hyper::Result<()> {
    let service = service_fn(|request: hyper::Request<Incoming>| async move {
        let answer = match answer(desk, peer, request).await {
            Ok((status, text)) => (status, text),
            Err((status, error)) => (status, json(&Refused { error })),
        };
        Ok::<_, Infallible>(respond(answer))
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(LONGEST_HEAD)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .await
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
    desk: &Desk,
    peer: Peer,
    request: hyper::Request<Incoming>,
) -> Result<(StatusCode, String), Fault> {
    let site = &desk.site;
    let (head, body) = request.into_parts();
    // Whoever is answered while still sending finds the connection closed, and not the answer.
    let body = whole(body).await?;
    let path = head.uri.path().to_owned();
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    match (&head.method, parts.as_slice()) {
        (&Method::GET, ["v1", "node"]) => {
            let sees = peer.pid.and_then(|pid| runs::who(&site.proc, pid));
            let node = show::node(&site.latest.borrow(), sees.is_some());
            Ok((StatusCode::OK, json(&node)))
        }
        (&Method::GET, ["v1", "runs"]) => {
            let latest = Arc::clone(&site.latest.borrow());
            let all: Vec<_> = latest.runs.iter().map(show::run).collect();
            Ok((StatusCode::OK, json(&all)))
        }
        (&Method::GET, ["v1", "runs", id]) => {
            let latest = Arc::clone(&site.latest.borrow());
            let run = latest.runs.iter().find(|run| *run.id == **id);
            let run = run.ok_or_else(|| refused(&Refusal::Unknown((*id).to_owned())))?;
            Ok((StatusCode::OK, json(&show::run(run))))
        }
        (&Method::POST, ["v1", "runs"]) => {
            let begin: Begin = read(&body)?;
            let beginning = beginning(site, peer, begin)?;
            let begun = put(desk, Request::Begin(Box::new(beginning))).await?;
            Ok((StatusCode::CREATED, begun))
        }
        (&Method::POST, ["v1", "runs", id, "progress"]) => {
            let done = checked(read(&body)?)?;
            let told = put(desk, Request::Progress((*id).into(), peer.user, done)).await?;
            Ok((StatusCode::OK, told))
        }
        (&Method::POST, ["v1", "runs", id, "end"]) => {
            let over: Over = read(&body)?;
            let head = site.roster.head(id);
            let end = Request::End {
                id: (*id).into(),
                user: peer.user,
                exit_code: over.exit_code,
                used: head.and_then(|head| runs::used(&site.proc, &head)),
            };
            let ended = put(desk, end).await?;
            Ok((StatusCode::OK, ended))
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

/// Gives the engine a request and waits for its answer: the run as it is then.
async fn put(desk: &Desk, request: Request) -> Result<String, Fault> {
    let busy = || {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "the exporter is busy: try again".to_owned(),
        )
    };
    let _turn = desk.asked.acquire().await.map_err(|_| busy())?;
    let answer = (desk.site.ask)(request).ok_or_else(busy)?;
    let run = answer.await.map_err(|_| busy())?;
    run.map(|run| json(&show::run(&run)))
        .map_err(|why| refused(&why))
}

fn refused(why: &Refusal) -> Fault {
    let status = match why {
        Refusal::Unknown(_) => StatusCode::NOT_FOUND,
        Refusal::Foreign(_) => StatusCode::FORBIDDEN,
        Refusal::Ended(_) | Refusal::Inside(_) | Refusal::Around(_) => StatusCode::CONFLICT,
        Refusal::TooMany(_) | Refusal::TooFast => StatusCode::TOO_MANY_REQUESTS,
        Refusal::Blind => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, why.to_string())
}

/// All that is sent, bounded in size.
async fn whole(body: Incoming) -> Result<Bytes, Fault> {
    let body = Limited::new(body, LARGEST).collect().await;
    let body = body.map_err(|error| {
        (
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("{error}: at most {LARGEST} bytes"),
        )
    })?;
    Ok(body.to_bytes())
}

/// A text of JSON.
fn read<T: DeserializeOwned>(text: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(text).map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))
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
    // Who has connected may have become another since, by a program that has another's rights: those are not its own.
    let own = runs::who(&site.proc, asker).ok_or_else(unseen)?;
    if own.effective != peer.user {
        let error = format!("process {asker}: is no longer the user's who asked");
        return Err((StatusCode::UNPROCESSABLE_ENTITY, error));
    }
    let own = own.number;
    let wanted = begin.pid.unwrap_or(own);
    let born = runs::ancestor(&site.proc, asker, peer.user, wanted);
    let (pid, started) = born.ok_or_else(|| {
        let error = format!(
            "pid {wanted}: is neither who asks ({own}) nor one of the same user's that it descends from"
        );
        (StatusCode::UNPROCESSABLE_ENTITY, error)
    })?;
    let mut head = Head {
        pid,
        started,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_opened_where_nobody_else_serves_or_could_put_another() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("runs.sock");
        let first = open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o666);
        let refused = open(&path).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
        drop(first);
        drop(open(&path).unwrap());
        let mode = |mode| fs::set_permissions(folder.path(), Permissions::from_mode(mode)).unwrap();
        mode(0o777);
        let refused = open(&path).unwrap_err().to_string();
        assert!(refused.starts_with("everybody may write"), "{refused}");
        mode(0o1777);
        open(&path).unwrap();
    }
}
