//! The thread that keeps the book of pods.

use super::api::{Api, Reach, Trouble};
use super::book::PodBook;
use super::config::{Config, Node, Wanted};
use super::desk::{Desk, Shared};
use super::pod::MOST_LABELS;
use super::trouble::fault;
use super::{stream, watch};
use crate::sensor::{Cause, Fault};
use crate::workload::Health;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

/// The first wait after something went wrong; it doubles with each that follows.
const FIRST: Duration = Duration::from_millis(500);
/// The longest wait.
const LAST: Duration = Duration::from_secs(60);
/// How long the API server stands in for a kubelet that has a socket and does not answer: it may have been
/// restarted only.
const STANDS_IN: Duration = Duration::from_secs(300);
/// How often is looked for a socket or a service account where there is neither.
const LOOK: Duration = Duration::from_secs(30);

/// What pods are called, kept up to date by a thread of its own, which ends when this is dropped.
#[derive(Debug)]
pub struct Names {
    shared: Shared,
    /// Dropping it ends the thread.
    _stop: Option<oneshot::Sender<()>>,
}

/// Begins to follow the pods of a machine of this name. `labels` are the pods' labels that are shown, at
/// most [`MOST_LABELS`] of them. Nobody is asked where nothing is configured or found.
///
/// # Errors
/// Where the system gives no thread or no runtime.
pub fn start(config: &Config, host: &str, labels: &[Arc<str>]) -> io::Result<Names> {
    let shared = Shared::default();
    if config.enabled == Wanted::No {
        return Ok(Names {
            shared,
            _stop: None,
        });
    }
    let labels = labels.iter().take(MOST_LABELS).cloned().collect();
    let mut seeker = Seeker {
        config: config.clone(),
        node: config.node(host),
        desk: Desk::new(shared.clone(), labels),
    };
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (stop, stopped) = oneshot::channel();
    thread::Builder::new()
        .name("pods".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = seeker.seek() => {}
                    _ = stopped => {}
                }
            });
            // A name that is being resolved is not waited for.
            runtime.shutdown_background();
        })?;
    Ok(Names {
        shared,
        _stop: Some(stop),
    })
}

impl Names {
    /// What is known now.
    #[must_use]
    pub fn book(&self) -> Arc<PodBook> {
        self.shared.known().book
    }

    /// Who tells it (`pods-api`, `api-server`; `kubernetes` where nobody does), and what is wrong.
    #[must_use]
    pub fn health(&self) -> Health {
        let known = self.shared.known();
        Health {
            source: known.source.unwrap_or("kubernetes"),
            faults: known.faults,
        }
    }
}

#[cfg(test)]
impl Names {
    pub(super) fn watchers(&self) -> std::sync::Weak<std::sync::Mutex<super::desk::Known>> {
        self.shared.others()
    }
}

/// Who can be asked.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Source {
    Kubelet(PathBuf),
    Server(Reach),
}

/// Those who can be asked, the best first.
pub(super) fn sources(config: &Config, node: &Node) -> Vec<Source> {
    let kubelet = config.pods_socket().map(Source::Kubelet);
    let server = Reach::of(config)
        .filter(|_| node.is_name())
        .map(Source::Server);
    kubelet.into_iter().chain(server).collect()
}

/// That nobody tells what pods are called.
pub(super) fn nobody(config: &Config, node: &Node) -> Fault {
    if Reach::of(config).is_some() && !node.is_name() {
        return fault(
            "workloads.kubernetes.node",
            Cause::Parse(node.name.clone()),
            "set NODE_NAME from spec.nodeName (valueFrom.fieldRef), or workloads.kubernetes.node",
        );
    }
    fault(
        config.pods_api.display().to_string(),
        Cause::Io(io::ErrorKind::NotFound.into()),
        "mount the directory of the kubelet's Pods API (Kubernetes 1.36 and newer), or give gramwatt's pod a \
         service account that may get, list and watch pods; without either, pods have no names",
    )
}

/// That an API server knows no pod on a node of which only the machine's name is known.
pub(super) fn lonely(node: &Node) -> Option<Fault> {
    node.is_guess.then(|| {
        fault(
            format!("node {}", node.name),
            Cause::Device("the API server knows no pod there".to_owned()),
            "set NODE_NAME from spec.nodeName (valueFrom.fieldRef), or workloads.kubernetes.node: the machine's \
             name need not be the node's",
        )
    })
}

struct Seeker {
    config: Config,
    node: Node,
    desk: Desk,
}

impl Seeker {
    async fn seek(&mut self) {
        let mut failures = 0;
        loop {
            let sources = sources(&self.config, &self.node);
            if sources.is_empty() {
                self.desk.begin("kubernetes", None);
                let missed = self.config.enabled == Wanted::Yes || self.desk.is_known();
                let faults = missed.then(|| nobody(&self.config, &self.node));
                self.desk.tell(faults.into_iter().collect());
                sleep(LOOK).await;
                continue;
            }
            let mut faults = Vec::new();
            let mut wait = None;
            for source in sources {
                let longest = (!faults.is_empty()).then_some(STANDS_IN);
                match self.ask(source, longest).await {
                    // The one before it is tried again.
                    None => faults.clear(),
                    Some((fault, told)) => {
                        wait = told;
                        faults.push(fault);
                    }
                }
                if self.desk.was_well() {
                    failures = 0;
                    break;
                }
            }
            if faults.is_empty() {
                continue;
            }
            self.desk.tell(faults);
            sleep(pause(failures, wait)).await;
            failures += 1;
        }
    }

    /// Asks one for as long as it goes well, or so long; says what went wrong, and how long to wait.
    async fn ask(
        &mut self,
        source: Source,
        longest: Option<Duration>,
    ) -> Option<(Fault, Option<Duration>)> {
        match source {
            Source::Kubelet(path) => {
                self.desk.begin("pods-api", None);
                Some((stream::follow(&path, &mut self.desk).await, None))
            }
            Source::Server(reach) => {
                self.desk.begin("api-server", lonely(&self.node));
                // Made anew each time: a new token or authority is taken up at once.
                let api = match Api::open(&reach).await {
                    Ok(api) => api,
                    Err(fault) => return Some((fault, None)),
                };
                let follow = watch::follow(&api, &self.node.name, &mut self.desk);
                let trouble = match longest {
                    Some(longest) => timeout(longest, follow).await.ok()?,
                    None => follow.await,
                };
                Some(match trouble {
                    Trouble::Fault(fault, wait) => (fault, wait),
                    other => (other.fault(api.place()), None),
                })
            }
        }
    }
}

/// How long to wait after so many failures in a row: twice as long each time, and up to a half less, so
/// that a thousand nodes do not come back at once; or as long as was asked for.
fn pause(failures: u32, told: Option<Duration>) -> Duration {
    let longest = FIRST.saturating_mul(1 << failures.min(10)).min(LAST);
    let mut random = [0; 4];
    let _ = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::NONBLOCK);
    let share = f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX);
    let pause = longest.mul_f64(1.0 - share / 2.0);
    pause.max(told.unwrap_or_default().min(LAST))
}
