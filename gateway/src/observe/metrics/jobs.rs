//! What is counted of lifecycle walks and rewraps.

use std::sync::atomic::{AtomicU64, Ordering};

use storage::figures::Counter;
use storage::name::Timestamp;

use super::text::Text;
use crate::observe::jobs::LifecycleWalk;

/// Walks of lifecycle rules of this process.
pub static LIFECYCLE: LifecycleFigures = LifecycleFigures {
    seen: Counter::new(),
    walked: Counter::new(),
    cut_off: Counter::new(),
    expired: Counter::new(),
    noncurrent: Counter::new(),
    markers: Counter::new(),
    transitions: Counter::new(),
    uploads: Counter::new(),
    locked: Counter::new(),
};

/// Rewraps of this process.
pub static REWRAP: RewrapFigures = RewrapFigures {
    running: AtomicU64::new(0),
    moved: Counter::new(),
    failed: Counter::new(),
    seen: Counter::new(),
    backlog: AtomicU64::new(0),
    ended_unix_ms: AtomicU64::new(0),
};

/// See [`LIFECYCLE`].
#[derive(Debug)]
pub struct LifecycleFigures {
    /// Versions that were looked at.
    pub seen: Counter,
    walked: Counter,
    cut_off: Counter,
    /// Current versions that were deleted, or hidden by a delete marker.
    pub expired: Counter,
    /// Versions that were not current, deleted.
    pub noncurrent: Counter,
    /// Delete markers that nothing was behind, deleted.
    pub markers: Counter,
    /// Versions that have another storage class now.
    pub transitions: Counter,
    /// Uploads that were ended.
    pub uploads: Counter,
    /// What object lock kept.
    pub locked: Counter,
}

impl LifecycleFigures {
    /// A walk has ended; did it come to its end?
    pub fn has_walked(&self, is_whole: bool) {
        if is_whole { &self.walked } else { &self.cut_off }.add(1);
    }
}

/// See [`REWRAP`].
#[derive(Debug)]
pub struct RewrapFigures {
    running: AtomicU64,
    /// Versions that were rewrapped.
    pub moved: Counter,
    /// Versions that could not be.
    pub failed: Counter,
    seen: Counter,
    backlog: AtomicU64,
    ended_unix_ms: AtomicU64,
}

/// A rewrap that runs, until it is dropped.
#[derive(Debug)]
pub struct RunningRewrap {
    /// Versions that it has still to look at.
    left: u64,
}

impl RewrapFigures {
    /// One begins that has about so many versions to look at.
    pub fn begin(&self, total: u64) -> RunningRewrap {
        self.running.fetch_add(1, Ordering::Relaxed);
        self.backlog.fetch_add(total, Ordering::Relaxed);
        RunningRewrap { left: total }
    }
}

impl RunningRewrap {
    /// It has looked at one more.
    pub fn has_seen(&mut self) {
        REWRAP.seen.add(1);
        if self.left > 0 {
            self.left -= 1;
            REWRAP.backlog.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for RunningRewrap {
    fn drop(&mut self) {
        REWRAP.ended_unix_ms.store(Timestamp::now().unix_ms(), Ordering::Relaxed);
        REWRAP.backlog.fetch_sub(self.left, Ordering::Relaxed);
        REWRAP.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Writes what is known of both; `walk`: the walk of lifecycle rules that is under way.
pub fn write(walk: Option<&LifecycleWalk>, text: &mut Text) {
    let one = |value: f64| [(vec![], value)];
    text.gauge(
        "sealgate_lifecycle_running",
        "Is a walk of lifecycle rules under way (1), or not (0)",
        one(f64::from(u8::from(walk.is_some()))),
    );
    text.gauge(
        "sealgate_lifecycle_backlog_versions",
        "About how many versions and delete markers the walk under way has still to look at",
        one(walk.map_or(0, LifecycleWalk::backlog) as f64),
    );
    text.counter(
        "sealgate_lifecycle_versions_seen",
        "Versions and delete markers that walks of lifecycle rules looked at",
        one(LIFECYCLE.seen.get() as f64),
    );
    text.counter(
        "sealgate_lifecycle_walks",
        "Walks of lifecycle rules that ended, by whether all was looked at",
        [("ok", &LIFECYCLE.walked), ("failed", &LIFECYCLE.cut_off)]
            .map(|(outcome, counter)| (vec![("outcome", outcome)], counter.get() as f64)),
    );
    text.counter(
        "sealgate_lifecycle_changes",
        "What lifecycle rules did, and what object lock kept them from",
        [
            ("expired", &LIFECYCLE.expired),
            ("noncurrent", &LIFECYCLE.noncurrent),
            ("delete_marker", &LIFECYCLE.markers),
            ("transition", &LIFECYCLE.transitions),
            ("upload", &LIFECYCLE.uploads),
            ("locked", &LIFECYCLE.locked),
        ]
        .map(|(change, counter)| (vec![("change", change)], counter.get() as f64)),
    );
    let running = REWRAP.running.load(Ordering::Relaxed);
    text.gauge("sealgate_rewrap_running", "Rewraps that run now", one(running as f64));
    text.gauge(
        "sealgate_rewrap_backlog_versions",
        "About how many versions the rewraps that run have still to look at",
        one(REWRAP.backlog.load(Ordering::Relaxed) as f64),
    );
    text.counter(
        "sealgate_rewrap_versions_seen",
        "Versions that rewraps looked at",
        one(REWRAP.seen.get() as f64),
    );
    text.counter(
        "sealgate_rewrap_versions",
        "Versions that rewraps had to wrap anew, by outcome",
        [("ok", &REWRAP.moved), ("failed", &REWRAP.failed)]
            .map(|(outcome, counter)| (vec![("outcome", outcome)], counter.get() as f64)),
    );
    let ended_unix_ms = REWRAP.ended_unix_ms.load(Ordering::Relaxed);
    let ended = (ended_unix_ms > 0).then_some((vec![], ended_unix_ms as f64 / 1000.0));
    text.gauge(
        "sealgate_rewrap_last_end_timestamp_seconds",
        "When the last rewrap ended, in seconds since the Unix epoch",
        ended,
    );
}
