//! The first copy: a sled database of its own.

use std::any::Any;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::fs::FlockOperation;

use super::aside::with_suffix;
use super::{Change, Expected, Item, KeyStore, StoreError};

/// A key store holds little; sled's default cache of 1 GiB is no use to it.
const CACHE_LEN: u64 = 4 << 20;

/// How long sled's file may still be held by a store of this process that is closing.
const CLOSING_TIMEOUT: Duration = Duration::from_secs(2);

/// See the module.
pub struct SledStore {
    db: ::sled::Db,
    /// sled's file, to be synced: its own flush is only a `sync_file_range`, which a power cut may undo.
    log: Mutex<File>,
    /// The last field, so that the folder is let go once sled is closed.
    _lock: Option<File>,
}

/// Why a database does not open.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// It is not what was written.
    #[error("{0}")]
    Damaged(String),
    /// It can't be read or written now.
    #[error("{0}")]
    Failed(String),
}

impl SledStore {
    /// Opens the database in this folder, made (0700) if absent.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let lock = lock(folder)?;
        let opened = Self::open_database(&folder.join("db"));
        let opened = opened.map_err(|error| StoreError::Failed(format!("{}: {error}", folder.display())))?;
        Ok(Self { _lock: Some(lock), ..opened })
    }

    /// Opens a database whose folder the caller holds.
    pub(crate) fn open_database(path: &Path) -> Result<Self, OpenError> {
        let db = match open_sled(path) {
            // sled writes its `conf` once and never syncs it. What it says is the same in every store, so a torn one is no loss.
            Err(OpenError::Damaged(why)) if path.join("conf").exists() => {
                let conf = path.join("conf");
                tracing::warn!(file = %conf.display(), why, "moved aside: the database is tried without it");
                fs::rename(&conf, with_suffix(&conf, ".damaged")).map_err(failed)?;
                open_sled(path)?
            }
            opened => opened?,
        };
        let log = File::open(path.join("db")).map_err(failed)?;
        log.sync_all().map_err(failed)?;
        for made in [Some(path.join("conf").as_path()), Some(path), path.parent()].into_iter().flatten() {
            File::open(made).and_then(|f| f.sync_all()).map_err(failed)?;
        }
        Ok(Self { db, log: Mutex::new(log), _lock: None })
    }
}

/// sled makes a panic of some broken logs.
fn open_sled(path: &Path) -> Result<::sled::Db, OpenError> {
    let log = path.join("db");
    if log.exists() {
        // sled makes a snapshot of its log when it opens: never of what only the page cache has.
        File::open(&log).and_then(|log| log.sync_all()).map_err(failed)?;
    }
    let settings = ::sled::Config::new().path(path).cache_capacity(CACHE_LEN).flush_every_ms(None);
    let deadline = Instant::now() + CLOSING_TIMEOUT;
    loop {
        match catch_unwind(AssertUnwindSafe(|| settings.open())) {
            Ok(Ok(db)) => return Ok(db),
            // The folder is ours, so whoever holds the file is a store of this process on its way out: sled's own threads may
            // let go of it a little after they were told to. sled has no error of its own for that.
            Ok(Err(::sled::Error::Io(error))) if error.kind() == io::ErrorKind::Other => {
                if Instant::now() >= deadline {
                    return Err(OpenError::Failed(error.to_string()));
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            Ok(Err(::sled::Error::Io(error))) => return Err(of_io(&error)),
            Ok(Err(error)) => return Err(OpenError::Damaged(error.to_string())),
            Err(panic) => return Err(OpenError::Damaged(panicked(&*panic))),
        }
    }
}

/// An error of the medium is damage; one of the surroundings may pass.
fn of_io(error: &io::Error) -> OpenError {
    use io::ErrorKind as K;
    match error.kind() {
        K::PermissionDenied | K::StorageFull | K::QuotaExceeded | K::ReadOnlyFilesystem | K::OutOfMemory => {
            OpenError::Failed(error.to_string())
        }
        _ => OpenError::Damaged(error.to_string()),
    }
}

fn failed(error: io::Error) -> OpenError {
    OpenError::Failed(error.to_string())
}

fn panicked(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    format!("sled gave up: {text}")
}

impl KeyStore for SledStore {
    fn load(&self) -> Result<Vec<Item>, StoreError> {
        let entries = || {
            let entries =
                self.db.iter().map(|entry| entry.map(|(name, value)| (name.to_vec(), value.to_vec())));
            entries.collect::<Result<_, _>>().map_err(|e| StoreError::Failed(e.to_string()))
        };
        catch_unwind(AssertUnwindSafe(entries)).unwrap_or_else(|p| Err(StoreError::Failed(panicked(&*p))))
    }

    fn commit(&self, _: Expected<'_>, changes: Vec<Change>) -> Result<(), StoreError> {
        let failed = |error: &dyn std::fmt::Display| StoreError::Failed(error.to_string());
        let mut batch = ::sled::Batch::default();
        for (name, value) in changes {
            match value {
                Some(value) => batch.insert(name, value),
                None => batch.remove(name),
            }
        }
        let log = self.log.lock();
        let write = || {
            self.db.apply_batch(batch).map_err(|e| failed(&e))?;
            self.db.flush().map_err(|e| failed(&e))
        };
        catch_unwind(AssertUnwindSafe(write)).unwrap_or_else(|p| Err(failed(&panicked(&*p))))?;
        log.sync_data().map_err(|e| failed(&e))
    }
}

/// Takes the folder for this process; made (0700) if absent.
pub(crate) fn lock(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join("lock");
    let failed = |error: io::Error| StoreError::Failed(format!("{}: {error}", path.display()));
    DirBuilder::new().mode(0o700).recursive(true).create(folder).map_err(failed)?;
    let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::InUse),
        Err(error) => Err(failed(error.into())),
    }
}
