//! GetBucketLocation.

use crate::api::s3::error::S3Error;
use crate::api::s3::request::{S3Request, S3Response};
use crate::api::s3::response;
use crate::api::s3::wire::location;
use crate::app::App;
use crate::authz::Permit;

/// Tells the location constraint that a bucket was made with.
pub async fn get_bucket_location(
    _app: &App,
    permit: Permit,
    _request: S3Request,
) -> Result<S3Response, S3Error> {
    Ok(response::xml(location::write(&permit.bucket().region)))
}
