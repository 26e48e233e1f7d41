//! XAES-256-GCM (c2sp.org/XAES-256-GCM): AES-256-GCM under a key derived from a 192-bit random nonce, so that one key
//! may seal any number of small messages. Key wraps, catalog values and trailers are sealed with it.

use aws_lc_rs::cipher::{AES_256, EncryptingKey, UnboundCipherKey};
use kms_core::secret::Secret32;
use zeroize::Zeroizing;

use super::TAG_LEN;
use super::aead::Cipher;

/// Bytes of a message's random nonce, which stands in front of it.
pub const NONCE_LEN: usize = 24;
/// Bytes by which a sealed message is longer than its plain bytes.
pub const OVERHEAD: usize = NONCE_LEN + TAG_LEN;

/// A message that does not open: tampered with, bound to something else, or sealed under another key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sealed value does not open")]
pub struct Unsealable;

/// A key of XAES-256-GCM, expanded.
pub struct Xaes {
    aes: EncryptingKey,
    /// The CMAC subkey.
    subkey: Zeroizing<[u8; 16]>,
}

impl Xaes {
    /// Expands a key.
    pub fn new(secret: &Secret32) -> Self {
        let key = UnboundCipherKey::new(&AES_256, secret.expose()).expect("a key of 256 bits");
        // CMAC is made of single blocks.
        let aes = EncryptingKey::ecb(key).expect("AES encrypts single blocks");
        let mut block = Zeroizing::new([0; 16]);
        encrypt_blocks(&aes, &mut *block);
        let value = u128::from_be_bytes(*block);
        let doubled = (value << 1) ^ if value >> 127 == 1 { 0x87 } else { 0 };
        Self { aes, subkey: Zeroizing::new(doubled.to_be_bytes()) }
    }

    /// Seals under a fresh random nonce: nonce, ciphertext, tag.
    pub fn seal(&self, aad: &[u8], plain: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).expect("the operating system gives random bytes");
        self.seal_with(&nonce, aad, plain)
    }

    fn seal_with(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], plain: &[u8]) -> Vec<u8> {
        let mut sealed = vec![0; plain.len() + OVERHEAD];
        let (nonce_place, rest) = sealed.split_at_mut(NONCE_LEN);
        nonce_place.copy_from_slice(nonce);
        let (cipher, short_nonce) = self.derive(nonce);
        cipher.seal(short_nonce, aad, plain, rest.split_at_mut(plain.len()));
        sealed
    }

    /// Opens what [`Xaes::seal`] made with the same additional data.
    pub fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Unsealable> {
        // No longer than what it holds: whoever shares it takes it as it is.
        let mut plain = Vec::with_capacity(sealed.len().saturating_sub(OVERHEAD));
        self.open_onto(aad, sealed, &mut plain).map(|()| plain)
    }

    /// As [`Xaes::open`], behind what is in `out`, to which nothing comes if it does not open.
    pub fn open_onto(&self, aad: &[u8], sealed: &[u8], out: &mut Vec<u8>) -> Result<(), Unsealable> {
        let (nonce, rest) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(Unsealable)?;
        let message = rest.split_last_chunk::<TAG_LEN>().ok_or(Unsealable)?;
        let (cipher, short_nonce) = self.derive(nonce);
        let start = out.len();
        out.resize(start + message.0.len(), 0);
        let opened = cipher.open_into(short_nonce, aad, message, &mut out[start..]);
        if opened.is_none() {
            out.truncate(start);
        }
        opened.ok_or(Unsealable)
    }

    /// The message's key (the CMAC of two blocks over the first half of its nonce) and the nonce that is left for GCM.
    fn derive(&self, nonce: &[u8; NONCE_LEN]) -> (Cipher, [u8; 12]) {
        let mut key = Zeroizing::new([0; 32]);
        for (block, counter) in key.chunks_exact_mut(16).zip([1, 2]) {
            block[..4].copy_from_slice(&[0, counter, b'X', 0]);
            block[4..].copy_from_slice(&nonce[..12]);
            for (byte, mask) in block.iter_mut().zip(*self.subkey) {
                *byte ^= mask;
            }
        }
        encrypt_blocks(&self.aes, &mut *key);
        let short_nonce: [u8; 12] = nonce[12..].try_into().expect("the second half of 24 bytes");
        (Cipher::new(&key), short_nonce)
    }
}

fn encrypt_blocks(aes: &EncryptingKey, blocks: &mut [u8]) {
    aes.encrypt(blocks).expect("whole blocks");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_vectors() {
        let nonce = b"ABCDEFGHIJKLMNOPQRSTUVWX";
        for (byte, aad, expected) in [
            (1, &b""[..], "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"),
            (3, b"c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"),
        ] {
            let xaes = Xaes::new(&Secret32::take(&mut [byte; 32]));
            let sealed = xaes.seal_with(nonce, aad, b"XAES-256-GCM");
            assert_eq!(hex::encode(&sealed[NONCE_LEN..]), expected);
            assert_eq!(xaes.open(aad, &sealed).unwrap(), b"XAES-256-GCM");
        }
    }

    #[test]
    fn every_change_is_noticed() {
        let xaes = Xaes::new(&Secret32::take(&mut [1; 32]));
        let sealed = xaes.seal(b"place", b"value");
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert_eq!(xaes.open(b"place", &damaged), Err(Unsealable));
        }
        for len in 0..sealed.len() {
            assert_eq!(xaes.open(b"place", &sealed[..len]), Err(Unsealable));
        }
        assert_eq!(xaes.open(b"elsewhere", &sealed), Err(Unsealable));
    }
}
