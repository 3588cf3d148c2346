//! Certificates made for a test, and a client that speaks TLS.

use h2::client::SendRequest;
use hyper::Request;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A directory with `server.crt`, `server.key`, `ca.crt` and, written last, `web.yml`.
pub struct Lab {
    pub directory: tempfile::TempDir,
    pub authority: Authority,
}

pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, as PEM.
#[derive(Clone)]
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// A certificate for `name`, for either side.
    pub fn issue(&self, name: &str) -> Pair {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Pair {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }
}

impl Lab {
    /// A lab whose web configuration is `config`.
    pub fn new(config: &str) -> Self {
        let lab = Self {
            directory: tempfile::tempdir().unwrap(),
            authority: Authority::new(),
        };
        lab.write("ca.crt", &lab.authority.pem());
        lab.install(&lab.authority.issue("localhost"));
        lab.write("web.yml", config);
        lab
    }

    /// Replaces a file as careful tools do: whole, by renaming.
    pub fn write(&self, name: &str, text: &str) {
        let fresh = self.directory.path().join("fresh");
        std::fs::write(&fresh, text).unwrap();
        std::fs::rename(fresh, self.directory.path().join(name)).unwrap();
    }

    /// Makes `pair` the server's.
    pub fn install(&self, pair: &Pair) {
        self.write("server.crt", &pair.certificate);
        self.write("server.key", &pair.key);
    }

    pub fn config(&self) -> PathBuf {
        self.directory.path().join("web.yml")
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A client that trusts this lab.
    pub fn client(&self) -> Client {
        Client {
            roots: self.authority.pem(),
            own: None,
            versions: rustls::ALL_VERSIONS.to_vec(),
            protocols: Vec::new(),
        }
    }
}

pub const TLS: &str = "tls_server_config: {cert_file: server.crt, key_file: server.key}\n";

/// A TLS section with more lines.
pub fn tls(more: &str) -> String {
    format!("tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n{more}\n")
}

#[derive(Clone)]
pub struct Client {
    pub roots: String,
    pub own: Option<Pair>,
    pub versions: Vec<&'static SupportedProtocolVersion>,
    pub protocols: Vec<Vec<u8>>,
}

impl Client {
    pub fn presenting(mut self, pair: Pair) -> Self {
        self.own = Some(pair);
        self
    }

    pub async fn connect(&self, address: SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(self.roots.as_bytes()).unwrap())
            .unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&self.versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match &self.own {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let chain = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap();
                let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
                builder.with_client_auth_cert(vec![chain], key).unwrap()
            }
        };
        config.alpn_protocols.clone_from(&self.protocols);
        let tcp = TcpStream::connect(address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config))
            .connect(name, tcp)
            .await
    }

    /// Speaks HTTP/2 with a window of so many bytes for an answer.
    pub async fn http2(mut self, address: SocketAddr, window: u32) -> SendRequest<bytes::Bytes> {
        self.protocols = vec![b"h2".to_vec()];
        let stream = self.connect(address).await.unwrap();
        let mut builder = h2::client::Builder::new();
        let (sender, connection) = builder
            .initial_window_size(window)
            .handshake(stream)
            .await
            .unwrap();
        tokio::spawn(connection);
        sender.ready().await.unwrap()
    }
}

/// A request for the metrics.
pub fn metrics(method: &str) -> Request<()> {
    let request = Request::builder()
        .method(method)
        .uri("https://localhost/metrics");
    request.body(()).unwrap()
}
