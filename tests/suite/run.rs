//! `gramwatt run` and the socket of runs: the shipped program around real commands, on pipes and on terminals, next to
//! an exporter and by itself.

mod away;
mod bad_input;
mod figures;
mod passes;
mod progress;
mod requests;
mod shares;
mod signals;
mod socket;
mod terminal;
mod world;

use crate::program::{Killed, Program, gramwatt, until};
use crate::tools::tool;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value as Json;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use tempfile::TempDir;

/// Looks often, so that tests need not wait.
const QUICK: &str = "sensors: {interval: 200ms}\nworkloads: {interval: 200ms, gpu_interval: 200ms, introduce: 0s}\n";

/// An exporter on a machine without sensors: power is modelled by what the real processors do.
struct Exporter {
    folder: TempDir,
    program: Option<Program>,
    /// What else it needs.
    more: Vec<TempDir>,
}

impl Exporter {
    fn start() -> Self {
        Self::with(&format!("{QUICK}grid: {{intensity: 360}}\n"))
    }

    fn with(config: &str) -> Self {
        Self::within(TempDir::new().unwrap(), config)
    }

    /// On what a folder has of a machine.
    fn within(folder: TempDir, config: &str) -> Self {
        fs::create_dir_all(folder.path().join("sys/fs/cgroup/system.slice")).unwrap();
        fs::write(folder.path().join("sys/fs/cgroup/cgroup.procs"), "").unwrap();
        fs::write(folder.path().join("gramwatt.yml"), config).unwrap();
        let mut exporter = Self {
            folder,
            program: None,
            more: Vec::new(),
        };
        exporter.again();
        exporter
    }

    /// Starts it on what is there.
    fn again(&mut self) {
        self.program = Some(Program::start([
            self.flag("config.file", "gramwatt.yml"),
            self.flag("path.sysfs", "sys"),
            self.flag("state.directory", "state"),
        ]));
        until("somebody uses the machine", || {
            let page = self.program().metrics();
            page.starting("gramwatt_workload_power_watts")
                .next()
                .is_some()
                .then_some(())
        });
    }

    fn crash(&mut self) {
        self.program.take().unwrap().crash();
    }

    fn program(&self) -> &Program {
        self.program.as_ref().unwrap()
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn flag(&self, flag: &str, name: &str) -> String {
        format!("--{flag}={}", self.at(name).display())
    }

    fn socket(&self) -> PathBuf {
        self.at("state/runs.sock")
    }

    /// `gramwatt run` that asks it.
    fn run<S: AsRef<OsStr>>(
        &self,
        flags: &[&str],
        command: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut run = gramwatt([
            "run",
            "--by=exporter",
            &self.flag("socket", "state/runs.sock"),
        ]);
        run.args(flags).arg("--").args(command);
        run
    }

    /// A request by this process.
    fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Json) {
        let length = format!("Content-Length: {}\r\n", body.len());
        let text = format!("{method} {path} HTTP/1.0\r\n{length}\r\n{body}");
        answered(&mut self.say(&text))
    }

    /// A connection on which so much was said.
    fn say(&self, text: &str) -> UnixStream {
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        stream
    }

    /// All runs.
    fn runs(&self) -> Vec<Json> {
        let (status, Json::Array(runs)) = self.ask("GET", "/v1/runs", "") else {
            panic!("no list of runs");
        };
        assert_eq!(status, 200);
        runs
    }

    /// The run of a name, once it is as it should be.
    fn until_run(&self, name: &str, is_so: impl Fn(&Json) -> bool) -> Json {
        until(&format!("the run {name} is as it should be"), || {
            let runs = self.runs();
            let found = runs.iter().find(|run| run["name"] == name)?;
            is_so(found).then(|| found.clone())
        })
    }
}

/// The answer to what was asked, to its end.
fn answered(stream: &mut UnixStream) -> (u16, Json) {
    stream
        .set_read_timeout(Some(crate::program::PATIENCE))
        .unwrap();
    let mut all = Vec::new();
    // What was not read of a request breaks the connection after the answer.
    let read = stream.read_to_end(&mut all);
    let answer = crate::program::answer(&all).unwrap_or_else(|error| panic!("{read:?}: {error}"));
    assert!(
        answer
            .head
            .to_lowercase()
            .contains("content-type: application/json")
    );
    assert!(answer.body.ends_with('\n'), "{answer:?}");
    (answer.status, serde_json::from_str(&answer.body).unwrap())
}

/// A command of Python's, without what a site adds to it.
fn python(text: &str) -> Vec<OsString> {
    let program = tool("python3").into_os_string();
    vec![program, "-ISuc".into(), text.into()]
}

fn shell(text: &str) -> [&str; 3] {
    ["sh", "-c", text]
}

/// What a stream has said so far.
struct Heard(Arc<Mutex<Vec<u8>>>, JoinHandle<()>);

impl Heard {
    fn of(mut from: impl Read + Send + 'static) -> Self {
        let all = Arc::<Mutex<Vec<u8>>>::default();
        let heard = Arc::clone(&all);
        let reader = thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = from.read(&mut piece) {
                heard.lock().unwrap().extend_from_slice(&piece[..length]);
            }
        });
        Self(all, reader)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }

    fn whole(self) -> Vec<u8> {
        self.1.join().unwrap();
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// A program that was started with pipes.
struct Started {
    child: Killed,
    out: Heard,
    err: Heard,
}

/// What it was in the end.
#[derive(Debug)]
struct Over {
    code: i32,
    out: Vec<u8>,
    err: String,
}

impl Over {
    fn text(&self) -> String {
        String::from_utf8(self.out.clone()).unwrap()
    }
}

impl Started {
    fn new(command: &mut Command) -> Self {
        let child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child: Child = child.unwrap();
        let out = Heard::of(child.stdout.take().unwrap());
        let err = Heard::of(child.stderr.take().unwrap());
        let child = Killed(child);
        Self { child, out, err }
    }

    fn until_says(&mut self, text: &str) {
        until(&format!("it says {text:?}"), || {
            let said = self.out.text().contains(text) || self.err.text().contains(text);
            let ended = self.child.0.try_wait().unwrap();
            assert!(
                said || ended.is_none(),
                "{ended:?}: {}{}",
                self.out.text(),
                self.err.text()
            );
            said.then_some(())
        });
    }

    fn pid(&self) -> u32 {
        self.child.0.id()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.pid().cast_signed()).unwrap(), signal).unwrap();
    }

    fn is_over(&mut self) -> bool {
        self.child.0.try_wait().unwrap().is_some()
    }

    /// Waits for its end, and then for what it said. A signal that ended it counts as a shell has it, negative.
    fn over(mut self) -> Over {
        let status = until("it ends", || self.child.0.try_wait().unwrap());
        let code = status.code();
        Over {
            code: code.unwrap_or_else(|| -status.signal().unwrap()),
            out: self.out.whole(),
            err: String::from_utf8(self.err.whole()).unwrap(),
        }
    }
}

/// Runs a command to its end.
fn over(command: &mut Command) -> Over {
    Started::new(command).over()
}
