//! May they? Gathers the policies that speak, and gives a [`Permit`] or a refusal.

use storage::catalog::Bucket;

use crate::iam::Identity;

/// Proof that an action on a resource was authorised. Only this module makes one, so an operation that skipped
/// authorisation does not compile.
#[derive(Debug)]
pub struct Permit {
    bucket: Option<Bucket>,
}

impl Permit {
    /// The bucket that the permit is for, as it was read when it was given: operations need not read it again.
    ///
    /// # Panics
    /// For a permit on the service (ListBuckets, CreateBucket): the spine gives those to no operation on a bucket.
    pub fn bucket(&self) -> &Bucket {
        self.bucket.as_ref().expect("an operation on a bucket has a permit for that bucket")
    }
}

/// A refusal: the caller may not do this. AWS answers 403 AccessDenied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Denied {
    /// What the client is told.
    pub message: String,
}

/// Authorises an action of S3 (`s3:GetObject`, …) on a bucket, on an object of it, or (`None`) on the service.
pub fn authorize(identity: &Identity, action: &str, bucket: Option<Bucket>) -> Result<Permit, Denied> {
    let _ = action;
    match (identity.account(), &bucket) {
        (Some(account), Some(of)) if account.id == of.owner => Ok(Permit { bucket }),
        (Some(_), None) => Ok(Permit { bucket }),
        _ => Err(Denied { message: "Access Denied".to_owned() }),
    }
}
