//! Many clients, and clients that do not read: those who do are still answered.

use super::certificates::{Lab, TLS, metrics};
use super::client::{HANG, Response, Server, Setup, answer, ask, end, get};
use crate::web::{Limits, limits};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

/// A connection from another loopback address, that is, of another peer.
async fn elsewhere(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    socket.connect(address).await.unwrap()
}

#[tokio::test]
async fn a_thousand_slow_clients_displace_each_other_and_nobody_else() {
    limits::raise_open_files();
    const CROWD: usize = 1000;
    const HELD: usize = 50;
    let limits = Limits {
        connections: HELD,
        ..Limits::default()
    };
    let server = Setup {
        limits,
        ..Setup::default()
    }
    .start();
    let mut scraper = elsewhere(server.address).await;
    assert_eq!(ask(&mut scraper, &get("/metrics", &[])).await.status, 200);
    let mut crowd = Vec::new();
    for number in 0..CROWD {
        let mut stream = server.connect().await;
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nX-Slow: ")
            .await
            .unwrap();
        crowd.push(stream);
        if number % 100 == 0 {
            // The scraper's connection lives, and one more of the crowd's own address is answered.
            assert_eq!(ask(&mut scraper, &get("/metrics", &[])).await.status, 200);
            assert_eq!(server.get("/-/healthy", &[]).await.status, 200);
        }
    }
    assert_eq!(ask(&mut scraper, &get("/metrics", &[])).await.status, 200);
    // Of the crowd no more are left than are held at once; the oldest went first.
    for stream in &mut crowd[..CROWD - HELD] {
        assert!(end(stream).await.is_empty());
    }
    let last = crowd.last_mut().unwrap();
    last.write_all(b"a\r\n\r\n").await.unwrap();
    assert_eq!(answer(last, false).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_client_that_asks_and_never_reads_is_cut_off() {
    let limits = Limits {
        answer: Duration::from_millis(100),
        ..Limits::default()
    };
    let server = Setup {
        limits,
        ..Setup::default()
    }
    .start();
    let mut stream = server.connect().await;
    let asking = async {
        let requests = get("/metrics", &[]).repeat(1000);
        while stream.write_all(requests.as_bytes()).await.is_ok() {}
    };
    tokio::time::timeout(HANG, asking).await.expect("cut off");
    assert_eq!(server.get("/metrics", &[]).await.status, 200);
}

/// A server with one place for scrapes, and a client that has taken it and takes nothing more.
async fn occupied(limits: Limits) -> (Lab, Server, h2::RecvStream) {
    let lab = Lab::new(TLS);
    let server = Setup {
        limits,
        max_requests: 1,
        ..Setup::guarded(lab.config())
    }
    .start();
    let mut sender = lab.client().http2(server.address, 0).await;
    let (response, _) = sender.send_request(metrics("GET"), true).unwrap();
    let body = response.await.unwrap().into_body();
    (lab, server, body)
}

async fn scrape(lab: &Lab, server: &Server, path: &str) -> Response {
    let mut stream = lab.client().connect(server.address).await.unwrap();
    ask(&mut stream, &get(path, &[])).await
}

#[tokio::test]
async fn one_scrape_too_many_is_told_to_come_back() {
    let queue = Duration::from_millis(20);
    let (lab, server, body) = occupied(Limits {
        queue,
        stuck: HANG,
        ..Limits::default()
    })
    .await;
    let second = scrape(&lab, &server, "/metrics").await;
    assert_eq!(
        (second.status, second.header("retry-after")),
        (503, Some("1"))
    );
    assert!(second.text().contains("--web.max-requests"));
    assert_eq!(
        scrape(&lab, &server, "/-/healthy").await.status,
        200,
        "only scrapes are counted"
    );
    // When the first gives up, its place is free.
    drop(body);
    assert_eq!(scrape(&lab, &server, "/metrics").await.status, 200);
}

#[tokio::test]
async fn an_answer_nobody_takes_ends_and_frees_its_place() {
    let limits = Limits {
        answer: Duration::from_millis(500),
        queue: HANG,
        stuck: HANG,
        ..Limits::default()
    };
    let (lab, server, mut body) = occupied(limits).await;
    let last = tokio::time::timeout(HANG, body.data())
        .await
        .expect("cut off");
    assert!(last.is_none_or(|data| data.is_err()));
    assert_eq!(scrape(&lab, &server, "/metrics").await.status, 200);
}

#[tokio::test]
async fn a_stuck_client_loses_its_place_to_one_that_reads() {
    let limits = Limits {
        stuck: Duration::ZERO,
        queue: HANG,
        ..Limits::default()
    };
    let (lab, server, mut body) = occupied(limits).await;
    assert_eq!(scrape(&lab, &server, "/metrics").await.status, 200);
    assert!(body.data().await.is_none_or(|data| data.is_err()));
}
