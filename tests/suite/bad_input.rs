//! Whatever a person, a kernel or a stranger on the network gets wrong: a clear word and exit code 2, a
//! refused reload, or one part lost and all others well.

use crate::moving::Machine;
use crate::program::{Program, Series, answer, get, run, until, until_within};
use nix::sys::socket::{setsockopt, sockopt};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::ffi::OsString;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::ffi::OsStringExt;
use std::thread;
use std::time::{Duration, Instant};

const FREE_PORT: &str = "--web.listen-address=127.0.0.1:0";
const FAST: &str = "--sensors.interval=100ms";

/// The program does not start: exit code 2, and one message with all of `words`.
fn refused(machine: &Machine, flags: &[&str], words: &[&str]) {
    let output = run(machine.with(flags));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{flags:?}: {said}");
    for word in words {
        assert!(said.contains(word), "{flags:?}: no {word:?} in {said}");
    }
    let errors = said
        .lines()
        .filter(|line| line.starts_with("gramwatt: ") || line.starts_with("error: "));
    assert_eq!(errors.count(), 1, "{flags:?}: {said}");
    assert!(
        !said.contains("panicked") && said.len() < 1500,
        "{flags:?}: {said}"
    );
    let message = said.lines().last().unwrap_or_default();
    for half in message.split(": ").filter(|part| part.len() > 12) {
        assert_eq!(
            message.matches(half).count(),
            1,
            "said twice: {half}: {said}"
        );
    }
}

/// Files that are no configuration, and what must be said of them.
const CONFIGURATIONS: [(&str, &[&str]); 12] = [
    (
        "grid:\n  zoen: DE\n",
        &["grid", "zoen", "line 2 column 3", "did you mean `zone`"],
    ),
    (
        "snesors: {}\n",
        &["snesors", "line 1 column 1", "did you mean `sensors`"],
    ),
    (
        "sensors:\n  rapl: {enabled: perhaps}\n",
        &["sensors.rapl.enabled", "boolean", "line 2"],
    ),
    (
        "sensors: {interval: [1]}\n",
        &["sensors.interval", "string", "line 1"],
    ),
    ("sensors: {interval: 2ms}\n", &["2ms", "100ms to 1m"]),
    ("grid: {intensity: -3}\n", &["-3", "0 to 2000", "line 1"]),
    ("grid: {market: {intensity: -1}}\n", &["-1", "0 to 2000"]),
    ("node: {pue: 0.99}\n", &["0.99", "at least 1"]),
    ("node: {meter: acpy}\n", &["acpy", "did you mean `acpi`"]),
    (
        "grid: {zone: Germany-South}\n",
        &["grid.zone", "Germany-South", "nearest", "DE (Germany)"],
    ),
    (
        "grid: {cloud: {provider: aws, region: eu-centrl-1}}\n",
        &["grid.cloud", "eu-centrl-1", "nearest", "eu-central-1"],
    ),
    ("grid: {zone: DE\n", &["line"]),
];

#[test]
fn a_wrong_configuration_is_refused_with_place_and_mend() {
    let machine = Machine::two_packages();
    for (text, words) in CONFIGURATIONS {
        let file = machine.write("gramwatt.yml", text);
        let config = format!("--config.file={}", file.display());
        refused(&machine, &[&config, FREE_PORT], words);
        let file = file.display().to_string();
        refused(&machine, &["check-config", &file], words);
    }
}

#[test]
fn a_file_that_cannot_be_a_configuration_is_refused() {
    let machine = Machine::two_packages();
    let large = machine.write("large.yml", vec![b'#'; 2 << 20]);
    let binary = machine.write("binary.yml", [0xff, 0xfe, 0]);
    let config = |path: &std::path::Path| format!("--config.file={}", path.display());
    refused(&machine, &[&config(&large)], &["large.yml", "1 MiB"]);
    refused(&machine, &[&config(&binary)], &["binary.yml", "UTF-8"]);
    refused(
        &machine,
        &[&config(&machine.path("sys"))],
        &["sys", "not a regular file", "readable file"],
    );
    refused(
        &machine,
        &[&config(&machine.path("none.yml"))],
        &["none.yml", "No such file"],
    );
    for path in [&binary, &machine.path("none.yml")] {
        let path = path.display().to_string();
        let said = run(["check-config", &path]).stderr;
        assert!(!String::from_utf8_lossy(&said).contains("--config.file"));
    }
    let pipe = machine.path("pipe");
    let mode = rustix::fs::Mode::RUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    refused(&machine, &[&config(&pipe)], &["pipe", "regular file"]);
    let zero = std::path::Path::new("/dev/zero");
    refused(&machine, &[&config(zero)], &["/dev/zero", "regular file"]);
}

#[test]
fn contradictions_in_a_file_name_the_file() {
    let machine = Machine::two_packages();
    for (text, word) in [
        (
            "grid: {zone: DE, cloud: {provider: aws, region: eu-central-1}}\n",
            "zone or cloud",
        ),
        ("web: {telemetry_path: metrics}\n", "web.telemetry_path"),
        ("web: {listen_address: [':100610']}\n", "100610"),
    ] {
        let file = machine.write("gramwatt.yml", text).display().to_string();
        refused(
            &machine,
            &[&format!("--config.file={file}")],
            &["gramwatt.yml: ", word],
        );
        refused(
            &machine,
            &["check-config", &file],
            &["gramwatt.yml: ", word],
        );
    }
    let file = machine.write("gramwatt.yml", "{}\n").display().to_string();
    let flags = machine.with(&[
        &format!("--config.file={file}"),
        "--web.telemetry-path=metrics",
    ]);
    let said = run(flags).stderr;
    assert!(!String::from_utf8_lossy(&said).contains("gramwatt.yml"));
}

#[test]
fn a_wrong_flag_is_refused() {
    let machine = Machine::two_packages();
    for (flag, words) in [
        ("--grid.zoen=DE", &["--grid.zoen", "--grid.zone"][..]),
        ("--grid.intensity=-1", &["-1", "0 to 2000"]),
        ("--grid.intensity=NaN", &["NaN", "0 to 2000"]),
        ("--node.pue=0.5", &["0.5", "at least 1"]),
        ("--grid.zone=Germany", &["Germany", "DE (Germany)"]),
        ("--sensors.interval=soon", &["soon", "100ms to 1m"]),
        ("--node.meter=wall", &["wall", "psys"]),
        ("--web.telemetry-path=metrics", &["telemetry_path", "/"]),
        ("--log.level=loud", &["loud", "debug"]),
        (
            "--no-sensor.rapel",
            &["--no-sensor.rapel", "--no-sensor.rapl"],
        ),
    ] {
        refused(&machine, &[flag, FREE_PORT], words);
    }
}

#[test]
fn a_mount_that_is_not_there_is_refused() {
    for key in ["path.sysfs", "path.procfs"] {
        let output = run([&format!("--{key}=/no/such"), FREE_PORT]);
        assert_eq!(output.status.code(), Some(2), "{key}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(key) && said.contains("/no/such"), "{said}");
    }
}

#[test]
fn an_address_that_cannot_be_had_is_refused() {
    let machine = Machine::two_packages();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let listen = |address: &str| format!("--web.listen-address={address}");
    refused(
        &machine,
        &[&listen(&address)],
        &[&address, "in use", "choose another"],
    );
    for address in [
        "nonsense",
        "127.0.0.1:99999",
        "http://127.0.0.1:1",
        "::1:80",
    ] {
        refused(&machine, &[&listen(address)], &[address, "cannot listen"]);
    }
}

#[test]
fn a_wrong_web_configuration_is_refused() {
    let machine = Machine::two_packages();
    let certificate = || generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let CertifiedKey { cert, signing_key } = certificate();
    machine.write("cert.pem", cert.pem());
    machine.write("key.pem", signing_key.serialize_pem());
    machine.write("other.pem", certificate().signing_key.serialize_pem());
    machine.write("broken.pem", &cert.pem()[..200]);
    let pair = |cert: &str, key: &str| {
        format!("tls_server_config: {{cert_file: {cert}, key_file: {key}}}\n")
    };
    let secret = "correct-horse-battery";
    for (text, words) in [
        (pair("cert.pem", "other.pem"), &["key"][..]),
        (pair("broken.pem", "key.pem"), &["broken.pem"]),
        (pair("cert.pem", "broken.pem"), &["broken.pem"]),
        (pair("none.pem", "key.pem"), &["none.pem", "No such file"]),
        (
            "tls_servr_config: {}\n".into(),
            &["tls_servr_config", "did you mean `tls_server_config`"],
        ),
        (
            format!("basic_auth_users: {{ada: {secret}}}\n"),
            &["basic_auth_users", "bcrypt"],
        ),
    ] {
        let file = machine.write("web.yml", &text);
        let flag = format!("--web.config.file={}", file.display());
        let mut words = words.to_vec();
        words.push("web.yml");
        refused(&machine, &[&flag, FREE_PORT], &words);
        let said = run(machine.with(&[&flag, FREE_PORT])).stderr;
        assert!(!String::from_utf8_lossy(&said).contains(secret));
    }
}

#[test]
fn books_that_cannot_be_kept_are_refused() {
    let machine = Machine::two_packages();
    let first = Program::start(machine.with(&[FAST]));
    let state = machine.state().display().to_string();
    refused(
        &machine,
        &[FREE_PORT],
        &[&state, "another gramwatt", "--state.directory"],
    );
    assert!(first.terminate().success());

    let file = machine.write("file", "");
    let elsewhere = Machine::two_packages();
    fs::remove_dir_all(elsewhere.state()).unwrap();
    std::os::unix::fs::symlink(&file, elsewhere.state()).unwrap();
    refused(&elsewhere, &[FREE_PORT], &["state", "--state.directory"]);

    let bootless = Machine::two_packages();
    fs::remove_file(bootless.path("proc/sys/kernel/random/boot_id")).unwrap();
    refused(&bootless, &[FREE_PORT], &["path.procfs", "boot_id"]);
}

/// The factor in force, with its name.
fn intensity(page: &Series) -> Vec<(String, f64)> {
    let all = page.starting("gramwatt_grid_carbon_intensity_grams_per_kwh");
    all.map(|(name, value)| (name.to_owned(), value)).collect()
}

#[test]
fn a_bad_reload_changes_nothing() {
    let machine = Machine::two_packages();
    let good = "grid: {zone: FR}\nnode: {pue: 1.5}\n";
    let file = machine.write("gramwatt.yml", good);
    let config = format!("--config.file={}", file.display());
    let program = Program::start(machine.with(&[&config, FAST]));
    let before = intensity(&program.metrics());
    assert_eq!(before.len(), 1);
    for (text, words) in CONFIGURATIONS {
        machine.write("gramwatt.yml", text);
        let answer = program.reload();
        assert_eq!(answer.status, 500, "{text}: {}", answer.body);
        for word in words {
            assert!(
                answer.body.contains(word),
                "{text}: no {word:?} in {}",
                answer.body
            );
        }
        let page = program.metrics();
        assert_eq!(intensity(&page), before);
        assert_eq!(page.get("gramwatt_pue_ratio"), 1.5);
    }
    machine.write("gramwatt.yml", "demo: true\n");
    let synthetic = program.reload();
    assert_eq!(synthetic.status, 500, "synthetic joules in real books");
    assert!(synthetic.body.contains("demo"), "{}", synthetic.body);
    fs::remove_file(&file).unwrap();
    assert_eq!(program.reload().status, 500);
    assert_eq!(intensity(&program.metrics()), before);
    let stays = "the running configuration stays in force";
    assert_eq!(
        program.log.text().matches(stays).count(),
        CONFIGURATIONS.len() + 2
    );

    machine.write("gramwatt.yml", "grid: {zone: PL}\n");
    assert_eq!(program.reload().status, 200);
    until("the new configuration is in force", || {
        (intensity(&program.metrics()) != before).then_some(())
    });
}

/// Breaks one thing of `package-0`; `package-1` goes on, and the fault is told.
fn costs_one_zone(what: &str, break_it: impl FnOnce(&Machine)) {
    let machine = Machine::two_packages();
    break_it(&machine);
    let program = Program::start(machine.with(&[FAST, "--no-sensor.model"]));
    let page = until(what, || {
        let page = program.metrics();
        let watts = page.find("gramwatt_device_power_watts{device=\"package-1\",kind=\"cpu\"}");
        watts.map(|_| page)
    });
    assert_eq!(
        page.starting("gramwatt_device_power_watts").count(),
        1,
        "{what}"
    );
    assert_eq!(
        page.get("gramwatt_sensor_up{sensor=\"rapl\"}"),
        1.0,
        "{what}"
    );
    let errors: f64 = page
        .starting("gramwatt_sensor_errors_total")
        .map(|(_, n)| n)
        .sum();
    assert!(errors >= 1.0, "{what}");
    let log = program.log.text();
    let line = log
        .lines()
        .find(|line| line.contains("cannot read"))
        .unwrap();
    assert!(
        line.contains("intel-rapl") && line.contains("mend="),
        "{what}: {line}"
    );
    assert!(line.len() < 1000, "{what}: {line}");
    assert!(!log.contains("panicked"), "{what}: {log}");
    assert_eq!(program.get("/").status, 200);
    assert!(program.terminate().success());
}

const ENERGY: &str = "sys/class/powercap/intel-rapl:0/energy_uj";

#[test]
fn a_broken_counter_costs_that_counter() {
    for (what, content) in [
        ("empty", vec![]),
        ("binary", (0..=255).collect()),
        ("huge", vec![b'7'; 8 << 20]),
        ("text", b"unknown\n".to_vec()),
        ("negative", b"-5\n".to_vec()),
        ("beyond 64 bits", b"99999999999999999999999\n".to_vec()),
    ] {
        costs_one_zone(what, |machine| {
            machine.write(ENERGY, content);
        });
    }
}

#[test]
fn a_counter_that_is_no_file_costs_that_counter() {
    costs_one_zone("missing", |machine| {
        fs::remove_file(machine.path(ENERGY)).unwrap()
    });
    costs_one_zone("a directory", |machine| {
        fs::remove_file(machine.path(ENERGY)).unwrap();
        fs::create_dir(machine.path(ENERGY)).unwrap();
    });
    costs_one_zone("a loop", |machine| {
        fs::remove_file(machine.path(ENERGY)).unwrap();
        std::os::unix::fs::symlink(machine.path(ENERGY), machine.path(ENERGY)).unwrap();
    });
}

#[test]
fn a_broken_name_costs_that_zone() {
    let name = "sys/class/powercap/intel-rapl:0/name";
    for content in [vec![], vec![0xff; 32], vec![b'x'; 8 << 20]] {
        costs_one_zone("a broken name", |machine| {
            machine.write(name, content);
        });
    }
}

#[test]
fn names_that_are_no_text_are_passed_over() {
    let machine = Machine::two_packages();
    for odd in [&b"intel-rapl:\xff"[..], b"\xfe\xff"] {
        let zone = machine
            .path("sys/class/powercap")
            .join(OsString::from_vec(odd.to_vec()));
        fs::create_dir(zone).unwrap();
    }
    let program = Program::start(machine.with(&[FAST, "--no-sensor.model"]));
    until("both packages are read", || {
        let page = program.metrics();
        (page.starting("gramwatt_device_power_watts").count() == 2).then_some(())
    });
    let doctor = run(machine.with(&["doctor"]));
    assert_eq!(doctor.status.code(), Some(1));
    assert!(String::from_utf8(doctor.stdout).unwrap().contains("UTF-8"));
}

#[test]
fn broken_procfs_costs_the_model_alone() {
    for (file, content) in [
        ("proc/stat", vec![]),
        ("proc/stat", (0..=255).collect()),
        ("proc/stat", vec![b'9'; 20 << 20]),
        ("proc/cpuinfo", vec![0xff; 100_000]),
        ("proc/meminfo", b"MemTotal: lots\n".to_vec()),
    ] {
        let machine = Machine::two_packages();
        machine.write(file, content);
        let program = Program::start(machine.with(&[FAST]));
        until("both packages are read", || {
            let page = program.metrics();
            let cpu = page.starting("gramwatt_device_power_watts");
            (cpu.filter(|(name, _)| name.contains("kind=\"cpu\""))
                .count()
                == 2)
                .then_some(())
        });
        assert_eq!(
            program.metrics().get("gramwatt_sensor_up{sensor=\"rapl\"}"),
            1.0
        );
        assert!(!program.log.text().contains("panicked"));
    }
}

/// A gramwatt with something to serve.
fn server() -> (Machine, Program) {
    let machine = Machine::two_packages();
    let program = Program::start(machine.flags());
    (machine, program)
}

/// A scrape from a connection of its own answers; returns how long it took.
/// How long it takes to have a page. Whoever holds every place loses it after a second of not reading;
/// until then a scrape is told to come again, and that time counts too.
fn scrape(address: SocketAddr) -> Duration {
    let asked = Instant::now();
    loop {
        let answer = get(address, "/metrics").unwrap();
        if answer.status == 503 && asked.elapsed() < Duration::from_secs(10) {
            thread::sleep(Duration::from_millis(20));
            continue;
        }
        assert_eq!(answer.status, 200);
        assert!(answer.body.contains("gramwatt_build_info"));
        return asked.elapsed();
    }
}

#[test]
fn a_request_line_of_a_megabyte_is_refused() {
    let (_machine, program) = server();
    let mut stream = TcpStream::connect(program.address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let line = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(1 << 20));
    let _ = stream.write_all(line.as_bytes());
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all);
    let refusal = answer(&all).unwrap();
    println!(
        "request line of 1 MB: {}",
        refusal.head.lines().next().unwrap()
    );
    assert!([400, 414, 431].contains(&refusal.status), "{refusal:?}");
    scrape(program.address);
    println!(
        "request line of 1 MB: at most {} kB resident",
        program.most_resident() >> 10
    );
    assert!(program.most_resident() < 128 << 20);
}

#[test]
fn clients_that_drip_their_requests_are_cut_off_and_hold_up_nobody() {
    let (_machine, program) = server();
    let mut slow: Vec<TcpStream> = (0..100)
        .map(|_| TcpStream::connect(program.address).unwrap())
        .collect();
    for stream in &mut slow {
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nX-Slow: ")
            .unwrap();
        stream.set_nonblocking(true).unwrap();
    }
    let since = Instant::now();
    let mut longest = Duration::ZERO;
    let mut drips = 0_u32;
    until_within(Duration::from_secs(60), "slow clients are cut off", || {
        longest = longest.max(scrape(program.address));
        thread::sleep(Duration::from_millis(100));
        drips += 1;
        slow.retain_mut(|stream| {
            let open = !matches!(stream.read(&mut [0; 1024]), Ok(0) | Ok(1..));
            open && stream.write_all(b"a").is_ok()
        });
        slow.is_empty().then_some(())
    });
    println!(
        "100 dripping clients: cut off after {:?}, longest of {drips} scrapes {longest:?}",
        since.elapsed()
    );
    assert!(
        since.elapsed() > Duration::from_secs(5),
        "they had no time to speak"
    );
    assert!(longest < Duration::from_secs(10));
}

#[test]
fn clients_that_never_read_hold_up_nobody() {
    let (_machine, program) = server();
    let stuck: Vec<TcpStream> = (0..60)
        .map(|_| {
            let mut stream = TcpStream::connect(program.address).unwrap();
            setsockopt(&stream, sockopt::RcvBuf, &4096).unwrap();
            stream.set_nonblocking(true).unwrap();
            let request = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
            // More answers than the kernel keeps for a client that does not fetch them.
            let _ = (0..1000).try_for_each(|_| stream.write_all(request));
            stream
        })
        .collect();
    // Beyond the second after which a stuck client loses its place to a scrape.
    let since = Instant::now();
    let mut took = Vec::new();
    while since.elapsed() < Duration::from_secs(4) {
        took.push(scrape(program.address));
        thread::sleep(Duration::from_millis(20));
    }
    let longest = took.iter().max().unwrap();
    println!(
        "{} clients that ask a thousand times and never read: longest of {} scrapes {longest:?}, at most \
         {} kB resident",
        stuck.len(),
        took.len(),
        program.most_resident() >> 10
    );
    assert!(*longest < Duration::from_secs(10));
    assert!(program.most_resident() < 128 << 20);
}

/// Connections of the flood.
const FLOOD: usize = 10_000;

#[test]
fn ten_thousand_connections_hold_up_nobody() {
    let limit = getrlimit(Resource::Nofile);
    let more = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, more).unwrap();
    let allowed = limit.maximum.unwrap_or(1 << 20);
    // Some descriptors are left to the tests beside this one.
    let held = usize::try_from(allowed / 2).unwrap().min(FLOOD);
    let (_machine, program) = server();
    let before = program.most_resident();
    let (address, threads) = (program.address, 4);
    let flood: Vec<_> = (0..threads)
        .map(|_| {
            thread::spawn(move || {
                let mut open = std::collections::VecDeque::new();
                for number in 0..FLOOD / threads {
                    let mut stream = TcpStream::connect(address).unwrap();
                    // Half of them begin to speak.
                    if number % 2 == 0 {
                        let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\n");
                    }
                    open.push_back(stream);
                    if open.len() > held / threads {
                        open.pop_front();
                    }
                }
                open
            })
        })
        .collect();
    let mut meanwhile = Vec::new();
    while !flood.iter().all(thread::JoinHandle::is_finished) {
        meanwhile.push(scrape(address));
        thread::sleep(Duration::from_millis(20));
    }
    let open: Vec<_> = flood
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .collect();
    let after = (0..20).map(|_| scrape(address)).max().unwrap();
    println!(
        "{FLOOD} connections ({} held at once): longest of {} scrapes meanwhile {:?}, of 20 after {after:?}; \
         resident {} kB before, at most {} kB",
        open.iter()
            .map(std::collections::VecDeque::len)
            .sum::<usize>(),
        meanwhile.len(),
        meanwhile.iter().max(),
        before >> 10,
        program.most_resident() >> 10
    );
    // Every connection before it is accepted first; Prometheus waits for ten seconds.
    assert!(meanwhile.into_iter().max() < Some(Duration::from_secs(10)));
    assert!(after < Duration::from_secs(10));
    assert!(program.most_resident() < 128 << 20);
}
