//! A map in memory: the test double of every engine, and nothing that survives its process.

use std::collections::BTreeMap;
use std::ops::Bound;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::RwLock;

use super::counter::{Amounts, ONLY_STRIPE};
use super::marks::Marks;
use super::{
    Condition, Direction, Entry, Key, KeyRange, KeyValue, KvError, Mark, Place, Revision, Snapshot, Standing,
    Transaction, Write,
};

/// See the module.
#[derive(Debug, Default)]
pub struct MemoryKv {
    state: RwLock<State>,
    marks: Marks,
}

#[derive(Debug, Default)]
struct State {
    entries: BTreeMap<Key, Entry>,
    /// The revision of the last write; never used twice.
    revision: u64,
}

impl MemoryKv {
    /// An empty map.
    pub fn new() -> Self {
        Self::default()
    }
}

impl State {
    /// The numbers of a spread counter.
    fn sum(&self, counter: &Key) -> Amounts {
        let mut sum = Amounts::default();
        for (_, entry) in
            self.entries.range(counter.clone()..).take_while(|(key, _)| key.starts_with(counter))
        {
            sum.add(&Amounts::stored_or_none(&entry.value));
        }
        sum
    }
}

#[async_trait]
impl KeyValue for MemoryKv {
    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>, KvError> {
        let state = self.state.read();
        Ok(keys.iter().map(|key| state.entries.get(key).cloned()).collect())
    }

    async fn scan(
        &self,
        range: KeyRange,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<(Key, Entry)>, KvError> {
        if range.end.as_ref().is_some_and(|end| *end <= range.start) {
            return Ok(Vec::new());
        }
        let state = self.state.read();
        let end = range.end.map_or(Bound::Unbounded, Bound::Excluded);
        let found = state.entries.range((Bound::Included(range.start), end));
        let owned = |(key, entry): (&Key, &Entry)| (key.clone(), entry.clone());
        Ok(match direction {
            Direction::Forward => found.take(limit).map(owned).collect(),
            Direction::Backward => found.rev().take(limit).map(owned).collect(),
        })
    }

    async fn commit(&self, transaction: Transaction) -> Result<(), KvError> {
        self.limits().check(&transaction)?;
        let mut state = self.state.write();
        for condition in &transaction.conditions {
            let (key, holds) = match condition {
                Condition::Absent(key) => (key, !state.entries.contains_key(key)),
                Condition::At(key, revision) => {
                    (key, state.entries.get(key).is_some_and(|entry| entry.revision == *revision))
                }
                Condition::AtMost { counter, column, most } => {
                    (counter, state.sum(counter).0.get(*column).is_some_and(|sum| sum <= most))
                }
            };
            if !holds {
                return Err(KvError::Conflict { key: key.clone() });
            }
        }
        let entry_keys: Vec<Key> = transaction
            .writes
            .iter()
            .map(|write| match write {
                Write::Add(addition) => addition.entry_key(ONLY_STRIPE),
                write => write.key().clone(),
            })
            .collect();
        let _changing = self.marks.change(entry_keys.iter());
        for write in transaction.writes {
            state.revision += 1;
            let revision = Revision(state.revision);
            match write {
                Write::Put(key, value) => {
                    // A copy: a caller's slice would keep the whole buffer that it is part of.
                    let value = Bytes::copy_from_slice(&value);
                    state.entries.insert(key, Entry { value, revision });
                }
                Write::Delete(key) => {
                    state.entries.remove(&key);
                }
                Write::Add(addition) => {
                    let key = addition.entry_key(ONLY_STRIPE);
                    let former = state.entries.get(&key);
                    let mut sum =
                        former.map(|entry| Amounts::stored_or_none(&entry.value)).unwrap_or_default();
                    sum.add(&addition.amounts);
                    state.entries.insert(key, Entry { value: sum.to_bytes(), revision });
                }
            }
        }
        Ok(())
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, KvError> {
        let state = self.state.read();
        let entries = state.entries.iter().map(|(key, entry)| (key.clone(), entry.clone())).collect();
        Ok(Box::new(Copied(entries)))
    }

    async fn verify(&self) -> Result<u64, KvError> {
        Ok(self.state.read().entries.len() as u64)
    }

    fn standing(&self) -> Standing {
        Standing::Verified
    }

    fn mark(&self, place: Place<'_>) -> Option<Mark> {
        self.marks.of(place)
    }
}

/// All entries, until they were asked for.
struct Copied(Vec<(Key, Entry)>);

#[async_trait]
impl Snapshot for Copied {
    async fn next(&mut self) -> Result<Vec<(Key, Entry)>, KvError> {
        Ok(std::mem::take(&mut self.0))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn it_keeps_the_contract() {
        crate::contract::kv::run(Arc::new(super::MemoryKv::new())).await;
    }
}
