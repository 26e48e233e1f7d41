//! Backing keys: the secrets behind a KMS key. The current one encrypts; every one decrypts.

use std::sync::Arc;

use super::material::Material;
use super::{KeyMaterialId, KmsKeyId};
use crate::crypto;
use crate::error::KmsError;
use crate::secret::Secret32;

/// A backing key in the clear, or what is known of one whose imported material is gone.
#[derive(Debug)]
pub struct BackingKey {
    /// Its identity.
    pub id: KeyMaterialId,
    /// How it came to be.
    pub made: Made,
    /// `None`: imported, and deleted or expired since.
    secret: Option<Arc<Material>>,
}

/// How and when a backing key came to be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Made {
    /// What made it the current one.
    pub by: MadeBy,
    /// When it became the current one, milliseconds since the Unix epoch.
    pub at_unix_ms: u64,
    /// `KeyMaterialDescription` of imported material.
    pub description: Option<String>,
    /// When imported material expires, milliseconds since the Unix epoch.
    pub expires_unix_ms: Option<u64>,
}

/// What made a backing key the current one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MadeBy {
    /// CreateKey, or the first import.
    #[default]
    Creation,
    /// A rotation that was due.
    Automatic,
    /// RotateKeyOnDemand.
    OnDemand,
    /// Nothing yet: imported, to be rotated to.
    Pending,
}

/// `ExpirationModel` of imported material that expires then, or never.
pub fn expiration_model(expires_unix_ms: Option<u64>) -> &'static str {
    match expires_unix_ms {
        Some(_) => "KEY_MATERIAL_EXPIRES",
        None => "KEY_MATERIAL_DOES_NOT_EXPIRE",
    }
}

impl BackingKey {
    /// A backing key of this KMS key. Its id is an HMAC of the KMS key's id under the secret, so that a header that names
    /// it commits to the secret (no blob opens under two), and importing the same material gives the same id.
    pub fn new(key_id: KmsKeyId, secret: Secret32, made: Made) -> Self {
        Self::of(key_id, Material::Symmetric(secret), made)
    }

    /// As [`BackingKey::new`], with material of any kind.
    pub(crate) fn of(key_id: KmsKeyId, material: Material, made: Made) -> Self {
        let parts = [&b"sealgate kms v1 key material id"[..], key_id.as_bytes()];
        let id = crypto::hmac_sha256(material.bytes(), &parts);
        Self { id: KeyMaterialId::from_bytes(id), made, secret: Some(Arc::new(material)) }
    }

    /// One whose material is gone.
    pub(crate) fn without_material(id: KeyMaterialId, made: Made) -> Self {
        Self { id, made, secret: None }
    }

    /// The same backing key, made otherwise.
    pub(crate) fn remade(&self, made: Made) -> Self {
        Self { id: self.id, made, secret: self.secret.clone() }
    }

    /// Is its material there?
    pub fn has_material(&self) -> bool {
        self.secret.is_some()
    }

    /// The secret of a symmetric key.
    pub(crate) fn secret(&self) -> Result<&Secret32, KmsError> {
        self.symmetric().ok_or_else(|| KmsError::Internal("key material is not there".to_owned()))
    }

    /// The secret of a symmetric key, where its material is there.
    pub(crate) fn symmetric(&self) -> Option<&Secret32> {
        match self.material()? {
            Material::Symmetric(secret) => Some(secret),
            Material::Mac(_) | Material::Pair(..) => None,
        }
    }

    /// Its material, where that is there.
    pub(crate) fn material(&self) -> Option<&Material> {
        self.secret.as_deref()
    }
}
