//! What is asked of one GPU.

use super::Instance;
use super::means::Record;
use crate::sensor::nvml::{Library, maybe};
use nvml_wrapper::Device;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::struct_wrappers::device::ProcessInfo;
use std::collections::BTreeSet;

/// Most processes of one GPU that are looked at.
const MOST_PROCESSES: usize = 4096;

/// Most MIG instances of a GPU: seven, by NVIDIA's MIG user guide, with room.
const MOST_INSTANCES: u32 = 16;

/// Calls until the buffer was large enough for what came meanwhile.
const TRIES: usize = 3;

/// Processes, and the place in the list of the instance that each is on.
pub(super) type Running = BTreeSet<(u32, Option<usize>)>;

/// The records of utilization; `None` where the GPU does not tell.
pub(super) fn utilization(gpu: &Device<'_>, since: u64) -> Result<Option<Vec<Record>>, NvmlError> {
    match again(|| gpu.process_utilization_stats(since)) {
        Ok(samples) => Ok(Some(
            samples
                .iter()
                .map(|sample| Record {
                    pid: sample.pid,
                    at: sample.timestamp,
                    percent: sample.sm_util,
                })
                .collect(),
        )),
        // Nobody did anything.
        Err(NvmlError::NotFound) => Ok(Some(Vec::new())),
        // Too much came to be told; it is told the next time.
        Err(NvmlError::NoPermission | NvmlError::InsufficientSize(_)) => Ok(None),
        other => maybe(other.map(|_| None)).map(Option::flatten),
    }
}

/// All processes of a GPU or an instance: those that compute, those that draw, and those of MPS. One that
/// does two of that is told of twice.
pub(super) fn running(gpu: &Device<'_>) -> Result<Vec<ProcessInfo>, NvmlError> {
    let mut all = maybe(again(|| gpu.running_compute_processes()))?.unwrap_or_default();
    all.extend(maybe(again(|| gpu.running_graphics_processes()))?.unwrap_or_default());
    all.extend(maybe(again(|| gpu.mps_running_compute_processes()))?.unwrap_or_default());
    all.retain(|process| process.pid != 0);
    all.truncate(MOST_PROCESSES);
    Ok(all)
}

/// Calls again while more comes than there was room made for.
fn again<T>(call: impl Fn() -> Result<T, NvmlError>) -> Result<T, NvmlError> {
    let mut answer = call();
    for _ in 1..TRIES {
        if !matches!(answer, Err(NvmlError::InsufficientSize(_))) {
            break;
        }
        answer = call();
    }
    answer
}

/// The MIG instances of a GPU with their numbers, which may have gaps.
pub(super) fn instances(
    library: &Library,
    place: usize,
    gpu: &Device<'_>,
) -> Result<Vec<(u32, Instance)>, NvmlError> {
    let of = gpu.mig_device_count()?;
    let mut instances = Vec::new();
    for number in 0..of.min(MOST_INSTANCES) {
        match instance(library, place, gpu, number) {
            Ok(instance) => instances.push((number, Instance { of, ..instance })),
            // None of that number, or no longer.
            Err(NvmlError::NotFound | NvmlError::InvalidArg) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(instances)
}

fn instance(
    library: &Library,
    place: usize,
    gpu: &Device<'_>,
    number: u32,
) -> Result<Instance, NvmlError> {
    let instance = gpu.mig_device_by_index(number)?;
    let (gpu_instance, compute_instance) = library.instance_ids(place, number)?;
    let attributes = instance.attributes()?;
    let whole = attributes.gpu_instance_slice_count;
    // A GPU instance may hold several compute instances, each with its part of the slices.
    let part = attributes.compute_instance_slice_count;
    Ok(Instance {
        uuid: instance.uuid()?.into(),
        gpu_instance,
        compute_instance,
        slices: if part == 0 { whole } else { part.min(whole) },
        of: 0,
    })
}

/// The processes of a divided GPU. It lists those of all its instances, and on which they are, to those who
/// have the right; others must ask each instance (nvml.h, `nvmlDeviceGetComputeRunningProcesses_v3`).
pub(super) fn on_instances(
    gpu: &Device<'_>,
    instances: &[(u32, Instance)],
) -> Result<Running, NvmlError> {
    let of = |process: &ProcessInfo| {
        let compute = process.compute_instance_id.unwrap_or(0);
        instances.iter().position(|(_, one)| {
            Some(one.gpu_instance) == process.gpu_instance_id && one.compute_instance == compute
        })
    };
    match running(gpu) {
        Ok(all) if all.iter().all(|process| of(process).is_some()) => {
            return Ok(all
                .iter()
                .map(|process| (process.pid, of(process)))
                .collect());
        }
        Ok(_) | Err(NvmlError::NoPermission | NvmlError::InvalidArg) => {}
        Err(error) => return Err(error),
    }
    let mut found = Running::new();
    for (place, (number, _)) in instances.iter().enumerate() {
        let here = gpu
            .mig_device_by_index(*number)
            .and_then(|instance| running(&instance));
        match here {
            Ok(here) => found.extend(here.iter().map(|process| (process.pid, Some(place)))),
            Err(NvmlError::NotFound | NvmlError::InvalidArg) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}
