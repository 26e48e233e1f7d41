//! ListMultipartUploads.

use storage::name::UploadId;

use crate::api::s3::error::S3Error;
use crate::api::s3::request::{S3Request, S3Response};
use crate::api::s3::response;
use crate::api::s3::wire::listing::Page;
use crate::api::s3::wire::multipart::write_uploads;
use crate::app::App;
use crate::authz::Permit;

/// Answers the uploads in progress of a bucket.
pub async fn list_multipart_uploads(
    app: &App,
    permit: Permit,
    request: S3Request,
) -> Result<S3Response, S3Error> {
    let bucket = permit.bucket();
    let page = Page::parse(&bucket.name, &request.query, "max-uploads", "key-marker")?;
    // Without a key-marker AWS ignores the other one.
    let marker =
        request.query.get("upload-id-marker").filter(|marker| page.marker.is_some() && !marker.is_empty());
    let after_upload =
        match marker {
            None => None,
            Some(text) => Some(UploadId::parse(text).map_err(|_| {
                S3Error::invalid_argument("Invalid uploadId marker", "upload-id-marker", text)
            })?),
        };
    let asked = page.request(page.marker.map(str::to_owned));
    let uploads = app.catalog.list_uploads(bucket, &asked, after_upload).await?;
    Ok(response::xml(write_uploads(page, &app.owner_of(bucket), marker.unwrap_or_default(), &uploads)))
}
