//! Quantities as people read them: three significant digits and the unit that fits.

use crate::clock::Moment;
use crate::output::scaled;
pub use crate::output::{Figure, factor, grams, intensity, joules, watt_hours, watts};
use crate::units::GramsPerSecond;
use jiff::Timestamp;
use maud::{Markup, Render, html};
use std::time::Duration;

impl Render for Figure {
    fn render(&self) -> Markup {
        // The space does not break.
        html! { (self.number) "\u{a0}" (self.unit) }
    }
}

/// A figure, or the word for what is not known: never 0.
#[must_use]
pub fn or_unknown(figure: Option<Figure>) -> Markup {
    html! {
        @match figure {
            Some(figure) => (figure),
            None => span.unknown { "unknown" },
        }
    }
}

/// A text, or the word for what is not known.
#[must_use]
pub fn text_or_unknown(text: &str) -> Markup {
    html! {
        @if text.is_empty() { span.unknown { "unknown" } } @else { (text) }
    }
}

/// A flow in mg/h to t/h: an hour is what people can picture.
#[must_use]
pub fn grams_per_hour(flow: GramsPerSecond) -> Option<Figure> {
    let hourly = flow.during(Duration::from_secs(3600));
    scaled(
        hourly.0,
        &[(1e-3, "mg/h"), (1.0, "g/h"), (1e3, "kg/h"), (1e6, "t/h")],
    )
}

/// Memory in kB to GB, powers of ten.
#[must_use]
pub fn bytes(bytes: u64) -> Option<Figure> {
    // Three digits are shown: what a float loses is not seen.
    #[allow(clippy::cast_precision_loss)]
    let bytes = bytes as f64;
    scaled(bytes, &[(1e3, "kB"), (1e6, "MB"), (1e9, "GB")])
}

/// How long a read took: µs to s.
#[must_use]
pub fn brief(time: Duration) -> Option<Figure> {
    scaled(
        time.as_secs_f64(),
        &[(1e-6, "µs"), (1e-3, "ms"), (1.0, "s")],
    )
}

/// A share in percent, rounded so that neither nothing nor all is said of a part.
#[must_use]
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent > 0.0 && percent < 0.5 {
        "<1\u{a0}%".into()
    } else if (99.5..100.0).contains(&percent) {
        ">99\u{a0}%".into()
    } else {
        format!("{percent:.0}\u{a0}%")
    }
}

/// A span of time in its two largest units, in one line.
#[must_use]
pub fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match seconds {
        0..60 => format!("{seconds}\u{a0}s"),
        60..3600 => format!("{minutes}\u{a0}min\u{a0}{}\u{a0}s", seconds % 60),
        3600..86400 => format!("{hours}\u{a0}h\u{a0}{}\u{a0}min", minutes % 60),
        _ => format!("{days}\u{a0}d\u{a0}{}\u{a0}h", hours % 24),
    }
}

/// A moment to the second, in UTC: the reader's zone is not known here.
#[must_use]
pub fn wall(moment: Moment) -> Markup {
    let machine = moment.wall.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let people = moment.wall.strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
    html! { time datetime=(machine) { (people) } }
}

/// A moment to the minute with its day of the week, in UTC.
#[must_use]
pub fn minute(moment: Timestamp) -> Markup {
    let machine = moment.strftime("%Y-%m-%dT%H:%MZ").to_string();
    let people = moment.strftime("%a %-d %b %H:%M UTC").to_string();
    html! { time datetime=(machine) { (people) } }
}

/// Unix seconds as a moment; `None` for what is no such number.
#[must_use]
pub fn unix(seconds: f64) -> Option<Timestamp> {
    let since = jiff::SignedDuration::try_from_secs_f64(seconds).ok()?;
    Timestamp::from_duration(since).ok()
}

/// How long before the page a moment was, or that it is yet to come.
#[must_use]
pub fn ago(page: Option<Moment>, moment: Timestamp) -> Option<String> {
    let age = page?.wall.duration_since(moment);
    let seconds = age.unsigned_abs();
    Some(match (age.is_negative(), age.as_hours()) {
        (true, _) => format!("in {}", span(seconds)),
        // The middle of a bundled year is not a matter of hours.
        (false, 72..) => format!("{}\u{a0}days ago", age.as_hours() / 24),
        (false, _) => format!("{} ago", span(seconds)),
    })
}

/// "1 sensor", "2 sensors".
#[must_use]
pub fn count(number: usize, one: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {one}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Watts;

    fn shown(figure: Option<Figure>) -> String {
        or_unknown(figure).into_string().replace('\u{a0}', " ")
    }

    #[test]
    fn the_unit_fits_the_number() {
        assert_eq!(shown(watts(Watts(1e-9))), "&lt;0.01 mW");
        assert_eq!(shown(grams_per_hour(GramsPerSecond(0.1))), "360 g/h");
        assert_eq!(shown(bytes(9_800_000)), "9.80 MB");
        assert_eq!(shown(brief(Duration::from_micros(85))), "85.0 µs");
    }

    #[test]
    fn what_is_no_number_is_unknown() {
        for value in [f64::NAN, f64::INFINITY] {
            assert!(shown(watts(Watts(value))).contains("unknown"));
        }
    }

    #[test]
    fn a_part_is_neither_nothing_nor_all() {
        let shown = |share| percent(share).replace('\u{a0}', " ");
        assert_eq!(
            [0.0, 0.001, 0.5, 0.999, 1.0].map(shown),
            ["0 %", "<1 %", "50 %", ">99 %", "100 %"]
        );
    }

    #[test]
    fn an_age_is_in_words_that_fit() {
        let page = "2026-01-05T12:00:00Z".parse().unwrap();
        let page = Moment {
            awake: Duration::ZERO,
            boot: Duration::ZERO,
            wall: page,
        };
        let shown = |moment: &str| {
            let age = ago(Some(page), moment.parse().unwrap());
            age.unwrap().replace('\u{a0}', " ")
        };
        assert_eq!(shown("2026-01-05T09:58:00Z"), "2 h 2 min ago");
        assert_eq!(shown("2026-01-05T13:30:00Z"), "in 1 h 30 min");
        assert_eq!(shown("2025-01-05T12:00:00Z"), "365 days ago");
        assert_eq!(ago(None, Timestamp::UNIX_EPOCH), None);
        assert_eq!(unix(f64::NAN), None);
    }

    #[test]
    fn spans_have_two_units() {
        let shown = |seconds| span(Duration::from_secs(seconds)).replace('\u{a0}', " ");
        assert_eq!(
            [5, 65, 3720, 100_000].map(shown),
            ["5 s", "1 min 5 s", "1 h 2 min", "1 d 3 h"]
        );
    }
}
