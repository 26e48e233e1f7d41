//! Blobs in memory: the test double that passes the same contract as the disk.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;

use super::{
    BlobError, BlobInfo, BlobOwner, BlobReader, BlobRef, BlobStore, BlobWriter, MAX_READ_LEN, SizeHint,
    StoredLen, StoredRange,
};
use crate::name::{BlobId, Timestamp};
use crate::session::SessionId;

/// A blob store that forgets everything when it is dropped. Clones share their blobs.
#[derive(Debug, Clone, Default)]
pub struct MemoryBlobStore {
    blobs: Arc<Mutex<BTreeMap<BlobId, Stored>>>,
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

    fn get(&self, blob: &BlobRef) -> Result<Stored, BlobError> {
        self.blobs.lock().get(&blob.id).cloned().ok_or(BlobError::NotFound(blob.id))
    }
}

#[async_trait]
impl BlobStore for MemoryBlobStore {
    async fn create(&self, owner: BlobOwner, _hint: SizeHint) -> Result<Box<dyn BlobWriter>, BlobError> {
        Ok(Box::new(MemoryWriter { store: self.clone(), owner, content: BytesMut::new() }))
    }

    async fn open(&self, blob: &BlobRef) -> Result<Box<dyn BlobReader>, BlobError> {
        let content = self.get(blob)?.content;
        if content.len() as u64 != blob.stored_len.0 {
            return Err(BlobError::Corrupt(blob.id, "another length than its record says"));
        }
        Ok(Box::new(MemoryReader { id: blob.id, content }))
    }

    async fn read_trailer(&self, blob: &BlobRef) -> Result<Bytes, BlobError> {
        Ok(self.get(blob)?.trailer)
    }

    async fn delete(&self, blob: &BlobId) -> Result<(), BlobError> {
        self.blobs.lock().remove(blob);
        Ok(())
    }

    async fn list(&self, after: Option<BlobId>, limit: usize) -> Result<Vec<BlobInfo>, BlobError> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let blobs = self.blobs.lock();
        let rows = blobs.range((start, Bound::Unbounded)).take(limit).map(|(&id, stored)| BlobInfo {
            blob: BlobRef { id, stored_len: StoredLen(stored.content.len() as u64) },
            owner: stored.owner.clone(),
            finished: stored.finished,
            session: SessionId(0),
        });
        Ok(rows.collect())
    }
}

struct MemoryWriter {
    store: MemoryBlobStore,
    owner: BlobOwner,
    content: BytesMut,
}

#[async_trait]
impl BlobWriter for MemoryWriter {
    async fn write(&mut self, data: Bytes) -> Result<(), BlobError> {
        self.content.extend_from_slice(&data);
        Ok(())
    }

    async fn finish(self: Box<Self>, trailer: Bytes) -> Result<BlobRef, BlobError> {
        let Self { store, owner, content } = *self;
        super::check_trailer(&trailer)?;
        let mut id = [0; 16];
        getrandom::fill(&mut id).expect("the operating system gives random bytes");
        let id = BlobId::from_bytes(id);
        let stored_len = StoredLen(content.len() as u64);
        let stored = Stored { owner, content: content.freeze(), trailer, finished: Timestamp::now() };
        store.blobs.lock().insert(id, stored);
        Ok(BlobRef { id, stored_len })
    }
}

struct MemoryReader {
    id: BlobId,
    content: Bytes,
}

#[async_trait]
impl BlobReader for MemoryReader {
    async fn read(&self, range: StoredRange) -> Result<BytesMut, BlobError> {
        super::check_range(self.id, range, self.content.len() as u64)?;
        debug_assert!(range.len <= MAX_READ_LEN);
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
}
