//! Secrets: read from files, and never shown.

use crate::file;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// A password, a token, a community. `Debug` does not show it, and nothing else does.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The secret itself, to be handed to whom it is meant for.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// Who asks, and how that is proved.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// The account's name.
    pub username: String,
    /// Its password.
    pub password: Secret,
}

/// Why a file of secrets is of no use. What the file holds is in none of the messages.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// It cannot be read.
    #[error("{path}: {source}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It does not hold what it should.
    #[error("{path}: this is not {wanted}")]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What it should hold.
        wanted: &'static str,
    },
}

/// Largest file of secrets: 64 KiB, far above any token.
const LARGEST: u64 = 64 << 10;

/// Reads YAML such as `username: monitor` and `password: ...` from a file. `wanted` says what it should
/// hold, for who wrote it otherwise.
///
/// # Errors
/// Where the file cannot be read, or holds something else.
pub fn keys<T: DeserializeOwned>(path: &Path, wanted: &'static str) -> Result<T, SecretError> {
    let text = text(path, wanted)?;
    // The parser's own words may quote the file.
    serde_yaml::from_str(&text).map_err(|_| malformed(path, wanted))
}

/// Reads a file whose only line is the secret.
///
/// # Errors
/// As [`keys`].
pub fn line(path: &Path, wanted: &'static str) -> Result<Secret, SecretError> {
    let text = text(path, wanted)?;
    let line = text.trim();
    if line.is_empty() || line.contains('\n') {
        return Err(malformed(path, wanted));
    }
    Ok(Secret(line.to_owned()))
}

fn text(path: &Path, wanted: &'static str) -> Result<String, SecretError> {
    let bytes = file::read(path, LARGEST).map_err(|source| SecretError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    String::from_utf8(bytes).map_err(|_| malformed(path, wanted))
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

    const WANTED: &str = "the keys username and password";

    fn of(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, text).unwrap();
        (folder, path)
    }

    #[test]
    fn no_error_and_no_debug_shows_a_secret() {
        for text in [
            "hunter2",
            "username: monitor\npassword: [hunter2]\n",
            "username: monitor\npasword: hunter2\n",
            "username: hunter2\nhunter2: password\n",
            "- hunter2\n",
            "password: hunter2: hunter2",
        ] {
            let (_folder, path) = of(text);
            let error = keys::<Credentials>(&path, WANTED).unwrap_err();
            let told = format!("{error} {error:?}");
            assert!(!told.contains("hunter2"), "{told}");
            assert!(told.contains(WANTED) && told.contains("/secret"), "{told}");
        }
        let (_folder, path) = of("username: monitor\npassword: hunter2\n");
        let found: Credentials = keys(&path, WANTED).unwrap();
        assert_eq!(found.password.reveal(), "hunter2");
        assert!(!format!("{found:?}").contains("hunter2"));
    }

    #[test]
    fn a_line_is_taken_without_its_end() {
        let (_folder, path) = of("hunter2\n");
        assert_eq!(line(&path, "a token").unwrap().reveal(), "hunter2");
        for text in ["", "\n", "a\nb\n"] {
            let (_folder, path) = of(text);
            assert!(line(&path, "a token").is_err(), "{text:?}");
        }
    }
}
