//! S3's nouns, written once over [`KeyValue`]: buckets, object versions, uploads, listing, displaced blobs.
//!
//! Every mutation is a value with its precondition: reads and one conditional commit, retried on conflict. Its methods
//! are in the file of the noun that they speak of.

mod bare;
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
mod pages;
mod parts;
mod record;
mod restore;
mod shelf;
mod trailer;
mod transfer;
mod upload;
mod usage;
mod version;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

pub use self::damage::{bucket_of, is_bucket, name_of};
pub use self::displaced::Displaced;
pub use self::inspect::{DisplacedSet, Inspected};
pub use self::lock::{
    Authority, EventHold, LOCK_SETTING, Lock, Period, Retention, RetentionMode, set_clock_ahead,
};
pub use self::model::*;
pub use self::owner::OwnerState;
pub use self::restore::{ContentState, Lost, Restored, Salvaged, Touched};
pub use self::shelf::{DocumentChange, ShelfState};
pub use self::trailer::{Stamped, Trailer};
pub use self::transfer::{Compared, Copied};
pub use self::usage::{
    Difference, QUOTA_SETTING, QuotaOf, Recounted, STORED_LEN_ATTRIBUTE, Usage, bucket_quota, quota_value,
};
use crate::kv::{Condition, Entry, Key, KeyValue, KvError, Standing, Transaction, Write};
use crate::name::{BlobId, PartNumber, VersionId};
pub use crate::session::ReadPin;
use crate::session::{InFlight, Own, SessionId};

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
    /// The bucket or its account would hold more bytes than it may: AWS has no such error, the gateway answers QuotaExceeded.
    #[error("a quota would be exceeded")]
    QuotaExceeded(QuotaOf),
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
    /// What every commit of this clone is conditional on beside the session.
    condition: Option<Condition>,
}

/// What the clones of a catalog share beside the engine.
struct Shared {
    in_flight: InFlight,
    met: damage::Met,
    account_quotas: usage::KnownQuotas,
    pages: pages::Pages,
    /// May listings note bare stretches? Every gateway must know of them.
    notes_stretches: AtomicBool,
    /// Taken by a writer that met a conflict, by the hash of the key it fights for: those who fight here queue up in
    /// order, and the engine sees few conflicts. Correctness never depends on it.
    queues: Vec<tokio::sync::Mutex<()>>,
    /// This process's session, once it has begun.
    session: OnceLock<Own>,
    /// It was ended.
    ended: watch::Sender<bool>,
}

/// For how long a mutation is tried before it is [`CatalogError::Contended`].
const ATTEMPTS_BUDGET: Duration = Duration::from_secs(1);
/// How often it is tried at least, whatever time that takes, and at the most.
const ATTEMPTS: std::ops::RangeInclusive<u32> = 8..=1000;
/// Entries per scan where a walk is not bounded by its caller.
const SCAN_LEN: usize = 256;

impl Catalog {
    /// A catalog over this engine.
    pub fn new(kv: Arc<dyn KeyValue>) -> Self {
        let queues = (0..256).map(|_| tokio::sync::Mutex::new(())).collect();
        Self {
            kv,
            shared: Arc::new(Shared {
                in_flight: InFlight::default(),
                met: damage::Met::default(),
                account_quotas: usage::KnownQuotas::default(),
                pages: pages::Pages::default(),
                notes_stretches: AtomicBool::new(true),
                queues,
                session: OnceLock::new(),
                ended: watch::Sender::new(false),
            }),
            condition: None,
        }
    }

    /// Commits as long as this process's session goes on, and as long as a lease is held where this clone is a lease's.
    pub(crate) async fn commit(&self, mut transaction: Transaction) -> Result<(), KvError> {
        let session = self.own().map(|own| &own.condition);
        transaction.conditions.extend(session.cloned());
        transaction.conditions.extend(self.condition.clone());
        let of = |condition: Option<&Condition>, key: &Key| matches!(condition, Some(Condition::At(of, _)) if of == key);
        match self.kv.commit(transaction).await {
            Err(KvError::Conflict { key }) if of(session, &key) => {
                self.set_session_ended();
                Err(KvError::Unavailable("the session of this gateway was ended by another".into()))
            }
            Err(KvError::Conflict { key }) if of(self.condition.as_ref(), &key) => {
                Err(KvError::Unavailable("another gateway has taken the lease of this job".into()))
            }
            answer => answer,
        }
    }

    /// From now on every commit is of this session.
    pub(crate) fn set_session(&self, session: Own) {
        // It begins once.
        let _ = self.shared.session.set(session);
    }

    pub(crate) fn own(&self) -> Option<&Own> {
        self.shared.session.get()
    }

    /// The session that commits are of, once it has begun.
    pub fn session(&self) -> Option<SessionId> {
        self.own().map(|own| own.id)
    }

    /// Do other gateways share the records?
    pub fn is_shared(&self) -> bool {
        self.own().is_some_and(|own| own.is_shared)
    }

    /// Becomes true when the session has ended, in order or by another gateway: then every commit fails as unavailable.
    pub fn session_ended(&self) -> watch::Receiver<bool> {
        self.shared.ended.subscribe()
    }

    pub(crate) fn set_session_ended(&self) {
        if let Some(ids) = self.own().and_then(|own| own.ids.as_ref()) {
            ids.end();
        }
        self.shared.ended.send_replace(true);
    }

    /// The same catalog, whose commits are conditional on this, too.
    pub(crate) fn with_condition(mut self, condition: Condition) -> Self {
        self.condition = Some(condition);
        self
    }

    pub(crate) fn in_flight(&self) -> &InFlight {
        &self.shared.in_flight
    }

    /// Do all gateways that share the records know of bare stretches? Only then are any noted.
    pub fn set_notes_stretches(&self, known_to_all: bool) {
        self.shared.notes_stretches.store(known_to_all, Ordering::Relaxed);
    }

    fn may_note_stretches(&self) -> bool {
        self.shared.notes_stretches.load(Ordering::Relaxed)
    }

    /// Does the work of a request. What its pins keep from being reclaimed is kept since the request began: what it read before it knew
    /// what to pin stays, too.
    pub async fn request<T>(&self, work: impl Future<Output = T>) -> T {
        self.in_flight().request(work).await
    }

    /// Keeps a version's blobs from being reclaimed while it is read or written, on whichever gateway; released on drop.
    pub fn pin(&self, content: VersionId) -> ReadPin {
        self.in_flight().begin(Some(content))
    }

    pub(crate) fn is_pinned(&self, content: VersionId) -> bool {
        self.in_flight().holds(content)
    }

    /// A durable record of this version names its blobs.
    fn account_for_version(&self, version: &ObjectVersion) {
        self.account_for(version.journal.map(|blob| blob.id));
        if let VersionKind::Object(object) = &version.kind
            && let Layout::Single(blob) = &object.content.layout
        {
            self.account_for(Some(blob.id));
        }
    }

    /// A durable record refers to this blob, or it waits in the queue of displaced ones.
    fn account_for(&self, blob: Option<BlobId>) {
        if let (Some(blob), Some(ids)) = (blob, self.own().and_then(|own| own.ids.as_ref())) {
            ids.settle(&blob);
        }
    }

    /// Can the records' word be trusted?
    pub fn standing(&self) -> Standing {
        self.kv.standing()
    }

    /// Compares all records with what was committed; answers how many there are.
    pub async fn verify(&self) -> Result<u64, CatalogError> {
        Ok(self.kv.verify().await?)
    }

    /// Commits writes of which those of one group belong together, in as many transactions as the engine's limits make of them.
    async fn commit_apart(&self, groups: impl IntoIterator<Item = Vec<Write>>) -> Result<(), CatalogError> {
        let limits = self.kv.limits();
        // Half of it: conditions come to it, and values are sealed below, which makes them longer.
        let (most_keys, most_len) = (limits.keys / 2, limits.len / 2);
        let (mut writes, mut len) = (Vec::new(), 0);
        for group in groups {
            let more: usize = group.iter().map(Write::len).sum();
            if !writes.is_empty() && (writes.len() + group.len() > most_keys || len + more > most_len) {
                let writes = std::mem::take(&mut writes);
                self.commit(Transaction { conditions: Vec::new(), writes }).await?;
                len = 0;
            }
            len += more;
            writes.extend(group);
        }
        if writes.is_empty() {
            return Ok(());
        }
        Ok(self.commit(Transaction { conditions: Vec::new(), writes }).await?)
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
        Attempts { catalog: self, queue, turn: None, failed: 0, begun: Instant::now() }
    }
}

/// See [`Catalog::attempts`].
struct Attempts<'a> {
    catalog: &'a Catalog,
    queue: &'a tokio::sync::Mutex<()>,
    turn: Option<tokio::sync::MutexGuard<'a, ()>>,
    failed: u32,
    begun: Instant,
}

impl Attempts<'_> {
    /// True: it's committed. False: a condition did not hold; read again and try again.
    async fn commit(&mut self, transaction: impl Into<Transaction>) -> Result<bool, CatalogError> {
        match self.catalog.commit(transaction.into()).await {
            Ok(()) => return Ok(true),
            Err(KvError::Conflict { key }) if layout::quota_of(&key).is_some() => {
                return Err(
                    layout::quota_of(&key).map_or(CatalogError::Contended, CatalogError::QuotaExceeded)
                );
            }
            Err(KvError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        self.failed += 1;
        let is_over = self.begun.elapsed() >= ATTEMPTS_BUDGET && self.failed >= *ATTEMPTS.start();
        if is_over || self.failed >= *ATTEMPTS.end() {
            return Err(CatalogError::Contended);
        }
        if self.turn.is_none() {
            self.turn = Some(self.queue.lock().await);
        } else {
            // Others than this process's queue win: leave them some time, and don't meet them again at the same moment.
            let most_us = 100 << self.failed.min(8);
            tokio::time::sleep(Duration::from_micros(most_us / 2 + random() % (most_us / 2))).await;
        }
        Ok(false)
    }
}

/// Any number: for the spread of attempts.
fn random() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
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
