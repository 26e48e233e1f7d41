//! Space that nothing needs any more: displaced blobs, orphans of crashes, and segments that are mostly dead.
//!
//! A blob is deleted because a durable record displaced it, or because it is known to be of a write that was never committed; never
//! because a record is missing. And nothing is deleted before the records were compared with what was committed. What can't be
//! accounted for is put into quarantine, if it is little; if it is much, something is wrong with the records, and nothing is done.

mod compact;
mod drain;
mod sweep;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::blob::{BlobError, BlobStore};
use crate::catalog::{Catalog, CatalogError};
use crate::kv::Standing;
use crate::name::BlobId;

/// Why a round of reclaim ended early; what it did until then is done.
#[derive(Debug, thiserror::Error)]
pub enum ReclaimError {
    /// The records can't be read or written.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The blobs can't be read or written.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The records were not compared with what was committed yet, or are not what was.
    #[error("the records can't be trusted now ({0:?}): nothing is deleted")]
    Untrusted(Standing),
    /// So many blobs have no record that something must be wrong with the records.
    #[error(
        "over {MAX_DOUBTFUL} blobs have no record and nothing tells why: none of them was touched; stop the gateway and run \
         `sealgate check`, and `sealgate rebuild --add` to bring back what they hold"
    )]
    Doubtful,
}

/// How space is reclaimed.
#[derive(Debug, Clone, Copy)]
pub struct ReclaimOptions {
    /// How long a displaced blob stays at least: of one gateway for readers that have read its record and not opened it yet; of many,
    /// whose readers are waited for in any case, for a map that is set back to an earlier moment.
    pub displaced_grace: Duration,
    /// How long a blob of this process must be without a record to count as an orphan: longer than any upload's last step takes.
    pub orphan_grace: Duration,
    /// How long blobs stay in quarantine; `None`: for ever.
    pub quarantine: Option<Duration>,
    /// The part of a segment that must be dead for its live blobs to be moved out, in percent.
    pub dead_percent_min: u64,
    /// The pace of moving, in bytes per second.
    pub move_len_per_s: u64,
}

impl Default for ReclaimOptions {
    fn default() -> Self {
        Self {
            displaced_grace: Duration::from_secs(5),
            orphan_grace: Duration::from_secs(3600),
            quarantine: Some(Duration::from_secs(7 * 24 * 3600)),
            dead_percent_min: 50,
            move_len_per_s: 64 << 20,
        }
    }
}

/// What a round did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reclaimed {
    /// Displaced blobs deleted.
    pub displaced: u64,
    /// Orphans deleted.
    pub orphans: u64,
    /// Blobs put into quarantine.
    pub quarantined: u64,
    /// Blobs whose time in quarantine was over: deleted.
    pub expired: u64,
    /// Blobs looked at for orphans.
    pub looked_at: u64,
    /// Live blobs moved out of mostly dead segments.
    pub moved: u64,
}

/// Blobs of one look at the store or the queue.
const PAGE_LEN: usize = 256;
/// Blobs that a sweep puts into quarantine at the most.
const MAX_DOUBTFUL: usize = 64;
/// Orphans that one sweep deletes at the most; the next one goes on.
const MAX_ORPHANS: usize = 100_000;

/// Ended sessions that are kept in mind: a deletion that a crash undid is known by them.
const MAX_KEPT_SESSIONS: usize = 1000;

/// How long after a session's last commit its writes may have been cut off.
pub const UNSETTLED_MS: u64 = 5000;
/// The same behind the last heartbeat of a session that others ended: the time to the next one, and that in which a gateway that can't
/// see the map serves on.
const UNSETTLED_BEHIND_BEAT_MS: u64 = 15_000;

/// Frees the space of a store.
pub struct Reclaimer {
    catalog: Catalog,
    blobs: Arc<dyn BlobStore>,
    options: ReclaimOptions,
    /// Blobs of this process without a record, and when the first sweep met them.
    suspects: Mutex<HashMap<BlobId, Instant>>,
    /// What moves left behind because it was being read.
    left_behind: Mutex<HashSet<BlobId>>,
    /// What was found displaced and waits for the readers of all gateways.
    waiting: tokio::sync::Mutex<Option<drain::Waiting>>,
}

impl Reclaimer {
    /// For this process's session, which the catalog has begun.
    pub fn new(catalog: Catalog, blobs: Arc<dyn BlobStore>, options: ReclaimOptions) -> Self {
        let (suspects, left_behind, waiting) = Default::default();
        Self { catalog, blobs, options, suspects, left_behind, waiting }
    }

    /// Nothing is deleted on a doubtful word.
    fn trusted(&self) -> Result<(), ReclaimError> {
        match self.catalog.standing() {
            Standing::Verified => Ok(()),
            standing => Err(ReclaimError::Untrusted(standing)),
        }
    }
}

#[cfg(test)]
mod gateways;
#[cfg(test)]
mod tests;
