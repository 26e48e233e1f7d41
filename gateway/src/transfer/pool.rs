//! Buffers that are used again: a fresh large one costs a page fault per 4 KiB, and to be filled with zeros.

use std::ops::{Deref, DerefMut};

use parking_lot::Mutex;

use crate::seal::CHUNK_LEN_STORED;

/// Plain bytes that one step of an upload handles: a multiple of the chunk length.
pub(super) const STEP_LEN: usize = 256 * 1024;
/// Stored bytes of one read of a download: 16 chunks.
pub(super) const SPAN_LEN: usize = 16 * CHUNK_LEN_STORED;
/// Spans of a long download that are handed on as one: each write wakes the client.
pub(super) const RUN_SPANS: usize = 4;

/// For a step of an upload and its seal, or a span, sealed or opened. A span of a message in two layers has a chunk more at either end,
/// the last one of a message an empty chunk.
pub(super) static STEPS: Pool = Pool::new(SPAN_LEN + 2 * CHUNK_LEN_STORED, 16);
/// For a span of a few chunks.
static SHORT_SPANS: Pool = Pool::new(4 * CHUNK_LEN_STORED, 8);
/// For a run of spans. No more are taken than are kept: of many streams at a time most do without.
pub(super) static RUNS: Pool = Pool::new(RUN_SPANS * SPAN_LEN, 4);

/// The pool of buffers for a span of so many stored bytes.
pub(super) fn of_span(len: usize) -> &'static Pool {
    if len <= SHORT_SPANS.len { &SHORT_SPANS } else { &STEPS }
}

/// Free buffers of one length. They are not wiped: they never leave the process.
#[derive(Debug)]
pub(super) struct Pool {
    len: usize,
    max_free: usize,
    buffers: Mutex<Buffers>,
}

#[derive(Debug)]
struct Buffers {
    free: Vec<Vec<u8>>,
    /// How many are taken.
    taken: usize,
}

impl Pool {
    const fn new(len: usize, max_free: usize) -> Self {
        Self { len, max_free, buffers: Mutex::new(Buffers { free: Vec::new(), taken: 0 }) }
    }

    /// An empty buffer with the pool's room.
    pub(super) fn take(&'static self) -> Buffer {
        let mut buffer = self.take_full();
        buffer.clear();
        buffer
    }

    /// A buffer with the pool's room that holds whatever was in it, so that it need not be filled before it is written over.
    pub(super) fn take_full(&'static self) -> Buffer {
        self.take_below(usize::MAX).expect("nobody takes as many")
    }

    /// As [`Pool::take_full`], if one is left of those that are kept.
    pub(super) fn take_left(&'static self) -> Option<Buffer> {
        self.take_below(self.max_free)
    }

    fn take_below(&'static self, max_taken: usize) -> Option<Buffer> {
        let mut buffers = self.buffers.lock();
        if buffers.taken >= max_taken {
            return None;
        }
        buffers.taken += 1;
        let free = buffers.free.pop();
        drop(buffers);
        Some(Buffer { bytes: free.unwrap_or_else(|| Vec::with_capacity(self.len)), pool: self })
    }
}

/// A buffer of a [`Pool`], to which it goes back when it is dropped.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    pool: &'static Pool,
}

impl Deref for Buffer {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

/// For [`bytes::Bytes::from_owner`]: then it goes back when the last of those is dropped.
impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let Pool { len, max_free, ref buffers } = *self.pool;
        let mut buffers = buffers.lock();
        buffers.taken -= 1;
        // A store may have put bytes of its own in its place.
        if buffers.free.len() < max_free && (len..=2 * len).contains(&self.bytes.capacity()) {
            buffers.free.push(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_buffer_comes_back_with_the_last_of_its_bytes_and_what_is_kept_has_an_end() {
        static POOL: Pool = Pool::new(100, 2);
        let mut first = POOL.take();
        first.extend_from_slice(b"abc");
        let (place, bytes) = (first.as_ptr(), Bytes::from_owner(first));
        let part = bytes.slice(1..);
        let second = POOL.take_left().expect("one is left");
        assert!(POOL.take_left().is_none());
        drop((bytes, second));
        let third = POOL.take_left().expect("one is left");
        assert!(POOL.take_left().is_none());
        assert_eq!(part[..], b"bc"[..]);
        drop(part);
        let mut again = POOL.take_left().expect("one is left");
        assert_eq!((again.as_ptr(), again.len()), (place, 3));
        // Another's bytes in its place are not kept.
        *again = vec![0; 1000];
        let more = POOL.take_full();
        drop((third, again, more));
        let buffers = POOL.buffers.lock();
        assert_eq!((buffers.free.len(), buffers.taken), (2, 0));
    }
}
