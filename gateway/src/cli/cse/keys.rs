//! Which key wraps data keys: flags to keyrings.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use s3_encryption_client::Description;
use s3_encryption_client::keyring::{
    AesKeyring, DiscoveryFilter, Keyring, KmsClient, KmsKeyring, RawKey, RawKeyring, RsaKeyring,
};
use zeroize::Zeroizing;

/// The longest file that holds a key, in bytes.
const MAX_KEY_FILE_LEN: u64 = 64 << 10;
const AES_KEY_LEN: usize = 32;

/// The key that objects are under.
#[derive(Args)]
pub(super) struct KeyArgs {
    /// A KMS key: its id, its ARN or an alias
    #[arg(long, value_name = "KEY", help_heading = "Key")]
    kms_key: Option<String>,
    /// Whichever KMS key of this account sealed the object; only to open. May be given several times
    #[arg(long, value_name = "ACCOUNT", help_heading = "Key")]
    kms_account: Vec<String>,
    /// A file that holds an AES-256 key: its 32 bytes, or those in Base64 or hexadecimal
    #[arg(long, value_name = "FILE", help_heading = "Key")]
    aes_key: Option<PathBuf>,
    /// A PEM file with an RSA key in PKCS #8; with a public key alone objects can be sealed, not opened
    #[arg(long, value_name = "FILE", help_heading = "Key")]
    rsa_key: Option<PathBuf>,
    /// An entry of the encryption context, of a KMS key. May be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = entry, help_heading = "Key")]
    context: Vec<(String, String)>,
    /// What an AES or RSA key is called in envelopes (the materials description). May be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = entry, help_heading = "Key")]
    description: Vec<(String, String)>,
    /// Open objects whatever they call their AES or RSA key
    #[arg(long, help_heading = "Key")]
    any_description: bool,
}

/// The key that data keys are wrapped with from now on.
#[derive(Args)]
pub(super) struct NewKeyArgs {
    /// The new key, a KMS key
    #[arg(long, value_name = "KEY", help_heading = "New key")]
    to_kms_key: Option<String>,
    /// The new key, a file that holds an AES-256 key
    #[arg(long, value_name = "FILE", help_heading = "New key")]
    to_aes_key: Option<PathBuf>,
    /// The new key, a PEM file with an RSA key
    #[arg(long, value_name = "FILE", help_heading = "New key")]
    to_rsa_key: Option<PathBuf>,
    /// An entry of the new encryption context; without any it stays as it is between two KMS keys
    #[arg(long, value_name = "NAME=VALUE", value_parser = entry, help_heading = "New key")]
    to_context: Vec<(String, String)>,
    /// What the new AES or RSA key is called in envelopes
    #[arg(long, value_name = "NAME=VALUE", value_parser = entry, help_heading = "New key")]
    to_description: Vec<(String, String)>,
}

/// `NAME=VALUE`.
pub(super) fn entry(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("{text:?} is not NAME=VALUE")),
    }
}

/// A keyring, and the encryption context that it is used with.
pub(super) struct Keys {
    pub(super) keyring: Arc<dyn Keyring>,
    pub(super) context: Description,
}

impl From<NewKeyArgs> for KeyArgs {
    fn from(new: NewKeyArgs) -> Self {
        Self {
            kms_key: new.to_kms_key,
            kms_account: Vec::new(),
            aes_key: new.to_aes_key,
            rsa_key: new.to_rsa_key,
            context: new.to_context,
            description: new.to_description,
            any_description: false,
        }
    }
}

impl KeyArgs {
    /// The same encryption context as this one, where none is given and both are of KMS keys.
    pub(super) fn or_context_of(mut self, other: &Self) -> Self {
        if self.kms_key.is_some() && self.context.is_empty() {
            self.context.clone_from(&other.context);
        }
        self
    }

    /// The keyring. `kms` makes the client of the KMS if one is needed; `legacy` opens what was wrapped by the oldest clients.
    pub(super) fn open(
        &self,
        kms: impl FnOnce() -> anyhow::Result<Arc<dyn KmsClient>>,
        legacy: bool,
    ) -> anyhow::Result<Keys> {
        let is_kms = self.kms_key.is_some() || !self.kms_account.is_empty();
        let keyring: Arc<dyn Keyring> =
            match (&self.kms_key, &self.kms_account[..], &self.aes_key, &self.rsa_key) {
                (Some(key), [], None, None) => {
                    let keyring = KmsKeyring::new(kms()?, key);
                    Arc::new(if legacy { keyring.enable_legacy_wrapping_algorithms() } else { keyring })
                }
                (None, accounts @ [_, ..], None, None) => {
                    let filter = DiscoveryFilter { partition: "aws".to_owned(), accounts: accounts.to_vec() };
                    let keyring = KmsKeyring::discovery(kms()?, filter);
                    Arc::new(if legacy { keyring.enable_legacy_wrapping_algorithms() } else { keyring })
                }
                (None, [], Some(file), None) => {
                    let keyring = AesKeyring::new(&aes_key(file)?[..])
                        .with_context(|| format!("the key in {}", file.display()))?;
                    Arc::new(self.described(keyring))
                }
                (None, [], None, Some(file)) => {
                    let read = contents(file)?;
                    let text = std::str::from_utf8(&read)
                        .map_err(|_| anyhow::anyhow!("{} is no PEM file", file.display()))?;
                    let keyring = RsaKeyring::from_pem(text)
                        .with_context(|| format!("the key in {}", file.display()))?;
                    Arc::new(self.described(keyring))
                }
                (None, [], None, None) => {
                    bail!("name the key: --kms-key, --kms-account, --aes-key or --rsa-key")
                }
                _ => bail!("name one key alone: --kms-key, --kms-account, --aes-key or --rsa-key"),
            };
        ensure!(is_kms || self.context.is_empty(), "an encryption context is of KMS keys: use --description");
        ensure!(
            !is_kms || self.description.is_empty(),
            "a description is of AES and RSA keys: use --context, which a KMS key protects"
        );
        Ok(Keys { keyring, context: self.context.iter().cloned().collect() })
    }

    fn described<K: RawKey>(&self, keyring: RawKeyring<K>) -> RawKeyring<K> {
        let keyring = keyring.described(self.description.iter().cloned().collect::<Description>());
        if self.any_description { keyring.accept_any_description() } else { keyring }
    }
}

fn contents(file: &Path) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let unreadable = || format!("can't read {}", file.display());
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_KEY_FILE_LEN as usize + 1));
    let opened = std::fs::File::open(file).with_context(unreadable)?;
    opened.take(MAX_KEY_FILE_LEN + 1).read_to_end(&mut bytes).with_context(unreadable)?;
    ensure!(bytes.len() as u64 <= MAX_KEY_FILE_LEN, "{} is too long for a key", file.display());
    Ok(bytes)
}

fn aes_key(file: &Path) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let bytes = contents(file)?;
    if bytes.len() == AES_KEY_LEN {
        return Ok(bytes);
    }
    let text = bytes.trim_ascii();
    let key = if text.len() == 2 * AES_KEY_LEN { hex::decode(text).ok() } else { STANDARD.decode(text).ok() };
    match key.map(Zeroizing::new) {
        Some(key) if key.len() == AES_KEY_LEN => Ok(key),
        _ => bail!(
            "{} holds no AES-256 key: it must have 32 bytes, or those in Base64 or hexadecimal (openssl rand -base64 32)",
            file.display()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_aes_key_is_read_in_every_form_and_nothing_else_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("key");
        let read = |bytes: &[u8]| {
            std::fs::write(&file, bytes).expect("a file");
            aes_key(&file)
        };
        for form in
            [vec![7; 32], STANDARD.encode([7; 32]).into(), format!("{}\n", hex::encode([7; 32])).into()]
        {
            assert_eq!(read(&form).expect("a key")[..], [7; 32]);
        }
        for form in [&b""[..], &[7; 31], &[7; 33], STANDARD.encode([7; 16]).as_bytes(), &[7; 1 << 17]] {
            assert!(read(form).is_err(), "{} bytes", form.len());
        }
    }
}
