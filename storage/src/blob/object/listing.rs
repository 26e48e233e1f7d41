//! Blobs by id. A store lists names, and names begin with the shard: what the shards hold is merged. Whose a blob is stands at its
//! object's end, or at the beginning of a pack, so each object costs a request.

use std::cmp::Ordering;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use object_store::path::Path;

use super::format::{Footer, Undecoded};
use super::place::Name;
use super::request::within;
use super::{Shared, place};
use crate::blob::{BlobError, BlobInfo, BlobOwner, BlobRef, StoredLen};
use crate::name::{BlobId, Timestamp};
use crate::session::{
    BlobIds, MAX_PLACE, SessionId, alone_in_shard, in_pack, is_packed, pack_and_place, packed_in_shard,
};

/// Requests of one listing that are under way at once.
const AT_ONCE: usize = 16;
/// Bytes of an object's end that are read for a row: footer and owner, and most trailers.
const END_LEN: u64 = 4096;
/// Names of one shard that are looked at for a page.
const NAMES_PER_SHARD: usize = 1000;

/// Stands for no blob where the store as a whole fails.
const NONE: BlobId = BlobId::from_bytes([0; 16]);

/// An object that is called like a blob or a pack.
pub(super) struct Named {
    pub id: BlobId,
    /// False: tombstones were met, and no pack before them.
    pub is_there: bool,
    object_len: u64,
    written: Timestamp,
    /// Of a pack: where its dead blobs begin, in ascending order, and the tombstones that say so. There may be some without the pack.
    pub dead: Vec<u32>,
    pub tombstones: Vec<Path>,
}

impl Named {
    /// A pack, of which nothing was seen yet.
    pub fn pack(id: BlobId) -> Self {
        let (dead, tombstones) = Default::default();
        Self { id, is_there: false, object_len: 0, written: Timestamp(0), dead, tombstones }
    }

    /// The last id that it may have a row of.
    pub fn last(&self) -> BlobId {
        if is_packed(&self.id) { in_pack(self.id, MAX_PLACE) } else { self.id }
    }
}

impl Shared {
    /// Blobs with ids above `after`, in order of id; of one session those from a number on, if one is given.
    pub(super) async fn list(
        &self,
        mut after: Option<BlobId>,
        session: Option<(SessionId, u64)>,
        limit: usize,
    ) -> Result<Vec<BlobInfo>, BlobError> {
        let limit = limit.min(NAMES_PER_SHARD);
        if limit == 0 {
            return Ok(Vec::new());
        }
        loop {
            let names = self.names(after, session, limit).await?;
            let Some(last) = names.last() else { return Ok(Vec::new()) };
            let next = Some(last.last());
            let mut found = stream::iter(names).map(|named| self.rows(named)).buffered(AT_ONCE);
            let mut rows: Vec<BlobInfo> = Vec::new();
            while rows.len() < limit
                && let Some(more) = found.try_next().await?
            {
                rows.extend(more.into_iter().filter(|row| Some(row.blob.id) > after));
            }
            // A page of damaged objects alone is not the end.
            if !rows.is_empty() {
                rows.truncate(limit);
                return Ok(rows);
            }
            after = next;
        }
    }

    /// The shards in which something lies.
    pub(super) async fn shards(&self) -> Result<Vec<u8>, BlobError> {
        let listed =
            within(self.options.read, NONE, self.store.list_with_delimiter(Some(self.places.root()))).await;
        let folders = match listed {
            Err(BlobError::NotFound(_)) => return Ok(Vec::new()),
            listed => listed?.common_prefixes,
        };
        Ok(folders.iter().filter_map(|folder| self.places.shard_in(folder)).collect())
    }

    async fn names(
        &self,
        after: Option<BlobId>,
        session: Option<(SessionId, u64)>,
        limit: usize,
    ) -> Result<Vec<Named>, BlobError> {
        let shards = self.shards().await?;
        let found = stream::iter(shards).map(|shard| self.names_of(shard, after, session, limit));
        let found: Vec<Vec<Named>> = found.buffer_unordered(AT_ONCE).try_collect().await?;
        let mut names: Vec<Named> = found.into_iter().flatten().collect();
        names.sort_unstable_by_key(|named| named.id);
        names.truncate(limit);
        Ok(names)
    }

    /// The first names of a shard behind `after`, as many as a page may need.
    pub(super) async fn names_of(
        &self,
        shard: u8,
        after: Option<BlobId>,
        session: Option<(SessionId, u64)>,
        limit: usize,
    ) -> Result<Vec<Named>, BlobError> {
        let folder = match session {
            Some((session, _)) => self.places.session(shard, session),
            None => self.places.shard(shard),
        };
        // Ids order by session first: a session's blobs in lower shards are before, those in higher ones are all behind.
        let behind_after = after.map(|after| match shard.cmp(&after.as_bytes()[4]) {
            Ordering::Less => self.places.behind_session(shard, place::session_of(after)),
            Ordering::Equal => self.behind(after),
            Ordering::Greater => self.places.before_session(shard, place::session_of(after)),
        });
        let mut names = Vec::new();
        match session {
            None => self.read_names(&folder, behind_after, |_| Some(true), limit, &mut names).await?,
            Some((session, from)) => {
                // What lies alone first, and from the same number on what is in packs.
                let before = from.checked_sub(1);
                let alone = before.map(|number| self.places.of(alone_in_shard(session, shard, number)));
                let is_alone = |id: &BlobId| {
                    let (_, number) = BlobIds::parse(id)?;
                    (id.as_bytes()[5] == 0).then_some(number >= from)
                };
                let offset = behind_after.clone().max(alone);
                self.read_names(&folder, offset, is_alone, limit, &mut names).await?;
                let before = before.unwrap_or_default();
                let packed = self.places.of(packed_in_shard(session, shard, before, MAX_PLACE));
                let is_packed =
                    |id: &BlobId| Some(BlobIds::parse(id).is_some_and(|(_, number)| number >= from));
                let offset = behind_after.max(Some(packed));
                self.read_names(&folder, offset, is_packed, limit, &mut names).await?;
            }
        }
        names.retain(|named| Some(named.last()) > after);
        Ok(names)
    }

    /// A name behind which the rest of the ids begin: those of a pack begin with the pack itself.
    fn behind(&self, after: BlobId) -> Path {
        match (pack_and_place(&after), BlobIds::parse(&after)) {
            (Some((_, place)), Some((session, number))) if place < MAX_PLACE => {
                let before = number.saturating_sub(1);
                self.places.of(packed_in_shard(session, after.as_bytes()[4], before, MAX_PLACE))
            }
            _ => self.places.of(after),
        }
    }

    /// Adds the names behind `offset` until there are so many. `takes`: is one of them wanted, and `None`: it and all behind are not.
    async fn read_names(
        &self,
        folder: &Path,
        offset: Option<Path>,
        takes: impl Fn(&BlobId) -> Option<bool>,
        limit: usize,
        names: &mut Vec<Named>,
    ) -> Result<(), BlobError> {
        let mut listed = match &offset {
            Some(offset) => self.store.list_with_offset(Some(folder), offset),
            None => self.store.list(Some(folder)),
        };
        loop {
            let next = match within(self.options.read, NONE, listed.try_next()).await {
                Err(BlobError::NotFound(_)) => break,
                next => next?,
            };
            let Some(object) = next else { break };
            let Some(name) = self.places.named(&object.location) else { continue };
            let (Name::Object(id) | Name::Tombstone(id, _)) = name;
            match takes(&id) {
                None => break,
                Some(false) => continue,
                Some(true) => {}
            }
            let is_last = names.last().is_some_and(|last| last.id == id);
            if !is_last && names.len() >= limit {
                break;
            }
            if !is_last {
                names.push(Named::pack(id));
            }
            let Some(named) = names.last_mut() else { break };
            match name {
                Name::Object(_) => {
                    let written = object.last_modified.timestamp_millis().try_into().unwrap_or_default();
                    (named.object_len, named.written) = (object.size, Timestamp(written));
                    named.is_there = true;
                }
                Name::Tombstone(_, places) => {
                    named.dead.extend(places);
                    named.dead.sort_unstable();
                    named.dead.dedup();
                    named.tombstones.push(object.location);
                }
            }
        }
        Ok(())
    }

    /// The blobs of an object; none: it was deleted meanwhile, or is no blob.
    pub(super) async fn rows(&self, named: Named) -> Result<Vec<BlobInfo>, BlobError> {
        if !is_packed(&named.id) {
            return Ok(self.row(named).await?.into_iter().collect());
        }
        if !named.is_there {
            return Ok(Vec::new());
        }
        let index = match self.index_of(named.id).await {
            Err(BlobError::NotFound(_)) => return Ok(Vec::new()),
            Err(error @ BlobError::Corrupt(..)) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a damaged pack stays where it is");
                return Ok(Vec::new());
            }
            index => index?,
        };
        let alive = index.rows.iter().filter(|(footer, _)| {
            pack_and_place(&footer.id).is_some_and(|(_, place)| named.dead.binary_search(&place).is_err())
        });
        Ok(alive.map(|(footer, owner)| info(footer, owner.clone(), named.written)).collect())
    }

    /// `None`: it was deleted meanwhile, or is no blob.
    async fn row(&self, named: Named) -> Result<Option<BlobInfo>, BlobError> {
        let Named { id, object_len, written, .. } = named;
        let mut end_len = END_LEN;
        loop {
            let range = object_len.saturating_sub(end_len)..object_len;
            let end = match self.get(id, range).await {
                Err(BlobError::NotFound(_)) => return Ok(None),
                end => end?,
            };
            match Footer::decode(&end) {
                Ok((footer, owner)) if footer.id == id && footer.object_len() == object_len => {
                    return Ok(Some(info(&footer, owner, written)));
                }
                Err(Undecoded::Longer(len)) if (len as u64) > end_len && end_len < object_len => {
                    end_len = len as u64
                }
                _ => {
                    tracing::error!(blob = %id, "an object is called like a blob and is none: it stays where it is");
                    return Ok(None);
                }
            }
        }
    }
}

fn info(footer: &Footer, owner: BlobOwner, written: Timestamp) -> BlobInfo {
    // The one is of the gateway's clock when it was sent, the other of the store's once it was there.
    let finished = footer.finished.max(written);
    let blob = BlobRef { id: footer.id, stored_len: StoredLen(footer.stored_len) };
    let session = BlobIds::parse(&footer.id).map_or(SessionId(0), |(session, _)| session);
    BlobInfo { blob, owner, finished, session }
}
