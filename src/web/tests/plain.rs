//! Over plain TCP: routes, forms, bounds.

use super::client::{HANG, Server, Setup, answer, ask, end, get};
use crate::exposition;
use crate::snapshot::Snapshot;
use crate::web::Limits;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

fn ready() -> Arc<Snapshot> {
    Arc::new(Snapshot {
        ready: true,
        ..Snapshot::default()
    })
}

#[tokio::test]
async fn metrics_in_the_form_that_is_asked_for() {
    let server = Server::start();
    let snapshot = server.snapshots.borrow().clone();
    let classic = server.get("/metrics", &[]).await;
    assert_eq!(classic.status, 200);
    assert_eq!(
        classic.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    assert_eq!(classic.header("vary"), Some("Accept, Accept-Encoding"));
    assert_eq!(classic.text(), exposition::text(&snapshot));
    let accept = "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5";
    let open = server.get("/metrics?collect[]=x", &[accept]).await;
    assert_eq!(
        open.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    assert_eq!(open.text(), exposition::openmetrics(&snapshot));
    // Two header lines are one list.
    let split = [
        "Accept: text/plain;q=0.5",
        "Accept: application/openmetrics-text",
    ];
    assert_eq!(server.get("/metrics", &split).await.text(), open.text());
}

#[tokio::test]
async fn gzip_when_asked_for_and_only_then() {
    let server = Server::start();
    for path in ["/metrics", "/"] {
        let plain = server
            .get(path, &["Accept-Encoding: gzip;q=0, identity"])
            .await;
        assert_eq!(plain.header("content-encoding"), None);
        let packed = server.get(path, &["Accept-Encoding: gzip"]).await;
        assert_eq!(packed.header("content-encoding"), Some("gzip"));
        assert!(packed.header("vary").unwrap().contains("Accept-Encoding"));
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(&packed.body[..])
            .read_to_end(&mut unpacked)
            .unwrap();
        assert_eq!(unpacked, plain.body);
    }
}

#[tokio::test]
async fn head_says_what_get_says_without_the_body() {
    let server = Server::start();
    for path in ["/metrics", "/", "/-/healthy", "/-/ready", "/nowhere"] {
        let mut stream = server.connect().await;
        let full = ask(&mut stream, &get(path, &[])).await;
        let request = get(path, &[]).replacen("GET", "HEAD", 1);
        let head = ask(&mut stream, &request).await;
        let undated = |text: &str| -> Vec<String> {
            text.lines()
                .filter(|line| !line.starts_with("date"))
                .map(str::to_owned)
                .collect()
        };
        assert_eq!(undated(&head.head), undated(&full.head), "{path}");
        assert_eq!(
            head.header("content-length"),
            Some(&*full.body.len().to_string()),
            "{path}"
        );
        // Nothing of a body is left over to be taken for the next answer.
        assert_eq!(ask(&mut stream, &get("/-/healthy", &[])).await.status, 200);
    }
}

#[tokio::test]
async fn a_new_snapshot_is_served_at_once() {
    let server = Server::start();
    let before = server.get("/metrics", &[]).await;
    let snapshot = Arc::new(Snapshot {
        demo: true,
        ready: true,
        ..Snapshot::default()
    });
    server.snapshots.send_replace(Arc::clone(&snapshot));
    let after = server.get("/metrics", &[]).await;
    assert_eq!(after.text(), exposition::text(&snapshot));
    assert_ne!(before.text(), after.text());
}

#[tokio::test]
async fn healthy_always_ready_after_the_first_sample() {
    let server = Server::start();
    assert_eq!(server.get("/-/healthy", &[]).await.status, 200);
    let waiting = server.get("/-/ready", &[]).await;
    assert_eq!(
        (waiting.status, waiting.header("retry-after")),
        (503, Some("1"))
    );
    server.snapshots.send_replace(ready());
    assert_eq!(server.get("/-/ready", &[]).await.status, 200);
}

#[tokio::test]
async fn what_is_not_there_and_what_is_asked_wrongly() {
    let server = Server::start();
    let unknown = server.get("/metric", &[]).await;
    assert_eq!(unknown.status, 404);
    for path in [
        "/metrics",
        "/ (status)",
        "/-/healthy",
        "/-/ready",
        "/-/reload",
    ] {
        assert!(unknown.text().contains(path), "{path}");
    }
    let wrong = server
        .ask("DELETE /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;
    assert_eq!(
        (wrong.status, wrong.header("allow")),
        (405, Some("GET, HEAD"))
    );
    let wrong = server.get("/-/reload", &[]).await;
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("POST")));
    let nonsense = server.ask("no request at all\r\n\r\n").await;
    assert_eq!(nonsense.status, 400);
}

#[tokio::test]
async fn metrics_at_the_root_win() {
    let server = Setup {
        telemetry_path: "/",
        ..Setup::default()
    }
    .start();
    let root = server.get("/", &[]).await;
    assert_eq!(
        root.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    let unknown = server.get("/metrics", &[]).await;
    assert_eq!(unknown.status, 404);
    assert!(!unknown.text().contains("status"));
}

#[tokio::test]
async fn the_status_page_is_html_that_loads_nothing() {
    let server = Server::start();
    let page = server.get("/", &[]).await;
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert!(
        page.header("content-security-policy")
            .unwrap()
            .starts_with("default-src 'none'")
    );
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert!(page.text().contains("href=\"./metrics\""));
}

#[tokio::test]
async fn the_status_page_reloads_itself_when_asked() {
    let server = Server::start();
    for (path, reloads) in [("/", false), ("/?live", true), ("/?other", false)] {
        let page = server.get(path, &[]).await;
        assert_eq!(page.text().contains("\"refresh\""), reloads, "{path}");
    }
}

#[tokio::test]
async fn a_reload_tells_how_it_went() {
    let mut server = Server::start();
    const POST: &str = "POST /-/reload HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    for (result, status) in [(Ok(()), 200), (Err("line 3: no such zone".to_owned()), 500)] {
        let mut stream = server.connect().await;
        stream.write_all(POST.as_bytes()).await.unwrap();
        let asked = server.reloads.recv().await.unwrap();
        asked.send(result.clone()).unwrap();
        let response = answer(&mut stream, false).await.unwrap();
        assert_eq!(response.status, status);
        if let Err(reason) = result {
            assert!(response.text().contains(&reason));
        }
    }
    // One is under way, one waits: a third is sent away.
    let mut first = server.connect().await;
    first.write_all(POST.as_bytes()).await.unwrap();
    let held = server.reloads.recv().await.unwrap();
    let mut second = server.connect().await;
    second.write_all(POST.as_bytes()).await.unwrap();
    while server.reloads.is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.ask(POST).await.status, 503);
    drop(held);
    assert_eq!(answer(&mut first, false).await.unwrap().status, 500);
}

#[tokio::test]
async fn a_body_nobody_asked_for_is_ignored() {
    let server = Server::start();
    let mut stream = server.connect().await;
    let request = "GET /-/healthy HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";
    assert_eq!(ask(&mut stream, request).await.status, 200);
    assert_eq!(ask(&mut stream, &get("/-/healthy", &[])).await.status, 200);
    // One that never comes is not waited for.
    let mut stream = server.connect().await;
    let request = "GET /-/healthy HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n";
    assert_eq!(ask(&mut stream, request).await.status, 200);
    end(&mut stream).await;
}

#[tokio::test]
async fn a_client_that_closes_its_side_is_answered() {
    let server = Server::start();
    let mut stream = server.connect().await;
    stream
        .write_all(get("/-/healthy", &[]).as_bytes())
        .await
        .unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(answer(&mut stream, false).await.unwrap().status, 200);
}

#[tokio::test]
async fn an_endless_request_line_is_refused() {
    let server = Server::start();
    let mut stream = server.connect().await;
    let line = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(1 << 20));
    stream.write_all(line.as_bytes()).await.unwrap();
    let refused = answer(&mut stream, false)
        .await
        .expect("an answer, not a reset");
    assert!([414, 431].contains(&refused.status), "{refused:?}");
    end(&mut stream).await;
    // So are endless headers.
    let header = format!("X-A: {}", "a".repeat(1 << 20));
    assert_eq!(server.get("/metrics", &[&header]).await.status, 431);
}

fn hasty() -> Limits {
    let soon = Duration::from_millis(150);
    Limits {
        head: soon,
        answer: soon,
        ..Limits::default()
    }
}

#[tokio::test]
async fn a_slow_head_is_cut_off_however_it_trickles() {
    let server = Setup {
        limits: hasty(),
        ..Setup::default()
    }
    .start();
    let mut silent = server.connect().await;
    let mut slow = server.connect().await;
    let trickle = async {
        slow.write_all(b"GET /metrics HTTP/1.1\r\nX-A: ")
            .await
            .unwrap();
        // The pace of the trickle, well below the time it has.
        let mut pace = tokio::time::interval(Duration::from_millis(10));
        while slow.write_all(b"a").await.is_ok() {
            pace.tick().await;
        }
    };
    tokio::time::timeout(HANG, trickle).await.expect("cut off");
    assert!(end(&mut silent).await.is_empty());
    assert_eq!(server.get("/-/healthy", &[]).await.status, 200);
}

#[tokio::test]
async fn a_later_head_has_no_more_time_than_the_first() {
    let limits = Limits {
        head: Duration::from_millis(150),
        idle: 2 * HANG,
        ..Limits::default()
    };
    let server = Setup {
        limits,
        ..Setup::default()
    }
    .start();
    let mut stream = server.connect().await;
    assert_eq!(ask(&mut stream, &get("/-/healthy", &[])).await.status, 200);
    stream.write_all(b"GET /metrics HTTP").await.unwrap();
    assert!(end(&mut stream).await.is_empty());
}

#[tokio::test]
async fn an_idle_connection_outlives_the_time_of_a_head() {
    let limits = Limits {
        head: Duration::from_millis(50),
        ..Limits::default()
    };
    let server = Setup {
        limits,
        ..Setup::default()
    }
    .start();
    let mut stream = server.connect().await;
    assert_eq!(ask(&mut stream, &get("/-/healthy", &[])).await.status, 200);
    // Another one that says nothing is cut off meanwhile: that much time has passed.
    end(&mut server.connect().await).await;
    assert_eq!(ask(&mut stream, &get("/-/healthy", &[])).await.status, 200);
}

#[tokio::test]
async fn an_idle_connection_ends() {
    let limits = Limits {
        idle: Duration::from_millis(50),
        ..Limits::default()
    };
    let server = Setup {
        limits,
        ..Setup::default()
    }
    .start();
    let mut stream = server.connect().await;
    assert_eq!(ask(&mut stream, &get("/-/healthy", &[])).await.status, 200);
    assert!(end(&mut stream).await.is_empty());
}

#[tokio::test]
async fn an_order_to_shut_down_ends_the_waiting_and_finishes_the_rest() {
    let mut server = Server::start();
    let mut idle = server.connect().await;
    assert_eq!(ask(&mut idle, &get("/-/healthy", &[])).await.status, 200);
    let mut busy = server.connect().await;
    busy.write_all(b"POST /-/reload HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    let under_way = server.reloads.recv().await.unwrap();
    let mut half = server.connect().await;
    half.write_all(b"GET /metrics HTTP").await.unwrap();
    let address = server.address;
    let stopped = tokio::spawn(server.stop());
    assert!(end(&mut idle).await.is_empty());
    assert!(
        end(&mut half).await.is_empty(),
        "while the other is still under way"
    );
    assert!(
        tokio::net::TcpStream::connect(address).await.is_err(),
        "nothing is accepted"
    );
    under_way.send(Ok(())).unwrap();
    assert_eq!(answer(&mut busy, false).await.unwrap().status, 200);
    end(&mut busy).await;
    stopped.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_never_finishes_is_not_waited_for_longer_than_allowed() {
    let limits = Limits {
        drain: Duration::from_millis(50),
        ..Limits::default()
    };
    let mut server = Setup {
        limits,
        ..Setup::default()
    }
    .start();
    let mut busy = server.connect().await;
    busy.write_all(b"POST /-/reload HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    let _never_answered = server.reloads.recv().await.unwrap();
    server.stop().await.unwrap();
    assert!(end(&mut busy).await.is_empty());
}
