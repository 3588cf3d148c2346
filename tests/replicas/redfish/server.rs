//! A BMC over real TLS, as `README.md` beside says. Used by the unit tests and by those of the whole program.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

pub const USER: &str = "monitor";
pub const PASSWORD: &str = "hunter2-of-the-bmc";

/// How a path is answered, where not by the machine's body.
#[derive(Clone, Debug)]
pub enum Manner {
    /// This status and body.
    Says(u16, &'static str),
    /// To this place, with this status.
    Redirects(u16, String),
    /// Never.
    Silent,
    /// A byte at a time, without end.
    Drips,
    /// So many bytes.
    Large(usize),
    /// The connection is closed.
    HangsUp,
}

/// What a BMC knows.
#[derive(Default)]
pub struct State {
    pub bodies: BTreeMap<String, Value>,
    pub manners: BTreeMap<String, Manner>,
    pub password: String,
    /// Open sessions: token and path.
    pub sessions: BTreeMap<String, String>,
    /// Sessions ever made.
    pub made: u32,
    /// Passwords that were wrong.
    pub wrong: u32,
    /// Most sessions at once.
    pub places: usize,
    /// `METHOD path`, in order.
    pub asked: Vec<String>,
}

/// A BMC that ends when it is dropped.
pub struct Replica {
    pub address: SocketAddr,
    /// The authority of its certificate, in PEM.
    pub authority: String,
    state: Arc<Mutex<State>>,
    ended: Arc<AtomicBool>,
}

impl Replica {
    /// A BMC of this kind of machine, whose certificate is for `localhost`.
    pub fn start(kind: &str) -> Self {
        Self::dated(kind, &["localhost", "127.0.0.1"], |_| {})
    }

    /// One whose certificate is for these names, and otherwise as `shape` says.
    pub fn dated(kind: &str, names: &[&str], shape: impl FnOnce(&mut CertificateParams)) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/replicas/redfish");
        let bodies = std::fs::read(folder.join(format!("{kind}.json"))).unwrap();
        let (authority, config) = certificates(names, shape);
        let state = Arc::new(Mutex::new(State {
            bodies: serde_json::from_slice(&bodies).unwrap(),
            password: PASSWORD.to_owned(),
            places: 4,
            ..State::default()
        }));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let replica = Self {
            address,
            authority,
            state: Arc::clone(&state),
            ended: Arc::clone(&ended),
        };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                let (state, config, ended) =
                    (Arc::clone(&state), Arc::clone(&config), Arc::clone(&ended));
                thread::spawn(move || serve(stream, config, &state, &ended));
            }
        });
        replica
    }

    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn set(&self, path: &str, manner: Manner) {
        self.state().manners.insert(path.to_owned(), manner);
    }

    pub fn heal(&self, path: &str) {
        self.state().manners.remove(path);
    }

    /// Sets one value of a body.
    pub fn put(&self, path: &str, pointer: &str, value: Value) {
        let mut state = self.state();
        *state
            .bodies
            .get_mut(path)
            .unwrap()
            .pointer_mut(pointer)
            .unwrap() = value;
    }

    /// What was asked since the last call.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.state().asked)
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(self.address));
    }
}

static AUTHORITIES: AtomicU32 = AtomicU32::new(0);

fn certificates(
    names: &[&str],
    shape: impl FnOnce(&mut CertificateParams),
) -> (String, Arc<ServerConfig>) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    // No two authorities share a name.
    let number = AUTHORITIES.fetch_add(1, Ordering::Relaxed);
    params
        .distinguished_name
        .push(DnType::CommonName, format!("authority {number}"));
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    shape(&mut params);
    let key = KeyPair::generate().unwrap();
    // A BMC out of the box signs for itself.
    let (pem, trusted) = match params.is_ca {
        IsCa::NoCa => (
            params.signed_by(&key, &authority).unwrap().pem(),
            authority.pem(),
        ),
        _ => {
            let own = params.self_signed(&key).unwrap().pem();
            (own.clone(), own)
        }
    };
    let chain = vec![CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    (trusted, Arc::new(config))
}

struct Request {
    method: String,
    path: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

type Stream = StreamOwned<ServerConnection, TcpStream>;

fn serve(stream: TcpStream, config: Arc<ServerConfig>, state: &Mutex<State>, ended: &AtomicBool) {
    // A connection that nobody uses ends with the test.
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    stream.set_nodelay(true).unwrap();
    let connection = ServerConnection::new(config).unwrap();
    let mut stream = BufReader::new(StreamOwned::new(connection, stream));
    while let Some(request) = request(&mut stream) {
        let manner = {
            let mut state = state.lock().unwrap();
            state
                .asked
                .push(format!("{} {}", request.method, request.path));
            state.manners.get(&request.path).cloned()
        };
        if answer(stream.get_mut(), &request, manner, state, ended).is_none() {
            return;
        }
    }
}

fn request(stream: &mut BufReader<Stream>) -> Option<Request> {
    let mut line = String::new();
    stream.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers
        .get("content-length")
        .map_or(0, |text| text.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some(Request {
        method,
        path,
        headers,
        body,
    })
}

fn say(stream: &mut Stream, status: u16, headers: &str, body: &[u8]) -> Option<()> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status} Said\r\n{headers}Content-Length: {length}\r\n\r\n");
    stream.write_all(&[head.as_bytes(), body].concat()).ok()?;
    stream.flush().ok()
}

fn answer(
    stream: &mut Stream,
    request: &Request,
    manner: Option<Manner>,
    state: &Mutex<State>,
    ended: &AtomicBool,
) -> Option<()> {
    match manner {
        None => {
            let (status, headers, body) = bmc(&mut state.lock().unwrap(), request);
            say(stream, status, &headers, body.as_bytes())
        }
        Some(Manner::Says(status, body)) => say(stream, status, "", body.as_bytes()),
        Some(Manner::Redirects(status, place)) => {
            say(stream, status, &format!("Location: {place}\r\n"), b"")
        }
        Some(Manner::HangsUp) => None,
        Some(Manner::Silent) => {
            // Until the one who asked has gone.
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest);
            None
        }
        Some(Manner::Drips) => {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
            let endless = head.bytes().chain(std::iter::repeat(b'a'));
            for byte in endless.take_while(|_| !ended.load(Ordering::Relaxed)) {
                stream.write_all(&[byte]).ok()?;
                stream.flush().ok()?;
                thread::sleep(Duration::from_millis(10));
            }
            None
        }
        Some(Manner::Large(size)) => {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n");
            stream.write_all(head.as_bytes()).ok()?;
            let block = [b' '; 1 << 16];
            for _ in 0..size / block.len() {
                stream.write_all(&block).ok()?;
            }
            None
        }
    }
}

const SESSIONS: &str = "/redfish/v1/SessionService/Sessions";

/// What a BMC does of its own accord.
fn bmc(state: &mut State, request: &Request) -> (u16, String, String) {
    let error = |status: u16, id: &str| {
        let body = format!(
            r#"{{"error":{{"code":"Base.1.8.GeneralError","@Message.ExtendedInfo":[{{"MessageId":"Base.1.8.{id}"}}]}}}}"#
        );
        (status, String::new(), body)
    };
    let has_sessions = state.bodies["/redfish/v1/"]
        .pointer("/Links/Sessions")
        .is_some();
    if (request.method.as_str(), request.path.as_str()) == ("POST", SESSIONS) && has_sessions {
        let login: Value = serde_json::from_slice(&request.body).unwrap();
        if (&login["UserName"], &login["Password"])
            != (&Value::from(USER), &Value::from(state.password.clone()))
        {
            state.wrong += 1;
            return error(401, "ResourceAtUriUnauthorized");
        }
        if state.sessions.len() >= state.places {
            return error(503, "SessionLimitExceeded");
        }
        state.made += 1;
        let (token, path) = (
            format!("token-{}", state.made),
            format!("{SESSIONS}/{}", state.made),
        );
        state.sessions.insert(token.clone(), path.clone());
        // Under a name of its own, as BMCs do.
        let headers = format!("X-Auth-Token: {token}\r\nLocation: https://bmc.internal{path}\r\n");
        return (201, headers, format!(r#"{{"@odata.id":"{path}"}}"#));
    }
    if request.path != "/redfish/v1/" {
        let token = request.headers.get("x-auth-token");
        let is_in = token.is_some_and(|token| state.sessions.contains_key(token));
        if !is_in && !basic(state, request) {
            return error(401, "NoValidSession");
        }
    }
    if request.method == "DELETE" {
        let before = state.sessions.len();
        state.sessions.retain(|_, path| *path != request.path);
        return match state.sessions.len() < before {
            true => (204, String::new(), String::new()),
            false => error(404, "ResourceMissingAtURI"),
        };
    }
    match state.bodies.get(&request.path) {
        Some(body) if request.method == "GET" => (
            200,
            "Content-Type: application/json\r\n".to_owned(),
            body.to_string(),
        ),
        _ => error(404, "ResourceMissingAtURI"),
    }
}

/// Whether the password is in the request, and right.
fn basic(state: &mut State, request: &Request) -> bool {
    use base64::Engine as _;
    let Some(header) = request.headers.get("authorization") else {
        return false;
    };
    let both = format!("{USER}:{}", state.password);
    let right = format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(both));
    let good = *header == right;
    state.wrong += u32::from(!good);
    good
}
