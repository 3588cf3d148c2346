//! Who reads what: the readers that there are, and what none of them reads any more.

use super::{Ledger, Reader};
use crate::clock::Moment;
use crate::sensor::Part;

impl Ledger {
    /// Takes the readers that there are from now on. What none of them has read so far is open to
    /// any of them; the rest stays with its reader.
    pub fn seat(&mut self, readers: &[Reader]) {
        for account in self.accounts.values_mut() {
            match readers.iter().find(|r| r.name == account.reader.name) {
                Some(reader) => account.reader = reader.clone(),
                None => account.reader.rank = usize::MAX,
            }
        }
        self.unheard = readers.to_vec();
    }

    /// The readers that have not answered yet without a fault: nobody knows what meters they have.
    #[must_use]
    pub fn unheard(&self) -> &[Reader] {
        &self.unheard
    }

    /// Notes that a sensor has read, at `at`, all that it has: what is there and cannot be read is a fault,
    /// and of those it had none. Meters that it has not told of for too long are nobody's, until it tells
    /// of them again: an outlet that a new configuration gives to another node must not be waited for.
    pub fn heard_all(&mut self, reader: &Reader, at: Moment) {
        self.unheard.retain(|unheard| unheard.name != reader.name);
        for (part, account) in &mut self.accounts {
            let is_its = account.reader.name == reader.name;
            if is_its && matches!(part, Part::Meter { .. }) && !account.is_live(at) {
                account.reader.rank = usize::MAX;
            }
        }
    }
}
