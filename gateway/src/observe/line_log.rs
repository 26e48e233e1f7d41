//! A log that takes lines from threads that serve requests, and makes none of them wait: a thread of its own writes them.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::num::NonZeroU64;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rustix::fs::Advice;

use super::metrics::LOGS;
use super::reopen;

/// The most bytes of lines that wait for the writer.
const MAX_WAITING_LEN: usize = 8 << 20;
/// What buffers may keep while nothing is written.
const KEPT_LEN: usize = 64 << 10;
/// How long lines gather before they are written together, if they don't come to [`BATCH_LEN`] before: a thread that is woken takes the
/// place of one that serves, and that costs more than to write.
const GATHER: Duration = Duration::from_millis(100);
/// How many bytes of lines don't wait for more.
const BATCH_LEN: usize = 1 << 20;
/// How many bytes are written until pages are given back.
const FORGET_LEN: u64 = 1 << 20;
/// How often an idle writer looks whether its file was renamed.
const LOOK: Duration = Duration::from_secs(1);
/// After how many such looks buffers give room back: room that is given back between two bursts has to be taken, page by page, again.
const LOOKS_UNTIL_SMALL: u32 = 10;
/// The shortest time between two warnings.
const WARN_PAUSE: Duration = Duration::from_secs(30);

/// Takes lines. Dropping it writes what waits.
#[derive(Debug)]
pub struct LineLog {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    name: &'static str,
    waiting: Mutex<Waiting>,
    wake: Condvar,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<u8>,
    is_closed: bool,
}

/// Opens a log file to append to, readable by its owner alone.
pub(super) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// Are lines of this length written without waiting for more?
fn is_batch(len: usize) -> bool {
    len >= BATCH_LEN
}

enum Out {
    Stdout,
    File(LogFile),
}

/// A file that is appended to and not read back.
struct LogFile {
    path: PathBuf,
    file: File,
    len: u64,
    /// Its length when the kernel was last told that it is not read back.
    told_len: u64,
}

impl LogFile {
    fn open(path: &Path) -> io::Result<Self> {
        let file = open(path)?;
        let len = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, len, told_len: len })
    }

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        self.file.write_all(lines)?;
        self.len += lines.len() as u64;
        if self.len - self.told_len >= FORGET_LEN {
            self.forget();
        }
        Ok(())
    }

    /// Gives back pages of the page cache: those that are clean, so it begins to write the others. Pages of objects keep their place, and
    /// the next lines need no new ones. <https://man7.org/linux/man-pages/man2/posix_fadvise.2.html>
    fn forget(&mut self) {
        let from = self.told_len.saturating_sub(FORGET_LEN);
        // What can't be forgotten (a pipe) is no harm.
        let _ = rustix::fs::fadvise(&self.file, from, NonZeroU64::new(self.len - from), Advice::DontNeed);
        self.told_len = self.len;
    }
}

impl LineLog {
    /// Appends to this file, or to standard output for `-`. `name`: what warnings call it.
    pub fn open(path: &Path, name: &'static str) -> io::Result<Self> {
        let out = match path == Path::new("-") {
            true => Out::Stdout,
            false => Out::File(LogFile::open(path)?),
        };
        let shared = Arc::new(Shared {
            name,
            waiting: Mutex::default(),
            wake: Condvar::new(),
            dropped: AtomicU64::new(0),
        });
        let writer = {
            let shared = shared.clone();
            std::thread::Builder::new().name(name.to_owned()).spawn(move || shared.write(out))?
        };
        Ok(Self { shared, writer: Some(writer) })
    }

    /// Takes a line, which ends with a line feed. Where too much waits already it is dropped, counted and told.
    pub fn push(&self, line: &[u8]) {
        let mut waiting = self.shared.waiting.lock();
        if waiting.lines.len() + line.len() > MAX_WAITING_LEN {
            drop(waiting);
            self.shared.has_dropped(1);
            return;
        }
        let former_len = waiting.lines.len();
        waiting.lines.extend_from_slice(line);
        let fills = !is_batch(former_len) && is_batch(waiting.lines.len());
        drop(waiting);
        if former_len == 0 || fills {
            self.shared.wake.notify_one();
        }
    }

    /// How many lines were dropped since the start.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }
}

impl Drop for LineLog {
    fn drop(&mut self) {
        self.shared.waiting.lock().is_closed = true;
        self.shared.wake.notify_one();
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

impl Shared {
    fn has_dropped(&self, lines: u64) {
        self.dropped.fetch_add(lines, Ordering::Relaxed);
        LOGS.access_dropped.add(lines);
    }

    fn write(&self, mut out: Out) {
        let mut seen = reopen::Seen::now();
        let mut told = 0;
        let mut warned: Option<Instant> = None;
        let mut lines = Vec::new();
        let mut idle_looks = 0;
        loop {
            let is_closed = {
                let mut waiting = self.waiting.lock();
                if waiting.lines.is_empty() && !waiting.is_closed {
                    self.wake.wait_for(&mut waiting, LOOK);
                }
                if !waiting.lines.is_empty() {
                    let gathers =
                        |waiting: &mut Waiting| !is_batch(waiting.lines.len()) && !waiting.is_closed;
                    self.wake.wait_while_for(&mut waiting, gathers, GATHER);
                }
                std::mem::swap(&mut waiting.lines, &mut lines);
                waiting.is_closed
            };
            if seen.is_asked()
                && let Out::File(file) = &mut out
            {
                match LogFile::open(&file.path) {
                    Ok(new) => *file = new,
                    Err(error) => {
                        tracing::error!(log = self.name, path = %file.path.display(), %error, "a log file can't be opened anew: the old one is written on");
                    }
                }
            }
            let count = |lines: &[u8]| lines.iter().filter(|byte| **byte == b'\n').count() as u64;
            if let Err(error) = out.write(&lines) {
                self.has_dropped(count(&lines));
                if warned.is_none_or(|at| at.elapsed() > WARN_PAUSE) {
                    tracing::error!(log = self.name, %error, "log lines could not be written");
                }
            }
            idle_looks = if lines.is_empty() { idle_looks + 1 } else { 0 };
            lines.clear();
            // They take turns: this one now, the other one the next time.
            if idle_looks >= LOOKS_UNTIL_SMALL {
                lines.shrink_to(KEPT_LEN);
            }
            let dropped = self.dropped.load(Ordering::Relaxed);
            if dropped > told && (is_closed || warned.is_none_or(|at| at.elapsed() > WARN_PAUSE)) {
                tracing::warn!(log = self.name, lines = dropped - told, "log lines were dropped");
                told = dropped;
                warned = Some(Instant::now());
            }
            if is_closed {
                return;
            }
        }
    }
}

impl Out {
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            _ if lines.is_empty() => Ok(()),
            Self::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(lines)?;
                stdout.flush()
            }
            Self::File(file) => file.append(lines),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_in_order_and_what_is_too_much_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let log = LineLog::open(&path, "test").unwrap();
        for number in 0..1000 {
            log.push(format!("{number}\n").as_bytes());
        }
        log.push(&vec![b'x'; MAX_WAITING_LEN + 1]);
        assert_eq!(log.dropped(), 1);
        drop(log);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.lines().map(|line| line.parse::<u32>().unwrap()).eq(0..1000));
    }

    #[test]
    fn a_log_whose_pages_are_given_back_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let line = |number: u8| [&vec![number; 100_000][..], b"\n"].concat();
        let mut file = LogFile::open(&path).unwrap();
        for number in b'0'..b'X' {
            file.append(&line(number)).unwrap();
            assert!(file.len - file.told_len < FORGET_LEN);
        }
        assert!(file.told_len >= 3 * FORGET_LEN, "they were given back");
        let text = std::fs::read(&path).unwrap();
        assert!(text == (b'0'..b'X').flat_map(line).collect::<Vec<_>>());
        // One that is there already is gone on with.
        assert_eq!(LogFile::open(&path).unwrap().told_len, file.len);
    }

    #[test]
    fn a_renamed_file_is_opened_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let log = LineLog::open(&path, "test").unwrap();
        log.push(b"old\n");
        let moved = folder.path().join("log.1");
        while std::fs::metadata(&path).unwrap().len() == 0 {
            std::thread::sleep(GATHER);
        }
        std::fs::rename(&path, &moved).unwrap();
        reopen::ask();
        log.push(b"new\n");
        drop(log);
        assert_eq!(std::fs::read_to_string(&moved).unwrap(), "old\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new\n");
    }
}
