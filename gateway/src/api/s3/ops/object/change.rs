//! A version's record, changed in place: tags, protection, ACL, envelope. No byte of content moves, and the id stays.

use storage::catalog::{Authority, Bucket, CatalogError, ObjectRecord, ObjectVersion, Trailer, VersionRef};
use storage::name::ObjectKey;

use super::found;
use crate::api::s3::error::{Code, S3Error};
use crate::app::App;
use crate::transfer::journal;

/// How often a change is tried where others change the same version.
const MAX_ATTEMPTS: usize = 16;

/// Changes the record of a version; again with the record as it is then where others change it meanwhile. Answers it as it became.
pub(in crate::api::s3::ops) async fn change(
    app: &App,
    bucket: &Bucket,
    object: &ObjectKey,
    which: VersionRef,
    authority: Authority,
    change: impl Fn(&mut ObjectRecord) -> Result<(), S3Error>,
) -> Result<ObjectVersion, S3Error> {
    for _ in 0..MAX_ATTEMPTS {
        let former = found::find(app, bucket, object, which).await?.as_version();
        let mut next = former.clone();
        if let Some(record) = next.object_mut() {
            change(record)?;
        }
        if next == former {
            return Ok(former);
        }
        match replace(app, bucket, object, &former, next.clone(), authority).await {
            Err(error) if [Code::OperationAborted, Code::NoSuchVersion].contains(&error.code) => {}
            Err(error) => return Err(error),
            Ok(()) => return Ok(next),
        }
    }
    Err(CatalogError::Contended.into())
}

/// Puts `next` in the place of `former`, with a journal that records it for a rebuild.
pub(in crate::api::s3::ops) async fn replace(
    app: &App,
    bucket: &Bucket,
    object: &ObjectKey,
    former: &ObjectVersion,
    mut next: ObjectVersion,
    authority: Authority,
) -> Result<(), S3Error> {
    let trailer = Trailer::Object { bucket: bucket.id, object: object.clone(), version: next.clone() };
    let blob = journal::write(&app.blobs, &app.metadata_key, &trailer).await?;
    next.journal = Some(blob);
    let replaced = app.catalog.replace_version(bucket, object, former, &next, authority).await;
    if replaced.is_err() {
        // What is left behind here is found by the sweep of orphans.
        let _ = app.blobs.delete(&blob.id).await;
    }
    Ok(replaced?)
}
