//! Files that are moved out of the way, never deleted while they may still be of use, and small things about folders.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::Advice;

/// Damaged copies that are kept of a place.
const MAX_KEPT: usize = 4;

/// Moves a damaged file or folder aside, to `<path>.damaged-<unix ms>`. The oldest ones go when there are more than a few.
pub(super) fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let now_unix_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let aside = with_suffix(path, format!(".damaged-{now_unix_ms:013}"));
    fs::rename(path, &aside)?;
    sync_folder(path.parent())?;
    let prefix = with_suffix(path, ".damaged-");
    let prefix = prefix.file_name().unwrap_or_default().as_encoded_bytes();
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut kept: Vec<PathBuf> = fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|entry| entry.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(prefix)))
        .collect();
    kept.sort_unstable();
    for old in kept.iter().take(kept.len().saturating_sub(MAX_KEPT)) {
        remove(old)?;
    }
    Ok(aside)
}

/// Removes a file or a folder, if it is there.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

pub(super) fn with_suffix(path: &Path, suffix: impl AsRef<OsStr>) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

pub(super) fn sync_folder(folder: Option<&Path>) -> io::Result<()> {
    let folder = folder.filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Makes that a file, or all files of a folder, are read from the disk: after a sync that failed the kernel may still show what the
/// disk does not have. What is not written yet is written first.
pub(super) fn forget_pages(path: &Path) -> io::Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            forget_pages(&entry?.path())?;
        }
    } else if metadata.is_file() {
        let file = File::open(path)?;
        file.sync_data()?;
        // Only an advice: a file system that has no pages to forget refuses it.
        let _ = rustix::fs::fadvise(&file, 0, None, Advice::DontNeed);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_few_damaged_ones_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        fs::write(folder.path().join("db-other"), "x").unwrap();
        for _ in 0..7 {
            fs::create_dir(&path).unwrap();
            fs::write(path.join("x"), "x").unwrap();
            set_aside(&path).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), MAX_KEPT + 1);
    }
}
