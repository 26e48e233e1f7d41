//! Trailers applied to a catalog that is kept: what is newer than it comes in.

use std::collections::BTreeSet;

use super::super::record::{Record, VersionRecord};
use super::super::{Catalog, CatalogError, Stamped, Trailer, layout};
use super::{ContentState, Restored};
use crate::blob::BlobRef;
use crate::kv::{Condition, Transaction, Write};
use crate::name::{BucketId, ObjectKey};

/// Objects of which versions were added: they have no current version until [`Catalog::finish_add`].
#[derive(Debug, Default)]
pub struct Touched(BTreeSet<(BucketId, ObjectKey)>);

impl Catalog {
    /// Applies the trailer of a blob that no record refers to and that nothing displaced, one after the other; nothing else may write
    /// meanwhile. False: it is of an upload that was completed, and none of its parts.
    pub async fn add(
        &self,
        stamped: &Stamped,
        blob: BlobRef,
        content: ContentState,
        touched: &mut Touched,
    ) -> Result<bool, CatalogError> {
        match &stamped.trailer {
            Trailer::Part { bucket, upload, .. } | Trailer::Upload { bucket, upload } => {
                if self.is_completed(*bucket, upload).await? {
                    return Ok(false);
                }
            }
            Trailer::Object { bucket, object, .. } => {
                if touched.0.is_empty() {
                    self.forget_stretches(None).await?;
                }
                self.take_apart(*bucket, object).await?;
                touched.0.insert((*bucket, object.clone()));
            }
            Trailer::Bucket(_) => {}
        }
        self.restore(stamped, blob, content).await?;
        Ok(true)
    }

    /// Ends it: every object has its newest version as the current one again.
    pub async fn finish_add(&self, touched: Touched) -> Result<Restored, CatalogError> {
        let mut restored = self.settle().await?;
        for (bucket, object) in &touched.0 {
            self.assemble(layout::versions(*bucket, object)).await?;
        }
        self.find_incomplete(&mut restored).await?;
        Ok(restored)
    }

    /// Puts an object's versions where a rebuild has them: `null` in the place of the current one, all others behind it.
    async fn take_apart(&self, bucket: BucketId, object: &ObjectKey) -> Result<(), CatalogError> {
        let key = layout::head(bucket, object);
        let [head] = self.get([key.clone()]).await?;
        let (Some(entry), Some(head)) =
            (&head, self.look::<VersionRecord>(&key, head.as_ref()).sound().filter(|head| !head.is_null))
        else {
            return Ok(());
        };
        let mut writes = head.as_noncurrent(bucket, object);
        let null = match head.null_elsewhere {
            Some(id) => {
                let null_key = layout::version(bucket, object, id);
                let [null] = self.get([null_key.clone()]).await?;
                self.look::<VersionRecord>(&null_key, null.as_ref()).sound().map(|null| (null_key, null))
            }
            None => None,
        };
        match null {
            Some((null_key, null)) => {
                writes.push(Write::Delete(null_key));
                writes.push(Write::Put(key.clone(), null.encode()));
            }
            None => writes.push(Write::Delete(key.clone())),
        }
        let conditions = vec![Condition::At(key, entry.revision)];
        Ok(self.kv.commit(Transaction { conditions, writes }).await?)
    }
}
