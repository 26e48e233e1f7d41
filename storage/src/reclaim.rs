//! Space that nothing needs any more: displaced blobs, orphans of crashes, and segments that are mostly dead.
//!
//! A blob is deleted because a durable record displaced it, or because it is known to be of a write that was never committed; never
//! because a record is missing. And nothing is deleted before the records were compared with what was committed. What can't be
//! accounted for is put into quarantine, if it is little; if it is much, something is wrong with the records, and nothing is done.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::blob::{BlobError, BlobInfo, BlobOwner, BlobStore, SizeHint, StoredRange, Why};
use crate::catalog::{Catalog, CatalogError, OwnerState};
use crate::kv::Standing;
use crate::name::{BlobId, Timestamp};
use crate::session::{SessionId, SessionState};

/// Why a round of reclaim ended early; what it did until then is done.
#[derive(Debug, thiserror::Error)]
pub enum ReclaimError {
    /// The records can't be read or written.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The blobs can't be read or written.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The records were not compared with what was committed yet, or are not what was.
    #[error("the records can't be trusted now ({0:?}): nothing is deleted")]
    Untrusted(Standing),
    /// So many blobs have no record that something must be wrong with the records.
    #[error(
        "over {MAX_DOUBTFUL} blobs have no record and nothing tells why: none of them was touched; stop the gateway and run \
         `sealgate check`, and `sealgate rebuild --add` to bring back what they hold"
    )]
    Doubtful,
}

/// How space is reclaimed.
#[derive(Debug, Clone, Copy)]
pub struct ReclaimOptions {
    /// How long a displaced blob stays for readers that have read its record and not opened it yet.
    pub displaced_grace: Duration,
    /// How long a blob of this process must be without a record to count as an orphan: longer than any upload's last step takes.
    pub orphan_grace: Duration,
    /// How long blobs stay in quarantine; `None`: for ever.
    pub quarantine: Option<Duration>,
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
            quarantine: Some(Duration::from_secs(7 * 24 * 3600)),
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
    /// Blobs put into quarantine.
    pub quarantined: u64,
    /// Blobs whose time in quarantine was over: deleted.
    pub expired: u64,
    /// Blobs looked at for orphans.
    pub looked_at: u64,
    /// Live blobs moved out of mostly dead segments.
    pub moved: u64,
}

/// Blobs of one look at the store or the queue.
const PAGE_LEN: usize = 256;
/// Blobs of one look at the queue: their deletions are made durable together.
const DRAIN_LEN: usize = 4096;

/// Blobs that a sweep puts into quarantine at the most.
const MAX_DOUBTFUL: usize = 64;
/// Orphans that one sweep deletes at the most; the next one goes on.
const MAX_ORPHANS: usize = 100_000;

/// Ended sessions that are kept in mind: a deletion that a crash undid is known by them.
const MAX_KEPT_SESSIONS: usize = 1000;

/// How long after a session's last commit its writes may have been cut off.
pub const UNSETTLED_MS: u64 = 5000;

/// What a blob that no record refers to is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finding {
    /// It is needed, or may be.
    Keep,
    /// It is of a write that was never committed, or its record refers to a copy.
    Orphan,
    /// It is of the last moments of a session, behind its last commit: of a write that was cut off, if the catalog is not an older one.
    Unsettled,
    /// Nobody knows why there is no record.
    Doubtful,
}

/// Frees the space of a store.
pub struct Reclaimer {
    catalog: Catalog,
    blobs: Arc<dyn BlobStore>,
    options: ReclaimOptions,
    /// Blobs of this process without a record, and when the first sweep met them.
    suspects: Mutex<HashMap<BlobId, Instant>>,
    /// What moves left behind because it was being read.
    left_behind: Mutex<HashSet<BlobId>>,
}

impl Reclaimer {
    /// For this process's session, which the catalog has begun.
    pub fn new(catalog: Catalog, blobs: Arc<dyn BlobStore>, options: ReclaimOptions) -> Self {
        Self { catalog, blobs, options, suspects: Mutex::default(), left_behind: Mutex::default() }
    }

    /// Nothing is deleted on a doubtful word.
    fn trusted(&self) -> Result<(), ReclaimError> {
        match self.catalog.standing() {
            Standing::Verified => Ok(()),
            standing => Err(ReclaimError::Untrusted(standing)),
        }
    }

    /// Deletes what was displaced and is not being read.
    pub async fn drain(&self) -> Result<Reclaimed, ReclaimError> {
        let mut done = Reclaimed::default();
        let grace_ms = self.options.displaced_grace.as_millis() as u64;
        let before = Timestamp(Timestamp::now().unix_ms().saturating_sub(grace_ms));
        loop {
            let page = self.catalog.next_displaced(before, DRAIN_LEN).await?;
            if page.is_empty() {
                return Ok(done);
            }
            // What was read is durable after this.
            self.catalog.barrier().await?;
            self.trusted()?;
            for blob in page.iter().flat_map(|displaced| &displaced.blobs) {
                self.blobs.delete(&blob.id).await?;
                done.displaced += 1;
            }
            self.blobs.sync_deletions().await?;
            self.catalog.forget_displaced(page).await?;
        }
    }

    /// Looks at every blob for those without a record, after all records were compared with what was committed.
    pub async fn sweep(&self) -> Result<Reclaimed, ReclaimError> {
        self.catalog.barrier().await?;
        self.catalog.verify().await?;
        let mut done = Reclaimed::default();
        let (mut orphans, mut unsettled, mut doubtful) = (HashMap::new(), HashMap::new(), HashMap::new());
        let mut suspects = HashMap::new();
        let mut sessions = HashMap::new();
        let mut after = None;
        loop {
            let page = self.blobs.list(after, PAGE_LEN).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.blob.id);
            for info in page {
                done.looked_at += 1;
                let id = info.blob.id;
                match self.judge(&info, &mut sessions, &mut suspects).await? {
                    Finding::Keep => {}
                    Finding::Orphan if orphans.len() < MAX_ORPHANS => drop(orphans.insert(id, info.owner)),
                    Finding::Unsettled if unsettled.len() < MAX_ORPHANS => {
                        drop(unsettled.insert(id, info.owner));
                    }
                    Finding::Orphan | Finding::Unsettled => {}
                    Finding::Doubtful => drop(doubtful.insert(id, info.owner)),
                }
            }
            if doubtful.len() > MAX_DOUBTFUL {
                self.catalog.without_displaced(&mut doubtful).await?;
                if doubtful.len() > MAX_DOUBTFUL {
                    return Err(ReclaimError::Doubtful);
                }
            }
        }
        *self.suspects.lock() = suspects;
        for blobs in [&mut orphans, &mut unsettled, &mut doubtful] {
            self.catalog.without_displaced(blobs).await?;
        }
        let is_whole = orphans.len().max(unsettled.len()) < MAX_ORPHANS;
        for id in orphans.into_keys() {
            self.trusted()?;
            tracing::debug!(blob = %id, "a blob of a write that was never committed is deleted");
            self.blobs.delete(&id).await?;
            done.orphans += 1;
        }
        for id in unsettled.into_keys() {
            self.trusted()?;
            tracing::info!(blob = %id, "a blob of a write that was cut off is in quarantine");
            done.quarantined += u64::from(self.put_away(&id, Why::CutOff).await?);
        }
        for (id, owner) in doubtful {
            self.trusted()?;
            tracing::warn!(blob = %id, ?owner, "a blob has no record and nothing tells why: it is put into quarantine");
            done.quarantined += u64::from(self.put_away(&id, Why::Unknown).await?);
        }
        if let Some(kept) = self.options.quarantine {
            done.expired = self.blobs.expire_quarantine(kept).await?;
        }
        self.blobs.tidy().await?;
        self.blobs.sync_deletions().await?;
        if is_whole {
            self.catalog.forget_sessions(MAX_KEPT_SESSIONS).await?;
        }
        Ok(done)
    }

    /// False: it was deleted meanwhile.
    async fn put_away(&self, blob: &BlobId, why: Why) -> Result<bool, ReclaimError> {
        match self.blobs.quarantine(blob, why).await {
            Ok(()) => Ok(true),
            Err(BlobError::NotFound(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn judge(
        &self,
        info: &BlobInfo,
        sessions: &mut HashMap<SessionId, SessionState>,
        suspects: &mut HashMap<BlobId, Instant>,
    ) -> Result<Finding, ReclaimError> {
        let BlobInfo { blob, owner, session, .. } = info;
        let state = self.catalog.owner_state(owner, blob.id).await?;
        if matches!(state, OwnerState::Alive | OwnerState::Unreadable) {
            return Ok(Finding::Keep);
        }
        let session = match sessions.get(session) {
            Some(known) => *known,
            None => {
                let known = self.catalog.session_state(*session).await?;
                sessions.insert(*session, known);
                known
            }
        };
        Ok(match session {
            SessionState::Ended(end) => match info.finished.unix_ms().saturating_sub(end.unix_ms()) {
                0 => Finding::Orphan,
                since_ms if since_ms <= UNSETTLED_MS => Finding::Unsettled,
                _ => Finding::Doubtful,
            },
            SessionState::Live => {
                if self.left_behind.lock().contains(&blob.id) {
                    return Ok(Finding::Orphan);
                }
                // Its record may still come, but not for ever.
                let first_met = self.suspects.lock().get(&blob.id).copied().unwrap_or_else(Instant::now);
                if first_met.elapsed() >= self.options.orphan_grace {
                    return Ok(Finding::Orphan);
                }
                if suspects.len() < MAX_ORPHANS {
                    suspects.insert(blob.id, first_met);
                }
                Finding::Keep
            }
            SessionState::Swept(_) | SessionState::Unsure | SessionState::Unknown => match state {
                OwnerState::Dead if self.is_elsewhere(owner).await? => Finding::Orphan,
                _ => Finding::Doubtful,
            },
        })
    }

    /// The record refers to another blob, and that one is there.
    async fn is_elsewhere(&self, owner: &BlobOwner) -> Result<bool, ReclaimError> {
        match self.catalog.content_blob(owner).await? {
            None => Ok(true),
            Some(other) => match self.blobs.open(&other).await {
                Ok(_) => Ok(true),
                Err(BlobError::NotFound(_)) => Ok(false),
                Err(error) => Err(error.into()),
            },
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
        let mut sessions = HashMap::new();
        for first in self.blobs.mostly_dead(self.options.dead_percent_min).await? {
            let mut after = Some(first);
            'segment: loop {
                let page = self.blobs.list(after, PAGE_LEN).await?;
                let Some(last) = page.last() else { break };
                after = Some(last.blob.id);
                for info in &page {
                    if !self.blobs.same_segment(&first, &info.blob.id) {
                        break 'segment;
                    }
                    self.trusted()?;
                    // What has no record is left to the sweep.
                    if self.judge(info, &mut sessions, &mut HashMap::new()).await? != Finding::Keep {
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

#[cfg(test)]
mod tests;
