//! A machine in a temporary directory whose RAPL counters can be made to move along a known curve.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Microjoules at which a package's counter is 0 again: 2^32 - 1 units of 61 µJ.
pub const RANGE: u64 = 262_143_328_850;

/// The directories of a machine, and one for the books.
pub struct Machine {
    dir: TempDir,
}

impl Machine {
    /// One with a boot, two CPUs in two packages and 64 GiB, and no sensors.
    pub fn bare() -> Self {
        let machine = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        fs::create_dir(machine.state()).unwrap();
        machine.write("sys/class/powercap/intel-rapl/enabled", "1\n");
        machine.write(
            "proc/sys/kernel/random/boot_id",
            "6e0a1b1c-7f1e-4f4e-9a52-3a1f0a2b9c11\n",
        );
        machine.write("proc/meminfo", "MemTotal:       67108864 kB\n");
        machine.write(
            "proc/stat",
            "cpu  20 0 20 2000 0 0 0 0 0 0\ncpu0 10 0 10 1000 0 0 0 0 0 0\n\
             cpu1 10 0 10 1000 0 0 0 0 0 0\n",
        );
        let cpu = |n| {
            format!(
                "processor\t: {n}\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 106\n\
                 model name\t: Intel(R) Xeon(R) Gold 6338 CPU @ 2.00GHz\nphysical id\t: {n}\n\
                 flags\t\t: fpu vme\n\n"
            )
        };
        machine.write("proc/cpuinfo", &(cpu(0) + &cpu(1)));
        machine
    }

    /// One with two packages that count.
    pub fn two_packages() -> Self {
        let machine = Self::bare();
        machine.zone("intel-rapl:0", "package-0", 1_000_000_000);
        machine.zone("intel-rapl:1", "package-1", 2_000_000_000);
        machine
    }

    /// Adds a RAPL zone.
    pub fn zone(&self, address: &str, name: &str, energy: u64) {
        let zone = format!("sys/class/powercap/{address}");
        self.write(&format!("{zone}/name"), format!("{name}\n"));
        self.write(&format!("{zone}/energy_uj"), counter(energy));
        self.write(&format!("{zone}/max_energy_range_uj"), format!("{RANGE}\n"));
        self.write(
            &format!("{zone}/constraint_0_power_limit_uw"),
            "205000000\n",
        );
    }

    pub fn path(&self, relative: &str) -> PathBuf {
        self.dir.path().join(relative)
    }

    pub fn state(&self) -> PathBuf {
        self.path("state")
    }

    pub fn write(&self, relative: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// The flags that point the program at it.
    pub fn flags(&self) -> Vec<String> {
        let flag = |name: &str, path: &Path| format!("--{name}={}", path.display());
        vec![
            flag("path.sysfs", &self.path("sys")),
            flag("path.procfs", &self.path("proc")),
            flag("state.directory", &self.state()),
            // Not the library of the machine that runs the test.
            flag("sensor.nvml.library", &self.path("libnvidia-ml.so.1")),
        ]
    }

    /// Flags, and more of them.
    pub fn with(&self, more: &[&str]) -> Vec<String> {
        let mut flags = self.flags();
        flags.extend(more.iter().map(|flag| (*flag).to_owned()));
        flags
    }
}

/// A counter's text, always as long, so that it can be written over in place.
fn counter(microjoules: u64) -> String {
    format!("{microjoules:<19}\n")
}

/// A counter to move.
pub struct Track {
    /// The zone, such as `intel-rapl:0:0`.
    pub zone: &'static str,
    /// The device that it should become.
    pub device: &'static str,
    /// Where the counter stands, in microjoules.
    pub from: u64,
    /// Its mean power in watts, around which it swings by half, ...
    pub watts: f64,
    /// ... in so many seconds; 0 for a power that does not swing.
    pub period: f64,
}

/// What has been written into the counters.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    /// Joules of every device.
    pub joules: BTreeMap<&'static str, f64>,
    /// Times that any counter went round.
    pub wraps: u32,
}

impl Truth {
    pub fn node(&self) -> f64 {
        self.joules.values().sum()
    }
}

enum Order {
    Run(bool),
    Look(SyncSender<()>),
}

/// A thread that moves counters; at rest until it is told to run.
pub struct Mover {
    orders: SyncSender<Order>,
    truth: Arc<Mutex<Truth>>,
}

impl Mover {
    pub fn start(machine: &Machine, tracks: Vec<Track>) -> Self {
        let (orders, inbox) = sync_channel(0);
        let joules = tracks.iter().map(|track| (track.device, 0.0)).collect();
        let truth = Arc::new(Mutex::new(Truth { joules, wraps: 0 }));
        let counters = tracks.into_iter().map(|track| {
            let path = format!("sys/class/powercap/{}/energy_uj", track.zone);
            let file = File::options()
                .write(true)
                .open(machine.path(&path))
                .unwrap();
            let counter = Counter {
                raw: track.from,
                rest: 0.0,
                used: 0,
                file,
                track,
            };
            counter.write();
            counter
        });
        let (counters, shared) = (counters.collect(), Arc::clone(&truth));
        thread::spawn(move || drive(counters, &inbox, &shared));
        Self { orders, truth }
    }

    pub fn run(&self) {
        self.orders.send(Order::Run(true)).unwrap();
    }

    /// Stops all power, and says what has been used by then.
    pub fn rest(&self) -> Truth {
        self.orders.send(Order::Run(false)).unwrap();
        self.truth()
    }

    /// What has been used so far.
    pub fn truth(&self) -> Truth {
        let (tell, told) = sync_channel(1);
        self.orders.send(Order::Look(tell)).unwrap();
        told.recv().unwrap();
        self.truth.lock().unwrap().clone()
    }
}

struct Counter {
    track: Track,
    file: File,
    raw: u64,
    /// What is less than a count.
    rest: f64,
    used: u64,
}

impl Counter {
    /// Moves on by `time` that ends at `at`; says whether it went round.
    fn advance(&mut self, at: f64, time: f64) -> bool {
        let swing = match self.track.period {
            0.0 => 0.0,
            period => 0.5 * (std::f64::consts::TAU * at / period).sin(),
        };
        let exact = self.rest + self.track.watts * (1.0 + swing) * time * 1e6;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let counts = exact as u64;
        #[allow(clippy::cast_precision_loss)]
        let whole = counts as f64;
        self.rest = exact - whole;
        self.used += counts;
        self.raw += counts;
        let round = self.raw >= RANGE;
        if round {
            self.raw -= RANGE;
        }
        self.write();
        round
    }

    fn write(&self) {
        self.file
            .write_all_at(counter(self.raw).as_bytes(), 0)
            .unwrap();
    }
}

/// Between two steps of the counters.
const STEP: Duration = Duration::from_millis(20);

fn drive(mut counters: Vec<Counter>, inbox: &Receiver<Order>, truth: &Mutex<Truth>) {
    let start = Instant::now();
    let (mut running, mut last) = (false, start);
    loop {
        let order = inbox.recv_timeout(STEP);
        let now = Instant::now();
        if running {
            let (at, time) = ((now - start).as_secs_f64(), (now - last).as_secs_f64());
            let mut truth = truth.lock().unwrap();
            for counter in &mut counters {
                truth.wraps += u32::from(counter.advance(at, time));
                #[allow(clippy::cast_precision_loss)]
                truth
                    .joules
                    .insert(counter.track.device, counter.used as f64 * 1e-6);
            }
        }
        last = now;
        match order {
            Ok(Order::Run(run)) => running = run,
            Ok(Order::Look(tell)) => tell.send(()).unwrap(),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}
