//! A program under measurement: its CPU time, its memory, and scrapes of it.

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A running program that answers scrapes. It ends when this is dropped.
pub struct Peer {
    child: Child,
    port: u16,
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What some scrapes took.
#[derive(Default)]
pub struct Scrapes {
    pub bytes: usize,
    cpu: f64,
    latencies: Vec<f64>,
}

impl Scrapes {
    pub fn add(&mut self, more: Self) {
        self.bytes = more.bytes;
        self.cpu += more.cpu;
        self.latencies.extend(more.latencies);
        self.latencies.sort_by(f64::total_cmp);
    }
    pub fn cpu_each(&self) -> f64 {
        self.cpu / self.latencies.len() as f64
    }
    /// The same of what was not added to anything.
    pub fn sorted_percentile(mut self, share: f64) -> f64 {
        self.latencies.sort_by(f64::total_cmp);
        self.percentile(share)
    }
    pub fn percentile(&self, share: f64) -> f64 {
        self.latencies[((self.latencies.len() - 1) as f64 * share) as usize]
    }
}

impl Peer {
    /// This build of gramwatt, told something more.
    pub fn gramwatt(tree: &Path, more: &[String]) -> Result<Self> {
        let port = free_port()?;
        Self::start(
            Command::new(env!("CARGO_BIN_EXE_gramwatt"))
                .args(more)
                .arg(format!("--path.sysfs={}", tree.join("sys").display()))
                .arg(format!("--path.procfs={}", tree.join("proc").display()))
                .arg(format!("--state.directory={}", tree.join("run").display()))
                .arg(format!("--web.listen-address=127.0.0.1:{port}"))
                .args(["--grid.zone=DE", "--log.level=error"]),
            port,
        )
    }

    /// Debian's node_exporter with its two power collectors and nothing else.
    pub fn node_exporter(tree: &Path) -> Result<Self> {
        let port = free_port()?;
        Self::start(
            Command::new("prometheus-node-exporter")
                .args([
                    "--collector.disable-defaults",
                    "--collector.rapl",
                    "--collector.hwmon",
                ])
                .args(["--web.disable-exporter-metrics", "--log.level=error"])
                .arg(format!("--path.sysfs={}", tree.join("sys").display()))
                .arg(format!("--path.procfs={}", tree.join("proc").display()))
                .arg(format!("--web.listen-address=127.0.0.1:{port}")),
            port,
        )
    }

    /// This build of gramwatt as a relay, told by a configuration.
    pub fn relay(config: &Path, state: &Path) -> Result<Self> {
        let port = free_port()?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_gramwatt"));
        command
            .arg("grid")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--state.directory={}", state.display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--log.level=error");
        Self::begin(&mut command, port, "tier=\"live\"")
    }

    /// One request of a node that comes, asks and goes: the answer's status, its mark and its length.
    pub fn ask(&self, path: &str, mark: Option<&str>) -> Result<(u16, String, usize)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        let mark = mark.map_or_else(String::new, |mark| format!("If-None-Match: {mark}\r\n"));
        write!(
            stream,
            "GET {path} HTTP/1.0\r\nHost: localhost\r\n{mark}\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
        let status = head.split(' ').nth(1).ok_or("no status")?.parse()?;
        let marked = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(name, _)| name.eq_ignore_ascii_case("etag"));
        let mark = marked.map_or("", |(_, mark)| mark).to_owned();
        Ok((status, mark, body.len()))
    }

    fn start(command: &mut Command, port: u16) -> Result<Self> {
        // Until a page with joules comes, it has not sampled yet.
        Self::begin(command, port, "joules_total{")
    }

    fn begin(command: &mut Command, port: u16, ready: &str) -> Result<Self> {
        let child = command.stderr(Stdio::inherit()).spawn().map_err(|error| {
            let mend = match error.kind() {
                ErrorKind::NotFound => ": apt-get install prometheus-node-exporter",
                _ => "",
            };
            format!("{}: {error}{mend}", command.get_program().to_string_lossy())
        })?;
        let peer = Self { child, port };
        let deadline = Instant::now() + Duration::from_secs(20);
        while !peer.scrape_once().is_ok_and(|page| page.contains(ready)) {
            if Instant::now() > deadline {
                return Err(format!("no page with {ready} within 20 s").into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(peer)
    }

    /// The page as it is now.
    pub fn page(&self) -> Result<String> {
        self.scrape_once()
    }

    fn scrape_once(&self) -> Result<String> {
        Ok(String::from_utf8(Client::connect(self.port)?.get()?)?)
    }

    /// Scrapes `count` times on one connection, as fast as answers come.
    pub fn scrape(&self, count: usize) -> Result<Scrapes> {
        let mut client = Client::connect(self.port)?;
        let mut scrapes = Scrapes::default();
        let before = self.cpu()?;
        for _ in 0..count {
            let start = Instant::now();
            scrapes.bytes = client.get()?.len();
            scrapes.latencies.push(start.elapsed().as_secs_f64());
        }
        scrapes.cpu = self.cpu()? - before;
        Ok(scrapes)
    }

    /// Share of a core that it uses while nobody scrapes.
    pub fn idle(&self, time: Duration) -> Result<f64> {
        let (before, start) = (self.cpu()?, Instant::now());
        std::thread::sleep(time);
        Ok((self.cpu()? - before) / start.elapsed().as_secs_f64())
    }

    /// CPU seconds of all its threads.
    pub fn cpu(&self) -> Result<f64> {
        let mut nanoseconds = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let text = fs::read_to_string(task?.path().join("schedstat"))?;
            nanoseconds += text.split(' ').next().unwrap_or_default().parse::<u64>()?;
        }
        Ok(nanoseconds as f64 / 1e9)
    }

    /// Resident memory.
    pub fn resident_mib(&self) -> Result<f64> {
        resident_mib(&self.child.id().to_string())
    }
}

/// Resident memory of a process, `self` for this one.
pub fn resident_mib(process: &str) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .ok_or("no VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024.0)
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// A client that keeps its connection, and asks as Prometheus does.
struct Client(BufReader<TcpStream>);

impl Client {
    fn connect(port: u16) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    fn get(&mut self) -> Result<Vec<u8>> {
        self.0.get_mut().write_all(
            b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\
              Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5\r\n\r\n",
        )?;
        let mut length = None;
        let mut chunked = false;
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line)?;
            let line = line.trim().to_ascii_lowercase();
            match line.split_once(':') {
                Some(("content-length", value)) => length = Some(value.trim().parse()?),
                Some(("transfer-encoding", _)) => chunked = true,
                Some(_) => {}
                None if line.is_empty() => break,
                None => {}
            }
        }
        let mut body = Vec::new();
        if chunked {
            while self.chunk(&mut body)? {}
        } else {
            body.resize(length.ok_or("neither length nor chunks")?, 0);
            self.0.read_exact(&mut body)?;
        }
        Ok(body)
    }

    fn chunk(&mut self, body: &mut Vec<u8>) -> Result<bool> {
        let mut size = String::new();
        self.0.read_line(&mut size)?;
        let size = usize::from_str_radix(size.trim(), 16)?;
        let start = body.len();
        body.resize(start + size, 0);
        self.0.read_exact(&mut body[start..])?;
        self.0.read_exact(&mut [0; 2])?;
        Ok(size > 0)
    }
}
