//! ListMultipartUploads.

use storage::catalog::{Bucket, CatalogError, Upload, object_owner};
use storage::name::{ObjectKey, UploadId};

use crate::api::s3::error::S3Error;
use crate::api::s3::request::{S3Request, S3Response};
use crate::api::s3::response;
use crate::api::s3::wire::listing::Page;
use crate::api::s3::wire::multipart::write_uploads;
use crate::app::App;
use crate::authz::Permit;
use crate::bucket::OwnershipControls;

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
    let after_upload = match (marker, page.marker) {
        (Some(text), Some(key)) => Some(upload_of(app, bucket, key, text).await?),
        _ => None,
    };
    let asked = page.request(page.marker.map(str::to_owned));
    let uploads = app.catalog.list_uploads(bucket, &asked, after_upload).await?;
    let initiator_of = |arn: &str| super::initiator(app, arn);
    let has_acls = OwnershipControls::has_acls(bucket)?;
    let owner = app.owner_of(bucket);
    let owner_of = |upload: &Upload| match object_owner(&upload.attributes) {
        Some(writer) if has_acls => app.account_of(writer),
        _ => owner.clone(),
    };
    Ok(response::xml(write_uploads(page, owner_of, initiator_of, marker.unwrap_or_default(), &uploads)))
}

/// The upload of this object that a marker names. Whoever ends the uploads of a page goes on behind one that is there no more;
/// one of another object is refused.
async fn upload_of(app: &App, bucket: &Bucket, key: &str, text: &str) -> Result<UploadId, S3Error> {
    let invalid = || S3Error::invalid_argument("Invalid uploadId marker", "upload-id-marker", text);
    let id = UploadId::parse(text).map_err(|_| invalid())?;
    let object = ObjectKey::parse(key).map_err(|_| invalid())?;
    if id.fits(&object) {
        return Ok(id);
    }
    match app.catalog.upload(bucket, &object, id).await {
        Ok(_) => Ok(id),
        Err(CatalogError::NoSuchUpload) => Err(invalid()),
        Err(error) => Err(error.into()),
    }
}
