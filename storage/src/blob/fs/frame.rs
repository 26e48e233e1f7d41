//! Frames: how small blobs lie in a segment. FORMAT.md has the bytes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use bytes::{Bytes, BytesMut};

use super::io::crc32c;
use crate::blob::{BlobOwner, MAX_TRAILER_LEN};

/// Bytes of a frame's header; the payload follows.
pub(super) const HEADER_LEN: usize = 40;
/// Frames begin at multiples of this.
const ALIGN: u64 = 8;
const MAGIC: [u8; 4] = *b"SGfr";
const VERSION: u8 = 1;
/// Bytes read at once by a scan; no frame is longer.
const WINDOW: usize = 1 << 20;

/// A frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
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
        if bytes[..4] != MAGIC || bytes[4] != VERSION || crc != crc32c(&bytes[..36]) {
            return None;
        }
        let header = Self::parse(bytes);
        (header.frame_len() <= WINDOW as u64 && header.trailer_len as usize <= MAX_TRAILER_LEN)
            .then_some(header)
    }

    /// What the fields say; nothing is checked.
    fn parse(bytes: &[u8; HEADER_LEN]) -> Self {
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        Self {
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
        out[4] = VERSION;
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

    /// Bytes of payload, trailer and owner.
    pub fn body_len(&self) -> usize {
        self.stored_len as usize + self.trailer_len as usize + usize::from(self.owner_len)
    }

    /// Bytes of the whole frame with its padding.
    pub fn frame_len(&self) -> u64 {
        ((HEADER_LEN + self.body_len()) as u64).next_multiple_of(ALIGN)
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
    pub fn finish(mut self, owner: &[u8], trailer: &[u8], finished_ms: u64, nonce: [u8; 6]) -> Bytes {
        let stored_len = self.len() as u32;
        self.buffer.extend_from_slice(trailer);
        self.buffer.extend_from_slice(owner);
        let header = Header {
            owner_len: owner.len() as u16,
            stored_len,
            trailer_len: trailer.len() as u32,
            finished_ms,
            nonce,
            body_crc: crc32c(&self.buffer[HEADER_LEN..]),
        };
        self.buffer[..HEADER_LEN].copy_from_slice(&header.encode());
        self.buffer.resize(header.frame_len() as usize, 0);
        self.buffer.freeze()
    }
}

/// A frame found by a scan.
#[derive(Debug)]
pub(super) struct Found<'a> {
    /// Where it begins.
    pub offset: u64,
    /// Its header, which is sound.
    pub header: Header,
    /// Payload, trailer and owner; `None` if they are not what was written.
    pub body: Option<&'a [u8]>,
    /// The same, whether they are what was written or not.
    read: &'a [u8],
}

impl Found<'_> {
    /// Whose blob it is; `None` if the body is not sound.
    pub fn owner(&self) -> Option<BlobOwner> {
        let body = self.body?;
        BlobOwner::decode(&body[body.len() - usize::from(self.header.owner_len)..])
    }

    /// What its owner reads as, whether the body is sound or not.
    pub fn legible_owner(&self) -> Option<BlobOwner> {
        let at = self.header.body_len().checked_sub(self.header.owner_len.into())?;
        BlobOwner::decode(self.read.get(at..)?)
    }
}

/// What the owner reads as of a frame that lay from `start` up to `end` at most, though its header is not sound.
pub(super) fn legible_owner_at(file: &File, start: u64, end: u64) -> Option<BlobOwner> {
    let mut bytes = vec![0; end.saturating_sub(start).min(WINDOW as u64) as usize];
    file.read_exact_at(&mut bytes, start).ok()?;
    let header = Header::parse(bytes.first_chunk()?);
    let body_end = HEADER_LEN.checked_add(header.body_len())?;
    let owner_at = body_end.checked_sub(header.owner_len.into())?;
    BlobOwner::decode(bytes.get(owner_at..body_end)?)
}

/// Walks the frames of a segment. Behind bytes that are no frame it looks for the next one, so that
/// damage in one place hides no other blob.
#[derive(Debug)]
pub(super) struct Scan<'a> {
    file: &'a File,
    /// Where the next frame is looked for.
    at: u64,
    end: u64,
    window: Vec<u8>,
    window_at: u64,
    /// Behind the last bytes that are no frame and not zero.
    used_end: u64,
}

impl<'a> Scan<'a> {
    /// The frames from `start`, where a frame begins, up to `end` or the end of the file.
    pub fn new(file: &'a File, start: u64, end: u64) -> io::Result<Self> {
        let end = end.min(file.metadata()?.len());
        let at = start.next_multiple_of(ALIGN);
        Ok(Self { file, at, end, window: Vec::new(), window_at: 0, used_end: 0 })
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
            let read = self.bytes(at + HEADER_LEN as u64, header.body_len())?;
            let body = header.fits(read).then_some(read);
            return Ok(Some(Found { offset: at, header, body, read }));
        }
        Ok(None)
    }

    /// These bytes, or as many as the file has.
    fn bytes(&mut self, at: u64, len: usize) -> io::Result<&[u8]> {
        let have = self.window_at..self.window_at + self.window.len() as u64;
        if !(have.start <= at && at + len as u64 <= have.end) {
            self.window_at = at;
            self.window.resize(WINDOW.min((self.end - at) as usize), 0);
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
