//! Energy of one device that is not divided yet.

use crate::sensor::Kind;
use crate::units::{Grams, Joules};
use std::collections::VecDeque;
use std::time::Duration;

/// Energy used evenly over a time, with its emissions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Chunk {
    pub from: Duration,
    pub to: Duration,
    pub joules: Joules,
    pub grams: Option<Grams>,
    /// How busy the device was, 0 to 1, where it told.
    pub utilization: Option<f64>,
}

impl Chunk {
    pub fn time(&self) -> Duration {
        self.to.saturating_sub(self.from)
    }

    /// What of it was used before a moment, and the rest. Nothing is lost between them.
    pub fn cut(self, at: Duration) -> (Option<Self>, Option<Self>) {
        if self.to <= at {
            return (Some(self), None);
        }
        if at <= self.from {
            return (None, Some(self));
        }
        let part = (at - self.from).as_secs_f64() / self.time().as_secs_f64();
        let before = Self {
            to: at,
            joules: self.joules.times(part),
            grams: self.grams.map(|grams| grams.times(part)),
            ..self
        };
        let after = Self {
            from: at,
            joules: self.joules - before.joules,
            grams: self.grams.zip(before.grams).map(|(all, some)| all - some),
            ..self
        };
        (Some(before), Some(after))
    }
}

/// What waits of one device, oldest first.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub kind: Kind,
    chunks: VecDeque<Chunk>,
}

impl Pending {
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            chunks: VecDeque::new(),
        }
    }

    pub fn push(&mut self, chunk: Chunk) {
        self.chunks.push_back(chunk);
    }

    /// Takes what was used before a moment.
    pub fn take(&mut self, until: Duration) -> Vec<Chunk> {
        let mut taken = Vec::new();
        let mut left = VecDeque::new();
        while let Some(chunk) = self.chunks.pop_front() {
            let (before, after) = chunk.cut(until);
            taken.extend(before);
            left.extend(after);
        }
        self.chunks = left;
        taken
    }

    pub fn joules(&self) -> Joules {
        self.chunks.iter().map(|chunk| chunk.joules).sum()
    }

    pub fn grams(&self) -> Option<Grams> {
        self.chunks
            .iter()
            .filter_map(|chunk| chunk.grams)
            .reduce(|a, b| a + b)
    }
}
