//! The flags of `gramwatt estimate`.

use super::checked;
use crate::config::{Intensity, Pue};
use crate::data;
use crate::embodied::Lifetime;
use crate::estimate::{Bought, Compare, Contract, Load, Making, Part, Place, Question};
use clap::{ArgGroup, Args, ValueEnum};

/// How `estimate` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// For people.
    Table,
    /// For programs.
    Json,
    /// For spreadsheets: a line for each place.
    Csv,
    /// For a paper: a table, a statement, and what they cite.
    Latex,
    /// What they cite alone.
    Bibtex,
}

/// What a load is, where it runs, and how the answer is printed.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("place").required(true))]
pub struct Estimate {
    /// Accelerator or processor, such as h100, "a100 80gb" or "epyc 7763"; 8x in front of it for eight; 450W for one
    /// that is not bundled. Repeat for several kinds.
    #[arg(long, value_name = "NAME", required = true)]
    hardware: Vec<String>,
    /// How many of each that says no number of its own.
    #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    count: u32,
    /// Main memory of all machines together, in GB; its power is left out otherwise.
    #[arg(long, value_name = "GB", value_parser = gigabytes, allow_negative_numbers = true)]
    memory: Option<f64>,
    /// How long it runs, in hours.
    #[arg(long, value_name = "H", value_parser = hours, allow_negative_numbers = true)]
    hours: f64,
    /// Mean power over rated power, 0 to 1 [default: 1].
    #[arg(long, value_name = "R", value_parser = share, allow_negative_numbers = true)]
    utilization: Option<f64>,
    /// Grid zone, such as DE or US-CA (`gramwatt zones`).
    #[arg(long, value_name = "ZONE", group = "place")]
    zone: Option<String>,
    /// Cloud region, such as aws/eu-central-1, with its published PUE.
    #[arg(long, value_name = "PROVIDER/REGION", group = "place")]
    cloud: Option<String>,
    /// Intensity of the grid, in g CO2e/kWh.
    #[arg(long, value_name = "GRAMS", group = "place", value_parser = checked::<Intensity>, allow_negative_numbers = true)]
    intensity: Option<Intensity>,
    /// Facility power / IT power, at least 1 [default: the region's published one, else 1].
    #[arg(long, value_name = "RATIO", value_parser = checked::<Pue>, allow_negative_numbers = true)]
    pue: Option<Pue>,
    /// Share of the making of the hardware that is counted, 0 to 1 [default: hours / lifetime].
    #[arg(long, value_name = "R", value_parser = share, conflicts_with = "lifetime_years", allow_negative_numbers = true)]
    embodied_share: Option<f64>,
    /// Lifetime of the hardware in years [default: the bundled one, 4].
    #[arg(long, value_name = "YEARS", value_parser = checked::<Lifetime>, allow_negative_numbers = true)]
    lifetime_years: Option<Lifetime>,
    /// Intensity of electricity by contract, in g CO2e/kWh: adds the market-based figure.
    #[arg(long, value_name = "GRAMS", value_parser = checked::<Intensity>, allow_negative_numbers = true)]
    market_intensity: Option<Intensity>,
    /// Share of the electricity that the contract covers, 0 to 1 [default: 1].
    #[arg(long, value_name = "R", value_parser = share, requires = "market_intensity", allow_negative_numbers = true)]
    market_share: Option<f64>,
    /// Share of the emissions for which offsets are bought, 0 to 1: told, and not deducted.
    #[arg(long, value_name = "R", value_parser = share, allow_negative_numbers = true)]
    offset: Option<f64>,
    /// Compare with zones, with the regions of a provider, or with none [default: the provider's of --cloud; zones
    /// for --zone].
    #[arg(long, value_name = "WHAT")]
    compare: Option<String>,
    /// Print all places in the table, not the best and worst few.
    #[arg(long)]
    pub all: bool,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Form::Table)]
    pub format: Form,
}

/// A number that a check likes.
fn number(text: &str, good: impl Fn(f64) -> bool, says: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    if good(number) {
        return Ok(number);
    }
    Err(says.to_owned())
}

fn hours(text: &str) -> Result<f64, String> {
    let good = |hours| hours > 0.0 && hours <= 1e6;
    number(text, good, "above 0 and at most 1000000 hours (114 years)")
}

fn share(text: &str) -> Result<f64, String> {
    let good = |share| (0.0..=1.0).contains(&share);
    number(text, good, "a share: 0 to 1 (50 % is 0.5)")
}

fn gigabytes(text: &str) -> Result<f64, String> {
    let good = |gigabytes| gigabytes > 0.0 && gigabytes <= 1e9;
    number(text, good, "above 0 and at most 1000000000 GB")
}

impl Estimate {
    /// The question that the flags put.
    ///
    /// # Errors
    /// What is unknown: hardware, place or provider, with the nearest.
    pub fn question(&self) -> Result<Question, String> {
        let parts = self
            .hardware
            .iter()
            .map(|name| Part::named(name, self.count))
            .collect::<Result<Vec<Part>, String>>()?;
        let place = self.place()?;
        let making = match (self.embodied_share, self.lifetime_years) {
            (Some(share), _) => Making::Share(share),
            (None, Some(years)) => Making::Years(years.into()),
            (None, None) => Making::Lifetime,
        };
        Ok(Question {
            compare: self.compared(&place)?,
            load: Load {
                parts,
                memory_gb: self.memory.unwrap_or(0.0),
                hours: self.hours,
                utilization: self.utilization,
                making,
            },
            place,
            bought: Bought {
                contract: self.market_intensity.map(|intensity| Contract {
                    intensity: intensity.grams_per_kwh(),
                    share: self.market_share.unwrap_or(1.0),
                }),
                offset: self.offset,
            },
        })
    }

    fn place(&self) -> Result<Place, String> {
        let pue = self.pue.map(Pue::ratio);
        match (&self.zone, &self.cloud, self.intensity) {
            (Some(zone), _, _) => Place::zone(zone, pue),
            (_, Some(cloud), _) => Place::cloud(cloud, pue),
            (_, _, Some(intensity)) => Ok(Place::given(intensity.grams_per_kwh(), pue)),
            // clap has asked for one of them.
            (None, None, None) => Err("give --zone, --cloud or --intensity".into()),
        }
    }

    fn compared(&self, place: &Place) -> Result<Compare, String> {
        let Some(what) = &self.compare else {
            return Ok(match (&place.provider, place.code.is_empty()) {
                (Some(provider), _) => Compare::Provider(provider.clone()),
                (None, false) => Compare::Zones,
                (None, true) => Compare::None,
            });
        };
        let what = what.to_lowercase();
        let providers = data::cloud_providers();
        match what.as_str() {
            "none" => Ok(Compare::None),
            "zones" => Ok(Compare::Zones),
            _ if providers.contains(&what) => Ok(Compare::Provider(what)),
            _ => Err(format!(
                "--compare {what:?}: give zones, none, or a provider: {}",
                providers.join(", ")
            )),
        }
    }
}
