//! Space that nothing needs any more: displaced blobs, orphans of crashes, and segments that are mostly dead.

use std::sync::Arc;
use std::time::Duration;

use crate::blob::fs::FsBlobStore;
use crate::blob::{BlobError, BlobInfo, BlobOwner, BlobStore, SizeHint, StoredRange};
use crate::catalog::{Catalog, CatalogError, OwnerState};
use crate::name::Timestamp;

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
    /// The pace of moving and of scrubbing, in bytes per second.
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
    /// Blobs that a scrub found to be other bytes than were written.
    pub damaged: u64,
}

/// Blobs of one look at the store or the queue.
const PAGE_LEN: usize = 256;
/// Blobs of one step of a scrub, between which it keeps its pace.
const SCRUB_PAGE_LEN: usize = 16;

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
        let mut after = None;
        loop {
            let page = self.blobs.list(after, PAGE_LEN).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.blob.id);
            for info in &page {
                done.looked_at += 1;
                if self.is_orphan(info).await? {
                    self.blobs.delete(&info.blob.id).await?;
                    done.orphans += 1;
                }
            }
        }
        self.blobs.tidy().await?;
        Ok(done)
    }

    /// No record refers to it, and no write that may still run made it.
    async fn is_orphan(&self, info: &BlobInfo) -> Result<bool, ReclaimError> {
        let grace_ms = self.options.orphan_grace.as_millis() as u64;
        let is_old = info.finished < self.opened
            || info.finished.unix_ms().saturating_add(grace_ms) < Timestamp::now().unix_ms();
        Ok(match self.catalog.owner_state(&info.owner, info.blob.id).await? {
            OwnerState::Alive => false,
            OwnerState::Dead | OwnerState::Unknown => is_old,
        })
    }

    /// Compares every stored byte with the checksums it was stored with; it takes no key. Damage is logged and counted.
    pub async fn scrub(&self) -> Result<Reclaimed, ReclaimError> {
        let mut done = Reclaimed::default();
        let mut after = None;
        loop {
            let page = self.blobs.scrub(after, SCRUB_PAGE_LEN).await?;
            done.looked_at += page.sound + page.damaged.len() as u64;
            done.damaged += page.damaged.len() as u64;
            for (blob, why) in &page.damaged {
                tracing::error!(%blob, why, "a blob is damaged");
            }
            let Some(last) = page.last else { return Ok(done) };
            after = Some(last);
            self.pause(page.sound_len).await;
        }
    }

    /// Keeps the pace after this many bytes.
    async fn pause(&self, len: u64) {
        let pause_us = u128::from(len) * 1_000_000 / u128::from(self.options.move_len_per_s.max(1));
        tokio::time::sleep(Duration::from_micros(pause_us as u64)).await;
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
                    if self.is_orphan(info).await? {
                        self.blobs.delete(&info.blob.id).await?;
                        done.orphans += 1;
                        continue;
                    }
                    match self.move_blob(info).await {
                        Ok(is_moved) => done.moved += u64::from(is_moved),
                        // Displaced and deleted beside us.
                        Err(ReclaimError::Blob(BlobError::NotFound(_))) => {}
                        Err(ReclaimError::Blob(error @ BlobError::Corrupt(..))) => {
                            tracing::error!(
                                error = &error as &dyn std::error::Error,
                                "a damaged blob stays where it is"
                            );
                        }
                        Err(error) => return Err(error),
                    }
                    self.pause(info.blob.stored_len.0).await;
                }
            }
        }
        Ok(done)
    }

    /// Copies a live blob and lets its record refer to the copy; whoever changed the record meanwhile wins.
    async fn move_blob(&self, info: &BlobInfo) -> Result<bool, ReclaimError> {
        let BlobInfo { blob: from, owner, .. } = info;
        if self.is_read(owner) || self.catalog.owner_state(owner, from.id).await? != OwnerState::Alive {
            return Ok(false);
        }
        let reader = self.blobs.open(from).await?;
        let content = reader.read(StoredRange { offset: 0, len: from.stored_len.0 as usize }).await?;
        let trailer = self.blobs.read_trailer(from).await?;
        let mut writer = self.blobs.create(owner.clone(), SizeHint::Exact(from.stored_len.0)).await?;
        writer.write(content.freeze()).await?;
        let to = writer.finish(trailer).await?;
        let is_moved = self.catalog.relocate(owner, *from, to).await?;
        match is_moved {
            // A reader that came meanwhile may hold the old address: a later round finds an orphan.
            true if self.is_read(owner) => {}
            true => self.blobs.delete(&from.id).await?,
            false => self.blobs.delete(&to.id).await?,
        }
        Ok(is_moved)
    }

    fn is_read(&self, owner: &BlobOwner) -> bool {
        matches!(owner, BlobOwner::Content { version, .. } if self.catalog.is_pinned(*version))
    }
}

#[cfg(test)]
mod tests;
