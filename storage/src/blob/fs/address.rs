//! What a blob's id says: where the blob lies.

use crate::name::BlobId;
use crate::session::SessionId;

const FILE: u8 = 1;
const SEGMENT: u8 = 2;

/// A parsed [`BlobId`]. Ids order by kind, then files by time of finishing, then frames by segment and offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Address {
    /// A file of its own.
    File(FileAddress),
    /// A frame of a segment.
    Frame(FrameAddress),
}

/// Names a blob's own file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct FileAddress {
    /// When the blob was finished: milliseconds since the epoch, 48 bits.
    pub finished_ms: u64,
    /// The session that made it.
    pub session: SessionId,
    /// Tells blobs of one millisecond apart.
    pub random: [u8; 5],
}

/// Names a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameAddress {
    /// The segment's number, 40 bits.
    pub segment: u64,
    /// Where the frame begins in it.
    pub offset: u32,
    /// Repeated in the frame, so that an address never finds another frame than its own.
    pub nonce: [u8; 6],
}

impl Address {
    /// Parses an id; `None` if this store can't have made it.
    pub fn parse(id: &BlobId) -> Option<Self> {
        let bytes = id.as_bytes();
        let number = |range: std::ops::Range<usize>| {
            bytes[range].iter().fold(0u64, |number, &byte| number << 8 | u64::from(byte))
        };
        match bytes[0] {
            FILE => Some(Self::File(FileAddress {
                finished_ms: number(1..7),
                session: SessionId(number(7..11) as u32),
                random: bytes[11..16].try_into().expect("five bytes"),
            })),
            SEGMENT => Some(Self::Frame(FrameAddress {
                segment: number(1..6),
                offset: number(6..10) as u32,
                nonce: bytes[10..16].try_into().expect("six bytes"),
            })),
            _ => None,
        }
    }
}

impl FileAddress {
    /// The id.
    pub fn id(self) -> BlobId {
        let mut bytes = [0; 16];
        bytes[1..7].copy_from_slice(&self.finished_ms.to_be_bytes()[2..]);
        bytes[0] = FILE;
        bytes[7..11].copy_from_slice(&self.session.0.to_be_bytes());
        bytes[11..].copy_from_slice(&self.random);
        BlobId::from_bytes(bytes)
    }
}

impl FrameAddress {
    /// The id.
    pub fn id(self) -> BlobId {
        let mut bytes = [0; 16];
        bytes[0] = SEGMENT;
        bytes[1..6].copy_from_slice(&self.segment.to_be_bytes()[3..]);
        bytes[6..10].copy_from_slice(&self.offset.to_be_bytes());
        bytes[10..].copy_from_slice(&self.nonce);
        BlobId::from_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_survives_its_id_and_orders() {
        let file = |finished_ms| FileAddress { finished_ms, session: SessionId(7 << 24), random: [0xee; 5] };
        let frame = |segment, offset| FrameAddress { segment, offset, nonce: [0xff; 6] };
        let ids = [
            file(0).id(),
            file(0x1234_5678_9abc).id(),
            file(0xffff_ffff_ffff).id(),
            frame(0, 32).id(),
            frame(0, u32::MAX).id(),
            frame(0xff_ffff_ffff, 0).id(),
        ];
        assert!(ids.is_sorted_by(|a, b| a < b));
        assert_eq!(Address::parse(&ids[1]), Some(Address::File(file(0x1234_5678_9abc))));
        assert_eq!(Address::parse(&ids[4]), Some(Address::Frame(frame(0, u32::MAX))));
        assert_eq!(Address::parse(&ids[5]), Some(Address::Frame(frame(0xff_ffff_ffff, 0))));
        assert_eq!(Address::parse(&BlobId::from_bytes([0; 16])), None);
    }
}
