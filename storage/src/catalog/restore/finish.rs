//! The end of a rebuild: what only all trailers together tell.

use std::collections::HashMap;

use super::super::displaced::displaced_blob;
use super::super::record::{ContentPlace, LayoutRecord, PartRecord, Record, UploadRecord, VersionRecord};
use super::super::{Catalog, CatalogError, SCAN_LEN, layout};
use crate::kv::{Direction, Key, KeyRange, Transaction, Write};
use crate::name::{BucketId, ObjectKey, VersionId};

/// What a rebuild could not bring back is named up to this number, and counted beyond.
const MAX_NAMED: usize = 1000;

/// What [`Catalog::finish_restore`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restored {
    /// Versions that a journal speaks of but whose content was not among the blobs: left out.
    pub lost_objects: u64,
    /// Versions some of whose parts were not among the blobs: what is there can be read.
    pub incomplete_objects: u64,
    /// The first of both.
    pub named: Vec<Lost>,
}

/// A version that did not come back whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// Its bucket.
    pub bucket: BucketId,
    /// Its object.
    pub object: ObjectKey,
    /// Its id.
    pub version: VersionId,
    /// The parts that are missing; 0: all of the content is.
    pub missing_parts: usize,
}

impl Restored {
    fn name(&mut self, key: &Key, version: VersionId, missing_parts: usize) -> Result<(), CatalogError> {
        match missing_parts {
            0 => self.lost_objects += 1,
            _ => self.incomplete_objects += 1,
        }
        if self.named.len() < MAX_NAMED {
            let (bucket, object, _) = layout::version_in(key)?;
            self.named.push(Lost { bucket, object, version, missing_parts });
        }
        Ok(())
    }
}

impl Catalog {
    /// Ends a rebuild, once every blob's trailer was applied.
    pub async fn finish_restore(&self) -> Result<Restored, CatalogError> {
        let mut restored = self.settle().await?;
        self.assemble(vec![layout::VERSION].into()).await?;
        self.find_incomplete(&mut restored).await?;
        Ok(restored)
    }

    /// Renames, completed uploads, and what has lost its content.
    pub(super) async fn settle(&self) -> Result<Restored, CatalogError> {
        let mut restored = Restored::default();
        self.forget_stretches(None).await?;
        self.settle_renames().await?;
        self.settle_uploads().await?;
        for kind in [layout::COMPLETED, layout::HEAD, layout::VERSION] {
            let mut range = KeyRange::prefix(vec![kind]);
            loop {
                let found = self.kv.scan(range.clone(), Direction::Forward, SCAN_LEN).await?;
                let mut transaction = Transaction::default();
                for (key, entry) in &found {
                    if kind != layout::COMPLETED {
                        let record = self.look::<VersionRecord>(key, Some(entry)).sound();
                        let Some(record) = record.filter(VersionRecord::awaits_content) else { continue };
                        restored.name(key, record.version, 0)?;
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
        Ok(restored)
    }

    /// Names the versions of whose parts some have no record.
    pub(super) async fn find_incomplete(&self, restored: &mut Restored) -> Result<(), CatalogError> {
        for kind in [layout::HEAD, layout::VERSION] {
            let mut range = KeyRange::prefix(vec![kind]);
            loop {
                let found = self.kv.scan(range.clone(), Direction::Forward, SCAN_LEN).await?;
                for (key, entry) in &found {
                    let Some(record) = self.look::<VersionRecord>(key, Some(entry)).sound() else { continue };
                    let Some(content) = &record.content else { continue };
                    let LayoutRecord::Parts(directory) = &content.layout else { continue };
                    let there = self.count_parts(content.version, |number| directory.names(number)).await?;
                    let missing = usize::from(directory.part_count).saturating_sub(there);
                    if missing > 0 {
                        restored.name(key, record.version, missing)?;
                    }
                }
                match found.last() {
                    Some((last, _)) if found.len() == SCAN_LEN => range.start = layout::successor(last),
                    _ => break,
                }
            }
        }
        Ok(())
    }

    async fn count_parts(
        &self,
        content: VersionId,
        counts: impl Fn(u16) -> bool,
    ) -> Result<usize, CatalogError> {
        let (mut range, mut count) = (KeyRange::prefix(layout::parts(content)), 0);
        loop {
            let found = self.kv.scan(range.clone(), Direction::Forward, SCAN_LEN).await?;
            for (key, entry) in &found {
                let is_sound = self.look::<PartRecord>(key, Some(entry)).sound().is_some();
                count += usize::from(is_sound && counts(layout::part_number(key)?));
            }
            match found.last() {
                Some((last, _)) if found.len() == SCAN_LEN => range.start = layout::successor(last),
                _ => return Ok(count),
            }
        }
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
                    let Some(record) = self.look::<VersionRecord>(key, Some(entry)).sound() else { continue };
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
                                last.find_content(&content);
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
                    let upload = self.look::<UploadRecord>(key, Some(entry)).sound();
                    let journal = upload.and_then(|upload| upload.journal);
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

    /// Makes the newest version of every object its current one, of the objects whose keys of versions begin so. Until then every version
    /// but `null` lies among those that are not.
    pub(super) async fn assemble(&self, prefix: Key) -> Result<(), CatalogError> {
        let mut range = KeyRange::prefix(prefix);
        let mut object_before = None;
        loop {
            let found = self.kv.scan(range.clone(), Direction::Forward, SCAN_LEN).await?;
            let mut writes = Vec::new();
            for (key, entry) in &found {
                let Some(mut record) = self.look::<VersionRecord>(key, Some(entry)).sound() else { continue };
                let (bucket, object, _) = layout::version_in(key)?;
                if object_before.as_ref() == Some(&(bucket, object.clone())) {
                    writes.extend(record.as_noncurrent(bucket, &object));
                } else {
                    let head_key = layout::head(bucket, &object);
                    let [head] = self.get([head_key.clone()]).await?;
                    let null = self.look::<VersionRecord>(&head_key, head.as_ref()).sound();
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
            }
            if !writes.is_empty() {
                self.kv.commit(Transaction { conditions: Vec::new(), writes }).await?;
            }
            match found.last() {
                Some((last, _)) if found.len() == SCAN_LEN => range.start = layout::successor(last),
                _ => return Ok(()),
            }
        }
    }
}
