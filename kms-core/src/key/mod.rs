//! A KMS key: its identity, what it is for, and the life it leads. Its secrets are [`backing`] keys.

pub mod backing;
pub(crate) mod material;
pub mod spec;
pub mod state;
pub mod usage;

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

pub use spec::{KeySpec, KeyUsage};

use crate::crypto;

/// The identity of a KMS key: a random UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KmsKeyId([u8; 16]);

impl KmsKeyId {
    /// A new one (UUID version 4).
    pub fn random() -> Self {
        let mut bytes = crypto::random::<16>();
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Self(bytes)
    }

    /// From its bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// From the form with hyphens, in lower case.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let hyphens = [8, 13, 18, 23];
        if bytes.len() != 36
            || bytes.iter().any(u8::is_ascii_uppercase)
            || hyphens.iter().any(|&i| bytes[i] != b'-')
        {
            return None;
        }
        let digits: Vec<u8> = bytes.iter().copied().filter(|&b| b != b'-').collect();
        let mut id = [0; 16];
        hex::decode_to_slice(digits, &mut id).ok()?;
        Some(Self(id))
    }
}

impl fmt::Display for KmsKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = [(0, 4), (4, 6), (6, 8), (8, 10), (10, 16)].into_iter();
        parts.try_for_each(|(begin, end)| {
            if begin > 0 {
                f.write_char('-')?;
            }
            write_hex(f, &self.0[begin..end])
        })
    }
}

/// Writes at most 32 bytes as hexadecimal digits. Ids are told with each use of a key: this takes no memory for them.
pub(crate) fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    let mut digits = [0; 64];
    let digits = &mut digits[..2 * bytes.len()];
    hex::encode_to_slice(bytes, digits).map_err(|_| fmt::Error)?;
    f.write_str(std::str::from_utf8(digits).map_err(|_| fmt::Error)?)
}

/// The identity of a backing key: 32 bytes, shown as 64 hexadecimal digits. See [`backing::BackingKey::new`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyMaterialId([u8; 32]);

impl KeyMaterialId {
    /// From its bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for KeyMaterialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

/// Where a key's material comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// `AWS_KMS`: made here.
    AwsKms,
    /// `EXTERNAL`: imported.
    External,
}

/// Who manages a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyManager {
    /// `CUSTOMER`.
    Customer,
    /// `AWS`: made by a service on first use, and not to be changed by users.
    Aws,
}

/// What can be done with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// `Enabled`.
    Enabled,
    /// `Disabled`.
    Disabled,
    /// `PendingDeletion`.
    PendingDeletion {
        /// When it may be purged, milliseconds since the Unix epoch.
        deletion_unix_ms: u64,
    },
    /// `PendingImport`.
    PendingImport,
}

/// A KMS key, without its secrets and its policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KmsKey {
    /// Its identity.
    pub id: KmsKeyId,
    /// The account that owns it: 12 digits.
    pub account: String,
    /// When it was made, milliseconds since the Unix epoch.
    pub created_unix_ms: u64,
    /// Free text.
    pub description: String,
    /// What it is for.
    pub usage: KeyUsage,
    /// The kind of its material.
    pub spec: KeySpec,
    /// Where its material comes from.
    pub origin: Origin,
    /// Who manages it.
    pub manager: KeyManager,
    /// What can be done with it now.
    pub state: KeyState,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// The backing key that encrypts. `None` while import is pending.
    pub current_material: Option<KeyMaterialId>,
    /// How many times it was rotated on demand.
    pub on_demand_rotations: u32,
    /// Automatic rotation, where it is on.
    pub rotation: Option<AutomaticRotation>,
}

/// When a key is rotated by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AutomaticRotation {
    /// Days from one rotation to the next.
    pub period_days: u16,
    /// When the next is due, milliseconds since the Unix epoch.
    pub next_unix_ms: u64,
}

impl Origin {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::AwsKms => "AWS_KMS",
            Self::External => "EXTERNAL",
        }
    }
}

impl KeyManager {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Customer => "CUSTOMER",
            Self::Aws => "AWS",
        }
    }
}

impl KeyState {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Enabled => "Enabled",
            Self::Disabled => "Disabled",
            Self::PendingDeletion { .. } => "PendingDeletion",
            Self::PendingImport => "PendingImport",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_round_trip_in_lower_case_only() {
        let id = KmsKeyId::random();
        let text = id.to_string();
        assert_eq!(KmsKeyId::parse(&text), Some(id));
        assert_eq!(text.as_bytes()[14], b'4');
        for bad in ["", "alias/x", &text[1..], &text.replace('-', "0"), &"A".repeat(36)] {
            assert_eq!(KmsKeyId::parse(bad), None, "{bad}");
        }
        assert_eq!(KmsKeyId::parse("1234abcd-12ab-34cd-56ef-1234567890AB"), None);
        assert_eq!(KmsKeyId::parse("ééééééééé-éééé-éééé-éé"), None);
    }
}
