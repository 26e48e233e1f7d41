//! PutBucketVersioning, GetBucketVersioning.

use storage::catalog::Versioning;

use super::super::change_bucket;
use crate::api::s3::error::{Code, S3Error};
use crate::api::s3::request::{S3Request, S3Response};
use crate::api::s3::request_document;
use crate::api::s3::response;
use crate::api::s3::wire::settings;
use crate::app::App;
use crate::authz::Permit;
use crate::bucket::{ObjectLock, Setting};

/// `PutBucketVersioning`: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketVersioning.html>. Object lock needs versions.
pub async fn put_bucket_versioning(
    app: &App,
    permit: Permit,
    mut request: S3Request,
) -> Result<S3Response, S3Error> {
    let body = request_document::read_config(&mut request).await?;
    let versioning = settings::parse_versioning(&body)?;
    change_bucket(app, permit.bucket(), |bucket| {
        if versioning == Versioning::Suspended && ObjectLock::of(bucket)?.is_some() {
            return Err(S3Error::new(Code::InvalidBucketState).message(
                "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed.",
            ));
        }
        bucket.versioning = versioning;
        Ok(())
    })
    .await?;
    Ok(response::empty())
}

/// `GetBucketVersioning`.
pub async fn get_bucket_versioning(
    _app: &App,
    permit: Permit,
    _request: S3Request,
) -> Result<S3Response, S3Error> {
    Ok(response::xml(settings::write_versioning(permit.bucket().versioning)))
}
