//! The embedded default: sled 0.34, used with care. FORMAT.md says what lies in its tree, and what sled does and does not
//! promise.
//!
//! One thread commits: it takes what is queued, judges conditions against the tree and what it has accepted so far,
//! applies everything as one atomic batch, and flushes. So one sync commits many transactions, and conditions need no
//! locks. What sled calls a flush is made a real one in [`durable`].

mod commit;
mod durable;
mod entry;

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use sled::IVec;
use tokio::sync::{mpsc, oneshot};

use self::commit::{Committer, Request};
use self::entry::{Stored, tagged};
use super::{Direction, Entry, Frozen, Key, KeyRange, KeyValue, KvError, Transaction};

/// Transactions that wait to be committed; more wait for a place in the queue.
const QUEUE_LEN: usize = 1024;
/// A scan of more entries than this runs on a thread for blocking work.
const MAX_INLINE_SCAN: usize = 300;
/// How long sled may hold its own lock after the process's former use of the folder has ended.
const LINGER: Duration = Duration::from_secs(5);

/// How to open a [`SledKv`].
#[derive(Debug, Clone)]
pub struct SledConfig {
    /// A folder of its own; made if it does not exist.
    pub dir: PathBuf,
    /// The most that sled's page cache takes, in bytes.
    pub cache_len: u64,
}

/// Why a folder does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenKvError {
    /// Another process has it open.
    #[error("{0} is in use by another process")]
    InUse(PathBuf),
    /// The folder can't be read or written.
    #[error("{dir} can't be opened")]
    Io {
        /// The folder.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What is in it isn't what was written.
    #[error("the metadata engine in {dir} is corrupt")]
    Corrupt {
        /// The folder.
        dir: PathBuf,
        /// What sled says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It was written by another version of this program.
    #[error("{dir} holds format {found}, this program knows format {known}")]
    Format {
        /// The folder.
        dir: PathBuf,
        /// The format found.
        found: u64,
        /// The format known.
        known: u64,
    },
}

/// See the module. Its folder is free for another process once this is dropped.
pub struct SledKv {
    queue: mpsc::Sender<Request>,
    reader: Reader,
    /// Joins the committing thread, which holds the folder's lock; the last field, so that the queue ends before.
    _committer: Joined,
}

#[derive(Clone)]
struct Reader {
    tree: sled::Tree,
}

impl SledKv {
    /// Opens the folder.
    pub fn open(config: &SledConfig) -> Result<Self, OpenKvError> {
        let dir = &config.dir;
        let io = |source| OpenKvError::Io { dir: dir.clone(), source };
        let lock = lock(dir)?;
        // sled makes a snapshot of its log when it opens. Of a log that a killed process left in the page cache alone,
        // it would be a snapshot of what a power cut can still take.
        let log = dir.join("db");
        if log.exists() {
            File::open(&log).and_then(|log| log.sync_all()).map_err(io)?;
        }
        let db = open_sled(config)?;
        let log = File::open(&log).and_then(|log| log.sync_all().map(|()| log)).map_err(io)?;
        for folder in [Some(dir.as_path()), dir.parent()].into_iter().flatten() {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)?;
        }
        let tree = (*db).clone();
        let (queue, requests) = mpsc::channel(QUEUE_LEN);
        let committer = Committer::new(tree.clone(), log).map_err(|error| match error {
            commit::StartError::Format(found) => {
                OpenKvError::Format { dir: dir.clone(), found, known: commit::FORMAT }
            }
            commit::StartError::Sled(error) => classify(dir, error),
        })?;
        let thread = std::thread::Builder::new().name("kv-commit".into()).spawn(move || {
            committer.run(requests);
            // In this order: what sled still has to write is written before another process may come.
            drop(db);
            drop(lock);
        });
        let thread = thread.map_err(io)?;
        Ok(Self { queue, reader: Reader { tree }, _committer: Joined(Some(thread)) })
    }

    /// Commits what is queued, and refuses what comes later. Readers may go on.
    pub async fn close(&self) -> Result<(), KvError> {
        self.request(|reply| Request::Close { reply }).await
    }

    async fn request(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<(), KvError>>) -> Request,
    ) -> Result<(), KvError> {
        let (reply, answer) = oneshot::channel();
        let gone = || unavailable("the committing thread has ended");
        self.queue.send(request(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

#[async_trait]
impl KeyValue for SledKv {
    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>, KvError> {
        keys.iter().map(|key| self.reader.get(key)).collect()
    }

    async fn scan(
        &self,
        range: KeyRange,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<(Key, Entry)>, KvError> {
        if limit <= MAX_INLINE_SCAN {
            return self.reader.scan(range, direction, limit);
        }
        let reader = self.reader.clone();
        let scan = tokio::task::spawn_blocking(move || reader.scan(range, direction, limit));
        scan.await.map_err(|error| KvError::Unavailable(Box::new(error)))?
    }

    async fn commit(&self, transaction: Transaction) -> Result<(), KvError> {
        self.request(|reply| Request::Commit { transaction, reply }).await
    }

    async fn freeze(&self) -> Result<Frozen, KvError> {
        let (hold, held) = oneshot::channel();
        self.request(|reply| Request::Freeze { held, reply }).await?;
        Ok(Frozen::new(hold))
    }
}

impl Reader {
    fn get(&self, key: &[u8]) -> Result<Option<Entry>, KvError> {
        let tagged = tagged(key);
        loop {
            let Some(found) = self.tree.get(&tagged).map_err(sled_error)? else {
                return Ok(None);
            };
            if let Some(entry) = self.entry(&found)? {
                return Ok(Some(entry));
            }
        }
    }

    fn scan(
        &self,
        range: KeyRange,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<(Key, Entry)>, KvError> {
        if range.end.as_ref().is_some_and(|end| *end <= range.start) {
            return Ok(Vec::new());
        }
        let start = tagged(&range.start);
        let end = range.end.as_ref().map_or_else(|| vec![entry::ENTRY + 1], |end| tagged(end));
        let mut rows = self.tree.range(start..end);
        let mut found = Vec::with_capacity(limit.min(1024));
        while found.len() < limit {
            let row = match direction {
                Direction::Forward => rows.next(),
                Direction::Backward => rows.next_back(),
            };
            let Some(row) = row else { break };
            let (key, value) = row.map_err(sled_error)?;
            let key = Key::copy_from_slice(&key[1..]);
            let entry = match self.entry(&value)? {
                Some(entry) => Some(entry),
                None => self.get(&key)?,
            };
            found.extend(entry.map(|entry| (key, entry)));
        }
        Ok(found)
    }

    /// The entry of what is stored under its key; `None` if it was replaced while its chunks were read.
    fn entry(&self, stored: &IVec) -> Result<Option<Entry>, KvError> {
        let stored = Stored::parse(stored).map_err(corrupt)?;
        if stored.chunk_count == 0 {
            let value = Key::copy_from_slice(stored.front);
            return Ok(Some(Entry { value, revision: stored.revision }));
        }
        let mut value = stored.front.to_vec();
        for index in 0..stored.chunk_count {
            let chunk = self.tree.get(entry::chunk_key(stored.revision, index)).map_err(sled_error)?;
            let Some(chunk) = chunk else { return Ok(None) };
            value.extend_from_slice(&chunk);
        }
        Ok(Some(Entry { value: value.into(), revision: stored.revision }))
    }
}

/// Waits for a thread when it's dropped.
struct Joined(Option<std::thread::JoinHandle<()>>);

impl Drop for Joined {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take() {
            // Its panic was reported to whoever waited for a commit.
            let _ = thread.join();
        }
    }
}

/// Takes the folder for this process.
fn lock(dir: &Path) -> Result<File, OpenKvError> {
    let io = |source| OpenKvError::Io { dir: dir.to_owned(), source };
    std::fs::create_dir_all(dir).map_err(io)?;
    let lock = File::options().create(true).write(true).truncate(false).open(dir.join("lock")).map_err(io)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(OpenKvError::InUse(dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(io(error)),
    }
}

/// The folder is ours by its lock file; sled's own lock may outlive its last use in this process by a moment.
fn open_sled(config: &SledConfig) -> Result<sled::Db, OpenKvError> {
    let until = Instant::now() + LINGER;
    loop {
        let sled = sled::Config::new().path(&config.dir).cache_capacity(config.cache_len);
        // Of some broken logs it makes a panic.
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| sled.open())) {
            Ok(Ok(db)) => return Ok(db),
            Ok(Err(sled::Error::Io(error)))
                if error.kind() == io::ErrorKind::Other && Instant::now() < until =>
            {
                std::thread::sleep(Duration::from_millis(20));
            }
            Ok(Err(error)) => return Err(classify(&config.dir, error)),
            Err(_) => {
                let source = "sled panicked while it recovered its log".into();
                return Err(OpenKvError::Corrupt { dir: config.dir.clone(), source });
            }
        }
    }
}

fn classify(dir: &Path, error: sled::Error) -> OpenKvError {
    let dir = dir.to_owned();
    match error {
        sled::Error::Io(source) => OpenKvError::Io { dir, source },
        source => OpenKvError::Corrupt { dir, source: Box::new(source) },
    }
}

fn sled_error(error: sled::Error) -> KvError {
    match error {
        sled::Error::Corruption { .. } => KvError::Corrupt(Box::new(error)),
        error => KvError::Unavailable(Box::new(error)),
    }
}

fn corrupt(message: &'static str) -> KvError {
    KvError::Corrupt(message.into())
}

fn unavailable(message: &'static str) -> KvError {
    KvError::Unavailable(message.into())
}

/// What a test does to a store to see what it does then.
#[cfg(test)]
impl SledKv {
    /// A store whose sync fails from now on.
    async fn break_sync(&self) {
        self.request(|reply| Request::BreakSync { reply }).await.expect("an answer");
    }
}

#[cfg(test)]
mod tests;
