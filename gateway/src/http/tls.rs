//! TLS: a certificate chain and a private key in PEM, for HTTP/1.1 and h2.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ProtocolVersion, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::observe::detail::TlsSession;

/// Why TLS can't be offered.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read or holds no PEM of the right kind.
    #[error("{}: {message}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// Why.
        message: String,
    },
    /// Certificate and private key don't go together.
    #[error("the TLS certificate and private key can't be used: {0}")]
    Unusable(#[from] rustls::Error),
}

/// What a connection's handshake agreed on; the version as `s3:TlsVersion` names it.
pub fn session<S>(stream: &TlsStream<S>) -> TlsSession {
    let connection = stream.get_ref().1;
    let version = match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => Some("1.2"),
        Some(ProtocolVersion::TLSv1_3) => Some("1.3"),
        _ => None,
    };
    let suite = connection.negotiated_cipher_suite();
    // rustls marks those of version 1.3 where IANA does not.
    let cipher = suite.and_then(|suite| suite.suite().as_str()).map(|name| match name {
        "TLS13_AES_128_GCM_SHA256" => "TLS_AES_128_GCM_SHA256",
        "TLS13_AES_256_GCM_SHA384" => "TLS_AES_256_GCM_SHA384",
        "TLS13_CHACHA20_POLY1305_SHA256" => "TLS_CHACHA20_POLY1305_SHA256",
        name => name,
    });
    TlsSession { version, cipher, server_name: connection.server_name().map(str::to_owned) }
}

/// When the first certificate of a file in PEM expires, in seconds since the Unix epoch; `None`: it can't be read.
pub fn expiry_unix_s(certificates: &Path) -> Option<i64> {
    let certificate = CertificateDer::pem_file_iter(certificates).ok()?.next()?.ok()?;
    not_after(&certificate)
}

/// `Validity.notAfter` of an X.509 certificate, RFC 5280 section 4.1.
fn not_after(der: &[u8]) -> Option<i64> {
    let (_, certificate, _) = element(der)?;
    let (_, mut fields, _) = element(certificate)?;
    // An explicit version, then number, algorithm and issuer stand before the validity.
    let (tag, _, rest) = element(fields)?;
    if tag == 0xa0 {
        fields = rest;
    }
    for _ in 0..3 {
        fields = element(fields)?.2;
    }
    let (_, validity, _) = element(fields)?;
    let (tag, time, _) = element(element(validity)?.2)?;
    let digits = std::str::from_utf8(time).ok()?.strip_suffix('Z')?;
    let century = match tag {
        // UTCTime, two digits of a year from 1950 on.
        0x17 if digits.get(..2)? >= "50" => "19",
        0x17 => "20",
        0x18 => "",
        _ => return None,
    };
    let format = time::macros::format_description!("[year][month][day][hour][minute][second]");
    let read = time::PrimitiveDateTime::parse(&format!("{century}{digits}"), format).ok()?;
    Some(read.assume_utc().unix_timestamp())
}

/// The first element of DER: its tag, its content and what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let mut len = usize::from(first);
    if first & 0x80 != 0 {
        let count = usize::from(first & 0x7f);
        let octets = rest.get(..count).filter(|_| (1..=4).contains(&count))?;
        len = octets.iter().fold(0, |len, octet| len << 8 | usize::from(*octet));
        rest = &rest[count..];
    }
    Some((tag, rest.get(..len)?, rest.get(len..)?))
}

/// Certificate chain and private key, as connections to come are shown them: they can be replaced while the gateway runs.
#[derive(Debug, Clone)]
pub struct Certificates(Arc<Shown>);

#[derive(Debug)]
struct Shown(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().clone())
    }
}

impl Certificates {
    /// Shows these at first.
    pub fn new(first: CertifiedKey) -> Self {
        Self(Arc::new(Shown(RwLock::new(Arc::new(first)))))
    }

    /// Shows these from now on. Connections that are open go on as they are.
    pub fn replace(&self, next: CertifiedKey) {
        *self.0.0.write() = Arc::new(next);
    }

    /// An acceptor that shows them.
    ///
    /// # Errors
    /// When the cryptography has no version of TLS to offer.
    pub fn acceptor(&self) -> Result<TlsAcceptor, TlsError> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(self.0.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Reads a certificate chain and its private key.
///
/// # Errors
/// When a file holds no PEM of the right kind, or the two don't go together.
pub fn read(certificates: &Path, private_key: &Path) -> Result<CertifiedKey, TlsError> {
    let pem = |path: &Path, error: rustls_pki_types::pem::Error| TlsError::Pem {
        path: path.to_owned(),
        message: error.to_string(),
    };
    let chain = CertificateDer::pem_file_iter(certificates)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| pem(certificates, e))?;
    if chain.is_empty() {
        return Err(TlsError::Pem {
            path: certificates.to_owned(),
            message: "holds no certificate".to_owned(),
        });
    }
    let private = PrivateKeyDer::from_pem_file(private_key).map_err(|e| pem(private_key, e))?;
    Ok(CertifiedKey::from_der(chain, private, &provider())?)
}
