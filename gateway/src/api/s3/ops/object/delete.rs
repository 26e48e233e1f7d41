//! DeleteObject.

use http::StatusCode;

use super::write::write_error;
use crate::api::s3::error::S3Error;
use crate::api::s3::request::{S3Request, S3Response};
use crate::api::s3::wire::conditional;
use crate::app::App;
use crate::authz::Permit;
use crate::http::body::ResponseBody;

/// `DeleteObject`: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObject.html>. What does not exist is deleted.
pub async fn delete_object(app: &App, permit: Permit, request: S3Request) -> Result<S3Response, S3Error> {
    let precondition = conditional::write_precondition(&request.headers)?;
    app.catalog
        .delete_current(permit.bucket(), request.object()?, &precondition)
        .await
        .map_err(|error| write_error(error, &precondition))?;
    let mut response = S3Response::new(ResponseBody::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}
