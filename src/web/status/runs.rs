//! Single commands that are measured, those that go on first, as a table.

use super::format::{count, grams, or_unknown, percent, span, watt_hours, watts};
use crate::run::api::State;
use crate::run::book::Shown;
use crate::snapshot::Snapshot;
use maud::{Markup, html};

/// Rows that are shown; the rest is in the metrics.
const MOST: usize = 12;

/// The runs, where there are any.
#[must_use]
pub fn section(snapshot: &Snapshot) -> Markup {
    let mut runs: Vec<&Shown> = snapshot.runs.iter().collect();
    if runs.is_empty() {
        return html! {};
    }
    runs.sort_by(|a, b| {
        let is_over = |run: &Shown| run.ended.is_some();
        is_over(a)
            .cmp(&is_over(b))
            .then(b.joules().0.total_cmp(&a.joules().0))
    });
    let more = runs.len().saturating_sub(MOST);
    html! {
        section aria-labelledby="runs" {
            h2 #runs { "Runs" }
            table {
                caption { "Commands under gramwatt run. Each is inside a workload above, and in none of the others." }
                thead {
                    tr {
                        th scope="col" { "Run" }
                        th.n scope="col" { "Power now" }
                        th.n scope="col" { "Energy" }
                        th.n scope="col" { "CO₂e" }
                        th.n scope="col" { "Expected in all" }
                    }
                }
                tbody {
                    @for run in runs.iter().take(MOST) { (row(run)) }
                }
            }
            @if more > 0 { p.soft { (count(more, "smaller run")) " more in the metrics." } }
        }
    }
}

fn row(run: &Shown) -> Markup {
    let expected = run.prediction.map(|told| match told.grams {
        Some(told) => grams(told.expected),
        None => watt_hours(told.joules.expected),
    });
    html! {
        tr {
            th scope="row" {
                span.id { (run.name) }
                small {
                    (run.user) " · " (run.state.label()) " · " (span(run.elapsed))
                    @if let Some(ratio) = run.ratio.filter(|_| run.state == State::Running) {
                        " · " (percent(ratio))
                    }
                }
            }
            td.n {
                @if run.ended.is_some() { "–" } @else { (or_unknown(run.watts().and_then(watts))) }
            }
            td.n { (or_unknown(watt_hours(run.joules()))) }
            td.n { (or_unknown(run.grams().and_then(grams))) }
            td.n {
                @match expected {
                    Some(figure) => (or_unknown(figure)),
                    None => "–",
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribution::RunUse;
    use crate::clock::Moment;
    use crate::sensor::Kind;
    use crate::units::{Grams, Joules, Watts};
    use jiff::Timestamp;
    use std::time::Duration;

    fn shown(name: &str, ended: bool, kwh: f64) -> Shown {
        let moment = Moment {
            awake: Duration::ZERO,
            boot: Duration::ZERO,
            wall: Timestamp::UNIX_EPOCH,
        };
        Shown {
            id: name.into(),
            name: name.into(),
            user: "ann".into(),
            state: if ended { State::Failed } else { State::Running },
            began: moment,
            ended: ended.then_some(moment),
            elapsed: Duration::from_secs(90),
            settled: ended,
            introduced: Duration::ZERO,
            processes: 1,
            uses: vec![RunUse {
                kind: Kind::Gpu,
                joules: Joules(kwh * 3.6e6),
                grams: Some(Grams(kwh * 344.0)),
                watts: (!ended).then_some(Watts(412.0)),
                opened: Duration::ZERO,
            }],
            told: None,
            ratio: Some(0.25),
            prediction: None,
            first: None,
            budget: None,
        }
    }

    #[test]
    fn those_that_go_on_stand_first_and_a_page_without_any_says_nothing() {
        assert_eq!(section(&Snapshot::default()).into_string(), "");
        let mut snapshot = Snapshot {
            runs: vec![shown("old", true, 9.0), shown("<new>", false, 1.0)],
            ..Snapshot::default()
        };
        let page = section(&snapshot).into_string();
        let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text}: {page}"));
        assert!(at("&lt;new&gt;") < at("old"));
        assert!(at("ann · running") < at("412"), "{page}");
        assert!(at("344") < at("failed"));
        snapshot.runs = (0..20).map(|n| shown("many", true, f64::from(n))).collect();
        assert!(section(&snapshot).into_string().contains("8 smaller runs"));
    }
}
