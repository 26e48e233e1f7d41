//! DeleteBucket.

use storage::catalog::{CatalogError, Versioning};

use crate::api::s3::error::{Code, S3Error};
use crate::api::s3::ops::object::annotation;
use crate::api::s3::request::{S3Request, S3Response};
use crate::api::s3::response;
use crate::app::App;
use crate::authz::Permit;

/// Deletes an empty bucket.
pub async fn delete_bucket(app: &App, permit: Permit, _request: S3Request) -> Result<S3Response, S3Error> {
    let bucket = permit.bucket();
    annotation::forget_all(app, bucket).await?;
    let deleted = app.catalog.delete_bucket(bucket).await;
    deleted.map_err(|error| {
        let has_versions = bucket.versioning != Versioning::Unversioned;
        let refused = match error {
            CatalogError::BucketNotEmpty if has_versions => S3Error::new(Code::BucketNotEmpty).message(
                "The bucket you tried to delete is not empty. You must delete all versions in the bucket.",
            ),
            error => error.into(),
        };
        refused.field("BucketName", bucket.name.as_str())
    })?;
    Ok(response::no_content())
}
