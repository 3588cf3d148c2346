//! A machine made of any files, over some seconds: whatever its sensors say, the books close, no number
//! on the page is absurd, and no counter falls.
#![no_main]

use gramwatt::clock;
use gramwatt::config::{Config, Intensity};
use gramwatt::engine::Engine;
use gramwatt::exposition;
use gramwatt::sampler;
use gramwatt::setup::Setup;
use gramwatt::snapshot::Snapshot;
use libfuzzer_sys::fuzz_target;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Where files can be. An input is records that end in a byte of 0; the first byte of a record tells
/// which file the rest is written to, or that a second passes.
const PLACES: [&str; 16] = [
    "class/powercap/intel-rapl:0/name",
    "class/powercap/intel-rapl:0/energy_uj",
    "class/powercap/intel-rapl:0/max_energy_range_uj",
    "class/powercap/intel-rapl:0/constraint_0_power_limit_uw",
    "class/powercap/intel-rapl:0:0/name",
    "class/powercap/intel-rapl:0:0/energy_uj",
    "class/powercap/intel-rapl:1/name",
    "class/powercap/intel-rapl:1/energy_uj",
    "class/powercap/intel-rapl-mmio:0/name",
    "class/powercap/intel-rapl-mmio:0/energy_uj",
    "class/hwmon/hwmon0/name",
    "class/hwmon/hwmon0/energy1_input",
    "class/hwmon/hwmon0/energy1_label",
    "class/hwmon/hwmon1/name",
    "class/hwmon/hwmon1/power1_average",
    "class/hwmon/hwmon1/power1_oem_info",
];

/// More are left out.
const MOMENTS: usize = 8;

fn config(root: &Path) -> Config {
    let mut config = Config::default();
    config.path.sysfs = root.to_owned();
    config.path.procfs = root.join("proc");
    config.grid.intensity = Intensity::try_from(400.0).ok();
    // It reads none of these files, and looks its processor up in a long table.
    config.sensors.model.enabled = false;
    config
}

fn write(root: &Path, place: &str, content: &[u8]) {
    let path = root.join(place);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn check(before: Option<&Snapshot>, now: &Arc<Snapshot>) {
    let total = now.node.joules.map_or(0.0, |joules| joules.0);
    assert!(total.is_finite() && total >= 0.0, "{total} J");
    assert!(
        now.node.residual.0.abs() <= 1e-9 * total.max(1.0),
        "the books do not close"
    );
    let devices: f64 = now.devices.iter().map(|device| device.joules.0).sum();
    assert!(
        (devices - total).abs() <= 1e-9 * total.max(1.0),
        "{devices} J of {total} J"
    );
    for old in before.iter().flat_map(|before| &before.devices) {
        let new = now
            .devices
            .iter()
            .find(|device| device.id == old.id)
            .unwrap();
        assert!(new.joules.0 >= old.joules.0, "{} fell", old.id);
    }
    let page = exposition::openmetrics(now);
    assert!(page.ends_with("# EOF\n"));
    let values = page.lines().filter(|line| !line.starts_with('#'));
    for value in values.filter_map(|line| line.rsplit(' ').next()) {
        assert!(value.parse::<f64>().is_ok_and(f64::is_finite), "{value}");
    }
}

/// The place that a record's first byte names; `None` where it says that a second passes.
fn place(first: u8) -> Option<&'static str> {
    PLACES.get(usize::from(first).wrapping_sub(1)).copied()
}

fuzz_target!(|input: &[u8]| {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let mut records = input
        .split(|byte| *byte == 0)
        .filter_map(<[u8]>::split_first)
        .peekable();
    while let Some((first, content)) = records.next_if(|(first, _)| place(**first).is_some()) {
        write(root, place(*first).unwrap(), content);
    }
    let mut setup = Setup::new(&config(root)).unwrap();
    let mut now = clock::now();
    let mut engine = Engine::new(setup.settings.clone(), &setup.seats, None, now);
    let mut before: Option<Arc<Snapshot>> = None;
    for _ in 0..MOMENTS {
        for (sensor, _) in &mut setup.sensors {
            let name = sensor.name().into();
            let mut batch = sampler::read(sensor.as_mut(), &name);
            batch.at = now;
            engine.apply(&batch);
        }
        let snapshot = Arc::new(engine.tick(now));
        check(before.as_deref(), &snapshot);
        before = Some(snapshot);
        if records.next().is_none() {
            return;
        }
        now = now.later(Duration::from_secs(1));
        while let Some((first, content)) = records.next_if(|(first, _)| place(**first).is_some()) {
            write(root, place(*first).unwrap(), content);
        }
    }
});
