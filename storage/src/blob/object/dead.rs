//! What is deleted of packs. An object can't be shortened: a small object beside the pack, a *tombstone*, says in its name which of its
//! blobs are dead, for all gateways and after every restart. A pack goes with the last of its blobs.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{Error, PutMode, PutOptions};
use tokio::time::{Instant, timeout_at};

use super::Shared;
use super::listing::Named;
use super::place::{self, Name, PLACES_PER_NAME};
use super::request::{ATTEMPTS, failed, late, pause, within};
use crate::blob::{BlobError, BlobInfo};
use crate::name::BlobId;
use crate::session::{in_pack, is_packed, pack_and_place};

/// What a tombstone holds: some stores take an object without a byte for a folder.
const TOMBSTONE: &[u8] = b"SGdd";
/// Dead blobs that are kept in mind at the most.
const MAX_KEPT: usize = 200_000;
/// Packs that are dealt with at once.
const AT_ONCE: usize = 16;
/// Packs that one look finds mostly dead at the most.
const MAX_MOSTLY_DEAD: usize = 1000;
/// Names of one look at a shard.
const PAGE_LEN: usize = 1000;

/// The blobs of packs that this process has deleted, as far as it is kept in mind: they are not read any more, and the pack goes with
/// the last one. What is forgotten here is found by [`Shared::mostly_dead`].
#[derive(Debug, Default)]
pub(super) struct Dead {
    /// In ascending order.
    places: BTreeMap<BlobId, Vec<u32>>,
    count: usize,
}

impl Dead {
    pub fn has(&self, id: &BlobId) -> bool {
        pack_and_place(id)
            .and_then(|(pack, place)| self.places.get(&pack)?.binary_search(&place).ok())
            .is_some()
    }

    fn of(&self, pack: &BlobId) -> Vec<u32> {
        self.places.get(pack).cloned().unwrap_or_default()
    }

    fn add(&mut self, pack: BlobId, places: &[u32]) {
        let known = self.places.entry(pack).or_default();
        let before = known.len();
        known.extend_from_slice(places);
        known.sort_unstable();
        known.dedup();
        self.count += known.len() - before;
        while self.count > MAX_KEPT
            && let Some((_, forgotten)) = self.places.pop_first()
        {
            self.count -= forgotten.len();
        }
    }

    fn forget(&mut self, pack: &BlobId) {
        self.count -= self.places.remove(pack).map_or(0, |places| places.len());
    }
}

impl Shared {
    /// Deletes these blobs; those that are not there are fine.
    pub(super) async fn delete(&self, ids: &[BlobId]) -> Result<(), BlobError> {
        let (mut alone, mut packs) = (Vec::new(), BTreeMap::<BlobId, Vec<u32>>::new());
        for id in ids {
            match pack_and_place(id) {
                Some((pack, place)) => packs.entry(pack).or_default().push(place),
                None => alone.push(self.places.of(*id)),
            }
        }
        if !alone.is_empty() {
            self.delete_objects(ids[0], alone).await?;
        }
        let buried = stream::iter(packs).map(|(pack, places)| self.bury(pack, places));
        buried.buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        ids.iter().for_each(|id| self.ids.settle(id));
        Ok(())
    }

    /// Deletes what begins at these places of a pack.
    pub(super) async fn bury(&self, pack: BlobId, mut places: Vec<u32>) -> Result<(), BlobError> {
        let index = match self.index_of(pack).await {
            Err(BlobError::NotFound(_)) => return Ok(()),
            index => index?,
        };
        let mut dead = self.dead.read().of(&pack);
        places.sort_unstable();
        places.dedup();
        let is_marked = !dead.is_empty();
        places.retain(|&place| {
            dead.binary_search(&place).is_err() && index.row(in_pack(pack, place)).is_some()
        });
        dead.extend_from_slice(&places);
        if dead.len() == index.rows.len() {
            return self.delete_pack(pack, is_marked).await;
        }
        for places in places.chunks(PLACES_PER_NAME) {
            self.mark(pack, places).await?;
            self.dead.write().add(pack, places);
        }
        // What others deleted of it, or a process before this one, the store alone knows: it is asked behind the mark, so that of
        // several who delete the last ones one sees all; and not each time.
        if !is_marked || dead.len() * 2 >= index.rows.len() {
            let (_, dead) = self.tombstones(pack).await?;
            if dead.len() == index.rows.len() {
                return self.delete_pack(pack, true).await;
            }
            self.dead.write().add(pack, &dead);
        }
        Ok(())
    }

    async fn mark(&self, pack: BlobId, places: &[u32]) -> Result<(), BlobError> {
        let name = self.places.tombstone(pack, places);
        let deadline = Instant::now() + self.options.write;
        for attempt in 1.. {
            let put = self.store.put_opts(
                &name,
                Bytes::from_static(TOMBSTONE).into(),
                PutOptions::from(PutMode::Create),
            );
            match timeout_at(deadline, put).await.map_err(|_| BlobError::Unavailable(late()))? {
                // One says the same as another.
                Ok(_) | Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => break,
                Err(Error::Generic { .. }) if attempt < ATTEMPTS => pause(attempt).await,
                Err(error) => return Err(failed(pack, error)),
            }
        }
        Ok(())
    }

    /// Deletes a whole pack, and then what says that its blobs are dead: the other way round a crash would bring them back.
    async fn delete_pack(&self, pack: BlobId, is_marked: bool) -> Result<(), BlobError> {
        self.delete_objects(pack, vec![self.places.of(pack)]).await?;
        self.indices.lock().retain(|(other, _)| *other != pack);
        if is_marked {
            let (names, _) = self.tombstones(pack).await?;
            if !names.is_empty() {
                self.delete_objects(pack, names).await?;
            }
        }
        self.dead.write().forget(&pack);
        Ok(())
    }

    /// The tombstones of a pack, and what they say is dead, in ascending order.
    pub(super) async fn tombstones(&self, pack: BlobId) -> Result<(Vec<Path>, Vec<u32>), BlobError> {
        let folder = self.places.session(pack.as_bytes()[4], place::session_of(pack));
        let mut listed = self.store.list_with_offset(Some(&folder), &self.places.of(pack));
        let (mut names, mut dead) = (Vec::new(), Vec::new());
        loop {
            let next = match within(self.options.read, pack, listed.try_next()).await {
                Err(BlobError::NotFound(_)) => break,
                next => next?,
            };
            let Some(object) = next else { break };
            match self.places.named(&object.location) {
                Some(Name::Tombstone(of, places)) if of == pack => {
                    names.push(object.location);
                    dead.extend(places);
                }
                _ => break,
            }
        }
        dead.sort_unstable();
        dead.dedup();
        Ok((names, dead))
    }

    /// The blobs of a pack that are alive, in order.
    pub(super) async fn alive_in(&self, pack: BlobId) -> Result<Vec<BlobInfo>, BlobError> {
        let (_, dead) = self.tombstones(pack).await?;
        let mut named = Named::pack(pack);
        (named.is_there, named.dead) = (true, dead);
        self.rows(named).await
    }

    /// The packs of whose bytes at least this many percent are dead. Those that are dead whole are deleted, and tombstones without a
    /// pack, which a crash may leave. It looks at every name in the store, so not at each call.
    pub(super) async fn mostly_dead(&self, percent: u64) -> Result<Vec<BlobId>, BlobError> {
        {
            let mut looked = self.looked.lock();
            if looked.is_some_and(|looked| looked.elapsed() < self.options.compact_interval) {
                return Ok(Vec::new());
            }
            *looked = Some(Instant::now());
        }
        let mut found = Vec::new();
        for shard in self.shards().await? {
            let mut after = None;
            loop {
                let page = self.names_of(shard, after, None, PAGE_LEN).await?;
                let Some(last) = page.last() else { break };
                after = Some(last.last());
                let marked = page.into_iter().filter(|named| is_packed(&named.id) && !named.dead.is_empty());
                let judged = stream::iter(marked).map(|named| self.judge_pack(named, percent));
                let judged: Vec<_> = judged.buffered(AT_ONCE).try_collect().await?;
                found.extend(judged.into_iter().flatten());
                if found.len() >= MAX_MOSTLY_DEAD {
                    // What is left is found when these are gone.
                    *self.looked.lock() = None;
                    return Ok(found);
                }
            }
        }
        Ok(found)
    }

    async fn judge_pack(&self, named: Named, percent: u64) -> Result<Option<BlobId>, BlobError> {
        let pack = named.id;
        // Not by the list alone, which may have begun before the pack was there.
        if !named.is_there && matches!(self.get(pack, 0..1).await, Err(BlobError::NotFound(_))) {
            return self.delete_objects(pack, named.tombstones).await.map(|()| None);
        }
        let index = match self.index_of(pack).await {
            // Deleted meanwhile.
            Err(BlobError::NotFound(_)) => return Ok(None),
            Err(error @ BlobError::Corrupt(..)) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a damaged pack stays where it is");
                return Ok(None);
            }
            index => index?,
        };
        let (mut dead_len, mut len, mut alive) = (0u64, 0u64, 0);
        for (footer, _) in &index.rows {
            let row_len = footer.stored_len.saturating_add(u64::from(footer.trailer_len)).saturating_add(1);
            let is_dead =
                pack_and_place(&footer.id).is_some_and(|(_, place)| named.dead.binary_search(&place).is_ok());
            len = len.saturating_add(row_len);
            dead_len = dead_len.saturating_add(if is_dead { row_len } else { 0 });
            alive += usize::from(!is_dead);
        }
        if alive == 0 {
            return self.delete_pack(pack, true).await.map(|()| None);
        }
        Ok((u128::from(dead_len) * 100 >= u128::from(len) * u128::from(percent)).then_some(pack))
    }
}
