//! Backing keys: the 256-bit secrets behind a KMS key. The current one encrypts; every one decrypts.

use super::{KeyMaterialId, KmsKeyId};
use crate::crypto;
use crate::secret::Secret32;

/// A backing key in the clear.
#[derive(Debug)]
pub struct BackingKey {
    /// Its identity.
    pub id: KeyMaterialId,
    secret: Secret32,
}

impl BackingKey {
    /// A backing key of this KMS key. Its id is an HMAC of the KMS key's id under the secret, so that a header that names
    /// it commits to the secret (no blob opens under two), and importing the same material gives the same id.
    pub fn new(key_id: KmsKeyId, secret: Secret32) -> Self {
        let id =
            crypto::hmac_sha256(secret.expose(), &[b"sealgate kms v1 key material id", key_id.as_bytes()]);
        Self { id: KeyMaterialId::from_bytes(id), secret }
    }

    /// The secret.
    pub(crate) fn secret(&self) -> &Secret32 {
        &self.secret
    }
}
