//! Writes past the page cache (`O_DIRECT`): the medium takes the bytes from our memory, which spares the kernel a copy of each and
//! spares what other requests have cached. `open(2)`, section "O_DIRECT".

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use parking_lot::Mutex;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use super::io::write_all_at;

/// Bytes of a block: what every medium's alignment divides.
pub(super) const BLOCK_LEN: usize = 4096;
/// Bytes of one write.
const WRITE_LEN: usize = 1 << 20;
/// Bytes of a buffer of a frame: the last one of a frame is filled in part.
pub(super) const FRAME_BUFFER_LEN: usize = 256 << 10;

static WRITES: Pool = Pool::new(WRITE_LEN, 8);
static FRAMES: Pool = Pool::new(FRAME_BUFFER_LEN, 24);

/// Aligned buffers of a length that are used again: a fresh one costs a page fault per 4 KiB.
struct Pool {
    len: usize,
    /// How many free ones are kept.
    max_free: usize,
    free: Mutex<Vec<Buffer>>,
}

impl Pool {
    const fn new(len: usize, max_free: usize) -> Self {
        Self { len, max_free, free: Mutex::new(Vec::new()) }
    }

    fn take(&self) -> Buffer {
        self.free.lock().pop().unwrap_or_else(|| Buffer::new(self.len))
    }

    fn give_back(&self, buffer: Buffer) {
        let mut free = self.free.lock();
        if free.len() < self.max_free {
            free.push(buffer);
        }
    }
}

/// A file's bytes on their way, one after the other.
#[derive(Debug)]
pub(super) struct DirectWriter {
    buffer: Buffer,
    filled: usize,
    /// Where the buffer begins in the file.
    offset: u64,
}

/// Room for one write, aligned.
#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    start: usize,
}

impl Buffer {
    fn new(len: usize) -> Self {
        let bytes = vec![0; len + BLOCK_LEN];
        let start = bytes.as_ptr().align_offset(BLOCK_LEN);
        Self { bytes, start }
    }

    fn room(&mut self) -> &mut [u8] {
        let end = self.start + self.bytes.len() - BLOCK_LEN;
        &mut self.bytes[self.start..end]
    }
}

/// Bytes in aligned buffers, as a write past the page cache takes them.
#[derive(Debug, Default)]
pub(super) struct AlignedBytes {
    buffers: Vec<Buffer>,
    len: usize,
}

impl AlignedBytes {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Appends some.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let at = self.len % FRAME_BUFFER_LEN;
            if at == 0 {
                self.buffers.push(FRAMES.take());
            }
            let (head, rest) = bytes.split_at(bytes.len().min(FRAME_BUFFER_LEN - at));
            let last = self.buffers.last_mut().expect("one was pushed where there was no room");
            last.room()[at..][..head.len()].copy_from_slice(head);
            self.len += head.len();
            bytes = rest;
        }
    }

    /// The first ones: those of the first buffer.
    pub fn first_mut(&mut self) -> &mut [u8] {
        let len = self.len.min(FRAME_BUFFER_LEN);
        self.buffers.first_mut().map_or(&mut [], |first| &mut first.room()[..len])
    }

    /// All of them; the buffers are used again when the last of these is dropped.
    pub fn into_pieces(mut self) -> Vec<Bytes> {
        let len = std::mem::take(&mut self.len);
        let pieces = std::mem::take(&mut self.buffers).into_iter().enumerate().map(|(number, buffer)| {
            let len = (len - number * FRAME_BUFFER_LEN).min(FRAME_BUFFER_LEN);
            Bytes::from_owner(Piece { buffer, len })
        });
        pieces.collect()
    }
}

impl Drop for AlignedBytes {
    fn drop(&mut self) {
        self.buffers.drain(..).for_each(|buffer| FRAMES.give_back(buffer));
    }
}

/// What is filled of a buffer.
struct Piece {
    buffer: Buffer,
    len: usize,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.buffer.bytes[self.buffer.start..][..self.len]
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        FRAMES.give_back(std::mem::take(&mut self.buffer));
    }
}

impl DirectWriter {
    /// Turns direct writes of this file on, which begin at a block. `None`: its medium has none.
    pub fn begin(file: &File, offset: u64) -> Option<Self> {
        begin_direct(file).then(|| Self { buffer: WRITES.take(), filled: 0, offset })
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
        WRITES.give_back(self.buffer);
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

/// Writes pieces whose memory is aligned and which are whole blocks together, all but the last one for themselves; through the page cache
/// on media that take the flag and refuse the writes.
pub(super) fn write_pieces(file: &File, mut pieces: Vec<Bytes>, offset: u64) -> io::Result<()> {
    match write_all_at(file, &mut pieces.clone(), offset) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            end_direct(file)?;
            write_all_at(file, &mut pieces, offset)
        }
        result => result,
    }
}

/// Further writes go past the page cache; `false`: the medium has no such.
pub(super) fn begin_direct(file: &File) -> bool {
    fcntl_getfl(file).and_then(|flags| fcntl_setfl(file, flags | OFlags::DIRECT)).is_ok()
}

/// Further writes go through the page cache.
pub(super) fn end_direct(file: &File) -> io::Result<()> {
    Ok(fcntl_setfl(file, fcntl_getfl(file)? - OFlags::DIRECT)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligned_bytes_are_whole_and_written_as_they_are() {
        let folder = tempfile::tempdir_in(".").unwrap();
        for len in
            [1, FRAME_BUFFER_LEN - 1, FRAME_BUFFER_LEN, 2 * FRAME_BUFFER_LEN, 2 * FRAME_BUFFER_LEN + 4097]
        {
            let blocks = (len as usize).next_multiple_of(BLOCK_LEN);
            let mut whole: Vec<u8> = (0..len).map(|i| (i * 7 + i / 4096) as u8).collect();
            whole.resize(blocks, 0);
            let mut aligned = AlignedBytes::default();
            whole.chunks(70_001).for_each(|chunk| aligned.push(chunk));
            aligned.first_mut()[0] = b'!';
            whole[0] = b'!';
            assert_eq!(aligned.len(), blocks);
            let pieces = aligned.into_pieces();
            assert!(pieces.iter().all(|piece| piece.as_ptr().align_offset(BLOCK_LEN) == 0));
            let path = folder.path().join(len.to_string());
            let file = crate::blob::fs::io::create_new(&path).unwrap();
            begin_direct(&file);
            write_pieces(&file, pieces, BLOCK_LEN as u64).unwrap();
            assert!(std::fs::read(&path).unwrap()[BLOCK_LEN..] == whole, "{len}");
        }
    }

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
