//! The [`KeyValue`](storage::kv::KeyValue) decorator that seals every catalog value, and the metadata key it seals under.

use kms_core::secret::Secret32;

/// A value that does not open: tampered with, moved to another key, or sealed under another metadata key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sealed catalog value does not open")]
pub struct Unsealable;

/// Seals catalog values and blob trailers: XAES-256-GCM (c2sp.org/XAES-256-GCM), a random 192-bit nonce in front.
pub struct MetadataKey {
    #[allow(dead_code)]
    secret: Secret32,
}

impl MetadataKey {
    /// The key of these bytes.
    pub fn new(secret: Secret32) -> Self {
        Self { secret }
    }

    /// Seals `plain`, bound to `purpose` and `name` (tree and key of a value; kind and owner of a trailer).
    pub fn seal(&self, purpose: &str, name: &[u8], plain: &[u8]) -> Vec<u8> {
        let _ = (purpose, name, plain);
        unimplemented!()
    }

    /// Opens what [`MetadataKey::seal`] made for the same purpose and name.
    pub fn open(&self, purpose: &str, name: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Unsealable> {
        let _ = (purpose, name, sealed);
        unimplemented!()
    }
}
