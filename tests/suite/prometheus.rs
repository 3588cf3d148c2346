//! Two real Prometheus servers scrape one gramwatt over a machine whose energy is known, through a
//! counter's wrap, a change of the grid's intensity, and a crash.

use crate::moving::{Machine, Mover, RANGE, Track, Truth};
use crate::pages::lint;
use crate::program::{Killed, Program, exchange, get, gramwatt, until};
use crate::tools::{done, listening, tool};
use rustix::process::Signal;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::ops::Range;
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use tempfile::TempDir;

/// The largest error that is let pass, of the truth.
const ERROR: f64 = 0.001;

const PUE: f64 = 1.25;
const JOULES: &str = "gramwatt_device_energy_joules_total";
const NODE_JOULES: &str = "gramwatt_node_energy_joules_total";
const GRAMS: &str = "gramwatt_device_co2e_grams_total";
const NODE_GRAMS: &str = "gramwatt_node_co2e_grams_total";

/// A server that scrapes one target every second.
pub struct Prometheus {
    _server: Killed,
    _dir: TempDir,
    address: SocketAddr,
}

/// Values by the time of their scrape, in milliseconds.
pub type Samples = BTreeMap<i64, f64>;

impl Prometheus {
    pub fn start(number: usize, target: SocketAddr) -> Self {
        let config = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s, external_labels: {{replica: {number}}}}}\n\
             scrape_configs: [{{job_name: gramwatt, static_configs: [{{targets: ['{target}']}}]}}]\n"
        );
        Self::with(tempfile::tempdir().unwrap(), &config, &[])
    }

    /// A server that scrapes nothing and has what is written here, as OpenMetrics with time stamps.
    pub fn filled(history: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("history");
        std::fs::write(&file, history).unwrap();
        done(
            Command::new(tool("promtool"))
                .args(["tsdb", "create-blocks-from", "openmetrics"])
                .args([&file, &dir.path().join("data")]),
        );
        Self::with(dir, "global: {}\n", &[])
    }

    /// A server with this configuration and these flags; its data is in the folder's `data`.
    pub fn with(dir: TempDir, config: &str, flags: &[&str]) -> Self {
        let file = dir.path().join("prometheus.yml");
        std::fs::write(&file, config).unwrap();
        let mut command = Command::new(tool("prometheus"));
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                dir.path().join("data").display()
            ))
            .args([
                "--storage.tsdb.retention.time=10y",
                "--web.listen-address=127.0.0.1:0",
            ])
            .args(flags);
        let (server, _, address) = listening(&mut command, "Listening on");
        Self {
            _server: server,
            _dir: dir,
            address,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The result of an instant query; `None` while the server is not ready.
    pub fn query(&self, expression: &str, at: Option<i64>) -> Option<Vec<Value>> {
        let mut path = format!("/api/v1/query?query={}", escaped(expression));
        if let Some(at) = at {
            path += &format!("&time={}.{:03}", at / 1000, at % 1000);
        }
        self.ask(expression, &path)
    }

    /// The result of a query for every `step` of a range, all in seconds; `None` while the server is not ready.
    pub fn query_range(
        &self,
        expression: &str,
        range: Range<i64>,
        step: i64,
    ) -> Option<Vec<Value>> {
        let (start, end) = (range.start, range.end);
        let expr = escaped(expression);
        let path = format!("/api/v1/query_range?query={expr}&start={start}&end={end}&step={step}");
        self.ask(expression, &path)
    }

    fn ask(&self, expression: &str, path: &str) -> Option<Vec<Value>> {
        let answer = get(self.address, path).ok()?;
        if answer.status == 503 {
            return None;
        }
        assert_eq!(answer.status, 200, "{expression}: {}", answer.body);
        let mut json: Value = serde_json::from_str(&answer.body).unwrap();
        match json["data"]["result"].take() {
            Value::Array(result) => Some(result),
            other => panic!("{expression}: {other}"),
        }
    }

    /// What was scraped, as it was scraped, by device.
    fn samples(&self, metric: &str) -> BTreeMap<String, Samples> {
        let series = self.query(&format!("{metric}[10m]"), None);
        let device = |one: &Value| one["metric"]["device"].as_str().unwrap_or("").to_owned();
        let values = |one: &Value| {
            one["values"]
                .as_array()
                .unwrap()
                .iter()
                .map(sample)
                .collect()
        };
        series
            .unwrap_or_default()
            .iter()
            .map(|one| (device(one), values(one)))
            .collect()
    }

    /// What was scraped of a metric that has one series.
    pub fn one(&self, metric: &str) -> Samples {
        let mut all = self.samples(metric);
        assert!(all.len() <= 1, "{metric}: {all:?}");
        all.pop_first()
            .map(|(_, samples)| samples)
            .unwrap_or_default()
    }

    /// `function(metric{...}[range])` from the first to the last of its scrapes: a range that begins
    /// and ends with a sample, so that nothing is extrapolated.
    fn over_all(&self, function: &str, metric: &str) -> BTreeMap<String, f64> {
        let over = |(device, samples): (String, Samples)| {
            let (first, last) = (*samples.keys().next()?, *samples.keys().next_back()?);
            let matcher = format!("{metric}{{device=\"{device}\"}}[{}ms]", last - first);
            let result = self.query(&format!("{function}({matcher})"), Some(last))?;
            assert_eq!(result.len(), 1, "{metric} of {device:?}: {result:?}");
            Some((device, sample(&result[0]["value"]).1))
        };
        self.samples(metric).into_iter().filter_map(over).collect()
    }
}

pub fn sample(pair: &Value) -> (i64, f64) {
    #[allow(clippy::cast_possible_truncation)]
    let at = (pair[0].as_f64().unwrap() * 1000.0).round() as i64;
    (at, pair[1].as_str().unwrap().parse().unwrap())
}

fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}

/// A port that nobody has, that nobody is given for asking for any (below the range from which Linux takes those,
/// 32768 to 60999), and that no other test is given.
pub fn lasting_port() -> u16 {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 10_000).unwrap();
    loop {
        let offset = start + GIVEN.fetch_add(1, Ordering::Relaxed);
        let port = 20_000 + offset % 10_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A lab of one node and two servers.
struct Lab {
    machine: Machine,
    port: u16,
    mover: Mover,
}

impl Lab {
    fn new() -> Self {
        let machine = Machine::bare();
        let tracks = vec![
            track("intel-rapl:0", "package-0", 5_000_000_000, 150.0, 1.7),
            // 400 J before its end: it goes round after about three seconds.
            track("intel-rapl:1", "package-1", RANGE - 400_000_000, 130.0, 2.3),
            track("intel-rapl:0:0", "dram-0", 700_000_000, 18.0, 1.1),
            track("intel-rapl:1:0", "dram-1", 900_000_000, 12.0, 0.7),
        ];
        for track in &tracks {
            let name = track.device.strip_suffix(|_: char| true).unwrap();
            let name = if name == "dram-" {
                "dram"
            } else {
                track.device
            };
            machine.zone(track.zone, name, track.from);
        }
        Self {
            mover: Mover::start(&machine, tracks),
            port: lasting_port(),
            machine,
        }
    }

    fn set_intensity(&self, grams: f64) {
        let text = format!("grid: {{intensity: {grams}}}\nnode: {{pue: {PUE}}}\n");
        self.machine.write("gramwatt.yml", text);
    }

    fn gramwatt(&self) -> Program {
        let listen = format!("--web.listen-address=127.0.0.1:{}", self.port);
        let config = self.machine.path("gramwatt.yml");
        let config = format!("--config.file={}", config.display());
        let fast = "--sensors.interval=100ms";
        let flags = self
            .machine
            .with(&[&listen, &config, fast, "--no-sensor.model"]);
        Program::spawn(gramwatt(flags))
    }

    /// Lets power flow until that many joules more have been used.
    fn use_up(&self, joules: f64) {
        let goal = self.mover.truth().node() + joules;
        until("power flows", || {
            (self.mover.truth().node() >= goal).then_some(())
        });
    }
}

fn track(zone: &'static str, device: &'static str, from: u64, watts: f64, period: f64) -> Track {
    Track {
        zone,
        device,
        from,
        watts,
        period,
    }
}

/// Waits until the page has all that was used.
fn settled(program: &Program, truth: &Truth) {
    until("the page has all energy", || {
        let shown = program.metrics().find(NODE_JOULES)?;
        ((shown - truth.node()).abs() < 1e-3).then_some(())
    });
}

/// Waits until every server has scraped `value` twice: the end of the series is flat.
fn scraped_twice(servers: &[Prometheus], value: f64) {
    for server in servers {
        until("two scrapes of the same value", || {
            let samples = server.one(NODE_JOULES);
            let last = samples.values().rev().take(2);
            let flat = last.filter(|sample| (*sample - value).abs() < 1e-3);
            (flat.count() == 2).then_some(())
        });
    }
}

fn compare(server: usize, what: &str, found: &BTreeMap<String, f64>, truth: &BTreeMap<&str, f64>) {
    let names: Vec<_> = found.keys().collect();
    assert_eq!(names, truth.keys().collect::<Vec<_>>(), "{what}");
    for (device, truth) in truth {
        let error = (found[*device] - truth) / truth;
        let who = if device.is_empty() { "node" } else { device };
        println!(
            "prometheus {server}: increase of {what} of {who}: {:.6}, truth {truth:.6}, error {:+.6} %",
            found[*device],
            error * 100.0
        );
        assert!(error.abs() < ERROR, "{what} of {who}");
    }
}

#[test]
fn increase_is_the_truth_through_a_wrap_a_new_intensity_and_a_crash() {
    let lab = Lab::new();
    let (before, after) = (400.0, 100.0);
    lab.set_intensity(before);
    let program = lab.gramwatt();
    let servers = [0, 1].map(|number| Prometheus::start(number, program.address));
    scraped_twice(&servers, 0.0);

    lab.mover.run();
    until("a counter goes round", || {
        (lab.mover.truth().wraps > 0).then_some(())
    });
    lab.use_up(600.0);
    let first = lab.mover.rest();
    settled(&program, &first);
    let page = program.metrics();
    assert_eq!(
        page.get("gramwatt_sensor_wraps_total{sensor=\"rapl\"}"),
        1.0
    );

    lab.set_intensity(after);
    program.signal(Signal::HUP);
    until("the new intensity is in force", || {
        let page = program.metrics();
        let mut factors = page.starting("gramwatt_grid_carbon_intensity_grams_per_kwh");
        factors
            .any(|(_, value)| (value - after).abs() < 1e-9)
            .then_some(())
    });

    lab.mover.run();
    lab.use_up(900.0);
    program.crash();
    for server in &servers {
        until("the outage is scraped", || {
            (server.one("up").into_values().next_back() == Some(0.0)).then_some(())
        });
    }
    let program = lab.gramwatt();
    lab.use_up(900.0);
    let last = lab.mover.rest();
    settled(&program, &last);
    scraped_twice(&servers, last.node());

    let grams = |device: &&'static str| {
        let (first, all) = (first.joules[device], last.joules[device]);
        PUE * (first * before + (all - first) * after) / 3.6e6
    };
    let grams: BTreeMap<&str, f64> = last.joules.keys().map(|d| (*d, grams(d))).collect();
    let node = |all: &BTreeMap<&str, f64>| BTreeMap::from([("", all.values().sum())]);
    for (number, server) in servers.iter().enumerate() {
        for (metric, truth) in [
            (JOULES, last.joules.clone()),
            (NODE_JOULES, node(&last.joules)),
            (GRAMS, grams.clone()),
            (NODE_GRAMS, node(&grams)),
        ] {
            compare(number, metric, &server.over_all("increase", metric), &truth);
            for (device, resets) in server.over_all("resets", metric) {
                assert_eq!(resets, 0.0, "{metric} of {device:?} went back");
            }
        }
        closed_at_every_scrape(number, server, JOULES, NODE_JOULES);
        closed_at_every_scrape(number, server, GRAMS, NODE_GRAMS);
        outage_alone_is_down(number, server);
    }
    let text = "Accept: text/plain;version=0.0.4\r\n";
    lint(
        &exchange(program.address, "GET", "/metrics", text)
            .unwrap()
            .body,
    );
    assert!(program.terminate().success());
}

/// The devices' sum is the node's, in every single scrape.
fn closed_at_every_scrape(number: usize, server: &Prometheus, devices: &str, node: &str) {
    let mut sums = Samples::new();
    for (at, value) in server.samples(devices).into_values().flatten() {
        *sums.entry(at).or_default() += value;
    }
    let node = server.one(node);
    assert!(
        node.keys().eq(sums.keys()),
        "{devices}: not in the same scrapes"
    );
    let apart = node.iter().map(|(at, value)| (value - sums[at]).abs());
    let most = apart.fold(0.0, f64::max);
    println!(
        "prometheus {number}: {devices}: {} scrapes, sum and node at most {most:e} apart",
        node.len()
    );
    assert!(most < 1e-6, "{devices}");
}

fn outage_alone_is_down(number: usize, server: &Prometheus) {
    let up: Vec<f64> = server.one("up").into_values().collect();
    let times_down = up
        .chunk_by(|a, b| a == b)
        .filter(|run| run[0] == 0.0)
        .count();
    println!("prometheus {number}: up: {up:?}");
    assert_eq!(times_down, 1);
    assert_eq!(up.last(), Some(&1.0));
}
