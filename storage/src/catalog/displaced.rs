//! Blobs that no record refers to any more: a durable queue, filled by the commits that displace them and drained by
//! whoever owns the blob store. Content that is being read is passed over.

use std::collections::HashMap;

use super::record::{
    ContentRecord, DisplacedRecord, DisplacedWhat, LayoutRecord, PartRecord, Record, UploadRecord,
};
use super::{Catalog, CatalogError, SCAN_LEN, layout};
use crate::blob::{BlobOwner, BlobRef};
use crate::kv::{Condition, Direction, Key, KeyRange, KvError, Transaction, Write};
use crate::name::{BlobId, BucketId, Timestamp, VersionId};

/// Blobs to delete, and what to forget after that with [`Catalog::forget_displaced`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Displaced {
    /// The content that they were; `None` for journals.
    pub content: Option<VersionId>,
    /// The blobs.
    pub blobs: Vec<BlobRef>,
    /// What to write once the blobs are deleted.
    afterwards: Vec<Write>,
}

impl Catalog {
    /// Blobs that were displaced before this time and may be deleted, oldest first: about `limit` of them (up to 256
    /// more), fewer if there are fewer. Content that is pinned is passed over. A grace of some seconds spares readers
    /// that have read a record and not yet opened its blob.
    pub async fn next_displaced(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<Displaced>, CatalogError> {
        let mut range =
            KeyRange { start: layout::displaced_end(0), end: Some(layout::displaced_end(before.unix_ms())) };
        let (mut answer, mut blob_count) = (Vec::new(), 0);
        loop {
            let found = self.kv.scan(range.clone(), Direction::Forward, SCAN_LEN).await?;
            for (key, entry) in &found {
                let Ok(record) = DisplacedRecord::decode(&entry.value) else {
                    // Its blobs have no record: whoever looks for such finds them.
                    self.note_damage(key);
                    continue;
                };
                if record.content.is_some_and(|content| self.is_pinned(content)) {
                    continue;
                }
                let displaced = match record.what {
                    DisplacedWhat::Blob(blob) => Displaced {
                        content: record.content,
                        blobs: vec![blob],
                        afterwards: vec![Write::Delete(key.clone())],
                    },
                    DisplacedWhat::Parts { after, keep } => {
                        let Some(content) = record.content else {
                            return Err(CatalogError::Corrupt("displaced parts"));
                        };
                        self.displaced_parts(key, content, after, keep).await?
                    }
                    DisplacedWhat::Uploads(bucket) => {
                        self.displace_uploads(key, bucket).await?;
                        continue;
                    }
                };
                blob_count += displaced.blobs.len();
                answer.push(displaced);
                if blob_count >= limit {
                    return Ok(answer);
                }
            }
            match found.last() {
                Some((last, _)) if found.len() == SCAN_LEN => range.start = layout::successor(last),
                _ => return Ok(answer),
            }
        }
    }

    /// What waits to be deleted: how many records of it there are, of which no more than `most` are counted, and since when the oldest
    /// waits. One record may be of many blobs.
    pub async fn displaced_backlog(&self, most: usize) -> Result<(u64, Option<Timestamp>), CatalogError> {
        let mut range =
            KeyRange { start: layout::displaced_end(0), end: Some(layout::displaced_end(u64::MAX)) };
        let (mut count, mut oldest) = (0, None);
        while count < most {
            let found = self.kv.scan(range.clone(), Direction::Forward, SCAN_LEN.min(most - count)).await?;
            count += found.len();
            oldest = oldest.or_else(|| layout::displaced_at(&found.first()?.0));
            match found.last() {
                Some((last, _)) if found.len() == SCAN_LEN => range.start = layout::successor(last),
                _ => break,
            }
        }
        Ok((count as u64, oldest))
    }

    /// Forgets what [`Catalog::next_displaced`] named, once its blobs are deleted.
    pub async fn forget_displaced(&self, displaced: Vec<Displaced>) -> Result<(), CatalogError> {
        self.commit_apart(displaced.into_iter().map(|displaced| displaced.afterwards)).await
    }

    /// Waits until everything that can be read now is durable.
    pub async fn barrier(&self) -> Result<(), CatalogError> {
        // Commits are made in order, and this one writes nothing.
        Ok(self.kv.commit(Transaction::default()).await?)
    }

    /// Takes out of `blobs` those that wait in the queue.
    pub(crate) async fn without_displaced(
        &self,
        blobs: &mut HashMap<BlobId, BlobOwner>,
    ) -> Result<(), CatalogError> {
        let mut range = KeyRange::prefix(vec![layout::DISPLACED]);
        loop {
            let found = self.kv.scan(range.clone(), Direction::Forward, SCAN_LEN).await?;
            for (_, entry) in &found {
                let record = DisplacedRecord::decode(&entry.value)?;
                match record.what {
                    DisplacedWhat::Blob(blob) => drop(blobs.remove(&blob.id)),
                    DisplacedWhat::Parts { keep, .. } => blobs.retain(|_, owner| match owner {
                        BlobOwner::Content { version, part: Some(part), .. } => {
                            Some(*version) != record.content
                                || keep.iter().any(|&(low, high)| (low..=high).contains(&part.get()))
                        }
                        _ => true,
                    }),
                    DisplacedWhat::Uploads(of) => blobs.retain(
                        |_, owner| !matches!(owner, BlobOwner::Content { bucket, part: Some(_), .. } if *bucket == of),
                    ),
                }
            }
            match found.last() {
                Some((last, _)) if found.len() == SCAN_LEN => range.start = layout::successor(last),
                _ => return Ok(()),
            }
        }
    }

    /// One scan of a content's parts; the cursor moves on when they are forgotten.
    async fn displaced_parts(
        &self,
        queued: &Key,
        content: VersionId,
        after: u16,
        keep: Vec<(u16, u16)>,
    ) -> Result<Displaced, CatalogError> {
        let mut range = KeyRange::prefix(layout::parts(content));
        range.start = layout::part(content, after.saturating_add(1));
        let found = self.kv.scan(range, Direction::Forward, SCAN_LEN).await?;
        let mut displaced = Displaced { content: Some(content), blobs: Vec::new(), afterwards: Vec::new() };
        let mut last = after;
        for (key, entry) in &found {
            last = layout::part_number(key)?;
            if keep.iter().any(|&(low, high)| (low..=high).contains(&last)) {
                continue;
            }
            match PartRecord::decode(&entry.value) {
                Ok(part) => displaced.blobs.push(part.blob),
                Err(_) => self.note_damage(key),
            }
            displaced.afterwards.push(Write::Delete(key.clone()));
        }
        displaced.afterwards.push(if found.len() < SCAN_LEN {
            Write::Delete(queued.clone())
        } else {
            let what = DisplacedWhat::Parts { after: last, keep };
            Write::Put(queued.clone(), DisplacedRecord { content: Some(content), what }.encode())
        });
        Ok(displaced)
    }

    /// Ends a batch of a deleted bucket's uploads: their parts come next.
    async fn displace_uploads(&self, queued: &Key, bucket: BucketId) -> Result<(), CatalogError> {
        let range = KeyRange::prefix(layout::within(layout::UPLOAD, bucket));
        let found = self.kv.scan(range, Direction::Forward, SCAN_LEN).await?;
        let mut transaction = Transaction::default();
        for (key, entry) in &found {
            transaction.conditions.push(Condition::At(key.clone(), entry.revision));
            transaction.writes.push(Write::Delete(key.clone()));
            let content = layout::upload_id_in(key)?.0;
            transaction.writes.push(displaced_parts(content, Vec::new()));
            // The bucket's counters went with it.
            transaction.writes.push(Write::Delete(layout::upload_counter(content)));
            match UploadRecord::decode(&entry.value) {
                Ok(upload) => {
                    transaction.writes.extend(upload.journal.map(|blob| displaced_blob(None, blob)));
                }
                Err(_) => self.note_damage(key),
            }
        }
        if found.len() < SCAN_LEN {
            self.forget_stretches(Some(bucket)).await?;
            transaction.writes.push(Write::Delete(queued.clone()));
        }
        match self.commit(transaction).await {
            // Somebody else drains too; the next call sees what is left.
            Ok(()) | Err(KvError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl DisplacedRecord {
    /// Puts it at the end of the queue.
    pub(super) fn queue(&self) -> Write {
        let salt = crate::random::public_bytes();
        Write::Put(layout::displaced(Timestamp::now().unix_ms(), salt), self.encode())
    }
}

/// Queues one blob: of this content, or a journal.
pub(super) fn displaced_blob(content: Option<VersionId>, blob: BlobRef) -> Write {
    DisplacedRecord { content, what: DisplacedWhat::Blob(blob) }.queue()
}

/// Queues the parts of a content but for those to keep. Their number does not matter: the queue's drain pages through them.
pub(super) fn displaced_parts(content: VersionId, keep: Vec<(u16, u16)>) -> Write {
    DisplacedRecord { content: Some(content), what: DisplacedWhat::Parts { after: 0, keep } }.queue()
}

/// Queues a whole content; `None`: it goes with its record.
pub(super) fn displaced_content(content: &ContentRecord) -> Option<Write> {
    match &content.layout {
        LayoutRecord::Single(blob) => Some(displaced_blob(Some(content.version), *blob)),
        LayoutRecord::Parts(_) => Some(displaced_parts(content.version, Vec::new())),
        LayoutRecord::Inline(_) => None,
    }
}
