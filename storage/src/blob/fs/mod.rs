//! Blobs on a local disk: large ones in a file each, others in segments that many share, of which those of medium ones are written past
//! the page cache. FORMAT.md has the bytes.

mod address;
mod committer;
mod direct;
mod file;
mod frame;
mod io;
mod listing;
mod open;
mod quarantine;
mod reader;
mod segment;
mod space;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io as std_io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;

use self::address::{Address, FrameAddress};
use self::committer::{Committer, Queue};
use self::file::{FileWriter, Files, Tail};
use self::frame::{BlockBuilder, Builder, Frame, HEADER_LEN, Header, Layout};
use self::io::{blocking, read_exact_at};
pub use self::listing::{Depth, Surveyed};
use self::quarantine::Quarantine;
pub use self::quarantine::Quarantined;
use self::reader::FsReader;
pub use self::segment::Finding;
use self::segment::{Segment, Segments, frames_at};
use self::space::Space;
use super::owner::MAX_OWNER_LEN;
use super::{
    BlobError, BlobInfo, BlobOwner, BlobReader, BlobRef, BlobStore, BlobTraits, BlobWriter, SizeHint,
    StoredLen, StoredRange, Why,
};
use crate::figures::BLOBS;
use crate::name::{BlobId, Timestamp};
use crate::session::SessionId;

/// How blobs lie on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FsOptions {
    /// Blobs of up to this many stored bytes share segments; at most 128 KiB.
    pub small_len_max: usize,
    /// Blobs above that, of up to this many stored bytes, share segments that are written past the page cache; at most 4 MiB.
    pub medium_len_max: usize,
    /// Bytes of a full segment; at most 1 GiB.
    pub segment_len: u64,
    /// Bytes that stay free on the file system: writes that would take them are refused.
    pub reserve_free: u64,
    /// The session that makes blobs.
    pub session: SessionId,
}

impl Default for FsOptions {
    fn default() -> Self {
        Self {
            small_len_max: 128 << 10,
            // Objects of 2 MiB, with what seals them.
            medium_len_max: (2 << 20) + (64 << 10),
            segment_len: 64 << 20,
            reserve_free: 256 << 20,
            session: SessionId(0),
        }
    }
}

/// Blobs in a folder of a local file system. The caller sees to it that one process has it open.
#[derive(Debug)]
pub struct FsBlobStore {
    root: PathBuf,
    files: Arc<Files>,
    segments: Arc<Segments>,
    /// Small blobs on their way.
    small: Lane,
    /// Medium ones.
    medium: Lane,
    space: Arc<Space>,
    quarantine: Arc<Quarantine>,
    options: FsOptions,
}

/// The thread that appends to segments of one layout, and what waits for it.
#[derive(Debug)]
struct Lane {
    queue: Arc<Queue>,
    committer: Mutex<Option<JoinHandle<()>>>,
}

impl Lane {
    fn begin(segments: &Arc<Segments>, segment_len: u64, layout: Layout) -> std_io::Result<Self> {
        let queue = Arc::new(Queue::new());
        let committer = Committer::new(queue.clone(), segments.clone(), segment_len, layout);
        let name = match layout {
            Layout::Packed => "blob-committer",
            Layout::Blocks => "block-committer",
        };
        let committer = std::thread::Builder::new().name(name.into()).spawn(move || committer.run())?;
        Ok(Self { queue, committer: Mutex::new(Some(committer)) })
    }

    /// Refuses further frames; answers the thread, which ends once it has written those it has.
    fn close(&self) -> Option<JoinHandle<()>> {
        self.queue.close();
        self.committer.lock().take()
    }
}

/// What lies in the folder.
const OWN_FOLDERS: [&str; 6] = ["files", "tmp", "segments", "quarantine", "id", "id.new"];
const WRONG_FRAME: &str = "the checksum of its frame is wrong";
/// Contents up to this length, in bytes, are read along with the header of their frame: one call in place of two.
const AHEAD_LEN: u64 = 16 << 10;
/// A record and its blob that tell two lengths.
const OTHER_LEN: &str = "another length than its record says";

impl FsBlobStore {
    /// Opens the store in this folder, made if absent, and recovers what a crash left. Waits for the disk.
    pub fn open(folder: impl Into<PathBuf>, options: FsOptions) -> Result<Self, BlobError> {
        Self::open_io(folder.into(), options).map_err(BlobError::Unavailable)
    }

    fn open_io(path: PathBuf, options: FsOptions) -> std_io::Result<Self> {
        let options = FsOptions {
            small_len_max: options.small_len_max.min(128 << 10),
            medium_len_max: options.medium_len_max.min(4 << 20),
            segment_len: options.segment_len.clamp(1 << 10, 1 << 30),
            ..options
        };
        let folder = io::Folder::open(path.clone())?;
        let space = Arc::new(Space::new(File::open(&path)?, options.reserve_free));
        let files =
            Arc::new(Files::open(path.join("files"), path.join("tmp"), space.clone(), options.session)?);
        let segments = Arc::new(Segments::open(path.join("segments"), options.session)?);
        let quarantine = Arc::new(Quarantine::open(path.join("quarantine"))?);
        folder.sync()?;
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            File::open(parent)?.sync_all()?;
        }
        let small = Lane::begin(&segments, options.segment_len, Layout::Packed)?;
        let medium = Lane::begin(&segments, options.segment_len, Layout::Blocks)?;
        Ok(Self { root: path, files, segments, small, medium, space, quarantine, options })
    }

    /// Writes what waits, seals the active segments and ends; later writes fail as unavailable.
    pub async fn close(&self) {
        for committer in [self.small.close(), self.medium.close()].into_iter().flatten() {
            let _ = blocking(move || committer.join().map_err(|_| std_io::Error::other("panicked"))).await;
        }
    }

    /// Up to `limit` rows of a walk over everything that is stored, behind the row of this id: blobs, and what is damaged. Looked at
    /// with [`Depth::Content`] every stored byte is compared with the checksums it was stored with, which takes no key.
    pub async fn survey(
        &self,
        after: Option<BlobId>,
        limit: usize,
        depth: Depth,
    ) -> Result<Vec<Surveyed>, BlobError> {
        let (files, segments) = (self.files.clone(), self.segments.clone());
        let page = blocking(move || listing::page(&files, &segments, after, limit, depth));
        page.await.map_err(BlobError::Unavailable)
    }

    /// Compares every byte of a blob with the checksums it was stored with; it takes no key.
    pub async fn verify(&self, blob: &BlobRef) -> Result<(), BlobError> {
        let id = blob.id;
        if let Some(Address::File(address)) = Address::parse(&id) {
            let (file, stored_len) = (self.file(id, address).await?, blob.stored_len.0);
            let looked = blocking(move || {
                Ok(match Tail::read(&file, &id)? {
                    Err(why) => Some(why),
                    Ok(tail) if tail.stored_len != stored_len => Some(OTHER_LEN),
                    Ok(tail) => (!tail.fits(&file, None)?).then_some("the checksum of its content is wrong"),
                })
            });
            let damage = looked.await.map_err(|error| truncated_or(id, error))?;
            return damage.map_or(Ok(()), |why| Err(BlobError::Corrupt(id, why)));
        }
        self.open(blob).await?;
        match Address::parse(&id) {
            Some(Address::Frame(address)) => self.body(id, address).await.map(drop),
            _ => Err(BlobError::NotFound(id)),
        }
    }

    /// A live frame's header and its sound body.
    async fn body(&self, id: BlobId, address: FrameAddress) -> Result<(Header, Bytes), BlobError> {
        let (_, file, header) = self.frame(id, address).await?;
        let body_at = u64::from(address.offset) + HEADER_LEN as u64;
        let body = read_exact_at(&file, body_at, header.body_len()).await;
        let body = body.map_err(|error| truncated_or(id, error))?.freeze();
        if header.fits(&body) { Ok((header, body)) } else { Err(BlobError::Corrupt(id, WRONG_FRAME)) }
    }

    /// A live frame's header and its sound tail.
    async fn tail(&self, id: BlobId, address: FrameAddress) -> Result<(Header, Bytes), BlobError> {
        let (_, file, header) = self.frame(id, address).await?;
        let tail_at = u64::from(address.offset) + HEADER_LEN as u64 + u64::from(header.stored_len);
        let tail = read_exact_at(&file, tail_at, header.tail_len()).await;
        let tail = tail.map_err(|error| truncated_or(id, error))?.freeze();
        match header.fits_tail(&tail) {
            Some(true) => Ok((header, tail)),
            Some(false) => Err(BlobError::Corrupt(id, WRONG_FRAME)),
            None => {
                let (header, body) = self.body(id, address).await?;
                Ok((header, body.slice(header.stored_len as usize..)))
            }
        }
    }

    /// What was not as it should be when the store was opened.
    pub fn findings(&self) -> &[Finding] {
        self.segments.findings()
    }

    /// Files in the folder that this store did not put there, at most `limit` of them.
    pub async fn foreign_files(&self, limit: usize) -> Result<Vec<PathBuf>, BlobError> {
        let (root, files, segments) = (self.root.clone(), self.files.clone(), self.segments.clone());
        let found = blocking(move || {
            let mut found = Vec::new();
            for entry in std::fs::read_dir(&root)? {
                let entry = entry?;
                if !OWN_FOLDERS.iter().any(|own| entry.file_name() == *own) {
                    found.push(entry.path());
                }
            }
            for entry in std::fs::read_dir(&segments.folder.path)? {
                let entry = entry?;
                if !entry.file_name().to_str().is_some_and(Segments::is_own_name) {
                    found.push(entry.path());
                }
            }
            files.foreign(limit, &mut found)?;
            found.truncate(limit);
            Ok(found)
        });
        found.await.map_err(BlobError::Unavailable)
    }

    /// The segment and the header of a live frame, with the file it is in.
    async fn frame(
        &self,
        id: BlobId,
        address: FrameAddress,
    ) -> Result<(Arc<Segment>, Arc<File>, Header), BlobError> {
        let (segment, file, header, _) = self.frame_with(id, address, 0).await?;
        Ok((segment, file, header))
    }

    /// The same with up to so many bytes behind the header, read at once; none where the file ends before.
    async fn frame_with(
        &self,
        id: BlobId,
        address: FrameAddress,
        ahead: usize,
    ) -> Result<(Arc<Segment>, Arc<File>, Header, BytesMut), BlobError> {
        let segment = self.segments.get(address.segment).ok_or(BlobError::NotFound(id))?;
        if !segment.is_live(address.offset) {
            return Err(BlobError::NotFound(id));
        }
        let file = match self.segments.file(address.segment).await {
            Ok(file) => file,
            Err(error) => return Err(not_found_or(id, error)),
        };
        let at = u64::from(address.offset);
        let read = match read_exact_at(&file, at, HEADER_LEN + ahead).await {
            // It may be of another frame, and must say so.
            Err(error) if ahead > 0 && error.kind() == std_io::ErrorKind::UnexpectedEof => {
                read_exact_at(&file, at, HEADER_LEN).await
            }
            read => read,
        };
        let mut read = read.map_err(|error| truncated_or(id, error))?;
        let header = read.split_to(HEADER_LEN);
        match Header::decode(&header) {
            Some(header) if header.nonce == address.nonce => Ok((segment, file, header, read)),
            Some(_) => Err(BlobError::NotFound(id)),
            None => Err(BlobError::Corrupt(id, "the header of its frame is not sound")),
        }
    }

    async fn file(&self, id: BlobId, address: address::FileAddress) -> Result<Arc<File>, BlobError> {
        self.files.file(address).await.map_err(|error| not_found_or(id, error))
    }
}

impl Drop for FsBlobStore {
    fn drop(&mut self) {
        for committer in [self.small.close(), self.medium.close()].into_iter().flatten() {
            let _ = committer.join();
        }
    }
}

fn not_found_or(id: BlobId, error: std_io::Error) -> BlobError {
    match error.kind() {
        std_io::ErrorKind::NotFound => BlobError::NotFound(id),
        _ => BlobError::Unavailable(error),
    }
}

fn truncated_or(id: BlobId, error: std_io::Error) -> BlobError {
    match error.kind() {
        std_io::ErrorKind::UnexpectedEof => BlobError::Corrupt(id, "its file is cut short"),
        _ => BlobError::Unavailable(error),
    }
}

#[async_trait]
impl BlobStore for FsBlobStore {
    async fn create(&self, owner: BlobOwner, hint: SizeHint) -> Result<Box<dyn BlobWriter>, BlobError> {
        let owner_bytes = owner.encode();
        if owner_bytes.len() > MAX_OWNER_LEN {
            let error = std_io::Error::new(std_io::ErrorKind::InvalidInput, "an owner over 8 KiB");
            return Err(BlobError::Unavailable(error));
        }
        let FsOptions { small_len_max, medium_len_max, .. } = self.options;
        let state = match hint {
            SizeHint::Exact(len) if len > small_len_max.max(medium_len_max) as u64 => {
                let writer = self.files.create(owner, Some(len)).await.map_err(BlobError::Unavailable)?;
                return Ok(Box::new(writer));
            }
            SizeHint::Exact(len) => {
                self.space.admit(len).map_err(BlobError::Unavailable)?;
                match len > small_len_max as u64 {
                    true => State::Medium(Box::new(BlockBuilder::new())),
                    false => State::Small(Builder::new(len as usize + owner_bytes.len() + TRAILER_GUESS)),
                }
            }
            SizeHint::Unknown => {
                self.space.admit(0).map_err(BlobError::Unavailable)?;
                State::Small(Builder::new(0))
            }
        };
        Ok(Box::new(FsWriter {
            files: self.files.clone(),
            small: self.small.queue.clone(),
            medium: self.medium.queue.clone(),
            options: self.options,
            owner,
            owner_bytes,
            state,
        }))
    }

    async fn open(&self, blob: &BlobRef) -> Result<Box<dyn BlobReader>, BlobError> {
        let (id, len) = (blob.id, blob.stored_len.0);
        let (file, base, ahead) = match Address::parse(&id).ok_or(BlobError::NotFound(id))? {
            Address::File(address) => (self.file(id, address).await?, 0, BytesMut::new()),
            Address::Frame(address) => {
                let ahead = if len <= AHEAD_LEN { len as usize } else { 0 };
                let (_, file, header, ahead) = self.frame_with(id, address, ahead).await?;
                if u64::from(header.stored_len) != len {
                    return Err(BlobError::Corrupt(id, OTHER_LEN));
                }
                (file, u64::from(address.offset) + HEADER_LEN as u64, ahead)
            }
        };
        Ok(Box::new(FsReader { id, file, base, len, ahead: Mutex::new(ahead) }))
    }

    async fn read_trailer(&self, blob: &BlobRef) -> Result<Bytes, BlobError> {
        let id = blob.id;
        match Address::parse(&id).ok_or(BlobError::NotFound(id))? {
            Address::File(address) => {
                let file = self.file(id, address).await?;
                let tail = blocking(move || Tail::read(&file, &id)).await.map_err(BlobError::Unavailable)?;
                Ok(tail.map_err(|why| BlobError::Corrupt(id, why))?.trailer)
            }
            Address::Frame(address) => {
                let (header, tail) = self.tail(id, address).await?;
                Ok(tail.slice(..header.trailer_len as usize))
            }
        }
    }

    async fn delete(&self, blob: &BlobId) -> Result<(), BlobError> {
        match Address::parse(blob) {
            None => Ok(()),
            Some(Address::File(address)) => {
                let files = self.files.clone();
                blocking(move || files.remove(address)).await.map_err(BlobError::Unavailable)
            }
            Some(Address::Frame(address)) => {
                let (segment, _, header) = match self.frame(*blob, address).await {
                    Err(BlobError::NotFound(_)) => return Ok(()),
                    Err(error @ BlobError::Corrupt(..)) => {
                        // Nobody knows any more whether it was counted, so its segment stays; nothing else may wait for it.
                        tracing::error!(
                            error = &error as &dyn std::error::Error,
                            "a damaged blob keeps its space"
                        );
                        return Ok(());
                    }
                    other => other?,
                };
                if self.segments.kill(&segment, address.offset, header.frame_len() as u32) {
                    let segments = self.segments.clone();
                    let removed = blocking(move || segments.remove(segment.number));
                    removed.await.map_err(BlobError::Unavailable)?;
                }
                Ok(())
            }
        }
    }

    async fn list(&self, after: Option<BlobId>, limit: usize) -> Result<Vec<BlobInfo>, BlobError> {
        let (files, segments) = (self.files.clone(), self.segments.clone());
        let listed = blocking(move || {
            let (mut rows, mut after) = (Vec::new(), after);
            while rows.len() < limit {
                let page = listing::page(&files, &segments, after, limit - rows.len(), Depth::Rows)?;
                let Some(last) = page.last() else { break };
                after = Some(last.id());
                rows.extend(page.into_iter().filter_map(Surveyed::sound));
            }
            Ok(rows)
        });
        listed.await.map_err(BlobError::Unavailable)
    }

    fn traits(&self) -> BlobTraits {
        BlobTraits { survives_delete: true, by_session: false }
    }

    async fn sync_deletions(&self) -> Result<(), BlobError> {
        let segments = self.segments.clone();
        blocking(move || segments.sync_dead_lists()).await.map_err(BlobError::Unavailable)
    }

    async fn quarantine(&self, blob: &BlobId, why: Why) -> Result<(), BlobError> {
        self.put_away(blob, why).await
    }

    async fn count_quarantined(&self) -> Result<u64, BlobError> {
        self.count_put_away().await
    }

    async fn expire_quarantine(&self, kept: Duration) -> Result<u64, BlobError> {
        self.delete_put_away(kept).await
    }

    async fn tidy(&self) -> Result<(), BlobError> {
        let (files, segments) = (self.files.clone(), self.segments.clone());
        let done = blocking(move || {
            if segments.is_behind() {
                segments.save_dead_lists()?;
            }
            files.remove_empty_folders()
        });
        done.await.map_err(BlobError::Unavailable)
    }

    async fn mostly_dead(&self, dead_percent_min: u64) -> Result<Vec<BlobId>, BlobError> {
        let full = self.segments.occupancy().into_iter();
        let dead = full.filter(|segment| {
            segment.dead_bytes * 100 >= segment.bytes * dead_percent_min && segment.bytes > 0
        });
        Ok(dead
            .map(|segment| FrameAddress { segment: segment.number, offset: 0, nonce: [0; 6] }.id())
            .collect())
    }

    fn same_segment(&self, one: &BlobId, other: &BlobId) -> bool {
        match (Address::parse(one), Address::parse(other)) {
            (Some(Address::Frame(one)), Some(Address::Frame(other))) => one.segment == other.segment,
            _ => false,
        }
    }
}

/// Room for a usual trailer, so that a frame is built in one allocation.
const TRAILER_GUESS: usize = 1024;

/// A blob that fits a segment until it has shown otherwise.
struct FsWriter {
    files: Arc<Files>,
    small: Arc<Queue>,
    medium: Arc<Queue>,
    options: FsOptions,
    owner: BlobOwner,
    owner_bytes: Vec<u8>,
    state: State,
}

enum State {
    Small(Builder),
    Medium(Box<BlockBuilder>),
    Large(Box<FileWriter>),
    Failed,
}

impl FsWriter {
    /// Turns a blob that outgrew its frame into a file.
    async fn outgrow(&mut self) -> Result<&mut FileWriter, BlobError> {
        let payload = match std::mem::replace(&mut self.state, State::Failed) {
            State::Small(builder) => Some(vec![builder.into_payload()]),
            State::Medium(builder) => Some(builder.into_payload()),
            other => {
                self.state = other;
                None
            }
        };
        if let Some(payload) = payload {
            let file = self.files.create(self.owner.clone(), None).await.map_err(BlobError::Unavailable)?;
            let mut file = Box::new(file);
            for piece in payload {
                file.write(piece).await?;
            }
            self.state = State::Large(file);
        }
        match &mut self.state {
            State::Large(file) => Ok(file),
            _ => Err(BlobError::Unavailable(std_io::Error::other("an earlier write failed"))),
        }
    }
}

#[async_trait]
impl BlobWriter for FsWriter {
    async fn write(&mut self, data: Bytes) -> Result<(), BlobError> {
        match &mut self.state {
            State::Small(builder) if builder.len() + data.len() <= self.options.small_len_max => {
                builder.push(&data);
                Ok(())
            }
            State::Medium(builder) if builder.len() + data.len() <= self.options.medium_len_max => {
                builder.push(&data);
                Ok(())
            }
            State::Large(file) => file.write(data).await,
            _ => self.outgrow().await?.write(data).await,
        }
    }

    fn room(&mut self, len: usize) -> Option<&mut [u8]> {
        match &mut self.state {
            State::Medium(builder) if builder.len() + len <= self.options.medium_len_max => builder.room(len),
            State::Large(file) => file.room(len),
            _ => None,
        }
    }

    async fn finish(mut self: Box<Self>, trailer: Bytes) -> Result<BlobRef, BlobError> {
        super::check_trailer(&trailer)?;
        let fits = |layout: Layout, len: usize| {
            let len = (HEADER_LEN + len + trailer.len() + self.owner_bytes.len()) as u64;
            frames_at(layout) + len.next_multiple_of(layout.align()) <= self.options.segment_len
        };
        let outgrows = match &self.state {
            State::Small(builder) => !fits(Layout::Packed, builder.len()),
            State::Medium(builder) => !fits(Layout::Blocks, builder.len()),
            State::Large(_) | State::Failed => false,
        };
        if outgrows {
            self.outgrow().await?;
        }
        let nonce = crate::random::public_bytes();
        let finished_ms = Timestamp::now().unix_ms();
        let append = |queue: Arc<Queue>, len: usize, frame: Frame| async move {
            let id = queue.append(frame).await.map_err(BlobError::Unavailable)?;
            Ok(BlobRef { id, stored_len: StoredLen(len as u64) })
        };
        let finished = match self.state {
            State::Small(builder) => {
                let len = builder.len();
                append(self.small, len, builder.finish(&self.owner_bytes, &trailer, finished_ms, nonce)).await
            }
            State::Medium(builder) => {
                let len = builder.len();
                append(self.medium, len, builder.finish(&self.owner_bytes, &trailer, finished_ms, nonce))
                    .await
            }
            State::Large(file) => file.finish(trailer).await,
            State::Failed => Err(BlobError::Unavailable(std_io::Error::other("an earlier write failed"))),
        };
        BLOBS.finished(&finished);
        finished
    }
}
