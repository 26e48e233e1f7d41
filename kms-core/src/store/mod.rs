//! Where keys are kept: a small ordered map with durable, atomic commits, never beside what it protects.

mod memory;
mod sled;

pub use self::memory::MemoryStore;
pub use self::sled::SledStore;

/// Why a store can't serve.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it open.
    #[error("the key store is in use by another process")]
    InUse,
    /// It can't be read or written.
    #[error("the key store fails: {0}")]
    Failed(String),
}

/// A name and its value.
pub type Item = (Vec<u8>, Vec<u8>);

/// One change: a value for a name, or its end.
pub type Change = (Vec<u8>, Option<Vec<u8>>);

/// An ordered map of a few small values (each under 7 KiB), read whole at the start.
pub trait KeyStore: Send + Sync + 'static {
    /// Every entry, in order.
    fn load(&self) -> Result<Vec<Item>, StoreError>;

    /// Applies all changes or none; `Ok` means that they survive a power cut.
    fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError>;
}
