//! A relay and a thousand nodes that ask it, each once a minute: what it costs, and what the provider hears
//! of it.

use crate::Verdict;
use crate::process::Peer;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const NODES: usize = 1000;

const ZONES: [&str; 4] = ["DE", "FR", "PL", "SE"];

/// What a relay asks of a zone: what is, what was, what will be.
const REQUESTS: usize = 3;

/// Electricity Maps, with a day behind and two ahead.
fn provider() -> Result<(SocketAddr, Arc<AtomicUsize>), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that has seen enough hangs up.
            let _ = serve(&stream, &count);
        }
    });
    Ok((address, asked))
}

fn serve(mut stream: &TcpStream, asked: &AtomicUsize) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let line = lines.next().unwrap_or_default();
    while lines.next().is_some_and(|line| !line.is_empty()) {}
    asked.fetch_add(1, Ordering::Relaxed);
    let zone = line.split_once("zone=").map_or("", |(_, rest)| rest);
    let zone = zone.split('&').next().unwrap_or_default();
    let now = jiff::Timestamp::now().as_second();
    let value = |hour: i64| {
        let at = now - now % 3600 + hour * 3600;
        let at = jiff::Timestamp::from_second(at).unwrap_or_default();
        format!("\"carbonIntensity\":{},\"datetime\":\"{at}\"", 300 + hour)
    };
    let list = |name: &str, hours: std::ops::Range<i64>| {
        let mut text = format!(",\"{name}\":[");
        for hour in hours.clone() {
            let comma = if hour == hours.start { "" } else { "," };
            let _ = write!(text, "{comma}{{{}}}", value(hour));
        }
        text + "]"
    };
    let rest = match line.split(['/', '?', ' ']).nth(4) {
        Some("latest") => format!(",{}", value(0)),
        Some("history") => list("history", -24..1),
        _ => list("forecast", 1..49),
    };
    let body = format!("{{\"zone\":\"{zone}\"{rest}}}");
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

pub fn a_thousand_nodes(verdict: &mut Verdict) -> Result<(), Box<dyn Error>> {
    let (address, asked) = provider()?;
    let folder = tempfile::tempdir()?;
    let (token, config) = (
        folder.path().join("token"),
        folder.path().join("gramwatt.yaml"),
    );
    fs::write(&token, "token\n")?;
    fs::write(
        &config,
        format!(
            "grid: {{zones: [{}], providers: [{{type: electricity-maps, token_file: {}, forecast: true, \
             base_url: \"http://{address}\"}}]}}\n",
            ZONES.join(", "),
            token.display()
        ),
    )?;
    let relay = Peer::relay(&config, &folder.path().join("state"))?;
    let most = ZONES.len() * REQUESTS;
    let deadline = Instant::now() + Duration::from_secs(60);
    while asked.load(Ordering::Relaxed) < most {
        if Instant::now() > deadline {
            return Err("the relay has not asked for all of its zones within 60 s".into());
        }
        thread::sleep(Duration::from_millis(50));
    }
    // What was asked for last is told a moment later.
    thread::sleep(Duration::from_secs(1));
    let (mut marks, mut lengths) = (Vec::new(), 0);
    let mut cost = |is_marked: bool| -> Result<f64, Box<dyn Error>> {
        let before = relay.cpu()?;
        for node in 0..NODES {
            let path = format!("/v1/intensity?zone={}", ZONES[node % ZONES.len()]);
            let mark = is_marked.then(|| marks.get(node).map_or("", String::as_str));
            let (status, mark, length) = relay.ask(&path, mark)?;
            if status != if is_marked { 304 } else { 200 } {
                return Err(format!("{path} is answered with {status}").into());
            }
            if !is_marked {
                marks.push(mark);
                lengths = length;
            }
        }
        Ok(relay.cpu()? - before)
    };
    let (whole, marked) = (cost(false)?, cost(true)?);
    verdict.line(
        "relay: CPU for a thousand nodes that ask once a minute",
        &format!("{:.3} % of a core", whole / 60.0 * 100.0),
        &format!("at most 1 %; sheets of {lengths} bytes"),
        whole <= 0.6,
    );
    verdict.line(
        "relay: the same where nothing has changed (ETag)",
        &format!("{:.3} % of a core", marked / 60.0 * 100.0),
        "at most 1 %",
        marked <= 0.6,
    );
    let resident = relay.resident_mib()?;
    verdict.line(
        "relay: resident memory after that",
        &format!("{resident:.1} MiB"),
        "at most 32 MiB",
        resident <= 32.0,
    );
    let heard = asked.load(Ordering::Relaxed);
    verdict.line(
        "relay: requests that its provider heard of, for 4 zones",
        &format!("{heard}"),
        "latest, history, forecast of each: 12",
        heard == most,
    );
    Ok(())
}
