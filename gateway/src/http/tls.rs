//! TLS: a certificate chain and a private key in PEM, for HTTP/1.1 and h2.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::{ProtocolVersion, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

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

/// The version of TLS that a connection speaks, as `s3:TlsVersion` names it.
pub fn version<S>(stream: &TlsStream<S>) -> Option<&'static str> {
    match stream.get_ref().1.protocol_version()? {
        ProtocolVersion::TLSv1_2 => Some("1.2"),
        ProtocolVersion::TLSv1_3 => Some("1.3"),
        _ => None,
    }
}

/// An acceptor with this certificate chain and private key.
pub fn acceptor(certificates: &Path, private_key: &Path) -> Result<TlsAcceptor, TlsError> {
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
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, private)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
