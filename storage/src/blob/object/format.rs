//! The bytes behind an object's content: trailer, owner and footer. FORMAT.md has them.

use bytes::{BufMut, Bytes, BytesMut};
use crc_fast::{CrcAlgorithm, checksum};

use crate::blob::owner::MAX_OWNER_LEN;
use crate::blob::{BlobOwner, MAX_TRAILER_LEN};
use crate::name::{BlobId, Timestamp};

/// Bytes of the footer, which ends an object.
pub(super) const FOOTER_LEN: usize = 80;
/// The most that lies behind an object's content, in bytes.
pub(super) const MAX_TAIL_LEN: usize = MAX_TRAILER_LEN + MAX_OWNER_LEN + FOOTER_LEN;
const MAGIC: [u8; 4] = *b"SGob";
const VERSION: u8 = 1;

/// CRC-32C of these bytes.
pub(super) fn crc32c(bytes: &[u8]) -> u32 {
    checksum(CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

/// What lies behind the content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Footer {
    /// The blob's id: an object that was copied to another name is none.
    pub id: BlobId,
    /// Bytes of content.
    pub stored_len: u64,
    /// Bytes of trailer.
    pub trailer_len: u32,
    /// Bytes of owner.
    pub owner_len: u32,
    /// When it was finished, by its gateway's clock.
    pub finished: Timestamp,
    /// At random: tells a writer whose answer was lost that the object is the one it sent.
    pub nonce: [u8; 16],
    /// CRC-32C of the content.
    pub content_crc: u32,
    /// CRC-32C of the trailer.
    pub trailer_crc: u32,
}

impl Footer {
    /// What there is to say of a blob; its time is now.
    pub fn of(id: BlobId, stored_len: u64, content_crc: u32, trailer: &[u8]) -> Self {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).expect("the operating system gives random bytes");
        Self {
            id,
            stored_len,
            trailer_len: trailer.len() as u32,
            owner_len: 0,
            finished: Timestamp::now(),
            nonce,
            content_crc,
            trailer_crc: crc32c(trailer),
        }
    }

    /// Trailer, owner and footer of a blob.
    pub fn tail(&self, trailer: &[u8], owner: &[u8]) -> Bytes {
        let mut out = BytesMut::with_capacity(trailer.len() + owner.len() + FOOTER_LEN);
        out.put_slice(trailer);
        self.put(owner, &mut out);
        out.freeze()
    }

    /// Appends the owner and this footer.
    pub fn put(&self, owner: &[u8], out: &mut BytesMut) {
        let owner_at = out.len();
        out.put_slice(owner);
        out.put_slice(&MAGIC);
        out.put_slice(&[VERSION, 0, 0, 0]);
        out.put_u64_le(self.stored_len);
        out.put_u32_le(self.trailer_len);
        out.put_u32_le(owner.len() as u32);
        out.put_slice(self.id.as_bytes());
        out.put_u64_le(self.finished.unix_ms());
        out.put_slice(&self.nonce);
        out.put_u32_le(self.content_crc);
        out.put_u32_le(self.trailer_crc);
        out.put_slice(&[0; 4]);
        let crc = crc32c(&out[owner_at..]);
        out.put_u32_le(crc);
    }

    /// The footer and the owner of an object that ends with `end`; `Err`: how many bytes of its end are needed instead, or why it is no blob.
    pub fn decode(end: &[u8]) -> Result<(Self, BlobOwner), Undecoded> {
        let damaged = Undecoded::Damaged;
        let Some((before, footer)) = end.split_last_chunk::<FOOTER_LEN>() else {
            return Err(damaged("it is shorter than a footer"));
        };
        let word = |at: usize| u32::from_le_bytes(footer[at..at + 4].try_into().expect("four bytes"));
        let long = |at: usize| u64::from_le_bytes(footer[at..at + 8].try_into().expect("eight bytes"));
        if footer[..4] != MAGIC || footer[4] != VERSION {
            return Err(damaged("it has no footer that is known here"));
        }
        let read = Self {
            stored_len: long(8),
            trailer_len: word(16),
            owner_len: word(20),
            id: BlobId::from_bytes(footer[24..40].try_into().expect("sixteen bytes")),
            finished: Timestamp(long(40)),
            nonce: footer[48..64].try_into().expect("sixteen bytes"),
            content_crc: word(64),
            trailer_crc: word(68),
        };
        if read.trailer_len as usize > MAX_TRAILER_LEN || read.owner_len as usize > MAX_OWNER_LEN {
            return Err(damaged("its footer has lengths that no blob has"));
        }
        let owner_len = read.owner_len as usize;
        let Some(owner_at) = before.len().checked_sub(owner_len) else {
            return Err(Undecoded::Longer(owner_len + FOOTER_LEN));
        };
        if crc32c(&end[owner_at..end.len() - 4]) != word(FOOTER_LEN - 4) {
            return Err(damaged("the checksum of its footer is wrong"));
        }
        let owner = BlobOwner::decode(&before[owner_at..]).ok_or(damaged("its owner is malformed"))?;
        Ok((read, owner))
    }

    /// The trailer of an object that ends with `end`, where all of it lies there.
    pub fn trailer(&self, end: &Bytes) -> Result<Bytes, &'static str> {
        let behind = self.owner_len as usize + FOOTER_LEN;
        let start =
            end.len().checked_sub(behind + self.trailer_len as usize).ok_or("it has no whole trailer")?;
        self.checked(end.slice(start..end.len() - behind))
    }

    /// These bytes, if they are the blob's trailer.
    pub fn checked(&self, trailer: Bytes) -> Result<Bytes, &'static str> {
        match trailer.len() == self.trailer_len as usize && crc32c(&trailer) == self.trailer_crc {
            true => Ok(trailer),
            false => Err("the checksum of its trailer is wrong"),
        }
    }

    /// Bytes of the whole object.
    pub fn object_len(&self) -> u64 {
        self.stored_len
            .saturating_add(u64::from(self.trailer_len) + u64::from(self.owner_len) + FOOTER_LEN as u64)
    }
}

/// Why an object's end says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Undecoded {
    /// So many bytes of its end are needed.
    Longer(usize),
    /// It is no blob, or a damaged one.
    Damaged(&'static str),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::blob::owner;

    #[test]
    fn a_tail_reads_as_it_was_written_and_no_other_does() {
        let id = BlobId::from_bytes([5; 16]);
        let (encoded, trailer) = (owner(3).encode(), vec![7; 300]);
        let tail = Footer::of(id, 1234, 99, &trailer).tail(&trailer, &encoded);
        assert_eq!(tail.len(), 300 + encoded.len() + FOOTER_LEN);
        let (footer, of) = Footer::decode(&tail).expect("it decodes");
        assert_eq!((footer.id, footer.stored_len, footer.content_crc, of), (id, 1234, 99, owner(3)));
        assert_eq!(footer.trailer(&tail).expect("a trailer"), trailer);
        assert_eq!(footer.object_len(), 1234 + tail.len() as u64);
        // Without the trailer the owner is there, and less of it says how much is missing.
        let short = tail.slice(300..);
        assert_eq!(Footer::decode(&short).expect("it decodes").1, owner(3));
        assert!(footer.trailer(&short).is_err());
        let need = encoded.len() + FOOTER_LEN;
        assert_eq!(Footer::decode(&tail.slice(301..)), Err(Undecoded::Longer(need)));
        for at in 0..tail.len() {
            let mut bad = tail.to_vec();
            bad[at] ^= 1;
            let bad = Bytes::from(bad);
            let read = Footer::decode(&bad).ok().and_then(|(footer, _)| footer.trailer(&bad).ok());
            assert_eq!(read, None, "byte {at}");
        }
    }
}
