//! Buffers that are used again: a fresh large one costs a page fault per 4 KiB.

use bytes::Bytes;
use parking_lot::Mutex;

/// Plain bytes that one step of a transfer handles: a multiple of the chunk length.
pub(super) const STEP_LEN: usize = 512 * 1024;
/// How many free buffers are kept.
const MAX_FREE: usize = 12;

static FREE: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// An empty buffer with room for a step and its seal.
pub(super) fn take() -> Vec<u8> {
    FREE.lock().pop().unwrap_or_else(|| Vec::with_capacity(STEP_LEN + STEP_LEN / 256))
}

/// Gives a buffer back. Buffers of plain bytes are not wiped: they never leave the process.
pub(super) fn give_back(mut buffer: Vec<u8>) {
    buffer.clear();
    let mut free = FREE.lock();
    if free.len() < MAX_FREE && buffer.capacity() <= 2 * STEP_LEN {
        free.push(buffer);
    }
}

/// A buffer as bytes; it comes back when the last of them is dropped.
pub(super) fn into_bytes(buffer: Vec<u8>) -> Bytes {
    struct Owner(Vec<u8>);
    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    impl Drop for Owner {
        fn drop(&mut self) {
            give_back(std::mem::take(&mut self.0));
        }
    }
    Bytes::from_owner(Owner(buffer))
}
