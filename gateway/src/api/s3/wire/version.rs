//! Version ids on the wire.

use http::HeaderMap;
use storage::catalog::{Bucket, VersionRef, Versioning};
use storage::name::VersionId;

use crate::api::s3::error::S3Error;
use crate::http::header;

/// The id of a version that was written while versioning was not enabled.
pub const NULL: &str = "null";

/// The version that a request names; the current one where it names none.
pub fn parse(version_id: Option<&str>) -> Result<VersionRef, S3Error> {
    match version_id {
        None => Ok(VersionRef::Current),
        Some(NULL) => Ok(VersionRef::Null),
        Some("") => Err(S3Error::invalid_argument("Version id cannot be the empty string", "versionId", "")),
        Some(id) => VersionId::parse(id)
            .map(VersionRef::Id)
            .map_err(|_| S3Error::invalid_argument("Invalid version id specified", "versionId", id)),
    }
}

/// A version's id as clients know it.
pub fn text(id: VersionId, is_null: bool) -> String {
    if is_null { NULL.to_owned() } else { id.to_string() }
}

/// Tells the version that a write has made. S3 tells no `null` there: of a bucket whose versions are suspended nothing is said.
pub fn write_new_header(bucket: &Bucket, id: VersionId, is_null: bool, headers: &mut HeaderMap) {
    if !is_null {
        write_header(bucket, id, is_null, headers);
    }
}

/// Tells the version that an answer is about, for a bucket that keeps versions.
pub fn write_header(bucket: &Bucket, id: VersionId, is_null: bool, headers: &mut HeaderMap) {
    if bucket.versioning != Versioning::Unversioned
        && let Ok(value) = text(id, is_null).parse()
    {
        headers.insert(header::VERSION_ID, value);
    }
}
