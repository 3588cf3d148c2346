//! What it costs to look who uses the machine, and to show it: pods by the hundred, each busy, on the same
//! two-socket server.

use crate::Verdict;
use crate::process::Peer;
use crate::tree;
use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Processes of each pod.
const PROCESSES: usize = 20;

/// How long it is waited until all have names and joules, and how long it is then looked.
const SETTLE: Duration = Duration::from_secs(45);
const LOOK: Duration = Duration::from_secs(20);

/// Time and energy go on, once a second, until it is dropped.
struct Motion {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Motion {
    fn start(root: &Path, groups: Vec<File>) -> std::io::Result<Self> {
        let open = |path: &str| OpenOptions::new().write(true).open(root.join(path));
        let zones = [
            "intel-rapl:0",
            "intel-rapl:0:0",
            "intel-rapl:1",
            "intel-rapl:1:0",
        ];
        let zones: Result<Vec<File>, _> = zones
            .iter()
            .map(|zone| open(&format!("sys/class/powercap/{zone}/energy_uj")))
            .collect();
        let (zones, stat) = (zones?, open("proc/stat")?);
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        let start = Instant::now();
        let thread = thread::spawn(move || {
            let write = |file: &File, text: String| drop(file.write_all_at(text.as_bytes(), 0));
            while !flag.load(Ordering::Relaxed) {
                let seconds = start.elapsed().as_secs_f64();
                for zone in &zones {
                    write(zone, format!("{:.0}", 100e9 + seconds * 90e6));
                }
                // 80 CPUs, half of them busy.
                let half = 4e5 + seconds * 4000.0;
                write(&stat, format!("cpu {half:.0} 0 0 {half:.0} 0 0 0 0 0 0\n"));
                let each = seconds * 40.0 / groups.len().max(1) as f64;
                for group in &groups {
                    write(group, format!("usage_usec {:012.0}\n", each * 1e6));
                }
                thread::sleep(Duration::from_millis(500));
            }
        });
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Motion {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn pods(root: &Path, count: usize) -> std::io::Result<Vec<File>> {
    let slices = root.join("sys/fs/cgroup/kubepods.slice");
    fs::create_dir_all(&slices)?;
    fs::write(root.join("sys/fs/cgroup/cgroup.procs"), "")?;
    let mut files = Vec::with_capacity(count);
    for pod in 0..count {
        let name = format!("kubepods-pod00000000_0000_4000_8000_{pod:012x}.slice");
        let scope = slices
            .join(name)
            .join(format!("cri-containerd-{pod:064x}.scope"));
        fs::create_dir_all(&scope)?;
        for group in [scope.parent().unwrap_or(&scope), &scope] {
            fs::write(group.join("cpu.stat"), format!("usage_usec {:012}\n", 0))?;
            fs::write(group.join("memory.current"), "104857600\n")?;
            files.push(
                OpenOptions::new()
                    .write(true)
                    .open(group.join("cpu.stat"))?,
            );
        }
        for process in 0..PROCESSES {
            let proc = root.join(format!("proc/{}", 1000 + pod * PROCESSES + process));
            fs::create_dir(&proc)?;
            fs::write(proc.join("stat"), "1 (x) S 1\n")?;
        }
    }
    Ok(files)
}

/// CPU of looking and dividing, and scrapes of a large page, by the number of pods.
pub fn attribution(verdict: &mut Verdict) -> Result<(), Box<dyn Error>> {
    println!("\nwho uses the machine: pods of one container and {PROCESSES} processes, all busy");
    println!(
        "{:>6} {:>10} {:>16} {:>16} {:>12} {:>10} {:>10}",
        "pods", "processes", "% of a core", "us for each pod", "p99 scrape", "series", "MiB"
    );
    let mut without = 0.0;
    for count in [0, 50, 200, 500, 1000] {
        let root = tree::build()?;
        let groups = pods(root.path(), count)?;
        let config = root.path().join("gramwatt.yml");
        fs::write(&config, "workloads: {max: 1000}\n")?;
        let _motion = Motion::start(root.path(), groups)?;
        let peer = Peer::gramwatt(
            root.path(),
            &[format!("--config.file={}", config.display())],
        )?;
        thread::sleep(if count == 0 {
            Duration::from_secs(5)
        } else {
            SETTLE
        });
        let share = peer.idle(LOOK)?;
        let scrapes = peer.scrape(500)?;
        let page = peer.page()?;
        let series = page.lines().filter(|line| !line.starts_with('#')).count();
        let p99 = scrapes.sorted_percentile(0.99);
        if count == 0 {
            without = share;
        }
        let each = (share - without) / count.max(1) as f64 * 1e6;
        println!(
            "{count:>6} {:>10} {:>16.3} {each:>16.2} {:>9.2} ms {series:>10} {:>10.1}",
            count * PROCESSES,
            share * 100.0,
            p99 * 1e3,
            peer.resident_mib()?
        );
        let shown = page.matches("gramwatt_workload_info{").count();
        if shown < count {
            return Err(format!("{shown} of {count} pods are on the page").into());
        }
        let bound = match count {
            200 => 0.005,
            1000 => 0.02,
            _ => continue,
        };
        verdict.line(
            &format!(
                "looking and dividing, {count} pods, {} processes",
                count * PROCESSES
            ),
            &format!("{:.3} % of a core", share * 100.0),
            &format!("at most {} %", bound * 100.0),
            share <= bound,
        );
        if count == 1000 {
            verdict.line(
                &format!("p99 of a scrape of {series} series"),
                &format!("{:.2} ms", p99 * 1e3),
                "at most 5 ms",
                p99 <= 0.005,
            );
        }
    }
    Ok(())
}
