//! Object versions. The current one lies under a key that the object's name alone decides, and is what writers fight for; the
//! others lie behind it by their ids, newest first. An object that has any version has a current one, and the current one's
//! id is the newest.

mod delete;
mod locate;

use std::sync::Arc;

use self::locate::{Located, unless_all_damaged};
use super::bare::Bare;
use super::bucket::in_bucket;
use super::damage::Found;
use super::displaced::{displaced_blob, displaced_content};
use super::listing::Behind;
use super::record::{BucketFront, ContentPlace, Record, Shown, VersionRecord, stamp_us, stamp_us_after};
use super::usage::{Change, account_quota_key};
use super::{
    Authority, Bucket, Catalog, CatalogError, ListPage, ListRequest, ObjectSummary, ObjectVersion,
    Precondition, VersionRef, VersionSummary, Versioning, layout, record, unchanged,
};
use crate::kv::{Condition, Entry, Key, Place, Write};
use crate::name::{BucketId, ObjectKey, VersionId};

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
        let key = layout::head(bucket.id, object);
        let [head] = self.get([key.clone()]).await?;
        let newest = match self.look::<VersionRecord>(&key, head.as_ref()) {
            Found::Absent => None,
            Found::Sound(head) => Some(head.version),
            Found::Damaged => unless_all_damaged(self.newest_noncurrent(bucket.id, object).await)?
                .map(|next| next.record.version),
        };
        Ok(newest.map_or_else(VersionId::now, VersionId::after))
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
        let keys =
            [layout::bucket(&bucket.name), layout::head(bucket.id, object), account_quota_key(&bucket.owner)];
        let mut attempts = self.attempts(&keys[1]);
        loop {
            let [found_bucket, found, quota] = self.get(keys.clone()).await?;
            let (mut transaction, front) = in_bucket(bucket, &keys[0], &found_bucket)?;
            transaction.limit(bucket, quota.as_ref())?;
            let former = self.former(&keys[1], &found, &found_bucket, precondition)?;
            transaction.conditions.push(unchanged(&keys[1], &found));
            let ordered = *precondition == Precondition::None;
            self.push_version(&mut transaction, &front, object, former, record.clone(), ordered).await?;
            if attempts.commit(transaction).await? {
                self.account_for_version(version);
                return Ok(());
            }
        }
    }

    /// The current version as a writer finds it, which may be replaced under this condition.
    pub(super) fn former(
        &self,
        key: &Key,
        found: &Option<Entry>,
        bucket: &Option<Entry>,
        precondition: &Precondition,
    ) -> Result<Found<VersionRecord>, CatalogError> {
        let former = self.look::<VersionRecord>(key, found.as_ref());
        match &former {
            Found::Absent => precondition.check(None)?,
            Found::Sound(former) => precondition.check(Some(former))?,
            Found::Damaged => Self::expect_replaceable(bucket, precondition)?,
        }
        Ok(former)
    }

    /// Adds to a transaction what makes `record` the current version in the place of `former`, on which the transaction is
    /// conditional already. `may_follow`: it may also be written as the one before it.
    pub(super) async fn push_version(
        &self,
        transaction: &mut Change,
        front: &BucketFront,
        object: &ObjectKey,
        former: Found<VersionRecord>,
        mut record: VersionRecord,
        may_follow: bool,
    ) -> Result<(), CatalogError> {
        if record.is_null != (front.versioning != Versioning::Enabled) {
            return Err(CatalogError::Contended);
        }
        let lived = matches!(&former, Found::Sound(former) if !former.delete_marker);
        if !lived && !record.delete_marker && front.versioning != Versioning::Unversioned {
            self.push_lives(transaction, front.id, object).await?;
        }
        let head = layout::head(front.id, object);
        let mut former = match former {
            Found::Sound(former) => former,
            Found::Absent => {
                transaction.came(&record, true);
                transaction.writes.push(Write::Put(head, record.encode()));
                return Ok(());
            }
            Found::Damaged => {
                // Whether one that is not current is `null`, its record alone told.
                match unless_all_damaged(self.noncurrent_null(front.id, object).await)? {
                    Some(null) if record.is_null => self.push_null_deleted(transaction, front.id, null)?,
                    null => record.null_elsewhere = null.map(|null| null.record.version),
                }
                transaction.doubt();
                transaction.came(&record, true);
                transaction.writes.push(Write::Put(head, record.encode()));
                return Ok(());
            }
        };
        if former.is_null && record.is_null {
            former.expect_deletable(Authority::usual())?;
            record.stamp_us = record.stamp_us.max(former.stamp_us.saturating_add(1));
            record.null_elsewhere = None;
            transaction.went(&former, true);
            transaction.came(&record, true);
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
            self.push_null_deleted(transaction, front.id, null)?;
        }
        transaction.went(&former, true);
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
        transaction.came(&newer, true);
        transaction.came(&older, false);
        transaction.writes.push(Write::Put(head, newer.encode()));
        transaction.writes.extend(older.as_noncurrent(front.id, object));
        Ok(())
    }

    /// Adds to a transaction what deletes the version `null` that is not current.
    fn push_null_deleted(
        &self,
        transaction: &mut Change,
        bucket: BucketId,
        null: Located,
    ) -> Result<(), CatalogError> {
        null.record.expect_deletable(Authority::usual())?;
        transaction.conditions.push(null.condition());
        transaction.went(&null.record, false);
        transaction.writes.push(Write::Delete(null.key));
        transaction.writes.extend(null.record.place_forgotten(bucket));
        transaction.writes.extend(null.record.left_behind(None));
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
            let mut record = VersionRecord::of(next, stamp_us_after(former.stamp_us));
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
            let is_current = found.key.first() == Some(&layout::HEAD);
            transaction.went(former, is_current);
            transaction.came(&record, is_current);
            transaction.writes.push(Write::Put(found.key.clone(), record.encode()));
            transaction.writes.extend(former.left_behind(Some(&record)));
            if attempts.commit(transaction).await? {
                self.account_for_version(next);
                return Ok(());
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
            let replaced = self.former(&keys[2], &target, &found_bucket, precondition)?;
            let mut record = VersionRecord::of(version, stamp_us());
            record.renamed = true;
            record.content.clone_from(&former.content);
            let content = record.content.as_ref().ok_or(CatalogError::NoSuchKey)?;
            let place = ContentPlace { object: to.clone(), version: record.version };
            transaction.conditions.push(Condition::At(keys[1].clone(), source.revision));
            transaction.conditions.push(unchanged(&keys[2], &target));
            transaction.went(&former, true);
            transaction.came(&record, true);
            transaction.writes.push(Write::Delete(keys[1].clone()));
            transaction.writes.push(Write::Put(keys[2].clone(), record.encode()));
            transaction.writes.push(Write::Put(layout::content(bucket.id, content.version), place.encode()));
            transaction.writes.extend(former.journal.map(|blob| displaced_blob(None, blob)));
            if matches!(replaced, Found::Damaged) {
                transaction.doubt();
            }
            if let Found::Sound(replaced) = &replaced {
                transaction.went(replaced, true);
                replaced.expect_deletable(Authority::usual())?;
                transaction.writes.extend(replaced.place_forgotten(bucket.id));
                transaction.writes.extend(replaced.left_behind(None));
            }
            if attempts.commit(transaction).await? {
                self.account_for_version(version);
                return Ok(());
            }
        }
    }

    /// Current objects in UTF-8 byte order. Costs what it returns: seeks past each common prefix.
    pub async fn list_objects(
        &self,
        bucket: &Bucket,
        request: &ListRequest,
    ) -> Result<Arc<ListPage<ObjectSummary>>, CatalogError> {
        let mark = self.kv.mark(Place::Group(&layout::within(layout::HEAD, bucket.id)));
        let pages = &self.shared.pages;
        if let Some(page) = mark.and_then(|mark| pages.find(bucket.id, request, mark)) {
            return Ok(page);
        }
        // Only there are delete markers.
        let bare = match bucket.versioning {
            Versioning::Unversioned => None,
            _ => Some(Bare::of(self, bucket.id).await?),
        };
        let page = self.list(&[layout::HEAD], bucket.id, request, Behind::Name, bare, |name, _, value| {
            Ok(record::summary(name, value, Shown::Objects)?.map(|row| row.summary))
        });
        let page = Arc::new(page.await?);
        if let Some(mark) = mark {
            pages.offer(bucket.id, request, mark, &page);
        }
        Ok(page)
    }

    /// Versions in order of object, then newest first. `after_version` begins behind that version of the object `request.after`.
    pub async fn list_versions(
        &self,
        bucket: &Bucket,
        request: &ListRequest,
        after_version: Option<VersionRef>,
    ) -> Result<ListPage<VersionSummary>, CatalogError> {
        let object = request.after.as_ref().and_then(|after| ObjectKey::parse(after).ok());
        let behind = match (object, after_version) {
            (Some(object), Some(which)) => Behind::Version(object, which),
            _ => Behind::Name,
        };
        let kinds = [layout::HEAD, layout::VERSION];
        self.list(&kinds, bucket.id, request, behind, None, |name, key, value| {
            let is_latest = key.first() == Some(&layout::HEAD);
            let row = record::summary(name, value, Shown::All)?;
            Ok(row.map(|row| VersionSummary { is_latest, ..row }))
        })
        .await
    }
}

impl VersionRecord {
    /// Queues the blobs that only this record refers to once `next` stands in its place.
    pub(super) fn left_behind(&self, next: Option<&VersionRecord>) -> Vec<Write> {
        let mut writes = Vec::new();
        if let Some(content) = &self.content {
            let kept = next.and_then(|next| next.content.as_ref());
            if kept.is_none_or(|kept| kept.version != content.version) {
                writes.extend(displaced_content(content));
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
            // Of a delete marker a tag is asked in vain; its size and its time are none that anybody has been told.
            (Self::Like { etag: None, .. }, None) => failed_unless(current.is_none()),
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
