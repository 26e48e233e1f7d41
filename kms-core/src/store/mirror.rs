//! The second copy: a log of what was committed, in a file that any program can read. It is written anew once it has grown to twice
//! what it was when it was whole, and after each change of the domain key, so that none of a former one's wrappings stays.
//!
//! ```text
//! frame: "SGKM" ‖ version (1) = 1 ‖ kind (1): 0 changes, 1 all there is ‖ 0 (2) ‖ body length (4) ‖ commit number (8)
//!        ‖ body: postcard of a list of (name, value or none) ‖ SHA-256 of all of the frame before (32)
//! ```
//!
//! Numbers are big-endian. The first frame has all there is; each further one the changes of the next commit.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use super::aside::{sync_folder, with_suffix};
use super::digest::DigestRecord;
use super::{Change, DIGEST_NAME, Entries, Expected, Item, KeyStore, StoreError};

const MAGIC: &[u8; 4] = b"SGKM";
const VERSION: u8 = 1;
const HEADER_LEN: usize = 20;
const CHECKSUM_LEN: usize = 32;
/// A log that is not longer is left to grow.
const MIN_REWRITTEN_LEN: u64 = 1 << 20;
/// The longest log that is read: a store of AWS's quotas is a tenth of it.
const MAX_LEN: u64 = 4 << 30;
/// The name of the wrapped domain key.
const DOMAIN_NAME: &[u8] = b"m";

#[derive(Clone, Copy, PartialEq, Eq)]
enum FrameKind {
    Changes = 0,
    Whole = 1,
}

/// See the module.
pub(crate) struct MirrorLog {
    path: PathBuf,
    log: Mutex<Log>,
}

struct Log {
    file: File,
    len: u64,
    /// How long it was when it was written whole.
    whole_len: u64,
    number: u64,
}

/// What a log has.
#[derive(Default)]
pub(crate) struct Recovered {
    /// Of a damaged one: what its good frames tell.
    pub(crate) entries: Entries,
    /// The commit of the last good frame.
    pub(crate) number: u64,
    /// Where the good frames at its beginning end.
    end: u64,
    whole_len: u64,
    /// Something stands behind the good frames: a write that was cut off.
    pub(crate) is_torn: bool,
    /// Good frames stand behind something that is none.
    pub(crate) damage: Option<String>,
}

impl MirrorLog {
    /// Reads a log and opens it, if it is whole up to its last write; `None`: there is none.
    pub(crate) fn open(path: &Path) -> io::Result<Option<(Option<Self>, Recovered)>> {
        let Some(bytes) = read(path)? else { return Ok(None) };
        let recovered = recover(&bytes);
        if recovered.damage.is_some() || recovered.is_torn || recovered.end == 0 {
            return Ok(Some((None, recovered)));
        }
        let file = OpenOptions::new().append(true).open(path)?;
        let Recovered { end: len, whole_len, number, .. } = recovered;
        let log = Mutex::new(Log { file, len, whole_len, number });
        Ok(Some((Some(Self { path: path.to_owned(), log }), recovered)))
    }

    /// Makes a log of these entries, in the place of what is there.
    pub(crate) fn make(path: &Path, entries: &Entries) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            DirBuilder::new().mode(0o700).recursive(true).create(folder)?;
            sync_folder(folder.parent())?;
        }
        let number = DigestRecord::among(entries).map_or(0, |record| record.state.number);
        let log = write_whole(path, number, entries)?;
        Ok(Self { path: path.to_owned(), log: Mutex::new(log) })
    }

    fn rewrite(&self, log: &mut Log) -> io::Result<()> {
        let bytes = read(&self.path)?.unwrap_or_default();
        let recovered = recover(&bytes);
        if recovered.end != log.len || recovered.is_torn || recovered.damage.is_some() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not as it was written"));
        }
        *log = write_whole(&self.path, log.number, &recovered.entries)?;
        Ok(())
    }
}

impl KeyStore for MirrorLog {
    fn load(&self) -> Result<Vec<Item>, StoreError> {
        let failed =
            |error: &dyn std::fmt::Display| StoreError::Failed(format!("{}: {error}", self.path.display()));
        let log = self.log.lock();
        let recovered = recover(&read(&self.path).map_err(|e| failed(&e))?.unwrap_or_default());
        match recovered.end == log.len && !recovered.is_torn && recovered.damage.is_none() {
            true => Ok(recovered.entries.into_iter().collect()),
            false => Err(failed(&"it is not as it was written")),
        }
    }

    fn commit(&self, _: Expected<'_>, changes: Vec<Change>) -> Result<(), StoreError> {
        let failed = |error: io::Error| StoreError::Failed(format!("{}: {error}", self.path.display()));
        let mut log = self.log.lock();
        let digest = changes.iter().rev().find(|(name, _)| name == DIGEST_NAME);
        let digest = digest.and_then(|(_, value)| DigestRecord::decode(value.as_ref()?));
        let number = digest.map_or(log.number + 1, |record| record.state.number);
        let frame = frame(FrameKind::Changes, number, &changes);
        log.file.write_all(&frame).and_then(|()| log.file.sync_data()).map_err(failed)?;
        (log.len, log.number) = (log.len + frame.len() as u64, number);
        let is_rekeyed = changes.iter().any(|(name, _)| name == DOMAIN_NAME);
        if is_rekeyed || log.len > MIN_REWRITTEN_LEN.max(log.whole_len * 2) {
            let former_len = log.len;
            if let Err(error) = self.rewrite(&mut log) {
                // The log is as good as before, only longer; it is tried again once it has grown as much again.
                let file = self.path.display();
                tracing::warn!(%file, %error, "the second copy of the key store could not be written anew");
                log.whole_len = former_len;
            }
        }
        Ok(())
    }
}

/// All of the file, from the disk where it may be; `None`: there is none.
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if file.metadata()?.len() > MAX_LEN {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is too long for a log of keys"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_LEN).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Writes a new file, and puts it in the place of the former one once it is durable.
fn write_whole(path: &Path, number: u64, entries: &Entries) -> io::Result<Log> {
    let changes: Vec<Change> =
        entries.iter().map(|(name, value)| (name.clone(), Some(value.clone()))).collect();
    let frame = frame(FrameKind::Whole, number, &changes);
    let temporary = with_suffix(path, ".new");
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(&frame)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    sync_folder(path.parent())?;
    let len = frame.len() as u64;
    Ok(Log { file, len, whole_len: len, number })
}

fn frame(kind: FrameKind, number: u64, changes: &[Change]) -> Vec<u8> {
    let body = postcard::to_allocvec(changes).expect("changes can always be encoded");
    let mut frame = Vec::with_capacity(HEADER_LEN + body.len() + CHECKSUM_LEN);
    frame.extend_from_slice(MAGIC);
    frame.extend_from_slice(&[VERSION, kind as u8, 0, 0]);
    frame.extend_from_slice(&(body.len() as u32).to_be_bytes());
    frame.extend_from_slice(&number.to_be_bytes());
    frame.extend_from_slice(&body);
    let checksum = Sha256::digest(&frame);
    frame.extend_from_slice(&checksum);
    frame
}

struct Frame {
    kind: FrameKind,
    number: u64,
    changes: Vec<Change>,
    len: usize,
}

/// The frame at the beginning of these bytes, if one stands there.
fn parse(bytes: &[u8]) -> Option<Frame> {
    let header = bytes.get(..HEADER_LEN)?;
    let kind = match header[..8] {
        [b'S', b'G', b'K', b'M', VERSION, 0, 0, 0] => FrameKind::Changes,
        [b'S', b'G', b'K', b'M', VERSION, 1, 0, 0] => FrameKind::Whole,
        _ => return None,
    };
    let body_len = u32::from_be_bytes(header[8..12].try_into().ok()?) as usize;
    let number = u64::from_be_bytes(header[12..].try_into().ok()?);
    let body_end = HEADER_LEN.checked_add(body_len)?;
    let len = body_end.checked_add(CHECKSUM_LEN)?;
    let checksum = bytes.get(body_end..len)?;
    if Sha256::digest(&bytes[..body_end])[..] != *checksum {
        return None;
    }
    let changes = postcard::from_bytes(&bytes[HEADER_LEN..body_end]).ok()?;
    Some(Frame { kind, number, changes, len })
}

fn recover(bytes: &[u8]) -> Recovered {
    let mut found = Recovered::default();
    let (mut at, mut is_good) = (0, true);
    while at < bytes.len() {
        let Some(frame) = parse(&bytes[at..]) else {
            if is_good {
                found.is_torn = true;
            }
            is_good = false;
            // The next one that is whole, wherever it stands.
            let rest = &bytes[at + 1..];
            match rest.windows(MAGIC.len()).position(|window| window == MAGIC) {
                Some(distance) => at += 1 + distance,
                None => break,
            }
            continue;
        };
        let follows = match frame.kind {
            FrameKind::Whole => at == 0,
            FrameKind::Changes => at > 0 && frame.number == found.number.wrapping_add(1),
        };
        if found.damage.is_none() && !(is_good && follows) {
            found.damage = Some(format!("before byte {at} a commit is damaged or missing"));
        }
        for (name, value) in frame.changes {
            match value {
                Some(value) => found.entries.insert(name, value),
                None => found.entries.remove(&name),
            };
        }
        found.number = frame.number;
        at += frame.len;
        if found.damage.is_none() {
            found.end = at as u64;
            if frame.kind == FrameKind::Whole {
                found.whole_len = at as u64;
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(number: u8) -> Vec<Change> {
        vec![(vec![number], Some(vec![number; 100])), (vec![number.wrapping_sub(3)], None)]
    }

    fn filled(path: &Path) -> Entries {
        let log = MirrorLog::make(path, &Entries::new()).unwrap();
        (0..10).for_each(|number| log.commit(Expected::Anything, change(number)).unwrap());
        log.load().unwrap().into_iter().collect()
    }

    #[test]
    fn a_log_is_what_was_committed_and_is_cut_only_behind_what_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mirror/keys.log");
        assert!(MirrorLog::open(&path).unwrap().is_none());
        let entries = filled(&path);
        assert_eq!(entries.keys().map(|name| name[0]).collect::<Vec<_>>(), [7, 8, 9]);
        let (log, recovered) = MirrorLog::open(&path).unwrap().unwrap();
        assert!(recovered.entries == entries && recovered.number == 10);
        log.unwrap().commit(Expected::Anything, change(10)).unwrap();
        let whole = fs::read(&path).unwrap();
        // Cut anywhere: what is whole before stays, and it is told.
        for len in 0..whole.len() {
            let found = recover(&whole[..len]);
            assert!(found.damage.is_none() && found.number <= 10, "{len}");
            assert_eq!(found.is_torn, found.end != len as u64, "{len}");
        }
        // One bit anywhere, a frame left out, a frame twice: never taken for whole.
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << (at % 8);
            let found = recover(&flipped);
            assert!(found.is_torn || found.damage.is_some(), "{at}");
        }
        let second = parse(&whole).unwrap().len;
        let third = second + parse(&whole[second..]).unwrap().len;
        assert!(recover(&[&whole[..second], &whole[third..]].concat()).damage.is_some());
        assert!(recover(&[&whole[..third], &whole[second..]].concat()).damage.is_some());
    }

    #[test]
    fn a_log_is_written_anew_when_it_has_grown_and_with_each_domain_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.log");
        let log = MirrorLog::make(&path, &Entries::new()).unwrap();
        let value = vec![7; 100_000];
        for _ in 0..60 {
            log.commit(Expected::Anything, vec![(b"a".to_vec(), Some(value.clone()))]).unwrap();
        }
        assert!(fs::metadata(&path).unwrap().len() < 2_000_000);
        log.commit(Expected::Anything, vec![(DOMAIN_NAME.to_vec(), Some(b"former".to_vec()))]).unwrap();
        log.commit(Expected::Anything, vec![(DOMAIN_NAME.to_vec(), Some(b"newer".to_vec()))]).unwrap();
        let bytes = fs::read(&path).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"former"));
        let (again, recovered) = MirrorLog::open(&path).unwrap().unwrap();
        assert!(again.is_some() && recovered.entries.len() == 2 && recovered.number == 62);
    }
}
