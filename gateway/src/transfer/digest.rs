//! Checksums: the ten algorithms of S3's model, and MD5 for ETags.

use crc_fast::{CrcAlgorithm, checksum_combine};
use http::HeaderName;
use sha2::Digest as _;
use xxhash_rust::xxh3::Xxh3Default;
use xxhash_rust::xxh64::Xxh64;

use super::md5::Md5;
use crate::http::header;

/// A checksum algorithm of S3's model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChecksumAlgorithm {
    /// CRC-32 (IEEE).
    Crc32,
    /// CRC-32C (Castagnoli).
    Crc32c,
    /// CRC-64/NVME.
    Crc64Nvme,
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
    /// MD5.
    Md5,
    /// XXH64.
    Xxhash64,
    /// XXH3, 64 bits.
    Xxhash3,
    /// XXH3, 128 bits.
    Xxhash128,
}

impl ChecksumAlgorithm {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Crc32,
        Self::Crc32c,
        Self::Crc64Nvme,
        Self::Sha1,
        Self::Sha256,
        Self::Sha512,
        Self::Md5,
        Self::Xxhash64,
        Self::Xxhash3,
        Self::Xxhash128,
    ];

    /// Its name on the wire (`CRC64NVME`, …), as in `x-amz-checksum-algorithm` and XML.
    pub fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
            Self::Sha512 => "SHA512",
            Self::Md5 => "MD5",
            Self::Xxhash64 => "XXHASH64",
            Self::Xxhash3 => "XXHASH3",
            Self::Xxhash128 => "XXHASH128",
        }
    }

    /// The algorithm of this name, case-insensitively.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.name().eq_ignore_ascii_case(name))
    }

    /// Its header: `x-amz-checksum-crc64nvme`, …
    pub fn header(self) -> HeaderName {
        match self {
            Self::Crc32 => header::CHECKSUM_CRC32,
            Self::Crc32c => header::CHECKSUM_CRC32C,
            Self::Crc64Nvme => header::CHECKSUM_CRC64NVME,
            Self::Sha1 => header::CHECKSUM_SHA1,
            Self::Sha256 => header::CHECKSUM_SHA256,
            Self::Sha512 => header::CHECKSUM_SHA512,
            Self::Md5 => header::CHECKSUM_MD5,
            Self::Xxhash64 => header::CHECKSUM_XXHASH64,
            Self::Xxhash3 => header::CHECKSUM_XXHASH3,
            Self::Xxhash128 => header::CHECKSUM_XXHASH128,
        }
    }

    /// Bytes of its value.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme | Self::Xxhash64 | Self::Xxhash3 => 8,
            Self::Md5 | Self::Xxhash128 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    /// May a multipart object have it as FULL_OBJECT, combined from its parts? (The CRCs.)
    pub fn combines(self) -> bool {
        self.crc().is_some()
    }

    /// Can a multipart object have it as FULL_OBJECT only?
    pub fn is_full_object_alone(self) -> bool {
        self == Self::Crc64Nvme
    }

    fn crc(self) -> Option<CrcAlgorithm> {
        match self {
            Self::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
            Self::Crc32c => Some(CrcAlgorithm::Crc32Iscsi),
            Self::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
            _ => None,
        }
    }
}

/// Computes one checksum.
pub struct Hasher(State);

// Boxed where a state is large, so that a Hasher moves cheaply.
enum State {
    Crc(crc_fast::Digest, usize),
    Sha1(sha1::Sha1),
    Sha256(sha2::Sha256),
    Sha512(Box<sha2::Sha512>),
    Md5(Md5),
    Xxhash64(Box<Xxh64>),
    Xxhash3(Box<Xxh3Default>),
    Xxhash128(Box<Xxh3Default>),
}

impl Hasher {
    /// Begins.
    pub fn new(algorithm: ChecksumAlgorithm) -> Self {
        use ChecksumAlgorithm as A;
        Self(match algorithm {
            A::Crc32 => State::Crc(crc_fast::Digest::new(CrcAlgorithm::Crc32IsoHdlc), 4),
            A::Crc32c => State::Crc(crc_fast::Digest::new(CrcAlgorithm::Crc32Iscsi), 4),
            A::Crc64Nvme => State::Crc(crc_fast::Digest::new(CrcAlgorithm::Crc64Nvme), 8),
            A::Sha1 => State::Sha1(sha1::Sha1::new()),
            A::Sha256 => State::Sha256(sha2::Sha256::new()),
            A::Sha512 => State::Sha512(Box::default()),
            A::Md5 => State::Md5(Md5::default()),
            A::Xxhash64 => State::Xxhash64(Box::new(Xxh64::new(0))),
            A::Xxhash3 => State::Xxhash3(Box::new(Xxh3Default::new())),
            A::Xxhash128 => State::Xxhash128(Box::new(Xxh3Default::new())),
        })
    }

    /// Are there gigabytes of it in a second?
    pub fn is_fast(&self) -> bool {
        matches!(self.0, State::Crc(..) | State::Xxhash64(_) | State::Xxhash3(_) | State::Xxhash128(_))
    }

    /// Takes the next bytes.
    pub fn update(&mut self, data: &[u8]) {
        match &mut self.0 {
            State::Crc(digest, _) => digest.update(data),
            State::Sha1(digest) => digest.update(data),
            State::Sha256(digest) => digest.update(data),
            State::Sha512(digest) => digest.update(data),
            State::Md5(digest) => digest.update(data),
            State::Xxhash64(digest) => digest.update(data),
            State::Xxhash3(digest) | State::Xxhash128(digest) => digest.update(data),
        }
    }

    /// The value, big-endian as on the wire before base64.
    pub fn finish(self) -> Vec<u8> {
        match self.0 {
            State::Crc(digest, len) => digest.finalize().to_be_bytes()[8 - len..].to_vec(),
            State::Sha1(digest) => digest.finalize().to_vec(),
            State::Sha256(digest) => digest.finalize().to_vec(),
            State::Sha512(digest) => digest.finalize().to_vec(),
            State::Md5(digest) => digest.finish().to_vec(),
            State::Xxhash64(digest) => digest.digest().to_be_bytes().to_vec(),
            State::Xxhash3(digest) => digest.digest().to_be_bytes().to_vec(),
            State::Xxhash128(digest) => digest.digest128().to_be_bytes().to_vec(),
        }
    }
}

/// The value of `data`.
pub fn checksum(algorithm: ChecksumAlgorithm, data: &[u8]) -> Vec<u8> {
    let mut hasher = Hasher::new(algorithm);
    hasher.update(data);
    hasher.finish()
}

/// The FULL_OBJECT checksum of parts laid end to end: each part's value and plain length, in order.
/// `None` if the algorithm does not combine or a value has the wrong length.
pub fn combine(algorithm: ChecksumAlgorithm, parts: &[(Vec<u8>, u64)]) -> Option<Vec<u8>> {
    let crc = algorithm.crc()?;
    let len = algorithm.len();
    // The CRC of no bytes is 0 in all three, and combining it with a part gives the part's own.
    let mut total = 0;
    for (value, plain_len) in parts {
        if value.len() != len {
            return None;
        }
        let value = value.iter().fold(0, |number, &byte| number << 8 | u64::from(byte));
        total = checksum_combine(crc, total, value, *plain_len);
    }
    Some(total.to_be_bytes()[8 - len..].to_vec())
}

/// The COMPOSITE checksum of parts: the algorithm over their values laid end to end. On the wire `-` and the number of parts follow.
pub fn composite<'a>(algorithm: ChecksumAlgorithm, values: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut hasher = Hasher::new(algorithm);
    for value in values {
        hasher.update(value);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Of "123456789": CRCs from the catalogue of parametrised CRC algorithms, hashes from coreutils and python-xxhash.
    const KNOWN: [(ChecksumAlgorithm, &str); 10] = [
        (ChecksumAlgorithm::Crc32, "cbf43926"),
        (ChecksumAlgorithm::Crc32c, "e3069283"),
        (ChecksumAlgorithm::Crc64Nvme, "ae8b14860a799888"),
        (ChecksumAlgorithm::Sha1, "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
        (ChecksumAlgorithm::Sha256, "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"),
        (
            ChecksumAlgorithm::Sha512,
            "d9e6762dd1c8eaf6d61b3c6192fc408d4d6d5f1176d0c29169bc24e71c3f274a\
             d27fcd5811b313d681f7e55ec02d73d499c95455b6b5bb503acf574fba8ffe85",
        ),
        (ChecksumAlgorithm::Md5, "25f9e794323b453885f5181f1b624d0b"),
        (ChecksumAlgorithm::Xxhash64, "8cb841db40e6ae83"),
        (ChecksumAlgorithm::Xxhash3, "72dcb18b67a17dff"),
        (ChecksumAlgorithm::Xxhash128, "33119477ede5dcd5e9716427681d5860"),
    ];

    #[test]
    fn known_answers() {
        for (algorithm, expected) in KNOWN {
            assert_eq!(hex::encode(checksum(algorithm, b"123456789")), expected, "{}", algorithm.name());
            assert_eq!(expected.len(), 2 * algorithm.len());
        }
    }

    #[test]
    fn names_and_headers_agree() {
        for algorithm in ChecksumAlgorithm::ALL {
            assert_eq!(ChecksumAlgorithm::parse(&algorithm.name().to_lowercase()), Some(algorithm));
            assert!(algorithm.header().as_str().ends_with(&algorithm.name().to_lowercase()));
        }
        assert_eq!(ChecksumAlgorithm::parse("CRC16"), None);
    }

    #[test]
    fn combine_refuses_what_does_not_combine() {
        assert_eq!(combine(ChecksumAlgorithm::Sha256, &[(vec![0; 32], 1)]), None);
        assert_eq!(combine(ChecksumAlgorithm::Crc32, &[(vec![0; 8], 1)]), None);
    }

    #[test]
    fn composite_hashes_the_values() {
        let parts = [checksum(ChecksumAlgorithm::Sha256, b"a"), checksum(ChecksumAlgorithm::Sha256, b"b")];
        let value = composite(ChecksumAlgorithm::Sha256, parts.iter().map(Vec::as_slice));
        assert_eq!(value, checksum(ChecksumAlgorithm::Sha256, &parts.concat()));
    }

    proptest! {
        #[test]
        fn combined_is_whole(data in proptest::collection::vec(any::<u8>(), 0..5000), cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..5)) {
            let mut cuts: Vec<usize> = cuts.iter().map(|i| i.index(data.len() + 1)).collect();
            cuts.extend([0, data.len()]);
            cuts.sort_unstable();
            for algorithm in ChecksumAlgorithm::ALL.into_iter().filter(|a| a.combines()) {
                let parts: Vec<_> = cuts.windows(2).map(|w| &data[w[0]..w[1]]).map(|part| (checksum(algorithm, part), part.len() as u64)).collect();
                prop_assert_eq!(combine(algorithm, &parts).unwrap(), checksum(algorithm, &data));
            }
        }

        #[test]
        fn pieces_do_not_matter(data in proptest::collection::vec(any::<u8>(), 0..3000), cut in any::<prop::sample::Index>()) {
            let cut = cut.index(data.len() + 1);
            for algorithm in ChecksumAlgorithm::ALL {
                let mut hasher = Hasher::new(algorithm);
                hasher.update(&data[..cut]);
                hasher.update(&data[cut..]);
                prop_assert_eq!(hasher.finish(), checksum(algorithm, &data));
            }
        }
    }
}
