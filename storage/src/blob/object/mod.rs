//! Blobs in an object store (S3 and what speaks like it): an object each, or together in one, a pack, if they are small and come at one
//! time. Nothing is ever overwritten, and no object of one session is written by another, but for what says that blobs of it are dead.
//!
//! What an open reader has not read yet is gone when its blob is deleted: whoever deletes sees to it that nobody reads.

mod budget;
mod dead;
mod format;
mod listing;
mod pack;
mod packer;
mod place;
mod quarantine;
mod reader;
mod request;
mod writer;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest};
use object_store::ObjectStore;
use object_store::path::Path;
use parking_lot::{Mutex, RwLock};
use tokio::time::Instant;

use self::budget::Budget;
use self::dead::Dead;
use self::format::{Footer, MAX_TAIL_LEN};
use self::pack::Index;
use self::packer::Packer;
use self::place::Places;
use self::reader::ObjectReader;
use self::writer::ObjectWriter;
use super::{
    BlobError, BlobInfo, BlobOwner, BlobReader, BlobRef, BlobStore, BlobTraits, BlobWriter, MAX_READ_LEN,
    SizeHint, StoredRange, Why,
};
use crate::name::BlobId;
use crate::session::{BlobIds, SessionId, is_packed, pack_and_place};

/// Bytes of a pack's beginning that are read at first: head and index, mostly.
const INDEX_READ_LEN: usize = 16 << 10;
/// Indices of packs that are kept in memory at the most.
const MAX_INDICES: usize = 16;

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
    /// Content up to so many bytes goes into one object with what comes at the same time; 0: none does. At most [`MAX_READ_LEN`].
    pub pack_len: usize,
    /// How long small content waits for other small content that is on its way.
    pub pack_window: Duration,
    /// How long after one look for packs that are mostly dead the next one is due: it lists all names.
    pub compact_interval: Duration,
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
            pack_len: 0,
            pack_window: Duration::from_millis(10),
            compact_interval: Duration::from_secs(3600),
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
    packer: Packer,
    dead: RwLock<Dead>,
    /// The indices of packs that were read last.
    indices: Mutex<VecDeque<(BlobId, Arc<Index>)>>,
    /// When packs were looked at last.
    looked: Mutex<Option<Instant>>,
}

impl ObjectBlobStore {
    /// A store whose objects are called `prefix/…`, as the session of `ids` has it; nothing is asked of it yet.
    pub fn new(store: Arc<dyn ObjectStore>, prefix: Path, ids: BlobIds, options: ObjectOptions) -> Self {
        let budget = Budget::new(options.buffer_len, options.wait);
        let (places, packer) = (Places::new(prefix), Packer::default());
        let options = ObjectOptions { pack_len: options.pack_len.min(MAX_READ_LEN), ..options };
        let (dead, indices, looked) = Default::default();
        let shared = Shared { store, places, options, budget, ids, packer, dead, indices, looked };
        Self { shared: Arc::new(shared) }
    }
}

impl ObjectBlobStore {
    /// Compares every byte of a blob with the checksums it was stored with; it takes no key.
    pub async fn verify(&self, blob: &BlobRef) -> Result<(), BlobError> {
        let (footer, _) = self.shared.described(blob).await?;
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
    /// What was said of a blob when it was written, and its trailer.
    async fn described(&self, blob: &BlobRef) -> Result<(Footer, Bytes), BlobError> {
        let id = blob.id;
        let corrupt = |why| BlobError::Corrupt(id, why);
        let Some((pack, _)) = pack_and_place(&id) else {
            let (footer, end) = self.tail(blob).await?;
            let trailer = footer.trailer(&end).map_err(corrupt)?;
            return Ok((footer, trailer));
        };
        if self.dead.read().has(&id) {
            return Err(BlobError::NotFound(id));
        }
        let index = self.index_of(pack).await.map_err(|error| match error {
            BlobError::NotFound(_) => BlobError::NotFound(id),
            error => error,
        })?;
        let Some((footer, _)) = index.row(id) else { return Err(BlobError::NotFound(id)) };
        if footer.stored_len != blob.stored_len.0 {
            return Err(corrupt("another length than its record says"));
        }
        let behind = footer.stored_len..footer.stored_len.saturating_add(u64::from(footer.trailer_len));
        // With the byte behind it: a trailer without one says nothing of whether the pack is there.
        let mut trailer = self.get(id, behind.start..behind.end + 1).await?;
        trailer.truncate(footer.trailer_len as usize);
        Ok((footer.clone(), footer.checked(trailer).map_err(corrupt)?))
    }

    /// What is in a pack.
    async fn index_of(&self, pack: BlobId) -> Result<Arc<Index>, BlobError> {
        if let Some((_, index)) = self.indices.lock().iter().find(|(of, _)| *of == pack) {
            return Ok(index.clone());
        }
        let mut len = INDEX_READ_LEN;
        let index = loop {
            let begin = self.get(pack, 0..len as u64).await?;
            match Index::decode(pack, &begin) {
                Ok((index, _)) => break Arc::new(index),
                Err(pack::Undecoded::Longer(more)) if more > len => len = more,
                Err(pack::Undecoded::Longer(_)) => {
                    return Err(BlobError::Corrupt(pack, "it is shorter than its head says"));
                }
                Err(pack::Undecoded::Damaged(why)) => return Err(BlobError::Corrupt(pack, why)),
            }
        };
        let mut indices = self.indices.lock();
        indices.push_front((pack, index.clone()));
        indices.truncate(MAX_INDICES);
        Ok(index)
    }

    /// What lies behind a blob's content, by one request.
    async fn tail(&self, blob: &BlobRef) -> Result<(Footer, Bytes), BlobError> {
        let id = blob.id;
        let end = self.read_end(id, blob.stored_len.0).await?;
        let (footer, _) = match Footer::decode(&end) {
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
        Ok((footer, end))
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
    async fn create(&self, owner: BlobOwner, hint: SizeHint) -> Result<Box<dyn BlobWriter>, BlobError> {
        self.shared.ids.check()?;
        Ok(Box::new(ObjectWriter::new(self.shared.clone(), owner, hint)))
    }

    /// Asks nothing: that the blob is not there is told by the first read. What another gateway deleted of a pack is read until the pack
    /// goes.
    async fn open(&self, blob: &BlobRef) -> Result<Box<dyn BlobReader>, BlobError> {
        if is_packed(&blob.id) && self.shared.dead.read().has(&blob.id) {
            return Err(BlobError::NotFound(blob.id));
        }
        Ok(Box::new(ObjectReader::new(self.shared.clone(), *blob)))
    }

    async fn read_trailer(&self, blob: &BlobRef) -> Result<Bytes, BlobError> {
        Ok(self.shared.described(blob).await?.1)
    }

    async fn delete(&self, blob: &BlobId) -> Result<(), BlobError> {
        self.shared.delete(&[*blob]).await
    }

    async fn list(&self, after: Option<BlobId>, limit: usize) -> Result<Vec<BlobInfo>, BlobError> {
        self.shared.list(after, None, limit).await
    }

    fn traits(&self) -> BlobTraits {
        BlobTraits { survives_delete: false, by_session: true }
    }

    async fn delete_many(&self, blobs: &[BlobId]) -> Result<(), BlobError> {
        self.shared.delete(blobs).await
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

    async fn count_quarantined(&self) -> Result<u64, BlobError> {
        Ok(self.shared.put_away().await?.len() as u64)
    }

    async fn expire_quarantine(&self, kept: Duration) -> Result<u64, BlobError> {
        self.shared.expire_quarantine(kept).await
    }

    async fn mostly_dead(&self, dead_percent_min: u64) -> Result<Vec<BlobId>, BlobError> {
        self.shared.mostly_dead(dead_percent_min).await
    }

    async fn list_segment(
        &self,
        first: &BlobId,
        after: Option<BlobId>,
        limit: usize,
    ) -> Result<Vec<BlobInfo>, BlobError> {
        let mut rows = self.shared.alive_in(*first).await?;
        rows.retain(|row| Some(row.blob.id) > after);
        rows.truncate(limit);
        Ok(rows)
    }
}
