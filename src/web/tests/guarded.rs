//! TLS, certificates, passwords, headers and rates, by the web configuration file.

use super::certificates::{Authority, Client, Lab, TLS, metrics, tls};
use super::client::{HANG, Server, Setup, answer, ask, end, get};
use crate::web::{Limits, Settings, Site, access, serve_within};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

/// `anna` with `secret`, and `bert` with `other`; cheap to check.
fn users(names: &[&str]) -> String {
    let line = |name: &&str| {
        let password = if *name == "anna" { "secret" } else { "other" };
        format!("  {name}: {}\n", bcrypt::hash(password, 4).unwrap())
    };
    format!(
        "basic_auth_users:\n{}",
        names.iter().map(line).collect::<String>()
    )
}

/// `anna:secret` and `anna:wrong` and `bert:other`, RFC 7617.
const ANNA: &str = "Authorization: Basic YW5uYTpzZWNyZXQ=";
const WRONG: &str = "Authorization: Basic YW5uYTp3cm9uZw==";
const BERT: &str = "Authorization: Basic YmVydDpvdGhlcg==";

/// Whether a client gets an answer: with TLS 1.3 a refusal comes after the client's handshake.
async fn served(client: &Client, server: &Server) -> bool {
    let Ok(mut stream) = client.connect(server.address).await else {
        return false;
    };
    let _ = stream.write_all(get("/metrics", &[]).as_bytes()).await;
    answer(&mut stream, false)
        .await
        .is_some_and(|response| response.status == 200)
}

#[tokio::test]
async fn https_and_a_hint_for_http() {
    let lab = Lab::new(TLS);
    let server = Setup::guarded(lab.config()).start();
    let mut stream = lab.client().connect(server.address).await.unwrap();
    // One connection serves several requests.
    for _ in 0..2 {
        assert_eq!(ask(&mut stream, &get("/metrics", &[])).await.status, 200);
    }
    let mut plain = server.connect().await;
    let hint = ask(&mut plain, &get("/metrics", &[])).await;
    assert_eq!(hint.status, 400);
    assert!(hint.text().ends_with("https://.\n"), "the length is right");
    end(&mut plain).await;
}

#[tokio::test]
async fn a_certificate_can_stand_in_the_file() {
    let lab = Lab::new("");
    let pair = lab.authority.issue("localhost");
    let block = |text: &str| {
        text.lines()
            .map(|line| format!("    {line}\n"))
            .collect::<String>()
    };
    lab.write(
        "web.yml",
        &format!(
            "tls_server_config:\n  cert: |\n{}  key: |\n{}",
            block(&pair.certificate),
            block(&pair.key)
        ),
    );
    let server = Setup::guarded(lab.config()).start();
    assert!(served(&lab.client(), &server).await);
}

#[tokio::test]
async fn who_gets_in_by_client_auth_type() {
    // Served without a certificate, with one of the lab's, with one of a stranger's.
    let cases = [
        ("NoClientCert", [true, true, true]),
        ("RequestClientCert", [true, true, true]),
        ("RequireAnyClientCert", [false, true, true]),
        ("VerifyClientCertIfGiven", [true, true, false]),
        ("RequireAndVerifyClientCert", [false, true, false]),
    ];
    for (kind, expected) in cases {
        let authority = if kind == "NoClientCert" {
            ""
        } else {
            "  client_ca_file: ca.crt\n"
        };
        let lab = Lab::new(&tls(&format!("  client_auth_type: {kind}\n{authority}")));
        let server = Setup::guarded(lab.config()).start();
        let own = lab.client().presenting(lab.authority.issue("scraper.lab"));
        let strange = lab
            .client()
            .presenting(Authority::new().issue("scraper.lab"));
        let found = [
            served(&lab.client(), &server).await,
            served(&own, &server).await,
            served(&strange, &server).await,
        ];
        assert_eq!(found, expected, "{kind}");
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let client = Client {
                versions: vec![version],
                ..own.clone()
            };
            assert!(served(&client, &server).await, "{kind} {version:?}");
        }
    }
}

#[tokio::test]
async fn only_allowed_names_get_in() {
    let lab = Lab::new(&tls(
        "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n  \
         client_allowed_sans: [scraper.lab, 10.0.0.7]",
    ));
    let server = Setup::guarded(lab.config()).start();
    for (name, expected) in [
        ("scraper.lab", true),
        ("10.0.0.7", true),
        ("other.lab", false),
        ("10.0.0.8", false),
    ] {
        let client = lab.client().presenting(lab.authority.issue(name));
        assert_eq!(served(&client, &server).await, expected, "{name}");
    }
    let forged = lab
        .client()
        .presenting(Authority::new().issue("scraper.lab"));
    assert!(
        !served(&forged, &server).await,
        "the right name of the wrong authority"
    );
}

#[tokio::test]
async fn versions_suites_and_curves_are_as_written() {
    let lab = Lab::new(&tls("  min_version: TLS13"));
    let server = Setup::guarded(lab.config()).start();
    let old = Client {
        versions: vec![&rustls::version::TLS12],
        ..lab.client()
    };
    assert!(old.connect(server.address).await.is_err());
    assert!(served(&lab.client(), &server).await);

    let lab = Lab::new(&tls(
        "  max_version: TLS12\n  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, \
         TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA]\n  curve_preferences: [CurveP384, CurveP521]",
    ));
    let server = Setup::guarded(lab.config()).start();
    let stream = lab.client().connect(server.address).await.unwrap();
    let session = stream.get_ref().1;
    assert_eq!(
        session.protocol_version(),
        Some(rustls::ProtocolVersion::TLSv1_2)
    );
    assert_eq!(
        session.negotiated_cipher_suite().unwrap().suite(),
        rustls::CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
    );
    let group = session.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, rustls::NamedGroup::secp384r1);
}

#[tokio::test]
async fn http2_where_it_is_not_switched_off() {
    for (config, expected) in [
        (TLS.to_owned(), "h2"),
        (
            format!("{TLS}http_server_config: {{http2: false}}"),
            "http/1.1",
        ),
    ] {
        let lab = Lab::new(&config);
        let server = Setup::guarded(lab.config()).start();
        let client = Client {
            protocols: vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            ..lab.client()
        };
        let stream = client.connect(server.address).await.unwrap();
        assert_eq!(
            stream.get_ref().1.alpn_protocol(),
            Some(expected.as_bytes())
        );
    }
}

#[tokio::test]
async fn http2_answers_several_at_once() {
    let lab = Lab::new(TLS);
    let server = Setup::guarded(lab.config()).start();
    let mut sender = lab.client().http2(server.address, 65_535).await;
    let asked: Vec<_> = ["GET", "HEAD", "GET"]
        .map(|method| sender.send_request(metrics(method), true).unwrap().0)
        .into();
    let mut lengths = Vec::new();
    for response in asked {
        let response = response.await.unwrap();
        assert_eq!(response.status(), 200);
        let length: usize = response.headers()["content-length"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        let mut body = response.into_body();
        let mut read = 0;
        while let Some(data) = body.data().await {
            read += data.unwrap().len();
        }
        lengths.push((length, read));
    }
    let (length, _) = lengths[0];
    assert_eq!(lengths, [(length, length), (length, 0), (length, length)]);
}

#[tokio::test]
async fn a_handshake_that_never_comes_is_cut_off() {
    let lab = Lab::new(TLS);
    let limits = Limits {
        head: Duration::from_millis(50),
        ..Limits::default()
    };
    let server = Setup {
        limits,
        ..Setup::guarded(lab.config())
    }
    .start();
    let mut silent = server.connect().await;
    let mut half = server.connect().await;
    half.write_all(&[0x16, 3, 1, 2, 0, 1]).await.unwrap();
    assert!(end(&mut silent).await.is_empty());
    assert!(end(&mut half).await.is_empty());
}

#[tokio::test]
async fn passwords() {
    let lab = Lab::new(&users(&["anna"]));
    let server = Setup::guarded(lab.config()).start();
    for path in ["/metrics", "/", "/nowhere", "/-/reload"] {
        let refused = server.get(path, &[]).await;
        assert_eq!(refused.status, 401, "{path}");
        assert!(
            refused
                .header("www-authenticate")
                .unwrap()
                .starts_with("Basic realm=")
        );
        assert_eq!(server.get(path, &[WRONG]).await.status, 401, "{path}");
        assert_eq!(server.get(path, &[BERT]).await.status, 401, "{path}");
    }
    for _ in 0..2 {
        assert_eq!(server.get("/metrics", &[ANNA]).await.status, 200);
    }
    // A probe has no password.
    assert_eq!(server.get("/-/healthy", &[]).await.status, 200);
    assert_eq!(server.get("/-/ready", &[]).await.status, 503);
}

#[tokio::test]
async fn headers_are_on_every_answer_and_go_before_ours() {
    let lab = Lab::new(
        "http_server_config:\n  headers:\n    X-Frame-Options: deny\n    \
         Content-Security-Policy: default-src 'self'\n",
    );
    let server = Setup::guarded(lab.config()).start();
    for path in ["/metrics", "/", "/-/healthy", "/nowhere"] {
        let response = server.get(path, &[]).await;
        assert_eq!(response.header("x-frame-options"), Some("deny"), "{path}");
        assert_eq!(
            response.header("content-security-policy"),
            Some("default-src 'self'"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn requests_over_the_rate_are_told_when_to_come_back() {
    let lab = Lab::new("rate_limit: {interval: 1h, burst: 2}\n");
    let server = Setup::guarded(lab.config()).start();
    let mut found = Vec::new();
    for _ in 0..3 {
        found.push(server.get("/metrics", &[]).await);
    }
    assert_eq!(
        [found[0].status, found[1].status, found[2].status],
        [200, 200, 429]
    );
    let wait: u64 = found[2].header("retry-after").unwrap().parse().unwrap();
    assert!((3500..=3600).contains(&wait), "{wait}");
    assert_eq!(
        server.get("/-/healthy", &[]).await.status,
        200,
        "a probe is not counted"
    );
}

/// The certificate that a new connection is shown.
async fn shown(lab: &Lab, server: &Server) -> Vec<u8> {
    let stream = lab.client().connect(server.address).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test]
async fn a_new_certificate_is_shown_without_a_restart() {
    let lab = Lab::new(TLS);
    let limits = Limits {
        recheck: Duration::from_millis(5),
        ..Limits::default()
    };
    let server = Setup {
        limits,
        ..Setup::guarded(lab.config())
    }
    .start();
    let first = shown(&lab, &server).await;
    let mut old = lab.client().connect(server.address).await.unwrap();
    lab.install(&lab.authority.issue("localhost"));
    let changed = async { while shown(&lab, &server).await == first {} };
    tokio::time::timeout(HANG, changed)
        .await
        .expect("the new certificate");
    assert_eq!(
        ask(&mut old, &get("/metrics", &[])).await.status,
        200,
        "old connections go on"
    );
}

#[tokio::test]
async fn a_reload_reads_the_web_configuration_too() {
    let lab = Lab::new(&users(&["anna"]));
    let mut server = Setup::guarded(lab.config()).start();
    let post = |who| format!("POST /-/reload HTTP/1.1\r\nHost: a\r\n{who}\r\n\r\n");
    assert_eq!(server.get("/metrics", &[ANNA]).await.status, 200);
    lab.write("web.yml", "basic_auth_users: {anna: secret}\n");
    let failed = server.ask(&post(ANNA)).await;
    assert_eq!(failed.status, 500);
    assert!(
        failed.text().contains("not a bcrypt hash"),
        "{}",
        failed.text()
    );
    assert_eq!(
        server.get("/metrics", &[ANNA]).await.status,
        200,
        "the old one stays in force"
    );
    lab.write("web.yml", &users(&["bert"]));
    let mut stream = server.connect().await;
    stream.write_all(post(ANNA).as_bytes()).await.unwrap();
    server.reloads.recv().await.unwrap().send(Ok(())).unwrap();
    assert_eq!(answer(&mut stream, false).await.unwrap().status, 200);
    assert_eq!(
        server.get("/metrics", &[ANNA]).await.status,
        401,
        "a proof ends with its user"
    );
    assert_eq!(server.get("/metrics", &[BERT]).await.status, 200);
}

#[tokio::test]
async fn a_bad_file_is_an_error_before_anything_is_served() {
    let lab = Lab::new(TLS);
    let other = Authority::new().issue("localhost");
    let broken = [
        (
            "server.key",
            other.key.as_str(),
            "do not make a server certificate",
        ),
        (
            "server.crt",
            "no certificate",
            "server.crt holds no certificate in PEM",
        ),
        (
            "server.crt",
            "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
            "is not valid PEM",
        ),
        (
            "server.key",
            "no key",
            "server.key holds no unencrypted private key",
        ),
        (
            "web.yml",
            "tls_server_config: {cert_file: a, key_file: b}",
            "cannot be read: No such file",
        ),
        (
            "web.yml",
            "tls_server_config: {cert_file: ., key_file: b}",
            "is not a regular file",
        ),
        ("web.yml", "\u{0}", "web configuration"),
    ];
    for (name, text, expected) in broken {
        let before = std::fs::read_to_string(lab.path().join(name)).unwrap();
        lab.write(name, text);
        let error = access::check(&lab.config()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        let (_, latest) = tokio::sync::watch::channel(Arc::default());
        let settings = Settings {
            telemetry_path: "/metrics".to_owned(),
            config_file: Some(lab.config()),
            max_requests: 1,
        };
        let site = Site {
            almanac: None,
            settings,
            latest,
            reload: tokio::sync::mpsc::channel(1).0,
        };
        let served = serve_within(Limits::default(), Vec::new(), site, std::future::pending());
        assert_eq!(served.await.unwrap_err().to_string(), error);
        lab.write(name, &before);
    }
    access::check(&lab.config()).unwrap();
    assert!(access::check(&lab.path().join("absent.yml")).is_err());
}
