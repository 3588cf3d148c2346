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
    /// Whether it is as busy as its processes together, in place of `utilization`.
    #[serde(default)]
    pub busy_by_processes: bool,
    #[serde(default)]
    pub memory_mb: u64,
    #[serde(default)]
    pub mig: Vec<Instance>,
    #[serde(default)]
    pub processes: Vec<Process>,
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
    pub memory_mb: u64,
}

/// A process on the GPU.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    pub pid: u32,
    pub sm: u32,
    pub memory_mb: u64,
    #[serde(default)]
    pub gpu_instance: Option<u32>,
    /// When it began, ...
    #[serde(default)]
    pub from: f64,
    /// ... and when it ended; unset: it runs for ever.
    #[serde(default)]
    pub until: Option<f64>,
}

impl Process {
    /// Whether it runs at a time.
    pub fn runs(&self, t: f64) -> bool {
        self.from <= t && self.until.is_none_or(|until| t < until)
    }
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

impl Gpu {
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

    /// How busy it is, in percent, where it tells.
    pub fn utilization(&self, t: f64) -> Option<u32> {
        if !self.busy_by_processes {
            return self.utilization;
        }
        let running = self.processes.iter().filter(|process| process.runs(t));
        Some(running.map(|process| process.sm).sum::<u32>().min(100))
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
