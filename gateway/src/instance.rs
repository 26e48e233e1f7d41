//! A data folder and what lies beside it: who holds it, which account it is of, its root key and credentials.

mod credentials;
mod error;
mod state;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kms_core::store::StorePlaces;
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

pub use self::credentials::Credentials;
pub use self::error::InstanceError;
use crate::config::Config;
use crate::iam;

/// The layout that this program reads and writes. 1 had no id, 2 no segments of blocks.
const FORMAT: u32 = 3;
/// The file of a part that says which data folder it belongs to.
const ID_FILE: &str = "id";
/// The file in which a folder describes itself.
const DESCRIPTION: &str = "instance.json";
/// The same once more, for when that is damaged.
const DESCRIPTION_COPY: &str = "instance.json.copy";
/// Where the salt of a passphrase is kept within a data folder.
pub const PASSPHRASE_FILE: &str = "kms/passphrase.json";

/// The description in `instance.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Layout version of the folder.
    pub format: u32,
    /// The account that owns the gateway: 12 digits.
    pub account_id: String,
    /// The region that keys' ARNs name.
    pub region: String,
    /// What the folder and each of its parts carry, at random: 32 hexadecimal digits. Empty in folders of format 1.
    #[serde(default)]
    pub id: String,
    /// It is being made: nothing in it was ever served.
    #[serde(default)]
    pub unfinished: bool,
    /// Its catalog came from a backup, was rebuilt or accepted by an operator, and was not served since: it may lack what blobs
    /// tell.
    #[serde(default)]
    pub doubtful: bool,
    /// Its catalog is being rebuilt: it lacks what was not read yet.
    #[serde(default)]
    pub rebuilding: bool,
    /// It is being filled from elsewhere (`sealgate migrate`): no gateway opens it yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub moving: bool,
    /// Its blobs are in an object store, not in it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub blobs_elsewhere: bool,
    /// CRC-32C of all of the above, as eight hexadecimal digits; folders of format 1 have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    check: Option<String>,
}

impl Instance {
    /// Its description, with its checksum.
    fn to_text(&self) -> serde_json::Result<Vec<u8>> {
        let check = Some(Self { check: None, ..self.clone() }.checksum()?);
        let mut text = serde_json::to_vec_pretty(&Self { check, ..self.clone() })?;
        text.push(b'\n');
        Ok(text)
    }

    fn checksum(&self) -> serde_json::Result<String> {
        let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &serde_json::to_vec(self)?);
        Ok(format!("{crc:08x}"))
    }

    /// Is this a description as it was written?
    fn is_sound(text: &[u8]) -> Option<Self> {
        let mut instance: Self = serde_json::from_slice(text).ok()?;
        match instance.check.take() {
            Some(check) => (instance.checksum().ok()? == check).then_some(instance),
            None => (instance.format < 2).then_some(instance),
        }
    }
}

/// A part of the folder that has an id of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Records.
    Catalog,
    /// Blobs.
    Blobs,
    /// The key store.
    Kms,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Catalog, Self::Blobs, Self::Kms];

    fn name(self) -> &'static str {
        match self {
            Self::Catalog => "catalog",
            Self::Blobs => "blobs",
            Self::Kms => "kms",
        }
    }

    fn way_out(self) -> &'static str {
        match self {
            Self::Catalog => "make a new catalog from the blobs with `sealgate rebuild`",
            Self::Blobs => "copy the blobs back from where they are kept",
            Self::Kms => "make a new data folder of a backup with `sealgate restore`",
        }
    }
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
    /// What was asked for.
    pub opened_as: IfAbsent,
    /// Its records and keys are elsewhere: what describes it is there, too.
    is_state: bool,
    lock: Arc<File>,
}

/// What is done where a folder, or a part of it, is not as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfAbsent {
    /// A folder is made where there is none.
    Create,
    /// It is refused.
    Refuse,
    /// A catalog that is missing, or another's, is made anew.
    Rebuild,
    /// An operator takes every part for the right one.
    Adopt,
    /// It is refused; one that is being filled by a move is not.
    Move,
}

impl DataFolder {
    /// Opens the folder of this configuration and holds it.
    pub fn open(config: &Config, if_absent: IfAbsent) -> Result<Self, InstanceError> {
        if config.places.metadata.is_some() {
            return Err(InstanceError::Shared(
                "this is done on a running gateway, or is not offered with metadata",
            ));
        }
        let path = config.data.clone();
        let description = path.join(DESCRIPTION);
        match read_description(&path).map_err(|source| InstanceError::Io { path: path.clone(), source })? {
            Some(text) => Self::reopen(config, path, &description, &text, if_absent),
            None if if_absent == IfAbsent::Create => Self::create(config, path, None),
            None => Err(InstanceError::Absent(path)),
        }
    }

    fn reopen(
        config: &Config,
        path: PathBuf,
        description: &Path,
        text: &[u8],
        if_absent: IfAbsent,
    ) -> Result<Self, InstanceError> {
        let malformed = |message| InstanceError::Malformed { path: description.to_owned(), message };
        let told: Instance = serde_json::from_slice(text).map_err(|error| malformed(error.to_string()))?;
        if told.format > FORMAT {
            return Err(InstanceError::TooNew { found: told.format });
        }
        let instance = Instance::is_sound(text)
            .ok_or_else(|| malformed("its checksum is wrong; put it back from a backup".to_owned()))?;
        if instance.unfinished && instance.doubtful {
            return Err(InstanceError::HalfRestored(path));
        }
        if let Some(asked) = config.account_id.as_ref().filter(|id| **id != instance.account_id) {
            return Err(InstanceError::OtherAccount { found: instance.account_id, asked: asked.clone() });
        }
        if instance.moving && if_absent != IfAbsent::Move {
            return Err(InstanceError::HalfMoved(path));
        }
        if instance.rebuilding && if_absent != IfAbsent::Rebuild {
            return Err(InstanceError::HalfRebuilt(path));
        }
        let lock = hold(&path)?;
        let mut folder = Self { path, instance, is_new: false, opened_as: if_absent, is_state: false, lock };
        folder.check_parts(if_absent)?;
        Ok(folder)
    }

    /// Does each part belong to this folder? Folders of format 1 get their id here.
    fn check_parts(&mut self, if_absent: IfAbsent) -> Result<(), InstanceError> {
        let is_former = self.instance.id.is_empty();
        if is_former {
            // A part that has one already got it when this was cut off.
            let found = Part::ALL.into_iter().find_map(|part| self.id_of(part).ok().flatten());
            self.instance.id = found.unwrap_or_else(random_id);
            // Nothing but the description is what a first start that was cut off leaves behind.
            self.instance.unfinished = Part::ALL.into_iter().all(|part| !self.part(part).exists());
        }
        for part in Part::ALL {
            let (path, id) = (self.part(part), self.instance.id.clone());
            let way_out = part.way_out();
            let found = self.id_of(part)?;
            // A catalog that is made anew gets its id when it is made.
            let is_remade = if_absent == IfAbsent::Rebuild && part == Part::Catalog;
            if found.as_ref() == Some(&id) || is_remade {
                continue;
            }
            let is_empty =
                is_empty(&path).map_err(|source| InstanceError::Io { path: path.clone(), source })?;
            let is_taken =
                self.instance.unfinished || (is_former && !is_empty) || if_absent == IfAbsent::Adopt;
            match found {
                _ if is_taken => self.write_id(part)?,
                Some(found) => return Err(InstanceError::ForeignPart { path, id, found, way_out }),
                None if is_empty => return Err(InstanceError::NoPart { path, id, way_out }),
                None => return Err(InstanceError::NoId { path, id }),
            }
        }
        if self.instance.format < FORMAT || !self.path.join(DESCRIPTION_COPY).exists() {
            self.instance.format = FORMAT;
            self.describe()?;
        }
        Ok(())
    }

    /// Where a part is.
    pub fn part(&self, part: Part) -> PathBuf {
        self.path.join(part.name())
    }

    /// The id that a part carries; `unreadable` if it holds what no id does, so that an error never repeats what may be damaged.
    fn id_of(&self, part: Part) -> Result<Option<String>, InstanceError> {
        let path = self.part(part).join(ID_FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(InstanceError::Io { path, source }),
        };
        Ok(match str::from_utf8(text.trim_ascii()) {
            Ok("") => None,
            Ok(id) if id.bytes().all(|byte| byte.is_ascii_alphanumeric()) => Some(id.to_owned()),
            Ok(_) | Err(_) => Some("unreadable".to_owned()),
        })
    }

    /// Gives a part the folder's id; made where it does not exist.
    pub fn write_id(&self, part: Part) -> Result<(), InstanceError> {
        let path = self.part(part);
        DirBuilder::new()
            .mode(0o700)
            .recursive(true)
            .create(&path)
            .and_then(|()| write_new(&path.join(ID_FILE), format!("{}\n", self.instance.id).as_bytes()))
            .and_then(|()| File::open(&self.path)?.sync_all())
            .map_err(|source| InstanceError::Io { path, source })
    }

    /// Its parts are made and can be served.
    pub fn finish(&mut self) -> Result<(), InstanceError> {
        if self.instance.unfinished {
            self.instance.unfinished = false;
            self.describe()?;
        }
        Ok(())
    }

    /// Takes its id from its parts at the next start, as a folder of format 1.
    pub fn forget_id(&mut self) -> Result<(), InstanceError> {
        for part in [Part::Catalog, Part::Kms] {
            let path = self.part(part).join(ID_FILE);
            fs::remove_file(&path).map_err(|source| InstanceError::Io { path, source })?;
        }
        self.instance.id.clear();
        self.instance.format = 1;
        self.describe()
    }

    /// Says whether the catalog may lack what blobs tell.
    pub fn set_doubtful(&mut self, is_doubtful: bool) -> Result<(), InstanceError> {
        if self.instance.doubtful != is_doubtful {
            self.instance.doubtful = is_doubtful;
            self.describe()?;
        }
        Ok(())
    }

    /// Says that the catalog is being rebuilt, or is so no more.
    pub fn set_rebuilding(&mut self, is_rebuilding: bool) -> Result<(), InstanceError> {
        self.instance.rebuilding = is_rebuilding;
        self.describe()
    }

    /// Sees to it that blobs stay where they are: all in the folder, or all in an object store.
    pub fn keep_blob_place(&mut self, is_elsewhere: bool) -> Result<(), InstanceError> {
        if self.instance.blobs_elsewhere == is_elsewhere {
            return Ok(());
        }
        if !is_elsewhere {
            return Err(InstanceError::BlobsElsewhere(self.path.clone()));
        }
        let path = self.part(Part::Blobs);
        let entries =
            fs::read_dir(&path).map_err(|source| InstanceError::Io { path: path.clone(), source })?;
        // The id alone is there where no blob ever was.
        if entries.count() > 1 {
            return Err(InstanceError::BlobsHere(path));
        }
        self.instance.blobs_elsewhere = true;
        self.describe()
    }

    /// Says whether it is being filled by a move.
    pub fn set_moving(&mut self, is_moving: bool) -> Result<(), InstanceError> {
        self.instance.moving = is_moving;
        self.describe()
    }

    fn describe(&self) -> Result<(), InstanceError> {
        if self.is_state {
            return Ok(());
        }
        let path = self.path.join(DESCRIPTION);
        let io = |source| InstanceError::Io { path: path.clone(), source };
        let text = self.instance.to_text().map_err(|e| io(e.into()))?;
        write_new(&path, &text).map_err(io)?;
        write_new(&self.path.join(DESCRIPTION_COPY), &text).map_err(io)
    }

    /// Makes a folder; `id`: of a backup.
    pub fn create(config: &Config, path: PathBuf, id: Option<String>) -> Result<Self, InstanceError> {
        let io = |source| InstanceError::Io { path: path.clone(), source };
        match fs::read_dir(&path) {
            Ok(mut entries) => {
                // These alone are what a start that was cut off leaves behind.
                let left_behind = ["lock", "instance.json.new", "instance.json.copy.new"];
                if entries
                    .any(|entry| entry.is_ok_and(|e| !left_behind.iter().any(|left| e.file_name() == *left)))
                {
                    return Err(InstanceError::Foreign(path));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                DirBuilder::new().mode(0o700).recursive(true).create(&path).map_err(io)?;
            }
            Err(error) => return Err(io(error)),
        }
        let lock = hold(&path)?;
        let instance = Instance {
            format: FORMAT,
            account_id: config.account_id.clone().unwrap_or_else(iam::account_id),
            region: config.region.clone(),
            id: id.unwrap_or_else(random_id),
            unfinished: true,
            doubtful: false,
            rebuilding: false,
            moving: false,
            blobs_elsewhere: false,
            check: None,
        };
        let folder =
            Self { path, instance, is_new: true, opened_as: IfAbsent::Create, is_state: false, lock };
        folder.describe()?;
        Part::ALL.into_iter().try_for_each(|part| folder.write_id(part))?;
        Ok(folder)
    }
}

/// The description of a folder: of itself and its copy the sound one whose id the parts carry. Where that is the copy, the other is made
/// anew.
fn read_description(folder: &Path) -> io::Result<Option<Vec<u8>>> {
    let read = |name| match fs::read(folder.join(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    };
    let parts_of = |text: &Vec<u8>| {
        let id = Instance::is_sound(text)?.id;
        let carries = |part: &Part| {
            fs::read_to_string(folder.join(part.name()).join(ID_FILE)).is_ok_and(|it| it.trim() == id)
        };
        Some(Part::ALL.iter().filter(|part| carries(part)).count())
    };
    let (first, copy) = (read(DESCRIPTION)?, read(DESCRIPTION_COPY)?);
    let (of_first, of_copy) = (first.as_ref().and_then(parts_of), copy.as_ref().and_then(parts_of));
    if of_copy <= of_first {
        return Ok(first);
    }
    if let Some(copy) = &copy {
        let path = folder.join(DESCRIPTION);
        tracing::warn!(file = %path.display(), "a damaged description of the data folder is made anew from its copy");
        write_new(&path, copy)?;
    }
    Ok(copy)
}

pub(crate) fn random_id() -> String {
    let mut id = [0; 16];
    getrandom::fill(&mut id).expect("the operating system gives random bytes");
    hex::encode(id)
}

/// Is there nothing in this folder, or no folder?
fn is_empty(folder: &Path) -> io::Result<bool> {
    match fs::read_dir(folder) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// Where the key store of a data folder lies: twice, and its head outside of both copies.
pub fn kms_places(config: &Config, folder: &DataFolder) -> StorePlaces {
    StorePlaces::around(&folder.path.join("kms")).with_mirror(config.kms_mirror.as_deref())
}

/// Takes the folder's lock; the kernel lets go of it when the process ends, however it ends.
fn hold(folder: &Path) -> Result<Arc<File>, InstanceError> {
    let path = folder.join("lock");
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(|source| InstanceError::Io { path, source })?;
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Arc::new(lock)),
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::config::RawConfig;

    pub(super) fn config(folder: &Path) -> Config {
        let mut raw = RawConfig::default();
        raw.places.data = Some(folder.join("data"));
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
    fn a_part_that_is_missing_empty_or_anothers_is_refused() {
        let scratch = tempfile::tempdir().unwrap();
        let config = config(scratch.path());
        let other = Config { data: scratch.path().join("other"), ..config.clone() };
        for config in [&config, &other] {
            let mut folder = DataFolder::open(config, IfAbsent::Create).unwrap();
            folder.finish().unwrap();
        }
        for part in Part::ALL {
            let (path, aside) = (config.data.join(part.name()), scratch.path().join("aside"));
            let refused = || DataFolder::open(&config, IfAbsent::Create).unwrap_err();
            fs::rename(&path, &aside).unwrap();
            assert!(matches!(refused(), InstanceError::NoPart { .. }));
            fs::create_dir(&path).unwrap();
            assert!(matches!(refused(), InstanceError::NoPart { .. }));
            fs::write(path.join("something"), "").unwrap();
            assert!(matches!(refused(), InstanceError::NoId { .. }));
            fs::copy(other.data.join(part.name()).join(ID_FILE), path.join(ID_FILE)).unwrap();
            assert!(matches!(refused(), InstanceError::ForeignPart { .. }));
            // What an error repeats can't be taken for a command of its own.
            fs::write(path.join(ID_FILE), "0a7d`sealgate erase`\n").unwrap();
            assert!(refused().to_string().contains("(id unreadable, not "), "{}", refused());
            assert_eq!(DataFolder::open(&config, IfAbsent::Rebuild).is_ok(), part == Part::Catalog);
            fs::remove_dir_all(&path).unwrap();
            fs::rename(&aside, &path).unwrap();
            DataFolder::open(&config, IfAbsent::Create).unwrap();
        }
    }

    #[test]
    fn a_first_start_that_was_cut_off_goes_on_and_a_former_folder_gets_an_id() {
        let scratch = tempfile::tempdir().unwrap();
        let config = config(scratch.path());
        fs::create_dir(&config.data).unwrap();
        fs::write(config.data.join("instance.json.new"), "{").unwrap();
        fs::write(config.data.join("lock"), "").unwrap();
        drop(DataFolder::open(&config, IfAbsent::Create).unwrap());
        fs::remove_dir_all(config.data.join("kms")).unwrap();
        let mut folder = DataFolder::open(&config, IfAbsent::Create).unwrap();
        assert!(folder.instance.unfinished);
        folder.finish().unwrap();
        drop(folder);

        let former = r#"{"format":1,"account_id":"111122223333","region":"us-east-1"}"#;
        fs::write(config.data.join(DESCRIPTION), former).unwrap();
        for part in Part::ALL {
            fs::remove_file(config.data.join(part.name()).join(ID_FILE)).unwrap();
            fs::write(config.data.join(part.name()).join("something"), "").unwrap();
        }
        fs::remove_dir_all(config.data.join("blobs")).unwrap();
        let refused = DataFolder::open(&config, IfAbsent::Create);
        assert!(matches!(refused, Err(InstanceError::NoPart { .. })));
        fs::create_dir(config.data.join("blobs")).unwrap();
        fs::write(config.data.join("blobs/something"), "").unwrap();
        let id = DataFolder::open(&config, IfAbsent::Create).unwrap().instance.id;
        let again = DataFolder::open(&config, IfAbsent::Create).unwrap();
        assert_eq!((again.instance.id, again.instance.unfinished), (id, false));
    }

    #[test]
    fn a_damaged_description_comes_back_from_its_copy() {
        let scratch = tempfile::tempdir().unwrap();
        let config = config(scratch.path());
        let mut folder = DataFolder::open(&config, IfAbsent::Create).unwrap();
        folder.finish().unwrap();
        let instance = folder.instance.clone();
        drop(folder);
        let path = config.data.join(DESCRIPTION);
        let flipped = fs::read_to_string(&path).unwrap().replace("us-east-1", "us-west-1");
        for damage in ["", "{", "{\"format\": 2}", &flipped] {
            fs::write(&path, damage).unwrap();
            assert_eq!(DataFolder::open(&config, IfAbsent::Refuse).unwrap().instance, instance);
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(DataFolder::open(&config, IfAbsent::Create).unwrap().instance, instance);
        fs::write(config.data.join(DESCRIPTION_COPY), "").unwrap();
        fs::write(&path, "").unwrap();
        let refused = DataFolder::open(&config, IfAbsent::Create);
        assert!(matches!(refused, Err(InstanceError::Malformed { .. })));
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
}
