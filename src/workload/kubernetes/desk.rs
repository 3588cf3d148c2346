//! Where those who ask write the book, and others read it.

use super::book::PodBook;
use super::pod::Pod;
use crate::clock;
use crate::sensor::Fault;
use std::sync::{Arc, Mutex, PoisonError};

/// What is known, for all who want to know.
#[derive(Clone, Debug, Default)]
pub(super) struct Shared(Arc<Mutex<Known>>);

#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) book: Arc<PodBook>,
    pub(super) source: Option<&'static str>,
    pub(super) faults: Vec<Fault>,
}

impl Shared {
    pub(super) fn known(&self) -> Known {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// For a test: who else has this.
    #[cfg(test)]
    pub(super) fn others(&self) -> std::sync::Weak<Mutex<Known>> {
        Arc::downgrade(&self.0)
    }

    fn change(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The writer.
#[derive(Debug)]
pub(super) struct Desk {
    shared: Shared,
    book: PodBook,
    labels: Vec<Arc<str>>,
    source: &'static str,
    /// What is said where the node has no pods, which is odd: where this runs in a pod it is one.
    lonely: Option<Fault>,
    /// Whether this source has been well since it was begun with.
    was_well: bool,
}

impl Desk {
    pub(super) fn new(shared: Shared, labels: Vec<Arc<str>>) -> Self {
        Self {
            shared,
            book: PodBook::default(),
            labels,
            source: "kubernetes",
            lonely: None,
            was_well: false,
        }
    }

    /// Who is asked from here on.
    pub(super) fn begin(&mut self, source: &'static str, lonely: Option<Fault>) {
        self.source = source;
        self.lonely = lonely;
        self.was_well = false;
    }

    /// Whether the source has been well since [`Desk::begin`].
    pub(super) fn was_well(&self) -> bool {
        self.was_well
    }

    /// Whether anybody has ever told of pods.
    pub(super) fn is_known(&self) -> bool {
        self.book.is_filled()
    }

    pub(super) fn labels(&self) -> &[Arc<str>] {
        &self.labels
    }

    pub(super) fn fill(&mut self, pods: Vec<Pod>) {
        self.book.fill(pods, clock::now().boot);
        self.publish();
    }

    pub(super) fn update(&mut self, pod: Pod) {
        self.book.update(pod, clock::now().boot);
        self.publish();
        if self.lonely.is_some() && self.was_well {
            self.well();
        }
    }

    pub(super) fn remove(&mut self, pod: Pod) {
        self.book.remove(pod, clock::now().boot);
        self.publish();
    }

    pub(super) fn well(&mut self) {
        self.was_well = true;
        let faults = match &self.lonely {
            Some(fault) if self.book.is_empty() => vec![fault.clone()],
            _ => Vec::new(),
        };
        self.tell(faults);
    }

    pub(super) fn tell(&self, faults: Vec<Fault>) {
        self.shared.change(|known| {
            known.source = Some(self.source);
            known.faults = faults;
        });
    }

    fn publish(&self) {
        let book = Arc::new(self.book.clone());
        let before = {
            let mut before = None;
            self.shared
                .change(|known| before = Some(std::mem::replace(&mut known.book, book)));
            before
        };
        // Not under the lock: it may be the last of a large one.
        drop(before);
    }
}
