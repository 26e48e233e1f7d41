//! A head: how far an engine has come, told from outside of it. FORMAT.md has the bytes.
//!
//! An engine whose log has lost its end does not know it. The head knows the number of the last commit that was durable, in two
//! small files that are written one after the other: whatever spoils one leaves the other.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::crc32c;

const MAGIC: [u8; 4] = *b"SGhd";
const VERSION: u8 = 1;
/// Bytes of a file: one sector, which a medium writes whole or not at all.
const LEN: usize = 512;
/// The longest mark.
const MAX_MARK_LEN: usize = 256;

/// What a head says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    /// The last commit that was durable.
    pub number: u64,
    /// What tells this commit from another of the same number: what the engine keeps with it.
    pub mark: Vec<u8>,
}

/// What the two files of a head hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The furthest of what is sound.
    pub reached: Option<Reached>,
    /// Files that are missing or damaged.
    pub unsound: Vec<PathBuf>,
}

/// The two files of a head, open for writing.
#[derive(Debug)]
pub struct Head {
    files: [File; 2],
}

impl Head {
    /// The files of the head of this name.
    pub fn paths(base: &Path) -> [PathBuf; 2] {
        ["a", "b"].map(|end| {
            let mut path = base.as_os_str().to_owned();
            path.push(".head.");
            path.push(end);
            path.into()
        })
    }

    /// Reads a head. Damage is no error: one sound file is enough.
    pub fn read(base: &Path) -> io::Result<Found> {
        let mut found = Found { reached: None, unsound: Vec::new() };
        for path in Self::paths(base) {
            let reached = match std::fs::read(&path) {
                Ok(bytes) => decode(&bytes),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(error),
            };
            match reached {
                None => found.unsound.push(path),
                Some(reached) if found.reached.as_ref().is_none_or(|best| best.number < reached.number) => {
                    found.reached = Some(reached);
                }
                Some(_) => {}
            }
        }
        Ok(found)
    }

    /// Opens both files, made where they do not exist, and writes where the engine is now; durable.
    pub fn open(base: &Path, reached: &Reached) -> io::Result<Self> {
        let open = |path: PathBuf| {
            File::options().create(true).truncate(false).read(true).write(true).mode(0o600).open(path)
        };
        let [a, b] = Self::paths(base);
        let head = Self { files: [open(a)?, open(b)?] };
        head.write(reached)?;
        head.sync()?;
        if let Some(folder) = base.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            File::open(folder)?.sync_all()?;
        }
        Ok(head)
    }

    /// Writes both files, one after the other, and does not sync: what a killed process wrote is there, what a power cut takes is
    /// what came since the last sync.
    pub fn write(&self, reached: &Reached) -> io::Result<()> {
        let bytes = encode(reached);
        self.files.iter().try_for_each(|file| file.write_all_at(&bytes, 0))
    }

    /// Makes durable what was written.
    pub fn sync(&self) -> io::Result<()> {
        self.files.iter().try_for_each(File::sync_data)
    }
}

fn encode(reached: &Reached) -> [u8; LEN] {
    let mark = &reached.mark[..reached.mark.len().min(MAX_MARK_LEN)];
    let mut bytes = [0; LEN];
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[4] = VERSION;
    bytes[6..8].copy_from_slice(&(mark.len() as u16).to_le_bytes());
    bytes[8..16].copy_from_slice(&reached.number.to_le_bytes());
    bytes[16..16 + mark.len()].copy_from_slice(mark);
    let crc = crc32c(&bytes[..LEN - 4]);
    bytes[LEN - 4..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<Reached> {
    let bytes: &[u8; LEN] = bytes.try_into().ok()?;
    let is_sound = bytes[..4] == MAGIC
        && bytes[4] == VERSION
        && bytes[LEN - 4..] == crc32c(&bytes[..LEN - 4]).to_le_bytes();
    let len = usize::from(u16::from_le_bytes([bytes[6], bytes[7]]));
    if !is_sound || len > MAX_MARK_LEN {
        return None;
    }
    let number = u64::from_le_bytes(bytes[8..16].try_into().ok()?);
    Some(Reached { number, mark: bytes[16..16 + len].to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sound_file_tells_and_the_other_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let base = folder.path().join("catalog");
        assert_eq!(Head::read(&base).expect("a read").reached, None);
        let at = |number| Reached { number, mark: vec![number as u8; 90] };
        let head = Head::open(&base, &at(1)).expect("it opens");
        head.write(&at(2)).expect("a write");
        let found = Head::read(&base).expect("a read");
        assert_eq!(found, Found { reached: Some(at(2)), unsound: vec![] });
        for (broken, path) in Head::paths(&base).into_iter().enumerate() {
            let sound = std::fs::read(&path).expect("a read");
            for byte in 0..LEN {
                let mut bytes = sound.clone();
                bytes[byte] ^= 1 << (byte % 8);
                std::fs::write(&path, bytes).expect("a write");
                let found = Head::read(&base).expect("a read");
                assert_eq!(found, Found { reached: Some(at(2)), unsound: vec![path.clone()] }, "{broken}");
            }
            std::fs::remove_file(&path).expect("it is removed");
            assert_eq!(Head::read(&base).expect("a read").unsound, std::slice::from_ref(&path));
            std::fs::write(&path, sound).expect("a write");
        }
    }
}
