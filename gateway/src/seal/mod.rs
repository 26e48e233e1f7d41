//! Bytes under a ContentKey: C2SP chunked-encryption, "Cobblestone-256" (see SPEC.md). Pure: no I/O, no clock, no randomness.

use kms_core::secret::Secret32;
use storage::blob::StoredLen;
use storage::name::VersionId;

/// Plain bytes per chunk; the last chunk is always shorter.
pub const CHUNK_LEN_PLAIN: usize = 16 * 1024;
/// Stored bytes per full chunk: plain bytes and a 128-bit tag.
pub const CHUNK_LEN_STORED: usize = CHUNK_LEN_PLAIN + 16;
/// Salt (24 bytes) and commitment (32 bytes) in front of the chunks.
pub const HEADER_LEN: usize = 56;

/// A count of plain bytes; never to be mixed with stored ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PlainLen(pub u64);

/// A range of plain bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlainRange {
    /// The first byte.
    pub offset: u64,
    /// How many bytes.
    pub len: u64,
}

/// The random 256-bit key of one object version.
#[derive(Debug)]
pub struct ContentKey(pub Secret32);

/// What a message is bound to beside its key: the version and the part (0 for a single blob) that it is the content of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealContext {
    /// The version.
    pub version: VersionId,
    /// The part number; 0 for a single blob.
    pub part: u16,
}

/// The ContentKeys of a version: one, or two for DSSE (the first seals the plain bytes, the second seals the result).
#[derive(Debug)]
pub struct ContentKeys {
    /// One or two keys, innermost first.
    pub layers: Vec<ContentKey>,
}

/// Why stored bytes do not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The commitment does not fit: another key or another context.
    #[error("sealed under another key or for another place")]
    WrongKey,
    /// A chunk's tag does not fit.
    #[error("chunk {index} was tampered with")]
    Tampered {
        /// Which chunk, from 0.
        index: u64,
    },
    /// The length is not one that sealing gives.
    #[error("truncated, or not a sealed message")]
    Truncated,
}

/// Stored bytes of a message of this many plain bytes, sealed under `layers` layers.
pub fn stored_len(plain: PlainLen, layers: usize) -> StoredLen {
    let mut len = plain.0;
    for _ in 0..layers {
        // The last chunk is always short, so a multiple of the chunk length ends in an empty chunk.
        len += HEADER_LEN as u64 + 16 * (len / CHUNK_LEN_PLAIN as u64 + 1);
    }
    StoredLen(len)
}

/// Seals one message as its plain bytes come, in every layer at once.
pub struct Sealer {
    _private: (),
}

impl Sealer {
    /// Begins a message. `salts`: one per layer, fresh for each attempt.
    pub fn new(keys: &ContentKeys, context: SealContext, salts: &[[u8; 24]]) -> Self {
        let _ = (keys, context, salts);
        unimplemented!()
    }

    /// Takes the next plain bytes, and appends to `out` what is complete: the header first, then whole chunks.
    pub fn update(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        let _ = (plain, out);
        unimplemented!()
    }

    /// Ends the message, and appends the rest.
    pub fn finish(self, out: &mut Vec<u8>) {
        let _ = out;
        unimplemented!()
    }
}

/// One read of stored bytes and what to take of it: a span covers whole chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The stored bytes to read.
    pub stored: storage::blob::StoredRange,
    /// The first chunk of the (outermost) layer in it.
    pub first_chunk: u64,
    /// The plain bytes that it yields once opened.
    pub plain: PlainRange,
}

/// Opens a message by spans, in every layer at once. The headers are verified when it is made.
pub struct Opener {
    _private: (),
}

impl Opener {
    /// The stored range that [`Opener::new`] needs: the headers of every layer (for two layers that includes the first outer chunk).
    pub fn header_range(plain_len: PlainLen, layers: usize) -> storage::blob::StoredRange {
        let _ = (plain_len, layers);
        unimplemented!()
    }

    /// Verifies the headers. `header` is what [`Opener::header_range`] asked for.
    pub fn new(
        keys: &ContentKeys,
        context: SealContext,
        plain_len: PlainLen,
        header: &mut [u8],
    ) -> Result<Self, OpenError> {
        let _ = (keys, context, plain_len, header);
        unimplemented!()
    }

    /// The spans that yield this range, each of at most `max_len` stored bytes (at least 64 KiB), in order.
    pub fn spans(&self, range: PlainRange, max_len: usize) -> Vec<Span> {
        let _ = (range, max_len);
        unimplemented!()
    }

    /// Opens a span in place and returns the plain bytes that it yields (its `plain` range), without copying more than it must.
    pub fn open(&self, span: &Span, stored: bytes::BytesMut) -> Result<bytes::Bytes, OpenError> {
        let _ = (span, stored);
        unimplemented!()
    }
}
