//! The state between initialisation and shutdown.

use crate::abi::{self, Device, Return};
use crate::scenario::{Failure, Gpu, Instance, Scenario};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// The scenario's name in the environment. Without it, it stands beside the library: `X.so`, `X.so.json`.
pub const VARIABLE: &str = "GRAMWATT_NVML_SCENARIO";

static WORLD: Mutex<Option<World>> = Mutex::new(None);

/// Handles of instances are these many times the GPU's, plus their own number.
const INSTANCES: usize = 1000;

pub struct World {
    pub scenario: Scenario,
    folder: PathBuf,
    began: Instant,
    /// When this initialisation was.
    since: f64,
    users: u32,
}

/// What a handle means.
pub enum Target<'a> {
    Gpu(usize, &'a Gpu),
    Instance(usize, &'a Gpu, &'a Instance),
}

impl<'a> Target<'a> {
    pub fn gpu(&self) -> &'a Gpu {
        match self {
            Self::Gpu(_, gpu) | Self::Instance(_, gpu, _) => gpu,
        }
    }
}

fn lock() -> MutexGuard<'static, Option<World>> {
    match WORLD.lock() {
        Ok(guard) => guard,
        Err(broken) => broken.into_inner(),
    }
}

/// Waits while the library hangs.
fn patience() {
    let hangs = |world: &World| {
        let now = world.now();
        let mut hangs = world.scenario.hangs.iter();
        hangs.any(|(from, until)| within(now, *from, *until))
    };
    while lock().as_ref().is_some_and(hangs) {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Gives the world at its present time to a call.
pub fn with(call: impl FnOnce(&World, f64) -> Result<(), Return>) -> Return {
    patience();
    let guard = lock();
    let Some(world) = guard.as_ref().filter(|world| world.users > 0) else {
        return abi::UNINITIALIZED;
    };
    let now = world.now();
    match call(world, now) {
        Ok(()) => abi::SUCCESS,
        Err(code) => code,
    }
}

pub fn init() -> Return {
    let mut guard = lock();
    if guard.is_none() {
        *guard = load();
    }
    drop(guard);
    patience();
    let mut guard = lock();
    let Some(world) = guard.as_mut() else {
        return abi::UNKNOWN;
    };
    world.log();
    let now = world.now();
    let is_unloaded = world
        .scenario
        .unloaded
        .iter()
        .any(|(from, until)| within(now, *from, *until));
    if is_unloaded {
        return abi::DRIVER_NOT_LOADED;
    }
    if let Err(code) = failing(&world.scenario.init_failures, now) {
        return code;
    }
    if world.users == 0 {
        world.since = now;
    }
    world.users += 1;
    abi::SUCCESS
}

pub fn shutdown() -> Return {
    let mut guard = lock();
    match guard.as_mut().filter(|world| world.users > 0) {
        Some(world) => {
            world.users -= 1;
            if world.users == 0 {
                // What is left in a static when the linker unloads the library is never given back.
                *guard = None;
            }
            abi::SUCCESS
        }
        None => abi::UNINITIALIZED,
    }
}

fn load() -> Option<World> {
    let path = std::env::var_os(VARIABLE)
        .map(PathBuf::from)
        .or_else(beside)?;
    let text = std::fs::read_to_string(&path).ok()?;
    let scenario = match serde_json::from_str(&text) {
        Ok(scenario) => scenario,
        Err(error) => {
            eprintln!("nvml-standin: {}: {error}", path.display());
            return None;
        }
    };
    Some(World {
        scenario,
        folder: path.parent().map(Path::to_owned).unwrap_or_default(),
        began: Instant::now(),
        since: 0.0,
        users: 0,
    })
}

#[repr(C)]
struct DlInfo {
    file: *const c_char,
    base: *mut c_void,
    symbol: *const c_char,
    address: *mut c_void,
}

unsafe extern "C" {
    fn dladdr(address: *const c_void, info: *mut DlInfo) -> c_int;
}

fn beside() -> Option<PathBuf> {
    let mut info = DlInfo {
        file: std::ptr::null(),
        base: std::ptr::null_mut(),
        symbol: std::ptr::null(),
        address: std::ptr::null_mut(),
    };
    // SAFETY: the address is of this library, the structure is dladdr's, and the name it gives lives as long
    // as the library.
    let file = unsafe {
        if dladdr((&raw const WORLD).cast(), &raw mut info) == 0 || info.file.is_null() {
            return None;
        }
        CStr::from_ptr(info.file)
    };
    Some(PathBuf::from(format!("{}.json", file.to_str().ok()?)))
}

pub fn within(now: f64, from: f64, until: f64) -> bool {
    (from..until).contains(&now)
}

fn failing(failures: &[Failure], now: f64) -> Result<(), Return> {
    let failure = failures.iter().find(|f| within(now, f.from, f.until));
    failure.map_or(Ok(()), |failure| Err(failure.code))
}

impl World {
    fn now(&self) -> f64 {
        let Some(file) = &self.scenario.clock_file else {
            return self.began.elapsed().as_secs_f64();
        };
        let text = std::fs::read_to_string(self.folder.join(file)).unwrap_or_default();
        text.trim().parse::<f64>().unwrap_or(0.0) / 1000.0
    }

    fn log(&self) {
        let Some(file) = &self.scenario.init_log else {
            return;
        };
        let mut options = std::fs::OpenOptions::new();
        let log = options
            .create(true)
            .append(true)
            .open(self.folder.join(file));
        if let Err(error) = log.and_then(|mut log| writeln!(log, "init")) {
            eprintln!("nvml-standin: {}: {error}", file.display());
        }
    }

    /// When the driver was loaded again.
    pub fn reloads(&self) -> impl Iterator<Item = f64> {
        self.scenario.unloaded.iter().map(|(_, until)| *until)
    }

    /// Whether this initialisation is from before the driver was unloaded.
    pub fn alive(&self, now: f64) -> Result<(), Return> {
        let gone = |from: f64| from > self.since && from <= now;
        if self.scenario.unloaded.iter().any(|(from, _)| gone(*from)) {
            return Err(abi::UNKNOWN);
        }
        Ok(())
    }

    /// The numbers of the GPUs that this initialisation shows: one that came off the bus stays lost.
    pub fn listed(&self, now: f64) -> Vec<usize> {
        let gpus = self.scenario.gpus.iter().enumerate();
        gpus.filter(|(_, gpu)| {
            !gpu.absent
                .iter()
                .any(|(a, b)| within(now, *a, *b) && *a <= self.since)
        })
        .map(|(number, _)| number)
        .collect()
    }

    fn is_lost(&self, gpu: &Gpu, now: f64) -> bool {
        gpu.absent
            .iter()
            .any(|(from, until)| within(now, *from, *until) || (*from > self.since && *from <= now))
    }

    /// What a handle means, and whether it can be spoken to.
    pub fn target(&self, device: Device, now: f64) -> Result<Target<'_>, Return> {
        self.alive(now)?;
        let (number, instance) = match device as usize {
            number if number < INSTANCES => (number, None),
            both => (both / INSTANCES, Some(both % INSTANCES)),
        };
        let index = number.checked_sub(1).ok_or(abi::INVALID_ARGUMENT)?;
        let gpu = self.scenario.gpus.get(index).ok_or(abi::INVALID_ARGUMENT)?;
        if self.is_lost(gpu, now) {
            return Err(abi::GPU_IS_LOST);
        }
        failing(&gpu.failures, now)?;
        match instance {
            None => Ok(Target::Gpu(index, gpu)),
            Some(instance) => {
                let mut there = gpu.instances(now);
                let found = there.find(|(number, _)| *number == instance);
                let (_, instance) = found.ok_or(abi::INVALID_ARGUMENT)?;
                Ok(Target::Instance(index, gpu, instance))
            }
        }
    }
}

pub fn handle(gpu: usize) -> Device {
    (gpu + 1) as Device
}

pub fn instance_handle(gpu: usize, instance: usize) -> Device {
    ((gpu + 1) * INSTANCES + instance) as Device
}
