//! What has to be known to read a report rightly: where its figures are from, and what they leave out.

use super::rows::By;
use super::time::{Span, told};
use super::words::{duration, percent};
use super::{Order, Report};
use crate::units::Joules;

/// The notes of a report.
#[must_use]
pub fn of(report: &Report, order: &Order, warnings: &[String]) -> Vec<String> {
    let mut notes = Vec::new();
    basis(report, order, &mut notes);
    booked(report, &mut notes);
    shared(report, &mut notes);
    notes.push(
        "The same load elsewhere is its energy x the region's PUE (in brackets that of here, where none is published) \
         x a yearly mean intensity: which hours it would meet there is not known. Google's and some others' figures \
         are direct emissions, ours of nodes usually of the whole life cycle."
            .to_owned(),
    );
    for warning in warnings {
        notes.push(format!("The server warned: {warning}"));
    }
    notes
}

/// Where the hours are from.
fn basis(report: &Report, order: &Order, notes: &mut Vec<String>) {
    let basis = &report.basis;
    if basis.synthetic_nodes > 0 {
        notes.push(format!(
            "SYNTHETIC DATA: the hardware of {} nodes is made up (--demo).",
            basis.synthetic_nodes
        ));
    }
    notes.push(match (basis.recorded_hours, basis.counter_hours) {
        (recorded, 0) => format!("From {recorded} hours that the recording rules kept."),
        (0, _) => "From the counters themselves, hour by hour: no recorded hours were found (deploy/rules).".to_owned(),
        (recorded, counted) => format!(
            "From {recorded} hours that the recording rules kept, and {counted} of the counters themselves."
        ),
    });
    notes.extend(edges(report.span, order.asked, order.now));
    if basis.recorded_hours > 0 {
        notes.push(
            "A recorded hour may begin and end up to half an hour beside the full one; PUE and facility energy are by \
             the mean of each cluster's nodes."
                .to_owned(),
        );
    }
    if basis.missing_hours > 0 {
        let all = report.span.hours().count();
        notes.push(format!(
            "INCOMPLETE: of {all} hours {} have no data; what was used in them is not in here.",
            basis.missing_hours
        ));
    }
    if basis.unheard_seconds > 0 {
        #[allow(clippy::cast_precision_loss)]
        let silent = duration(basis.unheard_seconds as f64);
        notes.push(format!(
            "INCOMPLETE: in about {silent} of the hours that have data no node was heard; what was used then is not in here."
        ));
    }
    if !basis.left_out.is_empty() {
        notes.push(format!(
            "INCOMPLETE: not in here is what has counters and no recorded hours: cluster {}.",
            basis.left_out.join(", ")
        ));
    }
    if basis.fewest_nodes < basis.most_nodes {
        notes.push(format!(
            "Between {} and {} nodes told of their energy in an hour: some came, went, or were not heard.",
            basis.fewest_nodes, basis.most_nodes
        ));
    } else {
        notes.push(format!(
            "{} nodes told of their energy in every hour.",
            basis.most_nodes
        ));
    }
}

/// Where the time that is reported on is not the one that was asked for.
fn edges(span: Span, asked: Span, now: i64) -> Vec<String> {
    let mut notes = Vec::new();
    if span.from < asked.from || span.to > asked.to {
        notes.push(format!(
            "Rounded outward to whole hours, in UTC: {} to {} were asked for.",
            told(asked.from),
            told(asked.to)
        ));
    }
    if span.to < asked.to {
        let why = match (asked.to > now, span.to < now) {
            (true, false) => "is still to come",
            (true, true) => "has no data yet or is still to come",
            (false, _) => "has no data yet",
        };
        notes.push(format!(
            "It ends at {}: what was asked for from there to {} {why}, and is not in here.",
            told(span.to),
            told(asked.to)
        ));
    }
    notes
}

/// Which grams.
fn booked(report: &Report, notes: &mut Vec<String>) {
    let total = &report.total;
    let booked = total.booked_share();
    if total.co2e_grams.is_none() {
        notes.push(
            "No node knows its grid zone (grid.zone), so that there are no grams.".to_owned(),
        );
    } else if booked < 0.9995 {
        notes.push(format!(
            "{} of the energy has no CO2e by location: its nodes know no grid zone (grid.zone).",
            percent(1.0 - booked)
        ));
    }
    if !report.basis.grids.is_empty() {
        let mut grids: Vec<String> = report
            .basis
            .grids
            .iter()
            .map(|grid| format!("{} ({})", grid.grid_zone, grid.provider))
            .collect();
        grids.sort();
        grids.dedup();
        notes.push(format!(
            "Grid zones and who tells their intensity, at the end of the time: {}.",
            grids.join(", ")
        ));
    }
    if total.market_co2e_grams.is_some() {
        let of = report.basis.market_energy_joules.0 / total.energy_joules.0;
        let of = match of < 0.9995 {
            true => format!(
                "; by contract are only the {} of the energy whose nodes have one",
                percent(of)
            ),
            false => String::new(),
        };
        notes.push(format!(
            "By location and by contract (GHG Protocol scope 2) are two views of the same energy: never add them{of}."
        ));
    }
    if total.facility_energy_joules.is_none() {
        notes.push(
            "No PUE is known for all hours, so that facility energy, the intensity met and other PUEs are left out.".to_owned(),
        );
    }
    if total.embodied_co2e_grams.is_none() {
        notes.push("The making of the hardware is not known (embodied).".to_owned());
    }
}

/// What rows can know.
fn shared(report: &Report, notes: &mut Vec<String>) {
    if report.by == By::Node {
        return;
    }
    if report.total.embodied_co2e_grams.is_some() && report.by == By::Run {
        notes.push(
            "Only nodes know what they are made of: the making goes to each run by its share of the energy of its cluster \
             while it ran, whatever time is reported on."
                .to_owned(),
        );
    } else if report.total.embodied_co2e_grams.is_some() {
        notes.push(format!(
            "Only nodes know what they are made of: the making goes to each {} by its share of the energy.",
            report.by.name()
        ));
    }
    if report.by == By::Run {
        let before = report.runs.as_ref().map_or(0, |runs| runs.began_before);
        if before > 0 {
            notes.push(format!(
                "Runs are whole: {before} began before this time, and what they used before is with them."
            ));
        }
        notes.push("A run is a part of its workload: the energy of runs is in the totals, and never beside them.".to_owned());
        return;
    }
    if report.by == By::Workload {
        notes.push(
            "A workload's begin and end lie between two scrapes and are extrapolated: of one that lived for a few scrapes \
             expect an error of one of them."
                .to_owned(),
        );
    }
    let rows: Joules = report.rows.iter().map(|row| row.energy_joules).sum();
    let covered = rows.0 / report.total.energy_joules.0;
    if !report.rows.is_empty() && (covered - 1.0).abs() > 0.005 {
        notes.push(format!(
            "The {}s have {} of the nodes' energy: workloads were not watched everywhere or all the time.",
            report.by.name(),
            percent(covered)
        ));
    }
    notes.push(
        "How much was modelled or booked with a factor that was not live is known for nodes, and here for the whole.".to_owned(),
    );
}

#[cfg(test)]
mod tests {
    use super::super::time::HOUR;
    use super::*;

    #[test]
    fn what_was_asked_for_and_is_not_in_it_is_told() {
        let now = 1_767_576_300; // 2026-01-05 01:25
        let hour = now - 1500;
        let span = |from, to| Span { from, to };
        let asked = span(hour - HOUR, now);
        assert_eq!(edges(asked, asked, now), [""; 0]);
        // The last hour that was asked for, of which the recorded part alone has data.
        let said = edges(span(hour - HOUR, hour), span(now - HOUR, now), now);
        assert_eq!(
            said,
            [
                "Rounded outward to whole hours, in UTC: 2026-01-05 00:25 UTC to 2026-01-05 01:25 UTC were asked for.",
                "It ends at 2026-01-05 01:00 UTC: what was asked for from there to 2026-01-05 01:25 UTC has no data yet, \
                 and is not in here.",
            ]
        );
        // What is to come is told as it was asked for.
        let said = edges(asked, span(hour - HOUR, now + HOUR), now);
        assert_eq!(said.len(), 1);
        assert!(
            said[0].contains("ends at 2026-01-05 01:25 UTC")
                && said[0].contains("to 2026-01-05 02:25 UTC is still to come"),
            "{said:?}"
        );
    }
}
