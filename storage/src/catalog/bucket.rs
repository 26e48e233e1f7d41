//! Buckets.
//!
//! A write to a bucket's objects is conditional on the revision of the bucket's record, which all of them share without
//! changing it. DeleteBucket must not miss one that commits while it looks: it first leaves a mark in the record, which
//! changes the revision. A writer that finds the mark takes it away in its own commit, so the deletion fails and looks again.

use super::displaced::displaced_blob;
use super::record::{
    BucketFront, BucketRecord, DisplacedRecord, DisplacedWhat, Record, stamp_us, stamp_us_after,
};
use super::usage::Change;
use super::{
    Bucket, Catalog, CatalogError, ListPage, ListRequest, ListRow, SCAN_LEN, Versioning, layout, unchanged,
};
use crate::kv::{Condition, Direction, Entry, Key, KeyRange, Transaction, Write};
use crate::name::BucketName;

impl Catalog {
    /// Makes a bucket.
    pub async fn create_bucket(&self, bucket: &Bucket) -> Result<(), CatalogError> {
        let key = layout::bucket(&bucket.name);
        let mut attempts = self.attempts(&key);
        loop {
            let [found] = self.get([key.clone()]).await?;
            if let Some(found) = found {
                let owner = BucketRecord::decode(&found.value)?.owner;
                return Err(CatalogError::BucketExists { owner });
            }
            let record = BucketRecord::of(bucket, stamp_us()).encode();
            let transaction = Transaction {
                conditions: vec![Condition::Absent(key.clone())],
                writes: vec![Write::Put(key.clone(), record)],
            };
            if attempts.commit(transaction).await? {
                self.account_for(bucket.journal.map(|blob| blob.id));
                return Ok(());
            }
        }
    }

    /// A bucket by name.
    pub async fn bucket(&self, name: &BucketName) -> Result<Bucket, CatalogError> {
        let [found] = self.get([layout::bucket(name)]).await?;
        let found = found.ok_or(CatalogError::NoSuchBucket)?;
        Ok(BucketRecord::decode(&found.value)?.into_bucket(name.clone()))
    }

    /// Buckets in order of name; only those of `owner` that have a door, if given. `request.delimiter` is not used.
    pub async fn list_buckets(
        &self,
        owner: Option<&str>,
        request: &ListRequest,
    ) -> Result<ListPage<Bucket>, CatalogError> {
        let mut page = ListPage { rows: Vec::new(), truncated: false };
        let mut range = KeyRange::prefix(layout::bucket_prefix(&request.prefix));
        if let Some(after) = &request.after {
            range.start = range.start.max(layout::successor(&layout::bucket_prefix(after)));
        }
        if request.limit == 0 {
            return Ok(page);
        }
        loop {
            let found = self.kv.scan(range.clone(), Direction::Forward, SCAN_LEN).await?;
            for (key, entry) in &found {
                let name = str::from_utf8(&key[1..]).ok().and_then(|name| BucketName::parse(name).ok());
                let (Some(name), Ok(record)) = (name, BucketRecord::decode(&entry.value)) else {
                    self.note_damage(key);
                    continue;
                };
                if owner.is_some_and(|owner| owner != record.owner || name.is_internal()) {
                    continue;
                }
                if page.rows.len() == request.limit {
                    page.truncated = true;
                    return Ok(page);
                }
                page.rows.push(ListRow::Item(record.into_bucket(name)));
            }
            match found.last() {
                Some((last, _)) if found.len() == SCAN_LEN => range.start = layout::successor(last),
                _ => return Ok(page),
            }
        }
    }

    /// Puts `bucket` in the place of `expected`, which was read before; [`CatalogError::Contended`] if it has changed since.
    pub async fn replace_bucket(&self, expected: &Bucket, bucket: &Bucket) -> Result<(), CatalogError> {
        let key = layout::bucket(&expected.name);
        let mut attempts = self.attempts(&key);
        loop {
            let [found] = self.get([key.clone()]).await?;
            let found = found.ok_or(CatalogError::NoSuchBucket)?;
            let former = BucketRecord::decode(&found.value)?;
            let stamp_us = stamp_us_after(former.stamp_us);
            let former = former.into_bucket(expected.name.clone());
            if former.id != expected.id {
                return Err(CatalogError::NoSuchBucket);
            }
            if former != *expected {
                return Err(CatalogError::Contended);
            }
            let kept = former.versioning != Versioning::Unversioned;
            if kept && bucket.versioning == Versioning::Unversioned {
                return Err(CatalogError::Corrupt("a bucket that forgets its versions"));
            }
            let record = BucketRecord::of(bucket, stamp_us).encode();
            let mut writes = vec![Write::Put(key.clone(), record)];
            if former.journal != bucket.journal {
                writes.extend(former.journal.map(|blob| displaced_blob(None, blob)));
            }
            let conditions = vec![Condition::At(key.clone(), found.revision)];
            if attempts.commit(Transaction { conditions, writes }).await? {
                self.account_for(bucket.journal.map(|blob| blob.id));
                return Ok(());
            }
        }
    }

    /// Deletes an empty bucket, its unfinished uploads with it.
    pub async fn delete_bucket(&self, bucket: &Bucket) -> Result<(), CatalogError> {
        let key = layout::bucket(&bucket.name);
        let mut attempts = self.attempts(&key);
        self.expect_empty(bucket).await?;
        loop {
            let [found] = self.get([key.clone()]).await?;
            let found = found.ok_or(CatalogError::NoSuchBucket)?;
            let mut record = BucketRecord::decode(&found.value)?;
            if record.id != bucket.id {
                return Err(CatalogError::NoSuchBucket);
            }
            let conditions = vec![Condition::At(key.clone(), found.revision)];
            if !record.deleting {
                record.deleting = true;
                let writes = vec![Write::Put(key.clone(), record.encode())];
                attempts.commit(Transaction { conditions, writes }).await?;
                continue;
            }
            self.expect_empty(bucket).await?;
            let counters = self.counters_gone(bucket).await?;
            let uploads = DisplacedRecord { content: None, what: DisplacedWhat::Uploads(bucket.id) };
            let mut writes = vec![Write::Delete(key.clone()), uploads.queue()];
            writes.extend(record.journal.map(|blob| displaced_blob(None, blob)));
            writes.extend(counters);
            if attempts.commit(Transaction { conditions, writes }).await? {
                return Ok(());
            }
        }
    }

    async fn expect_empty(&self, bucket: &Bucket) -> Result<(), CatalogError> {
        for kind in [layout::HEAD, layout::VERSION] {
            let range = KeyRange::prefix(layout::within(kind, bucket.id));
            if !self.kv.scan(range, Direction::Forward, 1).await?.is_empty() {
                return Err(CatalogError::BucketNotEmpty);
            }
        }
        Ok(())
    }
}

/// What a write to a bucket's objects adds to its transaction, given the bucket's record as it was read with them.
pub(super) fn in_bucket(
    bucket: &Bucket,
    key: &Key,
    found: &Option<Entry>,
) -> Result<(Change, BucketFront), CatalogError> {
    let entry = found.as_ref().ok_or(CatalogError::NoSuchBucket)?;
    let front = BucketFront::decode(&entry.value)?;
    if front.id != bucket.id {
        return Err(CatalogError::NoSuchBucket);
    }
    let mut transaction =
        Transaction { conditions: vec![unchanged(key, found)], writes: Vec::with_capacity(4) };
    if front.deleting {
        let mut record = BucketRecord::decode(&entry.value)?;
        record.deleting = false;
        transaction.writes.push(Write::Put(key.clone(), record.encode()));
    }
    Ok((Change::new(bucket, transaction), front))
}
