//! Every bound of the HTTP side in one place.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::time::Duration;

/// Descriptors left to the sensors, the logs and everything else that is not a connection.
const RESERVED_DESCRIPTORS: u64 = 128;

/// The bounds within which one process serves strangers.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Time from a connection's first byte of a request (or from its acceptance) to the end of the
    /// request's head; the TLS handshake has as long again.
    pub head: Duration,
    /// Time from the moment a request is understood to the last byte of its answer being handed to
    /// the kernel: a client that does not read is cut off after it.
    pub answer: Duration,
    /// How long a connection may stay open between two requests. Longer than the usual scrape
    /// intervals, so that a scraper keeps its connection and its TLS session.
    pub idle: Duration,
    /// How long requests under way may still take after the order to shut down.
    pub drain: Duration,
    /// How long a scrape waits for a place among `--web.max-requests` before it is refused.
    pub queue: Duration,
    /// An answer that has been stuck for this long loses its place to a scrape that finds none.
    pub stuck: Duration,
    /// How often the web configuration and the files it names are looked at for changes.
    pub recheck: Duration,
    /// How long `POST /-/reload` waits for the result.
    pub reload: Duration,
    /// Largest request head (request line and headers) in bytes; at least 8192.
    pub head_bytes: usize,
    /// Most connections held at once. One more closes the longest-waiting connection of the peer
    /// that holds the most, so nobody can lock others out by sitting on connections.
    pub connections: usize,
    /// Most concurrent requests within one HTTP/2 connection.
    pub streams: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            answer: Duration::from_secs(30),
            idle: Duration::from_secs(180),
            drain: Duration::from_secs(5),
            queue: Duration::from_secs(1),
            stuck: Duration::from_secs(1),
            recheck: Duration::from_secs(2),
            reload: Duration::from_secs(30),
            head_bytes: 16 * 1024,
            connections: 512,
            streams: 32,
        }
    }
}

impl Limits {
    /// The same limits with no more connections than half of what `descriptors` leaves beside the
    /// reserve, and at least 16.
    #[must_use]
    pub fn within(mut self, descriptors: u64) -> Self {
        let room = descriptors.saturating_sub(RESERVED_DESCRIPTORS) / 2;
        let room = usize::try_from(room).unwrap_or(usize::MAX).max(16);
        self.connections = self.connections.min(room);
        self
    }
}

/// Raises this process's limit of open files to the most it may have by itself, and returns what is
/// then in force. Failing to raise it is no error: the limit that is there is returned.
pub fn raise_open_files() -> u64 {
    let now = getrlimit(Resource::Nofile);
    if now.current != now.maximum {
        let wanted = Rlimit {
            current: now.maximum,
            maximum: now.maximum,
        };
        if let Err(error) = setrlimit(Resource::Nofile, wanted) {
            tracing::debug!(%error, "the limit of open files stays as it is");
        }
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_fit_the_descriptors() {
        let connections = |descriptors| Limits::default().within(descriptors).connections;
        assert_eq!(connections(u64::MAX), 512);
        assert_eq!(connections(1024), 448);
        assert_eq!(connections(256), 64);
        assert_eq!(connections(0), 16);
    }
}
