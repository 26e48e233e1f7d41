//! DeleteObject.

use http::HeaderMap;
use storage::catalog::{Authority, Bucket, Precondition, VersionKind, VersionRef, Versioning};
use storage::name::ObjectKey;

use super::annotation;
use super::lookup::insert;
use super::write::write_error;
use crate::api::s3::error::{Code, S3Error};
use crate::api::s3::request::{S3Request, S3Response};
use crate::api::s3::response;
use crate::api::s3::wire::{conditional, version};
use crate::app::App;
use crate::authz::Permit;
use crate::bucket::{ObjectLock, Setting};
use crate::http::header;
use crate::transfer::journal::ChangeError;

/// `DeleteObject`: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObject.html>. What does not exist is deleted.
pub async fn delete_object(app: &App, permit: Permit, request: S3Request) -> Result<S3Response, S3Error> {
    let precondition = conditional::delete_precondition(&request.headers)?;
    refuse_condition_on_version(&precondition, request.version)?;
    let (bucket, object) = (permit.bucket(), request.object()?);
    refuse_bypass_without_lock(bucket, &request)?;
    let authority = request.authority(app, bucket, object, request.version).await?;
    let deleted = delete(app, bucket, object, request.version, &precondition, authority).await?;
    let mut response = response::no_content();
    deleted.write_headers(response.headers_mut());
    Ok(response)
}

/// Conditions are on the current version alone: on a version that is named S3 has none.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-deletes.html>
pub(super) fn refuse_condition_on_version(
    precondition: &Precondition,
    version: VersionRef,
) -> Result<(), S3Error> {
    match (precondition, version) {
        (Precondition::None, _) | (_, VersionRef::Current) => Ok(()),
        _ => Err(S3Error::not_implemented("A condition on a deletion that names a version")),
    }
}

/// Where nothing is locked there is nothing to bypass, whatever the header's value is.
pub(super) fn refuse_bypass_without_lock(bucket: &Bucket, request: &S3Request) -> Result<(), S3Error> {
    let name = header::BYPASS_GOVERNANCE_RETENTION;
    if !request.headers.contains_key(&name) || ObjectLock::of(bucket)?.is_some() {
        return Ok(());
    }
    Err(S3Error::new(Code::InvalidArgument)
        .message(format!("{name} is only applicable to Object Lock enabled buckets."))
        .field("ArgumentName", name.as_str()))
}

/// What a deletion did.
pub(super) struct Deleted {
    /// The version that is gone, or the delete marker that was written.
    pub(super) version: Option<String>,
    /// It is about a delete marker.
    pub(super) is_marker: bool,
}

impl Deleted {
    fn write_headers(&self, headers: &mut HeaderMap) {
        if let Some(version) = &self.version {
            insert(headers, header::VERSION_ID, version);
        }
        if self.is_marker {
            insert(headers, header::DELETE_MARKER, "true");
        }
    }
}

/// Deletes a version for good, or marks an object as deleted where its bucket keeps versions.
pub(super) async fn delete(
    app: &App,
    bucket: &Bucket,
    object: &ObjectKey,
    which: VersionRef,
    precondition: &Precondition,
    authority: Authority,
) -> Result<Deleted, S3Error> {
    let refuse = |error| write_error(error, precondition, object);
    if which == VersionRef::Current && bucket.versioning != Versioning::Unversioned {
        let marked = app.records().mark_deleted(bucket, object, precondition).await;
        let marker = marked.map_err(|error| match error {
            ChangeError::Catalog(error) => refuse(error),
            error => error.into(),
        })?;
        let text = version::text(marker.version, marker.is_null);
        return Ok(Deleted { version: Some(text), is_marker: true });
    }
    let gone =
        app.catalog.delete_version(bucket, object, which, precondition, authority).await.map_err(refuse)?;
    if let Some(gone) = &gone {
        annotation::forget(app, bucket, gone).await;
    }
    let version = match which {
        VersionRef::Current => None,
        VersionRef::Null => Some(version::NULL.to_owned()),
        VersionRef::Id(id) | VersionRef::Noncurrent(id) => Some(id.to_string()),
    };
    let is_marker = version.is_some() && gone.is_some_and(|gone| gone.kind == VersionKind::DeleteMarker);
    Ok(Deleted { version, is_marker })
}
