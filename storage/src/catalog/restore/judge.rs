//! Is a blob of no record of any use still?

use super::super::record::{BucketRecord, PartRecord, Record};
use super::super::{Catalog, CatalogError, Stamped, Trailer, Upload, VersionRef, layout};
use crate::name::BucketId;

impl Catalog {
    /// Does a record stand in the place of the one that this trailer tells, made later than it? Then the trailer's blob is of no use,
    /// whatever became of it.
    pub async fn is_superseded(&self, stamped: &Stamped) -> Result<bool, CatalogError> {
        let later = |stamp_us: u64| stamp_us >= stamped.stamp_us;
        Ok(match &stamped.trailer {
            Trailer::Bucket(bucket) => {
                let [found] = self.get([layout::bucket(&bucket.name)]).await?;
                let found = found.and_then(|found| BucketRecord::decode(&found.value).ok());
                found.is_some_and(|found| later(found.stamp_us))
            }
            Trailer::Object { bucket, object, version } => {
                let which = match version.is_null {
                    true => VersionRef::Null,
                    false => VersionRef::Id(version.version),
                };
                match self.locate(*bucket, object, which).await {
                    Ok(found) => found.is_some_and(|found| later(found.record.stamp_us)),
                    Err(CatalogError::Corrupt(_)) => false,
                    Err(error) => return Err(error),
                }
            }
            Trailer::Upload { bucket, upload } => {
                let [found] = self.get([layout::upload(*bucket, &upload.object, upload.id)]).await?;
                found.is_some() || self.is_completed(*bucket, upload).await?
            }
            Trailer::Part { bucket, upload, part } => {
                let [found] = self.get([layout::part(upload.id.0, part.number.get())]).await?;
                let found = found.and_then(|found| PartRecord::decode(&found.value).ok());
                found.is_some_and(|found| later(found.stamp_us)) || self.is_completed(*bucket, upload).await?
            }
        })
    }

    /// Did the upload become a version that is still there?
    pub(super) async fn is_completed(&self, bucket: BucketId, upload: &Upload) -> Result<bool, CatalogError> {
        match self.locate_content(bucket, &upload.object, upload.id.0).await {
            Ok(found) => Ok(found.is_some()),
            Err(CatalogError::Corrupt(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
