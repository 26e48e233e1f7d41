//! Envelopes: what stands beside a sealed body, in the object's metadata or in an instruction file.
//! <https://github.com/aws/amazon-s3-encryption-client-java> and its specification tell the same.

mod instruction;
pub(crate) mod names;
mod write;

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

pub use self::instruction::{INSTRUCTION_FILE_SUFFIX, MAX_INSTRUCTION_FILE_LEN, Partial};
pub use self::write::{INSTRUCTION_FILE_METADATA, Parts, Placement};
#[cfg(any(feature = "aws-sdk-s3", feature = "object-store", feature = "object-store-0-13"))]
pub(crate) use self::write::{is_reserved, without_reserved};
use crate::description::Description;
use crate::error::EnvelopeError;
use crate::suite::{COMMITMENT_LEN, ContentSuite, WrapAlgorithm};

/// User metadata, by names without `x-amz-meta-`.
pub type Metadata = BTreeMap<String, String>;

/// The longest wrapped key that is read, in bytes: an RSA key of 16,384 bits makes 2048, and a KMS at most 6144.
const MAX_WRAPPED_LEN: usize = 6144;

/// The format of an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// `x-amz-key`: AES-CBC. Only read.
    V1,
    /// `x-amz-key-v2`.
    V2,
    /// `x-amz-3`: with key commitment.
    V3,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What a body is sealed with beside its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Nonces {
    /// What the body's own key is derived with.
    MessageId([u8; COMMITMENT_LEN]),
    /// The nonce of AES-GCM.
    Gcm([u8; 12]),
    /// The first block of AES-CBC.
    Cbc([u8; 16]),
}

/// How a wrapped data key was wrapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrapping {
    /// One of those that keyrings know.
    Known(WrapAlgorithm),
    /// Another; no keyring here opens it. `AES` and `RSA` where V1 does not say.
    Other(String),
}

impl fmt::Display for Wrapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(algorithm) => algorithm.fmt(f),
            Self::Other(name) => f.write_str(name),
        }
    }
}

/// A wrapped data key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrappedKey {
    /// How it was wrapped.
    pub wrapping: Wrapping,
    /// The wrapped bytes.
    pub ciphertext: Vec<u8>,
    /// The encryption context that a KMS key was used with, or the materials description of another key.
    pub description: Description,
}

/// Everything about a sealed body that is no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    pub(crate) version: Version,
    pub(crate) suite: ContentSuite,
    pub(crate) nonces: Nonces,
    pub(crate) commitment: Option<[u8; COMMITMENT_LEN]>,
    pub(crate) wrapped_key: WrappedKey,
    /// As the client said that wrote it; nothing protects it.
    pub(crate) claimed_plain_len: Option<u64>,
}

/// What an object's metadata has of its envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Located {
    /// All of it.
    Whole(Box<Envelope>),
    /// None of the key: it is in an instruction file, or the object is not encrypted.
    Partial(Partial),
}

impl Envelope {
    /// Reads the envelope in an object's metadata. Names are compared without regard to case.
    ///
    /// # Errors
    /// When there is one that is malformed or contradicts itself.
    pub fn locate(metadata: &Metadata) -> Result<Located, EnvelopeError> {
        Entries::of(metadata)?.locate()
    }

    /// The format.
    pub fn version(&self) -> Version {
        self.version
    }

    /// How the body is sealed.
    pub fn suite(&self) -> ContentSuite {
        self.suite
    }

    /// The wrapped data key.
    pub fn wrapped_key(&self) -> &WrappedKey {
        &self.wrapped_key
    }

    /// The same body's envelope with the same data key, wrapped anew.
    pub(crate) fn rewrapped(&self, wrapped_key: WrappedKey) -> Self {
        Self { wrapped_key, ..self.clone() }
    }

    /// How long the plain body is, of a sealed one of this length in bytes; `None` where only the body itself tells.
    pub fn plain_len(&self, sealed_len: u64) -> Option<u64> {
        if self.suite.authenticates() {
            crate::content::plain_len(sealed_len)
        } else {
            self.claimed_plain_len
        }
    }
}

/// The entries that belong to an envelope.
pub(crate) struct Entries(BTreeMap<&'static str, String>);

impl Entries {
    fn of(metadata: &Metadata) -> Result<Self, EnvelopeError> {
        let mut entries = BTreeMap::new();
        for (name, value) in metadata {
            let Some(known) = names::ALL.into_iter().find(|known| name.eq_ignore_ascii_case(known)) else {
                continue;
            };
            if entries.insert(known, value.clone()).is_some() {
                return Err(EnvelopeError::Twice(known.to_owned()));
            }
        }
        Ok(Self(entries))
    }

    fn get(&self, name: &'static str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn required(&self, name: &'static str) -> Result<&str, EnvelopeError> {
        self.get(name).ok_or(EnvelopeError::Missing(name))
    }

    /// None of these may stand beside `name`.
    fn exclude(&self, name: &'static str, others: &[&'static str]) -> Result<(), EnvelopeError> {
        match others.iter().find(|other| self.0.contains_key(*other)) {
            Some(other) => Err(EnvelopeError::Exclusive(name, other)),
            None => Ok(()),
        }
    }

    fn locate(&self) -> Result<Located, EnvelopeError> {
        let whole = |envelope| Ok(Located::Whole(Box::new(envelope)));
        match (self.get(names::KEY_V1), self.get(names::KEY_V2), self.get(names::KEY_V3)) {
            (Some(_), Some(_), _) => Err(EnvelopeError::Exclusive(names::KEY_V1, names::KEY_V2)),
            (Some(_), _, Some(_)) => Err(EnvelopeError::Exclusive(names::KEY_V1, names::KEY_V3)),
            (_, Some(_), Some(_)) => Err(EnvelopeError::Exclusive(names::KEY_V2, names::KEY_V3)),
            (Some(_), None, None) => whole(self.v1()?),
            (None, Some(_), None) => whole(self.v2()?),
            (None, None, Some(_)) => whole(self.v3()?),
            (None, None, None) => self.partial().map(Located::Partial),
        }
    }

    /// What is there without a key: nothing, or what V3 keeps with the object.
    fn partial(&self) -> Result<Partial, EnvelopeError> {
        let has = |name: &&'static str| self.0.contains_key(*name);
        if let Some(stray) = names::BEFORE_V3.iter().find(|name| has(name)) {
            return Err(if names::CONTENT_V3.iter().any(has) {
                EnvelopeError::Exclusive(names::SUITE_V3, stray)
            } else {
                EnvelopeError::Missing(names::KEY_V2)
            });
        }
        if !names::ONLY_V3.iter().any(has) {
            return Ok(Partial { content: BTreeMap::new() });
        }
        let mut content = BTreeMap::new();
        for name in names::CONTENT_V3 {
            content.insert(name, self.required(name)?.to_owned());
        }
        // Ways of wrapping without the key that they wrapped.
        self.exclude(names::SUITE_V3, &[names::WRAP_V3, names::DESCRIPTION_V3, names::CONTEXT_V3])?;
        Ok(Partial { content })
    }

    fn v1(&self) -> Result<Envelope, EnvelopeError> {
        self.exclude(names::KEY_V1, &names::ONLY_V3)?;
        match self.get(names::SUITE) {
            None => {}
            Some(name) if name == ContentSuite::Aes256Cbc.name() => {}
            Some(name) => return Err(unknown(names::SUITE, name)),
        }
        self.required(names::DESCRIPTION)?;
        let ciphertext = wrapped(names::KEY_V1, self.required(names::KEY_V1)?)?;
        let wrapping = match self.get(names::WRAP) {
            Some(name) => wrapping_of(name),
            // Its readers tell the two by the length that they have.
            None => Wrapping::Other(if ciphertext.len() > 48 { "RSA" } else { "AES" }.to_owned()),
        };
        Ok(Envelope {
            version: Version::V1,
            suite: ContentSuite::Aes256Cbc,
            nonces: Nonces::Cbc(fixed(names::IV, self.required(names::IV)?)?),
            commitment: None,
            wrapped_key: WrappedKey { wrapping, ciphertext, description: self.description_v2()? },
            claimed_plain_len: self.claimed_plain_len()?,
        })
    }

    fn v2(&self) -> Result<Envelope, EnvelopeError> {
        self.exclude(names::KEY_V2, &names::ONLY_V3)?;
        let iv = self.required(names::IV)?;
        let (suite, nonces) = match self.required(names::SUITE)? {
            name if name == ContentSuite::Aes256Gcm.name() => {
                if self.required(names::TAG_LEN)? != "128" {
                    return Err(malformed(names::TAG_LEN, "it is not 128"));
                }
                (ContentSuite::Aes256Gcm, Nonces::Gcm(fixed(names::IV, iv)?))
            }
            name if name == ContentSuite::Aes256Cbc.name() => {
                (ContentSuite::Aes256Cbc, Nonces::Cbc(fixed(names::IV, iv)?))
            }
            name => return Err(unknown(names::SUITE, name)),
        };
        let wrapped_key = WrappedKey {
            wrapping: wrapping_of(self.required(names::WRAP)?),
            ciphertext: wrapped(names::KEY_V2, self.required(names::KEY_V2)?)?,
            description: self.description_v2()?,
        };
        let claimed_plain_len = self.claimed_plain_len()?;
        Ok(Envelope { version: Version::V2, suite, nonces, commitment: None, wrapped_key, claimed_plain_len })
    }

    fn v3(&self) -> Result<Envelope, EnvelopeError> {
        self.exclude(names::KEY_V3, &names::BEFORE_V3)?;
        let suite = ContentSuite::Aes256GcmHkdfSha512CommitKey;
        match self.required(names::SUITE_V3)? {
            name if name == suite.name() => {}
            name => return Err(unknown(names::SUITE_V3, name)),
        }
        let code = self.required(names::WRAP_V3)?;
        let algorithm = WrapAlgorithm::of_code(code).ok_or_else(|| unknown(names::WRAP_V3, code))?;
        let (described, other) = if algorithm.is_kms() {
            (names::CONTEXT_V3, names::DESCRIPTION_V3)
        } else {
            (names::DESCRIPTION_V3, names::CONTEXT_V3)
        };
        self.exclude(described, &[other])?;
        Ok(Envelope {
            version: Version::V3,
            suite,
            nonces: Nonces::MessageId(fixed(names::MESSAGE_ID, self.required(names::MESSAGE_ID)?)?),
            commitment: Some(fixed(names::COMMITMENT, self.required(names::COMMITMENT)?)?),
            wrapped_key: WrappedKey {
                wrapping: Wrapping::Known(algorithm),
                ciphertext: wrapped(names::KEY_V3, self.required(names::KEY_V3)?)?,
                description: self.description(described)?,
            },
            claimed_plain_len: None,
        })
    }

    fn description_v2(&self) -> Result<Description, EnvelopeError> {
        self.description(names::DESCRIPTION)
    }

    fn description(&self, name: &'static str) -> Result<Description, EnvelopeError> {
        let Some(value) = self.get(name) else { return Ok(Description::new()) };
        Description::from_metadata(value).ok_or(malformed(name, "it is no JSON object of strings"))
    }

    fn claimed_plain_len(&self) -> Result<Option<u64>, EnvelopeError> {
        let parsed = self.get(names::PLAIN_LEN).map(str::parse).transpose();
        parsed.map_err(|_| malformed(names::PLAIN_LEN, "it is no number"))
    }
}

fn wrapping_of(name: &str) -> Wrapping {
    WrapAlgorithm::of_name(name).map_or_else(|| Wrapping::Other(shortened(name)), Wrapping::Known)
}

fn shortened(value: &str) -> String {
    value.chars().take(64).collect()
}

fn unknown(name: &'static str, value: &str) -> EnvelopeError {
    EnvelopeError::UnknownAlgorithm { name, value: shortened(value) }
}

fn malformed(name: &'static str, why: &'static str) -> EnvelopeError {
    EnvelopeError::Malformed { name, why }
}

fn decoded(name: &'static str, value: &str) -> Result<Vec<u8>, EnvelopeError> {
    STANDARD.decode(value).map_err(|_| malformed(name, "it is no Base64"))
}

fn fixed<const LEN: usize>(name: &'static str, value: &str) -> Result<[u8; LEN], EnvelopeError> {
    decoded(name, value)?
        .try_into()
        .map_err(|_| malformed(name, "it has not the length that the algorithm needs"))
}

fn wrapped(name: &'static str, value: &str) -> Result<Vec<u8>, EnvelopeError> {
    match decoded(name, value)? {
        bytes if bytes.is_empty() => Err(malformed(name, "it is empty")),
        bytes if bytes.len() > MAX_WRAPPED_LEN => Err(malformed(name, "it is too long")),
        bytes => Ok(bytes),
    }
}

#[cfg(test)]
mod tests;
