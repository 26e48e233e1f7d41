//! Records made again from the trailers of blobs, in whatever order they come. Of two that speak of one record the later
//! holds; what loses is queued as displaced, so a rebuilt catalog reclaims it as any other. A record whose content is damaged displaces
//! nothing: what it stands in the place of may be all that is left.
//!
//! What was deleted and not yet reclaimed comes back: a deletion leaves no blob.

mod add;
mod finish;
mod judge;
mod salvage;

use bytes::Bytes;

pub use self::add::Touched;
pub use self::finish::{Lost, Restored};
pub use self::salvage::Salvaged;
use super::damage::Found;
use super::displaced::{displaced_blob, displaced_parts};
use super::record::{
    BucketRecord, ContentRecord, LayoutRecord, PartRecord, Record, UploadRecord, VersionRecord,
};
use super::trailer::own_content;
use super::{Bucket, Catalog, CatalogError, OWN_BLOB, ObjectVersion, Part, Stamped, Trailer, Upload};
use super::{layout, unchanged};
use crate::blob::BlobRef;
use crate::kv::{Condition, Transaction, Write};
use crate::name::{BucketId, ObjectKey, UploadId};

/// Is a blob's content what was written?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentState {
    /// Every byte of it, as far as checksums tell.
    Sound,
    /// Not all of it: what can still be read may be read, and nothing is displaced by it.
    Damaged,
}

impl Catalog {
    /// Applies the trailer of this blob. Calls may run beside each other; nothing else may write meanwhile.
    pub async fn restore(
        &self,
        stamped: &Stamped,
        blob: BlobRef,
        content: ContentState,
    ) -> Result<(), CatalogError> {
        self.forget_count().await?;
        let stamp_us = stamped.stamp_us;
        match &stamped.trailer {
            Trailer::Bucket(bucket) => self.restore_bucket(bucket, stamp_us, blob).await,
            Trailer::Object { bucket, object, version } => {
                self.restore_version(*bucket, object, version, stamp_us, (blob, content)).await
            }
            Trailer::Upload { bucket, upload } => self.restore_upload(*bucket, upload, stamp_us, blob).await,
            Trailer::Part { bucket, upload, part } => {
                self.restore_part(*bucket, upload, part, stamp_us, (blob, content)).await
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
            let former = self.look::<BucketRecord>(&key, found.as_ref()).sound();
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
        (blob, content): (BlobRef, ContentState),
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
                // It says all that there is.
                LayoutRecord::Inline(_) => {}
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
            if let Found::Sound(found) = self.look::<VersionRecord>(&keys[0], found.as_ref()) {
                let is_displaced = found.stamp_us < stamp_us;
                let loser;
                (winner, loser) = winner.against(found);
                if content == ContentState::Sound || !is_displaced {
                    transaction.writes.extend(loser.left_behind(Some(&winner)));
                }
            }
            transaction.writes.push(Write::Put(keys[0].clone(), winner.encode()));
            if let Some((content, named)) = &ended {
                transaction.conditions.push(unchanged(&keys[1], &found_upload));
                transaction.writes.push(Write::Put(layout::completed(*content), Bytes::from_static(&[1])));
                transaction.writes.push(displaced_parts(*content, named.clone()));
                if let Some(found) = &found_upload {
                    transaction.writes.push(Write::Delete(keys[1].clone()));
                    if let Found::Sound(upload) = self.look::<UploadRecord>(&keys[1], Some(found)) {
                        transaction.writes.extend(upload.journal.map(|blob| displaced_blob(None, blob)));
                    }
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
            let former = self.look::<UploadRecord>(&keys[0], found.as_ref()).sound();
            let mut record = former
                .unwrap_or_else(|| UploadRecord { journal: None, ..UploadRecord::of(upload, stamp_us) });
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
        (blob, content): (BlobRef, ContentState),
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
            let former = self.look::<PartRecord>(&keys[0], found.as_ref()).sound();
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
                    let displaced = former.filter(|_| content == ContentState::Sound);
                    transaction
                        .writes
                        .extend(displaced.map(|former| displaced_blob(Some(version), former.blob)));
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

    /// Its content lies where the content's own blob says. Which sending it is the journal knows as well, and is believed: it was
    /// written when the record was known.
    fn find_content(&mut self, found: &ContentRecord) {
        if let Some(content) = &mut self.content {
            content.layout = found.layout.clone();
            content.salt = content.salt.or(found.salt);
        }
    }

    /// Which of two records of an object holds, and what of the other is left behind. Of one content both know a part:
    /// the later its metadata, the content's own blob where it is.
    fn against(self, former: VersionRecord) -> (VersionRecord, VersionRecord) {
        let former_holds = former.stamp_us >= self.stamp_us;
        let (mut winner, mut loser) = if former_holds { (former, self) } else { (self, former) };
        let one_content = winner.content.as_ref().map(|content| content.version)
            == loser.content.as_ref().map(|content| content.version);
        if one_content
            && winner.awaits_content()
            && let Some(found) = &loser.content
        {
            winner.find_content(found);
        }
        if loser.awaits_content() {
            loser.content = None;
        }
        (winner, loser)
    }
}
