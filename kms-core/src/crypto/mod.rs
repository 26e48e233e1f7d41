//! The one way in which this crate encrypts: a key derived per message by SP 800-108, then AES-256-GCM.
//!
//! A message is `nonce (16) ‖ iv (12) ‖ ciphertext ‖ tag (16)`, behind whatever header its owner writes. Everything before
//! the ciphertext, and the owner's additional data after it, is authenticated. As each message has a key of its own, no
//! number of messages under one key wears it out.

pub mod blob;
pub mod import;
pub(crate) mod pair;

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce, Tag};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::secret::{Secret32, SecretBytes};

/// Length of the derivation's nonce.
pub const NONCE_LEN: usize = 16;
/// Length of the cipher's nonce.
pub const IV_LEN: usize = 12;
/// Length of the tag.
pub const TAG_LEN: usize = 16;
/// What a message adds to its plaintext, without a header.
pub const OVERHEAD: usize = NONCE_LEN + IV_LEN + TAG_LEN;

/// HMAC-SHA256.
pub fn hmac_sha256(secret: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(secret).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// SP 800-108 in counter mode with HMAC-SHA256, one block: `HMAC(secret, 1 ‖ label ‖ 0 ‖ context ‖ 256)`.
pub fn derive(secret: &Secret32, label: &str, context: &[u8]) -> Zeroizing<[u8; 32]> {
    let one = 1u32.to_be_bytes();
    let bits = 256u32.to_be_bytes();
    Zeroizing::new(hmac_sha256(secret.expose(), &[&one, label.as_bytes(), &[0], context, &bits]))
}

/// Random bytes from the operating system.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// Appends a message to `out`. What `out` holds already is its header, and authenticated.
pub fn seal_onto(out: &mut Vec<u8>, secret: &Secret32, label: &str, plaintext: &[u8], additional: &[u8]) {
    out.reserve_exact(OVERHEAD + plaintext.len());
    out.extend_from_slice(&random::<{ NONCE_LEN + IV_LEN }>());
    let body_start = out.len();
    let (nonce, iv) = out[body_start - NONCE_LEN - IV_LEN..].split_at(NONCE_LEN);
    let cipher = cipher(secret, label, nonce);
    let iv = to_iv(iv);
    let authenticated = [&out[..], additional].concat();
    out.extend_from_slice(plaintext);
    let tag = cipher
        .encrypt_inout_detached(&iv, &authenticated, (&mut out[body_start..]).into())
        .expect("plaintexts are far below AES-GCM's limit");
    out.extend_from_slice(&tag);
}

/// A message with no header.
pub fn seal(secret: &Secret32, label: &str, plaintext: &[u8], additional: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    seal_onto(&mut out, secret, label, plaintext, additional);
    out
}

/// Opens a message that stands behind `header_len` bytes of header. `None`: it was not made so.
pub fn open(
    secret: &Secret32,
    label: &str,
    message: &[u8],
    header_len: usize,
    additional: &[u8],
) -> Option<SecretBytes> {
    let body_start = header_len + NONCE_LEN + IV_LEN;
    let body_len = message.len().checked_sub(body_start + TAG_LEN)?;
    let (head, rest) = message.split_at(body_start);
    let (body, tag) = rest.split_at(body_len);
    let cipher = cipher(secret, label, &head[header_len..header_len + NONCE_LEN]);
    let authenticated = [head, additional].concat();
    let mut plaintext = SecretBytes::new(body.to_vec());
    let tag = Tag::try_from(tag).expect("the length was just taken");
    cipher
        .decrypt_inout_detached(
            &to_iv(&head[header_len + NONCE_LEN..]),
            &authenticated,
            plaintext.expose_mut().into(),
            &tag,
        )
        .ok()?;
    Some(plaintext)
}

/// As [`open`], for a secret of 32 bytes with no header.
pub fn open_32(secret: &Secret32, label: &str, message: &[u8], additional: &[u8]) -> Option<Secret32> {
    open(secret, label, message, 0, additional)?.to_32()
}

fn cipher(secret: &Secret32, label: &str, nonce: &[u8]) -> Aes256Gcm {
    let derived = derive(secret, label, nonce);
    Aes256Gcm::new((&*derived).into())
}

fn to_iv(bytes: &[u8]) -> Nonce<aes_gcm::aead::consts::U12> {
    Nonce::try_from(bytes).expect("twelve bytes")
}
