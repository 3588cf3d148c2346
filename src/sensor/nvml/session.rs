//! The library from one initialisation to its shutdown, and the GPUs that it shows.

use super::card::{self, Card, Known};
use super::ffi::Library;
use super::trouble::Trouble;
use crate::sensor::Readings;
use nvml_wrapper::error::NvmlError;
use std::path::{Path, PathBuf};

/// An initialised library.
pub(super) struct Session {
    pub(super) library: Library,
    path: PathBuf,
    sys: PathBuf,
    pub(super) driver: String,
    pub(super) cards: Vec<Card>,
    /// GPUs that are there, or were, and could not be identified.
    pub(super) lost: Vec<(Option<Known>, Trouble)>,
}

impl Session {
    /// Loads the library and looks at its GPUs. Those `known` before that it does not show are lost.
    pub(super) fn open(path: &Path, sys: &Path, known: Vec<Known>) -> Result<Self, Trouble> {
        let failed = |error: &NvmlError, known| {
            let mut trouble = Trouble::of(path.display().to_string(), error);
            trouble.known = known;
            trouble
        };
        let library = match Library::open(path) {
            Ok(library) => library,
            Err(error) => return Err(failed(&error, known)),
        };
        let mut session = Self {
            driver: library.driver(),
            library,
            path: path.to_owned(),
            sys: sys.to_owned(),
            cards: Vec::new(),
            lost: Vec::new(),
        };
        match session.enumerate(&known) {
            Ok(()) => Ok(session),
            Err(error) => Err(failed(&error, known)),
        }
    }

    /// All GPUs that are there or were.
    pub(super) fn known(&self) -> Vec<Known> {
        let cards = self.cards.iter().map(|card| card.known.clone());
        let lost = self.lost.iter().filter_map(|(known, _)| known.clone());
        cards.chain(lost).collect()
    }

    /// Whether any GPU sleeps, so that looking at all of them would wake it.
    pub(super) fn is_asleep(&mut self) -> bool {
        self.cards.iter_mut().any(Card::is_asleep)
    }

    /// Looks for GPUs that are new, and at what changes seldom.
    pub(super) fn look(&mut self) {
        let known = self.known();
        if let Err(error) = self.enumerate(&known) {
            self.cards.clear();
            self.lost = known
                .into_iter()
                .map(|known| (Some(known.clone()), Trouble::of(known.place(), &error)))
                .collect();
            if self.lost.is_empty() {
                let place = self.path.display().to_string();
                self.lost.push((None, Trouble::of(place, &error)));
            }
        }
    }

    fn enumerate(&mut self, known: &[Known]) -> Result<(), NvmlError> {
        let found = self.library.enumerate()?;
        let mut before = std::mem::take(&mut self.cards);
        self.lost.clear();
        let mut nameless = Vec::new();
        for (index, place) in found.into_iter().enumerate() {
            let named = place.and_then(|place| Ok((place, self.name(place)?)));
            match named {
                Ok((place, known)) => self.seat(place, known, &mut before),
                Err(error) => nameless.push((index, error)),
            }
        }
        // Which of those without a name it was that was known does not matter: one each.
        let mut nameless = nameless.into_iter();
        for known in known {
            let seen = |other: &Known| other.uuid == known.uuid;
            let is_here = self.cards.iter().any(|card| seen(&card.known))
                || self.lost.iter().any(|(lost, _)| lost.as_ref().is_some_and(seen));
            if is_here {
                continue;
            }
            let trouble = match nameless.next() {
                Some((_, error)) => Trouble::of(known.place(), &error),
                None => Trouble::gone(known.place()),
            };
            self.lost.push((Some(known.clone()), trouble));
        }
        self.lost.extend(nameless.map(|(index, error)| {
            (None, Trouble::of(format!("GPU number {index}"), &error))
        }));
        Ok(())
    }

    fn name(&self, place: usize) -> Result<Known, NvmlError> {
        let gpu = self.library.gpu(place)?;
        let uuid = gpu.uuid()?;
        let bdf = gpu.pci_info().map(|pci| card::bdf(&pci.bus_id));
        Ok(Known {
            uuid,
            bdf: bdf.unwrap_or_default(),
        })
    }

    /// Goes on with a card, or identifies a new one.
    fn seat(&mut self, place: usize, known: Known, before: &mut Vec<Card>) {
        let old = before.iter().position(|card| card.known == known);
        if let Some(old) = old {
            let mut card = before.swap_remove(old);
            card.place = place;
            card.limit = card::limit(&self.library, place);
            self.cards.push(card);
            return;
        }
        let name = known.place();
        let card = Card::identify(&self.library, place, known.clone(), &self.driver, &self.sys);
        match card {
            Ok(card) => self.cards.push(card),
            Err(error) => self.lost.push((Some(known), Trouble::of(name, &error))),
        }
    }

    /// Reads all GPUs that are awake. Also says for how many the library is stale.
    pub(super) fn read(&mut self) -> (Readings, usize) {
        let mut readings = Readings::default();
        let mut stale = 0;
        for card in &mut self.cards {
            if card.is_asleep() {
                continue;
            }
            if let Err(error) = card.read(&self.library, &mut readings.good) {
                let trouble = Trouble::of(card.known.place(), &error);
                stale += usize::from(trouble.stale);
                readings.bad.push(trouble.fault());
            }
        }
        for (_, trouble) in &self.lost {
            stale += usize::from(trouble.stale);
            readings.bad.push(trouble.fault());
        }
        (readings, stale)
    }
}
