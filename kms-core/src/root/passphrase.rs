//! A root key derived from a passphrase by argon2id. Its salt and costs lie in a file, in the clear; the passphrase lies nowhere.
//! <https://www.rfc-editor.org/rfc/rfc9106>

use std::fs;
use std::path::{Path, PathBuf};

use argon2::{Algorithm, Argon2, Params, Version};
use serde::{Deserialize, Serialize};

use super::{RootError, SecretRoot};
use crate::crypto;
use crate::secret::{Secret32, SecretBytes};

/// RFC 9106's second recommendation for costs: 64 MiB, three passes.
const MEMORY_KIB: u32 = 64 << 10;
const PASSES: u32 = 3;
const LANES: u32 = 1;
/// What a file may ask for, so that a changed one does not exhaust the machine.
const MAX_MEMORY_KIB: u32 = 4 << 20;
const MAX_PASSES: u32 = 64;
/// The shortest passphrase, in bytes.
const MIN_LEN: usize = 12;

/// How a key is derived from a passphrase; no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Derivation {
    function: String,
    salt: String,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl Derivation {
    /// A new salt, at today's costs.
    pub(super) fn new() -> Self {
        let salt = hex::encode(crypto::random::<16>());
        Self { function: "argon2id".to_owned(), salt, memory_kib: MEMORY_KIB, passes: PASSES, lanes: LANES }
    }

    /// The key of a passphrase. Takes a good part of a second, by intent.
    pub(super) fn derive(&self, passphrase: &SecretBytes) -> Result<Secret32, RootError> {
        let refused = |why: &dyn std::fmt::Display| RootError::Unavailable(format!("argon2id: {why}"));
        if self.function != "argon2id" || self.memory_kib > MAX_MEMORY_KIB || self.passes > MAX_PASSES {
            return Err(refused(&"the function or its costs are not ones that this program knows"));
        }
        let salt = hex::decode(&self.salt).map_err(|e| refused(&e))?;
        let params =
            Params::new(self.memory_kib, self.passes, self.lanes, Some(32)).map_err(|e| refused(&e))?;
        let mut derived = [0; 32];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase.expose(), &salt, &mut derived)
            .map_err(|e| refused(&e))?;
        Ok(Secret32::take(&mut derived))
    }
}

/// A passphrase that is long enough to be chosen anew.
pub(super) fn check_new(passphrase: &SecretBytes) -> Result<(), RootError> {
    match passphrase.expose().len() >= MIN_LEN {
        true => Ok(()),
        false => Err(RootError::Unavailable(format!("a passphrase must have at least {MIN_LEN} bytes"))),
    }
}

/// The root key of a passphrase, for the key store in this folder.
pub struct PassphraseRoot;

impl PassphraseRoot {
    /// Where salt and costs are kept: beside the store that they are of.
    fn file(store: &Path) -> PathBuf {
        store.join("passphrase.json")
    }

    /// Keeps salt and costs, where there are any, in a second folder too: without them the passphrase is of no use.
    pub(crate) fn keep_twice(store: &Path, second: &Path) -> std::io::Result<()> {
        let (from, to) = (Self::file(store), Self::file(second));
        let Ok(text) = fs::read(&from) else { return Ok(()) };
        if fs::read(&to).is_ok_and(|kept| kept == text) {
            return Ok(());
        }
        match fs::remove_file(&to) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => super::file::create(&to, &text),
        }
    }

    /// Puts back salt and costs that are missing in a store, or are no such thing, from the second folder.
    pub fn put_back(store: &Path, second: &Path) -> Result<(), RootError> {
        let is_good = |text: &[u8]| serde_json::from_slice::<Derivation>(text).is_ok();
        let (file, kept) = (Self::file(store), Self::file(second));
        let Ok(text) = fs::read(&kept) else { return Ok(()) };
        if fs::read(&file).is_ok_and(|text| is_good(&text)) || !is_good(&text) {
            return Ok(());
        }
        tracing::warn!(file = %file.display(), "salt and costs of the passphrase are put back from {}", kept.display());
        let put = || {
            fs::create_dir_all(store)?;
            if file.exists() {
                fs::rename(&file, store.join("passphrase.json.damaged"))?;
            }
            super::file::create(&file, &text)
        };
        put().map_err(|e: std::io::Error| RootError::Unavailable(format!("{}: {e}", file.display())))
    }

    /// Derives the root key by the salt and costs of this store.
    pub fn open(store: &Path, passphrase: &SecretBytes) -> Result<SecretRoot, RootError> {
        let file = Self::file(store);
        let unavailable =
            |why: &dyn std::fmt::Display| RootError::Unavailable(format!("{}: {why}", file.display()));
        let text = fs::read(&file).map_err(|e| unavailable(&e))?;
        let derivation: Derivation = serde_json::from_slice(&text).map_err(|e| unavailable(&e))?;
        Ok(SecretRoot::new(derivation.derive(passphrase)?))
    }

    /// New salt and today's costs, as text, for this passphrase: for a key store that lies in no folder.
    pub fn new_derivation(passphrase: &SecretBytes) -> Result<Vec<u8>, RootError> {
        check_new(passphrase)?;
        Ok(serde_json::to_vec_pretty(&Derivation::new()).expect("a derivation can be encoded"))
    }

    /// Derives the root key by salt and costs that [`PassphraseRoot::new_derivation`] made.
    pub fn derive(derivation: &[u8], passphrase: &SecretBytes) -> Result<SecretRoot, RootError> {
        let derivation: Derivation = serde_json::from_slice(derivation)
            .map_err(|e| RootError::Unavailable(format!("salt and costs of the passphrase: {e}")))?;
        Ok(SecretRoot::new(derivation.derive(passphrase)?))
    }

    /// As [`PassphraseRoot::open`], but draws a salt where there is none yet.
    pub fn open_or_create(store: &Path, passphrase: &SecretBytes) -> Result<SecretRoot, RootError> {
        let file = Self::file(store);
        if !file.exists() {
            let text = Self::new_derivation(passphrase)?;
            let unavailable = |e: std::io::Error| RootError::Unavailable(format!("{}: {e}", file.display()));
            fs::create_dir_all(store).map_err(unavailable)?;
            super::file::create(&file, &text).map_err(unavailable)?;
        }
        Self::open(store, passphrase)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::root::RootKey;

    #[test]
    fn a_passphrase_is_a_root_by_its_salt_alone() {
        let folder = tempfile::tempdir().unwrap();
        let words = |text: &str| SecretBytes::new(text.as_bytes().to_vec());
        let store = folder.path().join("kms");
        assert!(PassphraseRoot::open(&store, &words("correct horse battery")).is_err());
        assert!(PassphraseRoot::open_or_create(&store, &words("too short")).is_err());
        assert!(!store.exists());
        let first = PassphraseRoot::open_or_create(&store, &words("correct horse battery")).unwrap();
        let again = PassphraseRoot::open_or_create(&store, &words("correct horse battery")).unwrap();
        let other = PassphraseRoot::open(&store, &words("correct horse buttery")).unwrap();
        assert_eq!(first.id(), again.id());
        assert_ne!(first.id(), other.id());
        let elsewhere = folder.path().join("elsewhere");
        let salted = PassphraseRoot::open_or_create(&elsewhere, &words("correct horse battery")).unwrap();
        assert_ne!(first.id(), salted.id());
        let text = fs::read_to_string(store.join("passphrase.json")).unwrap();
        fs::write(store.join("passphrase.json"), text.replace("65536", "99999999")).unwrap();
        assert!(PassphraseRoot::open(&store, &words("correct horse battery")).is_err());
    }
}
