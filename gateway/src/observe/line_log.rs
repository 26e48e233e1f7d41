//! A log of what threads that serve requests push, which makes none of them wait: each makes lines of what it pushed itself, so many at a time,
//! and a thread of the log's own writes them.
//!
//! Lines of one thread come in the order in which they were pushed. So do those of several threads that push little; of much, as many
//! as are made together may come before some that another thread pushed earlier.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::num::NonZeroU64;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::{Condvar, Mutex, MutexGuard};
use rustix::fs::Advice;

use super::metrics::LOGS;
use super::reopen;
use super::shard::{SHARDS, shard};

/// How many requests' lines are made together: the code and the tables that make them are in the processor's caches but for the first.
const TOGETHER: usize = 32;
/// How many of a part may wait while the writer takes from all, which are 1024 then: whoever brings more waits for it.
const MAX_WAITING: usize = 1024 / SHARDS;
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

/// Makes lines of what is pushed, each with its line feed.
type Render<T> = Box<dyn Fn(&T, &mut Vec<u8>) + Send + Sync>;

/// Takes what lines are made of. Dropping it writes what waits.
pub struct LineLog<T: Send + 'static> {
    shared: Arc<Shared<T>>,
    writer: Option<JoinHandle<()>>,
}

struct Shared<T> {
    name: &'static str,
    render: Render<T>,
    /// When what is pushed was.
    time_of: fn(&T) -> SystemTime,
    parts: [Part<T>; SHARDS],
    /// Lines that are not written yet.
    rendered: Mutex<Vec<u8>>,
    rendered_len: AtomicUsize,
    /// The writer sleeps under it.
    is_closed: Mutex<bool>,
    wake: Condvar,
    dropped: AtomicU64,
}

/// What a thread has pushed: what it wrote for a line is in its processor's caches, and of its allocator.
#[repr(align(128))]
struct Part<T> {
    /// What is no line yet.
    waiting: Mutex<Vec<T>>,
    /// Held while lines are made of what waits; locked before all others.
    work: Mutex<Work<T>>,
}

/// What is used to make lines, empty in between.
struct Work<T> {
    items: Vec<T>,
    lines: Vec<u8>,
}

/// Opens a log file to append to, readable by its owner alone.
pub(super) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
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

impl<T: Send + 'static> LineLog<T> {
    /// Appends to this file, or to standard output for `-`. `name`: what warnings call it.
    pub fn open(
        path: &Path,
        name: &'static str,
        time_of: fn(&T) -> SystemTime,
        render: impl Fn(&T, &mut Vec<u8>) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let out = match path == Path::new("-") {
            true => Out::Stdout,
            false => Out::File(LogFile::open(path)?),
        };
        let shared = Arc::new(Shared {
            name,
            render: Box::new(render),
            time_of,
            parts: std::array::from_fn(|_| Part {
                waiting: Mutex::new(Vec::new()),
                work: Mutex::new(Work { items: Vec::new(), lines: Vec::new() }),
            }),
            rendered: Mutex::new(Vec::new()),
            rendered_len: AtomicUsize::new(0),
            is_closed: Mutex::new(false),
            wake: Condvar::new(),
            dropped: AtomicU64::new(0),
        });
        let writer = {
            let shared = shared.clone();
            std::thread::Builder::new().name(name.to_owned()).spawn(move || shared.write(out))?
        };
        Ok(Self { shared, writer: Some(writer) })
    }

    /// Takes what a line is made of. Where too much waits already it is dropped, counted and told.
    pub fn push(&self, item: T) {
        let shared = &*self.shared;
        let part = &shared.parts[shard()];
        let waiting = {
            let mut waiting = part.waiting.lock();
            waiting.push(item);
            waiting.len()
        };
        if waiting >= MAX_WAITING {
            shared.render(part, part.work.lock());
        } else if waiting >= TOGETHER
            && let Some(work) = part.work.try_lock()
        {
            shared.render(part, work);
        } else if waiting == 1 && shared.rendered_len.load(Ordering::Relaxed) == 0 {
            // A writer that found nothing sleeps before it is woken.
            drop(shared.is_closed.lock());
            shared.wake.notify_one();
        }
    }
}

impl<T: Send + 'static> Drop for LineLog<T> {
    fn drop(&mut self) {
        *self.shared.is_closed.lock() = true;
        self.shared.wake.notify_one();
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

impl<T> Shared<T> {
    /// Makes lines of what waits in a part.
    fn render(&self, part: &Part<T>, mut work: MutexGuard<'_, Work<T>>) {
        let Work { items, lines } = &mut *work;
        std::mem::swap(&mut *part.waiting.lock(), items);
        self.render_to(lines, items);
        let (former_len, len) = {
            let mut rendered = self.rendered.lock();
            let former_len = rendered.len();
            rendered.extend_from_slice(lines);
            self.rendered_len.store(rendered.len(), Ordering::Relaxed);
            (former_len, rendered.len())
        };
        lines.clear();
        lines.shrink_to(KEPT_LEN);
        if former_len < BATCH_LEN && len >= BATCH_LEN {
            self.wake.notify_one();
        }
    }

    fn render_to(&self, lines: &mut Vec<u8>, items: &mut Vec<T>) {
        let room = MAX_WAITING_LEN.saturating_sub(self.rendered_len.load(Ordering::Relaxed));
        let mut dropped = 0;
        for item in items.drain(..) {
            let line = lines.len();
            (self.render)(&item, lines);
            if lines.len() > room {
                lines.truncate(line);
                dropped += 1;
            }
        }
        if dropped > 0 {
            self.has_dropped(dropped);
        }
    }

    /// Takes all lines in place of `lines`, which are empty, and makes those of what still waits.
    fn take(&self, lines: &mut Vec<u8>, items: &mut Vec<T>) {
        // Nobody makes lines meanwhile, which would come before those that are made here.
        let works: Vec<_> = self.parts.iter().map(|part| part.work.lock()).collect();
        for part in &self.parts {
            items.append(&mut part.waiting.lock());
        }
        items.sort_by_key(self.time_of);
        std::mem::swap(&mut *self.rendered.lock(), lines);
        self.rendered_len.store(0, Ordering::Relaxed);
        self.render_to(lines, items);
        drop(works);
    }

    fn is_idle(&self) -> bool {
        self.rendered_len.load(Ordering::Relaxed) == 0
            && self.parts.iter().all(|part| part.waiting.lock().is_empty())
    }

    fn has_dropped(&self, lines: u64) {
        self.dropped.fetch_add(lines, Ordering::Relaxed);
        LOGS.access_dropped.add(lines);
    }

    fn write(&self, mut out: Out) {
        let mut seen = reopen::Seen::now();
        let mut told = 0;
        let mut warned: Option<Instant> = None;
        let (mut lines, mut items) = (Vec::new(), Vec::new());
        let mut idle_looks = 0;
        loop {
            let is_closed = {
                let mut is_closed = self.is_closed.lock();
                if !*is_closed && self.is_idle() {
                    self.wake.wait_for(&mut is_closed, LOOK);
                }
                if !self.is_idle() {
                    let gathers = |is_closed: &mut bool| {
                        self.rendered_len.load(Ordering::Relaxed) < BATCH_LEN && !*is_closed
                    };
                    self.wake.wait_while_for(&mut is_closed, gathers, GATHER);
                }
                *is_closed
            };
            self.take(&mut lines, &mut items);
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
                items.shrink_to(TOGETHER);
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

    fn at_once<T>(_: &T) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }

    #[test]
    fn few_lines_of_several_threads_come_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let render = |(_, number): &(SystemTime, u32), out: &mut Vec<u8>| {
            out.extend_from_slice(format!("{number}\n").as_bytes());
        };
        let log = LineLog::open(&path, "test", |(time, _)| *time, render).unwrap();
        let pushed = Mutex::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..3 {
                        let mut number = pushed.lock();
                        log.push((SystemTime::now(), *number));
                        *number += 1;
                        drop(number);
                        std::thread::yield_now();
                    }
                });
            }
        });
        drop(log);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.lines().map(|line| line.parse::<u32>().unwrap()).eq(0..24), "{text}");
    }

    #[test]
    fn lines_come_in_order_and_what_is_too_much_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let log =
            LineLog::open(&path, "test", at_once, |line: &Vec<u8>, out| out.extend_from_slice(line)).unwrap();
        for number in 0..1000 {
            log.push(format!("{number}\n").into_bytes());
        }
        log.push(vec![b'x'; MAX_WAITING_LEN + 1]);
        let shared = log.shared.clone();
        drop(log);
        assert_eq!(shared.dropped.load(Ordering::Relaxed), 1);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.lines().map(|line| line.parse::<u32>().unwrap()).eq(0..1000));
    }

    #[test]
    fn lines_of_several_threads_are_all_there_each_behind_its_former() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let render = |(thread, number): &(usize, usize), out: &mut Vec<u8>| {
            out.extend_from_slice(format!("{thread} {number}\n").as_bytes());
        };
        let log = LineLog::open(&path, "test", at_once, render).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let log = &log;
                scope.spawn(move || (0..5000).for_each(|number| log.push((thread, number))));
            }
        });
        drop(log);
        let text = std::fs::read_to_string(&path).unwrap();
        let mut next = [0; 4];
        for line in text.lines() {
            let (thread, number) = line.split_once(' ').unwrap();
            let next: &mut usize = &mut next[thread.parse::<usize>().unwrap()];
            assert_eq!(number.parse(), Ok(*next));
            *next += 1;
        }
        assert_eq!(next, [5000; 4]);
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
        let log =
            LineLog::open(&path, "test", at_once, |line: &Vec<u8>, out| out.extend_from_slice(line)).unwrap();
        log.push(b"old\n".to_vec());
        let moved = folder.path().join("log.1");
        while std::fs::metadata(&path).unwrap().len() == 0 {
            std::thread::sleep(GATHER);
        }
        std::fs::rename(&path, &moved).unwrap();
        reopen::ask();
        log.push(b"new\n".to_vec());
        drop(log);
        assert_eq!(std::fs::read_to_string(&moved).unwrap(), "old\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new\n");
    }
}
