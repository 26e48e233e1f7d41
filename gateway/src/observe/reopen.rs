//! Log files are opened anew after they were renamed: whoever rotates them says so by a signal.

use std::sync::atomic::{AtomicU64, Ordering};

/// How many times it was asked for.
static ASKED: AtomicU64 = AtomicU64::new(0);

/// Has every log file of this process opened anew, before the next line is written to it.
pub fn ask() {
    ASKED.fetch_add(1, Ordering::Release);
}

/// What a log file remembers of it.
#[derive(Debug)]
pub(super) struct Seen(u64);

impl Seen {
    /// From now on.
    pub(super) fn now() -> Self {
        Self(ASKED.load(Ordering::Acquire))
    }

    /// Was it asked for since this was asked last?
    pub(super) fn is_asked(&mut self) -> bool {
        let asked = ASKED.load(Ordering::Acquire);
        std::mem::replace(&mut self.0, asked) != asked
    }
}
