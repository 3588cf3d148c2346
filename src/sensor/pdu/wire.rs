//! The datagrams to and from one PDU.
//!
//! The socket is connected, so that the kernel drops what others send, and tells at once where the PDU's
//! host refuses. What the peer sends that answers nothing is passed over, a bounded number of times.

use async_snmp::transport::{Candidate, RequestRegistration, ResponseIdentity, Transport};
use async_snmp::{Error, Result};
use bytes::Bytes;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::timeout_at;

/// Largest payload of a UDP datagram over IPv4, in bytes: 65535 less the headers of IP and UDP (RFC 768,
/// RFC 791).
const LARGEST: usize = 65_507;

/// Datagrams that answer nothing, after which a request is given up: a late answer or two are usual, a
/// stream is not.
const STRAYS: u32 = 64;

/// What a request goes out on and answers come in from: the network, or a script.
pub(super) trait Line: Send + Sync {
    /// Sends one datagram.
    fn put(&self, datagram: &[u8]) -> impl Future<Output = io::Result<()>> + Send;
    /// Waits for the next.
    fn take(&self) -> impl Future<Output = io::Result<Bytes>> + Send;
    /// Who is asked.
    fn peer(&self) -> SocketAddr;
    /// The number of the next request; `None` for one that nobody can guess.
    fn number(&self) -> Option<i32> {
        None
    }
}

impl Line for UdpSocket {
    async fn put(&self, datagram: &[u8]) -> io::Result<()> {
        self.send(datagram).await.map(drop)
    }

    async fn take(&self) -> io::Result<Bytes> {
        let mut buffer = vec![0; LARGEST];
        let length = self.recv(&mut buffer).await?;
        buffer.truncate(length);
        Ok(buffer.into())
    }

    fn peer(&self) -> SocketAddr {
        self.peer_addr()
            .unwrap_or_else(|_| SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))
    }
}

/// Opens a socket to the first of the addresses that there is a way to.
pub(super) async fn open(addresses: &[SocketAddr]) -> io::Result<UdpSocket> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        let local: SocketAddr = if address.is_ipv6() {
            (Ipv6Addr::UNSPECIFIED, 0).into()
        } else {
            (Ipv4Addr::UNSPECIFIED, 0).into()
        };
        let socket = UdpSocket::bind(local).await?;
        match socket.connect(address).await {
            Ok(()) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The library's way to a [`Line`].
#[derive(Debug)]
pub(super) struct Wire<L> {
    /// The way.
    pub(super) line: L,
    /// Datagrams that answered nothing, since the start.
    pub(super) strays: Arc<AtomicU32>,
}

impl<L: Line> Wire<L> {
    fn broken(&self, source: io::Error) -> Box<Error> {
        Box::new(Error::Network {
            target: self.line.peer(),
            source,
        })
    }
}

impl<L: Line> Transport for Wire<L> {
    async fn send(&self, data: &[u8]) -> Result<()> {
        self.line.put(data).await.map_err(|error| self.broken(error))
    }

    async fn request_with<T, F>(
        &self,
        data: &[u8],
        registration: RequestRegistration,
        mut validate: F,
    ) -> Result<T>
    where
        T: Send,
        F: FnMut(Bytes, SocketAddr) -> Result<Candidate<T>> + Send,
    {
        let target = self.line.peer();
        self.send(data).await?;
        let mut strays = 0;
        while strays < STRAYS {
            let Ok(taken) = timeout_at(registration.deadline(), self.line.take()).await else {
                break;
            };
            let datagram = taken.map_err(|error| self.broken(error))?;
            let fits = registration.evaluate_response_identity(&datagram, true);
            if fits == ResponseIdentity::Match
                && let Candidate::Accept(answer) = validate(datagram, target)?
            {
                return Ok(answer);
            }
            strays += 1;
            self.strays.fetch_add(1, Ordering::Relaxed);
        }
        Err(Box::new(if strays < STRAYS {
            Error::Timeout {
                target,
                elapsed: Duration::ZERO,
                retries: 0,
            }
        } else {
            Error::MalformedResponse { target }
        }))
    }

    fn peer_addr(&self) -> SocketAddr {
        self.line.peer()
    }

    fn local_addr(&self) -> SocketAddr {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    }

    fn alloc_request_id(&self) -> i32 {
        self.line
            .number()
            .unwrap_or_else(async_snmp::transport::alloc_request_id)
    }

    fn is_reliable(&self) -> bool {
        false
    }
}
