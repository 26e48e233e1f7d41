//! Reads the tree: entries, and pages of them for whoever walks over all.

use sled::{IVec, Tree};

use super::super::{Direction, Entry, Key, KeyRange, KvError};
use super::entry::{self, Stored, tagged};
use super::{corrupt, sled_error};

/// The entry of this key.
pub(super) fn get(tree: &Tree, key: &[u8]) -> Result<Option<Entry>, KvError> {
    let tagged = tagged(key);
    let mut torn = None;
    loop {
        let Some(found) = tree.get(&tagged).map_err(sled_error)? else {
            return Ok(None);
        };
        if let Some(entry) = whole(tree, &found)? {
            return Ok(Some(entry));
        }
        // Replaced meanwhile, or else its chunks are gone for good.
        let revision = Stored::parse(&found).map_err(corrupt)?.revision;
        if torn.replace(revision) == Some(revision) {
            return Err(corrupt("an entry lacks a chunk"));
        }
    }
}

/// See [`KeyValue::scan`](super::super::KeyValue::scan).
pub(super) fn scan(
    tree: &Tree,
    range: &KeyRange,
    direction: Direction,
    limit: usize,
) -> Result<Vec<(Key, Entry)>, KvError> {
    if range.end.as_ref().is_some_and(|end| *end <= range.start) {
        return Ok(Vec::new());
    }
    let start = tagged(&range.start);
    let end = range.end.as_ref().map_or_else(|| vec![entry::ENTRY + 1], |end| tagged(end));
    let mut rows = tree.range(start..end);
    let mut found = Vec::with_capacity(limit.min(1024));
    while found.len() < limit {
        let row = match direction {
            Direction::Forward => rows.next(),
            Direction::Backward => rows.next_back(),
        };
        let Some(row) = row else { break };
        let (key, value) = row.map_err(sled_error)?;
        let key = Key::copy_from_slice(&key[1..]);
        let entry = match whole(tree, &value)? {
            Some(entry) => Some(entry),
            None => get(tree, &key)?,
        };
        found.extend(entry.map(|entry| (key, entry)));
    }
    Ok(found)
}

/// The entry of what is stored under its key; `None` if it was replaced while its chunks were read.
fn whole(tree: &Tree, stored: &IVec) -> Result<Option<Entry>, KvError> {
    let stored = Stored::parse(stored).map_err(corrupt)?;
    if stored.chunk_count == 0 {
        let value = Key::copy_from_slice(stored.front);
        return Ok(Some(Entry { value, revision: stored.revision }));
    }
    let mut value = stored.front.to_vec();
    for index in 0..stored.chunk_count {
        let chunk = tree.get(entry::chunk_key(stored.revision, index)).map_err(sled_error)?;
        let Some(chunk) = chunk else { return Ok(None) };
        value.extend_from_slice(&chunk);
    }
    Ok(Some(Entry { value: value.into(), revision: stored.revision }))
}
