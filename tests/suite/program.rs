//! The built program as a stranger meets it: started with arguments, talked to over HTTP, ended by a
//! signal.

use crate::tools::listening;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Long enough for a crowded machine; a test that waits so long fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Looks again and again until there is an answer; fails with `what` when there is none in time.
pub fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    until_within(PATIENCE, what, look)
}

/// As [`until`], with a patience of its own.
pub fn until_within<T>(patience: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + patience;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "not within {patience:?}: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// A command of the built program.
pub fn gramwatt<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gramwatt"));
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs the program to its end, which must come in time.
pub fn run<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Output {
    let mut child = Killed(gramwatt(arguments).spawn().unwrap());
    let (out, err) = (
        child.0.stdout.take().unwrap(),
        child.0.stderr.take().unwrap(),
    );
    let (out, err) = (drain(out), drain(err));
    let status = until("the program ends by itself", || child.0.try_wait().unwrap());
    Output {
        status,
        stdout: out.join().unwrap(),
        stderr: err.join().unwrap(),
    }
}

fn drain(mut from: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut all = Vec::new();
        let _ = from.read_to_end(&mut all);
        all
    })
}

/// A child that does not outlive its owner.
pub struct Killed(pub Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The lines that a child has written to standard error so far.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<String>>);

impl Log {
    pub fn of(child: &mut Child) -> Self {
        let log = Self::default();
        let (lines, stderr) = (log.clone(), child.stderr.take().unwrap());
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut text = lines.0.lock().unwrap();
                text.push_str(&line);
                text.push('\n');
            }
        });
        log
    }

    pub fn text(&self) -> String {
        self.0.lock().unwrap().clone()
    }

    /// The address that the first line with `message` gives.
    pub fn address(&self, message: &str) -> Option<SocketAddr> {
        let text = self.text();
        let line = text.lines().find(|line| line.contains(message))?;
        let (_, after) = line.split_once("address=")?;
        after.split_whitespace().next()?.parse().ok()
    }
}

/// A running gramwatt.
pub struct Program {
    child: Killed,
    pub address: SocketAddr,
    pub log: Log,
}

impl Program {
    /// Starts it on a free port, and waits until it is ready.
    pub fn start<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Self {
        let mut command = gramwatt(["--web.listen-address=127.0.0.1:0"]);
        command.args(arguments);
        Self::spawn(command)
    }

    /// Starts it with just these arguments, and waits until it is ready.
    pub fn spawn(mut command: Command) -> Self {
        let (child, log, address) = listening(&mut command, "message=listening");
        let program = Self {
            child,
            address,
            log,
        };
        until("gramwatt is ready", || {
            let ready = get(address, "/-/ready").ok()?;
            (ready.status == 200).then_some(())
        });
        program
    }

    pub fn pid(&self) -> i32 {
        self.child.0.id().cast_signed()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.pid()).unwrap(), signal).unwrap();
    }

    /// Ends it as a crash would.
    pub fn crash(mut self) {
        self.child.0.kill().unwrap();
        self.child.0.wait().unwrap();
    }

    /// Ends it as systemd would.
    pub fn terminate(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        until("SIGTERM ends it", || self.child.0.try_wait().unwrap())
    }

    pub fn get(&self, path: &str) -> Answer {
        get(self.address, path).unwrap()
    }

    pub fn reload(&self) -> Answer {
        exchange(self.address, "POST", "/-/reload", "Content-Length: 0\r\n").unwrap()
    }

    pub fn metrics(&self) -> Series {
        Series::of(&self.get("/metrics").body)
    }

    /// Most memory that it has had resident, in bytes.
    pub fn most_resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib: u64 = line
            .unwrap()
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .unwrap();
        kib << 10
    }
}

/// An HTTP answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

/// A GET on a connection of its own.
pub fn get(address: SocketAddr, path: &str) -> io::Result<Answer> {
    exchange(address, "GET", path, "")
}

/// A request on a connection of its own. HTTP/1.0, so that nobody answers in chunks.
pub fn exchange(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nHost: {address}\r\n{headers}\r\n"
    )?;
    let mut all = Vec::new();
    stream.read_to_end(&mut all)?;
    answer(&all)
}

/// An answer from its bytes.
pub fn answer(bytes: &[u8]) -> io::Result<Answer> {
    let text = String::from_utf8_lossy(bytes);
    let broken = || io::Error::other(format!("no HTTP answer: {text:.200}"));
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(broken)?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok(Answer {
        status: status.ok_or_else(broken)?,
        head: head.to_owned(),
        body: body.to_owned(),
    })
}

/// The samples of a page, by name and labels as they stand there.
#[derive(Debug, PartialEq)]
pub struct Series(BTreeMap<String, f64>);

impl Series {
    pub fn of(page: &str) -> Self {
        let sample = |line: &str| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.trim_end_matches("{}").to_owned(), value.parse().ok()?))
        };
        let lines = page.lines().filter(|line| !line.starts_with('#'));
        Self(lines.filter_map(sample).collect())
    }

    pub fn find(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }

    pub fn get(&self, name: &str) -> f64 {
        self.find(name)
            .unwrap_or_else(|| panic!("no {name} among {:#?}", self.0.keys()))
    }

    /// The samples whose names begin so.
    pub fn starting<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        let all = self.0.iter().map(|(name, value)| (name.as_str(), *value));
        all.filter(move |(name, _)| name.starts_with(prefix))
    }
}
