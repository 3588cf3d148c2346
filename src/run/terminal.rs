//! The terminal that the command's output and our one line share.

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{
    OptionalActions, OutputModes, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize,
};
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

/// What takes a terminal for itself, and gives it back (xterm's control sequences: the alternate screen).
const WHOLE_SCREEN: [&[u8]; 2] = [b"\x1b[?1049h", b"\x1b[?47h"];
const BACK: [&[u8]; 2] = [b"\x1b[?1049l", b"\x1b[?47l"];

/// Where a piece of output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// Writes what the command says where it belongs, and our line below it where there is room for one.
#[derive(Debug)]
pub struct Screen {
    /// Whether our line is shown.
    live: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Whether our line is there now.
    drawn: bool,
    /// Whether the command's last line is not ended: ours must wait.
    midway: bool,
    /// Whether the command has the whole screen.
    whole: bool,
}

impl Screen {
    /// A screen, with a line of ours if it is `live`.
    #[must_use]
    pub fn new(live: bool) -> Self {
        Self {
            live,
            state: Mutex::new(State::default()),
        }
    }

    /// Passes on what the command said.
    ///
    /// # Errors
    /// Where nobody reads any more.
    pub fn pass(&self, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        let out = || {
            let mut out = io::stdout().lock();
            out.write_all(bytes)?;
            out.flush()
        };
        if stream == Stream::Out && !(self.live && io::stdout().is_terminal()) {
            // Whoever reads it may take their time: we have other things to say elsewhere.
            return out();
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        wipe(&mut state)?;
        match stream {
            Stream::Out => out()?,
            Stream::Err => io::stderr().lock().write_all(bytes)?,
        }
        state.midway = bytes.last().is_some_and(|last| *last != b'\n');
        let last = |all: [&[u8]; 2]| all.iter().filter_map(|mark| rfind(bytes, mark)).max();
        match (last(WHOLE_SCREEN), last(BACK)) {
            (Some(taken), back) if back < Some(taken) => state.whole = true,
            (_, Some(_)) => state.whole = false,
            _ => {}
        }
        Ok(())
    }

    /// Shows our line, where that is possible now.
    pub fn draw(&self, line: &str) {
        // A terminal that was stopped (Ctrl-S) holds up the command's output, and not us.
        let Ok(mut state) = self.state.try_lock() else {
            return;
        };
        if !self.live || state.midway || state.whole {
            return;
        }
        // Some terminals do not know their size.
        let width = tcgetwinsize(io::stderr()).map_or(0, |size| size.ws_col);
        let width = if width == 0 { 80 } else { width.max(20) };
        let room = usize::from(width) - 1;
        let cut: String = line.chars().take(room).collect();
        // Where it cannot be drawn there is nobody to miss it.
        let _ = write!(io::stderr().lock(), "\r\x1b[K{cut}");
        state.drawn = true;
    }

    /// Says something that stays.
    pub fn say(&self, text: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = wipe(&mut state);
        let start = if state.midway { "\n" } else { "" };
        state.midway = false;
        let _ = writeln!(io::stderr().lock(), "{start}{text}");
    }

    /// Takes our line away.
    pub fn clear(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = wipe(&mut state);
    }
}

fn wipe(state: &mut State) -> io::Result<()> {
    if std::mem::take(&mut state.drawn) {
        io::stderr().lock().write_all(b"\r\x1b[K")?;
    }
    Ok(())
}

fn rfind(bytes: &[u8], mark: &[u8]) -> Option<usize> {
    bytes.windows(mark.len()).rposition(|window| window == mark)
}

/// A terminal for the command, like the one that we have: what it writes there comes to us.
#[derive(Debug)]
pub struct Pty {
    ours: OwnedFd,
    theirs: OwnedFd,
}

impl Pty {
    /// A new one, with the settings and the size of ours.
    ///
    /// # Errors
    /// Of the system.
    pub fn open() -> io::Result<Self> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let ours = openpt(flags)?;
        grantpt(&ours)?;
        unlockpt(&ours)?;
        let theirs = ioctl_tiocgptpeer(&ours, flags)?;
        let settings = tcgetattr(io::stdout()).or_else(|_| tcgetattr(io::stderr()));
        let mut settings = settings.or_else(|_| tcgetattr(&theirs))?;
        // The real terminal makes of a line's end what it should be: once is enough.
        settings.output_modes.remove(OutputModes::OPOST);
        tcsetattr(&theirs, OptionalActions::Now, &settings)?;
        fit(&ours);
        Ok(Self { ours, theirs })
    }

    /// What the command says there.
    ///
    /// # Errors
    /// Of the system.
    pub fn reader(&self) -> io::Result<File> {
        Ok(File::from(self.ours.try_clone()?))
    }

    /// Its end, for the command.
    ///
    /// # Errors
    /// Of the system.
    pub fn end(&self) -> io::Result<OwnedFd> {
        self.theirs.try_clone()
    }

    /// Lets go of the command's end, so that the reader sees when the command has.
    #[must_use]
    pub fn begun(self) -> Resizer {
        Resizer(self.ours)
    }
}

/// What is left of a pty once the command has its end.
#[derive(Debug)]
pub struct Resizer(OwnedFd);

impl Resizer {
    /// Takes the size of our terminal.
    pub fn resize(&self) {
        fit(&self.0);
    }
}

/// Gives a terminal the size of ours.
fn fit(terminal: &OwnedFd) {
    if let Ok(size) = tcgetwinsize(io::stdout()).or_else(|_| tcgetwinsize(io::stderr())) {
        // One that is gone needs none.
        let _ = tcsetwinsize(terminal, size);
    }
}
