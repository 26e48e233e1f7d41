//! Buffers that are used again: a fresh large one costs a page fault per 4 KiB, and to be filled with zeros.

use bytes::Bytes;
use parking_lot::Mutex;

use crate::seal::CHUNK_LEN_STORED;

/// Plain bytes that one step of an upload handles: a multiple of the chunk length.
pub(super) const STEP_LEN: usize = 256 * 1024;
/// Stored bytes of one read of a download: 16 chunks.
pub(super) const SPAN_LEN: usize = 16 * CHUNK_LEN_STORED;

/// For a step and its seal.
pub(super) static STEPS: Pool = Pool::new(STEP_LEN + STEP_LEN / 256, 12);
/// For a span, sealed or opened.
static SPANS: Pool = Pool::new(SPAN_LEN, 8);
/// For a span of a few chunks.
static SHORT_SPANS: Pool = Pool::new(4 * CHUNK_LEN_STORED, 8);

/// The pool of buffers for a span of so many stored bytes.
pub(super) fn of_span(len: usize) -> &'static Pool {
    if len <= SHORT_SPANS.len { &SHORT_SPANS } else { &SPANS }
}

/// Free buffers of one length. They are not wiped: they never leave the process.
pub(super) struct Pool {
    len: usize,
    max_free: usize,
    free: Mutex<Vec<Vec<u8>>>,
}

impl Pool {
    const fn new(len: usize, max_free: usize) -> Self {
        Self { len, max_free, free: Mutex::new(Vec::new()) }
    }

    /// An empty buffer with the pool's room.
    pub(super) fn take(&self) -> Vec<u8> {
        let mut buffer = self.take_full();
        buffer.clear();
        buffer
    }

    /// A buffer with the pool's room that holds whatever was in it, so that it need not be filled before it is written over.
    pub(super) fn take_full(&self) -> Vec<u8> {
        self.free.lock().pop().unwrap_or_else(|| Vec::with_capacity(self.len))
    }

    /// Gives a buffer back.
    pub(super) fn give_back(&self, buffer: Vec<u8>) {
        let mut free = self.free.lock();
        if free.len() < self.max_free && (self.len..=2 * self.len).contains(&buffer.capacity()) {
            free.push(buffer);
        }
    }

    /// A buffer as bytes; it comes back when the last of them is dropped.
    pub(super) fn bytes_of(&'static self, buffer: Vec<u8>) -> Bytes {
        struct Owner(Vec<u8>, &'static Pool);
        impl AsRef<[u8]> for Owner {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }
        impl Drop for Owner {
            fn drop(&mut self) {
                self.1.give_back(std::mem::take(&mut self.0));
            }
        }
        Bytes::from_owner(Owner(buffer, self))
    }
}
