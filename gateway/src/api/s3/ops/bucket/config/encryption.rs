//! PutBucketEncryption, GetBucketEncryption, DeleteBucketEncryption.

use bytes::Bytes;

use super::super::change_bucket;
use crate::api::s3::error::{Code, S3Error};
use crate::api::s3::request::{S3Request, S3Response};
use crate::api::s3::request_document;
use crate::api::s3::response;
use crate::api::s3::wire::encryption;
use crate::app::App;
use crate::authz::Permit;
use crate::sse::BucketEncryption;

/// Sets a bucket's default encryption. As on AWS a KMS key is looked for when an object is written, not here.
pub async fn put_bucket_encryption(
    app: &App,
    permit: Permit,
    mut request: S3Request,
) -> Result<S3Response, S3Error> {
    let body = request_document::read_config(&mut request).await?;
    let config = Bytes::from(encryption::parse(&body)?.encode());
    change_bucket(app, permit.bucket(), |bucket| {
        bucket.configs.insert(BucketEncryption::CONFIG.to_owned(), config.clone());
        Ok(())
    })
    .await?;
    Ok(response::empty())
}

/// Tells a bucket's default encryption: SSE-S3 where none was set.
pub async fn get_bucket_encryption(
    _app: &App,
    permit: Permit,
    _request: S3Request,
) -> Result<S3Response, S3Error> {
    let found = BucketEncryption::of(permit.bucket());
    let found =
        found.ok_or_else(|| S3Error::new(Code::InternalError).source("a bucket's encryption is corrupt"))?;
    Ok(response::xml(encryption::write(&found)))
}

/// Sets a bucket's default encryption back to SSE-S3.
pub async fn delete_bucket_encryption(
    app: &App,
    permit: Permit,
    _request: S3Request,
) -> Result<S3Response, S3Error> {
    change_bucket(app, permit.bucket(), |bucket| {
        bucket.configs.remove(BucketEncryption::CONFIG);
        Ok(())
    })
    .await?;
    Ok(response::no_content())
}
