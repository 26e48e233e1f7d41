//! What many threads write to at once comes in parts, of which each thread has one: none takes memory away from another processor.

use std::sync::atomic::{AtomicUsize, Ordering};

/// How many parts there are: threads up to this number share none.
pub(super) const SHARDS: usize = 16;

thread_local! {
    static SHARD: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS
    };
}

/// The part of this thread.
pub(super) fn shard() -> usize {
    SHARD.with(|shard| *shard)
}
