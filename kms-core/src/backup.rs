//! What a backup is sealed under: a key of its own, wrapped by the domain key of the store that it is of.

use crate::crypto;
use crate::secret::{Secret32, SecretBytes};

const LABEL: &str = "sealgate backup v1 piece";

/// Seals the pieces of one backup, each bound to its place in it.
pub struct BackupKey(Secret32);

impl BackupKey {
    pub(crate) fn new(secret: Secret32) -> Self {
        Self(secret)
    }

    /// Seals the piece of this number; the last is marked as such, so that a backup that was cut off does not open.
    pub fn seal(&self, number: u64, is_last: bool, piece: &[u8]) -> Vec<u8> {
        crypto::seal(&self.0, LABEL, piece, &place(number, is_last))
    }

    /// Opens what [`BackupKey::seal`] made for this place.
    pub fn open(&self, number: u64, is_last: bool, sealed: &[u8]) -> Option<SecretBytes> {
        crypto::open(&self.0, LABEL, sealed, 0, &place(number, is_last))
    }
}

fn place(number: u64, is_last: bool) -> [u8; 9] {
    let mut place = [u8::from(is_last); 9];
    place[1..].copy_from_slice(&number.to_be_bytes());
    place
}
