//! Programs that the configuration names, run by the shipped binary.

use crate::moving::{Machine, Mover, Track};
use crate::program::{Program, Series, run, until};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

/// Power of the counted device, which its program makes of the time since boot.
const WATTS: f64 = 200.0;

/// A machine with programs: `{name}` with the lines of its script, and more of its entry.
fn machine(programs: &[(&str, &str, &str)]) -> (Machine, String) {
    let machine = Machine::two_packages();
    let mut config =
        String::from("grid: {intensity: 400}\nsensors:\n  interval: 200ms\n  command:\n");
    for (name, script, more) in programs {
        let path = machine.path(name);
        if !script.is_empty() {
            fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        config += &format!(
            "  - {{name: {name}, program: {}, interval: 1s{more}}}\n",
            path.display()
        );
    }
    let file = machine.write("gramwatt.yml", config);
    let flag = format!("--config.file={}", file.display());
    (machine, flag)
}

fn joules(page: &Series, device: &str) -> Option<f64> {
    page.find(&format!(
        "gramwatt_device_energy_joules_total{{device=\"{device}\",kind=\"gpu\"}}"
    ))
}

fn watts(page: &Series, device: &str) -> Option<f64> {
    page.find(&format!(
        "gramwatt_device_power_watts{{device=\"{device}\",kind=\"gpu\"}}"
    ))
}

fn up(page: &Series, sensor: &str) -> f64 {
    page.get(&format!("gramwatt_sensor_up{{sensor=\"{sensor}\"}}"))
}

fn errors(page: &Series, sensor: &str, reason: &str) -> f64 {
    page.get(&format!(
        "gramwatt_sensor_errors_total{{sensor=\"{sensor}\",reason=\"{reason}\"}}"
    ))
}

fn near(is: f64, should: f64) {
    assert!(
        (is - should).abs() <= 1e-6 * should.abs(),
        "{is}, should be {should}"
    );
}

fn books_close(page: &Series) {
    for (parts, whole) in [
        ("gramwatt_device_power_watts{", "gramwatt_node_power_watts"),
        (
            "gramwatt_device_energy_joules_total{",
            "gramwatt_node_energy_joules_total",
        ),
        (
            "gramwatt_device_co2e_grams_total{",
            "gramwatt_node_co2e_grams_total",
        ),
    ] {
        let sum: f64 = page.starting(parts).map(|(_, value)| value).sum();
        near(sum, page.get(whole));
    }
}

/// Two packages that draw 100 W each.
fn packages(machine: &Machine) -> Mover {
    let track = |zone, device, from| Track {
        zone,
        device,
        from,
        watts: 100.0,
        period: 0.0,
    };
    let tracks = vec![
        track("intel-rapl:0", "package-0", 1_000_000_000),
        track("intel-rapl:1", "package-1", 2_000_000_000),
    ];
    Mover::start(machine, tracks)
}

#[test]
fn what_programs_tell_is_booked_and_one_that_hangs_costs_itself() {
    let counted = format!(
        "read up rest < /proc/uptime\necho device,kind,joules,utilization,model\n\
         echo \"tpu-0,gpu,$(awk \"BEGIN {{ printf \\\"%.3f\\\", $up * {WATTS} }}\"),50%,TPU\""
    );
    let (machine, flag) = machine(&[
        // Also a package, which RAPL reads, and a line that is none.
        (
            "gaudi",
            "printf 'hl-0,gpu,312.5\\nhl-1,gpu,300\\npackage-0,cpu,999\\nnonsense\\n'",
            "",
        ),
        ("tpu", &counted, ""),
        ("hangs", "echo hl-9,gpu,100; sleep 60", ", timeout: 900ms"),
        (
            "fails",
            "echo hl-8,gpu,100; echo 'no driver' >&2; exit 3",
            "",
        ),
        ("floods", "yes hl-7,gpu,100", ""),
    ]);
    let mover = packages(&machine);
    let program = Program::start(machine.with(&[&flag]));
    mover.run();
    let mut longest = Duration::ZERO;
    let mut pages = 0;
    let page = until("all programs have had several turns", || {
        let before = Instant::now();
        let page = program.metrics();
        longest = longest.max(before.elapsed());
        pages += 1;
        let is_booked = joules(&page, "hl-0").is_some_and(|joules| joules > 800.0)
            && joules(&page, "tpu-0").is_some_and(|joules| joules > 600.0);
        (is_booked && errors(&page, "command-hangs", "timeout") >= 2.0).then_some(page)
    });
    println!("{pages} scrapes, the longest {longest:?}");
    assert!(longest < Duration::from_secs(1), "{longest:?}");

    near(watts(&page, "hl-0").unwrap(), 312.5);
    near(watts(&page, "hl-1").unwrap(), 300.0);
    let counted = watts(&page, "tpu-0").unwrap();
    // The kernel tells its uptime in hundredths.
    assert!((counted - WATTS).abs() < 0.25 * WATTS, "{counted} W");
    near(
        page.get("gramwatt_device_utilization_ratio{device=\"tpu-0\",kind=\"gpu\"}"),
        0.5,
    );
    for device in ["hl-7", "hl-8", "hl-9"] {
        assert_eq!(joules(&page, device), None, "{device}");
    }
    let info = |start: &str| {
        page.starting(start)
            .map(|(name, _)| name.to_owned())
            .collect::<Vec<_>>()
    };
    let infos = info("gramwatt_device_info{device=\"tpu-0\"");
    assert!(
        infos[0].contains("model=\"TPU\",driver=\"tpu\",sensor=\"command-tpu\",method=\"counter\""),
        "{infos:?}"
    );
    let infos = info("gramwatt_device_info{device=\"package-0\"");
    assert!(
        infos.len() == 1 && infos[0].contains("sensor=\"rapl\""),
        "{infos:?}"
    );

    for sensor in ["rapl", "model", "command-gaudi", "command-tpu"] {
        near(up(&page, sensor), 1.0);
    }
    for sensor in ["command-hangs", "command-fails", "command-floods"] {
        assert_eq!(up(&page, sensor), 0.0, "{sensor}");
    }
    assert!(errors(&page, "command-gaudi", "parse") >= 2.0);
    assert!(errors(&page, "command-fails", "device") >= 2.0);
    assert!(errors(&page, "command-floods", "device") >= 1.0);

    books_close(&page);
    // The packages were not kept waiting.
    let truth = mover.rest();
    until("nothing of the packages is lost", || {
        let page = program.metrics();
        let is_whole = |device: &&str| {
            let name =
                format!("gramwatt_device_energy_joules_total{{device=\"{device}\",kind=\"cpu\"}}");
            (page.get(&name) - truth.joules[*device]).abs() < 1e-3
        };
        ["package-0", "package-1"]
            .iter()
            .all(is_whole)
            .then_some(())
    });
    let log = program.log.text();
    for words in [
        "exit code 3: no driver",
        "did not end within 900ms",
        "printed more than 64 KiB",
    ] {
        assert!(log.contains(words), "no {words}: {log}");
    }
    let before = Instant::now();
    assert!(program.terminate().success());
    println!("ended after {:?} while a program hung", before.elapsed());
}

#[test]
fn doctor_runs_each_program_once_and_tells_what_came() {
    let (machine, flag) = machine(&[
        (
            "gaudi",
            "echo run >> ${0}.runs; echo hl-0,gpu,312.5; echo hl-0",
            ", arguments: [hunter2]",
        ),
        ("none", "", ""),
        ("empty", "exit 0", ""),
        ("fails", "exit 3", ""),
    ]);
    let output = run(machine.with(&[&flag, "doctor"]));
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    for words in [
        "found      hl-0: ",
        "/gaudi: draws 312.5 W",
        "UNREADABLE command-gaudi: ",
        "/gaudi line 2: cannot understand \"hl-0\"",
        "UNREADABLE command-none: ",
        "mend: install it at ",
        "/empty: answered, and tells of no device",
        "UNREADABLE command-fails: ",
        "ended with exit code 3",
    ] {
        assert!(text.contains(words), "no {words}: {text}");
    }
    assert!(!text.contains("hunter2"), "{text}");
    let runs = fs::read_to_string(machine.path("gaudi.runs")).unwrap();
    assert_eq!(runs, "run\n", "and none at the start");
}

#[test]
fn a_configuration_that_names_no_program_starts_nothing() {
    let machine = Machine::bare();
    for (entries, words) in [
        (
            "[{name: a, program: hl-smi}]",
            "give the whole path, such as /usr/local/bin/a",
        ),
        (
            "[{name: a, program: /t}, {name: a, program: /u}]",
            "two programs are named a",
        ),
        (
            "[{name: a, program: /t, interval: 5s, timeout: 5s}]",
            "timeout 5s must be less than interval 5s",
        ),
    ] {
        let file = machine.write("gramwatt.yml", format!("sensors:\n  command: {entries}\n"));
        let flag = format!("--config.file={}", file.display());
        let output = run(machine.with(&[&flag]));
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(words) && told.contains("command"), "{told}");
    }
}
