//! A data folder and what lies beside it: who holds it, which account it is of, its root key and credentials.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::config::Config;
use crate::iam;

/// The layout that this program reads and writes.
const FORMAT: u32 = 1;

/// Why a data folder can't be used. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    /// The folder, or what lies beside it, can't be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process holds the folder.
    #[error("the data folder {} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// The folder holds something else.
    #[error("{} is not empty and is not a Sealgate data folder; give an empty or new folder with --data", .0.display())]
    Foreign(PathBuf),
    /// There is no data folder yet.
    #[error("there is no Sealgate data folder at {}; start `sealgate serve` to make one", .0.display())]
    Absent(PathBuf),
    /// A newer program made it.
    #[error(
        "the data folder has format {found}, this program knows formats up to {FORMAT}; use a newer sealgate"
    )]
    TooNew {
        /// Its format.
        found: u32,
    },
    /// The description is damaged.
    #[error("{}: {message}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// Another account was asked for.
    #[error("the data folder belongs to account {found}, not {asked}; leave --account-id out")]
    OtherAccount {
        /// The folder's.
        found: String,
        /// The one asked for.
        asked: String,
    },
}

/// The description in `instance.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Layout version of the folder.
    pub format: u32,
    /// The account that owns the gateway: 12 digits.
    pub account_id: String,
    /// The region that keys' ARNs name.
    pub region: String,
}

/// A data folder that this process holds; released on drop.
#[derive(Debug)]
pub struct DataFolder {
    /// Where it is.
    pub path: PathBuf,
    /// What it says of itself.
    pub instance: Instance,
    /// It was made by this call.
    pub is_new: bool,
    _lock: File,
}

/// May a folder be made where there is none?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfAbsent {
    /// Make it.
    Create,
    /// Refuse.
    Refuse,
}

/// Root credentials.
pub struct Credentials {
    /// The access key id.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: Zeroizing<String>,
    /// The file they are in; `None`: the environment.
    pub file: Option<PathBuf>,
}

impl DataFolder {
    /// Opens the folder of this configuration and holds it.
    pub fn open(config: &Config, if_absent: IfAbsent) -> Result<Self, InstanceError> {
        let path = config.data.clone();
        let description = path.join("instance.json");
        match fs::read(&description) {
            Ok(text) => Self::reopen(config, path, &description, &text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => match if_absent {
                IfAbsent::Create => Self::create(config, path, &description),
                IfAbsent::Refuse => Err(InstanceError::Absent(path)),
            },
            Err(source) => Err(InstanceError::Io { path, source }),
        }
    }

    fn reopen(
        config: &Config,
        path: PathBuf,
        description: &Path,
        text: &[u8],
    ) -> Result<Self, InstanceError> {
        let instance: Instance = serde_json::from_slice(text)
            .map_err(|e| InstanceError::Malformed { path: description.to_owned(), message: e.to_string() })?;
        if instance.format > FORMAT {
            return Err(InstanceError::TooNew { found: instance.format });
        }
        if let Some(asked) = config.account_id.as_ref().filter(|id| **id != instance.account_id) {
            return Err(InstanceError::OtherAccount { found: instance.account_id, asked: asked.clone() });
        }
        let lock = hold(&path)?;
        Ok(Self { path, instance, is_new: false, _lock: lock })
    }

    fn create(config: &Config, path: PathBuf, description: &Path) -> Result<Self, InstanceError> {
        let io = |source| InstanceError::Io { path: path.clone(), source };
        match fs::read_dir(&path) {
            Ok(mut entries) => {
                // A lock file alone is what a start that was cut off leaves behind.
                if entries.any(|entry| entry.is_ok_and(|e| e.file_name() != "lock")) {
                    return Err(InstanceError::Foreign(path));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                DirBuilder::new().mode(0o700).recursive(true).create(&path).map_err(io)?;
            }
            Err(error) => return Err(io(error)),
        }
        let lock = hold(&path)?;
        let account_id = match &config.account_id {
            Some(id) => id.clone(),
            None => iam::account_id(),
        };
        let instance = Instance { format: FORMAT, account_id, region: config.region.clone() };
        let mut text = serde_json::to_vec_pretty(&instance).map_err(|e| io(e.into()))?;
        text.push(b'\n');
        write_new(description, &text).map_err(io)?;
        Ok(Self { path, instance, is_new: true, _lock: lock })
    }
}

impl Credentials {
    /// The root credentials: from the environment, else from the credentials file, which is made with random ones where
    /// there is none.
    pub fn load(config: &Config) -> Result<Self, InstanceError> {
        if let Some(found) = Self::find(config)? {
            return Ok(found);
        }
        let path = &config.credentials;
        let (access_key_id, secret_access_key) = iam::access_key();
        let text = Zeroizing::new(format!(
            "[default]\naws_access_key_id = {access_key_id}\naws_secret_access_key = {}\n",
            *secret_access_key
        ));
        write_new(path, text.as_bytes())
            .map_err(|source| InstanceError::Io { path: path.clone(), source })?;
        Ok(Self { access_key_id, secret_access_key, file: Some(path.clone()) })
    }

    /// As [`Credentials::load`], but none are made.
    pub fn find(config: &Config) -> Result<Option<Self>, InstanceError> {
        let path = &config.credentials;
        let malformed =
            |message: &str| InstanceError::Malformed { path: path.clone(), message: message.to_owned() };
        let env = |name| std::env::var(name).ok().filter(|v| !v.is_empty());
        match (env("SEALGATE_ROOT_ACCESS_KEY_ID"), env("SEALGATE_ROOT_SECRET_ACCESS_KEY")) {
            (Some(access_key_id), Some(secret)) => {
                let secret_access_key = Zeroizing::new(secret);
                return Ok(Some(Self { access_key_id, secret_access_key, file: None }));
            }
            (None, None) => {}
            _ => {
                return Err(malformed(
                    "set SEALGATE_ROOT_ACCESS_KEY_ID and SEALGATE_ROOT_SECRET_ACCESS_KEY together, or neither",
                ));
            }
        }
        match fs::read_to_string(path) {
            Ok(text) => {
                let text = Zeroizing::new(text);
                let (access_key_id, secret) = parse_default_profile(&text).ok_or_else(|| {
                    malformed("has no profile [default] with aws_access_key_id and aws_secret_access_key")
                })?;
                let secret_access_key = Zeroizing::new(secret.to_owned());
                Ok(Some(Self {
                    access_key_id: access_key_id.to_owned(),
                    secret_access_key,
                    file: Some(path.clone()),
                }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(InstanceError::Io { path: path.clone(), source }),
        }
    }
}

/// Takes the folder's lock; the kernel lets go of it when the process ends, however it ends.
fn hold(folder: &Path) -> Result<File, InstanceError> {
    let path = folder.join("lock");
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(|source| InstanceError::Io { path, source })?;
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(InstanceError::InUse(folder.to_owned())),
        Err(error) => Err(InstanceError::Io { path: folder.to_owned(), source: error.into() }),
    }
}

/// Writes a new file (0600) that is there whole or not at all, durably.
pub fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(folder)?.sync_all()
}

fn parse_default_profile(text: &str) -> Option<(&str, &str)> {
    let (mut in_default, mut id, mut secret) = (false, None, None);
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            in_default = line == "[default]";
        } else if let Some((name, value)) = line.split_once('=').filter(|_| in_default) {
            match name.trim() {
                "aws_access_key_id" => id = Some(value.trim()),
                "aws_secret_access_key" => secret = Some(value.trim()),
                _ => {}
            }
        }
    }
    Some((id?, secret?)).filter(|(id, secret)| !id.is_empty() && !secret.is_empty())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::config::RawConfig;

    fn config(folder: &Path) -> Config {
        let raw = RawConfig { data: Some(folder.join("data")), ..RawConfig::default() };
        Config::load(raw, None).unwrap()
    }

    #[test]
    fn a_new_folder_is_private_held_once_and_keeps_its_account() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        assert!(matches!(DataFolder::open(&config, IfAbsent::Refuse), Err(InstanceError::Absent(_))));
        let first = DataFolder::open(&config, IfAbsent::Create).unwrap();
        assert!(first.is_new);
        assert_eq!(fs::metadata(&config.data).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(matches!(DataFolder::open(&config, IfAbsent::Create), Err(InstanceError::InUse(_))));
        let account = first.instance.account_id.clone();
        assert_eq!(account.len(), 12);
        drop(first);
        assert_eq!(DataFolder::open(&config, IfAbsent::Create).unwrap().instance.account_id, account);
        let other = Config { account_id: Some("000000000001".to_owned()), ..config };
        assert!(matches!(
            DataFolder::open(&other, IfAbsent::Create),
            Err(InstanceError::OtherAccount { .. })
        ));
    }

    #[test]
    fn a_folder_of_something_else_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        fs::create_dir(&config.data).unwrap();
        fs::write(config.data.join("thesis.txt"), "years of work").unwrap();
        assert!(matches!(DataFolder::open(&config, IfAbsent::Create), Err(InstanceError::Foreign(_))));
        assert_eq!(fs::read_dir(&config.data).unwrap().count(), 1);
    }

    #[test]
    fn credentials_are_made_once_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let made = Credentials::load(&config).unwrap();
        assert_eq!(fs::metadata(&config.credentials).unwrap().permissions().mode() & 0o777, 0o600);
        let read = Credentials::load(&config).unwrap();
        assert_eq!(read.access_key_id, made.access_key_id);
        assert_eq!(*read.secret_access_key, *made.secret_access_key);
        assert_eq!(made.secret_access_key.len(), 40);
    }
}
