//! What of the making of the hardware goes to each run: its share of the energy of its cluster in its own time, so that it
//! is the same whatever time is reported on.

use super::Total;
use super::hours::{self, Course, Hours};
use super::prometheus::{Failure, Server};
use super::query::{Scope, What};
use super::runs::{Run, Runs};
use super::time::{DAY, HOUR, Span};
use crate::units::{Grams, Joules};

/// How long before the report a run may have begun for its hours to be asked for.
const EARLIEST: i64 = 366 * DAY;

/// Gives each run its share; by the whole time's energy to one whose own time is not known.
///
/// # Errors
/// Where the server does not answer.
pub fn share(
    server: &mut Server,
    scope: &Scope,
    course: &Course,
    now: i64,
    runs: &mut Runs,
) -> Result<(), Failure> {
    let begins = runs.runs.iter().filter_map(|run| run.time);
    let Some(first) = begins.map(|time| time.from).min() else {
        return Ok(());
    };
    let own = Span {
        from: first.max(course.span.from - EARLIEST),
        to: course.span.to,
    };
    // Recorded hours are whole ones already.
    let gathered;
    let hours = if course.sources.0 > 0 && own.from >= course.span.from {
        &course.hours
    } else {
        gathered = hours::gather(server, scope, own.outward(), now)?.hours;
        &gathered
    };
    for run in &mut runs.runs {
        run.embodied_co2e_grams = of(run, hours);
    }
    Ok(())
}

/// A run's share: its energy x the making over the energy of its cluster, in the hours of its time.
fn of(run: &Run, hours: &Hours) -> Option<Grams> {
    let time = run.time?;
    let (mut made, mut used) = (None, Joules::ZERO);
    for (from, clusters) in hours.range(time.from - HOUR + 1..time.to) {
        let hour = Span {
            from: *from,
            to: from + HOUR,
        };
        let Some((both, sums)) = hour.within(time).zip(clusters.get(&run.cluster)) else {
            continue;
        };
        #[allow(clippy::cast_precision_loss)]
        let part = both.seconds() as f64 / HOUR as f64;
        used += sums.joules().times(part);
        if let Some(grams) = sums.grams(What::Embodied) {
            made = Some(made.unwrap_or(Grams::ZERO) + grams.times(part));
        }
    }
    by_energy(run.energy_joules, made, used)
}

/// A part of the making by its share of the energy of the same time.
fn by_energy(joules: Joules, made: Option<Grams>, all: Joules) -> Option<Grams> {
    let made = made.filter(|_| all.0 > 0.0)?;
    Some(made.times(joules.0 / all.0))
}

/// The part of the making in a total that goes to some of its energy.
#[must_use]
pub fn of_total(joules: Joules, total: &Total) -> Option<Grams> {
    by_energy(joules, total.embodied_co2e_grams, total.energy_joules)
}

#[cfg(test)]
mod tests {
    use super::super::hours::Sums;
    use super::super::runs::tests::run;
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_run_has_a_share_of_the_making_in_its_own_time() {
        let sums = |kwh: f64| {
            let mut sums = Sums::default();
            sums.add(What::Energy, kwh * 3.6e6);
            sums.add(What::Embodied, 100.0);
            BTreeMap::from([("east".to_owned(), sums)])
        };
        // A quiet hour, and two in which the run was: 45 minutes of the first, all of the second.
        let hours = Hours::from([(0, sums(0.1)), (HOUR, sums(4.0)), (2 * HOUR, sums(1.0))]);
        let mut one = run("train", "1");
        one.cluster = "east".to_owned();
        one.time = Some(Span {
            from: HOUR + 900,
            to: 3 * HOUR,
        });
        let share = of(&one, &hours).unwrap();
        assert!((share.0 - 175.0 / 4.0).abs() < 1e-9, "{share:?}");
        let later = hours.into_iter().skip(1).collect();
        assert_eq!(of(&one, &later), Some(share));
        one.cluster = "west".to_owned();
        assert_eq!(of(&one, &later), None);
    }
}
