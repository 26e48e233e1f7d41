//! What a look at both copies and the head finds, on the disk; nothing is changed by it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::aside::{forget_pages, remove};
use super::head::{Head, Told};
use super::place::{MirrorPlace, Place, SledPlace};
use super::verdict::{Judged, Unlock};
use super::{StoreError, StorePlaces};

/// What was found in one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyReport {
    /// `store`, `mirror` or `head`.
    pub name: &'static str,
    /// Where.
    pub path: PathBuf,
    /// The number of its last commit.
    pub number: Option<u64>,
    /// How many entries it has; the head has none.
    pub entries: Option<usize>,
    /// What is wrong with it.
    pub fault: Option<String>,
}

/// What was found in all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreReport {
    /// Each place by itself: both copies, then the head.
    pub parts: Vec<CopyReport>,
    /// What does not fit together.
    pub faults: Vec<String>,
}

impl StoreReport {
    /// Is everything as it should be?
    pub fn is_whole(&self) -> bool {
        self.faults.is_empty() && self.parts.iter().all(|part| part.fault.is_none())
    }
}

/// A copy of the first copy's files: the store may be open, and who opens a sled database writes in it.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn of(places: &StorePlaces) -> Result<Self, StoreError> {
        let (from, to) = (places.database(), places.folder.join("verify"));
        let failed = |error: io::Error| StoreError::Failed(format!("{}: {error}", from.display()));
        remove(&to).map_err(failed)?;
        let scratch = Self(to);
        if from.exists() {
            forget_pages(&from).map_err(failed)?;
            copy_folder(&from, &scratch.0).map_err(failed)?;
        }
        Ok(scratch)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.0) {
            tracing::warn!(file = %self.0.display(), %error, "a copy of the key store could not be removed");
        }
    }
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy_folder(&entry.path(), &to)?,
            false => drop(fs::copy(entry.path(), to)?),
        }
    }
    Ok(())
}

/// Looks at everything. `scratch` was taken while nothing was committed, and nothing was since.
pub(crate) fn examine(
    places: &StorePlaces,
    scratch: &Scratch,
    unlock: &Unlock<'_>,
) -> Result<StoreReport, StoreError> {
    let store = SledPlace(scratch.0.clone()).read(unlock)?;
    let mirror = MirrorPlace(places.mirror_log()).read(unlock)?;
    let head = Head::at(&places.head);
    let told =
        head.read().map_err(|error| StoreError::Failed(format!("{}: {error}", places.head.display())))?;
    let mut faults = Vec::new();
    let part = |name, path, judged: &Judged| CopyReport {
        name,
        path,
        number: judged.number(),
        entries: Some(judged.entries.len()),
        fault: judged.fault(),
    };
    let mut parts =
        vec![part("store", places.database(), &store), part("mirror", places.mirror_log(), &mirror)];
    if let (Some(a), Some(b)) = (store.whole(), mirror.whole()) {
        if a.digest.state != b.digest.state {
            faults.push("the two copies are of different commits".to_owned());
        } else if a.digest.sum != b.digest.sum {
            faults.push("the two copies differ".to_owned());
        }
    }
    let best = [&store, &mirror].into_iter().filter_map(Judged::whole).max_by_key(|w| w.digest.state.number);
    let (number, fault) = match (&told, best) {
        (Told::Nothing, _) => (None, Some("it is missing".to_owned())),
        (Told::Nonsense, _) => (None, Some("it is damaged".to_owned())),
        (Told::Reached(record), None) => (Some(record.state.number), None),
        (Told::Reached(record), Some(best)) => {
            let (told, found) = (record.state, best.digest.state);
            let fault = if told.store_id != found.store_id {
                Some("it belongs to another key store".to_owned())
            } else if told.number > found.number {
                Some(format!("the copies end at commit {}", found.number))
            } else if told.number == found.number && record.open(&best.domain) != Some(best.digest.sum) {
                Some("it tells another state of this commit".to_owned())
            } else {
                None
            };
            (Some(told.number), fault)
        }
    };
    parts.push(CopyReport { name: "head", path: places.head.clone(), number, entries: None, fault });
    Ok(StoreReport { parts, faults })
}
