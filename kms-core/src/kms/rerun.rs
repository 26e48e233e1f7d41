//! Operations that met another gateway's change. Each reads, checks and commits on the condition that nobody has changed the store in
//! between; who has lost that race runs again, over the state as it is then.

use std::time::Duration;

use crate::error::KmsError;

/// How often an operation runs at most. Each round one gateway wins, so that many would have to race.
const MAX_RUNS: u32 = 16;

/// Runs an operation of [`Kms`](super::Kms) until it met no other gateway's change, 16 times at most.
///
/// # Errors
/// Those of the operation; [`KmsError::Contended`] where others were faster each time.
pub fn rerun<T>(mut operation: impl FnMut() -> Result<T, KmsError>) -> Result<T, KmsError> {
    for run in 1..MAX_RUNS {
        match operation() {
            Err(KmsError::Contended) => {}
            done => return done,
        }
        // Who runs again waits a little, and not as long as the others that do.
        let jitter = u64::from(crate::crypto::random::<1>()[0]);
        std::thread::sleep(Duration::from_micros(jitter * u64::from(run.min(8))));
    }
    operation()
}
