//! The embedded default: sled 0.34, used with care. FORMAT.md says what lies in its tree, and what sled does and does not
//! promise.
//!
//! One thread commits: it takes what is queued, judges conditions against the tree and what it has accepted so far,
//! applies everything as one atomic batch, and flushes. So one sync commits many transactions, and conditions need no
//! locks. What sled calls a flush is made a real one in [`durable`].
//!
//! Every batch has a number and the digest over all records after it. A [`Head`](crate::head::Head) outside of sled knows the number
//! of the last one that was durable, because a damaged log looks to sled like one that ends sooner. After a failure the
//! committing thread closes sled and opens it again from what the medium has.

mod commit;
mod durable;
mod engine;
mod entry;
mod reader;
mod walk;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};

use self::commit::{Committer, Request};
use self::engine::Engine;
use self::walk::Shared;
use super::{
    Direction, Entry, Key, KeyRange, KeyValue, KvError, Mark, Place, Snapshot, Standing, Transaction,
};
use crate::digest::{Digester, Unkeyed};
use crate::figures::COMMITS;
use crate::name::Timestamp;

/// Transactions that wait to be committed; more wait for a place in the queue.
const QUEUE_LEN: usize = 1024;
/// A scan of more entries than this runs on a thread for blocking work.
const MAX_INLINE_SCAN: usize = 300;
/// How long sled may hold its own lock after the process's former use of the folder has ended.
const LINGER: Duration = Duration::from_secs(5);
/// The share of time that comparing all records takes in the background, and when somebody waits for it: one of so many.
const BACKGROUND_SHARE: u32 = 3;
const WAITED_SHARE: u32 = 1;

/// How to open a [`SledKv`].
#[derive(Clone)]
pub struct SledConfig {
    /// A folder of its own; made if it does not exist.
    pub dir: PathBuf,
    /// The most that sled's page cache takes, in bytes.
    pub cache_len: u64,
    /// Makes the digest over all records.
    pub digester: Arc<dyn Digester>,
    /// What the head's files are called but for their endings; `None`: none is kept.
    pub head: Option<PathBuf>,
    /// An operator takes the folder as it is for the right one, whatever the head says.
    pub accepts: bool,
}

impl SledConfig {
    /// Without a secret for digests and without a head: for tests and measurements.
    pub fn new(dir: impl Into<PathBuf>, cache_len: u64) -> Self {
        Self { dir: dir.into(), cache_len, digester: Arc::new(Unkeyed), head: None, accepts: false }
    }
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
        source: std::io::Error,
    },
    /// What is in it isn't what was written.
    #[error("the catalog in {dir} is damaged; `sealgate rebuild` makes a new one from the blobs")]
    Corrupt {
        /// The folder.
        dir: PathBuf,
        /// What is wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It ends too early: its log is damaged, or it is an older copy.
    #[error(
        "the catalog in {dir} ends at commit {reached}, {acknowledged} were acknowledged: put the right one back, or \
         `sealgate rebuild` makes a new one from the blobs"
    )]
    Behind {
        /// The folder.
        dir: PathBuf,
        /// Its last commit.
        reached: u64,
        /// The last commit that was acknowledged.
        acknowledged: u64,
    },
    /// Nothing tells how far it should reach.
    #[error(
        "the catalog's head is missing ({} and {}), so nobody knows whether the catalog in {dir} is whole: put \
         the head back, or take the catalog as it is with `sealgate adopt`",
        head[0].display(), head[1].display()
    )]
    NoHead {
        /// The folder.
        dir: PathBuf,
        /// The head's two files.
        head: Vec<PathBuf>,
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
    shared: Arc<Shared>,
    former_end: Option<Timestamp>,
    /// Joins the committing thread, which holds the folder's lock; the last field, so that the queue ends before.
    _committer: Joined,
}

impl SledKv {
    /// Opens the folder, and begins to compare its records with what was committed.
    pub fn open(config: &SledConfig) -> Result<Self, OpenKvError> {
        let lock = engine::lock(&config.dir)?;
        let mut engine = Engine::open(config, LINGER)?;
        let last_commit = engine.committed;
        let (head, is_exact) = engine.compare(config)?;
        let former_end = is_exact.then_some(last_commit);
        let shared =
            Arc::new(Shared::new(engine.tree.clone(), config.digester.clone(), engine.number, engine.digest));
        let (queue, requests) = mpsc::channel(QUEUE_LEN);
        let committer = Committer::new(config.clone(), engine, shared.clone(), head);
        let thread = std::thread::Builder::new().name("kv-commit".into()).spawn(move || {
            committer.run(requests);
            // What sled still has to write is written before another process may come.
            drop(lock);
        });
        let thread = thread.map_err(|source| OpenKvError::Io { dir: config.dir.clone(), source })?;
        verify_in_background(&shared);
        Ok(Self { queue, shared, former_end, _committer: Joined(Some(thread)) })
    }

    /// When the last commit before it was opened was made, if it is sure that it was the last one: the engine's end is that which the
    /// head tells.
    pub fn former_end(&self) -> Option<Timestamp> {
        self.former_end
    }

    /// The number of the last commit.
    pub fn commit_number(&self) -> u64 {
        self.shared.applied.lock().number
    }

    /// Commits what is queued, and refuses what comes later. Readers may go on.
    pub async fn close(&self) -> Result<(), KvError> {
        self.shared.closing.store(true, Ordering::Relaxed);
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

fn verify_in_background(shared: &Arc<Shared>) {
    let shared = shared.clone();
    let verify = move || match shared.verify(BACKGROUND_SHARE) {
        Ok(records) => tracing::debug!(records, "the catalog's records are those that were committed"),
        // A difference has been told; a failure is told by who failed.
        Err(error) => tracing::debug!(%error, "the catalog's records were not compared"),
    };
    if let Err(error) = std::thread::Builder::new().name("kv-verify".into()).spawn(verify) {
        tracing::warn!(%error, "the catalog's records are not compared: no thread can be had");
    }
}

#[async_trait]
impl KeyValue for SledKv {
    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>, KvError> {
        self.shared.with_tree(|tree| keys.iter().map(|key| reader::get(tree, key)).collect())
    }

    async fn scan(
        &self,
        range: KeyRange,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<(Key, Entry)>, KvError> {
        if limit <= MAX_INLINE_SCAN {
            return self.shared.with_tree(|tree| reader::scan(tree, &range, direction, limit));
        }
        let shared = self.shared.clone();
        let scan = move || shared.with_tree(|tree| reader::scan(tree, &range, direction, limit));
        blocking(scan).await
    }

    async fn commit(&self, transaction: Transaction) -> Result<(), KvError> {
        self.limits().check(&transaction)?;
        let began = std::time::Instant::now();
        let answer = self.request(|reply| Request::Commit { transaction, reply }).await;
        COMMITS.answered(began.elapsed(), &answer);
        answer
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, KvError> {
        Ok(Box::new(self.shared.snapshot()))
    }

    async fn verify(&self) -> Result<u64, KvError> {
        let shared = self.shared.clone();
        blocking(move || shared.verify(WAITED_SHARE)).await
    }

    fn standing(&self) -> Standing {
        self.shared.applied.lock().standing
    }

    fn mark(&self, place: Place<'_>) -> Option<Mark> {
        self.shared.marks.of(place)
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, KvError> + Send + 'static,
) -> Result<T, KvError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| KvError::Unavailable(Box::new(error)))?
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

impl Drop for SledKv {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Relaxed);
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
    /// A store whose sync fails from now on, until it has been opened again.
    async fn break_sync(&self) {
        self.request(|reply| Request::BreakSync { reply }).await.expect("an answer");
    }

    /// A store whose committing thread panics once.
    async fn panic(&self) {
        self.queue.send(Request::Panic).await.expect("the thread lives");
    }

    /// A store that can't be opened again as long as this is so.
    async fn break_open(&self, is_broken: bool) {
        self.request(|reply| Request::BreakOpen { is_broken, reply }).await.expect("an answer");
    }
}

#[cfg(test)]
mod tests;
