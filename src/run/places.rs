//! Who may be connected to the local socket: each user has so many places, so that nobody shuts it for the others.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Semaphore;

/// Most connections, and of them most of one user.
const ALL: usize = 512;
const OF_USER: usize = 128;

/// Connections of one user that are answered at once; the others wait.
const ANSWERED: usize = 8;

/// The connections that there are.
#[derive(Debug, Default)]
pub struct Places(Mutex<BTreeMap<u32, User>>);

#[derive(Debug)]
struct User {
    connections: usize,
    answered: Arc<Semaphore>,
}

/// One connection's place. Dropping it gives it back.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    user: u32,
    /// To be had while it is answered.
    pub turn: Arc<Semaphore>,
}

impl Places {
    /// A place for a user; `None` where there is none.
    #[must_use]
    pub fn take(self: &Arc<Self>, user: u32) -> Option<Place> {
        let mut users = self.lock();
        let all: usize = users.values().map(|user| user.connections).sum();
        let own = users.entry(user).or_insert_with(|| User {
            connections: 0,
            answered: Arc::new(Semaphore::new(ANSWERED)),
        });
        if own.connections >= OF_USER || all >= ALL {
            return None;
        }
        own.connections += 1;
        Some(Place {
            places: Arc::clone(self),
            user,
            turn: Arc::clone(&own.answered),
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, User>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut users = self.places.lock();
        if let Some(own) = users.get_mut(&self.user) {
            own.connections -= 1;
        }
        users.retain(|_, user| user.connections > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_who_takes_all_that_there_are_leaves_some_to_others() {
        let places = Arc::new(Places::default());
        let mut held: Vec<Place> = (0..OF_USER).map(|_| places.take(1).unwrap()).collect();
        assert!(places.take(1).is_none());
        let other = places.take(2).unwrap();
        assert_eq!(other.turn.available_permits(), ANSWERED);
        held.pop();
        assert!(places.take(1).is_some());
        drop((held, other));
        assert!(places.lock().is_empty());
        // All users together have no more than there are.
        let held: Vec<Place> = (0..2000).filter_map(|user| places.take(user)).collect();
        assert_eq!(held.len(), ALL);
    }
}
