//! Typed configuration: flags over environment over a TOML file.

use serde::{Deserialize, Serialize};

/// May SSE-C keys travel over plain HTTP?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SseCOverHttp {
    /// Never.
    Deny,
    /// From loopback peers only.
    #[default]
    Loopback,
    /// Always: for gateways behind a TLS proxy.
    Allow,
}
