//! A store that ends with the process: for tests.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use super::{Change, Item, KeyStore, StoreError};

/// See the module.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<BTreeMap<Vec<u8>, Vec<u8>>>);

impl KeyStore for MemoryStore {
    fn load(&self) -> Result<Vec<Item>, StoreError> {
        Ok(self.0.lock().iter().map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        let mut map = self.0.lock();
        for (name, value) in changes {
            match value {
                Some(value) => map.insert(name, value),
                None => map.remove(&name),
            };
        }
        Ok(())
    }
}
