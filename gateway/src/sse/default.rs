//! A bucket's default encryption, as its configuration keeps it.

use serde::{Deserialize, Serialize};

/// The algorithm of a default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum DefaultAlgorithm {
    /// `AES256`: SSE-S3.
    #[default]
    S3,
    /// `aws:kms`.
    Kms,
    /// `aws:kms:dsse`.
    KmsDsse,
}

impl DefaultAlgorithm {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::S3 => "AES256",
            Self::Kms => "aws:kms",
            Self::KmsDsse => "aws:kms:dsse",
        }
    }

    /// The algorithm of this name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::S3, Self::Kms, Self::KmsDsse].into_iter().find(|a| a.name() == name)
    }
}

/// A bucket's default encryption.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BucketEncryption {
    /// The algorithm.
    pub algorithm: DefaultAlgorithm,
    /// Key id, key ARN, alias name or alias ARN as given; `None`: the AWS managed key.
    pub kms_key_id: Option<String>,
    /// Use the bucket-level key.
    pub bucket_key_enabled: bool,
    /// SSE-C is refused (`BlockedEncryptionTypes`).
    pub sse_c_blocked: bool,
}

/// The version of the encoding, in its first byte.
const VERSION: u8 = 1;

impl BucketEncryption {
    /// The name of the configuration in the bucket's record.
    pub const CONFIG: &str = "encryption";

    /// The stored form.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_extend(self, vec![VERSION]).expect("a configuration can always be encoded")
    }

    /// What [`BucketEncryption::encode`] made; `None` for anything else.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        match bytes.split_first()? {
            (&VERSION, rest) => postcard::from_bytes(rest).ok(),
            _ => None,
        }
    }

    /// The bucket's default; SSE-S3 where none is set. `None` for a configuration that can't be read.
    pub fn of(bucket: &storage::catalog::Bucket) -> Option<Self> {
        match bucket.configs.get(Self::CONFIG) {
            Some(bytes) => Self::decode(bytes),
            None => Some(Self::default()),
        }
    }
}
