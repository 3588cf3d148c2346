//! The ways in: web configurations that Prometheus' own checker accepts as we do, and a socket that
//! systemd opened.

use crate::moving::Machine;
use crate::program::{Program, run};
use crate::tools::{mend, tool};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use std::net::TcpListener;
use std::process::{Command, Stdio};

#[test]
fn promtool_accepts_the_web_configurations_that_we_accept() {
    let machine = Machine::bare();
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    machine.write("cert.pem", cert.pem());
    machine.write("key.pem", signing_key.serialize_pem());
    let promtool = tool("promtool");
    let hash = "$2y$04$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01232";
    for text in [
        "tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n".to_owned(),
        "tls_server_config: {cert_file: cert.pem, key_file: key.pem, min_version: TLS13}\n\
         http_server_config: {http2: false}\n"
            .to_owned(),
        "tls_server_config: {cert_file: cert.pem, key_file: key.pem, client_ca_file: cert.pem, \
         client_auth_type: RequireAndVerifyClientCert}\n"
            .to_owned(),
        "tls_server_config: {cert_file: cert.pem, key_file: key.pem, curve_preferences: [X25519], \
         cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]}\n"
            .to_owned(),
        format!("basic_auth_users: {{ada: '{hash}'}}\n"),
        "http_server_config: {headers: {X-Frame-Options: deny}}\n".to_owned(),
    ] {
        let web = machine.write("web.yml", &text).display().to_string();
        let config = machine.write("gramwatt.yml", format!("web: {{config_file: {web}}}\n"));
        let ours = run(["check-config", &config.display().to_string()]);
        assert!(ours.status.success(), "{text}: {ours:?}");
        let theirs = Command::new(&promtool)
            .args(["check", "web-config", &web])
            .output()
            .unwrap_or_else(|error| mend(&promtool, &error));
        assert!(theirs.status.success(), "{text}: {theirs:?}");
    }
}

#[test]
fn a_socket_that_systemd_opened_is_served() {
    let machine = Machine::two_packages();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // As systemd does: descriptor 3, and the number of the process that it is for.
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\"",
            "sh",
        ])
        .arg(env!("CARGO_BIN_EXE_gramwatt"))
        .arg("--web.systemd-socket")
        .args(machine.with(&["--sensors.interval=100ms"]))
        .stdin(std::os::fd::OwnedFd::from(listener))
        .stderr(Stdio::piped());
    let program = Program::spawn(command);
    assert_eq!(program.address, address);
    assert_eq!(program.get("/metrics").status, 200);
    assert!(program.terminate().success());
    let none = run(machine.with(&["--web.systemd-socket"]));
    assert_eq!(none.status.code(), Some(2));
    let said = String::from_utf8(none.stderr).unwrap();
    assert!(said.contains("none was passed"), "{said}");
}
