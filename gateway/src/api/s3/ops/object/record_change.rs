//! A version's record, changed in place: tags, protection, ACL, envelope. No byte of content moves, and the id stays.

use storage::catalog::{Authority, Bucket, CatalogError, ObjectRecord, ObjectVersion, VersionRef};
use storage::name::ObjectKey;

use super::lookup;
use crate::api::s3::error::S3Error;
use crate::app::App;
use crate::transfer::journal::ChangeError;

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
        let former = lookup::find(app, bucket, object, which).await?.as_version();
        let mut next = former.clone();
        if let Some(record) = next.object_mut() {
            change(record)?;
        }
        if next == former {
            return Ok(former);
        }
        match app.records().replace(bucket, object, &former, next.clone(), authority).await {
            Err(ChangeError::Catalog(CatalogError::Contended | CatalogError::NoSuchVersion)) => {}
            Err(error) => return Err(error.into()),
            Ok(()) => return Ok(next),
        }
    }
    Err(CatalogError::Contended.into())
}
