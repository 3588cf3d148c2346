//! The sockets to listen on: by address, or from systemd.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::os::unix::net::UnixListener;

/// Connections that may wait to be accepted; the kernel bounds it by `net.core.somaxconn`. The standard
/// library's 128 overflow in a burst, and who comes then tries again only after a second.
const BACKLOG: i32 = 4096;

/// Why an address cannot be listened on, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {reason}")]
pub struct BindError {
    address: String,
    reason: String,
}

impl BindError {
    fn new(address: &str, reason: impl fmt::Display) -> Self {
        Self {
            address: address.to_owned(),
            reason: reason.to_string(),
        }
    }
}

/// The sockets that are served.
#[derive(Debug)]
pub struct Sockets {
    /// Those of HTTP: one at least.
    pub web: Vec<TcpListener>,
    /// The one on which runs are told, where systemd has opened it.
    pub runs: Option<UnixListener>,
}

/// Opens a listening socket for each of `addresses`, or, with `systemd_socket`, takes those that
/// systemd has opened instead. A unix socket of systemd's is taken in either case.
///
/// An address is `host:port`, `127.0.0.1:10061`, `[::1]:10061`, or `:10061` for every interface, IPv6
/// and IPv4. Port 0 takes a free one.
///
/// # Errors
/// The first address that is malformed or cannot be had, why, and what to do about it; or that systemd
/// has passed no stream socket.
pub fn bind(addresses: &[String], systemd_socket: bool) -> Result<Sockets, BindError> {
    let (passed, runs) = activated()?;
    if systemd_socket {
        if passed.is_empty() {
            return Err(BindError::new(
                WHOM,
                "none was passed; start the .socket unit, or leave out --web.systemd-socket",
            ));
        }
        return Ok(Sockets { web: passed, runs });
    }
    if addresses.is_empty() {
        return Err(BindError::new(
            "no address",
            "give one with --web.listen-address=:10061",
        ));
    }
    let web = addresses.iter().map(|address| listen(address));
    Ok(Sockets {
        web: web.collect::<Result<_, _>>()?,
        runs,
    })
}

const WHOM: &str = "the sockets of systemd";

/// What systemd has passed: TCP sockets, and a unix socket.
fn activated() -> Result<(Vec<TcpListener>, Option<UnixListener>), BindError> {
    let mut passed = listenfd::ListenFd::from_env();
    let (mut web, mut runs) = (Vec::new(), None);
    for index in 0..passed.len() {
        // One that is not of the kind stays where it is.
        match passed.take_tcp_listener(index) {
            Ok(listener) => web.extend(listener),
            Err(error) => match passed.take_unix_listener(index) {
                Ok(listener) => runs = listener.or(runs),
                Err(_) => {
                    return Err(BindError::new(
                        WHOM,
                        format!(
                            "number {index} is neither a TCP nor a unix stream socket ({error}); use ListenStream="
                        ),
                    ));
                }
            },
        }
    }
    Ok((web, runs))
}

fn listen(address: &str) -> Result<TcpListener, BindError> {
    let candidates = candidates(address).map_err(|reason| BindError::new(address, reason))?;
    let mut failure = None;
    for candidate in candidates {
        // Listening a second time only changes the backlog.
        let bound = TcpListener::bind(candidate)
            .and_then(|listener| Ok(rustix::net::listen(&listener, BACKLOG).map(|()| listener)?));
        match bound {
            Ok(listener) => return Ok(listener),
            Err(error) => {
                let first = failure.get_or_insert((candidate, error));
                // Without IPv6 the next candidate is the same port on IPv4; a port in use is in use.
                if first.1.kind() == ErrorKind::AddrInUse {
                    break;
                }
            }
        }
    }
    let reason = match failure {
        Some((candidate, error)) => explain(candidate, &error),
        None => "the name has no address".to_owned(),
    };
    Err(BindError::new(address, reason))
}

/// Whether `address` has the form of one, without asking for the name that may be in it.
///
/// # Errors
/// What is wrong with it, and what to write.
pub fn well_formed(address: &str) -> Result<(), String> {
    parse(address).map(|_| ())
}

/// What stands before the port.
enum Host<'a> {
    Every,
    Ipv6(Ipv6Addr),
    Name(&'a str),
}

fn parse(address: &str) -> Result<(Host<'_>, u16), String> {
    const FORM: &str = "write host:port, [IPv6]:port or :port, such as :10061";
    if address.contains("://") {
        return Err(format!("a URL is not expected here; {FORM}"));
    }
    let parts = address.rsplit_once(':');
    let Some((host, port)) = parts.filter(|_| !address.ends_with(']')) else {
        return Err(format!("the port is missing; {FORM}"));
    };
    let port: u16 = port
        .parse()
        .map_err(|_| format!("{port:?} is no port number, 0 to 65535; {FORM}"))?;
    if host.is_empty() {
        return Ok((Host::Every, port));
    }
    if let Some(inner) = host.strip_prefix('[') {
        let inner = inner.strip_suffix(']').and_then(|inner| inner.parse().ok());
        let inner = inner.ok_or_else(|| format!("{host} is no IPv6 address; {FORM}"))?;
        return Ok((Host::Ipv6(inner), port));
    }
    if host.contains(':') {
        return Err(format!(
            "an IPv6 address stands in brackets: [{host}]:{port}"
        ));
    }
    Ok((Host::Name(host), port))
}

/// The socket addresses that `address` may mean, in the order to try them.
fn candidates(address: &str) -> Result<Vec<SocketAddr>, String> {
    let (host, port) = match parse(address)? {
        (Host::Every, port) => return Ok(vec![([0u16; 8], port).into(), ([0u8; 4], port).into()]),
        (Host::Ipv6(host), port) => return Ok(vec![(host, port).into()]),
        (Host::Name(host), port) => (host, port),
    };
    match (host, port).to_socket_addrs() {
        Ok(found) => {
            let mut found: Vec<_> = found.collect();
            found.sort_by_key(SocketAddr::is_ipv6);
            Ok(found)
        }
        Err(error) => Err(format!("{host} has no address: {error}")),
    }
}

fn explain(address: SocketAddr, error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::AddrInUse => {
            let holder = match holder(address.port()) {
                Some(process) => format!("{process} listens there"),
                None => "another process listens there (`ss -ltnp` tells which)".to_owned(),
            };
            format!("the port is in use: {holder}; stop it, or choose another --web.listen-address")
        }
        ErrorKind::PermissionDenied => format!(
            "permission denied: ports below 1024 need CAP_NET_BIND_SERVICE; choose a higher port than \
             {}",
            address.port()
        ),
        ErrorKind::AddrNotAvailable => {
            format!(
                "no interface of this machine has the address {}; see `ip address`",
                address.ip()
            )
        }
        _ => error.to_string(),
    }
}

/// The process that listens on `port`, as far as this one may see.
fn holder(port: u16) -> Option<String> {
    let sockets = [procfs::net::tcp(), procfs::net::tcp6()];
    let inode = sockets.into_iter().flatten().flatten().find_map(|socket| {
        let listens = socket.state == procfs::net::TcpState::Listen;
        (listens && socket.local_address.port() == port).then_some(socket.inode)
    })?;
    let holds = |process: &procfs::process::Process| {
        process.fd().is_ok_and(|mut descriptors| {
            descriptors.any(|descriptor| {
                let target = descriptor.map(|descriptor| descriptor.target);
                matches!(target, Ok(procfs::process::FDTarget::Socket(held)) if held == inode)
            })
        })
    };
    let process = procfs::process::all_processes()
        .ok()?
        .flatten()
        .find(holds)?;
    let name = process.stat().ok()?.comm;
    Some(format!("{name:?} (process {})", process.pid()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(text: &str) -> Vec<String> {
        candidates(text)
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn forms_of_an_address() {
        assert_eq!(addresses(":10061"), ["[::]:10061", "0.0.0.0:10061"]);
        assert_eq!(addresses("127.0.0.1:0"), ["127.0.0.1:0"]);
        assert_eq!(addresses("[::1]:9000"), ["[::1]:9000"]);
        assert_eq!(
            addresses("localhost:80").first().map(String::as_str),
            Some("127.0.0.1:80")
        );
    }

    #[test]
    fn malformed_addresses_say_what_to_write() {
        let cases = [
            ("10061", "the port is missing"),
            ("", "the port is missing"),
            ("[::1]", "the port is missing"),
            ("[::1:9000", "is no IPv6 address"),
            ("localhost:", "is no port number"),
            (":http", "is no port number"),
            (":65536", "is no port number"),
            ("::1:9000", "[::1]:9000"),
            ("[::g]:9000", "is no IPv6 address"),
            ("http://localhost:1", "a URL is not expected"),
            ("no.such.host.invalid:1", "has no address"),
        ];
        for (text, expected) in cases {
            let reason = candidates(text).unwrap_err();
            assert!(reason.contains(expected), "{text}: {reason}");
        }
    }

    #[test]
    fn every_interface_is_both_families() {
        let listener = &bind(&[":0".to_owned()], false).unwrap().web[0];
        let port = listener.local_addr().unwrap().port();
        std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        if listener.local_addr().unwrap().is_ipv6() {
            std::net::TcpStream::connect(("::1", port)).unwrap();
        }
    }

    #[test]
    fn a_port_in_use_says_by_whom() {
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = held.local_addr().unwrap().to_string();
        let error = bind(std::slice::from_ref(&address), false)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(&format!("cannot listen on {address}: the port is in use: ")));
        assert!(
            error.contains(&format!("(process {})", std::process::id())),
            "{error}"
        );
    }

    #[test]
    fn several_addresses_and_none() {
        let listeners = bind(&["127.0.0.1:0".to_owned(), "127.0.0.1:0".to_owned()], false).unwrap();
        assert_eq!((listeners.web.len(), listeners.runs.is_none()), (2, true));
        assert!(bind(&[], false).is_err());
    }
}
