//! Frames: how blobs lie in a segment. FORMAT.md has the bytes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use bytes::{Buf, Bytes, BytesMut};

use super::direct::{AlignedBytes, BLOCK_LEN};
use super::io::crc32c;
use crate::blob::owner::MAX_OWNER_LEN;
use crate::blob::{BlobOwner, MAX_TRAILER_LEN};

/// Bytes of a frame's header; the payload follows.
pub(super) const HEADER_LEN: usize = 40;
/// Packed frames begin at multiples of this.
const ALIGN: u64 = 8;
const MAGIC: [u8; 4] = *b"SGfr";
/// Bytes read at once by a scan; no packed frame is longer.
const WINDOW: usize = 1 << 20;
/// The longest frame of any layout.
const MAX_FRAME_LEN: usize = (4 << 20) + MAX_TRAILER_LEN + MAX_OWNER_LEN + BLOCK_LEN;

/// How frames lie in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// Each behind the one before.
    Packed,
    /// Each in blocks of its own, for writes past the page cache.
    Blocks,
}

impl Layout {
    /// The version in the headers of such frames, and of segments that have them.
    pub fn version(self) -> u8 {
        match self {
            Self::Packed => 1,
            Self::Blocks => 2,
        }
    }

    /// The layout of this version.
    pub fn of_version(version: u8) -> Option<Self> {
        [Self::Packed, Self::Blocks].into_iter().find(|layout| layout.version() == version)
    }

    /// Frames begin at multiples of this, and take as much.
    pub fn align(self) -> u64 {
        match self {
            Self::Packed => ALIGN,
            Self::Blocks => BLOCK_LEN as u64,
        }
    }

    /// Bytes behind the owner: a checksum of trailer and owner alone, so that they can be read without the content.
    fn check_len(self) -> usize {
        match self {
            Self::Packed => 0,
            Self::Blocks => 4,
        }
    }

    fn max_len(self) -> usize {
        match self {
            Self::Packed => WINDOW,
            Self::Blocks => MAX_FRAME_LEN,
        }
    }
}

/// A frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub layout: Layout,
    pub owner_len: u16,
    pub stored_len: u32,
    pub trailer_len: u32,
    pub finished_ms: u64,
    pub nonce: [u8; 6],
    body_crc: u32,
}

impl Header {
    /// Parses and checks a header.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; HEADER_LEN] = bytes.first_chunk()?;
        let crc = u32::from_le_bytes(bytes[36..].try_into().expect("four bytes"));
        if bytes[..4] != MAGIC || crc != crc32c(&bytes[..36]) {
            return None;
        }
        let header = Self::parse(bytes, Layout::of_version(bytes[4])?);
        let is_possible = header.frame_len() <= header.layout.max_len() as u64
            && header.trailer_len as usize <= MAX_TRAILER_LEN;
        is_possible.then_some(header)
    }

    /// What the fields say; nothing is checked.
    fn parse(bytes: &[u8; HEADER_LEN], layout: Layout) -> Self {
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        Self {
            layout,
            owner_len: u16::from_le_bytes([bytes[6], bytes[7]]),
            stored_len: word(8),
            trailer_len: word(12),
            finished_ms: u64::from_le_bytes(bytes[16..24].try_into().expect("eight bytes")),
            nonce: bytes[24..30].try_into().expect("six bytes"),
            body_crc: word(32),
        }
    }

    fn encode(&self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        out[..4].copy_from_slice(&MAGIC);
        out[4] = self.layout.version();
        out[6..8].copy_from_slice(&self.owner_len.to_le_bytes());
        out[8..12].copy_from_slice(&self.stored_len.to_le_bytes());
        out[12..16].copy_from_slice(&self.trailer_len.to_le_bytes());
        out[16..24].copy_from_slice(&self.finished_ms.to_le_bytes());
        out[24..30].copy_from_slice(&self.nonce);
        out[32..36].copy_from_slice(&self.body_crc.to_le_bytes());
        let crc = crc32c(&out[..36]);
        out[36..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Bytes of payload and tail.
    pub fn body_len(&self) -> usize {
        self.stored_len as usize + self.tail_len()
    }

    /// Bytes of what follows the payload: trailer, owner, and their checksum where the layout has one.
    pub fn tail_len(&self) -> usize {
        self.trailer_len as usize + usize::from(self.owner_len) + self.layout.check_len()
    }

    /// Whose blob it is, by a tail or a body, whether that is sound or not.
    pub fn owner(&self, tail: &[u8]) -> Option<BlobOwner> {
        let end = tail.len().checked_sub(self.layout.check_len())?;
        let start = end.checked_sub(self.owner_len.into())?;
        BlobOwner::decode(tail.get(start..end)?)
    }

    /// Is this the tail that was written? `None`: the layout can't tell without the payload.
    pub fn fits_tail(&self, tail: &[u8]) -> Option<bool> {
        match self.layout {
            Layout::Packed => None,
            Layout::Blocks => Some(
                tail.len() == self.tail_len()
                    && tail
                        .split_last_chunk()
                        .is_some_and(|(told, crc)| crc32c(told) == u32::from_le_bytes(*crc)),
            ),
        }
    }

    /// Bytes of the whole frame with its padding.
    pub fn frame_len(&self) -> u64 {
        ((HEADER_LEN + self.body_len()) as u64).next_multiple_of(self.layout.align())
    }

    /// Is this the body that was written?
    pub fn fits(&self, body: &[u8]) -> bool {
        body.len() == self.body_len() && crc32c(body) == self.body_crc
    }
}

/// A frame being filled.
#[derive(Debug)]
pub(super) struct Builder {
    buffer: BytesMut,
}

impl Builder {
    /// A frame with room for this many bytes of payload.
    pub fn new(capacity: usize) -> Self {
        let mut buffer = BytesMut::with_capacity(HEADER_LEN + capacity);
        buffer.resize(HEADER_LEN, 0);
        Self { buffer }
    }

    /// Bytes of payload so far.
    pub fn len(&self) -> usize {
        self.buffer.len() - HEADER_LEN
    }

    /// Appends payload.
    pub fn push(&mut self, data: &[u8]) {
        self.buffer.extend_from_slice(data);
    }

    /// Gives the payload back, for a blob that outgrew its frame.
    pub fn into_payload(mut self) -> Bytes {
        self.buffer.split_off(HEADER_LEN).freeze()
    }

    /// The finished frame.
    pub fn finish(mut self, owner: &[u8], trailer: &[u8], finished_ms: u64, nonce: [u8; 6]) -> Frame {
        let stored_len = self.len() as u32;
        self.buffer.extend_from_slice(trailer);
        self.buffer.extend_from_slice(owner);
        let header = Header {
            layout: Layout::Packed,
            owner_len: owner.len() as u16,
            stored_len,
            trailer_len: trailer.len() as u32,
            finished_ms,
            nonce,
            body_crc: crc32c(&self.buffer[HEADER_LEN..]),
        };
        self.buffer[..HEADER_LEN].copy_from_slice(&header.encode());
        self.buffer.resize(header.frame_len() as usize, 0);
        Frame { nonce, len: header.frame_len(), pieces: vec![self.buffer.freeze()] }
    }
}

/// A frame to be written.
#[derive(Debug)]
pub(super) struct Frame {
    /// As in its header.
    pub nonce: [u8; 6],
    /// Its length in the segment.
    pub len: u64,
    /// All of its bytes.
    pub pieces: Vec<Bytes>,
}

/// A frame of blocks being filled, in memory that is written as it is.
#[derive(Debug)]
pub(super) struct BlockBuilder(AlignedBytes);

impl BlockBuilder {
    pub fn new() -> Self {
        let mut bytes = AlignedBytes::new();
        bytes.push(&[0; HEADER_LEN]);
        bytes.leave_out();
        Self(bytes)
    }

    /// Bytes of payload so far.
    pub fn len(&self) -> usize {
        self.0.held_len() - HEADER_LEN
    }

    /// Appends payload.
    pub fn push(&mut self, data: &[u8]) {
        self.0.push(data);
    }

    /// Appends as much payload as the caller fills in, if there is room for it in one place.
    pub fn room(&mut self, len: usize) -> Option<&mut [u8]> {
        self.0.room(len)
    }

    /// Gives the payload back, for a blob that outgrew its frame.
    pub fn into_payload(mut self) -> Vec<Bytes> {
        let mut pieces = self.0.take();
        if let Some(first) = pieces.first_mut() {
            first.advance(HEADER_LEN);
        }
        pieces
    }

    /// The finished frame.
    pub fn finish(mut self, owner: &[u8], trailer: &[u8], finished_ms: u64, nonce: [u8; 6]) -> Frame {
        let stored_len = self.len() as u32;
        let mut tail = Vec::with_capacity(trailer.len() + owner.len() + Layout::Blocks.check_len());
        tail.extend_from_slice(trailer);
        tail.extend_from_slice(owner);
        let crc = crc32c(&tail);
        tail.extend_from_slice(&crc.to_le_bytes());
        self.push(&tail);
        let header = Header {
            layout: Layout::Blocks,
            owner_len: owner.len() as u16,
            stored_len,
            trailer_len: trailer.len() as u32,
            finished_ms,
            nonce,
            body_crc: self.0.crc(),
        };
        self.0.first_mut()[..HEADER_LEN].copy_from_slice(&header.encode());
        // Less than a block: what it takes is its own length, rounded up.
        let gap = header.frame_len() as usize - self.0.held_len();
        self.push(&[0; BLOCK_LEN][..gap]);
        Frame { nonce, len: header.frame_len(), pieces: self.0.take() }
    }
}

/// A frame found by a scan.
#[derive(Debug)]
pub(super) struct Found<'a> {
    /// Where it begins.
    pub offset: u64,
    /// Its header, which is sound.
    pub header: Header,
    /// Is what was read of it what was written?
    pub is_sound: bool,
    /// Its body, or its tail alone.
    read: &'a [u8],
}

impl Found<'_> {
    /// What its owner reads as, whether that is sound or not.
    pub fn legible_owner(&self) -> Option<BlobOwner> {
        self.header.owner(self.read)
    }
}

/// What the owner reads as of a frame that lay from `start` up to `end` at most, though its header is not sound.
pub(super) fn legible_owner_at(file: &File, start: u64, end: u64) -> Option<BlobOwner> {
    let mut bytes = vec![0; end.saturating_sub(start).min(MAX_FRAME_LEN as u64) as usize];
    file.read_exact_at(&mut bytes, start).ok()?;
    let layout = Layout::of_version(*bytes.get(4)?).unwrap_or(Layout::Packed);
    let header = Header::parse(bytes.first_chunk()?, layout);
    header.owner(bytes.get(..HEADER_LEN.checked_add(header.body_len())?)?)
}

/// Walks the frames of a segment. Behind bytes that are no frame it looks for the next one, so that
/// damage in one place hides no other blob.
#[derive(Debug)]
pub(super) struct Scan<'a> {
    file: &'a File,
    /// Where the next frame is looked for.
    at: u64,
    end: u64,
    layout: Layout,
    /// Are contents left out where that is possible?
    skips_content: bool,
    window: Vec<u8>,
    window_at: u64,
    /// Behind the last bytes that are no frame and not zero.
    used_end: u64,
}

impl<'a> Scan<'a> {
    /// The frames from `start`, where a frame begins, up to `end` or the end of the file.
    pub fn new(file: &'a File, layout: Layout, start: u64, end: u64) -> io::Result<Self> {
        let end = end.min(file.metadata()?.len());
        let at = start.next_multiple_of(ALIGN);
        Ok(Self {
            file,
            at,
            end,
            layout,
            skips_content: false,
            window: Vec::new(),
            window_at: 0,
            used_end: 0,
        })
    }

    /// The same without contents, where frames have checksums of their tails.
    pub fn without_content(self) -> Self {
        Self { skips_content: true, ..self }
    }

    /// Behind the last bytes met so far that are no frame and were written nevertheless: room that was only reserved is zeros.
    pub fn used_end(&self) -> u64 {
        self.used_end
    }

    /// The next frame.
    pub fn next(&mut self) -> io::Result<Option<Found<'_>>> {
        while self.at + HEADER_LEN as u64 <= self.end {
            let at = self.at;
            let end = self.end;
            let bytes = self.bytes(at, HEADER_LEN)?;
            let header = Header::decode(bytes).filter(|header| at + header.frame_len() <= end);
            let is_used = bytes.iter().take(ALIGN as usize).any(|&byte| byte != 0);
            let Some(header) = header else {
                self.at += ALIGN;
                if is_used {
                    self.used_end = self.at;
                }
                continue;
            };
            self.at += header.frame_len();
            let body_at = at + HEADER_LEN as u64;
            if self.skips_content && header.layout == Layout::Blocks {
                let read = self.bytes(body_at + u64::from(header.stored_len), header.tail_len())?;
                let is_sound = header.fits_tail(read).unwrap_or_default();
                return Ok(Some(Found { offset: at, header, is_sound, read }));
            }
            let read = self.bytes(body_at, header.body_len())?;
            let is_sound = header.fits(read);
            return Ok(Some(Found { offset: at, header, is_sound, read }));
        }
        Ok(None)
    }

    /// These bytes, or as many as the file has.
    fn bytes(&mut self, at: u64, len: usize) -> io::Result<&[u8]> {
        let have = self.window_at..self.window_at + self.window.len() as u64;
        if !(have.start <= at && at + len as u64 <= have.end) {
            self.window_at = at;
            // Of frames that are passed over a page is enough, with the next header behind a tail.
            let window_len =
                if self.skips_content && self.layout == Layout::Blocks { BLOCK_LEN } else { WINDOW };
            self.window.resize(window_len.max(len).min((self.end - at) as usize), 0);
            let mut read = 0;
            while read < self.window.len() {
                match self.file.read_at(&mut self.window[read..], at + read as u64) {
                    Ok(0) => break,
                    Ok(n) => read += n,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            self.window.truncate(read);
        }
        let start = ((at - self.window_at) as usize).min(self.window.len());
        let end = (start + len).min(self.window.len());
        Ok(&self.window[start..end])
    }
}
