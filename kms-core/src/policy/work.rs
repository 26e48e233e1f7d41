//! What a decision may cost: policies and requests are both foreign, and their product is work.

use std::cell::Cell;

/// The most steps of one decision: a step compares about a byte, so this is a few milliseconds at worst. All managed policies that a
/// user can have (20 of 6144 characters) against the longest key of an object come to a tenth of it.
const MAX_STEPS: usize = 4 << 20;
/// What a comparison costs besides the bytes that it looks at, in steps.
const COMPARISON: usize = 16;

/// The steps that a decision has left. Whoever runs out of them is denied: what was not looked at may have been a Deny.
#[derive(Debug)]
pub(super) struct Work {
    left: Cell<usize>,
}

impl Work {
    /// For a decision that begins.
    pub(super) fn new() -> Self {
        Self { left: Cell::new(MAX_STEPS) }
    }

    /// Begins a comparison. Answers whether there are steps for it.
    pub(super) fn begin(&self) -> bool {
        self.spend(COMPARISON);
        !self.is_spent()
    }

    /// These steps were taken.
    pub(super) fn spend(&self, steps: usize) {
        let left = self.left.get();
        if left > 0 && steps >= left {
            tracing::warn!(
                steps = MAX_STEPS,
                "a decision was too costly, and is a denial: its policies have too many wildcards"
            );
        }
        self.left.set(left.saturating_sub(steps));
    }

    /// Has it run out of steps?
    pub(super) fn is_spent(&self) -> bool {
        self.left.get() == 0
    }
}
