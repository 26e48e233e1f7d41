//! Deletions of versions, of those that can't be read, too.

use super::super::bucket::in_bucket;
use super::super::damage::Found;
use super::super::record::{Record, VersionRecord};
use super::super::usage::Change;
use super::super::{
    Authority, Bucket, Catalog, CatalogError, ObjectVersion, Precondition, VersionRef, Versioning, layout,
};
use super::locate::Located;
use crate::kv::{Condition, Entry, Key, Write};
use crate::name::{BucketId, ObjectKey, VersionId};

impl Catalog {
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
}
