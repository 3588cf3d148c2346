//! One run of a program: bounded in time and in what it prints, and with nothing left of it afterwards.

use crate::sensor::{Cause, Fault};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use std::io::{self, ErrorKind, Read};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Most that a program may print, in bytes: a thousand lines of 64 characters.
pub(super) const MOST_PRINTED: usize = 64 << 10;

/// As much of the end of its standard error as is kept, in bytes.
const KEPT: usize = 1 << 10;

/// As much of that as a fault shows, in characters.
const SHOWN: usize = 200;

/// Bytes taken from a pipe at once: as many as it holds (pipe(7)).
const PIECE: usize = 64 << 10;

/// Longest wait before it is asked again whether a program has ended. Kernels before 5.3 have no pidfd to
/// wait for that.
const SLICE: Duration = Duration::from_millis(20);

/// How long a killed program is waited for. One that hangs in a driver dies when the driver lets it go.
const GRACE: Duration = Duration::from_secs(1);

/// Where a program's own programs are looked for.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What is to be run.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub program: PathBuf,
    pub arguments: Vec<String>,
    pub environment: Vec<(String, String)>,
}

/// A program that is run again and again.
#[derive(Debug)]
pub(super) struct Run {
    order: Order,
    timeout: Duration,
    place: String,
    /// One that was killed and has not died.
    undead: Option<Child>,
}

/// How a run ended.
enum End {
    /// By itself.
    Exited,
    /// Not by itself, nor in time.
    Late,
    /// It printed too much.
    Long,
}

/// What came out of it.
#[derive(Default)]
struct Printed {
    out: Vec<u8>,
    err: Vec<u8>,
}

impl Run {
    pub(super) fn new(order: Order, timeout: Duration) -> Self {
        Self {
            place: order.program.display().to_string(),
            order,
            timeout,
            undead: None,
        }
    }

    /// The program's path, which faults name.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// Takes a child for one that was killed and has not died.
    #[cfg(test)]
    pub(super) fn hang(&mut self, child: Child) {
        self.undead = Some(child);
    }

    /// Runs it once, and gives what it printed.
    ///
    /// # Errors
    /// Where it cannot be started, does not end in time, prints too much, or does not end well.
    pub(super) fn once(&mut self) -> Result<Vec<u8>, Fault> {
        // No second one beside one that hangs: they would only grow in number.
        if let Some(mut child) = self.undead.take()
            && !is_gone(&mut child)
        {
            self.undead = Some(child);
            return Err(self.hung());
        }
        let mut child = self.start().map_err(|error| self.unstarted(error))?;
        let mut printed = Printed::default();
        let end = follow(&mut child, &mut printed, Instant::now() + self.timeout);
        // Whatever is left of its group, for an ended leader keeps its number until it is waited for.
        kill_group(&child);
        let end = end.map_err(|error| self.fault(Cause::Io(error), "see the kernel log"));
        let Some(status) = self.bury(child) else {
            return Err(self.hung());
        };
        match end? {
            End::Exited if status.success() => Ok(printed.out),
            End::Exited => Err(self.failed(status, &printed.err)),
            End::Late => Err(self.late()),
            End::Long => Err(self.fault(
                Cause::Device(format!("printed more than {} KiB and was killed", MOST_PRINTED >> 10)),
                "let it print one line for each device, and nothing else to its standard output",
            )),
        }
    }

    fn start(&self) -> io::Result<Child> {
        Command::new(&self.order.program)
            .args(&self.order.arguments)
            .env_clear()
            .env("PATH", PATH)
            .env("LANG", "C")
            .envs(self.order.environment.iter().map(|(key, value)| (key, value)))
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
    }

    /// Waits for a child that has ended, or was killed; keeps it where it does not die.
    fn bury(&mut self, mut child: Child) -> Option<ExitStatus> {
        let end = Instant::now() + GRACE;
        loop {
            match child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if Instant::now() < end => {
                    let _ = poll(&mut [], Some(&spec(Duration::from_millis(1))));
                }
                _ => {
                    self.undead = Some(child);
                    return None;
                }
            }
        }
    }

    fn fault(&self, cause: Cause, mend: impl Into<String>) -> Fault {
        Fault {
            place: self.place.clone(),
            cause,
            mend: mend.into(),
        }
    }

    fn unstarted(&self, error: io::Error) -> Fault {
        let mend = mend(&self.order.program, &error);
        self.fault(Cause::Io(error), mend)
    }

    fn failed(&self, status: ExitStatus, err: &[u8]) -> Fault {
        let how = match (status.code(), status.signal()) {
            (Some(code), _) => format!("ended with exit code {code}"),
            (None, Some(signal)) => format!("was ended by signal {signal}"),
            (None, None) => "ended otherwise than by an exit".to_owned(),
        };
        let words = words(err);
        let text = if words.is_empty() { how } else { format!("{how}: {words}") };
        self.fault(
            Cause::Device(text),
            "run it by hand as the user that gramwatt runs as; what it prints is booked only where it ends \
             with exit code 0",
        )
    }

    fn late(&self) -> Fault {
        let text = format!("did not end within {:?} and was killed", self.timeout);
        self.fault(
            Cause::Io(io::Error::new(ErrorKind::TimedOut, text)),
            "run it by hand to see how long it takes, and give it that with timeout (less than interval)",
        )
    }

    fn hung(&self) -> Fault {
        let text = "was killed and has not died; it is not started again before it does";
        self.fault(
            Cause::Io(io::Error::new(ErrorKind::TimedOut, text)),
            "it hangs in a driver, or belongs to another user: see the kernel log, and ps for its state; else \
             restart the machine",
        )
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if let Some(mut child) = self.undead.take() {
            let _ = child.try_wait();
        }
    }
}

/// Whether a program is there and may be run.
///
/// # Errors
/// Where it is not.
pub(super) fn look(program: &Path) -> Result<(), Fault> {
    let is_file = std::fs::metadata(program).and_then(|seen| {
        let is_file = seen.is_file();
        is_file.then_some(()).ok_or_else(|| io::Error::new(ErrorKind::PermissionDenied, "is no file"))
    });
    let may_run = || accessat(CWD, program, Access::EXEC_OK, AtFlags::EACCESS).map_err(io::Error::from);
    is_file.and_then(|()| may_run()).map_err(|error| Fault {
        place: program.display().to_string(),
        mend: mend(program, &error),
        cause: Cause::Io(error),
    })
}

/// What to do where it cannot be started.
fn mend(program: &Path, error: &io::Error) -> String {
    let program = program.display();
    match error.kind() {
        ErrorKind::NotFound => format!(
            "install it at {program}, or correct program in sensors.command; if it is there, what its first \
             line (#!) names is not; in a container it must be in the image or mounted"
        ),
        ErrorKind::PermissionDenied => format!(
            "chmod +x {program}, and see to it that the user gramwatt runs as may enter its directories and \
             that its file system is not mounted noexec"
        ),
        // ENOEXEC has no kind of its own.
        _ if error.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error()) => format!(
            "{program} is no program for this machine: a script begins with a line such as #!/bin/sh"
        ),
        _ => "see what the system says of it, and try it by hand".to_owned(),
    }
}

/// Takes what a child prints until it has ended, its time is up, or it printed too much. What others print
/// that it has left behind is not waited for.
fn follow(child: &mut Child, printed: &mut Printed, deadline: Instant) -> io::Result<End> {
    let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
    let mut piece = vec![0; PIECE];
    loop {
        // Before the pipes are looked at, so that all that it wrote is in them.
        let has_ended = has_ended(child)?;
        let left = deadline.saturating_duration_since(Instant::now());
        let wait = match (has_ended, left.is_zero()) {
            (true, _) => Duration::ZERO,
            (false, true) => return Ok(End::Late),
            (false, false) => left.min(SLICE),
        };
        let (out_is_ready, err_is_ready) = ready(out.as_ref(), err.as_ref(), wait)?;
        if err_is_ready {
            take(&mut err, &mut piece, |piece| keep(&mut printed.err, piece))?;
        }
        if out_is_ready {
            take(&mut out, &mut piece, |piece| printed.out.extend_from_slice(piece))?;
            if printed.out.len() > MOST_PRINTED {
                return Ok(End::Long);
            }
        } else if has_ended {
            return Ok(End::Exited);
        }
    }
}

/// Whether it has ended; it is not waited for, so that its number remains its own.
fn has_ended(child: &Child) -> io::Result<bool> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    match pid(child) {
        Some(pid) => Ok(waitid(WaitId::Pid(pid), options)?.is_some()),
        None => Ok(true),
    }
}

/// Which of the pipes that are still open can be read without waiting, after `wait` at most.
fn ready(
    out: Option<&ChildStdout>,
    err: Option<&ChildStderr>,
    wait: Duration,
) -> io::Result<(bool, bool)> {
    let pipes = [out.map(AsFd::as_fd), err.map(AsFd::as_fd)];
    let mut polled: Vec<PollFd> =
        pipes.iter().flatten().map(|pipe| PollFd::from_borrowed_fd(*pipe, PollFlags::IN)).collect();
    match poll(&mut polled, Some(&spec(wait))) {
        Ok(_) => {}
        Err(rustix::io::Errno::INTR) => return Ok((false, false)),
        Err(error) => return Err(error.into()),
    }
    let mut told = polled.iter().map(|pipe| !pipe.revents().is_empty());
    let mut of = |pipe: bool| pipe && told.next().unwrap_or(false);
    Ok((of(out.is_some()), of(err.is_some())))
}

/// Reads once from a pipe; closes it at its end.
fn take(
    pipe: &mut Option<impl Read>,
    piece: &mut [u8],
    mut give: impl FnMut(&[u8]),
) -> io::Result<()> {
    let Some(open) = pipe else {
        return Ok(());
    };
    match open.read(piece) {
        Ok(0) => *pipe = None,
        Ok(length) => give(piece.get(..length).unwrap_or_default()),
        Err(error) if error.kind() == ErrorKind::Interrupted => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Adds to the end, of which only so much is kept.
fn keep(end: &mut Vec<u8>, piece: &[u8]) {
    end.extend_from_slice(piece);
    let over = end.len().saturating_sub(KEPT);
    end.drain(..over);
}

/// The last of what it said, on one line and without control characters.
fn words(err: &[u8]) -> String {
    let text = String::from_utf8_lossy(err);
    let words: Vec<&str> =
        text.split(|c: char| c.is_control() || c.is_whitespace()).filter(|word| !word.is_empty()).collect();
    let text = words.join(" ");
    let over = text.chars().count().saturating_sub(SHOWN);
    let shown: String = text.chars().skip(over).collect();
    if over > 0 { format!("…{shown}") } else { shown }
}

/// Whether a child that was killed has died since.
fn is_gone(child: &mut Child) -> bool {
    kill_group(child);
    !matches!(child.try_wait(), Ok(None))
}

fn kill_group(child: &Child) {
    if let Some(pid) = pid(child) {
        // There may be nobody, or somebody with another user's rights: what that means is seen in waiting.
        let _ = kill_process_group(pid, Signal::KILL);
    }
}

fn pid(child: &Child) -> Option<Pid> {
    Pid::from_raw(child.id().cast_signed())
}

fn spec(wait: Duration) -> Timespec {
    Timespec::try_from(wait).unwrap_or_default()
}
