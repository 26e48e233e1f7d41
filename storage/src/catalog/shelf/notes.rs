//! Notes: documents of a shelf that has no state, each for itself. Gateways that write different ones do not meet.

use bytes::Bytes;

use super::super::{Catalog, CatalogError, SCAN_LEN, layout, unchanged};
use crate::kv::{Direction, Key, KeyRange, KvError, Transaction, Write};

/// How often one note is tried when other gateways write it.
const MAX_ATTEMPTS: u32 = 8;
/// Notes of one commit.
const MAX_AT_ONCE: usize = 100;

impl Catalog {
    /// Every note of a shelf, by name. One that can't be read is left out.
    pub async fn notes(&self, shelf: &str) -> Result<Vec<(String, Bytes)>, CatalogError> {
        let base = layout::shelf(shelf);
        let (mut notes, mut range) = (Vec::new(), KeyRange::prefix(base.clone()));
        loop {
            let found = self.kv.scan(range.clone(), Direction::Forward, SCAN_LEN).await?;
            for (key, entry) in &found {
                match str::from_utf8(&key[base.len()..]) {
                    Ok(name) if !entry.is_damaged() => notes.push((name.to_owned(), entry.value.clone())),
                    _ => self.note_damage(key),
                }
            }
            match found.last() {
                Some((last, _)) if found.len() == SCAN_LEN => range.start = layout::successor(last),
                _ => return Ok(notes),
            }
        }
    }

    /// Puts notes, each where it supersedes what is there (`None` in its place takes it away). [`CatalogError::Contended`]: other
    /// gateways kept writing the same.
    pub async fn put_notes(
        &self,
        shelf: &str,
        notes: Vec<(String, Option<Bytes>)>,
        supersedes: impl Fn(&Bytes, &Bytes) -> bool,
    ) -> Result<(), CatalogError> {
        let base = layout::shelf(shelf);
        for notes in notes.chunks(MAX_AT_ONCE) {
            let keys: Vec<Key> = notes.iter().map(|(name, _)| layout::document(&base, name)).collect();
            let mut attempts = 0;
            loop {
                let former = self.kv.get(&keys).await?;
                let mut transaction = Transaction::default();
                for ((key, former), (_, value)) in keys.iter().zip(&former).zip(notes) {
                    let write = match (former, value) {
                        (Some(_), None) => Write::Delete(key.clone()),
                        (None, None) => continue,
                        (Some(former), Some(value))
                            if !former.is_damaged() && !supersedes(value, &former.value) =>
                        {
                            continue;
                        }
                        (_, Some(value)) => Write::Put(key.clone(), value.clone()),
                    };
                    transaction.conditions.push(unchanged(key, former));
                    transaction.writes.push(write);
                }
                if transaction.writes.is_empty() {
                    break;
                }
                attempts += 1;
                match self.commit(transaction).await {
                    Err(KvError::Conflict { .. }) if attempts < MAX_ATTEMPTS => {}
                    Err(KvError::Conflict { .. }) => return Err(CatalogError::Contended),
                    done => {
                        done?;
                        break;
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::catalog::ShelfState;
    use crate::kv::memory::MemoryKv;

    #[tokio::test]
    async fn a_note_supersedes_earlier_ones_alone() {
        let catalog = Catalog::new(Arc::new(MemoryKv::new()));
        let put = async |name: &str, value: Option<&'static str>| {
            let note = (name.to_owned(), value.map(Bytes::from));
            catalog.put_notes("uses", vec![note], |new, former| new > former).await.expect("a commit");
        };
        put("a", Some("2")).await;
        put("b", Some("1")).await;
        put("a", Some("1")).await;
        put("c", None).await;
        let all = async || {
            let notes = catalog.notes("uses").await.expect("a read");
            notes
                .into_iter()
                .map(|(name, value)| name + str::from_utf8(&value).expect("text"))
                .collect::<Vec<_>>()
        };
        assert_eq!(all().await, ["a2", "b1"]);
        put("b", Some("3")).await;
        put("a", None).await;
        assert_eq!(all().await, ["b3"]);
    }

    #[tokio::test]
    async fn what_changed_since_a_state_is_told_while_it_is_known() {
        let catalog = Catalog::new(Arc::new(MemoryKv::new()));
        let mut state = ShelfState::default();
        let mut change = async |name: &str, value: Option<&'static str>, tells: bool| {
            let changes = vec![(name.to_owned(), value.map(Bytes::from))];
            let changed = match tells {
                true => catalog.change_documents_telling("iam", state, changes).await,
                false => catalog.change_documents("iam", state, changes).await,
            };
            state = changed.expect("a commit");
            state
        };
        let first = change("a", Some("1"), true).await;
        change("b", Some("1"), true).await;
        change("a", None, true).await;
        let last = change("b", Some("2"), true).await;
        let since = async |state| catalog.documents_since("iam", state).await.expect("a read");
        let changed = vec![("a".to_owned(), None), ("b".to_owned(), Some(Bytes::from("2")))];
        assert_eq!(since(first).await, (last, Some(changed)));
        assert_eq!(since(last).await, (last, Some(Vec::new())));
        // They are none of the shelf's documents.
        assert_eq!(catalog.documents("iam").await.expect("a read").1.len(), 1);
        let untold = change("c", Some("1"), false).await;
        assert_eq!(since(first).await, (untold, None));
        for _ in 0..1000 {
            change("c", Some("2"), true).await;
        }
        assert!(since(untold).await.1.is_some());
        change("c", Some("3"), true).await;
        assert_eq!(since(untold).await.1, None);
        assert_eq!(catalog.notes("iam.changes").await.expect("a read").len(), 1000);
    }
}
