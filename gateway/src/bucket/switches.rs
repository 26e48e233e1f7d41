//! Settings of a word, and tags.

use serde::{Deserialize, Serialize};

use super::Setting;

/// Tags of a bucket, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tags(pub Vec<(String, String)>);

impl Setting for Tags {
    const NAME: &'static str = "tagging";
}

/// Who pays for requests: recorded, as nobody pays here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestPayment {
    /// `BucketOwner` or `Requester`.
    pub payer: String,
}

impl Setting for RequestPayment {
    const NAME: &'static str = "request-payment";
}

/// Transfer acceleration: recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accelerate {
    /// `Enabled` or `Suspended`.
    pub status: String,
}

impl Setting for Accelerate {
    const NAME: &'static str = "accelerate";
}

/// Attribute-based access control: are the bucket's tags condition keys?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abac {
    /// They are.
    pub enabled: bool,
}

impl Setting for Abac {
    const NAME: &'static str = "abac";
}
