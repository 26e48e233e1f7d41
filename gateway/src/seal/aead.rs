//! AES-256-GCM, and the keys of a message. Which library does it is decided here alone.

use hkdf::Hkdf;
use sha2::Sha512;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{COMMITMENT_LEN, ContentKey, HEADER_LEN, OpenError, SALT_LEN, SealContext, TAG_LEN};

const LABEL: &[u8] = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0";
const NONCE_LEN: usize = 12;

/// What one message is sealed under, derived from its ContentKey, salt and context.
pub(super) struct MessageKey {
    cipher: Cipher,
    base_nonce: [u8; NONCE_LEN],
    commitment: [u8; COMMITMENT_LEN],
}

impl MessageKey {
    /// `key || base nonce || commitment = HKDF-Expand-SHA-512(ContentKey, label || 0x00 || salt || context)`.
    pub(super) fn derive(content_key: &ContentKey, salt: &[u8; SALT_LEN], context: SealContext) -> Self {
        let hkdf = Hkdf::<Sha512>::from_prk(&pad(content_key.0.expose())[..])
            .expect("64 bytes are long enough for a pseudorandom key of SHA-512");
        let mut output = Zeroizing::new([0; 32 + NONCE_LEN + COMMITMENT_LEN]);
        hkdf.expand_multi_info(&[LABEL, salt, &context.to_bytes()], &mut output[..])
            .expect("76 bytes are within what HKDF expands to");
        let (key, rest) = output.split_at(32);
        let (nonce, commitment) = rest.split_at(NONCE_LEN);
        Self {
            cipher: Cipher::new(key.try_into().expect("split at 32")),
            base_nonce: nonce.try_into().expect("split at the nonce's length"),
            commitment: commitment.try_into().expect("what is left"),
        }
    }

    /// Checks a header's commitment, in constant time, and derives the key of its message.
    pub(super) fn from_header(
        content_key: &ContentKey,
        header: &[u8],
        context: SealContext,
    ) -> Result<Self, OpenError> {
        let header: &[u8; HEADER_LEN] = header.try_into().map_err(|_| OpenError::Truncated)?;
        let (salt, commitment) = header.split_at(SALT_LEN);
        let derived =
            Self::derive(content_key, salt.try_into().expect("split at the salt's length"), context);
        if derived.commitment.ct_eq(commitment).into() { Ok(derived) } else { Err(OpenError::WrongKey) }
    }

    /// Salt and commitment: what stands in front of the chunks.
    pub(super) fn header(&self, salt: &[u8; SALT_LEN]) -> [u8; HEADER_LEN] {
        let mut header = [0; HEADER_LEN];
        header[..SALT_LEN].copy_from_slice(salt);
        header[SALT_LEN..].copy_from_slice(&self.commitment);
        header
    }

    /// Seals a chunk into `sealed`, which has room for its tag behind it.
    pub(super) fn seal(&self, index: u64, chunk: &[u8], sealed: &mut [u8]) {
        self.cipher.seal(self.nonce(index), b"", chunk, sealed.split_at_mut(chunk.len()));
    }

    /// Opens a chunk in place; its tag stands behind it.
    pub(super) fn open(&self, index: u64, chunk_and_tag: &mut [u8]) -> Result<(), OpenError> {
        if chunk_and_tag.len() < TAG_LEN {
            return Err(OpenError::Truncated);
        }
        self.cipher.open(self.nonce(index), b"", chunk_and_tag).ok_or(OpenError::Tampered { index })
    }

    /// Opens a chunk, whose tag stands behind it, into `plain`, which is as long as the chunk.
    pub(super) fn open_into(
        &self,
        index: u64,
        chunk_and_tag: &[u8],
        plain: &mut [u8],
    ) -> Result<(), OpenError> {
        let message = chunk_and_tag.split_last_chunk::<TAG_LEN>().ok_or(OpenError::Truncated)?;
        self.cipher.open_into(self.nonce(index), b"", message, plain).ok_or(OpenError::Tampered { index })
    }

    /// The base nonce XOR the chunk's number as a big-endian integer.
    fn nonce(&self, index: u64) -> [u8; NONCE_LEN] {
        let mut nonce = self.base_nonce;
        for (byte, part) in nonce[NONCE_LEN - 8..].iter_mut().zip(index.to_be_bytes()) {
            *byte ^= part;
        }
        nonce
    }
}

/// A 256-bit key as HMAC-SHA-512 pads it anyway; the library wants a pseudorandom key of the hash's length.
fn pad(secret: &[u8; 32]) -> Zeroizing<[u8; 64]> {
    let mut padded = Zeroizing::new([0; 64]);
    padded[..32].copy_from_slice(secret);
    padded
}

/// An expanded key of AES-256-GCM.
#[cfg(not(feature = "portable-aead"))]
pub(super) struct Cipher(aws_lc_rs::aead::LessSafeKey);

#[cfg(not(feature = "portable-aead"))]
impl Cipher {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        use aws_lc_rs::aead::{AES_256_GCM, LessSafeKey, UnboundKey};
        Self(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("32 bytes are a key of AES-256")))
    }

    /// Seals `plain` into `sealed`, which is as long, and its tag behind it.
    pub(super) fn seal(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        plain: &[u8],
        (sealed, tag): (&mut [u8], &mut [u8]),
    ) {
        use aws_lc_rs::aead::{Aad, Nonce};
        let nonce = Nonce::assume_unique_for_key(nonce);
        let done = self.0.seal_out_of_place_scatter(nonce, Aad::from(aad), plain, sealed, &[], tag);
        done.expect("a chunk is within what GCM seals, and there is room for it");
    }

    pub(super) fn open(&self, nonce: [u8; NONCE_LEN], aad: &[u8], chunk_and_tag: &mut [u8]) -> Option<()> {
        use aws_lc_rs::aead::{Aad, Nonce};
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.0.open_in_place(nonce, Aad::from(aad), chunk_and_tag).ok().map(|_| ())
    }

    /// Opens `sealed` into `plain`, which is as long. Without an answer, nothing in `plain` is to be used.
    pub(super) fn open_into(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        (sealed, tag): (&[u8], &[u8; TAG_LEN]),
        plain: &mut [u8],
    ) -> Option<()> {
        use aws_lc_rs::aead::{Aad, Nonce};
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.0.open_separate_gather(nonce, Aad::from(aad), sealed, tag, plain).ok()
    }
}

/// An expanded key of AES-256-GCM.
#[cfg(feature = "portable-aead")]
pub(super) struct Cipher(oracle::Oracle);

#[cfg(feature = "portable-aead")]
impl Cipher {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self(oracle::Oracle::new(key))
    }

    /// Seals `plain` into `sealed`, which is as long, and its tag behind it.
    pub(super) fn seal(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        plain: &[u8],
        (sealed, tag): (&mut [u8], &mut [u8]),
    ) {
        sealed.copy_from_slice(plain);
        tag.copy_from_slice(&self.0.seal(&nonce, aad, sealed));
    }

    pub(super) fn open(&self, nonce: [u8; NONCE_LEN], aad: &[u8], chunk_and_tag: &mut [u8]) -> Option<()> {
        self.0.open(&nonce, aad, chunk_and_tag)
    }

    /// Opens `sealed` into `plain`, which is as long. Without an answer, nothing in `plain` is to be used.
    pub(super) fn open_into(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        (sealed, tag): (&[u8], &[u8; TAG_LEN]),
        plain: &mut [u8],
    ) -> Option<()> {
        plain.copy_from_slice(sealed);
        self.0.open_apart(&nonce, aad, plain, tag)
    }
}

/// The same by the `aes-gcm` crate: the portable backend, and the oracle of the tests.
#[cfg(any(test, feature = "portable-aead"))]
pub(super) mod oracle {
    use aes_gcm::aead::{AeadInOut, KeyInit};
    use aes_gcm::{Aes256Gcm, Nonce};

    use super::{NONCE_LEN, TAG_LEN};

    pub(in crate::seal) struct Oracle(Aes256Gcm);

    impl Oracle {
        pub(in crate::seal) fn new(key: &[u8; 32]) -> Self {
            Self(Aes256Gcm::new(&(*key).into()))
        }

        pub(in crate::seal) fn seal(
            &self,
            nonce: &[u8; NONCE_LEN],
            aad: &[u8],
            chunk: &mut [u8],
        ) -> [u8; TAG_LEN] {
            let tag = self.0.encrypt_inout_detached(&Nonce::from(*nonce), aad, chunk.into());
            tag.expect("a chunk is within what GCM seals").into()
        }

        #[cfg(feature = "portable-aead")]
        pub(in crate::seal) fn open(
            &self,
            nonce: &[u8; NONCE_LEN],
            aad: &[u8],
            chunk_and_tag: &mut [u8],
        ) -> Option<()> {
            let (chunk, tag) = chunk_and_tag.split_last_chunk_mut::<TAG_LEN>()?;
            self.open_apart(nonce, aad, chunk, tag)
        }

        #[cfg(feature = "portable-aead")]
        pub(in crate::seal) fn open_apart(
            &self,
            nonce: &[u8; NONCE_LEN],
            aad: &[u8],
            chunk: &mut [u8],
            tag: &[u8; TAG_LEN],
        ) -> Option<()> {
            let tag = aes_gcm::Tag::from(*tag);
            self.0.decrypt_inout_detached(&Nonce::from(*nonce), aad, chunk.into(), &tag).ok()
        }
    }
}
