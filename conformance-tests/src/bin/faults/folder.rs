//! The folders that tries are made of: a gateway's data, older states of it, and another gateway's.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::blobs::Blobs;
use super::gateway::{Place, copy};
use super::ledger::Ledger;
use super::write;

/// A gateway's data after it was killed, and after it was stopped.
pub(crate) const KILLED: &str = "killed";
pub(crate) const STOPPED: &str = "stopped";
/// The same gateway's data from before half of the writes.
const OLDER: &str = "older";
/// Data of another gateway with the same root key.
const FOREIGN: &str = "foreign";

/// What is prepared once, and copied for each try.
pub(crate) struct Prepared {
    pub(crate) folder: PathBuf,
    pub(crate) ledger: Ledger,
    killed: Blobs,
    stopped: Blobs,
}

impl Prepared {
    /// Writes all that is written, and keeps copies of the folder on the way.
    pub(crate) async fn make(folder: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let root_key = folder.join("root-key");
        let place = Place::new(folder.join(KILLED), root_key.clone());
        // The first start makes the root key where it is told to.
        let gateway = place.serve().await?;
        let mut ledger = Ledger::default();
        write::first(&gateway.endpoint, &mut ledger).await.context("the first writes")?;
        gateway.stop().await?;
        copy(&place.data, &folder.join(OLDER)).await?;

        let gateway = place.serve().await?;
        write::second(&gateway.endpoint, &mut ledger).await.context("the second writes")?;
        gateway.kill().await?;
        let stopped = Place::new(folder.join(STOPPED), root_key.clone());
        copy(&place.data, &stopped.data).await?;
        let gateway = stopped.serve().await?;
        // Until what was displaced is gone.
        tokio::time::sleep(std::time::Duration::from_secs(8)).await;
        gateway.stop().await?;
        // A check that finds faults where there are none would excuse whatever comes of a damage.
        let checked = stopped.run(&["check".to_owned()]).await?;
        anyhow::ensure!(checked.code == Some(0), "the check of an undamaged folder: {}", checked.text);

        let foreign = Place::new(folder.join(FOREIGN), root_key);
        let gateway = foreign.serve().await?;
        write::foreign(&gateway.endpoint).await.context("another gateway's writes")?;
        gateway.stop().await?;
        std::fs::write(folder.join("ledger.json"), serde_json::to_vec_pretty(&ledger)?)?;
        Self::read(folder)
    }

    /// Reads what was prepared before.
    pub(crate) fn read(folder: &Path) -> anyhow::Result<Self> {
        let ledger = std::fs::read(folder.join("ledger.json")).context("nothing is prepared there")?;
        Ok(Self {
            folder: folder.to_owned(),
            ledger: serde_json::from_slice(&ledger)?,
            killed: Blobs::read(&folder.join(KILLED))?,
            stopped: Blobs::read(&folder.join(STOPPED))?,
        })
    }

    /// One of the two states that are damaged.
    pub(crate) fn state(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn blobs(&self, state: &str) -> &Blobs {
        if state == KILLED { &self.killed } else { &self.stopped }
    }

    pub(crate) fn older(&self) -> PathBuf {
        self.folder.join(OLDER)
    }

    pub(crate) fn foreign(&self) -> PathBuf {
        self.folder.join(FOREIGN)
    }

    pub(crate) fn root_key(&self) -> PathBuf {
        self.folder.join("root-key")
    }
}

/// The regular files below a folder, relative to it, in order.
pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(relative) = folders.pop() {
        for entry in std::fs::read_dir(folder.join(&relative)).into_iter().flatten().flatten() {
            let path = relative.join(entry.file_name());
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(path),
                Ok(kind) if kind.is_file() => found.push(path),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

/// Removes a file or folder, or nothing.
pub(crate) fn remove(path: &Path) -> std::io::Result<()> {
    let removed = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}
