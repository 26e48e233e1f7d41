//! File operations that every part of the store shares.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, IoSliceMut};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use parking_lot::{Condvar, Mutex};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::{Errno, ReadWriteFlags};

/// Slices per write; the kernel takes no more than 1024.
const MAX_SLICES: usize = 512;

/// Creates a file that must not exist, readable and writable by its owner alone.
pub(super) fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

/// Reserves space for `len` bytes from `offset` on without changing the file's length. Media that can't are fine.
pub(super) fn reserve(file: &File, offset: u64, len: u64) -> io::Result<()> {
    if len == 0 {
        return Ok(());
    }
    match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::KEEP_SIZE, offset, len) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) | Ok(()) => Ok(()),
        Err(other) => Err(other.into()),
    }
}

/// Writes all of `pieces` at `offset`.
pub(super) fn write_all_at(file: &File, pieces: &mut Vec<Bytes>, mut offset: u64) -> io::Result<()> {
    let mut done = 0;
    while done < pieces.len() {
        let batch = &mut pieces[done..];
        let slices: Vec<IoSlice<'_>> =
            batch.iter().take(MAX_SLICES).map(|piece| IoSlice::new(piece)).collect();
        let mut written = match rustix::io::pwritev(file, &slices, offset) {
            Ok(0) if batch.iter().any(|piece| !piece.is_empty()) => {
                return Err(io::ErrorKind::WriteZero.into());
            }
            Ok(written) => written,
            Err(Errno::INTR) => continue,
            Err(other) => return Err(other.into()),
        };
        offset += written as u64;
        for piece in batch.iter_mut() {
            let step = written.min(piece.len());
            piece.advance(step);
            written -= step;
            if !piece.is_empty() {
                break;
            }
            done += 1;
        }
    }
    pieces.clear();
    Ok(())
}

/// Reads exactly `len` bytes at `offset`: in place if the page cache has them, else on a blocking thread.
pub(super) async fn read_exact_at(file: &Arc<File>, offset: u64, len: usize) -> io::Result<BytesMut> {
    let mut buffer = vec![0; len];
    read_exact_into(file, offset, len, &mut buffer).await?;
    Ok(Bytes::from(buffer).into())
}

/// As [`read_exact_at`], to the front of `buffer`, which grows where it is too short, and is empty after an error.
pub(super) async fn read_exact_into(
    file: &Arc<File>,
    offset: u64,
    len: usize,
    buffer: &mut Vec<u8>,
) -> io::Result<()> {
    if buffer.len() < len {
        buffer.resize(len, 0);
    }
    let cached = read_cached(file, &mut buffer[..len], offset);
    if cached < len {
        let (file, mut taken) = (file.clone(), std::mem::take(buffer));
        let work = move || {
            use std::os::unix::fs::FileExt;
            file.read_exact_at(&mut taken[cached..len], offset + cached as u64)?;
            Ok(taken)
        };
        *buffer = blocking(work).await?;
    }
    Ok(())
}

/// How many of the bytes could be read without waiting for the medium.
fn read_cached(file: &File, buffer: &mut [u8], offset: u64) -> usize {
    let mut done = 0;
    while done < buffer.len() {
        let mut slices = [IoSliceMut::new(&mut buffer[done..])];
        match rustix::io::preadv2(file, &mut slices, offset + done as u64, ReadWriteFlags::NOWAIT) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(Errno::INTR) => continue,
            // Not cached, or a file system that can't tell: the caller waits elsewhere, and meets any error there.
            Err(_) => break,
        }
    }
    done
}

/// Opens a file for reading: at once if its name is in the kernel's cache, else on a blocking thread.
pub(super) async fn open_read(folder: &Folder, name: PathBuf) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    if let Ok(file) = rustix::fs::openat2(&folder.handle, &name, flags, Mode::empty(), ResolveFlags::CACHED) {
        return Ok(file.into());
    }
    let path = folder.path.join(name);
    blocking(move || File::open(path)).await
}

/// Runs work that waits for the medium on a thread that may wait.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(_) => Err(io::Error::other("the work was stopped or failed")),
    }
}

/// A folder whose changed entries are made durable, many changes by one `fsync`.
#[derive(Debug)]
pub(super) struct Folder {
    /// Where it is.
    pub path: PathBuf,
    handle: File,
    turn: Mutex<Turn>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct Turn {
    running: bool,
    begun: u64,
    done: u64,
}

impl Folder {
    /// Opens the folder, made if absent. The caller makes its entry in the parent durable.
    pub fn open(path: PathBuf) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        match std::fs::DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let handle = File::open(&path)?;
        Ok(Self { path, handle, turn: Mutex::default(), ended: Condvar::new() })
    }

    /// Makes every change of entries that happened before this call durable.
    pub fn sync(&self) -> io::Result<()> {
        let mut turn = self.turn.lock();
        // A sync that runs already may have begun before our change: only the next one counts.
        let mine = turn.begun + 1;
        while turn.done < mine {
            if turn.running {
                self.ended.wait(&mut turn);
                continue;
            }
            turn.running = true;
            turn.begun += 1;
            let this = turn.begun;
            drop(turn);
            let result = self.handle.sync_all();
            turn = self.turn.lock();
            turn.running = false;
            if result.is_ok() {
                turn.done = this;
            }
            self.ended.notify_all();
            result?;
        }
        Ok(())
    }
}

/// A second instance of an error for another waiter.
pub(super) fn same_error(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

/// CRC-32C (Castagnoli).
pub(super) use crate::crc32c;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc32c_is_castagnoli() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn many_pieces_are_written_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let file = create_new(&path).unwrap();
        let mut pieces: Vec<Bytes> =
            (0..2000u32).map(|i| Bytes::from(vec![i as u8; (i % 7) as usize])).collect();
        let expected: Vec<u8> = pieces.iter().flatten().copied().collect();
        write_all_at(&file, &mut pieces, 3).unwrap();
        assert_eq!(std::fs::read(&path).unwrap()[3..], expected);
    }
}
