//! Blobs by id. A store lists names, and names begin with the shard: what the shards hold is merged. Whose a blob is stands at its
//! object's end, so each row costs a request.

use std::cmp::Ordering;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use object_store::ObjectMeta;

use super::format::{Footer, Undecoded};
use super::request::within;
use super::{Shared, place};
use crate::blob::{BlobError, BlobInfo, BlobRef, StoredLen};
use crate::name::{BlobId, Timestamp};
use crate::session::{BlobIds, SessionId};

/// Requests of one listing that are under way at once.
const AT_ONCE: usize = 16;
/// Bytes of an object's end that are read for a row: footer and owner, and most trailers.
const END_LEN: u64 = 4096;
/// Names of one shard that are looked at for a page.
const NAMES_PER_SHARD: usize = 1000;

/// Stands for no blob where the store as a whole fails.
const NONE: BlobId = BlobId::from_bytes([0; 16]);

/// An object that is called like a blob.
struct Named {
    id: BlobId,
    object_len: u64,
    written: Timestamp,
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
            after = Some(last.id);
            let rows = stream::iter(names).map(|named| self.row(named)).buffered(AT_ONCE);
            let rows: Vec<BlobInfo> =
                rows.try_filter_map(|row| std::future::ready(Ok(row))).try_collect().await?;
            // A page of damaged objects alone is not the end.
            if !rows.is_empty() {
                return Ok(rows);
            }
        }
    }

    async fn names(
        &self,
        after: Option<BlobId>,
        session: Option<(SessionId, u64)>,
        limit: usize,
    ) -> Result<Vec<Named>, BlobError> {
        let listed =
            within(self.options.read, NONE, self.store.list_with_delimiter(Some(self.places.root()))).await;
        let folders = match listed {
            Err(BlobError::NotFound(_)) => return Ok(Vec::new()),
            listed => listed?.common_prefixes,
        };
        let shards: Vec<u8> = folders.iter().filter_map(|folder| self.places.shard_in(folder)).collect();
        let found = stream::iter(shards).map(|shard| self.names_of(shard, after, session, limit));
        let found: Vec<Vec<Named>> = found.buffer_unordered(AT_ONCE).try_collect().await?;
        let mut names: Vec<Named> = found.into_iter().flatten().collect();
        names.sort_unstable_by_key(|named| named.id);
        names.truncate(limit);
        Ok(names)
    }

    /// The first names of a shard behind `after`, as many as a page may need.
    async fn names_of(
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
            Ordering::Equal => self.places.of(after),
            Ordering::Greater => self.places.before_session(shard, place::session_of(after)),
        });
        let before_first = session.and_then(|(session, from)| {
            let before = place::id_in_shard(session, shard, from.checked_sub(1)?);
            Some(self.places.of(before))
        });
        let offset = behind_after.max(before_first);
        let mut listed = match &offset {
            Some(offset) => self.store.list_with_offset(Some(&folder), offset),
            None => self.store.list(Some(&folder)),
        };
        let mut names: Vec<Named> = Vec::new();
        while names.len() < limit {
            let next = match within(self.options.read, NONE, listed.try_next()).await {
                Err(BlobError::NotFound(_)) => break,
                next => next?,
            };
            let Some(object) = next else { break };
            let named = self.named(&object).filter(|named| Some(named.id) > after);
            names.extend(named.filter(|named| {
                session.is_none_or(|asked| {
                    BlobIds::parse(&named.id).is_some_and(|of| of.0 == asked.0 && of.1 >= asked.1)
                })
            }));
        }
        Ok(names)
    }

    fn named(&self, object: &ObjectMeta) -> Option<Named> {
        let id = self.places.id_in(&object.location)?;
        let written = Timestamp(object.last_modified.timestamp_millis().try_into().unwrap_or_default());
        Some(Named { id, object_len: object.size, written })
    }

    /// `None`: it was deleted meanwhile, or is no blob.
    async fn row(&self, named: Named) -> Result<Option<BlobInfo>, BlobError> {
        let Named { id, object_len, written } = named;
        let mut end_len = END_LEN;
        loop {
            let range = object_len.saturating_sub(end_len)..object_len;
            let end = match self.get(id, range).await {
                Err(BlobError::NotFound(_)) => return Ok(None),
                end => end?,
            };
            match Footer::decode(&end) {
                Ok((footer, owner)) if footer.id == id && footer.object_len() == object_len => {
                    // The one is of the gateway's clock when it was sent, the other of the store's once it was there.
                    let finished = footer.finished.max(written);
                    let blob = BlobRef { id, stored_len: StoredLen(footer.stored_len) };
                    let session = BlobIds::parse(&id).map_or(SessionId(0), |(session, _)| session);
                    return Ok(Some(BlobInfo { blob, owner, finished, session }));
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
