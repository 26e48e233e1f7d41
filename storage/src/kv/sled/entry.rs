//! How an entry lies in sled's tree. Its key is tagged; its value begins with its revision and is split where it is long,
//! because sled writes a leaf of more than a quarter of a segment into a file of its own that it never syncs.

use super::super::Revision;

/// Tag of what the store keeps about itself.
pub(super) const META: u8 = 0;
/// Tag of entries: followed by their key.
pub(super) const ENTRY: u8 = 1;
/// Tag of the chunks of long values: followed by the entry's revision and the chunk's index.
pub(super) const CHUNK: u8 = 2;

/// The most that a key and its value take in the tree. A leaf has up to 19 of them, and must stay below 128 KiB.
pub(super) const MAX_LEN: usize = 6400;
/// Bytes of a chunk: its key has 11.
const CHUNK_LEN: usize = MAX_LEN - 11;
/// Revision and count of chunks.
const HEADER_LEN: usize = 10;

/// An entry's key in the tree.
pub(super) fn tagged(key: &[u8]) -> Vec<u8> {
    let mut tagged = Vec::with_capacity(1 + key.len());
    tagged.push(ENTRY);
    tagged.extend_from_slice(key);
    tagged
}

/// The key of a chunk.
pub(super) fn chunk_key(revision: Revision, index: u16) -> [u8; 11] {
    let mut key = [CHUNK; 11];
    key[1..9].copy_from_slice(&revision.0.to_be_bytes());
    key[9..].copy_from_slice(&index.to_be_bytes());
    key
}

/// A value as it's stored under its entry's key.
pub(super) struct Stored<'a> {
    pub(super) revision: Revision,
    /// How many chunks follow.
    pub(super) chunk_count: u16,
    /// The value's beginning; all of it if there are no chunks.
    pub(super) front: &'a [u8],
}

impl<'a> Stored<'a> {
    pub(super) fn parse(stored: &'a [u8]) -> Result<Self, &'static str> {
        let (revision, rest) = stored.split_first_chunk::<8>().ok_or("an entry lacks its revision")?;
        let (chunk_count, front) =
            rest.split_first_chunk::<2>().ok_or("an entry lacks its count of chunks")?;
        Ok(Self {
            revision: Revision(u64::from_be_bytes(*revision)),
            chunk_count: u16::from_be_bytes(*chunk_count),
            front,
        })
    }
}

/// The value's part that lies under the entry's (tagged) key, and the rest, which lies in chunks; `None` if it's too long.
pub(super) fn split(tagged_key_len: usize, value: &[u8]) -> Option<(&[u8], &[u8])> {
    let room = MAX_LEN.checked_sub(tagged_key_len + HEADER_LEN)?;
    let (front, rest) = value.split_at(value.len().min(room));
    (rest.len().div_ceil(CHUNK_LEN) <= usize::from(u16::MAX)).then_some((front, rest))
}

/// The chunks of what [`split`] left.
pub(super) fn chunks(rest: &[u8]) -> impl ExactSizeIterator<Item = &[u8]> {
    rest.chunks(CHUNK_LEN)
}

impl Stored<'_> {
    /// What [`Stored::parse`] reads.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut stored = Vec::with_capacity(HEADER_LEN + self.front.len());
        stored.extend_from_slice(&self.revision.0.to_be_bytes());
        stored.extend_from_slice(&self.chunk_count.to_be_bytes());
        stored.extend_from_slice(self.front);
        stored
    }
}
