//! Golden pages of every fixture machine, at fixed moments. `make golden` writes them anew; whatever
//! it writes must hold the invariants too.

use crate::machine::Machine;
use gramwatt::clock::Moment;
use gramwatt::config::Config;
use gramwatt::engine::{Batch, Engine};
use gramwatt::exposition;
use gramwatt::setup::Setup;
use gramwatt::snapshot::Snapshot;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// What a machine without a `config.yaml` is told.
const CONFIG: &str = "grid: {intensity: 400}\nsensors: {interval: 10s}\n";

/// What depends on the release and on the machine that runs the test.
const LEFT_OUT: [&str; 2] = ["gramwatt_build", "gramwatt_sensor_read"];

/// The machine at each of its steps, and the time since the first.
pub fn snapshots(folder: &Path) -> Vec<(Duration, Arc<Snapshot>)> {
    let machine = Machine::new(folder);
    let config = machine.file("config.yaml");
    let mut config = Config::parse(config.as_deref().unwrap_or(CONFIG)).expect("a configuration");
    config.path.sysfs = machine.sys();
    // Never the library of the machine that runs the test.
    config.sensors.nvml.library = machine.library();
    config.path.procfs = machine.proc();
    let mut setup = Setup::new(&config).expect("a machine");
    let start = Moment {
        awake: Duration::from_secs(3600),
        boot: Duration::from_secs(3600),
        wall: "2026-01-01T00:00:00Z".parse().expect("a time"),
    };
    let mut engine = Engine::new(setup.settings, &setup.seats, None, start);
    let times = machine.times();
    let steps = times.into_iter().enumerate().map(|(step, time)| {
        if step > 0 {
            machine.step(step);
        }
        let at = start.later(time);
        for ((sensor, _), seat) in setup.sensors.iter_mut().zip(&setup.seats) {
            engine.apply(&Batch {
                sensor: Arc::clone(&seat.name),
                at,
                took: Duration::from_millis(1),
                readings: sensor.read(),
            });
        }
        (time, Arc::new(engine.tick(at)))
    });
    steps.collect()
}

/// A page without what is left out.
fn page(snapshot: &Arc<Snapshot>) -> String {
    let page = exposition::openmetrics(snapshot);
    let kept = page.lines().filter(|line| {
        let name = line.split(' ').nth(2).filter(|_| line.starts_with('#'));
        let name = name.unwrap_or(line);
        !LEFT_OUT.iter().any(|family| name.starts_with(family))
    });
    kept.flat_map(|line| [line, "\n"]).collect()
}

fn golden(folder: &Path) -> String {
    let steps = snapshots(folder);
    let pages = steps.iter().enumerate();
    pages
        .map(|(step, (_, snapshot))| format!("## t{step}\n{}", page(snapshot)))
        .collect()
}

#[test]
fn golden_pages() {
    let folders = Machine::folders();
    assert!(
        folders.len() >= 8,
        "only {} fixture machines",
        folders.len()
    );
    let mut wrong = Vec::new();
    for folder in folders {
        let name = folder
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let new = golden(&folder);
        check(&name, &new);
        let path = folder.join("golden.prom");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&path, &new).expect("a golden page");
            continue;
        }
        let old = fs::read_to_string(&path).unwrap_or_default();
        if old != new {
            let (mut before, mut after) = (old.lines(), new.lines());
            let line = 1 + old
                .lines()
                .zip(new.lines())
                .take_while(|(old, new)| old == new)
                .count();
            wrong.push(format!(
                "{name}/golden.prom:{line}:\n  golden: {}\n  now:    {}",
                before.nth(line - 1).unwrap_or("(nothing)"),
                after.nth(line - 1).unwrap_or("(nothing)"),
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "pages have changed; if that is meant, run `make golden` and read the difference\n{}",
        wrong.join("\n")
    );
}

/// The samples of one page by name and labels.
type Samples = BTreeMap<String, f64>;

fn parse(name: &str, page: &str) -> Samples {
    let mut samples = Samples::new();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').expect("a value");
        let value = value.parse().expect("a number");
        let twice = samples.insert(series.to_owned(), value);
        assert!(twice.is_none(), "{name}: {series} is there twice");
    }
    samples
}

fn of<'a>(samples: &'a Samples, metric: &str) -> impl Iterator<Item = (&'a str, f64)> {
    let metric = metric.to_owned();
    samples.iter().filter_map(move |(series, value)| {
        let labels = series.strip_prefix(&metric)?;
        (labels.is_empty() || labels.starts_with('{')).then_some((labels, *value))
    })
}

fn sum(samples: &Samples, metric: &str) -> f64 {
    of(samples, metric).map(|(_, value)| value).sum()
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-6 * b.abs().max(1e-6)
}

/// What every golden file must hold, whoever wrote it.
fn check(name: &str, golden: &str) {
    let pages: Vec<Samples> = golden
        .split("## t")
        .skip(1)
        .map(|page| {
            let (_, page) = page.split_once('\n').expect("a page");
            assert!(page.ends_with("# EOF\n"), "{name}");
            parse(name, page)
        })
        .collect();
    assert!(pages.len() >= 3, "{name}: {} steps", pages.len());
    let mut before: Option<&Samples> = None;
    for (step, page) in pages.iter().enumerate() {
        let at = format!("{name} t{step}");
        sums(&at, page);
        metered(&at, page);
        if let Some(before) = before {
            rises(&at, before, page);
        }
        before = Some(page);
    }
    let last = pages.last().expect("a page");
    domains(name, last);
    assert!(
        sum(last, "gramwatt_node_energy_joules_total") > 0.0,
        "{name} used nothing"
    );
    assert!(
        sum(last, "gramwatt_node_co2e_grams_total") > 0.0,
        "{name} emitted nothing"
    );
}

fn sums(at: &str, page: &Samples) {
    for (devices, node) in [
        (
            "gramwatt_device_energy_joules_total",
            "gramwatt_node_energy_joules_total",
        ),
        ("gramwatt_device_power_watts", "gramwatt_node_power_watts"),
        (
            "gramwatt_device_co2e_grams_total",
            "gramwatt_node_co2e_grams_total",
        ),
        (
            "gramwatt_device_embodied_co2e_grams_total",
            "gramwatt_node_embodied_co2e_grams_total",
        ),
    ] {
        // Power of the node is absent while that of some device is not known.
        if node == "gramwatt_node_power_watts" && of(page, node).next().is_none() {
            continue;
        }
        let (parts, whole) = (sum(page, devices), sum(page, node));
        assert!(
            near(parts, whole),
            "{at}: {devices} {parts}, {node} {whole}"
        );
    }
    for (part, whole) in [
        (
            "gramwatt_node_modelled_energy_joules_total",
            "gramwatt_node_energy_joules_total",
        ),
        (
            "gramwatt_node_estimated_co2e_grams_total",
            "gramwatt_node_co2e_grams_total",
        ),
    ] {
        assert!(sum(page, part) <= sum(page, whole), "{at}: {part}");
    }
    assert!(
        sum(page, "gramwatt_ledger_residual_joules").abs() < 1e-6,
        "{at}"
    );
    for (series, value) in page {
        let negative = *value < 0.0 && !series.starts_with("gramwatt_ledger_residual");
        assert!(value.is_finite() && !negative, "{at}: {series} is {value}");
    }
    let infos: BTreeSet<&str> = of(page, "gramwatt_device_info")
        .filter_map(device)
        .collect();
    let known: BTreeSet<&str> = of(page, "gramwatt_device_energy_joules_total")
        .filter_map(device)
        .collect();
    assert_eq!(infos, known, "{at}: devices with an info and with joules");
}

/// Where a meter is in force and its power is known, the node's power is that, or that of devices that
/// draw more.
fn metered(at: &str, page: &Samples) {
    let in_force =
        of(page, "gramwatt_node_info").any(|(labels, _)| !labels.contains("meter=\"devices\""));
    let meters: Vec<f64> = of(page, "gramwatt_meter_power_watts")
        .filter(|(labels, _)| labels.contains("scope=\"node\""))
        .map(|(_, watts)| watts)
        .collect();
    if !in_force || meters.is_empty() {
        return;
    }
    let devices: f64 = of(page, "gramwatt_device_power_watts")
        .filter(|(labels, _)| !labels.contains("device=\"other\""))
        .map(|(_, watts)| watts)
        .sum();
    let told = meters.iter().sum::<f64>().max(devices);
    let node = sum(page, "gramwatt_node_power_watts");
    assert!(
        near(node, told),
        "{at}: the node draws {node} W, and its meter says {told} W"
    );
}

/// At the last step every part has been read again, so that domains fit into their devices.
fn domains(name: &str, page: &Samples) {
    for (labels, joules) in of(page, "gramwatt_domain_energy_joules_total") {
        let device = device((labels, joules)).expect("a device");
        let whole: f64 = of(page, "gramwatt_device_energy_joules_total")
            .filter(|(labels, _)| labels.contains(&format!("device=\"{device}\"")))
            .map(|(_, joules)| joules)
            .sum();
        assert!(
            joules <= whole * 1.000_001,
            "{name}: {labels} {joules} J inside {whole} J"
        );
    }
}

/// The device of a sample.
fn device((labels, _): (&str, f64)) -> Option<&str> {
    labels.split_once("device=\"")?.1.split('"').next()
}

/// How a device's joules are had.
fn method<'a>(page: &'a Samples, labels: &str) -> Option<&'a str> {
    let wanted = device((labels, 0.0));
    let mut infos = of(page, "gramwatt_device_info");
    let (info, _) = infos.find(|info| device(*info) == wanted)?;
    info.split_once("method=\"")?.1.split('"').next()
}

fn rises(at: &str, before: &Samples, page: &Samples) {
    for (series, old) in before {
        if series
            .split('{')
            .next()
            .is_some_and(|name| name.ends_with("_total"))
        {
            let new = page.get(series);
            assert!(
                new >= Some(old),
                "{at}: {series} went from {old} to {new:?}"
            );
        }
    }
    for (labels, watts) in of(page, "gramwatt_device_power_watts") {
        let joules = format!("gramwatt_device_energy_joules_total{labels}");
        // The last watts of a silent device may be shown for three intervals.
        let shown = before.get(&format!("gramwatt_device_power_watts{labels}"));
        if let (Some(old), Some(new)) = (before.get(&joules), page.get(&joules)) {
            // The power of `other` is that of the moment; its energy waits for the slowest reading, and
            // until what it owes is paid.
            let is_other = labels.contains("kind=\"other\"");
            // What was used while a counter gave way to power, nobody knows.
            let goes_on = method(before, labels) == method(page, labels);
            let stood = new == old && watts > 0.0 && shown != Some(&watts) && !is_other && goes_on;
            assert!(
                !stood,
                "{at}: {labels} draws {watts} W and its joules stand still"
            );
        }
    }
}

#[test]
fn a_wrong_golden_is_told() {
    let page = |joules: f64, package: f64| {
        format!(
            "gramwatt_device_energy_joules_total{{device=\"a\"}} {package}\n\
             gramwatt_device_info{{device=\"a\"}} 1\n\
             gramwatt_device_co2e_grams_total{{device=\"a\"}} 1\n\
             gramwatt_node_co2e_grams_total 1\ngramwatt_node_energy_joules_total {joules}\n# EOF\n"
        )
    };
    let file = |pages: [(f64, f64); 3]| {
        let pages = pages.iter().enumerate();
        let pages = pages.map(|(step, (a, b))| format!("## t{step}\n{}", page(*a, *b)));
        pages.collect::<String>()
    };
    let told = |pages| std::panic::catch_unwind(|| check("test", &file(pages))).is_err();
    assert!(!told([(1.0, 1.0), (2.0, 2.0), (3.0, 3.0)]));
    assert!(told([(1.0, 1.0), (2.0, 2.1), (3.0, 3.0)]), "sums");
    assert!(told([(1.0, 1.0), (2.0, 2.0), (1.5, 1.5)]), "a fall");
    assert!(told([(0.0, 0.0), (0.0, 0.0), (0.0, 0.0)]), "nothing");
    assert!(told([(-1.0, -1.0), (2.0, 2.0), (3.0, 3.0)]), "a negative");
    let power = |node: f64| {
        let page = format!(
            "gramwatt_node_info{{meter=\"psys\"}} 1\ngramwatt_node_power_watts {node}\n\
             gramwatt_meter_power_watts{{meter=\"psys\",scope=\"node\"}} 12\n\
             gramwatt_device_power_watts{{device=\"a\"}} 9\n"
        );
        std::panic::catch_unwind(|| metered("test", &parse("test", &page))).is_err()
    };
    assert!(!power(12.0) && power(17.4), "a meter that is not heeded");
}
