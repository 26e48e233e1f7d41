//! A root key in a file: 32 random bytes, readable by their owner alone, never inside the folder that they protect.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{RootError, SecretRoot};
use crate::secret::Secret32;

/// Root keys in files.
pub struct FileRoot;

impl FileRoot {
    /// Reads the root key at `path`. Refuses a path inside `protected`, and a file that others than its owner may read
    /// (what systemd hands a service in its credentials folder may be readable by the service's group).
    pub fn open(path: &Path, protected: &Path) -> Result<SecretRoot, RootError> {
        refuse_inside(path, protected)?;
        let unavailable = |error: io::Error| RootError::Unavailable(format!("{}: {error}", path.display()));
        let mut file = File::open(path).map_err(unavailable)?;
        let mode = file.metadata().map_err(unavailable)?.permissions().mode();
        let forbidden = if is_credential(path) { 0o037 } else { 0o077 };
        if mode & forbidden != 0 {
            return Err(RootError::Unavailable(format!(
                "{}: others may read it (mode {:o}); make it private with chmod 600",
                path.display(),
                mode & 0o777
            )));
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(64));
        Read::by_ref(&mut file).take(64).read_to_end(&mut bytes).map_err(unavailable)?;
        let mut secret: [u8; 32] = bytes[..].try_into().map_err(|_| {
            RootError::Unavailable(format!("{}: a root key has 32 bytes, this file has not", path.display()))
        })?;
        Ok(SecretRoot::new(Secret32::take(&mut secret)))
    }

    /// As [`FileRoot::open`], but makes a random root key where there is none.
    pub fn open_or_create(path: &Path, protected: &Path) -> Result<SecretRoot, RootError> {
        refuse_inside(path, protected)?;
        match create(path, Secret32::random().expose()) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(RootError::Unavailable(format!("{}: {error}", path.display()))),
        }
        Self::open(path, protected)
    }
}

/// Writes a new file that is there whole or not at all, durably; an existing one is left alone.
pub(super) fn create(path: &Path, content: &[u8]) -> io::Result<()> {
    if path.exists() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    // A link does not replace what another process made meanwhile, as a rename would.
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary)?;
    linked?;
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

/// A copy of the protected folder must not carry its key.
fn refuse_inside(path: &Path, protected: &Path) -> Result<(), RootError> {
    let real = |path: &Path| fs::canonicalize(path).or_else(|_| std::path::absolute(path));
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let inside = match (real(parent), real(protected)) {
        (Ok(parent), Ok(protected)) => parent.starts_with(protected),
        _ => false,
    };
    match inside {
        false => Ok(()),
        true => Err(RootError::Unavailable(format!(
            "{} lies inside the data folder that it protects; keep it elsewhere (--root-key)",
            path.display()
        ))),
    }
}

fn is_credential(path: &Path) -> bool {
    std::env::var_os("CREDENTIALS_DIRECTORY").is_some_and(|folder| path.starts_with(folder))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::root::RootKey;

    #[test]
    fn made_once_private_and_outside() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        let path = folder.path().join("root-key");
        let first = FileRoot::open_or_create(&path, &data).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let again = FileRoot::open_or_create(&path, &data).unwrap();
        assert_eq!(first.id(), again.id());
        let secret = Secret32::random();
        let wrapped = first.wrap("a", &secret).unwrap();
        assert_eq!(again.unwrap("a", &wrapped).unwrap().expose(), secret.expose());
        assert!(again.unwrap("b", &wrapped).is_err());
        assert!(FileRoot::open_or_create(&data.join("root-key"), &data).is_err());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(FileRoot::open(&path, &data).is_err());
        assert!(FileRoot::open(&folder.path().join("absent"), &data).is_err());
    }
}
