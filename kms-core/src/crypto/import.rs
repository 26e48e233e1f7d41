//! What imported key material travels under: an RSA key made for one import, whose private half is sealed in the import token.
//! Private-key operations are aws-lc-rs's, in constant time.
//! <https://docs.aws.amazon.com/kms/latest/developerguide/importing-keys-get-public-key-and-token.html>

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrapPadded};
use aws_lc_rs::rsa::{
    KeySize, OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey,
};
use serde::{Deserialize, Serialize};

use crate::error::KmsError;
use crate::key::KmsKeyId;
use crate::secret::{Secret32, SecretBytes};

const LABEL: &str = "sealgate kms v1 import token";

/// How material is wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum WrappingAlgorithm {
    /// `RSAES_OAEP_SHA_1`.
    OaepSha1,
    /// `RSAES_OAEP_SHA_256`.
    OaepSha256,
    /// `RSA_AES_KEY_WRAP_SHA_1`: an AES key under RSAES-OAEP, then the material under RFC 5649.
    AesKeyWrapSha1,
    /// `RSA_AES_KEY_WRAP_SHA_256`.
    AesKeyWrapSha256,
}

impl WrappingAlgorithm {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::OaepSha1 => "RSAES_OAEP_SHA_1",
            Self::OaepSha256 => "RSAES_OAEP_SHA_256",
            Self::AesKeyWrapSha1 => "RSA_AES_KEY_WRAP_SHA_1",
            Self::AesKeyWrapSha256 => "RSA_AES_KEY_WRAP_SHA_256",
        }
    }
}

/// An import that was begun: what the token holds.
#[derive(Serialize, Deserialize)]
pub(crate) struct ImportToken {
    pub(crate) key_id: [u8; 16],
    pub(crate) algorithm: WrappingAlgorithm,
    pub(crate) valid_to_unix_ms: u64,
    private_key: Vec<u8>,
}

impl Drop for ImportToken {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.private_key);
    }
}

/// Makes an RSA key: its public half (DER, SubjectPublicKeyInfo) and the token with its private half.
pub(crate) fn begin(
    domain: &Secret32,
    key_id: KmsKeyId,
    algorithm: WrappingAlgorithm,
    bits: u32,
    valid_to_unix_ms: u64,
) -> Result<(Vec<u8>, Vec<u8>), KmsError> {
    let size = match bits {
        2048 => KeySize::Rsa2048,
        3072 => KeySize::Rsa3072,
        _ => KeySize::Rsa4096,
    };
    let failed = |_| KmsError::Internal("an RSA key could not be made".to_owned());
    let private_key = PrivateDecryptingKey::generate(size).map_err(failed)?;
    let public_key = private_key.public_key().as_der().map_err(failed)?.as_ref().to_vec();
    let private_key = private_key.as_der().map_err(failed)?.as_ref().to_vec();
    let token = ImportToken { key_id: *key_id.as_bytes(), algorithm, valid_to_unix_ms, private_key };
    let encoded = SecretBytes::new(postcard::to_allocvec(&token).expect("a token can always be encoded"));
    Ok((public_key, super::seal(domain, LABEL, encoded.expose(), &[])))
}

/// Opens a token.
pub(crate) fn open_token(domain: &Secret32, token: &[u8]) -> Option<ImportToken> {
    let opened = super::open(domain, LABEL, token, 0, &[])?;
    postcard::from_bytes(opened.expose()).ok()
}

impl ImportToken {
    /// The material that was wrapped for this token.
    pub(crate) fn unwrap(&self, wrapped: &[u8]) -> Option<SecretBytes> {
        let key = PrivateDecryptingKey::from_pkcs8(&self.private_key).ok()?;
        let key = OaepPrivateDecryptingKey::new(key).ok()?;
        let oaep = match self.algorithm {
            WrappingAlgorithm::OaepSha1 | WrappingAlgorithm::AesKeyWrapSha1 => &OAEP_SHA1_MGF1SHA1,
            WrappingAlgorithm::OaepSha256 | WrappingAlgorithm::AesKeyWrapSha256 => &OAEP_SHA256_MGF1SHA256,
        };
        let decrypt = |ciphertext: &[u8]| {
            let mut buffer = SecretBytes::new(vec![0; key.min_output_size()]);
            let plain = key.decrypt(oaep, ciphertext, buffer.expose_mut(), None).ok()?;
            Some(SecretBytes::new(plain.to_vec()))
        };
        match self.algorithm {
            WrappingAlgorithm::OaepSha1 | WrappingAlgorithm::OaepSha256 => decrypt(wrapped),
            WrappingAlgorithm::AesKeyWrapSha1 | WrappingAlgorithm::AesKeyWrapSha256 => {
                let (aes_key, wrapped) = wrapped.split_at_checked(key.key_size_bytes())?;
                let kek = AesKek::new(&AES_256, decrypt(aes_key)?.expose()).ok()?;
                let mut buffer = SecretBytes::new(vec![0; wrapped.len()]);
                let plain = kek.unwrap_with_padding(wrapped, buffer.expose_mut()).ok()?;
                Some(SecretBytes::new(plain.to_vec()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rsa::{OaepPublicEncryptingKey, PublicEncryptingKey};

    use super::*;

    #[test]
    fn material_arrives_by_every_algorithm_and_only_by_its_own() {
        let domain = Secret32::random();
        use WrappingAlgorithm as W;
        for algorithm in [W::OaepSha1, W::OaepSha256, W::AesKeyWrapSha1, W::AesKeyWrapSha256] {
            let key_id = KmsKeyId::random();
            let (public_key, token) = begin(&domain, key_id, algorithm, 2048, 7).unwrap();
            assert!(open_token(&Secret32::random(), &token).is_none());
            let token = open_token(&domain, &token).unwrap();
            assert_eq!((token.key_id, token.valid_to_unix_ms), (*key_id.as_bytes(), 7));
            let public_key = PublicEncryptingKey::from_der(&public_key).unwrap();
            let public_key = OaepPublicEncryptingKey::new(public_key).unwrap();
            let oaep = match algorithm {
                W::OaepSha1 | W::AesKeyWrapSha1 => &OAEP_SHA1_MGF1SHA1,
                _ => &OAEP_SHA256_MGF1SHA256,
            };
            let encrypt = |plain: &[u8]| {
                let mut out = vec![0; public_key.ciphertext_size()];
                public_key.encrypt(oaep, plain, &mut out, None).unwrap().to_vec()
            };
            let wrapped = match algorithm {
                W::OaepSha1 | W::OaepSha256 => encrypt(&[9; 32]),
                _ => {
                    let kek = AesKek::new(&AES_256, &[3; 32]).unwrap();
                    let mut out = vec![0; 64];
                    let material = kek.wrap_with_padding(&[9; 32], &mut out).unwrap();
                    [&encrypt(&[3; 32])[..], material].concat()
                }
            };
            assert_eq!(token.unwrap(&wrapped).unwrap().expose(), &[9; 32]);
            let mut damaged = wrapped.clone();
            damaged[5] ^= 1;
            assert!(token.unwrap(&damaged).is_none() && token.unwrap(&wrapped[1..]).is_none());
        }
    }
}
