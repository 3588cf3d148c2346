//! `gramwatt estimate`: what a load would cost, from bundled figures and without measurement.
//!
//! ```text
//! energy      = sum of (count x rated power x utilisation) x hours, + memory
//! operational = energy x PUE x intensity
//! embodied    = sum of (count x making) x hours / lifetime
//! ```
//!
//! Operational grams are location-based, as in the GHG Protocol's scope 2 guidance (2015), which wants the market-based
//! figure beside them; the share of the making is that of the Software Carbon Intensity specification (ISO/IEC 21031).

mod assumptions;
mod csv;
mod json;
mod latex;
mod part;
mod place;
mod table;

pub use assumptions::{assumptions, makers, sources};
pub use csv::csv;
pub use json::json;
pub use latex::{bibtex, latex};
pub use part::Part;
pub use place::{Compare, Ground, Place};
pub use table::table;

use crate::carbon;
use crate::data::{self, Embodied};
use crate::sensor::Kind;
use crate::sensor::model::formula::DRAM_PER_GIB;
use crate::units::{Grams, GramsPerKwh, Joules, Watts};
use std::ops::Add;
use std::time::Duration;

/// What runs, and for how long.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    /// The devices.
    pub parts: Vec<Part>,
    /// Main memory in GB; 0 leaves it out.
    pub memory_gb: f64,
    /// How long, above 0.
    pub hours: f64,
    /// Mean power of the devices over their rated power, 0 to 1; `None`: nobody said, and it counts as 1.
    pub utilization: Option<f64>,
    /// How the making of the hardware is shared out.
    pub making: Making,
}

/// Which share of the making of the hardware a load has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Making {
    /// Hours of use over the lifetime that the bundled table has.
    Lifetime,
    /// Hours of use over so many years.
    Years(f64),
    /// This share, 0 to 1.
    Share(f64),
}

/// What was bought.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bought {
    /// Electricity by contract.
    pub contract: Option<Contract>,
    /// Offsets, as a share of the operational emissions, 0 to 1.
    pub offset: Option<f64>,
}

/// Electricity by contract.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contract {
    /// What the contract gives.
    pub intensity: GramsPerKwh,
    /// The share of the electricity that it covers, 0 to 1; the rest is the grid's.
    pub share: f64,
}

/// A figure, and the lowest and the highest that are published.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Range {
    /// The figure in use.
    pub grams: Grams,
    /// The lowest.
    pub low: Grams,
    /// The highest.
    pub high: Grams,
}

impl Add for Range {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            grams: self.grams + other.grams,
            low: self.low + other.low,
            high: self.high + other.high,
        }
    }
}

impl Range {
    fn of(made: &Embodied, per_kilogram: Grams) -> Self {
        Self {
            grams: per_kilogram.times(made.kilograms),
            low: per_kilogram.times(made.low),
            high: per_kilogram.times(made.high),
        }
    }

    fn exactly(grams: Grams) -> Self {
        Self {
            grams,
            low: grams,
            high: grams,
        }
    }
}

/// One kind of device, or the memory, in an estimate.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// `8 x NVIDIA H100 SXM`.
    pub name: String,
    /// What all of it draws, on average.
    pub power: Watts,
    /// What all of it uses.
    pub energy: Joules,
    /// Its share of the making; `None` where nobody knows.
    pub embodied: Option<Range>,
}

/// What a load would cost at a place.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    /// Its parts.
    pub lines: Vec<Line>,
    /// What the machines use.
    pub energy: Joules,
    /// What the building uses for them: energy x PUE.
    pub facility: Joules,
    /// Operational, location-based.
    pub location: Grams,
    /// Operational, market-based; `None` without a contract.
    pub market: Option<Grams>,
    /// Bought offsets; never deducted.
    pub offset: Option<Grams>,
    /// The load's share of the making of the parts of which it is known; `None` where it is of none.
    pub embodied: Option<Range>,
    /// Location-based and embodied together, or the former alone.
    pub total: Range,
}

/// What a load would cost at a place, with what was bought for it.
#[must_use]
pub fn estimate(load: &Load, place: &Place, bought: &Bought) -> Estimate {
    let lines = lines(load);
    let energy: Joules = lines.iter().map(|line| line.energy).sum();
    let facility = energy.times(place.pue);
    let location = place.intensity.of(facility);
    let embodied = lines
        .iter()
        .filter_map(|line| line.embodied)
        .reduce(Add::add);
    let market = bought.contract.map(|contract| {
        contract.intensity.of(facility.times(contract.share)) + location.times(1.0 - contract.share)
    });
    Estimate {
        energy,
        facility,
        location,
        market,
        offset: bought
            .offset
            .map(|share| market.unwrap_or(location).times(share)),
        embodied,
        total: Range::exactly(location) + embodied.unwrap_or_default(),
        lines,
    }
}

fn lines(load: &Load) -> Vec<Line> {
    let time = Duration::from_secs_f64(load.hours * 3600.0);
    let line = |name, power: Watts, embodied| Line {
        name,
        power,
        energy: power.during(time),
        embodied,
    };
    let utilization = load.utilization.unwrap_or(1.0);
    let devices = load.parts.iter().map(|part| {
        let count = f64::from(part.count);
        let made = part.made.as_ref();
        line(
            part.to_string(),
            part.rated.times(count * utilization),
            made.map(|made| Range::of(made, share(load, time, made, count))),
        )
    });
    let memory = (load.memory_gb > 0.0).then(|| {
        let made = data::embodied(Kind::Dram, "");
        line(
            format!("{} GB of memory", load.memory_gb),
            Watts(load.memory_gb * DRAM_PER_GIB),
            made.map(|made| Range::of(&made, share(load, time, &made, load.memory_gb))),
        )
    });
    devices.chain(memory).collect()
}

/// What `count` devices add for each kilogram that one took to make.
fn share(load: &Load, time: Duration, made: &Embodied, count: f64) -> Grams {
    let years = match load.making {
        Making::Lifetime => made.lifetime_years,
        Making::Years(years) => years,
        Making::Share(share) => return Grams(1000.0 * share * count),
    };
    carbon::amortised(1.0, years).during(time).times(count)
}

/// A question, as the command line puts it.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// What runs.
    pub load: Load,
    /// Where.
    pub place: Place,
    /// What was bought for it.
    pub bought: Bought,
    /// With which places it is to be compared.
    pub compare: Compare,
}

/// A question and all that is to be said to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// What was asked.
    pub question: Question,
    /// What it would cost.
    pub estimate: Estimate,
    /// The same load at other places and at this one, least operational grams first; empty where nothing
    /// is compared.
    pub elsewhere: Vec<Elsewhere>,
}

/// The same load at one of several places.
#[derive(Clone, Debug, PartialEq)]
pub struct Elsewhere {
    /// 1 for the least grams.
    pub rank: usize,
    /// Whether it is the place of the question.
    pub here: bool,
    /// Where.
    pub place: Place,
    /// What it would cost there; nothing is bought there.
    pub estimate: Estimate,
}

/// Answers a question.
#[must_use]
pub fn answer(question: Question) -> Answer {
    let Question { load, place, .. } = &question;
    let mut elsewhere: Vec<Elsewhere> = place
        .others(&question.compare)
        .into_iter()
        .map(|other| Elsewhere {
            rank: 0,
            here: other == *place,
            estimate: estimate(load, &other, &Bought::default()),
            place: other,
        })
        .collect();
    elsewhere.sort_by(|a, b| a.estimate.location.0.total_cmp(&b.estimate.location.0));
    for (at, row) in elsewhere.iter_mut().enumerate() {
        row.rank = at + 1;
    }
    Answer {
        estimate: estimate(load, place, &question.bought),
        elsewhere,
        question,
    }
}

#[cfg(test)]
mod tests;
