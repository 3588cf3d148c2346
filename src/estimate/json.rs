//! An estimate for programs: all of it, in plain units that the names tell.

use super::{Answer, Elsewhere, Ground, Making, Place, Question, Range, assumptions, sources};
use crate::data;
use crate::units::Grams;
use serde_json::{Value, json};

/// The answer as a JSON object, on several lines.
#[must_use]
pub fn json(answer: &Answer) -> String {
    let Question {
        load,
        place,
        bought,
        ..
    } = &answer.question;
    let estimate = &answer.estimate;
    let hardware: Vec<Value> = load
        .parts
        .iter()
        .map(|part| {
            json!({
                "name": part.name,
                "count": part.count,
                "rated_watts": part.rated.0,
                "embodied_kilograms": part.made.as_ref().map(|made| made.kilograms),
                "embodied_low_kilograms": part.made.as_ref().map(|made| made.low),
                "embodied_high_kilograms": part.made.as_ref().map(|made| made.high),
            })
        })
        .collect();
    let lines: Vec<Value> = estimate
        .lines
        .iter()
        .map(|line| {
            json!({
                "name": line.name,
                "watts": line.power.0,
                "energy_kwh": line.energy.kwh(),
                "embodied_co2e_grams": line.embodied.map(|embodied| embodied.grams.0),
            })
        })
        .collect();
    let equivalents: Vec<Value> = data::equivalents()
        .iter()
        .map(|one| {
            let count = one.count(estimate.total.grams);
            json!({"id": one.id, "name": one.name, "count": count})
        })
        .collect();
    let page = json!({
        "load": {
            "hardware": hardware,
            "memory_gb": load.memory_gb,
            "hours": load.hours,
            "utilization": load.utilization,
            "lifetime_years": match load.making { Making::Years(years) => Some(years), _ => None },
            "embodied_share": match load.making { Making::Share(share) => Some(share), _ => None },
        },
        "place": json_place(place),
        "market": bought.contract.map(|contract| json!({
            "grams_per_kwh": contract.intensity.0,
            "share": contract.share,
        })),
        "offset_share": bought.offset,
        "lines": lines,
        "energy_kwh": estimate.energy.kwh(),
        "facility_energy_kwh": estimate.facility.kwh(),
        "location_co2e_grams": estimate.location.0,
        "market_co2e_grams": estimate.market.map(|grams| grams.0),
        "offset_co2e_grams": estimate.offset.map(|grams| grams.0),
        "embodied_co2e_grams": estimate.embodied.map(range),
        "total_co2e_grams": range(estimate.total),
        "equivalents_of_total": equivalents,
        "elsewhere": answer.elsewhere.iter().map(json_elsewhere).collect::<Vec<Value>>(),
        "assumptions": assumptions(answer),
        "sources": sources(answer).iter().map(|source| json!({
            "id": source.id,
            "title": source.title,
            "licence": source.licence,
            "vintage": source.vintage,
            "url": source.url,
        })).collect::<Vec<Value>>(),
    });
    format!("{page:#}\n")
}

fn range(range: Range) -> Value {
    let [value, low, high] = [range.grams, range.low, range.high].map(|Grams(grams)| grams);
    json!({"value": value, "low": low, "high": high})
}

fn json_place(place: &Place) -> Value {
    json!({
        "provider": place.provider,
        "code": place.code,
        "name": place.name,
        "zone": place.zone,
        "grams_per_kwh": place.intensity.0,
        "scope": place.scope,
        "year": place.year,
        "pue": place.pue,
        "pue_ground": match place.ground {
            Ground::Given => "given",
            Ground::Published(_) => "published",
            Ground::Unknown => "unknown",
        },
    })
}

fn json_elsewhere(row: &Elsewhere) -> Value {
    json!({
        "rank": row.rank,
        "here": row.here,
        "place": json_place(&row.place),
        "facility_energy_kwh": row.estimate.facility.kwh(),
        "location_co2e_grams": row.estimate.location.0,
        "total_co2e_grams": row.estimate.total.grams.0,
    })
}
