use super::*;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

/// What a server does with a connection after it has read a request's head.
type Manner = fn(&mut dyn Write, &str);

/// A server that tells nobody of its end: its thread goes with the test's process.
fn server(manner: Manner) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(&stream, &mut &stream, manner));
        }
    });
    address
}

fn serve(read: impl Read, write: &mut dyn Write, manner: Manner) {
    let mut lines = BufReader::new(read).lines().map_while(Result::ok);
    let head: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
    manner(write, &head.join("\n"));
}

fn answer(to: &mut dyn Write, head: &str, body: &str) {
    let length = body.len();
    // A client that has seen enough hangs up.
    let _ = write!(
        to,
        "HTTP/1.1 {head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
}

fn client(trust: Trust) -> Client {
    let settings = Settings {
        trust,
        timeout: Duration::from_secs(5),
        proxy: false,
    };
    Client::new(&settings).unwrap()
}

fn get(address: SocketAddr, most: u64) -> Result<Reply, Error> {
    client(Trust::System).get(
        &format!("http://{address}/a?b=c"),
        &[("X-Odd".into(), "1".into())],
        most,
    )
}

#[test]
fn what_is_asked_and_answered() {
    let address = server(|to, head| answer(to, "200 OK\r\nETag: \"7\"\r\nRetry-After: 120", head));
    let reply = get(address, 1000).unwrap();
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("etag"), Some("\"7\""));
    assert_eq!(reply.retry_after(), Some(Duration::from_secs(120)));
    let asked = String::from_utf8(reply.body).unwrap().to_lowercase();
    assert!(asked.starts_with("get /a?b=c http/1.1"), "{asked}");
    assert!(
        asked.contains("x-odd: 1") && asked.contains("user-agent: gramwatt/"),
        "{asked}"
    );
}

#[test]
fn a_bad_status_is_an_answer_and_nobody_is_followed() {
    for status in [
        "401 Unauthorized",
        "302 Found\r\nLocation: http://127.0.0.1:1/",
        "500 Oh",
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let told = status.to_owned();
        thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
            while lines.next().is_some_and(|line| !line.is_empty()) {}
            answer(&mut &stream, &told, "");
        });
        let reply = get(address, 10).unwrap();
        assert!(status.starts_with(&reply.status.to_string()));
    }
}

#[test]
fn a_date_to_come_again_is_counted_from_the_servers_own_clock() {
    let address = server(|to, _| {
        let head = "503 No\r\nDate: Mon, 05 Jan 2026 12:00:00 GMT\r\nRetry-After: Mon, 05 Jan 2026 12:02:00 GMT";
        answer(to, head, "");
    });
    assert_eq!(
        get(address, 10).unwrap().retry_after(),
        Some(Duration::from_secs(120))
    );
}

#[test]
fn an_answer_without_end_is_cut_off() {
    let endless: Manner = |to, _| {
        let _ = write!(to, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        while to.write_all(&[b'x'; 4096]).is_ok() {}
    };
    let error = get(server(endless), 100_000).unwrap_err();
    assert!(matches!(error, Error::Large(100_000)), "{error}");
    // And one that says beforehand how large it is.
    let large: Manner = |to, _| {
        let _ = write!(
            to,
            "HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\nxxx"
        );
    };
    assert!(get(server(large), 100_000).is_err());
}

#[test]
fn an_answer_that_drips_is_given_up() {
    let drip: Manner = |to, _| {
        let _ = write!(to, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
        while to.write_all(b"x").and_then(|()| to.flush()).is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
    };
    let settings = Settings {
        trust: Trust::System,
        timeout: Duration::from_millis(300),
        proxy: false,
    };
    let error = Client::new(&settings)
        .unwrap()
        .get(&format!("http://{}/", server(drip)), &[], 10_000)
        .unwrap_err();
    assert!(matches!(error, Error::Late(_)), "{error:?}");
}

#[test]
fn what_is_no_http_is_told() {
    let address = server(|to, _| drop(write!(to, "SSH-2.0-OpenSSH_9.2\r\n")));
    let error = get(address, 10).unwrap_err();
    assert!(matches!(error, Error::Protocol(_)), "{error:?}");
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let error = get(free, 10).unwrap_err();
    assert!(error.mend().contains("nothing listens"), "{error:?}");
    let error = client(Trust::System)
        .get("http://no-such-host.invalid/", &[], 10)
        .unwrap_err();
    assert!(matches!(error, Error::Name), "{error:?}");
    for url in ["", "no url", "/relative", "ftp://host/"] {
        let error = client(Trust::System).get(url, &[], 10).unwrap_err();
        assert!(
            !error.to_string().is_empty() && !error.mend().is_empty(),
            "{url}: {error:?}"
        );
    }
}

/// A server with a certificate of its own making for `localhost`.
fn secure() -> (SocketAddr, String) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let config =
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
    let (config, listener) = (Arc::new(config), TcpListener::bind("127.0.0.1:0").unwrap());
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let session = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream: StreamOwned<_, TcpStream> = StreamOwned::new(session, stream);
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
                head.push(byte[0]);
            }
            answer(&mut stream, "200 OK", "hello");
        }
    });
    (address, cert.pem())
}

#[test]
fn a_certificate_is_checked_unless_that_is_given_up() {
    let (address, pem) = secure();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    std::fs::write(&path, pem).unwrap();
    let url = |host: &str| format!("https://{host}:{}/", address.port());
    let pinned = client(Trust::Authorities(path.clone()));
    assert_eq!(
        pinned.get(&url("localhost"), &[], 10).unwrap().body,
        b"hello"
    );
    // It is known by itself, whatever name it is for: nobody else has its key.
    assert_eq!(pinned.get(&url("127.0.0.1"), &[], 10).unwrap().status, 200);
    let (other, _) = secure();
    let stranger = format!("https://localhost:{}/", other.port());
    let error = pinned.get(&stranger, &[], 10).unwrap_err();
    assert!(matches!(error, Error::Tls(_)), "a stranger: {error:?}");
    let error = client(Trust::System)
        .get(&url("localhost"), &[], 10)
        .unwrap_err();
    assert!(
        matches!(error, Error::Tls(_)),
        "an unknown issuer: {error:?}"
    );
    assert!(error.mend().contains("ca_file"));
    assert_eq!(
        client(Trust::Anybody)
            .get(&url("127.0.0.1"), &[], 10)
            .unwrap()
            .status,
        200
    );
    for bad in [
        "",
        "no PEM",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        std::fs::write(&path, bad).unwrap();
        let settings = Settings {
            trust: Trust::Authorities(path.clone()),
            timeout: Duration::from_secs(5),
            proxy: false,
        };
        let made = Client::new(&settings);
        let failed = made.and_then(|client| client.get(&url("localhost"), &[], 10));
        assert!(failed.is_err(), "{bad:?}");
    }
}

#[test]
fn a_password_is_sent_as_rfc_7617_says() {
    let who: Credentials =
        serde_yaml::from_str("{username: Aladdin, password: open sesame}").unwrap();
    assert_eq!(basic(&who), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
}
