//! A store that ends with the process, and that several may share: for tests.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use super::{Change, DIGEST_NAME, Expected, Item, KeyStore, StoreError};

/// See the module.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<BTreeMap<Vec<u8>, Vec<u8>>>);

impl KeyStore for MemoryStore {
    fn load(&self) -> Result<Vec<Item>, StoreError> {
        Ok(self.0.lock().iter().map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    fn commit(&self, expected: Expected<'_>, changes: Vec<Change>) -> Result<(), StoreError> {
        let mut map = self.0.lock();
        if let Expected::Revision(revision) = expected
            && map.get(DIGEST_NAME).map(Vec::as_slice) != revision
        {
            return Err(StoreError::Contended);
        }
        for (name, value) in changes {
            match value {
                Some(value) => map.insert(name, value),
                None => map.remove(&name),
            };
        }
        Ok(())
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn revision(&self) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.lock().get(DIGEST_NAME).cloned())
    }
}
