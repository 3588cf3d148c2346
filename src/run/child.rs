//! The command itself: begun, passed signals, and waited for with all that descend from it.
//!
//! The command stays in the caller's process group, so that job control is the shell's as it would be without us. What
//! a terminal sends (Ctrl-C) the command has from the terminal; what another process sends to us is passed on. Whatever
//! leaves its parent (a daemon) becomes a child of ours (`PR_SET_CHILD_SUBREAPER`, prctl(2)), so that it is still seen.

use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, WaitOptions, WaitStatus, kill_process, set_child_subreaper, wait};
use std::io;
use std::path::Path;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Signals that are waited for, and not acted on by the kernel.
const SIGNALS: [Signal; 8] = [
    Signal::SIGCHLD,
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGWINCH,
];

/// Those of them that ask for an end.
const ENDING: [Signal; 4] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
];

/// Largest status of a process that is read.
const LARGEST: u64 = 64 << 10;

/// `si_code` of what the kernel sends, such as a terminal's Ctrl-C (sigaction(2), `SI_KERNEL`).
const BY_KERNEL: i32 = 0x80;

/// Something that has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A signal, and whether another process sent it.
    Signal(Signal, bool),
    /// Nothing, for as long as was to be waited.
    Quiet,
}

/// Signals as they come. To be made before any thread is, so that no thread takes them.
#[derive(Debug)]
pub struct Signals {
    fd: SignalFd,
    before: SigSet,
    /// Bit by bit from the first signal on.
    ignored: u64,
}

impl Signals {
    /// Takes all signals that are passed on from now on.
    ///
    /// # Errors
    /// Of the system.
    pub fn take() -> io::Result<Self> {
        let ignored = ignored();
        heed_children()?;
        let set = SIGNALS.into_iter().collect::<SigSet>();
        let before = set.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Self {
            fd: SignalFd::with_flags(&set, flags)?,
            before,
            ignored,
        })
    }

    /// Waits for a signal that asks us to end, and no longer than `time`. One that we were begun to ignore (nohup) asks
    /// nothing. Others are passed over: there is no command yet, or no longer.
    ///
    /// # Errors
    /// Of the system.
    pub fn end(&self, time: Duration) -> io::Result<Option<Signal>> {
        let until = crate::clock::now().awake + time;
        loop {
            let left = until.saturating_sub(crate::clock::now().awake);
            match self.next(left)? {
                Event::Signal(signal, _) if ENDING.contains(&signal) && !self.ignores(signal) => {
                    return Ok(Some(signal));
                }
                Event::Signal(..) => {}
                Event::Quiet if left.is_zero() => return Ok(None),
                Event::Quiet => {}
            }
        }
    }

    fn ignores(&self, signal: Signal) -> bool {
        self.ignored >> (signal as i32 - 1) & 1 == 1
    }

    /// The signals that were blocked before, as they are to be in the command.
    #[must_use]
    pub fn before(&self) -> SigSet {
        self.before
    }

    /// Waits for the next, and no longer than `time`.
    ///
    /// # Errors
    /// Of the system.
    pub fn next(&self, time: Duration) -> io::Result<Event> {
        let signals = &self.fd;
        let mut fds = [PollFd::new(signals, PollFlags::IN)];
        let time = rustix::event::Timespec {
            tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: time.subsec_nanos().into(),
        };
        match poll(&mut fds, Some(&time)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(Event::Quiet),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let Some(told) = signals.read_signal()? else {
            return Ok(Event::Quiet);
        };
        let number = i32::try_from(told.ssi_signo).unwrap_or_default();
        let signal = Signal::try_from(number)?;
        Ok(Event::Signal(signal, told.ssi_code != BY_KERNEL))
    }
}

/// The signals that we were begun to ignore: `SigIgn` in `/proc/self/status` (proc_pid_status(5)).
fn ignored() -> u64 {
    let text = crate::file::read(Path::new("/proc/self/status"), LARGEST).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let set = text.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok())
        .unwrap_or(0)
}

/// Whoever began us may have chosen to hear nothing of its children, and that is inherited: nobody would then say how
/// the command ended (wait(2), `ECHILD`). A handler of ours ends that, also for the command, which cannot inherit it.
fn heed_children() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let _entered = runtime.enter();
    signal(SignalKind::child()).map(drop)
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It said so, with a code.
    Code(i32),
    /// A signal ended it.
    By(i32),
}

impl Ended {
    /// The code that a shell would give: 128 and the signal's number for one that a signal ended.
    #[must_use]
    pub fn code(self) -> u8 {
        let code = match self {
            Self::Code(code) => code,
            Self::By(signal) => 128 + signal,
        };
        u8::try_from(code & 0xff).unwrap_or(u8::MAX)
    }
}

/// The command.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    ended: Option<Ended>,
    alone: bool,
}

impl Child {
    /// Whatever leaves its parent from now on becomes a child of ours.
    ///
    /// # Errors
    /// Of the system.
    pub fn adopt() -> io::Result<()> {
        // Any number but 0 says yes.
        Ok(set_child_subreaper(rustix::process::Pid::from_raw(1))?)
    }

    /// Takes a command that was begun, by its number.
    #[must_use]
    pub fn new(pid: i32) -> Option<Self> {
        Some(Self {
            pid: Pid::from_raw(pid)?,
            ended: None,
            alone: false,
        })
    }

    /// Sees who has ended.
    pub fn reap(&mut self) {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.pid => {
                    self.ended = ended(status).or(self.ended)
                }
                Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
                Ok(None) => return,
                Err(_) => {
                    self.alone = true;
                    return;
                }
            }
        }
    }

    /// How it ended; `None` while it goes on.
    #[must_use]
    pub fn ended(&self) -> Option<Ended> {
        self.ended
    }

    /// Whether nobody is left of all that descended from it.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.alone && self.ended.is_some()
    }

    /// Sends it a signal. One that has ended takes none.
    pub fn send(&self, signal: Signal) {
        if self.ended.is_none()
            && let Some(signal) = rustix::process::Signal::from_named_raw(signal as i32)
        {
            // It may have ended meanwhile.
            let _ = kill_process(self.pid, signal);
        }
    }
}

fn ended(status: WaitStatus) -> Option<Ended> {
    let code = status.exit_status().map(Ended::Code);
    code.or_else(|| status.terminating_signal().map(Ended::By))
}
