//! Others' programs that the tests call: where they are, and how they are run.

use crate::program::{Killed, Log, until};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A program that `make setup` fetches, or that the machine has.
pub fn tool(name: &str) -> PathBuf {
    let fetched = root().join("target/tools/bin").join(name);
    if fetched.exists() {
        fetched
    } else {
        name.into()
    }
}

pub fn mend(program: &Path, error: &std::io::Error) -> ! {
    panic!(
        "{}: {error}: run `make setup` (it fetches Debian's prometheus, which holds promtool, and snmpd, and a \
         Python environment with prometheus_client)",
        program.display()
    )
}

/// Runs a command to its end, whatever that is.
pub fn ended(command: &mut Command) -> Output {
    let program = PathBuf::from(command.get_program());
    command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| mend(&program, &error))
}

/// All that a command said.
pub fn said(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    format!("{out}{err}")
}

/// Runs a command to its end, which must be a good one, and gives what it printed.
pub fn done(command: &mut Command) -> String {
    let output = ended(command);
    assert!(output.status.success(), "{command:?}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Starts a command, which ends with the test.
pub fn started(command: &mut Command) -> Killed {
    let program = PathBuf::from(command.get_program());
    let child = command.stdout(Stdio::null()).spawn();
    Killed(child.unwrap_or_else(|error| mend(&program, &error)))
}

/// Starts a server, and waits until a line with `message` in its log says where it listens.
pub fn listening(command: &mut Command, message: &str) -> (Killed, Log, SocketAddr) {
    let mut server = started(command.stderr(Stdio::piped()));
    let log = Log::of(&mut server.0);
    let address = until("the server says where it listens", || {
        let ended = server.0.try_wait().unwrap();
        assert!(ended.is_none(), "{ended:?}: {}", log.text());
        log.address(message)
    });
    (server, log, address)
}
