//! How fast a user may begin runs: each leaves series behind wherever pages are kept.

use std::collections::BTreeMap;
use std::time::Duration;

/// So many at once, ...
const BURST: f64 = 25.0;

/// ... and one more in such a time.
pub(super) const AGAIN: Duration = Duration::from_secs(2);

/// How many each user may begin at once, and when that was so (time since boot).
#[derive(Debug, Default)]
pub(super) struct Bursts(BTreeMap<u32, (f64, Duration)>);

impl Bursts {
    /// Whether a user may begin one more at `now` (time since boot); if so, it is counted.
    pub fn take(&mut self, user: u32, now: Duration) -> bool {
        let left = |(left, at): (f64, Duration)| {
            left + now.saturating_sub(at).as_secs_f64() / AGAIN.as_secs_f64()
        };
        let Self(users) = self;
        users.retain(|_, had| left(*had) < BURST);
        let left = users.get(&user).map_or(BURST, |had| left(*had));
        let may = left >= 1.0;
        if may {
            users.insert(user, (left - 1.0, now));
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_begins_many_runs_at_once_and_then_one_after_another() {
        let mut bursts = Bursts::default();
        let mut begun = |user, seconds| {
            let now = Duration::from_secs(seconds);
            (0..1000).filter(|_| bursts.take(user, now)).count()
        };
        assert_eq!(begun(7, 0), 25);
        assert_eq!(begun(8, 0), 25, "another's");
        assert_eq!(begun(7, 1), 0);
        assert_eq!(begun(7, 7), 3);
        assert_eq!(begun(7, 1000), 25);
    }
}
