//! What the gateway tells of itself.

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What the gateway tells of itself.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[command(next_help_heading = "Logs, metrics and traces")]
#[serde(default)]
pub struct ObserveSettings {
    /// Buckets that have metrics of their own, the largest first; 0: none
    #[arg(long, value_name = "COUNT", env = "SEALGATE_METRICS_BUCKETS", global = true)]
    pub metrics_buckets: Option<usize>,
    /// Are requests counted for metrics? default: true
    #[arg(long, value_name = "BOOL", env = "SEALGATE_METRICS_REQUESTS", global = true)]
    pub metrics_requests: Option<bool>,
    /// Where traces go by OTLP over HTTP, such as http://127.0.0.1:4318; default: nowhere
    #[arg(long, value_name = "URL", env = "SEALGATE_OTLP_ENDPOINT", global = true)]
    pub otlp_endpoint: Option<String>,
    /// Log filter: error, warn, info, debug, or per module as in `info,gateway=debug`
    #[arg(long, value_name = "FILTER", env = "SEALGATE_LOG", global = true)]
    pub log: Option<String>,
    /// How log lines look
    #[arg(long, value_name = "FORMAT", env = "SEALGATE_LOG_FORMAT", global = true)]
    pub log_format: Option<LogFormat>,
}
