//! Every command: what it prints, where, and how it ends.

use crate::moving::Machine;
use crate::program::{Program, Series, run, until};
use gramwatt::cli::Cli;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Output;

/// What a command that succeeds prints; nothing goes to standard error.
fn printed(output: Output) -> String {
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(said, "");
    String::from_utf8(output.stdout).unwrap()
}

/// Flags for this machine, with books of its own.
fn here(machine: &Machine, more: &[&str]) -> Vec<String> {
    let state = format!("--state.directory={}", machine.state().display());
    let more = more.iter().map(|flag| (*flag).to_owned());
    [state].into_iter().chain(more).collect()
}

const ONCE: [&str; 4] = [
    "once",
    "--seconds=0.3",
    "--sensors.interval=100ms",
    "--grid.zone=DE",
];

#[test]
fn once_prints_a_table() {
    let machine = Machine::two_packages();
    let table = printed(run(machine.with(&ONCE)));
    for row in [
        "device ",
        "package-0 ",
        "package-1 ",
        "dram-0 ",
        "node ",
        "note: PUE not set",
    ] {
        assert!(
            table.lines().any(|line| line.starts_with(row)),
            "no {row}: {table}"
        );
    }
    assert!(table.contains("counter") && table.contains("modelled"));
}

#[test]
fn once_prints_json() {
    let machine = Machine::two_packages();
    let json = printed(run(machine.with(&[&ONCE[..], &["--format=json"]].concat())));
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["demo"], false);
    assert_eq!(json["grid"]["zone"], "DE");
    let devices = json["devices"].as_array().unwrap();
    let package = devices
        .iter()
        .find(|device| device["device"] == "package-0")
        .unwrap();
    assert_eq!(package["kind"], "cpu");
    assert_eq!(package["method"], "counter");
    assert_eq!(package["energy_joules"], 0.0);
    let sum: f64 = devices
        .iter()
        .filter_map(|device| device["energy_joules"].as_f64())
        .sum();
    assert!((json["node"]["energy_joules"].as_f64().unwrap() - sum).abs() < 1e-9);
}

#[test]
fn once_prints_openmetrics() {
    let machine = Machine::two_packages();
    let page = printed(run(
        machine.with(&[&ONCE[..], &["--format=openmetrics"]].concat())
    ));
    assert!(page.ends_with("# EOF\n"));
    let series = Series::of(&page);
    assert_eq!(
        series
            .starting("gramwatt_device_energy_joules_total")
            .count(),
        4
    );
    assert_eq!(series.get("gramwatt_sensor_up{sensor=\"rapl\"}"), 1.0);
}

#[test]
fn once_measures_this_machine() {
    let machine = Machine::bare();
    // At the default pace and time, in which a model has no more than one interval to speak of.
    let json = printed(run(here(&machine, &["once", "--format=json"])));
    let json: Value = serde_json::from_str(&json).unwrap();
    let watts = json["node"]["power_watts"].as_f64().unwrap();
    println!("this machine: {watts:.1} W over 1 s");
    assert!(watts > 0.0);
    assert!(
        json["node"]["energy_joules"].as_f64().unwrap() > 0.0,
        "{json:#}"
    );
}

#[test]
fn doctor_finds_a_well_machine_well() {
    let machine = Machine::two_packages();
    let text = printed(run(machine.with(&["doctor", "--grid.zone=DE"])));
    for word in [
        "rapl",
        "found",
        "package-0",
        "package-1",
        "model",
        "demo     off",
        "books",
        "DE",
    ] {
        assert!(text.contains(word), "no {word}: {text}");
    }
    assert!(!text.contains("UNREADABLE"), "{text}");
}

#[test]
fn doctor_names_what_is_amiss_and_its_mend() {
    let machine = Machine::two_packages();
    let energy = machine.path("sys/class/powercap/intel-rapl:1/energy_uj");
    fs::remove_file(&energy).unwrap();
    fs::create_dir(&energy).unwrap();
    let output = run(machine.with(&["doctor"]));
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines = text.lines().skip_while(|line| !line.contains("UNREADABLE"));
    assert!(lines.next().unwrap().contains("package-1"), "{text}");
    assert!(lines.next().unwrap().contains("mend: "), "{text}");

    let masked = Machine::bare();
    std::os::unix::fs::symlink(
        "../../devices/virtual/powercap/intel-rapl/intel-rapl:0",
        masked.path("sys/class/powercap/intel-rapl:0"),
    )
    .unwrap();
    let output = run(masked.with(&["doctor"]));
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("mend: ") && text.contains("--path.sysfs=/host/sys"),
        "{text}"
    );
}

#[test]
fn doctor_examines_this_machine_and_a_running_gramwatt() {
    let machine = Machine::two_packages();
    let output = run(here(&machine, &["doctor"]));
    let text = String::from_utf8(output.stdout).unwrap();
    let amiss = text.contains("UNREADABLE");
    assert_eq!(output.status.code(), Some(i32::from(amiss)), "{text}");
    for family in gramwatt::sensor::FAMILIES {
        assert!(
            text.lines().any(|line| line.starts_with(family.name)),
            "{text}"
        );
    }

    let _program = Program::start(machine.flags());
    let text = printed(run(machine.with(&["doctor"])));
    assert!(text.contains("kept by a running gramwatt"), "{text}");
}

#[test]
fn check_config_says_that_a_file_is_right() {
    let machine = Machine::bare();
    let text =
        "node: {pue: 1.3}\ngrid: {zone: DE, market: {intensity: 0}}\nsensors: {interval: 2s}\n";
    let file = machine.write("gramwatt.yml", text).display().to_string();
    assert_eq!(
        printed(run(["check-config", &file])),
        format!("{file}: right\n")
    );
}

#[test]
fn check_config_prints_the_warnings_of_the_web_configuration() {
    let machine = Machine::bare();
    let hash = "$2y$04$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01232";
    let web = machine.write("web.yml", format!("basic_auth_users: {{ada: '{hash}'}}\n"));
    let text = format!("web: {{config_file: {}}}\n", web.display());
    let file = machine.write("gramwatt.yml", text).display().to_string();
    let said = printed(run(["check-config", &file]));
    assert!(
        said.contains("web.yml: warning: basic authentication without TLS"),
        "{said}"
    );
    assert!(said.ends_with("gramwatt.yml: right\n"), "{said}");
}

#[test]
fn references_are_tables() {
    let metrics = printed(run(["metrics"]));
    assert_eq!(metrics, gramwatt::exposition::reference());
    assert!(metrics.contains("| `gramwatt_node_energy_joules_total` | counter |"));
    let config = printed(run(["config-reference"]));
    assert_eq!(config, gramwatt::config::reference());
    for table in [metrics, config] {
        let columns = table.lines().next().unwrap().matches('|').count();
        assert!(columns >= 4);
        assert!(
            table
                .lines()
                .all(|line| line.starts_with("| ") || line.starts_with("|-"))
        );
    }
}

#[test]
fn help_names_every_flag_and_command() {
    let help = printed(run(["--help"]));
    for argument in Cli::command().get_arguments() {
        let long = format!("--{}", argument.get_long().unwrap());
        assert!(
            help.split_whitespace().any(|word| word == long),
            "no {long}: {help}"
        );
    }
    for command in Cli::command().get_subcommands() {
        assert!(
            help.contains(command.get_name()),
            "no {}: {help}",
            command.get_name()
        );
        let help = printed(run([command.get_name(), "--help"]));
        assert!(help.contains("Usage: gramwatt"), "{help}");
    }
    for flag in [
        "--config.file",
        "--web.listen-address",
        "--web.config.file",
        "--web.telemetry-path",
        "--path.sysfs",
        "--path.procfs",
        "--state.directory",
        "--demo",
        "--log.level",
        "--log.format",
        "--sensor.rapl",
        "--no-sensor.rapl",
    ] {
        assert!(help.contains(flag), "no {flag}: {help}");
    }
}

#[test]
fn version_is_that_of_the_package() {
    let version = printed(run(["--version"]));
    assert_eq!(version, format!("gramwatt {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_demo_says_everywhere_that_it_is_one() {
    let machine = Machine::bare();
    let program = Program::start(machine.with(&["--demo", "--sensors.interval=100ms"]));
    let page = until("the demo has power", || {
        let page = program.metrics();
        page.find("gramwatt_node_power_watts").map(|_| page)
    });
    let mut info = page.starting("gramwatt_node_info");
    assert!(info.any(|(name, _)| name.contains("demo=\"true\"")));
    assert!(page.starting("gramwatt_device_power_watts").count() >= 10);
    assert!(
        page.starting("gramwatt_sensor_up")
            .all(|(name, _)| name.contains("\"demo\""))
    );
    let status = program.get("/");
    assert_eq!(status.status, 200);
    assert!(status.body.to_lowercase().contains("synthetic"));
    let devices = program.metrics();
    let devices = devices.starting("gramwatt_device_power_watts").count();
    let said = || program.log.text().to_lowercase();
    until("every device is in the log", || {
        (said().matches("device=").count() >= devices).then_some(())
    });
    for line in said().lines().filter(|line| line.contains("device=")) {
        assert!(line.contains("synthetic"), "{line}");
    }
    let table = printed(run(machine.with(&["once", "--seconds=0.2", "--demo"])));
    assert!(table.contains("synthetic"));

    let machine = Machine::two_packages();
    let real = Program::start(machine.with(&["--sensors.interval=100ms"]));
    let page = real.metrics();
    let mut info = page.starting("gramwatt_node_info");
    assert!(!info.any(|(name, _)| name.contains("demo=\"true\"")));
}

#[test]
fn once_shows_what_the_meter_in_force_says() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/server-acpi/t0");
    let machine = Machine::bare();
    let paths = ["sys", "proc"].map(|name| {
        let path = fixture.join(name);
        format!("--path.{name}fs={}", path.display())
    });
    let flags = [
        &paths[0],
        paths[1].as_str(),
        "once",
        "--format=json",
        "--no-sensor.rapl",
    ];
    let json: Value = serde_json::from_str(&printed(run(here(&machine, &flags)))).unwrap();
    assert_eq!(json["node"]["meter"], "acpi");
    // The fixture's meter stands at 402 W, and the models take no more than it leaves.
    let joules = json["node"]["energy_joules"].as_f64().unwrap();
    assert!((joules - 402.0).abs() < 25.0, "{json:#}");
}
