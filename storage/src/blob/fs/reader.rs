//! Reads one blob.

use std::fs::File;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::BytesMut;
use parking_lot::Mutex;

use super::io::{read_exact_at, read_exact_into};
use super::truncated_or;
use crate::blob::{BlobError, BlobReader, StoredRange, check_range};
use crate::figures::BLOBS;
use crate::name::BlobId;

/// Reads a file, or a frame's part of one; it holds the file open, so a deletion does not reach it.
pub(super) struct FsReader {
    pub(super) id: BlobId,
    pub(super) file: Arc<File>,
    pub(super) base: u64,
    pub(super) len: u64,
    /// All of it, if it came with its header and was not read yet; else nothing.
    pub(super) ahead: Mutex<BytesMut>,
}

impl FsReader {
    /// What came with the header. Who reads all of it, as readers of small objects do, takes it.
    fn at_hand(&self, range: StoredRange) -> Option<BytesMut> {
        let mut ahead = self.ahead.lock();
        let offset = range.offset as usize;
        let bytes = ahead.get(offset..offset.checked_add(range.len)?)?;
        let is_all = bytes.len() == ahead.len();
        Some(if is_all { std::mem::take(&mut *ahead) } else { BytesMut::from(bytes) })
    }
}

#[async_trait]
impl BlobReader for FsReader {
    async fn read(&self, range: StoredRange) -> Result<BytesMut, BlobError> {
        check_range(self.id, range, self.len)?;
        if let Some(bytes) = self.at_hand(range) {
            let read = Ok(bytes);
            BLOBS.read(&read);
            return read;
        }
        let read = read_exact_at(&self.file, self.base + range.offset, range.len).await;
        let read = read.map_err(|error| truncated_or(self.id, error));
        BLOBS.read(&read);
        read
    }

    async fn read_into(&self, range: StoredRange, buffer: &mut Vec<u8>) -> Result<(), BlobError> {
        check_range(self.id, range, self.len)?;
        let read = read_exact_into(&self.file, self.base + range.offset, range.len, buffer).await;
        let read = read.map(|()| &buffer[..range.len]).map_err(|error| truncated_or(self.id, error));
        BLOBS.read(&read);
        read.map(|_| ())
    }
}
