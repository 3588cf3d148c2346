//! The HTTP side: metrics, status page, health and reload, over plain TCP or TLS.
//!
//! It sees the latest [`Snapshot`] and nothing else of the program. `routes` says what is answered,
//! `negotiate` in which form; `webconfig` is the file that says to whom, `access` what of it is in
//! force, `tls` and `auth` do it; `listen`, `connection`, `progress` and `table` carry the bytes within
//! the bounds of `limits`.

pub mod access;
pub mod auth;
pub mod limits;
pub mod listen;
pub mod negotiate;
pub mod pages;
pub mod status;
pub mod tls;
pub mod webconfig;
mod connection;
mod progress;
mod routes;
mod san;
mod table;

pub use limits::Limits;
pub use listen::{BindError, bind};

use crate::grid::almanac::Almanac;
use crate::snapshot::Snapshot;
use access::InForce;
use progress::Progress;
use routes::Shared;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};
use table::Table;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;

/// How long nothing is accepted after accepting has failed for want of descriptors or memory, when no
/// connection of ours could be ended to have them back.
const PAUSE: Duration = Duration::from_millis(50);
/// How often such a failure is logged at most.
const COMPLAINT: Duration = Duration::from_secs(60);

/// Where the result of a reload is sent.
pub type Reload = oneshot::Sender<Result<(), String>>;

/// What the operator has set about HTTP.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Path of the metrics; where it is `/`, there is no status page.
    pub telemetry_path: String,
    /// The web configuration file, for TLS and passwords.
    pub config_file: Option<PathBuf>,
    /// Scrapes answered at once; 0 sets no bound.
    pub max_requests: usize,
}

impl From<&crate::config::Web> for Settings {
    fn from(web: &crate::config::Web) -> Self {
        Self {
            telemetry_path: web.telemetry_path.clone(),
            config_file: web.config_file.clone(),
            max_requests: web.max_requests,
        }
    }
}

/// All that a request can see.
pub struct Site {
    /// What the operator has set.
    pub settings: Settings,
    /// The latest moment of the node; not `ready` before the first sample.
    pub latest: watch::Receiver<Arc<Snapshot>>,
    /// What a relay tells of its zones; a node has none.
    pub almanac: Option<watch::Receiver<Arc<Almanac>>>,
    /// Whom `POST /-/reload` asks.
    pub reload: mpsc::Sender<Reload>,
}

/// Answers on `listeners` until `shutdown` ends, then finishes what is under way, for at most five
/// seconds, and returns.
///
/// # Errors
/// When the web configuration is not valid (see [`access::check`], which tells before anything
/// listens), or a listener cannot be used.
pub async fn serve(
    listeners: Vec<std::net::TcpListener>,
    site: Site,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let limits = Limits::default().within(limits::raise_open_files());
    serve_within(limits, listeners, site, shutdown).await
}

/// [`serve`] within other bounds than the usual ones.
///
/// # Errors
/// As [`serve`].
pub async fn serve_within(
    limits: Limits,
    listeners: Vec<std::net::TcpListener>,
    site: Site,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let access = InForce::start(site.settings.config_file.as_deref())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let places = match site.settings.max_requests {
        0 => Semaphore::MAX_PERMITS,
        some => some.min(Semaphore::MAX_PERMITS),
    };
    let shared = Arc::new(Shared {
        pages: pages::Pages::new(&site.settings.telemetry_path),
        settings: site.settings,
        latest: site.latest,
        almanac: site.almanac,
        reload: site.reload,
        limits,
        access,
        desk: auth::Desk::default(),
        places: Arc::new(Semaphore::new(places)),
        table: Table::default(),
    });
    let scheme = match shared.access.now().tls {
        Some(_) => "https",
        None => "http",
    };
    let listeners: Vec<TcpListener> = listeners
        .into_iter()
        .map(|listener| adopt(listener, scheme))
        .collect::<Result<_, _>>()?;
    let (close, closing) = watch::channel(false);
    let mut tasks = JoinSet::new();
    tokio::select! {
        () = accept(&shared, &listeners, &closing, &mut tasks) => {}
        () = watch_files(&shared) => {}
        () = shutdown => {}
    }
    drop(listeners);
    shared.table.end_waiting();
    let _ = close.send(true);
    let rest = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(shared.limits.drain, rest)
        .await
        .is_err()
    {
        tracing::debug!(
            connections = shared.table.len(),
            "not all answers were taken in time"
        );
    }
    Ok(())
}

fn adopt(listener: std::net::TcpListener, scheme: &str) -> io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let address = listener.local_addr()?;
    let url = url(scheme, address);
    tracing::info!(%address, url, "listening");
    Ok(listener)
}

/// What a person on this machine types into a browser.
fn url(scheme: &str, address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        return format!("{scheme}://localhost:{}/", address.port());
    }
    format!("{scheme}://{address}/")
}

/// Looks at the web configuration every now and then, for ever.
async fn watch_files(shared: &Arc<Shared>) {
    if shared.settings.config_file.is_none() {
        return std::future::pending().await;
    }
    loop {
        tokio::time::sleep(shared.limits.recheck).await;
        let shared = Arc::clone(shared);
        // A file system that does not answer must not hold up the scrapes.
        let _ = tokio::task::spawn_blocking(move || shared.access.look()).await;
    }
}

/// Accepts connections for ever.
async fn accept(
    shared: &Arc<Shared>,
    listeners: &[TcpListener],
    closing: &watch::Receiver<bool>,
    tasks: &mut JoinSet<()>,
) {
    let mut next = 0;
    let mut complained: Option<Instant> = None;
    let mut complain = move |message: &str, error: Option<&io::Error>| {
        if complained.is_none_or(|then| then.elapsed() > COMPLAINT) {
            complained = Some(Instant::now());
            tracing::warn!(error = error.map(tracing::field::display), "{message}");
        }
    };
    loop {
        while tasks.try_join_next().is_some() {}
        match any(listeners, &mut next).await {
            Ok((stream, peer)) => {
                if shared.table.len() >= shared.limits.connections && shared.table.make_room() {
                    complain(
                        "as many connections as are allowed: closing the longest waiting",
                        None,
                    );
                }
                admit(shared, stream, peer, closing, tasks);
                // So that what was accepted can speak before it might have to make room.
                tokio::task::yield_now().await;
            }
            // The client has gone before it was accepted.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionAborted
                        | io::ErrorKind::ConnectionReset
                        | io::ErrorKind::Interrupted
                ) => {}
            Err(error) => {
                complain(
                    "cannot accept connections; raise LimitNOFILE= if it persists",
                    Some(&error),
                );
                if shared.table.make_room() {
                    tokio::task::yield_now().await;
                } else {
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

/// The next connection of any listener; each has its turn.
async fn any(listeners: &[TcpListener], next: &mut usize) -> io::Result<(TcpStream, SocketAddr)> {
    poll_fn(|context| {
        let (before, after) = listeners.split_at((*next).min(listeners.len()));
        for (offset, listener) in after.iter().chain(before).enumerate() {
            if let Poll::Ready(accepted) = listener.poll_accept(context) {
                *next = (*next + offset + 1) % listeners.len().max(1);
                return Poll::Ready(accepted);
            }
        }
        Poll::Pending
    })
    .await
}

fn admit(
    shared: &Arc<Shared>,
    stream: TcpStream,
    peer: SocketAddr,
    closing: &watch::Receiver<bool>,
    tasks: &mut JoinSet<()>,
) {
    let peer = peer.ip().to_canonical();
    let progress = Progress::new(&shared.limits);
    let (place, ended) = shared.table.enter(peer, Arc::clone(&progress));
    let (shared, closing) = (Arc::clone(shared), closing.clone());
    tasks.spawn(async move {
        let run = pin!(connection::run(
            shared, stream, peer, progress, ended, closing
        ));
        run.await;
        drop(place);
    });
}

#[cfg(test)]
mod tests;
