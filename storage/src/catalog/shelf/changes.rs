//! Which documents of a shelf changed: each change that tells leaves a note of the names, under the state that it led to, so that
//! other gateways over the same map fetch those documents alone. Notes stand on a shelf of their own, which has no state.

use std::collections::BTreeSet;

use bytes::{BufMut, Bytes, BytesMut};

use super::super::{Catalog, CatalogError, SCAN_LEN, layout};
use super::{DocumentChange, ShelfState};
use crate::kv::{Direction, Key, KeyRange, Write};

/// Changes of which is known what changed. Who is further behind reads everything.
const KEPT: u64 = 1000;
/// Documents that one who is behind fetches by name: more are not fewer than all.
const MAX_NAMES: usize = 4096;
const FORMAT: u8 = 1;

fn note(shelf: &str, state: u64) -> Key {
    layout::document(&notes(shelf), &format!("{state:016x}"))
}

fn notes(shelf: &str) -> Key {
    layout::shelf(&format!("{shelf}.changes"))
}

/// The note of the change that led to this state, and the end of one that is too old.
pub(super) fn tell(shelf: &str, state: ShelfState, changes: &[DocumentChange]) -> Vec<Write> {
    let mut value = BytesMut::new();
    value.put_u8(FORMAT);
    for (name, _) in changes {
        value.put_u16(u16::try_from(name.len()).unwrap_or(u16::MAX));
        value.put_slice(name.as_bytes());
    }
    let mut writes = vec![Write::Put(note(shelf, state.0), value.freeze())];
    writes.extend(state.0.checked_sub(KEPT).map(|old| Write::Delete(note(shelf, old))));
    writes
}

/// The names of a note; `None`: it is none that this build knows.
fn names(value: &[u8]) -> Option<Vec<String>> {
    let (&FORMAT, mut rest) = value.split_first()? else { return None };
    let mut names = Vec::new();
    while !rest.is_empty() {
        let (len, behind) = rest.split_first_chunk()?;
        let (name, behind) = behind.split_at_checked(u16::from_be_bytes(*len).into())?;
        names.push(String::from_utf8(name.to_vec()).ok()?);
        rest = behind;
    }
    Some(names)
}

impl Catalog {
    /// The documents that changed since this state of the shelf (`None`: taken away), and the state that they make; nothing of them
    /// where it is not known any more which they are.
    pub async fn documents_since(
        &self,
        shelf: &str,
        since: ShelfState,
    ) -> Result<(ShelfState, Option<Vec<(String, Option<Bytes>)>>), CatalogError> {
        let base = layout::shelf(shelf);
        loop {
            let state = self.shelf_state(shelf).await?;
            let Some(names) = self.changed_names(shelf, since.0, state.0).await? else {
                return Ok((state, None));
            };
            let mut documents = Vec::with_capacity(names.len());
            let names: Vec<String> = names.into_iter().collect();
            for names in names.chunks(SCAN_LEN) {
                let keys: Vec<Key> = names.iter().map(|name| layout::document(&base, name)).collect();
                for (name, found) in names.iter().zip(self.kv.get(&keys).await?) {
                    if found.as_ref().is_some_and(crate::kv::Entry::is_damaged) {
                        return Err(CatalogError::Corrupt("a document"));
                    }
                    documents.push((name.clone(), found.map(|entry| entry.value)));
                }
            }
            // What changed meanwhile may be among them in part.
            if self.shelf_state(shelf).await? == state {
                return Ok((state, Some(documents)));
            }
        }
    }

    async fn changed_names(
        &self,
        shelf: &str,
        from: u64,
        to: u64,
    ) -> Result<Option<BTreeSet<String>>, CatalogError> {
        let mut all = BTreeSet::new();
        if from > to || to - from > KEPT {
            return Ok(None);
        }
        let mut next = from;
        while next < to {
            let range =
                KeyRange { start: note(shelf, next + 1), end: Some(layout::successor(&note(shelf, to))) };
            let found = self.kv.scan(range, Direction::Forward, SCAN_LEN).await?;
            if found.is_empty() {
                return Ok(None);
            }
            for (key, entry) in found {
                next += 1;
                match names(&entry.value) {
                    Some(names) if key == note(shelf, next) => all.extend(names),
                    _ => return Ok(None),
                }
            }
            if all.len() > MAX_NAMES {
                return Ok(None);
            }
        }
        Ok(Some(all))
    }
}
