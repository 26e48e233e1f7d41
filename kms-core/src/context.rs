//! The encryption context: names and values that a ciphertext is bound to.

use std::collections::BTreeMap;

/// An encryption context. Order-free and case-sensitive; the empty one is the absence of a context.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EncryptionContext(BTreeMap<String, String>);

impl EncryptionContext {
    /// The empty context.
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Adds a pair, replacing one of the same name.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.insert(name.into(), value.into());
    }

    /// The value of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The pairs in byte order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Has it no pair?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes that a ciphertext is bound to: for each pair in byte order of names, name and value as UTF-8,
    /// each behind its length as a 32-bit big-endian number.
    pub fn canonical(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for text in self.0.iter().flat_map(|(name, value)| [name, value]) {
            bytes.extend_from_slice(&(text.len() as u32).to_be_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes
    }
}

impl FromIterator<(String, String)> for EncryptionContext {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}
