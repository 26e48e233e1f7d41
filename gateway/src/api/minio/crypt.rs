//! How MinIO's clients and servers hide bodies from whoever is between them: under the caller's secret access key.
//!
//! ```text
//! body     = salt (32) ‖ cipher (1) ‖ nonce (8) ‖ fragment…
//! fragment = AEAD( at most 16 KiB; nonce ‖ number as u32 little-endian from 1; AAD: 0x80 for the last, else 0x00, ‖ tag₀ )
//! tag₀     = AEAD( nothing; nonce ‖ 0 )
//! ```

use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::pbkdf2;
use zeroize::Zeroizing;

const SALT_LEN: usize = 32;
const NONCE_LEN: usize = 8;
const HEADER_LEN: usize = SALT_LEN + 1 + NONCE_LEN;
const FRAGMENT_LEN: usize = 16 << 10;
const TAG_LEN: usize = 16;
const MEMORY_KIB: u32 = 64 << 10;
const PASSES: u32 = 1;
const LANES: u32 = 4;
const ITERATIONS: std::num::NonZeroU32 = std::num::NonZeroU32::new(8192).expect("it is not zero");

/// Why a body can't be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum CryptError {
    /// It is too short, or of a cipher that is not known.
    #[error("the body is not encrypted as MinIO's clients do")]
    Format,
    /// It was made with another secret, or changed.
    #[error("the body does not open with the caller's secret key")]
    Opening,
}

/// What a body says of its cipher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    salt: [u8; SALT_LEN],
    /// Argon2id and AES-256-GCM (0), Argon2id and ChaCha20-Poly1305 (1), PBKDF2 and AES-256-GCM (2).
    cipher: u8,
    nonce: [u8; NONCE_LEN],
}

/// The key of one body.
pub(super) struct BodyKey(Zeroizing<[u8; 32]>);

impl Header {
    /// Of a body to be made.
    pub(super) fn new() -> Self {
        let (mut salt, mut nonce) = ([0; SALT_LEN], [0; NONCE_LEN]);
        for random in [&mut salt[..], &mut nonce[..]] {
            getrandom::fill(random).expect("the operating system gives random bytes");
        }
        Self { salt, cipher: 0, nonce }
    }

    /// Of a body that came, and its fragments.
    pub(super) fn read(body: &[u8]) -> Result<(Self, &[u8]), CryptError> {
        let (header, fragments) = body.split_at_checked(HEADER_LEN).ok_or(CryptError::Format)?;
        let (salt, rest) = header.split_first_chunk().ok_or(CryptError::Format)?;
        let (&cipher, nonce) = rest.split_first().ok_or(CryptError::Format)?;
        let nonce = nonce.try_into().map_err(|_| CryptError::Format)?;
        match cipher {
            0..=2 => Ok((Self { salt: *salt, cipher, nonce }, fragments)),
            _ => Err(CryptError::Format),
        }
    }

    /// The key; it takes 64 MiB and some milliseconds.
    pub(super) fn derive(&self, secret: &str) -> BodyKey {
        let mut derived = Zeroizing::new([0; 32]);
        if self.cipher == 2 {
            let algorithm = pbkdf2::PBKDF2_HMAC_SHA256;
            pbkdf2::derive(algorithm, ITERATIONS, &self.salt, secret.as_bytes(), &mut derived[..]);
        } else {
            let params =
                argon2::Params::new(MEMORY_KIB, PASSES, LANES, None).expect("the costs are in range");
            argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params)
                .hash_password_into(secret.as_bytes(), &self.salt, &mut derived[..])
                .expect("salt and length are in range");
        }
        BodyKey(derived)
    }

    fn stream(&self, body_key: &BodyKey) -> Stream {
        let algorithm = if self.cipher == 1 { &aead::CHACHA20_POLY1305 } else { &aead::AES_256_GCM };
        let unbound = UnboundKey::new(algorithm, &body_key.0[..]).expect("the key has the cipher's length");
        let mut stream =
            Stream { aead: LessSafeKey::new(unbound), nonce: self.nonce, additional: [0; 1 + TAG_LEN] };
        let mut nothing = [0_u8; 0];
        let tag = stream
            .aead
            .seal_in_place_separate_tag(stream.nonce(0), Aad::empty(), &mut nothing)
            .expect("nothing is short enough");
        stream.additional[1..].copy_from_slice(tag.as_ref());
        stream
    }
}

struct Stream {
    aead: LessSafeKey,
    nonce: [u8; NONCE_LEN],
    additional: [u8; 1 + TAG_LEN],
}

impl Stream {
    fn nonce(&self, number: u32) -> Nonce {
        let mut nonce = [0; NONCE_LEN + 4];
        nonce[..NONCE_LEN].copy_from_slice(&self.nonce);
        nonce[NONCE_LEN..].copy_from_slice(&number.to_le_bytes());
        Nonce::assume_unique_for_key(nonce)
    }

    fn additional(&self, is_last: bool) -> Aad<[u8; 1 + TAG_LEN]> {
        let mut additional = self.additional;
        additional[0] = if is_last { 0x80 } else { 0 };
        Aad::from(additional)
    }
}

/// A whole body.
pub(super) fn seal(header: &Header, body_key: &BodyKey, plain: &[u8]) -> Vec<u8> {
    let stream = header.stream(body_key);
    let mut body = [&header.salt[..], &[header.cipher], &header.nonce].concat();
    let count = plain.len().div_ceil(FRAGMENT_LEN).max(1);
    for at in 0..count {
        let end = plain.len().min((at + 1) * FRAGMENT_LEN);
        let mut fragment = plain[at * FRAGMENT_LEN..end].to_vec();
        let number = u32::try_from(at + 1).expect("an answer is no terabyte");
        stream
            .aead
            .seal_in_place_append_tag(stream.nonce(number), stream.additional(at + 1 == count), &mut fragment)
            .expect("a fragment is short enough");
        body.append(&mut fragment);
    }
    body
}

/// What is in the fragments of a body.
pub(super) fn open(
    header: &Header,
    body_key: &BodyKey,
    fragments: &[u8],
) -> Result<Zeroizing<Vec<u8>>, CryptError> {
    let stream = header.stream(body_key);
    let mut plain = Zeroizing::new(Vec::with_capacity(fragments.len()));
    let count = fragments.len().div_ceil(FRAGMENT_LEN + TAG_LEN);
    if count == 0 {
        return Err(CryptError::Format);
    }
    for (at, fragment) in fragments.chunks(FRAGMENT_LEN + TAG_LEN).enumerate() {
        let number = u32::try_from(at + 1).map_err(|_| CryptError::Format)?;
        let mut opened = Zeroizing::new(fragment.to_vec());
        let opened = stream
            .aead
            .open_in_place(stream.nonce(number), stream.additional(at + 1 == count), &mut opened[..])
            .map_err(|_| CryptError::Opening)?;
        plain.extend_from_slice(opened);
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    const PLAIN: &[u8] = br#"{"secretKey":"abcdefgh","status":"enabled"}"#;

    fn header(cipher: u8) -> Header {
        let (mut salt, mut nonce) = ([0; SALT_LEN], [0; NONCE_LEN]);
        salt.iter_mut().zip(0..).for_each(|(byte, number)| *byte = number);
        nonce.iter_mut().zip(100..).for_each(|(byte, number)| *byte = number);
        Header { salt, cipher, nonce }
    }

    /// Made by minio-py 7.2.20; the third by its parts and hashlib.
    #[test]
    fn bodies_of_another_program() {
        for (cipher, fragment) in [
            (
                0,
                "d425d2f3aa2c6d87b95c08d991708e8f05d135267c86879315f0cb13bc6db85a15f8878ed2c01b3793a7468e49bcb7b19d34de11367fd0796261fb",
            ),
            (
                1,
                "4738ff7d28c8d13bb651f06512acc33227c0aa725e7db9863425b765ab6c298e13ee846a5de834dbe1de352222ccdef28443276954a9331099810e",
            ),
            (
                2,
                "1812f17e0dc24c6a99d032ac7b38d968e724d0eef55704af6681f18b4d3387c94e5cfe3344c19dcd554afddc4b19f1fef390a319e25bf0dc9bdc95",
            ),
        ] {
            let header = header(cipher);
            let body_key = header.derive(SECRET);
            let body = seal(&header, &body_key, PLAIN);
            assert_eq!(hex::encode(&body[HEADER_LEN..]), fragment);
            let (read, fragments) = Header::read(&body).unwrap();
            assert_eq!(read, header);
            assert_eq!(open(&read, &body_key, fragments).unwrap()[..], *PLAIN);
            assert!(open(&read, &read.derive("another"), fragments).is_err());
        }
        let header = header(0);
        let body_key = header.derive(SECRET);
        assert_eq!(
            hex::encode(&seal(&header, &body_key, b"")[HEADER_LEN..]),
            "a02e6f657576c3c928c7a8fd64332c14"
        );
        let long: Vec<u8> = (0..40_000).map(|i| (i % 251) as u8).collect();
        for (len, hash) in [
            (40_000, "fe12441edbbaad43cfaee40f7fbb6cbeee0efcf6561a8488f3fba0848749aed9"),
            (32_768, "1947811bd44b66b6ed352483c742f5a6c8336793ff8ad8f109b18b192e4f957e"),
        ] {
            let body = seal(&header, &body_key, &long[..len]);
            assert_eq!(hex::encode(Sha256::digest(&body)), hash);
            assert_eq!(open(&header, &body_key, &body[HEADER_LEN..]).unwrap()[..], long[..len]);
        }
    }

    #[test]
    fn what_is_no_body() {
        let header = header(0);
        let body_key = header.derive(SECRET);
        let body = seal(&header, &body_key, &[7; 20_000]);
        let fragments = &body[HEADER_LEN..];
        // Cut off between fragments, in one, changed, out of order.
        let swapped = [&fragments[FRAGMENT_LEN + TAG_LEN..], &fragments[..FRAGMENT_LEN + TAG_LEN]].concat();
        let mut changed = fragments.to_vec();
        changed[5] ^= 1;
        for bad in [&fragments[..FRAGMENT_LEN + TAG_LEN], &fragments[..9], &swapped, &changed, &[]] {
            assert!(open(&header, &body_key, bad).is_err());
        }
        assert_eq!(Header::read(&body[..HEADER_LEN - 1]), Err(CryptError::Format));
        let mut unknown = body.clone();
        unknown[SALT_LEN] = 3;
        assert_eq!(Header::read(&unknown), Err(CryptError::Format));
    }
}
