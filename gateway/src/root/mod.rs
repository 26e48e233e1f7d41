//! The root key, from wherever it is kept.

mod transit;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use kms_core::root::{FileRoot, PassphraseRoot, Pkcs11Root, RootKey};
use kms_core::secret::SecretBytes;
use zeroize::Zeroizing;

use crate::config::{Config, RootPlace};
use crate::instance::DataFolder;
use crate::instance::kms_places;
use crate::kv_key_store::KvKeyStore;

/// The longest passphrase, PIN or token, in bytes.
const MAX_SECRET_LEN: u64 = 4096;

/// Opens the root key of a data folder, and makes it where the key store was not made yet.
pub fn open(config: &Config, folder: &DataFolder) -> anyhow::Result<Arc<dyn RootKey>> {
    // A key store whose root key is gone must not be given a new one.
    let create = !is_made(config, folder)?;
    open_at(&config.root_key, folder, create, || passphrase(config, "Passphrase of the root key"))
}

/// Was the key store of this data folder made? What a passphrase needs is put back then, if it is missing beside the first copy.
pub fn is_made(config: &Config, folder: &DataFolder) -> anyhow::Result<bool> {
    let places = kms_places(config, folder);
    let is_made = places.is_made();
    if is_made && config.root_key == RootPlace::Passphrase {
        PassphraseRoot::put_back(&places.folder, &places.mirror)?;
    }
    Ok(is_made)
}

/// Opens a root key for this data folder, or makes it.
pub fn open_at(
    place: &RootPlace,
    folder: &DataFolder,
    create: bool,
    passphrase: impl FnOnce() -> anyhow::Result<SecretBytes>,
) -> anyhow::Result<Arc<dyn RootKey>> {
    Ok(match (place, create) {
        (RootPlace::File(path), true) => Arc::new(FileRoot::open_or_create(path, &folder.path)?),
        (RootPlace::File(path), false) => Arc::new(FileRoot::open(path, &folder.path)?),
        (RootPlace::Credential(name), _) => Arc::new(FileRoot::open(&credential(name)?, &folder.path)?),
        (RootPlace::Passphrase, true) => {
            Arc::new(PassphraseRoot::open_or_create(&folder.path.join("kms"), &passphrase()?)?)
        }
        (RootPlace::Passphrase, false) => {
            Arc::new(PassphraseRoot::open(&folder.path.join("kms"), &passphrase()?)?)
        }
        (RootPlace::Pkcs11 { place, pin }, true) => {
            Arc::new(Pkcs11Root::open_or_create(place, &secret_in(pin)?)?)
        }
        (RootPlace::Pkcs11 { place, pin }, false) => Arc::new(Pkcs11Root::open(place, &secret_in(pin)?)?),
        (RootPlace::Transit(place), _) => Arc::new(transit::TransitRoot::open(place)?),
    })
}

/// Opens the root key of a key store that several gateways share: it is made before the first of them starts, but for that of a
/// passphrase, whose salt lies in the store. `folder`: in which a file of a relative name is.
pub async fn open_shared(
    config: &Config,
    folder: &Path,
    keys: &KvKeyStore,
) -> anyhow::Result<Arc<dyn RootKey>> {
    Ok(match &config.root_key {
        RootPlace::File(path) => Arc::new(FileRoot::open(path, folder)?),
        RootPlace::Credential(name) => Arc::new(FileRoot::open(&credential(name)?, folder)?),
        RootPlace::Passphrase => {
            let passphrase = passphrase(config, "Passphrase of the root key")?;
            Arc::new(keys.passphrase_root(&passphrase).await?)
        }
        RootPlace::Pkcs11 { place, pin } => Arc::new(Pkcs11Root::open(place, &secret_in(pin)?)?),
        RootPlace::Transit(place) => Arc::new(transit::TransitRoot::open(place)?),
    })
}

/// Where systemd put this credential.
fn credential(name: &str) -> anyhow::Result<PathBuf> {
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY")
        .context("there is no $CREDENTIALS_DIRECTORY: run it under systemd, with LoadCredential=")?;
    Ok(Path::new(&credentials).join(name))
}

/// The passphrase of the settings' file, or else of the terminal.
pub fn passphrase(config: &Config, what: &str) -> anyhow::Result<SecretBytes> {
    match &config.passphrase_file {
        Some(file) => secret_in(file),
        None => ask(what),
    }
}

/// Asks at the terminal, which does not show what is typed.
pub fn ask(what: &str) -> anyhow::Result<SecretBytes> {
    let typed = rpassword::prompt_password(format!("{what}: "));
    let typed = typed.context("there is no terminal to ask at; give a file with --passphrase-file")?;
    Ok(SecretBytes::new(typed.into_bytes()))
}

/// The first line of a file.
pub fn secret_in(file: &Path) -> anyhow::Result<SecretBytes> {
    use std::io::Read;
    let unreadable = || format!("can't read {}", file.display());
    let mut text = Zeroizing::new(Vec::with_capacity(MAX_SECRET_LEN as usize + 1));
    let opened = std::fs::File::open(file).with_context(unreadable)?;
    opened.take(MAX_SECRET_LEN + 1).read_to_end(&mut text).with_context(unreadable)?;
    if text.len() as u64 > MAX_SECRET_LEN {
        bail!("{} is longer than {MAX_SECRET_LEN} bytes", file.display());
    }
    let line = text.split(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
    if line.is_empty() {
        bail!("{} is empty", file.display());
    }
    Ok(SecretBytes::new(line.to_vec()))
}
