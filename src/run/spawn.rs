//! Begins the command, with the signals as they were before we took ours. The standard library would leave those
//! blocked that we wait for, and a shell that cannot hear of its children's end waits for ever.

use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawnp};
use nix::sys::signal::{SigSet, Signal};
use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// The number of a process's standard output, and of its error output.
const OUT: RawFd = 1;
const ERR: RawFd = 2;

/// A command that is to begin.
#[derive(Debug)]
pub struct Plan<'a> {
    /// Its name, looked for in the folders of `PATH`, and its arguments.
    pub command: &'a [OsString],
    /// What is in its environment, beside what is in ours.
    pub environment: &'a [(&'a str, &'a OsStr)],
    /// The signals that are blocked in it.
    pub blocked: SigSet,
}

impl Plan<'_> {
    /// Begins it, with these ends for its output and error output, or ours. Returns its number.
    ///
    /// # Errors
    /// Of the system: of a command that is not found, or cannot be begun.
    pub fn begin(&self, [out, err]: [Option<OwnedFd>; 2]) -> io::Result<i32> {
        let mut actions = PosixSpawnFileActions::init()?;
        for (end, number) in [(&out, OUT), (&err, ERR)] {
            if let Some(end) = end {
                actions.add_dup2(end.as_raw_fd(), number)?;
            }
        }
        let mut attributes = PosixSpawnAttr::init()?;
        attributes.set_flags(
            PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK | PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF,
        )?;
        attributes.set_sigmask(&self.blocked)?;
        // Rust ignores it in each of its programs.
        attributes.set_sigdefault(&SigSet::from(Signal::SIGPIPE))?;
        let command = self.command.iter().map(|word| text(word.as_bytes()));
        let command: Vec<CString> = command.collect::<io::Result<_>>()?;
        let name = command.first().cloned().unwrap_or_default();
        let environment = self.environment()?;
        let pid = posix_spawnp(&name, &actions, &attributes, &command, &environment)?;
        Ok(pid.as_raw())
    }

    fn environment(&self) -> io::Result<Vec<CString>> {
        let more = self.environment;
        let ours = std::env::vars_os().filter(|(name, _)| !more.iter().any(|(own, _)| name == own));
        let own = more
            .iter()
            .map(|(name, value)| (OsString::from(name), value.to_os_string()));
        let all = ours.chain(own).map(|(mut name, value)| {
            name.push("=");
            name.push(value);
            text(&name.into_vec())
        });
        all.collect()
    }
}

/// No text of the system has a zero in it; one of ours may not.
fn text(bytes: &[u8]) -> io::Result<CString> {
    CString::new(bytes).map_err(io::Error::from)
}
