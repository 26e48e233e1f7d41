//! Data keys under an AES key of the caller's: CSE-C.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

use super::raw::{RawKey, RawKeyring};
use crate::error::KeyringError;
use crate::key::{DataKey, random};
use crate::suite::{KEY_LEN, TAG_LEN, WrapAlgorithm};

const NONCE_LEN: usize = 12;

/// Wraps with AES-256-GCM under a key of the caller's; the suite's name is authenticated with it.
///
/// ```
/// use s3_encryption_client::keyring::AesKeyring;
/// let keyring = AesKeyring::new(&[7; 32])?.described([("key", "2026")]);
/// # Ok::<(), s3_encryption_client::KeyringError>(())
/// ```
pub type AesKeyring = RawKeyring<AesKey>;

/// An AES-256 key that wraps data keys.
pub struct AesKey(LessSafeKey);

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
        Ok(Self::of(AesKey(LessSafeKey::new(key))))
    }
}

impl RawKey for AesKey {
    const ALGORITHM: WrapAlgorithm = WrapAlgorithm::AesGcm;

    fn wrap(&self, key: &DataKey, suite: &str) -> Result<Vec<u8>, KeyringError> {
        let mut nonce = [0; NONCE_LEN];
        random(&mut nonce)?;
        let mut sealed = Zeroizing::new(*key.as_bytes());
        let unique = Nonce::assume_unique_for_key(nonce);
        let tag = self
            .0
            .seal_in_place_separate_tag(unique, Aad::from(suite), &mut sealed[..])
            .map_err(|_| KeyringError::Key("it does not wrap"))?;
        Ok([&nonce, &sealed[..], tag.as_ref()].concat())
    }

    fn unwrap(&self, ciphertext: &[u8], suite: &str) -> Result<DataKey, KeyringError> {
        let (nonce, sealed) = ciphertext.split_first_chunk::<NONCE_LEN>().ok_or(KeyringError::Unwrap)?;
        if sealed.len() != KEY_LEN + TAG_LEN {
            return Err(KeyringError::Unwrap);
        }
        let mut opened = Zeroizing::new(sealed.to_vec());
        let key = self
            .0
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(suite), &mut opened[..])
            .map_err(|_| KeyringError::Unwrap)?;
        DataKey::new(key)
    }
}
