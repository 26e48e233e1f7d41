//! The service: keys in a store of their own, behind the policy gate.

use std::path::Path;
use std::sync::Arc;

use crate::context::EncryptionContext;
use crate::error::KmsError;
use crate::root::{RootError, RootKey};
use crate::secret::SecretBytes;

/// Who calls, as the gateway authenticated it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The principal's ARN: `arn:aws:iam::111122223333:root`, `…:user/name`, …
    pub arn: String,
    /// The principal's account: 12 digits.
    pub account: String,
    /// The service that calls on the principal's behalf, e.g. `s3.us-east-1.amazonaws.com` (`kms:ViaService`). Never from the wire.
    pub via_service: Option<String>,
    /// `aws:SourceIp` of a direct call.
    pub source_ip: Option<std::net::IpAddr>,
    /// `aws:SecureTransport`.
    pub secure_transport: bool,
}

/// A data key, in the clear and wrapped.
#[derive(Debug)]
pub struct DataKey {
    /// The key in the clear.
    pub plaintext: SecretBytes,
    /// The key under the KMS key: what [`Kms::decrypt`] opens. At most 160 bytes for a 32-byte key.
    pub ciphertext_blob: Vec<u8>,
    /// ARN of the KMS key.
    pub key_arn: String,
    /// The backing key: 64 hexadecimal digits.
    pub key_material_id: String,
}

/// What Decrypt answers.
#[derive(Debug)]
pub struct Decrypted {
    /// The plaintext.
    pub plaintext: SecretBytes,
    /// ARN of the KMS key.
    pub key_arn: String,
    /// The backing key.
    pub key_material_id: String,
}

/// Where and for whom a [`Kms`] runs.
#[derive(Debug, Clone)]
pub struct KmsConfig {
    /// The region in ARNs.
    pub region: String,
    /// The account that owns the keys.
    pub account: String,
}

/// Why a store did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The root of trust refused.
    #[error(transparent)]
    Root(#[from] RootError),
    /// Another process has the store open.
    #[error("the key store is in use by another process")]
    InUse,
    /// The database failed.
    #[error("the key store does not open: {0}")]
    Store(String),
}

/// The key management service. Every call is synchronous, takes microseconds, and is safe from any thread.
pub struct Kms {
    _private: (),
}

impl Kms {
    /// Opens (or makes) the key store in this folder. A root key that does not fit is refused before anything is touched.
    pub fn open(folder: &Path, root: Arc<dyn RootKey>, config: KmsConfig) -> Result<Self, OpenError> {
        let _ = (folder, root, config);
        unimplemented!()
    }

    /// `GenerateDataKey` with `KeySpec` AES_256. `key_id`: key id, key ARN, `alias/name` or alias ARN.
    pub fn generate_data_key(
        &self,
        caller: &Caller,
        key_id: &str,
        context: &EncryptionContext,
    ) -> Result<DataKey, KmsError> {
        let _ = (caller, key_id, context);
        unimplemented!()
    }

    /// `Decrypt`; `key_id` narrows to one key when given.
    pub fn decrypt(
        &self,
        caller: &Caller,
        key_id: Option<&str>,
        ciphertext_blob: &[u8],
        context: &EncryptionContext,
    ) -> Result<Decrypted, KmsError> {
        let _ = (caller, key_id, ciphertext_blob, context);
        unimplemented!()
    }

    /// ARN of the AWS managed key of a service (`s3` → `alias/aws/s3`), made on first use.
    pub fn managed_key(&self, service: &str) -> Result<String, KmsError> {
        let _ = service;
        unimplemented!()
    }

    /// A data key of the gateway's own domain (SSE-S3), outside the keys that anybody can list, disable or delete.
    /// `purpose` names the use; `context` is bound as for any data key.
    pub fn generate_internal_key(
        &self,
        purpose: &str,
        context: &EncryptionContext,
    ) -> Result<DataKey, KmsError> {
        let _ = (purpose, context);
        unimplemented!()
    }

    /// Opens what [`Kms::generate_internal_key`] made.
    pub fn decrypt_internal_key(
        &self,
        purpose: &str,
        ciphertext_blob: &[u8],
        context: &EncryptionContext,
    ) -> Result<SecretBytes, KmsError> {
        let _ = (purpose, ciphertext_blob, context);
        unimplemented!()
    }
}
