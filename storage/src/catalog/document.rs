//! Documents: small values of whoever stands above the catalog, which knows their names alone. They stand on shelves, and a
//! shelf changes as a whole: who changes it says which state of it he has read.

use bytes::Bytes;

use super::{Catalog, CatalogError, SCAN_LEN, layout};
use crate::kv::{Condition, Direction, Key, KeyRange, Transaction, Write};

/// A shelf's state: how many changes it has had.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ShelfState(u64);

/// A document's new value; `None` takes it away.
pub type DocumentChange = (String, Option<Bytes>);

impl Catalog {
    /// Every document of a shelf, by name, and the state that they make.
    pub async fn documents(&self, shelf: &str) -> Result<(ShelfState, Vec<(String, Bytes)>), CatalogError> {
        let base = layout::shelf(shelf);
        loop {
            let (state, _) = self.shelf_state(&base).await?;
            let mut documents = Vec::new();
            let mut range = KeyRange::prefix(base.clone());
            range.start = layout::successor(&base);
            loop {
                let found = self.kv.scan(range.clone(), Direction::Forward, SCAN_LEN).await?;
                for (key, entry) in &found {
                    if entry.is_damaged() {
                        self.note_damage(key);
                        return Err(CatalogError::Corrupt("a document"));
                    }
                    let name = String::from_utf8(key[base.len()..].to_vec());
                    let name = name.map_err(|_| CatalogError::Corrupt("a document's name"))?;
                    documents.push((name, entry.value.clone()));
                }
                match found.last() {
                    Some((last, _)) if found.len() == SCAN_LEN => range.start = layout::successor(last),
                    _ => break,
                }
            }
            // A scan is of no one moment: what changed meanwhile is read again.
            if self.shelf_state(&base).await?.0 == state {
                return Ok((state, documents));
            }
        }
    }

    /// Changes documents of a shelf that is still in this state, all or none; answers its new state. [`CatalogError::Contended`]: it
    /// is in another.
    pub async fn change_documents(
        &self,
        shelf: &str,
        expected: ShelfState,
        changes: Vec<DocumentChange>,
    ) -> Result<ShelfState, CatalogError> {
        let base = layout::shelf(shelf);
        let (state, condition) = self.shelf_state(&base).await?;
        if state != expected {
            return Err(CatalogError::Contended);
        }
        let next = ShelfState(state.0 + 1);
        let mut writes = vec![Write::Put(base.clone(), Bytes::copy_from_slice(&next.0.to_be_bytes()))];
        writes.extend(changes.into_iter().map(|(name, value)| {
            let key = layout::document(&base, &name);
            value.map_or(Write::Delete(key.clone()), |value| Write::Put(key, value))
        }));
        match self.commit(Transaction { conditions: vec![condition], writes }).await {
            Ok(()) => Ok(next),
            Err(crate::kv::KvError::Conflict { .. }) => Err(CatalogError::Contended),
            Err(error) => Err(error.into()),
        }
    }

    async fn shelf_state(&self, base: &Key) -> Result<(ShelfState, Condition), CatalogError> {
        let [found] = self.get([base.clone()]).await?;
        Ok(match found {
            None => (ShelfState::default(), Condition::Absent(base.clone())),
            Some(entry) => {
                let corrupt = |_| CatalogError::Corrupt("a shelf's state");
                let state = u64::from_be_bytes(entry.value[..].try_into().map_err(corrupt)?);
                (ShelfState(state), Condition::At(base.clone(), entry.revision))
            }
        })
    }
}
