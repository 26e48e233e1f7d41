//! Documents: small values of whoever stands above the catalog, which knows their names alone. They stand on shelves, and a
//! shelf changes as a whole: who changes it says which state of it he has read. The state counts the documents as well, so that
//! one that was taken away from outside is missed.

use bytes::Bytes;

use super::record::{BucketRecord, Record};
use super::{Bucket, Catalog, CatalogError, SCAN_LEN, layout, unchanged};
use crate::kv::{Condition, Direction, Entry, Key, KeyRange, Transaction, Write};
use crate::name::BucketName;

mod changes;
mod notes;

/// A shelf's state: how many changes it has had.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ShelfState(pub(super) u64);

/// What is kept of a shelf itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shelf {
    state: ShelfState,
    /// How many documents stand on it; `None` on a shelf that was last changed before they were counted.
    document_count: Option<u64>,
}

impl Shelf {
    fn encode(self) -> Bytes {
        let count = self.document_count.map(u64::to_be_bytes);
        [&self.state.0.to_be_bytes()[..], count.as_ref().map_or(&[], |count| &count[..])].concat().into()
    }

    fn decode(stored: &[u8]) -> Result<Self, CatalogError> {
        let corrupt = CatalogError::Corrupt("a shelf's state");
        let Some((state, count)) = stored.split_first_chunk() else { return Err(corrupt) };
        let document_count = match count.len() {
            0 => None,
            _ => Some(u64::from_be_bytes(count.try_into().map_err(|_| corrupt)?)),
        };
        Ok(Self { state: ShelfState(u64::from_be_bytes(*state)), document_count })
    }
}

fn shelf_of(found: Option<&Entry>) -> Result<Shelf, CatalogError> {
    // Without any change there is nothing to count.
    let empty = Shelf { state: ShelfState::default(), document_count: Some(0) };
    found.map_or(Ok(empty), |entry| Shelf::decode(&entry.value))
}

/// A document's new value; `None` takes it away.
pub type DocumentChange = (String, Option<Bytes>);

impl Catalog {
    /// Every document of a shelf, by name, and the state that they make. [`CatalogError::DocumentCount`]: there are not as many as were
    /// put on it.
    pub async fn documents(&self, shelf: &str) -> Result<(ShelfState, Vec<(String, Bytes)>), CatalogError> {
        let (kept, documents) = self.all_documents(shelf).await?;
        let found = documents.len() as u64;
        match kept.document_count {
            Some(expected) if expected != found => {
                Err(CatalogError::DocumentCount { shelf: shelf.to_owned(), expected, found })
            }
            _ => Ok((kept.state, documents)),
        }
    }

    /// Counts the documents of a shelf anew: what is missing is taken for taken away. Answers how many there are.
    pub async fn recount_documents(&self, shelf: &str) -> Result<u64, CatalogError> {
        let base = layout::shelf(shelf);
        let (kept, documents) = self.all_documents(shelf).await?;
        let found = documents.len() as u64;
        let (now, condition) = self.shelf(&base).await?;
        if now != kept {
            return Err(CatalogError::Contended);
        }
        let next = Shelf { state: ShelfState(kept.state.0 + 1), document_count: Some(found) };
        self.commit_shelf(condition, vec![Write::Put(base, next.encode())]).await?;
        Ok(found)
    }

    async fn all_documents(&self, shelf: &str) -> Result<(Shelf, Vec<(String, Bytes)>), CatalogError> {
        let base = layout::shelf(shelf);
        loop {
            let (kept, _) = self.shelf(&base).await?;
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
            if self.shelf(&base).await?.0 == kept {
                return Ok((kept, documents));
            }
        }
    }

    /// Changes documents of a shelf that is still in this state, all or none; answers its new state. No document may be named
    /// twice. [`CatalogError::Contended`]: it is in another.
    pub async fn change_documents(
        &self,
        shelf: &str,
        expected: ShelfState,
        changes: Vec<DocumentChange>,
    ) -> Result<ShelfState, CatalogError> {
        self.change_shelf((shelf, expected), changes, false).await
    }

    /// As [`Catalog::change_documents`], and leaves word of which documents changed for [`Catalog::documents_since`].
    pub async fn change_documents_telling(
        &self,
        shelf: &str,
        expected: ShelfState,
        changes: Vec<DocumentChange>,
    ) -> Result<ShelfState, CatalogError> {
        self.change_shelf((shelf, expected), changes, true).await
    }

    async fn change_shelf(
        &self,
        (shelf, expected): (&str, ShelfState),
        changes: Vec<DocumentChange>,
        tells: bool,
    ) -> Result<ShelfState, CatalogError> {
        let base = layout::shelf(shelf);
        let (kept, condition) = self.shelf(&base).await?;
        if kept.state != expected {
            return Err(CatalogError::Contended);
        }
        let keys: Vec<Key> = changes.iter().map(|(name, _)| layout::document(&base, name)).collect();
        let document_count = match kept.document_count {
            Some(count) => count,
            None => self.all_documents(shelf).await?.1.len() as u64,
        };
        // The shelf's state is a condition, so nobody changes what is counted here.
        let former = self.kv.get(&keys).await?;
        let pairs = || former.iter().zip(&changes);
        let added = pairs().filter(|(former, (_, next))| former.is_none() && next.is_some()).count() as u64;
        let removed = pairs().filter(|(former, (_, next))| former.is_some() && next.is_none()).count() as u64;
        let next = Shelf {
            state: ShelfState(kept.state.0 + 1),
            document_count: Some((document_count + added).saturating_sub(removed)),
        };
        let mut writes = vec![Write::Put(base, next.encode())];
        if tells {
            writes.extend(changes::tell(shelf, next.state, &changes));
        }
        writes.extend(keys.into_iter().zip(changes).map(|(key, (_, value))| match value {
            Some(value) => Write::Put(key, value),
            None => Write::Delete(key),
        }));
        self.commit_shelf(condition, writes).await?;
        Ok(next.state)
    }

    async fn commit_shelf(&self, condition: Condition, writes: Vec<Write>) -> Result<(), CatalogError> {
        match self.commit(Transaction { conditions: vec![condition], writes }).await {
            Err(crate::kv::KvError::Conflict { .. }) => Err(CatalogError::Contended),
            committed => Ok(committed?),
        }
    }

    async fn shelf(&self, base: &Key) -> Result<(Shelf, Condition), CatalogError> {
        let [found] = self.get([base.clone()]).await?;
        Ok((shelf_of(found.as_ref())?, unchanged(base, &found)))
    }

    /// Which state a shelf is in now.
    pub async fn shelf_state(&self, shelf: &str) -> Result<ShelfState, CatalogError> {
        Ok(self.shelf(&layout::shelf(shelf)).await?.0.state)
    }

    /// A bucket by name (or why there is none), and which state a shelf is in: both from one question to the engine.
    pub async fn bucket_and_shelf(
        &self,
        name: &BucketName,
        shelf: &str,
    ) -> Result<(Result<Bucket, CatalogError>, ShelfState), CatalogError> {
        let [bucket, shelf] = self.get([layout::bucket(name), layout::shelf(shelf)]).await?;
        let record =
            bucket.ok_or(CatalogError::NoSuchBucket).and_then(|bucket| BucketRecord::decode(&bucket.value));
        Ok((record.map(|record| record.into_bucket(name.clone())), shelf_of(shelf.as_ref())?.state))
    }
}
