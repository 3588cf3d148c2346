//! What was found of all workloads in one stretch of time: the value that the engine divides by.

use super::{About, Health, Identity, Machine, Owner, Seen, runs};
use crate::clock::Moment;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Who was here, and who used what, since the last one.
#[derive(Debug)]
pub struct Census {
    /// When the last one ended, or this one's looking began (time since boot).
    pub from: Duration,
    /// When it ended.
    pub at: Moment,
    /// What all of the machine did; `None` where that cannot be read.
    pub machine: Option<Machine>,
    /// Everything that lived in that time, with its CPU time and memory.
    pub seen: Vec<Seen>,
    /// Everybody who holds an accelerator now, whether it was seen otherwise or not.
    pub holding: Vec<Owner>,
    /// What those who were seen, or hold something, are called, as far as that is known.
    pub names: Vec<(Owner, Arc<Identity>, Arc<About>)>,
    /// What the runs that are followed did.
    pub runs: Vec<runs::Seen>,
    /// Who held and used the accelerators, where that was looked at again.
    pub gpus: Option<Occupancies>,
    /// How those are who tell of workloads.
    pub health: Vec<Health>,
}

/// Who held and used which accelerator in a stretch of time, which is longer than a census': asking costs more.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Occupancies {
    /// From when (time since boot), ...
    pub from: Duration,
    /// ... until when.
    pub at: Duration,
    /// By device id. One that is not here was held and used by nobody.
    pub devices: BTreeMap<Arc<str>, Vec<Holder>>,
    /// Runs whose processes were on accelerators.
    pub runs: Vec<RunHold>,
}

/// A run's part of what one holder had of an accelerator.
#[derive(Clone, Debug, PartialEq)]
pub struct RunHold {
    /// Which run.
    pub run: runs::Id,
    /// Which accelerator, by device id.
    pub device: Arc<str>,
    /// Within whose part; `None`: the machine's.
    pub owner: Option<Owner>,
    /// How much of that part, 0 to 1.
    pub part: f64,
}

/// Somebody who holds an accelerator, or a part of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Holder {
    /// Who; `None` for processes of the machine itself.
    pub owner: Option<Owner>,
    /// Where the accelerator is divided in hardware: slices held, of all that it has.
    pub slices: Option<(u32, u32)>,
    /// How busy it kept what it holds, 0 to 1, as a mean; `None` where nobody tells.
    pub busy: Option<f64>,
    /// From when (time since boot); `None`: from the beginning of the stretch.
    pub since: Option<Duration>,
    /// Until when (time since boot); `None`: until its end.
    pub until: Option<Duration>,
}
