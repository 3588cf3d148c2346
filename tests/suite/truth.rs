//! A day of intensities and of a moving load, with clocks that are passed in: what is booked is what the
//! integral says, through an outage, a turn to another provider, and restarts of relay and exporter.

use gramwatt::clock::Moment;
use gramwatt::config::Config;
use gramwatt::engine::{Batch, Engine, Seat};
use gramwatt::grid::conditions::Conditions;
use gramwatt::grid::fetch::{Failure, News};
use gramwatt::grid::provider::{Answer, What};
use gramwatt::grid::series::{Nature, Point, Scope, Signal};
use gramwatt::grid::service::Service;
use gramwatt::grid::store::Store;
use gramwatt::sensor::{About, Kind, Part, Reading, Readings, Source, Value};
use gramwatt::setup::{Setup, Watch};
use gramwatt::snapshot::Snapshot;
use gramwatt::units::Watts;
use jiff::Timestamp;
use std::f64::consts::TAU;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
const PUE: f64 = 1.2;
const MINUTES: u64 = 300;
const QUARTER: u64 = 900;

/// The node's power: a slow wave, a faster one, and a job that runs every other hour.
fn joules(second: f64) -> f64 {
    let wave =
        |watts: f64, period: f64| watts * period / TAU * (1.0 - (second * TAU / period).cos());
    let hours = (second / 7200.0).floor();
    let job = 250.0 * (hours * 3600.0 + (second - hours * 7200.0).min(3600.0));
    700.0 * second + wave(200.0, 86400.0) + wave(150.0, 1700.0) + job
}

/// The truth of the first provider, in steps of five minutes.
fn first(second: u64) -> f64 {
    let step = second / MINUTES * MINUTES;
    320.0 + 140.0 * (step as f64 * TAU / 86400.0).sin() + (step / MINUTES * 37 % 50) as f64
}

/// That of the second, in quarters of an hour.
fn second(second: u64) -> f64 {
    180.0 + (second / QUARTER * 29 % 90) as f64
}

/// What the first provider foretells, hour by hour.
fn foretold(second: u64) -> f64 {
    90.0 + (second / HOUR) as f64 * 7.0
}

/// What happens in the day, up to which hour, and what must be in force then: the tier.
const DAYPARTS: [(u64, &str); 7] = [
    (6, "live"),
    (7, "live"),
    (8, "cached"),
    (11, "forecast"),
    (13, "static"),
    (18, "live"),
    (24, "live"),
];

/// What must be in force in a second of the day, by the rules and not by the code.
fn in_force(at: u64, bundled: f64) -> f64 {
    match at / HOUR {
        0..6 | 18.. => first(at),
        6..8 => first(6 * HOUR - 1),
        8..11 => foretold(at),
        11..13 => bundled,
        13..18 => second(at),
    }
}

fn moment(second: u64) -> Moment {
    let start = Moment {
        awake: Duration::from_secs(5000),
        boot: Duration::from_secs(7000),
        wall: "2026-01-05T00:00:00Z".parse().unwrap(),
    };
    start.later(Duration::from_secs(second))
}

fn setup(providers: &str, folder: &TempDir) -> Setup {
    let config = format!(
        "node: {{pue: {PUE}}}\ngrid: {{zone: DE, max_age: 2h, providers: [{providers}]}}\n\
         path: {{sysfs: {0}, procfs: {0}}}\n",
        folder.path().display()
    );
    Setup::new(&Config::parse(&config).unwrap()).unwrap()
}

/// A service, with its file and the moment at which it looks again.
struct Desk {
    providers: &'static str,
    folder: TempDir,
    service: Service,
    store: Store,
    until: Timestamp,
    /// Beginning and tier of what was last in force.
    last: Option<(f64, &'static str)>,
}

impl Desk {
    fn new(providers: &'static str) -> Self {
        let folder = TempDir::new().unwrap();
        let (service, store) = Self::open(providers, &folder);
        Self {
            providers,
            folder,
            service,
            store,
            until: Timestamp::MIN,
            last: None,
        }
    }

    fn open(providers: &str, folder: &TempDir) -> (Service, Store) {
        let Watch { place, providers } = setup(providers, folder).watch.unwrap();
        let store = Store::new(folder.path());
        (Service::new(vec![place], &providers, store.load()), store)
    }

    fn restart(&mut self) {
        (self.service, self.store) = Self::open(self.providers, &self.folder);
        self.until = Timestamp::MIN;
    }

    /// Hears as the service's thread does.
    fn hear(&mut self, news: &News, now: Moment) -> Conditions {
        self.service.hear(news, now.wall);
        if matches!(news.answer, Ok(Some(_))) {
            self.store.save(self.service.told());
        }
        self.tell(None, now)
    }

    /// What changes although nobody tells anything.
    fn look(&mut self, now: Moment) -> Option<Conditions> {
        let since = (self.until != Timestamp::MIN).then_some(self.until);
        (self.until <= now.wall).then(|| self.tell(since, now))
    }

    fn tell(&mut self, since: Option<Timestamp>, now: Moment) -> Conditions {
        let (conditions, until) = self.service.conditions(0, now.wall).unwrap();
        self.until = until.min(now.wall + Duration::from_secs(60));
        let grid = conditions.grid.as_ref().unwrap();
        let told = (grid.valid.unwrap(), grid.tier);
        let is_observed = |tier| tier == "live" || tier == "cached";
        if let Some((before, tier)) = self.last
            && is_observed(tier)
            && is_observed(told.1)
        {
            assert!(told.0 >= before, "{before} -> {} at {}", told.0, now.wall);
        }
        self.last = Some(told);
        Conditions {
            since,
            ..conditions
        }
    }
}

fn answer(points: Vec<Point>) -> Result<Option<Answer>, Failure> {
    Ok(Some(Answer {
        scope: Scope::Lifecycle,
        points,
        of: None,
    }))
}

fn ill() -> Result<Option<Answer>, Failure> {
    Err(Failure {
        reason: "status",
        place: "https://x".into(),
        message: "HTTP status 503".into(),
        mend: String::new(),
        wait: None,
    })
}

fn point(from: u64, seconds: u64, grams: f64, nature: Nature) -> Point {
    Point::lasting(
        moment(from).wall,
        Duration::from_secs(seconds),
        grams,
        nature,
    )
}

/// What the two providers tell at a second of the day.
fn told(at: u64) -> Vec<News> {
    let is_out = (6 * HOUR..18 * HOUR).contains(&at);
    let mut news = Vec::new();
    let mut say = |provider, number, answer| {
        news.push(News {
            provider,
            zone: 0,
            number,
            answer,
        });
    };
    if at.is_multiple_of(MINUTES) {
        say(
            0,
            0,
            match is_out {
                true => ill(),
                false => answer(vec![point(at, MINUTES, first(at), Nature::Measured)]),
            },
        );
    }
    if at.is_multiple_of(HOUR) && !is_out {
        let hours = (at / HOUR..11)
            .map(|hour| point(hour * HOUR, HOUR, foretold(hour * HOUR), Nature::Forecast));
        say(0, 1, answer(hours.collect()));
    }
    if at.is_multiple_of(QUARTER) {
        say(
            1,
            0,
            match (13 * HOUR..18 * HOUR).contains(&at) {
                false => ill(),
                true => answer(vec![point(at, QUARTER, second(at), Nature::Estimated)]),
            },
        );
    }
    news
}

/// A node's engine and what feeds it.
struct Node {
    desk: Desk,
    engine: Engine,
    source: Arc<Source>,
    /// Grams and estimated grams at the ends of the parts of the day.
    marks: Vec<(f64, f64)>,
}

fn seats() -> [Seat; 1] {
    [Seat {
        name: "rapl".into(),
        rank: 0,
        interval: Duration::from_secs(7),
    }]
}

impl Node {
    fn new(providers: &'static str) -> Self {
        let desk = Desk::new(providers);
        let settings = setup(providers, &desk.folder).settings;
        let source = Source {
            part: Part::Device {
                id: "package-0".into(),
                kind: Kind::Cpu,
            },
            about: About::default(),
            ceiling: Watts(10_000.0),
            holds: &[],
        };
        Self {
            engine: Engine::new(settings, &seats(), None, moment(0)),
            desk,
            source: Arc::new(source),
            marks: vec![(0.0, 0.0)],
        }
    }

    /// Both files go through their text, as they do on disk.
    fn restart(&mut self, now: Moment) {
        let state = serde_json::to_string(&self.engine.state()).unwrap();
        let state = serde_json::from_str(&state).unwrap();
        let settings = setup(self.desk.providers, &self.desk.folder).settings;
        self.engine = Engine::new(settings, &seats(), Some(state), now);
        self.desk.restart();
    }

    fn look(&mut self, now: Moment) {
        if let Some(conditions) = self.desk.look(now) {
            self.engine.meet(conditions, now);
        }
    }

    fn hear(&mut self, news: &News, now: Moment) {
        let conditions = self.desk.hear(news, now);
        self.engine.meet(conditions, now);
    }

    fn read(&mut self, second: u64, now: Moment) {
        let raw = (joules(second as f64) * 1e6).round() as u64;
        let value = Value::Counter {
            raw,
            unit: 1e-6,
            wraps_at: None,
        };
        self.engine.apply(&Batch {
            sensor: "rapl".into(),
            at: now,
            took: Duration::from_millis(1),
            readings: Readings {
                good: vec![Reading::new(&self.source, value)],
                bad: Vec::new(),
            },
        });
    }

    fn mark(&mut self, now: Moment) -> Snapshot {
        let snapshot = self.engine.tick(now);
        let node = &snapshot.node;
        let grams = |grams: Option<gramwatt::units::Grams>| grams.map_or(0.0, |grams| grams.0);
        self.marks.push((grams(node.grams), grams(node.estimated)));
        snapshot
    }
}

const DIRECT: &str =
    "{type: electricity-maps, token_file: /t, forecast: true}, {type: energy-charts}";
const RELAYED: &str = "{type: relay, url: \"http://relay\"}";

/// Asks the relay, as a node does that knows its address.
fn ask(relay: &Desk, now: Moment) -> News {
    let [entry] = &Config::parse(&format!("grid: {{zone: DE, providers: [{RELAYED}]}}"))
        .unwrap()
        .grid
        .providers[..]
    else {
        panic!()
    };
    let sheet = relay.service.sheet(0, Signal::Average, now.wall);
    let answer = match sheet.map(|sheet| serde_json::to_vec(&sheet).unwrap()) {
        Some(body) => {
            let read = entry
                .entry
                .open()
                .unwrap()
                .read(What::Latest, "DE", &body, now.wall);
            Ok(Some(read.unwrap()))
        }
        None => ill(),
    };
    News {
        provider: 0,
        zone: 0,
        number: 0,
        answer,
    }
}

/// Runs the day: a node that asks the providers itself, one that asks a relay each minute, and one whose
/// minutes are as long as the schedule makes them at most.
fn day() -> [Node; 3] {
    let mut relay = Desk::new(DIRECT);
    let mut nodes = [DIRECT, RELAYED, RELAYED].map(Node::new);
    for second in 0..=DAY {
        let now = moment(second);
        let news = told(second);
        if second > 0 {
            relay.look(now);
        }
        for node in &mut nodes {
            node.look(now);
        }
        // The relay's process is gone and back, in the middle of what is live and of what is cached.
        if second == 3 * HOUR + 150 || second == 7 * HOUR + 1801 {
            relay.restart();
            relay.look(now);
        }
        for new in &news {
            relay.hear(new, now);
            nodes[0].hear(new, now);
        }
        for (node, every) in [(1, 60), (2, 66)] {
            if second % every == 0 {
                let new = ask(&relay, now);
                nodes[node].hear(&new, now);
            }
        }
        let is_down = [9 * HOUR + 1800, 14 * HOUR + 420]
            .iter()
            .any(|start| (*start..*start + 60).contains(&second));
        for node in &mut nodes {
            if second == 9 * HOUR + 1860 || second == 14 * HOUR + 480 {
                node.restart(now);
                node.look(now);
            }
            if (second % 7 == 0 || second % HOUR == 0) && !is_down {
                node.read(second, now);
            }
            if second > 0 && DAYPARTS.iter().any(|(hour, _)| hour * HOUR == second) {
                node.mark(now);
            }
        }
    }
    nodes
}

/// Grams of a part of the day, by the integral: steps of a second, within which nothing changes.
fn integral(from: u64, to: u64, bundled: f64) -> f64 {
    let grams = |at: u64| (joules((at + 1) as f64) - joules(at as f64)) * in_force(at, bundled);
    (from..to).map(grams).sum::<f64>() * PUE / 3.6e6
}

#[test]
fn a_day_of_grams_is_the_integral_through_outage_switch_and_restarts() {
    let bundled = {
        let folder = TempDir::new().unwrap();
        setup(DIRECT, &folder).settings.grid.unwrap().intensity.0
    };
    let nodes = day();
    println!(
        "{:<7} {:<9} {:>10} {:>11} {:>11} {:>11}",
        "until", "tier", "grams", "direct", "relay", "66 s"
    );
    let mut start = 0;
    let (mut sum, mut estimated) = (0.0, 0.0);
    let off = |found: f64, truth: f64| (found / truth - 1.0) * 100.0;
    for (part, (hour, tier)) in DAYPARTS.iter().enumerate() {
        let truth = integral(start * HOUR, hour * HOUR, bundled);
        let errors = [0, 1, 2].map(|node: usize| {
            let [before, after] = [part, part + 1].map(|mark| nodes[node].marks[mark]);
            // All of it is an estimate, or nothing is.
            let booked = after.0 - before.0;
            let wrong = (after.1 - before.1) - if *tier == "live" { 0.0 } else { booked };
            // Who asks each 66 s hears of the end of an outage so much later.
            let most = truth * if node == 2 { 0.01 } else { 1e-9 };
            assert!(
                wrong.abs() <= most,
                "{node} until {hour}: {wrong} of {booked}"
            );
            off(booked, truth)
        });
        println!(
            "{hour:>5}:00 {tier:<8} {truth:>10.3} {:>9.5} % {:>9.5} % {:>9.5} %",
            errors[0], errors[1], errors[2]
        );
        assert!(
            errors[0].abs() < 0.001,
            "direct until {hour}: {} %",
            errors[0]
        );
        assert!(errors[1].abs() < 0.1, "relay until {hour}: {} %", errors[1]);
        sum += truth;
        estimated += if *tier == "live" { 0.0 } else { truth };
        start = *hour;
    }
    let total = [0, 1, 2].map(|node: usize| nodes[node].marks[DAYPARTS.len()]);
    println!(
        "{:>8} {:<8} {sum:>10.3} {:>9.5} % {:>9.5} % {:>9.5} %",
        "day",
        "all",
        off(total[0].0, sum),
        off(total[1].0, sum),
        off(total[2].0, sum)
    );
    println!(
        "{:>8} {:<8} {estimated:>10.3} {:>9.5} % {:>9.5} % {:>9.5} %",
        "day",
        "estimated",
        off(total[0].1, estimated),
        off(total[1].1, estimated),
        off(total[2].1, estimated)
    );
    for (grams, guessed) in total {
        assert!(off(grams, sum).abs() < 0.1, "{} %", off(grams, sum));
        assert!(
            off(guessed, estimated).abs() < 0.5,
            "{} %",
            off(guessed, estimated)
        );
    }
    assert!(off(total[1].1, estimated).abs() < 0.1);
}
