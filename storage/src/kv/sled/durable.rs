//! Makes sled's flush mean what it says.
//!
//! sled 0.34 takes a write of its log for stable when `sync_file_range` returns, and says so in the log's next part. That call
//! writes neither the file's size and extents nor the drive's cache. A power cut may then take a write that the log
//! calls stable and keep a later one: of such a log recovery makes an error, or a tree with holes. FORMAT.md has the
//! experiment that showed it.
//!
//! So this program has a `sync_file_range` of its own, which sled's call is linked to: an `fdatasync`.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{FromRawFd, RawFd};
use std::os::unix::fs::MetadataExt;

use parking_lot::Mutex;

/// What happened to each file. Held while one thread syncs: the kernel tells of a failed write only the first who syncs the
/// descriptor after it, and the others must not take their own success for everybody's.
static SYNCS: Mutex<Option<HashMap<FileId, Syncs>>> = Mutex::new(None);

/// Device and inode.
pub(super) type FileId = (u64, u64);

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Syncs {
    /// Was there one? If never, sled is linked to something else.
    pub(super) any: bool,
    /// Did one fail since the file was opened?
    pub(super) failed: bool,
}

/// Which file it is.
pub(super) fn id_of(file: &File) -> io::Result<FileId> {
    let metadata = file.metadata()?;
    Ok((metadata.dev(), metadata.ino()))
}

/// What happened to a file so far.
pub(super) fn syncs(file: FileId) -> Syncs {
    SYNCS.lock().as_ref().and_then(|all| all.get(&file).copied()).unwrap_or_default()
}

/// Forgets what happened to a file: it is opened anew.
pub(super) fn forget(file: FileId) {
    if let Some(all) = SYNCS.lock().as_mut() {
        all.remove(&file);
    }
}

/// Stands in the place of the C library's function, and does more than that promises.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
extern "C" fn sync_file_range(fd: RawFd, _offset: i64, _len: i64, _flags: u32) -> i32 {
    // SAFETY: the caller's descriptor is open as long as this runs, and what is made of it here does not close it.
    let file = ManuallyDrop::new(unsafe { File::from_raw_fd(fd) });
    let mut all = SYNCS.lock();
    let Ok(id) = id_of(&file) else { return -1 };
    let syncs = all.get_or_insert_default().entry(id).or_default();
    syncs.any = true;
    match file.sync_data() {
        Ok(()) => 0,
        Err(_) => {
            syncs.failed = true;
            // `errno` is as the call left it.
            -1
        }
    }
}
