//! Space that nothing needs any more: displaced blobs, orphans of crashes, and segments that are mostly dead.

use std::sync::Arc;
use std::time::Duration;

use crate::blob::fs::FsBlobStore;
use crate::blob::{BlobError, BlobRef, BlobStore, SizeHint, StoredRange};
use crate::catalog::{Catalog, CatalogError, OwnerState};
use crate::name::{BlobId, Timestamp};

/// Why a round of reclaim ended early; what it did until then is done.
#[derive(Debug, thiserror::Error)]
pub enum ReclaimError {
    /// The records can't be read or written.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The blobs can't be read or written.
    #[error(transparent)]
    Blob(#[from] BlobError),
}

/// How space is reclaimed.
#[derive(Debug, Clone, Copy)]
pub struct ReclaimOptions {
    /// How long a displaced blob stays for readers that have read its record and not opened it yet.
    pub displaced_grace: Duration,
    /// How old a blob without a record must be to count as an orphan while this process runs: longer than any upload's
    /// last step takes.
    pub orphan_grace: Duration,
    /// The part of a segment that must be dead for its live blobs to be moved out, in percent.
    pub dead_percent_min: u64,
    /// The pace of moving, in bytes per second.
    pub move_len_per_s: u64,
}

impl Default for ReclaimOptions {
    fn default() -> Self {
        Self {
            displaced_grace: Duration::from_secs(5),
            orphan_grace: Duration::from_secs(3600),
            dead_percent_min: 50,
            move_len_per_s: 64 << 20,
        }
    }
}

/// What a round did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reclaimed {
    /// Displaced blobs deleted.
    pub displaced: u64,
    /// Orphans deleted.
    pub orphans: u64,
    /// Blobs looked at for orphans.
    pub looked_at: u64,
    /// Live blobs moved out of mostly dead segments.
    pub moved: u64,
}

/// Blobs of one look at the store or the queue.
const PAGE_LEN: usize = 256;

/// Frees the space of a store on a local disk.
pub struct Reclaimer {
    catalog: Catalog,
    blobs: Arc<FsBlobStore>,
    options: ReclaimOptions,
    /// Blobs from before this time are of no write that still runs.
    opened: Timestamp,
}

impl Reclaimer {
    /// To be made before the first write of this process.
    pub fn new(catalog: Catalog, blobs: Arc<FsBlobStore>, options: ReclaimOptions) -> Self {
        Self { catalog, blobs, options, opened: Timestamp::now() }
    }

    /// Deletes what was displaced and is not being read.
    pub async fn drain(&self) -> Result<Reclaimed, ReclaimError> {
        let mut done = Reclaimed::default();
        let grace_ms = self.options.displaced_grace.as_millis() as u64;
        let before = Timestamp(Timestamp::now().unix_ms().saturating_sub(grace_ms));
        loop {
            let page = self.catalog.next_displaced(before, PAGE_LEN).await?;
            if page.is_empty() {
                return Ok(done);
            }
            for blob in page.iter().flat_map(|displaced| &displaced.blobs) {
                self.blobs.delete(&blob.id).await?;
                done.displaced += 1;
            }
            self.catalog.forget_displaced(page).await?;
        }
    }

    /// Looks at every blob for orphans.
    pub async fn sweep(&self) -> Result<Reclaimed, ReclaimError> {
        let mut done = Reclaimed::default();
        let grace_ms = self.options.orphan_grace.as_millis() as u64;
        let mut after = None;
        loop {
            let page = self.blobs.list(after, PAGE_LEN).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.blob.id);
            for info in &page {
                done.looked_at += 1;
                let is_old = info.finished < self.opened
                    || info.finished.unix_ms().saturating_add(grace_ms) < Timestamp::now().unix_ms();
                let orphan = match self.catalog.owner_state(&info.owner, info.blob.id).await? {
                    OwnerState::Alive => false,
                    OwnerState::Dead | OwnerState::Unknown => is_old,
                };
                if orphan {
                    self.blobs.delete(&info.blob.id).await?;
                    done.orphans += 1;
                }
            }
        }
        self.blobs.tidy().await?;
        Ok(done)
    }

    /// Moves live blobs out of mostly dead segments, which go with their last blob. Costs next to nothing where there
    /// are none.
    pub async fn compact(&self) -> Result<Reclaimed, ReclaimError> {
        let mut done = Reclaimed::default();
        for first in self.blobs.mostly_dead_segments(self.options.dead_percent_min) {
            let mut after = Some(first);
            'segment: loop {
                let page = self.blobs.list(after, PAGE_LEN).await?;
                let Some(last) = page.last() else { break };
                after = Some(last.blob.id);
                for info in &page {
                    if !FsBlobStore::same_segment(&first, &info.blob.id) {
                        break 'segment;
                    }
                    if self.catalog.owner_state(&info.owner, info.blob.id).await? != OwnerState::Alive {
                        continue;
                    }
                    done.moved += u64::from(self.move_blob(&info.owner, info.blob).await?);
                    let pause_us = info.blob.stored_len.0 * 1_000_000 / self.options.move_len_per_s.max(1);
                    tokio::time::sleep(Duration::from_micros(pause_us)).await;
                }
            }
        }
        Ok(done)
    }

    /// Copies a blob and lets its record refer to the copy; whoever changed the record meanwhile wins.
    async fn move_blob(&self, owner: &crate::blob::BlobOwner, from: BlobRef) -> Result<bool, ReclaimError> {
        let reader = self.blobs.open(&from).await?;
        let content = reader.read(StoredRange { offset: 0, len: from.stored_len.0 as usize }).await?;
        let trailer = self.blobs.read_trailer(&from).await?;
        let mut writer = self.blobs.create(owner.clone(), SizeHint::Exact(from.stored_len.0)).await?;
        writer.write(content.freeze()).await?;
        let to = writer.finish(trailer).await?;
        let is_moved = self.catalog.relocate(owner, from, to).await?;
        let unneeded: BlobId = if is_moved { from.id } else { to.id };
        self.blobs.delete(&unneeded).await?;
        Ok(is_moved)
    }
}

#[cfg(test)]
mod tests;
