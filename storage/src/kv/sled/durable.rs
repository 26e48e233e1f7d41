//! Makes sled's flush mean what it says.
//!
//! sled 0.34 takes a write of its log for stable when `sync_file_range` returns, and says so in the log's next part. That call
//! writes neither the file's size and extents nor the drive's cache. A power cut may then take a write that the log
//! calls stable and keep a later one: of such a log recovery makes an error, or a tree with holes. FORMAT.md has the
//! experiment that showed it.
//!
//! So this program has a `sync_file_range` of its own, which sled's call is linked to: an `fdatasync`. Who calls it has written before, so
//! one that begins later is good for all who have called until then. sled writes a batch in two pieces, on two threads, and waits for
//! both: the announcement that a batch begins, which lies before what it announces. Each waits a moment for the other, so that a commit is
//! one sync and not two.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::os::fd::{FromRawFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::engine::SEGMENT_LEN;

/// The longest piece that is an announcement and no more: a message's head and a place in the log.
const MAX_ANNOUNCEMENT_LEN: u64 = 64;
/// How long a piece waits for its neighbour.
const MAX_WAIT: Duration = Duration::from_millis(2);
/// Pieces that are remembered.
const REMEMBERED: usize = 16;

/// What happened to each file.
static FILES: Mutex<Option<HashMap<FileId, Arc<LogFile>>>> = Mutex::new(None);

/// Device and inode.
pub(super) type FileId = (u64, u64);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Syncs {
    /// How many there were. If none, sled is linked to something else.
    pub(super) count: u64,
    /// Did one fail since the file was opened? The kernel tells of a failed write only the first who syncs the descriptor after it: a
    /// later success is nobody's.
    pub(super) failed: bool,
}

/// Which file it is.
pub(super) fn id_of(file: &File) -> io::Result<FileId> {
    let metadata = file.metadata()?;
    Ok((metadata.dev(), metadata.ino()))
}

/// What happened to a file so far.
pub(super) fn syncs(file: FileId) -> Syncs {
    let file = FILES.lock().as_ref().and_then(|files| files.get(&file).cloned());
    file.map(|file| file.state.lock().syncs).unwrap_or_default()
}

/// Forgets what happened to a file: it is opened anew.
pub(super) fn forget(file: FileId) {
    if let Some(files) = FILES.lock().as_mut() {
        files.remove(&file);
    }
}

/// A log.
#[derive(Default)]
struct LogFile {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    syncs: Syncs,
    /// Pieces whose writers have come here, and how many of them are durable.
    written: u64,
    durable: u64,
    is_syncing: bool,
    /// Where the last pieces lie.
    pieces: VecDeque<Range<u64>>,
}

impl State {
    fn add(&mut self, piece: Range<u64>) -> u64 {
        if self.pieces.len() == REMEMBERED {
            self.pieces.pop_front();
        }
        self.pieces.push_back(piece);
        self.written += 1;
        self.written
    }

    /// Is something on its way that belongs to this piece: what it announces, or what lies before it?
    fn lacks_neighbour(&self, piece: &Range<u64>) -> bool {
        let is_announcement = piece.end - piece.start <= MAX_ANNOUNCEMENT_LEN;
        let has_next = self.pieces.iter().any(|other| other.start == piece.end);
        // Of the first piece, and of the first one in a segment, nobody knows what was written before.
        let is_first = self.pieces.len() == 1 || piece.start.is_multiple_of(SEGMENT_LEN);
        let has_former = is_first || self.pieces.iter().any(|other| other.end == piece.start);
        (is_announcement && !has_next) || !has_former
    }
}

impl LogFile {
    /// Returns once this piece, which is written, is durable.
    fn sync(
        &self,
        piece: Range<u64>,
        max_wait: Duration,
        sync_data: impl Fn() -> io::Result<()>,
    ) -> io::Result<()> {
        let mut state = self.state.lock();
        let number = state.add(piece.clone());
        self.changed.notify_all();
        let until = Instant::now() + max_wait;
        while state.durable < number && state.lacks_neighbour(&piece) {
            if self.changed.wait_until(&mut state, until).timed_out() {
                break;
            }
        }
        while state.durable < number {
            if state.is_syncing {
                self.changed.wait(&mut state);
                continue;
            }
            let written = state.written;
            state.is_syncing = true;
            let synced = MutexGuard::unlocked(&mut state, &sync_data);
            state.is_syncing = false;
            state.durable = written;
            state.syncs.count += 1;
            state.syncs.failed |= synced.is_err();
            self.changed.notify_all();
        }
        if state.syncs.failed { Err(io::Error::other("a sync failed")) } else { Ok(()) }
    }
}

/// Stands in the place of the C library's function, and does more than that promises.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
extern "C" fn sync_file_range(fd: RawFd, offset: i64, len: i64, _flags: u32) -> i32 {
    // SAFETY: the caller's descriptor is open as long as this runs, and what is made of it here does not close it.
    let file = ManuallyDrop::new(unsafe { File::from_raw_fd(fd) });
    let Ok(id) = id_of(&file) else { return -1 };
    let log = FILES.lock().get_or_insert_default().entry(id).or_default().clone();
    let start = offset.cast_unsigned();
    match log.sync(start..start + len.cast_unsigned(), MAX_WAIT, || file.sync_data()) {
        Ok(()) => 0,
        // Whatever `errno` is by now, nothing is acknowledged of a file that has failed.
        Err(_) => -1,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn await_written(log: &LogFile, written: u64) {
        while log.state.lock().written < written {
            thread::yield_now();
        }
    }

    #[test]
    fn a_batch_is_one_sync_whichever_of_its_pieces_comes_first() {
        let log = LogFile::default();
        let sync = |piece| log.sync(piece, LONG, || Ok(()));
        sync(100..1000).unwrap();
        for (number, first, second) in [(1, 1000..1024, 1024..2000), (2, 2024..3000, 2000..2024)] {
            thread::scope(|scope| {
                let waits = scope.spawn(|| sync(first));
                await_written(&log, 2 * number);
                assert_eq!(log.state.lock().syncs.count, number);
                sync(second).unwrap();
                waits.join().unwrap().unwrap();
            });
            assert_eq!(log.state.lock().syncs, Syncs { count: number + 1, failed: false });
        }
        // Nobody knows what lies before a segment.
        sync(SEGMENT_LEN..SEGMENT_LEN + 100).unwrap();
    }

    #[test]
    fn an_announcement_of_nothing_is_durable_too() {
        let log = LogFile::default();
        log.sync(0..24, Duration::from_millis(1), || Ok(())).unwrap();
        assert_eq!(log.state.lock().syncs.count, 1);
    }

    #[test]
    fn a_sync_that_has_begun_is_not_good_for_what_is_written_then() {
        let log = LogFile::default();
        let (go_on, may_go_on) = mpsc::channel();
        let may_go_on = Mutex::new(may_go_on);
        thread::scope(|scope| {
            scope.spawn(|| {
                log.sync(0..100, LONG, || may_go_on.lock().recv().map_err(io::Error::other)).unwrap()
            });
            while !log.state.lock().is_syncing {
                thread::yield_now();
            }
            let later: Vec<_> =
                [100..200, 200..300].map(|piece| scope.spawn(|| log.sync(piece, LONG, || Ok(())))).into();
            await_written(&log, 3);
            assert_eq!(log.state.lock().syncs.count, 0);
            go_on.send(()).unwrap();
            later.into_iter().for_each(|piece| piece.join().unwrap().unwrap());
        });
        assert_eq!(log.state.lock().syncs.count, 2);
    }

    #[test]
    fn a_sync_that_fails_fails_for_all_and_for_ever() {
        let log = LogFile::default();
        let fails = || Err(io::Error::other("the medium is gone"));
        thread::scope(|scope| {
            let waits = scope.spawn(|| log.sync(0..24, LONG, fails));
            await_written(&log, 1);
            log.sync(24..100, LONG, fails).unwrap_err();
            waits.join().unwrap().unwrap_err();
        });
        log.sync(100..200, LONG, || Ok(())).unwrap_err();
        assert!(log.state.lock().syncs.failed);
    }
}
