//! Displaced blobs: deleted once nothing can be reading them any more.

use std::collections::{HashMap, HashSet};

use super::{ReclaimError, Reclaimed, Reclaimer};
use crate::catalog::{Catalog, Displaced};
use crate::name::{BlobId, Timestamp, VersionId};
use crate::session::{Session, SessionId, SessionState};

/// Blobs of one look at the queue: their deletions are made durable together.
const DRAIN_LEN: usize = 4096;
/// Blobs that wait at one time for the readers of other gateways.
const MAX_WAITING: usize = 65_536;
/// Blobs of one request for deletions.
const DELETE_LEN: usize = 1000;

/// What was found in the queue, and what each session had said last when it had been found.
pub(super) struct Waiting {
    found: Vec<Displaced>,
    heard: HashMap<SessionId, u64>,
}

impl Waiting {
    /// Does nothing run any more that began before these blobs were found displaced? If so, the contents that are read all the same.
    fn read_still(&self, sessions: &[Session]) -> Option<HashSet<VersionId>> {
        let mut contents = HashSet::new();
        for session in sessions.iter().filter(|session| session.state == SessionState::Live) {
            // One that came later has read nothing that was displaced before it came.
            let Some(heard) = self.heard.get(&session.id) else { continue };
            let beat = session.beat.as_ref()?;
            if beat.floor <= *heard {
                return None;
            }
            contents.extend(&beat.contents);
        }
        Some(contents)
    }
}

fn heard(sessions: &[Session]) -> HashMap<SessionId, u64> {
    let live = sessions.iter().filter(|session| session.state == SessionState::Live);
    live.map(|session| (session.id, session.beat.as_ref().map_or(0, |beat| beat.number))).collect()
}

impl Reclaimer {
    /// Deletes what was displaced and is not being read. Of gateways that share the records, one does it.
    pub async fn drain(&self) -> Result<Reclaimed, ReclaimError> {
        if self.catalog.is_shared() { self.drain_shared().await } else { self.drain_alone().await }
    }

    fn displaced_before(&self) -> Timestamp {
        let grace_ms = self.options.displaced_grace.as_millis() as u64;
        Timestamp(Timestamp::now().unix_ms().saturating_sub(grace_ms))
    }

    pub(super) async fn drain_alone(&self) -> Result<Reclaimed, ReclaimError> {
        let mut done = Reclaimed::default();
        let before = self.displaced_before();
        loop {
            let page = self.catalog.next_displaced(before, DRAIN_LEN).await?;
            if page.is_empty() {
                return Ok(done);
            }
            done.displaced += self.delete_displaced(&self.catalog, page).await?;
        }
    }

    /// Deletes what an earlier call found, once all sessions have said that what runs there began after that; then finds some more.
    async fn drain_shared(&self) -> Result<Reclaimed, ReclaimError> {
        let mut done = Reclaimed::default();
        let mut waiting = self.waiting.lock().await;
        let Some(lease) = self.catalog.lease("drain").await? else {
            *waiting = None;
            return Ok(done);
        };
        let catalog = lease.catalog();
        if let Some(ripening) = &*waiting {
            let sessions = catalog.sessions().await?;
            let Some(read) = ripening.read_still(&sessions) else { return Ok(done) };
            // What is left out is found again.
            let mut found = waiting.take().map(|waiting| waiting.found).unwrap_or_default();
            found.retain(|displaced| displaced.content.is_none_or(|content| !read.contains(&content)));
            while !found.is_empty() {
                let rest = found.split_off(found.len().min(DRAIN_LEN));
                done.displaced += self.delete_displaced(catalog, found).await?;
                found = rest;
            }
        }
        let found = catalog.next_displaced(self.displaced_before(), MAX_WAITING).await?;
        if !found.is_empty() {
            // In this order: who says something after this has seen that they are displaced.
            let heard = heard(&catalog.sessions().await?);
            *waiting = Some(Waiting { found, heard });
        }
        Ok(done)
    }

    async fn delete_displaced(&self, catalog: &Catalog, page: Vec<Displaced>) -> Result<u64, ReclaimError> {
        // What was read is durable after this.
        catalog.barrier().await?;
        self.trusted()?;
        let blobs: Vec<BlobId> =
            page.iter().flat_map(|displaced| &displaced.blobs).map(|blob| blob.id).collect();
        for blobs in blobs.chunks(DELETE_LEN) {
            self.blobs.delete_many(blobs).await?;
        }
        self.blobs.sync_deletions().await?;
        catalog.forget_displaced(page).await?;
        Ok(blobs.len() as u64)
    }
}
