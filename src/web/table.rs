//! The connections held at once, and which one goes when there are too many.

use super::progress::Progress;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// How many of a network's oldest connections are looked at when one has to go: enough to spare an old
/// one that still talks, and few, because in a flood one goes for each that comes.
const OLDEST: usize = 32;

/// All connections of the process; cheap to clone.
#[derive(Clone, Default)]
pub struct Table {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    next: u64,
    held: HashMap<u64, Held>,
    /// The numbers of each network's connections, in the order of their coming.
    crowds: HashMap<IpAddr, BTreeSet<u64>>,
}

impl Inner {
    fn remove(&mut self, number: u64) -> bool {
        let Some(held) = self.held.remove(&number) else {
            return false;
        };
        if let Some(crowd) = self.crowds.get_mut(&held.peer) {
            crowd.remove(&number);
            if crowd.is_empty() {
                self.crowds.remove(&held.peer);
            }
        }
        true
    }
}

struct Held {
    peer: IpAddr,
    progress: Arc<Progress>,
    /// Dropped with the entry, which ends the connection.
    _end: oneshot::Sender<()>,
}

/// A place in the table, given back when dropped.
pub struct Place {
    table: Table,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.table.inner().remove(self.number);
    }
}

impl Table {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a connection of `peer`. The receiver fails when the connection has to end.
    pub fn enter(&self, peer: IpAddr, progress: Arc<Progress>) -> (Place, oneshot::Receiver<()>) {
        let (end, ended) = oneshot::channel();
        let peer = network(peer);
        let mut inner = self.inner();
        let number = inner.next;
        inner.next += 1;
        inner.crowds.entry(peer).or_default().insert(number);
        inner.held.insert(
            number,
            Held {
                peer,
                progress,
                _end: end,
            },
        );
        (
            Place {
                table: self.clone(),
                number,
            },
            ended,
        )
    }

    /// How many connections are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner().held.len()
    }

    /// Ends one connection to make room, and returns whether there was one: of the network that
    /// holds the most connections, among its oldest, the one that has waited longest, or, when none
    /// of them waits, the one that has been answered longest.
    ///
    /// So a flood displaces itself: somebody with few connections keeps them, and a scraper, whose
    /// request comes with its connection, is never the one that has waited longest.
    pub fn make_room(&self) -> bool {
        let mut inner = self.inner();
        let crowd = inner.crowds.values().max_by_key(|crowd| crowd.len());
        let oldest = crowd.into_iter().flatten().take(OLDEST);
        let first =
            oldest.min_by_key(|number| inner.held.get(number).map(|held| held.progress.standing()));
        let first = first.copied();
        first.is_some_and(|number| inner.remove(number))
    }

    /// Ends the connection whose client has been taking an answer for the longest, if that is longer
    /// than `patience`.
    pub fn end_stuck(&self, patience: Duration) {
        let mut inner = self.inner();
        let now = Instant::now();
        let stuck = inner.held.iter().filter_map(|(number, held)| {
            let (busy, since) = held.progress.standing();
            (busy && now.duration_since(since) > patience).then_some((since, *number))
        });
        if let Some((_, number)) = stuck.min() {
            inner.remove(number);
        }
    }

    /// Ends every connection that is not answering a request.
    pub fn end_waiting(&self) {
        self.inner()
            .held
            .retain(|_, held| held.progress.standing().0);
    }
}

/// Who counts as one peer: an IPv4 address, or the /64 network that one IPv6 host commands.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::limits::Limits;

    fn peer(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    struct Client {
        progress: Arc<Progress>,
        _place: Place,
        ended: oneshot::Receiver<()>,
    }

    impl Client {
        fn new(table: &Table, address: &str) -> Self {
            let progress = Progress::new(&Limits::default());
            let (place, ended) = table.enter(peer(address), Arc::clone(&progress));
            Self {
                progress,
                _place: place,
                ended,
            }
        }

        fn ended(&mut self) -> bool {
            !matches!(
                self.ended.try_recv(),
                Err(oneshot::error::TryRecvError::Empty)
            )
        }
    }

    #[test]
    fn a_crowd_displaces_itself() {
        let table = Table::default();
        let mut scraper = Client::new(&table, "10.0.0.1");
        let mut crowd: Vec<_> = (0..3).map(|_| Client::new(&table, "10.0.0.2")).collect();
        assert!(table.make_room());
        assert!(!scraper.ended());
        let ended: Vec<_> = crowd.iter_mut().map(Client::ended).collect();
        assert_eq!(ended, [true, false, false]);
    }

    #[test]
    fn a_waiting_connection_goes_before_a_busy_one() {
        let table = Table::default();
        let mut busy = Client::new(&table, "10.0.0.1");
        let _request = busy.progress.request();
        let mut waiting = Client::new(&table, "10.0.0.1");
        assert!(table.make_room());
        assert!((!busy.ended(), waiting.ended()) == (true, true));
        assert!(table.make_room());
        assert!(busy.ended());
        assert!(!table.make_room());
    }

    #[test]
    fn one_host_is_one_peer() {
        assert_eq!(network(peer("::ffff:10.0.0.1")), peer("10.0.0.1"));
        assert_eq!(network(peer("2001:db8::1")), network(peer("2001:db8::2")));
        assert_ne!(
            network(peer("2001:db8::1")),
            network(peer("2001:db8:0:1::1"))
        );
        assert_ne!(network(peer("10.0.0.1")), network(peer("10.0.0.2")));
    }

    #[test]
    fn leaving_gives_the_place_back() {
        let table = Table::default();
        let client = Client::new(&table, "::1");
        assert_eq!(table.len(), 1);
        drop(client);
        assert_eq!(table.len(), 0);
        assert!(table.inner().crowds.is_empty());
    }

    #[test]
    fn only_the_stuck_and_only_the_waiting_are_ended() {
        let table = Table::default();
        let mut busy = Client::new(&table, "::1");
        let _request = busy.progress.request();
        let mut waiting = Client::new(&table, "::1");
        table.end_stuck(Duration::from_secs(60));
        assert!(!busy.ended() && !waiting.ended());
        table.end_waiting();
        assert!(!busy.ended() && waiting.ended());
    }
}
