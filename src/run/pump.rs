//! The command's output on its way to where ours goes, looked through for progress.

use super::pattern::{Lines, Pattern, Told};
use super::spawn::Plan;
use super::terminal::{Pty, Resizer, Screen, Stream};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal, Read, pipe};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Bytes that are passed on at once.
const PIECE: usize = 64 << 10;

/// So long nothing is said until a line that has not ended is looked at.
const QUIET: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 300_000_000,
};

/// So long after the command's end what it left in a pipe is waited for: a daemon may keep its end open for ever.
const DRAIN: Duration = Duration::from_millis(500);
const LOOK: Duration = Duration::from_millis(10);

/// What carries the output; nothing where the command has our streams themselves.
#[derive(Debug, Default)]
pub struct Pumps {
    resizer: Option<Resizer>,
    threads: Vec<JoinHandle<()>>,
    told: Option<Receiver<Told>>,
    /// Threads that are passing something on.
    passing: Arc<AtomicUsize>,
}

/// Where one stream's output comes from.
struct Source {
    stream: Stream,
    from: File,
}

impl Pumps {
    /// Connects the command's output, and begins it: its number is told. Its streams are ours, unless there is a `pattern` to look for in
    /// them, or they are the terminal that our line is on; it then gets a terminal of its own where we have one.
    ///
    /// # Errors
    /// Of the system: of the command that cannot be begun, or of the streams.
    pub fn begin(
        plan: &Plan<'_>,
        pattern: Option<&Pattern>,
        live: bool,
        screen: &Arc<Screen>,
    ) -> io::Result<(i32, Self)> {
        let terminals = [io::stdout().is_terminal(), io::stderr().is_terminal()];
        let wanted = terminals.map(|is_terminal| pattern.is_some() || (live && is_terminal));
        let is_pty = |at: usize| wanted.get(at) == Some(&true) && terminals.get(at) == Some(&true);
        let pty = if is_pty(0) || is_pty(1) {
            Some(Pty::open()?)
        } else {
            None
        };
        let mut sources = Vec::new();
        let mut ends = [None, None];
        for (at, stream) in [Stream::Out, Stream::Err].into_iter().enumerate() {
            if wanted.get(at) != Some(&true) {
                continue;
            }
            let end = match &pty {
                Some(pty) if is_pty(at) => {
                    // Both streams of one terminal come as one.
                    if sources
                        .iter()
                        .all(|source: &Source| source.stream != Stream::Out || !is_pty(0))
                    {
                        sources.push(Source {
                            stream,
                            from: pty.reader()?,
                        });
                    }
                    pty.end()?
                }
                _ => {
                    let (reader, writer) = pipe()?;
                    let from = File::from(OwnedFd::from(reader));
                    sources.push(Source { stream, from });
                    OwnedFd::from(writer)
                }
            };
            if let Some(place) = ends.get_mut(at) {
                *place = Some(end);
            }
        }
        // From then on the command alone holds its ends: else nobody would see when it lets go of them.
        let child = plan.begin(ends)?;
        let (tell, told) = channel();
        let passing = Arc::<AtomicUsize>::default();
        let threads = sources.into_iter().map(|source| {
            let (screen, pattern, tell) = (Arc::clone(screen), pattern.cloned(), tell.clone());
            let passing = Arc::clone(&passing);
            thread::Builder::new()
                .name("output".into())
                .spawn(move || carry(source, &screen, pattern.as_ref(), &tell, &passing))
        });
        let pumps = Self {
            threads: threads.collect::<io::Result<_>>()?,
            resizer: pty.map(Pty::begun),
            told: Some(told),
            passing: Arc::clone(&passing),
        };
        Ok((child, pumps))
    }

    /// The newest progress that was found since the last time.
    pub fn told(&self) -> Option<Told> {
        let mut last = None;
        while let Some(told) = &self.told {
            match told.try_recv() {
                Ok(told) => last = Some(told),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        last
    }

    /// Our terminal has another size. True where the command has a terminal of its own, which has it now, too.
    pub fn resize(&self) -> bool {
        self.resizer.iter().map(Resizer::resize).count() > 0
    }

    /// Waits for the rest of the output. The time that whoever reads ours takes does not count; `give_up` is asked
    /// again and again, and waits for the time that it is given.
    pub fn end(&mut self, give_up: impl Fn(Duration) -> bool) {
        let mut left = DRAIN;
        while self.threads.iter().any(|thread| !thread.is_finished()) && !left.is_zero() {
            if give_up(LOOK) {
                return;
            }
            if self.passing.load(Ordering::SeqCst) == 0 {
                left = left.saturating_sub(LOOK);
            }
        }
    }
}

/// Carries one stream until its end, or until nobody reads ours.
fn carry(
    mut source: Source,
    screen: &Screen,
    pattern: Option<&Pattern>,
    tell: &Sender<Told>,
    passing: &AtomicUsize,
) {
    let mut lines = Lines::default();
    let mut piece = vec![0; PIECE];
    loop {
        if pattern.is_some() && !speaks(&source.from) {
            say(tell, last(pattern, &lines));
            // Then it is waited for however long it takes.
        }
        let length = match source.from.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            // Of a terminal whose other end is closed.
            Err(_) => break,
        };
        let bytes = piece.get(..length).unwrap_or_default();
        passing.fetch_add(1, Ordering::SeqCst);
        let passed = screen.pass(source.stream, bytes);
        passing.fetch_sub(1, Ordering::SeqCst);
        if passed.is_err() {
            // The command is told in the same way: its end of the pipe breaks.
            return;
        }
        let Some(pattern) = pattern else { continue };
        let mut found = None;
        lines.take(bytes, |line| found = pattern.find(line).or(found));
        say(tell, found);
    }
    say(tell, last(pattern, &lines));
}

/// Whether something comes soon.
fn speaks(from: &File) -> bool {
    let mut fds = [PollFd::new(from, PollFlags::IN)];
    // Whatever is wrong is seen when it is read.
    poll(&mut fds, Some(&QUIET)) != Ok(0)
}

/// The progress in a line that has not ended: a progress bar ends its line when it writes the next.
fn last(pattern: Option<&Pattern>, lines: &Lines) -> Option<Told> {
    pattern?.find(&lines.rest()?)
}

fn say(tell: &Sender<Told>, found: Option<Told>) {
    if let Some(told) = found {
        // Where nobody listens any more it is over.
        let _ = tell.send(told);
    }
}
