//! The figures of whole runs: what the shipped program says of them is what the exporter books in the same time.

use super::{Exporter, QUICK, Started, over, python};
use crate::program::{Series, gramwatt, until};
use serde_json::{Value as Json, json};
use std::ffi::OsString;
use std::fs;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A machine of two GPUs whose power moves. The command is on both, more on one, while a file has its number.
struct Gpus(TempDir);

impl Gpus {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        fs::copy(crate::nvml::standin(), folder.path().join("nvml.so")).unwrap();
        let number = folder.path().join("pid");
        let wave = json!([{"seconds": 1e9, "shape": {"square": {"low": 150.0, "high": 450.0, "period": 0.7, "duty": 0.4}}}]);
        let gpu = |index: u32, processes: Json| {
            json!({
                "uuid": format!("GPU-{index}"), "name": "NVIDIA H100 80GB HBM3", "architecture": 9,
                "pci": format!("00000000:{:02X}:00.0", 0x10 + index), "waveform": wave,
                "processes": processes, "utilization_of_processes": true,
            })
        };
        let command = |sm: u32| json!({"pid_file": number, "sm": sm});
        let scenario =
            json!({"gpus": [gpu(0, json!([command(80)])), gpu(1, json!([command(40)]))]});
        fs::write(folder.path().join("nvml.so.json"), scenario.to_string()).unwrap();
        Self(folder)
    }

    fn config(&self) -> String {
        let library = self.0.path().join("nvml.so");
        let quick = QUICK.replace(
            "interval: 200ms}\nworkloads",
            &format!(
                "interval: 200ms, nvml: {{library: '{}'}}}}\nworkloads",
                library.display()
            ),
        );
        format!("{quick}grid: {{intensity: 360}}\n")
    }

    fn appears(&self, pid: u32) {
        fs::write(self.0.path().join("new"), pid.to_string()).unwrap();
        fs::rename(self.0.path().join("new"), self.0.path().join("pid")).unwrap();
    }

    fn vanishes(&self) {
        fs::remove_file(self.0.path().join("pid")).unwrap();
    }
}

/// Joules of GPUs of those who run on the machine itself.
fn of_system(page: &Series) -> f64 {
    let all = page.starting("gramwatt_workload_energy_joules_total{workload_type=\"system\"");
    all.filter(|(name, _)| name.contains("kind=\"gpu\""))
        .map(|(_, joules)| joules)
        .sum()
}

fn of_run(page: &Series, name: &str) -> f64 {
    let prefix = format!("gramwatt_run_energy_joules_total{{run=\"{name}\"");
    let all = page.starting(&prefix);
    all.filter(|(name, _)| name.contains("kind=\"gpu\""))
        .map(|(_, joules)| joules)
        .sum()
}

/// All looks since now have been made and their joules divided: what does not move any more is all there is.
fn until_it_stands(exporter: &Exporter, name: &str) -> f64 {
    let (mut last, mut since) = (0.0, Instant::now());
    until("its joules stand still", || {
        let now = of_run(&exporter.program().metrics(), name);
        if now > last {
            (last, since) = (now, Instant::now());
        }
        (now > 0.0 && since.elapsed() > Duration::from_millis(1000)).then_some(now)
    })
}

#[test]
fn a_command_on_gpus_has_what_the_exporter_books_for_its_processes() {
    let gpus = Gpus::new();
    // Without the command every GPU is free, and with it the machine's.
    let exporter = Exporter::with(&gpus.config());
    let tells = "import os\nprint(os.getpid(), flush=True)\ninput()";
    let mut run = exporter.run(&["--name=train"], python(tells));
    let mut run = Started::new(run.stdin(Stdio::piped()));
    run.until_says("\n");
    let pid: u32 = run.out.text().trim().parse().unwrap();
    exporter.until_run("train", |run| run["processes"] == 1);
    let before = of_system(&exporter.program().metrics());
    gpus.appears(pid);
    until("it has used both GPUs for a while", || {
        (of_run(&exporter.program().metrics(), "train") > 900.0).then_some(())
    });
    gpus.vanishes();
    let joules = until_it_stands(&exporter, "train");
    let page = exporter.program().metrics();
    let watts = page.starting("gramwatt_run_power_watts{run=\"train\"");
    let watts: f64 = watts
        .filter(|(name, _)| name.contains("kind=\"gpu\""))
        .map(|(_, watts)| watts)
        .sum();
    assert_eq!(watts, 0.0, "nothing of it is on a GPU any more");
    let booked = of_system(&page) - before;
    assert!(
        (joules - booked).abs() < 1e-6 * booked,
        "{joules} J of {booked} J"
    );
    drop(run.child.0.stdin.take());
    let over = run.over();
    assert!(
        over.err.contains("energy") && over.err.contains("gpu "),
        "{}",
        over.err
    );
    let last = exporter.until_run("train", |run| run["settled"] == true);
    let said = last["kinds"]["gpu"]["joules"].as_f64().unwrap();
    assert!(
        (said - joules).abs() < 1e-6 * joules,
        "{said} J, {joules} J"
    );
}

/// The same alone on its GPUs, measured by itself: the report has what the GPUs drew in that time.
#[test]
fn a_command_that_has_a_gpu_to_itself_has_all_that_the_gpu_draws() {
    let gpus = Gpus::new();
    let config = gpus.0.path().join("gramwatt.yml");
    fs::write(&config, gpus.config()).unwrap();
    let report = gpus.0.path().join("report.json");
    let number = gpus.0.path().join("pid");
    let text = "
import os, sys, time
with open(sys.argv[1] + '.new', 'w') as file: print(os.getpid(), file=file)
os.rename(sys.argv[1] + '.new', sys.argv[1])
end = time.monotonic() + 4
while time.monotonic() < end: pass
";
    let mut command: Vec<OsString> = python(text);
    command.push(number.into());
    let mut run = gramwatt(["run", "--by=itself", "--name=alone"]);
    run.arg(format!("--config.file={}", config.display()))
        .arg(format!("--report={}", report.display()))
        .arg("--")
        .args(command);
    let over = over(&mut run);
    assert_eq!(over.code, 0, "{over:?}");
    let page: Json = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
    let seconds = page["run"]["seconds"].as_f64().unwrap();
    let joules = page["run"]["kinds"]["gpu"]["joules"].as_f64().unwrap();
    // 150 W, and 300 W more for 0.4 of the time: 270 W on each.
    let expected = 270.0 * 2.0 * seconds;
    assert!(
        (joules / expected - 1.0).abs() < 0.15,
        "{joules} J and not {expected} J in {seconds} s"
    );
}

/// Moves the counter of a processor that draws 100 W whatever it does.
struct Rapl {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

const WATTS: f64 = 100.0;

impl Rapl {
    /// In a tree that an exporter is to read.
    fn start(folder: &std::path::Path) -> Self {
        let zone = folder.join("sys/class/powercap/intel-rapl:0");
        fs::create_dir_all(&zone).unwrap();
        fs::write(zone.join("name"), "package-0\n").unwrap();
        fs::write(zone.join("max_energy_range_uj"), "262143328850\n").unwrap();
        fs::write(zone.join("energy_uj"), "0\n").unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, began) = (Arc::clone(&stop), Instant::now());
        let thread = thread::spawn(move || {
            let draft = zone.join("draft");
            while !stopped.load(Ordering::SeqCst) {
                let joules = began.elapsed().as_secs_f64() * WATTS;
                let told = fs::write(&draft, format!("{:.0}\n", joules * 1e6))
                    .and_then(|()| fs::rename(&draft, zone.join("energy_uj")));
                if told.is_err() {
                    // Whoever had the tree is gone, and it with them.
                    return;
                }
                thread::sleep(Duration::from_millis(5));
            }
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Rapl {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// Of a processor whose rest is nothing, a burner has at the least its part of a machine on which all others work as
/// well, and at the most all of it.
#[test]
fn a_burner_of_a_known_time_has_its_part_of_the_processors() {
    let folder = TempDir::new().unwrap();
    let _rapl = Rapl::start(folder.path());
    let config = format!(
        "{}grid: {{intensity: 360}}\n",
        QUICK.replace("introduce: 0s", "introduce: 0s, idle_power: {cpu: 0}")
    );
    let exporter = Exporter::within(folder, &config);
    let burn = "import os, time\nend = time.process_time() + 1\nwhile time.process_time() < end: pass\nif os.fork() == 0:\n while time.process_time() < 0.5: pass\nelse: os.wait()";
    assert_eq!(
        over(&mut exporter.run(&["--name=burn"], python(burn))).code,
        0
    );
    let run = exporter.until_run("burn", |run| run["settled"] == true);
    let (joules, seconds) = (
        run["kinds"]["cpu"]["joules"].as_f64().unwrap(),
        run["seconds"].as_f64().unwrap(),
    );
    let cpus = f64::from(u32::try_from(thread::available_parallelism().unwrap().get()).unwrap());
    // 1.5 s of CPU time, of which a look at its beginning and its end may miss some.
    let least = 0.85 * 1.5 * WATTS / cpus;
    assert!(
        (least..=WATTS * seconds * 1.01).contains(&joules),
        "{joules} J of {least} to {} J",
        WATTS * seconds
    );
}
