//! A node with eight GPUs and two sockets: what it costs to read them, beyond what NVIDIA's library itself
//! takes (here its stand-in).

use crate::process::{Peer, Scrapes};
use crate::replica::{Manner, PASSWORD, Replica, USER};
use crate::{ROUNDS, SCRAPES, Verdict, tree};
use nvml_wrapper::Nvml;
use serde_json::json;
use std::error::Error;
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// GPUs of the node.
const GPUS: u32 = 8;

/// The stand-in, which cargo has built beside this bench, with a scenario beside a copy of it.
fn library(folder: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let bench = std::env::current_exe()?;
    let built = bench
        .parent()
        .ok_or("no folder")?
        .join("libnvml_standin.so");
    let library = folder.join("libnvidia-ml.so.1");
    fs::copy(built, &library)?;
    let gpu = |n: u32| {
        json!({
            "uuid": format!("GPU-{n:08}-aaaa-bbbb-cccc-dddddddddddd"),
            "name": "NVIDIA H100 80GB HBM3",
            "pci": format!("00000000:{:02X}:00.0", 0x1a + n),
            "architecture": 9,
            "waveform": [{"seconds": 60, "shape": {"square": {"low": 90, "high": 690, "period": 7, "duty": 0.5}}}],
            "limit_watts": 700,
            "utilization": 50,
        })
    };
    let gpus: Vec<_> = (0..GPUS).map(gpu).collect();
    fs::write(
        folder.join("libnvidia-ml.so.1.json"),
        json!({"gpus": gpus}).to_string(),
    )?;
    Ok(library)
}

/// CPU seconds that the library takes for what is asked of all GPUs in one second.
fn floor(library: &Path) -> Result<f64, Box<dyn Error>> {
    let nvml = Nvml::builder().lib_path(library.as_os_str()).init()?;
    let devices = (0..GPUS)
        .map(|n| nvml.device_by_index(n))
        .collect::<Result<Vec<_>, _>>()?;
    let rounds = 2000;
    let start = Instant::now();
    for _ in 0..rounds {
        for device in &devices {
            black_box(device.total_energy_consumption()?);
            black_box(device.utilization_rates()?);
        }
    }
    Ok(start.elapsed().as_secs_f64() / f64::from(rounds))
}

/// The configuration of a node whose controller is this replica.
fn configuration(folder: &Path, bmc: &Replica) -> Result<String, Box<dyn Error>> {
    let file = |name: &str| folder.join(name).display().to_string();
    fs::write(file("ca.pem"), &bmc.authority)?;
    fs::write(
        file("bmc.yaml"),
        format!("username: {USER}\npassword: {PASSWORD}\n"),
    )?;
    let config = format!(
        "sensors: {{redfish: [{{url: \"{}\", ca_file: {}, credentials_file: {}, timeout: 30s, interval: 40s}}]}}\n",
        bmc.url(),
        file("ca.pem"),
        file("bmc.yaml"),
    );
    // What is measured is the pace at defaults; a controller that hangs is given its 30 seconds.
    fs::write(
        file("usual.yaml"),
        config.replace(", timeout: 30s, interval: 40s", ""),
    )?;
    fs::write(file("hanging.yaml"), config)?;
    Ok(file(""))
}

/// The idle exporter on such a node; and its scrapes, while the controller answers and while it hangs.
pub fn sampling(verdict: &mut Verdict) -> Result<(), Box<dyn Error>> {
    let root = tree::build()?;
    let library = library(root.path())?;
    let floor = floor(&library)?;
    let bmc = Replica::start("new");
    let folder = configuration(root.path(), &bmc)?;
    let more = |config: &str, folder: &str| {
        let library = library.display();
        [
            format!("--sensor.nvml.library={library}"),
            format!("--config.file={folder}{config}"),
        ]
    };
    let ours = Peer::gramwatt(root.path(), &more("usual.yaml", &folder))?;
    let share = ours.idle(Duration::from_secs(40))?;
    verdict.line(
        "sampling at defaults: 8 GPUs, two sockets, Redfish",
        &format!("{:.4} % of a core", share * 100.0),
        &format!("0.2 % beyond the library's {:.4} %", floor * 100.0),
        share - floor <= 0.002,
    );
    let silent = Replica::start("new");
    let paths: Vec<String> = silent.state().bodies.keys().cloned().collect();
    for path in paths {
        silent.set(&path, Manner::Silent);
    }
    let other = tree::build()?;
    let folder = configuration(other.path(), &silent)?;
    let hung = Peer::gramwatt(other.path(), &more("hanging.yaml", &folder))?;
    let (mut usual, mut hanging) = (Scrapes::default(), Scrapes::default());
    for _ in 0..ROUNDS {
        usual.add(ours.scrape(SCRAPES)?);
        hanging.add(hung.scrape(SCRAPES)?);
    }
    let (usual, hanging) = (usual.percentile(0.99), hanging.percentile(0.99));
    verdict.line(
        "p99 of a scrape, Redfish well / taking 30 s",
        &format!("{:.0} us / {:.0} us", usual * 1e6, hanging * 1e6),
        "unchanged, to half",
        hanging <= usual * 1.5,
    );
    Ok(())
}
