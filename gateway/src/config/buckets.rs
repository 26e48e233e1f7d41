//! What a new bucket has that says nothing of it.

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

/// May objects be written with SSE-C to buckets that are made from now on?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum SseCNewBuckets {
    /// They may.
    #[default]
    Allow,
    /// They may not, until PutBucketEncryption allows it.
    Block,
}

/// Who owns what is written into a new bucket that says nothing of it.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/about-object-ownership.html>
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ValueEnum)]
#[value(rename_all = "PascalCase")]
pub enum ObjectOwnership {
    /// The bucket's owner; there are no ACLs.
    #[default]
    BucketOwnerEnforced,
    /// Whoever writes, unless he hands it over.
    BucketOwnerPreferred,
    /// Whoever writes: as it was until April 2023.
    ObjectWriter,
}

/// What a new bucket has that says nothing of it.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[command(next_help_heading = "New buckets")]
#[serde(default)]
pub struct BucketSettings {
    /// May objects of new buckets be written with SSE-C?
    #[arg(long, value_name = "WHEN", env = "SEALGATE_SSE_C_NEW_BUCKETS", global = true)]
    pub sse_c_new_buckets: Option<SseCNewBuckets>,
    /// Refuse a bucket whose location constraint is us-east-1, as AWS does? Many clients send it
    #[arg(long, value_name = "BOOL", env = "SEALGATE_STRICT_LOCATION_CONSTRAINT", global = true)]
    pub strict_location_constraint: Option<bool>,
    /// Who owns what is written into a new bucket; all but BucketOwnerEnforced turn ACLs on
    #[arg(long, value_name = "OWNERSHIP", env = "SEALGATE_DEFAULT_OBJECT_OWNERSHIP", global = true)]
    pub default_object_ownership: Option<ObjectOwnership>,
    /// Is public access to a new bucket blocked, as on AWS since April 2023?
    #[arg(long, value_name = "BOOL", env = "SEALGATE_DEFAULT_BLOCK_PUBLIC_ACCESS", global = true)]
    pub default_block_public_access: Option<bool>,
}
