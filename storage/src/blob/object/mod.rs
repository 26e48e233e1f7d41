//! Blobs in an object store (S3 and what speaks like it): an object each. Nothing is ever overwritten, and no object of one session is
//! written by another.
//!
//! What an open reader has not read yet is gone when its blob is deleted: whoever deletes sees to it that nobody reads.

mod budget;
mod format;
mod listing;
mod place;
mod quarantine;
mod reader;
mod request;
mod writer;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest};
use object_store::ObjectStore;
use object_store::path::Path;

use self::budget::Budget;
use self::format::{Footer, MAX_TAIL_LEN};
use self::place::Places;
use self::reader::ObjectReader;
use self::writer::ObjectWriter;
use super::{
    BlobError, BlobInfo, BlobOwner, BlobReader, BlobRef, BlobStore, BlobTraits, BlobWriter, SizeHint,
    StoredRange, Why,
};
use crate::name::BlobId;
use crate::session::{BlobIds, SessionId};

/// Bytes of one read of a blob that is verified.
const VERIFY_LEN: u64 = 1 << 20;

/// How blobs lie in an object store, and how long it may take to answer.
#[derive(Debug, Clone, Copy)]
pub struct ObjectOptions {
    /// The longest content that is sent by one request, in bytes; it is held in memory until it is there whole.
    pub single_len: usize,
    /// Bytes of each part of longer content; at least 5 MiB, as S3 wants it.
    pub part_len: usize,
    /// Parts of one blob that are sent at once.
    pub parts_in_flight: usize,
    /// What all blobs that are being written hold in memory at the most, in bytes. A writer that finds no room waits for `wait`.
    pub buffer_len: usize,
    /// How long a writer waits for memory.
    pub wait: Duration,
    /// How long a request that reads may take to answer, and then each of its next bytes.
    pub read: Duration,
    /// How long a request that writes may take, its repetitions included.
    pub write: Duration,
    /// The store keeps small objects together by itself.
    pub packs_small: bool,
}

impl Default for ObjectOptions {
    fn default() -> Self {
        Self {
            single_len: 8 << 20,
            part_len: 16 << 20,
            parts_in_flight: 3,
            buffer_len: 512 << 20,
            wait: Duration::from_secs(10),
            read: Duration::from_secs(20),
            write: Duration::from_secs(30),
            packs_small: false,
        }
    }
}

/// A blob store over an object store. Clones share it.
#[derive(Clone)]
pub struct ObjectBlobStore {
    shared: Arc<Shared>,
}

/// What the store's readers and writers share.
struct Shared {
    store: Arc<dyn ObjectStore>,
    places: Places,
    options: ObjectOptions,
    budget: Budget,
    /// The ids of new blobs.
    ids: BlobIds,
}

impl ObjectBlobStore {
    /// A store whose objects are called `prefix/…`, as the session of `ids` has it; nothing is asked of it yet.
    pub fn new(store: Arc<dyn ObjectStore>, prefix: Path, ids: BlobIds, options: ObjectOptions) -> Self {
        let budget = Budget::new(options.buffer_len, options.wait);
        let places = Places::new(prefix);
        Self { shared: Arc::new(Shared { store, places, options, budget, ids }) }
    }

    /// Begins a blob that gets this id: one that comes from another store. Finished twice with the same content it is one blob.
    pub fn import(&self, id: BlobId, owner: BlobOwner) -> Box<dyn BlobWriter> {
        Box::new(ObjectWriter::import(self.shared.clone(), owner, id))
    }

    /// Does this blob lie here, whole, and is it its owner's?
    pub async fn is_imported(&self, blob: &BlobRef, owner: &BlobOwner) -> Result<bool, BlobError> {
        match self.shared.tail(blob).await {
            Ok((footer, _, of)) => Ok(footer.stored_len == blob.stored_len.0 && of == *owner),
            Err(BlobError::NotFound(_) | BlobError::Corrupt(..)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl ObjectBlobStore {
    /// Compares every byte of a blob with the checksums it was stored with; it takes no key.
    pub async fn verify(&self, blob: &BlobRef) -> Result<(), BlobError> {
        let (footer, end, _) = self.shared.tail(blob).await?;
        footer.trailer(&end).map_err(|why| BlobError::Corrupt(blob.id, why))?;
        let (reader, mut crc, mut offset) =
            (self.open(blob).await?, Digest::new(CrcAlgorithm::Crc32Iscsi), 0);
        reader.will_read(0..footer.stored_len).await;
        while offset < footer.stored_len {
            let len = (footer.stored_len - offset).min(VERIFY_LEN) as usize;
            crc.update(&reader.read(StoredRange { offset, len }).await?);
            offset += len as u64;
        }
        match crc.finalize() as u32 == footer.content_crc {
            true => Ok(()),
            false => Err(BlobError::Corrupt(blob.id, "the checksum of its content is wrong")),
        }
    }
}

impl Shared {
    /// What lies behind a blob's content, by one request.
    async fn tail(&self, blob: &BlobRef) -> Result<(Footer, Bytes, BlobOwner), BlobError> {
        let id = blob.id;
        let end = self.read_end(id, blob.stored_len.0).await?;
        let (footer, owner) = match Footer::decode(&end) {
            Ok(decoded) => decoded,
            Err(format::Undecoded::Damaged(why)) => return Err(BlobError::Corrupt(id, why)),
            Err(format::Undecoded::Longer(_)) => {
                return Err(BlobError::Corrupt(id, "it is shorter than its record says"));
            }
        };
        if footer.id != id {
            return Err(BlobError::Corrupt(id, "it is another blob"));
        }
        if footer.stored_len != blob.stored_len.0
            || footer.object_len() != footer.stored_len + end.len() as u64
        {
            return Err(BlobError::Corrupt(id, "another length than its record says"));
        }
        Ok((footer, end, owner))
    }

    /// The bytes from here to the end of the blob's object, at most [`MAX_TAIL_LEN`].
    async fn read_end(&self, id: BlobId, from: u64) -> Result<Bytes, BlobError> {
        let range = from..from.saturating_add(MAX_TAIL_LEN as u64 + 1);
        let end = self.get(id, range).await?;
        if end.len() > MAX_TAIL_LEN {
            return Err(BlobError::Corrupt(id, "it is longer than its record says"));
        }
        Ok(end)
    }
}

#[async_trait]
impl BlobStore for ObjectBlobStore {
    async fn create(&self, owner: BlobOwner, _hint: SizeHint) -> Result<Box<dyn BlobWriter>, BlobError> {
        Ok(Box::new(ObjectWriter::new(self.shared.clone(), owner)))
    }

    /// Asks nothing: that the blob is not there is told by the first read.
    async fn open(&self, blob: &BlobRef) -> Result<Box<dyn BlobReader>, BlobError> {
        Ok(Box::new(ObjectReader::new(self.shared.clone(), *blob)))
    }

    async fn read_trailer(&self, blob: &BlobRef) -> Result<Bytes, BlobError> {
        let (footer, end, _) = self.shared.tail(blob).await?;
        footer.trailer(&end).map_err(|why| BlobError::Corrupt(blob.id, why))
    }

    async fn delete(&self, blob: &BlobId) -> Result<(), BlobError> {
        self.shared.delete(vec![*blob]).await
    }

    async fn list(&self, after: Option<BlobId>, limit: usize) -> Result<Vec<BlobInfo>, BlobError> {
        self.shared.list(after, None, limit).await
    }

    fn traits(&self) -> BlobTraits {
        BlobTraits { survives_delete: false, packs_small: self.shared.options.packs_small, by_session: true }
    }

    async fn delete_many(&self, blobs: &[BlobId]) -> Result<(), BlobError> {
        self.shared.delete(blobs.to_vec()).await
    }

    async fn list_session(
        &self,
        session: SessionId,
        from: u64,
        after: Option<BlobId>,
        limit: usize,
    ) -> Result<Vec<BlobInfo>, BlobError> {
        self.shared.list(after, Some((session, from)), limit).await
    }

    async fn quarantine(&self, blob: &BlobId, why: Why) -> Result<(), BlobError> {
        self.shared.quarantine(*blob, why).await
    }

    async fn expire_quarantine(&self, kept: Duration) -> Result<u64, BlobError> {
        self.shared.expire_quarantine(kept).await
    }
}
