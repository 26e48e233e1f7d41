//! Object versions. The current one lies under a key that the object's name alone decides, and is what writers fight for.

use super::bucket::in_bucket;
use super::displaced::{displaced_blob, displaced_content};
use super::record::{Record, VersionRecord, stamp_us};
use super::{
    Bucket, Catalog, CatalogError, ListPage, ListRequest, ObjectSummary, ObjectVersion, Precondition, layout,
    record, unchanged,
};
use crate::kv::Write;
use crate::name::{ObjectKey, VersionId};

impl Catalog {
    /// The current version of an object; `None` where there is none (a delete marker is a version).
    pub async fn current(
        &self,
        bucket: &Bucket,
        object: &ObjectKey,
    ) -> Result<Option<ObjectVersion>, CatalogError> {
        let [found] = self.get([layout::head(bucket.id, object)]).await?;
        found.map(|found| Ok(VersionRecord::decode(&found.value)?.into_version())).transpose()
    }

    /// Makes `version` the current one of `object` if the precondition holds, in one commit with what it displaces.
    /// Fails with [`CatalogError::NoSuchBucket`] if the bucket is gone or was made anew.
    pub async fn commit_version(
        &self,
        bucket: &Bucket,
        object: &ObjectKey,
        version: &ObjectVersion,
        precondition: &Precondition,
    ) -> Result<(), CatalogError> {
        let record = VersionRecord::of(version, stamp_us());
        self.change_head(bucket, object, |former| {
            precondition.check(former)?;
            Ok(Some(record.clone()))
        })
        .await
        .map(drop)
    }

    /// Replaces the record of a version by one with the same content (metadata or envelope changed in place), provided the
    /// current version still is `expected`: else [`CatalogError::NoSuchKey`] if there is none, [`CatalogError::Contended`]
    /// if there is another. `version.content.version` must be the one that was read; where the bytes lie is taken from
    /// the record, as they may have moved since.
    pub async fn replace_version(
        &self,
        bucket: &Bucket,
        object: &ObjectKey,
        expected: VersionId,
        version: &ObjectVersion,
        precondition: &Precondition,
    ) -> Result<(), CatalogError> {
        let record = VersionRecord::of(version, stamp_us());
        self.change_head(bucket, object, |former| {
            precondition.check(former)?;
            let former = former.filter(|former| !former.delete_marker).ok_or(CatalogError::NoSuchKey)?;
            let (was, is) = (&former.content, &record.content);
            let shared =
                was.as_ref().map(|content| content.version) == is.as_ref().map(|content| content.version);
            if former.version != expected || !shared {
                return Err(CatalogError::Contended);
            }
            Ok(Some(VersionRecord { content: former.content.clone(), ..record.clone() }))
        })
        .await
        .map(drop)
    }

    /// Deletes the current version for good; absent is fine. Answers what was deleted.
    pub async fn delete_current(
        &self,
        bucket: &Bucket,
        object: &ObjectKey,
        precondition: &Precondition,
    ) -> Result<Option<ObjectVersion>, CatalogError> {
        let former = self
            .change_head(bucket, object, |former| {
                precondition.check(former)?;
                Ok(None)
            })
            .await?;
        Ok(former.map(VersionRecord::into_version))
    }

    /// Current objects in UTF-8 byte order. Costs what it returns: seeks past each common prefix.
    pub async fn list_objects(
        &self,
        bucket: &Bucket,
        request: &ListRequest,
    ) -> Result<ListPage<ObjectSummary>, CatalogError> {
        let base = layout::within(layout::HEAD, bucket.id);
        self.list(&base, request, None, |name, _, value| {
            let object = ObjectKey::parse(&name).map_err(|_| CatalogError::Corrupt("an object's name"))?;
            record::summary(value, object)
        })
        .await
    }

    /// Changes the current version into what `change` makes of the former one (`None`: nothing), and displaces what that leaves behind.
    /// Answers the former one.
    async fn change_head(
        &self,
        bucket: &Bucket,
        object: &ObjectKey,
        mut change: impl FnMut(Option<&VersionRecord>) -> Result<Option<VersionRecord>, CatalogError>,
    ) -> Result<Option<VersionRecord>, CatalogError> {
        let keys = [layout::bucket(&bucket.name), layout::head(bucket.id, object)];
        let mut attempts = self.attempts(&keys[1]);
        loop {
            let [found_bucket, found] = self.get(keys.clone()).await?;
            let mut transaction = in_bucket(bucket, &keys[0], &found_bucket)?;
            let former = found.as_ref().map(|found| VersionRecord::decode(&found.value)).transpose()?;
            let next = change(former.as_ref())?;
            transaction.writes.push(match (&next, &former) {
                (Some(next), _) => Write::Put(keys[1].clone(), next.encode()),
                (None, Some(_)) => Write::Delete(keys[1].clone()),
                (None, None) => return Ok(None),
            });
            transaction.writes.extend(former.iter().flat_map(|former| former.left_behind(next.as_ref())));
            transaction.conditions.push(unchanged(&keys[1], &found));
            if attempts.commit(transaction).await? {
                return Ok(former);
            }
        }
    }
}

impl VersionRecord {
    /// Queues the blobs that only this record refers to once `next` stands in its place.
    pub(super) fn left_behind(&self, next: Option<&VersionRecord>) -> Vec<Write> {
        let mut writes = Vec::new();
        if let Some(content) = &self.content {
            let kept = next.and_then(|next| next.content.as_ref());
            if kept.is_none_or(|kept| kept.version != content.version) {
                writes.push(displaced_content(content));
            }
        }
        if let Some(journal) = self.journal
            && next.is_none_or(|next| next.journal != Some(journal))
        {
            writes.push(displaced_blob(None, journal));
        }
        writes
    }
}

impl Precondition {
    pub(super) fn check(&self, current: Option<&VersionRecord>) -> Result<(), CatalogError> {
        let object = current.filter(|current| !current.delete_marker);
        match (self, object) {
            (Self::None, _) | (Self::Absent, None) => Ok(()),
            (Self::Absent, Some(_)) => Err(CatalogError::PreconditionFailed),
            (Self::Etag(_), None) => Err(CatalogError::NoSuchKey),
            (Self::Etag(etag), Some(object)) if etag == "*" || *etag == object.etag => Ok(()),
            (Self::Etag(_), Some(_)) => Err(CatalogError::PreconditionFailed),
        }
    }
}
