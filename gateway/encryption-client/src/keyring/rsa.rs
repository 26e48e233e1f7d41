//! Data keys under an RSA key pair of the caller's: whoever has the public key can seal, and not open.

use std::fmt;

use async_trait::async_trait;
use aws_lc_rs::rsa::{
    OAEP_SHA1_MGF1SHA1, OaepPrivateDecryptingKey, OaepPublicEncryptingKey, PrivateDecryptingKey,
    PublicEncryptingKey,
};
use zeroize::Zeroizing;

use super::{Keyring, RawDescription, no_context, pem};
use crate::description::Description;
use crate::envelope::{WrappedKey, Wrapping};
use crate::error::KeyringError;
use crate::key::DataKey;
use crate::suite::{ContentSuite, KEY_LEN, WrapAlgorithm};

/// Wraps with RSA-OAEP (SHA-1, as the format has it) under a key pair of the caller's. What is wrapped is the data key's length, the data
/// key, and the name of the suite.
pub struct RsaKeyring {
    public: Option<OaepPublicEncryptingKey>,
    private: Option<OaepPrivateDecryptingKey>,
    description: RawDescription,
}

impl RsaKeyring {
    /// A keyring of PEM texts: `PRIVATE KEY` (PKCS #8) to seal and open, or `PUBLIC KEY` (SubjectPublicKeyInfo) to seal.
    ///
    /// # Errors
    /// When it is neither, or no RSA key of 2048 to 8192 bits.
    pub fn from_pem(text: &str) -> Result<Self, KeyringError> {
        if let Some(der) = pem::block(text, "PRIVATE KEY")? {
            return Self::from_pkcs8(&der);
        }
        if let Some(der) = pem::block(text, "PUBLIC KEY")? {
            return Self::from_public_der(&der);
        }
        Err(KeyringError::Key(
            "its PEM has neither PRIVATE KEY (PKCS #8: openssl pkcs8 -topk8 -nodes) nor PUBLIC KEY",
        ))
    }

    /// A keyring that seals and opens.
    ///
    /// # Errors
    /// When it is no RSA key of 2048 to 8192 bits.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyringError> {
        let refused = KeyringError::Key("it is no RSA private key of 2048 to 8192 bits in PKCS #8");
        let Ok(private) = PrivateDecryptingKey::from_pkcs8(der) else { return Err(refused) };
        let public = private.public_key();
        match (OaepPublicEncryptingKey::new(public), OaepPrivateDecryptingKey::new(private)) {
            (Ok(public), Ok(private)) => Ok(Self {
                public: Some(public),
                private: Some(private),
                description: RawDescription::default(),
            }),
            _ => Err(refused),
        }
    }

    /// A keyring that only seals.
    ///
    /// # Errors
    /// When it is no RSA key of 2048 to 8192 bits.
    pub fn from_public_der(der: &[u8]) -> Result<Self, KeyringError> {
        let public = PublicEncryptingKey::from_der(der)
            .ok()
            .and_then(|public| OaepPublicEncryptingKey::new(public).ok())
            .ok_or(KeyringError::Key("it is no RSA public key of 2048 to 8192 bits"))?;
        Ok(Self { public: Some(public), private: None, description: RawDescription::default() })
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

impl fmt::Debug for RsaKeyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RsaKeyring")
            .field("opens", &self.private.is_some())
            .field("description", &self.description)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Keyring for RsaKeyring {
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
        let public =
            self.public.as_ref().ok_or(KeyringError::OneWay("has no public key and can only open"))?;
        let plain = Zeroizing::new([&[KEY_LEN as u8], &key.as_bytes()[..], suite.name().as_bytes()].concat());
        let mut ciphertext = vec![0; public.ciphertext_size()];
        let len = public
            .encrypt(&OAEP_SHA1_MGF1SHA1, &plain, &mut ciphertext, None)
            .map_err(|_| KeyringError::Key("it does not wrap"))?
            .len();
        ciphertext.truncate(len);
        let description = self.description.own.clone();
        Ok(WrappedKey { wrapping: Wrapping::Known(WrapAlgorithm::RsaOaepSha1), ciphertext, description })
    }

    async fn open(
        &self,
        wrapped: &WrappedKey,
        suite: ContentSuite,
        context: &Description,
    ) -> Result<DataKey, KeyringError> {
        no_context(context)?;
        if wrapped.wrapping != Wrapping::Known(WrapAlgorithm::RsaOaepSha1) {
            return Err(KeyringError::Unsupported(wrapped.wrapping.to_string()));
        }
        self.description.check(&wrapped.description)?;
        let private =
            self.private.as_ref().ok_or(KeyringError::OneWay("has no private key and can only seal"))?;
        let mut plain = Zeroizing::new(vec![0; private.min_output_size()]);
        let plain = private
            .decrypt(&OAEP_SHA1_MGF1SHA1, &wrapped.ciphertext, &mut plain, None)
            .map_err(|_| KeyringError::Unwrap)?;
        // What objects before V3 were sealed with, AES-CBC too, was wrapped for AES-GCM.
        let name = if suite.commits() { suite } else { ContentSuite::Aes256Gcm }.name();
        let key = plain
            .strip_prefix(&[KEY_LEN as u8])
            .and_then(|plain| plain.strip_suffix(name.as_bytes()))
            .ok_or(KeyringError::Unwrap)?;
        DataKey::new(key)
    }
}
