//! Data keys under an AES key of the caller's: CSE-C.

use std::fmt;

use async_trait::async_trait;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

use super::{Keyring, RawDescription, no_context};
use crate::description::Description;
use crate::envelope::{WrappedKey, Wrapping};
use crate::error::KeyringError;
use crate::key::{DataKey, random};
use crate::suite::{ContentSuite, KEY_LEN, TAG_LEN, WrapAlgorithm};

const NONCE_LEN: usize = 12;

/// Wraps with AES-256-GCM under a key of the caller's; the suite's name is authenticated with it.
///
/// ```
/// use s3_encryption_client::keyring::AesKeyring;
/// let keyring = AesKeyring::new(&[7; 32])?.described([("key", "2026")]);
/// # Ok::<(), s3_encryption_client::KeyringError>(())
/// ```
pub struct AesKeyring {
    key: LessSafeKey,
    description: RawDescription,
}

impl AesKeyring {
    /// A keyring of this key.
    ///
    /// # Errors
    /// When it has not 32 bytes.
    pub fn new(key: &[u8]) -> Result<Self, KeyringError> {
        if key.len() != KEY_LEN {
            return Err(KeyringError::Key("it has not 32 bytes"));
        }
        let key =
            UnboundKey::new(&AES_256_GCM, key).map_err(|_| KeyringError::Key("it is no AES-256 key"))?;
        Ok(Self { key: LessSafeKey::new(key), description: RawDescription::default() })
    }

    /// What the key is called in the envelopes of its objects. Objects whose envelope says otherwise are refused.
    #[must_use]
    pub fn described(mut self, description: impl Into<Description>) -> Self {
        self.description.own = description.into();
        self
    }

    /// Opens objects whatever their envelopes call the key. Nothing protects that name.
    #[must_use]
    pub fn accept_any_description(mut self) -> Self {
        self.description.accepts_any = true;
        self
    }
}

impl fmt::Debug for AesKeyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AesKeyring").field("description", &self.description).finish_non_exhaustive()
    }
}

#[async_trait]
impl Keyring for AesKeyring {
    async fn generate(
        &self,
        suite: ContentSuite,
        context: &Description,
    ) -> Result<(DataKey, WrappedKey), KeyringError> {
        let key = DataKey::random()?;
        let wrapped = self.wrap(&key, suite, context).await?;
        Ok((key, wrapped))
    }

    async fn wrap(
        &self,
        key: &DataKey,
        suite: ContentSuite,
        context: &Description,
    ) -> Result<WrappedKey, KeyringError> {
        no_context(context)?;
        let mut nonce = [0; NONCE_LEN];
        random(&mut nonce)?;
        let mut sealed = Zeroizing::new(*key.as_bytes());
        let tag = self
            .key
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(suite.name()),
                &mut sealed[..],
            )
            .map_err(|_| KeyringError::Key("it does not wrap"))?;
        Ok(WrappedKey {
            wrapping: Wrapping::Known(WrapAlgorithm::AesGcm),
            ciphertext: [&nonce, &sealed[..], tag.as_ref()].concat(),
            description: self.description.own.clone(),
        })
    }

    async fn open(
        &self,
        wrapped: &WrappedKey,
        suite: ContentSuite,
        context: &Description,
    ) -> Result<DataKey, KeyringError> {
        no_context(context)?;
        if wrapped.wrapping != Wrapping::Known(WrapAlgorithm::AesGcm) {
            return Err(KeyringError::Unsupported(wrapped.wrapping.to_string()));
        }
        self.description.check(&wrapped.description)?;
        let (nonce, sealed) =
            wrapped.ciphertext.split_first_chunk::<NONCE_LEN>().ok_or(KeyringError::Unwrap)?;
        if sealed.len() != KEY_LEN + TAG_LEN {
            return Err(KeyringError::Unwrap);
        }
        // What objects before V3 were sealed with, AES-CBC too, was wrapped for AES-GCM.
        let aad = if suite.commits() { suite } else { ContentSuite::Aes256Gcm }.name();
        let mut opened = Zeroizing::new(sealed.to_vec());
        let key = self
            .key
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), &mut opened[..])
            .map_err(|_| KeyringError::Unwrap)?;
        DataKey::new(key)
    }
}
