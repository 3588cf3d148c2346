//! Asks, and makes a report of what was answered.

use super::elsewhere::{self, Load};
use super::hours::{self, Course, Sums};
use super::prometheus::{Failure, Server};
use super::query::{Queries, Scope, Source};
use super::rows::{self, By, Row};
use super::runs::{self, Runs};
use super::time::{DAY, HOUR, told};
use super::{
    Basis, Equivalent, Grid, Hour, Order, Report, ReportError, Sci, Total, making, notes, shown,
    units,
};
use crate::data;
use crate::units::{Grams, Joules};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// Asks, and makes the report.
///
/// # Errors
/// Where the server does not answer, or has nothing to report on or not all of it.
pub fn make(server: &mut Server, order: &Order) -> Result<Report, ReportError> {
    let scope = Scope::of(&order.clusters);
    let course = hours::gather(server, &scope, order.span, order.now)?;
    let unrecorded = unrecorded(server, order, &course)?;
    complete(server, order, &course, &unrecorded)?;
    let mut runs = match order.by {
        By::Run => Some(runs::ask(server, &scope, course.span, &course.stretches)?),
        _ => None,
    };
    if let Some(runs) = &mut runs {
        units::check(runs, &order.units_of_runs).map_err(ReportError::Data)?;
        making::share(server, &scope, &course, order.now, runs)?;
    }
    let rows = rows::ask(server, &scope, order.by, &course.stretches)?;
    if order.by == By::Node && rows.is_empty() {
        return Err(ReportError::Data(
            "the nodes' series vanished between two queries: does the server drop old data at this moment? Try again".to_owned(),
        ));
    }
    let aside = ask_aside(server, &scope, &course)?;
    let mut report = made(order, &course, aside, rows, runs);
    report.basis.left_out = unrecorded;
    report.notes = notes::of(&report, order, server.warnings());
    Ok(report)
}

/// What is asked beside hours and rows.
struct Aside {
    kinds: BTreeMap<String, Joules>,
    grids: Vec<Grid>,
    contracted: Joules,
    synthetic: u64,
}

fn ask_aside(server: &mut Server, scope: &Scope, course: &Course) -> Result<Aside, Failure> {
    let mut kinds: BTreeMap<String, Joules> = BTreeMap::new();
    let mut contracted = Joules::ZERO;
    for stretch in &course.stretches {
        let queries = Queries {
            source: stretch.source,
            scope,
        };
        for piece in stretch.pieces() {
            for series in server.instant(&queries.kinds(piece.seconds()), piece.to)? {
                let kind = kinds.entry(series.label("kind").to_owned()).or_default();
                *kind += Joules(series.last());
            }
            for series in server.instant(&queries.contracted(piece.seconds()), piece.to)? {
                contracted += Joules(series.last());
            }
        }
    }
    let queries = Queries {
        source: Source::Counters,
        scope,
    };
    // As they are at the end: what was before would take a look at every sample.
    let end = course.span.seconds().min(2 * HOUR);
    let answer = server.instant(&queries.grids(end), course.span.to)?;
    let mut grids: Vec<Grid> = answer
        .iter()
        .map(|series| Grid {
            cluster: series.label("cluster").to_owned(),
            grid_zone: series.label("grid_zone").to_owned(),
            provider: series.label("provider").to_owned(),
        })
        .collect();
    grids.sort();
    let seconds = course.span.seconds().min(DAY);
    let answer = server.instant(&queries.synthetic(seconds), course.span.to)?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let synthetic = answer.first().map_or(0.0, |series| series.last()) as u64;
    Ok(Aside {
        kinds,
        grids,
        contracted,
        synthetic,
    })
}

/// That there is something, of every cluster that was named, in every hour.
fn complete(
    server: &mut Server,
    order: &Order,
    course: &Course,
    unrecorded: &[String],
) -> Result<(), ReportError> {
    let seen = |name: &String| {
        course
            .hours
            .values()
            .any(|clusters| clusters.contains_key(name))
    };
    let lacking: Vec<&String> = order.clusters.iter().filter(|name| !seen(name)).collect();
    let (from, to) = (told(order.span.from), told(order.span.to));
    if let Some(name) = lacking.first() {
        let others = clusters(server, order)?;
        let others = match others.is_empty() {
            true => "it has no Gramwatt of any cluster in that time".to_owned(),
            false => format!("it has these: {}", others.join(", ")),
        };
        return Err(ReportError::Data(format!(
            "cluster {name:?} tells nothing from {from} to {to}; {others}"
        )));
    }
    if course.hours.is_empty() {
        return Err(ReportError::Data(format!(
            "from {from} to {to} this Prometheus has no Gramwatt: neither recorded hours \
             (cluster:gramwatt_node_energy_joules:increase1h) nor gramwatt_node_energy_joules_total. Does it scrape one, \
             and does it keep data for so long (--storage.tsdb.retention.time)?"
        )));
    }
    if order.allow_gaps {
        return Ok(());
    }
    if let Some(name) = unrecorded.first() {
        return Err(ReportError::Data(format!(
            "cluster {name:?} has counters and no recorded hours, as others have, and would not be in the report: load \
             the recording rules (deploy/rules) where it is scraped, ask for it alone with --cluster, or leave it out with \
             --allow-gaps"
        )));
    }
    if course.missing.is_empty() {
        return Ok(());
    }
    let hours: i64 = course.missing.iter().map(|gap| gap.seconds()).sum::<i64>() / HOUR;
    let gaps: Vec<String> = course
        .missing
        .iter()
        .take(3)
        .map(|gap| format!("{} to {}", told(gap.from), told(gap.to)))
        .collect();
    let more = if course.missing.len() > gaps.len() {
        " and others"
    } else {
        ""
    };
    let all = course.span.hours().count();
    Err(ReportError::Data(format!(
        "in {hours} of {all} hours no node told of its energy: {}{more}. Ask for another time, or let it pass with \
         --allow-gaps: the report then says so, and is too low where machines did run",
        gaps.join(", ")
    )))
}

/// Clusters that tell of themselves at the end of the time, and of which no hour is known.
fn unrecorded(server: &mut Server, order: &Order, course: &Course) -> Result<Vec<String>, Failure> {
    let queries = Queries {
        source: Source::Counters,
        scope: &Scope::of(&order.clusters),
    };
    let answer = server.instant(&queries.clusters(HOUR), course.span.to.min(order.now))?;
    let names = answer.iter().map(|series| series.label("cluster"));
    let unknown = names.filter(|name| {
        let mut hours = course.hours.values();
        !hours.any(|clusters| clusters.contains_key(*name))
    });
    Ok(unknown.map(|name| shown(name).to_owned()).collect())
}

/// The clusters that tell anything in the time.
fn clusters(server: &mut Server, order: &Order) -> Result<Vec<String>, Failure> {
    let course = hours::gather(server, &Scope::default(), order.span, order.now)?;
    let mut names: Vec<String> = course
        .hours
        .into_values()
        .flat_map(BTreeMap::into_keys)
        .collect();
    names.sort();
    names.dedup();
    Ok(names
        .into_iter()
        .map(|name| shown(&name).to_owned())
        .collect())
}

fn made(
    order: &Order,
    course: &Course,
    aside: Aside,
    rows: Vec<Row>,
    runs: Option<Runs>,
) -> Report {
    let mut all = Sums::default();
    let mut by_cluster: BTreeMap<String, Sums> = BTreeMap::new();
    let mut hours = Vec::new();
    for (second, clusters) in &course.hours {
        let mut hour = Sums::default();
        for (cluster, sums) in clusters {
            hour = hour.and(sums);
            let of_cluster = by_cluster.entry(cluster.clone()).or_default();
            *of_cluster = of_cluster.and(sums);
        }
        all = all.and(&hour);
        let total = Total::of(&hour);
        hours.push(Hour {
            from: rfc3339(*second),
            second: *second,
            energy_joules: total.energy_joules,
            co2e_grams: total.co2e_grams,
            intensity_grams_per_kwh: total.intensity_grams_per_kwh,
        });
    }
    let total = Total::of(&all);
    let load = Load {
        joules: total.energy_joules,
        pue: total.pue,
        // Of a load with unknown grams nothing can be compared.
        grams: total.co2e_grams.filter(|_| total.booked_share() > 0.999),
    };
    let grams = total.co2e_grams.filter(|grams| grams.0 > 0.0);
    Report {
        gramwatt: env!("CARGO_PKG_VERSION"),
        from: rfc3339(course.span.from),
        to: rfc3339(course.span.to),
        span: course.span,
        clusters: by_cluster.keys().cloned().collect(),
        basis: Basis {
            recorded_hours: course.sources.0,
            counter_hours: course.sources.1,
            missing_hours: course.missing.iter().map(|gap| gap.hours().count()).sum(),
            unheard_seconds: course.unheard,
            fewest_nodes: course.nodes.0,
            most_nodes: course.nodes.1,
            left_out: Vec::new(),
            market_energy_joules: aside.contracted,
            synthetic_nodes: aside.synthetic,
            grids: aside.grids,
        },
        by_cluster: by_cluster
            .iter()
            .map(|(name, sums)| (name.clone(), Total::of(sums)))
            .collect(),
        energy_joules_by_kind: aside.kinds,
        hours,
        by: order.by,
        rows: with_embodied(rows, &total),
        runs: runs.map(|runs| runs_with_units(runs, order, &total)),
        equivalents: grams.map(equivalents).unwrap_or_default(),
        elsewhere: elsewhere::regions(load, &order.compare),
        other_pues: elsewhere::pues(load),
        sci: sci(order, &total),
        total,
        notes: Vec::new(),
    }
}

fn rfc3339(second: i64) -> String {
    Timestamp::from_second(second)
        .unwrap_or_default()
        .to_string()
}

/// Who is no node has a part of the making by its energy: only nodes know what they are made of.
fn with_embodied(mut rows: Vec<Row>, total: &Total) -> Vec<Row> {
    for row in &mut rows {
        row.embodied_co2e_grams = row
            .embodied_co2e_grams
            .or_else(|| making::of_total(row.energy_joules, total));
    }
    rows
}

fn runs_with_units(mut runs: Runs, order: &Order, total: &Total) -> Runs {
    for run in &mut runs.runs {
        run.embodied_co2e_grams = run
            .embodied_co2e_grams
            .or_else(|| making::of_total(run.energy_joules, total));
        let units = units::of(run, &order.units_of_runs);
        run.functional_units = units;
        let all = run
            .co2e_grams
            .map(|grams| grams + run.embodied_co2e_grams.unwrap_or_default());
        run.sci_grams = all.map(|grams| grams.0 / units.unwrap_or(1.0));
    }
    runs
}

fn equivalents(grams: Grams) -> Vec<Equivalent> {
    let all = data::equivalents().into_iter();
    all.map(|one| Equivalent {
        count: one.count(grams),
        meaning: one.meaning,
        source: one.source.title,
        id: one.id,
        name: one.name,
    })
    .collect()
}

fn sci(order: &Order, total: &Total) -> Option<Sci> {
    let units = order.units?;
    let operational = total.co2e_grams?;
    let made = total.embodied_co2e_grams;
    Some(Sci {
        energy_kwh: total.facility_energy_joules.map(Joules::kwh),
        intensity_grams_per_kwh: total.intensity_grams_per_kwh,
        operational_grams: operational,
        embodied_grams: made,
        functional_unit: order.unit.clone().unwrap_or_else(|| "unit".to_owned()),
        functional_units: units,
        sci_grams: (operational + made.unwrap_or_default()).0 / units,
    })
}
