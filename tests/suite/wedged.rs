//! A sensor that never comes back from its read delays nobody.
//!
//! A driver that hangs cannot be had from files: the program opens none that makes it wait. So the
//! kernel is made to hold the sensor's thread at the very entrance of `pread`, by ptrace, as a driver
//! would hold it inside; every other thread runs on.

use crate::moving::{Machine, Mover, Track};
use crate::program::{Program, Series, get, until};
use nix::sys::ptrace::{self, Options};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::fs;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

/// `pread64`'s number.
#[cfg(target_arch = "x86_64")]
const PREAD: &str = "17";
#[cfg(target_arch = "aarch64")]
const PREAD: &str = "67";

/// How long the sensor hangs.
const WEDGED: Duration = Duration::from_secs(30);
/// Between two scrapes.
const PACE: Duration = Duration::from_millis(50);
const INTERVAL: Duration = Duration::from_millis(200);
const WATTS: f64 = 100.0;

/// A thread that is held at the entrance of its `pread`. Dropping it lets it go on.
struct Held(Pid);

impl Held {
    /// Holds the thread of that name as soon as it reads a file whose name ends so.
    fn reading(process: i32, thread: &str, file: &str) -> Self {
        let tasks = format!("/proc/{process}/task");
        let named = |id: &String| {
            fs::read_to_string(format!("{tasks}/{id}/comm"))
                .unwrap()
                .trim()
                == thread
        };
        let ids = fs::read_dir(&tasks).unwrap().flatten();
        let mut ids = ids.map(|entry| entry.file_name().into_string().unwrap());
        let id = ids
            .find(named)
            .expect("the sensor has a thread of its name");
        let held = Self(Pid::from_raw(id.parse().unwrap()));
        ptrace::seize(held.0, Options::PTRACE_O_EXITKILL).unwrap();
        ptrace::interrupt(held.0).unwrap();
        held.stopped();
        let reads = || {
            let call = fs::read_to_string(format!("{tasks}/{id}/syscall")).unwrap();
            let mut words = call.split_whitespace();
            let is_pread = words.next() == Some(PREAD);
            let descriptor = words.next().and_then(|word| word.strip_prefix("0x"));
            let descriptor = descriptor.and_then(|hex| i32::from_str_radix(hex, 16).ok());
            let target = descriptor
                .and_then(|number| fs::read_link(format!("/proc/{process}/fd/{number}")).ok());
            is_pread && target.is_some_and(|target| target.ends_with(file))
        };
        // It stops at the entrance and at the exit of every call; what follows another call is an
        // entrance.
        let mut inside = true;
        loop {
            let reading = reads();
            if reading && !inside {
                return held;
            }
            inside = reading;
            ptrace::syscall(held.0, None).unwrap();
            held.stopped();
        }
    }

    fn stopped(&self) {
        match waitpid(self.0, Some(WaitPidFlag::__WALL)).unwrap() {
            WaitStatus::Stopped(..) | WaitStatus::PtraceEvent(..) => {}
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = ptrace::detach(self.0, None);
    }
}

/// A page, when it was asked for and how long it took.
struct Scrape {
    asked: Instant,
    took: Duration,
    page: Series,
}

fn scrape(address: SocketAddr) -> Scrape {
    let asked = Instant::now();
    let answer = get(address, "/metrics").unwrap();
    assert_eq!(answer.status, 200);
    Scrape {
        asked,
        took: asked.elapsed(),
        page: Series::of(&answer.body),
    }
}

/// Scrapes at an even pace.
fn scrapes(address: SocketAddr, time: Duration) -> Vec<Scrape> {
    let start = Instant::now();
    let mut all = Vec::new();
    let mut next = start;
    while start.elapsed() < time {
        all.push(scrape(address));
        next += PACE;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    all
}

/// Median, 99 of 100, and the longest.
fn latencies(when: &str, scrapes: &[Scrape]) -> [Duration; 3] {
    let mut took: Vec<Duration> = scrapes.iter().map(|scrape| scrape.took).collect();
    took.sort_unstable();
    let of = |share: usize| took[(took.len() - 1) * share / 100];
    let [median, p99, longest] = [of(50), of(99), of(100)];
    println!(
        "{when}: {} scrapes, median {median:?}, p99 {p99:?}, max {longest:?}",
        took.len()
    );
    [median, p99, longest]
}

fn joules(page: &Series, device: &str, kind: &str) -> f64 {
    page.get(&format!(
        "gramwatt_device_energy_joules_total{{device=\"{device}\",kind=\"{kind}\"}}"
    ))
}

fn watts(page: &Series, device: &str, kind: &str) -> Option<f64> {
    page.find(&format!(
        "gramwatt_device_power_watts{{device=\"{device}\",kind=\"{kind}\"}}"
    ))
}

fn up(page: &Series, sensor: &str) -> f64 {
    page.get(&format!("gramwatt_sensor_up{{sensor=\"{sensor}\"}}"))
}

#[test]
fn a_sensor_that_hangs_for_half_a_minute_delays_no_scrape() {
    let machine = Machine::two_packages();
    let track = |zone, device, from| Track {
        zone,
        device,
        from,
        watts: WATTS,
        period: 0.0,
    };
    let tracks = vec![
        track("intel-rapl:0", "package-0", 1_000_000_000),
        track("intel-rapl:1", "package-1", 2_000_000_000),
    ];
    let mover = Mover::start(&machine, tracks);
    let program = Program::start(machine.with(&["--sensors.interval=200ms"]));
    mover.run();
    until("power shows", || {
        let page = program.metrics();
        let moves = |n| watts(&page, n, "cpu").is_some_and(|watts| watts > WATTS / 2.0);
        (moves("package-0") && moves("package-1")).then_some(())
    });
    latencies("before", &scrapes(program.address, Duration::from_secs(2)));

    let held = Held::reading(program.pid(), "rapl", "energy_uj");
    let since = Instant::now();
    let during = scrapes(program.address, WEDGED);
    let [_, p99, longest] = latencies("wedged", &during);
    assert!(p99 < Duration::from_millis(100), "p99 {p99:?}");
    // One that had waited for the sensor would have waited for seconds; a crowded machine may make
    // one of hundreds wait for its turn.
    assert!(longest < Duration::from_secs(1), "max {longest:?}");

    let down = during
        .iter()
        .find(|scrape| up(&scrape.page, "rapl") == 0.0)
        .unwrap();
    let after = down.asked - since;
    println!("sensor_up is 0 after {after:?} at an interval of {INTERVAL:?}");
    assert!(after >= 2 * INTERVAL, "{after:?}");
    assert!(after <= 8 * INTERVAL, "{after:?}");
    let (first, last) = (&down.page, &during.last().unwrap().page);
    for scrape in during.iter().filter(|scrape| scrape.asked >= down.asked) {
        assert_eq!(up(&scrape.page, "rapl"), 0.0);
        assert_eq!(up(&scrape.page, "model"), 1.0);
        for device in ["package-0", "package-1"] {
            assert_eq!(watts(&scrape.page, device, "cpu"), None);
            assert_eq!(
                joules(&scrape.page, device, "cpu"),
                joules(first, device, "cpu")
            );
        }
        assert!(watts(&scrape.page, "dram-0", "dram").is_some());
    }
    for device in ["dram-0", "dram-1"] {
        assert!(joules(last, device, "dram") > joules(first, device, "dram") + 1.0);
    }
    assert!(
        program.log.text().contains("has not answered for"),
        "{}",
        program.log.text()
    );

    drop(held);
    let again = until("the sensor is up again", || {
        let scrape = scrape(program.address);
        (up(&scrape.page, "rapl") == 1.0).then_some(scrape)
    });
    let mut later = scrapes(program.address, Duration::from_secs(2));
    later.push(again);
    let most = later
        .iter()
        .filter_map(|scrape| watts(&scrape.page, "package-0", "cpu"))
        .fold(0.0, f64::max);
    println!("after: watts at most {most:.1} where {WATTS} flow");
    assert!(
        (WATTS / 2.0..3.0 * WATTS).contains(&most),
        "a spike of {most} W"
    );
    let truth = mover.rest();
    let mut errors = Vec::new();
    until("nothing is lost", || {
        let page = program.metrics();
        let error = |device| {
            // What had been used before the first reading is not in the books, and nothing was.
            joules(&page, device, "cpu") - truth.joules[device]
        };
        errors = vec![error("package-0"), error("package-1")];
        errors.iter().all(|error| error.abs() < 1e-3).then_some(())
    });
    println!("after: joules off by {errors:?} of {:?}", truth.joules);
    assert!(program.log.text().contains("answers again"));
}

#[test]
fn a_pipe_in_the_place_of_a_counter_costs_that_counter() {
    let machine = Machine::two_packages();
    let path = machine.path("sys/class/powercap/intel-rapl:0/energy_uj");
    fs::remove_file(&path).unwrap();
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRUSR).unwrap();
    let program = Program::start(machine.with(&["--sensors.interval=100ms"]));
    let page = until("the other package is read", || {
        let page = program.metrics();
        watts(&page, "package-1", "cpu").map(|_| page)
    });
    assert_eq!(up(&page, "rapl"), 1.0);
    assert!(page.get("gramwatt_sensor_errors_total{sensor=\"rapl\",reason=\"io\"}") > 0.0);
    let [.., longest] = latencies("a pipe", &scrapes(program.address, Duration::from_secs(1)));
    assert!(longest < Duration::from_secs(1));
}
