//! Object versions. The current one lies under a key that the object's name alone decides, and is what writers fight for; the
//! others lie behind it by their ids, newest first. An object that has any version has a current one, and the current one's
//! id is the newest.

use super::bucket::in_bucket;
use super::displaced::{displaced_blob, displaced_content};
use super::record::{BucketFront, ContentPlace, Record, VersionRecord, stamp_us};
use super::{
    Authority, Bucket, Catalog, CatalogError, ListPage, ListRequest, ObjectSummary, ObjectVersion,
    Precondition, VersionRef, VersionSummary, Versioning, layout, record, unchanged,
};
use crate::kv::{Condition, Direction, Entry, Key, KeyRange, Transaction, Write};
use crate::name::{BucketId, ObjectKey, VersionId};

/// A record where it was found.
pub(super) struct Located {
    pub(super) key: Key,
    pub(super) entry: Entry,
    pub(super) record: VersionRecord,
}

impl Located {
    fn decode(key: Key, entry: Entry) -> Result<Self, CatalogError> {
        let record = VersionRecord::decode(&entry.value)?;
        Ok(Self { key, entry, record })
    }

    fn condition(&self) -> Condition {
        Condition::At(self.key.clone(), self.entry.revision)
    }
}

impl Catalog {
    /// The current version of an object; `None` where there is none (a delete marker is a version).
    pub async fn current(
        &self,
        bucket: &Bucket,
        object: &ObjectKey,
    ) -> Result<Option<ObjectVersion>, CatalogError> {
        self.version(bucket, object, VersionRef::Current).await
    }

    /// A version of an object.
    pub async fn version(
        &self,
        bucket: &Bucket,
        object: &ObjectKey,
        which: VersionRef,
    ) -> Result<Option<ObjectVersion>, CatalogError> {
        Ok(self.locate(bucket.id, object, which).await?.map(|found| found.record.into_version()))
    }

    /// The id for a version that is about to be written: newer than the current one's where the bucket keeps versions.
    pub async fn next_version_id(
        &self,
        bucket: &Bucket,
        object: &ObjectKey,
    ) -> Result<VersionId, CatalogError> {
        if bucket.versioning == Versioning::Unversioned {
            return Ok(VersionId::now());
        }
        let [head] = self.get([layout::head(bucket.id, object)]).await?;
        let head = head.map(|head| VersionRecord::decode(&head.value)).transpose()?;
        Ok(head.map_or_else(VersionId::now, |head| VersionId::after(head.version)))
    }

    /// Writes `version` if the precondition holds, in one commit with what it displaces: it becomes the current one. (Of two that
    /// are written at the same time the one with the newer id is.) Whether it is `null` must agree with the bucket's versioning as it is
    /// now: else [`CatalogError::Contended`]. Fails with [`CatalogError::NoSuchBucket`] if the bucket is gone or was made anew.
    pub async fn commit_version(
        &self,
        bucket: &Bucket,
        object: &ObjectKey,
        version: &ObjectVersion,
        precondition: &Precondition,
    ) -> Result<(), CatalogError> {
        let record = VersionRecord::of(version, stamp_us());
        let keys = [layout::bucket(&bucket.name), layout::head(bucket.id, object)];
        let mut attempts = self.attempts(&keys[1]);
        loop {
            let [found_bucket, found] = self.get(keys.clone()).await?;
            let (mut transaction, front) = in_bucket(bucket, &keys[0], &found_bucket)?;
            let former = found.as_ref().map(|found| VersionRecord::decode(&found.value)).transpose()?;
            precondition.check(former.as_ref())?;
            transaction.conditions.push(unchanged(&keys[1], &found));
            let ordered = *precondition == Precondition::None;
            self.push_version(&mut transaction, &front, object, former, record.clone(), ordered).await?;
            if attempts.commit(transaction).await? {
                return Ok(());
            }
        }
    }

    /// Adds to a transaction what makes `record` the current version in the place of `former`, on which the transaction is
    /// conditional already. `may_follow`: it may also be written as the one before it.
    pub(super) async fn push_version(
        &self,
        transaction: &mut Transaction,
        front: &BucketFront,
        object: &ObjectKey,
        former: Option<VersionRecord>,
        mut record: VersionRecord,
        may_follow: bool,
    ) -> Result<(), CatalogError> {
        if record.is_null != (front.versioning != Versioning::Enabled) {
            return Err(CatalogError::Contended);
        }
        let head = layout::head(front.id, object);
        let Some(mut former) = former else {
            transaction.writes.push(Write::Put(head, record.encode()));
            return Ok(());
        };
        if former.is_null && record.is_null {
            former.expect_deletable(Authority::usual())?;
            record.null_elsewhere = None;
            transaction.writes.push(Write::Put(head, record.encode()));
            transaction.writes.extend(former.place_forgotten(front.id));
            transaction.writes.extend(former.left_behind(Some(&record)));
            return Ok(());
        }
        let mut null_elsewhere = former.null_elsewhere.take();
        if record.is_null
            && let Some(id) = null_elsewhere.take()
        {
            let key = layout::version(front.id, object, id);
            let [found] = self.get([key.clone()]).await?;
            let null = Located::decode(key, found.ok_or(CatalogError::Corrupt("a null version"))?)?;
            null.record.expect_deletable(Authority::usual())?;
            transaction.conditions.push(null.condition());
            transaction.writes.push(Write::Delete(null.key));
            transaction.writes.extend(null.record.place_forgotten(front.id));
            transaction.writes.extend(null.record.left_behind(None));
        }
        let (mut newer, older) = if record.version < former.version {
            (record, former)
        } else if may_follow {
            // It was begun before the current one was there: it is the one before.
            (former, record)
        } else {
            return Err(CatalogError::Contended);
        };
        newer.null_elsewhere = match (newer.is_null, older.is_null) {
            (true, _) => None,
            (false, true) => Some(older.version),
            (false, false) => null_elsewhere,
        };
        transaction.writes.push(Write::Put(head, newer.encode()));
        transaction.writes.extend(older.as_noncurrent(front.id, object));
        Ok(())
    }

    /// Puts `next` in the place of the version `expected`, which was read before and has the same id: metadata or envelope changed in
    /// place. [`CatalogError::Contended`] if it has changed since, [`CatalogError::NoSuchVersion`] if it is gone. Where the bytes lie
    /// is taken from the record, as they may have moved.
    pub async fn replace_version(
        &self,
        bucket: &Bucket,
        object: &ObjectKey,
        expected: &ObjectVersion,
        next: &ObjectVersion,
        authority: Authority,
    ) -> Result<(), CatalogError> {
        let which = match expected.is_null {
            true => VersionRef::Null,
            false => VersionRef::Id(expected.version),
        };
        let bucket_key = layout::bucket(&bucket.name);
        let mut attempts = self.attempts(&layout::head(bucket.id, object));
        loop {
            let [found_bucket] = self.get([bucket_key.clone()]).await?;
            let (mut transaction, _) = in_bucket(bucket, &bucket_key, &found_bucket)?;
            let found = self.locate(bucket.id, object, which).await?.ok_or(CatalogError::NoSuchVersion)?;
            let former = &found.record;
            let mut record = VersionRecord::of(next, stamp_us());
            let content = |record: &VersionRecord| record.content.as_ref().map(|content| content.version);
            if next.version != expected.version || content(former) != content(&record) || !former.is(expected)
            {
                return Err(CatalogError::Contended);
            }
            if !former.lock.may_become(&record.lock, authority) {
                return Err(CatalogError::Locked);
            }
            record.content.clone_from(&former.content);
            record.null_elsewhere = former.null_elsewhere;
            transaction.conditions.push(found.condition());
            transaction.writes.push(Write::Put(found.key.clone(), record.encode()));
            transaction.writes.extend(former.left_behind(Some(&record)));
            if attempts.commit(transaction).await? {
                return Ok(());
            }
        }
    }

    /// Deletes a version for good; absent is fine. The newest of those that stay becomes the current one. The precondition is on the version
    /// that is deleted. Answers what was deleted. [`CatalogError::Locked`] where object lock protects it.
    pub async fn delete_version(
        &self,
        bucket: &Bucket,
        object: &ObjectKey,
        which: VersionRef,
        precondition: &Precondition,
        authority: Authority,
    ) -> Result<Option<ObjectVersion>, CatalogError> {
        let keys = [layout::bucket(&bucket.name), layout::head(bucket.id, object)];
        let mut attempts = self.attempts(&keys[1]);
        loop {
            let [found_bucket, head] = self.get(keys.clone()).await?;
            let (mut transaction, front) = in_bucket(bucket, &keys[0], &found_bucket)?;
            if which == VersionRef::Current && front.versioning != Versioning::Unversioned {
                // There a delete marker is written instead.
                return Err(CatalogError::Contended);
            }
            let Some(head) = head else {
                precondition.check(None)?;
                return Ok(None);
            };
            let mut head = Located::decode(keys[1].clone(), head)?;
            transaction.conditions.push(head.condition());
            let deleted = if head.record.is_current(which) {
                let next = self.newest_noncurrent(bucket.id, object).await?;
                match next {
                    None => transaction.writes.push(Write::Delete(keys[1].clone())),
                    Some(mut next) => {
                        transaction.conditions.push(next.condition());
                        transaction.writes.push(Write::Delete(next.key.clone()));
                        // What was renamed needs its place wherever its record is.
                        let place = next.record.place_forgotten(bucket.id);
                        transaction.writes.extend(place.filter(|_| !next.record.renamed));
                        next.record.null_elsewhere =
                            head.record.null_elsewhere.filter(|_| !next.record.is_null);
                        transaction.writes.push(Write::Put(keys[1].clone(), next.record.encode()));
                    }
                }
                head
            } else {
                let id = match which {
                    VersionRef::Current => return Err(CatalogError::Corrupt("a current version")),
                    VersionRef::Null => head.record.null_elsewhere,
                    VersionRef::Id(id) | VersionRef::Noncurrent(id) => Some(id),
                };
                let found = match id {
                    Some(id) => self.noncurrent(bucket.id, object, id).await?,
                    None => None,
                };
                let found = found.filter(|found| found.record.is_version(which));
                let Some(found) = found else {
                    precondition.check(None)?;
                    return Ok(None);
                };
                transaction.conditions.push(found.condition());
                transaction.writes.push(Write::Delete(found.key.clone()));
                if found.record.is_null {
                    head.record.null_elsewhere = None;
                    transaction.writes.push(Write::Put(keys[1].clone(), head.record.encode()));
                }
                found
            };
            precondition.check(Some(&deleted.record))?;
            deleted.record.expect_deletable(authority)?;
            transaction.writes.extend(deleted.record.place_forgotten(bucket.id));
            transaction.writes.extend(deleted.record.left_behind(None));
            if attempts.commit(transaction).await? {
                return Ok(Some(deleted.record.into_version()));
            }
        }
    }

    /// Gives the current version `from`, which was read before, the name `to` in the place of what has it: one commit, whatever its
    /// size, in a bucket without versions. `version` is the record under its new name: `from` but for `renamed` and its journal.
    /// [`CatalogError::Contended`] if `from` has changed since, [`CatalogError::NoSuchKey`] if it is gone.
    pub async fn rename(
        &self,
        bucket: &Bucket,
        (from, expected): (&ObjectKey, &ObjectVersion),
        (to, version): (&ObjectKey, &ObjectVersion),
        precondition: &Precondition,
    ) -> Result<(), CatalogError> {
        let keys = [layout::bucket(&bucket.name), layout::head(bucket.id, from), layout::head(bucket.id, to)];
        let mut attempts = self.attempts(&keys[2]);
        loop {
            let [found_bucket, source, target] = self.get(keys.clone()).await?;
            let (mut transaction, front) = in_bucket(bucket, &keys[0], &found_bucket)?;
            if front.versioning != Versioning::Unversioned {
                return Err(CatalogError::Contended);
            }
            let source = source.ok_or(CatalogError::NoSuchKey)?;
            let former = VersionRecord::decode(&source.value)?;
            if !former.is(expected) {
                return Err(CatalogError::Contended);
            }
            let replaced = target.as_ref().map(|target| VersionRecord::decode(&target.value)).transpose()?;
            precondition.check(replaced.as_ref())?;
            let mut record = VersionRecord::of(version, stamp_us());
            record.renamed = true;
            record.content.clone_from(&former.content);
            let content = record.content.as_ref().ok_or(CatalogError::NoSuchKey)?;
            let place = ContentPlace { object: to.clone(), version: record.version };
            transaction.conditions.push(Condition::At(keys[1].clone(), source.revision));
            transaction.conditions.push(unchanged(&keys[2], &target));
            transaction.writes.push(Write::Delete(keys[1].clone()));
            transaction.writes.push(Write::Put(keys[2].clone(), record.encode()));
            transaction.writes.push(Write::Put(layout::content(bucket.id, content.version), place.encode()));
            transaction.writes.extend(former.journal.map(|blob| displaced_blob(None, blob)));
            if let Some(replaced) = &replaced {
                replaced.expect_deletable(Authority::usual())?;
                transaction.writes.extend(replaced.place_forgotten(bucket.id));
                transaction.writes.extend(replaced.left_behind(None));
            }
            if attempts.commit(transaction).await? {
                return Ok(());
            }
        }
    }

    /// Current objects in UTF-8 byte order. Costs what it returns: seeks past each common prefix.
    pub async fn list_objects(
        &self,
        bucket: &Bucket,
        request: &ListRequest,
    ) -> Result<ListPage<ObjectSummary>, CatalogError> {
        self.list(&[layout::HEAD], bucket.id, request, None, |name, _, value| {
            let object = ObjectKey::parse(&name).map_err(|_| CatalogError::Corrupt("an object's name"))?;
            let row = record::summary(value, object)?;
            Ok((!row.delete_marker).then_some(row.summary))
        })
        .await
    }

    /// Versions in order of object, then newest first. `after_version` begins behind that version of the object `request.after`.
    pub async fn list_versions(
        &self,
        bucket: &Bucket,
        request: &ListRequest,
        after_version: Option<VersionRef>,
    ) -> Result<ListPage<VersionSummary>, CatalogError> {
        let mut behind = None;
        if let (Some(after), Some(which)) = (&request.after, after_version)
            && let Ok(object) = ObjectKey::parse(after)
        {
            behind = self.behind_version(bucket.id, &object, which).await?;
        }
        let kinds = [layout::HEAD, layout::VERSION];
        self.list(&kinds, bucket.id, request, behind, |name, key, value| {
            let object = ObjectKey::parse(&name).map_err(|_| CatalogError::Corrupt("an object's name"))?;
            let is_latest = key.first() == Some(&layout::HEAD);
            Ok(Some(VersionSummary { is_latest, ..record::summary(value, object)? }))
        })
        .await
    }

    /// Where a listing goes on behind a version, which may be gone since; `None`: behind the object.
    async fn behind_version(
        &self,
        bucket: BucketId,
        object: &ObjectKey,
        which: VersionRef,
    ) -> Result<Option<Key>, CatalogError> {
        let key = layout::head(bucket, object);
        let [head] = self.get([key.clone()]).await?;
        let Some(head) = head else { return Ok(None) };
        let head = VersionRecord::decode(&head.value)?;
        Ok(match which {
            _ if head.is_current(which) => Some(layout::successor(&key)),
            VersionRef::Id(id) | VersionRef::Noncurrent(id) if id < head.version => Some(key),
            VersionRef::Id(id) | VersionRef::Noncurrent(id) => {
                Some(layout::successor(&layout::version(bucket, object, id)))
            }
            VersionRef::Null => {
                head.null_elsewhere.map(|id| layout::successor(&layout::version(bucket, object, id)))
            }
            VersionRef::Current => None,
        })
    }

    pub(super) async fn locate(
        &self,
        bucket: BucketId,
        object: &ObjectKey,
        which: VersionRef,
    ) -> Result<Option<Located>, CatalogError> {
        // A version that moves between the two reads is found by the next round.
        loop {
            let key = layout::head(bucket, object);
            let [Some(entry)] = self.get([key.clone()]).await? else { return Ok(None) };
            let head = Located::decode(key.clone(), entry)?;
            if head.record.is_current(which) {
                return Ok(Some(head));
            }
            let id = match which {
                VersionRef::Current => None,
                VersionRef::Null => head.record.null_elsewhere,
                VersionRef::Id(id) | VersionRef::Noncurrent(id) => Some(id),
            };
            let Some(id) = id else { return Ok(None) };
            let found = self.noncurrent(bucket, object, id).await?;
            if let Some(found) = found {
                return Ok(Some(found).filter(|found| found.record.is_version(which)));
            }
            let [again] = self.get([key]).await?;
            if again.is_some_and(|again| again.revision == head.entry.revision) {
                return Ok(None);
            }
        }
    }

    /// The record whose content was sealed as `content` for an object of this name.
    pub(super) async fn locate_content(
        &self,
        bucket: BucketId,
        object: &ObjectKey,
        content: VersionId,
    ) -> Result<Option<Located>, CatalogError> {
        let head_key = layout::head(bucket, object);
        loop {
            let holds = |found: &Located| found.record.content.as_ref().is_some_and(|c| c.version == content);
            let keys = [
                head_key.clone(),
                layout::version(bucket, object, content),
                layout::content(bucket, content),
            ];
            let [head, version, place] = self.get(keys.clone()).await?;
            let revision = head.as_ref().map(|head| head.revision);
            for (key, entry) in [(&keys[0], head), (&keys[1], version)] {
                let found = entry.map(|entry| Located::decode(key.clone(), entry)).transpose()?;
                if let Some(found) = found.filter(holds) {
                    return Ok(Some(found));
                }
            }
            if let Some(place) = place {
                let place = ContentPlace::decode(&place.value)?;
                let found = self.at_place(bucket, &place).await?;
                if let Some(found) = found.filter(holds) {
                    return Ok(Some(found));
                }
            }
            let [again] = self.get([head_key.clone()]).await?;
            if again.map(|again| again.revision) == revision {
                return Ok(None);
            }
        }
    }

    async fn at_place(
        &self,
        bucket: BucketId,
        place: &ContentPlace,
    ) -> Result<Option<Located>, CatalogError> {
        let key = layout::head(bucket, &place.object);
        let [head] = self.get([key.clone()]).await?;
        let head = head.map(|head| Located::decode(key, head)).transpose()?;
        match head.filter(|head| head.record.version == place.version) {
            Some(head) => Ok(Some(head)),
            None => self.noncurrent(bucket, &place.object, place.version).await,
        }
    }

    async fn noncurrent(
        &self,
        bucket: BucketId,
        object: &ObjectKey,
        id: VersionId,
    ) -> Result<Option<Located>, CatalogError> {
        let key = layout::version(bucket, object, id);
        let [found] = self.get([key.clone()]).await?;
        found.map(|entry| Located::decode(key, entry)).transpose()
    }

    async fn newest_noncurrent(
        &self,
        bucket: BucketId,
        object: &ObjectKey,
    ) -> Result<Option<Located>, CatalogError> {
        let range = KeyRange::prefix(layout::versions(bucket, object));
        let found = self.kv.scan(range, Direction::Forward, 1).await?;
        found.into_iter().next().map(|(key, entry)| Located::decode(key, entry)).transpose()
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

    /// What writes this record as one that is not current.
    pub(super) fn as_noncurrent(&self, bucket: BucketId, object: &ObjectKey) -> Vec<Write> {
        let record = Self { null_elsewhere: None, ..self.clone() };
        let mut writes = vec![Write::Put(layout::version(bucket, object, self.version), record.encode())];
        writes.extend(self.content.as_ref().filter(|_| self.needs_place()).map(|content| {
            let place = ContentPlace { object: object.clone(), version: self.version };
            Write::Put(layout::content(bucket, content.version), place.encode())
        }));
        writes
    }

    /// Forgets the place of the content of a record that goes, or becomes current.
    pub(super) fn place_forgotten(&self, bucket: BucketId) -> Option<Write> {
        let content = self.content.as_ref().filter(|_| self.needs_place())?;
        Some(Write::Delete(layout::content(bucket, content.version)))
    }

    /// Is its content not found by the name and id that its blobs have?
    fn needs_place(&self) -> bool {
        self.renamed || self.content.as_ref().is_some_and(|content| content.version != self.version)
    }

    pub(super) fn is_version(&self, which: VersionRef) -> bool {
        match which {
            VersionRef::Current => true,
            VersionRef::Null => self.is_null,
            VersionRef::Id(id) => !self.is_null && self.version == id,
            VersionRef::Noncurrent(id) => self.version == id,
        }
    }

    /// As [`VersionRecord::is_version`], of the current one.
    fn is_current(&self, which: VersionRef) -> bool {
        !matches!(which, VersionRef::Noncurrent(_)) && self.is_version(which)
    }

    /// Is it what `expected` was read from? Blobs may have moved since.
    fn is(&self, expected: &ObjectVersion) -> bool {
        let of = Self::of(expected, self.stamp_us);
        let same = Self {
            content: self.content.clone(),
            null_elsewhere: self.null_elsewhere,
            journal: self.journal,
            ..of
        };
        same == *self
    }

    pub(super) fn expect_deletable(&self, authority: Authority) -> Result<(), CatalogError> {
        if self.lock.allows_deletion(authority) { Ok(()) } else { Err(CatalogError::Locked) }
    }
}

impl Precondition {
    pub(super) fn check(&self, current: Option<&VersionRecord>) -> Result<(), CatalogError> {
        let object = current.filter(|current| !current.delete_marker);
        let failed_unless = |holds| if holds { Ok(()) } else { Err(CatalogError::PreconditionFailed) };
        match (self, object) {
            (Self::None, _) | (Self::Absent, None) => Ok(()),
            (Self::Absent, Some(_)) => Err(CatalogError::PreconditionFailed),
            (Self::Like { etag: None, .. }, None) => Ok(()),
            // What was deleted is known to have been there.
            (Self::Like { .. }, None) if current.is_some() => Err(CatalogError::PreconditionFailed),
            (Self::Etag(_) | Self::Like { .. }, None) => Err(CatalogError::NoSuchKey),
            (Self::Etag(etag), Some(object)) => failed_unless(etag == "*" || *etag == object.etag),
            (Self::Like { etag, plain_len, last_modified_s }, Some(object)) => failed_unless(
                etag.as_ref().is_none_or(|etag| etag == "*" || *etag == object.etag)
                    && plain_len.is_none_or(|len| len == object.plain_len)
                    && last_modified_s.is_none_or(|at| at == object.last_modified.unix_ms() / 1000),
            ),
        }
    }
}
