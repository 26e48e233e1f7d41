//! What is written down of requests: the access log, the audit, and the logs that are delivered to buckets.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use super::ConfigError;

/// How a line of the access log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum AccessLogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// As S3's server access logs: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/LogFormat.html>
    S3,
}

/// What happens while as much waits for the audit's webhook as may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum WhenSpoolIsFull {
    /// Lines are not sent any more, which is counted and told; the file has them.
    #[default]
    Drop,
    /// Lines count as not written: see `audit_required`.
    Refuse,
}

/// What is written down of requests.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[command(next_help_heading = "Access log and audit")]
#[serde(default)]
pub struct LogSettings {
    /// File for a line per request, opened anew at SIGUSR1; `-` is standard output; default: none
    #[arg(long, value_name = "FILE", env = "SEALGATE_ACCESS_LOG", global = true)]
    pub access_log: Option<PathBuf>,
    /// How these lines look
    #[arg(long, value_name = "FORMAT", env = "SEALGATE_ACCESS_LOG_FORMAT", global = true)]
    pub access_log_format: Option<AccessLogFormat>,
    /// File for a chained JSON line per decision of S3, IAM, STS and KMS, opened anew at SIGUSR1; `-` is standard output; default: none
    #[arg(long, value_name = "FILE", env = "SEALGATE_AUDIT_LOG", global = true)]
    pub audit_log: Option<PathBuf>,
    /// Do requests fail whose audit line can't be written?
    #[arg(long, value_name = "BOOL", env = "SEALGATE_AUDIT_REQUIRED", global = true)]
    pub audit_required: Option<bool>,
    /// URL that audit lines are posted to as well; needs --audit-log
    #[arg(long, value_name = "URL", env = "SEALGATE_AUDIT_WEBHOOK_URL", global = true)]
    pub audit_webhook_url: Option<String>,
    /// File of the bearer token for that URL
    #[arg(long, value_name = "FILE", env = "SEALGATE_AUDIT_WEBHOOK_TOKEN_FILE", global = true)]
    pub audit_webhook_token_file: Option<PathBuf>,
    /// Most MiB of audit lines that wait for that URL, in the data folder
    #[arg(long, value_name = "MIB", env = "SEALGATE_AUDIT_SPOOL_MIB", global = true)]
    pub audit_spool_mib: Option<u64>,
    /// What happens when so much waits
    #[arg(long, value_name = "WHAT", env = "SEALGATE_AUDIT_SPOOL_FULL", global = true)]
    pub audit_spool_full: Option<WhenSpoolIsFull>,
    /// Longest time between a request and the delivery of its record to the bucket that its bucket's logging names
    #[arg(long, value_name = "SECONDS", env = "SEALGATE_BUCKET_LOG_INTERVAL_S", global = true)]
    pub bucket_log_interval_s: Option<u64>,
    /// Most MiB of such records that wait in the data folder
    #[arg(long, value_name = "MIB", env = "SEALGATE_BUCKET_LOG_SPOOL_MIB", global = true)]
    pub bucket_log_spool_mib: Option<u64>,
}

/// The access log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLogConfig {
    /// Its file; `-` is standard output.
    pub path: PathBuf,
    /// How its lines look.
    pub format: AccessLogFormat,
}

/// The audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditConfig {
    /// Its file; `-` is standard output.
    pub path: PathBuf,
    /// Do requests fail whose lines can't be written?
    pub is_required: bool,
    /// Who else gets the lines.
    pub webhook: Option<AuditWebhook>,
}

/// Where audit lines are posted to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditWebhook {
    /// `http://` or `https://`.
    pub url: String,
    /// File of its bearer token.
    pub token_file: Option<PathBuf>,
    /// Most bytes that wait.
    pub spool_len: u64,
    /// What happens when so much waits.
    pub when_full: WhenSpoolIsFull,
}

/// The delivery of logs to buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BucketLogConfig {
    /// Longest time between a request and the delivery of its record.
    pub interval: Duration,
    /// Most bytes that wait.
    pub spool_len: u64,
}

/// What is written down of requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogsConfig {
    /// The access log, if there is one.
    pub access: Option<AccessLogConfig>,
    /// The audit, if there is one.
    pub audit: Option<AuditConfig>,
    /// The delivery of logs to buckets.
    pub bucket: BucketLogConfig,
}

impl LogsConfig {
    pub(super) fn read(raw: &LogSettings) -> Result<Self, ConfigError> {
        let invalid = |setting, message: &str| ConfigError::Invalid { setting, message: message.to_owned() };
        let mib = |value: Option<u64>, default: u64| value.unwrap_or(default).saturating_mul(1 << 20);
        let bucket = BucketLogConfig {
            interval: Duration::from_secs(raw.bucket_log_interval_s.unwrap_or(300)),
            spool_len: mib(raw.bucket_log_spool_mib, 1024),
        };
        for (setting, is_zero) in [
            ("bucket_log_interval_s", bucket.interval.is_zero()),
            ("bucket_log_spool_mib", bucket.spool_len == 0),
            ("audit_spool_mib", raw.audit_spool_mib == Some(0)),
        ] {
            if is_zero {
                return Err(invalid(setting, "must be at least 1"));
            }
        }
        let webhook = match &raw.audit_webhook_url {
            None if raw.audit_webhook_token_file.is_some() => {
                return Err(invalid("audit_webhook_token_file", "needs audit_webhook_url"));
            }
            None => None,
            Some(url) if !(url.starts_with("https://") || url.starts_with("http://")) => {
                return Err(invalid("audit_webhook_url", "must begin with https:// or http://"));
            }
            Some(url) => Some(AuditWebhook {
                url: url.clone(),
                token_file: raw.audit_webhook_token_file.clone(),
                spool_len: mib(raw.audit_spool_mib, 256),
                when_full: raw.audit_spool_full.unwrap_or_default(),
            }),
        };
        let is_required = raw.audit_required.unwrap_or(false);
        let audit = match &raw.audit_log {
            Some(path) => Some(AuditConfig { path: path.clone(), is_required, webhook }),
            None if webhook.is_some() => {
                return Err(invalid("audit_webhook_url", "needs audit_log, whose file keeps the chain"));
            }
            None if is_required => return Err(invalid("audit_required", "needs audit_log")),
            None => None,
        };
        let format = raw.access_log_format.unwrap_or_default();
        let access = raw.access_log.clone().map(|path| AccessLogConfig { path, format });
        Ok(Self { access, audit, bucket })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_say_nothing_alone_are_refused() {
        let named = |raw: LogSettings| match LogsConfig::read(&raw) {
            Err(ConfigError::Invalid { setting, .. }) => setting,
            other => panic!("{other:?}"),
        };
        let url = || Some("https://siem.example/".to_owned());
        let audit_log = || Some(PathBuf::from("a"));
        assert_eq!(
            named(LogSettings { audit_webhook_url: url(), ..Default::default() }),
            "audit_webhook_url"
        );
        assert_eq!(named(LogSettings { audit_required: Some(true), ..Default::default() }), "audit_required");
        let no_url = Some("siem".to_owned());
        let raw = LogSettings { audit_log: audit_log(), audit_webhook_url: no_url, ..Default::default() };
        assert_eq!(named(raw), "audit_webhook_url");
        let token = LogSettings { audit_webhook_token_file: audit_log(), ..Default::default() };
        assert_eq!(named(token), "audit_webhook_token_file");
        let never = LogSettings { bucket_log_interval_s: Some(0), ..Default::default() };
        assert_eq!(named(never), "bucket_log_interval_s");
        let whole = LogSettings { audit_log: audit_log(), audit_webhook_url: url(), ..Default::default() };
        assert!(LogsConfig::read(&whole).unwrap().audit.unwrap().webhook.is_some());
    }
}
