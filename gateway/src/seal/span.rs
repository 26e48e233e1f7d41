//! Which stored bytes yield which plain ones.

use storage::blob::StoredRange;

use super::{CHUNK_LEN_PLAIN, CHUNK_LEN_STORED, HEADER_LEN, PlainLen, PlainRange, TAG_LEN, stored_len};

/// One read of stored bytes and what to take of it: a span covers whole chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The stored bytes to read.
    pub stored: StoredRange,
    /// The first chunk of the (outermost) layer in it.
    pub first_chunk: u64,
    /// The plain bytes that it yields once opened.
    pub plain: PlainRange,
}

/// The whole chunks of one layer that hold a range of its plain bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChunkRun {
    /// The first chunk's number.
    pub(super) first_chunk: u64,
    /// Where its stored bytes begin in the message.
    pub(super) stored_offset: u64,
    /// Stored bytes of all the chunks.
    pub(super) stored_len: u64,
    /// Plain bytes of the first chunk that lie before the range.
    pub(super) skip: usize,
}

impl ChunkRun {
    /// The chunks of a message of `message_len` plain bytes that hold `range`. A range that reaches the end takes the last
    /// chunk with it even where that is empty, because it is the proof that nothing is missing.
    pub(super) fn covering(range: PlainRange, message_len: PlainLen) -> Self {
        let chunk_len = CHUNK_LEN_PLAIN as u64;
        let last_of_message = message_len.0 / chunk_len;
        let end = range.offset + range.len;
        let first = (range.offset / chunk_len).min(last_of_message);
        let last = if end >= message_len.0 { last_of_message } else { (end.max(1) - 1) / chunk_len };
        let last = last.max(first);
        let header_len = HEADER_LEN as u64;
        let stored_offset = header_len + first * CHUNK_LEN_STORED as u64;
        let stored_end = if last == last_of_message {
            stored_len(message_len, 1).0
        } else {
            header_len + (last + 1) * CHUNK_LEN_STORED as u64
        };
        Self {
            first_chunk: first,
            stored_offset,
            stored_len: stored_end - stored_offset,
            skip: (range.offset - first * chunk_len) as usize,
        }
    }
}

/// Plain bytes that `stored_len` bytes of whole chunks hold.
pub(super) fn plain_len_of_chunks(stored_len: usize) -> usize {
    stored_len - stored_len.div_ceil(CHUNK_LEN_STORED) * TAG_LEN
}
