//! From one catalog with its blobs to another with its own: the move from a folder to engines that several gateways share, and back.
//!
//! Records go first, still referring to blobs where they were; then each blob that a record refers to is copied, and the record is
//! made to refer to the copy. Neither side is served meanwhile. Run again after it was cut off, or after the source went on, it does
//! what is left: what says the same already stays. At the end [`Transfer::compare`] reads both sides whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::stream::{self, StreamExt, TryStreamExt};
use parking_lot::Mutex;

use crate::blob::{BlobError, BlobInfo, BlobOwner, BlobRef, BlobStore, SizeHint, StoredRange};
use crate::catalog::{Catalog, CatalogError, OwnerState, name_of};
use crate::kv::Key;

/// Blobs of one look at the source.
const PAGE_LEN: usize = 256;
/// Blobs that are copied, or compared, at once.
const AT_ONCE: usize = 16;
/// Blobs over so many bytes are sent in parts, several at a time each: fewer of them at once, so that they don't wait for memory.
const LARGE_LEN: u64 = 8 << 20;
const LARGE_AT_ONCE: usize = 4;
/// Bytes of one read: what each of them holds in memory, and its writer once more.
const READ_LEN: usize = 1 << 20;
/// Faults that are told by name; more are counted.
const MAX_NAMED: usize = 100;

/// Records and blobs of one side.
#[derive(Clone)]
pub struct Side {
    /// Records. Of the target: with a session that goes on.
    pub catalog: Catalog,
    /// Blobs.
    pub blobs: Arc<dyn BlobStore>,
}

/// Why a transfer ended before its end; what was done is done.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// Records can't be read or written.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// Blobs can't be read or written.
    #[error(transparent)]
    Blob(#[from] BlobError),
}

/// How far a transfer has come; it counts on while others look.
#[derive(Debug, Default)]
pub struct Progress {
    /// Records looked at.
    pub records: AtomicU64,
    /// Records written or taken away.
    pub changed: AtomicU64,
    /// Blobs looked at.
    pub blobs: AtomicU64,
    /// Blobs copied, or compared.
    pub done: AtomicU64,
    /// Their bytes.
    pub len: AtomicU64,
    faults: Mutex<(Vec<String>, u64)>,
}

impl Progress {
    fn add(count: &AtomicU64, more: u64) {
        count.fetch_add(more, Ordering::Relaxed);
    }

    fn fault(&self, fault: String) {
        let mut faults = self.faults.lock();
        faults.1 += 1;
        if faults.0.len() < MAX_NAMED {
            faults.0.push(fault);
        }
    }

    /// What was left out or differs: the first hundred in words, and how many there are.
    pub fn faults(&self) -> (Vec<String>, u64) {
        self.faults.lock().clone()
    }
}

/// From one side to another.
pub struct Transfer {
    /// Where everything is. It is only read.
    pub from: Side,
    /// Where it goes. Nobody else writes there.
    pub to: Side,
}

impl Transfer {
    /// Makes the target's records those of the source; their blobs are still to come.
    ///
    /// # Errors
    /// When a side can't be read or written. Run it again.
    pub async fn copy_records(&self, progress: &Progress) -> Result<(), TransferError> {
        let mut after = None;
        loop {
            let (copied, next) = self.from.catalog.copy_to(&self.to.catalog, after).await?;
            Progress::add(&progress.records, copied.same + copied.written + copied.removed);
            Progress::add(&progress.changed, copied.written + copied.removed);
            copied.unreadable.into_iter().for_each(|name| progress.fault(format!("{name}: can't be read")));
            match next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// Copies each blob that a record of the target refers to and that is still at the source.
    ///
    /// # Errors
    /// When a side can't be read or written. A blob that is damaged is named and left out.
    pub async fn copy_blobs(&self, progress: &Progress) -> Result<(), TransferError> {
        let mut after = None;
        loop {
            let page = self.from.blobs.list(after, PAGE_LEN).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.blob.id);
            let (large, small): (Vec<_>, Vec<_>) =
                page.into_iter().partition(|info| info.blob.stored_len.0 > LARGE_LEN);
            for (blobs, at_once) in [(small, AT_ONCE), (large, LARGE_AT_ONCE)] {
                let copies = blobs.into_iter().map(|info| self.copy_blob(info, progress));
                stream::iter(copies).buffer_unordered(at_once).try_collect::<()>().await?;
            }
        }
    }

    /// Does a record of the target refer to this blob of the source? Records of parts that wait for their end do so, too.
    async fn refers_to(&self, owner: &BlobOwner, blob: BlobRef) -> Result<bool, CatalogError> {
        let catalog = &self.to.catalog;
        match owner {
            BlobOwner::Content { .. } => Ok(catalog.content_blob(owner).await? == Some(blob)),
            BlobOwner::Journal { .. } => match catalog.owner_state(owner, blob.id).await? {
                OwnerState::Alive => Ok(true),
                OwnerState::Dead | OwnerState::Unknown => Ok(false),
                OwnerState::Unreadable => Err(CatalogError::Corrupt("what it is a journal of")),
            },
        }
    }

    async fn copy_blob(&self, info: BlobInfo, progress: &Progress) -> Result<(), TransferError> {
        let BlobInfo { blob, owner, .. } = info;
        Progress::add(&progress.blobs, 1);
        match self.refers_to(&owner, blob).await {
            Ok(true) => {}
            // Displaced, of a write that was cut off, or copied already.
            Ok(false) => return Ok(()),
            Err(CatalogError::Corrupt(what)) => {
                progress.fault(format!("blob {}: its record can't be read: {what}", blob.id));
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
        let mut writer = self.to.blobs.create(owner.clone(), SizeHint::Exact(blob.stored_len.0)).await?;
        let read = async {
            let trailer = self.from.blobs.read_trailer(&blob).await?;
            let reader = self.from.blobs.open(&blob).await?;
            reader.will_read(0..blob.stored_len.0).await;
            for range in ranges(&blob) {
                let bytes = reader.read(range).await?;
                Progress::add(&progress.len, bytes.len() as u64);
                writer.write(bytes.freeze()).await.map_err(CopyError::Written)?;
            }
            Ok::<_, CopyError>(trailer)
        };
        let trailer = match read.await {
            Ok(trailer) => trailer,
            Err(CopyError::Written(error)) | Err(CopyError::Read(error @ BlobError::Unavailable(_))) => {
                return Err(error.into());
            }
            Err(CopyError::Read(error)) => {
                progress.fault(error.to_string());
                return Ok(());
            }
        };
        let copy = writer.finish(trailer).await?;
        if self.to.catalog.relocate(&owner, blob, copy).await? {
            Progress::add(&progress.done, 1);
        } else {
            self.to.blobs.delete(&copy.id).await?;
            progress.fault(format!("blob {}: its record does not refer to it with its length", blob.id));
        }
        Ok(())
    }

    /// Reads both sides whole: every record of either has its like on the other, and every blob that one refers to has the same bytes
    /// and the same trailer. What does not is told as a fault.
    ///
    /// # Errors
    /// When a side can't be read.
    pub async fn compare(&self, progress: &Progress) -> Result<(), TransferError> {
        let mut after = None;
        loop {
            let (compared, next) = self.from.catalog.compare_with(&self.to.catalog, after).await?;
            Progress::add(&progress.records, compared.same);
            let name = |keys: &[Key], what: &str| {
                keys.iter().for_each(|key| progress.fault(format!("{}: {what}", name_of(key))));
            };
            name(&compared.differing, "is not the same there");
            name(&compared.surplus, "is there alone");
            name(&compared.unreadable, "can't be read");
            let pairs =
                compared.blobs.into_iter().map(|(here, there)| self.compare_blob(here, there, progress));
            stream::iter(pairs).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
            match next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    async fn compare_blob(
        &self,
        here: BlobRef,
        there: BlobRef,
        progress: &Progress,
    ) -> Result<(), TransferError> {
        Progress::add(&progress.blobs, 1);
        let same = async {
            let (one, other) = futures_util::try_join!(
                self.from.blobs.read_trailer(&here),
                self.to.blobs.read_trailer(&there)
            )?;
            if one != other || here.stored_len != there.stored_len {
                return Ok(false);
            }
            let (one, other) =
                futures_util::try_join!(self.from.blobs.open(&here), self.to.blobs.open(&there))?;
            one.will_read(0..here.stored_len.0).await;
            other.will_read(0..there.stored_len.0).await;
            for range in ranges(&here) {
                let (mine, theirs) = futures_util::try_join!(one.read(range), other.read(range))?;
                if mine != theirs {
                    return Ok(false);
                }
                Progress::add(&progress.len, mine.len() as u64);
            }
            Ok(true)
        };
        match same.await {
            Ok(true) => Progress::add(&progress.done, 1),
            Ok(false) => progress.fault(format!(
                "blob {there}: not the bytes of {here}",
                there = there.id,
                here = here.id
            )),
            Err(error @ BlobError::Unavailable(_)) => return Err(error.into()),
            Err(error) => progress.fault(error.to_string()),
        }
        Ok(())
    }
}

/// Which side failed: what can't be read is left out, what can't be written ends it.
enum CopyError {
    Read(BlobError),
    Written(BlobError),
}

impl From<BlobError> for CopyError {
    fn from(error: BlobError) -> Self {
        Self::Read(error)
    }
}

fn ranges(blob: &BlobRef) -> impl Iterator<Item = StoredRange> {
    let len = blob.stored_len.0;
    (0..len).step_by(READ_LEN).map(move |offset| {
        let len = usize::try_from(len - offset).unwrap_or(usize::MAX).min(READ_LEN);
        StoredRange { offset, len }
    })
}

#[cfg(test)]
mod tests;
