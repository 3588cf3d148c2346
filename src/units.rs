//! The quantities, and the only place where one becomes another.
//!
//! Every quantity is a finite `f64` in its SI or field-standard unit. A counter of joules grows by
//! about 1e8 a day on a large node, so that `f64` keeps it to better than a microjoule for a century.

use serde::{Deserialize, Serialize};
use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

/// Joules in a kilowatt-hour: 1000 W x 3600 s (exact).
pub const JOULES_PER_KWH: f64 = 3.6e6;

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub f64);

        impl $name {
            /// Nothing of it.
            pub const ZERO: Self = Self(0.0);
            /// The larger of the two.
            #[must_use]
            pub fn max(self, other: Self) -> Self {
                Self(self.0.max(other.0))
            }
            /// The smaller of the two.
            #[must_use]
            pub fn min(self, other: Self) -> Self {
                Self(self.0.min(other.0))
            }
            /// This quantity times a plain number.
            #[must_use]
            pub fn times(self, factor: f64) -> Self {
                Self(self.0 * factor)
            }
        }
        impl Add for $name {
            type Output = Self;
            fn add(self, other: Self) -> Self {
                Self(self.0 + other.0)
            }
        }
        impl Sub for $name {
            type Output = Self;
            fn sub(self, other: Self) -> Self {
                Self(self.0 - other.0)
            }
        }
        impl AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                self.0 += other.0;
            }
        }
        impl Sum for $name {
            fn sum<I: Iterator<Item = Self>>(items: I) -> Self {
                items.fold(Self::ZERO, Add::add)
            }
        }
    };
}

quantity!(
    /// Energy in joules.
    Joules
);
quantity!(
    /// Power in watts.
    Watts
);
quantity!(
    /// Mass of CO2 equivalent in grams.
    Grams
);
quantity!(
    /// A flow of CO2 equivalent in grams a second.
    GramsPerSecond
);
quantity!(
    /// Grid carbon intensity in grams of CO2 equivalent for each kilowatt-hour of electricity.
    GramsPerKwh
);

impl Joules {
    /// This energy in kilowatt-hours.
    #[must_use]
    pub fn kwh(self) -> f64 {
        self.0 / JOULES_PER_KWH
    }
    /// The mean power of this energy over `time`; `None` where no time has passed.
    #[must_use]
    pub fn over(self, time: Duration) -> Option<Watts> {
        let seconds = time.as_secs_f64();
        (seconds > 0.0).then(|| Watts(self.0 / seconds))
    }
}

impl Watts {
    /// The energy of this power held for `time`.
    #[must_use]
    pub fn during(self, time: Duration) -> Joules {
        Joules(self.0 * time.as_secs_f64())
    }
    /// The emissions of this power at an intensity: W x g/kWh / 3.6e6 J/kWh.
    #[must_use]
    pub fn at(self, intensity: GramsPerKwh) -> GramsPerSecond {
        GramsPerSecond(self.0 * intensity.0 / JOULES_PER_KWH)
    }
}

impl GramsPerKwh {
    /// The emissions of `energy` at this intensity: kWh x g/kWh.
    #[must_use]
    pub fn of(self, energy: Joules) -> Grams {
        Grams(energy.kwh() * self.0)
    }
}

impl GramsPerSecond {
    /// The mass of this flow held for `time`.
    #[must_use]
    pub fn during(self, time: Duration) -> Grams {
        Grams(self.0 * time.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kilowatt_for_an_hour_at_400_is_400_grams() {
        let energy = Watts(1000.0).during(Duration::from_secs(3600));
        assert_eq!(energy, Joules(3.6e6));
        assert_eq!(GramsPerKwh(400.0).of(energy), Grams(400.0));
        let flow = Watts(1000.0).at(GramsPerKwh(400.0));
        assert!((flow.during(Duration::from_secs(3600)).0 - 400.0).abs() < 1e-9);
    }

    #[test]
    fn no_time_gives_no_power() {
        assert_eq!(Joules(5.0).over(Duration::ZERO), None);
    }
}
