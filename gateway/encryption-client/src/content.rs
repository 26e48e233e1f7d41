//! Bodies: sealed and opened whole or in steps.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{AES_256, DecryptionContext, StreamingDecryptingKey, UnboundCipherKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::iv::FixedLength;

use crate::envelope::Nonces;
use crate::error::Error;
use crate::gcm::{Authenticator, Gcm, Keystream, NONCE_LEN};
use crate::key::{DataKey, Derived};
use crate::suite::{COMMITMENT_LEN, ContentSuite, MAX_PLAIN_LEN, TAG_LEN};

/// The nonce of suites that derive a key for each body.
const DERIVED_NONCE: [u8; NONCE_LEN] = [1; NONCE_LEN];
/// What the committing suite authenticates beside the body: its number.
const DERIVED_AAD: &[u8] = &[0x00, 0x73];
const CBC_BLOCK_LEN: usize = 16;

/// How long a plain body is once sealed, in bytes.
pub fn sealed_len(plain_len: u64) -> u64 {
    plain_len.saturating_add(TAG_LEN as u64)
}

/// How long a body that AES-GCM sealed is in the clear, in bytes; `None` if it is too short for one.
pub fn plain_len(sealed_len: u64) -> Option<u64> {
    sealed_len.checked_sub(TAG_LEN as u64)
}

fn within_bound(plain_len: u64) -> Result<(), Error> {
    if plain_len <= MAX_PLAIN_LEN { Ok(()) } else { Err(Error::TooLong { max: MAX_PLAIN_LEN }) }
}

/// A key and a nonce that seal one body. It goes with the body: no second one can be sealed with it.
#[derive(Debug)]
pub struct SealingKey {
    key: DataKey,
    nonce: [u8; NONCE_LEN],
    aad: &'static [u8],
}

impl SealingKey {
    /// Makes nonces for a body, and the commitment of the suites that have one.
    pub(crate) fn new(
        suite: ContentSuite,
        data_key: &DataKey,
    ) -> Result<(Self, Nonces, Option<[u8; COMMITMENT_LEN]>), Error> {
        match suite {
            ContentSuite::Aes256GcmHkdfSha512CommitKey => {
                let mut message_id = [0; COMMITMENT_LEN];
                crate::key::random(&mut message_id)?;
                let Derived { key, commitment } = Derived::new(data_key, &message_id)?;
                let this = Self { key, nonce: DERIVED_NONCE, aad: DERIVED_AAD };
                Ok((this, Nonces::MessageId(message_id), Some(commitment)))
            }
            ContentSuite::Aes256Gcm => {
                let mut nonce = [0; NONCE_LEN];
                crate::key::random(&mut nonce)?;
                Ok((Self { key: data_key.clone(), nonce, aad: &[] }, Nonces::Gcm(nonce), None))
            }
            ContentSuite::Aes256Cbc => Err(crate::error::PolicyError::ReadOnly(suite).into()),
        }
    }

    /// Seals a whole body in place; the tag is appended.
    ///
    /// # Errors
    /// When it is longer than 64 GiB less 32 bytes.
    pub fn seal(self, body: &mut Vec<u8>) -> Result<(), Error> {
        within_bound(body.len() as u64)?;
        body.reserve_exact(TAG_LEN);
        let nonce = Nonce::assume_unique_for_key(self.nonce);
        aead(&self.key)?
            .seal_in_place_append_tag(nonce, Aad::from(self.aad), body)
            .map_err(|_| Error::Library("AES-GCM"))
    }

    /// Seals a body in steps.
    ///
    /// # Errors
    /// When the cryptographic library fails.
    pub fn sealer(self) -> Result<Sealer, Error> {
        Ok(Sealer { gcm: Gcm::new(&self.key, &self.nonce, self.aad)?, plain_len: 0 })
    }
}

fn aead(key: &DataKey) -> Result<LessSafeKey, Error> {
    let key = UnboundKey::new(&AES_256_GCM, key.as_bytes()).map_err(|_| Error::Library("AES-GCM"))?;
    Ok(LessSafeKey::new(key))
}

/// Seals a body in steps, in memory that does not grow with it.
pub struct Sealer {
    gcm: Gcm,
    plain_len: u64,
}

impl Sealer {
    /// Seals what follows, and appends it to `sealed`: as many bytes as go in.
    ///
    /// # Errors
    /// When the body is longer than 64 GiB less 32 bytes; nothing may be sealed with it afterwards.
    pub fn update(&mut self, plain: &[u8], sealed: &mut Vec<u8>) -> Result<(), Error> {
        self.plain_len = self.plain_len.saturating_add(plain.len() as u64);
        within_bound(self.plain_len)?;
        self.gcm.seal(plain, sealed)
    }

    /// Ends the body: appends its tag. A body without it can't be opened.
    pub fn finish(self, sealed: &mut Vec<u8>) {
        sealed.extend_from_slice(&self.gcm.tag());
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").field("plain_len", &self.plain_len).finish_non_exhaustive()
    }
}

/// A key and a nonce that open one body.
#[derive(Debug, Clone)]
pub struct OpeningKey {
    suite: ContentSuite,
    key: DataKey,
    nonces: Nonces,
}

impl OpeningKey {
    /// The opening key of a body, if the data key is the one that its envelope commits to.
    pub(crate) fn new(
        suite: ContentSuite,
        data_key: DataKey,
        nonces: Nonces,
        commitment: Option<&[u8; COMMITMENT_LEN]>,
    ) -> Result<Self, Error> {
        let key = match (&nonces, commitment) {
            (Nonces::MessageId(message_id), Some(stored)) => {
                Derived::new(&data_key, message_id)?.verified(stored)?
            }
            (Nonces::MessageId(_), None) => return Err(Error::Commitment),
            _ => data_key,
        };
        Ok(Self { suite, key, nonces })
    }

    /// How the body is sealed.
    pub fn suite(&self) -> ContentSuite {
        self.suite
    }

    fn gcm(&self) -> Option<([u8; NONCE_LEN], &'static [u8])> {
        match self.nonces {
            Nonces::MessageId(_) => Some((DERIVED_NONCE, DERIVED_AAD)),
            Nonces::Gcm(nonce) => Some((nonce, &[])),
            Nonces::Cbc(_) => None,
        }
    }

    /// Opens a whole body in place: `body` is the plain one afterwards, or overwritten if it is not authentic. A body of AES-CBC opens
    /// too, without having been authenticated: who got a key for one has asked for that.
    ///
    /// # Errors
    /// When it is not what was sealed.
    pub fn open(&self, body: &mut Vec<u8>) -> Result<(), Error> {
        let Some((nonce, aad)) = self.gcm() else {
            let mut plain = Vec::with_capacity(body.len());
            let mut opener = self.opener()?;
            opener.update(body, &mut plain)?;
            opener.finish(&mut plain)?;
            *body = plain;
            return Ok(());
        };
        let plain_len = body.len().saturating_sub(TAG_LEN);
        within_bound(plain_len as u64)?;
        let opened = aead(&self.key)?.open_in_place(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(aad),
            &mut body[..],
        );
        if opened.is_err() {
            zeroize::Zeroize::zeroize(body);
            return Err(Error::Authentication);
        }
        body.truncate(plain_len);
        Ok(())
    }

    /// Opens a body in steps and **releases it before it is authenticated**: only [`Opener::finish`] tells whether it was.
    ///
    /// # Errors
    /// When the cryptographic library fails.
    pub fn opener(&self) -> Result<Opener, Error> {
        let cipher = match (self.gcm(), self.nonces) {
            (Some((nonce, aad)), _) => Cipher::Gcm(Box::new(Gcm::new(&self.key, &nonce, aad)?)),
            (None, Nonces::Cbc(iv)) => Cipher::Cbc(cbc(&self.key, iv)?),
            (None, _) => return Err(Error::Library("AES")),
        };
        Ok(Opener { cipher, tail: Vec::with_capacity(TAG_LEN), sealed_len: 0 })
    }

    /// Authenticates a body in steps without opening it. `None` for bodies that can't be authenticated.
    ///
    /// # Errors
    /// When the cryptographic library fails.
    pub fn verifier(&self) -> Result<Option<Verifier>, Error> {
        let Some((nonce, aad)) = self.gcm() else { return Ok(None) };
        let authenticator = Authenticator::new(&self.key, &nonce, aad)?;
        Ok(Some(Verifier { authenticator, tail: Vec::with_capacity(TAG_LEN), sealed_len: 0 }))
    }

    /// Opens a range of a body **without any authentication**: every bit of it can have been flipped. `sealed` are the body's bytes from
    /// `first_block` (of 16 bytes) on.
    ///
    /// # Errors
    /// When the suite allows no ranges.
    pub fn open_range_unauthenticated(&self, first_block: u32, sealed: &[u8]) -> Result<Vec<u8>, Error> {
        let mut plain = Vec::new();
        self.keystream(first_block)?.apply(sealed, &mut plain)?;
        Ok(plain)
    }

    pub(crate) fn keystream(&self, first_block: u32) -> Result<Keystream, Error> {
        let (nonce, _) = self.gcm().ok_or(crate::error::PolicyError::Range)?;
        Keystream::from_block(&self.key, &nonce, first_block)
    }
}

fn cbc(key: &DataKey, iv: [u8; CBC_BLOCK_LEN]) -> Result<StreamingDecryptingKey, Error> {
    let library = |_| Error::Library("AES");
    let key = UnboundCipherKey::new(&AES_256, key.as_bytes()).map_err(library)?;
    StreamingDecryptingKey::cbc_pkcs7(key, DecryptionContext::Iv128(FixedLength::from(iv))).map_err(library)
}

enum Cipher {
    Gcm(Box<Gcm>),
    Cbc(StreamingDecryptingKey),
}

/// Opens a body in steps, in memory that does not grow with it, and releases what is not authenticated yet.
pub struct Opener {
    cipher: Cipher,
    /// The last bytes so far, of which nobody knows yet whether they are the tag.
    tail: Vec<u8>,
    sealed_len: u64,
}

impl Opener {
    /// Opens what follows, and appends it to `plain`. The last 16 bytes are held back.
    ///
    /// # Errors
    /// When the body is too long to have been sealed.
    pub fn update(&mut self, sealed: &[u8], plain: &mut Vec<u8>) -> Result<(), Error> {
        let gcm = match &mut self.cipher {
            Cipher::Gcm(gcm) => gcm,
            Cipher::Cbc(cbc) => return open_cbc(cbc, sealed, plain),
        };
        self.sealed_len = self.sealed_len.saturating_add(sealed.len() as u64);
        within_bound(self.sealed_len.saturating_sub(TAG_LEN as u64))?;
        hold_back(&mut self.tail, sealed, |body| gcm.open(body, plain))
    }

    /// Ends the body. After an error nothing that was released may be trusted.
    ///
    /// # Errors
    /// When the body is not what was sealed.
    pub fn finish(self, plain: &mut Vec<u8>) -> Result<(), Error> {
        match self.cipher {
            Cipher::Gcm(gcm) => is_tag(&self.tail, &gcm.tag()),
            Cipher::Cbc(cbc) => {
                let mut last = zeroize::Zeroizing::new([0; CBC_BLOCK_LEN]);
                // One error for all that can be wrong with padding: no oracle.
                let last = cbc.finish(&mut last[..]).map_err(|_| Error::Authentication)?;
                plain.extend_from_slice(last.written());
                Ok(())
            }
        }
    }
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opener").field("sealed_len", &self.sealed_len).finish_non_exhaustive()
    }
}

fn open_cbc(cbc: &mut StreamingDecryptingKey, sealed: &[u8], plain: &mut Vec<u8>) -> Result<(), Error> {
    for step in sealed.chunks(1 << 20) {
        let at = plain.len();
        plain.resize(at + step.len() + CBC_BLOCK_LEN - 1, 0);
        let written = cbc.update(step, &mut plain[at..]).map_err(|_| Error::Authentication)?.written().len();
        plain.truncate(at + written);
    }
    Ok(())
}

/// Tells whether a body is what was sealed, and opens nothing.
pub struct Verifier {
    authenticator: Authenticator,
    tail: Vec<u8>,
    sealed_len: u64,
}

impl Verifier {
    /// What follows of the sealed body.
    ///
    /// # Errors
    /// When the body is too long to have been sealed.
    pub fn update(&mut self, sealed: &[u8]) -> Result<(), Error> {
        self.sealed_len = self.sealed_len.saturating_add(sealed.len() as u64);
        within_bound(self.sealed_len.saturating_sub(TAG_LEN as u64))?;
        let authenticator = &mut self.authenticator;
        hold_back(&mut self.tail, sealed, |body| {
            authenticator.update(body);
            Ok(())
        })
    }

    /// The verdict.
    ///
    /// # Errors
    /// When the body is not what was sealed.
    pub fn finish(self) -> Result<(), Error> {
        is_tag(&self.tail, &self.authenticator.tag())
    }
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier").field("sealed_len", &self.sealed_len).finish_non_exhaustive()
    }
}

fn is_tag(tail: &[u8], tag: &[u8; TAG_LEN]) -> Result<(), Error> {
    verify_slices_are_equal(tail, tag).map_err(|_| Error::Authentication)
}

/// Passes on all but the last 16 bytes seen so far.
fn hold_back(
    tail: &mut Vec<u8>,
    sealed: &[u8],
    mut pass: impl FnMut(&[u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    let passed = (tail.len() + sealed.len()).saturating_sub(TAG_LEN);
    let of_tail = passed.min(tail.len());
    if of_tail > 0 {
        pass(&tail[..of_tail])?;
        tail.drain(..of_tail);
    }
    let (body, rest) = sealed.split_at(passed - of_tail);
    if !body.is_empty() {
        pass(body)?;
    }
    tail.extend_from_slice(rest);
    Ok(())
}

#[cfg(test)]
mod tests;
