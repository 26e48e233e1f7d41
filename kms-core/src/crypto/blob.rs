//! The ciphertext blob: what clients keep, naming the KMS key and the backing key that open it.
//!
//! ```text
//! version (1) = 1 | key id (16) | key material id (32) | message: nonce (16) | iv (12) | ciphertext | tag (16)
//! ```
//! All before the ciphertext is authenticated, and so is the encryption context.

use super::OVERHEAD;
use crate::context::EncryptionContext;
use crate::error::KmsError;
use crate::key::backing::BackingKey;
use crate::key::{KeyMaterialId, KmsKeyId};
use crate::secret::SecretBytes;

const VERSION: u8 = 1;
const HEADER_LEN: usize = 1 + 16 + 32;
const LABEL: &str = "sealgate kms v1 ciphertext blob";

/// The longest plaintext of a blob.
pub const MAX_PLAINTEXT_LEN: usize = 4096;

/// The longest blob that Decrypt takes, as AWS has it. Ours are shorter.
pub const MAX_BLOB_LEN: usize = 6144;

/// What a blob tells before it is opened. Not to be trusted before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobHeader {
    /// The KMS key.
    pub key_id: KmsKeyId,
    /// Its backing key.
    pub material: KeyMaterialId,
}

/// Reads the header. `None`: not a blob of ours, or of a version not known.
pub fn parse(blob: &[u8]) -> Option<BlobHeader> {
    if blob.len() < HEADER_LEN + OVERHEAD || blob.len() > MAX_BLOB_LEN || blob[0] != VERSION {
        return None;
    }
    Some(BlobHeader {
        key_id: KmsKeyId::from_bytes(blob[1..17].try_into().ok()?),
        material: KeyMaterialId::from_bytes(blob[17..49].try_into().ok()?),
    })
}

/// Encrypts under a backing key.
pub fn seal(
    key_id: KmsKeyId,
    backing: &BackingKey,
    plaintext: &[u8],
    context: &EncryptionContext,
) -> Result<Vec<u8>, KmsError> {
    let secret = backing.secret()?;
    let mut blob = Vec::with_capacity(HEADER_LEN + OVERHEAD + plaintext.len());
    blob.push(VERSION);
    blob.extend_from_slice(key_id.as_bytes());
    blob.extend_from_slice(backing.id.as_bytes());
    super::seal_onto(&mut blob, secret, LABEL, plaintext, &context.canonical());
    Ok(blob)
}

/// Decrypts a blob whose header named this backing key.
pub fn open(backing: &BackingKey, blob: &[u8], context: &EncryptionContext) -> Option<SecretBytes> {
    super::open(backing.symmetric()?, LABEL, blob, HEADER_LEN, &context.canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::backing::Made;
    use crate::secret::Secret32;

    fn context() -> EncryptionContext {
        [("aws:s3:arn".to_owned(), "arn:aws:s3:::b/k".to_owned())].into_iter().collect()
    }

    fn blob() -> (BackingKey, Vec<u8>) {
        let key_id = KmsKeyId::random();
        let backing = BackingKey::new(key_id, Secret32::random(), Made::default());
        let blob = seal(key_id, &backing, &[7; 32], &context()).unwrap();
        (backing, blob)
    }

    #[test]
    fn a_data_key_takes_125_bytes() {
        let (backing, blob) = blob();
        assert_eq!(blob.len(), 125);
        assert_eq!(parse(&blob).map(|h| h.material), Some(backing.id));
        assert_eq!(open(&backing, &blob, &context()).unwrap().expose(), &[7; 32]);
    }

    #[test]
    fn every_bit_of_every_byte_counts() {
        let (backing, blob) = blob();
        for i in 0..blob.len() {
            for bit in 0..8 {
                let mut bad = blob.clone();
                bad[i] ^= 1 << bit;
                assert!(open(&backing, &bad, &context()).is_none(), "byte {i} bit {bit}");
            }
        }
        for len in 0..blob.len() {
            assert!(open(&backing, &blob[..len], &context()).is_none(), "cut to {len}");
        }
    }

    #[test]
    fn the_context_is_bound() {
        let (backing, blob) = blob();
        assert!(open(&backing, &blob, &EncryptionContext::new()).is_none());
        let other = [("aws:s3:arn".to_owned(), "arn:aws:s3:::b/K".to_owned())].into_iter().collect();
        assert!(open(&backing, &blob, &other).is_none());
    }

    #[test]
    fn another_version_is_not_ours() {
        let (_, mut blob) = blob();
        blob[0] = 2;
        assert_eq!(parse(&blob), None);
        assert_eq!(parse(&[]), None);
    }
}
