//! Data keys under a KMS key: CSE-KMS.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use zeroize::Zeroizing;

use super::Keyring;
use crate::description::Description;
use crate::envelope::{WrappedKey, Wrapping};
use crate::error::{KeyringError, KmsError};
use crate::key::DataKey;
use crate::suite::{ContentSuite, WrapAlgorithm};

/// The entry that names the content algorithm in every encryption context.
const SUITE_ENTRY: &str = "aws:x-amz-cek-alg";
/// The entry that names the KMS key in the contexts of V1.
const KEY_ENTRY: &str = "kms_cmk_id";

/// A data key that a KMS made.
pub struct Generated {
    /// The key in the clear.
    pub plaintext: Zeroizing<Vec<u8>>,
    /// The key as the KMS wrapped it.
    pub ciphertext: Vec<u8>,
}

/// A data key that a KMS unwrapped.
pub struct Unwrapped {
    /// The key in the clear.
    pub plaintext: Zeroizing<Vec<u8>>,
    /// The ARN of the KMS key that had wrapped it, where the KMS says so.
    pub key_arn: Option<String>,
}

/// What keyrings need of a KMS.
#[async_trait]
pub trait KmsClient: Send + Sync {
    /// `GenerateDataKey` with `KeySpec` AES_256.
    async fn generate_data_key(&self, key_id: &str, context: &Description) -> Result<Generated, KmsError>;

    /// `Encrypt`.
    async fn encrypt(
        &self,
        key_id: &str,
        plaintext: &[u8],
        context: &Description,
    ) -> Result<Vec<u8>, KmsError>;

    /// `Decrypt`; with no key id the KMS takes the key that the ciphertext names.
    async fn decrypt(
        &self,
        key_id: Option<&str>,
        ciphertext: &[u8],
        context: &Description,
    ) -> Result<Unwrapped, KmsError>;
}

/// Whose KMS keys a discovering keyring takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiscoveryFilter {
    /// The partition of the keys' ARNs, such as `aws`.
    pub partition: String,
    /// The ids of the accounts.
    pub accounts: Vec<String>,
}

impl DiscoveryFilter {
    fn allows(&self, arn: &str) -> bool {
        let mut parts = arn.splitn(6, ':');
        let mut next = || parts.next().unwrap_or_default();
        let (start, partition, service, _region, account, resource) =
            (next(), next(), next(), next(), next(), next());
        start == "arn"
            && partition == self.partition
            && service == "kms"
            && self.accounts.iter().any(|allowed| allowed == account)
            && resource.starts_with("key/")
    }
}

#[derive(Debug, Clone)]
enum Keys {
    /// This key alone, for wrapping and unwrapping.
    Strict(String),
    /// Whichever key wrapped it, if its account is named. It wraps nothing.
    Discovery(DiscoveryFilter),
}

/// Wraps with a KMS key. The context that the caller gives is bound to the key, and so is the suite.
pub struct KmsKeyring {
    kms: Arc<dyn KmsClient>,
    keys: Keys,
    legacy: bool,
}

impl KmsKeyring {
    /// A keyring of one KMS key: its id, its ARN, or an alias. It opens only what that key wrapped.
    pub fn new(kms: Arc<dyn KmsClient>, key_id: impl Into<String>) -> Self {
        Self { kms, keys: Keys::Strict(key_id.into()), legacy: false }
    }

    /// A keyring that opens what any KMS key of these accounts wrapped, and wraps nothing.
    pub fn discovery(kms: Arc<dyn KmsClient>, filter: DiscoveryFilter) -> Self {
        Self { kms, keys: Keys::Discovery(filter), legacy: false }
    }

    /// Opens keys that V1 clients wrapped with `kms`, whose context is not the caller's and does not name the content algorithm.
    #[must_use]
    pub fn enable_legacy_wrapping_algorithms(mut self) -> Self {
        self.legacy = true;
        self
    }

    fn key_id(&self) -> Result<&str, KeyringError> {
        match &self.keys {
            Keys::Strict(key_id) => Ok(key_id),
            Keys::Discovery(_) => {
                Err(KeyringError::OneWay("discovers keys: it can only open, name a KMS key to seal"))
            }
        }
    }

    /// The caller's context with the suite's name.
    fn context(suite: ContentSuite, given: &Description) -> Result<Description, KeyringError> {
        for reserved in [SUITE_ENTRY, KEY_ENTRY] {
            if given.get(reserved).is_some() {
                return Err(KeyringError::ReservedContext(reserved));
            }
        }
        let mut context = given.clone();
        context.insert(SUITE_ENTRY, suite.name());
        Ok(context)
    }

    /// Refuses a stored context that is not the caller's, or not of this suite.
    fn check(
        &self,
        wrapped: &WrappedKey,
        suite: ContentSuite,
        given: &Description,
    ) -> Result<(), KeyringError> {
        match wrapped.wrapping {
            Wrapping::Known(WrapAlgorithm::KmsContext) => {
                Self::context(suite, given)?;
                if wrapped.description.without(&[SUITE_ENTRY, KEY_ENTRY]) != *given {
                    return Err(KeyringError::Context);
                }
                if wrapped.description.get(SUITE_ENTRY) != Some(suite.name()) {
                    return Err(KeyringError::ContextAlgorithm);
                }
                Ok(())
            }
            Wrapping::Known(WrapAlgorithm::Kms) if !self.legacy => {
                Err(KeyringError::Legacy(WrapAlgorithm::Kms.name()))
            }
            // A context that the caller insists on would not be looked at.
            Wrapping::Known(WrapAlgorithm::Kms) if !given.is_empty() => Err(KeyringError::Context),
            Wrapping::Known(WrapAlgorithm::Kms) => Ok(()),
            _ => Err(KeyringError::Unsupported(wrapped.wrapping.to_string())),
        }
    }
}

impl fmt::Debug for KmsKeyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kms: _, keys, legacy } = self;
        f.debug_struct("KmsKeyring").field("keys", keys).field("legacy", legacy).finish_non_exhaustive()
    }
}

#[async_trait]
impl Keyring for KmsKeyring {
    async fn generate(
        &self,
        suite: ContentSuite,
        context: &Description,
    ) -> Result<(DataKey, WrappedKey), KeyringError> {
        let description = Self::context(suite, context)?;
        let Generated { plaintext, ciphertext } =
            self.kms.generate_data_key(self.key_id()?, &description).await?;
        let wrapping = Wrapping::Known(WrapAlgorithm::KmsContext);
        Ok((DataKey::new(&plaintext)?, WrappedKey { wrapping, ciphertext, description }))
    }

    async fn wrap(
        &self,
        key: &DataKey,
        suite: ContentSuite,
        context: &Description,
    ) -> Result<WrappedKey, KeyringError> {
        let description = Self::context(suite, context)?;
        let ciphertext = self.kms.encrypt(self.key_id()?, key.as_bytes(), &description).await?;
        Ok(WrappedKey { wrapping: Wrapping::Known(WrapAlgorithm::KmsContext), ciphertext, description })
    }

    async fn open(
        &self,
        wrapped: &WrappedKey,
        suite: ContentSuite,
        context: &Description,
    ) -> Result<DataKey, KeyringError> {
        self.check(wrapped, suite, context)?;
        let key_id = match &self.keys {
            Keys::Strict(key_id) => Some(key_id.as_str()),
            Keys::Discovery(_) => None,
        };
        let Unwrapped { plaintext, key_arn } =
            self.kms.decrypt(key_id, &wrapped.ciphertext, &wrapped.description).await?;
        if let Keys::Discovery(filter) = &self.keys {
            let arn = key_arn.unwrap_or_default();
            if !filter.allows(&arn) {
                return Err(KeyringError::Filtered(arn));
            }
        }
        DataKey::new(&plaintext)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_names_partition_and_accounts() {
        let accounts = vec!["111122223333".to_owned()];
        let filter = DiscoveryFilter { partition: "aws".to_owned(), accounts };
        assert!(filter.allows("arn:aws:kms:us-east-1:111122223333:key/abc"));
        for arn in [
            "",
            "abc",
            "arn:aws-cn:kms:us-east-1:111122223333:key/abc",
            "arn:aws:kms:us-east-1:111122223334:key/abc",
            "arn:aws:s3:us-east-1:111122223333:key/abc",
            "arn:aws:kms:us-east-1:111122223333:alias/abc",
        ] {
            assert!(!filter.allows(arn), "{arn}");
        }
    }
}
