//! Models give way to meters: what is modelled is no more than what the meter in force leaves beyond
//! the devices that are measured, or the node would end above its own meter.

use crate::clock::Moment;
use crate::ledger::{Ledger, Reader};
use crate::node::Node;
use crate::sensor::{Reading, Value};
use crate::units::Watts;
use std::borrow::Cow;

/// The share of its modelled power that a batch may book, 0 to 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share(f64);

impl Share {
    /// The share of the readings of one batch.
    pub fn of(
        readings: &[Reading],
        reader: &Reader,
        at: Moment,
        node: &Node,
        ledger: &Ledger,
    ) -> Self {
        let modelled = |reading: &Reading| match reading.value {
            Value::Modelled(watts) if ledger.listens_to(reader, &reading.source.part, at) => watts,
            _ => Watts::ZERO,
        };
        let wanted: Watts = readings.iter().map(modelled).sum();
        if wanted <= Watts::ZERO {
            return Self(1.0);
        }
        let left = node.left_for_models(ledger, at);
        Self(left.map_or(1.0, |left| (left.0 / wanted.0).min(1.0)))
    }

    /// The reading with its share, if it is a modelled one.
    pub fn cut(self, reading: &Reading) -> Cow<'_, Reading> {
        match reading.value {
            Value::Modelled(watts) if self.0 < 1.0 => Cow::Owned(Reading {
                value: Value::Modelled(watts.times(self.0)),
                ..reading.clone()
            }),
            _ => Cow::Borrowed(reading),
        }
    }
}
