//! The data plane: Encrypt, Decrypt, ReEncrypt, GenerateDataKey and its siblings.

use std::sync::Arc;

use crate::context::EncryptionContext;
use crate::crypto::blob;
use crate::error::KmsError;
use crate::key::state::Needs;
use crate::kms::{Caller, DataKey, Decrypted, Entry, Kms};
use crate::secret::SecretBytes;

/// What Encrypt answers.
#[derive(Debug)]
pub struct Encrypted {
    /// The ciphertext.
    pub ciphertext_blob: Vec<u8>,
    /// ARN of the KMS key.
    pub key_arn: String,
}

/// What ReEncrypt answers.
#[derive(Debug)]
pub struct ReEncrypted {
    /// The ciphertext under the destination.
    pub ciphertext_blob: Vec<u8>,
    /// ARN of the source key.
    pub source_key_arn: String,
    /// Backing key of the source.
    pub source_key_material_id: String,
    /// ARN of the destination key.
    pub key_arn: String,
    /// Backing key of the destination.
    pub destination_key_material_id: String,
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
            return Err(KmsError::Validation(format!(
                "1 validation error detected: Value '{len}' at 'numberOfBytes' failed to satisfy constraint: Member must have value between 1 and 1024"
            )));
        }
        let entry = self.usable(caller, action, key_id, context)?;
        caller.stop_if_dry()?;
        let mut plaintext = vec![0; len];
        getrandom::fill(&mut plaintext).expect("the operating system gives random bytes");
        let plaintext = SecretBytes::new(plaintext);
        let backing = entry.current()?;
        let ciphertext_blob = blob::seal(entry.key.id, backing, plaintext.expose(), context)?;
        let key_material_id = backing.id.to_string();
        Ok(DataKey { plaintext, ciphertext_blob, key_arn: self.arn(entry.key.id), key_material_id })
    }

    /// `Encrypt`.
    pub fn encrypt(
        &self,
        caller: &Caller,
        key_id: &str,
        plaintext: &[u8],
        context: &EncryptionContext,
    ) -> Result<Encrypted, KmsError> {
        if !(1..=blob::MAX_PLAINTEXT_LEN).contains(&plaintext.len()) {
            return Err(KmsError::Validation(
                "1 validation error detected: Value at 'plaintext' failed to satisfy constraint: Member must have length between 1 and 4096".to_owned(),
            ));
        }
        let entry = self.usable(caller, "kms:Encrypt", key_id, context)?;
        caller.stop_if_dry()?;
        let ciphertext_blob = blob::seal(entry.key.id, entry.current()?, plaintext, context)?;
        Ok(Encrypted { ciphertext_blob, key_arn: self.arn(entry.key.id) })
    }

    /// `Decrypt`; `key_id` narrows to one key when given.
    pub fn decrypt(
        &self,
        caller: &Caller,
        key_id: Option<&str>,
        ciphertext_blob: &[u8],
        context: &EncryptionContext,
    ) -> Result<Decrypted, KmsError> {
        let opened = self.decrypt_for(caller, "kms:Decrypt", (key_id, &[]), ciphertext_blob, context)?;
        caller.stop_if_dry()?;
        Ok(opened)
    }

    /// `ReEncrypt`.
    #[allow(clippy::too_many_arguments)]
    pub fn re_encrypt(
        &self,
        caller: &Caller,
        source_key_id: Option<&str>,
        ciphertext_blob: &[u8],
        source_context: &EncryptionContext,
        destination_key_id: &str,
        destination_context: &EncryptionContext,
    ) -> Result<ReEncrypted, KmsError> {
        let destination = self.resolve(destination_key_id)?;
        let same = blob::parse(ciphertext_blob).is_some_and(|header| header.key_id == destination.key.id);
        let conditions = [("kms:reencryptonsamekey", vec![same.to_string()])];
        let source = (source_key_id, &conditions[..]);
        let opened =
            self.decrypt_for(caller, "kms:ReEncryptFrom", source, ciphertext_blob, source_context)?;
        let (id, context) = (destination_key_id, destination_context);
        let entry = self.usable_with(caller, "kms:ReEncryptTo", id, context, &conditions)?;
        caller.stop_if_dry()?;
        let backing = entry.current()?;
        Ok(ReEncrypted {
            ciphertext_blob: blob::seal(
                entry.key.id,
                backing,
                opened.plaintext.expose(),
                destination_context,
            )?,
            source_key_arn: opened.key_arn,
            source_key_material_id: opened.key_material_id,
            key_arn: self.arn(entry.key.id),
            destination_key_material_id: backing.id.to_string(),
        })
    }

    /// `GenerateRandom`: 1 to 1024 bytes.
    pub fn generate_random(&self, caller: &Caller, len: usize) -> Result<SecretBytes, KmsError> {
        self.authorize_account(caller, "kms:GenerateRandom")?;
        if !(1..=MAX_DATA_KEY_LEN).contains(&len) {
            return Err(KmsError::Validation(format!(
                "1 validation error detected: Value '{len}' at 'numberOfBytes' failed to satisfy constraint: Member must have value between 1 and 1024"
            )));
        }
        let mut bytes = vec![0; len];
        getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
        Ok(SecretBytes::new(bytes))
    }

    fn decrypt_for(
        &self,
        caller: &Caller,
        action: &str,
        (key_id, conditions): (Option<&str>, &[(&str, Vec<String>)]),
        ciphertext_blob: &[u8],
        context: &EncryptionContext,
    ) -> Result<Decrypted, KmsError> {
        let header = blob::parse(ciphertext_blob).ok_or(KmsError::InvalidCiphertext)?;
        let entry = match key_id {
            None => self.entry(header.key_id).ok_or_else(|| {
                KmsError::AccessDenied(
                    "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access.".to_owned(),
                )
            })?,
            Some(id) => {
                let named = self.resolve(id)?;
                if named.key.id != header.key_id {
                    return Err(KmsError::IncorrectKey);
                }
                named
            }
        };
        let alias = key_id.and_then(request_alias);
        let conditions: Vec<_> = conditions.iter().cloned().chain(alias).collect();
        let circumstances = (context, &conditions[..]);
        self.authorize_use(caller, action, &entry, circumstances, Some(header.material), || {
            self.check_state(&entry, Needs::Enabled)
        })?;
        let arn = self.arn(entry.key.id);
        let backing =
            entry.backing.iter().find(|b| b.id == header.material).ok_or(KmsError::InvalidCiphertext)?;
        let plaintext = blob::open(backing, ciphertext_blob, context).ok_or(KmsError::InvalidCiphertext)?;
        Ok(Decrypted { plaintext, key_arn: arn, key_material_id: backing.id.to_string() })
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
    fn usable_with(
        &self,
        caller: &Caller,
        action: &str,
        key_id: &str,
        context: &EncryptionContext,
        conditions: &[(&str, Vec<String>)],
    ) -> Result<Arc<Entry>, KmsError> {
        let entry = self.resolve(key_id)?;
        let conditions: Vec<_> = conditions.iter().cloned().chain(request_alias(key_id)).collect();
        let (circumstances, material) = ((context, &conditions[..]), entry.key.current_material);
        self.authorize_use(caller, action, &entry, circumstances, material, || {
            self.check_state(&entry, Needs::Enabled)
        })?;
        Ok(entry)
    }
}

/// `kms:RequestAlias`, where the request names its key by alias.
fn request_alias(key_id: &str) -> Option<(&'static str, Vec<String>)> {
    let alias = &key_id[key_id.find("alias/")?..];
    Some(("kms:requestalias", vec![alias.to_owned()]))
}
