//! Power distribution units, through Net-SNMP's agent with the objects of APC's, Raritan's and others.

use crate::moving::Machine;
use crate::program::{Killed, Log, Program, Series, run, until};
use crate::tools::{mend, tool};
use gramwatt::config::Config;
use gramwatt::sensor::{
    Fault, MeterClass, Part, Presence, Readings, Roots, Scope, Sensor, Value, pdu,
};
use rustix::process::{Pid, Signal, kill_process};
use std::fmt::Write;
use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Secrets, of which no output may show a part.
const COMMUNITY: &str = "hunter-community";
const AUTH: &str = "hunter-auth-pass";
const PRIVACY: &str = "hunter-privacy-pass";

/// Users of the agent: name, authentication and privacy as the agent spells them, and as we do.
const USERS: [(&str, &str, &str, &str, &str); 8] = [
    ("one", "MD5", "DES", "md5", "des"),
    ("two", "SHA", "AES", "sha", "aes"),
    ("three", "SHA", "DES", "sha", "des"),
    ("four", "SHA-224", "AES", "sha224", "aes"),
    ("five", "SHA-256", "AES", "sha256", "aes"),
    ("six", "SHA-384", "AES", "sha384", "aes"),
    ("seven", "SHA-512", "AES", "sha512", "aes"),
    ("eight", "SHA", "", "sha", "none"),
];

/// A PDU: an agent with objects that can be changed, and the files that let us ask it.
struct Agent {
    folder: TempDir,
    port: u16,
    child: Option<Killed>,
}

impl Agent {
    /// One with the objects of `tests/replicas/pdu/NAME.txt`.
    fn new(name: &str) -> Self {
        let mut agent = Self {
            folder: TempDir::new().unwrap(),
            port: 0,
            child: None,
        };
        agent.objects(&fs::read_to_string(replica(&format!("{name}.txt"))).unwrap());
        agent.secret("community", &format!("{COMMUNITY}\n"));
        agent.secret(
            "credentials",
            &format!("username: two\nauth_password: {AUTH}\nprivacy_password: {PRIVACY}\n"),
        );
        agent.start();
        agent
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn secret(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// Replaces all objects.
    fn objects(&self, text: &str) {
        let fresh = self.path("objects.new");
        fs::write(&fresh, text).unwrap();
        fs::rename(fresh, self.path("objects")).unwrap();
    }

    /// Starts it: on a free port the first time, then on the same one.
    fn start(&mut self) {
        if self.port != 0 {
            self.child = self.spawn();
        }
        for _ in 0..10 {
            if self.child.is_some() {
                return;
            }
            // Somebody may take it before the agent does.
            let free = UdpSocket::bind("127.0.0.1:0").unwrap();
            self.port = free.local_addr().unwrap().port();
            drop(free);
            self.child = self.spawn();
        }
        panic!(
            "snmpd does not start: {}",
            self.path("snmpd.conf").display()
        );
    }

    /// Starts the agent and waits until it hears; `None` where somebody has the port.
    fn spawn(&self) -> Option<Killed> {
        let objects = format!(
            "{} {} {}",
            tool("python3").display(),
            replica("objects.py").display(),
            self.path("objects").display()
        );
        let mut conf = format!(
            "agentaddress udp:127.0.0.1:{}\nrocommunity {COMMUNITY} 127.0.0.1\n",
            self.port
        );
        for root in ["318", "13742", "99"] {
            let _ = writeln!(conf, "pass_persist .1.3.6.1.4.1.{root} {objects}");
        }
        for (name, auth, privacy, ..) in USERS {
            let level = if privacy.is_empty() { "auth" } else { "priv" };
            let hidden = match privacy {
                "" => String::new(),
                _ => format!(" {privacy} {PRIVACY}"),
            };
            let _ = writeln!(
                conf,
                "createUser {name} {auth} {AUTH}{hidden}\nrouser {name} {level}"
            );
        }
        // With -C -c, what was kept from the last start would not be read.
        self.secret("snmpd.conf", &conf);
        let (snmpd, kept) = (tool("snmpd"), self.path("kept"));
        let mut child = Killed(
            Command::new(&snmpd)
                .args(["-f", "-Le"])
                .args(["-I", "-smux,mteTrigger,mteTriggerConf"])
                .env(
                    "SNMPCONFPATH",
                    format!("{}:{}", self.path("").display(), kept.display()),
                )
                .env("SNMP_PERSISTENT_DIR", &kept)
                .env("MIBS", "")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap_or_else(|error| mend(&snmpd, &error)),
        );
        // It says so once it hears; the rest is read on, so that it can say more.
        let log = Log::of(&mut child.0);
        until("snmpd hears, or ends", || {
            let ended = child.0.try_wait().unwrap().is_some();
            (ended || log.text().contains("NET-SNMP version")).then_some(!ended)
        })
        .then_some(child)
    }

    /// Ends it as a shutdown would: it keeps its engine's number, and how often it has started.
    fn stop(&mut self) {
        let mut child = self.child.take().unwrap();
        let pid = Pid::from_raw(child.0.id().cast_signed()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        until("snmpd ends", || child.0.try_wait().unwrap());
    }

    /// An entry of `sensors.pdu` for it.
    fn entry(&self, rest: &str) -> String {
        format!(
            "{{host: '127.0.0.1:{}', timeout: 5s, retries: 0, {rest}}}",
            self.port
        )
    }

    /// By community.
    fn v2c(&self, rest: &str) -> String {
        let file = self.path("community");
        self.entry(&format!("community_file: '{}', {rest}", file.display()))
    }

    /// By user.
    fn v3(&self, rest: &str) -> String {
        let file = self.path("credentials");
        self.entry(&format!(
            "version: 3, credentials_file: '{}', {rest}",
            file.display()
        ))
    }
}

fn replica(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/replicas/pdu")
        .join(name)
}

fn roots(node: &str) -> Roots {
    Roots {
        sys: "/nonexistent".into(),
        proc: "/nonexistent".into(),
        node: node.into(),
    }
}

/// The sensors of a list of entries.
fn sensors(entries: &[String]) -> Vec<Box<dyn Sensor>> {
    let text = format!("sensors: {{pdu: [{}]}}\n", entries.join(", "));
    let config = Config::parse(&text).unwrap();
    pdu::discover(&roots("node-a"), &config.sensors.pdu).sensors
}

fn sensor(entry: String) -> Box<dyn Sensor> {
    sensors(&[entry]).remove(0)
}

/// What was read, by meter.
fn values(readings: &Readings) -> Vec<(String, Scope, Value)> {
    let of = |part: &Part| match part {
        Part::Meter { id, scope } => (id.to_string(), *scope),
        other => panic!("{other} is no meter"),
    };
    readings
        .good
        .iter()
        .map(|reading| {
            let (id, scope) = of(&reading.source.part);
            (id, scope, reading.value)
        })
        .collect()
}

const NODE: Scope = Scope::Node(MeterClass::Pdu);

fn watts(power: f64) -> Value {
    Value::Power(gramwatt::units::Watts(power))
}

fn counts(raw: u64, unit: f64) -> Value {
    Value::Counter {
        raw,
        unit,
        wraps_at: None,
    }
}

/// The only fault.
fn fault(sensor: &mut dyn Sensor) -> Fault {
    let mut readings = sensor.read();
    assert!(readings.good.is_empty(), "{readings:?}");
    assert_eq!(readings.bad.len(), 1, "{readings:?}");
    let fault = readings.bad.remove(0);
    unspoken(&format!("{fault} {fault:?}"));
    fault
}

/// No secret is in it.
fn unspoken(text: &str) {
    assert!(!text.contains("hunter"), "{text}");
}

fn meets(fault: &Fault, reason: &str, mend: &str) {
    assert_eq!(fault.reason(), reason, "{fault}");
    assert!(fault.mend.contains(mend), "{fault}: {}", fault.mend);
}

#[test]
fn apcs_power_is_booked_and_its_coarse_register_shown() {
    let agent = Agent::new("apc");
    let mut sensor = sensor(agent.v2c("model: apc, outlets: [3, 4]"));
    assert_eq!(sensor.name(), "pdu");
    assert_eq!(sensor.pace(Duration::from_secs(1)), Duration::from_secs(10));
    let readings = sensor.read();
    assert!(readings.bad.is_empty(), "{readings:?}");
    let unknown = Scope::Unknown;
    assert_eq!(
        values(&readings),
        [
            ("pdu-127.0.0.1-3".to_owned(), NODE, watts(250.0)),
            (
                "pdu-127.0.0.1-3-register".to_owned(),
                unknown,
                counts(1234, 360e3)
            ),
            ("pdu-127.0.0.1-4".to_owned(), NODE, watts(317.0)),
            (
                "pdu-127.0.0.1-4-register".to_owned(),
                unknown,
                counts(987, 360e3)
            ),
        ]
    );
    let mut whole = self::sensor(agent.v2c("model: apc, whole: true"));
    assert_eq!(
        values(&whole.read()),
        [
            ("pdu-127.0.0.1".to_owned(), NODE, watts(570.0)),
            (
                "pdu-127.0.0.1-register".to_owned(),
                unknown,
                counts(170_982, 360e3)
            ),
        ]
    );
}

#[test]
fn raritans_fine_registers_are_booked_as_they_describe_themselves() {
    let agent = Agent::new("raritan");
    let mut sensor = sensor(agent.v3("model: raritan, outlets: [1, 2, 4]"));
    let readings = sensor.read();
    assert!(readings.bad.is_empty(), "{readings:?}");
    let unknown = Scope::Unknown;
    assert_eq!(
        values(&readings),
        [
            ("pdu-127.0.0.1-1".to_owned(), NODE, counts(48_211, 3600.0)),
            ("pdu-127.0.0.1-1-power".to_owned(), unknown, watts(312.5)),
            ("pdu-127.0.0.1-2".to_owned(), NODE, counts(90_007, 3600.0)),
            ("pdu-127.0.0.1-2-power".to_owned(), unknown, watts(402.0)),
            // Steps of 10 Wh are too coarse.
            ("pdu-127.0.0.1-4".to_owned(), NODE, watts(655.0)),
            (
                "pdu-127.0.0.1-4-register".to_owned(),
                unknown,
                counts(90_000, 3600.0)
            ),
        ]
    );
}

#[test]
fn a_generic_pdu_is_read_as_told() {
    let agent = Agent::new("generic");
    let power = "{oid: '.1.3.6.1.4.1.99.1.{outlet}', unit: W, scale: 0.1}";
    let energy = "{oid: '1.3.6.1.4.1.99.2.{outlet}', unit: Wh, scale: 0.01}";
    let rest = format!("model: generic, outlets: [1, 2], oids: [{power}, {energy}]");
    let readings = sensor(agent.v2c(&rest)).read();
    assert!(readings.bad.is_empty(), "{readings:?}");
    let booked: Vec<_> = values(&readings)
        .into_iter()
        .filter(|(_, scope, _)| *scope == NODE)
        .map(|(_, _, value)| value)
        .collect();
    // The second outlet has no register.
    assert_eq!(
        booked,
        [counts(18_446_744_073_709_551_000, 36.0), watts(8.75)]
    );

    let rest = "model: generic, outlets: [1, 7, 8, 9], \
                oids: [{oid: '1.3.6.1.4.1.99.1.{outlet}', unit: W}]";
    let readings = sensor(agent.v2c(rest)).read();
    assert_eq!(readings.good.len(), 1, "{readings:?}");
    let told: Vec<String> = readings.bad.iter().map(ToString::to_string).collect();
    for (text, part) in told.iter().zip([
        "outlet 7: it reads 2147483647.0 W, which cannot be",
        "outlet 8: cannot understand \"a text\"",
        "outlet 9: it reads -40.0 W, which cannot be",
    ]) {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(told.len(), 3);
}

#[test]
fn one_bad_outlet_costs_that_outlet() {
    let agent = Agent::new("apc");
    let mut sensor = sensor(agent.v2c("model: apc, outlets: [3, 5, 6]"));
    let readings = sensor.read();
    assert_eq!(readings.good.len(), 2, "{readings:?}");
    assert_eq!(readings.bad.len(), 2, "{readings:?}");
    for (fault, outlet) in readings.bad.iter().zip(["outlet 5", "outlet 6"]) {
        assert!(fault.place.ends_with(outlet), "{fault}");
        meets(fault, "device", "whole: true");
    }
    // What there is of it is shown, and is not the node: nobody knows what the others draw.
    let scopes: Vec<Scope> = values(&readings)
        .into_iter()
        .map(|(_, scope, _)| scope)
        .collect();
    assert_eq!(scopes, [Scope::Unknown, Scope::Unknown]);
    let mut whole = self::sensor(agent.v2c("model: apc, outlets: [3]"));
    assert_eq!(values(&whole.read())[0].1, NODE);
    let raritan = Agent::new("raritan");
    let mut sensor = self::sensor(raritan.v2c("model: raritan, outlets: [3, 2]"));
    let readings = sensor.read();
    assert_eq!(readings.good.len(), 2, "{readings:?}");
    meets(&readings.bad[0], "device", "outlet board");
}

#[test]
fn every_protocol_of_users_is_spoken() {
    let agent = Agent::new("apc");
    for (name, _, _, authentication, privacy) in USERS {
        agent.secret(
            "credentials",
            &format!("username: {name}\nauth_password: {AUTH}\nprivacy_password: {PRIVACY}\n"),
        );
        let rest = format!(
            "model: apc, outlets: [3], authentication: {authentication}, privacy: {privacy}"
        );
        let readings = sensor(agent.v3(&rest)).read();
        assert!(readings.bad.is_empty(), "{name}: {readings:?}");
        assert_eq!(values(&readings)[0].2, watts(250.0), "{name}");
    }
}

#[test]
fn wrong_secrets_are_told_apart_and_mended_in_place() {
    let agent = Agent::new("apc");
    let credentials = |user: &str, auth: &str, privacy: &str| {
        let text =
            format!("username: {user}\nauth_password: {auth}\nprivacy_password: {privacy}\n");
        agent.secret("credentials", &text);
    };
    let short = |entry: String| entry.replace("timeout: 5s", "timeout: 300ms");
    let mut sensor = sensor(short(agent.v3("model: apc, outlets: [3]")));
    assert_eq!(sensor.read().good.len(), 2);

    credentials("nobody", AUTH, PRIVACY);
    meets(&fault(&mut *sensor), "permission", "create the user");
    credentials("two", "hunter-wrong", PRIVACY);
    meets(&fault(&mut *sensor), "permission", "auth_password");
    credentials("two", AUTH, "hunter-wrong");
    let hidden = fault(&mut *sensor);
    assert!(hidden.mend.contains("privacy_password"), "{hidden:?}");
    credentials("two", "hunter", PRIVACY);
    meets(&fault(&mut *sensor), "io", "credentials_file");
    agent.secret("credentials", "username: two\nauth_pasword: hunter-auth\n");
    meets(&fault(&mut *sensor), "io", "write it anew");
    fs::remove_file(agent.path("credentials")).unwrap();
    meets(&fault(&mut *sensor), "vanished", "name a file");
    credentials("two", AUTH, PRIVACY);
    assert_eq!(
        sensor.read().good.len(),
        2,
        "it reads again without a restart"
    );

    let mut level = self::sensor(agent.v3("model: apc, outlets: [3], privacy: none"));
    let refused = fault(&mut *level);
    meets(&refused, "permission", "");

    let mut sensor = self::sensor(short(agent.v2c("model: apc, outlets: [3]")));
    assert_eq!(sensor.read().good.len(), 2);
    agent.secret("community", "hunter-other\n");
    meets(&fault(&mut *sensor), "timeout", "community_file");
    agent.secret("community", COMMUNITY);
    assert_eq!(sensor.read().good.len(), 2);
}

#[test]
fn an_agent_that_goes_and_comes_back_is_read_on() {
    let mut agent = Agent::new("raritan");
    let mut by_user = sensor(agent.v3("model: raritan, outlets: [2]"));
    let mut by_community = sensor(agent.v2c("model: raritan, outlets: [2]"));
    let objects = fs::read_to_string(replica("raritan.txt")).unwrap();
    for counted in [90_008_u64, 90_123] {
        agent.objects(&objects.replace("90007", &counted.to_string()));
        for sensor in [&mut by_user, &mut by_community] {
            assert_eq!(values(&sensor.read())[0].2, counts(counted, 3600.0));
        }
        agent.stop();
        for sensor in [&mut by_user, &mut by_community] {
            meets(
                &fault(&mut **sensor),
                "io",
                "switch the PDU's SNMP agent on",
            );
        }
        agent.start();
        for sensor in [&mut by_user, &mut by_community] {
            assert_eq!(values(&sensor.read())[0].2, counts(counted, 3600.0));
        }
        // And one that was restarted between two reads: its engine has booted once more.
        agent.stop();
        agent.start();
        for sensor in [&mut by_user, &mut by_community] {
            let started = Instant::now();
            let readings = sensor.read();
            assert_eq!(readings.good.len(), 2, "{readings:?}");
            let took = started.elapsed();
            assert!(
                took < Duration::from_secs(4),
                "a time-out of 5 s was waited for: {took:?}"
            );
        }
    }
}

#[test]
fn another_pdu_at_the_same_address_is_read_at_once() {
    let mut agent = Agent::new("raritan");
    let entry = agent.v3("model: raritan, outlets: [2]");
    let mut sensor = sensor(entry.replace("timeout: 5s", "timeout: 500ms"));
    assert_eq!(sensor.read().good.len(), 2);
    agent.stop();
    fs::remove_dir_all(agent.path("kept")).unwrap();
    agent.start();
    let readings = sensor.read();
    assert_eq!(readings.good.len(), 2, "{readings:?}");
}

#[test]
fn more_objects_than_fit_are_asked_for_in_pieces() {
    let agent = Agent::new("apc");
    let mut text = String::new();
    for outlet in 1..=32 {
        let _ = writeln!(
            text,
            "1.3.6.1.4.1.318.1.1.26.9.4.3.1.7.{outlet}|integer|{outlet}"
        );
    }
    agent.objects(&text);
    let all: Vec<String> = (1..=32).map(|outlet| outlet.to_string()).collect();
    let mut sensor = sensor(agent.v3(&format!("model: apc, outlets: [{}]", all.join(", "))));
    let started = Instant::now();
    let readings = sensor.read();
    println!("32 outlets over v3: {:?}", started.elapsed());
    assert!(readings.bad.is_empty(), "{readings:?}");
    let sum: f64 = readings
        .good
        .iter()
        .fold(0.0, |sum, reading| match reading.value {
            Value::Power(watts) => sum + watts.0,
            _ => panic!("{reading:?}"),
        });
    assert!((sum - 528.0).abs() < 1e-9);
}

#[test]
fn two_feeds_are_two_sensors_and_a_shared_configuration_picks_the_nodes_own() {
    let (a, b) = (Agent::new("apc"), Agent::new("raritan"));
    let both = [
        a.v2c("model: apc, outlets: {node-a: [3], node-b: [4]}"),
        b.v3("model: raritan, outlets: {node-a: [2]}"),
    ];
    let mut sensors = sensors(&both);
    let names: Vec<String> = sensors
        .iter()
        .map(|sensor| sensor.name().to_owned())
        .collect();
    assert_eq!(
        names,
        [
            format!("pdu-127.0.0.1:{}", a.port),
            format!("pdu-127.0.0.1:{}", b.port)
        ]
    );
    let ids: Vec<String> = sensors
        .iter_mut()
        .flat_map(|sensor| values(&sensor.read()))
        .filter(|(_, scope, _)| *scope == NODE)
        .map(|(id, _, _)| id)
        .collect();
    assert_eq!(
        ids,
        [
            format!("pdu-127.0.0.1:{}-3", a.port),
            format!("pdu-127.0.0.1:{}-2", b.port)
        ]
    );
    let text = format!("sensors: {{pdu: [{}]}}\n", both.join(", "));
    let config = Config::parse(&text).unwrap().sensors.pdu;
    let found = pdu::discover(&roots("node-c"), &config);
    assert!(found.sensors.is_empty());
    for finding in found.findings {
        assert_eq!(finding.state, Presence::Absent);
        assert!(finding.detail.contains("\"node-c\""), "{finding:?}");
    }
}

/// A configuration file for the whole program.
fn configured(machine: &Machine, entry: &str) -> String {
    let text = format!(
        "node: {{name: node-a}}\ngrid: {{intensity: 400}}\nsensors:\n  interval: 1s\n  pdu: [{entry}]\n"
    );
    let file = machine.write("gramwatt.yml", text);
    format!("--config.file={}", file.display())
}

#[test]
fn the_program_books_the_node_by_its_outlets() {
    let agent = Agent::new("apc");
    let machine = Machine::two_packages();
    let entry = agent.v3("model: apc, interval: 1s, outlets: {node-a: [3, 4], node-b: [7]}");
    let config = configured(&machine, &entry);
    let program = Program::start(machine.with(&[&config]));
    let series = until(
        "the outlets are on the page, and the node is theirs",
        || {
            let series = program.metrics();
            let watts = series.find("gramwatt_node_power_watts")?;
            ((watts - 567.0).abs() < 1e-6).then_some(series)
        },
    );
    for outlet in [3, 4] {
        let id = format!("pdu-127.0.0.1-{outlet}");
        let power = format!("gramwatt_meter_power_watts{{meter=\"{id}\",scope=\"node\"}}");
        assert!(series.get(&power) > 200.0);
        series.get(&format!(
            "gramwatt_meter_energy_joules_total{{meter=\"{id}-register\",scope=\"unknown\"}}"
        ));
    }
    let page = program.get("/metrics").body;
    assert!(page.contains("meter=\"pdu\""), "{page}");
    until("the node's energy is the outlets'", || {
        let series = program.metrics();
        let joules = series.find("gramwatt_node_energy_joules_total")?;
        (joules > 500.0).then_some(())
    });

    // The coarse register, whose step is the energy of minutes, is shown as it steps.
    let objects = fs::read_to_string(replica("apc.txt")).unwrap();
    agent.objects(&objects.replace("|1234", "|1235"));
    let register =
        "gramwatt_meter_energy_joules_total{meter=\"pdu-127.0.0.1-3-register\",scope=\"unknown\"}";
    until("a step of 0.1 kWh is shown", || {
        (program.metrics().find(register)? > 359_999.0).then_some(())
    });

    let up = "gramwatt_sensor_up{sensor=\"pdu\"}";
    assert!((program.metrics().get(up) - 1.0).abs() < 1e-9);
    agent.secret(
        "credentials",
        "username: nobody\nauth_password: hunter-1234\nprivacy_password: hunter-1234\n",
    );
    until("a refusal is told", || {
        (program.metrics().find(up)? < 0.5 && program.log.text().contains("knows no such user"))
            .then_some(())
    });
    let status = program.get("/").body;
    for text in [
        &page,
        &status,
        &program.get("/metrics").body,
        &program.log.text(),
    ] {
        unspoken(text);
    }
}

#[test]
fn the_doctor_asks_and_tells() {
    let agent = Agent::new("apc");
    let machine = Machine::two_packages();
    let doctor = |entry: &str| {
        let output = run(machine.with(&["doctor", &configured(&machine, entry)]));
        let text = String::from_utf8(output.stdout).unwrap();
        unspoken(&text);
        unspoken(&String::from_utf8(output.stderr).unwrap());
        (text, output.status.code())
    };
    let (text, code) = doctor(&agent.v2c("model: apc, outlets: [3]"));
    assert_eq!(code, Some(0), "{text}");
    let host = format!("127.0.0.1:{}", agent.port);
    assert!(
        text.contains(&format!(
            "found      meter pdu-127.0.0.1-3: {host}: APC, outlet 3, SNMP v2c: draws 250.0 W"
        )),
        "{text}"
    );
    let (text, code) = doctor(&agent.v2c("model: apc, outlets: {node-b: [3]}"));
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("no outlet is given to a node named \"node-a\""),
        "{text}"
    );
    let (text, code) = doctor(&agent.v3("model: apc, outlets: [3, 9]"));
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains(&format!("{host} outlet 9: the PDU does not measure")),
        "{text}"
    );
    assert!(
        text.contains("mend: look up whether the model meters by outlet"),
        "{text}"
    );

    let output = run([
        "check-config",
        &configured(&machine, "{host: a, model: apc}")["--config.file=".len()..],
    ]);
    assert_ne!(output.status.code(), Some(0));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("community_file"), "{said}");
}

#[test]
fn once_shows_an_outlet() {
    let agent = Agent::new("raritan");
    let machine = Machine::bare();
    let config = configured(
        &machine,
        &agent.v3("model: raritan, interval: 1s, outlets: [2]"),
    );
    let flags = ["once", "--seconds=1.5", "--format=openmetrics", &config];
    let output = run(machine.with(&flags));
    let page = String::from_utf8(output.stdout).unwrap();
    let series = Series::of(&page);
    series.get("gramwatt_meter_energy_joules_total{meter=\"pdu-127.0.0.1-2\",scope=\"node\"}");
    unspoken(&page);
}
