//! What went wrong, in words for people, and what they can do about it.

use super::{Failure, LARGEST, REFUSED};
use crate::file;
use crate::grid::provider::{Garbage, Request};
use crate::http;
use crate::secret;
use std::io;
use std::path::Path;

pub(super) fn local(path: &Path) -> Result<Vec<u8>, Failure> {
    file::read(path, LARGEST).map_err(|error| Failure {
        reason: "network",
        place: path.display().to_string(),
        message: error.to_string(),
        mend: match error.kind() {
            io::ErrorKind::NotFound => "write the file, or give the right path".to_owned(),
            io::ErrorKind::PermissionDenied => "let gramwatt's user read it".to_owned(),
            _ => String::new(),
        },
        wait: None,
    })
}

pub(super) fn unsecret(request: &Request, error: &secret::SecretError) -> Failure {
    Failure {
        reason: "secret",
        place: request.url.clone(),
        message: error.to_string(),
        mend: "write the secret to that file, readable by gramwatt's user alone".to_owned(),
        wait: None,
    }
}

pub(super) fn unsent(request: &Request, error: &http::Error) -> Failure {
    Failure {
        reason: "network",
        place: request.url.clone(),
        message: error.to_string(),
        mend: error.mend().to_owned(),
        wait: None,
    }
}

pub(super) fn unread(request: &Request, garbage: &Garbage) -> Failure {
    let mend = match garbage {
        Garbage::Form(_) => {
            "check base_url; where that is right the provider has changed its answers: report it"
        }
        Garbage::Refused(_) | Garbage::Empty => {
            "check the zone with the provider, and what the account may ask"
        }
        Garbage::Unit(_) => "ask for another signal: this one is no intensity",
        Garbage::Absurd(_) => "check what is asked for, and what it is in",
    };
    let reason = match garbage {
        Garbage::Absurd(_) => REFUSED,
        _ => "answer",
    };
    Failure {
        reason,
        place: request.url.clone(),
        message: garbage.to_string(),
        mend: mend.to_owned(),
        wait: None,
    }
}

pub(super) fn refused(request: &Request, status: u16, reply: &http::Reply) -> Failure {
    let (reason, mend) = match status {
        401 | 403 => (
            "denied",
            "check the token, and whether the account has this zone and signal",
        ),
        404 => (
            "status",
            "it knows nothing of this zone (a relay: of none that it was not started with), or is another \
             server: check the zone, and base_url or url",
        ),
        429 => (
            "limit",
            "the provider's limit is reached: fewer zones, or one relay for all nodes",
        ),
        300..=399 => (
            "status",
            "it sends us elsewhere, where we do not follow: give the right base_url",
        ),
        500..=599 => ("status", "the provider is ill: nothing to do but wait"),
        _ => ("status", "check base_url"),
    };
    Failure {
        reason,
        place: request.url.clone(),
        message: format!("HTTP status {status}"),
        mend: mend.to_owned(),
        wait: reply.retry_after(),
    }
}
