//! Whether an energy counter counts: judged by its own readings and the card's power, without a clock.

/// Reads of the same count at which a counter is given up. One is already more than a counter of 15 µJ and
/// 5 ms does by itself; a table that the driver could not refresh is forgiven.
const STILL_READS: u32 = 3;

/// The power in watts from which a counter must move between two reads, which are 100 ms apart or more.
const MOVING: f64 = 10.0;

/// What is thought of a counter.
#[derive(Debug, Default)]
pub(super) struct Trust {
    last: Option<u64>,
    still: u32,
    /// Why it is not believed any more.
    pub(super) broken: Option<&'static str>,
}

/// What one reading shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may be true.
    Good,
    /// It stands still while the card draws power.
    Still,
    /// It is not a counter.
    Broken,
}

impl Trust {
    /// Judges a count, read together with the card's power in watts. A fall below the half is a restart,
    /// as after a reset of the card or its sleep; one above it is a fault of MI100 (amdsmi issues 38, 115).
    pub(super) fn judge(&mut self, count: u64, watts: Option<f64>) -> Verdict {
        let last = self.last.replace(count);
        let stands = last == Some(count) && watts.is_some_and(|watts| watts >= MOVING);
        self.still = if stands { self.still + 1 } else { 0 };
        if self.still >= STILL_READS {
            self.broken = Some("its energy counter stands still");
        } else if last.is_some_and(|last| count < last && count >= last / 2) {
            self.broken = Some("its energy counter steps back");
        }
        match self.broken {
            Some(_) => Verdict::Broken,
            None if stands => Verdict::Still,
            None => Verdict::Good,
        }
    }

    /// The next count is the first of a new life.
    pub(super) fn forget(&mut self) {
        self.last = None;
        self.still = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{Broken, Good, Still};

    fn judged(readings: &[(u64, f64)]) -> Vec<Verdict> {
        let mut trust = Trust::default();
        readings.iter().map(|&(count, watts)| trust.judge(count, Some(watts))).collect()
    }

    #[test]
    fn a_counter_that_stands_still_under_load_is_given_up() {
        let stuck = [(7, 250.0); 5];
        assert_eq!(judged(&stuck), [Good, Still, Still, Broken, Broken]);
        assert_eq!(judged(&[(7, 2.0); 9]), [Good; 9]);
        let late = [(7, 250.0), (7, 250.0), (9, 250.0), (9, 250.0), (9, 250.0), (10, 250.0)];
        assert_eq!(judged(&late), [Good, Still, Good, Still, Still, Good]);
        let mut trust = Trust::default();
        assert!((0..9).all(|_| trust.judge(7, None) == Good), "nobody knows whether it should move");
    }

    #[test]
    fn a_step_back_is_a_fault_and_a_fall_to_the_ground_a_restart() {
        let back = [(1000, 250.0), (2000, 250.0), (1990, 250.0), (3000, 250.0)];
        assert_eq!(judged(&back), [Good, Good, Broken, Broken]);
        assert_eq!(judged(&[(1000, 250.0), (20, 250.0), (40, 250.0)]), [Good; 3]);
        let mut trust = Trust::default();
        trust.judge(1000, None);
        trust.forget();
        assert_eq!(trust.judge(900, None), Good);
    }
}
