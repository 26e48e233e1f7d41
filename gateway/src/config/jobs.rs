//! What runs beside the requests, and how fast.

use clap::Args;
use serde::{Deserialize, Serialize};

/// What runs beside the requests, and how fast.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[command(next_help_heading = "Background jobs")]
#[serde(default)]
pub struct JobSettings {
    /// Seconds between two looks for what lifecycle rules make expire
    #[arg(long, value_name = "SECONDS", env = "SEALGATE_LIFECYCLE_INTERVAL_S", global = true)]
    pub lifecycle_interval_s: Option<u64>,
    /// Seconds that a day of lifecycle rules has; other than 86400 for tests of rules alone
    #[arg(long, value_name = "SECONDS", env = "SEALGATE_LIFECYCLE_DAY_S", global = true)]
    pub lifecycle_day_s: Option<u64>,
    /// Most expirations by lifecycle rules per second
    #[arg(long, value_name = "COUNT", env = "SEALGATE_LIFECYCLE_RATE", global = true)]
    pub lifecycle_rate: Option<u32>,
    /// Seconds between two looks for mostly dead segment files
    #[arg(long, value_name = "SECONDS", env = "SEALGATE_RECLAIM_INTERVAL_S", global = true)]
    pub reclaim_interval_s: Option<u64>,
    /// Days that blobs which nobody can account for stay in quarantine; 0: for ever
    #[arg(long, value_name = "DAYS", env = "SEALGATE_QUARANTINE_DAYS", global = true)]
    pub quarantine_days: Option<u64>,
    /// Seconds between two looks at every blob of an object store for those that no record refers to; 0: only by `sealgate sweep`
    #[arg(long, value_name = "SECONDS", env = "SEALGATE_FULL_SWEEP_INTERVAL_S", global = true)]
    pub full_sweep_interval_s: Option<u64>,
    /// MiB per second at which stored bytes are compared with their checksums; 0: never
    #[arg(long, value_name = "MIB", env = "SEALGATE_SCRUB_RATE_MIB_S", global = true)]
    pub scrub_rate_mib_s: Option<u64>,
    /// Seconds between the beginnings of two such rounds
    #[arg(long, value_name = "SECONDS", env = "SEALGATE_SCRUB_INTERVAL_S", global = true)]
    pub scrub_interval_s: Option<u64>,
}
