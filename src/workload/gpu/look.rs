//! One look at all GPUs through the driver's library.

use super::ask::{instances, on_instances, running, utilization};
use super::means::Window;
use super::observer::Eye;
use super::{Card, Gpus, Sight};
use crate::sensor::nvml::{Known, Library, Trouble, bdf, is_asleep, maybe, status};
use crate::sensor::sysfs::Attribute;
use crate::sensor::{Cause, Fault};
use crate::workload::ProcessUse;
use nvml_wrapper::error::NvmlError;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Looks between two at which GPUs there are.
const LOOKS_PER_LIST: u32 = 12;

/// Looks between two attempts to load the library where it could not be: at first, and at most after it was
/// twice as many each time.
const SOON: u32 = 6;
const LATE: u32 = 120;

/// Looks at NVIDIA GPUs; an [`Observer`](super::Observer) has one in its thread.
pub struct Looker {
    path: PathBuf,
    sys: PathBuf,
    library: Option<Library>,
    seats: Vec<Seat>,
    /// GPUs that are there and have no name.
    nameless: Vec<Trouble>,
    /// Why the library could not be loaded.
    closed: Option<Trouble>,
    /// Looks until it is loaded again, and how many it is the next time.
    wait: u32,
    patience: u32,
    /// Looks until the GPUs are listed again.
    list: u32,
    before: Option<Duration>,
}

/// The processes that were seen.
#[derive(Default)]
struct Seen {
    uses: Vec<ProcessUse>,
    unlisted: BTreeSet<(Arc<str>, u32)>,
}

/// A GPU over the library's lives.
struct Seat {
    card: Card,
    /// Where the library has its handle, or why it has none.
    place: Result<usize, Trouble>,
    sleep: Attribute,
    window: Window,
    /// When it was last asked.
    asked: Option<Duration>,
}

impl Looker {
    /// Will look through the driver's library (a name that the dynamic linker finds, or a path), with the folder
    /// where sysfs is.
    #[must_use]
    pub fn new(library: &Path, sys: &Path) -> Self {
        Self {
            path: library.to_owned(),
            sys: sys.to_owned(),
            library: None,
            seats: Vec::new(),
            nameless: Vec::new(),
            closed: None,
            wait: 0,
            patience: SOON,
            list: 0,
            before: None,
        }
    }

    /// Loads the library where it is not. Says whether there is simply none.
    fn open(&mut self) -> bool {
        if self.library.is_some() {
            return false;
        }
        if self.wait > 0 {
            self.wait -= 1;
            return false;
        }
        match Library::open(&self.path) {
            Ok(library) => {
                self.library = Some(library);
                self.closed = None;
                self.patience = SOON;
                self.list = 0;
                false
            }
            Err(error) => {
                let trouble = Trouble::of(self.path.display().to_string(), &error);
                let is_absent = trouble.absent;
                self.closed = Some(trouble);
                self.wait = self.patience - 1;
                self.patience = self.patience.saturating_mul(2).min(LATE);
                is_absent
            }
        }
    }

    /// The fault of a library that was closed when a GPU was lost, before another fell asleep.
    fn waits(&self) -> Fault {
        Fault {
            place: self.path.display().to_string(),
            cause: Cause::Device("closed since a GPU was lost, and another sleeps now".to_owned()),
            mend: "it is loaded again when no GPU sleeps, for that would wake it; restart gramwatt to look at once"
                .to_owned(),
        }
    }

    /// Notes which GPUs sleep. Says whether any does.
    fn rest(&mut self) -> bool {
        for seat in &mut self.seats {
            if is_asleep(&mut seat.sleep) {
                seat.card.sight = Sight::Asleep;
            } else if seat.card.sight == Sight::Asleep {
                seat.card.sight = Sight::Lost;
            }
        }
        self.seats
            .iter()
            .any(|seat| seat.card.sight == Sight::Asleep)
    }

    fn gpus(&mut self, at: Duration, seen: Seen) -> Gpus {
        Gpus {
            from: self.before.replace(at).unwrap_or(at),
            at,
            cards: self.seats.iter().map(|seat| seat.card.clone()).collect(),
            uses: seen.uses,
            unlisted: seen.unlisted,
        }
    }

    /// Asks each GPU that is awake. Also says whether the library is stale for any.
    fn ask(&mut self, library: &Library, at: Duration) -> (Gpus, Vec<Fault>, bool) {
        let mut seen = Seen::default();
        let mut troubles = Vec::new();
        for seat in &mut self.seats {
            if seat.card.sight == Sight::Asleep {
                continue;
            }
            let asked = match &seat.place {
                &Ok(place) => seat.ask(library, place, at, &mut seen),
                Err(trouble) => {
                    troubles.push((trouble.fault(), trouble.stale));
                    seat.card.sight = Sight::Lost;
                    continue;
                }
            };
            seat.card.sight = asked.unwrap_or_else(|error| {
                let trouble = Trouble::of(seat.name(), &error);
                troubles.push((trouble.fault(), trouble.stale));
                Sight::Lost
            });
        }
        let nameless = self
            .nameless
            .iter()
            .map(|trouble| (trouble.fault(), trouble.stale));
        troubles.extend(nameless);
        let is_stale = troubles.iter().any(|(_, stale)| *stale);
        let faults = troubles.into_iter().map(|(fault, _)| fault).collect();
        (self.gpus(at, seen), faults, is_stale)
    }

    /// Lists the GPUs anew where it is due. Those that were known stay known.
    fn list(&mut self, library: &mut Library) {
        if self.list > 0 {
            self.list -= 1;
            return;
        }
        self.list = LOOKS_PER_LIST - 1;
        self.nameless.clear();
        let found = match library.enumerate() {
            Ok(found) => found,
            Err(error) => {
                for seat in &mut self.seats {
                    seat.place = Err(Trouble::of(seat.name(), &error));
                }
                if self.seats.is_empty() {
                    self.nameless
                        .push(Trouble::of(self.path.display().to_string(), &error));
                }
                self.list = 0;
                return;
            }
        };
        let mut before = std::mem::take(&mut self.seats);
        for (index, place) in (0..).zip(found) {
            match place.and_then(|place| Ok((place, identify(library, place, index)?))) {
                Ok((place, card)) => {
                    let old = before.iter().position(|seat| seat.card.uuid == card.uuid);
                    let old = old.map(|old| before.swap_remove(old));
                    self.seats.push(Seat::new(place, card, &self.sys, old));
                }
                Err(error) => self
                    .nameless
                    .push(Trouble::of(format!("GPU number {index}"), &error)),
            }
        }
        for mut seat in before {
            // Which of those without a name it is does not matter: one each.
            seat.place = Err(match self.nameless.pop() {
                Some(mut trouble) => {
                    trouble.place = seat.name();
                    trouble
                }
                None => Trouble::gone(seat.name()),
            });
            self.seats.push(seat);
        }
        if self.seats.iter().any(|seat| seat.place.is_err()) || !self.nameless.is_empty() {
            self.list = 0;
        }
    }
}

impl Eye for Looker {
    const GLANCES: u32 = 1;

    fn is_absent(&mut self) -> bool {
        self.open()
    }

    /// What a fault concerns is [`Sight::Lost`].
    fn look(&mut self, at: Duration) -> (Gpus, Vec<Fault>) {
        let is_asleep = self.rest();
        if !is_asleep || self.seats.is_empty() {
            self.open();
        }
        if let Some(mut library) = self.library.take() {
            if !is_asleep {
                self.list(&mut library);
                // One that was found just now may sleep again.
                self.rest();
            }
            let (gpus, faults, is_stale) = self.ask(&library, at);
            // Asleep it is kept, for loading it would wake the GPU.
            if !is_stale || is_asleep {
                self.library = Some(library);
            }
            return (gpus, faults);
        }
        for seat in &mut self.seats {
            if seat.card.sight != Sight::Asleep {
                seat.card.sight = Sight::Lost;
            }
        }
        let gpus = self.gpus(at, Seen::default());
        let fault = self
            .closed
            .as_ref()
            .map_or_else(|| self.waits(), Trouble::fault);
        (gpus, vec![fault])
    }
}

fn identify(library: &Library, place: usize, index: u32) -> Result<Card, NvmlError> {
    let gpu = library.gpu(place)?;
    let pci = gpu.pci_info().map(|pci| bdf(&pci.bus_id));
    Ok(Card {
        uuid: gpu.uuid()?.into(),
        index,
        minor: gpu.minor_number().ok(),
        pci: pci.unwrap_or_default().into(),
        divided: false,
        instances: Vec::new(),
        sight: Sight::Lost,
    })
}

impl Seat {
    /// Takes a GPU, and goes on from what was known of it.
    fn new(place: usize, mut card: Card, sys: &Path, old: Option<Self>) -> Self {
        let place = Ok(place);
        match old {
            Some(old) if old.card.pci == card.pci => {
                card.instances = old.card.instances;
                card.divided = old.card.divided;
                Self { card, place, ..old }
            }
            _ => Self {
                sleep: Attribute::new(status(sys, &card.pci)),
                card,
                place,
                window: Window::default(),
                asked: None,
            },
        }
    }

    fn name(&self) -> String {
        let known = Known {
            uuid: self.card.uuid.to_string(),
            bdf: self.card.pci.to_string(),
        };
        known.place()
    }

    fn ask(
        &mut self,
        library: &Library,
        place: usize,
        now: Duration,
        seen: &mut Seen,
    ) -> Result<Sight, NvmlError> {
        let gpu = library.gpu(place)?;
        self.card.divided = maybe(gpu.mig_mode())?.is_some_and(|mode| mode.current == 1);
        if self.card.divided {
            let instances = instances(library, place, &gpu)?;
            let running = on_instances(&gpu, &instances)?;
            self.card.instances = instances
                .into_iter()
                .map(|(_, instance)| instance)
                .collect();
            seen.uses.extend(running.into_iter().map(|(pid, number)| {
                let instance = number.and_then(|number| self.card.instances.get(number));
                self.uses(
                    pid,
                    instance.map(|instance| Arc::clone(&instance.uuid)),
                    None,
                )
            }));
            return Ok(Sight::Processes);
        }
        self.card.instances.clear();
        let elapsed = now.saturating_sub(self.asked.replace(now).unwrap_or(now));
        let means = match utilization(&gpu, self.window.since())? {
            Some(records) => self.window.take(&records, elapsed),
            None => None,
        };
        let mut busy: BTreeMap<u32, Option<f64>> = BTreeMap::new();
        for process in running(&gpu)? {
            busy.insert(process.pid, means.is_some().then_some(0.0));
        }
        for (pid, mean) in means.iter().flatten() {
            if busy.insert(*pid, Some(*mean)).is_none() {
                seen.unlisted.insert((Arc::clone(&self.card.uuid), *pid));
            }
        }
        seen.uses.extend(
            busy.into_iter()
                .map(|(pid, busy)| self.uses(pid, None, busy)),
        );
        Ok(if means.is_some() {
            Sight::Full
        } else {
            Sight::Processes
        })
    }

    fn uses(&self, pid: u32, instance: Option<Arc<str>>, busy: Option<f64>) -> ProcessUse {
        ProcessUse {
            device: Arc::clone(&self.card.uuid),
            pid,
            instance,
            busy,
        }
    }
}
