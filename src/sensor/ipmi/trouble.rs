//! What can go wrong with a BMC, in words, and what a person does about it.

use crate::secret::SecretError;
use crate::sensor::{Cause, Fault};
use std::io::{Error, ErrorKind};
use std::time::Duration;

/// Why there is no answer, or none that is of use.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The kernel's device said no.
    #[error("{0}")]
    Device(Error),
    /// What should be a device is none.
    #[error("is not a device")]
    NoDevice,
    /// The network said no.
    #[error("{0}")]
    Network(Error),
    /// The BMC behind the kernel's device did not answer in time.
    #[error("no answer within {0:?}")]
    Stuck(Duration),
    /// Nobody on the network answered in time.
    #[error("no answer within {waited:?}{}", but(*.strangers))]
    Silent {
        /// How long was waited.
        waited: Duration,
        /// Packets that came and were no answer.
        strangers: u32,
    },
    /// The file with the credentials, or with the BMC's key, is of no use.
    #[error("{0}")]
    Secrets(#[from] SecretError),
    /// The BMC knows the account by another password, or has a key (K_G) of its own.
    #[error("the BMC does not accept the password")]
    Password,
    /// The session cannot be had.
    #[error("the BMC refuses the session: {words} (status {0:#04x})", words = status(*.0))]
    Status(u8),
    /// The BMC speaks none of our cipher suites.
    #[error("the BMC speaks none of the cipher suites that it was asked for")]
    Suite,
    /// The command failed.
    #[error("completion code {0:#04x}: {words}", words = code(*.0))]
    Code(u8),
    /// The BMC does not know the command.
    #[error("the BMC has no DCMI power reading (completion code {0:#04x}: {words})", words = code(*.0))]
    NoDcmi(u8),
    /// The BMC could measure, and does not.
    #[error("its power measurement is not active")]
    Inactive,
    /// What came is no answer to the question.
    #[error("no answer to the question")]
    Malformed(Vec<u8>),
    /// Power that cannot be true.
    #[error("the BMC says {0} W while it measures")]
    Absurd(u16),
}

fn but(count: u32) -> String {
    match count {
        0 => String::new(),
        count => format!(", but {count} packets that are none"),
    }
}

/// Status codes of RMCP+ (IPMI v2.0, table 13-15).
fn status(code: u8) -> &'static str {
    match code {
        0x01 => "it has no session to spare",
        0x02 | 0x08 => "it has forgotten the session",
        0x09 => "it does not know the role",
        0x0a => "the account may not have this privilege",
        0x0b => "it has no session of this privilege to spare",
        0x0c | 0x0d => "it does not know the account",
        0x0f => "it does not accept the password",
        0x12 => "it does not understand a parameter",
        _ => "for a reason of its own",
    }
}

/// Completion codes (IPMI v2.0, table 5-2).
fn code(code: u8) -> &'static str {
    match code {
        0xc0 => "the BMC is busy",
        0xc1 => "it does not know the command",
        0xc2 => "it does not know the command for this logical unit",
        0xc3 => "the BMC itself gave up waiting",
        0xc4 => "it is out of space",
        0xc7 | 0xc8 => "it finds the length of the request wrong",
        0xc9 => "it finds a parameter out of range",
        0xcb => "it has no such sensor",
        0xcc => "it finds a field invalid",
        0xce => "it cannot answer now",
        0xd0 => "its sensor repository is being updated",
        0xd1 => "its firmware is being updated",
        0xd2 => "it is starting",
        0xd3 => "what it would have to ask is not there",
        0xd4 => "the privilege is not enough",
        0xd5 => "not in its present state",
        0xd6 => "the command is switched off",
        0xff => "unspecified error",
        _ => "an error of its maker's",
    }
}

impl Trouble {
    /// Whether asking again soon could lock the account.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Password | Self::Status(0x09 | 0x0a | 0x0c | 0x0d | 0x0f))
    }

    /// The same refusal once more.
    pub(super) fn again(&self) -> Self {
        match self {
            Self::Status(status) => Self::Status(*status),
            _ => Self::Password,
        }
    }

    /// As a fault of what is at `place`.
    #[must_use]
    pub fn fault(self, place: &str) -> Fault {
        let mend = self.mend();
        let text = self.to_string();
        let io = |kind| Cause::Io(Error::new(kind, text.clone()));
        let cause = match self {
            Self::Device(error) | Self::Network(error) => Cause::Io(error),
            Self::Secrets(SecretError::Unreadable { source, .. }) => {
                Cause::Io(Error::new(source.kind(), text))
            }
            Self::Silent { .. } | Self::Stuck(_) | Self::Code(0xc3) => io(ErrorKind::TimedOut),
            Self::Code(0xd4) => io(ErrorKind::PermissionDenied),
            Self::Malformed(bytes) => Cause::Parse(hex(&bytes)),
            _ if self.is_refusal() => io(ErrorKind::PermissionDenied),
            _ => Cause::Device(text),
        };
        Fault {
            place: place.to_owned(),
            cause,
            mend: mend.to_owned(),
        }
    }

    fn mend(&self) -> &'static str {
        match self {
            Self::Device(error) => device(error),
            Self::NoDevice => "write the BMC's device in sensors.ipmi.device, such as /dev/ipmi0",
            Self::Network(error) => network(error),
            Self::Silent { .. } => {
                "see that the BMC is up, that IPMI over LAN (v2.0, UDP port 623) is switched on there, and that \
                 no firewall is between; one that is slow needs a longer sensors.ipmi.timeout"
            }
            Self::Stuck(_) => {
                "a BMC that is slow needs a longer sensors.ipmi.timeout; one that hangs needs a restart: \
                 ipmitool mc reset cold"
            }
            Self::Secrets(_) => {
                "write a file that gramwatt can read: the keys username and password in credentials_file, the \
                 key alone in kg_file"
            }
            Self::Password | Self::Status(0x0f) => {
                "write the right password in credentials_file, and the BMC's key (K_G) in kg_file if it has \
                 one; it is tried again when a file changes, and else ever more seldom, up to once an hour, \
                 so that the account is not locked"
            }
            Self::Status(0x01 | 0x0b) => {
                "close sessions of others, or restart the BMC (ipmitool mc reset cold): sessions that nobody \
                 closed end by themselves after a minute"
            }
            Self::Status(0x0c | 0x0d) => {
                "write an account that the BMC has, with IPMI over LAN allowed, in credentials_file; it is \
                 tried again when the file changes, and else ever more seldom, up to once an hour"
            }
            Self::Status(0x09 | 0x0a) => {
                "give the account this privilege on the BMC's LAN channel, or ask for less with privilege"
            }
            Self::Suite => {
                "allow cipher suite 17 or 3 on the BMC's LAN channel, or leave cipher_suite out"
            }
            Self::Code(0xd4) => "ask for more with privilege: operator or administrator",
            Self::Code(0xc7..=0xc9 | 0xcc) => {
                "the BMC does not know system power statistics: update its firmware, or switch the sensor off"
            }
            Self::Code(0xd6) => "switch the command on in the BMC's firmware firewall",
            Self::NoDcmi(_) => {
                "take the BMC out of sensors.ipmi, and use sensors.redfish where it has that"
            }
            Self::Inactive => {
                "switch power monitoring on in the BMC (`ipmitool dcmi power reading` shows its state), or take \
                 it out of sensors.ipmi; one that is starting does so by itself"
            }
            Self::Code(_) | Self::Status(_) | Self::Malformed(_) => {
                "compare with `ipmitool dcmi power reading`; if that fails too, restart the BMC \
                 (ipmitool mc reset cold) or update its firmware"
            }
            Self::Absurd(_) => {
                "update the BMC's firmware, or switch the sensor off; see what `ipmitool dcmi power reading` says"
            }
        }
    }
}

fn device(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::PermissionDenied => {
            "run as root, or let gramwatt's user read the device (udev: KERNEL==\"ipmi*\", MODE=\"0640\", \
             GROUP=\"gramwatt\"); a container needs the device too (--device=/dev/ipmi0, or a privileged pod)"
        }
        ErrorKind::NotFound => {
            "load the driver: modprobe -a ipmi_si ipmi_devintf; in a container pass the device on \
             (--device=/dev/ipmi0)"
        }
        // ENOTTY, EINVAL.
        _ if matches!(error.raw_os_error(), Some(25 | 22)) => {
            "this is no IPMI device: write the BMC's in sensors.ipmi.device, such as /dev/ipmi0"
        }
        _ => "see dmesg for ipmi_si; restart the BMC (ipmitool mc reset cold)",
    }
}

fn network(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::ConnectionRefused => {
            "nobody listens there: switch IPMI over LAN on in the BMC, or mend host in sensors.ipmi.lan"
        }
        _ => "see that the host's name is right in sensors.ipmi.lan, and that a route leads there",
    }
}

fn hex(bytes: &[u8]) -> String {
    let shown = bytes.iter().take(32);
    let text: Vec<String> = shown.map(|byte| format!("{byte:02x}")).collect();
    text.join(" ")
}
