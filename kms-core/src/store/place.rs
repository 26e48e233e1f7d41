//! Where a copy lies: how it is read and judged, and how it is made anew from the other.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::aside::{forget_pages, remove, set_aside, sync_folder, with_suffix};
use super::mirror::MirrorLog;
use super::sled::{OpenError, SledStore};
use super::verdict::{Judged, Unlock};
use super::{Change, DIGEST_NAME, Entries, Expected, KeyStore, StoreError};

/// Entries of one commit while a copy is made.
const MADE_AT_ONCE: usize = 500;

/// The place of a copy.
pub(crate) trait Place: Send + Sync {
    fn path(&self) -> &Path;

    /// Is it written after the other?
    fn is_second(&self) -> bool {
        false
    }

    /// Can others write what lies there while it is open here?
    fn is_shared(&self) -> bool {
        false
    }

    /// Opens what is there, reads it whole from the disk, and judges it. An error is one of the surroundings, not of the copy.
    fn read(&self, unlock: &Unlock<'_>) -> Result<Judged, StoreError>;

    /// Makes the copy anew of these entries, durably. What lies there (and is closed) is moved aside if it is to be kept.
    fn make(&self, entries: &Entries, keep_former: bool) -> Result<Box<dyn KeyStore>, StoreError>;
}

fn failed(path: &Path) -> impl Fn(std::io::Error) -> StoreError {
    move |error| StoreError::Failed(format!("{}: {error}", path.display()))
}

/// The place of a sled database.
pub(crate) struct SledPlace(pub(super) PathBuf);

impl Place for SledPlace {
    fn path(&self) -> &Path {
        &self.0
    }

    fn read(&self, unlock: &Unlock<'_>) -> Result<Judged, StoreError> {
        if !self.0.join("db").exists() {
            return Ok(Judged::absent());
        }
        forget_pages(&self.0).map_err(failed(&self.0))?;
        let store = match SledStore::open_database(&self.0) {
            Ok(store) => store,
            Err(OpenError::Damaged(why)) => return Ok(Judged::damaged(why, Entries::new())),
            Err(OpenError::Failed(why)) => {
                return Err(StoreError::Failed(format!("{}: {why}", self.0.display())));
            }
        };
        match store.load() {
            Ok(entries) => Ok(Judged::of(entries.into_iter().collect(), Some(Box::new(store)), unlock)),
            Err(error) => Ok(Judged::damaged(error.to_string(), Entries::new())),
        }
    }

    fn make(&self, entries: &Entries, keep_former: bool) -> Result<Box<dyn KeyStore>, StoreError> {
        let (path, failed) = (&self.0, failed(&self.0));
        let new = with_suffix(path, ".new");
        remove(&new).map_err(&failed)?;
        let open = |path: &Path| {
            let opened = SledStore::open_database(path);
            opened.map_err(|error| StoreError::Failed(format!("{}: {error}", path.display())))
        };
        let store = open(&new)?;
        let changes: Vec<Change> =
            entries.iter().map(|(name, value)| (name.clone(), Some(value.clone()))).collect();
        for some in changes.chunks(MADE_AT_ONCE) {
            store.commit(Expected::Anything, some.to_vec())?;
        }
        drop(store);
        match path.exists() && keep_former {
            true => drop(set_aside(path).map_err(&failed)?),
            false => remove(path).map_err(&failed)?,
        }
        std::fs::rename(&new, path).map_err(&failed)?;
        sync_folder(path.parent()).map_err(&failed)?;
        Ok(Box::new(open(path)?))
    }
}

/// The place of a log.
pub(crate) struct MirrorPlace(pub(super) PathBuf);

impl Place for MirrorPlace {
    fn path(&self) -> &Path {
        &self.0
    }

    fn is_second(&self) -> bool {
        true
    }

    fn read(&self, unlock: &Unlock<'_>) -> Result<Judged, StoreError> {
        forget_pages(&self.0).map_err(failed(&self.0))?;
        let (store, recovered) = match MirrorLog::open(&self.0) {
            Ok(None) => return Ok(Judged::absent()),
            Ok(Some(opened)) => opened,
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                return Err(failed(&self.0)(error));
            }
            Err(error) => return Ok(Judged::damaged(error.to_string(), Entries::new())),
        };
        if let Some(damage) = recovered.damage {
            return Ok(Judged::damaged(damage, recovered.entries));
        }
        let store = store.map(|store| Box::new(store) as Box<dyn KeyStore>);
        let judged = Judged::of(recovered.entries, store, unlock);
        Ok(Judged { is_torn: recovered.is_torn, ..judged })
    }

    fn make(&self, entries: &Entries, keep_former: bool) -> Result<Box<dyn KeyStore>, StoreError> {
        if keep_former && self.0.exists() {
            set_aside(&self.0).map_err(failed(&self.0))?;
        }
        Ok(Box::new(MirrorLog::make(&self.0, entries).map_err(failed(&self.0))?))
    }
}

/// A store that is open, and stays so. Others may share it.
pub(crate) struct FixedPlace {
    store: Arc<dyn KeyStore>,
    /// Its revision when it was read: what is made in its place, is made in the place of that.
    seen: Mutex<Option<Vec<u8>>>,
}

impl FixedPlace {
    pub(crate) fn new(store: Arc<dyn KeyStore>) -> Self {
        Self { store, seen: Mutex::default() }
    }
}

impl Place for FixedPlace {
    fn path(&self) -> &Path {
        Path::new("")
    }

    fn is_shared(&self) -> bool {
        self.store.is_shared()
    }

    fn read(&self, unlock: &Unlock<'_>) -> Result<Judged, StoreError> {
        let entries: Entries = self.store.load()?.into_iter().collect();
        *self.seen.lock() = entries.get(DIGEST_NAME).cloned();
        Ok(Judged::of(entries, Some(Box::new(self.store.clone())), unlock))
    }

    fn make(&self, entries: &Entries, _: bool) -> Result<Box<dyn KeyStore>, StoreError> {
        let ended = self.store.load()?.into_iter().map(|(name, _)| (name, None));
        let new = entries.iter().map(|(name, value)| (name.clone(), Some(value.clone())));
        let changes = ended.chain(new).collect();
        self.store.commit(Expected::Revision(self.seen.lock().as_deref()), changes)?;
        Ok(Box::new(self.store.clone()))
    }
}
