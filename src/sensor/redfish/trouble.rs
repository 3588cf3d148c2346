//! What goes wrong between here and a BMC, in words for people, each with its mend. No secret is in any of them.

use crate::http;
use crate::secret::SecretError;
use crate::sensor::{Cause, Fault};
use std::io;

/// Why something of a BMC could not be read.
#[derive(Debug)]
pub enum Trouble {
    /// There is no answer.
    Unanswered(http::Error),
    /// There is no password to log in with.
    Secret(SecretError),
    /// It does not take the password.
    Refused {
        /// What it said.
        said: String,
    },
    /// It cannot log anybody in.
    NoLogin {
        /// What it said.
        said: String,
    },
    /// It did not log in before, and is left alone for a while.
    Held {
        /// What it said then.
        said: String,
        /// Reads until it is asked again.
        reads: u32,
        /// Whether it was the password.
        refused: bool,
    },
    /// It sends us elsewhere.
    Elsewhere,
    /// It answers with a bad status.
    Status {
        /// Which.
        status: u16,
        /// What it said, in Redfish's own words.
        said: String,
    },
    /// It answers with what is no Redfish.
    Garbage(String),
    /// The time for one read is over.
    Overdue,
    /// A figure that cannot be.
    Odd {
        /// Which property.
        property: &'static str,
        /// What it says.
        value: String,
    },
    /// A figure that was there before, or should be.
    Untold(&'static str),
    /// 0 W, from a machine that runs.
    Nothing(&'static str),
    /// Chassis that the configuration names are not there.
    NoChassis {
        /// Those.
        named: String,
        /// Those that are.
        there: String,
    },
    /// No chassis tells power.
    NoPower(String),
    /// It is not clear whose power this is.
    Whose {
        /// Chassis that tell power.
        chassis: String,
        /// Computers that they hold.
        computers: usize,
    },
}

impl Trouble {
    /// Whether the BMC need not be asked for more before the next read.
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Unanswered(_)
                | Self::Secret(_)
                | Self::Refused { .. }
                | Self::NoLogin { .. }
                | Self::Held { .. }
                | Self::Elsewhere
                | Self::Overdue
        )
    }

    /// As a fault of what is at `place`.
    pub fn fault(self, place: &str) -> Fault {
        let mend = self.mend();
        let place = match &self {
            Self::Secret(SecretError::Unreadable { path, .. } | SecretError::Malformed { path, .. })
            | Self::Unanswered(http::Error::Authorities { path, .. }) => path.display().to_string(),
            _ => place.to_owned(),
        };
        Fault {
            place,
            cause: self.cause(),
            mend,
        }
    }

    fn mend(&self) -> String {
        match self {
            Self::Unanswered(error) => return unanswered(error),
            Self::Secret(_) => {
                "credentials_file: write a YAML file with the keys username and password, readable by the user that \
                 gramwatt runs as"
            }
            Self::Refused { .. } | Self::Held { refused: true, .. } => {
                "put the name and password of an account of the BMC into credentials_file: a file that has changed is \
                 tried at once; an account may also be locked, or lack the privilege Login (the role ReadOnly has it)"
            }
            Self::NoLogin { .. } | Self::Held { .. } => {
                "end sessions that nobody uses (DELETE /redfish/v1/SessionService/Sessions/ID, or the BMC's web page), or \
                 set auth: basic, which needs none"
            }
            Self::Elsewhere => {
                "give the URL at which the BMC itself answers: the password is sent to no other host"
            }
            Self::Status { status: 401 | 403, .. } => {
                "give the account the role ReadOnly on the BMC, or another one with the privilege Login"
            }
            Self::Status { status: 404, .. } => {
                "check the URL: a BMC with Redfish answers at /redfish/v1/; it may be switched off in its settings"
            }
            Self::Status { .. } => {
                "the BMC is at fault: see its log, update its firmware, or restart it (Manager.Reset)"
            }
            Self::Garbage(_) => {
                "check the URL: this is not Redfish, but perhaps a proxy's or a web server's page"
            }
            Self::Overdue => {
                "name this node's chassis (chassis: [...]), so that no others are looked at; or raise interval"
            }
            Self::Odd { .. } | Self::Untold(_) | Self::Nothing(_) => {
                "the BMC cannot read its own sensor: see its log, update its firmware, or restart it (Manager.Reset)"
            }
            Self::NoChassis { .. } => "chassis: name some of those that are there, or leave it out",
            Self::NoPower(_) => {
                "update the BMC's firmware; if it still tells no power, take it out of sensors.redfish"
            }
            Self::Whose { .. } => {
                "say which of them is this node: chassis: [...], in the entry of this BMC"
            }
        }
        .to_owned()
    }

    fn cause(self) -> Cause {
        let device = |text: String| Cause::Device(text);
        let io = |kind: io::ErrorKind, text: String| Cause::Io(io::Error::new(kind, text));
        match self {
            Self::Unanswered(http::Error::Io(error)) => Cause::Io(error),
            Self::Unanswered(http::Error::Authorities { reason, .. }) => device(reason),
            Self::Unanswered(error @ http::Error::Late(_)) => {
                io(io::ErrorKind::TimedOut, error.to_string())
            }
            Self::Unanswered(error) => io(io::ErrorKind::Other, error.to_string()),
            Self::Secret(SecretError::Unreadable { source, .. }) => Cause::Io(source),
            Self::Secret(SecretError::Malformed { wanted, .. }) => {
                device(format!("this is not {wanted}"))
            }
            Self::Refused { said } => io(
                io::ErrorKind::PermissionDenied,
                format!("it does not log in who is named in credentials_file ({said})"),
            ),
            Self::NoLogin { said } => device(format!("it gives no session ({said})")),
            Self::Held { said, reads, refused } => {
                let text = format!(
                    "it did not log in ({said}); it is asked again in {reads} reads, lest the account be locked"
                );
                match refused {
                    true => io(io::ErrorKind::PermissionDenied, text),
                    false => device(text),
                }
            }
            Self::Elsewhere => device("it redirects to another host, which is not followed".to_owned()),
            Self::Status { status, said } => {
                let kind = match status {
                    401 | 403 => io::ErrorKind::PermissionDenied,
                    404 | 410 => io::ErrorKind::NotFound,
                    _ => return device(format!("it answers with status {status}{said}")),
                };
                io(kind, format!("it answers with status {status}{said}"))
            }
            Self::Garbage(shown) => Cause::Parse(shown),
            Self::Overdue => io(
                io::ErrorKind::TimedOut,
                "not all of it could be read in the time of one read".to_owned(),
            ),
            Self::Odd { property, value } => Cause::Parse(format!("{property}: {value}")),
            Self::Untold(property) => device(format!("it does not tell {property}")),
            Self::Nothing(property) => {
                device(format!("{property} is 0, which a machine that runs cannot draw"))
            }
            Self::NoChassis { named, there } => {
                device(format!("there is no chassis {named}; there are: {there}"))
            }
            Self::NoPower(chassis) => device(format!("none of its chassis tells power: {chassis}")),
            Self::Whose { chassis, computers } => device(format!(
                "the power of {chassis} is shared by {computers} computers, and is not booked as this node's"
            )),
        }
    }
}

fn unanswered(error: &http::Error) -> String {
    match error {
        http::Error::Tls(_) => {
            "give the authority of the BMC's certificate, or that certificate itself, as ca_file, and the name that \
             it was made out to in url; see to its dates and this machine's clock; or, where nobody can be on the way, \
             insecure_skip_verify: true"
                .to_owned()
        }
        http::Error::Late(_) => {
            "see whether the BMC answers from here at all (curl -k URL/redfish/v1/), and what lies between; raise \
             timeout where it is slow"
                .to_owned()
        }
        other => other.mend().to_owned(),
    }
}
