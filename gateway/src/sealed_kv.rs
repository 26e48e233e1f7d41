//! The [`KeyValue`] decorator that seals every catalog value, and the metadata key it seals under.

use std::sync::Arc;

use async_trait::async_trait;
use kms_core::secret::Secret32;
use storage::kv::{Direction, Entry, Frozen, Key, KeyRange, KeyValue, KvError, Transaction, Write};

pub use crate::seal::xaes::Unsealable;
use crate::seal::xaes::Xaes;

/// What catalog values are sealed as.
const CATALOG: &str = "catalog";

/// Seals catalog values and blob trailers: XAES-256-GCM, a random 192-bit nonce in front.
pub struct MetadataKey(Xaes);

impl MetadataKey {
    /// The key of these bytes.
    pub fn new(secret: Secret32) -> Self {
        Self(Xaes::new(&secret))
    }

    /// Seals `plain`, bound to `purpose` and `name` (tree and key of a value; kind and owner of a trailer).
    pub fn seal(&self, purpose: &str, name: &[u8], plain: &[u8]) -> Vec<u8> {
        self.0.seal(&additional_data(purpose, name), plain)
    }

    /// Opens what [`MetadataKey::seal`] made for the same purpose and name.
    pub fn open(&self, purpose: &str, name: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Unsealable> {
        self.0.open(&additional_data(purpose, name), sealed)
    }
}

/// The purpose (which holds no zero byte), a zero byte, the name.
fn additional_data(purpose: &str, name: &[u8]) -> Vec<u8> {
    [purpose.as_bytes(), &[0], name].concat()
}

/// An engine whose values are sealed, each bound to its key: a value that was changed, moved or made elsewhere is
/// [`KvError::Corrupt`]. Keys lie in the clear, since their order is the engine's.
pub struct SealedKv {
    inner: Arc<dyn KeyValue>,
    metadata_key: Arc<MetadataKey>,
}

impl SealedKv {
    /// Seals what is in `inner`.
    pub fn new(inner: Arc<dyn KeyValue>, metadata_key: Arc<MetadataKey>) -> Self {
        Self { inner, metadata_key }
    }

    fn open(&self, name: &Key, entry: Entry) -> Result<Entry, KvError> {
        match self.metadata_key.open(CATALOG, name, &entry.value) {
            Ok(plain) => Ok(Entry { value: plain.into(), revision: entry.revision }),
            Err(error) => Err(KvError::Corrupt(Box::new(error))),
        }
    }
}

#[async_trait]
impl KeyValue for SealedKv {
    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>, KvError> {
        let entries = self.inner.get(keys).await?;
        keys.iter().zip(entries).map(|(name, entry)| entry.map(|e| self.open(name, e)).transpose()).collect()
    }

    async fn scan(
        &self,
        range: KeyRange,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<(Key, Entry)>, KvError> {
        let entries = self.inner.scan(range, direction, limit).await?;
        entries
            .into_iter()
            .map(|(name, entry)| {
                let entry = self.open(&name, entry)?;
                Ok((name, entry))
            })
            .collect()
    }

    async fn commit(&self, mut transaction: Transaction) -> Result<(), KvError> {
        for write in &mut transaction.writes {
            if let Write::Put(name, value) = write {
                *value = self.metadata_key.seal(CATALOG, name, value).into();
            }
        }
        self.inner.commit(transaction).await
    }

    async fn freeze(&self) -> Result<Frozen, KvError> {
        self.inner.freeze().await
    }
}
