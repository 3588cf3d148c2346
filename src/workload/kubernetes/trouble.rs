//! What goes wrong between here and Kubernetes, and what a person does about it.

use crate::sensor::{Cause, Fault};
use std::io;
use std::path::Path;
use tonic::{Code, Status};

/// Largest text of somebody else's that is shown.
const LONGEST: usize = 200;

pub(super) fn fault(place: impl Into<String>, cause: Cause, mend: impl Into<String>) -> Fault {
    Fault {
        place: place.into(),
        cause,
        mend: mend.into(),
    }
}

/// A text of somebody else's, for people: one line, and short.
pub(super) fn words(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(LONGEST).collect()
}

/// Why a socket of the kubelet's cannot be used.
pub(super) fn socket(path: &Path, error: io::Error) -> Fault {
    let folder = path.parent().unwrap_or(path).display();
    let mend = match error.kind() {
        io::ErrorKind::NotFound => format!(
            "start the kubelet; in a container mount its directory {folder} (hostPath, read-only), and not the \
             socket, which is made anew with every start"
        ),
        io::ErrorKind::PermissionDenied => {
            "run as root (uid 0, no capabilities are needed): the kubelet's sockets are root's"
                .to_owned()
        }
        io::ErrorKind::ConnectionRefused => format!(
            "the kubelet that made this socket is gone: start it, or in a container mount the directory \
             {folder} and not the socket"
        ),
        _ => "see whether the kubelet runs".to_owned(),
    };
    fault(path.display().to_string(), Cause::Io(error), mend)
}

/// What the kubelet answers in place of what was asked for.
pub(super) fn status(path: &Path, status: &Status) -> Fault {
    let (cause, mend) = match status.code() {
        Code::PermissionDenied | Code::Unauthenticated => (
            Cause::Io(io::ErrorKind::PermissionDenied.into()),
            "run as root (uid 0): the kubelet's sockets are root's",
        ),
        Code::Unimplemented => (
            Cause::Device("the kubelet does not have this".to_owned()),
            "use a kubelet of version 1.20 or newer for pod-resources, 1.36 or newer for the Pods API",
        ),
        Code::DeadlineExceeded | Code::Cancelled => (
            Cause::Io(io::ErrorKind::TimedOut.into()),
            "see whether the kubelet is overloaded",
        ),
        Code::ResourceExhausted => (
            Cause::Device(words(status.message())),
            "others ask this kubelet too often (it answers 100 requests a second): find out who",
        ),
        Code::FailedPrecondition | Code::Unavailable => (
            Cause::Device(format!("not ready: {}", words(status.message()))),
            "see whether the kubelet runs",
        ),
        Code::OutOfRange => (
            Cause::Parse("an answer of more than 16 MiB".to_owned()),
            "report it: no node has so many devices",
        ),
        _ => (
            Cause::Device(format!("{:?}: {}", status.code(), words(status.message()))),
            "see the kubelet's log",
        ),
    };
    fault(path.display().to_string(), cause, mend)
}

/// That nothing came in time.
pub(super) fn late(place: impl Into<String>) -> Fault {
    fault(
        place,
        Cause::Io(io::ErrorKind::TimedOut.into()),
        "see whether it is overloaded, and whether anything lies between",
    )
}
