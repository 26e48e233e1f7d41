//! Data keys under an RSA key pair of the caller's: whoever has the public key can seal, and not open.

use aws_lc_rs::rsa::{
    OAEP_SHA1_MGF1SHA1, OaepPrivateDecryptingKey, OaepPublicEncryptingKey, PrivateDecryptingKey,
    PublicEncryptingKey,
};
use zeroize::Zeroizing;

use super::pem;
use super::raw::{RawKey, RawKeyring};
use crate::error::KeyringError;
use crate::key::DataKey;
use crate::suite::{KEY_LEN, WrapAlgorithm};

/// Wraps with RSA-OAEP (SHA-1, as the format has it) under a key pair of the caller's. What is wrapped is the data key's length, the data
/// key, and the name of the suite.
pub type RsaKeyring = RawKeyring<RsaKey>;

/// An RSA key pair, or its public key alone, that wraps data keys.
pub struct RsaKey {
    public: OaepPublicEncryptingKey,
    private: Option<OaepPrivateDecryptingKey>,
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
            (Ok(public), Ok(private)) => Ok(Self::of(RsaKey { public, private: Some(private) })),
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
        Ok(Self::of(RsaKey { public, private: None }))
    }
}

impl RawKey for RsaKey {
    const ALGORITHM: WrapAlgorithm = WrapAlgorithm::RsaOaepSha1;

    fn wrap(&self, key: &DataKey, suite: &str) -> Result<Vec<u8>, KeyringError> {
        let plain = Zeroizing::new([&[KEY_LEN as u8], &key.as_bytes()[..], suite.as_bytes()].concat());
        let mut ciphertext = vec![0; self.public.ciphertext_size()];
        let len = self
            .public
            .encrypt(&OAEP_SHA1_MGF1SHA1, &plain, &mut ciphertext, None)
            .map_err(|_| KeyringError::Key("it does not wrap"))?
            .len();
        ciphertext.truncate(len);
        Ok(ciphertext)
    }

    fn unwrap(&self, ciphertext: &[u8], suite: &str) -> Result<DataKey, KeyringError> {
        let private =
            self.private.as_ref().ok_or(KeyringError::OneWay("has no private key and can only seal"))?;
        let mut plain = Zeroizing::new(vec![0; private.min_output_size()]);
        let plain = private
            .decrypt(&OAEP_SHA1_MGF1SHA1, ciphertext, &mut plain, None)
            .map_err(|_| KeyringError::Unwrap)?;
        let key = plain
            .strip_prefix(&[KEY_LEN as u8])
            .and_then(|plain| plain.strip_suffix(suite.as_bytes()))
            .ok_or(KeyringError::Unwrap)?;
        DataKey::new(key)
    }
}
