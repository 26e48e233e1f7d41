//! The head: a file outside of both copies that tells how far the store reached. It has two slots that take turns, each in a page of
//! its own, so that a write that is torn leaves the one before.
//!
//! ```text
//! slot (512 bytes, at 0 for even and at 4096 for odd commits):
//! "SGKH" ‖ version (1) = 1 ‖ length (2) ‖ the digest's entry ‖ zeros ‖ SHA-256 of all before (32)
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use super::aside::{sync_folder, with_suffix};
use super::digest::DigestRecord;

const MAGIC: &[u8; 4] = b"SGKH";
const VERSION: u8 = 1;
const SLOT_LEN: usize = 512;
const SLOTS: [u64; 2] = [0, 4096];
const CHECKSUM_LEN: usize = 32;
const RECORD_START: usize = 7;

/// What a head says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// There is none.
    Nothing,
    /// Neither slot is whole.
    Nonsense,
    /// The store reached this.
    Reached(DigestRecord),
}

/// See the module.
pub(crate) struct Head {
    path: PathBuf,
    file: Mutex<Option<File>>,
}

impl Head {
    pub(crate) fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), file: Mutex::new(None) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What the file says.
    pub(crate) fn read(&self) -> io::Result<Told> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Told::Nothing),
            Err(error) => return Err(error),
        };
        let slots = SLOTS.iter().filter_map(|start| {
            let mut slot = [0; SLOT_LEN];
            // A slot that can't be read is as one that is not whole.
            file.read_exact_at(&mut slot, *start).ok()?;
            decode(&slot)
        });
        Ok(slots.max_by_key(|record| record.state.number).map_or(Told::Nonsense, Told::Reached))
    }

    /// Makes the file anew, durably.
    pub(crate) fn make(&self, record: &DigestRecord) -> io::Result<()> {
        let mut held = self.file.lock();
        *held = None;
        let temporary = with_suffix(&self.path, ".new");
        let file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&temporary)?;
        let mut content = vec![0; SLOTS[1] as usize + SLOT_LEN];
        let start = start_of(record) as usize;
        content[start..start + SLOT_LEN].copy_from_slice(&encode(record));
        (&file).write_all(&content)?;
        file.sync_all()?;
        fs::rename(&temporary, &self.path)?;
        sync_folder(self.path.parent())?;
        *held = Some(file);
        Ok(())
    }

    /// Says that this was reached. The kernel has it then, and a process that is killed does not undo it; the disk has it after
    /// [`Head::sync_or_warn`]. A head that tells too little is harmless.
    pub(crate) fn write(&self, record: &DigestRecord) -> io::Result<()> {
        let mut held = self.file.lock();
        let file = match &mut *held {
            Some(file) => file,
            none => none.insert(OpenOptions::new().write(true).open(&self.path)?),
        };
        file.write_all_at(&encode(record), start_of(record))
    }

    /// Puts on the disk what was written.
    pub(crate) fn sync_or_warn(&self) {
        if let Some(Err(error)) = self.file.lock().as_ref().map(File::sync_data) {
            tracing::warn!(file = %self.path.display(), %error, "the key store's head can't be synced");
        }
    }
}

impl Drop for Head {
    fn drop(&mut self) {
        self.sync_or_warn();
    }
}

fn start_of(record: &DigestRecord) -> u64 {
    SLOTS[(record.state.number % 2) as usize]
}

fn encode(record: &DigestRecord) -> [u8; SLOT_LEN] {
    let value = record.encoded();
    let mut slot = [0; SLOT_LEN];
    slot[..4].copy_from_slice(MAGIC);
    slot[4] = VERSION;
    slot[5..RECORD_START].copy_from_slice(&(value.len() as u16).to_be_bytes());
    slot[RECORD_START..RECORD_START + value.len()].copy_from_slice(&value);
    let (told, checksum) = slot.split_at_mut(SLOT_LEN - CHECKSUM_LEN);
    checksum.copy_from_slice(&Sha256::digest(&*told));
    slot
}

fn decode(slot: &[u8; SLOT_LEN]) -> Option<DigestRecord> {
    let (told, checksum) = slot.split_at(SLOT_LEN - CHECKSUM_LEN);
    if Sha256::digest(told)[..] != *checksum || &told[..4] != MAGIC || told[4] != VERSION {
        return None;
    }
    let len = usize::from(u16::from_be_bytes([told[5], told[6]]));
    DigestRecord::decode(told[RECORD_START..].get(..len)?)
}

#[cfg(test)]
mod tests {
    use super::super::digest::Digest;
    use super::super::{Entries, StoreState};
    use super::*;
    use crate::secret::Secret32;

    #[test]
    fn a_torn_write_leaves_the_slot_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kms.head");
        let domain = Secret32::random();
        let record = |number| {
            let state = StoreState { store_id: [1; 16], number };
            Digest::of(&domain, state, &Entries::new()).record(&domain)
        };
        let head = Head::at(&path);
        assert_eq!(head.read().unwrap(), Told::Nothing);
        head.make(&record(6)).unwrap();
        head.write(&record(7)).unwrap();
        let reached =
            |number: u64| matches!(head.read().unwrap(), Told::Reached(r) if r.state.number == number);
        assert!(reached(7));
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(b"torn", 4096 + 100).unwrap();
        assert!(reached(6));
        head.write(&record(9)).unwrap();
        assert!(reached(9));
        file.write_all_at(b"torn", 4096 + 100).unwrap();
        file.write_all_at(b"torn", 100).unwrap();
        assert_eq!(head.read().unwrap(), Told::Nonsense);
        file.set_len(10).unwrap();
        assert_eq!(head.read().unwrap(), Told::Nonsense);
    }
}
