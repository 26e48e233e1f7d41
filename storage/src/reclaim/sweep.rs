//! Blobs without a record: which of them are of writes that were never committed.
//!
//! A blob's session is looked at before its record: of a session that has ended by then no record can come any more, and of one that
//! goes on nothing is judged.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::{
    MAX_DOUBTFUL, MAX_KEPT_SESSIONS, MAX_ORPHANS, PAGE_LEN, ReclaimError, Reclaimed, Reclaimer,
    UNSETTLED_BEHIND_BEAT_MS, UNSETTLED_MS,
};
use crate::blob::{BlobError, BlobInfo, BlobOwner, Why};
use crate::catalog::{Catalog, OwnerState};
use crate::name::BlobId;
use crate::session::{BlobIds, Session, SessionId, SessionState, Stage};

/// What a blob that no record refers to is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finding {
    /// It is needed, or may be.
    Keep,
    /// It is of a write that was never committed, or its record refers to a copy.
    Orphan,
    /// It is of the last moments of a session, behind its last commit: of a write that was cut off, if the catalog is not an older one.
    Unsettled,
    /// Nobody knows why there is no record.
    Doubtful,
}

/// What the catalog knows of sessions, as far as it was asked.
pub(super) type Known = HashMap<SessionId, (SessionState, u64)>;

/// What a sweep found.
#[derive(Default)]
struct Found {
    orphans: HashMap<BlobId, BlobOwner>,
    unsettled: HashMap<BlobId, BlobOwner>,
    doubtful: HashMap<BlobId, BlobOwner>,
}

impl Found {
    fn add(&mut self, finding: Finding, info: BlobInfo) {
        let place = match finding {
            Finding::Keep => return,
            Finding::Orphan => &mut self.orphans,
            Finding::Unsettled => &mut self.unsettled,
            Finding::Doubtful => &mut self.doubtful,
        };
        // Doubtful ones are counted after each page.
        if finding == Finding::Doubtful || place.len() < MAX_ORPHANS {
            place.insert(info.blob.id, info.owner);
        }
    }

    async fn refuse_many_doubtful(&mut self, catalog: &Catalog) -> Result<(), ReclaimError> {
        if self.doubtful.len() > MAX_DOUBTFUL {
            catalog.without_displaced(&mut self.doubtful).await?;
            if self.doubtful.len() > MAX_DOUBTFUL {
                return Err(ReclaimError::Doubtful);
            }
        }
        Ok(())
    }

    /// Was everything kept that was found?
    fn is_whole(&self) -> bool {
        self.orphans.len().max(self.unsettled.len()) < MAX_ORPHANS
    }
}

impl Reclaimer {
    /// Looks for blobs without a record: where ids tell their session, among what ended sessions had not settled; elsewhere among all, as
    /// [`Reclaimer::sweep_all`] does. Of gateways that share the records, one does it.
    pub async fn sweep(&self) -> Result<Reclaimed, ReclaimError> {
        if !self.blobs.traits().by_session {
            return self.sweep_all().await;
        }
        let mut done = self.settle_own(self.options.orphan_grace).await?;
        let swept = self.sweep_ended().await?;
        done.orphans += swept.orphans;
        Ok(Reclaimed { orphans: done.orphans, ..swept })
    }

    /// Looks at what sessions that have ended had not settled.
    async fn sweep_ended(&self) -> Result<Reclaimed, ReclaimError> {
        let mut done = Reclaimed::default();
        let Some(lease) = self.catalog.lease("sweep").await? else { return Ok(done) };
        let catalog = lease.catalog();
        catalog.barrier().await?;
        self.trusted()?;
        let mut outcome = Ok(());
        for session in catalog.sessions().await? {
            if !matches!(session.state, SessionState::Ended(_)) {
                continue;
            }
            match self.sweep_session(catalog, &session, &mut done).await {
                Ok(true) => {
                    self.blobs.sync_deletions().await?;
                    catalog.set_swept(&session).await?;
                }
                Ok(false) => {}
                // The others are looked at all the same.
                Err(ReclaimError::Doubtful) => outcome = Err(ReclaimError::Doubtful),
                Err(error) => return Err(error),
            }
        }
        outcome?;
        self.clean_up(&mut done).await?;
        catalog.forget_sessions(MAX_KEPT_SESSIONS).await?;
        Ok(done)
    }

    /// What a sweep would do that does not wait for the end of a session.
    #[cfg(test)]
    pub(super) async fn sweep_as_if_ended(&self, session: Session) -> Result<Reclaimed, ReclaimError> {
        let mut done = Reclaimed::default();
        let ended = Session { state: SessionState::Ended(crate::name::Timestamp::now()), ..session };
        self.sweep_session(&self.catalog, &ended, &mut done).await?;
        Ok(done)
    }

    /// True: nothing of the session is left to be dealt with.
    async fn sweep_session(
        &self,
        catalog: &Catalog,
        session: &Session,
        done: &mut Reclaimed,
    ) -> Result<bool, ReclaimError> {
        let from = session.beat.as_ref().map_or(0, |beat| beat.settled);
        let mut known = Known::from([(session.id, (session.state, from))]);
        let mut found = Found::default();
        let mut after = None;
        loop {
            let page = self.blobs.list_session(session.id, from, after, PAGE_LEN).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.blob.id);
            for info in page {
                done.looked_at += 1;
                found.add(self.judge(&info, &mut known, &mut HashMap::new()).await?, info);
            }
            found.refuse_many_doubtful(catalog).await?;
        }
        self.act(catalog, found, done).await
    }

    /// Looks at every blob for those without a record, after all records were compared with what was committed. Of gateways that share
    /// the records, one does it.
    pub async fn sweep_all(&self) -> Result<Reclaimed, ReclaimError> {
        let mut done = Reclaimed::default();
        let Some(lease) = self.catalog.lease("sweep").await? else { return Ok(done) };
        let catalog = lease.catalog();
        catalog.barrier().await?;
        catalog.verify().await?;
        let (mut found, mut suspects, mut known) = (Found::default(), HashMap::new(), Known::new());
        let mut after = None;
        loop {
            let page = self.blobs.list(after, PAGE_LEN).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.blob.id);
            for info in page {
                done.looked_at += 1;
                found.add(self.judge(&info, &mut known, &mut suspects).await?, info);
            }
            found.refuse_many_doubtful(catalog).await?;
        }
        *self.suspects.lock() = suspects;
        let is_whole = self.act(catalog, found, &mut done).await?;
        self.clean_up(&mut done).await?;
        if is_whole {
            catalog.forget_sessions(MAX_KEPT_SESSIONS).await?;
        }
        Ok(done)
    }

    async fn clean_up(&self, done: &mut Reclaimed) -> Result<(), ReclaimError> {
        if let Some(kept) = self.options.quarantine {
            done.expired += self.blobs.expire_quarantine(kept).await?;
        }
        self.blobs.tidy().await?;
        Ok(self.blobs.sync_deletions().await?)
    }

    /// Deletes orphans and puts away what is not certain; true if that was everything.
    async fn act(
        &self,
        catalog: &Catalog,
        mut found: Found,
        done: &mut Reclaimed,
    ) -> Result<bool, ReclaimError> {
        for blobs in [&mut found.orphans, &mut found.unsettled, &mut found.doubtful] {
            catalog.without_displaced(blobs).await?;
        }
        let is_whole = found.is_whole();
        for id in found.orphans.into_keys() {
            self.trusted()?;
            tracing::debug!(blob = %id, "a blob of a write that was never committed is deleted");
            self.blobs.delete(&id).await?;
            done.orphans += 1;
        }
        for id in found.unsettled.into_keys() {
            self.trusted()?;
            tracing::info!(blob = %id, "a blob of a write that was cut off is in quarantine");
            done.quarantined += u64::from(self.put_away(&id, Why::CutOff).await?);
        }
        for (id, owner) in found.doubtful {
            self.trusted()?;
            tracing::warn!(blob = %id, ?owner, "a blob has no record and nothing tells why: it is put into quarantine");
            done.quarantined += u64::from(self.put_away(&id, Why::Unknown).await?);
        }
        Ok(is_whole)
    }

    /// Finds out what became of this session's blobs of which it does not know: those whose commit had an unknown outcome, or whose
    /// request was dropped before it. Once the session has ended, `age` may be nothing: no record can come any more.
    pub async fn settle_own(&self, age: Duration) -> Result<Reclaimed, ReclaimError> {
        let mut done = Reclaimed::default();
        let Some(ids) = self.catalog.own().and_then(|own| own.ids.as_ref()) else { return Ok(done) };
        let has_ended = *self.catalog.session_ended().borrow();
        let oldest = self.catalog.in_flight().oldest().filter(|_| !has_ended);
        let mut lost = HashMap::new();
        for open in ids.open_for(age) {
            // What made it may be running still.
            if oldest.is_some_and(|oldest| oldest <= open.since) {
                continue;
            }
            if open.stage == Stage::Abandoned {
                self.blobs.delete(&open.id).await?;
                ids.settle(&open.id);
                continue;
            }
            match self.catalog.recorded_state(&open.owner, open.id).await? {
                OwnerState::Alive => ids.settle(&open.id),
                OwnerState::Unreadable => {}
                OwnerState::Dead | OwnerState::Unknown => drop(lost.insert(open.id, open.owner)),
            }
        }
        let judged: Vec<BlobId> = lost.keys().copied().collect();
        // Committed, and displaced already.
        self.catalog.without_displaced(&mut lost).await?;
        for id in judged {
            if lost.contains_key(&id) {
                self.blobs.delete(&id).await?;
                done.orphans += 1;
            }
            ids.settle(&id);
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

    pub(super) async fn judge(
        &self,
        info: &BlobInfo,
        known: &mut Known,
        suspects: &mut HashMap<BlobId, Instant>,
    ) -> Result<Finding, ReclaimError> {
        let BlobInfo { blob, owner, session, .. } = info;
        let number = match self.blobs.traits().by_session {
            true => BlobIds::parse(&blob.id).map(|(_, number)| number),
            false => None,
        };
        let (session, settled) = match known.get(session) {
            Some(known) => *known,
            None => {
                let found = self.catalog.session_and_settled(*session).await?;
                known.insert(*session, found);
                found
            }
        };
        // What is pinned here is kept, but for what no record can name any more.
        let state = match (session, number) {
            (SessionState::Ended(_), Some(_)) => self.catalog.recorded_state(owner, blob.id).await?,
            _ => self.catalog.owner_state(owner, blob.id).await?,
        };
        if matches!(state, OwnerState::Alive | OwnerState::Unreadable) {
            return Ok(Finding::Keep);
        }
        let unsettled_ms = if number.is_some() { UNSETTLED_BEHIND_BEAT_MS } else { UNSETTLED_MS };
        Ok(match session {
            // It was committed, displaced or deleted once.
            SessionState::Ended(_) if number.is_some_and(|number| number < settled) => Finding::Doubtful,
            SessionState::Ended(end) => match info.finished.unix_ms().saturating_sub(end.unix_ms()) {
                0 => Finding::Orphan,
                since_ms if since_ms <= unsettled_ms => Finding::Unsettled,
                _ => Finding::Doubtful,
            },
            SessionState::Live if number.is_some() => Finding::Keep,
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
                OwnerState::Dead if number.is_none() && self.is_elsewhere(owner).await? => Finding::Orphan,
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
}
