//! How far one connection has got, and until when it may go on.
//!
//! A connection is *waiting* (idle between requests, or in the middle of a request's head) or *busy*
//! (a request is being answered, or its answer has not been taken by the client). Each state has its
//! deadline; [`Progress`] is told of what happens and says when the next one is.

use super::limits::Limits;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

/// Most bytes read and thrown away after our last word on a connection, so that a client which is
/// still sending gets to read that word instead of a reset.
const LINGER_BYTES: usize = 4 * 1024 * 1024;
/// How long that may take.
const LINGER: Duration = Duration::from_secs(1);

/// The state of one connection, shared by its task, its requests and the table of connections.
pub struct Progress {
    head: Duration,
    answer: Duration,
    idle: Duration,
    now: Mutex<State>,
}

struct State {
    deadline: Instant,
    /// When it last changed between waiting and busy.
    since: Instant,
    /// Requests whose answer's body has not been handed over.
    requests: usize,
    /// Bytes were written that have not been flushed.
    unflushed: bool,
    /// The first bytes of a request have come, its head has not ended.
    reading: bool,
    /// Places among the concurrent scrapes, given back when their answers are flushed.
    places: Vec<OwnedSemaphorePermit>,
    closing: bool,
}

impl State {
    fn busy(&self) -> bool {
        self.requests > 0 || self.unflushed
    }
}

impl Progress {
    /// A connection accepted now.
    #[must_use]
    pub fn new(limits: &Limits) -> Arc<Self> {
        let now = Instant::now();
        Arc::new(Self {
            head: limits.head,
            answer: limits.answer,
            idle: limits.idle,
            now: Mutex::new(State {
                deadline: now + limits.head,
                since: now,
                requests: 0,
                unflushed: false,
                reading: true,
                places: Vec::new(),
                closing: false,
            }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the connection is to be cut unless something happens before.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.state().deadline
    }

    /// Whether it is busy, and since when it has been busy or waiting.
    #[must_use]
    pub fn standing(&self) -> (bool, Instant) {
        let state = self.state();
        (state.busy(), state.since)
    }

    /// The handshake is done: the head of the first request has its own time.
    pub fn greeted(&self) {
        self.state().deadline = Instant::now() + self.head;
    }

    fn change(&self, event: impl FnOnce(&mut State)) {
        let mut state = self.state();
        let before = state.busy();
        event(&mut state);
        let after = state.busy();
        if state.closing || before == after {
            return;
        }
        state.since = Instant::now();
        state.reading = false;
        state.deadline = state.since + if after { self.answer } else { self.idle };
    }

    /// A request's head has been read; it is under way until the returned value is dropped.
    #[must_use]
    pub fn request(self: &Arc<Self>) -> Request {
        self.change(|state| state.requests += 1);
        Request {
            progress: Arc::clone(self),
            place: None,
        }
    }

    fn answered(&self, place: Option<OwnedSemaphorePermit>) {
        self.change(|state| {
            state.requests -= 1;
            // Handing the body to the HTTP machinery precedes writing it: the place is kept until the
            // next flush.
            state.places.extend(place);
        });
    }

    fn read(&self) {
        let mut state = self.state();
        if !state.busy() && !state.reading && !state.closing {
            state.reading = true;
            state.deadline = Instant::now() + self.head;
        }
    }

    fn wrote(&self) {
        self.change(|state| state.unflushed = true);
    }

    fn flushed(&self) {
        self.change(|state| {
            state.unflushed = false;
            state.places.clear();
        });
    }

    fn closing(&self) {
        let mut state = self.state();
        if !state.closing {
            state.closing = true;
            state.deadline = state.deadline.min(Instant::now() + LINGER);
        }
    }
}

/// A request under way.
pub struct Request {
    progress: Arc<Progress>,
    place: Option<OwnedSemaphorePermit>,
}

impl Request {
    /// Keeps `place` until this request's answer has been written.
    pub fn hold(&mut self, place: OwnedSemaphorePermit) {
        self.place = Some(place);
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.progress.answered(self.place.take());
    }
}

/// A whole answer's body, which ends its request when it has been handed over.
pub struct Answer {
    bytes: Option<Bytes>,
    _request: Request,
}

impl Answer {
    /// The body `bytes` of the answer to `request`.
    #[must_use]
    pub fn new(bytes: Bytes, request: Request) -> Self {
        Self {
            bytes: Some(bytes).filter(|bytes| !bytes.is_empty()),
            _request: request,
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

/// A stream that tells `progress` what it sees.
pub struct Observed<S> {
    stream: S,
    progress: Arc<Progress>,
    multiplexed: bool,
    lingered: usize,
    shut: bool,
}

impl<S> Observed<S> {
    /// Observes `stream`. On a `multiplexed` one (HTTP/2) bytes come for many reasons: there they do
    /// not start the clock of a request's head.
    pub fn new(stream: S, progress: Arc<Progress>, multiplexed: bool) -> Self {
        Self {
            stream,
            progress,
            multiplexed,
            lingered: 0,
            shut: false,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Observed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(context, buffer);
        if !self.multiplexed && buffer.filled().len() > before {
            self.progress.read();
        }
        result
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Observed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.progress.wrote();
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(context);
        if result.is_ready() {
            self.progress.flushed();
        }
        result
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        self.progress.closing();
        if !self.shut {
            std::task::ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
            self.shut = true;
        }
        let mut scrap = [0; 8192];
        while self.lingered < LINGER_BYTES {
            let mut buffer = ReadBuf::new(&mut scrap);
            std::task::ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
            match buffer.filled().len() {
                0 => break,
                read => self.lingered += read,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        self.progress.wrote();
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits {
            head: Duration::from_secs(10),
            answer: Duration::from_secs(30),
            idle: Duration::from_secs(100),
            ..Limits::default()
        }
    }

    fn left(progress: &Progress) -> u64 {
        let left = progress
            .deadline()
            .saturating_duration_since(Instant::now());
        left.as_secs_f64().round() as u64
    }

    #[test]
    fn each_state_has_its_time() {
        let progress = Progress::new(&limits());
        assert_eq!(left(&progress), 10, "the first head");
        let request = progress.request();
        assert_eq!(
            (left(&progress), progress.standing().0),
            (30, true),
            "an answer"
        );
        progress.wrote();
        drop(request);
        assert_eq!(
            (left(&progress), progress.standing().0),
            (30, true),
            "not yet taken"
        );
        progress.flushed();
        assert_eq!(
            (left(&progress), progress.standing().0),
            (100, false),
            "between requests"
        );
        progress.read();
        assert_eq!(
            (left(&progress), progress.standing().0),
            (10, false),
            "the next head"
        );
        progress.closing();
        assert_eq!(left(&progress), 1, "the last goodbye");
    }

    #[test]
    fn a_second_byte_of_the_head_buys_no_time() {
        let progress = Progress::new(&limits());
        let first = progress.deadline();
        progress.read();
        assert_eq!(progress.deadline(), first);
    }

    #[test]
    fn a_place_is_kept_until_the_answer_is_flushed() {
        let places = Arc::new(tokio::sync::Semaphore::new(1));
        let progress = Progress::new(&limits());
        let mut request = progress.request();
        request.hold(Arc::clone(&places).try_acquire_owned().unwrap());
        progress.wrote();
        drop(request);
        assert_eq!(places.available_permits(), 0);
        progress.flushed();
        assert_eq!(places.available_permits(), 1);
    }
}
