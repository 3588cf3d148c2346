//! What goes wrong between here and a PDU, and what a person can do about it. No word of what the peer sent
//! is repeated but numbers, and none of a secret.

use super::config::Version;
use crate::secret::SecretError;
use crate::sensor::{Cause, Fault};
use async_snmp::v3::ReportStatus;
use async_snmp::{Error, ErrorStatus};
use std::io::{self, ErrorKind};

/// A failure without its place.
#[derive(Debug)]
pub(super) struct Trouble {
    cause: Cause,
    mend: String,
    /// The PDU refused the request for one of the objects in it: others may be had.
    pub(super) partial: bool,
    /// The agent answers, and not within this session: a new one may do.
    pub(super) estranged: bool,
}

/// What a PDU is asked by, as far as mends speak of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) version: Version,
    /// Whether datagrams came that answered nothing.
    pub(super) strays: bool,
}

impl Trouble {
    fn new(cause: Cause, mend: impl Into<String>) -> Self {
        Self {
            cause,
            mend: mend.into(),
            partial: false,
            estranged: false,
        }
    }

    fn device(text: impl Into<String>, mend: impl Into<String>) -> Self {
        Self::new(Cause::Device(text.into()), mend)
    }

    fn io(kind: ErrorKind, text: impl Into<String>, mend: impl Into<String>) -> Self {
        Self::new(Cause::Io(io::Error::new(kind, text.into())), mend)
    }

    pub(super) fn fault(self, place: &str) -> Fault {
        Fault {
            place: place.to_owned(),
            cause: self.cause,
            mend: self.mend,
        }
    }

    /// Neither power nor energy.
    pub(super) fn unmeasured() -> Self {
        Self::device(
            "the PDU does not measure this outlet",
            "look up whether the model meters by outlet and how it numbers them; where the PDU feeds this \
             node alone, give whole: true; another kind of PDU needs another model, or model: generic",
        )
    }

    /// A register in steps of so many Wh, and no power.
    pub(super) fn coarse(watt_hours: f64) -> Self {
        Self::device(
            format!(
                "there is no power, and the energy register counts in steps of {watt_hours:.0} Wh"
            ),
            "such steps are too coarse to be booked: let the PDU measure the power of this outlet, or give \
             an OID that does (model: generic)",
        )
    }

    /// Raritan says that it has no value now.
    pub(super) fn unavailable() -> Self {
        Self::device(
            "the PDU says that this sensor is not available now",
            "see the PDU's own page: an outlet board may have failed, or be starting",
        )
    }

    /// Not a kind of value that is understood.
    pub(super) fn odd(what: &str) -> Self {
        Self::new(
            Cause::Parse(what.to_owned()),
            "the object is none that holds power or energy: compare model and oids with the PDU's MIB",
        )
    }

    /// A number that cannot be.
    pub(super) fn absurd(what: &str) -> Self {
        Self::device(
            format!("it reads {what}, which cannot be"),
            "compare model, oids and scale with the PDU's MIB",
        )
    }

    /// A name without an address.
    pub(super) fn nameless(error: &io::Error) -> Self {
        Self::io(
            ErrorKind::NotFound,
            format!("cannot find the address of that name: {error}"),
            "correct host, or give the PDU's address instead of its name; see that this machine's \
             /etc/resolv.conf names a server that knows it (in a pod: dnsPolicy ClusterFirstWithHostNet)",
        )
    }

    /// No socket, no thread's worth of timers.
    pub(super) fn system(error: io::Error) -> Self {
        Self::new(
            Cause::Io(error),
            "let gramwatt open sockets: see its limit of open files, and RestrictAddressFamilies of its unit",
        )
    }

    /// A file of secrets that is of no use.
    pub(super) fn secret(error: &SecretError) -> Self {
        let (kind, mend) = match error {
            SecretError::Unreadable { source, .. } => (
                source.kind(),
                "name a file that is there, and let gramwatt's user read it and nobody else (chmod 0400)",
            ),
            SecretError::Malformed { .. } => (
                ErrorKind::InvalidData,
                "write it anew; it is read again at every turn",
            ),
        };
        Self::io(kind, error.to_string(), mend)
    }

    /// Credentials that the protocol does not allow.
    pub(super) fn unfit(text: &str) -> Self {
        Self::io(
            ErrorKind::InvalidData,
            text,
            "correct the credentials_file; it is read again at every turn",
        )
    }

    /// What the library says.
    pub(super) fn of(error: &Error, terms: Terms) -> Self {
        match error.exchange_source() {
            Error::Timeout { .. } => silence(terms),
            Error::Network { source, .. } => network(source),
            Error::Report { status, .. } => report(status),
            Error::Auth { .. } => Self::io(
                ErrorKind::PermissionDenied,
                "the answer is not signed as this user's would be",
                "see that authentication, privacy and both passwords are those of this user on the PDU",
            ),
            Error::Snmp { status, .. } => Self {
                partial: *status != ErrorStatus::AuthorizationError,
                ..status_of(*status)
            },
            Error::ResponseShape { .. } | Error::MalformedResponse { .. } | Error::Decode(_) => {
                Self::new(
                    Cause::Parse("an answer to something else".to_owned()),
                    "what listens there does not speak SNMP as it should: see that host and port are \
                     the PDU's, and update its firmware",
                )
            }
            other => Self::device(other.kind().as_str(), "report it as a fault of gramwatt"),
        }
    }
}

fn silence(terms: Terms) -> Trouble {
    let (text, what) = match (terms.strays, terms.version) {
        (true, _) => (
            "only answers to something else came in time",
            "see that what listens there is the PDU's SNMP agent, and raise timeout where it is slow",
        ),
        (false, Version::Two) => (
            "no answer in time",
            "see that the PDU is on, lets this machine ask by SNMP v2c, and that every firewall between \
             lets UDP to that port through; and that community_file holds its read community, for a \
             wrong one is not answered",
        ),
        (false, Version::Three) => (
            "no answer in time",
            "see that the PDU is on, lets this machine ask by SNMP v3, and that every firewall between \
             lets UDP to that port through; and that privacy and privacy_password are this user's, for \
             what cannot be deciphered is often not answered",
        ),
    };
    Trouble {
        estranged: terms.strays,
        ..Trouble::io(ErrorKind::TimedOut, text, what)
    }
}

fn network(error: &io::Error) -> Trouble {
    let mend = match error.kind() {
        ErrorKind::ConnectionRefused => {
            "nothing listens on that port: switch the PDU's SNMP agent on, or give its port as host:port"
        }
        _ => {
            "see that this machine has a route to the PDU's network, and that no firewall forbids it"
        }
    };
    let cause = match error.raw_os_error() {
        Some(number) => io::Error::from_raw_os_error(number),
        None => io::Error::new(error.kind(), error.to_string()),
    };
    Trouble::new(Cause::Io(cause), mend)
}

/// What an agent reports of a request that it could not accept (RFC 3414, 3.2).
fn report(status: &ReportStatus) -> Trouble {
    let denied = |text: &str, mend: &str| Trouble::io(ErrorKind::PermissionDenied, text, mend);
    match status {
        ReportStatus::UnknownUserName { .. } => denied(
            "the PDU knows no such user",
            "create the user of credentials_file on the PDU, for SNMP v3 and with the right to read",
        ),
        ReportStatus::WrongDigest { .. } => denied(
            "the PDU does not accept the user's auth_password",
            "see that auth_password in credentials_file and authentication (md5, sha, sha256, ...) are those \
             of this user on the PDU",
        ),
        ReportStatus::DecryptionError { .. } => denied(
            "the PDU cannot decipher the request",
            "see that privacy_password in credentials_file and privacy (aes, des) are those of this user on \
             the PDU",
        ),
        ReportStatus::UnsupportedSecurityLevel { .. } => denied(
            "the PDU does not let this user ask at this level of security",
            "set privacy to what this user has on the PDU: aes, des or none",
        ),
        ReportStatus::NotInTimeWindow { .. } => Trouble::device(
            "the PDU's SNMP clock does not stand still long enough to agree on it",
            "restart the PDU's management module (its outlets stay on), and update its firmware",
        ),
        _ => Trouble::device(
            "the PDU reports that it cannot take the request",
            "see that its SNMP v3 is on, and update its firmware",
        ),
    }
}

fn status_of(status: ErrorStatus) -> Trouble {
    match status {
        ErrorStatus::NoSuchName => Trouble::unmeasured(),
        ErrorStatus::AuthorizationError | ErrorStatus::NoAccess => Trouble::io(
            ErrorKind::PermissionDenied,
            "the PDU does not let this community or user read that",
            "give it the right to read the PDU's whole tree (its view of .1.3.6.1.4.1)",
        ),
        other => Trouble::device(
            format!("the PDU answers with the error {}", other.as_i32()),
            "see the PDU's log, and update its firmware; compare model and outlets with its MIB",
        ),
    }
}
