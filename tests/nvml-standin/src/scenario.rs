//! What the machine is and does, by seconds of its clock.

use serde::Deserialize;
use std::path::PathBuf;

/// A machine. Times are in seconds.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    #[serde(default = "driver")]
    pub driver: String,
    /// Holds the time in ms, read at each call; relative to the scenario's folder. Without it time runs
    /// from the first initialisation.
    #[serde(default)]
    pub clock_file: Option<PathBuf>,
    /// A file in the scenario's folder that gains a line at each initialisation.
    #[serde(default)]
    pub init_log: Option<PathBuf>,
    /// What initialisation answers.
    #[serde(default)]
    pub init_failures: Vec<Failure>,
    /// When the driver is unloaded: handles from before are void for ever, counters restart.
    #[serde(default)]
    pub unloaded: Vec<(f64, f64)>,
    /// When no call returns.
    #[serde(default)]
    pub hangs: Vec<(f64, f64)>,
    pub gpus: Vec<Gpu>,
}

/// An error between two times.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    pub from: f64,
    pub until: f64,
    pub code: u32,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gpu {
    pub uuid: String,
    pub name: String,
    /// `00000000:3B:00.0`
    pub pci: String,
    pub architecture: u32,
    pub waveform: Vec<Segment>,
    /// Whether there is an energy counter.
    #[serde(default = "yes")]
    pub counter: bool,
    /// Whether power is told at all.
    #[serde(default = "yes")]
    pub power: bool,
    /// The window that power is the mean of; 0 for the power of the moment.
    #[serde(default)]
    pub mean_ms: f64,
    /// How far the counter is behind.
    #[serde(default)]
    pub lag_ms: f64,
    /// The counter changes this often.
    #[serde(default)]
    pub tick_ms: f64,
    #[serde(default)]
    pub counter_resets_at: Vec<f64>,
    /// Whether the fields 185 and 186 of scope 0 are told.
    #[serde(default)]
    pub fields: bool,
    /// What the module draws beside the GPU; its field is told where this is set.
    #[serde(default)]
    pub module_watts: Option<f64>,
    /// Whether the counter is the module's.
    #[serde(default)]
    pub counter_of_module: bool,
    /// The memory's share of the power; its field is told where this is set.
    #[serde(default)]
    pub memory_share: Option<f64>,
    #[serde(default)]
    pub limit_watts: Option<f64>,
    #[serde(default)]
    pub utilization: Option<u32>,
    /// Whether the GPU's utilization is what its processes keep busy together, instead.
    #[serde(default)]
    pub utilization_of_processes: bool,
    #[serde(default)]
    pub memory_mb: u64,
    /// The driver's number, `/dev/nvidiaN`; the place in the list where not set.
    #[serde(default)]
    pub minor: Option<u32>,
    #[serde(default)]
    pub mig: Vec<Instance>,
    /// Whether the GPU is divided; where not set it is if it ever has instances. `false` on a GPU without any
    /// says that it could be.
    #[serde(default)]
    pub mig_mode: Option<bool>,
    /// Slices of the whole GPU, which is also the most instances that it can have.
    #[serde(default = "seven")]
    pub mig_slices: u32,
    /// Whether a divided GPU lists the processes of its instances, as it does for the privileged.
    #[serde(default = "yes")]
    pub mig_lists_all: bool,
    #[serde(default)]
    pub processes: Vec<Process>,
    #[serde(default)]
    pub records: Records,
    /// Whether the utilization of processes is told at all.
    #[serde(default = "yes")]
    pub process_utilization: bool,
    #[serde(default)]
    pub failures: Vec<Failure>,
    /// When the GPU is off the bus.
    #[serde(default)]
    pub absent: Vec<(f64, f64)>,
}

/// A MIG instance.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instance {
    pub uuid: String,
    pub gpu_instance: u32,
    pub compute_instance: u32,
    pub slices: u32,
    /// Of its GPU instance's; all of them where not set.
    #[serde(default)]
    pub compute_slices: Option<u32>,
    pub memory_mb: u64,
    #[serde(default)]
    pub from: f64,
    #[serde(default = "never")]
    pub until: f64,
}

/// How the utilization of processes is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Records {
    /// One record for each process that did anything since it was last asked: the mean of that time, with the
    /// time of the last sample that it was seen in, its own for each (NVIDIA/go-nvml#51, Syllo/nvtop#110).
    #[default]
    Mean,
    /// One for each process and sample.
    Each,
}

/// A process on the GPU, or a part of its life: it may be in the list more than once.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    #[serde(default)]
    pid: u32,
    /// A file, absolute, that holds the number instead, for a process that begins after us. While it is not there or
    /// is empty, the process is not there.
    #[serde(default)]
    pid_file: Option<PathBuf>,
    /// Percent; above 100 as it is, for what drivers tell of zombies.
    pub sm: u32,
    #[serde(default)]
    pub memory_mb: u64,
    #[serde(default)]
    pub gpu_instance: Option<u32>,
    #[serde(default)]
    pub compute_instance: Option<u32>,
    #[serde(default)]
    pub kind: Kind,
    #[serde(default)]
    pub from: f64,
    #[serde(default = "never")]
    pub until: f64,
}

/// In which of the lists a process is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    #[default]
    Compute,
    Graphics,
    Mps,
    /// In none: some are known by their utilization only.
    Unlisted,
}

/// A part of a waveform; the last one never ends.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    pub seconds: f64,
    pub shape: Shape,
}

/// Power in watts.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Shape {
    Constant(f64),
    Ramp {
        from: f64,
        to: f64,
    },
    /// `high` for the first `duty` of each period, else `low`: a spike is a square of small duty.
    Square {
        low: f64,
        high: f64,
        period: f64,
        duty: f64,
    },
}

fn driver() -> String {
    "570.124.06".to_owned()
}

fn yes() -> bool {
    true
}

fn never() -> f64 {
    f64::INFINITY
}

fn seven() -> u32 {
    7
}

/// Samples of the utilization of processes, in a second.
pub const RATE: f64 = 5.0;
/// Samples that the driver keeps.
const KEPT: u64 = 100;
/// The driver's clock at time 0 of the scenario, in samples: not 0, which asks for all there is.
const EPOCH: u64 = 8_000_000_000;
/// µs between two samples.
const STEP: u64 = 1_000_000 / RATE as u64;

impl Process {
    pub fn is_at(&self, t: f64) -> bool {
        (self.from..self.until).contains(&t) && self.pid() != 0
    }

    /// Its number; 0 where it has none yet.
    pub fn pid(&self) -> u32 {
        let Some(file) = &self.pid_file else {
            return self.pid;
        };
        let text = std::fs::read_to_string(file).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }
}

impl Gpu {
    /// Whether it is divided, as far as it can be.
    pub fn is_divided(&self) -> Option<bool> {
        let known = self.name.contains("A100") || self.name.contains("H100");
        let is_on = self.mig_mode.unwrap_or(!self.mig.is_empty());
        (known || self.mig_mode.is_some() || is_on).then_some(is_on)
    }

    /// The instances that there are at a time, with their numbers in the scenario.
    pub fn instances(&self, t: f64) -> impl Iterator<Item = (usize, &Instance)> {
        let all = self.mig.iter().enumerate();
        all.filter(move |(_, instance)| (instance.from..instance.until).contains(&t))
    }

    /// How busy all of it is, in percent, where it tells.
    pub fn busy(&self, t: f64) -> Option<u32> {
        if !self.utilization_of_processes {
            return self.utilization;
        }
        let here = self.processes.iter().filter(|process| process.is_at(t));
        let all = here.map(|process| process.sm).filter(|sm| *sm <= 100);
        Some(all.sum::<u32>().min(100))
    }

    /// Records of utilization since a time of the driver's: process, percent, time in µs.
    pub fn utilizations(&self, now: f64, last_seen: u64) -> Vec<(u32, u32, u64)> {
        let newest = EPOCH + (now * RATE).floor() as u64;
        let first = (last_seen / STEP + 1)
            .max(newest.saturating_sub(KEPT - 1))
            .max(EPOCH);
        let mut records = Vec::new();
        for sample in first..=newest {
            let t = (sample - EPOCH) as f64 / RATE;
            let busy = self
                .processes
                .iter()
                .filter(|process| process.is_at(t) && process.sm > 0);
            records.extend(busy.map(|process| (process.pid(), process.sm, sample * STEP)));
        }
        if self.records == Records::Each {
            return records;
        }
        let samples = u32::try_from((newest + 1).saturating_sub(first))
            .unwrap_or(1)
            .max(1);
        let mut means: Vec<(u32, u32, u64)> = Vec::new();
        for (pid, sm, at) in records {
            match means.iter_mut().find(|mean| mean.0 == pid) {
                Some(mean) => {
                    mean.1 = mean.1.saturating_add(sm);
                    mean.2 = at;
                }
                None => means.push((pid, sm, at)),
            }
        }
        for mean in &mut means {
            // What is no share is told as it is.
            let garbage = self
                .processes
                .iter()
                .find(|process| process.pid() == mean.0 && process.sm > 100);
            mean.1 = garbage.map_or(mean.1.saturating_add(samples / 2) / samples, |process| {
                process.sm
            });
        }
        means
    }

    /// Watts at a time.
    pub fn watts(&self, t: f64) -> f64 {
        let (segment, at) = self.segment(t);
        segment.watts(at)
    }

    /// Joules from time 0 to `t`.
    pub fn joules(&self, t: f64) -> f64 {
        let mut begin = 0.0;
        let mut sum = 0.0;
        let last = self.waveform.len().saturating_sub(1);
        for (number, segment) in self.waveform.iter().enumerate() {
            let left = t - begin;
            if left <= 0.0 {
                break;
            }
            let length = if number == last {
                left
            } else {
                left.min(segment.seconds)
            };
            sum += segment.joules(length);
            begin += segment.seconds;
        }
        sum
    }

    fn segment(&self, t: f64) -> (&Segment, f64) {
        let mut begin = 0.0;
        let last = self.waveform.len() - 1;
        for segment in &self.waveform[..last] {
            if t < begin + segment.seconds {
                return (segment, t - begin);
            }
            begin += segment.seconds;
        }
        (&self.waveform[last], t - begin)
    }

    /// Mean power of the window that ends at `t`, as the sensor tells it.
    pub fn shown(&self, t: f64) -> f64 {
        let window = (self.mean_ms / 1000.0).min(t);
        if window > 0.0 {
            (self.joules(t) - self.joules(t - window)) / window
        } else {
            self.watts(t)
        }
    }

    /// What the counter has at `t`, in J: behind, in ticks, and anew since the last restart.
    pub fn counted(&self, t: f64, restarts: impl Iterator<Item = f64>) -> f64 {
        let late = (t - self.lag_ms / 1000.0).max(0.0);
        let tick = self.tick_ms / 1000.0;
        let late = if tick > 0.0 {
            (late / tick).floor() * tick
        } else {
            late
        };
        let restarts = restarts.chain(self.counter_resets_at.iter().copied());
        let since = restarts.filter(|at| *at <= t).fold(0.0, f64::max);
        let beside = self
            .module_watts
            .filter(|_| self.counter_of_module)
            .unwrap_or(0.0);
        let late = late.max(since);
        self.joules(late) - self.joules(since) + beside * (late - since)
    }
}

impl Segment {
    fn watts(&self, t: f64) -> f64 {
        match self.shape {
            Shape::Constant(watts) => watts,
            Shape::Ramp { from, to } => from + (to - from) * (t / self.seconds).min(1.0),
            Shape::Square {
                low,
                high,
                period,
                duty,
            } => {
                if t % period < duty * period {
                    high
                } else {
                    low
                }
            }
        }
    }

    fn joules(&self, t: f64) -> f64 {
        match self.shape {
            Shape::Constant(watts) => watts * t,
            Shape::Ramp { from, to } => {
                let rising = t.min(self.seconds);
                let slope = (to - from) / self.seconds;
                from * rising + slope * rising * rising / 2.0 + to * (t - rising)
            }
            Shape::Square {
                low,
                high,
                period,
                duty,
            } => {
                let whole = (t / period).floor();
                let rest = (t - whole * period).min(duty * period);
                low * t + (high - low) * (whole * duty * period + rest)
            }
        }
    }
}
