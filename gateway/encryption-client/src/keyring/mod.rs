//! Keyrings: who wraps data keys and unwraps them.

mod aes;
#[cfg(feature = "aws-sdk-kms")]
mod aws;
mod kms;
mod multi;
mod pem;
mod raw;
mod rsa;

use std::fmt::Debug;

use async_trait::async_trait;

pub use self::aes::{AesKey, AesKeyring};
#[cfg(feature = "aws-sdk-kms")]
pub use self::aws::AwsKms;
pub use self::kms::{DiscoveryFilter, Generated, KmsClient, KmsKeyring, Unwrapped};
pub use self::multi::MultiKeyring;
pub use self::raw::{RawKey, RawKeyring};
pub use self::rsa::{RsaKey, RsaKeyring};
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
    /// Makes a data key and wraps it: of the system's random bytes, unless the keyring has another source.
    async fn generate(
        &self,
        suite: ContentSuite,
        context: &Description,
    ) -> Result<(DataKey, WrappedKey), KeyringError> {
        let key = DataKey::random()?;
        let wrapped = self.wrap(&key, suite, context).await?;
        Ok((key, wrapped))
    }

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

#[cfg(test)]
pub(crate) mod tests;
