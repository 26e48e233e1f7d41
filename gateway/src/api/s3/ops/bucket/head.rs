//! HeadBucket.

use http::HeaderValue;

use crate::api::s3::error::S3Error;
use crate::api::s3::request::{S3Request, S3Response};
use crate::api::s3::response;
use crate::app::App;
use crate::authz::Permit;
use crate::http::header;

/// Tells that a bucket is there, and where.
pub async fn head_bucket(_app: &App, permit: Permit, _request: S3Request) -> Result<S3Response, S3Error> {
    let bucket = permit.bucket();
    let mut response = response::xml(Vec::new());
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_POINT_ALIAS, HeaderValue::from_static("false"));
    super::tell_region(bucket, headers);
    if let Ok(arn) = HeaderValue::from_str(&format!("arn:aws:s3:::{}", bucket.name)) {
        headers.insert(header::BUCKET_ARN, arn);
    }
    Ok(response)
}
