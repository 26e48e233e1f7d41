//! Where keys are kept: a small ordered map with durable, atomic commits, never beside what it protects. It is kept twice (`copies`),
//! each time with a digest over all its entries (`digest`), and a head outside of both tells how far it reached (`head`).

mod aside;
mod copies;
mod digest;
mod head;
mod memory;
mod mirror;
mod place;
mod places;
mod report;
mod salvage;
mod sled;
mod verdict;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

pub use self::digest::DIGEST_NAME;
pub use self::memory::MemoryStore;
pub use self::places::StorePlaces;
pub use self::report::{CopyReport, StoreReport};
pub use self::sled::SledStore;

pub(crate) use self::copies::{Contents, Copies, IfBehind, OpenStoreError};
#[cfg(test)]
pub(crate) use self::mirror::MirrorLog;
pub(crate) use self::place::FixedPlace;
pub(crate) use self::report::{Scratch, examine};
pub(crate) use self::verdict::{UnlockError, Unlocked};

/// Why a store can't serve.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it open.
    #[error("the key store is in use by another process")]
    InUse,
    /// It can't be read or written.
    #[error("the key store fails: {0}")]
    Failed(String),
    /// Somebody else has changed it since it was read. Nothing was written.
    #[error("the key store was changed by another gateway")]
    Contended,
    /// It failed, and was not opened again yet.
    #[error("the key store failed, and is being opened again")]
    Doubtful,
    /// No copy is whole.
    #[error("the key store is damaged: {0}; restore a backup (sealgate restore)")]
    Damaged(String),
    /// It lacks what was acknowledged.
    #[error(
        "the key store ends at commit {found}, {acknowledged} were acknowledged ({}): put back the newer copy or restore a backup; \
         to accept the loss: sealgate kms verify-store --accept",
        head.display()
    )]
    Behind {
        /// The number of its last commit.
        found: u64,
        /// The number that the head tells.
        acknowledged: u64,
        /// The file of the head.
        head: PathBuf,
    },
    /// Its head does not vouch for it.
    #[error(
        "{0}; put it back or restore a backup; to take the store as it is: sealgate kms verify-store --accept"
    )]
    Unvouched(String),
    /// What lies in the place of a copy is of another store.
    #[error(
        "{0} belongs to another key store; put the right one there, or move it away (it is made anew), or name another place (--kms-mirror)"
    )]
    Foreign(PathBuf),
}

/// A name and its value.
pub type Item = (Vec<u8>, Vec<u8>);

/// One change: a value for a name, or its end.
pub type Change = (Vec<u8>, Option<Vec<u8>>);

/// All entries of a store.
pub(crate) type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

/// Which state of which store: what a commit leads from and to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreState {
    /// Drawn when the store was made.
    pub store_id: [u8; 16],
    /// How many commits it had.
    pub number: u64,
}

/// What a commit finds in the store, or does nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected<'a> {
    /// Whatever is there: nobody else can write.
    Anything,
    /// A digest entry of this value (`None`: no such entry), as [`KeyStore::revision`] tells it. Every commit replaces that entry.
    Revision(Option<&'a [u8]>),
}

/// An ordered map of a few small values (each under 7 KiB), read whole at the start.
pub trait KeyStore: Send + Sync + 'static {
    /// Every entry, in order.
    fn load(&self) -> Result<Vec<Item>, StoreError>;

    /// Applies all changes or none; `Ok` means that they survive a power cut.
    ///
    /// # Errors
    /// [`StoreError::Contended`] where a shared store is not as expected: nothing is applied then. After any other error it is not
    /// known whether the changes were applied.
    fn commit(&self, expected: Expected<'_>, changes: Vec<Change>) -> Result<(), StoreError>;

    /// Can others write to it while it is open here? Then every commit says what it expects.
    fn is_shared(&self) -> bool {
        false
    }

    /// The value of its digest entry, which is another one after every commit.
    fn revision(&self) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.load()?.into_iter().find(|(name, _)| name == DIGEST_NAME).map(|(_, value)| value))
    }
}

impl<S: KeyStore + ?Sized> KeyStore for Arc<S> {
    fn load(&self) -> Result<Vec<Item>, StoreError> {
        (**self).load()
    }

    fn commit(&self, expected: Expected<'_>, changes: Vec<Change>) -> Result<(), StoreError> {
        (**self).commit(expected, changes)
    }

    fn is_shared(&self) -> bool {
        (**self).is_shared()
    }

    fn revision(&self) -> Result<Option<Vec<u8>>, StoreError> {
        (**self).revision()
    }
}
