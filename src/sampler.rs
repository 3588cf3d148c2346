//! One named thread for each sensor: it reads, hands the batch over, and sleeps until the next turn.

use crate::clock::{self, Moment};
use crate::engine::Batch;
use crate::sensor::Sensor;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, Thread};
use std::time::Duration;

/// Stack of a thread, in bytes. A vendor's library is loaded and runs on it: NVML's table of functions alone
/// overflows 256 KiB. What is not used takes no memory.
const STACK: usize = 4 << 20;

/// The threads of one configuration. Dropping it retires them: each ends after the read it is in; one
/// that never returns from its read is left behind, and can do no harm but hold its thread.
#[derive(Debug)]
pub struct Samplers {
    stop: Arc<AtomicBool>,
    threads: Vec<Thread>,
    /// Ends when the last thread has.
    all: Receiver<()>,
}

impl Samplers {
    /// Starts a thread for each sensor, which is read every so often. `deliver` takes a batch, and says
    /// whether anybody still wants more.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn start(
        sensors: Vec<(Box<dyn Sensor>, Duration)>,
        deliver: &(impl Fn(Batch) -> bool + Clone + Send + 'static),
    ) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        let (each, all) = channel();
        for (sensor, every) in sensors {
            let stop = Arc::clone(&stop);
            let deliver = deliver.clone();
            let each = each.clone();
            let thread = thread::Builder::new()
                .name(sensor.name().to_owned())
                .stack_size(STACK)
                .spawn(move || {
                    sample(sensor, every, &stop, &deliver);
                    drop(each);
                })?;
            threads.push(thread.thread().clone());
        }
        Ok(Self { stop, threads, all })
    }

    /// Retires them, and waits a while for the reads that they are in, so that a sensor can take leave of
    /// what it asks: a controller has few places for sessions.
    pub fn end(self, patience: Duration) {
        self.retire();
        // Nothing is ever sent: it ends with the threads, or when patience does.
        let _ = self.all.recv_timeout(patience);
    }

    fn retire(&self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in &self.threads {
            thread.unpark();
        }
    }
}

impl Drop for Samplers {
    fn drop(&mut self) {
        self.retire();
    }
}

fn sample(
    mut sensor: Box<dyn Sensor>,
    every: Duration,
    stop: &AtomicBool,
    deliver: &impl Fn(Batch) -> bool,
) {
    let name: Arc<str> = sensor.name().into();
    let mut next = clock::now().awake;
    while !stop.load(Ordering::Relaxed) {
        let now = clock::now().awake;
        if now < next {
            thread::park_timeout(next - now);
            continue;
        }
        let batch = read(sensor.as_mut(), &name);
        next = after(next, batch.at, every);
        if !deliver(batch) {
            return;
        }
    }
}

/// Reads a sensor once, and notes when and how long.
pub fn read(sensor: &mut dyn Sensor, name: &Arc<str>) -> Batch {
    let before = clock::now();
    let readings = sensor.read();
    let at = clock::now();
    let took = at.awake.saturating_sub(before.awake);
    Batch {
        sensor: Arc::clone(name),
        at,
        took,
        readings,
    }
}

/// The next turn on the beat; turns that a slow read has missed are left out.
fn after(turn: Duration, now: Moment, every: Duration) -> Duration {
    let late = now.awake.saturating_sub(turn);
    let beats = late.as_nanos() / every.as_nanos().max(1) + 1;
    turn + every * u32::try_from(beats).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_read_misses_beats_and_keeps_the_beat() {
        let second = Duration::from_secs(1);
        let at = |awake: f64| Moment {
            awake: Duration::from_secs_f64(awake),
            ..clock::now()
        };
        assert_eq!(after(second * 10, at(10.2), second), second * 11);
        assert_eq!(after(second * 10, at(13.9), second), second * 14);
    }
}
