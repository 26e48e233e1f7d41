//! Blobs in memory: the test double that passes the same contract as the disk.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;

use super::{
    BlobError, BlobInfo, BlobOwner, BlobReader, BlobRef, BlobStore, BlobTraits, BlobWriter, MAX_READ_LEN,
    SizeHint, StoredLen, StoredRange, Why,
};
use crate::name::{BlobId, Timestamp};
use crate::session::{BlobIds, BlobTicket, SessionId};

/// A blob store that forgets everything when it is dropped. Clones share their blobs.
#[derive(Debug, Clone, Default)]
pub struct MemoryBlobStore {
    shared: Arc<Shared>,
    /// Where several gateways share the store: the ids of the one that has this handle.
    ids: Option<BlobIds>,
}

#[derive(Debug, Default)]
struct Shared {
    blobs: Mutex<BTreeMap<BlobId, Stored>>,
    quarantine: Mutex<BTreeMap<BlobId, (Stored, Why, Timestamp)>>,
    /// A deleted blob is deleted for those who read it, too.
    is_strict: bool,
}

#[derive(Debug, Clone)]
struct Stored {
    owner: BlobOwner,
    content: Bytes,
    trailer: Bytes,
    finished: Timestamp,
}

impl MemoryBlobStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store that deletes a blob for its readers, too, as an object store does.
    pub fn strict() -> Self {
        let shared = Shared { is_strict: true, ..Shared::default() };
        Self { shared: Arc::new(shared), ids: None }
    }

    /// The same store as the gateway of this session has it: its blobs get these ids.
    pub fn of_session(&self, ids: BlobIds) -> Self {
        Self { shared: self.shared.clone(), ids: Some(ids) }
    }

    /// The blobs in quarantine, and why they are there.
    pub fn quarantined(&self) -> Vec<(BlobId, Why)> {
        self.shared.quarantine.lock().iter().map(|(id, (_, why, _))| (*id, *why)).collect()
    }

    fn get(&self, blob: &BlobRef) -> Result<Stored, BlobError> {
        self.shared.blobs.lock().get(&blob.id).cloned().ok_or(BlobError::NotFound(blob.id))
    }

    fn info(id: BlobId, stored: &Stored) -> BlobInfo {
        BlobInfo {
            blob: BlobRef { id, stored_len: StoredLen(stored.content.len() as u64) },
            owner: stored.owner.clone(),
            finished: stored.finished,
            session: BlobIds::parse(&id).map_or(SessionId(0), |(session, _)| session),
        }
    }

    fn settle(&self, blob: &BlobId) {
        if let Some(ids) = &self.ids {
            ids.settle(blob);
        }
    }
}

#[async_trait]
impl BlobStore for MemoryBlobStore {
    async fn create(&self, owner: BlobOwner, _hint: SizeHint) -> Result<Box<dyn BlobWriter>, BlobError> {
        let ticket = self.ids.as_ref().map(|ids| ids.begin(owner.clone()));
        Ok(Box::new(MemoryWriter { store: self.clone(), owner, content: BytesMut::new(), ticket }))
    }

    async fn open(&self, blob: &BlobRef) -> Result<Box<dyn BlobReader>, BlobError> {
        let content = self.get(blob)?.content;
        if content.len() as u64 != blob.stored_len.0 {
            return Err(BlobError::Corrupt(blob.id, "another length than its record says"));
        }
        Ok(Box::new(MemoryReader { shared: self.shared.clone(), blob: *blob, content }))
    }

    async fn read_trailer(&self, blob: &BlobRef) -> Result<Bytes, BlobError> {
        Ok(self.get(blob)?.trailer)
    }

    async fn delete(&self, blob: &BlobId) -> Result<(), BlobError> {
        self.shared.blobs.lock().remove(blob);
        self.settle(blob);
        Ok(())
    }

    async fn list(&self, after: Option<BlobId>, limit: usize) -> Result<Vec<BlobInfo>, BlobError> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let blobs = self.shared.blobs.lock();
        let rows = blobs.range((start, Bound::Unbounded)).take(limit);
        Ok(rows.map(|(&id, stored)| Self::info(id, stored)).collect())
    }

    fn traits(&self) -> BlobTraits {
        BlobTraits { survives_delete: !self.shared.is_strict, by_session: self.ids.is_some() }
    }

    async fn list_session(
        &self,
        session: SessionId,
        from: u64,
        after: Option<BlobId>,
        limit: usize,
    ) -> Result<Vec<BlobInfo>, BlobError> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let blobs = self.shared.blobs.lock();
        let rows = blobs
            .range((start, Bound::Unbounded))
            .filter(|(id, _)| BlobIds::parse(id).is_some_and(|(of, number)| of == session && number >= from));
        Ok(rows.take(limit).map(|(&id, stored)| Self::info(id, stored)).collect())
    }

    async fn quarantine(&self, blob: &BlobId, why: Why) -> Result<(), BlobError> {
        let stored = self.shared.blobs.lock().remove(blob).ok_or(BlobError::NotFound(*blob))?;
        self.shared.quarantine.lock().insert(*blob, (stored, why, Timestamp::now()));
        self.settle(blob);
        Ok(())
    }

    async fn count_quarantined(&self) -> Result<u64, BlobError> {
        Ok(self.shared.quarantine.lock().len() as u64)
    }

    async fn expire_quarantine(&self, kept: Duration) -> Result<u64, BlobError> {
        let before = Timestamp::now().unix_ms().saturating_sub(kept.as_millis() as u64);
        let mut quarantine = self.shared.quarantine.lock();
        let count = quarantine.len();
        quarantine.retain(|_, (_, _, since)| since.unix_ms() >= before);
        Ok((count - quarantine.len()) as u64)
    }
}

struct MemoryWriter {
    store: MemoryBlobStore,
    owner: BlobOwner,
    content: BytesMut,
    ticket: Option<BlobTicket>,
}

#[async_trait]
impl BlobWriter for MemoryWriter {
    async fn write(&mut self, data: Bytes) -> Result<(), BlobError> {
        self.content.extend_from_slice(&data);
        Ok(())
    }

    async fn finish(self: Box<Self>, trailer: Bytes) -> Result<BlobRef, BlobError> {
        let Self { store, owner, content, ticket } = *self;
        super::check_trailer(&trailer)?;
        let id = match &ticket {
            Some(ticket) => ticket.id(),
            None => {
                let mut id = [0; 16];
                getrandom::fill(&mut id).expect("the operating system gives random bytes");
                BlobId::from_bytes(id)
            }
        };
        let blob = BlobRef { id, stored_len: StoredLen(content.len() as u64) };
        let stored = Stored { owner, content: content.freeze(), trailer, finished: Timestamp::now() };
        store.shared.blobs.lock().insert(id, stored);
        if let Some(ticket) = ticket {
            ticket.finished(blob);
        }
        Ok(blob)
    }
}

struct MemoryReader {
    shared: Arc<Shared>,
    blob: BlobRef,
    content: Bytes,
}

#[async_trait]
impl BlobReader for MemoryReader {
    async fn read(&self, range: StoredRange) -> Result<BytesMut, BlobError> {
        super::check_range(self.blob.id, range, self.blob.stored_len.0)?;
        debug_assert!(range.len <= MAX_READ_LEN);
        if self.shared.is_strict && !self.shared.blobs.lock().contains_key(&self.blob.id) {
            return Err(BlobError::NotFound(self.blob.id));
        }
        let start = range.offset as usize;
        Ok(BytesMut::from(&self.content[start..start + range.len]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn keeps_the_contract() {
        let store = MemoryBlobStore::new();
        crate::contract::blob::all(async || Arc::new(store.clone())).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn keeps_the_contract_as_several_gateways_share_it() {
        let store = MemoryBlobStore::strict();
        let open = async || Arc::new(store.of_session(BlobIds::new(SessionId::random())));
        crate::contract::blob::all(open).await;
    }
}
