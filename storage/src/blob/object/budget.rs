//! The memory that writers hold: bounded over all of them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of the unit that memory is counted in.
const UNIT: usize = 64 << 10;

/// What all writers may hold.
pub(super) struct Budget {
    units: Arc<Semaphore>,
    wait: Duration,
}

/// What one holds of it; given back on drop.
#[derive(Default)]
pub(super) struct Held(Option<OwnedSemaphorePermit>);

impl Budget {
    pub fn new(len: usize, wait: Duration) -> Self {
        Self { units: Arc::new(Semaphore::new(len.div_ceil(UNIT).max(1))), wait }
    }

    /// Lets `held` cover this many bytes; waits for others to give back what is missing, and not for ever.
    pub async fn grow(&self, held: &mut Held, len: usize) -> io::Result<()> {
        let missing = len.div_ceil(UNIT).saturating_sub(held.units());
        if missing == 0 {
            return Ok(());
        }
        let missing = u32::try_from(missing).map_err(io::Error::other)?;
        let more = tokio::time::timeout(self.wait, self.units.clone().acquire_many_owned(missing));
        let more = more.await.map_err(|_| {
            io::Error::new(
                io::ErrorKind::TimedOut,
                "uploads to the object store hold all the memory that they may",
            )
        })?;
        let more = more.map_err(io::Error::other)?;
        match &mut held.0 {
            Some(permit) => permit.merge(more),
            None => held.0 = Some(more),
        }
        Ok(())
    }
}

impl Held {
    fn units(&self) -> usize {
        self.0.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }

    /// What covers this many of the bytes, for somebody else to hold.
    pub fn split(&mut self, len: usize) -> Self {
        let units = (len / UNIT).min(self.units());
        Self(self.0.as_mut().and_then(|permit| permit.split(units)))
    }
}
