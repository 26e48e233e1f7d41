//! What is set on a bucket beside its objects: each setting as its record keeps it. XML is elsewhere (`api/s3/wire`).

mod access;
mod cors;
mod lifecycle;
mod lock;
mod logging;
mod switches;
pub mod usage;
pub mod walk;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use storage::catalog::Bucket;

pub use access::{Acl, Grant, Grantee, Ownership, OwnershipControls, Permission, Policy, PublicAccessBlock};
pub use cors::{Cors, CorsRule};
pub use lifecycle::{Due, Filter, Lifecycle, NoncurrentExpiration, Rule, Transition, When, is_due};
pub use lock::{DefaultRetention, ObjectLock};
pub use logging::{LOG_DELIVERY_SERVICE, LogKeyFormat, Logging, PartitionDateSource};
pub use switches::{Abac, Accelerate, RequestPayment, Tags};

/// What of its user metadata tells which object an annotation is of.
pub const ANNOTATED_OBJECT: &str = "object";

/// A setting of a bucket.
pub trait Setting: Serialize + DeserializeOwned + PartialEq {
    /// Its name in the bucket's record.
    const NAME: &'static str;

    /// The bucket's; `None` where it is not set.
    fn of(bucket: &Bucket) -> Result<Option<Self>, CorruptSetting> {
        let Some(stored) = bucket.configs.get(Self::NAME) else { return Ok(None) };
        serde_json::from_slice(stored).map(Some).map_err(|_| CorruptSetting(Self::NAME))
    }

    /// Sets it.
    fn set(&self, bucket: &mut Bucket) {
        let stored = serde_json::to_vec(self).expect("a setting has only text keys");
        bucket.configs.insert(Self::NAME.to_owned(), Bytes::from(stored));
    }

    /// Takes it away.
    fn unset(bucket: &mut Bucket) {
        bucket.configs.remove(Self::NAME);
    }
}

/// A stored setting can't be read.
#[derive(Debug, thiserror::Error)]
#[error("a bucket's setting is corrupt: {0}")]
pub struct CorruptSetting(pub &'static str);
