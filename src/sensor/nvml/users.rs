//! Who uses the GPUs: processes, what each did, and MIG instances. Asked by a thread of its own, with an
//! initialisation of its own, because it is dear: never by the one that reads power.

use super::card::bdf;
use super::ffi::Library;
use super::trouble::Trouble;
use crate::sensor::{Fault, sysfs};
use crate::workload::ProcessUse;
use crate::workload::gpu::{Card, Gpus, Instance};
use nvml_wrapper::Device;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::struct_wrappers::device::{ProcessInfo, ProcessUtilizationSample};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Most instances on a GPU that are looked at.
const MOST_INSTANCES: u32 = 16;

/// Most processes on a GPU that are told of.
const MOST_PROCESSES: usize = 1024;

/// Looks after which the library is loaded anew while it fails.
const PATIENCE: u32 = 6;

/// The library, asked who uses the GPUs.
pub struct Users {
    path: PathBuf,
    sys: PathBuf,
    library: Result<Library, Trouble>,
    /// Looks since the library was loaded, or could not be.
    loaded: u32,
    /// The newest sample of each GPU, on the driver's clock in µs.
    seen: BTreeMap<Arc<str>, u64>,
    /// When it was last looked (time since boot).
    last: Option<Duration>,
}

impl Users {
    /// Loads the library; `None` where there is none.
    #[must_use]
    pub fn open(path: &Path, sys: &Path) -> Option<Self> {
        let library = load(path);
        if library.as_ref().is_err_and(|trouble| trouble.absent) {
            return None;
        }
        Some(Self {
            path: path.to_owned(),
            sys: sys.to_owned(),
            library,
            loaded: 0,
            seen: BTreeMap::new(),
            last: None,
        })
    }

    /// Looks at all GPUs.
    ///
    /// # Errors
    /// Where the library cannot be asked. One GPU that does not answer is left out.
    pub fn look(&mut self, now: Duration) -> Result<Gpus, Fault> {
        self.loaded = self.loaded.saturating_add(1);
        if self.library.is_err() && self.loaded >= PATIENCE {
            self.library = load(&self.path);
            self.loaded = 0;
        }
        let library = match &mut self.library {
            Ok(library) => library,
            Err(trouble) => return Err(trouble.fault()),
        };
        let places = match library.enumerate() {
            Ok(places) => places,
            Err(error) => {
                let trouble = Trouble::of(self.path.display().to_string(), &error);
                let fault = trouble.fault();
                self.library = Err(trouble);
                self.loaded = 0;
                return Err(fault);
            }
        };
        let mut gpus = Gpus {
            from: self.last.replace(now).unwrap_or(now),
            at: now,
            ..Gpus::default()
        };
        for place in places.into_iter().flatten() {
            // A GPU that does not answer is told of by the sensor.
            if let Ok(gpu) = library.gpu(place) {
                let _ = one(library, &gpu, &self.sys, &mut self.seen, &mut gpus);
            }
        }
        Ok(gpus)
    }
}

fn load(path: &Path) -> Result<Library, Trouble> {
    Library::open(path).map_err(|error| Trouble::of(path.display().to_string(), &error))
}

/// Adds one GPU and those on it.
fn one(
    library: &Library,
    gpu: &Device<'_>,
    sys: &Path,
    seen: &mut BTreeMap<Arc<str>, u64>,
    gpus: &mut Gpus,
) -> Result<(), NvmlError> {
    let uuid: Arc<str> = gpu.uuid()?.into();
    let pci = gpu
        .pci_info()
        .map(|pci| bdf(&pci.bus_id))
        .unwrap_or_default();
    let mut card = Card {
        uuid: Arc::clone(&uuid),
        index: gpu.index()?,
        minor: gpu.minor_number().ok(),
        instances: Vec::new(),
        pci,
    };
    let status = sys
        .join("bus/pci/devices")
        .join(&card.pci)
        .join("power/runtime_status");
    if sysfs::head(&status, 16).trim() == "suspended" {
        // Nobody uses a GPU that sleeps, and to ask would wake it.
        gpus.cards.push(card);
        return Ok(());
    }
    let divided = instances(library, gpu)?;
    if divided.is_empty() {
        let busy = utilizations(gpu, seen.entry(Arc::clone(&uuid)).or_default());
        for pid in processes(gpu) {
            gpus.uses.push(ProcessUse {
                device: Arc::clone(&uuid),
                pid,
                instance: None,
                // Who is not in the samples of those who did something did nothing.
                busy: busy
                    .as_ref()
                    .map(|busy| busy.get(&pid).copied().unwrap_or(0.0)),
            });
        }
    }
    for (instance, pids) in divided {
        gpus.uses.extend(pids.into_iter().map(|pid| ProcessUse {
            device: Arc::clone(&uuid),
            pid,
            instance: Some(Arc::clone(&instance.uuid)),
            // Not told on a GPU that is divided (nvml.h).
            busy: None,
        }));
        card.instances.push(instance);
    }
    gpus.cards.push(card);
    Ok(())
}

/// The instances of a GPU, with the processes on each; none on one that is not divided.
fn instances(library: &Library, gpu: &Device<'_>) -> Result<Vec<(Instance, Vec<u32>)>, NvmlError> {
    let is_divided = gpu.mig_mode().is_ok_and(|mode| mode.current == 1);
    if !is_divided {
        return Ok(Vec::new());
    }
    let most = gpu.mig_device_count()?.min(MOST_INSTANCES);
    let of = slices(&gpu.name().unwrap_or_default());
    let mut found = Vec::new();
    for index in 0..most {
        let Ok(instance) = gpu.mig_device_by_index(index) else {
            continue;
        };
        let Ok(uuid) = instance.uuid() else { continue };
        let slices = instance
            .attributes()
            .map_or(0, |attributes| attributes.gpu_instance_slice_count);
        let described = Instance {
            uuid: uuid.into(),
            gpu_instance: library.gpu_instance(&instance),
            slices,
            of,
        };
        found.push((described, processes(&instance)));
    }
    Ok(found)
}

/// Slices of a whole GPU: 4 of an A30, 7 of every other that can be divided (NVIDIA, MIG User Guide, supported
/// profiles).
fn slices(model: &str) -> u32 {
    if model.split([' ', '-']).any(|word| word == "A30") {
        4
    } else {
        7
    }
}

/// All that run on a GPU or an instance.
fn processes(gpu: &Device<'_>) -> Vec<u32> {
    let all = [
        gpu.running_compute_processes(),
        gpu.running_graphics_processes(),
        gpu.mps_running_compute_processes(),
    ];
    let mut pids: Vec<u32> = all
        .into_iter()
        .flat_map(|found: Result<Vec<ProcessInfo>, _>| found.unwrap_or_default())
        .map(|process| process.pid)
        .collect();
    pids.sort_unstable();
    pids.dedup();
    pids.truncate(MOST_PROCESSES);
    pids
}

/// How busy each process kept the GPU since the newest sample seen; `None` where that is not told.
fn utilizations(gpu: &Device<'_>, seen: &mut u64) -> Option<BTreeMap<u32, f64>> {
    match gpu.process_utilization_stats(*seen) {
        Ok(samples) => Some(means(&samples, seen)),
        // Nobody did anything.
        Err(NvmlError::NotFound) => Some(BTreeMap::new()),
        Err(_) => None,
    }
}

/// The mean of each process's own samples. Those over 100 % are of processes that have gone (nvtop#110).
fn means(samples: &[ProcessUtilizationSample], seen: &mut u64) -> BTreeMap<u32, f64> {
    let mut sums: BTreeMap<u32, (f64, f64)> = BTreeMap::new();
    let is_new =
        |sample: &&ProcessUtilizationSample| sample.timestamp > *seen && sample.sm_util <= 100;
    for sample in samples.iter().filter(is_new) {
        let (sum, count) = sums.entry(sample.pid).or_default();
        *sum += f64::from(sample.sm_util) / 100.0;
        *count += 1.0;
    }
    *seen = samples
        .iter()
        .map(|sample| sample.timestamp)
        .max()
        .unwrap_or(*seen)
        .max(*seen);
    sums.into_iter()
        .map(|(pid, (sum, count))| (pid, sum / count))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_a_mean_for_each_process_and_seen_once() {
        let sample = |pid, timestamp, sm_util| ProcessUtilizationSample {
            pid,
            timestamp,
            sm_util,
            mem_util: 0,
            enc_util: 0,
            dec_util: 0,
        };
        let mut seen = 10;
        let samples = [
            sample(1, 11, 50),
            sample(1, 12, 100),
            sample(2, 12, 20),
            sample(2, 9, 90),
            sample(3, 13, 4000),
        ];
        let found = means(&samples, &mut seen);
        assert_eq!(found, BTreeMap::from([(1, 0.75), (2, 0.2)]));
        assert_eq!(seen, 13);
        assert!(means(&samples, &mut seen).is_empty());
        assert_eq!((means(&[], &mut seen).len(), seen), (0, 13));
    }

    #[test]
    fn a_whole_gpu_has_its_slices() {
        assert_eq!(
            (slices("NVIDIA A30"), slices("NVIDIA A100-SXM4-80GB")),
            (4, 7)
        );
    }
}
