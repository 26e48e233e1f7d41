//! Where requests arrive, and under which names.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use super::ConfigError;

/// Where something is served that a gateway does without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptionalListen {
    /// Nowhere.
    Off,
    /// Here, unless somebody else is there.
    Usual(SocketAddr),
    /// Here: whoever set it wants to know if that can't be.
    At(SocketAddr),
}

impl OptionalListen {
    /// From a setting; without it, on this port of the loopback address.
    pub(super) fn read(
        setting: &'static str,
        given: Option<&str>,
        usual_port: u16,
    ) -> Result<Self, ConfigError> {
        match given {
            None => Ok(Self::Usual(SocketAddr::from(([127, 0, 0, 1], usual_port)))),
            Some("off") => Ok(Self::Off),
            Some(text) => text.parse().map(Self::At).map_err(|_| ConfigError::Invalid {
                setting,
                message: format!("must be an address and a port, such as 127.0.0.1:{usual_port}, or off"),
            }),
        }
    }
}

/// A listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum ListenerName {
    /// The one of `listen`.
    Listen,
    /// The one of `kms_listen`.
    KmsListen,
}

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
    /// Address of the listener for metrics and health checks alone, in plain HTTP; `off`: none
    #[arg(long, value_name = "ADDR|off", env = "SEALGATE_METRICS_LISTEN", global = true)]
    pub metrics_listen: Option<String>,
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
    /// Networks of proxies that are believed where a request comes from (X-Forwarded-For, X-Forwarded-Proto); may be repeated
    #[arg(
        long,
        value_name = "NETWORK",
        env = "SEALGATE_TRUSTED_PROXIES",
        value_delimiter = ',',
        global = true
    )]
    pub trusted_proxies: Option<Vec<String>>,
    /// Listeners whose connections from trusted proxies begin with a header of the PROXY protocol; may be repeated
    #[arg(
        long,
        value_name = "LISTENER",
        env = "SEALGATE_PROXY_PROTOCOL",
        value_delimiter = ',',
        global = true
    )]
    pub proxy_protocol: Option<Vec<ListenerName>>,
}
