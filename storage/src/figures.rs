//! What the engines of this process have done since it began, for whoever watches it. Counters are of the process and not of an engine:
//! one that is opened again goes on counting. Nothing here is asked by the engines themselves.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The most bounds of a [`Histogram`].
const MAX_BOUNDS: usize = 19;

/// Bounds of durations that matter to who waits: from a fifth of a millisecond to half a minute, in nanoseconds.
pub const DURATION_BOUNDS_NS: [u64; 16] = [
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
    30_000_000_000,
];

/// Bounds of how many transactions one commit holds.
pub const BATCH_BOUNDS: [u64; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 256];

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One that has counted nothing.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Counts so many more.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// What it has counted.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How often which values were seen, between fixed bounds.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [u64],
    /// One more than the bounds: the last is of what is above all of them.
    counts: [AtomicU64; MAX_BOUNDS + 1],
    sum: AtomicU64,
}

impl Histogram {
    /// One that has seen nothing. Bounds ascend, and are at most 19.
    pub const fn new(bounds: &'static [u64]) -> Self {
        assert!(bounds.len() <= MAX_BOUNDS, "too many bounds");
        Self { bounds, counts: [const { AtomicU64::new(0) }; MAX_BOUNDS + 1], sum: AtomicU64::new(0) }
    }

    /// Sees a value.
    pub fn observe(&self, value: u64) {
        let at = self.bounds.partition_point(|bound| *bound < value);
        self.counts[at].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// Sees a duration, in nanoseconds.
    pub fn observe_duration(&self, duration: Duration) {
        self.observe(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Sees what another one of the same bounds has seen.
    pub fn add(&self, other: &Self) {
        debug_assert_eq!(self.bounds, other.bounds);
        for (count, of_other) in self.counts.iter().zip(&other.counts) {
            count.fetch_add(of_other.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        self.sum.fetch_add(other.sum.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Each bound (`None` above all) with how many values were at most that and above the bound before, and the sum of all values.
    pub fn read(&self) -> (impl Iterator<Item = (Option<u64>, u64)> + '_, u64) {
        let bounds = self.bounds.iter().copied().map(Some).chain([None]);
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        (bounds.zip(counts), self.sum.load(Ordering::Relaxed))
    }
}

/// What engines of records have committed.
#[derive(Debug)]
pub struct CommitFigures {
    /// Transactions that were committed.
    pub committed: Counter,
    /// Transactions whose conditions did not hold.
    pub conflicts: Counter,
    /// Transactions that failed, or of which nobody knows what became.
    pub failed: Counter,
    /// From a transaction's request to its answer, in nanoseconds.
    pub wait: Histogram,
    /// Transactions of one commit: of one sync of the embedded engine, of one trip to a server.
    pub batch: Histogram,
    /// How long the embedded engine took to make a commit durable, or a server to answer, in nanoseconds.
    pub sync: Histogram,
}

/// What engines of blobs have done.
#[derive(Debug)]
pub struct BlobFigures {
    /// Blobs that were finished.
    pub written: Counter,
    /// Their stored bytes.
    pub written_len: Counter,
    /// Reads of ranges.
    pub reads: Counter,
    /// Bytes that were read.
    pub read_len: Counter,
    /// Syncs of files of blobs, in nanoseconds.
    pub sync: Histogram,
    /// Writes that failed.
    pub write_errors: Counter,
    /// Reads that failed, but for those of a blob that is gone.
    pub read_errors: Counter,
}

/// Commits of this process.
pub static COMMITS: CommitFigures = CommitFigures {
    committed: Counter::new(),
    conflicts: Counter::new(),
    failed: Counter::new(),
    wait: Histogram::new(&DURATION_BOUNDS_NS),
    batch: Histogram::new(&BATCH_BOUNDS),
    sync: Histogram::new(&DURATION_BOUNDS_NS),
};

/// Blobs of this process.
pub static BLOBS: BlobFigures = BlobFigures {
    written: Counter::new(),
    written_len: Counter::new(),
    reads: Counter::new(),
    read_len: Counter::new(),
    sync: Histogram::new(&DURATION_BOUNDS_NS),
    write_errors: Counter::new(),
    read_errors: Counter::new(),
};

impl CommitFigures {
    /// A transaction was answered after this time.
    pub(crate) fn answered(&self, wait: Duration, answer: &Result<(), crate::kv::KvError>) {
        self.wait.observe_duration(wait);
        match answer {
            Ok(()) => self.committed.add(1),
            Err(crate::kv::KvError::Conflict { .. }) => self.conflicts.add(1),
            Err(_) => self.failed.add(1),
        }
    }
}

impl BlobFigures {
    /// A blob was finished, or not.
    pub(crate) fn finished(&self, answer: &Result<crate::blob::BlobRef, crate::blob::BlobError>) {
        match answer {
            Ok(blob) => {
                self.written.add(1);
                self.written_len.add(blob.stored_len.0);
            }
            Err(_) => self.write_errors.add(1),
        }
    }

    /// A range of a blob was read, or not.
    pub(crate) fn read<T: AsRef<[u8]>>(&self, answer: &Result<T, crate::blob::BlobError>) {
        match answer {
            Ok(bytes) => {
                self.reads.add(1);
                self.read_len.add(bytes.as_ref().len() as u64);
            }
            Err(crate::blob::BlobError::NotFound(_)) => {}
            Err(_) => self.read_errors.add(1),
        }
    }

    /// Syncs a file of blobs, and sees how long that takes.
    pub(crate) fn sync(&self, file: &std::fs::File) -> std::io::Result<()> {
        let began = std::time::Instant::now();
        let synced = file.sync_data();
        self.sync.observe_duration(began.elapsed());
        synced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_at_the_least_bound_that_is_not_below_them() {
        let histogram = Histogram::new(&BATCH_BOUNDS);
        for value in [1, 2, 3, 4, 256, 257] {
            histogram.observe(value);
        }
        let (counts, sum) = histogram.read();
        let counts: Vec<_> = counts.filter(|(_, count)| *count > 0).collect();
        assert_eq!(counts, [(Some(1), 1), (Some(2), 1), (Some(4), 2), (Some(256), 1), (None, 1)]);
        assert_eq!(sum, 523);
        let both = Histogram::new(&BATCH_BOUNDS);
        both.add(&histogram);
        both.add(&histogram);
        assert_eq!(both.read().0.map(|(_, count)| count).sum::<u64>(), 12);
        assert_eq!(both.read().1, 1046);
    }
}
