//! Who may do what, and how he proves who he is.

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

/// May SSE-C keys travel over plain HTTP?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ValueEnum)]
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

/// Is AWS Signature Version 2 taken?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum SignatureV2 {
    /// No.
    Off,
    /// In presigned URLs and forms.
    #[default]
    Presigned,
    /// In the header `Authorization` too.
    All,
}

/// Who may do what, and how he proves who he is.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[command(next_help_heading = "Identities and access")]
#[serde(default)]
pub struct AccessSettings {
    /// Account id of a new data folder: 12 digits; default: drawn at random
    #[arg(long, value_name = "DIGITS", env = "SEALGATE_ACCOUNT_ID", global = true)]
    pub account_id: Option<String>,
    /// Region that requests are signed for, and that ARNs name
    #[arg(long, value_name = "REGION", env = "SEALGATE_REGION", global = true)]
    pub region: Option<String>,
    /// Is AWS Signature Version 2 taken, which boto3 presigns URLs and forms with by default?
    #[arg(long, value_name = "WHERE", env = "SEALGATE_SIGNATURE_V2", global = true)]
    pub signature_v2: Option<SignatureV2>,
    /// May SSE-C keys travel over plain HTTP?
    #[arg(long, value_name = "WHEN", env = "SEALGATE_SSE_C_OVER_HTTP", global = true)]
    pub sse_c_over_http: Option<SseCOverHttp>,
    /// May policies name accounts, users and roles that do not exist (yet)?
    #[arg(long, value_name = "BOOL", env = "SEALGATE_ACCEPT_UNKNOWN_PRINCIPALS", global = true)]
    pub accept_unknown_principals: Option<bool>,
    /// Start though documents of users, groups, roles or policies are missing? Whoever refers to a missing one stays shut out
    #[arg(long, value_name = "BOOL", env = "SEALGATE_ACCEPT_MISSING_DOCUMENTS", global = true)]
    pub accept_missing_documents: Option<bool>,
    /// Failed signatures per minute from one address, beyond which it is held off; 0: as many as it likes
    #[arg(long, value_name = "COUNT", env = "SEALGATE_AUTH_FAILURES_PER_MINUTE", global = true)]
    pub auth_failures_per_minute: Option<u32>,
    /// May core dumps of the gateway be written, and its memory be read by its own user? For debugging: both hold keys
    #[arg(long, value_name = "BOOL", env = "SEALGATE_ALLOW_CORE_DUMPS", global = true)]
    pub allow_core_dumps: Option<bool>,
}
