//! The words that a web configuration may use, as exporter-toolkit and Go spell them.

use serde::Deserialize;

macro_rules! names {
    ($(#[$about:meta])* $type:ident, $what:literal, $($(#[$doc:meta])* $variant:ident = $name:literal),+ $(,)?) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
        #[serde(try_from = "String")]
        pub enum $type { $($(#[$doc])* $variant),+ }

        impl $type {
            /// Its name in the file.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }

        impl TryFrom<String> for $type {
            type Error = String;
            fn try_from(name: String) -> Result<Self, String> {
                match name.as_str() {
                    $($name => Ok(Self::$variant),)+
                    _ => Err(format!(
                        concat!("unknown ", $what, " `{}`, expected one of {}"),
                        name.escape_debug(),
                        [$(concat!("`", $name, "`")),+].join(", "),
                    )),
                }
            }
        }
    };
}

names! {
    /// `client_auth_type`: what is asked of clients.
    ClientAuth, "client_auth_type",
    /// No certificate.
    NoClientCert = "NoClientCert",
    /// A certificate may come; nobody checks who signed it.
    RequestClientCert = "RequestClientCert",
    /// A certificate must come; nobody checks who signed it.
    RequireAnyClientCert = "RequireAnyClientCert",
    /// The older name of the same.
    RequireClientCert = "RequireClientCert",
    /// A certificate that comes must be signed by the client CA.
    VerifyClientCertIfGiven = "VerifyClientCertIfGiven",
    /// A certificate signed by the client CA must come.
    RequireAndVerifyClientCert = "RequireAndVerifyClientCert",
}

names! {
    /// A version of TLS.
    Version, "TLS version",
    /// 1.0, no longer spoken.
    Tls10 = "TLS10",
    /// 1.1, no longer spoken.
    Tls11 = "TLS11",
    /// 1.2.
    Tls12 = "TLS12",
    /// 1.3.
    Tls13 = "TLS13",
}

names! {
    /// A cipher suite by Go's name of it.
    Cipher, "cipher suite",
    /// TLS 1.3; not configurable, always on.
    Aes128Sha256 = "TLS_AES_128_GCM_SHA256",
    /// TLS 1.3; not configurable, always on.
    Aes256Sha384 = "TLS_AES_256_GCM_SHA384",
    /// TLS 1.3; not configurable, always on.
    Chacha20Sha256 = "TLS_CHACHA20_POLY1305_SHA256",
    /// TLS 1.2.
    EcdsaAes128 = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    /// TLS 1.2.
    EcdsaAes256 = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    /// TLS 1.2.
    EcdsaChacha20 = "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    /// TLS 1.2.
    RsaAes128 = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    /// TLS 1.2.
    RsaAes256 = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    /// TLS 1.2.
    RsaChacha20 = "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    /// CBC mode, not spoken here.
    EcdsaAes128Cbc = "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    /// CBC mode, not spoken here.
    EcdsaAes256Cbc = "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    /// CBC mode, not spoken here.
    RsaAes128Cbc = "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    /// CBC mode, not spoken here.
    RsaAes256Cbc = "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
}

names! {
    /// A group of the key exchange.
    Curve, "curve",
    /// NIST P-256.
    P256 = "CurveP256",
    /// NIST P-384.
    P384 = "CurveP384",
    /// NIST P-521, not spoken here.
    P521 = "CurveP521",
    /// Curve25519.
    X25519 = "X25519",
}

names! {
    /// `X-Frame-Options`.
    FrameOptions, "value",
    /// In no frame.
    Deny = "deny",
    /// In frames of the same origin.
    SameOrigin = "sameorigin",
}

names! {
    /// `X-Content-Type-Options`.
    ContentTypeOptions, "value",
    /// The content type is to be believed.
    NoSniff = "nosniff",
}
