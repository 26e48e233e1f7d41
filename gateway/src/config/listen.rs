//! Where requests arrive, and under which names.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use serde::{Deserialize, Serialize};

/// Where requests arrive, and under which names.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[command(next_help_heading = "Listeners and names")]
#[serde(default)]
pub struct ListenSettings {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", env = "SEALGATE_LISTEN", global = true)]
    pub listen: Option<SocketAddr>,
    /// Address of a listener of its own for the KMS API, which is served beside S3 in any case
    #[arg(long, value_name = "ADDR", env = "SEALGATE_KMS_LISTEN", global = true)]
    pub kms_listen: Option<SocketAddr>,
    /// Domain of virtual-host style requests (bucket.DOMAIN); may be repeated
    #[arg(
        long = "domain",
        value_name = "DOMAIN",
        env = "SEALGATE_DOMAIN",
        value_delimiter = ',',
        global = true
    )]
    pub domain: Option<Vec<String>>,
    /// TLS certificate chain (PEM); needs --tls-key
    #[arg(long, value_name = "FILE", env = "SEALGATE_TLS_CERT", global = true)]
    pub tls_cert: Option<PathBuf>,
    /// TLS private key (PEM); needs --tls-cert
    #[arg(long, value_name = "FILE", env = "SEALGATE_TLS_KEY", global = true)]
    pub tls_key: Option<PathBuf>,
}
