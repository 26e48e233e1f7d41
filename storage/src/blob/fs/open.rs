//! Files that stay open for reading, since opening one costs as much as reading some chunks of it.

use std::fs::File;
use std::hash::Hash;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt};
use parking_lot::Mutex;

/// The files that were read last, by what names them.
#[derive(Debug)]
pub(super) struct OpenFiles<N> {
    max: usize,
    state: Mutex<State<N>>,
}

#[derive(Debug)]
struct State<N> {
    files: HashMap<N, (Arc<File>, u64)>,
    clock: u64,
    removals: u64,
}

/// When a file was looked for that is opened next.
#[derive(Debug, Clone, Copy)]
pub(super) struct Absence {
    removals: u64,
}

impl<N: Copy + Eq + Hash> OpenFiles<N> {
    /// At most so many.
    pub fn new(max: usize) -> Self {
        Self { max, state: Mutex::new(State { files: HashMap::new(), clock: 0, removals: 0 }) }
    }

    /// The file, if it is open, and in a folder still: one that somebody else removed is gone for us, too.
    pub fn get_linked(&self, name: N) -> Result<Arc<File>, Absence> {
        let found = self.get(name)?;
        match rustix::fs::fstat(&found) {
            Ok(stat) if stat.st_nlink > 0 => Ok(found),
            _ => {
                self.remove(name);
                self.get(name)
            }
        }
    }

    /// The file, if it is open.
    pub fn get(&self, name: N) -> Result<Arc<File>, Absence> {
        let mut state = self.state.lock();
        state.clock += 1;
        let clock = state.clock;
        match state.files.get_mut(&name) {
            Some((file, used)) => {
                *used = clock;
                Ok(file.clone())
            }
            None => Err(Absence { removals: state.removals }),
        }
    }

    /// Keeps a file that was opened after it was found absent, unless any was removed since: that may have been it.
    pub fn put(&self, name: N, file: Arc<File>, absence: Absence) {
        let mut state = self.state.lock();
        if state.removals != absence.removals {
            return;
        }
        let mut closed = None;
        if state.files.len() >= self.max
            && let Some((&oldest, _)) = state.files.iter().min_by_key(|(_, (_, used))| *used)
        {
            closed = state.files.remove(&oldest);
        }
        state.clock += 1;
        let clock = state.clock;
        state.files.insert(name, (file, clock));
        drop(state);
        drop(closed);
    }

    /// Lets go of a file that was removed, or moved away: its space is free when its last reader is done. To be called where one may wait: to
    /// free a large file takes its time.
    pub fn remove(&self, name: N) {
        let closed = {
            let mut state = self.state.lock();
            state.removals += 1;
            state.files.remove(&name)
        };
        drop(closed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_read_last_stay_open_and_none_that_was_removed() {
        let files = OpenFiles::new(3);
        let named = tempfile::NamedTempFile::new().expect("a file");
        let file = Arc::new(named.reopen().expect("a file"));
        let open = |name: u32| match files.get(name) {
            Ok(_) => true,
            Err(absence) => {
                files.put(name, file.clone(), absence);
                false
            }
        };
        assert_eq!([1, 2, 3, 1, 4, 1, 3].map(open), [false, false, false, true, false, true, true]);
        assert!(!open(2), "it was the one that was read longest ago");
        files.remove(2);
        assert!(!open(2));
        // Removed while it is being opened.
        files.remove(2);
        let absence = files.get(2).expect_err("it was removed");
        files.remove(2);
        files.put(2, file.clone(), absence);
        assert!(files.get(2).is_err());
        assert_eq!(files.state.lock().files.len(), 2);
        drop(named);
        assert!(files.get(3).is_ok());
        assert!(files.get_linked(3).is_err());
        assert!(files.get(3).is_err());
    }
}
