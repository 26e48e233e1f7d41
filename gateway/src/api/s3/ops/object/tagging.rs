//! PutObjectTagging, GetObjectTagging, DeleteObjectTagging.

use storage::catalog::{Authority, ObjectVersion};

use super::lookup;
use super::record_change::change;
use crate::api::s3::error::{Code, S3Error};
use crate::api::s3::request::{S3Request, S3Response};
use crate::api::s3::request_document;
use crate::api::s3::response;
use crate::api::s3::wire::{tagging, version};
use crate::app::App;
use crate::authz::Permit;

/// `PutObjectTagging`: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObjectTagging.html>.
pub async fn put_object_tagging(
    app: &App,
    permit: Permit,
    mut request: S3Request,
) -> Result<S3Response, S3Error> {
    let body = request_document::read_config(&mut request).await?;
    let tags = tagging::parse(&body, tagging::OBJECT_MAX)?;
    let changed = set(app, &permit, &request, tags).await?;
    let mut response = response::empty();
    version::write_header(permit.bucket(), changed.version, changed.is_null, response.headers_mut());
    Ok(response)
}

/// `DeleteObjectTagging`: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjectTagging.html>.
pub async fn delete_object_tagging(
    app: &App,
    permit: Permit,
    request: S3Request,
) -> Result<S3Response, S3Error> {
    let changed = set(app, &permit, &request, Vec::new()).await?;
    let mut response = response::no_content();
    version::write_header(permit.bucket(), changed.version, changed.is_null, response.headers_mut());
    Ok(response)
}

async fn set(
    app: &App,
    permit: &Permit,
    request: &S3Request,
    tags: tagging::Tags,
) -> Result<ObjectVersion, S3Error> {
    change(app, permit.bucket(), request.object()?, request.version, Authority::usual(), |record| {
        record.tags.clone_from(&tags);
        Ok(())
    })
    .await
    .map_err(lookup::seeing_marker)
}

/// `GetObjectTagging`: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectTagging.html>.
pub async fn get_object_tagging(
    app: &App,
    permit: Permit,
    request: S3Request,
) -> Result<S3Response, S3Error> {
    let bucket = permit.bucket();
    let object = request.object()?;
    let found = lookup::find(app, bucket, object, request.version).await;
    let found = found.map_err(lookup::seeing_marker).map_err(|mut error| {
        // AWS names the bucket too here, and only here.
        if error.code == Code::NoSuchKey {
            error.fields = vec![("Key", format!("{}/{object}", bucket.name))];
        }
        error
    })?;
    let mut response = response::xml(tagging::write(&found.record.tags));
    version::write_header(bucket, found.version, found.is_null, response.headers_mut());
    Ok(response)
}
