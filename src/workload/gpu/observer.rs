//! The thread that looks.

use super::Gpus;
use super::kfd::Kfd;
use super::look::Looker;
use crate::clock;
use crate::sensor::{Cause, Fault};
use crate::workload::Health;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, Thread};
use std::time::Duration;

/// What looks when it is told to, and knows no clock.
pub trait Eye: Send + 'static {
    /// How often it is glanced at in an interval, the look itself among them.
    const GLANCES: u32;

    /// Makes ready. Says whether there is simply nothing to look at.
    fn is_absent(&mut self) -> bool;

    /// Notes what only shows at the moment.
    fn glance(&mut self) {}

    /// Looks, at a time since boot. Also tells what is wrong.
    fn look(&mut self, at: Duration) -> (Gpus, Vec<Fault>);
}

/// Stack of the thread, in bytes: NVML's table of functions alone overflows 256 KiB.
const STACK: usize = 4 << 20;

/// How long a start waits to hear whether there is a library; one that takes longer is there.
const PATIENCE: Duration = Duration::from_secs(2);

/// A look that takes longer than this, and than three intervals, hangs.
const SLOW: Duration = Duration::from_secs(30);

/// Looks at the GPUs every so often. Dropping it ends its thread after the look that it is in; a library that
/// never returns is left behind, and can do no harm but hold its thread.
#[derive(Debug)]
pub struct Observer {
    source: &'static str,
    shared: Arc<Shared>,
    thread: Thread,
    every: Duration,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    gpus: Option<Arc<Gpus>>,
    faults: Vec<Fault>,
    /// When the look that is under way began (awake).
    since: Option<Duration>,
}

impl Shared {
    fn told(&self) -> MutexGuard<'_, Told> {
        match self.told.lock() {
            Ok(told) => told,
            Err(poisoned) => poisoned.into_inner(),
        }
    }
}

impl Observer {
    /// Starts to look at NVIDIA GPUs, at once and then every so often, with the driver's library (a name that
    /// the dynamic linker finds, or a path) and the folder where sysfs is. `None` where there is no library,
    /// or the system gives no thread. Waits for the library no more than two seconds.
    #[must_use]
    pub fn start(library: &Path, sys: &Path, every: Duration) -> Option<Self> {
        Self::with("nvidia-processes", Looker::new(library, sys), every)
    }

    /// The same of AMD GPUs, with the folder where sysfs is. `None` where the kernel has no compute driver
    /// (KFD) for them.
    #[must_use]
    pub fn start_amd(sys: &Path, every: Duration) -> Option<Self> {
        Self::with("amd-processes", Kfd::new(sys), every)
    }

    fn with<E: Eye>(source: &'static str, mut eye: E, every: Duration) -> Option<Self> {
        let shared = Arc::new(Shared::default());
        let (answer, is_there) = channel();
        let inside = Arc::clone(&shared);
        inside.told().since = Some(clock::now().awake);
        let thread = thread::Builder::new()
            .name(source.to_owned())
            .stack_size(STACK)
            .spawn(move || {
                let is_absent = eye.is_absent();
                // Nobody hears it who was not patient enough.
                let _ = answer.send(is_absent);
                if !is_absent {
                    observe(eye, &inside, every);
                }
            })
            .ok()?;
        let thread = thread.thread().clone();
        let is_absent = is_there.recv_timeout(PATIENCE).unwrap_or(false);
        (!is_absent).then_some(Self {
            source,
            shared,
            thread,
            every,
        })
    }

    /// What was seen last; `None` before the first look is done, and while one hangs, for then nothing is
    /// known.
    #[must_use]
    pub fn latest(&self) -> Option<Arc<Gpus>> {
        let told = self.shared.told();
        if self.hangs(&told).is_some() {
            return None;
        }
        told.gpus.clone()
    }

    /// How it is.
    #[must_use]
    pub fn health(&self) -> Health {
        let told = self.shared.told();
        let faults = match self.hangs(&told) {
            Some(time) => vec![Fault {
                place: self.source.to_owned(),
                cause: Cause::Io(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("a look at the GPUs' processes takes {} s so far", time.as_secs()),
                )),
                mend: "see dmesg for lines of the GPU's driver (NVRM, amdgpu); who uses the GPUs is not known until the driver answers"
                    .to_owned(),
            }],
            None => told.faults.clone(),
        };
        Health {
            source: self.source,
            faults,
        }
    }

    /// For how long the look that is under way has hung.
    fn hangs(&self, told: &Told) -> Option<Duration> {
        overdue(told.since?, clock::now().awake, self.every)
    }
}

/// How long a look takes that began at a time, where that is too long.
fn overdue(since: Duration, now: Duration, every: Duration) -> Option<Duration> {
    let time = now.saturating_sub(since);
    (time > SLOW.max(every.saturating_mul(3))).then_some(time)
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.thread.unpark();
    }
}

fn observe<E: Eye>(mut eye: E, shared: &Shared, every: Duration) {
    let mut next = clock::now().awake;
    let mut glances = 0;
    while !shared.stop.load(Ordering::Relaxed) {
        let now = clock::now().awake;
        if now < next {
            thread::park_timeout(next - now);
            continue;
        }
        shared.told().since = Some(now);
        if glances == 0 {
            let (gpus, faults) = eye.look(clock::now().boot);
            let gpus = Some(Arc::new(gpus));
            let mut told = shared.told();
            told.gpus = gpus;
            told.faults = faults;
        } else {
            eye.glance();
        }
        shared.told().since = None;
        glances = (glances + 1) % E::GLANCES;
        // Whatever it took, there is a pause as long as the interval, that the driver is left alone.
        next = clock::now().awake + every / E::GLANCES;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_hangs_after_half_a_minute_or_three_intervals() {
        let seconds = Duration::from_secs;
        for (every, now, hangs) in [
            (5, 129, false),
            (5, 131, true),
            (60, 279, false),
            (60, 281, true),
        ] {
            let is = overdue(seconds(100), seconds(now), seconds(every));
            assert_eq!(is, hangs.then(|| seconds(now - 100)), "{every}, {now}");
        }
    }

    #[test]
    fn while_a_look_hangs_nothing_is_known_and_the_health_says_so() {
        let told = Told {
            gpus: Some(Arc::default()),
            since: Some(Duration::ZERO),
            ..Told::default()
        };
        let shared = Shared {
            told: Mutex::new(told),
            ..Shared::default()
        };
        let observer = Observer {
            source: "processes",
            shared: Arc::new(shared),
            thread: thread::current(),
            every: Duration::ZERO,
        };
        // A machine that tests run on has been awake for longer.
        assert!(observer.latest().is_none());
        assert_eq!(observer.health().faults[0].reason(), "timeout");
        observer.shared.told().since = None;
        assert!(observer.latest().is_some() && observer.health().faults.is_empty());
    }
}
