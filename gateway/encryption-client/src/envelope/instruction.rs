//! Instruction files: objects beside the object, which hold its key. They can be exchanged without moving the body.

use std::collections::BTreeMap;

use super::{Entries, Envelope, Located, names};
use crate::description::StringMap;
use crate::error::{EnvelopeError, Error};

/// What the name of an object's instruction file ends with, unless somebody chose another suffix.
pub const INSTRUCTION_FILE_SUFFIX: &str = ".instruction";
/// The longest instruction file that is read, in bytes.
pub const MAX_INSTRUCTION_FILE_LEN: u64 = 64 << 10;

/// An object's envelope without its key, which is in an instruction file if it is anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partial {
    /// What V3 keeps with the object; empty before V3.
    pub(super) content: BTreeMap<&'static str, String>,
}

impl Partial {
    /// Does the object itself say that it is sealed? Before V3 only the instruction file says so.
    pub fn says_sealed(&self) -> bool {
        !self.content.is_empty()
    }

    /// The envelope, with what the instruction file has of it.
    ///
    /// # Errors
    /// When the file is malformed, or has what belongs to the object.
    pub fn complete(&self, file: &[u8]) -> Result<Envelope, Error> {
        let refuse = |why: String| EnvelopeError::InstructionFile(why);
        if file.len() as u64 > MAX_INSTRUCTION_FILE_LEN {
            return Err(refuse(format!("it is longer than {MAX_INSTRUCTION_FILE_LEN} bytes")).into());
        }
        let StringMap(map) = serde_json::from_slice(file)
            .map_err(|error| refuse(format!("it is no JSON object of strings: {error}")))?;
        if map.is_empty() {
            return Err(refuse("it is empty".to_owned()).into());
        }
        let mut entries = BTreeMap::new();
        for (name, value) in map {
            let Some(known) = names::ALL.into_iter().find(|known| *known == name) else {
                let name: String = name.chars().take(64).collect();
                return Err(refuse(format!("{name:?} does not belong into it")).into());
            };
            if names::CONTENT_V3.contains(&known) {
                return Err(refuse(format!("{known} belongs to the object, not into it")).into());
            }
            entries.insert(known, value);
        }
        if self.says_sealed() {
            // A key of another format in the file would take the commitment away from the body.
            for older in [names::KEY_V1, names::KEY_V2] {
                if entries.contains_key(older) {
                    return Err(EnvelopeError::Exclusive(names::SUITE_V3, older).into());
                }
            }
            entries.extend(self.content.iter().map(|(name, value)| (*name, value.clone())));
        } else if entries.contains_key(names::KEY_V3) {
            return Err(EnvelopeError::Missing(names::SUITE_V3).into());
        }
        match Entries(entries).locate()? {
            Located::Whole(envelope) => Ok(*envelope),
            Located::Partial(_) => Err(refuse("it has no key".to_owned()).into()),
        }
    }
}
