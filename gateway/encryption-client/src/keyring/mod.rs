//! Keyrings: who wraps data keys and unwraps them.

mod aes;
#[cfg(feature = "aws-sdk-kms")]
mod aws;
mod kms;
mod multi;
mod pem;
mod rsa;

use std::fmt::Debug;

use async_trait::async_trait;

pub use self::aes::AesKeyring;
#[cfg(feature = "aws-sdk-kms")]
pub use self::aws::AwsKms;
pub use self::kms::{DiscoveryFilter, Generated, KmsClient, KmsKeyring, Unwrapped};
pub use self::multi::MultiKeyring;
pub use self::rsa::RsaKeyring;
use crate::description::Description;
use crate::envelope::WrappedKey;
use crate::error::KeyringError;
use crate::key::DataKey;
use crate::suite::ContentSuite;

/// Wraps data keys and unwraps them.
///
/// `suite` is how the body is sealed: every wrapped key is tied to it, so that an envelope can't be turned into one of a weaker suite.
/// `context` is the encryption context that the caller gives, without what clients add to it.
#[async_trait]
pub trait Keyring: Debug + Send + Sync {
    /// Makes a data key and wraps it.
    async fn generate(
        &self,
        suite: ContentSuite,
        context: &Description,
    ) -> Result<(DataKey, WrappedKey), KeyringError>;

    /// Wraps a data key that is there.
    async fn wrap(
        &self,
        key: &DataKey,
        suite: ContentSuite,
        context: &Description,
    ) -> Result<WrappedKey, KeyringError>;

    /// Unwraps a data key.
    async fn open(
        &self,
        wrapped: &WrappedKey,
        suite: ContentSuite,
        context: &Description,
    ) -> Result<DataKey, KeyringError>;
}

/// Raw keys have no encryption context: nothing would protect it.
fn no_context(context: &Description) -> Result<(), KeyringError> {
    if context.is_empty() { Ok(()) } else { Err(KeyringError::NoContext) }
}

/// What a raw key is called, and whether objects may call it otherwise.
#[derive(Debug, Clone, Default)]
struct RawDescription {
    own: Description,
    accepts_any: bool,
}

impl RawDescription {
    /// Nothing authenticates the description of a raw key, so it must be the one that is expected.
    fn check(&self, stored: &Description) -> Result<(), KeyringError> {
        if self.accepts_any || *stored == self.own { Ok(()) } else { Err(KeyringError::Description) }
    }
}

#[cfg(test)]
pub(crate) mod tests;
