//! PutObjectLockConfiguration, GetObjectLockConfiguration.

use storage::catalog::Versioning;

use super::{get, set};
use crate::api::s3::error::{Code, S3Error};
use crate::api::s3::request::{S3Request, S3Response};
use crate::api::s3::request_document;
use crate::api::s3::response;
use crate::api::s3::wire::lock;
use crate::app::App;
use crate::authz::Permit;
use crate::bucket::ObjectLock;

/// `PutObjectLockConfiguration`, also of a bucket made without, as long as it keeps versions:
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObjectLockConfiguration.html>.
pub async fn put_object_lock_configuration(
    app: &App,
    permit: Permit,
    mut request: S3Request,
) -> Result<S3Response, S3Error> {
    let body = request_document::read_config(&mut request).await?;
    let lock = lock::parse_configuration(&body)?;
    if permit.bucket().versioning != Versioning::Enabled {
        let message = "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration";
        return Err(S3Error::new(Code::InvalidBucketState).message(message));
    }
    set(app, permit.bucket(), &lock).await?;
    Ok(response::empty())
}

/// `GetObjectLockConfiguration`.
pub async fn get_object_lock_configuration(
    _app: &App,
    permit: Permit,
    _request: S3Request,
) -> Result<S3Response, S3Error> {
    let lock: ObjectLock = get(permit.bucket(), Code::ObjectLockConfigurationNotFoundError)?;
    Ok(response::xml(lock::write_configuration(&lock)))
}
