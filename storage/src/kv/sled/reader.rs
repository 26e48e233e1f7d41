//! Reads the tree: entries, and pages of them for whoever walks over all.

use bytes::Bytes;
use sled::{IVec, Tree};

use super::super::{Direction, Entry, Key, KeyRange, KvError, Revision};
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
        let mut value = Vec::new();
        if let Some(revision) = append(tree, &found, &mut value)? {
            return Ok(Some(Entry { value: value.into(), revision }));
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
    // One buffer holds all keys and values: a page costs few allocations, and few of them lie between others' that stay.
    let mut page = Vec::new();
    let mut places = Vec::with_capacity(limit.min(1024));
    while places.len() < limit {
        let row = match direction {
            Direction::Forward => rows.next(),
            Direction::Backward => rows.next_back(),
        };
        let Some(row) = row else { break };
        let (key, value) = row.map_err(sled_error)?;
        let (start, key) = (page.len(), &key[1..]);
        let row_len = key.len() + value.len();
        if page.capacity() - start < row_len {
            // For three more of each that is there: little of a full page has moved then, and a short one has not much room left.
            let more = (limit - places.len()).min(3 * places.len() + 1);
            page.reserve_exact(row_len.max(start / places.len().max(1)) * more);
        }
        page.extend_from_slice(key);
        let value_start = page.len();
        let revision = match append(tree, &value, &mut page)? {
            Some(revision) => Some(revision),
            None => get(tree, key)?.map(|entry| {
                page.extend_from_slice(&entry.value);
                entry.revision
            }),
        };
        match revision {
            Some(revision) => places.push((start..value_start, value_start..page.len(), revision)),
            None => page.truncate(start),
        }
    }
    let page = Bytes::from(page);
    let entry = |(key, value, revision)| (page.slice(key), Entry { value: page.slice(value), revision });
    Ok(places.into_iter().map(entry).collect())
}

/// Appends the value of what is stored under its key; `None`, with nothing appended, if it was replaced while its chunks were read.
fn append(tree: &Tree, stored: &IVec, out: &mut Vec<u8>) -> Result<Option<Revision>, KvError> {
    let stored = Stored::parse(stored).map_err(corrupt)?;
    let start = out.len();
    if start == 0 && stored.chunk_count == 0 {
        // No longer than what it holds: whoever shares it takes it as it is.
        out.reserve_exact(stored.front.len());
    }
    out.extend_from_slice(stored.front);
    for index in 0..stored.chunk_count {
        let chunk = tree.get(entry::chunk_key(stored.revision, index)).map_err(sled_error)?;
        let Some(chunk) = chunk else {
            out.truncate(start);
            return Ok(None);
        };
        out.extend_from_slice(&chunk);
    }
    Ok(Some(stored.revision))
}
