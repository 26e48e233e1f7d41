//! Blobs that nobody can account for: no record refers to them, and nothing says why. They are put away, not deleted, and can be
//! put back. Each is a file of its own in the folder `quarantine`, called by its id, the time when it came there, and why.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::address::Address;
use super::file::Tail;
use super::io::{Folder, blocking, crc32c, create_new, read_exact_at, write_all_at};
use super::{FsBlobStore, StoredRange, WRONG_FRAME, not_found_or, truncated_or};
use crate::blob::{BlobError, BlobOwner, BlobRef, BlobStore, MAX_READ_LEN, SizeHint, StoredLen, Why};
use crate::name::{BlobId, Timestamp};

/// A blob in quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// Its id, and its length.
    pub blob: BlobRef,
    /// The record it belonged to.
    pub owner: BlobOwner,
    /// When it came there.
    pub since: Timestamp,
    /// Why it is there.
    pub why: Why,
}

/// The folder.
#[derive(Debug)]
pub(super) struct Quarantine {
    folder: Folder,
}

impl Quarantine {
    pub fn open(path: PathBuf) -> io::Result<Self> {
        Ok(Self { folder: Folder::open(path)? })
    }

    fn new_path(&self, id: &BlobId, why: Why) -> PathBuf {
        let why = if why == Why::CutOff { "c" } else { "u" };
        self.folder.path.join(format!("{id}-{}-{why}", Timestamp::now().unix_ms()))
    }

    /// The blobs there, with their files; what is no such file is left out.
    fn list(&self) -> io::Result<Vec<(PathBuf, BlobId, Timestamp, Why)>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.folder.path)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let parsed = name.and_then(|name| name.split_once('-')).and_then(|(id, rest)| {
                let id: [u8; 16] = hex::decode(id).ok()?.try_into().ok()?;
                let (since, why) = rest.split_once('-')?;
                let why = if why == "c" { Why::CutOff } else { Why::Unknown };
                Some((BlobId::from_bytes(id), Timestamp(since.parse().ok()?), why))
            });
            match parsed {
                Some((id, since, why)) => found.push((path, id, since, why)),
                None => tracing::warn!(file = %path.display(), "a foreign file lies in the quarantine"),
            }
        }
        found.sort_unstable_by_key(|(_, id, ..)| *id);
        Ok(found)
    }
}

impl FsBlobStore {
    /// See [`BlobStore::quarantine`].
    pub(super) async fn put_away(&self, blob: &BlobId, why: Why) -> Result<(), BlobError> {
        let id = *blob;
        let path = self.quarantine.new_path(blob, why);
        let (files, quarantine) = (self.files.clone(), self.quarantine.clone());
        match Address::parse(blob).ok_or(BlobError::NotFound(id))? {
            Address::File(address) => {
                let moved = blocking(move || {
                    let from = files.path(address);
                    std::fs::rename(&from, &path)?;
                    files.open.remove(address);
                    quarantine.folder.sync()?;
                    from.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
                });
                moved.await.map_err(|error| not_found_or(id, error))
            }
            Address::Frame(address) => {
                let (header, body) = self.body(id, address).await?;
                let owner = header.owner(&body).ok_or(BlobError::Corrupt(id, WRONG_FRAME))?;
                let trailer_at = header.stored_len as usize;
                let content = body.slice(..trailer_at);
                let tail = Tail {
                    stored_len: header.stored_len.into(),
                    trailer: body.slice(trailer_at..trailer_at + header.trailer_len as usize),
                    owner,
                    content_crc: crc32c(&content),
                };
                let written = blocking(move || write(&path, &quarantine, content, tail.encode(&id)));
                written.await.map_err(BlobError::Unavailable)?;
                self.delete(blob).await
            }
        }
    }

    /// The blobs that were put away, by id.
    pub async fn quarantined(&self) -> Result<Vec<Quarantined>, BlobError> {
        let quarantine = self.quarantine.clone();
        let listed = blocking(move || {
            let mut found = Vec::new();
            for (path, id, since, why) in quarantine.list()? {
                match Tail::read(&File::open(&path)?, &id)? {
                    Ok(Tail { stored_len, owner, .. }) => {
                        let blob = BlobRef { id, stored_len: StoredLen(stored_len) };
                        found.push(Quarantined { blob, owner, since, why });
                    }
                    Err(damage) => tracing::error!(blob = %id, damage, "a blob in quarantine is damaged"),
                }
            }
            Ok(found)
        });
        listed.await.map_err(BlobError::Unavailable)
    }

    /// See [`BlobStore::count_quarantined`].
    pub(super) async fn count_put_away(&self) -> Result<u64, BlobError> {
        let quarantine = self.quarantine.clone();
        let listed = blocking(move || quarantine.list()).await;
        Ok(listed.map_err(BlobError::Unavailable)?.len() as u64)
    }

    /// See [`BlobStore::expire_quarantine`].
    pub(super) async fn delete_put_away(&self, kept: Duration) -> Result<u64, BlobError> {
        let quarantine = self.quarantine.clone();
        let before = Timestamp::now().unix_ms().saturating_sub(kept.as_millis() as u64);
        let expired = blocking(move || {
            let mut count = 0;
            for (path, id, since, _) in quarantine.list()? {
                if since.unix_ms() < before {
                    tracing::warn!(blob = %id, "a blob was in quarantine for as long as the settings keep it: it is deleted");
                    std::fs::remove_file(path)?;
                    count += 1;
                }
            }
            Ok(count)
        });
        expired.await.map_err(BlobError::Unavailable)
    }

    /// Puts back what is in quarantine for one of these reasons; answers how many blobs. Small ones get another id: a rebuild finds whose
    /// they are.
    pub async fn release_quarantine(&self, whys: &[Why]) -> Result<u64, BlobError> {
        let quarantine = self.quarantine.clone();
        let listed = blocking(move || quarantine.list()).await.map_err(BlobError::Unavailable)?;
        let mut count = 0;
        for (path, id, ..) in listed.into_iter().filter(|(.., why)| whys.contains(why)) {
            let opened = {
                let path = path.clone();
                blocking(move || {
                    let file = File::open(path)?;
                    Ok((Tail::read(&file, &id)?, file))
                })
            };
            let (tail, file) = opened.await.map_err(BlobError::Unavailable)?;
            let tail = match tail {
                Ok(tail) => tail,
                Err(why) => {
                    tracing::error!(blob = %id, why, "a blob in quarantine is damaged: it stays there");
                    continue;
                }
            };
            match Address::parse(&id) {
                Some(Address::File(address)) => {
                    let (files, quarantine) = (self.files.clone(), self.quarantine.clone());
                    let to = files.path(address);
                    if to.exists() {
                        tracing::warn!(blob = %id, "another blob lies in the place of one in quarantine: it stays there");
                        continue;
                    }
                    let moved = blocking(move || {
                        let folder = Folder::open(to.parent().map_or_else(PathBuf::new, PathBuf::from))?;
                        files.folder.sync()?;
                        std::fs::rename(&path, &to)?;
                        folder.sync()?;
                        quarantine.folder.sync()
                    });
                    moved.await.map_err(BlobError::Unavailable)?;
                }
                _ => {
                    let file = Arc::new(file);
                    let mut writer =
                        self.create(tail.owner.clone(), SizeHint::Exact(tail.stored_len)).await?;
                    let mut range = StoredRange { offset: 0, len: 0 };
                    while range.offset < tail.stored_len {
                        range.len = (tail.stored_len - range.offset).min(MAX_READ_LEN as u64) as usize;
                        let read = read_exact_at(&file, range.offset, range.len).await;
                        writer.write(read.map_err(|error| truncated_or(id, error))?.freeze()).await?;
                        range.offset += range.len as u64;
                    }
                    writer.finish(tail.trailer).await?;
                    blocking(move || std::fs::remove_file(path)).await.map_err(BlobError::Unavailable)?;
                }
            }
            count += 1;
        }
        Ok(count)
    }
}

fn write(path: &std::path::Path, quarantine: &Quarantine, content: Bytes, tail: Bytes) -> io::Result<()> {
    let file = create_new(path)?;
    write_all_at(&file, &mut vec![content, tail], 0)?;
    file.sync_data()?;
    quarantine.folder.sync()
}
