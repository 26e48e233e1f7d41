//! Opens sled's folder, as often as it takes: at the start, and again after a failure.

use std::fs::{File, TryLockError};
use std::io;
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{Advice, fadvise};
use sled::{Batch, Db, Tree};

use super::durable::{self, FileId};
use super::entry::META;
use super::{OpenKvError, SledConfig, walk};
use crate::digest::{Digest, Digester};
use crate::head::{Found, Head, Reached};
use crate::kv::KvError;
use crate::name::Timestamp;

/// The number of the layout of sled's tree, and of what the catalog may have in it. 1 had neither number nor digest; in 3 there may be bare
/// stretches, which builds of before would not keep true.
pub(super) const FORMAT: u64 = 3;
/// The key of [`FORMAT`].
const FORMAT_KEY: [u8; 2] = [META, b'f'];
/// The key of the revision that no entry has reached yet.
pub(super) const REVISION_KEY: [u8; 2] = [META, b'r'];
/// The key of the last commit's number, time (unix milliseconds) and sealed digest.
pub(super) const COMMIT_KEY: [u8; 2] = [META, b'c'];

/// Bytes that the kernel is asked to read at once: of more it may leave what is longer than its own reading ahead, 128 KiB by default.
const AHEAD_STEP_LEN: u64 = 128 << 10;
/// The most of a log that is read ahead. Of a longer one, the kernel could need the memory before sled has looked at it.
const MAX_AHEAD_LEN: u64 = 2 << 30;

/// sled's own description of its folder, as this program makes it.
const CONF: &[u8] = b"segment_size: 524288\nuse_compression: false\nversion: 0.34\n";

/// The length of a segment of sled's log, as [`CONF`] has it.
pub(super) const SEGMENT_LEN: u64 = 512 << 10;

/// An open engine.
pub(super) struct Engine {
    pub(super) tree: Tree,
    /// sled's log.
    pub(super) log: File,
    pub(super) log_id: FileId,
    /// Revisions up to this may be in use.
    pub(super) reserved: u64,
    /// The last commit.
    pub(super) number: u64,
    pub(super) digest: Digest,
    /// When it was made.
    pub(super) committed: Timestamp,
    /// The digest as it is sealed.
    pub(super) mark: Vec<u8>,
    /// It was made just now.
    pub(super) is_new: bool,
    /// Dropped last: closes sled.
    _db: Db,
}

impl Engine {
    /// Opens the folder. `linger` is how long sled may hold its own lock after a former use in this process.
    pub(super) fn open(config: &SledConfig, linger: Duration) -> Result<Self, OpenKvError> {
        let dir = &config.dir;
        let io = |source| OpenKvError::Io { dir: dir.clone(), source };
        mend_conf(dir).map_err(io)?;
        // sled makes a snapshot of its log when it opens. Of a log that a killed process left in the page cache alone,
        // it would be a snapshot of what a power cut can still take. And of pages whose sync failed the cache may show what
        // the medium does not have: they are read anew.
        let path = dir.join("db");
        let former = path.exists().then(|| File::open(&path)).transpose().map_err(io)?;
        if let Some(log) = &former {
            log.sync_all().map_err(io)?;
            fadvise(log, 0, None, Advice::DontNeed).map_err(|error| io(error.into()))?;
        }
        let db = while_read_ahead(former.as_ref(), || open_sled(config, linger))?;
        let log = File::open(&path).and_then(|log| log.sync_all().map(|()| log)).map_err(io)?;
        for folder in [Some(dir.as_path()), dir.parent()].into_iter().flatten() {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)?;
        }
        let log_id = durable::id_of(&log).map_err(io)?;
        durable::forget(log_id);
        Self::read((*db).clone(), log, log_id, db, config)
    }

    fn read(tree: Tree, log: File, log_id: FileId, db: Db, config: &SledConfig) -> Result<Self, OpenKvError> {
        let dir = &config.dir;
        let failed = |error| classify(dir, error);
        let number = |key: [u8; 2]| -> Result<Option<u64>, OpenKvError> {
            let found = tree.get(key).map_err(failed)?;
            Ok(found.and_then(|found| found[..].try_into().ok()).map(u64::from_be_bytes))
        };
        let format = number(FORMAT_KEY)?;
        let is_new = format.is_none() && tree.is_empty();
        let reserved = number(REVISION_KEY)?.unwrap_or_default();
        let (number, committed, digest, mark) = match format {
            Some(FORMAT | 2) => {
                let stored = tree.get(COMMIT_KEY).map_err(failed)?.unwrap_or_default();
                parse_commit(&*config.digester, &stored).ok_or_else(|| {
                    let source = "the mark of its last commit does not open".into();
                    OpenKvError::Corrupt { dir: dir.clone(), source }
                })?
            }
            None if is_new => (0, Timestamp::now(), Digest::default(), Vec::new()),
            // A store of an earlier build is counted from here on.
            Some(1) => {
                tracing::info!("the catalog is of an earlier format: its records are read once");
                let digest = walk::digest_of(&tree, &*config.digester).map_err(|error| match error {
                    KvError::Unavailable(source) | KvError::Corrupt(source) => {
                        OpenKvError::Corrupt { dir: dir.clone(), source }
                    }
                    // A read is none of these.
                    other @ (KvError::Conflict { .. } | KvError::TooLarge { .. }) => {
                        OpenKvError::Corrupt { dir: dir.clone(), source: Box::new(other) }
                    }
                })?;
                (0, Timestamp::now(), digest, Vec::new())
            }
            other => {
                let found = other.unwrap_or_default();
                return Err(OpenKvError::Format { dir: dir.clone(), found, known: FORMAT });
            }
        };
        let mut engine =
            Self { tree, log, log_id, reserved, number, digest, committed, mark, is_new, _db: db };
        match format {
            Some(FORMAT) => {}
            // What the head knows of it stays.
            Some(2) => {
                engine.tree.insert(FORMAT_KEY, &FORMAT.to_be_bytes()).map_err(failed)?;
                engine.sync(config)?;
            }
            _ => engine.mark_as(1, config)?,
        }
        Ok(engine)
    }

    fn sync(&self, config: &SledConfig) -> Result<(), OpenKvError> {
        self.tree.flush().map_err(|error| classify(&config.dir, error))?;
        self.log.sync_data().map_err(|source| OpenKvError::Io { dir: config.dir.clone(), source })
    }

    /// Gives the state as it is a number.
    pub(super) fn mark_as(&mut self, number: u64, config: &SledConfig) -> Result<(), OpenKvError> {
        let failed = |error| classify(&config.dir, error);
        let mark = config.digester.seal(number, &self.digest);
        let committed = Timestamp::now();
        let mut batch = Batch::default();
        batch.insert(&FORMAT_KEY, &FORMAT.to_be_bytes());
        batch.insert(&COMMIT_KEY, commit_value(number, committed, &mark));
        self.tree.apply_batch(batch).map_err(failed)?;
        self.sync(config)?;
        (self.number, self.committed, self.mark) = (number, committed, mark);
        Ok(())
    }

    /// Compares the engine with its head, and opens the head where they fit. Answers whether the engine's end is that which the head
    /// tells, so that nothing can be missing.
    pub(super) fn compare(&mut self, config: &SledConfig) -> Result<(Option<Head>, bool), OpenKvError> {
        let Some(base) = &config.head else { return Ok((None, true)) };
        let dir = &config.dir;
        let io = |source| OpenKvError::Io { dir: base.clone(), source };
        let Found { reached, unsound } = Head::read(base).map_err(io)?;
        let is_exact = match (&reached, config.accepts) {
            (None, _) if self.is_new || self.number == 1 => true,
            (None, false) => {
                return Err(OpenKvError::NoHead { dir: dir.clone(), head: unsound });
            }
            (Some(head), false) if head.number > self.number => {
                return Err(OpenKvError::Behind {
                    dir: dir.clone(),
                    reached: self.number,
                    acknowledged: head.number,
                });
            }
            (Some(head), false) if head.number == self.number && head.mark != self.mark => {
                let source = "its last commit is another than the head names".into();
                return Err(OpenKvError::Corrupt { dir: dir.clone(), source });
            }
            // One more: the process was killed between the batch's sync and its acknowledgement.
            (Some(head), false) => self.number - head.number <= 1,
            (reached, true) => {
                // Numbers ascend, whatever was lost.
                let above = reached.as_ref().map_or(0, |head| head.number) + 1;
                self.mark_as(above.max(self.number), config)?;
                false
            }
        };
        if reached.is_some() && !config.accepts {
            for path in &unsound {
                tracing::warn!(file = %path.display(), "a file of the catalog's head is missing or damaged: it is made anew");
            }
        }
        let head = Head::open(base, &self.reached()).map_err(io)?;
        Ok((Some(head), is_exact))
    }

    pub(super) fn reached(&self) -> Reached {
        Reached { number: self.number, mark: self.mark.clone() }
    }
}

/// What stands under [`COMMIT_KEY`].
pub(super) fn commit_value(number: u64, committed: Timestamp, mark: &[u8]) -> Vec<u8> {
    [&number.to_be_bytes()[..], &committed.unix_ms().to_be_bytes(), mark].concat()
}

fn parse_commit(digester: &dyn Digester, stored: &[u8]) -> Option<(u64, Timestamp, Digest, Vec<u8>)> {
    let (number, rest) = stored.split_first_chunk::<8>()?;
    let (committed, mark) = rest.split_first_chunk::<8>()?;
    let number = u64::from_be_bytes(*number);
    Some((number, Timestamp(u64::from_be_bytes(*committed)), digester.open(number, mark)?, mark.to_vec()))
}

/// Takes the folder for this process.
pub(super) fn lock(dir: &Path) -> Result<File, OpenKvError> {
    let io = |source| OpenKvError::Io { dir: dir.to_owned(), source };
    std::fs::create_dir_all(dir).map_err(io)?;
    let lock = File::options().create(true).write(true).truncate(false).open(dir.join("lock")).map_err(io)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(OpenKvError::InUse(dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(io(error)),
    }
}

/// sled writes its description without a sync, and trusts it without a look at its checksum. It is always the same here: one that
/// is not is put away, and sled makes it anew.
fn mend_conf(dir: &Path) -> io::Result<()> {
    let path = dir.join("conf");
    let found = match std::fs::read(&path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, CONF) as u32;
    if found.strip_prefix(CONF).is_some_and(|rest| rest == crc.to_le_bytes()) {
        return Ok(());
    }
    tracing::warn!(file = %path.display(), "sled's description of its folder is damaged: it is made anew");
    std::fs::rename(&path, dir.join("conf.damaged"))
}

/// Opens what reads all of a log, in an order of its own and a stretch after the other, while the medium reads the log from its begin.
fn while_read_ahead<T>(log: Option<&File>, open: impl FnOnce() -> T) -> T {
    let is_open = AtomicBool::new(false);
    std::thread::scope(|scope| {
        if let Some(log) = log {
            let len = log.metadata().map_or(0, |of| of.len()).min(MAX_AHEAD_LEN);
            let is_open = &is_open;
            let ahead = move || {
                for begin in (0..len).step_by(AHEAD_STEP_LEN as usize) {
                    let asked = fadvise(log, begin, NonZeroU64::new(AHEAD_STEP_LEN), Advice::WillNeed);
                    // It only saves time: whoever opens meets what fails.
                    if asked.is_err() || is_open.load(Ordering::Relaxed) {
                        return;
                    }
                }
            };
            // Without a thread it is opened as well.
            let _ = std::thread::Builder::new().name("kv-ahead".to_owned()).spawn_scoped(scope, ahead);
        }
        let opened = open();
        is_open.store(true, Ordering::Relaxed);
        opened
    })
}

/// The folder is ours by its lock file; sled's own lock may outlive its last use in this process by a moment.
fn open_sled(config: &SledConfig, linger: Duration) -> Result<Db, OpenKvError> {
    let until = Instant::now() + linger;
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

pub(super) fn classify(dir: &Path, error: sled::Error) -> OpenKvError {
    let dir = dir.to_owned();
    match error {
        sled::Error::Io(source) => OpenKvError::Io { dir, source },
        source => OpenKvError::Corrupt { dir, source: Box::new(source) },
    }
}
