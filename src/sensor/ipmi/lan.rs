//! A BMC on the network: whom to ask, with which secrets, and how often after a refusal.

use super::config::{CipherSuite, Entry};
use super::rakp::Console;
use super::session::{Session, Wire, random};
use super::trouble::Trouble;
use super::{Link, dcmi};
use crate::secret::{self, Credentials, Secret, SecretError};
use std::io::{Error, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

/// The longest name and password that IPMI v2.0 has room for, and the length of the BMC's key.
const LONGEST_NAME: usize = 16;
const LONGEST_PASSWORD: usize = 20;
const KEY: usize = 20;

/// A read ends after so many time-outs.
const ANSWERS: u32 = 3;

/// Wait after a first refusal, and the longest.
const FIRST_WAIT: Duration = Duration::from_secs(60);
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// The BMC of an entry.
pub(super) struct Lan {
    host: String,
    port: u16,
    entry: Entry,
    timeout: Duration,
    session: Option<Session>,
    /// The suite to try first.
    suite: CipherSuite,
    refused: Option<Refused>,
}

/// All that proves who asks.
#[derive(Clone, PartialEq)]
struct Secrets {
    credentials: Credentials,
    key: Vec<u8>,
}

/// A refusal, and how long the same secrets are not tried again.
struct Refused {
    secrets: Secrets,
    trouble: Trouble,
    wait: Duration,
    until: Instant,
}

impl Lan {
    pub(super) fn new(host: String, port: u16, entry: Entry, timeout: Duration) -> Self {
        Self {
            host,
            port,
            suite: entry.cipher_suite.unwrap_or(CipherSuite::Seventeen),
            entry,
            timeout,
            session: None,
            refused: None,
        }
    }

    /// Opens a session, unless the same secrets were refused a while ago.
    fn open(&mut self, limit: Instant) -> Result<Session, Trouble> {
        let secrets = Secrets::read(&self.entry)?;
        let now = Instant::now();
        self.refused.take_if(|old| old.secrets != secrets);
        if let Some(old) = self.refused.as_ref().filter(|old| now < old.until) {
            return Err(old.trouble.again());
        }
        let opened = self.negotiate(&secrets, limit);
        match &opened {
            Err(trouble) if trouble.is_refusal() => self.refuse(secrets, trouble, now),
            Err(_) => {}
            Ok(_) => self.refused = None,
        }
        opened
    }

    fn refuse(&mut self, secrets: Secrets, trouble: &Trouble, now: Instant) {
        let wait = match &self.refused {
            Some(old) => (old.wait * 2).min(LONGEST_WAIT),
            None => FIRST_WAIT,
        };
        self.refused = Some(Refused {
            secrets,
            trouble: trouble.again(),
            wait,
            until: now + wait,
        });
    }

    /// Opens a session with the suite that worked last, or with the other where the BMC does not know it.
    fn negotiate(&mut self, secrets: &Secrets, limit: Instant) -> Result<Session, Trouble> {
        let opened = self.open_with(self.suite, secrets, limit);
        let other = match self.suite {
            CipherSuite::Three => CipherSuite::Seventeen,
            CipherSuite::Seventeen => CipherSuite::Three,
        };
        match opened {
            Err(Trouble::Suite) if self.entry.cipher_suite.is_none() => {
                let opened = self.open_with(other, secrets, limit);
                if opened.is_ok() {
                    self.suite = other;
                }
                opened
            }
            // Some say nothing to what they do not know: next time the other one.
            Err(Trouble::Silent { .. }) if self.entry.cipher_suite.is_none() => {
                self.suite = other;
                opened
            }
            opened => opened,
        }
    }

    fn open_with(
        &self,
        suite: CipherSuite,
        secrets: &Secrets,
        limit: Instant,
    ) -> Result<Session, Trouble> {
        let Secrets { credentials, key } = secrets;
        let password = credentials.password.reveal().as_bytes();
        let [tag] = random()?;
        let console = Console {
            suite,
            tag,
            id: u32::from_le_bytes(random()?) | 1,
            random: random()?,
            privilege: self.entry.privilege.level(),
            username: credentials.username.as_bytes(),
            password,
            key: if key.is_empty() { password } else { key },
        };
        let socket = connected(&self.host, self.port).map_err(Trouble::Network)?;
        Session::open(Wire::new(socket, self.timeout), &console, limit)
    }
}

impl Link for Lan {
    fn ask(&mut self) -> Result<Vec<u8>, Trouble> {
        let limit = Instant::now() + self.timeout * ANSWERS;
        if let Some(mut session) = self.session.take() {
            match session.ask(dcmi::NETFN, dcmi::COMMAND, &dcmi::REQUEST, limit) {
                Ok(answer) => {
                    self.session = Some(session);
                    return Ok(answer);
                }
                // A BMC that was restarted has forgotten the session, and says nothing to it.
                Err(Trouble::Silent { .. }) => {}
                Err(trouble) => return Err(trouble),
            }
        }
        let mut session = self.open(limit)?;
        let answer = session.ask(dcmi::NETFN, dcmi::COMMAND, &dcmi::REQUEST, limit)?;
        self.session = Some(session);
        Ok(answer)
    }
}

/// A socket that hears this host alone. Its name is looked up each time, since a BMC's address may change;
/// the resolver has a time-out of its own.
fn connected(host: &str, port: u16) -> Result<UdpSocket, Error> {
    let mut last = Error::new(ErrorKind::NotFound, "the host's name has no address");
    for address in (host, port).to_socket_addrs()? {
        let any: SocketAddr = match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any).and_then(|socket| {
            socket.connect(address)?;
            Ok(socket)
        });
        match socket {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

impl Secrets {
    fn read(entry: &Entry) -> Result<Self, SecretError> {
        const WANTED: &str = "the keys username (up to 16 bytes) and password (up to 20 bytes)";
        let path = &entry.credentials_file;
        let credentials: Credentials = secret::keys(path, WANTED)?;
        let fits = credentials.username.len() <= LONGEST_NAME
            && credentials.password.reveal().len() <= LONGEST_PASSWORD;
        if !fits {
            return Err(malformed(path, WANTED));
        }
        let key = match &entry.kg_file {
            Some(path) => key(path)?,
            None => Vec::new(),
        };
        Ok(Self { credentials, key })
    }
}

/// The BMC's key from its file.
fn key(path: &Path) -> Result<Vec<u8>, SecretError> {
    const WANTED: &str = "a BMC's key: up to 20 characters, or 0x and 40 hexadecimal digits";
    let secret: Secret = secret::line(path, WANTED)?;
    let text = secret.reveal();
    let key = match text.strip_prefix("0x") {
        Some(digits) => hexadecimal(digits),
        None => Some(text.as_bytes().to_vec()).filter(|key| key.len() <= KEY),
    };
    key.ok_or_else(|| malformed(path, WANTED))
}

fn hexadecimal(digits: &str) -> Option<Vec<u8>> {
    let digit = |c: char| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let digits: Vec<u8> = digits.chars().map(digit).collect::<Option<_>>()?;
    let pairs = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]);
    (digits.len() == 2 * KEY).then(|| pairs.collect())
}

fn malformed(path: &Path, wanted: &'static str) -> SecretError {
    SecretError::Malformed {
        path: path.to_owned(),
        wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn lan(host: &str) -> Lan {
        let yaml = format!(
            "sensors: {{ipmi: {{lan: [{{host: {host}, credentials_file: /nowhere}}]}}}}"
        );
        let entry = Config::parse(&yaml).unwrap().sensors.ipmi.lan.0.remove(0);
        Lan::new(host.into(), 623, entry, Duration::from_secs(1))
    }

    #[test]
    fn refused_secrets_are_tried_ever_more_seldom() {
        let secrets: Credentials =
            serde_yaml::from_str("{username: monitor, password: hunter2}").unwrap();
        let secrets = Secrets {
            credentials: secrets,
            key: Vec::new(),
        };
        let mut lan = lan("bmc");
        let now = Instant::now();
        let waits = [1, 2, 4, 8, 16, 32, 60, 60];
        for minutes in waits {
            lan.refuse(secrets.clone(), &Trouble::Password, now);
            let refused = lan.refused.as_ref().unwrap();
            assert_eq!(refused.wait, Duration::from_secs(60 * minutes));
            assert_eq!(refused.until, now + refused.wait);
        }
    }

    #[test]
    fn a_key_is_text_or_hexadecimal() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kg");
        let digits = "00112233445566778899AABBccddeeff01020304";
        for (text, bytes) in [
            ("a key", Some(5)),
            ("twenty bytes of text", Some(20)),
            ("twenty-one bytes long", None),
            ("0x0011", None),
            (&format!("0x{digits}"), Some(20)),
            (&format!("0x{}", &digits[1..]), None),
            (&format!("0x+{}", &digits[1..]), None),
        ] {
            std::fs::write(&path, text).unwrap();
            let found = key(&path);
            assert_eq!(found.as_ref().map(Vec::len).ok(), bytes, "{text}");
            assert!(found.map_or_else(|error| !error.to_string().contains(text), |_| true));
        }
    }

    #[test]
    fn an_address_of_either_kind_has_a_socket() {
        for host in ["127.0.0.1", "localhost"] {
            connected(host, 623).unwrap();
        }
        assert!(connected("no such host", 623).is_err());
    }
}
