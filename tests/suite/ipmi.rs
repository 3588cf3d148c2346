//! BMCs as gramwatt meets them: on the network, where ipmitool and OpenIPMI's simulator vouch for our replica and
//! for our client, and behind the kernel's device.

mod bmc;

use crate::program::{Killed, Program, until};
use crate::tools::{mend, tool};
use bmc::{Bmc, MESSAGE, OPENED, RAKP2, RAKP4, reading};
use gramwatt::config::Config;
use gramwatt::sensor::{Discovery, Fault, Finding, Presence, Roots, Sensor, Value, ipmi};
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PASSWORD: &str = "hunter2";

/// A folder with credentials.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(TempDir::new().unwrap());
        fs::create_dir(folder.path("sys")).unwrap();
        folder.credentials("monitor", PASSWORD);
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn credentials(&self, username: &str, password: &str) {
        let text = format!("username: {username}\npassword: {password}\n");
        fs::write(self.path("credentials.yaml"), text).unwrap();
    }

    /// An entry for the BMC at this address.
    fn entry(&self, address: SocketAddr, more: &str) -> String {
        let file = self.path("credentials.yaml");
        format!(
            "{{host: \"{address}\", credentials_file: {}{more}}}",
            file.display()
        )
    }
}

fn config(keys: &str) -> ipmi::Config {
    let timeout = if keys.contains("timeout") {
        ""
    } else {
        "timeout: 1s, "
    };
    let text = format!("sensors: {{ipmi: {{{timeout}{keys}}}}}");
    Config::parse(&text).unwrap().sensors.ipmi
}

fn roots(folder: &Path) -> Roots {
    Roots {
        sys: folder.join("sys"),
        proc: folder.join("proc"),
        node: "node7".into(),
    }
}

fn discover(folder: &Folder, keys: &str) -> Discovery {
    ipmi::discover(&roots(folder.0.path()), &config(keys))
}

/// The sensor of a BMC on the network.
fn sensor(folder: &Folder, bmc: &Bmc, more: &str) -> Box<dyn Sensor> {
    let entry = folder.entry(bmc.address, more);
    discover(folder, &format!("lan: [{entry}]"))
        .sensors
        .remove(0)
}

/// What a sensor reads: watts, nothing, or what is wrong.
fn read(sensor: &mut Box<dyn Sensor>) -> Result<Option<f64>, Fault> {
    let mut readings = sensor.read();
    if let Some(fault) = readings.bad.pop() {
        assert!(readings.good.is_empty());
        assert!(!fault.mend.is_empty(), "{fault}");
        let told = format!("{fault:?} {fault}");
        assert!(!told.contains(PASSWORD), "{told}");
        return Err(fault);
    }
    let value = readings.good.pop().map(|reading| reading.value);
    Ok(value.map(|value| match value {
        Value::Power(watts) => watts.0,
        other => panic!("{other:?}"),
    }))
}

fn watts(sensor: &mut Box<dyn Sensor>) -> f64 {
    read(sensor).unwrap().unwrap()
}

#[test]
fn a_session_is_opened_once_kept_and_closed() {
    let key = b"0123456789abcdefghij";
    for (suites, is_keyed, more, opens) in [
        (vec![3], false, ", cipher_suite: 3", 1),
        (vec![17], false, ", cipher_suite: 17", 1),
        (vec![3, 17], false, "", 1),
        (vec![3], false, "", 2),
        (vec![3, 17], true, ", privilege: administrator", 1),
        (vec![3], true, ", cipher_suite: 3", 1),
    ] {
        let (folder, bmc) = (Folder::new(), Bmc::new());
        bmc.state().suites = suites;
        let mut more = more.to_owned();
        if is_keyed {
            bmc.state().key = Some(*key);
            let file = folder.path("kg");
            let digits: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
            fs::write(&file, format!("0x{digits}\n")).unwrap();
            more += &format!(", kg_file: {}", file.display());
        }
        let mut sensor = sensor(&folder, &bmc, &more);
        assert_eq!(bmc.state().opens, 0, "discovery asks nobody");
        assert_eq!(watts(&mut sensor), 321.0, "{more}");
        bmc.state().answer = reading(1234);
        for _ in 0..70 {
            assert_eq!(watts(&mut sensor), 1234.0);
        }
        drop(sensor);
        until("the session is closed", || {
            (bmc.state().closes == 1).then_some(())
        });
        let state = bmc.state();
        assert_eq!(
            (state.opens, state.names, state.proofs),
            (opens, 1, 1),
            "{more}"
        );
        assert_eq!(state.readings, 71);
        let raised = if more.contains("administrator") {
            &[4][..]
        } else {
            &[]
        };
        assert_eq!(state.privileges, raised);
        assert!(state.violations.is_empty(), "{:?}", state.violations);
    }
}

#[test]
fn a_bmc_that_says_nothing_to_a_suite_is_asked_with_the_other_one_next() {
    let (folder, bmc) = (Folder::new(), Bmc::new());
    bmc.state().suites = vec![3];
    bmc.state().is_mute = true;
    let mut sensor = sensor(&folder, &bmc, "");
    assert_eq!(read(&mut sensor).unwrap_err().reason(), "timeout");
    assert_eq!(watts(&mut sensor), 321.0);
}

#[test]
fn a_bmc_that_was_restarted_is_read_at_once() {
    let (folder, bmc) = (Folder::new(), Bmc::new());
    let mut sensor = sensor(&folder, &bmc, "");
    assert_eq!(watts(&mut sensor), 321.0);
    bmc.forget();
    assert_eq!(watts(&mut sensor), 321.0);
    assert_eq!(bmc.state().opens, 2);
}

#[test]
fn a_wrong_password_is_tried_once_until_the_file_changes() {
    for suite in [3, 17] {
        let (folder, bmc) = (Folder::new(), Bmc::new());
        bmc.state().suites = vec![suite];
        bmc.state().password = "changed".into();
        let mut sensor = sensor(&folder, &bmc, "");
        for _ in 0..5 {
            let fault = read(&mut sensor).unwrap_err();
            assert_eq!(fault.reason(), "permission");
            assert!(fault.to_string().contains("does not accept the password"));
            assert!(fault.mend.contains("credentials_file"));
        }
        // To a BMC that does not know the password nothing is proved.
        assert_eq!(bmc.state().names, 1);
        assert_eq!(bmc.state().proofs, 0);
        folder.credentials("monitor", "changed");
        assert_eq!(watts(&mut sensor), 321.0);
        // It changes while the session goes on, and is asked for when that ends.
        bmc.state().password = "again".into();
        assert_eq!(watts(&mut sensor), 321.0);
        bmc.forget();
        assert_eq!(read(&mut sensor).unwrap_err().reason(), "permission");
    }
}

#[test]
fn a_wrong_key_of_the_bmc_is_a_refusal_too() {
    let (folder, bmc) = (Folder::new(), Bmc::new());
    bmc.state().key = Some([7; 20]);
    let mut sensor = sensor(&folder, &bmc, "");
    for _ in 0..3 {
        let fault = read(&mut sensor).unwrap_err();
        assert_eq!(fault.reason(), "permission");
        assert!(fault.mend.contains("K_G"), "{}", fault.mend);
    }
    assert_eq!(bmc.state().proofs, 1);
}

#[test]
fn refusals_are_told_in_words_and_not_repeated() {
    let (folder, bmc) = (Folder::new(), Bmc::new());
    bmc.state().privilege = 2;
    let mut sensor = sensor(&folder, &bmc, ", privilege: operator");
    for _ in 0..3 {
        let fault = read(&mut sensor).unwrap_err();
        assert!(
            fault.to_string().contains("may not have this privilege"),
            "{fault}"
        );
    }
    assert_eq!(bmc.state().names, 1);
    folder.credentials("nobody", PASSWORD);
    for _ in 0..3 {
        let fault = read(&mut sensor).unwrap_err();
        assert!(
            fault.to_string().contains("does not know the account"),
            "{fault}"
        );
    }
    assert_eq!(bmc.state().names, 2);
}

#[test]
fn credentials_that_cannot_be_are_told() {
    let (folder, bmc) = (Folder::new(), Bmc::new());
    let mut sensor = sensor(&folder, &bmc, "");
    fs::remove_file(folder.path("credentials.yaml")).unwrap();
    assert_eq!(read(&mut sensor).unwrap_err().reason(), "vanished");
    folder.credentials("monitor", "hunter2hunter2hunter2");
    let fault = read(&mut sensor).unwrap_err();
    assert!(
        fault.to_string().contains("password (up to 20 bytes)"),
        "{fault}"
    );
    folder.credentials("a-name-that-is-long", PASSWORD);
    assert_eq!(read(&mut sensor).unwrap_err().reason(), "device");
    assert_eq!(bmc.state().opens, 0);
}

#[test]
fn a_port_where_nobody_listens_is_told_at_once() {
    let folder = Folder::new();
    let address = Bmc::new().address;
    let entry = folder.entry(address, "");
    let mut found = discover(&folder, &format!("timeout: 1m, lan: [{entry}]"));
    let mut sensor = found.sensors.remove(0);
    let fault = read(&mut sensor).unwrap_err();
    assert!(fault.to_string().contains("refused"), "{fault}");
    assert!(fault.mend.contains("nobody listens"), "{}", fault.mend);
}

/// A way of answering wrongly: which packets, and what becomes of them.
type Wrong = (
    &'static str,
    u8,
    fn(Vec<u8>, &mut Vec<Vec<u8>>) -> Vec<Vec<u8>>,
);

fn flipped(mut packet: Vec<u8>, at: usize) -> Vec<Vec<u8>> {
    packet[at] ^= 1;
    vec![packet]
}

const WRONGS: &[Wrong] = &[
    ("silence", OPENED, |_, _| vec![]),
    ("silence", RAKP2, |_, _| vec![]),
    ("silence", RAKP4, |_, _| vec![]),
    ("silence", MESSAGE, |_, _| vec![]),
    ("an empty packet", OPENED, |_, _| vec![vec![]]),
    ("truncated", OPENED, |p, _| {
        (0..p.len()).map(|n| p[..n].to_vec()).collect()
    }),
    ("truncated", RAKP4, |p, _| {
        (0..17).map(|n| p[..n].to_vec()).collect()
    }),
    ("truncated", MESSAGE, |p, _| {
        (0..p.len()).map(|n| p[..n].to_vec()).collect()
    }),
    ("too long", OPENED, |mut p, _| {
        p.resize(1500, 0);
        vec![p]
    }),
    ("too long", MESSAGE, |mut p, _| {
        p.extend([0; 4]);
        vec![p]
    }),
    ("larger than a frame", MESSAGE, |_, _| vec![vec![6; 9000]]),
    ("another's tag", RAKP2, |p, _| flipped(p, 16)),
    ("another's session", OPENED, |p, _| flipped(p, 20)),
    ("another's session", RAKP2, |p, _| flipped(p, 20)),
    ("another's session", RAKP4, |p, _| flipped(p, 20)),
    ("another's session", MESSAGE, |p, _| flipped(p, 6)),
    ("a flipped bit", MESSAGE, |p, _| {
        (0..p.len()).flat_map(|n| flipped(p.clone(), n)).collect()
    }),
    ("without seal", MESSAGE, |mut p, _| {
        p[5] = 0;
        vec![p]
    }),
    ("a flood", MESSAGE, |p, _| {
        vec![flipped(p, 30).remove(0); 100_000 / 100]
    }),
];

#[test]
fn a_hostile_bmc_costs_one_reading_and_no_more() {
    thread::scope(|scope| {
        for (what, kind, wrong) in WRONGS {
            scope.spawn(move || {
                let (folder, bmc) = (Folder::new(), Bmc::new());
                let mut sensor = sensor(&folder, &bmc, ", cipher_suite: 17");
                let mut old = Vec::new();
                bmc.state().twist = Some(Box::new(move |found, packet| {
                    if found == *kind {
                        wrong(packet, &mut old)
                    } else {
                        vec![packet]
                    }
                }));
                let begin = Instant::now();
                let fault = read(&mut sensor).expect_err(what);
                assert_eq!(fault.reason(), "timeout", "{what} {kind:#x}: {fault}");
                // Three time-outs of a second, and a crowded machine.
                assert!(
                    begin.elapsed() < Duration::from_secs(10),
                    "{what} {kind:#x}"
                );
                bmc.state().twist = None;
                assert_eq!(watts(&mut sensor), 321.0, "{what} {kind:#x}");
            });
        }
    });
}

#[test]
fn what_was_heard_before_is_not_heard_again() {
    let (folder, bmc) = (Folder::new(), Bmc::new());
    let mut sensor = sensor(&folder, &bmc, "");
    let mut old: Vec<Vec<u8>> = Vec::new();
    bmc.state().twist = Some(Box::new(move |kind, packet| {
        if kind != MESSAGE {
            return vec![packet];
        }
        // All that was ever said, then what is to be said.
        old.push(packet);
        old.clone()
    }));
    for watts in 100..170 {
        bmc.state().answer = reading(watts);
        assert_eq!(read(&mut sensor).unwrap(), Some(f64::from(watts)));
    }
    assert_eq!(bmc.state().opens, 1);
}

#[test]
fn proofs_that_are_wrong_are_refused() {
    for (kind, at) in [(RAKP2, 70), (RAKP4, 30), (RAKP4, 24), (RAKP2, 30)] {
        let (folder, bmc) = (Folder::new(), Bmc::new());
        let mut sensor = sensor(&folder, &bmc, "");
        bmc.state().twist = Some(Box::new(move |found, packet| match found == kind {
            true => flipped(packet, at),
            false => vec![packet],
        }));
        let fault = read(&mut sensor).unwrap_err();
        assert_eq!(fault.reason(), "permission", "{kind:#x}: {fault}");
        assert_eq!(bmc.state().readings, 0);
    }
}

#[test]
fn what_a_bmc_says_of_its_power() {
    let (folder, bmc) = (Folder::new(), Bmc::new());
    let mut sensor = sensor(&folder, &bmc, "");
    let mut inactive = reading(321);
    inactive[18] = 0;
    for (answer, reason, words) in [
        (vec![0xc1], "device", "has no DCMI power reading"),
        (vec![0xd4], "permission", "the privilege is not enough"),
        (vec![0xc3], "timeout", "gave up waiting"),
        (vec![0xcc], "device", "finds a field invalid"),
        (reading(0), "device", "says 0 W"),
        (reading(u16::MAX), "device", "says 65535 W"),
        (reading(321)[..18].to_vec(), "parse", "00 dc 41 01"),
        (vec![0], "parse", "00"),
    ] {
        bmc.state().answer = answer;
        let fault = read(&mut sensor).unwrap_err();
        assert_eq!(fault.reason(), reason, "{fault}");
        assert!(fault.to_string().contains(words), "{fault}");
    }
    // The session was kept all the time.
    assert_eq!(bmc.state().opens, 1);
    // It was named, so that it is missed, and asked again at every turn.
    bmc.state().answer = inactive;
    let fault = read(&mut sensor).unwrap_err();
    assert!(fault.to_string().contains("is not active"), "{fault}");
    assert!(
        fault.mend.contains("switch power monitoring on"),
        "{}",
        fault.mend
    );
    bmc.state().answer = reading(400);
    assert_eq!(watts(&mut sensor), 400.0);
    assert_eq!(sensor.silence(), None);
}

fn finding<'a>(found: &'a Discovery, subject: &str) -> &'a Finding {
    let mut findings = found.findings.iter();
    findings.find(|finding| finding.subject == subject).unwrap()
}

#[test]
fn discovery_looks_and_does_not_ask() {
    let folder = Folder::new();
    let found = discover(&folder, "");
    assert!(found.sensors.is_empty());
    assert_eq!(finding(&found, "ipmi").state, Presence::Absent);
    assert_eq!(finding(&found, "ipmi").mend, "");
    // Firmware announces a BMC, and no driver is loaded.
    fs::create_dir_all(folder.path("sys/bus/acpi/devices/IPI0001:00")).unwrap();
    assert!(
        finding(&discover(&folder, ""), "ipmi")
            .mend
            .contains("modprobe")
    );
    // A container that was not given the device.
    fs::create_dir_all(folder.path("sys/class/ipmi/ipmi977")).unwrap();
    let found = discover(&folder, "");
    assert!(found.sensors.is_empty());
    assert_eq!(finding(&found, "ipmi").state, Presence::Absent);
    assert!(
        finding(&found, "ipmi")
            .mend
            .contains("--device=/dev/ipmi977")
    );
    // With a BMC on the network this machine's own is left alone.
    let file = folder.path("credentials.yaml");
    let two = format!(
        "lan: [{{host: 'bmc-{{node}}', credentials_file: {0}}}, {{host: '[::1]:6230', credentials_file: {0}}}]",
        file.display()
    );
    let found = discover(&folder, &two);
    let names: Vec<&str> = found.sensors.iter().map(|sensor| sensor.name()).collect();
    assert_eq!(names, ["ipmi-bmc-node7", "ipmi-::1-6230"]);
    assert_eq!(found.findings.len(), 2);
    assert_eq!(finding(&found, "ipmi-bmc-node7").state, Presence::Unasked);
    assert!(
        finding(&found, "ipmi-::1-6230")
            .detail
            .starts_with("[::1]:6230 over LAN")
    );
    let second = Duration::from_secs(1);
    assert_eq!(found.sensors[0].pace(second), second * 10);
    // Unless it is named.
    let found = discover(
        &folder,
        &format!("device: /dev/ipmi978, interval: 1m, {two}"),
    );
    assert_eq!(found.sensors.len(), 3);
    assert_eq!(found.sensors[0].pace(second), second * 60);
    let own = finding(&found, "ipmi");
    assert_eq!(own.state, Presence::Unreadable);
    assert!(own.mend.contains("modprobe"), "{}", own.mend);
}

#[test]
fn what_cannot_be_is_refused_with_the_configuration() {
    let entry = "credentials_file: /c";
    for (keys, words) in [
        ("interval: 1s".to_owned(), "5s to 10m"),
        ("timeout: 0s".to_owned(), "1s to 1m"),
        ("device: ipmi0".to_owned(), "/dev/ipmi0"),
        ("devise: /dev/ipmi0".to_owned(), "device"),
        ("lan: [{host: bmc}]".to_owned(), "credentials_file"),
        (
            format!("lan: [{{host: 'https://bmc', {entry}}}]"),
            "is no host",
        ),
        (format!("lan: [{{host: 'bmc:', {entry}}}]"), "is no host"),
        (format!("lan: [{{host: 'bmc:0', {entry}}}]"), "is no host"),
        (
            format!("lan: [{{host: 'bmc:70000', {entry}}}]"),
            "is no host",
        ),
        (format!("lan: [{{host: '', {entry}}}]"), "is no host"),
        (format!("lan: [{{host: '[::1', {entry}}}]"), "is no host"),
        (format!("lan: [{{host: '[bmc]', {entry}}}]"), "is no host"),
        (
            format!("lan: [{{host: bmc, cipher_suite: 0, {entry}}}]"),
            "17 or 3",
        ),
        (
            format!("lan: [{{host: bmc, privilege: root, {entry}}}]"),
            "root",
        ),
        (
            format!("lan: [{{host: bmc, {entry}}}, {{host: 'BMC:623', {entry}}}]"),
            "counted twice",
        ),
    ] {
        let text = format!("sensors: {{ipmi: {{{keys}}}}}");
        let error = Config::parse(&text).unwrap_err().to_string();
        assert!(error.contains(words), "{keys}: {error}");
    }
    for host in [
        "bmc",
        "bmc.example.org:623",
        "10.1.2.3",
        "::1",
        "[::1]",
        "[::1]:7",
        "bmc-{node}",
    ] {
        config(&format!("lan: [{{host: '{host}', {entry}}}]"));
    }
}

/// Runs one of the tools to its end.
fn ran(name: &str, arguments: &[&str]) -> Output {
    let program = tool(name);
    let output = Command::new(&program)
        .args(arguments)
        .stdin(Stdio::null())
        .output();
    output.unwrap_or_else(|error| mend(&program, &error))
}

#[test]
fn ipmitool_takes_the_replica_for_a_bmc() {
    for (suite, key) in [
        ("3", None),
        ("17", None),
        ("3", Some("a key of the BMC's  ")),
    ] {
        let bmc = Bmc::new();
        bmc.state().key = key.map(|key| key.as_bytes().try_into().unwrap());
        let port = bmc.address.port().to_string();
        let mut arguments = vec![
            "-I",
            "lanplus",
            "-H",
            "127.0.0.1",
            "-p",
            &port,
            "-U",
            "monitor",
        ];
        arguments.extend(["-P", PASSWORD, "-C", suite, "-L", "user"]);
        arguments.extend(key.iter().flat_map(|key| ["-k", key]));
        arguments.extend(["raw", "0x2c", "0x02", "0xdc", "1", "0", "0"]);
        let output = ran("ipmitool", &arguments);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            text.contains("dc 41 01 01 00 ff 03 41 01"),
            "{suite}: {output:?}"
        );
        let state = bmc.state();
        assert_eq!((state.readings, state.closes), (1, 1), "{suite}");
        assert!(state.violations.is_empty(), "{:?}", state.violations);
    }
}

/// Compiles a library of tests/replicas/ipmi.
fn library(folder: &Folder, name: &str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/replicas/ipmi");
    let library = folder.path(&format!("{name}.so"));
    let output = Command::new("gcc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&library)
        .arg(source.join(format!("{name}.c")))
        .arg("-ldl")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    library
}

fn hex(bytes: &[u8]) -> String {
    let bytes: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(" ")
}

/// OpenIPMI's simulator on a free port. Without a GUID it would crash.
fn simulator(folder: &Folder, answer: &[u8]) -> (Killed, SocketAddr) {
    let module = library(folder, "simulator");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let lan = format!(
        "name \"bmc\"\nloadlib \"{}\" \"{}\"\nstartlan 1\n addr 127.0.0.1 {}\n priv_limit admin\n\
         allowed_auths_admin md5\n guid 0123456789abcdef0123456789abcdef\nendlan\nuser 2 true \"monitor\" \"{PASSWORD}\" admin 10\n",
        module.display(),
        hex(answer),
        address.port()
    );
    fs::write(folder.path("lan.conf"), lan).unwrap();
    let commands = "mc_setbmc 0x20\n\
         mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02\nmc_enable 0x20\n";
    fs::write(folder.path("bmc.emu"), commands).unwrap();
    fs::create_dir(folder.path("state")).unwrap();
    drop(socket);
    let program = tool("ipmi_sim");
    let child = Command::new(&program)
        .args(["-n", "-c"])
        .arg(folder.path("lan.conf"))
        .arg("-f")
        .arg(folder.path("bmc.emu"))
        .arg("-s")
        .arg(folder.path("state"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn();
    let mut child = Killed(child.unwrap_or_else(|error| mend(&program, &error)));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(address).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    until("ipmi_sim answers a ping of RMCP", || {
        assert_eq!(child.0.try_wait().unwrap(), None, "ipmi_sim has ended");
        let _ = socket.send(&[6, 0, 0xff, 6, 0, 0, 0x11, 0xbe, 0x80, 1, 0, 0]);
        socket.recv(&mut [0; 64]).ok()
    });
    (child, address)
}

/// What the program prints, with no other sensor.
fn gramwatt(folder: &Folder, command: &[&str], keys: &str) -> Output {
    ended(&mut program(folder, command, keys))
}

fn program(folder: &Folder, arguments: &[&str], keys: &str) -> Command {
    let config = folder.path("gramwatt.yaml");
    let text = format!(
        "sensors:\n  rapl: {{enabled: false}}\n  hwmon: {{enabled: false}}\n  nvml: {{enabled: false}}\n  \
         model: {{enabled: false}}\n  ipmi: {{timeout: 1s, {keys}}}\n"
    );
    fs::write(&config, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_gramwatt"));
    command
        .args(arguments)
        .arg(format!("--config.file={}", config.display()))
        .arg(format!(
            "--state.directory={}",
            folder.path("books").display()
        ))
        .arg(format!("--path.sysfs={}", folder.path("sys").display()))
        .stdin(Stdio::null());
    command
}

/// What a command has printed once it has ended; never the password.
fn ended(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let all = [&output.stdout[..], &output.stderr].concat();
    assert!(!String::from_utf8_lossy(&all).contains(PASSWORD));
    output
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn openipmis_simulator_is_read() {
    let folder = Folder::new();
    let (_simulator, address) = simulator(&folder, &reading(1421));
    // It lets only administrators use the group's commands, and does not know suite 17.
    let entry = folder.entry(address, ", privilege: administrator");
    let output = gramwatt(&folder, &["doctor"], &format!("lan: [{entry}]"));
    let told = text(&output);
    assert!(told.contains(": draws 1421.0 W"), "{told}");
    let entry = folder.entry(address, "");
    let told = text(&gramwatt(&folder, &["doctor"], &format!("lan: [{entry}]")));
    assert!(told.contains("the privilege is not enough"), "{told}");
    assert!(told.contains("mend: ask for more with privilege"), "{told}");
    folder.credentials("monitor", "wrong");
    let told = text(&gramwatt(&folder, &["doctor"], &format!("lan: [{entry}]")));
    assert!(told.contains("UNREADABLE"), "{told}");
    assert!(told.contains("does not accept the password"), "{told}");
}

/// The kernel's device, as tests/replicas/ipmi/device.c plays it to the program.
struct Device {
    folder: Folder,
    library: PathBuf,
}

impl Device {
    fn new() -> Self {
        let folder = Folder::new();
        // What the program looks at before it opens it.
        std::os::unix::fs::symlink("/dev/null", folder.path("ipmi0")).unwrap();
        let library = library(&folder, "device");
        Self { folder, library }
    }

    /// From now on the device answers so.
    fn answers(&self, answer: &str) {
        fs::write(self.folder.path("answer"), answer).unwrap();
    }

    /// What the program prints when the device answers so.
    fn gramwatt(&self, arguments: &[&str], answer: &str) -> String {
        self.answers(answer);
        text(&ended(&mut self.program(arguments)))
    }

    fn program(&self, arguments: &[&str]) -> Command {
        let device = self.folder.path("ipmi0");
        let keys = format!("interval: 5s, device: {}", device.display());
        let mut command = program(&self.folder, arguments, &keys);
        command
            .env("LD_PRELOAD", &self.library)
            .env("IPMI_DEVICE", device)
            .env("IPMI_ANSWER", self.folder.path("answer"))
            .env("IPMI_ASKED", self.folder.path("asked"));
        command
    }
}

#[test]
fn the_kernels_device_is_read() {
    let device = Device::new();
    let good = format!("answer {}", hex(&reading(321)));
    let told = device.gramwatt(&["doctor"], &good);
    assert!(told.contains("found      meter ipmi:"), "{told}");
    assert!(told.contains(": draws 321.0 W"), "{told}");
    let asked = fs::read_to_string(device.folder.path("asked")).unwrap();
    assert_eq!(
        asked,
        "type c channel f lun 0 netfn 2c cmd 2 data dc 01 00 00\n"
    );
    let page = device.gramwatt(&["once", "--seconds=1", "--format=openmetrics"], &good);
    assert!(
        page.contains("gramwatt_meter_power_watts{meter=\"ipmi\",scope=\"node\"} 321"),
        "{page}"
    );
    assert!(
        page.contains("gramwatt_sensor_up{sensor=\"ipmi\"} 1"),
        "{page}"
    );
    let long = format!("{good} {}", "00 ".repeat(30));
    assert!(
        device
            .gramwatt(&["doctor"], &long)
            .contains(": draws 321.0 W")
    );
}

#[test]
fn a_device_in_trouble_is_told_with_its_mend() {
    let device = Device::new();
    let good = hex(&reading(321));
    for (answer, words, mend) in [
        (
            "silent".to_owned(),
            "no answer within 1s",
            "mend: a BMC that is slow",
        ),
        (
            format!("late {good}"),
            "no answer within 1s",
            "mend: a BMC that is slow",
        ),
        (
            format!("stranger {good}"),
            "cannot understand \"00 dc 41",
            "mend: compare with",
        ),
        (
            "answer c1".to_owned(),
            "does not know the command",
            "mend: take the BMC out",
        ),
        ("answer".to_owned(), "NotEnoughData", "mend: see dmesg"),
        (
            format!("answer {}", "00 ".repeat(1100)),
            "Message too long",
            "mend: see dmesg",
        ),
    ] {
        let told = device.gramwatt(&["doctor"], &answer);
        assert!(told.contains("UNREADABLE ipmi:"), "{answer:.20}: {told}");
        assert!(
            told.contains(words) && told.contains(mend),
            "{answer:.20}: {told}"
        );
    }
    let mut inactive = reading(321);
    inactive[18] = 0;
    let told = device.gramwatt(&["doctor"], &format!("answer {}", hex(&inactive)));
    assert!(told.contains("UNREADABLE ipmi:"), "{told}");
    assert!(
        told.contains("its power measurement is not active"),
        "{told}"
    );
}

#[test]
fn an_answer_that_comes_late_is_nobody_elses() {
    let device = Device::new();
    device.answers(&format!("late {}", hex(&reading(999))));
    let mut command = device.program(&["--web.listen-address=127.0.0.1:0"]);
    command.stderr(Stdio::piped());
    let program = Program::spawn(command);
    device.answers(&format!("answer {}", hex(&reading(321))));
    let power = "gramwatt_meter_power_watts{meter=\"ipmi\",scope=\"node\"}";
    let errors = "gramwatt_sensor_errors_total{sensor=\"ipmi\",reason=\"timeout\"}";
    let series = until("the second answer", || {
        let series = program.metrics();
        series.find(power).is_some().then_some(series)
    });
    assert_eq!((series.get(power), series.get(errors)), (321.0, 1.0));
}

#[test]
fn what_is_no_device_is_told() {
    let folder = Folder::new();
    let device = |path: &Path| {
        let keys = format!("device: {}", path.display());
        let mut found = discover(&folder, &keys);
        let fault = read(&mut found.sensors.remove(0)).unwrap_err();
        (found.findings.remove(0), fault)
    };
    // It opens, and is another driver's.
    let (finding, fault) = device(Path::new("/dev/null"));
    assert_eq!(finding.state, Presence::Unasked);
    assert!(fault.to_string().contains("Inappropriate ioctl"), "{fault}");
    assert!(fault.mend.contains("no IPMI device"));
    // A plain file, and a pipe, which must not be waited for.
    let pipe = folder.path("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    for path in [folder.path("credentials.yaml"), pipe] {
        let (finding, fault) = device(&path);
        assert_eq!(finding.state, Presence::Unreadable);
        assert!(fault.to_string().contains("is not a device"), "{fault}");
    }
    let (finding, fault) = device(&folder.path("nothing"));
    assert_eq!(finding.state, Presence::Unreadable);
    assert_eq!(fault.reason(), "vanished");
    assert!(fault.mend.contains("modprobe"));
}

#[test]
fn the_meter_of_a_bmc_is_the_nodes_and_outlives_its_silence_by_nothing() {
    let (folder, bmc) = (Folder::new(), Bmc::new());
    let entry = folder.entry(bmc.address, "");
    let once = [
        "once",
        "--seconds=1",
        "--format=openmetrics",
        "--grid.intensity=400",
    ];
    let page = text(&gramwatt(&folder, &once, &format!("lan: [{entry}]")));
    let meter = format!("ipmi-127.0.0.1-{}", bmc.address.port());
    for line in [
        format!("gramwatt_meter_power_watts{{meter=\"{meter}\",scope=\"node\"}} 321"),
        "gramwatt_node_power_watts 321".to_owned(),
        format!("gramwatt_sensor_up{{sensor=\"{meter}\"}} 1"),
    ] {
        assert!(page.contains(&line), "{line}: {page}");
    }
    // The program ended, and has closed its session.
    until("the session is closed", || {
        (bmc.state().closes == 1).then_some(())
    });
    bmc.state().password = "changed".into();
    let mut command = program(
        &folder,
        &["--web.listen-address=127.0.0.1:0"],
        &format!("lan: [{entry}]"),
    );
    command.stderr(Stdio::piped());
    let program = Program::spawn(command);
    until("the log says so", || {
        program
            .log
            .text()
            .contains("does not accept the password")
            .then_some(())
    });
    let series = program.metrics();
    assert_eq!(series.starting("gramwatt_meter_power_watts").count(), 0);
    assert_eq!(
        series.get(&format!("gramwatt_sensor_up{{sensor=\"{meter}\"}}")),
        0.0
    );
    let status = program.get("/").body;
    assert!(status.contains("does not accept the password"), "{status}");
    for said in [program.log.text(), status] {
        assert!(
            !said.contains(PASSWORD) && !said.contains("changed"),
            "{said}"
        );
    }
}

#[test]
fn a_program_that_is_ended_closes_its_session() {
    let (folder, bmc) = (Folder::new(), Bmc::new());
    let entry = folder.entry(bmc.address, "");
    let keys = format!("lan: [{entry}]");
    let mut command = program(&folder, &["--web.listen-address=127.0.0.1:0"], &keys);
    command.stderr(Stdio::piped());
    let program = Program::spawn(command);
    until("a session", || (bmc.state().readings > 0).then_some(()));
    assert!(program.terminate().success());
    assert_eq!(bmc.state().closes, 1);
}
