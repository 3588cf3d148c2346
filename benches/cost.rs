//! What gramwatt costs, beside Debian's `prometheus-node-exporter` on the same tree, in one run.
//!
//! `make bench` runs it. Every line says what is measured, what was found and, where there is one, the
//! bound; the program ends with 1 where a bound is broken. CPU times are the kernel's own account of
//! every thread (`schedstat`, nanoseconds); latencies are a client's, on one kept connection.

#[path = "cost/engine.rs"]
mod engine;
#[path = "cost/gpus.rs"]
mod gpus;
#[path = "cost/pods.rs"]
mod pods;
#[path = "cost/process.rs"]
mod process;
#[path = "cost/relay.rs"]
mod relay;
#[path = "../tests/replicas/redfish/server.rs"]
#[allow(dead_code, clippy::unwrap_used)]
mod replica;
#[path = "cost/tree.rs"]
mod tree;

use process::{Peer, Scrapes};
use std::error::Error;
use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// Scrapes in a round, and rounds for each of the two programs, in turn.
const SCRAPES: usize = 1000;
const ROUNDS: usize = 5;

/// What one figure came to.
struct Verdict {
    held: bool,
}

impl Verdict {
    fn line(&mut self, what: &str, found: &str, bound: &str, held: bool) {
        let mark = if held { "held" } else { "BROKEN" };
        println!("{what:<58} {found:>22}   {bound:<34} {mark}");
        self.held &= held;
    }
}

/// One thing that is measured.
type Part = fn(&mut Verdict) -> Result<(), Box<dyn Error>>;

fn main() -> Result<(), Box<dyn Error>> {
    // `cargo bench --bench cost -- pods` measures that alone.
    let named: Vec<String> = std::env::args()
        .skip(1)
        .filter(|name| !name.starts_with('-'))
        .collect();
    let mut verdict = Verdict { held: true };
    let parts: [(&str, Part); 5] = [
        ("scrape", |verdict| {
            against_node_exporter(tree::build()?.path(), verdict)
        }),
        ("gpus", gpus::sampling),
        ("memory", engine::flat_memory),
        ("relay", relay::a_thousand_nodes),
        ("pods", pods::attribution),
    ];
    for (name, part) in parts {
        if named.is_empty() || named.iter().any(|wanted| wanted == name) {
            part(&mut verdict)?;
        }
    }
    let binary =
        std::fs::metadata(env!("CARGO_BIN_EXE_gramwatt"))?.len() as f64 / f64::from(1 << 20);
    verdict.line(
        "stripped binary",
        &format!("{binary:.2} MiB"),
        "at most 16 MiB",
        binary <= 16.0,
    );
    if !verdict.held {
        return Err("a bound is broken".into());
    }
    Ok(())
}

fn against_node_exporter(tree: &Path, verdict: &mut Verdict) -> Result<(), Box<dyn Error>> {
    let ours = Peer::gramwatt(tree, &[])?;
    let theirs = Peer::node_exporter(tree)?;
    let (mut a, mut b) = (Scrapes::default(), Scrapes::default());
    for _ in 0..ROUNDS {
        a.add(ours.scrape(SCRAPES)?);
        b.add(theirs.scrape(SCRAPES)?);
    }
    println!(
        "{} scrapes each, in {ROUNDS} turns; page of ours {} bytes, of node_exporter {} bytes\n",
        SCRAPES * ROUNDS,
        a.bytes,
        b.bytes
    );
    let (cpu, other) = (a.cpu_each(), b.cpu_each());
    verdict.line(
        "CPU for each scrape, sampling included",
        &format!("{:.0} us / {:.0} us", cpu * 1e6, other * 1e6),
        &format!("at most 1/4; ratio {:.3}", cpu / other),
        cpu <= other / 4.0,
    );
    let (p99, slow) = (a.percentile(0.99), b.percentile(0.99));
    verdict.line(
        "p99 latency of a scrape",
        &format!("{:.0} us / {:.0} us", p99 * 1e6, slow * 1e6),
        "no worse",
        p99 <= slow,
    );
    let (p50, half) = (a.percentile(0.5), b.percentile(0.5));
    println!(
        "{:<58} {:>22}",
        "p50",
        format!("{:.0} us / {:.0} us", p50 * 1e6, half * 1e6)
    );
    let (mine, other) = (ours.resident_mib()?, theirs.resident_mib()?);
    verdict.line(
        "resident memory after that",
        &format!("{mine:.1} / {other:.1} MiB"),
        "at most 1/2",
        mine <= other / 2.0,
    );
    sampling(&ours, tree, verdict)
}

/// The idle exporter: nothing but sampling at 1 Hz.
fn sampling(ours: &Peer, tree: &Path, verdict: &mut Verdict) -> Result<(), Box<dyn Error>> {
    let share = ours.idle(Duration::from_secs(30))?;
    verdict.line(
        "sampling at 1 Hz: two sockets, dram, ACPI meter",
        &format!("{:.4} % of a core", share * 100.0),
        "at most 0.1 %",
        share <= 0.001,
    );
    let files: Vec<File> = tree::sampled(tree)
        .iter()
        .map(File::open)
        .collect::<Result<_, _>>()?;
    let rounds = 20_000;
    let start = Instant::now();
    let mut buffer = [0; 64];
    for _ in 0..rounds {
        for file in &files {
            black_box(file.read_at(&mut buffer, 0)?);
        }
    }
    let floor = start.elapsed().as_secs_f64() / f64::from(rounds);
    println!(
        "{:<58} {:>22}   floor of the line above",
        format!("bare pread of the same {} files once", files.len()),
        format!("{:.4} % of a core", floor * 100.0)
    );
    Ok(())
}
