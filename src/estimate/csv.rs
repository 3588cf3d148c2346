//! An estimate for spreadsheets: a line for each place, this one and those it is compared with.

use super::{Answer, Estimate, Place};
use crate::output;
use crate::units::Grams;

const COLUMNS: [&str; 19] = [
    "rank",
    "here",
    "provider",
    "code",
    "name",
    "zone",
    "grams_per_kwh",
    "scope",
    "year",
    "pue",
    "energy_kwh",
    "facility_energy_kwh",
    "location_co2e_grams",
    "market_co2e_grams",
    "offset_co2e_grams",
    "embodied_co2e_grams",
    "embodied_low_co2e_grams",
    "embodied_high_co2e_grams",
    "total_co2e_grams",
];

/// The answer as CSV. What was bought is in the line of this place alone.
#[must_use]
pub fn csv(answer: &Answer) -> String {
    let here = |rank| line(rank, true, &answer.question.place, &answer.estimate);
    let mut rows: Vec<Vec<String>> = answer
        .elsewhere
        .iter()
        .map(|row| match row.here {
            true => here(row.rank),
            false => line(row.rank, false, &row.place, &row.estimate),
        })
        .collect();
    if rows.is_empty() {
        rows.push(here(1));
    }
    output::csv(&COLUMNS, rows)
}

fn line(rank: usize, here: bool, place: &Place, estimate: &Estimate) -> Vec<String> {
    let optional = |grams: Option<Grams>| grams.map_or_else(String::new, |grams| plain(grams.0));
    vec![
        rank.to_string(),
        here.to_string(),
        place.provider.clone().unwrap_or_default(),
        place.code.clone(),
        place.name.clone(),
        place.zone.clone(),
        plain(place.intensity.0),
        place.scope.clone(),
        place.year.map_or_else(String::new, |year| year.to_string()),
        plain(place.pue),
        plain(estimate.energy.kwh()),
        plain(estimate.facility.kwh()),
        plain(estimate.location.0),
        optional(estimate.market),
        optional(estimate.offset),
        optional(estimate.embodied.map(|range| range.grams)),
        optional(estimate.embodied.map(|range| range.low)),
        optional(estimate.embodied.map(|range| range.high)),
        plain(estimate.total.grams.0),
    ]
}

/// To a millionth, without the digits that a float adds.
fn plain(value: f64) -> String {
    let text = format!("{value:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
