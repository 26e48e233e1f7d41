//! Bytes under a ContentKey: C2SP chunked-encryption, "Cobblestone-256" (see SPEC.md). Pure: no I/O, no clock, no randomness.

mod aead;
mod opener;
mod sealer;
mod span;
pub mod xaes;

pub use opener::Opener;
pub use sealer::{Output, Sealer};
pub use span::Span;

use kms_core::secret::Secret32;
use storage::blob::StoredLen;
use storage::name::VersionId;

/// Plain bytes per chunk; the last chunk is always shorter.
pub const CHUNK_LEN_PLAIN: usize = 16 * 1024;
/// Bytes of a chunk's authentication tag.
pub const TAG_LEN: usize = 16;
/// Stored bytes per full chunk: plain bytes and a 128-bit tag.
pub const CHUNK_LEN_STORED: usize = CHUNK_LEN_PLAIN + TAG_LEN;
/// Salt (24 bytes) and commitment (32 bytes) in front of the chunks.
pub const HEADER_LEN: usize = SALT_LEN + COMMITMENT_LEN;
/// Bytes of a message's random salt.
pub const SALT_LEN: usize = 24;
const COMMITMENT_LEN: usize = 32;

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
    /// It is another sending of the same content than the record says.
    #[error("another sending of the content than its record is of")]
    OtherSending,
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

impl SealContext {
    /// The context's bytes: the version id's 16, then the part number as a 16-bit big-endian number.
    fn to_bytes(self) -> [u8; 18] {
        let mut bytes = [0; 18];
        bytes[..16].copy_from_slice(self.version.as_bytes());
        bytes[16..].copy_from_slice(&self.part.to_be_bytes());
        bytes
    }
}

/// Stored bytes of a message of this many plain bytes, sealed under `layers` layers.
pub fn stored_len(plain: PlainLen, layers: usize) -> StoredLen {
    StoredLen((0..layers).fold(plain.0, |len, _| {
        // The last chunk is always short, so a multiple of the chunk length ends in an empty chunk.
        len + HEADER_LEN as u64 + TAG_LEN as u64 * (len / CHUNK_LEN_PLAIN as u64 + 1)
    }))
}

#[cfg(test)]
mod tests;
