//! A root key whose 32 bytes this process holds, wherever they come from.

use super::{RootError, RootKey};
use crate::crypto;
use crate::secret::Secret32;

const LABEL: &str = "sealgate root v1 wrapped key";

/// See the module.
pub struct SecretRoot {
    id: String,
    secret: Secret32,
}

impl SecretRoot {
    /// The root key of these bytes.
    pub fn new(secret: Secret32) -> Self {
        let id = crypto::hmac_sha256(secret.expose(), &[b"sealgate root v1 id"]);
        Self { id: hex::encode(&id[..8]), secret }
    }
}

impl RootKey for SecretRoot {
    fn id(&self) -> &str {
        &self.id
    }

    fn wrap(&self, purpose: &str, secret: &Secret32) -> Result<Vec<u8>, RootError> {
        Ok(crypto::seal(&self.secret, LABEL, secret.expose(), purpose.as_bytes()))
    }

    fn unwrap(&self, purpose: &str, wrapped: &[u8]) -> Result<Secret32, RootError> {
        crypto::open_32(&self.secret, LABEL, wrapped, purpose.as_bytes())
            .ok_or_else(|| RootError::Tampered(self.id.clone()))
    }
}
