//! The embedded default: a sled database of its own.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::fs::FlockOperation;

use super::{Change, Item, KeyStore, StoreError};

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
    _lock: File,
}

impl SledStore {
    /// Opens the database in this folder, made (0700) if absent.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let failed =
            |error: &dyn std::fmt::Display| StoreError::Failed(format!("{}: {error}", folder.display()));
        DirBuilder::new().mode(0o700).recursive(true).create(folder).map_err(|e| failed(&e))?;
        let lock = lock(folder)?;
        let path = folder.join("db");
        let settings = ::sled::Config::new().path(&path).cache_capacity(CACHE_LEN).flush_every_ms(None);
        let deadline = Instant::now() + CLOSING_TIMEOUT;
        let db = loop {
            match settings.open() {
                // The folder is ours, so whoever holds the file is a store of this process on its way out: sled's own threads may
                // let go of it a little after they were told to. sled has no error of its own for that.
                Err(::sled::Error::Io(_)) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                opened => break opened.map_err(|e| failed(&e))?,
            }
        };
        let log = File::open(path.join("db")).map_err(|e| failed(&e))?;
        for made in [&path, folder] {
            File::open(made).and_then(|f| f.sync_all()).map_err(|e| failed(&e))?;
        }
        Ok(Self { db, log: Mutex::new(log), _lock: lock })
    }
}

impl KeyStore for SledStore {
    fn load(&self) -> Result<Vec<Item>, StoreError> {
        let entries = self.db.iter().map(|entry| entry.map(|(name, value)| (name.to_vec(), value.to_vec())));
        entries.collect::<Result<_, _>>().map_err(|e| StoreError::Failed(e.to_string()))
    }

    fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        let failed = |error: &dyn std::fmt::Display| StoreError::Failed(error.to_string());
        let mut batch = ::sled::Batch::default();
        for (name, value) in changes {
            match value {
                Some(value) => batch.insert(name, value),
                None => batch.remove(name),
            }
        }
        let log = self.log.lock();
        self.db.apply_batch(batch).map_err(|e| failed(&e))?;
        self.db.flush().map_err(|e| failed(&e))?;
        log.sync_data().map_err(|e| failed(&e))
    }
}

fn lock(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join("lock");
    let failed = |error: io::Error| StoreError::Failed(format!("{}: {error}", path.display()));
    let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::InUse),
        Err(error) => Err(failed(error.into())),
    }
}
