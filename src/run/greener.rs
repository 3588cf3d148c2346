//! When the same work would be cleaner, and the wait until then.

use super::api::Node;
use super::child::Signals;
use super::client::Client;
use super::outlook::{Greener, Outlook};
use super::terminal::Screen;
use super::text;
use crate::clock;
use crate::grid::forecast::{Forecast, Origin};
use crate::output;
use crate::units::GramsPerKwh;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use nix::sys::signal::Signal;
use std::time::Duration;

/// So often the forecast is looked at anew while the start is held.
const AGAIN: Duration = Duration::from_secs(600);

/// Longest that a forecast is waited for where nobody has told one yet: providers are asked at the start.
const FIRST: Duration = Duration::from_secs(15);

/// How the start is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// No longer than this.
    pub within: Duration,
    /// For work of this length.
    pub length: Duration,
}

/// What electricity emits in the hours ahead, as the one who measures knows it.
fn outlook(node: &Node, now: Timestamp) -> Option<Outlook> {
    let hours: Vec<(Timestamp, GramsPerKwh)> = node
        .forecast
        .iter()
        .filter_map(|hour| Some((hour.start.parse().ok()?, GramsPerKwh(hour.intensity))))
        .collect();
    let (first, last) = (hours.first()?.0, hours.last()?.0);
    let place = |at: Timestamp| usize::try_from(at.duration_since(first).as_hours()).ok();
    let mut all = vec![None; place(last)? + 1];
    for (start, grams) in hours {
        if let Some(hour) = place(start).and_then(|place| all.get_mut(place)) {
            *hour = Some(grams);
        }
    }
    let forecast = Forecast::new(first, all, Origin::Provider);
    let intensity = node.grid.as_ref().map(|grid| GramsPerKwh(grid.intensity));
    Some(Outlook::new(now, intensity, Some(&forecast), node.pue))
}

/// Holds the start until the cleanest hour. A signal that ends us ends the wait, and is told.
pub fn hold(
    client: &Client,
    waiting: &Waiting,
    signals: &Signals,
    screen: &Screen,
) -> Result<Option<Signal>, String> {
    let zone = TimeZone::system();
    // A machine that was suspended has waited, too.
    let begun = clock::now().boot;
    let latest = begun + waiting.within;
    let mut said = None;
    loop {
        let now = clock::now();
        let node = match (client.node(), said) {
            (Ok(node), _) => node,
            // An exporter that starts anew is back by then.
            (Err(_), Some(start)) if start > now.wall => match pause(signals, now.wall, start)? {
                None => continue,
                signal => return Ok(signal),
            },
            (Err(error), _) => return Err(error.to_string()),
        };
        let left = latest.saturating_sub(now.boot);
        let best = outlook(&node, now.wall)
            .and_then(|outlook| outlook.greener(now.wall, waiting.length, left));
        let Some(best) = best else {
            if node.grid.is_some() && node.forecast.is_empty() && now.boot < begun + FIRST {
                match ended(signals, Duration::from_secs(1))? {
                    None => continue,
                    signal => return Ok(signal),
                }
            }
            screen.say(
                "gramwatt: no forecast of the grid covers that work, so it starts now (a provider with a forecast, \
                 or a few days of history, is needed)",
            );
            return Ok(None);
        };
        if best.start <= now.wall {
            return Ok(None);
        }
        if said != Some(best.start) {
            said = Some(best.start);
            let [then, at_once] = [best.mean, best.mean_now].map(|mean| mean.0 / node.pue);
            screen.say(&format!(
                "gramwatt: holds the start until {}: {} g/kWh instead of {} ({:.0} % less)",
                text::clock(best.start, now.wall, &zone),
                output::intensity(GramsPerKwh(then)),
                output::intensity(GramsPerKwh(at_once)),
                gain(&best),
            ));
        }
        if let Some(signal) = pause(signals, now.wall, best.start)? {
            return Ok(Some(signal));
        }
    }
}

/// Waits until a moment, and no longer than until it is time to look again.
fn pause(signals: &Signals, now: Timestamp, until: Timestamp) -> Result<Option<Signal>, String> {
    let wait = Duration::try_from(now.duration_until(until)).unwrap_or_default();
    ended(signals, wait.min(AGAIN))
}

fn ended(signals: &Signals, wait: Duration) -> Result<Option<Signal>, String> {
    let ended = signals.end(wait);
    ended.map_err(|error| format!("cannot wait: {error}"))
}

/// What is gained by it, in percent.
fn gain(best: &Greener) -> f64 {
    100.0 * (1.0 - best.mean.0 / best.mean_now.0)
}

/// When work that takes so many seconds would be cleaner than now, within a day, in words; `None` where it would not be,
/// or nobody knows.
#[must_use]
pub fn offer(node: &Node, seconds: f64, now: Timestamp, zone: &TimeZone) -> Option<String> {
    let length = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    let within = Duration::from_secs(24 * 3600);
    let best = outlook(node, now)?.greener(now, length, within)?;
    (best.start > now).then(|| {
        format!(
            "gramwatt: {:.0} % less from {} on: --wait-for-greener=24h --duration={}m",
            gain(&best),
            text::clock(best.start, now, zone),
            length.as_secs().div_ceil(60),
        )
    })
}
