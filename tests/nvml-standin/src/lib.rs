//! A stand-in for NVIDIA's management library: the C interface of `libnvidia-ml.so.1`, and behind it a
//! machine that a scenario file describes ([`scenario`]).
//!
//! It answers as the library does where that matters to a client: sizes are asked for with no buffer, an
//! unsupported field is told inside a call that succeeds, instances repeat their GPU's power, and what came
//! off the bus stays lost until the library is initialised anew.

#![allow(clippy::missing_safety_doc, clippy::not_unsafe_ptr_arg_deref)]

pub mod abi;
pub mod scenario;
mod world;

use abi::*;
use scenario::{Gpu, Kind};
use std::ffi::{CStr, c_char, c_int};
pub use world::VARIABLE;
use world::{Target, World, handle, instance_handle, with};

/// Records of utilization that the library asks room for.
const ROOM: u32 = 100;

/// Writes where the caller said; nowhere is an invalid argument.
fn put<T>(to: *mut T, value: T) -> Result<(), Return> {
    if to.is_null() {
        return Err(INVALID_ARGUMENT);
    }
    // SAFETY: the interface says that it points to room for one.
    unsafe { to.write(value) };
    Ok(())
}

fn put_text(to: *mut c_char, size: u32, text: &str) -> Result<(), Return> {
    if to.is_null() {
        return Err(INVALID_ARGUMENT);
    }
    if text.len() >= size as usize {
        return Err(INSUFFICIENT_SIZE);
    }
    // SAFETY: there is room for `size` bytes.
    unsafe {
        std::ptr::copy_nonoverlapping(text.as_ptr().cast(), to, text.len());
        to.add(text.len()).write(0);
    }
    Ok(())
}

fn text<'a>(from: *const c_char) -> Result<&'a str, Return> {
    if from.is_null() {
        return Err(INVALID_ARGUMENT);
    }
    // SAFETY: the interface says that it is a C string.
    unsafe { CStr::from_ptr(from) }
        .to_str()
        .map_err(|_| INVALID_ARGUMENT)
}

/// Fills a buffer of `*count` items; without one, or with too little room, tells how many there are.
fn fill<T: Copy>(items: &[T], count: *mut u32, to: *mut T, bare: Return) -> Result<(), Return> {
    if count.is_null() {
        return Err(INVALID_ARGUMENT);
    }
    // SAFETY: it is the caller's count.
    let room = unsafe { count.read() } as usize;
    put(count, items.len() as u32)?;
    if to.is_null() || room < items.len() {
        return if bare == SUCCESS { Ok(()) } else { Err(bare) };
    }
    // SAFETY: there is room for so many.
    unsafe { std::ptr::copy_nonoverlapping(items.as_ptr(), to, items.len()) };
    Ok(())
}

/// Something of a physical GPU; instances do not tell it.
fn of_gpu<T>(
    device: Device,
    to: *mut T,
    tell: impl FnOnce(&World, f64, &Gpu) -> Option<T>,
) -> Return {
    with(|world, now| match world.target(device, now)? {
        Target::Gpu(_, gpu) => put(to, tell(world, now, gpu).ok_or(NOT_SUPPORTED)?),
        Target::Instance(..) => Err(NOT_SUPPORTED),
    })
}

fn milli(value: f64) -> u32 {
    (value * 1000.0).round() as u32
}

macro_rules! exports {
    ($($name:ident($($arg:ident: $type:ty),* $(,)?) $body:block)+) => {
        $(#[unsafe(no_mangle)]
        #[allow(missing_docs, non_snake_case)]
        pub extern "C" fn $name($($arg: $type),*) -> Return $body)+
    };
}

exports! {
    nvmlInit_v2() { world::init() }
    nvmlInitWithFlags(_flags: u32) { world::init() }
    nvmlShutdown() { world::shutdown() }
    nvmlSystemGetDriverVersion(to: *mut c_char, size: u32) {
        with(|world, _| put_text(to, size, &world.scenario.driver))
    }
    nvmlSystemGetNVMLVersion(to: *mut c_char, size: u32) {
        with(|world, _| put_text(to, size, &format!("12.{}", world.scenario.driver)))
    }
    nvmlSystemGetCudaDriverVersion_v2(to: *mut c_int) { with(|_, _| put(to, 12080)) }
    nvmlSystemGetProcessName(pid: u32, to: *mut c_char, size: u32) {
        with(|world, now| {
            let mut all = world.scenario.gpus.iter().flat_map(|gpu| &gpu.processes);
            let is_there = all.any(|process| process.pid() == pid && process.is_at(now));
            if is_there { put_text(to, size, "python3") } else { Err(NOT_FOUND) }
        })
    }
    nvmlDeviceGetCount_v2(to: *mut u32) {
        with(|world, now| {
            world.alive(now)?;
            put(to, world.listed(now).len() as u32)
        })
    }
    nvmlDeviceGetHandleByIndex_v2(index: u32, to: *mut Device) {
        with(|world, now| {
            world.alive(now)?;
            let listed = world.listed(now);
            let gpu = *listed.get(index as usize).ok_or(INVALID_ARGUMENT)?;
            world.target(handle(gpu), now)?;
            put(to, handle(gpu))
        })
    }
    nvmlDeviceGetHandleByUUID(uuid: *const c_char, to: *mut Device) {
        with(|world, now| {
            let uuid = text(uuid)?;
            for (number, gpu) in world.scenario.gpus.iter().enumerate() {
                if gpu.uuid == uuid {
                    world.target(handle(number), now)?;
                    return put(to, handle(number));
                }
                let mut instances = gpu.instances(now);
                if let Some((instance, _)) = instances.find(|(_, instance)| instance.uuid == uuid) {
                    return put(to, instance_handle(number, instance));
                }
            }
            Err(NOT_FOUND)
        })
    }
    nvmlDeviceGetHandleByPciBusId_v2(bus: *const c_char, to: *mut Device) {
        with(|world, now| {
            let bus = text(bus)?.to_lowercase();
            let gpus = &world.scenario.gpus;
            let is_it = |gpu: &Gpu| gpu.pci.to_lowercase().ends_with(bus.trim_start_matches("0000"));
            let number = gpus.iter().position(is_it).ok_or(NOT_FOUND)?;
            world.target(handle(number), now)?;
            put(to, handle(number))
        })
    }
    nvmlDeviceGetUUID(device: Device, to: *mut c_char, size: u32) {
        with(|world, now| match world.target(device, now)? {
            Target::Gpu(_, gpu) => put_text(to, size, &gpu.uuid),
            Target::Instance(_, _, instance) => put_text(to, size, &instance.uuid),
        })
    }
    nvmlDeviceGetName(device: Device, to: *mut c_char, size: u32) {
        with(|world, now| put_text(to, size, &world.target(device, now)?.gpu().name))
    }
    nvmlDeviceGetSerial(device: Device, to: *mut c_char, size: u32) {
        with(|world, now| match world.target(device, now)? {
            Target::Gpu(number, _) => put_text(to, size, &format!("{:013}", number + 1)),
            Target::Instance(..) => Err(NOT_SUPPORTED),
        })
    }
    nvmlDeviceGetIndex(device: Device, to: *mut u32) {
        with(|world, now| match world.target(device, now)? {
            Target::Gpu(number, _) => {
                let place = world.listed(now).iter().position(|listed| *listed == number);
                put(to, place.ok_or(GPU_IS_LOST)? as u32)
            }
            Target::Instance(..) => Err(NOT_SUPPORTED),
        })
    }
    nvmlDeviceGetMinorNumber(device: Device, to: *mut u32) {
        with(|world, now| match world.target(device, now)? {
            Target::Gpu(number, gpu) => put(to, gpu.minor.unwrap_or(number as u32)),
            Target::Instance(..) => Err(NOT_SUPPORTED),
        })
    }
    nvmlDeviceGetPowerUsage(device: Device, to: *mut u32) {
        // An instance tells the power of its GPU.
        with(|world, now| {
            let target = world.target(device, now)?;
            let gpu = target.gpu();
            if gpu.power { put(to, milli(gpu.shown(now))) } else { Err(NOT_SUPPORTED) }
        })
    }
    nvmlDeviceGetTotalEnergyConsumption(device: Device, to: *mut u64) {
        with(|world, now| {
            let target = world.target(device, now)?;
            let gpu = target.gpu();
            if !gpu.counter {
                return Err(NOT_SUPPORTED);
            }
            put(to, (gpu.counted(now, world.reloads()) * 1000.0) as u64)
        })
    }
    nvmlDeviceGetEnforcedPowerLimit(device: Device, to: *mut u32) {
        of_gpu(device, to, |_, _, gpu| gpu.limit_watts.map(milli))
    }
    nvmlDeviceGetPowerManagementLimit(device: Device, to: *mut u32) {
        of_gpu(device, to, |_, _, gpu| gpu.limit_watts.map(milli))
    }
    nvmlDeviceGetArchitecture(device: Device, to: *mut u32) {
        with(|world, now| put(to, world.target(device, now)?.gpu().architecture))
    }
    nvmlDeviceIsMigDeviceHandle(device: Device, to: *mut u32) {
        with(|world, now| {
            let is_instance = matches!(world.target(device, now)?, Target::Instance(..));
            put(to, u32::from(is_instance))
        })
    }
    nvmlDeviceGetGpuInstanceId(device: Device, to: *mut u32) {
        with(|world, now| match world.target(device, now)? {
            Target::Gpu(..) => Err(NOT_SUPPORTED),
            Target::Instance(_, _, instance) => put(to, instance.gpu_instance),
        })
    }
    nvmlDeviceGetComputeInstanceId(device: Device, to: *mut u32) {
        with(|world, now| match world.target(device, now)? {
            Target::Gpu(..) => Err(NOT_SUPPORTED),
            Target::Instance(_, _, instance) => put(to, instance.compute_instance),
        })
    }
    nvmlDeviceGetMaxMigDeviceCount(device: Device, to: *mut u32) {
        of_gpu(device, to, |_, _, gpu| Some(if gpu.is_divided() == Some(true) { gpu.mig_slices } else { 0 }))
    }
    nvmlDeviceGetMigMode(device: Device, current: *mut u32, pending: *mut u32) {
        with(|world, now| {
            let is_on = match world.target(device, now)? {
                Target::Gpu(_, gpu) => u32::from(gpu.is_divided().ok_or(NOT_SUPPORTED)?),
                Target::Instance(..) => return Err(NOT_SUPPORTED),
            };
            put(current, is_on)?;
            put(pending, is_on)
        })
    }
    nvmlDeviceGetMigDeviceHandleByIndex(device: Device, index: u32, to: *mut Device) {
        with(|world, now| match world.target(device, now)? {
            Target::Gpu(number, gpu) => {
                let (instance, _) = gpu.instances(now).nth(index as usize).ok_or(NOT_FOUND)?;
                put(to, instance_handle(number, instance))
            }
            Target::Instance(..) => Err(INVALID_ARGUMENT),
        })
    }
    nvmlDeviceGetDeviceHandleFromMigDeviceHandle(device: Device, to: *mut Device) {
        with(|world, now| match world.target(device, now)? {
            Target::Gpu(..) => Err(INVALID_ARGUMENT),
            Target::Instance(number, _, _) => put(to, handle(number)),
        })
    }
    nvmlDeviceGetAttributes_v2(device: Device, to: *mut Attributes) {
        with(|world, now| match world.target(device, now)? {
            Target::Gpu(..) => Err(NOT_SUPPORTED),
            Target::Instance(_, _, instance) => put(to, Attributes {
                multiprocessors: instance.slices * 14,
                shared: [0; 5],
                gpu_slices: instance.slices,
                compute_slices: instance.compute_slices.unwrap_or(instance.slices),
                memory_mb: instance.memory_mb,
            }),
        })
    }
    nvmlDeviceGetPciInfo_v3(device: Device, to: *mut PciInfo) {
        with(|world, now| {
            let target = world.target(device, now)?;
            put(to, pci(target.gpu()).ok_or(UNKNOWN)?)
        })
    }
    nvmlDeviceGetUtilizationRates(device: Device, to: *mut Utilization) {
        of_gpu(device, to, |_, now, gpu| {
            let gpu = gpu.busy(now).filter(|_| gpu.is_divided() != Some(true))?;
            Some(Utilization { gpu, memory: gpu / 2 })
        })
    }
    nvmlDeviceGetMemoryInfo_v2(device: Device, to: *mut Memory) {
        with(|world, now| {
            let target = world.target(device, now)?;
            // SAFETY: where it is not null the caller has filled the version.
            if to.is_null() || unsafe { (*to).version } != version::<Memory>(2) {
                return Err(INVALID_ARGUMENT);
            }
            let total = match target {
                Target::Gpu(_, gpu) => gpu.memory_mb,
                Target::Instance(_, _, instance) => instance.memory_mb,
            } << 20;
            put(to, Memory { version: version::<Memory>(2), total, reserved: 0, free: total, used: 0 })
        })
    }
    nvmlDeviceGetFieldValues(device: Device, count: c_int, values: *mut FieldValue) {
        with(|world, now| {
            let target = world.target(device, now)?;
            if values.is_null() || count < 1 {
                return Err(INVALID_ARGUMENT);
            }
            // SAFETY: the caller has so many.
            let values = unsafe { std::slice::from_raw_parts_mut(values, count as usize) };
            for value in values {
                value.timestamp = (now * 1e6) as i64;
                value.latency_usec = 0;
                field(world, target.gpu(), now, value);
            }
            Ok(())
        })
    }
    nvmlDeviceGetSamples(
        device: Device, kind: u32, last_seen: u64, value_type: *mut u32, count: *mut u32, to: *mut Sample,
    ) {
        with(|world, now| {
            let target = world.target(device, now)?;
            let gpu = target.gpu();
            if kind != 0 || !gpu.power {
                return Err(NOT_SUPPORTED);
            }
            put(value_type, 1)?;
            // The buffer has 120 samples, 20 ms apart.
            let ticks = (now / 0.02).floor() as u64;
            let samples: Vec<Sample> = (ticks.saturating_sub(119)..=ticks)
                .map(|tick| {
                    let mut value = Value { u64: 0 };
                    value.u32 = milli(gpu.shown(tick as f64 * 0.02));
                    Sample { timestamp: tick * 20_000, value }
                })
                .filter(|sample| sample.timestamp > last_seen)
                .collect();
            if samples.is_empty() {
                return Err(NOT_FOUND);
            }
            fill(&samples, count, to, SUCCESS)
        })
    }
    nvmlDeviceGetProcessUtilization(
        device: Device, to: *mut ProcessUtilization, count: *mut u32, last_seen: u64,
    ) {
        with(|world, now| {
            let items: Vec<ProcessUtilization> = utilizations(world.target(device, now)?, now, last_seen)?
                .into_iter()
                .map(|(pid, sm, timestamp)| ProcessUtilization { pid, timestamp, sm, mem: 0, enc: 0, dec: 0 })
                .collect();
            if items.is_empty() {
                return Err(NOT_FOUND);
            }
            if to.is_null() {
                // It asks for room for all that it could hold, whatever it has (NVIDIA/go-nvml#11).
                put(count, ROOM.max(items.len() as u32))?;
                return Err(INSUFFICIENT_SIZE);
            }
            fill(&items, count, to, INSUFFICIENT_SIZE)
        })
    }
    nvmlDeviceGetProcessesUtilizationInfo(device: Device, info: *mut ProcessesUtilization) {
        with(|world, now| {
            if info.is_null() {
                return Err(INVALID_ARGUMENT);
            }
            // SAFETY: it is the caller's structure.
            let info = unsafe { &mut *info };
            if info.version != version::<ProcessesUtilization>(1) {
                return Err(INVALID_ARGUMENT);
            }
            let items: Vec<ProcessesUtilizationItem> =
                utilizations(world.target(device, now)?, now, info.last_seen)?
                    .into_iter()
                    .map(|(pid, sm, timestamp)| ProcessesUtilizationItem {
                        timestamp, pid, sm, mem: 0, enc: 0, dec: 0, jpg: 0, ofa: 0,
                    })
                    .collect();
            if items.is_empty() {
                return Err(NOT_FOUND);
            }
            fill(&items, &raw mut info.count, info.items, INSUFFICIENT_SIZE)
        })
    }
    nvmlDeviceGetComputeRunningProcesses_v3(device: Device, count: *mut u32, to: *mut ProcessInfo) {
        with(|world, now| running(world.target(device, now)?, now, Kind::Compute, count, to))
    }
    nvmlDeviceGetGraphicsRunningProcesses_v3(device: Device, count: *mut u32, to: *mut ProcessInfo) {
        with(|world, now| running(world.target(device, now)?, now, Kind::Graphics, count, to))
    }
    nvmlDeviceGetMPSComputeRunningProcesses_v3(device: Device, count: *mut u32, to: *mut ProcessInfo) {
        with(|world, now| running(world.target(device, now)?, now, Kind::Mps, count, to))
    }
}

/// The name of an error.
#[unsafe(no_mangle)]
#[allow(non_snake_case)]
pub extern "C" fn nvmlErrorString(code: Return) -> *const c_char {
    let name = match code {
        SUCCESS => c"Success",
        UNINITIALIZED => c"Uninitialized",
        NOT_SUPPORTED => c"Not Supported",
        4 => c"Insufficient Permissions",
        NOT_FOUND => c"Not Found",
        DRIVER_NOT_LOADED => c"Driver Not Loaded",
        GPU_IS_LOST => c"GPU is lost",
        18 => c"Driver/library version mismatch",
        _ => c"Unknown Error",
    };
    name.as_ptr()
}

fn pci(gpu: &Gpu) -> Option<PciInfo> {
    let (domain, rest) = gpu.pci.split_once(':')?;
    let (bus, rest) = rest.split_once(':')?;
    let (slot, _) = rest.split_once('.')?;
    let number = |text| u32::from_str_radix(text, 16).ok();
    let mut info = PciInfo {
        bus_id_legacy: [0; 16],
        domain: number(domain)?,
        bus: number(bus)?,
        device: number(slot)?,
        pci_device_id: 0x2330_10de,
        pci_sub_system_id: 0x16c1_10de,
        bus_id: [0; 32],
    };
    let legacy = format!("{:04X}:{bus}:{rest}", info.domain);
    for (to, from) in info.bus_id_legacy.iter_mut().zip(legacy.bytes()) {
        *to = from as c_char;
    }
    for (to, from) in info.bus_id.iter_mut().zip(gpu.pci.bytes()) {
        *to = from as c_char;
    }
    Some(info)
}

fn field(world: &World, gpu: &Gpu, now: f64, value: &mut FieldValue) {
    let mean = (gpu.joules(now) - gpu.joules((now - 1.0).max(0.0))) / now.min(1.0);
    let mean = if now > 0.0 { mean } else { gpu.watts(0.0) };
    let own = match value.field_id {
        185 => Some(mean),
        186 => Some(gpu.watts(now)),
        _ => None,
    };
    let watts = match value.scope_id {
        0 | 3 => own.filter(|_| gpu.fields),
        1 => own.zip(gpu.module_watts).map(|(own, beside)| own + beside),
        2 => own.zip(gpu.memory_share).map(|(own, share)| own * share),
        _ => None,
    };
    value.value = Value { u64: 0 };
    value.nvml_return = SUCCESS;
    if let Some(watts) = watts {
        value.value_type = 1;
        value.value.u32 = milli(watts);
    } else if value.field_id == 83 && gpu.counter {
        value.value_type = 3;
        value.value.u64 = (gpu.counted(now, world.reloads()) * 1000.0) as u64;
    } else {
        value.nvml_return = NOT_SUPPORTED;
    }
}

/// Process, its share in percent, and when that was told, in µs.
fn utilizations(
    target: Target<'_>,
    now: f64,
    last_seen: u64,
) -> Result<Vec<(u32, u32, u64)>, Return> {
    match target {
        Target::Gpu(_, gpu) if gpu.process_utilization && gpu.is_divided() != Some(true) => {
            Ok(gpu.utilizations(now, last_seen))
        }
        _ => Err(NOT_SUPPORTED),
    }
}

fn running(
    target: Target<'_>,
    now: f64,
    kind: Kind,
    count: *mut u32,
    to: *mut ProcessInfo,
) -> Result<(), Return> {
    let gpu = target.gpu();
    let part = match target {
        Target::Gpu(..) if gpu.is_divided() == Some(true) && !gpu.mig_lists_all => {
            return Err(NO_PERMISSION);
        }
        Target::Gpu(..) => None,
        Target::Instance(_, _, instance) => {
            Some((Some(instance.gpu_instance), instance.compute_instance))
        }
    };
    let mut items: Vec<ProcessInfo> = Vec::new();
    for process in &gpu.processes {
        let compute = process.compute_instance.unwrap_or(0);
        let is_here = part.is_none_or(|part| part == (process.gpu_instance, compute));
        let is_listed = items.iter().any(|item| item.pid == process.pid());
        if !is_here || is_listed || process.kind != kind || !process.is_at(now) {
            continue;
        }
        items.push(ProcessInfo {
            pid: process.pid(),
            used_memory: process.memory_mb << 20,
            gpu_instance: process.gpu_instance.unwrap_or(NONE),
            compute_instance: process.gpu_instance.map_or(NONE, |_| compute),
        });
    }
    // None at all is no lack of room.
    let bare = if items.is_empty() {
        SUCCESS
    } else {
        INSUFFICIENT_SIZE
    };
    fill(&items, count, to, bare)
}
