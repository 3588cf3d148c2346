//! What the exporter itself uses.

use crate::clock::Moment;
use crate::snapshot::Process;
use procfs::process::{LimitValue, Process as Own};
use std::time::Duration;

/// Looks again only after this long: the figures move slowly, and looking is not free.
const PACE: Duration = Duration::from_secs(5);

/// Watches this process.
#[derive(Debug, Default)]
pub struct Watch {
    last: Option<(Duration, Process)>,
    /// When this process began: worked out once, as the clocks that tell it wobble.
    start: Option<f64>,
}

impl Watch {
    /// The figures, at most five seconds old; `None` where `/proc` does not tell.
    pub fn look(&mut self, now: Moment) -> Option<Process> {
        let fresh = |(at, _): &(Duration, Process)| now.awake.saturating_sub(*at) < PACE;
        if let Some((_, process)) = self.last.filter(fresh) {
            return Some(process);
        }
        self.last = own(now).ok().map(|mut process| {
            process.start_seconds = *self.start.get_or_insert(process.start_seconds);
            (now.awake, process)
        });
        self.last.map(|(_, process)| process)
    }
}

#[allow(clippy::cast_precision_loss)]
fn own(now: Moment) -> procfs::ProcResult<Process> {
    let own = Own::myself()?;
    let stat = own.stat()?;
    let ticks = procfs::ticks_per_second() as f64;
    let limit = match own.limits()?.max_open_files.soft_limit {
        LimitValue::Value(limit) => limit,
        LimitValue::Unlimited => u64::MAX,
    };
    // The start is told in ticks since boot: on the boot clock, suspension included.
    let age = now.boot.as_secs_f64() - stat.starttime as f64 / ticks;
    Ok(Process {
        cpu_seconds: (stat.utime + stat.stime) as f64 / ticks,
        resident_bytes: stat.rss * procfs::page_size(),
        virtual_bytes: stat.vsize,
        open_fds: own.fd_count()? as u64,
        max_fds: limit,
        start_seconds: now.wall.as_duration().as_secs_f64() - age,
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_start_stays_where_it_is() {
        let now = crate::clock::now();
        let mut watch = super::Watch::default();
        let first = watch.look(now).unwrap();
        // The wall clock is set back, which moves nothing that has been.
        let later = crate::clock::Moment {
            wall: now.wall - std::time::Duration::from_secs(60),
            ..now.later(std::time::Duration::from_secs(60))
        };
        let second = watch.look(later).unwrap();
        assert_eq!(first.start_seconds, second.start_seconds);
    }

    #[test]
    fn this_process_is_there() {
        let process = super::own(crate::clock::now()).unwrap();
        assert!(process.resident_bytes > 1 << 20);
        assert!(process.open_fds > 0 && process.max_fds >= process.open_fds);
        let now = crate::clock::now().wall.as_duration().as_secs_f64();
        assert!(process.start_seconds <= now && process.start_seconds > now - 86400.0);
    }
}
