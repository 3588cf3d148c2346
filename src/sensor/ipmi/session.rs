//! A session with a BMC: opened, asked, closed.

use super::crypto::{BLOCK, Keys};
use super::packet;
use super::rakp::{self, Amiss, Console, Managed};
use super::trouble::Trouble;
use rustix::rand::{GetRandomFlags, getrandom};
use std::io::{Error, ErrorKind};
use std::net::UdpSocket;
use std::time::{Duration, Instant};

/// How often a packet is sent before nobody has answered.
const TRIES: u32 = 3;

/// Packets that are no answer, after which one is no longer waited for.
const MOST_STRANGERS: u32 = 100;

/// Network function and commands of sessions (IPMI v2.0, 22.18 and 22.19).
const APP: u8 = 0x06;
const SET_PRIVILEGE: u8 = 0x3b;
const CLOSE: u8 = 0x3c;

/// The privilege that a session begins with.
const USER: u8 = 2;

/// A socket, and how long it is listened to.
pub(super) struct Wire {
    socket: UdpSocket,
    /// For an answer.
    timeout: Duration,
}

impl Wire {
    /// `socket` is connected: the kernel keeps packets of others away.
    pub(super) fn new(socket: UdpSocket, timeout: Duration) -> Self {
        Self { socket, timeout }
    }

    /// Sends what `packet` makes, up to [`TRIES`] times, until `accept` has taken an answer.
    fn exchange<T>(
        &self,
        limit: Instant,
        mut packet: impl FnMut() -> Result<Vec<u8>, Trouble>,
        mut accept: impl FnMut(&[u8]) -> Result<T, Amiss>,
    ) -> Result<T, Trouble> {
        let begin = Instant::now();
        let mut strangers = 0;
        for attempt in 1..=TRIES {
            let end = (begin + self.timeout * attempt / TRIES).min(limit);
            let packet = packet()?;
            self.socket.send(&packet).map_err(Trouble::Network)?;
            while let Some(packet) = self.hear(end)? {
                match accept(&packet) {
                    Ok(answer) => return Ok(answer),
                    Err(Amiss::Stranger) => strangers += 1,
                    Err(amiss) => return Err(amiss.into()),
                }
                if strangers >= MOST_STRANGERS {
                    break;
                }
            }
            if strangers >= MOST_STRANGERS || Instant::now() >= limit {
                break;
            }
        }
        Err(Trouble::Silent {
            // What was granted, not what a busy machine made of it: the words stay the same.
            waited: self.timeout,
            strangers,
        })
    }

    /// The next packet, if one comes in time.
    fn hear(&self, end: Instant) -> Result<Option<Vec<u8>>, Trouble> {
        let mut buffer = [0; packet::LARGEST + 1];
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let set = self.socket.set_read_timeout(Some(left));
            set.map_err(Trouble::Network)?;
            match self.socket.recv(&mut buffer) {
                Ok(length) => return Ok(buffer.get(..length).map(<[u8]>::to_vec)),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => return Ok(None),
                    ErrorKind::Interrupted => {}
                    _ => return Err(Trouble::Network(error)),
                },
            }
        }
    }
}

impl From<Amiss> for Trouble {
    fn from(amiss: Amiss) -> Self {
        match amiss {
            Amiss::Stranger => Self::Malformed(Vec::new()),
            Amiss::Status(status) => Self::Status(status),
            Amiss::Proof => Self::Password,
            Amiss::Suite => Self::Suite,
        }
    }
}

/// Random bytes of the kernel's.
pub(super) fn random<const N: usize>() -> Result<[u8; N], Trouble> {
    let mut bytes = [0; N];
    // Up to 256 bytes come whole.
    match getrandom(&mut bytes[..], GetRandomFlags::empty()) {
        Ok(length) if length == N => Ok(bytes),
        Ok(_) => Err(Trouble::Device(Error::other("too few random bytes"))),
        Err(error) => Err(Trouble::Device(error.into())),
    }
}

/// An open session.
pub(super) struct Session {
    wire: Wire,
    keys: Keys,
    /// What we are called.
    console: u32,
    /// What the BMC calls itself.
    managed: u32,
    /// Sequence number of the last packet sent, and of the last one heard.
    sent: u32,
    heard: u32,
    /// Number of the last request, 0 to 63.
    number: u8,
}

impl Session {
    /// Opens one before `limit`.
    pub(super) fn open(wire: Wire, console: &Console, limit: Instant) -> Result<Self, Trouble> {
        let id = wire.exchange(
            limit,
            || Ok(console.open()),
            |packet| console.opened(payload(rakp::OPENED, packet)?),
        )?;
        let managed: Managed = wire.exchange(
            limit,
            || Ok(console.first(id)),
            |packet| console.second(id, payload(rakp::SECOND, packet)?),
        )?;
        // To a BMC that does not know the password nothing more is said: what we would prove with it could be
        // guessed from.
        let keys = wire.exchange(
            limit,
            || Ok(console.third(&managed)),
            |packet| console.fourth(&managed, payload(rakp::FOURTH, packet)?),
        )?;
        let mut session = Self {
            wire,
            keys,
            console: console.id,
            managed: id,
            sent: 0,
            heard: 0,
            number: 0,
        };
        if console.privilege > USER {
            let answer = session.ask(APP, SET_PRIVILEGE, &[console.privilege], limit)?;
            match answer.first() {
                Some(0) => {}
                // Not available to the account, beyond its limit, cannot be had.
                Some(0x80..=0x82) => return Err(Trouble::Status(0x0a)),
                code => return Err(Trouble::Code(code.copied().unwrap_or(0xff))),
            }
        }
        Ok(session)
    }

    /// Asks, and gives the answer from its completion code on.
    pub(super) fn ask(
        &mut self,
        netfn: u8,
        command: u8,
        data: &[u8],
        limit: Instant,
    ) -> Result<Vec<u8>, Trouble> {
        self.number = (self.number + 1) % 64;
        let Self {
            wire,
            keys,
            console,
            managed,
            sent,
            heard,
            number,
        } = self;
        let message = packet::request(netfn, *number, command, data);
        wire.exchange(
            limit,
            || sealed(keys, *managed, sent, &message),
            |packet| {
                let unsealed = packet::unseal(keys, *console, packet);
                let (sequence, message) = unsealed.ok_or(Amiss::Stranger)?;
                // One that was heard before is somebody's echo.
                if sequence <= *heard {
                    return Err(Amiss::Stranger);
                }
                *heard = sequence;
                let answer = packet::answer(netfn, *number, command, &message);
                answer.map(<[u8]>::to_vec).ok_or(Amiss::Stranger)
            },
        )
    }
}

/// The message in a packet with the next sequence number. None is used twice: a session ends before.
fn sealed(keys: &Keys, managed: u32, sent: &mut u32, message: &[u8]) -> Result<Vec<u8>, Trouble> {
    let spent = || Trouble::Device(Error::other("the session has run out of numbers"));
    *sent = sent.checked_add(1).ok_or_else(spent)?;
    let iv: [u8; BLOCK] = random()?;
    packet::seal(keys, managed, *sent, iv, message).ok_or_else(spent)
}

fn payload(kind: u8, packet: &[u8]) -> Result<&[u8], Amiss> {
    packet::unwrap(kind, packet).ok_or(Amiss::Stranger)
}

impl Drop for Session {
    /// Tells the BMC, which has few sessions, and does not wait for what it says: one that does not hear of
    /// it ends the session by itself after a minute.
    fn drop(&mut self) {
        let number = (self.number + 1) % 64;
        let message = packet::request(APP, number, CLOSE, &self.managed.to_le_bytes());
        if let Ok(packet) = sealed(&self.keys, self.managed, &mut self.sent, &message) {
            let _ = self.wire.socket.send(&packet);
        }
    }
}
