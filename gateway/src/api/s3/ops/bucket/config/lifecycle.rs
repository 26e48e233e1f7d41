//! PutBucketLifecycleConfiguration, GetBucketLifecycleConfiguration, DeleteBucketLifecycle.

use http::HeaderValue;

use super::{get, set, unset};
use crate::api::s3::error::{Code, S3Error};
use crate::api::s3::request::{S3Request, S3Response};
use crate::api::s3::request_document;
use crate::api::s3::response;
use crate::api::s3::wire::lifecycle;
use crate::app::App;
use crate::authz::Permit;
use crate::bucket::Lifecycle;
use crate::http::header;

/// A thousand rules of a dozen elements.
const MAX_LEN: usize = 2 << 20;
/// What AWS takes where nothing is said.
const DEFAULT_MINIMUM: &str = "all_storage_classes_128K";

/// `PutBucketLifecycleConfiguration`:
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketLifecycleConfiguration.html>.
pub async fn put_bucket_lifecycle(
    app: &App,
    permit: Permit,
    mut request: S3Request,
) -> Result<S3Response, S3Error> {
    let name = &header::TRANSITION_DEFAULT_MINIMUM_OBJECT_SIZE;
    let minimum =
        request.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    if let Some(value) = minimum
        .as_ref()
        .filter(|value| ![DEFAULT_MINIMUM, "varies_by_storage_class"].contains(&value.as_str()))
    {
        return Err(S3Error::invalid_argument("Invalid Argument", name.as_str(), value.clone()));
    }
    let body = request_document::read(&mut request, MAX_LEN).await?;
    if body.is_empty() {
        return Err(Code::MissingRequestBodyError.into());
    }
    let mut lifecycle = lifecycle::parse(&body)?;
    lifecycle.default_minimum = minimum.or_else(|| Some(DEFAULT_MINIMUM.to_owned()));
    set(app, permit.bucket(), &lifecycle).await?;
    Ok(with_minimum(response::empty(), &lifecycle))
}

/// `GetBucketLifecycleConfiguration`.
pub async fn get_bucket_lifecycle(
    _app: &App,
    permit: Permit,
    _request: S3Request,
) -> Result<S3Response, S3Error> {
    let lifecycle: Lifecycle = get(permit.bucket(), Code::NoSuchLifecycleConfiguration)?;
    Ok(with_minimum(response::xml(lifecycle::write(&lifecycle)), &lifecycle))
}

/// `DeleteBucketLifecycle`.
pub async fn delete_bucket_lifecycle(
    app: &App,
    permit: Permit,
    _request: S3Request,
) -> Result<S3Response, S3Error> {
    unset::<Lifecycle>(app, permit.bucket()).await?;
    Ok(response::no_content())
}

fn with_minimum(mut response: S3Response, lifecycle: &Lifecycle) -> S3Response {
    let minimum = lifecycle.default_minimum.as_deref().unwrap_or(DEFAULT_MINIMUM);
    if let Ok(value) = HeaderValue::from_str(minimum) {
        response.headers_mut().insert(header::TRANSITION_DEFAULT_MINIMUM_OBJECT_SIZE, value);
    }
    response
}
