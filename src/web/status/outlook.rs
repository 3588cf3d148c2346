//! The hours ahead, as bars and in words, and when in them a job is best started.

use super::format::{self, count, intensity, percent};
use crate::clock::Moment;
use crate::grid::forecast::{Forecast, Origin, Window};
use crate::grid::zone::Outlook;
use crate::snapshot::Snapshot;
use crate::units::GramsPerKwh;
use jiff::Timestamp;
use maud::{Markup, html};
use std::fmt::Write;

/// The picture's height. Each hour is [`STEP`] wide.
const HEIGHT: f64 = 100.0;
const STEP: usize = 10;
/// The gap between two bars.
const GAP: usize = 2;
/// The length of the job whose best time the picture shows.
const SHOWN: usize = 4;

const HOUR: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);

/// What is to come; nothing where nobody is asked.
#[must_use]
pub fn section(snapshot: &Snapshot) -> Markup {
    html! {
        @if !snapshot.providers.is_empty() || snapshot.outlook.is_some() {
            section aria-labelledby="outlook" {
                h2 #outlook { "The hours ahead" }
                @match &snapshot.outlook {
                    None => p { span.unknown { "unknown" } ": no provider forecasts, and the days before are not \
                        known yet." },
                    Some(outlook) => {
                        p.soft { (whose(outlook)) }
                        (picture(&outlook.forecast))
                        (in_words(&outlook.forecast))
                        (best(&outlook.forecast, snapshot.at))
                        (hours(&outlook.forecast))
                    }
                }
            }
        }
    }
}

/// Who says so.
#[must_use]
pub fn whose(outlook: &Outlook) -> Markup {
    html! {
        @match outlook.forecast.origin {
            Origin::Provider => { "Forecast by " strong { (outlook.provider) } "." },
            Origin::Seasonal => {
                "Seasonal: at least in part the mean of the same hour of the days before, as "
                strong { (outlook.provider) } " told them. Nobody forecast it."
            },
        }
    }
}

/// Hours that are known, each with its beginning.
fn known(forecast: &Forecast) -> Vec<(Timestamp, GramsPerKwh)> {
    let begins = std::iter::successors(Some(forecast.start), |from| from.checked_add(HOUR).ok());
    let hours = begins.zip(&forecast.hours);
    hours
        .filter_map(|(from, grams)| Some((from, (*grams)?)))
        .collect()
}

/// The lowest and the highest; the earliest of equals.
fn ends(forecast: &Forecast) -> Option<[(Timestamp, GramsPerKwh); 2]> {
    let known = known(forecast);
    let low = known.iter().min_by(|a, b| a.1.0.total_cmp(&b.1.0))?;
    let high = known.iter().rev().max_by(|a, b| a.1.0.total_cmp(&b.1.0))?;
    Some([*low, *high])
}

/// A bar for each hour, from 0; those of the best time for a job of [`SHOWN`] hours in another colour. What it
/// shows is also said in words and in a table.
#[must_use]
pub fn picture(forecast: &Forecast) -> Markup {
    let Some([_, (_, high)]) = ends(forecast) else {
        return html! {};
    };
    let best = forecast
        .windows()
        .iter()
        .find(|window| window.hours == SHOWN);
    let first = best.map(|window| window.start.duration_since(forecast.start).as_hours());
    let first = first.and_then(|hours| usize::try_from(hours).ok());
    let (mut plain, mut green) = (String::new(), String::new());
    for (hour, grams) in forecast.hours.iter().enumerate() {
        let Some(grams) = grams else { continue };
        let is_best = first.is_some_and(|first| (first..first + SHOWN).contains(&hour));
        let path = if is_best { &mut green } else { &mut plain };
        // An hour of nothing is a line, and no gap.
        let tall = (grams.0 / high.0.max(1.0) * HEIGHT).max(1.0);
        // Writing to a string cannot fail.
        let _ = write!(
            path,
            "M{} {HEIGHT}v-{tall:.0}h{}v{tall:.0}z",
            hour * STEP,
            STEP - GAP
        );
    }
    let width = forecast.hours.len() * STEP - GAP;
    html! {
        svg.hours viewBox=(format!("0 0 {width} {HEIGHT}")) preserveAspectRatio="none" aria-hidden="true" {
            path d=(plain) {}
            path.best d=(green) {}
        }
        p.axis aria-hidden="true" {
            @for hour in (0..forecast.hours.len()).step_by(12) { span { (clock(forecast, hour)) } }
        }
    }
}

/// The hour of the day at that place of the picture.
fn clock(forecast: &Forecast, hour: usize) -> String {
    let ahead = i32::try_from(hour).unwrap_or(0);
    let at = forecast.start.checked_add(HOUR * ahead);
    at.map_or_else(|_| String::new(), |at| at.strftime("%a %H:%M").to_string())
}

/// What the picture shows.
#[must_use]
pub fn in_words(forecast: &Forecast) -> Markup {
    let hours = known(forecast).len();
    html! {
        @if let Some([(least, low), (most, high)]) = ends(forecast) {
            p.soft {
                (count(hours, "hour")) " known. Lowest: " (intensity(low)) "\u{a0}g/kWh at " (format::minute(least))
                "; highest: " (intensity(high)) "\u{a0}g/kWh at " (format::minute(most)) "."
            }
        }
    }
}

/// The best start for jobs of several lengths, beside a start now.
fn best(forecast: &Forecast, at: Option<Moment>) -> Markup {
    let windows = forecast.windows();
    html! {
        @if windows.is_empty() {
            p { "Too little is known to say when a job is best started." }
        } @else {
            table {
                caption { "When to start a job for the least emissions" }
                thead {
                    tr {
                        th scope="col" { "Job" }
                        th scope="col" { "Start" }
                        th.n scope="col" { "Mean, g/kWh" }
                        th.n scope="col" { "Against now" }
                    }
                }
                tbody {
                    @for window in windows {
                        tr {
                            th scope="row" {
                                (window.hours) "\u{a0}h"
                                @if window.hours == SHOWN { " " span.key aria-hidden="true" {} }
                            }
                            td {
                                (format::minute(window.start))
                                @if let Some(when) = when(window, at) { small { (when) } }
                            }
                            td.n { (intensity(window.mean)) }
                            td.n { (against_now(forecast, window)) }
                        }
                    }
                }
            }
        }
    }
}

/// How long until then.
fn when(window: &Window, at: Option<Moment>) -> Option<String> {
    let is_now = at?.wall >= window.start;
    if is_now {
        return Some("now".to_owned());
    }
    format::ago(at, window.start)
}

/// What is saved by waiting, where what a start now costs is known.
fn against_now(forecast: &Forecast, window: &Window) -> String {
    let at_once: Option<GramsPerKwh> = forecast.hours.iter().take(window.hours).copied().sum();
    #[allow(clippy::cast_precision_loss)]
    let share = 1.0 / window.hours as f64;
    let at_once = at_once
        .map(|sum| sum.times(share).0)
        .filter(|mean| *mean > 0.0);
    match at_once.map(|mean| 1.0 - window.mean.0 / mean) {
        None => "–".to_owned(),
        Some(saved) if saved < 0.005 => "the same".to_owned(),
        Some(saved) => format!("{} less", percent(saved)),
    }
}

/// Every hour, for who cannot see the bars or wants the numbers.
fn hours(forecast: &Forecast) -> Markup {
    html! {
        details {
            summary { "Hour by hour" }
            table {
                thead {
                    tr {
                        th scope="col" { "From" }
                        th.n scope="col" { "g/kWh" }
                    }
                }
                tbody {
                    @for (from, grams) in known(forecast) {
                        tr {
                            th scope="row" { (format::minute(from)) }
                            td.n { (intensity(grams)) }
                        }
                    }
                }
            }
        }
    }
}
