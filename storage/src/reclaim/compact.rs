//! Segments that are mostly dead: what lives in them moves out.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::join_all;

use super::sweep::Finding;
use super::{MAX_ORPHANS, PAGE_LEN, ReclaimError, Reclaimed, Reclaimer};
use crate::blob::{BlobError, BlobInfo, BlobOwner, SizeHint, StoredRange};
use crate::catalog::{Catalog, OwnerState};

/// Blobs that are moved at once, and their bytes: each is in memory whole.
const MOVED_AT_ONCE: usize = 16;
const MOVED_AT_ONCE_LEN: u64 = 8 << 20;

impl Reclaimer {
    /// Keeps the pace after this many bytes.
    async fn pause(&self, len: u64) {
        let pause_us = u128::from(len) * 1_000_000 / u128::from(self.options.move_len_per_s.max(1));
        tokio::time::sleep(Duration::from_micros(pause_us as u64)).await;
    }

    /// Moves live blobs out of mostly dead segments, which go with their last blob. Costs next to nothing where there
    /// are none.
    pub async fn compact(&self) -> Result<Reclaimed, ReclaimError> {
        let mut done = Reclaimed::default();
        let Some(lease) = self.catalog.lease("compact").await? else { return Ok(done) };
        let catalog = lease.catalog();
        let mut sessions = HashMap::new();
        for first in self.blobs.mostly_dead(self.options.dead_percent_min).await? {
            let mut after = None;
            loop {
                let page = self.blobs.list_segment(&first, after, PAGE_LEN).await?;
                let Some(last) = page.last() else { break };
                after = Some(last.blob.id);
                let mut alive = Vec::new();
                for info in page {
                    self.trusted()?;
                    // What has no record is left to the sweep.
                    if self.judge(&info, &mut sessions, &mut HashMap::new()).await? == Finding::Keep {
                        alive.push(info);
                    }
                }
                // Several at once, so that they go together again where small blobs do.
                for together in batches(&alive) {
                    let moves = together.iter().map(|info| self.move_blob(catalog, info));
                    for moved in join_all(moves).await {
                        match moved {
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
                    }
                    self.pause(together.iter().map(|info| info.blob.stored_len.0).sum()).await;
                }
            }
        }
        Ok(done)
    }

    /// Copies a live blob and lets its record refer to the copy; whoever changed the record meanwhile wins.
    pub(super) async fn move_blob(&self, catalog: &Catalog, info: &BlobInfo) -> Result<bool, ReclaimError> {
        let BlobInfo { blob: from, owner, .. } = info;
        if self.is_read(owner) || catalog.owner_state(owner, from.id).await? != OwnerState::Alive {
            return Ok(false);
        }
        let reader = self.blobs.open(from).await?;
        let content = reader.read(StoredRange { offset: 0, len: from.stored_len.0 as usize }).await?;
        let trailer = self.blobs.read_trailer(from).await?;
        let mut writer = self.blobs.create(owner.clone(), SizeHint::Exact(from.stored_len.0)).await?;
        writer.write(content.freeze()).await?;
        let to = writer.finish(trailer).await?;
        let is_moved = catalog.relocate(owner, *from, to).await?;
        match is_moved {
            // It waits in the queue for the readers of all gateways.
            true if catalog.is_shared() => {}
            // A reader that came meanwhile may hold the old address: a later sweep deletes it.
            true if self.is_read(owner) => {
                let mut left_behind = self.left_behind.lock();
                if left_behind.len() < MAX_ORPHANS {
                    left_behind.insert(from.id);
                }
            }
            true => self.blobs.delete(&from.id).await?,
            false => self.blobs.delete(&to.id).await?,
        }
        Ok(is_moved)
    }

    fn is_read(&self, owner: &BlobOwner) -> bool {
        matches!(owner, BlobOwner::Content { version, .. } if self.catalog.is_pinned(*version))
    }
}

/// What is moved together: at least one blob.
fn batches(alive: &[BlobInfo]) -> impl Iterator<Item = &[BlobInfo]> {
    let mut rest = alive;
    std::iter::from_fn(move || {
        let mut len = 0;
        let fits = |info: &BlobInfo| {
            len += info.blob.stored_len.0;
            len <= MOVED_AT_ONCE_LEN
        };
        let count = rest.iter().take(MOVED_AT_ONCE).map(fits).take_while(|fits| *fits).count();
        let (batch, others) = rest.split_at(count.max(1).min(rest.len()));
        rest = others;
        (!batch.is_empty()).then_some(batch)
    })
}
