//! The power model: watts from rated power and load, and the constants it stands on. Pure.
//!
//! | constant | value | source |
//! |---|---|---|
//! | [`CPU_MAX`] | 3.5 W a logical CPU | Cloud Carbon Footprint, AWS constants `MAX_WATTS_AVG`, from SPECpower_ssj2008 results, 2021 |
//! | [`IDLE_SHARE`] | 0.74 / 3.5 = 0.21 | the same, `MIN_WATTS_AVG` 0.74 W over `MAX_WATTS_AVG` |
//! | curve | 2u - u^1.4 | Fan, Weber and Barroso, "Power Provisioning for a Warehouse-sized Computer", ISCA 2007 |
//! | [`DRAM_PER_GIB`] | 0.392 W/GiB | Cloud Carbon Footprint, memory coefficient 0.000392 kWh/GBh: the mean of Micron's and Crucial's figures, 2021 |
//!
//! Independent figures lie close: Green Algorithms 3 uses 0.3725 W/GB for memory.

use crate::units::Watts;

/// Power of a fully loaded logical CPU (a vCPU, or a hardware thread) where nothing better is known,
/// in watts: Cloud Carbon Footprint's average over the processors of AWS, 2021.
pub const CPU_MAX: f64 = 3.5;

/// Power of an idle package as a share of its rated power, 0 to 1: Cloud Carbon Footprint's average
/// minimum of 0.74 W a vCPU over its average maximum of 3.5 W, 2021.
pub const IDLE_SHARE: f64 = 0.74 / CPU_MAX;

/// Power of a gibibyte of memory, used or not, in watts: Cloud Carbon Footprint's 0.392 Wh/GBh, 2021.
/// The "GB" of memory modules are gibibytes.
pub const DRAM_PER_GIB: f64 = 0.392;

/// Share of the dynamic power that is drawn at a load of 0 to 1: 2u - u^1.4, the curve that Fan, Weber
/// and Barroso calibrated on servers (ISCA 2007). 0 at 0, 1 at 1, rising and above the straight line
/// between. A load outside of 0 to 1 counts as the nearer end.
#[must_use]
pub fn dynamic_share(load: f64) -> f64 {
    let load = load.clamp(0.0, 1.0);
    2.0 * load - load.powf(1.4)
}

/// Power of a CPU package of a rated power at a load of 0 to 1:
/// rated x (idle + (1 - idle) x [`dynamic_share`]) with idle = [`IDLE_SHARE`].
#[must_use]
pub fn cpu_power(rated: Watts, load: f64) -> Watts {
    rated.times(IDLE_SHARE + (1.0 - IDLE_SHARE) * dynamic_share(load))
}

/// Power of `bytes` of memory at `per_gib` watts a gibibyte, whatever its load.
#[must_use]
pub fn dram_power(bytes: u64, per_gib: f64) -> Watts {
    Watts(bytes as f64 / f64::from(1 << 30) * per_gib)
}

/// Where a package's rated power comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rating {
    /// The operator said so.
    Configured(Watts),
    /// The bundled table has the package's model.
    Table(Watts),
    /// The table has the model, and a virtual machine owns only some of its CPUs:
    /// [`CPU_MAX`] times their number is less.
    Share(Watts),
    /// The model is unknown: [`CPU_MAX`] times the number of logical CPUs.
    Fallback(Watts),
}

impl Rating {
    /// The rated power.
    #[must_use]
    pub fn watts(self) -> Watts {
        let (Self::Configured(w) | Self::Table(w) | Self::Share(w) | Self::Fallback(w)) = self;
        w
    }
}

/// The rated power of a package with `cpus` logical CPUs: what the operator `configured`, else the
/// `table`'s, else [`CPU_MAX`] for each CPU. A virtual machine is billed for at most its own CPUs,
/// never for the whole package of its host.
#[must_use]
pub fn rate(configured: Option<f64>, table: Option<Watts>, cpus: usize, virtual_: bool) -> Rating {
    let by_count = Watts(CPU_MAX * cpus as f64);
    match (configured, table) {
        (Some(watts), _) => Rating::Configured(Watts(watts)),
        (None, Some(table)) if virtual_ && by_count < table => Rating::Share(by_count),
        (None, Some(table)) => Rating::Table(table),
        (None, None) => Rating::Fallback(by_count),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-6, "{a} is not {b}");
    }

    #[test]
    fn the_curve_is_as_published() {
        near(dynamic_share(0.0), 0.0);
        near(dynamic_share(1.0), 1.0);
        // 2 x 0.5 - 2^-1.4 = 1 - 0.37892914
        near(dynamic_share(0.5), 0.621_070_86);
        // 0.2 - 10^-1.4 = 0.2 - 0.0398107
        near(dynamic_share(0.1), 0.160_189_3);
        near(dynamic_share(-3.0), 0.0);
        near(dynamic_share(7.0), 1.0);
    }

    #[test]
    fn a_200_watt_package() {
        // 200 x 0.74 / 3.5
        near(cpu_power(Watts(200.0), 0.0).0, 42.285_714);
        near(cpu_power(Watts(200.0), 1.0).0, 200.0);
        // 42.285714 + 157.714286 x 0.62107086
        near(cpu_power(Watts(200.0), 0.5).0, 140.237_461);
    }

    #[test]
    fn power_rises_with_load() {
        let mut last = Watts::ZERO;
        for percent in 0..=100 {
            let now = cpu_power(Watts(100.0), f64::from(percent) / 100.0);
            assert!(now > last);
            last = now;
        }
    }

    #[test]
    fn memory_is_power_by_size() {
        near(dram_power(64 << 30, DRAM_PER_GIB).0, 25.088);
        near(dram_power(0, DRAM_PER_GIB).0, 0.0);
        near(dram_power(3 << 29, 0.4).0, 0.6);
    }

    #[test]
    fn rated_power_by_trust() {
        let row = Some(Watts(280.0));
        assert_eq!(
            rate(Some(90.0), row, 64, true),
            Rating::Configured(Watts(90.0))
        );
        assert_eq!(rate(None, row, 128, false), Rating::Table(Watts(280.0)));
        assert_eq!(rate(None, row, 8, false), Rating::Table(Watts(280.0)));
        assert_eq!(rate(None, row, 8, true), Rating::Share(Watts(28.0)));
        assert_eq!(rate(None, row, 128, true), Rating::Table(Watts(280.0)));
        assert_eq!(rate(None, None, 4, true), Rating::Fallback(Watts(14.0)));
        assert_eq!(rate(None, None, 4, false), Rating::Fallback(Watts(14.0)));
    }
}
