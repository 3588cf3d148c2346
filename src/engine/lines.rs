//! Which log lines about faults are due: one when something breaks, one when it is well again, and no
//! more of the same for a while, however often it flaps.

use crate::snapshot::Trouble;
use std::collections::BTreeMap;
use std::time::Duration;

/// The same line about the same place is not written again within this time.
const HOLD: Duration = Duration::from_secs(600);

/// Lines about failures that are remembered. While so many are, no more are written: all faults are
/// counted, and shown on the page.
const MOST_LINES: usize = 256;

/// What a line said of its place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Word {
    /// It fails, with this mend.
    Failing(String),
    /// It no longer fails.
    Well,
}

/// The lines of late.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// When each was written (time awake).
    written: BTreeMap<(String, Word), Duration>,
    /// What was last said of each place that was last said to fail.
    failing: BTreeMap<String, String>,
}

impl Lines {
    /// The lines that are due where `now` is what fails: those of `now` to be told of, and the places
    /// that are well again.
    pub(super) fn due<'a>(
        &mut self,
        now: &'a [Trouble],
        at: Duration,
    ) -> (Vec<&'a Trouble>, Vec<String>) {
        let is_recent = |written: &Duration| at.saturating_sub(*written) < HOLD;
        self.written.retain(|_, written| is_recent(written));
        let mut broken = Vec::new();
        for trouble in now {
            let key = (trouble.place.clone(), Word::Failing(trouble.mend.clone()));
            if self.failing.get(&trouble.place) == Some(&trouble.mend)
                || self.written.contains_key(&key)
                || self.written.len() >= MOST_LINES
            {
                continue;
            }
            self.failing
                .insert(trouble.place.clone(), trouble.mend.clone());
            self.written.insert(key, at);
            broken.push(trouble);
        }
        let mut well = Vec::new();
        let written = &mut self.written;
        self.failing.retain(|place, _| {
            let fails = now.iter().any(|trouble| trouble.place == *place);
            let key = (place.clone(), Word::Well);
            if fails || written.contains_key(&key) {
                return true;
            }
            written.insert(key, at);
            well.push(place.clone());
            false
        });
        (broken, well)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble(place: &str, mend: &str) -> Trouble {
        Trouble {
            place: place.into(),
            message: "no".into(),
            mend: mend.into(),
        }
    }

    /// What is told of at a second.
    fn told(lines: &mut Lines, now: &[Trouble], second: u64) -> String {
        let (broken, well) = lines.due(now, Duration::from_secs(second));
        let broken = broken.iter().map(|t| format!("-{}:{}", t.place, t.mend));
        let well = well.iter().map(|place| format!("+{place}"));
        broken.chain(well).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_flapping_place_is_told_of_once_in_ten_minutes() {
        let mut lines = Lines::default();
        let bad = [trouble("a", "x")];
        for hour in 0..6 {
            let from = hour * 600;
            assert_eq!(told(&mut lines, &bad, from), "-a:x");
            assert_eq!(told(&mut lines, &[], from + 1), "+a");
            for second in 2..600 {
                let now = if second % 2 == 0 { &bad[..] } else { &[] };
                assert_eq!(told(&mut lines, now, from + second), "", "{second}");
            }
        }
    }

    #[test]
    fn what_is_held_back_and_lasts_is_told_in_the_end() {
        let mut lines = Lines::default();
        let bad = [trouble("a", "x")];
        assert_eq!(told(&mut lines, &bad, 0), "-a:x");
        assert_eq!(told(&mut lines, &[], 1), "+a");
        assert_eq!(told(&mut lines, &bad, 2), "");
        assert_eq!(told(&mut lines, &bad, 599), "");
        assert_eq!(told(&mut lines, &bad, 600), "-a:x");
        assert_eq!(told(&mut lines, &bad, 5000), "", "once");
    }

    #[test]
    fn another_mend_is_told_at_once_and_other_places_are_their_own() {
        let mut lines = Lines::default();
        assert_eq!(told(&mut lines, &[trouble("a", "x")], 0), "-a:x");
        assert_eq!(told(&mut lines, &[trouble("a", "y")], 1), "-a:y");
        let both = [trouble("a", "y"), trouble("b", "x")];
        assert_eq!(told(&mut lines, &both, 2), "-b:x");
        assert_eq!(told(&mut lines, &[], 3), "+a +b");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut lines = Lines::default();
        let mut count = 0;
        for second in 0..599 {
            let bad: Vec<_> = (0..32)
                .map(|n| trouble(&format!("{second}/{n}"), ""))
                .collect();
            let (broken, well) = lines.due(&bad, Duration::from_secs(second));
            count += broken.len() + well.len();
            assert!(lines.written.len() <= 2 * MOST_LINES && lines.failing.len() <= MOST_LINES);
        }
        assert!(count <= 2 * MOST_LINES, "{count} lines");
        assert!(told(&mut lines, &[trouble("late", "x")], 5000).starts_with("-late:x"));
    }
}
