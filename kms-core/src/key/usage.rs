//! When a key was last used, and for what: what GetKeyLastUsage tells.

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// One successful use of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// The operation, in AWS's name.
    pub operation: String,
    /// When, milliseconds since the Unix epoch.
    pub at_unix_ms: u64,
    /// The request that it was part of.
    pub request_id: String,
}

/// The last use of a key. Kept in memory, and written at intervals: a crash may bring back an earlier one.
#[derive(Debug, Default)]
pub(crate) struct LastUse(Mutex<(Option<Use>, bool)>);

impl LastUse {
    /// As it was written.
    pub(crate) fn new(last: Option<Use>) -> Self {
        Self(Mutex::new((last, false)))
    }

    pub(crate) fn get(&self) -> Option<Use> {
        self.0.lock().0.clone()
    }

    pub(crate) fn set(&self, operation: &str, at_unix_ms: u64, request_id: &str) {
        let mut last = self.0.lock();
        let (last, is_new) = &mut *last;
        let last = last.get_or_insert_with(|| Use {
            operation: String::new(),
            at_unix_ms: 0,
            request_id: String::new(),
        });
        // The strings' memory is used again.
        operation.clone_into(&mut last.operation);
        request_id.clone_into(&mut last.request_id);
        last.at_unix_ms = at_unix_ms;
        *is_new = true;
    }

    /// Somebody else told of a use: the later one counts.
    pub(crate) fn learn(&self, told: Option<Use>) {
        let mut last = self.0.lock();
        if let Some(told) = told
            && last.0.as_ref().is_none_or(|known| known.at_unix_ms < told.at_unix_ms)
        {
            last.0 = Some(told);
        }
    }

    /// What was taken could not be written.
    pub(crate) fn give_back(&self) {
        self.0.lock().1 = true;
    }

    /// The last use, if it was not asked for so since.
    pub(crate) fn take_new(&self) -> Option<Use> {
        let mut last = self.0.lock();
        std::mem::take(&mut last.1).then(|| last.0.clone()).flatten()
    }
}
