//! A node with eight GPUs and two sockets: what it costs to read them, beyond what NVIDIA's library itself
//! takes (here its stand-in).

use crate::process::Peer;
use crate::{Verdict, tree};
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

/// The idle exporter on such a node.
pub fn sampling(verdict: &mut Verdict) -> Result<(), Box<dyn Error>> {
    let root = tree::build()?;
    let library = library(root.path())?;
    let floor = floor(&library)?;
    let more = [format!("--sensor.nvml.library={}", library.display())];
    let ours = Peer::gramwatt(root.path(), &more)?;
    let share = ours.idle(Duration::from_secs(30))?;
    verdict.line(
        "sampling at defaults: 8 GPUs, two sockets",
        &format!("{:.4} % of a core", share * 100.0),
        &format!("0.2 % beyond the library's {:.4} %", floor * 100.0),
        share - floor <= 0.002,
    );
    Ok(())
}
