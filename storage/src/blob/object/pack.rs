//! The bytes of a pack: many small blobs in one object. What is in it stands at its beginning. FORMAT.md has it.

use bytes::{BufMut, Bytes, BytesMut};
use object_store::PutPayload;

use super::format::{FOOTER_LEN, Footer, crc32c};
use crate::blob::BlobOwner;
use crate::name::BlobId;
use crate::session::{in_pack, pack_and_place};

/// Bytes of the head, which begins a pack; the index follows.
pub(super) const HEAD_LEN: usize = 32;
/// The longest index, in bytes.
pub(super) const MAX_INDEX_LEN: usize = 1 << 20;
/// Blobs in one pack at the most.
pub(super) const MAX_BLOBS: usize = 1000;
/// The longest pack, in bytes, and a blob more.
pub(super) const MAX_PACK_LEN: usize = 8 << 20;
const MAGIC: [u8; 4] = *b"SGpk";
const VERSION: u8 = 1;
/// Behind each blob, so that none begins where another does.
const PAD: &[u8] = &[0];

/// What is in a pack, in order of place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Index {
    /// Each blob: its id, its lengths and checksums, and whose it is.
    pub rows: Vec<(Footer, BlobOwner)>,
}

/// A blob on its way into a pack.
pub(super) struct Packed {
    pub content: PutPayload,
    pub content_crc: u32,
    pub trailer: Bytes,
    /// Encoded.
    pub owner: Vec<u8>,
}

impl Packed {
    /// Bytes in the index.
    pub fn row_len(&self) -> usize {
        self.owner.len() + FOOTER_LEN
    }

    /// Bytes behind it.
    pub fn entry_len(&self) -> usize {
        self.content.content_length() + self.trailer.len() + PAD.len()
    }
}

/// Where blobs begin in a pack of these, in order.
pub(super) fn places(blobs: &[Packed]) -> Vec<u32> {
    let index_len: usize = blobs.iter().map(Packed::row_len).sum();
    let mut at = HEAD_LEN + index_len;
    let place = |blob: &Packed| {
        let place = at;
        at += blob.entry_len();
        place as u32
    };
    blobs.iter().map(place).collect()
}

/// The whole pack, and its head with its index.
pub(super) fn encode(pack: BlobId, blobs: Vec<Packed>) -> (PutPayload, Bytes) {
    let places = places(&blobs);
    let index_len: usize = blobs.iter().map(Packed::row_len).sum();
    let pack_len = HEAD_LEN + index_len + blobs.iter().map(Packed::entry_len).sum::<usize>();
    let mut rows = BytesMut::with_capacity(index_len);
    for (blob, &place) in blobs.iter().zip(&places) {
        let stored_len = blob.content.content_length() as u64;
        let footer = Footer::of(in_pack(pack, place), stored_len, blob.content_crc, &blob.trailer);
        footer.put(&blob.owner, &mut rows);
    }
    let mut head = BytesMut::with_capacity(HEAD_LEN + index_len);
    head.put_slice(&MAGIC);
    head.put_slice(&[VERSION, 0, 0, 0]);
    head.put_u32_le(blobs.len() as u32);
    head.put_u32_le(index_len as u32);
    head.put_u64_le(pack_len as u64);
    head.put_slice(&[0; 4]);
    let crc = crc32c(&head);
    head.put_u32_le(crc);
    head.unsplit(rows);
    let head = head.freeze();
    let pieces = blobs
        .into_iter()
        .flat_map(|blob| blob.content.into_iter().chain([blob.trailer, Bytes::from_static(PAD)]));
    (std::iter::once(head.clone()).chain(pieces).collect(), head)
}

/// Why a pack's beginning says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Undecoded {
    /// So many bytes of its beginning are needed.
    Longer(usize),
    /// It is no pack, or a damaged one.
    Damaged(&'static str),
}

impl Index {
    /// The index of a pack that begins with `begin`, and the length of the whole.
    pub fn decode(pack: BlobId, begin: &[u8]) -> Result<(Self, u64), Undecoded> {
        let damaged = Undecoded::Damaged;
        let Some((head, rest)) = begin.split_first_chunk::<HEAD_LEN>() else {
            return Err(damaged("a pack that is shorter than its head"));
        };
        let word = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("four bytes"));
        if head[..4] != MAGIC || head[4] != VERSION {
            return Err(damaged("a pack without a head that is known here"));
        }
        if crc32c(&head[..HEAD_LEN - 4]) != word(HEAD_LEN - 4) {
            return Err(damaged("the checksum of its pack's head is wrong"));
        }
        let (count, index_len) = (word(8) as usize, word(12) as usize);
        let pack_len = u64::from_le_bytes(head[16..24].try_into().expect("eight bytes"));
        if count > MAX_BLOBS || index_len > MAX_INDEX_LEN {
            return Err(damaged("its pack's head has lengths that no pack has"));
        }
        let Some(mut index) = rest.get(..index_len) else {
            return Err(Undecoded::Longer(HEAD_LEN + index_len));
        };
        // Each ends with what tells where it begins.
        let (mut rows, mut end) = (Vec::with_capacity(count), pack_len);
        while !index.is_empty() {
            let wrong = "the index of its pack is damaged";
            let (footer, owner) = Footer::decode(index).map_err(|_| damaged(wrong))?;
            let behind = u64::from(footer.trailer_len) + PAD.len() as u64;
            let len = footer.stored_len.saturating_add(behind);
            let place = end.checked_sub(len).ok_or(damaged(wrong))?;
            if pack_and_place(&footer.id).map(|(of, place)| (of, u64::from(place))) != Some((pack, place)) {
                return Err(damaged(wrong));
            }
            end = place;
            index = &index[..index.len() - footer.owner_len as usize - FOOTER_LEN];
            rows.push((footer, owner));
        }
        if rows.len() != count || end != (HEAD_LEN + index_len) as u64 {
            return Err(damaged("the index of its pack is not whole"));
        }
        rows.reverse();
        Ok((Self { rows }, pack_len))
    }

    /// What is said of this blob.
    pub fn row(&self, id: BlobId) -> Option<&(Footer, BlobOwner)> {
        let at = self.rows.binary_search_by_key(&id, |(footer, _)| footer.id).ok()?;
        self.rows.get(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::blob::{owner, pattern};
    use crate::session::{SessionId, packed_in_shard};

    #[test]
    fn a_pack_reads_as_it_was_written_and_no_other_does() {
        let pack = packed_in_shard(SessionId(7), 3, 9, 0);
        let blobs: Vec<Packed> = [0usize, 300, 0, 5]
            .into_iter()
            .enumerate()
            .map(|(seed, len)| Packed {
                content: pattern(seed as u64, len).into(),
                content_crc: crc32c(&pattern(seed as u64, len)),
                trailer: pattern(9, len / 100),
                owner: owner(seed as u64).encode(),
            })
            .collect();
        let at = places(&blobs);
        let (payload, head) = encode(pack, blobs);
        let whole: Vec<u8> = payload.into_iter().flatten().collect();
        assert!(at.is_sorted_by(|a, b| a < b));
        let (index, pack_len) = Index::decode(pack, &whole).expect("it decodes");
        assert_eq!(pack_len as usize, whole.len());
        for (seed, place) in at.into_iter().enumerate() {
            let (footer, of) = index.row(in_pack(pack, place)).expect("it has a row");
            assert_eq!(*of, owner(seed as u64));
            let content = &whole[place as usize..][..footer.stored_len as usize];
            assert_eq!(content, pattern(seed as u64, content.len()));
            assert_eq!(crc32c(content), footer.content_crc);
        }
        assert_eq!(index.row(in_pack(pack, 1)), None);
        assert_eq!(Index::decode(pack, &head[..HEAD_LEN + 9]), Err(Undecoded::Longer(head.len())));
        assert!(Index::decode(packed_in_shard(SessionId(7), 3, 8, 0), &whole).is_err());
        for at in 0..head.len() {
            let mut bad = head.to_vec();
            bad[at] ^= 1;
            assert!(Index::decode(pack, &bad).is_err(), "byte {at}");
        }
    }
}
