//! Algorithms by the names that envelopes have for them, and the commitment policies.

use std::fmt;

/// The longest plain body that AES-GCM seals under one key and nonce: 2³⁹ − 256 bits (NIST SP 800-38D, 5.2.1.1).
pub const MAX_PLAIN_LEN: u64 = (1 << 36) - 32;
/// The length of the tag behind a sealed body, in bytes.
pub const TAG_LEN: usize = 16;
/// The length of data keys, in bytes.
pub const KEY_LEN: usize = 32;
/// The length of a commitment and of a message id, in bytes.
pub const COMMITMENT_LEN: usize = 28;

/// How a body is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ContentSuite {
    /// AES-256-GCM under a key that HKDF-SHA-512 derives and the envelope commits to (0x0073): format V3.
    Aes256GcmHkdfSha512CommitKey,
    /// AES-256-GCM under the data key itself (0x0072): format V2. No commitment: a body can be made that opens under two keys.
    Aes256Gcm,
    /// AES-256-CBC (0x0070): formats V1 and V2. It authenticates nothing; it can be read where that is asked for, never written.
    Aes256Cbc,
}

impl ContentSuite {
    /// What an envelope calls it: `x-amz-c` of V3, `x-amz-cek-alg` before.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aes256GcmHkdfSha512CommitKey => "115",
            Self::Aes256Gcm => "AES/GCM/NoPadding",
            Self::Aes256Cbc => "AES/CBC/PKCS5Padding",
        }
    }

    /// Does the envelope say which key the body was sealed with?
    pub fn commits(self) -> bool {
        self == Self::Aes256GcmHkdfSha512CommitKey
    }

    /// Is a changed body noticed?
    pub fn authenticates(self) -> bool {
        self != Self::Aes256Cbc
    }
}

impl fmt::Display for ContentSuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Aes256GcmHkdfSha512CommitKey => "AES-256-GCM-HKDF-SHA512-COMMIT-KEY",
            Self::Aes256Gcm => "AES-256-GCM",
            Self::Aes256Cbc => "AES-256-CBC",
        })
    }
}

/// How a data key is wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WrapAlgorithm {
    /// A KMS key, with an encryption context that names the content algorithm.
    KmsContext,
    /// A KMS key, with a context that names only the key. Legacy: nothing ties it to the content algorithm.
    Kms,
    /// AES-256-GCM under the caller's key.
    AesGcm,
    /// RSA with OAEP of SHA-1, under the caller's key pair.
    RsaOaepSha1,
}

impl WrapAlgorithm {
    /// What envelopes before V3 call it (`x-amz-wrap-alg`).
    pub fn name(self) -> &'static str {
        match self {
            Self::KmsContext => "kms+context",
            Self::Kms => "kms",
            Self::AesGcm => "AES/GCM",
            Self::RsaOaepSha1 => "RSA-OAEP-SHA1",
        }
    }

    /// What V3 calls it (`x-amz-w`); it has no legacy ones.
    pub fn code(self) -> Option<&'static str> {
        match self {
            Self::KmsContext => Some("12"),
            Self::AesGcm => Some("02"),
            Self::RsaOaepSha1 => Some("22"),
            Self::Kms => None,
        }
    }

    pub(crate) fn of_name(name: &str) -> Option<Self> {
        [Self::KmsContext, Self::Kms, Self::AesGcm, Self::RsaOaepSha1]
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
    }

    pub(crate) fn of_code(code: &str) -> Option<Self> {
        [Self::KmsContext, Self::AesGcm, Self::RsaOaepSha1]
            .into_iter()
            .find(|algorithm| algorithm.code() == Some(code))
    }

    /// Is it done by a KMS?
    pub fn is_kms(self) -> bool {
        matches!(self, Self::KmsContext | Self::Kms)
    }
}

impl fmt::Display for WrapAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether bodies must commit to their keys, by the names of AWS's clients.
/// <https://docs.aws.amazon.com/amazon-s3-encryption-client/latest/developerguide/concepts.html>
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum CommitmentPolicy {
    /// Seal without commitment, open both: for as long as some reader does not know V3.
    ForbidEncryptAllowDecrypt,
    /// Seal with commitment, open both: for as long as older objects are there.
    RequireEncryptAllowDecrypt,
    /// Seal with commitment, and open nothing without.
    #[default]
    RequireEncryptRequireDecrypt,
}

impl CommitmentPolicy {
    pub(crate) fn allows_sealing_with(self, suite: ContentSuite) -> bool {
        suite.commits() == (self != Self::ForbidEncryptAllowDecrypt)
    }

    pub(crate) fn allows_opening(self, suite: ContentSuite) -> bool {
        suite.commits() || self != Self::RequireEncryptRequireDecrypt
    }
}

impl fmt::Display for CommitmentPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
