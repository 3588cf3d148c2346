//! What each cluster used in each hour: of recorded hours, and of counters where none are recorded.
//!
//! A rule records the increase of the hour before its evaluation, at a moment of its own (`12:02:17`). Such an hour
//! counts for the full hour that holds its middle, and hours of counters beside it begin and end at the same second, so
//! that no time between them is lost or counted twice.

use super::prometheus::{Failure, Series, Server};
use super::query::{Queries, Scope, Source, What};
use super::time::{HOUR, Span};
use crate::units::{Grams, Joules};
use std::collections::{BTreeMap, BTreeSet};

/// Half an hour: a recorded hour's middle is so long before its sample.
const HALF: i64 = HOUR / 2;
/// How often it is looked whether there are counters: in a short time more often.
const LOOKS: (i64, i64) = (60, 600);
/// Points of one answer: Prometheus allows 11,000.
const POINTS: i64 = 4000;

/// Sums of a cluster's nodes. What nobody told is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sums {
    values: [Option<f64>; What::ALL.len()],
    /// Facility energy: energy x PUE.
    pub facility: Option<Joules>,
}

impl Sums {
    /// Adds to one of them.
    pub(super) fn add(&mut self, what: What, value: f64) {
        let sum = &mut self.values[what as usize];
        *sum = Some(sum.unwrap_or(0.0) + value);
    }

    /// Together with another's; facility energy only where both know it.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        let is_first = self.joules() == Joules::ZERO;
        self.facility = match (self.facility, other.facility) {
            (Some(a), Some(b)) => Some(a + b),
            (None, b) if is_first => b,
            (a, _) if other.joules() == Joules::ZERO => a,
            _ => None,
        };
        for what in What::ALL {
            if let Some(value) = other.values[what as usize] {
                self.add(what, value);
            }
        }
        self
    }

    /// Energy of the IT equipment.
    #[must_use]
    pub fn joules(&self) -> Joules {
        Joules(self.values[What::Energy as usize].unwrap_or(0.0))
    }

    /// Energy, in joules, of one of its kinds.
    #[must_use]
    pub fn energy(&self, what: What) -> Option<Joules> {
        self.values[what as usize].map(Joules)
    }

    /// CO2e of one of its kinds.
    #[must_use]
    pub fn grams(&self, what: What) -> Option<Grams> {
        self.values[what as usize].map(Grams)
    }

    /// Facility energy of the nodes for which grams are booked.
    #[must_use]
    pub fn booked_facility(&self) -> Option<Joules> {
        let booked = self.energy(What::Booked)?;
        let facility = self.facility?;
        (self.joules().0 > 0.0).then(|| facility.times(booked.0 / self.joules().0))
    }
}

/// A time that one source tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Where its figures are taken from.
    pub source: Source,
    /// From when to when queries go, which is a little beside the hours that they are for.
    pub span: Span,
}

impl Stretch {
    /// Pieces that one query each may go through.
    pub fn pieces(self) -> impl Iterator<Item = Span> {
        self.span.pieces(self.source.piece())
    }
}

/// All hours of a time, by the second that each begins at and by cluster.
pub type Hours = BTreeMap<i64, BTreeMap<String, Sums>>;

/// What was told of a time.
#[derive(Clone, Debug, PartialEq)]
pub struct Course {
    /// The time reported on: it ends where hours end that were told of or are over, and never in the future.
    pub span: Span,
    /// Its hours.
    pub hours: Hours,
    /// Where they are from.
    pub stretches: Vec<Stretch>,
    /// Hours that were recorded, and hours that are of counters.
    pub sources: (usize, usize),
    /// Hours that nobody told of.
    pub missing: Vec<Span>,
    /// Seconds, to a look or two, of the other hours of counters in which there were none.
    pub unheard: i64,
    /// The fewest and the most nodes in an hour.
    pub nodes: (u64, u64),
}

/// Asks for the hours of a time.
///
/// # Errors
/// Where the server does not answer. That there is nothing is no error here.
pub fn gather(
    server: &mut Server,
    scope: &Scope,
    asked: Span,
    now: i64,
) -> Result<Course, Failure> {
    let mut hours = Hours::new();
    let whole = asked.outward();
    let shift = recorded(server, scope, whole, &mut hours)?;
    // Where nothing is recorded, no hour need be whole.
    let span = if shift.is_some() { whole } else { asked };
    let known: BTreeSet<i64> = hours.keys().copied().collect();
    let shift = shift.unwrap_or(0);
    let open = span.hours().filter(|hour| !known.contains(hour));
    let mut stretches: Vec<Stretch> = Span::joined(known.iter().copied())
        .into_iter()
        .map(|span| Stretch {
            source: Source::Recorded,
            span: Span {
                from: span.from + HALF,
                to: span.to + HALF,
            },
        })
        .collect();
    let mut unheard = 0;
    for open in Span::joined(open) {
        let open = Span {
            from: open.from + shift,
            to: (open.to.min(span.to) + shift).min(now),
        };
        let present = present(server, scope, open)?;
        unheard += present.unheard;
        for span in present.spans {
            let stretch = Stretch {
                source: Source::Counters,
                span,
            };
            counted(server, scope, stretch, shift, &mut hours)?;
            stretches.push(stretch);
        }
    }
    hours.retain(|_, clusters| {
        clusters.retain(|_, sums| sums.energy(What::Energy).is_some());
        !clusters.is_empty()
    });
    facilities(server, scope, span, &mut hours)?;
    let is_over = |hour: &i64| hour + HOUR + shift <= now;
    let is_told = |hour: &i64| hours.contains_key(hour);
    let span = span.until_last(now, |hour| is_told(hour) || is_over(hour));
    let missing = span.hours().filter(|hour| !is_told(hour) && is_over(hour));
    let of_counters = hours.keys().filter(|hour| !known.contains(hour)).count();
    let nodes = nodes(server, scope, &stretches)?;
    Ok(Course {
        span,
        missing: Span::joined(missing),
        unheard,
        sources: (hours.len() - of_counters, of_counters),
        hours,
        stretches,
        nodes,
    })
}

fn put(hours: &mut Hours, hour: i64, series: &Series, what: What, value: f64) {
    let clusters = hours.entry(hour).or_default();
    let cluster = series.label("cluster").to_owned();
    clusters.entry(cluster).or_default().add(what, value);
}

/// The full hour that a recorded one is for: that which holds its middle.
#[must_use]
pub fn of_sample(at: f64) -> i64 {
    #[allow(clippy::cast_possible_truncation)]
    let end = at.ceil() as i64;
    (end - HALF - 1).div_euclid(HOUR) * HOUR
}

/// Recorded hours; how long after the full hour they end, where there are any.
fn recorded(
    server: &mut Server,
    scope: &Scope,
    whole: Span,
    hours: &mut Hours,
) -> Result<Option<i64>, Failure> {
    let queries = Queries {
        source: Source::Recorded,
        scope,
    };
    let mut shift = None;
    for what in What::ALL {
        for piece in whole.pieces(Source::Recorded.piece()) {
            let query = queries.hours(what, piece.seconds());
            for series in server.instant(&query, piece.to + HALF)? {
                for (at, value) in &series.samples {
                    #[allow(clippy::cast_possible_truncation)]
                    let end = at.ceil() as i64;
                    let hour = of_sample(*at);
                    let is_told = what == What::Energy || hours.contains_key(&hour);
                    if piece.from <= hour && hour < piece.to && is_told {
                        shift.get_or_insert(end - hour - HOUR);
                        put(hours, hour, &series, what, *value);
                    }
                }
            }
        }
        if shift.is_none() {
            break;
        }
    }
    Ok(shift)
}

/// Where there are counters.
#[derive(Default)]
struct Presence {
    /// The hours in which there are.
    spans: Vec<Span>,
    /// Seconds of these in which there were none.
    unheard: i64,
}

/// The parts of a time in which there are counters.
fn present(server: &mut Server, scope: &Scope, open: Span) -> Result<Presence, Failure> {
    if open.from >= open.to {
        return Ok(Presence::default());
    }
    let queries = Queries {
        source: Source::Counters,
        scope,
    };
    let step = (open.seconds() / 60).clamp(LOOKS.0, LOOKS.1);
    let mut seen = BTreeSet::new();
    for piece in open.pieces(step * POINTS) {
        let mut answers = server.range(&queries.presence(), (piece.from, piece.to), step)?;
        // The last look may be up to its step before the end.
        answers.extend(server.instant(&queries.presence(), piece.to)?);
        for (at, _) in answers.iter().flat_map(|series| &series.samples) {
            #[allow(clippy::cast_possible_truncation)]
            let at = (*at as i64).clamp(open.from, open.to - 1);
            seen.insert(at - open.from);
        }
    }
    Ok(heard(open, step, &seen))
}

/// What was heard in a time that was looked at every `step` seconds: `seen` are seconds since its beginning.
fn heard(open: Span, step: i64, seen: &BTreeSet<i64>) -> Presence {
    let hours: BTreeSet<i64> = seen.iter().map(|at| at / HOUR).collect();
    let looks: BTreeSet<i64> = seen.iter().map(|at| at / step).collect();
    let all = open.pieces(step).enumerate();
    let silent = all.filter(|(number, look)| {
        let is_seen = i64::try_from(*number).is_ok_and(|number| looks.contains(&number));
        !is_seen && hours.contains(&((look.from - open.from) / HOUR))
    });
    let unheard = silent.map(|(_, look)| look.seconds()).sum();
    let spans = Span::joined(hours.iter().map(|hour| open.from + hour * HOUR)).into_iter();
    Presence {
        spans: spans.filter_map(|span| span.within(open)).collect(),
        unheard,
    }
}

/// Hours of counters; the last may be a part of one.
fn counted(
    server: &mut Server,
    scope: &Scope,
    stretch: Stretch,
    shift: i64,
    hours: &mut Hours,
) -> Result<(), Failure> {
    let source = stretch.source;
    let queries = Queries { source, scope };
    for what in What::ALL {
        let ask = |seconds| queries.nodes("cluster", what, seconds);
        hourly(server, &ask, stretch, |hour, series, value| {
            put(hours, hour - shift, series, what, value);
        })?;
    }
    let ask = |seconds| queries.facility(seconds);
    hourly(server, &ask, stretch, |hour, series, value| {
        let clusters = hours.entry(hour - shift).or_default();
        let cluster = series.label("cluster").to_owned();
        clusters.entry(cluster).or_default().facility = Some(Joules(value));
    })
}

/// Asks for each hour of a span, and for what is left of an hour at its end.
fn hourly(
    server: &mut Server,
    query: &dyn Fn(i64) -> String,
    Stretch { source, span }: Stretch,
    mut take: impl FnMut(i64, &Series, f64),
) -> Result<(), Failure> {
    for piece in span.pieces(source.piece()) {
        let rest = piece.seconds() % HOUR;
        let whole = piece.to - rest;
        if whole > piece.from {
            for series in server.range(&query(HOUR), (piece.from + HOUR, whole), HOUR)? {
                for (at, value) in &series.samples {
                    #[allow(clippy::cast_possible_truncation)]
                    take(*at as i64 - HOUR, &series, *value);
                }
            }
        }
        if rest > 0 {
            for series in server.instant(&query(rest), piece.to)? {
                take(whole, &series, series.last());
            }
        }
    }
    Ok(())
}

/// Facility energy of hours that were recorded, by the mean PUE of their cluster.
fn facilities(
    server: &mut Server,
    scope: &Scope,
    span: Span,
    hours: &mut Hours,
) -> Result<(), Failure> {
    let lacks = |hours: &Hours| {
        let mut all = hours.values().flat_map(BTreeMap::values);
        all.any(|sums| sums.facility.is_none())
    };
    if !lacks(hours) {
        return Ok(());
    }
    let mut known: BTreeMap<String, BTreeMap<i64, f64>> = BTreeMap::new();
    for source in [Source::Recorded, Source::Counters] {
        let queries = Queries { source, scope };
        for piece in span.pieces(HOUR * POINTS) {
            let ends = (piece.from + HOUR, piece.to.max(piece.from + HOUR));
            for series in server.range(&queries.pue(), ends, HOUR)? {
                let of_cluster = known.entry(series.label("cluster").to_owned()).or_default();
                for (at, ratio) in &series.samples {
                    #[allow(clippy::cast_possible_truncation)]
                    of_cluster.insert(*at as i64 - HOUR, *ratio);
                }
            }
        }
        if !known.is_empty() {
            break;
        }
    }
    for (hour, clusters) in hours {
        for (cluster, sums) in clusters
            .iter_mut()
            .filter(|(_, sums)| sums.facility.is_none())
        {
            let Some(ratios) = known.get(cluster) else {
                continue;
            };
            // An hour without its own has the mean of the others.
            #[allow(clippy::cast_precision_loss)]
            let mean = || ratios.values().sum::<f64>() / ratios.len() as f64;
            let ratio = ratios.get(hour).copied().unwrap_or_else(mean);
            sums.facility = Some(sums.joules().times(ratio));
        }
    }
    Ok(())
}

/// The fewest and the most nodes in an hour.
fn nodes(server: &mut Server, scope: &Scope, stretches: &[Stretch]) -> Result<(u64, u64), Failure> {
    let (mut fewest, mut most) = (u64::MAX, 0);
    for stretch in stretches {
        let queries = Queries {
            source: stretch.source,
            scope,
        };
        let ask = |seconds| queries.how_many(seconds);
        hourly(server, &ask, *stretch, |_, _, count| {
            // A number of nodes is small and whole.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let count = count as u64;
            fewest = fewest.min(count);
            most = most.max(count);
        })?;
    }
    Ok((fewest.min(most), most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_within_an_hour_is_counted_and_a_silent_hour_is_left_out() {
        let open = Span {
            from: 100,
            to: 100 + 2 * HOUR + 300,
        };
        // Heard in the first hour's last 20 minutes, not in the second, and in what is left of a third.
        let seen = BTreeSet::from([2400, 3000, 2 * HOUR + 299]);
        let found = heard(open, 600, &seen);
        let spans = [(100, 100 + HOUR), (100 + 2 * HOUR, 100 + 2 * HOUR + 300)];
        assert_eq!(found.spans, spans.map(|(from, to)| Span { from, to }));
        assert_eq!(found.unheard, 2400);
        let all: BTreeSet<i64> = (0..open.seconds()).step_by(600).collect();
        assert_eq!(heard(open, 600, &all).unheard, 0);
    }
}
