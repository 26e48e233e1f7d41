//! One damage to one file or folder of a copied data folder.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::ValueEnum;

use super::folder::{KILLED, Prepared, STOPPED, files_below, remove};
use super::gateway::copy;
use super::random::Random;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub(crate) enum Kind {
    /// One bit is another
    Flip,
    /// A page of 4 KiB is zero
    Zero,
    /// The file ends at a random place
    Cut,
    /// It is not there
    Remove,
    /// The folder is there and empty
    Empty,
    /// Two files of a kind have changed places
    Swap,
    /// It is as it was earlier
    RollBack,
    /// It is another gateway's
    Foreign,
    /// One bit of a blob is another, and the catalog is lost
    FlipAndLose,
    /// A first start that was cut off
    FirstStart,
    /// A disk that fills up, and empties again
    FullDisk,
    /// A backup that is older than the blobs
    Backup,
}

/// What it is done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub(crate) enum FileKind {
    /// `catalog/db`
    CatalogDb,
    /// `catalog/conf`
    CatalogConf,
    /// `catalog/snap.…`
    CatalogSnap,
    /// The catalog's heads
    CatalogHead,
    /// `catalog/id`
    CatalogId,
    /// `blobs/files/…`
    BlobFile,
    /// `blobs/segments/….seg`
    Segment,
    /// `blobs/segments/….dead`
    Dead,
    /// `blobs/id`
    BlobsId,
    /// `kms/db/db`
    KmsDb,
    /// `kms/db/conf`
    KmsConf,
    /// `kms/db/snap.…`
    KmsSnap,
    /// The second copy of the key store
    KmsMirror,
    /// The key store's head
    KmsHead,
    /// `kms/id`
    KmsId,
    /// `kms/root-id`
    RootId,
    /// `instance.json`
    Instance,
    /// Any other file
    Other,
    /// The folder `catalog`
    Catalog,
    /// The folder `blobs`
    Blobs,
    /// The folder `kms`
    Kms,
    /// The folder of the second copy of the key store
    Mirror,
    /// The whole data folder
    Data,
}

/// Kinds of fault that a file may have.
const OF_FILES: [(Kind, u64); 7] = [
    (Kind::Flip, 6),
    (Kind::Zero, 2),
    (Kind::Cut, 3),
    (Kind::Remove, 1),
    (Kind::Swap, 1),
    (Kind::RollBack, 2),
    (Kind::Foreign, 1),
];
/// And folders.
const OF_FOLDERS: [(Kind, u64); 4] =
    [(Kind::Remove, 2), (Kind::Empty, 2), (Kind::RollBack, 3), (Kind::Foreign, 2)];
/// What is more than one damage, or none.
const SCENARIOS: [(Kind, FileKind, u64); 5] = [
    (Kind::FlipAndLose, FileKind::Segment, 8),
    (Kind::FlipAndLose, FileKind::BlobFile, 4),
    (Kind::FirstStart, FileKind::Data, 6),
    (Kind::FullDisk, FileKind::Data, 2),
    (Kind::Backup, FileKind::Data, 2),
];
/// Files whose every bit counts are tried so many times more often.
const fn weight(kind: FileKind) -> u64 {
    match kind {
        FileKind::CatalogDb | FileKind::KmsDb | FileKind::Segment => 3,
        FileKind::BlobFile | FileKind::KmsMirror | FileKind::CatalogHead => 2,
        _ => 1,
    }
}

impl FileKind {
    /// Of a file, by its path below the data folder; `None` for what holds nothing.
    fn of(path: &Path) -> Option<Self> {
        let path = path.to_str()?;
        let name = path.rsplit('/').next()?;
        Some(match path {
            _ if name == "lock" || name.ends_with(".sock") => return None,
            "instance.json" => Self::Instance,
            "catalog/db" => Self::CatalogDb,
            "catalog/conf" => Self::CatalogConf,
            "catalog/id" => Self::CatalogId,
            "blobs/id" => Self::BlobsId,
            "kms/id" => Self::KmsId,
            "kms/root-id" => Self::RootId,
            "kms/db/db" => Self::KmsDb,
            "kms/db/conf" => Self::KmsConf,
            _ if path.starts_with("catalog/snap.") => Self::CatalogSnap,
            _ if path.starts_with("kms/db/snap.") => Self::KmsSnap,
            _ if path.starts_with("catalog.head") || path.starts_with("catalog/head") => Self::CatalogHead,
            _ if path.starts_with("kms.head") || path.starts_with("kms/head") => Self::KmsHead,
            _ if path.starts_with("kms-mirror/") => Self::KmsMirror,
            _ if path.starts_with("blobs/files/") => Self::BlobFile,
            _ if path.ends_with(".seg") => Self::Segment,
            _ if path.ends_with(".dead") => Self::Dead,
            _ => Self::Other,
        })
    }

    /// Of a folder.
    pub(crate) fn folder(self) -> Option<&'static str> {
        match self {
            Self::Catalog => Some("catalog"),
            Self::Blobs => Some("blobs"),
            Self::Kms => Some("kms"),
            Self::Mirror => Some("kms-mirror"),
            _ => None,
        }
    }

    /// Its name on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

impl Kind {
    /// Its name on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// A kind of fault to a kind of file.
pub(crate) type Pair = (FileKind, Kind);

/// Can this be done to a file of this kind in one of the two states?
fn applies(prepared: &Prepared, file: FileKind, kind: Kind) -> bool {
    let of_kind = |data: &Path| -> Vec<PathBuf> {
        files_below(data).into_iter().filter(|path| FileKind::of(path) == Some(file)).collect()
    };
    let states = [KILLED, STOPPED].map(|state| prepared.state(state));
    match kind {
        Kind::Swap => states.iter().any(|data| of_kind(data).len() > 1),
        Kind::Foreign => of_kind(&prepared.foreign()).iter().any(|path| {
            let read = |folder: &Path, path: &PathBuf| std::fs::read(folder.join(path)).ok();
            let theirs = read(&prepared.foreign(), path);
            states.iter().any(|data| of_kind(data).iter().any(|path| read(data, path) != theirs))
        }),
        Kind::RollBack => states.iter().any(|data| {
            let read = |folder: &Path, path: &PathBuf| std::fs::read(folder.join(path)).ok();
            let older = |path: &PathBuf| read(&prepared.older(), path);
            of_kind(data).iter().any(|path| older(path).is_some_and(|older| Some(older) != read(data, path)))
        }),
        _ => true,
    }
}

/// Every pair that can be tried, each as often as its weight, in an order that spreads them.
pub(crate) fn pairs(prepared: &Prepared, kinds: &[Kind], files: &[FileKind]) -> Vec<Pair> {
    let state = prepared.state(KILLED);
    let mut there: Vec<FileKind> = files_below(&state).iter().filter_map(|path| FileKind::of(path)).collect();
    there.extend(files_below(&prepared.state(STOPPED)).iter().filter_map(|path| FileKind::of(path)));
    there.sort_unstable();
    there.dedup();
    let mut weighted = Vec::new();
    for file in there {
        let possible = OF_FILES.iter().filter(|(kind, _)| applies(prepared, file, *kind));
        weighted.extend(possible.map(|(kind, times)| (file, *kind, times * weight(file))));
    }
    for folder in [FileKind::Catalog, FileKind::Blobs, FileKind::Kms, FileKind::Mirror] {
        if folder.folder().is_some_and(|name| state.join(name).is_dir()) {
            weighted.extend(OF_FOLDERS.map(|(kind, times)| (folder, kind, times)));
        }
    }
    weighted.extend(SCENARIOS.map(|(kind, file, times)| (file, kind, times)));
    weighted.retain(|(file, kind, _)| {
        (kinds.is_empty() || kinds.contains(kind)) && (files.is_empty() || files.contains(file))
    });
    // Each pair's places are spread over the whole, so that a short run has a share of everything.
    let mut places: Vec<(f64, Pair)> = Vec::new();
    for (nth, (file, kind, times)) in weighted.into_iter().enumerate() {
        let offset = (nth as f64 * 0.618_033_988_75).fract();
        places.extend((0..times).map(|n| ((n as f64 + offset) / times as f64, (file, kind))));
    }
    places.sort_by(|a, b| a.0.total_cmp(&b.0));
    places.into_iter().map(|(_, pair)| pair).collect()
}

/// A fault that was done.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    /// What and where, for people.
    pub(crate) text: String,
    /// Whoever runs the gateway can put this folder back: it is elsewhere, not lost.
    pub(crate) can_be_put_back: Option<&'static str>,
    /// Names by which the damage itself may be told.
    pub(crate) names: Vec<String>,
}

/// Damages a copy. `None`: there is nothing of this kind, or it would be as before.
pub(crate) async fn inflict(
    prepared: &Prepared,
    (file, kind): Pair,
    data: &Path,
    random: &mut Random,
) -> anyhow::Result<Option<Fault>> {
    if let Some(folder) = file.folder() {
        return in_folder(prepared, folder, kind, data).await;
    }
    let mut candidates: Vec<PathBuf> =
        files_below(data).into_iter().filter(|path| FileKind::of(path) == Some(file)).collect();
    if kind == Kind::RollBack {
        candidates.retain(|path| prepared.older().join(path).is_file());
    }
    let Some(path) = random.pick(&candidates).cloned() else { return Ok(None) };
    let (target, mut names) = (data.join(&path), names_of(&path));
    let before = std::fs::read(&target)?;
    let what = match kind {
        Kind::Flip | Kind::FlipAndLose => {
            let Some(at) = place(&before, random) else { return Ok(None) };
            let bit = random.below(8);
            let mut after = before.clone();
            after[at] ^= 1 << bit;
            write_at(&target, at as u64, &after[at..=at])?;
            format!("bit {bit} of byte {at} of {} flipped", before.len())
        }
        Kind::Zero => {
            let Some(at) = place(&before, random) else { return Ok(None) };
            let from = at / 4096 * 4096;
            let len = (before.len() - from).min(4096);
            write_at(&target, from as u64, &vec![0; len])?;
            format!("{len} bytes from {from} of {} zeroed", before.len())
        }
        Kind::Cut => {
            let Some(at) = place(&before, random) else { return Ok(None) };
            std::fs::File::options().write(true).open(&target)?.set_len(at as u64)?;
            format!("cut at {at} of {}", before.len())
        }
        Kind::Remove => {
            remove(&target)?;
            "removed".to_owned()
        }
        Kind::Swap => {
            let others: Vec<&PathBuf> = candidates.iter().filter(|other| **other != path).collect();
            let Some(other) = random.pick(&others) else { return Ok(None) };
            let spare = data.join("swapping");
            std::fs::rename(&target, &spare)?;
            std::fs::rename(data.join(other), &target)?;
            std::fs::rename(&spare, data.join(other))?;
            names.extend(names_of(other));
            format!("swapped with {}", other.display())
        }
        Kind::RollBack | Kind::Foreign => {
            let from = if kind == Kind::RollBack { prepared.older() } else { prepared.foreign() };
            let from = match kind {
                Kind::RollBack => from.join(&path),
                // Names of blobs are random: any of its files of this kind.
                _ => {
                    let theirs: Vec<PathBuf> = files_below(&from)
                        .into_iter()
                        .filter(|path| FileKind::of(path) == Some(file))
                        .collect();
                    match random.pick(&theirs) {
                        Some(theirs) => from.join(theirs),
                        None => return Ok(None),
                    }
                }
            };
            if !from.is_file() || std::fs::read(&from)? == before {
                return Ok(None);
            }
            remove(&target)?;
            copy(&from, &target).await?;
            format!("taken from {}", from.strip_prefix(&prepared.folder).unwrap_or(&from).display())
        }
        Kind::Empty | Kind::FirstStart | Kind::FullDisk | Kind::Backup => return Ok(None),
    };
    let mut text = format!("{}: {what}", path.display());
    if kind == Kind::FlipAndLose {
        remove(&data.join("catalog"))?;
        text += ", and catalog/ removed";
    } else if std::fs::read(&target).ok().as_ref() == Some(&before) {
        return Ok(None);
    }
    // Another key store's copy or head may be that of a gateway that lives: it is refused, and whoever put it there has the right one.
    let can_be_put_back = match (file, kind) {
        (FileKind::KmsMirror, Kind::Foreign) => Some("kms-mirror"),
        (FileKind::KmsHead, Kind::Foreign) => Some("kms.head"),
        _ => None,
    };
    Ok(Some(Fault { text, can_be_put_back, names }))
}

async fn in_folder(
    prepared: &Prepared,
    folder: &'static str,
    kind: Kind,
    data: &Path,
) -> anyhow::Result<Option<Fault>> {
    let target = data.join(folder);
    let from = match kind {
        Kind::Remove | Kind::Empty => None,
        Kind::RollBack => Some(prepared.older().join(folder)),
        Kind::Foreign => Some(prepared.foreign().join(folder)),
        _ => return Ok(None),
    };
    remove(&target)?;
    match &from {
        Some(from) if from.is_dir() => copy(from, &target).await?,
        Some(_) => return Ok(None),
        None if kind == Kind::Empty => std::fs::create_dir(&target).context(folder)?,
        None => {}
    }
    let what = match kind {
        Kind::Remove => "removed",
        Kind::Empty => "emptied",
        Kind::RollBack => "as it was earlier",
        _ => "another gateway's",
    };
    // What is as it was earlier is so because the later state is lost.
    let can_be_put_back = (kind != Kind::RollBack).then_some(folder);
    Ok(Some(Fault { text: format!("{folder}/: {what}"), can_be_put_back, names: vec![format!("{folder}")] }))
}

/// The path itself; of a blob's file its id; of a segment its number.
fn names_of(path: &Path) -> Vec<String> {
    let mut names = vec![path.display().to_string()];
    names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
    names
}

/// A place in a file, mostly where something stands: much of a store's files is reserved and still zero.
fn place(bytes: &[u8], random: &mut Random) -> Option<usize> {
    let len = bytes.len() as u64;
    if len == 0 {
        return None;
    }
    if random.below(8) > 0 {
        for _ in 0..10_000 {
            let at = random.below(len) as usize;
            let near = at.saturating_sub(16)..(at + 16).min(bytes.len());
            if bytes[near].iter().any(|&byte| byte != 0) {
                return Some(at);
            }
        }
        // Little stands in a large file.
        let used: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at] != 0).collect();
        return random.pick(&used).copied();
    }
    Some(random.below(len) as usize)
}

fn write_at(path: &Path, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(&std::fs::File::options().write(true).open(path)?, bytes, offset)
}
