//! AES-256-GCM in steps, for bodies of which only a piece is in memory (NIST SP 800-38D).
//!
//! aws-lc-rs opens and seals whole messages only. So the counter mode is aws-lc's, the hash that of the crate `ghash`, and this file puts
//! them together. The tests hold it against aws-lc's AEAD.

use aws_lc_rs::cipher::{AES_256, EncryptionContext, StreamingEncryptingKey, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use ghash::universal_hash::UniversalHash;
use ghash::{Block, GHash};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::key::DataKey;
use crate::suite::TAG_LEN;

/// The length of nonces, in bytes.
pub(crate) const NONCE_LEN: usize = 12;
const BLOCK_LEN: usize = 16;
/// Bytes that are enciphered and hashed before the next ones: both find them in the cache.
const STEP_LEN: usize = 32 << 10;

/// A counter-mode stream from this counter block on.
fn counter(key: &DataKey, from: [u8; BLOCK_LEN]) -> Result<StreamingEncryptingKey, Error> {
    let library = |_| Error::Library("AES");
    let key = UnboundCipherKey::new(&AES_256, key.as_bytes()).map_err(library)?;
    StreamingEncryptingKey::less_safe_ctr(key, EncryptionContext::Iv128(FixedLength::from(from)))
        .map_err(library)
}

/// The counter block of the nonce at this block of the body; the one before the first is for the tag.
fn counter_block(nonce: &[u8; NONCE_LEN], number: u32) -> [u8; BLOCK_LEN] {
    let mut block = [0; BLOCK_LEN];
    block[..NONCE_LEN].copy_from_slice(nonce);
    block[NONCE_LEN..].copy_from_slice(&number.to_be_bytes());
    block
}

fn first_keystream(counter: &mut StreamingEncryptingKey) -> Result<Zeroizing<[u8; BLOCK_LEN]>, Error> {
    let mut out = Zeroizing::new([0; 2 * BLOCK_LEN - 1]);
    counter.update(&[0; BLOCK_LEN], &mut out[..]).map_err(|_| Error::Library("AES"))?;
    let mut block = Zeroizing::new([0; BLOCK_LEN]);
    block.copy_from_slice(&out[..BLOCK_LEN]);
    Ok(block)
}

/// The keystream over a body: enciphers and deciphers.
pub(crate) struct Keystream(StreamingEncryptingKey);

impl Keystream {
    /// The keystream of a body from this block (of 16 bytes) on, without any authentication.
    pub(crate) fn from_block(key: &DataKey, nonce: &[u8; NONCE_LEN], block: u32) -> Result<Self, Error> {
        let number = block.checked_add(2).ok_or(Error::Library("AES"))?;
        Ok(Self(counter(key, counter_block(nonce, number))?))
    }

    /// Appends what becomes of the input.
    pub(crate) fn apply(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        self.apply_and(input, out, |_, _| {})
    }

    /// As `apply`, and shows each step's input and output.
    fn apply_and(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
        mut seen: impl FnMut(&[u8], &[u8]),
    ) -> Result<(), Error> {
        let mut at = out.len();
        // The library wants room for a block more than it writes.
        out.resize(at + input.len() + BLOCK_LEN - 1, 0);
        for step in input.chunks(STEP_LEN) {
            let end = at + step.len();
            self.0.update(step, &mut out[at..end + BLOCK_LEN - 1]).map_err(|_| Error::Library("AES"))?;
            seen(step, &out[at..end]);
            at = end;
        }
        out.truncate(at);
        Ok(())
    }
}

/// GHASH over the additional data and a sealed body, from which the tag is made.
pub(crate) struct Authenticator {
    hash: GHash,
    mask: Zeroizing<[u8; BLOCK_LEN]>,
    /// What does not fill a block yet.
    partial: [u8; BLOCK_LEN],
    partial_len: usize,
    aad_len: u64,
    sealed_len: u64,
}

impl Authenticator {
    pub(crate) fn new(key: &DataKey, nonce: &[u8; NONCE_LEN], aad: &[u8]) -> Result<Self, Error> {
        let subkey = first_keystream(&mut counter(key, [0; BLOCK_LEN])?)?;
        let mask = first_keystream(&mut counter(key, counter_block(nonce, 1))?)?;
        let mut hash = GHash::new(&Block::from(*subkey));
        hash.update_padded(aad);
        let aad_len = aad.len() as u64;
        Ok(Self { hash, mask, partial: [0; BLOCK_LEN], partial_len: 0, aad_len, sealed_len: 0 })
    }

    pub(crate) fn update(&mut self, mut sealed: &[u8]) {
        self.sealed_len += sealed.len() as u64;
        if self.partial_len > 0 {
            let taken = sealed.len().min(BLOCK_LEN - self.partial_len);
            let (head, rest) = sealed.split_at(taken);
            self.partial[self.partial_len..self.partial_len + taken].copy_from_slice(head);
            self.partial_len += taken;
            sealed = rest;
            if self.partial_len < BLOCK_LEN {
                return;
            }
            self.hash.update(&[Block::from(self.partial)]);
            self.partial_len = 0;
        }
        let (blocks, rest) = Block::slice_as_chunks(sealed);
        self.hash.update(blocks);
        self.partial[..rest.len()].copy_from_slice(rest);
        self.partial_len = rest.len();
    }

    pub(crate) fn tag(mut self) -> [u8; TAG_LEN] {
        self.hash.update_padded(&self.partial[..self.partial_len]);
        let mut lengths = [0; BLOCK_LEN];
        lengths[..8].copy_from_slice(&(self.aad_len * 8).to_be_bytes());
        lengths[8..].copy_from_slice(&(self.sealed_len * 8).to_be_bytes());
        self.hash.update(&[Block::from(lengths)]);
        let mut tag: [u8; TAG_LEN] = self.hash.finalize().into();
        for (byte, mask) in tag.iter_mut().zip(&*self.mask) {
            *byte ^= mask;
        }
        tag
    }
}

/// A body's keystream and hash.
pub(crate) struct Gcm {
    keystream: Keystream,
    authenticator: Authenticator,
}

impl Gcm {
    pub(crate) fn new(key: &DataKey, nonce: &[u8; NONCE_LEN], aad: &[u8]) -> Result<Self, Error> {
        let keystream = Keystream::from_block(key, nonce, 0)?;
        Ok(Self { keystream, authenticator: Authenticator::new(key, nonce, aad)? })
    }

    pub(crate) fn seal(&mut self, plain: &[u8], sealed: &mut Vec<u8>) -> Result<(), Error> {
        let authenticator = &mut self.authenticator;
        self.keystream.apply_and(plain, sealed, |_, sealed| authenticator.update(sealed))
    }

    pub(crate) fn open(&mut self, sealed: &[u8], plain: &mut Vec<u8>) -> Result<(), Error> {
        let authenticator = &mut self.authenticator;
        self.keystream.apply_and(sealed, plain, |sealed, _| authenticator.update(sealed))
    }

    pub(crate) fn tag(self) -> [u8; TAG_LEN] {
        self.authenticator.tag()
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
    use proptest::prelude::*;

    use super::*;

    /// The whole message at once, by aws-lc.
    fn oracle(key: [u8; 32], nonce: [u8; 12], aad: &[u8], plain: &[u8]) -> Vec<u8> {
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).unwrap());
        let mut sealed = plain.to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        key.seal_in_place_append_tag(nonce, Aad::from(aad), &mut sealed).unwrap();
        sealed
    }

    proptest! {
        #[test]
        fn steps_of_any_length_make_what_the_aead_makes(
            key: [u8; 32],
            nonce: [u8; 12],
            aad in proptest::collection::vec(any::<u8>(), 0..40),
            plain in proptest::collection::vec(any::<u8>(), 0..70_000),
            steps in proptest::collection::vec(1_usize..40_000, 1..8),
        ) {
            let data_key = DataKey::new(&key).unwrap();
            let expected = oracle(key, nonce, &aad, &plain);
            let mut gcm = Gcm::new(&data_key, &nonce, &aad).unwrap();
            let (mut sealed, mut rest, mut step) = (Vec::new(), &plain[..], steps.iter().cycle());
            while !rest.is_empty() {
                let (head, tail) = rest.split_at(rest.len().min(*step.next().unwrap()));
                gcm.seal(head, &mut sealed).unwrap();
                rest = tail;
            }
            sealed.extend(gcm.tag());
            prop_assert!(sealed == expected);

            let (body, tag) = sealed.split_at(plain.len());
            let mut gcm = Gcm::new(&data_key, &nonce, &aad).unwrap();
            let mut opened = Vec::new();
            for part in body.chunks(steps[0]) {
                gcm.open(part, &mut opened).unwrap();
            }
            prop_assert!(opened == plain && gcm.tag() == tag);
        }
    }
}
