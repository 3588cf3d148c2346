use super::values::duration;
use super::*;
use proptest::prelude::*;

const HASH: &str = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";

fn read(text: &str) -> Result<WebConfig, String> {
    parse(text, Path::new("/etc/gramwatt/web.yml")).map_err(|error| error.to_string())
}

fn refused(text: &str) -> String {
    let error = read(text).unwrap_err();
    assert!(
        error.starts_with("web configuration /etc/gramwatt/web.yml: "),
        "{error}"
    );
    error
}

const TLS: &str = "tls_server_config:\n  cert_file: server.crt\n  key_file: /keys/server.key\n";

#[test]
fn nothing_is_plain_http_for_everybody() {
    for text in [
        "",
        "---\n",
        "# only words\n",
        "{}",
        "tls_server_config:\nbasic_auth_users:\n",
    ] {
        let config = read(text).unwrap();
        assert!(
            config.tls.is_none() && config.users.is_empty() && config.http2,
            "{text:?}"
        );
    }
}

#[test]
fn everything_at_once() {
    let config = read(&format!(
        "tls_server_config:\n  cert_file: server.crt\n  key_file: /keys/server.key\n  \
         client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n  \
         client_allowed_sans: [scraper.lab, '2001:0db8:0::7']\n  min_version: TLS12\n  \
         max_version: TLS13\n  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]\n  \
         prefer_server_cipher_suites: false\n  curve_preferences: [X25519, CurveP521]\n\
         http_server_config:\n  http2: false\n  headers:\n    X-Frame-Options: deny\n    \
         X-Content-Type-Options: nosniff\n    X-XSS-Protection: ''\n    \
         Strict-Transport-Security: max-age=31536000\n\
         basic_auth_users:\n  anna: {HASH}\nrate_limit:\n  interval: 1m30s\n  burst: 20\n"
    ))
    .unwrap();
    let tls = config.tls.unwrap();
    assert_eq!(tls.cert, Material::File("/etc/gramwatt/server.crt".into()));
    assert_eq!(tls.key, Material::File("/keys/server.key".into()));
    assert_eq!(
        tls.client_ca,
        Some(Material::File("/etc/gramwatt/ca.crt".into()))
    );
    assert_eq!(tls.client_auth, ClientAuth::RequireAndVerifyClientCert);
    assert_eq!(tls.client_allowed_sans, ["scraper.lab", "2001:db8::7"]);
    assert_eq!(tls.cipher_suites, [Cipher::RsaAes128]);
    assert_eq!(tls.curve_preferences, [Curve::X25519, Curve::P521]);
    assert!(!tls.prefer_server_cipher_suites && !config.http2);
    let headers: Vec<_> = config
        .headers
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(
        headers,
        [
            "x-frame-options",
            "x-content-type-options",
            "strict-transport-security"
        ]
    );
    assert_eq!(config.users["anna"].cost(), 10);
    let expected = Rate {
        interval: Duration::from_secs(90),
        burst: 20,
    };
    assert_eq!(config.rate, Some(expected));
    assert!(config.warnings.is_empty());
}

/// Each text (a line beginning with `+` goes into a TLS section that is otherwise right) and what its
/// refusal says.
const MISTAKES: &[(&str, &[&str])] = &[
    (
        "tls_server_confg: {}",
        &["did you mean `tls_server_config`", "line 1 column 1"],
    ),
    (
        "tls_server_config:\n  cert_file: a\n  cert_fiel: b",
        &["did you mean `cert_file`", "line 3 column 3"],
    ),
    (
        "http_server_config:\n  http2: 7",
        &["http2", "line 2", "boolean"],
    ),
    ("- a\n- b", &["line 1"]),
    ("a: [1", &["line"]),
    (
        "rate_limit: {}\n---\nrate_limit: {}",
        &["more than one document"],
    ),
    (
        "basic_auth_users: {}\nbasic_auth_users: {}",
        &["duplicate field"],
    ),
    (
        "basic_auth_users:\n  a: HASH\n  a: HASH",
        &["\"a\" is there twice", "line 2"],
    ),
    ("basic_auth_users:\n  'a:b': HASH", &["colon"]),
    (
        "basic_auth_users:\n  a: secret",
        &["not a bcrypt hash", "htpasswd"],
    ),
    (
        "basic_auth_users:\n  a: $2y$17$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi",
        &["cost of 17", "4 to 16"],
    ),
    (
        "http_server_config: {headers: {Server: x}}",
        &["unknown key `Server`"],
    ),
    (
        "http_server_config: {headers: {X-Frame-Options: denny}}",
        &["did you mean `deny`"],
    ),
    (
        "http_server_config: {headers: {X-Content-Type-Options: sniff}}",
        &["expected one of `nosniff`"],
    ),
    (
        "http_server_config: {headers: {X-XSS-Protection: \"a\\nb\"}}",
        &["cannot stand in an HTTP header"],
    ),
    ("rate_limit: {interval: 1s}", &["burst must be at least 1"]),
    ("rate_limit: {interval: 10, burst: 1}", &["with its unit"]),
    (
        "rate_limit: {interval: 5 minutes, burst: 1}",
        &["with its unit"],
    ),
    ("rate_limit: {interval: 1s, burst: -1}", &["burst"]),
    (
        "tls_server_config: {min_version: TLS13}",
        &["cert_file (or cert) is missing"],
    ),
    (
        "tls_server_config: {cert_file: a}",
        &["key_file (or key) is missing"],
    ),
    ("tls_server_config: {cert_file: ''}", &["is empty"]),
    ("+cert: x", &["both cert and cert_file"]),
    (
        "+min_version: TLS14",
        &["unknown TLS version `TLS14`", "did you mean `TLS1"],
    ),
    (
        "+max_version: TLS11\n  min_version: TLS10",
        &["leaves nothing to speak"],
    ),
    (
        "+max_version: TLS12\n  min_version: TLS13",
        &["is above max_version"],
    ),
    (
        "+cipher_suites: [TLS_NULL]",
        &["unknown cipher suite `TLS_NULL`"],
    ),
    ("+curve_preferences: [P256]", &["unknown curve `P256`"]),
    ("+client_auth_type: Requre", &["unknown client_auth_type"]),
    (
        "+client_ca_file: a",
        &["client_auth_type: RequireAndVerifyClientCert"],
    ),
    (
        "+client_allowed_sans: [a]",
        &["does nothing without certificates"],
    ),
    ("+client_allowed_sans: []", &["would let nobody in"]),
    (
        "+client_auth_type: RequireAndVerifyClientCert",
        &["needs client_ca_file"],
    ),
    (
        "+client_auth_type: VerifyClientCertIfGiven",
        &["needs client_ca_file"],
    ),
];

#[test]
fn mistakes_are_named_placed_and_mended() {
    for (text, expected) in MISTAKES {
        let text = match text.strip_prefix('+') {
            Some(line) => format!("{TLS}  {line}\n"),
            None => text.replace("HASH", HASH),
        };
        let error = refused(&text);
        for part in *expected {
            assert!(error.contains(part), "{text}\n{error}\nlacks: {part}");
        }
        assert!(!error.contains(HASH), "a secret in an error: {error}");
    }
}

#[test]
fn what_is_done_otherwise_is_said() {
    let warned = |text: &str| read(text).unwrap().warnings.join("\n");
    assert!(warned(&format!("{TLS}  min_version: TLS10\n")).contains("taken as TLS12"));
    assert!(
        warned(&format!("{TLS}  client_auth_type: RequireAnyClientCert\n")).contains("anybody")
    );
    assert!(warned(&format!("basic_auth_users: {{a: {HASH}}}\n")).contains("in the clear"));
}

#[test]
fn secrets_stay_out_of_debug_output() {
    let text = format!(
        "tls_server_config: {{cert: CERT, key: SECRET}}\nbasic_auth_users: {{a: {HASH}}}\n"
    );
    let shown = format!("{:?}", read(&text).unwrap());
    assert!(
        !shown.contains("SECRET") && !shown.contains(HASH),
        "{shown}"
    );
}

#[test]
fn durations_as_go_writes_them() {
    let cases = [
        ("0", Some(0)),
        ("0s", Some(0)),
        ("1s", Some(1000)),
        ("1.5s", Some(1500)),
        ("1m30s", Some(90_000)),
        ("500ms", Some(500)),
        ("1h0m", Some(3_600_000)),
        ("", None),
        ("1", None),
        ("s", None),
        ("1d", None),
        ("-1s", None),
        ("1..5s", None),
        ("9999999h", None),
    ];
    for (text, millis) in cases {
        assert_eq!(duration(text), millis.map(Duration::from_millis), "{text}");
    }
}

proptest! {
    #[test]
    fn anything_is_survived(text in any::<String>()) {
        let _ = read(&text);
        let _ = duration(&text);
    }

    #[test]
    fn anything_like_it_is_survived(
        lines in proptest::collection::vec(
            "( {0,4})(tls_server_config|cert|key|client_auth_type|basic_auth_users|a|rate_limit|interval|burst|- x)(: ?)(\\[|\\{|TLS12|1s|&a|\\*a|x)?", 0..8)
    ) {
        let _ = read(&lines.join("\n"));
    }
}
