//! From when to when: moments as people write them, and the whole hours between two.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, civil};

/// Seconds of an hour.
pub const HOUR: i64 = 3600;
/// Seconds of a day.
pub const DAY: i64 = 24 * HOUR;
/// The longest time that is reported on: ten years.
pub const LONGEST: i64 = 3653 * DAY;

/// A moment as it is written: `now`, `now-30d` (s, m, h, d, w), RFC 3339 (`2026-10-01T06:00:00+02:00`), a
/// date and time, or a date, which is its first moment. Without a zone it is UTC.
///
/// # Errors
/// Where it is none, with what would be one.
pub fn moment(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let text = text.trim();
    let wanted = || {
        format!(
            "{text:?} is no moment: write now, now-30d, 2026-10-01 (its first moment, UTC) or 2026-10-01T06:00:00Z"
        )
    };
    if let Some(rest) = text.strip_prefix("now") {
        return back(rest)
            .and_then(|back| now.checked_add(back).ok())
            .ok_or_else(wanted);
    }
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(moment);
    }
    let civil = text
        .parse::<civil::DateTime>()
        .or_else(|_| text.parse::<civil::Date>().map(Into::into));
    civil
        .and_then(|civil| TimeZone::UTC.to_timestamp(civil))
        .map_err(|_| wanted())
}

/// What stands behind `now`: nothing, or a sign, a number and a unit.
fn back(rest: &str) -> Option<SignedDuration> {
    if rest.is_empty() {
        return Some(SignedDuration::ZERO);
    }
    let sign = match rest.chars().next()? {
        '-' => -1,
        '+' => 1,
        _ => return None,
    };
    let unit = rest.chars().last()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => HOUR,
        'd' => DAY,
        'w' => 7 * DAY,
        _ => return None,
    };
    let number: u32 = rest
        .get(1..rest.len().checked_sub(unit.len_utf8())?)?
        .parse()
        .ok()?;
    let seconds = i64::from(number).checked_mul(seconds)?;
    Some(SignedDuration::from_secs(sign * seconds))
}

/// A time of whole seconds, from and to, in Unix seconds. The end is not in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its first second.
    pub from: i64,
    /// The second after its last.
    pub to: i64,
}

impl Span {
    /// The time between two moments, or why there is none. What is to come is left out.
    ///
    /// # Errors
    /// Where it ends before it begins, begins after `now`, or is longer than [`LONGEST`].
    pub fn between(from: Timestamp, to: Timestamp, now: Timestamp) -> Result<Self, String> {
        if from >= now {
            return Err(format!(
                "--from {from} is not yet: now is {}",
                told(now.as_second())
            ));
        }
        if from >= to {
            return Err(format!(
                "--from {from} is not before --to {to}: there is no time between them"
            ));
        }
        let span = Self {
            from: from.as_second(),
            to: to.min(now).as_second(),
        };
        if span.seconds() < 60 {
            return Err(format!(
                "from {from} to {to} there is less than a minute: nothing to report on"
            ));
        }
        if span.seconds() > LONGEST {
            return Err(format!(
                "from {from} to {to} there are more than ten years: ask for less"
            ));
        }
        Ok(span)
    }

    /// How long it is.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.to - self.from
    }

    /// The whole hours that hold it.
    #[must_use]
    pub const fn outward(self) -> Self {
        Self {
            from: self.from.div_euclid(HOUR) * HOUR,
            to: (self.to + HOUR - 1).div_euclid(HOUR) * HOUR,
        }
    }

    /// The time until the end of the last of its hours that is one of these, at most until `now`.
    #[must_use]
    pub fn until_last(self, now: i64, is_one: impl Fn(&i64) -> bool) -> Self {
        let last = self.hours().filter(is_one).last();
        let to = last.map_or(self.to, |hour| self.to.min(hour + HOUR));
        Self {
            to: to.min(now),
            ..self
        }
    }

    /// The beginnings of its hours; of whole ones where it is [`Span::outward`].
    pub fn hours(self) -> impl Iterator<Item = i64> {
        (0..)
            .map(move |number| self.from + number * HOUR)
            .take_while(move |from| *from < self.to)
    }

    /// Pieces of at most `seconds`, one after the other.
    pub fn pieces(self, seconds: i64) -> impl Iterator<Item = Self> {
        (0..)
            .map(move |number| Self {
                from: self.from + number * seconds,
                to: (self.from + (number + 1) * seconds).min(self.to),
            })
            .take_while(move |piece| piece.from < self.to)
    }

    /// What both have in common; `None` for nothing.
    #[must_use]
    pub fn within(self, other: Self) -> Option<Self> {
        let both = Self {
            from: self.from.max(other.from),
            to: self.to.min(other.to),
        };
        (both.from < both.to).then_some(both)
    }

    /// Hours that touch, as few spans.
    #[must_use]
    pub fn joined(hours: impl IntoIterator<Item = i64>) -> Vec<Self> {
        let mut spans: Vec<Self> = Vec::new();
        for from in hours {
            match spans.last_mut() {
                Some(last) if last.to == from => last.to = from + HOUR,
                _ => spans.push(Self {
                    from,
                    to: from + HOUR,
                }),
            }
        }
        spans
    }
}

/// A moment to the minute, in UTC, for people: `2026-10-01 06:00 UTC`.
#[must_use]
pub fn told(second: i64) -> String {
    let moment = Timestamp::from_second(second).unwrap_or_default();
    moment.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn moments_are_read_as_people_write_them() {
        let now = at("2026-11-26T12:34:56Z");
        for (text, expected) in [
            ("now", "2026-11-26T12:34:56Z"),
            ("now-30d", "2026-10-27T12:34:56Z"),
            ("now-90m", "2026-11-26T11:04:56Z"),
            ("now-2w", "2026-11-12T12:34:56Z"),
            ("now+1h", "2026-11-26T13:34:56Z"),
            ("2026-10-01", "2026-10-01T00:00:00Z"),
            ("2026-10-01T06:00", "2026-10-01T06:00:00Z"),
            ("2026-10-01 06:00:30", "2026-10-01T06:00:30Z"),
            ("2026-10-01T06:00:00+02:00", "2026-10-01T04:00:00Z"),
        ] {
            assert_eq!(moment(text, now).unwrap(), at(expected), "{text}");
        }
        for bad in [
            "",
            "yesterday",
            "now-",
            "now-d",
            "now-1y",
            "now1d",
            "now--1d",
            "now-9999999999w",
            "now-1ü",
            "2026-13-01",
            "1793210400x",
        ] {
            let error = moment(bad, now).unwrap_err();
            assert!(error.contains("2026-10-01T06:00:00Z"), "{bad}: {error}");
        }
    }

    #[test]
    fn a_time_without_length_is_refused_and_the_future_is_left_out() {
        let now = at("2026-11-26T12:00:00Z");
        let between = |from: &str, to: &str| Span::between(at(from), at(to), now);
        for (from, to, words) in [
            (
                "2026-11-02T00:00:00Z",
                "2026-11-01T00:00:00Z",
                "not before --to",
            ),
            (
                "2026-11-01T00:00:00Z",
                "2026-11-01T00:00:00Z",
                "not before --to",
            ),
            (
                "2026-11-01T00:00:00Z",
                "2026-11-01T00:00:20Z",
                "less than a minute",
            ),
            ("2026-12-01T00:00:00Z", "2026-12-02T00:00:00Z", "is not yet"),
            ("2006-11-01T00:00:00Z", "2026-11-01T00:00:00Z", "ten years"),
        ] {
            let error = between(from, to).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        let span = between("2026-11-26T10:30:00Z", "2026-12-01T00:00:00Z").unwrap();
        assert_eq!(span.seconds(), 90 * 60);
        assert_eq!(span.outward().seconds(), 2 * HOUR);
    }

    #[test]
    fn a_time_ends_with_the_last_hour_that_was_told_of_and_never_in_the_future() {
        let day = Span {
            from: 0,
            to: 24 * HOUR,
        };
        let until = |now, last: i64| day.until_last(now, |hour| *hour <= last).to;
        let now = 10 * HOUR + 1500;
        // The running hour is told of until now, or not at all.
        assert_eq!(until(now, 10 * HOUR), now);
        assert_eq!(until(now, 9 * HOUR), 10 * HOUR);
        assert_eq!(until(48 * HOUR, 23 * HOUR), day.to);
        // What begins within an hour ends there too.
        let part = Span {
            from: 600,
            to: 5000,
        };
        assert_eq!(part.until_last(now, |_| true), part);
        assert_eq!(part.until_last(now, |hour| *hour == 600).to, 600 + HOUR);
    }

    #[test]
    fn hours_and_pieces_cover_a_span_once() {
        let span = Span {
            from: 0,
            to: 5 * HOUR,
        };
        assert_eq!(span.hours().count(), 5);
        let pieces: Vec<Span> = span.pieces(2 * HOUR).collect();
        assert_eq!(pieces.len(), 3);
        assert_eq!(
            pieces.iter().map(|piece| piece.seconds()).sum::<i64>(),
            span.seconds()
        );
        let joined = Span::joined([0, HOUR, 3 * HOUR]);
        assert_eq!(joined.len(), 2);
        assert_eq!(joined[1].within(span), Some(joined[1]));
        assert_eq!(joined[0].within(joined[1]), None);
    }
}
