//! Object versions. The current one lies under a key that the object's name alone decides, and is what writers fight for; the
//! others lie behind it by their ids, newest first. An object that has any version has a current one, and the current one's
//! id is the newest.

use std::sync::Arc;

use super::bare::Bare;
use super::bucket::in_bucket;
use super::damage::Found;
use super::displaced::{displaced_blob, displaced_content};
use super::listing::Behind;
use super::record::{BucketFront, ContentPlace, Record, Shown, VersionRecord, stamp_us, stamp_us_after};
use super::usage::{Change, account_quota_key};
use super::{
    Authority, Bucket, Catalog, CatalogError, ListPage, ListRequest, ObjectSummary, ObjectVersion,
    Precondition, SCAN_LEN, VersionRef, VersionSummary, Versioning, layout, record, unchanged,
};
use crate::kv::{Condition, Direction, Entry, Key, KeyRange, Place, Write};
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
            transaction.conditions.push(Condition::At(keys[1].clone(), head.revision));
            let mut head = match self.look::<VersionRecord>(&keys[1], Some(&head)) {
                Found::Sound(record) => Located { key: keys[1].clone(), entry: head, record },
                _ => {
                    let found = self.beside_damaged(bucket.id, object, which).await?;
                    self.push_deleted_unread(
                        &mut transaction,
                        &found_bucket,
                        found,
                        precondition,
                        authority,
                    )?;
                    if which == VersionRef::Current {
                        let null = self.noncurrent_null(bucket.id, object).await?;
                        let null = null.map(|null| null.record.version);
                        self.push_promoted(&mut transaction, bucket.id, object, null).await?;
                    }
                    if attempts.commit(transaction).await? {
                        return Ok(None);
                    }
                    continue;
                }
            };
            let is_current = head.record.is_current(which);
            let deleted = if is_current {
                self.push_promoted(&mut transaction, bucket.id, object, head.record.null_elsewhere).await?;
                head
            } else {
                let id = match which {
                    VersionRef::Current => return Err(CatalogError::Corrupt("a current version")),
                    VersionRef::Null => head.record.null_elsewhere,
                    VersionRef::Id(id) | VersionRef::Noncurrent(id) => Some(id),
                };
                let found = match id {
                    Some(id) => match self.noncurrent(bucket.id, object, id).await {
                        Err(CatalogError::Corrupt(_)) => {
                            let key = layout::version(bucket.id, object, id);
                            let [entry] = self.get([key.clone()]).await?;
                            let found = entry.map(|entry| (key, entry));
                            self.push_deleted_unread(
                                &mut transaction,
                                &found_bucket,
                                found,
                                precondition,
                                authority,
                            )?;
                            if head.record.null_elsewhere == Some(id) {
                                head.record.null_elsewhere = None;
                                transaction.writes.push(Write::Put(keys[1].clone(), head.record.encode()));
                            }
                            if attempts.commit(transaction).await? {
                                return Ok(None);
                            }
                            continue;
                        }
                        found => found?,
                    },
                    None => None,
                };
                let found = found.filter(|found| found.record.is_version(which));
                let Some(found) = found else {
                    // It may have become the current one between the two reads.
                    let [again] = self.get([keys[1].clone()]).await?;
                    if again.is_some_and(|again| again.revision == head.entry.revision) {
                        precondition.check(None)?;
                        return Ok(None);
                    }
                    continue;
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
            transaction.went(&deleted.record, is_current);
            transaction.writes.extend(deleted.record.place_forgotten(bucket.id));
            transaction.writes.extend(deleted.record.left_behind(None));
            if attempts.commit(transaction).await? {
                return Ok(Some(deleted.record.into_version()));
            }
        }
    }

    /// Adds to a transaction that deletes the current version what makes the newest of the others the current one.
    async fn push_promoted(
        &self,
        transaction: &mut Change,
        bucket: BucketId,
        object: &ObjectKey,
        null: Option<VersionId>,
    ) -> Result<(), CatalogError> {
        let head = layout::head(bucket, object);
        let Some(mut next) = self.newest_noncurrent(bucket, object).await? else {
            transaction.writes.retain(|write| *write != Write::Delete(head.clone()));
            transaction.writes.push(Write::Delete(head));
            return Ok(());
        };
        transaction.conditions.push(next.condition());
        transaction.writes.retain(|write| *write != Write::Delete(head.clone()));
        transaction.writes.push(Write::Delete(next.key.clone()));
        // What was renamed needs its place wherever its record is.
        let place = next.record.place_forgotten(bucket);
        transaction.writes.extend(place.filter(|_| !next.record.renamed));
        transaction.went(&next.record, false);
        transaction.came(&next.record, true);
        if !next.record.delete_marker {
            self.push_lives(transaction, bucket, object).await?;
        }
        next.record.null_elsewhere = null.filter(|_| !next.record.is_null);
        transaction.writes.push(Write::Put(head, next.record.encode()));
        Ok(())
    }

    /// What a deletion is about where the current version can't be read: that one, or one that is not current. What is not among those may
    /// be the current one.
    async fn beside_damaged(
        &self,
        bucket: BucketId,
        object: &ObjectKey,
        which: VersionRef,
    ) -> Result<Option<(Key, Entry)>, CatalogError> {
        let key = match which {
            VersionRef::Current => layout::head(bucket, object),
            VersionRef::Id(id) | VersionRef::Noncurrent(id) => layout::version(bucket, object, id),
            VersionRef::Null => match self.noncurrent_null(bucket, object).await? {
                Some(null) => null.key,
                None => return Err(CatalogError::Corrupt("the current version")),
            },
        };
        let [found] = self.get([key.clone()]).await?;
        let found = found.ok_or(CatalogError::Corrupt("the current version"))?;
        Ok(Some((key, found)))
    }

    /// Adds to a transaction what deletes a version, whether its record can be read or not.
    fn push_deleted_unread(
        &self,
        transaction: &mut Change,
        bucket: &Option<Entry>,
        found: Option<(Key, Entry)>,
        precondition: &Precondition,
        authority: Authority,
    ) -> Result<(), CatalogError> {
        let Some((key, entry)) = found else { return Ok(()) };
        match self.look::<VersionRecord>(&key, Some(&entry)) {
            Found::Sound(record) => {
                precondition.check(Some(&record))?;
                record.expect_deletable(authority)?;
                let (bucket, ..) = layout::version_in(&key)?;
                transaction.went(&record, key.first() == Some(&layout::HEAD));
                transaction.writes.extend(record.place_forgotten(bucket));
                transaction.writes.extend(record.left_behind(None));
            }
            _ => {
                Self::expect_replaceable(bucket, precondition)?;
                transaction.doubt();
            }
        }
        let condition = Condition::At(key.clone(), entry.revision);
        if !transaction.conditions.contains(&condition) {
            transaction.conditions.push(condition);
        }
        transaction.writes.push(Write::Delete(key));
        Ok(())
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

    /// Where a listing goes on behind a version, which may be gone since, given the current one's entry; `None`: behind the object.
    pub(super) async fn behind_version(
        &self,
        bucket: BucketId,
        object: &ObjectKey,
        which: VersionRef,
        head: Option<&Entry>,
    ) -> Result<Option<Key>, CatalogError> {
        let key = layout::head(bucket, object);
        let Some(head) = head else { return Ok(None) };
        let Found::Sound(head) = self.look::<VersionRecord>(&key, Some(head)) else {
            // It was not shown, so the listing ended in one that is not current.
            return Ok(match which {
                VersionRef::Id(id) | VersionRef::Noncurrent(id) => {
                    Some(layout::successor(&layout::version(bucket, object, id)))
                }
                VersionRef::Null => {
                    self.noncurrent_null(bucket, object).await?.map(|null| layout::successor(&null.key))
                }
                VersionRef::Current => None,
            });
        };
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
            let head = match self.look::<VersionRecord>(&key, Some(&entry)) {
                Found::Sound(record) => Located { key: key.clone(), entry, record },
                _ => {
                    // It may be the one that is asked for, unless that is found elsewhere.
                    let found = match which {
                        VersionRef::Current => None,
                        VersionRef::Null => self.noncurrent_null(bucket, object).await?,
                        VersionRef::Id(id) | VersionRef::Noncurrent(id) => {
                            self.noncurrent(bucket, object, id).await?
                        }
                    };
                    let found = found.filter(|found| found.record.is_version(which));
                    return found.map(Some).ok_or(CatalogError::Corrupt(VersionRecord::NAME));
                }
            };
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
        self.first_noncurrent(bucket, object, |_| true).await
    }

    /// The version `null`, where it is not the current one and the current one's record does not tell.
    async fn noncurrent_null(
        &self,
        bucket: BucketId,
        object: &ObjectKey,
    ) -> Result<Option<Located>, CatalogError> {
        self.first_noncurrent(bucket, object, |record| record.is_null).await
    }

    /// The newest of the versions that are not current, and that fit. Those that can't be read are passed over, unless all are.
    async fn first_noncurrent(
        &self,
        bucket: BucketId,
        object: &ObjectKey,
        fits: impl Fn(&VersionRecord) -> bool,
    ) -> Result<Option<Located>, CatalogError> {
        let mut range = KeyRange::prefix(layout::versions(bucket, object));
        let (mut len, mut is_any_sound, mut is_any_damaged) = (1, false, false);
        loop {
            let found = self.kv.scan(range.clone(), Direction::Forward, len).await?;
            let is_last = found.len() < len;
            for (key, entry) in found {
                range.start = layout::successor(&key);
                match self.look::<VersionRecord>(&key, Some(&entry)) {
                    Found::Sound(record) if fits(&record) => return Ok(Some(Located { key, entry, record })),
                    Found::Sound(_) => is_any_sound = true,
                    _ => is_any_damaged = true,
                }
            }
            if is_last {
                return match is_any_damaged && !is_any_sound {
                    true => Err(CatalogError::Corrupt(VersionRecord::NAME)),
                    false => Ok(None),
                };
            }
            len = SCAN_LEN;
        }
    }
}

/// What was found among versions that are not current; none where not one of them can be read.
fn unless_all_damaged(found: Result<Option<Located>, CatalogError>) -> Result<Option<Located>, CatalogError> {
    match found {
        Err(CatalogError::Corrupt(_)) => Ok(None),
        other => other,
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
