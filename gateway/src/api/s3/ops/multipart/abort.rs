//! AbortMultipartUpload.

use http::StatusCode;

use crate::api::s3::error::S3Error;
use crate::api::s3::request::{S3Request, S3Response};
use crate::app::App;
use crate::authz::Permit;
use crate::http::body::ResponseBody;

/// Ends an upload; its parts are reclaimed.
pub async fn abort_multipart_upload(
    app: &App,
    permit: Permit,
    request: S3Request,
) -> Result<S3Response, S3Error> {
    let id = super::upload_id(&request.query)?;
    let aborted = app.catalog.abort_upload(permit.bucket(), request.object()?, id).await;
    aborted.map_err(|error| super::upload_error(error, id))?;
    let mut response = S3Response::new(ResponseBody::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}
