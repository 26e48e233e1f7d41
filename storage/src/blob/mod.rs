//! Immutable byte strings with an owner and a trailer.

use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::name::{BlobId, BucketId, ObjectKey, PartNumber, Timestamp, VersionId};
use crate::session::SessionId;

pub mod fs;
pub mod memory;
pub mod object;
mod owner;

/// The longest trailer, in bytes.
pub const MAX_TRAILER_LEN: usize = 256 << 10;

/// A byte offset or count within stored (sealed) bytes; never to be mixed with plain ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct StoredLen(pub u64);

/// A range of a blob's stored bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredRange {
    /// The first byte.
    pub offset: u64,
    /// How many bytes; at most [`MAX_READ_LEN`].
    pub len: usize,
}

/// The most that one read returns, in bytes.
pub const MAX_READ_LEN: usize = 2 << 20;

/// What a caller knows of a blob's length before it writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SizeHint {
    /// Exactly this many stored bytes (trailer not counted).
    Exact(u64),
    /// Nothing is known.
    Unknown,
}

/// Which record a blob belongs to. Stored in the clear beside the blob: it says whether the blob is still alive,
/// and where to mend the record when the blob moves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum BlobOwner {
    /// The content of an object version, or of one part of it; `version` is the version that the content was sealed for.
    Content {
        /// The bucket.
        bucket: BucketId,
        /// The object.
        object: ObjectKey,
        /// The version whose content this is.
        version: VersionId,
        /// The part, for multipart content.
        part: Option<PartNumber>,
    },
    /// A blob with no content: its trailer alone records a change that no content blob records
    /// (a bucket, an upload, a completed upload, metadata changed in place). `subject` names the catalog key it speaks of.
    Journal {
        /// The catalog key of the record that the trailer restores.
        subject: Bytes,
    },
}

/// A stored blob: its address and its length without the trailer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobRef {
    /// The address.
    pub id: BlobId,
    /// Stored bytes, trailer not counted.
    pub stored_len: StoredLen,
}

/// One row of a listing of blobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobInfo {
    /// Address and length.
    pub blob: BlobRef,
    /// The record it belongs to.
    pub owner: BlobOwner,
    /// When it was finished, by the system clock.
    pub finished: Timestamp,
    /// The session that made it.
    pub session: SessionId,
}

/// What a caller can do about a failed call.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// No such blob: it was deleted or moved. Read its record again.
    #[error("blob {0} does not exist")]
    NotFound(BlobId),
    /// The medium can't serve now (disk full, I/O error, shutting down). Of a store elsewhere the error's kind is `TimedOut` or
    /// `HostUnreachable`: it is slow, or not there.
    #[error("the blob store is unavailable")]
    Unavailable(#[source] std::io::Error),
    /// What is stored isn't what was written.
    #[error("blob {0} is corrupt: {1}")]
    Corrupt(BlobId, &'static str),
}

/// Why a blob is in quarantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Its write was cut off, as it seems: it is of the last moments of a session.
    CutOff,
    /// Nobody knows.
    Unknown,
}

/// What stores differ in, as far as their callers have to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobTraits {
    /// An open reader goes on when its blob is deleted or moved.
    pub survives_delete: bool,
    /// Ids are made by [`crate::session::BlobIds`]: they tell the session and a number in it, and [`BlobStore::list_session`] looks at
    /// that session alone.
    pub by_session: bool,
}

/// Immutable byte strings: invisible until `finish`, durable after it. Dropping a writer abandons the blob.
#[async_trait]
pub trait BlobStore: Send + Sync + 'static {
    /// Begins a blob.
    async fn create(&self, owner: BlobOwner, hint: SizeHint) -> Result<Box<dyn BlobWriter>, BlobError>;

    /// Opens a blob. Where [`BlobTraits::survives_delete`], the reader goes on working when the blob is deleted or moved while it is
    /// read; elsewhere a read of a deleted blob is [`BlobError::NotFound`].
    async fn open(&self, blob: &BlobRef) -> Result<Box<dyn BlobReader>, BlobError>;

    /// The blob's trailer.
    async fn read_trailer(&self, blob: &BlobRef) -> Result<Bytes, BlobError>;

    /// Frees the blob; absent is `Ok`.
    async fn delete(&self, blob: &BlobId) -> Result<(), BlobError>;

    /// Up to `limit` finished blobs with ids above `after`, in ascending order of id.
    async fn list(&self, after: Option<BlobId>, limit: usize) -> Result<Vec<BlobInfo>, BlobError>;

    /// What its callers have to know of it.
    fn traits(&self) -> BlobTraits;

    /// Frees these blobs; absent ones are fine. After an error some may be freed and others not.
    async fn delete_many(&self, blobs: &[BlobId]) -> Result<(), BlobError> {
        for blob in blobs {
            self.delete(blob).await?;
        }
        Ok(())
    }

    /// Makes deletions durable: until then a crash may undo them.
    async fn sync_deletions(&self) -> Result<(), BlobError> {
        Ok(())
    }

    /// As [`BlobStore::list`], of the blobs that this session made under its numbers from `from` on: see
    /// [`crate::session::BlobIds`]. Only where [`BlobTraits::by_session`]; elsewhere there are none.
    async fn list_session(
        &self,
        session: SessionId,
        from: u64,
        after: Option<BlobId>,
        limit: usize,
    ) -> Result<Vec<BlobInfo>, BlobError> {
        let _ = (session, from, after, limit);
        Ok(Vec::new())
    }

    /// Puts a blob away: it is not found and not listed any more. [`BlobError::NotFound`] if there is none.
    async fn quarantine(&self, blob: &BlobId, why: Why) -> Result<(), BlobError>;

    /// How many blobs are in quarantine.
    async fn count_quarantined(&self) -> Result<u64, BlobError>;

    /// Deletes what has been in quarantine for longer than this; answers how many.
    async fn expire_quarantine(&self, kept: Duration) -> Result<u64, BlobError>;

    /// Does what can wait for a quiet moment: writes down what is dead, removes what is empty.
    async fn tidy(&self) -> Result<(), BlobError> {
        Ok(())
    }

    /// Where blobs share the space of a segment: the full segments of whose bytes at least this many percent are dead, for each the
    /// address before its first blob, to list from.
    async fn mostly_dead(&self, dead_percent_min: u64) -> Result<Vec<BlobId>, BlobError> {
        let _ = dead_percent_min;
        Ok(Vec::new())
    }

    /// As [`BlobStore::list`], of the segment that [`BlobStore::mostly_dead`] answered.
    async fn list_segment(
        &self,
        first: &BlobId,
        after: Option<BlobId>,
        limit: usize,
    ) -> Result<Vec<BlobInfo>, BlobError> {
        let mut page = self.list(Some(after.unwrap_or(*first)), limit).await?;
        let end = page.iter().position(|info| !self.same_segment(first, &info.blob.id));
        page.truncate(end.unwrap_or(page.len()));
        Ok(page)
    }

    /// Are both blobs of one segment?
    fn same_segment(&self, one: &BlobId, other: &BlobId) -> bool {
        let _ = (one, other);
        false
    }
}

/// A blob being written.
#[async_trait]
pub trait BlobWriter: Send {
    /// Appends bytes; returns when they are handed to the medium or buffered within the writer's bound.
    async fn write(&mut self, data: Bytes) -> Result<(), BlobError>;

    /// Appends so many bytes, which the caller fills in before anything else, in the memory that is handed to the medium. `None`: there is
    /// no such at hand, and they are to be written ([`BlobWriter::write`]).
    fn room(&mut self, _len: usize) -> Option<&mut [u8]> {
        None
    }

    /// Makes the blob visible and durable. `trailer` is a sealed description of at most 256 KiB, read back by
    /// [`BlobStore::read_trailer`].
    async fn finish(self: Box<Self>, trailer: Bytes) -> Result<BlobRef, BlobError>;
}

/// An open blob.
#[async_trait]
pub trait BlobReader: Send + Sync {
    /// Exactly this range, in one buffer of the caller's own (to be opened in place).
    /// A range beyond the end is [`BlobError::Corrupt`].
    async fn read(&self, range: StoredRange) -> Result<BytesMut, BlobError>;

    /// As [`BlobReader::read`], to the front of a buffer that is used again. It grows where it is too short; what it held is gone, and
    /// after an error it may hold nothing.
    async fn read_into(&self, range: StoredRange, buffer: &mut Vec<u8>) -> Result<(), BlobError> {
        *buffer = self.read(range).await?.into();
        Ok(())
    }

    /// Says that this range will be read in order, by reads that follow one another: a store far away then sends it at once.
    async fn will_read(&self, _range: std::ops::Range<u64>) {}
}

/// Refuses a trailer that no engine takes.
pub(crate) fn check_trailer(trailer: &[u8]) -> Result<(), BlobError> {
    if trailer.len() <= MAX_TRAILER_LEN {
        return Ok(());
    }
    Err(BlobError::Unavailable(std::io::Error::new(
        std::io::ErrorKind::InvalidInput,
        "a trailer over 256 KiB",
    )))
}

/// Refuses a range that a blob of this length does not have, or that is more than one read returns.
pub(crate) fn check_range(id: BlobId, range: StoredRange, stored_len: u64) -> Result<(), BlobError> {
    if range.len > MAX_READ_LEN {
        return Err(BlobError::Corrupt(id, "a range longer than one read returns"));
    }
    match range.offset.checked_add(range.len as u64) {
        Some(end) if end <= stored_len => Ok(()),
        _ => Err(BlobError::Corrupt(id, "a range beyond its end")),
    }
}
