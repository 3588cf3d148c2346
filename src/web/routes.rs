//! From a request to its answer.

use super::access::InForce;
use super::auth::{Desk, Verdict};
use super::limits::Limits;
use super::negotiate::{self, Format};
use super::pages::{Page, Pages};
use super::progress::{Answer, Request as Ticket};
use super::table::Table;
use super::{Reload, Settings};
use crate::grid::almanac::{Almanac, Missing};
use crate::snapshot::Snapshot;
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH,
    RETRY_AFTER, VARY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

/// What every connection shares.
pub struct Shared {
    /// What the operator has set.
    pub settings: Settings,
    /// The latest moment of the node.
    pub latest: watch::Receiver<Arc<Snapshot>>,
    /// What a relay tells of its zones; a node has none.
    pub almanac: Option<watch::Receiver<Arc<Almanac>>>,
    /// Whom to ask for a reload.
    pub reload: mpsc::Sender<Reload>,
    /// The bounds.
    pub limits: Limits,
    /// The web configuration in force.
    pub access: InForce,
    /// Where passwords are checked.
    pub desk: Desk,
    /// The pages made of the latest snapshot.
    pub pages: Pages,
    /// The places of concurrent scrapes.
    pub places: Arc<Semaphore>,
    /// The connections.
    pub table: Table,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// The metrics.
    Metrics,
    /// The status page.
    Status,
    /// Whether the process answers.
    Healthy,
    /// Whether there is something to scrape.
    Ready,
    /// The intensity of a zone.
    Intensity,
    /// A reload of the configuration.
    Reload,
    /// Something that is there, by a method that is not; with those that are.
    WrongMethod(&'static str),
    /// Nothing that is there.
    Unknown,
}

impl Route {
    /// The route of `method` and `path`, where the metrics are at `telemetry`.
    #[must_use]
    pub fn of(method: &Method, path: &str, telemetry: &str) -> Self {
        let reads = method == Method::GET || method == Method::HEAD;
        let (route, allowed, methods) = match path {
            path if path == telemetry => (Self::Metrics, reads, "GET, HEAD"),
            "/" => (Self::Status, reads, "GET, HEAD"),
            "/-/healthy" => (Self::Healthy, reads, "GET, HEAD"),
            "/-/ready" => (Self::Ready, reads, "GET, HEAD"),
            "/-/reload" => (Self::Reload, method == Method::POST, "POST"),
            "/v1/intensity" => (Self::Intensity, reads, "GET, HEAD"),
            _ => return Self::Unknown,
        };
        if allowed {
            route
        } else {
            Self::WrongMethod(methods)
        }
    }
}

/// An answer in the making.
struct Reply {
    status: StatusCode,
    kind: &'static str,
    body: Bytes,
    headers: Vec<(HeaderName, HeaderValue)>,
    place: Option<OwnedSemaphorePermit>,
}

impl Reply {
    fn plain(status: StatusCode, text: impl Into<Bytes>) -> Self {
        Self {
            status,
            kind: "text/plain; charset=utf-8",
            body: text.into(),
            headers: Vec::new(),
            place: None,
        }
    }

    fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.push((name, HeaderValue::from_static(value)));
        self
    }

    /// Asks to come back after `time`, rounded up to whole seconds.
    fn after(mut self, time: Duration) -> Self {
        let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
        self.headers
            .push((RETRY_AFTER, HeaderValue::from(seconds.max(1))));
        self
    }
}

/// The answer to `request` of `peer`; `ticket` ends with it.
pub async fn answer(
    shared: &Arc<Shared>,
    peer: IpAddr,
    request: &Request<Incoming>,
    mut ticket: Ticket,
) -> Response<Answer> {
    let access = shared.access.now();
    let mut reply = reply(shared, &access, peer, request).await;
    if let Some(place) = reply.place.take() {
        ticket.hold(place);
    }
    let length = HeaderValue::from(reply.body.len());
    let body = if request.method() == Method::HEAD {
        Bytes::new()
    } else {
        reply.body
    };
    let mut response = Response::new(Answer::new(body, ticket));
    *response.status_mut() = reply.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(reply.kind));
    headers.insert(CONTENT_LENGTH, length);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.extend(reply.headers);
    // Last, so that the operator's values stand in place of ours.
    for (name, value) in &access.headers {
        headers.insert(name.clone(), value.clone());
    }
    response
}

async fn reply(
    shared: &Arc<Shared>,
    access: &super::access::Access,
    peer: IpAddr,
    request: &Request<Incoming>,
) -> Reply {
    let path = request.uri().path();
    let route = Route::of(request.method(), path, &shared.settings.telemetry_path);
    // Kubelets and load balancers can present no password. These two say nothing of the node, cost
    // nothing, and are therefore neither guarded nor counted; exporter-toolkit guards them too.
    match route {
        Route::Healthy => return Reply::plain(StatusCode::OK, "Gramwatt is healthy.\n"),
        Route::Ready => return ready(shared),
        _ => {}
    }
    if let Some(bucket) = &access.bucket
        && let Err(wait) = bucket.take(Instant::now())
    {
        return Reply::plain(StatusCode::TOO_MANY_REQUESTS, "Over the rate_limit.\n").after(wait);
    }
    let credentials = request
        .headers()
        .get(AUTHORIZATION)
        .map(HeaderValue::as_bytes);
    match shared.desk.admit(&access.users, credentials, peer).await {
        Verdict::Welcome => {}
        Verdict::Refused => {
            return Reply::plain(StatusCode::UNAUTHORIZED, "User and password, please.\n").with(
                WWW_AUTHENTICATE,
                "Basic realm=\"Gramwatt\", charset=\"UTF-8\"",
            );
        }
        Verdict::Later => {
            return Reply::plain(
                StatusCode::SERVICE_UNAVAILABLE,
                "Too many passwords to check.\n",
            )
            .after(Duration::from_secs(1));
        }
    }
    match route {
        Route::Metrics => metrics(shared, request.headers()).await,
        Route::Status => status(shared, request),
        Route::Reload => reload(shared).await,
        Route::Intensity => match &shared.almanac {
            Some(almanac) => intensity(&almanac.borrow(), request),
            None => unknown(&shared.settings.telemetry_path),
        },
        Route::WrongMethod(methods) => {
            let text = format!("{path} takes {methods}.\n");
            Reply::plain(StatusCode::METHOD_NOT_ALLOWED, text).with(ALLOW, methods)
        }
        Route::Unknown | Route::Healthy | Route::Ready => unknown(&shared.settings.telemetry_path),
    }
}

fn unknown(telemetry: &str) -> Reply {
    let status = if telemetry == "/" { "" } else { "/ (status), " };
    let text = format!(
        "Nothing here. There are {telemetry} (metrics), {status}/-/healthy, /-/ready and, by POST, \
         /-/reload.\n"
    );
    Reply::plain(StatusCode::NOT_FOUND, text)
}

fn ready(shared: &Shared) -> Reply {
    if shared.latest.borrow().ready {
        return Reply::plain(StatusCode::OK, "Gramwatt is ready.\n");
    }
    Reply::plain(
        StatusCode::SERVICE_UNAVAILABLE,
        "Not ready: the first sample is not taken yet.\n",
    )
    .after(Duration::from_secs(1))
}

async fn metrics(shared: &Shared, headers: &HeaderMap) -> Reply {
    let Some(place) = place(shared).await else {
        return Reply::plain(
            StatusCode::SERVICE_UNAVAILABLE,
            "As many scrapes as --web.max-requests allows are under way.\n",
        )
        .after(Duration::from_secs(1));
    };
    let format = negotiate::format(&joined(headers, &ACCEPT));
    let page = match format {
        Format::OpenMetrics(_) => Page::OpenMetrics,
        Format::Text => Page::Text,
    };
    let mut reply = paged(shared, headers, page, format.content_type());
    reply.place = Some(place);
    reply.with(VARY, "Accept, Accept-Encoding")
}

/// A place among the concurrent scrapes. When there is none, a client that has been stuck with its
/// answer loses its own: those who do not read must not keep out those who do.
async fn place(shared: &Shared) -> Option<OwnedSemaphorePermit> {
    if let Ok(place) = Arc::clone(&shared.places).try_acquire_owned() {
        return Some(place);
    }
    shared.table.end_stuck(shared.limits.stuck);
    let place = Arc::clone(&shared.places).acquire_owned();
    tokio::time::timeout(shared.limits.queue, place)
        .await
        .ok()?
        .ok()
}

fn status(shared: &Shared, request: &Request<Incoming>) -> Reply {
    let page = match request.uri().query() {
        Some("live") => Page::LiveStatus,
        _ => Page::Status,
    };
    paged(shared, request.headers(), page, "text/html; charset=utf-8")
        .with(VARY, "Accept-Encoding")
        // The page has its style within and nothing else: no script, no outside.
        .with(
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; \
             form-action 'none'",
        )
}

fn paged(shared: &Shared, headers: &HeaderMap, page: Page, kind: &'static str) -> Reply {
    let snapshot = Arc::clone(&shared.latest.borrow());
    let gzip = negotiate::gzip(&joined(headers, &ACCEPT_ENCODING));
    let mut reply = Reply::plain(StatusCode::OK, shared.pages.get(&snapshot, page, gzip));
    reply.kind = kind;
    if gzip {
        reply.with(CONTENT_ENCODING, "gzip")
    } else {
        reply
    }
}

/// What is known of the zone that the query names.
fn intensity(almanac: &Almanac, request: &Request<Incoming>) -> Reply {
    let refused = |status, text: String| Reply {
        kind: "application/json",
        ..Reply::plain(status, serde_json::json!({"error": text}).to_string())
    };
    let sheet = match almanac.find(request.uri().query().unwrap_or_default()) {
        Ok(sheet) => sheet,
        Err(Missing::Asked(text)) => return refused(StatusCode::BAD_REQUEST, text),
        Err(Missing::Known(text)) => return refused(StatusCode::NOT_FOUND, text),
    };
    let same = joined(request.headers(), &IF_NONE_MATCH);
    let is_same = same
        .split(',')
        .any(|mark| mark.trim() == sheet.mark || mark.trim() == "*");
    let mut reply = match is_same {
        true => Reply::plain(StatusCode::NOT_MODIFIED, Bytes::new()),
        false => Reply::plain(StatusCode::OK, sheet.body.clone()),
    };
    reply.kind = "application/json";
    if let Ok(mark) = HeaderValue::from_str(&sheet.mark) {
        reply.headers.push((ETAG, mark));
    }
    reply.with(CACHE_CONTROL, "no-cache")
}

async fn reload(shared: &Arc<Shared>) -> Reply {
    let failed = |reason: String| Reply::plain(StatusCode::INTERNAL_SERVER_ERROR, reason);
    let access = Arc::clone(shared);
    let read = tokio::task::spawn_blocking(move || access.access.reload()).await;
    if let Ok(Err(error)) = read {
        return failed(format!("Not reloaded, all stays as it was: {error}\n"));
    }
    let (sent, result) = oneshot::channel();
    match shared.reload.try_send(sent) {
        Ok(()) => {}
        Err(mpsc::error::TrySendError::Full(_)) => {
            return Reply::plain(StatusCode::SERVICE_UNAVAILABLE, "A reload is under way.\n")
                .after(Duration::from_secs(1));
        }
        Err(mpsc::error::TrySendError::Closed(_)) => {
            return failed("Not reloaded: the program is shutting down.\n".to_owned());
        }
    }
    match tokio::time::timeout(shared.limits.reload, result).await {
        Ok(Ok(Ok(()))) => Reply::plain(StatusCode::OK, "Reloaded.\n"),
        Ok(Ok(Err(reason))) => failed(format!("Not reloaded, all stays as it was: {reason}\n")),
        Ok(Err(_)) => failed("Not reloaded: the program is shutting down.\n".to_owned()),
        Err(_) => failed("The reload takes long; the log will tell how it ended.\n".to_owned()),
    }
}

/// All values of a header that is a list, as one.
fn joined(headers: &HeaderMap, name: &HeaderName) -> String {
    let values = headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok());
    values.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes() {
        let cases = [
            (Method::GET, "/metrics", Route::Metrics),
            (Method::HEAD, "/metrics", Route::Metrics),
            (Method::POST, "/metrics", Route::WrongMethod("GET, HEAD")),
            (Method::GET, "/", Route::Status),
            (Method::OPTIONS, "/", Route::WrongMethod("GET, HEAD")),
            (Method::GET, "/-/healthy", Route::Healthy),
            (Method::GET, "/-/ready", Route::Ready),
            (Method::POST, "/-/reload", Route::Reload),
            (Method::GET, "/-/reload", Route::WrongMethod("POST")),
            (Method::GET, "/metrics/", Route::Unknown),
            (Method::GET, "/Metrics", Route::Unknown),
            (Method::GET, "//metrics", Route::Unknown),
            (Method::OPTIONS, "*", Route::Unknown),
        ];
        for (method, path, expected) in cases {
            assert_eq!(
                Route::of(&method, path, "/metrics"),
                expected,
                "{method} {path}"
            );
        }
        assert_eq!(Route::of(&Method::GET, "/", "/"), Route::Metrics);
        assert_eq!(Route::of(&Method::GET, "/metrics", "/"), Route::Unknown);
    }

    #[test]
    fn a_time_to_come_back_is_whole_and_not_now() {
        let seconds = |millis| {
            let reply = Reply::plain(StatusCode::OK, "").after(Duration::from_millis(millis));
            reply.headers[0].1.to_str().unwrap().to_owned()
        };
        assert_eq!(
            (seconds(0), seconds(1), seconds(1000)),
            ("1".into(), "1".into(), "1".into())
        );
        assert_eq!(seconds(1001), "2");
    }
}
