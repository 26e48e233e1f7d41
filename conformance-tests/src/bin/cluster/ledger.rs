//! What was acknowledged, and what may have happened.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes that a length and a seed bring back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) len: usize,
    pub(crate) seed: u64,
}

impl Content {
    pub(crate) fn bytes(self) -> Vec<u8> {
        conformance_tests::random::content(self.len, self.seed)
    }

    pub(crate) fn is(self, bytes: &[u8]) -> bool {
        self.len == bytes.len() && self.bytes() == bytes
    }
}

/// What an object may be: each of these, or absent (`None`). One when nothing is in doubt.
pub(crate) type Possible = Vec<Option<Content>>;

/// Objects by their names. Each is written by one worker alone; one that is in doubt is written no more, since what was not answered may
/// still happen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger(Arc<Mutex<BTreeMap<String, Possible>>>);

impl Ledger {
    pub(crate) fn all(&self) -> MutexGuard<'_, BTreeMap<String, Possible>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it may be.
    pub(crate) fn of(&self, key: &str) -> Possible {
        self.all().get(key).cloned().unwrap_or_else(|| vec![None])
    }

    pub(crate) fn is_in_doubt(&self, key: &str) -> bool {
        self.of(key).len() > 1
    }

    /// It is this.
    pub(crate) fn settle(&self, key: &str, content: Option<Content>) {
        self.all().insert(key.to_owned(), vec![content]);
    }

    /// It may be this, or what it was.
    pub(crate) fn doubt(&self, key: &str, content: Option<Content>) {
        self.all().entry(key.to_owned()).or_insert_with(|| vec![None]).push(content);
    }

    /// Is it one of what it may be? `None`: it is not there.
    pub(crate) fn allows(&self, key: &str, found: Option<&[u8]>) -> bool {
        self.of(key).iter().any(|possible| match (possible, found) {
            (None, None) => true,
            (Some(content), Some(bytes)) => content.is(bytes),
            _ => false,
        })
    }
}
