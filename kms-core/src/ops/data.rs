//! The data plane: Encrypt, Decrypt, ReEncrypt, GenerateDataKey and its siblings.

use std::sync::Arc;

use crate::context::EncryptionContext;
use crate::crypto::blob;
use crate::error::KmsError;
use crate::key::KeyMaterialId;
use crate::key::spec::{KeySpec, KeyUsage};
use crate::key::state::Needs;
use crate::kms::{Caller, DataKey, Decrypted, Entry, Kms};
use crate::ops::asymmetric::pair_of;
use crate::secret::SecretBytes;

/// What Encrypt answers.
#[derive(Debug)]
pub struct Encrypted {
    /// The ciphertext.
    pub ciphertext_blob: Vec<u8>,
    /// ARN of the KMS key.
    pub key_arn: String,
}

/// `EncryptionAlgorithm` of symmetric keys, the default of every request.
pub const SYMMETRIC_DEFAULT: &str = "SYMMETRIC_DEFAULT";

/// A side of ReEncrypt.
#[derive(Debug, Clone, Copy)]
pub struct Side<'s> {
    /// Key id, key ARN, `alias/name` or alias ARN; may be left out for the source, if its key is symmetric.
    pub key_id: Option<&'s str>,
    /// The encryption context.
    pub context: &'s EncryptionContext,
    /// `EncryptionAlgorithm`, in AWS's name.
    pub algorithm: &'s str,
}

/// What ReEncrypt answers.
#[derive(Debug)]
pub struct ReEncrypted {
    /// The ciphertext under the destination.
    pub ciphertext_blob: Vec<u8>,
    /// ARN of the source key.
    pub source_key_arn: String,
    /// Backing key of the source, where that is symmetric.
    pub source_key_material_id: Option<String>,
    /// ARN of the destination key.
    pub key_arn: String,
    /// Backing key of the destination, where that is symmetric.
    pub destination_key_material_id: Option<String>,
}

/// The longest data key, in bytes.
const MAX_DATA_KEY_LEN: usize = 1024;

impl Kms {
    /// `GenerateDataKey` with `KeySpec` AES_256. `key_id`: key id, key ARN, `alias/name` or alias ARN.
    pub fn generate_data_key(
        &self,
        caller: &Caller,
        key_id: &str,
        context: &EncryptionContext,
    ) -> Result<DataKey, KmsError> {
        self.generate_data_key_of(caller, "kms:GenerateDataKey", key_id, 32, context)
    }

    /// `GenerateDataKey` and `GenerateDataKeyWithoutPlaintext` (as `action` says) of `len` bytes.
    pub fn generate_data_key_of(
        &self,
        caller: &Caller,
        action: &str,
        key_id: &str,
        len: usize,
        context: &EncryptionContext,
    ) -> Result<DataKey, KmsError> {
        if !(1..=MAX_DATA_KEY_LEN).contains(&len) {
            return Err(KmsError::out_of_range("numberOfBytes", len as u64, 1..=MAX_DATA_KEY_LEN as u64));
        }
        let entry = self.usable(caller, action, key_id, context)?;
        caller.stop_if_dry()?;
        let plaintext = SecretBytes::random(len);
        let backing = entry.current()?;
        let ciphertext_blob = blob::seal(entry.key.id, backing, plaintext.expose(), context)?;
        let key_material_id = backing.id.to_string();
        self.used(caller, &entry, action);
        Ok(DataKey { plaintext, ciphertext_blob, key_arn: self.arn(&entry.key), key_material_id })
    }

    /// `Encrypt` under a symmetric key.
    pub fn encrypt(
        &self,
        caller: &Caller,
        key_id: &str,
        plaintext: &[u8],
        context: &EncryptionContext,
    ) -> Result<Encrypted, KmsError> {
        let side = Side { key_id: Some(key_id), context, algorithm: SYMMETRIC_DEFAULT };
        self.encrypt_by(caller, side, plaintext)
    }

    /// `Encrypt`, by any algorithm.
    pub fn encrypt_by(
        &self,
        caller: &Caller,
        side: Side<'_>,
        plaintext: &[u8],
    ) -> Result<Encrypted, KmsError> {
        if !(1..=blob::MAX_PLAINTEXT_LEN).contains(&plaintext.len()) {
            return Err(KmsError::too_long("plaintext", plaintext.len(), blob::MAX_PLAINTEXT_LEN));
        }
        let entry = self.usable_by(caller, "kms:Encrypt", side, &[])?;
        caller.stop_if_dry()?;
        let ciphertext_blob = seal_by(&entry, side, plaintext)?;
        self.used(caller, &entry, "Encrypt");
        Ok(Encrypted { ciphertext_blob, key_arn: self.arn(&entry.key) })
    }

    /// `Decrypt` of a symmetric key's ciphertext; `key_id` narrows to one key when given.
    pub fn decrypt(
        &self,
        caller: &Caller,
        key_id: Option<&str>,
        ciphertext_blob: &[u8],
        context: &EncryptionContext,
    ) -> Result<Decrypted, KmsError> {
        self.decrypt_by(caller, Side { key_id, context, algorithm: SYMMETRIC_DEFAULT }, ciphertext_blob)
    }

    /// `Decrypt`, by any algorithm.
    pub fn decrypt_by(
        &self,
        caller: &Caller,
        side: Side<'_>,
        ciphertext_blob: &[u8],
    ) -> Result<Decrypted, KmsError> {
        let (opened, entry) = self.decrypt_for(caller, "kms:Decrypt", side, &[], ciphertext_blob)?;
        caller.stop_if_dry()?;
        self.used(caller, &entry, "Decrypt");
        Ok(opened)
    }

    /// `Decrypt` or the source of `ReEncrypt` (as `action` says), judged without a ciphertext: `DryRunModifiers` IGNORE_CIPHERTEXT.
    pub fn try_decrypt(&self, caller: &Caller, action: &str, side: Side<'_>) -> Result<(), KmsError> {
        self.usable_by(caller, action, side, &[]).map(drop)
    }

    /// `ReEncrypt`.
    pub fn re_encrypt(
        &self,
        caller: &Caller,
        source: Side<'_>,
        ciphertext_blob: &[u8],
        destination: Side<'_>,
    ) -> Result<ReEncrypted, KmsError> {
        let target = self.resolve(caller, "kms:ReEncryptTo", destination.key_id.unwrap_or_default())?;
        let source_id = match source.key_id {
            Some(id) => Some(self.resolve(caller, "kms:ReEncryptFrom", id)?.key.id),
            None => blob::parse(ciphertext_blob).map(|header| header.key_id),
        };
        let same = source_id == Some(target.key.id);
        let conditions = [("kms:reencryptonsamekey", vec![same.to_string()])];
        let action = "kms:ReEncryptFrom";
        let (opened, from) = self.decrypt_for(caller, action, source, &conditions, ciphertext_blob)?;
        let entry = self.usable_by(caller, "kms:ReEncryptTo", destination, &conditions)?;
        caller.stop_if_dry()?;
        let ciphertext_blob = seal_by(&entry, destination, opened.plaintext.expose())?;
        self.used(caller, &from, action);
        self.used(caller, &entry, action);
        let is_symmetric = entry.key.spec == KeySpec::SymmetricDefault;
        Ok(ReEncrypted {
            ciphertext_blob,
            source_key_arn: opened.key_arn,
            source_key_material_id: opened.key_material_id,
            key_arn: self.arn(&entry.key),
            destination_key_material_id: match is_symmetric {
                true => Some(entry.current()?.id.to_string()),
                false => None,
            },
        })
    }

    /// `GenerateRandom`: 1 to 1024 bytes.
    pub fn generate_random(&self, caller: &Caller, len: usize) -> Result<SecretBytes, KmsError> {
        self.authorize_account(caller, "kms:GenerateRandom")?;
        if !(1..=MAX_DATA_KEY_LEN).contains(&len) {
            return Err(KmsError::out_of_range("numberOfBytes", len as u64, 1..=MAX_DATA_KEY_LEN as u64));
        }
        Ok(SecretBytes::random(len))
    }

    fn decrypt_for(
        &self,
        caller: &Caller,
        action: &str,
        side: Side<'_>,
        conditions: &[(&str, Vec<String>)],
        ciphertext_blob: &[u8],
    ) -> Result<(Decrypted, Arc<Entry>), KmsError> {
        if side.algorithm != SYMMETRIC_DEFAULT {
            // A ciphertext of a public key names nobody.
            let entry = self.usable_by(caller, action, side, conditions)?;
            let plaintext = pair_of(&entry)?.decrypt(side.algorithm, ciphertext_blob);
            let plaintext = plaintext.ok_or(KmsError::InvalidCiphertext)?;
            let key_arn = self.arn(&entry.key);
            return Ok((Decrypted { plaintext, key_arn, key_material_id: None }, entry));
        }
        let header = blob::parse(ciphertext_blob).ok_or(KmsError::InvalidCiphertext)?;
        let entry = match side.key_id {
            None => self.entry(header.key_id).ok_or_else(|| {
                KmsError::AccessDenied(
                    "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access.".to_owned(),
                )
            })?,
            Some(id) => {
                let named = self.resolve(caller, action, id)?;
                if named.key.id != header.key_id {
                    return Err(KmsError::IncorrectKey);
                }
                named
            }
        };
        self.authorize_side(caller, action, &entry, side, conditions, Some(header.material))?;
        let backing =
            entry.backing.iter().find(|b| b.id == header.material).ok_or(KmsError::InvalidCiphertext)?;
        let plaintext =
            blob::open(backing, ciphertext_blob, side.context).ok_or(KmsError::InvalidCiphertext)?;
        let (key_arn, key_material_id) = (self.arn(&entry.key), Some(backing.id.to_string()));
        Ok((Decrypted { plaintext, key_arn, key_material_id }, entry))
    }

    /// A key that this caller may use for this action now.
    fn usable(
        &self,
        caller: &Caller,
        action: &str,
        key_id: &str,
        context: &EncryptionContext,
    ) -> Result<Arc<Entry>, KmsError> {
        self.usable_with(caller, action, key_id, context, &[])
    }

    /// As [`Kms::usable`], with condition keys of the operation.
    pub(crate) fn usable_with(
        &self,
        caller: &Caller,
        action: &str,
        key_id: &str,
        context: &EncryptionContext,
        conditions: &[(&str, Vec<String>)],
    ) -> Result<Arc<Entry>, KmsError> {
        let side = Side { key_id: Some(key_id), context, algorithm: SYMMETRIC_DEFAULT };
        self.usable_by(caller, action, side, conditions)
    }

    /// As [`Kms::usable_with`], by any algorithm of encryption.
    fn usable_by(
        &self,
        caller: &Caller,
        action: &str,
        side: Side<'_>,
        conditions: &[(&str, Vec<String>)],
    ) -> Result<Arc<Entry>, KmsError> {
        let key_id = side.key_id.ok_or_else(|| {
            KmsError::Validation(
                "1 validation error detected: Value null at 'keyId' failed to satisfy constraint: Member must not be null".to_owned(),
            )
        })?;
        if side.algorithm != SYMMETRIC_DEFAULT && !side.context.is_empty() {
            return Err(KmsError::Validation(
                "EncryptionContext is not supported for asymmetric encryption algorithms.".to_owned(),
            ));
        }
        let entry = self.resolve(caller, action, key_id)?;
        let material = entry.key.current_material;
        self.authorize_side(caller, action, &entry, side, conditions, material)?;
        Ok(entry)
    }

    fn authorize_side(
        &self,
        caller: &Caller,
        action: &str,
        entry: &Entry,
        side: Side<'_>,
        conditions: &[(&str, Vec<String>)],
        material: Option<KeyMaterialId>,
    ) -> Result<(), KmsError> {
        let algorithm = ("kms:encryptionalgorithm", vec![side.algorithm.to_owned()]);
        let alias = side.key_id.and_then(super::request_alias);
        let conditions: Vec<_> = conditions.iter().cloned().chain([algorithm]).chain(alias).collect();
        self.authorize_use(caller, action, entry, (side.context, &conditions), material, || {
            self.check_state(entry, Needs::Enabled)?;
            self.check_fit(entry, action, KeyUsage::EncryptDecrypt, side.algorithm)
        })
        .map(drop)
    }
}

/// Encrypts for a key that fits.
fn seal_by(entry: &Entry, side: Side<'_>, plaintext: &[u8]) -> Result<Vec<u8>, KmsError> {
    if side.algorithm == SYMMETRIC_DEFAULT {
        return blob::seal(entry.key.id, entry.current()?, plaintext, side.context);
    }
    let (pair, algorithm) = (pair_of(entry)?, side.algorithm);
    let max = pair.max_plaintext_len(algorithm);
    if plaintext.len() > max {
        return Err(KmsError::Validation(format!(
            "Algorithm {algorithm} and key spec {} cannot encrypt data larger than {max} bytes.",
            entry.key.spec.name()
        )));
    }
    pair.encrypt(algorithm, plaintext).ok_or_else(|| KmsError::Internal(format!("{algorithm} failed")))
}
