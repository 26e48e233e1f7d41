//! What was acknowledged: objects, versions, uploads, keys and users, as plain data that can be kept beside the folders.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use conformance_tests::caller::Credentials;
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};

/// The caller's key of SSE-C objects.
const CUSTOMER_SECRET: [u8; 32] = [0x11; 32];

/// Bytes that a length and a seed bring back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Content {
    pub(crate) len: usize,
    pub(crate) seed: u64,
}

impl Content {
    pub(crate) fn bytes(self) -> Vec<u8> {
        conformance_tests::random::content(self.len, self.seed)
    }
}

/// How an object is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Sse {
    Default,
    Dsse,
    Customer,
}

impl Sse {
    /// Headers of a write.
    pub(crate) fn of_write(self) -> Vec<(&'static str, String)> {
        match self {
            Self::Default => Vec::new(),
            Self::Dsse => vec![("x-amz-server-side-encryption", "aws:kms:dsse".to_owned())],
            Self::Customer => self.of_read(),
        }
    }

    /// Headers of a read.
    pub(crate) fn of_read(self) -> Vec<(&'static str, String)> {
        if self != Self::Customer {
            return Vec::new();
        }
        vec![
            ("x-amz-server-side-encryption-customer-algorithm", "AES256".to_owned()),
            ("x-amz-server-side-encryption-customer-key", STANDARD.encode(CUSTOMER_SECRET)),
            ("x-amz-server-side-encryption-customer-key-md5", STANDARD.encode(Md5::digest(CUSTOMER_SECRET))),
        ]
    }
}

/// A version of an object.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Object {
    pub(crate) bucket: String,
    /// Its name, which no object of another bucket has.
    pub(crate) name: String,
    /// Where the bucket keeps versions.
    pub(crate) version: Option<String>,
    pub(crate) content: Content,
    /// What stands in `x-amz-meta-note`.
    pub(crate) note: String,
    pub(crate) sse: Sse,
    /// Contents that it had before.
    pub(crate) former: Vec<Content>,
}

impl Object {
    /// Path and query of the object itself.
    pub(crate) fn target(&self) -> String {
        match &self.version {
            Some(version) => format!("/{}/{}?versionId={version}", self.bucket, self.name),
            None => format!("/{}/{}", self.bucket, self.name),
        }
    }

    /// It was written in one go, and never again: every blob of its name is its own.
    pub(crate) fn is_untouched(&self) -> bool {
        self.former.is_empty() && self.version.is_none()
    }
}

/// A key of the KMS.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct KmsKey {
    pub(crate) id: String,
    pub(crate) alias: String,
    pub(crate) is_enabled: bool,
    /// What it made of [`KmsKey::PLAINTEXT`], at each stage.
    pub(crate) ciphertexts: Vec<String>,
}

impl KmsKey {
    /// What every key encrypted, in base64.
    pub(crate) const PLAINTEXT: &str = "d2hhdCBhIGtleSBzZWFsZWQ=";
}

/// Somebody with an access key, who may read one object and not another.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
    pub(crate) may_read: String,
    pub(crate) may_not_read: String,
}

impl User {
    pub(crate) fn credentials(&self) -> Credentials {
        Credentials::of_key(&self.access_key_id, &self.secret_access_key)
    }
}

/// An upload that is open, with one part.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Upload {
    pub(crate) bucket: String,
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) e_tag: String,
}

/// All that was acknowledged.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Ledger {
    pub(crate) buckets: Vec<String>,
    pub(crate) objects: Vec<Object>,
    /// Targets of what was deleted.
    pub(crate) deleted: Vec<(String, String)>,
    pub(crate) keys: Vec<KmsKey>,
    pub(crate) users: Vec<User>,
    pub(crate) uploads: Vec<Upload>,
}
