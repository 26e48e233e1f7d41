//! Where a key store's parts lie.

use std::path::{Path, PathBuf};

use super::aside::{remove, with_suffix};

/// Where a key store's parts lie. From the path of its folder alone: mirror and head lie beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorePlaces {
    /// The folder of the first copy, and of what names the root key.
    pub folder: PathBuf,
    /// The folder of the second copy: by default `<folder>-mirror`.
    pub mirror: PathBuf,
    /// What tells how far the store reached: by default `<folder>.head`.
    pub head: PathBuf,
}

impl StorePlaces {
    /// The default places around this folder.
    pub fn around(folder: &Path) -> Self {
        let beside = |suffix: &str| {
            let mut name = folder.file_name().unwrap_or_default().to_owned();
            name.push(suffix);
            folder.with_file_name(name)
        };
        Self { folder: folder.to_owned(), mirror: beside("-mirror"), head: beside(".head") }
    }

    /// The same with another folder for the second copy.
    pub fn with_mirror(self, mirror: Option<&Path>) -> Self {
        Self { mirror: mirror.map_or(self.mirror, Path::to_owned), ..self }
    }

    /// The file of the second copy.
    pub fn mirror_log(&self) -> PathBuf {
        self.mirror.join("keys.log")
    }

    /// The database of the first copy.
    pub(crate) fn database(&self) -> PathBuf {
        self.folder.join("db")
    }

    /// Is there anything of a store? Its root key must not be made anew then.
    pub fn is_made(&self) -> bool {
        self.database().is_dir() || self.mirror_log().exists() || self.head.exists()
    }
}

impl StorePlaces {
    /// Takes away both copies of the store and its head: what a restore made that was not finished, or of a store that nobody uses yet.
    pub fn remove_copies(&self) {
        for path in
            [self.database(), with_suffix(&self.database(), ".new"), self.mirror_log(), self.head.clone()]
        {
            if let Err(error) = remove(&path) {
                tracing::warn!(file = %path.display(), %error, "what was not restored whole could not be removed");
            }
        }
    }
}

impl From<&Path> for StorePlaces {
    fn from(folder: &Path) -> Self {
        Self::around(folder)
    }
}

impl From<&PathBuf> for StorePlaces {
    fn from(folder: &PathBuf) -> Self {
        Self::around(folder)
    }
}

impl From<&StorePlaces> for StorePlaces {
    fn from(places: &StorePlaces) -> Self {
        places.clone()
    }
}
