//! Time as the books need it: three clocks read at once, passed in as a value everywhere else.

use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// One moment on the three clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// `CLOCK_MONOTONIC`: stands still while the machine is suspended. Power is integrated on it.
    pub awake: Duration,
    /// `CLOCK_BOOTTIME`: since boot, suspension included; comparable between two processes of one
    /// boot. Gaps, counter wraps and embodied carbon are measured on it.
    pub boot: Duration,
    /// The wall clock, which may be set backwards: shown to people, never subtracted.
    pub wall: Timestamp,
}

impl Moment {
    /// The moment a `time` of wakefulness later, on all three clocks.
    #[must_use]
    pub fn later(self, time: Duration) -> Self {
        Self {
            awake: self.awake + time,
            boot: self.boot + time,
            wall: self.wall.checked_add(time).unwrap_or(Timestamp::MAX),
        }
    }

    /// The moment a `time` of wakefulness earlier, on all three clocks; never before the first.
    #[must_use]
    pub fn earlier(self, time: Duration) -> Self {
        Self {
            awake: self.awake.saturating_sub(time),
            boot: self.boot.saturating_sub(time),
            wall: self.wall.checked_sub(time).unwrap_or(Timestamp::MIN),
        }
    }
}

/// Reads the machine's clocks.
#[must_use]
pub fn now() -> Moment {
    let read = |id| {
        let time = clock_gettime(id);
        Duration::new(
            u64::try_from(time.tv_sec).unwrap_or(0),
            u32::try_from(time.tv_nsec).unwrap_or(0),
        )
    };
    Moment {
        awake: read(ClockId::Monotonic),
        boot: read(ClockId::Boottime),
        wall: Timestamp::now(),
    }
}
