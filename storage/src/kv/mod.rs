//! An ordered map of bytes with conditional, atomic, durable commits.

pub mod counter;
mod marks;
pub mod memory;
pub mod postgres;
pub mod sled;

use async_trait::async_trait;
use bytes::Bytes;

use self::counter::Addition;
pub use self::marks::{GROUP_LEN, Mark, Place};
use crate::name::Timestamp;

/// A key of the ordered map: compared byte by byte.
pub type Key = Bytes;

/// A value and the revision at which it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The value.
    pub value: Bytes,
    /// The engine's mark of this write: no two writes of one key share it.
    pub revision: Revision,
}

/// What stands in the place of a value that can't be read: no record begins so.
const DAMAGED: &[u8] = b"\xff the value in this place is damaged";

impl Entry {
    /// An entry that is there and whose value can't be read: who opens values hands it on in its place, since one value must not keep
    /// the others of a scan from being seen, and must not be taken for none.
    pub fn damaged(revision: Revision) -> Self {
        Self { value: Bytes::from_static(DAMAGED), revision }
    }

    /// Is it one whose value can't be read?
    pub fn is_damaged(&self) -> bool {
        self.value == DAMAGED
    }
}

/// An engine's opaque mark of one write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Revision(pub u64);

/// The keys from `start` (included) up to `end` (excluded; `None`: no end).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRange {
    /// The first key of the range.
    pub start: Key,
    /// The first key behind the range.
    pub end: Option<Key>,
}

impl KeyRange {
    /// Every key that starts with these bytes.
    pub fn prefix(prefix: impl Into<Bytes>) -> Self {
        let start = prefix.into();
        let end = prefix_end(&start);
        Self { start, end }
    }
}

/// The first key behind all keys that start with `prefix`; `None` if there is no such key.
pub fn prefix_end(prefix: &[u8]) -> Option<Key> {
    let last = prefix.iter().rposition(|&b| b != 0xff)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end.into())
}

/// The order of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Ascending keys.
    Forward,
    /// Descending keys.
    Backward,
}

/// What must hold for a transaction to be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// The key has no value.
    Absent(Key),
    /// The key's value is the one read at this revision.
    At(Key, Revision),
    /// A number of a spread counter is at most this, of what is committed. An engine with one committing thread judges exactly; where
    /// several commit at the same time, each sees what was committed before.
    AtMost {
        /// The counter.
        counter: Key,
        /// Which of its numbers; below [`counter::COLUMNS`].
        column: usize,
        /// The most that it may be before the transaction.
        most: i64,
    },
}

impl Condition {
    /// The key that it asks for.
    pub fn key(&self) -> &Key {
        let (Self::Absent(key) | Self::At(key, _) | Self::AtMost { counter: key, .. }) = self;
        key
    }
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Sets the key's value.
    Put(Key, Bytes),
    /// Removes the key; absent is fine.
    Delete(Key),
    /// Adds to a counter; absent is zero. Applied exactly as often as its transaction, which is never sent twice.
    Add(Addition),
}

impl Write {
    /// The key that it changes; of an addition the counter.
    pub fn key(&self) -> &Key {
        let (Self::Put(key, _) | Self::Delete(key) | Self::Add(Addition { counter: key, .. })) = self;
        key
    }

    /// Bytes of the key and the value.
    pub fn len(&self) -> usize {
        match self {
            Self::Put(key, value) => key.len() + value.len(),
            Self::Delete(key) => key.len(),
            Self::Add(addition) => addition.counter.len() + size_of::<i64>(),
        }
    }

    /// It has not a byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Conditions and writes that are applied together or not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transaction {
    /// All must hold.
    pub conditions: Vec<Condition>,
    /// Applied in order; at most one write per key.
    pub writes: Vec<Write>,
}

/// The most that one transaction may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Conditions and writes together.
    pub keys: usize,
    /// Bytes of keys and values that are written.
    pub len: usize,
}

impl Limits {
    /// Those of the engines that are here: what a commit may hold in memory, and keep others waiting for.
    pub const OWN: Self = Self { keys: 8192, len: 32 << 20 };

    /// Refuses a transaction that has more.
    ///
    /// # Errors
    /// [`KvError::TooLarge`].
    pub fn check(&self, transaction: &Transaction) -> Result<(), KvError> {
        let keys = transaction.conditions.len() + transaction.writes.len();
        let len = transaction.writes.iter().map(Write::len).sum();
        match keys <= self.keys && len <= self.len {
            true => Ok(()),
            false => Err(KvError::TooLarge { keys, len, limits: *self }),
        }
    }
}

/// What a caller can do about a failed call.
#[derive(Debug, thiserror::Error)]
pub enum KvError {
    /// A condition did not hold; nothing was written. Read again and retry.
    #[error("a condition on a key did not hold")]
    Conflict {
        /// The key whose condition failed.
        key: Key,
    },
    /// It has more than [`KeyValue::limits`] says; nothing was written. Commit it in several.
    #[error(
        "a commit of {keys} keys and {len} bytes is more than the metadata engine takes at once ({most_keys} keys, {most_len} bytes)",
        most_keys = .limits.keys,
        most_len = .limits.len
    )]
    TooLarge {
        /// Its conditions and writes.
        keys: usize,
        /// Bytes of keys and values that it writes.
        len: usize,
        /// What the engine takes.
        limits: Limits,
    },
    /// The engine can't serve now (disk full, I/O error, shutting down). The transaction may or may not have been applied.
    #[error("the metadata engine is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What is stored isn't what was written.
    #[error("the metadata engine holds corrupt data")]
    Corrupt(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// An ordered map of bytes. Values travel, closures do not: any engine with a transaction can serve it.
///
/// Guarantees, checked by the contract suite: a commit is atomic, isolated and durable (it survives a power cut)
/// before `Ok`; a read sees every commit that was acknowledged before it began; a scan is ordered and may miss or show
/// commits that run beside it, each whole per key. Values may have up to 1 MiB.
#[async_trait]
pub trait KeyValue: Send + Sync + 'static {
    /// The entries of these keys, in the order asked.
    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>, KvError>;

    /// Up to `limit` entries of the range in this direction. They may be parts of one buffer: whoever keeps one of them longer than the
    /// others copies it.
    async fn scan(
        &self,
        range: KeyRange,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<(Key, Entry)>, KvError>;

    /// Every condition holds: every write is applied, atomically and durably. Else nothing is, and `Conflict` names the key. More than
    /// [`KeyValue::limits`] is [`KvError::TooLarge`].
    async fn commit(&self, transaction: Transaction) -> Result<(), KvError>;

    /// The most that one transaction may have.
    fn limits(&self) -> Limits {
        Limits::OWN
    }

    /// The entries of one moment, with every commit that was acknowledged before: for copies. Nobody waits for it.
    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, KvError>;

    /// Reads every record and compares the whole with what was committed; answers how many there are. A difference is
    /// [`KvError::Corrupt`]. Commits go on meanwhile.
    async fn verify(&self) -> Result<u64, KvError>;

    /// Can its word be trusted?
    fn standing(&self) -> Standing;

    /// The mark of this place; `None`: it is changing, or the engine has no marks. A mark costs far less than a read.
    fn mark(&self, _place: Place<'_>) -> Option<Mark> {
        None
    }

    /// What time it is to the engine, where its clock is not this host's; `None`: it is. Only to see how far apart clocks are.
    async fn clock(&self) -> Result<Option<Timestamp>, KvError> {
        Ok(None)
    }
}

/// Reads the entries of one moment, in no order.
#[async_trait]
pub trait Snapshot: Send {
    /// Some more of them; none at the end. Who asks too slowly while much is committed is told that it is unavailable.
    async fn next(&mut self) -> Result<Vec<(Key, Entry)>, KvError>;
}

/// How far an engine's word can be trusted: what is deleted on its word waits for [`Standing::Verified`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It serves; its records have not been compared with what was committed yet.
    Verifying,
    /// Its records are those that were committed.
    Verified,
    /// Its records are others than were committed.
    Damaged,
    /// It failed, and opens again by itself when it can.
    Failed,
}
