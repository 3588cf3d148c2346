use super::families::{Kind as Type, all};
use super::*;
use crate::ledger::Method;
use crate::sensor::{About, Kind, Part, Source};
use crate::snapshot::{Device, SensorHealth};
use crate::units::{Grams, Joules, Watts};
use std::collections::BTreeSet;

fn device(id: &str, model: &str) -> Device {
    let source = Source {
        part: Part::Device {
            id: id.into(),
            kind: Kind::Cpu,
        },
        about: About {
            model: model.into(),
            ..About::default()
        },
        ceiling: Watts(1.0),
        holds: &[],
    };
    Device {
        id: id.into(),
        kind: Kind::Cpu,
        source: Some(Arc::new(source)),
        sensor: "rapl".into(),
        method: Method::Counter,
        watts: None,
        joules: Joules(0.1 + 0.2),
        grams: None,
        flow: None,
        embodied: None,
        utilization: None,
        power_limit: None,
    }
}

fn page(devices: Vec<Device>) -> String {
    openmetrics(&Arc::new(Snapshot {
        devices,
        ..Snapshot::default()
    }))
}

fn samples(page: &str) -> Vec<&str> {
    page.lines().filter(|line| !line.starts_with('#')).collect()
}

#[test]
fn before_the_first_sample_there_is_only_what_is_known_without_one() {
    let page = openmetrics(&Arc::new(Snapshot::default()));
    let names: Vec<&str> = samples(&page)
        .iter()
        .map(|line| line.split('{').next().unwrap())
        .collect();
    assert_eq!(names, ["gramwatt_node_info", "gramwatt_build_info"]);
    assert!(page.ends_with("# EOF\n"));
}

#[test]
fn the_unknown_is_absent_and_the_known_is_exact() {
    let known = Device {
        watts: Some(Watts(0.0)),
        grams: Some(Grams(1.5)),
        ..device("package-1", "")
    };
    let page = page(vec![device("package-0", ""), known]);
    let of = |name: &str| -> Vec<String> {
        let lines = samples(&page).into_iter();
        let lines = lines.filter(|line| line.starts_with(&format!("{name}{{")));
        lines.map(ToOwned::to_owned).collect()
    };
    assert_eq!(
        of("gramwatt_device_power_watts"),
        [r#"gramwatt_device_power_watts{device="package-1",kind="cpu"} 0.0"#]
    );
    assert_eq!(
        of("gramwatt_device_co2e_grams_total"),
        [r#"gramwatt_device_co2e_grams_total{device="package-1",kind="cpu"} 1.5"#]
    );
    let energy = &of("gramwatt_device_energy_joules_total")[0];
    let value: f64 = energy.rsplit(' ').next().unwrap().parse().unwrap();
    assert_eq!(value.to_bits(), (0.1_f64 + 0.2).to_bits(), "{energy}");
    assert!(
        !page.contains("gramwatt_device_utilization_ratio"),
        "not even its comments"
    );
}

#[test]
fn a_name_cannot_break_out_of_its_label() {
    let evil = "a\"} 1\n# EOF\nb{c=\"\\";
    for page in [page(vec![device("x", evil)]), {
        text(&Arc::new(Snapshot {
            devices: vec![device("x", evil)],
            ..Snapshot::default()
        }))
    }] {
        let line = samples(&page)
            .into_iter()
            .find(|line| line.starts_with("gramwatt_device_info"))
            .unwrap();
        let escaped = r#"model="a\"} 1\n# EOF\nb{c=\"\\","#;
        assert!(line.contains(escaped), "{line}");
        assert!(!line.contains("vendor"), "an empty value is no label");
    }
}

#[test]
fn both_formats_hold_the_same_samples() {
    let sensor = SensorHealth {
        name: "rapl".into(),
        up: true,
        last: None,
        took: None,
        errors: vec![("io", 3)],
        wraps: 1,
        gaps: 0,
        faults: Arc::new([]),
    };
    let snapshot = Arc::new(Snapshot {
        devices: vec![device("package-0", "Xeon"), device("package-1", "Xeon")],
        sensors: vec![sensor],
        ..Snapshot::default()
    });
    let (open, classic) = (openmetrics(&snapshot), text(&snapshot));
    assert_eq!(samples(&open), samples(&classic));
    assert!(open.contains("# UNIT gramwatt_device_energy_joules joules\n"));
    assert!(open.contains("# TYPE gramwatt_device_energy_joules counter\n"));
    assert!(!classic.contains("# UNIT") && !classic.contains("# EOF"));
    assert!(classic.contains("# TYPE gramwatt_device_energy_joules_total counter\n"));
    assert!(classic.contains("# TYPE gramwatt_device_info gauge\n"));
    assert!(open.contains("gramwatt_sensor_errors_total{sensor=\"rapl\",reason=\"io\"} 3.0\n"));
}

#[test]
fn families_keep_to_the_conventions() {
    // What Prometheus and Kubernetes discovery attach themselves.
    let taken = [
        "job",
        "instance",
        "namespace",
        "pod",
        "container",
        "node",
        "service",
        "endpoint",
        "region",
        "zone",
        "cluster",
    ];
    let mut names = BTreeSet::new();
    for family in all() {
        let name = family.name();
        assert!(names.insert(name.clone()), "{name} is there twice");
        assert!(
            name.starts_with("gramwatt_") || name.starts_with("process_"),
            "{name}"
        );
        assert!(family.help.ends_with('.'), "{name}: {}", family.help);
        assert!(
            family.labels.iter().all(|label| !taken.contains(label)),
            "{name}"
        );
        let ends = |suffix| name.ends_with(suffix);
        assert_eq!(family.kind == Type::Counter, ends("_total"), "{name}");
        assert_eq!(family.kind == Type::Info, ends("_info"), "{name}");
    }
}

#[test]
fn the_reference_has_a_row_for_every_family() {
    let reference = reference();
    assert_eq!(reference.lines().count(), all().count() + 2);
    for family in all() {
        assert!(reference.contains(&format!("| `{}` |", family.name())));
    }
    assert!(
        reference
            .lines()
            .all(|line| line.matches(" | ").count() >= 3 || line.starts_with("|-"))
    );
}
