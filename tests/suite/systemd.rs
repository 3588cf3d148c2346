//! The unit files as systemd's own tools see them, and the command of the service as systemd runs it. No test needs a
//! running systemd.

use crate::moving::Machine;
use crate::program::{Killed, Program, get, gramwatt, until};
use crate::tools::{ended, mend, root, tool};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// The exposure that `systemd-analyze security` may find, in tenths: 2.0.
const MOST_EXPOSED: &str = "--threshold=20";

pub fn file(name: &str) -> PathBuf {
    root().join("deploy/systemd").join(name)
}

/// Asks systemd's own checker. Where `make setup` has unpacked it, the units of the system come from there too.
fn analyze(arguments: &[&str], units: &[PathBuf]) -> Output {
    let unpacked = root().join("target/tools/systemd/lib/systemd/system");
    ended(
        Command::new(tool("systemd-analyze"))
            .args(arguments)
            .args(units)
            .env("SYSTEMD_UNIT_PATH", format!("{}:", unpacked.display())),
    )
}

/// The service's command with this program and these flags, as systemd would split and expand it.
fn command(flags: &[String]) -> Vec<String> {
    let unit = fs::read_to_string(file("gramwatt.service")).unwrap();
    let line = unit
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart="));
    let (shell, rest) = line.unwrap().split_once(" -c '").unwrap();
    let (script, rest) = rest.split_once("' ").unwrap();
    let (name, flags_of_file) = rest.split_once(' ').unwrap();
    assert_eq!(flags_of_file, "$GRAMWATT_ARGS");
    let script = script.replace("$$", "$");
    assert!(script.contains(" /usr/bin/gramwatt "), "{script}");
    let script = script.replace("/usr/bin/gramwatt", env!("CARGO_BIN_EXE_gramwatt"));
    let words = [shell, "-c", &script, name].map(str::to_owned);
    words.into_iter().chain(flags.iter().cloned()).collect()
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    let units = [
        "gramwatt.service",
        "gramwatt.socket",
        "gramwatt-runs.socket",
    ]
    .map(file);
    let output = analyze(&["verify", "--man=no"], &units);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[test]
fn the_service_is_shut_in() {
    let output = analyze(
        &["security", "--offline=true", "--no-pager", MOST_EXPOSED],
        &[file("gramwatt.service")],
    );
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("Overall exposure level for gramwatt.service"),
        "{said}"
    );
}

#[test]
fn the_sandbox_lets_see_what_is_measured() {
    let unit = fs::read_to_string(file("gramwatt.service")).unwrap();
    // Each of these hides a sensor, or who used the machine, and would please `systemd-analyze security`.
    for hidden in [
        "PrivateDevices=",
        "PrivateUsers=",
        "PrivateNetwork=",
        "ProtectProc=",
        "ProcSubset=",
    ] {
        assert!(
            !unit.lines().any(|line| line.starts_with(hidden)),
            "{hidden}"
        );
    }
    for line in [
        "AmbientCapabilities=CAP_DAC_READ_SEARCH",
        "CapabilityBoundingSet=CAP_DAC_READ_SEARCH",
        "DeviceAllow=char-nvidia* rw",
        "DeviceAllow=char-ipmidev rw",
        "RuntimeDirectory=gramwatt",
        "RuntimeDirectoryPreserve=yes",
    ] {
        assert!(unit.lines().any(|other| other == line), "{line}");
    }
}

#[test]
fn a_socket_of_systemd_is_served_from_the_first_request() {
    let machine = Machine::two_packages();
    // An address of this process alone, so that nobody else takes the port in between. Port 0 is refused.
    let [.., second, third] = std::process::id().to_be_bytes();
    let free = TcpListener::bind((format!("127.{}.{third}.9", second.max(1)), 0));
    let address = free.unwrap().local_addr().unwrap();
    let program = tool("systemd-socket-activate");
    let runs = machine.path("runs.sock");
    let child = Command::new(&program)
        .arg(format!("--listen={address}"))
        .arg(format!("--listen={}", runs.display()))
        .arg("--fdname=gramwatt.socket:gramwatt-runs.socket")
        .args(command(&machine.with(&["--sensors.interval=100ms"])))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| mend(&program, &error));
    // It becomes gramwatt at the first connection, by way of the shell, without another process.
    let child = Killed(child);
    until("a socket that systemd opened tells watts", || {
        let page = get(address, "/metrics").ok()?;
        page.body
            .contains("gramwatt_device_power_watts")
            .then_some(())
    });
    let name = fs::read_to_string(format!("/proc/{}/comm", child.0.id())).unwrap();
    assert_eq!(name.trim(), "gramwatt");
    let mut asked = UnixStream::connect(&runs).unwrap();
    asked
        .write_all(b"GET /v1/runs HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    asked.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.ends_with("[]\n"), "{answer}");
}

#[test]
fn the_service_listens_by_itself_without_the_socket_and_says_when_it_is_ready() {
    let machine = Machine::two_packages();
    let heard = machine.path("notify");
    let systemd = UnixDatagram::bind(&heard).unwrap();
    systemd
        .set_read_timeout(Some(crate::program::PATIENCE))
        .unwrap();
    let words = command(&machine.with(&[
        "--web.listen-address=127.0.0.1:0",
        "--sensors.interval=100ms",
    ]));
    let (shell, arguments) = words.split_first().unwrap();
    let mut command = Command::new(shell);
    command
        .args(arguments)
        .env_remove("LISTEN_FDNAMES")
        .env("NOTIFY_SOCKET", &heard)
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    let program = Program::spawn(command);
    let mut buffer = [0; 256];
    let length = systemd.recv(&mut buffer).unwrap();
    let said = String::from_utf8_lossy(&buffer[..length]);
    assert!(said.lines().any(|line| line == "READY=1"), "{said}");
    assert!(program.terminate().success());
}

#[test]
fn the_configuration_of_the_packages_is_right() {
    let flags = fs::read_to_string(file("gramwatt.default")).unwrap();
    assert!(flags.contains("\nGRAMWATT_ARGS=\"--config.file=/etc/gramwatt/gramwatt.yaml\"\n"));
    let text = fs::read_to_string(file("gramwatt.yaml")).unwrap();
    // With every example taken out of its comment, and as it comes.
    let whole: String = text
        .lines()
        .filter(|line| !line.starts_with("# "))
        .map(|line| format!("{}\n", line.trim_start_matches('#')))
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let web = folder.path().join("web.yaml");
    let token = folder.path().join("electricity-maps.token");
    fs::write(&web, "").unwrap();
    fs::write(&token, "secret\n").unwrap();
    let whole = whole.replace("/etc/gramwatt", &folder.path().display().to_string());
    for text in [text, whole] {
        let path = folder.path().join("gramwatt.yaml");
        fs::write(&path, &text).unwrap();
        let output = gramwatt(["check-config".as_ref(), path.as_os_str()])
            .output()
            .unwrap();
        assert!(output.status.success(), "{text}: {output:?}");
    }
}
