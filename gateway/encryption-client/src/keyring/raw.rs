//! What keyrings of the caller's own keys have in common.

use std::fmt;

use async_trait::async_trait;

use super::Keyring;
use crate::description::Description;
use crate::envelope::{WrappedKey, Wrapping};
use crate::error::KeyringError;
use crate::key::DataKey;
use crate::suite::{ContentSuite, WrapAlgorithm};

/// A key of the caller's that wraps data keys. Nobody else can implement it: formats have no others.
pub trait RawKey: Send + Sync {
    /// How it wraps.
    #[doc(hidden)]
    const ALGORITHM: WrapAlgorithm;

    /// What a data key becomes that may be used with the suite of this name.
    #[doc(hidden)]
    fn wrap(&self, key: &DataKey, suite: &str) -> Result<Vec<u8>, KeyringError>;

    /// The data key, if it was wrapped with this key and for the suite of this name.
    #[doc(hidden)]
    fn unwrap(&self, ciphertext: &[u8], suite: &str) -> Result<DataKey, KeyringError>;
}

/// A keyring of a key of the caller's: [`AesKeyring`](super::AesKeyring), [`RsaKeyring`](super::RsaKeyring).
pub struct RawKeyring<K> {
    key: K,
    description: Description,
    accepts_any_description: bool,
}

impl<K: RawKey> RawKeyring<K> {
    pub(super) fn of(key: K) -> Self {
        Self { key, description: Description::new(), accepts_any_description: false }
    }

    /// What the key is called in the envelopes of its objects. Objects whose envelope says otherwise are refused.
    #[must_use]
    pub fn described(mut self, description: impl Into<Description>) -> Self {
        self.description = description.into();
        self
    }

    /// Opens objects whatever their envelopes call the key. Nothing protects that name.
    #[must_use]
    pub fn accept_any_description(mut self) -> Self {
        self.accepts_any_description = true;
        self
    }
}

/// Raw keys have no encryption context: nothing would protect it.
fn no_context(context: &Description) -> Result<(), KeyringError> {
    if context.is_empty() { Ok(()) } else { Err(KeyringError::NoContext) }
}

impl<K: RawKey> fmt::Debug for RawKeyring<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawKeyring")
            .field("algorithm", &K::ALGORITHM)
            .field("description", &self.description)
            .field("accepts_any_description", &self.accepts_any_description)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl<K: RawKey> Keyring for RawKeyring<K> {
    async fn wrap(
        &self,
        key: &DataKey,
        suite: ContentSuite,
        context: &Description,
    ) -> Result<WrappedKey, KeyringError> {
        no_context(context)?;
        let ciphertext = self.key.wrap(key, suite.name())?;
        let wrapping = Wrapping::Known(K::ALGORITHM);
        Ok(WrappedKey { wrapping, ciphertext, description: self.description.clone() })
    }

    async fn open(
        &self,
        wrapped: &WrappedKey,
        suite: ContentSuite,
        context: &Description,
    ) -> Result<DataKey, KeyringError> {
        no_context(context)?;
        if wrapped.wrapping != Wrapping::Known(K::ALGORITHM) {
            return Err(KeyringError::Unsupported(wrapped.wrapping.to_string()));
        }
        // Nothing authenticates the description of a raw key, so it must be the one that is expected.
        if !self.accepts_any_description && wrapped.description != self.description {
            return Err(KeyringError::Description);
        }
        // What objects before V3 were sealed with, AES-CBC too, was wrapped for AES-GCM.
        let suite = if suite.commits() { suite } else { ContentSuite::Aes256Gcm };
        self.key.unwrap(&wrapped.ciphertext, suite.name())
    }
}
