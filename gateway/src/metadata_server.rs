//! The PostgreSQL of `--metadata`: from its URL to how it is reached, TLS included. `storage` has no cipher, so it is handed in here.
//!
//! `sslmode` means what it does to libpq: `prefer` and `require` take any certificate, `verify-full` (and every mode but `disable`, once
//! certificates of an authority are given) one that names the host and is signed by an authority.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use anyhow::{Context, bail};
use percent_encoding::percent_decode_str;
use rustls::ClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, InvalidDnsNameError, PrivateKeyDer, ServerName, UnixTime};
use storage::kv::postgres::{Dialer, PostgresConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream as RustlsStream;

use crate::config::{MetadataConfig, SecretUrl};

/// The schema of the keys, where they are in the records' database.
const KMS_SCHEMA: &str = "sealgate_kms";

/// How the server of the records is reached.
///
/// # Errors
/// When the URL says what is not understood, or a file of it can't be read.
pub fn records(config: &MetadataConfig) -> anyhow::Result<PostgresConfig> {
    let mut server = reach(&config.url, config, true).context("metadata")?;
    server.require_sync_standby = config.require_sync_standby;
    Ok(server)
}

/// How the server of the keys is reached.
///
/// # Errors
/// As [`records`].
pub fn keys(config: &MetadataConfig) -> anyhow::Result<PostgresConfig> {
    let mut server = match &config.kms_url {
        Some(url) => reach(url, config, true).context("kms_url")?,
        None => reach(&config.url, config, false).context("metadata")?,
    };
    server.require_sync_standby = config.require_sync_standby;
    server.schema = Some(KMS_SCHEMA.to_owned());
    // What is to be said of the server was said when its records were opened.
    server.is_quiet = config.kms_url.is_none();
    // Keys are held in memory: what is asked is asked seldom, and one change after the other.
    (server.readers, server.committers) = (2, 1);
    Ok(server)
}

/// What a URL says of TLS.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tls {
    mode: Option<String>,
    ca_file: Option<PathBuf>,
    certificate: Option<PathBuf>,
    private_key: Option<PathBuf>,
}

/// Takes from a URL what libpq knows and the client does not.
fn split(url: &str) -> anyhow::Result<(String, Tls)> {
    let Some((place, query)) = url.split_once('?') else { return Ok((url.to_owned(), Tls::default())) };
    let (mut tls, mut kept) = (Tls::default(), Vec::new());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = percent_decode_str(value).decode_utf8().context("it is not UTF-8")?.into_owned();
        match name {
            "sslmode" => tls.mode = Some(value),
            "sslrootcert" => tls.ca_file = Some(value.into()),
            "sslcert" => tls.certificate = Some(value.into()),
            "sslkey" => tls.private_key = Some(value.into()),
            _ => kept.push(pair),
        }
    }
    let rest = if kept.is_empty() { place.to_owned() } else { format!("{place}?{}", kept.join("&")) };
    Ok((rest, tls))
}

/// `tells`: what is to be said of the way there was not said yet.
fn reach(url: &SecretUrl, config: &MetadataConfig, tells: bool) -> anyhow::Result<PostgresConfig> {
    let (rest, tls) = split(url.expose())?;
    let mut server = PostgresConfig::of(&rest)?;
    let ca_file = config.ca_file.clone().or(tls.ca_file);
    let verifies = match tls.mode.as_deref() {
        Some("disable") if ca_file.is_some() => {
            bail!("sslmode=disable and certificates of an authority do not go together")
        }
        Some("disable") => {
            if tells {
                warn_of_plain(&server.server, "is not encrypted (sslmode=disable)");
            }
            server.server.ssl_mode(SslMode::Disable);
            return Ok(server);
        }
        None | Some("prefer" | "require") => ca_file.is_some(),
        Some("verify-full") => true,
        Some(other) => bail!("sslmode={other} is not known: disable, prefer, require and verify-full are"),
    };
    let must = verifies || tls.mode.as_deref() == Some("require");
    server.server.ssl_mode(if must { SslMode::Require } else { SslMode::Prefer });
    if !verifies && tells {
        warn_of_plain(
            &server.server,
            "is not verified, so that who stands in between can see and change it: sslmode=verify-full",
        );
    }
    let identity = match (tls.certificate, tls.private_key) {
        (Some(certificate), Some(private_key)) => Some((certificate, private_key)),
        (None, None) => None,
        _ => bail!("sslcert and sslkey go together"),
    };
    let connector = connector(verifies, ca_file.as_deref(), identity)?;
    server.dial = Arc::new(Dialer(MakeRustls(connector)));
    Ok(server)
}

/// Whose connections leave the host should be told.
fn warn_of_plain(server: &tokio_postgres::Config, what: &str) {
    let is_here = |host: &Host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
        }
    };
    if !server.get_hosts().iter().all(is_here) {
        tracing::warn!("the connection to the metadata server {what}");
    }
}

fn certificates(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let found = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("can't read certificates in {}", file.display()))?;
    anyhow::ensure!(!found.is_empty(), "{} holds no certificate", file.display());
    Ok(found)
}

fn connector(
    verifies: bool,
    ca_file: Option<&Path>,
    identity: Option<(PathBuf, PathBuf)>,
) -> anyhow::Result<TlsConnector> {
    use rustls_platform_verifier::BuilderVerifierExt;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let builder = match (verifies, ca_file) {
        (true, Some(file)) => {
            let mut roots = rustls::RootCertStore::empty();
            for certificate in certificates(file)? {
                roots.add(certificate).with_context(|| format!("a certificate of {}", file.display()))?;
            }
            builder.with_root_certificates(roots)
        }
        (true, None) => builder.with_platform_verifier()?,
        (false, _) => builder.dangerous().with_custom_certificate_verifier(Arc::new(Unverified(provider))),
    };
    let config = match identity {
        Some((certificate, private_key)) => {
            let secret = PrivateKeyDer::from_pem_file(&private_key)
                .with_context(|| format!("can't read a private key in {}", private_key.display()))?;
            builder.with_client_auth_cert(certificates(&certificate)?, secret)?
        }
        None => builder.with_no_client_auth(),
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Takes any certificate, as libpq does for `prefer` and `require`: it keeps out who listens, not who stands in between.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Secures connections by rustls.
#[derive(Clone)]
struct MakeRustls(TlsConnector);

/// Secures one, to this host.
struct ConnectRustls {
    connector: TlsConnector,
    host: ServerName<'static>,
}

impl<S> MakeTlsConnect<S> for MakeRustls
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Secured<S>;
    type TlsConnect = ConnectRustls;
    type Error = InvalidDnsNameError;

    fn make_tls_connect(&mut self, host: &str) -> Result<ConnectRustls, InvalidDnsNameError> {
        Ok(ConnectRustls { connector: self.0.clone(), host: ServerName::try_from(host)?.to_owned() })
    }
}

impl<S> TlsConnect<S> for ConnectRustls
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Secured<S>;
    type Error = io::Error;
    type Future = Connecting<S>;

    fn connect(self, stream: S) -> Connecting<S> {
        Box::pin(async move { Ok(Secured(self.connector.connect(self.host, stream).await?)) })
    }
}

type Connecting<S> = Pin<Box<dyn Future<Output = io::Result<Secured<S>>> + Send>>;

/// A connection under TLS.
struct Secured<S>(RustlsStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Secured<S> {
    /// Who verifies names has no need of it.
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Secured<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Secured<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libpq_says_of_tls_is_taken_from_the_url() {
        let (rest, tls) =
            split("postgres://u@h/d?sslmode=verify-full&connect_timeout=3&sslrootcert=%2Fca.pem").unwrap();
        assert_eq!(rest, "postgres://u@h/d?connect_timeout=3");
        assert_eq!((tls.mode.as_deref(), tls.ca_file), (Some("verify-full"), Some("/ca.pem".into())));
        assert_eq!(split("postgres://u@h/d").unwrap().1, Tls::default());
    }
}
