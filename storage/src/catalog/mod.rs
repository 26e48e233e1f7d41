//! S3's nouns, written once over [`KeyValue`]: buckets, object versions, uploads, listing, displaced blobs.
//!
//! Every mutation is a value with its precondition: reads and one conditional commit, retried on conflict. Its methods
//! are in the file of the noun that they speak of.

mod bucket;
mod damage;
mod displaced;
mod dump;
mod inspect;
pub(crate) mod layout;
mod listing;
mod lock;
mod model;
mod owner;
mod parts;
mod record;
mod restore;
mod shelf;
mod trailer;
mod upload;
mod version;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

pub use self::damage::{bucket_of, name_of};
pub use self::displaced::{Displaced, ReadPin};
pub use self::inspect::{DisplacedSet, Inspected};
pub use self::lock::{Authority, EventHold, LOCK_SETTING, Lock, Period, Retention, RetentionMode};
pub use self::model::*;
pub use self::owner::OwnerState;
pub use self::restore::{ContentState, Lost, Restored, Salvaged, Touched};
pub use self::shelf::{DocumentChange, ShelfState};
pub use self::trailer::{Stamped, Trailer};
use crate::kv::{Condition, Entry, Key, KeyValue, KvError, Standing, Transaction};
use crate::name::PartNumber;

/// What a caller can do about a failed call.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// No such bucket (any more).
    #[error("the bucket does not exist")]
    NoSuchBucket,
    /// A bucket of this name exists.
    #[error("the bucket exists and belongs to account {owner}")]
    BucketExists {
        /// Its owner.
        owner: String,
    },
    /// The bucket holds objects or versions.
    #[error("the bucket is not empty")]
    BucketNotEmpty,
    /// `If-Match` on an object that does not exist: AWS answers NoSuchKey.
    #[error("the object does not exist")]
    NoSuchKey,
    /// The object has no such version.
    #[error("the version does not exist")]
    NoSuchVersion,
    /// Object lock protects the version: AWS answers AccessDenied.
    #[error("object lock protects the version")]
    Locked,
    /// No such upload of this object (any more).
    #[error("the upload does not exist")]
    NoSuchUpload,
    /// The upload lacks this part, or it has another ETag or checksum.
    #[error("part {0} does not exist or does not match")]
    InvalidPart(PartNumber),
    /// A part but the last is smaller than the minimum.
    #[error("part {number} has only {plain_len} bytes")]
    PartTooSmall {
        /// The part.
        number: PartNumber,
        /// Its plain bytes.
        plain_len: u64,
        /// Its ETag.
        etag: String,
    },
    /// The precondition does not hold: AWS answers 412 PreconditionFailed.
    #[error("a precondition does not hold")]
    PreconditionFailed,
    /// Other writers kept winning: AWS answers 409 ConditionalRequestConflict or OperationAborted.
    #[error("concurrent writers kept changing the same record")]
    Contended,
    /// Documents were taken away from a shelf, or put on it, and not by a change of it.
    #[error("the shelf `{shelf}` has {found} documents, not the {expected} that were put on it")]
    DocumentCount {
        /// The shelf.
        shelf: String,
        /// As many were put on it.
        expected: u64,
        /// As many there are.
        found: u64,
    },
    /// A record can't be decoded.
    #[error("a record is corrupt: {0}")]
    Corrupt(&'static str),
    /// The engine failed.
    #[error(transparent)]
    Kv(#[from] KvError),
}

/// S3's nouns over an engine.
#[derive(Clone)]
pub struct Catalog {
    pub(crate) kv: Arc<dyn KeyValue>,
    shared: Arc<Shared>,
}

/// What the clones of a catalog share beside the engine.
struct Shared {
    pins: displaced::Pins,
    met: damage::Met,
    /// Taken by a writer that met a conflict, by the hash of the key it fights for: those who fight here queue up in
    /// order, and the engine sees few conflicts. Correctness never depends on it.
    queues: Vec<tokio::sync::Mutex<()>>,
    /// That this process's session goes on, once it has begun.
    session: OnceLock<Condition>,
}

/// How often a mutation is tried before it is [`CatalogError::Contended`].
const MAX_ATTEMPTS: u32 = 32;
/// Entries per scan where a walk is not bounded by its caller.
const SCAN_LEN: usize = 256;

impl Catalog {
    /// A catalog over this engine.
    pub fn new(kv: Arc<dyn KeyValue>) -> Self {
        let queues = (0..256).map(|_| tokio::sync::Mutex::new(())).collect();
        Self {
            kv,
            shared: Arc::new(Shared {
                pins: displaced::Pins::default(),
                met: damage::Met::default(),
                queues,
                session: OnceLock::new(),
            }),
        }
    }

    /// Commits as long as this process's session goes on.
    async fn commit(&self, mut transaction: Transaction) -> Result<(), KvError> {
        let Some(session) = self.shared.session.get() else { return self.kv.commit(transaction).await };
        transaction.conditions.push(session.clone());
        match (self.kv.commit(transaction).await, session) {
            (Err(KvError::Conflict { key }), Condition::At(of_session, _)) if key == *of_session => {
                Err(KvError::Unavailable("the session of this gateway was ended by another".into()))
            }
            (answer, _) => answer,
        }
    }

    /// From now on every commit is conditional on this.
    pub(crate) fn set_session(&self, session: Condition) {
        // It begins once.
        let _ = self.shared.session.set(session);
    }

    /// Can the records' word be trusted?
    pub fn standing(&self) -> Standing {
        self.kv.standing()
    }

    /// Compares all records with what was committed; answers how many there are.
    pub async fn verify(&self) -> Result<u64, CatalogError> {
        Ok(self.kv.verify().await?)
    }

    async fn get<const N: usize>(&self, keys: [Key; N]) -> Result<[Option<Entry>; N], CatalogError> {
        let found = self.kv.get(&keys).await?;
        found.try_into().map_err(|_| CatalogError::Corrupt("the engine's answer"))
    }

    /// The attempts of one mutation, which fights for this key.
    fn attempts(&self, key: &[u8]) -> Attempts<'_> {
        use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(key);
        let queue = &self.shared.queues[hash as usize % self.shared.queues.len()];
        Attempts { catalog: self, queue, turn: None, failed: 0 }
    }
}

/// See [`Catalog::attempts`].
struct Attempts<'a> {
    catalog: &'a Catalog,
    queue: &'a tokio::sync::Mutex<()>,
    turn: Option<tokio::sync::MutexGuard<'a, ()>>,
    failed: u32,
}

impl Attempts<'_> {
    /// True: it's committed. False: a condition did not hold; read again and try again.
    async fn commit(&mut self, transaction: Transaction) -> Result<bool, CatalogError> {
        match self.catalog.commit(transaction).await {
            Ok(()) => return Ok(true),
            Err(KvError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        self.failed += 1;
        if self.failed == MAX_ATTEMPTS {
            return Err(CatalogError::Contended);
        }
        if self.turn.is_none() {
            self.turn = Some(self.queue.lock().await);
        } else {
            // Others than this process's queue win: leave them some time.
            tokio::time::sleep(Duration::from_micros(100 << self.failed.min(8))).await;
        }
        Ok(false)
    }
}

/// The condition that what was read has not changed.
fn unchanged(key: &Key, entry: &Option<Entry>) -> Condition {
    match entry {
        Some(entry) => Condition::At(key.clone(), entry.revision),
        None => Condition::Absent(key.clone()),
    }
}

#[cfg(test)]
mod tests;
