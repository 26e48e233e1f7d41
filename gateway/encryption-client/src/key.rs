//! Data keys and what is derived from them.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hkdf::{HKDF_SHA512, KeyType, Salt};
use zeroize::Zeroizing;

use crate::error::{Error, KeyringError};
use crate::suite::{COMMITMENT_LEN, KEY_LEN};

/// A data key in the clear: overwritten when dropped, never shown.
#[derive(Clone)]
pub struct DataKey(Zeroizing<[u8; KEY_LEN]>);

impl DataKey {
    /// A key of these 32 bytes.
    ///
    /// # Errors
    /// When there are not 32.
    pub fn new(bytes: &[u8]) -> Result<Self, KeyringError> {
        let mut key = Zeroizing::new([0; KEY_LEN]);
        if bytes.len() != KEY_LEN {
            return Err(KeyringError::Length(bytes.len()));
        }
        key.copy_from_slice(bytes);
        Ok(Self(key))
    }

    /// A key of the system's random bytes.
    ///
    /// # Errors
    /// When the system has none.
    pub fn random() -> Result<Self, KeyringError> {
        let mut key = Zeroizing::new([0; KEY_LEN]);
        random(&mut key[..])?;
        Ok(Self(key))
    }

    /// The key's bytes.
    pub fn as_bytes(&self) -> &[u8; KEY_LEN] {
        &self.0
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey")
    }
}

/// Fills with random bytes of the system's.
pub(crate) fn random(bytes: &mut [u8]) -> Result<(), KeyringError> {
    aws_lc_rs::rand::fill(bytes).map_err(|_| KeyringError::Key("the system has no random bytes"))
}

/// The key that seals the body, and the commitment to the data key.
pub(crate) struct Derived {
    pub(crate) key: DataKey,
    pub(crate) commitment: [u8; COMMITMENT_LEN],
}

impl Derived {
    /// HKDF-SHA-512 with the message id for salt; the labels begin with the suite's number, 0x0073.
    pub(crate) fn new(data_key: &DataKey, message_id: &[u8; COMMITMENT_LEN]) -> Result<Self, Error> {
        let prk = Salt::new(HKDF_SHA512, message_id).extract(data_key.as_bytes());
        let expand = |label: &[u8], out: &mut [u8]| {
            let info = [&[0x00, 0x73], label];
            prk.expand(&info, Len(out.len()))
                .and_then(|okm| okm.fill(out))
                .map_err(|_| Error::Library("HKDF"))
        };
        let (mut key, mut commitment) = (Zeroizing::new([0; KEY_LEN]), [0; COMMITMENT_LEN]);
        expand(b"DERIVEKEY", &mut key[..])?;
        expand(b"COMMITKEY", &mut commitment)?;
        Ok(Self { key: DataKey(key), commitment })
    }

    /// The derived key, if the object commits to the data key that it was derived from.
    pub(crate) fn verified(self, stored: &[u8; COMMITMENT_LEN]) -> Result<DataKey, Error> {
        verify_slices_are_equal(&self.commitment, stored).map_err(|_| Error::Commitment)?;
        Ok(self.key)
    }
}

struct Len(usize);

impl KeyType for Len {
    fn len(&self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_does_not_show_itself_and_has_one_length() {
        assert_eq!(format!("{:?}", DataKey::new(&[7; 32]).unwrap()), "DataKey");
        assert!(matches!(DataKey::new(&[7; 16]), Err(KeyringError::Length(16))));
    }

    // Made with Python's hmac and hashlib alone.
    #[test]
    fn keys_are_derived_as_the_format_says() {
        let derived = Derived::new(&DataKey::new(&[1; 32]).unwrap(), &[2; 28]).unwrap();
        assert_eq!(
            hex::encode(derived.key.as_bytes()),
            "b10a154e7854a30c301614cc084bad906b4cf055f56d18ecac6332b92746338d"
        );
        assert_eq!(
            hex::encode(derived.commitment),
            "09c8023f6d35384b9edf5c9a8364e7f82f7e29ccea7b35327d1b29db"
        );
        assert!(matches!(derived.verified(&[0; 28]), Err(Error::Commitment)));
    }
}
