//! Records made again from the trailers of blobs, in whatever order they come. Of two that speak of one record the later
//! holds; what loses is queued as displaced, so a rebuilt catalog reclaims it as any other.
//!
//! What was deleted and not yet reclaimed comes back: a deletion leaves no blob.

use std::collections::HashMap;

use bytes::Bytes;

use super::displaced::{displaced_blob, displaced_parts};
use super::record::{
    BucketRecord, ContentPlace, LayoutRecord, PartRecord, Record, UploadRecord, VersionRecord,
};
use super::trailer::own_content;
use super::{
    Bucket, Catalog, CatalogError, OWN_BLOB, ObjectVersion, Part, SCAN_LEN, Stamped, Trailer, Upload,
};
use super::{layout, unchanged};
use crate::blob::BlobRef;
use crate::kv::{Condition, Direction, Key, KeyRange, Transaction, Write};
use crate::name::{BucketId, ObjectKey, UploadId, VersionId};

/// What [`Catalog::finish_restore`] found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Restored {
    /// Objects that a journal speaks of but whose content was not among the blobs: left out.
    pub lost_objects: u64,
}

impl Catalog {
    /// Applies the trailer of this blob. Calls may run beside each other; nothing else may write meanwhile.
    pub async fn restore(&self, stamped: &Stamped, blob: BlobRef) -> Result<(), CatalogError> {
        let stamp_us = stamped.stamp_us;
        match &stamped.trailer {
            Trailer::Bucket(bucket) => self.restore_bucket(bucket, stamp_us, blob).await,
            Trailer::Object { bucket, object, version } => {
                self.restore_version(*bucket, object, version, stamp_us, blob).await
            }
            Trailer::Upload { bucket, upload } => self.restore_upload(*bucket, upload, stamp_us, blob).await,
            Trailer::Part { bucket, upload, part } => {
                self.restore_part(*bucket, upload, part, stamp_us, blob).await
            }
        }
    }

    /// Ends a rebuild, once every blob's trailer was applied.
    pub async fn finish_restore(&self) -> Result<Restored, CatalogError> {
        let mut restored = Restored::default();
        self.settle_renames().await?;
        self.settle_uploads().await?;
        for kind in [layout::COMPLETED, layout::HEAD, layout::VERSION] {
            let mut range = KeyRange::prefix(vec![kind]);
            loop {
                let found = self.kv.scan(range.clone(), Direction::Forward, SCAN_LEN).await?;
                let mut transaction = Transaction::default();
                for (key, entry) in &found {
                    if kind != layout::COMPLETED {
                        let record = VersionRecord::decode(&entry.value)?;
                        if !record.awaits_content() {
                            continue;
                        }
                        restored.lost_objects += 1;
                        transaction.writes.extend(record.journal.map(|blob| displaced_blob(None, blob)));
                    }
                    transaction.writes.push(Write::Delete(key.clone()));
                }
                if !transaction.writes.is_empty() {
                    self.kv.commit(transaction).await?;
                }
                match found.last() {
                    Some((last, _)) if found.len() == SCAN_LEN => range.start = layout::successor(last),
                    _ => break,
                }
            }
        }
        self.assemble_versions().await?;
        Ok(restored)
    }

    /// Content that was renamed was written under another name, where its own blob's trailer made a record of it: the last name holds.
    /// Only what was `null` when it was renamed can have been.
    async fn settle_renames(&self) -> Result<(), CatalogError> {
        let mut renamed: HashMap<(BucketId, VersionId), (Key, VersionRecord)> = HashMap::new();
        for looks_for_names in [true, false] {
            let mut range = KeyRange::prefix(vec![layout::HEAD]);
            loop {
                let found = self.kv.scan(range.clone(), Direction::Forward, SCAN_LEN).await?;
                let mut writes = Vec::new();
                for (key, entry) in &found {
                    let record = VersionRecord::decode(&entry.value)?;
                    let Some(content) = record.content.clone() else { continue };
                    let (bucket, ..) = layout::version_in(key)?;
                    let id = (bucket, content.version);
                    match (renamed.get_mut(&id), looks_for_names) {
                        (None, true) if record.renamed => {
                            renamed.insert(id, (key.clone(), record));
                        }
                        (Some((last_key, last)), true) if record.renamed => {
                            let (lost_key, lost) = if last.stamp_us < record.stamp_us {
                                (std::mem::replace(last_key, key.clone()), std::mem::replace(last, record))
                            } else {
                                (key.clone(), record)
                            };
                            writes.push(Write::Delete(lost_key));
                            writes.extend(lost.journal.map(|blob| displaced_blob(None, blob)));
                        }
                        (Some((last_key, last)), false) if !record.renamed => {
                            writes.push(Write::Delete(key.clone()));
                            writes.extend(record.journal.map(|blob| displaced_blob(None, blob)));
                            if last.awaits_content() {
                                last.content = Some(content);
                                writes.push(Write::Put(last_key.clone(), last.encode()));
                            }
                        }
                        _ => {}
                    }
                }
                if !writes.is_empty() {
                    self.kv.commit(Transaction { conditions: Vec::new(), writes }).await?;
                }
                match found.last() {
                    Some((last, _)) if found.len() == SCAN_LEN => range.start = layout::successor(last),
                    _ => break,
                }
            }
            if renamed.is_empty() {
                return Ok(());
            }
        }
        for ((bucket, content), (key, record)) in renamed {
            let (_, object, _) = layout::version_in(&key)?;
            let place = ContentPlace { object, version: record.version }.encode();
            let writes = vec![Write::Put(layout::content(bucket, content), place)];
            self.kv.commit(Transaction { conditions: Vec::new(), writes }).await?;
        }
        Ok(())
    }

    /// An upload that was completed has ended, whatever the name its parts say.
    async fn settle_uploads(&self) -> Result<(), CatalogError> {
        let mut range = KeyRange::prefix(vec![layout::UPLOAD]);
        loop {
            let found = self.kv.scan(range.clone(), Direction::Forward, SCAN_LEN).await?;
            for (key, entry) in &found {
                let [completed] = self.get([layout::completed(layout::upload_id_in(key)?.0)]).await?;
                if completed.is_some() {
                    let journal = UploadRecord::decode(&entry.value)?.journal;
                    let mut writes = vec![Write::Delete(key.clone())];
                    writes.extend(journal.map(|blob| displaced_blob(None, blob)));
                    self.kv.commit(Transaction { conditions: Vec::new(), writes }).await?;
                }
            }
            match found.last() {
                Some((last, _)) if found.len() == SCAN_LEN => range.start = layout::successor(last),
                _ => return Ok(()),
            }
        }
    }

    /// Makes the newest version of every object its current one. Until then every version but `null` lies among those that are not.
    async fn assemble_versions(&self) -> Result<(), CatalogError> {
        let mut range = KeyRange::prefix(vec![layout::VERSION]);
        let mut object_before = None;
        loop {
            let found = self.kv.scan(range.clone(), Direction::Forward, SCAN_LEN).await?;
            for (key, entry) in &found {
                let mut record = VersionRecord::decode(&entry.value)?;
                let (bucket, object, _) = layout::version_in(key)?;
                let mut writes = Vec::new();
                if object_before.as_ref() == Some(&(bucket, object.clone())) {
                    writes.extend(record.as_noncurrent(bucket, &object));
                } else {
                    let head_key = layout::head(bucket, &object);
                    let [head] = self.get([head_key.clone()]).await?;
                    let null = head.map(|head| VersionRecord::decode(&head.value)).transpose()?;
                    if null.as_ref().is_some_and(|null| null.version < record.version) {
                        writes.extend(record.as_noncurrent(bucket, &object));
                    } else {
                        record.null_elsewhere = null.as_ref().map(|null| null.version);
                        writes.push(Write::Delete(key.clone()));
                        writes.push(Write::Put(head_key, record.encode()));
                        writes.extend(null.iter().flat_map(|null| null.as_noncurrent(bucket, &object)));
                    }
                }
                object_before = Some((bucket, object));
                self.kv.commit(Transaction { conditions: Vec::new(), writes }).await?;
            }
            match found.last() {
                Some((last, _)) if found.len() == SCAN_LEN => range.start = layout::successor(last),
                _ => return Ok(()),
            }
        }
    }

    async fn restore_bucket(
        &self,
        bucket: &Bucket,
        stamp_us: u64,
        blob: BlobRef,
    ) -> Result<(), CatalogError> {
        let key = layout::bucket(&bucket.name);
        let mut attempts = self.attempts(&key);
        loop {
            let [found] = self.get([key.clone()]).await?;
            let former = found.as_ref().map(|found| BucketRecord::decode(&found.value)).transpose()?;
            let mut transaction =
                Transaction { conditions: vec![unchanged(&key, &found)], writes: Vec::new() };
            let displaced = match former {
                Some(former) if former.journal == Some(blob) => return Ok(()),
                Some(former) if former.stamp_us >= stamp_us => Some(blob),
                former => {
                    let record = BucketRecord { journal: Some(blob), ..BucketRecord::of(bucket, stamp_us) };
                    transaction.writes.push(Write::Put(key.clone(), record.encode()));
                    former.and_then(|former| former.journal)
                }
            };
            transaction.writes.extend(displaced.map(|blob| displaced_blob(None, blob)));
            if attempts.commit(transaction).await? {
                return Ok(());
            }
        }
    }

    async fn restore_version(
        &self,
        bucket: BucketId,
        object: &ObjectKey,
        version: &ObjectVersion,
        stamp_us: u64,
        blob: BlobRef,
    ) -> Result<(), CatalogError> {
        let mut record = VersionRecord::of(version, stamp_us);
        let is_content = own_content(version).is_some();
        record.journal = (!is_content).then_some(blob);
        let mut ended = None;
        if let Some(content) = &mut record.content {
            match &mut content.layout {
                LayoutRecord::Single(stored) if is_content => *stored = blob,
                // Where a journal says that the content lies may be long past: the content's own blob tells.
                LayoutRecord::Single(stored) => *stored = OWN_BLOB,
                LayoutRecord::Parts(directory) => ended = Some((content.version, directory.runs.clone())),
            }
        }
        let ended_id = UploadId(ended.as_ref().map_or(version.version, |(id, _)| *id));
        let own_key = match version.is_null {
            true => layout::head(bucket, object),
            false => layout::version(bucket, object, version.version),
        };
        let keys = [own_key, layout::upload(bucket, object, ended_id)];
        let mut attempts = self.attempts(&keys[0]);
        loop {
            let [found, found_upload] = self.get(keys.clone()).await?;
            let mut transaction =
                Transaction { conditions: vec![unchanged(&keys[0], &found)], writes: Vec::new() };
            let mut winner = record.clone();
            if let Some(found) = &found {
                let loser;
                (winner, loser) = winner.against(VersionRecord::decode(&found.value)?);
                transaction.writes.extend(loser.left_behind(Some(&winner)));
            }
            transaction.writes.push(Write::Put(keys[0].clone(), winner.encode()));
            if let Some((content, named)) = &ended {
                transaction.conditions.push(unchanged(&keys[1], &found_upload));
                transaction.writes.push(Write::Put(layout::completed(*content), Bytes::from_static(&[1])));
                transaction.writes.push(displaced_parts(*content, named.clone()));
                if let Some(found) = &found_upload {
                    transaction.writes.push(Write::Delete(keys[1].clone()));
                    let journal = UploadRecord::decode(&found.value)?.journal;
                    transaction.writes.extend(journal.map(|blob| displaced_blob(None, blob)));
                }
            }
            if attempts.commit(transaction).await? {
                return Ok(());
            }
        }
    }

    async fn restore_upload(
        &self,
        bucket: BucketId,
        upload: &Upload,
        stamp_us: u64,
        blob: BlobRef,
    ) -> Result<(), CatalogError> {
        let keys = [layout::upload(bucket, &upload.object, upload.id), layout::completed(upload.id.0)];
        let mut attempts = self.attempts(&keys[0]);
        loop {
            let [found, completed] = self.get(keys.clone()).await?;
            let mut transaction = Transaction {
                conditions: vec![unchanged(&keys[0], &found), unchanged(&keys[1], &completed)],
                writes: Vec::new(),
            };
            let mut record = match &found {
                Some(found) => UploadRecord::decode(&found.value)?,
                None => UploadRecord { journal: None, ..UploadRecord::of(upload, stamp_us) },
            };
            if record.journal == Some(blob) {
                return Ok(());
            }
            transaction.writes.push(if completed.is_some() || record.journal.is_some() {
                displaced_blob(None, blob)
            } else {
                record.journal = Some(blob);
                Write::Put(keys[0].clone(), record.encode())
            });
            if attempts.commit(transaction).await? {
                return Ok(());
            }
        }
    }

    async fn restore_part(
        &self,
        bucket: BucketId,
        upload: &Upload,
        part: &Part,
        stamp_us: u64,
        blob: BlobRef,
    ) -> Result<(), CatalogError> {
        let version = upload.id.0;
        let keys = [
            layout::part(version, part.number.get()),
            layout::upload(bucket, &upload.object, upload.id),
            layout::completed(version),
        ];
        let record = PartRecord { blob, ..PartRecord::of(part, stamp_us) };
        let mut attempts = self.attempts(&keys[0]);
        loop {
            let [found, found_upload, completed] = self.get(keys.clone()).await?;
            let former = found.as_ref().map(|found| PartRecord::decode(&found.value)).transpose()?;
            let mut transaction = Transaction {
                conditions: vec![unchanged(&keys[0], &found), unchanged(&keys[2], &completed)],
                writes: Vec::new(),
            };
            match former {
                Some(former) if former.blob == blob => return Ok(()),
                Some(former) if former.stamp_us >= stamp_us => {
                    transaction.writes.push(displaced_blob(Some(version), blob));
                }
                former => {
                    transaction.writes.push(Write::Put(keys[0].clone(), record.encode()));
                    transaction
                        .writes
                        .extend(former.map(|former| displaced_blob(Some(version), former.blob)));
                }
            }
            if completed.is_none() && found_upload.is_none() {
                let upload = UploadRecord { journal: None, ..UploadRecord::of(upload, stamp_us) };
                transaction.conditions.push(Condition::Absent(keys[1].clone()));
                transaction.writes.push(Write::Put(keys[1].clone(), upload.encode()));
            }
            if attempts.commit(transaction).await? {
                return Ok(());
            }
        }
    }
}

impl VersionRecord {
    /// Its journal came before its content's blob.
    fn awaits_content(&self) -> bool {
        self.content.as_ref().is_some_and(|content| content.layout == LayoutRecord::Single(OWN_BLOB))
    }

    /// Which of two records of an object holds, and what of the other is left behind. Of one content both know a part:
    /// the later its metadata, the content's own blob where it is.
    fn against(self, former: VersionRecord) -> (VersionRecord, VersionRecord) {
        let former_holds = former.stamp_us >= self.stamp_us;
        let (mut winner, mut loser) = if former_holds { (former, self) } else { (self, former) };
        let one_content = winner.content.as_ref().map(|content| content.version)
            == loser.content.as_ref().map(|content| content.version);
        if one_content && winner.awaits_content() {
            winner.content = loser.content.clone();
        }
        if loser.awaits_content() {
            loser.content = None;
        }
        (winner, loser)
    }
}
