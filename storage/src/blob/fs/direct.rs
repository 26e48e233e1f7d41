//! Writes past the page cache (`O_DIRECT`): the medium takes the bytes from our memory, which spares the kernel a copy of each and
//! spares what other requests have cached. `open(2)`, section "O_DIRECT".

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use parking_lot::Mutex;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

/// Bytes of a block: what every medium's alignment divides.
pub(super) const BLOCK_LEN: usize = 4096;
/// Bytes of one write.
const WRITE_LEN: usize = 1 << 20;
/// How many free buffers are kept.
const MAX_FREE: usize = 8;

/// Buffers that are used again: a fresh one costs a page fault per 4 KiB.
static FREE: Mutex<Vec<Buffer>> = Mutex::new(Vec::new());

/// A file's bytes on their way, one after the other.
#[derive(Debug)]
pub(super) struct DirectWriter {
    buffer: Buffer,
    filled: usize,
    /// Where the buffer begins in the file.
    offset: u64,
}

/// Room for one write, aligned.
#[derive(Debug)]
struct Buffer {
    bytes: Vec<u8>,
    start: usize,
}

impl Buffer {
    fn new() -> Self {
        let bytes = vec![0; WRITE_LEN + BLOCK_LEN];
        let start = bytes.as_ptr().align_offset(BLOCK_LEN);
        Self { bytes, start }
    }

    fn room(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + WRITE_LEN]
    }
}

impl DirectWriter {
    /// Turns direct writes of this file on, which begin at a block. `None`: its medium has none.
    pub fn begin(file: &File, offset: u64) -> Option<Self> {
        let flags = fcntl_getfl(file).ok()?;
        fcntl_setfl(file, flags | OFlags::DIRECT).ok()?;
        let buffer = FREE.lock().pop().unwrap_or_else(Buffer::new);
        Some(Self { buffer, filled: 0, offset })
    }

    /// Takes pieces, and writes what fills a buffer.
    pub fn write(&mut self, file: &File, pieces: &mut Vec<Bytes>) -> io::Result<()> {
        for piece in pieces.drain(..) {
            let mut rest = &piece[..];
            while !rest.is_empty() {
                let (head, tail) = rest.split_at(rest.len().min(WRITE_LEN - self.filled));
                self.buffer.room()[self.filled..][..head.len()].copy_from_slice(head);
                self.filled += head.len();
                rest = tail;
                if self.filled == WRITE_LEN {
                    write_blocks(file, self.buffer.room(), self.offset)?;
                    self.offset += WRITE_LEN as u64;
                    self.filled = 0;
                }
            }
        }
        Ok(())
    }

    /// Writes the whole blocks that wait, and tells the bytes of one that is not.
    pub fn flush(&mut self, file: &File) -> io::Result<&[u8]> {
        let whole_len = self.filled / BLOCK_LEN * BLOCK_LEN;
        let (blocks, rest) = self.buffer.room()[..self.filled].split_at(whole_len);
        write_blocks(file, blocks, self.offset)?;
        self.offset += whole_len as u64;
        self.filled = 0;
        Ok(rest)
    }

    /// Writes the rest: whole blocks directly, the end through the page cache, where what follows it goes too.
    pub fn finish(mut self, file: &File) -> io::Result<()> {
        let end_at = self.offset + (self.filled / BLOCK_LEN * BLOCK_LEN) as u64;
        let end = self.flush(file)?;
        end_direct(file)?;
        file.write_all_at(end, end_at)?;
        let mut free = FREE.lock();
        if free.len() < MAX_FREE {
            free.push(self.buffer);
        }
        Ok(())
    }
}

/// Writes whole blocks; through the page cache on media that take the flag and refuse the writes.
fn write_blocks(file: &File, blocks: &[u8], offset: u64) -> io::Result<()> {
    match file.write_all_at(blocks, offset) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            end_direct(file)?;
            file.write_all_at(blocks, offset)
        }
        result => result,
    }
}

/// Further writes go through the page cache.
pub(super) fn end_direct(file: &File) -> io::Result<()> {
    Ok(fcntl_setfl(file, fcntl_getfl(file)? - OFlags::DIRECT)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_written_whole() {
        let folder = tempfile::tempdir_in(".").unwrap();
        for len in [0, 1, 4095, 4096, 4097, WRITE_LEN - 1, WRITE_LEN, 3 * WRITE_LEN + 12_345] {
            let path = folder.path().join(len.to_string());
            let file = crate::blob::fs::io::create_new(&path).unwrap();
            let Some(mut direct) = DirectWriter::begin(&file, 0) else { return };
            let whole: Vec<u8> = (0..len).map(|i| (i * 7 + i / 4096) as u8).collect();
            for piece in whole.chunks(700_001) {
                direct.write(&file, &mut vec![Bytes::copy_from_slice(piece)]).unwrap();
            }
            direct.finish(&file).unwrap();
            file.write_all_at(b"tail", len as u64).unwrap();
            assert!(std::fs::read(&path).unwrap() == [&whole[..], b"tail"].concat(), "{len}");
        }
    }
}
