//! What a machine's management controller (BMC) says that the node draws, by IPMI's data center extension
//! (DCMI): through the kernel's device, or over the network.
//!
//! **One meter, once.** The node adds up what one family reads of one class, so that a BMC must not be read
//! by two ways: where `lan` names BMCs, this machine's own device is left alone unless `device` names it.
//!
//! **Slow, and dear.** A reading takes 110 to 170 ms of a busy little processor, and minutes where that is
//! in trouble: each BMC is asked every 10 seconds, one question at a time, by a thread of its own, which
//! gives up at the time-out. The device is waited for with poll(2); should the kernel itself not come back
//! (its driver hangs in open, ioctl or close), that thread is lost, and nothing else: its sensor goes
//! silent, which the page tells, and a restart is the mend.
//!
//! **Over the network** we speak RMCP+ (IPMI v2.0) with cipher suites 17 and 3, and nothing older: sessions of
//! v1.5 send what is as good as the password, and BMCs refuse them by now.

pub mod config;
mod crypto;
pub mod dcmi;
mod device;
mod discovery;
mod lan;
mod packet;
mod rakp;
mod session;
mod trouble;

pub use config::Config;
pub use discovery::discover;

use super::{
    About, Fault, MeterClass, Part, Reading, Readings, Scope, Sensor, Source, Value,
};
use crate::units::Watts;
use dcmi::Power;
use std::sync::Arc;
use std::time::Duration;
use trouble::Trouble;

/// One line for `doctor` and the reference.
pub const SUMMARY: &str = "The node's power as its BMC tells it (IPMI DCMI), by /dev/ipmi0 or over LAN";

/// The most that is believed: the field has 16 bits.
const CEILING: Watts = Watts(65_535.0);

/// Reads that are left out after a BMC that nobody named has said that it does not measure: it will hardly
/// change its mind, unless its firmware is updated or its owner switches measuring on. One that has
/// measured before may say so while it starts.
const READS_LEFT_OUT: u32 = 29;

/// Hears a packet as if a BMC had sent it, at every turn of a session. For those who try it with any bytes:
/// no BMC's secrets are needed to get so far.
pub fn hear(packet: &[u8]) {
    for suite in [config::CipherSuite::Three, config::CipherSuite::Seventeen] {
        let console = rakp::Console {
            suite,
            tag: 0x42,
            id: 0x1122_3344,
            random: [0; 16],
            privilege: 2,
            username: b"monitor",
            password: b"",
            key: b"",
        };
        let plain = |kind| packet::unwrap(kind, packet);
        let _ = plain(rakp::OPENED).map(|payload| console.opened(payload));
        let _ = plain(rakp::SECOND).map(|payload| console.second(1, payload));
        let managed = rakp::Managed {
            id: 1,
            random: [0; 16],
            guid: [0; 16],
        };
        let _ = plain(rakp::FOURTH).map(|payload| console.fourth(&managed, payload));
        let keys = crypto::Keys::new(suite, Vec::new());
        let _ = packet::unseal(&keys, console.id, packet);
        // What follows once the code is right.
        let _ = packet::decrypt(&keys, packet);
        let _ = packet::answer(dcmi::NETFN, 5, dcmi::COMMAND, packet);
    }
}

/// A way to a BMC.
trait Link: Send {
    /// Asks DCMI's question, and gives the answer from its completion code on.
    fn ask(&mut self) -> Result<Vec<u8>, Trouble>;
}

/// One BMC.
struct Bmc {
    name: Arc<str>,
    /// What is named in faults: a path, or host and port.
    place: String,
    source: Arc<Source>,
    link: Box<dyn Link>,
    interval: Duration,
    /// Whether it must not be without power readings: a person has named it, or it had some.
    must_tell: bool,
    /// Why it has nothing to tell, and for how many reads it is not asked again.
    silence: Option<(String, u32)>,
}

impl Bmc {
    fn new(name: &str, place: String, link: Box<dyn Link>, config: &Config, is_named: bool) -> Self {
        let source = Source {
            part: Part::Meter {
                id: name.into(),
                scope: Scope::Node(MeterClass::Bmc),
            },
            about: About::default(),
            ceiling: CEILING,
            holds: &[],
        };
        Self {
            name: name.into(),
            place,
            source: Arc::new(source),
            link,
            interval: config.interval.duration(),
            must_tell: is_named,
            silence: None,
        }
    }

    fn power(&mut self) -> Result<Option<Watts>, Fault> {
        if let Some((_, left @ 1..)) = &mut self.silence {
            *left -= 1;
            return Ok(None);
        }
        let answer = self.link.ask();
        let power = answer.and_then(|answer| dcmi::parse(&answer));
        let silence = match power {
            Ok(Power::Watts(watts)) => {
                self.silence = None;
                self.must_tell = true;
                return Ok(Some(watts));
            }
            Ok(Power::Unknown(code)) => Trouble::NoDcmi(code),
            Ok(Power::Inactive) => Trouble::Inactive,
            Err(trouble) => {
                self.silence = None;
                return Err(trouble.fault(&self.place));
            }
        };
        if self.must_tell {
            return Err(silence.fault(&self.place));
        }
        self.silence = Some((silence.to_string(), READS_LEFT_OUT));
        Ok(None)
    }
}

impl Sensor for Bmc {
    fn name(&self) -> &str {
        &self.name
    }

    fn read(&mut self) -> Readings {
        let mut readings = Readings::default();
        match self.power() {
            Ok(Some(watts)) => {
                let reading = Reading::new(&self.source, Value::Power(watts));
                readings.good.push(reading);
            }
            Ok(None) => {}
            Err(fault) => readings.bad.push(fault),
        }
        readings
    }

    fn pace(&self, _wanted: Duration) -> Duration {
        self.interval
    }

    fn silence(&self) -> Option<&str> {
        self.silence.as_ref().map(|(why, _)| why.as_str())
    }
}

#[cfg(test)]
mod tests;
