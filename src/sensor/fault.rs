//! What can go wrong with a reading, in words and as the few reasons that are counted.

/// Why something that is there could not be read. Hardware that is absent is not a fault.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{place}: {cause}")]
pub struct Fault {
    /// The path, address or name that was read.
    pub place: String,
    /// What went wrong.
    pub cause: Cause,
    /// What a person can do about it; empty where nobody knows.
    pub mend: String,
}

/// The ways in which a reading fails.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The operating system said no.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// It was read and is not what it should be. Long or binary content is cut.
    #[error("cannot understand {0:?}")]
    Parse(String),
    /// A library or device answered with an error of its own.
    #[error("{0}")]
    Device(String),
}

/// What the `reason` label can say, so that each can be counted from 0: what [`Fault::reason`] gives, and
/// [`IMPLAUSIBLE`].
pub const REASONS: [&str; 7] = [
    "permission",
    "vanished",
    "timeout",
    "io",
    "parse",
    "device",
    IMPLAUSIBLE,
];

/// The reason of readings that were had and cannot be true.
pub const IMPLAUSIBLE: &str = "implausible";

impl Clone for Cause {
    /// An error of the operating system keeps its number, or else its kind and its words.
    fn clone(&self) -> Self {
        use std::io::Error;
        match self {
            Self::Io(error) => Self::Io(match error.raw_os_error() {
                Some(number) => Error::from_raw_os_error(number),
                None => Error::new(error.kind(), error.to_string()),
            }),
            Self::Parse(text) => Self::Parse(text.clone()),
            Self::Device(text) => Self::Device(text.clone()),
        }
    }
}

impl Fault {
    /// The value of the `reason` label: one of [`REASONS`].
    #[must_use]
    pub fn reason(&self) -> &'static str {
        use std::io::ErrorKind as E;
        match &self.cause {
            Cause::Io(e) if e.kind() == E::PermissionDenied => "permission",
            Cause::Io(e) if e.kind() == E::NotFound => "vanished",
            Cause::Io(e) if e.kind() == E::TimedOut => "timeout",
            Cause::Io(_) => "io",
            Cause::Parse(_) => "parse",
            Cause::Device(_) => "device",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_in_the_list() {
        use std::io::ErrorKind as E;
        let io =
            [E::PermissionDenied, E::NotFound, E::TimedOut, E::Other].map(|e| Cause::Io(e.into()));
        let others = [Cause::Parse(String::new()), Cause::Device(String::new())];
        let told = io.into_iter().chain(others).map(|cause| {
            let fault = Fault {
                place: String::new(),
                cause,
                mend: String::new(),
            };
            fault.reason()
        });
        assert!(told.chain([IMPLAUSIBLE]).eq(REASONS));
    }
}
