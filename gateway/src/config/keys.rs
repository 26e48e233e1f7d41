//! How KMS keys are used.

use clap::Args;
use serde::{Deserialize, Serialize};

/// How KMS keys are used.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[command(next_help_heading = "Keys")]
#[serde(default)]
pub struct KeySettings {
    /// Seconds that an allowed use of a bucket-level KMS key is remembered; 0 asks KMS each time
    #[arg(long, value_name = "SECONDS", env = "SEALGATE_BUCKET_KEY_WINDOW_S", global = true)]
    pub bucket_key_window_s: Option<u64>,
    /// Days between two rotations of an AWS managed key
    #[arg(long, value_name = "DAYS", env = "SEALGATE_MANAGED_KEY_ROTATION_DAYS", global = true)]
    pub managed_key_rotation_days: Option<u16>,
    /// RSA keys of 2048 bits, or as much work, that one caller may have made per second; 0: as many as he likes
    #[arg(long, value_name = "COUNT", env = "SEALGATE_KMS_EXPENSIVE_CALLS_PER_SECOND", global = true)]
    pub kms_expensive_calls_per_second: Option<u32>,
}
