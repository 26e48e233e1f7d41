//! What is set on buckets: a document is read, checked, kept in the bucket's record, and told again.

mod access;
mod acl;
mod cors;
mod encryption;
mod lifecycle;
mod lock;
mod logging;
mod policy;
mod switches;
mod tags;
mod versioning;

use storage::catalog::Bucket;

pub use access::{
    delete_bucket_ownership_controls, delete_public_access_block, get_bucket_ownership_controls,
    get_public_access_block, put_bucket_ownership_controls, put_public_access_block,
};
pub use acl::{get_bucket_acl, put_bucket_acl};
pub use cors::{delete_bucket_cors, get_bucket_cors, preflight, put_bucket_cors};
pub use encryption::{delete_bucket_encryption, get_bucket_encryption, put_bucket_encryption};
pub use lifecycle::{delete_bucket_lifecycle, get_bucket_lifecycle, put_bucket_lifecycle};
pub use lock::{get_object_lock_configuration, put_object_lock_configuration};
pub use logging::{get_bucket_logging, put_bucket_logging};
pub use policy::{delete_bucket_policy, get_bucket_policy, get_bucket_policy_status, put_bucket_policy};
pub use switches::{
    get_bucket_abac, get_bucket_accelerate, get_bucket_request_payment, put_bucket_abac,
    put_bucket_accelerate, put_bucket_request_payment,
};
pub use tags::{delete_bucket_tagging, get_bucket_tagging, put_bucket_tagging};
pub use versioning::{get_bucket_versioning, put_bucket_versioning};

use super::change_bucket;
use crate::api::s3::error::{Code, S3Error};
use crate::app::App;
use crate::bucket::Setting;

/// Keeps a setting.
async fn set<T: Setting>(app: &App, bucket: &Bucket, setting: &T) -> Result<(), S3Error> {
    change_bucket(app, bucket, |bucket| {
        setting.set(bucket);
        Ok(())
    })
    .await
}

/// Forgets a setting.
async fn unset<T: Setting>(app: &App, bucket: &Bucket) -> Result<(), S3Error> {
    change_bucket(app, bucket, |bucket| {
        T::unset(bucket);
        Ok(())
    })
    .await
}

/// A setting, or the refusal that tells that it is not set.
fn get<T: Setting>(bucket: &Bucket, absent: Code) -> Result<T, S3Error> {
    T::of(bucket)?.ok_or_else(|| S3Error::new(absent).field("BucketName", bucket.name.as_str()))
}
