//! How much of the host the gateway takes, and for how long.

use clap::Args;
use serde::{Deserialize, Serialize};

/// How much of the host the gateway takes, and for how long.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[command(next_help_heading = "Limits")]
#[serde(default)]
pub struct LimitSettings {
    /// Memory for the catalog's page cache, in MiB
    #[arg(long, value_name = "MIB", env = "SEALGATE_CATALOG_CACHE_MIB", global = true)]
    pub catalog_cache_mib: Option<u64>,
    /// Free space below which writes are refused, in MiB
    #[arg(long, value_name = "MIB", env = "SEALGATE_MIN_FREE_MIB", global = true)]
    pub min_free_mib: Option<u64>,
    /// Most connections at a time; beyond, new ones take the place of those that do no authenticated work
    #[arg(long, value_name = "COUNT", env = "SEALGATE_MAX_CONNECTIONS", global = true)]
    pub max_connections: Option<usize>,
    /// Most connections of one address (or IPv6 /64) at a time; 0: no limit of its own
    #[arg(long, value_name = "COUNT", env = "SEALGATE_MAX_CONNECTIONS_PER_ADDRESS", global = true)]
    pub max_connections_per_address: Option<usize>,
    /// Seconds that a connection may take for the TLS handshake, the first byte and the head of a request, and be without one
    #[arg(long, value_name = "SECONDS", env = "SEALGATE_IDLE_TIMEOUT_S", global = true)]
    pub idle_timeout_s: Option<u64>,
    /// Seconds without a byte (or with less than 1 KiB each) after which a request's body, or an unread answer, is given up
    #[arg(long, value_name = "SECONDS", env = "SEALGATE_BODY_IDLE_TIMEOUT_S", global = true)]
    pub body_idle_timeout_s: Option<u64>,
    /// Seconds that a stop waits for requests in flight
    #[arg(long, value_name = "SECONDS", env = "SEALGATE_SHUTDOWN_TIMEOUT_S", global = true)]
    pub shutdown_timeout_s: Option<u64>,
}
