//! What the synthetic node draws: a pure function of time whose energy is known exactly.
//!
//! Every quantity is a [`Flow`]: a power together with its own antiderivative, both in closed form.
//! Only linear operations are allowed on flows, so each device is written down once and its power and
//! its energy cannot disagree. Nothing is random: the scatter comes from hashes of the time, so two
//! processes, or a process and a backfill, see the same watts and the same joules.
//!
//! The figures are invented, in the range of published server and H100 SXM data; they measure nothing.

use crate::units::{Joules, Watts};
use std::f64::consts::TAU;
use std::ops::{Add, Sub};

/// The synthetic machine was switched on at 2024-01-01T00:00:00Z, a Monday (Unix seconds): its
/// counters began at 0 then.
pub const SWITCHED_ON: f64 = 1_704_067_200.0;

/// What [`load`] is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// GPU 0 to 7: 0 to 3 train (in two jobs of two), 4 to 6 serve inference, 7 is reserved and idle.
    Gpu(u8),
    /// Processor package 0 or 1; the first feeds GPUs 0 to 3, the second GPUs 4 to 7.
    Package(u8),
    /// Memory of package 0 or 1.
    Dram(u8),
    /// The input of the power supplies: all devices, conversion losses and fans.
    Wall,
}

impl Unit {
    /// All devices, the wall meter not among them: nothing in it overlaps.
    pub const DEVICES: [Self; 12] = [
        Self::Package(0),
        Self::Package(1),
        Self::Dram(0),
        Self::Dram(1),
        Self::Gpu(0),
        Self::Gpu(1),
        Self::Gpu(2),
        Self::Gpu(3),
        Self::Gpu(4),
        Self::Gpu(5),
        Self::Gpu(6),
        Self::Gpu(7),
    ];
}

/// The power of `unit` at a moment in Unix seconds. Smooth, positive, and the exact derivative of
/// [`energy_between`].
#[must_use]
pub fn load(at_unix_seconds: f64, unit: Unit) -> Watts {
    Watts(draw(unit, at_unix_seconds - SWITCHED_ON).rate)
}

/// The energy of `unit` between two moments in Unix seconds: the exact integral of [`load`], for any
/// span at the same cost, to rounding (better than a millijoule within a decade of 2024).
#[must_use]
pub fn energy_between(from_unix_seconds: f64, to_unix_seconds: f64, unit: Unit) -> Joules {
    let total = |at: f64| draw(unit, at - SWITCHED_ON).total;
    Joules(total(to_unix_seconds) - total(from_unix_seconds))
}

/// The busy share of a GPU at a moment in Unix seconds, 0 to 1; `None` for anything but a GPU.
#[must_use]
pub fn utilization(at_unix_seconds: f64, unit: Unit) -> Option<f64> {
    match unit {
        Unit::Gpu(n) => Some(busy(n, at_unix_seconds - SWITCHED_ON).rate.clamp(0.0, 1.0)),
        _ => None,
    }
}

const HOUR: f64 = 3600.0;
const WEEK: f64 = 168.0 * HOUR;
/// A GPU without work, in watts.
const GPU_IDLE: f64 = 72.0;
/// What full work adds to that, in watts; with all scatter it stays below the 700 W limit.
const GPU_SPAN: f64 = 590.0;

/// A rate and its antiderivative at one moment: watts with joules, or a share with share-seconds.
#[derive(Clone, Copy)]
struct Flow {
    rate: f64,
    total: f64,
}

impl Flow {
    const NONE: Self = Self {
        rate: 0.0,
        total: 0.0,
    };
    fn times(self, factor: f64) -> Self {
        Self {
            rate: self.rate * factor,
            total: self.total * factor,
        }
    }
}

impl Add for Flow {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            rate: self.rate + other.rate,
            total: self.total + other.total,
        }
    }
}

impl Sub for Flow {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self + other.times(-1.0)
    }
}

/// What a unit draws, `t` seconds after [`SWITCHED_ON`].
fn draw(unit: Unit, t: f64) -> Flow {
    match unit {
        Unit::Gpu(n) => {
            let scatter = if n == 7 { 2.0 } else { 9.0 };
            constant(GPU_IDLE + 3.0 * hash(u64::from(n), 0), t)
                + busy(n, t).times(GPU_SPAN)
                + noise(scatter, 41.0, u64::from(n), t)
        }
        Unit::Package(n) => {
            let first = 4 * n;
            let fed = (first..first + 4).fold(Flow::NONE, |sum, gpu| sum + busy(gpu, t));
            constant(104.0, t) + fed.times(32.0) + noise(11.0, 17.0, 100 + u64::from(n), t)
        }
        Unit::Dram(n) => constant(11.0, t) + draw(Unit::Package(n), t).times(0.09),
        Unit::Wall => {
            let devices = Unit::DEVICES
                .into_iter()
                .fold(Flow::NONE, |sum, device| sum + draw(device, t));
            // Fans run faster in the heat of the afternoon.
            let fans = constant(230.0, t) + wave(40.0, 7.0, 7.0 * TAU * 15.0 * HOUR / WEEK, t);
            devices.times(1.10) + fans
        }
    }
}

/// How busy a GPU is: a share of 0 to 1.
fn busy(gpu: u8, t: f64) -> Flow {
    match gpu {
        0..=3 => training(u64::from(gpu / 2), t).times(0.98),
        4 => office_hours(13.5, t).times(0.92),
        5 => office_hours(15.0, t).times(0.78),
        6 => office_hours(20.5, t).times(0.85),
        _ => Flow::NONE,
    }
}

/// Day and night, with a quieter weekend: (1 + cos day) / 2 x (0.8 + 0.2 cos week), multiplied out so
/// that each term has a closed integral. Peaks at 1 at `peak` o'clock UTC on Wednesdays.
fn office_hours(peak: f64, t: f64) -> Flow {
    let day = 7.0 * TAU * peak * HOUR / WEEK;
    let week = TAU * (48.0 + peak) * HOUR / WEEK;
    constant(0.4, t)
        + wave(0.4, 7.0, day, t)
        + wave(0.1, 1.0, week, t)
        + wave(0.05, 6.0, day - week, t)
        + wave(0.05, 8.0, day + week, t)
}

/// The length of a slot in which a training job runs or does not, in seconds.
const SLOT: f64 = 6.0 * HOUR;
/// The schedule repeats after this many slots: four weeks.
const SLOTS: i64 = 112;
/// A job takes this many seconds to come up or to end; all at the start of a slot.
const RAMP: f64 = 180.0;
/// A running job writes a checkpoint this often, in seconds; a whole number of times in a slot.
const CHECKPOINT_EVERY: f64 = 1800.0;
/// A checkpoint begins this far into its period, so never while a job comes up.
const CHECKPOINT_AT: f64 = 1500.0;
/// A checkpoint takes this many seconds.
const CHECKPOINT_TAKES: f64 = 90.0;
/// The share of its work that a job loses at the depth of a checkpoint.
const CHECKPOINT_DEPTH: f64 = 0.6;

/// A training job's share: plateaus of whole slots with a dip at each checkpoint.
fn training(job: u64, t: f64) -> Flow {
    let slot = (t / SLOT).floor();
    let into = t - slot * SLOT;
    let slot = slot as i64;
    let (cycle, slot) = (slot.div_euclid(SLOTS), slot.rem_euclid(SLOTS));
    let schedule = schedule(job);
    let (before, now) = (runs(schedule, slot - 1), runs(schedule, slot));
    let inside = in_slot(before, now, into);
    // Ramps cancel out over whole slots: what is left of them is the first and the last.
    let slots = f64::from((schedule & ((1 << slot) - 1)).count_ones());
    let ramps = RAMP / 2.0 * (runs(schedule, -1) - before);
    let cycles = cycle as f64 * f64::from(schedule.count_ones());
    Flow {
        rate: inside.rate,
        total: (cycles + slots) * in_slot(1.0, 1.0, SLOT).total + ramps + inside.total,
    }
}

/// The share `into` seconds of a slot (0 to [`SLOT`]) after a slot of share `before`, and its integral
/// from the slot's start.
fn in_slot(before: f64, now: f64, into: f64) -> Flow {
    let x = (into / RAMP).min(1.0);
    // Smootherstep 6x^5 - 15x^4 + 10x^3, whose integral is x^6 - 3x^5 + 2.5x^4.
    let step = x * x * x * (x * (6.0 * x - 15.0) + 10.0);
    let area = x * x * x * x * (x * (x - 3.0) + 2.5);
    let level = Flow {
        rate: before + (now - before) * step,
        total: RAMP * (before * x + (now - before) * area) + now * (into - RAMP).max(0.0),
    };
    level - checkpoints(into).times(CHECKPOINT_DEPTH * now)
}

/// The dips of a slot: 0, and up to 1 within each checkpoint.
fn checkpoints(into: f64) -> Flow {
    let period = (into / CHECKPOINT_EVERY).floor();
    let since = into - period * CHECKPOINT_EVERY - CHECKPOINT_AT;
    let x = (since / CHECKPOINT_TAKES).clamp(0.0, 1.0);
    // The bump 16 x^2 (1 - x)^2, whose integral is 16 (x^3/3 - x^4/2 + x^5/5): 8/15 for a whole one.
    let bump = 16.0 * x * x * (1.0 - x) * (1.0 - x);
    let area = 16.0 * x * x * x * (1.0 / 3.0 - x / 2.0 + x * x / 5.0);
    Flow {
        rate: bump,
        total: CHECKPOINT_TAKES * (period * 8.0 / 15.0 + area),
    }
}

/// The slots of a cycle in which a job runs, a bit for each: about four in five.
fn schedule(job: u64) -> u128 {
    match job {
        0 => 0xfbf7_1fff_cfdf_ff3f_e7fb_ff87_fdff,
        _ => 0x7ff8_fffe_fff1_dfff_3ffc_7fff_c1ff,
    }
}

/// 1 where the schedule has that slot, else 0.
fn runs(schedule: u128, slot: i64) -> f64 {
    f64::from((schedule >> slot.rem_euclid(SLOTS) & 1) as u8)
}

/// A rate that never changes.
fn constant(rate: f64, t: f64) -> Flow {
    Flow {
        rate,
        total: rate * t,
    }
}

/// amplitude x cos(2 pi `cycles` t / week - phase).
fn wave(amplitude: f64, cycles: f64, phase: f64, t: f64) -> Flow {
    let speed = TAU * cycles / WEEK;
    let angle = speed * t - phase;
    Flow {
        rate: amplitude * angle.cos(),
        total: amplitude / speed * angle.sin(),
    }
}

/// Scatter of at most `peak` up or down around 0, changing every `step` seconds. The *energy* is the
/// noise: hashed heights joined by smootherstep; the rate is its derivative, so that the integral
/// over any span costs one evaluation.
fn noise(peak: f64, step: f64, seed: u64, t: f64) -> Flow {
    let cell = (t / step).floor();
    let x = t / step - cell;
    let cell = cell as i64 as u64;
    let (from, to) = (hash(seed, cell), hash(seed, cell.wrapping_add(1)));
    // The derivative of smootherstep, 30 x^2 (1 - x)^2, is 1.875 at its highest.
    let height = peak * step / 1.875;
    let smooth = x * x * x * (x * (6.0 * x - 15.0) + 10.0);
    Flow {
        rate: height / step * (to - from) * 30.0 * x * x * (1.0 - x) * (1.0 - x),
        total: height * (from + (to - from) * smooth),
    }
}

/// A number from 0 to 1 that depends on nothing but its arguments: the finaliser of SplitMix64
/// (Steele, Lea and Flood, OOPSLA 2014).
fn hash(seed: u64, n: u64) -> f64 {
    let mut z = n
        .wrapping_add(seed.wrapping_mul(0xD1B5_4A32_D192_ED03))
        .wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^= z >> 31;
    (z >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: f64 = 86_400.0;
    /// 2026-11-23T00:00:00Z, a Monday.
    const MONDAY: f64 = 1_795_392_000.0;

    fn all() -> impl Iterator<Item = Unit> {
        Unit::DEVICES.into_iter().chain([Unit::Wall])
    }

    /// The midpoint sum of a window.
    fn sum(from: f64, seconds: f64, step: f64, unit: Unit) -> f64 {
        let steps = (seconds / step) as usize;
        (0..steps)
            .map(|i| load(from + (i as f64 + 0.5) * step, unit).0 * step)
            .sum()
    }

    #[test]
    fn energy_is_the_integral_of_load() {
        for unit in all() {
            // Half a day and a bit, from no round moment, over slot and checkpoint edges.
            let (from, seconds) = (MONDAY + 12_345.678, 43_211.0);
            let exact = energy_between(from, from + seconds, unit).0;
            let fine = sum(from, seconds, 1.0, unit);
            assert!(
                (exact / fine - 1.0).abs() < 1e-6,
                "{unit:?}: {exact} {fine}"
            );
        }
    }

    #[test]
    fn energy_adds_up_over_a_schedule_cycle() {
        for unit in all() {
            let from = MONDAY - 3.0 * DAY;
            let whole = energy_between(from, from + 60.0 * DAY, unit).0;
            let parts: f64 = (0..60)
                .map(|d| from + f64::from(d) * DAY)
                .map(|day| energy_between(day, day + DAY, unit).0)
                .sum();
            assert!((whole / parts - 1.0).abs() < 1e-9, "{unit:?}");
        }
    }

    #[test]
    fn energy_is_the_integral_where_the_schedule_starts_again() {
        let again = SWITCHED_ON + 28.0 * DAY * 38.0;
        for unit in [Unit::Gpu(0), Unit::Gpu(3)] {
            let from = again - 2.0 * HOUR;
            let exact = energy_between(from, from + 4.0 * HOUR, unit).0;
            let fine = sum(from, 4.0 * HOUR, 0.5, unit);
            assert!((exact / fine - 1.0).abs() < 1e-6, "{unit:?}");
        }
    }

    #[test]
    fn a_moment_before_it_was_switched_on_is_continuous_too() {
        for unit in all() {
            let around = energy_between(SWITCHED_ON - 50.0, SWITCHED_ON + 50.0, unit).0;
            let fine = sum(SWITCHED_ON - 50.0, 100.0, 0.01, unit);
            assert!((around / fine - 1.0).abs() < 1e-6, "{unit:?}");
        }
    }

    #[test]
    fn load_is_smooth_and_within_what_such_parts_draw() {
        for unit in all() {
            let (low, high, slope) = match unit {
                Unit::Gpu(_) => (60.0, 700.0, 30.0),
                Unit::Package(_) => (85.0, 350.0, 10.0),
                Unit::Dram(_) => (15.0, 50.0, 1.0),
                Unit::Wall => (1000.0, 8000.0, 200.0),
            };
            let mut last = load(MONDAY, unit).0;
            for second in 1..(7 * 3600) {
                let watts = load(MONDAY + f64::from(second), unit).0;
                assert!(watts > low && watts < high, "{unit:?} {second} {watts}");
                assert!((watts - last).abs() < slope, "{unit:?} {second} jumps");
                last = watts;
            }
        }
    }

    #[test]
    fn the_wall_is_the_devices_and_a_tenth_and_fans() {
        for hour in 0..240 {
            let at = MONDAY + f64::from(hour) * 3600.0;
            let devices: f64 = Unit::DEVICES.into_iter().map(|d| load(at, d).0).sum();
            let fans = load(at, Unit::Wall).0 - 1.10 * devices;
            assert!((189.0..=271.0).contains(&fans), "{hour} {fans}");
        }
    }

    #[test]
    fn inference_follows_the_day_and_the_week() {
        let mean = |from: f64, hours: f64| {
            energy_between(from, from + hours * HOUR, Unit::Gpu(4)).0 / (hours * HOUR)
        };
        let night = mean(MONDAY + DAY, 3.0);
        let afternoon = mean(MONDAY + DAY + 12.0 * HOUR, 3.0);
        assert!(afternoon > 3.0 * night, "{afternoon} {night}");
        let wednesday = mean(MONDAY + 2.0 * DAY, 24.0);
        let sunday = mean(MONDAY + 6.0 * DAY, 24.0);
        assert!(wednesday > 1.2 * sunday, "{wednesday} {sunday}");
    }

    #[test]
    fn training_has_plateaus_pauses_and_checkpoints() {
        let minutes = 28 * 24 * 60;
        let watts: Vec<f64> = (0..minutes)
            .map(|m| load(MONDAY + f64::from(m) * 60.0 + 45.0, Unit::Gpu(0)).0)
            .collect();
        let share = |low: f64, high: f64| {
            let within = watts.iter().filter(|w| (low..high).contains(*w)).count();
            within as f64 / f64::from(minutes)
        };
        assert!(share(620.0, 700.0) > 0.6, "plateaus {}", share(620.0, 700.0));
        assert!(share(0.0, 100.0) > 0.05, "pauses {}", share(0.0, 100.0));
        assert!(share(300.0, 500.0) > 0.01, "dips {}", share(300.0, 500.0));
    }

    #[test]
    fn the_reserved_gpu_does_nothing() {
        assert_eq!(utilization(MONDAY, Unit::Gpu(7)), Some(0.0));
        assert!(load(MONDAY, Unit::Gpu(7)).0 < 80.0);
        assert_eq!(utilization(MONDAY, Unit::Package(0)), None);
    }
}
