//! From a valid [`Tls`] section to a rustls server configuration: reads the certificates, names what
//! is wrong with them.

use super::san;
use super::webconfig::{Cipher, ClientAuth, Curve, Material, Tls, Version};
use crate::file;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, SupportedKxGroup, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig,
    SignatureScheme, SupportedCipherSuite, SupportedProtocolVersion,
};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

/// Largest file read, in bytes: a bundle of every public authority is a fifth of it.
const MAX_FILE: u64 = 1 << 20;

/// The server side of TLS, and what of the section could not be done as written.
///
/// # Errors
/// When a file cannot be read or holds no certificate or key, when the key does not belong to the
/// certificate, or when nothing is left to speak.
pub fn server(tls: &Tls, http2: bool) -> Result<(Arc<ServerConfig>, Vec<String>), String> {
    let mut warnings = Vec::new();
    let provider = Arc::new(provider(tls, &mut warnings)?);
    let chain = certificates("cert", &tls.cert)?;
    let key = private_key(&tls.key)?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions(tls))
        .map_err(|error| format!("tls_server_config: {error}; name a suite or a curve more"))?;
    let builder = match clients(tls, &provider)? {
        None => builder.with_no_client_auth(),
        Some(verifier) => builder.with_client_cert_verifier(verifier),
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| {
        format!(
            "tls_server_config: {} and {} do not make a server certificate: {error}",
            source("cert", &tls.cert),
            source("key", &tls.key)
        )
    })?;
    config.ignore_client_order = tls.prefer_server_cipher_suites;
    if http2 {
        config.alpn_protocols.push(b"h2".to_vec());
    }
    config.alpn_protocols.push(b"http/1.1".to_vec());
    Ok((Arc::new(config), warnings))
}

fn versions(tls: &Tls) -> Vec<&'static SupportedProtocolVersion> {
    let spoken = [
        (Version::Tls13, &rustls::version::TLS13),
        (Version::Tls12, &rustls::version::TLS12),
    ];
    spoken
        .into_iter()
        .filter(|(version, _)| (tls.min_version..=tls.max_version).contains(version))
        .map(|(_, supported)| supported)
        .collect()
}

/// The suites and groups that the section allows.
fn provider(tls: &Tls, warnings: &mut Vec<String>) -> Result<CryptoProvider, String> {
    let mut provider = ring::default_provider();
    if !tls.cipher_suites.is_empty() {
        // As in Go, the list is about TLS 1.2: the suites of 1.3 are all good and all on.
        let mut suites = provider.cipher_suites.clone();
        suites.retain(|suite| matches!(suite, SupportedCipherSuite::Tls13(_)));
        for cipher in &tls.cipher_suites {
            match suite(*cipher) {
                Some(suite) if !suites.contains(&suite) => suites.push(suite),
                Some(_) => {}
                None => warnings.push(format!(
                    "cipher suite {} is not offered: CBC mode",
                    cipher.name()
                )),
            }
        }
        provider.cipher_suites = suites;
    }
    if !tls.curve_preferences.is_empty() {
        provider.kx_groups.clear();
        for curve in &tls.curve_preferences {
            match group(*curve) {
                Some(group) => provider.kx_groups.push(group),
                None => warnings.push(format!("curve {} is not offered", curve.name())),
            }
        }
        if provider.kx_groups.is_empty() {
            return Err(
                "tls_server_config: none of curve_preferences can be offered; add X25519 or \
                        CurveP256"
                    .to_owned(),
            );
        }
    }
    Ok(provider)
}

fn suite(cipher: Cipher) -> Option<SupportedCipherSuite> {
    use ring::cipher_suite as s;
    Some(match cipher {
        Cipher::Aes128Sha256 => s::TLS13_AES_128_GCM_SHA256,
        Cipher::Aes256Sha384 => s::TLS13_AES_256_GCM_SHA384,
        Cipher::Chacha20Sha256 => s::TLS13_CHACHA20_POLY1305_SHA256,
        Cipher::EcdsaAes128 => s::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        Cipher::EcdsaAes256 => s::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        Cipher::EcdsaChacha20 => s::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        Cipher::RsaAes128 => s::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        Cipher::RsaAes256 => s::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        Cipher::RsaChacha20 => s::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        Cipher::EcdsaAes128Cbc
        | Cipher::EcdsaAes256Cbc
        | Cipher::RsaAes128Cbc
        | Cipher::RsaAes256Cbc => return None,
    })
}

fn group(curve: Curve) -> Option<&'static dyn SupportedKxGroup> {
    match curve {
        Curve::P256 => Some(ring::kx_group::SECP256R1),
        Curve::P384 => Some(ring::kx_group::SECP384R1),
        Curve::P521 => None,
        Curve::X25519 => Some(ring::kx_group::X25519),
    }
}

/// Who checks clients' certificates, if they are asked for any.
fn clients(
    tls: &Tls,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, String> {
    use ClientAuth as A;
    let checked: Arc<dyn ClientCertVerifier> = match tls.client_auth {
        A::NoClientCert => return Ok(None),
        A::RequestClientCert => Arc::new(Anybody::new(provider, false)),
        A::RequireAnyClientCert | A::RequireClientCert => Arc::new(Anybody::new(provider, true)),
        A::VerifyClientCertIfGiven => verifier(tls, provider, false)?,
        A::RequireAndVerifyClientCert => verifier(tls, provider, true)?,
    };
    if tls.client_allowed_sans.is_empty() {
        return Ok(Some(checked));
    }
    Ok(Some(Arc::new(Named {
        checked,
        allowed: tls.client_allowed_sans.clone(),
    })))
}

fn verifier(
    tls: &Tls,
    provider: &Arc<CryptoProvider>,
    mandatory: bool,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let Some(authority) = &tls.client_ca else {
        return Err("tls_server_config: client_ca_file is missing".to_owned());
    };
    let refuse = |error: &dyn std::fmt::Display| {
        format!(
            "tls_server_config: {}: {error}",
            source("client_ca", authority)
        )
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates("client_ca", authority)? {
        roots.add(certificate).map_err(|error| refuse(&error))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(provider));
    let builder = if mandatory {
        builder
    } else {
        builder.allow_unauthenticated()
    };
    let built = builder.build().map_err(|error| refuse(&error))?;
    Ok(built)
}

fn source(name: &str, material: &Material) -> String {
    match material {
        Material::File(path) => format!("{name}_file {}", path.display()),
        Material::Inline(_) => format!("the inline {name}"),
    }
}

/// At most [`MAX_FILE`] bytes of a file.
///
/// # Errors
/// When it cannot be read or is larger.
pub fn read(path: &Path) -> Result<Vec<u8>, String> {
    file::read(path, MAX_FILE).map_err(|error| match error.kind() {
        ErrorKind::InvalidInput | ErrorKind::FileTooLarge => error.to_string(),
        _ => format!("cannot be read: {error}"),
    })
}

fn pem(name: &str, material: &Material) -> Result<Vec<u8>, String> {
    match material {
        Material::Inline(text) => Ok(text.clone().into_bytes()),
        Material::File(path) => read(path)
            .map_err(|error| format!("tls_server_config: {} {error}", source(name, material))),
    }
}

fn certificates(name: &str, material: &Material) -> Result<Vec<CertificateDer<'static>>, String> {
    let refuse = |what: String| format!("tls_server_config: {} {what}", source(name, material));
    let text = pem(name, material)?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match read {
        Ok(chain) if chain.is_empty() => Err(refuse(
            "holds no certificate in PEM (-----BEGIN CERTIFICATE-----)".to_owned(),
        )),
        Ok(chain) => Ok(chain),
        Err(error) => Err(refuse(format!("is not valid PEM: {error}"))),
    }
}

fn private_key(material: &Material) -> Result<PrivateKeyDer<'static>, String> {
    let text = pem("key", material)?;
    // What the file holds is a secret; the parser's error does not repeat it.
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        format!(
            "tls_server_config: {} holds no unencrypted private key in PEM: {error}",
            source("key", material)
        )
    })
}

/// Accepts any certificate whose key the client holds, whoever signed it.
#[derive(Debug)]
struct Anybody {
    provider: Arc<CryptoProvider>,
    mandatory: bool,
}

impl Anybody {
    fn new(provider: &Arc<CryptoProvider>, mandatory: bool) -> Self {
        Self {
            provider: Arc::clone(provider),
            mandatory,
        }
    }
}

impl ClientCertVerifier for Anybody {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Accepts of what another verifier accepts only certificates that bear an allowed name.
#[derive(Debug)]
struct Named {
    checked: Arc<dyn ClientCertVerifier>,
    allowed: Vec<String>,
}

impl ClientCertVerifier for Named {
    fn offer_client_auth(&self) -> bool {
        self.checked.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.checked.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.checked.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self
            .checked
            .verify_client_cert(certificate, intermediates, now)?;
        let names = san::names(certificate);
        if names.iter().any(|name| self.allowed.contains(name)) {
            return Ok(verified);
        }
        tracing::debug!(?names, "a client's certificate bears no allowed name");
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.checked
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.checked
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.checked.supported_verify_schemes()
    }
}
