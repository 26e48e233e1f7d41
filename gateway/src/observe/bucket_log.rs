//! Records of requests to buckets whose access logging is on: they are gathered in files of the data folder, from which they are
//! delivered (`api/s3/log_delivery.rs`).
//!
//! A file is of one bucket and one setting of its logging, and where log objects are named by the day of the requests, of one day. Its
//! first line tells which, as JSON; each further one is a record. While it is written to its name ends with `.open`; what is to be
//! delivered ends with `.ready`. A kill loses what came in the last moment ([`WRITE_PAUSE`]), a power cut what the system had not
//! written; a clean stop loses nothing.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::json::with_buffer;
use super::line_log::open;
use super::metrics::LOGS;
use super::request::{Observer, RequestRecord, Wants};
use super::server_access::{self, CanonicalIds};
use crate::config::BucketLogConfig;

/// How long records stay in memory.
pub const WRITE_PAUSE: Duration = Duration::from_millis(200);
/// The most bytes of records in memory.
const MAX_WAITING_LEN: usize = 8 << 20;
/// A file is to be delivered once it has this many bytes.
const FILE_LEN: u64 = 8 << 20;
/// The most files that are written to at a time.
const MAX_OPEN: usize = 256;
/// The longest first line, in bytes.
const MAX_HEADER_LEN: u64 = 256 << 10;
/// The shortest time between two warnings.
const WARN_PAUSE: Duration = Duration::from_secs(30);

/// Is the logging of any bucket on? While none is, nobody pays for records.
static NEED: AtomicU8 = AtomicU8::new(UNKNOWN);
const UNKNOWN: u8 = 0;
const NEEDED: u8 = 1;
const NOT_NEEDED: u8 = 2;

/// A bucket was seen whose logging is on.
pub fn is_needed_from_now() {
    if NEED.load(Ordering::Relaxed) != NEEDED {
        NEED.store(NEEDED, Ordering::Relaxed);
    }
}

/// All buckets were looked at, and none has its logging on.
pub fn is_not_needed() {
    let _ = NEED.compare_exchange(UNKNOWN, NOT_NEEDED, Ordering::Relaxed, Ordering::Relaxed);
}

/// Of which bucket a record is, and what its logging was set to then.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LogSource {
    /// The bucket.
    pub bucket: String,
    /// The account that it is of.
    pub account: String,
    /// Its region.
    pub region: String,
    /// The setting, as the bucket's record keeps it.
    pub setting: Bytes,
}

/// The first line of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    version: u32,
    /// The bucket whose requests these are.
    pub bucket: String,
    /// The account that it is of.
    pub account: String,
    /// Its region.
    pub region: String,
    /// What its logging was set to: JSON, as the bucket's record keeps it.
    pub setting: String,
    /// The day of the requests, in days since the Unix epoch.
    pub day: u64,
}

const VERSION: u32 = 1;

/// Records that are to be delivered as one object.
#[derive(Debug)]
pub struct Ready {
    path: PathBuf,
    /// When it was complete.
    pub at_unix_ms: u64,
    /// What tells its object from others: 16 hexadecimal digits.
    pub unique: String,
    /// Of what the records are.
    pub header: Header,
    /// The records.
    pub lines: Bytes,
}

/// Gathers records.
pub struct BucketLog {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    folder: PathBuf,
    config: BucketLogConfig,
    ids: Arc<CanonicalIds>,
    waiting: Mutex<Waiting>,
    wake: Condvar,
    /// Bytes in files.
    spooled_len: AtomicU64,
    dropped: AtomicU64,
}

/// Records in memory, by their bucket and its setting, and the day.
#[derive(Default)]
struct Waiting {
    lines: HashMap<(LogSource, u64), Vec<u8>>,
    len: usize,
    is_closed: bool,
}

struct Open {
    path: PathBuf,
    file: File,
    since: Instant,
    len: u64,
}

fn now_unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or_default()
}

impl BucketLog {
    /// Opens it in a folder, in which a former process may have left records.
    ///
    /// # Errors
    /// When the folder can't be made or read.
    pub fn open(folder: &Path, config: BucketLogConfig, ids: Arc<CanonicalIds>) -> io::Result<Self> {
        match DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let mut spooled_len = 0;
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            spooled_len += entry.metadata()?.len();
            if entry.path().extension().is_some_and(|extension| extension == "open") {
                make_ready(&entry.path())?;
            }
        }
        let shared = Arc::new(Shared {
            folder: folder.to_owned(),
            config,
            ids,
            waiting: Mutex::default(),
            wake: Condvar::new(),
            spooled_len: AtomicU64::new(spooled_len),
            dropped: AtomicU64::new(0),
        });
        let writer = {
            let shared = shared.clone();
            std::thread::Builder::new().name("bucket log".to_owned()).spawn(move || shared.write())?
        };
        Ok(Self { shared, writer: Mutex::new(Some(writer)) })
    }

    /// Ends it: all that came is in files that are ready.
    pub fn finish(&self) {
        self.shared.waiting.lock().is_closed = true;
        self.shared.wake.notify_one();
        if let Some(writer) = self.writer.lock().take() {
            let _ = writer.join();
        }
    }

    /// How many records will never be delivered.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// The files that are to be delivered, the oldest first.
    ///
    /// # Errors
    /// When the folder can't be read.
    pub fn ready(&self) -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.shared.folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "ready") {
                found.push(path);
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Reads one of them; `None`: it holds no record, or nothing of ours.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn read(&self, path: &Path) -> io::Result<Option<Ready>> {
        let name = path.file_stem().and_then(|name| name.to_str()).and_then(|name| name.split_once('-'));
        let Some((at, unique)) = name else { return Ok(None) };
        let (Ok(at_unix_ms), true) = (at.parse(), unique.len() == 16) else { return Ok(None) };
        let mut file = BufReader::new(File::open(path)?);
        let mut first = Vec::new();
        (&mut file).take(MAX_HEADER_LEN).read_until(b'\n', &mut first)?;
        let header = serde_json::from_slice::<Header>(&first).ok().filter(|header| header.version == VERSION);
        let mut lines = Vec::new();
        file.take(4 * FILE_LEN).read_to_end(&mut lines)?;
        // A kill may have left a part of a line.
        lines.truncate(lines.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1));
        let Some(header) = header.filter(|_| !lines.is_empty()) else { return Ok(None) };
        Ok(Some(Ready {
            path: path.to_owned(),
            at_unix_ms,
            unique: unique.to_owned(),
            header,
            lines: lines.into(),
        }))
    }

    /// A file was delivered.
    ///
    /// # Errors
    /// When it can't be removed: it will be delivered again, under the same name.
    pub fn delivered(&self, ready: &Ready) -> io::Result<()> {
        self.forget(&ready.path)
    }

    /// A file will not be delivered: its records are lost, which is counted.
    ///
    /// # Errors
    /// When it can't be removed.
    pub fn give_up(&self, ready: &Ready) -> io::Result<()> {
        let lines = ready.lines.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.shared.has_dropped(lines);
        self.forget(&ready.path)
    }

    /// Removes a file.
    ///
    /// # Errors
    /// When it can't be removed.
    pub fn forget(&self, path: &Path) -> io::Result<()> {
        let len = fs::metadata(path)?.len();
        fs::remove_file(path)?;
        self.shared.spooled_len.fetch_sub(len, Ordering::Relaxed);
        Ok(())
    }
}

impl Observer for BucketLog {
    fn wants(&self) -> Wants {
        match NEED.load(Ordering::Relaxed) {
            NOT_NEEDED => Wants::Nothing,
            _ => Wants::Detail,
        }
    }

    fn ended(&self, record: &RequestRecord) {
        let Some(detail) = &record.detail else { return };
        let day = record.arrived.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / 86_400;
        if let Some(source) = &detail.log_source {
            with_buffer(|lines| {
                server_access::write_all(record, &*self.shared.ids, lines);
                self.shared.push(source, day, lines);
            });
        }
        if let Some(copied) = &detail.copied
            && let Some(source) = &copied.log_source
        {
            with_buffer(|lines| {
                server_access::write_copied(record, copied, &*self.shared.ids, lines);
                self.shared.push(source, day, lines);
            });
        }
    }
}

impl Shared {
    fn has_dropped(&self, lines: u64) {
        self.dropped.fetch_add(lines, Ordering::Relaxed);
        LOGS.bucket_dropped.add(lines);
    }

    fn push(&self, source: &LogSource, day: u64, lines: &[u8]) {
        let mut waiting = self.waiting.lock();
        if waiting.is_closed {
            // Of the last delivery itself: the next start delivers it.
            drop(waiting);
            let mut open = HashMap::new();
            let written = self.append(&mut open, (source.clone(), day), lines);
            let written = written.and_then(|()| open.values().try_for_each(|one| make_ready(&one.path)));
            if let Err(error) = written {
                self.has_dropped(1);
                tracing::debug!(%error, "a record for a bucket's log can't be written");
            }
            return;
        }
        let spooled_len = self.spooled_len.load(Ordering::Relaxed);
        if waiting.len + lines.len() > MAX_WAITING_LEN || spooled_len > self.config.spool_len {
            drop(waiting);
            let count = lines.iter().filter(|byte| **byte == b'\n').count() as u64;
            self.has_dropped(count);
            return;
        }
        waiting.len += lines.len();
        match waiting.lines.get_mut(&(source.clone(), day)) {
            Some(all) => all.extend_from_slice(lines),
            None => {
                waiting.lines.insert((source.clone(), day), lines.to_vec());
            }
        }
    }

    fn write(&self) {
        let mut open: HashMap<(LogSource, u64), Open> = HashMap::new();
        let mut told = 0;
        let mut warned: Option<Instant> = None;
        loop {
            let (lines, is_closed) = {
                let mut waiting = self.waiting.lock();
                if !waiting.is_closed {
                    self.wake.wait_for(&mut waiting, WRITE_PAUSE);
                }
                waiting.len = 0;
                (std::mem::take(&mut waiting.lines), waiting.is_closed)
            };
            for (key, lines) in lines {
                if let Err(error) = self.append(&mut open, key, &lines) {
                    let count = lines.iter().filter(|byte| **byte == b'\n').count() as u64;
                    self.has_dropped(count);
                    tracing::debug!(%error, "records for a bucket's log can't be written");
                }
            }
            open.retain(|_, one| {
                let is_due = is_closed || one.since.elapsed() >= self.config.interval || one.len >= FILE_LEN;
                if is_due && let Err(error) = make_ready(&one.path) {
                    tracing::error!(%error, "records for a bucket's log stay until the next start");
                }
                !is_due
            });
            let dropped = self.dropped.load(Ordering::Relaxed);
            if dropped > told && (is_closed || warned.is_none_or(|at| at.elapsed() > WARN_PAUSE)) {
                tracing::warn!(records = dropped - told, "records for buckets' logs were dropped");
                told = dropped;
                warned = Some(Instant::now());
            }
            if is_closed {
                return;
            }
        }
    }

    fn append(
        &self,
        open_files: &mut HashMap<(LogSource, u64), Open>,
        key: (LogSource, u64),
        lines: &[u8],
    ) -> io::Result<()> {
        if let Some(one) = open_files.get_mut(&key) {
            one.file.write_all(lines)?;
            one.len += lines.len() as u64;
            self.spooled_len.fetch_add(lines.len() as u64, Ordering::Relaxed);
            return Ok(());
        }
        if open_files.len() >= MAX_OPEN {
            let oldest = open_files.iter().min_by_key(|(_, one)| one.since).map(|(key, _)| key.clone());
            if let Some(one) = oldest.and_then(|key| open_files.remove(&key)) {
                make_ready(&one.path)?;
            }
        }
        let (source, day) = &key;
        let header = Header {
            version: VERSION,
            bucket: source.bucket.clone(),
            account: source.account.clone(),
            region: source.region.clone(),
            setting: String::from_utf8_lossy(&source.setting).into_owned(),
            day: *day,
        };
        let mut unique = [0; 8];
        getrandom::fill(&mut unique).map_err(io::Error::other)?;
        let path = self.folder.join(format!("{:014}-{}.open", now_unix_ms(), hex::encode_upper(unique)));
        let mut file = open(&path)?;
        let mut whole = serde_json::to_vec(&header)?;
        whole.push(b'\n');
        whole.extend_from_slice(lines);
        file.write_all(&whole)?;
        let len = whole.len() as u64;
        self.spooled_len.fetch_add(len, Ordering::Relaxed);
        open_files.insert(key, Open { path, file, since: Instant::now(), len });
        Ok(())
    }
}

/// From now on the file is to be delivered, under a name of this moment.
fn make_ready(path: &Path) -> io::Result<()> {
    let name = path.file_stem().and_then(|name| name.to_str()).and_then(|name| name.split_once('-'));
    let unique = name.map(|(_, unique)| unique).unwrap_or_default();
    fs::rename(path, path.with_file_name(format!("{:014}-{unique}.ready", now_unix_ms())))
}

/// The date and time of a moment, for names of log objects.
pub fn date_time(unix_ms: u64) -> OffsetDateTime {
    let seconds = i64::try_from(unix_ms / 1000).unwrap_or_default();
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}
