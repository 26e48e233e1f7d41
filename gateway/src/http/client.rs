//! What the program itself asks over HTTP: engines that keep root keys, providers of identities, other people's KMS.

use std::sync::Arc;
use std::time::Duration;

use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig};

/// An agent that gives a whole request up after `timeout`, follows no redirect, and takes any status for an answer. It trusts
/// what the host trusts.
pub fn agent(timeout: Duration) -> Agent {
    agent_trusting(timeout, RootCerts::PlatformVerifier)
}

/// As `agent`, but it trusts these certificates.
pub fn agent_trusting(timeout: Duration, roots: RootCerts) -> Agent {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = TlsConfig::builder().root_certs(roots).unversioned_rustls_crypto_provider(provider).build();
    Agent::config_builder()
        .timeout_global(Some(timeout))
        .tls_config(tls)
        .http_status_as_error(false)
        .max_redirects(0)
        .build()
        .into()
}
