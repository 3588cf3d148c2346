//! One connection, from its acceptance to its end.

use super::progress::{Observed, Progress};
use super::routes::{Shared, answer};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio_rustls::TlsAcceptor;

/// What a client is told that speaks plain HTTP where TLS is spoken.
const WRONG_SCHEME: &str = "This port speaks TLS: ask by https://.\n";

/// Serves `stream` until it ends by itself, is past a deadline of `progress`, or is `ended` by the
/// table of connections. When `closing` turns true it ends after the request under way.
pub async fn run(
    shared: Arc<Shared>,
    stream: TcpStream,
    peer: IpAddr,
    progress: Arc<Progress>,
    mut ended: oneshot::Receiver<()>,
    closing: watch::Receiver<bool>,
) {
    let mut talk = pin!(talk(shared, stream, peer, Arc::clone(&progress), closing));
    let mut alarm = pin!(tokio::time::sleep_until(progress.deadline()));
    poll_fn(|context| {
        if talk.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        if std::pin::Pin::new(&mut ended).poll(context).is_ready() {
            tracing::debug!(%peer, "connection closed to make room");
            return Poll::Ready(());
        }
        // The deadline is moved by nothing but the polling above, or to later.
        loop {
            let deadline = progress.deadline();
            if alarm.deadline() != deadline {
                alarm.as_mut().reset(deadline);
            }
            std::task::ready!(alarm.as_mut().poll(context));
            if progress.deadline() == deadline {
                tracing::debug!(%peer, "connection closed: its time was up");
                return Poll::Ready(());
            }
        }
    })
    .await;
}

async fn talk(
    shared: Arc<Shared>,
    mut stream: TcpStream,
    peer: IpAddr,
    progress: Arc<Progress>,
    closing: watch::Receiver<bool>,
) {
    // Answers are written whole: waiting to fill segments only delays them.
    let _ = stream.set_nodelay(true);
    let Some(tls) = shared.access.now().tls.clone() else {
        return one(&shared, stream, peer, &progress, closing).await;
    };
    let mut first = [0];
    match stream.peek(&mut first).await {
        Ok(1) if first[0].is_ascii_uppercase() => {
            tracing::debug!(%peer, "plain HTTP where TLS is spoken");
            let mut stream = Observed::new(stream, progress, false);
            let head = format!(
                "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
                 Content-Length: {}\r\nConnection: close\r\n\r\n{WRONG_SCHEME}",
                WRONG_SCHEME.len()
            );
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.shutdown().await;
            return;
        }
        Ok(1) => {}
        _ => return,
    }
    let stream = match TlsAcceptor::from(tls).accept(&mut stream).await {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!(%peer, %error, "no TLS came about");
            return;
        }
    };
    progress.greeted();
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        many(&shared, stream, peer, &progress, closing).await;
    } else {
        one(&shared, stream, peer, &progress, closing).await;
    }
}

/// Drives a connection of hyper, asking it to come to an end when `closing` turns true.
macro_rules! drive {
    ($connection:expr, $closing:expr, $peer:expr) => {{
        let mut connection = pin!($connection);
        let mut closing = $closing;
        let closed = async move { drop(closing.wait_for(|closing| *closing).await) };
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = closed => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = result {
            tracing::debug!(peer = %$peer, %error, "connection ended");
        }
    }};
}

/// HTTP/1: one request at a time.
async fn one(
    shared: &Arc<Shared>,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    peer: IpAddr,
    progress: &Arc<Progress>,
    closing: watch::Receiver<bool>,
) {
    let service = service_fn(|request| {
        let (shared, ticket) = (Arc::clone(shared), progress.request());
        async move {
            // One request a turn: a client that sends a thousand at once does not keep waiting who
            // sends one.
            tokio::task::yield_now().await;
            Ok::<_, Infallible>(answer(&shared, peer, &request, ticket).await)
        }
    });
    let stream = TokioIo::new(Observed::new(stream, Arc::clone(progress), false));
    let connection = http1::Builder::new()
        // Our own clocks see to heads, answers and idleness.
        .header_read_timeout(None)
        // A client may close its side after asking.
        .half_close(true)
        .max_buf_size(shared.limits.head_bytes)
        .serve_connection(stream, service);
    drive!(connection, closing, peer);
}

/// HTTP/2: several at once.
async fn many(
    shared: &Arc<Shared>,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    peer: IpAddr,
    progress: &Arc<Progress>,
    closing: watch::Receiver<bool>,
) {
    let service = service_fn(|request| {
        let (shared, ticket) = (Arc::clone(shared), progress.request());
        async move { Ok::<_, Infallible>(answer(&shared, peer, &request, ticket).await) }
    });
    let stream = TokioIo::new(Observed::new(stream, Arc::clone(progress), true));
    let head = u32::try_from(shared.limits.head_bytes).unwrap_or(u32::MAX);
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(shared.limits.streams)
        .max_header_list_size(head)
        .serve_connection(stream, service);
    drive!(connection, closing, peer);
}
