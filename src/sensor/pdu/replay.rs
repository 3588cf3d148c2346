//! A PDU whose datagrams are known beforehand: what tests and the fuzzer hear it say.

use super::config::Pdu;
use super::model::Question;
use super::session::{self, Manner};
use super::trouble::{Terms, Trouble};
use super::wire::{Line, Wire};
use super::{Feed, feeds, readings};
use crate::sensor::Readings;
use async_snmp::{Auth, AuthProtocol, MasterKeys, PrivProtocol, UsmConfig};
use bytes::Bytes;
use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex};
use tokio::runtime::Runtime;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The community `public`.
    Community,
    /// The user `ada`, who signs and hides, by the passwords `authauth` and `privpriv`.
    User,
    /// The user `bob`, who does neither: our configuration has none such, and what he hears is decoded
    /// just as what is signed.
    Anybody,
}

/// A PDU that can be asked again and again, each time with other answers.
pub struct Replay {
    auth: Auth,
    manner: Manner,
    feeds: Vec<Feed>,
    runtime: Runtime,
}

impl Replay {
    /// One as an entry of the configuration describes it; `None` where the system gives no timers.
    #[must_use]
    pub fn new(pdu: &Pdu, who: Who) -> Option<Self> {
        let auth = match who {
            Who::Community => Auth::v2c("public"),
            Who::Anybody => Auth::usm("bob"),
            Who::User => {
                let keys = MasterKeys::new(AuthProtocol::Sha1, b"authauth").ok()?;
                let keys = keys.with_privacy(PrivProtocol::Aes128, b"privpriv").ok()?;
                UsmConfig::new("ada").with_master_keys(keys).ok()?.into()
            }
        };
        let entry = pdu.entry();
        let outlets = entry.outlets.as_ref().map_or(&[][..], |o| o.of(""));
        Some(Self {
            auth,
            manner: Manner::new(pdu, str::to_owned),
            feeds: feeds(entry, &entry.host, &entry.host, outlets),
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .ok()?,
        })
    }

    /// What a PDU is read as that says this, whatever it is asked; each request has the number 1.
    pub fn hear<D: Into<Bytes>>(&self, datagrams: impl IntoIterator<Item = D>) -> Readings {
        let strays = Arc::new(AtomicU32::new(0));
        let wire = Wire {
            line: Script(Mutex::new(datagrams.into_iter().map(Into::into).collect())),
            strays: Arc::clone(&strays),
        };
        let terms = Terms {
            version: self.manner.version,
            strays: false,
        };
        let client = self.manner.client(self.auth.clone(), wire);
        let questions: Vec<&Question> = self.feeds.iter().map(|feed| &feed.question).collect();
        let answers = client
            .map_err(|error| Trouble::of(&error, terms))
            .and_then(|client| {
                let asking = session::ask(&client, &strays, &self.manner, &questions);
                self.runtime.block_on(asking)
            });
        readings(&self.manner.host, &self.feeds, &mut false, answers)
    }
}

/// The datagrams that are still to come.
struct Script(Mutex<VecDeque<Bytes>>);

impl Line for Script {
    async fn put(&self, _datagram: &[u8]) -> io::Result<()> {
        Ok(())
    }

    async fn take(&self) -> io::Result<Bytes> {
        let mut left = self.0.lock().map_err(|_| io::ErrorKind::Other)?;
        Ok(left.pop_front().ok_or(io::ErrorKind::UnexpectedEof)?)
    }

    fn peer(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, 161).into()
    }

    fn number(&self) -> Option<i32> {
        Some(1)
    }
}
