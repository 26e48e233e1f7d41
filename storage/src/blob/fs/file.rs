//! Large blobs: a file each, named by its id once it is whole.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use crc_fast::{CrcAlgorithm, Digest};
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use super::address::FileAddress;
use super::direct::{AlignedBytes, BUFFER_LEN, begin_direct, write_blocks, write_last};
use super::io::{Folder, blocking, crc32c, create_new, open_read, reserve, write_all_at};
use super::open::OpenFiles;
use super::space::Space;
use crate::blob::owner::MAX_OWNER_LEN;
use crate::blob::{BlobError, BlobOwner, BlobRef, BlobWriter, MAX_TRAILER_LEN, StoredLen};
use crate::name::{BlobId, Timestamp};
use crate::session::SessionId;

/// Bytes of the footer.
const FOOTER_LEN: usize = 48;
const MAGIC: [u8; 4] = *b"SGbf";
const VERSION: u8 = 1;
/// Bytes that are read at once where a whole file is looked at.
const READ_LEN: usize = 1 << 20;
/// Bytes that are handed to a thread that writes: as many again are gathered meanwhile, for each upload in flight.
/// Whole buffers, for those alone are handed over.
const GATHER_LEN: usize = 2 * BUFFER_LEN;
/// Files of at least this length are written past the page cache.
const DIRECT_LEN_MIN: u64 = 128 << 10;
/// How far ahead of what has come the medium is reserved, at least and at most.
const RESERVE_LEN_MIN: u64 = 4 << 20;
const RESERVE_LEN_MAX: u64 = 64 << 20;
/// Files that stay open for reading, at most: one is opened in a few microseconds, so there need not be many.
const MAX_OPEN: usize = 32;
/// Files whose ids share all of the time but this many low bits share a folder: 2^20 ms are 17 minutes.
const FOLDER_BITS: u32 = 20;

/// The files of a store.
#[derive(Debug)]
pub(super) struct Files {
    /// Holds the folders of finished files.
    pub folder: Folder,
    /// Those that were read last.
    pub open: OpenFiles<FileAddress>,
    /// Holds files that are being written.
    temp: PathBuf,
    current: Mutex<Option<(u64, Arc<Folder>)>>,
    space: Arc<Space>,
    session: SessionId,
}

/// The fixed part at the end of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tail {
    pub stored_len: u64,
    pub trailer: Bytes,
    pub owner: BlobOwner,
    /// CRC-32C of the stored bytes.
    pub content_crc: u32,
}

impl Files {
    /// Opens the folders; unfinished files of earlier runs are removed.
    pub fn open(path: PathBuf, temp: PathBuf, space: Arc<Space>, session: SessionId) -> io::Result<Self> {
        let folder = Folder::open(path)?;
        Folder::open(temp.clone())?;
        for entry in std::fs::read_dir(&temp)? {
            std::fs::remove_file(entry?.path())?;
        }
        let open = OpenFiles::new(MAX_OPEN);
        Ok(Self { folder, open, temp, current: Mutex::new(None), space, session })
    }

    /// A file, for reading.
    pub async fn file(&self, address: FileAddress) -> io::Result<Arc<File>> {
        let absence = match self.open.get_linked(address) {
            Ok(file) => return Ok(file),
            Err(absence) => absence,
        };
        let file = Arc::new(open_read(&self.folder, Self::relative(address)).await?);
        self.open.put(address, file.clone(), absence);
        Ok(file)
    }

    /// Removes a file; none is fine. Waits for the medium.
    pub fn remove(&self, address: FileAddress) -> io::Result<()> {
        let removed = std::fs::remove_file(self.path(address));
        self.open.remove(address);
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The path of a file below [`Files::folder`].
    fn relative(address: FileAddress) -> PathBuf {
        let mut path = PathBuf::from(folder_name(address.finished_ms >> FOLDER_BITS));
        path.push(address.id().to_string());
        path
    }

    /// The path of a file.
    pub fn path(&self, address: FileAddress) -> PathBuf {
        self.folder.path.join(Self::relative(address))
    }

    /// Begins a file.
    pub async fn create(self: &Arc<Self>, owner: BlobOwner, len: Option<u64>) -> io::Result<FileWriter> {
        let files = self.clone();
        let (file, is_direct, temp) = blocking(move || {
            // What is announced must fit; what is taken is what comes.
            files.space.fits(len.unwrap_or(0))?;
            let mut name = [0; 12];
            getrandom::fill(&mut name).expect("the operating system gives random bytes");
            let path = files.temp.join(hex::encode(name));
            let file = create_new(&path)?;
            let temp = TempFile(Some(path));
            let is_direct = len.is_some_and(|len| len >= DIRECT_LEN_MIN) && begin_direct(&file);
            Ok((file, is_direct, temp))
        })
        .await?;
        let sink = Sink { file, temp, is_direct, written: 0, announced: len, reserved: 0 };
        Ok(FileWriter {
            files: self.clone(),
            owner,
            gathered: AlignedBytes::new(),
            sink: Stage::Idle(Box::new(sink)),
        })
    }

    /// The folder for files finished at this time, made if need be, and its name in the parent durable.
    fn folder_of(&self, finished_ms: u64) -> io::Result<Arc<Folder>> {
        let number = finished_ms >> FOLDER_BITS;
        let mut current = self.current.lock();
        if let Some((held, folder)) = &*current
            && *held == number
        {
            return Ok(folder.clone());
        }
        let folder = Arc::new(Folder::open(self.folder.path.join(folder_name(number)))?);
        self.folder.sync()?;
        *current = Some((number, folder.clone()));
        Ok(folder)
    }

    fn finish(
        &self,
        mut sink: Sink,
        mut gathered: AlignedBytes,
        owner: &BlobOwner,
        trailer: Bytes,
    ) -> io::Result<BlobRef> {
        let (stored_len, content_crc) = (gathered.len(), gathered.crc());
        sink.write(gathered.take(), write_last, &self.space)?;
        let mut random = [0; 5];
        getrandom::fill(&mut random).expect("the operating system gives random bytes");
        let finished_ms = Timestamp::now().unix_ms() & ((1 << 48) - 1);
        let address = FileAddress { finished_ms, session: self.session, random };
        let tail = Tail { stored_len, trailer, owner: owner.clone(), content_crc };
        let mut tail = vec![tail.encode(&address.id())];
        let end = stored_len + tail[0].len() as u64;
        write_all_at(&sink.file, &mut tail, stored_len)?;
        if sink.reserved > end {
            sink.file.set_len(end)?;
        }
        crate::figures::BLOBS.sync(&sink.file)?;
        let folder = self.folder_of(finished_ms)?;
        sink.temp.rename(&self.path(address))?;
        folder.sync()?;
        Ok(BlobRef { id: address.id(), stored_len: StoredLen(stored_len) })
    }

    /// Up to `limit` files with addresses above `after`, in order.
    pub fn list(&self, after: Option<FileAddress>, limit: usize) -> io::Result<Vec<FileAddress>> {
        let mut folders = Vec::new();
        for entry in std::fs::read_dir(&self.folder.path)? {
            let name = entry?.file_name();
            if let Some(number) = name.to_str().and_then(parse_folder_name)
                && after.is_none_or(|after| number >= after.finished_ms >> FOLDER_BITS)
            {
                folders.push(number);
            }
        }
        folders.sort_unstable();
        let mut rows = Vec::new();
        for number in folders {
            let mut ids = std::collections::BTreeSet::new();
            let room = limit - rows.len();
            let entries = match std::fs::read_dir(self.folder.path.join(folder_name(number))) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other?,
            };
            for entry in entries {
                let Some(id) = entry?.file_name().to_str().and_then(|name| BlobId::parse(name).ok()) else {
                    continue;
                };
                if after.is_none_or(|after| id > after.id()) {
                    ids.insert(id);
                    if ids.len() > room {
                        ids.pop_last();
                    }
                }
            }
            rows.extend(ids.iter().filter_map(|id| match super::Address::parse(id) {
                Some(super::Address::File(address)) => Some(address),
                _ => None,
            }));
            if rows.len() >= limit {
                break;
            }
        }
        Ok(rows)
    }

    /// Adds what lies in the folder that is no file of this store, until there are `limit` of them.
    pub fn foreign(&self, limit: usize, found: &mut Vec<PathBuf>) -> io::Result<()> {
        for entry in std::fs::read_dir(&self.folder.path)? {
            let entry = entry?;
            let number = entry.file_name().to_str().and_then(parse_folder_name);
            let (Some(number), true) = (number, entry.path().is_dir()) else {
                found.push(entry.path());
                continue;
            };
            for entry in std::fs::read_dir(entry.path())? {
                let entry = entry?;
                let id = entry.file_name().to_str().and_then(|name| BlobId::parse(name).ok());
                let is_own = id.is_some_and(|id| match super::Address::parse(&id) {
                    Some(super::Address::File(address)) => address.finished_ms >> FOLDER_BITS == number,
                    _ => false,
                });
                if !is_own {
                    found.push(entry.path());
                }
                if found.len() >= limit {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Removes folders that are empty and whose time is over.
    pub fn remove_empty_folders(&self) -> io::Result<()> {
        let now = Timestamp::now().unix_ms() >> FOLDER_BITS;
        for entry in std::fs::read_dir(&self.folder.path)? {
            let entry = entry?;
            if entry.file_name().to_str().and_then(parse_folder_name).is_some_and(|number| number + 1 < now) {
                // Fails where it is not empty, which is fine.
                let _ = std::fs::remove_dir(entry.path());
            }
        }
        Ok(())
    }
}

fn folder_name(number: u64) -> String {
    format!("{number:07x}")
}

fn parse_folder_name(name: &str) -> Option<u64> {
    (name.len() == 7).then(|| u64::from_str_radix(name, 16).ok()).flatten()
}

impl Tail {
    /// Trailer, owner and footer.
    pub fn encode(&self, id: &BlobId) -> Bytes {
        let owner = self.owner.encode();
        let mut out = BytesMut::with_capacity(self.trailer.len() + owner.len() + FOOTER_LEN);
        out.extend_from_slice(&self.trailer);
        out.extend_from_slice(&owner);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[VERSION, 0, 0, 0]);
        out.extend_from_slice(&self.stored_len.to_le_bytes());
        out.extend_from_slice(&(self.trailer.len() as u32).to_le_bytes());
        out.extend_from_slice(&(owner.len() as u32).to_le_bytes());
        out.extend_from_slice(id.as_bytes());
        out.extend_from_slice(&self.content_crc.to_le_bytes());
        let crc = crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out.freeze()
    }

    /// Reads and checks the tail of a file; `Ok(Err(why))` if it is not what was written.
    pub fn read(file: &File, id: &BlobId) -> io::Result<Result<Self, &'static str>> {
        const NO_FOOTER: &str = "its file has no sound footer";
        let len = file.metadata()?.len();
        let Some(footer_at) = len.checked_sub(FOOTER_LEN as u64) else {
            return Ok(Err(NO_FOOTER));
        };
        let mut footer = [0; FOOTER_LEN];
        file.read_exact_at(&mut footer, footer_at)?;
        let word = |at: usize| u32::from_le_bytes(footer[at..at + 4].try_into().expect("four bytes"));
        let stored_len = u64::from_le_bytes(footer[8..16].try_into().expect("eight bytes"));
        let (trailer_len, owner_len) = (word(16) as usize, word(20) as usize);
        let lengths = stored_len.checked_add((trailer_len + owner_len) as u64);
        if footer[..4] != MAGIC
            || footer[4] != VERSION
            || footer[24..40] != *id.as_bytes()
            || lengths != Some(footer_at)
            || trailer_len > MAX_TRAILER_LEN
            || owner_len > MAX_OWNER_LEN
        {
            return Ok(Err(NO_FOOTER));
        }
        let mut tail = BytesMut::zeroed(trailer_len + owner_len);
        file.read_exact_at(&mut tail, stored_len)?;
        let mut crc = Digest::new(CrcAlgorithm::Crc32Iscsi);
        crc.update(&tail);
        crc.update(&footer[..FOOTER_LEN - 4]);
        if crc.finalize() as u32 != word(44) {
            return Ok(Err("the checksum of its trailer is wrong"));
        }
        let Some(owner) = BlobOwner::decode(&tail[trailer_len..]) else {
            return Ok(Err("its owner can't be read"));
        };
        tail.truncate(trailer_len);
        Ok(Ok(Self { stored_len, trailer: tail.freeze(), owner, content_crc: word(40) }))
    }
}

impl Tail {
    /// Are the stored bytes those that were written? They are read no faster than so many a second, if so many are given; what was read
    /// at a pace does not take the place of what is asked for in the page cache.
    pub fn fits(&self, file: &File, len_per_s: Option<u64>) -> io::Result<bool> {
        let mut crc = Digest::new(CrcAlgorithm::Crc32Iscsi);
        let mut buffer = vec![0; READ_LEN];
        let mut at = 0;
        while at < self.stored_len {
            let piece = (self.stored_len - at).min(READ_LEN as u64) as usize;
            file.read_exact_at(&mut buffer[..piece], at)?;
            crc.update(&buffer[..piece]);
            if let Some(len_per_s) = len_per_s {
                let _ = rustix::fs::fadvise(
                    file,
                    at,
                    std::num::NonZeroU64::new(piece as u64),
                    rustix::fs::Advice::DontNeed,
                );
                let pause_us = piece as u64 * 1_000_000 / len_per_s.max(1);
                std::thread::sleep(std::time::Duration::from_micros(pause_us));
            }
            at += piece as u64;
        }
        Ok(crc.finalize() as u32 == self.content_crc)
    }
}

/// A large blob being written: one write is under way while the next is gathered.
pub(super) struct FileWriter {
    files: Arc<Files>,
    owner: BlobOwner,
    gathered: AlignedBytes,
    sink: Stage,
}

enum Stage {
    Idle(Box<Sink>),
    Writing(JoinHandle<io::Result<Box<Sink>>>),
    Failed,
}

struct Sink {
    file: File,
    temp: TempFile,
    /// Past the page cache, where the medium can.
    is_direct: bool,
    written: u64,
    announced: Option<u64>,
    /// Bytes of the medium that the file has, from its beginning on.
    reserved: u64,
}

impl Sink {
    /// Makes sure of the medium up to `end`, and of some more of what was announced: as much again as has come, so that a file lies in
    /// few pieces, and somebody who announces much and sends little takes little.
    fn reserve(&mut self, end: u64, space: &Space) -> io::Result<()> {
        if end <= self.reserved {
            return Ok(());
        }
        let ahead = end + end.clamp(RESERVE_LEN_MIN, RESERVE_LEN_MAX);
        let to = self.announced.map_or(end, |announced| announced.min(ahead)).max(end);
        space.admit(to - self.reserved)?;
        if self.announced.is_some() {
            reserve(&self.file, self.reserved, to - self.reserved)?;
        }
        self.reserved = to;
        Ok(())
    }

    /// Writes pieces, by `write` where that is past the page cache.
    fn write(
        &mut self,
        mut pieces: Vec<Bytes>,
        write: fn(&File, Vec<Bytes>, u64) -> io::Result<()>,
        space: &Space,
    ) -> io::Result<()> {
        let len: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
        self.reserve(self.written + len, space)?;
        match self.is_direct {
            true => write(&self.file, pieces, self.written)?,
            false => write_all_at(&self.file, &mut pieces, self.written)?,
        }
        self.written += len;
        Ok(())
    }
}

impl FileWriter {
    /// The sink, once no write is under way.
    async fn idle(&mut self) -> io::Result<Box<Sink>> {
        if let Stage::Writing(write) = &mut self.sink {
            let result = match write.await {
                Ok(result) => result,
                Err(_) => Err(io::Error::other("a write was stopped or failed")),
            };
            self.sink = Stage::Failed;
            return result;
        }
        match std::mem::replace(&mut self.sink, Stage::Failed) {
            Stage::Idle(sink) => Ok(sink),
            _ => Err(io::Error::other("an earlier write failed")),
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        let mut sink = self.idle().await?;
        let pieces = self.gathered.take_full();
        let space = self.files.space.clone();
        self.sink = Stage::Writing(tokio::task::spawn_blocking(move || {
            sink.write(pieces, write_blocks, &space)?;
            Ok(sink)
        }));
        Ok(())
    }
}

#[async_trait]
impl BlobWriter for FileWriter {
    async fn write(&mut self, data: Bytes) -> Result<(), BlobError> {
        self.gathered.push(&data);
        if self.gathered.held_len() >= GATHER_LEN {
            self.flush().await.map_err(BlobError::Unavailable)?;
        }
        Ok(())
    }

    fn room(&mut self, len: usize) -> Option<&mut [u8]> {
        // What fills it up is written, so that it goes.
        (self.gathered.held_len() + len < GATHER_LEN).then(|| self.gathered.room(len))?
    }

    async fn finish(mut self: Box<Self>, trailer: Bytes) -> Result<BlobRef, BlobError> {
        crate::blob::check_trailer(&trailer)?;
        let sink = self.idle().await.map_err(BlobError::Unavailable)?;
        let Self { files, owner, gathered, .. } = *self;
        blocking(move || files.finish(*sink, gathered, &owner, trailer)).await.map_err(BlobError::Unavailable)
    }
}

/// A file that disappears unless it is renamed.
#[derive(Debug)]
struct TempFile(Option<PathBuf>);

impl TempFile {
    fn rename(&mut self, to: &Path) -> io::Result<()> {
        let path = self.0.as_ref().ok_or_else(|| io::Error::other("renamed before"))?;
        std::fs::rename(path, to)?;
        self.0 = None;
        Ok(())
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let Some(path) = self.0.take() else { return };
        let remove = move || {
            if let Err(error) = std::fs::remove_file(&path) {
                tracing::warn!(%error, "an abandoned blob could not be removed; the next start does it");
            }
        };
        // Freeing a large file takes its time: not on a thread that serves requests.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}
