//! Envelopes as they are written.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Envelope, Metadata, Nonces, Version, Wrapping, names};
use crate::description::ascii_json;
use crate::error::EnvelopeError;

/// Where the key goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Placement {
    /// Into the object's metadata: one request, one commit.
    #[default]
    Metadata,
    /// Into an instruction file beside the object, which can be rewrapped without moving the body. Two requests: who writes an object
    /// that another writes at the same time can lose it.
    InstructionFile,
}

/// The metadata entry that instruction files have, with an empty value.
pub const INSTRUCTION_FILE_METADATA: &str = names::INSTRUCTION_FILE;

/// An envelope in the form that it is stored in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// Entries of the object's metadata.
    pub metadata: Metadata,
    /// The instruction file, if there is one.
    pub instruction_file: Option<String>,
}

impl Envelope {
    /// The envelope in the form that it is stored in.
    ///
    /// # Errors
    /// When it is of a format, or of an algorithm, that is only read.
    pub fn to_parts(&self, placement: Placement) -> Result<Parts, EnvelopeError> {
        let mut entries = match self.version {
            Version::V1 => return Err(EnvelopeError::Unwritable("its format V1 is only read")),
            Version::V2 => self.entries_v2()?,
            Version::V3 => self.entries_v3()?,
        };
        let named = |entries: BTreeMap<&str, String>| -> Metadata {
            entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
        };
        if placement == Placement::Metadata {
            return Ok(Parts { metadata: named(entries), instruction_file: None });
        }
        let mut content = BTreeMap::new();
        for name in names::CONTENT_V3 {
            content.extend(entries.remove_entry(name));
        }
        let file = ascii_json(&named(entries));
        Ok(Parts { metadata: named(content), instruction_file: Some(file) })
    }

    fn entries_v2(&self) -> Result<BTreeMap<&'static str, String>, EnvelopeError> {
        let (Nonces::Gcm(_) | Nonces::Cbc(_)) = self.nonces else {
            return Err(EnvelopeError::Unwritable("V2 has no message id"));
        };
        let mut entries = BTreeMap::from([
            (names::KEY_V2, STANDARD.encode(&self.wrapped_key.ciphertext)),
            (names::SUITE, self.suite.name().to_owned()),
            (names::WRAP, self.wrapped_key.wrapping.to_string()),
            (names::DESCRIPTION, self.wrapped_key.description.to_json()),
        ]);
        match self.nonces {
            Nonces::Gcm(nonce) => {
                entries.insert(names::IV, STANDARD.encode(nonce));
                entries.insert(names::TAG_LEN, "128".to_owned());
            }
            Nonces::Cbc(iv) => {
                entries.insert(names::IV, STANDARD.encode(iv));
            }
            Nonces::MessageId(_) => {}
        }
        entries.extend(self.claimed_plain_len.map(|len| (names::PLAIN_LEN, len.to_string())));
        Ok(entries)
    }

    fn entries_v3(&self) -> Result<BTreeMap<&'static str, String>, EnvelopeError> {
        let (Nonces::MessageId(message_id), Some(commitment)) = (self.nonces, self.commitment) else {
            return Err(EnvelopeError::Unwritable("V3 has a message id and a commitment"));
        };
        let Wrapping::Known(algorithm) = self.wrapped_key.wrapping else {
            return Err(EnvelopeError::Unwritable("V3 has no name for the way that the key is wrapped"));
        };
        let code = algorithm.code();
        let code = code.ok_or(EnvelopeError::Unwritable("V3 has no legacy ways of wrapping"))?;
        let mut entries = BTreeMap::from([
            (names::KEY_V3, STANDARD.encode(&self.wrapped_key.ciphertext)),
            (names::SUITE_V3, self.suite.name().to_owned()),
            (names::WRAP_V3, code.to_owned()),
            (names::COMMITMENT, STANDARD.encode(commitment)),
            (names::MESSAGE_ID, STANDARD.encode(message_id)),
        ]);
        let description = &self.wrapped_key.description;
        if !description.is_empty() {
            let name = if algorithm.is_kms() { names::CONTEXT_V3 } else { names::DESCRIPTION_V3 };
            entries.insert(name, description.to_json());
        }
        Ok(entries)
    }
}

/// Refuses metadata of a caller that would be taken for an envelope.
#[cfg(any(feature = "aws-sdk-s3", feature = "object-store", feature = "object-store-0-13"))]
pub(crate) fn without_reserved<'a>(mut metadata: impl Iterator<Item = &'a str>) -> Result<(), EnvelopeError> {
    match metadata.find(|name| is_reserved(name)) {
        Some(name) => Err(EnvelopeError::Reserved(name.to_owned())),
        None => Ok(()),
    }
}

/// Is it the name of an envelope's entry?
#[cfg(any(feature = "aws-sdk-s3", feature = "object-store", feature = "object-store-0-13"))]
pub(crate) fn is_reserved(name: &str) -> bool {
    names::ALL.iter().any(|known| name.eq_ignore_ascii_case(known))
}
