//! Looking for zones and cloud regions by a part of their names.

use super::{cloud_regions, zones};
use std::fmt::Write;

/// The zones and cloud regions whose code or name holds a text, whatever its case, as a table for people;
/// empty where there is none.
#[must_use]
pub fn search(text: &str) -> String {
    let wanted = text.to_lowercase();
    let fits = |parts: &[&str]| {
        parts
            .iter()
            .any(|part| part.to_lowercase().contains(&wanted))
    };
    let mut out = String::new();
    for zone in zones()
        .iter()
        .filter(|zone| fits(&[&zone.zone, &zone.name]))
    {
        let code = format!("grid.zone: {}", zone.zone);
        let _ = writeln!(
            out,
            "{code:<56} {:>6.0} g/kWh  {} {:<9}  {}",
            zone.intensity.0, zone.year, zone.scope, zone.name
        );
    }
    for region in cloud_regions() {
        if !fits(&[&region.provider, &region.region, &region.name, &region.zone]) {
            continue;
        }
        let code = format!(
            "grid.cloud: {{provider: {}, region: {}}}",
            region.provider, region.region
        );
        let grams = region
            .intensity
            .map_or_else(|| "-".to_owned(), |grams| format!("{:.0}", grams.0));
        let pue = region
            .pue
            .map_or_else(String::new, |pue| format!(", PUE {pue}"));
        let _ = writeln!(
            out,
            "{code:<56} {grams:>6} g/kWh  {} {:<9}  {} (zone {}{pue})",
            region.year, region.scope, region.name, region.zone
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_and_regions_are_found_by_a_part_of_their_names() {
        let german = search("germany");
        assert!(
            german
                .lines()
                .any(|line| line.starts_with("grid.zone: DE ")),
            "{german}"
        );
        let frankfurt = search("eu-central-1");
        assert!(
            frankfurt.contains("grid.cloud: {provider: aws, region: eu-central-1}"),
            "{frankfurt}"
        );
        assert!(search("US-CA").lines().count() >= 1);
        assert_eq!(search("no such place"), "");
        assert!(search("").lines().count() > 500);
    }
}
