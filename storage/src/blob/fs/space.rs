//! Refuses writes while the disk is nearly full, rather than failing in the middle of one.

use std::fs::File;
use std::io;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How long a look at the file system is believed.
const FRESH: Duration = Duration::from_millis(250);

/// Watches the free space of one file system.
#[derive(Debug)]
pub(super) struct Space {
    folder: File,
    reserve: u64,
    seen: Mutex<Option<(Instant, u64)>>,
}

impl Space {
    /// Keeps `reserve` bytes free on the file system of this folder.
    pub fn new(folder: File, reserve: u64) -> Self {
        Self { folder, reserve, seen: Mutex::new(None) }
    }

    /// Fails with `StorageFull` if `len` bytes would eat into the reserve; nothing is taken yet.
    pub fn fits(&self, len: u64) -> io::Result<()> {
        self.judge(len, 0)
    }

    /// Fails with `StorageFull` if writing `len` bytes would eat into the reserve.
    pub fn admit(&self, len: u64) -> io::Result<()> {
        self.judge(len, len)
    }

    fn judge(&self, len: u64, taken: u64) -> io::Result<()> {
        let mut seen = self.seen.lock();
        let (at, free) = match *seen {
            Some((at, free)) if at.elapsed() < FRESH => (at, free),
            _ => {
                let stat = rustix::fs::fstatvfs(&self.folder)?;
                (Instant::now(), stat.f_bavail.saturating_mul(stat.f_frsize))
            }
        };
        match free.checked_sub(len) {
            Some(left) if left >= self.reserve => {
                *seen = Some((at, left + len - taken));
                Ok(())
            }
            _ => {
                *seen = Some((at, free));
                Err(io::Error::new(io::ErrorKind::StorageFull, "the disk is nearly full"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_kept() {
        let folder = || File::open(std::env::temp_dir()).unwrap();
        assert!(Space::new(folder(), 0).admit(4096).is_ok());
        let error = Space::new(folder(), u64::MAX).admit(1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(Space::new(folder(), 0).admit(u64::MAX).is_err());
        let space = Space::new(folder(), 0);
        space.admit(0).unwrap();
        let (_, free) = space.seen.lock().unwrap();
        for _ in 0..2 {
            // What is only announced is nobody else's loss.
            space.fits(free).unwrap();
        }
        space.admit(free).unwrap();
        assert!(space.fits(1).is_err());
    }
}
