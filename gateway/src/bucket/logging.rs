//! Server access logging: where the records of a bucket's requests are delivered.
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_LoggingEnabled.html>

use serde::{Deserialize, Serialize};

use super::{Grant, Setting};

/// Access logging is on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logging {
    /// The bucket that the logs are delivered to.
    pub target_bucket: String,
    /// What the names of log objects begin with.
    pub target_prefix: String,
    /// Who may do what with the log objects, beside the owner of the bucket.
    pub target_grants: Vec<Grant>,
    /// What else their names are made of; `None`: nothing was said, which means [`LogKeyFormat::Simple`].
    pub key_format: Option<LogKeyFormat>,
}

/// How the name of a log object goes on behind the prefix.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/ServerLogs.html#server-log-keyname-format>
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LogKeyFormat {
    /// `YYYY-MM-DD-hh-mm-ss-UniqueString`.
    Simple,
    /// `SourceAccountId/SourceRegion/SourceBucket/YYYY/MM/DD/YYYY-MM-DD-hh-mm-ss-UniqueString`, of this time.
    Partitioned(PartitionDateSource),
}

/// Which time the names of log objects tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PartitionDateSource {
    /// The day of the requests; hour, minute and second are `00`.
    EventTime,
    /// When the log was delivered.
    DeliveryTime,
}

impl PartitionDateSource {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::EventTime => "EventTime",
            Self::DeliveryTime => "DeliveryTime",
        }
    }

    /// The one of this name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::EventTime, Self::DeliveryTime].into_iter().find(|source| source.name() == name)
    }
}

impl Setting for Logging {
    const NAME: &'static str = "logging";
}

/// The service that delivers logs, as bucket and key policies name it.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/enable-server-access-logging.html#grant-log-delivery-permissions-general>
pub const LOG_DELIVERY_SERVICE: &str = "logging.s3.amazonaws.com";
