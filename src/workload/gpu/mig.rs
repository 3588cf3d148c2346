//! The division of a MIG GPU's joules among its instances: an estimate.
//!
//! The power of a GPU in MIG mode is measured as a whole, and each of its instances repeats it. What one of
//! them draws can only be modelled, and no model of it is exact: one made for some loads errs at others
//! (arXiv 2501.17752). Here an instance counts by its slices times its activity, which assumes that a slice
//! at the same activity draws the same whatever it computes.

/// One instance, as far as its share goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part {
    /// Slices of the GPU's multiprocessors.
    pub slices: u32,
    /// How busy it was, 0 to 1: 0 where no process is on it; `None` where it has some and nobody tells.
    pub activity: Option<f64>,
}

/// How the joules of a MIG GPU are divided.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shares {
    /// Of the joules beyond idle: a share for each instance, which add up to 1. Slices times activity, all of
    /// the slices where the activity is not told; by slices alone where nothing was active. Empty where there
    /// are no instances.
    pub active: Vec<f64>,
    /// Of the idle joules: a share for each instance by its slices alone, ...
    pub idle: Vec<f64>,
    /// ... and the share of the slices in no instance. With those before it adds up to 1.
    pub unheld: f64,
}

/// Divides a GPU of `of` slices among its instances. Of an activity that is no number nothing is known; one
/// beyond 0 to 1 is taken for the nearest.
#[must_use]
pub fn shares(parts: &[Part], of: u32) -> Shares {
    let slices: Vec<f64> = parts.iter().map(|part| f64::from(part.slices)).collect();
    let held: f64 = slices.iter().sum();
    let whole = f64::from(of).max(held);
    if whole <= 0.0 {
        return Shares {
            active: even(parts.len()),
            idle: even(parts.len()),
            unheld: if parts.is_empty() { 1.0 } else { 0.0 },
        };
    }
    let idle: Vec<f64> = slices.iter().map(|slices| slices / whole).collect();
    let active = parts.iter().zip(&slices).map(|(part, slices)| {
        let known = part.activity.filter(|activity| !activity.is_nan());
        slices * known.unwrap_or(1.0).clamp(0.0, 1.0)
    });
    let active = parted(active.collect()).or_else(|| parted(slices));
    Shares {
        active: active.unwrap_or_else(|| even(parts.len())),
        unheld: (whole - held) / whole,
        idle,
    }
}

/// Weights as shares of their sum; `None` where that is 0.
fn parted(weights: Vec<f64>) -> Option<Vec<f64>> {
    let sum: f64 = weights.iter().sum();
    (sum > 0.0).then(|| weights.iter().map(|weight| weight / sum).collect())
}

#[allow(clippy::cast_precision_loss)]
fn even(count: usize) -> Vec<f64> {
    vec![1.0 / count.max(1) as f64; count]
}
