//! Writes past the page cache (`O_DIRECT`): the medium takes the bytes from our memory, which spares the kernel a copy of each and
//! spares what other requests have cached. `open(2)`, section "O_DIRECT".

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest};
use parking_lot::Mutex;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use super::io::write_all_at;

/// Bytes of a block: what every medium's alignment divides.
pub(super) const BLOCK_LEN: usize = 4096;
/// Bytes of a buffer.
pub(super) const BUFFER_LEN: usize = 256 << 10;
/// How many free buffers are kept.
const MAX_FREE: usize = 32;

/// Buffers that are used again: a fresh one costs a page fault per 4 KiB.
static FREE: Mutex<Vec<Buffer>> = Mutex::new(Vec::new());

/// Aligned memory.
#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    start: usize,
}

impl Buffer {
    fn take() -> Self {
        if let Some(free) = FREE.lock().pop() {
            return free;
        }
        let bytes = vec![0; BUFFER_LEN + BLOCK_LEN];
        let start = bytes.as_ptr().align_offset(BLOCK_LEN);
        Self { bytes, start }
    }

    fn give_back(self) {
        let mut free = FREE.lock();
        if free.len() < MAX_FREE {
            free.push(self);
        }
    }

    fn room(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + BUFFER_LEN]
    }

    /// The first bytes; the buffer is used again when the last of these is dropped.
    fn into_bytes(self, len: usize) -> Bytes {
        Bytes::from_owner(Filled { buffer: self, len })
    }
}

/// What is filled of a buffer.
struct Filled {
    buffer: Buffer,
    len: usize,
}

impl AsRef<[u8]> for Filled {
    fn as_ref(&self) -> &[u8] {
        &self.buffer.bytes[self.buffer.start..][..self.len]
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        std::mem::take(&mut self.buffer).give_back();
    }
}

/// Bytes on their way to the medium, in buffers that it takes as they are, and their checksum.
#[derive(Debug)]
pub(super) struct AlignedBytes {
    buffers: VecDeque<Buffer>,
    /// Bytes in all.
    len: u64,
    /// Of them, in buffers that were taken.
    taken: u64,
    crc: Digest,
    /// Of them, in the checksum or left out of it.
    digested: u64,
}

impl AlignedBytes {
    pub fn new() -> Self {
        let crc = Digest::new(CrcAlgorithm::Crc32Iscsi);
        Self { buffers: VecDeque::new(), len: 0, taken: 0, crc, digested: 0 }
    }

    /// How many there were.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// How many there are.
    pub fn held_len(&self) -> usize {
        (self.len - self.taken) as usize
    }

    /// Appends some.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let len = bytes.len().min(BUFFER_LEN - self.end());
            let (head, rest) = bytes.split_at(len);
            self.room(len).expect("it ends where the buffer does, at most").copy_from_slice(head);
            bytes = rest;
        }
        self.digest();
    }

    /// Appends as many as the caller fills in, before anything else. `None`: they would not lie in one buffer.
    pub fn room(&mut self, len: usize) -> Option<&mut [u8]> {
        self.digest();
        let at = self.end();
        if len > BUFFER_LEN - at {
            return None;
        }
        if at == 0 {
            self.buffers.push_back(Buffer::take());
        }
        self.len += len as u64;
        self.buffers.back_mut().map(|last| &mut last.room()[at..at + len])
    }

    /// Where the last buffer ends; 0: the next byte begins one.
    fn end(&self) -> usize {
        (self.len % BUFFER_LEN as u64) as usize
    }

    /// What has come since the last time, while the processor has it at hand.
    fn digest(&mut self) {
        while self.digested < self.len {
            let at = (self.digested - self.taken) as usize;
            let (number, at) = (at / BUFFER_LEN, at % BUFFER_LEN);
            let len = (BUFFER_LEN - at).min((self.len - self.digested) as usize);
            self.crc.update(&self.buffers[number].room()[at..at + len]);
            self.digested += len as u64;
        }
    }

    /// Leaves what there is now out of the checksum; nothing else may be in it yet.
    pub fn leave_out(&mut self) {
        self.crc.reset();
    }

    /// CRC-32C of them.
    pub fn crc(&mut self) -> u32 {
        self.digest();
        self.crc.finalize() as u32
    }

    /// Those of the first buffer.
    pub fn first_mut(&mut self) -> &mut [u8] {
        let len = self.held_len().min(BUFFER_LEN);
        self.buffers.front_mut().map_or(&mut [], |first| &mut first.room()[..len])
    }

    /// Takes the buffers that are full.
    pub fn take_full(&mut self) -> Vec<Bytes> {
        self.digest();
        let full = self.held_len() / BUFFER_LEN;
        self.taken += (full * BUFFER_LEN) as u64;
        self.buffers.drain(..full).map(|buffer| buffer.into_bytes(BUFFER_LEN)).collect()
    }

    /// Takes all.
    pub fn take(&mut self) -> Vec<Bytes> {
        let mut pieces = self.take_full();
        let rest = self.held_len();
        self.taken = self.len;
        pieces.extend(self.buffers.pop_front().map(|buffer| buffer.into_bytes(rest)));
        pieces
    }
}

impl Drop for AlignedBytes {
    fn drop(&mut self) {
        self.buffers.drain(..).for_each(Buffer::give_back);
    }
}

/// Writes pieces whose memory is aligned and which are whole blocks; through the page cache on media that take the flag and refuse the
/// writes.
pub(super) fn write_blocks(file: &File, mut pieces: Vec<Bytes>, offset: u64) -> io::Result<()> {
    match write_all_at(file, &mut pieces.clone(), offset) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            end_direct(file)?;
            write_all_at(file, &mut pieces, offset)
        }
        result => result,
    }
}

/// The same of pieces of which the last may end within a block: that goes through the page cache, where what follows it goes too.
pub(super) fn write_last(file: &File, mut pieces: Vec<Bytes>, offset: u64) -> io::Result<()> {
    let len: usize = pieces.iter().map(Bytes::len).sum();
    let end_len = len % BLOCK_LEN;
    let end = pieces.last_mut().map(|last| last.split_off(last.len() - end_len));
    write_blocks(file, pieces, offset)?;
    end_direct(file)?;
    file.write_all_at(&end.unwrap_or_default(), offset + (len - end_len) as u64)
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
    use crate::blob::fs::io::{crc32c, create_new};

    #[test]
    fn every_length_is_written_whole() {
        let folder = tempfile::tempdir_in(".").unwrap();
        for len in [0, 1, 4095, 4096, 4097, BUFFER_LEN - 1, BUFFER_LEN, 3 * BUFFER_LEN + 12_345] {
            let whole: Vec<u8> = (0..len).map(|i| (i * 7 + i / 4096) as u8).collect();
            let path = folder.path().join(len.to_string());
            let file = create_new(&path).unwrap();
            begin_direct(&file);
            let (mut bytes, mut written) = (AlignedBytes::new(), 0);
            for (number, piece) in whole.chunks(70_001).enumerate() {
                // Every other one is pushed, and so is what no buffer has room for.
                let room = if number % 2 == 0 { bytes.room(piece.len()) } else { None };
                match room {
                    Some(room) => room.copy_from_slice(piece),
                    None => bytes.push(piece),
                }
                let full = bytes.take_full();
                assert!(full.iter().all(|piece| piece.as_ptr().align_offset(BLOCK_LEN) == 0));
                let len: usize = full.iter().map(Bytes::len).sum();
                write_blocks(&file, full, written).unwrap();
                written += len as u64;
            }
            assert_eq!((bytes.len(), bytes.crc()), (len as u64, crc32c(&whole)));
            write_last(&file, bytes.take(), written).unwrap();
            assert_eq!(bytes.held_len(), 0);
            file.write_all_at(b"tail", len as u64).unwrap();
            assert!(std::fs::read(&path).unwrap() == [&whole[..], b"tail"].concat(), "{len}");
        }
    }

    #[test]
    fn what_is_left_out_is_not_in_the_checksum() {
        let mut bytes = AlignedBytes::new();
        bytes.push(b"head");
        bytes.leave_out();
        bytes.push(b"123456789");
        assert_eq!(bytes.crc(), crc32c(b"123456789"));
        bytes.first_mut()[..4].copy_from_slice(b"HEAD");
        assert_eq!(bytes.take(), [&b"HEAD123456789"[..]]);
    }
}
