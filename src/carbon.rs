//! Grams: joules x PUE x the grid intensity of the moment they were used in; and what it took to make
//! the device, spread over its life.
//!
//! Location- and market-based accounting follow the GHG Protocol's scope 2 guidance (2015); amortising
//! the making over the lifetime follows the Software Carbon Intensity specification (ISO/IEC 21031).

use crate::clock::Moment;
use crate::units::{Grams, GramsPerKwh, GramsPerSecond, Joules};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::time::Duration;

/// What turns joules into grams at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Factor {
    /// The grid's average intensity where the node stands; `None`: nobody said where that is.
    pub intensity: Option<GramsPerKwh>,
    /// The intensity that the site's contracts give, for market-based accounting.
    pub market: Option<GramsPerKwh>,
    /// Facility power / IT power, at least 1.
    pub pue: f64,
    /// Whether the intensity is a live one of this moment, not an average or a forecast.
    pub live: bool,
}

/// How long the factor in force stands where nothing new is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Term {
    /// How its intensity was had: `live`, `cached`, `forecast` or `static`.
    pub tier: String,
    /// Its end, on the wall clock.
    pub until: Timestamp,
}

/// Emissions of some energy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Emissions {
    /// Location-based, PUE included; `None` where no intensity was known at any of the time.
    pub location: Option<Grams>,
    /// The part of it booked with a factor that was not live.
    pub estimated: Option<Grams>,
    /// Market-based, PUE included.
    pub market: Option<Grams>,
}

impl Emissions {
    /// Adds what is known of `more`; an unknown part adds nothing and forgets nothing.
    pub fn add(&mut self, more: Self) {
        let add = |sum: &mut Option<Grams>, more: Option<Grams>| {
            if let Some(more) = more {
                *sum = Some(sum.unwrap_or(Grams::ZERO) + more);
            }
        };
        add(&mut self.location, more.location);
        add(&mut self.estimated, more.estimated);
        add(&mut self.market, more.market);
    }
}

impl Factor {
    /// The factor of a node of which nobody said where it stands.
    pub const UNKNOWN: Self = Self {
        intensity: None,
        market: None,
        pue: 1.0,
        live: false,
    };

    /// The emissions of energy that was used under this factor alone.
    #[must_use]
    pub fn of(&self, energy: Joules) -> Emissions {
        let facility = energy.times(self.pue);
        let location = self.intensity.map(|intensity| intensity.of(facility));
        Emissions {
            location,
            estimated: location.map(|all| if self.live { Grams::ZERO } else { all }),
            market: self.market.map(|intensity| intensity.of(facility)),
        }
    }
}

/// Which factor was in force when: an increment is split at every change inside it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Timeline(VecDeque<(Duration, Factor)>);

/// Changes kept: energy of up to this many changes ago still meets its own factor.
const CHANGES: usize = 64;

impl Timeline {
    /// `factor` has been in force for ever.
    #[must_use]
    pub fn new(factor: Factor) -> Self {
        Self(VecDeque::from([(Duration::ZERO, factor)]))
    }

    /// From `at` on (time since boot) `factor` is in force. Time never moves backwards: a change
    /// before the last one takes effect with the last one.
    pub fn change(&mut self, at: Duration, factor: Factor) {
        if self.now() == factor {
            return;
        }
        let at = self.0.back().map_or(at, |(last, _)| at.max(*last));
        if self.0.len() == CHANGES {
            self.0.pop_front();
        }
        self.0.push_back((at, factor));
    }

    /// The factor in force.
    #[must_use]
    pub fn now(&self) -> Factor {
        self.0.back().map_or(Factor::UNKNOWN, |(_, factor)| *factor)
    }

    /// The emissions of energy used evenly between two moments.
    #[must_use]
    pub fn emissions(&self, energy: Joules, from: Moment, to: Moment) -> Emissions {
        let whole = to.boot.saturating_sub(from.boot).as_secs_f64();
        let mut sum = Emissions::default();
        for (i, (start, factor)) in self.0.iter().enumerate() {
            let end = self.0.get(i + 1).map_or(Duration::MAX, |(next, _)| *next);
            let start = if i == 0 { Duration::ZERO } else { *start };
            let part = to
                .boot
                .min(end)
                .saturating_sub(from.boot.max(start))
                .as_secs_f64();
            if whole == 0.0 {
                if start <= to.boot && to.boot < end {
                    return factor.of(energy);
                }
            } else if part > 0.0 {
                sum.add(factor.of(energy.times(part / whole)));
            }
        }
        sum
    }
}

/// A Julian year in seconds, the unit of a lifetime in years.
const YEAR_SECONDS: f64 = 365.25 * 86400.0;

/// The making of a device, spread evenly over its life.
#[must_use]
pub fn amortised(kilograms: f64, lifetime_years: f64) -> GramsPerSecond {
    GramsPerSecond(kilograms * 1000.0 / (lifetime_years * YEAR_SECONDS))
}

#[cfg(test)]
mod tests;
