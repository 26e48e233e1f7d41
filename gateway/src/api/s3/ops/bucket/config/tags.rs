//! The bucket's tags.

use super::{get, set, unset};
use crate::api::s3::error::{Code, S3Error};
use crate::api::s3::request::{S3Request, S3Response};
use crate::api::s3::request_document;
use crate::api::s3::response;
use crate::api::s3::wire::tagging;
use crate::app::App;
use crate::authz::Permit;
use crate::bucket::Tags;

/// `PutBucketTagging`.
pub async fn put_bucket_tagging(
    app: &App,
    permit: Permit,
    mut request: S3Request,
) -> Result<S3Response, S3Error> {
    let body = request_document::read_config(&mut request).await?;
    let tags = tagging::parse(&body, tagging::BUCKET_MAX)?;
    if tags.is_empty() {
        // None at all read as never set.
        unset::<Tags>(app, permit.bucket()).await?;
    } else {
        set(app, permit.bucket(), &Tags(tags)).await?;
    }
    Ok(response::no_content())
}

/// `GetBucketTagging`.
pub async fn get_bucket_tagging(
    _app: &App,
    permit: Permit,
    _request: S3Request,
) -> Result<S3Response, S3Error> {
    let Tags(tags) = get(permit.bucket(), Code::NoSuchTagSet)?;
    Ok(response::xml(tagging::write(&tags)))
}

/// `DeleteBucketTagging`.
pub async fn delete_bucket_tagging(
    app: &App,
    permit: Permit,
    _request: S3Request,
) -> Result<S3Response, S3Error> {
    unset::<Tags>(app, permit.bucket()).await?;
    Ok(response::no_content())
}
